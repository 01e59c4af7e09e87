//! One proof that all secret keys of a list of coins are held, over a statement: 64 bytes for any number of coins.
//!
//! ```text
//! R    = rG                                     r = Hs("possession/nonce"; 32 random bytes, k_1 … k_n, statement)
//! base = D("possession/transcript"; statement, R, n, K_1 … K_n)
//! e_i  = Hs("possession/challenge"; base, i)    i from 0
//! s    = r + Σ e_i k_i
//! check  sG = R + Σ e_i K_i
//! ```

use curve25519_dalek::traits::VartimeMultiscalarMul;
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::error::{Malformed, Misuse, Rejection};
use crate::generators;
use crate::transcript::Transcript;

/// A proof of possession (*R*, *s*), 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    /// *R*, not the identity.
    pub r: EncodedPoint,
    /// *s*.
    pub s: EncodedScalar,
}

/// Proves that the secret keys of `publics` are held, over `statement`.
///
/// The nonce is hedged: it depends on the keys and the statement besides 32 random bytes, so even a broken source of
/// randomness does not use one nonce for two statements.
///
/// # Errors
///
/// [`Misuse::NoKeys`] for an empty list, [`Misuse::Count`] for lists of different lengths, [`Misuse::ZeroSecret`] for a
/// key of zero, [`Misuse::KeyMismatch`] if a public key is not that of the secret key in its place.
///
/// # Security
///
/// Constant time in the keys. The public keys are recomputed: with a repeated nonce, proofs of the same secrets over
/// other public keys would give the secrets away.
pub fn prove(
    keys: &[Scalar],
    publics: &[EncodedPoint],
    statement: &Digest,
    rng: &mut impl CryptoRng,
) -> Result<Proof, Misuse> {
    let mut hedge = [0; 32];
    rng.fill_bytes(&mut hedge);
    let proof = prove_with_hedge(keys, publics, statement, &hedge);
    hedge.zeroize();
    proof
}

/// [`prove`] with the 32 random bytes given.
pub(crate) fn prove_with_hedge(
    keys: &[Scalar],
    publics: &[EncodedPoint],
    statement: &Digest,
    hedge: &[u8; 32],
) -> Result<Proof, Misuse> {
    check_keys(keys, publics)?;
    let secret = keys.iter().fold(Transcript::new("possession/nonce").bytes(hedge), Transcript::scalar);
    let mut nonce = secret.digest(statement).into_scalar();
    let r = EncodedPoint::from(generators::multiply_g(&nonce));
    let challenges = challenges(publics, statement, &r);
    let s: Scalar = nonce + challenges.zip(keys).map(|(e, k)| e * k).sum::<Scalar>();
    nonce.zeroize();
    Ok(Proof { r, s: EncodedScalar::from(&s) })
}

fn check_keys(keys: &[Scalar], publics: &[EncodedPoint]) -> Result<(), Misuse> {
    if keys.is_empty() && publics.is_empty() {
        return Err(Misuse::NoKeys);
    }
    if keys.len() != publics.len() {
        return Err(Misuse::Count { secrets: keys.len(), publics: publics.len() });
    }
    if keys.contains(&Scalar::ZERO) {
        return Err(Misuse::ZeroSecret);
    }
    let halves: Vec<_> = keys.iter().map(|key| generators::multiply_g(&key.div_by_2())).collect();
    let expected = RistrettoPoint::double_and_compress_batch(&halves);
    match expected.iter().zip(publics).position(|(one, other)| one.as_bytes() != other.as_bytes()) {
        Some(index) => Err(Misuse::KeyMismatch { index }),
        None => Ok(()),
    }
}

/// *e*₀, *e*₁, …, one for each key.
pub(crate) fn challenges(
    publics: &[EncodedPoint],
    statement: &Digest,
    r: &EncodedPoint,
) -> impl Iterator<Item = Scalar> {
    let transcript = Transcript::new("possession/transcript").digest(statement).point(r);
    let base = transcript.list(publics, Transcript::point).into_digest();
    (0..publics.len())
        .map(move |i| Transcript::new("possession/challenge").digest(&base).count(i).into_scalar())
}

/// A proof taken apart: *s*, and the terms *R*·1, *K_i*·*e_i* that must sum to *sG*.
pub(crate) struct Equation {
    pub(crate) s: Scalar,
    pub(crate) terms: Vec<(Scalar, RistrettoPoint)>,
}

pub(crate) fn equation(
    publics: &[EncodedPoint],
    statement: &Digest,
    proof: &Proof,
) -> Result<Equation, Rejection> {
    if publics.is_empty() {
        return Err(Rejection::Possession);
    }
    let s = proof.s.decode()?;
    let mut terms = Vec::with_capacity(publics.len().saturating_add(1));
    terms.push((Scalar::ONE, proof.r.decode_non_identity()?));
    for (e, public) in challenges(publics, statement, &proof.r).zip(publics) {
        terms.push((e, public.decode_non_identity()?));
    }
    Ok(Equation { s, terms })
}

/// Checks that `proof` shows possession of the secret keys of `publics` over `statement`.
///
/// # Errors
///
/// [`Rejection::Malformed`] if a key or a part of the proof does not decode or is the identity,
/// [`Rejection::Possession`] if the equation does not hold or there are no keys.
///
/// # Security
///
/// Variable time: everything here is public.
pub fn verify(publics: &[EncodedPoint], statement: &Digest, proof: &Proof) -> Result<(), Rejection> {
    let Equation { s, terms } = equation(publics, statement, proof)?;
    let (scalars, points): (Vec<_>, Vec<_>) = terms.into_iter().unzip();
    let sum = RistrettoPoint::vartime_multiscalar_mul(
        scalars.into_iter().chain([-s]),
        points.into_iter().chain([generators::g()]),
    );
    if sum == RistrettoPoint::default() { Ok(()) } else { Err(Rejection::Possession) }
}

impl Proof {
    /// Length in bytes: 64.
    pub const LENGTH: usize = 64;

    /// *R* ‖ *s*.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes.iter_mut().zip(self.r.0.iter().chain(&self.s.0)).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Reads *R* ‖ *s*; whether the parts decode is found out by [`verify`].
    ///
    /// # Errors
    ///
    /// [`Malformed::Length`] unless there are exactly 64 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let wrong = Malformed::Length { expected: Self::LENGTH, got: bytes.len() };
        let (r, rest) = bytes.split_first_chunk().ok_or(wrong)?;
        let s = rest.try_into().map_err(|_| wrong)?;
        Ok(Self { r: EncodedPoint(*r), s: EncodedScalar(s) })
    }
}

/// Proptest strategies.
#[cfg(feature = "testing")]
pub mod arbitrary {
    use proptest::prelude::*;

    use super::Proof;
    use crate::encoded::arbitrary::{arb_encoded_point, arb_encoded_scalar};

    /// A proof that decodes and proves nothing.
    pub fn arb_proof() -> impl Strategy<Value = Proof> {
        (arb_encoded_point(), arb_encoded_scalar()).prop_map(|(r, s)| Proof { r, s })
    }
}
