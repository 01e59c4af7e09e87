//! The nodes of a world: the production roles, made from parts that outlive a crash.

use std::sync::Arc;

use feiqian_bank::secrets::MemorySecrets;
use feiqian_ledger::store::{Store, Table};
use feiqian_node::{Entropy as _, Identity, RuntimeClock, Seams, Service, Shutdown, StreamEntropy, Trust};
use feiqian_online_cash::seed::Seed;
use feiqian_pki::{Authority, Chain, KeyPair, TrustedRoot};
use feiqian_store::SqliteStore;
use feiqian_wire::error::{Code, Fault};
use tokio::task::JoinHandle;

use super::clock::{BEGINNING, NodeClock};
use super::fabric::{Fabric, NodeId, Port, RoleName};
use super::store::NodeStore;
use crate::machine::{Metered, StoreFile};

/// What a role is made of; every life of the node is made of the same.
pub(crate) enum Recipe {
    Center(feiqian_center::Config),
    Bank(Box<BankRecipe>),
    Merchant(Box<MerchantRecipe>),
    Wallet(Box<WalletRecipe>),
}

pub(crate) struct BankRecipe {
    pub(crate) config: feiqian_bank::Config,
    pub(crate) secrets: Arc<MemorySecrets>,
    pub(crate) root: TrustedRoot,
    /// Seeds of the keys: authority, signer, transport.
    pub(crate) seeds: [[u8; 32]; 3],
    /// Their chains.
    pub(crate) chains: [Chain; 3],
}

pub(crate) struct MerchantRecipe {
    pub(crate) config: feiqian_merchant::Config,
    pub(crate) root: TrustedRoot,
    /// Seeds of the keys: signer, transport.
    pub(crate) seeds: [[u8; 32]; 2],
    /// Their chains.
    pub(crate) chains: [Chain; 2],
}

#[derive(Clone)]
pub(crate) struct WalletRecipe {
    pub(crate) config: feiqian_wallet::Config,
    pub(crate) root: TrustedRoot,
    pub(crate) seed: [u8; 64],
    /// Seeds of the keys: signer, transport.
    pub(crate) seeds: [[u8; 32]; 2],
    /// Their chains.
    pub(crate) chains: [Chain; 2],
}

/// Most of a node's store that is in memory, KiB; the rest lies in a temporary file.
const fn cache_kib(recipe: &Recipe) -> u32 {
    match recipe {
        Recipe::Center(_) | Recipe::Bank(_) => 1024,
        Recipe::Merchant(_) => 256,
        Recipe::Wallet(_) => 64,
    }
}

/// A running role, by its type.
#[derive(Clone)]
pub enum Running {
    /// The center.
    Center(Arc<feiqian_center::Center>),
    /// A bank.
    Bank(Arc<feiqian_bank::Bank>),
    /// A merchant.
    Merchant(Arc<feiqian_merchant::Merchant>),
    /// A wallet.
    Wallet(Arc<feiqian_wallet::Wallet>),
}

impl Running {
    /// As what all of them are.
    #[must_use]
    pub fn service(&self) -> Arc<dyn Service> {
        match self {
            Self::Center(node) => Arc::clone(node) as _,
            Self::Bank(node) => Arc::clone(node) as _,
            Self::Merchant(node) => Arc::clone(node) as _,
            Self::Wallet(node) => Arc::clone(node) as _,
        }
    }
}

/// A node: what survives a crash, and the life it has now.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) name: String,
    pub(crate) database: Arc<SqliteStore>,
    _file: Option<StoreFile>,
    pub(crate) clock: Arc<NodeClock>,
    entropy: Arc<StreamEntropy>,
    seed: u64,
    pub(crate) recipe: Recipe,
    pub(crate) running: Option<Running>,
    background: Option<JoinHandle<()>>,
    /// Tables whose rows are lost, in a world that must lose.
    pub(crate) forgets: &'static [&'static str],
}

pub(super) fn tables(recipe: &Recipe) -> &'static [&'static Table] {
    match recipe {
        Recipe::Center(_) => feiqian_center::TABLES,
        Recipe::Bank(_) => feiqian_bank::tables::TABLES,
        Recipe::Merchant(_) => feiqian_merchant::tables::TABLES,
        Recipe::Wallet(_) => feiqian_wallet::tables::TABLES,
    }
}

pub(crate) fn internal(error: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Internal, error.to_string())
}

impl Node {
    /// A node that is not up yet. Its store spills into a file, while there are files. Its name is `role:which`; its randomness
    /// is the stream of that name.
    pub(crate) fn new(
        fabric: &Fabric,
        seed: u64,
        name: String,
        url: Option<&str>,
        recipe: Recipe,
    ) -> Result<Self, Fault> {
        let role: RoleName = match &recipe {
            Recipe::Center(_) => "center",
            Recipe::Bank(_) => "bank",
            Recipe::Merchant(_) => "merchant",
            Recipe::Wallet(_) => "wallet",
        };
        let now = BEGINNING.saturating_add(fabric.elapsed().as_secs());
        let clock = Arc::new(NodeClock::new(RuntimeClock::starting_at(now)));
        let id = fabric.seat(&name, role, url, Arc::clone(&clock));
        let file = StoreFile::take();
        let database = if file.is_some() {
            SqliteStore::open_temporary(tables(&recipe), cache_kib(&recipe))
        } else {
            SqliteStore::open_in_memory(tables(&recipe))
        };
        let database = Arc::new(database.map_err(internal)?);
        let entropy = Arc::new(StreamEntropy::new(seed, &name));
        Ok(Self {
            id,
            name,
            database,
            _file: file,
            clock,
            entropy,
            seed,
            recipe,
            running: None,
            background: None,
            forgets: &[],
        })
    }

