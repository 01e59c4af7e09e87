//! What stands in the stores of a world at one moment. Nodes are not asked: this changes nothing in their world.

use std::collections::BTreeMap;

use feiqian_bank::chart::{Post, id};
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, Tx};
use serde_json::{Map, Value, json};

use crate::measure::clearing::{self, Owed};
use crate::measure::stats;
use crate::world::World;
use crate::world::fabric::NodeId;

/// Wallets looked into while a world runs.
const SAMPLE: usize = 50;

/// All banks' coins in circulation, minor units.
pub(super) async fn circulation(world: &World) -> i128 {
    let mut sum = 0_i128;
    for bank in world.banks() {
        let read = world.read(*bank, |tx: &mut dyn Tx| {
            let account = book::account(tx, id(Post::Circulation));
            let account = account.map_err(|error| StoreError::Corrupt(error.to_string()))?;
            Ok(account.map_or(0, |account| account.balance()))
        });
        sum = sum.saturating_add(read.await.unwrap_or(0));
    }
    sum
}

/// Coins with anything left in one wallet.
async fn coins_of(world: &World, wallet: NodeId) -> Option<u64> {
    let read = world.read(wallet, |tx: &mut dyn Tx| {
        let rows = tx.select("SELECT count(*) FROM coin WHERE rest > 0", &[])?;
        rows.first().map_or(Ok(0), |row| row.unsigned(0))
    });
    read.await.ok()
}

/// Coins with anything left, mean over the first wallets.
#[allow(clippy::float_arithmetic, reason = "a mean")]
pub(super) async fn coins(world: &World) -> Option<f64> {
    let (mut sum, mut count) = (0_u64, 0_u64);
    for wallet in world.wallets().iter().take(SAMPLE) {
        sum = sum.saturating_add(coins_of(world, *wallet).await?);
        count = count.saturating_add(1);
    }
    (count > 0).then(|| sum as f64 / count as f64)
}

/// Bytes of the stores of each role.
pub(super) async fn store_bytes(world: &World) -> BTreeMap<&'static str, u64> {
    let mut bytes = BTreeMap::new();
    let roles = [("bank", world.banks()), ("merchant", world.merchants()), ("wallet", world.wallets())];
    let center = [world.center()];
    for (role, nodes) in roles.into_iter().chain([("center", center.as_slice())]) {
        let mut sum = 0_u64;
        for node in nodes {
            let read = world.read(*node, |tx: &mut dyn Tx| {
                let used = "SELECT (p.page_count - f.freelist_count) * s.page_size \
                            FROM pragma_page_count p, pragma_freelist_count f, pragma_page_size s";
                tx.select(used, &[])?.first().map_or(Ok(0), |row| row.unsigned(0))
            });
            sum = sum.saturating_add(read.await.unwrap_or(0));
        }
        bytes.insert(role, sum);
    }
    bytes
}

/// What is measured when all is over: stores against what they were in the beginning, coins by wallet, clearing.
pub(super) async fn at_the_end(world: &World, before: &BTreeMap<&'static str, u64>) -> Map<String, Value> {
    let mut out = Map::new();
    let after = store_bytes(world).await;
    let stores = after.iter().map(|(role, bytes)| {
        let begin = before.get(role).copied().unwrap_or(0);
        ((*role).to_owned(), json!({"begin_bytes": begin, "end_bytes": bytes}))
    });
    out.insert("stores".to_owned(), Value::Object(stores.collect()));
    let mut held = Vec::new();
    for wallet in world.wallets() {
        held.extend(coins_of(world, *wallet).await);
    }
    out.insert("wallet_coins".to_owned(), stats::distribution(&held));
    let owed = world.read(world.center(), |tx: &mut dyn Tx| {
        let rows = tx.select(
            "SELECT o.debtor, o.creditor, o.amount, o.booked, o.state, c.changed FROM center_obligation o \
             LEFT JOIN center_cycle c ON c.number = o.cycle ORDER BY o.number",
            &[],
        )?;
        let each = rows.iter().map(|row| {
            let paid = row.integer(4)? == 1;
            let changed = if row.is_null(5) { row.unsigned(3)? } else { row.unsigned(5)? };
            Ok(Owed {
                debtor: row.text(0)?.to_owned(),
                creditor: row.text(1)?.to_owned(),
                amount: row.unsigned(2)?,
                booked: row.unsigned(3)?,
                settled: paid.then_some(changed),
                unwound: row.integer(4)? == 2,
            })
        });
        each.collect::<Result<Vec<_>, StoreError>>()
    });
    let owed = owed.await.unwrap_or_default();
    if !owed.is_empty() {
        out.insert("clearing".to_owned(), clearing::summary(&owed));
    }
    out
}
