//! A new wallet: keys, enrolment at its bank, and the home that keeps them.
//!
//! ```text
//! home/
//!   config.toml              written last: a home without it is taken up again by the same `init`
//!   keys/seed                32 bytes of BIP 39 entropy in hexadecimal
//!   keys/transport.pem       TLS key            keys/signing.pem        document-signing key, both of the words
//!   keys/transport.chain.pem its certificates   keys/signing.chain.pem  its certificates
//!   keys/root.pem            the center's root
//!   store.db                 coins and all the rest, of role `wallet`
//! ```
//!
//! # Security
//! The words are shown once, by `init`. Whoever knows them, or reads `keys/seed`, can compute every coin's key. Without them
//! the store gives none: its secrets are sealed under a key of the seed, see [`crate::sealed_rows`].

use std::sync::Arc;

use bip39::Mnemonic;
use feiqian_clearing::membership::About;
use feiqian_ledger::store::Store;
use feiqian_node::{
    Caller, Clock, Endpoint, Entropy, Home, HttpsNetwork, Identity, Network, Seams, Target, Trust, call,
    first_contact,
};
use feiqian_offline_cash::seed::Seed as OfflineSeed;
use feiqian_online_cash::account::{EnrolRequest, EnrolResponse};
use feiqian_online_cash::seed::Seed;
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{
    CertificateRequest, Chain, KeyPair, PkiError, Purpose, Revocation, Role, Subject, TrustedRoot, validate,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Name, Text};
use rand::RngExt as _;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::document_key;
use crate::failure::{Failure, Result};
use crate::{Config, Parts, RefreshPolicy, StoreKey, Wallet};

/// The role of a wallet's home and store.
pub const ROLE: &str = "wallet";

/// What `init` is told.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// The bank's address, with the center's fingerprint unless it is on this machine.
    pub bank: Endpoint,
    /// The enrolment code that the bank gave: `TOKEN-SECRET`.
    pub code: String,
    /// The owner's name in requests; may be empty.
    pub name: String,
    /// When change is made.
    pub refresh: RefreshPolicy,
}

pub(crate) fn pki(error: &PkiError) -> Failure {
    Failure::new(Code::CertificateInvalid, error.to_string())
}

