//! Sending what others sent once more, as if TLS did not keep strangers out: byte for byte, under their names; soon
//! after it was heard, and again when all is quiet and every balance can be watched.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use feiqian_node::{CALL_TIMEOUT, Caller, Format, Outgoing, Target};
use rand::RngExt as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::Adversary;
use crate::audit::{Depth, balances, look};
use crate::error::SimError;
use crate::measure::stats::share;
use crate::scenario::specs::AdversarySpec;
use crate::world::World;
use crate::world::fabric::NodeId;
use crate::world::wire::{Call, Tap};

/// Messages kept at most: each is one attempt.
const KEPT: usize = 2_000;
/// Within how many milliseconds a message is sent again while the world is busy.
const LATER: u64 = 20_000;
/// How long nodes may work on what a replay set off.
const QUIET: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
struct Heard {
    from: NodeId,
    to: NodeId,
    path: String,
    certified: bool,
    body: Vec<u8>,
}

#[derive(Debug)]
struct Ear {
    kept: Mutex<Vec<Heard>>,
    soon: mpsc::UnboundedSender<Heard>,
}

impl Tap for Ear {
    fn saw(&self, call: &Call<'_>) {
        // What is only asked changes nothing the first time either.
        if call.request.is_empty() || call.answer.is_none() {
            return;
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT {
            let (certified, body) = (call.caller == Caller::Certified, call.request.to_vec());
            let heard = Heard { from: call.from, to: call.to, path: call.path.to_owned(), certified, body };
            // Who does not listen any more has ended.
            let _ = self.soon.send(heard.clone());
            kept.push(heard);
        }
    }
}

/// Sends recorded messages again when all is quiet, and watches every balance.
pub struct Replayer {
    count: u64,
    control: bool,
    ear: Option<Arc<Ear>>,
    prompt: Arc<Mutex<u64>>,
    sent: u64,
    changed: u64,
    urls: BTreeMap<NodeId, String>,
}

impl Replayer {
    /// One that sends `spec.count` messages again.
    #[must_use]
    pub fn new(spec: &AdversarySpec) -> Self {
        let (count, control) = (spec.count, spec.control);
        let (ear, prompt, urls) = (None, Arc::default(), BTreeMap::new());
        Self { count, control, ear, prompt, sent: 0, changed: 0, urls }
    }
}

/// Sends it once more. Whatever is answered: only what changes counts.
async fn again(world: &World, urls: &BTreeMap<NodeId, String>, message: Heard) {
    let Some(url) = urls.get(&message.to) else { return };
    let caller = if message.certified { Caller::Certified } else { Caller::Anonymous };
    let (path, body) = (message.path, message.body.into());
    let repeat = Outgoing { path, body, format: Format::Bincode, caller, timeout: CALL_TIMEOUT };
    let _ = world.fabric().immediate(message.from, &Target::anyone(url.clone()), repeat).await;
}

/// Every few messages, a few seconds after they were heard.
async fn soon(
    world: Arc<World>,
    urls: BTreeMap<NodeId, String>,
    mut heard: mpsc::UnboundedReceiver<Heard>,
    (most, sent): (u64, Arc<Mutex<u64>>),
) {
    let mut rng = world.stream("replayer");
    while let Some(message) = heard.recv().await {
        if *sent.lock().unwrap_or_else(PoisonError::into_inner) >= most {
            return;
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..LATER))).await;
        again(&world, &urls, message).await;
        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent = sent.saturating_add(1);
    }
}

#[async_trait]
impl Adversary for Replayer {
    async fn enlist(&mut self, world: &World) -> Result<(), SimError> {
        self.urls = world.fabric().addresses();
        if self.control {
            for bank in world.banks() {
                world
                    .break_store(
                        *bank,
                        &["payment", "coin", "statement", "spend", "presentment", "ledger_transfer"],
                    )
                    .await?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, world: &Arc<World>) {
        let (soon_after, heard) = mpsc::unbounded_channel();
        let ear = Arc::new(Ear { kept: Mutex::default(), soon: soon_after });
        world.fabric().tap(Arc::clone(&ear) as _);
        self.ear = Some(ear);
        let (most, sent) = (self.count, Arc::clone(&self.prompt));
        tokio::spawn(soon(Arc::clone(world), self.urls.clone(), heard, (most, sent)));
    }

    async fn finish(&mut self, world: &Arc<World>) {
        let Some(ear) = &self.ear else { return };
        let heard = std::mem::take(&mut *ear.kept.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = crate::audit::liveness::settle(world, world.scenario().auditor.settle.0).await;
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        // Spread over all that was heard, so that every kind of message has its turn.
        let step = heard.len().div_ceil(count.max(1)).max(1);
        for message in heard.into_iter().step_by(step) {
            let before = balances(world).await;
            again(world, &self.urls, message).await;
            self.sent = self.sent.saturating_add(1);
            if balances(world).await != before {
                self.changed = self.changed.saturating_add(1);
            }
        }
        let before = balances(world).await;
        tokio::time::sleep(QUIET).await;
        if balances(world).await != before {
            self.changed = self.changed.saturating_add(1);
        }
    }

    async fn report(&mut self, world: &Arc<World>) -> Value {
        let prompt = *self.prompt.lock().unwrap_or_else(PoisonError::into_inner);
        let damage = look(world, Depth::Books).await.findings.len() as u64;
        let (attempts, won) = (self.sent.saturating_add(prompt), self.changed.saturating_add(damage));
        json!({
            "attempts": attempts,
            "successes": won,
            "success": share(won.min(attempts), attempts),
            "won": won > 0,
            "sent_soon": prompt,
            "sent_when_quiet": self.sent,
            "balances_changed": self.changed,
            "books_broken": damage,
        })
    }
}
