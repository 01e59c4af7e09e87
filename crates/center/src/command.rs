//! The operator's commands and their answers.
//!
//! ```json
//! {"command": "invite", "bank": "north"}
//! {"command": "fund", "bank": "north", "amount": "500.00", "funding": null}
//! {"command": "banks"}
//! {"command": "revoke", "bank": "north", "reason": "key_compromise"}
//! {"command": "positions"}
//! {"command": "cycle_close"}
//! {"command": "settle"}
//! {"command": "status"}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use feiqian_crypto::Id16;
use feiqian_ledger::store::{StoreExt, Tx, Value as Stored};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_pki::Revoked;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, Text};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::{Admission, Settlement};
use crate::cycles::{Settled, Shown, Stage};
use crate::failure::Failure;
use crate::membership::{self, all_banks, code_digest, find_bank};
use crate::obligations::Booked;
use crate::queue;
use crate::revocation::reason_of;
use crate::service::Center;
use crate::settlement;
use crate::tables::{INVITATION, PRESENTMENT};

/// What an operator may ask of a center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// Makes a code that admits one bank, once.
    Invite {
        /// The bank's name.
        bank: Name,
    },
    /// Puts base money on a member's settlement account.
    Fund {
        /// The member.
        bank: Name,
        /// How much, major units of its currency.
        amount: Text<32>,
        /// Id of the funding, 32 hex digits: the same id again has no second effect. Random when absent.
        #[serde(default)]
        funding: Option<Id16>,
    },
    /// Lists the members.
    Banks {},
    /// Revokes a member's authority, and with it every certificate under it; for ever.
    Revoke {
        /// The member.
        bank: Name,
        /// `key_compromise`, `cessation_of_operation`, `privilege_withdrawn` or `unspecified`.
        reason: Text<32>,
    },
    /// What stands on each member's settlement account, and the net positions of cycles that are not final.
    Positions {},
    /// Closes the open cycles: what is paid from now on enters the next ones.
    CycleClose {},
    /// Settles every closed cycle.
    Settle {},
    /// How the center is.
    Status {},
}

/// Answer to [`Command::Invite`].
#[derive(Debug, Serialize)]
pub struct Invited {
    /// The code; shown once, only its digest is kept.
    pub code: String,
    /// For whom.
    pub bank: Name,
}

/// Answer to [`Command::Fund`].
#[derive(Debug, Serialize)]
pub struct Funded {
    /// The member.
    pub bank: Name,
    /// How much.
    pub amount: String,
    /// Its currency.
    pub currency: Currency,
    /// The funding's id.
    pub funding: Id16,
}

/// Answer to [`Command::Banks`].
#[derive(Debug, Serialize)]
pub struct Banks {
    /// By name.
    pub banks: Vec<BankLine>,
}

/// A member.
#[derive(Debug, Serialize)]
pub struct BankLine {
    /// Its name.
    pub bank: Name,
    /// Its currency.
    pub currency: Currency,
    /// Where it listens; null until it registered.
    pub url: Option<String>,
    /// How many keysets it has pinned.
    pub keysets: usize,
}

/// Answer to [`Command::Revoke`].
#[derive(Debug, Serialize)]
pub struct RevokedBank {
    /// The member.
    pub bank: Name,
    /// Serial of its authority's certificate, hex.
    pub serial: String,
}

/// Answer to [`Command::Positions`].
#[derive(Debug, Serialize)]
pub struct Positions {
    /// By name.
    pub banks: Vec<Position>,
    /// Cycles that are not final, oldest first.
    pub cycles: Vec<CycleLine>,
}

/// Answer to [`Command::CycleClose`].
#[derive(Debug, Serialize)]
pub struct Closed {
    /// What was closed; none when nothing was paid since the last time.
    pub cycles: Vec<CycleLine>,
}

/// Answer to [`Command::Settle`].
#[derive(Debug, Serialize)]
pub struct SettledCycles {
    /// In their order.
    pub cycles: Vec<SettledLine>,
}

/// A cycle that is not final.
#[derive(Debug, Serialize)]
pub struct CycleLine {
    /// Its number.
    pub cycle: u64,
    /// `open`, `closed` or `reserved`.
    pub state: &'static str,
    /// Its currency.
    pub currency: Currency,
    /// How many items are in it.
    pub items: usize,
    /// Net positions by bank, minor units: positive is owed to it, negative it owes. They sum to zero.
    pub net: BTreeMap<String, String>,
    /// Their sum: `0`, or the books are wrong.
    pub sum: String,
}

