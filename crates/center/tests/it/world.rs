//! A network in memory, a store that can die, and a center with its banks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use feiqian_center::{Admission, Caps, Center, Config, InitOptions, Settlement, TABLES, open};
use feiqian_ledger::store::{BoxFuture, Store, StoreError, Work};
use feiqian_node::{
    Caller, Home, ManualClock, Network, NetworkError, Outgoing, Reply, Seams, Service, StreamEntropy, Target,
    deliver,
};
use feiqian_pki::Verified;
use feiqian_store::testing::{fresh, note_killed};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use crate::bank::TestBank;

/// Every world has keys of its own.
static WORLDS: AtomicU64 = AtomicU64::new(0);
/// What a center has drawn it does not draw again when it is started anew.
static LIVES: AtomicU64 = AtomicU64::new(0);

pub(crate) const NOW: u64 = 1_767_225_600;

/// What happens to the next calls of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Unreachable,
    AnswerLost,
    Busy,
    Slow,
}

#[derive(Default)]
pub(crate) struct Wires {
    routers: Mutex<BTreeMap<String, Router>>,
    troubles: Mutex<BTreeMap<String, Vec<Trouble>>>,
}

impl Wires {
    pub(crate) fn plug(&self, url: &str, router: Router) {
        self.routers.lock().unwrap().insert(url.to_owned(), router);
    }

    pub(crate) fn trouble(&self, path: &str, troubles: &[Trouble]) {
        self.troubles.lock().unwrap().insert(path.to_owned(), troubles.to_vec());
    }
}

/// The wires as one node sees them.
pub(crate) struct NodeWires {
    pub(crate) wires: Arc<Wires>,
    pub(crate) own: Option<Arc<Verified>>,
}

#[async_trait]
impl Network for NodeWires {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        let unreachable = || NetworkError::Unreachable { url: to.url.clone(), reason: "test".into() };
        let router = self.wires.routers.lock().unwrap().get(&to.url).cloned().ok_or_else(unreachable)?;
        let trouble = {
            let mut troubles = self.wires.troubles.lock().unwrap();
            troubles.get_mut(&message.path).filter(|list| !list.is_empty()).map(|list| list.remove(0))
        };
        if trouble == Some(Trouble::Unreachable) {
            return Err(unreachable());
        }
        if trouble == Some(Trouble::Busy) {
            let body = message.format.encode(&Fault::new(Code::Busy, "test")).unwrap();
            return Ok(Reply { status: 503, format: Some(message.format), body: body.into() });
        }
        if trouble == Some(Trouble::Slow) {
            tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        }
        let peer = if message.caller == Caller::Certified { self.own.clone() } else { None };
        let reply = deliver(&router, to, peer, message).await?;
        if trouble == Some(Trouble::AnswerLost) {
            return Err(NetworkError::Lost { url: to.url.clone(), reason: "test".into() });
        }
        Ok(reply)
    }
}

/// Where a process dies: before or after the n-th commit of its life, or before the n-th message or over its answer; both
/// are counted together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) commit: usize,
    pub(crate) after: bool,
}

/// One life of a process: what it has committed and sent, and where it dies.
pub(crate) struct Life {
    death: Option<Death>,
    steps: Mutex<Vec<&'static str>>,
    dead: Mutex<bool>,
}

thread_local! {
    /// The life of the process that is about to be started.
    static NEXT: RefCell<Option<Arc<Life>>> = const { RefCell::new(None) };
}

impl Life {
    /// Notes a step; its death, if this is where it dies.
    fn step(&self, name: &'static str) -> Option<Death> {
        let mut steps = self.steps.lock().unwrap();
        steps.push(name);
        self.death.filter(|death| death.commit == steps.len())
    }

    fn is_dead(&self) -> bool {
        *self.dead.lock().unwrap()
    }

    fn dies(&self, point: &str) {
        note_killed(point);
        *self.dead.lock().unwrap() = true;
    }
}

/// The network of a process that may die over a message: its store is closed then, and nobody hears of it again.
pub(crate) struct MortalNetwork {
    inner: NodeWires,
    life: Option<Arc<Life>>,
}

impl MortalNetwork {
    /// Of the process that is started now, on the store that was made last.
    pub(crate) fn new(inner: NodeWires) -> Self {
        Self { inner, life: NEXT.take() }
    }
}

#[async_trait]
impl Network for MortalNetwork {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        let Some(life) = &self.life else { return self.inner.send(to, message).await };
        let lost = || NetworkError::Lost { url: to.url.clone(), reason: "the process is dead".into() };
        if life.is_dead() {
            return Err(lost());
        }
        let route = message.path.trim_start_matches("/v1/").replace('/', ".");
        match life.step("message") {
            None => self.inner.send(to, message).await,
            Some(death) => {
                if death.after {
                    let _ = self.inner.send(to, message).await;
                    life.dies(&format!("answered.center.{route}"));
                } else {
                    life.dies(&format!("send.center.{route}"));
                }
                Err(lost())
            }
        }
    }
}

/// A store that stops working at a chosen commit, or message, as if the process had been killed there.
pub(crate) struct MortalStore {
    inner: Arc<dyn Store>,
    life: Arc<Life>,
}

impl MortalStore {
    /// A store for the process that is started next.
    pub(crate) fn new(inner: Arc<dyn Store>, death: Option<Death>) -> Self {
        let life = Arc::new(Life { death, steps: Mutex::default(), dead: Mutex::new(false) });
        NEXT.set(Some(Arc::clone(&life)));
        Self { inner, life }
    }

    /// The commits, by name, and the messages that were sent.
    pub(crate) fn points(&self) -> Vec<&'static str> {
        self.life.steps.lock().unwrap().clone()
    }
}

impl Store for MortalStore {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.life.is_dead() {
                return Err(StoreError::Closed);
            }
            match self.life.step(point) {
                None => self.inner.commit_raw(point, work).await,
                Some(death) => {
                    self.life.dies(point);
                    if death.after {
                        let _ = self.inner.commit_raw(point, work).await;
                    }
                    Err(StoreError::Closed)
                }
            }
        })
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.life.is_dead() {
            return Box::pin(std::future::ready(Err(StoreError::Closed)));
        }
        self.inner.read_raw(work)
    }
}

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
        network: Arc::new(MortalNetwork::new(network)),
        clock: Arc::clone(clock) as _,
        entropy: Arc::new(StreamEntropy::new(LIVES.fetch_add(1, Ordering::Relaxed), "center")),
        workers: Arc::new(feiqian_node::InlineWorkers),
    };
    let center = open(home, seams).await?;
    wires.plug(&center.config().url, Arc::clone(&center).router());
    Ok(center)
}
