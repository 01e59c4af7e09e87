#!/usr/bin/env python3
"""A second implementation of the specification, which checks the test vectors.

Written from docs/src/specification*.md, docs/src/wire-format.md and RFCs 9496, 8032 and 8439 alone; plain Python 3,
no packages. Slow, and not constant-time:
it reads public test data and must never touch a secret.

    python3 docs/spec/check.py [folder]

reads every *.json of the folder (docs/spec/vectors beside this file unless given), recomputes each vector from its
inputs, prints a line for each group and a count, and exits with 1 on any difference or when there are no vectors.
"""

import base64
import hashlib
import json
import pathlib
import sys

# ---------------------------------------------------------------- the field of 2^255 - 19

P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def is_negative(x):
    """RFC 9496, 2.1: the least non-negative representative is odd."""
    return x % P & 1


def absolute(x):
    return -x % P if is_negative(x) else x % P


def root_of_ratio(u, v):
    """(True, root of u/v), or (False, root of i*u/v) where u/v is no square; the root is never negative.

    Every element w has w^((p-1)/4) among 1, -1, i, -i, so w^((p+3)/8) squares to w times one of these.
    """
    if v % P == 0:
        return u % P == 0, 0
    w = u * pow(v, -1, P) % P
    candidate = pow(w, (P + 3) // 8, P)
    square = candidate * candidate % P
    for is_square, wanted in ((True, w), (False, ROOT_OF_MINUS_ONE * w % P)):
        if square == wanted:
            return is_square, absolute(candidate)
        if square == -wanted % P:
            return is_square, absolute(candidate * ROOT_OF_MINUS_ONE)
    raise ArithmeticError("unreachable: p is not prime")


# RFC 9496, 4.1. Two of the roots are given there by value: the first is the odd one, the second the even one.
ROOT_OF_A_D_MINUS_ONE = -absolute(root_of_ratio(-D - 1, 1)[1]) % P
INVERSE_ROOT_OF_A_MINUS_D = root_of_ratio(1, -1 - D)[1]

# ---------------------------------------------------------------- the curve, in extended coordinates (X, Y, Z, T)

NEUTRAL = (0, 1, 1, 0)


def add(p, q):
    x1, y1, z1, t1 = p
    x2, y2, z2, t2 = q
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * D * t1 * t2 % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def combine(*terms):
    """The sum of scalar * point over (scalar, point) pairs, four bits of all scalars at a time."""
    tables = []
    for scalar, point in terms:
        multiples = [NEUTRAL]
        for _ in range(15):
            multiples.append(add(multiples[-1], point))
        tables.append((scalar % Q, multiples))
    total = NEUTRAL
    for shift in range(252, -1, -4):
        for _ in range(4):
            total = add(total, total)
        for scalar, multiples in tables:
            total = add(total, multiples[scalar >> shift & 15])
    return total


def same(p, q):
    """RFC 9496, 4.3.3."""
    (x1, y1, _, _), (x2, y2, _, _) = p, q
    return (x1 * y2 - y1 * x2) % P == 0 or (y1 * y2 - x1 * x2) % P == 0


# ---------------------------------------------------------------- ristretto255 over it

Q = 2**252 + 27742317777372353535851937790883648493


class Refused(Exception):
    """Bytes that the rules of the specification do not let in, or a check that failed."""


def decode_point(data, identity_allowed=False):
    """RFC 9496, 4.3.1."""
    if len(data) != 32:
        raise Refused("a point has 32 bytes")
    s = int.from_bytes(data, "little")
    if s >= P or is_negative(s):
        raise Refused("not a canonical field element")
    u1, u2 = 1 - s * s, 1 + s * s
    v = -D * u1 * u1 - u2 * u2
    was_square, inverse = root_of_ratio(1, v * u2 * u2)
    x = absolute(2 * s * inverse * u2)
    y = u1 * inverse * inverse * u2 * v % P
    t = x * y % P
    if not was_square or is_negative(t) or y == 0:
        raise Refused("not a point")
    if s == 0 and not identity_allowed:
        raise Refused("the identity")
    return x, y, 1, t


def encode_point(point):
    """RFC 9496, 4.3.2."""
    x, y, z, t = point
    u1, u2 = (z + y) * (z - y), x * y
    _, inverse = root_of_ratio(1, u1 * u2 * u2)
    first, second = inverse * u1 % P, inverse * u2 % P
    z_inverse = first * second * t % P
    if is_negative(t * z_inverse):
        x, y = y * ROOT_OF_MINUS_ONE, x * ROOT_OF_MINUS_ONE
        second = first * INVERSE_ROOT_OF_A_MINUS_D
    if is_negative(x * z_inverse):
        y = -y
    return absolute(second * (z - y)).to_bytes(32, "little")


def one_way_map(wide):
    """RFC 9496, 4.3.4: 64 uniform bytes to a point."""
    halves = (wide[:32], wide[32:])
    return add(*(map_to_curve(int.from_bytes(half, "little") % 2**255 % P) for half in halves))


def map_to_curve(t):
    r = ROOT_OF_MINUS_ONE * t * t % P
    u = (r + 1) * (1 - D * D) % P
    v = (-1 - r * D) * (r + D) % P
    was_square, s = root_of_ratio(u, v)
    c = -1
    if not was_square:
        s, c = -absolute(s * t) % P, r
    n = (c * (r - 1) * (D - 1) ** 2 - v) % P
    w0, w1, w2, w3 = 2 * s * v, n * ROOT_OF_A_D_MINUS_ONE, 1 - s * s, 1 + s * s
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def decode_scalar(data):
    value = int.from_bytes(data, "little")
    if len(data) != 32 or value >= Q:
        raise Refused("not a canonical scalar")
    return value


def encode_scalar(value):
    return (value % Q).to_bytes(32, "little")


def wide_scalar(data):
    """64 uniform bytes to a scalar."""
    if len(data) != 64:
        raise Refused("a uniform scalar comes from 64 bytes")
    return int.from_bytes(data, "little") % Q


# ---------------------------------------------------------------- hashing


def integer(value):
    return value.to_bytes(8, "little")


def prefixed(data):
    return integer(len(data)) + data


def transcript(label, *fields):
    """T: every field is given as its bytes."""
    whole = prefixed(b"feiqian/v1/" + label.encode()) + b"".join(map(prefixed, fields))
    return hashlib.sha512(whole).digest()


def digest_of(label, *fields):
    return transcript(label, *fields)[:32]


def scalar_of(label, *fields):
    return wide_scalar(transcript(label, *fields))


def point_of(label, *fields):
    return one_way_map(transcript(label, *fields))


# The base point of Curve25519 in Edwards form: y = 4/5 and x even.
BASE_Y = 4 * pow(5, -1, P) % P
BASE_X = root_of_ratio(BASE_Y * BASE_Y - 1, D * BASE_Y * BASE_Y + 1)[1]
G = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)
H, H0, H1 = (point_of("generator/" + name) for name in ("H", "H0", "H1"))
GENERATORS = {"G": G, "H": H, "H0": H0, "H1": H1}
assert len({encode_point(point) for point in [NEUTRAL, *GENERATORS.values()]}) == 5

