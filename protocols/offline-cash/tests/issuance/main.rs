//! Keysets, identities, withdrawals, accusations and claims: banks, a center and customers, honest and modified.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod accusations;
mod choice;
mod claims;
mod keysets;
mod registration;
mod vectors;
mod withdrawals;
mod world;
