//! What pays for an issuance, and the statement that signs for it.
//!
//! Value in equals value out. Whoever funds with coins, with a received payment or with a refund signs the
//! session's challenges by one possession proof over the *refresh statement*
//! `D("online-cash/refresh"; bank, session, funding kind, n_in, inputs…, n_out, c_1 … c_n)`.

use std::collections::BTreeSet;

use feiqian_crypto::batch::{self, Item};
use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::snowblind::{Challenge, Signature};
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Scalar};
use feiqian_money::Minor;
use feiqian_wire::{Bounded, Timestamp};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::coin::{self, Coin, CoinId};
use crate::deposit::CashItem;
use crate::keyset::PinLog;
use crate::payment::{Share, VerifiedCoin, blamed, payment_digest};
use crate::request::{Payee, request_digest};
use crate::signed::DocumentSignature;
use crate::{MAX_COINS, Rejection};

/// The most earlier statements that one refresh may release.
pub const MAX_RELEASES: usize = 16;

/// What pays for the new coins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[expect(clippy::large_enum_variant, reason = "a message lives once, between codec and transaction")]
pub enum Funding {
    /// The caller's account: the holder's signature over the withdrawal statement.
    Account {
        /// Over [`withdrawal_statement`].
        signature: DocumentSignature,
    },
    /// The caller's own coins: refresh, change, renewal.
    Coins(CoinFunding),
    /// A payment made out to the caller's payee key.
    Received {
        /// The request and its payment.
        item: CashItem,
        /// With the payee key over the refresh statement.
        possession: Proof,
    },
    /// A refund of an earlier payment.
    Refunded {
        /// The refunded payment.
        payment: Digest,
        /// How much of the refund is claimed, minor units.
        amount: Minor,
        /// All coins of the payment, in its order.
        coins: Bounded<CoinId, MAX_COINS>,
        /// With all their keys over the refresh statement.
        possession: Proof,
    },
}

impl Funding {
    /// Signs for a received payment with the payee key's secret.
    ///
    /// # Errors
    /// [`Rejection::WrongRoute`] unless the request is made out to the key of `secret`.
    pub fn received<R: CryptoRng>(
        bank: &str,
        session: &Digest,
        item: CashItem,
        secret: &Scalar,
        challenges: &[Challenge],
        rng: &mut R,
    ) -> Result<Self, Rejection> {
        let Payee::Key(payee) = item.request.request.payee else { return Err(Rejection::WrongRoute) };
        let amount = item.request.request.amount.minor;
        let statement = received_statement(bank, session, &item.payment.digest(), amount, challenges);
        let possession = possession::prove(std::slice::from_ref(secret), &[payee], &statement, rng)
            .map_err(|_| Rejection::WrongRoute)?;
        Ok(Self::Received { item, possession })
    }

    /// Claims `amount` of what was refunded of `payment`, which was paid with `coins` in this order.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`] when there are no coins, too many, or the amount is zero.
    pub fn refunded<R: CryptoRng>(
        bank: &str,
        session: &Digest,
        payment: Digest,
        amount: Minor,
        coins: &[&Coin],
        challenges: &[Challenge],
        rng: &mut R,
    ) -> Result<Self, Rejection> {
        if amount.is_zero() {
            return Err(Rejection::AmountMismatch("a claim is more than zero"));
        }
        let ids = coins.iter().map(|coin| coin.id).collect();
        let ids: Bounded<CoinId, MAX_COINS> =
            Bounded::new(ids).map_err(|_| Rejection::AmountMismatch("too many coins"))?;
        let statement = refunded_statement(bank, session, &payment, amount, challenges);
        let keys: Vec<EncodedPoint> = ids.iter().map(|coin| coin.key).collect();
        let secrets = Zeroizing::new(coins.iter().map(|coin| *coin.secret()).collect::<Vec<_>>());
        let possession = possession::prove(&secrets, &keys, &statement, rng)
            .map_err(|_| Rejection::AmountMismatch("no coins"))?;
        Ok(Self::Refunded { payment, amount, coins: ids, possession })
    }

