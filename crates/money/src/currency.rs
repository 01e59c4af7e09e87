//! Currencies: ISO 4217, list one.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::MoneyError;

/// An active ISO 4217 currency (or fund) with its exponent: the digits after the decimal point.
///
/// Codes without minor units (metals, the testing code, "no currency") and withdrawn codes are not in the table.
/// Ordered by code. Serde: the code as text (`"CNY"`) in every format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    code: &'static str,
    exponent: u8,
}

/// Each list is sorted, so that a code is found by bisection.
const TABLE: [(u8, &[&str]); 4] = [(0, NO_DIGITS), (2, TWO_DIGITS), (3, THREE_DIGITS), (4, FOUR_DIGITS)];

const NO_DIGITS: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF",
    "XOF", "XPF",
];
const TWO_DIGITS: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BMD", "BND", "BOB",
    "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CNY", "COP", "COU",
    "CRC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP", "GEL",
    "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD", "KES",
    "KGS", "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MGA", "MKD", "MMK",
    "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK", "NPR",
    "NZD", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR", "SDG",
    "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT", "TOP",
    "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "USN", "UYU", "UZS", "VED", "VES", "WST", "XAD", "XCD", "XCG",
    "YER", "ZAR", "ZMW", "ZWG",
];
const THREE_DIGITS: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];
const FOUR_DIGITS: &[&str] = &["CLF", "UYW"];

impl Currency {
    /// Chinese yuan, two digits.
    pub const CNY: Self = Self { code: "CNY", exponent: 2 };
    /// Euro, two digits.
    pub const EUR: Self = Self { code: "EUR", exponent: 2 };
    /// Japanese yen, no minor unit.
    pub const JPY: Self = Self { code: "JPY", exponent: 0 };
    /// United States dollar, two digits.
    pub const USD: Self = Self { code: "USD", exponent: 2 };

    /// The three-letter code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.code
    }

    /// Digits after the decimal point: one major unit is 10^exponent minor units (0, 2, 3 or 4).
    #[must_use]
    pub fn exponent(self) -> u32 {
        u32::from(self.exponent)
    }

    /// Every known currency, grouped by exponent and ordered by code within a group.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.into_iter().flat_map(|(exponent, codes)| codes.iter().map(move |code| Self { code, exponent }))
    }
}

impl FromStr for Currency {
    type Err = MoneyError;

    /// Reads a code of three capital letters.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        TABLE
            .into_iter()
            .find_map(|(exponent, codes)| {
                let at = codes.binary_search(&text).ok()?;
                codes.get(at).map(|code| Self { code, exponent })
            })
            .ok_or(MoneyError::UnknownCurrency)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Code)
    }
}

struct Code;

impl de::Visitor<'_> for Code {
    type Value = Currency;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an active ISO 4217 currency code")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Currency, E> {
        text.parse().map_err(E::custom)
    }
}

/// Any currency of the table.
#[cfg(any(test, feature = "testing"))]
pub fn arb_currency() -> impl proptest::strategy::Strategy<Value = Currency> {
    proptest::sample::select(Currency::all().collect::<Vec<_>>())
}
