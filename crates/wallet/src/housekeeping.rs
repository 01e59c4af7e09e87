//! What a wallet deletes by itself: coins that were spent and whose keys ended `keep_seconds` ago, with what was signed of them,
//! and the sessions and payments of then.
//!
//! A coin goes when nothing is left of it, the grace of its key is over for so long that no evidence about it is to be expected, and
//! nothing needs its key any more: no refund of a payment with it can come or is being taken, and no payment or refresh with it is
//! open. What it was spent by goes with the last of its coins; a session when none of its coins and nothing that it signed is
//! left; what banks had shown in it likewise, since its keys sign no more. The owner's history stays.

use std::collections::BTreeSet;

use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_online_cash::coin::CoinId;
use feiqian_wire::Timestamp;
use feiqian_wire::error::Fault;

use crate::failure::{Failure, Result};
use crate::record::{CoinRow, PaymentRow, Purpose, SessionRow};
use crate::refund::last_refund;
use crate::tables::{COIN, CONTRIBUTION, PAYMENT, SEEN, SESSION, STATEMENT};
use crate::wallet::Wallet;

/// How many coins, sessions or payments one transaction deletes.
const PORTION: u32 = 64;
/// How many portions of each one round takes.
const ROUND: u32 = 8;

impl Wallet {
    /// Deletes what is over, a bounded part of it; the rest follows in the next rounds. A running wallet does it by itself.
    ///
    /// # Errors
    /// The store's.
    pub async fn keep_house(&self) -> Result<(), Fault> {
        Ok(self.delete_what_is_over().await?)
    }

    async fn delete_what_is_over(&self) -> Result<()> {
        let before = self.now().seconds().saturating_sub(self.config.keep_seconds);
        let ended: Vec<Digest> = self
            .view()
            .pins
            .keysets()
            .iter()
            .filter_map(|known| {
                let is_over = known.keyset.grace_until.seconds() <= before;
                is_over.then(|| known.keys.iter().map(|key| key.id).collect::<Vec<_>>())
            })
            .flatten()
            .collect();
        if ended.is_empty() {
            return Ok(());
        }
        let now = self.now();
        for _ in 0..ROUND {
            let denominations = ended.clone();
            let read = move |tx: &mut dyn Tx| spent(tx, &denominations, now);
            let coins = self.seams.store.read(read).await?;
            if coins.is_empty() {
                break;
            }
            let work = move |tx: &mut dyn Tx| drop_coins(tx, &coins, now);
            self.seams.store.commit("wallet.coin.prune", work).await?;
        }
        for (sql, lap) in [SESSIONS, PAYMENTS].into_iter().zip(&self.pruning) {
            for _ in 0..ROUND {
                let (_, after) = lap.after();
                let found =
                    self.seams.store.read(move |tx: &mut dyn Tx| next(tx, sql, before, after)).await?;
                lap.went_to(found.last().map(|last| (0, *last)));
                if found.is_empty() {
                    break;
                }
                let is_session = sql == SESSIONS;
                let work = move |tx: &mut dyn Tx| {
                    let drop = if is_session { drop_session } else { drop_payment };
                    found.iter().try_for_each(|request| drop(tx, request))
                };
                self.seams.store.commit("wallet.session.prune", work).await?;
            }
        }
        Ok(())
    }
}

/// Sessions that came to an end before a time.
const SESSIONS: &str = "SELECT request FROM issue_session WHERE state IN ('done', 'void') AND created <= ?1 \
                        AND request > ?2 ORDER BY request LIMIT ?3";
/// Payments likewise.
const PAYMENTS: &str = "SELECT request FROM payment WHERE state IN ('paid', 'refused', 'lapsed') AND created <= ?1 \
                        AND request > ?2 ORDER BY request LIMIT ?3";

fn next(tx: &mut dyn Tx, sql: &str, before: u64, after: Digest) -> Result<Vec<Digest>> {
    let rows = tx.select(sql, &[Value::unsigned(before)?, after.into(), PORTION.into()])?;
    Ok(rows.iter().map(|row| row.digest(0)).collect::<Result<_, StoreError>>()?)
}

