//! Key files encrypted under a passphrase.
//!
//! ```text
//! passphrase ── Argon2id(salt, cost) ──▶ key ── XChaCha20-Poly1305 ──▶ data key        keys/vault.json
//!                                         data key ── XChaCha20-Poly1305 ──▶ a key file    keys/seed, keys/*.pem, …
//! ```
//!
//! The slow step is made once a process, however many files there are, and another passphrase changes one file. Each file
//! is bound to its role and name, the data key to its role and the cost of its passphrase: none can stand in for another.
//!
//! # Security
//! A thief of the files has to try passphrases at the cost that `vault.json` names, and nothing else slows him down: the
//! delay of [`crate::passphrase`] binds only who goes through this program. Certificates are public and stay as they are.

use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use feiqian_wire::error::{Code, Fault};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::entropy::{Entropy, SystemEntropy};
use crate::passphrase::Passphrase;

/// How a sealed file begins.
const MAGIC: &[u8] = b"feiqian sealed 1\n";
/// Bytes of an XChaCha20 nonce.
const NONCE: usize = 24;
/// Bytes of a salt.
const SALT: usize = 16;
/// What a vault file may ask for: 1 GiB, so that a file somebody changed cannot take all memory.
const MOST_MEMORY_KIB: u32 = 1 << 20;
/// Most passes over that memory.
const MOST_PASSES: u32 = 64;
/// Most lanes.
const MOST_LANES: u32 = 16;

/// What one try of a passphrase costs (Argon2id).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// Memory, in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes that could be filled at once.
    pub lanes: u32,
}

impl Cost {
    /// Of a node, whose operator chose a long passphrase and which starts seldom: 19 MiB, 2 passes.
    pub const NODE: Self = Self { memory_kib: 19 << 10, passes: 2, lanes: 1 };
    /// Of a wallet, whose owner chose one to remember: 64 MiB, 3 passes.
    pub const WALLET: Self = Self { memory_kib: 64 << 10, passes: 3, lanes: 1 };

    fn params(self) -> Result<Params, Fault> {
        let bounded = self.memory_kib <= MOST_MEMORY_KIB
            && self.passes <= MOST_PASSES
            && (1..=MOST_LANES).contains(&self.lanes);
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(32)).ok();
        params.filter(|_| bounded).ok_or_else(|| damaged("its cost is out of bounds"))
    }
}

/// `keys/vault.json`: the data key, wrapped by what the passphrase makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vault {
    version: u8,
    kdf: String,
    cost: Cost,
    salt: String,
    nonce: String,
    key: String,
}

/// The version of the vault file that is written.
const VERSION: u8 = 1;
const KDF: &str = "argon2id";

/// The key that a home's files are sealed with.
#[derive(Clone)]
pub(crate) struct DataKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(redacted)")
    }
}

fn damaged(why: &str) -> Fault {
    Fault::new(Code::Internal, format!("keys/vault.json is damaged: {why}"))
        .hint("restore it from a backup of the home: without it no key file can be opened")
}

fn array<const N: usize>(text: &str) -> Result<[u8; N], Fault> {
    let bytes = hex::decode(text).map_err(|_| damaged("no hexadecimal"))?;
    bytes.try_into().map_err(|_| damaged("a length is wrong"))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.rng().fill_bytes(&mut bytes);
    bytes
}

/// What the wrapped data key is bound to. The role has no zero byte and ends before the first.
fn binding(role: &str, cost: Cost, salt: &[u8; SALT]) -> Vec<u8> {
    let mut bytes = b"feiqian/vault/1\0".to_vec();
    bytes.extend_from_slice(role.as_bytes());
    bytes.push(0);
    for number in [cost.memory_kib, cost.passes, cost.lanes] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(salt);
    bytes
}

fn wrapping_key(
    passphrase: &Passphrase,
    cost: Cost,
    salt: &[u8; SALT],
) -> Result<Zeroizing<[u8; 32]>, Fault> {
    let mut key = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.params()?)
        .hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice())
        .map_err(|error| Fault::new(Code::Internal, format!("Argon2id: {error}")))?;
    Ok(key)
}

