//! Offline cash at the bank: the coin that needs no bank at payment.
//!
//! | module | idea |
//! |---|---|
//! | `keys` | offline keysets: schedule, rotation, pinning |
//! | `identity` | registering a customer's *I*, collateral, closing |
//! | `collateral` | when it goes back |
//! | `sessions`, `withdraw` | begin, commit, finish, recover |
//! | `register` | deposited chains per interval of minor units, as rows |
//! | `settle` | taking a payment: circulation, charges, claims, in one transaction |
//! | `deposit` | the collecting side, the issuing side |
//! | `accused` | extracting an opening, accusations, what account and collateral pay |
//! | `parts` | money on its way to a payee or to the bank that claims |
//! | `claims` | what is still owed: paid pro rata when due, by another bank, on to payees |
//! | `evidence` | what a claim on another bank shows |
//! | `overdue` | a claim on this bank that the center has ended for want of an answer |
//! | `exposed` | the list of coins that were spent twice |
//! | `reclaim`, `decide` | value that was never deposited: claims are filed, and decided when due |

mod accused;
mod claims;
mod collateral;
mod decide;
mod deposit;
mod evidence;
mod exposed;
mod identity;
mod keys;
mod overdue;
mod parts;
mod reclaim;
pub(crate) mod register;
pub(crate) mod sessions;
mod settle;
pub(crate) mod tables;
mod withdraw;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};

pub use accused::AccusationLine;
pub(crate) use accused::AccusationRow;
pub(crate) use claims::{ClaimRow, book_claim_outcome};
pub(crate) use collateral::end_identity;
pub(crate) use identity::IdentityRow;
pub(crate) use overdue::overdue_reference;
pub(crate) use parts::{REFUSED, take_back_part};
pub(crate) use reclaim::ReclaimRow;
pub(crate) use sessions::SessionRow;
pub(crate) use settle::PaymentRow;

use keys::Ring;
use sessions::Sessions;

/// What a running bank keeps of offline cash in memory.
#[derive(Default)]
pub(crate) struct Offline {
    pub(crate) ring: ArcSwap<Ring>,
    sessions: Mutex<Sessions>,
    /// As of when the center has the exposed list, Unix seconds; 0 before.
    pub(crate) list_brought: AtomicU64,
    /// The exposed list as it was signed last, unless a coin was added since.
    pub(crate) list_shown: ArcSwapOption<exposed::Shown>,
}

impl Offline {
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
