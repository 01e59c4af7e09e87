//! From a scenario's file to results on disk: what `feiqian simulate` does.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::files::{self, Finished};
use super::matrix::{self, Results, Work};
use super::merge::{self, Checked, Group};
use super::plan::{Plan, Shard};
use crate::error::SimError;
use crate::scenario::Source;

/// What came of a study.
#[derive(Debug)]
pub struct Study {
    /// Where its results lie.
    pub folder: PathBuf,
    /// How many cells were used again.
    pub reused: usize,
    /// Cells that failed, with the reason.
    pub failed: Vec<(String, String)>,
    /// Complete cells.
    pub finished: Vec<Finished>,
    /// Cells with the same values, together.
    pub groups: Vec<Group>,
    /// The assertions.
    pub checked: Vec<Checked>,
}

impl Study {
    /// Whether every invariant and assertion held and no cell failed.
    #[must_use]
    pub fn held(&self) -> bool {
        self.failed.is_empty()
            && self.groups.iter().all(|group| group.held)
            && self.checked.iter().all(|checked| checked.held)
    }

    /// What the command answers: a short word about every group; the whole lies in the folder.
    #[must_use]
    pub fn json(&self) -> Value {
        let groups = self.groups.iter().map(|group| {
            let at = |path: &str| super::expression::at(&group.summary, path).cloned().unwrap_or_default();
            json!({
                "values": group.values,
                "runs": group.seeds.len(),
                "held": group.held,
                "paid": at("payments.paid"),
                "failed": at("payments.failed"),
                "latency_p95_ms": at("payments.latency_ms.p95"),
                "coins_each": at("payments.coins_each"),
            })
        });
        let digests = self.finished.iter().map(|one| {
            json!({
                "folder": one.folder.display().to_string(),
                "seed": one.manifest.seed,
                "digest": one.manifest.events_digest,
                "payments_per_second": one.manifest.machine.get("payments_per_second"),
                "real_seconds": one.manifest.machine.get("real_seconds"),
            })
        });
        let failed = self.failed.iter().map(|(cell, reason)| json!({"cell": cell, "reason": reason}));
        let asserts = self.checked.iter().map(
            |one| json!({"expr": one.expr, "values": one.values, "held": one.held, "compared": one.detail}),
        );
        json!({
            "held": self.held(),
            "folder": self.folder.display().to_string(),
            "reused": self.reused,
            "cells": digests.collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<_>>(),
            "asserts": asserts.collect::<Vec<_>>(),
            "failed_cells": failed.collect::<Vec<_>>(),
            "broken": self.broken(),
        })
    }

    /// For every run with a broken invariant: seed, event, what broke, and the command that goes there.
    #[must_use]
    pub fn broken(&self) -> Vec<Value> {
        let at = super::expression::at;
        let broken =
            self.finished.iter().filter(|one| at(&one.summary, "verdict.held") != Some(&Value::Bool(true)));
        let tell = broken.map(|one| {
            let event = at(&one.summary, "verdict.books.event").and_then(Value::as_u64).unwrap_or(0);
            let manifest = one.folder.join("manifest.json");
            json!({
                "seed": one.manifest.seed,
                "event": event,
                "findings": at(&one.summary, "verdict.books.findings"),
                "unfinished": at(&one.summary, "verdict.liveness.unfinished"),
                "replay": format!("feiqian simulate --replay {} --until-event {event}", manifest.display()),
            })
        });
        tell.collect()
    }
}

/// Runs a scenario's cells, merges them, checks its assertions, and writes everything down.
///
/// # Errors
/// [`SimError::Usage`] for a scenario that makes no sense, [`SimError::Files`] when the disk refuses,
/// [`SimError::Interrupted`] when asked to stop.
pub fn run(source: &Source, out: &Path, shard: Option<Shard>, work: &Work) -> Result<Study, SimError> {
    let whole = Plan::new(source, out)?;
    let plan = whole.shard(shard);
    files::make_folder(&plan.folder)?;
    let Results { finished, reused, failed } = matrix::run(&plan, work)?;
    // A part of a sweep cannot judge the whole.
    let asserts = if shard.is_some() { Vec::new() } else { plan.scenario.assert.clone() };
    let groups = merge::groups(&finished);
    let checked = merge::check(&groups, &asserts)?;
    let study = Study { folder: plan.folder.clone(), reused, failed, finished, groups, checked };
    write(&study, &plan.scenario.name, &plan.scenario.question, &plan.folder, plan.cells.len() > 1)?;
    Ok(study)
}

/// Puts complete runs from several folders together, and writes the merged result into `out`.
///
/// # Errors
/// As [`run`].
pub fn report(folders: &[PathBuf], out: &Path) -> Result<Study, SimError> {
    let finished = files::find(folders)?;
    let source = finished.first().map(|one| one.manifest.source()).transpose()?;
    let scenario = source.map(|source| source.scenario()).transpose()?;
    let groups = merge::groups(&finished);
    let asserts = scenario.as_ref().map(|scenario| scenario.assert.clone()).unwrap_or_default();
    let checked = merge::check(&groups, &asserts)?;
    let study = Study { folder: out.to_path_buf(), reused: 0, failed: Vec::new(), finished, groups, checked };
    files::make_folder(out)?;
    let (name, question) = scenario.map(|scenario| (scenario.name, scenario.question)).unwrap_or_default();
    let alone = study.finished.len() == 1 && study.finished.iter().all(|one| one.folder == out);
    write(&study, &name, &question, out, !alone)?;
    Ok(study)
}

fn write(study: &Study, name: &str, question: &str, folder: &Path, many: bool) -> Result<(), SimError> {
    if many {
        files::write(
            &folder.join("summary.json"),
            &files::pretty(&merge::json(&study.groups, &study.checked)),
        )?;
        files::write(&folder.join("groups.csv"), table(&study.groups).as_bytes())?;
    }
    let page = crate::report::page(study, name, question);
    files::write(&folder.join("report.html"), page.as_bytes())
}

/// The numbers of every group as CSV: one line a group, one column a path, with the ends of the intervals.
#[must_use]
pub fn table(groups: &[Group]) -> String {
    let mut columns: Vec<(String, String)> = Vec::new();
    let first = groups.first();
    if let Some(Value::Object(values)) = first.map(|group| &group.values) {
        columns.extend(values.keys().map(|key| (key.clone(), String::new())));
    }
    let mut paths = std::collections::BTreeMap::new();
    for group in groups {
        super::compare::numbers(&group.summary, "", &mut paths);
    }
    columns.extend(paths.keys().map(|path| (String::new(), path.clone())));
    let mut text = String::new();
    let heads: Vec<&str> = columns
        .iter()
        .map(|(value, path)| if path.is_empty() { value.as_str() } else { path.as_str() })
        .collect();
    text.push_str(&heads.join(","));
    text.push('\n');
    for group in groups {
        let cells: Vec<String> = columns
            .iter()
            .map(|(value, path)| {
                let found = if path.is_empty() {
                    group.values.get(value).cloned()
                } else {
                    super::expression::at(&group.summary, path).cloned()
                };
                match found {
                    Some(Value::String(text)) => format!("\"{}\"", text.replace('"', "\"\"")),
                    Some(other) => other.to_string(),
                    None => String::new(),
                }
            })
            .collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}
