//! Blind Schnorr signatures as in the textbooks.
//!
//! | step | who | computes |
//! |---|---|---|
//! | 1 | signer | *A* = *aG* |
//! | 2 | user | *R* = *A* + *αG* + *βX*, *c'* = Hs(*X*, *m*, *R*), *c* = *c'* + *β* |
//! | 3 | signer | *z* = *a* + *cx* |
//! | unblind | user | *s* = *z* + *α* |
//! | verify | anyone | *sG* = *R* + *c'X* |
//!
//! # Security
//!
//! Perfectly blind, and forgeable: 253 sessions open at once give 254 signatures in milliseconds, see
//! [`ros`](super::ros). Never use it.

use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;

use crate::encoded::{Digest, EncodedPoint};
use crate::error::Rejection;
use crate::generators::multiply_g;
use crate::scalar;
use crate::transcript::Transcript;

/// A signer's key pair.
#[derive(Debug)]
pub struct SecretKey {
    x: Scalar,
    public: RistrettoPoint,
}

impl SecretKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let x = scalar::random_non_zero(rng);
        Self { x, public: multiply_g(&x) }
    }

    /// *X*.
    #[must_use]
    pub fn public(&self) -> &RistrettoPoint {
        &self.public
    }
}

/// The signer's nonce *a* of one session.
#[derive(Debug)]
pub struct Nonce(Scalar);

/// Step 1: a nonce and *A*.
pub fn commit(rng: &mut impl CryptoRng) -> (Nonce, RistrettoPoint) {
    let a = scalar::random(rng);
    (Nonce(a), multiply_g(&a))
}

impl Nonce {
    /// Step 3: *z* = *a* + *cx*.
    #[must_use]
    pub fn respond(self, key: &SecretKey, challenge: &Scalar) -> Scalar {
        self.0 + challenge * key.x
    }
}

/// What the user keeps between challenge and answer.
#[derive(Debug)]
pub struct Pending {
    alpha: Scalar,
    commitment: RistrettoPoint,
}

/// A signature (*R*, *s*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// *R*.
    pub commitment: RistrettoPoint,
    /// *s*.
    pub s: Scalar,
}

/// *c'* = Hs(*X*, *m*, *R*).
#[must_use]
pub fn challenge(public: &RistrettoPoint, message: &Digest, commitment: &RistrettoPoint) -> Scalar {
    let transcript =
        Transcript::new("hazmat/textbook/challenge").point(&EncodedPoint::from(public)).digest(message);
    transcript.point(&EncodedPoint::from(commitment)).into_scalar()
}

/// Step 2: blinds *A* and gives the challenge for the signer.
pub fn blind(
    public: &RistrettoPoint,
    message: &Digest,
    commitment: &RistrettoPoint,
    rng: &mut impl CryptoRng,
) -> (Pending, Scalar) {
    let (alpha, beta) = (scalar::random(rng), scalar::random(rng));
    let commitment = commitment + multiply_g(&alpha) + beta * public;
    let challenge = challenge(public, message, &commitment) + beta;
    (Pending { alpha, commitment }, challenge)
}

impl Pending {
    /// Unblinds the signer's answer.
    #[must_use]
    pub fn unblind(self, answer: &Scalar) -> Signature {
        Signature { commitment: self.commitment, s: answer + self.alpha }
    }
}

/// Checks a signature.
///
/// # Errors
///
/// [`Rejection::Signature`] if *sG* ≠ *R* + *c'X*.
pub fn verify(public: &RistrettoPoint, message: &Digest, signature: &Signature) -> Result<(), Rejection> {
    let c = challenge(public, message, &signature.commitment);
    if multiply_g(&signature.s) == signature.commitment + c * public {
        Ok(())
    } else {
        Err(Rejection::Signature)
    }
}
