//! `feiqian bench`: how many coins this machine signs and verifies, online and offline, how many cheques it verifies and
//! clears.
//!
//! Each measure runs for the given time after a quarter of it as warm-up; threads run the same loop side by side.
//! Clearing is measured on the whole: nodes of their own, as `feiqian … run` runs them.
//! Figures are whole operations and nanoseconds: nothing here needs a fraction. A percentile is of the time that a
//! whole batch took.

mod cheques;
mod clearing;
mod coins;
mod pieces;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use feiqian_wire::error::Fault;
use serde_json::{Value, json};

use crate::cli::Scheme;
use crate::output;
use cheques::Cheques;
use coins::Coins;
use pieces::Pieces;

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

/// Runs the measures of `schemes` for `seconds` each; of all when none is named.
///
/// # Errors
/// `INTERNAL` when what was made for the measures does not verify; those of the nodes that clear.
pub(crate) async fn run(seconds: u64, schemes: &[Scheme], as_json: bool) -> Result<Value, Fault> {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let wanted = |scheme| schemes.is_empty() || schemes.contains(&scheme);
    let plans = Plans { length: Duration::from_secs(seconds), all };
    let mut rows = Vec::new();
    if wanted(Scheme::Online) {
        rows.extend(plans.online(&Coins::make()?));
    }
    if wanted(Scheme::Offline) {
        rows.extend(plans.offline(&Pieces::make()?));
    }
    if wanted(Scheme::Cheque) {
        rows.extend(plans.cheques(&Cheques::make(most())?));
    }
    rows.sort_by_key(|row| ORDER.iter().position(|work| *work == output::at(row, "work")));
    let clearing = if wanted(Scheme::Clearing) { vec![clearing::run(seconds).await?] } else { Vec::new() };
    let value = json!({
        "backend": backend(),
        "compiled_for": if cfg!(curve25519_dalek_backend = "avx512") { "avx512" } else { "default" },
        "cores": all,
        "seconds": seconds,
        "optimised": !cfg!(debug_assertions),
        "measures": rows,
        "clearing": clearing,
    });
    if !as_json && cfg!(debug_assertions) {
        output::line("This is a development build: for real figures use cargo run --release -- bench");
    }
    Ok(value)
}

/// In which order works are shown.
const ORDER: [&str; 8] = [
    "blind_signing",
    "verifying",
    "issuing_offline_coins",
    "withdrawing_offline_coins",
    "spending_leaves",
    "verifying_leaves",
    "naming_double_spenders",
    "verifying_cheques",
];

/// How long each measure runs, on one thread and on all.
struct Plans {
    length: Duration,
    all: usize,
}

impl Plans {
    /// Every batch size, on one thread and on all.
    fn each<'a>(
        &'a self,
        batches: impl Iterator<Item = usize> + Clone + 'a,
    ) -> impl Iterator<Item = Plan> + 'a {
        let threads = if self.all > 1 { vec![1, self.all] } else { vec![1] };
        let plan = |batch, threads| Plan { batch, threads, length: self.length };
        threads.into_iter().flat_map(move |threads| batches.clone().map(move |batch| plan(batch, threads)))
    }

    fn online(&self, coins: &Coins) -> Vec<Value> {
        let rows = self.each(batches()).flat_map(|plan| {
            // Made before the clock starts: what is measured is the checking, not the copying of its input.
            let items = coins.items(plan.batch);
            [
                plan.row("blind_signing", || coins.signing(plan.batch)),
                plan.row("verifying", || coins::checking(&items)),
            ]
        });
        rows.collect()
    }

    fn offline(&self, pieces: &Pieces) -> Vec<Value> {
        let single = self.each(std::iter::once(1)).flat_map(|plan| {
            [
                plan.row("issuing_offline_coins", || pieces.issuing()),
                plan.row("withdrawing_offline_coins", || pieces.withdrawing()),
                plan.row("naming_double_spenders", || pieces.naming()),
            ]
        });
        let leaves = self.each(std::iter::once(pieces::LEAVES));
        let spent = leaves.map(|plan| plan.row("spending_leaves", || pieces.paying()));
        let checked = self.each([1, pieces::LEAVES].into_iter()).map(|plan| {
            let shown = pieces.shown(plan.batch);
            plan.row("verifying_leaves", || pieces::checking(&shown))
        });
        single.chain(spent).chain(checked).collect()
    }

    fn cheques(&self, cheques: &Cheques) -> Vec<Value> {
        let rows = self.each(batches()).map(|plan| {
            let files = cheques.files(plan.batch);
            plan.row("verifying_cheques", || cheques.checking(files))
        });
        rows.collect()
    }
}

