//! For tests: PostgreSQL in a throw-away cluster, and stores that die.
//!
//! A test run shares one cluster: the one that [`CLUSTER`] in the environment names (`cargo xtask test` starts it), else one
//! that the test program starts for itself when it first needs it. Every test has databases of its own.

mod cluster;
mod mortal;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use feiqian_ledger::store::{BoxFuture, Store, StoreError, Table, Work};

pub use cluster::{Cluster, ClusterError, binaries};
pub use mortal::{Death, Life, Lives, MortalStore, killed_everywhere};

pub use crate::killed::{KILLED, note_killed};

use crate::{PostgresOptions, PostgresStore, Randomness, SqliteStore};

/// The environment variable with the URL of a running cluster, without a database: `postgres://postgres@%2Ftmp%2Fsocket`.
pub const CLUSTER: &str = "FEIQIAN_TEST_POSTGRES";

/// The environment variable that makes the role test suites run on PostgreSQL when it says `postgres`.
pub const STORE: &str = "FEIQIAN_TEST_STORE";

/// Whether the role test suites shall run on PostgreSQL.
#[must_use]
pub fn on_postgres() -> bool {
    std::env::var(STORE).is_ok_and(|store| store == "postgres")
}

static OWN: LazyLock<Result<Cluster, String>> =
    LazyLock::new(|| Cluster::start().map_err(|error| error.to_string()));
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// The URL of a database in the cluster of this test run.
///
/// # Panics
///
/// If there is no cluster and none can be started: a test that needs PostgreSQL must not pass without it.
#[must_use]
#[allow(clippy::panic, reason = "a test that needs PostgreSQL must not pass without it")]
pub fn url(database: &str) -> String {
    if let Ok(base) = std::env::var(CLUSTER) {
        return format!("{base}/{database}");
    }
    match &*OWN {
        Ok(cluster) => cluster.url(database),
        Err(error) => panic!("no PostgreSQL for tests: {error}"),
    }
}

fn name() -> String {
    format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A new, empty database in the cluster of this test run; answers its URL.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
#[allow(clippy::panic, reason = "a test that needs PostgreSQL must not pass without it")]
pub fn database() -> String {
    let name = name();
    if let Err(error) = execute(&url("postgres"), &format!("CREATE DATABASE {name}")) {
        panic!("no database for a test: {error}");
    }
    url(&name)
}

/// Removes a database that [`database`] made, also while a store is connected to it.
///
/// # Panics
///
/// If it cannot be removed.
#[allow(clippy::panic, reason = "a test that needs PostgreSQL must not pass without it")]
pub fn drop_database(url_of_it: &str) {
    let name = url_of_it.rsplit('/').next().unwrap_or_default();
    if let Err(error) = execute(&url("postgres"), &format!("DROP DATABASE {name} WITH (FORCE)")) {
        panic!("the database {name} stays: {error}");
    }
}

/// Executes statements on a connection of its own and answers the first value of the first row, if any.
///
/// # Errors
///
/// The server's words, or why there is no connection.
pub fn execute(url: &str, sql: &str) -> Result<Option<String>, String> {
    let run = || -> Result<Option<String>, tokio_postgres::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return Ok(None) };
        runtime.block_on(async {
            let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
            tokio::spawn(connection);
            let messages = client.simple_query(sql).await?;
            Ok(messages.into_iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => {
                    row.try_get(0).ok().flatten().map(str::to_owned)
                }
                _ => None,
            }))
        })
    };
    let outcome = std::thread::scope(|scope| scope.spawn(run).join());
    let outcome = outcome.map_err(|_| "the client panicked".to_owned())?;
    outcome.map_err(|error| {
        let words = error.as_db_error().map(|server| server.message().to_owned());
        words.unwrap_or_else(|| error.to_string())
    })
}

/// Randomness for tests: different in every process and at every call, without a claim to be unguessable.
#[must_use]
pub fn randomness() -> Randomness {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    Arc::new(|| {
        use std::hash::{BuildHasher as _, RandomState};
        RandomState::new().hash_one(CALLS.fetch_add(1, Ordering::Relaxed))
    })
}

/// Databases with a schema, by the names of its tables, from which the stores of tests are copied.
static TEMPLATES: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());

/// An empty store for one test of a role: in memory, or, where [`on_postgres`] says so, in a database of its own, which
/// goes with the store.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
#[allow(clippy::panic, reason = "a test that needs a store must not pass without it")]
pub fn fresh(tables: &[&'static Table]) -> Arc<dyn Store> {
    if !on_postgres() {
        return match SqliteStore::open_in_memory(tables) {
            Ok(store) => Arc::new(store),
            Err(error) => panic!("{error}"),
        };
    }
    let name = name();
    let copied = execute(&url("postgres"), &format!("CREATE DATABASE {name} TEMPLATE {}", template(tables)));
    if let Err(error) = copied {
        panic!("no database for a test: {error}");
    }
    let url = url(&name);
    let store = Some(opened(&url, tables));
    Arc::new(Passing { store, url })
}

#[allow(clippy::panic, reason = "a test that needs PostgreSQL must not pass without it")]
fn opened(url: &str, tables: &[&'static Table]) -> PostgresStore {
    let mut options = PostgresOptions::new("memory", randomness());
    options.store.readers = 1;
    PostgresStore::open(url, tables, options).unwrap_or_else(|error| panic!("no store for a test: {error}"))
}

fn template(tables: &[&'static Table]) -> String {
    let key = tables.iter().map(|table| table.name).collect::<Vec<_>>().join(" ");
    let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
    let make = || {
        let url = database();
        drop(opened(&url, tables));
        url.rsplit('/').next().unwrap_or_default().to_owned()
    };
    templates.entry(key).or_insert_with(make).clone()
}

/// Awaits an answer of the server's while a clock that a test has paused stands still: it would else run ahead to the next
/// time limit whenever all tasks wait, and the server is no task.
async fn at_standstill<T>(answer: impl Future<Output = T>) -> T {
    let (_until_done, done) = std::sync::mpsc::channel::<()>();
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        // A paused clock waits for what blocks a thread.
        runtime.spawn_blocking(move || done.recv());
    }
    answer.await
}

/// A store whose database goes with it.
struct Passing {
    store: Option<PostgresStore>,
    url: String,
}

impl Store for Passing {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        match &self.store {
            Some(store) => Box::pin(at_standstill(store.commit_raw(point, work))),
            None => Box::pin(std::future::ready(Err(StoreError::Closed))),
        }
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        match &self.store {
            Some(store) => Box::pin(at_standstill(store.read_raw(work))),
            None => Box::pin(std::future::ready(Err(StoreError::Closed))),
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.store.take();
        if !std::thread::panicking() {
            drop_database(&self.url);
        }
    }
}
