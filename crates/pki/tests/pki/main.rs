//! Certificates as a whole: what is accepted, what is refused and why, and whether OpenSSL agrees.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at the first surprise"
)]

mod chains;
mod encodings;
mod lists;
mod openssl;
mod requests;
mod world;
