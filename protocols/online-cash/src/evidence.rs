//! Evidence of a double spend: distinct signed statements whose contributions to one coin exceed its value.
//!
//! Anyone can check it offline against the center's root certificate. Nobody but the coin's owner can sign a
//! statement, so evidence cannot be made up; and an honest wallet never signs more than a coin's value, not
//! counting what it has released.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::snowblind::{self, Challenge, Signature};
use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_money::{Amount, Minor};
use feiqian_pki::{Purpose, Revocation, Role, TrustedRoot};
use feiqian_wire::{Bounded, Timestamp};
use serde::{Deserialize, Serialize};

use crate::coin::{self, CoinId};
use crate::funding::{StatedInput, coins_statement};
use crate::keyset::Keyset;
use crate::payment::{Share, VerifiedPayment, payment_digest};
use crate::signed::WireChain;
use crate::{MAX_COINS, Rejection};

/// The most statements in one evidence.
///
/// A coin of value *v* that was given away in single minor units needs *v* + 1 of them. Beyond this bound, or
/// where the evidence would exceed a message, a double spend is refused all the same, by its code alone.
pub const MAX_STATEMENTS: usize = 512;

/// Something a coin's owner signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Statement {
    /// A payment.
    Payment {
        /// The request's digest.
        request: Digest,
        /// What its coins give.
        shares: Bounded<Share, MAX_COINS>,
        /// With all coin keys.
        possession: Proof,
    },
    /// A refresh of kind `coins`.
    Refresh {
        /// The session.
        session: Digest,
        /// Its inputs.
        inputs: Bounded<StatedInput, MAX_COINS>,
        /// Its challenges.
        challenges: Bounded<Challenge, MAX_COINS>,
        /// With all coin keys.
        possession: Proof,
    },
}

impl Statement {
    /// A checked payment as a statement.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] never in practice: a checked payment is within the bound.
    pub fn of_payment(payment: &VerifiedPayment) -> Result<Self, Rejection> {
        let shares = payment.coins.iter().map(|coin| coin.share).collect::<Vec<_>>();
        let shares = Bounded::new(shares).map_err(|_| Rejection::Malformed("too many coins"))?;
        Ok(Self::Payment { request: payment.request.digest, shares, possession: payment.possession })
    }

    /// The digest that was signed.
    pub fn digest(&self, bank: &str) -> Digest {
        match self {
            Self::Payment { request, shares, .. } => payment_digest(request, shares.iter()),
            Self::Refresh { session, inputs, challenges, .. } => {
                coins_statement(bank, session, inputs.iter(), challenges)
            }
        }
    }

    /// What it takes from `coin`; zero when the coin is not in it.
    pub fn contribution(&self, coin: &CoinId) -> Minor {
        let found = match self {
            Self::Payment { shares, .. } => {
                shares.iter().find(|share| share.coin == *coin).map(|share| share.contribution)
            }
            Self::Refresh { inputs, .. } => {
                inputs.iter().find(|input| input.coin == *coin).map(|input| input.contribution)
            }
        };
        found.unwrap_or(Minor::ZERO)
    }

    fn releases(&self) -> Vec<Digest> {
        match self {
            Self::Payment { .. } => Vec::new(),
            Self::Refresh { inputs, .. } => {
                inputs.iter().flat_map(|input| input.releases.iter().copied()).collect()
            }
        }
    }

    fn coins(&self) -> Vec<CoinId> {
        match self {
            Self::Payment { shares, .. } => shares.iter().map(|share| share.coin).collect(),
            Self::Refresh { inputs, .. } => inputs.iter().map(|input| input.coin).collect(),
        }
    }

    fn verify(&self, bank: &str) -> Result<Digest, Rejection> {
        let coins = self.coins();
        // A coin is (denomination, K): one K under two denominations is two coins, and who signs both is bound
        // by both, as where the statement was taken.
        let distinct: BTreeSet<_> = coins.iter().collect();
        if distinct.len() != coins.len() {
            return Err(Rejection::CoinRepeated);
        }
        let keys: Vec<EncodedPoint> = coins.iter().map(|coin| coin.key).collect();
        let digest = self.digest(bank);
        let (Self::Payment { possession, .. } | Self::Refresh { possession, .. }) = self;
        possession::verify(&keys, &digest, possession).map_err(|_| Rejection::PossessionInvalid)?;
        Ok(digest)
    }
}

/// A double spend that anyone can check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// The coin that gave more than its value.
    pub coin: CoinId,
    /// The issuing bank's signature on it.
    pub signature: Signature,
    /// Distinct, none of them released by another.
    pub statements: Bounded<Statement, MAX_STATEMENTS>,
    /// The keyset that contains the coin's denomination.
    pub keyset: Keyset,
    /// When the center pinned it: the time at which the signer's certificate is judged.
    pub pinned_at: Timestamp,
    /// The bank's document-signing chain, root included.
    pub signer: WireChain,
}

