//! The two encodings of a message.
//!
//! **Binary** (`application/vnd.feiqian.v1+bincode`):
//!
//! | bytes | content |
//! |---|---|
//! | 0–1 | `FQ` |
//! | 2–3 | version, little-endian: 1 |
//! | 4– | body: fields in order; integers little-endian of fixed width; `bool` and `Option` one byte 0 or 1; enum variants `u32`; lists, strings and byte strings a `u64` count, then the items |
//!
//! The body must fill the input to the last byte. Every value has exactly one encoding (fixed-width integers have no
//! short forms), so equal values have equal bytes.
//!
//! **JSON** (`application/json`): no envelope; ids and bytes are hex, amounts and 64-bit integers decimal strings.
//! A repeated field is refused, and unknown ones where the type says so. Same limits.

use bincode::{
    config::{Configuration, Fixint, Limit as ByteLimit, LittleEndian},
    error::{DecodeError, EncodeError},
};
use serde::{Serialize, de::DeserializeOwned};

/// First bytes of every binary message.
pub const MAGIC: [u8; 2] = *b"FQ";

/// The version this crate writes, and the only one it reads.
pub const VERSION: u16 = 1;

/// Deepest nesting of arrays and objects that JSON input may have.
pub const DEEPEST_JSON: usize = 32;

const HEADER_BYTES: usize = 4;

/// The most bytes a message may have, envelope included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// 4 KiB: queries, receipts, faults.
    Small,
    /// 64 KiB: one payment, one certificate chain.
    Medium,
    /// 1 MiB: batches, keysets, lists.
    Large,
}

impl Limit {
    /// The limit in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Small => SMALL,
            Self::Medium => MEDIUM,
            Self::Large => LARGE,
        }
    }
}

const SMALL: usize = 4 << 10;
const MEDIUM: usize = 64 << 10;
const LARGE: usize = 1 << 20;

/// Bytes from outside that are no message. Nothing was changed by them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// More bytes than the limit.
    #[error("message has {given} bytes, at most {most} are allowed")]
    TooLarge {
        /// The limit in bytes.
        most: usize,
        /// Bytes given.
        given: usize,
    },
    /// The message does not start with the envelope.
    #[error("not a message: the envelope is missing")]
    Envelope,
    /// The envelope names a version this node does not speak.
    #[error("message version {0} is not supported, only {VERSION} is")]
    UnsupportedVersion(u16),
    /// The message ends before its last field.
    #[error("message is truncated")]
    Truncated,
    /// Bytes are left over after the last field.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    /// JSON nested deeper than [`DEEPEST_JSON`].
    #[error("JSON is nested deeper than {DEEPEST_JSON}")]
    TooDeep,
    /// A field breaks a rule of its type; the text says which.
    #[error("{0}")]
    Field(String),
}

/// A value that cannot be sent: a fault of the caller, not of the peer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The encoding exceeds [`Limit::Large`], which no peer would accept.
    #[error("message of {given} bytes exceeds {LARGE}")]
    TooLarge {
        /// Bytes of the encoding, or the first size seen above the limit.
        given: usize,
    },
    /// The type has no encoding here (a list of unknown length, a map with keys that are no strings).
    #[error("value has no encoding: {0}")]
    NoEncoding(String),
}

type Format<const MOST: usize> = Configuration<LittleEndian, Fixint, ByteLimit<MOST>>;

const fn format<const MOST: usize>() -> Format<MOST> {
    bincode::config::standard().with_fixed_int_encoding().with_limit::<MOST>()
}

/// The binary message of `value`.
///
/// # Errors
/// [`Misuse`] when the value is too large or has no encoding.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Misuse> {
    let mut message = Vec::with_capacity(256);
    message.extend_from_slice(&MAGIC);
    message.extend_from_slice(&VERSION.to_le_bytes());
    bincode::serde::encode_into_std_write(value, &mut message, format::<LARGE>())
        .map_err(|error: EncodeError| Misuse::NoEncoding(error.to_string()))?;
    sendable(message)
}

/// Reads a binary message of at most `limit` bytes.
///
/// # Errors
/// [`Malformed`], with the first rule the bytes break.
///
/// # Security
/// Never panics; takes memory in proportion to the input at most, given that `T` bounds its lists by
/// [`Bounded`](crate::Bounded) and its bytes by [`Blob`](crate::Blob) and [`Text`](crate::Text).
pub fn decode<T: DeserializeOwned>(message: &[u8], limit: Limit) -> Result<T, Malformed> {
    within(message, limit)?;
    let (header, body) = message.split_first_chunk::<HEADER_BYTES>().ok_or(Malformed::Envelope)?;
    let [f, q, low, high] = *header;
    if [f, q] != MAGIC {
        return Err(Malformed::Envelope);
    }
    match u16::from_le_bytes([low, high]) {
        VERSION => {}
        other => return Err(Malformed::UnsupportedVersion(other)),
    }
    let decoded = match limit {
        Limit::Small => bincode::serde::borrow_decode_from_slice(body, format::<SMALL>()),
        Limit::Medium => bincode::serde::borrow_decode_from_slice(body, format::<MEDIUM>()),
        Limit::Large => bincode::serde::borrow_decode_from_slice(body, format::<LARGE>()),
    };
    let (value, consumed) = decoded.map_err(from_bincode)?;
    match body.len().saturating_sub(consumed) {
        0 => Ok(value),
        rest => Err(Malformed::Trailing(rest)),
    }
}

/// The JSON message of `value`, compact, fields in the order of the type.
///
/// # Errors
/// [`Misuse`] when the value is too large or has no encoding.
pub fn encode_json<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Misuse> {
    serde_json::to_vec(value).map_err(|error| Misuse::NoEncoding(error.to_string())).and_then(sendable)
}

/// Reads a JSON message of at most `limit` bytes.
///
/// # Errors
/// [`Malformed`], with the first rule the text breaks.
///
/// # Security
/// Depth is bounded by [`DEEPEST_JSON`] before parsing begins.
pub fn decode_json<T: DeserializeOwned>(message: &[u8], limit: Limit) -> Result<T, Malformed> {
    within(message, limit)?;
    if deepest(message) > DEEPEST_JSON {
        return Err(Malformed::TooDeep);
    }
    // `from_slice` refuses anything but white space after the value.
    serde_json::from_slice(message).map_err(|error| match error.classify() {
        serde_json::error::Category::Eof => Malformed::Truncated,
        _ => Malformed::Field(error.to_string()),
    })
}

fn within(message: &[u8], limit: Limit) -> Result<(), Malformed> {
    match message.len() {
        given if given > limit.bytes() => Err(Malformed::TooLarge { most: limit.bytes(), given }),
        _ => Ok(()),
    }
}

fn sendable(message: Vec<u8>) -> Result<Vec<u8>, Misuse> {
    match message.len() {
        given if given > LARGE => Err(Misuse::TooLarge { given }),
        _ => Ok(message),
    }
}

fn from_bincode(error: DecodeError) -> Malformed {
    match error {
        DecodeError::UnexpectedEnd { .. } | DecodeError::LimitExceeded => Malformed::Truncated,
        DecodeError::OtherString(text) => Malformed::Field(text),
        other => Malformed::Field(other.to_string()),
    }
}

/// The deepest nesting of brackets outside strings; of text that is no JSON, an upper bound on what a parser visits.
fn deepest(text: &[u8]) -> usize {
    let (mut depth, mut most) = (0usize, 0usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth = depth.saturating_add(1);
                most = most.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}
