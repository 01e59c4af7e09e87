//! What travels between nodes: the envelope and its two encodings, bounded building blocks, stable error codes.
//!
//! * [`codec`]: versioned binary envelope and strict JSON, both with hard limits on size, count and depth.
//! * [`Bounded`], [`Blob`], [`Text`], [`Name`]: fields whose limits are part of their type and are checked before
//!   memory is taken.
//! * [`Timestamp`], [`U64`]: 64-bit integers, decimal strings in JSON.
//! * [`error`]: [`Code`] and [`Fault`], what a node answers when it refuses.
//!
//! A message type derives `Serialize` and `Deserialize` with `deny_unknown_fields`, and uses no maps and none of
//! serde's `flatten`, `untagged`, `tag` or `skip_serializing_if`: the binary encoding has no field names.

mod bounded;
pub mod codec;
pub mod error;
mod number;
mod text;

pub use bounded::{Blob, Bounded};
pub use codec::{Limit, Malformed, Misuse};
pub use error::{Code, Fault};
pub use number::{Timestamp, U64};
pub use text::{Name, Text};

#[cfg(any(test, feature = "testing"))]
pub use {error::arb_fault, number::arb_timestamp, text::arb_name};

/// A value outside the limits of its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutOfBounds {
    /// More items than a [`Bounded`] list takes.
    #[error("{given} items, at most {most} are allowed")]
    TooMany {
        /// The type's limit.
        most: usize,
        /// Items given; for a stream of unknown length, the first number above the limit.
        given: usize,
    },
    /// More bytes than a [`Blob`] or [`Text`] takes.
    #[error("{given} bytes, at most {most} are allowed")]
    TooLong {
        /// The type's limit.
        most: usize,
        /// Bytes given.
        given: usize,
    },
    /// Bytes are not hexadecimal digits in pairs.
    #[error("not a hexadecimal string")]
    NotHex,
    /// A [`Text`] with a control character, line separator or direction override.
    #[error("text has a control character")]
    ControlCharacter,
    /// Not a [`Name`].
    #[error("a name is 1 to 32 characters of a-z, 0-9 and -")]
    NotAName,
    /// Not a decimal number in its one canonical writing, or above 64 bits.
    #[error("not a 64-bit decimal number")]
    NotANumber,
}
