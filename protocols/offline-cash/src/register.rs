//! The deposit register: who pays for which minor unit of a value coin.
//!
//! The issuing bank keeps, of every value coin, the chains that were deposited on it, one row a chain. Per unit they form
//! a tree. The **first** chain on a unit is paid from circulation. Each **further** one is charged to the holder at which
//! it leaves the longest prefix it shares with a stored one: that holder answered twice. Links compare by (*m*, node,
//! *d*). So circulation pays every unit once, the charges sum to deposits less coin, and neither depends on the order of
//! deposits.

use std::collections::BTreeMap;

use feiqian_crypto::share_tree::Node;
use feiqian_crypto::{Digest, EncodedScalar};
use feiqian_money::Minor;
use feiqian_wire::Bounded;
use serde::{Deserialize, Serialize};

use crate::interval::Interval;
use crate::verify::{VerifiedChain, VerifiedHop};
use crate::{MAX_HOPS, Rejection};

/// A hop as the register compares it: 65 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// *m*, the coin or blank that answered.
    pub message: Digest,
    /// The node.
    pub node: Node,
    /// *d*.
    pub challenge: EncodedScalar,
}

impl From<&VerifiedHop> for Mark {
    fn from(hop: &VerifiedHop) -> Self {
        let piece = hop.piece();
        Self { message: *piece.message(), node: piece.node(), challenge: piece.challenge().into() }
    }
}

/// A deposited chain as the register keeps it: its marks and the units that they cover.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deposited {
    marks: Bounded<Mark, MAX_HOPS>,
    interval: Interval,
}

impl Deposited {
    /// The chain of these marks on a coin of this value, as a store keeps it.
    ///
    /// # Errors
    /// [`Rejection::PieceInvalid`] without marks or below one minor unit, [`Rejection::ChainTooLong`].
    pub fn new(value: Minor, marks: Vec<Mark>) -> Result<Self, Rejection> {
        let too_long = Rejection::ChainTooLong { hops: marks.len(), most: MAX_HOPS };
        if marks.is_empty() {
            return Err(Rejection::PieceInvalid("a chain without hops"));
        }
        let part = |interval: Interval, mark: &Mark| interval.part(mark.node);
        let interval = marks.iter().try_fold(Interval::whole(value)?, part);
        let interval = interval.ok_or(Rejection::PieceInvalid("finer than a minor unit"))?;
        Ok(Self { marks: Bounded::new(marks).map_err(|_| too_long)?, interval })
    }

    /// The register's view of a checked chain.
    ///
    /// # Errors
    /// [`Rejection::ChainTooLong`] never: checking bounds the hops.
    pub fn of(chain: &VerifiedChain) -> Result<Self, Rejection> {
        let hops = chain.hops().len();
        let marks = chain.hops().iter().map(Mark::from).collect();
        let marks = Bounded::new(marks).map_err(|_| Rejection::ChainTooLong { hops, most: MAX_HOPS })?;
        Ok(Self { marks, interval: chain.interval() })
    }

    /// Its marks, first the value coin's.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.marks
    }

    /// The units it covers.
    #[must_use]
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The hop at which it leaves another chain, with both marks.
    ///
    /// A payment's challenge is never a transfer's: of two chains neither continues the other.
    fn leaves(&self, other: &Self) -> Result<Fork, Rejection> {
        let marks = self.marks.iter().zip(other.marks.iter()).enumerate();
        let fork = marks.filter(|(_, (own, stored))| own != stored).map(|(hop, (own, stored))| Fork {
            hop,
            own: *own,
            stored: *stored,
        });
        fork.into_iter().next().ok_or(Rejection::PieceInvalid("one chain continues another"))
    }
}

/// Where a chain leaves another.
#[derive(Debug, Clone, Copy)]
struct Fork {
    hop: usize,
    own: Mark,
    stored: Mark,
}

/// Units charged to the holder of one hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Charge {
    /// The hop, from 0: the bank that issued its coin knows the holder.
    pub hop: usize,
    /// What the holder answered in this chain.
    pub answer: Mark,
    /// What it had answered in a chain deposited before. The two overlap: their pieces name the holder.
    pub before: Mark,
    /// Minor units.
    pub units: u64,
}

/// Who pays a deposited chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The chain was deposited before: its stored outcome stands, and nothing below.
    pub repeated: bool,
    /// Minor units paid from circulation.
    pub circulation: u64,
    /// Minor units paid by those who answered twice, by hop, ascending.
    pub charges: Vec<Charge>,
}

