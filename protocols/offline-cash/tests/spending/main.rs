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
mod covers;
mod deposits;
mod elsewhere;
mod foreign;
mod forks;
mod grinding;
mod histories;
mod many;
mod passing;
mod paying;
mod sizes;
mod world;
