//! Small random systems of banks, the same in every run.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use feiqian_money::Minor;
use feiqian_wire::Name;

use crate::net::Obligation;

/// SplitMix64 (Steele, Lea, Flood 2014): enough to draw test cases.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number from 0 up to, not including, `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).checked_rem(bound).unwrap()
    }

    /// `length` obligations of 1 to `most` minor units between `count` banks, some of a bank with itself.
    pub(crate) fn obligations(&mut self, count: usize, length: usize, most: u64) -> Vec<Obligation> {
        let count = u64::try_from(count).unwrap();
        (0..length)
            .map(|_| obligation(self.below(count), self.below(count), self.below(most).saturating_add(1)))
            .collect()
    }
}

pub(crate) fn banks(count: usize) -> Vec<Name> {
    (0..count).map(|index| Name::new(format!("bank-{index}")).unwrap()).collect()
}

pub(crate) fn obligation(payer: u64, payee: u64, amount: u64) -> Obligation {
    Obligation {
        payer: Name::new(format!("bank-{payer}")).unwrap(),
        payee: Name::new(format!("bank-{payee}")).unwrap(),
        amount: Minor::new(amount).unwrap(),
    }
}
