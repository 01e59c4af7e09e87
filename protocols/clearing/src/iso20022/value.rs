//! Amounts, times and days as the messages write them.

use std::fmt;
use std::str::FromStr;

use feiqian_money::{Amount, Currency};
use feiqian_wire::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::ExportError;

/// The first number of more than 18 digits, the most an amount may have.
const BOUND: u128 = 1_000_000_000_000_000_000;

/// Minor units as a decimal number with exactly the currency's digits: `12.50`, `1250` for a currency without
/// minor units.
///
/// # Errors
/// [`ExportError::TooManyDigits`].
pub(super) fn decimal(minor: u128, currency: Currency) -> Result<String, ExportError> {
    if minor >= BOUND {
        return Err(ExportError::TooManyDigits);
    }
    let exponent = usize::try_from(currency.exponent()).unwrap_or(usize::MAX);
    if exponent == 0 {
        return Ok(minor.to_string());
    }
    let width = exponent.saturating_add(1);
    let digits = format!("{minor:0width$}");
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(exponent));
    Ok(format!("{whole}.{fraction}"))
}

/// The sum of amounts of one currency, in a wider integer.
///
/// # Errors
/// [`ExportError::MixedCurrencies`].
pub(super) fn total(
    amounts: impl IntoIterator<Item = Amount>,
    currency: Currency,
) -> Result<u128, ExportError> {
    let mut sum = 0u128;
    for amount in amounts {
        if amount.currency != currency {
            return Err(ExportError::MixedCurrencies);
        }
        sum = sum.saturating_add(u128::from(amount.minor.value()));
    }
    Ok(sum)
}

/// A sequence number.
///
/// # Errors
/// [`ExportError::SequenceTooLong`].
pub(super) fn sequence(number: u64) -> Result<String, ExportError> {
    if u128::from(number) >= BOUND {
        return Err(ExportError::SequenceTooLong);
    }
    Ok(number.to_string())
}

/// A time in UTC: `2026-12-01T09:30:00Z`.
///
/// # Errors
/// [`ExportError::TimeOutOfRange`].
pub(super) fn date_time(time: Timestamp) -> Result<String, ExportError> {
    Ok(moment(time)?.to_string())
}

fn moment(time: Timestamp) -> Result<jiff::Timestamp, ExportError> {
    let seconds = i64::try_from(time.seconds()).map_err(|_| ExportError::TimeOutOfRange)?;
    jiff::Timestamp::from_second(seconds).map_err(|_| ExportError::TimeOutOfRange)
}

/// A day of the calendar, in UTC where it comes from a time; years 1970 to 9999. Text: `2026-12-01`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalendarDay(Date);

impl CalendarDay {
    /// The day of a time.
    ///
    /// # Errors
    /// [`ExportError::TimeOutOfRange`].
    pub fn of(time: Timestamp) -> Result<Self, ExportError> {
        Ok(Self(moment(time)?.to_zoned(TimeZone::UTC).date()))
    }
}

impl FromStr for CalendarDay {
    type Err = ExportError;

    fn from_str(text: &str) -> Result<Self, ExportError> {
        let date: Date = text.parse().map_err(|_| ExportError::NotADay)?;
        // The parser also knows other writings of a day, and days with a time.
        if date.year() < 1970 || date.to_string() != text {
            return Err(ExportError::NotADay);
        }
        Ok(Self(date))
    }
}

impl fmt::Display for CalendarDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
