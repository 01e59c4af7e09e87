//! The builder of the published test vectors, with the randomness that each used. Deterministic: every group draws its
//! secrets from its own ChaCha12 stream with a fixed seed.
//!
//! The document is `{"suite": "feiqian/v1", "vectors": [vector, …]}`; a vector is
//!
//! ```text
//! { "name":      what it shows
//!   "operation": "transcript" | "generators" | "snowblind/issue" | "snowblind/derive-blinding" | "snowblind/blind"
//!                | "snowblind/unblind" | "snowblind/verify" | "snowblind/recover-key" | "possession/prove"
//!                | "possession/verify"
//!   "inputs":    {…}   points, scalars and bytes in hexadecimal, integers as decimal strings
//!   "outputs":   {…}   empty where the operation only accepts or refuses
//!   "valid":     whether the operation must accept
//!   "reason":    why not, or null }
//! ```
//!
//! The vectors of offline cash are a document of their own, [`generate_offline`], with the same conventions and the
//! operations
//!
//! ```text
//! "acl/issue" | "acl/opening-context" | "acl/prove-opening" | "acl/verify-opening" | "acl/verify-identity" | "acl/derive"
//! | "acl/finish" | "acl/verify" | "share-tree/build" | "share-tree/spend" | "share-tree/verify" | "share-tree/identify"
//! | "share-tree/accuse"
//! ```
//!
//! In them *bank*, *account*, *session* and seeds are bytes in hexadecimal; a key is `Y` and `depth`; the node inside a
//! piece is a JSON number.

mod acl;
mod possession;
mod share_tree;
mod snowblind;

use curve25519_dalek::Scalar;
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::transcript::Transcript;
use crate::{generators, scalar};

/// All vectors of this crate as one document.
///
/// # Panics
///
/// Never: the inputs are constants, and a test runs it.
#[must_use]
pub fn generate() -> Value {
    let groups = [transcripts(), vec![the_generators()], snowblind::vectors(), possession::vectors()];
    json!({ "suite": "feiqian/v1", "group": "ristretto255", "vectors": groups.concat() })
}

/// All vectors of the offline coin as one document: honest customers and banks, and dishonest ones.
///
/// # Panics
///
/// Never: the inputs are constants, and a test runs it.
#[must_use]
pub fn generate_offline() -> Value {
    let vectors = [acl::vectors(), share_tree::vectors()].concat();
    json!({ "suite": "feiqian/v1", "group": "ristretto255", "vectors": vectors })
}

/// `base` with the fields of `more`, which replace those of the same name.
fn merge(mut base: Value, more: Value) -> Value {
    if let (Some(fields), Value::Object(more)) = (base.as_object_mut(), more) {
        fields.extend(more);
    }
    base
}

/// A vector that must be accepted.
fn valid(name: &str, operation: &str, inputs: Value, outputs: Value) -> Value {
    vector(name, operation, inputs, outputs, None)
}

/// A vector that must be refused.
fn invalid(name: &str, operation: &str, inputs: Value, reason: &str) -> Value {
    vector(name, operation, inputs, json!({}), Some(reason))
}

fn vector(name: &str, operation: &str, inputs: Value, outputs: Value, reason: Option<&str>) -> Value {
    json!({
        "name": name, "operation": operation, "inputs": inputs, "outputs": outputs,
        "valid": reason.is_none(), "reason": reason,
    })
}

