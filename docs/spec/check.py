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


# ---------------------------------------------------------------- ACL: the blind signature of the offline coin


def acl_key(inputs):
    """Y as bytes, Y, Z and the depth."""
    public, depth = raw(inputs["Y"]), number(inputs["depth"])
    if depth > 6:
        raise Refused("a depth is at most 6")
    key, base = decode_point(public), point_of("acl/Z", public)
    if same(base, NEUTRAL):
        raise Refused("Z is the identity")
    return public, key, base, depth


def any_point(text):
    """A point that may be the identity."""
    return decode_point(raw(text), identity_allowed=True)


def coin_name(public, depth, root, zeta, zeta1):
    return digest_of("offline-cash/coin", public, integer(depth), root, zeta, zeta1)


def acl_challenge(points, message):
    return scalar_of("acl/challenge", *points, message)


def acl_scalars(signature):
    return scalars(signature, "rho", "omega", "rho1", "rho2", "omega_prime", "mu")


def acl_signature_text(zeta, zeta1, *values):
    names = ("rho", "omega", "rho1", "rho2", "omega_prime", "mu")
    return {"zeta": zeta.hex(), "zeta1": zeta1.hex(), **dict(zip(names, map(scalar_text, values)))}


def acl_verify(key_parts, message, signature):
    public, key, base, _ = key_parts
    zeta, zeta1 = decode_point(raw(signature["zeta"])), any_point(signature["zeta1"])
    rho, omega, rho1, rho2, prime, mu = acl_scalars(signature)
    zeta2 = combine((1, zeta), (-1, zeta1))
    points = (combine((rho, G), (omega, key)), combine((rho1, G), (prime, zeta1)), combine((rho2, H), (prime, zeta2)),
              combine((mu, base), (prime, zeta)))
    shown = (raw(signature["zeta"]), raw(signature["zeta1"]), *map(encode_point, points))
    if (omega + prime) % Q != acl_challenge(shown, message):
        raise Refused("the signature's equation does not hold")


def acl_blind(key_parts, commitment, announcement, blinding, root):
    """zeta and zeta1 as bytes, m, e, and the bank's points with Z1."""
    public, key, base, depth = key_parts
    gamma, tau, t1, t2, t3, t4, t5 = blinding
    nu, = scalars(announcement, "nu")
    first, b1, b2 = (any_point(announcement[name]) for name in ("a", "b1", "b2"))
    z1 = combine((1, decode_point(commitment)), (nu, G))
    if gamma == 0:
        raise Refused("gamma is zero")
    zeta, zeta1 = combine((gamma, base)), combine((gamma, z1))
    zeta2 = combine((1, zeta), (-1, zeta1))
    points = (zeta, zeta1, combine((1, first), (t1, G), (t2, key)), combine((gamma, b1), (t3, G), (t4, zeta1)),
              combine((gamma, b2), (t5, H), (t4, zeta2)), combine((tau, base)))
    shown = list(map(encode_point, points))
    message = coin_name(public, depth, root, *shown[:2])
    return shown[0], shown[1], message, (acl_challenge(shown, message) - t2 - t4) % Q, (z1, first, b1, b2)


def acl_finish(key_parts, commitment, announcement, answer, blinding, root):
    """m, e and the signature as its JSON."""
    _, key, base, _ = key_parts
    gamma, tau, t1, t2, t3, t4, t5 = blinding
    zeta, zeta1, message, e, (z1, first, b1, b2) = acl_blind(key_parts, commitment, announcement, blinding, root)
    r, c, s1, s2, d = scalars(answer, "r", "c", "s1", "s2", "d")
    if (c + d) % Q != e:
        raise Refused("c + d is not e")
    if not same(combine((r, G), (c, key)), first):
        raise Refused("rG + cY is not A")
    if not same(combine((s1, G), (d, z1)), b1) or not same(combine((s2, H), (d, base), (-d, z1)), b2):
        raise Refused("B1 or B2 is not opened")
    prime = d + t4
    signature = acl_signature_text(zeta, zeta1, r + t1, c + t2, gamma * s1 + t3, gamma * s2 + t5, prime,
                                   tau - prime * gamma)
    acl_verify(key_parts, message, signature)
    return message, e, signature


def commit_identity(r, secret):
    return encode_point(combine((r, H0), (secret, H1)))


def secret_vector(gamma, r, secret, nu):
    return [scalar_text(value) for value in (gamma * r, gamma * secret, gamma * nu, -gamma)]


def opening_verify(identity, commitment, proof, context):
    person, point = decode_point(identity), decode_point(commitment)
    c, u, v = scalars(proof, "c", "u", "v")
    first, second = combine((u, H0), (v, H1), (-c, point)), combine((v, H1), (-c, person))
    if c != scalar_of("acl/opening", identity, commitment, encode_point(first), encode_point(second), context):
        raise Refused("the proof of opening does not hold")


