//! The soak: a small world with short key epochs that goes on for simulated months, with an audit every day, and a look at
//! how many rows every table has.
//!
//! What nodes delete by themselves ([`feiqian_bank`]'s, [`feiqian_center`]'s, [`feiqian_merchant`]'s and [`feiqian_wallet`]'s
//! housekeeping) shows in tables that stop growing: after the world has lived as long as anything is remembered, each holds
//! what one such time leaves behind, however long it goes on. The tables in [`BOOKS`] grow for ever, and must grow evenly; of
//! some of them only certain rows are kept, and the others are counted besides, as a table of their own that is bounded
//! ([`PARTS`]). Nothing is said of growth before [`JUDGED`] days.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use feiqian_ledger::store::{StoreError, Table, Tx};
use tokio::task::JoinSet;

use crate::audit::{Depth, liveness};
use crate::error::SimError;
use crate::machine::{self, Stopwatch};
use crate::scenario::{Scenario, Source};
use crate::workload::Arrivals;
use crate::workload::customer::Customers;
use crate::world::fabric::NodeId;
use crate::world::{Watch, World};

/// Epochs of two days, all kinds of payments, connections that break, and nodes that are down for a while.
const SCENARIO: &str = r#"
name = "soak"
duration = "3650d"
[[bank]]
name = "first"
customers = 0.5
[[bank]]
name = "second"
[population]
wallets = 4
funds = "1000000"
merchants = { count = 2 }
[wallet]
poll = "6h"
[workload]
payments_per_wallet_per_day = 2.0
between_wallets = 0.2
refunds = 0.05
instruments = { online_cash = 0.7, offline_cash = 0.1, cheque = 0.1, transfer = 0.1 }
[network]
loss = 0.001
duplicate = 0.005
[keys]
issue = "2d"
redeem = "2d"
grace = "2d"
[auditor]
settle = "6h"
"#;

const DAY: Duration = Duration::from_secs(86_400);

/// How long anything of [`SCENARIO`] is remembered, days: the life of an epoch, the margin after it, and the time that
/// requests and sessions take; of wallets, as long again, since they keep what was spent for the life of an epoch.
const WARM_UP: u64 = 16;

/// How many days are compared with how many: those of two epochs, so that what comes and goes with an epoch is in both.
const COMPARED: u64 = 4;

/// From this day on growth is judged: there are days after the warm-up to compare, as many between them, and as many again.
pub const JUDGED: u64 = WARM_UP + 3 * COMPARED;

/// Rows of tables in [`BOOKS`] that are deleted all the same: role, what is said of them, and which they are. Of presentments
/// cheques stay, and offline cash of which something may come yet.
pub const PARTS: &[(&str, &str, &str)] = &[
    ("bank", "presentment (delivered)", "presentment WHERE kind IN (0, 1, 3, 4)"),
    ("center", "center_presentment (cash)", "center_presentment WHERE kind IN (0, 1, 3)"),
    (
        "center",
        "center_obligation (cash)",
        "center_obligation WHERE presentment IN (SELECT id FROM center_presentment WHERE kind IN (0, 1, 3))",
    ),
    (
        "center",
        "center_notice (cash)",
        "center_notice WHERE presentment IN (SELECT id FROM center_presentment WHERE kind IN (0, 1, 3))",
    ),
];

/// What a wallet deletes; everything else it keeps for its owner.
const WALLETS: &[&str] = &["coin", "contribution", "issue_session", "payment", "seen", "signed_statement"];

