//! Presentments as stored.

use feiqian_clearing::gross::{Event, State};
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, Tx, Value};
use feiqian_money::Amount;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, codec};

use crate::failure::Failure;
use crate::items::Item;
use crate::tables::PRESENTMENT;

/// A presentment as stored.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) id: Digest,
    pub(crate) kind: ItemKind,
    pub(crate) collecting: String,
    pub(crate) issuing: Option<String>,
    pub(crate) amount: Amount,
    pub(crate) body: Vec<u8>,
    pub(crate) state: State,
    pub(crate) outcome: Option<Vec<u8>>,
    pub(crate) received: u64,
    /// When it came to its state.
    pub(crate) changed: u64,
}

/// The kinds as numbered in the store.
const KINDS: [ItemKind; 7] = [
    ItemKind::Payment,
    ItemKind::Refund,
    ItemKind::Cheque,
    ItemKind::Transfer,
    ItemKind::Holding,
    ItemKind::Claim,
    ItemKind::Part,
];

fn kind_number(kind: ItemKind) -> Result<i64, Failure> {
    let known = (0_i64..).zip(KINDS).find(|(_, known)| *known == kind);
    known.map(|(number, _)| number).ok_or_else(|| corrupt("kind"))
}

pub(crate) fn corrupt(what: &str) -> Failure {
    Failure(Fault::new(Code::Internal, format!("a stored presentment is unreadable: {what}")))
}

impl Stored {
    pub(crate) fn new<I: Item>(
        presentment: &Presentment<I>,
        issuing: Option<String>,
        now: u64,
    ) -> Result<Self, Fault> {
        Ok(Self {
            id: presentment.id,
            kind: I::KIND,
            collecting: presentment.collecting_bank.as_str().to_owned(),
            issuing,
            amount: presentment.amount,
            body: codec::encode(presentment)?,
            state: State::Received,
            outcome: None,
            received: now,
            changed: now,
        })
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, Failure> {
        let number: usize = row.small(1)?;
        Ok(Self {
            id: row.digest(0)?,
            kind: KINDS.get(number).copied().ok_or_else(|| corrupt("kind"))?,
            collecting: row.text(2)?.to_owned(),
            issuing: row.optional_text(3)?.map(str::to_owned),
            amount: Amount::new(row.minor(4)?, row.parse(5)?),
            body: row.blob(6)?.to_vec(),
            state: State::from_number(row.integer(7)?).ok_or_else(|| corrupt("state"))?,
            outcome: row.optional_blob(8)?.map(<[u8]>::to_vec),
            received: row.unsigned(9)?,
            changed: row.unsigned(10)?,
        })
    }

    fn values(&self, now: u64) -> Result<[Value; 11], Failure> {
        Ok([
            self.id.into(),
            kind_number(self.kind)?.into(),
            self.collecting.as_str().into(),
            self.issuing.clone().into(),
            self.amount.minor.into(),
            self.amount.currency.code().into(),
            self.body.as_slice().into(),
            self.state.number().into(),
            self.outcome.clone().into(),
            Value::unsigned(self.received)?,
            Value::unsigned(now)?,
        ])
    }

    pub(crate) fn step(&mut self, event: Event) -> Result<(), Failure> {
        self.state = self.state.after(event).map_err(|error| corrupt(&error.to_string()))?;
        Ok(())
    }

    /// Takes back what was paid, because the banks could not settle it.
    pub(crate) fn undo(&mut self, outcome: Vec<u8>) -> Result<(), Failure> {
        if self.state != State::Settled {
            return Err(corrupt("only what was paid is undone"));
        }
        self.state = State::Refused;
        self.outcome = Some(outcome);
        Ok(())
    }

    /// Who owes for it, once its issuing or receiving bank is known.
    pub(crate) fn debtor(&self) -> Option<&str> {
        match self.kind {
            ItemKind::Refund | ItemKind::Transfer | ItemKind::Part => Some(&self.collecting),
            _ => self.issuing.as_deref(),
        }
    }

    pub(crate) fn presentment<I: Item>(&self) -> Result<Presentment<I>, Failure> {
        Ok(codec::decode(&self.body, Limit::Large)?)
    }

    pub(crate) fn outcome<I: Item>(&self) -> Result<Option<I::Outcome>, Failure> {
        let Some(outcome) = &self.outcome else { return Ok(None) };
        Ok(Some(codec::decode(outcome, Limit::Large)?))
    }

    /// The answer, once there is one.
    pub(crate) fn answer<I: Item>(&self) -> Result<Option<Presented<I::Outcome>>, Failure> {
        Ok(self.outcome::<I>()?.map(|outcome| Presented { id: self.id, outcome }))
    }

    /// The same id with other bytes is a conflict.
    pub(crate) fn check_same(&self, other: &Self) -> Result<(), Fault> {
        if self.body == other.body {
            return Ok(());
        }
        Err(Fault::new(Code::Conflict, "this presentment id was used with other content"))
    }
}

pub(crate) fn find(tx: &mut dyn Tx, id: &Digest) -> Result<Option<Stored>, Failure> {
    tx.find(&PRESENTMENT, &[(*id).into()])?.map(|row| Stored::from_row(&row)).transpose()
}

/// Writes the row as it now is.
pub(crate) fn put(tx: &mut dyn Tx, known: bool, stored: &Stored, now: u64) -> Result<(), Failure> {
    let values = stored.values(now)?;
    let written = if known { tx.update(&PRESENTMENT, &values) } else { tx.insert(&PRESENTMENT, &values) };
    Ok(written?)
}

/// All rows that `condition` selects, in its order.
pub(crate) fn select(tx: &mut dyn Tx, condition: &str, parameters: &[Value]) -> Result<Vec<Stored>, Failure> {
    let sql = format!("SELECT {} FROM {} WHERE {condition}", PRESENTMENT.column_list(), PRESENTMENT.name);
    tx.select(&sql, parameters)?.iter().map(Stored::from_row).collect()
}
