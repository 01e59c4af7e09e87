//! What the center tells the two banks of an item when the leg between them is final, or has failed.

use feiqian_crypto::Digest;
use feiqian_wire::{Bounded, U64};
use serde::{Deserialize, Serialize};

/// The most items in one message.
pub const MAX_ITEMS: usize = 1024;

/// One paid item, settled or unwound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finality {
    /// The item's presentment.
    pub presentment: Digest,
    /// `true`: the obligation is settled, for ever. `false`: `SETTLEMENT_FAILED`, the payment is undone.
    pub settled: bool,
}

/// Sent to the payer's bank and to the collecting bank of every item of a cycle, until they answer. The same message
/// again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettledRequest {
    /// The cycle, from 1; under gross settlement every item is final by itself and this is 0.
    pub cycle: U64,
    /// At most [`MAX_ITEMS`].
    pub items: Bounded<Finality, MAX_ITEMS>,
}
