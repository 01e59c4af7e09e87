//! A world: a center, banks, merchants and wallets that are the production nodes, on a simulated network, in virtual
//! time, with stores in memory.
//!
//! | module | idea |
//! |---|---|
//! | [`fabric`], `seats`, [`wire`] | the network, and who looks at it or reaches into it |
//! | `build` | from a scenario to nodes that are enrolled and funded |
//! | `node`, `store`, [`clock`] | one node: its parts, its durable writes, its clock |
//! | `faults` | what goes wrong when |
//! | `twin` | a wallet that was copied, as dishonest owners copy theirs |
//! | `operator` | who closes and settles the center's cycles |
//! | [`events`] | the digest over all that happens |

mod build;
pub mod clock;
pub mod events;
pub mod fabric;
mod faults;
pub(crate) mod node;
mod operator;
pub(crate) mod seats;
mod store;
pub(crate) mod twin;
mod warm;
pub mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use feiqian_ledger::store::{StoreExt as _, Tx};
use feiqian_node::Entropy as _;
use feiqian_store::SqliteStore;
use feiqian_wire::error::{Code, Fault};
use rand::RngExt as _;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use crate::error::SimError;
use crate::machine::Metered;
use crate::measure::Measures;
use crate::scenario::Scenario;
use events::EventLog;
use fabric::{Fabric, Fell, NodeId};
use node::Node;
pub use node::Running;

type Nodes = BTreeMap<NodeId, Arc<Mutex<Node>>>;

/// How a world is watched while it runs.
#[derive(Debug, Default)]
pub struct Watch {
    /// Where events go; only the digest is kept when none.
    pub log: EventLog,
    /// The event at which the run stops.
    pub until_event: Option<u64>,
}

/// A world with its nodes.
pub struct World {
    scenario: Arc<Scenario>,
    fabric: Arc<Fabric>,
    measures: Arc<Measures>,
    nodes: Nodes,
    databases: BTreeMap<NodeId, Arc<SqliteStore>>,
    root: feiqian_pki::TrustedRoot,
    center: NodeId,
    banks: Vec<NodeId>,
    merchants: Vec<NodeId>,
    wallets: Vec<NodeId>,
    /// The banks' names and document-signing keys.
    bank_names: Vec<(String, [u8; 32])>,
    /// The wallets' settings, by number.
    wallet_configs: Vec<feiqian_wallet::Config>,
    /// The merchants' settings, by number.
    merchant_configs: Vec<feiqian_merchant::Config>,
    /// Wallets whose holders keep coins elsewhere too.
    hiding: std::sync::Mutex<std::collections::BTreeSet<usize>>,
    /// For each wallet, the index of its bank.
    bank_of_wallet: Vec<usize>,
    supervisor: Option<JoinHandle<()>>,
    operator: Option<JoinHandle<()>>,
    fallen: Option<mpsc::UnboundedReceiver<Fell>>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("scenario", &self.scenario.name).finish_non_exhaustive()
    }
}

impl World {
    /// Builds the world of a scenario: every node enrolled, funded and up, the network still perfect. Call it inside
    /// a current-thread runtime with a paused clock.
    ///
    /// # Errors
    /// [`SimError::World`] when a node refuses what every world needs.
    pub async fn build(scenario: &Scenario, watch: Watch) -> Result<Self, SimError> {
        build::build(scenario, watch).await
    }

    /// The network.
    #[must_use]
    pub fn fabric(&self) -> &Arc<Fabric> {
        &self.fabric
    }

    /// The measures.
    #[must_use]
    pub fn measures(&self) -> &Arc<Measures> {
        &self.measures
    }

    /// The scenario.
    #[must_use]
    pub fn scenario(&self) -> &Arc<Scenario> {
        &self.scenario
    }

    /// The root that everybody believes.
    #[must_use]
    pub fn root(&self) -> &feiqian_pki::TrustedRoot {
        &self.root
    }

    /// The center.
    #[must_use]
    pub fn center(&self) -> NodeId {
        self.center
    }

