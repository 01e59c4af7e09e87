//! Settings of a wallet, as they stand in `config.toml`.

use feiqian_money::Currency;
use feiqian_money::selection::Strategy;
use feiqian_offline_cash::policy::Policy;
use feiqian_wire::Name;
use serde::{Deserialize, Serialize};

/// When the rest of a partly spent coin becomes new coins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefreshPolicy {
    /// Right after the payment.
    #[default]
    AtOnce,
    /// When the owner asks for it, or the key comes to its end. The rest can be paid with meanwhile, but payments from
    /// one coin show that they are of one owner.
    Lazy,
}

/// Which coins pay: how many, how large, and what their sizes tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Selection {
    /// As few coins as possible.
    #[default]
    FewestCoins,
    /// Whole coins where they make the amount, so that no change is due.
    Exact,
    /// Coins in random order.
    Random,
    /// Coins in random order, those of about the amount's size first.
    Boltzmann,
}

impl From<Selection> for Strategy {
    fn from(selection: Selection) -> Self {
        match selection {
            Selection::FewestCoins => Self::FewestCoins,
            Selection::Exact => Self::Exact,
            Selection::Random => Self::Random,
            Selection::Boltzmann => Self::Boltzmann,
        }
    }
}

/// Settings of a wallet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bank that keeps the owner's account.
    pub bank: Name,
    /// Where that bank listens, without fragment.
    pub bank_url: String,
    /// Where the center listens, without fragment.
    pub center_url: String,
    /// The account's token.
    pub account: String,
    /// The account's currency.
    pub currency: Currency,
    /// The owner's name as it stands in requests; proves nothing and may be empty.
    #[serde(default)]
    pub name: String,
    /// Which coins pay.
    #[serde(default)]
    pub selection: Selection,
    /// When change is made.
    #[serde(default)]
    pub refresh: RefreshPolicy,
    /// How long a request can be paid unless it says otherwise, seconds.
    #[serde(default = "three_days")]
    pub request_seconds: u64,
    /// Pause between two rounds of a running wallet, seconds.
    #[serde(default = "half_a_minute")]
    pub poll_seconds: u64,
    /// How long spent coins are kept after the end of their keys, and sessions and payments of then, seconds.
    #[serde(default = "four_hundred_days")]
    pub keep_seconds: u64,
    /// What is taken offline, from hand to hand, without asking a bank.
    #[serde(default)]
    pub offline: Policy,
}

fn three_days() -> u64 {
    3 * 86_400
}

fn half_a_minute() -> u64 {
    30
}

fn four_hundred_days() -> u64 {
    400 * 86_400
}

impl Config {
    /// Settings with every default.
    #[must_use]
    pub fn new(
        bank: Name,
        bank_url: String,
        center_url: String,
        account: String,
        currency: Currency,
    ) -> Self {
        Self {
            bank,
            bank_url,
            center_url,
            account,
            currency,
            name: String::new(),
            selection: Selection::default(),
            refresh: RefreshPolicy::default(),
            request_seconds: three_days(),
            poll_seconds: half_a_minute(),
            keep_seconds: four_hundred_days(),
            offline: Policy::default(),
        }
    }
}
