//! The simulator as typed: exit codes, what lies on disk, that a run repeats, and what is refused.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

const SMALL: &str = "name = \"small\"\nduration = \"2h\"\nseed = 3\n[population]\nwallets = 3\nmerchants = { count = 1 }\n\
    [workload]\npayments_per_wallet_per_day = 24.0\n";

const SWEEP: &str =
    "[[sweep]]\npath = \"network.latency\"\nvalues = [\"200ms\", \"1ms\"]\n[replicates]\ncount = 2\n";

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

/// What the program says against a scenario, which it must refuse as wrongly used.
fn refusal(folder: &Path, scenario: &str, arguments: &[&str]) -> String {
    std::fs::write(folder.join("bad.toml"), scenario).unwrap();
    let (code, refused) = feiqian(folder, &[&["simulate", "bad.toml"], arguments].concat());
    assert_eq!(code, 2, "{scenario}: {refused}");
    assert!(!folder.join("out").exists(), "{scenario}: nothing may have been begun");
    refused["error"]["message"].as_str().unwrap().to_owned()
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The results that must be the same in every run: not the manifests, which tell of the machine.
fn results(folder: &Path) -> Vec<String> {
    let mut cells: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cells.retain(|path| path.join("manifest.json").exists());
    cells.sort();
    let own = ["summary.json", "groups.csv"].map(|name| read(folder, name));
    let each = cells.iter().flat_map(|cell| ["summary.json", "series.csv"].map(|name| read(cell, name)));
    own.into_iter().chain(each).collect()
}

#[test]
fn a_run_leaves_a_report_and_repeats_to_the_event() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.toml"), SMALL).unwrap();
    let (code, ran) = feiqian(dir.path(), &["simulate", "s.toml"]);
    assert_eq!((code, &ran["held"]), (0, &Value::Bool(true)), "{ran}");
    let folder = dir.path().join("out/small-3");
    for name in ["manifest.json", "summary.json", "series.csv", "report.html", "tables/routes.csv"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    let page = read(&folder, "report.html");
    let page = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    assert!(
        page.contains("Held.")
            && page.contains("<svg")
            && !page.contains("http://")
            && !page.contains("https://")
            && !page.contains("src=")
    );
    assert!(page.find("Held.").unwrap() < page.find("<svg").unwrap(), "the verdict comes first");
    for part in [
        "99th",
        "Throughput",
        "circulation",
        "Coins in wallets",
        "Where value went",
        "routes.csv",
        "--replay",
    ] {
        assert!(page.contains(part), "{part}");
    }
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
    // Runs of another scenario are no replicates of this one.
    let (code, _) =
        feiqian(dir.path(), &["simulate", "s.toml", "--set", "network.latency=5ms", "--out", "out/fast"]);
    assert_eq!(code, 0);
    let (code, merged) = feiqian(dir.path(), &["report", "out", "out/fast", "--out", "merged"]);
    let groups = merged["groups"].as_array().unwrap();
    assert_eq!((code, groups.len()), (0, 2), "{merged}");
    assert!(groups.iter().any(|group| group["values"]["network.latency"] == "5ms"), "{merged}");
}

#[test]
fn an_assertion_that_does_not_hold_is_code_4() {
    let dir = tempfile::tempdir().unwrap();
    let asserted = format!("{SMALL}[[assert]]\nexpr = \"payments.paid > 1000000\"\n");
    std::fs::write(dir.path().join("s.toml"), asserted).unwrap();
    let (code, ran) = feiqian(dir.path(), &["simulate", "s.toml"]);
    assert_eq!((code, &ran["asserts"][0]["held"]), (4, &Value::Bool(false)), "{ran}");
    assert!(read(&dir.path().join("out/small-3"), "report.html").contains("Broken."));
    let (code, _) = feiqian(dir.path(), &["simulate", "nowhere.toml"]);
    assert_ne!(code, 0);
}

#[test]
fn what_cannot_be_is_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    for (scenario, parts) in [
        ("[population]\nwalets = 3\n", &["line 2", "`wallets`"][..]),
        ("duration = \"5 parsecs\"\n", &["duration"]),
        ("duration = 5\n", &["unit"]),
        ("[network]\nlatency = \"40\"\n", &["duration"]),
        ("[population]\nfunds = 3.5\n", &["text"]),
        ("[network]\nloss = 1.5\n", &["network.loss", "probability"]),
        ("[workload]\nrefunds = -0.1\n", &["workload.refunds", "probability"]),
        (
            "[[bank]]\nname = \"a\"\ncustomers = 0.5\n[[bank]]\nname = \"b\"\ncustomers = 0.6\n",
            &["bank.customers", "1.1"],
        ),
        ("[workload]\ninstruments = { online_cash = 0.5 }\n", &["workload.instruments", "sum"]),
        ("[population]\nmerchants = { count = 0 }\n", &["merchants", "nobody can be paid"]),
        ("[population]\nwallets = 0\n", &["wallets", "nobody can pay"]),
        ("[[sweep]]\npath = \"wallet.patence\"\nvalues = [\"1h\"]\n", &["patience"]),
        ("[[sweep]]\npath = \"wallet.patience\"\nvalues = []\n", &["wallet.patience", "values"]),
        ("[[sweep]]\npath = \"wallet.patience\"\nvalues = [\"1h\", 7]\n", &["wallet.patience", "unit"]),
        ("[replicates]\ncount = 60000\n[[sweep]]\npath = \"seed\"\nvalues = [1, 2]\n", &["100000 cells"]),
        ("[[assert]]\nexpr = \"payments.paid is large\"\n", &["comparison"]),
    ] {
        let message = refusal(dir.path(), scenario, &[]);
        assert!(parts.iter().all(|part| message.contains(part)), "{scenario}: {message}");
    }
    for (trace, parts) in [
        ("0,a,b,1.00\n1,a,b,none\n", &["t.csv", "line 2", "amount none"][..]),
        ("time,payer,payee,amount\n0,a,b\n", &["line 2", "3 fields"]),
        ("0,a,b,1.00,XYZ\n", &["line 1", "XYZ"]),
        ("# nothing\n", &["no payment"]),
    ] {
        std::fs::write(dir.path().join("t.csv"), trace).unwrap();
        let message = refusal(dir.path(), SMALL, &["--trace", "t.csv"]);
        assert!(parts.iter().all(|part| message.contains(part)), "{trace}: {message}");
    }
    let (code, _) = feiqian(dir.path(), &["report", "."]);
    assert_eq!(code, 2, "there is nothing to report");
}

