//! Whole worlds.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod adversaries;
mod soak;
mod studies;
mod worlds;