def identity_verify(identity, proof, context):
    c, v = scalars(proof, "c", "v")
    announced = combine((v, H1), (-c, decode_point(identity)))
    if c != scalar_of("acl/identity", identity, encode_point(announced), context):
        raise Refused("the proof of the identity does not hold")


def slot(bank, account, session, index):
    return bank, account, session, integer(index)


def drawn_commitment(seed, place, public):
    return scalar_of("acl/commitment/R", seed, *place, public)


def drawn_blinding(seed, place, public, commitment, announcement):
    fields = (seed, *place, public, commitment, *(raw(announcement[name]) for name in ("nu", "a", "b1", "b2")))
    gamma, *rest = (scalar_of("acl/blinding/" + name, *fields) for name in BLINDING)
    return [gamma or 1, *rest], digest_of("share-tree/seed", *fields)


BLINDING = ("gamma", "tau", "t1", "t2", "t3", "t4", "t5")

# ---------------------------------------------------------------- the share tree


def level(node):
    return node.bit_length() - 1


def overlap(one, other):
    one, other = min(one, other), max(one, other)
    return other >> level(other) - level(one) == one


def vector_commitment(base, vector):
    v0, v1, v2, v3 = vector
    return encode_point(combine((v0, H0), (v1, H1), (v2, G))), encode_point(combine((v3, base)))


def tree_node_digest(commitments, children):
    label = "share-tree/node" if children else "share-tree/leaf"
    return digest_of(label, *(point for pair in commitments for point in pair), *children)


class ShareTree:
    def __init__(self, base, depth, seed):
        self.depth, self.coefficients, self.commitments, self.digests = depth, {}, {}, {}
        for node in reversed(range(1, 2 ** (depth + 1))):
            powers = (1,) if level(node) == depth else (1, 2)
            self.coefficients[node] = [
                [scalar_of("share-tree/coefficient", seed, *map(integer, (node, power, at))) for at in range(4)]
                for power in powers]
            self.commitments[node] = [vector_commitment(base, vector) for vector in self.coefficients[node]]
            self.digests[node] = tree_node_digest(self.commitments[node], self.children(node))

    def children(self, node):
        return [] if level(node) == self.depth else [self.digests[2 * node], self.digests[2 * node + 1]]

    def share(self, node, secret, point):
        values = [secret, *self.coefficients[node]]
        return [scalar_text(sum(vector[at] * pow(point, power, Q) for power, vector in enumerate(values)))
                for at in range(4)]

    def shown(self, node):
        return [{"vector": vector.hex(), "scale": scale.hex()} for vector, scale in self.commitments[node]]

    def spend(self, node, secret, challenge, signature):
        leaf = level(node) == self.depth
        shares = [self.share(node, secret, point) for point in own_points(challenge, leaf)]
        commitments = self.shown(node)
        if leaf:
            own = {"leaf": {"share": shares[0], "commitment": commitments[0]}}
        else:
            children = [digest.hex() for digest in self.children(node)]
            own = {"inner": {"shares": shares, "commitments": commitments, "children": children}}
        path = [(node >> up, node >> up + 1) for up in range(level(node))]
        ancestors = [{"share": self.share(above, secret, 1 + child % 2), "commitments": self.shown(above),
                      "sibling": self.digests[child ^ 1].hex()} for child, above in path]
        return {"signature": signature, "node": node, "own": own, "ancestors": ancestors}


def own_points(challenge, leaf):
    points = [challenge] if leaf else [challenge, scalar_of("share-tree/second", encode_scalar(challenge))]
    if any(point in (0, 1, 2) for point in points) or len(set(points)) != len(points):
        raise Refused("a forbidden point")
    return points


def own_parts(piece, depth):
    """Shares, commitments and children of the spent node; refuses parts that are not those of the node."""
    node = piece["node"]
    if not 1 <= node <= 127 or level(node) > depth:
        raise Refused("a node outside the tree")
    leaf = level(node) == depth
    if set(piece["own"]) != {"leaf" if leaf else "inner"} or len(piece["ancestors"]) != level(node):
        raise Refused("the parts are not those of the node")
    if leaf:
        own = piece["own"]["leaf"]
        return [own["share"]], [own["commitment"]], []
    own = piece["own"]["inner"]
    return own["shares"], own["commitments"], [raw(child) for child in own["children"]]


def pairs_of(commitments):
    return [(raw(pair["vector"]), raw(pair["scale"])) for pair in commitments]


def share_verify(base, signature, commitments, point, share):
    """The share's value, if it opens its commitments."""
    v0, v1, v2, v3 = values = [decode_scalar(raw(text)) for text in share]
    vectors = [(pow(point, power, Q), any_point(pair["vector"])) for power, pair in enumerate(commitments, 1)]
    scales = [(pow(point, power, Q), any_point(pair["scale"])) for power, pair in enumerate(commitments, 1)]
    vector = combine((1, any_point(signature["zeta1"])), *vectors)
    scale = combine((-1, decode_point(raw(signature["zeta"]))), *scales)
    if not same(vector, combine((v0, H0), (v1, H1), (v2, G))) or not same(scale, combine((v3, base))):
        raise Refused("a share does not open its commitments")
    return values