/// A cycle that is final.
#[derive(Debug, Serialize)]
pub struct SettledLine {
    /// Its number.
    pub cycle: u64,
    /// Its currency.
    pub currency: Currency,
    /// How many items were settled.
    pub items: usize,
    /// How many were unwound with `SETTLEMENT_FAILED`.
    pub unwound: usize,
}

/// A member's settlement account.
#[derive(Debug, Serialize)]
pub struct Position {
    /// The member.
    pub bank: Name,
    /// What stands on its settlement account, posted.
    pub settlement: String,
    /// What it still covers: less what is reserved.
    pub available: String,
    /// What it owes for paid items that wait for cover.
    pub queued: String,
    /// Its currency.
    pub currency: Currency,
}

/// Answer to [`Command::Status`].
#[derive(Debug, Serialize)]
pub struct Status {
    /// `center`.
    pub role: &'static str,
    /// Its name.
    pub name: String,
    /// The program's version.
    pub version: &'static str,
    /// Its address with the root's fingerprint.
    pub center: String,
    /// Who becomes a member.
    pub admission: Admission,
    /// How obligations are settled.
    pub settlement: Settlement,
    /// How many members.
    pub banks: usize,
    /// How many keysets are pinned.
    pub keysets: usize,
    /// How many presentments stand in each state.
    pub presentments: BTreeMap<&'static str, u64>,
    /// What waits, by queue.
    pub queues: BTreeMap<String, feiqian_node::queues::Waiting>,
}

pub(crate) fn answer(value: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value).map_err(|error| Fault::new(Code::Internal, error.to_string()))
}

pub(crate) async fn run(center: &Arc<Center>, command: Value) -> Result<Value, Fault> {
    let command = serde_json::from_value(command)
        .map_err(|error| Fault::new(Code::Usage, format!("no command of a center: {error}")))?;
    match command {
        Command::Invite { bank } => answer(&invite(center, bank).await?),
        Command::Fund { bank, amount, funding } => answer(&fund(center, bank, &amount, funding).await?),
        Command::Banks {} => answer(&banks(center)),
        Command::Revoke { bank, reason } => answer(&revoke(center, bank, &reason).await?),
        Command::Positions {} => answer(&positions(center).await?),
        Command::CycleClose {} => answer(&Closed { cycles: lines(center.close_cycles().await?)? }),
        Command::Settle {} => answer(&settle(center).await?),
        Command::Status {} => answer(&status(center).await?),
    }
}

async fn invite(center: &Center, bank: Name) -> Result<Invited, Fault> {
    let now = center.seams.clock.now().seconds();
    let code = Id16::random(&mut center.seams.entropy.rng()).to_string();
    let (digest, name) = (code_digest(&code), bank.clone());
    let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
        if find_bank(tx, &name)?.is_some() {
            return Err(Fault::new(Code::Conflict, format!("bank {name} is a member already")).into());
        }
        let values = [digest.into(), name.as_str().into(), Stored::unsigned(now)?, false.into()];
        Ok(tx.insert(&INVITATION, &values)?)
    };
    center.seams.store.commit("center.invite", work).await?;
    Ok(Invited { code, bank })
}

async fn fund(center: &Center, bank: Name, amount: &str, id: Option<Id16>) -> Result<Funded, Fault> {
    let view = center.view();
    let member = view.member(&bank)?;
    let currency = member.entry.currency;
    let amount = Amount::parse(amount, currency)?;
    if amount.minor.is_zero() {
        return Err(Fault::new(Code::AmountMismatch, "a funding is more than zero"));
    }
    let id = id.unwrap_or_else(|| Id16::random(&mut center.seams.entropy.rng()));
    let now = center.seams.clock.now().seconds();
    let name = bank.clone();
    let policy = center.policy();
    let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
        membership::record_funding(tx, id, &name, amount, now)?;
        queue::drain(tx, currency, policy, now)
    };
    center.seams.store.commit("center.fund", work).await?;
    center.wake_if_untold().await;
    Ok(Funded { bank, amount: amount.to_string(), currency, funding: id })
}

