//! The layer rule: a crate depends only on crates of lower layers.
//!
//! Development dependencies are free: a test may look at anything that does not make a cycle.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// Crate and layer. A crate of the workspace that is missing here fails the check, so nobody can forget it.
const LAYERS: &[(&str, u8)] = &[
    ("feiqian-money", 0),
    ("feiqian-crypto", 0),
    ("feiqian-wire", 1),
    ("feiqian-ledger", 1),
    ("feiqian-pki", 1),
    ("feiqian-online-cash", 2),
    ("feiqian-offline-cash", 2),
    ("feiqian-cheque", 2),
    ("feiqian-clearing", 2),
    ("feiqian-store", 3),
    ("feiqian-node", 3),
    ("feiqian-bank", ROLE_LAYER),
    ("feiqian-center", ROLE_LAYER),
    ("feiqian-merchant", ROLE_LAYER),
    ("feiqian-wallet", ROLE_LAYER),
    ("feiqian-sim", 5),
    ("feiqian", 6),
    ("feiqian-benches", 7),
    ("feiqian-guard", 7),
    ("feiqian-ct", 7),
    ("feiqian-fuzz-bodies", 7),
    ("xtask", 7),
];

/// The layer of the role crates. Up to here nothing that ships may enable `hazmat`.
const ROLE_LAYER: u8 = 4;

/// The feature that opens what is insecure on purpose: textbook blind Schnorr and the attack on it.
const HAZMAT: &str = "hazmat";

/// What is read of `cargo metadata --no-deps`.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    #[serde(default)]
    features: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    /// `None` is a normal dependency; else "build" or "dev".
    kind: Option<String>,
    #[serde(default)]
    features: Vec<String>,
}

impl Dependency {
    fn is_development(&self) -> bool {
        self.kind.as_deref() == Some("dev")
    }
}

/// Reads the workspace's metadata and holds it against the layers.
///
/// # Errors
/// Names every edge that breaks the rule; also when `cargo metadata` fails.
pub(crate) fn check(root: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root)
        .output()
        .context("cargo metadata does not start")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("the answer of cargo metadata")?;
    let broken = violations(&metadata);
    if !broken.is_empty() {
        bail!("the layers are broken in {} place(s)\n  {}", broken.len(), broken.join("\n  "));
    }
    println!("layers: {} crates depend downwards only", metadata.packages.len());
    Ok(())
}

fn violations(metadata: &Metadata) -> Vec<String> {
    let layers: BTreeMap<&str, u8> = LAYERS.iter().copied().collect();
    let hazards: Hazards =
        metadata.packages.iter().map(|package| (package.name.as_str(), hazards(package))).collect();
    let mut broken = Vec::new();
    for package in &metadata.packages {
        let Some(&layer) = layers.get(package.name.as_str()) else {
            broken
                .push(format!("{} is in no layer: add it to the table in xtask/src/layers.rs", package.name));
            continue;
        };
        for dependency in package.dependencies.iter().filter(|dependency| !dependency.is_development()) {
            if let Some(&below) = layers.get(dependency.name.as_str())
                && below >= layer
            {
                broken.push(format!(
                    "{} (layer {layer}) depends on {} (layer {below})",
                    package.name, dependency.name
                ));
            }
        }
        broken.extend(enables_hazmat(package, layer, &hazards));
    }
    broken
}

/// For each crate of the workspace, its features that are `hazmat` or switch it on.
type Hazards<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

/// `hazmat`, and every feature that leads to it within the crate.
fn hazards(package: &Package) -> BTreeSet<&str> {
    let mut found = BTreeSet::from([HAZMAT]);
    loop {
        let leads_there = |enabled: &[String]| enabled.iter().any(|entry| found.contains(entry.as_str()));
        let features = package.features.iter();
        let more: Vec<&str> =
            features.filter(|(_, enabled)| leads_there(enabled)).map(|(name, _)| name.as_str()).collect();
        let before = found.len();
        found.extend(more);
        if found.len() == before {
            return found;
        }
    }
}

