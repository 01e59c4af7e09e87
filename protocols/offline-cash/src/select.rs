//! The fewest pieces for an amount.
//!
//! What a wallet can spend is a list of nodes, each worth a power of two and divisible down to another. A selection gives
//! every node a part *aᵢ* of it, as one piece for every bit of *aᵢ*; it is *whole* when *aᵢ* is all the node is worth.
//!
//! In a selection of the fewest pieces at most one node that is not whole gives a piece of any size: of two, one could
//! hand its piece to the other, which then gives fewer. So the amount is the sum of some whole nodes and of a number *P*
//! whose every bit some other node can give. Among nodes of equal worth the coarsest are taken whole first, so a size
//! with a node left can give whatever its finest node can. A dynamic programme over the bits, from the lowest, with the
//! carry and the lowest bit of *P* that no node has given yet as its state, finds the fewest pieces exactly.

use std::collections::BTreeMap;

use crate::{MAX_PIECES, Rejection};

/// The greatest exponent of a candidate: no coin is worth more than 2¹⁸ minor units.
const LEVELS: u32 = 40;

/// How many amounts are looked at for one that takes no more than [`MAX_PIECES`] pieces.
const ATTEMPTS: usize = 64;

/// A node that may be spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// It is worth 2 to this power, minor units; at most 40.
    pub size: u32,
    /// It divides down to 2 to this power; at most `size`.
    pub grain: u32,
}

/// What one candidate gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its place among the candidates.
    pub candidate: usize,
    /// Its pieces, as exponents of two, descending, each once.
    pub exponents: Vec<u32>,
}

/// All candidates of one worth.
#[derive(Debug, Clone, Copy)]
struct Class {
    count: u32,
    finest: u32,
}

/// Carry into the level, and the lowest bit of *P* that waits for a node.
type State = (u32, Option<u32>);

/// One choice at one level: whole nodes, and whether *P* has the bit.
#[derive(Debug, Clone, Copy)]
struct Choice {
    whole: u32,
    partial: bool,
}

impl Choice {
    fn pieces(self) -> u32 {
        self.whole.saturating_add(self.partial.into())
    }

    /// The state after this choice at a level, and the amount's bit there.
    fn step(self, (carry, waiting): State, level: u32, class: Option<&Class>) -> (State, u64) {
        let given = class.filter(|class| self.whole < class.count);
        let waiting = waiting.filter(|bit| given.is_none_or(|class| class.finest > *bit));
        let waiting = waiting.or(self.partial.then_some(level));
        let sum = carry.saturating_add(self.pieces());
        ((sum >> 1, waiting), u64::from(sum & 1))
    }
}

fn choices(class: Option<&Class>, most: u32) -> impl Iterator<Item = Choice> {
    let count = class.map_or(0, |class| class.count).min(most);
    (0..=count).flat_map(|whole| [false, true].map(|partial| Choice { whole, partial }))
}

struct Classes(BTreeMap<u32, Class>);

impl Classes {
    fn of(candidates: &[Candidate]) -> Self {
        let mut classes = BTreeMap::new();
        for Candidate { size, grain } in candidates {
            let class = classes.entry(*size).or_insert(Class { count: 0, finest: *grain });
            class.count = class.count.saturating_add(1);
            class.finest = class.finest.min(*grain);
        }
        Self(classes)
    }

    /// The levels at which a choice can be made, from the lowest.
    fn levels(&self) -> core::ops::RangeInclusive<u32> {
        0..=self.0.keys().next_back().copied().unwrap_or(0)
    }

    /// The fewest pieces for exactly `amount`: the choice at each level, ascending.
    fn fewest(&self, amount: u64, most: u32) -> Option<Vec<Choice>> {
        let mut best: BTreeMap<State, u32> = [((0, None), 0)].into();
        let mut steps: Vec<BTreeMap<State, (State, Choice)>> = Vec::new();
        for level in self.levels() {
            let class = self.0.get(&level);
            let mut next: BTreeMap<State, u32> = BTreeMap::new();
            let mut from = BTreeMap::new();
            for (state, cost) in &best {
                for choice in choices(class, most.saturating_sub(*cost)) {
                    let (after, bit) = choice.step(*state, level, class);
                    let cost = cost.saturating_add(choice.pieces());
                    let better = next.get(&after).is_none_or(|known| cost < *known);
                    if bit == amount >> level & 1 && cost <= most && better {
                        next.insert(after, cost);
                        from.insert(after, (*state, choice));
                    }
                }
            }
            best = next;
            steps.push(from);
        }
        let above = amount >> self.levels().end().saturating_add(1);
        let mut state = (u32::try_from(above).ok()?, None);
        best.get(&state)?;
        let mut made = Vec::with_capacity(steps.len());
        for from in steps.iter().rev() {
            let (before, choice) = from.get(&state)?;
            made.push(*choice);
            state = *before;
        }
        made.reverse();
        Some(made)
    }

