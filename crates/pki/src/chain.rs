//! Chains, the trusted root, fingerprints.

use feiqian_crypto::Digest;
use rustls_pki_types::pem::SectionKind;
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::encoding::{from_pem, to_pem};
use crate::error::{PkiError, Rejection};
use crate::parsed::Parsed;

/// The longest certificate taken, in bytes. Ours are under 700.
pub const MAX_CERTIFICATE_BYTES: usize = 4096;

/// The longest chain taken. Ours are three: end entity, bank authority, root.
pub const MAX_CHAIN: usize = 4;

/// The fingerprint of a certificate: SHA-256 of its DER bytes.
///
/// It is what `openssl x509 -fingerprint -sha256` prints, so that a person can compare it.
#[must_use]
pub fn fingerprint(der: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(der).into())
}

/// A certificate chain: 1 to [`MAX_CHAIN`] certificates in DER, the leaf first, the root last or absent.
///
/// Holding one says nothing about its validity: that is [`validate`](crate::validate)'s to say.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Chain(Vec<Vec<u8>>);

impl Chain {
    /// Takes certificates, leaf first.
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] when there are none or too many, or one is empty or too long.
    pub fn new(certificates: Vec<Vec<u8>>) -> Result<Self, PkiError> {
        let count = (1..=MAX_CHAIN).contains(&certificates.len());
        let sizes = certificates.iter().all(|der| (1..=MAX_CERTIFICATE_BYTES).contains(&der.len()));
        if count && sizes { Ok(Self(certificates)) } else { Err(PkiError::Malformed("chain")) }
    }

    /// Puts `leaf` before this chain.
    pub(crate) fn under(&self, leaf: Vec<u8>) -> Result<Self, PkiError> {
        let mut certificates = vec![leaf];
        certificates.extend(self.0.iter().cloned());
        Self::new(certificates)
    }

    /// Reads a PEM file of `CERTIFICATE` documents, leaf first.
    ///
    /// # Errors
    ///
    /// As [`Chain::new`]; also when a document is damaged or of another kind.
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        Self::new(from_pem(text, SectionKind::Certificate, MAX_CHAIN, "chain")?)
    }

    /// Writes the PEM file that [`Chain::from_pem`] reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.iter().map(|der| to_pem("CERTIFICATE", der)).collect()
    }

    /// The certificates in DER, leaf first.
    #[must_use]
    pub fn certificates(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The leaf in DER.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.0.first().map_or(&[], Vec::as_slice)
    }

    /// The Ed25519 key in the leaf, 32 bytes; nothing of the certificate is verified.
    ///
    /// # Errors
    /// `Malformed` for a leaf that is not one of this system's certificates.
    pub fn leaf_key(&self) -> Result<[u8; 32], PkiError> {
        Ok(Parsed::read(self.leaf())?.public_key)
    }

    /// The chain of the leaf's issuer; `None` when the leaf stands alone.
    #[must_use]
    pub fn issuer(&self) -> Option<Self> {
        match self.0.split_first() {
            Some((_, rest)) if !rest.is_empty() => Some(Self(rest.to_vec())),
            _ => None,
        }
    }

    /// The certificates between leaf and root; the root, if present, must be the trusted one.
    pub(crate) fn intermediates(&self, root: &TrustedRoot) -> Result<&[Vec<u8>], PkiError> {
        let rest = self.0.get(1..).unwrap_or(&[]);
        match rest.split_last() {
            Some((last, between)) if Parsed::read(last)?.is_self_issued() => {
                if *last == root.der {
                    Ok(between)
                } else {
                    Err(Rejection::WrongRoot.into())
                }
            }
            _ => Ok(rest),
        }
    }
}

impl Serialize for Chain {
    /// A list of certificates: hex in human-readable formats, bytes with their length otherwise.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_seq(self.0.iter().map(hex::encode))
        } else {
            serializer.collect_seq(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Chain {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let readable = deserializer.is_human_readable();
        deserializer.deserialize_seq(ChainVisitor { readable })
    }
}

struct ChainVisitor {
    readable: bool,
}

impl<'de> serde::de::Visitor<'de> for ChainVisitor {
    type Value = Chain;

    fn expecting(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "1 to {MAX_CHAIN} certificates")
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Chain, A::Error> {
        use serde::de::Error as _;
        let mut certificates = Vec::new();
        loop {
            let next = if self.readable {
                seq.next_element::<String>()?
                    .map(|text| hex::decode(text).map_err(A::Error::custom))
                    .transpose()?
            } else {
                seq.next_element::<Vec<u8>>()?
            };
            match next {
                None => return Chain::new(certificates).map_err(A::Error::custom),
                Some(_) if certificates.len() >= MAX_CHAIN => {
                    return Err(A::Error::custom(PkiError::Malformed("chain")));
                }
                Some(der) => certificates.push(der),
            }
        }
    }
}

/// The root that everything is measured against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedRoot {
    der: Vec<u8>,
    name: String,
    public_key: [u8; 32],
    not_before: u64,
    not_after: u64,
}

impl TrustedRoot {
    /// Takes a center's root certificate (DER), checked to be one: self-signed, an authority, Ed25519.
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] for other bytes; [`PkiError::Rejected`] for a certificate that is no root.
    ///
    /// # Security
    ///
    /// The caller decides whether to trust it, for example by comparing [`TrustedRoot::fingerprint`].
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        let parsed = Parsed::read(der)?;
        parsed.check_root()?;
        Ok(Self {
            der: der.to_vec(),
            name: parsed.subject.name.clone(),
            public_key: parsed.public_key,
            not_before: parsed.not_before,
            not_after: parsed.not_after,
        })
    }

    /// Takes the root at the end of a chain.
    ///
    /// # Errors
    ///
    /// As [`TrustedRoot::from_der`].
    ///
    /// # Security
    ///
    /// As [`TrustedRoot::from_der`]: this is for first contact, where the fingerprint is compared next.
    pub fn from_chain(chain: &Chain) -> Result<Self, PkiError> {
        Self::from_der(chain.0.last().map_or(&[], Vec::as_slice))
    }

    /// Reads a PEM file of exactly one certificate.
    ///
    /// # Errors
    ///
    /// As [`TrustedRoot::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let documents = from_pem(text, SectionKind::Certificate, 1, "root")?;
        Self::from_der(documents.first().ok_or(PkiError::Malformed("root"))?)
    }

    /// Writes the PEM file that [`TrustedRoot::from_pem`] reads.
    #[must_use]
    pub fn to_pem(&self) -> String {
        to_pem("CERTIFICATE", &self.der)
    }

    /// The certificate in DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.der
    }

    /// SHA-256 of the certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        fingerprint(&self.der)
    }

    /// The center's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The root's key, 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The root's end of validity, Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> u64 {
        self.not_after
    }

    /// webpki trusts an anchor without looking at its validity: this looks.
    pub(crate) fn check_time(&self, now: u64) -> Result<(), Rejection> {
        if now < self.not_before {
            Err(Rejection::NotYetValid { not_before: self.not_before, now })
        } else if now > self.not_after {
            Err(Rejection::Expired { not_after: self.not_after, now })
        } else {
            Ok(())
        }
    }
}