fn cipher(key: &Zeroizing<[u8; 32]>) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(&Key::from(**key))
}

impl Vault {
    /// Reads the file.
    ///
    /// # Errors
    /// `INTERNAL` when it is none, `UNSUPPORTED_VERSION` when a newer program wrote it.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Fault> {
        let vault: Self = serde_json::from_slice(bytes).map_err(|error| damaged(&error.to_string()))?;
        if vault.version != VERSION || vault.kdf != KDF {
            let text = format!("keys/vault.json is of version {} ({})", vault.version, vault.kdf);
            return Err(Fault::new(Code::UnsupportedVersion, text));
        }
        Ok(vault)
    }

    /// The file's content.
    ///
    /// # Errors
    /// `INTERNAL` when it cannot be written as JSON.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec_pretty(self).map_err(|error| Fault::new(Code::Internal, error.to_string()))
    }

    /// Wraps the data key of a home of `role`.
    ///
    /// # Errors
    /// `INTERNAL` when there is not enough memory.
    pub(crate) fn wrap(
        key: &DataKey,
        passphrase: &Passphrase,
        cost: Cost,
        role: &str,
    ) -> Result<Self, Fault> {
        let (salt, nonce) = (random::<SALT>(), random::<NONCE>());
        let aad = binding(role, cost, &salt);
        let wrapped = cipher(&wrapping_key(passphrase, cost, &salt)?)
            .encrypt(&XNonce::from(nonce), Payload { msg: key.0.as_slice(), aad: &aad })
            .map_err(|_| Fault::new(Code::Internal, "the data key cannot be encrypted"))?;
        Ok(Self {
            version: VERSION,
            kdf: KDF.to_owned(),
            cost,
            salt: hex::encode(salt),
            nonce: hex::encode(nonce),
            key: hex::encode(wrapped),
        })
    }

    /// The data key; `None` when the passphrase is wrong, or something in the file was changed.
    ///
    /// # Errors
    /// `INTERNAL` for a file that cannot be, or without memory.
    pub(crate) fn unwrap(&self, passphrase: &Passphrase, role: &str) -> Result<Option<DataKey>, Fault> {
        let (salt, nonce) = (array::<SALT>(&self.salt)?, array::<NONCE>(&self.nonce)?);
        let wrapped = hex::decode(&self.key).map_err(|_| damaged("no hexadecimal"))?;
        let aad = binding(role, self.cost, &salt);
        let opened = cipher(&wrapping_key(passphrase, self.cost, &salt)?)
            .decrypt(&XNonce::from(nonce), Payload { msg: &wrapped, aad: &aad })
            .map(Zeroizing::new);
        let Ok(opened) = opened else { return Ok(None) };
        let mut key = Zeroizing::new([0; 32]);
        if opened.len() != key.len() {
            return Err(damaged("the key's length is wrong"));
        }
        key.copy_from_slice(&opened);
        Ok(Some(DataKey(key)))
    }
}

