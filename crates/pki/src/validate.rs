//! The one gate: is this chain good, for this purpose, now?

use feiqian_crypto::Digest;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{
    EndEntityCert, ExpirationPolicy, ExtendedKeyUsageValidator, KeyPurposeIdIter, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy, anchor_from_trusted_cert,
};

use crate::chain::{Chain, TrustedRoot, fingerprint};
use crate::error::{PkiError, Rejection};
use crate::key::verifying_key;
use crate::known::{self, Known};
use crate::parsed::{AUTHORITY_USAGE, DIGITAL_SIGNATURE, Parsed};
use crate::revocation::{Revocation, RevocationList};
use crate::subject::{BANK_AUTHORITY_UNIT, Purpose, Role, Serial, Subject};

static LEAVES: Known<Verified> = Known::new();
static AUTHORITIES: Known<VerifiedAuthority> = Known::new();

/// The holder of a valid chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Whom it names.
    pub subject: Subject,
    /// What the key is for, as the certificate says.
    pub purpose: Purpose,
    /// The certified Ed25519 key.
    pub public_key: [u8; 32],
    /// The certificate's serial, unique for its issuer.
    pub serial: Serial,
    /// SHA-256 of the leaf.
    pub fingerprint: Digest,
    /// Start of validity, Unix seconds.
    pub not_before: u64,
    /// End of validity, Unix seconds: of the leaf or of an authority above it, whichever ends first.
    pub not_after: u64,
}

/// The holder of a valid bank authority certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedAuthority {
    /// The bank it may issue for.
    pub bank: String,
    /// The authority's Ed25519 key.
    pub public_key: [u8; 32],
    /// The certificate's serial, unique for the root.
    pub serial: Serial,
    /// SHA-256 of the certificate.
    pub fingerprint: Digest,
    /// End of validity, Unix seconds.
    pub not_after: u64,
}

/// Validates an end entity's chain for a purpose at a time (Unix seconds).
///
/// In order: sizes and encoding; a root at the chain's end is the trusted one; signatures, validity, authority
/// flags, path length and revocation (webpki); the shape of our infrastructure (a center under the root,
/// everybody else under a bank authority of path length 0); the bank of the subject is the bank of the
/// authority; key usage critical and exact; extended key usage exactly the purpose's with the role's, critical
/// when signing; the key is of full order.
///
/// [`Purpose::Client`] also takes a node's certificate: a node calls as well as it serves.
///
/// # Errors
///
/// [`PkiError::Malformed`] when bytes are not certificates, [`PkiError::Rejected`] with the rule that was
/// broken.
///
/// # Security
///
/// Says who holds the key, not who sent the chain: the caller still needs a signature (TLS handshake,
/// document) by [`Verified::public_key`].
pub fn validate(
    chain: &Chain,
    root: &TrustedRoot,
    purpose: Purpose,
    revocation: Revocation<'_>,
    now: u64,
) -> Result<Verified, PkiError> {
    let what = match purpose {
        Purpose::Signing => b"signing".as_slice(),
        Purpose::Client => b"client",
        Purpose::Node => b"node",
    };
    LEAVES.or(known::key(what, chain, root, revocation), now, || {
        let verified = judge(chain, root, purpose, revocation, now)?;
        let until = known::until(revocation, verified.not_after, now);
        Ok((verified, until))
    })
}

fn judge(
    chain: &Chain,
    root: &TrustedRoot,
    purpose: Purpose,
    revocation: Revocation<'_>,
    now: u64,
) -> Result<Verified, PkiError> {
    let intermediates = chain.intermediates(root)?;
    let leaf = Parsed::read(chain.leaf())?;
    root.check_time(now)?;
    check_path(chain.leaf(), intermediates, root, revocation, now)?;

    let subject = leaf.subject.subject()?;
    let not_after = check_shape(&subject, &leaf, intermediates)?.min(root.not_after());
    leaf.check_key_usage(DIGITAL_SIGNATURE)?;
    let found = leaf.purpose(subject.role())?;
    if found != purpose && (found, purpose) != (Purpose::Node, Purpose::Client) {
        return Err(Rejection::WrongPurpose.into());
    }
    verifying_key(&leaf.public_key)?;
    Ok(Verified {
        subject,
        purpose: found,
        public_key: leaf.public_key,
        serial: leaf.serial,
        fingerprint: fingerprint(chain.leaf()),
        not_before: leaf.not_before,
        not_after,
    })
}

