//! Choosing from what a wallet can spend.

use std::collections::BTreeMap;

use feiqian_money::{Amount, Minor};
use feiqian_wire::{Name, Timestamp};

use crate::chain::KeysetView;
use crate::holding::{Misuse, Unspent};
use crate::select::{Candidate, Part, fewest};
use crate::{MAX_HOPS, Rejection};

/// Why nothing was spent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpendError {
    /// A rule forbids it; everything that was to be spent comes back.
    #[error("{because}")]
    Refused {
        /// Untouched.
        unspent: Vec<Unspent>,
        /// The rule.
        because: Rejection,
    },
    /// Nothing left the wallet; the store hands the parts out again.
    #[error(transparent)]
    Misuse(#[from] Misuse),
}

/// What pieces are given for: it decides how long they are good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// For somebody who deposits later: until the earliest `pay_until`.
    Pay,
    /// For the giver's own account, deposited at once: until the earliest `reclaim_until`.
    Deposit,
}

/// What a payee will take.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// Exactly this.
    pub amount: Amount,
    /// Of no other keysets.
    pub keysets: &'a [KeysetView],
    /// Good at this time,
    pub at: Timestamp,
    /// for this.
    pub until: Until,
    /// At most so many pieces.
    pub most_pieces: usize,
    /// Of at most so many hops before this one.
    pub most_hops: usize,
    /// All value coins of one issuing bank: a payment is, a transfer need not be.
    pub one_bank: bool,
}

/// A choice: what pays, and what stays.
#[derive(Debug)]
pub struct Chosen {
    /// Pieces that sum to the amount.
    pub pieces: Vec<Unspent>,
    /// All else, cut where pieces were taken out.
    pub rest: Vec<Unspent>,
}

/// What is cut out of which part, by its place in the purse.
type Plan = BTreeMap<usize, Vec<u32>>;

impl Wish<'_> {
    /// May this part be used for it?
    ///
    /// # Errors
    /// [`Rejection::WrongCurrency`], [`Rejection::KeyExpired`], [`Rejection::ChainTooLong`],
    /// [`Rejection::KeysetNotPinned`].
    pub fn check(&self, part: &Unspent) -> Result<(), Rejection> {
        let terms = part.terms();
        if terms.currency != self.amount.currency {
            return Err(Rejection::WrongCurrency);
        }
        if part.hops() > self.most_hops {
            let hops = part.hops().saturating_add(1);
            return Err(Rejection::ChainTooLong { hops, most: self.most_hops.saturating_add(1) });
        }
        match self.until {
            Until::Pay => terms.check_pays(self.at)?,
            Until::Deposit => terms.check_deposits(self.at)?,
        }
        terms.check_shown(self.keysets)
    }

    /// May exactly these parts be given for it?
    ///
    /// # Errors
    /// As [`check`](Self::check); [`Rejection::AmountMismatch`], [`Rejection::LimitExceeded`], [`Rejection::WrongBank`].
    pub(crate) fn check_all(&self, parts: &[Unspent]) -> Result<(), Rejection> {
        parts.iter().try_for_each(|part| self.check(part))?;
        let sum = Minor::sum(parts.iter().map(Unspent::value));
        if sum != Ok(self.amount.minor) {
            return Err(Rejection::AmountMismatch("the pieces do not sum to what is asked"));
        }
        if parts.len() > self.most_pieces {
            return Err(Rejection::LimitExceeded("pieces"));
        }
        let banks = parts.iter().map(|part| &part.terms().bank);
        match parts.first() {
            Some(first) if self.one_bank => one_bank(&first.terms().bank, banks),
            _ => Ok(()),
        }
    }

    /// The fewest pieces for it, with the bank of the value coins they are from where one bank is asked for.
    fn plan(&self, parts: &[Unspent]) -> Result<Plan, Rejection> {
        let usable = parts.iter().enumerate().filter(|(_, part)| self.check(part).is_ok());
        let mut groups: BTreeMap<Option<&Name>, Vec<(usize, Candidate)>> = BTreeMap::new();
        for (place, part) in usable {
            let bank = self.one_bank.then_some(&part.terms().bank);
            groups.entry(bank).or_default().push((place, part.candidate()));
        }
        let (mut near_below, mut near_above) = (None::<u64>, None::<u64>);
        let mut best: Option<(usize, Plan)> = None;
        for group in groups.values() {
            let candidates: Vec<_> = group.iter().map(|(_, candidate)| *candidate).collect();
            match fewest(self.amount.minor.value(), &candidates, self.most_pieces) {
                Ok(plan) => {
                    let pieces = plan.iter().map(|part| part.exponents.len()).sum();
                    let own = |Part { candidate, exponents }| Some((group.get(candidate)?.0, exponents));
                    if best.as_ref().is_none_or(|(known, _)| pieces < *known) {
                        best = Some((pieces, plan.into_iter().filter_map(own).collect()));
                    }
                }
                Err(Rejection::NoExactChange { below, above }) => {
                    near_below = near_below.max(below);
                    near_above = near_above.into_iter().chain(above).min();
                }
                Err(other) => return Err(other),
            }
        }
        let none = Rejection::NoExactChange { below: near_below, above: near_above };
        best.map(|(_, plan)| plan).ok_or(none)
    }

    /// Chooses the fewest pieces for it and cuts them out.
    ///
    /// # Errors
    /// [`SpendError::Refused`] with the whole purse; [`Rejection::NoExactChange`] names the nearest amounts that can be
    /// paid.
    pub fn choose(&self, purse: Vec<Unspent>) -> Result<Chosen, SpendError> {
        let plan = match self.plan(&purse) {
            Ok(plan) => plan,
            Err(because) => return Err(SpendError::Refused { unspent: purse, because }),
        };
        let (mut pieces, mut rest) = (Vec::new(), Vec::new());
        for (place, part) in purse.into_iter().enumerate() {
            let Some(exponents) = plan.get(&place) else {
                rest.push(part);
                continue;
            };
            match part.cut(exponents) {
                Ok((mut cut, mut left)) => {
                    pieces.append(&mut cut);
                    rest.append(&mut left);
                }
                Err(part) => rest.push(part),
            }
        }
        Ok(Chosen { pieces, rest })
    }
}

pub(crate) fn one_bank<'a>(bank: &Name, mut banks: impl Iterator<Item = &'a Name>) -> Result<(), Rejection> {
    match banks.find(|other| *other != bank) {
        None => Ok(()),
        Some(other) => Err(Rejection::WrongBank(format!("coins of {bank} and {other}"))),
    }
}

/// The most hops before one that pays, and before one that is passed on.
pub(crate) const BEFORE_PAYING: usize = MAX_HOPS - 1;
pub(crate) const BEFORE_PASSING: usize = MAX_HOPS - 2;
