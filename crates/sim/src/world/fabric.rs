//! The simulated network: who is where, how messages travel, and what is wrong with the way.
//!
//! A message goes to the receiver's own router, by the same path that a request takes over HTTPS from its head on.
//! Both ends' certificate chains are judged as TLS would have them judged, and handed over as production hands them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use feiqian_node::{Identity, Network, NetworkError, Outgoing, Reply, Target, Trust, deliver};
use feiqian_online_cash::payment::Payment;
use feiqian_pki::Verified;
use feiqian_wire::{Limit, codec};
use rand::rngs::ChaCha12Rng;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::clock::NodeClock;
use super::events::{Event, EventLog};
use super::seats::{CONNECT, Lists, Seat, State, Trap};
use super::warm::Warm;
use super::wire::{Call, Interceptor, Tap};
use crate::machine::Metered;
use crate::measure::Measures;
use crate::scenario::NetworkSpec;
use crate::scenario::distribution::uniform;
use crate::scenario::specs::Side;

/// A node's place in the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// A role, as measures name it.
pub type RoleName = &'static str;

/// A node fell; it shall be started again after a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fell {
    pub(crate) node: NodeId,
    pub(crate) length: Duration,
}

/// The network of one world.
pub struct Fabric {
    state: Mutex<State>,
    log: Mutex<EventLog>,
    measures: Arc<Measures>,
    began: Instant,
    falls: mpsc::UnboundedSender<Fell>,
    until: Option<u64>,
    reached: watch::Sender<bool>,
    warm: Warm,
}

impl std::fmt::Debug for Fabric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fabric")
    }
}

/// How one message will fare, drawn when it is sent.
struct Voyage {
    to: NodeId,
    life: u64,
    router: Router,
    role: RoleName,
    name: Arc<str>,
    peer: Option<Arc<Verified>>,
    there: Duration,
    back: Duration,
    lost_there: bool,
    lost_back: bool,
    twice: Option<Duration>,
}

