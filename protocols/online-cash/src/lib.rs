//! Online cash: the coin that its issuing bank is asked about at payment.
//!
//! A coin is a key pair whose public key the bank has blind-signed with *Snowblind* (Crites, Komlo, Maller,
//! Tessaro, Zhu, CRYPTO 2023) under a denomination key. Spending is signing with the secret key; the issuing
//! bank keeps what each coin has given and refuses what exceeds its value.
//!
//! This crate holds **all roles' steps** of the protocol and nothing else: no socket, file, clock or operating
//! system randomness. Messages are plain serde types; steps are types that are consumed.
//!
//! | module | idea |
//! |---|---|
//! | [`keyset`] | denomination keys of an epoch, the center's append-only log of pinned keysets |
//! | [`seed`] | everything a wallet draws, derived from its seed and from all the bank said |
//! | [`coin`] | the coin in a wallet, and what it shows of itself |
//! | [`issue`] | begin, finish: blind issuance, one mechanism for four sources of funds |
//! | [`funding`] | what pays for an issuance, and the refresh statement that signs for it |
//! | [`request`] | a payee's signed request and its `feiqian:` text |
//! | [`payment`] | paying a request with contributions of coins; verifying, singly and in batches |
//! | [`deposit`] | what travels payee → collecting bank → center → issuing bank, and its outcomes |
//! | [`evidence`] | signed statements that together exceed a coin's value: a double spend anyone can check |
//! | [`refund`] | a payee gives back, the payer claims it anonymously |
//! | [`drop_box`] | sealed messages that wait at a bank for a wallet that is not listening |
//! | [`recovery`] | what a wallet that has nothing but its words asks of the banks |
//! | [`account`] | enrolment, balance, deposits as the customer sees them |
//! | `vectors` | feature `vectors`: the builder of the published test vectors |

pub mod account;
pub mod coin;
pub mod deposit;
pub mod drop_box;
pub mod error;
pub mod evidence;
pub mod funding;
pub mod issue;
pub mod keyset;
pub mod payment;
pub mod recovery;
pub mod refund;
pub mod request;
pub mod seed;
pub mod signed;
#[cfg(feature = "vectors")]
pub mod vectors;

pub use error::Rejection;

/// The most coins, inputs or outputs that one message may carry.
///
/// 256 coins of powers of two pay any amount a 64-bit ledger can hold several times over; the bound keeps the
/// work of one message below ten milliseconds.
pub const MAX_COINS: usize = 256;
