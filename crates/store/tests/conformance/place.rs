//! Where a store can be: a file, or a database in the test run's cluster.

use std::sync::Arc;

use feiqian_ledger::store::{Step, Store, Table};
use feiqian_store::{OpenError, Options, PostgresOptions, PostgresStore, SqliteStore, testing};

use crate::TABLES;

/// A place for one store, which outlives the stores opened in it.
pub(crate) trait Place: Sized {
    fn new() -> Self;
    fn open_as(
        &self,
        role: &str,
        version: i64,
        tables: &[&'static Table],
    ) -> Result<Arc<dyn Store>, OpenError>;
    /// By a program whose schema has this history.
    fn open_after(
        &self,
        steps: &'static [Step],
        tables: &[&'static Table],
    ) -> Result<Arc<dyn Store>, OpenError>;
    /// Statements behind the program's back.
    fn tamper(&self, sql: &str);
    /// Role and version found, and the store.
    fn open_read_only(&self) -> Result<(String, i64, Arc<dyn Store>), OpenError>;
    /// Something else's table, and only that.
    fn make_foreign(&self);

    fn open(&self) -> Arc<dyn Store> {
        self.open_as("test", 1, TABLES).unwrap()
    }
}

pub(crate) struct File(tempfile::TempDir);

impl File {
    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("store.db")
    }
}

impl Place for File {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn open_as(
        &self,
        role: &str,
        version: i64,
        tables: &[&'static Table],
    ) -> Result<Arc<dyn Store>, OpenError> {
        let store = SqliteStore::open(self.path(), tables, Options::new(role).version(version))?;
        Ok(Arc::new(store))
    }

    fn open_after(
        &self,
        steps: &'static [Step],
        tables: &[&'static Table],
    ) -> Result<Arc<dyn Store>, OpenError> {
        Ok(Arc::new(SqliteStore::open(self.path(), tables, Options::new("test").steps(steps))?))
    }

    fn tamper(&self, sql: &str) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch(sql).unwrap();
    }

    fn open_read_only(&self) -> Result<(String, i64, Arc<dyn Store>), OpenError> {
        let store = SqliteStore::open_read_only(self.path())?;
        Ok((store.role().to_owned(), store.version(), Arc::new(store)))
    }

    fn make_foreign(&self) {
        rusqlite::Connection::open(self.path()).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    }
}

pub(crate) struct Database(pub(crate) String);

impl Database {
    pub(crate) fn options() -> PostgresOptions {
        PostgresOptions::new("test", testing::randomness())
    }

    pub(crate) fn with(&self, options: PostgresOptions) -> PostgresStore {
        PostgresStore::open(&self.0, TABLES, options).unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            testing::drop_database(&self.0);
        }
    }
}

impl Place for Database {
    fn new() -> Self {
        Self(testing::database())
    }

    fn open_as(
        &self,
        role: &str,
        version: i64,
        tables: &[&'static Table],
    ) -> Result<Arc<dyn Store>, OpenError> {
        let mut options = PostgresOptions::new(role, testing::randomness());
        options.store.version = version;
        Ok(Arc::new(PostgresStore::open(&self.0, tables, options)?))
    }

    fn open_after(
        &self,
        steps: &'static [Step],
        tables: &[&'static Table],
    ) -> Result<Arc<dyn Store>, OpenError> {
        let mut options = Self::options();
        options.store = options.store.steps(steps);
        Ok(Arc::new(PostgresStore::open(&self.0, tables, options)?))
    }

    fn tamper(&self, sql: &str) {
        testing::execute(&self.0, sql).unwrap();
    }

    fn open_read_only(&self) -> Result<(String, i64, Arc<dyn Store>), OpenError> {
        let store = PostgresStore::open_read_only(&self.0, testing::randomness())?;
        Ok((store.role().to_owned(), store.version(), Arc::new(store)))
    }

    fn make_foreign(&self) {
        testing::execute(&self.0, "CREATE TABLE x (y INTEGER)").unwrap();
    }
}
