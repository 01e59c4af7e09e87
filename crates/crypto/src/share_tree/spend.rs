//! The wallet's coin: from the tree through the withdrawal to its spent nodes.

use core::fmt;
use std::sync::Arc;

use curve25519_dalek::Scalar;
use zeroize::{ZeroizeOnDrop, Zeroizing};

use super::tree::{TreeBuilder, TreeSeed, UnsignedTree};
use super::{Ancestor, Node, Own, Piece, Share, own_points, side};
use crate::acl::{
    self, Announcement, Answer, Blinding, Challenge, PendingCoin, PendingCommitment, PublicKey, SecretVector,
    Signature,
};
use crate::encoded::{Digest, EncodedScalar};
use crate::error::{Malformed, Misuse, Rejection};

impl UnsignedTree {
    /// Move 2 of the withdrawal: [`acl::blind`] with the root of this tree. Returns what stays and what travels.
    ///
    /// # Errors
    ///
    /// As [`acl::blind`].
    pub fn begin(
        self,
        commitment: PendingCommitment,
        announcement: &Announcement,
        blinding: Blinding,
    ) -> Result<(PendingTree, Challenge), Malformed> {
        let (pending, challenge) = acl::blind(self.key(), commitment, announcement, blinding, &self.root())?;
        Ok((PendingTree { tree: self, pending }, challenge))
    }
}

/// A tree whose root the bank has been asked to sign.
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::{acl::*, share_tree::*};
/// fn finish_twice(pending: PendingTree, first: &Answer, second: &Answer) {
///     pending.finish(first);
///     pending.finish(second);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::share_tree::*;
/// fn keep_a_copy(pending: &PendingTree) -> PendingTree {
///     PendingTree::clone(pending)
/// }
/// ```
#[derive(Debug)]
pub struct PendingTree {
    tree: UnsignedTree,
    pending: PendingCoin,
}

impl PendingTree {
    /// The challenge that this waits to be answered.
    #[must_use]
    pub fn challenge(&self) -> &Challenge {
        self.pending.challenge()
    }

    /// *m*, the name of the coin to come.
    #[must_use]
    pub fn message(&self) -> &Digest {
        self.pending.message()
    }

    /// Unblinds the bank's answer; the coin is verified.
    ///
    /// # Errors
    ///
    /// As [`PendingCoin::finish`].
    pub fn finish(self, answer: &Answer) -> Result<SecretTree, Rejection> {
        let message = *self.pending.message();
        let (signature, secret) = self.pending.finish(answer)?;
        Ok(SecretTree(Arc::new(Coin { tree: self.tree, secret, signature, message })))
    }
}

struct Coin {
    tree: UnsignedTree,
    secret: SecretVector,
    signature: Signature,
    message: Digest,
}

impl Coin {
    fn share(&self, node: Node, point: &Scalar) -> Result<Share, Misuse> {
        let value = self.tree.evaluate(node, self.secret.coordinates(), point);
        value.as_ref().map(Share::new).ok_or(Misuse::NodeOutside)
    }

    fn spend(&self, node: Node, challenge: &Scalar) -> Result<Piece, Misuse> {
        let depth = self.tree.key().depth();
        if !node.fits(depth) {
            return Err(Misuse::NodeOutside);
        }
        let points = own_points(challenge, node.is_leaf(depth)).ok_or(Misuse::ChallengePoints)?;
        let shares = points.iter().map(|point| self.share(node, point)).collect::<Result<Vec<_>, _>>()?;
        let own = match (shares.as_slice(), self.tree.commitments(node), self.tree.children(node)) {
            ([share], [commitment], None) => Own::Leaf { share: *share, commitment: *commitment },
            ([first, second], [c1, c2], Some(children)) => {
                Own::Inner { shares: [*first, *second], commitments: [*c1, *c2], children }
            }
            _ => return Err(Misuse::NodeOutside),
        };
        let path = core::iter::once(node).chain(node.ancestors()).zip(node.ancestors());
        let ancestors = path.map(|(child, node)| self.ancestor(child, node)).collect::<Result<_, _>>()?;
        Ok(Piece { signature: self.signature, node, own, ancestors })
    }

