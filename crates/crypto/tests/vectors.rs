//! The published vectors: the stored document is what the builder makes, and every vector, read back from the document
//! alone, behaves as it says.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::str::FromStr;

use feiqian_crypto::hazmat;
use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::snowblind::{
    self, Blinding, Challenge, Commitment, PendingSignature, PublicKey, Response, SecretKey, SecretNonces,
    Signature,
};
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Scalar, Transcript, generators, vectors};
use serde_json::{Value, json};

const DOCUMENT: &str = include_str!("vectors.json");

/// Any refusal, as text.
type Refused = String;

fn refused(error: impl ToString) -> Refused {
    error.to_string()
}

fn text<'a>(inputs: &'a Value, field: &str) -> &'a str {
    inputs.get(field).and_then(Value::as_str).unwrap_or_else(|| panic!("no field {field}"))
}

fn parse<T: FromStr<Err: Debug>>(inputs: &Value, field: &str) -> T {
    text(inputs, field).parse().unwrap()
}

fn typed<T: serde::de::DeserializeOwned>(inputs: &Value, field: &str) -> T {
    serde_json::from_value(inputs.get(field).unwrap().clone()).unwrap()
}

fn bytes(inputs: &Value, field: &str) -> Vec<u8> {
    hex::decode(text(inputs, field)).unwrap()
}

fn scalar(inputs: &Value, field: &str) -> Scalar {
    parse::<EncodedScalar>(inputs, field).decode().unwrap()
}

fn public_key(inputs: &Value) -> Result<PublicKey, Refused> {
    PublicKey::from_encoded(parse(inputs, "X")).map_err(refused)
}

fn commitment(inputs: &Value) -> Commitment {
    Commitment { a: parse(inputs, "A"), b: parse(inputs, "B") }
}

fn secret_key(inputs: &Value) -> SecretKey {
    SecretKey::from_bytes(bytes(inputs, "x").as_slice().try_into().unwrap()).unwrap()
}

fn transcript(inputs: &Value) -> Value {
    let mut transcript = Transcript::new(text(inputs, "label"));
    for (kind, value) in typed::<Vec<(String, String)>>(inputs, "fields") {
        transcript = match kind.as_str() {
            "bytes" => transcript.bytes(&hex::decode(value).unwrap()),
            "text" => transcript.text(&value),
            "integer" => transcript.integer(value.parse().unwrap()),
            "point" => transcript.point(&value.parse().unwrap()),
            "scalar" => transcript.scalar(&value.parse::<EncodedScalar>().unwrap().decode().unwrap()),
            other => panic!("unknown kind of field {other}"),
        };
    }
    json!({
        "T": hex::encode(transcript.clone().into_wide()),
        "D": transcript.clone().into_digest(),
        "Hs": EncodedScalar::from(transcript.clone().into_scalar()),
        "HG": EncodedPoint::from(transcript.into_point()),
    })
}

fn all_generators() -> Value {
    let encode = |point| EncodedPoint::from(&point);
    json!({
        "G": encode(generators::g()), "H": encode(generators::h()),
        "H0": encode(generators::h0()), "H1": encode(generators::h1()),
    })
}

fn issue(inputs: &Value) -> Value {
    let key = secret_key(inputs);
    let (nonces, commitment) =
        SecretNonces::from_scalars(scalar(inputs, "a"), scalar(inputs, "b"), scalar(inputs, "y")).unwrap();
    let message: Digest = parse(inputs, "message");
    let (pending, challenge) =
        snowblind::blind(key.public(), &message, &commitment, blinding(inputs)).unwrap();
    let response = nonces.respond(&key, &challenge);
    let signature = pending.unblind(&response).unwrap();
    json!({
        "X": key.public(), "A": commitment.a, "B": commitment.b, "c": challenge,
        "response": response, "signature": signature,
    })
}

fn blinding(inputs: &Value) -> Blinding {
    Blinding::from_scalars(scalar(inputs, "alpha"), scalar(inputs, "beta"), scalar(inputs, "r")).unwrap()
}

fn derive(inputs: &Value) -> Value {
    let (key, message, commitment) =
        (public_key(inputs).unwrap(), parse(inputs, "message"), commitment(inputs));
    let (seed, session, index) = (bytes(inputs, "seed"), bytes(inputs, "session"), parse(inputs, "index"));
    let blinding = Blinding::derive(&seed, &session, index, &key, &message, &commitment);
    let [alpha, beta, r] = blinding.to_scalars().map(EncodedScalar::from);
    let (_, challenge) = snowblind::blind(&key, &message, &commitment, blinding).unwrap();
    json!({ "alpha": alpha, "beta": beta, "r": r, "c": challenge })
}

