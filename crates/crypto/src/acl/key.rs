//! The key pair of one kind of coin.

use core::fmt;

use curve25519_dalek::traits::IsIdentity;
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::encoded::{EncodedPoint, EncodedScalar};
use crate::error::Malformed;
use crate::transcript::Transcript;
use crate::{generators, scalar};

/// The depth of a share tree: a coin of depth *d* divides into 2^*d* units. From 0 to 6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Depth(u8);

impl Depth {
    /// The greatest depth, 64 units; the depth of every blank.
    pub const MAX: Self = Self(6);

    /// A depth from 0 to 6.
    ///
    /// # Errors
    ///
    /// [`Malformed::Depth`] above 6.
    pub const fn new(depth: u8) -> Result<Self, Malformed> {
        if depth > Self::MAX.0 { Err(Malformed::Depth) } else { Ok(Self(depth)) }
    }

    /// The number of levels below the root.
    #[must_use]
    pub const fn levels(self) -> u8 {
        self.0
    }
}

impl From<Depth> for u64 {
    fn from(depth: Depth) -> Self {
        depth.0.into()
    }
}

impl TryFrom<u8> for Depth {
    type Error = Malformed;

    fn try_from(depth: u8) -> Result<Self, Malformed> {
        Self::new(depth)
    }
}

impl<'de> Deserialize<'de> for Depth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).and_then(|depth| Self::new(depth).map_err(serde::de::Error::custom))
    }
}

/// *x*, the bank's secret key of one (value, depth, kind, epoch). Not `Clone`: it lives in the key store and nowhere
/// else.
pub struct SecretKey {
    secret: Scalar,
    public: PublicKey,
}

impl SecretKey {
    /// A fresh uniform key, never zero.
    pub fn generate(depth: Depth, rng: &mut impl CryptoRng) -> Self {
        Self::new(scalar::random_non_zero(rng), depth)
    }

    fn new(secret: Scalar, depth: Depth) -> Self {
        Self { public: PublicKey::new(generators::multiply_g(&secret), depth), secret }
    }

    /// Reads a key back from the key store.
    ///
    /// # Errors
    ///
    /// [`Malformed::Scalar`] if the bytes are not a canonical scalar, [`Malformed::Zero`] if they are zero.
    pub fn from_bytes(bytes: &[u8; 32], depth: Depth) -> Result<Self, Malformed> {
        EncodedScalar(*bytes).decode_non_zero().map(|secret| Self::new(secret, depth))
    }

    /// The 32 bytes of *x*, for the key store; zeroed when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// *Y*, *Z* and the depth.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    pub(super) fn secret(&self) -> &Scalar {
        &self.secret
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Drop for SecretKey {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ZeroizeOnDrop for SecretKey {}

/// *Y* = *xG* with *Z* = HG("acl/Z"; *Y*) and the depth of the coins under it: the denomination's, never the payer's
/// choice. Neither point is the identity. Compared by *Y* and depth.
#[derive(Clone, Copy)]
pub struct PublicKey {
    depth: Depth,
    encoded: EncodedPoint,
    point: RistrettoPoint,
    z: RistrettoPoint,
    encoded_z: EncodedPoint,
}

impl PublicKey {
    fn new(point: RistrettoPoint, depth: Depth) -> Self {
        let encoded = EncodedPoint::from(&point);
        let z = Transcript::new("acl/Z").point(&encoded).into_point();
        Self { depth, encoded, point, z, encoded_z: EncodedPoint::from(&z) }
    }

    /// Decodes *Y*; *Z* follows from it.
    ///
    /// # Errors
    ///
    /// [`Malformed::Point`] for a non-canonical encoding, [`Malformed::Identity`] if *Y* or *Z* is the identity.
    pub fn from_encoded(encoded: EncodedPoint, depth: Depth) -> Result<Self, Malformed> {
        let key = Self::new(encoded.decode_non_identity()?, depth);
        if key.z.is_identity() { Err(Malformed::Identity) } else { Ok(key) }
    }

    /// The 32 bytes of *Y*.
    #[must_use]
    pub fn encoded(&self) -> &EncodedPoint {
        &self.encoded
    }

    /// *Y*.
    #[must_use]
    pub fn point(&self) -> &RistrettoPoint {
        &self.point
    }

    /// *Z*.
    #[must_use]
    pub fn z(&self) -> &RistrettoPoint {
        &self.z
    }

    /// The 32 bytes of *Z*.
    #[must_use]
    pub fn encoded_z(&self) -> &EncodedPoint {
        &self.encoded_z
    }

    /// The depth of the share trees of coins under this key.
    #[must_use]
    pub fn depth(&self) -> Depth {
        self.depth
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        (self.encoded, self.depth) == (other.encoded, other.depth)
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, depth {})", self.encoded, self.depth.0)
    }
}
