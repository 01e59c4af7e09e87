//! When collateral goes back: to an identity that has ended, once no claim on its coins can come any more.
//!
//! ```text
//! account closed for the first time, or spent twice ─▶ identity ended ─▶ all epochs that it drew of are over, with a margin
//!                                                     for claims on their way, and nothing is owed ─▶ collateral ─▶ account
//! ```

use std::sync::Arc;

use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_offline_cash::keyset::Keyset;
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::identity::{IdentityRow, move_collateral};
use super::tables::KEYSET;
use crate::Bank;
use crate::chart::{Post, id};
use crate::refusal::{Refusal, from_blob};

/// How long after the end of an epoch another bank's claim may still come: one that was filed in time and whose bank, or the
/// center, was away.
const MARGIN_SECONDS: u64 = 7 * 86_400;

/// Whether nothing can be asked of the identity any more.
fn is_free(tx: &mut dyn Tx, account: Id16, now: Timestamp) -> Result<bool, StoreError> {
    if owes(tx, account)? {
        return Ok(false);
    }
    for row in tx.select("SELECT epoch FROM offline_drawn WHERE account = ?1", &[account.into()])? {
        let keyset = tx.find(&KEYSET, &[Value::unsigned(row.unsigned(0)?)?])?;
        let keyset: Keyset = from_blob(keyset.ok_or(StoreError::Missing("offline_keyset"))?.blob(2)?)?;
        if now < keyset.times.reclaim_until.saturating_add(MARGIN_SECONDS) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn owes(tx: &mut dyn Tx, account: Id16) -> Result<bool, StoreError> {
    let owed = "SELECT 1 FROM offline_claim WHERE account = ?1 AND paid < amount LIMIT 1";
    Ok(!tx.select(owed, &[account.into()])?.is_empty())
}

/// Gives back what is held of an ended identity, if it may go.
fn release(
    tx: &mut dyn Tx,
    row: &mut IdentityRow,
    reference: &Digest,
    now: Timestamp,
) -> Result<(), Refusal> {
    if row.closed.is_some() && is_free(tx, row.account, now)? {
        let path = [id(Post::Collateral), row.account];
        move_collateral(tx, reference, path, row.held, now.seconds())?;
        row.held = feiqian_money::Minor::ZERO;
        row.update(tx)?;
    }
    Ok(())
}

/// The account is about to be closed: its identity ends, and its collateral goes back when it may. Answers whether there
/// was any.
///
/// # Errors
/// `CONFLICT` when the identity owes for what it spent twice; the store's.
pub(crate) fn end_identity(
    tx: &mut dyn Tx,
    account: Id16,
    reference: &Digest,
    now: Timestamp,
) -> Result<bool, Refusal> {
    if owes(tx, account)? {
        let owes = "the account's offline identity owes for double spends";
        return Err(Fault::new(Code::Conflict, owes).into());
    }
    let Some(mut row) = IdentityRow::find(tx, account)?.filter(|row| !row.held.is_zero()) else {
        return Ok(false);
    };
    if row.closed.is_none() {
        row.closed = Some(now.seconds());
        row.update(tx)?;
    }
    release(tx, &mut row, reference, now)?;
    Ok(true)
}

impl Bank {
    /// Gives back the collateral of every ended identity of which nothing can be asked any more.
    pub(crate) async fn release_collateral(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let ended = move |tx: &mut dyn Tx| {
            let sql =
                "SELECT account FROM offline_identity WHERE closed IS NOT NULL AND held > 0 ORDER BY account";
            let mut free = Vec::new();
            for row in tx.select(sql, &[])? {
                let account = row.id(0)?;
                if is_free(tx, account, now)? {
                    free.push(account);
                }
            }
            Ok::<_, Refusal>(free)
        };
        for account in self.seams.store.read(ended).await? {
            let reference = self.random_digest();
            let work = move |tx: &mut dyn Tx| match IdentityRow::find(tx, account)? {
                Some(mut row) if !row.held.is_zero() => release(tx, &mut row, &reference, now),
                _ => Ok(()),
            };
            self.seams.store.commit("bank.offline.release", work).await?;
        }
        Ok(())
    }
}
