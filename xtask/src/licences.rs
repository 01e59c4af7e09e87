//! `licences`: what of `deny.toml` needs no network and no program of others. `cargo deny check` says the same and more:
//! it also knows the advisories.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: Vec<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    version: String,
    license: Option<String>,
    source: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    dependencies: Vec<String>,
}

#[derive(Deserialize)]
struct Deny {
    graph: Graph,
    licenses: Licenses,
    bans: Bans,
}

#[derive(Deserialize)]
struct Graph {
    exclude: Vec<String>,
}

#[derive(Deserialize)]
struct Licenses {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    name: String,
    reason: String,
}

/// Checks licence, origin and bans of every crate that ships or is built for it.
///
/// # Errors
/// Names every crate that `deny.toml` does not allow.
pub(crate) fn check(root: &Path) -> Result<()> {
    let deny: Deny = toml::from_str(&std::fs::read_to_string(root.join("deny.toml")).context("deny.toml")?)?;
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--all-features"])
        .current_dir(root)
        .output()
        .context("cargo metadata does not start")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let (count, found) = violations(&metadata, &deny);
    if !found.is_empty() {
        bail!("not allowed by deny.toml:\n  {}", found.join("\n  "));
    }
    println!("{count} crates of others: licence, origin and bans as deny.toml allows");
    Ok(())
}

/// How many crates of others there are, and what is wrong with them.
fn violations(metadata: &Metadata, deny: &Deny) -> (usize, Vec<String>) {
    let allowed: BTreeSet<&str> = deny.licenses.allow.iter().map(String::as_str).collect();
    let reached = reached(metadata, &deny.graph.exclude);
    let (mut count, mut found) = (0, Vec::new());
    for package in metadata.packages.iter().filter(|package| reached.contains(package.id.as_str())) {
        let Some(source) = &package.source else { continue };
        count += 1;
        let shown = format!("{} {}", package.name, package.version);
        if !source.starts_with("registry+https://github.com/rust-lang/crates.io-index") {
            found.push(format!("{shown} comes from {source}"));
        }
        let license = package.license.as_deref().unwrap_or("no licence");
        if !satisfied(license, &allowed) {
            found.push(format!("{shown}: {license}"));
        }
        if let Some(ban) = deny.bans.deny.iter().find(|ban| ban.names(package)) {
            found.push(format!("{shown} is banned: {}", ban.reason));
        }
    }
    (count, found)
}

impl Ban {
    fn names(&self, package: &Package) -> bool {
        match self.name.split_once('@') {
            None => self.name == package.name,
            Some((name, version)) => {
                let rest = package.version.strip_prefix(version);
                name == package.name && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }
        }
    }
}

/// The ids of all packages that members other than the excluded ones need.
fn reached<'m>(metadata: &'m Metadata, excluded: &[String]) -> BTreeSet<&'m str> {
    let edges: BTreeMap<&str, &[String]> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node.dependencies.as_slice())).collect();
    let left_out: BTreeSet<&str> = metadata
        .packages
        .iter()
        .filter(|package| package.source.is_none() && excluded.contains(&package.name))
        .map(|package| package.id.as_str())
        .collect();
    let members = metadata.workspace_members.iter().map(String::as_str);
    let mut waiting: Vec<&str> = members.filter(|id| !left_out.contains(id)).collect();
    let mut reached = BTreeSet::new();
    while let Some(id) = waiting.pop() {
        if reached.insert(id) {
            waiting.extend(edges.get(id).into_iter().flat_map(|next| next.iter().map(String::as_str)));
        }
    }
    reached
}

/// Whether an SPDX expression can be met with allowed licences. `/` is how old crates write OR; AND binds closer than OR.
fn satisfied(expression: &str, allowed: &BTreeSet<&str>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    either(&mut rest, allowed) && rest.is_empty()
}

fn either(rest: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut holds = both(rest, allowed);
    while let ["OR", after @ ..] = *rest {
        *rest = after;
        holds |= both(rest, allowed);
    }
    holds
}

fn both(rest: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    let mut holds = single(rest, allowed);
    while let ["AND", after @ ..] = *rest {
        *rest = after;
        holds &= single(rest, allowed);
    }
    holds
}

fn single(rest: &mut &[&str], allowed: &BTreeSet<&str>) -> bool {
    match *rest {
        ["(", after @ ..] => {
            *rest = after;
            let holds = either(rest, allowed);
            match *rest {
                [")", after @ ..] => {
                    *rest = after;
                    holds
                }
                _ => false,
            }
        }
        [license, "WITH", exception, after @ ..] => {
            *rest = after;
            allowed.contains(format!("{license} WITH {exception}").as_str())
        }
        [license, after @ ..] => {
            *rest = after;
            allowed.contains(license)
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_met_by_what_is_allowed() {
        let allowed = BTreeSet::from(["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception", "Unicode-3.0"]);
        for good in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0/MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "Apache-2.0 WITH LLVM-exception OR ISC",
            "ISC AND Zlib OR MIT",
        ] {
            assert!(satisfied(good, &allowed), "{good}");
        }
        for bad in [
            "",
            "GPL-3.0",
            "MIT AND ISC",
            "(MIT OR ISC) AND Zlib",
            "(MIT",
            "MIT ISC",
            "ISC WITH LLVM-exception",
        ] {
            assert!(!satisfied(bad, &allowed), "{bad}");
        }
    }

    fn package(id: &str, license: Option<&str>, source: Option<&str>) -> Package {
        let [license, source] = [license, source].map(|text| text.map(str::to_owned));
        Package { id: id.to_owned(), name: id.to_owned(), version: "1.2.3".to_owned(), license, source }
    }

    #[test]
    fn only_what_is_reached_counts_and_each_wrong_is_named() {
        let registry = Some("registry+https://github.com/rust-lang/crates.io-index");
        let node = |id: &str, needs: &[&str]| Node {
            id: id.to_owned(),
            dependencies: needs.iter().map(|&need| need.to_owned()).collect(),
        };
        let metadata = Metadata {
            packages: vec![
                package("own", Some("MIT"), None),
                package("benches", Some("MIT"), None),
                package("good", Some("MIT"), registry),
                package("viral", Some("GPL-3.0"), registry),
                package("banned", Some("MIT"), registry),
                package("foreign", None, Some("git+https://example.org/foreign")),
                package("only-benches", Some("GPL-3.0"), registry),
            ],
            workspace_members: vec!["own".to_owned(), "benches".to_owned()],
            resolve: Resolve {
                nodes: vec![
                    node("own", &["good", "viral"]),
                    node("good", &["banned", "foreign"]),
                    node("benches", &["only-benches"]),
                ],
            },
        };
        let ban = |name: &str| Ban { name: name.to_owned(), reason: "of old".to_owned() };
        let deny = Deny {
            graph: Graph { exclude: vec!["benches".to_owned()] },
            licenses: Licenses { allow: vec!["MIT".to_owned()] },
            bans: Bans { deny: vec![ban("banned@1"), ban("good@2")] },
        };
        let (count, found) = violations(&metadata, &deny);
        assert_eq!(count, 4);
        let expected = [
            "viral 1.2.3: GPL-3.0",
            "banned 1.2.3 is banned: of old",
            "foreign 1.2.3 comes from git+https://example.org/foreign",
            "foreign 1.2.3: no licence",
        ];
        assert_eq!(found, expected);
    }
}