fn blind(inputs: &Value) -> Result<PendingSignature, Refused> {
    let (key, message) = (public_key(inputs)?, parse(inputs, "message"));
    let blinded = snowblind::blind(&key, &message, &commitment(inputs), blinding(inputs));
    blinded.map(|(pending, _)| pending).map_err(refused)
}

fn unblind(inputs: &Value) -> Result<Value, Refused> {
    let signature = blind(inputs)?.unblind(&typed::<Response>(inputs, "response")).map_err(refused)?;
    Ok(json!({ "signature": signature }))
}

fn verify(inputs: &Value) -> Result<Value, Refused> {
    let (key, message) = (public_key(inputs)?, parse(inputs, "message"));
    snowblind::verify(&key, &message, &typed::<Signature>(inputs, "signature")).map_err(refused)?;
    Ok(json!({}))
}

fn recover_key(inputs: &Value) -> Value {
    let answer =
        |z: &str| Response { z: parse(inputs, z), b: EncodedScalar([0; 32]), y: EncodedScalar([0; 32]) };
    let challenge = |c: &str| Challenge::try_from(parse::<EncodedScalar>(inputs, c)).unwrap();
    let key = hazmat::recover_key((&challenge("c1"), &answer("z1")), (&challenge("c2"), &answer("z2")));
    json!({ "x": EncodedScalar::from(key.unwrap()) })
}

fn prove(inputs: &Value) -> Value {
    let keys: Vec<Scalar> =
        typed::<Vec<EncodedScalar>>(inputs, "keys").iter().map(|key| key.decode().unwrap()).collect();
    let publics: Vec<EncodedPoint> = keys.iter().map(|key| generators::multiply_g(key).into()).collect();
    let hedge = bytes(inputs, "hedge").as_slice().try_into().unwrap();
    let proof = hazmat::prove_possession(&keys, &publics, &parse(inputs, "statement"), &hedge).unwrap();
    json!({ "publics": publics, "proof": proof })
}

fn verify_possession(inputs: &Value) -> Result<Value, Refused> {
    let publics: Vec<EncodedPoint> = typed(inputs, "publics");
    let proof: Proof = typed(inputs, "proof");
    possession::verify(&publics, &parse(inputs, "statement"), &proof).map_err(refused)?;
    Ok(json!({}))
}

fn replay(operation: &str, inputs: &Value) -> Result<Value, Refused> {
    match operation {
        "transcript" => Ok(transcript(inputs)),
        "generators" => Ok(all_generators()),
        "snowblind/issue" => Ok(issue(inputs)),
        "snowblind/derive-blinding" => Ok(derive(inputs)),
        "snowblind/blind" => blind(inputs).map(|_| json!({})),
        "snowblind/unblind" => unblind(inputs),
        "snowblind/verify" => verify(inputs),
        "snowblind/recover-key" => Ok(recover_key(inputs)),
        "possession/prove" => Ok(prove(inputs)),
        "possession/verify" => verify_possession(inputs),
        other => panic!("unknown operation {other}"),
    }
}

#[test]
fn the_stored_vectors_are_what_the_builder_makes() {
    let stored: Value = serde_json::from_str(DOCUMENT).unwrap();
    assert!(stored == vectors::generate(), "run the example `vectors` and look at what changed");
}

#[test]
fn every_stored_vector_behaves_as_it_says() {
    let document: Value = serde_json::from_str(DOCUMENT).unwrap();
    let (mut names, mut accepted, mut rejected) = (BTreeSet::new(), 0, 0);
    for vector in document.get("vectors").and_then(Value::as_array).unwrap() {
        let (name, operation) = (text(vector, "name"), text(vector, "operation"));
        assert!(names.insert((operation, name)), "{operation}: {name} twice");
        match (replay(operation, vector.get("inputs").unwrap()), typed::<bool>(vector, "valid")) {
            (Ok(outputs), true) => {
                assert_eq!(&outputs, vector.get("outputs").unwrap(), "{operation}: {name}")
            }
            (Err(_), false) => assert!(!text(vector, "reason").is_empty(), "{operation}: {name}"),
            (outcome, valid) => panic!("{operation}: {name}: valid is {valid}, got {outcome:?}"),
        }
        if typed(vector, "valid") { accepted += 1 } else { rejected += 1 }
    }
    assert!(accepted >= 27 && rejected >= 75, "{accepted} accepted, {rejected} rejected");
}