impl Fabric {
    pub(crate) fn new(
        spec: NetworkSpec,
        rng: ChaCha12Rng,
        log: EventLog,
        measures: Arc<Measures>,
        until: Option<u64>,
    ) -> (Arc<Self>, mpsc::UnboundedReceiver<Fell>) {
        let (falls, fallen) = mpsc::unbounded_channel();
        let state = State {
            seats: Vec::new(),
            urls: BTreeMap::new(),
            rng,
            spec,
            live: false,
            cuts: Vec::new(),
            judged: BTreeMap::new(),
            traps: Vec::new(),
            crashes: 0,
            taps: Vec::new(),
            interceptor: None,
        };
        let (state, log) = (Mutex::new(state), Mutex::new(log));
        let (began, reached) = (Instant::now(), watch::Sender::new(false));
        (Arc::new(Self { state, log, measures, began, falls, until, reached, warm: Warm::default() }), fallen)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which stores of the world keep what makes them fast.
    pub(crate) const fn warm(&self) -> &Warm {
        &self.warm
    }

    /// Simulated time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The event log.
    pub fn log(&self) -> MutexGuard<'_, EventLog> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event at this moment.
    pub fn record(
        &self,
        kind: &'static str,
        actor: &str,
        peer: &str,
        what: &str,
        outcome: &str,
        bytes: &[u8],
    ) {
        let at = u64::try_from(self.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let number = self.log().add(&Event { at, kind, actor, peer, what, outcome, bytes });
        if self.until.is_some_and(|until| number >= until) {
            self.reached.send_replace(true);
        }
    }

    /// Waits until the event at which the run shall stop.
    pub async fn stop_reached(&self) {
        let mut reached = self.reached.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = reached.wait_for(|reached| *reached).await;
    }

    /// Takes a place for a node that is not up yet.
    pub(crate) fn seat(
        &self,
        name: &str,
        role: RoleName,
        url: Option<&str>,
        clock: Arc<NodeClock>,
    ) -> NodeId {
        let mut state = self.state();
        let id = NodeId(state.seats.len());
        state.seats.push(Seat {
            name: name.into(),
            role,
            clock,
            trust: None,
            identity: None,
            router: None,
            life: 0,
            up: false,
            ended: watch::Sender::new(0),
            slow: 1.0,
        });
        if let Some(url) = url {
            state.urls.insert(url.to_owned(), id);
        }
        id
    }

    /// Begins a new life of the node; what belongs to the one before is dead.
    pub(crate) fn begin_life(&self, node: NodeId) -> u64 {
        let mut state = self.state();
        let Some(seat) = state.seats.get_mut(node.0) else { return 0 };
        seat.life = seat.life.saturating_add(1);
        seat.up = true;
        seat.life
    }

    /// What a node believes, once it has been equipped.
    pub(crate) fn trust_of(&self, node: NodeId) -> Option<Arc<Trust>> {
        self.state().seats.get(node.0).and_then(|seat| seat.trust.clone())
    }

    /// Gives a node what it shows and believes.
    pub(crate) fn equip(&self, node: NodeId, trust: Arc<Trust>, identity: Option<Arc<Identity>>) {
        if let Some(seat) = self.state().seats.get_mut(node.0) {
            (seat.trust, seat.identity) = (Some(trust), identity);
        }
    }

    /// Opens the node's door.
    pub(crate) fn open(&self, node: NodeId, router: Router) {
        if let Some(seat) = self.state().seats.get_mut(node.0) {
            seat.router = Some(router);
        }
    }

    /// Ends the node's life: nothing of it does anything from now on. The world starts it again.
    pub(crate) fn fell(&self, node: NodeId, length: Duration) {
        let name = {
            let mut state = self.state();
            let Some(seat) = state.seats.get_mut(node.0).filter(|seat| seat.up) else { return };
            (seat.up, seat.router) = (false, None);
            seat.ended.send_replace(seat.life);
            let name = Arc::clone(&seat.name);
            state.crashes = state.crashes.saturating_add(1);
            name
        };
        self.record("fault", &name, "", "crash", "", &[]);
        let _ = self.falls.send(Fell { node, length });
    }

    /// Whether this life of the node goes on.
    pub(crate) fn is_alive(&self, node: NodeId, life: u64) -> bool {
        self.state().seats.get(node.0).is_some_and(|seat| seat.up && seat.life == life)
    }

    /// Waits until the node's present life ends.
    pub async fn end_of(&self, node: NodeId) {
        let Some((mut ended, life)) = ({
            let state = self.state();
            state.seats.get(node.0).map(|seat| (seat.ended.subscribe(), if seat.up { seat.life } else { 0 }))
        }) else {
            return std::future::pending().await;
        };
        // The sender lives in the seat, which stays.
        let _ = ended.wait_for(|ended| *ended >= life).await;
    }

    /// Whether the node is up.
    #[must_use]
    pub fn is_up(&self, node: NodeId) -> bool {
        self.state().seats.get(node.0).is_some_and(|seat| seat.up)
    }

    /// The node's name.
    #[must_use]
    pub fn name(&self, node: NodeId) -> Arc<str> {
        self.state().seats.get(node.0).map_or_else(|| "nobody".into(), |seat| Arc::clone(&seat.name))
    }

    /// The node's role.
    #[must_use]
    pub fn role(&self, node: NodeId) -> RoleName {
        self.state().seats.get(node.0).map_or("nobody", |seat| seat.role)
    }

    /// The node called `name`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<NodeId> {
        self.state().seats.iter().position(|seat| &*seat.name == name).map(NodeId)
    }

    pub(crate) fn clock_of(&self, node: NodeId) -> Option<Arc<NodeClock>> {
        self.state().seats.get(node.0).map(|seat| Arc::clone(&seat.clock))
    }

    /// From now on messages take time and may be lost, and measures count.
    pub(crate) fn go_live(&self) {
        self.state().live = true;
        self.measures.begin();
    }

    pub(crate) fn cut(&self, node: NodeId, from: Option<NodeId>) {
        self.state().cuts.push((node, from));
    }

    pub(crate) fn mend(&self, node: NodeId, from: Option<NodeId>) {
        let mut state = self.state();
        if let Some(at) = state.cuts.iter().position(|cut| *cut == (node, from)) {
            state.cuts.swap_remove(at);
        }
    }

    pub(crate) fn slow(&self, node: NodeId, factor: f64) {
        if let Some(seat) = self.state().seats.get_mut(node.0) {
            seat.slow = factor;
        }
    }

    pub(crate) fn set_trap(&self, trap: Trap) {
        self.state().traps.push(trap);
    }

    /// Takes all traps away.
    pub(crate) fn clear_traps(&self) {
        self.state().traps.clear();
    }

    /// How many nodes fell so far.
    #[must_use]
    pub fn crashes(&self) -> u64 {
        self.state().crashes
    }

    /// The number of the node's present life.
    pub(crate) fn life(&self, node: NodeId) -> u64 {
        self.state().seats.get(node.0).map_or(0, |seat| seat.life)
    }

    /// Where each node that listens is reached.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<NodeId, String> {
        self.state().urls.iter().map(|(url, id)| (*id, url.clone())).collect()
    }

