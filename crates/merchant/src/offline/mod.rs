//! Offline cash at the till: asked for, accepted with no connection at all, deposited when there is one.
//!
//! ```text
//! offline_request ─▶ by screen or file ─▶ wallet ─▶ by file ─▶ accept: verify, store (durable) ─▶ goods
//!                                                                └ queue ─▶ its bank, asked until final
//! ```
//!
//! | module | idea |
//! |---|---|
//! | [`tables`] | what is remembered |
//! | `rows` | requests and payments as stored |
//! | `members` | pinned offline keysets and exposed coins, kept for use without the center |
//! | `requests` | asking |
//! | `accept` | taking a payment |
//! | `queue` | depositing |
//! | `audit` | recomputing |
//!
//! # Security
//!
//! `accept` opens no connection: it believes the pinned keysets and the exposed list as last seen, within the bounds of
//! [`Policy`](feiqian_offline_cash::policy::Policy). A payment is stored before it is confirmed; a request takes one.

mod accept;
pub(crate) mod audit;
mod members;
mod queue;
mod requests;
mod rows;
pub mod tables;

pub(crate) use members::{View, keep_view, read_view};
