//! Revocation lists (full CRLs, RFC 5280 section 5).

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use feiqian_crypto::Digest;
use rustls_pki_types::pem::SectionKind;
use serde::{Deserialize, Serialize};
use webpki::{CertRevocationList, OwnedCertRevocationList};
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::chain::fingerprint;
use crate::encoding::{check_envelope, from_pem, to_pem};
use crate::error::{PkiError, Rejection};
use crate::key::verify_signature;
use crate::parsed::{read_signature, require_ed25519, seconds};
use crate::subject::Serial;

/// The longest revocation list taken, in bytes: room for some 20,000 entries.
pub const MAX_REVOCATION_LIST_BYTES: usize = 1 << 20;

/// How a chain's revocation is judged.
#[derive(Clone, Copy, Debug)]
pub enum Revocation<'a> {
    /// Not at all: only where no list can be at hand, as at first contact, or where another rule covers it.
    Unchecked,
    /// Every certificate below the root must be covered by a current list of its issuer and not stand in it.
    Required(&'a [RevocationList]),
}

/// Why a certificate was revoked (RFC 5280 section 5.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RevocationReason {
    /// None given.
    Unspecified,
    /// The secret key got out, or is feared to have.
    KeyCompromise,
    /// The authority's own key got out.
    AuthorityCompromise,
    /// The holder is no longer what the certificate says.
    AffiliationChanged,
    /// Another certificate took its place.
    Superseded,
    /// The account or node was closed.
    CessationOfOperation,
    /// The right was taken back.
    PrivilegeWithdrawn,
}

impl RevocationReason {
    pub(crate) fn encoded(self) -> rcgen::RevocationReason {
        match self {
            Self::Unspecified => rcgen::RevocationReason::Unspecified,
            Self::KeyCompromise => rcgen::RevocationReason::KeyCompromise,
            Self::AuthorityCompromise => rcgen::RevocationReason::CaCompromise,
            Self::AffiliationChanged => rcgen::RevocationReason::AffiliationChanged,
            Self::Superseded => rcgen::RevocationReason::Superseded,
            Self::CessationOfOperation => rcgen::RevocationReason::CessationOfOperation,
            Self::PrivilegeWithdrawn => rcgen::RevocationReason::PrivilegeWithdrawn,
        }
    }

    fn decoded(code: Option<u8>) -> Self {
        match code {
            Some(1) => Self::KeyCompromise,
            Some(2) => Self::AuthorityCompromise,
            Some(3) => Self::AffiliationChanged,
            Some(4) => Self::Superseded,
            Some(5) => Self::CessationOfOperation,
            Some(9) => Self::PrivilegeWithdrawn,
            _ => Self::Unspecified,
        }
    }
}

/// One entry of a revocation list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoked {
    /// The certificate.
    pub serial: Serial,
    /// Since when, Unix seconds.
    pub at: u64,
    /// Why.
    pub reason: RevocationReason,
}

/// A parsed revocation list of one authority. Cheap to clone.
#[derive(Clone)]
pub struct RevocationList {
    inner: Arc<Inner>,
}

struct Inner {
    der: Vec<u8>,
    digest: Digest,
    webpki: CertRevocationList<'static>,
    entries: BTreeMap<Serial, Revoked>,
    this_update: u64,
    next_update: u64,
    tbs: Vec<u8>,
    signature: [u8; 64],
}

/// Lists that somebody in this process holds, by their digests: the same one arrives again and again.
fn parsed() -> MutexGuard<'static, BTreeMap<Digest, Weak<Inner>>> {
    static PARSED: Mutex<BTreeMap<Digest, Weak<Inner>>> = Mutex::new(BTreeMap::new());
    PARSED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From how many lists on those are looked for that nobody holds any more.
const MOST_PARSED: usize = 1024;

