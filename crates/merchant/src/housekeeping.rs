//! What a merchant deletes by itself: sales that ended `keep_seconds` ago, with what was paid for them and given back.
//!
//! A sale ends when its request has expired; nothing of it may be on its way. A payment for it that comes again is one for a
//! request that nobody made. What was received remains as a sum; statements of the bank's account remain with the bank.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Column, Row, StoreError, StoreExt, Table, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::lap::Place;
use feiqian_wire::error::Fault;

use crate::failure::Failure;
use crate::payments::State;
use crate::service::Merchant;
use crate::tables::{CLAIM, PAYMENT, REFUND, SALE};

/// One row: how many deleted payments were paid, and their sum in minor units.
pub(crate) static CLOSED: Table = Table {
    name: "merchant_closed",
    columns: &[Column::integer("id"), Column::integer("paid"), Column::integer("received")],
    key: 1,
    constraints: &["CHECK (id = 0)", "CHECK (paid >= 0 AND received >= 0)"],
    indexes: &[],
};

/// How many sales one transaction deletes.
const PORTION: u32 = 64;
/// How many portions one round takes.
const ROUND: u32 = 16;

/// Number and sum of deleted payments.
pub(crate) fn closed(tx: &mut dyn Tx) -> Result<(u64, Minor), StoreError> {
    let row = tx.find(&CLOSED, &[0_i64.into()])?;
    row.map_or(Ok((0, Minor::ZERO)), |row: Row| Ok((row.unsigned(1)?, row.minor(2)?)))
}

impl Merchant {
    /// Deletes what is over, a bounded part of it; the rest follows in the next rounds.
    ///
    /// # Errors
    /// `UNAVAILABLE` or `INTERNAL` when the store fails.
    pub async fn keep_house(&self) -> Result<(), Fault> {
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

    async fn prune(&self, before: u64, after: Place) -> Result<Option<Place>, Fault> {
        let read = move |tx: &mut dyn Tx| -> Result<Vec<Place>, Failure> {
            let sql = format!(
                "SELECT created, request FROM {} WHERE created <= ?1 AND expires <= ?1 \
                 AND (created, request) > (?2, ?3) ORDER BY created, request LIMIT ?4",
                SALE.name
            );
            let place = [Value::unsigned(before)?, Value::unsigned(after.0)?, after.1.into(), PORTION.into()];
            let rows = tx.select(&sql, &place)?;
            rows.iter().map(|row| Ok((row.unsigned(0)?, row.digest(1)?))).collect()
        };
        let over = self.seams.store.read(read).await?;
        let Some(last) = over.last().copied() else { return Ok(None) };
        let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
            over.iter().try_for_each(|(_, request)| drop_sale(tx, request))
        };
        self.seams.store.commit("merchant.sale.prune", work).await?;
        Ok(Some(last))
    }
}

/// Rows of a table that a query finds by one digest: the first column, and the state.
fn found(tx: &mut dyn Tx, sql: &str, by: &Digest) -> Result<Vec<(Digest, State)>, Failure> {
    let rows = tx.select(sql, &[(*by).into()])?;
    rows.iter().map(|row| Ok((row.digest(0)?, State::from_number(row.integer(1)?)?))).collect()
}

fn drop_sale(tx: &mut dyn Tx, request: &Digest) -> Result<(), Failure> {
    if tx.find(&SALE, &[(*request).into()])?.is_none() {
        return Ok(());
    }
    let payments = found(tx, "SELECT payment, state FROM merchant_payment WHERE request = ?1", request)?;
    let mut refunds = Vec::new();
    for (payment, _) in &payments {
        refunds.extend(found(tx, "SELECT refund, state FROM merchant_refund WHERE payment = ?1", payment)?);
    }
    if payments.iter().chain(&refunds).any(|(_, state)| *state == State::Pending) {
        return Ok(());
    }
    let (mut paid, mut received) = closed(tx)?;
    for (payment, state) in &payments {
        if *state == State::Paid {
            let row = tx.find(&PAYMENT, &[(*payment).into()])?.ok_or(StoreError::Missing(PAYMENT.name))?;
            paid = paid.saturating_add(1);
            received = received.checked_add(row.minor(2)?).map_err(Fault::from)?;
        }
        tx.delete(&PAYMENT, &[(*payment).into()])?;
    }
    for (refund, _) in &refunds {
        tx.delete(&REFUND, &[(*refund).into()])?;
    }
    if tx.find(&CLAIM, &[(*request).into()])?.is_some() {
        tx.delete(&CLAIM, &[(*request).into()])?;
    }
    tx.delete(&SALE, &[(*request).into()])?;
    let values = [0_i64.into(), Value::unsigned(paid)?, received.into()];
    Ok(tx.put(&CLOSED, &values)?)
}
