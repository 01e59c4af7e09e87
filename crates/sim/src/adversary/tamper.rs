//! Changing messages on the wire, as if TLS did not protect them.
//!
//! Requests are what the protocols themselves must protect: a node believes nothing in them that is not signed,
//! proved, or its caller's own to decide. Answers of one's own bank, such as "this session is void", are believed
//! because TLS says who speaks; the control changes those, and customers lose money.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use feiqian_node::{Format, Outgoing, Reply, Target};
use feiqian_wire::error::{Code, Fault};
use rand::RngExt as _;
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

use super::Adversary;
use crate::audit::{Depth, look};
use crate::measure::stats::share;
use crate::scenario::distribution::uniform;
use crate::scenario::specs::AdversarySpec;
use crate::world::World;
use crate::world::fabric::NodeId;
use crate::world::wire::Interceptor;

/// Share of requests that are changed.
const SHARE: f64 = 0.05;

struct Hands {
    rng: Mutex<ChaCha12Rng>,
    changed: Mutex<u64>,
    most: u64,
    answers: bool,
}

impl Hands {
    fn may(&self, share: f64) -> bool {
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let yes = *changed < self.most && uniform(&mut rng) < share;
        *changed = changed.saturating_add(u64::from(yes));
        yes
    }
}

impl Interceptor for Hands {
    fn outgoing(&self, _from: NodeId, _to: &Target, message: &mut Outgoing) {
        if self.answers || message.body.is_empty() || !self.may(SHARE) {
            return;
        }
        let mut body = message.body.to_vec();
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let at = rng.random_range(0..body.len());
        if let Some(byte) = body.get_mut(at) {
            *byte ^= 1 << rng.random_range(0..8_u32);
        }
        message.body = body.into();
    }

    fn incoming(&self, _to: NodeId, path: &str, reply: &mut Reply) {
        let ends_issue = path.ends_with("/issue/finish") || path.ends_with("/issue/recover");
        if !self.answers || !ends_issue || !self.may(1.0) {
            return;
        }
        let fault = Fault::new(Code::SessionUnknown, "no such session");
        if let Ok(body) = Format::Bincode.encode(&fault) {
            (reply.status, reply.body) = (Code::SessionUnknown.status(), body.into());
        }
    }
}

/// Somebody who changes messages.
pub struct Tamperer {
    count: u64,
    control: bool,
    hands: Option<Arc<Hands>>,
}

impl Tamperer {
    /// One that changes at most `spec.count` messages.
    #[must_use]
    pub fn new(spec: &AdversarySpec) -> Self {
        Self { count: spec.count, control: spec.control, hands: None }
    }
}

#[async_trait]
impl Adversary for Tamperer {
    fn begin(&mut self, world: &Arc<World>) {
        let rng = Mutex::new(world.stream("tamperer"));
        let (most, answers) = (self.count, self.control);
        let hands = Arc::new(Hands { rng, changed: Mutex::new(0), most, answers });
        world.fabric().intercept(Arc::clone(&hands) as _);
        self.hands = Some(hands);
    }

    async fn finish(&mut self, _world: &Arc<World>) {}

    async fn report(&mut self, world: &Arc<World>) -> Value {
        let changed =
            self.hands.as_ref().map(|hands| *hands.changed.lock().unwrap_or_else(PoisonError::into_inner));
        let changed = changed.unwrap_or(0);
        let damage = look(world, Depth::Books).await.findings.len() as u64;
        json!({
            "attempts": changed,
            "successes": damage,
            "success": share(damage.min(changed), changed),
            "won": damage > 0,
        })
    }
}
