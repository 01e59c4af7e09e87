//! What a bank does once when its store was restored from a backup.
//!
//! The one-time secrets of open sessions are in the memory of a process that is gone, and in no backup. That the sessions
//! are void would come out by itself, since each names the instance that could answer it; it is written down before the
//! bank answers anybody, so that nothing hangs on that.

use feiqian_ledger::store::{Store, StoreError, StoreExt as _, Tx};
use feiqian_wire::error::Fault;

use crate::offline;
use crate::refusal::Refusal;
use crate::sessions;

/// Sessions voided in one commit.
const STEP: u32 = 500;

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
