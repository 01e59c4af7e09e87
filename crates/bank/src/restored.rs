//! What a bank does once when its store was restored from a backup.
//!
//! The one-time secrets of open sessions are in the memory of a process that is gone, and in no backup. That the sessions
//! are void would come out by itself, since each names the instance that could answer it; it is written down before the
//! bank answers anybody, so that nothing hangs on that. And it is written down that the center must be asked what was
//! cleared since: see [`Bank::reconcile`](crate::Bank::reconcile).

use feiqian_ledger::store::{Row, Store, StoreError, StoreExt as _, Tx, Value};
use feiqian_wire::error::Fault;

use crate::offline;
use crate::refusal::Refusal;
use crate::sessions;
use crate::tables::RESTORED;

/// Sessions voided in one commit.
const STEP: u32 = 500;

/// That the store came from a backup, and what the center knew of since; a store has at most one such row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// When the backup was made, Unix seconds.
    pub backup_of: u64,
    /// When everything that the center knew was taken, Unix seconds; `None` before.
    pub done_at: Option<u64>,
    /// How many payments were redeemed anew: their coins are spent now, and they are booked. Not an amount, nor coins.
    pub spent: u64,
    /// How many payments are in the outbox again, with online or offline coins; what becomes of them shows there.
    pub asked: u64,
    /// How many payments were redeemed anew and not booked: their coins are of withdrawals that are lost.
    pub unbooked: u64,
    /// How many other items the center cleared since the backup that are not on record here; nothing was done with them. 0 until
    /// `done_at`.
    pub left: u64,
}

impl Restored {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            backup_of: row.unsigned(1)?,
            done_at: row.optional_unsigned(2)?,
            spent: row.unsigned(3)?,
            asked: row.unsigned(4)?,
            unbooked: row.unsigned(5)?,
            left: row.unsigned(6)?,
        })
    }

    fn values(&self) -> Result<[Value; 7], StoreError> {
        Ok([
            0_i64.into(),
            Value::unsigned(self.backup_of)?,
            self.done_at.map(Value::unsigned).transpose()?.into(),
            Value::unsigned(self.spent)?,
            Value::unsigned(self.asked)?,
            Value::unsigned(self.unbooked)?,
            Value::unsigned(self.left)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx) -> Result<Option<Self>, StoreError> {
        tx.find(&RESTORED, &[0_i64.into()])?.as_ref().map(Self::of).transpose()
    }

    pub(crate) fn update(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        tx.update(&RESTORED, &self.values()?)
    }
}

/// Writes down that a store is of a backup made at `backup_of`, and voids every open session: answers with their number.
///
/// # Errors
/// The store's failures, as faults.
pub async fn begin(store: &dyn Store, backup_of: u64) -> Result<u64, Fault> {
    let fresh = Restored { backup_of, done_at: None, spent: 0, asked: 0, unbooked: 0, left: 0 };
    let mark = move |tx: &mut dyn Tx| {
        // A backup may itself be of a store that was restored.
        Ok::<_, Refusal>(tx.put(&RESTORED, &fresh.values()?)?)
    };
    store.commit("bank.restore.begin", mark).await.map_err(|refusal: Refusal| Fault::from(refusal))?;
    void_open_sessions(store).await
}

/// Voids every open session of a store, of online and offline coins: answers with their number.
///
/// # Errors
/// The store's failures, as faults.
pub async fn void_open_sessions(store: &dyn Store) -> Result<u64, Fault> {
    let mut voided = 0_u64;
    loop {
        let step = store
            .commit("bank.restore.void", void_some)
            .await
            .map_err(|refusal: Refusal| Fault::from(refusal))?;
        if step == 0 {
            return Ok(voided);
        }
        voided = voided.saturating_add(step);
    }
}

fn void_some(tx: &mut dyn Tx) -> Result<u64, Refusal> {
    let mut some = |table: &str| {
        let sql = format!("SELECT session FROM {table} WHERE state = 0 ORDER BY session LIMIT ?1");
        let rows = tx.select(&sql, &[STEP.into()])?;
        rows.iter().map(|row| row.digest(0)).collect::<Result<Vec<_>, StoreError>>()
    };
    let (online, offline) = (some("session")?, some("offline_session")?);
    for session in &online {
        sessions::void(tx, session)?;
    }
    for session in &offline {
        offline::sessions::void(tx, session)?;
    }
    Ok(u64::try_from(online.len().saturating_add(offline.len())).unwrap_or(u64::MAX))
}
