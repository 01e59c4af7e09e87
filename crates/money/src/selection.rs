//! Coin selection: which coins pay an amount, and how much each contributes.
//!
//! A coin may give less than it has left; its rest is then refreshed into new coins. Every selection leaves at
//! most one coin partly spent, the last contribution of the list.

use rand::RngExt as _;
use rand::seq::SliceRandom;
use rand_core::CryptoRng;

use crate::Minor;

/// A coin that may be selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The caller's name for the coin, unique in one call.
    pub id: usize,
    /// What the coin can still give. A coin with no rest is never selected.
    pub rest: Minor,
}

/// What one coin gives: above zero, at most its rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// The coin's [`Candidate::id`].
    pub id: usize,
    /// Minor units taken from it.
    pub amount: Minor,
}

/// How coins are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// As few coins as possible; among those, the smallest last coin that suffices. Fast to verify, and the
    /// smallest rest to refresh.
    #[default]
    FewestCoins,
    /// Whole coins, if a search of bounded length finds a set that sums to the amount (for rests that are powers of
    /// two it always finds one if there is one); else few coins and one partly spent.
    Exact,
    /// Coins in random order until the amount is reached: sizes say nothing about the policy of the wallet.
    Random,
    /// Coins in random order, those of about the amount's size first: each is drawn with a weight that halves with every
    /// power of two between its rest and the amount (Boltzmann's distribution over that distance). Between `FewestCoins`,
    /// whose choice is certain, and `Random`, which asks for no size at all.
    Boltzmann,
}

/// Why no coins were selected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectionError {
    /// All coins together are worth less than the amount.
    #[error("the coins are worth {have} minor units, {want} are wanted")]
    Insufficient {
        /// Sum of all rests.
        have: Minor,
        /// The amount asked for.
        want: Minor,
    },
    /// Two candidates have the same id (a fault of the caller).
    #[error("two candidates have the id {0}")]
    RepeatedId(usize),
}

/// Steps after which [`Strategy::Exact`] gives up its search.
const SEARCH_STEPS: u32 = 20_000;

/// Coins whose contributions sum exactly to `amount`; none for a zero amount.
///
/// `FewestCoins` and `Exact` are functions of the coins alone, whatever their order; `Random` and `Boltzmann` draw from
/// `rng`.
///
/// # Errors
/// [`SelectionError::Insufficient`] when the coins do not reach; [`SelectionError::RepeatedId`].
pub fn select(
    coins: &[Candidate],
    amount: Minor,
    strategy: Strategy,
    rng: &mut impl CryptoRng,
) -> Result<Vec<Contribution>, SelectionError> {
    let mut usable = usable(coins)?;
    let total = Minor::wide_sum(usable.iter().map(|coin| coin.rest));
    if total < u128::from(amount.value()) {
        let have = u64::try_from(total).ok().and_then(|have| Minor::new(have).ok()).unwrap_or(Minor::MAX);
        return Err(SelectionError::Insufficient { have, want: amount });
    }
    // Largest first, ties by id.
    usable.sort_by(|a, b| b.rest.cmp(&a.rest).then(a.id.cmp(&b.id)));
    let chosen = match strategy {
        Strategy::FewestCoins => fewest(&usable, amount),
        Strategy::Exact => whole(&usable, amount).unwrap_or_else(|| fewest(&usable, amount)),
        Strategy::Random => {
            usable.shuffle(rng);
            prefix(&usable, amount)
        }
        Strategy::Boltzmann => prefix(&near_first(usable, amount, rng), amount),
    };
    Ok(contributions(&chosen, amount))
}

/// The coins with a rest, ids checked.
fn usable(coins: &[Candidate]) -> Result<Vec<Candidate>, SelectionError> {
    let mut ids: Vec<usize> = coins.iter().map(|coin| coin.id).collect();
    ids.sort_unstable();
    let repeated = ids.iter().zip(ids.iter().skip(1)).find(|(a, b)| a == b);
    match repeated {
        Some((id, _)) => Err(SelectionError::RepeatedId(*id)),
        None => Ok(coins.iter().copied().filter(|coin| !coin.rest.is_zero()).collect()),
    }
}

/// The first coins of the list that reach the amount.
fn prefix(coins: &[Candidate], amount: Minor) -> Vec<Candidate> {
    let mut left = amount.value();
    let reached = |coin: &&Candidate| {
        let needed = left > 0;
        left = left.saturating_sub(coin.rest.value());
        needed
    };
    coins.iter().take_while(reached).copied().collect()
}

