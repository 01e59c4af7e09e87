//! The wallet's certificates: listed, renewed, revoked, deleted, applied for anew.
//!
//! These work on a home that no wallet runs in, since they replace the keys it runs with. New keys are written before
//! they are sent, and old ones overwritten only when the new certificates are there: an interrupted `renew` or `apply`
//! is taken up by the same command.

use feiqian_cheque::messages::{CertificateList, CertificateRenew, CertificateRevoke};
use feiqian_node::{Caller, Clock, Home, Network, Target, call};
use feiqian_online_cash::account::{EnrolRequest, EnrolResponse};
use feiqian_pki::{
    CertificateRequest, Chain, KeyPair, Purpose, Revocation, Role, Subject, TrustedRoot, fingerprint,
    validate,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Text};
use serde_json::{Value, json};

use crate::Config;
use crate::failure::{Failure, Result};
use crate::init::{check_chain, pki, read_text, stored_document_key, stored_transport_key, token_of};

/// The pairs of files: what is in use, and what takes its place.
const PAIRS: [(&str, &str); 4] = [
    ("next.transport.pem", "transport.pem"),
    ("next.transport.chain.pem", "transport.chain.pem"),
    ("next.signing.pem", "signing.pem"),
    ("next.signing.chain.pem", "signing.chain.pem"),
];

fn bank(config: &Config) -> Target {
    Target::named(config.bank_url.clone(), Role::Bank, config.bank.as_str())
}

/// What the home holds, and what the bank says of it where it answers:
/// `{"certificates":[{"serial","purpose","fingerprint","not_before","not_after","current","revoked","reason"}],"bank"}`.
///
/// # Errors
/// `WRONG_HOME` when the home lacks the root; `CERTIFICATE_INVALID` for certificates that cannot be read.
pub async fn list(home: &Home, network: &dyn Network, clock: &dyn Clock) -> Result<Value, Fault> {
    Ok(list_of(home, network, clock).await?)
}

async fn list_of(home: &Home, network: &dyn Network, clock: &dyn Clock) -> Result<Value> {
    let config: Config = home.read_config()?;
    let root = root(home)?;
    let asked: Result<CertificateList, _> =
        call(network, &bank(&config), Caller::Certified, "/v1/account/certificate/list", &()).await;
    let mut shown = Vec::new();
    let mut held = Vec::new();
    for (file, purpose, word) in [
        ("transport.chain.pem", Purpose::Client, "connections"),
        ("signing.chain.pem", Purpose::Signing, "documents"),
    ] {
        let Some(pem) = home.read_key(file)? else { continue };
        let text = std::str::from_utf8(&pem).map_err(|_| broken(file))?;
        let chain = Chain::from_pem(text).map_err(|error| pki(&error))?;
        let print = fingerprint(chain.leaf());
        held.push(print);
        let now = clock.now().seconds();
        // One that does not hold is listed too, with the reason.
        let judged = validate(&chain, &root, purpose, Revocation::Unchecked, now);
        let verified = judged.as_ref().ok();
        shown.push((
            print,
            json!({
                "serial": verified.map(|it| it.serial.to_string()),
                "purpose": word,
                "fingerprint": print,
                "not_before": verified.map(|it| it.not_before),
                "not_after": verified.map(|it| it.not_after),
                "current": true,
                "revoked": null,
                "reason": judged.as_ref().err().map(ToString::to_string),
            }),
        ));
    }
    let reached = asked.is_ok();
    if let Ok(list) = asked {
        for line in list.lines.iter() {
            let value = json!({
                "serial": line.serial,
                "purpose": if line.signing { "documents" } else { "connections" },
                "fingerprint": line.fingerprint,
                "not_before": line.not_before.seconds(),
                "not_after": line.not_after.seconds(),
                "current": held.contains(&line.fingerprint),
                "revoked": line.revoked.map(feiqian_wire::Timestamp::seconds),
                "reason": null,
            });
            match shown.iter_mut().find(|(print, _)| *print == line.fingerprint) {
                Some((_, known)) => *known = value,
                None => shown.push((line.fingerprint, value)),
            }
        }
    }
    let certificates: Vec<Value> = shown.into_iter().map(|(_, value)| value).collect();
    Ok(json!({"certificates": certificates, "bank": if reached { "answered" } else { "did not answer" }}))
}

/// Replaces both keys: `{"renewed":true,"serial","not_after"}`, of the document-signing certificate.
///
/// # Errors
/// What the bank answers; `CERTIFICATE_INVALID` when its certificates are not what was asked for.
pub async fn renew(home: &Home, network: &dyn Network, clock: &dyn Clock) -> Result<Value, Fault> {
    let config: Config = home.read_config()?;
    let request = next_keys(home, &config)?;
    let request = CertificateRenew { transport: request.0, signing: request.1, hosts: Text::fitted("") };
    let response: EnrolResponse =
        call(network, &bank(&config), Caller::Certified, "/v1/account/certificate/renew", &request)
            .await
            .map_err(|error| {
                Fault::from(error).hint("if the bank has renewed already, ask it for a code and use `apply`")
            })?;
    Ok(install(home, &config, &response, clock)?)
}

