//! The share tree: an offline coin divides, and who spends a part of it twice is named.
//!
//! A coin of depth *d* is a binary tree of [`Node`]s. For every node the wallet draws a polynomial of 4-vectors whose
//! constant term is its secret ***k*** ([`SecretVector`](crate::acl::SecretVector)): of degree 2 at an inner node, of
//! degree 1 at a leaf. It commits to every other coefficient and puts the commitments into a Merkle tree, whose root the
//! coin's signature covers.
//!
//! ```text
//! f_n(t)     = k + x1·t + x2·t²        inner node          f_n(t) = k + x1·t        leaf
//! commit(v)  = ( v0·H0 + v1·H1 + v2·G ,  v3·Z )
//! digest(n)  = D("share-tree/leaf"; its 2 points)          D("share-tree/node"; its 4 points, left, right)
//! ```
//!
//! Spending node *n* under challenge *d* shows f_n(*d*), for an inner node also f_n(*d*₂) with
//! *d*₂ = `Hs("share-tree/second"; d)`; and of every ancestor *a* the value f_a(1) if *n* lies in its left half, f_a(2)
//! if in its right. Since *ζ*₁ and −*ζ* commit to ***k***, everybody can check a share:
//! commit(f_n(*t*)) = (*ζ*₁, −*ζ*) + *t*·C1 (+ *t*²·C2).
//!
//! Disjoint spends give an inner node at most two points of a polynomial of degree 2 and a leaf one point of a line:
//! the values are uniform whatever ***k*** is. Overlapping spends give some node three points, or a leaf two:
//! interpolating at 0 gives ***k***, so (*R*, *L1*, *ν*) = (*k*₀, *k*₁, *k*₂)/*γ* with *γ* = −*k*₃, the opening of the
//! commitment that the customer signed when it withdrew.
//!
//! | step | who | function |
//! |---|---|---|
//! | draw the polynomials, commit | wallet | [`TreeBuilder::build`] |
//! | withdraw | wallet, bank | [`UnsignedTree::begin`], [`acl::announce`](crate::acl::announce), [`PendingTree::finish`] |
//! | spend a node | wallet | [`SecretTree::into_nodes`], [`SecretNode::divide`], [`SecretNode::spend`] |
//! | check | anyone | [`Piece::message`], then [`Piece::verify`] or [`verify_all`] |
//! | name the cheat | bank | [`identify`], [`Opening::verify`] |
//!
//! # Security
//!
//! The pieces of one coin can be linked with each other (they show one *m*), never with a person or a withdrawal. As
//! long as no two of its shares overlap nobody but the holder can make another; afterwards whoever holds the shares can.

#[cfg(feature = "testing")]
pub mod arbitrary;
mod identify;
mod node;
mod piece;
mod spend;
mod tree;
mod verify;

pub use identify::{Opening, identify};
pub use node::Node;
pub use piece::{Ancestor, Own, Piece, Share, VectorCommitment};
pub use spend::{PendingTree, SecretNode, SecretTree};
pub use tree::{TreeBuilder, TreeSeed, UnsignedTree};
pub use verify::{Shown, VerifiedPiece, verify_all};

use curve25519_dalek::Scalar;

use crate::encoded::Digest;
use crate::transcript::Transcript;

/// The points at which a spend under challenge *d* shows its own node: *d*, and *d*₂ for an inner node. `None` if no holder
/// may answer at them.
fn own_points(challenge: &Scalar, is_leaf: bool) -> Option<Vec<Scalar>> {
    let second = Transcript::new("share-tree/second").scalar(challenge).into_scalar();
    let points = if is_leaf { vec![*challenge] } else { vec![*challenge, second] };
    may_answer(&points).then_some(points)
}

/// Whether none of the points is 0, where the secret is, or 1 or 2, which are the descendants', and no two are equal.
fn may_answer(points: &[Scalar]) -> bool {
    let forbidden = [Scalar::ZERO, Scalar::ONE, Scalar::from(2_u8)];
    let distinct =
        points.iter().enumerate().all(|(place, point)| !points.iter().take(place).any(|o| o == point));
    distinct && !points.iter().any(|point| forbidden.contains(point))
}

/// The point at which the nodes above show their value for a spend below `child`: 1 in the left half, 2 in the right.
fn side(child: Node) -> Scalar {
    Scalar::from(if child.is_right() { 2_u8 } else { 1_u8 })
}

/// The digest of a node, from its commitments and, if it is not a leaf, those of its halves.
fn node_digest(commitments: &[VectorCommitment], children: Option<[&Digest; 2]>) -> Digest {
    let label = if children.is_some() { "share-tree/node" } else { "share-tree/leaf" };
    let points =
        |transcript: Transcript, each: &VectorCommitment| transcript.point(&each.vector).point(&each.scale);
    let transcript = commitments.iter().fold(Transcript::new(label), points);
    children.into_iter().flatten().fold(transcript, Transcript::digest).into_digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No challenge is known whose *d*₂ is one of these: a hash does not come out so. The rule holds for it all the same.
    #[test]
    fn no_answer_at_0_1_2_or_twice_at_one_point() {
        let [three, four] = [3_u8, 4].map(Scalar::from);
        assert!(may_answer(&[three]) && may_answer(&[three, four]));
        assert!(!may_answer(&[three, three]));
        for forbidden in [0_u8, 1, 2].map(Scalar::from) {
            assert!(!may_answer(&[forbidden]));
            assert!(!may_answer(&[three, forbidden]) && !may_answer(&[forbidden, three]));
            assert_eq!(own_points(&forbidden, true), None);
            assert_eq!(own_points(&forbidden, false), None);
        }
        let points = own_points(&three, false);
        let second = Transcript::new("share-tree/second").scalar(&three).into_scalar();
        assert_eq!((points, own_points(&three, true)), (Some(vec![three, second]), Some(vec![three])));
    }
}
