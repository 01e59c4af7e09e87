//! A small world: a root, two banks' authorities, whoever a test needs under them, and a node with a few calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use feiqian_node::{
    Access, Endpoint, Entropy, HttpsNetwork, Identity, ManualClock, Peer, Route, Routes, ServerIdentity,
    ServerLimits, Shutdown, StreamEntropy, Target, Trust, TrustPin, bind, serve_with,
};
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, Purpose, Role, Subject, TrustedRoot, Verified,
};
use feiqian_wire::{Blob, Code, Fault, Limit, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

pub(crate) const NOW: u64 = 1_800_000_000;
const YEAR: u64 = 365 * 86_400;

/// Root, authority of the bank `first`, and a clock that all of them go by.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) root: Authority,
    pub(crate) bank: Authority,
    entropy: StreamEntropy,
}

impl World {
    pub(crate) fn new(name: &str) -> Self {
        let entropy = StreamEntropy::new(7, name);
        let mut rng = entropy.rng();
        let root = Authority::root(name, KeyPair::generate(&mut rng), NOW, &mut rng).unwrap();
        let key = KeyPair::generate(&mut rng);
        let request = CertificateRequest::create(&key, &Subject::bank("first").unwrap()).unwrap();
        let request = CertificateRequest::verify(&request).unwrap();
        let chain = root.issue_bank_authority(&request, "first", NOW, &mut rng).unwrap();
        let bank = Authority::from_parts(key, chain).unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::new(NOW)));
        Self { clock, root, bank, entropy }
    }

    pub(crate) fn trusted(&self) -> TrustedRoot {
        self.root.trusted_root().unwrap()
    }

    pub(crate) fn trust(&self) -> Arc<Trust> {
        Arc::new(Trust::new(self.trusted(), Arc::clone(&self.clock) as _))
    }

    pub(crate) fn leaf(&self, role: Role, name: &str, purpose: Purpose) -> (KeyPair, Chain) {
        let mut rng = self.entropy.rng();
        let (authority, bank) = match role {
            Role::Center => (&self.root, None),
            _ => (&self.bank, Some("first")),
        };
        let subject = Subject::new(role, name, bank).unwrap();
        let key = KeyPair::generate(&mut rng);
        let request = CertificateRequest::create(&key, &subject).unwrap();
        let request = CertificateRequest::verify(&request).unwrap();
        let chain = authority.issue_leaf(&request, &subject, purpose, &[], YEAR, NOW, &mut rng).unwrap();
        (key, chain)
    }

    pub(crate) fn identity(&self, role: Role, name: &str, purpose: Purpose) -> Identity {
        let (key, chain) = self.leaf(role, name, purpose);
        Identity::new(key, chain, self.trusted())
    }

    pub(crate) fn verified(&self, role: Role, name: &str, purpose: Purpose) -> Arc<Verified> {
        let (_, chain) = self.leaf(role, name, purpose);
        Arc::new(self.trust().verify_client(&chain).unwrap())
    }

    /// A wallet's network, with the certificate of the account `alice`.
    pub(crate) fn customer(&self) -> HttpsNetwork {
        let identity = self.identity(Role::Customer, "alice", Purpose::Client);
        HttpsNetwork::new(self.trust(), Some(Arc::new(identity)))
    }

    pub(crate) fn nobody(&self) -> HttpsNetwork {
        HttpsNetwork::new(self.trust(), None)
    }

    pub(crate) async fn node(&self) -> Node {
        self.node_with(ServerLimits::default()).await
    }

    /// The bank `first`'s node on a free port.
    pub(crate) async fn node_with(&self, limits: ServerLimits) -> Node {
        let state = Arc::new(State::default());
        let identity = self.identity(Role::Bank, "first", Purpose::Node);
        let identity = Arc::new(ServerIdentity::new(&identity, self.trust()).unwrap());
        let (listener, address) = bind("127.0.0.1:0").await.unwrap();
        let shutdown = Shutdown::new();
        let router = router(&state);
        let serving =
            tokio::spawn(serve_with(listener, router, Arc::clone(&identity), limits, shutdown.clone()));
        Node { url: format!("https://{address}"), state, identity, shutdown, serving }
    }
}

pub(crate) struct Node {
    pub(crate) url: String,
    pub(crate) state: Arc<State>,
    pub(crate) identity: Arc<ServerIdentity>,
    pub(crate) shutdown: Shutdown,
    pub(crate) serving: JoinHandle<()>,
}

impl Node {
    pub(crate) fn target(&self) -> Target {
        Target::named(&self.url, Role::Bank, "first")
    }

    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("https://").unwrap()
    }

    pub(crate) fn endpoint(&self, pin: TrustPin) -> Endpoint {
        Endpoint::new(&self.url, pin).unwrap()
    }
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Calls of the handlers.
    pub(crate) calls: AtomicU64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Echo {
    pub(crate) number: u32,
    pub(crate) blob: Blob<8192>,
}

impl Echo {
    pub(crate) fn of(number: u32, bytes: usize) -> Self {
        Self { number, blob: Blob::new(vec![7; bytes]).unwrap() }
    }
}

/// Who the node thinks asked: the role and name, or `nobody`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Who {
    pub(crate) who: String,
}

pub(crate) fn router(state: &Arc<State>) -> Router {
    let small = |path| Route::new(path).limit(Limit::Small);
    Routes::new(Arc::clone(state))
        .add(small("/v1/open"), echo)
        .add(small("/v1/anonymous").access(Access::Anonymous), echo)
        .add(small("/v1/account").access(Access::Account), who)
        .add(small("/v1/banks").access(Access::Peer(&[Role::Bank, Role::Center])), who)
        .add(small("/v1/about"), about)
        .add(small("/v1/panic"), panics)
        .add(small("/v1/slow"), slow)
        .add(small("/v1/late").timeout(Duration::from_millis(200)), slow)
        .add(small("/v1/one").concurrency(1), slow)
        .into_router()
}

async fn echo(state: Arc<State>, _peer: Peer, request: Echo) -> Result<Echo, Fault> {
    state.calls.fetch_add(1, Ordering::SeqCst);
    Ok(request)
}

async fn who(_state: Arc<State>, peer: Peer, _request: Echo) -> Result<Who, Fault> {
    Ok(Who { who: peer.certified()?.subject.to_string() })
}

async fn about(_state: Arc<State>, peer: Peer, (): ()) -> Result<Who, Fault> {
    Ok(Who { who: peer.verified().map_or_else(|| "nobody".to_owned(), |peer| peer.subject.to_string()) })
}

#[allow(clippy::panic, reason = "the panic is what is tested")]
async fn panics(_state: Arc<State>, _peer: Peer, request: Echo) -> Result<Echo, Fault> {
    assert_ne!(request.number, 13, "unlucky");
    Err(Fault::new(Code::NotFound, "lucky"))
}

/// Answers after `number` milliseconds.
async fn slow(state: Arc<State>, _peer: Peer, request: Echo) -> Result<Echo, Fault> {
    state.calls.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(request.number.into())).await;
    Ok(request)
}
