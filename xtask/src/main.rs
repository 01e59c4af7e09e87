//! Checks and chores: `cargo xtask <command>`.
//!
//! Every command prints what it does, names what it found and exits non-zero when a check fails.

mod bench_table;
mod checks;
mod constant_time;
mod faultless;
mod fuzz;
mod guard;
mod iso20022;
mod layers;
mod licences;
mod points;
mod postgres;
mod soak;
mod steps;
mod tidy;
mod vectors;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask <command>

  ci                 everything a change must pass: format, layers, clippy, docs, tests
  test [ARG]...      all tests, those of bank and center on PostgreSQL too, the test vectors, the second
                     implementation, the ISO 20022 schemas; ARGs go to `cargo test`
  test-postgres      only the tests of bank and center with their stores in PostgreSQL
  iso20022           only the ISO 20022 exports against the official schemas
  faultless          nothing that ships can be told to kill itself at a fault point
  constant-time      no branch and no address depends on a secret (valgrind, x86-64)
  layers             no crate depends on its own layer or a higher one; no role crate enables `hazmat`
  licences           licence, origin and bans of every crate of others, as deny.toml allows
  vectors [--check]  write docs/spec/vectors/*.json; with --check compare instead
  bench-table [--json]
                     the table of the last `cargo bench -p feiqian-benches`, in markdown or JSON
  fuzz [TARGET]... [--seconds N] | --list | --seeds
                     hostile input for N seconds (60), with libFuzzer where nightly and cargo-fuzz are;
                     all targets, or those named; what there is; the seeds made anew
  guard [--update]   instructions of signing, verifying and a deposit against the stored counts;
                     with --update store them
  soak [--minutes N] [--seed N]
                     simulated months of all roles for N minutes (60), an audit every simulated day, and no
                     table that should be bounded grows
  tidy               broken relative links, unfinished code; lists files over 600 lines";

fn main() -> ExitCode {
    match run(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut arguments: Vec<String>) -> Result<()> {
    let root = workspace_root()?;
    if arguments.is_empty() {
        bail!("no command\n\n{USAGE}");
    }
    let command = arguments.remove(0);
    let rest: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match (command.as_str(), rest.as_slice()) {
        ("ci", []) => checks::ci(&root),
        ("test", passed_on) => checks::test(&root, passed_on),
        ("iso20022", []) => iso20022::check(&root),
        ("test-postgres", []) => checks::test_postgres(&root),
        ("constant-time", []) => constant_time::check(&root),
        ("faultless", []) => checks::faultless(&root),
        ("layers", []) => layers::check(&root),
        ("licences", []) => licences::check(&root),
        ("vectors", []) => vectors::write(&root),
        ("vectors", ["--check"]) => vectors::check(&root),
        ("bench-table", []) => bench_table::print(&root, false),
        ("bench-table", ["--json"]) => bench_table::print(&root, true),
        ("fuzz", arguments) => fuzz::run(&root, arguments),
        ("guard", []) => guard::run(&root, false),
        ("guard", ["--update"]) => guard::run(&root, true),
        ("soak", arguments) => soak::run(&root, arguments),
        ("tidy", []) => tidy::check(&root),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => bail!("not a command: {command} {}\n\n{USAGE}", rest.join(" ")),
    }
}

/// The folder above this package, wherever the command was typed.
fn workspace_root() -> Result<PathBuf> {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map(Path::to_path_buf)
        .context("the xtask package has no parent folder")
}