    /// The banks, as the scenario lists them.
    #[must_use]
    pub fn banks(&self) -> &[NodeId] {
        &self.banks
    }

    /// The merchants, by number.
    #[must_use]
    pub fn merchants(&self) -> &[NodeId] {
        &self.merchants
    }

    /// The wallets, by number.
    #[must_use]
    pub fn wallets(&self) -> &[NodeId] {
        &self.wallets
    }

    /// The bank that keeps this wallet's account.
    #[must_use]
    pub fn bank_of_wallet(&self, wallet: usize) -> Option<NodeId> {
        self.banks.get(*self.bank_of_wallet.get(wallet)?).copied()
    }

    /// Node, name and document-signing key of a bank.
    #[must_use]
    pub fn bank_details(&self, number: usize) -> Option<(NodeId, String, [u8; 32])> {
        let (name, signer) = self.bank_names.get(number)?;
        Some((*self.banks.get(number)?, name.clone(), *signer))
    }

    /// Node and settings of a wallet.
    #[must_use]
    pub fn wallet_details(&self, number: usize) -> Option<(NodeId, &feiqian_wallet::Config)> {
        Some((*self.wallets.get(number)?, self.wallet_configs.get(number)?))
    }

    /// Node and settings of a merchant.
    #[must_use]
    pub fn merchant_details(&self, number: usize) -> Option<(NodeId, &feiqian_merchant::Config)> {
        Some((*self.merchants.get(number)?, self.merchant_configs.get(number)?))
    }

    /// The holder of this wallet keeps coins elsewhere: nobody can tell any more that all coins are in wallets.
    pub fn hides_coins(&self, wallet: usize) {
        self.hiding.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(wallet);
    }

    /// Whether the holder of this wallet keeps coins elsewhere.
    #[must_use]
    pub fn is_hiding(&self, wallet: usize) -> bool {
        self.hiding.lock().unwrap_or_else(std::sync::PoisonError::into_inner).contains(&wallet)
    }

    /// A random generator of the named stream of this world's seed.
    #[must_use]
    pub fn stream(&self, name: &str) -> rand::rngs::ChaCha12Rng {
        feiqian_node::StreamEntropy::new(self.scenario.seed, name).rng()
    }

    /// The node as it runs now.
    ///
    /// # Errors
    /// `NODE_UNREACHABLE` while it is down.
    pub async fn running(&self, node: NodeId) -> Result<Running, Fault> {
        running(&self.nodes, &self.fabric, node).await
    }

    /// Has a node carry out a command of its operator or owner.
    ///
    /// # Errors
    /// The node's fault; `NODE_UNREACHABLE` when it is down or dies over it.
    pub async fn command(&self, node: NodeId, command: Value) -> Result<Value, Fault> {
        self::command(&self.nodes, &self.fabric, node, command).await
    }

