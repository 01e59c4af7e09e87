//! The one way to hash.
//!
//! With `LP(b)` the 8-byte little-endian length of `b` followed by `b`:
//!
//! ```text
//! T(label, f1, f2, …) = SHA-512( LP("feiqian/v1/" + label) || LP(f1) || LP(f2) || … )      64 bytes
//! D                   = the first 32 bytes of T                                            digests and identifiers
//! Hs                  = T as a little-endian integer modulo q                              scalars
//! HG                  = the ristretto255 one-way map of T                                  points nobody knows the logarithm of
//! ```
//!
//! Fields: bytes as they are, text as UTF-8, points and scalars as their canonical 32 bytes, integers as 8 bytes
//! little-endian. A list is its count, then the fields of its items; an optional value is 0, or 1 and the value.

use curve25519_dalek::{RistrettoPoint, Scalar};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroizing;

use crate::encoded::{Digest, EncodedPoint, EncodedScalar, Id16};

const DOMAIN: &[u8] = b"feiqian/v1/";

/// A hash in the making: a label, then fields in the order of the specification.
///
/// ```
/// use feiqian_crypto::Transcript;
///
/// let digest = Transcript::new("example").text("order").integer(7).into_digest();
/// assert_ne!(digest, Transcript::new("example").text("order7").into_digest());
/// ```
///
/// # Security
///
/// Every field carries its length and every use its own label, so no two different uses hash the same bytes. The
/// hash state is zeroed when dropped, and so is the wide output of which a digest or scalar is made.
#[derive(Clone)]
#[must_use]
pub struct Transcript(Sha512);

impl Transcript {
    /// Starts a transcript; `"feiqian/v1/"` is put in front of the label.
    pub fn new(label: &str) -> Self {
        let length = label.len().saturating_add(DOMAIN.len());
        let mut hash = Sha512::new();
        hash.update(length_prefix(length));
        hash.update(DOMAIN);
        hash.update(label.as_bytes());
        Self(hash)
    }

    /// Adds bytes as they are.
    pub fn bytes(mut self, field: &[u8]) -> Self {
        self.0.update(length_prefix(field.len()));
        self.0.update(field);
        self
    }

    /// Adds text as UTF-8.
    pub fn text(self, field: &str) -> Self {
        self.bytes(field.as_bytes())
    }

    /// Adds an integer as 8 bytes little-endian.
    pub fn integer(self, field: u64) -> Self {
        self.bytes(&field.to_le_bytes())
    }

    /// Adds a number of things as an integer.
    pub fn count(self, field: usize) -> Self {
        self.bytes(&length_prefix(field))
    }

    /// Adds a point as its 32 bytes.
    pub fn point(self, field: &EncodedPoint) -> Self {
        self.bytes(&field.0)
    }

    /// Adds a scalar as its 32 bytes.
    pub fn scalar(self, field: &Scalar) -> Self {
        self.bytes(field.as_bytes())
    }

    /// Adds a scalar in its encoded form, as its 32 bytes.
    pub fn encoded_scalar(self, field: &EncodedScalar) -> Self {
        self.bytes(&field.0)
    }

    /// Adds a digest as its 32 bytes.
    pub fn digest(self, field: &Digest) -> Self {
        self.bytes(&field.0)
    }

    /// Adds an identifier as its 16 bytes.
    pub fn id(self, field: &Id16) -> Self {
        self.bytes(&field.0)
    }

    /// Adds a list: its count, then what `each` adds for every item.
    pub fn list<T>(self, items: &[T], each: impl FnMut(Self, &T) -> Self) -> Self {
        items.iter().fold(self.count(items.len()), each)
    }

    /// Adds an optional value: 0, or 1 and what `each` adds for it.
    pub fn optional<T>(self, value: Option<T>, each: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            None => self.integer(0),
            Some(value) => each(self.integer(1), value),
        }
    }

    /// All 64 bytes: `T`.
    #[must_use]
    pub fn into_wide(self) -> [u8; 64] {
        self.0.finalize().into()
    }

    /// The first 32 bytes: `D`.
    #[must_use]
    pub fn into_digest(self) -> Digest {
        let wide = Zeroizing::new(self.into_wide());
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(wide.iter()).for_each(|(to, from)| *to = *from);
        Digest(bytes)
    }

    /// The 64 bytes reduced modulo the group order: `Hs`.
    #[must_use]
    pub fn into_scalar(self) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&Zeroizing::new(self.into_wide()))
    }

    /// The 64 bytes mapped into the group: `HG`.
    #[must_use]
    pub fn into_point(self) -> RistrettoPoint {
        RistrettoPoint::from_uniform_bytes(&self.into_wide())
    }
}

/// A length or count as 8 bytes little-endian. `usize` has at most 64 bits on every supported platform.
fn length_prefix(length: usize) -> [u8; 8] {
    u64::try_from(length).unwrap_or(u64::MAX).to_le_bytes()
}
