//! Replaying the journal beside the tables of the book.

use std::collections::BTreeMap;

use feiqian_crypto::Id16;

use super::{Finding, Report, Totals};
use crate::{
    book::{ACCOUNT, Account, AccountState, DUE, Entry, Kind, Limit, RESOLUTION, TRANSFER, Transfer},
    journal::{self, Body, Event, Head, Line, Position},
    store::{Row, StoreError, Table, Tx, Value},
};

const PAGE: u32 = 512;

/// Recomputes the book from its journal and compares: the hash chain, every account and transfer, pending resolved once,
/// linked groups whole, limits, debits = credits.
///
/// Holds the accounts and the unresolved pending transfers in memory, nothing else.
///
/// # Errors
///
/// [`StoreError`] if a table cannot be read at all. What disagrees is a finding, not an error.
pub fn check_book(tx: &mut dyn Tx) -> Result<Report, StoreError> {
    let mut replay = Replay { head: Head::START, ..Replay::default() };
    loop {
        let lines = match journal::lines(tx, replay.head.seq, PAGE) {
            Err(StoreError::Corrupt(text)) => {
                replay.add(7, format!("ledger_journal after {}", replay.head.seq), text);
                break;
            }
            lines => lines?,
        };
        if lines.is_empty() {
            break;
        }
        for line in &lines {
            replay.line(tx, line)?;
        }
    }
    if replay.group.is_some() {
        replay.add(2, format!("ledger_journal {}", replay.head.seq), "the last linked group is cut short");
    }
    replay.compare_accounts(tx)?;
    replay.compare_counts(tx)?;
    replay.compare_sides();
    Ok(replay.into_report())
}

/// The four balances: debits pending and posted, credits pending and posted.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
struct Balances([i128; 4]);

struct Opened {
    account: Account,
    time: u64,
    seq: u64,
    balances: Balances,
}

struct Replay {
    head: Head,
    findings: Vec<Finding>,
    accounts: BTreeMap<Id16, Opened>,
    unresolved: BTreeMap<Id16, Transfer>,
    /// Inside a linked group: the next position and the group's time.
    group: Option<(Position, u64)>,
    transfers: u64,
    resolved: u64,
    totals: BTreeMap<String, Totals>,
}

impl Default for Replay {
    fn default() -> Self {
        let (accounts, unresolved, totals) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self {
            head: Head::START,
            findings: Vec::new(),
            accounts,
            unresolved,
            group: None,
            transfers: 0,
            resolved: 0,
            totals,
        }
    }
}

impl Replay {
    fn add(&mut self, invariant: u8, place: impl Into<String>, detail: impl Into<String>) {
        self.findings.push(Finding::new(invariant, place, detail));
    }

    fn line(&mut self, tx: &mut dyn Tx, line: &Line) -> Result<(), StoreError> {
        let place = format!("ledger_journal {}", line.seq);
        let expected = self.head.after(&line.body)?;
        if line.seq != expected.seq {
            self.add(7, &place, format!("number {} is missing before it", expected.seq));
        } else if line.previous != self.head.digest {
            self.add(7, &place, "it does not follow from the line before");
        } else if line.digest != expected.digest {
            self.add(7, &place, "its digest is not that of its content");
        }
        self.head = Head { seq: line.seq, digest: line.digest };
        let Some(event) = line.event() else {
            self.add(7, &place, "its body is no event");
            return Ok(());
        };
        self.link(&event, &place);
        match &event.body {
            Body::Opened(account) => self.open(account, &event),
            Body::Transferred(transfer) => self.transfer(tx, transfer, &event)?,
        }
        Ok(())
    }

    /// Events of a linked group follow one another, counted from 0 to its size, at one time.
    fn link(&mut self, event: &Event, place: &str) {
        let Position { index, count } = event.position;
        let expected = self.group.unwrap_or((Position { index: 0, count }, event.time));
        if (event.position, event.time) != expected || index >= count {
            self.add(2, place, format!("it is number {index} of a linked group of {count}, out of place"));
        }
        let next = index.saturating_add(1);
        self.group = (next < count).then_some((Position { index: next, count }, event.time));
    }

    fn open(&mut self, account: &Account, event: &Event) {
        let opened = Opened {
            account: account.clone(),
            time: event.time,
            seq: event.seq,
            balances: Balances::default(),
        };
        if self.accounts.insert(account.id, opened).is_some() {
            self.add(2, format!("ledger_account ({})", account.id), "it was opened twice");
        }
    }

