//! Quantities with units, as a scenario writes them: `"40ms"`, `"1d12h"`, `"23.50"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use feiqian_money::{Amount, Currency};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units of time, longest first, in nanoseconds.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// A duration with its unit: whole or decimal number and `d`, `h`, `m`, `s`, `ms`, `us` or `ns`, perhaps several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Span {
    /// In whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0.as_secs()
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            || format!("`{text}` is no duration: write a number and d, h, m, s, ms, us or ns, as in \"90s\"");
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(bad());
        }
        let mut total = 0_u64;
        while !rest.is_empty() {
            let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
            let (number, after) = rest.split_at(end);
            let length = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
            let (unit, after) = after.split_at(length);
            let (_, nanos) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
            total = total.checked_add(scaled(number, *nanos).ok_or_else(bad)?).ok_or_else(bad)?;
            rest = after.trim_start();
        }
        Ok(Self(Duration::from_nanos(total)))
    }
}

/// `number` (digits with at most one point) times `scale`, without floats.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || part.len() > 9 {
        return None;
    }
    let mut total = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    let mut weight = scale;
    for digit in part.chars() {
        weight = weight.checked_div(10)?;
        total = total.checked_add(u64::from(digit.to_digit(10)?).checked_mul(weight)?)?;
    }
    Some(total)
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (name, nanos) in UNITS {
            let count = rest.checked_div(nanos).unwrap_or(0);
            if count > 0 {
                write!(f, "{count}{name}")?;
            }
            rest = rest.checked_rem(nanos).unwrap_or(0);
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        match value {
            toml::Value::String(text) => text.parse().map_err(D::Error::custom),
            other => {
                Err(D::Error::custom(format!("`{other}` is a number without a unit: write \"{other}s\"")))
            }
        }
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An amount in major units of the world's currency, as written: `"23.50"`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Major(pub String);

impl Major {
    /// In minor units of `currency`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn minor(&self, currency: Currency) -> Result<u64, String> {
        let amount = Amount::parse(&self.0, currency);
        Ok(amount.map_err(|error| format!("`{}` is no amount: {error}", self.0))?.minor.value())
    }
}

impl<'de> Deserialize<'de> for Major {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(text)),
            other => Err(D::Error::custom(format!(
                "`{other}` is a bare number: write amounts as text, \"{other}\", in major units"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to parse fails the test")]

    use super::*;

    fn nanos(text: &str) -> u128 {
        text.parse::<Span>().unwrap().0.as_nanos()
    }

    #[test]
    fn durations_parse_exactly_and_print_as_they_parse() {
        assert_eq!(nanos("1.5h"), 5_400_000_000_000);
        assert_eq!(nanos("1d12h"), 129_600_000_000_000);
        assert_eq!(nanos("0.1ms"), 100_000);
        for text in ["1d", "36h30m", "40ms", "0s", "1d2h3m4s5ms6us7ns"] {
            let span: Span = text.parse().unwrap();
            assert_eq!(span.to_string().parse::<Span>().unwrap(), span, "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["", "5", "5x", "s", "1.2.3s", "-1s", "1h 5", "99999999999999d"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_are_of_the_currency() {
        let currency: Currency = "CNY".parse().unwrap();
        assert_eq!(Major("23.50".into()).minor(currency), Ok(2350));
        assert!(Major("23.505".into()).minor(currency).is_err());
        assert!(Major("much".into()).minor(currency).is_err());
    }
}