fn banks(center: &Center) -> Banks {
    let view = center.view();
    let line = |member: &feiqian_node::Member| {
        let entry = &member.entry;
        let pinned = view.pins.keysets().iter().filter(|keyset| keyset.keyset.bank == entry.name);
        BankLine {
            bank: entry.name.clone(),
            currency: entry.currency,
            url: (!entry.url.is_empty()).then(|| entry.url.as_str().to_owned()),
            keysets: pinned.count(),
        }
    };
    Banks { banks: view.members().values().map(line).collect() }
}

async fn revoke(center: &Arc<Center>, bank: Name, reason: &str) -> Result<RevokedBank, Fault> {
    let view = center.view();
    let serial = view.member(&bank)?.authority.serial;
    let at = center.seams.clock.now().seconds();
    let revoked = Revoked { serial, at, reason: reason_of(reason)? };
    center.issue_list(Some((bank.as_str().to_owned(), revoked))).await?;
    let serial = serial.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(RevokedBank { bank, serial })
}

async fn positions(center: &Center) -> Result<Positions, Fault> {
    let work = |tx: &mut dyn Tx| -> Result<Vec<Position>, Failure> {
        let mut positions = Vec::new();
        for bank in all_banks(tx)? {
            let (bank, currency) = (bank.entry.name, bank.entry.currency);
            let shown = |minor| Amount::new(minor, currency).to_string();
            let posted = settlement::balance(tx, &bank, currency)?;
            let available = settlement::available(tx, &bank, currency)?;
            let waiting = "state = 0 AND cycle IS NULL AND debtor = ?1 ORDER BY number";
            let waiting = Booked::select(tx, waiting, &[bank.as_str().into()])?;
            let queued = Minor::sum(waiting.iter().map(|it| it.amount.minor)).map_err(Fault::from)?;
            positions.push(Position {
                settlement: shown(posted),
                available: shown(available),
                queued: shown(queued),
                bank,
                currency,
            });
        }
        Ok(positions)
    };
    let banks = center.seams.store.read(work).await?;
    Ok(Positions { banks, cycles: lines(center.cycles().await?)? })
}

fn lines(cycles: Vec<Shown>) -> Result<Vec<CycleLine>, Fault> {
    let line = |shown: Shown| -> Result<CycleLine, Fault> {
        let Shown { cycle, positions, items } = shown;
        let net = positions.iter().map(|(bank, net)| (bank.as_str().to_owned(), net.to_string()));
        let state = match cycle.stage {
            Stage::Open => "open",
            Stage::Closed => "closed",
            Stage::Reserved => "reserved",
            Stage::Final => "final",
        };
        let (net, sum) = (net.collect(), positions.sum().to_string());
        Ok(CycleLine { cycle: cycle.number, state, currency: cycle.currency, items, net, sum })
    };
    cycles.into_iter().map(line).collect()
}

async fn settle(center: &Arc<Center>) -> Result<SettledCycles, Fault> {
    let settled = center.settle_cycles().await?;
    if let Err(fault) = center.tell_banks().await {
        tracing::warn!(%fault, "banks could not be told");
    }
    let line = |it: Settled| SettledLine {
        cycle: it.cycle.number,
        currency: it.cycle.currency,
        items: it.items,
        unwound: it.unwound,
    };
    Ok(SettledCycles { cycles: settled.into_iter().map(line).collect() })
}

async fn status(center: &Center) -> Result<Status, Fault> {
    let sql = format!("SELECT state, count(*) FROM {} GROUP BY state", PRESENTMENT.name);
    let work = move |tx: &mut dyn Tx| -> Result<BTreeMap<i64, u64>, Failure> {
        let rows = tx.select(&sql, &[])?;
        rows.iter().map(|row| Ok((row.integer(0)?, row.unsigned(1)?))).collect()
    };
    let counts = center.seams.store.read(work).await?;
    let names = ["received", "forwarded", "settled", "refused"];
    let presentments =
        (0_i64..).zip(names).map(|(state, name)| (name, counts.get(&state).copied().unwrap_or(0)));
    let view = center.view();
    Ok(Status {
        role: "center",
        name: center.config.name.clone(),
        version: env!("CARGO_PKG_VERSION"),
        center: center.endpoint().to_owned(),
        admission: center.config.admission,
        settlement: center.config.settlement,
        banks: view.members().len(),
        keysets: view.pins.len(),
        presentments: presentments.collect(),
        queues: center.queues().await?,
    })
}