    fn transfer(&mut self, tx: &mut dyn Tx, transfer: &Transfer, event: &Event) -> Result<(), StoreError> {
        let place = format!("ledger_transfer ({})", transfer.id);
        self.transfers = self.transfers.saturating_add(1);
        let stored = readable(tx.find(&TRANSFER, &[transfer.id.into()]), Entry::from_row)?;
        match stored {
            Ok(Some(entry))
                if entry.transfer == *transfer && entry.booked == event.time && entry.seq == event.seq => {}
            Ok(Some(entry)) if entry.seq != event.seq => {
                self.add(2, &place, format!("the journal has it at {} and at {}", entry.seq, event.seq));
            }
            Ok(Some(_)) => self.add(7, &place, format!("it differs from line {} of the journal", event.seq)),
            Ok(None) => {
                self.add(7, &place, format!("it is missing, line {} of the journal has it", event.seq))
            }
            Err(text) => self.add(7, &place, text),
        }
        let reserved = match transfer.kind.resolves() {
            Some(pending) => self.resolve(tx, transfer, pending)?,
            None => None,
        };
        if let Kind::Pending { .. } = transfer.kind {
            self.unresolved.insert(transfer.id, transfer.clone());
        }
        self.book(transfer, reserved.as_ref(), &place);
        Ok(())
    }

    fn resolve(
        &mut self,
        tx: &mut dyn Tx,
        transfer: &Transfer,
        pending: Id16,
    ) -> Result<Option<Transfer>, StoreError> {
        let place = format!("ledger_resolution ({pending})");
        self.resolved = self.resolved.saturating_add(1);
        match readable(tx.find(&RESOLUTION, &[pending.into()]), |row| row.id(1))? {
            Ok(Some(by)) if by == transfer.id => {}
            Ok(Some(by)) => {
                self.add(2, &place, format!("resolved by {by}, in the journal by {}", transfer.id))
            }
            Ok(None) => self.add(7, &place, format!("it is missing, {} resolved it", transfer.id)),
            Err(text) => self.add(7, &place, text),
        }
        let Some(reserved) = self.unresolved.remove(&pending) else {
            self.add(2, &place, format!("{} resolves what is not pending", transfer.id));
            return Ok(None);
        };
        let same_sides = (reserved.debit, reserved.credit) == (transfer.debit, transfer.credit);
        if !same_sides || transfer.amount > reserved.amount {
            self.add(2, &place, format!("{} does not fit it", transfer.id));
        }
        Ok(Some(reserved))
    }

    fn book(&mut self, transfer: &Transfer, reserved: Option<&Transfer>, place: &str) {
        let amount = i128::from(transfer.amount.value());
        let released = reserved.map_or(0, |reserved| i128::from(reserved.amount.value()));
        let (pending, posted) = match transfer.kind {
            Kind::Posted => (0, amount),
            Kind::Pending { .. } => (amount, 0),
            Kind::Post { .. } => (0_i128.saturating_sub(released), amount),
            Kind::Void { .. } | Kind::Expire { .. } => (0_i128.saturating_sub(released), 0),
        };
        let mut currencies = Vec::new();
        for (id, changes) in
            [(transfer.debit, [pending, posted, 0, 0]), (transfer.credit, [0, 0, pending, posted])]
        {
            let Some(opened) = self.accounts.get_mut(&id) else {
                self.add(7, place, format!("account {id} was never opened"));
                continue;
            };
            for (balance, change) in opened.balances.0.iter_mut().zip(changes) {
                *balance = balance.saturating_add(change);
            }
            currencies.push(opened.account.currency);
            if let Some(broken) = opened.balances.broken(opened.account.limit) {
                self.add(
                    1,
                    format!("ledger_account ({id})"),
                    format!("{broken} after transfer {}", transfer.id),
                );
            }
        }
        if let [debit, credit] = currencies.as_slice()
            && debit != credit
        {
            self.add(1, place, "its accounts have different currencies");
        }
    }

    fn compare_accounts(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let accounts = std::mem::take(&mut self.accounts);
        for (id, opened) in &accounts {
            let place = format!("ledger_account ({id})");
            let state = match readable(tx.find(&ACCOUNT, &[(*id).into()]), AccountState::from_row)? {
                Ok(Some(state)) => state,
                Ok(None) => {
                    self.add(7, place, format!("it is missing, line {} of the journal opens it", opened.seq));
                    continue;
                }
                Err(text) => {
                    self.add(7, place, text);
                    continue;
                }
            };
            if state.account != opened.account || state.opened != opened.time || state.seq != opened.seq {
                self.add(7, &place, format!("it differs from line {} of the journal", opened.seq));
            }
            if Balances::of(&state) != opened.balances {
                self.add(7, &place, "its balances are not what the journal adds up to");
            }
            self.count(&state);
        }
        self.accounts = accounts;
        Ok(())
    }

