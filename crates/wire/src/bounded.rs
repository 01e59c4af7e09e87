//! Lists and byte strings with a limit in their type.

use std::{fmt, marker::PhantomData, ops::Deref, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::OutOfBounds;

/// A list of at most `MAX` items.
///
/// Decoding refuses a larger count before any item is read or memory is taken. Serde: a plain list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bounded<T, const MAX: usize>(Vec<T>);

impl<T, const MAX: usize> Bounded<T, MAX> {
    /// The most items.
    pub const MAX: usize = MAX;

    /// The list of these items.
    ///
    /// # Errors
    /// [`OutOfBounds::TooMany`] above `MAX`.
    pub fn new(items: Vec<T>) -> Result<Self, OutOfBounds> {
        if items.len() > MAX {
            return Err(OutOfBounds::TooMany { most: MAX, given: items.len() });
        }
        Ok(Self(items))
    }

    /// The items of an iterator, which is not read further than one item above the limit.
    ///
    /// # Errors
    /// [`OutOfBounds::TooMany`] above `MAX`.
    pub fn collect(items: impl IntoIterator<Item = T>) -> Result<Self, OutOfBounds> {
        Self::new(items.into_iter().take(MAX.saturating_add(1)).collect())
    }

    /// Adds an item at the end.
    ///
    /// # Errors
    /// [`OutOfBounds::TooMany`] when the list is full; it is unchanged then.
    pub fn push(&mut self, item: T) -> Result<(), OutOfBounds> {
        if self.0.len() >= MAX {
            return Err(OutOfBounds::TooMany { most: MAX, given: self.0.len().saturating_add(1) });
        }
        self.0.push(item);
        Ok(())
    }

    /// The items.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for Bounded<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> Deref for Bounded<T, MAX> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for Bounded<T, MAX> {
    type Error = OutOfBounds;

    fn try_from(items: Vec<T>) -> Result<Self, OutOfBounds> {
        Self::new(items)
    }
}

impl<T, const MAX: usize> IntoIterator for Bounded<T, MAX> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T, const MAX: usize> IntoIterator for &'a Bounded<T, MAX> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl<T: fmt::Debug, const MAX: usize> fmt::Debug for Bounded<T, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize, const MAX: usize> Serialize for Bounded<T, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for Bounded<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

struct Items<T, const MAX: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> de::Visitor<'de> for Items<T, MAX> {
    type Value = Bounded<T, MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX} items")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        // The binary format announces the count, JSON does not: `push` holds the limit there.
        let given = sequence.size_hint().unwrap_or(0);
        if given > MAX {
            return Err(de::Error::custom(OutOfBounds::TooMany { most: MAX, given }));
        }
        let mut items = Bounded::default();
        while let Some(item) = sequence.next_element()? {
            items.push(item).map_err(de::Error::custom)?;
        }
        Ok(items)
    }
}

/// A byte string of at most `MAX` bytes. Serde: lower-case hex in JSON, count and bytes in binary.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob<const MAX: usize>(Vec<u8>);

impl<const MAX: usize> Blob<MAX> {
    /// The most bytes.
    pub const MAX: usize = MAX;

    /// These bytes.
    ///
    /// # Errors
    /// [`OutOfBounds::TooLong`] above `MAX`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, OutOfBounds> {
        let bytes = bytes.into();
        Self::check(bytes.len())?;
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    fn check(given: usize) -> Result<(), OutOfBounds> {
        if given > MAX {
            return Err(OutOfBounds::TooLong { most: MAX, given });
        }
        Ok(())
    }
}

impl<const MAX: usize> Deref for Blob<MAX> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<const MAX: usize> TryFrom<Vec<u8>> for Blob<MAX> {
    type Error = OutOfBounds;

    fn try_from(bytes: Vec<u8>) -> Result<Self, OutOfBounds> {
        Self::new(bytes)
    }
}

impl<const MAX: usize> fmt::Display for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl<const MAX: usize> fmt::Debug for Blob<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const MAX: usize> FromStr for Blob<MAX> {
    type Err = OutOfBounds;

    /// Reads hexadecimal digits of either case.
    fn from_str(text: &str) -> Result<Self, OutOfBounds> {
        Self::check(text.len().div_ceil(2))?;
        hex::decode(text).map(Self).map_err(|_| OutOfBounds::NotHex)
    }
}

impl<const MAX: usize> Serialize for Blob<MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Blob<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Bytes::<MAX>)
        } else {
            deserializer.deserialize_bytes(Bytes::<MAX>)
        }
    }
}

struct Bytes<const MAX: usize>;

impl<const MAX: usize> de::Visitor<'_> for Bytes<MAX> {
    type Value = Blob<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX} bytes")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob<MAX>, E> {
        text.parse().map_err(E::custom)
    }

    // Called with a slice of the input: the length is checked before it is copied.
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob<MAX>, E> {
        Blob::<MAX>::check(bytes.len()).map_err(E::custom)?;
        Ok(Blob(bytes.to_vec()))
    }
}