def piece_verify(key_parts, piece, challenge):
    """m, and every share as (node, point, values)."""
    public, _, base, depth = key_parts
    shares, commitments, children = own_parts(piece, depth)
    node, signature = piece["node"], piece["signature"]
    points = own_points(challenge, level(node) == depth)
    known = [(node, point, share_verify(base, signature, commitments, point, share))
             for point, share in zip(points, shares, strict=True)]
    digest = tree_node_digest(pairs_of(commitments), children)
    for up, ancestor in enumerate(piece["ancestors"]):
        child, point = node >> up, 1 + (node >> up) % 2
        known.append((child >> 1, point,
                      share_verify(base, signature, ancestor["commitments"], point, ancestor["share"])))
        halves = [digest, raw(ancestor["sibling"])]
        digest = tree_node_digest(pairs_of(ancestor["commitments"]), halves[::-1] if child % 2 else halves)
    message = coin_name(public, depth, digest, raw(signature["zeta"]), raw(signature["zeta1"]))
    acl_verify(key_parts, message, signature)
    return message, known


def interpolated(points):
    """The values at 0."""
    constant = [0] * 4
    for at, values in points.items():
        weight = 1
        for other in points:
            if other != at:
                weight = weight * other * pow(other - at, -1, Q) % Q
        constant = [(total + weight * value) % Q for total, value in zip(constant, values)]
    return constant


def identify(depth, known):
    """The opening as its JSON, or None."""
    by_node = {}
    for node, point, values in known:
        by_node.setdefault(node, {})[point] = values
    for node, points in by_node.items():
        need = 2 if level(node) == depth else 3
        if len(points) >= need:
            k0, k1, k2, k3 = interpolated(dict(list(points.items())[:need]))
            inverse = pow(-k3, -1, Q)
            return {name: scalar_text(k * inverse) for name, k in zip(("r", "identity_secret", "nu"), (k0, k1, k2))}
    return None


def opening_identity(opening):
    secret, = scalars(opening, "identity_secret")
    if secret == 0:
        raise Refused("L1 is zero")
    return encode_point(combine((secret, H1)))


def opening_matches(opening, identity, commitment, nu):
    r, secret, _ = scalars(opening, "r", "identity_secret", "nu")
    found = commit_identity(r, secret), raw(opening["nu"]), opening_identity(opening)
    if found != (commitment, nu, identity):
        raise Refused("not the opening of the withdrawal")


# ---------------------------------------------------------------- offline cash: messages come as their JSON

EPOCH_TIMES = ("issue_from", "issue_until", "pay_until", "deposit_until", "reclaim_until")


def offline_key_id(keyset, key):
    times = [hashed(keyset["times"][name]) for name in EPOCH_TIMES]
    return digest_of("offline-cash/key", *texts(keyset["bank"], keyset["currency"], key["kind"]), hashed(key["value"]),
                     integer(key["depth"]), hashed(keyset["epoch"]), *times, raw(key["key"]))


def offline_keyset_verify(keyset, bank_key):
    """The digest, and the keys by id."""
    times, keys = [number(keyset["times"][name]) for name in EPOCH_TIMES], keyset["keys"]
    issue_from, issue_until, pay_until, deposit_until, reclaim_until = times
    if not issue_from < issue_until <= pay_until < deposit_until < reclaim_until:
        raise Refused("times out of order")
    if not 2 <= len(keys) <= 20 or [key["kind"] for key in keys] != ["blank"] + ["value"] * (len(keys) - 1):
        raise Refused("a key for blanks, then keys for values")
    values = [number(key["value"]) for key in keys]
    if values[0] != 0 or any(one >= other for one, other in zip(values, values[1:])):
        raise Refused("values ascend from 0")
    for key, value in zip(keys, values):
        power = value.bit_length() - 1
        if value and (value & value - 1 or power > 18) or key["depth"] != (min(power, 6) if value else 6):
            raise Refused("a value or depth that no coin has")
    ids = {offline_key_id(keyset, key): key for key in keys}
    digest = digest_of("offline-cash/keyset", keyset["bank"].encode(), hashed(keyset["epoch"]),
                       keyset["currency"].encode(), integer(len(keys)), *ids)
    ed25519_verify(bank_key, digest, raw(keyset["signature"]), "keyset")
    if len({key["key"] for key in keys}) != len(keys):
        raise Refused("one key for two values")
    for key in keys:
        decode_point(raw(key["key"]))
    return digest, ids


def registration_context(inputs):
    return digest_of("offline-cash/register", *texts(inputs["bank"], inputs["account"]), raw(inputs["I"]),
                     raw(inputs["signing_key"]))


