//! The bodies without a fuzzer: `feiqian-fuzz-bodies list | seeds | run SECONDS [TARGET]... | judge TARGET FILE...`.

use std::process::ExitCode;
use std::time::Duration;

use feiqian_fuzz_bodies::run::{self, Effort};
use feiqian_fuzz_bodies::{Target, all, collect};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["list"] => {
            all().keys().for_each(|name| println!("{name}"));
            ExitCode::SUCCESS
        }
        ["seeds"] => make_seeds(),
        ["judge", name, files @ ..] => judge(name, files),
        ["run", seconds, names @ ..] => match seconds.parse() {
            Ok(seconds) => try_targets(seconds, names),
            Err(_) => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("usage: feiqian-fuzz-bodies list | seeds | run SECONDS [TARGET]... | judge TARGET FILE...");
    ExitCode::FAILURE
}

fn make_seeds() -> ExitCode {
    match collect::collect() {
        Ok(counts) => {
            for (name, count) in &counts {
                println!("{count:3} {name}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Says what a target says of files: of those that a fuzzer kept.
fn judge(name: &str, files: &[&str]) -> ExitCode {
    let Some(target) = feiqian_fuzz_bodies::find(name) else { return usage() };
    for file in files {
        match std::fs::read(file) {
            Ok(bytes) => println!("{file}: {:?}", (target.run)(&bytes)),
            Err(error) => println!("{file}: {error}"),
        }
    }
    ExitCode::SUCCESS
}

/// Tries each target for its part of the time, from a fresh place every run.
fn try_targets(seconds: u64, names: &[&str]) -> ExitCode {
    let targets: Vec<Target> = all()
        .into_values()
        .filter(|target| names.is_empty() || names.contains(&target.name.as_str()))
        .collect();
    if targets.is_empty() {
        eprintln!("no such target: see `list`");
        return ExitCode::FAILURE;
    }
    let count = u32::try_from(targets.len()).unwrap_or(u32::MAX);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = now.map_or(0, |now| now.as_secs());
    let time = Duration::from_secs(seconds).checked_div(count).unwrap_or_default();
    println!("seed {seed}, {} ms for each of {count} target(s)", time.as_millis());
    let mut broken = 0_u32;
    for target in &targets {
        let report = run::run(target, Effort { time, inputs: u64::MAX, seed });
        println!("{:>10} inputs, {:>9} accepted  {}", report.inputs, report.accepted, target.name);
        if let Some((input, reason)) = report.broken {
            broken = broken.saturating_add(1);
            let kept = run::keep(target, &input).map(|path| path.display().to_string());
            println!("  BROKEN: {reason}\n  {}", kept.unwrap_or_else(|error| error.to_string()));
        }
    }
    println!("{broken} target(s) broken");
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