    /// Checks the possession proof of a [`Funding::Received`] or [`Funding::Refunded`] over its statement. The
    /// payment itself is the [`Checker`](crate::payment::Checker)'s and the register's to check.
    ///
    /// # Errors
    /// [`Rejection::PossessionInvalid`]; [`Rejection::WrongRoute`] for a request without a payee key and for
    /// the other kinds of funding.
    pub fn verify_possession(
        &self,
        bank: &str,
        session: &Digest,
        challenges: &[Challenge],
    ) -> Result<(), Rejection> {
        let (keys, statement, proof) = match self {
            Self::Received { item, possession } => {
                let Payee::Key(payee) = item.request.request.payee else {
                    return Err(Rejection::WrongRoute);
                };
                let (payment, amount) = (item.payment.digest(), item.request.request.amount.minor);
                (vec![payee], received_statement(bank, session, &payment, amount, challenges), possession)
            }
            Self::Refunded { payment, amount, coins, possession } => {
                let keys = coins.iter().map(|coin| coin.key).collect();
                (keys, refunded_statement(bank, session, payment, *amount, challenges), possession)
            }
            Self::Account { .. } | Self::Coins(_) => return Err(Rejection::WrongRoute),
        };
        possession::verify(&keys, &statement, proof).map_err(|_| Rejection::PossessionInvalid)
    }
}

/// Coins that give what a refresh takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoinFunding {
    /// At most [`MAX_COINS`], each coin once.
    pub inputs: Bounded<Input, MAX_COINS>,
    /// What the inputs name in `releases`, in full: at most [`MAX_RELEASES`].
    pub released: Bounded<Released, MAX_RELEASES>,
    /// With all coin keys over the refresh statement.
    pub possession: Proof,
}

/// One coin and what it gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What is signed of it.
    pub stated: StatedInput,
    /// The bank's signature on the coin.
    pub signature: Signature,
}

/// The part of an input that its owner signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatedInput {
    /// The coin.
    pub coin: CoinId,
    /// What it gives, minor units.
    pub contribution: Minor,
    /// Digests of **all** earlier statements of this coin that never took effect and never shall, each once. One
    /// that is left out can be held against the owner together with this refresh.
    pub releases: Bounded<Digest, MAX_RELEASES>,
}

/// An earlier signed statement that a refresh gives up: shown in full, so that its digest can be recomputed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Released {
    /// A payment whose request has expired undeposited.
    Payment {
        /// The request's expiry.
        expires: Timestamp,
        /// The rest of the request, [`crate::request::PaymentRequest::body_digest`].
        body: Digest,
        /// What its coins gave.
        shares: Bounded<Share, MAX_COINS>,
    },
    /// A refresh whose session was voided before it was answered.
    Refresh {
        /// The session.
        session: Digest,
        /// Its inputs.
        inputs: Bounded<StatedInput, MAX_COINS>,
        /// Its challenges.
        challenges: Bounded<Challenge, MAX_COINS>,
    },
}

impl Released {
    /// The digest of the released statement.
    pub fn digest(&self, bank: &str) -> Digest {
        match self {
            Self::Payment { expires, body, shares } => {
                payment_digest(&request_digest(*expires, body), shares.iter())
            }
            Self::Refresh { session, inputs, challenges } => {
                coins_statement(bank, session, inputs.iter(), challenges)
            }
        }
    }
}

/// `D("online-cash/withdraw"; bank, account, session, n, denomination ids, fee, c_1 … c_n)`.
pub fn withdrawal_statement(
    bank: &str,
    account: &str,
    session: &Digest,
    denominations: &[Digest],
    fee: Minor,
    challenges: &[Challenge],
) -> Digest {
    let start = Transcript::new("online-cash/withdraw")
        .text(bank)
        .text(account)
        .digest(session)
        .integer(denominations.len() as u64);
    let denominated = denominations.iter().fold(start, Transcript::digest).integer(fee.value());
    hash_challenges(denominated, challenges).into_digest()
}

fn hash_challenges(transcript: Transcript, challenges: &[Challenge]) -> Transcript {
    challenges.iter().fold(transcript, |t, challenge| t.scalar(challenge.scalar()))
}

fn refresh_start(bank: &str, session: &Digest, kind: &str, inputs: usize) -> Transcript {
    Transcript::new("online-cash/refresh").text(bank).digest(session).text(kind).integer(inputs as u64)
}

