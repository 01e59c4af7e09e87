//! A run made again: replayed, verified, or made as small as it still breaks.

use std::path::Path;

use super::cell::{self, Options, Outcome};
use super::files::Manifest;
use crate::error::SimError;
use crate::scenario::Source;

/// What a replay came to.
#[derive(Debug)]
pub struct Replayed {
    /// What came out now.
    pub outcome: Outcome,
    /// Whether all events were the same; none when the replay was stopped at an event.
    pub same: Option<bool>,
}

/// Runs what a manifest describes once more, perhaps only to an event.
///
/// # Errors
/// [`SimError`]: as [`Manifest::load`] and [`cell::run`].
pub fn replay(manifest: &Path, options: &Options) -> Result<Replayed, SimError> {
    let manifest = Manifest::load(manifest)?;
    let outcome = cell::run(&manifest.source()?.scenario()?, options)?;
    let same = options.until_event.is_none().then(|| outcome.digest == manifest.events_digest);
    Ok(Replayed { outcome, same })
}

/// Runs a scenario twice; answers both digests.
///
/// # Errors
/// As [`cell::run`].
pub fn verify(source: &Source, options: &Options) -> Result<(String, String), SimError> {
    let scenario = source.scenario()?;
    let first = cell::run(&scenario, options)?.digest;
    Ok((first, cell::run(&scenario, options)?.digest))
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
