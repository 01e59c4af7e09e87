//! Recomputes everything a center claims from primary rows.
//!
//! Checks, in one snapshot: every row's check; the book against its journal; each presentment against its own bytes,
//! its transfers and its obligation; obligations against settlement transfers; that obligations net to zero; that the
//! base is the sum of all fundings and each settlement account what fundings and obligations make it; the order,
//! signatures and views of the log of pinned keysets; that the net positions of every cycle sum to zero, its transfers
//! are those of its obligations, each obligation is in at most one cycle and its banks are told of its end; that no
//! cheque is paid to two presentments and every paid file is the presented one with the drawee's receipt; that notices,
//! revocations and lists belong to what they are about; the log of offline keysets, every attested identity and the
//! exposed lists against their own bytes and signatures.

mod cheques;
mod cycles;
mod lists;
mod offline;
mod pruned;

use std::collections::{BTreeMap, BTreeSet};

use feiqian_cheque::messages::ChequeItem;
use feiqian_clearing::gross::State;
use feiqian_clearing::presentment::ItemKind;
use feiqian_clearing::remittance::TransferItem;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::audit::{Finding, check_book, check_rows};
use feiqian_ledger::book::{self, AccountState, Transfer};
use feiqian_ledger::store::{Row, Store, StoreError, StoreExt, Table, Tx, Value};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_offline_cash::claim::ClaimItem;
use feiqian_offline_cash::messages::PartItem;
use feiqian_offline_cash::pay::CashItem as HoldingItem;
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::keyset::PinLog;
use feiqian_online_cash::refund::RefundItem;
use feiqian_pki::TrustedRoot;
use feiqian_wire::error::Fault;

use crate::failure::Failure;
use crate::items::{Item, Verdict};
use crate::membership::all_banks;
use crate::obligations::{Booked, Due};
use crate::pins;
use crate::settlement::{self, Owed, base_account, hub_account, settlement_account};
use crate::stored::Stored;
use crate::tables::{FUNDING, NOTICE, OBLIGATION, PIN, PRESENTMENT, ROOT, TABLES};

const PAGE: u32 = 256;

/// What an audit of a center found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What disagrees; empty if all is well.
    pub findings: Vec<Finding>,
    /// Every member's settlement account, by name: for comparison with the members' mirrors.
    pub settlements: Vec<Balance>,
    /// How many presentments are forwarded and not yet concluded: until then mirrors may differ.
    pub forwarded: u64,
}

/// A member's settlement account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balance {
    /// The member.
    pub bank: String,
    /// The currency.
    pub currency: Currency,
    /// Posted.
    pub posted: Minor,
    /// Reserved for items that it pays.
    pub reserved: Minor,
    /// Announced by items that others pay.
    pub announced: Minor,
}

/// Audits the store of a center, read only.
///
/// # Errors
/// `INTERNAL` or `UNAVAILABLE` when the store cannot be read at all. What disagrees is a finding, not an error.
pub async fn audit(store: &dyn Store) -> Result<Report, Fault> {
    let work = |tx: &mut dyn Tx| -> Result<Report, Failure> { Ok(check(tx)?) };
    Ok(store.read(work).await?)
}

/// The same inside a transaction.
///
/// # Errors
/// [`StoreError`] if a table cannot be read at all.
pub fn check(tx: &mut dyn Tx) -> Result<Report, StoreError> {
    let mut audit = Audit { findings: check_rows(tx, TABLES)?, ..Audit::default() };
    audit.findings.extend(check_book(tx)?.findings);
    audit.pruned(tx)?;
    audit.presentments(tx)?;
    audit.obligations(tx)?;
    audit.cycles(tx)?;
    audit.notices(tx)?;
    audit.lists(tx)?;
    audit.fundings(tx)?;
    audit.transfers(tx)?;
    audit.pins(tx)?;
    audit.offline(tx)?;
    let settlements = audit.settlements(tx)?;
    Ok(Report { findings: audit.findings, settlements, forwarded: audit.forwarded })
}

