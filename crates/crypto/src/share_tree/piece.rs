//! What travels when a node is spent.

use curve25519_dalek::{RistrettoPoint, Scalar};
use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Node, node_digest};
use crate::acl::{Depth, PublicKey, Signature, coin_message};
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::error::{Malformed, Rejection};

/// The value of a node's polynomial at one point, 4 scalars, 128 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Share(
    /// The coordinates *v*₀…*v*₃.
    pub [EncodedScalar; 4],
);

impl Share {
    pub(super) fn new(coordinates: &[Scalar; 4]) -> Self {
        Self(coordinates.each_ref().map(|scalar| EncodedScalar::from(*scalar)))
    }

    pub(super) fn decode(&self) -> Result<[Scalar; 4], Malformed> {
        let mut decoded = [Scalar::ZERO; 4];
        for (to, from) in decoded.iter_mut().zip(&self.0) {
            *to = from.decode()?;
        }
        Ok(decoded)
    }
}

/// The commitment to a coefficient of a node's polynomial, 64 bytes. The identity is allowed: a coefficient that is zero
/// harms nobody but its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VectorCommitment {
    /// *v*₀·H0 + *v*₁·H1 + *v*₂·G.
    pub vector: EncodedPoint,
    /// *v*₃·Z.
    pub scale: EncodedPoint,
}

impl VectorCommitment {
    pub(super) fn decode(&self) -> Result<[RistrettoPoint; 2], Malformed> {
        Ok([self.vector.decode()?, self.scale.decode()?])
    }
}

/// What a piece shows of the node that it spends.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one in a piece of up to 2.2 KiB, and it is plain bytes"
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Own {
    /// A leaf, 192 bytes.
    Leaf {
        /// f_n(*d*).
        share: Share,
        /// C1.
        commitment: VectorCommitment,
    },
    /// A node that divides further, 448 bytes.
    Inner {
        /// f_n(*d*) and f_n(*d*₂).
        shares: [Share; 2],
        /// C1 and C2.
        commitments: [VectorCommitment; 2],
        /// The digests of its halves.
        children: [Digest; 2],
    },
}

impl Own {
    pub(super) fn shares(&self) -> &[Share] {
        match self {
            Self::Leaf { share, .. } => core::slice::from_ref(share),
            Self::Inner { shares, .. } => shares,
        }
    }

    pub(super) fn commitments(&self) -> &[VectorCommitment] {
        match self {
            Self::Leaf { commitment, .. } => core::slice::from_ref(commitment),
            Self::Inner { commitments, .. } => commitments,
        }
    }

    fn children(&self) -> Option<[&Digest; 2]> {
        match self {
            Self::Leaf { .. } => None,
            Self::Inner { children, .. } => Some(children.each_ref()),
        }
    }
}

/// What a piece shows of a node above the one that it spends, 288 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ancestor {
    /// f_a(1) if the spent node lies in its left half, f_a(2) if in its right.
    pub share: Share,
    /// C1 and C2.
    pub commitments: [VectorCommitment; 2],
    /// The digest of its half that the spent node does not lie in.
    pub sibling: Digest,
}

/// A spent node of a coin. It carries neither depth nor challenge nor *m*: the verifier takes the depth from the key and
/// computes the others. At most 2.2 KiB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    /// The bank's signature on the coin.
    pub signature: Signature,
    /// The node that is spent.
    pub node: Node,
    /// What is shown of it.
    pub own: Own,
    /// The nodes above it, nearest first: as many as its level, at most 6; more do not decode.
    #[serde(deserialize_with = "at_most_six")]
    pub ancestors: Vec<Ancestor>,
}

/// Reads ancestors; refuses a greater count than the deepest tree has before memory is taken.
fn at_most_six<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Ancestor>, D::Error> {
    struct Ancestors;
    impl<'de> Visitor<'de> for Ancestors {
        type Value = Vec<Ancestor>;

        fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            write!(f, "at most {} ancestors", Depth::MAX.levels())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
            let most = usize::from(Depth::MAX.levels());
            if let Some(given) = sequence.size_hint().filter(|given| *given > most) {
                return Err(A::Error::invalid_length(given, &self));
            }
            let mut ancestors = Vec::new();
            while let Some(ancestor) = sequence.next_element()? {
                if ancestors.len() == most {
                    return Err(A::Error::invalid_length(most.saturating_add(1), &self));
                }
                ancestors.push(ancestor);
            }
            Ok(ancestors)
        }
    }
    deserializer.deserialize_seq(Ancestors)
}

impl Piece {
    /// *m*, the name of the coin that this claims to be a piece of: the digests are computed from the node up to the root.
    /// The challenge of a spend is made from it.
    ///
    /// # Errors
    ///
    /// [`Rejection::NodeOutside`] if the trees of the key are not deep enough for the node, [`Rejection::PieceShape`] if
    /// the parts are not those of the node.
    pub fn message(&self, key: &PublicKey) -> Result<Digest, Rejection> {
        let root = self.root(key)?;
        Ok(coin_message(key, &root, &self.signature.zeta, &self.signature.zeta1))
    }

    fn root(&self, key: &PublicKey) -> Result<Digest, Rejection> {
        let Self { node, own, ancestors, .. } = self;
        if !node.fits(key.depth()) {
            return Err(Rejection::NodeOutside);
        }
        let is_leaf = matches!(own, Own::Leaf { .. });
        if node.is_leaf(key.depth()) != is_leaf || ancestors.len() != usize::from(node.level()) {
            return Err(Rejection::PieceShape);
        }
        let mut digest = node_digest(own.commitments(), own.children());
        for (child, Ancestor { commitments, sibling, .. }) in self.path() {
            let children = if child.is_right() { [sibling, &digest] } else { [&digest, sibling] };
            digest = node_digest(commitments, Some(children));
        }
        Ok(digest)
    }

    /// The ancestors, each with its child on the way to the node.
    pub(super) fn path(&self) -> impl Iterator<Item = (Node, &Ancestor)> {
        core::iter::once(self.node).chain(self.node.ancestors()).zip(&self.ancestors)
    }
}
