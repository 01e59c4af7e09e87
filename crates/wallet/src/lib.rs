//! The wallet: a customer's coins, and everything that is done with them.
//!
//! A wallet holds an account at one bank and coins of any bank of its center. It withdraws, pays, asks for payment,
//! receives, deposits on its own account, and refreshes: change after a partial spend, renewal before a key ends,
//! coins that come back from a payment that never took effect, refunds.
//!
//! | module | idea |
//! |---|---|
//! | [`config`], [`tables`], [`mod@init`] | the home: settings, what the store keeps, how it is made and opened |
//! | [`command`] | what the owner can ask, and the answers |
//! | [`wallet`] | the running wallet and its view of the center's members |
//! | `session` | one issuance from plan to coins, resumable at every commit |
//! | `pledge` | what was signed away of each coin, and **the rule** that keeps an honest owner honest |
//! | `withdraw`, `pay`, `deposit`, `request`, `receive`, `refresh` | one command each |
//! | `cheque`, `transfer` | e-cheques and credit transfers over the account |
//! | [`offline`] | coins that pay without a bank, and pass from hand to hand |
//! | [`certificate`] | the wallet's own certificates |
//! | [`restore`] | a wallet made again from its words alone |
//! | [`sealed_rows`] | secrets in the store, sealed under a key of the seed |
//! | [`mod@audit`] | recomputes everything from the store |
//!
//! # The rule
//!
//! A statement (a payment, or a refresh by coins) is never signed unless, for each of its coins, what it takes plus
//! all that was **ever** signed of that coin and that it does not itself release is at most the coin's value. Any set of
//! the wallet's statements of which none releases another therefore stays within the value: nobody can show evidence
//! against its owner. It is checked before every signature and again in the commit that precedes sending.
//!
//! # Resuming
//!
//! Every step is written before the next begins: plan, the bank's offer (before any challenge is computed), the signed
//! request (before it is sent), the coins. Whatever was left unfinished is taken up before every command, as far
//! as that does not put anonymous calls next to those under the owner's name (see `resume`). A withdrawal
//! or deposit whose answer never reached the owner is *adopted* by the next command with the same words instead of being
//! made again.

mod answer;
pub mod audit;
mod balance;
mod bank;
pub mod certificate;
mod cheque;
pub mod command;
pub mod config;
mod deposit;
mod document_key;
mod failure;
mod funding;
mod held;
mod housekeeping;
pub mod init;
pub mod offline;
mod pay;
mod payment;
mod pledge;
mod receive;
mod record;
mod refresh;
mod refund;
mod request;
pub mod restore;
mod resume;
pub mod sealed_rows;
mod service;
mod session;
mod settle;
pub mod tables;
mod transfer;
pub mod wallet;
mod withdraw;

pub use command::{ChequeOrder, Command};
pub use config::{Config, RefreshPolicy, Selection};
pub use sealed_rows::StoreKey;
pub use wallet::{Parts, Wallet};
