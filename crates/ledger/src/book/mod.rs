//! The double-entry book, after TigerBeetle's model.
//!
//! An [`Account`] has four balances: debits and credits, each pending and posted. A [`Transfer`] moves an amount from a debit to
//! a credit account and is immutable; its id is made by the caller and acts once. A pending transfer reserves the amount on
//! both sides until exactly one further transfer resolves it:
//!
//! ```text
//!                 post (all or part) ──▶ posted
//!   pending ──────void ───────────────▶ void
//!                 expire (time over) ─▶ void
//! ```
//!
//! Everything is checked in memory before the first row is written, so that a refusal leaves the transaction as it was and the
//! caller may go on in it, for example to record the refusal. The database checks once more: amounts above zero, balances not
//! negative, limits, debit ≠ credit, one resolution a pending transfer.

mod account;
mod query;
mod tables;
mod transfer;
mod write;

pub use account::{Account, AccountState, Limit};
pub use query::{Entry, account, entries, find_transfer, resolution};
pub use tables::TABLES;
pub(crate) use tables::{ACCOUNT, DUE, RESOLUTION, TRANSFER};
pub use transfer::{Kind, Transfer};
pub use write::{EXPIRE_BATCH, MAX_LINKED, Outcome, expire_due, open_account, transfer};
