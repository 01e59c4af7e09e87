//! The cheque book: numbers that a bank allots to an account, each good for one cheque.

use feiqian_wire::U64;
use serde::{Deserialize, Serialize};

use crate::content::AccountToken;
use crate::error::ChequeError;

/// The most leaves of one book.
pub const MAX_LEAVES: u32 = 100;

/// A cheque book: consecutive numbers of one account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Allotment {
    /// The account.
    pub account: AccountToken,
    /// The first number, from 1.
    pub first: U64,
    /// How many: 1 to [`MAX_LEAVES`].
    pub leaves: u32,
}

impl Allotment {
    /// The next book of an account. `last`: the highest number allotted so far, 0 for none.
    ///
    /// # Errors
    /// [`ChequeError::Misuse`] for no or too many leaves, or when the numbers are used up.
    pub fn after(account: AccountToken, last: u64, leaves: u32) -> Result<Self, ChequeError> {
        if !(1..=MAX_LEAVES).contains(&leaves) {
            return Err(ChequeError::Misuse("a cheque book has 1 to 100 leaves"));
        }
        match last.checked_add(u64::from(leaves)) {
            Some(_) => Ok(Self { account, first: U64(last.saturating_add(1)), leaves }),
            None => Err(ChequeError::Misuse("no cheque numbers are left")),
        }
    }

    /// The numbers, in order.
    pub fn numbers(&self) -> impl Iterator<Item = U64> + use<> {
        let first = self.first.0;
        (0..u64::from(self.leaves.min(MAX_LEAVES))).filter_map(move |index| first.checked_add(index)).map(U64)
    }

    /// Is the number of this book?
    #[must_use]
    pub fn contains(&self, number: U64) -> bool {
        number.0.checked_sub(self.first.0).is_some_and(|index| index < u64::from(self.leaves))
    }

    /// Tears out a leaf. The caller has recorded, durably, that its number is used.
    ///
    /// # Errors
    /// [`ChequeError::Misuse`] when the number is not of this book.
    pub fn tear_out(&self, number: U64) -> Result<Leaf, ChequeError> {
        if self.contains(number) {
            Ok(Leaf { account: self.account.clone(), number })
        } else {
            Err(ChequeError::Misuse("the number is not of this cheque book"))
        }
    }
}

/// One leaf of a cheque book. Drawing a cheque consumes it, so that a number is not drawn twice:
///
/// ```compile_fail,E0382
/// # use feiqian_cheque::{Leaf, Order, Signer, draw};
/// fn twice(leaf: Leaf, order: Order, signer: &Signer<'_>) {
///     let first = draw(leaf, order.clone(), signer);
///     let second = draw(leaf, order, signer); // use of moved value: `leaf`
/// }
/// ```
///
/// Nor can it be copied:
///
/// ```compile_fail,E0599
/// # use feiqian_cheque::Leaf;
/// fn copy(leaf: &Leaf) -> Leaf {
///     leaf.clone()
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Leaf {
    account: AccountToken,
    number: U64,
}

impl Leaf {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> U64 {
        self.number
    }

    pub(crate) fn into_parts(self) -> (AccountToken, U64) {
        (self.account, self.number)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn account() -> AccountToken {
        AccountToken::new("a1").unwrap()
    }

    #[test]
    fn books_follow_each_other_without_gap_or_overlap() {
        let first = Allotment::after(account(), 0, 10).unwrap();
        let numbers: Vec<u64> = first.numbers().map(|number| number.0).collect();
        assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
        let second = Allotment::after(account(), 10, 2).unwrap();
        assert_eq!(second.numbers().map(|number| number.0).collect::<Vec<_>>(), [11, 12]);
        assert!(!first.contains(U64(0)) && first.contains(U64(10)) && !first.contains(U64(11)));
        assert!(second.tear_out(U64(10)).is_err());
        assert_eq!(second.tear_out(U64(11)).unwrap().number(), U64(11));
    }

    #[test]
    fn sizes_are_bounded() {
        assert!(Allotment::after(account(), 0, 0).is_err());
        assert!(Allotment::after(account(), 0, 101).is_err());
        assert!(Allotment::after(account(), u64::MAX, 1).is_err());
        let huge = Allotment { account: account(), first: U64(u64::MAX), leaves: u32::MAX };
        assert_eq!(huge.numbers().count(), 1);
    }
}
