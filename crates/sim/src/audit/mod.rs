//! The auditor: every book recomputed from its rows, and all books held against one another at one instant.
//!
//! | module | idea |
//! |---|---|
//! | [`look()`] | all stores looked at, at one instant |
//! | [`mod@slice`] | the part of the ids that is in memory at a time |
//! | [`books`] | what is read from each store because others must agree with it |
//! | [`conserve`] | what must agree: circulation, settlement |
//! | `items` | each item of clearing at both its banks and the center |
//! | [`offline`] | the same for offline cash, where what is paid at once and what follows are items of their own |
//! | `purses` | where offline coins are: circulation, wallets, merchants |
//! | `promises` | what wallets and merchants were told, against their banks' rows |
//! | [`liveness`] | after the last fault everything that was begun has ended |
//!
//! A world runs on one thread, so a look at all stores during which that thread does nothing else is a look at one instant.

pub mod books;
pub mod conserve;
mod items;
pub mod liveness;
mod look;
pub mod offline;
mod promises;
mod purses;
pub mod slice;

use feiqian_ledger::audit::Finding;
use feiqian_ledger::store::{StoreError, Tx};
use serde_json::{Value, json};

use crate::world::World;
pub use look::look;

/// The invariants, as the ledger numbers them.
pub const INVARIANTS: [(u8, &str); 8] = [
    (1, "debits equal credits, pending and posted; no account breaks its limit"),
    (2, "each id acts once; a pending transfer resolves once; linked transfers are whole"),
    (3, "circulation is issued less redeemed; no coin is spent above its value; it equals what wallets hold"),
    (4, "a cheque is paid at most once; what was paid is what drawers were debited"),
    (5, "obligations and net positions sum to zero; the banks' mirrors are what the center holds"),
    (6, "money in the world changes only by declared base money"),
    (7, "every row matches its check; the journal replays to the same balances; its hash chain holds"),
    (8, "what was acknowledged stands"),
];

/// What one look found.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The number of the last event before the look.
    pub event: u64,
    /// Simulated seconds since the beginning.
    pub seconds: u64,
    /// What is wrong: node and finding. Empty when all is well.
    pub findings: Vec<(String, Finding)>,
    /// The sums that were compared.
    pub sums: Value,
}

impl Verdict {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn held(&self) -> bool {
        self.findings.is_empty()
    }

    /// As `summary.json` has it: each invariant, held or broken, and what was found.
    #[must_use]
    pub fn json(&self) -> Value {
        let findings = self.findings.iter().take(100).map(|(node, finding)| {
            json!({"invariant": finding.invariant, "node": node, "place": finding.place, "detail": finding.detail})
        });
        let invariants = INVARIANTS.iter().map(|(number, name)| {
            let held = self.findings.iter().all(|(_, finding)| finding.invariant != *number);
            json!({"invariant": number, "name": name, "held": held})
        });
        json!({
            "held": self.held(),
            "event": self.event,
            "seconds": self.seconds,
            "invariants": invariants.collect::<Vec<_>>(),
            "findings": findings.collect::<Vec<_>>(),
            "sums": self.sums,
        })
    }
}

/// How much one look recomputes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Ledgers from their journals, and all books against one another.
    Books,
    /// Also every row, every signature and every statement.
    Rows,
}

/// Every balance in the world: of each ledger account of the center and the banks, and of each wallet's coins.
pub async fn balances(world: &World) -> std::collections::BTreeMap<String, i64> {
    let mut all = std::collections::BTreeMap::new();
    let books = "SELECT hex(id), credits_posted - debits_posted FROM ledger_account";
    let coins = "SELECT 'coins', coalesce(sum(rest), 0) FROM coin";
    let nodes = std::iter::once((world.center(), books))
        .chain(world.banks().iter().map(|bank| (*bank, books)))
        .chain(world.wallets().iter().map(|wallet| (*wallet, coins)));
    for (node, sql) in nodes {
        let read = world.read(node, move |tx: &mut dyn Tx| {
            let rows = tx.select(sql, &[])?;
            rows.iter()
                .map(|row| Ok((row.text(0)?.to_owned(), row.integer(1)?)))
                .collect::<Result<Vec<_>, StoreError>>()
        });
        let name = world.fabric().name(node);
        all.extend(
            read.await.unwrap_or_default().into_iter().map(|(id, balance)| (format!("{name}/{id}"), balance)),
        );
    }
    all
}
