//! Who is where, and what a message meets on its way: the state below the network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use feiqian_node::{Caller, Clock as _, Identity, NetworkError, Target, Trust};
use feiqian_pki::{Purpose, Verified};
use rand::rngs::ChaCha12Rng;
use tokio::sync::watch;

use super::clock::NodeClock;
use super::fabric::{NodeId, RoleName};
use super::wire::{Interceptor, Tap};
use crate::scenario::NetworkSpec;
use crate::scenario::distribution::uniform;
use crate::scenario::specs::Side;

/// How long a judgement of a certificate stands: as long as a connection would be kept.
const CONNECTION: u64 = 3600;
/// How long that of a caller stands: the lists that it was judged by end, too.
const CLIENT: u64 = 60;
/// Most judgements that are kept. Whoever is judged anew meanwhile is judged as after a connection that broke.
const JUDGED: usize = 1 << 16;
/// How long somebody tries to connect who gets no sign of life.
pub(super) const CONNECT: Duration = Duration::from_secs(10);

/// Whether revocation lists count when a peer is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lists {
    Asked,
    /// For fetching the lists themselves.
    Ignored,
}

/// A judgement of a chain, and what it was made by.
pub(super) struct Judged {
    at: u64,
    /// Of the judge's revocation lists.
    generation: u64,
    verified: Arc<Verified>,
}

/// What the network knows of a node.
pub(super) struct Seat {
    pub(super) name: Arc<str>,
    pub(super) role: RoleName,
    pub(super) clock: Arc<NodeClock>,
    pub(super) trust: Option<Arc<Trust>>,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) router: Option<Router>,
    /// Counts the lives of the node: whatever belongs to an earlier one is dead.
    pub(super) life: u64,
    pub(super) up: bool,
    /// Tells who waits for an answer that it will not come: the life that ended.
    pub(super) ended: watch::Sender<u64>,
    pub(super) slow: f64,
}

/// A crash that waits for a durable write.
#[derive(Clone, Debug)]
pub(crate) struct Trap {
    pub(crate) node: NodeId,
    pub(crate) point: Option<String>,
    /// How many matching writes are still let through.
    pub(crate) skip: u64,
    pub(crate) side: Side,
    pub(crate) length: Duration,
}

/// What the network knows of the whole world.
pub(super) struct State {
    pub(super) seats: Vec<Seat>,
    pub(super) urls: BTreeMap<String, NodeId>,
    pub(super) rng: ChaCha12Rng,
    pub(super) spec: NetworkSpec,
    /// Before it is live the network is perfect and immediate: the world is being built.
    pub(super) live: bool,
    pub(super) cuts: Vec<(NodeId, Option<NodeId>)>,
    /// By judge, who was judged, and whether as a client.
    pub(super) judged: BTreeMap<(NodeId, NodeId, bool), Judged>,
    pub(super) traps: Vec<Trap>,
    pub(super) crashes: u64,
    pub(super) taps: Vec<Arc<dyn Tap>>,
    pub(super) interceptor: Option<Arc<dyn Interceptor>>,
}

impl State {
    /// One way between two nodes.
    #[allow(clippy::float_arithmetic, reason = "latencies are drawn from distributions")]
    pub(super) fn latency(&mut self, from: NodeId, to: Option<NodeId>) -> Duration {
        if !self.live {
            return Duration::ZERO;
        }
        let mut seconds = self.spec.latency.draw(&mut self.rng);
        if self.spec.reorder > 0.0 && uniform(&mut self.rng) < self.spec.reorder {
            seconds *= 10.0;
        }
        let factor = |node: NodeId| self.seats.get(node.0).map_or(1.0, |seat| seat.slow);
        seconds *= factor(from) * to.map_or(1.0, factor);
        Duration::try_from_secs_f64(seconds).unwrap_or(CONNECT)
    }

    pub(super) fn is_cut(&self, one: NodeId, other: NodeId) -> bool {
        self.cuts.iter().any(|(node, from)| match from {
            None => (*node == one) != (*node == other),
            Some(from) => (*node == one && *from == other) || (*node == other && *from == one),
        })
    }

    /// What TLS would have both ends do: the caller judges whom it reached, who was reached judges the caller.
    pub(super) fn judge(
        &mut self,
        from: NodeId,
        to: NodeId,
        target: &Target,
        caller: Caller,
        lists: Lists,
    ) -> Result<Option<Arc<Verified>>, NetworkError> {
        let untrusted = |reason: String| NetworkError::Untrusted { url: target.url.clone(), reason };
        let shown = self.judged(from, to, false, lists).map_err(untrusted)?;
        let shown = shown.ok_or_else(|| untrusted("it shows no certificate".to_owned()))?;
        if let Some((role, name)) = &target.expect
            && (shown.subject.role() != *role || shown.subject.name() != name)
        {
            return Err(untrusted(format!("it is {}, expected was {role} {name}", shown.subject.name())));
        }
        match caller {
            Caller::Anonymous => Ok(None),
            Caller::Certified => self.judged(to, from, true, Lists::Asked).map_err(untrusted),
        }
    }

    /// How `judge` finds the chain of `shown`, as a client's or as a node's.
    fn judged(
        &mut self,
        judge: NodeId,
        shown: NodeId,
        client: bool,
        lists: Lists,
    ) -> Result<Option<Arc<Verified>>, String> {
        let Some(judging) = self.seats.get(judge.0) else { return Ok(None) };
        let Some(trust) = &judging.trust else { return Ok(None) };
        let (now, generation) = (judging.clock.now().seconds(), trust.generation());
        if lists == Lists::Asked
            && let Some(judged) = self.judged.get(&(judge, shown, client))
            && judged.generation == generation
            && judged.at.abs_diff(now) < if client { CLIENT } else { CONNECTION }
            && now <= judged.verified.not_after
        {
            return Ok(Some(Arc::clone(&judged.verified)));
        }
        let Some(identity) = self.seats.get(shown.0).and_then(|seat| seat.identity.clone()) else {
            return Ok(None);
        };
        let purpose = if client { Purpose::Client } else { Purpose::Node };
        let verified = match lists {
            Lists::Asked => trust.verify(identity.chain(), purpose),
            Lists::Ignored => Trust::new(trust.root().clone(), Arc::clone(&judging.clock) as _)
                .verify(identity.chain(), purpose),
        };
        let verified = Arc::new(verified.map_err(|error| error.to_string())?);
        if lists == Lists::Asked {
            let judged = Judged { at: now, generation, verified: Arc::clone(&verified) };
            if self.judged.len() >= JUDGED {
                self.judged.clear();
            }
            self.judged.insert((judge, shown, client), judged);
        }
        Ok(Some(verified))
    }
}
