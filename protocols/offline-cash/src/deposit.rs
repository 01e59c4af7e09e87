//! What travels payee → collecting bank → center → issuing bank, and what comes back.
//!
//! A deposited payment is always taken. Its first use of a unit is paid from circulation; units that were deposited before
//! are paid by whoever answered twice, as far as account and collateral go; the rest is owed to the payee. The same
//! payment again gets the stored outcome and receipt, byte for byte.

use feiqian_crypto::{Digest, EncodedScalar, Transcript};
use feiqian_money::{Amount, Minor, MoneyError};
use feiqian_pki::KeyPair;
use feiqian_wire::error::Fault;
use feiqian_wire::{Bounded, Name, Text, Timestamp};
use serde::{Deserialize, Serialize};

use crate::chain::Place;
use crate::interval::Interval;
use crate::pay::{CashItem, VerifiedPayment};
use crate::register::{Charge, Deposited, Mark, Settlement, settle};
use crate::signed::DocumentSignature;
use crate::verify::VerifiedChain;
use crate::{MAX_HOPS, MAX_PIECES, Rejection};

/// The most parts of one outcome: of every piece one from circulation, and of each of its hops one charged and one unpaid.
/// So no cheat can make a payment that the issuing bank has no words for.
pub const MAX_PARTS: usize = MAX_PIECES * (1 + 2 * MAX_HOPS);

/// Presents a payment to the issuing bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    /// Request and payment.
    pub item: CashItem,
    /// The presentment; a collecting bank credits only its own.
    pub presentment: Digest,
}

/// Where a part of a payment comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// Paid from circulation.
    Circulation,
    /// Paid from the account and collateral of whoever answered twice, this accusation's subject.
    Charged {
        /// The accusation's digest.
        accusation: Digest,
    },
    /// Not paid yet: the payee's claim. Paid pro rata later.
    Unpaid {
        /// Names the claim, [`ClaimTerms::id`].
        claim: Digest,
    },
}

/// Some units of one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The piece's place in the payment, from 0.
    pub piece: u32,
    /// How much, minor units.
    pub amount: Minor,
    /// Where from.
    pub source: Source,
}

/// What makes a charge a claim, unique for ever: at another bank, through the center.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimTerms {
    /// The issuing bank of the value coin, which claims.
    pub issuing_bank: Name,
    /// *m* of the coin or blank that answered twice.
    pub message: Digest,
    /// What came before.
    pub previous: Digest,
    /// The node it answered for.
    pub node: feiqian_crypto::share_tree::Node,
    /// *d*.
    pub challenge: EncodedScalar,
    /// The payment's set.
    pub payment: Digest,
}

impl ClaimTerms {
    /// The claim on the holder whom a charge of a chain of a payment names.
    ///
    /// # Errors
    /// [`Rejection::PieceInvalid`] when the chain has no such hop.
    pub fn of(payment: &VerifiedPayment, chain: &VerifiedChain, charge: &Charge) -> Result<Self, Rejection> {
        let hop = chain.hops().get(charge.hop).filter(|hop| Mark::from(*hop) == charge.answer);
        let place = hop.ok_or(Rejection::PieceInvalid("the charge is of another chain"))?.place();
        let Place { previous, message, node } = place;
        let challenge = charge.answer.challenge;
        let issuing_bank = payment.bank.clone();
        Ok(Self { issuing_bank, message, previous, node, challenge, payment: payment.set })
    }

    /// `D("offline-cash/charge-claim"; issuing bank, m, previous, node, d, payment)`.
    #[must_use]
    pub fn id(&self) -> Digest {
        Transcript::new("offline-cash/charge-claim")
            .text(self.issuing_bank.as_str())
            .digest(&self.message)
            .digest(&self.previous)
            .integer(self.node.into())
            .encoded_scalar(&self.challenge)
            .digest(&self.payment)
            .into_digest()
    }
}

/// What the issuing bank undertakes for a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceiptTerms {
    /// The issuing bank.
    pub bank: Name,
    /// The payment's set.
    pub payment: Digest,
    /// The request it pays.
    pub request: Digest,
    /// How much.
    pub amount: Amount,
    /// The collecting bank.
    pub collecting_bank: Name,
    /// The credited account.
    pub account: Text<64>,
    /// To which presentment.
    pub presentment: Digest,
    /// By piece; they sum to the amount.
    pub parts: Bounded<Part, MAX_PARTS>,
    /// When.
    pub at: Timestamp,
}

impl ReceiptTerms {
    /// The terms for a payment of these parts.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`] unless the parts sum to every piece, and none is of zero;
    /// [`Rejection::LimitExceeded`] above [`MAX_PARTS`].
    pub fn new(
        payment: &VerifiedPayment,
        presentment: Digest,
        parts: Vec<Part>,
        at: Timestamp,
    ) -> Result<Self, Rejection> {
        for (place, chain) in (0_u32..).zip(&payment.chains) {
            let own = parts.iter().filter(|part| part.piece == place).map(|part| part.amount);
            if Minor::sum(own) != Ok(chain.interval().value()) {
                return Err(Rejection::AmountMismatch("the parts do not sum to a piece"));
            }
        }
        let terms = Self {
            bank: payment.bank.clone(),
            payment: payment.set,
            request: payment.request.digest,
            amount: payment.request.request.amount,
            collecting_bank: payment.request.request.bank.clone(),
            account: payment.request.request.account.clone(),
            presentment,
            parts: Bounded::new(parts).map_err(|_| Rejection::LimitExceeded("parts of an outcome"))?,
            at,
        };
        terms.check()?;
        Ok(terms)
    }

