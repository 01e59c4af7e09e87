//! The rows of offline cash as types.

use feiqian_crypto::share_tree::Node;
use feiqian_crypto::{Digest, EncodedScalar};
use feiqian_ledger::store::{Row, StoreError, Table, Tx, Value};
use feiqian_money::Minor;
use feiqian_offline_cash::chain::Passed;
use feiqian_offline_cash::keyset::{Kind, MAX_KEYS};
use feiqian_offline_cash::register::Mark;
use feiqian_offline_cash::withdraw::{CommitRequest, CommitResponse, FinishRequest, Output};
use feiqian_wire::Bounded;
use serde::de::DeserializeOwned;

use super::tables::{
    OFFLINE_ANSWER, OFFLINE_CLAIM, OFFLINE_COIN, OFFLINE_OFFER, OFFLINE_PAYMENT, OFFLINE_SESSION,
};
use crate::failure::{Failure, Result};
use crate::record::{decode, encode, select};
use crate::sealed_rows::Sealed;

fn optional<T: DeserializeOwned>(row: &Row, index: usize, table: &Table) -> Result<Option<T>> {
    if row.is_null(index) { Ok(None) } else { decode(row.blob(index)?, table).map(Some) }
}

fn optional_digest(row: &Row, index: usize) -> Result<Option<Digest>> {
    if row.is_null(index) { Ok(None) } else { Ok(Some(row.digest(index)?)) }
}

fn optional_bytes(row: &Row, index: usize) -> Result<Option<Vec<u8>>> {
    if row.is_null(index) { Ok(None) } else { Ok(Some(row.blob(index)?.to_vec())) }
}

/// Where a withdrawal stands.
///
/// ```text
/// planned ──commitments──▶ committed ──announcements, signed request──▶ signed ──answers──▶ done
///    │  └────────────────────────┴──────────────────────────────────────────┴──▶ void
///    └──▶ restored
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Planned,
    Committed,
    Signed,
    Done,
    Restored,
    Void,
}

impl State {
    const ALL: [Self; 6] =
        [Self::Planned, Self::Committed, Self::Signed, Self::Done, Self::Restored, Self::Void];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Committed => "committed",
            Self::Signed => "signed",
            Self::Done => "done",
            Self::Restored => "restored",
            Self::Void => "void",
        }
    }
}

/// A withdrawal as it is kept.
#[derive(Clone)]
pub(crate) struct SessionRow {
    pub(crate) request: Digest,
    pub(crate) kind: Kind,
    pub(crate) amount: Minor,
    pub(crate) outputs: Bounded<Output, MAX_KEYS>,
    /// Drawn at the plan; none for a session that was restored.
    pub(crate) salt: Option<Digest>,
    pub(crate) session: Option<Digest>,
    pub(crate) commitments: Option<CommitRequest>,
    pub(crate) announced: Option<CommitResponse>,
    pub(crate) finish: Option<FinishRequest>,
    pub(crate) state: State,
    pub(crate) created: u64,
    pub(crate) intent: Option<Digest>,
    pub(crate) reported: bool,
}

/// `coins` or `blanks`.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Value => "coins",
        Kind::Blank => "blanks",
    }
}

impl SessionRow {
    fn of(row: &Row) -> Result<Self> {
        let table = &OFFLINE_SESSION;
        let text = row.text(9)?;
        let state = State::ALL.into_iter().find(|state| state.as_str() == text);
        Ok(Self {
            request: row.digest(0)?,
            kind: if row.text(1)? == "blanks" { Kind::Blank } else { Kind::Value },
            amount: row.minor(2)?,
            outputs: decode(row.blob(3)?, table)?,
            salt: optional_digest(row, 4)?,
            session: optional_digest(row, 5)?,
            commitments: optional(row, 6, table)?,
            announced: optional(row, 7, table)?,
            finish: optional(row, 8, table)?,
            state: state.ok_or_else(|| StoreError::Corrupt(format!("offline session state {text}")))?,
            created: row.unsigned(10)?,
            intent: optional_digest(row, 11)?,
            reported: row.boolean(12)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            self.request.into(),
            kind_name(self.kind).into(),
            self.amount.into(),
            encode(&self.outputs)?.into(),
            self.salt.into(),
            self.session.into(),
            self.commitments.as_ref().map(encode).transpose()?.into(),
            self.announced.as_ref().map(encode).transpose()?.into(),
            self.finish.as_ref().map(encode).transpose()?.into(),
            self.state.as_str().into(),
            Value::unsigned(self.created)?,
            self.intent.into(),
            self.reported.into(),
        ])
    }

