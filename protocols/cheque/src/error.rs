//! Why a cheque, a block or a step was refused: bytes, a peer, or our own caller.

use feiqian_pki::PkiError;
use feiqian_wire::error::{Code, Fault};

use crate::block::BlockType;
use crate::codes::ReturnCode;

/// A refusal, sorted by whose fault it is. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChequeError {
    /// The bytes are not an e-cheque.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A well-formed e-cheque that breaks a rule.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Our own caller asked for something this crate never does.
    #[error("misuse: {0}")]
    Misuse(&'static str),
}

/// The bytes are not what they claim to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// Longer than the limit of its kind.
    #[error("{what} has {given} bytes, at most {most} are allowed")]
    TooLarge {
        /// What was read.
        what: &'static str,
        /// The limit, bytes.
        most: usize,
        /// What came, bytes.
        given: usize,
    },
    /// Nested deeper than any document of ours.
    #[error("{0} is nested too deeply")]
    TooDeep(&'static str),
    /// Not JSON of the expected members: also unknown or repeated ones, and bytes after the end.
    #[error("{what} is not valid: {reason}")]
    Json {
        /// What was read.
        what: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// JSON in another than its one canonical writing (RFC 8785).
    #[error("{0} is not canonical JSON")]
    NotCanonical(&'static str),
    /// Not base64 of the one writing that is allowed.
    #[error("{0} is not base64")]
    NotBase64(&'static str),
}

/// The rule that an e-cheque broke. `block` counts from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// The signature algorithm is not Ed25519.
    #[error("block {block} uses another algorithm than Ed25519")]
    Algorithm {
        /// Which block.
        block: usize,
    },
    /// The protected header is not one of an e-cheque block.
    #[error("block {block} has a header that is not ours: {reason}")]
    Header {
        /// Which block.
        block: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A signature does not verify.
    #[error("the signature of block {block} does not verify")]
    Signature {
        /// Which block.
        block: usize,
    },
    /// A signer's certificate does not hold for this.
    #[error("the certificate of block {block} does not hold: {reason}")]
    Certificate {
        /// Which block.
        block: usize,
        /// The rule of the infrastructure that it broke.
        reason: PkiError,
    },
    /// Signed by someone who may not sign this block.
    #[error("block {block} is signed by someone who may not: {reason}")]
    Signer {
        /// Which block.
        block: usize,
        /// Who should have.
        reason: &'static str,
    },
    /// Fewer drawers signed than the mandate demands.
    #[error("{found} of the {required} drawers that are needed have signed")]
    SignatureMissing {
        /// How many must.
        required: u8,
        /// How many did.
        found: usize,
    },
    /// The drawee bank has not countersigned.
    #[error("the drawee bank has not countersigned")]
    NotCountersigned,
    /// The block belongs to another cheque.
    #[error("block {block} belongs to another cheque")]
    Root {
        /// Which block.
        block: usize,
    },
    /// The block does not follow the one before it.
    #[error("block {block} does not follow the block before it")]
    Prev {
        /// Which block.
        block: usize,
        /// Its type.
        kind: BlockType,
    },
    /// A block of this type cannot stand here.
    #[error("block {block} ({kind}) cannot stand here")]
    Order {
        /// Which block.
        block: usize,
        /// Its type.
        kind: BlockType,
    },
    /// What the cheque says contradicts itself or a rule.
    #[error("the cheque is not valid: {0}")]
    Content(&'static str),
    /// A joint drawer signed other content, or a later block repeats it wrongly.
    #[error("block {block} does not say what the cheque says")]
    Altered {
        /// Which block.
        block: usize,
    },
    /// A time in the block cannot be right.
    #[error("the time of block {block} cannot be right")]
    Time {
        /// Which block.
        block: usize,
    },
    /// There is no room for the blocks that must follow this one.
    #[error("the file has no room for the blocks that must follow block {block}")]
    Full {
        /// Which block.
        block: usize,
    },
    /// Drawn on another bank.
    #[error("drawn on another bank")]
    WrongBank,
    /// Account payee only: it cannot be endorsed.
    #[error("the cheque is for its payee only")]
    NotNegotiable,
    /// Endorsed by someone who does not hold it.
    #[error("block {block} is an endorsement by someone who was not the holder")]
    EndorsementBroken {
        /// Which block.
        block: usize,
    },
    /// An endorsement is missing before this one.
    #[error("an endorsement is missing before block {block}")]
    EndorsementMissing {
        /// Which block.
        block: usize,
    },
    /// Deposited by someone who does not hold it, or for another's account.
    #[error("deposited by someone other than the holder")]
    NotHolder,
    /// An attachment is not one that the cheque binds.
    #[error("attachment: {0}")]
    Attachment(&'static str),
    /// The cheque differs from the drawer's payment notice.
    #[error("the cheque differs from the drawer's payment notice")]
    NoticeMismatch,
    /// The number is not of the account's cheque book, or the mandate is not the account's.
    #[error("does not match the register: {0}")]
    Register(&'static str),
}

impl Rejection {
    /// The code with which the cheque is returned for this.
    #[must_use]
    pub fn return_code(&self) -> ReturnCode {
        match self {
            Self::Algorithm { .. } | Self::Header { .. } | Self::Signature { .. } => {
                ReturnCode::SignatureInvalid
            }
            Self::Certificate { .. } | Self::Signer { .. } => ReturnCode::CertInvalid,
            Self::SignatureMissing { .. } | Self::NotCountersigned => ReturnCode::SignatureMissing,
            Self::Prev { kind: BlockType::Endorse | BlockType::Deposit, .. }
            | Self::EndorsementMissing { .. } => ReturnCode::EndorsementMissing,
            Self::EndorsementBroken { .. } => ReturnCode::EndorsementBroken,
            Self::NotNegotiable | Self::NotHolder => ReturnCode::NotTransferable,
            Self::WrongBank => ReturnCode::WrongBank,
            Self::Full { .. } => ReturnCode::ReferToDrawer,
            Self::NoticeMismatch => ReturnCode::IssueNoticeMismatch,
            Self::Root { .. }
            | Self::Prev { .. }
            | Self::Order { .. }
            | Self::Content(_)
            | Self::Altered { .. }
            | Self::Time { .. }
            | Self::Attachment(_)
            | Self::Register(_) => ReturnCode::Altered,
        }
    }

    /// The stable wire code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self.return_code() {
            ReturnCode::SignatureInvalid | ReturnCode::SignatureMissing => Code::SignatureInvalid,
            ReturnCode::CertInvalid => Code::CertificateInvalid,
            ReturnCode::WrongBank => Code::WrongBank,
            ReturnCode::EndorsementBroken | ReturnCode::NotTransferable => Code::Forbidden,
            _ => Code::RequestInvalid,
        }
    }
}

impl ChequeError {
    /// The code with which the cheque is returned for this; bytes that are no cheque could not be processed.
    #[must_use]
    pub fn return_code(&self) -> ReturnCode {
        match self {
            Self::Rejected(rejection) => rejection.return_code(),
            Self::Malformed(_) => ReturnCode::Altered,
            Self::Misuse(_) => ReturnCode::Technical,
        }
    }

    /// Whether this is no word about the cheque: a revocation list is missing or has ended, which passes.
    #[must_use]
    pub fn lacks_list(&self) -> bool {
        matches!(self, Self::Rejected(Rejection::Certificate { reason, .. }) if reason.lacks_list())
    }
}

impl From<ChequeError> for Fault {
    fn from(error: ChequeError) -> Self {
        let code = match &error {
            ChequeError::Malformed(Malformed::TooLarge { .. }) => Code::TooLarge,
            ChequeError::Malformed(_) => Code::Malformed,
            ChequeError::Rejected(rejection) => rejection.code(),
            ChequeError::Misuse(_) => Code::Internal,
        };
        Fault::new(code, error.to_string())
    }
}