/// Coins whose keys are needed: of payments and refreshes that are open, of refunds that are being taken, and of payments of which
/// a refund may still come.
fn needed(tx: &mut dyn Tx, now: Timestamp) -> Result<BTreeSet<CoinId>> {
    let (mut coins, mut refunds) = (BTreeSet::new(), BTreeSet::new());
    for session in SessionRow::unfinished(tx)? {
        match session.design.purpose {
            Purpose::Refresh(planned) => coins.extend(planned.iter().map(|plan| plan.coin)),
            Purpose::Refund { payment, .. } => drop(refunds.insert(payment)),
            Purpose::Withdraw | Purpose::Receive(_) => {}
        }
    }
    for row in PaymentRow::not_lapsed(tx)? {
        let is_open = !matches!(row.state.as_str(), "paid" | "refused");
        let may_come_back = row.kind == "pay" && now < last_refund(&row);
        if is_open || may_come_back || refunds.contains(&row.payment) {
            coins.extend(row.item.payment.coins.iter().map(|coin| coin.share.coin));
        }
    }
    Ok(coins)
}

/// The next coins of these denominations of which nothing is left and whose keys nothing needs.
fn spent(tx: &mut dyn Tx, ended: &[Digest], now: Timestamp) -> Result<Vec<CoinId>> {
    let sql = "SELECT coin_key FROM coin WHERE denomination = ?1 AND rest = 0 AND coin_key > ?2 \
               ORDER BY coin_key LIMIT ?3";
    let most = usize::try_from(PORTION).unwrap_or(usize::MAX);
    let mut needs = None;
    let mut found = Vec::new();
    for denomination in ended {
        let mut after = Value::Blob(Vec::new());
        loop {
            let rows = tx.select(sql, &[(*denomination).into(), after.clone(), PORTION.into()])?;
            let Some(last) = rows.last() else { break };
            after = last.value(0)?.clone();
            let needs = match &mut needs {
                Some(needs) => needs,
                none => none.insert(needed(tx, now)?),
            };
            for row in &rows {
                let coin = CoinId { denomination: *denomination, key: EncodedPoint(row.array(0)?) };
                if !needs.contains(&coin) {
                    found.push(coin);
                }
            }
            if found.len() >= most {
                found.truncate(most);
                return Ok(found);
            }
        }
    }
    Ok(found)
}

fn drop_coins(tx: &mut dyn Tx, coins: &[CoinId], now: Timestamp) -> Result<()> {
    let needs = needed(tx, now)?;
    for coin in coins.iter().filter(|coin| !needs.contains(coin)) {
        let (denomination, key) = (coin.denomination, coin.key.to_bytes());
        if CoinRow::find(tx, coin)?.is_none_or(|row| !row.rest.is_zero()) {
            continue;
        }
        let sql = "SELECT digest FROM contribution WHERE denomination = ?1 AND coin_key = ?2 ORDER BY digest";
        for row in tx.select(sql, &[denomination.into(), key.into()])? {
            let statement = row.digest(0)?;
            tx.delete(&CONTRIBUTION, &[denomination.into(), key.into(), statement.into()])?;
            let others = "SELECT 1 FROM contribution WHERE digest = ?1 LIMIT 1";
            if tx.select(others, &[statement.into()])?.is_empty()
                && tx.find(&STATEMENT, &[statement.into()])?.is_some()
            {
                tx.delete(&STATEMENT, &[statement.into()])?;
            }
        }
        tx.delete(&COIN, &[denomination.into(), key.into()])?;
    }
    Ok(())
}

/// Whether something that was signed for a session or payment is left.
fn is_signed_for(tx: &mut dyn Tx, owner: &Digest) -> Result<bool> {
    Ok(!tx.select("SELECT 1 FROM signed_statement WHERE owner = ?1 LIMIT 1", &[(*owner).into()])?.is_empty())
}

fn drop_session(tx: &mut dyn Tx, request: &Digest) -> Result<()> {
    let session = SessionRow::load(tx, request)?;
    if is_signed_for(tx, request)? {
        return Ok(());
    }
    if let Some(offer) = &session.offer {
        if is_signed_for(tx, &offer.session)? {
            return Ok(());
        }
        for id in [offer.session, *request] {
            if !tx.select("SELECT 1 FROM coin WHERE session = ?1 LIMIT 1", &[id.into()])?.is_empty() {
                return Ok(());
            }
        }
    }
    for row in tx.select("SELECT item FROM seen WHERE request = ?1", &[(*request).into()])? {
        tx.delete(&SEEN, &[row.value(0)?.clone()])?;
    }
    Ok::<_, Failure>(tx.delete(&SESSION, &[(*request).into()])?)
}

fn drop_payment(tx: &mut dyn Tx, request: &Digest) -> Result<()> {
    if is_signed_for(tx, request)? {
        return Ok(());
    }
    Ok(tx.delete(&PAYMENT, &[(*request).into()])?)
}
