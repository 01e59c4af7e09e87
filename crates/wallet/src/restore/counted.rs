//! A network that counts, and waits where it is told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use feiqian_node::{Network, NetworkError, Outgoing, Reply, Target, Trust};

/// The status of `BUSY`: nothing was done, and the same request may come again.
const BUSY: u16 = 429;

/// So often a request comes again to a node that is busy: with its pauses more than half a minute.
const TRIES: u32 = 12;

/// The first pause; each is longer by this than the one before.
const PAUSE: Duration = Duration::from_millis(500);

/// Counts the requests over a network and the bytes of their bodies; heads, TLS and TCP come on top.
///
/// A restore asks more than nodes allow one address in a second: a node that is busy is asked again.
pub struct Counted {
    inner: Arc<dyn Network>,
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl std::fmt::Debug for Counted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Counted").field("requests", &self.requests).finish_non_exhaustive()
    }
}

impl Counted {
    /// Over this network.
    #[must_use]
    pub fn new(inner: Arc<dyn Network>) -> Self {
        Self { inner, requests: AtomicU64::new(0), sent: AtomicU64::new(0), received: AtomicU64::new(0) }
    }

    /// Requests so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes sent and received so far.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.received.load(Ordering::Relaxed))
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

impl Counted {
    fn count_sent(&self, message: &Outgoing) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.sent.fetch_add(length(&message.body), Ordering::Relaxed);
    }

    fn count_received(&self, reply: Reply) -> Reply {
        self.received.fetch_add(length(&reply.body), Ordering::Relaxed);
        reply
    }
}

#[async_trait]
impl Network for Counted {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        for tried in 1..TRIES {
            self.count_sent(&message);
            let reply = self.count_received(self.inner.send(to, message.clone()).await?);
            if reply.status != BUSY {
                return Ok(reply);
            }
            tokio::time::sleep(PAUSE.saturating_mul(tried)).await;
        }
        self.count_sent(&message);
        self.inner.send(to, message).await.map(|reply| self.count_received(reply))
    }

    async fn send_unlisted(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        self.count_sent(&message);
        self.inner.send_unlisted(to, message).await.map(|reply| self.count_received(reply))
    }

    fn trust(&self) -> Option<&Trust> {
        self.inner.trust()
    }
}
