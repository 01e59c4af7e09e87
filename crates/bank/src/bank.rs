//! The bank itself: its parts put together.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::members::NEWS_PAUSE;
use arc_swap::{ArcSwap, ArcSwapOption};
use feiqian_clearing::presentment::{Presented, Presentment};
use feiqian_crypto::snowblind::CommitmentPool;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::{Amount, Minor};
use feiqian_node::{
    Carriers, CashLane, Coalesced, Endpoint, Identity, Lap, Members, Seams, Target, cash_lane,
};
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{Authority, Chain, KeyPair, RevocationList, Role, TrustedRoot};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use tokio::sync::Notify;

use crate::chart;
use crate::config::Config;
use crate::instances;
use crate::keys::Ring;
use crate::members;
use crate::offline::Offline;
use crate::refusal::Refusal;
use crate::secrets::EpochSecrets;
use crate::sessions::Sessions;

/// The keys a bank has from its admission on.
#[derive(Debug)]
pub struct Keys {
    /// The pinned root.
    pub root: TrustedRoot,
    /// Certifies the bank's own leaves, its customers and merchants.
    pub authority: Authority,
    /// Signs keysets, receipts and statements.
    pub signer: KeyPair,
    /// The signer's chain: leaf, bank authority, root.
    pub signer_chain: Chain,
    /// The TLS key and its chain.
    pub identity: Identity,
}

/// Everything a bank is made of besides its seams.
pub struct Parts {
    /// Its settings.
    pub config: Config,
    /// Its keys.
    pub keys: Keys,
    /// Where its denomination keys' secrets are kept.
    pub secrets: Arc<dyn EpochSecrets>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts")
            .field("config", &self.config)
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// A running bank.
pub struct Bank {
    pub(crate) config: Config,
    pub(crate) root: TrustedRoot,
    pub(crate) authority: Authority,
    pub(crate) signer: KeyPair,
    pub(crate) signer_chain: WireChain,
    pub(crate) identity: Arc<Identity>,
    pub(crate) secrets: Arc<dyn EpochSecrets>,
    pub(crate) seams: Seams,
    pub(crate) members: Arc<Members>,
    /// Payments that wait to be checked, from all connections.
    pub(crate) cash: Arc<CashLane>,
    /// Payments on their way to the center, by the bank whose coins they are of.
    pub(crate) carriers: Carriers<String, Presentment<CashItem>, Presented<Outcome>>,
    pub(crate) center: Target,
    pub(crate) ring: ArcSwap<Ring>,
    pub(crate) rotating: tokio::sync::Mutex<()>,
    pub(crate) news: Coalesced,
    /// Names this run: sessions of a run that is dead are void.
    pub(crate) instance: Id16,
    pub(crate) offline: Offline,
    pool: Mutex<CommitmentPool>,
    sessions: Mutex<Sessions>,
    pub(crate) refill: Notify,
    pub(crate) outbox: Notify,
    /// The authority's newest revocation list.
    pub(crate) own_list: ArcSwapOption<RevocationList>,
    /// When the list that the center took was made, Unix seconds; 0 before.
    pub(crate) list_brought: AtomicU64,
    /// A newer list is due and could not be dated yet.
    pub(crate) list_late: AtomicBool,
    pub(crate) listing: tokio::sync::Mutex<()>,
    /// Epochs below this have ended: the mark in the store, as known here.
    pub(crate) ended: AtomicU64,
    /// Items made up to then may be gone from the outbox: likewise.
    pub(crate) presented: AtomicU64,
    /// Where deleting in the outbox goes on.
    pub(crate) pruning: Lap,
}

impl std::fmt::Debug for Bank {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bank").field("name", &self.config.name).finish_non_exhaustive()
    }
}

impl Bank {
    /// Starts a bank on its store, which must have been opened with [`crate::tables::TABLES`].
    ///
    /// The center is not asked for anything: [`feiqian_node::Service::background`] does that, or [`Bank::tend`].
    ///
    /// # Errors
    /// `USAGE` for settings that do not fit; `UNAVAILABLE` or `INTERNAL` when store or secrets cannot be read.
    pub async fn new(parts: Parts, seams: Seams) -> Result<Arc<Self>, Fault> {
        let Parts { config, keys, secrets } = parts;
        config.check()?;
        let endpoint: Endpoint = config
            .center
            .parse()
            .map_err(|error| Fault::new(Code::Usage, format!("config.toml: center: {error}")))?;
        let now = seams.clock.now();
        let currency = config.currency;
        seams
            .store
            .commit("bank.open.chart", move |tx: &mut dyn Tx| {
                Ok::<_, Refusal>(chart::open_posts(tx, currency, now.seconds())?)
            })
            .await?;
        let view = members::restore(&*seams.store, &keys.root, now).await?;
        let instance = Id16::random(&mut seams.entropy.rng());
        instances::enter(&*seams.store, &config, instance, now).await?;
        let center = Target::named(endpoint.url(), Role::Center, keys.root.name());
        let signer_chain = WireChain::from_chain(&keys.signer_chain)?;
        let members = Arc::new(Members::new(view, endpoint.url()));
        let bank = Self {
            root: keys.root,
            authority: keys.authority,
            signer: keys.signer,
            signer_chain,
            identity: Arc::new(keys.identity),
            secrets,
            cash: cash_lane(&members, &seams),
            carriers: Carriers::default(),
            members,
            center,
            ring: ArcSwap::from_pointee(Ring::default()),
            rotating: tokio::sync::Mutex::new(()),
            news: Coalesced::new(NEWS_PAUSE),
            instance,
            pool: Mutex::new(CommitmentPool::new(config.pool_size)),
            sessions: Mutex::new(Sessions::default()),
            refill: Notify::new(),
            outbox: Notify::new(),
            offline: Offline::default(),
            own_list: ArcSwapOption::empty(),
            list_brought: AtomicU64::new(0),
            list_late: AtomicBool::new(false),
            listing: tokio::sync::Mutex::new(()),
            ended: AtomicU64::new(0),
            presented: AtomicU64::new(0),
            pruning: Lap::default(),
            config,
            seams,
        };
        bank.read_marks().await?;
        bank.reload_ring().await?;
        bank.reload_offline_ring().await?;
        let kept = members::stored_lists(&*bank.seams.store).await?;
        bank.members.restore_lists(&*bank.seams.network, &kept);
        bank.issue_revocation_list().await?;
        Ok(Arc::new(bank))
    }

    /// The bank's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.config.name.as_str()
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the center tells about its members, as known here.
    #[must_use]
    pub fn members(&self) -> &Members {
        &self.members
    }

    /// The seams it runs on.
    #[must_use]
    pub fn seams(&self) -> &Seams {
        &self.seams
    }

    /// The public key that its keysets, receipts and statements are signed with.
    #[must_use]
    pub fn signing_key(&self) -> [u8; 32] {
        self.signer.public_key()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.seams.clock.now()
    }

    pub(crate) fn amount(&self, minor: Minor) -> Amount {
        Amount::new(minor, self.config.currency)
    }

    pub(crate) fn pool(&self) -> MutexGuard<'_, CommitmentPool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// 32 random bytes.
    pub(crate) fn random_digest(&self) -> Digest {
        use rand_core::Rng;
        let mut bytes = [0; 32];
        self.seams.entropy.rng().fill_bytes(&mut bytes);
        Digest(bytes)
    }
}