    fn check(&self) -> Result<(), Rejection> {
        let sum = Minor::sum(self.parts.iter().map(|part| part.amount));
        if sum != Ok(self.amount.minor) || self.parts.iter().any(|part| part.amount.is_zero()) {
            return Err(Rejection::AmountMismatch("the parts do not sum to the payment"));
        }
        Ok(())
    }

    /// `D("offline-cash/receipt"; bank, payment, request, minor, currency, collecting bank, account, presentment, n, (piece,
    /// minor, source)…, at)`; a source is `"circulation"`, or `"charged"` or `"unpaid"` and its digest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let part = |transcript: Transcript, part: &Part| {
            let start = transcript.integer(part.piece.into()).integer(part.amount.value());
            match &part.source {
                Source::Circulation => start.text("circulation"),
                Source::Charged { accusation } => start.text("charged").digest(accusation),
                Source::Unpaid { claim } => start.text("unpaid").digest(claim),
            }
        };
        Transcript::new("offline-cash/receipt")
            .text(self.bank.as_str())
            .digest(&self.payment)
            .digest(&self.request)
            .integer(self.amount.minor.value())
            .text(self.amount.currency.code())
            .text(self.collecting_bank.as_str())
            .text(self.account.as_str())
            .digest(&self.presentment)
            .list(&self.parts, part)
            .integer(self.at.seconds())
            .into_digest()
    }

    fn sum(&self, counts: impl Fn(&Source) -> bool) -> Result<Minor, MoneyError> {
        Minor::sum(self.parts.iter().filter(|part| counts(&part.source)).map(|part| part.amount))
    }

    /// What the collecting bank credits, if the presentment is its own.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn paid(&self) -> Result<Minor, MoneyError> {
        self.sum(|source| !matches!(source, Source::Unpaid { .. }))
    }

    /// What is owed to the payee.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`].
    pub fn unpaid(&self) -> Result<Minor, MoneyError> {
        self.sum(|source| matches!(source, Source::Unpaid { .. }))
    }

    /// Signs the receipt.
    ///
    /// # Errors
    /// Those of [`DocumentSignature::sign`].
    pub fn sign(self, key: &KeyPair) -> Result<Receipt, Rejection> {
        let signature = DocumentSignature::sign(key, &self.digest())?;
        Ok(Receipt { terms: self, signature })
    }
}

/// The issuing bank's word on what became of a payment, and to which presentment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// What it undertakes.
    pub terms: ReceiptTerms,
    /// By its document-signing key over [`ReceiptTerms::digest`].
    pub signature: DocumentSignature,
}

impl Receipt {
    /// Checks the sums and the issuing bank's signature.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`], [`Rejection::SignatureInvalid`].
    pub fn verify(&self, bank_signing_key: &[u8; 32]) -> Result<(), Rejection> {
        self.terms.check()?;
        self.signature.verify(bank_signing_key, &self.terms.digest(), "receipt")
    }

    /// Is it the receipt of this payment, to this presentment?
    ///
    /// # Errors
    /// [`Rejection::RequestMismatch`].
    pub fn check_for(&self, payment: &VerifiedPayment, presentment: &Digest) -> Result<(), Rejection> {
        let ReceiptTerms {
            bank,
            payment: set,
            request,
            amount,
            collecting_bank,
            account,
            presentment: to,
            ..
        } = &self.terms;
        let asked = &payment.request.request;
        let same = *bank == payment.bank
            && *set == payment.set
            && *request == payment.request.digest
            && *amount == asked.amount
            && *collecting_bank == asked.bank
            && *account == asked.account
            && to == presentment;
        same.then_some(()).ok_or(Rejection::RequestMismatch)
    }
}

/// What became of a deposit. None of these is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Redeemed by this presentment: paid, charged and unpaid parts.
    Settled(Receipt),
    /// The same payment was redeemed before: the receipt of then, byte for byte.
    Before(Receipt),
    /// Not redeemed, and why; nothing was changed.
    Refused(Fault),
}

/// Settles every chain of a payment that is new, in order; the settlements say who pays. `stored` gives the chains that
/// were deposited on a coin and share a unit with an interval.
///
/// The chains of one payment never share a unit: checking it has made sure. A payment that was redeemed before is found by
/// its set, before this.
///
/// # Errors
/// As [`settle`], [`Rejection::PieceRepeated`] for a chain that was deposited before, and those of `stored`.
pub fn settle_payment<E: From<Rejection>>(
    payment: &VerifiedPayment,
    mut stored: impl FnMut(&Digest, Interval) -> Result<Vec<Deposited>, E>,
) -> Result<Vec<Settlement>, E> {
    let mut settle_one = |chain: &VerifiedChain| {
        let coin = chain.coin().ok_or(Rejection::PieceInvalid("a chain without hops"))?;
        let settlement = settle(&Deposited::of(chain)?, &stored(coin, chain.interval())?)?;
        if settlement.repeated { Err(Rejection::PieceRepeated.into()) } else { Ok(settlement) }
    };
    payment.chains.iter().map(&mut settle_one).collect()
}