#[derive(Default)]
struct Audit {
    findings: Vec<Finding>,
    forwarded: u64,
    /// Obligations that settled presentments call for.
    owed: BTreeMap<Digest, Owed>,
    /// Cheques: who owes, and how far they have come.
    deferred: BTreeMap<Digest, (Owed, State)>,
    /// Cheques by id: the presentment they are paid to.
    paid_cheques: BTreeMap<Digest, Digest>,
    /// Numbers of obligations.
    numbers: BTreeSet<u64>,
    /// Transfers that rows account for.
    explained: BTreeSet<Id16>,
    /// Credits less debits that rows account for, by account.
    expected: BTreeMap<Id16, i128>,
    /// What reserved cycles have announced to the hub.
    announced: BTreeMap<Currency, i128>,
    /// Sum of fundings by currency.
    base: BTreeMap<Currency, i128>,
    /// How many obligations are deleted, and up to when presentments are.
    gone: u64,
    pruned_until: u64,
    /// What transfers moved that no row calls for, less what deleted obligations did, by account: zero.
    forgotten: BTreeMap<Id16, i128>,
    /// Net of obligations by currency and bank.
    nets: BTreeMap<(Currency, String), i128>,
}

/// Calls `each` with every row of a table, in the order of its key, a page at a time.
fn every_row(
    tx: &mut dyn Tx,
    table: &Table,
    mut each: impl FnMut(&mut dyn Tx, &Row) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let (columns, name, key) = (table.column_list(), table.name, table.key_list());
    let mut after: Option<Value> = None;
    loop {
        let behind = if after.is_some() { format!("WHERE {key} > ?1") } else { String::new() };
        let sql = format!("SELECT {columns} FROM {name} {behind} ORDER BY {key} LIMIT {PAGE}");
        let rows = tx.select(&sql, after.as_slice())?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.value(0)?.clone());
        for row in &rows {
            each(tx, row)?;
        }
    }
}

fn place(table: &Table, id: impl std::fmt::Display) -> String {
    format!("{} {id}", table.name)
}

impl Audit {
    fn add(&mut self, invariant: u8, place: impl Into<String>, detail: impl Into<String>) {
        self.findings.push(Finding::new(invariant, place, detail));
    }

    fn presentments(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        every_row(tx, &PRESENTMENT, |tx, row| {
            let id = row.digest(0).map_or_else(|_| "?".to_owned(), |id| id.to_string());
            let place = place(&PRESENTMENT, id);
            let checked = Stored::from_row(row).and_then(|stored| match stored.kind {
                ItemKind::Refund => self.presentment::<RefundItem>(tx, &place, &stored),
                ItemKind::Cheque => self
                    .presentment::<ChequeItem>(tx, &place, &stored)
                    .and_then(|()| self.cheque(&place, &stored)),
                ItemKind::Transfer => self.presentment::<TransferItem>(tx, &place, &stored),
                ItemKind::Holding => self.presentment::<HoldingItem>(tx, &place, &stored),
                ItemKind::Claim => self.presentment::<ClaimItem>(tx, &place, &stored),
                ItemKind::Part => self.presentment::<PartItem>(tx, &place, &stored),
                _ => self.presentment::<CashItem>(tx, &place, &stored),
            });
            checked.or_else(|Failure(fault)| {
                self.add(7, &place, fault.to_string());
                Ok(())
            })
        })
    }

