//! An amount with its currency: what people read and write.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{Currency, Minor, MoneyError};

/// Minor units of a currency.
///
/// [`Display`](fmt::Display) prints the major units with exactly the currency's digits (`12.50`), without the code;
/// [`Amount::labelled`] adds it. Serde: `{"minor":"1250","currency":"CNY"}`; in binary both fields in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Count of minor units.
    pub minor: Minor,
    /// Their currency.
    pub currency: Currency,
}

/// Longest text that is looked at: 19 digits, a point and room for leading zeros.
const LONGEST_TEXT: usize = 32;

impl Amount {
    /// `minor` units of `currency`.
    #[must_use]
    pub const fn new(minor: Minor, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// Reads major units: `"12.50"`, `"12.5"` and `"12"` are 1250, 1250 and 1200 minor units of CNY.
    ///
    /// Only ASCII digits and one point between digits are accepted: no sign, exponent, separator or space.
    ///
    /// # Errors
    /// [`MoneyError::NotANumber`], [`MoneyError::TooManyDigits`] for finer parts than the currency has,
    /// [`MoneyError::Overflow`] above [`Minor::MAX`].
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if text.len() > LONGEST_TEXT || !digits(whole) || !fraction.is_none_or(digits) {
            return Err(MoneyError::NotANumber);
        }
        let given = fraction.map_or(0, str::len);
        if u32::try_from(given).is_ok_and(|given| given > currency.exponent()) {
            return Err(MoneyError::TooManyDigits { currency, given });
        }
        let minor = Decimal::from_str_exact(text)
            .ok()
            .and_then(|major| major.checked_mul(Decimal::from(10u64.checked_pow(currency.exponent())?)))
            .and_then(|minor| u64::try_from(minor).ok())
            .ok_or(MoneyError::Overflow)?;
        Ok(Self { minor: Minor::new(minor)?, currency })
    }

    /// The amount and its code, as in `12.50 CNY`.
    #[must_use]
    pub fn labelled(self) -> impl fmt::Display {
        Labelled(self)
    }

    /// `self + other`.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`], [`MoneyError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Ok(Self { minor: self.minor.checked_add(other.minor)?, ..self })
    }

    /// `self − other`.
    ///
    /// # Errors
    /// [`MoneyError::CurrencyMismatch`], [`MoneyError::Negative`].
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        self.same_currency(other)?;
        Ok(Self { minor: self.minor.checked_sub(other.minor)?, ..self })
    }

    fn same_currency(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            return Ok(());
        }
        Err(MoneyError::CurrencyMismatch { left: self.currency, right: other.currency })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let major = Decimal::from_i128_with_scale(i128::from(self.minor.value()), self.currency.exponent());
        f.pad(&major.to_string())
    }
}

struct Labelled(Amount);

impl fmt::Display for Labelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", self.0, self.0.currency))
    }
}

/// Any amount of any currency.
#[cfg(any(test, feature = "testing"))]
pub fn arb_amount() -> impl proptest::strategy::Strategy<Value = Amount> {
    use proptest::strategy::Strategy;
    (crate::arb_minor(), crate::arb_currency()).prop_map(|(minor, currency)| Amount { minor, currency })
}
