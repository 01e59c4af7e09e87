//! Proptest strategies for what travels: well formed, signed by nobody.

use proptest::prelude::*;

use super::{Challenge, Commitment, PublicKey, Response, Signature};
use crate::encoded::arbitrary::{arb_encoded_point, arb_encoded_scalar, arb_scalar};

/// A public key whose secret is forgotten.
pub fn arb_public_key() -> impl Strategy<Value = PublicKey> {
    arb_encoded_point().prop_filter_map("the identity", |encoded| PublicKey::from_encoded(encoded).ok())
}

/// A commitment that nobody can answer.
pub fn arb_commitment() -> impl Strategy<Value = Commitment> {
    (arb_encoded_point(), arb_encoded_point()).prop_map(|(a, b)| Commitment { a, b })
}

/// Any challenge.
pub fn arb_challenge() -> impl Strategy<Value = Challenge> {
    arb_scalar().prop_map(Challenge)
}

/// An answer that decodes.
pub fn arb_response() -> impl Strategy<Value = Response> {
    (arb_encoded_scalar(), arb_encoded_scalar(), arb_encoded_scalar()).prop_map(|(z, b, y)| Response {
        z,
        b,
        y,
    })
}

/// A signature that decodes and does not verify.
pub fn arb_signature() -> impl Strategy<Value = Signature> {
    (arb_encoded_point(), arb_encoded_scalar(), arb_encoded_scalar())
        .prop_map(|(commitment, z, y)| Signature { commitment, z, y })
}
