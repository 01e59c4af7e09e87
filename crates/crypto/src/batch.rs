//! Many signatures and proofs checked together.
//!
//! Every item is an equation that sums to the identity. Each is multiplied by a random 128-bit weight and all are added
//! up; the terms of `G`, of `H` and of each denomination key are merged, and one multiscalar multiplication decides. A
//! batch with a false item passes with probability 2⁻¹²⁸. A failed batch is split in halves, with fresh weights, until
//! the false items are named. Pieces of offline coins go through the same machinery, in
//! [`share_tree::verify_all`](crate::share_tree::verify_all).

use curve25519_dalek::Scalar;
use rand_core::CryptoRng;
use thiserror::Error;

use crate::encoded::{Digest, EncodedPoint};
use crate::error::Rejection;
use crate::possession::{self, Proof};
use crate::relation::{self, Relation, Row};
use crate::snowblind::{self, PublicKey, Signature};

/// One thing to check.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// `signature` signs `message` under `key`.
    Signature {
        /// The denomination's key *X*.
        key: &'a PublicKey,
        /// *m*.
        message: Digest,
        /// (*R'*, *z'*, *y'*).
        signature: Signature,
    },
    /// `proof` shows possession of all `keys` over `statement`.
    Possession {
        /// *K*₁ … *K_n*, at least one.
        keys: Vec<EncodedPoint>,
        /// What is stated.
        statement: Digest,
        /// (*R*, *s*).
        proof: Proof,
    },
}

impl Item<'_> {
    /// Checks this item alone.
    ///
    /// # Errors
    ///
    /// See [`snowblind::verify`] and [`possession::verify`].
    pub fn verify(&self) -> Result<(), Rejection> {
        match self {
            Self::Signature { key, message, signature } => snowblind::verify(key, message, signature),
            Self::Possession { keys, statement, proof } => possession::verify(keys, statement, proof),
        }
    }

    fn relation(&self) -> Result<Relation, Rejection> {
        match self {
            Self::Signature { key, message, signature } => {
                let commitment = signature.commitment.decode_non_identity()?;
                let (exponent, z, y) = snowblind::equation(key, message, signature)?;
                Ok(Relation {
                    key: Some((*key.encoded(), *key.point())),
                    points: vec![commitment],
                    rows: vec![Row {
                        g: -z,
                        h: -y,
                        key: exponent,
                        terms: vec![(0, Scalar::ONE)],
                        ..Row::default()
                    }],
                })
            }
            Self::Possession { keys, statement, proof } => {
                let possession::Equation { s, terms } = possession::equation(keys, statement, proof)?;
                let (scalars, points): (Vec<_>, _) = terms.into_iter().unzip();
                let terms = scalars.into_iter().enumerate().collect();
                Ok(Relation { key: None, points, rows: vec![Row { g: -s, terms, ..Row::default() }] })
            }
        }
    }
}

/// The items of a batch that are false, by their places in it, ascending.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} items of the batch do not verify", indices.len())]
pub struct Blame {
    /// Places in the batch.
    pub indices: Vec<usize>,
}

/// Checks all items together; an empty batch passes.
///
/// # Errors
///
/// [`Blame`] with the places of all items that do not decode or do not verify alone.
///
/// # Security
///
/// Variable time: everything here is public. The weights must be unpredictable to whoever made the items.
pub fn verify(items: &[Item<'_>], rng: &mut impl CryptoRng) -> Result<(), Blame> {
    if let [item] = items {
        return item.verify().map_err(|_| Blame { indices: vec![0] });
    }
    blame(items.iter().map(Item::relation), rng)
}

/// Checks relations together; those that could not be made are false.
pub(crate) fn blame(
    relations: impl Iterator<Item = Result<Relation, Rejection>>,
    rng: &mut impl CryptoRng,
) -> Result<(), Blame> {
    let mut indices = Vec::new();
    let mut sound = Vec::new();
    for (index, relation) in relations.enumerate() {
        match relation {
            Ok(relation) => sound.push((index, relation)),
            Err(_) => indices.push(index),
        }
    }
    split(&sound, rng, &mut indices);
    indices.sort_unstable();
    if indices.is_empty() { Ok(()) } else { Err(Blame { indices }) }
}

/// Adds the places of the false relations to `blamed`. A sum that does not vanish proves that some relation of it is
/// false, whatever the weights: nobody is blamed by chance.
fn split(relations: &[(usize, Relation)], rng: &mut impl CryptoRng, blamed: &mut Vec<usize>) {
    if relation::sum_vanishes(relations.iter().map(|(_, relation)| relation), rng) {
        return;
    }
    if let [(index, _)] = relations {
        blamed.push(*index);
    } else {
        let (left, right) = relations.split_at(relations.len() / 2);
        split(left, rng, blamed);
        split(right, rng, blamed);
    }
}
