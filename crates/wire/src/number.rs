//! 64-bit integers that survive JSON, where numbers lose precision above 2^53.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::OutOfBounds;

/// A 64-bit integer. Serde: a decimal string in JSON (one canonical writing), eight bytes in binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct U64(pub u64);

/// A point in time: whole seconds since 1970-01-01 00:00 UTC. Serde: as [`U64`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(U64);

impl Timestamp {
    /// The end of time, used for "never".
    pub const MAX: Self = Self(U64(u64::MAX));

    /// `seconds` after the epoch.
    #[must_use]
    pub const fn new(seconds: u64) -> Self {
        Self(U64(seconds))
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0.0
    }

    /// `seconds` later, at most [`Timestamp::MAX`].
    #[must_use]
    pub const fn saturating_add(self, seconds: u64) -> Self {
        Self::new(self.seconds().saturating_add(seconds))
    }

    /// `seconds` earlier, not before the epoch.
    #[must_use]
    pub const fn saturating_sub(self, seconds: u64) -> Self {
        Self::new(self.seconds().saturating_sub(seconds))
    }

    /// Seconds from `earlier` until `self`; 0 when `earlier` is the later one.
    #[must_use]
    pub const fn seconds_since(self, earlier: Self) -> u64 {
        self.seconds().saturating_sub(earlier.seconds())
    }
}

impl fmt::Display for U64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl From<u64> for U64 {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl From<U64> for u64 {
    fn from(value: U64) -> Self {
        value.0
    }
}

impl From<Timestamp> for u64 {
    fn from(time: Timestamp) -> Self {
        time.seconds()
    }
}

impl FromStr for U64 {
    type Err = OutOfBounds;

    fn from_str(text: &str) -> Result<Self, OutOfBounds> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (text.len() > 1 && text.starts_with('0')) {
            return Err(OutOfBounds::NotANumber);
        }
        text.parse().map(Self).map_err(|_| OutOfBounds::NotANumber)
    }
}

impl Serialize for U64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.0)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for U64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_str(DecimalString);
        }
        u64::deserialize(deserializer).map(Self)
    }
}

struct DecimalString;

impl de::Visitor<'_> for DecimalString {
    type Value = U64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a 64-bit integer as a decimal string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<U64, E> {
        text.parse().map_err(E::custom)
    }
}

/// Any time, present ones as likely as extreme ones.
#[cfg(any(test, feature = "testing"))]
pub fn arb_timestamp() -> impl proptest::strategy::Strategy<Value = Timestamp> {
    use proptest::prelude::*;
    prop_oneof![1_600_000_000..2_000_000_000u64, any::<u64>()].prop_map(Timestamp::new)
}
