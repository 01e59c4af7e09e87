//! What is paid when, by whom, to whom: drawn from the seed or read from a trace. Arrivals are open-loop: they come
//! when they come, however long the ones before still take.

mod account;
pub mod customer;
pub(crate) mod files;
pub(crate) mod hand;
pub mod trace;

use std::time::Duration;

use feiqian_money::Currency;
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;

use crate::scenario::Scenario;
use crate::scenario::distribution::{Weights, exponential, uniform};
use trace::Row;

/// With what a payment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instrument {
    /// Coins that the issuing bank sees at every payment.
    OnlineCash,
    /// Coins that pass from hand to hand, with no bank at all.
    OfflineCash,
    /// A cheque, which the payee deposits.
    Cheque,
    /// A transfer from account to account.
    Transfer,
}

impl Instrument {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::OnlineCash, Self::OfflineCash, Self::Cheque, Self::Transfer];

    /// Its name in scenarios and traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OnlineCash => "online_cash",
            Self::OfflineCash => "offline_cash",
            Self::Cheque => "cheque",
            Self::Transfer => "transfer",
        }
    }

    /// A payment with it, as measures name it beside `pay`, which counts all payments.
    #[must_use]
    pub const fn operation(self) -> &'static str {
        match self {
            Self::OnlineCash => "pay_online_cash",
            Self::OfflineCash => "pay_offline_cash",
            Self::Cheque => "pay_cheque",
            Self::Transfer => "pay_transfer",
        }
    }

    /// Whether it is withdrawn before it is spent.
    #[must_use]
    pub const fn is_cash(self) -> bool {
        matches!(self, Self::OnlineCash | Self::OfflineCash)
    }
}

/// Who is paid, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payee {
    /// A shop.
    Merchant(usize),
    /// Another customer.
    Wallet(usize),
}

/// A payment that somebody wants to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When, from the moment the world is live.
    pub at: Duration,
    /// The paying wallet.
    pub payer: usize,
    /// Who is paid.
    pub payee: Payee,
    /// Minor units.
    pub amount: u64,
    /// With what.
    pub instrument: Instrument,
}

/// All arrivals of a world, in order of time.
#[derive(Debug)]
pub enum Arrivals {
    /// Drawn.
    Drawn(Box<Drawn>),
    /// Read.
    Read(std::vec::IntoIter<Row>),
}

/// Arrivals of a Poisson process.
#[derive(Debug)]
pub struct Drawn {
    rng: ChaCha12Rng,
    at: f64,
    until: f64,
    per_second: f64,
    wallets: usize,
    between: f64,
    merchants: Weights,
    instruments: Weights,
    amount: crate::scenario::distribution::Distribution<crate::scenario::units::Major>,
    minor_per_major: f64,
}

impl Arrivals {
    /// The arrivals of a scenario without a trace, drawn from `rng`.
    #[must_use]
    #[allow(clippy::float_arithmetic, reason = "rates")]
    pub fn drawn(scenario: &Scenario, rng: ChaCha12Rng) -> Self {
        let (people, work) = (&scenario.population, &scenario.workload);
        Self::Drawn(Box::new(Drawn {
            rng,
            at: 0.0,
            until: scenario.duration.0.as_secs_f64(),
            per_second: work.payments_per_wallet_per_day * (people.wallets as f64) / 86_400.0,
            wallets: people.wallets,
            between: work.between_wallets,
            merchants: Weights::new(people.merchants.popularity, people.merchants.count),
            instruments: Weights::of(work.instruments.shares().map(|(_, share)| share)),
            amount: work.amount.clone(),
            minor_per_major: minor_per_major(scenario.currency),
        }))
    }
}

/// How many minor units a major one has.
fn minor_per_major(currency: Currency) -> f64 {
    f64::from(10_u32.saturating_pow(currency.exponent()))
}

/// The nearest whole number of a quantity that is not negative.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to lie within the bounds"
)]
fn whole(value: f64) -> u64 {
    let rounded = value.round();
    if (1.0..=9.0e15).contains(&rounded) { rounded as u64 } else { 1 }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        match self {
            Self::Drawn(drawn) => drawn.draw(),
            Self::Read(rows) => rows.next().map(Row::arrival),
        }
    }
}

impl Drawn {
    #[allow(clippy::float_arithmetic, reason = "times and amounts are drawn from distributions")]
    fn draw(&mut self) -> Option<Arrival> {
        if self.per_second <= 0.0 {
            return None;
        }
        self.at += exponential(&mut self.rng) / self.per_second;
        if self.at >= self.until {
            return None;
        }
        let payer = self.rng.random_range(0..self.wallets);
        let merchant = self.merchants.draw(&mut self.rng);
        let payee = if self.between > 0.0 && uniform(&mut self.rng) < self.between {
            // One of the others.
            let other = self.rng.random_range(0..self.wallets.saturating_sub(1).max(1));
            Payee::Wallet(if other >= payer { other.saturating_add(1) } else { other })
        } else {
            Payee::Merchant(merchant)
        };
        let amount = whole(self.amount.draw(&mut self.rng) * self.minor_per_major);
        let at = Duration::try_from_secs_f64(self.at).ok()?;
        let drawn = self.instruments.draw(&mut self.rng);
        let instrument = Instrument::ALL.get(drawn).copied().unwrap_or(Instrument::OnlineCash);
        Some(Arrival { at, payer, payee, amount, instrument })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to build fails the test")]

    use rand::SeedableRng;

    use super::*;
    use crate::scenario::Source;

    fn arrivals(text: &str) -> Vec<Arrival> {
        let scenario = Source::parse(text, "").unwrap().scenario().unwrap();
        Arrivals::drawn(&scenario, ChaCha12Rng::seed_from_u64(1)).collect()
    }

    #[test]
    fn arrivals_come_in_order_at_their_rate_and_repeat() {
        let text = "duration = \"10d\"\n[workload]\nbetween_wallets = 0.5\n\
            instruments = { online_cash = 0.4, offline_cash = 0.3, cheque = 0.2, transfer = 0.1 }\n";
        let drawn = arrivals(text);
        assert!(drawn.len().abs_diff(1200) < 120, "{}", drawn.len());
        assert!(drawn.is_sorted_by_key(|arrival| arrival.at));
        assert!(drawn.iter().all(|arrival| arrival.payee != Payee::Wallet(arrival.payer)));
        let between = drawn.iter().filter(|arrival| matches!(arrival.payee, Payee::Wallet(_))).count();
        assert!(between.abs_diff(600) < 100, "{between}");
        assert!(drawn.iter().all(|arrival| (1..=500_000).contains(&arrival.amount)));
        for (instrument, expected) in Instrument::ALL.into_iter().zip([480, 360, 240, 120_usize]) {
            let count = drawn.iter().filter(|arrival| arrival.instrument == instrument).count();
            assert!(count.abs_diff(expected) < 70, "{}: {count}", instrument.as_str());
        }
        assert_eq!(drawn, arrivals(text));
    }
}