#[test]
fn jobs_shards_and_an_end_in_the_middle_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.toml"), format!("{SMALL}{SWEEP}")).unwrap();
    let run = |arguments: &[&str]| {
        let (code, ran) = feiqian(dir.path(), &[&["simulate", "s.toml"], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {ran}");
        ran
    };
    run(&["--out", "one", "--jobs", "1"]);
    let whole = results(&dir.path().join("one/small-3"));
    assert_eq!(whole.len(), 10);
    run(&["--out", "two", "--jobs", "2"]);
    assert_eq!(results(&dir.path().join("two/small-3")), whole, "--jobs 2");

    for (shard, out) in [("1/3", "p1"), ("2/3", "p2"), ("3/3", "p3")] {
        run(&["--shard", shard, "--out", out]);
    }
    let parts = ["report", "p2/small-3", "p3/small-3", "p1/small-3", "p1/small-3", "--out", "merged"];
    let (code, merged) = feiqian(dir.path(), &parts);
    assert_eq!((code, merged["missing"].as_u64()), (0, Some(0)), "{merged}");
    for name in ["summary.json", "groups.csv"] {
        let (one, all) =
            (read(&dir.path().join("one/small-3"), name), read(&dir.path().join("merged"), name));
        assert_eq!(all, one, "{name} of shards");
    }
    let (_, partly) = feiqian(dir.path(), &["report", "p1/small-3", "--out", "partly"]);
    assert_eq!(partly["missing"].as_u64(), Some(2), "{partly}");

    // Killed without warning after its first cell; what that left is used.
    let mut child = start(dir.path(), &["simulate", "s.toml", "--out", "killed", "--jobs", "1"]);
    wait_for_a_cell(&dir.path().join("killed/small-3"), &mut child);
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = run(&["--out", "killed", "--jobs", "1", "--resume"]);
    assert!(resumed["reused"].as_u64().unwrap() >= 1, "{resumed}");
    assert_eq!(results(&dir.path().join("killed/small-3")), whole, "killed and resumed");
}

fn start(folder: &Path, arguments: &[&str]) -> std::process::Child {
    Command::new(env!("CARGO_BIN_EXE_feiqian"))
        .current_dir(folder)
        .arg("--json")
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until the first cell is complete.
fn wait_for_a_cell(folder: &Path, child: &mut std::process::Child) {
    let patience = Instant::now() + Duration::from_secs(300);
    loop {
        let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        if entries.into_iter().any(|entry| entry.path().join("manifest.json").exists()) {
            return;
        }
        assert!(child.try_wait().unwrap().is_none() && Instant::now() < patience, "no cell came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn ctrl_c_leaves_a_run_that_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let many = format!("{SMALL}[replicates]\ncount = 12\n");
    std::fs::write(dir.path().join("s.toml"), many).unwrap();
    let mut child = start(dir.path(), &["simulate", "s.toml", "--jobs", "1"]);
    wait_for_a_cell(&dir.path().join("out/small-3"), &mut child);
    let sent = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    let output = child.wait_with_output().unwrap();
    let refused: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success(), "{refused}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("--resume"), "{refused}");
    let (code, resumed) = feiqian(dir.path(), &["simulate", "s.toml", "--resume"]);
    assert_eq!((code, resumed["groups"][0]["runs"].as_u64()), (0, Some(12)), "{resumed}");
    assert!((1..12).contains(&resumed["reused"].as_u64().unwrap()), "{resumed}");
}

/// The limit on the size of a file stands for a disk that fills: both end in the middle of a write.
#[test]
fn a_disk_that_fills_fails_that_cell_and_what_is_there_is_no_result() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("s.toml"), format!("events = true\n{SMALL}")).unwrap();
    let limited = "trap '' XFSZ; ulimit -f 16; exec \"$0\" --json simulate s.toml";
    let output = Command::new("sh")
        .current_dir(dir.path())
        .args(["-c", limited, env!("CARGO_BIN_EXE_feiqian")])
        .output()
        .unwrap();
    let refused: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success(), "{refused}");
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(["write", "written", "temporary file"].iter().any(|word| message.contains(word)), "{message}");
    assert!(!dir.path().join("out/small-3/manifest.json").exists(), "it is not complete");
    let (code, resumed) = feiqian(dir.path(), &["simulate", "s.toml", "--resume"]);
    assert_eq!((code, resumed["reused"].as_u64()), (0, Some(0)), "{resumed}");
    assert!(dir.path().join("out/small-3/events.csv").exists());
}

#[test]
fn purchases_that_people_really_made_are_paid_to_the_last_row() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/trace-cdnow.csv");
    let trace = std::fs::read_to_string(&fixture).unwrap();
    std::fs::write(dir.path().join("trace.csv"), &trace).unwrap();
    std::fs::write(dir.path().join("s.toml"), "name = \"traced\"\nseed = 2\ncurrency = \"USD\"\n").unwrap();
    let rows = trace.lines().filter(|line| !line.starts_with(['#', 't'])).count() as u64;
    assert!(rows > 20);
    let arguments = ["simulate", "s.toml", "--trace", "trace.csv"];
    let (code, ran) = feiqian(dir.path(), &arguments);
    assert_eq!((code, ran["groups"][0]["paid"].as_u64()), (0, Some(rows)), "{ran}");
    // A cell of another trace is not used again, nor replayed.
    let longer = format!("{trace}{}\n", trace.lines().last().unwrap());
    std::fs::write(dir.path().join("trace.csv"), longer).unwrap();
    let (code, refused) = feiqian(dir.path(), &["simulate", "--replay", "out/traced-2/manifest.json"]);
    assert!(code == 2 && refused["error"]["message"].as_str().unwrap().contains("trace"), "{refused}");
    let (code, again) = feiqian(dir.path(), &[&arguments[..], &["--resume"]].concat());
    assert_eq!((code, again["reused"].as_u64()), (0, Some(0)), "{again}");
}
