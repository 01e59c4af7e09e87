//! Issuing banks and shops pool all they saw, and guess for each payment which withdrawal its coins come from.
//!
//! They see: at a withdrawal its account, time and coin sizes; at an exchange of coins its time, what went in and the
//! sizes that came out; at a payment its time, amount, and the sizes and key epochs of its coins. They know the wallets'
//! policy (it is the program's). They do not see who pays. Two attackers are scored beside a *baseline* that sees
//! amounts and times alone:
//!
//! * *best match*: the latest withdrawal whose coins could have paid;
//! * *Bayesian*: a posterior over all withdrawals before the payment, from the age of the coins and their sizes.
//!
//! What is true is read from the wallets' own stores when all is over: the withdrawal at the root of the payment's
//! largest coin, through however many exchanges.
#![allow(clippy::float_arithmetic, reason = "probabilities")]

mod observed;
mod score;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, Tx};
use serde_json::{Value, json};

use super::Adversary;
use crate::measure::stats::{histogram, quantile, share};
use crate::world::fabric::NodeId;
use crate::world::{Running, World};
use observed::{CoinKey, Notebook, Observed};
use score::{Guesser, Judgement};

/// Payments that are guessed at, spread evenly over all.
const GUESSED: usize = 2_000;

/// The pool of what banks and shops saw.
#[derive(Default)]
pub struct Colluders {
    notebook: Arc<Notebook>,
}

impl Colluders {
    /// They have seen nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Adversary for Colluders {
    fn begin(&mut self, world: &Arc<World>) {
        world.fabric().tap(Arc::clone(&self.notebook) as _);
    }

    async fn finish(&mut self, _world: &Arc<World>) {}

    async fn report(&mut self, world: &Arc<World>) -> Value {
        let mut observed =
            std::mem::take(&mut *self.notebook.0.lock().unwrap_or_else(PoisonError::into_inner));
        let values = denominations(world).await;
        let truth = Truth::read(world, &observed).await;
        observed.close(&values);
        let guesser = Guesser::new(&observed, world.scenario().wallet.spend_delay);
        let step = observed.payments.len().div_ceil(GUESSED).max(1);
        let judged: Vec<Judgement> = observed
            .payments
            .iter()
            .step_by(step)
            .filter_map(|payment| guesser.judge(payment, truth.root_of(&observed, payment)?))
            .collect();
        summary(&judged, observed.payments.len(), observed.withdrawals.len())
    }
}

/// Value of every denomination of every bank.
async fn denominations(world: &World) -> BTreeMap<Digest, u64> {
    let mut values = BTreeMap::new();
    for bank in world.banks() {
        if let Ok(Running::Bank(bank)) = world.running(*bank).await {
            for keyset in bank.own_keysets() {
                values.extend(keyset.keys.iter().map(|key| (key.id(), key.value.value())));
            }
        }
    }
    values
}

/// Which issuance made which coin, from the wallets' stores.
struct Truth(BTreeMap<CoinKey, Digest>);

impl Truth {
    async fn read(world: &World, observed: &Observed) -> Self {
        let mut made = BTreeMap::new();
        let payers: std::collections::BTreeSet<NodeId> =
            observed.payments.iter().map(|payment| payment.payer).collect();
        for wallet in payers {
            let read = world.read(wallet, |tx: &mut dyn Tx| {
                let rows = tx.select("SELECT denomination, coin_key, session FROM coin", &[])?;
                let each = rows.iter().map(|row| Ok(((row.digest(0)?, row.array(1)?), row.digest(2)?)));
                each.collect::<Result<Vec<(CoinKey, Digest)>, StoreError>>()
            });
            made.extend(read.await.unwrap_or_default());
        }
        Self(made)
    }

    /// The withdrawal, by its place, at the root of a payment's largest coin.
    fn root_of(&self, observed: &Observed, payment: &observed::Payment) -> Option<usize> {
        let mut coin = payment.coins.iter().max_by_key(|coin| coin.contribution)?.key;
        // A coin that went through more exchanges than this has no root worth naming.
        for _ in 0..1000 {
            let request = self.0.get(&coin)?;
            if let Some(found) = observed.withdrawal_of(request) {
                return Some(found);
            }
            coin = *observed.largest_input(request)?;
        }
        None
    }
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

fn hits(judged: &[Judgement], hit: impl Fn(&Judgement) -> bool) -> Value {
    share(judged.iter().filter(|one| hit(one)).count() as u64, judged.len() as u64)
}

fn summary(judged: &[Judgement], payments: usize, withdrawals: usize) -> Value {
    let mut entropies: Vec<f64> = judged.iter().map(|one| one.entropy).collect();
    entropies.sort_by(f64::total_cmp);
    let bins = (0..10_u32).map(|bin| {
        let (low, high) = (f64::from(bin) / 10.0, (f64::from(bin) + 1.0) / 10.0);
        let within: Vec<&Judgement> = judged
            .iter()
            .filter(|one| one.confidence >= low && (one.confidence < high || bin == 9))
            .collect();
        let right = within.iter().filter(|one| one.bayes).count() as u64;
        json!({
            "claimed": mean(within.iter().map(|one| one.confidence)),
            "right": share(right, within.len() as u64),
        })
    });
    json!({
        "payments": payments,
        "withdrawals": withdrawals,
        "judged": judged.len(),
        "top1": hits(judged, |one| one.bayes),
        "best_match": hits(judged, |one| one.best_match),
        "baseline": hits(judged, |one| one.baseline),
        "account": hits(judged, |one| one.account),
        "advantage": mean(judged.iter().map(|one| f64::from(u8::from(one.bayes)) - f64::from(u8::from(one.baseline)))),
        "min_entropy_bits": mean(judged.iter().map(|one| -libm::log2(one.confidence.max(1e-300)))),
        "entropy_bits": {"mean": mean(entropies.iter().copied()), "p5": quantile(&entropies, 0.05)},
        "entropy_bins": histogram(&entropies),
        "degree": mean(judged.iter().map(|one| one.degree)),
        "rank": mean(judged.iter().map(|one| one.rank as f64)),
        "candidates": mean(judged.iter().map(|one| one.candidates as f64)),
        "calibration": bins.collect::<Vec<_>>(),
    })
}
