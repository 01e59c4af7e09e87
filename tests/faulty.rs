//! A network that loses, doubles, delays and reorders, in front of real processes.
//!
//! Each node has a front: an address of its own that others know as the node's. A front ends TLS with the node's own key
//! and goes on to the node with the key of whoever called (both lie in homes that the test owns), so that both sides see
//! the certificates they would see without it; revocation lists are judged by the node behind. Calls without a
//! certificate go on without one.
//!
//! What happens to the n-th request between two roles follows from the seed, the pair and n alone: of every ten requests
//! each kind of fault befalls one, in an order that is shuffled anew. When which request comes is up to the processes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use bytes::Bytes;
use feiqian_node::{
    Caller, Format, Home, HttpsNetwork, Identity, Network, Outgoing, PeerCertificate, REPLY_LIMIT, Reply,
    ServerIdentity, Shutdown, SystemClock, Target, Trust, serve,
};
use feiqian_pki::{Role, TrustedRoot, Verified};
use feiqian_wire::{Fault, Limit};
use hyper::body::Frame;
use rand::rngs::ChaCha12Rng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use crate::world::{World, role, wait_until};

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// It never arrives; the connection breaks.
    LostRequest,
    /// It arrives, and the connection breaks before the answer, or in the middle of it.
    LostAnswer,
    /// It arrives twice, at once or up to a second and a half apart.
    Doubled,
    /// It arrives, and its answer takes up to a second and a half more.
    LateAnswer,
    /// It arrives after a later request to the same node; its sender waits, or is cut off and tries again before.
    Reordered,
}

pub(crate) const KINDS: [Kind; 5] =
    [Kind::LostRequest, Kind::LostAnswer, Kind::Doubled, Kind::LateAnswer, Kind::Reordered];
/// Requests between faults of one kind.
const ROUND: usize = 10;
/// How long answers and doubles are late, milliseconds.
const LATE: std::ops::Range<u64> = 100..1500;
const LATEST: Duration = Duration::from_millis(LATE.end);
/// How long a node may take to answer.
const ANSWERED: Duration = Duration::from_secs(35);
/// How long a request waits to be overtaken.
const OVERTAKEN: Duration = Duration::from_millis(1500);
/// What a network says that gave up waiting for an answer.
const LATE_WORDS: &str = "nothing within";
/// How often a front comes to a node that does not answer.
const COMES: u32 = 3;
/// Calls without a certificate that a bank gets from the center.
const CENTERS: [&str; 3] = ["/v1/crl", "/v1/offline/exposed", "/v1/cheque/verify"];
/// Those that several roles make.
const ANYBODYS: [&str; 3] = ["/v1/outcome", "/v1/about", "/v1/enrol"];

/// Roles: who asks and who is asked.
pub(crate) type Pair = (&'static str, &'static str);

/// What the fronts saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Faults that took place, by pair and kind.
    pub(crate) faults: BTreeMap<(Pair, Kind), usize>,
    /// Requests while there were faults.
    pub(crate) requests: BTreeMap<Pair, usize>,
    /// Answers that no node should give: `INTERNAL`, `BROKEN_INVARIANT`, or none at all, however often it is asked.
    pub(crate) failures: BTreeSet<String>,
    /// Requests that a node did not answer in time, as on a machine that has other things to do: the front came again.
    pub(crate) again: Vec<String>,
    /// Second answers to a doubled POST that were not the first one's bytes, by path.
    pub(crate) changed: BTreeMap<String, usize>,
    /// Doubled POSTs that had a result, and a refusal the other time: path and code.
    pub(crate) refused: BTreeSet<String>,
}

struct Shared {
    folder: PathBuf,
    seed: u64,
    faulty: AtomicBool,
    /// Requests that are on their way after their sender has gone.
    underway: AtomicUsize,
    callers: Mutex<BTreeMap<String, Arc<HttpsNetwork>>>,
    plans: Mutex<BTreeMap<Pair, Plan>>,
    seen: Mutex<Seen>,
}

/// The fronts of all nodes of a world. They end with it.
pub(crate) struct Faulty {
    runtime: Option<tokio::runtime::Runtime>,
    shutdown: Shutdown,
    shared: Arc<Shared>,
    listeners: BTreeMap<&'static str, TcpListener>,
    urls: BTreeMap<&'static str, String>,
}

