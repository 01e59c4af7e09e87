//! Offline cash: the coin that needs no bank at payment.
//!
//! A payee accepts it with no connection at all and deposits later. The coin divides and passes from hand to hand,
//! offline; a second spend of any part of it is not refused but **named**: the two spends together reveal an opening
//! that only the cheat could have caused, and nobody else can be made to look guilty.
//!
//! The cryptography is [`feiqian_crypto::acl`] (blind signature with attributes) and [`feiqian_crypto::share_tree`]
//! (division with identification). This crate holds **all roles' steps** around them and nothing else: no socket, file,
//! clock or operating system randomness.
//!
//! | module | idea |
//! |---|---|
//! | [`keyset`] | ACL keys of an epoch: value coins and blanks, signed by the bank, pinned at the center |
//! | [`identity`] | a customer's *I* = *L1*·H1: registration, and the record the center keeps |
//! | [`seed`] | everything a wallet draws, derived from its seed and from all the bank said |
//! | [`withdraw`] | begin, commit, challenge, answer, finish; the statement that the customer signs |
//! | [`interval`] | the minor units of a coin that a chain covers |
//! | [`chain`] | the grammar of a chain: hops, challenges, digests |
//! | [`verify`] | checking chains, many at once |
//! | [`held`] | what a payee holds, and pieces that overlap or repeat it |
//! | [`holding`] | what a wallet can spend: nodes of its coins, and of blanks that took a piece |
//! | [`select`] | the fewest pieces for an amount |
//! | [`request`] | a payee's signed request |
//! | [`purse`] | choosing from what a wallet can spend |
//! | [`policy`] | what a payee takes without asking a bank |
//! | [`pay`] | paying a request, checking a payment before it is accepted |
//! | [`transfer`] | passing value on to a payee's blanks |
//! | [`deposit`] | what travels payee → collecting bank → issuing bank, and its outcomes |
//! | [`register`] | deposited chains per interval of minor units, and who is charged |
//! | [`accusation`] | the evidence that names a cheat, checked by anybody without secrets or servers |
//! | [`reclaim`] | value that was never deposited |
//! | [`claim`] | a charge on another bank's customer: evidence, checked by the center and that bank |
//! | [`messages`] | what travels between the roles beside the steps' own messages |
//! | [`carry`] | payments and transfers as files and as text for QR codes |
//! | [`signed`] | document signatures and certificate chains |
//! | `vectors` | feature `vectors`: the builder of the published test vectors |

pub mod accusation;
pub mod carry;
pub mod chain;
pub mod claim;
pub mod deposit;
pub mod error;
pub mod held;
pub mod holding;
pub mod identity;
pub mod interval;
pub mod keyset;
pub mod messages;
pub mod pay;
pub mod policy;
pub mod purse;
pub mod reclaim;
pub mod register;
pub mod request;
pub mod seed;
pub mod select;
pub mod signed;
pub mod transfer;
#[cfg(feature = "vectors")]
pub mod vectors;
pub mod verify;
pub mod withdraw;

pub use error::Rejection;

/// The most pieces of one payment or transfer.
pub const MAX_PIECES: usize = 64;

/// The most hops of one piece, from its value coin to its payment.
pub const MAX_HOPS: usize = 64;

/// The most coins, value coins and blanks, of one withdrawal.
pub const MAX_COINS: usize = 64;