def identity_record_verify(identity, center_key):
    """The record's digest."""
    record, attested = identity["record"], hashed(identity["attested_at"])
    digest = digest_of("offline-cash/identity", *texts(record["bank"], record["account"]), raw(record["identity"]),
                       raw(record["signing_key"]), hashed(record["collateral"]["minor"]),
                       record["collateral"]["currency"].encode())
    decode_point(raw(record["identity"]))
    ed25519_verify(raw(record["signing_key"]), digest, raw(identity["signature"]), "identity record")
    attestation = digest_of("offline-cash/identity-attested", digest, attested)
    ed25519_verify(center_key, attestation, raw(identity["attestation"]), "identity attestation")
    return digest


def withdrawal_digest(statement):
    lines = [raw(line[name]) for line in statement["lines"] for name in ("key", "commitment", "nu", "challenge")]
    return digest_of("offline-cash/withdraw", *texts(statement["bank"], statement["account"]),
                     raw(statement["session"]), integer(len(statement["lines"])), *lines)


def withdrawal_verify(withdrawal, signing_key):
    digest = withdrawal_digest(withdrawal["statement"])
    ed25519_verify(signing_key, digest, raw(withdrawal["signature"]), "withdrawal statement")
    return digest


def origin_fields(origin):
    return (*texts(origin["bank"], origin["account"]), raw(origin["session"]), integer(origin["index"]))


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


def run_acl_issue(inputs):
    x, nu, u, s1, s2, d = scalars(inputs, "x", "nu", "u", "s1", "s2", "d")
    r, secret = scalars(inputs, "R", "identity_secret")
    parts = acl_key({"Y": encode_point(combine((x, G))).hex(), "depth": inputs["depth"]})
    public, _, base, _ = parts
    commitment, identity = commit_identity(r, secret), encode_point(combine((secret, H1)))
    z1 = combine((1, decode_point(commitment)), (nu, G))
    points = combine((u, G)), combine((s1, G), (d, z1)), combine((s2, H), (d, base), (-d, z1))
    announcement = {"nu": scalar_text(nu), **{name: encode_point(point).hex()
                                              for name, point in zip(("a", "b1", "b2"), points)}}
    blinding = scalars(inputs, *BLINDING)
    *_, e, _ = acl_blind(parts, commitment, announcement, blinding, raw(inputs["root"]))
    c = (e - d) % Q
    answer = {name: scalar_text(value) for name, value in zip(("r", "c", "s1", "s2", "d"), (u - c * x, c, s1, s2, d))}
    message, e, signature = acl_finish(parts, commitment, announcement, answer, blinding, raw(inputs["root"]))
    return {"Y": public.hex(), "Z": encode_point(base).hex(), "I": identity.hex(), "C": commitment.hex(),
            "announcement": announcement, "m": message.hex(), "e": scalar_text(e), "answer": answer,
            "signature": signature, "k": secret_vector(blinding[0], r, secret, nu)}


def slot_of(inputs):
    """Of the cryptographic vectors, where names are bytes in hexadecimal."""
    return slot(*(raw(inputs[name]) for name in ("bank", "account", "session")), number(inputs["index"]))


def run_opening_context(inputs):
    return {"context": digest_of("offline-cash/opening", *slot_of(inputs), raw(inputs["Y"])).hex()}


def run_prove_opening(inputs):
    r, secret = scalars(inputs, "R", "identity_secret")
    context, identity, commitment = raw(inputs["context"]), combine((secret, H1)), commit_identity(r, secret)
    fields = (raw(inputs["hedge"]), encode_scalar(r), encode_scalar(secret), encode_point(identity), commitment, context)
    a, b = (scalar_of("acl/opening/nonce", *fields, integer(which)) for which in (0, 1))
    second = combine((b, H1))
    announced = encode_point(combine((a, H0), (1, second))), encode_point(second)
    c = scalar_of("acl/opening", encode_point(identity), commitment, *announced, context)
    proof = {name: scalar_text(value) for name, value in zip("cuv", (c, a + c * r, b + c * secret))}
    return {"I": encode_point(identity).hex(), "C": commitment.hex(), "proof": proof}


def run_verify_opening(inputs):
    opening_verify(raw(inputs["I"]), raw(inputs["C"]), inputs["proof"], raw(inputs["context"]))
    return {}


def run_verify_identity(inputs):
    identity_verify(raw(inputs["I"]), inputs["proof"], raw(inputs["context"]))
    return {}


def run_acl_derive(inputs):
    seed, place, public = raw(inputs["seed"]), slot_of(inputs), raw(inputs["Y"])
    blinding, tree = drawn_blinding(seed, place, public, raw(inputs["C"]), inputs["announcement"])
    return {"R": scalar_text(drawn_commitment(seed, place, public)), "tree_seed": tree.hex(),
            **dict(zip(BLINDING, map(scalar_text, blinding)))}


def run_acl_finish(inputs):
    r, secret = scalars(inputs, "R", "identity_secret")
    blinding, (nu,) = scalars(inputs, *BLINDING), scalars(inputs["announcement"], "nu")
    message, _, signature = acl_finish(acl_key(inputs), commit_identity(r, secret), inputs["announcement"],
                                       inputs["answer"], blinding, raw(inputs["root"]))
    return {"m": message.hex(), "signature": signature, "k": secret_vector(blinding[0], r, secret, nu)}


