//! Where tests kill a node: at which commits of the roles.
//!
//! The names of the commits are read from the source, so a new durable write is noticed the moment it is written. The names
//! of those where a test killed its node, by SIGKILL or by a store that dies, are what the tests append to a file.
//! `points.txt` has all of them, with `killed` where a test does and `not-yet` where none does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::tidy;

/// The environment variable with the file to which tests append the points at which they kill.
pub(crate) const KILLED: &str = "FEIQIAN_KILLED";

const ROLES: [&str; 4] = ["bank", "center", "merchant", "wallet"];

/// What is known of every commit.
const KNOWN: &str = include_str!("points.txt");

/// An empty file for one run of the tests.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn fresh_file(root: &Path) -> Result<String> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let file = folder.join("killed-points.txt");
    std::fs::write(&file, "").with_context(|| file.display().to_string())?;
    Ok(file.display().to_string())
}

/// Compares the points in the source with those that are known, and tells of those in the file `killed`.
///
/// Which of several commits of a moment comes first is not the same in every run, so a known point may be missed in one.
///
/// # Errors
/// Names the points that are not in `points.txt` and at which no test kills, and those there that are no more.
pub(crate) fn check(root: &Path, killed: &str) -> Result<()> {
    let points = in_source(root)?;
    let text = std::fs::read_to_string(killed).with_context(|| killed.to_owned())?;
    let killed: BTreeSet<&str> = text.lines().collect();
    let known: BTreeMap<&str, &str> = KNOWN.lines().filter_map(|line| line.split_once(' ')).collect();
    let not_yet: Vec<&&str> =
        known.iter().filter(|(_, state)| **state == "not-yet").map(|(point, _)| point).collect();
    println!(
        "{} commits have a name; tests killed a node at {} of them. At {} none does yet: {}",
        points.len(),
        points.iter().filter(|point| killed.contains(point.as_str())).count(),
        not_yet.len(),
        not_yet.iter().map(|point| **point).collect::<Vec<_>>().join(" ")
    );
    let is_new = |point: &&String| !known.contains_key(point.as_str());
    let unkilled: Vec<&String> =
        points.iter().filter(is_new).filter(|point| !killed.contains(point.as_str())).collect();
    if !unkilled.is_empty() {
        bail!("no test kills at {unkilled:?}: let one, and add them to xtask/src/points.txt");
    }
    let gone: Vec<&&str> = known.keys().filter(|point| !points.contains(**point)).collect();
    if !gone.is_empty() {
        bail!("xtask/src/points.txt has commits that are no more: {gone:?}");
    }
    Ok(())
}

/// The names of all commits: literals `"role.step"` in the sources of the roles.
fn in_source(root: &Path) -> Result<BTreeSet<String>> {
    let mut points = BTreeSet::new();
    for role in ROLES {
        let mut files = Vec::new();
        tidy::collect(&root.join("crates").join(role).join("src"), &mut files)?;
        for file in files.iter().filter(|file| tidy::is(file, "rs")) {
            let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
            points.extend(named(&text, role));
        }
    }
    Ok(points)
}

fn named(text: &str, role: &str) -> Vec<String> {
    let start = format!("\"{role}.");
    let found = text.match_indices(&start).filter_map(|(at, _)| {
        let (literal, _) = text.get(at + 1..)?.split_once('"')?;
        let is_name = literal.bytes().all(|byte| byte.is_ascii_lowercase() || b"._".contains(&byte));
        (is_name && !literal.ends_with('.')).then(|| literal.to_owned())
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::{check, named};

    #[test]
    fn every_commit_of_the_roles_is_known() {
        let root = crate::workspace_root().expect("a workspace");
        let killed = std::env::temp_dir().join(format!("no-points-{}", std::process::id()));
        std::fs::write(&killed, "").expect("a file");
        check(&root, &killed.display().to_string()).expect("all commits are in points.txt");
        std::fs::remove_file(killed).expect("it was there");
    }

    #[test]
    fn names_of_commits_are_told_from_other_texts() {
        let text = r#"store.commit("bank.pay.payment", work); ("bank.issue.void"); "bank.example: no"; "banks"; "bank."; "center.pay""#;
        assert_eq!(named(text, "bank"), ["bank.pay.payment", "bank.issue.void"]);
    }
}