fn refresh_end(transcript: Transcript, challenges: &[Challenge]) -> Digest {
    hash_challenges(transcript.integer(challenges.len() as u64), challenges).into_digest()
}

/// The refresh statement of kind `coins`: an input is (denomination id, *K*, contribution, number of releases,
/// releases…).
pub fn coins_statement<'a>(
    bank: &str,
    session: &Digest,
    inputs: impl ExactSizeIterator<Item = &'a StatedInput>,
    challenges: &[Challenge],
) -> Digest {
    let start = refresh_start(bank, session, "coins", inputs.len());
    let stated = inputs.fold(start, |transcript, input| {
        let coin = transcript
            .digest(&input.coin.denomination)
            .point(&input.coin.key)
            .integer(input.contribution.value())
            .integer(input.releases.len() as u64);
        input.releases.iter().fold(coin, Transcript::digest)
    });
    refresh_end(stated, challenges)
}

/// The refresh statement of kind `received`: its one input is (payment digest, amount).
pub fn received_statement(
    bank: &str,
    session: &Digest,
    payment: &Digest,
    amount: Minor,
    challenges: &[Challenge],
) -> Digest {
    let input = refresh_start(bank, session, "received", 1).digest(payment).integer(amount.value());
    refresh_end(input, challenges)
}

/// The refresh statement of kind `refunded`: its one input is (payment digest, amount).
pub fn refunded_statement(
    bank: &str,
    session: &Digest,
    payment: &Digest,
    amount: Minor,
    challenges: &[Challenge],
) -> Digest {
    let input = refresh_start(bank, session, "refunded", 1).digest(payment).integer(amount.value());
    refresh_end(input, challenges)
}

/// One coin of a refresh as its owner plans it.
#[derive(Debug)]
pub struct PlannedInput<'a> {
    /// The coin.
    pub coin: &'a Coin,
    /// What it gives.
    pub contribution: Minor,
    /// Earlier statements of this coin to release.
    pub releases: Vec<Digest>,
}