/// Validates a bank authority's chain (the authority's certificate first, the root last or absent).
///
/// # Errors
///
/// As [`validate`].
pub fn validate_authority(
    chain: &Chain,
    root: &TrustedRoot,
    revocation: Revocation<'_>,
    now: u64,
) -> Result<VerifiedAuthority, PkiError> {
    AUTHORITIES.or(known::key(b"authority", chain, root, revocation), now, || {
        let verified = judge_authority(chain, root, revocation, now)?;
        let until = known::until(revocation, verified.not_after, now);
        Ok((verified, until))
    })
}

fn judge_authority(
    chain: &Chain,
    root: &TrustedRoot,
    revocation: Revocation<'_>,
    now: u64,
) -> Result<VerifiedAuthority, PkiError> {
    if !chain.intermediates(root)?.is_empty() {
        return Err(Rejection::PathTooLong.into());
    }
    let authority = Parsed::read(chain.leaf())?;
    root.check_time(now)?;
    let bank = check_bank_authority(&authority)?;
    authority.check_signed_by(root.public_key())?;
    authority.check_time(now)?;
    if let Revocation::Required(lists) = revocation {
        let list = lists
            .iter()
            .filter(|list| list.verify(root.public_key(), now).is_ok())
            .max_by_key(|list| list.this_update())
            .ok_or(Rejection::RevocationUnknown)?;
        if list.find(&authority.serial).is_some() {
            return Err(Rejection::Revoked.into());
        }
    }
    Ok(VerifiedAuthority {
        bank,
        public_key: authority.public_key,
        serial: authority.serial,
        fingerprint: fingerprint(chain.leaf()),
        not_after: authority.not_after.min(root.not_after()),
    })
}

/// The rules of a bank authority's certificate; answers with its bank.
pub(crate) fn check_bank_authority(authority: &Parsed) -> Result<String, PkiError> {
    match authority.authority {
        None => return Err(Rejection::AuthorityConfused.into()),
        Some(Some(0)) => (),
        Some(_) => return Err(Rejection::Shape("a bank authority has path length 0").into()),
    }
    authority.check_key_usage(AUTHORITY_USAGE)?;
    verifying_key(&authority.public_key)?;
    let name = &authority.subject;
    match &name.bank {
        Some(bank) if *bank == name.name && name.unit == BANK_AUTHORITY_UNIT => Ok(bank.clone()),
        _ => Err(Rejection::Shape("not a bank authority").into()),
    }
}

/// Our own rules of a path; answers with the end of validity of leaf and authority.
fn check_shape(subject: &Subject, leaf: &Parsed, intermediates: &[Vec<u8>]) -> Result<u64, PkiError> {
    match (subject.role(), subject.bank_name(), intermediates) {
        (Role::Center, None, []) => Ok(leaf.not_after),
        (Role::Center, ..) => Err(Rejection::Shape("a center stands under the root").into()),
        (_, Some(bank), [authority]) => {
            let authority = Parsed::read(authority)?;
            let issuer = check_bank_authority(&authority)?;
            if issuer != bank {
                return Err(Rejection::ForeignBank { issuer, bank: bank.to_owned() }.into());
            }
            Ok(leaf.not_after.min(authority.not_after))
        }
        _ => Err(Rejection::Shape("one bank authority stands between").into()),
    }
}