impl Faulty {
    /// Fronts for these nodes, which need not be there yet: whoever connects waits until [`Faulty::open`].
    pub(crate) fn of(world: &World, nodes: &[&'static str], seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let listeners: BTreeMap<_, _> =
            nodes.iter().map(|name| (*name, TcpListener::bind("127.0.0.1:0").unwrap())).collect();
        let url = |listener: &TcpListener| format!("https://{}", listener.local_addr().unwrap());
        let urls = listeners.iter().map(|(name, listener)| (*name, url(listener))).collect();
        let shared = Shared {
            folder: world.folder().to_path_buf(),
            seed,
            faulty: AtomicBool::new(false),
            underway: AtomicUsize::new(0),
            callers: Mutex::default(),
            plans: Mutex::default(),
            seen: Mutex::default(),
        };
        Self {
            runtime: Some(runtime.unwrap()),
            shutdown: Shutdown::new(),
            shared: Arc::new(shared),
            listeners,
            urls,
        }
    }

    /// The front's address.
    pub(crate) fn url(&self, name: &str) -> String {
        self.urls[name].clone()
    }

    /// Goes between the world and the node `name`, whose home is made, and which listens at `address`.
    pub(crate) fn open(&mut self, name: &'static str, address: &str) {
        let listener = self.listeners.remove(name).unwrap();
        listener.set_nonblocking(true).unwrap();
        let identity = self.shared.identity(name).unwrap();
        let server = Arc::new(ServerIdentity::new(&identity, Arc::new(self.shared.trust())).unwrap());
        let front = Arc::new(Front {
            shared: Arc::clone(&self.shared),
            node: name,
            to: Target::anyone(format!("https://{address}")),
            arrived: watch::Sender::new(0),
        });
        let router = Router::new().fallback(move |request: Request| Arc::clone(&front).pass(request));
        let (runtime, shutdown) = (self.runtime.as_ref().unwrap(), self.shutdown.clone());
        let listener = runtime.block_on(async { tokio::net::TcpListener::from_std(listener) }).unwrap();
        runtime.spawn(serve(listener, router, server, shutdown));
    }

    pub(crate) fn begin(&self) {
        self.shared.faulty.store(true, Ordering::SeqCst);
    }

    /// No more faults; returns when nothing is late any more.
    pub(crate) fn end(&self) {
        self.shared.faulty.store(false, Ordering::SeqCst);
        let quiet = || (self.shared.underway.load(Ordering::SeqCst) == 0).then_some(());
        // So long a request may be under way, and no longer: it is late, overtaken, and not answered in time each time.
        let longest = LATEST + OVERTAKEN + ANSWERED * COMES;
        assert!(wait_until(longest, quiet).is_some(), "a request never arrives");
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.seen.lock().unwrap()
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.shutdown.trigger();
        self.runtime.take().unwrap().shutdown_background();
    }
}

/// What is to befall the next requests of a pair.
struct Plan {
    rng: ChaCha12Rng,
    round: Vec<Option<Kind>>,
}

impl Plan {
    fn new(seed: u64, pair: Pair) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        for (place, byte) in bytes[8..].iter_mut().zip([pair.0, ">", pair.1].concat().bytes()) {
            *place = byte;
        }
        Self { rng: ChaCha12Rng::from_seed(bytes), round: Vec::new() }
    }

    fn next(&mut self) -> Option<Fated> {
        if self.round.is_empty() {
            self.round = KINDS.into_iter().map(Some).collect();
            self.round.resize(ROUND, None);
            self.round.shuffle(&mut self.rng);
        }
        let (late, coin) = (Duration::from_millis(self.rng.random_range(LATE)), self.rng.random());
        let kind = self.round.pop()??;
        Some(Fated { kind, late, coin })
    }
}

/// A fault with all that is random about it.
#[derive(Clone, Copy)]
struct Fated {
    kind: Kind,
    late: Duration,
    coin: bool,
}

impl Shared {
    fn root(&self) -> TrustedRoot {
        let pem = std::fs::read_to_string(self.folder.join("center/root.pem")).unwrap();
        TrustedRoot::from_pem(&pem).unwrap()
    }

    fn trust(&self) -> Trust {
        Trust::new(self.root(), Arc::new(SystemClock))
    }

