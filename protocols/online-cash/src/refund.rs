//! Refunds: a payee gives back, the issuing bank books a claim on the payment, the payer takes it anonymously.
//!
//! A coin's spent amount never decreases: an honest wallet would else have signed for more than its value. So a
//! refund is a claim on the **payment digest**, taken by [`crate::funding::Funding::Refunded`].

use feiqian_crypto::Digest;
use feiqian_crypto::transcript::Transcript;
use feiqian_money::Amount;
use feiqian_pki::{KeyPair, Verified};
use feiqian_wire::Name;
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::deposit::Receipt;
use crate::request::Route;
use crate::signed::{DocumentSignature, WireChain};

/// A payee's order to give back part or all of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundOrder {
    /// Made by the payee: the same id with the same body acts once.
    pub refund: Digest,
    /// The issuing bank of the payment's coins.
    pub issuing_bank: Name,
    /// The refunded payment.
    pub payment: Digest,
    /// How much; several refunds of one payment add up to at most its amount.
    pub amount: Amount,
    /// By the payee's document-signing key over [`RefundOrder::digest`].
    pub signature: DocumentSignature,
}

fn digest_of(refund: &Digest, bank: &Name, payment: &Digest, amount: Amount) -> Digest {
    Transcript::new("online-cash/refund")
        .digest(refund)
        .text(bank.as_str())
        .digest(payment)
        .integer(amount.minor.value())
        .text(amount.currency.code())
        .into_digest()
}

impl RefundOrder {
    /// Signs an order.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`] when the amount is zero.
    pub fn sign(
        refund: Digest,
        issuing_bank: Name,
        payment: Digest,
        amount: Amount,
        key: &KeyPair,
    ) -> Result<Self, Rejection> {
        if amount.minor.value() == 0 {
            return Err(Rejection::AmountMismatch("a refund is more than zero"));
        }
        let signature = DocumentSignature::sign(key, &digest_of(&refund, &issuing_bank, &payment, amount))?;
        Ok(Self { refund, issuing_bank, payment, amount, signature })
    }

    /// `D("online-cash/refund"; refund id, issuing bank, payment, amount, currency)`.
    pub fn digest(&self) -> Digest {
        digest_of(&self.refund, &self.issuing_bank, &self.payment, self.amount)
    }

    /// Checks the payee's signature.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`], [`Rejection::AmountMismatch`] when the amount is zero.
    pub fn verify(&self, payee_signing_key: &[u8; 32]) -> Result<(), Rejection> {
        if self.amount.minor.value() == 0 {
            return Err(Rejection::AmountMismatch("a refund is more than zero"));
        }
        self.signature.verify(payee_signing_key, &self.digest(), "refund order")
    }
}

/// What travels collecting bank → center → issuing bank: the order, and that the payment was redeemed to the
/// ordering payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefundItem {
    /// The payee's order.
    pub order: RefundOrder,
    /// The issuing bank's own receipt of the payment.
    pub receipt: Receipt,
    /// The payee's document-signing chain: leaf, bank authority.
    pub payee: WireChain,
}

impl RefundItem {
    /// Checks order and receipt against each other and both signatures; `payee` is the validated holder of
    /// [`RefundItem::payee`]. How much of the payment was refunded before is the register's to say.
    ///
    /// # Errors
    /// [`Rejection::RequestMismatch`] when the receipt is of another payment or issuing bank;
    /// [`Rejection::WrongRoute`] when it was not credited to the payee's account; [`Rejection::WrongCurrency`],
    /// [`Rejection::AmountMismatch`] for more than was paid or nothing; [`Rejection::SignatureInvalid`].
    pub fn verify(&self, payee: &Verified, issuing_bank_signing_key: &[u8; 32]) -> Result<(), Rejection> {
        let Self { order, receipt, .. } = self;
        if receipt.payment != order.payment || receipt.bank != order.issuing_bank {
            return Err(Rejection::RequestMismatch);
        }
        let Route::Account { bank, account } = &receipt.route else { return Err(Rejection::WrongRoute) };
        if payee.subject.bank_name() != Some(bank.as_str()) || payee.subject.name() != account.as_str() {
            return Err(Rejection::WrongRoute);
        }
        if order.amount.currency != receipt.amount.currency {
            return Err(Rejection::WrongCurrency);
        }
        if order.amount.minor > receipt.amount.minor {
            return Err(Rejection::AmountMismatch("a refund is at most what was paid"));
        }
        receipt.verify(issuing_bank_signing_key)?;
        order.verify(&payee.public_key)
    }
}

/// The issuing bank's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum RefundOutcome {
    /// The claim stands on the payment; the payer may take it.
    Booked,
    /// Refused; nothing was changed.
    Refused(feiqian_wire::error::Fault),
}
