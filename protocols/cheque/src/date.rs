//! Calendar days and calendar months. Days are those of UTC.

use std::fmt;
use std::str::FromStr;

use feiqian_wire::{Text, Timestamp};
use jiff::ToSpan as _;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// For how many calendar months after its date a cheque is good.
pub const VALID_MONTHS: i32 = 6;

/// A calendar day, years 1970 to 9999. Text and serde: `2026-12-01`, this writing only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(Date);

/// The text is no day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a day: write it as 2026-12-01")]
pub struct NotADay;

impl Day {
    /// That day of the calendar.
    ///
    /// # Errors
    /// [`NotADay`] when there is none, or it is before 1970.
    pub fn new(year: i16, month: i8, day: i8) -> Result<Self, NotADay> {
        match Date::new(year, month, day) {
            Ok(date) if date.year() >= 1970 => Ok(Self(date)),
            _ => Err(NotADay),
        }
    }

    /// The day of a time, in UTC; the last day of 9999 for any time after it.
    #[must_use]
    pub fn of(time: Timestamp) -> Self {
        let seconds = i64::try_from(time.seconds()).ok();
        let moment = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        Self(moment.map_or(Date::MAX, |moment| moment.to_zoned(TimeZone::UTC).date()))
    }

    /// The last day on which a cheque of this date is good: the same day [`VALID_MONTHS`] later, or the last day
    /// of that month if it is shorter (31 August → end of February).
    #[must_use]
    pub fn last_good_day(self) -> Self {
        Self(self.0.saturating_add(VALID_MONTHS.months()))
    }

    /// Whether a cheque of this date is stale `today`.
    #[must_use]
    pub fn is_stale(self, today: Self) -> bool {
        today > self.last_good_day()
    }

    /// Whether a cheque of this date is dated ahead of `today`.
    #[must_use]
    pub fn is_future(self, today: Self) -> bool {
        self > today
    }
}

/// A time as people read it: `2026-12-01 10:00 UTC`.
pub(crate) fn moment(time: Timestamp) -> String {
    let (hours, minutes) = (time.seconds() / 3_600 % 24, time.seconds() / 60 % 60);
    format!("{} {hours:02}:{minutes:02} UTC", Day::of(time))
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for Day {
    type Err = NotADay;

    fn from_str(text: &str) -> Result<Self, NotADay> {
        let date: Date = text.parse().map_err(|_| NotADay)?;
        let day = Self::new(date.year(), date.month(), date.day())?;
        // The parser takes other writings too; of each day there is one.
        if day.to_string() == text { Ok(day) } else { Err(NotADay) }
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::<10>::deserialize(deserializer)?.as_str().parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    #[test]
    fn six_months_are_calendar_months() {
        for (date, last) in [
            ("2026-08-31", "2027-02-28"),
            ("2027-08-31", "2028-02-29"),
            ("2026-08-29", "2027-02-28"),
            ("2026-08-28", "2027-02-28"),
            ("2026-12-01", "2027-06-01"),
            ("2026-03-31", "2026-09-30"),
            ("2026-02-28", "2026-08-28"),
            ("9999-12-31", "9999-12-31"),
        ] {
            assert_eq!(day(date).last_good_day(), day(last), "{date}");
        }
    }

    #[test]
    fn the_last_good_day_is_good_and_the_next_is_not() {
        let date = day("2026-08-31");
        assert!(!date.is_stale(day("2027-02-28")));
        assert!(date.is_stale(day("2027-03-01")));
        assert!(date.is_future(day("2026-08-30")) && !date.is_future(date));
    }

    #[test]
    fn a_time_has_its_day_in_utc() {
        assert_eq!(Day::of(Timestamp::new(0)), day("1970-01-01"));
        assert_eq!(Day::of(Timestamp::new(1_767_225_599)), day("2025-12-31"));
        assert_eq!(Day::of(Timestamp::new(1_767_225_600)), day("2026-01-01"));
        assert_eq!(Day::of(Timestamp::MAX), day("9999-12-31"));
    }

    #[test]
    fn a_day_has_one_writing() {
        for other in
            ["20261201", "2026-12-1", "2026-12-01T00:00", "2026-02-29", "1969-12-31", "+002026-12-01", ""]
        {
            assert_eq!(other.parse::<Day>(), Err(NotADay), "{other:?}");
        }
    }
}
