//! A merchant at its bank, in memory: real keys, certificates, coins and proofs.
#![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]
#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "a panic fails the test")]
#![allow(missing_docs, reason = "tests")]

mod bank;
mod cheques;
mod every_fault;
mod housekeeping;
mod offline;
mod offline_bank;
mod pay;
#[path = "../../../node/tests/wires/mod.rs"]
#[allow(dead_code, reason = "another role's tests need it")]
mod wires;
