//! From a scenario's file to results on disk: what `feiqian simulate` does.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::files::{self, Finished};
use super::matrix::{self, Results, Work};
use super::merge::{self, Checked, Group};
use super::plan::{self, Plan, Shard};
use crate::error::SimError;

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
    /// How many cells of the plan are not there; known where all runs are of one plan.
    pub missing: usize,
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
        json!({
            "held": self.held(),
            "folder": self.folder.display().to_string(),
            "reused": self.reused,
            "missing": self.missing,
            "cells": digests.collect::<Vec<_>>(),
            "groups": groups.collect::<Vec<_>>(),
            "asserts": self.asserts(),
            "failed_cells": self.failures(),
            "broken": self.broken(),
        })
    }

    /// The merged result of many cells: what a sweep and `report DIR…` write as `summary.json`.
    #[must_use]
    pub fn merged(&self) -> Value {
        let cells = self.groups.iter().map(|group| {
            json!({"values": group.values, "seeds": group.seeds, "held": group.held, "summary": group.summary})
        });
        json!({
            "held": self.held(),
            "groups": cells.collect::<Vec<_>>(),
            "asserts": self.asserts(),
            "failed_cells": self.failures(),
        })
    }

    fn asserts(&self) -> Vec<Value> {
        let tell = |one: &Checked| json!({"expr": one.expr, "values": one.values, "held": one.held, "compared": one.detail});
        self.checked.iter().map(tell).collect()
    }

    fn failures(&self) -> Vec<Value> {
        self.failed.iter().map(|(cell, reason)| json!({"cell": cell, "reason": reason})).collect()
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

/// Runs a plan's cells, merges them, checks the scenario's assertions, and writes everything down. What a part of a plan
/// comes to is written beside the others' under its own name.
///
/// # Errors
/// [`SimError::Usage`] for an assertion that makes no sense, [`SimError::Files`] when the disk refuses,
/// [`SimError::Interrupted`] when asked to stop.
pub fn run(plan: &Plan, work: &Work) -> Result<Study, SimError> {
    files::make_folder(&plan.folder)?;
    let Results { finished, reused, failed } = matrix::run(plan, work)?;
    // A part of a sweep cannot judge the whole.
    let asserts = if plan.part.is_some() { Vec::new() } else { plan.scenario.assert.clone() };
    let groups = merge::groups(&finished);
    let checked = merge::check(&groups, &asserts)?;
    let study = Study { folder: plan.folder.clone(), reused, failed, finished, groups, checked, missing: 0 };
    let part = plan.part.map(|Shard { number, count }| format!("-{number}-of-{count}")).unwrap_or_default();
    write(&study, &plan.scenario.name, &plan.scenario.question, plan.whole > 1, &part)?;
    Ok(study)
}

/// Puts complete runs from several folders together, and writes the merged result into `out`: of the cells of one plan
/// the same, byte for byte, as if one run had made them all.
///
/// # Errors
/// As [`run`]; [`SimError::Usage`] also for two runs of the same cell with different events.
pub fn report(folders: &[PathBuf], out: &Path) -> Result<Study, SimError> {
    let finished = super::gather::gather(files::find(folders)?)?;
    let source = finished.first().map(|one| one.manifest.source()).transpose()?;
    let scenario = source.map(|source| source.scenario()).transpose()?;
    let groups = merge::groups(&finished);
    let asserts = scenario.as_ref().map(|scenario| scenario.assert.clone()).unwrap_or_default();
    let checked = merge::check(&groups, &asserts)?;
    let planned = scenario.as_ref().map_or(0, plan::count);
    let missing = if finished.len() > 1 { planned.saturating_sub(finished.len()) } else { 0 };
    let (folder, failed) = (out.to_path_buf(), Vec::new());
    let study = Study { folder, reused: 0, failed, finished, groups, checked, missing };
    files::make_folder(out)?;
    let (name, question) = scenario.map(|scenario| (scenario.name, scenario.question)).unwrap_or_default();
    let alone = study.finished.len() == 1 && study.finished.iter().all(|one| one.folder == out);
    write(&study, &name, &question, !alone, "")?;
    Ok(study)
}

/// Writes the merged result into the study's folder; `part` ends the names of its files.
fn write(study: &Study, name: &str, question: &str, many: bool, part: &str) -> Result<(), SimError> {
    let into = |file: String| study.folder.join(file);
    if many {
        files::write(&into(format!("summary{part}.json")), &files::pretty(&study.merged()))?;
        files::write(&into(format!("groups{part}.csv")), table(&study.groups).as_bytes())?;
    }
    if let [group] = study.groups.as_slice() {
        let tables = into(format!("tables{part}"));
        files::make_folder(&tables)?;
        for table in crate::report::tables::all(&group.summary) {
            files::write(&tables.join(format!("{}.csv", table.name)), table.csv().as_bytes())?;
        }
    }
    let page = crate::report::page(study, name, question);
    files::write(&into(format!("report{part}.html")), page.as_bytes())
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
                    Some(Value::String(text)) => crate::report::tables::quoted(&text),
                    Some(other) => crate::report::tables::quoted(&other.to_string()),
                    None => String::new(),
                }
            })
            .collect();
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}
