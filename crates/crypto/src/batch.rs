//! Many signatures and proofs checked together.
//!
//! Every item is an equation that sums to the identity. Each is multiplied by a random 128-bit weight and all are added
//! up; the terms of `G`, of `H` and of each denomination key are merged, and one multiscalar multiplication decides. A
//! batch with a false item passes with probability 2⁻¹²⁸. A failed batch is split in halves, with fresh weights, until
//! the false items are named.

use std::collections::BTreeMap;

use curve25519_dalek::traits::{Identity, VartimeMultiscalarMul};
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use thiserror::Error;

use crate::encoded::{Digest, EncodedPoint};
use crate::error::Rejection;
use crate::generators;
use crate::possession::{self, Proof};
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

    fn equation(&self) -> Result<Equation<'_>, Rejection> {
        match self {
            Self::Signature { key, message, signature } => {
                let commitment = signature.commitment.decode_non_identity()?;
                let (exponent, z, y) = snowblind::equation(key, message, signature)?;
                Ok(Equation {
                    g: -z,
                    h: -y,
                    key: Some((key, exponent)),
                    terms: vec![(Scalar::ONE, commitment)],
                })
            }
            Self::Possession { keys, statement, proof } => {
                let possession::Equation { s, terms } = possession::equation(keys, statement, proof)?;
                Ok(Equation { g: -s, h: Scalar::ZERO, key: None, terms })
            }
        }
    }
}

/// *gG* + *hH* + (the key's term) + Σ terms = 0.
struct Equation<'a> {
    g: Scalar,
    h: Scalar,
    key: Option<(&'a PublicKey, Scalar)>,
    terms: Vec<(Scalar, RistrettoPoint)>,
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
    let mut indices = Vec::new();
    let mut equations = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match item.equation() {
            Ok(equation) => equations.push((index, equation)),
            Err(_) => indices.push(index),
        }
    }
    split(items, &equations, rng, &mut indices);
    indices.sort_unstable();
    if indices.is_empty() { Ok(()) } else { Err(Blame { indices }) }
}

/// Adds the places of the false equations to `blamed`. A single one is checked alone, without chance.
fn split(
    items: &[Item<'_>],
    equations: &[(usize, Equation<'_>)],
    rng: &mut impl CryptoRng,
    blamed: &mut Vec<usize>,
) {
    if let [(index, _)] = equations {
        if items.get(*index).is_none_or(|item| item.verify().is_err()) {
            blamed.push(*index);
        }
    } else if !sum_vanishes(equations, rng) {
        let (left, right) = equations.split_at(equations.len() / 2);
        split(items, left, rng, blamed);
        split(items, right, rng, blamed);
    }
}

fn sum_vanishes(equations: &[(usize, Equation<'_>)], rng: &mut impl CryptoRng) -> bool {
    let (mut g, mut h) = (Scalar::ZERO, Scalar::ZERO);
    let mut keys: BTreeMap<&PublicKey, Scalar> = BTreeMap::new();
    let mut scalars = Vec::with_capacity(equations.len());
    let mut points = Vec::with_capacity(equations.len());
    for (_, equation) in equations {
        let weight = random_weight(rng);
        g += weight * equation.g;
        h += weight * equation.h;
        if let Some((key, exponent)) = &equation.key {
            *keys.entry(key).or_insert(Scalar::ZERO) += weight * exponent;
        }
        for (scalar, point) in &equation.terms {
            scalars.push(weight * scalar);
            points.push(*point);
        }
    }
    scalars.extend(keys.values());
    points.extend(keys.keys().map(|key| *key.point()));
    scalars.extend([g, h]);
    points.extend([generators::g(), generators::h()]);
    RistrettoPoint::vartime_multiscalar_mul(&scalars, &points) == RistrettoPoint::identity()
}

/// 128 random bits, never zero.
fn random_weight(rng: &mut impl CryptoRng) -> Scalar {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Scalar::from(u128::from_le_bytes(bytes).max(1))
}
