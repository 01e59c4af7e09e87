//! What the blocks say: their payloads.
//!
//! Canonical JSON `{"body":{…},"prev":…,"root":…}`. The first block has neither `prev` nor `root`. Amounts and
//! 64-bit integers are decimal strings, digests hex, times Unix seconds, the date a calendar day of UTC.

use std::collections::BTreeSet;

use feiqian_crypto::Digest;
use feiqian_money::Amount;
use feiqian_pki::{Role, Subject, Verified};
use feiqian_wire::{Bounded, Name, Text, Timestamp, U64};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::block::{BlockType, MAX_PAYLOAD};
use crate::codes::ReturnCode;
use crate::date::Day;
use crate::error::{ChequeError, Malformed, Rejection};
use crate::{json, words};

/// The most joint drawers.
pub const MAX_DRAWERS: usize = 8;
/// The most attachments.
pub const MAX_ATTACHMENTS: usize = 4;

/// The token of an account; of a merchant, its name.
pub type AccountToken = Text<64>;

/// To whom a cheque is payable, and who holds it next after an endorsement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payee {
    /// As a person reads it.
    pub name: Text<128>,
    /// How the payee is recognised.
    pub known_by: PayeeKey,
}

/// How a payee is recognised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PayeeKey {
    /// By an account: any valid signing certificate of its holder will do.
    Account {
        /// Where the account is.
        bank: Name,
        /// Its token.
        account: AccountToken,
    },
    /// By one certificate: its SHA-256 fingerprint. A renewed certificate is another one.
    Certificate(Digest),
}

impl Payee {
    /// Is this who signed?
    #[must_use]
    pub fn is(&self, signer: &Verified) -> bool {
        match &self.known_by {
            PayeeKey::Account { bank, account } => is_account(&signer.subject, bank, account),
            PayeeKey::Certificate(fingerprint) => *fingerprint == signer.fingerprint,
        }
    }
}

/// Does this subject hold that account?
pub(crate) fn is_account(subject: &Subject, bank: &str, account: &str) -> bool {
    matches!(subject.role(), Role::Customer | Role::Merchant)
        && subject.bank_name() == Some(bank)
        && subject.name() == account
}

/// An attachment as the cheque binds it. The file itself may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttachmentRef {
    /// What it is called.
    pub name: Text<128>,
    /// What it is, as `application/pdf`.
    pub media_type: Text<64>,
    /// SHA-256 of its bytes.
    pub sha256: Digest,
}

/// The order to pay. Every joint drawer signs the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cheque {
    /// The account it is drawn on.
    pub account: AccountToken,
    /// How much, above zero.
    pub amount: Amount,
    /// What is bound to it; no two alike.
    pub attachments: Bounded<AttachmentRef, MAX_ATTACHMENTS>,
    /// The drawee bank.
    pub bank: Name,
    /// The day from which it is payable.
    pub date: Day,
    /// Whose signatures count: account tokens at the drawee bank, in rising order, no two alike.
    pub drawers: Bounded<AccountToken, MAX_DRAWERS>,
    /// For the payee.
    pub memo: Text<256>,
    /// Whether it may be endorsed; else it is for the account of the payee only.
    pub negotiable: bool,
    /// Of the cheque book, from 1.
    pub number: U64,
    /// To whom.
    pub payee: Payee,
    /// How many of the drawers must sign: 1 to as many as there are.
    pub required: u8,
    /// The amount in English words; must agree with the figures.
    pub words: Text<512>,
}

impl Cheque {
    /// Checks what the document says by itself.
    ///
    /// # Errors
    /// [`Rejection::Content`] naming what is wrong.
    pub fn check(&self) -> Result<(), Rejection> {
        let rising = self.drawers.windows(2).all(|pair| matches!(pair, [left, right] if left < right));
        let attached: BTreeSet<&Digest> = self.attachments.iter().map(|it| &it.sha256).collect();
        let rules = [
            (!self.amount.minor.is_zero(), "the amount is zero"),
            (self.words.as_str() == words::english(self.amount), "the words do not agree with the figures"),
            (self.number.0 > 0, "the number is zero"),
            (!self.account.is_empty(), "no account"),
            (rising, "drawers repeat or are out of order"),
            ((1..=self.drawers.len()).contains(&usize::from(self.required)), "the mandate cannot be met"),
            (attached.len() == self.attachments.len(), "an attachment stands twice"),
            (!self.payee.name.is_empty(), "no payee"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(Rejection::Content(rule)),
            None => Ok(()),
        }
    }

    /// Is this subject one of the drawers?
    pub(crate) fn is_drawer(&self, subject: &Subject) -> bool {
        self.drawers.iter().any(|drawer| is_account(subject, &self.bank, drawer))
    }
}

/// The drawee's word: the number is of this account's book, the drawers' certificates are valid now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Countersign {
    /// The account, as the cheque says.
    pub account: AccountToken,
    /// The time at which the drawers' certificates are judged.
    pub at: Timestamp,
    /// The number, as the cheque says.
    pub number: U64,
}

