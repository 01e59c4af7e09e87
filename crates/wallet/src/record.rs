//! The wallet's rows as types.

use feiqian_crypto::snowblind::Signature;
use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_ledger::store::{Row, StoreError, Table, Tx, Value};
use feiqian_money::Minor;
use feiqian_online_cash::coin::{Coin, CoinId};
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::issue::{FinishRequest, Output, SessionOffer};
use feiqian_online_cash::keyset::MAX_DENOMINATIONS;
use feiqian_wire::codec::{self, Limit};
use feiqian_wire::{Bounded, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Result};
use crate::held::HeldCoin;
use crate::refund::refund_until;
use crate::sealed_rows::{Place, Sealed, StoreKey};
use crate::tables::{COIN, COUNTER, HISTORY, PAYMENT, RECEIVED, SESSION};

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    Ok(codec::encode(value)?)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], table: &Table) -> Result<T> {
    codec::decode(bytes, Limit::Large)
        .map_err(|error| StoreError::Corrupt(format!("{}: {error}", table.name)).into())
}

pub(crate) fn select(tx: &mut dyn Tx, table: &Table, rest: &str, parameters: &[Value]) -> Result<Vec<Row>> {
    Ok(tx.select(&format!("SELECT {} FROM {} {rest}", table.column_list(), table.name), parameters)?)
}

/// A coin as it is kept.
#[derive(Clone)]
pub(crate) struct CoinRow {
    pub(crate) id: CoinId,
    pub(crate) secret: Sealed,
    pub(crate) signature: Signature,
    pub(crate) bank: String,
    pub(crate) currency: String,
    pub(crate) worth: Minor,
    pub(crate) rest: Minor,
    pub(crate) state: String,
    pub(crate) session: Digest,
}

impl CoinRow {
    pub(crate) fn of(row: &Row) -> Result<Self> {
        let signature = Signature::from_bytes(row.blob(3)?)
            .map_err(|error| StoreError::Corrupt(format!("coin signature: {error}")))?;
        Ok(Self {
            id: CoinId { denomination: row.digest(0)?, key: EncodedPoint(row.array(1)?) },
            secret: Sealed::of(row, 2)?,
            signature,
            bank: row.text(4)?.to_owned(),
            currency: row.text(5)?.to_owned(),
            worth: row.minor(6)?,
            rest: row.minor(7)?,
            state: row.text(8)?.to_owned(),
            session: row.digest(9)?,
        })
    }

    pub(crate) fn values(&self) -> Vec<Value> {
        vec![
            self.id.denomination.into(),
            self.id.key.to_bytes().into(),
            self.secret.value(),
            self.signature.to_bytes().into(),
            self.bank.as_str().into(),
            self.currency.as_str().into(),
            self.worth.into(),
            self.rest.into(),
            self.state.as_str().into(),
            self.session.into(),
        ]
    }

    pub(crate) fn find(tx: &mut dyn Tx, id: &CoinId) -> Result<Option<Self>> {
        let key = [id.denomination.into(), id.key.to_bytes().into()];
        tx.find(&COIN, &key)?.as_ref().map(Self::of).transpose()
    }

    /// Without secret and signature.
    pub(crate) fn held(&self) -> HeldCoin {
        let (bank, state) = (self.bank.clone(), self.state.clone());
        HeldCoin { id: self.id, bank, worth: self.worth, rest: self.rest, state }
    }

    pub(crate) fn coin(&self, key: &StoreKey) -> Result<Coin> {
        let secret = key.open_array(Place::Coin(&self.id), &self.secret)?;
        Ok(Coin::from_store(self.id.denomination, &secret, self.signature)?)
    }
}

/// What a session is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Purpose {
    Withdraw,
    Refresh(Vec<PlannedCoin>),
    Receive(Digest),
    Refund { payment: Digest, amount: Minor },
}

/// A coin that a refresh is to use, and what it is to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlannedCoin {
    pub(crate) coin: CoinId,
    pub(crate) contribution: Minor,
}

impl Purpose {
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Withdraw => "withdraw",
            Self::Refresh(_) => "refresh",
            Self::Receive(_) => "receive",
            Self::Refund { .. } => "refund",
        }
    }
}

/// Purpose and outputs of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Design {
    pub(crate) purpose: Purpose,
    pub(crate) outputs: Bounded<Output, MAX_DENOMINATIONS>,
}

/// Where a session stands.
///
/// ```text
/// planned ──offer──▶ offered ──signed request──▶ signed ──answers──▶ done
///    └──────────────────┴────────────────────────────┴──▶ void
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionState {
    Planned,
    Offered,
    Signed,
    Done,
    Void,
}

impl SessionState {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Offered => "offered",
            Self::Signed => "signed",
            Self::Done => "done",
            Self::Void => "void",
        }
    }

    fn read(text: &str) -> Result<Self> {
        [Self::Planned, Self::Offered, Self::Signed, Self::Done, Self::Void]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or_else(|| StoreError::Corrupt(format!("session state {text}")).into())
    }
}