    fn presentment<I: Item>(&mut self, tx: &mut dyn Tx, place: &str, stored: &Stored) -> Result<(), Failure> {
        let presentment = stored.presentment::<I>()?;
        if presentment.id != stored.id || !presentment.is_consistent(I::KIND, &presentment.item.digest()?) {
            self.add(2, place, "the id is not that of bank, account and item");
        }
        if presentment.collecting_bank.as_str() != stored.collecting || presentment.amount != stored.amount {
            self.add(7, place, "bank or amount are not those of the message");
        }
        if stored.state == State::Forwarded {
            self.forwarded = self.forwarded.saturating_add(1);
        }
        let outcome = stored.outcome::<I>()?;
        let verdict = outcome.as_ref().map(|outcome| I::verdict(&presentment, outcome));
        let fits = match stored.state {
            State::Received | State::Forwarded => verdict.is_none(),
            State::Settled => verdict.is_some_and(|verdict| verdict != Verdict::Release),
            State::Refused => verdict == Some(Verdict::Release),
        };
        if !fits {
            self.add(8, place, format!("the outcome does not fit the state {:?}", stored.state));
        }
        let issuing = stored.issuing.clone().unwrap_or_default();
        let owed = I::owed(&presentment, &issuing);
        if I::DEFERRED {
            self.deferred.insert(stored.id, (owed, stored.state));
            return Ok(());
        }
        let told = tx.find(&NOTICE, &[owed.debtor.as_str().into(), stored.id.into()])?;
        let told = told.map(|row| row.boolean(3)).transpose()?;
        if told != outcome.as_ref().is_some_and(I::is_news_to_payer).then_some(true) {
            self.add(
                8,
                place,
                "the payer's bank is told of an end that it gave itself, or not told of another",
            );
        }
        let paid = verdict.and_then(|verdict| verdict.paid(owed.amount.minor));
        self.reserve(tx, place, stored, (&owed, paid.unwrap_or(owed.amount.minor)))?;
        if let (State::Settled, Some(paid)) = (stored.state, paid) {
            let amount = Amount::new(paid, owed.amount.currency);
            self.owed.insert(stored.id, Owed { amount, ..owed });
        }
        Ok(())
    }

    /// The transfers of a presentment are exactly those of its state.
    fn reserve(
        &mut self,
        tx: &mut dyn Tx,
        place: &str,
        stored: &Stored,
        (owed, paid): (&Owed, Minor),
    ) -> Result<(), Failure> {
        let id = &stored.id;
        let reserved = self.transfer(tx, place, &owed.reserve(id))?;
        let settled = self.transfer(tx, place, &owed.settle(id, paid))?;
        let released = self.transfer(tx, place, &owed.release(id))?;
        let fits = match stored.state {
            State::Received => !reserved && !settled && !released,
            State::Forwarded => reserved && !settled && !released,
            State::Settled => reserved && settled && !released,
            // Refused by the center itself before anything was reserved, or released.
            State::Refused => reserved == released && !settled,
        };
        if !fits {
            self.add(8, place, format!("the transfers are not those of the state {:?}", stored.state));
        }
        Ok(())
    }

    /// Whether the transfer is booked; a finding if it is booked otherwise.
    fn transfer(&mut self, tx: &mut dyn Tx, place: &str, wanted: &Transfer) -> Result<bool, Failure> {
        let Some(entry) = book::find_transfer(tx, wanted.id)? else { return Ok(false) };
        self.explained.insert(wanted.id);
        if entry.transfer != *wanted {
            self.add(2, place, format!("transfer {} is not what the row says", wanted.id));
        }
        Ok(true)
    }

    fn obligations(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        every_row(tx, &OBLIGATION, |tx, row| {
            let place = place(&OBLIGATION, row.digest(0)?);
            let booked = match Booked::from_row(row) {
                Ok(booked) => booked,
                Err(Failure(fault)) => {
                    self.add(7, &place, fault.to_string());
                    return Ok(());
                }
            };
            self.numbers.insert(booked.number);
            match self.deferred.remove(&booked.presentment) {
                Some((owed, state)) => {
                    self.compare(&place, &booked, &owed);
                    self.deferred_obligation(tx, &place, &booked, state)?;
                }
                None => {
                    match self.owed.remove(&booked.presentment) {
                        None => self.add(5, &place, "no settled presentment calls for it"),
                        Some(owed) => self.compare(&place, &booked, &owed),
                    }
                    let own = Some(settlement::settle_id(&booked.presentment));
                    if booked.transfer != own || booked.due != Due::Settled {
                        self.add(5, &place, "its transfer is another presentment's");
                    }
                }
            }
            if booked.due == Due::Settled {
                let value = i128::from(booked.amount.minor.value());
                let currency = booked.amount.currency;
                let moved = [(&booked.creditor, value), (&booked.debtor, value.saturating_neg())];
                for (bank, signed) in moved {
                    move_by(&mut self.expected, settlement_account(bank, currency), signed);
                    move_by(&mut self.nets, (currency, bank.as_str().to_owned()), signed);
                }
            }
            Ok(())
        })?;
        let count = u64::try_from(self.numbers.len()).unwrap_or(u64::MAX).saturating_add(self.gone);
        if self.numbers.last().is_some_and(|last| *last != count) {
            self.add(
                8,
                OBLIGATION.name,
                format!("{count} obligations, and a number is missing or used twice"),
            );
        }
        for (id, (_, state)) in std::mem::take(&mut self.deferred) {
            if state == State::Settled {
                self.add(5, place(&PRESENTMENT, id), "paid without an obligation");
            }
        }
        for id in std::mem::take(&mut self.owed).into_keys() {
            self.add(5, place(&PRESENTMENT, id), "settled without an obligation");
        }
        let mut sums: BTreeMap<Currency, i128> = BTreeMap::new();
        for ((currency, _), net) in &self.nets {
            move_by(&mut sums, *currency, *net);
        }
        for (currency, sum) in sums.into_iter().filter(|(_, sum)| *sum != 0) {
            self.add(5, currency.code(), format!("obligations net to {sum}, not to zero"));
        }
        Ok(())
    }

