//! The store itself.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use feiqian_ledger::store::{BoxFuture, Step, Store, StoreError, StoreExt as _, Table, Tx, Work};

use crate::{
    checkpoint::Checkpoints,
    engine::Engine,
    error::OpenError,
    flush::{Log, Progress},
    schema,
    threads::Pool,
};

/// How a store is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// The role the store belongs to, for example `bank`. A file of another role is refused.
    pub role: String,
    /// The schema version this program writes. A file of a higher one is refused.
    pub version: i64,
    /// How a store of a lower version comes to this one.
    pub steps: &'static [Step],
    /// How many works may wait for the writer before callers wait to hand in theirs.
    pub queue: usize,
    /// How many works at most share one commit.
    pub batch: usize,
    /// How many reader threads, each with a connection of its own.
    pub readers: usize,
    /// How long to wait for another process that holds the database.
    pub busy_timeout: Duration,
}

impl Options {
    /// The usual options for a role: version 1, 4,096 waiting works, 1,024 a commit, 4 readers, 10 seconds.
    #[must_use]
    pub fn new(role: impl Into<String>) -> Self {
        let busy_timeout = Duration::from_secs(10);
        Self { role: role.into(), version: 1, steps: &[], queue: 4096, batch: 1024, readers: 4, busy_timeout }
    }

    /// The same options with another schema version.
    #[must_use]
    pub fn version(self, version: i64) -> Self {
        Self { version, ..self }
    }

    /// The same options with a schema of this history: its version is the last step's, 1 without any.
    #[must_use]
    pub fn steps(self, steps: &'static [Step]) -> Self {
        Self { version: steps.last().map_or(1, |step| step.to), steps, ..self }
    }
}

/// A SQLite database behind the [`Store`] seam. Shared as `Arc<SqliteStore>` or `Arc<dyn Store>`; dropping the last owner
/// finishes what is queued and closes the file.
///
/// A work must not wait for another work of the same store: the one thread that could run it is busy.
pub struct SqliteStore {
    role: String,
    version: i64,
    form: Form,
}

enum Form {
    Threads { writer: Option<Pool>, readers: Pool, progress: Arc<Progress>, size: Size },
    Inline(Mutex<Engine>),
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("role", &self.role)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the store in the file `path`, or creates it, with `tables` (those of the ledger included, if used).
    ///
    /// # Errors
    ///
    /// [`OpenError`]: another role's or a newer file, another layout of a table, or no access.
    pub fn open(
        path: impl AsRef<Path>,
        tables: &[&'static Table],
        options: Options,
    ) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let progress = Progress::new();
        let mut connection = schema::open_writer(path, tables, &options)?;
        let (checkpoints, carrying) = Checkpoints::start(path, &mut connection, options.busy_timeout)?;
        let writer = Engine::helped(connection, &progress, checkpoints);
        let readers = reader_pool(path, &options)?;
        let limits = (options.queue, options.batch);
        let mut log = Log::of(path);
        log.flush_earlier().map_err(|error| no_access(path, &error))?;
        let writer = Pool::writer_and_flusher(writer, limits, &progress, move || log.flush())
            .map_err(|error| no_access(path, &error))?
            .with(carrying);
        let form = Form::Threads { writer: Some(writer), readers, progress, size: Size::of(path) };
        Ok(Self { role: options.role, version: options.version, form })
    }