# ---------------------------------------------------------------- Snowblind; points go in and out as bytes


def snowblind_challenge(public, message, blinded_commitment):
    return scalar_of("snowblind/challenge", public, message, blinded_commitment)


def snowblind_commit(a, b, y):
    return encode_point(combine((a, G))), encode_point(combine((b, G), (y, H)))


def snowblind_blind(public, message, commitment, blinding):
    """R', and the challenge c that travels."""
    (a_bytes, b_bytes), (alpha, beta, r) = commitment, blinding
    key, first, second = decode_point(public), decode_point(a_bytes), decode_point(b_bytes)
    if alpha == 0:
        raise Refused("alpha is zero")
    fifth = pow(alpha, 5, Q)
    blinded = encode_point(combine((r, G), (fifth, first), (fifth * beta, key), (alpha, second)))
    return blinded, (snowblind_challenge(public, message, blinded) * pow(fifth, -1, Q) + beta) % Q


def snowblind_respond(secret, nonces, c):
    a, b, y = nonces
    return (a + (c + pow(y, 5, Q)) * secret) % Q, b, y


def snowblind_unblind(public, message, commitment, blinding, response):
    """Checks the bank's answer and makes the signature."""
    (z, b, y), (alpha, _, r) = response, blinding
    blinded, c = snowblind_blind(public, message, commitment, blinding)
    first, second = map(decode_point, commitment)
    if y == 0:
        raise Refused("y is zero")
    if not same(second, combine((b, G), (y, H))):
        raise Refused("B is not opened by b and y")
    if not same(combine((z, G)), combine((1, first), (c + pow(y, 5, Q), decode_point(public)))):
        raise Refused("z does not answer the challenge")
    signature = blinded + encode_scalar(r + pow(alpha, 5, Q) * z + alpha * b) + encode_scalar(alpha * y)
    snowblind_verify(public, message, signature)
    return signature


def snowblind_verify(public, message, signature):
    if len(signature) != 96 or len(message) != 32:
        raise Refused("a signature has 96 bytes, a message 32")
    blinded, z, y = signature[:32], decode_scalar(signature[32:64]), decode_scalar(signature[64:])
    commitment, key = decode_point(blinded), decode_point(public)
    if y == 0:
        raise Refused("y' is zero")
    c = snowblind_challenge(public, message, blinded)
    if not same(combine((1, commitment), (c + pow(y, 5, Q), key)), combine((z, G), (y, H))):
        raise Refused("the signature's equation does not hold")


def snowblind_derived_blinding(seed, session, index, public, message, commitment):
    fields = (seed, session, integer(index), public, message, *commitment)
    alpha, beta, r = (scalar_of("snowblind/blinding/" + name, *fields) for name in ("alpha", "beta", "r"))
    return alpha or 1, beta, r


# ---------------------------------------------------------------- possession of many keys


def possession_weights(statement, commitment, publics):
    base = digest_of("possession/transcript", statement, commitment, integer(len(publics)), *publics)
    return [scalar_of("possession/challenge", base, integer(index)) for index in range(len(publics))]


def possession_prove(keys, statement, random):
    nonce = scalar_of("possession/nonce", random, *map(encode_scalar, keys), statement)
    publics = [encode_point(combine((key, G))) for key in keys]
    commitment = encode_point(combine((nonce, G)))
    weights = possession_weights(statement, commitment, publics)
    return commitment + encode_scalar(nonce + sum(weight * key for weight, key in zip(weights, keys)))


