//! Whole-system tests: the built program, real processes, real TLS, fresh homes and free ports.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a failure to set up or an unexpected answer fails the test"
)]

mod bad_input;
mod by_hand;
mod damage;
mod demo;
#[cfg(feature = "test-faults")]
mod faults;
mod https;
mod races;
mod simulate;
mod tools;
mod world;
