//! A network in memory and a store that can die.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use feiqian_ledger::store::{BoxFuture, Store, StoreError, Work};
use feiqian_node::{Caller, Network, NetworkError, Outgoing, Reply, Target, deliver};
use feiqian_pki::Verified;
use feiqian_store::SqliteStore;
use feiqian_store::testing::note_killed;
use feiqian_wire::error::{Code, Fault};

/// What happens to the next calls of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Unreachable,
    AnswerLost,
    Busy,
}

#[derive(Default)]
pub(crate) struct Wires {
    routers: Mutex<BTreeMap<String, Router>>,
    troubles: Mutex<BTreeMap<String, Vec<Trouble>>>,
    /// The paths that were called.
    pub(crate) calls: Mutex<Vec<String>>,
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
        self.wires.calls.lock().unwrap().push(message.path.clone());
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
                    life.dies(&format!("answered.merchant.{route}"));
                } else {
                    life.dies(&format!("send.merchant.{route}"));
                }
                Err(lost())
            }
        }
    }
}

/// A store that stops working at a chosen commit, or message, as if the process had been killed there.
pub(crate) struct MortalStore {
    inner: Arc<SqliteStore>,
    life: Arc<Life>,
}

impl MortalStore {
    /// A store for the process that is started next.
    pub(crate) fn new(inner: Arc<SqliteStore>, death: Option<Death>) -> Self {
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
