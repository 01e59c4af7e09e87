//! Gridlock resolution for the queue of gross settlement.
//!
//! Items wait when their payer lacks cover, each bank's in the order they came. Alone none may be able to go, and
//! yet together they can: A owes B, B owes C, C owes A. What is released is a set made of one *prefix* of each
//! bank's queue (first in, first out) that leaves no bank below zero.
//!
//! Such sets are closed under union: taking the longer prefix of each bank only adds incoming items for a bank
//! that keeps its own prefix. So there is one greatest set, and it is found from above: start with everything;
//! while some bank would be negative, drop the last item of such a bank. A dropped item can be in no feasible set
//! inside the current one, whatever the order of dropping.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_money::Minor;
use feiqian_wire::Name;

use crate::net::Obligation;

/// The greatest releasable set, as indices into `queue` in rising order.
///
/// `balances`: what each bank holds on its settlement account; a bank that is missing holds nothing. `queue`: all
/// waiting items, oldest first; all of one currency. An item inside one bank moves nothing, but keeps its place
/// in the order.
///
/// Time: each item is looked at twice and each drop costs one step in a tree of banks.
#[must_use]
pub fn resolve(balances: &BTreeMap<Name, Minor>, queue: &[Obligation]) -> Vec<usize> {
    let mut after: BTreeMap<&Name, i128> =
        balances.iter().map(|(bank, balance)| (bank, i128::from(balance.value()))).collect();
    let mut prefixes: BTreeMap<&Name, Vec<(usize, &Obligation)>> = BTreeMap::new();
    for (index, item) in queue.iter().enumerate() {
        shift(&mut after, item, 1);
        prefixes.entry(&item.payer).or_default().push((index, item));
    }
    let mut negative: BTreeSet<&Name> =
        after.iter().filter(|(_, balance)| **balance < 0).map(|(bank, _)| *bank).collect();
    while let Some(bank) = negative.pop_first() {
        // A bank below zero owes more than it gets, so it has an item left to drop.
        let Some((_, dropped)) = prefixes.get_mut(bank).and_then(Vec::pop) else { continue };
        shift(&mut after, dropped, -1);
        for side in [&dropped.payer, &dropped.payee] {
            if after.get(side).is_some_and(|balance| *balance < 0) {
                negative.insert(side);
            }
        }
    }
    let mut released: Vec<usize> = prefixes.into_values().flatten().map(|(index, _)| index).collect();
    released.sort_unstable();
    released
}

