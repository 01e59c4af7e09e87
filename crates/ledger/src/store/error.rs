//! What a store can answer instead of doing what it was asked.

use thiserror::Error;

/// Why a store did not do what it was asked. Unless the variant says otherwise nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A row with this primary key, or with another value that must be unique, is already there.
    #[error("a row with the same unique value exists: {0}")]
    Exists(String),
    /// The row to update or delete is not there.
    #[error("no such row in table {0}")]
    Missing(&'static str),
    /// The database refused the row: a `CHECK`, a `NOT NULL` or a column type. Carries the database's own words.
    #[error("constraint broken: {0}")]
    Constraint(String),
    /// A stored value is not what its table says: a wrong kind, length or range.
    #[error("stored value unreadable: {0}")]
    Corrupt(String),
    /// The caller broke the rules of the seam: a wrong number of values, a write in a read, a table without a key.
    #[error("misuse of the store: {0}")]
    Misuse(String),
    /// The work gave up by itself (its own error is handed back by [`super::StoreExt::commit`]).
    #[error("the work gave up")]
    Aborted,
    /// The work panicked; its changes were undone and the store goes on.
    #[error("the work panicked: {0}")]
    Panicked(String),
    /// The store was opened for reading only.
    #[error("the store was opened read-only")]
    ReadOnly,
    /// The store is closed, or its thread has ended.
    #[error("the store is closed")]
    Closed,
    /// Another process held the database for longer than the busy timeout, or conflicts never ended.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// There is no room left for what was to be written.
    #[error("the disk is full: {0}")]
    Full(String),
    /// The file is damaged: what was read is not what was written.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The database failed otherwise (input or output error, lost connection).
    #[error("database failure: {0}")]
    Database(String),
    /// The commit itself failed: whether the changes survive is known only after the store is opened again. Repeat the
    /// work; works that act once by id are safe to repeat.
    #[error("commit failed, outcome unknown: {0}")]
    Uncertain(String),
}

impl StoreError {
    /// Whether it is certain that nothing was changed, now and after a restart.
    #[must_use]
    pub fn is_definitive(&self) -> bool {
        !matches!(self, Self::Uncertain(_) | Self::Closed)
    }
}
