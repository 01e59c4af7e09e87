//! Why the book refuses.

use feiqian_crypto::Id16;
use thiserror::Error;

use crate::store::StoreError;

/// Why the book did not open an account or book a transfer. Whatever the reason, the book has changed nothing: the
/// transaction may go on and be committed, except after [`LedgerError::Store`], which the work must hand on.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The id was used before with another body; the first field that differs.
    #[error("the id was used before with another {0}")]
    ExistsWithDifferent(&'static str),
    /// Of linked transfers some exist and some do not: linked transfers are repeated as they were, or not at all.
    #[error("some of the linked transfers exist, others do not")]
    PartlyExists,
    /// No transfer was given.
    #[error("no transfers")]
    Empty,
    /// More than [`crate::book::MAX_LINKED`] transfers were given.
    #[error("too many linked transfers")]
    TooMany,
    /// An amount of zero.
    #[error("the amount is zero")]
    AmountZero,
    /// Debit and credit account are the same.
    #[error("debit and credit account are the same")]
    SameAccount,
    /// No such account.
    #[error("no account {0}")]
    AccountUnknown(Id16),
    /// The accounts have different currencies.
    #[error("the accounts have different currencies")]
    CurrencyDiffers,
    /// The account's limit would be broken, pending amounts counted.
    #[error("the limit of account {0} would be broken")]
    LimitExceeded(Id16),
    /// A balance would not fit a database integer.
    #[error("a balance of account {0} would overflow")]
    Overflow(Id16),
    /// There is no pending transfer with this id.
    #[error("no pending transfer {0}")]
    PendingUnknown(Id16),
    /// A resolution names other accounts, or (except a post) another amount, than its pending transfer.
    #[error("the pending transfer has another {0}")]
    PendingDiffers(&'static str),
    /// More is posted than is pending.
    #[error("the amount exceeds the pending amount")]
    ExceedsPending,
    /// The pending transfer is resolved already, by this transfer.
    #[error("the pending transfer was resolved by {0}")]
    PendingResolved(Id16),
    /// The pending transfer's time is over: it can be voided or expired, not posted.
    #[error("the pending transfer has expired")]
    PendingExpired,
    /// An expiry before its time, or of a pending transfer without one.
    #[error("the pending transfer has not expired")]
    NotExpired,
    /// A time that does not fit a database integer.
    #[error("the time is out of range")]
    TimeOutOfRange,
}
