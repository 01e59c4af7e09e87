//! SQLite and PostgreSQL behind the store seam of `feiqian-ledger`.
//!
//! [`SqliteStore`] comes in three forms with one behaviour:
//!
//! * [`SqliteStore::open`]: a file, one writer thread with **group commit**, several reader threads with connections of
//!   their own. A node's store.
//! * [`SqliteStore::open_in_memory`]: everything inline on the caller's thread, in the order of the calls. For
//!   simulation and tests.
//! * [`SqliteStore::open_read_only`]: readers only, beside a node that goes on writing. For audits.
//!
//! [`backup`] copies such a file while a node writes to it, and makes a store of the copy.
//!
//! [`PostgresStore`] has the first and the last of these forms and the same behaviour, over connections to a server:
//!
//! | | SQLite | PostgreSQL |
//! |---|---|---|
//! | isolation of writers | one writer a file | serializable, run again after conflicts, writers of all processes queue |
//! | a refused statement | leaves the transaction alone | undone, and the work's writes repeated |
//! | a read | snapshot of the file | repeatable read, read only |
//! | the commit's answer is lost | only with the process | found out by reading, see [`StoreError::Uncertain`] |
//! | texts are ordered | by bytes | by bytes (`COLLATE "C"`) |
//!
//! Group commit: all works that wait are put into one transaction and made durable by one synchronisation of the disk;
//! only then is anybody answered, a reader that may have seen it neither. Each stands or falls by itself: where one that
//! has written something fails, the group is undone and its works run again, a savepoint each. While the disk works, the
//! next group is carried out in SQLite and gathers in PostgreSQL, so the number of transfers a second grows with the load
//! instead of being bound to the number of synchronisations.
//!
//! [`StoreError::Uncertain`]: feiqian_ledger::store::StoreError::Uncertain

pub mod backup;
mod checkpoint;
mod engine;
mod error;
#[cfg(feature = "test-faults")]
pub mod fault;
mod flush;
mod held;
#[cfg(any(feature = "test-faults", feature = "testing"))]
mod killed;
mod postgres;
mod schema;
mod sqlite;
mod statements;
#[cfg(feature = "testing")]
pub mod testing;
mod threads;
mod tx;

pub use error::OpenError;
pub use postgres::{PostgresOptions, PostgresStore, Randomness};
pub use sqlite::{Options, SqliteStore};