fn stream(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

fn digest(name: &str) -> Digest {
    Transcript::new("vectors/digest").text(name).into_digest()
}

fn encode(scalar: &Scalar) -> EncodedScalar {
    EncodedScalar::from(scalar)
}

/// `bytes` with one bit changed.
fn flip(bytes: [u8; 32], bit: usize) -> [u8; 32] {
    let mut flipped = bytes;
    if let Some(byte) = flipped.get_mut(bit / 8) {
        *byte ^= 1_u8 << (bit % 8);
    }
    flipped
}

/// The 32 bytes of `scalar` + *q*: the same residue, not canonical.
fn plus_order(scalar: &EncodedScalar) -> EncodedScalar {
    let order_less_one = (-Scalar::ONE).to_bytes();
    let mut carry = 1_u16;
    let mut sum = [0; 32];
    for ((to, left), right) in sum.iter_mut().zip(scalar.0).zip(order_less_one) {
        carry = carry.saturating_add(u16::from(left)).saturating_add(u16::from(right));
        *to = carry.to_le_bytes()[0];
        carry >>= 8;
    }
    EncodedScalar(sum)
}

/// Encodings that RFC 9496 refuses, made from a good one, with what is wrong.
fn bad_points(point: &EncodedPoint) -> [(EncodedPoint, &'static str); 4] {
    let mut field_order = [0xff; 32];
    field_order[0] = 0xed;
    field_order[31] = 0x7f;
    [
        (EncodedPoint(flip(point.0, 255)), "the high bit is set"),
        (EncodedPoint(flip(point.0, 0)), "the encoded field element is negative"),
        (EncodedPoint(field_order), "the encoded field element is not reduced"),
        (EncodedPoint([0xff; 32]), "not a point"),
    ]
}

fn transcripts() -> Vec<Value> {
    let mut rng = stream(1);
    let scalar = scalar::random(&mut rng);
    let point = EncodedPoint::from(generators::multiply_g(&scalar));
    let results = |transcript: Transcript| {
        json!({
            "T": hex::encode(transcript.clone().into_wide()),
            "D": transcript.clone().into_digest(),
            "Hs": encode(&transcript.clone().into_scalar()),
            "HG": EncodedPoint::from(transcript.into_point()),
        })
    };
    let case = |name: &str, label: &str, fields: Value, transcript: Transcript| {
        valid(name, "transcript", json!({ "label": label, "fields": fields }), results(transcript))
    };
    vec![
        case("no fields", "vectors/empty", json!([]), Transcript::new("vectors/empty")),
        case("an empty label", "", json!([]), Transcript::new("")),
        case(
            "an empty field is not no field",
            "vectors/empty",
            json!([["bytes", ""]]),
            Transcript::new("vectors/empty").bytes(&[]),
        ),
        case(
            "every kind of field",
            "vectors/fields",
            json!([
                ["bytes", "00ff10"],
                ["text", "飞钱"],
                ["integer", "258"],
                ["point", point],
                ["scalar", encode(&scalar)]
            ]),
            Transcript::new("vectors/fields")
                .bytes(&[0, 255, 16])
                .text("飞钱")
                .integer(258)
                .point(&point)
                .scalar(&scalar),
        ),
        case(
            "the greatest integer",
            "vectors/integer",
            json!([["integer", u64::MAX.to_string()]]),
            Transcript::new("vectors/integer").integer(u64::MAX),
        ),
        case(
            "fields do not run together",
            "vectors/border",
            json!([["text", "ab"], ["text", "c"]]),
            Transcript::new("vectors/border").text("ab").text("c"),
        ),
        case(
            "fields do not run together, the other way",
            "vectors/border",
            json!([["text", "a"], ["text", "bc"]]),
            Transcript::new("vectors/border").text("a").text("bc"),
        ),
        case(
            "a list is its count and its items",
            "vectors/list",
            json!([["integer", "2"], ["integer", "7"], ["integer", "8"]]),
            Transcript::new("vectors/list").list(&[7, 8], |transcript, item| transcript.integer(*item)),
        ),
        case(
            "an optional value that is absent",
            "vectors/optional",
            json!([["integer", "0"]]),
            Transcript::new("vectors/optional").optional(None, |transcript, item| transcript.integer(item)),
        ),
        case(
            "an optional value that is present",
            "vectors/optional",
            json!([["integer", "1"], ["integer", "0"]]),
            Transcript::new("vectors/optional")
                .optional(Some(0), |transcript, item| transcript.integer(item)),
        ),
    ]
}

fn the_generators() -> Value {
    let encode = |point| EncodedPoint::from(&point);
    let outputs = json!({
        "G": encode(generators::g()), "H": encode(generators::h()),
        "H0": encode(generators::h0()), "H1": encode(generators::h1()),
    });
    valid("the generators", "generators", json!({}), outputs)
}