    /// The nearest payable amounts below and above one that is not payable, however many pieces they take.
    fn nearest(&self, amount: u64) -> [Option<u64>; 2] {
        // For each state, and how the lower bits compare with the amount's: the least and the greatest lower bits.
        type Known = BTreeMap<(State, core::cmp::Ordering), [u64; 2]>;
        let mut known: Known = [(((0, None), core::cmp::Ordering::Equal), [0, 0])].into();
        for level in self.levels() {
            let class = self.0.get(&level);
            let mut next = Known::new();
            for ((state, lower), [least, greatest]) in &known {
                for choice in choices(class, u32::MAX) {
                    let (after, bit) = choice.step(*state, level, class);
                    let order = bit.cmp(&(amount >> level & 1)).then(*lower);
                    let (least, greatest) = (least | bit << level, greatest | bit << level);
                    let entry = next.entry((after, order)).or_insert([least, greatest]);
                    *entry = [entry[0].min(least), entry[1].max(greatest)];
                }
            }
            known = next;
        }
        let shift = self.levels().end().saturating_add(1);
        let (mut below, mut above) = (None, None);
        for (((carry, waiting), lower), [least, greatest]) in known {
            let high = u64::from(carry);
            match (waiting, high.cmp(&(amount >> shift)).then(lower)) {
                (None, core::cmp::Ordering::Less) => below = below.max(Some(high << shift | greatest)),
                (None, core::cmp::Ordering::Greater) => {
                    let one = high << shift | least;
                    above = Some(above.map_or(one, |other: u64| other.min(one)));
                }
                _ => {}
            }
        }
        [below.filter(|below| *below > 0), above]
    }
}

/// The fewest pieces that make exactly `amount`, at most `most` and at most [`MAX_PIECES`].
///
/// # Errors
/// [`Rejection::NoExactChange`] with the nearest amounts that can be paid, [`Rejection::AmountMismatch`] for an amount of
/// zero, [`Rejection::LimitExceeded`] for a candidate beyond its bounds.
pub fn fewest(amount: u64, candidates: &[Candidate], most: usize) -> Result<Vec<Part>, Rejection> {
    if amount == 0 {
        return Err(Rejection::AmountMismatch("nothing to pay"));
    }
    if candidates.iter().any(|each| each.size > LEVELS || each.grain > each.size) {
        return Err(Rejection::LimitExceeded("worth of a node"));
    }
    let classes = Classes::of(candidates);
    let most = u32::try_from(most.min(MAX_PIECES)).unwrap_or(u32::MAX);
    if let Some(choices) = classes.fewest(amount, most) {
        return Ok(assign(&choices, candidates));
    }
    let near = |side: usize| {
        let next = |amount: u64| classes.nearest(amount).get(side).copied().flatten();
        let payable = |amount: &u64| classes.fewest(*amount, most).is_some();
        core::iter::successors(next(amount), |amount| next(*amount)).take(ATTEMPTS).find(payable)
    };
    Err(Rejection::NoExactChange { below: near(0), above: near(1) })
}

