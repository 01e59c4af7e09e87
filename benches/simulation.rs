//! Simulated payments per second against the size of the population: the same people, paying online cash as often, for
//! as long as 2,000 payments take. Each world has a process of its own, so that its memory is its own.
//!
//! `cargo bench -p feiqian-benches --bench simulation` runs 100, 1,000 and 10,000 wallets; numbers behind `--` run others.

use std::process::Command;

use feiqian_sim::Source;
use feiqian_sim::run::cell::{self, Options};
use serde_json::Value;

const PAYMENTS: usize = 2000;
const PER_DAY: usize = 6;
/// Tells the child what it is.
const CHILD: &str = "FEIQIAN_BENCH_WALLETS";

fn world(wallets: usize) -> Source {
    let (shops, seconds) = (wallets.div_ceil(10), PAYMENTS * 86_400 / (PER_DAY * wallets));
    let text = format!(
        "name = \"simulation\"\nseed = 7\nduration = \"{seconds}s\"\n\
         [population]\nwallets = {wallets}\nmerchants = {{ count = {shops} }}\n\
         [workload]\npayments_per_wallet_per_day = {PER_DAY}.0\n\
         [auditor]\nevery = 0\n"
    );
    Source::parse(&text, "").expect("a scenario")
}

fn run(wallets: usize) {
    let scenario = world(wallets).scenario().expect("a scenario");
    let outcome = cell::run(&scenario, &Options::default()).expect("a run");
    assert!(outcome.held, "the books of {wallets} wallets do not agree");
    let number = |of: &Value, path: &[&str]| {
        let found = path.iter().try_fold(of, |value, name| value.get(name));
        found.and_then(Value::as_f64).unwrap_or(f64::NAN)
    };
    let summary = Value::Object(outcome.summary);
    println!(
        "{wallets:>8} {:>9} {:>12.1} {:>14.1} {:>12.0} {:>12.0}",
        number(&summary, &["payments", "paid"]),
        number(&outcome.machine, &["build_seconds"]),
        number(&outcome.machine, &["payments_per_second"]),
        number(&outcome.machine, &["kib_per_wallet_built"]),
        number(&outcome.machine, &["kib_per_wallet"]),
    );
}

fn main() {
    if let Some(wallets) = std::env::var(CHILD).ok().and_then(|text| text.parse().ok()) {
        return run(wallets);
    }
    let asked: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let populations = if asked.is_empty() { vec![100, 1000, 10_000] } else { asked };
    println!(" wallets  payments  build, s  payments/s  KiB/wallet built  at the end");
    let this = std::env::current_exe().expect("this program");
    for wallets in populations {
        let status = Command::new(&this).env(CHILD, wallets.to_string()).status().expect("a child");
        assert!(status.success(), "the world of {wallets} wallets failed");
    }
}