/// Whether a file is sealed.
pub(crate) fn is_sealed(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

fn file_binding(role: &str, name: &str) -> Vec<u8> {
    [b"feiqian/key-file/1\0", role.as_bytes(), b"\0", name.as_bytes()].concat()
}

impl DataKey {
    /// A new one.
    pub(crate) fn generate() -> Self {
        Self(Zeroizing::new(random()))
    }

    /// Seals the content of the key file `name`.
    ///
    /// # Errors
    /// `INTERNAL` when the cipher refuses.
    pub(crate) fn seal(&self, role: &str, name: &str, content: &[u8]) -> Result<Vec<u8>, Fault> {
        let (nonce, aad) = (random::<NONCE>(), file_binding(role, name));
        let sealed = cipher(&self.0)
            .encrypt(&XNonce::from(nonce), Payload { msg: content, aad: &aad })
            .map_err(|_| Fault::new(Code::Internal, format!("keys/{name} cannot be encrypted")))?;
        Ok([MAGIC, nonce.as_slice(), sealed.as_slice()].concat())
    }

    /// Opens what [`Self::seal`] made.
    ///
    /// # Errors
    /// `INTERNAL` when it is damaged, or another file's.
    pub(crate) fn open(&self, role: &str, name: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        let broken = || {
            Fault::new(Code::Internal, format!("keys/{name} is damaged, or is another file's content"))
                .hint("restore it from a backup of the home")
        };
        let body = bytes.strip_prefix(MAGIC).ok_or_else(broken)?;
        let (nonce, sealed) = body.split_first_chunk::<NONCE>().ok_or_else(broken)?;
        let aad = file_binding(role, name);
        let opened = cipher(&self.0).decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad });
        opened.map(Zeroizing::new).map_err(|_| broken())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use super::*;

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn only_the_passphrase_opens_the_data_key() {
        let key = DataKey::generate();
        let vault = Vault::wrap(&key, &passphrase("one"), CHEAP, "wallet").unwrap();
        let vault = Vault::parse(&vault.to_bytes().unwrap()).unwrap();
        assert_eq!(vault.unwrap(&passphrase("one"), "wallet").unwrap().unwrap().0, key.0);
        assert!(vault.unwrap(&passphrase("two"), "wallet").unwrap().is_none());
        assert!(vault.unwrap(&passphrase("one"), "bank").unwrap().is_none(), "bound to the role");
        assert!(!format!("{key:?}").contains(&hex::encode(*key.0)));
    }

    #[test]
    fn whatever_is_changed_in_the_vault_file_it_does_not_open() {
        let key = DataKey::generate();
        let vault = Vault::wrap(&key, &passphrase("one"), CHEAP, "wallet").unwrap();
        let cheaper = Vault { cost: Cost { memory_kib: 32, ..CHEAP }, ..vault.clone() };
        assert!(cheaper.unwrap(&passphrase("one"), "wallet").unwrap().is_none());
        let salted = Vault { salt: hex::encode([7; SALT]), ..vault.clone() };
        assert!(salted.unwrap(&passphrase("one"), "wallet").unwrap().is_none());
        for cost in [
            Cost { memory_kib: MOST_MEMORY_KIB + 1, ..CHEAP },
            Cost { passes: MOST_PASSES + 1, ..CHEAP },
            Cost { passes: 0, ..CHEAP },
            Cost { lanes: 0, ..CHEAP },
            Cost { memory_kib: u32::MAX, passes: u32::MAX, lanes: u32::MAX },
        ] {
            let greedy = Vault { cost, ..vault.clone() };
            assert_eq!(greedy.unwrap(&passphrase("one"), "wallet").unwrap_err().code, Code::Internal);
        }
        let newer = Vault { version: 2, ..vault };
        assert_eq!(Vault::parse(&newer.to_bytes().unwrap()).unwrap_err().code, Code::UnsupportedVersion);
        assert_eq!(Vault::parse(b"{}").unwrap_err().code, Code::Internal);
    }

    #[test]
    fn a_file_opens_under_its_own_name_and_unchanged_only() {
        let key = DataKey::generate();
        let sealed = key.seal("bank", "signer.pem", b"secret").unwrap();
        assert!(is_sealed(&sealed) && !is_sealed(b"-----BEGIN PRIVATE KEY-----"));
        assert_eq!(**key.open("bank", "signer.pem", &sealed).unwrap(), *b"secret");
        assert_ne!(sealed, key.seal("bank", "signer.pem", b"secret").unwrap(), "a new nonce each time");
        key.open("bank", "authority.pem", &sealed).unwrap_err();
        key.open("merchant", "signer.pem", &sealed).unwrap_err();
        DataKey::generate().open("bank", "signer.pem", &sealed).unwrap_err();
        for place in MAGIC.len()..sealed.len() {
            let mut changed = sealed.clone();
            if let Some(byte) = changed.get_mut(place) {
                *byte ^= 1;
            }
            key.open("bank", "signer.pem", &changed).unwrap_err();
        }
        key.open("bank", "signer.pem", MAGIC).unwrap_err();
    }
}
