//! Sweeps, shards, and what they leave on disk.

use std::path::Path;
use std::sync::Arc;

use feiqian_sim::adversary::Adversary;
use feiqian_sim::run::cell::{self, Options, Own, Progress};
use feiqian_sim::run::files::{Manifest, find};
use feiqian_sim::run::matrix::Work;
use feiqian_sim::run::plan::Plan;
use feiqian_sim::run::{again, compare, study};
use feiqian_sim::{SimError, Source, World};

const SWEEP: &str = "name = \"sweep\"\nduration = \"2h\"\nseed = 9\n[population]\nwallets = 3\nmerchants = { count = 1 }\n\
    [workload]\npayments_per_wallet_per_day = 24.0\n[replicates]\ncount = 2\n\
    [[sweep]]\npath = \"network.latency\"\nvalues = [\"1ms\", \"200ms\"]\n\
    [[assert]]\nexpr = \"payments.latency_ms.p50 < 100\"\nwhere = { \"network.latency\" = \"1ms\" }\n\
    [[assert]]\nexpr = \"payments.latency_ms.p50 > 100\"\nwhere = { \"network.latency\" = \"200ms\" }\n";

fn work(jobs: usize) -> Work {
    Work { jobs, ..Work::default() }
}

fn plan(source: &Source, out: &Path) -> Plan {
    Plan::new(source, out).unwrap()
}

fn digests(folder: &Path) -> Vec<String> {
    let found = find(&[folder.to_path_buf()]).unwrap();
    found.into_iter().map(|one| one.manifest.events_digest).collect()
}

#[test]
fn a_sweep_is_the_same_on_one_job_and_two_and_from_shards_and_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::parse(SWEEP, "").unwrap();
    let (one, two, parts) = (dir.path().join("one"), dir.path().join("two"), dir.path().join("parts"));
    let alone = study::run(&plan(&source, &one), &work(1)).unwrap();
    assert!(alone.held(), "{:#}", alone.json());
    assert_eq!((alone.groups.len(), alone.finished.len()), (2, 4));
    assert!(alone.folder.join("report.html").exists() && alone.folder.join("groups.csv").exists());
    let both = study::run(&plan(&source, &two), &work(2)).unwrap();
    assert_eq!(digests(&alone.folder), digests(&both.folder));
    for shard in ["1/2", "2/2"] {
        study::run(&plan(&source, &parts).shard(Some(shard.parse().unwrap())), &work(1)).unwrap();
    }
    let merged = study::report(&[parts.join("sweep-9")], &parts.join("all")).unwrap();
    assert!(merged.held());
    assert_eq!(digests(&parts.join("sweep-9")), digests(&alone.folder));
    let again = study::run(&plan(&source, &one), &Work { resume: true, ..work(1) }).unwrap();
    assert_eq!(again.reused, 4);
    let compared = compare::runs(&alone.finished, &both.finished);
    assert_eq!(compared["compared"][0]["differences"].as_array().unwrap().len(), 0);
}

#[test]
fn a_cell_that_panics_is_told_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::parse(SWEEP, "").unwrap();
    let panics = |cell: usize, _: Progress| assert!(cell != 1, "cell one falls over");
    let study = study::run(&plan(&source, dir.path()), &Work { progress: Some(Arc::new(panics)), ..work(2) });
    let study = study.unwrap();
    assert_eq!((study.finished.len(), study.failed.len()), (3, 1));
    assert!(!study.held() && study.failed[0].1.contains("cell one falls over"), "{:?}", study.failed);
    let page = std::fs::read_to_string(study.folder.join("report.html")).unwrap();
    assert!(page.contains("Broken.") && page.contains("cell one falls over"));
    let summary = std::fs::read_to_string(study.folder.join("summary.json")).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["held"], serde_json::Value::Bool(false));
    let again = study::run(&plan(&source, dir.path()), &Work { resume: true, ..work(1) }).unwrap();
    assert_eq!((again.reused, again.held()), (3, true));
}

