//! The little DER and PEM that the certificate libraries leave to us.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::pem::{PemObject, SectionKind};

use crate::error::PkiError;
use crate::subject::{Purpose, Role};

/// OBJECT IDENTIFIER contents of `id-kp-serverAuth` (1.3.6.1.5.5.7.3.1).
const SERVER_AUTH: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// OBJECT IDENTIFIER contents of `id-kp-clientAuth` (1.3.6.1.5.5.7.3.2).
const CLIENT_AUTH: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02];

/// A DER element: tag, length in its shortest form, content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len().saturating_add(10));
    out.push(tag);
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes = content.len().to_be_bytes();
            let digits: Vec<u8> = bytes.into_iter().skip_while(|byte| *byte == 0).collect();
            // At most eight digits: a usize has no more.
            out.push(0x80 | u8::try_from(digits.len()).unwrap_or(8));
            out.extend(digits);
        }
    }
    out.extend_from_slice(content);
    out
}

/// AlgorithmIdentifier of Ed25519 without parameters (RFC 8410).
const ED25519: [u8; 7] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];

/// Checks that `der` is exactly the envelope of a signed body: `SEQUENCE { body, Ed25519, BIT STRING }`.
///
/// The signature covers only the body, and the parser is lenient about the rest: without this, one document
/// would have several encodings and so several fingerprints.
pub(crate) fn check_envelope(
    der: &[u8],
    body: &[u8],
    signature: &[u8; 64],
    what: &'static str,
) -> Result<(), PkiError> {
    let mut bits = vec![0];
    bits.extend_from_slice(signature);
    let content = [body, &ED25519, &element(0x03, &bits)].concat();
    if element(0x30, &content) == der { Ok(()) } else { Err(PkiError::Malformed(what)) }
}

/// The extended key usage of a leaf: `SEQUENCE OF OBJECT IDENTIFIER`, the standard purposes first.
///
/// Written here because a role's identifier has a 128-bit arc, which the certificate encoder cannot express.
pub(crate) fn extended_key_usage(role: Role, purpose: Purpose) -> Vec<u8> {
    let standard: &[&[u8]] = match purpose {
        Purpose::Node => &[&CLIENT_AUTH, &SERVER_AUTH],
        Purpose::Client => &[&CLIENT_AUTH],
        Purpose::Signing => &[],
    };
    let mut sequence = Vec::new();
    for oid in standard {
        sequence.extend(element(0x06, oid));
    }
    sequence.extend(element(0x06, &role.oid_contents()));
    element(0x30, &sequence)
}

/// Writes one PEM document (RFC 7468, 64 characters a line).
pub(crate) fn to_pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at_checked(64).unwrap_or((rest, ""));
        out.push_str(line);
        out.push('\n');
        rest = tail;
    }
    out.push_str("-----END ");
    out.push_str(label);
    out.push_str("-----\n");
    out
}

/// Reads all PEM documents of one kind, at most `limit` of them; other kinds are refused.
pub(crate) fn from_pem(
    text: &str,
    kind: SectionKind,
    limit: usize,
    what: &'static str,
) -> Result<Vec<Vec<u8>>, PkiError> {
    let mut out = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let (found, der) = section.map_err(|_| PkiError::Malformed(what))?;
        if found != kind || out.len() >= limit {
            return Err(PkiError::Malformed(what));
        }
        out.push(der);
    }
    Ok(out)
}
