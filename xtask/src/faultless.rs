//! `faultless`: what ships cannot be told to kill itself.
//!
//! Fault points exist only under the feature `test-faults`. Two things are held: the binary, as it is built for people, has
//! that feature nowhere in its tree; and the libraries that would hold the points, built so, contain none of the variables
//! that tests set, nor what watches messages. The program under test does contain what tests tell it by.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::tidy;

const FEATURE: &str = "test-faults";
/// What a process under test reads: where it is to die, where it writes down what it came by and where it died, and by how
/// much its clock is wrong; and what is said where messages are watched twice.
const SIGNS: [&[u8]; 5] = [
    b"FEIQIAN_FAULT",
    b"FEIQIAN_FAULT_TRACE",
    b"FEIQIAN_KILLED",
    b"FEIQIAN_CLOCK",
    b"somebody watches the messages",
];
/// What only the tests themselves read: which stores they are to use.
const TESTS_OWN: [&[u8]; 2] = [b"FEIQIAN_TEST_STORE", b"FEIQIAN_TEST_POSTGRES"];
/// The crates that hold fault points.
const HOLDERS: [&str; 2] = ["feiqian-store", "feiqian-node"];

/// What is read of a message of cargo.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    target: Option<Target>,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Holds both; `under_test` is the program that the tests were run with, where it was built.
///
/// # Errors
/// Says what would ship, or that the check looks at nothing.
pub(crate) fn check(root: &Path, under_test: Option<&Path>) -> Result<()> {
    if enabled(root, &[])? {
        bail!("`cargo build` switches the feature `{FEATURE}` on");
    }
    if !enabled(root, &["--features", "feiqian/test-faults"])? {
        bail!("cargo does not show the feature `{FEATURE}` where it is on: this check sees nothing");
    }
    let libraries = libraries(root)?;
    for library in &libraries {
        let told = [found(library, &SIGNS)?, found(library, &TESTS_OWN)?].concat();
        if !told.is_empty() {
            bail!("{} can be told by tests what to do: {told:?}", library.display());
        }
    }
    if let Some(program) = under_test.filter(|program| program.exists()) {
        let told = found(program, &SIGNS)?;
        if told.len() != SIGNS.len() {
            bail!("{} hears of nothing but {told:?}: the tests kill nobody", program.display());
        }
    }
    println!("no fault point without `{FEATURE}`: {} libraries were searched", libraries.len());
    Ok(())
}

/// Whether the program has the feature anywhere below it, built so.
fn enabled(root: &Path, more: &[&str]) -> Result<bool> {
    let arguments =
        ["tree", "--package", "feiqian", "--edges", "normal", "--prefix", "none", "--format", "{f}"];
    let text = output(root, &[&arguments, more].concat())?;
    let mut features = text.lines().flat_map(|line| line.split([',', ' ']));
    Ok(features.any(|feature| feature == FEATURE))
}

fn output(root: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new("cargo").args(arguments).current_dir(root).output();
    let output = output.context("cargo does not start")?;
    if !output.status.success() {
        bail!("cargo {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Builds the libraries that hold fault points as they ship; where they are.
fn libraries(root: &Path) -> Result<Vec<PathBuf>> {
    let mut arguments = vec!["build", "--quiet", "--lib", "--message-format", "json"];
    arguments.extend(HOLDERS.iter().flat_map(|package| ["--package", *package]));
    let text = output(root, &arguments)?;
    let mut found = Vec::new();
    for line in text.lines() {
        let message: Message = serde_json::from_str(line).context("a message of cargo")?;
        let is_holder = |target: &Target| HOLDERS.iter().any(|name| name.replace('-', "_") == target.name);
        if message.reason == "compiler-artifact" && message.target.as_ref().is_some_and(is_holder) {
            found.extend(message.filenames.into_iter().filter(|file| tidy::is(file, "rlib")));
        }
    }
    if found.len() != HOLDERS.len() {
        bail!("cargo built {found:?} of {HOLDERS:?}");
    }
    Ok(found)
}

/// Which of these a file contains.
fn found(file: &Path, signs: &[&[u8]]) -> Result<Vec<String>> {
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let found = signs.iter().filter(|sign| bytes.windows(sign.len()).any(|window| window == **sign));
    Ok(found.map(|sign| String::from_utf8_lossy(sign).into_owned()).collect())
}
