//! Authorities: the root of the center and the authority of a bank.

use rand_core::CryptoRng;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension, IsCa, Issuer,
    KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use x509_parser::prelude::ASN1Time;

use crate::chain::{Chain, TrustedRoot};
use crate::encoding::extended_key_usage;
use crate::error::{PkiError, Rejection};
use crate::key::{KeyPair, RawPublicKey};
use crate::parsed::Parsed;
use crate::request::CertificateRequest;
use crate::revocation::{RevocationList, Revoked};
use crate::subject::{
    BANK_AUTHORITY_UNIT, Purpose, ROOT_UNIT, Role, Serial, Subject, check_name, distinguished_name,
};
use crate::validate::check_bank_authority;

/// How far certificates are backdated, in seconds: clocks differ.
pub const BACKDATE_SECONDS: u64 = 3_600;
/// How long a root is valid: 20 years of 365 days, in seconds.
pub const ROOT_SECONDS: u64 = 20 * 365 * 86_400;
/// How long a bank authority is valid: 5 years of 365 days, in seconds.
pub const BANK_AUTHORITY_SECONDS: u64 = 5 * 365 * 86_400;
/// The longest a revocation list may hold: 24 hours, in seconds.
pub const MAX_REVOCATION_LIST_SECONDS: u64 = 86_400;

/// `id-ce-extKeyUsage` (2.5.29.37).
const EXTENDED_KEY_USAGE: [u64; 4] = [2, 5, 29, 37];
/// The most alternative names of one certificate.
const MAX_ALTERNATIVE_NAMES: usize = 16;
const ENCODER: PkiError = PkiError::Malformed("certificate parameters");

/// A certificate authority: its key, and its chain up to the root.
#[derive(Debug)]
pub struct Authority {
    key: KeyPair,
    chain: Chain,
    bank: Option<String>,
    name: String,
    not_after: u64,
}

impl Authority {
    /// Makes the center's root: self-signed, valid for [`ROOT_SECONDS`], at most one authority below it.
    ///
    /// # Errors
    ///
    /// [`Rejection::Subject`] when `name` is not a name; [`PkiError::Malformed`] for a time past the year 9999.
    pub fn root(name: &str, key: KeyPair, now: u64, rng: &mut impl CryptoRng) -> Result<Self, PkiError> {
        check_name(name)?;
        let mut params = authority_params(1, now, now.saturating_add(ROOT_SECONDS), rng)?;
        params.distinguished_name = distinguished_name(None, ROOT_UNIT, name);
        params.use_authority_key_identifier_extension = false;
        let certificate = params.self_signed(&key).map_err(|_| ENCODER)?;
        Self::from_parts(key, Chain::new(vec![certificate.der().to_vec()])?)
    }

