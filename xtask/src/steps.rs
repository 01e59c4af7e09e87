//! Steps of a check: each is announced, timed and listed in a summary; the first that fails is the last.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

/// One step: what it is called, and what it does.
pub(crate) struct Step<'a> {
    name: &'static str,
    work: Box<dyn FnOnce() -> Result<()> + 'a>,
}

impl<'a> Step<'a> {
    pub(crate) fn new(name: &'static str, work: impl FnOnce() -> Result<()> + 'a) -> Self {
        Self { name, work: Box::new(work) }
    }
}

/// Runs the steps in order, prints a summary with the time each took.
///
/// # Errors
/// The first step's error; later steps are not run and are listed so.
pub(crate) fn run(steps: Vec<Step<'_>>) -> Result<()> {
    let count = steps.len();
    let begun = Instant::now();
    let mut summary = Vec::with_capacity(count);
    let mut failure = None;
    for (index, Step { name, work }) in steps.into_iter().enumerate() {
        if failure.is_some() {
            summary.push(format!("  not run             {name}"));
            continue;
        }
        println!("\n==> {}/{count} {name}", index + 1);
        let started = Instant::now();
        let outcome = work();
        let verdict = if outcome.is_ok() { "ok     " } else { "FAILED " };
        summary.push(format!("  {verdict} {:>9}   {name}", seconds(started.elapsed())));
        failure = outcome.err().map(|error| error.context(name));
    }
    println!("\n{}\n  in all  {:>9}", summary.join("\n"), seconds(begun.elapsed()));
    failure.map_or(Ok(()), Err)
}

fn seconds(time: Duration) -> String {
    format!("{}.{:01} s", time.as_secs(), time.subsec_millis() / 100)
}

/// Prints and runs a command in `root`, its output going where ours goes.
///
/// # Errors
/// When it cannot be started or ends other than with success.
pub(crate) fn command(
    root: &Path,
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<()> {
    let shown: Vec<String> = environment.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
    let line = [
        shown.as_slice(),
        &[program.to_owned()],
        &arguments.iter().map(|&a| a.to_owned()).collect::<Vec<_>>(),
    ]
    .concat()
    .join(" ");
    println!("$ {line}");
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root)
        .status()
        .with_context(|| format!("`{program}` does not start"))?;
    if !status.success() {
        bail!(anyhow!("`{line}` ended with {status}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::cell::RefCell;

    use super::*;

    #[test]
    fn the_first_failure_stops_the_rest_and_is_named() {
        let seen = RefCell::new(Vec::new());
        let step = |name: &'static str, good: bool| {
            let seen = &seen;
            Step::new(name, move || {
                seen.borrow_mut().push(name);
                if good { Ok(()) } else { bail!("broken") }
            })
        };
        let error = run(vec![step("one", true), step("two", false), step("three", true)]).unwrap_err();
        assert_eq!(format!("{error:#}"), "two: broken");
        assert_eq!(*seen.borrow(), ["one", "two"]);
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        let here = Path::new(".");
        command(here, "true", &[], &[]).unwrap();
        assert!(command(here, "false", &[], &[]).unwrap_err().to_string().contains("`false` ended with"));
        assert!(command(here, "no-such-program-at-all", &[], &[]).is_err());
    }
}
