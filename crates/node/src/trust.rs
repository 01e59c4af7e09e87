//! Who is believed: the pinned root, the revocation lists in force, and the time both are judged at.

use std::sync::Arc;

use arc_swap::ArcSwap;
use feiqian_pki::{Chain, PkiError, Purpose, Revocation, RevocationList, TrustedRoot, Verified};

use crate::clock::Clock;

/// Seconds after which a judgement is made again though nothing was announced: lists and authorities end, too.
const JUDGED_FOR: u64 = 60;

/// Revocation lists in force, with the count of how often they changed.
#[derive(Debug, Default)]
struct Lists {
    generation: u64,
    current: Vec<RevocationList>,
}

/// Judges peers' certificates. Shared by a node's server and client; new revocation lists take effect at once,
/// on open connections too.
pub struct Trust {
    root: TrustedRoot,
    lists: ArcSwap<Lists>,
    clock: Arc<dyn Clock>,
}

impl Trust {
    /// Believes certificates that `root` stands behind, judged at `clock`'s time, with no revocation list yet.
    #[must_use]
    pub fn new(root: TrustedRoot, clock: Arc<dyn Clock>) -> Self {
        Self { root, lists: ArcSwap::default(), clock }
    }

    /// The pinned root.
    #[must_use]
    pub const fn root(&self) -> &TrustedRoot {
        &self.root
    }

    /// Puts these revocation lists into force instead of the ones before: the root's and every bank's.
    ///
    /// # Security
    /// From the first call on, a certificate whose issuer has no current list here is refused: a list that fails to
    /// arrive closes the door.
    pub fn set_revocation_lists(&self, lists: &[RevocationList]) {
        self.lists.rcu(|old| Lists { generation: old.generation.saturating_add(1), current: lists.to_vec() });
    }

    /// Verifies `chain` for `purpose`.
    ///
    /// # Errors
    /// What is wrong with the chain.
    pub fn verify(&self, chain: &Chain, purpose: Purpose) -> Result<Verified, PkiError> {
        self.verify_now(&self.lists.load(), chain, purpose)
    }

    /// Verifies the chain of a caller: a client's certificate, or a node's.
    ///
    /// # Errors
    /// What is wrong with the chain, as a client's.
    pub fn verify_client(&self, chain: &Chain) -> Result<Verified, PkiError> {
        self.verify(chain, Purpose::Client)
    }

    fn verify_now(&self, lists: &Lists, chain: &Chain, purpose: Purpose) -> Result<Verified, PkiError> {
        let revocation = match lists.generation {
            0 => Revocation::Unchecked,
            _ => Revocation::Required(&lists.current),
        };
        feiqian_pki::validate(chain, &self.root, purpose, revocation, self.clock.now().seconds())
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Trust")
            .field("lists", &self.lists.load().current.len())
            .finish_non_exhaustive()
    }
}

/// A client's chain as one connection presented it, with the last judgement of it.
pub(crate) struct Presented {
    chain: Chain,
    judged: ArcSwap<Judged>,
}

struct Judged {
    generation: u64,
    at: u64,
    peer: Arc<Verified>,
}

impl Presented {
    /// Judges the chain for the first time.
    pub(crate) fn new(chain: Chain, trust: &Trust) -> Result<Self, PkiError> {
        let lists = trust.lists.load();
        let peer = Arc::new(trust.verify_now(&lists, &chain, Purpose::Client)?);
        let at = trust.clock.now().seconds();
        let judged = ArcSwap::from_pointee(Judged { generation: lists.generation, at, peer });
        Ok(Self { chain, judged })
    }

    /// Who the peer is now: judged again when the revocation lists changed, or a minute has passed.
    pub(crate) fn peer(&self, trust: &Trust) -> Result<Arc<Verified>, PkiError> {
        let judged = self.judged.load();
        let lists = trust.lists.load();
        let at = trust.clock.now().seconds();
        let fresh = at.saturating_sub(judged.at) < JUDGED_FOR && at <= judged.peer.not_after;
        if judged.generation == lists.generation && fresh {
            return Ok(Arc::clone(&judged.peer));
        }
        let peer = Arc::new(trust.verify_now(&lists, &self.chain, Purpose::Client)?);
        self.judged.store(Arc::new(Judged { generation: lists.generation, at, peer: Arc::clone(&peer) }));
        Ok(peer)
    }
}
