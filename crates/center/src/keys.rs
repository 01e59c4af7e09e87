//! A center's keys: the root authority, the document signer, the TLS key.

use std::sync::Arc;

use feiqian_node::{Endpoint, Home, Identity, endpoint::TrustPin};
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, PkiError, Purpose, ROOT_SECONDS, Subject, TrustedRoot,
};
use feiqian_wire::error::{Code, Fault};
use rand_core::CryptoRng;

use crate::config::Config;
use crate::failure::own_keys;

/// How long the center's own leaves are valid: they end with the root.
const LEAF_SECONDS: u64 = ROOT_SECONDS;

/// The keys of a running center, with their certificates.
#[derive(Debug)]
pub struct Keys {
    /// Certifies banks' authorities.
    pub authority: Authority,
    /// Signs documents of the center.
    pub signer: KeyPair,
    /// The signer's chain: leaf, root.
    pub signer_chain: Chain,
    /// TLS.
    pub transport: Arc<Identity>,
    /// The root certificate.
    pub root: TrustedRoot,
}

impl Keys {
    /// Fresh keys, kept nowhere: for a simulated world.
    ///
    /// # Errors
    /// `INTERNAL` when a certificate cannot be made, as for a time past the year 9999.
    pub fn generate(config: &Config, now: u64, rng: &mut impl CryptoRng) -> Result<Self, Fault> {
        let authority = Authority::root(&config.name, KeyPair::generate(rng), now, rng).map_err(own_keys)?;
        let (signer, transport) = (KeyPair::generate(rng), KeyPair::generate(rng));
        let signer_chain = certify(&authority, config, &signer, Purpose::Signing, now, rng)?;
        let transport_chain = certify(&authority, config, &transport, Purpose::Node, now, rng)?;
        Self::assemble(authority, (signer, signer_chain), (transport, transport_chain))
    }

    /// Makes whatever the home lacks and writes it there; what is there stays. So an interrupted creation goes on
    /// with the same keys.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses or a file is damaged.
    pub fn create(home: &Home, config: &Config, now: u64, rng: &mut impl CryptoRng) -> Result<Self, Fault> {
        let key = stored_or_new(home, "authority", rng)?;
        let authority = match stored_chain(home, "authority")? {
            Some(chain) => Authority::from_parts(key, chain).map_err(own_keys)?,
            None => {
                let authority = Authority::root(&config.name, key, now, rng).map_err(own_keys)?;
                write_chain(home, "authority", authority.chain())?;
                authority
            }
        };
        for (name, purpose) in [("signer", Purpose::Signing), ("transport", Purpose::Node)] {
            let key = stored_or_new(home, name, rng)?;
            if stored_chain(home, name)?.is_none() {
                write_chain(home, name, &certify(&authority, config, &key, purpose, now, rng)?)?;
            }
        }
        let keys = Self::load(home)?;
        home.write("root.pem", keys.root.to_pem().as_bytes())?;
        Ok(keys)
    }

