//! Values and rows as they pass between a role and its database.

use feiqian_crypto::{Digest, Id16};
use feiqian_money::Minor;

use super::StoreError;

/// One stored value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing (only in a column that allows it).
    Null,
    /// A signed 64-bit integer.
    Integer(i64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// A number without sign, for example a time in Unix seconds.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misuse`] above `i64::MAX`, which no database integer holds.
    pub fn unsigned(number: u64) -> Result<Self, StoreError> {
        i64::try_from(number)
            .map(Self::Integer)
            .map_err(|_| StoreError::Misuse(format!("{number} does not fit a database integer")))
    }
}

macro_rules! from_integer {
    ($($kind:ty),*) => {$(
        impl From<$kind> for Value {
            fn from(number: $kind) -> Self {
                Self::Integer(i64::from(number))
            }
        }
    )*};
}
from_integer!(i64, i32, u32, u16, u8, bool);

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Blob(bytes)
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl<const N: usize> From<[u8; N]> for Value {
    fn from(bytes: [u8; N]) -> Self {
        Self::Blob(bytes.to_vec())
    }
}

impl From<Digest> for Value {
    fn from(digest: Digest) -> Self {
        Self::Blob(digest.as_bytes().to_vec())
    }
}

impl From<Id16> for Value {
    fn from(id: Id16) -> Self {
        Self::Blob(id.as_bytes().to_vec())
    }
}

impl From<Minor> for Value {
    fn from(amount: Minor) -> Self {
        // `Minor` is at most `i64::MAX` by construction.
        Self::Integer(i64::try_from(amount.value()).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl TryFrom<u64> for Value {
    type Error = StoreError;

    fn try_from(number: u64) -> Result<Self, StoreError> {
        Self::unsigned(number)
    }
}

/// One row read from a store: its values, counted from 0 in the order they were selected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row(pub Vec<Value>);

impl Row {
    /// The value at `index`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if the row is shorter.
    pub fn value(&self, index: usize) -> Result<&Value, StoreError> {
        self.0.get(index).ok_or_else(|| wrong(index, "a value"))
    }

    /// Whether the value at `index` is null (a missing value counts as null).
    #[must_use]
    pub fn is_null(&self, index: usize) -> bool {
        matches!(self.0.get(index), None | Some(Value::Null))
    }

    /// The integer at `index`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Corrupt`] if it is not one; so for all accessors.
    pub fn integer(&self, index: usize) -> Result<i64, StoreError> {
        match self.value(index)? {
            Value::Integer(number) => Ok(*number),
            _ => Err(wrong(index, "an integer")),
        }
    }

    /// The integer at `index`, which is not negative.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn unsigned(&self, index: usize) -> Result<u64, StoreError> {
        u64::try_from(self.integer(index)?).map_err(|_| wrong(index, "an integer that is not negative"))
    }

    /// The integer at `index` in a smaller type.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn small<T: TryFrom<i64>>(&self, index: usize) -> Result<T, StoreError> {
        T::try_from(self.integer(index)?).map_err(|_| wrong(index, "an integer in range"))
    }

    /// The truth value at `index` (0 or 1).
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn boolean(&self, index: usize) -> Result<bool, StoreError> {
        match self.integer(index)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(wrong(index, "0 or 1")),
        }
    }

    /// The text at `index`.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn text(&self, index: usize) -> Result<&str, StoreError> {
        match self.value(index)? {
            Value::Text(text) => Ok(text),
            _ => Err(wrong(index, "a text")),
        }
    }

    /// The bytes at `index`.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn blob(&self, index: usize) -> Result<&[u8], StoreError> {
        match self.value(index)? {
            Value::Blob(bytes) => Ok(bytes),
            _ => Err(wrong(index, "bytes")),
        }
    }

    /// The `N` bytes at `index`.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn array<const N: usize>(&self, index: usize) -> Result<[u8; N], StoreError> {
        self.blob(index)?.try_into().map_err(|_| wrong(index, "bytes of the right length"))
    }

    /// The digest (32 bytes) at `index`.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn digest(&self, index: usize) -> Result<Digest, StoreError> {
        self.array(index).map(Digest::from)
    }

    /// The id (16 bytes) at `index`.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn id(&self, index: usize) -> Result<Id16, StoreError> {
        self.array(index).map(Id16::from)
    }

    /// The amount in minor units at `index`.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn minor(&self, index: usize) -> Result<Minor, StoreError> {
        Minor::new(self.unsigned(index)?).map_err(|_| wrong(index, "an amount"))
    }

    /// The text at `index` parsed into a type.
    ///
    /// # Errors
    ///
    /// As [`Row::integer`].
    pub fn parse<T: std::str::FromStr>(&self, index: usize) -> Result<T, StoreError> {
        self.text(index)?.parse().map_err(|_| wrong(index, "a text of the right form"))
    }

    /// What `read` finds at `index`, or `None` for null: `row.optional(3, Row::id)?`.
    ///
    /// # Errors
    ///
    /// What `read` returns.
    pub fn optional<'a, T>(
        &'a self,
        index: usize,
        read: impl FnOnce(&'a Self, usize) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if self.is_null(index) { Ok(None) } else { read(self, index).map(Some) }
    }
}

macro_rules! optional {
    ($($name:ident, $read:ident, $kind:ty, $what:literal;)*) => {
        impl Row {$(
            #[doc = concat!("The ", $what, " at `index`, or `None` for null.")]
            ///
            /// # Errors
            ///
            /// As [`Row::integer`].
            pub fn $name(&self, index: usize) -> Result<Option<$kind>, StoreError> {
                self.optional(index, Self::$read)
            }
        )*}
    };
}
optional! {
    optional_integer, integer, i64, "integer";
    optional_unsigned, unsigned, u64, "integer (not negative)";
    optional_text, text, &str, "text";
    optional_blob, blob, &[u8], "bytes";
    optional_digest, digest, Digest, "digest";
    optional_id, id, Id16, "id";
    optional_minor, minor, Minor, "amount";
}

fn wrong(index: usize, expected: &str) -> StoreError {
    StoreError::Corrupt(format!("value {index} is not {expected}"))
}
