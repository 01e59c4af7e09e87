//! From observations to guesses, and from guesses to their worth.

use std::collections::BTreeMap;

use feiqian_crypto::Digest;

use super::observed::{Observed, Payment, Withdrawal};
use crate::scenario::distribution::{Distribution, Shape};
use crate::scenario::units::Span;

/// Nothing is impossible to somebody who may have missed something.
const FLOOR: f64 = 1e-9;

/// How good the guesses about one payment were.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Judgement {
    /// The Bayesian attacker's first guess is right.
    pub(super) bayes: bool,
    /// The best match is right.
    pub(super) best_match: bool,
    /// The baseline's first guess is right.
    pub(super) baseline: bool,
    /// The Bayesian attacker's first guess is of the right account.
    pub(super) account: bool,
    /// The probability that the Bayesian attacker gives its first guess.
    pub(super) confidence: f64,
    /// Shannon entropy of its posterior, bits.
    pub(super) entropy: f64,
    /// Entropy divided by the most it could be.
    pub(super) degree: f64,
    /// The place of the truth in its order, from 1.
    pub(super) rank: usize,
    /// Withdrawals that it chose from.
    pub(super) candidates: usize,
}

/// What the attackers know besides one payment.
pub(super) struct Guesser<'a> {
    observed: &'a Observed,
    delay: Distribution<Span>,
    /// Mean time between two withdrawals of one account, seconds.
    gap: f64,
    /// Share of payments that a withdrawal was made for.
    prompt: f64,
    /// Share of all coins that came out of exchanges.
    exchanged: f64,
    /// Among them, the share of each denomination.
    frequency: BTreeMap<Digest, f64>,
}

impl<'a> Guesser<'a> {
    pub(super) fn new(observed: &'a Observed, delay: Distribution<Span>) -> Self {
        let coins = observed.exchanged_coins();
        let exchanged: f64 = coins.values().map(|count| f64::from(*count)).sum();
        let withdrawn: f64 = observed
            .withdrawals
            .iter()
            .flat_map(|one| one.coins.values())
            .map(|count| f64::from(*count))
            .sum();
        let frequency =
            coins.into_iter().map(|(id, count)| (id, f64::from(count) / exchanged.max(1.0))).collect();
        let share = exchanged / (exchanged + withdrawn).max(1.0);
        let prompt = (observed.withdrawals.len() as f64 / (observed.payments.len() as f64).max(1.0)).min(1.0);
        Self { observed, delay, gap: mean_gap(&observed.withdrawals), prompt, exchanged: share, frequency }
    }

    /// Guesses, and holds the guesses against the truth. None when nothing could be guessed.
    pub(super) fn judge(&self, payment: &Payment, truth: usize) -> Option<Judgement> {
        let all = &self.observed.withdrawals;
        let true_one = all.get(truth)?;
        let mut candidates: Vec<(usize, &Withdrawal)> = all
            .iter()
            .enumerate()
            .filter(|(_, one)| one.at < payment.at && one.bank == true_one.bank)
            .collect();
        // Equal scores go to the later withdrawal.
        candidates.reverse();
        if candidates.is_empty() {
            return None;
        }
        let baseline = self.weights(&candidates, |one| self.age(payment, one) * amount(payment, one));
        let bayes = self.weights(&candidates, |one| {
            self.age(payment, one) * amount(payment, one) * self.sizes(payment, one)
        });
        let best = candidates
            .iter()
            .max_by_key(|(_, one)| (fits(payment, one), std::cmp::Reverse(later(payment, one))));
        let first = |weights: &[f64]| {
            let mut best = (0.0, None);
            for (weight, (index, _)) in weights.iter().zip(&candidates) {
                if *weight > best.0 {
                    best = (*weight, Some(*index));
                }
            }
            best
        };
        let (confidence, guess) = first(&bayes);
        let (_, plain) = first(&baseline);
        let of_truth = candidates
            .iter()
            .zip(&bayes)
            .find(|((index, _), _)| *index == truth)
            .map_or(0.0, |(_, weight)| *weight);
        let before = candidates
            .iter()
            .zip(&bayes)
            .filter(|((index, _), weight)| **weight > of_truth && *index != truth);
        let rank = before.count().saturating_add(1);
        let entropy: f64 =
            bayes.iter().filter(|weight| **weight > 0.0).map(|weight| -weight * libm::log2(*weight)).sum();
        let most = libm::log2(candidates.len() as f64);
        Some(Judgement {
            bayes: guess == Some(truth),
            best_match: best.is_some_and(|(index, _)| *index == truth),
            baseline: plain == Some(truth),
            account: guess
                .and_then(|index| all.get(index))
                .is_some_and(|one| one.account == true_one.account),
            confidence,
            entropy,
            degree: if most > 0.0 { entropy / most } else { 0.0 },
            rank,
            candidates: candidates.len(),
        })
    }