    /// Copies the keys that all processes of a center have to another home.
    ///
    /// # Errors
    /// `WRONG_HOME` when one is missing, `CONFLICT` when the other home has a key of its own, `INTERNAL` when the file system
    /// refuses.
    pub(crate) fn share(of: &Home, home: &Home) -> Result<(), Fault> {
        Self::load(of)?;
        for name in ["authority", "signer"] {
            for file in [key_file(name), chain_file(name)] {
                let lacks = || Fault::new(Code::WrongHome, format!("{} lacks {file}", of.dir().display()));
                let bytes = of.read_key(&file)?.ok_or_else(lacks)?;
                match home.read_key(&file)? {
                    None => home.write_key(&file, &bytes)?,
                    Some(known) if *known == *bytes => {}
                    Some(_) => {
                        let text = format!("{} has keys of its own", home.dir().display());
                        return Err(Fault::new(Code::Conflict, text));
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads the keys of an initialised home.
    ///
    /// # Errors
    /// `WRONG_HOME` when one is missing, `INTERNAL` when a file cannot be read or is damaged.
    pub fn load(home: &Home) -> Result<Self, Fault> {
        let pair = |name: &str| -> Result<(KeyPair, Chain), Fault> {
            match (stored_key(home, name)?, stored_chain(home, name)?) {
                (Some(key), Some(chain)) => Ok((key, chain)),
                _ => {
                    Err(Fault::new(Code::WrongHome, format!("{} lacks the {name} key", home.dir().display()))
                        .hint("the home was not created to its end: run `feiqian center init` again"))
                }
            }
        };
        let (key, chain) = pair("authority")?;
        let authority = Authority::from_parts(key, chain).map_err(own_keys)?;
        Self::assemble(authority, pair("signer")?, pair("transport")?)
    }

    fn assemble(
        authority: Authority,
        (signer, signer_chain): (KeyPair, Chain),
        (transport, transport_chain): (KeyPair, Chain),
    ) -> Result<Self, Fault> {
        let root = authority.trusted_root().map_err(own_keys)?;
        let transport = Arc::new(Identity::new(transport, transport_chain, root.clone()));
        Ok(Self { authority, signer, signer_chain, transport, root })
    }

    /// The center's address with the fingerprint of its root: all that a first contact needs.
    ///
    /// # Errors
    /// `USAGE` when the settings' address is none.
    pub fn endpoint(&self, config: &Config) -> Result<String, Fault> {
        let pin = TrustPin { fingerprint: Some(self.root.fingerprint()) };
        let endpoint = Endpoint::new(&config.url, pin)
            .map_err(|error| Fault::new(Code::Usage, format!("url: {error}")))?;
        Ok(endpoint.to_string())
    }
}

fn certify(
    authority: &Authority,
    config: &Config,
    key: &KeyPair,
    purpose: Purpose,
    now: u64,
    rng: &mut impl CryptoRng,
) -> Result<Chain, Fault> {
    let names = if purpose == Purpose::Node { alternative_names(&config.url) } else { Vec::new() };
    let mut certified = || -> Result<Chain, PkiError> {
        let subject = Subject::center(&config.name)?;
        let request = CertificateRequest::verify(&CertificateRequest::create(key, &subject)?)?;
        authority.issue_leaf(&request, &subject, purpose, &names, LEAF_SECONDS, now, rng)
    };
    certified().map_err(own_keys)
}

/// The host of the center's address: nobody of this project asks for it, other TLS clients do.
fn alternative_names(url: &str) -> Vec<String> {
    let host = url.trim_start_matches("https://").trim_end_matches('/');
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    vec![host.trim_start_matches('[').trim_end_matches(']').to_owned()]
}

fn key_file(name: &str) -> String {
    format!("{name}.key.pem")
}

fn chain_file(name: &str) -> String {
    format!("{name}.chain.pem")
}

fn text<'a>(bytes: &'a [u8], name: &str) -> Result<&'a str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::new(Code::Internal, format!("the {name} file is no text")))
}

fn stored_key(home: &Home, name: &str) -> Result<Option<KeyPair>, Fault> {
    let Some(bytes) = home.read_key(&key_file(name))? else { return Ok(None) };
    KeyPair::from_pkcs8_pem(text(&bytes, name)?).map(Some).map_err(own_keys)
}

fn stored_or_new(home: &Home, name: &str, rng: &mut impl CryptoRng) -> Result<KeyPair, Fault> {
    if let Some(key) = stored_key(home, name)? {
        return Ok(key);
    }
    let key = KeyPair::generate(rng);
    home.write_new_key(&key_file(name), key.to_pkcs8_pem().map_err(own_keys)?.as_bytes())?;
    Ok(key)
}

fn stored_chain(home: &Home, name: &str) -> Result<Option<Chain>, Fault> {
    let Some(bytes) = home.read_key(&chain_file(name))? else { return Ok(None) };
    Chain::from_pem(text(&bytes, name)?).map(Some).map_err(own_keys)
}

fn write_chain(home: &Home, name: &str, chain: &Chain) -> Result<(), Fault> {
    home.write_key(&chain_file(name), chain.to_pem().as_bytes())
}
