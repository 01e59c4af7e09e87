//! A merchant's keys: TLS and document signing.

use std::sync::Arc;

use feiqian_node::{Home, Identity};
use feiqian_pki::{Chain, KeyPair, TrustedRoot};
use feiqian_wire::error::{Code, Fault};
use rand_core::CryptoRng;

use crate::failure::own_keys;

/// The keys of a running merchant, with their certificates.
#[derive(Debug)]
pub struct Keys {
    /// Signs requests, receipts and refund orders.
    pub signer: KeyPair,
    /// The signer's chain: leaf, bank authority, root.
    pub signer_chain: Chain,
    /// TLS.
    pub transport: Arc<Identity>,
    /// The root certificate.
    pub root: TrustedRoot,
}

impl Keys {
    /// Puts keys and certificates together.
    #[must_use]
    pub fn new(transport: (KeyPair, Chain), signer: (KeyPair, Chain), root: TrustedRoot) -> Self {
        let (key, chain) = transport;
        let transport = Arc::new(Identity::new(key, chain, root.clone()));
        let (signer, signer_chain) = signer;
        Self { signer, signer_chain, transport, root }
    }

    /// Reads the keys of an initialised home.
    ///
    /// # Errors
    /// `WRONG_HOME` when one is missing, `INTERNAL` when a file cannot be read or is damaged.
    pub fn load(home: &Home) -> Result<Self, Fault> {
        let missing = |what: &str| {
            Fault::new(Code::WrongHome, format!("{} lacks the {what}", home.dir().display()))
                .hint("the home was not created to its end: run `feiqian merchant init` again")
        };
        let pair = |name: &str| -> Result<(KeyPair, Chain), Fault> {
            let key = stored_key(home, name)?.ok_or_else(|| missing(&format!("{name} key")))?;
            let chain = home.read_key(&format!("{name}.chain.pem"))?;
            let chain = chain.ok_or_else(|| missing(&format!("{name} certificate")))?;
            Ok((key, Chain::from_pem(text(&chain)?).map_err(own_keys)?))
        };
        let root = stored_root(home)?.ok_or_else(|| missing("root certificate"))?;
        Ok(Self::new(pair("transport")?, pair("signer")?, root))
    }
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|_| Fault::new(Code::Internal, "a key file is no text"))
}

fn stored_key(home: &Home, name: &str) -> Result<Option<KeyPair>, Fault> {
    let Some(bytes) = home.read_key(&format!("{name}.key.pem"))? else { return Ok(None) };
    KeyPair::from_pkcs8_pem(text(&bytes)?).map(Some).map_err(own_keys)
}

/// The key in the home, made if it is not there: an interrupted enrolment goes on with the same keys.
pub(crate) fn stored_or_new(home: &Home, name: &str, rng: &mut impl CryptoRng) -> Result<KeyPair, Fault> {
    if let Some(key) = stored_key(home, name)? {
        return Ok(key);
    }
    let key = KeyPair::generate(rng);
    home.write_new_key(&format!("{name}.key.pem"), key.to_pkcs8_pem().map_err(own_keys)?.as_bytes())?;
    Ok(key)
}

pub(crate) fn write_chain(home: &Home, name: &str, chain: &Chain) -> Result<(), Fault> {
    home.write_key(&format!("{name}.chain.pem"), chain.to_pem().as_bytes())
}

/// The root pinned at first contact.
pub(crate) fn stored_root(home: &Home) -> Result<Option<TrustedRoot>, Fault> {
    let Some(bytes) = home.read_key("root.pem")? else { return Ok(None) };
    TrustedRoot::from_pem(text(&bytes)?).map(Some).map_err(own_keys)
}
