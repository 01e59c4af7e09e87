//! Runs from several folders: which of them are replicates of one cell, and in which order cells stand.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::files::{Finished, Manifest};
use crate::error::SimError;
use crate::scenario::JUDGING;

/// What the replicates of one cell share: everything but the seed.
#[derive(Clone, Debug, PartialEq)]
struct Kind {
    version: String,
    name: String,
    trace: Option<String>,
    scenario: toml::Table,
}

impl Kind {
    fn of(manifest: &Manifest) -> Self {
        let mut scenario: toml::Table = manifest.scenario.parse().unwrap_or_default();
        for key in JUDGING.iter().chain(&["seed"]) {
            scenario.remove(*key);
        }
        let (version, name) = (manifest.version.clone(), manifest.name.clone());
        Self { version, name, trace: manifest.trace_digest.clone(), scenario }
    }

    fn key(&self) -> String {
        let scenario = serde_json::to_string(&self.scenario).unwrap_or_default();
        format!("{}\n{}\n{:?}\n{scenario}", self.version, self.name, self.trace)
    }
}

/// What runs must share to be replicates of one cell, as a text to compare.
pub(super) fn kind(manifest: &Manifest) -> String {
    Kind::of(manifest).key()
}

/// Puts runs from several folders into the order in which one plan would have made them, the same run once. Cells that
/// only `--set` told apart get what it set as their values.
///
/// # Errors
/// [`SimError::Usage`] for two runs of the same cell with different events.
pub fn gather(finished: Vec<Finished>) -> Result<Vec<Finished>, SimError> {
    let mut gathered = once(finished)?;
    tell_apart(&mut gathered);
    gathered.sort_by_cached_key(|one| {
        let places = places(&one.manifest);
        (
            one.manifest.name.clone(),
            places,
            one.manifest.version.clone(),
            kind(&one.manifest),
            one.manifest.seed,
        )
    });
    Ok(gathered)
}

/// Each run once, however often it was found.
fn once(finished: Vec<Finished>) -> Result<Vec<Finished>, SimError> {
    let mut seen: BTreeMap<(String, u64), (String, String)> = BTreeMap::new();
    let mut kept = Vec::new();
    for one in finished {
        let (key, folder) = ((kind(&one.manifest), one.manifest.seed), one.folder.display().to_string());
        match seen.get(&key) {
            None => {
                seen.insert(key, (one.manifest.events_digest.clone(), folder));
                kept.push(one);
            }
            Some((digest, _)) if *digest == one.manifest.events_digest => {}
            Some((_, other)) => {
                return Err(SimError::Usage(format!(
                    "{other} and {folder} are runs of the same scenario, seed and version with different events: one of \
                     them was changed, or made by another build"
                )));
            }
        }
    }
    Ok(kept)
}

/// For each sweep of a run's scenario, the place of its value in the list.
fn places(manifest: &Manifest) -> Vec<usize> {
    let scenario: toml::Table = manifest.scenario.parse().unwrap_or_default();
    let sweeps = scenario.get("sweep").and_then(toml::Value::as_array).into_iter().flatten();
    let place = |sweep: &toml::Value| {
        let path = sweep.get("path")?.as_str()?;
        let own = manifest.values.get(path)?;
        let mut values = sweep.get("values")?.as_array()?.iter();
        values.position(|value| serde_json::to_value(value).is_ok_and(|value| value == *own))
    };
    sweeps.map(|sweep| place(sweep).unwrap_or(usize::MAX)).collect()
}

/// Gives runs of different cells different values.
fn tell_apart(finished: &mut [Finished]) {
    let kinds: Vec<Kind> = finished.iter().map(|one| Kind::of(&one.manifest)).collect();
    let names: BTreeSet<&str> = kinds.iter().map(|kind| kind.name.as_str()).collect();
    let versions: BTreeSet<&str> = kinds.iter().map(|kind| kind.version.as_str()).collect();
    let traces: BTreeSet<&Option<String>> = kinds.iter().map(|kind| &kind.trace).collect();
    let flat: Vec<BTreeMap<String, Value>> = kinds.iter().map(|kind| leaves(&kind.scenario)).collect();
    let differing = if names.len() > 1 { Vec::new() } else { differing(&flat) };
    let (many_names, many_versions, many_traces) = (names.len() > 1, versions.len() > 1, traces.len() > 1);
    for ((one, kind), flat) in finished.iter_mut().zip(&kinds).zip(&flat) {
        let mut values = one.manifest.values.as_object().cloned().unwrap_or_default();
        for path in &differing {
            values.insert(path.clone(), flat.get(path).cloned().unwrap_or_default());
        }
        let mut also = |differs: bool, key: &str, value: &str| {
            if differs {
                values.insert(key.to_owned(), Value::from(value));
            }
        };
        also(many_names, "name", &kind.name);
        also(many_versions, "version", &kind.version);
        let trace = kind.trace.as_deref().and_then(|digest| digest.get(..8)).unwrap_or_default();
        also(many_traces, "trace", trace);
        one.manifest.values = Value::Object(values);
    }
}

/// The paths that do not have the same value everywhere.
fn differing(flat: &[BTreeMap<String, Value>]) -> Vec<String> {
    let Some(first) = flat.first() else { return Vec::new() };
    let paths: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    let differ = |path: &&String| flat.iter().any(|one| one.get(*path) != first.get(*path));
    paths.into_iter().filter(differ).cloned().collect()
}

/// Every value of a tree by its path; lists are values.
fn leaves(tree: &toml::Table) -> BTreeMap<String, Value> {
    fn walk(value: &Value, path: &str, found: &mut BTreeMap<String, Value>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    walk(value, &path, found);
                }
            }
            other => drop(found.insert(path.to_owned(), other.clone())),
        }
    }
    let mut found = BTreeMap::new();
    walk(&serde_json::to_value(tree).unwrap_or(Value::Object(Map::new())), "", &mut found);
    found
}