/// What checked evidence shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The issuing bank.
    pub bank: String,
    /// The coin.
    pub coin: CoinId,
    /// Its value.
    pub value: Amount,
    /// What its owner signed away.
    pub signed: Amount,
    /// The digests of the statements. Who is told that a payment was double-spent looks for the payment here:
    /// true evidence about other coins is no answer.
    pub statements: Vec<Digest>,
}

/// The smallest set of `statements` that together exceed `value` of `coin`, none releasing another; `None` when
/// there is none, or none within [`MAX_STATEMENTS`].
///
/// The largest contributions come first, in the order given where they are equal.
pub fn smallest_sufficient(
    bank: &str,
    coin: &CoinId,
    value: Minor,
    statements: Vec<Statement>,
) -> Option<Bounded<Statement, MAX_STATEMENTS>> {
    let mut ranked = statements;
    ranked.sort_by_key(|statement| std::cmp::Reverse(statement.contribution(coin)));
    let (mut chosen, mut seen, mut released) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut sum = Minor::ZERO;
    for statement in ranked {
        let (contribution, digest, releases) =
            (statement.contribution(coin), statement.digest(bank), statement.releases());
        let conflicts = released.contains(&digest) || releases.iter().any(|other| seen.contains(other));
        if contribution.is_zero() || conflicts || !seen.insert(digest) {
            continue;
        }
        released.extend(releases);
        sum = sum.checked_add(contribution).ok()?;
        chosen.push(statement);
        if sum > value {
            return Bounded::new(chosen).ok();
        }
    }
    None
}

impl Evidence {
    /// Checks everything against `root`: keyset and chain, the coin's signature, every statement's proof, that
    /// they are distinct and none releases another, and that together they exceed the coin's value.
    ///
    /// # Errors
    /// The [`Rejection`] of the first thing that does not hold.
    pub fn verify(&self, root: &TrustedRoot) -> Result<Finding, Rejection> {
        let signer = feiqian_pki::validate(
            &self.signer.to_chain()?,
            root,
            Purpose::Signing,
            Revocation::Unchecked,
            self.pinned_at.seconds(),
        )
        .map_err(|error| Rejection::CertificateInvalid(error.to_string()))?;
        if signer.subject.role() != Role::Bank || signer.subject.name() != self.keyset.bank.as_str() {
            return Err(Rejection::CertificateInvalid("not the signing key of the issuing bank".into()));
        }
        self.verify_with_key(&signer.public_key)
    }

    /// Checks everything but the certificate chain, under a document-signing key that the caller knows to be the
    /// issuing bank's.
    ///
    /// # Errors
    /// As [`Evidence::verify`], but for certificates.
    pub fn verify_with_key(&self, bank_signing_key: &[u8; 32]) -> Result<Finding, Rejection> {
        let bank = self.keyset.bank.as_str().to_owned();
        let keyset = self.keyset.clone().verify(bank_signing_key)?;
        let key = keyset
            .keys
            .iter()
            .find(|key| key.id == self.coin.denomination)
            .ok_or(Rejection::EvidenceInvalid("the keyset lacks the coin's denomination"))?;
        snowblind::verify(&key.public, &coin::message(&self.coin.key), &self.signature)
            .map_err(|_| Rejection::SignatureInvalid("coin"))?;
        let (signed, statements) = self.sum_statements(&bank)?;
        if signed <= key.key.value {
            return Err(Rejection::EvidenceInvalid("the statements do not exceed the coin's value"));
        }
        let currency = key.key.currency;
        Ok(Finding {
            bank,
            coin: self.coin,
            value: Amount { minor: key.key.value, currency },
            signed: Amount { minor: signed, currency },
            statements,
        })
    }

    fn sum_statements(&self, bank: &str) -> Result<(Minor, Vec<Digest>), Rejection> {
        let mut verified = BTreeMap::new();
        let mut order = Vec::new();
        for statement in self.statements.iter() {
            if statement.contribution(&self.coin).value() == 0 {
                return Err(Rejection::EvidenceInvalid("a statement is about other coins"));
            }
            let digest = statement.verify(bank)?;
            if verified.insert(digest, statement).is_some() {
                return Err(Rejection::EvidenceInvalid("a statement stands twice"));
            }
            order.push(digest);
        }
        let released = verified.values().flat_map(|statement| statement.releases());
        for digest in released {
            if verified.contains_key(&digest) {
                return Err(Rejection::EvidenceInvalid("one statement releases another"));
            }
        }
        let sum = Minor::sum(verified.values().map(|statement| statement.contribution(&self.coin)))
            .map_err(|_| Rejection::AmountMismatch("sum overflows"))?;
        Ok((sum, order))
    }
}
