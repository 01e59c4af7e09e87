//! A network in memory and a store that can die.

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

/// Where a store dies: before or after the n-th commit of its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Death {
    pub(crate) commit: usize,
    pub(crate) after: bool,
}

/// A store that stops working at a chosen commit, as if the process had been killed there.
pub(crate) struct MortalStore {
    inner: Arc<SqliteStore>,
    death: Option<Death>,
    commits: Mutex<Vec<&'static str>>,
    dead: Mutex<bool>,
}

impl MortalStore {
    pub(crate) fn new(inner: Arc<SqliteStore>, death: Option<Death>) -> Self {
        Self { inner, death, commits: Mutex::default(), dead: Mutex::new(false) }
    }

    pub(crate) fn points(&self) -> Vec<&'static str> {
        self.commits.lock().unwrap().clone()
    }

    fn is_dead(&self) -> bool {
        *self.dead.lock().unwrap()
    }
}

impl Store for MortalStore {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.is_dead() {
                return Err(StoreError::Closed);
            }
            let number = {
                let mut commits = self.commits.lock().unwrap();
                commits.push(point);
                commits.len()
            };
            let dies = self.death.filter(|death| death.commit == number);
            if dies.is_some() {
                note_killed(point);
                *self.dead.lock().unwrap() = true;
            }
            match dies {
                Some(death) if !death.after => Err(StoreError::Closed),
                Some(_) => {
                    let _ = self.inner.commit_raw(point, work).await;
                    Err(StoreError::Closed)
                }
                None => self.inner.commit_raw(point, work).await,
            }
        })
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.is_dead() {
            return Box::pin(std::future::ready(Err(StoreError::Closed)));
        }
        self.inner.read_raw(work)
    }
}
