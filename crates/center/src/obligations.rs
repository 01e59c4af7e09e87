//! What banks owe each other, as stored, and how a group of it is settled through the hub.

use feiqian_clearing::net::{Obligation, Positions};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book::{self, Transfer};
use feiqian_ledger::store::{Row, Tx, Value};
use feiqian_money::{Amount, Currency, Minor, MoneyError};
use feiqian_wire::Name;
use feiqian_wire::error::{Code, Fault};

use crate::failure::Failure;
use crate::settlement::{Owed, cycle_credit, cycle_debit, cycle_reserve};
use crate::tables::{CYCLE, NOTICE, OBLIGATION};

/// The most obligations that are settled together: more wait for the next time.
pub(crate) const GROUP: u32 = 4096;

/// How far an obligation has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Open = 0,
    Settled = 1,
    /// `SETTLEMENT_FAILED`: the payment was taken back.
    Unwound = 2,
}

/// An obligation as stored.
#[derive(Debug, Clone)]
pub(crate) struct Booked {
    pub(crate) presentment: Digest,
    pub(crate) debtor: Name,
    pub(crate) creditor: Name,
    pub(crate) amount: Amount,
    pub(crate) transfer: Option<Id16>,
    pub(crate) booked: u64,
    pub(crate) number: u64,
    pub(crate) cycle: Option<u64>,
    pub(crate) due: Due,
}

impl Booked {
    /// The next obligation, not settled yet.
    pub(crate) fn open(
        tx: &mut dyn Tx,
        presentment: Digest,
        owed: &Owed,
        cycle: Option<u64>,
        now: u64,
    ) -> Result<Self, Failure> {
        Ok(Self {
            presentment,
            debtor: Name::new(owed.debtor.clone())?,
            creditor: Name::new(owed.creditor.clone())?,
            amount: owed.amount,
            transfer: None,
            booked: now,
            number: next_number(tx, OBLIGATION.name)?,
            cycle,
            due: Due::Open,
        })
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            presentment: row.digest(0)?,
            debtor: row.parse(1)?,
            creditor: row.parse(2)?,
            amount: Amount::new(row.minor(3)?, row.parse(4)?),
            transfer: row.optional_id(5)?,
            booked: row.unsigned(6)?,
            number: row.unsigned(7)?,
            cycle: row.optional_unsigned(8)?,
            due: match row.integer(9)? {
                0 => Due::Open,
                1 => Due::Settled,
                2 => Due::Unwound,
                _ => return Err(Fault::new(Code::Internal, "an obligation of no known state").into()),
            },
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 10], Failure> {
        let cycle = self.cycle.map(Value::unsigned).transpose()?;
        Ok([
            self.presentment.into(),
            self.debtor.as_str().into(),
            self.creditor.as_str().into(),
            self.amount.minor.into(),
            self.amount.currency.code().into(),
            self.transfer.map_or(Value::Null, Into::into),
            Value::unsigned(self.booked)?,
            Value::unsigned(self.number)?,
            cycle.unwrap_or(Value::Null),
            Value::Integer(self.due as i64),
        ])
    }

    pub(crate) fn select(
        tx: &mut dyn Tx,
        condition: &str,
        parameters: &[Value],
    ) -> Result<Vec<Self>, Failure> {
        let sql = format!("SELECT {} FROM {} WHERE {condition}", OBLIGATION.column_list(), OBLIGATION.name);
        tx.select(&sql, parameters)?.iter().map(Self::from_row).collect()
    }

    pub(crate) fn find(tx: &mut dyn Tx, presentment: &Digest) -> Result<Option<Self>, Failure> {
        tx.find(&OBLIGATION, &[(*presentment).into()])?.map(|row| Self::from_row(&row)).transpose()
    }

    /// As the theory of netting sees it.
    pub(crate) fn plain(&self) -> Obligation {
        Obligation { payer: self.debtor.clone(), payee: self.creditor.clone(), amount: self.amount.minor }
    }

    /// Ends it, and leaves word for both banks.
    pub(crate) fn end(&mut self, tx: &mut dyn Tx, due: Due, told_cycle: u64) -> Result<(), Failure> {
        self.due = due;
        tx.update(&OBLIGATION, &self.values()?)?;
        [&self.debtor, &self.creditor].into_iter().try_for_each(|bank| self.note(tx, bank, told_cycle))
    }

    /// Leaves word for a bank of how it ended.
    pub(crate) fn note(&self, tx: &mut dyn Tx, bank: &Name, told_cycle: u64) -> Result<(), Failure> {
        let values = [
            bank.as_str().into(),
            self.presentment.into(),
            Value::unsigned(told_cycle)?,
            (self.due == Due::Settled).into(),
            false.into(),
        ];
        Ok(tx.insert(&NOTICE, &values)?)
    }
}

/// The next number of a table that counts from 1.
pub(crate) fn next_number(tx: &mut dyn Tx, table: &str) -> Result<u64, Failure> {
    let rows = tx.select(&format!("SELECT COALESCE(MAX(number), 0) FROM {table}"), &[])?;
    Ok(rows.first().map_or(Ok(0), |row| row.unsigned(0))?.saturating_add(1))
}

/// The transfers that settle a group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Legs {
    /// Reserve every net debit into the hub.
    pub(crate) reserve: Vec<Transfer>,
    /// Post them, and pay every net credit out of it.
    pub(crate) commit: Vec<Transfer>,
}

impl Legs {
    /// Of cycle `number` with these obligations.
    pub(crate) fn of(
        number: u64,
        currency: Currency,
        obligations: &[Obligation],
    ) -> Result<Self, MoneyError> {
        let settlement = Positions::of(obligations)?.settlement()?;
        let amount = |minor: &Minor| Amount::new(*minor, currency);
        let debits = settlement.reserve.iter();
        let reserve = debits.clone().map(|(bank, minor)| cycle_reserve(number, bank, amount(minor)));
        let posts = debits.map(|(bank, minor)| cycle_debit(number, bank, amount(minor)));
        let credits = settlement.credit.iter();
        let credits = credits.map(|(bank, minor)| cycle_credit(number, bank, amount(minor)));
        Ok(Self { reserve: reserve.collect(), commit: posts.chain(credits).collect() })
    }
}

/// Books transfers; none is nothing to book.
pub(crate) fn book_all(tx: &mut dyn Tx, transfers: &[Transfer], now: u64) -> Result<(), Failure> {
    if !transfers.is_empty() {
        let _ = book::transfer(tx, transfers, now)?;
    }
    Ok(())
}

/// Settles a group of the queue at once, as a cycle of its own.
pub(crate) fn settle_group(
    tx: &mut dyn Tx,
    currency: Currency,
    mut group: Vec<Booked>,
    now: u64,
) -> Result<(), Failure> {
    let number = next_number(tx, CYCLE.name)?;
    let obligations: Vec<Obligation> = group.iter().map(Booked::plain).collect();
    let legs = Legs::of(number, currency, &obligations).map_err(Fault::from)?;
    let at = Value::unsigned(now)?;
    let values =
        [Value::unsigned(number)?, currency.code().into(), 1_i64.into(), 3_i64.into(), at.clone(), at];
    tx.insert(&CYCLE, &values)?;
    book_all(tx, &legs.reserve, now)?;
    book_all(tx, &legs.commit, now)?;
    for booked in &mut group {
        booked.cycle = Some(number);
        booked.end(tx, Due::Settled, 0)?;
    }
    Ok(())
}
