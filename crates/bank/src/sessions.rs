//! Issue sessions: the durable row, and the one-time secrets in memory.
//!
//! ```text
//!          finish, funded                         
//! Open ─────────────────▶ Answered                
//!   │  restart, expiry, refused funding, release  
//!   └────────────────────▶ Void                   
//! ```

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::snowblind::{Challenge, Commitment, Response};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{Row, StoreError, Tx, Value};
use feiqian_money::Minor;
use feiqian_online_cash::MAX_COINS;
use feiqian_online_cash::issue::{AnsweredSession, BeginResponse, OpenSession, Output, SessionOffer};
use feiqian_online_cash::keyset::MAX_DENOMINATIONS;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp};

use crate::refusal::{from_blob, to_blob};
use crate::tables::SESSION;

/// Where a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Open = 0,
    Answered = 1,
    Void = 2,
}

/// What paid for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FundingKind {
    Account = 0,
    Coins = 1,
    Received = 2,
    Refunded = 3,
}

impl FundingKind {
    pub(crate) fn from_number(number: i64) -> Option<Self> {
        [Self::Account, Self::Coins, Self::Received, Self::Refunded]
            .into_iter()
            .find(|kind| *kind as i64 == number)
    }
}

/// What is kept of an answered session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) challenges: Bounded<Challenge, MAX_COINS>,
    pub(crate) answers: Bounded<Response, MAX_COINS>,
    pub(crate) funding: FundingKind,
    /// The statement that signed for it: withdrawal or refresh statement; for a received payment or a refund, the
    /// payment.
    pub(crate) reference: Digest,
    /// For an account: the signing key and the signature.
    pub(crate) proof: Vec<u8>,
}

/// A session as stored.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) session: Digest,
    pub(crate) request: Digest,
    pub(crate) account: Option<Id16>,
    pub(crate) outputs: Bounded<Output, MAX_DENOMINATIONS>,
    pub(crate) amount: Minor,
    pub(crate) instance: Id16,
    pub(crate) expires: Timestamp,
    pub(crate) commitments: Bounded<Commitment, MAX_COINS>,
    pub(crate) state: State,
    pub(crate) answer: Option<Answer>,
}

impl SessionRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let corrupt = |what: &str| StoreError::Corrupt(format!("session: {what}"));
        let state = match row.integer(8)? {
            0 => State::Open,
            1 => State::Answered,
            2 => State::Void,
            _ => return Err(corrupt("unknown state")),
        };
        let answer = match state {
            State::Answered => Some(Answer {
                challenges: from_blob(row.blob(9)?)?,
                answers: from_blob(row.blob(10)?)?,
                funding: FundingKind::from_number(row.integer(11)?)
                    .ok_or_else(|| corrupt("unknown funding"))?,
                reference: row.digest(12)?,
                proof: row.blob(13)?.to_vec(),
            }),
            _ => None,
        };
        Ok(Self {
            session: row.digest(0)?,
            request: row.digest(1)?,
            account: row.optional_id(2)?,
            outputs: from_blob(row.blob(3)?)?,
            amount: row.minor(4)?,
            instance: row.id(5)?,
            expires: Timestamp::new(row.unsigned(6)?),
            commitments: from_blob(row.blob(7)?)?,
            state,
            answer,
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 14], StoreError> {
        let answer = self.answer.as_ref();
        let blob = |bytes: Option<Result<Vec<u8>, StoreError>>| bytes.transpose().map(Value::from);
        Ok([
            self.session.into(),
            self.request.into(),
            self.account.into(),
            to_blob(&self.outputs)?.into(),
            self.amount.into(),
            self.instance.into(),
            Value::unsigned(self.expires.seconds())?,
            to_blob(&self.commitments)?.into(),
            Value::Integer(self.state as i64),
            blob(answer.map(|answer| to_blob(&answer.challenges)))?,
            blob(answer.map(|answer| to_blob(&answer.answers)))?,
            answer.map_or(Value::Null, |answer| Value::Integer(answer.funding as i64)),
            answer.map(|answer| answer.reference).into(),
            answer.map(|answer| answer.proof.clone()).into(),
        ])
    }

    /// Only the kind of caller that began a session may go on with it.
    pub(crate) fn check_caller(&self, account: Option<Id16>) -> Result<(), Fault> {
        if self.account == account {
            return Ok(());
        }
        Err(Fault::new(Code::SessionForeign, "the session was opened by another caller"))
    }

    pub(crate) fn response(&self) -> BeginResponse {
        match (self.state, &self.answer) {
            (State::Open, _) => BeginResponse::Open(SessionOffer {
                session: self.session,
                expires: self.expires,
                commitments: self.commitments.clone(),
            }),
            (State::Answered, Some(answer)) => BeginResponse::Answered(AnsweredSession {
                session: self.session,
                outputs: self.outputs.clone(),
                commitments: self.commitments.clone(),
                challenges: answer.challenges.clone(),
                answers: answer.answers.clone(),
            }),
            _ => BeginResponse::Void,
        }
    }
}

/// The session with this id.
pub(crate) fn find(tx: &mut dyn Tx, session: &Digest) -> Result<Option<SessionRow>, StoreError> {
    tx.find(&SESSION, &[(*session).into()])?.map(|row| SessionRow::from_row(&row)).transpose()
}

