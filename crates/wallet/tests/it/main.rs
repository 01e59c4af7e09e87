//! The wallet against a small honest bank, against banks and shops that misbehave, and across crashes at every commit.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a failure to set up fails the test, and figures are small"
)]

mod cheque_audit;
mod cheque_bank;
mod cheques;
mod crashes;
mod enrolment;
mod every_fault;
mod flows;
mod housekeeping;
mod offline;
mod offline_bank;
mod offline_crashes;
mod quiet;
mod restore;
mod sealed;
mod tricks;
mod upgrade;
mod world;
