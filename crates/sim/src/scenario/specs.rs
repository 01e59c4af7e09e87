//! What a scenario lists: banks, faults, adversaries, sweeps, assertions; and the check that it all fits together.

use serde::Deserialize;

use super::units::Span;
use super::{Mode, Scenario};
use crate::error::SimError;

/// A bank.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankSpec {
    /// Its name: `a-z`, `0-9`, `-`.
    pub name: String,
    /// Its share of wallets and merchants; what is left of 1, in equal parts, when absent.
    pub customers: Option<f64>,
}

/// When a write crashes its node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// Before it becomes durable.
    #[default]
    Before,
    /// When it is durable and nobody has been answered.
    After,
    /// When it was answered and has not become durable: what a program without care for crashes does.
    Lost,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FaultSpec {
    /// A node dies, and is started again after a while.
    Crash {
        /// Which.
        node: String,
        /// When; or at a write.
        at: Option<Span>,
        /// At which durable write.
        point: Option<String>,
        /// At which one of them, from 1.
        #[serde(default = "one")]
        number: u64,
        /// On which side of the write.
        #[serde(default)]
        when: Side,
        /// How long it is dead.
        #[serde(rename = "for")]
        length: Span,
    },
    /// Two nodes, or one and all others, do not reach each other.
    Partition {
        /// Which.
        node: String,
        /// From whom; everybody when absent.
        from: Option<String>,
        /// When.
        at: Span,
        /// How long.
        #[serde(rename = "for")]
        length: Span,
    },
    /// Messages of a node take longer.
    Slow {
        /// Which.
        node: String,
        /// How many times as long.
        factor: f64,
        /// When.
        at: Span,
        /// How long.
        #[serde(rename = "for")]
        length: Span,
    },
    /// A node's clock is wrong.
    ClockSkew {
        /// Which.
        node: String,
        /// By how much it is fast; slow with a minus sign before it.
        offset: String,
        /// How much faster it runs, parts per million.
        #[serde(default)]
        drift_ppm: i64,
        /// When it goes wrong.
        at: Span,
        /// How long.
        #[serde(rename = "for")]
        length: Span,
    },
}

fn one() -> u64 {
    1
}

impl FaultSpec {
    /// The node that it befalls.
    #[must_use]
    pub fn node(&self) -> &str {
        match self {
            Self::Crash { node, .. }
            | Self::Partition { node, .. }
            | Self::Slow { node, .. }
            | Self::ClockSkew { node, .. } => node,
        }
    }

    /// How long it lasts.
    #[must_use]
    pub fn length(&self) -> Span {
        match self {
            Self::Crash { length, .. }
            | Self::Partition { length, .. }
            | Self::Slow { length, .. }
            | Self::ClockSkew { length, .. } => *length,
        }
    }
}

/// Reads a clock's error: a duration, perhaps with a minus sign. In seconds.
///
/// # Errors
/// What is wrong with the text.
pub fn offset_seconds(text: &str) -> Result<i64, String> {
    let (sign, rest) = text.strip_prefix('-').map_or((1_i64, text), |rest| (-1, rest));
    let seconds =
        i64::try_from(rest.parse::<Span>()?.seconds()).map_err(|_| format!("`{text}` is too much"))?;
    Ok(seconds.saturating_mul(sign))
}

/// An attack, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attack {
    /// Spends one coin at two payees, online and offline.
    DoubleSpender,
    /// Sends what others sent once more.
    Replayer,
    /// Changes what others send.
    Tamperer,
    /// Takes payments out of the wire and pays them in as its own.
    Thief,
    /// Kills nodes at their durable writes.
    Crasher,
    /// Issuing bank and merchants pool what they saw and link.
    Colluders,
    /// Opens 253 withdrawals at once and forges one coin more.
    ForgerRos,
    /// A bank that accuses honest customers of double spending.
    Framer,
    /// Draws cheques on uncollected funds in a circle, and presents cheques twice.
    Kiter,
}

