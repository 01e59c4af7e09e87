//! The home of a wallet made from words: seed, certificates, a generation of its own, settings.
//!
//! ```text
//! keys/seed                        the words
//! certificates                     by the TLS key that the words give, or new ones for an enrolment code
//! store: generation, restore=open  a fresh random number: sessions that a bank kept to itself are not sold again
//! config.toml                      written last: a home without it is taken up again by the same command
//! ```

use std::sync::Arc;

use bip39::{Language, Mnemonic};
use feiqian_clearing::membership::About;
use feiqian_ledger::store::{Store, StoreExt as _, Tx};
use feiqian_node::{
    CallError, Caller, Clock, Endpoint, Entropy, Home, HttpsNetwork, Network, Target, Trust, call,
    first_contact,
};
use feiqian_online_cash::account::EnrolResponse;
use feiqian_online_cash::recovery::{CertificateRecovery, RecoveredCertificates};
use feiqian_pki::{KeyPair, Role, TrustedRoot};
use feiqian_wire::Name;
use feiqian_wire::error::{Code, Fault};
use rand::RngExt as _;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::init::{DOCUMENT_NUMBER, check_about, keep_certificates, offline_seed, online_seed, pki, redeem};
use crate::wallet::{read_setting, write_setting};
use crate::{Config, RefreshPolicy, document_key};

/// So many numbers of TLS keys are tried at the bank: a number is lost where `init` or `renew` was interrupted.
const FIRST_KEYS: u32 = 12;

/// What a restore is told.
pub struct RestoreOptions {
    /// The bank's address, with the center's fingerprint unless it is on this machine.
    pub bank: Endpoint,
    /// The center's address; the bank's word is taken when absent.
    pub center: Option<Endpoint>,
    /// The 24 words, separated by white space.
    pub words: Zeroizing<String>,
    /// An enrolment code of the same account: where no certificate of these words is valid.
    pub code: Option<String>,
    /// The owner's name in requests; may be empty.
    pub name: String,
    /// When change is made.
    pub refresh: RefreshPolicy,
}

impl std::fmt::Debug for RestoreOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RestoreOptions").field("bank", &self.bank).finish_non_exhaustive()
    }
}

/// Makes the home of a wallet of these words: contacts the bank, pins the root, gets certificates. Nothing happens to a home
/// that a restore of the same words has made before.
///
/// # Errors
/// `USAGE` for what are no words; `CONFLICT` for a home of other words or of another wallet; `NOT_FOUND` when the bank knows
/// no key of these words, `CERTIFICATE_INVALID` when its certificates have ended or were revoked; `NODE_UNREACHABLE`,
/// `WRONG_ROOT`.
pub async fn prepare(
    home: &Home,
    options: &RestoreOptions,
    store: &dyn Store,
    clock: Arc<dyn Clock>,
    entropy: &dyn Entropy,
) -> Result<(), Fault> {
    if made_before(home, &options.words, store).await? {
        return Ok(());
    }
    let root = first_contact(&options.bank, Arc::clone(&clock)).await.map_err(|error| {
        Fault::from(error)
            .hint("start the bank, or give its address as it prints it, with #sha256=FINGERPRINT")
    })?;
    let trust = Arc::new(Trust::new(root.clone(), Arc::clone(&clock)));
    let network = HttpsNetwork::new(trust, None);
    make(home, options, &root, (&network, store), &*clock, entropy).await
}

/// Whether a restore of these words has made this home.
async fn made_before(home: &Home, words: &str, store: &dyn Store) -> Result<bool, Fault> {
    let entropy = entropy_of(words)?;
    let known = home.read_key("seed")?;
    if known.as_ref().is_some_and(|known| known.trim_ascii() != entropy.as_bytes()) {
        return Err(Fault::new(Code::Conflict, format!("{} has other words", home.dir().display()))
            .hint("choose another folder with --home"));
    }
    if !home.path("config.toml").exists() {
        return Ok(false);
    }
    let restored = store.read(|tx| read_setting(tx, "restore")).await?;
    if known.is_some() && restored.is_some() {
        return Ok(true);
    }
    Err(Fault::new(Code::Conflict, format!("{} has its wallet already", home.dir().display()))
        .hint("choose another folder with --home"))
}

/// The words as `keys/seed` holds them.
fn entropy_of(words: &str) -> Result<Zeroizing<String>> {
    let words = Zeroizing::new(words.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase());
    let read = Mnemonic::parse_in_normalized(Language::English, &words);
    let read = read.ok().filter(|words| words.word_count() == 24).ok_or_else(|| {
        Failure::new(Code::Usage, "these are not the 24 words of a wallet")
            .hint("all in their order, as `feiqian wallet init` showed them; one wrong word is noticed")
    })?;
    let bytes = Zeroizing::new(read.to_entropy());
    Ok(Zeroizing::new(hex::encode(bytes.as_slice())))
}

