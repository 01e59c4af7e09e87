//! What travels payee → collecting bank → center → issuing bank, and what comes back.

use feiqian_crypto::Digest;
use feiqian_crypto::transcript::Transcript;
use feiqian_money::Amount;
use feiqian_pki::KeyPair;
use feiqian_wire::error::Fault;
use feiqian_wire::{Bounded, Name, Timestamp};
use serde::{Deserialize, Serialize};

use crate::evidence::Evidence;
use crate::payment::{Payment, Share};
use crate::request::{Route, SignedRequest};
use crate::signed::DocumentSignature;
use crate::{MAX_COINS, Rejection};

/// A payment and the request it pays: what every party on the way checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CashItem {
    /// Signed by the payee.
    pub request: SignedRequest,
    /// Signed with the coins' keys.
    pub payment: Payment,
}

/// The issuing bank's word that a payment is redeemed, and to which presentment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The issuing bank.
    pub bank: Name,
    /// The payment.
    pub payment: Digest,
    /// The request it paid.
    pub request: Digest,
    /// How much.
    pub amount: Amount,
    /// By which route.
    pub route: Route,
    /// To which presentment; for [`Route::Received`] the session. A collecting bank credits only its own.
    pub presentment: Digest,
    /// When.
    pub paid_at: Timestamp,
    /// By the issuing bank's document-signing key over [`Receipt::digest`].
    pub signature: DocumentSignature,
}

/// A receipt before it is signed.
#[derive(Debug, Clone)]
pub struct ReceiptTerms {
    /// The issuing bank.
    pub bank: Name,
    /// The payment.
    pub payment: Digest,
    /// The request it paid.
    pub request: Digest,
    /// How much.
    pub amount: Amount,
    /// By which route.
    pub route: Route,
    /// To which presentment.
    pub presentment: Digest,
    /// When.
    pub paid_at: Timestamp,
}

impl ReceiptTerms {
    /// Signs the receipt.
    ///
    /// # Errors
    /// Those of [`DocumentSignature::sign`].
    pub fn sign(self, key: &KeyPair) -> Result<Receipt, Rejection> {
        let signature = DocumentSignature::sign(key, &self.digest())?;
        let Self { bank, payment, request, amount, route, presentment, paid_at } = self;
        Ok(Receipt { bank, payment, request, amount, route, presentment, paid_at, signature })
    }

    fn digest(&self) -> Digest {
        let start = Transcript::new("online-cash/receipt")
            .text(self.bank.as_str())
            .digest(&self.payment)
            .digest(&self.request)
            .integer(self.amount.minor.value())
            .text(self.amount.currency.code());
        self.route.hash_into(start).digest(&self.presentment).integer(self.paid_at.seconds()).into_digest()
    }
}

impl Receipt {
    /// `D("online-cash/receipt"; bank, payment, request, amount, currency, route…, presentment, paid_at)`.
    pub fn digest(&self) -> Digest {
        ReceiptTerms {
            bank: self.bank.clone(),
            payment: self.payment,
            request: self.request,
            amount: self.amount,
            route: self.route.clone(),
            presentment: self.presentment,
            paid_at: self.paid_at,
        }
        .digest()
    }

    /// Checks the issuing bank's signature.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`].
    pub fn verify(&self, bank_signing_key: &[u8; 32]) -> Result<(), Rejection> {
        self.signature.verify(bank_signing_key, &self.digest(), "receipt")
    }
}

/// What became of a payment. None of these is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// Redeemed by this presentment.
    Paid(Receipt),
    /// The same payment was redeemed before: the receipt of then.
    AlreadyPaid(Receipt),
    /// Its coins have been given elsewhere: signed statements that together exceed a coin's value.
    DoubleSpent(Evidence),
    /// Not redeemed, and why; nothing was changed.
    Refused(Fault),
}

/// Asks the issuing bank (through the center) what became of a payment. Anonymous.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OutcomeRequest {
    /// The issuing bank.
    pub bank: Name,
    /// The request's expiry.
    pub expires: Timestamp,
    /// The rest of the request, [`crate::request::PaymentRequest::body_digest`].
    pub body: Digest,
    /// What its coins give: with the above, enough to recompute the payment's digest.
    pub shares: Bounded<Share, MAX_COINS>,
}