/// Tables of nodes that are never made shorter: the books, documents about named accounts, logs of keys, offline cash.
pub const BOOKS: &[&str] = &[
    "account_statement",
    "center_cycle",
    "center_obligation",
    "center_notice",
    "center_offline_pin",
    "center_pin",
    "center_presentment",
    "certificate",
    "cheque",
    "cheque_book",
    "cheque_order",
    "cheque_presentment",
    "declined",
    "keyset",
    "ledger_journal",
    "ledger_resolution",
    "ledger_transfer",
    "member_pin",
    "merchant_cheque",
    "merchant_member_entry",
    "merchant_offline_coin",
    "merchant_offline_payment",
    "merchant_offline_pin",
    "merchant_offline_sale",
    "offline_accusation",
    "offline_chain",
    "offline_claim",
    "offline_claim_part",
    "offline_drawn",
    "offline_keyset",
    "offline_line",
    "offline_member_pin",
    "offline_part",
    "offline_payment",
    "offline_reclaim",
    "offline_session",
    "offline_total",
    "presentment",
    "pruned_total",
    "total",
    "transfer_order",
];

/// How long the soak goes on.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// Simulated days at most.
    pub days: u64,
    /// Real time at most.
    pub real: Duration,
}

/// The world after one simulated day.
#[derive(Debug, Clone)]
pub struct Day {
    /// Its number, from 1.
    pub number: u64,
    /// Payments that went through so far, and those that did not.
    pub payments: (u64, u64),
    /// Rows of every table, and of [`PARTS`], by role and table, of all nodes of the role together.
    pub rows: BTreeMap<(&'static str, &'static str), u64>,
    /// Memory of the process, KiB.
    pub resident_kib: u64,
    /// Real time so far.
    pub real: Duration,
}

/// What the soak came to.
#[derive(Debug, Clone)]
pub struct Report {
    /// Every day.
    pub days: Vec<Day>,
    /// What was wrong; empty when all went well.
    pub broken: Vec<String>,
}

/// Lets the world live; `tell` hears of each day.
///
/// # Errors
/// [`SimError`] when the world cannot be built.
pub fn run(seed: u64, limit: Limit, mut tell: impl FnMut(&Day)) -> Result<Report, SimError> {
    let mut scenario = Source::parse(SCENARIO, "")?.scenario()?;
    scenario.seed = seed;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| SimError::Files(format!("no runtime: {error}")))?;
    super::panics::watch();
    let mut report = runtime.block_on(live(&scenario, limit, &mut tell))?;
    drop(runtime);
    if let Some(panic) = super::panics::take() {
        return Err(SimError::Panicked(panic));
    }
    report.broken.extend(unbounded(&report.days));
    Ok(report)
}

async fn live(scenario: &Scenario, limit: Limit, tell: &mut impl FnMut(&Day)) -> Result<Report, SimError> {
    let watch = Stopwatch::start();
    let mut world = World::build(scenario, Watch::default()).await?;
    let _ = world.go_live().await;
    let world = Arc::new(world);
    let customers = Arc::new(Customers::new(&world)?);
    let began = world.fabric().elapsed();
    let mut payments: JoinSet<()> = JoinSet::new();
    let mut report = Report { days: Vec::new(), broken: Vec::new() };
    let mut next = DAY;
    'world: for (number, arrival) in (0_u64..).zip(Arrivals::drawn(scenario, world.stream("workload"))) {
        while arrival.at >= next {
            sleep_to(&world, began.saturating_add(next)).await;
            next = next.saturating_add(DAY);
            end_day(&world, Depth::Books, &watch, &mut report).await;
            if let Some(day) = report.days.last() {
                tell(day);
            }
            let days = u64::try_from(report.days.len()).unwrap_or(u64::MAX);
            if days >= limit.days || watch.elapsed() >= limit.real || !report.broken.is_empty() {
                break 'world;
            }
        }
        sleep_to(&world, began.saturating_add(arrival.at)).await;
        let (customers, world) = (Arc::clone(&customers), Arc::clone(&world));
        payments.spawn(async move { customers.pay(&world, arrival, number).await });
        while payments.try_join_next().is_some() {}
    }
    while payments.join_next().await.is_some() {}
    let (left, _) = liveness::settle(&world, scenario.auditor.settle.0).await;
    report.broken.extend(left.0.iter().map(|left| format!("unfinished: {left:?}")));
    end_day(&world, Depth::Rows, &watch, &mut report).await;
    // The hours after the last day are no day.
    let _ = report.days.pop();
    drop(customers);
    if let Some(world) = Arc::into_inner(world) {
        world.end().await;
    }
    Ok(report)
}

