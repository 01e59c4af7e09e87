//! A small mutator: valid inputs, spoiled in ways that reach deep.
//!
//! It knows what libFuzzer must learn first: counts are eight little-endian bytes, JSON has fields, two messages of one
//! type can be spliced. It is a function of its random numbers, so a printed seed gives the same inputs again.

use rand::rngs::ChaCha12Rng;
use rand::{Rng, RngExt};
use serde_json::{Value, json};

use crate::Shape;

/// The longest input made.
const LONGEST: usize = 1 << 18;

/// Integers at which something ends.
const EDGES: [u64; 14] =
    [0, 1, 2, 31, 64, 256, 257, 1 << 16, 1 << 20, 1 << 31, u32::MAX as u64, 1 << 53, 1 << 63, u64::MAX];

/// One input of this shape, made of `seeds`.
pub fn input(shape: Shape, seeds: &[Vec<u8>], rng: &mut ChaCha12Rng) -> Vec<u8> {
    let mut bytes = match pick(seeds, rng) {
        Some(seed) => seed.clone(),
        None => random(rng, 64),
    };
    let json = matches!(shape, Shape::Json | Shape::Message) && !bytes.starts_with(b"FQ");
    if json
        && rng.random_bool(0.7)
        && let Ok(mut value) = serde_json::from_slice::<Value>(&bytes)
    {
        for _ in 0..rng.random_range(1..=3) {
            change_value(&mut value, rng);
        }
        return serde_json::to_vec(&value).unwrap_or_default();
    }
    for _ in 0..rng.random_range(1..=3) {
        let other = pick(seeds, rng).cloned().unwrap_or_default();
        change_bytes(&mut bytes, &other, shape, rng);
    }
    bytes.truncate(LONGEST);
    bytes
}

fn pick<'a, T>(items: &'a [T], rng: &mut ChaCha12Rng) -> Option<&'a T> {
    if items.is_empty() { None } else { items.get(rng.random_range(0..items.len())) }
}

fn random(rng: &mut ChaCha12Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.random_range(0..=most)];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// A range within `length` of at most `most`.
fn range(length: usize, most: usize, rng: &mut ChaCha12Rng) -> std::ops::Range<usize> {
    let start = rng.random_range(0..=length);
    let end = start.saturating_add(rng.random_range(0..=most)).min(length);
    start..end
}

fn change_bytes(bytes: &mut Vec<u8>, other: &[u8], shape: Shape, rng: &mut ChaCha12Rng) {
    let length = bytes.len();
    match rng.random_range(0..9) {
        0 => {
            if let Some(byte) = pick_mut(bytes, rng) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        1 => {
            if let Some(byte) = pick_mut(bytes, rng) {
                *byte = rng.random();
            }
        }
        // A count, a length, an amount, the number of a variant.
        2 => {
            let edge = pick(&EDGES, rng).copied().unwrap_or(0).to_le_bytes();
            let width = if rng.random_bool(0.5) { 8 } else { 4 };
            let at = rng.random_range(0..=length);
            for (byte, new) in bytes.iter_mut().skip(at).zip(edge.into_iter().take(width)) {
                *byte = new;
            }
        }
        3 => bytes.truncate(rng.random_range(0..=length)),
        4 => bytes.extend(random(rng, 32)),
        5 => {
            let part = range(other.len(), 64, rng);
            let at = rng.random_range(0..=length);
            let part = other.get(part).unwrap_or_default().to_vec();
            bytes.splice(at..at, part);
        }
        // The head of one and the tail of another.
        6 => {
            let (cut, rest) = (rng.random_range(0..=length), rng.random_range(0..=other.len()));
            bytes.truncate(cut);
            bytes.extend_from_slice(other.get(rest..).unwrap_or_default());
        }
        7 => drop(bytes.drain(range(length, 64, rng))),
        _ => {
            let word = pick(words(shape), rng).copied().unwrap_or_default();
            let at = range(length, 8, rng);
            bytes.splice(at, word.bytes());
        }
    }
}

/// What means something in an input of this shape.
const fn words(shape: Shape) -> &'static [&'static str] {
    match shape {
        Shape::Bytes => &["\0", "\u{ff}", "\x30\u{82}", "FQ\x01\0"],
        Shape::Message | Shape::Json => &[
            "null",
            "{}",
            "[[[[",
            "\"",
            "-1",
            "1e999",
            "\\u0000",
            "FQ\x01\0",
            "18446744073709551616",
            "0x",
            " ",
        ],
        Shape::Text => &[
            "feiqian:",
            "=",
            "[",
            "]",
            "\n",
            "\"",
            "inf",
            "nan",
            "-1",
            "1e308",
            "99999999999999999999",
            "\u{202e}",
            "\0",
            "%00",
            "..",
            "#",
            "0s",
            "\u{5143}",
        ],
    }
}

fn pick_mut<'a>(bytes: &'a mut [u8], rng: &mut ChaCha12Rng) -> Option<&'a mut u8> {
    if bytes.is_empty() {
        return None;
    }
    let at = rng.random_range(0..bytes.len());
    bytes.get_mut(at)
}

/// Spoils one place of a document: its depth is drawn as it goes down.
fn change_value(value: &mut Value, rng: &mut ChaCha12Rng) {
    let deeper = rng.random_bool(0.8);
    match value {
        Value::Object(fields) if deeper && !fields.is_empty() => {
            let at = rng.random_range(0..fields.len());
            if let Some((_, inner)) = fields.iter_mut().nth(at) {
                return change_value(inner, rng);
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let at = rng.random_range(0..items.len());
            if let Some(inner) = items.get_mut(at) {
                return change_value(inner, rng);
            }
        }
        _ => {}
    }
    spoil(value, rng);
}

fn spoil(value: &mut Value, rng: &mut ChaCha12Rng) {
    match (rng.random_range(0..4), &mut *value) {
        (0, Value::Object(fields)) => {
            let name = fields.keys().next().cloned().unwrap_or_default();
            fields.remove(&name);
        }
        (1, Value::Object(fields)) => drop(fields.insert("unknown".to_owned(), json!(1))),
        (0, Value::Array(items)) => drop(items.pop()),
        (1, Value::Array(items)) => {
            let first = items.first().cloned().unwrap_or(Value::Null);
            items.extend(std::iter::repeat_n(first, rng.random_range(1..300)));
        }
        (0 | 1, Value::String(text)) => {
            // One digit more, one less, one other: amounts, ids and names at their edges.
            match rng.random_range(0..4) {
                0 => text.push(char::from(rng.random_range(b'0'..=b'z'))),
                1 => drop(text.pop()),
                2 => *text = text.to_uppercase(),
                _ => *text = pick(&EDGES, rng).copied().unwrap_or(0).to_string(),
            }
        }
        _ => *value = strange(rng),
    }
}

fn strange(rng: &mut ChaCha12Rng) -> Value {
    match rng.random_range(0..9) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(-1),
        3 => json!(1.5e300),
        4 => json!(pick(&EDGES, rng)),
        5 => json!(""),
        6 => json!("\u{202e}\u{0}"),
        7 => (0..rng.random_range(1..40)).fold(json!([]), |inner, _| json!([inner])),
        _ => json!({ "a": {} }),
    }
}
