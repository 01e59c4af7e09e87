//! Coin values: powers of two minor units.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Minor, MoneyError};

/// The value of a coin: 2^k minor units, written as its exponent k (0 … 62).
///
/// Serde: the exponent as a `u8` in every format. [`Display`](fmt::Display) prints the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Denomination(u8);

impl Denomination {
    /// The exponent of the largest denomination: 2^62 is the last power of two below [`Minor::MAX`].
    pub const LARGEST_EXPONENT: u8 = 62;

    /// The denomination 2^`exponent`.
    ///
    /// # Errors
    /// [`MoneyError::DenominationExponent`] above [`Self::LARGEST_EXPONENT`].
    pub const fn new(exponent: u8) -> Result<Self, MoneyError> {
        if exponent > Self::LARGEST_EXPONENT {
            return Err(MoneyError::DenominationExponent(exponent));
        }
        Ok(Self(exponent))
    }

    /// The denomination worth exactly `value`.
    ///
    /// # Errors
    /// [`MoneyError::NotADenomination`] when `value` is no power of two.
    pub fn of_value(value: Minor) -> Result<Self, MoneyError> {
        let exponent = value.value().checked_ilog2().filter(|_| value.value().is_power_of_two());
        exponent.and_then(|k| u8::try_from(k).ok()).map(Self).ok_or(MoneyError::NotADenomination(value))
    }

    /// The exponent k.
    #[must_use]
    pub const fn exponent(self) -> u8 {
        self.0
    }

    /// The value, 2^k minor units.
    #[must_use]
    pub const fn value(self) -> Minor {
        Minor::power_of_two(self.0)
    }
}

impl fmt::Display for Denomination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.value(), f)
    }
}

impl Serialize for Denomination {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Denomination {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).and_then(|exponent| Self::new(exponent).map_err(de::Error::custom))
    }
}

/// The denominations a bank issues: every power of two from 1 to a largest one (2^20 by default).
///
/// It always holds the value 1, so every amount has a split. Serde: the largest exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DenominationSet(Denomination);

impl Default for DenominationSet {
    fn default() -> Self {
        Self(Denomination(20))
    }
}

impl DenominationSet {
    /// All denominations 2^0 … 2^`largest`.
    ///
    /// # Errors
    /// [`MoneyError::DenominationExponent`] above [`Denomination::LARGEST_EXPONENT`].
    pub const fn up_to(largest: u8) -> Result<Self, MoneyError> {
        match Denomination::new(largest) {
            Ok(largest) => Ok(Self(largest)),
            Err(error) => Err(error),
        }
    }

    /// The largest denomination of the set.
    #[must_use]
    pub const fn largest(&self) -> Denomination {
        self.0
    }

    /// True when the set has this denomination.
    #[must_use]
    pub fn contains(&self, denomination: Denomination) -> bool {
        denomination <= self.0
    }

    /// The denominations, smallest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Denomination> + use<> {
        (0..=self.0.0).map(Denomination)
    }
}

/// Any denomination.
#[cfg(any(test, feature = "testing"))]
pub fn arb_denomination() -> impl proptest::strategy::Strategy<Value = Denomination> {
    use proptest::strategy::Strategy;
    (0..=Denomination::LARGEST_EXPONENT).prop_map(Denomination)
}
