//! A customer's offline identity *I* = *L1*·H1: registered at the bank, recorded at the center.
//!
//! ```text
//! wallet                                bank                                 center
//!   Registration {I, proof}      ──▶    verifies, certifies a collateral
//!   SignedIdentity               ◀──    IdentityRecord
//!                                ──▶    verifies                       ──▶   unique? keeps and attests
//!   AttestedIdentity             ◀──                                   ◀──   AttestedIdentity
//! ```
//!
//! *I*, the signing key and (bank, account) are each unique **at the center**, and the record is signed by the
//! customer's own document-signing key, so a bank cannot frame a person with an identity of its own making. A wallet
//! withdraws only after it has checked the center's attestation of the record that it signed.

use feiqian_crypto::acl::{Identity, IdentityProof, IdentitySecret};
use feiqian_crypto::{Digest, Transcript};
use feiqian_money::Amount;
use feiqian_pki::{KeyPair, Purpose, Revocation, Role, TrustedRoot, Verified};
use feiqian_wire::{Blob, Name, Text, Timestamp};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::signed::{DocumentSignature, WireChain};

/// An account's token: the name in its certificates, at most 64 bytes.
pub type Account = Text<64>;

/// Whose identity: what stands in its registration beside *I*.
#[derive(Debug, Clone, Copy)]
pub struct Registrant<'a> {
    /// The customer's bank.
    pub bank: &'a str,
    /// The account's token.
    pub account: &'a str,
    /// The customer's document-signing key.
    pub signing_key: &'a [u8; 32],
}

impl Registrant<'_> {
    /// The context of the proof of knowledge: `D("offline-cash/register"; bank, account token, I, signing key)`.
    pub fn context(&self, identity: &Identity) -> Digest {
        Transcript::new("offline-cash/register")
            .text(self.bank)
            .text(self.account)
            .point(identity.encoded())
            .bytes(self.signing_key)
            .into_digest()
    }
}

/// A customer asks its bank to register an identity, with a proof that its secret is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// *I* ≠ O.
    pub identity: Identity,
    /// Over [`Registrant::context`].
    pub proof: IdentityProof,
}

impl Registration {
    /// Proves knowledge of *L1*.
    pub fn new(secret: &IdentitySecret, registrant: &Registrant<'_>, rng: &mut impl CryptoRng) -> Self {
        let identity = *secret.public();
        Self { identity, proof: secret.prove(&registrant.context(&identity), rng) }
    }

    /// Checks the proof for the account holder who sent it; the key is the one of the holder's certificate.
    ///
    /// # Errors
    /// [`Rejection::ProofInvalid`].
    pub fn verify(&self, registrant: &Registrant<'_>) -> Result<(), Rejection> {
        let context = registrant.context(&self.identity);
        let verdict = self.identity.verify(&self.proof, &context);
        verdict.map_err(|_| Rejection::ProofInvalid("registration"))
    }
}

/// What stands at the center about an identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityRecord {
    /// The customer's bank.
    pub bank: Name,
    /// The account's token.
    pub account: Account,
    /// *I*.
    pub identity: Identity,
    /// The customer's document-signing key: 32 bytes.
    pub signing_key: Blob<32>,
    /// What the bank certifies to hold of the customer's, and is itself liable for.
    pub collateral: Amount,
}

impl IdentityRecord {
    /// `D("offline-cash/identity"; bank, account token, I, signing key, collateral in minor units, currency)`.
    pub fn digest(&self) -> Digest {
        Transcript::new("offline-cash/identity")
            .text(self.bank.as_str())
            .text(self.account.as_str())
            .point(self.identity.encoded())
            .bytes(&self.signing_key)
            .integer(self.collateral.minor.value())
            .text(self.collateral.currency.code())
            .into_digest()
    }

    /// The signing key.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] unless it has 32 bytes.
    pub fn signing_key(&self) -> Result<[u8; 32], Rejection> {
        (*self.signing_key).try_into().map_err(|_| Rejection::Malformed("signing key length"))
    }
}

/// A record with the customer's signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedIdentity {
    /// The record.
    pub record: IdentityRecord,
    /// By the record's own signing key over [`IdentityRecord::digest`].
    pub signature: DocumentSignature,
    /// The customer's document-signing chain.
    pub chain: WireChain,
}

