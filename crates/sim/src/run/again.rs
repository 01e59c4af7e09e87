//! A run made again: replayed, verified, or made as small as it still breaks.

use std::path::Path;

use serde_json::Value;

use super::VERSION;
use super::cell::{self, Options, Outcome};
use super::files::Manifest;
use super::plan::Plan;
use crate::error::SimError;
use crate::scenario::Source;

/// What a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// What came out now.
    pub outcome: Outcome,
    /// Whether all events were the same; none when the replay was stopped at an event.
    pub same: Option<bool>,
    /// The version that wrote the manifest, where it is not this one: then events may differ.
    pub other_version: Option<String>,
}

/// A cell that was run twice.
#[derive(Clone, Debug)]
pub struct Twice {
    /// What the sweeps set.
    pub values: Value,
    /// Its seed.
    pub seed: u64,
    /// The digest of all events of each run.
    pub digests: [String; 2],
}

/// Runs what a manifest describes once more, perhaps only to an event.
///
/// # Errors
/// [`SimError`]: as [`Manifest::load`] and [`cell::run`].
pub fn replay(manifest: &Path, options: &Options) -> Result<Replayed, SimError> {
    let manifest = Manifest::load(manifest)?;
    manifest.check_trace()?;
    let outcome = cell::run(&manifest.source()?.scenario()?, options)?;
    let same = options.until_event.is_none().then(|| outcome.digest == manifest.events_digest);
    let other_version = (manifest.version != VERSION).then_some(manifest.version);
    Ok(Replayed { outcome, same, other_version })
}

/// Runs every cell of a plan twice.
///
/// # Errors
/// As [`cell::run`].
pub fn verify(plan: &Plan, options: &Options) -> Result<Vec<Twice>, SimError> {
    let twice = plan.cells.iter().map(|cell| {
        let scenario = cell.source.scenario()?;
        let digests = [cell::run(&scenario, options)?.digest, cell::run(&scenario, options)?.digest];
        let values = serde_json::to_value(&cell.values).unwrap_or_default();
        Ok(Twice { values, seed: cell.seed, digests })
    });
    twice.collect()
}

/// Makes a scenario that breaks an invariant smaller while it still breaks one: without faults, adversaries and
/// wallets that are not needed. Answers it and how many worlds were tried.
///
/// # Errors
/// [`SimError::Usage`] when the scenario breaks nothing; otherwise as [`cell::run`].
pub fn shrink(source: &Source, options: &Options) -> Result<(Source, u32), SimError> {
    let mut tried = 0_u32;
    let mut breaks = |source: &Source| -> Result<bool, SimError> {
        tried = tried.saturating_add(1);
        // A smaller world may no longer be one: then it breaks nothing.
        let Ok(scenario) = source.scenario() else { return Ok(false) };
        Ok(!cell::run(&scenario, options)?.held)
    };
    if !breaks(source)? {
        return Err(SimError::usage("nothing to shrink: every invariant holds and everything ends"));
    }
    let mut smallest = source.clone();
    for list in ["fault", "adversary"] {
        smallest = without_needless(smallest, list, &mut breaks)?;
    }
    loop {
        let wallets = smallest.scenario()?.population.wallets;
        let mut smaller = smallest.clone();
        smaller.set("population.wallets", &(wallets / 2).to_string())?;
        if wallets <= 1 || !breaks(&smaller)? {
            return Ok((smallest, tried));
        }
        smallest = smaller;
    }
}

/// Takes entries out of a list, one after the other, as long as the rest still breaks.
fn without_needless(
    source: Source,
    list: &str,
    breaks: &mut impl FnMut(&Source) -> Result<bool, SimError>,
) -> Result<Source, SimError> {
    let mut source = source;
    let mut index = 0_usize;
    while let Some(toml::Value::Array(entries)) = source.tree().get(list).cloned() {
        if index >= entries.len() {
            break;
        }
        let kept = entries.iter().enumerate().filter(|(number, _)| *number != index);
        let kept: Vec<toml::Value> = kept.map(|(_, entry)| entry.clone()).collect();
        let mut smaller = source.clone();
        smaller.put(list, toml::Value::Array(kept))?;
        if breaks(&smaller)? {
            source = smaller;
        } else {
            index = index.saturating_add(1);
        }
    }
    Ok(source)
}
