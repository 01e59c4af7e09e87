//! Enrolment at the merchant's bank, and the home.

use std::sync::Arc;

use feiqian_clearing::membership::{About, Directory};
use feiqian_money::Currency;
use feiqian_node::{
    Caller, Clock, Endpoint, Entropy, Home, HttpsNetwork, MemberView, Members, Network, Shares, Target,
    Trust, bind, call, first_contact,
};
use feiqian_online_cash::account::{EnrolRequest, EnrolResponse};
use feiqian_online_cash::keyset::PinEntry;
use feiqian_pki::{
    CertificateRequest, Chain, KeyPair, Purpose, Revocation, Role, Subject, TrustedRoot, validate,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Name, Text, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::config::{Config, OfflineConfig, fifteen_minutes, four_hundred_days, one_minute, thirty_days};
use crate::failure::own_keys;
use crate::keys::{Keys, stored_or_new, stored_root, write_chain};
use crate::offline::View;

/// What a merchant is made with.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// The name customers read.
    pub name: Text<64>,
    /// The bank's address, with the root's fingerprint unless it is on this machine.
    pub bank: Endpoint,
    /// The enrolment code from the bank.
    pub code: Text<64>,
    /// Where it shall listen; port 0 takes a free one, which it keeps.
    pub listen: String,
    /// Where payers reach it; `https://` and the address it listens on when absent.
    pub url: Option<String>,
}

/// What a bank gave for a code.
#[derive(Debug, Clone)]
pub struct Enrolment {
    /// The bank.
    pub bank: Name,
    /// The account's token.
    pub account: Text<64>,
    /// The account's currency.
    pub currency: Currency,
    /// The center's address with the root's fingerprint.
    pub center: String,
    /// TLS chain.
    pub transport: Chain,
    /// Document-signing chain.
    pub signer: Chain,
}

/// What the center showed when the home was made, so that the first start needs no center.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FirstView {
    pub(crate) directory: Directory,
    pub(crate) entries: Vec<PinEntry>,
    #[serde(default)]
    pub(crate) offline: View,
}

/// Redeems an enrolment code with two keys of the merchant's. The same keys again get the same answer.
///
/// # Errors
/// `CODE_INVALID` for a code that is none; `WRONG_ROOT` or `CERTIFICATE_INVALID` when the node is no bank of the root
/// or what it gives does not hold; `NODE_UNREACHABLE`.
pub async fn enrol(
    network: &dyn Network,
    bank: &Target,
    root: &TrustedRoot,
    code: &Text<64>,
    keys: (&KeyPair, &KeyPair),
    hosts: &str,
    now: Timestamp,
) -> Result<Enrolment, Fault> {
    let about: About = call(network, bank, Caller::Anonymous, "/v1/about", &()).await?;
    if about.role.as_str() != "bank" {
        return Err(Fault::new(
            Code::Usage,
            format!("{} is the node of a {}, not of a bank", bank.url, about.role),
        ));
    }
    if about.root != root.fingerprint() {
        return Err(Fault::new(Code::WrongRoot, "the bank is a member of another center"));
    }
    let name = Name::new(about.name.as_str())?;
    let no_code =
        || Fault::new(Code::CodeInvalid, "an enrolment code is the account's token, `-` and a secret");
    let (token, _) = code.split_once('-').ok_or_else(no_code)?;
    let subject = Subject::merchant(token, &name).map_err(|_| no_code())?;
    let csr = |key: &KeyPair| -> Result<Blob<2048>, Fault> {
        Ok(Blob::new(CertificateRequest::create(key, &subject).map_err(own_keys)?)?)
    };
    let (transport, signing) = (csr(keys.0)?, csr(keys.1)?);
    let request = EnrolRequest { code: code.clone(), transport, signing, hosts: Text::new(hosts)? };
    let target = Target::named(bank.url.clone(), Role::Bank, name.as_str());
    let given: EnrolResponse = call(network, &target, Caller::Anonymous, "/v1/enrol", &request).await?;
    let checked = |chain: Chain, purpose, key: &KeyPair| -> Result<Chain, Fault> {
        let verified = validate(&chain, root, purpose, Revocation::Unchecked, now.seconds())
            .map_err(|error| Fault::new(Code::CertificateInvalid, format!("from the bank: {error}")))?;
        if verified.subject != subject || verified.public_key != key.public_key() {
            return Err(Fault::new(Code::CertificateInvalid, "the bank certified somebody else"));
        }
        Ok(chain)
    };
    Ok(Enrolment {
        transport: checked(given.transport.to_chain()?, Purpose::Node, keys.0)?,
        signer: checked(given.signing.to_chain()?, Purpose::Signing, keys.1)?,
        bank: name,
        account: Text::new(token)?,
        currency: about
            .currency
            .ok_or_else(|| Fault::new(Code::WrongCurrency, "the bank names no currency"))?,
        center: about.center.into_string(),
    })
}

