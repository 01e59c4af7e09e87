//! What a center deletes by itself: payments, refunds and transfers that ended `keep_seconds` ago, with their
//! obligations and what the banks were told of them.
//!
//! Their transfers stay in the book, under ids made of the presentments': an item that comes again finds its reserve there,
//! and is refused with `EXPIRED` before anybody is asked. How the deleted obligations moved each member's account remains as
//! two sums, and the audit holds the transfers that no row calls for any more against them.
//!
//! Cheques stay, with the cycles that they were settled in; offline payments, claims and parts likewise.

use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_ledger::book;
use feiqian_ledger::store::{Column, Row, StoreError, StoreExt, Table, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::lap::Place;
use feiqian_wire::error::{Code, Fault};

use crate::failure::Failure;
use crate::obligations::{Booked, Due};
use crate::service::Center;
use crate::settlement::reserve_id;
use crate::tables::{NOTICE, OBLIGATION, PRESENTMENT};

/// What deleted obligations moved of each member's account, minor units: to it and from it.
pub(crate) static PRUNED: Table = Table {
    name: "center_pruned",
    columns: &[
        Column::text("bank"),
        Column::text("currency"),
        Column::integer("credited"),
        Column::integer("debited"),
    ],
    key: 2,
    constraints: &["CHECK (credited >= 0 AND debited >= 0)"],
    indexes: &[],
};

/// One row: how many obligations were deleted, and up to when presentments were.
pub(crate) static PRUNE_MARK: Table = Table {
    name: "center_prune_mark",
    columns: &[Column::integer("id"), Column::integer("obligations"), Column::integer("until")],
    key: 1,
    constraints: &["CHECK (id = 0)", "CHECK (obligations >= 0)", "CHECK (until >= 0)"],
    indexes: &[],
};

/// How many presentments one transaction deletes.
const PORTION: u32 = 64;
/// How many portions one round takes.
const ROUND: u32 = 32;

/// Number of deleted obligations, and up to when presentments were deleted.
pub(crate) fn mark(tx: &mut dyn Tx) -> Result<(u64, u64), StoreError> {
    let row = tx.find(&PRUNE_MARK, &[0_i64.into()])?;
    row.map_or(Ok((0, 0)), |row| Ok((row.unsigned(1)?, row.unsigned(2)?)))
}

impl Center {
    /// Refuses a presentment whose row was deleted: its reserve is in the book and it is not here.
    pub(crate) fn check_not_pruned(tx: &mut dyn Tx, id: &Digest) -> Result<(), Failure> {
        if book::find_transfer(tx, reserve_id(id))?.is_none() {
            return Ok(());
        }
        Err(Fault::new(Code::Expired, "the item was cleared so long ago that its outcome is forgotten")
            .into())
    }

    /// Deletes what is over, a bounded part of it; the rest follows in the next rounds.
    ///
    /// # Errors
    /// `UNAVAILABLE` or `INTERNAL` when the store fails.
    pub async fn keep_house(self: &Arc<Self>) -> Result<(), Fault> {
        feiqian_node::queues::gauge(&self.queues().await?);
        let before = self.seams.clock.now().seconds().saturating_sub(self.config.keep_seconds);
        for _ in 0..ROUND {
            let last = self.prune(before, self.pruning.after()).await?;
            self.pruning.went_to(last);
            if last.is_none() {
                break;
            }
        }
        Ok(())
    }

    async fn prune(self: &Arc<Self>, before: u64, after: Place) -> Result<Option<Place>, Fault> {
        let read = move |tx: &mut dyn Tx| {
            let sql = format!(
                "SELECT changed, id FROM {} WHERE state IN (2, 3) AND kind IN (0, 1, 3) AND changed <= ?1 \
                 AND (changed, id) > (?2, ?3) ORDER BY changed, id LIMIT ?4",
                PRESENTMENT.name
            );
            let place = [Value::unsigned(before)?, Value::unsigned(after.0)?, after.1.into(), PORTION.into()];
            let rows = tx.select(&sql, &place)?;
            rows.iter()
                .map(|row| Ok((row.unsigned(0)?, row.digest(1)?)))
                .collect::<Result<Vec<Place>, Failure>>()
        };
        let over = self.seams.store.read(read).await?;
        let Some(last) = over.last().copied() else { return Ok(None) };
        let work = move |tx: &mut dyn Tx| {
            let (mut count, mut until) = mark(tx)?;
            let mut is_any_gone = false;
            for (changed, id) in &over {
                if let Some(obligations) = drop_presentment(tx, id)? {
                    count = count.saturating_add(obligations);
                    // By what the rows say, not by a clock that may be wrong.
                    until = until.max(*changed);
                    is_any_gone = true;
                }
            }
            if !is_any_gone {
                return Ok(());
            }
            let values = [0_i64.into(), Value::unsigned(count)?, Value::unsigned(until)?];
            Ok::<_, Failure>(tx.put(&PRUNE_MARK, &values)?)
        };
        self.seams.store.commit("center.present.prune", work).await?;
        Ok(Some(last))
    }
}

/// Deletes a presentment with everything that hangs on it; how many obligations were among that, `None` where it stays.
fn drop_presentment(tx: &mut dyn Tx, id: &Digest) -> Result<Option<u64>, Failure> {
    if tx.find(&PRESENTMENT, &[(*id).into()])?.is_none() {
        return Ok(None);
    }
    let sql = format!("SELECT bank, told FROM {} WHERE presentment = ?1", NOTICE.name);
    let told = tx.select(&sql, &[(*id).into()])?;
    for row in &told {
        if !row.boolean(1)? {
            return Ok(None);
        }
    }
    let booked = Booked::find(tx, id)?;
    if let Some(booked) = &booked {
        // The last number stays: the next is made from it.
        let last = tx.select(&format!("SELECT max(number) FROM {}", OBLIGATION.name), &[])?;
        let last = last.first().map_or(Ok(None), |row| row.optional_unsigned(0))?;
        if booked.due != Due::Settled || booked.cycle.is_some() || last == Some(booked.number) {
            return Ok(None);
        }
        let currency = booked.amount.currency.code();
        keep(tx, booked.creditor.as_str(), currency, (booked.amount.minor, Minor::ZERO))?;
        keep(tx, booked.debtor.as_str(), currency, (Minor::ZERO, booked.amount.minor))?;
        tx.delete(&OBLIGATION, &[(*id).into()])?;
    }
    for row in &told {
        tx.delete(&NOTICE, &[row.text(0)?.into(), (*id).into()])?;
    }
    tx.delete(&PRESENTMENT, &[(*id).into()])?;
    Ok(Some(booked.is_some().into()))
}

fn keep(tx: &mut dyn Tx, bank: &str, currency: &str, more: (Minor, Minor)) -> Result<(), Failure> {
    let known = tx.find(&PRUNED, &[bank.into(), currency.into()])?;
    let read = |row: &Row| Ok::<_, StoreError>((row.minor(2)?, row.minor(3)?));
    let (credited, debited) = known.as_ref().map_or(Ok((Minor::ZERO, Minor::ZERO)), read)?;
    let values = [
        bank.into(),
        currency.into(),
        credited.checked_add(more.0).map_err(Fault::from)?.into(),
        debited.checked_add(more.1).map_err(Fault::from)?.into(),
    ];
    Ok(tx.put(&PRUNED, &values)?)
}
