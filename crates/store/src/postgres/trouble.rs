//! What a failure of the server means for the transaction, and in the words of the seam.

use feiqian_ledger::store::StoreError;
use tokio_postgres::{Error, error::SqlState};

/// What went wrong with one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The connection is gone, and with it every transaction that was not committed.
    Lost(String),
    /// The transaction cannot be fitted between the others: run it again.
    Conflict(String),
    /// The server refused this statement alone, for the caller to act on.
    Refused(StoreError),
    /// The server could not do it: no space, no memory, no lock, no permission.
    Failed(StoreError),
}

impl Trouble {
    /// What the work that saw it is told.
    pub(crate) fn error(&self) -> StoreError {
        match self {
            Self::Lost(text) => StoreError::Database(format!("connection lost: {text}")),
            Self::Conflict(text) => StoreError::Busy(text.clone()),
            Self::Refused(error) | Self::Failed(error) => error.clone(),
        }
    }
}

/// Text with the server's own words and its code.
fn words(error: &Error) -> String {
    match error.as_db_error() {
        Some(server) => {
            let place = server.constraint().map(|name| format!(" ({name})")).unwrap_or_default();
            format!("{}{place} [{}]", server.message(), server.code().code())
        }
        None => std::error::Error::source(error)
            .map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}")),
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        let text = words(&error);
        let Some(server) = error.as_db_error() else {
            // Everything that is not an answer of the server leaves open what it has seen.
            return Self::Lost(text);
        };
        if matches!(server.severity(), "FATAL" | "PANIC") {
            return Self::Lost(text);
        }
        let code = server.code();
        match (code.code().get(..2).unwrap_or_default(), code) {
            (_, &SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED) => {
                Self::Conflict(text)
            }
            ("08", _) | (_, &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN) => Self::Lost(text),
            (_, &SqlState::UNIQUE_VIOLATION) => Self::Refused(StoreError::Exists(text)),
            ("22" | "23", _) => Self::Refused(StoreError::Constraint(text)),
            (_, &SqlState::READ_ONLY_SQL_TRANSACTION) => Self::Refused(StoreError::ReadOnly),
            (_, &SqlState::DISK_FULL) => Self::Failed(StoreError::Full(text)),
            (_, &SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => {
                Self::Failed(StoreError::Damaged(text))
            }
            (_, &SqlState::INSUFFICIENT_PRIVILEGE) => Self::Failed(StoreError::Database(text)),
            (_, &SqlState::LOCK_NOT_AVAILABLE) => Self::Failed(StoreError::Busy(text)),
            ("42", _) => Self::Refused(StoreError::Misuse(text)),
            _ => Self::Failed(StoreError::Database(text)),
        }
    }
}
