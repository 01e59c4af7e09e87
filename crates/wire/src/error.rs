//! Stable error codes, and the fault a node answers with.
//!
//! A code's number and text never change and are never used again; new codes get the next number.
//! The table is in the documentation of [`Code`].

use std::{fmt, str::FromStr};

use feiqian_money::MoneyError;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{Malformed, Misuse, OutOfBounds, Text};

macro_rules! codes {
    ($($number:literal $variant:ident $text:literal $status:literal $definitive:literal $meaning:literal;)*) => {
        /// Why a request was refused.
        ///
        /// *Definitive*: nothing has changed on the other side, and the same request gets the same answer as long as what
        /// the code names stays as it is; after any other code a repeat may succeed, or the first may have.
        ///
        /// | number | code | HTTP status | definitive | meaning |
        /// |---:|---|---:|---|---|
        $(#[doc = concat!("| ", $number, " | `", $text, "` | ", $status, " | ", $definitive, " | ", $meaning, " |")])*
        ///
        /// Serde: the text in JSON, the number (`u16`) in binary.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!("`", $text, "`: ", $meaning, ".")] $variant,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable number, from 1.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)* }
            }

            /// The stable text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status a node answers with.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// True when nothing has changed on the other side and repeating the request is of no use by itself.
            #[must_use]
            pub const fn is_definitive(self) -> bool {
                match self { $(Self::$variant => $definitive,)* }
            }
        }
    };
}

codes! {
    1 Malformed "MALFORMED" 400 true "the bytes are no message of this route";
    2 UnsupportedVersion "UNSUPPORTED_VERSION" 400 true "the message version is not spoken here";
    3 TooLarge "TOO_LARGE" 413 true "size or count above the limit";
    4 Unauthenticated "UNAUTHENTICATED" 401 true "the route needs a client certificate";
    5 CertificateNotAllowed "CERTIFICATE_NOT_ALLOWED" 400 true "the route is anonymous and refuses a client certificate";
    6 Forbidden "FORBIDDEN" 403 true "the caller's role or name may not do this";
    7 NotFound "NOT_FOUND" 404 true "there is no such thing, or not for this caller";
    8 Conflict "CONFLICT" 409 true "the same id was used with other content";
    9 Expired "EXPIRED" 410 true "the time in which this could act is over";
    10 Void "VOID" 410 true "cancelled before it took effect";
    11 Unavailable "UNAVAILABLE" 503 false "the node cannot serve this now";
    12 Busy "BUSY" 429 false "too many requests at once";
    13 Internal "INTERNAL" 500 false "the node failed; its log says why";
    14 InsufficientFunds "INSUFFICIENT_FUNDS" 422 true "the account or wallet has too little";
    15 AccountUnknown "ACCOUNT_UNKNOWN" 404 true "no such account at this bank";
    16 AccountClosed "ACCOUNT_CLOSED" 409 true "the account is closed";
    17 CodeInvalid "CODE_INVALID" 403 true "the enrolment code is wrong, used or expired";
    18 WrongBank "WRONG_BANK" 422 true "made for or by another bank";
    19 WrongCurrency "WRONG_CURRENCY" 422 true "another currency than expected";
    20 WrongRoute "WRONG_ROUTE" 422 true "the request fixes another way of payment";
    21 DenominationUnknown "DENOMINATION_UNKNOWN" 422 true "no key of this denomination id";
    22 KeyExpired "KEY_EXPIRED" 410 true "the denomination key does not issue or redeem any more";
    23 KeysetNotPinned "KEYSET_NOT_PINNED" 422 true "the center does not show this keyset";
    24 KeysetInvalid "KEYSET_INVALID" 422 true "keyset signature or content is wrong";
    25 SignatureInvalid "SIGNATURE_INVALID" 422 true "a signature does not verify";
    26 PossessionInvalid "POSSESSION_INVALID" 422 true "the possession proof does not verify";
    27 CertificateInvalid "CERTIFICATE_INVALID" 422 true "a certificate is wrong, expired or revoked";
    28 RequestInvalid "REQUEST_INVALID" 422 true "the payment request breaks a rule";
    29 RequestMismatch "REQUEST_MISMATCH" 422 true "made for another payment request";
    30 RequestAlreadyPaid "REQUEST_ALREADY_PAID" 409 true "another payment paid the request";
    31 ContributionInvalid "CONTRIBUTION_INVALID" 422 true "a contribution is zero or above the coin's value";
    32 CoinRepeated "COIN_REPEATED" 422 true "the same coin twice in one message";
    33 AmountMismatch "AMOUNT_MISMATCH" 422 true "value in is not value out";
    34 DoubleSpent "DOUBLE_SPENT" 409 true "a coin is spent beyond its value; evidence exists";
    35 SessionUnknown "SESSION_UNKNOWN" 404 true "no such session, or lost in a restart";
    36 SessionForeign "SESSION_FOREIGN" 403 true "the session was opened by another caller";
    37 RefundExceeded "REFUND_EXCEEDED" 422 true "more than was paid or is left to refund";
    38 RefundUnknown "REFUND_UNKNOWN" 404 true "no refund of this payment";
    39 NotExpired "NOT_EXPIRED" 409 false "may only act after an expiry that is still ahead";
    40 SettlementFailed "SETTLEMENT_FAILED" 503 false "the cycle could not be settled";
    41 LimitExceeded "LIMIT_EXCEEDED" 422 true "above a configured limit of amount or exposure";
    42 WrongRoot "WRONG_ROOT" 422 true "another root certificate than the pinned one";
    43 WrongHome "WRONG_HOME" 409 true "the home directory belongs to another role";
    44 Locked "LOCKED" 423 false "another process uses the home directory";
    45 NodeUnreachable "NODE_UNREACHABLE" 502 false "no answer from a node; the request may have arrived";
    46 EvidenceInvalid "EVIDENCE_INVALID" 422 true "the evidence does not prove what it claims";
    47 BrokenInvariant "BROKEN_INVARIANT" 500 false "an audit found the books wrong";
    48 Usage "USAGE" 400 true "the command was used wrongly";
    49 NoExactChange "NO_EXACT_CHANGE" 422 true "no set of pieces makes the amount";
    50 CoinExposed "COIN_EXPOSED" 409 true "a coin was spent twice: it can only be deposited";
    51 ChainTooLong "CHAIN_TOO_LONG" 422 true "passed on more often than is accepted";
    52 PieceInvalid "PIECE_INVALID" 422 true "a piece of an offline coin or its chain does not verify";
    53 PieceRepeated "PIECE_REPEATED" 409 true "a piece stands twice or overlaps one that is held";
    54 BlankAnswered "BLANK_ANSWERED" 409 true "the blank has already taken a piece";
    55 IdentityUnknown "IDENTITY_UNKNOWN" 404 true "no such offline identity is registered";
    56 IdentityClosed "IDENTITY_CLOSED" 409 true "the offline identity is closed";
    57 AccusationInvalid "ACCUSATION_INVALID" 422 true "the accusation does not prove what it claims";
    58 ClaimInvalid "CLAIM_INVALID" 422 true "the claim on value never deposited does not hold";
    59 PassphraseInvalid "PASSPHRASE_INVALID" 403 true "the passphrase of the home is missing or wrong";
}

