//! Who may go: cover is asked for before cash and transfers are forwarded; cheques that are paid wait for it here.
//!
//! Under gross settlement what is paid and not settled forms a queue, first in, first out for each bank. Whenever
//! something is booked or cover arrives, the greatest set that can be settled together is
//! ([`feiqian_clearing::gridlock`]). Cash and transfers have to be covered by themselves, since they are final when they
//! are paid, and come behind what their bank already owes: cash waits, a transfer is returned.
//!
//! Under net settlement a bank's cap is what its settlement account covers. Counted against it is everything that it
//! owes in cycles that are not reserved yet, less what is owed to it there, and everything that is on its way.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_clearing::gridlock;
use feiqian_clearing::gross::{Event, State};
use feiqian_clearing::net::Obligation;
use feiqian_clearing::presentment::ItemKind;
use feiqian_ledger::LedgerError;
use feiqian_ledger::book;
use feiqian_ledger::store::{Tx, Value};
use feiqian_money::{Currency, Minor};
use feiqian_wire::Name;

use crate::config::{Caps, Config, Settlement};
use crate::failure::Failure;
use crate::obligations::{Booked, GROUP, settle_group};
use crate::settlement::{self, Owed};
use crate::stored::{Stored, corrupt, put, select};

/// How obligations are settled here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Policy {
    pub(crate) settlement: Settlement,
    pub(crate) caps: Caps,
}

impl Policy {
    pub(crate) fn of(config: &Config) -> Self {
        Self { settlement: config.settlement, caps: config.caps }
    }

    pub(crate) fn is_net(self) -> bool {
        self.settlement == Settlement::Net
    }
}

/// How many of one debtor's obligations are looked at in one release.
const PREFIX: u32 = 1024;
/// Received cash that its debtors must cover, oldest first.
const WAITING: &str =
    "state = 0 AND kind IN (0, 1, 4, 5, 6) AND currency = ?1 ORDER BY received, id LIMIT ?2";

fn sum(tx: &mut dyn Tx, sql: &str, parameters: &[Value]) -> Result<i128, Failure> {
    let rows = tx.select(sql, parameters)?;
    Ok(i128::from(rows.first().map_or(Ok(0), |row| row.integer(0))?))
}

/// What `bank` owes, net, in cycles that are not reserved, and for items on their way. Earlier cycles settle first: a
/// surplus there is not counted.
pub(crate) fn exposure(tx: &mut dyn Tx, bank: &str, currency: Currency) -> Result<i128, Failure> {
    let cycles = "SELECT number, state FROM center_cycle WHERE state < 2 AND currency = ?1 ORDER BY number";
    let mut total = 0_i128;
    let mut open = 0_i128;
    for row in tx.select(cycles, &[currency.code().into()])? {
        let debit = cycle_debit(tx, bank, row.unsigned(0)?)?;
        match row.integer(1)? {
            0 => open = open.saturating_add(debit),
            _ => total = total.saturating_add(debit.max(0)),
        }
    }
    let on_way = "SELECT COALESCE(SUM(amount), 0) FROM center_presentment WHERE state = 1 AND currency = ?1 \
        AND kind = 2 AND issuing = ?2";
    open = open.saturating_add(sum(tx, on_way, &[currency.code().into(), bank.into()])?);
    Ok(total.saturating_add(open.max(0)))
}

fn cycle_debit(tx: &mut dyn Tx, bank: &str, cycle: u64) -> Result<i128, Failure> {
    let parameters = [Value::unsigned(cycle)?, bank.into()];
    let side = |column: &str| {
        format!(
            "SELECT COALESCE(SUM(amount), 0) FROM center_obligation \
             WHERE cycle = ?1 AND state = 0 AND {column} = ?2"
        )
    };
    let owes = sum(tx, &side("debtor"), &parameters)?;
    Ok(owes.saturating_sub(sum(tx, &side("creditor"), &parameters)?))
}

/// Does the bank's cover, less what it already counts for, hold this amount?
fn has_room(tx: &mut dyn Tx, owed: &Owed, policy: Policy) -> Result<bool, Failure> {
    let currency = owed.amount.currency;
    let cover = i128::from(settlement::available(tx, &owed.debtor, currency)?.value());
    let counted = if policy.is_net() { exposure(tx, &owed.debtor, currency)? } else { 0 };
    Ok(cover.saturating_sub(counted) >= i128::from(owed.amount.minor.value()))
}

/// May a cheque be forwarded? `false`: it would exceed its bank's cap.
pub(crate) fn is_within_cap(tx: &mut dyn Tx, owed: &Owed, policy: Policy) -> Result<bool, Failure> {
    if !policy.is_net() || policy.caps == Caps::None {
        return Ok(true);
    }
    has_room(tx, owed, policy)
}

