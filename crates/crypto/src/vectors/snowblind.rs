//! Vectors of the blind signature.

use curve25519_dalek::Scalar;
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

use super::{bad_points, digest, encode, flip, invalid, plus_order, stream, valid};
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::generators;
use crate::scalar::{fifth_power, random, random_non_zero};
use crate::snowblind::{
    Blinding, Challenge, Commitment, PendingSignature, Response, SecretKey, SecretNonces, Signature, blind,
};

const CONSTANT: &str = "constant inputs are well formed";
const IDENTITY: EncodedPoint = EncodedPoint([0; 32]);
const ZERO: EncodedScalar = EncodedScalar([0; 32]);

/// One issue with all its randomness.
struct Issue {
    key: SecretKey,
    message: Digest,
    nonces: [Scalar; 3],
    blinding: [Scalar; 3],
    commitment: Commitment,
    challenge: Challenge,
    response: Response,
    signature: Signature,
}

fn nonces([a, b, y]: [Scalar; 3]) -> (SecretNonces, Commitment) {
    SecretNonces::from_scalars(a, b, y).expect(CONSTANT)
}

fn begin(
    key: &SecretKey,
    message: &Digest,
    commitment: &Commitment,
    [alpha, beta, r]: [Scalar; 3],
) -> (PendingSignature, Challenge) {
    let blinding = Blinding::from_scalars(alpha, beta, r).expect(CONSTANT);
    blind(key.public(), message, commitment, blinding).expect(CONSTANT)
}

impl Issue {
    fn run(key: SecretKey, message: Digest, nonce_scalars: [Scalar; 3], blinding: [Scalar; 3]) -> Self {
        let (secret, commitment) = nonces(nonce_scalars);
        let (pending, challenge) = begin(&key, &message, &commitment, blinding);
        let response = secret.respond(&key, &challenge);
        let signature = pending.unblind(&response).expect(CONSTANT);
        Self { key, message, nonces: nonce_scalars, blinding, commitment, challenge, response, signature }
    }

    fn random(rng: &mut ChaCha12Rng, message: &str) -> Self {
        let nonces = [random(rng), random(rng), random_non_zero(rng)];
        let blinding = [random_non_zero(rng), random(rng), random(rng)];
        Self::run(SecretKey::generate(rng), digest(message), nonces, blinding)
    }

    fn public(&self) -> &EncodedPoint {
        self.key.public().encoded()
    }

    fn vector(&self, name: &str) -> Value {
        let ([a, b, y], [alpha, beta, r]) =
            (self.nonces.map(EncodedScalar::from), self.blinding.map(EncodedScalar::from));
        let inputs = json!({
            "x": hex::encode(self.key.to_bytes()), "message": self.message,
            "a": a, "b": b, "y": y, "alpha": alpha, "beta": beta, "r": r,
        });
        let outputs = json!({
            "X": self.public(), "A": self.commitment.a, "B": self.commitment.b,
            "c": self.challenge, "response": self.response, "signature": self.signature,
        });
        valid(name, "snowblind/issue", inputs, outputs)
    }

    fn blind_inputs(&self, public: &EncodedPoint, commitment: &Commitment) -> Value {
        let [alpha, beta, r] = self.blinding.map(EncodedScalar::from);
        json!({
            "X": public, "message": self.message, "A": commitment.a, "B": commitment.b,
            "alpha": alpha, "beta": beta, "r": r,
        })
    }

    fn unblind_inputs(&self, response: &Response) -> Value {
        let mut inputs = self.blind_inputs(self.public(), &self.commitment);
        if let Some(fields) = inputs.as_object_mut() {
            fields.insert("response".to_owned(), json!(response));
        }
        inputs
    }
}

pub(super) fn vectors() -> Vec<Value> {
    let mut rng = stream(2);
    let first = Issue::random(&mut rng, "first coin");
    let second = Issue::random(&mut rng, "second coin");
    let one = Scalar::ONE;
    let least = Issue::run(
        SecretKey::from_bytes(&one.to_bytes()).expect(CONSTANT),
        Digest::ZERO,
        [one; 3],
        [one, Scalar::ZERO, Scalar::ZERO],
    );
    let issues = vec![
        first.vector("a blind signature"),
        second.vector("another key, message and randomness"),
        least.vector("the least scalars, no blinding"),
    ];
    [
        issues,
        derivations(&first, &second),
        refused_commitments(&first),
        answers(&first, &second),
        verifications(&first, &second),
        vec![reuse(&first, &second)],
    ]
    .concat()
}

