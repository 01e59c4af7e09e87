//! A center, banks and their customers: nodes as `feiqian … run` runs them, customers as keys and certificates that the
//! load uses itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use feiqian_node::{
    Clock as _, Dialer, Endpoint, Home, HttpsNetwork, Identity, MemberView, Members, Shares, SystemClock,
    Target, Trust,
};
use feiqian_online_cash::keyset::VerifiedKeyset;
use feiqian_pki::{Chain, KeyPair, Role as Certified, fingerprint};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Text};
use serde_json::Value;

use super::watch::Watch;
use crate::cli::BenchNode;
use crate::demo::world::{World, text_of};
use crate::roles::Role;

/// The issuing bank, and the other one.
pub(super) const NORTH: &str = "north";
pub(super) const SOUTH: &str = "south";
const CENTER: &str = "center";
const ECHO: &str = "echo";
/// What a customer has to spend: more than any run takes.
const FUNDS: &str = "50000000.00";
/// How long nodes may take to know one another's keysets and revocation lists.
pub(super) const PATIENCE: Duration = Duration::from_secs(90);
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// The nodes of a run.
pub(super) struct Town {
    world: World,
    store: Option<String>,
}

/// A bank's customer.
pub(super) struct Customer {
    pub(super) bank: String,
    pub(super) account: Text<64>,
    pub(super) signing: KeyPair,
    pub(super) leaf: Blob<768>,
    pub(super) issuer: feiqian_crypto::Digest,
    pub(super) chain: Chain,
    /// The keys that the issuing bank signs with in this run.
    pub(super) keyset: VerifiedKeyset,
    members: Members,
    network: HttpsNetwork,
    target: Target,
    trust: Arc<Trust>,
    identity: Arc<Identity>,
}

pub(super) fn internal(why: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Internal, why.to_string())
}

/// Tries until it works, for as long as nodes may need to hear of one another.
///
/// # Errors
/// The last refusal.
pub(super) async fn patiently<T>(mut attempt: impl AsyncFnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let begun = Instant::now();
    loop {
        match attempt().await {
            Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(AGAIN).await,
            done => return done,
        }
    }
}

impl Town {
    /// An empty town in `folder`.
    pub(super) fn new(folder: PathBuf, args: &BenchNode) -> Result<Self, Fault> {
        let mut world = World::new(folder)?;
        if let Some(threads) = args.threads {
            for name in ["TOKIO_WORKER_THREADS", "RAYON_NUM_THREADS"] {
                world.set_environment(name, &threads.to_string());
            }
        }
        Ok(Self { world, store: args.store.clone() })
    }

    async fn ok(&mut self, arguments: &[&str]) -> Result<Value, Fault> {
        self.world.command(arguments).await?.map_err(|(code, message)| {
            let what = arguments.iter().take(3).copied().collect::<Vec<_>>().join(" ");
            internal(format!("`{what}` was refused: {code}: {message}"))
        })
    }

    /// The address of a node's database, where it has one.
    fn store_of(&self, name: &str) -> Option<String> {
        let url = self.store.as_ref()?;
        let named = url.contains("{node}");
        (named || name == NORTH).then(|| url.replace("{node}", name))
    }

    async fn init(&mut self, arguments: &[&str], name: &str) -> Result<(), Fault> {
        let store = self.store_of(name);
        let mut all = arguments.to_vec();
        all.extend(store.iter().flat_map(|url| ["--store", url.as_str()]));
        self.ok(&all).await.map(drop)
    }

    /// Founds the center and the issuing bank.
    pub(super) async fn found(&mut self) -> Result<(), Fault> {
        let funds = ["--fund", FUNDS];
        self.init(
            &[["center", "init", "--home", "@center", "--name", CENTER].as_slice(), &funds].concat(),
            CENTER,
        )
        .await?;
        self.world.start(Role::Center.name(), CENTER).await?;
        self.bank(NORTH).await
    }

    /// Founds a bank.
    pub(super) async fn bank(&mut self, name: &str) -> Result<(), Fault> {
        let (home, center) = (format!("@{name}"), self.world.url(CENTER)?.to_owned());
        self.init(&["bank", "init", "--home", &home, "--name", name, "--center", &center], name).await?;
        share_with_one(&self.world.home(name))?;
        self.world.start(Role::Bank.name(), name).await
    }

    /// Opens an account at a bank and pays money in.
    pub(super) async fn customer(&mut self, name: &str, bank: &str) -> Result<Customer, Fault> {
        let (at, home) = (format!("@{bank}"), format!("@{name}"));
        let open = ["bank", "account", "open", "--home", &at, "--name", name, "--role", "customer"];
        let code = text_of(&self.ok(&open).await?, "code");
        let url = self.world.url(bank)?.to_owned();
        self.ok(&["wallet", "init", "--home", &home, "--name", name, "--bank", &url, "--code", &code])
            .await?;
        self.ok(&["bank", "account", "fund", "--home", &at, "--name", name, "--amount", FUNDS]).await?;
        Customer::load(&self.world.home(name)).await
    }

