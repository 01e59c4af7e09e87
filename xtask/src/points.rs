//! Where tests kill a node: at which commits and which outgoing messages of the roles.
//!
//! The names of the commits are read from the source, and so are the routes that each role calls: a new durable write or a
//! new message is noticed the moment it is written. The names of those where a test killed its node, by SIGKILL or by a
//! store or a network that dies, are what the tests append to a file. `points.txt` has all of them, with `killed` where a
//! test does and `not-yet` and the reason where none does; what it says is held against that file.
//!
//! | point | where |
//! |---|---|
//! | `role.step` | a commit: before it and after it |
//! | `send.role.route` | a message of the role, before a byte of it leaves |
//! | `answered.role.route` | the same, when its answer is there and nobody has used it |

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::tidy;

/// The environment variable with the file to which tests append the points at which they kill.
pub(crate) const KILLED: &str = "FEIQIAN_KILLED";

const ROLES: [&str; 4] = ["bank", "center", "merchant", "wallet"];

/// The roles that learn from the center who the members are, by the calls that are written down in `crates/node`.
const MEMBERS: [&str; 3] = ["bank", "merchant", "wallet"];
/// The moments of a message.
const MOMENTS: [&str; 2] = ["send", "answered"];
/// What is said of a point at which tests kill in every run.
const ALWAYS: &str = "killed";
/// What is said of a point at which no test kills; the reason follows.
const NOT_YET: &str = "not-yet";

/// What is known of every point.
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

/// Compares the points in the source with those that are known, and what is known with those in the file `killed`, to which
/// all tests have appended.
///
/// # Errors
/// Names the points that are not in `points.txt` and at which no test kills, those there that are no more or lack a reason,
/// those that are `killed` there and at which no test killed, or the other way about, and those at which a test killed but
/// that the source does not show.
pub(crate) fn check(root: &Path, killed: &str) -> Result<()> {
    let text = std::fs::read_to_string(killed).with_context(|| killed.to_owned())?;
    let killed: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let known = known(KNOWN);
    compare(root, &known, &killed)?;
    held(&known, &killed)
}

/// What a list says of every point.
fn known(list: &str) -> BTreeMap<&str, &str> {
    list.lines().filter_map(|line| line.split_once(' ')).collect()
}

/// At how many points no test may have killed in one run. Whether a node comes to some of them depends on which requests fall
/// together; what no test kills at any more is at more points than these, or shows in every run.
const MOST_MISSED: usize = 6;

/// Whether tests killed where the list says so, and nowhere else.
fn held(known: &BTreeMap<&str, &str>, killed: &BTreeSet<String>) -> Result<()> {
    let said = |state: &str| state == ALWAYS;
    let wrong = |expected: bool| -> Vec<&str> {
        let points = known.iter().filter(|(_, state)| said(state) == expected);
        points.map(|(point, _)| *point).filter(|point| killed.contains(*point) != expected).collect()
    };
    let (missed, met) = (wrong(true), wrong(false));
    if missed.len() > MOST_MISSED {
        bail!("no test killed at {missed:?}, which are `{ALWAYS}` in xtask/src/points.txt");
    }
    if !missed.is_empty() {
        println!("this time no test killed at {missed:?}");
    }
    if !met.is_empty() {
        bail!("tests killed at {met:?}: let xtask/src/points.txt say `{ALWAYS}`");
    }
    Ok(())
}

