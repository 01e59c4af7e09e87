//! An adversary of one's own: somebody at the network who sees who talks to whom when, and nothing else. It guesses that
//! whoever talks to a shop within ten minutes of taking money out spends what was just taken out.
//!
//! `cargo run -p feiqian-sim --example own_adversary` sweeps the waiting policy against it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use feiqian_sim::adversary::Adversary;
use feiqian_sim::measure::stats::share;
use feiqian_sim::run::cell::{self, Options, Own};
use feiqian_sim::run::expression::at;
use feiqian_sim::world::fabric::NodeId;
use feiqian_sim::world::wire::{Call, Tap};
use feiqian_sim::{SimError, Source, World};
use serde_json::{Value, json};

/// How long after a withdrawal a payment looks like its spending.
const SOON: Duration = Duration::from_secs(600);

/// What was seen: by address, when it last withdrew; and payments, those soon after a withdrawal among them.
#[derive(Default)]
struct Seen {
    withdrew: BTreeMap<NodeId, Duration>,
    payments: u64,
    soon: u64,
}

/// Sees addresses, times and paths' lengths; here the path stands for what traffic analysis would tell from sizes.
#[derive(Default)]
struct Watcher(Arc<Eyes>);

#[derive(Default)]
struct Eyes(Mutex<Seen>);

impl Tap for Eyes {
    fn saw(&self, call: &Call<'_>) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match call.path {
            "/v1/account/issue/finish" => {
                seen.withdrew.insert(call.from, call.at);
            }
            "/v1/pay" => {
                seen.payments = seen.payments.saturating_add(1);
                let soon = seen.withdrew.get(&call.from).is_some_and(|at| call.at.saturating_sub(*at) < SOON);
                seen.soon = seen.soon.saturating_add(u64::from(soon));
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Adversary for Watcher {
    fn begin(&mut self, world: &Arc<World>) {
        world.fabric().tap(Arc::clone(&self.0) as _);
    }

    async fn finish(&mut self, _world: &Arc<World>) {}

    async fn report(&mut self, _world: &Arc<World>) -> Value {
        let seen = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let success = share(seen.soon, seen.payments);
        json!({"attempts": seen.payments, "successes": seen.soon, "success": success, "won": seen.soon > 0})
    }
}

const SCENARIO: &str = "name = \"watched\"\nduration = \"6h\"\nseed = 5\n[population]\nwallets = 6\n\
    merchants = { count = 1 }\n[workload]\npayments_per_wallet_per_day = 12.0\n[wallet]\n\
    withdraw = { below = \"10.00\", to = \"40.00\" }\n";

/// The share of payments that look like the spending of a withdrawal, with coins that rest for `delay`.
fn linked(delay: &str) -> Result<(f64, u64), SimError> {
    let mut source = Source::parse(SCENARIO, "")?;
    source.set("wallet.spend_delay", delay)?;
    let own = Own::new("watcher", || Box::new(Watcher::default()));
    let outcome = cell::run(&source.scenario()?, &Options { own: vec![own], ..Options::default() })?;
    let summary = Value::Object(outcome.summary);
    let rate = at(&summary, "attacks.watcher.success.rate").and_then(Value::as_f64).unwrap_or(0.0);
    let payments = at(&summary, "attacks.watcher.attempts").and_then(Value::as_u64).unwrap_or(0);
    Ok((rate, payments))
}

fn main() -> Result<(), SimError> {
    for delay in ["0s", "uniform(15m, 30m)"] {
        let (rate, payments) = linked(delay)?;
        println!("spend_delay = {delay}: {rate:.3} of {payments} payments");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a world that cannot run fails the test")]

    use super::*;

    #[test]
    fn whoever_waits_longer_than_the_watcher_looks_is_not_seen() {
        let (at_once, payments) = linked("0s").unwrap();
        assert!(payments > 5 && at_once > 0.0, "{at_once} of {payments}");
        let (later, payments) = linked("uniform(15m, 30m)").unwrap();
        assert!(payments > 5 && later < at_once, "{later} of {payments}");
    }
}