/// The weight of a coin that is as large as the amount.
const NEAREST: u32 = 40;

/// The coins in random order, each draw weighted by how near the rest is to the amount.
fn near_first(mut coins: Vec<Candidate>, amount: Minor, rng: &mut impl CryptoRng) -> Vec<Candidate> {
    let size = |minor: Minor| minor.value().checked_ilog2().unwrap_or(0);
    let weight = |coin: &Candidate| {
        let distance = size(coin.rest).abs_diff(size(amount)).min(NEAREST);
        1_u128.checked_shl(NEAREST.saturating_sub(distance)).unwrap_or(1)
    };
    let mut order = Vec::with_capacity(coins.len());
    while !coins.is_empty() {
        let whole = coins.iter().fold(0_u128, |sum, coin| sum.saturating_add(weight(coin)));
        let mut left = rng.random_range(0..whole.max(1));
        let drawn = coins.iter().position(|coin| match left.checked_sub(weight(coin)) {
            Some(rest) => {
                left = rest;
                false
            }
            None => true,
        });
        order.push(coins.remove(drawn.unwrap_or(0)));
    }
    order
}

/// No set of fewer coins can reach more than the largest ones do; the last of them is then exchanged for the
/// smallest coin that still reaches, which keeps the large coin whole.
fn fewest(coins: &[Candidate], amount: Minor) -> Vec<Candidate> {
    let mut chosen = prefix(coins, amount);
    let Some(last) = chosen.pop() else { return chosen };
    let before = chosen.iter().fold(0u64, |sum, coin| sum.saturating_add(coin.rest.value()));
    let missing = amount.value().saturating_sub(before);
    let smallest = coins.iter().skip(chosen.len()).rfind(|coin| coin.rest.value() >= missing);
    chosen.push(smallest.copied().unwrap_or(last));
    chosen
}

/// Whole coins that sum to the amount: depth-first, the larger coin first, each branch cut off when its coins
/// cannot reach. With powers of two the first descent succeeds if any does.
fn whole(coins: &[Candidate], amount: Minor) -> Option<Vec<Candidate>> {
    // reach[i]: what the coins from i on are worth.
    let mut reach: Vec<u128> = coins
        .iter()
        .rev()
        .scan(0u128, |sum, coin| {
            *sum = sum.saturating_add(u128::from(coin.rest.value()));
            Some(*sum)
        })
        .collect();
    reach.reverse();
    let mut taken: Vec<(usize, Candidate)> = Vec::new();
    let (mut next, mut left) = (0usize, amount.value());
    for _ in 0..SEARCH_STEPS {
        if left == 0 {
            return Some(taken.into_iter().map(|(_, coin)| coin).collect());
        }
        let reachable = reach.get(next).is_some_and(|reach| *reach >= u128::from(left));
        if let Some(coin) = coins.get(next).filter(|_| reachable) {
            if coin.rest.value() <= left {
                taken.push((next, *coin));
                left = left.saturating_sub(coin.rest.value());
            }
            next = next.saturating_add(1);
        } else {
            let (at, coin) = taken.pop()?;
            left = left.saturating_add(coin.rest.value());
            // Without this coin an equal one leads nowhere either.
            let equal = coins.iter().skip(at).take_while(|other| other.rest == coin.rest).count();
            next = at.saturating_add(equal);
        }
    }
    None
}

/// Whole rests, and of the last coin what is missing.
fn contributions(chosen: &[Candidate], amount: Minor) -> Vec<Contribution> {
    let mut left = amount;
    chosen
        .iter()
        .map(|coin| {
            let given = coin.rest.min(left);
            left = left.checked_sub(given).unwrap_or(Minor::ZERO);
            Contribution { id: coin.id, amount: given }
        })
        .collect()
}

/// Up to twelve coins with distinct ids: powers of two, and rests of partly spent coins.
#[cfg(any(test, feature = "testing"))]
pub fn arb_coins() -> impl proptest::strategy::Strategy<Value = Vec<Candidate>> {
    use proptest::prelude::*;
    let rest = prop_oneof![
        (0..=10u8).prop_map(Minor::power_of_two),
        (0..1_500u64).prop_map(|v| Minor::new(v).unwrap_or_default())
    ];
    proptest::collection::vec(rest, 0..12)
        .prop_map(|rests| rests.into_iter().enumerate().map(|(id, rest)| Candidate { id, rest }).collect())
}
