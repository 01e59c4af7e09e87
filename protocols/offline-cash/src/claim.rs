//! A charge on a customer of another bank: what the issuing bank of the value coin claims from the bank that issued the
//! blank, through the center.
//!
//! The evidence are the chains that are charged and those that were deposited before, each with the set that names its
//! payment. Several pieces of one payment may have come through the same answer: they are one claim on all of their units.
//! Anybody who has the pinned keys recomputes the charge and the opening; the bank of the cheat has only to say which
//! customer withdrew the blank.

use feiqian_crypto::Digest;
use feiqian_crypto::share_tree::{Opening, identify};
use feiqian_money::{Amount, Minor};
use feiqian_wire::{Bounded, Name};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::accusation::{AnsweredPiece, CustomerAccusation};
use crate::chain::{Paid, Place};
use crate::deposit::ClaimTerms;
use crate::interval::Interval;
use crate::keyset::Keys;
use crate::register::{Charge, Deposited, Mark, settle};
use crate::verify::{VerifiedChain, VerifiedHop, verify_lone};
use crate::{MAX_PIECES, Rejection};

/// A chain of a payment, outside of its payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoneChain {
    /// The chain.
    pub chain: Paid,
    /// The set that names its payment.
    pub set: Digest,
}

/// The most chains deposited before that one claim shows.
pub const MAX_BEFORE: usize = 64;

/// A claim as it is presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimItem {
    /// What makes it unique: the evidence must show exactly this.
    pub terms: ClaimTerms,
    /// How much is claimed; at most what the evidence shows.
    pub amount: Amount,
    /// The chains that are charged, at least one: pieces of one payment that came through one answer, no two of them with
    /// a minor unit in common.
    pub charged: Bounded<LoneChain, MAX_PIECES>,
    /// The hop at which they leave the chains deposited before, from 0.
    pub hop: u16,
    /// Those of the chains deposited before that decide the charge.
    pub before: Bounded<LoneChain, MAX_BEFORE>,
}

/// A claim whose evidence was checked.
#[derive(Debug, Clone)]
pub struct VerifiedChargeClaim {
    /// What makes it unique.
    pub terms: ClaimTerms,
    /// The bank whose customer answered twice: it pays.
    pub debtor: Name,
    /// The id of the key of the coin or blank.
    pub key: Digest,
    /// How much.
    pub amount: Amount,
    /// What the two answers bring to light.
    pub opening: Opening,
    /// The two answers: the charged one, then the one before.
    pub pieces: [AnsweredPiece; 2],
}

