//! A new bank's home, and a bank from its home.
//!
//! ```text
//! keys/root.pem        the center's root, pinned at the first contact
//! keys/authority.pem   the bank authority's key       keys/authority-chain.pem
//! keys/signer.pem      the document-signing key       keys/signer-chain.pem
//! keys/transport.pem   the TLS key                    keys/transport-chain.pem
//! keys/epoch-N.keys    secrets of the denomination keys of epoch N
//! store.db             everything else (opened by whoever runs the bank)
//! ```

use std::sync::Arc;

use feiqian_clearing::membership::{AdmitRequest, AdmitResponse};
use feiqian_money::Currency;
use feiqian_node::{
    Caller, Clock, Endpoint, Entropy, Home, HttpsNetwork, Identity, Network, Seams, Target, Trust, call,
    first_contact,
};
use feiqian_pki::{
    Authority, BANK_AUTHORITY_SECONDS, CertificateRequest, Chain, KeyPair, PkiError, Purpose, Revocation,
    Role, Subject, TrustedRoot, validate_authority,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Name, Text, Timestamp};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::bank::{Bank, Keys, Parts};
use crate::config::{Config, Instance};
use crate::secrets::HomeSecrets;

/// What a new bank needs to be told.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Its name.
    pub name: Name,
    /// Its currency.
    pub currency: Currency,
    /// The center.
    pub center: Endpoint,
    /// Where it will listen: `HOST:PORT`, with a real port.
    pub listen: String,
    /// The URL others reach it at, when it is not `https://` and `listen`.
    pub advertise: Option<String>,
    /// The invitation code, where the center asks for one.
    pub code: Option<String>,
    /// Whether more processes may join it on its store.
    pub shared: bool,
}

/// What a further process of a bank needs to be told.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// Its name, which no other home of the bank has.
    pub name: Name,
    /// Where it will listen: `HOST:PORT`, with a real port.
    pub listen: String,
    /// The URL the bank's other processes reach it at, when it is not `https://` and `listen`.
    pub url: Option<String>,
}

/// The name of the instance that a bank begins with.
const FIRST: &str = "1";

fn pki(error: &PkiError) -> Fault {
    Fault::new(Code::CertificateInvalid, error.to_string())
}

fn read_pem(home: &Home, name: &str) -> Result<Option<Zeroizing<String>>, Fault> {
    let Some(bytes) = home.read_key(name)? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Fault::new(Code::Internal, format!("keys/{name} is damaged")))?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

fn need_pem(home: &Home, name: &str) -> Result<Zeroizing<String>, Fault> {
    read_pem(home, name)?.ok_or_else(|| {
        Fault::new(Code::WrongHome, format!("keys/{name} is missing"))
            .hint("finish `feiqian bank init` first")
    })
}

fn key_of(home: &Home, name: &str, entropy: &dyn Entropy) -> Result<KeyPair, Fault> {
    if let Some(text) = read_pem(home, name)? {
        return KeyPair::from_pkcs8_pem(&text).map_err(|error| pki(&error));
    }
    let key = KeyPair::generate(&mut entropy.rng());
    home.write_new_key(name, key.to_pkcs8_pem().map_err(|error| pki(&error))?.as_bytes())?;
    Ok(key)
}