async fn sleep_to(world: &World, at: Duration) {
    tokio::time::sleep(at.saturating_sub(world.fabric().elapsed())).await;
}

/// Audits everything and counts all rows.
async fn end_day(world: &World, depth: Depth, watch: &Stopwatch, report: &mut Report) {
    let number = u64::try_from(report.days.len()).unwrap_or(u64::MAX).saturating_add(1);
    let verdict = crate::audit::look(world, depth).await;
    let findings = verdict.findings.iter();
    report.broken.extend(findings.map(|(node, finding)| format!("day {number}, {node}: {finding}")));
    let mut rows = BTreeMap::new();
    let wallets = feiqian_wallet::tables::TABLES;
    let of = |role: &'static str, tables: &'static [&'static Table]| -> Vec<(&'static str, &'static str)> {
        let parts = PARTS.iter().filter(|(whose, ..)| *whose == role).map(|(_, name, rows)| (*name, *rows));
        tables.iter().map(|table| (table.name, table.name)).chain(parts).collect()
    };
    let nodes = [
        ("center", vec![world.center()], feiqian_center::TABLES),
        ("bank", world.banks().to_vec(), feiqian_bank::tables::TABLES),
        ("merchant", world.merchants().to_vec(), feiqian_merchant::TABLES),
        ("wallet", world.wallets().to_vec(), wallets),
    ];
    for (role, nodes, tables) in nodes {
        let counted = of(role, tables);
        for node in nodes {
            match count(world, node, counted.clone()).await {
                Ok(counts) => counts.into_iter().for_each(|(table, count)| {
                    let sum: &mut u64 = rows.entry((role, table)).or_default();
                    *sum = sum.saturating_add(count);
                }),
                Err(error) => report.broken.push(format!("day {number}, {role}: {error}")),
            }
        }
    }
    report.days.push(Day {
        number,
        payments: world.measures().payments(),
        rows,
        resident_kib: machine::resident_kib(),
        real: watch.elapsed(),
    });
}

async fn count(
    world: &World,
    node: NodeId,
    counted: Vec<(&'static str, &'static str)>,
) -> Result<Vec<(&'static str, u64)>, StoreError> {
    let work = move |tx: &mut dyn Tx| {
        let mut counts = Vec::with_capacity(counted.len());
        for (name, from) in &counted {
            let rows = tx.select(&format!("SELECT count(*) FROM {from}"), &[])?;
            let count = rows.first().map_or(Ok(0), |row| row.unsigned(0))?;
            counts.push((*name, count));
        }
        Ok(counts)
    };
    world.read(node, work).await
}

/// Whether a table may grow as long as the world lives.
#[must_use]
pub fn is_book(role: &str, table: &str) -> bool {
    if role == "wallet" { !WALLETS.contains(&table) } else { BOOKS.contains(&table) }
}

/// Whether there are days enough to tell growth from what comes and goes.
#[must_use]
pub fn is_judged(days: &[Day]) -> bool {
    days.last().is_some_and(|day| day.number >= JUDGED)
}