    pub(crate) fn load(tx: &mut dyn Tx, request: &Digest) -> Result<Self> {
        let row = tx.find(&OFFLINE_SESSION, &[(*request).into()])?;
        Self::of(&row.ok_or(StoreError::Missing(OFFLINE_SESSION.name))?)
    }

    pub(crate) fn unfinished(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        let sql = "WHERE state IN ('planned', 'committed', 'signed') ORDER BY created, request";
        select(tx, &OFFLINE_SESSION, sql, &[])?.iter().map(Self::of).collect()
    }

    /// The withdrawal of an act whose answer the owner has not been given.
    pub(crate) fn unreported(tx: &mut dyn Tx, intent: &Digest) -> Result<Option<Self>> {
        let sql = "WHERE intent = ?1 AND reported = 0 AND state NOT IN ('void', 'restored') \
                   ORDER BY created, request LIMIT 1";
        select(tx, &OFFLINE_SESSION, sql, &[(*intent).into()])?.first().map(Self::of).transpose()
    }
}

/// A coin or blank as it is kept.
#[derive(Clone)]
pub(crate) struct CoinRow {
    pub(crate) message: Digest,
    pub(crate) kind: Kind,
    pub(crate) key: Digest,
    pub(crate) session: Digest,
    pub(crate) place: u16,
    pub(crate) worth: Minor,
    pub(crate) rest: Minor,
    /// `None` of one that was rebuilt: its claim is all that is made of it.
    pub(crate) secret: Option<Sealed>,
    pub(crate) chain: Option<Passed>,
    pub(crate) offer: Option<Digest>,
    pub(crate) restored: bool,
    pub(crate) created: u64,
}

impl CoinRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            message: row.digest(0)?,
            kind: if row.text(1)? == "blank" { Kind::Blank } else { Kind::Value },
            key: row.digest(2)?,
            session: row.digest(3)?,
            place: row.small(4)?,
            worth: row.minor(5)?,
            rest: row.minor(6)?,
            secret: if row.is_null(7) { None } else { Some(Sealed::of(row, 7)?) },
            chain: optional(row, 8, &OFFLINE_COIN)?,
            offer: optional_digest(row, 9)?,
            restored: row.text(10)? == "restored",
            created: row.unsigned(11)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            self.message.into(),
            self.kind.as_str().into(),
            self.key.into(),
            self.session.into(),
            u32::from(self.place).into(),
            self.worth.into(),
            self.rest.into(),
            self.secret.as_ref().map_or(Value::Null, Sealed::value),
            self.chain.as_ref().map(encode).transpose()?.into(),
            self.offer.into(),
            if self.restored { "restored" } else { "good" }.into(),
            Value::unsigned(self.created)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, message: &Digest) -> Result<Option<Self>> {
        tx.find(&OFFLINE_COIN, &[(*message).into()])?.as_ref().map(Self::of).transpose()
    }

    pub(crate) fn load(tx: &mut dyn Tx, message: &Digest) -> Result<Self> {
        Ok(Self::find(tx, message)?.ok_or(StoreError::Missing(OFFLINE_COIN.name))?)
    }

    /// Those that meet a condition, in the order in which they came.
    pub(crate) fn select(tx: &mut dyn Tx, condition: &str, parameters: &[Value]) -> Result<Vec<Self>> {
        let sql = format!("WHERE {condition} ORDER BY created, message");
        select(tx, &OFFLINE_COIN, &sql, parameters)?.iter().map(Self::of).collect()
    }
}

