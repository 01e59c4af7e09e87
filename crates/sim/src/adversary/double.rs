//! Double spending: one coin, two shops; online, where the bank refuses the second payment, and `offline`, where it
//! names who made it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use feiqian_wire::error::Fault;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::crook::{self, Fate};
use super::{Adversary, moments, offline};
use crate::error::SimError;
use crate::measure::stats::share;
use crate::scenario::specs::AdversarySpec;
use crate::world::World;
use crate::world::fabric::NodeId;

/// Attempts of one crook.
const ATTEMPTS: u64 = 4;
/// What a crook withdraws for an attempt, minor units.
const STAKE: u64 = 6400;

/// How a coin is spent twice.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// To both shops at the same moment.
    AtOnce,
    /// To the second when the first has been paid.
    Later,
    /// Three quarters to each: each alone is honest.
    Overlapping,
    /// Twice to the same shop, for two orders.
    SameShop,
}

const WAYS: [Way; 4] = [Way::AtOnce, Way::Later, Way::Overlapping, Way::SameShop];

#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    attempts: u64,
    won: u64,
    caught: u64,
    refused: u64,
    loss: u64,
    /// From the second payment to its refusal, milliseconds, in all.
    detection_ms: u64,
}

/// Customers who spend coins twice.
pub struct DoubleSpender {
    crooks: std::ops::Range<usize>,
    control: bool,
    tally: Arc<Mutex<Tally>>,
    offline: Arc<Mutex<offline::Tally>>,
    work: JoinSet<()>,
}

impl DoubleSpender {
    /// `spec.count` crooks with the wallets from `first` on, and after them somebody honest whom they know.
    #[must_use]
    pub fn new(spec: &AdversarySpec, first: usize) -> Self {
        let count = usize::try_from(spec.count).unwrap_or(usize::MAX).min(1000);
        let crooks = first..first.saturating_add(count);
        let (tally, offline, work) = (Arc::default(), Arc::default(), JoinSet::new());
        Self { crooks, control: spec.control, tally, offline, work }
    }
}

#[async_trait]
impl Adversary for DoubleSpender {
    async fn enlist(&mut self, world: &World) -> Result<(), SimError> {
        if self.control {
            for bank in world.banks() {
                world.break_store(*bank, &["coin", "offline_chain", "offline_total"]).await?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, world: &Arc<World>) {
        let Some(friend) = world.wallets().get(self.crooks.end).copied() else { return };
        for (place, number) in self.crooks.clone().enumerate() {
            let Some(wallet) = world.wallets().get(number).copied() else { continue };
            let (there, tally) = (Arc::clone(world), Arc::clone(&self.offline));
            self.work.spawn(async move {
                let times = moments(&there, &format!("double-spender/{number}/offline"), 1);
                tokio::time::sleep(times.first().copied().unwrap_or_default()).await;
                let _ = offline::attempt(&there, (number, wallet, friend), place, &tally).await;
            });
            let (world, tally) = (Arc::clone(world), Arc::clone(&self.tally));
            self.work.spawn(async move {
                let began = world.fabric().elapsed();
                let times = moments(&world, &format!("double-spender/{number}"), ATTEMPTS);
                for (attempt, (at, way)) in (0_u64..).zip(times.into_iter().zip(WAYS)) {
                    let passed = world.fabric().elapsed().saturating_sub(began);
                    tokio::time::sleep(at.saturating_sub(passed)).await;
                    let name = format!("d-{number}-{attempt}");
                    // A crook whose bank is down has failed; the tally says so.
                    let _ = attempt_once(&world, wallet, &name, way, &tally).await;
                }
            });
        }
    }

    async fn finish(&mut self, _world: &Arc<World>) {
        while self.work.join_next().await.is_some() {}
    }

    async fn report(&mut self, world: &Arc<World>) -> Value {
        let tally = *self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let offline = self.offline.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let detected = tally.caught.saturating_add(tally.refused);
        let accused = offline::accused(world).await;
        let cheats: Vec<String> = offline.cheats.iter().map(|number| format!("customer-{number}")).collect();
        let named = cheats.iter().filter(|cheat| accused.contains(cheat)).count() as u64;
        let falsely = accused.iter().filter(|name| !cheats.contains(name)).count() as u64;
        let unnamed = offline.taken_twice.saturating_sub(named);
        let won = tally.won.saturating_add(unnamed);
        let attempts = tally.attempts.saturating_add(offline.attempts);
        json!({
            "attempts": attempts,
            "successes": won,
            "success": share(won, attempts),
            "won": won > 0 || offline.unpaid > 0,
            "refused_with_evidence": tally.caught,
            "refused_otherwise": tally.refused,
            "falsely_named": falsely,
            "offline": {
                "attempts": offline.attempts,
                "taken_twice": offline.taken_twice,
                "named": named,
                "not_named": unnamed,
                "spent_beyond_minor": offline.beyond,
                "shops_unpaid_minor": offline.unpaid,
                "mean_detection_ms": offline.detection_ms.checked_div(offline.taken_twice).unwrap_or(0),
            },
            "loss_minor": tally.loss,
            "mean_detection_ms": tally.detection_ms.checked_div(detected).unwrap_or(0),
            "loss": crook::amount_text(world, tally.loss),
        })
    }
}

async fn attempt_once(
    world: &World,
    wallet: NodeId,
    name: &str,
    way: Way,
    tally: &Mutex<Tally>,
) -> Result<(), Fault> {
    let mut rng = world.stream(&format!("double-spender/{name}"));
    crook::withdraw(world, wallet, STAKE).await?;
    let coins = crook::loot(world, wallet).await?;
    let Some(loot) = coins.iter().find(|loot| loot.worth >= 4) else { return Ok(()) };
    let shops = world.merchants();
    let first = shops.first().copied();
    let second = if matches!(way, Way::SameShop) { first } else { shops.last().copied() };
    let (Some(first), Some(second)) = (first, second) else { return Ok(()) };
    let minor = match way {
        Way::Overlapping => loot.worth.saturating_sub(loot.worth / 4),
        _ => loot.worth,
    };
    let one = crook::request(world, first, minor, &format!("{name}-a")).await?;
    let two = crook::request(world, second, minor, &format!("{name}-b")).await?;
    let payments =
        (crook::sign(&one, &[(loot, minor)], &mut rng)?, crook::sign(&two, &[(loot, minor)], &mut rng)?);
    let began = world.fabric().elapsed();
    let fates = if matches!(way, Way::AtOnce) {
        let both =
            (crook::pay(world, wallet, &one, &payments.0), crook::pay(world, wallet, &two, &payments.1));
        tokio::join!(both.0, both.1)
    } else {
        let first = crook::pay(world, wallet, &one, &payments.0).await;
        (first, crook::pay(world, wallet, &two, &payments.1).await)
    };
    count(
        tally,
        fates,
        minor.saturating_mul(2).saturating_sub(loot.worth),
        world.fabric().elapsed().saturating_sub(began),
    );
    Ok(())
}

fn count(tally: &Mutex<Tally>, fates: (Fate, Fate), beyond: u64, took: Duration) {
    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    tally.attempts = tally.attempts.saturating_add(1);
    let both = [fates.0, fates.1];
    if both == [Fate::Accepted; 2] {
        tally.won = tally.won.saturating_add(1);
        tally.loss = tally.loss.saturating_add(beyond);
        return;
    }
    tally.detection_ms =
        tally.detection_ms.saturating_add(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    if both.contains(&Fate::Caught) {
        tally.caught = tally.caught.saturating_add(1);
    } else {
        tally.refused = tally.refused.saturating_add(1);
    }
}
