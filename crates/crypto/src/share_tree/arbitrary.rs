//! Proptest strategies for what travels: well formed, spent by nobody.

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Ancestor, Node, Opening, Own, Piece, Share, VectorCommitment};
use crate::acl::arbitrary::arb_signature;
use crate::encoded::arbitrary::{arb_digest, arb_encoded_point, arb_encoded_scalar};

/// Any node of the deepest tree.
pub fn arb_node() -> impl Strategy<Value = Node> {
    (1_u8..=127).prop_filter_map("not a node", |number| Node::try_from(number).ok())
}

/// A share of no polynomial.
pub fn arb_share() -> impl Strategy<Value = Share> {
    proptest::array::uniform4(arb_encoded_scalar()).prop_map(Share)
}

/// A commitment that nobody can open.
pub fn arb_vector_commitment() -> impl Strategy<Value = VectorCommitment> {
    (arb_encoded_point(), arb_encoded_point()).prop_map(|(vector, scale)| VectorCommitment { vector, scale })
}

/// A node above another.
pub fn arb_ancestor() -> impl Strategy<Value = Ancestor> {
    (arb_share(), [arb_vector_commitment(), arb_vector_commitment()], arb_digest())
        .prop_map(|(share, commitments, sibling)| Ancestor { share, commitments, sibling })
}

/// A leaf or an inner node.
pub fn arb_own() -> impl Strategy<Value = Own> {
    let leaf = (arb_share(), arb_vector_commitment());
    let inner = ([arb_share(), arb_share()], [arb_vector_commitment(), arb_vector_commitment()]);
    prop_oneof![
        leaf.prop_map(|(share, commitment)| Own::Leaf { share, commitment }),
        (inner, [arb_digest(), arb_digest()]).prop_map(|((shares, commitments), children)| Own::Inner {
            shares,
            commitments,
            children
        }),
    ]
}

/// A piece with the ancestors that its node has.
pub fn arb_piece() -> impl Strategy<Value = Piece> {
    arb_node().prop_flat_map(|node| {
        let ancestors = vec(arb_ancestor(), usize::from(node.level()));
        (arb_signature(), arb_own(), ancestors).prop_map(move |(signature, own, ancestors)| Piece {
            signature,
            node,
            own,
            ancestors,
        })
    })
}

/// An opening of nothing.
pub fn arb_opening() -> impl Strategy<Value = Opening> {
    proptest::array::uniform3(arb_encoded_scalar()).prop_map(|[r, identity_secret, nu]| Opening {
        r,
        identity_secret,
        nu,
    })
}