    /// Stops a bank, lets `work` have its home, and starts it again.
    ///
    /// # Errors
    /// As `work` and the bank's start.
    pub(super) async fn without_bank(
        &mut self,
        name: &str,
        work: impl AsyncFnOnce(&Path) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.world.kill(name).await?;
        work(&self.world.home(name)).await?;
        self.world.start(Role::Bank.name(), name).await
    }

    /// Starts the echo and gives the way to it.
    pub(super) async fn echo(&mut self) -> Result<Dialer, Fault> {
        self.world.launch(ECHO, &["bench", "echo"], NORTH).await?;
        let keys = feiqian_bank::load(&Home::open(self.world.home(NORTH), Role::Bank.name())?)?.keys;
        let trust = Arc::new(Trust::new(keys.root, Arc::new(SystemClock)));
        Ok(Dialer::new(trust, &self.target(ECHO, None)?, None)?)
    }

    fn target(&self, name: &str, expect: Option<(Certified, &str)>) -> Result<Target, Fault> {
        let endpoint: Endpoint = self.world.url(name)?.parse().map_err(internal)?;
        Ok(match expect {
            Some((role, called)) => Target::named(endpoint.url(), role, called),
            None => Target::anyone(endpoint.url()),
        })
    }

    /// Watches every node that runs.
    pub(super) fn watch(&self, by: &Customer) -> Result<Watch, Fault> {
        let mut watch = Watch::default();
        for name in [CENTER, NORTH, SOUTH] {
            if let Some(process) = self.world.process(name) {
                let dialer = Dialer::new(Arc::clone(&by.trust), &self.target(name, None)?, None)?;
                watch.add(name, process, dialer);
            }
        }
        Ok(watch)
    }

    /// Watches the echo alone.
    pub(super) fn watch_echo(&self, dialer: Dialer) -> Watch {
        let mut watch = Watch::default();
        if let Some(process) = self.world.process(ECHO) {
            watch.add(ECHO, process, dialer);
        }
        watch
    }

    pub(super) async fn end(&mut self) {
        self.world.end().await;
    }
}

impl Customer {
    async fn load(home: &Path) -> Result<Self, Fault> {
        let parts = feiqian_wallet::init::load(&Home::open(home, Role::Wallet.name())?)?;
        let trust = Arc::new(Trust::new(parts.root.clone(), Arc::new(SystemClock)));
        let identity = parts.identity.ok_or_else(|| internal("a customer without certificate"))?;
        let network = HttpsNetwork::new(Arc::clone(&trust), Some(Arc::clone(&identity)));
        let members = Members::new(MemberView::empty(parts.root), &parts.config.center_url);
        let certificates = parts.signing_chain.certificates();
        let issuer = certificates.get(1).ok_or_else(|| internal("a chain without authority"))?;
        let bank = parts.config.bank.as_str().to_owned();
        // The banks pin their keysets by themselves, soon after their start.
        let keyset = patiently(async || {
            members.sync(&network, SystemClock.now()).await?;
            current(&members.snapshot(), NORTH)
        })
        .await?;
        Ok(Self {
            target: Target::named(parts.config.bank_url, Certified::Bank, &bank),
            bank,
            account: Text::new(parts.config.account)?,
            leaf: Blob::new(parts.signing_chain.leaf().to_vec())?,
            issuer: fingerprint(issuer),
            chain: parts.signing_chain,
            signing: parts.signing,
            keyset,
            members,
            network,
            trust,
            identity,
        })
    }

    /// The way to the own bank, showing the certificate.
    pub(super) fn certified(&self) -> Result<Dialer, Fault> {
        Ok(Dialer::new(Arc::clone(&self.trust), &self.target, Some(&self.identity))?)
    }

    /// The way to the own bank, showing nothing.
    pub(super) fn anonymous(&self) -> Result<Dialer, Fault> {
        Ok(Dialer::new(Arc::clone(&self.trust), &self.target, None)?)
    }

    /// What the customer knows of the center's members.
    pub(super) fn view(&self) -> Arc<MemberView> {
        self.members.snapshot()
    }

    /// Asks the center for news.
    pub(super) async fn sync(&self) -> Result<(), Fault> {
        self.members.sync(&self.network, SystemClock.now()).await
    }
}

/// One customer at one address stands for many: it may have what all together may.
fn share_with_one(home: &Path) -> Result<(), Fault> {
    let home = Home::open(home, Role::Bank.name())?;
    let mut config: feiqian_bank::Config = home.read_config()?;
    let all = config.shares.requests;
    config.shares =
        Shares { anonymous: all, per_address: all, per_certificate: all, per_second: 0, ..config.shares };
    home.write_config(&config)
}

fn current(view: &MemberView, bank: &str) -> Result<VerifiedKeyset, Fault> {
    view.pins
        .current(bank, feiqian_money::Currency::CNY, SystemClock.now())
        .cloned()
        .ok_or_else(|| Fault::new(Code::Unavailable, format!("bank {bank} has no keyset pinned")))
}