/// Makes a merchant's home: pins the root at the bank, enrols with the code, keeps what the center shows. The
/// settings are written last: a home without them is finished by the next call, with the keys it has.
///
/// Answers `{"role","name","bank","account","currency","listen","url","center","root"}`.
///
/// # Errors
/// `CONFLICT` when the home holds a merchant already; `NODE_UNREACHABLE` when bank or center do not run; the bank's
/// refusal; `INTERNAL` when the file system refuses.
pub async fn init(
    home: &Home,
    options: InitOptions,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Value, Fault> {
    if home.path("config.toml").exists() {
        return Err(Fault::new(Code::Conflict, format!("{} holds a merchant already", home.dir().display()))
            .hint("start it with `feiqian merchant run`, or choose another folder with --home"));
    }
    let root = match stored_root(home)? {
        Some(root) => root,
        None => {
            let root = first_contact(&options.bank, Arc::clone(&clock)).await.map_err(|error| {
                Fault::from(error).hint(format!("the bank must be running at {}", options.bank.url()))
            })?;
            home.write_new_key("root.pem", root.to_pem().as_bytes())?;
            root
        }
    };
    let (listener, address) = bind(&options.listen).await?;
    drop(listener);
    let listen = match options.listen.rsplit_once(':') {
        Some((host, "0")) => format!("{host}:{}", address.port()),
        _ => options.listen,
    };
    let url = options.url.unwrap_or_else(|| format!("https://{listen}"));
    let hosts = host_of(&url);
    let network = HttpsNetwork::new(Arc::new(Trust::new(root.clone(), Arc::clone(&clock))), None);
    let transport = stored_or_new(home, "transport", &mut entropy.rng())?;
    let signer = stored_or_new(home, "signer", &mut entropy.rng())?;
    let bank = Target::anyone(options.bank.url());
    let now = clock.now();
    let enrolment = enrol(&network, &bank, &root, &options.code, (&transport, &signer), &hosts, now).await?;
    write_chain(home, "transport", &enrolment.transport)?;
    write_chain(home, "signer", &enrolment.signer)?;
    let config = Config {
        name: options.name,
        bank: enrolment.bank,
        bank_url: options.bank.url().to_owned(),
        account: enrolment.account,
        currency: enrolment.currency,
        center: enrolment.center,
        listen,
        url,
        expires_seconds: fifteen_minutes(),
        refund_seconds: thirty_days(),
        sync_seconds: one_minute(),
        keep_seconds: four_hundred_days(),
        offline: OfflineConfig::default(),
        shares: Shares::of_a_till(),
    };
    config.check()?;
    let first = first_view(&network, &config, &root, now).await?;
    let encoded =
        serde_json::to_vec(&first).map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
    home.write("members.json", &encoded)?;
    Keys::load(home)?;
    home.write_config(&config)?;
    Ok(json!({
        "role": "merchant",
        "name": config.name,
        "bank": config.bank,
        "account": config.account,
        "currency": config.currency,
        "listen": config.listen,
        "url": config.url,
        "center": config.center,
        "root": root.fingerprint(),
    }))
}

async fn first_view(
    network: &dyn Network,
    config: &Config,
    root: &TrustedRoot,
    now: Timestamp,
) -> Result<FirstView, Fault> {
    let members = Members::new(MemberView::empty(root.clone()), center_url(config)?.as_str());
    members.sync(network, now).await?;
    let view = members.snapshot();
    view.member(&config.bank)?;
    let (directory, entries) = (directory_of(&view)?, view.entries().to_vec());
    Ok(FirstView { directory, entries, offline: View::of(&view) })
}

/// The directory that a view was made from.
pub(crate) fn directory_of(view: &MemberView) -> Result<Directory, Fault> {
    let banks = view.members().values().map(|member| member.entry.clone());
    Ok(Directory { banks: feiqian_wire::Bounded::collect(banks)? })
}

/// The center's address without fragment.
pub(crate) fn center_url(config: &Config) -> Result<String, Fault> {
    let endpoint: Endpoint =
        config.center.parse().map_err(|error| Fault::new(Code::Usage, format!("center: {error}")))?;
    Ok(endpoint.url().to_owned())
}

fn host_of(url: &str) -> String {
    let host = url.trim_start_matches("https://").trim_end_matches('/');
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    host.trim_start_matches('[').trim_end_matches(']').to_owned()
}
