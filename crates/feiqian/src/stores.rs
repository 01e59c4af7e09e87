//! Where a node keeps what it must not forget: in a file of its home, or in a PostgreSQL database that the home names.

use std::path::PathBuf;
use std::sync::Arc;

use feiqian_ledger::store::{Store, StoreError, StoreExt as _, Tx};
use feiqian_node::{Entropy as _, Home, SystemEntropy};
use feiqian_store::{OpenError, Options, PostgresOptions, PostgresStore, Randomness, SqliteStore};
use feiqian_wire::error::{Code, Fault};
use rand_core::Rng as _;

use crate::roles::Role;

/// The file in a home that names its database; it may hold a password and is readable by its owner only. Without it the
/// store is [`FILE`].
const ADDRESS: &str = "store-url";
/// The embedded database in a home.
pub(crate) const FILE: &str = "store.db";
/// Marks a home whose store was made: from then on a missing store is a loss, not a home that was never used.
const OPENED: &str = "opened";

enum Place {
    File(PathBuf),
    Server(String),
}

fn place(home: &Home) -> Result<Place, Fault> {
    let path = home.path(ADDRESS);
    match std::fs::read_to_string(&path) {
        Ok(url) => Ok(Place::Server(url.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Place::File(home.path(FILE))),
        Err(error) => Err(Fault::new(Code::Internal, format!("{}: {error}", path.display()))),
    }
}

/// The file that holds a home's store, `None` where a server does.
///
/// # Errors
/// `INTERNAL` when the home cannot be read.
pub(crate) fn file(home: &Home) -> Result<Option<PathBuf>, Fault> {
    Ok(match place(home)? {
        Place::File(path) => Some(path),
        Place::Server(_) => None,
    })
}

fn randomness() -> Randomness {
    Arc::new(|| SystemEntropy.rng().next_u64())
}

fn failed(error: &OpenError, on_server: bool) -> Fault {
    match error {
        OpenError::WrongRole { .. } => Fault::new(Code::WrongHome, error.to_string()),
        OpenError::Newer { .. } => Fault::new(Code::UnsupportedVersion, error.to_string()),
        OpenError::Database { .. } if on_server => Fault::new(Code::Unavailable, error.to_string())
            .hint("is the server running, and does the database exist?"),
        _ => Fault::new(Code::Internal, error.to_string())
            .hint("look at it with `feiqian audit`, and restore it from a backup if it is damaged"),
    }
}

/// Opens the store of a node, or makes it.
///
/// # Errors
/// `WRONG_HOME`, `UNSUPPORTED_VERSION`, `UNAVAILABLE` or `INTERNAL`: the store is another's, newer, out of reach, damaged.
pub(crate) fn open(role: Role, home: &Home) -> Result<Arc<dyn Store>, Fault> {
    let store: Arc<dyn Store> = match place(home)? {
        Place::File(path) => {
            let opened =
                SqliteStore::open(path, &role.tables(), Options::new(role.name()).steps(role.steps()));
            Arc::new(opened.map_err(|error| failed(&error, false))?)
        }
        Place::Server(url) => {
            let mut options = PostgresOptions::new(role.name(), randomness());
            options.store = options.store.steps(role.steps());
            let opened = PostgresStore::open(&url, &role.tables(), options);
            Arc::new(opened.map_err(|error| failed(&error, true))?)
        }
    };
    if !home.path(OPENED).exists() {
        home.write(OPENED, b"")?;
    }
    Ok(store)
}

/// Gives a new home its database. An address that the home has already is no change.
///
/// # Errors
/// `USAGE` for what is no address of PostgreSQL; `CONFLICT` for a home that has a store elsewhere and for a database that is
/// another home's; otherwise as [`open`].
pub(crate) fn choose(role: Role, home: &Home, url: Option<&str>) -> Result<(), Fault> {
    let Some(url) = url else { return Ok(()) };
    if !["postgres://", "postgresql://"].iter().any(|start| url.starts_with(start)) {
        return Err(Fault::new(Code::Usage, "--store takes postgres://USER@HOST:PORT/DATABASE")
            .hint("leave it out to keep everything in a file of the home"));
    }
    match place(home)? {
        Place::Server(known) if known == url => {}
        Place::Server(_) => return Err(Fault::new(Code::Conflict, "the home has another database already")),
        Place::File(path) if path.exists() => {
            return Err(Fault::new(
                Code::Conflict,
                format!("the home has a store already: {}", path.display()),
            ));
        }
        Place::File(_) => {
            match PostgresStore::open_read_only(url, randomness()) {
                Ok(found) => {
                    let text = format!("the database holds the store of a {} already", found.role());
                    return Err(Fault::new(Code::Conflict, text).hint("make an empty one with createdb"));
                }
                Err(OpenError::WrongRole { .. }) => {}
                Err(error) => return Err(failed(&error, true)),
            }
            // Before the tables are made: a database with tables that no home names would be lost.
            home.write(ADDRESS, url.as_bytes())?;
        }
    }
    open(role, home).map(drop)
}

/// Gives a new home the database of another home.
///
/// # Errors
/// `USAGE` when that one keeps its store in a file; `CONFLICT` for a home that has a store elsewhere.
pub(crate) fn share(home: &Home, of: &Home) -> Result<(), Fault> {
    let Place::Server(url) = place(of)? else {
        return Err(Fault::new(Code::Usage, format!("{} keeps its store in a file", of.dir().display()))
            .hint("several processes share a store in PostgreSQL: `init --store postgres://…`"));
    };
    match place(home)? {
        Place::Server(known) if known == url => Ok(()),
        Place::File(path) if !path.exists() => home.write(ADDRESS, url.as_bytes()),
        _ => Err(Fault::new(Code::Conflict, "the home has another store already")),
    }
}

/// Whether a home without a store has had one.
pub(crate) fn was_used(home: &Home) -> bool {
    [OPENED, "store.db-wal"].iter().any(|name| home.path(name).exists())
}

/// A store opened for looking, beside a node that may go on working.
pub(crate) enum Reader {
    File(SqliteStore),
    Server(PostgresStore),
}

impl Reader {
    /// What to read in a home, `None` where no store is.
    ///
    /// # Errors
    /// `INTERNAL` for a store that is out of reach, damaged or another role's.
    pub(crate) fn open(role: Role, home: &Home) -> Result<Option<Self>, Fault> {
        let internal = |text: String| Fault::new(Code::Internal, text);
        let reader = match place(home)? {
            Place::File(path) if !path.exists() => return Ok(None),
            Place::File(path) => {
                Self::File(SqliteStore::open_read_only(path).map_err(|error| internal(error.to_string()))?)
            }
            Place::Server(url) => {
                let opened = PostgresStore::open_read_only(&url, randomness());
                Self::Server(opened.map_err(|error| internal(error.to_string()))?)
            }
        };
        let found = match &reader {
            Self::File(store) => store.role(),
            Self::Server(store) => store.role(),
        };
        if found != role.name() {
            return Err(internal(format!("it is the store of a {found}")));
        }
        Ok(Some(reader))
    }

    pub(crate) fn store(&self) -> &dyn Store {
        match self {
            Self::File(store) => store,
            Self::Server(store) => store,
        }
    }

    /// When the backup was made that this store came from, and when it was restored; `None` for a store that was not.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn restored(&self) -> Result<Option<(u64, u64)>, StoreError> {
        let Self::File(store) = self else { return Ok(None) };
        let read = |tx: &mut dyn Tx| {
            let sql = "SELECT value FROM store_meta WHERE name IN ('restored_at', 'restored_from') ORDER BY name DESC";
            let rows = tx.select(sql, &[])?;
            let times = rows.iter().map(|row| Ok(row.text(0)?.parse().ok()));
            let times: Vec<Option<u64>> = times.collect::<Result<_, StoreError>>()?;
            Ok::<_, StoreError>(match times.as_slice() {
                [Some(from), Some(at)] => Some((*from, *at)),
                _ => None,
            })
        };
        store.read(read).await
    }

    /// The database's own check; empty if all is well.
    ///
    /// # Errors
    /// What the store answers when it is too damaged even for that.
    pub(crate) async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::File(store) => store.check_integrity().await,
            Self::Server(store) => store.check_integrity().await,
        }
    }
}
