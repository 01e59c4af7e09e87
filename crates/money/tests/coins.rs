//! Change-making and coin selection.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at the first surprise"
)]

use std::collections::BTreeMap;

use feiqian_money::{
    Denomination, DenominationSet, Minor, MoneyError, arb_coins,
    change::{MOST_COINS, STOCK, split},
    selection::{Candidate, Contribution, SelectionError, Strategy as Policy, select},
};
use proptest::prelude::*;
use rand::{SeedableRng, rngs::ChaCha12Rng};

const POLICIES: [Policy; 4] = [Policy::FewestCoins, Policy::Exact, Policy::Random, Policy::Boltzmann];

fn minor(value: u64) -> Minor {
    Minor::new(value).unwrap()
}

fn total(coins: &[Denomination]) -> Minor {
    Minor::sum(coins.iter().map(|coin| coin.value())).unwrap()
}

fn counted(coins: &[Denomination]) -> BTreeMap<Denomination, u32> {
    let mut counts = BTreeMap::new();
    for coin in coins {
        *counts.entry(*coin).or_insert(0) += 1;
    }
    counts
}

fn arb_held() -> impl Strategy<Value = BTreeMap<Denomination, u32>> {
    let size = (0..=20u8).prop_map(|k| Denomination::new(k).unwrap());
    proptest::collection::btree_map(size, 0..5u32, 0..=21)
}

fn choose(rests: &[u64], amount: u64, policy: Policy) -> Result<Vec<Contribution>, SelectionError> {
    let coins: Vec<Candidate> =
        rests.iter().enumerate().map(|(id, rest)| Candidate { id, rest: minor(*rest) }).collect();
    select(&coins, minor(amount), policy, &mut ChaCha12Rng::seed_from_u64(1))
}

fn pairs(chosen: &[Contribution]) -> Vec<(usize, u64)> {
    chosen.iter().map(|given| (given.id, given.amount.value())).collect()
}

/// The fewest of all subsets that reach the amount, by trying each.
fn fewest_by_search(coins: &[Candidate], amount: u64) -> u32 {
    (0u32..1 << coins.len())
        .filter(|subset| {
            let worth: u64 = coins
                .iter()
                .enumerate()
                .filter(|(i, _)| subset >> i & 1 == 1)
                .map(|(_, c)| c.rest.value())
                .sum();
            worth >= amount
        })
        .map(u32::count_ones)
        .min()
        .unwrap()
}

fn some_subset_sums_to(coins: &[Candidate], amount: u64) -> bool {
    (0u32..1 << coins.len()).any(|subset| {
        coins
            .iter()
            .enumerate()
            .filter(|(i, _)| subset >> i & 1 == 1)
            .map(|(_, c)| c.rest.value())
            .sum::<u64>()
            == amount
    })
}

#[test]
fn split_examples() {
    let empty = BTreeMap::new();
    let set = DenominationSet::default();
    let values = |amount| -> Vec<u64> {
        split(minor(amount), &set, &empty).unwrap().iter().map(|coin| coin.value().value()).collect()
    };
    assert_eq!(values(0), Vec::<u64>::new());
    assert_eq!(values(1), [1]);
    assert_eq!(values(5), [1, 1, 1, 2]);
    assert_eq!(values(100), [1, 1, 2, 2, 2, 4, 4, 4, 8, 8, 16, 16, 32]);
    // A wallet that holds enough of everything gets the binary digits.
    let full = set.iter().map(|size| (size, STOCK)).collect();
    let coins = split(minor(100), &set, &full).unwrap();
    assert_eq!(coins.iter().map(|coin| coin.value().value()).collect::<Vec<_>>(), [4, 32, 64]);
}

#[test]
fn split_is_bounded() {
    let empty = BTreeMap::new();
    let longest = (0..=500_000u64).step_by(7).chain([500_000, 499_999, 262_143, 262_142]);
    for amount in longest {
        assert!(split(minor(amount), &DenominationSet::default(), &empty).unwrap().len() <= 64, "{amount}");
    }
    assert!(matches!(
        split(Minor::MAX, &DenominationSet::default(), &empty),
        Err(MoneyError::TooManyCoins { needed }) if needed > 1 << 42
    ));
    assert_eq!(
        split(Minor::MAX, &DenominationSet::up_to(62).unwrap(), &empty).map(|coins| total(&coins)),
        Ok(Minor::MAX)
    );
    // With one size only, exactly the largest number of coins, and one too many.
    let ones = DenominationSet::up_to(0).unwrap();
    assert_eq!(split(minor(256), &ones, &empty).unwrap().len(), MOST_COINS);
    assert_eq!(split(minor(257), &ones, &empty), Err(MoneyError::TooManyCoins { needed: 257 }));
    // Where the stock would not fit, the shortest split is returned.
    let large = minor((237 << 20) - 1);
    let coins = split(large, &DenominationSet::default(), &empty).unwrap();
    assert_eq!((total(&coins), coins.len()), (large, MOST_COINS));
}

