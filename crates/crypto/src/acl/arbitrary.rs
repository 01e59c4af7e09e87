//! Proptest strategies for what travels: well formed, issued by nobody.

use proptest::prelude::*;

use super::{Announcement, Answer, Challenge, Depth, OpeningProof, Signature};
use crate::encoded::arbitrary::{arb_encoded_point, arb_encoded_scalar, arb_scalar};

/// Any depth.
pub fn arb_depth() -> impl Strategy<Value = Depth> {
    (0..=Depth::MAX.levels()).prop_filter_map("too deep", |depth| Depth::new(depth).ok())
}

/// An announcement that nobody can answer.
pub fn arb_announcement() -> impl Strategy<Value = Announcement> {
    (arb_encoded_scalar(), [arb_encoded_point(), arb_encoded_point(), arb_encoded_point()])
        .prop_map(|(nu, [a, b1, b2])| Announcement { nu, a, b1, b2 })
}

/// Any challenge.
pub fn arb_challenge() -> impl Strategy<Value = Challenge> {
    arb_scalar().prop_map(Challenge)
}

/// An answer that decodes.
pub fn arb_answer() -> impl Strategy<Value = Answer> {
    proptest::array::uniform5(arb_encoded_scalar()).prop_map(|[r, c, s1, s2, d]| Answer { r, c, s1, s2, d })
}

/// A proof that decodes and proves nothing.
pub fn arb_opening_proof() -> impl Strategy<Value = OpeningProof> {
    proptest::array::uniform3(arb_encoded_scalar()).prop_map(|[c, u, v]| OpeningProof { c, u, v })
}

/// A signature that decodes and does not verify.
pub fn arb_signature() -> impl Strategy<Value = Signature> {
    let scalars = proptest::array::uniform6(arb_encoded_scalar());
    (arb_encoded_point(), arb_encoded_point(), scalars).prop_map(
        |(zeta, zeta1, [rho, omega, rho1, rho2, omega_prime, mu])| Signature {
            zeta,
            zeta1,
            rho,
            omega,
            rho1,
            rho2,
            omega_prime,
            mu,
        },
    )
}
