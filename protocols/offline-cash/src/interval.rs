//! The minor units of a value coin that a chain covers.
//!
//! Hop 0's node covers a part of the coin, every later node the corresponding part of the part before. Values are powers
//! of two, so all parts are dyadic: two of them are disjoint, or one holds the other.

use feiqian_crypto::share_tree::Node;
use feiqian_money::Minor;

use crate::Rejection;

/// Minor units `start .. start + length` of a value coin; `length` is a power of two and divides `start`.
///
/// Ordered by start, then length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    start: u64,
    length: u64,
}

impl Interval {
    /// All units of a coin of this value.
    ///
    /// # Errors
    /// [`Rejection::PieceInvalid`] unless the value is a power of two.
    pub fn whole(value: Minor) -> Result<Self, Rejection> {
        let length = value.value();
        if !length.is_power_of_two() {
            return Err(Rejection::PieceInvalid("the coin's value is no power of two"));
        }
        Ok(Self { start: 0, length })
    }

    /// The interval of this start and length, as a store keeps it.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] unless the length is a power of two that divides the start.
    pub fn new(start: u64, length: u64) -> Result<Self, Rejection> {
        let end = start.checked_add(length);
        if !length.is_power_of_two() || start.checked_rem(length) != Some(0) || end.is_none() {
            return Err(Rejection::Malformed("interval"));
        }
        Ok(Self { start, length })
    }

    /// The part that a node spends; the root is the whole. `None` if the node is finer than one minor unit.
    #[must_use]
    pub fn part(self, node: Node) -> Option<Self> {
        let level = u32::from(node.level());
        let length = self.length.checked_shr(level).filter(|length| *length > 0)?;
        let first = 1_u64.checked_shl(level)?;
        let place = u64::from(node).checked_sub(first)?;
        let start = place.checked_mul(length)?.checked_add(self.start)?;
        Some(Self { start, length })
    }

    /// The first unit.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// How many units.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.length
    }

    /// The first unit after it.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// How many units, as money.
    #[must_use]
    pub fn value(self) -> Minor {
        Minor::new(self.length).unwrap_or(Minor::MAX)
    }

    /// Whether every unit of the other is one of this.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end() <= self.end()
    }

    /// Whether some unit is in both: then one holds the other.
    #[must_use]
    pub const fn overlaps(self, other: Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    /// All intervals that start inside, in the order of intervals.
    pub(crate) fn reach(self) -> core::ops::Range<Self> {
        Self { start: self.start, length: 0 }..Self { start: self.end(), length: 0 }
    }

    /// The interval of twice the length that holds it.
    #[must_use]
    pub fn parent(self) -> Option<Self> {
        let length = self.length.checked_mul(2)?;
        let start = self.start.checked_sub(self.start.checked_rem(length)?)?;
        Some(Self { start, length })
    }

    /// Its two halves, unless it is one unit.
    #[must_use]
    pub fn halves(self) -> Option<[Self; 2]> {
        let length = self.length.checked_shr(1).filter(|length| *length > 0)?;
        let middle = self.start.checked_add(length)?;
        Some([Self { start: self.start, length }, Self { start: middle, length }])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

    use std::collections::BTreeSet;

    use feiqian_crypto::acl::Depth;

    use super::*;

    fn whole(value: u64) -> Interval {
        Interval::whole(Minor::new(value).unwrap()).unwrap()
    }

    #[test]
    fn parts_are_those_of_the_heap_order() {
        let coin = whole(64);
        for node in Node::all(Depth::MAX) {
            let part = coin.part(node).unwrap();
            let level = u64::from(node.level());
            assert_eq!(part.length(), 64 >> level);
            assert_eq!(part.start(), (u64::from(node) - (1 << level)) * (64 >> level));
            if let Some(children) = node.children() {
                assert_eq!(part.halves().unwrap(), children.map(|child| coin.part(child).unwrap()));
                assert!(children.iter().all(|child| coin.part(*child).unwrap().parent() == Some(part)));
            }
            for other in Node::all(Depth::MAX) {
                assert_eq!(part.overlaps(coin.part(other).unwrap()), node.overlaps(other));
            }
        }
    }

    #[test]
    fn a_chain_goes_down_to_one_unit_and_no_further() {
        let half = whole(8).part(Node::new(3).unwrap()).unwrap();
        assert_eq!((half.start(), half.length(), half.end()), (4, 4, 8));
        let quarter = half.part(Node::new(6).unwrap()).unwrap();
        assert_eq!((quarter.start(), quarter.length()), (6, 1));
        assert_eq!(quarter.part(Node::ROOT), Some(quarter));
        assert_eq!((quarter.part(Node::new(2).unwrap()), quarter.halves()), (None, None));
        let leaves: BTreeSet<_> = (4..8).map(|leaf| half.part(Node::new(leaf).unwrap()).unwrap()).collect();
        assert_eq!(leaves.iter().map(|leaf| leaf.length()).sum::<u64>(), half.length());
    }

    #[test]
    fn only_dyadic_intervals_are_made() {
        assert!(Interval::whole(Minor::new(12).unwrap()).is_err() && Interval::whole(Minor::ZERO).is_err());
        assert!(Interval::new(4, 4).is_ok());
        for (start, length) in [(2, 4), (0, 0), (0, 3), (1 << 63, 1 << 63)] {
            assert!(Interval::new(start, length).is_err(), "{start} {length}");
        }
    }
}