impl Attack {
    /// Its name in scenarios.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DoubleSpender => "double-spender",
            Self::Replayer => "replayer",
            Self::Tamperer => "tamperer",
            Self::Thief => "thief",
            Self::Crasher => "crasher",
            Self::Colluders => "colluders",
            Self::ForgerRos => "forger-ros",
            Self::Framer => "framer",
            Self::Kiter => "kiter",
        }
    }
}

/// Somebody who attacks.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdversarySpec {
    /// How.
    pub kind: Attack,
    /// How many of them, or how many attempts of the one there is.
    #[serde(default = "one")]
    pub count: u64,
    /// The world in which it must win: a store that forgets, a scheme that is broken, a message nobody checks.
    #[serde(default)]
    pub control: bool,
}

/// A key that takes several values.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SweepSpec {
    /// Which.
    pub path: String,
    /// Its values, one a cell.
    pub values: Vec<toml::Value>,
}

/// What must come out.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AssertSpec {
    /// `path.in.summary < number`, with `<`, `<=`, `>`, `>=`, `==` or `!=`.
    pub expr: String,
    /// In which cells: all values must be those of the cell.
    #[serde(default, rename = "where")]
    pub cells: std::collections::BTreeMap<String, toml::Value>,
}

fn wrong(message: impl Into<String>) -> Result<(), SimError> {
    Err(SimError::Usage(message.into()))
}

fn probability(name: &str, value: f64) -> Result<(), SimError> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    wrong(format!("{name} = {value}: a probability lies between 0 and 1"))
}

fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.len() <= 32 && text.chars().all(allowed)
}

