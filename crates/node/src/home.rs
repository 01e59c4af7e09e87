//! A node's home: the folder that holds its role, settings, keys, store, lock and control socket.
//!
//! ```text
//! home/            0700
//!   role           which role lives here: another one is refused
//!   config.toml    settings
//!   keys/          0700, each file 0600, written atomically; what is secret is sealed where there is a passphrase
//!     vault.json   what the passphrase opens; without it nothing is sealed
//!   attempts       how many wrong passphrases in a row, and when the last was
//!   lock           held while a process may change the home
//!   control.sock   0600, while a node runs
//! ```
//!
//! # Security
//! Private keys that others than the owner can read, and public ones that others can write, keep a home from being opened.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use feiqian_wire::error::{Code, Fault};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::files;
use crate::lock::HomeLock;
use crate::passphrase::{Attempt, Passphrase, open_to_others};
use crate::sealed::{Cost, DataKey, Vault, is_sealed};

/// Longest settings file read, in bytes.
const CONFIG_LIMIT: u64 = 1 << 20;
/// Longest key file read, in bytes.
const KEY_LIMIT: u64 = 1 << 20;
/// The key file that the passphrase opens. It is secret only as far as the passphrase is.
const VAULT: &str = "vault.json";

/// A folder that one node of one role lives in. Clones share what a passphrase has opened.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
    role: String,
    opened: Arc<OnceLock<DataKey>>,
}

/// Certificates are for everybody, and are read where nobody knows the passphrase.
fn is_public(name: &str) -> bool {
    name == "root.pem" || name.ends_with("chain.pem") || name == VAULT
}

/// A key file's name and content.
type KeyFile = (String, Zeroizing<Vec<u8>>);

impl Home {
    /// Makes `dir` the home of `role`, or opens it when it already is one.
    ///
    /// # Errors
    /// `WRONG_HOME` when another role lives there, or when the folder holds other things; `INTERNAL` when the file
    /// system refuses.
    pub fn create(dir: impl Into<PathBuf>, role: &str) -> Result<Self, Fault> {
        let home = Self::at(dir.into(), role);
        if home.stored_role()?.is_some() {
            return Self::open(home.dir, role);
        }
        home.refuse_occupied()?;
        files::create_private_dir(&home.dir).map_err(|error| home.failed("create", &home.dir, &error))?;
        let keys = home.path("keys");
        files::create_private_dir(&keys).map_err(|error| home.failed("create", &keys, &error))?;
        // The marker comes last: a home without it is created again.
        home.write("role", format!("{role}\n").as_bytes())?;
        Ok(home)
    }

    /// Opens the home of `role` in `dir`.
    ///
    /// # Errors
    /// `WRONG_HOME` when there is no home or another role's; `FORBIDDEN` when others than its owner can read its private
    /// keys or change any; `INTERNAL` when the file system refuses.
    pub fn open(dir: impl Into<PathBuf>, role: &str) -> Result<Self, Fault> {
        let home = Self::at(dir.into(), role);
        match home.stored_role()? {
            Some(stored) if stored == role => {
                home.refuse_open_keys()?;
                Ok(home)
            }
            Some(stored) => Err(Fault::new(
                Code::WrongHome,
                format!("{} is the home of a {stored}, not of a {role}", home.dir.display()),
            )
            .hint("choose another folder with --home")),
            None => Err(Fault::new(Code::WrongHome, format!("{} is no home yet", home.dir.display()))
                .hint(format!("create it with `feiqian {role} init`, or choose another folder with --home"))),
        }
    }

    fn at(dir: PathBuf, role: &str) -> Self {
        Self { dir, role: role.to_owned(), opened: Arc::default() }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of `name` inside the folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Where a running node listens for commands.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.path("control.sock")
    }

    /// Takes the home for this process: [`HomeLock::acquire`].
    ///
    /// # Errors
    /// As [`HomeLock::acquire`].
    pub async fn lock(&self, patience: Duration) -> Result<HomeLock, Fault> {
        HomeLock::acquire(&self.dir, patience).await
    }

