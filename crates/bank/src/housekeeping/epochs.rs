//! Epochs that have ended: the mark, then coins, statements and sessions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_online_cash::evidence::Statement;
use feiqian_online_cash::issue::expand;
use feiqian_wire::Timestamp;
use feiqian_wire::error::Fault;

use super::tables::PRUNED_TOTAL;
use super::{MARGIN, Mark, PORTION, ROUND, keep_account};
use crate::Bank;
use crate::keys::Ring;
use crate::payments::{PaymentRow, release_until, released_until};
use crate::refusal::Refusal;
use crate::register::{self, Sums, add};
use crate::sessions::{FundingKind, SessionRow};
use crate::tables::{COIN, EVIDENCE, REFUND, REFUSED, RELEASED, SESSION, SPEND, STATEMENT};

/// How many statements of one coin one transaction deletes: a coin of 2^20 units may have as many.
const SPENDS: u32 = 256;

impl Bank {
    /// Writes down which epochs have ended.
    pub(super) async fn end_epochs(self: &Arc<Self>) -> Result<(), Fault> {
        self.read_marks().await?;
        // What ends never comes back, so this bank's clock alone does not decide: the center must have dated its hourly list
        // by then too, which is taken only when it is not ahead of this clock.
        let view = self.members.snapshot();
        let Some(list) = view.lists().of(view.root().public_key()) else { return Ok(()) };
        let now = self.now().min(Timestamp::new(list.this_update()));
        let ring = self.ring.load_full();
        let over =
            ring.keysets.iter().take_while(|known| known.keyset.grace_until.saturating_add(MARGIN) <= now);
        let Some(ended) = over.last().map(|known| known.keyset.epoch.0.saturating_add(1)) else {
            return Ok(());
        };
        if ended <= self.ended() {
            return Ok(());
        }
        let raise = move |tx: &mut dyn Tx| Ok::<_, Refusal>(Mark::Epochs.raise(tx, ended)?);
        self.seams.store.commit("bank.epoch.end", raise).await?;
        self.ended.fetch_max(ended, Ordering::AcqRel);
        tracing::info!(below = ended, "epochs have ended");
        Ok(())
    }

    /// Deletes a part of what is left of epochs that have ended.
    pub(super) async fn prune_epochs(self: &Arc<Self>) -> Result<(), Fault> {
        let ended = self.ended();
        if ended == 0 {
            return Ok(());
        }
        for _ in 0..ROUND {
            if self.prune_coins(ended).await? == 0 {
                break;
            }
        }
        for _ in 0..ROUND {
            if self.prune_sessions(ended).await? == 0 {
                break;
            }
        }
        self.prune_refused(ended).await
    }

    async fn prune_coins(self: &Arc<Self>, ended: u64) -> Result<usize, Fault> {
        let read = move |tx: &mut dyn Tx| Ok::<_, Refusal>(next_coins(tx, ended)?);
        let Some((epoch, coins)) = self.seams.store.read(read).await? else { return Ok(0) };
        let (count, bank) = (coins.len(), self.name().to_owned());
        let work = move |tx: &mut dyn Tx| {
            let mut redeemed = Sums::new();
            let mut statements = BTreeSet::new();
            for (denomination, key) in &coins {
                drop_coin(tx, epoch, *denomination, key, &mut redeemed, &mut statements)?;
            }
            keep_totals(tx, &Sums::new(), &redeemed)?;
            statements.iter().try_for_each(|statement| drop_statement(tx, &bank, statement))
        };
        self.seams.store.commit("bank.coin.prune", work).await?;
        Ok(count)
    }

    async fn prune_sessions(self: &Arc<Self>, ended: u64) -> Result<usize, Fault> {
        let ring = self.ring.load_full();
        let last = ring.keysets.iter().rfind(|known| known.keyset.epoch.0 < ended);
        let Some(until) = last.map(|known| known.keyset.issue_until().seconds()) else { return Ok(0) };
        let read = move |tx: &mut dyn Tx| {
            let mut found = Vec::new();
            let sql =
                "SELECT session FROM session WHERE state = ?1 AND expires <= ?2 ORDER BY expires LIMIT ?3";
            for state in [0_i64, 1, 2] {
                let rows = tx.select(sql, &[state.into(), Value::unsigned(until)?, PORTION.into()])?;
                found.extend(rows.iter().map(|row| row.digest(0)).collect::<Result<Vec<_>, _>>()?);
            }
            Ok::<_, Refusal>(found)
        };
        let sessions = self.seams.store.read(read).await?;
        if sessions.is_empty() {
            return Ok(0);
        }
        let bank = self.name().to_owned();
        let work = move |tx: &mut dyn Tx| {
            let mut gone = 0_usize;
            for session in &sessions {
                gone = gone.saturating_add(drop_session(tx, &bank, &ring, session, ended)?.into());
            }
            Ok::<_, Refusal>(gone)
        };
        Ok(self.seams.store.commit("bank.issue.prune", work).await?)
    }

