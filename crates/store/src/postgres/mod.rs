//! PostgreSQL behind the [`Store`] seam.

mod dialect;
mod engine;
mod link;
mod schema;
mod tls;
mod trouble;
mod tx;
mod value;

use std::{path::Path, sync::Arc, time::Duration};

use feiqian_ledger::store::{BoxFuture, Store, StoreError, StoreExt as _, Table, Tx, Work};
use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject as _};
use tokio_postgres::{
    Config,
    config::{Host, SslMode},
};

pub use link::Randomness;

use self::{
    engine::{PostgresEngine, Writer},
    link::{Link, Settings},
    schema::Opening,
    tls::Tls,
};
use crate::{error::OpenError, sqlite::Options, threads::Pool};

/// How a store in PostgreSQL is opened, beyond what [`Options`] says.
#[derive(Clone)]
pub struct PostgresOptions {
    /// Role, version, queue, group, number of reading connections (at least 1; one more writes), and how long to wait for a
    /// lock or for a server that is away.
    pub store: Options,
    /// How often a group is run again after conflicts before its works are answered [`StoreError::Busy`].
    pub retries: u32,
    /// Whether the writers of several processes queue at a table lock. Without it they meet in conflicts instead.
    pub queues: bool,
    /// Where the lengths of pauses and the writer's name come from.
    pub randomness: Randomness,
}

impl std::fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("store", &self.store)
            .field("retries", &self.retries)
            .field("queues", &self.queues)
            .finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// The usual options for a role: those of [`Options::new`], 50 retries, queueing.
    ///
    /// # Security
    ///
    /// The randomness names this writer among all that write to the database. Two writers of one name could take each
    /// other's commits for their own, so it must not repeat between processes.
    #[must_use]
    pub fn new(role: impl Into<String>, randomness: Randomness) -> Self {
        Self { store: Options::new(role), retries: 50, queues: true, randomness }
    }
}

/// A PostgreSQL database behind the [`Store`] seam. Shared as `Arc<PostgresStore>` or `Arc<dyn Store>`; dropping the last
/// owner finishes what is queued and closes the connections.
///
/// A work must not wait for another work of the same store: the one thread that could run it is busy.
pub struct PostgresStore {
    role: String,
    version: i64,
    writer: Option<Pool>,
    readers: Pool,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore")
            .field("role", &self.role)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Opens the store in the database that `url` names (`postgres://user:password@host:port/database`), making its tables
    /// where they are missing. The database itself must exist.
    ///
    /// Over the network the connection is encrypted when the URL says `sslmode=require`; the server's certificate must then
    /// be one of `sslrootcert=FILE` (PEM), and for its host. Blocks while it connects.
    ///
    /// # Errors
    ///
    /// [`OpenError`]: another role's or a newer database, another layout of a table, a URL that makes no sense, no access, a
    /// server without `fsync`.
    pub fn open(url: &str, tables: &[&'static Table], options: PostgresOptions) -> Result<Self, OpenError> {
        apart(|| {
            let settings = settings(url, &options)?;
            let (runtime, mut link) = first_link(&settings)?;
            let mut opening = Opening { runtime: &runtime, link: &mut link, settings: &settings };
            opening.check_server()?;
            opening.install(tables, &options.store)?;
            drop(link);
            let writer = Writer::new(&settings, options.queues);
            let writer = engine(&settings, Some(writer))?;
            let writer = Pool::writer(writer, options.store.queue, options.store.batch)
                .map_err(|error| no_thread(&settings, &error))?;
            let readers = readers(&settings, &options.store)?;
            Ok(Self {
                role: options.store.role,
                version: options.store.version,
                writer: Some(writer),
                readers,
            })
        })
    }

    /// Opens an existing store for reading, also while nodes write to it. Every commit answers [`StoreError::ReadOnly`].
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the database cannot be reached or is no store of this project.
    pub fn open_read_only(url: &str, randomness: Randomness) -> Result<Self, OpenError> {
        apart(|| {
            let mut options = PostgresOptions::new("", randomness);
            options.store.readers = 1;
            let settings = settings(url, &options)?;
            let (runtime, mut link) = first_link(&settings)?;
            let opening = Opening { runtime: &runtime, link: &mut link, settings: &settings };
            let Some((role, version)) = opening.read_meta()? else {
                let (found, expected) = ("(none)".to_owned(), "any".to_owned());
                return Err(OpenError::WrongRole { path: settings.shown.clone(), found, expected });
            };
            let readers = readers(&settings, &options.store)?;
            Ok(Self { role, version, writer: None, readers })
        })
    }

    /// The role written in the store.
    #[must_use]
    pub fn role(&self) -> &str {
        &self.role
    }

    /// The schema version of the store.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// What the server itself knows to be wrong: indexes that are not valid, constraints that were not checked. Empty if
    /// all is well. Damaged pages show when rows are read, if the server has data checksums.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the server cannot answer even that.
    pub async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        self.read(|tx: &mut dyn Tx| {
            let sql = "SELECT 'index ' || c.relname || ' is not valid' FROM pg_index AS i \
                       JOIN pg_class AS c ON c.oid = i.indexrelid \
                       WHERE c.relnamespace = current_schema()::regnamespace AND NOT i.indisvalid \
                       UNION ALL SELECT 'constraint ' || conname || ' was not checked' FROM pg_constraint \
                       WHERE connamespace = current_schema()::regnamespace AND NOT convalidated";
            tx.select(sql, &[])?.iter().map(|row| row.text(0).map(str::to_owned)).collect()
        })
        .await
    }
}