impl Settlement {
    /// Minor units charged.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.charges.iter().fold(0, |sum, charge| sum.saturating_add(charge.units))
    }
}

/// Settles a chain against those that were deposited on the same coin before. Chains that share no unit with it may be
/// left out of `stored`: a store asks for the rows that [`overlap`](Interval::overlaps) its interval.
///
/// # Errors
/// [`Rejection::PieceInvalid`] when one chain continues another, which no checked chains do.
pub fn settle<'a>(
    chain: &Deposited,
    stored: impl IntoIterator<Item = &'a Deposited>,
) -> Result<Settlement, Rejection> {
    let mut forks = Vec::new();
    for other in stored.into_iter().filter(|other| other.interval.overlaps(chain.interval)) {
        if other == chain {
            return Ok(Settlement { repeated: true, ..Settlement::default() });
        }
        forks.push((other.interval, chain.leaves(other)?));
    }
    // The deepest fork first, so that the first that covers a segment decides it; among equals the stored mark that
    // sorts first, so that the evidence too does not depend on the order.
    forks.sort_by_key(|(_, fork)| (core::cmp::Reverse(fork.hop), fork.stored));
    let mut share = Share::default();
    share.divide(chain.interval, &forks.iter().collect::<Vec<_>>());
    let charges = share.charges.into_values().collect();
    Ok(Settlement { repeated: false, circulation: share.circulation, charges })
}

#[derive(Default)]
struct Share {
    circulation: u64,
    charges: BTreeMap<usize, Charge>,
}

impl Share {
    /// Divides a segment until one fork decides all of it, or none touches it.
    fn divide(&mut self, segment: Interval, forks: &[&(Interval, Fork)]) {
        let touching: Vec<_> = forks.iter().copied().filter(|(at, _)| at.overlaps(segment)).collect();
        let Some((first, fork)) = touching.first() else {
            self.circulation = self.circulation.saturating_add(segment.length());
            return;
        };
        match segment.halves() {
            Some(halves) if !first.contains(segment) => {
                halves.into_iter().for_each(|half| self.divide(half, &touching));
            }
            _ => {
                let Fork { hop, own, stored } = *fork;
                let fresh = Charge { hop, answer: own, before: stored, units: 0 };
                let charge = self.charges.entry(hop).or_insert(fresh);
                charge.units = charge.units.saturating_add(segment.length());
            }
        }
    }
}

/// The register of one value coin, in memory.
#[derive(Debug, Clone)]
pub struct Register {
    coin: Interval,
    chains: BTreeMap<Interval, Vec<Deposited>>,
}

impl Register {
    /// An empty register of a coin of this value.
    ///
    /// # Errors
    /// [`Rejection::PieceInvalid`] unless the value is a power of two.
    pub fn new(value: Minor) -> Result<Self, Rejection> {
        Ok(Self { coin: Interval::whole(value)?, chains: BTreeMap::new() })
    }

    /// The chains that share a unit with an interval, by interval.
    pub fn overlapping(&self, interval: Interval) -> impl Iterator<Item = &Deposited> {
        let above = core::iter::successors(interval.parent(), |above| above.parent());
        let above = above.take_while(|above| self.coin.contains(*above));
        let above = above.filter_map(|above| self.chains.get(&above));
        let inside = self.chains.range(interval.reach()).filter(move |(at, _)| interval.contains(**at));
        above.chain(inside.map(|(_, chains)| chains)).flatten()
    }

    /// Settles a chain and keeps it. The same one again is [`repeated`](Settlement::repeated) and changes nothing.
    ///
    /// # Errors
    /// As [`settle`], and [`Rejection::PieceInvalid`] for a chain beyond the coin. The register is then unchanged.
    pub fn deposit(&mut self, chain: Deposited) -> Result<Settlement, Rejection> {
        if !self.coin.contains(chain.interval) {
            return Err(Rejection::PieceInvalid("beyond the coin"));
        }
        let settlement = settle(&chain, self.overlapping(chain.interval))?;
        if !settlement.repeated {
            self.chains.entry(chain.interval).or_default().push(chain);
        }
        Ok(settlement)
    }

