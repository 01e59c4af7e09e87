//! `feiqian cheque show` and `feiqian verify` of a cheque.

use std::path::Path;
use std::sync::Arc;

use feiqian_cheque::{Bundle, Examined, Trust, examine, render};
use feiqian_node::{Clock as _, Endpoint, HttpsNetwork, SystemClock, Target, call_unlisted, first_contact};
use feiqian_pki::{Authority, KeyPair, MAX_REVOCATION_LIST_BYTES, RevocationList, TrustedRoot};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded};
use serde_json::{Value, json};

use crate::cli::JudgedBy;
use crate::{output, verify};

/// Root and lists that a cheque is judged by, and whether anybody named the root.
struct Judges {
    root: TrustedRoot,
    lists: Vec<RevocationList>,
    trusted: bool,
}

/// `feiqian cheque show`
///
/// # Errors
/// `USAGE` for files that cannot be used, `MALFORMED` for one that is no cheque, what the center answers.
pub(crate) async fn show(
    file: &Path,
    by: &JudgedBy,
    (html, svg): (Option<&Path>, Option<&Path>),
    as_json: bool,
) -> Result<(), Fault> {
    let bytes = verify::read(file)?;
    let (examined, trusted) = look(file, &bytes, by).await?;
    if let Some(path) = html {
        write(path, &render::html(&examined))?;
    }
    if let Some(path) = svg {
        write(path, &render::svg(&examined))?;
    }
    if as_json {
        let mut value = described(&examined, trusted);
        if let Value::Object(fields) = &mut value {
            fields.insert("html".to_owned(), json!(html));
            fields.insert("svg".to_owned(), json!(svg));
        }
        output::result(&value, true);
    } else {
        output::line(&render::terminal(&examined));
        if !trusted {
            output::line(WARNING);
        }
    }
    Ok(())
}

const WARNING: &str =
    "nobody vouches for these signatures: name the root with --root and --crl, or the center with --center";

/// `feiqian verify` of a cheque: as [`show`], but a cheque that is not good is a fault.
///
/// # Errors
/// As [`show`]; the code of the first rule that the cheque breaks.
pub(crate) async fn check(file: &Path, bytes: &[u8], by: &JudgedBy) -> Result<Value, Fault> {
    let (examined, trusted) = look(file, bytes, by).await?;
    let value = described(&examined, trusted);
    match examined.into_verified() {
        Ok(_) => Ok(value),
        Err(error) => {
            let code = error.return_code();
            let fault = Fault::from(error);
            let message = format!("{} ({code})", fault.message);
            let fault = Fault::new(fault.code, message);
            Err(if trusted { fault } else { fault.hint(WARNING) })
        }
    }
}

async fn look(file: &Path, bytes: &[u8], by: &JudgedBy) -> Result<(Examined, bool), Fault> {
    let bundle = Bundle::from_bytes(bytes.trim_ascii_end()).map_err(|error| {
        Fault::new(Code::Malformed, format!("{} is no e-cheque: {error}", file.display()))
    })?;
    let Judges { root, lists, trusted } = judges(by).await?;
    let examined = examine(bundle, &Trust::new(&root, &lists, SystemClock.now()))?;
    Ok((examined, trusted))
}

async fn judges(by: &JudgedBy) -> Result<Judges, Fault> {
    let mut lists = Vec::with_capacity(by.crl.len());
    for path in &by.crl {
        lists.push(read_list(path)?);
    }
    let named = verify::trust(by.root.as_deref())?;
    if let Some(center) = &by.center {
        let endpoint: Endpoint = center.trim().parse().map_err(|error: feiqian_node::EndpointError| {
            Fault::new(Code::Usage, format!("--center: {error}"))
        })?;
        let (root, shown) = ask_center(&endpoint).await?;
        let agreed = verify::agrees(&named, &root)?;
        lists.extend(shown);
        let trusted = agreed || endpoint.pin.fingerprint.is_some();
        return Ok(Judges { root, lists, trusted });
    }
    match named {
        verify::Trust::Root(root) => Ok(Judges { root, lists, trusted: true }),
        verify::Trust::Fingerprint(_) => Err(Fault::new(
            Code::Usage,
            "a cheque does not carry the root: its fingerprint alone is not enough",
        )
        .hint("give the root's file with --root, or the center's address with --center")),
        verify::Trust::None => Ok(Judges { root: nobody()?, lists, trusted: false }),
    }
}

