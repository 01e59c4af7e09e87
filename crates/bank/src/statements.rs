//! Account statements that chain: the closing balance of one is the opening balance of the next.
//!
//! A statement covers the journal numbers after those of the one before. Asking for a statement closes one when
//! something was posted since the last; its lines are read from the journal each time, so they cannot drift.

use std::sync::Arc;

use feiqian_crypto::Id16;
use feiqian_ledger::book::{self, Entry, Kind};
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_wire::Name;
use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};

use crate::Bank;
use crate::chart::{Event, POSTS, id};
use crate::cheques::tables::ACCOUNT_STATEMENT;
use crate::command::open_or_closed;
use crate::refusal::Refusal;

/// The most lines of one statement.
const LINES: usize = 1_000;
const PAGE: u32 = 256;

/// A statement as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StatementRow {
    pub(crate) account: Id16,
    pub(crate) number: u64,
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) opening: Minor,
    pub(crate) closing: Minor,
    pub(crate) lines: u64,
    at: u64,
}

impl StatementRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.id(0)?,
            number: row.unsigned(1)?,
            from: row.unsigned(2)?,
            to: row.unsigned(3)?,
            opening: row.minor(4)?,
            closing: row.minor(5)?,
            lines: row.unsigned(6)?,
            at: row.unsigned(7)?,
        })
    }

    fn values(&self) -> Result<[Value; 8], StoreError> {
        Ok([
            self.account.into(),
            Value::unsigned(self.number)?,
            Value::unsigned(self.from)?,
            Value::unsigned(self.to)?,
            self.opening.into(),
            self.closing.into(),
            Value::unsigned(self.lines)?,
            Value::unsigned(self.at)?,
        ])
    }

    fn last(tx: &mut dyn Tx, account: Id16) -> Result<Option<Self>, StoreError> {
        let sql = format!(
            "SELECT {} FROM account_statement WHERE account = ?1 ORDER BY number DESC LIMIT 1",
            ACCOUNT_STATEMENT.column_list()
        );
        tx.select(&sql, &[account.into()])?.first().map(Self::from_row).transpose()
    }
}

/// What moved the posted balance.
pub(crate) fn posted(entry: &Entry) -> bool {
    matches!(entry.transfer.kind, Kind::Posted | Kind::Post { .. })
}

/// The posted entries of an account after `from`, up to `to`, at most [`LINES`].
pub(crate) fn entries(tx: &mut dyn Tx, account: Id16, from: u64, to: u64) -> Result<Vec<Entry>, Refusal> {
    let mut found = Vec::new();
    let mut after = from;
    loop {
        let page = book::entries(tx, account, after, PAGE)?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.seq;
        found.extend(page.into_iter().filter(|entry| entry.seq <= to && posted(entry)));
        if found.len() >= LINES || after >= to {
            found.truncate(LINES);
            return Ok(found);
        }
    }
}

/// The balance after these entries.
pub(crate) fn balance_after(account: Id16, opening: Minor, entries: &[Entry]) -> Result<Minor, Refusal> {
    let mut balance = opening;
    for entry in entries {
        let amount = entry.transfer.amount;
        balance = if entry.transfer.credit == account {
            balance.checked_add(amount)?
        } else {
            balance.checked_sub(amount)?
        };
    }
    Ok(balance)
}

/// One line of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementLine {
    /// Unix seconds.
    pub at: u64,
    /// The transfer's id in the book.
    pub id: String,
    /// What it was for, as `cheque_pay`.
    pub event: String,
    /// `debit` or `credit`, as the account's holder sees it.
    pub side: String,
    /// Major units.
    pub amount: String,
    /// The balance after it, major units.
    pub balance: String,
    /// The other account: a word for the bank's own, else its token.
    pub counterpart: String,
}

