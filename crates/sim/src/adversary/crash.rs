//! Killing nodes at their durable writes, on either side of them. In the control nodes answer before the write is
//! durable, as a program without care for crashes does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::Adversary;
use crate::audit::{Depth, look};
use crate::measure::stats::share;
use crate::scenario::specs::{AdversarySpec, Side};
use crate::world::World;
use crate::world::fabric::NodeId;
use crate::world::seats::Trap;

/// How long a killed node is dead.
const DEAD: Duration = Duration::from_secs(20);

/// Somebody who kills nodes.
pub struct Crasher {
    count: u64,
    control: bool,
    set: u64,
}

impl Crasher {
    /// One that kills `spec.count` times.
    #[must_use]
    pub fn new(spec: &AdversarySpec) -> Self {
        Self { count: spec.count, control: spec.control, set: 0 }
    }
}

#[async_trait]
impl Adversary for Crasher {
    fn begin(&mut self, world: &Arc<World>) {
        let mut rng = world.stream("crasher");
        // Banks twice: they write most. In the control it is they who answer too early.
        let mut nodes: Vec<NodeId> = [world.banks(), world.banks()].concat();
        if !self.control {
            nodes.push(world.center());
            nodes.extend(world.merchants());
            nodes.extend(world.wallets().iter().take(world.scenario().population.wallets));
        }
        let each = world.scenario().workload.payments_per_wallet_per_day;
        for _ in 0..self.count {
            let Some(node) = nodes.get(rng.random_range(0..nodes.len())).copied() else { continue };
            // Busy nodes write often: their traps lie further on.
            let busy = world.fabric().role(node) != "wallet";
            let most =
                if busy { 40_u64.saturating_mul(world.scenario().population.wallets as u64) } else { 40 };
            let skip = if each > 0.0 { rng.random_range(0..most.max(1)) } else { 0 };
            let side = match (self.control, rng.random_range(0..2_u8)) {
                (true, _) => Side::Lost,
                (false, 0) => Side::Before,
                (false, _) => Side::After,
            };
            world.fabric().set_trap(Trap { node, point: None, skip, side, length: DEAD });
            self.set = self.set.saturating_add(1);
        }
    }

    async fn finish(&mut self, world: &Arc<World>) {
        world.fabric().clear_traps();
    }

    async fn report(&mut self, world: &Arc<World>) -> Value {
        let damage = look(world, Depth::Books).await.findings.len() as u64;
        let crashes = world.fabric().crashes();
        json!({
            "attempts": crashes,
            "successes": damage,
            "success": share(damage.min(crashes), crashes),
            "won": damage > 0,
            "traps_set": self.set,
        })
    }
}