impl SignedIdentity {
    /// Signs a record as the customer that it is about.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`] when `key` is not the record's.
    pub fn sign(record: IdentityRecord, key: &KeyPair, chain: WireChain) -> Result<Self, Rejection> {
        if record.signing_key()? != key.public_key() {
            return Err(Rejection::SignatureInvalid("identity record: another key"));
        }
        let signature = DocumentSignature::sign(key, &record.digest())?;
        Ok(Self { record, signature, chain })
    }

    /// Checks bank, token and key against each other and the customer's signature, at a time.
    ///
    /// # Errors
    /// [`Rejection::CertificateInvalid`] when the chain does not certify the record's key for the record's account at
    /// the record's bank, [`Rejection::SignatureInvalid`].
    pub fn verify(&self, root: &TrustedRoot, at: Timestamp) -> Result<(), Rejection> {
        let holder = signer(&self.chain, root, at)?;
        let key = self.record.signing_key()?;
        let certified = matches!(holder.subject.role(), Role::Customer | Role::Merchant)
            && holder.subject.name() == self.record.account.as_str()
            && holder.subject.bank_name() == Some(self.record.bank.as_str())
            && holder.public_key == key;
        if !certified {
            return Err(Rejection::CertificateInvalid("not the key of this account at this bank".into()));
        }
        self.signature.verify(&key, &self.record.digest(), "identity record")
    }
}

fn signer(chain: &WireChain, root: &TrustedRoot, at: Timestamp) -> Result<Verified, Rejection> {
    feiqian_pki::validate(&chain.to_chain()?, root, Purpose::Signing, Revocation::Unchecked, at.seconds())
        .map_err(|error| Rejection::CertificateInvalid(error.to_string()))
}

/// The signing key of the center itself.
pub(crate) fn center_key(
    chain: &WireChain,
    root: &TrustedRoot,
    at: Timestamp,
) -> Result<[u8; 32], Rejection> {
    let center = signer(chain, root, at)?;
    if center.subject.role() != Role::Center {
        return Err(Rejection::CertificateInvalid("not the center's signing key".into()));
    }
    Ok(center.public_key)
}

/// A record that the center keeps, with the center's word that it is the only one of this identity, key and account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedIdentity {
    /// The record as the customer signed it.
    pub identity: SignedIdentity,
    /// When the center recorded it; both chains are judged at this time.
    pub attested_at: Timestamp,
    /// By the center's document-signing key over
    /// `D("offline-cash/identity-attested"; record digest, attested_at)`.
    pub signature: DocumentSignature,
    /// The center's document-signing chain.
    pub center: WireChain,
}

impl AttestedIdentity {
    /// Attests a record. The center has checked that *I*, key and account are new, or that the record is the one it
    /// keeps.
    ///
    /// # Errors
    /// Those of [`SignedIdentity::verify`].
    pub fn attest(
        identity: SignedIdentity,
        attested_at: Timestamp,
        key: &KeyPair,
        center: WireChain,
        root: &TrustedRoot,
    ) -> Result<Self, Rejection> {
        identity.verify(root, attested_at)?;
        let signature = DocumentSignature::sign(key, &attested_digest(&identity.record, attested_at))?;
        Ok(Self { identity, attested_at, signature, center })
    }

    /// Checks the customer's signature and the center's, both chains under `root`.
    ///
    /// # Errors
    /// [`Rejection::CertificateInvalid`], [`Rejection::SignatureInvalid`].
    pub fn verify(&self, root: &TrustedRoot) -> Result<&IdentityRecord, Rejection> {
        self.identity.verify(root, self.attested_at)?;
        let center = center_key(&self.center, root, self.attested_at)?;
        let record = &self.identity.record;
        let digest = attested_digest(record, self.attested_at);
        self.signature.verify(&center, &digest, "identity attestation")?;
        Ok(record)
    }
}

fn attested_digest(record: &IdentityRecord, attested_at: Timestamp) -> Digest {
    Transcript::new("offline-cash/identity-attested")
        .digest(&record.digest())
        .integer(attested_at.seconds())
        .into_digest()
}
