//! Fixed-size byte strings as they travel and are stored: comparing, ordering and hashing them costs nothing of the
//! group, and decoding them is explicit.
//!
//! Serialised they are lower-case hexadecimal in formats made for people (JSON) and the bare bytes, without a length,
//! in binary formats.

use core::fmt;
use core::str::FromStr;

use curve25519_dalek::ristretto::CompressedRistretto;
use curve25519_dalek::traits::IsIdentity;
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::Malformed;

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $length:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(
            #[doc = concat!("The ", $length, " bytes.")]
            pub [u8; $length],
        );

        impl $name {
            #[doc = concat!("Length in bytes: ", $length, ".")]
            pub const LENGTH: usize = $length;

            /// The bytes, borrowed.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $length] {
                &self.0
            }

            /// The bytes.
            #[must_use]
            pub const fn to_bytes(self) -> [u8; $length] {
                self.0
            }
        }

        impl From<[u8; $length]> for $name {
            fn from(bytes: [u8; $length]) -> Self {
                Self(bytes)
            }
        }

        impl TryFrom<&[u8]> for $name {
            type Error = Malformed;

            fn try_from(bytes: &[u8]) -> Result<Self, Malformed> {
                let fixed = bytes.try_into();
                fixed.map(Self).map_err(|_| Malformed::Length { expected: $length, got: bytes.len() })
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;

            fn from_str(text: &str) -> Result<Self, Malformed> {
                let mut bytes = [0; $length];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| Malformed::Hex { expected: $length })?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if !deserializer.is_human_readable() {
                    return <[u8; $length]>::deserialize(deserializer).map(Self);
                }
                struct Hexadecimal;
                impl Visitor<'_> for Hexadecimal {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str(concat!(stringify!($length), " bytes in hexadecimal"))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Hexadecimal).map_err(D::Error::custom)
            }
        }
    };
}

fixed_bytes! {
    /// A digest: the first 32 bytes of a transcript, `D` in the specification.
    Digest, 32
}

fixed_bytes! {
    /// 32 bytes that may be a point of the group; [`decode`](EncodedPoint::decode) finds out.
    EncodedPoint, 32
}

fixed_bytes! {
    /// 32 bytes that may be a scalar; [`decode`](EncodedScalar::decode) finds out.
    EncodedScalar, 32
}

fixed_bytes! {
    /// A 16-byte identifier: of a session, an account, a transfer.
    Id16, 16
}

impl EncodedPoint {
    /// The point that these bytes stand for; the identity is allowed.
    ///
    /// # Errors
    ///
    /// [`Malformed::Point`] unless the bytes are the one canonical encoding of an element.
    pub fn decode(&self) -> Result<RistrettoPoint, Malformed> {
        CompressedRistretto(self.0).decompress().ok_or(Malformed::Point)
    }

    /// The point that these bytes stand for, not the identity.
    ///
    /// # Errors
    ///
    /// [`Malformed::Point`] for a non-canonical encoding, [`Malformed::Identity`] for the identity.
    pub fn decode_non_identity(&self) -> Result<RistrettoPoint, Malformed> {
        let point = self.decode()?;
        if point.is_identity() { Err(Malformed::Identity) } else { Ok(point) }
    }
}

impl From<&RistrettoPoint> for EncodedPoint {
    fn from(point: &RistrettoPoint) -> Self {
        Self(point.compress().to_bytes())
    }
}

impl From<RistrettoPoint> for EncodedPoint {
    fn from(point: RistrettoPoint) -> Self {
        Self::from(&point)
    }
}

impl EncodedScalar {
    /// The integer that these bytes stand for.
    ///
    /// # Errors
    ///
    /// [`Malformed::Scalar`] unless the integer is below the group order.
    pub fn decode(&self) -> Result<Scalar, Malformed> {
        Option::from(Scalar::from_canonical_bytes(self.0)).ok_or(Malformed::Scalar)
    }

    /// The integer that these bytes stand for, not zero.
    ///
    /// # Errors
    ///
    /// [`Malformed::Scalar`] unless the integer is below the group order, [`Malformed::Zero`] for zero.
    pub fn decode_non_zero(&self) -> Result<Scalar, Malformed> {
        let scalar = self.decode()?;
        if scalar == Scalar::ZERO { Err(Malformed::Zero) } else { Ok(scalar) }
    }
}

impl From<&Scalar> for EncodedScalar {
    fn from(scalar: &Scalar) -> Self {
        Self(scalar.to_bytes())
    }
}

impl From<Scalar> for EncodedScalar {
    fn from(scalar: Scalar) -> Self {
        Self::from(&scalar)
    }
}

impl Digest {
    /// The digest of nothing that came before: 32 zero bytes, the start of every chain.
    pub const ZERO: Self = Self([0; 32]);
}

impl Id16 {
    /// A fresh random identifier.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The identifier that follows from a digest: its first 16 bytes.
    #[must_use]
    pub fn from_digest(digest: &Digest) -> Self {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(digest.0).for_each(|(to, from)| *to = from);
        Self(bytes)
    }
}

/// Proptest strategies.
#[cfg(feature = "testing")]
pub mod arbitrary {
    use proptest::prelude::*;

    use super::{Digest, EncodedPoint, EncodedScalar, Id16};
    use crate::generators;
    use crate::scalar;

    /// Any digest.
    pub fn arb_digest() -> impl Strategy<Value = Digest> {
        any::<[u8; 32]>().prop_map(Digest)
    }

    /// Any identifier.
    pub fn arb_id() -> impl Strategy<Value = Id16> {
        any::<[u8; 16]>().prop_map(Id16)
    }

    /// A canonical scalar, uniform.
    pub fn arb_scalar() -> impl Strategy<Value = crate::Scalar> {
        (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(low, high)| scalar::from_halves(&low, &high))
    }

    /// A canonical encoded scalar, uniform.
    pub fn arb_encoded_scalar() -> impl Strategy<Value = EncodedScalar> {
        arb_scalar().prop_map(EncodedScalar::from)
    }

    /// A canonical encoded point, uniform.
    pub fn arb_encoded_point() -> impl Strategy<Value = EncodedPoint> {
        arb_scalar().prop_map(|scalar| EncodedPoint::from(generators::multiply_g(&scalar)))
    }
}
