//! Those who attack a world. Each uses only what its role would have, and each has a *control*: a world broken on
//! purpose, in which it must win, so that its silence elsewhere means something.
//!
//! | kind | does | control |
//! |---|---|---|
//! | [`double`] | pays two shops with one coin, online and offline | the banks' stores forget what was spent |
//! | [`replay`] | sends what others sent once more | the banks' stores forget payments and transfers |
//! | [`tamper`] | changes requests on the wire | it may also change answers, which TLS prevents |
//! | [`thief`] | presents stolen payments as its own | it has also stolen the wallet's store |
//! | [`crash`] | kills nodes at their durable writes | nodes answer before the write is durable |
//! | [`kite`] | draws cheques on uncollected funds in a circle, presents them twice | a bank's store forgets balances |
//! | [`frame`] | a bank accuses an honest customer with all it has | it has also stolen the customer's wallet |
//! | [`colluders`] | issuing banks and shops pool what they saw | nobody waits, amounts are unlike |
//! | `ros` | 253 withdrawals at once, one coin more | against textbook blind Schnorr |
//!
//! To add one: implement [`Adversary`], give it a name in `Attack`, and enlist it in [`Force::enlist`].

pub mod colluders;
pub mod crash;
mod crook;
pub mod double;
pub mod frame;
pub mod kite;
mod offline;
pub mod replay;
#[cfg(feature = "hazmat")]
pub mod ros;
pub mod tamper;
pub mod thief;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::error::SimError;
use crate::scenario::Scenario;
use crate::scenario::specs::{AdversarySpec, Attack};
use crate::world::World;

/// Somebody who attacks.
#[async_trait]
pub trait Adversary: Send {
    /// Takes its place before the world is live.
    ///
    /// # Errors
    /// When there is no place to take.
    async fn enlist(&mut self, _world: &World) -> Result<(), SimError> {
        Ok(())
    }

    /// The world is live: it may spawn what it does.
    fn begin(&mut self, world: &Arc<World>);

    /// All payments have ended: it does what it has left to do.
    async fn finish(&mut self, world: &Arc<World>);

    /// What it came to: at least `attempts`, `successes`, and `won`.
    async fn report(&mut self, world: &Arc<World>) -> Value;
}

/// How many wallets beyond the population the adversaries of a scenario hold: customers like all others, but crooks.
#[must_use]
pub fn crooks(scenario: &Scenario) -> usize {
    let needs = scenario.adversary.iter().map(|one| match one.kind {
        // Somebody honest is among them, whom crooks pass value to.
        Attack::DoubleSpender => usize::try_from(one.count).unwrap_or(usize::MAX).min(1000).saturating_add(1),
        Attack::Kiter => kite::CIRCLE,
        // The customer who is to be framed.
        Attack::Framer => 1,
        Attack::Thief | Attack::ForgerRos => 1,
        _ => 0,
    });
    needs.fold(0, usize::saturating_add)
}

/// One of a world's adversaries.
struct Member {
    /// What its report stands under.
    name: String,
    /// As the scenario has it; none for a researcher's own.
    spec: Option<AdversarySpec>,
    adversary: Box<dyn Adversary>,
}

/// All adversaries of a world.
#[derive(Default)]
pub struct Force {
    members: Vec<Member>,
}

impl std::fmt::Debug for Force {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Force").field("members", &self.members.len()).finish()
    }
}

impl Force {
    /// Gathers them before the world is live.
    ///
    /// # Errors
    /// When one cannot take its place.
    pub async fn enlist(world: &World) -> Result<Self, SimError> {
        let mut force = Self::default();
        let mut wallet = world.scenario().population.wallets;
        for spec in &world.scenario().adversary {
            let adversary: Box<dyn Adversary> = match spec.kind {
                Attack::DoubleSpender => Box::new(double::DoubleSpender::new(spec, wallet)),
                Attack::Replayer => Box::new(replay::Replayer::new(spec)),
                Attack::Tamperer => Box::new(tamper::Tamperer::new(spec)),
                Attack::Thief => Box::new(thief::Thief::new(spec, wallet)),
                Attack::Crasher => Box::new(crash::Crasher::new(spec)),
                Attack::Colluders => Box::new(colluders::Colluders::new()),
                Attack::Framer => Box::new(frame::Framer::new(spec, wallet)),
                Attack::Kiter => Box::new(kite::Kiter::new(spec, wallet)),
                #[cfg(feature = "hazmat")]
                Attack::ForgerRos => Box::new(ros::Forger::new(spec, wallet)),
                #[cfg(not(feature = "hazmat"))]
                Attack::ForgerRos => {
                    return Err(SimError::usage(
                        "adversary forger-ros: this program was built without `attacks`",
                    ));
                }
            };
            force.take(world, spec.kind.as_str().to_owned(), Some(spec.clone()), adversary).await?;
            let one = Scenario { adversary: vec![spec.clone()], ..(**world.scenario()).clone() };
            wallet = wallet.saturating_add(crooks(&one));
        }
        Ok(force)
    }

    /// Adds one that no scenario names. What it comes to stands under `name` in `attacks`.
    ///
    /// # Errors
    /// When it cannot take its place.
    pub async fn join(
        &mut self,
        world: &World,
        name: String,
        adversary: Box<dyn Adversary>,
    ) -> Result<(), SimError> {
        self.take(world, name, None, adversary).await
    }

    async fn take(
        &mut self,
        world: &World,
        name: String,
        spec: Option<AdversarySpec>,
        mut adversary: Box<dyn Adversary>,
    ) -> Result<(), SimError> {
        adversary.enlist(world).await?;
        self.members.push(Member { name, spec, adversary });
        Ok(())
    }

    /// They begin.
    pub fn begin(&mut self, world: &Arc<World>) {
        for member in &mut self.members {
            member.adversary.begin(world);
        }
    }

    /// Lets them do what they have left to do.
    pub async fn finish(&mut self, world: &Arc<World>) {
        for member in &mut self.members {
            member.adversary.finish(world).await;
        }
    }

    /// Whether some world-breaking control is on: then broken books are what was asked for.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.members.iter().any(|member| member.spec.as_ref().is_some_and(|spec| spec.control))
    }

    /// What they came to: `attacks`, by kind; linkage besides under its own name.
    pub async fn report(&mut self, world: &Arc<World>) -> Map<String, Value> {
        let (mut out, mut attacks) = (Map::new(), Map::new());
        for Member { name, spec, adversary } in &mut self.members {
            let mut report = adversary.report(world).await;
            if spec.as_ref().is_some_and(|spec| spec.kind == Attack::Colluders) {
                out.insert("linkage".to_owned(), report);
                continue;
            }
            if let (Some(spec), Value::Object(fields)) = (spec, &mut report) {
                fields.insert("control".to_owned(), json!(spec.control));
            }
            attacks.insert(name.clone(), report);
        }
        if !attacks.is_empty() {
            out.insert("attacks".to_owned(), Value::Object(attacks));
        }
        out
    }
}

/// Moments spread over the time in which payments arrive, drawn from the named stream and in order.
pub(crate) fn moments(world: &World, stream: &str, count: u64) -> Vec<Duration> {
    use rand::RngExt as _;
    let mut rng = world.stream(stream);
    let whole = u64::try_from(world.scenario().duration.0.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut moments: Vec<Duration> =
        (0..count).map(|_| Duration::from_millis(rng.random_range(0..whole))).collect();
    moments.sort_unstable();
    moments
}