/// Books an item (`sign` 1) or takes it back (−1). In 128 bits no queue that fits in memory overflows.
fn shift<'a>(after: &mut BTreeMap<&'a Name, i128>, item: &'a Obligation, sign: i128) {
    let amount = i128::from(item.amount.value()).saturating_mul(sign);
    let payer = after.entry(&item.payer).or_insert(0);
    *payer = payer.saturating_sub(amount);
    let payee = after.entry(&item.payee).or_insert(0);
    *payee = payee.saturating_add(amount);
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

    fn balances(minor: &[u64]) -> BTreeMap<Name, Minor> {
        banks(minor.len()).into_iter().zip(minor.iter().map(|it| Minor::new(*it).unwrap())).collect()
    }

    /// Whether releasing the first `prefix[b]` items of every bank leaves nobody below zero; the items if so.
    fn feasible(
        balances: &BTreeMap<Name, Minor>,
        queue: &[Obligation],
        prefix: &[usize],
        names: &[Name],
    ) -> Option<Vec<usize>> {
        let mut seen = vec![0; names.len()];
        let mut after: Vec<i128> = names
            .iter()
            .map(|name| balances.get(name).map_or(0, |balance| i128::from(balance.value())))
            .collect();
        let mut released = Vec::new();
        for (index, item) in queue.iter().enumerate() {
            let payer = names.iter().position(|name| *name == item.payer).unwrap();
            let payee = names.iter().position(|name| *name == item.payee).unwrap();
            if seen[payer] < prefix[payer] {
                after[payer] -= i128::from(item.amount.value());
                after[payee] += i128::from(item.amount.value());
                released.push(index);
            }
            seen[payer] += 1;
        }
        after.iter().all(|balance| *balance >= 0).then_some(released)
    }

    /// Every prefix vector there is, tried in turn; answers with all feasible sets.
    fn brute_force(
        balances: &BTreeMap<Name, Minor>,
        queue: &[Obligation],
        names: &[Name],
    ) -> Vec<Vec<usize>> {
        let lengths: Vec<usize> =
            names.iter().map(|name| queue.iter().filter(|item| item.payer == *name).count()).collect();
        let mut prefix = vec![0; names.len()];
        let mut found = Vec::new();
        loop {
            found.extend(feasible(balances, queue, &prefix, names));
            let Some(next) = (0..names.len()).find(|bank| prefix[*bank] < lengths[*bank]) else {
                return found;
            };
            prefix[next] += 1;
            prefix[..next].fill(0);
        }
    }

    #[test]
    fn a_circle_without_any_cover_is_released_whole() {
        let queue = [obligation(0, 1, 50), obligation(1, 2, 50), obligation(2, 0, 50)];
        assert_eq!(resolve(&BTreeMap::new(), &queue), [0, 1, 2]);
    }

    #[test]
    fn one_unit_short_releases_nothing() {
        let queue = [obligation(0, 1, 50), obligation(1, 2, 51), obligation(2, 0, 50)];
        assert!(resolve(&BTreeMap::new(), &queue).is_empty());
        assert_eq!(resolve(&balances(&[0, 1, 0]), &queue), [0, 1, 2]);
    }

    #[test]
    fn a_small_item_does_not_overtake_a_large_one_of_its_bank() {
        let queue = [obligation(0, 1, 100), obligation(0, 1, 1), obligation(1, 0, 10)];
        assert_eq!(resolve(&balances(&[5, 10]), &queue), [2]);
        assert!(resolve(&balances(&[5, 0]), &queue).is_empty());
    }

    #[test]
    fn it_equals_brute_force_and_the_greatest_set_is_unique() {
        let mut draw = Draw::new(3);
        let (mut some, mut none, mut all) = (0, 0, 0);
        for _ in 0..6_000 {
            let count = 2 + usize::try_from(draw.below(3)).unwrap();
            let cover: Vec<u64> = (0..count).map(|_| draw.below(25)).collect();
            let (balances, names) = (balances(&cover), banks(count));
            let length = usize::try_from(draw.below(9)).unwrap();
            let queue = draw.obligations(count, length, 40);
            let sets = brute_force(&balances, &queue, &names);
            let greatest = sets.iter().max_by_key(|set| set.len()).unwrap();
            for set in &sets {
                assert!(set.iter().all(|item| greatest.contains(item)), "{set:?} is not inside {greatest:?}");
            }
            assert_eq!(&resolve(&balances, &queue), greatest);
            match greatest.len() {
                0 if !queue.is_empty() => none += 1,
                released if released == queue.len() => all += 1,
                _ => some += 1,
            }
        }
        assert!(some > 500 && none > 100 && all > 500, "all cases occur: {some} {none} {all}");
    }

    #[test]
    fn what_is_released_is_feasible_for_large_systems() {
        let mut draw = Draw::new(4);
        let names = banks(40);
        for _ in 0..20 {
            let cover: Vec<u64> = (0..40).map(|_| draw.below(2_000)).collect();
            let balances = balances(&cover);
            let queue = draw.obligations(40, 2_000, 1_000);
            let released = resolve(&balances, &queue);
            let prefix: Vec<usize> = names
                .iter()
                .map(|name| released.iter().filter(|index| queue[**index].payer == *name).count())
                .collect();
            assert_eq!(feasible(&balances, &queue, &prefix, &names), Some(released));
        }
    }
}