    /// Takes up an authority again from its key and its chain (its own certificate first, the root last).
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] for other bytes; [`PkiError::Rejected`] when it is neither a root nor a bank
    /// authority under the root of its chain; [`PkiError::Misuse`] when the key is not the certificate's.
    pub fn from_parts(key: KeyPair, chain: Chain) -> Result<Self, PkiError> {
        let own = Parsed::read(chain.leaf())?;
        if own.public_key != key.public_key() {
            return Err(PkiError::Misuse("the key is not the authority's"));
        }
        let root = TrustedRoot::from_chain(&chain)?;
        let bank = match chain.certificates() {
            [_] => None,
            [_, _] => {
                own.check_signed_by(root.public_key())?;
                Some(check_bank_authority(&own)?)
            }
            _ => return Err(Rejection::PathTooLong.into()),
        };
        Ok(Self { key, chain, bank, name: own.subject.name, not_after: own.not_after })
    }

    /// The authority's own chain: its certificate first, the root last.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The key, to be stored.
    #[must_use]
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// The bank this authority issues for; `None` for the root.
    #[must_use]
    pub fn bank(&self) -> Option<&str> {
        self.bank.as_deref()
    }

    /// The root this authority stands under (or is).
    ///
    /// # Errors
    ///
    /// None in practice: the chain was checked when the authority was made.
    pub fn trusted_root(&self) -> Result<TrustedRoot, PkiError> {
        TrustedRoot::from_chain(&self.chain)
    }

    /// Certifies a bank's authority: path length 0, valid for [`BANK_AUTHORITY_SECONDS`] or until the root ends.
    ///
    /// The request must name the bank; that it speaks for the bank is the caller's to know.
    ///
    /// # Errors
    ///
    /// [`PkiError::Misuse`] when this authority is not the root; [`Rejection::Subject`] when the request names
    /// another than the bank `bank`.
    pub fn issue_bank_authority(
        &self,
        request: &CertificateRequest,
        bank: &str,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Chain, PkiError> {
        if self.bank.is_some() {
            return Err(PkiError::Misuse("only the root certifies authorities"));
        }
        if *request.subject() != Subject::bank(bank)? {
            return Err(Rejection::Subject("the request names another").into());
        }
        let end = now.saturating_add(BANK_AUTHORITY_SECONDS);
        let mut params = authority_params(0, now, end.min(self.not_after), rng)?;
        params.distinguished_name = distinguished_name(Some(bank), BANK_AUTHORITY_UNIT, bank);
        self.sign(&params, *request.public_key())
    }

    /// Certifies an end entity's key.
    ///
    /// The subject is the authority's word; the request must name the same one. `alternative_names`: up to 16
    /// DNS names or IP addresses of a node, none for other purposes. Valid for `validity` seconds from `now`,
    /// or until the authority ends.
    ///
    /// # Errors
    ///
    /// [`PkiError::Misuse`] when the subject is not this authority's to certify (the root: centers; a bank's:
    /// its bank, its merchants and customers), or alternative names are bad or out of place;
    /// [`Rejection::Subject`] when the request names another; [`Rejection::Expired`] when the authority ended.
    #[expect(clippy::too_many_arguments, reason = "each is a field of the certificate")]
    pub fn issue_leaf(
        &self,
        request: &CertificateRequest,
        subject: &Subject,
        purpose: Purpose,
        alternative_names: &[String],
        validity: u64,
        now: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<Chain, PkiError> {
        self.check_may_certify(subject)?;
        if request.subject() != subject {
            return Err(Rejection::Subject("the request names another").into());
        }
        if purpose != Purpose::Node && !alternative_names.is_empty() {
            return Err(PkiError::Misuse("only a node has alternative names"));
        }
        if alternative_names.len() > MAX_ALTERNATIVE_NAMES {
            return Err(PkiError::Misuse("too many alternative names"));
        }
        if now > self.not_after {
            return Err(Rejection::Expired { not_after: self.not_after, now }.into());
        }
        let mut params = CertificateParams::new(alternative_names.to_vec())
            .map_err(|_| PkiError::Misuse("an alternative name is no DNS name or IP address"))?;
        let end = now.saturating_add(validity).min(self.not_after);
        set_common(&mut params, now, end, rng)?;
        params.distinguished_name = subject.distinguished_name();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.custom_extensions = vec![usage_extension(subject.role(), purpose)];
        self.sign(&params, *request.public_key())
    }

    /// Signs a full revocation list that holds from `now` until `next_update` (Unix seconds, at most
    /// [`MAX_REVOCATION_LIST_SECONDS`] later). `number` must grow from list to list.
    ///
    /// # Errors
    ///
    /// [`PkiError::Misuse`] when `next_update` is not after `now` or too far off, or a serial stands twice.
    pub fn issue_crl(
        &self,
        revoked: &[Revoked],
        number: u64,
        now: u64,
        next_update: u64,
    ) -> Result<RevocationList, PkiError> {
        match next_update.checked_sub(now) {
            Some(1..=MAX_REVOCATION_LIST_SECONDS) => (),
            _ => return Err(PkiError::Misuse("a revocation list holds up to 24 hours")),
        }
        let mut revoked_certs = Vec::with_capacity(revoked.len());
        for entry in revoked {
            revoked_certs.push(RevokedCertParams {
                serial_number: SerialNumber::from_slice(entry.serial.as_bytes()),
                revocation_time: time(entry.at)?.to_datetime(),
                reason_code: Some(entry.reason.encoded()),
                invalidity_date: None,
            });
        }
        let params = CertificateRevocationListParams {
            this_update: time(now)?.to_datetime(),
            next_update: time(next_update)?.to_datetime(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs,
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        let issuer_params = self.issuer_params();
        let issuer = Issuer::from_params(&issuer_params, &self.key);
        let list = params.signed_by(&issuer).map_err(|_| ENCODER)?;
        RevocationList::from_der(list.der())
            .map_err(|_| PkiError::Misuse("a serial stands twice or the list is too long"))
    }

    fn check_may_certify(&self, subject: &Subject) -> Result<(), PkiError> {
        match (&self.bank, subject.role(), subject.bank_name()) {
            (None, Role::Center, _) if subject.name() == self.name => Ok(()),
            (None, ..) => Err(PkiError::Misuse("the root certifies only its own center")),
            (Some(own), _, Some(bank)) if own == bank => Ok(()),
            (Some(_), ..) => Err(PkiError::Misuse("a bank certifies only for itself")),
        }
    }

    fn sign(&self, params: &CertificateParams, public_key: [u8; 32]) -> Result<Chain, PkiError> {
        let issuer_params = self.issuer_params();
        let issuer = Issuer::from_params(&issuer_params, &self.key);
        let certificate = params.signed_by(&RawPublicKey(public_key), &issuer).map_err(|_| ENCODER)?;
        self.chain.under(certificate.der().to_vec())
    }

    /// What the encoder needs to know of the issuer: its name and what it may sign.
    fn issuer_params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        let unit = if self.bank.is_some() { BANK_AUTHORITY_UNIT } else { ROOT_UNIT };
        params.distinguished_name = distinguished_name(self.bank(), unit, &self.name);
        params.key_usages = authority_usages();
        params
    }
}

fn authority_usages() -> Vec<KeyUsagePurpose> {
    vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]
}

fn authority_params(
    path_length: u8,
    now: u64,
    end: u64,
    rng: &mut impl CryptoRng,
) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::default();
    set_common(&mut params, now, end, rng)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
    params.key_usages = authority_usages();
    Ok(params)
}

fn set_common(
    params: &mut CertificateParams,
    now: u64,
    end: u64,
    rng: &mut impl CryptoRng,
) -> Result<(), PkiError> {
    params.not_before = time(now.saturating_sub(BACKDATE_SECONDS))?.to_datetime();
    params.not_after = time(end)?.to_datetime();
    params.serial_number = Some(SerialNumber::from_slice(Serial::random(rng).as_bytes()));
    params.use_authority_key_identifier_extension = true;
    Ok(())
}

fn usage_extension(role: Role, purpose: Purpose) -> CustomExtension {
    let content = extended_key_usage(role, purpose);
    let mut extension = CustomExtension::from_oid_content(&EXTENDED_KEY_USAGE, content);
    extension.set_criticality(purpose == Purpose::Signing);
    extension
}

fn time(seconds: u64) -> Result<ASN1Time, PkiError> {
    let seconds = i64::try_from(seconds).map_err(|_| PkiError::Malformed("time"))?;
    ASN1Time::from_timestamp(seconds).map_err(|_| PkiError::Malformed("time"))
}
