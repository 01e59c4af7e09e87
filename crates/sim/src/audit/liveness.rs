//! After the last payment and the last fault, whatever was begun comes to its end within a bounded time.

use std::time::Duration;

use feiqian_ledger::store::{StoreError, Tx};
use serde_json::{Value, json};

use crate::world::World;
use crate::world::fabric::NodeId;

/// How often it is looked whether everything has ended.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What has not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished(pub Vec<String>);

/// Waits, at most for `patience`, until nothing is unfinished; wallets with unfinished work are opened by their owners
/// meanwhile. Answers what is left, and how long it took.
pub async fn settle(world: &World, patience: Duration) -> (Unfinished, Duration) {
    let began = world.fabric().elapsed();
    loop {
        let left = unfinished(world).await;
        let waited = world.fabric().elapsed().saturating_sub(began);
        if left.0.is_empty() || waited >= patience {
            return (left, waited);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        for wallet in world.wallets() {
            if world.fabric().is_up(*wallet) && !wallet_is_quiet(world, *wallet).await {
                // What it answers shows in the next look.
                let _ = world.command(*wallet, json!({"command": "refresh"})).await;
            }
        }
    }
}

async fn wallet_is_quiet(world: &World, wallet: NodeId) -> bool {
    matches!(open_work(world, wallet, WALLET).await, Ok(0))
}

/// Open sessions, acts other than deposits of cheques (those wait for settlement), payments that may still turn out
/// either way, payments taken but not yet made coins, and deposits of offline coins. A payment that lies in the payee's
/// drop box is the payee's to take.
const WALLET: &[&str] = &[
    "SELECT count(*) FROM issue_session WHERE state NOT IN ('done', 'void')",
    "SELECT count(*) FROM payment WHERE state IN ('signed', 'taken', 'refused')",
    "SELECT count(*) FROM received WHERE state = 'taken'",
    "SELECT count(*) FROM act WHERE state = 'open' AND kind <> 'deposit'",
    "SELECT count(*) FROM offline_session WHERE state NOT IN ('done', 'restored', 'void')",
    "SELECT count(*) FROM offline_payment WHERE state = 'open'",
];
const BANK: &[&str] = &["SELECT count(*) FROM presentment WHERE state = 0"];
/// Items without an outcome, and what banks have yet to confirm. Obligations wait for cover or for the operator.
const CENTER: &[&str] = &[
    "SELECT count(*) FROM center_presentment WHERE state IN (0, 1)",
    "SELECT count(*) FROM center_notice WHERE told = 0",
];
const MERCHANT: &[&str] = &[
    "SELECT count(*) FROM merchant_payment WHERE state = 0",
    "SELECT count(*) FROM merchant_offline_payment WHERE state = 0",
];

async fn open_work(world: &World, node: NodeId, queries: &'static [&'static str]) -> Result<u64, StoreError> {
    let work = move |tx: &mut dyn Tx| {
        queries.iter().try_fold(0_u64, |sum, sql| {
            let rows = tx.select(sql, &[])?;
            let count = rows.first().map_or(Ok(0), |row| row.unsigned(0))?;
            Ok(sum.saturating_add(count))
        })
    };
    world.read(node, work).await
}

/// Everything that has not ended, and every node that is down.
pub async fn unfinished(world: &World) -> Unfinished {
    let mut left = Vec::new();
    let nodes = [(world.center(), CENTER)]
        .into_iter()
        .chain(world.banks().iter().map(|node| (*node, BANK)))
        .chain(world.merchants().iter().map(|node| (*node, MERCHANT)))
        .chain(world.wallets().iter().map(|node| (*node, WALLET)));
    for (node, queries) in nodes {
        let name = world.fabric().name(node);
        if !world.fabric().is_up(node) {
            left.push(format!("{name} is down"));
        }
        match open_work(world, node, queries).await {
            Ok(0) => {}
            Ok(count) => left.push(format!("{name}: {count} unfinished")),
            Err(error) => left.push(format!("{name}: {error}")),
        }
    }
    Unfinished(left)
}

impl Unfinished {
    /// As `summary.json` has it.
    #[must_use]
    pub fn json(&self, waited: Duration) -> Value {
        json!({
            "held": self.0.is_empty(),
            "settled_after_seconds": waited.as_secs(),
            "unfinished": self.0.iter().take(100).collect::<Vec<_>>(),
        })
    }
}