/// Makes a home into a new bank's: pins the center's root, is admitted, certifies its own leaves. The center must run.
///
/// Cut short, it goes on where it was when called again with the same options; the first keyset is made at the first
/// start.
///
/// # Errors
/// `CONFLICT` when the bank exists already, `NODE_UNREACHABLE` when the center does not run, or the center's refusal.
pub async fn init(
    home: &Home,
    options: InitOptions,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Value, Fault> {
    if home.path("config.toml").exists() {
        return Err(Fault::new(Code::Conflict, format!("{} already holds a bank", home.dir().display())));
    }
    let root = match read_pem(home, "root.pem")? {
        Some(text) => TrustedRoot::from_pem(&text).map_err(|error| pki(&error))?,
        None => {
            let root = first_contact(&options.center, Arc::clone(&clock)).await.map_err(|error| {
                Fault::from(error).hint(format!("the center must be running at {}", options.center.url()))
            })?;
            home.write_new_key("root.pem", root.to_pem().as_bytes())?;
            root
        }
    };
    let trust = Arc::new(Trust::new(root.clone(), Arc::clone(&clock)));
    let network = HttpsNetwork::new(trust, None);
    let key = key_of(home, "authority.pem", &*entropy)?;
    let chain = admit(&network, &options, &root, &key, clock.now()).await?;
    home.write_key("authority-chain.pem", chain.to_pem().as_bytes())?;
    let authority = Authority::from_parts(key, chain).map_err(|error| pki(&error))?;
    let keys = Keys::certify(
        root,
        authority,
        key_of(home, "signer.pem", &*entropy)?,
        key_of(home, "transport.pem", &*entropy)?,
        &options.hosts(),
        clock.now(),
        &*entropy,
    )?;
    home.write_key("signer-chain.pem", keys.signer_chain.to_pem().as_bytes())?;
    home.write_key("transport-chain.pem", keys.identity.chain().to_pem().as_bytes())?;
    let center = Endpoint::new(
        options.center.url(),
        feiqian_node::TrustPin { fingerprint: Some(keys.root.fingerprint()) },
    );
    let center = center.map_err(|error| Fault::new(Code::Usage, error.to_string()))?;
    let mut config = Config::new(options.name, options.currency, center.to_string(), options.listen);
    config.advertise = options.advertise;
    if options.shared {
        config.instance = Some(Instance::new(Name::new(FIRST)?));
    }
    // The settings come last: a home without them is initialised again.
    home.write_config(&config)?;
    Ok(json!({
        "role": "bank",
        "name": config.name,
        "currency": config.currency,
        "center": config.center,
        "listen": config.listen,
        "root": keys.root.fingerprint(),
    }))
}

/// Asks the center to certify the bank's authority. The same key again gets the same answer.
///
/// # Errors
/// `NODE_UNREACHABLE` when the center does not run, its refusal, or `CERTIFICATE_INVALID` when what it gives does not hold.
pub async fn admit(
    network: &dyn Network,
    options: &InitOptions,
    root: &TrustedRoot,
    authority: &KeyPair,
    now: Timestamp,
) -> Result<Chain, Fault> {
    let subject = Subject::bank(options.name.as_str()).map_err(|error| pki(&error))?;
    let request = CertificateRequest::create(authority, &subject).map_err(|error| pki(&error))?;
    let code = options.code.clone().map(Text::new).transpose()?;
    let request = AdmitRequest {
        name: options.name.clone(),
        currency: options.currency,
        code,
        authority: Blob::new(request)?,
    };
    let center = Target::named(options.center.url(), Role::Center, root.name());
    let response: AdmitResponse =
        call(network, &center, Caller::Anonymous, "/v1/admit", &request).await.map_err(|error| {
            let fault = Fault::from(error);
            if fault.code == Code::NodeUnreachable {
                fault.hint(format!("the center must be running at {}", options.center.url()))
            } else {
                fault
            }
        })?;
    let chain = Chain::new(response.authority.iter().map(|der| der.to_vec()).collect())
        .map_err(|error| pki(&error))?;
    let verified = validate_authority(&chain, root, Revocation::Unchecked, now.seconds())
        .map_err(|error| pki(&error))?;
    if verified.bank != options.name.as_str() || verified.public_key != authority.public_key() {
        return Err(Fault::new(Code::CertificateInvalid, "the center certified another bank or key"));
    }
    Ok(chain)
}

impl InitOptions {
    fn hosts(&self) -> Vec<String> {
        let own = format!("https://{}", self.listen);
        hosts_of(&[self.advertise.as_ref().unwrap_or(&own), &own])
    }
}

/// The hosts of these URLs, and this machine's, each once.
fn hosts_of(urls: &[&String]) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    let named = urls.iter().map(|url| {
        let host = url.trim_start_matches("https://");
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        host.trim_matches(['[', ']']).to_owned()
    });
    for host in named.chain(["localhost".to_owned()]) {
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    hosts
}

/// Makes `home` into a home of one more process of the bank that lives in `of`: the same keys but for the TLS key, which is
/// its own. The store's address is the caller's to copy. Cut short, it is called again.
///
/// # Errors
/// `CONFLICT` when a bank lives in `home`; `USAGE` when the bank in `of` is alone on its store or has an instance of this
/// name itself; `WRONG_HOME` when it is not fully initialised.
pub fn join(
    home: &Home,
    of: &Home,
    options: JoinOptions,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Value, Fault> {
    if home.path("config.toml").exists() {
        return Err(Fault::new(Code::Conflict, format!("{} already holds a bank", home.dir().display())));
    }
    let mut config: Config = of.read_config()?;
    let Some(first) = &config.instance else {
        return Err(Fault::new(Code::Usage, "the bank keeps its store in a file, which is one process's")
            .hint("several processes share a bank made with `bank init --store postgres://…`"));
    };
    if first.name == options.name {
        return Err(Fault::new(Code::Usage, format!("{} is the name of that home's instance", first.name)));
    }
    let lease_seconds = first.lease_seconds;
    for name in ["root.pem", "authority.pem", "authority-chain.pem", "signer.pem", "signer-chain.pem"] {
        home.write_key(name, need_pem(of, name)?.as_bytes())?;
    }
    let key = KeyPair::from_pkcs8_pem(&need_pem(home, "authority.pem")?).map_err(|error| pki(&error))?;
    let chain = Chain::from_pem(&need_pem(home, "authority-chain.pem")?).map_err(|error| pki(&error))?;
    let authority = Authority::from_parts(key, chain).map_err(|error| pki(&error))?;
    config.advertise = Some(config.url());
    config.listen = options.listen;
    config.instance = Some(Instance { name: options.name, url: options.url, lease_seconds });
    let transport = key_of(home, "transport.pem", entropy)?;
    let hosts = hosts_of(&[&config.instance_url(), &config.url(), &format!("https://{}", config.listen)]);
    let certified = leaf(&authority, &transport, Purpose::Node, &hosts, clock.now(), entropy)?;
    home.write_key("transport-chain.pem", certified.to_pem().as_bytes())?;
    home.write_config(&config)?;
    Ok(json!({
        "role": "bank",
        "name": config.name,
        "instance": config.instance.as_ref().map(|instance| &instance.name),
        "advertise": config.advertise,
        "listen": config.listen,
    }))
}

/// A certificate of the bank itself, for as long as its authority lasts.
fn leaf(
    authority: &Authority,
    key: &KeyPair,
    purpose: Purpose,
    hosts: &[String],
    now: Timestamp,
    entropy: &dyn Entropy,
) -> Result<Chain, Fault> {
    let bank =
        authority.bank().ok_or_else(|| Fault::new(Code::CertificateInvalid, "not a bank's authority"))?;
    let subject = Subject::bank(bank).map_err(|error| pki(&error))?;
    let request = CertificateRequest::create(key, &subject).map_err(|error| pki(&error))?;
    let request = CertificateRequest::verify(&request).map_err(|error| pki(&error))?;
    authority
        .issue_leaf(
            &request,
            &subject,
            purpose,
            hosts,
            BANK_AUTHORITY_SECONDS,
            now.seconds(),
            &mut entropy.rng(),
        )
        .map_err(|error| pki(&error))
}

impl Keys {
    /// Certifies the bank's own signer and TLS key with its authority, for as long as that lasts.
    ///
    /// # Errors
    /// `CERTIFICATE_INVALID` when the authority is not of this root, or a host is no name.
    pub fn certify(
        root: TrustedRoot,
        authority: Authority,
        signer: KeyPair,
        transport: KeyPair,
        hosts: &[String],
        now: Timestamp,
        entropy: &dyn Entropy,
    ) -> Result<Self, Fault> {
        let signer_chain = leaf(&authority, &signer, Purpose::Signing, &[], now, entropy)?;
        let transport_chain = leaf(&authority, &transport, Purpose::Node, hosts, now, entropy)?;
        let identity = Identity::new(transport, transport_chain, root.clone());
        Ok(Self { root, authority, signer, signer_chain, identity })
    }
}

/// Reads a bank's parts from its home.
///
/// # Errors
/// `WRONG_HOME` when the home is not fully initialised, `USAGE` for broken settings, `INTERNAL` for damaged keys.
pub fn load(home: &Home) -> Result<Parts, Fault> {
    let config: Config = home.read_config()?;
    let key = |name: &str| KeyPair::from_pkcs8_pem(&need_pem(home, name)?).map_err(|error| pki(&error));
    let chain = |name: &str| Chain::from_pem(&need_pem(home, name)?).map_err(|error| pki(&error));
    let root = TrustedRoot::from_pem(&need_pem(home, "root.pem")?).map_err(|error| pki(&error))?;
    let authority = Authority::from_parts(key("authority.pem")?, chain("authority-chain.pem")?)
        .map_err(|error| pki(&error))?;
    let identity = Identity::new(key("transport.pem")?, chain("transport-chain.pem")?, root.clone());
    let keys = Keys {
        root,
        authority,
        signer: key("signer.pem")?,
        signer_chain: chain("signer-chain.pem")?,
        identity,
    };
    Ok(Parts { config, keys, secrets: Arc::new(HomeSecrets::new(home.clone())) })
}

/// Starts the bank that lives in `home` on these seams.
///
/// # Errors
/// Those of [`load`] and [`Bank::new`].
pub async fn open(home: &Home, seams: Seams) -> Result<Arc<Bank>, Fault> {
    Bank::new(load(home)?, seams).await
}
