//! Withdrawal sessions: the durable row, and the one-time secrets in memory.
//!
//! ```text
//!         commit             finish: signed, debited
//! Named ─────────▶ Announced ─────────────────────▶ Answered
//!   └──────────────────┴── restart, expiry, refused ──▶ Void
//! ```
//!
//! *Named* and *Announced* are one durable state, open: what was announced is in memory only, and a restart voids it.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{Row, StoreError, Tx, Value};
use feiqian_money::Minor;
use feiqian_offline_cash::keyset::MAX_KEYS;
use feiqian_offline_cash::withdraw::{
    AnsweredSession, BeginResponse, OpenSession, Output, SessionOffer, SignedWithdrawal,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp};

use super::tables::SESSION;
use crate::refusal::{from_blob, to_blob};
use crate::sessions::State;

/// What is kept of an answered session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) withdrawal: SignedWithdrawal,
    pub(crate) session: AnsweredSession,
}

/// A session as stored.
#[derive(Debug, Clone)]
pub(crate) struct SessionRow {
    pub(crate) session: Digest,
    pub(crate) request: Digest,
    pub(crate) account: Id16,
    pub(crate) outputs: Bounded<Output, MAX_KEYS>,
    pub(crate) amount: Minor,
    pub(crate) instance: Id16,
    pub(crate) expires: Timestamp,
    pub(crate) state: State,
    pub(crate) answer: Option<Answer>,
}