/// Path building, signatures, validity, constraints and revocation, by webpki.
fn check_path(
    leaf: &[u8],
    intermediates: &[Vec<u8>],
    root: &TrustedRoot,
    revocation: Revocation<'_>,
    now: u64,
) -> Result<(), PkiError> {
    let lists = current_lists(revocation, root, intermediates, now)?;
    let lists: Vec<_> = lists.iter().map(|list| list.webpki()).collect();
    let leaf = CertificateDer::from(leaf);
    let intermediates: Vec<CertificateDer<'_>> =
        intermediates.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let root = CertificateDer::from(root.as_der());
    let anchor = anchor_from_trusted_cert(&root).map_err(translate)?;
    let end_entity = EndEntityCert::try_from(&leaf).map_err(translate)?;
    let options = match revocation {
        Revocation::Unchecked => None,
        Revocation::Required(_) => Some(
            RevocationOptionsBuilder::new(&lists)
                .map_err(|_| Rejection::RevocationUnknown)?
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                .with_expiration_policy(ExpirationPolicy::Enforce)
                .build(),
        ),
    };
    end_entity
        .verify_for_usage(
            &[webpki::ring::ED25519],
            &[anchor],
            &intermediates,
            UnixTime::since_unix_epoch(core::time::Duration::from_secs(now)),
            UsageJudgedElsewhere,
            options,
            None,
        )
        .map(|_| ())
        .map_err(translate)
}

/// The lists to judge by: current, signed by an authority of this chain, the newest first.
///
/// webpki takes the first list that bears the issuer's name. So lists of another key (an authority's former or
/// next one, a forger's) are left out here: they can neither clear a certificate nor get in the way.
fn current_lists<'a>(
    revocation: Revocation<'a>,
    root: &TrustedRoot,
    intermediates: &[Vec<u8>],
    now: u64,
) -> Result<Vec<&'a RevocationList>, PkiError> {
    let Revocation::Required(all) = revocation else { return Ok(Vec::new()) };
    let mut keys = vec![*root.public_key()];
    for der in intermediates {
        keys.push(Parsed::read(der)?.public_key);
    }
    let signed = |list: &&RevocationList| keys.iter().any(|key| list.check_signed_by(key).is_ok());
    let (mut lists, old): (Vec<_>, Vec<_>) =
        all.iter().filter(signed).partition(|list| list.check_current(now).is_ok());
    if lists.is_empty() && !old.is_empty() {
        return Err(Rejection::RevocationListNotCurrent.into());
    }
    lists.sort_by_key(|list| core::cmp::Reverse(list.this_update()));
    Ok(lists)
}

/// webpki asks the authorities for the usage too, which do not carry it; we judge the leaf's exact set.
struct UsageJudgedElsewhere;

impl ExtendedKeyUsageValidator for UsageJudgedElsewhere {
    fn validate(&self, mut purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), webpki::Error> {
        // Walk them all, so that damaged encodings are refused here too.
        purposes.try_for_each(|purpose| purpose.map(drop))
    }
}

fn translate(error: webpki::Error) -> PkiError {
    use webpki::Error;
    match error {
        Error::CertNotValidYet { time, not_before } => {
            Rejection::NotYetValid { not_before: not_before.as_secs(), now: time.as_secs() }.into()
        }
        Error::CertExpired { time, not_after } => {
            Rejection::Expired { not_after: not_after.as_secs(), now: time.as_secs() }.into()
        }
        Error::CaUsedAsEndEntity | Error::EndEntityUsedAsCa => Rejection::AuthorityConfused.into(),
        Error::PathLenConstraintViolated | Error::MaximumPathDepthExceeded => Rejection::PathTooLong.into(),
        Error::InvalidSignatureForPublicKey => Rejection::CertificateSignature.into(),
        Error::UnknownIssuer => Rejection::UnknownIssuer.into(),
        Error::CertRevoked => Rejection::Revoked.into(),
        Error::UnknownRevocationStatus => Rejection::RevocationUnknown.into(),
        Error::CrlExpired { .. } => Rejection::RevocationListNotCurrent.into(),
        Error::InvalidCrlSignatureForPublicKey => Rejection::RevocationListSignature.into(),
        Error::UnsupportedCriticalExtension => Rejection::Unsupported("critical extension").into(),
        Error::BadDer | Error::BadDerTime | Error::TrailingData(_) => PkiError::Malformed("certificate"),
        other => Rejection::Chain(other.to_string()).into(),
    }
}
