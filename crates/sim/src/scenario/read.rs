//! From text to tree to types, with errors that help.

use super::{DEFAULT, Scenario};
use crate::error::SimError;

/// The file laid over the defaults.
pub(super) fn over_defaults(text: &str) -> Result<toml::Table, SimError> {
    let mut tree: toml::Table =
        DEFAULT.parse().map_err(|error| SimError::usage(format!("the built-in defaults: {error}")))?;
    let given: toml::Table =
        text.parse().map_err(|error: toml::de::Error| SimError::usage(error.to_string()))?;
    lay(&mut tree, given);
    Ok(tree)
}

/// Tables are merged, everything else is replaced.
fn lay(under: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) => lay(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Reads the tree into types.
pub(super) fn typed(tree: &toml::Table) -> Result<Scenario, String> {
    let scenario: Scenario =
        tree.clone().try_into().map_err(|error: toml::de::Error| nearest(error.message()))?;
    for sweep in &scenario.sweep {
        if sweep.values.is_empty() {
            return Err(format!("sweep of {}: its values are missing", sweep.path));
        }
        let mut copy = tree.clone();
        for value in &sweep.values {
            put(&mut copy, &sweep.path, value.clone()).map_err(|error| error.to_string())?;
            let tried: Result<Scenario, toml::de::Error> = copy.clone().try_into();
            tried.map_err(|error| format!("sweep of {}: {}", sweep.path, nearest(error.message())))?;
        }
    }
    Ok(scenario)
}

/// Sets the key at `path`, which must exist.
pub(super) fn put(tree: &mut toml::Table, path: &str, value: toml::Value) -> Result<(), SimError> {
    let (parents, last) = path.rsplit_once('.').unwrap_or(("", path));
    let mut table = tree;
    for part in parents.split('.').filter(|part| !part.is_empty()) {
        table = match table.get_mut(part) {
            Some(toml::Value::Table(inner)) => inner,
            _ => return Err(SimError::usage(format!("{path}: there is no table `{part}`"))),
        };
    }
    if table.contains_key(last) {
        table.insert(last.to_owned(), value);
        return Ok(());
    }
    let known: Vec<&str> = table.keys().map(String::as_str).collect();
    let near = closest(last, &known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
    Err(SimError::usage(format!("{path}: there is no key `{last}`{near}")))
}

/// Adds the nearest known key to an error about an unknown one.
fn nearest(message: &str) -> String {
    let names: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match names.split_first() {
        Some((unknown, known))
            if message.contains("unknown field") || message.contains("unknown variant") =>
        {
            match closest(unknown, known) {
                Some(near) => format!("{message}; did you mean `{near}`?"),
                None => message.to_owned(),
            }
        }
        _ => message.trim().to_owned(),
    }
}

/// Says where in the text the unknown key stands.
pub(super) fn with_line(text: &str, message: String) -> String {
    let key = message.split('`').nth(1).filter(|_| message.contains("unknown field"));
    let stands = |line: &str, key: &str| {
        line.split(['{', ',', '.']).any(|part| {
            let name = part.trim_start().trim_start_matches('[').trim_start();
            let rest = name.strip_prefix(key).map(str::trim_start);
            rest.is_some_and(|rest| rest.starts_with(['=', ']']))
        })
    };
    match key.and_then(|key| text.lines().position(|line| stands(line, key))) {
        Some(index) => format!("line {}: {message}", index.saturating_add(1)),
        None => message,
    }
}

/// The name with the fewest edits, if few enough to be a slip.
fn closest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let ranked = known.iter().map(|candidate| (edits(name, candidate), *candidate));
    ranked
        .min()
        .filter(|(distance, _)| *distance <= name.len().div_ceil(2).max(2))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance.
fn edits(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (above, left) in from.chars().enumerate() {
        let mut diagonal = above;
        let mut last = above.saturating_add(1);
        for (slot, right) in row.iter_mut().skip(1).zip(to.chars()) {
            let change = diagonal.saturating_add(usize::from(left != right));
            diagonal = *slot;
            last = change.min(slot.saturating_add(1)).min(last.saturating_add(1));
            *slot = last;
        }
        if let Some(first) = row.first_mut() {
            *first = above.saturating_add(1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_hand_is_near_and_another_word_is_not() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(closest("walets", &["wallets", "merchants"]), Some("wallets"));
        assert_eq!(closest("zzz", &["wallets", "merchants"]), None);
    }
}
