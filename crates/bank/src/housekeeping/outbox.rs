//! Delivered items of the outbox.
//!
//! A row may go when the same item, brought again, is refused or answered before anybody is asked:
//!
//! | item | brought again |
//! |---|---|
//! | payment | its request has expired |
//! | refund | the payment is older than refunds may be |
//! | transfer | the archive of transfers has its outcome |
//! | offline payment | its coins have left the time of deposits |
//!
//! What was paid is in the ledger, under ids made of the presentment's. Of payments the sum by account is kept besides, since the
//! account's row counts it; a transfer's archive says all that its row said; of offline payments no row counts what was paid.
//!
//! An offline payment stays when not all of it was paid, since more may come. Cheques, claims and parts of them stay: with a
//! cheque goes the document that its holder may ask for, and the others are what claims, which stay, are audited by.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_clearing::presentment::ItemKind;
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::lap::Place;
use feiqian_offline_cash::deposit::Outcome;
use feiqian_wire::Timestamp;
use feiqian_wire::error::Fault;

use super::{Mark, PORTION, ROUND, keep_account};
use crate::Bank;
use crate::outbox::{PresentmentRow, State};
use crate::refusal::Refusal;
use crate::tables::PRESENTMENT;

/// Rows that may be over, with the times that the mark has to cover: when it was tried last, and when it expired. The kinds: 0
/// payment, 1 refund, 3 transfer, 4 offline payment.
const OVER: &str = "SELECT created, id, tried, CASE WHEN kind IN (0, 4) THEN expires ELSE 0 END \
    FROM presentment WHERE state IN (1, 2) AND kind IN (0, 1, 3, 4) AND created <= ?1 AND (created, id) > (?2, ?3) \
    AND tried <= ?1 AND (kind IN (1, 3) OR expires <= ?1) ORDER BY created, id LIMIT ?4";

impl Bank {
    /// Now, or, where the clock was turned back, the time up to which the outbox has forgotten.
    pub(crate) fn now_presented(&self) -> Timestamp {
        self.now().max(Timestamp::new(self.presented.load(Ordering::Acquire)))
    }

    /// Deletes delivered items that nobody may bring again.
    pub(super) async fn prune_presentments(self: &Arc<Self>) -> Result<(), Fault> {
        let before = self.now().seconds().saturating_sub(self.config.keep_seconds);
        for _ in 0..ROUND {
            let last = self.prune_presented(before, self.pruning.after()).await?;
            self.pruning.went_to(last);
            if last.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn prune_presented(self: &Arc<Self>, before: u64, after: Place) -> Result<Option<Place>, Fault> {
        let read = move |tx: &mut dyn Tx| {
            let place = [Value::unsigned(before)?, Value::unsigned(after.0)?, after.1.into(), PORTION.into()];
            let rows = tx.select(OVER, &place)?;
            rows.iter()
                .map(|row| {
                    let created = row.unsigned(0)?;
                    let until = created.max(row.unsigned(2)?).max(row.unsigned(3)?);
                    Ok(((created, row.digest(1)?), until))
                })
                .collect::<Result<Vec<(Place, u64)>, Refusal>>()
        };
        let over = self.seams.store.read(read).await?;
        let Some((last, _)) = over.last().copied() else { return Ok(None) };
        let work = move |tx: &mut dyn Tx| {
            // By what the rows say, not by a clock that may be wrong: the mark never goes back.
            let mut forgotten = 0_u64;
            for ((_, id), until) in &over {
                if drop_presentment(tx, id)? {
                    forgotten = forgotten.max(*until);
                }
            }
            Mark::Presented.raise(tx, forgotten)?;
            Ok::<_, Refusal>(forgotten)
        };
        let forgotten = self.seams.store.commit("bank.outbox.prune", work).await?;
        self.presented.fetch_max(forgotten, Ordering::AcqRel);
        Ok(Some(last))
    }
}

/// Deletes a row unless more may come of it; whether it did.
fn drop_presentment(tx: &mut dyn Tx, id: &Digest) -> Result<bool, Refusal> {
    let Some(row) = PresentmentRow::find(tx, id)? else { return Ok(false) };
    match (row.kind, row.state) {
        (ItemKind::Payment, State::Done) => keep_account(tx, row.account, Minor::ZERO, row.amount)?,
        (ItemKind::Holding, State::Done) if !is_paid_whole(&row)? => return Ok(false),
        _ => {}
    }
    tx.delete(&PRESENTMENT, &[(*id).into()])?;
    Ok(true)
}

fn is_paid_whole(row: &PresentmentRow) -> Result<bool, Refusal> {
    Ok(match row.holding_outcome()? {
        Outcome::Settled(receipt) => receipt.terms.paid()? == row.amount,
        _ => false,
    })
}
