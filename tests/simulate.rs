//! The simulator as typed: exit codes, what lies on disk, and that a run repeats.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

const SMALL: &str = "name = \"small\"\nduration = \"2h\"\nseed = 3\n[population]\nwallets = 3\nmerchants = { count = 1 }\n\
    [workload]\npayments_per_wallet_per_day = 24.0\n";

/// Exit code and the object that was printed.
fn feiqian(folder: &Path, arguments: &[&str]) -> (i32, Value) {
    let output = Command::new(env!("CARGO_BIN_EXE_feiqian"))
        .current_dir(folder)
        .arg("--json")
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let value =
        serde_json::from_str(text.trim()).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"));
    (output.status.code().unwrap(), value)
}

#[test]
fn a_run_leaves_a_report_and_repeats_to_the_event() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.toml"), SMALL).unwrap();
    let (code, ran) = feiqian(dir.path(), &["simulate", "s.toml"]);
    assert_eq!((code, &ran["held"]), (0, &Value::Bool(true)), "{ran}");
    let folder = dir.path().join("out/small-3");
    for name in ["manifest.json", "summary.json", "series.csv", "report.html"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    let page = std::fs::read_to_string(folder.join("report.html")).unwrap();
    let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    assert!(
        page.contains("Held.")
            && page.contains("<svg")
            && !page.contains("http://")
            && !page.contains("src=")
    );
    let (code, again) = feiqian(dir.path(), &["simulate", "--replay", "out/small-3/manifest.json"]);
    assert_eq!((code, &again["same_events"]), (0, &Value::Bool(true)), "{again}");
    let (code, resumed) = feiqian(dir.path(), &["simulate", "s.toml", "--resume"]);
    assert_eq!((code, &resumed["reused"]), (0, &Value::from(1)));
    let (code, other) = feiqian(dir.path(), &["simulate", "s.toml", "--seed", "4"]);
    assert_eq!(code, 0);
    assert_ne!(other["cells"][0]["digest"], ran["cells"][0]["digest"]);
    let (code, differ) = feiqian(dir.path(), &["compare", "out/small-3", "out/small-4"]);
    assert_eq!(code, 0);
    assert!(!differ["compared"][0]["differences"].as_array().unwrap().is_empty());
    let (code, merged) = feiqian(dir.path(), &["report", "out", "--out", "merged"]);
    assert_eq!((code, merged["groups"][0]["runs"].as_u64()), (0, Some(2)), "{merged}");
}

#[test]
fn an_assertion_that_does_not_hold_is_code_4_and_a_wrong_key_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let asserted = format!("{SMALL}[[assert]]\nexpr = \"payments.paid > 1000000\"\n");
    std::fs::write(dir.path().join("s.toml"), asserted).unwrap();
    let (code, ran) = feiqian(dir.path(), &["simulate", "s.toml"]);
    assert_eq!((code, &ran["asserts"][0]["held"]), (4, &Value::Bool(false)), "{ran}");
    std::fs::write(dir.path().join("bad.toml"), "[population]\nwalets = 3\n").unwrap();
    let (code, refused) = feiqian(dir.path(), &["simulate", "bad.toml"]);
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(code == 2 && message.contains("line 2") && message.contains("`wallets`"), "{refused}");
    std::fs::write(dir.path().join("t.csv"), "0,a,b,1.00\n1,a,b,none\n").unwrap();
    let (code, refused) = feiqian(dir.path(), &["simulate", "s.toml", "--trace", "t.csv"]);
    assert!(code == 2 && refused["error"]["message"].as_str().unwrap().contains("line 2"), "{refused}");
    let (code, _) = feiqian(dir.path(), &["simulate", "nowhere.toml"]);
    assert_ne!(code, 0);
}
