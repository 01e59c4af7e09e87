//! A world's description: one TOML file in which every key has a default.
//!
//! A file is laid over the defaults ([`DEFAULT`]) as a tree, changed by `--set` and by sweeps, and only then read into
//! types; what is left is the *normalised* scenario, whose digest names a cell.

pub mod distribution;
mod read;
pub mod specs;
pub mod units;

use feiqian_money::Currency;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::error::SimError;
use distribution::{Distribution, Popularity};
use specs::{AdversarySpec, AssertSpec, BankSpec, FaultSpec, SweepSpec};
use units::{Major, Span};

/// Keys that judge runs or plan them, and do not change what happens in one.
pub(crate) const JUDGING: [&str; 5] = ["name", "question", "assert", "sweep", "replicates"];

/// Every key with its default and what it means: what `--print-default` writes.
pub const DEFAULT: &str = include_str!("default.toml");

/// A scenario that was read and found to make sense.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Names the folder of the results: `a-z`, `0-9`, `-`.
    pub name: String,
    /// What the run shall answer.
    pub question: String,
    /// The seed of all random streams.
    pub seed: u64,
    /// Simulated time in which payments arrive.
    pub duration: Span,
    /// The one currency of the world.
    pub currency: Currency,
    /// Whether every event is written down.
    pub events: bool,
    /// The banks; one called `first` when the list is empty.
    #[serde(default)]
    pub bank: Vec<BankSpec>,
    /// Who lives in the world.
    pub population: Population,
    /// How wallets behave.
    pub wallet: WalletPolicy,
    /// What is paid.
    pub workload: Workload,
    /// How messages travel.
    pub network: NetworkSpec,
    /// How long denomination keys do what.
    pub keys: KeySpec,
    /// How the center settles.
    pub settlement: SettlementSpec,
    /// When the books are recomputed.
    pub auditor: AuditorSpec,
    /// What goes wrong.
    #[serde(default)]
    pub fault: Vec<FaultSpec>,
    /// Who attacks.
    #[serde(default)]
    pub adversary: Vec<AdversarySpec>,
    /// What is varied.
    #[serde(default)]
    pub sweep: Vec<SweepSpec>,
    /// What must come out.
    #[serde(default)]
    pub assert: Vec<AssertSpec>,
    /// How often each cell is run.
    pub replicates: Replicates,
}

/// Who lives in the world.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Population {
    /// Customers.
    pub wallets: usize,
    /// Shops.
    pub merchants: Merchants,
    /// Base money on every customer's account at the beginning.
    pub funds: Major,
}

/// The shops.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Merchants {
    /// How many.
    pub count: usize,
    /// How payments spread over them.
    pub popularity: Popularity,
}

/// How wallets behave.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalletPolicy {
    /// Which coins pay.
    pub selection: feiqian_wallet::Selection,
    /// When change is made.
    pub refresh: feiqian_wallet::RefreshPolicy,
    /// When and how much is withdrawn.
    pub withdraw: WithdrawPolicy,
    /// Between withdrawing and spending.
    pub spend_delay: Distribution<Span>,
    /// Pause between two rounds of a wallet by itself.
    pub poll: Span,
    /// How long a customer goes on trying one payment.
    pub patience: Span,
}

/// When and how much is withdrawn.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawPolicy {
    /// A wallet that holds less fills up.
    pub below: Major,
    /// As much as it then holds.
    pub to: Major,
}

/// What is paid.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// A CSV file of payments instead of drawn ones; empty for none.
    pub trace: String,
    /// Mean arrivals.
    pub payments_per_wallet_per_day: f64,
    /// What one payment is worth.
    pub amount: Distribution<Major>,
    /// Share of payments to other customers.
    pub between_wallets: f64,
    /// Share of purchases that are given back.
    pub refunds: f64,
    /// With what is paid.
    pub instruments: Instruments,
}

/// Shares of the instruments; together 1.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instruments {
    /// Coins that the issuing bank sees at every payment.
    pub online_cash: f64,
    /// Coins that no bank sees until they are deposited.
    pub offline_cash: f64,
    /// Cheques, which the payee deposits.
    pub cheque: f64,
    /// Transfers from account to account.
    pub transfer: f64,
}

