//! Seeded worlds of production nodes in virtual time: faults, adversaries, audits, and a report.
//!
//! A [`Source`] is a scenario's TOML file laid over the defaults; [`Scenario`] is what it says. [`World`] is made of it:
//! the roles' own crates on a simulated network with stores in memory. [`run::cell`] runs one world from its first node
//! to its verdict, [`run::study`] all cells of a sweep to results on disk.
//!
//! ```text
//! scenario ── plan ── cells ─┬─ world: nodes, network, faults ◀── adversary
//!                            ├─ workload ── customers ── payments
//!                            ├─ measure ── summary.json, series.csv
//!                            └─ audit ── verdict ── report.html
//! ```
//!
//! A world is a function of (scenario, seed, version). One thread and a paused clock run it; every random choice comes from
//! a named stream of the seed; a lint keeps wall clocks, the machine's randomness and hash-map order out.
//!
//! # A measure of one's own
//!
//! ```
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use feiqian_sim::world::wire::{Call, Tap};
//! use feiqian_sim::world::{Watch, World};
//! use feiqian_sim::{SimError, Source};
//!
//! /// Counts what arrives at shops.
//! #[derive(Default)]
//! struct Counter(AtomicU64);
//!
//! impl Tap for Counter {
//!     fn saw(&self, call: &Call<'_>) {
//!         if call.path == "/v1/pay" {
//!             self.0.fetch_add(1, Ordering::Relaxed);
//!         }
//!     }
//! }
//!
//! let scenario = Source::parse("[population]\nwallets = 2\nmerchants = { count = 1 }", "")?.scenario()?;
//! let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
//! runtime.block_on(async {
//!     let world = World::build(&scenario, Watch::default()).await?;
//!     let counter = Arc::new(Counter::default());
//!     world.fabric().tap(Arc::clone(&counter) as _);
//!     let (shop, wallet) = (world.merchants()[0], world.wallets()[0]);
//!     world.command(wallet, serde_json::json!({"command": "withdraw", "amount": "5.00"})).await?;
//!     let asked = serde_json::json!({"command": "request", "amount": "1.25", "order": "one"});
//!     let uri = world.command(shop, asked).await?["uri"].clone();
//!     world.command(wallet, serde_json::json!({"command": "pay", "uri": uri})).await?;
//!     assert_eq!(counter.0.load(Ordering::Relaxed), 1);
//!     world.end().await;
//!     Ok::<(), SimError>(())
//! })?;
//! # Ok::<(), SimError>(())
//! ```

pub mod adversary;
pub mod audit;
pub mod error;
pub mod machine;
pub mod measure;
pub mod report;
pub mod run;
pub mod scenario;
pub mod workload;
pub mod world;

pub use error::SimError;
pub use scenario::{Scenario, Source};
pub use world::World;
