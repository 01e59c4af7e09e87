//! Wires between nodes in memory, with trouble on them, for the tests of the roles: each has this as a module of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use feiqian_node::{Caller, Network, NetworkError, Outgoing, Reply, Target, deliver};
use feiqian_pki::Verified;
use feiqian_store::testing::Life;
use feiqian_wire::error::{Code, Fault};

/// What happens to the next calls of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    Unreachable,
    AnswerLost,
    Busy,
    /// The request takes half a second to arrive.
    Slow,
}

#[derive(Default)]
pub(crate) struct Wires {
    routers: Mutex<BTreeMap<String, Router>>,
    troubles: Mutex<BTreeMap<String, Vec<Trouble>>>,
    calls: Mutex<Vec<String>>,
}

impl Wires {
    pub(crate) fn plug(&self, url: &str, router: Router) {
        self.routers.lock().unwrap().insert(url.to_owned(), router);
    }

    pub(crate) fn trouble(&self, path: &str, troubles: &[Trouble]) {
        self.troubles.lock().unwrap().insert(path.to_owned(), troubles.to_vec());
    }

    /// The paths that were called since this was asked last.
    pub(crate) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
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
        match trouble {
            Some(Trouble::Unreachable) => return Err(unreachable()),
            Some(Trouble::Busy) => {
                let body = message.format.encode(&Fault::new(Code::Busy, "test")).unwrap();
                return Ok(Reply { status: 503, format: Some(message.format), body: body.into() });
            }
            Some(Trouble::Slow) => tokio::time::sleep(Duration::from_millis(500)).await,
            Some(Trouble::AnswerLost) | None => {}
        }
        let peer = if message.caller == Caller::Certified { self.own.clone() } else { None };
        let reply = deliver(&router, to, peer, message).await?;
        if trouble == Some(Trouble::AnswerLost) {
            return Err(NetworkError::Lost { url: to.url.clone(), reason: "test".into() });
        }
        Ok(reply)
    }
}

/// The network of a process that may die over a message: its store is closed then, and nobody hears of it again.
pub(crate) struct MortalNetwork {
    role: &'static str,
    inner: NodeWires,
    life: Option<Arc<Life>>,
}

impl MortalNetwork {
    /// Of the process of this role that is started now, on the store that was made last.
    pub(crate) fn new(role: &'static str, inner: NodeWires) -> Self {
        Self { role, inner, life: Life::starting() }
    }
}

#[async_trait]
impl Network for MortalNetwork {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        let Some(life) = &self.life else { return self.inner.send(to, message).await };
        let lost = || NetworkError::Lost { url: to.url.clone(), reason: "the process is dead".into() };
        let route = message.path.trim_start_matches("/v1/").replace('/', ".");
        life.message(&format!("{}.{route}", self.role), self.inner.send(to, message), lost).await
    }
}
