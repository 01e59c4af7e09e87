//! The auditor: every book recomputed from its rows, and all books held against one another at one instant.
//!
//! | module | idea |
//! |---|---|
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
pub mod offline;
mod promises;
mod purses;

use std::collections::BTreeSet;
use std::sync::Arc;

use feiqian_ledger::audit::{Finding, check_book, check_rows};
use feiqian_ledger::store::{StoreError, Table, Tx};
use feiqian_node::{Entropy as _, StreamEntropy};
use serde_json::{Value, json};

use crate::machine::{self, on_account};
use crate::world::World;
use crate::world::fabric::NodeId;
use books::{BankBooks, CenterBooks, MerchantBooks, WalletBooks};

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

/// Looks at everything, at one instant. The stores have nothing in common, so several threads look at several of them;
/// what is found stands in the order of the nodes.
pub async fn look(world: &World, depth: Depth) -> Verdict {
    let look = Look { world, depth, warm: world.warm() };
    let mut places = vec![Place::Center];
    places.extend((0..world.banks().len()).map(Place::Bank));
    places.extend((0..world.merchants().len()).map(Place::Merchant));
    for (number, wallet) in world.wallets().iter().enumerate() {
        let key = if depth == Depth::Rows { world.store_key(*wallet).await } else { None };
        places.push(Place::Wallet(number, key.map(Arc::new)));
    }
    on_account("auditor", || {
        let mut books = conserve::World::default();
        let mut findings = Vec::new();
        for seen in machine::side_by_side(&places, |place| look.at(place)) {
            books.centers.extend(seen.center);
            books.banks.extend(seen.bank);
            books.merchants.extend(seen.merchant);
            books.wallets.extend(seen.wallet);
            findings.extend(seen.findings);
        }
        let compared = books.compare();
        findings.extend(compared.findings.into_iter().map(|finding| ("all nodes".to_owned(), finding)));
        let sums = json!({
            "circulation": compared.circulation,
            "settlement": compared.settlement,
            "closed_world": compared.closed,
        });
        let event = world.fabric().log().count();
        Verdict { event, seconds: world.fabric().elapsed().as_secs(), findings, sums }
    })
}

type Found = Result<Vec<Finding>, StoreError>;

/// A node of the world, by its number; a wallet with the key of its store, where its rows are looked at.
enum Place {
    Center,
    Bank(usize),
    Merchant(usize),
    Wallet(usize, Option<Arc<feiqian_wallet::StoreKey>>),
}

/// What one node showed.
#[derive(Default)]
struct Seen {
    center: Option<CenterBooks>,
    bank: Option<BankBooks>,
    merchant: Option<MerchantBooks>,
    wallet: Option<WalletBooks>,
    findings: Vec<(String, Finding)>,
}

struct Look<'a> {
    world: &'a World,
    depth: Depth,
    /// Nodes that keep what makes them fast.
    warm: BTreeSet<NodeId>,
}

impl Look<'_> {
    fn at(&self, place: &Place) -> Seen {
        let seen = match place {
            Place::Center => Some(self.center()),
            Place::Bank(number) => self.bank(*number),
            Place::Merchant(number) => self.merchant(*number),
            Place::Wallet(number, key) => self.wallet(*number, key.clone()),
        };
        seen.unwrap_or_default()
    }

    /// Reads a store; what cannot be read is a finding.
    fn read<T: Send + 'static>(
        &self,
        node: NodeId,
        seen: &mut Seen,
        work: impl FnMut(&mut dyn Tx) -> Result<T, StoreError> + Send + 'static,
    ) -> Option<T> {
        match self.world.read_now(node, work) {
            Ok(read) => Some(read),
            Err(error) => {
                let name = self.world.fabric().name(node).to_string();
                seen.findings.push((name, Finding::new(7, "store", error.to_string())));
                None
            }
        }
    }

    /// A role's own audit; rows too damaged to be understood are named by the checks of all rows.
    fn own(
        &self,
        node: NodeId,
        seen: &mut Seen,
        tables: &'static [&'static Table],
        mut audit: impl FnMut(&mut dyn Tx) -> Found + Send + 'static,
    ) {
        let found = self.read(node, seen, move |tx: &mut dyn Tx| match audit(tx) {
            Err(error) => {
                let mut findings = check_rows(tx, tables)?;
                findings.push(Finding::new(7, "store", error.to_string()));
                Ok(findings)
            }
            found => found,
        });
        let name = self.world.fabric().name(node);
        let found = found.unwrap_or_default().into_iter();
        seen.findings.extend(found.map(|finding| (name.to_string(), finding)));
    }

    fn center(&self) -> Seen {
        let (node, depth, mut seen) = (self.world.center(), self.depth, Seen::default());
        seen.center = self.read(node, &mut seen, CenterBooks::read);
        self.own(node, &mut seen, feiqian_center::TABLES, move |tx: &mut dyn Tx| {
            let mut findings = check_book(tx)?.findings;
            if depth == Depth::Rows {
                findings.extend(feiqian_center::audit::check(tx)?.findings);
            }
            Ok(findings)
        });
        seen
    }

    fn bank(&self, number: usize) -> Option<Seen> {
        let (node, name, signer) = self.world.bank_details(number)?;
        let (depth, seed, mut seen) = (self.depth, self.world.scenario().seed, Seen::default());
        let (own, currency) = (name.clone(), self.world.scenario().currency.code());
        seen.bank = self.read(node, &mut seen, move |tx: &mut dyn Tx| BankBooks::read(tx, &own, currency));
        let audited = feiqian_bank::audit::Audited { bank: name, signer };
        self.own(node, &mut seen, feiqian_bank::tables::TABLES, move |tx: &mut dyn Tx| {
            if depth == Depth::Books {
                return Ok(check_book(tx)?.findings);
            }
            let audit =
                feiqian_bank::audit::audit(tx, &audited, &mut StreamEntropy::new(seed, "audit").rng())?;
            Ok(audit.findings.into_iter().chain(audit.book.findings).collect())
        });
        Some(seen)
    }

    fn merchant(&self, number: usize) -> Option<Seen> {
        let (node, config) = self.world.merchant_details(number)?;
        let (config, mut seen) = (config.clone(), Seen::default());
        seen.merchant = self.read(node, &mut seen, move |tx: &mut dyn Tx| MerchantBooks::read(tx, &config));
        if self.depth == Depth::Rows {
            let audit = |tx: &mut dyn Tx| Ok(feiqian_merchant::audit::check(tx)?.findings);
            self.own(node, &mut seen, feiqian_merchant::TABLES, audit);
        }
        Some(seen)
    }

    fn wallet(&self, number: usize, key: Option<Arc<feiqian_wallet::StoreKey>>) -> Option<Seen> {
        let (node, config) = self.world.wallet_details(number)?;
        let (config, mut seen) = (config.clone(), Seen::default());
        let books = self.read(node, &mut seen, move |tx: &mut dyn Tx| WalletBooks::read(tx, &config));
        // Without its books the world is not closed, and only coins that are missing count, not coins elsewhere.
        seen.wallet = books.filter(|_| !self.world.is_hiding(number));
        if self.depth == Depth::Rows {
            let audit = move |tx: &mut dyn Tx| match feiqian_wallet::audit::audit(tx, key.as_deref()) {
                Ok(audit) => Ok(audit.findings),
                Err(fault) => Err(StoreError::Corrupt(fault.message.to_string())),
            };
            self.own(node, &mut seen, feiqian_wallet::tables::TABLES, audit);
        }
        if !self.warm.contains(&node) {
            self.world.cool(node);
        }
        Some(seen)
    }
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
