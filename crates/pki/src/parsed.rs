//! A certificate taken apart into what the rules speak about.

use std::collections::BTreeSet;

use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::{
    OID_SIG_ED25519, OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME, OID_X509_ORGANIZATIONAL_UNIT,
};
use x509_parser::prelude::{ASN1Time, FromDer, X509Name, X509Version};
use x509_parser::x509::{AlgorithmIdentifier, SubjectPublicKeyInfo};

use crate::chain::MAX_CERTIFICATE_BYTES;
use crate::encoding::check_envelope;
use crate::error::{PkiError, Rejection};
use crate::key::verify_signature;
use crate::subject::{Purpose, ROOT_UNIT, Role, Serial, Subject, check_name};

/// `digitalSignature` of RFC 5280's key usage, as the parser numbers bits.
pub(crate) const DIGITAL_SIGNATURE: u16 = 1;
/// `keyCertSign` and `cRLSign`.
pub(crate) const AUTHORITY_USAGE: u16 = (1 << 5) | (1 << 6);

/// One usage of an extended key usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Usage {
    ClientAuth,
    ServerAuth,
    Role(Role),
    /// Any other: never part of a valid certificate of ours.
    Foreign,
}

/// The text of an X.509 name of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NameText {
    pub(crate) bank: Option<String>,
    pub(crate) unit: String,
    pub(crate) name: String,
}

impl NameText {
    /// The end entity this names.
    pub(crate) fn subject(&self) -> Result<Subject, PkiError> {
        let role: Role = self.unit.parse().map_err(|_| Rejection::Subject("the unit is not a role"))?;
        Subject::new(role, &self.name, self.bank.as_deref())
    }

    /// Reads organisation (optional), unit and common name, in this order and nothing else.
    pub(crate) fn read(name: &X509Name<'_>) -> Result<Self, PkiError> {
        let mut parts = Vec::new();
        for rdn in name.iter_rdn() {
            let mut attributes = rdn.iter();
            let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
                return Err(Rejection::Subject("one attribute each").into());
            };
            let text = attribute.as_str().map_err(|_| Rejection::Subject("text expected"))?;
            check_name(text)?;
            parts.push((attribute.attr_type().clone(), text.to_owned()));
        }
        let mut parts = parts.into_iter().peekable();
        let bank = parts.next_if(|(oid, _)| *oid == OID_X509_ORGANIZATION_NAME);
        let unit = parts.next_if(|(oid, _)| *oid == OID_X509_ORGANIZATIONAL_UNIT);
        let name = parts.next_if(|(oid, _)| *oid == OID_X509_COMMON_NAME);
        match (bank, unit, name, parts.next()) {
            (bank, Some((_, unit)), Some((_, name)), None) => {
                Ok(Self { bank: bank.map(|(_, bank)| bank), unit, name })
            }
            _ => Err(Rejection::Subject("O, OU, CN expected").into()),
        }
    }
}

/// A parsed certificate, owned.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) subject: NameText,
    pub(crate) public_key: [u8; 32],
    pub(crate) serial: Serial,
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    /// `None` for an end entity; the path length constraint of an authority, if it has one.
    pub(crate) authority: Option<Option<u32>>,
    /// The bits of a critical key usage; `None` when it is missing or not critical.
    key_usage: Option<u16>,
    /// The extended key usage, with its criticality.
    extended: Option<(bool, BTreeSet<Usage>)>,
    self_issued: bool,
    tbs: Vec<u8>,
    signature: [u8; 64],
}

