//! A node's home: the folder that holds its role, settings, keys, store, lock and control socket.
//!
//! ```text
//! home/            0700
//!   role           which role lives here: another one is refused
//!   config.toml    settings
//!   keys/          0700, each file 0600, written atomically
//!   lock           held while a process may change the home
//!   control.sock   0600, while a node runs
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use feiqian_wire::error::{Code, Fault};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use crate::files;
use crate::lock::HomeLock;

/// Longest settings file read, in bytes.
const CONFIG_LIMIT: u64 = 1 << 20;
/// Longest key file read, in bytes.
const KEY_LIMIT: u64 = 1 << 20;

/// A folder that one node of one role lives in.
#[derive(Clone, Debug)]
pub struct Home {
    dir: PathBuf,
}

impl Home {
    /// Makes `dir` the home of `role`, or opens it when it already is one.
    ///
    /// # Errors
    /// `WRONG_HOME` when another role lives there, or when the folder holds other things; `INTERNAL` when the file
    /// system refuses.
    pub fn create(dir: impl Into<PathBuf>, role: &str) -> Result<Self, Fault> {
        let home = Self { dir: dir.into() };
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
    /// `WRONG_HOME` when there is no home or another role's; `INTERNAL` when the file system refuses.
    pub fn open(dir: impl Into<PathBuf>, role: &str) -> Result<Self, Fault> {
        let home = Self { dir: dir.into() };
        match home.stored_role()? {
            Some(stored) if stored == role => Ok(home),
            Some(stored) => Err(Fault::new(
                Code::WrongHome,
                format!("{} is the home of a {stored}, not of a {role}", home.dir.display()),
            )
            .hint("choose another folder with --home")),
            None => Err(Fault::new(Code::WrongHome, format!("{} is no home yet", home.dir.display()))
                .hint(format!("create it with `feiqian {role} init`, or choose another folder with --home"))),
        }
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

    /// Writes the new key file `name`; a key is never overwritten.
    ///
    /// # Errors
    /// `CONFLICT` when the key exists; `INTERNAL` when the file system refuses.
    pub fn write_new_key(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.key_path(name);
        files::write_private_new(&path, bytes).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Fault::new(Code::Conflict, format!("{} exists already", path.display()))
            }
            _ => self.failed("write", &path, &error),
        })
    }

    /// Writes the key file `name`, atomically replacing what it held.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses.
    pub fn write_key(&self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let path = self.key_path(name);
        files::write_private(&path, bytes).map_err(|error| self.failed("write", &path, &error))
    }

    /// Reads the key file `name`; `None` when there is none.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses.
    pub fn read_key(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Fault> {
        Ok(self.read_optional(&self.key_path(name), KEY_LIMIT)?.map(Zeroizing::new))
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
        Fault::new(Code::Internal, format!("cannot {what} {}: {error}", path.display()))
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

    use serde::Deserialize;

    use super::*;

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
