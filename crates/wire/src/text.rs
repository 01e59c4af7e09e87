//! Text with a limit in its type, and names.

use std::{fmt, ops::Deref, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::OutOfBounds;

/// UTF-8 text of at most `MAX` bytes that is safe to print: no control characters, no line or paragraph separators,
/// no direction overrides (with those, what is shown differs from what is signed).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Text<const MAX: usize>(String);

impl<const MAX: usize> Text<MAX> {
    /// The most bytes.
    pub const MAX: usize = MAX;

    /// This text.
    ///
    /// # Errors
    /// [`OutOfBounds::TooLong`] above `MAX` bytes, [`OutOfBounds::ControlCharacter`].
    pub fn new(text: impl Into<String>) -> Result<Self, OutOfBounds> {
        let text = text.into();
        Self::check(&text)?;
        Ok(Self(text))
    }

    /// This text made to fit: forbidden characters become spaces, what is too long is cut off.
    #[must_use]
    pub fn fitted(text: &str) -> Self {
        let mut fitted = String::new();
        for character in text.chars().map(|c| if forbidden(c) { ' ' } else { c }) {
            if fitted.len().saturating_add(character.len_utf8()) > MAX {
                break;
            }
            fitted.push(character);
        }
        Self(fitted)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }

    fn check(text: &str) -> Result<(), OutOfBounds> {
        if text.len() > MAX {
            return Err(OutOfBounds::TooLong { most: MAX, given: text.len() });
        }
        if text.chars().any(forbidden) {
            return Err(OutOfBounds::ControlCharacter);
        }
        Ok(())
    }
}

fn forbidden(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl<const MAX: usize> Deref for Text<MAX> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> FromStr for Text<MAX> {
    type Err = OutOfBounds;

    fn from_str(text: &str) -> Result<Self, OutOfBounds> {
        Self::new(text)
    }
}

impl<const MAX: usize> fmt::Display for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<const MAX: usize> fmt::Debug for Text<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Characters::<MAX>)
    }
}

struct Characters<const MAX: usize>;

impl<const MAX: usize> de::Visitor<'_> for Characters<MAX> {
    type Value = Text<MAX>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "text of at most {MAX} bytes")
    }

    // Called with a slice of the input where possible: checked before it is copied.
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<MAX>, E> {
        Text::<MAX>::check(text).map_err(E::custom)?;
        Ok(Text(text.to_owned()))
    }
}

/// The name of a bank, merchant or center: 1 to 32 characters of `a-z`, `0-9` and `-`.
///
/// Names have one spelling, so they compare as bytes, and fit paths, certificates and labels as they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Name(String);

impl Name {
    /// The most characters.
    pub const MAX: usize = 32;

    /// This name.
    ///
    /// # Errors
    /// [`OutOfBounds::NotAName`].
    pub fn new(name: impl Into<String>) -> Result<Self, OutOfBounds> {
        let name = name.into();
        Self::check(&name)?;
        Ok(Self(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn check(name: &str) -> Result<(), OutOfBounds> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
        if name.is_empty() || name.len() > Self::MAX || !name.bytes().all(allowed) {
            return Err(OutOfBounds::NotAName);
        }
        Ok(())
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = OutOfBounds;

    fn from_str(name: &str) -> Result<Self, OutOfBounds> {
        Self::new(name)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::<{ Self::MAX }>::deserialize(deserializer)?;
        Self::new(text.into_string()).map_err(de::Error::custom)
    }
}

/// Any name.
#[cfg(any(test, feature = "testing"))]
pub fn arb_name() -> impl proptest::strategy::Strategy<Value = Name> {
    use proptest::prelude::*;
    let character = proptest::sample::select(b"abcdefghijklmnopqrstuvwxyz0123456789-".as_slice());
    proptest::collection::vec(character, 1..=Name::MAX)
        .prop_map(|bytes| Name(bytes.into_iter().map(char::from).collect()))
}
