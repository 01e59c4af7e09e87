//! Clearing: how items of value pass from the collecting bank through the center to the bank that owes them, and
//! how what the banks then owe each other is settled.
//!
//! One presentment protocol serves every kind of item; this crate knows none of them: an item and its outcome
//! are type parameters. Every hop is idempotent by presentment id, stored before it is sent and retried until it
//! is answered.
//!
//! | module | idea |
//! |---|---|
//! | [`presentment`] | what travels, and its id |
//! | [`remittance`] | credit transfers between banks |
//! | [`cleared`] | what a bank that lost its newest records asks |
//! | [`finality`] | which items a cycle settled, and which it unwound |
//! | [`membership`] | admission, registration and the directory of banks |
//! | [`gross`] | a presentment's life at the center under gross settlement: reserve, forward, settle or release |
//! | `vectors` | feature `vectors`: the builder of the published test vectors |
//! | [`net`] | multilateral net positions of a cycle, prefunded caps |
//! | [`gridlock`] | which queued items can go together when none can go alone |
//! | [`iso20022`] | exports as messages banks exchange |

pub mod cleared;
pub mod finality;
pub mod gridlock;
pub mod gross;
pub mod iso20022;
pub mod membership;
pub mod net;
pub mod presentment;
pub mod remittance;
#[cfg(feature = "vectors")]
pub mod vectors;

#[cfg(test)]
mod testing;