/// Which candidates give what: whole the coarsest of each worth, the bits of *P* the smallest that can.
fn assign(choices: &[Choice], candidates: &[Candidate]) -> Vec<Part> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    let at = |place: &usize| candidates.get(*place).copied().unwrap_or(Candidate { size: 0, grain: 0 });
    order.sort_by_key(|place| (at(place).size, core::cmp::Reverse(at(place).grain)));
    let mut given: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for (level, choice) in (0_u32..).zip(choices) {
        let whole = order.iter().filter(|place| at(place).size == level);
        let whole = whole.take(usize::try_from(choice.whole).unwrap_or(usize::MAX));
        given.extend(whole.map(|place| (*place, vec![level])));
    }
    let whole: Vec<usize> = given.keys().copied().collect();
    for (level, _) in
        (0_u32..).zip(choices).filter(|(_, choice)| choice.partial).collect::<Vec<_>>().into_iter().rev()
    {
        let able =
            |place: &&usize| at(place).size > level && at(place).grain <= level && !whole.contains(place);
        if let Some(place) = order.iter().find(able) {
            given.entry(*place).or_default().push(level);
        }
    }
    given.into_iter().map(|(candidate, exponents)| Part { candidate, exponents }).collect()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "a test fails by panicking"
    )]

    use proptest::prelude::*;

    use super::*;

    fn candidates(list: &[(u32, u32)]) -> Vec<Candidate> {
        list.iter().map(|(size, grain)| Candidate { size: *size, grain: *grain }).collect()
    }

    fn fewest(amount: u64, candidates: &[Candidate]) -> Result<Vec<Part>, Rejection> {
        super::fewest(amount, candidates, MAX_PIECES)
    }

    fn pieces(parts: &[Part]) -> usize {
        parts.iter().map(|part| part.exponents.len()).sum()
    }

    /// The fewest pieces for every amount, by trying all parts of all candidates.
    fn exhaustive(candidates: &[Candidate]) -> BTreeMap<u64, u32> {
        let mut known = BTreeMap::from([(0_u64, 0_u32)]);
        for Candidate { size, grain } in candidates {
            let mut next: BTreeMap<u64, u32> = BTreeMap::new();
            for (sum, cost) in &known {
                for part in (0..=1_u64 << (size - grain)).map(|count| count << grain) {
                    let cost = cost + part.count_ones();
                    let entry = next.entry(sum + part).or_insert(cost);
                    *entry = cost.min(*entry);
                }
            }
            known = next;
        }
        known
    }

    fn check_sound(amount: u64, candidates: &[Candidate], parts: &[Part]) {
        let mut sum = 0;
        for part in parts {
            let Candidate { size, grain } = candidates[part.candidate];
            assert!(part.exponents.is_sorted_by(|a, b| a > b) && !part.exponents.is_empty());
            let own: u64 = part.exponents.iter().map(|exponent| 1 << exponent).sum();
            assert!(own <= 1 << size && part.exponents.iter().all(|exponent| *exponent >= grain));
            sum += own;
        }
        assert_eq!(sum, amount);
        let places: std::collections::BTreeSet<_> = parts.iter().map(|part| part.candidate).collect();
        assert_eq!(places.len(), parts.len());
    }

    #[test]
    fn the_largest_piece_is_not_always_best() {
        // 16 whole would leave four single units to find; 8 + 8 + 4 takes three pieces.
        let mut list = vec![(4, 2), (3, 3)];
        list.extend([(0, 0); 8]);
        assert_eq!(pieces(&fewest(20, &candidates(&list)).unwrap()), 3);
    }

    #[test]
    fn received_value_divides_to_its_grain_and_the_nearest_amounts_are_named() {
        let list = candidates(&[(6, 3), (6, 3)]);
        let near = |below, above| Err(Rejection::NoExactChange { below, above });
        assert_eq!(fewest(20, &list), near(Some(16), Some(24)));
        assert_eq!(fewest(3, &list), near(None, Some(8)));
        assert_eq!(fewest(129, &list), near(Some(128), None));
        assert_eq!(fewest(1, &[]), near(None, None));
        assert_eq!(fewest(0, &list), Err(Rejection::AmountMismatch("nothing to pay")));
        assert!(fewest(1, &candidates(&[(41, 0)])).is_err() && fewest(1, &candidates(&[(2, 3)])).is_err());
    }

    #[test]
    fn a_payment_has_at_most_64_pieces() {
        let ones = candidates(&[(0, 0); 80]);
        assert_eq!(pieces(&fewest(64, &ones).unwrap()), 64);
        let two = super::fewest(3, &ones, 2);
        assert_eq!(two, Err(Rejection::NoExactChange { below: Some(2), above: None }));
        for amount in [65, 70, 500] {
            assert_eq!(fewest(amount, &ones), Err(Rejection::NoExactChange { below: Some(64), above: None }));
        }
    }

    #[test]
    fn a_full_purse_is_decided_at_once() {
        let list: Vec<_> = (0..300_u32).map(|n| (n % 19, (n % 19).saturating_sub(n % 7))).collect();
        let list = candidates(&list);
        let total: u64 = list.iter().map(|each| 1_u64 << each.size).sum();
        for amount in [1, 12_345, 999_999, total / 2 + 1] {
            check_sound(amount, &list, &fewest(amount, &list).unwrap());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(96))]

        #[test]
        fn never_more_pieces_than_needed(
            list in prop::collection::vec((0..6_u32).prop_flat_map(|size| (Just(size), 0..=size)), 0..7),
        ) {
            let list = candidates(&list);
            let all = exhaustive(&list);
            for amount in 1..=all.keys().max().unwrap() + 2 {
                match (fewest(amount, &list), all.get(&amount)) {
                    (Ok(parts), Some(cost)) => {
                        check_sound(amount, &list, &parts);
                        prop_assert_eq!(pieces(&parts), *cost as usize, "{}", amount);
                    }
                    (Err(Rejection::NoExactChange { below, above }), None) => {
                        let nearest = all.range(1..amount).next_back().map(|(near, _)| *near);
                        prop_assert_eq!(below, nearest);
                        prop_assert_eq!(above, all.range(amount..).next().map(|(near, _)| *near));
                    }
                    other => prop_assert!(false, "{}: {:?}", amount, other),
                }
            }
        }
    }
}
