//! What a payee takes without asking a bank, and what it checks first.

use std::collections::BTreeSet;

use feiqian_crypto::Digest;
use feiqian_money::Minor;
use feiqian_wire::Timestamp;
use serde::{Deserialize, Serialize};

use crate::held::Held;
use crate::keyset::Keys;
use crate::verify::VerifiedChain;
use crate::{MAX_HOPS, Rejection};

/// The bounds of a payee's risk. Each is a setting; the defaults suit a shop that connects every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The largest offline amount, minor units. Default 50,000.
    pub largest: Minor,
    /// The most hops of a chain, at most 64. Default 16: who passed it on has the more to lose the fewer there are.
    pub longest_chain: usize,
    /// How long before its earliest `pay_until` a chain is refused, seconds: the time to deposit and settle. Default one
    /// day.
    pub margin_seconds: u64,
    /// The greatest age of the list of exposed coins, seconds. Default one week.
    pub exposed_age_seconds: u64,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            largest: Minor::new(50_000).unwrap_or(Minor::MAX),
            longest_chain: 16,
            margin_seconds: 24 * 60 * 60,
            exposed_age_seconds: 7 * 24 * 60 * 60,
        }
    }
}

/// The coins and blanks that were spent twice, as the center publishes them. Whoever has seen both spends can make a third:
/// from now on such a coin can only be deposited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exposed {
    /// When the center said so.
    pub as_of: Timestamp,
    /// Their *m*.
    pub coins: BTreeSet<Digest>,
}

/// What a payee checks received chains against.
#[derive(Clone, Copy)]
pub struct Counter<'a> {
    /// The pinned keys.
    pub keys: &'a dyn Keys,
    /// The bounds of its risk.
    pub policy: &'a Policy,
    /// The exposed coins it knows of.
    pub exposed: &'a Exposed,
    /// What it holds.
    pub held: &'a Held,
    /// Its clock.
    pub now: Timestamp,
}

impl core::fmt::Debug for Counter<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Counter").field("policy", self.policy).field("now", &self.now).finish_non_exhaustive()
    }
}

impl Counter<'_> {
    /// Are the chains, which verify, to be taken? Amount, length, deadline, exposed coins, repeats and overlaps.
    ///
    /// # Errors
    /// [`Rejection::Expired`] for a list of exposed coins that is too old, [`Rejection::LimitExceeded`],
    /// [`Rejection::ChainTooLong`], [`Rejection::KeyExpired`], [`Rejection::CoinExposed`], [`Rejection::PieceRepeated`].
    pub fn check(&self, chains: &[VerifiedChain]) -> Result<(), Rejection> {
        let stale = self.exposed.as_of.saturating_add(self.policy.exposed_age_seconds);
        if stale < self.now {
            return Err(Rejection::Expired { expired: stale.seconds(), now: self.now.seconds() });
        }
        let sum = Minor::sum(chains.iter().map(|chain| chain.interval().value()));
        if sum.is_ok_and(|sum| sum > self.policy.largest) || sum.is_err() {
            return Err(Rejection::LimitExceeded("largest offline amount"));
        }
        chains.iter().try_for_each(|chain| self.check_chain(chain))?;
        self.held.check(chains)
    }

    fn check_chain(&self, chain: &VerifiedChain) -> Result<(), Rejection> {
        let (hops, most) = (chain.hops().len(), self.policy.longest_chain.min(MAX_HOPS));
        if hops > most {
            return Err(Rejection::ChainTooLong { hops, most });
        }
        chain.terms().check_pays(self.now.saturating_add(self.policy.margin_seconds))?;
        let exposed = |hop: &crate::verify::VerifiedHop| self.exposed.coins.contains(hop.piece().message());
        if chain.hops().iter().any(exposed) { Err(Rejection::CoinExposed) } else { Ok(()) }
    }
}
