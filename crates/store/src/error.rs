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
        ErrorCode::DiskFull => StoreError::Full(text),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Damaged(text),
        _ => StoreError::Database(text),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_failures() {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch("CREATE TABLE note (id INTEGER PRIMARY KEY, text BLOB); PRAGMA max_page_count = 8;")
            .unwrap();
        let error = db.execute("INSERT INTO note VALUES (1, zeroblob(100000))", []).unwrap_err();
        assert!(matches!(translate(error), StoreError::Full(_)));
    }

    #[test]
    fn a_damaged_file_is_told_from_other_failures() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("store.db");
        let make = "CREATE TABLE note (id INTEGER PRIMARY KEY, text BLOB); INSERT INTO note VALUES (1, zeroblob(9000));";
        Connection::open(&path).unwrap().execute_batch(make).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.get_mut(4096..).unwrap().fill(0x5a);
        std::fs::write(&path, &bytes).unwrap();
        let read = |path: &std::path::Path| {
            let db = Connection::open(path).unwrap();
            db.query_row("SELECT text FROM note", [], |row| row.get::<_, Vec<u8>>(0)).unwrap_err()
        };
        assert!(matches!(translate(read(&path)), StoreError::Damaged(_)));
        std::fs::write(&path, vec![7; 8192]).unwrap();
        assert!(matches!(translate(read(&path)), StoreError::Damaged(_)));
    }
}
