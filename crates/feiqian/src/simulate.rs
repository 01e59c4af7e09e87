//! `feiqian simulate`, `report`, `compare`: worlds in virtual time, with the nodes that run in real time.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use feiqian_sim::run::cell::{Options, Progress};
use feiqian_sim::run::matrix::Work;
use feiqian_sim::run::{again, compare as comparison, files, plan::Plan, study};
use feiqian_sim::{SimError, Source, scenario};
use feiqian_wire::error::{Code, Fault};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::{Compare, Report, Simulate};
use crate::output;

/// A finding of an audit, or an assertion that does not hold.
const BROKEN: u8 = 4;

/// Steps of the progress bar for each world.
const STEPS: u64 = 1000;

/// Runs `work` beside the runtime's own threads, since a world has a runtime of its own, and lets Ctrl-C stop it.
async fn aside<T: Send + 'static>(
    work: impl FnOnce(Arc<AtomicBool>) -> Result<T, SimError> + Send + 'static,
) -> Result<T, Fault> {
    let interrupt = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&interrupt);
    let listening = tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let done = tokio::task::spawn_blocking(move || work(interrupt)).await;
    listening.abort();
    let done = done.map_err(|error| Fault::new(Code::Internal, format!("the simulation failed: {error}")))?;
    Ok(done?)
}

/// `feiqian simulate`: answers the exit code.
///
/// # Errors
/// `USAGE` for a scenario that makes no sense, `INTERNAL` when a world or the disk fails, `UNAVAILABLE` when interrupted.
pub(crate) async fn run(args: Simulate, as_json: bool) -> Result<u8, Fault> {
    if args.print_default {
        output::line(scenario::DEFAULT.trim_end());
        return Ok(0);
    }
    if let Some(manifest) = args.replay.clone() {
        return replay(manifest, args.until_event, as_json).await;
    }
    let source = source(&args)?;
    if args.shrink {
        return shrink(source, &args.out, as_json).await;
    }
    let plan = Plan::new(&source, &args.out)?;
    if args.check {
        output::result(&plan.explain(), as_json);
        return Ok(0);
    }
    let plan = plan.shard(args.shard);
    if args.verify {
        return verify(plan, as_json).await;
    }
    let cells = plan.cells.len();
    let bar = bar(cells, as_json);
    let work = Work {
        jobs: args
            .jobs
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get)),
        resume: args.resume,
        until_event: args.until_event,
        progress: Some(tell(cells, bar.clone())),
        ..Work::default()
    };
    let study = aside(move |interrupt| study::run(&plan, &Work { interrupt, ..work })).await;
    bar.finish_and_clear();
    let study = study?;
    // Exactly one object is printed: a failed cell is a fault, and what is complete lies in the folder.
    if study.failed.is_empty() || !as_json {
        output::result(&study.json(), as_json);
    }
    if !study.failed.is_empty() {
        let reason = study.failed.first().map(|(_, reason)| reason.clone()).unwrap_or_default();
        return Err(Fault::new(Code::Internal, format!("{} cell(s) failed: {reason}", study.failed.len()))
            .hint("the others are complete: the same command with --resume runs only what is missing"));
    }
    Ok(if study.held() { 0 } else { BROKEN })
}

/// The scenario with what was set on the command line.
fn source(args: &Simulate) -> Result<Source, Fault> {
    let file = args.file.as_deref().ok_or_else(|| Fault::new(Code::Usage, "which scenario?"))?;
    let mut source = Source::load(file)?;
    for setting in &args.set {
        let (path, value) = setting
            .split_once('=')
            .ok_or_else(|| Fault::new(Code::Usage, format!("--set {setting}: write PATH=VALUE")))?;
        source.set(path.trim(), value.trim())?;
    }
    if let Some(seed) = args.seed {
        source.set("seed", &seed.to_string())?;
    }
    if let Some(trace) = &args.trace {
        let whole = std::path::absolute(trace).map_err(|error| Fault::new(Code::Usage, error.to_string()))?;
        source.put("workload.trace", whole.display().to_string().into())?;
    }
    Ok(source)
}

async fn replay(manifest: std::path::PathBuf, until_event: Option<u64>, as_json: bool) -> Result<u8, Fault> {
    let replayed = aside(move |interrupt| {
        again::replay(&manifest, &Options { until_event, interrupt, ..Options::default() })
    })
    .await?;
    let outcome = &replayed.outcome;
    let result = json!({
        "same_events": replayed.same,
        "made_by_version": replayed.other_version,
        "digest": outcome.digest,
        "events": outcome.summary.get("events"),
        "verdict": outcome.summary.get("verdict"),
        "held": outcome.held,
    });
    output::result(&result, as_json);
    Ok(if outcome.held && replayed.same != Some(false) { 0 } else { BROKEN })
}

