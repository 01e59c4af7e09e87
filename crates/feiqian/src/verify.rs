//! `feiqian verify`: checks a document against a root the caller trusts; evidence and cheques offline unless a center is
//! named.

use std::path::Path;

use feiqian_crypto::Digest;
use feiqian_online_cash::evidence::Evidence;
use feiqian_pki::TrustedRoot;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, codec};
use serde_json::{Value, json};

use crate::cli::JudgedBy;
use crate::{offline, payment, show};

/// What the caller said about the root.
pub(crate) enum Trust {
    /// Nothing.
    None,
    /// This is it.
    Root(TrustedRoot),
    /// It has this fingerprint.
    Fingerprint(Digest),
}

/// Whether these bytes claim to be a cheque: an object with blocks.
fn is_cheque(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Value>(bytes).is_ok_and(|value| value.get("blocks").is_some())
}

/// Checks the evidence, accusation, cheque or payment in `file`.
///
/// # Errors
/// `USAGE` for files that are none; the code of the first rule the evidence breaks; `WRONG_ROOT` when it stands under
/// another root.
pub(crate) async fn run(file: &Path, by: &JudgedBy) -> Result<Value, Fault> {
    let bytes = read(file)?;
    if is_cheque(&bytes) {
        return show::check(file, &bytes, by).await;
    }
    if let Some(accusation) = offline::accusation(&bytes) {
        return offline::check(&accusation, by.root.as_deref());
    }
    if let Some(item) = payment::read(&bytes) {
        return payment::check(file, &item, by).await;
    }
    evidence(file, &bytes, by.root.as_deref())
}

/// Whether the caller named this very root.
///
/// # Errors
/// `WRONG_ROOT` when he named another.
pub(crate) fn agrees(named: &Trust, root: &TrustedRoot) -> Result<bool, Fault> {
    let wanted = match named {
        Trust::None => return Ok(false),
        Trust::Root(wanted) => wanted.fingerprint(),
        Trust::Fingerprint(wanted) => *wanted,
    };
    if wanted == root.fingerprint() {
        return Ok(true);
    }
    let stands = root.fingerprint();
    Err(Fault::new(
        Code::WrongRoot,
        format!("the center stands under the root {stands}, trusted is {wanted}"),
    ))
}

fn evidence(file: &Path, bytes: &[u8], root: Option<&str>) -> Result<Value, Fault> {
    let evidence: Evidence = codec::decode_json(bytes, Limit::Large)
        .or_else(|json| codec::decode(bytes, Limit::Large).map_err(|_| json))
        .map_err(|error| {
            Fault::new(
                Code::Malformed,
                format!("{} is no evidence, accusation, cheque or payment: {error}", file.display()),
            )
        })?;
    let trust = trust(root)?;
    let trusted = !matches!(trust, Trust::None);
    let root = match trust {
        Trust::Root(root) => root,
        Trust::None => carried_root(&evidence)?,
        Trust::Fingerprint(wanted) => {
            let carried = carried_root(&evidence)?;
            if carried.fingerprint() != wanted {
                return Err(Fault::new(
                    Code::WrongRoot,
                    format!("it stands under the root {}, trusted is {wanted}", carried.fingerprint()),
                ));
            }
            carried
        }
    };
    let finding = evidence.verify(&root).map_err(Fault::from)?;
    let statements: Vec<String> = finding.statements.iter().map(ToString::to_string).collect();
    let mut value = json!({
        "kind": "double_spend",
        "valid": true,
        "trusted": trusted,
        "bank": finding.bank,
        "coin": finding.coin.key.to_string(),
        "denomination": finding.coin.denomination.to_string(),
        "value": finding.value.to_string(),
        "signed": finding.signed.to_string(),
        "currency": finding.value.currency.code(),
        "statements": statements,
        "root": root.fingerprint().to_string(),
    });
    if let (false, Value::Object(fields)) = (trusted, &mut value) {
        let warning = "nobody vouches for this root: name the one you trust with --root";
        fields.insert("warning".to_owned(), Value::from(warning));
    }
    Ok(value)
}

pub(crate) fn read(file: &Path) -> Result<Vec<u8>, Fault> {
    let failed =
        |reason: String| Fault::new(Code::Usage, format!("cannot read {}: {reason}", file.display()));
    let length = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?.len();
    if length > Limit::Large.bytes() as u64 {
        return Err(failed(format!("{length} bytes are too many")));
    }
    std::fs::read(file).map_err(|error| failed(error.to_string()))
}

fn carried_root(evidence: &Evidence) -> Result<TrustedRoot, Fault> {
    let chain = evidence.signer.to_chain()?;
    TrustedRoot::from_chain(&chain)
        .map_err(|error| Fault::new(Code::CertificateInvalid, format!("it carries no root: {error}")))
}

pub(crate) fn trust(root: Option<&str>) -> Result<Trust, Fault> {
    let Some(root) = root else { return Ok(Trust::None) };
    let hex = root.strip_prefix("sha256=").unwrap_or(root);
    if let Ok(fingerprint) = hex.parse() {
        return Ok(Trust::Fingerprint(fingerprint));
    }
    let bytes = read(Path::new(root))?;
    let parsed = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN") => TrustedRoot::from_pem(text),
        _ => TrustedRoot::from_der(&bytes),
    };
    parsed.map(Trust::Root).map_err(|error| {
        Fault::new(Code::Usage, format!("{root} is no root certificate: {error}"))
            .hint("--root takes a PEM or DER file or 64 hex digits")
    })
}
