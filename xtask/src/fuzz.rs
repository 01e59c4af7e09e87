//! `fuzz`: hostile input for as long as one likes, with libFuzzer where it is installed.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::steps::command;

/// The package that holds the bodies, also its program's name.
const BODIES: &str = "feiqian-fuzz-bodies";

/// Seconds when nobody says how many.
const SECONDS: u64 = 60;

/// The longest input libFuzzer makes, bytes; and the most memory one may take, MiB.
const LONGEST: &str = "-max_len=262144";
const MEMORY: &str = "-malloc_limit_mb=256";

/// `[TARGET]... [--seconds N]`, `--list` or `--seeds`.
///
/// # Errors
/// When a rule broke, or a word is not understood.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Result<()> {
    match arguments {
        ["--list"] => return bodies(root, &["list"]),
        ["--seeds"] => return bodies(root, &["seeds"]),
        _ => {}
    }
    let (targets, seconds) = read(arguments)?;
    if !has_fuzzer() {
        println!(
            "no nightly toolchain with cargo-fuzz here: the built-in mutator runs instead, without coverage"
        );
        println!("(`rustup toolchain install nightly` and `cargo install cargo-fuzz` bring them)");
        let seconds = seconds.to_string();
        return bodies(root, &[&["run", seconds.as_str()], targets.as_slice()].concat());
    }
    let known = list(root)?;
    let wanted = match targets.as_slice() {
        [] => known,
        _ => targets.iter().map(|&target| target.to_owned()).collect(),
    };
    let each = seconds.checked_div(u64::try_from(wanted.len())?).unwrap_or(0).max(1);
    let mut broken = Vec::new();
    for target in &wanted {
        if let Err(error) = one(root, target, each) {
            println!("{error:#}");
            broken.push(target.as_str());
        }
    }
    println!("{} target(s), {each} s each; broken: {}", wanted.len(), broken.len());
    if broken.is_empty() { Ok(()) } else { bail!("broken: {}", broken.join(", ")) }
}

fn read<'a>(arguments: &[&'a str]) -> Result<(Vec<&'a str>, u64)> {
    let (mut targets, mut seconds) = (Vec::new(), SECONDS);
    let mut words = arguments.iter();
    while let Some(&word) = words.next() {
        match word {
            "--seconds" => {
                let number = words.next().context("--seconds needs a number")?;
                seconds = number.parse().with_context(|| format!("`{number}` is no number of seconds"))?;
            }
            _ if word.starts_with('-') => bail!("`{word}` is not an option of fuzz"),
            target => targets.push(target),
        }
    }
    Ok((targets, seconds))
}

fn bodies(root: &Path, arguments: &[&str]) -> Result<()> {
    let build = ["run", "--quiet", "--release", "--package", BODIES, "--"];
    command(root, "cargo", &[build.as_slice(), arguments].concat(), &[])
}

fn list(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["run", "--quiet", "--release", "--package", BODIES, "--", "list"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .context("cargo does not start")?;
    if !output.status.success() {
        bail!("the list of targets could not be had");
    }
    Ok(String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect())
}

/// Whether a nightly compiler and cargo-fuzz answer.
fn has_fuzzer() -> bool {
    let quiet = |arguments: &[&str]| {
        let run = Command::new("cargo").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        run.is_ok_and(|status| status.success())
    };
    quiet(&["+nightly", "--version"]) && quiet(&["+nightly", "fuzz", "--version"])
}

/// One target under libFuzzer. What it finds goes on in `fuzz/corpus`, the committed seeds stay as they are.
fn one(root: &Path, target: &str, seconds: u64) -> Result<()> {
    let (corpus, seeds) = (format!("fuzz/corpus/{target}"), format!("fuzz/seeds/{target}"));
    std::fs::create_dir_all(root.join(&corpus)).with_context(|| corpus.clone())?;
    let artifacts = format!("-artifact_prefix=fuzz/artifacts/{target}-");
    std::fs::create_dir_all(root.join("fuzz/artifacts"))?;
    let time = format!("-max_total_time={seconds}");
    let mut arguments = vec!["+nightly", "fuzz", "run", "one", corpus.as_str()];
    if root.join(&seeds).is_dir() {
        arguments.push(&seeds);
    }
    arguments.extend(["--", &time, LONGEST, MEMORY, "-verbosity=0", "-print_final_stats=1", &artifacts]);
    command(root, "cargo", &arguments, &[("FEIQIAN_FUZZ_TARGET", target)])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn words_are_targets_and_seconds() {
        assert_eq!(read(&[]).unwrap(), (vec![], SECONDS));
        assert_eq!(read(&["Payment", "--seconds", "5", "amount"]).unwrap(), (vec!["Payment", "amount"], 5));
        for wrong in [&["--seconds"][..], &["--seconds", "x"], &["--fast"]] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }
}