def run_acl_verify(inputs):
    parts, signature = acl_key(inputs), inputs["signature"]
    message = coin_name(parts[0], parts[3], raw(inputs["root"]), raw(signature["zeta"]), raw(signature["zeta1"]))
    acl_verify(parts, message, signature)
    return {"m": message.hex()}


def tree_of(inputs):
    _, _, base, depth = acl_key(inputs)
    return ShareTree(base, depth, raw(inputs["seed"]))


def run_tree_build(inputs):
    return {"root": tree_of(inputs).digests[1].hex()}


def run_tree_spend(inputs):
    challenge, = scalars(inputs, "challenge")
    secret = [decode_scalar(raw(text)) for text in inputs["k"]]
    return {"piece": tree_of(inputs).spend(number(inputs["node"]), secret, challenge, inputs["signature"])}


def run_tree_verify(inputs):
    challenge, = scalars(inputs, "challenge")
    return {"m": piece_verify(acl_key(inputs), inputs["piece"], challenge)[0].hex()}


def spent_pieces(key_parts, pieces):
    """m of the one coin, and the opening."""
    spent = [piece_verify(key_parts, each["piece"], scalars(each, "challenge")[0]) for each in pieces]
    if len({message for message, _ in spent}) != 1:
        raise Refused("pieces of different coins")
    return spent[0][0], identify(key_parts[3], [share for _, known in spent for share in known])


def run_tree_identify(inputs):
    _, opening = spent_pieces(acl_key(inputs), inputs["spent"])
    return {"opening": opening, "I": opening and opening_identity(opening).hex()}


def run_tree_accuse(inputs):
    opening_matches(inputs["opening"], raw(inputs["I"]), raw(inputs["C"]), raw(inputs["nu"]))
    return {}


def run_offline_keyset(inputs):
    digest, ids = offline_keyset_verify(inputs["keyset"], raw(inputs["signing_key"]))
    return {"digest": digest.hex(), "ids": [name.hex() for name in ids]}


def identity_secret(inputs):
    return scalar_of("offline-cash/identity-secret", raw(inputs["seed"]), *texts(inputs["bank"], inputs["account"]))


def run_offline_names(inputs):
    account, (seed, request, salt) = texts(inputs["account"]), map(raw, (inputs["seed"], inputs["request"], inputs["salt"]))
    key = digest_of("offline-cash/document-key", seed, *account, integer(inputs["number"]))
    session = digest_of("offline-cash/session-id", *texts(inputs["bank"]), *account, request, salt)
    return {"document_key": key.hex(), "session": session.hex()}


def run_identity_secret(inputs):
    secret = identity_secret(inputs)
    return {"identity_secret": scalar_text(secret), "I": encode_point(combine((secret, H1))).hex()}


def run_register(inputs):
    context = registration_context(inputs)
    identity_verify(raw(inputs["I"]), inputs["proof"], context)
    return {"context": context.hex()}


def run_identity_record(inputs):
    return {"digest": identity_record_verify(inputs["identity"], raw(inputs["center_key"])).hex()}


def slots(inputs, count):
    return [slot(*texts(inputs["bank"], inputs["account"]), raw(inputs["session"]), index) for index in range(count)]


def run_offline_withdraw(inputs):
    seed, secret = raw(inputs["seed"]), identity_secret(inputs)
    lines, coins, commitments = [], [], []
    sessions = zip(slots(inputs, len(inputs["keys"])), inputs["keys"], inputs["announcements"], inputs["answers"],
                   strict=True)
    for place, key, announcement, answer in sessions:
        public, _, base, depth = parts = acl_key(key)
        commitment = commit_identity(drawn_commitment(seed, place, public), secret)
        blinding, tree_seed = drawn_blinding(seed, place, public, commitment, announcement)
        root = ShareTree(base, depth, tree_seed).digests[1]
        message, e, signature = acl_finish(parts, commitment, announcement, answer, blinding, root)
        commitments.append(commitment.hex())
        lines.append({"key": key["Y"], "commitment": commitment.hex(), "nu": announcement["nu"],
                      "challenge": scalar_text(e)})
        coins.append({"m": message.hex(), "root": root.hex(), "signature": signature, "gamma": scalar_text(blinding[0])})
    statement = {name: inputs[name] for name in ("bank", "account", "session")} | {"lines": lines}
    return {"commitments": commitments, "challenges": [line["challenge"] for line in lines],
            "statement": withdrawal_digest(statement).hex(), "coins": coins}


def run_offline_commit(inputs):
    commitments = inputs["commitments"]
    if len({one["commitment"] for one in commitments}) != len(commitments):
        raise Refused("a commitment twice")
    for place, key, one in zip(slots(inputs, len(commitments)), inputs["keys"], commitments, strict=True):
        context = digest_of("offline-cash/opening", *place, raw(key["Y"]))
        opening_verify(raw(inputs["I"]), raw(one["commitment"]), one["proof"], context)
    return {}


