//! The generators of the suite: `G` is the standard one of ristretto255, the others come out of the one-way map, so
//! nobody knows a discrete logarithm between any two of them.

use std::sync::LazyLock;

use curve25519_dalek::constants::{RISTRETTO_BASEPOINT_POINT, RISTRETTO_BASEPOINT_TABLE};
use curve25519_dalek::ristretto::{RistrettoBasepointTable, VartimeRistrettoPrecomputation};
use curve25519_dalek::traits::{IsIdentity, VartimePrecomputedMultiscalarMul};
use curve25519_dalek::{RistrettoPoint, Scalar};

use crate::transcript::Transcript;

struct Generators {
    h: RistrettoPoint,
    h0: RistrettoPoint,
    h1: RistrettoPoint,
    h_table: RistrettoBasepointTable,
    h0_table: RistrettoBasepointTable,
    h1_table: RistrettoBasepointTable,
    g_and_h: VartimeRistrettoPrecomputation,
}

/// Refuses to work with generators that coincide or vanish: a signature scheme whose second generator came out as
/// the identity is forgeable without a key.
static GENERATORS: LazyLock<Generators> = LazyLock::new(|| {
    let h = Transcript::new("generator/H").into_point();
    let h0 = Transcript::new("generator/H0").into_point();
    let h1 = Transcript::new("generator/H1").into_point();
    let all = [g(), h, h0, h1];
    for (index, one) in all.iter().enumerate() {
        assert!(!one.is_identity(), "a generator is the identity");
        assert!(
            all.iter().skip(index).filter(|other| *other == one).count() == 1,
            "two generators are equal"
        );
    }
    Generators {
        h,
        h0,
        h1,
        h_table: RistrettoBasepointTable::create(&h),
        h0_table: RistrettoBasepointTable::create(&h0),
        h1_table: RistrettoBasepointTable::create(&h1),
        g_and_h: VartimeRistrettoPrecomputation::new([g(), h]),
    }
});

/// `G`, the standard generator of RFC 9496.
#[must_use]
pub fn g() -> RistrettoPoint {
    RISTRETTO_BASEPOINT_POINT
}

/// `H = HG("generator/H")`: Snowblind's second generator.
#[must_use]
pub fn h() -> RistrettoPoint {
    GENERATORS.h
}

/// `H0 = HG("generator/H0")`: carries the randomness of an identity commitment.
#[must_use]
pub fn h0() -> RistrettoPoint {
    GENERATORS.h0
}

/// `H1 = HG("generator/H1")`: carries the identity in an identity commitment.
#[must_use]
pub fn h1() -> RistrettoPoint {
    GENERATORS.h1
}

/// The table of multiples of `G`, 30 KiB.
#[must_use]
pub fn g_table() -> &'static RistrettoBasepointTable {
    RISTRETTO_BASEPOINT_TABLE
}

/// The table of multiples of `H`, 30 KiB, made at first use.
#[must_use]
pub fn h_table() -> &'static RistrettoBasepointTable {
    &GENERATORS.h_table
}

/// *sG* in constant time.
#[must_use]
pub fn multiply_g(scalar: &Scalar) -> RistrettoPoint {
    g_table() * scalar
}

/// *sH* in constant time.
#[must_use]
pub fn multiply_h(scalar: &Scalar) -> RistrettoPoint {
    h_table() * scalar
}

/// *sH0* in constant time, from a table of 30 KiB made at first use.
#[must_use]
pub fn multiply_h0(scalar: &Scalar) -> RistrettoPoint {
    &GENERATORS.h0_table * scalar
}

/// *sH1* in constant time, from a table of 30 KiB made at first use.
#[must_use]
pub fn multiply_h1(scalar: &Scalar) -> RistrettoPoint {
    &GENERATORS.h1_table * scalar
}

/// *gG* + *hH* + Σ *sP* over the given terms, in variable time: public data only.
#[must_use]
pub fn vartime_sum<'a>(
    g: &Scalar,
    h: &Scalar,
    terms: impl IntoIterator<Item = (&'a Scalar, &'a RistrettoPoint)>,
) -> RistrettoPoint {
    let (scalars, points): (Vec<&Scalar>, Vec<&RistrettoPoint>) = terms.into_iter().unzip();
    GENERATORS.g_and_h.vartime_mixed_multiscalar_mul([g, h], scalars, points)
}
