//! A bank's settings: `config.toml` in its home.

use feiqian_money::{Currency, Minor};
use feiqian_node::Shares;
use feiqian_offline_cash::keyset::MAX_EXPONENT;
use feiqian_offline_cash::withdraw::Caps;
use feiqian_wire::Name;
use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};

const DAY: u64 = 86_400;

/// How long denomination keys do what; all in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Schedule {
    /// How long an epoch's keys sign new coins: 30 days.
    pub issue_seconds: u64,
    /// How long after that their coins still pay: 90 days.
    pub redeem_seconds: u64,
    /// How long after that their owner may still refresh them: 365 days.
    pub grace_seconds: u64,
    /// How long before the end of issue the next epoch is made and pinned: 1 day, at most a quarter of the issue time.
    pub ahead_seconds: u64,
    /// The largest denomination is 2 to this power, in minor units: 20, at most 31.
    pub largest_exponent: u8,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            issue_seconds: 30 * DAY,
            redeem_seconds: 90 * DAY,
            grace_seconds: 365 * DAY,
            ahead_seconds: DAY,
            largest_exponent: 20,
        }
    }
}

/// Bounds of the drop boxes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DropBoxLimits {
    /// The longest a message is kept, seconds: 30 days.
    pub keep_seconds: u64,
    /// The largest sealed message, bytes: 98,304.
    pub message_bytes: usize,
    /// All messages together, bytes: 256 MiB.
    pub total_bytes: u64,
}

impl Default for DropBoxLimits {
    fn default() -> Self {
        Self { keep_seconds: 30 * DAY, message_bytes: 96 * 1024, total_bytes: 256 << 20 }
    }
}

/// Bounds of cheques.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChequeLimits {
    /// The largest cheque, minor units; 0 for no limit.
    pub cheque_minor: u64,
    /// The most that is paid of one account's cheques in a day, minor units; 0 for no limit.
    pub day_minor: u64,
    /// The most unused leaves of an account: 200.
    pub open_leaves: u64,
    /// The most cheques in the box of an account: 64.
    pub box_files: u64,
    /// How long a cheque stays in a box, seconds: 30 days.
    pub box_seconds: u64,
}

impl Default for ChequeLimits {
    fn default() -> Self {
        Self { cheque_minor: 0, day_minor: 0, open_leaves: 200, box_files: 64, box_seconds: 30 * DAY }
    }
}

impl ChequeLimits {
    /// The largest cheque.
    #[must_use]
    pub fn cheque_limit(&self) -> Minor {
        limit(self.cheque_minor)
    }

    /// The most that is paid in a day.
    #[must_use]
    pub fn day_limit(&self) -> Minor {
        limit(self.day_minor)
    }
}

fn limit(minor: u64) -> Minor {
    if minor == 0 { Minor::MAX } else { Minor::new(minor).unwrap_or(Minor::MAX) }
}

/// Offline cash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Offline {
    /// Whether offline keysets are made: true.
    pub enabled: bool,
    /// How long an epoch's keys sign new coins, seconds; 0 as long as the online keys.
    pub issue_seconds: u64,
    /// How long after that their coins pay and pass on, seconds: 7 days.
    pub pay_seconds: u64,
    /// How long after that deposits are the only way, seconds: 7 days.
    pub deposit_seconds: u64,
    /// How long after that claims on value never deposited are filed, seconds: 7 days.
    pub reclaim_seconds: u64,
    /// The largest coin is 2 to this power, in minor units: 16, at most 18.
    pub largest_exponent: u8,
    /// The most value that an identity has outstanding of one epoch, minor units: 100,000.
    pub value_cap_minor: u64,
    /// The most blanks that an identity draws of one epoch: 256.
    pub blanks_cap: u32,
    /// The collateral that is moved from an account when its identity is registered, minor units: 0.
    pub collateral_minor: u64,
    /// The most coins in offline sessions begun and not finished (each keeps about 1 KiB): 20,000.
    pub max_open_coins: usize,
    /// The most of these that one account has: 512. So no customer keeps all others from withdrawing.
    pub max_open_coins_each: usize,
}

impl Default for Offline {
    fn default() -> Self {
        Self {
            enabled: true,
            issue_seconds: 0,
            pay_seconds: 7 * DAY,
            deposit_seconds: 7 * DAY,
            reclaim_seconds: 7 * DAY,
            largest_exponent: 16,
            value_cap_minor: 100_000,
            blanks_cap: 256,
            collateral_minor: 0,
            max_open_coins: 20_000,
            max_open_coins_each: 512,
        }
    }
}

impl Offline {
    /// How long an epoch's keys sign.
    #[must_use]
    pub fn issue_seconds(&self, online: &Schedule) -> u64 {
        if self.issue_seconds == 0 { online.issue_seconds } else { self.issue_seconds }
    }

    /// What an identity may draw of one epoch.
    #[must_use]
    pub fn caps(&self) -> Caps {
        Caps { value: Minor::new(self.value_cap_minor).unwrap_or(Minor::MAX), blanks: self.blanks_cap }
    }

    /// The collateral.
    #[must_use]
    pub fn collateral(&self) -> Minor {
        Minor::new(self.collateral_minor).unwrap_or(Minor::MAX)
    }
}

/// One of several processes of a bank that share a store in PostgreSQL, each with a home of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// Its name among the bank's homes.
    pub name: Name,
    /// The URL that the bank's other processes reach it at; `https://` and [`Config::listen`] unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How long it counts as living after its last sign of life, seconds: 10, at least 2.
    #[serde(default = "lease_seconds")]
    pub lease_seconds: u64,
}