def run_offline_statement(inputs):
    return {"digest": withdrawal_verify(inputs["withdrawal"], raw(inputs["signing_key"])).hex()}


def run_accusation(inputs):
    record, statement = inputs["identity"]["record"], inputs["withdrawal"]["statement"]
    digest = identity_record_verify(inputs["identity"], raw(inputs["center_key"]))
    if (record["bank"], record["account"]) != (statement["bank"], statement["account"]):
        raise Refused("a statement of another account")
    signed = withdrawal_verify(inputs["withdrawal"], raw(record["signing_key"]))
    if not 0 <= inputs["index"] < len(statement["lines"]):
        raise Refused("no such line")
    line = statement["lines"][inputs["index"]]
    opening_matches(inputs["opening"], raw(record["identity"]), raw(line["commitment"]), raw(line["nu"]))
    return {"statement": signed.hex(), "record": digest.hex()}


def run_non_answer(inputs):
    statement, opening = inputs["statement"], inputs["statement"]["opening"]
    digest = digest_of("offline-cash/non-answer", statement["bank"].encode(), raw(statement["key"]),
                       hashed(statement["pinned_at"]), raw(statement["coin"]),
                       *(raw(opening[name]) for name in ("r", "identity_secret", "nu")),
                       hashed(statement["asked_at"]), hashed(statement["decided_at"]))
    if number(statement["asked_at"]) >= number(statement["decided_at"]):
        raise Refused("no time to answer")
    ed25519_verify(raw(inputs["center_key"]), digest, raw(inputs["signature"]), "statement of non-answer")
    keyset_digest_found, ids = offline_keyset_verify(inputs["keyset"], raw(inputs["bank_key"]))
    key = ids.get(raw(statement["key"]))
    if key is None or inputs["keyset"]["bank"] != statement["bank"]:
        raise Refused("the keyset lacks the key")
    parts = acl_key({"Y": key["key"], "depth": str(key["depth"])})
    if spent_pieces(parts, inputs["pieces"]) != (raw(statement["coin"]), opening):
        raise Refused("the pieces do not bring the opening to light")
    return {"statement": digest.hex(), "keyset": keyset_digest_found.hex()}


def run_claim(inputs):
    claim, parts = inputs["claim"], acl_key(inputs)
    public, _, base, depth = parts
    nodes, signature, proof = claim["nodes"], claim["signature"], claim["proof"]
    if claim["key"] != inputs["key_id"]:
        raise Refused("another key")
    clash = any(overlap(one, other) for at, one in enumerate(nodes) for other in nodes[:at])
    if not nodes or clash or any(not 1 <= node <= 127 or level(node) > depth for node in nodes):
        raise Refused("nodes of the coin, disjoint and at least one")
    message = coin_name(public, depth, raw(claim["root"]), raw(signature["zeta"]), raw(signature["zeta1"]))
    acl_verify(parts, message, signature)
    (gamma,), (nu,) = scalars(claim, "gamma"), scalars(inputs, "nu")
    commitment = raw(inputs["C"])
    z1 = combine((1, decode_point(commitment)), (nu, G))
    blinded = encode_point(combine((gamma, base))).hex(), encode_point(combine((gamma, z1))).hex()
    if gamma == 0 or blinded != (signature["zeta"], signature["zeta1"]):
        raise Refused("gamma does not lead from the session to the coin")
    context = digest_of("offline-cash/reclaim", *origin_fields(claim["origin"]), message, integer(len(nodes)),
                        *map(integer, nodes))
    opening_verify(raw(inputs["I"]), commitment, proof, context)
    names = ("zeta", "zeta1", "rho", "omega", "rho1", "rho2", "omega_prime", "mu")
    digest = digest_of("offline-cash/claim", raw(claim["key"]), raw(claim["root"]),
                       b"".join(raw(signature[name]) for name in names), raw(claim["gamma"]), context,
                       *(raw(proof[name]) for name in "cuv"))
    ed25519_verify(raw(inputs["signing_key"]), digest, raw(claim["customer"]), "claim")
    return {"m": message.hex(), "context": context.hex(), "digest": digest.hex()}


def run_attested_session(inputs):
    digest = digest_of("offline-cash/session", *origin_fields(inputs["origin"]), raw(inputs["key"]),
                       raw(inputs["commitment"]), raw(inputs["nu"]), hashed(inputs["attested_at"]))
    ed25519_verify(raw(inputs["bank_key"]), digest, raw(inputs["signature"]), "attested session")
    return {"digest": digest.hex()}


def run_decide(inputs):
    """Unit by unit: what was deposited is gone, then the longest chain, then the lower claimant."""
    claims, gone = inputs["claims"], {unit for start, length in inputs["deposited"]
                                      for unit in range(start, start + length)}
    paid, claimed = {claim["claimant"]: 0 for claim in claims}, {}
    for claim in claims:
        for start, length in claim["intervals"]:
            for unit in set(range(start, start + length)) - gone:
                claimed.setdefault(unit, []).append((-claim["hops"], claim["claimant"]))
    for candidates in claimed.values():
        paid[min(candidates)[1]] += 1
    return {"paid": {claimant: str(units) for claimant, units in paid.items()}}


