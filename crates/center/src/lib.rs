//! The verification center: root authority, directory of banks, log of pinned keysets, and the clearing of items
//! between banks under gross or net settlement.
//!
//! ```text
//! collecting bank ──present──▶ center: verify, reserve cover ──pay──▶ issuing bank
//!                 ◀─outcome── center: post or void, obligation ◀─outcome──
//! ```
//!
//! Cheques take the same way, but are paid first: what the banks then owe each other is settled together, by releases
//! of a queue (gross) or by cycles (net), and both banks are told when it is final.
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
mod cheques;
mod cleared;
pub mod command;
pub mod config;
mod cycles;
mod failure;
mod housekeeping;
pub mod init;
mod inquiry;
mod items;
pub mod keys;
mod membership;
mod notices;
mod obligations;
mod offline;
mod pins;
mod presentments;
mod queue;
mod queues;
mod revocation;
pub mod service;
pub mod settlement;
mod stored;
pub mod tables;
mod transfers;
mod verification;

pub use config::{Admission, Caps, Config, Settlement};
pub use init::{InitOptions, JoinOptions, init, join};
pub use inquiry::EvidenceFinding;
pub use keys::Keys;
pub use service::{Center, open};
pub use tables::{STEPS, TABLES};
