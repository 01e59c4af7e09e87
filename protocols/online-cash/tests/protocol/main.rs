//! The protocol as its parties run it, and everything hostile that they may be sent.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod documents;
mod evidence;
mod funding;
mod issue;
mod keysets;
mod payments;
mod requests;
mod vectors;
mod wire;
mod world;
