//! Settings of a center.

use std::net::IpAddr;

use feiqian_money::{Amount, Currency};
use feiqian_node::{Endpoint, Shares, endpoint::TrustPin};
use feiqian_pki::Subject;
use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};

/// Who becomes a member.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admission {
    /// Every bank that asks; only for a center that listens on this machine alone.
    Open,
    /// Banks with an invitation code.
    #[default]
    Code,
}

/// How obligations are settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Settlement {
    /// Each item at once against prefunded settlement accounts.
    #[default]
    Gross,
    /// Cheques by multilateral net positions, in cycles that the operator closes and settles. Payments with coins and
    /// credit transfers stay gross: whoever receives them has them at once.
    Net,
}

/// What bounds a bank's net debit under net settlement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Caps {
    /// What its settlement account covers: what would exceed that is returned, and no cycle can fail.
    #[default]
    Prefunded,
    /// Nothing: a bank whose account does not cover its position when the cycle settles has its last items unwound.
    None,
}

/// `config.toml` of a center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The center's name, 1 to 32 of `a-z`, `0-9`, `-`.
    pub name: String,
    /// Where it listens, `host:port`.
    pub listen: String,
    /// Where others reach it, `https://host:port`.
    pub url: String,
    /// Who becomes a member.
    #[serde(default)]
    pub admission: Admission,
    /// How obligations are settled.
    #[serde(default)]
    pub settlement: Settlement,
    /// What bounds a bank's net debit under net settlement.
    #[serde(default)]
    pub caps: Caps,
    /// Base money put on a new member's settlement account, major units of its currency.
    #[serde(default = "default_funding")]
    pub funding: String,
    /// How long a bank may take to say which of its customers spent an offline coin twice before it is liable itself,
    /// seconds.
    #[serde(default = "default_answer")]
    pub answer_seconds: u64,
    /// How long presentments that ended are remembered, seconds.
    #[serde(default = "default_keep")]
    pub keep_seconds: u64,
    /// What one caller may take of the node.
    #[serde(default)]
    pub shares: Shares,
}

/// Three days: longer than a bank is ever down.
#[must_use]
pub const fn default_answer() -> u64 {
    3 * 86_400
}

/// 400 days.
#[must_use]
pub const fn default_keep() -> u64 {
    400 * 86_400
}

/// 1,000,000 major units; without decimals, so that it is an amount of every currency.
#[must_use]
pub fn default_funding() -> String {
    "1000000".to_owned()
}

fn usage(message: impl AsRef<str>) -> Fault {
    Fault::new(Code::Usage, message)
}

impl Config {
    /// Settings with defaults for the rest.
    #[must_use]
    pub fn new(name: impl Into<String>, listen: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            listen: listen.into(),
            url: url.into(),
            admission: Admission::default(),
            settlement: Settlement::default(),
            caps: Caps::default(),
            funding: default_funding(),
            answer_seconds: default_answer(),
            keep_seconds: default_keep(),
            shares: Shares::default(),
        }
    }

    /// Checks what the types do not say.
    ///
    /// # Errors
    /// `USAGE` that names the setting: a name or address that is none, open admission of a center that other
    /// machines reach, a funding that is no amount.
    pub fn check(&self) -> Result<(), Fault> {
        Subject::center(&self.name).map_err(|error| usage(format!("name: {error}")))?;
        if self.name.len() > 32 {
            return Err(usage("name: at most 32 characters"));
        }
        Endpoint::new(&self.url, TrustPin::default()).map_err(|error| usage(format!("url: {error}")))?;
        if self.admission == Admission::Open && !listens_on_loopback(&self.listen) {
            return Err(usage(format!(
                "admission: open admission is only for this machine, not for {}",
                self.listen
            ))
            .hint("listen on 127.0.0.1, or use admission = \"code\" and `feiqian center invite`"));
        }
        if self.answer_seconds == 0 {
            return Err(usage("answer_seconds: more than zero"));
        }
        self.shares.check()?;
        self.initial_funding(Currency::USD).map(|_| ())
    }

    /// What a new member in `currency` is funded with.
    ///
    /// # Errors
    /// `USAGE` when the setting is no amount of that currency.
    pub fn initial_funding(&self, currency: Currency) -> Result<Amount, Fault> {
        Amount::parse(&self.funding, currency)
            .map_err(|error| usage(format!("funding: {} is no amount of {currency}: {error}", self.funding)))
    }
}

/// Can nobody but this machine reach `host:port`?
fn listens_on_loopback(listen: &str) -> bool {
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use super::*;

    fn config() -> Config {
        Config::new("center", "127.0.0.1:7000", "https://127.0.0.1:7000")
    }

    #[test]
    fn open_admission_is_for_this_machine_alone() {
        let open = |listen: &str| Config { admission: Admission::Open, listen: listen.into(), ..config() };
        for listen in ["127.0.0.1:1", "[::1]:1", "localhost:0"] {
            open(listen).check().unwrap();
        }
        for listen in ["0.0.0.0:1", "[::]:1", "center.example:1", "10.0.0.1:1"] {
            assert_eq!(open(listen).check().unwrap_err().code, Code::Usage, "{listen}");
            Config { listen: listen.into(), ..config() }.check().unwrap();
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            Config { funding: "much".into(), ..config() },
            Config { name: "The Center".into(), ..config() },
            Config { url: "http://x".into(), ..config() },
            Config { answer_seconds: 0, ..config() },
        ] {
            assert_eq!(bad.check().unwrap_err().code, Code::Usage);
        }
        assert_eq!(config().initial_funding(Currency::JPY).unwrap().minor.value(), 1_000_000);
        assert_eq!(config().initial_funding(Currency::CNY).unwrap().minor.value(), 100_000_000);
    }
}
