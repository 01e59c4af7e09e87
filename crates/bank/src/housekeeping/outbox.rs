//! Delivered items of the outbox.
//!
//! A row may go when the same item, brought again, is refused before anybody is asked: its request has expired, or, for a
//! refund, the payment is older than refunds may be. What was paid is in the ledger, under ids made of the presentment's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_clearing::presentment::ItemKind;
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_wire::Timestamp;
use feiqian_wire::error::Fault;

use super::{Mark, PORTION, ROUND, keep_account};
use crate::Bank;
use crate::outbox::{PresentmentRow, State};
use crate::refusal::Refusal;
use crate::tables::PRESENTMENT;

/// Where a round has come to: the order of the rows that may go.
type Place = (u64, Digest);

impl Bank {
    /// Now, or, where the clock was turned back, the time up to which the outbox has forgotten.
    pub(crate) fn now_presented(&self) -> Timestamp {
        self.now().max(Timestamp::new(self.presented.load(Ordering::Acquire)))
    }

    /// Deletes delivered items that nobody may bring again.
    pub(super) async fn prune_presentments(self: &Arc<Self>) -> Result<(), Fault> {
        let before = self.now().seconds().saturating_sub(self.config.keep_seconds);
        let mut after = (0, Digest([0; 32]));
        for _ in 0..ROUND {
            let Some(last) = self.prune_presented(before, after).await? else { break };
            after = last;
        }
        Ok(())
    }

    async fn prune_presented(self: &Arc<Self>, before: u64, after: Place) -> Result<Option<Place>, Fault> {
        let read = move |tx: &mut dyn Tx| {
            let sql = "SELECT created, id, CASE WHEN kind = 0 AND expires > created THEN expires ELSE created END FROM presentment WHERE state IN (1, 2) AND kind IN (0, 1) \
                       AND created <= ?1 AND (created, id) > (?2, ?3) AND (kind = 1 OR expires <= ?1) \
                       ORDER BY created, id LIMIT ?4";
            let place = [Value::unsigned(before)?, Value::unsigned(after.0)?, after.1.into(), PORTION.into()];
            let rows = tx.select(sql, &place)?;
            rows.iter()
                .map(|row| Ok(((row.unsigned(0)?, row.digest(1)?), row.unsigned(2)?)))
                .collect::<Result<Vec<(Place, u64)>, Refusal>>()
        };
        let over = self.seams.store.read(read).await?;
        let Some((last, _)) = over.last().copied() else { return Ok(None) };
        // By what the rows say, not by a clock that may be wrong: the mark never goes back.
        let forgotten = over.iter().map(|(_, until)| *until).max().unwrap_or(0);
        let work = move |tx: &mut dyn Tx| {
            Mark::Presented.raise(tx, forgotten)?;
            over.iter().try_for_each(|((_, id), _)| drop_presentment(tx, id))
        };
        self.seams.store.commit("bank.outbox.prune", work).await?;
        self.presented.fetch_max(forgotten, Ordering::AcqRel);
        Ok(Some(last))
    }
}

fn drop_presentment(tx: &mut dyn Tx, id: &Digest) -> Result<(), Refusal> {
    let Some(row) = PresentmentRow::find(tx, id)? else { return Ok(()) };
    if row.kind == ItemKind::Payment && row.state == State::Done {
        keep_account(tx, row.account, Minor::ZERO, row.amount)?;
    }
    Ok(tx.delete(&PRESENTMENT, &[(*id).into()])?)
}
