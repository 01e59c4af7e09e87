//! `vectors`: writes the published test vectors, or checks that the code still computes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// Where the vectors are published.
const FOLDER: &str = "docs/spec/vectors";

/// Every published file and what belongs into it.
fn generate() -> Result<Vec<(&'static str, String)>> {
    let documents = [
        ("crypto.json", feiqian_crypto::vectors::generate()),
        ("online-cash.json", feiqian_online_cash::vectors::generate()),
        ("clearing.json", feiqian_clearing::vectors::generate()),
    ];
    documents.into_iter().map(|(name, document)| Ok((name, pretty(&document)?))).collect()
}

/// Indented, with a final newline.
fn pretty(document: &serde_json::Value) -> Result<String> {
    Ok(serde_json::to_string_pretty(document).context("writing JSON")? + "\n")
}

/// Writes every file.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn write(root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    for (name, text) in generate()? {
        fs::write(folder.join(name), &text).with_context(|| format!("{FOLDER}/{name}"))?;
        println!("vectors: wrote {FOLDER}/{name}, {} bytes", text.len());
    }
    Ok(())
}

/// Compares the published files with what the code computes now, byte by byte.
///
/// # Errors
/// Names each file that differs, is missing, or is not one of ours.
pub(crate) fn check(root: &Path) -> Result<()> {
    let expected = generate()?;
    let broken = differences(&root.join(FOLDER), &expected)?;
    if !broken.is_empty() {
        bail!(
            "{}\nif the change is meant, `cargo xtask vectors` writes them anew, and the specification and \
             docs/spec/check.py must say the same",
            broken.join("\n")
        );
    }
    println!("vectors: {} file(s) are what the code computes", expected.len());
    Ok(())
}

fn differences(folder: &Path, expected: &[(&str, String)]) -> Result<Vec<String>> {
    let mut broken = Vec::new();
    for (name, text) in expected {
        match fs::read(folder.join(name)) {
            Ok(found) if found == text.as_bytes() => {}
            Ok(found) => broken.push(format!("{name} differs{}", first_difference(&found, text))),
            Err(error) => broken.push(format!("{name}: {error}")),
        }
    }
    let ours: BTreeSet<&str> = expected.iter().map(|(name, _)| *name).collect();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !ours.contains(name.as_str()) {
            broken.push(format!("{name} is no file of vectors that the code writes"));
        }
    }
    Ok(broken)
}

fn first_difference(found: &[u8], expected: &str) -> String {
    let found = String::from_utf8_lossy(found);
    let line = found.lines().zip(expected.lines()).position(|(one, other)| one != other);
    line.map_or_else(|| " in length".to_owned(), |line| format!(" from line {}", line + 1))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_foreign_file_are_named() {
        let folder = std::env::temp_dir().join(format!("xtask-vectors-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let expected = [("one.json", "a\nb\n".to_owned())];
        let missing = differences(&folder, &expected).unwrap();
        fs::write(folder.join("one.json"), "a\nb\n").unwrap();
        let same = differences(&folder, &expected).unwrap();
        fs::write(folder.join("one.json"), "a\nc\n").unwrap();
        fs::write(folder.join("two.json"), "").unwrap();
        let both = differences(&folder, &expected).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!((missing.len(), same.len()), (1, 0));
        assert_eq!(
            both,
            ["one.json differs from line 2", "two.json is no file of vectors that the code writes"]
        );
    }
}
