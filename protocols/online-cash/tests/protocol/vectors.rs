//! The published vectors: the builder is deterministic, and it judges every vector by the code itself.

use feiqian_online_cash::drop_box::BoxAccess;
use feiqian_online_cash::evidence::Evidence;
use feiqian_online_cash::keyset::Keyset;
use feiqian_online_cash::request::SignedRequest;
use feiqian_online_cash::vectors;
use serde_json::Value;

#[test]
fn the_builder_makes_the_same_document_twice_with_both_verdicts() {
    let document = vectors::generate();
    assert!(document == vectors::generate());
    let all = document.get("vectors").and_then(Value::as_array).unwrap();
    let valid = all.iter().filter(|vector| vector.get("valid") == Some(&Value::Bool(true))).count();
    assert!(valid >= 40 && all.len() - valid >= 40, "{valid} of {}", all.len());
    let mut names = std::collections::BTreeSet::new();
    for vector in all {
        let member = |name: &str| vector.get(name).unwrap().to_string();
        assert!(names.insert((member("operation"), member("name"))), "{} twice", member("name"));
    }
}

fn part<T: serde::de::DeserializeOwned>(inputs: &Value, name: &str) -> T {
    serde_json::from_value(inputs.get(name).unwrap().clone()).unwrap()
}

fn key(inputs: &Value) -> [u8; 32] {
    part::<feiqian_crypto::Digest>(inputs, "bank_key").to_bytes()
}

/// What the document says in JSON is what the code reads, with the same verdict.
#[test]
fn messages_read_back_from_the_document_behave_as_it_says() {
    let document = vectors::generate();
    let mut seen = 0;
    for vector in document.get("vectors").and_then(Value::as_array).unwrap() {
        let inputs = vector.get("inputs").unwrap();
        let outputs = vector.get("outputs").unwrap();
        let accepted = match part::<String>(vector, "operation").as_str() {
            "online-cash/evidence" => {
                part::<Evidence>(inputs, "evidence").verify_with_key(&key(inputs)).is_ok()
            }
            "online-cash/keyset" => part::<Keyset>(inputs, "keyset").verify(&key(inputs)).is_ok(),
            "online-cash/drop-box-access" => {
                part::<BoxAccess>(inputs, "access").verify(&part::<String>(inputs, "bank")).is_ok()
            }
            "online-cash/request" if outputs.get("uri").is_some() => {
                let signed: SignedRequest = part(inputs, "request");
                SignedRequest::from_uri(&part::<String>(outputs, "uri")).unwrap() == signed
            }
            _ => continue,
        };
        assert_eq!(accepted, part::<bool>(vector, "valid"), "{}", part::<String>(vector, "name"));
        seen += 1;
    }
    assert_eq!(seen, 12 + 10 + 4 + 2);
}
