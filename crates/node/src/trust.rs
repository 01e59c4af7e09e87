//! Who is believed: the pinned root, the revocation lists in force, and the time both are judged at.

use std::collections::BTreeSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use feiqian_pki::{
    Chain, PkiError, Purpose, Revocation, RevocationList, TrustedRoot, Verified, validate_authority,
};

use crate::clock::Clock;

/// Seconds after which a judgement is made again though nothing was announced: lists and authorities end, too.
const JUDGED_FOR: u64 = 60;

/// Revocation lists in force, with the count of how often they changed.
#[derive(Debug, Default)]
struct Lists {
    generation: u64,
    current: Vec<RevocationList>,
    /// Authorities (keys) whose certificates need a current list; `None`: every authority's do.
    listed: Option<BTreeSet<[u8; 32]>>,
}

impl Lists {
    fn next(&self, current: Vec<RevocationList>, listed: Option<BTreeSet<[u8; 32]>>) -> Self {
        Self { generation: self.generation.saturating_add(1), current, listed }
    }

    /// Whether certificates of this authority need a current list.
    fn binds(&self, authority: &[u8; 32]) -> bool {
        self.listed.as_ref().is_none_or(|listed| listed.contains(authority))
    }
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

    /// The same root and clock, and no revocation list, now or ever.
    pub(crate) fn without_lists(&self) -> Self {
        Self::new(self.root.clone(), Arc::clone(&self.clock))
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
        self.lists.rcu(|old| old.next(lists.to_vec(), None));
    }

    /// Puts these revocation lists into force, for the authorities that signed them: `lists` pairs the authority's
    /// key with its newest list, current or not.
    ///
    /// # Security
    /// An authority that is named here is judged by its list from now on, and refused when the list has ended. One
    /// that is not named has never shown a list to this node: a bank that has just become a member must be able to
    /// bring its first one. The root's own list, once named, covers every bank's authority.
    pub fn enforce(&self, lists: &[([u8; 32], RevocationList)]) {
        if lists.is_empty() {
            return;
        }
        let listed: BTreeSet<[u8; 32]> = lists.iter().map(|(authority, _)| *authority).collect();
        let current: Vec<RevocationList> = lists.iter().map(|(_, list)| list.clone()).collect();
        self.lists.rcu(|old| old.next(current.clone(), Some(listed.clone())));
    }

    /// How often the revocation lists in force have changed: a judgement of an earlier count is to be made again.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.lists.load().generation
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
        let now = self.clock.now().seconds();
        let required = match lists.generation {
            0 => false,
            _ => self.check_issuer(lists, chain, now)?,
        };
        let revocation = if required { Revocation::Required(&lists.current) } else { Revocation::Unchecked };
        feiqian_pki::validate(chain, &self.root, purpose, revocation, now)
    }

    /// Judges the issuing authority by the root's list; answers whether the leaf needs a list of its issuer.
    fn check_issuer(&self, lists: &Lists, chain: &Chain, now: u64) -> Result<bool, PkiError> {
        let by_root = lists.binds(self.root.public_key());
        // A chain of the root alone, or one without its authority, is the root's to cover.
        let Some(issuer) = chain.issuer().filter(|issuer| issuer.leaf() != self.root.as_der()) else {
            return Ok(by_root);
        };
        let revocation = if by_root { Revocation::Required(&lists.current) } else { Revocation::Unchecked };
        let authority = validate_authority(&issuer, &self.root, revocation, now)?;
        Ok(lists.binds(&authority.public_key))
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

    /// Who the peer is now: judged again when the revocation lists changed, when a minute has passed, or when the clock
    /// was set back.
    pub(crate) fn peer(&self, trust: &Trust) -> Result<Arc<Verified>, PkiError> {
        let judged = self.judged.load();
        let lists = trust.lists.load();
        let at = trust.clock.now().seconds();
        let young = at.checked_sub(judged.at).is_some_and(|age| age < JUDGED_FOR);
        let fresh = young && at <= judged.peer.not_after;
        if judged.generation == lists.generation && fresh {
            return Ok(Arc::clone(&judged.peer));
        }
        let peer = Arc::new(trust.verify_now(&lists, &self.chain, Purpose::Client)?);
        self.judged.store(Arc::new(Judged { generation: lists.generation, at, peer: Arc::clone(&peer) }));
        Ok(peer)
    }
}
