//! Where a test kills its node, for the check that every commit is killed at somewhere.

use std::io::Write as _;

/// The environment variable with the file to which the names of such commits are appended, one a line.
pub const KILLED: &str = "FEIQIAN_KILLED";

/// Notes that a test kills its node at the commit of this name.
pub fn note_killed(point: &str) {
    if let Some(path) = std::env::var_os(KILLED) {
        append(&path, &format!("{point}\n"));
    }
}

/// Appends to a file that other processes append to.
pub(crate) fn append(path: &std::ffi::OsStr, lines: &str) {
    let written = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(lines.as_bytes()));
    if let Err(error) = written {
        tracing::error!(%error, "the names of commits cannot be written");
    }
}