    fn ancestor(&self, child: Node, node: Node) -> Result<Ancestor, Misuse> {
        let share = self.share(node, &side(child))?;
        match (self.tree.commitments(node), child.sibling()) {
            ([c1, c2], Some(sibling)) => {
                Ok(Ancestor { share, commitments: [*c1, *c2], sibling: self.tree.digest(sibling) })
            }
            _ => Err(Misuse::NodeOutside),
        }
    }
}

/// A coin that its holder can spend.
///
/// # Security
///
/// Two answers of overlapping nodes give the holder away, to anybody who sees both. Within one program the types see
/// to it: the coin becomes nodes that do not overlap, a node becomes its two halves or is spent, and nothing of it can
/// be copied.
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::share_tree::*;
/// fn all_nodes_twice(coin: SecretTree) {
///     coin.into_nodes(&[]);
///     coin.into_nodes(&[]);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::share_tree::*;
/// fn keep_a_copy(coin: &SecretTree) -> SecretTree {
///     SecretTree::clone(coin)
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::share_tree::*;
/// fn must_serialize<T: serde::Serialize>() {}
/// must_serialize::<SecretTree>();
/// ```
///
/// What types cannot know is what was spent before a coin was written to disk and read back ([`export`](Self::export),
/// [`import`](Self::import)): that is the wallet store's to keep. It stores coin, node, challenge and the bytes of a
/// piece before the first byte leaves, retries the same bytes for the same challenge only, hands every node that was
/// ever answered to [`into_nodes`](Self::into_nodes), never imports one coin twice at a time, and after a restore from
/// the seed gives no share of an old coin at all.
pub struct SecretTree(Arc<Coin>);

impl SecretTree {
    /// Length in bytes of a stored coin: 416.
    pub const STORED_LENGTH: usize = 416;

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        self.0.tree.key()
    }

    /// *m*, the coin's name.
    #[must_use]
    pub fn message(&self) -> &Digest {
        &self.0.message
    }

    /// The digest of the root of its share tree.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.0.tree.root()
    }

    /// The bank's signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.0.signature
    }

    /// *γ*, which a claim on a lost coin reveals: *ζ* = *γZ* and *ζ*₁ = *γ*(*C* + *νG*).
    ///
    /// # Security
    ///
    /// It links the coin to its withdrawal.
    #[must_use]
    pub fn blinding_factor(&self) -> EncodedScalar {
        let [_, _, _, k3] = self.0.secret.coordinates();
        EncodedScalar::from(-k3)
    }

    /// The greatest nodes that overlap none of those that were answered before, ascending; all leaves of the coin that are
    /// still unspent lie under them. With nothing answered it is the root.
    #[must_use]
    pub fn into_nodes(self, answered: &[Node]) -> Vec<SecretNode> {
        let free = |node: &Node| !answered.iter().any(|other| other.overlaps(*node));
        let greatest = Node::all(self.key().depth())
            .filter(free)
            .filter(|node| !node.parent().is_some_and(|parent| free(&parent)));
        greatest.map(|node| SecretNode { coin: Arc::clone(&self.0), node }).collect()
    }

    /// The coin for the wallet's store, 416 bytes: the tree's seed, ***k***, the signature; zeroed when dropped.
    #[must_use]
    pub fn export(&self) -> Zeroizing<[u8; Self::STORED_LENGTH]> {
        let Coin { tree, secret, signature, .. } = &*self.0;
        let mut stored = Zeroizing::new([0; Self::STORED_LENGTH]);
        let secret = secret.coordinates().iter().flat_map(Scalar::as_bytes);
        let signature = signature.to_bytes();
        let parts = tree.seed().bytes().iter().chain(secret).chain(&signature);
        stored.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        stored
    }

    /// Reads a coin back and builds its tree again.
    ///
    /// # Errors
    ///
    /// [`Misuse::StoredCoin`] unless the bytes are a coin under the builder's key, with the secret that its signature
    /// commits to.
    ///
    /// # Security
    ///
    /// Constant time in the coin's secrets, among which its signature is until it is spent.
    pub fn import(builder: &TreeBuilder, stored: &[u8; Self::STORED_LENGTH]) -> Result<Self, Misuse> {
        let (seed, rest) = stored.split_first_chunk::<32>().ok_or(Misuse::StoredCoin)?;
        let (secret, rest) = rest.split_first_chunk::<128>().ok_or(Misuse::StoredCoin)?;
        let signature = Signature::from_bytes(rest).map_err(|_| Misuse::StoredCoin)?;
        let mut coordinates = Zeroizing::new([Scalar::ZERO; 4]);
        for (to, from) in coordinates.iter_mut().zip(secret.as_chunks().0) {
            *to = EncodedScalar(*from).decode().map_err(|_| Misuse::StoredCoin)?;
        }
        let secret = SecretVector::new(*coordinates);
        let tree = builder.build(TreeSeed::read(seed));
        let message = acl::verify_unspent(builder.key(), &tree.root(), &signature);
        let message = message.map_err(|_| Misuse::StoredCoin)?;
        let [zeta1, minus_zeta] = builder.commitment(secret.coordinates());
        let zeta = minus_zeta.decode().map(|point| (-point).into());
        if (zeta, zeta1) != (Ok(signature.zeta), signature.zeta1) {
            return Err(Misuse::StoredCoin);
        }
        Ok(Self(Arc::new(Coin { tree, secret, signature, message })))
    }

    /// Spends any node, as often as asked: what a modified wallet does.
    ///
    /// # Errors
    ///
    /// As [`SecretNode::spend`], and [`Misuse::NodeOutside`].
    ///
    /// # Security
    ///
    /// Overlapping nodes give the holder away.
    #[cfg(feature = "hazmat")]
    pub fn spend_again(&self, node: Node, challenge: &Scalar) -> Result<Piece, Misuse> {
        self.0.spend(node, challenge)
    }

    /// ***k***, for test vectors.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn secret(&self) -> &SecretVector {
        &self.0.secret
    }
}

