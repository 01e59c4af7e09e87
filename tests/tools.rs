//! Commands without a node: help, completions, bench, verify, wrong use.

use std::process::Command;

use serde_json::Value;

use crate::world::World;

fn text(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_feiqian")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The names under `Commands:` of a help text.
fn subcommands(help: &str) -> Vec<String> {
    let after = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    after
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_help_with_an_example() {
    let mut waiting: Vec<Vec<String>> = vec![Vec::new()];
    let mut seen = 0;
    while let Some(command) = waiting.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = text(&arguments);
        assert!(help.contains("Example"), "{command:?} shows no example");
        assert!(help.contains("--json"), "{command:?}");
        for name in subcommands(&help) {
            waiting.push(command.iter().cloned().chain([name]).collect());
        }
        seen += 1;
    }
    assert!(seen >= 35, "only {seen} commands were found");
    assert!(text(&["--help"]).contains("Exit codes:"));
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = text(&["completions", shell]);
        assert!(script.contains("withdraw") && script.contains("feiqian"), "{shell}");
    }
}

#[test]
fn bench_reports_every_measure() {
    let value: Value = serde_json::from_str(&text(&["--json", "bench", "--seconds", "1"])).unwrap();
    assert!(["avx512ifma", "avx2", "serial"].contains(&value["backend"].as_str().unwrap()));
    let measures = value["measures"].as_array().unwrap();
    let cores = value["cores"].as_u64().unwrap();
    for work in ["blind_signing", "verifying"] {
        for threads in if cores > 1 { vec![1, cores] } else { vec![1] } {
            for batch in [1, 16, 64, 256] {
                let found = measures.iter().find(|measure| {
                    measure["work"] == work && measure["threads"] == threads && measure["batch"] == batch
                });
                let rate = found.unwrap()["per_second"].as_u64().unwrap();
                assert!(rate > 100, "{work} {threads} {batch}: {rate} a second");
            }
        }
    }
}

#[test]
fn bench_measures_the_scheme_that_is_asked_for() {
    let asked = ["--json", "bench", "--seconds", "1", "--scheme", "offline"];
    let value: Value = serde_json::from_str(&text(&asked)).unwrap();
    let measures = value["measures"].as_array().unwrap();
    for (work, batch) in [
        ("issuing_offline_coins", 1),
        ("withdrawing_offline_coins", 1),
        ("spending_leaves", 64),
        ("verifying_leaves", 1),
        ("verifying_leaves", 64),
        ("naming_double_spenders", 1),
    ] {
        let found = measures.iter().find(|measure| measure["work"] == work && measure["batch"] == batch);
        let measure = found.unwrap();
        let times = ["batch_nanoseconds_p50", "batch_nanoseconds_p95", "batch_nanoseconds_p99"]
            .map(|time| measure[time].as_u64().unwrap());
        assert!(0 < times[0] && times.is_sorted(), "{measure}");
        assert!(measure["operations"].as_u64().unwrap() >= batch, "{measure}");
    }
    assert!(measures.iter().all(|measure| measure["work"] != "blind_signing"));
    assert_eq!(value["clearing"], serde_json::json!([]));
}

#[test]
fn bench_takes_batches_threads_and_runs_and_writes_a_line_for_each_measure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("measures.csv");
    let arguments =
        ["--json", "bench", "--seconds", "1", "--scheme", "online", "--threads", "1,2", "--batch", "8"];
    let more = ["--runs", "2", "--csv", path.to_str().unwrap()];
    let value: Value = serde_json::from_str(&text(&[arguments.as_slice(), &more].concat())).unwrap();
    let measures = value["measures"].as_array().unwrap();
    let found: Vec<_> = measures
        .iter()
        .map(|measure| (measure["work"].as_str().unwrap(), measure["threads"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, [("blind_signing", 1), ("blind_signing", 2), ("verifying", 1), ("verifying", 2)]);
    for measure in measures {
        assert!(measure["batch"] == 8 && measure["runs"] == 2, "{measure}");
        let gain = measure["percent_of_fewest_threads"].as_u64().unwrap();
        assert!(gain > 0 && (measure["threads"] != 1 || gain == 100), "{measure}");
    }
    let lines = std::fs::read_to_string(&path).unwrap();
    assert_eq!(lines.lines().count(), 5, "{lines}");
    assert!(lines.starts_with("work,batch,threads,per_second,"), "{lines}");
}

#[test]
fn bench_node_pays_for_what_it_counts() {
    let load = ["--json", "bench", "node", "deposit", "refresh", "--seconds", "1", "--connections", "2"];
    let value: Value =
        serde_json::from_str(&text(&[load.as_slice(), &["--prefill", "50"]].concat())).unwrap();
    let best = value["best"].as_array().unwrap();
    let names: Vec<_> = best.iter().map(|row| row["work"].as_str().unwrap()).collect();
    assert_eq!(names, ["deposit", "refresh", "deposit, 50 spent before", "refresh, 50 spent before"]);
    for row in best {
        let field = |name: &str| row[name].as_u64().unwrap_or_else(|| panic!("{name}: {row}"));
        assert!(field("operations") > 0 && field("per_second") > 0, "{row}");
        assert!(
            field("microseconds_p50") > 0 && field("microseconds_p50") <= field("microseconds_p99"),
            "{row}"
        );
        // What is counted as done was made durable by the bank meanwhile.
        assert!(field("north_commits") > 0 && field("north_works") >= field("north_commits"), "{row}");
        assert!(field("north_bytes_written_each") > 0 && field("echo_per_second") > 0, "{row}");
    }
}

#[test]
fn wrong_use_is_one_object_and_exit_code_two() {
    let world = World::empty();
    for arguments in [
        vec!["wallet", "balance", "--hom", "x"],
        vec!["wallet", "fly"],
        vec!["demo", "--log", "lo=ud=er"],
        vec!["verify", "/nonexistent"],
    ] {
        let answer = world.run(&arguments);
        answer.refused("USAGE");
        assert_eq!(answer.exit, Some(2), "{arguments:?}");
    }
}

#[test]
fn what_is_no_evidence_is_refused() {
    let world = World::empty();
    let file = world.folder().join("letter.json");
    for text in ["{}", "[]", "", "{\"coin\":1}"] {
        std::fs::write(&file, text).unwrap();
        world.run(&["verify", file.to_str().unwrap()]).refused("MALFORMED");
    }
}
