//! The verification center: root authority, directory of banks, log of pinned keysets, and the clearing of items
//! between banks under gross settlement.
//!
//! ```text
//! collecting bank ──present──▶ center: verify, reserve cover ──pay──▶ issuing bank
//!                 ◀─outcome── center: post or void, obligation ◀─outcome──
//! ```
//!
//! | module | idea |
//! |---|---|
//! | [`config`] | settings of a center |
//! | [`tables`] | what it remembers |
//! | [`keys`] | its keys and certificates |
//! | [`mod@init`] | makes a home |
//! | [`service`] | the running center: calls, commands, background |
//! | [`command`] | the operator's commands and their answers |
//! | [`settlement`] | the chart of accounts and the ids of transfers |
//! | [`mod@audit`] | recomputes everything from primary rows |
//!
//! # Security
//!
//! The center sees payments pass, not who withdrew the coins: it can neither link a coin to its withdrawal nor make
//! one. It can refuse to serve. It cannot show different keysets to different people unnoticed: payer and payee
//! compare their views of the log.

pub mod audit;
pub mod command;
pub mod config;
mod failure;
pub mod init;
mod inquiry;
mod items;
pub mod keys;
mod membership;
mod pins;
mod presentments;
pub mod service;
pub mod settlement;
pub mod tables;

pub use config::{Admission, Config, Settlement};
pub use init::{InitOptions, init};
pub use inquiry::EvidenceFinding;
pub use keys::Keys;
pub use service::{Center, open};
pub use tables::TABLES;