fn lease_seconds() -> u64 {
    10
}

impl Instance {
    /// An instance of this name with every default.
    #[must_use]
    pub fn new(name: Name) -> Self {
        Self { name, url: None, lease_seconds: lease_seconds() }
    }
}

/// The settings of one bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The bank's name, unique at its center.
    pub name: Name,
    /// The currency it keeps accounts and issues coins in.
    pub currency: Currency,
    /// The center: `https://HOST:PORT#sha256=FINGERPRINT`.
    pub center: String,
    /// Where the node listens: `HOST:PORT`.
    pub listen: String,
    /// The URL others reach it at; `https://` and [`Config::listen`] unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advertise: Option<String>,
    /// How long a begun session may be finished, seconds.
    #[serde(default = "session_seconds")]
    pub session_seconds: u64,
    /// The most coins in sessions begun and not finished (each keeps 160 bytes of one-time secrets).
    #[serde(default = "max_open_sessions")]
    pub max_open_sessions: usize,
    /// How many ready commitments are kept.
    #[serde(default = "pool_size")]
    pub pool_size: usize,
    /// How long an enrolment code is good, seconds.
    #[serde(default = "enrolment_seconds")]
    pub enrolment_seconds: u64,
    /// How long customers' and merchants' certificates are valid, seconds.
    #[serde(default = "certificate_seconds")]
    pub certificate_seconds: u64,
    /// How often the bank asks the center for news, seconds.
    #[serde(default = "sync_seconds")]
    pub sync_seconds: u64,
    /// How long delivered items are remembered, and payments refundable, seconds.
    #[serde(default = "keep_seconds")]
    pub keep_seconds: u64,
    /// The key schedule.
    #[serde(default)]
    pub schedule: Schedule,
    /// The drop boxes.
    #[serde(default)]
    pub drop_box: DropBoxLimits,
    /// Cheques.
    #[serde(default)]
    pub cheques: ChequeLimits,
    /// Offline cash.
    #[serde(default)]
    pub offline: Offline,
    /// What one caller may take of the node.
    #[serde(default)]
    pub shares: Shares,
    /// Which of the bank's processes this is; unset for a bank that keeps its store in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<Instance>,
}

fn session_seconds() -> u64 {
    600
}
fn max_open_sessions() -> usize {
    100_000
}
fn pool_size() -> usize {
    2048
}
fn enrolment_seconds() -> u64 {
    30 * DAY
}
fn certificate_seconds() -> u64 {
    2 * 365 * DAY
}
fn sync_seconds() -> u64 {
    30
}
fn keep_seconds() -> u64 {
    400 * DAY
}

impl Config {
    /// Settings with every default.
    #[must_use]
    pub fn new(name: Name, currency: Currency, center: impl Into<String>, listen: impl Into<String>) -> Self {
        Self {
            name,
            currency,
            center: center.into(),
            listen: listen.into(),
            advertise: None,
            session_seconds: session_seconds(),
            max_open_sessions: max_open_sessions(),
            pool_size: pool_size(),
            enrolment_seconds: enrolment_seconds(),
            certificate_seconds: certificate_seconds(),
            sync_seconds: sync_seconds(),
            keep_seconds: keep_seconds(),
            schedule: Schedule::default(),
            drop_box: DropBoxLimits::default(),
            cheques: ChequeLimits::default(),
            offline: Offline::default(),
            shares: Shares::default(),
            instance: None,
        }
    }

    /// Where others reach the bank.
    #[must_use]
    pub fn url(&self) -> String {
        self.advertise.clone().unwrap_or_else(|| format!("https://{}", self.listen))
    }

    /// Where the bank's other processes reach this one.
    #[must_use]
    pub fn instance_url(&self) -> String {
        let own = self.instance.as_ref().and_then(|instance| instance.url.clone());
        own.unwrap_or_else(|| format!("https://{}", self.listen))
    }

    /// Checks that the settings fit together.
    ///
    /// # Errors
    /// `USAGE`, saying which setting is wrong.
    pub fn check(&self) -> Result<(), Fault> {
        let schedule = &self.schedule;
        let wrong = |reason: &str| Err(Fault::new(Code::Usage, format!("config.toml: {reason}")));
        if schedule.issue_seconds == 0 || schedule.redeem_seconds == 0 {
            return wrong("schedule.issue_seconds and schedule.redeem_seconds must be above 0");
        }
        if schedule.largest_exponent > 31 {
            return wrong("schedule.largest_exponent is at most 31");
        }
        if self.session_seconds == 0 || self.sync_seconds == 0 {
            return wrong("session_seconds and sync_seconds must be above 0");
        }
        if self.instance.as_ref().is_some_and(|instance| instance.lease_seconds < 2) {
            return wrong("instance.lease_seconds is at least 2");
        }
        if self.max_open_sessions == 0 {
            return wrong("max_open_sessions must be above 0");
        }
        self.shares.check()?;
        let offline = &self.offline;
        if u32::from(offline.largest_exponent) > MAX_EXPONENT {
            return wrong("offline.largest_exponent is at most 18");
        }
        if offline.pay_seconds == 0 || offline.deposit_seconds == 0 || offline.reclaim_seconds == 0 {
            return wrong("offline.pay_seconds, .deposit_seconds and .reclaim_seconds must be above 0");
        }
        if self.drop_box.message_bytes > feiqian_online_cash::drop_box::MAX_SEALED {
            return wrong("drop_box.message_bytes is at most 98304");
        }
        Ok(())
    }
}
