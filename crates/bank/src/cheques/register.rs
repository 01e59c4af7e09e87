//! The register's rows, and what an event of a cheque moves in the book.

use feiqian_cheque::messages::RegisterLine;
use feiqian_cheque::register::{Facts, Repeat};
use feiqian_cheque::table::Movement;
use feiqian_cheque::{Day, Effect, Entry, Event, Notice, Payee, State};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, Tx, Value};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Timestamp, U64};

use super::tables::CHEQUE;
use crate::chart::{self, Post, along, id, transfer_id};
use crate::refusal::{Refusal, from_blob, to_blob};

/// A cheque as stored.
#[derive(Debug, Clone)]
pub(crate) struct ChequeRow {
    pub(crate) account: Id16,
    pub(crate) number: u64,
    /// `None` while only allotted.
    pub(crate) id: Option<Digest>,
    pub(crate) entry: Entry,
    pub(crate) amount: Option<Minor>,
    pub(crate) notice: Option<Notice>,
    /// The file as the bank last signed it for the drawer.
    pub(crate) document: Option<Vec<u8>>,
    pub(crate) holder: Option<Payee>,
    /// The last registered endorsement's block; the cheque's id while there is none.
    pub(crate) endorsed: Option<Digest>,
    pub(crate) endorsements: u64,
    /// How often the amount was reserved: each reserve is a transfer of its own.
    pub(crate) reserves: u64,
    /// The day on which it was paid.
    pub(crate) paid: Option<Day>,
}

/// What nobody has looked at does not hold.
pub(crate) fn facts(now: Timestamp) -> Facts {
    Facts {
        today: Day::of(now),
        mandate_met: false,
        within_limit: false,
        number_unused: false,
        certificate_valid: false,
        bound_to_account: false,
        by_drawer: false,
        funds_available: false,
        negotiable: false,
        by_holder: false,
        next_sequence: false,
        originator: None,
        drawer_is_holder: false,
        chain_fault: None,
        payee_matches: false,
        cycle_open: false,
        register_matches: false,
        notice_matches: false,
        interbank_final: false,
        repeat: Repeat::New,
    }
}

fn optional<T>(value: Option<&T>) -> Result<Value, StoreError>
where
    T: serde::Serialize,
{
    value.map_or(Ok(Value::Null), |value| Ok(to_blob(value)?.into()))
}