impl Scenario {
    /// The banks with their shares: those listed, or `first` alone.
    #[must_use]
    #[allow(clippy::float_arithmetic, reason = "shares of a population")]
    pub fn banks(&self) -> Vec<(String, f64)> {
        if self.bank.is_empty() {
            return vec![("first".to_owned(), 1.0)];
        }
        let given: f64 = self.bank.iter().filter_map(|bank| bank.customers).sum();
        let without = self.bank.iter().filter(|bank| bank.customers.is_none()).count();
        let rest = (1.0 - given).max(0.0) / (without.max(1) as f64);
        self.bank.iter().map(|bank| (bank.name.clone(), bank.customers.unwrap_or(rest))).collect()
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// [`SimError::Usage`] that names the key.
    #[allow(clippy::float_arithmetic, reason = "shares of instruments")]
    pub fn check(&self) -> Result<(), SimError> {
        if !is_name(&self.name) {
            return wrong(format!("name = \"{}\": 1 to 32 of a-z, 0-9 and -", self.name));
        }
        self.check_population()?;
        for (name, value) in [
            ("network.loss", self.network.loss),
            ("network.duplicate", self.network.duplicate),
            ("network.reorder", self.network.reorder),
            ("workload.between_wallets", self.workload.between_wallets),
            ("workload.refunds", self.workload.refunds),
        ] {
            probability(name, value)?;
        }
        let shares = self.workload.instruments.shares();
        for (name, share) in shares {
            probability(&format!("workload.instruments.{name}"), share)?;
        }
        let sum: f64 = shares.iter().map(|(_, share)| *share).sum();
        if (sum - 1.0).abs() > 1e-9 {
            return wrong(format!("workload.instruments: the shares sum to {sum}, not to 1"));
        }
        let rate = self.workload.payments_per_wallet_per_day;
        if !(0.0..=1e6).contains(&rate) {
            return wrong(format!("workload.payments_per_wallet_per_day = {rate}: between 0 and 1000000"));
        }
        if self.settlement.mode == Mode::Net && self.settlement.cycle.seconds() == 0 {
            return wrong("settlement.cycle: more than zero seconds, or no cheque is ever settled");
        }
        for (name, amount) in [
            ("population.funds", &self.population.funds),
            ("wallet.withdraw.below", &self.wallet.withdraw.below),
            ("wallet.withdraw.to", &self.wallet.withdraw.to),
        ] {
            amount.minor(self.currency).map_err(|message| SimError::usage(format!("{name}: {message}")))?;
        }
        if self.replicates.count == 0 || self.duration.seconds() == 0 {
            return wrong("replicates.count and duration are more than zero");
        }
        self.fault.iter().try_for_each(|fault| self.check_fault(fault))?;
        for (place, one) in self.adversary.iter().enumerate() {
            if one.control && one.kind == Attack::Colluders {
                return wrong(
                    "adversary: the control of colluders is a scenario in which nobody waits, no key",
                );
            }
            if self.adversary.iter().take(place).any(|other| other.kind == one.kind) {
                return wrong(format!("adversary: two of kind {}: raise `count`", one.kind.as_str()));
            }
        }
        if self.banks().len() < 2 && self.adversary.iter().any(|one| one.kind == Attack::Kiter) {
            return wrong("adversary: a kiter needs two banks to draw on");
        }
        self.assert.iter().try_for_each(|assert| crate::run::expression::parse(&assert.expr).map(drop))
    }

    #[allow(clippy::float_arithmetic, reason = "shares of a population")]
    fn check_population(&self) -> Result<(), SimError> {
        let people = &self.population;
        if people.merchants.count == 0 {
            return wrong("population.merchants.count: at least one, or nobody can be paid");
        }
        if people.wallets == 0 {
            return wrong("population.wallets: at least one, or nobody can pay");
        }
        if people.wallets == 1 && self.workload.between_wallets > 0.0 {
            return wrong("workload.between_wallets: one wallet has nobody to pay");
        }
        let banks = self.banks();
        let sum: f64 = banks.iter().map(|(_, share)| *share).sum();
        if (sum - 1.0).abs() > 1e-6 || banks.iter().any(|(_, share)| !(0.0..=1.0).contains(share)) {
            return wrong(format!("bank.customers: the shares sum to {sum}, not to 1"));
        }
        let mut names: Vec<&str> = banks.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        if names.len() != banks.len() || !names.iter().all(|name| is_name(name)) {
            return wrong("bank.name: different names of 1 to 32 of a-z, 0-9 and -");
        }
        Ok(())
    }

    fn check_fault(&self, fault: &FaultSpec) -> Result<(), SimError> {
        self.check_node(fault.node())?;
        match fault {
            FaultSpec::Crash { at, point, number, .. } => {
                if at.is_some() == point.is_some() || *number == 0 {
                    return wrong("fault: a crash has either `at` or `point`, and `number` counts from 1");
                }
            }
            FaultSpec::Partition { from: Some(from), .. } => self.check_node(from)?,
            FaultSpec::Partition { .. } => {}
            FaultSpec::Slow { factor, .. } => {
                if !(0.0..=1e6).contains(factor) {
                    return wrong(format!("fault: factor = {factor}: between 0 and 1000000"));
                }
            }
            FaultSpec::ClockSkew { offset, drift_ppm, .. } => {
                offset_seconds(offset).map_err(SimError::Usage)?;
                if drift_ppm.unsigned_abs() > 1_000_000 {
                    return wrong("fault: drift_ppm is at most 1000000 either way");
                }
            }
        }
        Ok(())
    }

    fn check_node(&self, node: &str) -> Result<(), SimError> {
        let within = |text: &str, count: usize| text.parse::<usize>().is_ok_and(|number| number < count);
        let known = match node.split_once(':') {
            None => node == "center",
            Some(("bank", name)) => self.banks().iter().any(|(known, _)| known == name),
            Some(("merchant", number)) => within(number, self.population.merchants.count),
            Some(("wallet", number)) => within(number, self.population.wallets),
            Some(_) => false,
        };
        if known {
            return Ok(());
        }
        wrong(format!(
            "fault: there is no node `{node}`: center, bank:NAME, merchant:N or wallet:N, counted from 0"
        ))
    }
}
