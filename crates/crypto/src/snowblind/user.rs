//! The wallet's side: move 2 and the unblinding of the answer.

use core::fmt;

use curve25519_dalek::traits::MultiscalarMul;
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::key::PublicKey;
use super::{Challenge, Commitment, Response, Signature, challenge_scalar};
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::error::{Malformed, Rejection};
use crate::generators;
use crate::scalar::{fifth_power, random, random_non_zero};
use crate::transcript::Transcript;

/// The wallet's secret (*α*, *β*, *r*) of one session, good for one challenge.
///
/// # Security
///
/// Two challenges made with one (*α*, *β*, *r*) let the bank single the session out, so [`blind`] consumes it:
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::{Digest, snowblind::*};
/// fn blind_twice(key: &PublicKey, message: &Digest, first: &Commitment, second: &Commitment, blinding: Blinding) {
///     blind(key, message, first, blinding);
///     blind(key, message, second, blinding);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::snowblind::*;
/// fn keep_a_copy(blinding: &Blinding) -> Blinding {
///     Blinding::clone(blinding)
/// }
/// ```
pub struct Blinding {
    alpha: Scalar,
    beta: Scalar,
    r: Scalar,
}

impl Blinding {
    /// Uniform blinding: the signature is then perfectly blind.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self { alpha: random_non_zero(rng), beta: random(rng), r: random(rng) }
    }

    /// Blinding that a wallet can make again from its seed and all the bank said:
    /// `Hs("snowblind/blinding/alpha|beta|r"; seed, session, i, X, m, A, B)`.
    ///
    /// # Security
    ///
    /// Blindness is computational here, not perfect: it rests on the seed being secret and on the hash. Another key,
    /// message or commitment gives unrelated blinding, so a bank that repeats commitments gains nothing.
    #[must_use]
    pub fn derive(
        seed: &[u8],
        session: &[u8],
        index: u64,
        key: &PublicKey,
        message: &Digest,
        commitment: &Commitment,
    ) -> Self {
        let derive = |label| {
            let secret =
                Transcript::new(label).bytes(seed).bytes(session).integer(index).point(key.encoded());
            secret.digest(message).point(&commitment.a).point(&commitment.b).into_scalar()
        };
        let alpha = derive("snowblind/blinding/alpha");
        // Zero has probability 2^-252; any fixed non-zero value keeps the step total.
        let alpha = Scalar::conditional_select(&alpha, &Scalar::ONE, alpha.ct_eq(&Scalar::ZERO));
        Self { alpha, beta: derive("snowblind/blinding/beta"), r: derive("snowblind/blinding/r") }
    }

    /// Blinding of known scalars, for test vectors.
    ///
    /// # Errors
    ///
    /// [`Misuse::ZeroSecret`](crate::Misuse::ZeroSecret) if `alpha` is zero.
    ///
    /// # Security
    ///
    /// Whoever knows the scalars links the signature to its session.
    #[cfg(feature = "hazmat")]
    pub fn from_scalars(alpha: Scalar, beta: Scalar, r: Scalar) -> Result<Self, crate::Misuse> {
        if alpha == Scalar::ZERO { Err(crate::Misuse::ZeroSecret) } else { Ok(Self { alpha, beta, r }) }
    }

    /// (*α*, *β*, *r*), for test vectors.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn to_scalars(&self) -> [Scalar; 3] {
        [self.alpha, self.beta, self.r]
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blinding").finish_non_exhaustive()
    }
}

impl Drop for Blinding {
    fn drop(&mut self) {
        self.alpha.zeroize();
        self.beta.zeroize();
        self.r.zeroize();
    }
}

impl ZeroizeOnDrop for Blinding {}

/// What the wallet keeps between challenge and answer.
///
/// # Security
///
/// Holds *α* and *r*, which link the signature to its session; the answer consumes it:
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::snowblind::*;
/// fn unblind_twice(pending: PendingSignature, first: &Response, second: &Response) {
///     pending.unblind(first);
///     pending.unblind(second);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::snowblind::*;
/// fn keep_a_copy(pending: &PendingSignature) -> PendingSignature {
///     PendingSignature::clone(pending)
/// }
/// ```
pub struct PendingSignature {
    blinding: Blinding,
    key: PublicKey,
    /// *A* and *B*, decoded.
    commitment: [RistrettoPoint; 2],
    challenge: Challenge,
    /// *R'*, also as it is encoded, and *c'* of the signature to come.
    blinded: RistrettoPoint,
    blinded_encoded: EncodedPoint,
    blinded_challenge: Scalar,
}

