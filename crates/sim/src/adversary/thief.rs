//! Stealing: payments out of the wire, presented as the thief's own. The control steals the wallet's store instead,
//! and with it the coins' secrets.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use feiqian_online_cash::payment::Payment;
use feiqian_wire::{Limit, codec};
use serde_json::{Value, json};

use super::Adversary;
use super::crook::{self, Fate};
use crate::measure::stats::share;
use crate::scenario::specs::AdversarySpec;
use crate::world::World;
use crate::world::fabric::NodeId;
use crate::world::wire::{Call, Tap};

/// Payments kept at most.
const KEPT: usize = 10_000;

/// Sees payments on their way to shops.
#[derive(Debug, Default)]
struct Wiretap(Mutex<Vec<(NodeId, Payment)>>);

impl Tap for Wiretap {
    fn saw(&self, call: &Call<'_>) {
        if call.path != "/v1/pay" {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT
            && let Ok(payment) = codec::decode(call.request, Limit::Medium)
        {
            kept.push((call.to, payment));
        }
    }
}

/// A thief with an account at a shop of its own, the last one.
pub struct Thief {
    count: u64,
    control: bool,
    wallet: usize,
    wiretap: Arc<Wiretap>,
    attempts: u64,
    won: u64,
    stolen: u64,
}

impl Thief {
    /// One that tries `spec.count` payments; its calls go out from the wallet of this number.
    #[must_use]
    pub fn new(spec: &AdversarySpec, wallet: usize) -> Self {
        let (count, control) = (spec.count, spec.control);
        Self { count, control, wallet, wiretap: Arc::default(), attempts: 0, won: 0, stolen: 0 }
    }

    /// The stolen payment under a request of the thief's own shop.
    async fn present(&mut self, world: &World, payment: &Payment, number: u64) {
        let (Some(shop), Some(own)) = (world.merchants().last(), world.wallets().get(self.wallet)) else {
            return;
        };
        let worth =
            payment.coins.iter().fold(0_u64, |sum, coin| sum.saturating_add(coin.share.contribution.value()));
        let Ok(request) = crook::request(world, *shop, worth, &format!("thief-{number}")).await else {
            return;
        };
        let mut mine = payment.clone();
        mine.request = request.request.digest();
        self.count(crook::pay(world, *own, &request, &mine).await, worth);
    }

    /// A coin out of a victim's stolen store.
    async fn burgle(&mut self, world: &World, victim: NodeId, number: u64) {
        let (Some(shop), Some(own)) = (world.merchants().last(), world.wallets().get(self.wallet)) else {
            return;
        };
        let Ok(coins) = crook::loot(world, victim).await else { return };
        let Some(loot) = coins.first() else { return };
        let Ok(request) = crook::request(world, *shop, loot.worth, &format!("thief-{number}")).await else {
            return;
        };
        let mut rng = world.stream(&format!("thief/{number}"));
        if let Ok(payment) = crook::sign(&request, &[(loot, loot.worth)], &mut rng) {
            self.count(crook::pay(world, *own, &request, &payment).await, loot.worth);
        }
    }

    fn count(&mut self, fate: Fate, worth: u64) {
        self.attempts = self.attempts.saturating_add(1);
        if fate == Fate::Accepted {
            self.won = self.won.saturating_add(1);
            self.stolen = self.stolen.saturating_add(worth);
        }
    }
}

#[async_trait]
impl Adversary for Thief {
    fn begin(&mut self, world: &Arc<World>) {
        world.fabric().tap(Arc::clone(&self.wiretap) as _);
    }

    async fn finish(&mut self, world: &Arc<World>) {
        if self.control {
            let victims = world.wallets().iter().take(world.scenario().population.wallets).copied();
            let victims: Vec<NodeId> =
                victims.cycle().take(usize::try_from(self.count).unwrap_or(1)).collect();
            for (number, victim) in (0_u64..).zip(victims) {
                self.burgle(world, victim, number).await;
            }
            return;
        }
        let own = world.merchants().last().copied();
        let kept = std::mem::take(&mut *self.wiretap.0.lock().unwrap_or_else(PoisonError::into_inner));
        // Payments to its own shop are no theft.
        let theirs = kept.into_iter().filter(|(to, _)| world.merchants().len() == 1 || Some(*to) != own);
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        for (number, (_, payment)) in (0_u64..).zip(theirs.take(count)) {
            self.present(world, &payment, number).await;
        }
    }

    async fn report(&mut self, world: &Arc<World>) -> Value {
        json!({
            "attempts": self.attempts,
            "successes": self.won,
            "success": share(self.won, self.attempts),
            "won": self.won > 0,
            "stolen_minor": self.stolen,
            "stolen": crook::amount_text(world, self.stolen),
        })
    }
}