impl ClaimItem {
    /// What its presentment id is made of: [`ClaimTerms::id`], so there is one presentment of a claim for ever.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.terms.id()
    }

    /// Checks every chain and recomputes the charges at the hop.
    ///
    /// # Errors
    /// Those of checking a chain; [`Rejection::PieceInvalid`] without a charged chain, when the chains are of two coins, or
    /// when charged ones share a minor unit; [`Rejection::RequestMismatch`] when the terms are not those of every charge;
    /// [`Rejection::WrongCurrency`]; [`Rejection::AmountMismatch`] when nothing or more is
    /// claimed than the chains charge at the hop; [`Rejection::AccusationInvalid`] when the two answers name nobody;
    /// [`Rejection::WrongBank`] when the holder is a customer of the issuing bank itself.
    pub fn verify(
        &self,
        keys: &dyn Keys,
        rng: &mut impl CryptoRng,
    ) -> Result<VerifiedChargeClaim, Rejection> {
        let shown: Vec<&LoneChain> = self.charged.iter().chain(&self.before).collect();
        let verified = verify_lone(&shown, keys, rng).into_iter().collect::<Result<Vec<_>, _>>()?;
        let parts = verified.split_at_checked(self.charged.len());
        let (charged, before) = parts.ok_or(Rejection::PieceInvalid("no chain"))?;
        let first = charged.first().ok_or(Rejection::PieceInvalid("no chain"))?;
        if verified.iter().any(|chain| chain.coin() != first.coin()) {
            return Err(Rejection::PieceInvalid("the chains are of two coins"));
        }
        check_disjoint(charged)?;
        if first.terms().currency != self.amount.currency {
            return Err(Rejection::WrongCurrency);
        }
        let charge = self.charge(charged, before)?;
        let answer = hop_of(charged, &charge.answer)?;
        let earlier = hop_of(before, &charge.before)?;
        let opening = identify(&[answer.piece(), earlier.piece()]).ok().flatten();
        let opening = opening.ok_or(Rejection::AccusationInvalid("the answers name nobody"))?;
        if *answer.bank() == self.terms.issuing_bank {
            return Err(Rejection::WrongBank(self.terms.issuing_bank.to_string()));
        }
        Ok(VerifiedChargeClaim {
            terms: self.terms.clone(),
            debtor: answer.bank().clone(),
            key: *answer.key(),
            amount: self.amount,
            opening,
            pieces: [AnsweredPiece::of(answer.piece()), AnsweredPiece::of(earlier.piece())],
        })
    }

    /// The charge of the first chain at the hop, when all chains are charged there for the answer of the terms, with the
    /// amount at least.
    fn charge(&self, charged: &[VerifiedChain], before: &[VerifiedChain]) -> Result<Charge, Rejection> {
        let stored = before.iter().map(Deposited::of).collect::<Result<Vec<_>, _>>()?;
        let (mut first, mut units) = (None, 0_u64);
        for (chain, shown) in charged.iter().zip(&self.charged) {
            let settlement = settle(&Deposited::of(chain)?, &stored)?;
            let charge = settlement.charges.into_iter().find(|charge| charge.hop == usize::from(self.hop));
            let charge = charge.ok_or(Rejection::AmountMismatch("nothing is charged at the hop"))?;
            let hop = chain.hops().get(charge.hop).ok_or(Rejection::PieceInvalid("a hop is missing"))?;
            let Place { previous, message, node } = hop.place();
            let (issuing_bank, challenge) = (chain.terms().bank.clone(), charge.answer.challenge);
            let terms = ClaimTerms { issuing_bank, message, previous, node, challenge, payment: shown.set };
            if terms != self.terms {
                return Err(Rejection::RequestMismatch);
            }
            units = units.saturating_add(charge.units);
            first = first.or(Some(charge));
        }
        if self.amount.minor.is_zero() || self.amount.minor.value() > units {
            return Err(Rejection::AmountMismatch("not what is charged at the hop"));
        }
        first.ok_or(Rejection::PieceInvalid("no chain"))
    }
}

/// The pieces of one payment never share a unit, so none is charged twice.
fn check_disjoint(charged: &[VerifiedChain]) -> Result<(), Rejection> {
    let mut intervals: Vec<Interval> = charged.iter().map(VerifiedChain::interval).collect();
    intervals.sort_unstable();
    let next = intervals.iter().skip(1);
    if intervals.iter().zip(next).any(|(one, next)| one.overlaps(*next)) {
        return Err(Rejection::PieceInvalid("charged chains share a unit"));
    }
    Ok(())
}

fn hop_of<'a>(chains: &'a [VerifiedChain], mark: &Mark) -> Result<&'a VerifiedHop, Rejection> {
    let mut hops = chains.iter().flat_map(VerifiedChain::hops);
    hops.find(|hop| Mark::from(*hop) == *mark).ok_or(Rejection::PieceInvalid("a hop is missing"))
}

impl VerifiedChargeClaim {
    /// Is this accusation, already verified, of the opening that the claim brings to light, and by the bank that owes?
    ///
    /// # Errors
    /// [`Rejection::AccusationInvalid`].
    pub fn check_answer(&self, accusation: &CustomerAccusation, paid: Minor) -> Result<(), Rejection> {
        if accusation.opening != self.opening {
            return Err(Rejection::AccusationInvalid("of another opening"));
        }
        if accusation.withdrawal.statement.bank != self.debtor {
            return Err(Rejection::AccusationInvalid("of another bank's customer"));
        }
        if paid > self.amount.minor {
            return Err(Rejection::AmountMismatch("more is paid than claimed"));
        }
        Ok(())
    }
}
