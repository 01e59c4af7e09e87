//! Nodes over real TLS on loopback, and the same router in memory.
#![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]
#![allow(clippy::arithmetic_side_effects, reason = "small numbers of the test itself")]
#![allow(missing_docs, reason = "a test has no readers of its interface")]

mod callers;
mod contact;
mod fair;
#[path = "../gullible/mod.rs"]
mod gullible;
mod members;
mod memory;
mod server;
mod world;
