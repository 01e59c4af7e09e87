//! `tidy`: what no compiler sees. Broken relative links and unfinished code fail; long files are only listed.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Lines above which a file is listed: does it hold two things?
const LONG_FILE: usize = 600;

/// What finished code does not contain. Split, so that this file does not contain them either.
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("FIX", "ME"),
    concat!("#[ign", "ore"),
];

/// Folders that hold nothing of ours.
const SKIPPED: &[&str] = &[".git", "target", "node_modules"];

/// Looks through every text of the project.
///
/// # Errors
/// Lists each broken link and each unfinished place with file and line.
pub(crate) fn check(root: &Path) -> Result<()> {
    let mut files = Vec::new();
    collect(root, &mut files)?;
    files.sort();
    let mut broken = Vec::new();
    for file in &files {
        let shown = file.strip_prefix(root).unwrap_or(file).display().to_string();
        let text = fs::read_to_string(file).with_context(|| shown.clone())?;
        let lines = text.lines().count();
        if is(file, "rs") && lines > LONG_FILE {
            println!("long: {shown} has {lines} lines");
        }
        let found = if is(file, "md") { broken_links(&text, file) } else { unfinished(&text) };
        broken.extend(found.into_iter().map(|(line, what)| format!("{shown}:{line}: {what}")));
    }
    if !broken.is_empty() {
        bail!("{} place(s)\n  {}", broken.len(), broken.join("\n  "));
    }
    println!("tidy: {} files, no broken link, nothing unfinished", files.len());
    Ok(())
}

pub(crate) fn is(file: &Path, extension: &str) -> bool {
    file.extension().is_some_and(|found| found == extension)
}

pub(crate) fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let path = entry.path();
        let kind = entry.file_type()?;
        if kind.is_dir() {
            if !SKIPPED.iter().any(|&name| entry.file_name() == name) {
                collect(&path, files)?;
            }
        } else if kind.is_file() && ["rs", "md", "py"].iter().any(|extension| is(&path, extension)) {
            files.push(path);
        }
    }
    Ok(())
}

fn unfinished(text: &str) -> Vec<(usize, String)> {
    let hits = |(index, line): (usize, &str)| {
        UNFINISHED
            .iter()
            .find(|&&word| line.contains(word))
            .map(|word| (index + 1, format!("contains `{word}`")))
    };
    text.lines().enumerate().filter_map(hits).collect()
}

/// Relative link targets that lead to no file, outside of code blocks and code spans.
fn broken_links(text: &str, file: &Path) -> Vec<(usize, String)> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut broken = Vec::new();
    let mut in_code_block = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code_block = !in_code_block;
        } else if !in_code_block {
            let missing = link_targets(line).into_iter().filter(|target| !folder.join(target).exists());
            broken.extend(missing.map(|target| (index + 1, format!("link to `{target}` leads nowhere"))));
        }
    }
    broken
}

/// The relative targets of `[text](target)` in a line, without their anchors.
fn link_targets(line: &str) -> Vec<String> {
    // Every second piece between backticks is code.
    let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
    let after_text = prose.split("](").skip(1);
    let target = |rest: &str| {
        let inside = rest.split(')').next().unwrap_or_default();
        let path = inside.split_whitespace().next().unwrap_or_default().split('#').next().unwrap_or_default();
        let elsewhere = path.contains("://") || path.starts_with("mailto:");
        (!path.is_empty() && !elsewhere).then(|| path.to_owned())
    };
    after_text.filter_map(target).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_targets_are_found_without_anchor_and_title() {
        let line =
            "see [a](one.md#part), [b](../two.md \"Two\"), [c](https://x.org/y), [d](#here), `[e](three.md)`";
        assert_eq!(link_targets(line), ["one.md", "../two.md"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named_with_its_line() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
        let text = "[good](src/main.rs)\n```\n[code](nothing.md)\n```\n[bad](nothing.md)\n";
        assert_eq!(broken_links(text, &here), [(5, "link to `nothing.md` leads nowhere".to_owned())]);
    }

    #[test]
    fn unfinished_code_is_named_with_its_line() {
        let text = format!("fn f() {{\n    {}\n}}\n", concat!("todo", "!()"));
        assert_eq!(unfinished(&text).iter().map(|(line, _)| *line).collect::<Vec<_>>(), [2]);
        assert_eq!(unfinished("fn f() {}\n"), []);
    }
}