    /// Reads a node's store beside the node, whether it is up or not: for audits and for measures.
    ///
    /// # Errors
    /// The store's.
    pub async fn read<T: Send + 'static>(
        &self,
        node: NodeId,
        work: impl FnMut(&mut dyn Tx) -> Result<T, feiqian_ledger::store::StoreError> + Send + 'static,
    ) -> Result<T, feiqian_ledger::store::StoreError> {
        let read = self.read_beside(node, work).await;
        if !self.is_warm(node) {
            self.cool(node);
        }
        read
    }

    async fn read_beside<T: Send + 'static>(
        &self,
        node: NodeId,
        work: impl FnMut(&mut dyn Tx) -> Result<T, feiqian_ledger::store::StoreError> + Send + 'static,
    ) -> Result<T, feiqian_ledger::store::StoreError> {
        match self.databases.get(&node) {
            Some(database) => database.read(work).await,
            None => Err(feiqian_ledger::store::StoreError::Closed),
        }
    }

    /// As [`World::read`], on this very thread and before it returns: a store of a world answers at once. It keeps what it
    /// took to read until the store is cooled.
    ///
    /// # Errors
    /// The store's.
    pub fn read_now<T: Send + 'static>(
        &self,
        node: NodeId,
        work: impl FnMut(&mut dyn Tx) -> Result<T, feiqian_ledger::store::StoreError> + Send + 'static,
    ) -> Result<T, feiqian_ledger::store::StoreError> {
        let mut reading = std::pin::pin!(self.read_beside(node, work));
        match reading.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(feiqian_ledger::store::StoreError::Closed),
        }
    }

    /// Writes to a node's store beside the node, as nobody in the world can.
    #[cfg(test)]
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        node: NodeId,
        work: impl FnMut(&mut dyn Tx) -> Result<T, feiqian_ledger::store::StoreError> + Send + 'static,
    ) -> Result<T, feiqian_ledger::store::StoreError> {
        match self.databases.get(&node) {
            Some(database) => database.commit("sim.test.write", work).await,
            None => Err(feiqian_ledger::store::StoreError::Closed),
        }
    }

    /// The true time.
    #[must_use]
    pub fn now(&self) -> feiqian_wire::Timestamp {
        clock::BEGINNING.saturating_add(self.fabric.elapsed().as_secs())
    }

    /// The authority with which a bank certifies its customers: what a bank has that does as it likes.
    pub(crate) async fn authority_of(&self, bank: NodeId) -> Result<feiqian_pki::Authority, Fault> {
        let held = self.nodes.get(&bank).ok_or_else(down)?.lock().await;
        let node::Recipe::Bank(recipe) = &held.recipe else { return Err(down()) };
        let [key, ..] = recipe.seeds.each_ref().map(feiqian_pki::KeyPair::from_seed);
        let [chain, ..] = &recipe.chains;
        feiqian_pki::Authority::from_parts(key, chain.clone()).map_err(node::internal)
    }

    /// What the secrets in a wallet's store are sealed with; `None` for another node. Its owner has it, and whoever takes the
    /// whole home.
    pub(crate) async fn store_key(&self, wallet: NodeId) -> Option<feiqian_wallet::StoreKey> {
        let held = self.nodes.get(&wallet)?.lock().await;
        let node::Recipe::Wallet(recipe) = &held.recipe else { return None };
        Some(feiqian_wallet::StoreKey::of(&feiqian_online_cash::seed::Seed::from_bytes(recipe.seed)))
    }

    /// A wallet was busy and is idle now. Its store stays warm for the next time; what it has learnt of the members it shares
    /// with the first one, since all are told the same.
    pub fn doze(&self, wallet: NodeId) {
        if let Some(database) = self.databases.get(&wallet) {
            self.fabric.warm().busy(wallet, database);
        }
        let running = |node: &NodeId| self.nodes.get(node)?.try_lock().ok()?.running.clone();
        if let (Some(Running::Wallet(one)), Some(Running::Wallet(first))) =
            (running(&wallet), self.wallets.first().filter(|first| **first != wallet).and_then(running))
        {
            one.share_members(&first);
        }
    }

    /// Whether a node's store keeps what makes it fast.
    pub(crate) fn is_warm(&self, node: NodeId) -> bool {
        self.fabric.warm().has(node)
    }

    /// Takes from a node's store what it has only to be faster next time.
    pub(crate) fn cool(&self, node: NodeId) {
        if let Some(database) = self.databases.get(&node) {
            database.release_memory();
        }
    }

    /// From its next life on, which begins now, what a node writes to these tables is lost: to show that an attack
    /// would win.
    ///
    /// # Errors
    /// The node's, when it does not start again.
    pub async fn break_store(&self, node: NodeId, tables: &'static [&'static str]) -> Result<(), Fault> {
        let held = self.nodes.get(&node).ok_or_else(down)?;
        let mut held = held.lock().await;
        held.bury();
        held.forgets = tables;
        held.start(&self.fabric).await.map(drop)
    }

    /// Lets time run: the network takes its time, nodes work by themselves, faults come when they come. Answers when
    /// the last timed fault is over, from now.
    pub async fn go_live(&mut self) -> Duration {
        let poll = self.scenario.wallet.poll.0;
        let mut rng = self.stream("world/polls");
        for held in self.nodes.values() {
            let mut node = held.lock().await;
            let role = self.fabric.role(node.id);
            if role == "wallet" {
                let part = u64::try_from(poll.as_millis()).unwrap_or(u64::MAX).max(1);
                let wait = Duration::from_millis(rng.random_range(0..part));
                self.later(Arc::clone(held), wait, role);
            } else {
                node.begin_background(role);
            }
        }
        self.fabric.go_live();
        if let Some(fallen) = self.fallen.take() {
            let (nodes, fabric) = (self.nodes.clone(), Arc::clone(&self.fabric));
            self.supervisor = Some(tokio::spawn(supervise(nodes, fabric, fallen)));
        }
        self.operator = operator::begin(&self.scenario, &self.nodes, &self.fabric, self.center);
        self.begin_faults()
    }

    /// Wallets begin their rounds at different times, as people start their phones.
    fn later(&self, held: Arc<Mutex<Node>>, wait: Duration, role: &'static str) {
        let fabric = Arc::clone(&self.fabric);
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            let mut node = held.lock().await;
            // A wallet that crashed meanwhile has begun its rounds when it was started again.
            if fabric.is_up(node.id) && node.is_idle() {
                node.begin_background(role);
            }
        });
    }

    /// Ends the world. Its parts point at one another: without this they would stay in memory.
    pub async fn end(mut self) {
        for task in [self.supervisor.take(), self.operator.take()].into_iter().flatten() {
            task.abort();
        }
        self.fabric.dissolve();
        for held in self.nodes.values() {
            held.lock().await.bury();
        }
    }
}