    /// The stream that the node's keys come from: the same for every life.
    fn key_stream(&self) -> StreamEntropy {
        StreamEntropy::new(self.seed, &format!("keys/{}", self.name))
    }

    /// Seams of a new life, which shows `identity` and believes `root`.
    fn seams(&self, fabric: &Arc<Fabric>, identity: Arc<Identity>, root: TrustedRoot) -> Seams {
        let (fabric, node) = (Arc::clone(fabric), self.id);
        let life = fabric.begin_life(node);
        let trust = Arc::new(Trust::new(root, Arc::clone(&self.clock) as _));
        fabric.equip(node, Arc::clone(&trust), Some(identity));
        let database = Arc::clone(&self.database);
        let (is_wallet, forgets) = (matches!(self.recipe, Recipe::Wallet(_)), self.forgets);
        let store = NodeStore { database, fabric: Arc::clone(&fabric), node, life, is_wallet, forgets };
        Seams {
            store: Arc::new(store) as Arc<dyn Store>,
            network: Arc::new(Port { fabric, node, life, trust: Some(trust) }),
            clock: Arc::clone(&self.clock) as _,
            entropy: Arc::clone(&self.entropy) as _,
            workers: Arc::new(feiqian_node::InlineWorkers),
        }
    }

    /// Starts a life: the role from its parts, its door open, its own work not begun.
    pub(crate) async fn start(&mut self, fabric: &Arc<Fabric>) -> Result<Running, Fault> {
        let running = match &self.recipe {
            Recipe::Center(config) => {
                let mut rng = self.key_stream().rng();
                let keys = feiqian_center::Keys::generate(config, BEGINNING.seconds(), &mut rng)?;
                let seams = self.seams(fabric, Arc::clone(&keys.transport), keys.root.clone());
                Running::Center(feiqian_center::Center::new(config.clone(), keys, seams).await?)
            }
            Recipe::Bank(recipe) => {
                let keys = bank_keys(recipe)?;
                let seams = self.seams(fabric, Arc::new(keys.identity.clone()), keys.root.clone());
                let secrets = Arc::clone(&recipe.secrets) as _;
                let parts = feiqian_bank::Parts { config: recipe.config.clone(), keys, secrets };
                Running::Bank(feiqian_bank::Bank::new(parts, seams).await?)
            }
            Recipe::Merchant(recipe) => {
                let [signer, transport] = pairs(&recipe.seeds, &recipe.chains);
                let keys = feiqian_merchant::Keys::new(transport, signer, recipe.root.clone());
                let seams = self.seams(fabric, Arc::clone(&keys.transport), keys.root.clone());
                let (config, first_view, home) = (recipe.config.clone(), None, None);
                let parts = feiqian_merchant::Parts { config, keys, first_view, home };
                Running::Merchant(feiqian_merchant::Merchant::new(parts, seams).await?)
            }
            Recipe::Wallet(recipe) => {
                let parts = wallet_parts(recipe);
                let identity =
                    parts.identity.clone().ok_or_else(|| internal("a wallet without certificate"))?;
                let seams = self.seams(fabric, identity, parts.root.clone());
                Running::Wallet(feiqian_wallet::Wallet::new(parts, seams).await?)
            }
        };
        fabric.open(self.id, running.service().router());
        self.running = Some(running.clone());
        Ok(running)
    }

    /// Begins what the node does by itself.
    pub(crate) fn begin_background(&mut self, role: RoleName) {
        if let Some(running) = &self.running {
            let work = running.service().background(Shutdown::new());
            self.background = Some(tokio::spawn(Metered::new(role, work)));
        }
    }

    /// Whether its own work has not begun in this life.
    pub(crate) fn is_idle(&self) -> bool {
        self.background.is_none()
    }

    /// Ends what is left of a life.
    pub(crate) fn bury(&mut self) {
        self.running = None;
        if let Some(background) = self.background.take() {
            background.abort();
        }
    }
}

fn pairs(seeds: &[[u8; 32]; 2], chains: &[Chain; 2]) -> [(KeyPair, Chain); 2] {
    let [first, second] = chains.clone();
    let [one, two] = seeds;
    [(KeyPair::from_seed(one), first), (KeyPair::from_seed(two), second)]
}

fn bank_keys(recipe: &BankRecipe) -> Result<feiqian_bank::Keys, Fault> {
    let [authority, signer, transport] = recipe.seeds.each_ref().map(KeyPair::from_seed);
    let [authority_chain, signer_chain, transport_chain] = recipe.chains.clone();
    let root = recipe.root.clone();
    Ok(feiqian_bank::Keys {
        authority: Authority::from_parts(authority, authority_chain).map_err(internal)?,
        signer,
        signer_chain,
        identity: Identity::new(transport, transport_chain, root.clone()),
        root,
    })
}

pub(crate) fn wallet_parts(recipe: &WalletRecipe) -> feiqian_wallet::Parts {
    let [(signing, signing_chain), (transport, transport_chain)] = pairs(&recipe.seeds, &recipe.chains);
    let identity = Identity::new(transport, transport_chain, recipe.root.clone());
    feiqian_wallet::Parts {
        config: recipe.config.clone(),
        seed: Seed::from_bytes(recipe.seed),
        offline_seed: feiqian_offline_cash::seed::Seed::from_bytes(recipe.seed),
        signing,
        signing_chain,
        root: recipe.root.clone(),
        identity: Some(Arc::new(identity)),
        evidence_dir: None,
    }
}

/// 32 bytes of a named stream.
pub(crate) fn bytes_of(seed: u64, name: &str) -> [u8; 32] {
    feiqian_crypto::Transcript::new("sim/bytes").integer(seed).text(name).into_digest().0
}