/// Ways in which a crate of the roles' layer or below switches `hazmat` on for whoever builds it.
/// A role crate may not do so even in its tests; a lower crate's tests are where the attack is shown.
fn enables_hazmat(package: &Package, layer: u8, hazards: &Hazards<'_>) -> Vec<String> {
    if layer > ROLE_LAYER {
        return Vec::new();
    }
    let is_hazard = |of: &str, feature: &str| match hazards.get(of) {
        Some(found) => found.contains(feature),
        None => feature == HAZMAT,
    };
    let mut broken = Vec::new();
    for dependency in &package.dependencies {
        let counts = layer == ROLE_LAYER || !dependency.is_development();
        for feature in
            dependency.features.iter().filter(|feature| counts && is_hazard(&dependency.name, feature))
        {
            broken.push(format!("{} enables `{feature}` of {}", package.name, dependency.name));
        }
    }
    if is_hazard(&package.name, "default") {
        broken.push(format!("{} has `{HAZMAT}` among its default features", package.name));
    }
    for (name, enabled) in &package.features {
        for entry in enabled {
            let of_another = entry
                .split_once('/')
                .is_some_and(|(other, feature)| is_hazard(other.trim_end_matches('?'), feature));
            if of_another && (layer == ROLE_LAYER || !is_hazard(&package.name, name)) {
                broken.push(format!("feature `{name}` of {} enables `{entry}`", package.name));
            }
        }
    }
    broken
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn dependency(name: &str, kind: Option<&str>, features: &[&str]) -> serde_json::Value {
        serde_json::json!({ "name": name, "kind": kind, "features": features, "optional": false })
    }

    fn found(name: &str, dependencies: Vec<serde_json::Value>, features: serde_json::Value) -> Vec<String> {
        let metadata = serde_json::json!({
            "packages": [{ "name": name, "dependencies": dependencies, "features": features }],
            "version": 1,
        });
        violations(&serde_json::from_value(metadata).unwrap())
    }

    fn edge(from: &str, to: &str, kind: Option<&str>) -> Vec<String> {
        found(from, vec![dependency(to, kind, &[])], serde_json::json!({}))
    }

    #[test]
    fn a_lower_layer_and_a_foreign_crate_are_allowed() {
        assert_eq!(edge("feiqian-wire", "feiqian-money", None), Vec::<String>::new());
        assert_eq!(edge("feiqian-money", "serde", None), Vec::<String>::new());
    }

    #[test]
    fn the_same_layer_is_named() {
        let broken = edge("feiqian-crypto", "feiqian-money", None);
        assert_eq!(broken, ["feiqian-crypto (layer 0) depends on feiqian-money (layer 0)"]);
    }

    #[test]
    fn a_higher_layer_is_named_also_for_build_scripts() {
        let expected = ["feiqian-ledger (layer 1) depends on feiqian-store (layer 3)"];
        assert_eq!(edge("feiqian-ledger", "feiqian-store", None), expected);
        assert_eq!(edge("feiqian-ledger", "feiqian-store", Some("build")), expected);
    }

    #[test]
    fn development_dependencies_are_free() {
        assert_eq!(edge("feiqian-ledger", "feiqian-store", Some("dev")), Vec::<String>::new());
    }

    #[test]
    fn a_crate_in_no_layer_is_named() {
        let broken = found("feiqian-new", Vec::new(), serde_json::json!({}));
        assert!(broken.first().unwrap().starts_with("feiqian-new is in no layer"), "{broken:?}");
    }

    #[test]
    fn a_role_crate_may_not_enable_hazmat_in_any_way() {
        for kind in [None, Some("build"), Some("dev")] {
            let by_edge = vec![dependency("feiqian-crypto", kind, &["hazmat"])];
            assert_eq!(
                found("feiqian-bank", by_edge, serde_json::json!({})),
                ["feiqian-bank enables `hazmat` of feiqian-crypto"]
            );
        }
        let by_feature = serde_json::json!({ "attack": ["feiqian-crypto/hazmat"] });
        assert_eq!(
            found("feiqian-wallet", Vec::new(), by_feature),
            ["feature `attack` of feiqian-wallet enables `feiqian-crypto/hazmat`"]
        );
        let weak = serde_json::json!({ "attack": ["feiqian-crypto?/hazmat"] });
        assert_eq!(found("feiqian-wallet", Vec::new(), weak).len(), 1);
    }

    #[test]
    fn a_lower_crate_keeps_hazmat_out_of_what_ships() {
        let tests = vec![dependency("feiqian-crypto", Some("dev"), &["hazmat"])];
        assert_eq!(found("feiqian-online-cash", tests, serde_json::json!({})), Vec::<String>::new());
        let ships = vec![dependency("feiqian-crypto", None, &["hazmat"])];
        assert_eq!(found("feiqian-online-cash", ships, serde_json::json!({})).len(), 1);
        let default = serde_json::json!({ "default": ["hazmat"], "hazmat": [] });
        assert_eq!(found("feiqian-crypto", Vec::new(), default).len(), 1);
        let offered = serde_json::json!({ "default": [], "hazmat": [] });
        assert_eq!(found("feiqian-crypto", Vec::new(), offered), Vec::<String>::new());
    }

    #[test]
    fn a_feature_that_leads_to_hazmat_counts_as_hazmat() {
        let metadata = serde_json::json!({ "packages": [
            { "name": "feiqian-crypto", "dependencies": [], "features": {
                "hazmat": [], "vectors": ["hazmat"], "all": ["vectors"], "testing": [] } },
            { "name": "feiqian-bank", "features": {}, "dependencies": [
                dependency("feiqian-crypto", None, &["all", "testing"])] },
        ] });
        assert_eq!(
            violations(&serde_json::from_value(metadata).unwrap()),
            ["feiqian-bank enables `all` of feiqian-crypto"]
        );
    }

    #[test]
    fn the_simulator_and_the_binary_may() {
        let attack = || vec![dependency("feiqian-crypto", None, &["hazmat"])];
        assert_eq!(found("feiqian-sim", attack(), serde_json::json!({})), Vec::<String>::new());
        assert_eq!(found("feiqian", attack(), serde_json::json!({})), Vec::<String>::new());
    }
}
