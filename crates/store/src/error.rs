//! Failures to open a store, and the translation of SQLite's errors.

use feiqian_ledger::store::StoreError;
use rusqlite::{Error, ErrorCode, ffi};
use thiserror::Error as ThisError;

/// Why a store could not be opened. Nothing was changed.
#[derive(Debug, ThisError)]
#[non_exhaustive]
pub enum OpenError {
    /// The file holds another role's store, or is a database of something else.
    #[error("{path} is a store of role '{found}', not '{expected}'")]
    WrongRole {
        /// The file.
        path: String,
        /// The role written in it (`(none)` if it is no store of this project).
        found: String,
        /// The role that was asked for.
        expected: String,
    },
    /// The file was written by a newer version of this program.
    #[error("{path} has schema version {found}, this program knows up to {known}: use the newer program")]
    Newer {
        /// The file.
        path: String,
        /// The version written in it.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// A table in the file is laid out differently from what this program expects.
    #[error("table '{table}' in {path} has another layout")]
    OtherLayout {
        /// The file.
        path: String,
        /// The table.
        table: String,
    },
    /// The file could not be opened, or the database in it is damaged.
    #[error("cannot open {path}: {reason}")]
    Database {
        /// The file.
        path: String,
        /// SQLite's or the system's reason.
        reason: String,
    },
}

/// SQLite's error in the words of the seam.
pub(crate) fn translate(error: Error) -> StoreError {
    let Error::SqliteFailure(failure, message) = &error else {
        return match error {
            Error::InvalidParameterCount(..) | Error::MultipleStatement => {
                StoreError::Misuse(error.to_string())
            }
            other => StoreError::Database(other.to_string()),
        };
    };
    let text = message.clone().unwrap_or_else(|| failure.to_string());
    match failure.code {
        ErrorCode::ConstraintViolation => match failure.extended_code {
            ffi::SQLITE_CONSTRAINT_PRIMARYKEY
            | ffi::SQLITE_CONSTRAINT_UNIQUE
            | ffi::SQLITE_CONSTRAINT_ROWID => StoreError::Exists(text),
            _ => StoreError::Constraint(text),
        },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy(text),
        ErrorCode::ReadOnly => StoreError::ReadOnly,
        _ => StoreError::Database(text),
    }
}
