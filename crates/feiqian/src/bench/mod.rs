//! `feiqian bench`: how many coins this machine signs and verifies, how many cheques it verifies and clears.
//!
//! Each measure runs for the given time after a quarter of it as warm-up; threads run the same loop side by side.
//! Clearing is measured on the whole: nodes of their own, as `feiqian … run` runs them.
//! Figures are whole operations and nanoseconds: nothing here needs a fraction.

mod cheques;
mod clearing;
mod coins;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use feiqian_wire::error::Fault;
use serde_json::{Value, json};

use crate::output;
use cheques::Cheques;
use coins::Coins;

/// Sizes of the batches.
const BATCHES: [usize; 3] = [16, 64, 256];

/// The arithmetic behind the group, as compiled and as this processor runs it.
pub(crate) fn backend() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let wide = std::arch::is_x86_feature_detected!("avx512ifma")
            && std::arch::is_x86_feature_detected!("avx512vl");
        if cfg!(curve25519_dalek_backend = "avx512") && wide {
            return "avx512ifma";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    "serial"
}

/// Runs every measure for `seconds`.
///
/// # Errors
/// `INTERNAL` when what was made for the measures does not verify; those of the nodes that clear.
pub(crate) async fn run(seconds: u64, as_json: bool) -> Result<Value, Fault> {
    let length = Duration::from_secs(seconds);
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let (coins, cheques) = (Coins::make()?, Cheques::make(most())?);
    let mut rows = Vec::new();
    for threads in if all > 1 { vec![1, all] } else { vec![1] } {
        for batch in std::iter::once(1).chain(BATCHES) {
            // Made before the clock starts: what is measured is the checking, not the copying of its input.
            let items = coins.items(batch);
            let files = cheques.files(batch);
            let plan = Plan { batch, threads, length };
            rows.push(plan.row("blind_signing", || coins.signing(batch)));
            rows.push(plan.row("verifying", || coins::checking(&items)));
            rows.push(plan.row("verifying_cheques", || cheques.checking(files)));
        }
    }
    rows.sort_by_key(|row| ORDER.iter().position(|work| *work == output::at(row, "work")));
    let value = json!({
        "backend": backend(),
        "compiled_for": if cfg!(curve25519_dalek_backend = "avx512") { "avx512" } else { "default" },
        "cores": all,
        "seconds": seconds,
        "optimised": !cfg!(debug_assertions),
        "measures": rows,
        "clearing": [clearing::run(seconds).await?],
    });
    if !as_json && cfg!(debug_assertions) {
        output::line("This is a development build: for real figures use cargo run --release -- bench");
    }
    Ok(value)
}

/// In which order works are shown.
const ORDER: [&str; 3] = ["blind_signing", "verifying", "verifying_cheques"];

fn most() -> usize {
    BATCHES.into_iter().max().unwrap_or(1)
}

/// One measure: how many at a time, on how many threads, for how long.
#[derive(Clone, Copy)]
struct Plan {
    batch: usize,
    threads: usize,
    length: Duration,
}

impl Plan {
    /// Measures; `round` makes, for a thread, what does one batch each time it is called.
    fn row<R: FnMut()>(self, work: &str, round: impl Fn() -> R + Sync) -> Value {
        let (operations, elapsed) = self.measure(round);
        let nanos = elapsed.as_nanos().max(1);
        let busy = nanos.saturating_mul(u128::try_from(self.threads).unwrap_or(1));
        let each = busy.checked_div(u128::from(operations.max(1))).unwrap_or(0);
        json!({
            "work": work,
            "batch": self.batch,
            "threads": self.threads,
            "per_second": rate(operations, elapsed),
            "nanoseconds_each": u64::try_from(each).unwrap_or(u64::MAX),
            "operations": operations,
        })
    }

    /// How many operations all threads did together, and in what time.
    fn measure<R: FnMut()>(self, round: impl Fn() -> R + Sync) -> (u64, Duration) {
        let Self { batch, threads, length } = self;
        let start = Barrier::new(threads);
        let results: Vec<(u64, Duration)> = std::thread::scope(|scope| {
            let one = || {
                let mut round = round();
                let warm = Instant::now();
                while warm.elapsed().saturating_mul(4) < length {
                    round();
                }
                start.wait();
                let (begun, mut operations) = (Instant::now(), 0_u64);
                while begun.elapsed() < length {
                    round();
                    operations = operations.saturating_add(u64::try_from(batch).unwrap_or(u64::MAX));
                }
                (operations, begun.elapsed())
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
        });
        let operations = results.iter().fold(0_u64, |sum, (operations, _)| sum.saturating_add(*operations));
        let elapsed = results.iter().map(|(_, elapsed)| *elapsed).max().unwrap_or(length);
        (operations, elapsed)
    }
}

/// Whole operations a second.
fn rate(operations: u64, elapsed: Duration) -> u64 {
    let nanos = elapsed.as_nanos().max(1);
    let rate = u128::from(operations).saturating_mul(1_000_000_000).checked_div(nanos).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}
