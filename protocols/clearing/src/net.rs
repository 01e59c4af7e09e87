//! Net settlement: the obligations of a cycle, offset multilaterally, under prefunded caps.
//!
//! ```text
//! obligations of a cycle ──▶ position of a bank = what it is owed − what it owes    (all sum to zero)
//! settle: reserve every net debit in the hub, then pay every net credit out of it   (the hub ends at zero)
//! ```
//!
//! A cap bounds a bank's net debit by the cover it has put up, counted **cumulatively** over everything admitted
//! so far, inside a batch too. So what was admitted can always be settled; what was not is queued or returned.

use std::collections::BTreeMap;

use feiqian_money::{Minor, MoneyError};
use feiqian_wire::Name;

/// One bank owes another. All obligations of a cycle are of one currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obligation {
    /// The bank that owes.
    pub payer: Name,
    /// The bank that is owed.
    pub payee: Name,
    /// How much, in minor units of the cycle's currency.
    pub amount: Minor,
}

/// The net position of every bank that took part: positive is owed to it, negative it owes.
///
/// Invariant: the positions sum to zero, because each obligation enters twice with opposite signs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<Name, i128>);

/// How a set of positions is settled: first all of `reserve`, bank by bank into the hub, then all of `credit` out
/// of it. The sums are equal, so the hub is zero before and after.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Net debits, by bank.
    pub reserve: Vec<(Name, Minor)>,
    /// Net credits, by bank.
    pub credit: Vec<(Name, Minor)>,
}

impl Positions {
    /// Positions of these obligations. Inside one bank nothing is owed.
    ///
    /// # Errors
    /// As [`Positions::add`].
    pub fn of<'a>(obligations: impl IntoIterator<Item = &'a Obligation>) -> Result<Self, MoneyError> {
        let mut positions = Self::default();
        obligations.into_iter().try_for_each(|obligation| positions.add(obligation))?;
        Ok(positions)
    }

    /// Adds an obligation to both sides.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] past 2^64 obligations of the largest amount; nothing has changed then.
    pub fn add(&mut self, obligation: &Obligation) -> Result<(), MoneyError> {
        if obligation.payer == obligation.payee {
            return Ok(());
        }
        let amount = i128::from(obligation.amount.value());
        let payer = self.of_bank(&obligation.payer).checked_sub(amount).ok_or(MoneyError::Overflow)?;
        let payee = self.of_bank(&obligation.payee).checked_add(amount).ok_or(MoneyError::Overflow)?;
        self.0.insert(obligation.payer.clone(), payer);
        self.0.insert(obligation.payee.clone(), payee);
        Ok(())
    }

    /// The position of a bank; zero for one that took no part.
    #[must_use]
    pub fn of_bank(&self, bank: &Name) -> i128 {
        self.0.get(bank).copied().unwrap_or(0)
    }

    /// All positions, by bank.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, i128)> {
        self.0.iter().map(|(bank, position)| (bank, *position))
    }

    /// The sum of all positions: zero, or something is broken.
    #[must_use]
    pub fn sum(&self) -> i128 {
        self.0.values().fold(0_i128, |sum, position| sum.saturating_add(*position))
    }

    /// Net debits to reserve and net credits to pay; banks at zero have neither.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`] when a position is above [`Minor::MAX`].
    pub fn settlement(&self) -> Result<Settlement, MoneyError> {
        let mut settlement = Settlement::default();
        for (bank, position) in self.iter().filter(|(_, position)| *position != 0) {
            let size = u64::try_from(position.unsigned_abs()).map_err(|_| MoneyError::Overflow)?;
            let side = if position < 0 { &mut settlement.reserve } else { &mut settlement.credit };
            side.push((bank.clone(), Minor::new(size)?));
        }
        Ok(settlement)
    }
}

/// What becomes of an item that wants to enter a cycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It is in the cycle.
    Admitted,
    /// It would take its payer's net debit above the cap: queue it or return it.
    OverCap,
}

/// The open cycle's positions under prefunded caps.
///
/// A bank without an entry in `caps` has none: it may not owe anything, net.
#[derive(Debug, Clone, Default)]
pub struct CappedCycle {
    caps: BTreeMap<Name, Minor>,
    positions: Positions,
}

impl CappedCycle {
    /// An empty cycle. `caps`: the cover each bank has put up.
    #[must_use]
    pub fn new(caps: BTreeMap<Name, Minor>) -> Self {
        Self { caps, positions: Positions::default() }
    }

    /// Lets an item in, if its payer's net debit stays within the cap with all that was admitted before.
    ///
    /// # Errors
    /// As [`Positions::add`].
    pub fn admit(&mut self, item: &Obligation) -> Result<Admission, MoneyError> {
        let cap = self.caps.get(&item.payer).copied().unwrap_or(Minor::ZERO);
        let amount = i128::from(item.amount.value());
        let after = self.positions.of_bank(&item.payer).checked_sub(amount).ok_or(MoneyError::Overflow)?;
        let debit = after.checked_neg().ok_or(MoneyError::Overflow)?;
        if debit > i128::from(cap.value()) && item.payer != item.payee {
            return Ok(Admission::OverCap);
        }
        self.positions.add(item)?;
        Ok(Admission::Admitted)
    }

