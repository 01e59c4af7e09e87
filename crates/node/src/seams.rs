//! What a role is plugged into: everything that differs between production and a simulated world.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use feiqian_ledger::store::Store;
use feiqian_wire::error::Fault;
use serde_json::Value;

use crate::{Clock, Entropy, Identity, Network, Shutdown, Workers};

/// Store, network, clock, randomness and working hands of one node.
#[derive(Clone)]
pub struct Seams {
    /// Where it keeps what must survive.
    pub store: Arc<dyn Store>,
    /// How it calls others.
    pub network: Arc<dyn Network>,
    /// What time it is there.
    pub clock: Arc<dyn Clock>,
    /// Where its randomness comes from.
    pub entropy: Arc<dyn Entropy>,
    /// Who does the work that would keep its runtime from other tasks.
    pub workers: Arc<dyn Workers>,
}

impl std::fmt::Debug for Seams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seams")
    }
}

/// A running role. It exists once and runs both on HTTPS and in a simulated world.
#[async_trait]
pub trait Service: Send + Sync + 'static {
    /// Its calls.
    fn router(self: Arc<Self>) -> Router;

    /// Carries out one of its operator's commands.
    ///
    /// # Errors
    /// A fault with a stable code; nothing was changed unless it says so.
    async fn command(self: Arc<Self>, command: Value) -> Result<Value, Fault>;

    /// What it does by itself: registers, retries, rotates, prunes. Returns when `shutdown` is triggered.
    async fn background(self: Arc<Self>, shutdown: Shutdown);

    /// Its TLS key and chain; `None` for a node that never listens.
    fn identity(&self) -> Option<Arc<Identity>>;
}