/// The part of [`prepare`] after the first contact, over any network.
///
/// # Errors
/// As [`prepare`].
pub async fn make(
    home: &Home,
    options: &RestoreOptions,
    root: &TrustedRoot,
    (network, store): (&dyn Network, &dyn Store),
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<(), Fault> {
    if made_before(home, &options.words, store).await? {
        return Ok(());
    }
    Ok(make_at(home, options, root, (network, store), clock, entropy).await?)
}

async fn make_at(
    home: &Home,
    options: &RestoreOptions,
    root: &TrustedRoot,
    (network, store): (&dyn Network, &dyn Store),
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<()> {
    if home.read_key("seed")?.is_none() {
        home.write_new_key("seed", entropy_of(&options.words)?.as_bytes())?;
    }
    let to = Target { url: options.bank.url().to_owned(), expect: None };
    let about: About = call(network, &to, Caller::Anonymous, "/v1/about", &()).await?;
    let (bank, center) = check_about(&about, root)?;
    let center = checked_center(options.center.as_ref().unwrap_or(&center), root)?;
    let to = Target::named(options.bank.url(), Role::Bank, bank.as_str());
    let response = certificates(home, options, (&to, &bank), network).await?;
    keep_certificates(home, &response, bank.as_str(), (root, clock.now().seconds()))?;
    let currency = about.currency.ok_or_else(|| {
        Failure::new(Code::WrongBank, "the bank does not say in which currency it keeps accounts")
    })?;
    draw_generation(store, entropy).await?;
    let url = options.bank.url().to_owned();
    let account = response.account.as_str().to_owned();
    let mut config = Config::new(bank, url, center, account, currency);
    (config.name, config.refresh) = (options.name.clone(), options.refresh);
    Ok(home.write_config(&config)?)
}

fn checked_center(center: &Endpoint, root: &TrustedRoot) -> Result<String> {
    let pinned = center.pin.fingerprint.unwrap_or(root.fingerprint());
    if pinned != root.fingerprint() {
        return Err(Failure::new(Code::WrongRoot, "the bank belongs to another center"));
    }
    Ok(center.url().to_owned())
}

/// A number of this home's own, drawn once.
async fn draw_generation(store: &dyn Store, entropy: &dyn Entropy) -> Result<()> {
    let fresh: [u8; 16] = entropy.rng().random();
    let draw = move |tx: &mut dyn Tx| {
        if read_setting(tx, "restore")?.is_none() {
            write_setting(tx, "generation", fresh.to_vec())?;
            write_setting(tx, "restore", b"open".to_vec())?;
        }
        Ok::<_, Failure>(())
    };
    store.commit("wallet.restore.open", draw).await
}

async fn certificates(
    home: &Home,
    options: &RestoreOptions,
    (to, bank): (&Target, &Name),
    network: &dyn Network,
) -> Result<EnrolResponse> {
    let known = recover(home, (to, bank), network).await?;
    if let Some(code) = &options.code {
        if let (Some((_, number)), None) = (&known, home.read_key("signing.pem")?) {
            // The next pair of keys: those of the lost home are replaced.
            home.write_key(DOCUMENT_NUMBER, number.to_string().as_bytes())?;
        }
        return redeem(home, (to, bank), code, network).await;
    }
    let (found, number) = known.ok_or_else(|| {
        Failure::new(Code::NotFound, "the bank knows no account of these words")
            .hint("check the words; or ask the bank for a code of your account and add --code CODE")
    })?;
    let ended = || {
        Failure::new(Code::CertificateInvalid, "the certificates of these words have ended or were revoked")
            .hint("ask the bank for a code of your account and add --code CODE")
    };
    let (transport, signing) = found.transport.zip(found.signing).ok_or_else(ended)?;
    let offline = offline_seed(home)?;
    let account = found.account.as_str();
    let document = document_key::number_of(&offline, account, &found.signing_key.0).ok_or_else(ended)?;
    let keys: [(&str, KeyPair); 2] = [
        ("transport.pem", document_key::transport(&online_seed(home)?, bank.as_str(), number)),
        ("signing.pem", document_key::key(&offline, account, document)),
    ];
    for (name, key) in &keys {
        home.write_key(name, key.to_pkcs8_pem().map_err(|error| pki(&error))?.as_bytes())?;
    }
    home.write_key(DOCUMENT_NUMBER, number.max(document).to_string().as_bytes())?;
    Ok(EnrolResponse { bank: bank.clone(), account: found.account, transport, signing })
}

/// What the bank says of the words' keys, with the number of the newest TLS key; `None` if it knows none of them.
async fn recover(
    home: &Home,
    (to, bank): (&Target, &Name),
    network: &dyn Network,
) -> Result<Option<(RecoveredCertificates, u32)>> {
    let seed = online_seed(home)?;
    for number in 0..FIRST_KEYS {
        let key = document_key::transport(&seed, bank.as_str(), number);
        let request = CertificateRecovery::sign(bank.as_str(), &key)?;
        let asked: Result<RecoveredCertificates, CallError> =
            call(network, to, Caller::Anonymous, "/v1/certificate/recover", &request).await;
        match asked {
            Ok(found) => {
                let newest = document_key::transport_number_of(&seed, bank.as_str(), &found.transport_key.0);
                return Ok(newest.map(|newest| (found, newest)));
            }
            Err(CallError::Fault(fault)) if fault.code == Code::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}