/// Reserves the cover of cash and takes it to forwarded; without cover, or behind others of its bank, it stays.
pub(crate) fn reserve(
    tx: &mut dyn Tx,
    stored: &mut Stored,
    owed: &Owed,
    policy: Policy,
    now: u64,
) -> Result<(), Failure> {
    if is_behind(tx, stored, owed)? || !has_room(tx, owed, policy)? {
        return Ok(());
    }
    match book::transfer(tx, &[owed.reserve(&stored.id)], now) {
        Ok(_) => stored.step(Event::Reserve),
        Err(LedgerError::LimitExceeded(_)) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Does its debtor owe for something earlier that waits for cover?
fn is_behind(tx: &mut dyn Tx, stored: &Stored, owed: &Owed) -> Result<bool, Failure> {
    let (currency, debtor) = (owed.amount.currency.code(), owed.debtor.as_str());
    let queued = "state = 0 AND cycle IS NULL AND currency = ?1 AND debtor = ?2 LIMIT 1";
    if !Booked::select(tx, queued, &[currency.into(), debtor.into()])?.is_empty() {
        return Ok(true);
    }
    let earlier = "state = 0 AND currency = ?1 AND ((kind IN (0, 4, 5) AND issuing = ?2) OR \
         (kind IN (1, 6) AND collecting = ?2)) \
        AND (received < ?3 OR (received = ?3 AND id < ?4)) LIMIT 1";
    let parameters = [currency.into(), debtor.into(), Value::unsigned(stored.received)?, stored.id.into()];
    Ok(!select(tx, earlier, &parameters)?.is_empty())
}

/// Lets go whatever can go now: called in every transaction that books an obligation or brings cover.
pub(crate) fn drain(tx: &mut dyn Tx, currency: Currency, policy: Policy, now: u64) -> Result<(), Failure> {
    release(tx, currency, now)?;
    let waiting = select(tx, WAITING, &[currency.code().into(), GROUP.into()])?;
    let mut behind: BTreeSet<String> = BTreeSet::new();
    for mut stored in waiting {
        let debtor = stored.debtor().ok_or_else(|| corrupt("no issuing bank"))?.to_owned();
        if behind.contains(&debtor) {
            continue;
        }
        let owed = cash_owed(&stored)?;
        reserve(tx, &mut stored, &owed, policy, now)?;
        if stored.state == State::Received {
            behind.insert(debtor);
        } else {
            put(tx, true, &stored, now)?;
        }
    }
    Ok(())
}

/// Who owes whom for waiting cash, from its row.
fn cash_owed(stored: &Stored) -> Result<Owed, Failure> {
    let issuing = stored.issuing.clone().ok_or_else(|| corrupt("no issuing bank"))?;
    let (collecting, amount) = (stored.collecting.clone(), stored.amount);
    Ok(match stored.kind {
        ItemKind::Refund => Owed { debtor: collecting, creditor: issuing, amount, code: settlement::REFUND },
        ItemKind::Payment => {
            Owed { debtor: issuing, creditor: collecting, amount, code: settlement::PAYMENT }
        }
        ItemKind::Part => Owed { debtor: collecting, creditor: issuing, amount, code: settlement::PART },
        ItemKind::Holding => {
            Owed { debtor: issuing, creditor: collecting, amount, code: settlement::HOLDING }
        }
        ItemKind::Claim => Owed { debtor: issuing, creditor: collecting, amount, code: settlement::CLAIM },
        _ => return Err(corrupt("it is no cash")),
    })
}

/// Settles the greatest set of the queue that leaves no bank below zero. The queue is looked at up to a prefix of each
/// debtor's, so that a bank without cover holds up nobody else's.
fn release(tx: &mut dyn Tx, currency: Currency, now: u64) -> Result<(), Failure> {
    let queued = "number IN (SELECT number FROM (SELECT number, \
        row_number() OVER (PARTITION BY debtor ORDER BY number) AS place FROM center_obligation \
        WHERE state = 0 AND cycle IS NULL AND currency = ?1) AS ranked WHERE place <= ?2) ORDER BY number";
    let queue = Booked::select(tx, queued, &[currency.code().into(), PREFIX.into()])?;
    if queue.is_empty() {
        return Ok(());
    }
    let obligations: Vec<Obligation> = queue.iter().map(Booked::plain).collect();
    let balances = covers(tx, currency, &obligations)?;
    let released: BTreeSet<usize> = gridlock::resolve(&balances, &obligations).into_iter().collect();
    let group: Vec<Booked> = queue
        .into_iter()
        .enumerate()
        .filter(|(index, _)| released.contains(index))
        .map(|(_, booked)| booked)
        .collect();
    if group.is_empty() { Ok(()) } else { settle_group(tx, currency, group, now) }
}

/// What the settlement accounts of all banks of these obligations still cover.
pub(crate) fn covers(
    tx: &mut dyn Tx,
    currency: Currency,
    obligations: &[Obligation],
) -> Result<BTreeMap<Name, Minor>, Failure> {
    let mut covers = BTreeMap::new();
    for bank in obligations.iter().flat_map(|it| [&it.payer, &it.payee]) {
        if !covers.contains_key(bank) {
            covers.insert(bank.clone(), settlement::available(tx, bank, currency)?);
        }
    }
    Ok(covers)
}