impl ChequeRow {
    pub(crate) fn allotted(account: Id16, number: u64, today: Day) -> Self {
        Self {
            account,
            number,
            id: None,
            entry: Entry::allotted(today),
            amount: None,
            notice: None,
            document: None,
            holder: None,
            endorsed: None,
            endorsements: 0,
            reserves: 0,
            paid: None,
        }
    }

    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let entry: Entry = from_blob(row.blob(7)?)?;
        if entry.state.number() != row.integer(3)? || entry.reserved != row.boolean(4)? {
            return Err(StoreError::Corrupt("cheque: state or reserve is not the entry's".to_owned()));
        }
        Ok(Self {
            account: row.id(0)?,
            number: row.unsigned(1)?,
            id: row.optional(2, Row::digest)?,
            entry,
            amount: row.optional(6, Row::minor)?,
            notice: row.optional_blob(8)?.map(from_blob).transpose()?,
            document: row.optional_blob(9)?.map(<[u8]>::to_vec),
            holder: row.optional_blob(10)?.map(from_blob).transpose()?,
            endorsed: row.optional(11, Row::digest)?,
            endorsements: row.unsigned(12)?,
            reserves: row.unsigned(13)?,
            paid: row.optional(14, Row::parse)?,
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 15], StoreError> {
        let good_until = self.id.map(|_| self.entry.date.last_good_day().to_string());
        Ok([
            self.account.into(),
            Value::unsigned(self.number)?,
            self.id.into(),
            Value::Integer(self.entry.state.number()),
            self.entry.reserved.into(),
            good_until.into(),
            self.amount.into(),
            to_blob(&self.entry)?.into(),
            optional(self.notice.as_ref())?,
            self.document.clone().into(),
            optional(self.holder.as_ref())?,
            self.endorsed.into(),
            Value::unsigned(self.endorsements)?,
            Value::unsigned(self.reserves)?,
            self.paid.map(|day| day.to_string()).into(),
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, account: Id16, number: u64) -> Result<Option<Self>, StoreError> {
        let key = [account.into(), Value::unsigned(number)?];
        tx.find(&CHEQUE, &key)?.map(|row| Self::from_row(&row)).transpose()
    }

    /// The row of an account's own number.
    pub(crate) fn need(tx: &mut dyn Tx, account: Id16, number: u64) -> Result<Self, Refusal> {
        let row = Self::find(tx, account, number)?;
        Ok(row.ok_or_else(|| {
            Fault::new(Code::NotFound, "the number is of none of the account's cheque books")
        })?)
    }

    pub(crate) fn by_id(tx: &mut dyn Tx, id: &Digest) -> Result<Option<Self>, StoreError> {
        let sql = format!("SELECT {} FROM cheque WHERE id = ?1", CHEQUE.column_list());
        tx.select(&sql, &[(*id).into()])?.first().map(Self::from_row).transpose()
    }

    pub(crate) fn update(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        tx.update(&CHEQUE, &self.values()?)
    }

    /// The one way in which a cheque's state changes.
    pub(crate) fn apply(
        &mut self,
        event: Event,
        facts: &Facts,
    ) -> Result<Effect, feiqian_cheque::register::Refusal> {
        let effect = self.entry.apply(event, facts)?;
        self.entry = effect.entry.clone();
        Ok(effect)
    }

    fn money(&self) -> Result<(Digest, Minor), StoreError> {
        self.id.zip(self.amount).ok_or(StoreError::Missing("the cheque's amount"))
    }

    pub(crate) fn reserve(&self) -> Result<book::Transfer, StoreError> {
        let (cheque, amount) = self.money()?;
        let event = chart::Event::ChequeReserve;
        let reserve = transfer_id(event, self.reserves, &cheque);
        let (debit, credit) = (self.account, id(Post::CertifiedCheques));
        Ok(book::Transfer::pending(reserve, debit, credit, amount, event as u16, None))
    }

    /// Books what an event moves. `reserved`: as it was before the event. `to`: where paid money goes.
    pub(crate) fn book(
        &mut self,
        tx: &mut dyn Tx,
        movement: Movement,
        reserved: bool,
        presentment: &Digest,
        to: Id16,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let (_, amount) = self.money()?;
        let transfers = match movement {
            Movement::None => return Ok(()),
            Movement::Reserve => {
                self.reserves = self.reserves.saturating_add(1);
                vec![self.reserve()?]
            }
            Movement::Release => chart::resolve(&[self.reserve()?], false),
            Movement::Pay if reserved => {
                let mut transfers = chart::resolve(&[self.reserve()?], true);
                let path = [id(Post::CertifiedCheques), to];
                transfers.extend(along(chart::Event::ChequePay, presentment, &path, amount));
                transfers
            }
            Movement::Pay => along(chart::Event::ChequePay, presentment, &[self.account, to], amount),
            Movement::PostPayee => {
                let path = [id(Post::DueToClearing), id(Post::Settlement)];
                along(chart::Event::ChequeSettle, presentment, &path, amount)
            }
            Movement::Compensate => {
                let path = [id(Post::DueToClearing), self.account];
                let mut transfers = along(chart::Event::ChequeUnwind, presentment, &path, amount);
                if self.entry.reserved {
                    self.reserves = self.reserves.saturating_add(1);
                    transfers.push(self.reserve()?);
                }
                transfers
            }
        };
        let _ = book::transfer(tx, &transfers, now.seconds())?;
        Ok(())
    }

    /// Whether the amount lies on the account of certified cheques.
    pub(crate) fn holds_reserve(&self) -> bool {
        self.entry.reserved && !matches!(self.entry.state, State::Paid | State::Settled)
    }

    pub(crate) fn line(&self, currency: Currency) -> RegisterLine {
        RegisterLine {
            id: self.id.unwrap_or(Digest([0; 32])),
            number: U64(self.number),
            state: self.entry.state,
            amount: self.amount.map(|minor| Amount::new(minor, currency)),
            date: self.notice.as_ref().map(|notice| notice.date),
            payee: self.notice.as_ref().map(|notice| notice.payee.name.clone()),
            code: self.entry.returned,
            reserved: self.holds_reserve(),
        }
    }
}
