//! Return codes: why a presented cheque was not paid.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Whether an item returned with a code may be presented again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Represent {
    /// At any time.
    Yes,
    /// Never: the return is final.
    No,
    /// From the cheque's date on.
    FromItsDate,
    /// In the next cycle.
    NextCycle,
    /// The drawee has not said; it may be tried.
    Maybe,
}

impl Represent {
    /// As the table of codes writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::FromItsDate => "from its date",
            Self::NextCycle => "next cycle",
            Self::Maybe => "maybe",
        }
    }
}

macro_rules! codes {
    ($($variant:ident $text:literal $meaning:literal $x9:literal $cts:literal $iso:literal $represent:ident;)*) => {
        /// Why a presented cheque was not paid.
        ///
        /// | code | meaning | X9 | CTS | ISO 20022 |
        /// |---|---|---|---|---|
        $(#[doc = concat!("| `", $text, "` | ", $meaning, " | ", $x9, " | ", $cts, " | ", $iso, " |")])*
        ///
        /// The counterparts in X9.100, the Indian cheque truncation system and ISO 20022 are our mapping.
        /// Serde: the text, in every format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum ReturnCode {
            $(#[doc = concat!("`", $text, "`: ", $meaning, ".")] $variant,)*
        }

        impl ReturnCode {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The stable text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it means, for people.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }

            /// The X9 return reason, where one corresponds.
            #[must_use]
            pub fn x9(self) -> Option<&'static str> {
                some(match self { $(Self::$variant => $x9,)* })
            }

            /// The reason code of the Indian cheque truncation system, where one corresponds.
            #[must_use]
            pub fn cts(self) -> Option<&'static str> {
                some(match self { $(Self::$variant => $cts,)* })
            }

            /// The ISO 20022 external status reason.
            #[must_use]
            pub const fn iso20022(self) -> &'static str {
                match self { $(Self::$variant => $iso,)* }
            }

            /// Whether the item may be presented again.
            #[must_use]
            pub const fn represent(self) -> Represent {
                match self { $(Self::$variant => Represent::$represent,)* }
            }
        }
    };
}

codes! {
    InsufficientFunds "INSUFFICIENT_FUNDS" "balance too low" "A" "01" "AM04" Yes;
    Uncollected "UNCOLLECTED" "deposited funds not yet clear" "B" "03" "AM04" Yes;
    OverLimit "OVER_LIMIT" "above the cheque or day limit" "P" "02" "AM02" No;
    Stopped "STOPPED" "stop order in force" "C" "20" "SP01" No;
    LegalHold "LEGAL_HOLD" "attachment or court order" "F" "21" "AM07" No;
    AccountClosed "ACCOUNT_CLOSED" "account closed" "D" "50" "AC04" No;
    AccountUnknown "ACCOUNT_UNKNOWN" "no such account" "E" "52" "AC01" No;
    AccountBlocked "ACCOUNT_BLOCKED" "account blocked" "F" "55" "AC06" No;
    Stale "STALE" "more than six months after its date" "G" "31" "DT02" No;
    PostDated "POST_DATED" "date in the future" "H" "30" "DT04" FromItsDate;
    EndorsementMissing "ENDORSEMENT_MISSING" "gap in the endorsement chain" "I" "60" "NARR" No;
    EndorsementBroken "ENDORSEMENT_BROKEN" "endorsed by someone who was not the holder" "J" "63" "NARR" No;
    SignatureMissing "SIGNATURE_MISSING" "joint mandate not met" "K" "10" "NARR" No;
    SignatureInvalid "SIGNATURE_INVALID" "signature does not verify" "L" "12" "NARR" No;
    CertInvalid "CERT_INVALID" "certificate not for this account, expired at issue or revoked" "L" "14" "NARR" No;
    NotTransferable "NOT_TRANSFERABLE" "presented for someone other than the payee" "M" "62" "BE01" No;
    Altered "ALTERED" "does not match the register" "N" "17" "FR01" No;
    IssueNoticeMismatch "ISSUE_NOTICE_MISMATCH" "differs from the drawer's payment notice" "N" "34" "AM09" No;
    WrongBank "WRONG_BANK" "not drawn on this bank" "R" "36" "RC03" No;
    ReferToDrawer "REFER_TO_DRAWER" "unspecified" "S" "04" "MS03" Maybe;
    RepresentLimit "REPRESENT_LIMIT" "presented too often" "T" "" "NARR" No;
    Duplicate "DUPLICATE" "already presented or paid" "Y" "41" "AM05" No;
    Late "LATE" "after the cut-off of the cycle" "" "" "TM01" NextCycle;
    SettlementFailed "SETTLEMENT_FAILED" "interbank leg failed" "" "" "ED05" Yes;
    Technical "TECHNICAL" "could not be processed" "O" "84" "DS28" Yes;
}

/// An empty column has no counterpart.
fn some(text: &'static str) -> Option<&'static str> {
    (!text.is_empty()).then_some(text)
}

impl ReturnCode {
    /// Whether a return with this code uses up one of the attempts. What failed on the banks' side does not.
    #[must_use]
    pub const fn counts_as_attempt(self) -> bool {
        !matches!(self, Self::SettlementFailed | Self::Technical | Self::Late)
    }

    /// Whether a return with this code ends the cheque's way.
    #[must_use]
    pub fn is_final(self) -> bool {
        self.represent() == Represent::No
    }
}

impl fmt::Display for ReturnCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text names no return code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("unknown return code")]
pub struct UnknownReturnCode;

impl FromStr for ReturnCode {
    type Err = UnknownReturnCode;

    fn from_str(text: &str) -> Result<Self, UnknownReturnCode> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text).ok_or(UnknownReturnCode)
    }
}

impl Serialize for ReturnCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ReturnCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = feiqian_wire::Text::<32>::deserialize(deserializer)?;
        text.as_str().parse().map_err(de::Error::custom)
    }
}