impl Instruments {
    /// Each share with its key.
    #[must_use]
    pub const fn shares(&self) -> [(&'static str, f64); 4] {
        [
            ("online_cash", self.online_cash),
            ("offline_cash", self.offline_cash),
            ("cheque", self.cheque),
            ("transfer", self.transfer),
        ]
    }
}

/// How messages travel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkSpec {
    /// One way.
    pub latency: Distribution<Span>,
    /// Chance that a message's connection breaks.
    pub loss: f64,
    /// Chance that a request arrives twice.
    pub duplicate: f64,
    /// Chance that a message is held up.
    pub reorder: f64,
}

/// How long denomination keys do what.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeySpec {
    /// Sign new coins.
    pub issue: Span,
    /// Their coins pay, after that.
    pub redeem: Span,
    /// Their coins may be refreshed, after that.
    pub grace: Span,
}

impl KeySpec {
    /// From the first coin of an epoch to the end of all: so long nodes remember what is done.
    #[must_use]
    pub fn life(&self) -> Span {
        Span(self.issue.0.saturating_add(self.redeem.0).saturating_add(self.grace.0))
    }
}

/// Whether banks settle item by item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Each item at once.
    Gross,
    /// Cheques by multilateral net positions, in cycles; everything else at once.
    Net,
}

/// How the center settles.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementSpec {
    /// Each item at once, or cheques by net positions.
    pub mode: Mode,
    /// How often the center's operator closes the open cycles and settles them, in a world that nets.
    pub cycle: Span,
    /// Base money on each member's settlement account, major units.
    pub funding: String,
}

/// When the books are recomputed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditorSpec {
    /// Payments between two audits; 0: only at the end.
    pub every: u64,
    /// Within which everything must have ended.
    pub settle: Span,
}

/// How often each cell is run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replicates {
    /// Seeds `seed`, `seed + 1`, ….
    pub count: u64,
}

/// A scenario as a tree: the file laid over the defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    tree: toml::Table,
    /// Where relative paths in it begin.
    folder: std::path::PathBuf,
}

impl Source {
    /// Reads the file.
    ///
    /// # Errors
    /// [`SimError::Files`] when it cannot be read, [`SimError::Usage`] with line and reason when it is no scenario.
    pub fn load(path: &std::path::Path) -> Result<Self, SimError> {
        let text =
            std::fs::read_to_string(path).map_err(|error| crate::error::files("read", path, &error))?;
        let folder = path.parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        Self::parse(&text, folder).map_err(|error| match error {
            SimError::Usage(message) => SimError::Usage(format!("{}: {message}", path.display())),
            other => other,
        })
    }

    /// Reads a text whose relative paths begin in `folder`.
    ///
    /// # Errors
    /// [`SimError::Usage`] with line and reason.
    pub fn parse(text: &str, folder: impl Into<std::path::PathBuf>) -> Result<Self, SimError> {
        let tree = read::over_defaults(text)?;
        let source = Self { tree, folder: folder.into() };
        read::typed(&source.tree).map_err(|message| SimError::Usage(read::with_line(text, message)))?;
        Ok(source)
    }

    /// Changes one key: `wallet.spend_delay` to `exp(1h)`. The value is TOML where it reads as such, else text.
    ///
    /// # Errors
    /// [`SimError::Usage`] when the path leads to no key; what the value makes of the scenario shows in
    /// [`Source::scenario`].
    pub fn set(&mut self, path: &str, value: &str) -> Result<(), SimError> {
        let parsed = format!("x = {value}").parse::<toml::Table>().ok();
        let value =
            parsed.and_then(|mut table| table.remove("x")).unwrap_or_else(|| toml::Value::from(value));
        self.put(path, value)
    }

    /// Changes one key to a value.
    ///
    /// # Errors
    /// [`SimError::Usage`] when the path leads to no key.
    pub fn put(&mut self, path: &str, value: toml::Value) -> Result<(), SimError> {
        read::put(&mut self.tree, path, value)
    }

