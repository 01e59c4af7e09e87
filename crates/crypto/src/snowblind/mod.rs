//! *Snowblind*, the blind signature of the online coin: the single-signer scheme of Crites, Komlo, Maller, Tessaro and
//! Zhu, "Snowblind: A Threshold Blind Signature in Pairing-Free Groups" (CRYPTO 2023). Three moves, perfectly blind,
//! one-more unforgeable with any number of concurrent sessions under discrete logarithm in AGM + ROM.
//!
//! | step | who | computes | sends |
//! |---|---|---|---|
//! | key | bank | *x*, *X* = *xG* | |
//! | 1 [`commit`] | bank | *a*, *b*, *y* ≠ 0 uniform; *A* = *aG*, *B* = *bG* + *yH* | [`Commitment`], 64 B |
//! | 2 [`blind`] | wallet | *α* ≠ 0, *β*, *r*; *R'* = *rG* + *α*⁵*A* + *α*⁵*βX* + *αB*; *c'* = Hs(*X*, *m*, *R'*); *c* = *c'α*⁻⁵ + *β* | [`Challenge`], 32 B |
//! | 3 [`SecretNonces::respond`] | bank | *z* = *a* + (*c* + *y*⁵)*x*, then destroys *a*, *b*, *y* | [`Response`], 96 B |
//! | [`PendingSignature::unblind`] | wallet | checks the answer; *z'* = *r* + *α*⁵*z* + *αb*, *y'* = *αy* | |
//! | [`verify`] | anyone | *y'* ≠ 0 and *R'* + (*c'* + *y'*⁵)*X* = *z'G* + *y'H* | [`Signature`], 96 B |
//!
//! The exponent is 5, the smallest above 1 that is prime to *q* − 1.
//!
//! ```
//! # use rand::{SeedableRng, rngs::ChaCha12Rng};
//! use feiqian_crypto::{Digest, snowblind};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let mut rng = ChaCha12Rng::seed_from_u64(1);
//! let key = snowblind::SecretKey::generate(&mut rng);
//! let message = Digest([7; 32]);
//!
//! let (nonces, commitment) = snowblind::commit(&mut rng);
//! let blinding = snowblind::Blinding::random(&mut rng);
//! let (pending, challenge) = snowblind::blind(key.public(), &message, &commitment, blinding)?;
//! let response = nonces.respond(&key, &challenge);
//! let signature = pending.unblind(&response)?;
//!
//! snowblind::verify(key.public(), &message, &signature)?;
//! # Ok(())
//! # }
//! ```
//!
//! # Security
//!
//! Two challenges answered with one (*a*, *b*, *y*) give the key away, two challenges made with one (*α*, *β*, *r*)
//! single the session out: both secrets are of types that a step consumes.

#[cfg(feature = "testing")]
pub mod arbitrary;
mod key;
mod signer;
mod user;

pub use key::{PublicKey, SecretKey};
pub use signer::{CommitmentPool, SecretNonces, commit, commit_batch};
pub use user::{Blinding, PendingSignature, blind};

use curve25519_dalek::Scalar;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::error::{Malformed, Rejection};
use crate::generators;
use crate::scalar::fifth_power;
use crate::transcript::Transcript;

/// Move 1, bank to wallet: *A* = *aG* and *B* = *bG* + *yH*, 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Commitment {
    /// *A*.
    pub a: EncodedPoint,
    /// *B*.
    pub b: EncodedPoint,
}

/// Move 2, wallet to bank: *c*, 32 bytes; canonical by construction, so that the bank's answer cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge(Scalar);

impl Challenge {
    /// The bytes, as they travel and enter a transcript.
    #[must_use]
    pub fn encoded(&self) -> EncodedScalar {
        EncodedScalar::from(&self.0)
    }

