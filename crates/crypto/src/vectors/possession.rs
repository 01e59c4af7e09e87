//! Vectors of the proof of possession.

use curve25519_dalek::Scalar;
use serde_json::{Value, json};

use super::{bad_points, digest, encode, flip, invalid, plus_order, stream, valid};
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::generators::multiply_g;
use crate::hazmat::prove_possession;
use crate::possession::{Proof, challenges};
use crate::scalar::random_non_zero;

const IDENTITY: EncodedPoint = EncodedPoint([0; 32]);

pub(super) fn vectors() -> Vec<Value> {
    let mut rng = stream(3);
    let statement = digest("statement");
    let hedge = digest("hedge").0;
    let keys: Vec<_> = (0..3).map(|_| random_non_zero(&mut rng)).collect();
    let single: Vec<_> = keys.iter().take(1).copied().collect();
    let (publics, proof, three) = prove("three keys", &keys, &statement, &hedge);
    let (_, _, one) = prove("one key", &single, &statement, &hedge);
    let (_, _, no_hedge) = prove("no randomness: the nonce is still secret", &keys, &statement, &[0; 32]);
    let group = [degenerate_nonce(&keys, &publics, &statement), degenerate_key(&keys, &publics, &statement)];
    [vec![one, three, no_hedge], verifications(&publics, &statement, &proof), group.to_vec()].concat()
}

fn prove(
    name: &str,
    keys: &[Scalar],
    statement: &Digest,
    hedge: &[u8; 32],
) -> (Vec<EncodedPoint>, Proof, Value) {
    let publics: Vec<_> = keys.iter().map(|key| EncodedPoint::from(multiply_g(key))).collect();
    let proof =
        prove_possession(keys, &publics, statement, hedge).expect("keys of constant seeds are not zero");
    let secrets: Vec<_> = keys.iter().map(encode).collect();
    let inputs = json!({ "keys": secrets, "statement": statement, "hedge": hex::encode(hedge) });
    let vector = valid(name, "possession/prove", inputs, json!({ "publics": publics, "proof": proof }));
    (publics, proof, vector)
}

fn verifications(publics: &[EncodedPoint], statement: &Digest, good: &Proof) -> Vec<Value> {
    let inputs = |publics: &[EncodedPoint], statement: &Digest, proof: &Proof| json!({ "publics": publics, "statement": statement, "proof": proof });
    let keys = |name: &str, publics: &[EncodedPoint], reason: &str| {
        invalid(name, "possession/verify", inputs(publics, statement, good), reason)
    };
    let proof = |name: &str, proof: Proof, reason: &str| {
        invalid(name, "possession/verify", inputs(publics, statement, &proof), reason)
    };
    let equation = "the equation does not hold";
    let reversed: Vec<_> = publics.iter().rev().copied().collect();
    let fewer: Vec<_> = publics.iter().skip(1).copied().collect();
    let repeated: Vec<_> = publics.iter().chain(publics.iter().take(1)).copied().collect();
    let replaced =
        |by: EncodedPoint| -> Vec<_> { core::iter::once(by).chain(fewer.iter().copied()).collect() };
    let other = digest("another statement");
    let mut all = vec![
        valid("a good proof", "possession/verify", inputs(publics, statement, good), json!({})),
        invalid("another statement", "possession/verify", inputs(publics, &other, good), equation),
        keys("keys in another order", &reversed, equation),
        keys("a key less", &fewer, equation),
        keys("a key more", &repeated, equation),
        keys("no keys", &[], "no keys"),
        keys("a key is the identity", &replaced(IDENTITY), "identity"),
        proof("R is the identity", Proof { r: IDENTITY, ..*good }, "identity"),
        proof("s is not canonical", Proof { s: plus_order(&good.s), ..*good }, "s is not canonical"),
        proof("s is changed", Proof { s: EncodedScalar(flip(good.s.0, 9)), ..*good }, equation),
        proof(
            "R and s are swapped",
            Proof { r: EncodedPoint(good.s.0), s: EncodedScalar(good.r.0) },
            "another proof, or none",
        ),
        proof(
            "a bit of R is flipped",
            Proof { r: EncodedPoint(flip(good.r.0, 77)), ..*good },
            "another point, or none",
        ),
    ];
    for (bad, reason) in bad_points(&good.r) {
        all.push(proof(&format!("R is not canonical: {reason}"), Proof { r: bad, ..*good }, reason));
    }
    for (bad, reason) in publics.first().map(bad_points).into_iter().flatten() {
        all.push(keys(&format!("a key is not canonical: {reason}"), &replaced(bad), reason));
    }
    all
}

/// *s* for a nonce and keys, whatever they are.
fn complete(nonce: Scalar, keys: &[Scalar], publics: &[EncodedPoint], statement: &Digest) -> Proof {
    let r = EncodedPoint::from(multiply_g(&nonce));
    let sum: Scalar = challenges(publics, statement, &r).zip(keys).map(|(e, key)| e * key).sum();
    Proof { r, s: encode(&(nonce + sum)) }
}

/// The equation holds with the nonce zero, which would give a single key away: only the rule about the identity refuses it.
fn degenerate_nonce(keys: &[Scalar], publics: &[EncodedPoint], statement: &Digest) -> Value {
    let proof = complete(Scalar::ZERO, keys, publics, statement);
    let inputs = json!({ "publics": publics, "statement": statement, "proof": proof });
    invalid("R is the identity and the equation holds", "possession/verify", inputs, "identity")
}

/// The equation holds for a key of zero, which everybody has: only the rule about the identity refuses it.
fn degenerate_key(keys: &[Scalar], publics: &[EncodedPoint], statement: &Digest) -> Value {
    let keys: Vec<_> = keys.iter().copied().chain([Scalar::ZERO]).collect();
    let publics: Vec<_> = publics.iter().copied().chain([IDENTITY]).collect();
    let proof = complete(Scalar::from(7_u8), &keys, &publics, statement);
    let inputs = json!({ "publics": publics, "statement": statement, "proof": proof });
    invalid("a key is the identity and the equation holds", "possession/verify", inputs, "identity")
}