impl SessionRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        let state = match row.integer(7)? {
            0 => State::Open,
            1 => State::Answered,
            2 => State::Void,
            _ => return Err(StoreError::Corrupt("offline_session: unknown state".into())),
        };
        let answer = match state {
            State::Answered => {
                Some(Answer { withdrawal: from_blob(row.blob(8)?)?, session: from_blob(row.blob(9)?)? })
            }
            _ => None,
        };
        Ok(Self {
            session: row.digest(0)?,
            request: row.digest(1)?,
            account: row.id(2)?,
            outputs: from_blob(row.blob(3)?)?,
            amount: row.minor(4)?,
            instance: row.id(5)?,
            expires: Timestamp::new(row.unsigned(6)?),
            state,
            answer,
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 10], StoreError> {
        let answer = self.answer.as_ref();
        Ok([
            self.session.into(),
            self.request.into(),
            self.account.into(),
            to_blob(&self.outputs)?.into(),
            self.amount.into(),
            self.instance.into(),
            Value::unsigned(self.expires.seconds())?,
            Value::Integer(self.state as i64),
            answer.map(|answer| to_blob(&answer.withdrawal)).transpose()?.into(),
            answer.map(|answer| to_blob(&answer.session)).transpose()?.into(),
        ])
    }

    pub(crate) fn check_caller(&self, account: Id16) -> Result<(), Fault> {
        if self.account == account {
            return Ok(());
        }
        Err(Fault::new(Code::SessionForeign, "the session was opened by another caller"))
    }

    pub(crate) fn response(&self) -> BeginResponse {
        match (self.state, &self.answer) {
            (State::Open, _) => {
                BeginResponse::Open(SessionOffer { session: self.session, expires: self.expires })
            }
            (State::Answered, Some(answer)) => BeginResponse::Answered(answer.session.clone()),
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
    let sql = format!("SELECT {} FROM offline_session WHERE request = ?1", SESSION.column_list());
    let rows = tx.select(&sql, &[(*request).into()])?;
    rows.first().map(SessionRow::from_row).transpose()
}

/// Voids a session unless it was answered; answers with the row as it then is.
pub(crate) fn void(tx: &mut dyn Tx, session: &Digest) -> Result<Option<SessionRow>, StoreError> {
    let Some(mut row) = find(tx, session)? else { return Ok(None) };
    if row.state == State::Open {
        row.state = State::Void;
        tx.update(&SESSION, &row.values()?)?;
    }
    Ok(Some(row))
}

/// A session in memory.
#[expect(clippy::large_enum_variant, reason = "most sessions are announced right after they were named")]
pub(super) enum Slot {
    /// Waits for commitments.
    Named,
    /// Answered to these commitments' bytes (by digest); waits for challenges.
    Announced { request: Digest, open: OpenSession },
}

/// What memory has of a session.
#[expect(clippy::large_enum_variant, reason = "lives for one step")]
pub(super) enum Taken {
    /// It is somebody else's now.
    Busy,
    /// It is void.
    Gone,
    Slot(Slot),
}

struct Entry {
    slot: Option<Slot>,
    account: Id16,
    coins: usize,
    expires: Timestamp,
}

/// How many coins may be in open sessions.
#[derive(Debug, Clone, Copy)]
pub(super) struct OpenCoins {
    /// Of all accounts together.
    pub(super) all: usize,
    /// Of one account.
    pub(super) each: usize,
}

/// All open sessions of this run.
#[derive(Default)]
pub(crate) struct Sessions {
    entries: BTreeMap<Digest, Entry>,
    by_expiry: BTreeSet<(Timestamp, Digest)>,
    coins: usize,
    /// Coins by account; none that has none.
    by_account: BTreeMap<Id16, usize>,
}

impl Sessions {
    /// Takes up a session, after dropping those that expired.
    pub(super) fn add(
        &mut self,
        row: &SessionRow,
        coins: usize,
        now: Timestamp,
        most: OpenCoins,
    ) -> Result<(), Fault> {
        self.drop_expired(now);
        let (session, account, expires) = (row.session, row.account, row.expires);
        if self.entries.contains_key(&session) {
            return Err(Fault::new(Code::Busy, "the session is being opened").hint("try again in a moment"));
        }
        let sum = self.coins.saturating_add(coins);
        let own = self.by_account.get(&account).copied().unwrap_or(0).saturating_add(coins);
        if own > most.each {
            return Err(Fault::new(Code::Busy, "the account has too many coins in open sessions")
                .hint("finish the withdrawals that were begun, or wait until they expire"));
        }
        if sum > most.all {
            return Err(
                Fault::new(Code::Busy, "too many coins in open sessions").hint("try again in a moment")
            );
        }
        self.coins = sum;
        self.by_account.insert(account, own);
        self.by_expiry.insert((expires, session));
        self.entries.insert(session, Entry { slot: Some(Slot::Named), account, coins, expires });
        Ok(())
    }

    /// Destroys the secrets of sessions whose time is over.
    pub(crate) fn drop_expired(&mut self, now: Timestamp) {
        while let Some((expires, session)) = self.by_expiry.first().copied() {
            if now < expires {
                return;
            }
            self.remove(&session);
        }
    }

    /// Destroys a session's secrets.
    pub(super) fn remove(&mut self, session: &Digest) {
        if let Some(entry) = self.entries.remove(session) {
            self.coins = self.coins.saturating_sub(entry.coins);
            if let Some(own) = self.by_account.get_mut(&entry.account) {
                *own = own.saturating_sub(entry.coins);
                if *own == 0 {
                    self.by_account.remove(&entry.account);
                }
            }
            self.by_expiry.remove(&(entry.expires, *session));
        }
    }

    /// Takes a session for one step; until it is put back or removed others see that it is busy.
    pub(super) fn take(&mut self, session: &Digest, now: Timestamp) -> Taken {
        self.drop_expired(now);
        match self.entries.get_mut(session) {
            None => Taken::Gone,
            Some(entry) => entry.slot.take().map_or(Taken::Busy, Taken::Slot),
        }
    }

    /// Puts a session back after a step; if it expired meanwhile it is gone.
    pub(super) fn put(&mut self, session: &Digest, slot: Slot) {
        if let Some(entry) = self.entries.get_mut(session) {
            entry.slot = Some(slot);
        }
    }

    /// Whether memory has the session, at work or waiting.
    pub(super) fn has(&mut self, session: &Digest, now: Timestamp) -> bool {
        self.drop_expired(now);
        self.entries.contains_key(session)
    }
}