    /// Decides a batch in its order; each item sees those admitted before it.
    ///
    /// # Errors
    /// As [`Positions::add`].
    pub fn admit_all(&mut self, batch: &[Obligation]) -> Result<Vec<Admission>, MoneyError> {
        batch.iter().map(|item| self.admit(item)).collect()
    }

    /// The positions of what was admitted.
    #[must_use]
    pub fn positions(&self) -> &Positions {
        &self.positions
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]

    use super::*;
    use crate::testing::{Draw, banks, obligation};

    #[test]
    fn three_banks_by_hand() {
        let obligations =
            [obligation(0, 1, 100), obligation(1, 2, 70), obligation(2, 0, 90), obligation(1, 1, 5)];
        let positions = Positions::of(&obligations).unwrap();
        let found: Vec<i128> = banks(4).iter().map(|bank| positions.of_bank(bank)).collect();
        assert_eq!(found, [-10, 30, -20, 0]);
        let settlement = positions.settlement().unwrap();
        let named = |index: usize, amount| (banks(3).remove(index), Minor::new(amount).unwrap());
        assert_eq!(settlement.reserve, [named(0, 10), named(2, 20)]);
        assert_eq!(settlement.credit, [named(1, 30)]);
    }

    #[test]
    fn positions_sum_to_zero_and_settlements_balance() {
        let mut draw = Draw::new(1);
        for _ in 0..3_000 {
            let obligations = draw.obligations(6, 40, 1_000);
            let positions = Positions::of(&obligations).unwrap();
            assert_eq!(positions.sum(), 0);
            for bank in banks(6) {
                let side = |of: fn(&Obligation) -> &Name| -> i128 {
                    let its = obligations.iter().filter(|obligation| *of(obligation) == bank);
                    its.map(|obligation| i128::from(obligation.amount.value())).sum()
                };
                assert_eq!(positions.of_bank(&bank), side(|it| &it.payee) - side(|it| &it.payer));
            }
            let settlement = positions.settlement().unwrap();
            let total = |side: &[(Name, Minor)]| Minor::sum(side.iter().map(|(_, amount)| *amount)).unwrap();
            assert_eq!(total(&settlement.reserve), total(&settlement.credit));
        }
    }

    #[test]
    fn amounts_at_the_limit_neither_wrap_nor_settle_silently() {
        let largest = obligation(0, 1, Minor::MAX.value());
        let positions = Positions::of([&largest, &largest]).unwrap();
        assert_eq!(positions.sum(), 0);
        assert_eq!(positions.settlement(), Err(MoneyError::Overflow));
    }

    #[test]
    fn a_cap_is_counted_cumulatively_inside_a_batch() {
        let caps = BTreeMap::from([(banks(1).remove(0), Minor::new(100).unwrap())]);
        let mut cycle = CappedCycle::new(caps);
        let batch = [
            obligation(0, 1, 60),
            obligation(0, 2, 60),  // 120 together: over, though alone it would fit
            obligation(0, 2, 40),  // exactly the cap
            obligation(0, 1, 1),   // over
            obligation(1, 0, 50),  // bank 1 is owed 60, so it may owe 50 without any cap
            obligation(0, 2, 50),  // that made room
            obligation(1, 2, 11),  // bank 1 has 10 left
            obligation(0, 0, 999), // moves nothing
        ];
        use Admission::{Admitted, OverCap};
        let expected = [Admitted, OverCap, Admitted, OverCap, Admitted, Admitted, OverCap, Admitted];
        assert_eq!(cycle.admit_all(&batch).unwrap(), expected);
    }

    #[test]
    fn what_was_admitted_never_exceeds_a_cap_and_what_was_refused_would() {
        let mut draw = Draw::new(2);
        for _ in 0..3_000 {
            let caps: BTreeMap<Name, Minor> =
                banks(4).into_iter().map(|bank| (bank, Minor::new(draw.below(60)).unwrap())).collect();
            let mut cycle = CappedCycle::new(caps.clone());
            for item in draw.obligations(4, 30, 50) {
                let before = cycle.positions().of_bank(&item.payer);
                let debit = i128::from(item.amount.value()) - before;
                let fits = item.payer == item.payee || debit <= i128::from(caps[&item.payer].value());
                assert_eq!(cycle.admit(&item).unwrap() == Admission::Admitted, fits);
                for (bank, position) in cycle.positions().iter() {
                    assert!(-position <= i128::from(caps[bank].value()), "{bank} exceeds its cap");
                }
            }
        }
    }
}
