//! What a run leaves on disk: `manifest.json`, `summary.json`, `series.csv`, perhaps `events.csv`, and `report.html`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::VERSION;
use super::cell::Outcome;
use super::plan::Cell;
use crate::error::{SimError, files};
use crate::scenario::Source;

/// What makes a run again: scenario, seed and version; and what this one was.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The scenario's name.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// The seed.
    pub seed: u64,
    /// The normalised scenario, as TOML.
    pub scenario: String,
    /// Where relative paths in it begin.
    pub folder: PathBuf,
    /// Digest of the normalised scenario.
    pub scenario_digest: String,
    /// Digest of the trace that was paid, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_digest: Option<String>,
    /// What the sweeps set.
    pub values: Value,
    /// Digest of all events of the run.
    pub events_digest: String,
    /// The command that makes this run again.
    pub reproduce: String,
    /// About the machine and this run on it; another run has another.
    pub machine: Value,
}

impl Manifest {
    /// The manifest of a cell that was run.
    ///
    /// # Errors
    /// [`SimError::Usage`] when the scenario cannot be written as TOML.
    pub fn of(cell: &Cell, outcome: &Outcome) -> Result<Self, SimError> {
        let tree = cell.source.tree();
        let scenario = toml::to_string(tree).map_err(|error| SimError::usage(error.to_string()))?;
        let manifest = cell.folder.join("manifest.json");
        Ok(Self {
            name: tree.get("name").and_then(toml::Value::as_str).unwrap_or_default().to_owned(),
            version: VERSION.to_owned(),
            seed: cell.seed,
            scenario,
            folder: cell.source.folder().to_path_buf(),
            scenario_digest: cell.source.digest(),
            trace_digest: trace_digest(&cell.source)?,
            values: serde_json::to_value(&cell.values).unwrap_or_default(),
            events_digest: outcome.digest.clone(),
            reproduce: format!("feiqian simulate --replay {}", manifest.display()),
            machine: outcome.machine.clone(),
        })
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`SimError::Files`] when it cannot be read, [`SimError::Usage`] when it is none.
    pub fn load(path: &Path) -> Result<Self, SimError> {
        let text = std::fs::read_to_string(path).map_err(|error| files("read", path, &error))?;
        serde_json::from_str(&text).map_err(|error| SimError::Usage(format!("{}: {error}", path.display())))
    }

    /// Whether the trace, where there is one, is still the one that was paid.
    ///
    /// # Errors
    /// [`SimError::Usage`] when it is another, [`SimError::Files`] when it cannot be read.
    pub fn check_trace(&self) -> Result<(), SimError> {
        if trace_digest(&self.source()?)? == self.trace_digest {
            return Ok(());
        }
        Err(SimError::usage("the trace is not the one that was paid: its digest differs from the manifest's"))
    }

    /// The scenario it was a run of.
    ///
    /// # Errors
    /// [`SimError::Usage`] when the manifest was damaged.
    pub fn source(&self) -> Result<Source, SimError> {
        Source::parse(&self.scenario, &self.folder)
    }
}

/// SHA-256 of the trace of a scenario, in hexadecimal; none without a trace.
fn trace_digest(source: &Source) -> Result<Option<String>, SimError> {
    let trace = source.scenario()?.workload.trace;
    if trace.is_empty() {
        return Ok(None);
    }
    let bytes = std::fs::read(&trace).map_err(|error| files("read", Path::new(&trace), &error))?;
    Ok(Some(hex::encode(Sha256::digest(&bytes))))
}

/// Writes a file so that a reader sees it whole or not at all. Of two processes that write the same file at once, the
/// later one wins.
///
/// # Errors
/// [`SimError::Files`] when the disk refuses.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), SimError> {
    let fresh = path.with_extension(format!("{}-new", std::process::id()));
    let written = std::fs::write(&fresh, bytes).and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|error| {
        // On a full disk the half of a file is in the way of the rest.
        let _ = std::fs::remove_file(&fresh);
        files("write", path, &error)
    })
}

/// Makes a folder with all above it.
///
/// # Errors
/// [`SimError::Files`] when the disk refuses.
pub fn make_folder(path: &Path) -> Result<(), SimError> {
    std::fs::create_dir_all(path).map_err(|error| files("create", path, &error))
}

/// JSON as people read it, with a line's end.
#[must_use]
pub fn pretty(value: &Value) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Writes what came of a cell. The manifest comes last: a folder without it is not complete.
///
/// # Errors
/// [`SimError::Files`] when the disk refuses.
pub fn write_cell(cell: &Cell, outcome: &Outcome) -> Result<(), SimError> {
    make_folder(&cell.folder)?;
    write(&cell.folder.join("summary.json"), &pretty(&Value::Object(outcome.summary.clone())))?;
    write(&cell.folder.join("series.csv"), outcome.series.as_bytes())?;
    let manifest = serde_json::to_value(Manifest::of(cell, outcome)?).unwrap_or_default();
    write(&cell.folder.join("manifest.json"), &pretty(&manifest))
}

/// What is left of a run in a folder.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its manifest.
    pub manifest: Manifest,
    /// Its summary.
    pub summary: Value,
    /// Its series.
    pub series: String,
    /// Where it lies.
    pub folder: PathBuf,
}

/// Reads a complete run.
///
/// # Errors
/// [`SimError`] when it is not complete.
pub fn read_cell(folder: &Path) -> Result<Finished, SimError> {
    let manifest = Manifest::load(&folder.join("manifest.json"))?;
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read_to_string(&path).map_err(|error| files("read", &path, &error))
    };
    let summary = serde_json::from_str(&read("summary.json")?)
        .map_err(|error| SimError::Usage(format!("{}: summary.json: {error}", folder.display())))?;
    Ok(Finished { manifest, summary, series: read("series.csv")?, folder: folder.to_path_buf() })
}

/// The complete run of this very cell, if its folder holds it: same scenario, trace, seed and
/// version.
#[must_use]
pub fn reusable(cell: &Cell) -> Option<Finished> {
    let result = read_cell(&cell.folder).ok()?;
    let same = result.manifest.version == VERSION
        && result.manifest.seed == cell.seed
        && result.manifest.scenario_digest == cell.source.digest()
        && result.manifest.check_trace().is_ok();
    same.then_some(result)
}

/// All complete runs in folders and the folders right below them.
///
/// # Errors
/// [`SimError::Usage`] when there is none.
pub fn find(folders: &[PathBuf]) -> Result<Vec<Finished>, SimError> {
    let mut found = Vec::new();
    for folder in folders {
        if folder.join("manifest.json").exists() {
            found.push(read_cell(folder)?);
            continue;
        }
        let entries = std::fs::read_dir(folder).map_err(|error| files("read", folder, &error))?;
        let mut below: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        below.sort();
        for cell in below.iter().filter(|path| path.join("manifest.json").exists()) {
            found.push(read_cell(cell)?);
        }
    }
    if found.is_empty() {
        return Err(SimError::usage("no complete run there: a run's folder holds manifest.json"));
    }
    Ok(found)
}
