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
        (
            "offline.json",
            joined(feiqian_crypto::vectors::generate_offline(), feiqian_offline_cash::vectors::generate())?,
        ),
    ];
    documents.into_iter().map(|(name, document)| Ok((name, pretty(&document)?))).collect()
}

/// The vectors of two documents of one suite and group in one: those of offline cash stand in two crates.
fn joined(mut document: serde_json::Value, more: serde_json::Value) -> Result<serde_json::Value> {
    let serde_json::Value::Object(mut more) = more else { bail!("a document of vectors is an object") };
    let vectors = more.remove("vectors");
    let rest = document.as_object_mut().context("a document of vectors is an object")?;
    match (rest.remove("vectors"), vectors) {
        (Some(serde_json::Value::Array(mut all)), Some(serde_json::Value::Array(added))) if *rest == more => {
            all.extend(added);
            rest.insert("vectors".to_owned(), all.into());
            Ok(document)
        }
        _ => bail!("two documents of vectors of one suite and group"),
    }
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
    fn documents_of_one_suite_are_joined() {
        let document =
            |suite: &str, vectors: &[u8]| serde_json::json!({ "suite": suite, "vectors": vectors });
        let whole = joined(document("one", &[1, 2]), document("one", &[3])).unwrap();
        assert_eq!(whole, document("one", &[1, 2, 3]));
        assert!(joined(document("one", &[1]), document("other", &[2])).is_err());
        assert!(joined(document("one", &[1]), serde_json::json!([])).is_err());
    }

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