impl CoinFunding {
    /// Signs a refresh of `planned` coins into the session's outputs.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`] when there are no inputs, or too many inputs or releases;
    /// [`Rejection::CoinRepeated`], [`Rejection::ContributionInvalid`] for what no bank would take.
    pub fn sign<R: CryptoRng>(
        bank: &str,
        session: &Digest,
        planned: &[PlannedInput<'_>],
        released: Vec<Released>,
        challenges: &[Challenge],
        rng: &mut R,
    ) -> Result<Self, Rejection> {
        let too_many = |_| Rejection::AmountMismatch("too many inputs or releases");
        let mut inputs = Vec::with_capacity(planned.len());
        for plan in planned {
            let stated = StatedInput {
                coin: plan.coin.id,
                contribution: plan.contribution,
                releases: Bounded::new(plan.releases.clone()).map_err(too_many)?,
            };
            inputs.push(Input { stated, signature: plan.coin.signature });
        }
        let statement = coins_statement(bank, session, inputs.iter().map(|input| &input.stated), challenges);
        let keys: Vec<EncodedPoint> = inputs.iter().map(|input| input.stated.coin.key).collect();
        let inputs = Bounded::new(inputs).map_err(too_many)?;
        let released = Bounded::new(released).map_err(too_many)?;
        // Zeros stand in for the proof until what is signed has its shape.
        let unsigned = Proof { r: EncodedPoint([0; 32]), s: EncodedScalar([0; 32]) };
        let mut funding = Self { inputs, released, possession: unsigned };
        funding.check_shape(bank)?;
        let secrets = Zeroizing::new(planned.iter().map(|plan| *plan.coin.secret()).collect::<Vec<_>>());
        funding.possession = possession::prove(&secrets, &keys, &statement, rng)
            .map_err(|_| Rejection::AmountMismatch("no inputs"))?;
        Ok(funding)
    }

    /// Everything that can be checked without the issuing bank's register: shape, the denominations, that each
    /// key is this bank's and not past its grace, contributions within values, that no released refresh is of
    /// `session` itself, the coins' signatures and the proof. Answers with the inputs' values, in order.
    ///
    /// # Errors
    /// The [`Rejection`] of the first rule that it breaks.
    pub fn verify<R: CryptoRng>(
        &self,
        pins: &PinLog,
        bank: &str,
        session: &Digest,
        challenges: &[Challenge],
        now: Timestamp,
        rng: &mut R,
    ) -> Result<Vec<VerifiedCoin>, Rejection> {
        self.check_shape(bank)?;
        let itself = |released: &Released| matches!(released, Released::Refresh { session: other, .. } if other == session);
        if self.released.iter().any(itself) {
            return Err(Rejection::AmountMismatch("a refresh cannot release its own session"));
        }
        let mut checks = Vec::with_capacity(self.inputs.len().saturating_add(1));
        let mut coins = Vec::with_capacity(self.inputs.len());
        let mut currency = None;
        for Input { stated, signature } in self.inputs.iter() {
            let key = pins.key(&stated.coin.denomination)?;
            key.check_grace(now)?;
            if key.key.bank.as_str() != bank {
                return Err(Rejection::WrongBank(key.key.bank.as_str().to_owned()));
            }
            if *currency.get_or_insert(key.key.currency) != key.key.currency {
                return Err(Rejection::WrongCurrency);
            }
            let share = Share { coin: stated.coin, contribution: stated.contribution };
            share.check(key.key.value)?;
            let message = coin::message(&share.coin.key);
            checks.push(Item::Signature { key: &key.public, message, signature: *signature });
            coins.push(VerifiedCoin { share, value: key.key.value, epoch: key.epoch });
        }
        let keys = self.inputs.iter().map(|input| input.stated.coin.key).collect();
        let statement = self.statement(bank, session, challenges);
        checks.push(Item::Possession { keys, statement, proof: self.possession });
        batch::verify(&checks, rng).map_err(|blame| blamed(&checks, &blame.indices))?;
        Ok(coins)
    }

    /// The statement its owner signed.
    pub fn statement(&self, bank: &str, session: &Digest, challenges: &[Challenge]) -> Digest {
        coins_statement(bank, session, self.inputs.iter().map(|input| &input.stated), challenges)
    }

    /// The sum of all contributions.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`] on overflow.
    pub fn total(&self) -> Result<Minor, Rejection> {
        Minor::sum(self.inputs.iter().map(|input| input.stated.contribution))
            .map_err(|_| Rejection::AmountMismatch("sum overflows"))
    }

    /// Checks that each coin stands once, and that what is named as released and what is shown agree: every
    /// digest in an input is of a shown statement **that contains this coin**, named once, and every shown one is
    /// named.
    ///
    /// Signatures, possession and sums are [`CoinFunding::verify`]'s to check; whether the released statements
    /// are void, and the coins have what they give, is the issuing bank's register to say.
    ///
    /// # Errors
    /// [`Rejection::CoinRepeated`], [`Rejection::ContributionInvalid`], [`Rejection::AmountMismatch`].
    pub fn check_shape(&self, bank: &str) -> Result<(), Rejection> {
        let mut seen = BTreeSet::new();
        let shown: Vec<(Digest, &Released)> =
            self.released.iter().map(|released| (released.digest(bank), released)).collect();
        let mut named = BTreeSet::new();
        for input in self.inputs.iter().map(|input| &input.stated) {
            if !seen.insert(input.coin) {
                return Err(Rejection::CoinRepeated);
            }
            if input.contribution.value() == 0 {
                return Err(Rejection::ContributionInvalid);
            }
            let mut own = BTreeSet::new();
            for digest in input.releases.iter() {
                if !own.insert(digest) {
                    return Err(Rejection::AmountMismatch("a released statement is named twice"));
                }
                let known = shown.iter().find(|(shown_digest, _)| shown_digest == digest);
                let contains = known.is_some_and(|(_, released)| released.contains(&input.coin));
                if !contains {
                    return Err(Rejection::AmountMismatch("a released statement is not shown"));
                }
                named.insert(*digest);
            }
        }
        if self.inputs.is_empty() || named.len() != shown.len() {
            return Err(Rejection::AmountMismatch("inputs and released statements do not fit"));
        }
        Ok(())
    }
}

impl Released {
    fn contains(&self, coin: &CoinId) -> bool {
        match self {
            Self::Payment { shares, .. } => shares.iter().any(|share| share.coin == *coin),
            Self::Refresh { inputs, .. } => inputs.iter().any(|input| input.coin == *coin),
        }
    }
}
