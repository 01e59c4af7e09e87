//! Nodes of a binary tree in heap order.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize};

use crate::acl::Depth;
use crate::error::Malformed;

/// A node of a share tree in heap order: the root is 1, the children of *n* are 2*n* and 2*n* + 1. From 1 to 127, the
/// nodes of the deepest tree; whether a tree is deep enough for it is a question to [`fits`](Self::fits).
///
/// The node at level *j* is worth 1/2^*j* of the coin. Spending a node spends its subtree.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Node(u8);

impl Node {
    /// The whole coin.
    pub const ROOT: Self = Self(1);
    const LAST: u8 = 127;

    /// The node of this number.
    ///
    /// # Errors
    ///
    /// [`Malformed::Node`] unless it is from 1 to 127.
    pub fn new(number: u64) -> Result<Self, Malformed> {
        match u8::try_from(number) {
            Ok(number @ 1..=Self::LAST) => Ok(Self(number)),
            _ => Err(Malformed::Node),
        }
    }

    /// All nodes of a tree, ascending.
    pub fn all(depth: Depth) -> impl DoubleEndedIterator<Item = Self> + Clone {
        (1..=Self::LAST >> Depth::MAX.levels().saturating_sub(depth.levels())).map(Self)
    }

    /// The number, from 1 to 127.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// How far below the root it stands, from 0 to 6.
    #[must_use]
    pub fn level(self) -> u8 {
        let level = (1..=Depth::MAX.levels()).find(|level| self.0 >> level == 1);
        level.unwrap_or_default()
    }

    /// The node above; the root has none.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        (self.0 > 1).then_some(Self(self.0 >> 1))
    }

    /// The nodes above, nearest first.
    pub fn ancestors(self) -> impl Iterator<Item = Self> {
        core::iter::successors(self.parent(), |node| node.parent())
    }

    /// The two halves, left and right; the deepest nodes have none.
    #[must_use]
    pub fn children(self) -> Option<[Self; 2]> {
        let left = self.0.checked_shl(1).filter(|_| self.0 <= Self::LAST >> 1)?;
        Some([Self(left), Self(left | 1)])
    }

    /// The other child of its parent; the root has none.
    #[must_use]
    pub fn sibling(self) -> Option<Self> {
        (self.0 > 1).then_some(Self(self.0 ^ 1))
    }

    /// Whether it is the right child of its parent.
    #[must_use]
    pub fn is_right(self) -> bool {
        self.0 > 1 && self.0 & 1 == 1
    }

    /// Whether one of the two is the other or its ancestor: whoever spends both spends some unit twice.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let (upper, lower) = if self.0 <= other.0 { (self, other) } else { (other, self) };
        lower == upper || lower.ancestors().any(|ancestor| ancestor == upper)
    }

    /// Whether a tree of this depth has the node.
    #[must_use]
    pub fn fits(self, depth: Depth) -> bool {
        self.level() <= depth.levels()
    }

    /// Whether it is one of the units into which a tree of this depth divides.
    #[must_use]
    pub fn is_leaf(self, depth: Depth) -> bool {
        self.level() == depth.levels()
    }
}

impl From<Node> for u64 {
    fn from(node: Node) -> Self {
        node.0.into()
    }
}

impl TryFrom<u8> for Node {
    type Error = Malformed;

    fn try_from(number: u8) -> Result<Self, Malformed> {
        Self::new(number.into())
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({})", self.0)
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer)
            .and_then(|number| Self::try_from(number).map_err(serde::de::Error::custom))
    }
}