impl RevocationList {
    /// Parses a list. Its signature is checked where it is used, by [`validate`](crate::validate), or by
    /// [`RevocationList::verify`].
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] for other bytes, a list without `nextUpdate`, or an entry that is not one of
    /// ours; [`Rejection::Unsupported`] for another algorithm.
    pub fn from_der(der: &[u8]) -> Result<Self, PkiError> {
        const MALFORMED: PkiError = PkiError::Malformed("revocation list");
        if der.len() > MAX_REVOCATION_LIST_BYTES {
            return Err(MALFORMED);
        }
        let digest = fingerprint(der);
        if let Some(inner) = parsed().get(&digest).and_then(Weak::upgrade) {
            return Ok(Self { inner });
        }
        let owned = OwnedCertRevocationList::from_der(der).map_err(|_| MALFORMED)?;
        let (rest, list) = CertificateRevocationList::from_der(der).map_err(|_| MALFORMED)?;
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        require_ed25519(&list.signature_algorithm)?;
        let tbs = list.tbs_cert_list.as_ref();
        let signature = read_signature(&list.signature_value.data)?;
        check_envelope(der, tbs, &signature, "revocation list")?;
        let mut entries = BTreeMap::new();
        for entry in list.iter_revoked_certificates() {
            let serial = Serial::from_slice(entry.raw_serial()).map_err(|_| MALFORMED)?;
            let at = seconds(entry.revocation_date)?;
            let reason = RevocationReason::decoded(entry.reason_code().map(|(_, code)| code.0));
            if entries.insert(serial, Revoked { serial, at, reason }).is_some() {
                return Err(MALFORMED);
            }
        }
        let inner = Arc::new(Inner {
            der: der.to_vec(),
            digest,
            webpki: owned.into(),
            entries,
            this_update: seconds(list.last_update())?,
            next_update: seconds(list.next_update().ok_or(MALFORMED)?)?,
            tbs: tbs.to_vec(),
            signature,
        });
        let mut parsed = parsed();
        if parsed.len() >= MOST_PARSED {
            parsed.retain(|_, list| list.strong_count() > 0);
        }
        parsed.insert(digest, Arc::downgrade(&inner));
        Ok(Self { inner })
    }

    /// Reads a PEM file of exactly one `X509 CRL`.
    ///
    /// # Errors
    ///
    /// As [`RevocationList::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, PkiError> {
        let documents = from_pem(text, SectionKind::Crl, 1, "revocation list")?;
        Self::from_der(documents.first().ok_or(PkiError::Malformed("revocation list"))?)
    }

    /// Writes the PEM file that [`RevocationList::from_pem`] and `openssl` read.
    #[must_use]
    pub fn to_pem(&self) -> String {
        to_pem("X509 CRL", &self.inner.der)
    }

    /// The list in DER.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.inner.der
    }

    /// SHA-256 of the list.
    pub(crate) fn digest(&self) -> Digest {
        self.inner.digest
    }

    /// When it was issued, Unix seconds.
    #[must_use]
    pub fn this_update(&self) -> u64 {
        self.inner.this_update
    }

    /// When the next one is due, Unix seconds: this one holds until then.
    #[must_use]
    pub fn next_update(&self) -> u64 {
        self.inner.next_update
    }

    /// The entry of a serial, if the certificate is revoked.
    #[must_use]
    pub fn find(&self, serial: &Serial) -> Option<&Revoked> {
        self.inner.entries.get(serial)
    }

    /// All entries, by serial.
    pub fn entries(&self) -> impl Iterator<Item = &Revoked> {
        self.inner.entries.values()
    }

    /// Checks, before keeping a list that arrived, that `authority` (32-byte key) signed it and that it is
    /// current. A list may be dated up to an hour ahead, as clocks differ.
    ///
    /// # Errors
    ///
    /// [`Rejection::RevocationListSignature`], [`Rejection::RevocationListNotCurrent`].
    pub fn verify(&self, authority: &[u8; 32], now: u64) -> Result<(), PkiError> {
        self.check_signed_by(authority)?;
        self.check_current(now)?;
        Ok(())
    }

    pub(crate) fn check_signed_by(&self, authority: &[u8; 32]) -> Result<(), Rejection> {
        verify_signature(authority, &self.inner.tbs, &self.inner.signature)
            .map_err(|_| Rejection::RevocationListSignature)
    }

    pub(crate) fn check_current(&self, now: u64) -> Result<(), Rejection> {
        let ahead = now.saturating_add(crate::BACKDATE_SECONDS);
        if self.inner.this_update <= ahead && now < self.inner.next_update {
            Ok(())
        } else {
            Err(Rejection::RevocationListNotCurrent)
        }
    }

    pub(crate) fn webpki(&self) -> &CertRevocationList<'static> {
        &self.inner.webpki
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("this_update", &self.inner.this_update)
            .field("next_update", &self.inner.next_update)
            .field("entries", &self.inner.entries.len())
            .finish_non_exhaustive()
    }
}

impl PartialEq for RevocationList {
    fn eq(&self, other: &Self) -> bool {
        self.inner.der == other.inner.der
    }
}

impl Eq for RevocationList {}
