//! The same work again and again: at every batch size, on every number of threads, in turns.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::output;

/// What is varied.
pub(super) struct Plans {
    /// Of one measure.
    pub(super) length: Duration,
    /// Numbers of threads, ascending.
    pub(super) threads: Vec<usize>,
    /// Sizes of the batches, ascending.
    pub(super) batches: Vec<usize>,
    /// How often everything is measured. All numbers of threads take their turn before the next run begins, so that what
    /// else the machine does falls on all of them.
    pub(super) runs: u32,
}

impl Plans {
    /// The largest batch.
    pub(super) fn most(&self) -> usize {
        self.batches.iter().copied().max().unwrap_or(1)
    }

    /// One row for each number of threads: its run with the median rate. `round` makes, for a thread, what does one batch
    /// each time it is called.
    pub(super) fn rows<R: FnMut()>(
        &self,
        work: &str,
        batch: usize,
        round: impl Fn() -> R + Sync,
    ) -> Vec<Value> {
        let mut runs: Vec<Vec<Value>> = self.threads.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.runs {
            for (threads, rows) in self.threads.iter().zip(&mut runs) {
                let plan = Plan { batch, threads: *threads, length: self.length };
                rows.push(plan.row(work, &round));
            }
        }
        let gains: Vec<_> = runs.iter().map(|rows| gain(runs.first(), rows)).collect();
        let rows = runs.into_iter().zip(gains).filter_map(|(rows, gain)| {
            let mut row = median(rows, rate_of)?;
            output::set(&mut row, "runs", self.runs);
            output::set(&mut row, "percent_of_fewest_threads", gain);
            Some(row)
        });
        rows.collect()
    }
}

/// The rate in a row.
pub(super) fn rate_of(row: &Value) -> u64 {
    output::at(row, "per_second").as_u64().unwrap_or(0)
}

/// The one in the middle.
fn median<T, K: Ord>(mut items: Vec<T>, key: impl Fn(&T) -> K) -> Option<T> {
    items.sort_by_key(key);
    let middle = items.len() / 2;
    items.into_iter().nth(middle)
}

/// The median over all runs of what a run did for a hundred that the fewest threads did in the same run.
fn gain(fewest: Option<&Vec<Value>>, own: &[Value]) -> u64 {
    let in_run =
        |(fewest, own): (&Value, &Value)| rate_of(own).saturating_mul(100).checked_div(rate_of(fewest));
    let gains: Vec<u64> = fewest.into_iter().flatten().zip(own).filter_map(in_run).collect();
    median(gains, |gain| *gain).unwrap_or(0)
}

/// One measure: how many at a time, on how many threads, for how long.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) batch: usize,
    pub(super) threads: usize,
    pub(super) length: Duration,
}

impl Plan {
    /// Measures; `round` makes, for a thread, what does one batch each time it is called.
    pub(super) fn row<R: FnMut()>(self, work: &str, round: impl Fn() -> R + Sync) -> Value {
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
pub(super) fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0)
}

/// Whole operations a second.
pub(super) fn rate(operations: u64, elapsed: Duration) -> u64 {
    let nanos = elapsed.as_nanos().max(1);
    let rate = u128::from(operations).saturating_mul(1_000_000_000).checked_div(nanos).unwrap_or(0);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_least_time_that_so_many_do_not_exceed() {
        let times: Vec<u64> = (1..=200).collect();
        assert_eq!([50, 95, 99].map(|percent| percentile(&times, percent)), [100, 190, 198]);
        assert_eq!(percentile(&[7], 99), 7);
        assert_eq!(percentile(&[], 99), 0);
    }

    #[test]
    fn the_gain_is_the_median_of_what_each_run_gained() {
        let run = |rates: [u64; 3]| rates.map(|rate| json!({"per_second": rate})).to_vec();
        let (one, two) = (run([100, 50, 80]), run([190, 55, 160]));
        // 190, 110, 200 of a hundred.
        assert_eq!(gain(Some(&one), &two), 190);
        assert_eq!(median(two, rate_of).map(|row| rate_of(&row)), Some(160));
    }
}
