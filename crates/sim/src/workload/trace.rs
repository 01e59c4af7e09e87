//! A trace: payments that really happened, or that another program made up, as CSV.
//!
//! `time,payer,payee,amount,currency,instrument`. Times are seconds since any beginning (`12.5`), durations (`1h30m`)
//! or dates (`2026-01-15T08:00:00Z`, `2026-01-15 08:00:00`); the first row is the beginning. Payers and payees are any
//! names; whoever pays is a customer, who only is paid is a shop. Currency and instrument may be empty: without
//! an instrument it is online cash.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use feiqian_money::{Amount, Currency};

use super::{Arrival, Instrument, Payee};
use crate::error::{SimError, files};
use crate::scenario::units::Span;

/// One payment of a trace, by number: 32 bytes, so that long traces fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    nanos: u64,
    payer: u32,
    payee: u32,
    to_wallet: bool,
    instrument: Instrument,
    amount: u64,
}

impl Row {
    /// As an arrival.
    #[must_use]
    pub fn arrival(self) -> Arrival {
        let payee = self.payee as usize;
        Arrival {
            at: Duration::from_nanos(self.nanos),
            payer: self.payer as usize,
            payee: if self.to_wallet { Payee::Wallet(payee) } else { Payee::Merchant(payee) },
            amount: self.amount,
            instrument: self.instrument,
        }
    }
}

/// A trace that was read whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Its payments in order of time.
    pub rows: Vec<Row>,
    /// How many different payers there are.
    pub wallets: usize,
    /// How many payees who never pay.
    pub merchants: usize,
}

/// A row as it stands, with names.
struct Named<'a> {
    nanos: i128,
    payer: &'a str,
    payee: &'a str,
    amount: u64,
    instrument: Instrument,
}

impl Trace {
    /// Reads a file.
    ///
    /// # Errors
    /// [`SimError::Files`] when it cannot be read; [`SimError::Usage`] with line number and reason for a bad row.
    pub fn load(path: &Path, currency: Currency) -> Result<Self, SimError> {
        let text = std::fs::read_to_string(path).map_err(|error| files("read", path, &error))?;
        Self::parse(&text, currency)
            .map_err(|message| SimError::Usage(format!("{}: {message}", path.display())))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// Line number and reason of the first bad row.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, String> {
        let mut named = Vec::new();
        for (line, content) in (1_u64..).zip(text.trim_start_matches('\u{feff}').lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') || (line == 1 && content.starts_with("time")) {
                continue;
            }
            named.push(row(content, currency).map_err(|reason| format!("line {line}: {reason}"))?);
        }
        if named.is_empty() {
            return Err("there is no payment in it".to_owned());
        }
        named.sort_by_key(|row| row.nanos);
        Self::number(&named)
    }

    /// Gives everybody a number, in the order in which they first appear.
    fn number(named: &[Named<'_>]) -> Result<Self, String> {
        let payers: BTreeSet<&str> = named.iter().map(|row| row.payer).collect();
        let (mut wallets, mut merchants): (BTreeMap<&str, u32>, BTreeMap<&str, u32>) = Default::default();
        let mut rows = Vec::with_capacity(named.len());
        let beginning = named.first().map_or(0, |row| row.nanos);
        for row in named {
            let payer = of(&mut wallets, row.payer);
            let to_wallet = payers.contains(row.payee);
            let payee = of(if to_wallet { &mut wallets } else { &mut merchants }, row.payee);
            let nanos = u64::try_from(row.nanos.saturating_sub(beginning))
                .map_err(|_| "it spans more than 500 years".to_owned())?;
            rows.push(Row { nanos, payer, payee, to_wallet, instrument: row.instrument, amount: row.amount });
        }
        Ok(Self { rows, wallets: wallets.len(), merchants: merchants.len() })
    }

    /// How long it lasts, from its first payment to just after its last.
    #[must_use]
    pub fn length(&self) -> Duration {
        let last = self.rows.last().map_or(0, |row| row.nanos);
        Duration::from_nanos(last).saturating_add(Duration::from_secs(1))
    }
}

fn of<'a>(numbers: &mut BTreeMap<&'a str, u32>, name: &'a str) -> u32 {
    let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    *numbers.entry(name).or_insert(next)
}