    /// A call that takes no time: for a caller beside its receiver.
    ///
    /// # Errors
    /// As any call.
    pub async fn immediate(
        &self,
        from: NodeId,
        to: &Target,
        message: Outgoing,
    ) -> Result<Reply, NetworkError> {
        let voyage = self.plan(from, to, &message, Lists::Asked).map_err(|(_, error)| error)?;
        self.record("send", &self.name(from), &voyage.name, &message.path, "", &message.body);
        self.arrive(&voyage, to, message).await
    }

    /// Lets `tap` see every call from now on.
    pub fn tap(&self, tap: Arc<dyn Tap>) {
        self.state().taps.push(tap);
    }

    /// Puts somebody into the wire.
    pub fn intercept(&self, interceptor: Arc<dyn Interceptor>) {
        self.state().interceptor = Some(interceptor);
    }

    /// Lets go of everything, so that the world's parts, which point at one another, can end.
    pub(crate) fn dissolve(&self) {
        let mut state = self.state();
        let (routers, taps): (Vec<_>, Vec<_>) = (
            state.seats.iter_mut().map(|seat| seat.router.take()).collect(),
            std::mem::take(&mut state.taps),
        );
        let interceptor = state.interceptor.take();
        drop(state);
        drop((routers, taps, interceptor));
    }

    /// A durable write is about to happen: says on which side of it the node shall fall.
    pub(crate) fn at_write(&self, node: NodeId, point: &'static str) -> Option<(Side, Duration)> {
        self.record("write", &self.name(node), "", point, "", &[]);
        let mut state = self.state();
        if !state.live {
            return None;
        }
        let fits =
            |trap: &Trap| trap.node == node && trap.point.as_deref().is_none_or(|wanted| wanted == point);
        let mut sprung = None;
        for (index, trap) in state.traps.iter_mut().enumerate().filter(|(_, trap)| fits(trap)) {
            match trap.skip.checked_sub(1) {
                Some(left) => trap.skip = left,
                None => sprung = sprung.or(Some(index)),
            }
        }
        let trap = state.traps.swap_remove(sprung?);
        Some((trap.side, trap.length))
    }

    fn plan(
        &self,
        from: NodeId,
        to: &Target,
        message: &Outgoing,
        lists: Lists,
    ) -> Result<Voyage, (Duration, NetworkError)> {
        let mut state = self.state();
        let there = state.latency(from, None);
        let nobody = |state: &State, after: Duration, reason: &str| {
            let after = if state.live { after } else { Duration::ZERO };
            (after, NetworkError::Unreachable { url: to.url.clone(), reason: reason.to_owned() })
        };
        let Some(id) = state.urls.get(&to.url).copied() else {
            return Err(nobody(&state, there, "there is no such node"));
        };
        let (there, back) = (state.latency(from, Some(id)), state.latency(from, Some(id)));
        if state.is_cut(from, id) {
            return Err(nobody(&state, CONNECT, "no answer"));
        }
        let (loss, duplicate) = if state.live { (state.spec.loss, state.spec.duplicate) } else { (0.0, 0.0) };
        let lost_there = loss > 0.0 && uniform(&mut state.rng) < loss;
        let lost_back = loss > 0.0 && uniform(&mut state.rng) < loss;
        let doubled = duplicate > 0.0 && uniform(&mut state.rng) < duplicate;
        let twice = if doubled { Some(state.latency(from, Some(id))) } else { None };
        let peer = state.judge(from, id, to, message.caller, lists).map_err(|error| (there, error))?;
        let Some(seat) = state.seats.get(id.0) else {
            return Err(nobody(&state, there, "there is no such node"));
        };
        let Some(router) = seat.router.clone() else {
            return Err(nobody(&state, there, "connection refused"));
        };
        let (life, role, name) = (seat.life, seat.role, Arc::clone(&seat.name));
        Ok(Voyage { to: id, life, router, role, name, peer, there, back, lost_there, lost_back, twice })
    }

    /// The receiver's part, until its answer or its end.
    async fn arrive(&self, voyage: &Voyage, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        let lost = |reason: &str| NetworkError::Lost { url: to.url.clone(), reason: reason.to_owned() };
        if !self.is_alive(voyage.to, voyage.life) {
            return Err(lost("the connection broke"));
        }
        let handled = Metered::new(voyage.role, deliver(&voyage.router, to, voyage.peer.clone(), message));
        tokio::select! {
            biased;
            () = self.end_of(voyage.to) => Err(lost("the connection broke")),
            reply = handled => reply,
        }
    }

    async fn travel(
        self: &Arc<Self>,
        voyage: &Voyage,
        to: &Target,
        message: Outgoing,
    ) -> Result<Reply, NetworkError> {
        let lost = || NetworkError::Lost { url: to.url.clone(), reason: "the connection broke".to_owned() };
        pause(voyage.there).await;
        if voyage.lost_there {
            return Err(lost());
        }
        if let Some(later) = voyage.twice {
            self.again(voyage, to, message.clone(), later);
        }
        let reply = self.arrive(voyage, to, message).await?;
        pause(voyage.back).await;
        if voyage.lost_back { Err(lost()) } else { Ok(reply) }
    }