/// One commitment under other sessions, keys and messages: every blinding differs.
fn derivations(first: &Issue, second: &Issue) -> Vec<Value> {
    let seed = digest("wallet seed").0;
    let case =
        |name: &str, session: &[u8], index: u64, issue: &Issue, message: &Digest, commitment: &Commitment| {
            let key = issue.key.public();
            let scalars = Blinding::derive(&seed, session, index, key, message, commitment).to_scalars();
            let [alpha, beta, r] = scalars.map(EncodedScalar::from);
            let (_, challenge) = begin(&issue.key, message, commitment, scalars);
            let inputs = json!({
                "seed": hex::encode(seed), "session": hex::encode(session), "index": index.to_string(),
                "X": key, "message": message, "A": commitment.a, "B": commitment.b,
            });
            let outputs = json!({ "alpha": alpha, "beta": beta, "r": r, "c": challenge });
            valid(name, "snowblind/derive-blinding", inputs, outputs)
        };
    let (session, other) = ([1; 16], [2; 16]);
    let (message, commitment) = (&first.message, &first.commitment);
    let halves_swapped = Commitment { a: commitment.b, b: commitment.a };
    vec![
        case("derived blinding", &session, 0, first, message, commitment),
        case("the same commitment at another index", &session, 1, first, message, commitment),
        case("the same commitment in another session", &other, 0, first, message, commitment),
        case("the same commitment under another key", &session, 0, second, message, commitment),
        case("the same commitment for another message", &session, 0, first, &second.message, commitment),
        case("the same commitment, A and B swapped", &session, 0, first, message, &halves_swapped),
        case("another commitment", &session, 0, first, message, &second.commitment),
    ]
}

fn refused_commitments(issue: &Issue) -> Vec<Value> {
    let Commitment { a, b } = issue.commitment;
    let case = |name: &str, public: &EncodedPoint, a: EncodedPoint, b: EncodedPoint, reason: &str| {
        invalid(name, "snowblind/blind", issue.blind_inputs(public, &Commitment { a, b }), reason)
    };
    let mut refused = vec![
        case("A is the identity", issue.public(), IDENTITY, b, "identity"),
        case("B is the identity", issue.public(), a, IDENTITY, "identity"),
        case("X is the identity", &IDENTITY, a, b, "identity"),
    ];
    for (bad, reason) in bad_points(&a) {
        refused.push(case(&format!("A is not canonical: {reason}"), issue.public(), bad, b, reason));
    }
    for (bad, reason) in bad_points(&b) {
        refused.push(case(&format!("B is not canonical: {reason}"), issue.public(), a, bad, reason));
    }
    for (bad, reason) in bad_points(issue.public()) {
        refused.push(case(&format!("X is not canonical: {reason}"), &bad, a, b, reason));
    }
    refused
}

fn answers(issue: &Issue, other: &Issue) -> Vec<Value> {
    let good = issue.response;
    let (x, [_, _, y]) = (issue.key.secret(), issue.nonces);
    let without_power = encode(&(good_scalar(&good.z) - fifth_power(&y) * x));
    let negated_y = encode(&-y);
    let refused = |name: &str, response: Response, reason: &str| {
        invalid(name, "snowblind/unblind", issue.unblind_inputs(&response), reason)
    };
    let opening = "B is not bG + yH";
    let fit = "zG is not A + (c + y^5)X";
    vec![
        valid(
            "a good answer",
            "snowblind/unblind",
            issue.unblind_inputs(&good),
            json!({ "signature": issue.signature }),
        ),
        refused("y is zero", Response { y: ZERO, ..good }, "y is zero"),
        refused("y is the order", Response { y: plus_order(&ZERO), ..good }, "y is not canonical"),
        refused("y is negated", Response { y: negated_y, ..good }, opening),
        refused("b is changed", Response { b: EncodedScalar(flip(good.b.0, 3)), ..good }, opening),
        refused("b and y are swapped", Response { b: good.y, y: good.b, ..good }, opening),
        refused("z is changed", Response { z: EncodedScalar(flip(good.z.0, 0)), ..good }, fit),
        refused("z lacks the fifth power", Response { z: without_power, ..good }, fit),
        refused("the answer of another session", other.response, opening),
        refused("z is not canonical", Response { z: plus_order(&good.z), ..good }, "z is not canonical"),
        refused("b is not canonical", Response { b: plus_order(&good.b), ..good }, "b is not canonical"),
        refused("y is not canonical", Response { y: plus_order(&good.y), ..good }, "y is not canonical"),
    ]
}

