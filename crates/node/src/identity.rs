//! What a node shows of itself in TLS.

use std::sync::Arc;

use feiqian_pki::{Chain, KeyPair, TrustedRoot};

/// A TLS key with its certificate chain and the root that stands behind it. Clones share the key.
#[derive(Clone)]
pub struct Identity {
    key: Arc<KeyPair>,
    chain: Chain,
    root: TrustedRoot,
}

impl Identity {
    /// The identity of `key`, certified by `chain` (leaf first; the root may be left out) under `root`.
    #[must_use]
    pub fn new(key: KeyPair, chain: Chain, root: TrustedRoot) -> Self {
        Self { key: Arc::new(key), chain, root }
    }

    /// The certificate chain.
    #[must_use]
    pub const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The root.
    #[must_use]
    pub const fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// The key.
    pub(crate) fn key(&self) -> &KeyPair {
        &self.key
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Identity").field("chain", &self.chain).finish_non_exhaustive()
    }
}
