//! Value as it goes from hand to hand and back to the bank, and everything hostile on the way.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod carrying;
mod chains;
mod deposits;
mod histories;
mod passing;
mod paying;
mod world;