fn good_scalar(encoded: &EncodedScalar) -> Scalar {
    encoded.decode().expect(CONSTANT)
}

fn verifications(first: &Issue, second: &Issue) -> Vec<Value> {
    let good = first.signature;
    let inputs = |public: &EncodedPoint, message: &Digest, signature: &Signature| json!({ "X": public, "message": message, "signature": signature });
    let refused = |name: &str, signature: Signature, reason: &str| {
        invalid(name, "snowblind/verify", inputs(first.public(), &first.message, &signature), reason)
    };
    let equation = "the equation does not hold";
    let negated = EncodedPoint::from(-good.commitment.decode().expect(CONSTANT));
    let mut all = vec![
        valid(
            "a good signature",
            "snowblind/verify",
            inputs(first.public(), &first.message, &good),
            json!({}),
        ),
        invalid(
            "another message",
            "snowblind/verify",
            inputs(first.public(), &second.message, &good),
            equation,
        ),
        invalid("another key", "snowblind/verify", inputs(second.public(), &first.message, &good), equation),
        invalid(
            "a key that is the identity",
            "snowblind/verify",
            inputs(&IDENTITY, &first.message, &good),
            "identity",
        ),
        refused("the signature of another coin", second.signature, equation),
        refused("y' is zero", Signature { y: ZERO, ..good }, "y' is zero"),
        refused("y' is the order", Signature { y: plus_order(&ZERO), ..good }, "y' is not canonical"),
        refused("z' is not canonical", Signature { z: plus_order(&good.z), ..good }, "z' is not canonical"),
        refused("y' is not canonical", Signature { y: plus_order(&good.y), ..good }, "y' is not canonical"),
        refused("z' and y' are swapped", Signature { z: good.y, y: good.z, ..good }, equation),
        refused("R' is negated", Signature { commitment: negated, ..good }, equation),
        refused("R' is the identity", Signature { commitment: IDENTITY, ..good }, "identity"),
        zero_forgery(first),
    ];
    for (bad, reason) in bad_points(&good.commitment) {
        all.push(refused(
            &format!("R' is not canonical: {reason}"),
            Signature { commitment: bad, ..good },
            reason,
        ));
    }
    for bit in [1, 100, 200] {
        let commitment = EncodedPoint(flip(good.commitment.0, bit));
        all.push(refused(
            &format!("bit {bit} of R' is flipped"),
            Signature { commitment, ..good },
            "another point, or none",
        ));
        all.push(refused(
            &format!("bit {bit} of z' is flipped"),
            Signature { z: EncodedScalar(flip(good.z.0, bit)), ..good },
            equation,
        ));
        all.push(refused(
            &format!("bit {bit} of y' is flipped"),
            Signature { y: EncodedScalar(flip(good.y.0, bit)), ..good },
            equation,
        ));
        let message = Digest(flip(first.message.0, bit));
        let changed = inputs(first.public(), &message, &good);
        all.push(invalid(
            &format!("bit {bit} of the message is flipped"),
            "snowblind/verify",
            changed,
            equation,
        ));
    }
    all
}

/// A plain Schnorr signature with *y'* = 0: the group equation holds, only the rule about zero refuses it.
fn zero_forgery(issue: &Issue) -> Value {
    let nonce = Scalar::from(5_u8);
    let commitment = EncodedPoint::from(generators::multiply_g(&nonce));
    let challenge = crate::snowblind::challenge_scalar(issue.key.public(), &issue.message, &commitment);
    let signature = Signature { commitment, z: encode(&(nonce + challenge * issue.key.secret())), y: ZERO };
    let inputs = json!({ "X": issue.public(), "message": issue.message, "signature": signature });
    invalid(
        "a plain Schnorr signature: the equation holds with y' = 0",
        "snowblind/verify",
        inputs,
        "y' is zero",
    )
}

/// One nonce answered twice gives the key away.
fn reuse(first: &Issue, second: &Issue) -> Value {
    let (_, challenge) = begin(&first.key, &second.message, &first.commitment, second.blinding);
    let response = nonces(first.nonces).0.respond(&first.key, &challenge);
    let inputs = json!({
        "c1": first.challenge, "z1": first.response.z, "c2": challenge, "z2": response.z,
    });
    let outputs = json!({ "x": hex::encode(first.key.to_bytes()) });
    valid(
        "a repeated commitment, answered twice, gives the key away",
        "snowblind/recover-key",
        inputs,
        outputs,
    )
}