    /// The scenario it describes.
    ///
    /// # Errors
    /// [`SimError::Usage`] with what does not make sense.
    pub fn scenario(&self) -> Result<Scenario, SimError> {
        let mut scenario = read::typed(&self.tree).map_err(SimError::Usage)?;
        if !scenario.workload.trace.is_empty() {
            scenario.workload.trace = self.folder.join(&scenario.workload.trace).display().to_string();
        }
        scenario.check()?;
        Ok(scenario)
    }

    /// The normalised tree.
    #[must_use]
    pub fn tree(&self) -> &toml::Table {
        &self.tree
    }

    /// Where relative paths begin.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// SHA-256 of the normalised scenario in hexadecimal. Assertions and the question are left out: they judge a run
    /// and do not change it.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut tree = self.tree.clone();
        for judged in JUDGING {
            tree.remove(judged);
        }
        let text = serde_json::to_string(&tree).unwrap_or_default();
        hex::encode(Sha256::digest(text.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to parse fails the test")]

    use super::*;

    fn refused(text: &str) -> String {
        let source = Source::parse(text, "");
        match source.and_then(|source| source.scenario()) {
            Err(SimError::Usage(message)) => message,
            other => panic!("expected a refusal of {text}, got {other:?}"),
        }
    }

    #[test]
    fn an_empty_file_is_the_default_world_and_the_default_is_complete() {
        let empty = Source::parse("", "").unwrap();
        assert_eq!(empty, Source::parse(DEFAULT, "").unwrap());
        let scenario = empty.scenario().unwrap();
        assert_eq!(scenario.population.wallets, 20);
        assert_eq!(scenario.banks().len(), 1);
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
        let message = refused("[wallet]\nrefresh = \"lazy\"\nspend_dely = \"1h\"\n");
        assert!(message.contains("line 3") && message.contains("spend_delay"), "{message}");
        let message = refused("[[fault]]\nkind = \"crash\"\nnod = \"bank:first\"\n");
        assert!(message.contains("node"), "{message}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_key() {
        for (text, part) in [
            ("[network]\nloss = 1.5", "network.loss"),
            ("[workload]\ninstruments = { online_cash = 0.5 }", "instruments"),
            ("[population]\nmerchants = { count = 0 }", "merchants"),
            ("duration = 5", "unit"),
            ("[[sweep]]\npath = \"wallet.nothing\"\nvalues = [1]", "wallet.nothing"),
            ("[[sweep]]\npath = \"seed\"\nvalues = []", "values"),
            ("[[bank]]\nname = \"a\"\ncustomers = 0.5\n[[bank]]\nname = \"b\"\ncustomers = 0.6", "customers"),
            ("[settlement]\nmode = \"nett\"", "net"),
            ("[settlement]\nmode = \"net\"\ncycle = \"0s\"", "cycle"),
            ("[workload.instruments]\nonline_cash = 0.0\noffline_cash = -1.0\ncheque = 2.0", "offline_cash"),
            ("[workload.instruments]\nonline_cash = 0.5\noffline = 0.5", "offline_cash"),
            ("[[adversary]]\nkind = \"kiter\"", "two banks"),
            ("[[fault]]\nkind = \"crash\"\nnode = \"bank:other\"\nat = \"1h\"\nfor = \"1m\"", "bank:other"),
            (
                "[[fault]]\nkind = \"slow\"\nnode = \"center\"\nat = \"1h\"\nfor = \"1h\"\nfactor = -2.0",
                "factor",
            ),
            ("[[assert]]\nexpr = \"payments.paid\"", "comparison"),
            ("name = \"../x\"", "name"),
        ] {
            let message = refused(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_setting_changes_the_digest_and_a_question_does_not() {
        let plain = Source::parse("", "").unwrap();
        let mut changed = plain.clone();
        changed.set("wallet.spend_delay", "exp(1h)").unwrap();
        assert_ne!(plain.digest(), changed.digest());
        let mut asked = plain.clone();
        asked.set("question", "why?").unwrap();
        assert_eq!(plain.digest(), asked.digest());
        assert!(changed.set("wallet.spend", "1h").is_err());
        changed.set("population.wallets", "7").unwrap();
        assert_eq!(changed.scenario().unwrap().population.wallets, 7);
    }
}