/// Compares the points in the source with those that are known.
fn compare(root: &Path, known: &BTreeMap<&str, &str>, killed: &BTreeSet<String>) -> Result<()> {
    let (commits, messages) = (commits(root)?, messages(root)?);
    let points: BTreeSet<&String> = commits.union(&messages).collect();
    println!(
        "{} commits have a name; tests killed a node at {} of them. {} moments of outgoing messages have one; at {}.",
        commits.len(),
        commits.intersection(killed).count(),
        messages.len(),
        messages.intersection(killed).count(),
    );
    tell_of_those_left(known)?;
    let is_new = |point: &&&String| !known.contains_key(point.as_str());
    let unkilled: Vec<&&String> =
        points.iter().filter(is_new).filter(|point| !killed.contains(point.as_str())).collect();
    if !unkilled.is_empty() {
        bail!("no test kills at {unkilled:?}: let one, and add them to xtask/src/points.txt");
    }
    let gone: Vec<&&str> = known.keys().filter(|point| !points.contains(&(**point).to_owned())).collect();
    if !gone.is_empty() {
        bail!("xtask/src/points.txt has points that are no more: {gone:?}");
    }
    let unseen: Vec<&String> =
        killed.iter().filter(|point| is_of_a_role(point) && !points.contains(point)).collect();
    if !unseen.is_empty() {
        bail!("tests killed at {unseen:?}, which the source does not show: write such names in full");
    }
    Ok(())
}

/// Prints at which points no test kills, and why.
fn tell_of_those_left(known: &BTreeMap<&str, &str>) -> Result<()> {
    let left: Vec<(&str, &str)> = known
        .iter()
        .filter_map(|(point, state)| state.strip_prefix(NOT_YET).map(|reason| (*point, reason.trim())))
        .collect();
    println!("At {} of them none does yet{}", left.len(), if left.is_empty() { "." } else { ":" });
    for (point, reason) in &left {
        println!("  {point}: {reason}");
        if reason.is_empty() {
            bail!("xtask/src/points.txt does not say why no test kills at {point}");
        }
    }
    let nonsense: Vec<&&str> = known
        .iter()
        .filter(|(_, state)| **state != ALWAYS && !state.starts_with(NOT_YET))
        .map(|(point, _)| point)
        .collect();
    if !nonsense.is_empty() {
        bail!("xtask/src/points.txt says neither `{ALWAYS}` nor `{NOT_YET}` of {nonsense:?}");
    }
    Ok(())
}

/// Tests of the store have points of their own.
fn is_of_a_role(point: &str) -> bool {
    let name =
        MOMENTS.iter().find_map(|moment| point.strip_prefix(moment)?.strip_prefix('.')).unwrap_or(point);
    ROLES.iter().any(|role| name.strip_prefix(role).is_some_and(|rest| rest.starts_with('.')))
}

/// The names of all commits: literals `"role.step"` in the sources of the roles.
fn commits(root: &Path) -> Result<BTreeSet<String>> {
    let mut points = BTreeSet::new();
    for role in ROLES {
        for (_, text) in sources(root, role)? {
            points.extend(named(&text, role));
        }
    }
    Ok(points)
}

/// The moments of all messages: literals `"/v1/route"` in the sources of the roles, where no call is served.
fn messages(root: &Path) -> Result<BTreeSet<String>> {
    let shared: Vec<String> = sources(root, "node")?.iter().flat_map(|(_, text)| called(text)).collect();
    let mut points = BTreeSet::new();
    for role in ROLES {
        let mut routes: BTreeSet<String> = BTreeSet::new();
        if MEMBERS.contains(&role) {
            routes.extend(shared.iter().cloned());
        }
        for (file, text) in sources(root, role)? {
            if !file.ends_with("service.rs") {
                routes.extend(called(&text));
            }
        }
        let name = |moment: &str, route: &String| format!("{moment}.{role}.{}", route.replace('/', "."));
        points.extend(MOMENTS.iter().flat_map(|moment| routes.iter().map(move |route| name(moment, route))));
    }
    Ok(points)
}

/// The sources of a crate: path and text.
fn sources(root: &Path, package: &str) -> Result<Vec<(PathBuf, String)>> {
    let mut files = Vec::new();
    tidy::collect(&root.join("crates").join(package).join("src"), &mut files)?;
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        Ok((file, text))
    };
    files.into_iter().filter(|file| tidy::is(file, "rs")).map(read).collect()
}

