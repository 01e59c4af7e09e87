//! Why a message was refused: one enum, each with its stable wire code.

use feiqian_wire::error::{Code, Fault};

/// A peer broke a rule of the protocol, or its bytes are not what they claim to be.
///
/// Nothing was changed by the message. A failed signature or proof says only that it failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A point, scalar or structure is not canonical.
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// The bank's name differs from the one this step is about.
    #[error("wrong bank: {0}")]
    WrongBank(String),
    /// The currency differs from the one this step is about.
    #[error("wrong currency")]
    WrongCurrency,
    /// No pinned keyset contains this key.
    #[error("unknown key {0}")]
    KeyUnknown(String),
    /// The key may not be used for this at this time.
    #[error("key expired for this use")]
    KeyExpired,
    /// The keyset breaks a rule of its format or its signature does not verify.
    #[error("invalid keyset: {0}")]
    KeysetInvalid(&'static str),
    /// The center does not show this keyset to everybody.
    #[error("the keyset is not pinned at the center: {0}")]
    KeysetNotPinned(&'static str),
    /// A signature does not verify.
    #[error("signature does not verify: {0}")]
    SignatureInvalid(&'static str),
    /// A proof that an identity or the opening of a commitment is known does not verify.
    #[error("proof of the identity does not verify: {0}")]
    ProofInvalid(&'static str),
    /// A certificate is not valid for this use at this time.
    #[error("certificate not valid: {0}")]
    CertificateInvalid(String),
    /// The payment request or transfer offer breaks a rule of its format.
    #[error("invalid request: {0}")]
    RequestInvalid(&'static str),
    /// Made for another request or offer.
    #[error("made for another request")]
    RequestMismatch,
    /// The request, session or key has expired; both times are Unix seconds.
    #[error("expired at {expired}, the clock here says {now}")]
    Expired {
        /// When it expired.
        expired: u64,
        /// What the checking party's clock says.
        now: u64,
    },
    /// Something may only be done after a time that is still ahead.
    #[error("not before {expires}, the clock here says {now}")]
    NotExpired {
        /// When it may be done.
        expires: u64,
        /// What the checking party's clock says.
        now: u64,
    },
    /// The sums of a message do not agree.
    #[error("amounts do not agree: {0}")]
    AmountMismatch(&'static str),
    /// An amount, count or chain above a configured limit.
    #[error("above a limit: {0}")]
    LimitExceeded(&'static str),
    /// The session's announcements, or the session itself, were seen before.
    #[error("session or announcement seen before")]
    SessionRepeated,
    /// The bank's answer does not fit what it announced.
    #[error("the bank's answer does not fit what it announced")]
    BankMisbehaved,
    /// No set of pieces makes the amount; the nearest amounts that can be paid, in minor units.
    #[error("no exact change; payable are {below:?} below and {above:?} above")]
    NoExactChange {
        /// The greatest payable amount below, if there is one above zero.
        below: Option<u64>,
        /// The least payable amount above, if there is one.
        above: Option<u64>,
    },
    /// The coin was spent twice somewhere: it can only be deposited.
    #[error("a coin of it is exposed: it was spent twice")]
    CoinExposed,
    /// The chain of a piece has too many hops.
    #[error("the chain has {hops} hops, at most {most} are accepted")]
    ChainTooLong {
        /// Hops of the chain.
        hops: usize,
        /// The most that are accepted.
        most: usize,
    },
    /// A piece, its chain or its links break a rule.
    #[error("a piece does not hold: {0}")]
    PieceInvalid(&'static str),
    /// A piece stands twice, or overlaps one that is held already.
    #[error("a piece repeats or overlaps another")]
    PieceRepeated,
    /// The blank has already taken a piece.
    #[error("the blank has already taken a piece")]
    BlankAnswered,
    /// The identity is not registered.
    #[error("the identity is not registered")]
    IdentityUnknown,
    /// The identity is closed for withdrawal and transfer.
    #[error("the identity is closed")]
    IdentityClosed,
    /// The accusation does not show what it claims.
    #[error("the accusation does not hold: {0}")]
    AccusationInvalid(&'static str),
    /// The claim on value that was never deposited does not hold.
    #[error("the claim does not hold: {0}")]
    ClaimInvalid(&'static str),
}

impl Rejection {
    /// The stable wire code.
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed(_) => Code::Malformed,
            Self::WrongBank(_) => Code::WrongBank,
            Self::WrongCurrency => Code::WrongCurrency,
            Self::KeyUnknown(_) => Code::DenominationUnknown,
            Self::KeyExpired => Code::KeyExpired,
            Self::KeysetInvalid(_) => Code::KeysetInvalid,
            Self::KeysetNotPinned(_) => Code::KeysetNotPinned,
            Self::SignatureInvalid(_) | Self::BankMisbehaved => Code::SignatureInvalid,
            Self::ProofInvalid(_) => Code::PossessionInvalid,
            Self::CertificateInvalid(_) => Code::CertificateInvalid,
            Self::RequestInvalid(_) => Code::RequestInvalid,
            Self::RequestMismatch => Code::RequestMismatch,
            Self::Expired { .. } => Code::Expired,
            Self::NotExpired { .. } => Code::NotExpired,
            Self::AmountMismatch(_) => Code::AmountMismatch,
            Self::LimitExceeded(_) => Code::LimitExceeded,
            Self::SessionRepeated => Code::Conflict,
            Self::NoExactChange { .. } => Code::NoExactChange,
            Self::CoinExposed => Code::CoinExposed,
            Self::ChainTooLong { .. } => Code::ChainTooLong,
            Self::PieceInvalid(_) => Code::PieceInvalid,
            Self::PieceRepeated => Code::PieceRepeated,
            Self::BlankAnswered => Code::BlankAnswered,
            Self::IdentityUnknown => Code::IdentityUnknown,
            Self::IdentityClosed => Code::IdentityClosed,
            Self::AccusationInvalid(_) => Code::AccusationInvalid,
            Self::ClaimInvalid(_) => Code::ClaimInvalid,
        }
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        Fault::new(rejection.code(), rejection.to_string())
    }
}
