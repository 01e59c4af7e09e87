//! A payee's signed request: what is to be paid, to whom, by which one route, until when.
//!
//! As text it is a `feiqian:` URI of at most [`MAX_URI`] characters that fits a QR code.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, EncodedPoint, Scalar};
use feiqian_money::Amount;
use feiqian_pki::{KeyPair, Verified};
use feiqian_wire::codec::{self, Limit};
use feiqian_wire::{Blob, Name, Text, Timestamp};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::keyset::View;
use crate::signed::DocumentSignature;

/// The longest request as text, in characters.
pub const MAX_URI: usize = 1500;

const SCHEME: &str = "feiqian:";

/// Who is to be paid, and how that party signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Payee {
    /// An account holder: the document-signing leaf certificate (DER) and the SHA-256 of its issuer's.
    Certified {
        /// Leaf certificate, DER, at most 768 bytes.
        leaf: Blob<768>,
        /// SHA-256 of the issuing bank authority's certificate.
        issuer: Digest,
    },
    /// A person: a key made for this request alone.
    Key(EncodedPoint),
}

/// Where the value goes. A request fixes exactly one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Route {
    /// Credited to an account at the collecting bank.
    Account {
        /// The collecting bank.
        bank: Name,
        /// The account's token.
        account: Text<64>,
    },
    /// Taken as new coins by the holder of the payee key.
    Received,
}

impl Route {
    pub(crate) fn hash_into(&self, transcript: Transcript) -> Transcript {
        match self {
            Self::Account { bank, account } => {
                transcript.text("account").text(bank.as_str()).text(account.as_str())
            }
            Self::Received => transcript.text("received"),
        }
    }
}

/// How the payment reaches the payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Delivery {
    /// The payee listens at this URL (root fingerprint as fragment).
    Url(Text<192>),
    /// Sealed, in a drop box at the bank with this URL.
    DropBox(Text<192>),
    /// By hand, as a file.
    ByHand,
}

/// What a payee asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PaymentRequest {
    /// Who is paid.
    pub payee: Payee,
    /// The payee's name for human eyes; it proves nothing.
    pub name: Text<64>,
    /// How much, in which currency.
    pub amount: Amount,
    /// The payee's reference.
    pub order: Text<64>,
    /// The one route.
    pub route: Route,
    /// How to deliver the payment.
    pub delivery: Delivery,
    /// Until when the payee undertakes to consider refunds.
    pub refund_until: Timestamp,
    /// The payee's view of the pinned keysets.
    pub view: View,
    /// First second at which it can no longer be paid.
    pub expires: Timestamp,
    /// 32 fresh random bytes.
    pub nonce: Digest,
}

impl PaymentRequest {
    /// `D("payment-request/body"; …)` over every field but the expiry, in the order of the struct.
    pub fn body_digest(&self) -> Digest {
        let start = Transcript::new("payment-request/body");
        let payee = match &self.payee {
            Payee::Certified { leaf, issuer } => start.text("certified").bytes(leaf).digest(issuer),
            Payee::Key(key) => start.text("key").point(key),
        };
        let stated = payee
            .text(self.name.as_str())
            .integer(self.amount.minor.value())
            .text(self.amount.currency.code())
            .text(self.order.as_str());
        let routed = self.route.hash_into(stated);
        let delivered = match &self.delivery {
            Delivery::Url(url) => routed.text("url").text(url.as_str()),
            Delivery::DropBox(url) => routed.text("drop-box").text(url.as_str()),
            Delivery::ByHand => routed.text("by-hand"),
        };
        delivered.integer(self.refund_until.seconds()).digest(&self.view).digest(&self.nonce).into_digest()
    }

    /// The request's digest, see [`request_digest`].
    pub fn digest(&self) -> Digest {
        request_digest(self.expires, &self.body_digest())
    }
}

/// `D("payment-request"; expires, body digest)`: the expiry stands outside the body, so that a payment's expiry
/// can be shown later without the rest of the request.
pub fn request_digest(expires: Timestamp, body: &Digest) -> Digest {
    Transcript::new("payment-request").integer(expires.seconds()).digest(body).into_digest()
}

/// The payee's signature over the request's digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PayeeSignature {
    /// By the certified document-signing key.
    Document(DocumentSignature),
    /// By the payee key: a possession proof over the digest.
    Key(Proof),
}