    /// All chains, by interval.
    pub fn chains(&self) -> impl Iterator<Item = &Deposited> {
        self.chains.values().flatten()
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "a test fails by panicking"
    )]

    use std::collections::BTreeSet;

    use feiqian_crypto::{Scalar, Transcript};
    use proptest::prelude::*;

    use super::*;

    const VALUE: u64 = 16;

    /// The rule as it is written down: a list of chains for every unit.
    struct Naive(Vec<Vec<Vec<Mark>>>);

    impl Naive {
        fn deposit(&mut self, marks: &[Mark]) -> (u64, BTreeMap<Digest, u64>) {
            let interval = chain(marks).interval();
            let (mut circulation, mut charges) = (0, BTreeMap::new());
            for stored in &mut self.0[interval.start() as usize..interval.end() as usize] {
                if stored.iter().any(|other| other == marks) {
                    continue;
                }
                let shared = |other: &Vec<Mark>| other.iter().zip(marks).take_while(|(a, b)| a == b).count();
                match stored.iter().map(shared).max() {
                    None => circulation += 1,
                    Some(longest) => *charges.entry(marks[longest].message).or_default() += 1,
                }
                stored.push(marks.to_vec());
            }
            (circulation, charges)
        }
    }

    fn mark(name: &str, node: u64, challenge: u64) -> Mark {
        let message = Transcript::new("test/coin").text(name).into_digest();
        Mark { message, node: Node::new(node).unwrap(), challenge: Scalar::from(challenge).into() }
    }

    fn chain(marks: &[Mark]) -> Deposited {
        Deposited::new(Minor::new(VALUE).unwrap(), marks.to_vec()).unwrap()
    }

    fn by_holder(settlement: &Settlement) -> BTreeMap<Digest, u64> {
        let mut charges = BTreeMap::new();
        for charge in &settlement.charges {
            *charges.entry(charge.answer.message).or_default() += charge.units;
        }
        charges
    }

    fn run(chains: &[Vec<Mark>]) -> (u64, BTreeMap<Digest, u64>) {
        let mut register = Register::new(Minor::new(VALUE).unwrap()).unwrap();
        let (mut circulation, mut charges) = (0, BTreeMap::new());
        for marks in chains {
            let settlement = register.deposit(chain(marks)).unwrap();
            circulation += settlement.circulation;
            by_holder(&settlement).into_iter().for_each(|(holder, units)| {
                *charges.entry(holder).or_default() += units;
            });
        }
        (circulation, charges)
    }

    /// A chain of a world with few choices, so that chains meet: the next blank is named by the hop before, a payment's
    /// challenge is no transfer's, and no node is finer than a unit.
    fn arb_chain() -> impl Strategy<Value = Vec<Mark>> {
        prop::collection::vec((1..32_u64, 1..3_u64), 1..5).prop_map(|choices| {
            let last = choices.len() - 1;
            let (mut marks, mut left, mut name) = (Vec::new(), 4, "coin".to_owned());
            for (hop, (node, challenge)) in choices.into_iter().enumerate() {
                let node = node >> u64::from(node.ilog2()).saturating_sub(left);
                left -= u64::from(node.ilog2());
                let challenge = if hop == last { challenge + 10 } else { challenge };
                marks.push(mark(&name, node, challenge));
                name = format!("{name}/{node}/{challenge}");
            }
            marks
        })
    }

    #[test]
    fn a_forks_to_two_and_one_of_them_forks_again_in_every_order() {
        let chains = [
            vec![mark("A", 2, 1), mark("B1", 1, 2)],
            vec![mark("A", 1, 3), mark("B2", 2, 4)],
            vec![mark("A", 1, 3), mark("B2", 1, 5)],
            vec![mark("A", 3, 6)],
        ];
        let mut results = BTreeSet::new();
        for order in 0..24_usize {
            let mut rest = chains.to_vec();
            let picks = [order % 4, order / 4 % 3, order / 12];
            let mut ordered: Vec<_> = picks.into_iter().map(|pick| rest.remove(pick)).collect();
            ordered.append(&mut rest);
            results.insert(run(&ordered));
        }
        let units = |name: &str| mark(name, 1, 0).message;
        let charges = BTreeMap::from([(units("A"), 16), (units("B2"), 8)]);
        assert_eq!(results, BTreeSet::from([(16, charges)]));
    }

    #[test]
    fn a_charge_shows_both_answers_and_they_overlap() {
        let mut register = Register::new(Minor::new(VALUE).unwrap()).unwrap();
        let first = chain(&[mark("A", 2, 1), mark("B", 4, 2)]);
        assert_eq!(register.deposit(first.clone()).unwrap().circulation, 2);
        let settlement = register.deposit(chain(&[mark("A", 2, 1), mark("B", 2, 3)])).unwrap();
        assert_eq!(settlement.circulation, 2);
        let [charge] = settlement.charges[..] else { panic!("{settlement:?}") };
        assert_eq!((charge.hop, charge.units), (1, 2));
        assert!(charge.answer.node.overlaps(charge.before.node));
        assert_eq!((charge.answer, charge.before), (mark("B", 2, 3), mark("B", 4, 2)));
        let again = register.deposit(first).unwrap();
        assert!(again.repeated && again.circulation == 0 && again.charges.is_empty());
        assert_eq!(register.chains().count(), 2);
    }

    #[test]
    fn what_no_checked_chain_is_gets_refused() {
        let mut register = Register::new(Minor::new(VALUE).unwrap()).unwrap();
        register.deposit(chain(&[mark("A", 1, 1), mark("B", 1, 2)])).unwrap();
        assert!(register.deposit(chain(&[mark("A", 1, 1)])).is_err());
        assert_eq!(register.chains().count(), 1);
        assert!(Deposited::new(Minor::new(VALUE).unwrap(), vec![]).is_err());
        assert!(Deposited::new(Minor::new(2).unwrap(), vec![mark("A", 4, 1)]).is_err());
        let long = vec![mark("A", 1, 1); MAX_HOPS + 1];
        assert!(matches!(
            Deposited::new(Minor::new(2).unwrap(), long),
            Err(Rejection::ChainTooLong { hops: 65, .. })
        ));
        let wide = Deposited::new(Minor::new(2 * VALUE).unwrap(), vec![mark("A", 3, 1)]).unwrap();
        assert!(register.deposit(wide).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(192))]

        #[test]
        fn intervals_say_what_units_say(chains in prop::collection::vec(arb_chain(), 1..16)) {
            let mut register = Register::new(Minor::new(VALUE).unwrap()).unwrap();
            let mut naive = Naive(vec![Vec::new(); VALUE as usize]);
            for marks in &chains {
                let settlement = register.deposit(chain(marks)).unwrap();
                let (circulation, charges) = naive.deposit(marks);
                prop_assert_eq!(settlement.circulation, circulation);
                prop_assert_eq!(by_holder(&settlement), charges);
                for charge in &settlement.charges {
                    prop_assert_eq!(charge.answer, marks[charge.hop]);
                    prop_assert_eq!(charge.answer.message, charge.before.message);
                    prop_assert!(charge.answer.node.overlaps(charge.before.node));
                    prop_assert_ne!(charge.answer, charge.before);
                }
            }
        }

        #[test]
        fn nothing_depends_on_the_order_and_charges_are_deposits_less_coin(
            (chains, shuffled) in prop::collection::vec(arb_chain(), 1..12)
                .prop_flat_map(|chains| (Just(chains.clone()), Just(chains).prop_shuffle())),
        ) {
            let (circulation, charges) = run(&chains);
            prop_assert_eq!(run(&shuffled), (circulation, charges.clone()));
            let distinct: BTreeSet<_> = chains.iter().collect();
            let deposits: u64 = distinct.iter().map(|marks| chain(marks).interval().length()).sum();
            let covered = (0..VALUE).filter(|unit| {
                let unit = Interval::new(*unit, 1).unwrap();
                distinct.iter().any(|marks| chain(marks).interval().contains(unit))
            });
            prop_assert_eq!(circulation, covered.count() as u64);
            prop_assert_eq!(charges.values().sum::<u64>(), deposits - circulation);
        }

        #[test]
        fn an_honest_history_charges_nobody(cuts in prop::collection::vec(any::<bool>(), 31)) {
            // A random division of the coin into disjoint nodes, each paid once.
            let mut open = vec![1_u64];
            let mut chains = Vec::new();
            while let Some(node) = open.pop() {
                if node < 16 && cuts[node as usize] {
                    open.extend([2 * node, 2 * node + 1]);
                } else {
                    chains.push(vec![mark("A", node, 10 + node)]);
                }
            }
            prop_assert_eq!(run(&chains), (VALUE, BTreeMap::new()));
        }
    }
}
