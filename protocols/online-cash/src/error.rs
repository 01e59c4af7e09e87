//! Why a message was refused: one enum, each with its stable wire code.

use feiqian_wire::error::{Code, Fault};

/// A peer broke a rule of the protocol, or its bytes are not what they claim to be.
///
/// Nothing was changed by the message. A failed signature or possession proof says only that it failed.
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
    /// No pinned keyset contains this denomination.
    #[error("unknown denomination {0}")]
    DenominationUnknown(String),
    /// The denomination key may not be used for this at this time.
    #[error("denomination key expired for this use")]
    KeyExpired,
    /// The keyset breaks a rule of its format or its signature does not verify.
    #[error("invalid keyset: {0}")]
    KeysetInvalid(&'static str),
    /// The center does not show this keyset to everybody.
    #[error("the keyset is not pinned at the center: {0}")]
    KeysetNotPinned(&'static str),
    /// A coin's blind signature or another signature does not verify.
    #[error("signature does not verify: {0}")]
    SignatureInvalid(&'static str),
    /// A proof of possession of coin or payee keys does not verify.
    #[error("proof of possession does not verify")]
    PossessionInvalid,
    /// A certificate is not valid for this use at this time.
    #[error("certificate not valid: {0}")]
    CertificateInvalid(String),
    /// The payment request breaks a rule of its format.
    #[error("invalid payment request: {0}")]
    RequestInvalid(&'static str),
    /// The payment is for another request.
    #[error("the payment is for another request")]
    RequestMismatch,
    /// The request, session or key has expired; both times are Unix seconds.
    #[error("expired at {expired}, the clock here says {now}")]
    Expired {
        /// When it expired.
        expired: u64,
        /// What the checking party's clock says.
        now: u64,
    },
    /// Something must have expired before this step, and has not.
    #[error("not expired before {expires}, the clock here says {now}")]
    NotExpired {
        /// When it will expire.
        expires: u64,
        /// What the checking party's clock says.
        now: u64,
    },
    /// A contribution is zero or above what the coin can give.
    #[error("invalid contribution")]
    ContributionInvalid,
    /// One coin stands twice in one statement.
    #[error("a coin stands twice in one statement")]
    CoinRepeated,
    /// The sums of a statement do not agree.
    #[error("amounts do not agree: {0}")]
    AmountMismatch(&'static str),
    /// The route of the request does not allow this step.
    #[error("the request's route does not allow this")]
    WrongRoute,
    /// The session's commitments, or the session itself, were seen before.
    #[error("session or commitments seen before")]
    SessionRepeated,
    /// The bank's answer does not fit its commitments.
    #[error("the bank's answer does not fit its commitments")]
    BankMisbehaved,
    /// The evidence does not show what it claims.
    #[error("evidence does not hold: {0}")]
    EvidenceInvalid(&'static str),
}

impl Rejection {
    /// The stable wire code.
    pub fn code(&self) -> Code {
        match self {
            Self::Malformed(_) => Code::Malformed,
            Self::WrongBank(_) => Code::WrongBank,
            Self::WrongCurrency => Code::WrongCurrency,
            Self::DenominationUnknown(_) => Code::DenominationUnknown,
            Self::KeyExpired => Code::KeyExpired,
            Self::KeysetInvalid(_) => Code::KeysetInvalid,
            Self::KeysetNotPinned(_) => Code::KeysetNotPinned,
            Self::SignatureInvalid(_) => Code::SignatureInvalid,
            Self::PossessionInvalid => Code::PossessionInvalid,
            Self::CertificateInvalid(_) => Code::CertificateInvalid,
            Self::RequestInvalid(_) => Code::RequestInvalid,
            Self::RequestMismatch => Code::RequestMismatch,
            Self::Expired { .. } => Code::Expired,
            Self::NotExpired { .. } => Code::NotExpired,
            Self::ContributionInvalid => Code::ContributionInvalid,
            Self::CoinRepeated => Code::CoinRepeated,
            Self::AmountMismatch(_) => Code::AmountMismatch,
            Self::WrongRoute => Code::WrongRoute,
            Self::SessionRepeated => Code::Conflict,
            Self::BankMisbehaved => Code::SignatureInvalid,
            Self::EvidenceInvalid(_) => Code::EvidenceInvalid,
        }
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        Fault::new(rejection.code(), rejection.to_string())
    }
}
