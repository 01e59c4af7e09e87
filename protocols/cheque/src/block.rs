//! A block: a JWS in flattened JSON serialization (RFC 7515), signed with Ed25519 (RFC 8037, RFC 9864).
//!
//! ```text
//! {"payload":"…","protected":"…","signature":"…"}                       base64url without padding
//! protected = {"alg":"Ed25519","typ":"echeque+jws","cty":<type>,"x5c":[leaf, bank authority]}
//! signature = Ed25519(leaf key, protected ‖ "." ‖ payload)
//! digest    = SHA-256(protected ‖ "." ‖ payload ‖ "." ‖ signature)
//! ```
//!
//! The header may have its members in any order, since other libraries write it too and it is signed as it
//! stands; the payload is canonical JSON. Neither may have unknown or repeated members.

use std::fmt;
use std::str::FromStr;

use feiqian_crypto::Digest;
use feiqian_pki::{
    Chain, KeyPair, PkiError, Purpose, Revocation, TrustedRoot, Verified, validate, verify_signature,
};
use feiqian_wire::{Text, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::error::{ChequeError, Malformed, Rejection};
use crate::json;

/// The most bytes of a payload, decoded.
pub const MAX_PAYLOAD: usize = 6_144;
/// The most bytes of a protected header, decoded: two certificates of [`MAX_CERTIFICATE`] bytes in base64.
pub const MAX_HEADER: usize = 6_144;
/// The most bytes of a certificate in `x5c`.
pub const MAX_CERTIFICATE: usize = 2_048;
/// The media type in `typ`.
pub const TYP: &str = "echeque+jws";

/// What a block is; its `cty`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockType {
    /// The order to pay, by a drawer.
    Cheque,
    /// The drawee bank's time stamp.
    Countersign,
    /// The drawee bank has reserved the funds.
    Certify,
    /// The holder passes the cheque on.
    Endorse,
    /// The last holder gives it to a bank for collection.
    Deposit,
    /// Not paid.
    Return,
    /// Paid, or settled.
    Receipt,
}

impl BlockType {
    /// All types, in the order in which they first appear.
    pub const ALL: [Self; 7] = [
        Self::Cheque,
        Self::Countersign,
        Self::Certify,
        Self::Endorse,
        Self::Deposit,
        Self::Return,
        Self::Receipt,
    ];

    /// The word in `cty`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cheque => "cheque",
            Self::Countersign => "countersign",
            Self::Certify => "certify",
            Self::Endorse => "endorse",
            Self::Deposit => "deposit",
            Self::Return => "return",
            Self::Receipt => "receipt",
        }
    }
}

impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for BlockType {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let unknown = || Malformed::Json { what: "header", reason: "unknown type of block".to_owned() };
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or_else(unknown)
    }
}

/// The protected header. The order of the members is the order in which it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: Text<16>,
    typ: Text<32>,
    cty: Text<16>,
    x5c: Vec<String>,
}

/// A block as it stands in the document. Its texts are base64url and unchecked until it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Block {
    /// The payload.
    pub payload: Text<8_192>,
    /// The protected header.
    pub protected: Text<8_192>,
    /// The signature, 86 characters.
    pub signature: Text<86>,
}

/// Who signs: a key, the chain that certifies it, and whom that chain names.
///
/// Made at each use and dropped again; it borrows the key.
#[derive(Debug)]
pub struct Signer<'a> {
    key: &'a KeyPair,
    x5c: Vec<Vec<u8>>,
    verified: Verified,
}

impl<'a> Signer<'a> {
    /// Takes a document-signing key and its chain, valid `now` under `root`.
    ///
    /// # Errors
    /// [`ChequeError::Misuse`] when the key is not the chain's, the chain does not hold, or is longer than a
    /// block takes.
    pub fn new(
        key: &'a KeyPair,
        chain: &Chain,
        root: &TrustedRoot,
        now: Timestamp,
    ) -> Result<Self, ChequeError> {
        let verified = validate(chain, root, Purpose::Signing, Revocation::Unchecked, now.seconds())
            .map_err(|_| ChequeError::Misuse("the signer's own chain does not hold"))?;
        if verified.public_key != key.public_key() {
            return Err(ChequeError::Misuse("the key is not the chain's"));
        }
        let x5c: Vec<Vec<u8>> =
            chain.certificates().iter().filter(|der| der.as_slice() != root.as_der()).cloned().collect();
        if x5c.len() > 2 || x5c.iter().any(|der| der.len() > MAX_CERTIFICATE) {
            return Err(ChequeError::Misuse("the signer's chain is too long"));
        }
        Ok(Self { key, x5c, verified })
    }