impl Store for PostgresStore {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        match &self.writer {
            Some(writer) => Box::pin(writer.run(point, work)),
            None => Box::pin(std::future::ready(Err(StoreError::ReadOnly))),
        }
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(self.readers.run("read", work))
    }
}

/// Runs `open` on a thread of its own: it waits for the server, which a caller inside a runtime could not.
fn apart<T: Send>(open: impl FnOnce() -> Result<T, OpenError> + Send) -> Result<T, OpenError> {
    std::thread::scope(|scope| scope.spawn(open).join()).unwrap_or_else(|_| {
        let (path, reason) = ("the database".to_owned(), "opening it panicked".to_owned());
        Err(OpenError::Database { path, reason })
    })
}

fn first_link(settings: &Settings) -> Result<(tokio::runtime::Runtime, Link), OpenError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| no_thread(settings, &error))?;
    let link = Link::connect(&runtime, settings)
        .map_err(|refusal| OpenError::Database { path: settings.shown.clone(), reason: refusal.reason })?;
    Ok((runtime, link))
}

fn engine(settings: &Arc<Settings>, writer: Option<Writer>) -> Result<PostgresEngine, OpenError> {
    PostgresEngine::new(Arc::clone(settings), writer).map_err(|error| no_thread(settings, &error))
}

fn readers(settings: &Arc<Settings>, options: &Options) -> Result<Pool, OpenError> {
    let engines =
        (0..options.readers.max(1)).map(|_| engine(settings, None)).collect::<Result<Vec<_>, _>>()?;
    Pool::readers(engines, options.queue).map_err(|error| no_thread(settings, &error))
}

fn no_thread(settings: &Settings, error: &std::io::Error) -> OpenError {
    OpenError::Database { path: settings.shown.clone(), reason: error.to_string() }
}

/// The URL without `sslrootcert=…`, and the file it names.
fn take_root(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let mut root = None;
    let mut kept = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", file)) => root = Some(file.to_owned()),
            _ => kept.push(pair),
        }
    }
    let query = kept.join("&");
    (if query.is_empty() { base.to_owned() } else { format!("{base}?{query}") }, root)
}

fn settings(url: &str, options: &PostgresOptions) -> Result<Arc<Settings>, OpenError> {
    let wrong = |path: &str, reason: String| OpenError::Database { path: path.to_owned(), reason };
    let (plain, root) = take_root(url);
    // The URL may hold a password: an error must not repeat it.
    let mut config: Config = plain.parse().map_err(|error: tokio_postgres::Error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        wrong("the PostgreSQL database", cause.unwrap_or_else(|| error.to_string()))
    })?;
    let shown = shown(&config);
    let tls = match root {
        Some(file) => Some(Tls(trusting(Path::new(&file)).map_err(|reason| wrong(&shown, reason))?)),
        None if config.get_ssl_mode() == SslMode::Require => {
            return Err(wrong(&shown, "sslmode=require needs sslrootcert=FILE".to_owned()));
        }
        None => None,
    };
    if config.get_application_name().is_none() {
        config.application_name(format!("feiqian {}", options.store.role));
    }
    let patience = options.store.busy_timeout;
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(patience.max(Duration::from_secs(1)));
    }
    config.keepalives_idle(Duration::from_secs(30));
    config.tcp_user_timeout(Duration::from_secs(60));
    let (retries, randomness) = (options.retries, Arc::clone(&options.randomness));
    Ok(Arc::new(Settings { config, tls, shown, patience, retries, randomness }))
}

/// A client configuration that believes the certificates in a PEM file and no other.
fn trusting(file: &Path) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    for certificate in certificates {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Where a configuration leads, without its password.
fn shown(config: &Config) -> String {
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        Some(Host::Unix(path)) => path.display().to_string(),
        None => "localhost".to_owned(),
    };
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let user = config.get_user().unwrap_or_default();
    let database = config.get_dbname().unwrap_or(user);
    format!("postgres://{user}@{host}:{port}/{database}")
}

#[cfg(test)]
mod tests {
    use super::take_root;

    #[test]
    fn the_root_is_taken_out_of_the_url() {
        let file = Some("/root.pem".to_owned());
        let cases = [
            ("postgres://a@b/c", "postgres://a@b/c", None),
            ("postgres://a@b/c?sslrootcert=/root.pem", "postgres://a@b/c", file.clone()),
            (
                "postgres://a@b/c?sslmode=require&sslrootcert=/root.pem",
                "postgres://a@b/c?sslmode=require",
                file,
            ),
        ];
        for (url, plain, root) in cases {
            assert_eq!(take_root(url), (plain.to_owned(), root));
        }
    }
}