    fn count(&mut self, state: &AccountState) {
        let totals = self.totals.entry(state.account.currency.code().to_owned()).or_default();
        for (total, balance) in [
            (&mut totals.debits_pending, state.debits_pending),
            (&mut totals.debits_posted, state.debits_posted),
            (&mut totals.credits_pending, state.credits_pending),
            (&mut totals.credits_posted, state.credits_posted),
        ] {
            *total = total.saturating_add(u128::from(balance.value()));
        }
    }

    /// Rows of which the journal knows nothing show as a wrong number of rows; the due list holds what can expire, no more.
    fn compare_counts(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let due: Vec<(u64, Id16)> =
            self.unresolved.iter().filter_map(|(id, pending)| Some((pending.kind.expires()?, *id))).collect();
        for (expires, id) in &due {
            if tx.find(&DUE, &[Value::unsigned(*expires)?, (*id).into()])?.is_none() {
                self.add(
                    7,
                    format!("ledger_due ({expires}, {id})"),
                    "it is missing, so the pending transfer never expires",
                );
            }
        }
        let accounts = u64::try_from(self.accounts.len()).unwrap_or(u64::MAX);
        let due = u64::try_from(due.len()).unwrap_or(u64::MAX);
        let expected: [(&Table, u64); 4] =
            [(&ACCOUNT, accounts), (&TRANSFER, self.transfers), (&RESOLUTION, self.resolved), (&DUE, due)];
        for (table, expected) in expected {
            let rows = tx.select(&format!("SELECT count(*) FROM {}", table.name), &[])?;
            let stored = rows.first().map_or(Ok(0), |row| row.unsigned(0))?;
            if stored != expected {
                self.add(7, table.name, format!("{stored} rows, the journal accounts for {expected}"));
            }
        }
        Ok(())
    }

    fn compare_sides(&mut self) {
        let totals = self.totals.clone();
        for (currency, totals) in totals {
            if totals.debits_pending != totals.credits_pending {
                self.add(
                    1,
                    &currency,
                    format!("pending debits {} ≠ credits {}", totals.debits_pending, totals.credits_pending),
                );
            }
            if totals.debits_posted != totals.credits_posted {
                self.add(
                    1,
                    &currency,
                    format!("posted debits {} ≠ credits {}", totals.debits_posted, totals.credits_posted),
                );
            }
        }
    }

    fn into_report(self) -> Report {
        let accounts = u64::try_from(self.accounts.len()).unwrap_or(u64::MAX);
        Report {
            findings: self.findings,
            totals: self.totals,
            accounts,
            transfers: self.transfers,
            head: self.head,
        }
    }
}

impl Balances {
    fn of(state: &AccountState) -> Self {
        let balances =
            [state.debits_pending, state.debits_posted, state.credits_pending, state.credits_posted];
        Self(balances.map(|balance| i128::from(balance.value())))
    }

    /// Why these balances may not be, if so.
    fn broken(&self, limit: Limit) -> Option<&'static str> {
        let [debits_pending, debits_posted, credits_pending, credits_posted] = self.0;
        if self.0.iter().any(|balance| *balance < 0) {
            return Some("a balance is negative");
        }
        match limit {
            Limit::DebitsNotAboveCredits if debits_pending.saturating_add(debits_posted) > credits_posted => {
                Some("debits are above credits")
            }
            Limit::CreditsNotAboveDebits
                if credits_pending.saturating_add(credits_posted) > debits_posted =>
            {
                Some("credits are above debits")
            }
            _ => None,
        }
    }
}

/// The row read by `read`; a row that cannot be understood is `Ok(Err(why))`, a failure to read at all an error.
fn readable<T>(
    found: Result<Option<Row>, StoreError>,
    read: impl FnOnce(&Row) -> Result<T, StoreError>,
) -> Result<Result<Option<T>, String>, StoreError> {
    match found.and_then(|row| row.as_ref().map(read).transpose()) {
        Ok(value) => Ok(Ok(value)),
        Err(StoreError::Corrupt(text)) => Ok(Err(text)),
        Err(error) => Err(error),
    }
}