impl Code {
    /// The code of a number.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownCode)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(self.as_str())
        } else {
            serializer.serialize_u16(self.number())
        }
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = if deserializer.is_human_readable() {
            Text::<64>::deserialize(deserializer)?.parse().ok()
        } else {
            Self::from_number(u16::deserialize(deserializer)?)
        };
        code.ok_or_else(|| de::Error::custom(UnknownCode))
    }
}

/// The most bytes of a fault's message and of its hint.
pub const MOST_TEXT: usize = 512;

/// A refusal: what a node answers instead of a result, and what a command prints.
///
/// JSON: `{"code":"EXPIRED","message":"…","hint":null}`. Both texts are safe to print, whoever sent them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}{}", HintSuffix(.hint))]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The stable code.
    pub code: Code,
    /// Which rule failed, for people; not stable.
    pub message: Text<MOST_TEXT>,
    /// What to do about it, where something can be done.
    pub hint: Option<Text<MOST_TEXT>>,
}

impl Fault {
    /// A fault without a hint. The message is made to fit: cut at [`MOST_TEXT`] bytes, control characters blanked.
    #[must_use]
    pub fn new(code: Code, message: impl AsRef<str>) -> Self {
        Self { code, message: Text::fitted(message.as_ref()), hint: None }
    }

    /// The same fault with a hint, made to fit as the message is.
    #[must_use]
    pub fn hint(self, hint: impl AsRef<str>) -> Self {
        Self { hint: Some(Text::fitted(hint.as_ref())), ..self }
    }

    /// True when nothing has changed on the other side, see [`Code::is_definitive`].
    #[must_use]
    pub const fn is_definitive(&self) -> bool {
        self.code.is_definitive()
    }
}

struct HintSuffix<'a>(&'a Option<Text<MOST_TEXT>>);

impl fmt::Display for HintSuffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl From<Malformed> for Fault {
    fn from(error: Malformed) -> Self {
        let code = match error {
            Malformed::TooLarge { .. } => Code::TooLarge,
            Malformed::UnsupportedVersion(_) => Code::UnsupportedVersion,
            _ => Code::Malformed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Misuse> for Fault {
    fn from(error: Misuse) -> Self {
        Self::new(Code::Internal, error.to_string())
    }
}

impl From<OutOfBounds> for Fault {
    fn from(error: OutOfBounds) -> Self {
        let code = match error {
            OutOfBounds::TooMany { .. } | OutOfBounds::TooLong { .. } => Code::TooLarge,
            _ => Code::Malformed,
        };
        Self::new(code, error.to_string())
    }
}

impl From<MoneyError> for Fault {
    fn from(error: MoneyError) -> Self {
        let code = match error {
            MoneyError::CurrencyMismatch { .. } => Code::WrongCurrency,
            MoneyError::TooManyCoins { .. } => Code::TooLarge,
            _ => Code::Malformed,
        };
        Self::new(code, error.to_string())
    }
}

/// Any fault.
#[cfg(any(test, feature = "testing"))]
pub fn arb_fault() -> impl proptest::strategy::Strategy<Value = Fault> {
    use proptest::prelude::*;
    let text = || {
        proptest::collection::vec(any::<char>(), 0..40).prop_map(|text| text.into_iter().collect::<String>())
    };
    (proptest::sample::select(Code::ALL), text(), proptest::option::of(text())).prop_map(
        |(code, message, hint)| {
            let fault = Fault::new(code, message);
            match hint {
                Some(hint) => fault.hint(hint),
                None => fault,
            }
        },
    )
}