    async fn prune_refused(self: &Arc<Self>, ended: u64) -> Result<(), Fault> {
        let read = move |tx: &mut dyn Tx| {
            let sql = "SELECT presentment FROM refused WHERE epoch < ?1 ORDER BY epoch LIMIT ?2";
            let rows = tx.select(sql, &[Value::unsigned(ended)?, PORTION.saturating_mul(ROUND).into()])?;
            rows.iter().map(|row| Ok(row.digest(0)?)).collect::<Result<Vec<Digest>, Refusal>>()
        };
        let over = self.seams.store.read(read).await?;
        if over.is_empty() {
            return Ok(());
        }
        let work = move |tx: &mut dyn Tx| {
            over.iter().try_for_each(|presentment| drop_if_there(tx, &REFUSED, &[(*presentment).into()]))?;
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.refused.prune", work).await?)
    }

    /// One mark says for all payments that expired long ago what a row said for each.
    pub(super) async fn prune_released(self: &Arc<Self>) -> Result<(), Fault> {
        let before = self.now().saturating_sub(MARGIN);
        let read = move |tx: &mut dyn Tx| {
            let sql = "SELECT digest, expires FROM released WHERE expires <= ?1 ORDER BY expires LIMIT ?2";
            let until = Value::unsigned(before.seconds())?;
            let rows = tx.select(sql, &[until, PORTION.saturating_mul(ROUND).into()])?;
            rows.iter()
                .map(|row| Ok((row.digest(0)?, row.unsigned(1)?)))
                .collect::<Result<Vec<(Digest, u64)>, Refusal>>()
        };
        let over = self.seams.store.read(read).await?;
        let Some((_, until)) = over.last().copied() else { return Ok(()) };
        let work = move |tx: &mut dyn Tx| {
            let until = feiqian_wire::Timestamp::new(until);
            if released_until(tx)? < until {
                release_until(tx, until)?;
            }
            over.iter().try_for_each(|(digest, _)| drop_if_there(tx, &RELEASED, &[(*digest).into()]))?;
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.released.prune", work).await?)
    }
}

/// Deletes a row that another process of this bank may have deleted already.
pub(super) fn drop_if_there(
    tx: &mut dyn Tx,
    table: &feiqian_ledger::store::Table,
    key: &[Value],
) -> Result<(), StoreError> {
    if tx.find(table, key)?.is_some() { tx.delete(table, key) } else { Ok(()) }
}

/// The next coins of one denomination of which not everything is deleted, with its epoch.
#[allow(clippy::type_complexity, reason = "an epoch and its coins' keys")]
fn next_coins(tx: &mut dyn Tx, ended: u64) -> Result<Option<(u64, Vec<(Digest, [u8; 32])>)>, StoreError> {
    let sql = "SELECT total.epoch, total.denomination FROM total LEFT JOIN pruned_total \
               ON pruned_total.epoch = total.epoch AND pruned_total.denomination = total.denomination \
               WHERE total.epoch < ?1 AND total.redeemed > coalesce(pruned_total.redeemed, 0) \
               ORDER BY total.epoch, total.denomination LIMIT 1";
    let rows = tx.select(sql, &[Value::unsigned(ended)?])?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (epoch, denomination) = (row.unsigned(0)?, row.digest(1)?);
    let sql = "SELECT coin_key FROM coin WHERE denomination = ?1 ORDER BY coin_key LIMIT ?2";
    let rows = tx.select(sql, &[denomination.into(), PORTION.into()])?;
    let coins =
        rows.iter().map(|row| Ok((denomination, row.array(0)?))).collect::<Result<Vec<_>, StoreError>>()?;
    Ok((!coins.is_empty()).then_some((epoch, coins)))
}

/// Deletes what statements took of a coin, and the coin when nothing of that is left.
fn drop_coin(
    tx: &mut dyn Tx,
    epoch: u64,
    denomination: Digest,
    key: &[u8; 32],
    redeemed: &mut Sums,
    statements: &mut BTreeSet<Digest>,
) -> Result<(), Refusal> {
    let coin: [Value; 2] = [denomination.into(), (*key).into()];
    let spends = register::spends(tx, &coin, SPENDS)?;
    for (statement, contribution) in &spends {
        add(redeemed, (epoch, denomination), *contribution)?;
        drop_if_there(tx, &SPEND, &[coin[0].clone(), coin[1].clone(), (*statement).into()])?;
        statements.insert(*statement);
    }
    if u32::try_from(spends.len()).unwrap_or(u32::MAX) < SPENDS {
        drop_if_there(tx, &EVIDENCE, &coin)?;
        drop_if_there(tx, &COIN, &coin)?;
    }
    Ok(())
}

/// Adds to what is issued and redeemed by rows that are deleted.
fn keep_totals(tx: &mut dyn Tx, issued: &Sums, redeemed: &Sums) -> Result<(), Refusal> {
    let keys: BTreeSet<_> = issued.keys().chain(redeemed.keys()).copied().collect();
    for (epoch, denomination) in keys {
        let key = [Value::unsigned(epoch)?, denomination.into()];
        let known = tx.find(&PRUNED_TOTAL, &key)?;
        let read = |row: &Row| Ok::<_, StoreError>((row.minor(2)?, row.minor(3)?));
        let before = known.as_ref().map_or(Ok((Minor::ZERO, Minor::ZERO)), read)?;
        let more = |sums: &Sums| sums.get(&(epoch, denomination)).copied().unwrap_or(Minor::ZERO);
        let [epoch, denomination] = key;
        let values = [
            epoch,
            denomination,
            before.0.checked_add(more(issued))?.into(),
            before.1.checked_add(more(redeemed))?.into(),
        ];
        if known.is_some() { tx.update(&PRUNED_TOTAL, &values)? } else { tx.insert(&PRUNED_TOTAL, &values)? }
    }
    Ok(())
}

/// Deletes a session of an epoch that has ended; whether it did.
fn drop_session(
    tx: &mut dyn Tx,
    bank: &str,
    ring: &Ring,
    session: &Digest,
    ended: u64,
) -> Result<bool, Refusal> {
    let Some(row) = tx.find(&SESSION, &[(*session).into()])? else { return Ok(false) };
    let row = SessionRow::from_row(&row)?;
    let mut issued = Sums::new();
    for denomination in expand(&row.outputs).map_err(Fault::from)? {
        let key = &ring.key(&denomination)?.verified;
        if key.epoch >= ended {
            return Ok(false);
        }
        add(&mut issued, (key.epoch, key.id), key.key.value)?;
    }
    tx.delete(&SESSION, &[(*session).into()])?;
    let Some(answer) = &row.answer else { return Ok(true) };
    keep_totals(tx, &issued, &Sums::new())?;
    match (answer.funding, row.account) {
        (FundingKind::Account, Some(account)) => keep_account(tx, account, row.amount, Minor::ZERO)?,
        _ => drop_statement(tx, bank, &answer.reference)?,
    }
    Ok(true)
}

/// Deletes a statement when nothing refers to it any more: no coin, no session, and for a payment no open refund.
fn drop_statement(tx: &mut dyn Tx, bank: &str, digest: &Digest) -> Result<(), Refusal> {
    let Some(statement) = register::statement(tx, digest)? else { return Ok(()) };
    for coin in coins_of(&statement) {
        if register::spend(tx, &[coin.0.into(), coin.1.into()], digest)?.is_some() {
            return Ok(());
        }
    }
    match &statement {
        Statement::Refresh { session, .. } => {
            if tx.find(&SESSION, &[(*session).into()])?.is_some() {
                return Ok(());
            }
        }
        Statement::Payment { .. } => {
            if let Some(payment) = PaymentRow::find(tx, digest)?
                && !drop_payment(tx, bank, &payment)?
            {
                return Ok(());
            }
        }
    }
    Ok(drop_if_there(tx, &STATEMENT, &[(*digest).into()])?)
}

fn coins_of(statement: &Statement) -> Vec<(Digest, [u8; 32])> {
    match statement {
        Statement::Payment { shares, .. } => {
            shares.iter().map(|share| (share.coin.denomination, share.coin.key.to_bytes())).collect()
        }
        Statement::Refresh { inputs, .. } => {
            inputs.iter().map(|input| (input.coin.denomination, input.coin.key.to_bytes())).collect()
        }
    }
}

/// Whether the payment could be deleted, with its refunds.
fn drop_payment(tx: &mut dyn Tx, bank: &str, payment: &PaymentRow) -> Result<bool, Refusal> {
    if payment.refunded > payment.claimed {
        // Somebody's money: it can be claimed as long as it is there.
        return Ok(false);
    }
    if payment.route.is_none() && tx.find(&SESSION, &[payment.presentment.into()])?.is_some() {
        return Ok(false);
    }
    let claims = "SELECT 1 FROM session WHERE reference = ?1 AND funding = 3 LIMIT 1";
    if !payment.claimed.is_zero() && !tx.select(claims, &[payment.digest.into()])?.is_empty() {
        return Ok(false);
    }
    let refunds = "SELECT refund FROM refund WHERE payment = ?1 ORDER BY refund";
    for row in tx.select(refunds, &[payment.digest.into()])? {
        tx.delete(&REFUND, &[payment.digest.into(), row.digest(0)?.into()])?;
    }
    payment.delete(tx)?;
    if let Some((collecting, account)) = &payment.route
        && collecting == bank
        && let Ok(account) = account.parse()
    {
        keep_account(tx, account, Minor::ZERO, payment.amount)?;
    }
    Ok(true)
}