    /// The same request once more, whose answer nobody hears.
    fn again(self: &Arc<Self>, voyage: &Voyage, to: &Target, message: Outgoing, later: Duration) {
        let (fabric, to) = (Arc::clone(self), to.clone());
        let voyage = Voyage {
            router: voyage.router.clone(),
            name: Arc::clone(&voyage.name),
            peer: voyage.peer.clone(),
            ..*voyage
        };
        tokio::spawn(async move {
            pause(later).await;
            let outcome = fabric.arrive(&voyage, &to, message).await;
            let outcome = if outcome.is_ok() { "answered" } else { "lost" };
            fabric.record("send", "network", &voyage.name, "duplicate", outcome, &[]);
        });
    }

    /// A shop has answered a payment.
    fn count_coins(&self, request: &[u8]) {
        if let Ok(payment) = codec::decode::<Payment>(request, Limit::Medium) {
            self.measures.coins(payment.coins.len());
        }
    }

    /// One call from its sender's decision to its end.
    async fn call(
        self: &Arc<Self>,
        from: NodeId,
        to: &Target,
        message: Outgoing,
        lists: Lists,
    ) -> Result<Reply, NetworkError> {
        let (began, actor) = (self.elapsed(), self.name(from));
        let mut message = message;
        let interceptor = self.state().interceptor.clone();
        if let Some(interceptor) = &interceptor {
            interceptor.outgoing(from, to, &mut message);
        }
        let (path, caller, timeout) = (message.path.clone(), message.caller, message.timeout);
        let request = message.body.clone();
        let (peer, role, result) = match self.plan(from, to, &message, lists) {
            Err((after, error)) => {
                self.record("send", &actor, &to.url, &path, "unreachable", &request);
                pause(after.min(timeout)).await;
                (None, "nobody", Err(error))
            }
            Ok(voyage) => {
                self.record("send", &actor, &voyage.name, &path, "", &request);
                let late =
                    || NetworkError::Lost { url: to.url.clone(), reason: "nothing in time".to_owned() };
                let travelled = tokio::time::timeout(timeout, self.travel(&voyage, to, message)).await;
                (Some(voyage.to), voyage.role, travelled.unwrap_or_else(|_| Err(late())))
            }
        };
        let mut result = result;
        if let (Some(interceptor), Ok(reply)) = (&interceptor, &mut result) {
            interceptor.incoming(from, &path, reply);
        }
        let empty = bytes::Bytes::new();
        let (outcome, answer) = match &result {
            Ok(reply) => (if reply.status == 200 { "ok" } else { "refused" }, &reply.body),
            Err(NetworkError::Lost { .. }) => ("lost", &empty),
            Err(_) => ("unreachable", &empty),
        };
        self.record("answer", &actor, &to.url, &path, outcome, answer);
        let sizes = (request.len(), answer.len());
        self.measures.called(role, &path, outcome, self.elapsed().saturating_sub(began), sizes);
        if outcome == "ok" && path == "/v1/pay" {
            self.count_coins(&request);
        }
        let taps = self.state().taps.clone();
        if let (Some(peer), false) = (peer, taps.is_empty()) {
            let call = Call {
                from,
                to: peer,
                at: began,
                path: &path,
                caller,
                request: &request,
                answer: result.as_ref().ok().filter(|reply| reply.status == 200).map(|reply| &reply.body[..]),
            };
            taps.iter().for_each(|tap| tap.saw(&call));
        }
        result
    }
}

async fn pause(length: Duration) {
    if !length.is_zero() {
        tokio::time::sleep(length).await;
    }
}

/// The network as one life of one node has it.
pub(crate) struct Port {
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) node: NodeId,
    pub(crate) life: u64,
    /// Who judges peers, in this life.
    pub(crate) trust: Option<Arc<Trust>>,
}

impl Port {
    async fn call(&self, to: &Target, message: Outgoing, lists: Lists) -> Result<Reply, NetworkError> {
        if !self.fabric.is_alive(self.node, self.life) {
            return std::future::pending().await;
        }
        self.fabric.call(self.node, to, message, lists).await
    }
}

#[async_trait]
impl Network for Port {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        self.call(to, message, Lists::Asked).await
    }

    async fn send_unlisted(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        self.call(to, message, Lists::Ignored).await
    }

    fn trust(&self) -> Option<&Trust> {
        self.trust.as_deref()
    }
}