impl fmt::Debug for SecretTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretTree").field("key", self.key()).finish_non_exhaustive()
    }
}

impl ZeroizeOnDrop for SecretTree {}

/// A node of a coin that was not spent, and nothing of whose subtree was: the right to spend it once.
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::{Scalar, share_tree::*};
/// fn spend_twice(node: SecretNode, first: &Scalar, second: &Scalar) {
///     node.spend(first);
///     node.spend(second);
/// }
/// ```
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::{Scalar, share_tree::*};
/// fn spend_whole_and_halves(node: SecretNode, challenge: &Scalar) {
///     let halves = node.divide();
///     node.spend(challenge);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::share_tree::*;
/// fn keep_a_copy(node: &SecretNode) -> SecretNode {
///     SecretNode::clone(node)
/// }
/// ```
pub struct SecretNode {
    coin: Arc<Coin>,
    node: Node,
}

impl SecretNode {
    /// Which node it is.
    #[must_use]
    pub fn node(&self) -> Node {
        self.node
    }

    /// *m*, the name of the coin.
    #[must_use]
    pub fn message(&self) -> &Digest {
        &self.coin.message
    }

    /// The left and the right half.
    ///
    /// # Errors
    ///
    /// The node itself if it is a leaf, which does not divide.
    pub fn divide(self) -> Result<[Self; 2], Self> {
        match self.node.children() {
            Some(children) if !self.node.is_leaf(self.coin.tree.key().depth()) => {
                Ok(children.map(|node| Self { coin: Arc::clone(&self.coin), node }))
            }
            _ => Err(self),
        }
    }

    /// Spends the node under a challenge. No group operation.
    ///
    /// # Errors
    ///
    /// [`Misuse::ChallengePoints`] if the challenge asks for a share at 0, 1 or 2, or twice at one point; a hash does not
    /// come out so. Nothing was answered then, and the store may hand the node out again.
    ///
    /// # Security
    ///
    /// Constant time in the coin's secrets. The piece is stored before it is sent.
    pub fn spend(self, challenge: &Scalar) -> Result<Piece, Misuse> {
        self.coin.spend(self.node, challenge)
    }
}

impl fmt::Debug for SecretNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretNode").field("node", &self.node).finish_non_exhaustive()
    }
}