/// What a coin or blank answered so far.
pub(crate) fn answers_of(tx: &mut dyn Tx, message: &Digest) -> Result<Vec<Mark>> {
    let rows = select(tx, &OFFLINE_ANSWER, "WHERE message = ?1 ORDER BY node", &[(*message).into()])?;
    let mark = |row: &Row| {
        let node = Node::new(row.unsigned(1)?)
            .map_err(|error| StoreError::Corrupt(format!("offline_answer: {error}")))?;
        Ok(Mark { message: row.digest(0)?, node, challenge: EncodedScalar(row.array(2)?) })
    };
    rows.iter().map(mark).collect()
}

/// What was given away, as it is kept.
#[derive(Clone)]
pub(crate) struct PaymentRow {
    pub(crate) owner: Digest,
    /// The payment's set; of a transfer, the offer.
    pub(crate) payment: Digest,
    pub(crate) kind: &'static str,
    pub(crate) amount: Minor,
    pub(crate) body: Vec<u8>,
    pub(crate) item: Option<Vec<u8>>,
    pub(crate) state: String,
    pub(crate) outcome: Option<Vec<u8>>,
    pub(crate) created: u64,
    pub(crate) intent: Option<Digest>,
    pub(crate) reported: bool,
}

impl PaymentRow {
    fn of(row: &Row) -> Result<Self> {
        let kind =
            ["pay", "pass", "deposit"].into_iter().find(|kind| row.text(2).is_ok_and(|is| is == *kind));
        Ok(Self {
            owner: row.digest(0)?,
            payment: row.digest(1)?,
            kind: kind.ok_or_else(|| StoreError::Corrupt("offline_payment: kind".to_owned()))?,
            amount: row.minor(3)?,
            body: row.blob(4)?.to_vec(),
            item: optional_bytes(row, 5)?,
            state: row.text(6)?.to_owned(),
            outcome: optional_bytes(row, 7)?,
            created: row.unsigned(8)?,
            intent: optional_digest(row, 9)?,
            reported: row.boolean(10)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            self.owner.into(),
            self.payment.into(),
            self.kind.into(),
            self.amount.into(),
            self.body.clone().into(),
            self.item.clone().into(),
            self.state.as_str().into(),
            self.outcome.clone().into(),
            Value::unsigned(self.created)?,
            self.intent.into(),
            self.reported.into(),
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, owner: &Digest) -> Result<Option<Self>> {
        tx.find(&OFFLINE_PAYMENT, &[(*owner).into()])?.as_ref().map(Self::of).transpose()
    }

    /// Deposits whose outcome is not known.
    pub(crate) fn open(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        let rows = select(tx, &OFFLINE_PAYMENT, "WHERE state = 'open' ORDER BY created, owner", &[])?;
        rows.iter().map(Self::of).collect()
    }

    pub(crate) fn unreported(tx: &mut dyn Tx, intent: &Digest) -> Result<Option<Self>> {
        let sql = "WHERE intent = ?1 AND reported = 0 ORDER BY created, owner LIMIT 1";
        select(tx, &OFFLINE_PAYMENT, sql, &[(*intent).into()])?.first().map(Self::of).transpose()
    }
}

/// An offer of our own, as it is kept.
#[derive(Clone)]
pub(crate) struct OfferRow {
    pub(crate) offer: Digest,
    pub(crate) amount: Minor,
    pub(crate) body: Vec<u8>,
    pub(crate) dice: Sealed,
    pub(crate) state: String,
    pub(crate) payer: Option<Digest>,
    pub(crate) transfer: Option<Vec<u8>>,
    pub(crate) created: u64,
}

impl OfferRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            offer: row.digest(0)?,
            amount: row.minor(1)?,
            body: row.blob(2)?.to_vec(),
            dice: Sealed::of(row, 3)?,
            state: row.text(4)?.to_owned(),
            payer: optional_digest(row, 5)?,
            transfer: optional_bytes(row, 6)?,
            created: row.unsigned(7)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            self.offer.into(),
            self.amount.into(),
            self.body.clone().into(),
            self.dice.value(),
            self.state.as_str().into(),
            self.payer.into(),
            self.transfer.clone().into(),
            Value::unsigned(self.created)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, offer: &Digest) -> Result<Option<Self>> {
        tx.find(&OFFLINE_OFFER, &[(*offer).into()])?.as_ref().map(Self::of).transpose()
    }