/// A root that certified nobody: what a cheque is held against when no root is named.
fn nobody() -> Result<TrustedRoot, Fault> {
    use feiqian_node::Entropy as _;
    let mut rng = feiqian_node::SystemEntropy.rng();
    let key = KeyPair::generate(&mut rng);
    let made = Authority::root("nobody", key, SystemClock.now().seconds(), &mut rng);
    let root = made.and_then(|authority| authority.trusted_root());
    root.map_err(|error| Fault::new(Code::Internal, error.to_string()))
}

async fn ask_center(endpoint: &Endpoint) -> Result<(TrustedRoot, Vec<RevocationList>), Fault> {
    let clock = Arc::new(SystemClock);
    let root = first_contact(endpoint, Arc::clone(&clock) as Arc<dyn feiqian_node::Clock>)
        .await
        .map_err(Fault::from)?;
    let trust = Arc::new(feiqian_node::Trust::new(root.clone(), clock));
    let network = HttpsNetwork::new(trust, None);
    let shown: Bounded<Blob<MAX_REVOCATION_LIST_BYTES>, 257> =
        call_unlisted(&network, &Target::anyone(endpoint.url()), "/v1/crl", &())
            .await
            .map_err(Fault::from)?;
    let lists: Result<Vec<_>, _> = shown.iter().map(|der| RevocationList::from_der(der)).collect();
    let lists = lists.map_err(|error| Fault::new(Code::CertificateInvalid, error.to_string()))?;
    Ok((root, lists))
}

fn read_list(path: &Path) -> Result<RevocationList, Fault> {
    let bytes = verify::read(path)?;
    let parsed = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN") => RevocationList::from_pem(text),
        _ => RevocationList::from_der(&bytes),
    };
    parsed.map_err(|error| {
        Fault::new(Code::Usage, format!("{} is no revocation list: {error}", path.display()))
    })
}

fn write(path: &Path, text: &str) -> Result<(), Fault> {
    std::fs::write(path, text)
        .map_err(|error| Fault::new(Code::Usage, format!("cannot write {}: {error}", path.display())))
}

fn described(examined: &Examined, trusted: bool) -> Value {
    let cheque = examined.cheque();
    let signatures: Vec<Value> = examined
        .signatures()
        .iter()
        .map(|state| {
            json!({
                "block": state.kind.as_str(),
                "says": state.says,
                "signer": state.signer.as_ref().map(ToString::to_string),
                "judged_at": state.judged_at.seconds(),
                "good": state.fault.is_none(),
                "reason": state.fault.as_ref().map(ToString::to_string),
            })
        })
        .collect();
    let fault = examined.fault();
    json!({
        "kind": "cheque",
        "valid": fault.is_none(),
        "trusted": trusted,
        "code": fault.map(|fault| fault.return_code().as_str()),
        "reason": fault.map(ToString::to_string),
        "cheque": examined.id(),
        "number": cheque.number.0,
        "bank": cheque.bank,
        "account": cheque.account,
        "amount": cheque.amount.to_string(),
        "currency": cheque.amount.currency,
        "words": cheque.words,
        "date": cheque.date,
        "payee": cheque.payee.name,
        "holder": examined.holder().name,
        "negotiable": cheque.negotiable,
        "certified": examined.is_certified(),
        "phase": format!("{:?}", examined.phase()).to_lowercase(),
        "returned": examined.returned().map(|code| code.as_str()),
        "signatures": signatures,
    })
}
