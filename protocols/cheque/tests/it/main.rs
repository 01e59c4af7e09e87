//! E-cheques: documents, forgeries, times, the register, pages, and what `openssl` says.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    missing_docs,
    reason = "a test fails by panicking"
)]

mod codes;
mod documents;
mod forgeries;
mod mutations;
mod openssl;
mod pages;
mod register;
mod times;
mod vectors;
mod words;
mod world;
