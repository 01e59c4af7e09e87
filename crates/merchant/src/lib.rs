//! A merchant's node: asks for money, takes payments, deposits them, gives refunds.
//!
//! ```text
//! wallet ──pay──▶ merchant: verify, claim the request, then deposit ──▶ its bank ──▶ …
//!        ◀─receipt or outcome── merchant ◀── Final, or Pending and asked again until final
//! ```
//!
//! | module | idea |
//! |---|---|
//! | [`config`] | settings |
//! | [`tables`] | what it remembers |
//! | [`mod@init`] | enrolment at its bank, and the home |
//! | [`keys`] | TLS and document-signing key |
//! | [`service`] | the running merchant: calls, commands, background |
//! | [`command`] | the operator's commands and their answers |
//! | [`mod@audit`] | recomputes everything from primary rows |
//! | `cheques` | e-cheques made out to the merchant |
//! | `offline` | offline cash: asked for, accepted without any connection, deposited later |
//!
//! # Security
//!
//! A request is claimed by the first payment that verifies, durably, before anything is deposited; the claim is given
//! up only when that payment was finally refused. The merchant's members' view is kept, so it takes payments while the
//! center is down; what it cannot deposit yet stays pending.

pub mod audit;
mod cheques;
pub mod command;
pub mod config;
mod failure;
mod housekeeping;
pub mod init;
pub mod keys;
mod offline;
mod payments;
mod queues;
mod refunds;
mod sales;
pub mod service;
pub mod tables;

pub use config::{Config, OfflineConfig};
pub use init::{Enrolment, FirstView, InitOptions, enrol, init};
pub use keys::Keys;
pub use offline::tables as offline_tables;
pub use service::{Merchant, Parts, open};
pub use tables::TABLES;