impl OutcomeRequest {
    /// The payment asked about.
    pub fn payment(&self) -> Digest {
        let request = crate::request::request_digest(self.expires, &self.body);
        crate::payment::payment_digest(&request, self.shares.iter())
    }
}

/// The answer to an [`OutcomeRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum OutcomeResponse {
    /// Not deposited, and the request has not expired.
    Open,
    /// Redeemed; refunds may stand open.
    Paid {
        /// The issuing bank's receipt.
        receipt: Receipt,
        /// Refunded so far, minor units.
        refunded: feiqian_money::Minor,
        /// Claimed of that by the payer, minor units.
        claimed: feiqian_money::Minor,
    },
    /// Expired undeposited; from now on the bank refuses it for ever.
    Expired(ExpiredStatement),
}

/// The issuing bank's final word that a payment expired undeposited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExpiredStatement {
    /// The issuing bank.
    pub bank: Name,
    /// The payment.
    pub payment: Digest,
    /// When its request expired.
    pub expires: Timestamp,
    /// By the bank's document-signing key over [`ExpiredStatement::digest`].
    pub signature: DocumentSignature,
}

impl ExpiredStatement {
    /// Signs.
    ///
    /// # Errors
    /// Those of [`DocumentSignature::sign`].
    pub fn sign(bank: Name, payment: Digest, expires: Timestamp, key: &KeyPair) -> Result<Self, Rejection> {
        let signature = DocumentSignature::sign(key, &Self::digest_of(&bank, &payment, expires))?;
        Ok(Self { bank, payment, expires, signature })
    }

    fn digest_of(bank: &Name, payment: &Digest, expires: Timestamp) -> Digest {
        Transcript::new("online-cash/expired")
            .text(bank.as_str())
            .digest(payment)
            .integer(expires.seconds())
            .into_digest()
    }

    /// `D("online-cash/expired"; bank, payment, expires)`.
    pub fn digest(&self) -> Digest {
        Self::digest_of(&self.bank, &self.payment, self.expires)
    }

    /// Checks the bank's signature.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`].
    pub fn verify(&self, bank_signing_key: &[u8; 32]) -> Result<(), Rejection> {
        self.signature.verify(bank_signing_key, &self.digest(), "expiry statement")
    }
}

/// What a listening payee answers to a payer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PayResponse {
    /// Deposited and final.
    Paid(PayeeReceipt),
    /// Taken and stored; the deposit is not final yet. Send the same payment again to learn more.
    Pending,
    /// Not final and never will be; the coins may be refreshed after the request's expiry.
    Refused(Outcome),
}

/// The payee's receipt to the payer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PayeeReceipt {
    /// The issuing bank's receipt.
    pub receipt: Receipt,
    /// By the payee's document-signing key over the receipt's digest.
    pub signature: DocumentSignature,
}

impl PayeeReceipt {
    /// Signs for the issuing bank's receipt as the payee.
    ///
    /// # Errors
    /// Those of [`DocumentSignature::sign`].
    pub fn sign(receipt: Receipt, key: &KeyPair) -> Result<Self, Rejection> {
        let signature = DocumentSignature::sign(key, &receipt.digest())?;
        Ok(Self { receipt, signature })
    }

    /// Checks both signatures, and that this is the receipt of `payment` of `request`.
    ///
    /// # Errors
    /// [`Rejection::RequestMismatch`], [`Rejection::SignatureInvalid`].
    pub fn verify(
        &self,
        payment: &Digest,
        request: &Digest,
        bank_signing_key: &[u8; 32],
        payee_signing_key: &[u8; 32],
    ) -> Result<(), Rejection> {
        if self.receipt.payment != *payment || self.receipt.request != *request {
            return Err(Rejection::RequestMismatch);
        }
        self.receipt.verify(bank_signing_key)?;
        self.signature.verify(payee_signing_key, &self.receipt.digest(), "payee's receipt")
    }
}