    /// A store in memory that runs every work inline, on the thread that polls the future, in the order of the polls.
    ///
    /// # Errors
    ///
    /// [`OpenError::Database`] if a table's description is not valid SQL.
    pub fn open_in_memory(tables: &[&'static Table]) -> Result<Self, OpenError> {
        Self::open_inline(tables, None)
    }

    /// As [`SqliteStore::open_in_memory`], with at most `cache_kib` KiB of the data in memory: what is more lies in a
    /// temporary file, which is gone with the store.
    ///
    /// # Errors
    ///
    /// [`OpenError::Database`] if a table's description is not valid SQL.
    pub fn open_temporary(tables: &[&'static Table], cache_kib: u32) -> Result<Self, OpenError> {
        Self::open_inline(tables, Some(cache_kib))
    }

    fn open_inline(tables: &[&'static Table], cache_kib: Option<u32>) -> Result<Self, OpenError> {
        let options = Options::new("memory");
        let engine = Engine::new(schema::open_memory(tables, &options, cache_kib)?);
        Ok(Self { role: options.role, version: options.version, form: Form::Inline(Mutex::new(engine)) })
    }

    /// Opens an existing store for reading, also while a node writes to it. Every commit answers [`StoreError::ReadOnly`].
    ///
    /// # Errors
    ///
    /// [`OpenError`] if the file is missing, unreadable, or no store of this project.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let options = Options { readers: 1, ..Options::new("") };
        let probe = schema::open_reader(path, options.busy_timeout)?;
        let Some((role, version)) = schema::read_meta(&probe, path)? else {
            let (found, expected) = ("(none)".to_owned(), "any".to_owned());
            return Err(OpenError::WrongRole { path: path.display().to_string(), found, expected });
        };
        let readers = Pool::readers(vec![Engine::new(probe)], options.queue)
            .map_err(|error| no_access(path, &error))?;
        let (progress, size) = (Progress::new(), Size::of(path));
        Ok(Self { role, version, form: Form::Threads { writer: None, readers, progress, size } })
    }

    /// Gives back what a store in memory keeps only to be faster next time, for worlds with many idle nodes. Nothing
    /// happens to a store with threads of its own.
    pub fn release_memory(&self) {
        if let Form::Inline(engine) = &self.form {
            engine.lock().unwrap_or_else(PoisonError::into_inner).release_memory();
        }
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

    /// SQLite's own check of the file: pages, indexes against tables, uniqueness. Empty if all is well.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] if the file is too damaged even for that.
    pub async fn check_integrity(&self) -> Result<Vec<String>, StoreError> {
        self.read(|tx: &mut dyn Tx| {
            let rows = tx.select("PRAGMA integrity_check", &[])?;
            let texts: Result<Vec<String>, StoreError> =
                rows.iter().map(|row| row.text(0).map(str::to_owned)).collect();
            Ok(texts?.into_iter().filter(|text| text != "ok").collect())
        })
        .await
    }
}

fn reader_pool(path: &Path, options: &Options) -> Result<Pool, OpenError> {
    let open = |_| schema::open_reader(path, options.busy_timeout).map(Engine::new);
    let engines = (0..options.readers.max(1)).map(open).collect::<Result<Vec<_>, _>>()?;
    Pool::readers(engines, options.queue).map_err(|error| no_access(path, &error))
}

fn no_access(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Database { path: PathBuf::from(path).display().to_string(), reason: error.to_string() }
}

impl Store for SqliteStore {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        match &self.form {
            Form::Threads { writer: Some(writer), .. } => Box::pin(writer.run(point, work)),
            Form::Threads { writer: None, .. } => Box::pin(std::future::ready(Err(StoreError::ReadOnly))),
            Form::Inline(engine) => {
                let mut work = work;
                Box::pin(async move {
                    let mut engine = engine.lock().unwrap_or_else(PoisonError::into_inner);
                    engine.commit(&mut [(point, &mut work)]).pop().unwrap_or(Err(StoreError::Closed))
                })
            }
        }
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        match &self.form {
            Form::Threads { readers, progress, .. } => Box::pin(async move {
                let outcome = readers.run("read", work).await;
                // What it saw and nobody was told of yet may still be lost.
                progress.settled().await?;
                outcome
            }),
            Form::Inline(engine) => {
                let mut work = work;
                Box::pin(async move {
                    engine.lock().unwrap_or_else(PoisonError::into_inner).read_alone(&mut work)
                })
            }
        }
    }

    /// While the file fits into the writer's cache, the writer has what it looks at in memory anyhow.
    fn look_ahead(&self, work: Work) {
        if let Form::Threads { writer: Some(_), readers, size, .. } = &self.form
            && size.exceeds_the_cache()
        {
            readers.give("look-ahead", work);
        }
    }
}

/// Whether a file is larger than the writer's cache; looked at now and then.
struct Size {
    path: PathBuf,
    asked: AtomicU32,
    is_large: AtomicBool,
}

impl Size {
    /// How many questions one look at the file answers.
    const EACH: u32 = 1024;

    fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), asked: AtomicU32::new(0), is_large: AtomicBool::new(false) }
    }

    fn exceeds_the_cache(&self) -> bool {
        if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(Self::EACH) {
            let is_large = std::fs::metadata(&self.path).is_ok_and(|file| file.len() > schema::CACHE_BYTES);
            self.is_large.store(is_large, Ordering::Relaxed);
        }
        self.is_large.load(Ordering::Relaxed)
    }
}