    /// Whom the chain names.
    #[must_use]
    pub fn identity(&self) -> &Verified {
        &self.verified
    }
}

impl Block {
    /// Signs a payload, which must already be canonical.
    ///
    /// # Errors
    /// [`ChequeError::Misuse`] when payload or header exceed their limits.
    pub(crate) fn sign(kind: BlockType, payload: &[u8], signer: &Signer<'_>) -> Result<Self, ChequeError> {
        let header = Header {
            alg: fit("Ed25519")?,
            typ: fit(TYP)?,
            cty: fit(kind.as_str())?,
            x5c: signer.x5c.iter().map(|der| json::to_base64(der)).collect(),
        };
        let header = serde_json::to_vec(&header).map_err(|_| TOO_LONG)?;
        if payload.len() > MAX_PAYLOAD || header.len() > MAX_HEADER {
            return Err(TOO_LONG);
        }
        let payload = fit(&json::to_base64url(payload))?;
        let protected = fit(&json::to_base64url(&header))?;
        let signature = signer.key.sign(signing_input(&protected, &payload).as_bytes());
        Ok(Self { payload, protected, signature: fit(&json::to_base64url(&signature))? })
    }

    /// What is signed: `protected.payload`.
    #[must_use]
    pub fn signing_input(&self) -> String {
        signing_input(&self.protected, &self.payload)
    }

    /// SHA-256 of `protected.payload.signature`: what the next block carries as `prev`. Of the first block it is
    /// the cheque's id.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let text = format!("{}.{}", self.signing_input(), self.signature);
        Digest(sha2::Sha256::digest(text.as_bytes()).into())
    }

    /// Takes the block apart; checks everything about its form and nothing about its signature.
    ///
    /// # Errors
    /// [`Malformed`]; [`Rejection::Algorithm`] for every `alg` but `Ed25519` and `EdDSA`;
    /// [`Rejection::Header`] for another `typ` or an `x5c` that is no chain of ours.
    pub(crate) fn open(&self, index: usize) -> Result<Opened, ChequeError> {
        let bytes = json::from_base64url(&self.protected, "header")?;
        let header: Header = json::strict(&bytes, "header", MAX_HEADER)?;
        if !matches!(header.alg.as_str(), "Ed25519" | "EdDSA") {
            return Err(Rejection::Algorithm { block: index }.into());
        }
        if header.typ.as_str() != TYP {
            return Err(Rejection::Header { block: index, reason: "typ" }.into());
        }
        let signature = json::from_base64url(&self.signature, "signature")?;
        Ok(Opened {
            kind: header.cty.as_str().parse()?,
            payload: json::from_base64url(&self.payload, "payload")?,
            chain: read_chain(&header.x5c, index)?,
            signature: signature.try_into().map_err(|_| Malformed::NotBase64("signature"))?,
            signing_input: self.signing_input(),
            digest: self.digest(),
        })
    }
}

const TOO_LONG: ChequeError = ChequeError::Misuse("the block would be too long");

fn fit<const MAX: usize>(text: &str) -> Result<Text<MAX>, ChequeError> {
    Text::new(text).map_err(|_| TOO_LONG)
}

fn signing_input(protected: &str, payload: &str) -> String {
    format!("{protected}.{payload}")
}

fn read_chain(x5c: &[String], block: usize) -> Result<Chain, ChequeError> {
    let reject = |reason| Rejection::Header { block, reason };
    if !(1..=2).contains(&x5c.len()) {
        return Err(reject("x5c holds the leaf and its bank's authority").into());
    }
    let mut certificates = Vec::with_capacity(2);
    for text in x5c {
        let der = json::from_base64(text, "certificate")?;
        if der.len() > MAX_CERTIFICATE {
            return Err(reject("a certificate is too long").into());
        }
        certificates.push(der);
    }
    Ok(Chain::new(certificates).map_err(|_| reject("a certificate is empty"))?)
}

/// A block taken apart.
pub(crate) struct Opened {
    pub(crate) kind: BlockType,
    pub(crate) payload: Vec<u8>,
    pub(crate) chain: Chain,
    pub(crate) signature: [u8; 64],
    pub(crate) signing_input: String,
    pub(crate) digest: Digest,
}

impl Opened {
    /// Checks the signature under the certified key.
    pub(crate) fn check_signature(&self, public_key: &[u8; 32]) -> Result<(), PkiError> {
        verify_signature(public_key, self.signing_input.as_bytes(), &self.signature)
    }
}
