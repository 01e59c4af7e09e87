//! The tree as the wallet makes it, before the bank signs its root.

use core::fmt;

use curve25519_dalek::ristretto::RistrettoBasepointTable;
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Node, VectorCommitment, node_digest};
use crate::acl::{Announcement, PendingCommitment, PublicKey, Slot, encode_doubles};
use crate::encoded::{Digest, EncodedPoint};
use crate::generators::{multiply_g, multiply_h0, multiply_h1};
use crate::transcript::Transcript;

/// 32 secret bytes from which the polynomials of one tree are drawn:
/// coordinate *i* of coefficient *j* at node *n* is `Hs("share-tree/coefficient"; seed, n, j, i)`, *j* from 1, *i* from 0.
///
/// # Security
///
/// One seed makes one coin: the same polynomials under two secrets show the difference of the secrets. So building
/// consumes it:
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::share_tree::*;
/// fn build_twice(builder: &TreeBuilder, seed: TreeSeed) {
///     builder.build(seed);
///     builder.build(seed);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::share_tree::*;
/// fn keep_a_copy(seed: &TreeSeed) -> TreeSeed {
///     TreeSeed::clone(seed)
/// }
/// ```
pub struct TreeSeed([u8; 32]);

impl TreeSeed {
    /// A fresh seed.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Self([0; 32]);
        rng.fill_bytes(&mut seed.0);
        seed
    }

    /// A seed that a wallet can make again from its own and all the bank said:
    /// `D("share-tree/seed"; seed, bank, account, session, i, Y, C, ν, A, B1, B2)`.
    #[must_use]
    pub fn derive(
        seed: &[u8],
        slot: &Slot<'_>,
        key: &PublicKey,
        commitment: &PendingCommitment,
        announcement: &Announcement,
    ) -> Self {
        let secret = slot.write(Transcript::new("share-tree/seed").bytes(seed)).point(key.encoded());
        Self(announcement.write(secret.point(commitment.encoded())).into_digest().0)
    }

    /// A seed of known bytes, for test vectors.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes, for test vectors.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0
    }

    pub(super) fn read(bytes: &[u8; 32]) -> Self {
        Self(*bytes)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn coefficient(&self, node: Node, power: u64) -> [Scalar; 4] {
        let secret = Transcript::new("share-tree/coefficient").bytes(&self.0).integer(node.into());
        let secret = secret.integer(power);
        [0, 1, 2, 3].map(|coordinate| secret.clone().integer(coordinate).into_scalar())
    }
}

impl fmt::Debug for TreeSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeSeed").finish_non_exhaustive()
    }
}

impl Drop for TreeSeed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for TreeSeed {}

/// Builds trees of coins under one key. From depth 4 on it makes a table of the multiples of *Z* (30 KiB), which costs
/// about 40 multiplications and is won back within two trees: keep the builder for all coins of a key.
pub struct TreeBuilder {
    key: PublicKey,
    z_table: Option<Box<RistrettoBasepointTable>>,
}

impl TreeBuilder {
    /// A builder for coins under this key.
    #[must_use]
    pub fn new(key: &PublicKey) -> Self {
        let worthwhile = key.depth().levels() >= 4;
        let table = || Box::new(RistrettoBasepointTable::create(key.z()));
        Self { key: *key, z_table: worthwhile.then(table) }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// Draws the polynomials of a tree and commits to them: 3·2^*d* − 2 commitments at depth *d*, 4 multiplications each.
    ///
    /// # Security
    ///
    /// Constant time.
    #[must_use]
    pub fn build(&self, seed: TreeSeed) -> UnsignedTree {
        let coefficients = self.coefficients(|node, power| seed.coefficient(node, power));
        self.commit(seed, coefficients)
    }

    /// A tree of chosen coefficients, given for node and power (1, and 2 unless the node is a leaf): what a dishonest
    /// customer may build. It cannot be read back from [`SecretTree::export`](super::SecretTree::export).
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn build_from(&self, coefficient: impl FnMut(Node, u64) -> [Scalar; 4]) -> UnsignedTree {
        self.commit(TreeSeed([0; 32]), self.coefficients(coefficient))
    }

    fn coefficients(&self, mut coefficient: impl FnMut(Node, u64) -> [Scalar; 4]) -> Vec<Polynomial> {
        let mut draw = |node: Node| {
            let powers = if node.is_leaf(self.key.depth()) { 1 } else { 2 };
            Polynomial((1..=powers).map(|power| coefficient(node, power)).collect())
        };
        Node::all(self.key.depth()).map(&mut draw).collect()
    }

    /// The commitment to *v*, taken of *v*/2: encoding the doubles of many points costs one field inversion.
    fn half_commitment(&self, vector: &[Scalar; 4]) -> [RistrettoPoint; 2] {
        let mut halves = vector.each_ref().map(Scalar::div_by_2);
        let [v0, v1, v2, v3] = &halves;
        let scale = self.z_table.as_ref().map_or_else(|| self.key.z() * v3, |table| &**table * v3);
        let points = [multiply_h0(v0) + multiply_h1(v1) + multiply_g(v2), scale];
        halves.zeroize();
        points
    }

    /// The encoded commitment to *v*.
    pub(super) fn commitment(&self, vector: &[Scalar; 4]) -> [EncodedPoint; 2] {
        encode_doubles(self.half_commitment(vector))
    }

    fn commit(&self, seed: TreeSeed, polynomials: Vec<Polynomial>) -> UnsignedTree {
        let vectors = polynomials.iter().flat_map(|polynomial| &polynomial.0);
        let halves: Vec<_> = vectors.flat_map(|vector| self.half_commitment(vector)).collect();
        let encoded = RistrettoPoint::double_and_compress_batch(&halves);
        let mut pairs = encoded.as_chunks().0.iter().map(|[vector, scale]| VectorCommitment {
            vector: EncodedPoint(vector.to_bytes()),
            scale: EncodedPoint(scale.to_bytes()),
        });
        let commitments =
            polynomials.iter().map(|each| pairs.by_ref().take(each.0.len()).collect()).collect();
        let mut tree = UnsignedTree { key: self.key, seed, polynomials, commitments, digests: Vec::new() };
        tree.hash();
        tree
    }
}

impl fmt::Debug for TreeBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeBuilder").field("key", &self.key).finish_non_exhaustive()
    }
}

