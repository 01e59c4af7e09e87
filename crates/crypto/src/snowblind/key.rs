//! The key pair of one denomination.

use core::fmt;
use core::str::FromStr;

use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encoded::{EncodedPoint, EncodedScalar};
use crate::error::Malformed;
use crate::{generators, scalar};

/// *x*, the bank's secret key of one denomination. Not `Clone`: it lives in the key store and nowhere else.
pub struct SecretKey {
    secret: Scalar,
    public: PublicKey,
}

impl SecretKey {
    /// A fresh uniform key, never zero.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(scalar::random_non_zero(rng))
    }

    fn new(secret: Scalar) -> Self {
        let point = generators::multiply_g(&secret);
        Self { secret, public: PublicKey { encoded: EncodedPoint::from(&point), point } }
    }

    /// Reads a key back from the key store.
    ///
    /// # Errors
    ///
    /// [`Malformed::Scalar`] if the bytes are not a canonical scalar, [`Malformed::Zero`] if they are zero.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Malformed> {
        EncodedScalar(*bytes).decode_non_zero().map(Self::new)
    }

    /// The 32 bytes of *x*, for the key store; zeroed when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// *X* = *xG*.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(crate) fn secret(&self) -> &Scalar {
        &self.secret
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public", &self.public.encoded).finish_non_exhaustive()
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ZeroizeOnDrop for SecretKey {}

/// *X*, the public key of one denomination: its 32 bytes and the point they stand for, never the identity.
///
/// Compared, ordered, shown and serialised by its bytes.
#[derive(Clone, Copy)]
pub struct PublicKey {
    encoded: EncodedPoint,
    point: RistrettoPoint,
}

impl PublicKey {
    /// Decodes a key.
    ///
    /// # Errors
    ///
    /// [`Malformed::Point`] for a non-canonical encoding, [`Malformed::Identity`] for the identity.
    pub fn from_encoded(encoded: EncodedPoint) -> Result<Self, Malformed> {
        let point = encoded.decode_non_identity()?;
        Ok(Self { encoded, point })
    }

    /// The 32 bytes.
    #[must_use]
    pub fn encoded(&self) -> &EncodedPoint {
        &self.encoded
    }

    /// The point.
    #[must_use]
    pub fn point(&self) -> &RistrettoPoint {
        &self.point
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for PublicKey {}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.encoded.cmp(&other.encoded)
    }
}

impl core::hash::Hash for PublicKey {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.encoded.hash(state);
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.encoded)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.encoded.fmt(f)
    }
}

impl TryFrom<EncodedPoint> for PublicKey {
    type Error = Malformed;

    fn try_from(encoded: EncodedPoint) -> Result<Self, Malformed> {
        Self::from_encoded(encoded)
    }
}

impl FromStr for PublicKey {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        text.parse().and_then(Self::from_encoded)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = EncodedPoint::deserialize(deserializer)?;
        Self::from_encoded(encoded).map_err(serde::de::Error::custom)
    }
}
