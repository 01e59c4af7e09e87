//! Who spent a part of a coin twice.

use std::collections::BTreeMap;

use curve25519_dalek::traits::VartimeMultiscalarMul;
use curve25519_dalek::{RistrettoPoint, Scalar};
use serde::{Deserialize, Serialize};

use super::{Node, VerifiedPiece};
use crate::acl::Identity;
use crate::encoded::{EncodedPoint, EncodedScalar};
use crate::error::{Misuse, Rejection};
use crate::generators;

/// The values of one node's polynomial that are known, with their points, under the points' bytes.
type Points = BTreeMap<[u8; 32], (Scalar, [Scalar; 4])>;

/// (*R*, *L1*, *ν*): the opening of the commitment behind a coin, which two overlapping spends bring to light. Public
/// from then on. 96 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// *R*.
    pub r: EncodedScalar,
    /// *L1*, the secret of the identity.
    pub identity_secret: EncodedScalar,
    /// *ν*, the bank's number of the session.
    pub nu: EncodedScalar,
}

impl Opening {
    /// *I* = *L1*·H1, the cheat.
    ///
    /// # Errors
    ///
    /// [`Rejection::Malformed`] if *L1* is not a canonical scalar or is zero.
    pub fn identity(&self) -> Result<Identity, Rejection> {
        let point = self.identity_secret.decode_non_zero()? * generators::h1();
        Ok(Identity::from_encoded(point.into())?)
    }

    /// *C* = *R*·H0 + *L1*·H1, by which a bank finds the withdrawal.
    ///
    /// # Errors
    ///
    /// [`Rejection::Malformed`] for scalars that are not canonical.
    ///
    /// # Security
    ///
    /// Variable time: an opening is public.
    pub fn commitment(&self) -> Result<EncodedPoint, Rejection> {
        let scalars = [self.r.decode()?, self.identity_secret.decode()?];
        let bases = [generators::h0(), generators::h1()];
        Ok(RistrettoPoint::vartime_multiscalar_mul(scalars, bases).into())
    }

    /// Checks the opening against the withdrawal that the customer signed: *C* = *R*·H0 + *L1*·H1, the same *ν*, and
    /// *I* = *L1*·H1. *R* is fresh in every session and the holder's alone until two of the coin's spends overlap.
    ///
    /// # Errors
    ///
    /// [`Rejection::Malformed`] for scalars that are not canonical, [`Rejection::Accusation`] if any of the three does not
    /// hold.
    ///
    /// # Security
    ///
    /// Variable time: an opening is public.
    pub fn verify(
        &self,
        identity: &Identity,
        commitment: &EncodedPoint,
        nu: &EncodedScalar,
    ) -> Result<(), Rejection> {
        self.nu.decode()?;
        let opened = self.commitment()?;
        let named = self.identity()? == *identity;
        if opened == *commitment && self.nu == *nu && named { Ok(()) } else { Err(Rejection::Accusation) }
    }
}

/// The opening behind a coin of which these pieces were spent, or `None` when no two of them overlap.
///
/// Two pieces that are equal up to their node and challenge are one spend, not two.
///
/// # Errors
///
/// [`Misuse::DifferentCoins`] unless all pieces are of one coin.
///
/// # Security
///
/// Variable time: the pieces are public. Verification has made sure that every share is a point of the one committed
/// polynomial, so any three of them (two at a leaf) give the same opening, whoever made the tree and however.
pub fn identify(pieces: &[&VerifiedPiece]) -> Result<Option<Opening>, Misuse> {
    let Some(first) = pieces.first() else { return Ok(None) };
    if pieces.iter().any(|piece| (piece.message(), piece.key()) != (first.message(), first.key())) {
        return Err(Misuse::DifferentCoins);
    }
    let mut known: BTreeMap<Node, Points> = BTreeMap::new();
    for (node, point, value) in pieces.iter().flat_map(|piece| piece.values()) {
        known.entry(*node).or_default().insert(point.to_bytes(), (*point, *value));
    }
    let enough = |node: &Node| if node.is_leaf(first.key().depth()) { 2 } else { 3 };
    let exposed = known.iter().find(|(node, points)| points.len() >= enough(node));
    Ok(exposed.map(|(node, points)| {
        let points: Vec<_> = points.values().take(enough(node)).collect();
        open(&constant_term(&points))
    }))
}

/// The value at 0 of the polynomial through some points, by Lagrange.
fn constant_term(points: &[&(Scalar, [Scalar; 4])]) -> [Scalar; 4] {
    let mut constant = [Scalar::ZERO; 4];
    for (at, value) in points {
        let others = points.iter().map(|(other, _)| other).filter(|other| *other != at);
        let weight: Scalar = others.map(|other| other * (other - at).invert()).product();
        for (sum, coordinate) in constant.iter_mut().zip(value) {
            *sum += weight * coordinate;
        }
    }
    constant
}

/// (*k*₀, *k*₁, *k*₂)/*γ* with *γ* = −*k*₃, which is not zero since *ζ* ≠ O.
fn open([k0, k1, k2, k3]: &[Scalar; 4]) -> Opening {
    let inverse = -k3.invert();
    let [r, identity_secret, nu] = [k0, k1, k2].map(|k| EncodedScalar::from(k * inverse));
    Opening { r, identity_secret, nu }
}