async fn verify(plan: Plan, as_json: bool) -> Result<u8, Fault> {
    let twice =
        aside(move |interrupt| again::verify(&plan, &Options { interrupt, ..Options::default() })).await?;
    let same = |one: &again::Twice| {
        let [first, second] = &one.digests;
        first == second
    };
    let all = twice.iter().all(same);
    let cells = twice.iter().map(|one| {
        let [first, second] = &one.digests;
        json!({"values": one.values, "seed": one.seed, "same_events": same(one), "first": first, "second": second})
    });
    output::result(&json!({"same_events": all, "cells": cells.collect::<Vec<_>>()}), as_json);
    Ok(if all { 0 } else { BROKEN })
}

async fn shrink(source: Source, out: &Path, as_json: bool) -> Result<u8, Fault> {
    let shrunk = aside(move |interrupt| again::shrink(&source, &Options { interrupt, ..Options::default() }));
    let (smallest, tried) = shrunk.await?;
    files::make_folder(out)?;
    let path = out.join("shrunk.toml");
    let text =
        toml::to_string(smallest.tree()).map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
    files::write(&path, text.as_bytes())?;
    let scenario = smallest.scenario()?;
    let result = json!({
        "scenario": path.display().to_string(),
        "worlds_tried": tried,
        "wallets": scenario.population.wallets,
        "faults": scenario.fault.len(),
        "adversaries": scenario.adversary.len(),
    });
    output::result(&result, as_json);
    Ok(BROKEN)
}

/// `feiqian report`
///
/// # Errors
/// `USAGE` where there is no complete run; `INTERNAL` when the disk refuses.
pub(crate) fn report(args: &Report, as_json: bool) -> Result<u8, Fault> {
    let out = args.out.clone().or_else(|| args.dirs.first().cloned()).unwrap_or_default();
    let study = study::report(&args.dirs, &out)?;
    output::result(&study.json(), as_json);
    Ok(if study.held() { 0 } else { BROKEN })
}

/// `feiqian compare`
///
/// # Errors
/// `USAGE` where there is no complete run.
pub(crate) fn compare(args: &Compare, as_json: bool) -> Result<(), Fault> {
    let (first, second) =
        (files::find(std::slice::from_ref(&args.first))?, files::find(std::slice::from_ref(&args.second))?);
    let compared = comparison::runs(&first, &second);
    if as_json {
        output::result(&compared, true);
        return Ok(());
    }
    for group in output::at(&compared, "compared").as_array().into_iter().flatten() {
        output::line(&output::render(group));
    }
    Ok(())
}

/// A bar on a terminal; nothing where nobody watches.
fn bar(cells: usize, as_json: bool) -> ProgressBar {
    if as_json {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new((cells as u64).saturating_mul(STEPS));
    match ProgressStyle::with_template("{bar:30} {percent:>3}% {msg} (about {eta} left)") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

type Tell = Arc<dyn Fn(usize, Progress) + Send + Sync>;

fn tell(cells: usize, bar: ProgressBar) -> Tell {
    let steps = std::sync::Mutex::new(vec![0_u64; cells]);
    Arc::new(move |cell, progress| {
        let whole = progress.whole.as_millis().max(1);
        let share =
            progress.simulated.as_millis().saturating_mul(u128::from(STEPS)).checked_div(whole).unwrap_or(0);
        let mut steps = steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(step) = steps.get_mut(cell) {
            *step = u64::try_from(share).unwrap_or(STEPS).min(STEPS);
        }
        bar.set_position(steps.iter().fold(0_u64, |sum, step| sum.saturating_add(*step)));
        let speed = u128::from(progress.payments)
            .saturating_mul(1000)
            .checked_div(progress.real.as_millis())
            .unwrap_or(0);
        let hours = progress.simulated.as_secs() / 3600;
        bar.set_message(format!("{hours} h simulated, {} payments, {speed}/s", progress.payments));
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_setting_without_a_value_is_used_wrongly() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.toml");
        std::fs::write(&file, "").unwrap();
        let args = |set: &str| {
            use clap::Parser as _;
            let text = ["feiqian", "simulate", file.to_str().unwrap(), "--set", set];
            match crate::cli::Cli::try_parse_from(text).unwrap().command {
                crate::cli::Command::Simulate(args) => *args,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(source(&args("seed")).unwrap_err().code, Code::Usage);
        assert_eq!(source(&args("sed=5")).unwrap_err().code, Code::Usage);
        let set = source(&args("seed=5")).unwrap();
        assert_eq!(set.scenario().unwrap().seed, 5);
        assert_eq!(Plan::new(&set, dir.path()).unwrap().explain().get("cells"), Some(&serde_json::json!(1)));
    }
}
