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
//! | [`membership`] | admission, registration and the directory of banks |
//! | [`gross`] | a presentment's life at the center under gross settlement: reserve, forward, settle or release |

pub mod gross;
pub mod membership;
pub mod presentment;