    fn compare(&mut self, place: &str, booked: &Booked, owed: &Owed) {
        let found = (booked.debtor.as_str(), booked.creditor.as_str(), booked.amount);
        if found != (owed.debtor.as_str(), owed.creditor.as_str(), owed.amount) {
            self.add(5, place, "it is not what its presentment says");
        }
    }

    fn fundings(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        every_row(tx, &FUNDING, |tx, row| {
            let (id, bank) = (row.id(0)?, row.text(1)?);
            let (amount, currency): (Minor, Currency) = (row.minor(3)?, row.parse(4)?);
            let place = place(&FUNDING, id);
            let (base, account) = (base_account(currency), settlement_account(bank, currency));
            let wanted = Transfer::posted(id, base, account, amount, settlement::FUNDING);
            match self.transfer(tx, &place, &wanted) {
                Ok(true) => {}
                Ok(false) => self.add(6, &place, "its transfer is not booked"),
                Err(Failure(fault)) => self.add(7, &place, fault.to_string()),
            }
            let value = i128::from(amount.value());
            move_by(&mut self.expected, account, value);
            move_by(&mut self.base, currency, value);
            Ok(())
        })
    }

    /// Nothing is booked that no row accounts for.
    fn transfers(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut after = 0_i64;
        loop {
            let sql = "SELECT seq, id, debit, credit, amount, kind, code, booked FROM ledger_transfer \
                       WHERE seq > ?1 ORDER BY seq LIMIT ?2";
            let rows = tx.select(sql, &[after.into(), PAGE.into()])?;
            let Some(last) = rows.last() else {
                self.compare_forgotten();
                return Ok(());
            };
            after = last.integer(0)?;
            for row in &rows {
                let id = row.id(1)?;
                if !self.explained.contains(&id) {
                    self.unexplained(id, row)?;
                }
            }
        }
    }

    fn settlements(&mut self, tx: &mut dyn Tx) -> Result<Vec<Balance>, StoreError> {
        let mut settlements = Vec::new();
        let banks = all_banks(tx).unwrap_or_else(|Failure(fault)| {
            self.add(7, "center_bank", fault.to_string());
            Vec::new()
        });
        let mut currencies = BTreeSet::new();
        for bank in banks {
            let (name, currency) = (bank.entry.name.as_str().to_owned(), bank.entry.currency);
            currencies.insert(currency);
            let place = format!("settlement account of {name}");
            let id = settlement_account(&name, currency);
            let Some(state) = self.account(tx, &place, id) else { continue };
            let expected = self.expected.remove(&id).unwrap_or(0);
            if state.balance() != expected {
                self.add(
                    6,
                    &place,
                    format!("{} posted, fundings and obligations make {expected}", state.balance()),
                );
            }
            let posted = state.credits_posted.checked_sub(state.debits_posted).unwrap_or(Minor::ZERO);
            let (reserved, announced) = (state.debits_pending, state.credits_pending);
            settlements.push(Balance { bank: name, currency, posted, reserved, announced });
        }
        for account in std::mem::take(&mut self.expected).into_keys() {
            self.add(6, format!("ledger_account {account}"), "moved by fundings or obligations of no member");
        }
        for currency in currencies {
            self.base_and_hub(tx, currency);
        }
        Ok(settlements)
    }