fn row(content: &str, currency: Currency) -> Result<Named<'_>, String> {
    let fields: Vec<&str> = content.split(',').map(|field| field.trim().trim_matches('"')).collect();
    let (time, payer, payee, amount, rest) = match fields.as_slice() {
        [time, payer, payee, amount, rest @ ..] if rest.len() <= 2 => (*time, *payer, *payee, *amount, rest),
        _ => {
            return Err(format!(
                "{} fields; time,payer,payee,amount,currency,instrument are six",
                fields.len()
            ));
        }
    };
    if payer.is_empty() || payee.is_empty() || payer == payee {
        return Err("payer and payee are two different names".to_owned());
    }
    match rest.first() {
        None | Some(&"") => {}
        Some(text) if *text == currency.code() => {}
        Some(text) => return Err(format!("currency {text}: this world's is {currency}")),
    }
    let instrument = match rest.get(1) {
        None | Some(&"") => Instrument::OnlineCash,
        Some(text) => instrument(text)?,
    };
    let parsed = Amount::parse(amount, currency).map_err(|error| format!("amount {amount}: {error}"))?;
    if parsed.minor.is_zero() {
        return Err("the amount is zero".to_owned());
    }
    Ok(Named { nanos: nanos(time)?, payer, payee, amount: parsed.minor.value(), instrument })
}

fn instrument(text: &str) -> Result<Instrument, String> {
    let name = text.replace('-', "_");
    let known = Instrument::ALL.into_iter().find(|known| known.as_str() == name);
    known.ok_or_else(|| format!("instrument {text}: online_cash, offline_cash, cheque or transfer"))
}

/// Nanoseconds since whatever the time counts from.
fn nanos(text: &str) -> Result<i128, String> {
    let seconds = format!("{text}s").parse::<Span>().or_else(|_| text.parse::<Span>());
    if let Ok(span) = seconds {
        return i128::try_from(span.0.as_nanos()).map_err(|_| format!("time {text}: too large"));
    }
    if let Ok(date) = text.parse::<jiff::Timestamp>() {
        return Ok(date.as_nanosecond());
    }
    let civil: Result<jiff::civil::DateTime, _> = text.parse();
    let zoned = civil.ok().and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok());
    zoned.map(|zoned| zoned.timestamp().as_nanosecond()).ok_or_else(|| {
        format!("time {text}: neither seconds, nor a duration, nor a date like 2026-01-15T08:00:00Z")
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a failure to parse fails the test")]

    use super::*;

    fn parse(text: &str) -> Result<Trace, String> {
        Trace::parse(text, "CNY".parse().unwrap())
    }

    #[test]
    fn times_may_be_written_in_any_of_three_ways() {
        let texts = [
            "time,payer,payee,amount,currency,instrument\n10,a,shop,1.00,CNY,online_cash\n70.5,b,shop,2,,\n",
            "0s,a,shop,1.00\n1m0.5s,b,shop,2\n",
            "2026-01-15T08:00:00Z,a,shop,1.00\n2026-01-15T08:01:00.5Z,b,shop,2.00\n",
            "2026-01-15 08:00:00,a,shop,1.00\n2026-01-15 08:01:00.5,b,shop,2.00\n",
        ];
        let traces: Vec<Trace> = texts.iter().map(|text| parse(text).unwrap()).collect();
        assert!(traces.iter().all(|trace| *trace == traces[0]), "{traces:?}");
        assert_eq!((traces[0].wallets, traces[0].merchants), (2, 1));
        assert_eq!(traces[0].rows[1].arrival().at, Duration::from_millis(60_500));
    }

    #[test]
    fn whoever_pays_is_a_customer_even_when_paid_first() {
        let trace = parse("0,a,b,1\n1,b,shop,1\n").unwrap();
        assert_eq!(trace.rows[0].arrival().payee, Payee::Wallet(1));
        assert_eq!(trace.rows[1].arrival().payee, Payee::Merchant(0));
    }

    #[test]
    fn a_row_names_its_instrument() {
        let text =
            "0,a,s,1,CNY,online_cash\n1,a,s,1,,offline-cash\n2,a,s,1,,cheque\n3,a,s,1,,transfer\n4,a,s,1,,\n";
        let rows = parse(text).unwrap().rows;
        let named: Vec<Instrument> = rows.iter().map(|row| row.arrival().instrument).collect();
        assert_eq!(named[..4], Instrument::ALL);
        assert_eq!(named[4], Instrument::OnlineCash);
    }

    #[test]
    fn a_bad_row_is_named_with_its_line_and_reason() {
        for (text, line, reason) in [
            ("0,a,b,1\n1,a,b\n", "line 2", "fields"),
            ("0,a,b,1\n1,a,b,x\n", "line 2", "amount"),
            ("0,a,b,0\n", "line 1", "zero"),
            ("0,a,a,1\n", "line 1", "different"),
            ("0,a,b,1,USD\n", "line 1", "CNY"),
            ("0,a,b,1,CNY,gold\n", "line 1", "gold"),
            ("yesterday,a,b,1\n", "line 1", "time"),
            ("", "no payment", "no payment"),
        ] {
            let refused = parse(text).unwrap_err();
            assert!(refused.contains(line) && refused.contains(reason), "{text}: {refused}");
        }
    }
}
