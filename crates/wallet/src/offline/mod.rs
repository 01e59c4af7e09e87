//! Offline cash: coins that pay without a bank, blanks that take value from hand to hand.
//!
//! | module | idea |
//! |---|---|
//! | [`tables`], `rows` | what the store keeps |
//! | `members` | the center's offline log and the exposed coins, kept for use without a network |
//! | `identity` | the owner's offline identity: registered once, attested by the center |
//! | `session`, `withdraw` | one withdrawal from plan to coins, resumable at every commit |
//! | `restore` | coins that the bank knows of and this store does not: they are reclaimed, never spent |
//! | `purse` | what can be spent now, and **the rule** |
//! | `pay` | paying a request by file or text |
//! | `offer`, `pass` | the two sides of a transfer from hand to hand |
//! | `deposit` | value back onto the own account |
//! | `reclaim` | value that was never deposited |
//! | `wrong` | messages that are for another command |
//!
//! # The rule
//!
//! A coin or blank never answers twice for one unit: of the nodes that it answered, ever, no two overlap. Whoever breaks it
//! is named and charged. So the purse is made of what the store has no answer of; the answers and the message's bytes
//! are stored in one commit, which checks the rule again, before the first byte leaves; and a repeat gives the stored
//! bytes.
//!
//! A store that does not know what the bank does (rebuilt from the words, or put back to an older state) may not know
//! what its coins answered either. The bank tells by answering a request id that this store thinks is new: ids are
//! counted and drawn from the seed alone for just this reason. From then on **no coin or blank of before gives a share**,
//! and its value is reclaimed.

pub(crate) mod audit;
mod balance;
mod deposit;
mod identity;
mod members;
mod offer;
mod pass;
mod pay;
mod purse;
mod reclaim;
mod restore;
pub(crate) mod rows;
mod session;
pub mod tables;
mod withdraw;
mod wrong;

pub(crate) use balance::Offline;
pub(crate) use members::read_offline;
