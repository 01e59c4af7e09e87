//! Two results beside each other.
#![allow(clippy::float_arithmetic, reason = "differences")]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::files::Finished;
use super::merge::groups;

/// One number that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Where it stands in the summary.
    pub path: String,
    /// In the first.
    pub first: f64,
    /// In the second.
    pub second: f64,
    /// Whether their intervals are apart; none where there are no intervals.
    pub apart: Option<bool>,
}

/// What is not worth comparing: it differs always, or says nothing.
const SKIPPED: [&str; 3] = ["ci95", "events", "verdict"];

pub(crate) fn numbers(value: &Value, path: &str, found: &mut BTreeMap<String, f64>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in
                fields.iter().filter(|(name, _)| !path.is_empty() || !SKIPPED.contains(&name.as_str()))
            {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                numbers(value, &path, found);
            }
        }
        Value::Number(number) => {
            found.insert(path.to_owned(), number.as_f64().unwrap_or(0.0));
        }
        _ => {}
    }
}

/// Every number that differs between two summaries, by path.
#[must_use]
pub fn summaries(first: &Value, second: &Value) -> Vec<Difference> {
    let (mut one, mut two) = (BTreeMap::new(), BTreeMap::new());
    numbers(first, "", &mut one);
    numbers(second, "", &mut two);
    let interval = |summary: &Value, path: &str| {
        let at = super::expression::at(summary, &format!("ci95.{path}"))?;
        Some((at.get("low")?.as_f64()?, at.get("high")?.as_f64()?))
    };
    let paths: std::collections::BTreeSet<&String> = one.keys().chain(two.keys()).collect();
    let differ = paths.into_iter().filter_map(|path| {
        let (a, b) = (one.get(path).copied().unwrap_or(0.0), two.get(path).copied().unwrap_or(0.0));
        if a.total_cmp(&b).is_eq() {
            return None;
        }
        let apart = interval(first, path).zip(interval(second, path)).map(|(x, y)| x.1 < y.0 || y.1 < x.0);
        Some(Difference { path: path.clone(), first: a, second: b, apart })
    });
    differ.collect()
}

/// Compares two sets of runs, the groups with equal values with each other.
#[must_use]
pub fn runs(first: &[Finished], second: &[Finished]) -> Value {
    let (one, two) = (groups(first), groups(second));
    let mut compared = Vec::new();
    for group in &one {
        let alone = one.len() == 1 && two.len() == 1;
        let Some(other) = two.iter().find(|other| alone || other.values == group.values) else {
            compared.push(json!({"values": group.values, "only_in": "first"}));
            continue;
        };
        let differences = summaries(&group.summary, &other.summary).into_iter().map(|one| {
            let relative = if one.first.abs() > 0.0 { Some((one.second - one.first) / one.first) } else { None };
            json!({"path": one.path, "first": one.first, "second": one.second, "relative": relative, "apart": one.apart})
        });
        compared.push(json!({"values": group.values, "differences": differences.collect::<Vec<_>>()}));
    }
    for group in
        two.iter().filter(|group| one.len() != 1 && !one.iter().any(|other| other.values == group.values))
    {
        compared.push(json!({"values": group.values, "only_in": "second"}));
    }
    json!({ "compared": compared })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told_and_intervals_decide() {
        let one = json!({"a": 1, "b": {"c": 2}, "ci95": {"b": {"c": {"low": 1.9, "high": 2.1}}}});
        let two = json!({"a": 1, "b": {"c": 3}, "ci95": {"b": {"c": {"low": 2.9, "high": 3.1}}}});
        let expected = Difference { path: "b.c".to_owned(), first: 2.0, second: 3.0, apart: Some(true) };
        assert_eq!(summaries(&one, &two), [expected]);
        assert!(summaries(&one, &one).is_empty());
    }
}
