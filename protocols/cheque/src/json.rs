//! Strict and canonical JSON (RFC 8785): a document has one writing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde::{Serialize, de::DeserializeOwned};

use crate::error::{ChequeError, Malformed};

/// The deepest nesting of any document of ours, in brackets; ours have 4.
pub(crate) const MAX_DEPTH: usize = 8;

/// Writes a value canonically.
///
/// # Errors
/// [`ChequeError::Misuse`] for a value that JSON cannot say; none of ours.
pub(crate) fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, ChequeError> {
    serde_json_canonicalizer::to_vec(value).map_err(|_| ChequeError::Misuse("not expressible in JSON"))
}

/// Reads strictly: size, depth, exactly the known members once each, nothing after the end.
pub(crate) fn strict<T: DeserializeOwned>(
    bytes: &[u8],
    what: &'static str,
    most: usize,
) -> Result<T, Malformed> {
    if bytes.len() > most {
        return Err(Malformed::TooLarge { what, most, given: bytes.len() });
    }
    check_depth(bytes, what)?;
    serde_json::from_slice(bytes).map_err(|error| Malformed::Json { what, reason: error.to_string() })
}

/// Reads strictly and wants the one canonical writing: parse, write again, compare.
pub(crate) fn read_canonical<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    what: &'static str,
    most: usize,
) -> Result<T, Malformed> {
    let value = strict(bytes, what, most)?;
    let again = canonical(&value).map_err(|_| Malformed::NotCanonical(what))?;
    if again == bytes { Ok(value) } else { Err(Malformed::NotCanonical(what)) }
}

/// Counts brackets outside of strings, so that the parser is never asked to nest deeper.
fn check_depth(bytes: &[u8], what: &'static str) -> Result<(), Malformed> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth = depth.saturating_add(1),
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => (),
        }
        if depth > MAX_DEPTH {
            return Err(Malformed::TooDeep(what));
        }
    }
    Ok(())
}

/// base64url without padding (RFC 7515).
pub(crate) fn to_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding; unused bits must be zero.
pub(crate) fn from_base64url(text: &str, what: &'static str) -> Result<Vec<u8>, Malformed> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Malformed::NotBase64(what))
}

/// base64 with padding, as `x5c` wants it (RFC 7515 section 4.1.6).
pub(crate) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads base64 with padding; unused bits must be zero.
pub(crate) fn from_base64(text: &str, what: &'static str) -> Result<Vec<u8>, Malformed> {
    STANDARD.decode(text).map_err(|_| Malformed::NotBase64(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_in_strings_do_not_nest() {
        let text = format!("\"{}\"", "[".repeat(100));
        assert_eq!(strict::<String>(text.as_bytes(), "text", 200).as_deref(), Ok("[".repeat(100).as_str()));
        let quoted = br#""\"[[[[[[[[[[""#;
        assert_eq!(strict::<String>(quoted, "text", 200).as_deref(), Ok("\"[[[[[[[[[["));
    }

    #[test]
    fn depth_and_size_are_bounded_before_parsing() {
        let deep = "[".repeat(MAX_DEPTH + 1);
        assert_eq!(strict::<String>(deep.as_bytes(), "text", 200), Err(Malformed::TooDeep("text")));
        let long = Malformed::TooLarge { what: "text", most: 3, given: 4 };
        assert_eq!(strict::<String>(b"\"ab\"", "text", 3), Err(long));
    }

    #[test]
    fn there_is_one_base64_of_each_kind() {
        assert_eq!(from_base64url("AA", "x").as_deref(), Ok(&[0][..]));
        for other in ["AB", "AA==", "A", "+A", "A A"] {
            assert!(from_base64url(other, "x").is_err(), "{other}");
        }
        assert_eq!(from_base64("AA==", "x").as_deref(), Ok(&[0][..]));
        for other in ["AA", "AB==", "AA==\n"] {
            assert!(from_base64(other, "x").is_err(), "{other:?}");
        }
    }
}