/// Makes a wallet in `home`: contacts the bank, pins the root, enrols. The answer shows the words, once:
/// `{"account","bank","center","currency","words"}`. Repeating it after a failure goes on with the same keys.
///
/// # Errors
/// `CONFLICT` when the home has its wallet already; `NODE_UNREACHABLE`, `WRONG_ROOT`, `CODE_INVALID` and what else the
/// bank answers; `CERTIFICATE_INVALID` when its certificates are not what was asked for.
pub async fn init(
    home: &Home,
    options: &InitOptions,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<Value, Fault> {
    refuse_finished(home)?;
    let root = first_contact(&options.bank, Arc::clone(&clock)).await.map_err(|error| {
        Fault::from(error)
            .hint("start the bank, or give its address as it prints it, with #sha256=FINGERPRINT")
    })?;
    let trust = Arc::new(Trust::new(root.clone(), Arc::clone(&clock)));
    let network = HttpsNetwork::new(trust, None);
    enrol(home, options, &root, &network, &*clock, entropy).await
}

fn refuse_finished(home: &Home) -> Result<(), Fault> {
    if home.path("config.toml").exists() {
        return Err(Fault::new(Code::Conflict, format!("{} has its wallet already", home.dir().display()))
            .hint("choose another folder with --home for another wallet"));
    }
    Ok(())
}

/// The part of [`init`] after the first contact, over any network.
///
/// # Errors
/// As [`init`].
pub async fn enrol(
    home: &Home,
    options: &InitOptions,
    root: &TrustedRoot,
    network: &dyn Network,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Value, Fault> {
    refuse_finished(home)?;
    Ok(enrol_at(home, options, root, network, clock, entropy).await?)
}

async fn enrol_at(
    home: &Home,
    options: &InitOptions,
    root: &TrustedRoot,
    network: &dyn Network,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Value> {
    let to = Target { url: options.bank.url().to_owned(), expect: None };
    let about: About = call(network, &to, Caller::Anonymous, "/v1/about", &()).await?;
    let (bank, center) = check_about(&about, root)?;
    let to = Target::named(options.bank.url(), Role::Bank, bank.as_str());
    let words = seed_words(home, entropy)?;
    let response = redeem(home, (&to, &bank), &options.code, network).await?;
    keep_certificates(home, &response, bank.as_str(), (root, clock.now().seconds()))?;
    let currency = about.currency.ok_or_else(|| {
        Failure::new(Code::WrongBank, "the bank does not say in which currency it keeps accounts")
    })?;
    let account = response.account.as_str().to_owned();
    let mut config = Config::new(
        bank.clone(),
        options.bank.url().to_owned(),
        center.url().to_owned(),
        account.clone(),
        currency,
    );
    (config.name, config.refresh) = (options.name.clone(), options.refresh);
    home.write_config(&config)?;
    Ok(json!({
        "account": account,
        "bank": bank.as_str(),
        "center": about.center.as_str(),
        "currency": currency,
        "words": words.as_str(),
    }))
}

/// Redeems an enrolment code for the next keys of the home's words.
pub(crate) async fn redeem(
    home: &Home,
    (to, bank): (&Target, &Name),
    code: &str,
    network: &dyn Network,
) -> Result<EnrolResponse> {
    let token = token_of(code)?;
    let signing = stored_document_key(home, "signing.pem", token)?;
    let transport = stored_transport_key(home, "transport.pem", bank.as_str())?;
    let subject = Subject::customer(token, bank.as_str()).map_err(|error| pki(&error))?;
    let csr = |key: &KeyPair| -> Result<Blob<2048>> {
        Ok(Blob::new(CertificateRequest::create(key, &subject).map_err(|error| pki(&error))?)?)
    };
    let request = EnrolRequest {
        code: Text::new(code.trim())?,
        transport: csr(&transport)?,
        signing: csr(&signing)?,
        hosts: Text::fitted(""),
    };
    Ok(call(network, to, Caller::Anonymous, "/v1/enrol", &request).await?)
}

/// Checks certificates against the home's keys and keeps them with the root.
pub(crate) fn keep_certificates(
    home: &Home,
    response: &EnrolResponse,
    bank: &str,
    (root, now): (&TrustedRoot, u64),
) -> Result<()> {
    let key = |name: &str| -> Result<KeyPair> {
        KeyPair::from_pkcs8_pem(&read_text(home, name)?).map_err(|error| pki(&error))
    };
    let expected = (bank, response.account.as_str());
    let tls =
        check_chain(&response.transport, &key("transport.pem")?, (root, Purpose::Client, now), expected)?;
    let documents =
        check_chain(&response.signing, &key("signing.pem")?, (root, Purpose::Signing, now), expected)?;
    home.write_key("transport.chain.pem", tls.to_pem().as_bytes())?;
    home.write_key("signing.chain.pem", documents.to_pem().as_bytes())?;
    Ok(home.write_key("root.pem", root.to_pem().as_bytes())?)
}

pub(crate) fn check_about(about: &About, root: &TrustedRoot) -> Result<(Name, Endpoint)> {
    if about.role.as_str() != "bank" {
        return Err(Failure::new(Code::WrongBank, format!("a {} answers there, not a bank", about.role))
            .hint("enrol a wallet at a bank: give the bank's address"));
    }
    let center: Endpoint = about
        .center
        .parse()
        .map_err(|error: feiqian_node::EndpointError| Failure::new(Code::WrongBank, error.to_string()))?;
    let pinned = center.pin.fingerprint.unwrap_or(root.fingerprint());
    if about.root != root.fingerprint() || pinned != root.fingerprint() {
        return Err(Failure::new(Code::WrongRoot, "the bank names another center than its certificate does"));
    }
    Ok((Name::new(about.name.as_str())?, center))
}

/// The account's token, which the certificate requests must bear.
pub(crate) fn token_of(code: &str) -> Result<&str> {
    let token = code.trim().rsplit_once('-').map(|(token, _)| token).filter(|token| !token.is_empty());
    token.ok_or_else(|| {
        Failure::new(Code::CodeInvalid, "this is no enrolment code")
            .hint("the bank's operator gets one with `feiqian bank account open`")
    })
}

fn seed_words(home: &Home, entropy: &dyn Entropy) -> Result<Zeroizing<String>> {
    if home.read_key("seed")?.is_none() {
        let fresh: Zeroizing<[u8; 32]> = Zeroizing::new(entropy.rng().random());
        let text = Zeroizing::new(hex::encode(fresh.as_slice()));
        home.write_new_key("seed", text.as_bytes())?;
    }
    Ok(Zeroizing::new(mnemonic(home)?.words().collect::<Vec<_>>().join(" ")))
}

fn mnemonic(home: &Home) -> Result<Mnemonic> {
    let broken = || Failure::new(Code::WrongHome, "keys/seed is missing or broken");
    let text = home.read_key("seed")?.ok_or_else(broken)?;
    let bytes = Zeroizing::new(hex::decode(text.trim_ascii()).map_err(|_| broken())?);
    Mnemonic::from_entropy(&bytes).map_err(|_| broken())
}

/// The file with the number of the newest pair of keys; it outlives the keys.
pub(crate) const DOCUMENT_NUMBER: &str = "document-number";

/// The TLS key in this file; if there is none, the one of the words that goes with the newest document-signing key.
pub(crate) fn stored_transport_key(home: &Home, name: &str, bank: &str) -> Result<KeyPair> {
    if home.read_key(name)?.is_none() {
        let broken = || Failure::new(Code::WrongHome, "keys/document-number is broken");
        let number = read_text(home, DOCUMENT_NUMBER)?.trim().parse().map_err(|_| broken())?;
        let pem = document_key::transport(&online_seed(home)?, bank, number).to_pkcs8_pem();
        home.write_new_key(name, pem.map_err(|error| pki(&error))?.as_bytes())?;
    }
    KeyPair::from_pkcs8_pem(&read_text(home, name)?).map_err(|error| pki(&error))
}

/// The document-signing key in this file; if there is none, the next one of the home's seed.
pub(crate) fn stored_document_key(home: &Home, name: &str, account: &str) -> Result<KeyPair> {
    if home.read_key(name)?.is_none() {
        let number = match home.read_key(DOCUMENT_NUMBER)? {
            None => 0,
            Some(_) => {
                let last: Option<u32> = read_text(home, DOCUMENT_NUMBER)?.trim().parse().ok();
                let broken = || Failure::new(Code::WrongHome, "keys/document-number is broken");
                last.and_then(|last| last.checked_add(1)).ok_or_else(broken)?
            }
        };
        home.write_key(DOCUMENT_NUMBER, number.to_string().as_bytes())?;
        let pem = document_key::key(&offline_seed(home)?, account, number).to_pkcs8_pem();
        home.write_new_key(name, pem.map_err(|error| pki(&error))?.as_bytes())?;
    }
    KeyPair::from_pkcs8_pem(&read_text(home, name)?).map_err(|error| pki(&error))
}

pub(crate) fn online_seed(home: &Home) -> Result<Seed> {
    Ok(Seed::from_bytes(mnemonic(home)?.to_seed_normalized("")))
}

/// What the secrets in the store of a home are sealed with.
///
/// # Errors
/// `WRONG_HOME` when its seed is missing or broken; `PASSPHRASE_INVALID` when it is sealed and was not opened.
pub fn store_key(home: &Home) -> Result<StoreKey, Fault> {
    Ok(StoreKey::of(&online_seed(home)?))
}

pub(crate) fn offline_seed(home: &Home) -> Result<OfflineSeed> {
    Ok(OfflineSeed::from_bytes(mnemonic(home)?.to_seed_normalized("")))
}

pub(crate) fn read_text(home: &Home, name: &str) -> Result<Zeroizing<String>> {
    let broken = || Failure::new(Code::WrongHome, format!("keys/{name} is missing or broken"));
    let bytes = home.read_key(name)?.ok_or_else(broken)?;
    std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| broken())
}

pub(crate) fn check_chain(
    wire: &WireChain,
    key: &KeyPair,
    (root, purpose, now): (&TrustedRoot, Purpose, u64),
    (bank, account): (&str, &str),
) -> Result<Chain> {
    let chain = wire.to_chain()?;
    let verified =
        validate(&chain, root, purpose, Revocation::Unchecked, now).map_err(|error| pki(&error))?;
    let subject = &verified.subject;
    let fits = verified.public_key == key.public_key()
        && subject.role() == Role::Customer
        && subject.name() == account
        && subject.bank_name() == Some(bank);
    if !fits {
        return Err(Failure::new(
            Code::CertificateInvalid,
            "the bank certified something else than was asked for",
        ));
    }
    Ok(chain)
}

/// Reads what `init` left in a home.
///
/// # Errors
/// `WRONG_HOME` or `USAGE` for missing or broken files, `CERTIFICATE_INVALID` for certificates that do not parse.
pub fn load(home: &Home) -> Result<Parts, Fault> {
    Ok(read_parts(home)?)
}

fn read_parts(home: &Home) -> Result<Parts> {
    if !home.path("config.toml").exists() {
        return Err(Failure::new(Code::WrongHome, format!("{} is not set up yet", home.dir().display()))
            .hint("finish it with `feiqian wallet init`"));
    }
    crate::certificate::finish_install(home)?;
    let config: Config = home.read_config()?;
    let root = TrustedRoot::from_pem(&read_text(home, "root.pem")?).map_err(|error| pki(&error))?;
    let key = |name: &str| -> Result<KeyPair> {
        KeyPair::from_pkcs8_pem(&read_text(home, name)?).map_err(|error| pki(&error))
    };
    let chain = |name: &str| -> Result<Chain> {
        Chain::from_pem(&read_text(home, name)?).map_err(|error| pki(&error))
    };
    let identity = Identity::new(key("transport.pem")?, chain("transport.chain.pem")?, root.clone());
    Ok(Parts {
        config,
        seed: online_seed(home)?,
        offline_seed: offline_seed(home)?,
        signing: key("signing.pem")?,
        signing_chain: chain("signing.chain.pem")?,
        root,
        identity: Some(Arc::new(identity)),
        evidence_dir: Some(home.dir().to_path_buf()),
    })
}

/// The seams of a wallet on this machine: HTTPS with its certificate for account calls and none for the others.
#[must_use]
pub fn https_seams(
    parts: &Parts,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Seams {
    let trust = Arc::new(Trust::new(parts.root.clone(), Arc::clone(&clock)));
    let network = Arc::new(HttpsNetwork::new(trust, parts.identity.clone()));
    // A wallet checks its own few coins where it is.
    let workers = Arc::new(feiqian_node::InlineWorkers);
    Seams { store, network, clock, entropy, workers }
}

/// Opens the wallet of a home over seams of one's own.
///
/// # Errors
/// As [`load`] and [`Wallet::new`].
pub async fn open(home: &Home, seams: Seams) -> Result<Arc<Wallet>, Fault> {
    Wallet::new(load(home)?, seams).await
}

/// Opens the wallet of a home over HTTPS and a store of [`crate::tables::TABLES`] and role [`ROLE`].
///
/// # Errors
/// As [`load`] and [`Wallet::new`].
pub async fn open_https(
    home: &Home,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Arc<Wallet>, Fault> {
    let parts = load(home)?;
    let seams = https_seams(&parts, store, clock, entropy);
    Wallet::new(parts, seams).await
}