    fn base_and_hub(&mut self, tx: &mut dyn Tx, currency: Currency) {
        let place = format!("base account of {currency}");
        if let Some(state) = self.account(tx, &place, base_account(currency)) {
            let funded = self.base.get(&currency).copied().unwrap_or(0);
            if state.balance() != funded.saturating_neg() {
                self.add(6, &place, format!("{} posted, fundings are {funded}", state.balance()));
            }
        }
        let place = format!("hub account of {currency}");
        // What a reserved cycle has announced to it is all it may hold.
        let announced = self.announced.get(&currency).copied().unwrap_or(0);
        let still = |state: &AccountState| {
            state.balance() == 0
                && state.debits_pending.is_zero()
                && i128::from(state.credits_pending.value()) == announced
        };
        if let Some(state) = self.account(tx, &place, hub_account(currency))
            && !still(&state)
        {
            self.add(5, &place, "it is not zero");
        }
    }

    fn account(&mut self, tx: &mut dyn Tx, place: &str, id: Id16) -> Option<AccountState> {
        match book::account(tx, id) {
            Ok(Some(state)) => return Some(state),
            Ok(None) => self.add(6, place, "there is no such account"),
            Err(error) => self.add(7, place, error.to_string()),
        }
        None
    }

    /// The root of the store; `None` before its first start, or when it is unreadable, which is a finding.
    fn root(&mut self, tx: &mut dyn Tx) -> Result<Option<TrustedRoot>, StoreError> {
        let Some(row) = tx.find(&ROOT, &[0_i64.into()])? else { return Ok(None) };
        match TrustedRoot::from_der(row.blob(1)?) {
            Ok(root) => Ok(Some(root)),
            Err(error) => {
                self.add(7, ROOT.name, error.to_string());
                Ok(None)
            }
        }
    }

    /// Replays the log: numbers without gaps, signatures, one keyset an epoch, the views as they were shown.
    fn pins(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let Some(root) = self.root(tx)? else { return Ok(()) };
        let mut log = PinLog::new();
        let mut expected = 0_u64;
        every_row(tx, &PIN, |_, row| {
            let number = row.unsigned(0)?;
            let place = place(&PIN, number);
            if number != expected {
                self.add(7, &place, format!("number {expected} was expected"));
            }
            expected = number.saturating_add(1);
            let appended = pins::entry_of(row).and_then(|entry| {
                let keyset = &entry.keyset;
                let named = (keyset.bank.as_str(), keyset.epoch.0, keyset.currency.code(), keyset.digest());
                let stated = (row.text(1)?, row.unsigned(2)?, row.text(3)?, row.digest(4)?);
                if named != stated {
                    return Err(Failure(Fault::new(
                        feiqian_wire::error::Code::KeysetInvalid,
                        "the row is not about its keyset",
                    )));
                }
                Ok(log.append(entry, &root)?)
            });
            if let Err(Failure(fault)) = appended {
                self.add(7, &place, fault.to_string());
            } else if log.view() != row.digest(5)? {
                self.add(7, &place, "the view shown was another");
            }
            Ok(())
        })
    }
}

fn move_by<K: Ord>(sums: &mut BTreeMap<K, i128>, key: K, value: i128) {
    let sum = sums.entry(key).or_insert(0);
    *sum = sum.saturating_add(value);
}

#[cfg(test)]
mod tests {
    use super::*;
    use feiqian_ledger::book::Kind;

    #[test]
    fn a_reserve_never_expires_by_itself() {
        let owed = Owed {
            debtor: "north".into(),
            creditor: "south".into(),
            amount: Amount::new(Minor::ONE, Currency::CNY),
            code: settlement::PAYMENT,
        };
        assert_eq!(owed.reserve(&Digest::ZERO).kind, Kind::Pending { expires: None });
    }
}