/// The coefficients of a node's polynomial above the constant one: *x*₁, and *x*₂ unless it is a leaf.
struct Polynomial(Vec<[Scalar; 4]>);

impl Polynomial {
    /// ***k*** + *x*₁·*t* + *x*₂·*t*².
    fn at(&self, constant: &[Scalar; 4], point: &Scalar) -> [Scalar; 4] {
        let mut value = [Scalar::ZERO; 4];
        for coefficient in self.0.iter().rev().chain([constant]) {
            for (value, coordinate) in value.iter_mut().zip(coefficient) {
                *value = *value * point + coordinate;
            }
        }
        value
    }
}

impl Drop for Polynomial {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// A tree whose root waits for the bank's signature. Polynomials, commitments and digests stand in heap order.
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::{acl::*, share_tree::*};
/// fn two_coins(tree: UnsignedTree, commitments: [PendingCommitment; 2], announcement: &Announcement, blindings: [Blinding; 2]) {
///     let ([first, second], [one, other]) = (commitments, blindings);
///     tree.begin(first, announcement, one);
///     tree.begin(second, announcement, other);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::share_tree::*;
/// fn keep_a_copy(tree: &UnsignedTree) -> UnsignedTree {
///     UnsignedTree::clone(tree)
/// }
/// ```
pub struct UnsignedTree {
    key: PublicKey,
    seed: TreeSeed,
    polynomials: Vec<Polynomial>,
    commitments: Vec<Vec<VectorCommitment>>,
    digests: Vec<Digest>,
}

/// The place of a node in heap order, from 0.
fn place(node: Node) -> usize {
    usize::from(node.number()).saturating_sub(1)
}

impl UnsignedTree {
    /// Computes the digests from the leaves up.
    fn hash(&mut self) {
        self.digests = vec![Digest::ZERO; self.commitments.len()];
        for node in Node::all(self.key.depth()).rev() {
            let children = self.children(node);
            let digest = node_digest(self.commitments(node), children.as_ref().map(<[Digest; 2]>::each_ref));
            if let Some(slot) = self.digests.get_mut(place(node)) {
                *slot = digest;
            }
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The digest of the root, which the bank is to sign.
    #[must_use]
    pub fn root(&self) -> Digest {
        self.digest(Node::ROOT)
    }

    pub(super) fn seed(&self) -> &TreeSeed {
        &self.seed
    }

    /// The digest of a node of this tree.
    pub(super) fn digest(&self, node: Node) -> Digest {
        self.digests.get(place(node)).copied().unwrap_or(Digest::ZERO)
    }

    pub(super) fn children(&self, node: Node) -> Option<[Digest; 2]> {
        let inside = node.children().filter(|_| !node.is_leaf(self.key.depth()))?;
        Some(inside.map(|child| self.digest(child)))
    }

    pub(super) fn commitments(&self, node: Node) -> &[VectorCommitment] {
        self.commitments.get(place(node)).map_or(&[], Vec::as_slice)
    }

    /// f_n(*t*), if the tree has the node.
    pub(super) fn evaluate(&self, node: Node, constant: &[Scalar; 4], point: &Scalar) -> Option<[Scalar; 4]> {
        self.polynomials.get(place(node)).map(|polynomial| polynomial.at(constant, point))
    }
}

impl fmt::Debug for UnsignedTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnsignedTree").field("key", &self.key).finish_non_exhaustive()
    }
}

impl ZeroizeOnDrop for UnsignedTree {}