/// The drawee's word: the amount is reserved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certify {
    /// What is reserved; the cheque's amount.
    pub amount: Amount,
    /// When.
    pub at: Timestamp,
}

/// The holder passes the cheque on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorse {
    /// When.
    pub at: Timestamp,
    /// 1 for the first endorsement, and so on.
    pub sequence: U64,
    /// The next holder.
    pub to: Payee,
}

/// The last holder gives the cheque to its bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    /// The holder's account there.
    pub account: AccountToken,
    /// When.
    pub at: Timestamp,
    /// The collecting bank.
    pub bank: Name,
    /// Under which the bank presents it.
    pub presentment: Digest,
}

/// Not paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Return {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub code: ReturnCode,
    /// Which presentment.
    pub presentment: Digest,
}

/// How far a paid cheque has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The drawee has paid; the payee's credit is pending.
    Paid,
    /// The banks have settled: final.
    Settled,
}

/// Paid, or settled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// When.
    pub at: Timestamp,
    /// How far.
    pub outcome: Outcome,
    /// Which presentment.
    pub presentment: Digest,
}

/// What any block says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// By a drawer.
    Cheque(Cheque),
    /// By the drawee bank.
    Countersign(Countersign),
    /// By the drawee bank.
    Certify(Certify),
    /// By the holder.
    Endorse(Endorse),
    /// By the last holder.
    Deposit(Deposit),
    /// By a bank or the center.
    Return(Return),
    /// By a bank or the center.
    Receipt(Receipt),
}

/// Where a block hangs: absent in the first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) prev: Digest,
    pub(crate) root: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload<T> {
    body: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<Digest>,
}

impl Body {
    /// The type of the block that says this.
    #[must_use]
    pub fn kind(&self) -> BlockType {
        match self {
            Self::Cheque(_) => BlockType::Cheque,
            Self::Countersign(_) => BlockType::Countersign,
            Self::Certify(_) => BlockType::Certify,
            Self::Endorse(_) => BlockType::Endorse,
            Self::Deposit(_) => BlockType::Deposit,
            Self::Return(_) => BlockType::Return,
            Self::Receipt(_) => BlockType::Receipt,
        }
    }

    /// The time the block names; a cheque block names none.
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Cheque(_) => None,
            Self::Countersign(it) => Some(it.at),
            Self::Certify(it) => Some(it.at),
            Self::Endorse(it) => Some(it.at),
            Self::Deposit(it) => Some(it.at),
            Self::Return(it) => Some(it.at),
            Self::Receipt(it) => Some(it.at),
        }
    }

    /// Of a return its code, of a receipt its outcome.
    pub(crate) fn says(&self) -> Option<&'static str> {
        match self {
            Self::Return(it) => Some(it.code.as_str()),
            Self::Receipt(Receipt { outcome: Outcome::Paid, .. }) => Some("paid"),
            Self::Receipt(Receipt { outcome: Outcome::Settled, .. }) => Some("settled"),
            _ => None,
        }
    }

    /// The payload in canonical JSON.
    pub(crate) fn write(&self, link: Option<Link>) -> Result<Vec<u8>, ChequeError> {
        match self {
            Self::Cheque(it) => write(it, link),
            Self::Countersign(it) => write(it, link),
            Self::Certify(it) => write(it, link),
            Self::Endorse(it) => write(it, link),
            Self::Deposit(it) => write(it, link),
            Self::Return(it) => write(it, link),
            Self::Receipt(it) => write(it, link),
        }
    }

    /// Reads a payload of that type.
    pub(crate) fn read(kind: BlockType, payload: &[u8]) -> Result<(Self, Option<Link>), Malformed> {
        match kind {
            BlockType::Cheque => read(payload, Self::Cheque),
            BlockType::Countersign => read(payload, Self::Countersign),
            BlockType::Certify => read(payload, Self::Certify),
            BlockType::Endorse => read(payload, Self::Endorse),
            BlockType::Deposit => read(payload, Self::Deposit),
            BlockType::Return => read(payload, Self::Return),
            BlockType::Receipt => read(payload, Self::Receipt),
        }
    }
}

fn write<T: Serialize>(body: &T, link: Option<Link>) -> Result<Vec<u8>, ChequeError> {
    json::canonical(&Payload { body, prev: link.map(|it| it.prev), root: link.map(|it| it.root) })
}

fn read<T: DeserializeOwned + Serialize>(
    payload: &[u8],
    into: impl FnOnce(T) -> Body,
) -> Result<(Body, Option<Link>), Malformed> {
    let Payload { body, prev, root } = json::read_canonical(payload, "payload", MAX_PAYLOAD)?;
    let link = match (prev, root) {
        (None, None) => None,
        (Some(prev), Some(root)) => Some(Link { prev, root }),
        _ => {
            let reason = "prev and root belong together".to_owned();
            return Err(Malformed::Json { what: "payload", reason });
        }
    };
    Ok((into(body), link))
}
