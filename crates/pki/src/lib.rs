//! The public-key infrastructure: who may speak for whom.
//!
//! The verification center is the root. It certifies one *bank authority* per bank, which may certify end
//! entities only (path length 0) and only of its own bank:
//!
//! ```text
//! center root ──┬── center (node, signing)
//!               └── bank authority ──┬── bank       (node, signing)
//!                                    ├── merchant   (node, client, signing)
//!                                    └── customer   (client, signing)
//! ```
//!
//! Everything is Ed25519 X.509 (RFC 8410, RFC 5280). What a key may do stands in the certificate: the
//! [`Role`] as a private extended key usage, the [`Purpose`] as the exact set of usages, the bank in the
//! subject. [`validate`] is the only gate: it takes a [`Chain`], a [`TrustedRoot`], the purpose asked for, the
//! revocation lists and the time, and answers with the [`Verified`] holder or the rule that was broken.
//!
//! Nothing here reads a clock, randomness or files: times are Unix seconds and generators come in as arguments.
//!
//! ```
//! use feiqian_pki::{
//!     Authority, CertificateRequest, KeyPair, PkiError, Purpose, Revocation, Subject, validate,
//! };
//! use rand::{SeedableRng, rngs::ChaCha12Rng};
//!
//! # fn main() -> Result<(), PkiError> {
//! let (now, mut rng) = (1_767_225_600, ChaCha12Rng::seed_from_u64(1));
//! let center = Authority::root("center", KeyPair::generate(&mut rng), now, &mut rng)?;
//!
//! let key = KeyPair::generate(&mut rng);
//! let request = CertificateRequest::create(&key, &Subject::bank("north")?)?;
//! let request = CertificateRequest::verify(&request)?;
//! let chain = center.issue_bank_authority(&request, "north", now, &mut rng)?;
//! let bank = Authority::from_parts(key, chain)?;
//!
//! let key = KeyPair::generate(&mut rng);
//! let alice = Subject::customer("a1b2c3", "north")?;
//! let request = CertificateRequest::verify(&CertificateRequest::create(&key, &alice)?)?;
//! let day = 86_400;
//! let chain = bank.issue_leaf(&request, &alice, Purpose::Signing, &[], 90 * day, now, &mut rng)?;
//!
//! let lists = [center.issue_crl(&[], 1, now, now + day)?, bank.issue_crl(&[], 1, now, now + day)?];
//! let root = center.trusted_root()?;
//! let verified = validate(&chain, &root, Purpose::Signing, Revocation::Required(&lists), now)?;
//! assert_eq!(verified.subject, alice);
//! assert_eq!(verified.public_key, key.public_key());
//! # Ok(())
//! # }
//! ```
//!
//! # Security
//!
//! * Certificates are limited to [`MAX_CERTIFICATE_BYTES`], chains to [`MAX_CHAIN`], lists to
//!   [`MAX_REVOCATION_LIST_BYTES`]: checked before anything is parsed.
//! * Revocation fails closed: with [`Revocation::Required`] a missing, expired or forged list refuses.
//! * A favourable verdict is remembered by a hash of all that was judged, for as long as the same lists are current and
//!   no certificate ends: another list, or time, has the chain judged anew.
//! * A document signature is checked with [`verify_signature`], which is strict: no small-order keys, no
//!   malleable `S`, no non-canonical points.

mod authority;
mod chain;
mod encoding;
mod error;
mod key;
mod known;
mod parsed;
mod request;
mod revocation;
mod subject;
mod validate;

pub use authority::{
    Authority, BACKDATE_SECONDS, BANK_AUTHORITY_SECONDS, MAX_REVOCATION_LIST_SECONDS, ROOT_SECONDS,
};
pub use chain::{Chain, MAX_CERTIFICATE_BYTES, MAX_CHAIN, TrustedRoot, fingerprint};
pub use error::{PkiError, Rejection};
pub use key::{KeyPair, verify_signature};
pub use request::CertificateRequest;
pub use revocation::{MAX_REVOCATION_LIST_BYTES, Revocation, RevocationList, RevocationReason, Revoked};
pub use subject::{MAX_NAME_BYTES, Purpose, ROLE_ARC, Role, Serial, Subject};
pub use validate::{Verified, VerifiedAuthority, validate, validate_authority};
