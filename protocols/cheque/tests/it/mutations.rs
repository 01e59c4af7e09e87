//! Nothing can be changed: no member of any block, no character of a file.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feiqian_cheque::block::Block;
use feiqian_cheque::{Bundle, verify};
use serde_json::Value;

use crate::world::{World, order, replaced, text};

/// Paths to every value in a document, containers included.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    if !at.is_empty() {
        found.push(at.to_owned());
    }
    match value {
        Value::Object(members) => {
            members.iter().for_each(|(name, inner)| paths(inner, &format!("{at}/{name}"), found));
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, inner)| paths(inner, &format!("{at}/{index}"), found));
        }
        _ => (),
    }
}

/// Other values that could stand there: of the same kind, near, and valid where possible.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(it) => vec![(!it).into()],
        Value::Number(it) => vec![(it.as_u64().unwrap() + 1).into(), 0.into()],
        Value::String(it) => {
            let mut near: Vec<Value> = vec![format!("{it}0").into(), "".into()];
            if let Some(last) = it.chars().last() {
                let swapped = if last == '1' { '2' } else { '1' };
                near.push(format!("{}{swapped}", &it[..it.len() - last.len_utf8()]).into());
            }
            near
        }
        Value::Array(items) => {
            let mut doubled = items.clone();
            doubled.extend(items.clone());
            vec![Vec::<Value>::new().into(), doubled.into()]
        }
        Value::Object(members) => {
            let mut more = members.clone();
            more.insert("z".to_owned(), Value::Null);
            let mut less = members.clone();
            less.remove(&members.keys().next().unwrap().clone());
            vec![more.into(), less.into()]
        }
        Value::Null => panic!("no document has a null"),
    }
}

fn mutated(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let value: Value = serde_json::from_slice(bytes).unwrap();
    let mut found = Vec::new();
    paths(&value, "", &mut found);
    let mut out = Vec::new();
    for path in found {
        for other in others(value.pointer(&path).unwrap()) {
            let mut changed = value.clone();
            *changed.pointer_mut(&path).unwrap() = other;
            if changed != value {
                out.push((path.clone(), serde_json_canonicalizer::to_vec(&changed).unwrap()));
            }
        }
    }
    out
}

#[test]
fn every_member_of_every_block_is_signed() {
    let world = World::new(50);
    let bundle = world.long_way();
    let trust = world.trust();
    let mut tried = 0;
    for (index, good) in bundle.blocks.iter().enumerate() {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let mut bent: Vec<(String, Block)> = Vec::new();
        for (path, bytes) in mutated(&decode(&good.payload)) {
            bent.push((path, Block { payload: text(&URL_SAFE_NO_PAD.encode(bytes)), ..good.clone() }));
        }
        for (path, bytes) in mutated(&decode(&good.protected)) {
            let encoded = URL_SAFE_NO_PAD.encode(bytes);
            bent.push((path, Block { protected: text(&encoded), ..good.clone() }));
        }
        for byte in 0..64 {
            let mut signature = decode(&good.signature);
            signature[byte] ^= 1;
            let signature = text(&URL_SAFE_NO_PAD.encode(signature));
            bent.push((format!("signature {byte}"), Block { signature, ..good.clone() }));
        }
        for (path, block) in bent {
            tried += 1;
            let refused = verify(replaced(&bundle, index, block), &trust).is_err();
            assert!(refused, "block {index}, {path}");
        }
    }
    assert!(tried > 900, "{tried}");
}

#[test]
fn every_character_of_a_file_counts() {
    let world = World::new(51);
    let trust = world.trust();
    let file = world.issued(order(false)).to_bytes().unwrap();
    verify(Bundle::from_bytes(&file).unwrap(), &trust).unwrap();
    for index in 0..file.len() {
        for with in [file[index] ^ 1, b' '] {
            let mut changed = file.clone();
            changed[index] = with;
            if changed != file {
                let taken = Bundle::from_bytes(&changed).is_ok_and(|bundle| verify(bundle, &trust).is_ok());
                assert!(!taken, "byte {index} became {with}");
            }
        }
    }
}