/// Move 2: *R'* = *rG* + *α*⁵*A* + *α*⁵*βX* + *αB*, *c'* = Hs(*X*, *m*, *R'*), *c* = *c'α*⁻⁵ + *β*. Returns what stays
/// and what travels.
///
/// # Errors
///
/// [`Malformed::Point`] or [`Malformed::Identity`] if *A* or *B* is not a point, or is the identity.
pub fn blind(
    key: &PublicKey,
    message: &Digest,
    commitment: &Commitment,
    blinding: Blinding,
) -> Result<(PendingSignature, Challenge), Malformed> {
    let a = commitment.a.decode_non_identity()?;
    let b = commitment.b.decode_non_identity()?;
    let mut alpha_5 = fifth_power(&blinding.alpha);
    let mut factors = [alpha_5, alpha_5 * blinding.beta, blinding.alpha];
    let blinded = generators::multiply_g(&blinding.r)
        + RistrettoPoint::multiscalar_mul(factors.iter(), [a, *key.point(), b]);
    let blinded_encoded = EncodedPoint::from(&blinded);
    let blinded_challenge = challenge_scalar(key, message, &blinded_encoded);
    let challenge = Challenge(blinded_challenge * alpha_5.invert() + blinding.beta);
    alpha_5.zeroize();
    factors.zeroize();
    let commitment = [a, b];
    let key = *key;
    let pending = PendingSignature {
        blinding,
        key,
        commitment,
        challenge,
        blinded,
        blinded_encoded,
        blinded_challenge,
    };
    Ok((pending, challenge))
}

impl PendingSignature {
    /// Checks the bank's answer and unblinds it: *z'* = *r* + *α*⁵*z* + *αb*, *y'* = *αy*.
    ///
    /// # Errors
    ///
    /// [`Rejection::Malformed`] for scalars that are not canonical, [`Rejection::ZeroNonce`] for *y* = 0,
    /// [`Rejection::Opening`] if *B* ≠ *bG* + *yH*, [`Rejection::Response`] if *zG* ≠ *A* + (*c* + *y*⁵)*X*. The
    /// resulting signature is verified besides ([`Rejection::Signature`]): nothing unverified ever leaves.
    pub fn unblind(self, response: &Response) -> Result<Signature, Rejection> {
        let (z, b, y) = (response.z.decode()?, response.b.decode()?, response.y.decode()?);
        self.check_answer(&z, &b, &y)?;
        let Blinding { alpha, r, .. } = &self.blinding;
        let z = r + fifth_power(alpha) * z + alpha * b;
        let y = alpha * y;
        self.check_signature(&z, &y)?;
        let commitment = self.blinded_encoded;
        Ok(Signature { commitment, z: EncodedScalar::from(&z), y: EncodedScalar::from(&y) })
    }

    /// The bank knows every value here, so variable time tells it nothing new.
    fn check_answer(&self, z: &Scalar, b: &Scalar, y: &Scalar) -> Result<(), Rejection> {
        if *y == Scalar::ZERO {
            return Err(Rejection::ZeroNonce);
        }
        let [commitment_a, commitment_b] = &self.commitment;
        if generators::vartime_sum(b, y, []) != *commitment_b {
            return Err(Rejection::Opening);
        }
        let exponent = self.challenge.scalar() + fifth_power(y);
        if generators::vartime_sum(z, &Scalar::ZERO, [(&-exponent, self.key.point())]) != *commitment_a {
            return Err(Rejection::Response);
        }
        Ok(())
    }

    /// The verification equation in constant time: until it is spent, the signature is a secret that names its session.
    fn check_signature(&self, z: &Scalar, y: &Scalar) -> Result<(), Rejection> {
        let left = self.blinded + (self.blinded_challenge + fifth_power(y)) * self.key.point();
        let right = generators::multiply_g(z) + generators::multiply_h(y);
        let holds = left.ct_eq(&right) & !y.ct_eq(&Scalar::ZERO);
        if bool::from(holds) { Ok(()) } else { Err(Rejection::Signature) }
    }

    /// The challenge that this waits to be answered.
    #[must_use]
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }
}

impl fmt::Debug for PendingSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSignature")
            .field("challenge", &self.challenge.encoded())
            .finish_non_exhaustive()
    }
}

impl Drop for PendingSignature {
    fn drop(&mut self) {
        self.blinded.zeroize();
        self.blinded_encoded.0.zeroize();
        self.blinded_challenge.zeroize();
    }
}

impl ZeroizeOnDrop for PendingSignature {}
