//! E-cheques: the document, who may add what to it, and its life at the drawee bank.
//!
//! An e-cheque is a file of signed blocks. Each is a JWS that OpenSSL alone or any JOSE library verifies; each
//! after the first names the cheque and the block before it. The drawers sign the order to pay, the drawee bank
//! countersigns it, holders pass it on, the last one deposits it, and the banks write on it what became of it.
//!
//! This crate holds **all roles' steps** and nothing else: no socket, file, clock or operating system randomness.
//!
//! | module | idea |
//! |---|---|
//! | [`block`] | one signed block: flattened JWS, header, hash chain |
//! | [`content`] | what the blocks say |
//! | [`bundle`] | the file: blocks and removable attachments |
//! | [`progress`] | what may follow what, and who may sign it |
//! | [`trust`], [`mod@verify`] | judging a document: every signature's state, one verdict |
//! | [`book`], [`steps`] | draw, countersign, certify, endorse, deposit, return, receipt |
//! | [`codes`] | return codes |
//! | [`state`], [`table`], [`register`] | the cheque's life at the drawee: one table of states and events |
//! | [`date`], [`words`] | calendar months; amounts in words |
//! | [`render`] | a page that a person recognises |

pub mod block;
pub mod book;
pub mod bundle;
pub mod codes;
pub mod content;
pub mod date;
pub mod error;
mod json;
pub mod messages;
pub mod progress;
pub mod register;
pub mod render;
pub mod state;
pub mod steps;
pub mod table;
pub mod trust;
pub mod verify;
pub mod words;

pub use block::{BlockType, Signer};
pub use book::{Allotment, Leaf};
pub use bundle::{Attachment, Bundle};
pub use codes::{Represent, ReturnCode};
pub use content::{Cheque, Outcome, Payee, PayeeKey};
pub use date::Day;
pub use error::{ChequeError, Malformed, Rejection};
pub use register::{Effect, Entry, Facts, Refusal, Repeat};
pub use state::{Event, EventKind, State, StopReason};
pub use steps::{Drawn, Mandate, Notice, Order, draw};
pub use trust::Trust;
pub use verify::{Examined, Submitted, VerifiedCheque, examine, submit, verify};