fn down() -> Fault {
    Fault::new(Code::NodeUnreachable, "the node is down")
}

/// The node as it runs now.
async fn running(nodes: &Nodes, fabric: &Fabric, node: NodeId) -> Result<Running, Fault> {
    let held = nodes.get(&node).filter(|_| fabric.is_up(node)).ok_or_else(down)?;
    held.lock().await.running.clone().ok_or_else(down)
}

async fn command(nodes: &Nodes, fabric: &Fabric, node: NodeId, command: Value) -> Result<Value, Fault> {
    let service = running(nodes, fabric, node).await?.service();
    let work = Metered::new(fabric.role(node), service.command(command));
    tokio::select! {
        biased;
        () = fabric.end_of(node) => Err(down()),
        answer = work => answer,
    }
}

/// Starts fallen nodes again after their time.
async fn supervise(nodes: Nodes, fabric: Arc<Fabric>, mut fallen: mpsc::UnboundedReceiver<Fell>) {
    let mut restarts = JoinSet::new();
    while let Some(fell) = fallen.recv().await {
        while restarts.try_join_next().is_some() {}
        let Some(held) = nodes.get(&fell.node).cloned() else { continue };
        let fabric = Arc::clone(&fabric);
        restarts.spawn(async move {
            held.lock().await.bury();
            tokio::time::sleep(fell.length).await;
            let mut node = held.lock().await;
            let name = node.name.clone();
            let role = fabric.role(fell.node);
            let started = tokio::select! {
                biased;
                started = node.start(&fabric) => Some(started.map(drop)),
                () = crashed_again(&fabric, fell.node) => None,
            };
            match started {
                Some(Ok(())) => {
                    node.begin_background(role);
                    fabric.record("fault", &name, "", "restart", "up", &[]);
                }
                Some(Err(fault)) => fabric.record("fault", &name, "", "restart", fault.code.as_str(), &[]),
                // The next fall is in the queue.
                None => {}
            }
        });
    }
}

/// Waits until the life that a start has just begun ends. The start begins it with its first poll.
async fn crashed_again(fabric: &Fabric, node: NodeId) {
    tokio::task::yield_now().await;
    fabric.end_of(node).await;
}
