//! Counts instructions: a regression in the cost of an operation shows, whatever else the machine does meanwhile.
//!
//! `valgrind --tool=callgrind` runs `feiqian-guard OPERATION` and counts what its one marked function executes. Valgrind
//! shows the program a processor without AVX-512, so the AVX2 arithmetic is what is counted.
//!
//! The program is built as the tests are: dependencies, the arithmetic among them, optimised as in a release, our own crates
//! a little. So nothing is built for it alone, and what an operation does too often shows as well.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::checks;
use crate::steps::command;

/// Where the counts are kept that others are compared with.
const STORED: &str = "guard/counts.toml";
/// What is counted, in this order.
const OPERATIONS: [&str; 5] = ["sign", "sign-64", "verify", "verify-64", "deposit"];
/// How much more is a regression, in hundredths.
const TOLERANCE: u64 = 2;
/// The same when another compiler made the stored counts.
const OTHER_COMPILER: u64 = 10;
const PROGRAM: &str = "feiqian-guard";

/// The file of stored counts.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counts {
    /// What `rustc --version` said.
    rustc: String,
    /// Instructions of each operation.
    instructions: BTreeMap<String, u64>,
}

/// Counts, and compares with the stored counts or, if `update`, stores.
///
/// # Errors
/// Names every operation that takes more than the tolerance above its stored count; also when valgrind is missing and
/// cannot be installed.
pub(crate) fn run(root: &Path, update: bool) -> Result<()> {
    need_valgrind(root)?;
    let selection = checks::selection(root)?;
    command(root, "cargo", &[&["build", "--quiet", "--bin", PROGRAM], selection.as_slice()].concat(), &[])?;
    let program = target(root)?.join("debug").join(PROGRAM);
    let mut now = Counts { rustc: rustc()?, instructions: BTreeMap::new() };
    for operation in OPERATIONS {
        now.instructions.insert(operation.to_owned(), count(&program, operation)?);
    }
    let path = root.join(STORED);
    if update {
        let text = format!(
            "# Instructions, counted by `cargo xtask guard --update`; `cargo xtask guard` allows {TOLERANCE} % more.\n{}",
            toml::to_string(&now)?
        );
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        println!("written to {STORED}");
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("{STORED}: write it with --update"))?;
    compare(&toml::from_str(&text).with_context(|| STORED.to_owned())?, &now)
}

fn compare(stored: &Counts, now: &Counts) -> Result<()> {
    let tolerance = if stored.rustc == now.rustc {
        TOLERANCE
    } else {
        println!(
            "the stored counts are of {}, this is {}: {OTHER_COMPILER} % are allowed",
            stored.rustc, now.rustc
        );
        OTHER_COMPILER
    };
    let mut worse = Vec::new();
    println!("{:<10} {:>14} {:>14}", "operation", "stored", "now");
    for operation in OPERATIONS {
        let [before, after] = [stored, now].map(|counts| counts.instructions.get(operation).copied());
        let (Some(before), Some(after)) = (before, after) else {
            bail!("{STORED} has no count of {operation}: write it with `cargo xtask guard --update`");
        };
        println!("{operation:<10} {before:>14} {after:>14} {}", change(before, after));
        if u128::from(after) * 100 > u128::from(before) * u128::from(100 + tolerance) {
            worse.push(format!("{operation} takes {after} instructions, stored are {before}"));
        }
    }
    if !worse.is_empty() {
        bail!(
            "more than {tolerance} % above what is stored\n  {}\nIf that is meant: cargo xtask guard --update, and say why",
            worse.join("\n  ")
        );
    }
    Ok(())
}

/// `+1.3 %`, of whole tenths.
fn change(before: u64, after: u64) -> String {
    let sign = if after < before { '-' } else { '+' };
    let tenths = u128::from(after.abs_diff(before)) * 1000 / u128::from(before.max(1));
    format!("{sign}{}.{} %", tenths / 10, tenths % 10)
}

fn count(program: &Path, operation: &str) -> Result<u64> {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--toggle-collect=*count_instructions_of*",
        ])
        .arg(program)
        .arg(operation)
        .env("RAYON_NUM_THREADS", "1")
        .output()
        .context("valgrind does not start")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("{operation} ended with {}:\n{said}", output.status);
    }
    match collected(&said) {
        Some(count) if count > 0 => Ok(count),
        _ => bail!("valgrind counted nothing of {operation}:\n{said}"),
    }
}

/// The number in `==42== Collected : 123456`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find_map(|line| line.split_once("Collected :"))?;
    line.1.split_whitespace().next()?.parse().ok()
}

fn need_valgrind(root: &Path) -> Result<()> {
    let run = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if run.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("valgrind is missing; installing it with apt-get");
    let install = || {
        command(root, "apt-get", &["update"], &[])?;
        let quiet = [("DEBIAN_FRONTEND", "noninteractive")];
        command(root, "apt-get", &["install", "--yes", "--no-install-recommends", "valgrind"], &quiet)
    };
    install().context("instructions are counted by valgrind: install it (apt-get install valgrind)")
}

fn rustc() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("rustc does not start")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The folder that cargo builds in.
pub(crate) fn target(root: &Path) -> Result<PathBuf> {
    #[derive(Deserialize)]
    struct Metadata {
        target_directory: PathBuf,
    }
    let arguments = ["metadata", "--format-version", "1", "--no-deps"];
    let output = Command::new("cargo").args(arguments).current_dir(root).output();
    let output = output.context("cargo metadata does not start")?;
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("the answer of cargo metadata")?;
    Ok(metadata.target_directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(rustc: &str, each: u64) -> Counts {
        let instructions = OPERATIONS.into_iter().map(|name| (name.to_owned(), each)).collect();
        Counts { rustc: rustc.to_owned(), instructions }
    }

    #[test]
    fn what_valgrind_says_is_read() {
        assert_eq!(collected("==7== \n==7== Events    : Ir\n==7== Collected : 120345\n"), Some(120_345));
        assert_eq!(collected("==7== nothing"), None);
    }

    #[test]
    fn more_than_the_tolerance_fails_and_less_does_not() {
        assert!(compare(&counts("a", 1000), &counts("a", 1020)).is_ok());
        assert!(compare(&counts("a", 1000), &counts("a", 500)).is_ok());
        let error = compare(&counts("a", 1000), &counts("a", 1021)).map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("verify-64 takes 1021")));
    }

    #[test]
    fn another_compiler_is_allowed_more() {
        assert!(compare(&counts("a", 1000), &counts("b", 1100)).is_ok());
        assert!(compare(&counts("a", 1000), &counts("b", 1101)).is_err());
    }

    #[test]
    fn a_missing_count_is_no_pass() {
        let mut stored = counts("a", 1000);
        stored.instructions.remove("deposit");
        assert!(compare(&stored, &counts("a", 1000)).is_err());
    }

    #[test]
    fn changes_are_shown_in_tenths() {
        assert_eq!([change(1000, 1013), change(1000, 987)], ["+1.3 %", "-1.3 %"]);
    }
}
