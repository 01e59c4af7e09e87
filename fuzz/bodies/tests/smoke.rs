//! Every target over its seeds and a while of random mutations, as an ordinary test.
//!
//! The random numbers are fixed, so that a failure here is one everywhere; `cargo xtask fuzz` goes on from a fresh place.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::time::Duration;

use feiqian_fuzz_bodies::messages::target_name;
use feiqian_fuzz_bodies::run::{self, Effort, Report};
use feiqian_fuzz_bodies::{Target, Verdict, all, find, seeds};
use feiqian_node::listing::Calls;
use feiqian_wire::{Code, Limit, codec};

/// What each target gets: whichever ends first.
const EFFORT: Effort = Effort { time: Duration::from_millis(300), inputs: 3000, seed: 2026 };

/// Messages that no world of the seeds happens to send. The mutator begins with random bytes there.
const WITHOUT_SEEDS: &[&str] = &[
    "Answers-Outcome",
    "Batch-CashItem",
    "CertificateRecovery",
    "ClearedRequest",
    "ClearedResponse",
    "CoinState",
    "CoinStateRequest",
    "Generations",
    "GenerationsRequest",
    "Handed-FinishRequest",
    "Handed-offline_cash-CommitRequest",
    "Handed-offline_cash-FinishRequest",
    "RecoveredCertificates",
    "Presented-offline_cash-ClaimOutcome",
    "Presentment-offline_cash-ClaimItem",
    "file-accusation",
    "offline_cash-Accusation",
    "offline_cash-AttestedSession",
    "offline_cash-OverdueClaim",
];

fn try_all(targets: BTreeMap<String, Target>) -> BTreeMap<String, Report> {
    let waiting = Mutex::new(targets.into_values());
    let reports = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(target) = waiting.lock().unwrap().next() else { return };
                    let report = run::run(&target, EFFORT);
                    reports.lock().unwrap().insert(target.name, report);
                }
            });
        }
    });
    reports.into_inner().unwrap()
}

#[test]
fn nothing_that_arrives_breaks_a_rule() {
    let reports = try_all(all());
    println!("seed {}: {} inputs", EFFORT.seed, reports.values().map(|report| report.inputs).sum::<u64>());
    let mut broken = Vec::new();
    for (name, report) in &reports {
        if let Some((input, reason)) = &report.broken {
            let kept = run::keep(&find(name).unwrap(), input).unwrap();
            broken.push(format!("{name}: {reason}\n  {}", kept.display()));
        }
        // A target that accepts nothing tries nothing but its first field.
        assert!(
            report.accepted > 0 || report.seeds == 0,
            "{name} accepts none of its {} seeds",
            report.seeds
        );
        assert!(report.inputs > u64::try_from(report.seeds).unwrap(), "{name} was not mutated");
    }
    assert!(broken.is_empty(), "with seed {}:\n{}", EFFORT.seed, broken.join("\n"));
    let bare: Vec<&String> =
        reports.iter().filter(|(_, report)| report.seeds == 0).map(|(name, _)| name).collect();
    let unknown: Vec<_> = bare.into_iter().filter(|name| !WITHOUT_SEEDS.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "without a seed, which `cargo xtask fuzz --seeds` makes: {unknown:?}");
}

/// A node with a call whose messages are no target would take bytes that nobody tried.
#[test]
fn every_message_of_every_call_is_a_target() {
    let targets: BTreeSet<String> = all().into_keys().collect();
    let nodes = feiqian_fuzz_bodies::collect::calls().unwrap();
    assert_eq!(nodes.len(), 4, "center, bank, merchant, wallet");
    for (node, calls) in nodes {
        for call in calls.iter() {
            for message in [&call.request, &call.answer] {
                let name = target_name(message);
                assert!(
                    name.is_empty() || targets.contains(&name),
                    "{node} {}: add `{message}` to fuzz/bodies/src/messages.rs",
                    call.path
                );
            }
        }
    }
}

#[test]
fn seeds_are_small_and_belong_to_targets() {
    let targets = all();
    for entry in std::fs::read_dir(seeds::folder()).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        assert!(name == "world" || targets.contains_key(&name), "no target is called {name}");
        for seed in std::fs::read_dir(entry.path()).unwrap().map(Result::unwrap) {
            assert!(seed.metadata().unwrap().len() <= 64 << 10, "{}", seed.path().display());
        }
    }
    assert!(seeds::context().is_some());
}

/// The bodies see what they are to see: a wrong one would accept everything, or nothing.
#[test]
fn bodies_tell_good_from_bad() {
    let target = find("Fault").unwrap();
    let good = seeds::of(&target).first().unwrap().clone();
    assert_eq!((target.run)(&good), Verdict::Accepted);
    assert_eq!((target.run)(&[good.clone(), vec![0]].concat()), Verdict::Refused(Code::Malformed));
    assert_eq!((target.run)(b"{}"), Verdict::Refused(Code::Malformed));
    let mut newer = good;
    *newer.get_mut(2).unwrap() = 9;
    assert_eq!((target.run)(&newer), Verdict::Refused(Code::UnsupportedVersion));
    let mut forged = seeds::of(&find("file-evidence").unwrap()).first().unwrap().clone();
    let at = forged.iter().rposition(|byte| *byte == b'7').unwrap();
    *forged.get_mut(at).unwrap() = b'8';
    assert_ne!((find("file-evidence").unwrap().run)(&forged), Verdict::Accepted);
}

/// The same seed, the same inputs: a failure can be had again.
#[test]
fn mutation_is_a_function_of_its_seed() {
    let target = find("SignedRequest").unwrap();
    let effort = Effort { time: Duration::from_secs(60), inputs: 300, seed: 7 };
    let [one, two] = [(); 2].map(|()| run::run(&target, effort));
    assert_eq!((one.inputs, one.accepted), (two.inputs, two.accepted));
    assert!(one.accepted < one.inputs);
    let other = run::run(&target, Effort { seed: 8, ..effort });
    assert_ne!(one.accepted, other.accepted);
}

/// Decoding takes memory in proportion to its input: a count is believed only as far as the bytes go.
#[test]
fn announced_counts_take_no_memory() {
    for target in all().into_values().filter(|target| target.message.is_some()) {
        for seed in seeds::of(&target) {
            for at in (4..seed.len().min(400)).step_by(4) {
                let mut huge = seed.clone();
                let count = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
                for (byte, new) in huge.iter_mut().skip(at).zip(count) {
                    *byte = new;
                }
                // Were it believed, this would be the end of the process.
                let _ = (target.run)(&huge);
            }
        }
    }
    let calls: Result<Calls, _> = codec::decode(b"FQ\x01\0\xff\xff\xff\xff\0\0\0\0", Limit::Large);
    assert!(calls.is_err());
}