/// A session as it is kept.
#[derive(Clone)]
pub(crate) struct SessionRow {
    pub(crate) request: Digest,
    pub(crate) bank: String,
    pub(crate) amount: Minor,
    pub(crate) design: Design,
    pub(crate) offer: Option<SessionOffer>,
    pub(crate) finish: Option<FinishRequest>,
    pub(crate) state: SessionState,
    pub(crate) created: u64,
    pub(crate) intent: Option<Digest>,
    pub(crate) reported: bool,
}

impl SessionRow {
    fn of(row: &Row) -> Result<Self> {
        let part = |index: usize| -> Result<Option<&[u8]>> {
            if row.is_null(index) { Ok(None) } else { Ok(Some(row.blob(index)?)) }
        };
        let design = decode(row.blob(4)?, &SESSION)?;
        Ok(Self {
            request: row.digest(0)?,
            bank: row.text(2)?.to_owned(),
            amount: row.minor(3)?,
            design,
            offer: part(5)?.map(|bytes| decode(bytes, &SESSION)).transpose()?,
            finish: part(6)?.map(|bytes| decode(bytes, &SESSION)).transpose()?,
            state: SessionState::read(row.text(7)?)?,
            created: row.unsigned(8)?,
            intent: if row.is_null(9) { None } else { Some(row.digest(9)?) },
            reported: row.boolean(10)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            self.request.into(),
            self.design.purpose.as_str().into(),
            self.bank.as_str().into(),
            self.amount.into(),
            encode(&self.design)?.into(),
            self.offer.as_ref().map(encode).transpose()?.into(),
            self.finish.as_ref().map(encode).transpose()?.into(),
            self.state.as_str().into(),
            Value::unsigned(self.created)?,
            self.intent.into(),
            self.reported.into(),
        ])
    }

    pub(crate) fn load(tx: &mut dyn Tx, request: &Digest) -> Result<Self> {
        let row = tx.find(&SESSION, &[(*request).into()])?.ok_or(StoreError::Missing(SESSION.name))?;
        Self::of(&row)
    }

    /// Sessions whose request was signed, whatever became of them.
    pub(crate) fn signed(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        let sql = "WHERE finish IS NOT NULL ORDER BY request";
        select(tx, &SESSION, sql, &[])?.iter().map(Self::of).collect()
    }

    pub(crate) fn unfinished(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        let sql = "WHERE state IN ('planned', 'offered', 'signed') ORDER BY created, request";
        select(tx, &SESSION, sql, &[])?.iter().map(Self::of).collect()
    }

    /// The session of an act whose answer the owner has not been given.
    pub(crate) fn unreported(tx: &mut dyn Tx, intent: &Digest) -> Result<Option<Self>> {
        let sql = "WHERE intent = ?1 AND reported = 0 AND state <> 'void' ORDER BY created, request LIMIT 1";
        select(tx, &SESSION, sql, &[(*intent).into()])?.first().map(Self::of).transpose()
    }

    /// The session that a bank named so, if one of ours has that offer.
    pub(crate) fn of_statement(tx: &mut dyn Tx, owner: &Digest) -> Result<Option<Self>> {
        tx.find(&SESSION, &[(*owner).into()])?.as_ref().map(Self::of).transpose()
    }
}

/// A payment as it is kept.
///
/// ```text
/// signed ──▶ taken (payee has it) ──▶ paid
///   ├─────▶ delivered (box or file) ──▶ paid
///   └─────▶ refused ──▶ lapsed (the bank says it expired undeposited; so from every state but paid)
/// ```
#[derive(Clone)]
pub(crate) struct PaymentRow {
    pub(crate) request: Digest,
    pub(crate) payment: Digest,
    pub(crate) kind: String,
    pub(crate) bank: String,
    pub(crate) amount: Minor,
    pub(crate) expires: Timestamp,
    pub(crate) item: CashItem,
    pub(crate) parcel: Option<Vec<u8>>,
    pub(crate) file: Option<String>,
    pub(crate) state: String,
    pub(crate) receipt: Option<Vec<u8>>,
    pub(crate) created: u64,
    pub(crate) intent: Option<Digest>,
    pub(crate) reported: bool,
}