def offline_ids(keysets):
    """Of every key of some keysets: whether it is a blank's, its value and its ACL parts."""
    known = {}
    for keyset in keysets:
        for key in keyset["keys"]:
            parts = acl_key({"Y": key["key"], "depth": str(key["depth"])})
            known[offline_key_id(keyset, key).hex()] = key["kind"] == "blank", number(key["value"]), parts
    return known


def piece_name(key_parts, piece):
    """The m of which this claims to be a piece."""
    public, _, _, depth = key_parts
    _, commitments, children = own_parts(piece, depth)
    digest = tree_node_digest(pairs_of(commitments), children)
    for up, ancestor in enumerate(piece["ancestors"]):
        halves = [digest, raw(ancestor["sibling"])]
        digest = tree_node_digest(pairs_of(ancestor["commitments"]), halves[::-1] if piece["node"] >> up & 1 else halves)
    return coin_name(public, depth, digest, raw(piece["signature"]["zeta"]), raw(piece["signature"]["zeta1"]))


def part_of(start, length, node):
    """The units that a node spends of some."""
    part = length >> level(node)
    if part == 0:
        raise Refused("finer than a minor unit")
    return start + (node - (1 << level(node))) * part, part


class OfflineChain:
    """A chain up to its last piece's challenge, which `finish` is given: the set of a payment, or the blank's m."""

    def __init__(self, links, last, known):
        hops = [link["hop"] for link in links] + ([last] if last else [])
        if not hops or len(hops) > 64 or any(hop["key"] not in known for hop in hops):
            raise Refused("one to 64 hops of known keys")
        keys = [known[hop["key"]] for hop in hops]
        if [blank for blank, _, _ in keys] != [False] + [True] * (len(keys) - 1):
            raise Refused("a value coin, then blanks")
        self.known, self.links, self.hops = known, links, hops
        self.parts = [parts for _, _, parts in keys]
        self.names = [piece_name(parts, hop["piece"]) for parts, hop in zip(self.parts, hops)]
        self.nodes = [hop["piece"]["node"] for hop in hops]
        self.units = 0, keys[0][1]
        for node in self.nodes:
            self.units = part_of(*self.units, node)
        self.steps, self.previous = [], bytes(32)

    def step(self, challenge):
        at = len(self.steps)
        message, _ = piece_verify(self.parts[at], self.hops[at]["piece"], challenge)
        place = self.previous, message, integer(self.nodes[at])
        self.steps.append({"previous": self.previous.hex(), "m": message.hex(), "node": self.nodes[at],
                           "d": scalar_text(challenge)})
        self.previous = digest_of("offline-cash/chain", *place, encode_scalar(challenge))

    def transfers(self, blank=None):
        """The links, the last of them to a blank."""
        payees = self.names[1:] + ([blank] if blank else [])
        if len(set(self.names + payees)) != len(self.names) + (blank is not None):
            raise Refused("a coin or blank twice")
        for at, link in enumerate(self.links):
            self.step(scalar_of("offline-cash/transfer", self.previous, self.names[at], integer(self.nodes[at]),
                                payees[at], raw(link["nonce"])))

    def place(self):
        return self.previous, self.names[-1], integer(self.nodes[-1])

    def shown(self):
        start, length = self.units
        return {"hops": self.steps, "digest": self.previous.hex(), "start": str(start), "length": str(length)}


def run_offline_request(inputs):
    request = inputs["request"]["request"]
    fields = (raw(request["leaf"]), raw(request["issuer"]), request["name"].encode(),
              hashed(request["amount"]["minor"]),
              *texts(request["amount"]["currency"], *(request[name] for name in ("order", "bank", "account", "till"))),
              *keyset_views(request["keysets"]), hashed(request["expires"]), raw(request["nonce"]))
    digest = digest_of("offline-cash/request", *fields)
    ed25519_verify(raw(inputs["signing_key"]), digest, raw(inputs["request"]["signature"]), "payment request")
    return {"digest": digest.hex()}


def keyset_views(views):
    fields = [field for view in views for field in (view["bank"].encode(), hashed(view["epoch"]), raw(view["digest"]))]
    return integer(len(views)), *fields


def run_offer(inputs):
    offer, payee, payer = inputs["offer"], raw(inputs["payee"]), raw(inputs["payer"])
    blanks = [raw(blank[name]) for blank in offer["blanks"] for name in ("key", "message")]
    digest = digest_of("offline-cash/offer", hashed(offer["amount"]["minor"]), offer["amount"]["currency"].encode(),
                       integer(len(offer["blanks"])), *blanks, *keyset_views(offer["keysets"]), hashed(offer["expires"]))
    code = int.from_bytes(digest_of("offline-cash/short-code", digest, payee, payer)[:8], "little") % 10**6
    return {"digest": digest.hex(), "commitment": digest_of("offline-cash/offer-commitment", digest, payee).hex(),
            "code": f"{code // 1000:03} {code % 1000:03}"}


