//! What a bank deletes by itself, and when nothing can depend on it any more.
//!
//! | rows | go when | what remains |
//! |---|---|---|
//! | coins, what each statement took of them, evidence | their epoch has ended | totals; what was redeemed, in `pruned_total` |
//! | payments, refunds, signed statements | all their coins' epochs have ended, no session refers to them, and no refund is open | totals; what was deposited, in `pruned_account` |
//! | sessions | their epoch has ended | totals; what was issued, in `pruned_total`, and withdrawn, in `pruned_account` |
//! | released payments | the mark of expired payments covers them | the mark |
//! | refused presentments | the newest epoch of then has ended | |
//! | payments, refunds, transfers and offline payments in the outbox, delivered | `keep_seconds` after they were made and expired | what was deposited, in `pruned_account`; the archive of transfers |
//!
//! An epoch *ends* one [`MARGIN`] after its grace. That is written down first, as a mark that never goes back: from then
//! on its coins are refused with `KEY_EXPIRED` by whoever reads the mark, also when a clock is turned back, and nobody is told
//! any more what became of a payment with them. Then rows go in portions of one short transaction each, which moves what
//! they said into the sums that remain. So the audit balances at every moment, and a portion that was cut off is not
//! missed.
//!
//! Refused offline payments are kept, whatever epochs end. Books stay: the ledger, cheques, the archive of transfers, statements
//! of accounts, certificates, and of offline cash all but what is said above and the exposed list:
//!
//! * Void sessions hold no answers, but a wallet that is made again from its words counts request numbers until so many in a row
//!   are unknown: a gap would hide what was withdrawn behind it.
//! * Chains are the only proof of what circulation paid and for whom, accusations and charges rest on them, and the audit
//!   replays them.

mod epochs;
mod outbox;
mod queues;
pub(crate) mod tables;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_crypto::Id16;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_online_cash::Rejection;
use feiqian_wire::error::Fault;

use crate::Bank;
use crate::refusal::Refusal;
use tables::{PRUNE_MARK, PRUNED_ACCOUNT};

/// How long after the end of grace an epoch ends, seconds: whoever was in time by a clock that is a little slow is through.
pub(crate) const MARGIN: u64 = 86_400;
/// How many rows of the leading kind one transaction deletes.
const PORTION: u32 = 64;
/// How many portions of each kind one round takes.
const ROUND: u32 = 32;

/// A mark's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Epochs,
    Presented,
}

impl Mark {
    fn name(self) -> &'static str {
        match self {
            Self::Epochs => "epochs",
            Self::Presented => "presented",
        }
    }

    pub(crate) fn read(self, tx: &mut dyn Tx) -> Result<u64, StoreError> {
        tx.find(&PRUNE_MARK, &[self.name().into()])?.map_or(Ok(0), |row| row.unsigned(1))
    }

    /// Moves the mark on, never back.
    fn raise(self, tx: &mut dyn Tx, to: u64) -> Result<(), StoreError> {
        let values = [self.name().into(), Value::unsigned(to)?];
        match tx.find(&PRUNE_MARK, &[self.name().into()])? {
            None => tx.insert(&PRUNE_MARK, &values),
            Some(row) if row.unsigned(1)? < to => tx.update(&PRUNE_MARK, &values),
            Some(_) => Ok(()),
        }
    }
}

/// Adds to what an account withdrew and deposited by rows that are deleted.
fn keep_account(tx: &mut dyn Tx, account: Id16, withdrawn: Minor, deposited: Minor) -> Result<(), Refusal> {
    let known = tx.find(&PRUNED_ACCOUNT, &[account.into()])?;
    let read = |row: &Row| Ok::<_, StoreError>((row.minor(1)?, row.minor(2)?));
    let (before, deposits) = known.as_ref().map_or(Ok((Minor::ZERO, Minor::ZERO)), read)?;
    let values =
        [account.into(), before.checked_add(withdrawn)?.into(), deposits.checked_add(deposited)?.into()];
    Ok(tx.put(&PRUNED_ACCOUNT, &values)?)
}

impl Bank {
    /// Deletes what is over, a bounded part of it; the rest follows in the next rounds.
    pub(crate) async fn keep_house(self: &Arc<Self>) -> Result<(), Fault> {
        let ended = self.end_epochs().await;
        let epochs = self.prune_epochs().await;
        let released = self.prune_released().await;
        let delivered = self.prune_presentments().await;
        ended.and(epochs).and(released).and(delivered)
    }

    /// Reads the marks, which another process of this bank may have moved.
    pub(crate) async fn read_marks(&self) -> Result<(), Fault> {
        let read = |tx: &mut dyn Tx| Ok::<_, Refusal>((Mark::Epochs.read(tx)?, Mark::Presented.read(tx)?));
        let (epochs, presented) = self.seams.store.read(read).await?;
        self.ended.fetch_max(epochs, Ordering::AcqRel);
        self.presented.fetch_max(presented, Ordering::AcqRel);
        Ok(())
    }

    /// Epochs below this have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Refuses coins of an epoch that has ended, whatever the clock says now.
    pub(crate) fn check_not_ended(&self, epochs: impl IntoIterator<Item = u64>) -> Result<(), Rejection> {
        let ended = self.ended();
        if epochs.into_iter().any(|epoch| epoch < ended) { Err(Rejection::KeyExpired) } else { Ok(()) }
    }
}