/// Does nothing but fall over in a task of its own, where nobody asks how it ended.
struct Clumsy;

#[async_trait::async_trait]
impl Adversary for Clumsy {
    fn begin(&mut self, _world: &Arc<World>) {
        tokio::spawn(async { panic!("in the dark") });
    }

    async fn finish(&mut self, _world: &Arc<World>) {}

    async fn report(&mut self, _world: &Arc<World>) -> serde_json::Value {
        serde_json::Value::Null
    }
}

#[test]
fn a_panic_that_a_task_hides_is_no_result_either() {
    let scenario = Source::parse(SWEEP, "").unwrap().scenario().unwrap();
    let own = vec![Own::new("clumsy", || Box::new(Clumsy))];
    let refused = cell::run(&scenario, &Options { own, ..Options::default() }).unwrap_err();
    assert!(matches!(&refused, SimError::Panicked(text) if text.contains("in the dark")), "{refused}");
    assert!(cell::run(&scenario, &Options::default()).is_ok(), "the next one starts afresh");
}

#[test]
fn two_runs_of_one_cell_that_differ_are_not_merged() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::parse(&SWEEP.replace("count = 2", "count = 1"), "").unwrap();
    let study = study::run(&plan(&source, &dir.path().join("a")), &work(2)).unwrap();
    let copy = dir.path().join("b");
    std::fs::create_dir(&copy).unwrap();
    for name in ["summary.json", "series.csv"] {
        std::fs::copy(study.finished[0].folder.join(name), copy.join(name)).unwrap();
    }
    let mut manifest = study.finished[0].manifest.clone();
    let put = |manifest: &Manifest| {
        std::fs::write(copy.join("manifest.json"), serde_json::to_vec(manifest).unwrap()).unwrap();
    };
    put(&manifest);
    let folders = [study.folder.clone(), copy.clone()];
    let merged = study::report(&folders, &dir.path().join("out")).unwrap();
    assert_eq!(merged.finished.len(), 2, "the same run counts once");
    manifest.events_digest = "0".repeat(64);
    put(&manifest);
    let refused = study::report(&folders, &dir.path().join("out")).unwrap_err();
    assert!(matches!(&refused, SimError::Usage(text) if text.contains("different events")), "{refused}");
}

#[test]
fn a_manifest_replays_to_the_same_events() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = Source::parse(SWEEP, "").unwrap();
    source.put("sweep", toml::Value::Array(Vec::new())).unwrap();
    source.put("assert", toml::Value::Array(Vec::new())).unwrap();
    source.set("replicates.count", "1").unwrap();
    let study = study::run(&plan(&source, dir.path()), &work(1)).unwrap();
    let manifest = study.folder.join("manifest.json");
    assert_eq!(again::replay(&manifest, &Options::default()).unwrap().same, Some(true));
    assert!(Manifest::load(&manifest).unwrap().reproduce.contains("--replay"));
}

#[test]
fn what_is_not_needed_to_break_a_world_is_dropped() {
    let text = "duration = \"2h\"\nseed = 4\n[population]\nwallets = 8\nmerchants = { count = 1 }\n\
        [workload]\npayments_per_wallet_per_day = 48.0\n[auditor]\nevery = 0\nsettle = \"0s\"\n\
        [[fault]]\nkind = \"slow\"\nnode = \"center\"\nfactor = 2.0\nat = \"10m\"\nfor = \"5m\"\n\
        [[fault]]\nkind = \"crash\"\nnode = \"bank:first\"\nat = \"1h\"\nfor = \"1h\"\n";
    let source = Source::parse(text, "").unwrap();
    let (smallest, _) = again::shrink(&source, &Options::default()).unwrap();
    let scenario = smallest.scenario().unwrap();
    assert_eq!(scenario.fault.len(), 1, "only the dead bank leaves payments unfinished");
    assert!(scenario.population.wallets < 8);
    let whole = Source::parse("duration = \"1h\"\n", "").unwrap();
    assert!(again::shrink(&whole, &Options::default()).is_err(), "there is nothing to shrink");
}
