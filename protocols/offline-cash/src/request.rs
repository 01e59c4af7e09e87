//! A payee's signed request for an offline payment.
//!
//! It names the account that is credited, the till that takes the payment and the keysets that the payee knows. It is
//! redeemed for one payment, used once, by one till.

use feiqian_crypto::{Digest, Transcript};
use feiqian_money::Amount;
use feiqian_pki::{KeyPair, Verified};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::chain::{KeysetView, MAX_KEYSETS};
use crate::signed::DocumentSignature;

/// What a payee asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentRequest {
    /// The payee's document-signing leaf certificate, DER, at most 768 bytes.
    pub leaf: Blob<768>,
    /// SHA-256 of the certificate of the authority that issued it.
    pub issuer: Digest,
    /// The payee's name for human eyes; it proves nothing.
    pub name: Text<64>,
    /// How much, in which currency.
    pub amount: Amount,
    /// The payee's reference.
    pub order: Text<64>,
    /// The collecting bank.
    pub bank: Name,
    /// The account that is credited.
    pub account: Text<64>,
    /// The one till that takes the payment.
    pub till: Text<32>,
    /// The keysets that the payee knows: a payment uses no others.
    pub keysets: Bounded<KeysetView, MAX_KEYSETS>,
    /// First second at which it can no longer be paid.
    pub expires: Timestamp,
    /// 32 fresh random bytes.
    pub nonce: Digest,
}

pub(crate) fn hash_keysets(transcript: Transcript, keysets: &[KeysetView]) -> Transcript {
    transcript.list(keysets, |transcript, view| {
        transcript.text(view.bank.as_str()).integer(view.epoch.0).digest(&view.digest)
    })
}

impl PaymentRequest {
    /// `D("offline-cash/request"; leaf, issuer, name, minor, currency, order, bank, account, till, n, (bank, epoch,
    /// keyset digest)…, expires, nonce)`.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let payee = Transcript::new("offline-cash/request").bytes(&self.leaf).digest(&self.issuer);
        let stated = payee
            .text(self.name.as_str())
            .integer(self.amount.minor.value())
            .text(self.amount.currency.code())
            .text(self.order.as_str())
            .text(self.bank.as_str())
            .text(self.account.as_str())
            .text(self.till.as_str());
        let shown = hash_keysets(stated, &self.keysets);
        shown.integer(self.expires.seconds()).digest(&self.nonce).into_digest()
    }
}

/// A request with the payee's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRequest {
    /// What is asked.
    pub request: PaymentRequest,
    /// By the certified document-signing key over the request's digest.
    pub signature: DocumentSignature,
}

/// Decides whether a payee's leaf certificate is good: chain, purpose, revocation and time.
pub trait Authorities {
    /// The verified leaf.
    ///
    /// # Errors
    /// [`Rejection::CertificateInvalid`].
    fn payee(&self, leaf: &[u8], issuer: &Digest, now: Timestamp) -> Result<Verified, Rejection>;
}

/// A request whose signature and format were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRequest {
    /// Its digest.
    pub digest: Digest,
    /// What is asked.
    pub request: PaymentRequest,
}

impl SignedRequest {
    /// Signs as the account holder.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`] for an amount of zero.
    pub fn sign(request: PaymentRequest, key: &KeyPair) -> Result<Self, Rejection> {
        check_amount(&request)?;
        let signature = DocumentSignature::sign(key, &request.digest())?;
        Ok(Self { request, signature })
    }

    /// Checks format and signature; not the expiry, which only some steps depend on. The payee's certificate is judged at
    /// the latest at the expiry: what was paid in time is deposited later, when that certificate may have ended.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`], [`Rejection::CertificateInvalid`], [`Rejection::SignatureInvalid`].
    pub fn verify(
        &self,
        authorities: &dyn Authorities,
        now: Timestamp,
    ) -> Result<VerifiedRequest, Rejection> {
        let request = &self.request;
        check_amount(request)?;
        let digest = request.digest();
        let holder = authorities.payee(&request.leaf, &request.issuer, now.min(request.expires))?;
        let subject = &holder.subject;
        if subject.bank_name() != Some(request.bank.as_str()) || subject.name() != request.account.as_str() {
            return Err(Rejection::RequestInvalid("certificate is for another account"));
        }
        self.signature.verify(&holder.public_key, &digest, "payment request")?;
        Ok(VerifiedRequest { digest, request: request.clone() })
    }
}

fn check_amount(request: &PaymentRequest) -> Result<(), Rejection> {
    if request.amount.minor.is_zero() { Err(Rejection::RequestInvalid("amount is zero")) } else { Ok(()) }
}

impl VerifiedRequest {
    /// Can it still be paid?
    ///
    /// # Errors
    /// [`Rejection::Expired`] with both times.
    pub fn check_open(&self, now: Timestamp) -> Result<(), Rejection> {
        check_open(self.request.expires, now)
    }
}

pub(crate) fn check_open(expires: Timestamp, now: Timestamp) -> Result<(), Rejection> {
    if now < expires {
        Ok(())
    } else {
        Err(Rejection::Expired { expired: expires.seconds(), now: now.seconds() })
    }
}
