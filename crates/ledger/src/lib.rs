//! The double-entry book of a bank or a center, and the seam to the database that keeps it.
//!
//! * [`store`]: tables as constants, values, the [`store::Tx`] and [`store::Store`] traits.
//! * [`book`]: accounts with four balances; transfers that are immutable and act once by their id: posted at once, or pending
//!   and later posted, voided or expired; linked transfers stand or fall together.
//! * [`journal`]: every event in order, hash-chained. Balances are a fold of it.
//! * [`audit`]: recomputes everything from the journal and names each place that disagrees.
//!
//! Nothing here reads a clock, randomness, files or sockets: time comes in as Unix seconds, state through a transaction.

pub mod audit;
pub mod book;
mod error;
pub mod journal;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use book::TABLES;
pub use error::LedgerError;