    /// What the node or wallet in this home shows of itself; none while the home is being made.
    fn identity(&self, name: &str) -> Option<Arc<Identity>> {
        let home = Home::open(self.folder.join(name), role(name)).ok()?;
        match role(name) {
            "center" => feiqian_center::Keys::load(&home).ok().map(|keys| keys.transport),
            "bank" => feiqian_bank::load(&home).ok().map(|parts| Arc::new(parts.keys.identity)),
            "merchant" => feiqian_merchant::Keys::load(&home).ok().map(|keys| keys.transport),
            _ => feiqian_wallet::init::load(&home).ok().and_then(|parts| parts.identity),
        }
    }

    /// The network as it is for this caller.
    fn network(&self, caller: Option<&Verified>) -> Arc<HttpsNetwork> {
        let who = caller.map_or_else(String::new, |caller| caller.fingerprint.to_string());
        let mut callers = self.callers.lock().unwrap();
        let network = callers.entry(who).or_insert_with(|| {
            let identity = caller.map(|caller| self.identity_of(caller));
            Arc::new(HttpsNetwork::new(Arc::new(self.trust()), identity))
        });
        Arc::clone(network)
    }

    fn identity_of(&self, caller: &Verified) -> Arc<Identity> {
        let is_callers = |identity: &Arc<Identity>| {
            feiqian_pki::validate(
                identity.chain(),
                identity.root(),
                feiqian_pki::Purpose::Client,
                feiqian_pki::Revocation::Unchecked,
                caller.not_before,
            )
            .is_ok_and(|own| own.fingerprint == caller.fingerprint)
        };
        let names = std::fs::read_dir(&self.folder).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut identities = names.filter_map(|name| self.identity(&name));
        identities.find(is_callers).unwrap_or_else(|| panic!("{} calls, and has no home", caller.subject))
    }

    fn fate(&self, pair: Pair) -> Option<Fated> {
        if !self.faulty.load(Ordering::SeqCst) {
            return None;
        }
        *self.seen.lock().unwrap().requests.entry(pair).or_default() += 1;
        let mut plans = self.plans.lock().unwrap();
        plans.entry(pair).or_insert_with(|| Plan::new(self.seed, pair)).next()
    }
}

/// Counts what is on its way after its sender has gone.
struct Underway(Arc<Shared>);