#[test]
fn selection_examples() {
    // Fewest: the large coin stays whole when a smaller one suffices.
    assert_eq!(pairs(&choose(&[64, 8, 16], 10, Policy::FewestCoins).unwrap()), [(2, 10)]);
    assert_eq!(pairs(&choose(&[64, 8, 16], 70, Policy::FewestCoins).unwrap()), [(0, 64), (1, 6)]);
    // Exact: whole coins where they exist, also among rests that are no powers of two.
    assert_eq!(pairs(&choose(&[64, 8, 2], 10, Policy::Exact).unwrap()), [(1, 8), (2, 2)]);
    assert_eq!(pairs(&choose(&[7, 5, 5], 10, Policy::Exact).unwrap()), [(1, 5), (2, 5)]);
    assert_eq!(pairs(&choose(&[64, 8], 10, Policy::Exact).unwrap()), [(0, 10)]);
    for policy in POLICIES {
        assert_eq!(
            choose(&[4, 2], 7, policy),
            Err(SelectionError::Insufficient { have: minor(6), want: minor(7) })
        );
        assert_eq!(choose(&[], 0, policy), Ok(vec![]));
        assert_eq!(pairs(&choose(&[0, 4, 0], 4, policy).unwrap()), [(1, 4)]);
    }
    let twice = [Candidate { id: 3, rest: Minor::ONE }, Candidate { id: 3, rest: Minor::ONE }];
    let rng = &mut ChaCha12Rng::seed_from_u64(1);
    assert_eq!(select(&twice, Minor::ONE, Policy::Exact, rng), Err(SelectionError::RepeatedId(3)));
    // A sum above 64 bits is no overflow.
    let huge = [Minor::MAX; 5].map(Minor::value);
    assert_eq!(choose(&huge, Minor::MAX.value(), Policy::FewestCoins).unwrap().len(), 1);
}

#[test]
fn random_selection_follows_its_generator() {
    let coins: Vec<Candidate> = (0..20).map(|id| Candidate { id, rest: minor(1) }).collect();
    let draw =
        |seed| select(&coins, minor(5), Policy::Random, &mut ChaCha12Rng::seed_from_u64(seed)).unwrap();
    assert_eq!(draw(1), draw(1));
    assert!((2..20).any(|seed| draw(seed) != draw(1)));
}

/// The search of `Exact` is bounded also where no subset fits and there are very many.
#[test]
fn exact_selection_gives_up_in_time() {
    let rests: Vec<u64> = (0..2_000).map(|i| 2 * (1_000_003 + i * 17)).collect();
    let chosen = choose(&rests, 500_000_001, Policy::Exact).unwrap();
    assert_eq!(chosen.iter().map(|given| given.amount.value()).sum::<u64>(), 500_000_001);
}

proptest! {
    #[test]
    fn split_sums_and_stocks(amount in 0..10_000_000u64, held in arb_held(), largest in 16..=20u8) {
        let set = DenominationSet::up_to(largest).unwrap();
        let coins = split(minor(amount), &set, &held).unwrap();
        prop_assert_eq!(total(&coins), minor(amount));
        prop_assert!(coins.iter().all(|coin| set.contains(*coin)));
        let counts = counted(&coins);
        let Some(top) = counts.keys().next_back() else { return Ok(()) };
        for size in set.iter().filter(|size| size < top) {
            let (had, got) = (held.get(&size).copied().unwrap_or(0), counts.get(&size).copied().unwrap_or(0));
            prop_assert!(had + got >= STOCK, "a middle size is missing");
            prop_assert!(got <= STOCK.saturating_sub(had) + 1, "dust");
        }
    }

    #[test]
    fn split_takes_any_amount_or_says_why(amount in feiqian_money::arb_minor(), held in arb_held()) {
        match split(amount, &DenominationSet::default(), &held) {
            Ok(coins) => prop_assert!(total(&coins) == amount && coins.len() <= MOST_COINS),
            Err(error) => {
                let too_many = matches!(error, MoneyError::TooManyCoins { .. });
                prop_assert!(too_many);
                prop_assert!(amount.value() >> 20 > 200);
            }
        }
    }

    #[test]
    fn selection_is_exact(coins in arb_coins(), share in 0..=100u64, seed in any::<u64>()) {
        let worth: u64 = coins.iter().map(|coin| coin.rest.value()).sum();
        let amount = worth * share / 100;
        let rng = &mut ChaCha12Rng::seed_from_u64(seed);
        let mut touched = Vec::new();
        for policy in POLICIES {
            let chosen = select(&coins, minor(amount), policy, rng).unwrap();
            prop_assert_eq!(chosen.iter().map(|given| given.amount.value()).sum::<u64>(), amount);
            let rest = |given: &Contribution| coins.iter().find(|coin| coin.id == given.id).unwrap().rest;
            prop_assert!(chosen.iter().all(|given| !given.amount.is_zero() && given.amount <= rest(given)));
            let partial: Vec<usize> = (0..chosen.len()).filter(|i| chosen[*i].amount < rest(&chosen[*i])).collect();
            prop_assert!(partial.is_empty() || partial == [chosen.len() - 1]);
            let mut ids: Vec<usize> = chosen.iter().map(|given| given.id).collect();
            ids.sort_unstable();
            ids.dedup();
            prop_assert_eq!(ids.len(), chosen.len());
            if policy == Policy::Exact {
                prop_assert_eq!(partial.is_empty(), some_subset_sums_to(&coins, amount));
            }
            touched.push(chosen.len());
        }
        prop_assert!(touched[0] <= touched[1] && touched[0] <= touched[2]);
        prop_assert_eq!(touched[0], usize::try_from(fewest_by_search(&coins, amount)).unwrap());
        let too_much = minor(worth + 1);
        let refused = select(&coins, too_much, Policy::Random, rng);
        prop_assert_eq!(refused, Err(SelectionError::Insufficient { have: minor(worth), want: too_much }));
    }

    #[test]
    fn selection_ignores_order(coins in arb_coins(), share in 0..=100u64) {
        let worth: u64 = coins.iter().map(|coin| coin.rest.value()).sum();
        let reversed: Vec<Candidate> = coins.iter().rev().copied().collect();
        for policy in [Policy::FewestCoins, Policy::Exact] {
            let rng = &mut ChaCha12Rng::seed_from_u64(1);
            let amount = minor(worth * share / 100);
            prop_assert_eq!(select(&coins, amount, policy, rng), select(&reversed, amount, policy, rng));
        }
    }
}