/// The session of this request.
pub(crate) fn find_request(tx: &mut dyn Tx, request: &Digest) -> Result<Option<SessionRow>, StoreError> {
    let sql = format!("SELECT {} FROM session WHERE request = ?1", SESSION.column_list());
    let rows = tx.select(&sql, &[(*request).into()])?;
    rows.first().map(SessionRow::from_row).transpose()
}

/// Voids a session unless it was answered; answers with the row as it then is.
pub(crate) fn void(tx: &mut dyn Tx, session: &Digest) -> Result<Option<SessionRow>, StoreError> {
    let Some(mut row) = find(tx, session)? else { return Ok(None) };
    if row.state == State::Open {
        row.state = State::Void;
        // Nobody asks for them any more; the row stays, so that the request id is never used again.
        row.commitments = Bounded::default();
        tx.update(&SESSION, &row.values()?)?;
    }
    Ok(Some(row))
}

enum Slot {
    /// `turn` is the place in the queue of anonymous sessions.
    Waiting {
        secrets: OpenSession,
        expires: Timestamp,
        turn: Option<u64>,
    },
    Answering,
}

/// What memory knows of a session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    Waiting,
    Answering,
    Gone,
}

/// The one-time secrets of all open sessions of this run.
#[derive(Default)]
pub(crate) struct Sessions {
    slots: BTreeMap<Digest, Slot>,
    by_expiry: BTreeSet<(Timestamp, Digest)>,
    coins: usize,
    /// Anonymous sessions, the oldest first.
    anonymous: BTreeMap<u64, Digest>,
    anonymous_coins: usize,
    turns: u64,
}

impl Sessions {
    /// Takes up a session, after dropping those that expired.
    ///
    /// Anonymous sessions have at most half of the room, so that they cannot keep account holders out; where that is full,
    /// the oldest of them make way: their secrets are destroyed, which makes them void.
    pub(crate) fn add(
        &mut self,
        session: Digest,
        secrets: OpenSession,
        expires: Timestamp,
        anonymous: bool,
        now: Timestamp,
        most: usize,
    ) -> Result<(), Fault> {
        self.drop_expired(now);
        let fresh = secrets.len();
        let half = most / 2;
        let evictable = if anonymous { self.anonymous_coins } else { 0 };
        let settled = self.coins.saturating_sub(evictable).saturating_add(fresh);
        if settled > most || (anonymous && fresh > half) {
            return Err(
                Fault::new(Code::Busy, "too many coins in open sessions").hint("try again in a moment")
            );
        }
        let full = |sessions: &Self| {
            sessions.coins.saturating_add(fresh) > most
                || sessions.anonymous_coins.saturating_add(fresh) > half
        };
        while anonymous && full(self) {
            let Some(oldest) = self.anonymous.first_key_value().map(|(_, session)| *session) else { break };
            self.remove(&oldest);
        }
        let turn = anonymous.then_some(self.turns);
        if let Some(turn) = turn {
            self.turns = turn.saturating_add(1);
            self.anonymous.insert(turn, session);
            self.anonymous_coins = self.anonymous_coins.saturating_add(fresh);
        }
        self.coins = self.coins.saturating_add(fresh);
        self.by_expiry.insert((expires, session));
        self.slots.insert(session, Slot::Waiting { secrets, expires, turn });
        Ok(())
    }

    /// Takes a waiting session out of the queues and counts.
    fn forget(&mut self, session: &Digest, coins: usize, expires: Timestamp, turn: Option<u64>) {
        self.by_expiry.remove(&(expires, *session));
        self.coins = self.coins.saturating_sub(coins);
        if let Some(turn) = turn {
            self.anonymous.remove(&turn);
            self.anonymous_coins = self.anonymous_coins.saturating_sub(coins);
        }
    }

    /// Destroys the secrets of sessions whose time is over.
    pub(crate) fn drop_expired(&mut self, now: Timestamp) {
        while let Some((expires, session)) = self.by_expiry.first().copied() {
            if now < expires {
                return;
            }
            self.remove(&session);
            self.by_expiry.remove(&(expires, session));
        }
    }

    /// Destroys a session's secrets.
    pub(crate) fn remove(&mut self, session: &Digest) {
        if let Some(Slot::Waiting { secrets, expires, turn }) = self.slots.remove(session) {
            self.forget(session, secrets.len(), expires, turn);
        }
    }

    /// Takes a session's secrets for its one answer; until [`Sessions::remove`] others see that it is being answered.
    pub(crate) fn take(&mut self, session: &Digest) -> Result<OpenSession, Presence> {
        match self.slots.remove(session) {
            None => Err(Presence::Gone),
            Some(Slot::Answering) => {
                self.slots.insert(*session, Slot::Answering);
                Err(Presence::Answering)
            }
            Some(Slot::Waiting { secrets, expires, turn }) => {
                self.forget(session, secrets.len(), expires, turn);
                self.slots.insert(*session, Slot::Answering);
                Ok(secrets)
            }
        }
    }

    pub(crate) fn presence(&self, session: &Digest) -> Presence {
        match self.slots.get(session) {
            None => Presence::Gone,
            Some(Slot::Answering) => Presence::Answering,
            Some(Slot::Waiting { .. }) => Presence::Waiting,
        }
    }

    /// How many sessions and coins wait.
    pub(crate) fn load(&self) -> (usize, usize) {
        (self.slots.len(), self.coins)
    }
}
