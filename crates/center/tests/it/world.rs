//! A center with its banks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use feiqian_center::{Admission, Caps, Center, Config, InitOptions, Settlement, TABLES, open};
use feiqian_ledger::store::Store;
use feiqian_node::{Home, ManualClock, Seams, Service, StreamEntropy};
use feiqian_store::testing::fresh;
use feiqian_wire::Timestamp;
use feiqian_wire::error::Fault;
use serde_json::{Value, json};

use crate::bank::TestBank;
use crate::wires::{MortalNetwork, NodeWires, Wires};

/// Every world has keys of its own.
static WORLDS: AtomicU64 = AtomicU64::new(0);
/// What a center has drawn it does not draw again when it is started anew.
static LIVES: AtomicU64 = AtomicU64::new(0);

pub(crate) const NOW: u64 = 1_767_225_600;

pub(crate) struct World {
    pub(crate) home: Home,
    _folder: tempfile::TempDir,
    pub(crate) wires: Arc<Wires>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) disk: Arc<dyn Store>,
    pub(crate) center: Arc<Center>,
}

pub(crate) fn options(listen: &str) -> InitOptions {
    InitOptions {
        name: "center".into(),
        listen: listen.into(),
        url: None,
        admission: Admission::Open,
        settlement: Settlement::Gross,
        funding: Some("1000".into()),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(options("127.0.0.1:0")).await
    }

    pub(crate) async fn with(options: InitOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(folder.path().join("center"), "center").unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::new(NOW)));
        let entropy = StreamEntropy::new(WORLDS.fetch_add(1, Ordering::Relaxed), "init");
        feiqian_center::init(&home, options, &*clock, &entropy).await.unwrap();
        let disk = fresh(TABLES);
        let wires = Arc::new(Wires::default());
        let center = start(&home, &wires, &clock, Arc::clone(&disk)).await.unwrap();
        Self { home, _folder: folder, wires, clock, disk, center }
    }

    /// A center with these settings, whose members start with this much base money.
    pub(crate) async fn clearing(settlement: Settlement, caps: Caps, funding: &str) -> Self {
        let options = InitOptions { settlement, funding: Some(funding.into()), ..options("127.0.0.1:0") };
        let mut world = Self::with(options).await;
        let config = Config { caps, ..world.center.config().clone() };
        world.home.write_config(&config).unwrap();
        world.restart().await;
        world
    }

    /// Ends the center as a crash would and starts it again over the same disk.
    pub(crate) async fn restart(&mut self) {
        let disk = Arc::clone(&self.disk);
        self.restart_on(disk).await.unwrap();
    }

    pub(crate) async fn restart_on(&mut self, store: Arc<dyn Store>) -> Result<(), Fault> {
        self.center = start(&self.home, &self.wires, &self.clock, store).await?;
        Ok(())
    }

    /// A bank, admitted, registered, with a pinned keyset.
    pub(crate) async fn bank(&self, name: &str) -> Arc<TestBank> {
        TestBank::join(self, name, None).await.unwrap()
    }

    pub(crate) async fn command(&self, command: Value) -> Result<Value, Fault> {
        Arc::clone(&self.center).command(command).await
    }

    pub(crate) async fn settlement(&self, bank: &str) -> String {
        let positions = self.command(json!({"command": "positions"})).await.unwrap();
        let banks = positions["banks"].as_array().unwrap().clone();
        let line = banks.into_iter().find(|line| line["bank"] == bank).unwrap();
        assert_eq!(line["currency"], "CNY");
        line["settlement"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn audited(&self) -> feiqian_center::audit::Report {
        feiqian_center::audit::audit(&*self.disk).await.unwrap()
    }

    pub(crate) async fn assert_sound(&self) {
        let report = self.audited().await;
        assert_eq!(report.findings, []);
    }

    /// Everything that goes on by itself, once.
    pub(crate) async fn turn(&self) {
        let _ = Arc::clone(&self.center).resume().await;
        let _ = self.center.tell_banks().await;
    }
}

async fn start(
    home: &Home,
    wires: &Arc<Wires>,
    clock: &Arc<ManualClock>,
    store: Arc<dyn Store>,
) -> Result<Arc<Center>, Fault> {
    let own = feiqian_center::Keys::load(home)?;
    let chain = own.transport.chain();
    let purpose = feiqian_pki::Purpose::Client;
    let verified =
        feiqian_pki::validate(chain, &own.root, purpose, feiqian_pki::Revocation::Unchecked, NOW).unwrap();
    let network = NodeWires { wires: Arc::clone(wires), own: Some(Arc::new(verified)) };
    let seams = Seams {
        store,
        network: Arc::new(MortalNetwork::new("center", network)),
        clock: Arc::clone(clock) as _,
        entropy: Arc::new(StreamEntropy::new(LIVES.fetch_add(1, Ordering::Relaxed), "center")),
        workers: Arc::new(feiqian_node::InlineWorkers),
    };
    let center = open(home, seams).await?;
    wires.plug(&center.config().url, Arc::clone(&center).router());
    Ok(center)
}