impl PaymentRow {
    fn of(row: &Row) -> Result<Self> {
        let bytes = |index: usize| -> Result<Option<Vec<u8>>> {
            if row.is_null(index) { Ok(None) } else { Ok(Some(row.blob(index)?.to_vec())) }
        };
        Ok(Self {
            request: row.digest(0)?,
            payment: row.digest(1)?,
            kind: row.text(2)?.to_owned(),
            bank: row.text(3)?.to_owned(),
            amount: row.minor(4)?,
            expires: Timestamp::new(row.unsigned(5)?),
            item: decode(row.blob(6)?, &PAYMENT)?,
            parcel: bytes(7)?,
            file: if row.is_null(8) { None } else { Some(row.text(8)?.to_owned()) },
            state: row.text(9)?.to_owned(),
            receipt: bytes(10)?,
            created: row.unsigned(11)?,
            intent: if row.is_null(12) { None } else { Some(row.digest(12)?) },
            reported: row.boolean(13)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            self.request.into(),
            self.payment.into(),
            self.kind.as_str().into(),
            self.bank.as_str().into(),
            self.amount.into(),
            Value::unsigned(self.expires.seconds())?,
            encode(&self.item)?.into(),
            self.parcel.clone().into(),
            self.file.clone().into(),
            self.state.as_str().into(),
            self.receipt.clone().into(),
            Value::unsigned(self.created)?,
            self.intent.into(),
            self.reported.into(),
            Value::unsigned(refund_until(&self.item.request.request).seconds())?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, request: &Digest) -> Result<Option<Self>> {
        tx.find(&PAYMENT, &[(*request).into()])?.as_ref().map(Self::of).transpose()
    }

    pub(crate) fn of_payment(tx: &mut dyn Tx, payment: &Digest) -> Result<Option<Self>> {
        select(tx, &PAYMENT, "WHERE payment = ?1", &[(*payment).into()])?.first().map(Self::of).transpose()
    }

    /// Payments whose fate is not sealed.
    pub(crate) fn unsettled(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        let sql = "WHERE state IN ('signed', 'taken', 'delivered', 'refused') ORDER BY created, request";
        select(tx, &PAYMENT, sql, &[])?.iter().map(Self::of).collect()
    }

    /// All but those that the bank has called expired.
    pub(crate) fn not_lapsed(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        select(tx, &PAYMENT, "WHERE state <> 'lapsed' ORDER BY request", &[])?.iter().map(Self::of).collect()
    }

    pub(crate) fn paid_since(tx: &mut dyn Tx, since: u64) -> Result<Vec<Self>> {
        let sql = "WHERE state = 'paid' AND kind = 'pay' AND created >= ?1 ORDER BY created, request";
        select(tx, &PAYMENT, sql, &[Value::unsigned(since)?])?.iter().map(Self::of).collect()
    }

    pub(crate) fn unreported(tx: &mut dyn Tx, intent: &Digest) -> Result<Option<Self>> {
        let sql =
            "WHERE intent = ?1 AND reported = 0 AND state <> 'lapsed' ORDER BY created, request LIMIT 1";
        select(tx, &PAYMENT, sql, &[(*intent).into()])?.first().map(Self::of).transpose()
    }
}

/// A payment made out to us.
#[derive(Clone)]
pub(crate) struct ReceivedRow {
    pub(crate) payment: Digest,
    pub(crate) request: Digest,
    pub(crate) bank: String,
    pub(crate) amount: Minor,
    pub(crate) item: CashItem,
    pub(crate) state: String,
    pub(crate) reported: bool,
    pub(crate) created: u64,
}

impl ReceivedRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            payment: row.digest(0)?,
            request: row.digest(1)?,
            bank: row.text(2)?.to_owned(),
            amount: row.minor(3)?,
            item: decode(row.blob(4)?, &RECEIVED)?,
            state: row.text(5)?.to_owned(),
            reported: row.boolean(6)?,
            created: row.unsigned(7)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            self.payment.into(),
            self.request.into(),
            self.bank.as_str().into(),
            self.amount.into(),
            encode(&self.item)?.into(),
            self.state.as_str().into(),
            self.reported.into(),
            Value::unsigned(self.created)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, payment: &Digest) -> Result<Option<Self>> {
        tx.find(&RECEIVED, &[(*payment).into()])?.as_ref().map(Self::of).transpose()
    }

    pub(crate) fn select(tx: &mut dyn Tx, condition: &str, parameters: &[Value]) -> Result<Vec<Self>> {
        let sql = format!("WHERE {condition} ORDER BY created, payment");
        select(tx, &RECEIVED, &sql, parameters)?.iter().map(Self::of).collect()
    }
}

/// Takes the next number of a counter, from 0.
pub(crate) fn next_number(tx: &mut dyn Tx, bank: &str, kind: &str, epoch: u64) -> Result<u64> {
    let key = [bank.into(), kind.into(), Value::unsigned(epoch)?];
    let found = tx.find(&COUNTER, &key)?;
    let number = found.as_ref().map_or(Ok(0), |row| row.unsigned(3))?;
    let next = number.checked_add(1).ok_or_else(|| Failure::broken("a counter overflows"))?;
    let mut values = key.to_vec();
    values.push(Value::unsigned(next)?);
    tx.put(&COUNTER, &values)?;
    Ok(number)
}

/// Notes what happened.
pub(crate) fn note(
    tx: &mut dyn Tx,
    now: Timestamp,
    kind: &str,
    amount: Minor,
    bank: &str,
    reference: &Digest,
) -> Result<()> {
    let number = next_number(tx, "", "history", 0)?;
    tx.insert(
        &HISTORY,
        &[
            Value::unsigned(number)?,
            Value::unsigned(now.seconds())?,
            kind.into(),
            amount.into(),
            bank.into(),
            reference.to_string().into(),
        ],
    )?;
    Ok(())
}