    /// A posterior over the candidates.
    fn weights(&self, candidates: &[(usize, &Withdrawal)], weight: impl Fn(&Withdrawal) -> f64) -> Vec<f64> {
        let raw: Vec<f64> = candidates.iter().map(|(_, one)| weight(one).max(f64::MIN_POSITIVE)).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|weight| weight / sum).collect()
    }

    /// How likely coins of this age are spent. Wallets withdraw because somebody wants to pay: one payment follows each
    /// withdrawal as soon as its coins have rested; the others come when they come, until the next withdrawal.
    fn age(&self, payment: &Payment, one: &Withdrawal) -> f64 {
        let age = payment.at - one.at;
        let later = rested(&self.delay.shape, age) * libm::exp(-age / self.gap) / self.gap;
        let prompt = prompt_density(&self.delay.shape, age);
        (self.prompt * prompt + (1.0 - self.prompt) * later).max(FLOOR / self.gap)
    }

    /// How likely a payment has coins of these sizes when it comes from this withdrawal.
    fn sizes(&self, payment: &Payment, one: &Withdrawal) -> f64 {
        let total: f64 = one.coins.values().map(|count| f64::from(*count)).sum();
        let each = payment.coins.iter().map(|coin| {
            let direct = one.coins.get(&coin.key.0).map_or(0.0, |count| f64::from(*count)) / total.max(1.0);
            let exchanged = self.frequency.get(&coin.key.0).copied().unwrap_or(0.0);
            ((1.0 - self.exchanged) * direct + self.exchanged * exchanged).max(FLOOR)
        });
        each.product()
    }
}

/// What messages take between the end of a rest and the payment's arrival, mean, seconds.
const HURRY: f64 = 1.0;

/// The density of a payment that comes as soon as its coins have rested.
fn prompt_density(delay: &Shape, age: f64) -> f64 {
    let exponential = |mean: f64, age: f64| if age < 0.0 { 0.0 } else { libm::exp(-age / mean) / mean };
    match delay {
        Shape::Constant(length) => exponential(HURRY, age - length),
        Shape::Exponential(mean) => exponential(mean + HURRY, age),
        Shape::Uniform(low, high) => {
            let within = age >= *low && age <= high + HURRY;
            f64::from(u8::from(within)) / (high - low + HURRY)
        }
        Shape::LogNormal(median, sigma) => {
            let (age, sigma) = ((age).max(FLOOR), sigma.max(0.01));
            let z = libm::log(age / median.max(FLOOR)) / sigma;
            libm::exp(-z * z / 2.0) / (age * sigma * libm::sqrt(core::f64::consts::TAU))
        }
    }
}

/// The probability that coins have rested enough at this age.
fn rested(delay: &Shape, age: f64) -> f64 {
    match delay {
        Shape::Constant(length) => f64::from(u8::from(age >= *length)),
        Shape::Exponential(mean) => 1.0 - libm::exp(-age / mean.max(FLOOR)),
        Shape::Uniform(low, high) => ((age - low) / (high - low).max(FLOOR)).clamp(0.0, 1.0),
        Shape::LogNormal(median, sigma) => {
            let z = libm::log(age.max(FLOOR) / median.max(FLOOR))
                / (sigma.max(FLOOR) * core::f64::consts::SQRT_2);
            f64::midpoint(1.0, libm::erf(z))
        }
    }
}

/// A withdrawal rarely pays for more than it was; what was left before may help.
fn amount(payment: &Payment, one: &Withdrawal) -> f64 {
    if one.amount >= payment.amount { 1.0 } else { 0.05 }
}

/// How many of the payment's coins the withdrawal had.
fn fits(payment: &Payment, one: &Withdrawal) -> usize {
    payment.coins.iter().filter(|coin| one.coins.contains_key(&coin.key.0)).count()
}

/// Microseconds between the two.
fn later(payment: &Payment, one: &Withdrawal) -> u64 {
    let nanos = std::time::Duration::try_from_secs_f64(payment.at - one.at).unwrap_or_default().as_micros();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

fn mean_gap(withdrawals: &[Withdrawal]) -> f64 {
    let mut last = BTreeMap::new();
    let (mut sum, mut count) = (0.0, 0.0);
    for one in withdrawals {
        if let Some(before) = last.insert(one.account, one.at) {
            sum += one.at - before;
            count += 1.0;
        }
    }
    let span = withdrawals.last().map_or(0.0, |one| one.at) - withdrawals.first().map_or(0.0, |one| one.at);
    if count > 0.0 { (sum / count).max(1.0) } else { span.max(1.0) }
}
