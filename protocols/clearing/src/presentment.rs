//! A presentment: one item, presented once by one collecting bank for one account.

use feiqian_crypto::Digest;
use feiqian_crypto::transcript::Transcript;
use feiqian_money::Amount;
use feiqian_wire::error::Fault;
use feiqian_wire::{Bounded, Name, Text};
use serde::{Deserialize, Serialize};

/// The kinds of item that are cleared; hashed into presentment ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ItemKind {
    /// A payment with online coins.
    Payment,
    /// A refund of such a payment.
    Refund,
    /// An e-cheque.
    Cheque,
    /// A credit transfer: see [`crate::remittance`].
    Transfer,
    /// A payment with offline coins.
    Holding,
    /// A charge on a customer of another bank, who answered twice for an offline coin.
    Claim,
    /// A later payment on what stayed unpaid of a holding or claim.
    Part,
}

impl ItemKind {
    /// As it is hashed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Payment => "payment",
            Self::Refund => "refund",
            Self::Cheque => "cheque",
            Self::Transfer => "transfer",
            Self::Holding => "holding",
            Self::Claim => "claim",
            Self::Part => "part",
        }
    }
}

/// An item on its way from the collecting bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presentment<I> {
    /// See [`presentment_id`].
    pub id: Digest,
    /// Who presents.
    pub collecting_bank: Name,
    /// The account there that is to be credited (for a refund and a transfer: debited; for a claim: empty; for a part: the
    /// account at the other bank that is credited).
    pub account: Text<64>,
    /// How much.
    pub amount: Amount,
    /// The item itself.
    pub item: I,
}

/// `D("clearing/presentment"; collecting bank, account, kind, item digest)`: the same item for the same account
/// is the same presentment, however often it is sent.
pub fn presentment_id(collecting_bank: &str, account: &str, kind: ItemKind, item: &Digest) -> Digest {
    Transcript::new("clearing/presentment")
        .text(collecting_bank)
        .text(account)
        .text(kind.as_str())
        .digest(item)
        .into_digest()
}

impl<I> Presentment<I> {
    /// Makes the presentment of an item.
    pub fn new(
        collecting_bank: Name,
        account: Text<64>,
        amount: Amount,
        kind: ItemKind,
        item_digest: &Digest,
        item: I,
    ) -> Self {
        let id = presentment_id(collecting_bank.as_str(), account.as_str(), kind, item_digest);
        Self { id, collecting_bank, account, amount, item }
    }

    /// Was the id made from this bank, account and item?
    pub fn is_consistent(&self, kind: ItemKind, item_digest: &Digest) -> bool {
        self.id == presentment_id(self.collecting_bank.as_str(), self.account.as_str(), kind, item_digest)
    }
}

/// The answer to a presentment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presented<O> {
    /// The presentment answered.
    pub id: Digest,
    /// What became of the item.
    pub outcome: O,
}

/// The most presentments that travel together.
pub const MAX_BATCH: usize = 64;

/// Presentments that travel together, each as if it came alone: idempotent by its own id, refused or paid by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch<I> {
    /// At most [`MAX_BATCH`].
    pub items: Bounded<Presentment<I>, MAX_BATCH>,
}

/// The answer to one presentment of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer<O> {
    /// What it would have been answered alone.
    Presented(Presented<O>),
    /// The fault it would have been answered with alone.
    Failed(Fault),
    /// Its answer does not fit here: it is to be presented alone, which gets it.
    Alone,
}

/// The answers to a [`Batch`], in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answers<O> {
    /// One for each presentment.
    pub answers: Bounded<Answer<O>, MAX_BATCH>,
}
