//! Checking pieces.

use std::collections::BTreeMap;

use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;

use super::{Node, Piece, Share, VectorCommitment, own_points, side};
use crate::acl::{self, PublicKey, Signature};
use crate::batch::{self, Blame};
use crate::encoded::Digest;
use crate::error::Rejection;
use crate::relation::{Relation, Row};

/// A piece as it was shown: under which key, for which challenge. The challenge is computed by the verifier, from
/// [`Piece::message`] and what the piece is shown for; it is never the payer's word.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// The key, pinned.
    pub key: &'a PublicKey,
    /// The piece.
    pub piece: &'a Piece,
    /// *d*.
    pub challenge: &'a Scalar,
}

/// A piece that was found valid for its challenge: the only thing to store, to chain or to extract from, and only
/// checking makes one.
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::share_tree::*;
/// fn must_deserialize<T: serde::de::DeserializeOwned>() {}
/// must_deserialize::<VerifiedPiece>();
/// ```
#[derive(Clone, Debug)]
pub struct VerifiedPiece {
    key: PublicKey,
    message: Digest,
    challenge: Scalar,
    piece: Piece,
    /// Every share: at which node, at which point, what value.
    values: Vec<(Node, Scalar, [Scalar; 4])>,
}

impl VerifiedPiece {
    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// *m*, the name of the coin.
    #[must_use]
    pub fn message(&self) -> &Digest {
        &self.message
    }

    /// The spent node.
    #[must_use]
    pub fn node(&self) -> Node {
        self.piece.node
    }

    /// *d*.
    #[must_use]
    pub fn challenge(&self) -> &Scalar {
        &self.challenge
    }

    /// The piece as it travelled.
    #[must_use]
    pub fn piece(&self) -> &Piece {
        &self.piece
    }

    /// The piece as it travelled, taken out.
    #[must_use]
    pub fn into_piece(self) -> Piece {
        self.piece
    }

    pub(super) fn values(&self) -> &[(Node, Scalar, [Scalar; 4])] {
        &self.values
    }
}

/// Gathers what the shares of a piece must satisfy: *v*₀·H0 + *v*₁·H1 + *v*₂·G = *ζ*₁ + *t*·C1 + *t*²·C2 and
/// *v*₃·Z = −*ζ* + *t*·C1' + *t*²·C2'.
struct Gathering {
    relation: Relation,
    values: Vec<(Node, Scalar, [Scalar; 4])>,
}

impl Gathering {
    /// Places of *ζ* and *ζ*₁ among the points.
    const ZETA: usize = 0;
    const ZETA1: usize = 1;

    fn new(key: &PublicKey, signature: &Signature) -> Result<Self, Rejection> {
        let points = vec![signature.zeta.decode_non_identity()?, signature.zeta1.decode()?];
        let key = Some((*key.encoded_z(), *key.z()));
        Ok(Self { relation: Relation { key, points, rows: Vec::new() }, values: Vec::new() })
    }

    fn add<'a>(
        &mut self,
        node: Node,
        commitments: &[VectorCommitment],
        shares: impl Iterator<Item = (Scalar, &'a Share)>,
    ) -> Result<(), Rejection> {
        let first = self.relation.points.len();
        for commitment in commitments {
            self.relation.points.extend::<[RistrettoPoint; 2]>(commitment.decode()?);
        }
        for (point, share) in shares {
            let value = share.decode()?;
            let [v0, v1, v2, v3] = value;
            let powers = core::iter::successors(Some(point), |power| Some(power * point)).map(|power| -power);
            let places = first..self.relation.points.len();
            let vectors = places.clone().step_by(2).zip(powers.clone());
            let scales = places.skip(1).step_by(2).zip(powers);
            let vector = core::iter::once((Self::ZETA1, -Scalar::ONE)).chain(vectors).collect();
            let scale = core::iter::once((Self::ZETA, Scalar::ONE)).chain(scales).collect();
            self.relation.rows.push(Row { h0: v0, h1: v1, g: v2, terms: vector, ..Row::default() });
            self.relation.rows.push(Row { key: v3, terms: scale, ..Row::default() });
            self.values.push((node, point, value));
        }
        Ok(())
    }
}

impl Shown<'_> {
    /// Everything that can be decided without the shares' equations, which are returned. `signature` checks the coin's.
    fn prepare(
        &self,
        signature: impl FnOnce(&Digest) -> Result<(), Rejection>,
    ) -> Result<(VerifiedPiece, Relation), Rejection> {
        let Self { key, piece, challenge } = self;
        let message = piece.message(key)?;
        let is_leaf = piece.node.is_leaf(key.depth());
        let points = own_points(challenge, is_leaf).ok_or(Rejection::ChallengePoints)?;
        let mut gathering = Gathering::new(key, &piece.signature)?;
        gathering.add(piece.node, piece.own.commitments(), points.into_iter().zip(piece.own.shares()))?;
        for ((child, ancestor), node) in piece.path().zip(piece.node.ancestors()) {
            let share = core::iter::once((side(child), &ancestor.share));
            gathering.add(node, &ancestor.commitments, share)?;
        }
        signature(&message)?;
        let Gathering { relation, values } = gathering;
        let piece = (*piece).clone();
        let verified = VerifiedPiece { key: **key, message, challenge: **challenge, piece, values };
        Ok((verified, relation))
    }
}

impl Piece {
    /// Checks this piece alone, every equation by itself and without chance: structure, challenge, canonical parts, the
    /// coin's signature on the recomputed *m*, every share.
    ///
    /// # Errors
    ///
    /// See [`message`](Self::message) and [`acl::verify`]; [`Rejection::ChallengePoints`] for a challenge that no holder
    /// may answer, [`Rejection::Share`] if a share does not open the commitments.
    ///
    /// # Security
    ///
    /// Variable time: everything here is public. [`verify_all`] takes half the time.
    pub fn verify(&self, key: &PublicKey, challenge: &Scalar) -> Result<VerifiedPiece, Rejection> {
        let shown = Shown { key, piece: self, challenge };
        let (verified, relation) =
            shown.prepare(|message| acl::verify_message(key, message, &self.signature))?;
        if relation.holds() { Ok(verified) } else { Err(Rejection::Share) }
    }
}

/// Checks many pieces, of any coins and keys, together: all equations of all shares in one multiscalar multiplication,
/// and the signature of every coin once. In the order given; none gives none.
///
/// # Errors
///
/// [`Blame`] with the places of all pieces that [`Piece::verify`] refuses.
///
/// # Security
///
/// Variable time: everything here is public. A false piece passes with probability 2⁻¹²⁸, over weights that must be
/// unpredictable to whoever made the pieces. The signatures themselves are hashes of what they recompute, so they do not
/// go into the sum.
pub fn verify_all(shown: &[Shown<'_>], rng: &mut impl CryptoRng) -> Result<Vec<VerifiedPiece>, Blame> {
    let mut signatures = BTreeMap::new();
    let mut verified = Vec::with_capacity(shown.len());
    let mut relations = Vec::with_capacity(shown.len());
    for each in shown {
        let signature = each.piece.signature;
        let prepared = each.prepare(|message| {
            let coin = signatures.entry((*message, signature));
            *coin.or_insert_with(|| acl::verify_message(each.key, message, &signature))
        });
        relations.push(prepared.map(|(piece, relation)| {
            verified.push(piece);
            relation
        }));
    }
    batch::blame(relations.into_iter(), rng).map(|()| verified)
}