    /// Reads `config.toml`. `T` denies unknown fields (`#[serde(deny_unknown_fields)]`), so that a misspelt key is
    /// an error that names the known ones.
    ///
    /// # Errors
    /// `USAGE` with line and reason when the file is no such settings; `INTERNAL` when it cannot be read.
    pub fn read_config<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        let path = self.path("config.toml");
        let bytes =
            files::read_bounded(&path, CONFIG_LIMIT).map_err(|error| self.failed("read", &path, &error))?;
        let broken = |reason: String| {
            Fault::new(Code::Usage, format!("{}: {reason}", path.display()))
                .hint("correct the file and try again")
        };
        let text = String::from_utf8(bytes).map_err(|_| broken("not UTF-8".to_owned()))?;
        toml::from_str(&text).map_err(|error| broken(error.to_string()))
    }

    /// Writes `config.toml`, atomically.
    ///
    /// # Errors
    /// `INTERNAL` when the settings cannot be written as TOML or the file system refuses.
    pub fn write_config(&self, config: &impl Serialize) -> Result<(), Fault> {
        let text = toml::to_string_pretty(config).map_err(|error| {
            Fault::new(Code::Internal, format!("settings cannot be written as TOML: {error}"))
        })?;
        self.write("config.toml", text.as_bytes())
    }

    /// Writes `name` in the folder, atomically and durably, mode 0600.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.path(name);
        files::write_private(&path, bytes).map_err(|error| self.failed("write", &path, &error))
    }

    /// Whether a passphrase protects the private keys.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        self.key_path(VAULT).exists()
    }

    /// Opens the private keys with their passphrase, for as long as this value and its clones live. Nothing happens
    /// where none protects them. What an interrupted [`Self::change_passphrase`] left unsealed is sealed.
    ///
    /// # Errors
    /// `PASSPHRASE_INVALID` when it is wrong, `BUSY` when it was too soon after a wrong one; `INTERNAL` for damaged files or
    /// a file system that refuses.
    pub fn unseal(&self, passphrase: &Passphrase, clock: &dyn Clock) -> Result<(), Fault> {
        let Some(bytes) = self.read_optional(&self.key_path(VAULT), KEY_LIMIT)? else { return Ok(()) };
        let vault = Vault::parse(&bytes)?;
        let attempt = Attempt::begin(&self.path("attempts"), clock)?;
        let Some(key) = vault.unwrap(passphrase, &self.role)? else { return Err(attempt.wrong()) };
        attempt.right()?;
        self.seal_rest(&key)?;
        // Another clone may have been first, with the same key.
        let _ = self.opened.set(key);
        Ok(())
    }

    /// Puts the private keys under another passphrase, or, if it is empty, under none. Hold the home's lock, and
    /// [`Self::unseal`] first. Interrupted, it can be repeated; the keys are then under the new or the old one, or some
    /// are under none yet.
    ///
    /// # Errors
    /// `PASSPHRASE_INVALID` when the keys are sealed and were not opened; `INTERNAL` when the file system refuses.
    ///
    /// # Security
    /// What files held before may stay readable on the medium, and copies keep the passphrase they were made under.
    pub fn change_passphrase(&self, passphrase: &Passphrase, cost: Cost) -> Result<(), Fault> {
        let known = if self.is_sealed() { Some(self.data_key()?.clone()) } else { None };
        if passphrase.is_empty() {
            let Some(key) = known else { return Ok(()) };
            for (name, bytes) in self.private_files()? {
                if is_sealed(&bytes) {
                    self.write_plain(&name, &key.open(&self.role, &name, &bytes)?)?;
                }
            }
            return self.delete_key(VAULT);
        }
        let key = known.unwrap_or_else(DataKey::generate);
        let vault = Vault::wrap(&key, passphrase, cost, &self.role)?;
        self.write_plain(VAULT, &vault.to_bytes()?)?;
        self.seal_rest(&key)?;
        let _ = self.opened.set(key);
        Ok(())
    }

    /// Writes the new key file `name`; a key is never overwritten.
    ///
    /// # Errors
    /// `CONFLICT` when the key exists; `PASSPHRASE_INVALID` when keys are sealed and were not opened; `INTERNAL` when the
    /// file system refuses.
    pub fn write_new_key(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let (path, content) = (self.key_path(name), self.sealed(name, bytes)?);
        files::write_private_new(&path, &content).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Fault::new(Code::Conflict, format!("{} exists already", path.display()))
            }
            _ => self.failed("write", &path, &error),
        })
    }

    /// Writes the key file `name`, atomically replacing what it held.
    ///
    /// # Errors
    /// `PASSPHRASE_INVALID` when keys are sealed and were not opened; `INTERNAL` when the file system refuses.
    pub fn write_key(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        self.write_plain(name, &self.sealed(name, bytes)?)
    }

    /// Reads the key file `name`; `None` when there is none.
    ///
    /// # Errors
    /// `PASSPHRASE_INVALID` when it is sealed and was not opened; `INTERNAL` when it is damaged or the file system refuses.
    pub fn read_key(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        let bytes = self.read_optional(&self.key_path(name), KEY_LIMIT)?.map(Zeroizing::new);
        match bytes {
            Some(bytes) if is_sealed(&bytes) => self.data_key()?.open(&self.role, name, &bytes).map(Some),
            other => Ok(other),
        }
    }

    /// Deletes the key file `name`; nothing happens when there is none.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses.
    pub fn delete_key(&self, name: &str) -> Result<(), Fault> {
        let path = self.key_path(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("delete", &path, &error))
            }
            _ => Ok(()),
        }
    }

    fn data_key(&self) -> Result<&DataKey, Fault> {
        self.opened.get().ok_or_else(|| {
            let text = format!("the keys in {} are under a passphrase", self.dir.display());
            Fault::new(Code::PassphraseInvalid, text)
                .hint("give it with --passphrase-file, FEIQIAN_PASSPHRASE_FILE, or at a terminal")
        })
    }

    /// A key file's content as it is written.
    fn sealed(&self, name: &str, bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, Fault> {
        if is_public(name) || !self.is_sealed() {
            return Ok(Zeroizing::new(bytes.to_vec()));
        }
        self.data_key()?.seal(&self.role, name, bytes).map(Zeroizing::new)
    }

    fn write_plain(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.key_path(name);
        files::write_private(&path, bytes).map_err(|error| self.failed("write", &path, &error))
    }

    fn seal_rest(&self, key: &DataKey) -> Result<(), Fault> {
        for (name, bytes) in self.private_files()? {
            if !is_sealed(&bytes) {
                self.write_plain(&name, &key.seal(&self.role, &name, &bytes)?)?;
            }
        }
        Ok(())
    }

    /// The key files that are not public, with their content as it lies there.
    fn private_files(&self) -> Result<Vec<KeyFile>, Fault> {
        let mut found = Vec::new();
        for name in self.key_names()?.into_iter().filter(|name| !is_public(name)) {
            // What a crash left half written beside a file is not read by anybody.
            if name.starts_with('.') {
                self.delete_key(&name)?;
            } else if let Some(bytes) = self.read_optional(&self.key_path(&name), KEY_LIMIT)? {
                found.push((name, Zeroizing::new(bytes)));
            }
        }
        Ok(found)
    }

    fn key_names(&self) -> Result<Vec<String>, Fault> {
        let folder = self.path("keys");
        let unreadable = |error: io::Error| self.failed("read", &folder, &error);
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(unreadable)?,
        };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry.map_err(unreadable)?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Keys that others can read are not secret, and certificates that others can write are not the owner's.
    fn refuse_open_keys(&self) -> Result<(), Fault> {
        for name in self.key_names()? {
            let path = self.key_path(&name);
            let Ok(metadata) = std::fs::metadata(&path) else { continue };
            let (mode, shut) = (metadata.permissions().mode(), if is_public(&name) { 0o022 } else { 0o077 });
            if mode & shut != 0 {
                return Err(open_to_others(&path, mode));
            }
        }
        Ok(())
    }

    fn key_path(&self, name: &str) -> PathBuf {
        self.dir.join("keys").join(name)
    }

    fn read_optional(&self, path: &Path, limit: u64) -> Result<Option<Vec<u8>>, Fault> {
        match files::read_bounded(path, limit) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read", path, &error)),
        }
    }

    fn stored_role(&self) -> Result<Option<String>, Fault> {
        let marker = self.read_optional(&self.path("role"), 64)?;
        Ok(marker.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// A folder with foreign files must not become a home: it may be somebody's documents. What an interrupted
    /// creation leaves (`keys`, hidden files) is ours.
    fn refuse_occupied(&self) -> Result<(), Fault> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(self.failed("read", &self.dir, &error)),
        };
        for entry in entries {
            let name = entry.map_err(|error| self.failed("read", &self.dir, &error))?.file_name();
            if name != "keys" && name != ".role.new" && name != "lock" {
                return Err(Fault::new(
                    Code::WrongHome,
                    format!("{} is not empty: it holds {}", self.dir.display(), name.display()),
                )
                .hint("choose an empty or a new folder with --home"));
            }
        }
        Ok(())
    }

    #[allow(clippy::unused_self, reason = "reads as a sentence at the call")]
    fn failed(&self, what: &str, path: &Path, error: &io::Error) -> Fault {
        files::fault(what, path, error)
    }
}

