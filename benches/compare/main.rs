//! Feiqian's operations beside those of other schemes, and beside the single group operations that bound them.
//!
//! `cargo bench -p feiqian-benches` measures everything in one run, on one thread, in processor time; `cargo xtask bench-table` makes the
//! table of it. A group is an operation; its functions are who does it. What does several items at a time states how
//! many, and the table gives the time of one.
//!
//! Only what the operation costs is measured: inputs that an operation consumes are made before its clock starts.
//! Every peer is used as its documentation says, with randomness of the same kind as ours where it lets us choose.

mod act;
mod cheque;
mod clock;
mod coins;
mod floor;
mod nym;
mod offline;
mod online;
mod payee;
mod peers;

use std::time::Duration;

use clock::ProcessorTime;
use criterion::{BenchmarkGroup, Throughput, criterion_group, criterion_main};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

/// The operations: the names of the groups.
mod operation {
    pub(crate) const FLOOR: &str = "floor";
    pub(crate) const SIGN: &str = "bank signs";
    pub(crate) const BLIND: &str = "user blinds";
    pub(crate) const UNBLIND: &str = "user unblinds and checks";
    pub(crate) const VERIFY: &str = "verify one";
    pub(crate) const VERIFY_BATCH: &str = "verify a batch";
    pub(crate) const PAY: &str = "pay 12.50, payer";
    pub(crate) const ACCEPT: &str = "pay 12.50, verifier";
    pub(crate) const PAY_WHOLE: &str = "pay 12.50, all parties";
    pub(crate) const OFFLINE: &str = "offline coin";
    pub(crate) const CHEQUE: &str = "cheque";
}

/// Criterion, counting processor time.
type Criterion = criterion::Criterion<ProcessorTime>;

/// Sizes of the batches.
const BATCHES: [usize; 4] = [16, 64, 256, 1024];

/// A seeded generator: every run measures the same values.
fn rng() -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(20)
}

fn group<'a>(criterion: &'a mut Criterion, operation: &str) -> BenchmarkGroup<'a, ProcessorTime> {
    let mut group = criterion.benchmark_group(operation);
    group.throughput(Throughput::Elements(1));
    group
}

fn settings() -> Criterion {
    criterion::Criterion::default()
        .with_measurement(ProcessorTime)
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
        .without_plots()
}

criterion_group! {
    name = compare;
    config = settings();
    targets = floor::run, coins::run, peers::run, online::run, offline::run, nym::run, act::run, cheque::run
}
criterion_main!(compare);
