//! What a center tells a bank that lost its newest records: every item it cleared with that bank since a time.
//!
//! The bank takes what it can check by itself: an item that it paid carries the receipt that it signed.

use feiqian_crypto::Digest;
use feiqian_money::Amount;
use feiqian_wire::{Blob, Bounded, Name, Timestamp};
use serde::{Deserialize, Serialize};

use crate::presentment::ItemKind;

/// The most items in one answer.
pub const MAX_CLEARED: usize = 64;
/// The most bytes of an item, and of its outcome: whatever fits in one message.
pub const MAX_BODY: usize = 1 << 20;

/// A place in the list: items are listed by the time of their last change, then by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// When the item came to its state, by the center's clock.
    pub changed: Timestamp,
    /// Its presentment.
    pub id: Digest,
}

/// `POST /v1/cleared`: the next items of the calling bank, as collecting or as issuing bank, of every state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearedRequest {
    /// Those that changed before are not listed.
    pub since: Timestamp,
    /// What is behind this place; `None` for the first.
    pub after: Option<Cursor>,
}

/// An item as the center has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cleared {
    /// Where it stands in the list.
    pub cursor: Cursor,
    /// Its kind.
    pub kind: ItemKind,
    /// Who presented it.
    pub collecting: Name,
    /// Where it went; `None` when it never went anywhere.
    pub issuing: Option<Name>,
    /// How much.
    pub amount: Amount,
    /// The presentment of a payment with online or offline coins, as a message; empty for all others, and for one that would not
    /// fit: a bank can do nothing about those by itself.
    pub presentment: Blob<MAX_BODY>,
    /// The outcome of a payment with online coins that was paid, as a message: the receipt.
    pub outcome: Option<Blob<MAX_BODY>>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearedResponse {
    /// In order, at most [`MAX_CLEARED`]; empty when nothing is left.
    pub items: Bounded<Cleared, MAX_CLEARED>,
}