    /// A challenge of any scalar: what an attacker may send.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn from_scalar(scalar: Scalar) -> Self {
        Self(scalar)
    }

    /// *c*.
    #[must_use]
    pub fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl TryFrom<EncodedScalar> for Challenge {
    type Error = Malformed;

    fn try_from(encoded: EncodedScalar) -> Result<Self, Malformed> {
        encoded.decode().map(Self)
    }
}

impl Serialize for Challenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Challenge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = EncodedScalar::deserialize(deserializer)?;
        Self::try_from(encoded).map_err(serde::de::Error::custom)
    }
}

/// Move 3, bank to wallet: *z*, *b* and *y*, 96 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Response {
    /// *z* = *a* + (*c* + *y*⁵)*x*.
    pub z: EncodedScalar,
    /// *b*.
    pub b: EncodedScalar,
    /// *y*, not zero.
    pub y: EncodedScalar,
}

/// A signature (*R'*, *z'*, *y'*), 96 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// *R'*, not the identity.
    pub commitment: EncodedPoint,
    /// *z'*.
    pub z: EncodedScalar,
    /// *y'*, not zero.
    pub y: EncodedScalar,
}

impl Signature {
    /// Length in bytes: 96.
    pub const LENGTH: usize = 96;

    /// *R'* ‖ *z'* ‖ *y'*.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let parts = self.commitment.0.iter().chain(&self.z.0).chain(&self.y.0);
        let mut bytes = [0; Self::LENGTH];
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Reads *R'* ‖ *z'* ‖ *y'*; whether the parts decode is found out by [`verify`].
    ///
    /// # Errors
    ///
    /// [`Malformed::Length`] unless there are exactly 96 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let wrong = Malformed::Length { expected: Self::LENGTH, got: bytes.len() };
        let (commitment, rest) = bytes.split_first_chunk().ok_or(wrong)?;
        let (z, rest) = rest.split_first_chunk().ok_or(wrong)?;
        let y = rest.try_into().map_err(|_| wrong)?;
        Ok(Self { commitment: EncodedPoint(*commitment), z: EncodedScalar(*z), y: EncodedScalar(y) })
    }
}

/// *c'* = `Hs("snowblind/challenge"; X, m, R')`.
pub(crate) fn challenge_scalar(key: &PublicKey, message: &Digest, commitment: &EncodedPoint) -> Scalar {
    Transcript::new("snowblind/challenge")
        .point(key.encoded())
        .digest(message)
        .point(commitment)
        .into_scalar()
}

/// The parts of a signature that the equation needs: (*c'* + *y'*⁵, *z'*, *y'*).
pub(crate) fn equation(
    key: &PublicKey,
    message: &Digest,
    signature: &Signature,
) -> Result<(Scalar, Scalar, Scalar), Malformed> {
    let z = signature.z.decode()?;
    let y = signature.y.decode_non_zero()?;
    let exponent = challenge_scalar(key, message, &signature.commitment) + fifth_power(&y);
    Ok((exponent, z, y))
}

/// Checks that `signature` signs `message` under `key`: *y'* ≠ 0 and *R'* + (*c'* + *y'*⁵)*X* = *z'G* + *y'H*.
///
/// The right-hand side less the term of *X* is computed and its encoding compared with *R'*: an encoding that is not
/// canonical can therefore never pass, and *R'* need not be decompressed.
///
/// # Errors
///
/// [`Rejection::Malformed`] for scalars that are not canonical, *y'* = 0 or *R'* the identity;
/// [`Rejection::Signature`] if the equation does not hold.
///
/// # Security
///
/// Variable time: key, message and signature are public.
pub fn verify(key: &PublicKey, message: &Digest, signature: &Signature) -> Result<(), Rejection> {
    let (exponent, z, y) = equation(key, message, signature)?;
    if signature.commitment.0 == [0; 32] {
        return Err(Malformed::Identity.into());
    }
    let commitment = generators::vartime_sum(&z, &y, [(&-exponent, key.point())]);
    if EncodedPoint::from(&commitment) == signature.commitment { Ok(()) } else { Err(Rejection::Signature) }
}
