//! A count of minor units.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::MoneyError;

/// A number of minor units of some currency: never negative, at most [`Minor::MAX`].
///
/// The bound is `i64::MAX`, so that a database's signed 64-bit integer holds every value.
/// There are no operators: arithmetic is by checked methods only.
///
/// Serde: a decimal string (`"1250"`) in human-readable formats, a `u64` in binary ones; values above the
/// bound and non-canonical digits (sign, leading zero, spaces) are refused.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Minor(u64);

impl Minor {
    /// No money.
    pub const ZERO: Self = Self(0);
    /// One minor unit.
    pub const ONE: Self = Self(1);
    /// The largest amount, `i64::MAX` minor units.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// An amount of `value` minor units.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] above [`Minor::MAX`].
    pub const fn new(value: u64) -> Result<Self, MoneyError> {
        if value > Self::MAX.0 {
            return Err(MoneyError::Overflow);
        }
        Ok(Self(value))
    }

    /// 2^`exponent`; the caller has bounded the exponent.
    pub(crate) const fn power_of_two(exponent: u8) -> Self {
        Self(1 << exponent)
    }

    /// The number of minor units.
    #[must_use]
    pub const fn value(self) -> u64 {
        self.0
    }

    /// The number of minor units as a database integer.
    #[must_use]
    pub const fn to_integer(self) -> i64 {
        self.0.cast_signed()
    }

    /// The amount a database integer holds.
    ///
    /// # Errors
    /// [`MoneyError::Negative`] when it is below zero.
    pub const fn from_integer(value: i64) -> Result<Self, MoneyError> {
        if value < 0 {
            return Err(MoneyError::Negative);
        }
        Ok(Self(value.unsigned_abs()))
    }

    /// True for no money at all.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `self + other`.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the sum is above [`Minor::MAX`].
    pub const fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        match self.0.checked_add(other.0) {
            Some(sum) => Self::new(sum),
            None => Err(MoneyError::Overflow),
        }
    }

    /// `self − other`.
    ///
    /// # Errors
    /// [`MoneyError::Negative`] when `other` is larger.
    pub const fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Ok(Self(rest)),
            None => Err(MoneyError::Negative),
        }
    }

    /// The sum of many amounts, taken in 128 bits and checked once.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when the sum is above [`Minor::MAX`].
    pub fn sum(amounts: impl IntoIterator<Item = Self>) -> Result<Self, MoneyError> {
        let total = Self::wide_sum(amounts);
        u64::try_from(total).map_err(|_| MoneyError::Overflow).and_then(Self::new)
    }

    /// The sum in 128 bits: 2^64 summands of 2^63 fit, more cannot be held in memory.
    pub(crate) fn wide_sum(amounts: impl IntoIterator<Item = Self>) -> u128 {
        amounts.into_iter().fold(0, |total, amount| total.saturating_add(u128::from(amount.0)))
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Minor({})", self.0)
    }
}

impl TryFrom<u64> for Minor {
    type Error = MoneyError;

    fn try_from(value: u64) -> Result<Self, MoneyError> {
        Self::new(value)
    }
}

impl From<Minor> for u64 {
    fn from(amount: Minor) -> Self {
        amount.0
    }
}

impl std::str::FromStr for Minor {
    type Err = MoneyError;

    /// Reads a whole number of minor units in its one canonical writing.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || (text.len() > 1 && text.starts_with('0')) {
            return Err(MoneyError::NotANumber);
        }
        text.parse().map_err(|_| MoneyError::Overflow).and_then(Self::new)
    }
}

impl Serialize for Minor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.0)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Minor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            return deserializer.deserialize_str(DecimalString);
        }
        u64::deserialize(deserializer).and_then(|value| Self::new(value).map_err(de::Error::custom))
    }
}

struct DecimalString;

impl de::Visitor<'_> for DecimalString {
    type Value = Minor;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal string of minor units")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Minor, E> {
        text.parse().map_err(E::custom)
    }
}

/// Any amount, small ones as likely as large ones.
#[cfg(any(test, feature = "testing"))]
pub fn arb_minor() -> impl proptest::strategy::Strategy<Value = Minor> {
    use proptest::prelude::*;
    prop_oneof![0..1_000u64, 0..1_000_000_000u64, 0..=Minor::MAX.0, Just(Minor::MAX.0)].prop_map(Minor)
}
