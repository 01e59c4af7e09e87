//! Paying a request with contributions of coins; checking payments singly and in batches.
//!
//! A coin may give less than its value: so it divides. All coins of one payment are of one issuing bank and one
//! currency, else it could not be atomic. One possession proof over all coin keys signs
//! `D("online-cash/payment"; request digest, n, (denomination id, K_i, contribution_i)…)`, so a coin stolen on
//! its way is worthless to the thief, and who cheats signs it. That digest names the payment.

use std::borrow::Borrow;
use std::collections::BTreeSet;

use feiqian_crypto::batch::{self, Item};
use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::snowblind::Signature;
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_money::Minor;
use feiqian_wire::{Bounded, Name, Timestamp};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::coin::{self, Coin, CoinId};
use crate::deposit::CashItem;
use crate::keyset::{PinLog, VerifiedKey};
use crate::request::{Authorities, VerifiedRequest};
use crate::{MAX_COINS, Rejection};

/// What one coin gives in one statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Share {
    /// The coin.
    pub coin: CoinId,
    /// What it gives, minor units.
    pub contribution: Minor,
}

/// A coin in a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentCoin {
    /// The coin and what it gives.
    pub share: Share,
    /// The bank's signature on it.
    pub signature: Signature,
}

/// Coins given for one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// The request's digest.
    pub request: Digest,
    /// At most [`MAX_COINS`].
    pub coins: Bounded<PaymentCoin, MAX_COINS>,
    /// With all coin keys over [`Payment::digest`].
    pub possession: Proof,
}

/// `D("online-cash/payment"; request digest, n, (denomination id, K_i, contribution_i)…)`.
pub fn payment_digest<'a>(request: &Digest, shares: impl ExactSizeIterator<Item = &'a Share>) -> Digest {
    let start = Transcript::new("online-cash/payment").digest(request).integer(shares.len() as u64);
    shares
        .fold(start, |transcript, share| {
            transcript
                .digest(&share.coin.denomination)
                .point(&share.coin.key)
                .integer(share.contribution.value())
        })
        .into_digest()
}

impl Payment {
    /// Signs coins away to a request.
    ///
    /// The caller stores the payment before it sends it, and sends the same bytes again when no answer comes. It
    /// signs only what no earlier statement of these coins, void or not, has given away: a payment can release
    /// nothing.
    ///
    /// # Errors
    /// [`Rejection::ContributionInvalid`] when there are no coins or too many, or one gives nothing;
    /// [`Rejection::CoinRepeated`].
    pub fn sign<R: CryptoRng>(
        request: &Digest,
        coins: &[(&Coin, Minor)],
        rng: &mut R,
    ) -> Result<Self, Rejection> {
        let shown: Vec<PaymentCoin> = coins
            .iter()
            .map(|(coin, contribution)| PaymentCoin {
                share: Share { coin: coin.id, contribution: *contribution },
                signature: coin.signature,
            })
            .collect();
        let shown: Bounded<_, MAX_COINS> = Bounded::new(shown).map_err(|_| Rejection::ContributionInvalid)?;
        if shown.iter().any(|coin| coin.share.contribution.is_zero()) {
            return Err(Rejection::ContributionInvalid);
        }
        let distinct: BTreeSet<_> = shown.iter().map(|coin| coin.share.coin).collect();
        if distinct.len() != shown.len() {
            return Err(Rejection::CoinRepeated);
        }
        let digest = payment_digest(request, shown.iter().map(|coin| &coin.share));
        let keys: Vec<EncodedPoint> = shown.iter().map(|coin| coin.share.coin.key).collect();
        let secrets = Zeroizing::new(coins.iter().map(|(coin, _)| *coin.secret()).collect::<Vec<_>>());
        let possession =
            possession::prove(&secrets, &keys, &digest, rng).map_err(|_| Rejection::ContributionInvalid)?;
        Ok(Self { request: *request, coins: shown, possession })
    }

    /// The digest that names this payment: the signed statement without the proof's bytes, since a proof can be
    /// made anew.
    pub fn digest(&self) -> Digest {
        payment_digest(&self.request, self.coins.iter().map(|coin| &coin.share))
    }
}

/// One coin of a checked payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedCoin {
    /// The coin and what it gives.
    pub share: Share,
    /// Its value, minor units.
    pub value: Minor,
    /// Its key's epoch.
    pub epoch: u64,
}

/// A payment whose request, coins, sums, signatures and possession proof were checked.
///
/// Whether its coins still have what they give is the issuing bank's register to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPayment {
    /// Names the payment.
    pub digest: Digest,
    /// The request it pays.
    pub request: VerifiedRequest,
    /// Whose coins these are.
    pub issuing_bank: Name,
    /// Each coin once.
    pub coins: Vec<VerifiedCoin>,
    /// The proof, kept for evidence.
    pub possession: Proof,
}

/// What a payment is checked against.
pub struct Checker<'a> {
    /// The pinned keysets.
    pub pins: &'a PinLog,
    /// Who may be a payee.
    pub authorities: &'a dyn Authorities,
    /// The checking party's clock.
    pub now: Timestamp,
}

impl std::fmt::Debug for Checker<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("now", &self.now).finish_non_exhaustive()
    }
}