impl Parsed {
    /// Parses one certificate; refuses trailing bytes and all but Ed25519 and version 3.
    pub(crate) fn read(der: &[u8]) -> Result<Self, PkiError> {
        const MALFORMED: PkiError = PkiError::Malformed("certificate");
        if der.len() > MAX_CERTIFICATE_BYTES {
            return Err(MALFORMED);
        }
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|_| MALFORMED)?;
        if !rest.is_empty() || certificate.version() != X509Version::V3 {
            return Err(MALFORMED);
        }
        require_ed25519(&certificate.signature_algorithm)?;
        let tbs = certificate.tbs_certificate.as_ref();
        let signature = read_signature(&certificate.signature_value.data)?;
        check_envelope(der, tbs, &signature, "certificate")?;
        // Each of these also refuses an extension that is given twice.
        let key_usage = certificate.key_usage().map_err(|_| MALFORMED)?;
        let constraints = certificate.basic_constraints().map_err(|_| MALFORMED)?;
        let extended = certificate.extended_key_usage().map_err(|_| MALFORMED)?;
        Ok(Self {
            subject: NameText::read(certificate.subject())?,
            public_key: read_public_key(certificate.public_key())?,
            serial: Serial::from_slice(certificate.raw_serial())?,
            not_before: seconds(certificate.validity().not_before)?,
            not_after: seconds(certificate.validity().not_after)?,
            authority: constraints.filter(|it| it.value.ca).map(|it| it.value.path_len_constraint),
            key_usage: key_usage.filter(|it| it.critical).map(|it| it.value.flags),
            extended: extended.map(|it| (it.critical, usages(it.value))),
            self_issued: certificate.subject().as_raw() == certificate.issuer().as_raw(),
            tbs: tbs.to_vec(),
            signature,
        })
    }

    /// Whether subject and issuer are the same name: only a root is.
    pub(crate) fn is_self_issued(&self) -> bool {
        self.self_issued
    }

    /// Checks the validity period, both ends included.
    pub(crate) fn check_time(&self, now: u64) -> Result<(), Rejection> {
        if now < self.not_before {
            Err(Rejection::NotYetValid { not_before: self.not_before, now })
        } else if now > self.not_after {
            Err(Rejection::Expired { not_after: self.not_after, now })
        } else {
            Ok(())
        }
    }

    /// Checks the signature under the issuer's key, strictly.
    pub(crate) fn check_signed_by(&self, issuer: &[u8; 32]) -> Result<(), PkiError> {
        verify_signature(issuer, &self.tbs, &self.signature).map_err(|error| match error {
            PkiError::Rejected(Rejection::Signature) => Rejection::CertificateSignature.into(),
            other => other,
        })
    }

    /// Checks that the key usage is critical and exactly `bits`.
    pub(crate) fn check_key_usage(&self, bits: u16) -> Result<(), Rejection> {
        if self.key_usage == Some(bits) { Ok(()) } else { Err(Rejection::KeyUsage) }
    }

    /// The purpose of the exact set of extended usages, for this role; critical when signing.
    pub(crate) fn purpose(&self, role: Role) -> Result<Purpose, Rejection> {
        let (critical, usages) = self.extended.as_ref().ok_or(Rejection::WrongPurpose)?;
        let signing = BTreeSet::from([Usage::Role(role)]);
        let client = BTreeSet::from([Usage::Role(role), Usage::ClientAuth]);
        let node = BTreeSet::from([Usage::Role(role), Usage::ClientAuth, Usage::ServerAuth]);
        match *usages {
            ref it if *it == node => Ok(Purpose::Node),
            ref it if *it == client => Ok(Purpose::Client),
            ref it if *it == signing && *critical => Ok(Purpose::Signing),
            _ => Err(Rejection::WrongPurpose),
        }
    }

    /// Checks the rules of a root, its self-signature included.
    pub(crate) fn check_root(&self) -> Result<(), PkiError> {
        if self.authority.is_none() {
            return Err(Rejection::AuthorityConfused.into());
        }
        if !self.self_issued || self.subject.unit != ROOT_UNIT || self.subject.bank.is_some() {
            return Err(Rejection::Shape("not a center root").into());
        }
        self.check_key_usage(AUTHORITY_USAGE)?;
        self.check_signed_by(&self.public_key)
    }
}

/// Refuses every signature algorithm but Ed25519 without parameters (RFC 8410).
pub(crate) fn require_ed25519(algorithm: &AlgorithmIdentifier<'_>) -> Result<(), PkiError> {
    if algorithm.algorithm == OID_SIG_ED25519 && algorithm.parameters.is_none() {
        Ok(())
    } else {
        Err(Rejection::Unsupported("only Ed25519").into())
    }
}

/// The 32 bytes of an Ed25519 key.
pub(crate) fn read_public_key(info: &SubjectPublicKeyInfo<'_>) -> Result<[u8; 32], PkiError> {
    require_ed25519(&info.algorithm)?;
    <[u8; 32]>::try_from(info.subject_public_key.data.as_ref()).map_err(|_| PkiError::Malformed("public key"))
}

/// The 64 bytes of an Ed25519 signature.
pub(crate) fn read_signature(bytes: &[u8]) -> Result<[u8; 64], PkiError> {
    <[u8; 64]>::try_from(bytes).map_err(|_| PkiError::Malformed("signature"))
}

/// Unix seconds of a time from 1970 on.
pub(crate) fn seconds(time: ASN1Time) -> Result<u64, PkiError> {
    u64::try_from(time.timestamp()).map_err(|_| PkiError::Malformed("time"))
}

fn usages(extended: &x509_parser::extensions::ExtendedKeyUsage<'_>) -> BTreeSet<Usage> {
    let standard = [
        (extended.client_auth, Usage::ClientAuth),
        (extended.server_auth, Usage::ServerAuth),
        (extended.any, Usage::Foreign),
        (extended.code_signing, Usage::Foreign),
        (extended.email_protection, Usage::Foreign),
        (extended.time_stamping, Usage::Foreign),
        (extended.ocsp_signing, Usage::Foreign),
    ];
    let private = extended
        .other
        .iter()
        .map(|oid| Role::from_oid_contents(oid.as_bytes()).map_or(Usage::Foreign, Usage::Role));
    standard.into_iter().filter(|(set, _)| *set).map(|(_, usage)| usage).chain(private).collect()
}
