//! Certificate requests (PKCS#10, RFC 2986) and their proof of possession.

use rustls_pki_types::pem::SectionKind;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::FromDer;

use crate::chain::MAX_CERTIFICATE_BYTES;
use crate::encoding::{check_envelope, from_pem, to_pem};
use crate::error::{PkiError, Rejection};
use crate::key::{KeyPair, verify_signature};
use crate::parsed::{NameText, read_public_key, read_signature, require_ed25519};
use crate::subject::Subject;

/// A request whose signature was checked: whoever made it holds the key.
///
/// It names the subject its maker would like to be; the authority decides, from what it knows of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateRequest {
    subject: Subject,
    public_key: [u8; 32],
}

impl CertificateRequest {
    /// Makes a request for `key`, in DER.
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] if the encoder fails, which no subject and key make it do.
    pub fn create(key: &KeyPair, subject: &Subject) -> Result<Vec<u8>, PkiError> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = subject.distinguished_name();
        let request =
            params.serialize_request(key).map_err(|_| PkiError::Malformed("certificate request"))?;
        Ok(request.der().to_vec())
    }

    /// Makes a request as a PEM document that `openssl req` reads.
    ///
    /// # Errors
    ///
    /// As [`CertificateRequest::create`].
    pub fn create_pem(key: &KeyPair, subject: &Subject) -> Result<String, PkiError> {
        Ok(to_pem("CERTIFICATE REQUEST", &Self::create(key, subject)?))
    }

    /// Reads a request and checks its proof of possession. Requested extensions are ignored: the authority
    /// alone decides what a certificate says.
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] for other bytes; [`Rejection::Possession`] when the signature is not of the key
    /// asked for; [`Rejection::Subject`], [`Rejection::Unsupported`], [`Rejection::WeakKey`].
    pub fn verify(der: &[u8]) -> Result<Self, PkiError> {
        const MALFORMED: PkiError = PkiError::Malformed("certificate request");
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(MALFORMED);
        }
        let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| MALFORMED)?;
        if !rest.is_empty() {
            return Err(MALFORMED);
        }
        let info = &request.certification_request_info;
        require_ed25519(&request.signature_algorithm)?;
        let public_key = read_public_key(&info.subject_pki)?;
        let signature = read_signature(&request.signature_value.data)?;
        check_envelope(der, info.raw, &signature, "certificate request")?;
        verify_signature(&public_key, info.raw, &signature).map_err(|error| match error {
            PkiError::Rejected(Rejection::Signature) => Rejection::Possession.into(),
            other => other,
        })?;
        Ok(Self { subject: NameText::read(&info.subject)?.subject()?, public_key })
    }

    /// Reads a PEM document of exactly one request and checks it.
    ///
    /// # Errors
    ///
    /// As [`CertificateRequest::verify`].
    pub fn verify_pem(text: &str) -> Result<Self, PkiError> {
        let documents = from_pem(text, SectionKind::Csr, 1, "certificate request")?;
        Self::verify(documents.first().ok_or(PkiError::Malformed("certificate request"))?)
    }

    /// The subject its maker would like to be.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The key it asks to have certified, 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }
}