    pub(crate) fn in_state(tx: &mut dyn Tx, state: &str) -> Result<Vec<Self>> {
        let sql = "WHERE state = ?1 ORDER BY created, offer";
        select(tx, &OFFLINE_OFFER, sql, &[state.into()])?.iter().map(Self::of).collect()
    }

    /// Gives an offer up that nobody has seen, or that nothing may be taken on any more.
    pub(crate) fn give_up(mut self, tx: &mut dyn Tx) -> Result<()> {
        self.state = "void".to_owned();
        Ok(tx.update(&OFFLINE_OFFER, &self.values()?)?)
    }
}

/// A claim as it is kept.
#[derive(Clone)]
pub(crate) struct ClaimRow {
    pub(crate) message: Digest,
    pub(crate) amount: Minor,
    pub(crate) body: Vec<u8>,
    pub(crate) state: String,
    pub(crate) decided_at: Option<u64>,
    pub(crate) paid: Option<Minor>,
    pub(crate) created: u64,
}

impl ClaimRow {
    fn of(row: &Row) -> Result<Self> {
        Ok(Self {
            message: row.digest(0)?,
            amount: row.minor(1)?,
            body: row.blob(2)?.to_vec(),
            state: row.text(3)?.to_owned(),
            decided_at: if row.is_null(4) { None } else { Some(row.unsigned(4)?) },
            paid: if row.is_null(5) { None } else { Some(row.minor(5)?) },
            created: row.unsigned(6)?,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        Ok(vec![
            self.message.into(),
            self.amount.into(),
            self.body.clone().into(),
            self.state.as_str().into(),
            self.decided_at.map(Value::unsigned).transpose()?.into(),
            self.paid.into(),
            Value::unsigned(self.created)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, message: &Digest) -> Result<Option<Self>> {
        tx.find(&OFFLINE_CLAIM, &[(*message).into()])?.as_ref().map(Self::of).transpose()
    }

    pub(crate) fn select(tx: &mut dyn Tx, condition: &str, parameters: &[Value]) -> Result<Vec<Self>> {
        let sql = format!("WHERE {condition} ORDER BY created, message");
        select(tx, &OFFLINE_CLAIM, &sql, parameters)?.iter().map(Self::of).collect()
    }
}

/// Never again a share of any coin or blank of this store: it does not know all that they answered. Offers end with them.
pub(crate) fn freeze(tx: &mut dyn Tx) -> Result<()> {
    for mut coin in CoinRow::select(tx, "state = 'good'", &[])? {
        coin.restored = true;
        tx.update(&OFFLINE_COIN, &coin.values()?)?;
    }
    for state in ["committed", "opened"] {
        for offer in OfferRow::in_state(tx, state)? {
            offer.give_up(tx)?;
        }
    }
    Ok(())
}

/// What a row's coin lost by an answer.
pub(crate) fn less(coin: &mut CoinRow, value: Minor) -> Result<()> {
    coin.rest = coin
        .rest
        .checked_sub(value)
        .map_err(|_| Failure::broken("a coin answers for more than it is worth"))?;
    Ok(())
}