/// An account statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementAnswer {
    /// The bank.
    pub bank: String,
    /// The account's token.
    pub account: String,
    /// The account's name.
    pub name: String,
    /// Counts from 1; 0 when nothing was ever posted.
    pub number: u64,
    /// Its currency.
    pub currency: String,
    /// Balance before the first line, major units: the closing balance of the statement before.
    pub opening: String,
    /// Balance after the last line, major units.
    pub closing: String,
    /// First line's time, Unix seconds; the time of closing when there is none.
    pub from: u64,
    /// When it was closed, Unix seconds.
    pub until: u64,
    /// What was posted, in the order of the journal.
    pub lines: Vec<StatementLine>,
}

impl Bank {
    /// Command `statement`: closes a statement when something was posted since the last; or shows statement `number`.
    pub(crate) async fn statement(
        self: &Arc<Self>,
        name: Name,
        number: Option<u64>,
    ) -> Result<StatementAnswer, Fault> {
        let (now, currency, bank) = (self.now().seconds(), self.config.currency, self.name().to_owned());
        let work = move |tx: &mut dyn Tx| {
            let account = open_or_closed(tx, name.as_str())?;
            let row = match number {
                None => close(tx, account.id, now)?,
                Some(number) => stored(tx, account.id, number)?,
            };
            let entries = entries(tx, account.id, row.from, row.to)?;
            Ok::<_, Refusal>(StatementAnswer {
                bank: bank.clone(),
                account: account.id.to_string(),
                name: account.name.clone(),
                number: row.number,
                currency: currency.code().to_owned(),
                opening: Amount::new(row.opening, currency).to_string(),
                closing: Amount::new(row.closing, currency).to_string(),
                from: entries.first().map_or(row.at, |entry| entry.booked),
                until: row.at,
                lines: lines(account.id, row.opening, &entries, currency)?,
            })
        };
        match number {
            None => Ok(self.seams.store.commit("bank.statement.close", work).await?),
            Some(_) => Ok(self.seams.store.read(work).await?),
        }
    }
}

fn stored(tx: &mut dyn Tx, account: Id16, number: u64) -> Result<StatementRow, Refusal> {
    let row = tx.find(&ACCOUNT_STATEMENT, &[account.into(), Value::unsigned(number)?])?;
    let row = row.ok_or_else(|| Fault::new(Code::NotFound, "the account has no such statement"))?;
    Ok(StatementRow::from_row(&row)?)
}

/// The last statement when nothing was posted since.
fn close(tx: &mut dyn Tx, account: Id16, now: u64) -> Result<StatementRow, Refusal> {
    let last = StatementRow::last(tx, account)?;
    let (from, opening, number) =
        last.as_ref().map_or((0, Minor::ZERO, 0), |last| (last.to, last.closing, last.number));
    let entries = entries(tx, account, from, u64::MAX)?;
    let Some(to) = entries.last().map(|entry| entry.seq) else {
        let nothing =
            StatementRow { account, number, from, to: from, opening, closing: opening, lines: 0, at: now };
        return Ok(last.unwrap_or(nothing));
    };
    let closing = balance_after(account, opening, &entries)?;
    let lines = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let number = number.saturating_add(1);
    let row = StatementRow { account, number, from, to, opening, closing, lines, at: now };
    tx.insert(&ACCOUNT_STATEMENT, &row.values()?)?;
    Ok(row)
}

fn lines(
    account: Id16,
    opening: Minor,
    entries: &[Entry],
    currency: Currency,
) -> Result<Vec<StatementLine>, Refusal> {
    let mut balance = opening;
    let mut lines = Vec::with_capacity(entries.len());
    for entry in entries {
        balance = balance_after(account, balance, std::slice::from_ref(entry))?;
        let transfer = &entry.transfer;
        let credit = transfer.credit == account;
        let other = if credit { transfer.debit } else { transfer.credit };
        let own = POSTS.into_iter().find(|post| id(*post) == other);
        lines.push(StatementLine {
            at: entry.booked,
            id: transfer.id.to_string(),
            event: Event::word(transfer.code).to_owned(),
            side: if credit { "credit" } else { "debit" }.to_owned(),
            amount: Amount::new(transfer.amount, currency).to_string(),
            balance: Amount::new(balance, currency).to_string(),
            counterpart: own.map_or_else(|| other.to_string(), |post| post.as_str().to_owned()),
        });
    }
    Ok(lines)
}