impl Checker<'_> {
    /// Checks one payment: the request's signature, that the payment is for it, every coin's denomination, bank,
    /// currency and contribution, each coin once, the sum, the coins' signatures and the proof.
    ///
    /// Not the request's expiry ([`VerifiedRequest::check_open`]): a repeat of what was taken in time is
    /// answered later too. Nor its route.
    ///
    /// # Errors
    /// The [`Rejection`] of the first rule that it breaks.
    pub fn verify<R: CryptoRng>(&self, item: &CashItem, rng: &mut R) -> Result<VerifiedPayment, Rejection> {
        let (payment, checks) = self.prepare(item)?;
        batch::verify(&checks, rng).map_err(|blame| blamed(&checks, &blame.indices))?;
        Ok(payment)
    }

    /// Checks many payments with one multiscalar multiplication over all their signatures and proofs; a bad one
    /// does not spoil the others. The answers are in the order of `items`.
    pub fn verify_many<R: CryptoRng>(
        &self,
        items: &[impl Borrow<CashItem>],
        rng: &mut R,
    ) -> Vec<Result<VerifiedPayment, Rejection>> {
        let mut checks = Vec::new();
        let mut ranges = Vec::with_capacity(items.len());
        for item in items {
            let from = checks.len();
            ranges.push(self.prepare(item.borrow()).map(|(payment, own)| {
                checks.extend(own);
                (payment, from..checks.len())
            }));
        }
        let blame = batch::verify(&checks, rng).err().map(|blame| blame.indices).unwrap_or_default();
        ranges
            .into_iter()
            .map(|prepared| {
                let (payment, range) = prepared?;
                let bad: Vec<usize> = blame.iter().copied().filter(|index| range.contains(index)).collect();
                if bad.is_empty() { Ok(payment) } else { Err(blamed(&checks, &bad)) }
            })
            .collect()
    }

    fn prepare<'c>(&'c self, item: &CashItem) -> Result<(VerifiedPayment, Vec<Item<'c>>), Rejection> {
        let request = item.request.verify(self.authorities, self.now)?;
        let payment = &item.payment;
        if payment.request != request.digest {
            return Err(Rejection::RequestMismatch);
        }
        let mut seen = BTreeSet::new();
        let mut coins = Vec::with_capacity(payment.coins.len());
        let mut checks = Vec::with_capacity(payment.coins.len().saturating_add(1));
        let mut issuing_bank: Option<&Name> = None;
        for shown in payment.coins.iter() {
            let key = self.pins.key(&shown.share.coin.denomination)?;
            check_coin(key, &shown.share, &request, self.now)?;
            if issuing_bank.is_some_and(|bank| *bank != key.key.bank) {
                return Err(Rejection::WrongBank(format!("coins of {} and another", key.key.bank.as_str())));
            }
            issuing_bank = Some(&key.key.bank);
            if !seen.insert(shown.share.coin) {
                return Err(Rejection::CoinRepeated);
            }
            let message = coin::message(&shown.share.coin.key);
            checks.push(Item::Signature { key: &key.public, message, signature: shown.signature });
            coins.push(VerifiedCoin { share: shown.share, value: key.key.value, epoch: key.epoch });
        }
        let issuing_bank = issuing_bank.ok_or(Rejection::ContributionInvalid)?.clone();
        let sum = Minor::sum(coins.iter().map(|coin| coin.share.contribution))
            .map_err(|_| Rejection::AmountMismatch("sum overflows"))?;
        if sum != request.request.amount.minor {
            return Err(Rejection::AmountMismatch("the coins do not sum to the request"));
        }
        let digest = payment.digest();
        let keys = payment.coins.iter().map(|coin| coin.share.coin.key).collect();
        checks.push(Item::Possession { keys, statement: digest, proof: payment.possession });
        let possession = payment.possession;
        Ok((VerifiedPayment { digest, request, issuing_bank, coins, possession }, checks))
    }
}

fn check_coin(
    key: &VerifiedKey,
    share: &Share,
    request: &VerifiedRequest,
    now: Timestamp,
) -> Result<(), Rejection> {
    key.check_redeem(now)?;
    if key.key.currency != request.request.amount.currency {
        return Err(Rejection::WrongCurrency);
    }
    share.check(key.key.value)
}

impl Share {
    /// Is the key no identity, and the contribution more than zero and within `value`?
    pub(crate) fn check(&self, value: Minor) -> Result<(), Rejection> {
        if self.coin.key.to_bytes() == [0; 32] {
            return Err(Rejection::Malformed("coin key is the identity"));
        }
        if self.contribution.is_zero() || self.contribution > value {
            return Err(Rejection::ContributionInvalid);
        }
        Ok(())
    }
}

/// What does not decode is said to be malformed; of what decodes, only that it failed. Runs on refusal alone.
pub(crate) fn blamed(checks: &[Item<'_>], bad: &[usize]) -> Rejection {
    let undecodable = |item: &Item<'_>| match item {
        Item::Signature { signature, .. } => {
            signature.commitment.decode_non_identity().is_err()
                || signature.z.decode().is_err()
                || signature.y.decode_non_zero().is_err()
        }
        Item::Possession { keys, proof, .. } => {
            keys.iter().chain([&proof.r]).any(|point| point.decode_non_identity().is_err())
                || proof.s.decode().is_err()
        }
    };
    if bad.iter().filter_map(|index| checks.get(*index)).any(undecodable) {
        return Rejection::Malformed("a point or scalar of a coin or proof");
    }
    let possession_only = bad.iter().all(|index| matches!(checks.get(*index), Some(Item::Possession { .. })));
    if possession_only { Rejection::PossessionInvalid } else { Rejection::SignatureInvalid("coin") }
}