fn batches() -> impl Iterator<Item = usize> + Clone {
    std::iter::once(1).chain(BATCHES)
}

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
        let Measured { mut rounds, elapsed } = self.measure(round);
        rounds.sort_unstable();
        let count = u64::try_from(rounds.len()).unwrap_or(u64::MAX);
        let operations = count.saturating_mul(u64::try_from(self.batch).unwrap_or(u64::MAX));
        let nanos = elapsed.as_nanos().max(1);
        let busy = nanos.saturating_mul(u128::try_from(self.threads).unwrap_or(1));
        let each = busy.checked_div(u128::from(operations.max(1))).unwrap_or(0);
        json!({
            "work": work,
            "batch": self.batch,
            "threads": self.threads,
            "per_second": rate(operations, elapsed),
            "nanoseconds_each": u64::try_from(each).unwrap_or(u64::MAX),
            "batch_nanoseconds_p50": percentile(&rounds, 50),
            "batch_nanoseconds_p95": percentile(&rounds, 95),
            "batch_nanoseconds_p99": percentile(&rounds, 99),
            "operations": operations,
        })
    }

    /// What all threads did together.
    fn measure<R: FnMut()>(self, round: impl Fn() -> R + Sync) -> Measured {
        let Self { threads, length, .. } = self;
        let start = Barrier::new(threads);
        let results: Vec<(Vec<u64>, Duration)> = std::thread::scope(|scope| {
            let one = || {
                let mut round = round();
                let warm = Instant::now();
                while warm.elapsed().saturating_mul(4) < length {
                    round();
                }
                start.wait();
                let (begun, mut rounds) = (Instant::now(), Vec::new());
                let mut before = Duration::ZERO;
                while before < length {
                    round();
                    let now = begun.elapsed();
                    let took = now.saturating_sub(before).as_nanos();
                    rounds.push(u64::try_from(took).unwrap_or(u64::MAX));
                    before = now;
                }
                (rounds, before)
            };
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
        });
        let elapsed = results.iter().map(|(_, elapsed)| *elapsed).max().unwrap_or(length);
        Measured { rounds: results.into_iter().flat_map(|(rounds, _)| rounds).collect(), elapsed }
    }
}

/// How long every batch took, nanoseconds, and all of them together.
struct Measured {
    rounds: Vec<u64>,
    elapsed: Duration,
}

/// The smallest of the sorted times that at least `percent` of a hundred do not exceed; 0 of none.
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// Whole operations a second.
fn rate(operations: u64, elapsed: Duration) -> u64 {
    let nanos = elapsed.as_nanos().max(1);
    let rate = u128::from(operations).saturating_mul(1_000_000_000).checked_div(nanos).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::percentile;

    #[test]
    fn a_percentile_is_the_least_time_that_so_many_do_not_exceed() {
        let times: Vec<u64> = (1..=200).collect();
        assert_eq!([50, 95, 99].map(|percent| percentile(&times, percent)), [100, 190, 198]);
        assert_eq!(percentile(&[7], 99), 7);
        assert_eq!(percentile(&[], 99), 0);
    }
}
