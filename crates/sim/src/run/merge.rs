//! Replicates become means with intervals; assertions are held against them.
#![allow(clippy::float_arithmetic, reason = "statistics")]

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::expression;
use super::files::Finished;
use crate::error::SimError;
use crate::measure::stats::{mean_ci, share};
use crate::scenario::specs::AssertSpec;

/// All runs with the same values of the sweeps.
#[derive(Clone, Debug)]
pub struct Group {
    /// The values.
    pub values: Value,
    /// The seeds of its runs.
    pub seeds: Vec<u64>,
    /// Means of every number, shares pooled; under `ci95` the same tree with the means' intervals.
    pub summary: Value,
    /// Whether every run's invariants held.
    pub held: bool,
}

/// An assertion that was looked at.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Its text.
    pub expr: String,
    /// The values of the cells.
    pub values: Value,
    /// Whether it held.
    pub held: bool,
    /// What was compared, or why nothing could be.
    pub detail: String,
}

/// Puts the replicates of each cell together, in order of appearance.
#[must_use]
pub fn groups(finished: &[Finished]) -> Vec<Group> {
    let mut order: Vec<String> = Vec::new();
    let mut by_kind: BTreeMap<String, Vec<&Finished>> = BTreeMap::new();
    for one in finished {
        let key = format!("{}\n{}", one.manifest.values, super::gather::kind(&one.manifest));
        if !by_kind.contains_key(&key) {
            order.push(key.clone());
        }
        by_kind.entry(key).or_default().push(one);
    }
    order.iter().filter_map(|key| by_kind.get(key)).map(|runs| group(runs)).collect()
}

fn group(runs: &[&Finished]) -> Group {
    let summaries: Vec<&Value> = runs.iter().map(|run| &run.summary).collect();
    let mut summary = merged(&summaries);
    if let (Value::Object(fields), true) = (&mut summary, runs.len() > 1) {
        fields.insert("ci95".to_owned(), intervals(&summaries));
    }
    let held =
        |run: &&Finished| expression::at(&run.summary, "verdict.held").and_then(Value::as_bool) == Some(true);
    Group {
        values: runs.first().map(|run| run.manifest.values.clone()).unwrap_or_default(),
        seeds: runs.iter().map(|run| run.manifest.seed).collect(),
        summary,
        held: runs.iter().all(held),
    }
}

/// Means of numbers; shares are pooled; of everything else the first stands for all.
fn merged(summaries: &[&Value]) -> Value {
    let Some(first) = summaries.first() else { return Value::Null };
    if summaries.len() == 1 {
        return (*first).clone();
    }
    match first {
        Value::Object(fields) if fields.contains_key("hits") && fields.contains_key("trials") => {
            let sum = |name: &str| {
                summaries.iter().filter_map(|value| value.get(name)?.as_u64()).fold(0, u64::saturating_add)
            };
            share(sum("hits"), sum("trials"))
        }
        Value::Object(fields) => {
            let each = |name: &String| {
                let values: Vec<&Value> = summaries.iter().filter_map(|value| value.get(name)).collect();
                (name.clone(), merged(&values))
            };
            Value::Object(fields.keys().map(each).collect())
        }
        Value::Number(_) => {
            let values: Vec<f64> = summaries.iter().filter_map(|value| value.as_f64()).collect();
            json!(mean_ci(&values).0)
        }
        // True where all are.
        Value::Bool(_) => Value::Bool(summaries.iter().all(|value| value.as_bool() == Some(true))),
        other => (*other).clone(),
    }
}

fn intervals(summaries: &[&Value]) -> Value {
    let Some(first) = summaries.first() else { return Value::Null };
    match first {
        Value::Object(fields) => {
            let each = |name: &String| {
                let values: Vec<&Value> = summaries.iter().filter_map(|value| value.get(name)).collect();
                let inner = intervals(&values);
                (!inner.is_null()).then(|| (name.clone(), inner))
            };
            let inner: Map<String, Value> = fields.keys().filter_map(each).collect();
            if inner.is_empty() { Value::Null } else { Value::Object(inner) }
        }
        Value::Number(_) => {
            let values: Vec<f64> = summaries.iter().filter_map(|value| value.as_f64()).collect();
            let (_, low, high) = mean_ci(&values);
            json!({"low": low, "high": high})
        }
        _ => Value::Null,
    }
}

/// Holds every assertion against every group that it is about. One that is about no group did not hold: it was
/// never looked at.
///
/// # Errors
/// [`SimError::Usage`] for a text that is no assertion.
pub fn check(groups: &[Group], asserts: &[AssertSpec]) -> Result<Vec<Checked>, SimError> {
    let mut checked = Vec::new();
    for assert in asserts {
        let assertion = expression::parse(&assert.expr)?;
        let wanted = serde_json::to_value(&assert.cells).unwrap_or_default();
        let before = checked.len();
        for group in groups.iter().filter(|group| is_about(&wanted, &group.values)) {
            let (held, detail) = match assertion.holds(&group.summary) {
                Ok((held, left, right)) => (held, format!("{left} and {right}")),
                Err(reason) => (false, reason),
            };
            checked.push(Checked { expr: assert.expr.clone(), values: group.values.clone(), held, detail });
        }
        if checked.len() == before {
            let detail = "there is no cell with these values".to_owned();
            checked.push(Checked { expr: assert.expr.clone(), values: wanted, held: false, detail });
        }
    }
    Ok(checked)
}

fn is_about(wanted: &Value, values: &Value) -> bool {
    let Value::Object(wanted) = wanted else { return true };
    wanted.iter().all(|(path, value)| values.get(path) == Some(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn numbers_are_averaged_shares_pooled_and_truths_all_needed() {
        let one = json!({"n": 1, "s": share(1, 10), "ok": true, "t": "x"});
        let two = json!({"n": 3, "s": share(3, 30), "ok": false, "t": "y"});
        let both = merged(&[&one, &two]);
        assert_eq!(both.get("n"), Some(&json!(2.0)));
        assert_eq!(both.get("s"), Some(&share(4, 40)));
        assert_eq!(both.get("ok"), Some(&json!(false)));
        let spread = intervals(&[&one, &two]);
        assert!(expression::at(&spread, "n.high").unwrap().as_f64().unwrap() > 2.0);
        assert!(spread.get("t").is_none());
    }

    fn group(delay: &str, rate: f64) -> Group {
        let summary = json!({"rate": rate});
        Group { values: json!({"wallet.spend_delay": delay}), seeds: vec![1], summary, held: true }
    }

    #[test]
    fn an_assertion_is_about_the_cells_it_names_and_must_be_about_one() {
        let groups = [group("0s", 0.9), group("1h", 0.1)];
        let spec = |expr: &str, delay: Option<&str>| AssertSpec {
            expr: expr.to_owned(),
            cells: delay
                .map(|delay| ("wallet.spend_delay".to_owned(), toml::Value::from(delay)))
                .into_iter()
                .collect(),
        };
        let held = |expr: &str, delay| -> Vec<bool> {
            check(&groups, &[spec(expr, delay)]).unwrap().iter().map(|one| one.held).collect()
        };
        assert_eq!(held("rate < 0.5", Some("1h")), [true]);
        assert_eq!(held("rate < 0.5", None), [false, true]);
        assert_eq!(held("rate < 0.5", Some("2h")), [false]);
        assert_eq!(held("other < 0.5", Some("1h")), [false]);
    }
}