/// The routes, without `/v1/`, of lines that do not serve them.
fn called(text: &str) -> Vec<String> {
    let lines =
        text.lines().filter(|line| ![".route(", "Route::new(", ".add("].iter().any(|it| line.contains(it)));
    let routes = lines.flat_map(|line| {
        line.match_indices("\"/v1/").filter_map(|(at, start)| {
            let (route, _) = line.get(at.checked_add(start.len())?..)?.split_once('"')?;
            let is_route = route.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'/');
            (is_route && !route.is_empty()).then(|| route.to_owned())
        })
    });
    routes.collect()
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
    use std::collections::BTreeSet;

    use super::{KNOWN, MOST_MISSED, called, check, compare, held, is_of_a_role, known, messages, named};

    fn points(points: &[&str]) -> BTreeSet<String> {
        points.iter().map(|point| (*point).to_owned()).collect()
    }

    #[test]
    fn every_point_of_the_roles_is_known() {
        let root = crate::workspace_root().expect("a workspace");
        let known = known(KNOWN);
        compare(&root, &known, &BTreeSet::new()).expect("all points are in points.txt");
        let unseen = compare(&root, &known, &points(&["open", "bank.nowhere"]));
        let unseen = unseen.expect_err("no such commit is in the source").to_string();
        assert!(unseen.contains("bank.nowhere") && !unseen.contains("open"), "{unseen}");
    }

    #[test]
    fn what_is_said_to_be_killed_was_killed() {
        let known = known("bank.enrol killed\nbank.late not-yet nobody is so late\nsend.bank.crl killed");
        held(&known, &points(&["bank.enrol", "send.bank.crl", "open"])).expect("as the list says");
        held(&known, &points(&["bank.enrol"])).expect("one may be missed");
        let most: String = (0..=MOST_MISSED).map(|number| format!("bank.n{number} killed\n")).collect();
        let missed = held(&super::known(&most), &points(&[])).expect_err("all were missed").to_string();
        assert!(missed.contains("bank.n0"), "{missed}");
        let met = held(&known, &points(&["bank.enrol", "send.bank.crl", "bank.late"]));
        let met = met.expect_err("one was met").to_string();
        assert!(met.contains("bank.late") && !met.contains("enrol"), "{met}");
        let file = std::env::temp_dir().join(format!("no-points-{}", std::process::id()));
        std::fs::write(&file, "").expect("a file");
        let root = crate::workspace_root().expect("a workspace");
        let nobody = check(&root, &file.display().to_string()).expect_err("a run that killed nobody");
        assert!(nobody.to_string().contains("bank.enrol"), "{nobody}");
        std::fs::remove_file(file).expect("it was there");
    }

    #[test]
    fn names_of_commits_are_told_from_other_texts() {
        let text = r#"store.commit("bank.pay.payment", work); ("bank.issue.void"); "bank.example: no"; "banks"; "bank."; "center.pay""#;
        assert_eq!(named(text, "bank"), ["bank.pay.payment", "bank.issue.void"]);
    }

    #[test]
    fn routes_that_are_called_are_told_from_those_that_are_served() {
        let text = "call(\"/v1/crl\", &());\nPaths { one: \"/v1/a\", many: \"/v1/a/b\" }\n.add(open(\"/v1/about\"))\n\"/v1/a-test\"\n\"/v1/\"";
        assert_eq!(called(text), ["crl", "a", "a/b"]);
        let root = crate::workspace_root().expect("a workspace");
        let messages = messages(&root).expect("the sources");
        for point in [
            "send.wallet.issue.begin",
            "answered.bank.present.payment",
            "send.center.pay.payments",
            "send.merchant.directory",
        ] {
            assert!(messages.contains(point), "{point}: {messages:?}");
        }
        assert!(!messages.contains("send.bank.pay.payment") && !messages.contains("send.center.directory"));
    }

    #[test]
    fn points_of_roles_are_told_from_those_of_tests() {
        assert!(is_of_a_role("bank.enrol") && is_of_a_role("answered.center.crl"));
        assert!(!is_of_a_role("pair") && !is_of_a_role("banks.enrol") && !is_of_a_role("sending.bank.crl"));
    }
}
