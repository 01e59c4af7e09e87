//! `soak`: a world of production nodes that lives for simulated months, with an audit every day.

use std::path::Path;

use anyhow::Result;

use crate::steps::command;

/// `[--minutes N] [--seed N]`.
///
/// # Errors
/// When an audit found something, a table grew that should be bounded, or a word is not understood.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    let build = ["run", "--quiet", "--release", "--package", "feiqian-sim", "--example", "soak", "--"];
    command(root, "cargo", &[build.as_slice(), arguments].concat(), &[])
}
