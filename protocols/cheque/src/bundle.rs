//! The document: blocks and attachments, and its one file form.
//!
//! The file is canonical JSON too: `{"attachments":[…],"blocks":[…]}`, nothing after it. An attachment is bound by
//! its hash in the cheque block and can be taken out without touching a signature.

use feiqian_crypto::Digest;
use feiqian_wire::{Bounded, Text};
use serde::{Deserialize, Serialize};
use sha2::Digest as _;

use crate::block::Block;
use crate::content::{AttachmentRef, MAX_ATTACHMENTS};
use crate::error::{ChequeError, Malformed, Rejection};
use crate::json;

/// The media type of the file.
pub const MEDIA_TYPE: &str = "application/echeque+json";
/// The most blocks.
pub const MAX_BLOCKS: usize = 64;
/// The most bytes of one attachment.
pub const MAX_ATTACHMENT: usize = 262_144;
/// The most bytes of a file: [`MAX_BLOCKS`] full blocks and [`MAX_ATTACHMENTS`] full attachments, in base64.
pub const MAX_BUNDLE: usize = 2_500_000;

/// An attachment that is present.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    /// Its bytes, base64url.
    data: Text<349_526>,
    /// SHA-256 of its bytes.
    sha256: Digest,
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment").field("sha256", &self.sha256).finish_non_exhaustive()
    }
}

impl Attachment {
    /// Takes a file.
    ///
    /// # Errors
    /// [`Malformed::TooLarge`] above [`MAX_ATTACHMENT`] bytes.
    pub fn new(bytes: &[u8]) -> Result<Self, Malformed> {
        let too_large = Malformed::TooLarge { what: "attachment", most: MAX_ATTACHMENT, given: bytes.len() };
        if bytes.len() > MAX_ATTACHMENT {
            return Err(too_large);
        }
        let data = Text::new(json::to_base64url(bytes)).map_err(|_| too_large)?;
        Ok(Self { data, sha256: sha256(bytes) })
    }

    /// SHA-256 of its bytes, as it claims.
    #[must_use]
    pub fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// Its bytes, checked against its hash.
    ///
    /// # Errors
    /// [`Malformed::NotBase64`]; [`Rejection::Attachment`] when the hash is another.
    pub fn bytes(&self) -> Result<Vec<u8>, ChequeError> {
        let bytes = json::from_base64url(&self.data, "attachment")?;
        if sha256(&bytes) == self.sha256 {
            Ok(bytes)
        } else {
            Err(Rejection::Attachment("its bytes are not those of its hash").into())
        }
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(sha2::Sha256::digest(bytes).into())
}

/// An e-cheque as it travels. Holding one says nothing about its validity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Files that came along.
    pub attachments: Bounded<Attachment, MAX_ATTACHMENTS>,
    /// The signed blocks, first to last.
    pub blocks: Bounded<Block, MAX_BLOCKS>,
}

impl Bundle {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Malformed`]: too long, too deep, not strict JSON, not its canonical writing.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        json::read_canonical(bytes, "e-cheque", MAX_BUNDLE)
    }

    /// Writes the file.
    ///
    /// # Errors
    /// [`ChequeError::Misuse`] never in practice: texts and lists are expressible.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ChequeError> {
        json::canonical(self)
    }

    /// The cheque's id: the digest of the first block.
    ///
    /// # Errors
    /// [`Rejection::Content`] when there is no block.
    pub fn id(&self) -> Result<Digest, Rejection> {
        self.blocks.first().map(Block::digest).ok_or(NO_BLOCKS)
    }

    /// The digest of the last block: what the next one follows.
    ///
    /// # Errors
    /// [`Rejection::Content`] when there is no block.
    pub fn tip(&self) -> Result<Digest, Rejection> {
        self.blocks.last().map(Block::digest).ok_or(NO_BLOCKS)
    }

    /// The same cheque without its attachments: every signature still holds.
    #[must_use]
    pub fn without_attachments(mut self) -> Self {
        self.attachments = Bounded::default();
        self
    }

    /// Takes one attachment out; says whether it was there.
    pub fn remove_attachment(&mut self, sha256: &Digest) -> bool {
        let before = self.attachments.len();
        let rest: Vec<_> = self.attachments.iter().filter(|it| it.sha256 != *sha256).cloned().collect();
        self.attachments = Bounded::new(rest).unwrap_or_default();
        self.attachments.len() < before
    }

    /// Every attachment present is bound by the cheque, whole, once and in its order.
    pub(crate) fn check_attachments(&self, bound: &[AttachmentRef]) -> Result<(), ChequeError> {
        let mut rest = bound.iter();
        for attachment in self.attachments.iter() {
            if !rest.any(|it| it.sha256 == attachment.sha256) {
                return Err(Rejection::Attachment("it is not bound by the cheque, or out of order").into());
            }
            attachment.bytes()?;
        }
        Ok(())
    }

    pub(crate) fn push(&mut self, block: Block) -> Result<(), ChequeError> {
        self.blocks.push(block).map_err(|_| ChequeError::Misuse("the cheque has no room for more blocks"))
    }
}

const NO_BLOCKS: Rejection = Rejection::Content("it has no blocks");
