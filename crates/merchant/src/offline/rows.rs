//! Requests and payments as stored.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, Tx, Value};
use feiqian_money::{Amount, Minor};
use feiqian_offline_cash::deposit::{Outcome, ReceiptTerms};
use feiqian_offline_cash::pay::CashItem;
use feiqian_offline_cash::request::SignedRequest;
use feiqian_wire::{Limit, codec};

use super::tables::{OFFLINE_COIN, OFFLINE_PAYMENT, OFFLINE_SALE};
use crate::failure::Failure;
use crate::payments::corrupt;

/// A request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) request: Digest,
    pub(super) reference: String,
    pub(super) amount: Amount,
    pub(super) expires: u64,
    pub(super) signed: SignedRequest,
}

impl Asked {
    pub(super) fn from_row(row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            request: row.digest(0)?,
            reference: row.text(1)?.to_owned(),
            amount: Amount::new(row.minor(2)?, row.parse(3)?),
            expires: row.unsigned(4)?,
            signed: codec::decode(row.blob(5)?, Limit::Small)?,
        })
    }

    pub(super) fn values(&self, now: u64) -> Result<[Value; 7], Failure> {
        Ok([
            self.request.into(),
            self.reference.as_str().into(),
            self.amount.minor.into(),
            self.amount.currency.code().into(),
            Value::unsigned(self.expires)?,
            codec::encode(&self.signed)?.into(),
            Value::unsigned(now)?,
        ])
    }

    pub(super) fn find(tx: &mut dyn Tx, request: &Digest) -> Result<Option<Self>, Failure> {
        tx.find(&OFFLINE_SALE, &[(*request).into()])?.map(|row| Self::from_row(&row)).transpose()
    }

    pub(super) fn of_order(tx: &mut dyn Tx, order: &str) -> Result<Option<Self>, Failure> {
        let columns = OFFLINE_SALE.column_list();
        let sql = format!("SELECT {columns} FROM {} WHERE reference = ?1", OFFLINE_SALE.name);
        tx.select(&sql, &[order.into()])?.first().map(Self::from_row).transpose()
    }
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Queued = 0,
    Settled = 1,
    Refused = 2,
}

impl Standing {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Settled => "settled",
            Self::Refused => "refused",
        }
    }
}

/// A payment that was accepted.
#[derive(Debug, Clone)]
pub(super) struct Held {
    /// The set that names it.
    pub(super) payment: Digest,
    pub(super) request: Digest,
    pub(super) amount: Amount,
    pub(super) item: CashItem,
    pub(super) presentment: Digest,
    pub(super) deposit_by: u64,
    pub(super) state: Standing,
    pub(super) outcome: Option<Outcome>,
    pub(super) accepted: u64,
    pub(super) tried: u64,
}

impl Held {
    pub(super) fn from_row(row: &Row) -> Result<Self, Failure> {
        let state = match row.integer(7)? {
            0 => Standing::Queued,
            1 => Standing::Settled,
            2 => Standing::Refused,
            _ => return Err(corrupt("state")),
        };
        Ok(Self {
            payment: row.digest(0)?,
            request: row.digest(1)?,
            amount: Amount::new(row.minor(2)?, row.parse(3)?),
            item: codec::decode(row.blob(4)?, Limit::Large)?,
            presentment: row.digest(5)?,
            deposit_by: row.unsigned(6)?,
            state,
            outcome: row.optional_blob(8)?.map(|bytes| codec::decode(bytes, Limit::Large)).transpose()?,
            accepted: row.unsigned(9)?,
            tried: row.unsigned(10)?,
        })
    }

    pub(super) fn values(&self) -> Result<[Value; 11], Failure> {
        Ok([
            self.payment.into(),
            self.request.into(),
            self.amount.minor.into(),
            self.amount.currency.code().into(),
            codec::encode(&self.item)?.into(),
            self.presentment.into(),
            Value::unsigned(self.deposit_by)?,
            Value::Integer(self.state as i64),
            self.outcome.as_ref().map(codec::encode).transpose()?.into(),
            Value::unsigned(self.accepted)?,
            Value::unsigned(self.tried)?,
        ])
    }

    /// The payments that the rest of a query selects.
    pub(super) fn select(tx: &mut dyn Tx, rest: &str, given: &[Value]) -> Result<Vec<Self>, Failure> {
        let (columns, table) = (OFFLINE_PAYMENT.column_list(), OFFLINE_PAYMENT.name);
        tx.select(&format!("SELECT {columns} FROM {table} {rest}"), given)?
            .iter()
            .map(Self::from_row)
            .collect()
    }

    pub(super) fn find(tx: &mut dyn Tx, payment: &Digest) -> Result<Option<Self>, Failure> {
        tx.find(&OFFLINE_PAYMENT, &[(*payment).into()])?.map(|row| Self::from_row(&row)).transpose()
    }

    /// The one that paid a request.
    pub(super) fn of_request(tx: &mut dyn Tx, request: &Digest) -> Result<Option<Self>, Failure> {
        Ok(Self::select(tx, "WHERE request = ?1", &[(*request).into()])?.pop())
    }

    /// Those that any of these coins or blanks appears in.
    pub(super) fn with_coins(tx: &mut dyn Tx, coins: &[Digest]) -> Result<Vec<Self>, Failure> {
        let sql = format!("SELECT payment FROM {} WHERE message = ?1", OFFLINE_COIN.name);
        let mut named = std::collections::BTreeSet::new();
        for coin in coins {
            for row in tx.select(&sql, &[(*coin).into()])? {
                named.insert(row.digest(0)?);
            }
        }
        let found = named.iter().map(|payment| {
            Self::find(tx, payment)?.ok_or_else(|| corrupt("a coin of a payment that is gone"))
        });
        found.collect()
    }

    /// What the bank undertook, once it is settled.
    pub(super) fn terms(&self) -> Option<&ReceiptTerms> {
        match (&self.outcome, self.state) {
            (Some(Outcome::Settled(receipt) | Outcome::Before(receipt)), Standing::Settled) => {
                Some(&receipt.terms)
            }
            _ => None,
        }
    }

    /// What was credited and what is owed.
    pub(super) fn sums(&self) -> Result<(Minor, Minor), Failure> {
        let Some(terms) = self.terms() else { return Ok((Minor::ZERO, Minor::ZERO)) };
        let sums = terms.paid().and_then(|paid| Ok((paid, terms.unpaid()?)));
        sums.map_err(|_| corrupt("the parts of a receipt"))
    }
}