def possession_verify(publics, statement, proof):
    if len(proof) != 64 or len(statement) != 32:
        raise Refused("a proof has 64 bytes, a statement 32")
    if not publics:
        raise Refused("a proof of no key")
    commitment, answer = decode_point(proof[:32]), decode_scalar(proof[32:])
    keys = [decode_point(public) for public in publics]
    weights = possession_weights(statement, proof[:32], publics)
    if not same(combine((answer, G)), combine((1, commitment), *zip(weights, keys))):
        raise Refused("the proof's equation does not hold")


# ---------------------------------------------------------------- Ed25519 (RFC 8032), over the same curve


def decode_edwards(data):
    """RFC 8032, 5.1.3."""
    whole = int.from_bytes(data, "little")
    y, sign = whole % 2**255, whole >> 255
    was_square, x = root_of_ratio(y * y - 1, D * y * y + 1)
    if len(data) != 32 or y >= P or not was_square or (x == 0 and sign):
        raise Refused("not a point of Ed25519")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


def encode_edwards(point):
    x, y, z, _ = point
    inverse = pow(z, -1, P)
    return ((y * inverse % P) | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def ed25519_verify(public, message, signature, what):
    """RFC 8032, 5.1.7 without the cofactor; keys and R of small order are refused besides."""
    try:
        if len(signature) != 64:
            raise Refused("length")
        key, commitment, answer = decode_edwards(public), decode_edwards(signature[:32]), decode_scalar(signature[32:])
        for point in (key, commitment):
            if encode_edwards(combine((8, point))) == encode_edwards(NEUTRAL):
                raise Refused("small order")
        k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little")
        if encode_edwards(combine((answer, G), (-k, key))) != signature[:32]:
            raise Refused("equation")
    except Refused as refused:
        raise Refused(f"signature does not verify: {what}") from refused


# ---------------------------------------------------------------- ChaCha20-Poly1305 (RFC 8439)


def chacha_block(key, counter, nonce):
    words = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574]
    words += [int.from_bytes(part[i:i + 4], "little") for part in (key, counter.to_bytes(4, "little"), nonce)
              for i in range(0, len(part), 4)]
    state = list(words)
    for _ in range(10):
        for a, b, c, d in ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
                           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)):
            for sum_at, add_at, turn_at, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[sum_at] = (state[sum_at] + state[add_at]) % 2**32
                mixed = state[turn_at] ^ state[sum_at]
                state[turn_at] = (mixed << by | mixed >> 32 - by) % 2**32
    return b"".join(((one + other) % 2**32).to_bytes(4, "little") for one, other in zip(state, words))


