//! Running scenarios: one cell, a whole sweep, one again, one made smaller.
//!
//! | module | idea |
//! |---|---|
//! | [`plan`] | the cells of a scenario: every value of every sweep with every seed |
//! | [`cell`] | one cell, from its first node to its verdict |
//! | `look` | what stands in the stores of a world at one moment |
//! | [`files`] | what a run leaves on disk, and what of it can be used again |
//! | `panics` | a run in which anything panicked is no result |
//! | [`matrix`] | all cells of a plan, several at a time |
//! | [`study`] | from a file to results on disk |
//! | [`gather`] | runs from several folders: which of them are replicates of one cell, in which order |
//! | [`merge`] | means and intervals over replicates; assertions |
//! | [`again`] | replay, verify, shrink |
//! | [`compare`] | two results beside each other |
//! | [`expression`] | the language of assertions |
//! | [`soak`] | simulated months, and whether tables stay bounded |

pub mod again;
pub mod cell;
pub mod compare;
pub mod expression;
pub mod files;
pub mod gather;
mod look;
pub mod matrix;
pub mod merge;
pub(crate) mod panics;
pub mod plan;
pub mod soak;
pub mod study;

/// The version that goes into manifests: a cell of another version is not used again.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