def run_passed(inputs):
    known, blank = offline_ids(inputs["keysets"]), inputs["chain"]["blank"]
    if not known.get(blank["key"], (False,))[0]:
        raise Refused("a blank under no key for blanks")
    chain = OfflineChain(inputs["chain"]["links"], None, known)
    chain.transfers(raw(blank["message"]))
    return chain.shown()


def run_offline_payment(inputs):
    known, payment = offline_ids(inputs["keysets"]), inputs["payment"]
    chains = [OfflineChain(chain["links"], chain["last"], known) for chain in payment["chains"]]
    for chain in chains:
        chain.transfers()
    places = [field for chain in chains for field in chain.place()]
    found = digest_of("offline-cash/payment-set", raw(payment["request"]), integer(len(chains)), *places)
    for chain in chains:
        chain.step(scalar_of("offline-cash/payment", *chain.place(), found))
    return {"set": found.hex(), "chains": [chain.shown() for chain in chains]}


def run_settle(inputs):
    """Unit by unit: the first chain is paid from circulation, each further one by the holder who left the others."""
    stored, settled = [[] for _ in range(number(inputs["value"]))], []
    for chain in inputs["deposits"]:
        units, circulation, charges = (0, len(stored)), 0, {}
        for link in chain:
            units = part_of(*units, link["node"])
        for others in stored[units[0]:sum(units)]:
            if chain in others:
                continue
            if others:
                hop = max(next(at for at, (one, two) in enumerate(zip(chain, other)) if one != two) for other in others)
                charges[hop] = charges.get(hop, 0) + 1
            else:
                circulation += 1
            others.append(chain)
        charged = [{"holder": chain[hop]["m"], "hop": hop, "units": str(charges[hop])} for hop in sorted(charges)]
        settled.append({"circulation": str(circulation), "charges": charged})
    return {"settled": settled}


def run_offline_receipt(inputs):
    terms, claim = inputs["receipt"]["terms"], inputs["claim"]
    claimed = digest_of("offline-cash/charge-claim", claim["issuing_bank"].encode(), raw(claim["message"]),
                        raw(claim["previous"]), integer(claim["node"]), raw(claim["challenge"]), raw(claim["payment"]))
    parts, sums = [], {"paid": 0, "unpaid": 0}
    for part in terms["parts"]:
        source = part["source"]
        kind, *digests = [source] if isinstance(source, str) else [*source, *next(iter(source.values())).values()]
        parts += [integer(part["piece"]), hashed(part["amount"]), kind.encode(), *map(raw, digests)]
        sums["unpaid" if kind == "unpaid" else "paid"] += number(part["amount"])
    if sum(sums.values()) != number(terms["amount"]["minor"]):
        raise Refused("the parts do not sum to the payment")
    digest = digest_of("offline-cash/receipt", terms["bank"].encode(), raw(terms["payment"]), raw(terms["request"]),
                       hashed(terms["amount"]["minor"]), terms["amount"]["currency"].encode(),
                       *texts(terms["collecting_bank"], terms["account"]), raw(terms["presentment"]),
                       integer(len(terms["parts"])), *parts, hashed(terms["at"]))
    ed25519_verify(raw(inputs["bank_key"]), digest, raw(inputs["receipt"]["signature"]), "receipt")
    return {"claim": claimed.hex(), "digest": digest.hex(), **{name: str(value) for name, value in sums.items()}}


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
    "acl/issue": run_acl_issue,
    "acl/opening-context": run_opening_context,
    "acl/prove-opening": run_prove_opening,
    "acl/verify-opening": run_verify_opening,
    "acl/verify-identity": run_verify_identity,
    "acl/derive": run_acl_derive,
    "acl/finish": run_acl_finish,
    "acl/verify": run_acl_verify,
    "share-tree/build": run_tree_build,
    "share-tree/spend": run_tree_spend,
    "share-tree/verify": run_tree_verify,
    "share-tree/identify": run_tree_identify,
    "share-tree/accuse": run_tree_accuse,
    "offline-cash/keyset": run_offline_keyset,
    "offline-cash/identity-secret": run_identity_secret,
    "offline-cash/names": run_offline_names,
    "offline-cash/register": run_register,
    "offline-cash/identity": run_identity_record,
    "offline-cash/withdraw": run_offline_withdraw,
    "offline-cash/commit": run_offline_commit,
    "offline-cash/statement": run_offline_statement,
    "offline-cash/accusation": run_accusation,
    "offline-cash/non-answer": run_non_answer,
    "offline-cash/claim": run_claim,
    "offline-cash/session": run_attested_session,
    "offline-cash/decide": run_decide,
    "offline-cash/request": run_offline_request,
    "offline-cash/offer": run_offer,
    "offline-cash/passed": run_passed,
    "offline-cash/payment": run_offline_payment,
    "offline-cash/settle": run_settle,
    "offline-cash/receipt": run_offline_receipt,
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