/// What grew that should not have: of bounded tables the most rows of any day in the last third against those of the
/// first third after the warm-up; of books the growth in these.
fn unbounded(days: &[Day]) -> Vec<String> {
    if !is_judged(days) {
        return Vec::new();
    }
    let after: Vec<&Day> = days.iter().filter(|day| day.number > WARM_UP).collect();
    let third = after.len().checked_div(3).unwrap_or(0);
    let (first, last) = (after.get(..third), after.get(after.len().saturating_sub(third)..));
    let (first, last) = (first.unwrap_or_default(), last.unwrap_or_default());
    let rows = |day: &&Day, key: &(&str, &str)| {
        day.rows.iter().find(|(known, _)| *known == key).map_or(0, |(_, count)| *count)
    };
    let most = |days: &[&Day], key| days.iter().map(|day| rows(day, key)).max().unwrap_or(0);
    let least = |days: &[&Day], key| days.iter().map(|day| rows(day, key)).min().unwrap_or(0);
    let mut broken = Vec::new();
    for key in after.first().into_iter().flat_map(|day| day.rows.keys()) {
        let (before, now) = (most(first, key), most(last, key));
        let (role, table) = key;
        if is_book(role, table) {
            let (early, late) =
                (before.saturating_sub(least(first, key)), now.saturating_sub(least(last, key)));
            if late > early.saturating_mul(2).saturating_add(SLACK) {
                broken
                    .push(format!("{role} {table} grows faster: by {early} rows at first, by {late} later"));
            }
        } else if now > before.saturating_mul(5).checked_div(4).unwrap_or(0).saturating_add(SLACK) {
            broken.push(format!("{role} {table} grows: {before} rows at first, {now} later"));
        }
    }
    broken
}

/// So many rows are nothing: small tables vary more than large ones. A table that grows by a third of this or more a day is
/// noticed at [`JUDGED`], a slower one later.
const SLACK: u64 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn days(rows: impl Fn(u64) -> u64, table: &'static str) -> Vec<Day> {
        days_to(60, ("bank", table), rows)
    }

    fn days_to(last: u64, key: (&'static str, &'static str), rows: impl Fn(u64) -> u64) -> Vec<Day> {
        let day = |number| Day {
            number,
            payments: (0, 0),
            rows: BTreeMap::from([(key, rows(number))]),
            resident_kib: 0,
            real: Duration::ZERO,
        };
        (1..=last).map(day).collect()
    }

    #[test]
    fn growth_is_noticed_as_soon_as_it_is_judged() {
        for (role, table) in [("bank", "presentment (delivered)"), ("wallet", "coin"), ("center", "drop")] {
            let grown = |last| days_to(last, (role, table), |number| number * 100);
            assert!(!is_judged(&grown(JUDGED - 1)) && unbounded(&grown(JUDGED - 1)).is_empty());
            assert!(is_judged(&grown(JUDGED)));
            assert_eq!(unbounded(&grown(JUDGED)).len(), 1, "{role} {table}");
        }
        assert_eq!(unbounded(&days_to(JUDGED, ("wallet", "history"), |number| number * 100)), [""; 0]);
    }

    #[test]
    fn what_is_said_to_stay_or_go_is_there() {
        let tables = |tables: &[&'static Table]| tables.iter().map(|table| table.name).collect::<Vec<_>>();
        let wallets = tables(feiqian_wallet::tables::TABLES);
        assert!(WALLETS.iter().all(|name| wallets.contains(name)));
        let nodes = [feiqian_bank::tables::TABLES, feiqian_center::TABLES, feiqian_merchant::TABLES];
        let nodes = nodes.map(tables).concat();
        let gone: Vec<&&str> = BOOKS.iter().filter(|name| !nodes.contains(name)).collect();
        assert!(gone.is_empty(), "{gone:?}");
        for (_, name, rows) in PARTS {
            let table = rows.split(' ').next().unwrap_or_default();
            assert!(BOOKS.contains(&table) && name.starts_with(table), "{name}");
        }
    }

    #[test]
    fn what_grows_is_told_from_what_varies() {
        assert_eq!(unbounded(&days(|number| 300 + number % 7 * 10, "coin")), Vec::<String>::new());
        assert_eq!(unbounded(&days(|number| number * 20, "coin")).len(), 1);
        assert_eq!(unbounded(&days(|number| number * 20, "ledger_transfer")), Vec::<String>::new());
        assert_eq!(unbounded(&days(|number| number * number, "ledger_transfer")).len(), 1);
    }
}