/// A request with its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedRequest {
    /// What is asked.
    pub request: PaymentRequest,
    /// By the payee.
    pub signature: PayeeSignature,
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
    /// Signs as an account holder.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`] when payee and route do not fit this kind of signature.
    pub fn by_account_holder(request: PaymentRequest, key: &KeyPair) -> Result<Self, Rejection> {
        if !matches!((&request.payee, &request.route), (Payee::Certified { .. }, Route::Account { .. })) {
            return Err(Rejection::RequestInvalid("an account holder is paid on an account"));
        }
        let signature = DocumentSignature::sign(key, &request.digest())?;
        Ok(Self { request, signature: PayeeSignature::Document(signature) })
    }

    /// Signs with a payee key made for this request.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`] when payee and route do not fit this kind of signature.
    pub fn by_key<R: CryptoRng>(
        request: PaymentRequest,
        secret: &Scalar,
        rng: &mut R,
    ) -> Result<Self, Rejection> {
        let (Payee::Key(key), Route::Received) = (&request.payee, &request.route) else {
            return Err(Rejection::RequestInvalid("a payee key takes coins"));
        };
        let proof = possession::prove(&[*secret], &[*key], &request.digest(), rng)
            .map_err(|_| Rejection::RequestInvalid("payee key"))?;
        Ok(Self { request, signature: PayeeSignature::Key(proof) })
    }

    /// Checks format and signature; not the expiry, which only some steps depend on.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`], [`Rejection::CertificateInvalid`], [`Rejection::SignatureInvalid`].
    pub fn verify(
        &self,
        authorities: &dyn Authorities,
        now: Timestamp,
    ) -> Result<VerifiedRequest, Rejection> {
        let request = &self.request;
        if request.amount.minor.value() == 0 {
            return Err(Rejection::RequestInvalid("amount is zero"));
        }
        let digest = request.digest();
        match (&request.payee, &self.signature, &request.route) {
            (
                Payee::Certified { leaf, issuer },
                PayeeSignature::Document(signature),
                Route::Account { bank, account },
            ) => {
                let holder = authorities.payee(leaf, issuer, now)?;
                let subject = &holder.subject;
                if subject.bank_name() != Some(bank.as_str()) || subject.name() != account.as_str() {
                    return Err(Rejection::RequestInvalid("certificate is for another account"));
                }
                signature.verify(&holder.public_key, &digest, "payment request")?;
            }
            (Payee::Key(key), PayeeSignature::Key(proof), Route::Received) => {
                key.decode_non_identity().map_err(|_| Rejection::Malformed("payee key"))?;
                possession::verify(&[*key], &digest, proof)
                    .map_err(|_| Rejection::SignatureInvalid("payment request"))?;
            }
            _ => return Err(Rejection::RequestInvalid("payee, signature and route do not fit")),
        }
        Ok(VerifiedRequest { digest, request: request.clone() })
    }

    /// As a `feiqian:` URI.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`] when it would exceed [`MAX_URI`] characters.
    pub fn to_uri(&self) -> Result<String, Rejection> {
        let bytes = codec::encode(self).map_err(|_| Rejection::RequestInvalid("cannot be encoded"))?;
        let uri = format!("{SCHEME}{}", URL_SAFE_NO_PAD.encode(bytes));
        if uri.len() > MAX_URI {
            return Err(Rejection::RequestInvalid("longer than 1,500 characters as text"));
        }
        Ok(uri)
    }

    /// From a `feiqian:` URI.
    ///
    /// # Errors
    /// [`Rejection::RequestInvalid`] saying what is wrong with the text.
    pub fn from_uri(uri: &str) -> Result<Self, Rejection> {
        let uri = uri.trim();
        if uri.len() > MAX_URI {
            return Err(Rejection::RequestInvalid("longer than 1,500 characters"));
        }
        let text =
            uri.strip_prefix(SCHEME).ok_or(Rejection::RequestInvalid("does not start with feiqian:"))?;
        let bytes =
            URL_SAFE_NO_PAD.decode(text).map_err(|_| Rejection::RequestInvalid("not base64url text"))?;
        codec::decode(&bytes, Limit::Small).map_err(|_| Rejection::RequestInvalid("not a payment request"))
    }
}

impl VerifiedRequest {
    /// Can it still be paid?
    ///
    /// # Errors
    /// [`Rejection::Expired`] with both times.
    pub fn check_open(&self, now: Timestamp) -> Result<(), Rejection> {
        let expires = self.request.expires;
        if now < expires {
            Ok(())
        } else {
            Err(Rejection::Expired { expired: expires.seconds(), now: now.seconds() })
        }
    }
}
