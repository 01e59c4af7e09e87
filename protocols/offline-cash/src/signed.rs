//! Ed25519 signatures over digests, and certificate chains as they travel.

use feiqian_crypto::Digest;
use feiqian_pki::{Chain, KeyPair};
use feiqian_wire::{Blob, Bounded};
use serde::{Deserialize, Serialize};

use crate::Rejection;

/// An Ed25519 signature (RFC 8032) over the 32 bytes of a [`Digest`]: 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentSignature(Blob<64>);

impl DocumentSignature {
    /// Signs `digest` with a document-signing key.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] never in practice: 64 bytes fit.
    pub fn sign(key: &KeyPair, digest: &Digest) -> Result<Self, Rejection> {
        let bytes = key.sign(digest.as_bytes()).to_vec();
        Blob::new(bytes).map(Self).map_err(|_| Rejection::Malformed("signature"))
    }

    /// Verifies under a raw Ed25519 public key (strict: canonical, no small order).
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`] naming `what`.
    pub fn verify(
        &self,
        public_key: &[u8; 32],
        digest: &Digest,
        what: &'static str,
    ) -> Result<(), Rejection> {
        let bytes: [u8; 64] = (*self.0).try_into().map_err(|_| Rejection::Malformed("signature length"))?;
        feiqian_pki::verify_signature(public_key, digest.as_bytes(), &bytes)
            .map_err(|_| Rejection::SignatureInvalid(what))
    }
}

/// A certificate chain on the wire: DER, leaf first; at most 4 certificates of 2,048 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WireChain(pub Bounded<Blob<2048>, 4>);

impl WireChain {
    /// From a chain.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] when it has more than 4 certificates or one exceeds 2,048 bytes.
    pub fn from_chain(chain: &Chain) -> Result<Self, Rejection> {
        let blobs = chain
            .certificates()
            .iter()
            .map(|der| Blob::new(der.clone()).map_err(|_| Rejection::Malformed("certificate too large")))
            .collect::<Result<Vec<_>, _>>()?;
        Bounded::new(blobs).map(Self).map_err(|_| Rejection::Malformed("chain too long"))
    }

    /// As a chain that can be validated.
    ///
    /// # Errors
    /// [`Rejection::CertificateInvalid`] when it is empty.
    pub fn to_chain(&self) -> Result<Chain, Rejection> {
        let certificates = self.0.iter().map(|der| der.to_vec()).collect();
        Chain::new(certificates).map_err(|error| Rejection::CertificateInvalid(error.to_string()))
    }
}
