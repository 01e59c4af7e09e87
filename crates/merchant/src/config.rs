//! Settings of a merchant.

use feiqian_money::Currency;
use feiqian_node::{Endpoint, Shares};
use feiqian_offline_cash::policy::Policy;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, Text};
use serde::{Deserialize, Deserializer, Serialize};

/// `config.toml` of a merchant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The name that customers read in requests.
    pub name: Text<64>,
    /// Its bank.
    pub bank: Name,
    /// Its bank's address, `https://host:port`.
    pub bank_url: String,
    /// Its account's token there.
    pub account: Text<64>,
    /// The currency of the account.
    pub currency: Currency,
    /// The center's address with the root's fingerprint.
    pub center: String,
    /// Where it listens, `host:port`.
    pub listen: String,
    /// Where payers reach it, `https://host:port`.
    pub url: String,
    /// How long a request may be paid, seconds.
    #[serde(default = "fifteen_minutes")]
    pub expires_seconds: u64,
    /// How long after a request's expiry refunds are considered, seconds.
    #[serde(default = "thirty_days")]
    pub refund_seconds: u64,
    /// How often the members' view is brought up to date, seconds.
    #[serde(default = "one_minute")]
    pub sync_seconds: u64,
    /// How long sales that ended are remembered, seconds.
    #[serde(default = "four_hundred_days")]
    pub keep_seconds: u64,
    /// Offline payments.
    #[serde(default)]
    pub offline: OfflineConfig,
    /// What one caller may take of the node; [`Shares::of_a_till`] where it says nothing.
    #[serde(default = "Shares::of_a_till", deserialize_with = "till_shares")]
    pub shares: Shares,
}

fn till_shares<'de, D: Deserializer<'de>>(said: D) -> Result<Shares, D::Error> {
    Shares::of_a_till().or_as_said(said)
}

/// Settings for offline payments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OfflineConfig {
    /// Names the till in requests: one store is one till. Default `1`.
    pub till: Text<32>,
    /// What it takes without asking a bank.
    pub policy: Policy,
}

impl Default for OfflineConfig {
    fn default() -> Self {
        Self { till: Text::fitted("1"), policy: Policy::default() }
    }
}

/// 15 minutes, in seconds.
#[must_use]
pub fn fifteen_minutes() -> u64 {
    900
}

/// 30 days, in seconds.
#[must_use]
pub fn thirty_days() -> u64 {
    30 * 86_400
}

/// 400 days, in seconds.
#[must_use]
pub fn four_hundred_days() -> u64 {
    400 * 86_400
}

/// One minute, in seconds.
#[must_use]
pub fn one_minute() -> u64 {
    60
}

impl Config {
    /// Checks what the types do not say.
    ///
    /// # Errors
    /// `USAGE` that names the setting.
    pub fn check(&self) -> Result<(), Fault> {
        let usage = |message: String| Fault::new(Code::Usage, message);
        for (what, text) in [("bank_url", &self.bank_url), ("center", &self.center), ("url", &self.url)] {
            text.parse::<Endpoint>().map_err(|error| usage(format!("{what}: {error}")))?;
        }
        if self.expires_seconds == 0 {
            return Err(usage("expires_seconds: more than zero".to_owned()));
        }
        self.shares.check()
    }
}