def chacha_open(key, nonce, sealed, associated):
    """The message, or Refused where the tag is wrong."""
    if len(sealed) < 16:
        raise Refused("sealed message")
    ciphertext, tag = sealed[:-16], sealed[-16:]
    one_time = chacha_block(key, 0, nonce)
    r, s = int.from_bytes(one_time[:16], "little"), int.from_bytes(one_time[16:32], "little")
    r &= 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    padded = b"".join(part + bytes(-len(part) % 16) for part in (associated, ciphertext))
    padded += integer(len(associated)) + integer(len(ciphertext))
    accumulator = 0
    for at in range(0, len(padded), 16):
        accumulator = (accumulator + int.from_bytes(padded[at:at + 16], "little") + 2**128) * r % (2**130 - 5)
    if ((accumulator + s) % 2**128).to_bytes(16, "little") != tag:
        raise Refused("sealed message")
    stream = b"".join(chacha_block(key, 1 + at, nonce) for at in range(-(-len(ciphertext) // 64)))
    return bytes(one ^ other for one, other in zip(ciphertext, stream))


# ---------------------------------------------------------------- online cash: messages come as their JSON


def texts(*names):
    return tuple(name.encode() for name in names)


def number(text):
    """A 64-bit integer in its one decimal writing; amounts are below 2^63, which no rule here depends on."""
    if not text.isascii() or not text.isdigit() or (len(text) > 1 and text[0] == "0") or int(text) >= 2**64:
        raise Refused("not a decimal integer")
    return int(text)


def hashed(text):
    """A decimal string as it enters a hash."""
    return integer(number(text))


def denomination_id(key):
    return digest_of("online-cash/denomination", *texts(key["bank"], key["currency"]), hashed(key["value"]), b"online",
                     *(hashed(key[name]) for name in ("issue_from", "issue_until", "redeem_until")), raw(key["key"]))


def keyset_digest(keyset):
    return digest_of("online-cash/keyset", keyset["bank"].encode(), hashed(keyset["epoch"]),
                     keyset["currency"].encode(), hashed(keyset["grace_until"]), integer(len(keyset["keys"])),
                     *map(denomination_id, keyset["keys"]))


TIMES = ("issue_from", "issue_until", "redeem_until")


def keyset_verify(keyset, bank_key):
    """The denominations by id."""
    keys, last = keyset["keys"], 0
    if not 1 <= len(keys) <= 32:
        raise Refused("1 to 32 denominations")
    for key in keys:
        value, times = number(key["value"]), [number(key[name]) for name in TIMES]
        if (key["bank"], key["currency"]) != (keyset["bank"], keyset["currency"]):
            raise Refused("a key of another bank or currency")
        if value <= last or value & value - 1:
            raise Refused("values are ascending powers of two")
        last = value
        if sorted(times) != times or times[0] == times[1] or times[2] > number(keyset["grace_until"]):
            raise Refused("times out of order")
        if times != [number(keys[0][name]) for name in TIMES]:
            raise Refused("keys of one epoch share their times")
    ed25519_verify(raw(bank_key), keyset_digest(keyset), raw(keyset["signature"]), "keyset")
    for key in keys:
        decode_point(raw(key["key"]))
    if len({key["key"] for key in keys}) != len(keys):
        raise Refused("one key for two values")
    return {denomination_id(key): key for key in keys}


def coin_message(public):
    return digest_of("online-cash/coin", public)


def coin_key(seed, bank, denomination, session, index, commitment):
    return scalar_of("online-cash/coin-key", seed, bank, denomination, session, integer(index), *commitment)


def route_fields(route):
    if route == "received":
        return texts("received")
    return texts("account", route["account"]["bank"], route["account"]["account"])


def body_digest(request):
    (payee, payee_value), = request["payee"].items()
    if payee == "certified":
        payee_fields = b"certified", raw(payee_value["leaf"]), raw(payee_value["issuer"])
    else:
        payee_fields = b"key", raw(payee_value)
    delivery = request["delivery"]
    if delivery == "by_hand":
        delivery_fields = texts("by-hand")
    else:
        (kind, url), = delivery.items()
        delivery_fields = texts({"url": "url", "drop_box": "drop-box"}[kind], url)
    return digest_of("payment-request/body", *payee_fields, request["name"].encode(),
                     hashed(request["amount"]["minor"]), *texts(request["amount"]["currency"], request["order"]),
                     *route_fields(request["route"]), *delivery_fields, hashed(request["refund_until"]),
                     raw(request["view"]), raw(request["nonce"]))


def request_digest(expires, body):
    return digest_of("payment-request", hashed(expires), body)


def request_verify(signed, payee):
    """`payee` is what the certificate of a certified payee says. Gives the request's digest."""
    request, signature = signed["request"], signed["signature"]
    if number(request["amount"]["minor"]) == 0:
        raise Refused("amount is zero")
    digest = request_digest(request["expires"], body_digest(request))
    route = request["route"]
    if "certified" in request["payee"] and "document" in signature and "account" in route:
        if (route["account"]["bank"], route["account"]["account"]) != (payee["bank"], payee["account"]):
            raise Refused("certificate is for another account")
        ed25519_verify(raw(payee["public_key"]), digest, raw(signature["document"]), "payment request")
    elif "key" in request["payee"] and "key" in signature and route == "received":
        possession_verify([raw(request["payee"]["key"])], digest, proof_bytes(signature["key"]))
    else:
        raise Refused("payee, signature and route do not fit")
    return digest


def proof_bytes(proof):
    return raw(proof["r"]) + raw(proof["s"])


def signature_bytes(signature):
    return b"".join(raw(signature[part]) for part in ("commitment", "z", "y"))


def share_fields(share):
    return raw(share["coin"]["denomination"]), raw(share["coin"]["key"]), hashed(share["contribution"])


def payment_digest(request, shares):
    fields = [field for share in shares for field in share_fields(share)]
    return digest_of("online-cash/payment", request, integer(len(shares)), *fields)


def refresh_statement(bank, session, kind, inputs, challenges):
    """`inputs` is a list of tuples of fields."""
    return digest_of("online-cash/refresh", bank.encode(), session, kind.encode(), integer(len(inputs)),
                     *(field for fields in inputs for field in fields), integer(len(challenges)), *challenges)


def coins_statement(bank, session, inputs, challenges):
    fields = [(*share_fields(stated), integer(len(stated["releases"])), *map(raw, stated["releases"]))
              for stated in inputs]
    return refresh_statement(bank, session, "coins", fields, challenges)


def challenges_of(texts_of_scalars):
    return [encode_scalar(decode_scalar(raw(text))) for text in texts_of_scalars]


def released_digest(bank, released):
    (kind, value), = released.items()
    if kind == "payment":
        return payment_digest(request_digest(value["expires"], raw(value["body"])), value["shares"])
    return coins_statement(bank, raw(value["session"]), value["inputs"], challenges_of(value["challenges"]))


def coin_of(share):
    return share["coin"]["denomination"], share["coin"]["key"]


def payment_verify(item, keysets, payee, now):
    pinned = {}
    for entry in keysets:
        pinned.update(keyset_verify(entry["keyset"], entry["bank_key"]))
    request, payment = item["request"]["request"], item["payment"]
    digest = request_verify(item["request"], payee)
    if raw(payment["request"]) != digest:
        raise Refused("the payment is for another request")
    shares = [coin["share"] for coin in payment["coins"]]
    banks, total = set(), 0
    for share in shares:
        key = pinned.get(raw(share["coin"]["denomination"]))
        if key is None:
            raise Refused("unknown denomination")
        if now >= number(key["redeem_until"]):
            raise Refused("denomination key expired for this use")
        if key["currency"] != request["amount"]["currency"]:
            raise Refused("wrong currency")
        contribution = number(share["contribution"])
        if not 0 < contribution <= number(key["value"]):
            raise Refused("invalid contribution")
        banks.add(key["bank"])
        total += contribution
    if len(banks) != 1 or not 1 <= len(shares) <= 256:
        raise Refused("1 to 256 coins of one bank")
    if len(set(map(coin_of, shares))) != len(shares):
        raise Refused("a coin stands twice in one statement")
    if total != number(request["amount"]["minor"]):
        raise Refused("the coins do not sum to the request")
    for coin in payment["coins"]:
        public = raw(coin["share"]["coin"]["key"])
        key = pinned[raw(coin["share"]["coin"]["denomination"])]
        snowblind_verify(raw(key["key"]), coin_message(public), signature_bytes(coin["signature"]))
    statement = payment_digest(digest, shares)
    possession_verify([raw(share["coin"]["key"]) for share in shares], statement, proof_bytes(payment["possession"]))
    return {"payment": statement.hex(), "request": digest.hex(), "issuing_bank": banks.pop(),
            "amount": request["amount"]}


def evidence_verify(evidence, bank_key):
    keyset = evidence["keyset"]
    denominations = keyset_verify(keyset, bank_key)
    key = denominations.get(raw(evidence["coin"]["denomination"]))
    if key is None:
        raise Refused("the keyset lacks the coin's denomination")
    public = raw(evidence["coin"]["key"])
    snowblind_verify(raw(key["key"]), coin_message(public), signature_bytes(evidence["signature"]))
    total, digests, released = 0, [], set()
    for statement in evidence["statements"]:
        (kind, value), = statement.items()
        stated = value["shares" if kind == "payment" else "inputs"]
        if kind == "payment":
            digest = payment_digest(raw(value["request"]), stated)
        else:
            digest = released_digest(keyset["bank"], {"refresh": value})
            released |= {name for one in stated for name in one["releases"]}
        given = [number(one["contribution"]) for one in stated if one["coin"] == evidence["coin"]]
        if len(set(map(coin_of, stated))) != len(stated):
            raise Refused("a coin stands twice in one statement")
        if not sum(given):
            raise Refused("a statement is about other coins")
        possession_verify([raw(one["coin"]["key"]) for one in stated], digest, proof_bytes(value["possession"]))
        total += sum(given)
        digests.append(digest.hex())
    if len(set(digests)) != len(digests):
        raise Refused("a statement stands twice")
    if released & set(digests):
        raise Refused("one statement releases another")
    if total <= number(key["value"]):
        raise Refused("the statements do not exceed the coin's value")
    amount = {"value": key["value"], "signed": str(total)}
    return {name: {"minor": minor, "currency": key["currency"]} for name, minor in amount.items()} | {
        "statements": digests}


# ---------------------------------------------------------------- the binary encoding, as far as a request needs it


def counted(data):
    return integer(len(data)) + data


def variant(index, *fields):
    return index.to_bytes(4, "little") + b"".join(fields)


def text_field(text):
    return counted(text.encode())


def encoded_request(signed):
    request, signature = signed["request"], signed["signature"]
    (payee, value), = request["payee"].items()
    if payee == "certified":
        payee_bytes = variant(0, counted(raw(value["leaf"])), raw(value["issuer"]))
    else:
        payee_bytes = variant(1, raw(value))
    route, delivery = request["route"], request["delivery"]
    route_bytes = variant(1) if route == "received" else variant(
        0, text_field(route["account"]["bank"]), text_field(route["account"]["account"]))
    if delivery == "by_hand":
        delivery_bytes = variant(2)
    else:
        (kind, url), = delivery.items()
        delivery_bytes = variant(("url", "drop_box").index(kind), text_field(url))
    if "document" in signature:
        signature_part = variant(0, counted(raw(signature["document"])))
    else:
        signature_part = variant(1, proof_bytes(signature["key"]))
    return b"".join((
        b"FQ\x01\x00", payee_bytes, text_field(request["name"]), hashed(request["amount"]["minor"]),
        text_field(request["amount"]["currency"]), text_field(request["order"]), route_bytes, delivery_bytes,
        hashed(request["refund_until"]), raw(request["view"]), hashed(request["expires"]), raw(request["nonce"]),
        signature_part))


def request_uri(signed):
    return "feiqian:" + base64.urlsafe_b64encode(encoded_request(signed)).decode().rstrip("=")


# ---------------------------------------------------------------- the vectors: inputs in, outputs out, or Refused


def raw(text):
    return bytes.fromhex(text)


def scalars(inputs, *names):
    return tuple(decode_scalar(raw(inputs[name])) for name in names)


def scalar_text(value):
    return encode_scalar(value).hex()


def commitment_of(inputs):
    return raw(inputs["A"]), raw(inputs["B"])


def signature_text(signature):
    return {"commitment": signature[:32].hex(), "z": signature[32:64].hex(), "y": signature[64:].hex()}


def field(kind, value):
    if kind == "integer":
        return integer(int(value))
    if kind == "text":
        return value.encode()
    data = raw(value)
    if kind == "point":
        decode_point(data, identity_allowed=True)
    elif kind == "scalar":
        decode_scalar(data)
    elif kind not in ("bytes", "digest"):
        raise KeyError(f"no field kind {kind}")
    return data


def run_transcript(inputs):
    name, fields = inputs["label"], [field(*entry) for entry in inputs["fields"]]
    return {
        "T": transcript(name, *fields).hex(),
        "D": digest_of(name, *fields).hex(),
        "Hs": scalar_text(scalar_of(name, *fields)),
        "HG": encode_point(point_of(name, *fields)).hex(),
    }


def run_generators(_inputs):
    return {name: encode_point(point).hex() for name, point in GENERATORS.items()}


def run_issue(inputs):
    """The whole way from all randomness to the signature, both sides."""
    (secret,), message = scalars(inputs, "x"), raw(inputs["message"])
    nonces, blinding = scalars(inputs, "a", "b", "y"), scalars(inputs, "alpha", "beta", "r")
    public = encode_point(combine((secret, G)))
    commitment = snowblind_commit(*nonces)
    _, c = snowblind_blind(public, message, commitment, blinding)
    response = snowblind_respond(secret, nonces, c)
    signature = snowblind_unblind(public, message, commitment, blinding, response)
    return {
        "X": public.hex(),
        "A": commitment[0].hex(),
        "B": commitment[1].hex(),
        "c": scalar_text(c),
        "response": dict(zip(("z", "b", "y"), map(scalar_text, response))),
        "signature": signature_text(signature),
    }


def run_derive_blinding(inputs):
    public, message, commitment = raw(inputs["X"]), raw(inputs["message"]), commitment_of(inputs)
    place = raw(inputs["seed"]), raw(inputs["session"]), int(inputs["index"])
    blinding = snowblind_derived_blinding(*place, public, message, commitment)
    _, c = snowblind_blind(public, message, commitment, blinding)
    return dict(zip(("alpha", "beta", "r", "c"), map(scalar_text, (*blinding, c))))


def run_blind(inputs):
    blinding = scalars(inputs, "alpha", "beta", "r")
    _, c = snowblind_blind(raw(inputs["X"]), raw(inputs["message"]), commitment_of(inputs), blinding)
    return {"c": scalar_text(c)}


def run_unblind(inputs):
    blinding, response = scalars(inputs, "alpha", "beta", "r"), scalars(inputs["response"], "z", "b", "y")
    public, message = raw(inputs["X"]), raw(inputs["message"])
    signature = snowblind_unblind(public, message, commitment_of(inputs), blinding, response)
    return {"signature": signature_text(signature)}


def run_verify(inputs):
    signature = b"".join(raw(inputs["signature"][part]) for part in ("commitment", "z", "y"))
    snowblind_verify(raw(inputs["X"]), raw(inputs["message"]), signature)
    return {}


def run_recover_key(inputs):
    c1, z1, c2, z2 = scalars(inputs, "c1", "z1", "c2", "z2")
    return {"x": scalar_text((z1 - z2) * pow(c1 - c2, -1, Q))}


def run_prove(inputs):
    keys = [decode_scalar(raw(key)) for key in inputs["keys"]]
    statement = raw(inputs["statement"])
    proof = possession_prove(keys, statement, raw(inputs["hedge"]))
    publics = [encode_point(combine((key, G))) for key in keys]
    possession_verify(publics, statement, proof)
    return {"publics": [public.hex() for public in publics], "proof": proof_text(proof)}


def run_possession(inputs):
    proof = raw(inputs["proof"]["r"]) + raw(inputs["proof"]["s"])
    possession_verify([raw(public) for public in inputs["publics"]], raw(inputs["statement"]), proof)
    return {}


def run_denomination(inputs):
    return {"id": denomination_id(inputs["key"]).hex()}


def run_keyset(inputs):
    ids = [identifier.hex() for identifier in keyset_verify(inputs["keyset"], inputs["bank_key"])]
    return {"digest": keyset_digest(inputs["keyset"]).hex(), "ids": ids}


def run_view(inputs):
    fields = raw(inputs["previous"]), inputs["bank"].encode(), hashed(inputs["epoch"]), raw(inputs["keyset"])
    return {"view": digest_of("online-cash/view", *fields).hex()}


def run_coin_key(inputs):
    secret = coin_key(raw(inputs["seed"]), inputs["bank"].encode(), raw(inputs["denomination"]),
                      raw(inputs["session"]), int(inputs["index"]), commitment_of(inputs))
    public = encode_point(combine((secret, G)))
    return {"k": scalar_text(secret), "K": public.hex(), "message": coin_message(public).hex()}


def run_request_id(inputs):
    seed_key = transcript("wallet/seed-key", raw(inputs["seed"]))
    return {"request": digest_of(
        "wallet/request", seed_key, raw(inputs["generation"]), *texts(inputs["bank"], inputs["caller"]),
        hashed(inputs["epoch"]), hashed(inputs["counter"])).hex()}


def run_payee_key(inputs):
    secret = scalar_of("online-cash/payee-key", raw(inputs["seed"]), raw(inputs["generation"]),
                       hashed(inputs["counter"]))
    return {"p": scalar_text(secret), "P": encode_point(combine((secret, G))).hex()}


def run_wallet_issue(inputs):
    """The wallet's whole side of a session, from its seed and what the bank said."""
    seed, session = raw(inputs["seed"]), raw(inputs["session"])
    challenges, coins = [], []
    parts = zip(inputs["keys"], inputs["commitments"], inputs["answers"])
    for index, (key, commitment, answer) in enumerate(parts):
        commitment = raw(commitment["a"]), raw(commitment["b"])
        denomination, public_x = raw(key["denomination"]), raw(key["X"])
        secret = coin_key(seed, inputs["bank"].encode(), denomination, session, index, commitment)
        public = encode_point(combine((secret, G)))
        message = coin_message(public)
        blinding = snowblind_derived_blinding(seed, session, index, public_x, message, commitment)
        challenges.append(scalar_text(snowblind_blind(public_x, message, commitment, blinding)[1]))
        signature = snowblind_unblind(public_x, message, commitment, blinding, scalars(answer, "z", "b", "y"))
        coins.append({"id": {"denomination": denomination.hex(), "key": public.hex()}, "k": scalar_text(secret),
                      "signature": signature_text(signature)})
    return {"challenges": challenges, "coins": coins}


def run_withdrawal(inputs):
    denominations = list(map(raw, inputs["denominations"]))
    return {"statement": digest_of(
        "online-cash/withdraw", *texts(inputs["bank"], inputs["account"]), raw(inputs["session"]),
        integer(len(denominations)), *denominations, hashed(inputs["fee"]),
        *challenges_of(inputs["challenges"])).hex()}


def run_refresh_statement(inputs):
    place, given = (inputs["bank"], raw(inputs["session"])), inputs["inputs"]
    challenges = challenges_of(inputs["challenges"])
    if inputs["kind"] == "coins":
        return {"statement": coins_statement(*place, given, challenges).hex()}
    fields = [(raw(given["payment"]), hashed(given["amount"]))]
    return {"statement": refresh_statement(*place, inputs["kind"], fields, challenges).hex()}


def signed_document(inputs, what, label, *fields):
    digest = digest_of(label, *fields)
    ed25519_verify(raw(inputs["signing_key"]), digest, raw(inputs["document"]["signature"]), what)
    return {"digest": digest.hex()}


def run_receipt(inputs):
    receipt = inputs["document"]
    return signed_document(
        inputs, "receipt", "online-cash/receipt", receipt["bank"].encode(), raw(receipt["payment"]),
        raw(receipt["request"]), hashed(receipt["amount"]["minor"]), receipt["amount"]["currency"].encode(),
        *route_fields(receipt["route"]), raw(receipt["presentment"]), hashed(receipt["paid_at"]))


def run_expired(inputs):
    statement = inputs["document"]
    return signed_document(inputs, "expiry statement", "online-cash/expired", statement["bank"].encode(),
                           raw(statement["payment"]), hashed(statement["expires"]))


def run_refund(inputs):
    order = inputs["document"]
    if number(order["amount"]["minor"]) == 0:
        raise Refused("a refund is more than zero")
    return signed_document(inputs, "refund order", "online-cash/refund", raw(order["refund"]),
                           order["issuing_bank"].encode(), raw(order["payment"]), hashed(order["amount"]["minor"]),
                           order["amount"]["currency"].encode())


def run_drop_box_open(inputs):
    (secret,), sealed = scalars(inputs, "secret"), inputs["sealed"]
    ephemeral, ciphertext = raw(sealed["ephemeral"]), raw(sealed["ciphertext"])
    payee = encode_point(combine((secret, G)))
    shared = encode_point(combine((secret, decode_point(ephemeral))))
    key = transcript("drop-box/key", ephemeral, payee, shared)[:32]
    message = chacha_open(key, bytes(12), ciphertext, payee)
    return {"message": message.hex(), "digest": digest_of("drop-box/message", ephemeral, ciphertext).hex()}


def run_drop_box_access(inputs):
    access, payee = inputs["access"], raw(inputs["access"]["payee"])
    action = access["action"]
    fields = [b"collect"] if action == "collect" else [b"delete", raw(action["delete"])]
    statement = digest_of("drop-box/access", inputs["bank"].encode(), payee, *fields)
    possession_verify([payee], statement, proof_bytes(access["possession"]))
    return {"statement": statement.hex()}


def run_request(inputs):
    signed = inputs["request"]
    digest = request_verify(signed, inputs["payee"])
    return {"body": body_digest(signed["request"]).hex(), "digest": digest.hex(), "uri": request_uri(signed)}


def signed_coins(coins):
    """Secrets and shares of coins that are given as secrets."""
    secrets = [scalars(coin, "k")[0] for coin in coins]
    ids = [{"denomination": coin["denomination"], "key": encode_point(combine((secret, G))).hex()}
           for coin, secret in zip(coins, secrets)]
    return secrets, [{"coin": identifier, "contribution": coin["contribution"]} for identifier, coin in zip(ids, coins)]


def proof_text(proof):
    return {"r": proof[:32].hex(), "s": proof[32:].hex()}


def run_pay(inputs):
    secrets, shares = signed_coins(inputs["coins"])
    digest = payment_digest(raw(inputs["request"]), shares)
    coins = [{"share": share, "signature": coin["signature"]} for share, coin in zip(shares, inputs["coins"])]
    possession = proof_text(possession_prove(secrets, digest, raw(inputs["hedge"])))
    return {"digest": digest.hex(),
            "payment": {"request": inputs["request"], "coins": coins, "possession": possession}}


def run_refresh(inputs):
    secrets, shares = signed_coins(inputs["inputs"])
    stated = [share | {"releases": coin["releases"]} for share, coin in zip(shares, inputs["inputs"])]
    shown = {released_digest(inputs["bank"], released).hex() for released in inputs["released"]}
    if shown != {name for one in stated for name in one["releases"]}:
        raise Refused("what is released is not what is shown")
    statement = coins_statement(inputs["bank"], raw(inputs["session"]), stated, challenges_of(inputs["challenges"]))
    proof = possession_prove(secrets, statement, raw(inputs["hedge"]))
    return {"statement": statement.hex(), "possession": proof_text(proof)}


def run_payment(inputs):
    return payment_verify(inputs["item"], inputs["keysets"], inputs["payee"], number(inputs["now"]))


def run_evidence(inputs):
    return evidence_verify(inputs["evidence"], inputs["bank_key"])


def run_presentment(inputs):
    fields = texts(inputs["bank"], inputs["account"], inputs["kind"])
    return {"id": digest_of("clearing/presentment", *fields, raw(inputs["item"])).hex()}


OPERATIONS = {
    "transcript": run_transcript,
    "generators": run_generators,
    "snowblind/issue": run_issue,
    "snowblind/derive-blinding": run_derive_blinding,
    "snowblind/blind": run_blind,
    "snowblind/unblind": run_unblind,
    "snowblind/verify": run_verify,
    "snowblind/recover-key": run_recover_key,
    "possession/prove": run_prove,
    "possession/verify": run_possession,
    "online-cash/denomination": run_denomination,
    "online-cash/keyset": run_keyset,
    "online-cash/view": run_view,
    "online-cash/coin-key": run_coin_key,
    "online-cash/request-id": run_request_id,
    "online-cash/payee-key": run_payee_key,
    "online-cash/issue": run_wallet_issue,
    "online-cash/withdrawal-statement": run_withdrawal,
    "online-cash/refresh-statement": run_refresh_statement,
    "online-cash/receipt": run_receipt,
    "online-cash/expired": run_expired,
    "online-cash/refund": run_refund,
    "online-cash/drop-box-open": run_drop_box_open,
    "online-cash/drop-box-access": run_drop_box_access,
    "online-cash/request": run_request,
    "online-cash/pay": run_pay,
    "online-cash/refresh": run_refresh,
    "online-cash/payment": run_payment,
    "online-cash/evidence": run_evidence,
    "clearing/presentment": run_presentment,
}


def difference(vector):
    """What this implementation finds wrong with a vector, or None."""
    operation = OPERATIONS.get(vector["operation"])
    if operation is None:
        return f"no such operation here: {vector['operation']}"
    try:
        outputs = operation(vector["inputs"])
    except Refused as refused:
        return f"refused: {refused}" if vector["valid"] else None
    if not vector["valid"]:
        return f"accepted, and must be refused: {vector['reason']}"
    wrong = sorted(name for name in outputs.keys() | vector["outputs"].keys()
                   if outputs.get(name) != vector["outputs"].get(name))
    return f"differs in {', '.join(wrong)}" if wrong else None


# ---------------------------------------------------------------- RFC 9496, appendix A: this group is that group


def rfc_9496():
    """Differences from the RFC's own vectors, as (name, difference or None)."""
    encodings = {
        0: "00" * 32,
        1: "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
        2: "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
        3: "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    }
    for scalar, encoding in encodings.items():
        good = encode_point(combine((scalar, G))).hex() == encoding
        back = same(decode_point(raw(encoding), identity_allowed=True), combine((scalar, G)))
        yield f"{scalar} times the generator", None if good and back else "another encoding"
    espresso = hashlib.sha512(b"Ristretto is traditionally a short shot of espresso coffee").digest()
    mapped = "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"
    yield "the one-way map", None if encode_point(one_way_map(espresso)).hex() == mapped else "another point"
    refused = {
        "a field element that is not reduced": "ed" + "ff" * 30 + "7f",
        "a negative field element": "01" + "00" * 31,
        "a non-square": "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    }
    for name, encoding in refused.items():
        try:
            decode_point(raw(encoding), identity_allowed=True)
            yield name, "accepted"
        except Refused:
            yield name, None


def other_rfcs():
    """RFC 8032, 7.1, test 2; RFC 8439, 2.8.2."""
    public = raw("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c")
    signature = raw("92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00")
    for name, message, good in (("a signature", b"\x72", True), ("another message", b"\x73", False)):
        try:
            ed25519_verify(public, message, signature, "test")
            yield f"Ed25519: {name}", None if good else "accepted"
        except Refused as refused:
            yield f"Ed25519: {name}", str(refused) if good else None
    key, nonce = bytes(range(0x80, 0xA0)), raw("070000004041424344454647")
    sealed = raw("d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
                 "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
                 "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
                 "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691")
    text = (b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
            b"sunscreen would be it.")
    opened = chacha_open(key, nonce, sealed, raw("50515253c0c1c2c3c4c5c6c7"))
    yield "ChaCha20-Poly1305: a sealed text", None if opened == text else "another text"


def main(arguments):
    here = pathlib.Path(__file__).resolve().parent
    folder = pathlib.Path(arguments[0]) if arguments else here / "vectors"
    groups = {"RFC 9496": list(rfc_9496()), "RFC 8032 and 8439": list(other_rfcs())}
    found = 0
    for file in sorted(folder.glob("*.json")):
        for vector in json.loads(file.read_text(encoding="utf-8"))["vectors"]:
            found += 1
            results = groups.setdefault(f"{file.name} {vector['operation']}", [])
            results.append((vector["name"], difference(vector)))
    passed = failed = 0
    for group, results in groups.items():
        wrong = [(name, what) for name, what in results if what]
        passed, failed = passed + len(results) - len(wrong), failed + len(wrong)
        print(f"{group}: {len(results) - len(wrong)} of {len(results)}")
        for name, what in wrong:
            print(f"  FAILED {name}: {what}")
    print(f"{passed} passed, {failed} failed")
    if not found:
        print(f"no vectors in {folder}")
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
