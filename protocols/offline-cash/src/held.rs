//! What a payee holds, and pieces that overlap or repeat it.
//!
//! Chains may share hops: who received a piece and passes its halves on separately shows the way to both. They conflict
//! when one coin or blank answered twice for the same units, or took two pieces: whoever did that is named at deposit,
//! but a payee need not wait for it.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;
use feiqian_crypto::share_tree::Node;

use crate::Rejection;
use crate::chain::Place;
use crate::register::Mark;
use crate::verify::{VerifiedChain, VerifiedHop};

/// What one coin or blank answered, in the chains that are held.
#[derive(Debug, Clone)]
struct Answers {
    previous: Digest,
    nodes: BTreeMap<Node, Answer>,
}

#[derive(Debug, Clone, Copy)]
struct Answer {
    mark: Mark,
    ends: bool,
}

/// The pieces that somebody holds: of payments not yet deposited, and of value not yet passed on.
#[derive(Debug, Clone, Default)]
pub struct Held {
    coins: BTreeMap<Digest, Answers>,
}

/// The hops of a chain. A payment ends it; a transfer does not, since what it passed may come back as a longer chain.
fn hops(chain: &VerifiedChain) -> impl Iterator<Item = (Place, Answer)> {
    let answer = |hop: &VerifiedHop| Answer { mark: Mark::from(hop), ends: hop.nonce().is_none() };
    chain.hops().iter().map(move |hop| (hop.place(), answer(hop)))
}

impl Held {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Does no chain conflict with what is held, or with another of them?
    ///
    /// # Errors
    /// [`Rejection::PieceRepeated`].
    pub fn check(&self, chains: &[VerifiedChain]) -> Result<(), Rejection> {
        let mut fresh = Self::new();
        for chain in chains {
            self.check_one(chain)?;
            fresh.add(chain)?;
        }
        Ok(())
    }

    /// Adds a chain.
    ///
    /// # Errors
    /// [`Rejection::PieceRepeated`] if it conflicts with what is held; nothing is added then.
    pub fn add(&mut self, chain: &VerifiedChain) -> Result<(), Rejection> {
        self.check_one(chain)?;
        for (Place { previous, message, node }, answer) in hops(chain) {
            let coin = self.coins.entry(message).or_insert(Answers { previous, nodes: BTreeMap::new() });
            coin.nodes.insert(node, answer);
        }
        Ok(())
    }

    fn check_one(&self, chain: &VerifiedChain) -> Result<(), Rejection> {
        for (place, answer) in hops(chain) {
            let Some(coin) = self.coins.get(&place.message) else { continue };
            let sound = |(node, held): (&Node, &Answer)| {
                !node.overlaps(place.node) || (held.mark == answer.mark && !held.ends && !answer.ends)
            };
            if coin.previous != place.previous || !coin.nodes.iter().all(sound) {
                return Err(Rejection::PieceRepeated);
            }
        }
        Ok(())
    }
}
