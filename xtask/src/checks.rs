//! `ci` and `test`: the checks a change must pass, in the order that builds least.
//!
//! Format and layers need no compiler. Clippy and the documentation share the checked dependencies, so what is
//! wrong in the code shows before anything is compiled in full, which only the tests need.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::steps::{self, Step, command};
use crate::{constant_time, faultless, guard, iso20022, layers, licences, points, postgres, vectors};

/// The comparison with other schemes: what it builds is wanted nowhere else, and would change the features of what is. And
/// the check of constant time, which needs valgrind's headers.
const WITHOUT_BENCHES: [&str; 5] = ["--workspace", "--exclude", "feiqian-benches", "--exclude", "feiqian-ct"];

/// The feature that compiles the fault points into the binary under test.
const TEST_FAULTS: &str = "test-faults";

/// Everything, with timings and a summary.
///
/// # Errors
/// The first check that fails.
pub(crate) fn ci(root: &Path) -> Result<()> {
    let features = features(root)?;
    let clippy = || {
        let mut arguments = vec!["clippy", "--all-targets"];
        arguments.extend(WITHOUT_BENCHES);
        arguments.extend(&features);
        arguments.extend(["--", "-D", "warnings"]);
        command(root, "cargo", &arguments, &[])
    };
    let clippy_benches = || {
        let arguments = ["clippy", "--package", "feiqian-benches", "--all-targets", "--", "-D", "warnings"];
        command(root, "cargo", &arguments, &[])
    };
    let documentation = || {
        let mut arguments = vec!["doc", "--no-deps"];
        arguments.extend(WITHOUT_BENCHES);
        arguments.extend(&features);
        command(root, "cargo", &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
    };
    let mut all = vec![
        Step::new("format", || command(root, "cargo", &["fmt", "--all", "--check"], &[])),
        Step::new("layers", || layers::check(root)),
        Step::new("licences", || licences::check(root)),
        Step::new("clippy", clippy),
        Step::new("clippy of the benchmarks", clippy_benches),
        Step::new("documentation", documentation),
    ];
    all.extend(test_steps(root, &features, &[]));
    all.push(Step::new("instruction counts", || guard::run(root, false)));
    all.push(Step::new("constant time", || constant_time::check(root)));
    steps::run(all)
}

/// All tests, the test vectors, the second implementation that checks them, and the ISO 20022 exports against the
/// official schemas.
///
/// # Errors
/// The first of them that fails.
pub(crate) fn test(root: &Path, passed_on: &[&str]) -> Result<()> {
    let features = features(root)?;
    steps::run(test_steps(root, &features, passed_on))
}

fn test_steps<'a>(root: &'a Path, features: &'a [&'a str], passed_on: &'a [&'a str]) -> Vec<Step<'a>> {
    let build = move || {
        let mut arguments = vec!["test", "--no-fail-fast"];
        arguments.extend(WITHOUT_BENCHES);
        arguments.extend(features);
        arguments
    };
    let tests = move || {
        let cluster = postgres::start(root)?;
        let (name, url) = postgres::environment(&cluster);
        let killed = points::fresh_file(root)?;
        let variables = [(name, url.as_str()), (points::KILLED, killed.as_str())];
        command(root, "cargo", &[build(), passed_on.to_vec()].concat(), &variables)?;
        if passed_on.is_empty() { points::check(root, &killed) } else { Ok(()) }
    };
    // With words to pass on somebody looks for certain tests, and gets those.
    let on_postgres = move || {
        if passed_on.is_empty() { postgres::role_tests(root, &build()) } else { Ok(()) }
    };
    vec![
        Step::new("tests", tests),
        Step::new("tests of bank and center on PostgreSQL", on_postgres),
        Step::new("no fault point in what ships", || self::faultless(root)),
        Step::new("test vectors", || vectors::check(root)),
        Step::new("second implementation", || second_implementation(root)),
        Step::new("ISO 20022 schemas", || iso20022::check(root)),
    ]
}

/// The tests of bank and center once more, with their stores in PostgreSQL.
pub(crate) fn test_postgres(root: &Path) -> Result<()> {
    let features = features(root)?;
    let mut arguments = vec!["test"];
    arguments.extend(WITHOUT_BENCHES);
    arguments.extend(features);
    postgres::role_tests(root, &arguments)
}

/// No fault point in what ships; beside it the program that the tests were run with, if it is there.
///
/// # Errors
/// What [`faultless::check`] finds.
pub(crate) fn faultless(root: &Path) -> Result<()> {
    let program = guard::target(root)?.join("debug").join("feiqian");
    faultless::check(root, Some(&program))
}

/// What the tests build, as arguments of cargo: who builds the same again has it already.
pub(crate) fn selection(root: &Path) -> Result<Vec<&'static str>> {
    Ok([WITHOUT_BENCHES.to_vec(), features(root)?].concat())
}

/// `--features feiqian/test-faults` when the binary crate has that feature, else nothing, saying so.
fn features(root: &Path) -> Result<Vec<&'static str>> {
    let path = root.join("crates/feiqian/Cargo.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let manifest: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    if manifest.get("features").and_then(|features| features.get(TEST_FAULTS)).is_some() {
        return Ok(vec!["--features", "feiqian/test-faults"]);
    }
    println!("note: crates/feiqian has no feature `{TEST_FAULTS}`, so no fault point is compiled in");
    Ok(Vec::new())
}

fn second_implementation(root: &Path) -> Result<()> {
    if !starts("python3") {
        println!("python3 is missing; installing it with apt-get");
        command(root, "apt-get", &["update"], &[])?;
        command(root, "apt-get", &["install", "--yes", "python3"], &[("DEBIAN_FRONTEND", "noninteractive")])?;
    }
    command(root, "python3", &["docs/spec/check.py"], &[])
}

fn starts(program: &str) -> bool {
    let run = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
