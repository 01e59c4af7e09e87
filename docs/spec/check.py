#!/usr/bin/env python3
"""A second implementation of the specification, which checks the test vectors.

Written from docs/src/specification.md and RFC 9496 alone; plain Python 3, no packages. Slow, and not constant-time:
it reads public test data and must never touch a secret.

    python3 docs/spec/check.py [folder]

reads every *.json of the folder (docs/spec/vectors beside this file unless given), recomputes each vector from its
inputs, prints a line for each group and a count, and exits with 1 on any difference or when there are no vectors.
"""

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
    proof_text = {"r": proof[:32].hex(), "s": proof[32:].hex()}
    return {"publics": [public.hex() for public in publics], "proof": proof_text}


def run_possession(inputs):
    proof = raw(inputs["proof"]["r"]) + raw(inputs["proof"]["s"])
    possession_verify([raw(public) for public in inputs["publics"]], raw(inputs["statement"]), proof)
    return {}


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


def main(arguments):
    here = pathlib.Path(__file__).resolve().parent
    folder = pathlib.Path(arguments[0]) if arguments else here / "vectors"
    groups = {"RFC 9496": list(rfc_9496())}
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