impl Underway {
    fn of(shared: &Arc<Shared>) -> Self {
        shared.underway.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.0.underway.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Front {
    shared: Arc<Shared>,
    node: &'static str,
    to: Target,
    /// How many requests have gone on to the node.
    arrived: watch::Sender<u64>,
}

/// A request that may be sent more than once.
#[derive(Clone)]
struct Letter {
    network: Arc<HttpsNetwork>,
    message: Outgoing,
}

/// An answer, or none because the node could not be reached or hung up.
type Heard = Option<Reply>;

impl Front {
    async fn pass(self: Arc<Self>, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let peer = head.extensions.get::<PeerCertificate>().cloned().unwrap_or_default().0;
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let pair = (asker(self.node, &path, peer.as_deref()), role(self.node));
        // Whoever hangs up before the end of the request has not asked.
        let Ok(body) = to_bytes(body, REPLY_LIMIT).await else { cut() };
        let media = [CONTENT_TYPE, ACCEPT]
            .iter()
            .find_map(|name| head.headers.get(name)?.to_str().ok())
            .unwrap_or("");
        let message = Outgoing {
            path,
            body,
            format: Format::of_media_type(media).unwrap_or_default(),
            caller: if peer.is_some() { Caller::Certified } else { Caller::Anonymous },
            timeout: ANSWERED,
        };
        let letter = Letter { network: self.shared.network(peer.as_deref()), message };
        let Some(fated) = self.shared.fate(pair) else {
            return whole(self.carry(letter).await);
        };
        let (front, kind) = (Arc::clone(&self), fated.kind);
        let answer = front.befall(letter, fated).await;
        *self.shared.seen.lock().unwrap().faults.entry((pair, kind)).or_default() += 1;
        answer.unwrap_or_else(|| cut())
    }

    /// The answer that the sender gets; none when it is cut off.
    async fn befall(self: Arc<Self>, letter: Letter, Fated { kind, late, coin }: Fated) -> Option<Response> {
        match kind {
            Kind::LostRequest => None,
            Kind::LostAnswer => {
                let heard = self.carry(letter).await;
                heard.filter(|_| coin).map(half)
            }
            Kind::Doubled => {
                let (second, begun) = (letter.clone(), Underway::of(&self.shared));
                let front = Arc::clone(&self);
                let again = tokio::spawn(async move {
                    let _begun = begun;
                    if coin {
                        tokio::time::sleep(late).await;
                    }
                    front.carry(second).await
                });
                let path = letter.message.path.clone();
                let first = self.carry(letter).await;
                let (shared, heard) = (Arc::clone(&self.shared), first.clone());
                tokio::spawn(async move {
                    compare(&shared, &path, heard.as_ref(), again.await.unwrap().as_ref());
                });
                Some(whole(first))
            }
            Kind::LateAnswer => {
                let heard = self.carry(letter).await;
                tokio::time::sleep(late).await;
                Some(whole(heard))
            }
            Kind::Reordered => {
                let begun = Underway::of(&self.shared);
                let overtaken = tokio::spawn(async move {
                    let _begun = begun;
                    let mut arrived = self.arrived.subscribe();
                    let before = *arrived.borrow();
                    let _ = tokio::time::timeout(OVERTAKEN, arrived.wait_for(|now| *now > before)).await;
                    self.carry(letter).await
                });
                if coin { Some(whole(overtaken.await.unwrap())) } else { None }
            }
        }
    }

    /// Brings a request to the node, and its answer back; comes again when the answer takes too long.
    async fn carry(&self, letter: Letter) -> Heard {
        let path = letter.message.path.clone();
        let mut reply = letter.network.send(&self.to, letter.message.clone()).await;
        for _ in 1..COMES {
            let Err(lost) = &reply else { break };
            if !lost.to_string().contains(LATE_WORDS) {
                break;
            }
            self.shared.seen.lock().unwrap().again.push(format!("{} {path}: {lost}", self.node));
            reply = letter.network.send(&self.to, letter.message.clone()).await;
        }
        self.arrived.send_modify(|count| *count += 1);
        let broken = match &reply {
            Ok(reply) if reply.status == 500 => Some(told(reply)),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(broken) = broken {
            self.shared.seen.lock().unwrap().failures.insert(format!("{} {path}: {broken}", self.node));
        }
        reply.ok()
    }
}

/// Who makes a call.
fn asker(node: &str, path: &str, peer: Option<&Verified>) -> &'static str {
    match peer.map(|peer| peer.subject.role()) {
        Some(Role::Center) => "center",
        Some(Role::Bank) => "bank",
        Some(Role::Merchant) => "merchant",
        Some(Role::Customer) => "wallet",
        None if role(node) == "merchant" => "wallet",
        None if role(node) != "bank" || ANYBODYS.contains(&path) => "anybody",
        None if CENTERS.contains(&path) => "center",
        None => "wallet",
    }
}

/// Ends the connection without a word: the task that serves it ends here, and nothing is printed.
fn cut() -> ! {
    std::panic::resume_unwind(Box::new("cut off"))
}

fn compare(shared: &Shared, path: &str, first: Option<&Reply>, second: Option<&Reply>) {
    let (Some(first), Some(second)) = (first, second) else { return };
    let mut seen = shared.seen.lock().unwrap();
    match (first.status, second.status) {
        (200, 200) if first.body != second.body => *seen.changed.entry(path.to_owned()).or_default() += 1,
        (200, 200) => {}
        (200, _) => drop(seen.refused.insert(format!("{path}: {}", told(second)))),
        (_, 200) => drop(seen.refused.insert(format!("{path}: {}", told(first)))),
        _ => {}
    }
}

/// What an answer says that is no result.
fn told(reply: &Reply) -> String {
    let fault = reply.format.and_then(|format| format.decode::<Fault>(&reply.body, Limit::Large).ok());
    fault.map_or_else(|| format!("status {}", reply.status), |fault| fault.to_string())
}

fn answer(reply: &Reply) -> axum::http::response::Builder {
    let media = reply.format.map_or("application/octet-stream", Format::media_type);
    Response::builder().status(reply.status).header(CONTENT_TYPE, media)
}

fn whole(heard: Heard) -> Response {
    let Some(reply) = heard else { cut() };
    answer(&reply).body(Body::from(reply.body)).unwrap()
}

/// An answer that breaks off in the middle.
fn half(reply: Reply) -> Response {
    let length = reply.body.len() + 1;
    let some = reply.body.slice(..reply.body.len() / 2);
    answer(&reply).header(CONTENT_LENGTH, length).body(Body::new(Half(Some(some)))).unwrap()
}

struct Half(Option<Bytes>);

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let broken = || std::io::Error::other("the connection breaks");
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or_else(broken)))
    }
}
