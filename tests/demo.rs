//! The demo passes, notices a broken step, and leaves nothing running however it ends.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::world::{signal, wait_until};

fn demo(keep: &Path, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_feiqian"))
        .args(["--json", "demo", "--keep"])
        .arg(keep)
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Processes of the demo in this folder that still run.
fn left_running(keep: &Path) -> Vec<String> {
    let wanted = keep.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(wanted))
        .collect()
}

fn nothing_left(keep: &Path) {
    let gone = wait_until(Duration::from_secs(15), || left_running(keep).is_empty().then_some(()));
    assert!(gone.is_some(), "still running: {:?}", left_running(keep));
}

#[test]
fn the_whole_story_holds() {
    let folder = tempfile::tempdir().unwrap();
    let keep = folder.path().join("demo");
    let begun = Instant::now();
    let output = demo(&keep, &[]).wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let story: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(story["held"], true);
    let steps = story["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 31, "{story}");
    assert!(steps.iter().all(|step| step["milliseconds"].is_u64()));
    for (number, step) in (1_u64..).zip(steps) {
        assert_eq!(step["step"], number, "{step}");
    }
    // The offline chapter, told by processes that were dead meanwhile.
    let facts = |number: usize| steps[number - 1]["facts"].to_string();
    for name in ["center", "north", "south"] {
        assert!(facts(14).contains(&format!("{name} is dead")), "{}", facts(14));
    }
    assert!(facts(15).contains("bytes") && facts(16).contains("code"), "{} {}", facts(15), facts(16));
    assert!(facts(20).contains("left alice's account: 27.00"), "{}", facts(20));
    assert!(begun.elapsed() < Duration::from_secs(120));
    assert!(keep.join("alice").join("store.db").exists(), "the homes are kept");
    nothing_left(&keep);
}

#[test]
fn a_broken_step_makes_it_fail() {
    for (spoil, step) in [("expectation", "step 4"), ("node", "step 5")] {
        let folder = tempfile::tempdir().unwrap();
        let keep = folder.path().join("demo");
        let output = demo(&keep, &["--break", spoil]).wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(4), "{spoil}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["error"]["code"], "BROKEN_INVARIANT");
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.starts_with(step), "{spoil}: {message}");
        nothing_left(&keep);
    }
}

#[test]
fn it_leaves_nothing_when_it_is_interrupted_or_killed() {
    for name in ["INT", "KILL"] {
        let folder = tempfile::tempdir().unwrap();
        let keep = folder.path().join("demo");
        let mut child = demo(&keep, &[]);
        let started = wait_until(Duration::from_secs(30), || (left_running(&keep).len() >= 3).then_some(()));
        assert!(started.is_some());
        signal(&child, name);
        let status = child.wait().unwrap();
        assert!(!status.success());
        nothing_left(&keep);
    }
}
