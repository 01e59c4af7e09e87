//! Whole-system tests: the built program, real processes, real TLS, fresh homes and free ports.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failure to set up or an unexpected answer fails the test"
)]

mod bad_input;
mod broken_disk;
mod by_hand;
mod cheque_clearing;
mod cheque_documents;
#[cfg(feature = "test-faults")]
mod cheque_faults;
mod cheque_orders;
mod cheque_tools;
mod cheques;
#[cfg(feature = "test-faults")]
mod clock;
mod damage;
mod demo;
#[cfg(feature = "test-faults")]
mod every_fault;
#[cfg(feature = "test-faults")]
mod faults;
mod faulty;
#[path = "../crates/node/tests/gullible/mod.rs"]
mod gullible;
mod hostile;
mod https;
mod instances;
mod offline;
#[cfg(feature = "test-faults")]
mod offline_faults;
mod offline_lost;
mod offline_refusals;
mod offline_tools;
mod payment_files;
mod postgres;
mod proxy;
mod races;
mod raw;
mod remittance;
mod restore;
mod revoked;
mod sealed_coins;
mod secrets;
mod simulate;
mod terminal;
mod tools;
mod world;
