//! SQLite behind the store seam of `feiqian-ledger`.
//!
//! [`SqliteStore`] comes in three forms with one behaviour:
//!
//! * [`SqliteStore::open`]: a file, one writer thread with **group commit**, several reader threads with connections of
//!   their own. A node's store.
//! * [`SqliteStore::open_in_memory`]: everything inline on the caller's thread, in the order of the calls. For
//!   simulation and tests.
//! * [`SqliteStore::open_read_only`]: readers only, beside a node that goes on writing. For audits.
//!
//! Group commit: all works that wait are put into one transaction, a savepoint each, and made durable by one
//! synchronisation of the disk; only then is anybody answered. While the disk works, the next group gathers, so the
//! number of transfers a second grows with the load instead of being bound to the number of synchronisations.

mod engine;
mod error;
#[cfg(feature = "test-faults")]
mod fault;
mod schema;
mod sqlite;
mod statements;
mod threads;
mod tx;

pub use error::OpenError;
pub use sqlite::{Options, SqliteStore};