/// Listens on `address` (`host:port`; port 0 takes a free one) and answers the listener with the address it really
/// has, to be stored so that the node keeps its port.
///
/// # Errors
/// `CONFLICT` when the port is taken, `USAGE` when the address cannot be used; both say what to do.
pub async fn bind(address: &str) -> Result<(TcpListener, std::net::SocketAddr), Fault> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            Fault::new(Code::Conflict, format!("another program listens on {address}"))
                .hint("stop it, or choose another address with --listen HOST:PORT (port 0 takes a free one)")
        }
        _ => Fault::new(Code::Usage, format!("cannot listen on {address}: {error}"))
            .hint("use HOST:PORT with an address of this machine, such as 127.0.0.1:0"),
    };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let actual = listener.local_addr().map_err(refused)?;
    Ok((listener, actual))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use std::os::unix::fs::PermissionsExt;

    use feiqian_wire::Timestamp;
    use serde::Deserialize;

    use super::*;
    use crate::clock::ManualClock;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        listen: String,
        limit: u32,
    }

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_home_is_private_and_belongs_to_one_role() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("a/b");
        assert_eq!(Home::open(&dir, "bank").unwrap_err().code, Code::WrongHome);
        let home = Home::create(&dir, "bank").unwrap();
        assert_eq!(mode(home.dir()), 0o700);
        assert_eq!(mode(&home.path("keys")), 0o700);
        Home::create(&dir, "bank").unwrap();
        Home::open(&dir, "bank").unwrap();
        let refused = Home::open(&dir, "wallet").unwrap_err();
        assert_eq!(refused.code, Code::WrongHome);
        assert!(refused.message.contains("home of a bank"), "{refused}");
        assert_eq!(Home::create(&dir, "wallet").unwrap_err().code, Code::WrongHome);
    }

    #[test]
    fn a_folder_with_other_things_does_not_become_a_home() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("letter.txt"), "dear").unwrap();
        let refused = Home::create(dir.path(), "bank").unwrap_err();
        assert_eq!(refused.code, Code::WrongHome);
        assert!(refused.message.contains("letter.txt"));
    }

    #[test]
    fn a_creation_cut_short_is_finished_by_the_next() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("keys")).unwrap();
        std::fs::write(dir.path().join(".role.new"), "ba").unwrap();
        Home::create(dir.path(), "bank").unwrap();
        Home::open(dir.path(), "bank").unwrap();
    }

    #[test]
    fn settings_round_trip_and_unknown_keys_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path(), "bank").unwrap();
        let settings = Settings { listen: "127.0.0.1:7000".to_owned(), limit: 3 };
        home.write_config(&settings).unwrap();
        assert_eq!(home.read_config::<Settings>().unwrap(), settings);
        home.write("config.toml", b"listen = \"x\"\nlimit = 3\nlimmit = 4\n").unwrap();
        let refused = home.read_config::<Settings>().unwrap_err();
        assert_eq!(refused.code, Code::Usage);
        assert!(refused.message.contains("limmit"), "{refused}");
    }

    #[test]
    fn keys_are_private_and_never_overwritten_by_new_ones() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path(), "bank").unwrap();
        assert_eq!(home.read_key("tls.pem").unwrap(), None);
        home.write_new_key("tls.pem", b"secret").unwrap();
        assert_eq!(mode(&home.path("keys/tls.pem")), 0o600);
        assert_eq!(home.write_new_key("tls.pem", b"other").unwrap_err().code, Code::Conflict);
        assert_eq!(**home.read_key("tls.pem").unwrap().unwrap(), *b"secret");
        home.write_key("tls.pem", b"renewed").unwrap();
        assert_eq!(**home.read_key("tls.pem").unwrap().unwrap(), *b"renewed");
        home.delete_key("tls.pem").unwrap();
        home.delete_key("tls.pem").unwrap();
        assert_eq!(home.read_key("tls.pem").unwrap(), None);
    }

    const CHEAP: Cost = Cost { memory_kib: 64, passes: 1, lanes: 1 };

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text.as_bytes().to_vec()).unwrap()
    }

    fn on_disk(home: &Home, name: &str) -> Vec<u8> {
        std::fs::read(home.path("keys").join(name)).unwrap()
    }

    /// A home with a private key and a certificate, under the passphrase `one`.
    fn sealed_home(dir: &Path) -> Home {
        let home = Home::create(dir, "bank").unwrap();
        home.write_new_key("tls.pem", b"private").unwrap();
        home.write_new_key("tls.chain.pem", b"certificate").unwrap();
        home.change_passphrase(&passphrase("one"), CHEAP).unwrap();
        home
    }

    #[test]
    fn a_passphrase_seals_private_keys_and_leaves_certificates_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = sealed_home(dir.path());
        assert!(home.is_sealed());
        assert!(is_sealed(&on_disk(&home, "tls.pem")));
        assert_eq!(on_disk(&home, "tls.chain.pem"), b"certificate");
        home.write_new_key("later.pem", b"later").unwrap();
        assert!(is_sealed(&on_disk(&home, "later.pem")));
        let (again, clock) = (Home::open(dir.path(), "bank").unwrap(), ManualClock::new(Timestamp::new(10)));
        assert_eq!(again.read_key("tls.pem").unwrap_err().code, Code::PassphraseInvalid);
        assert_eq!(again.write_key("tls.pem", b"x").unwrap_err().code, Code::PassphraseInvalid);
        assert_eq!(**again.read_key("tls.chain.pem").unwrap().unwrap(), *b"certificate");
        assert_eq!(again.unseal(&passphrase("two"), &clock).unwrap_err().code, Code::PassphraseInvalid);
        // Right, but too soon: it is not looked at.
        assert_eq!(again.unseal(&passphrase("one"), &clock).unwrap_err().code, Code::Busy);
        clock.set(Timestamp::new(11));
        again.unseal(&passphrase("one"), &clock).unwrap();
        assert_eq!(**again.clone().read_key("tls.pem").unwrap().unwrap(), *b"private");
        assert_eq!(**again.read_key("later.pem").unwrap().unwrap(), *b"later");
    }

    #[test]
    fn another_passphrase_takes_the_place_of_the_first_and_an_empty_one_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let (home, clock) = (sealed_home(dir.path()), ManualClock::new(Timestamp::new(10)));
        let locked = Home::open(dir.path(), "bank").unwrap();
        let refused = locked.change_passphrase(&passphrase("two"), CHEAP).unwrap_err();
        assert_eq!(refused.code, Code::PassphraseInvalid, "only who knows the first may change it");
        home.change_passphrase(&passphrase("two"), CHEAP).unwrap();
        locked.unseal(&passphrase("one"), &clock).unwrap_err();
        clock.set(Timestamp::new(20));
        locked.unseal(&passphrase("two"), &clock).unwrap();
        locked.change_passphrase(&passphrase(""), CHEAP).unwrap();
        assert!(!locked.is_sealed());
        assert_eq!(on_disk(&locked, "tls.pem"), b"private");
        Home::open(dir.path(), "bank").unwrap().unseal(&passphrase(""), &clock).unwrap();
    }

    #[test]
    fn sealing_cut_short_is_finished_when_the_home_is_next_opened() {
        let dir = tempfile::tempdir().unwrap();
        let home = sealed_home(dir.path());
        // As if the process had died after the vault was written.
        std::fs::remove_file(home.path("keys/tls.pem")).unwrap();
        files::write_private(&home.path("keys/tls.pem"), b"private").unwrap();
        files::write_private(&home.path("keys/.tls.pem.new"), b"half of it").unwrap();
        let again = Home::open(dir.path(), "bank").unwrap();
        again.unseal(&passphrase("one"), &ManualClock::new(Timestamp::new(10))).unwrap();
        assert!(is_sealed(&on_disk(&again, "tls.pem")));
        assert_eq!(**again.read_key("tls.pem").unwrap().unwrap(), *b"private");
        assert!(!again.path("keys/.tls.pem.new").exists());
    }

    #[test]
    fn keys_that_others_can_read_or_change_keep_the_home_shut() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::create(dir.path(), "bank").unwrap();
        home.write_new_key("tls.pem", b"private").unwrap();
        home.write_new_key("root.pem", b"certificate").unwrap();
        let change = |name: &str, mode| {
            std::fs::set_permissions(home.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for (name, wrong, right) in
            [("keys/tls.pem", 0o640, 0o600), ("keys/tls.pem", 0o604, 0o400), ("keys/root.pem", 0o666, 0o644)]
        {
            change(name, wrong);
            let refused = Home::open(dir.path(), "bank").unwrap_err();
            assert_eq!(refused.code, Code::Forbidden);
            assert!(refused.message.contains(name), "{refused}");
            change(name, right);
            Home::open(dir.path(), "bank").unwrap();
        }
    }

    #[tokio::test]
    async fn port_zero_takes_a_free_port_and_a_taken_one_says_what_to_do() {
        let (_listener, address) = bind("127.0.0.1:0").await.unwrap();
        assert_ne!(address.port(), 0);
        let refused = bind(&address.to_string()).await.unwrap_err();
        assert_eq!(refused.code, Code::Conflict);
        assert!(refused.hint.unwrap().contains("--listen"));
        assert_eq!(bind("nowhere").await.unwrap_err().code, Code::Usage);
    }
}