/// New certificates for new keys, with an enrolment code of the same account: as [`renew`].
///
/// # Errors
/// `CODE_INVALID` and what else the bank answers; `CONFLICT` for a code of another account.
pub async fn apply(
    home: &Home,
    code: &str,
    network: &dyn Network,
    clock: &dyn Clock,
) -> Result<Value, Fault> {
    let config: Config = home.read_config()?;
    if token_of(code)? != config.account {
        return Err(Fault::new(Code::Conflict, "the code is of another account")
            .hint("make another wallet for it with `feiqian wallet init`"));
    }
    let (transport, signing) = next_keys(home, &config)?;
    let request = EnrolRequest { code: Text::new(code.trim())?, transport, signing, hosts: Text::fitted("") };
    let response: EnrolResponse =
        call(network, &bank(&config), Caller::Anonymous, "/v1/enrol", &request).await?;
    Ok(install(home, &config, &response, clock)?)
}

/// Has the bank revoke a certificate: `{"revoked":serial}`.
///
/// # Errors
/// `NOT_FOUND` and what else the bank answers.
pub async fn revoke(
    home: &Home,
    serial: &str,
    compromised: bool,
    network: &dyn Network,
) -> Result<Value, Fault> {
    let config: Config = home.read_config()?;
    let request = CertificateRevoke { serial: Text::new(serial)?, compromised };
    let (): () =
        call(network, &bank(&config), Caller::Certified, "/v1/account/certificate/revoke", &request).await?;
    Ok(json!({"revoked": serial}))
}

/// Deletes keys and certificates: `{"deleted":[file]}`.
///
/// # Errors
/// `CONFLICT` while the signing certificate may still be used, unless `force`.
pub async fn delete(
    home: &Home,
    force: bool,
    network: &dyn Network,
    clock: &dyn Clock,
) -> Result<Value, Fault> {
    if !force {
        let listed = list_of(home, network, clock).await?;
        let now = clock.now().seconds();
        let usable = listed.get("certificates").and_then(Value::as_array).is_some_and(|all| {
            all.iter().any(|it| {
                let field = |name: &str| it.get(name).cloned().unwrap_or_default();
                field("current") == true
                    && field("revoked").is_null()
                    && field("not_after").as_u64().unwrap_or_default() >= now
            })
        });
        if usable {
            return Err(Fault::new(Code::Conflict, "a certificate is neither revoked nor expired")
                .hint("revoke it first with `feiqian wallet certificate revoke`, or add --force"));
        }
    }
    let mut deleted = Vec::new();
    for (_, file) in PAIRS {
        if home.read_key(file)?.is_some() {
            home.delete_key(file)?;
            deleted.push(file);
        }
    }
    Ok(json!({"deleted": deleted}))
}

fn root(home: &Home) -> Result<TrustedRoot> {
    TrustedRoot::from_pem(&read_text(home, "root.pem")?).map_err(|error| pki(&error))
}

fn broken(file: &str) -> Failure {
    Failure::new(Code::WrongHome, format!("keys/{file} is broken"))
}

type Requests = (Blob<2048>, Blob<2048>);

/// The next keys, made if they are not there, as certificate requests.
fn next_keys(home: &Home, config: &Config) -> Result<Requests> {
    let subject = Subject::customer(&config.account, config.bank.as_str()).map_err(|error| pki(&error))?;
    let request = |key: &KeyPair| -> Result<Blob<2048>> {
        Ok(Blob::new(CertificateRequest::create(key, &subject).map_err(|error| pki(&error))?)?)
    };
    let signing = stored_document_key(home, "next.signing.pem", &config.account)?;
    let transport = stored_transport_key(home, "next.transport.pem", config.bank.as_str())?;
    Ok((request(&transport)?, request(&signing)?))
}

/// Checks what the bank certified, and puts the next files in the place of the old ones.
fn install(home: &Home, config: &Config, response: &EnrolResponse, clock: &dyn Clock) -> Result<Value> {
    let root = root(home)?;
    let key = |name: &str| -> Result<KeyPair> {
        KeyPair::from_pkcs8_pem(&read_text(home, name)?).map_err(|error| pki(&error))
    };
    let now = clock.now().seconds();
    let expected = (config.bank.as_str(), config.account.as_str());
    let tls = check_chain(
        &response.transport,
        &key("next.transport.pem")?,
        (&root, Purpose::Client, now),
        expected,
    )?;
    let documents =
        check_chain(&response.signing, &key("next.signing.pem")?, (&root, Purpose::Signing, now), expected)?;
    home.write_key("next.transport.chain.pem", tls.to_pem().as_bytes())?;
    home.write_key("next.signing.chain.pem", documents.to_pem().as_bytes())?;
    finish_install(home)?;
    let verified = validate(&documents, &root, Purpose::Signing, Revocation::Unchecked, now)
        .map_err(|error| pki(&error))?;
    Ok(json!({
        "renewed": true,
        "serial": verified.serial.to_string(),
        "fingerprint": verified.fingerprint,
        "not_after": verified.not_after,
    }))
}

/// Goes on with an installation that was interrupted: all four next files are there, or some are in place already.
///
/// # Errors
/// `INTERNAL` when the file system refuses.
pub(crate) fn finish_install(home: &Home) -> Result<()> {
    let ready = ["next.transport.chain.pem", "next.signing.chain.pem"];
    // The chains are written last and removed last.
    for file in ready {
        if home.read_key(file)?.is_none() {
            return Ok(());
        }
    }
    for (next, place) in PAIRS {
        if let Some(bytes) = home.read_key(next)? {
            home.write_key(place, &bytes)?;
        }
    }
    for next in
        ["next.transport.pem", "next.signing.pem", "next.transport.chain.pem", "next.signing.chain.pem"]
    {
        home.delete_key(next)?;
    }
    Ok(())
}
