//! The machine under the world: its clock, its memory, its real time by role. Nothing that is measured here
//! may change what happens in a world, and nothing of it is part of a digest.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use crate::run::panics;

/// A stopwatch of real time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts now.
    #[must_use]
    #[allow(clippy::disallowed_methods, reason = "the one place where real time is read: to report speed")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Real time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Resident memory of this process in KiB, where the system tells; else 0.
#[must_use]
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Leave for one store of a world to have a file; what it holds is the same without one, in memory.
#[derive(Debug)]
pub struct StoreFile(());

/// How many stores have it, in all worlds of this process.
static STORE_FILES: AtomicUsize = AtomicUsize::new(0);

/// How many of the files that this process may have open are for everything else.
const OTHER_FILES: usize = 512;

impl StoreFile {
    /// While there are more files than stores have.
    pub fn take() -> Option<Self> {
        static MOST: LazyLock<usize> = LazyLock::new(|| open_files().saturating_sub(OTHER_FILES));
        let one_more = |taken: usize| (taken < *MOST).then_some(taken.saturating_add(1));
        STORE_FILES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).ok().map(|_| Self(()))
    }
}

impl Drop for StoreFile {
    fn drop(&mut self) {
        STORE_FILES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How many files this process may have open, after it has asked for as many as it can get.
fn open_files() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limits.maximum, maximum: limits.maximum };
    let now = if setrlimit(Resource::Nofile, most).is_ok() { limits.maximum } else { limits.current };
    now.map_or(usize::MAX, |count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// Does `work` on every item, on as many threads as the machine has cores. What comes out stands in the order of the
/// items, so it is the same on one core and on many.
pub fn side_by_side<I: Sync, T: Send>(items: &[I], work: impl Fn(&I) -> T + Sync) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get).min(items.len());
    if threads < 2 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let some = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { return done };
            done.push((index, work(item)));
        }
    };
    let mut done = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| (some(), panics::take()))).collect();
        let mut done = some();
        for other in others {
            let (part, panic) = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            panics::take_over(panic);
            done.extend(part);
        }
        done
    });
    done.sort_unstable_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, done)| done).collect()
}

/// A word about the processor and system, for the manifest.
#[must_use]
pub fn describe() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, name)| name.trim());
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{model}, {threads} threads, {} {}", std::env::consts::OS, std::env::consts::ARCH)
}

#[derive(Default)]
struct Meter {
    /// Who is at work, the innermost last.
    stack: Vec<&'static str>,
    mark: Option<Stopwatch>,
    spent: BTreeMap<&'static str, Duration>,
}

impl Meter {
    fn charge(&mut self) {
        let now = Stopwatch::start();
        if let (Some(who), Some(mark)) = (self.stack.last(), self.mark) {
            let slot = self.spent.entry(who).or_default();
            *slot = slot.saturating_add(now.0.saturating_duration_since(mark.0));
        }
        self.mark = Some(now);
    }
}

thread_local! {
    static METER: RefCell<Meter> = RefCell::default();
}

/// Runs `work` on the account of `who`; what runs inside on another's account is not counted twice.
pub fn on_account<T>(who: &'static str, work: impl FnOnce() -> T) -> T {
    METER.with_borrow_mut(|meter| {
        meter.charge();
        meter.stack.push(who);
    });
    let done = work();
    METER.with_borrow_mut(|meter| {
        meter.charge();
        meter.stack.pop();
    });
    done
}

/// Real time spent on each account by this thread since the last call.
#[must_use]
pub fn take_accounts() -> BTreeMap<&'static str, Duration> {
    METER.with_borrow_mut(|meter| std::mem::take(&mut meter.spent))
}

/// A future whose polls are on the account of a role.
pub struct Metered<F> {
    who: &'static str,
    inner: Pin<Box<F>>,
}

impl<F: Future> Metered<F> {
    /// On the account of `who`.
    pub fn new(who: &'static str, inner: F) -> Self {
        Self { who, inner: Box::pin(inner) }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let who = self.who;
        on_account(who, || self.inner.as_mut().poll(context))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn busy(for_millis: u64) {
        let watch = Stopwatch::start();
        while watch.elapsed() < Duration::from_millis(for_millis) {}
    }

    #[test]
    fn what_is_done_side_by_side_stands_in_order() {
        let items: Vec<u64> = (0..1000).collect();
        let squares = side_by_side(&items, |item| item.pow(2));
        assert_eq!(squares, items.iter().map(|item| item.pow(2)).collect::<Vec<_>>());
        assert!(side_by_side(&[] as &[u64], |item| *item).is_empty());
    }

    #[test]
    fn a_panic_beside_is_remembered_here() {
        panics::watch();
        let items: Vec<u64> = (0..64).collect();
        let caught = |item: &u64| {
            std::thread::sleep(Duration::from_millis(1));
            std::panic::catch_unwind(|| assert!(*item == 0, "not the first")).is_err()
        };
        let failed = side_by_side(&items, caught).into_iter().filter(|failed| *failed).count();
        assert_eq!(failed, 63);
        assert!(panics::take().is_some_and(|told| told.starts_with("not the first")));
    }

    #[test]
    fn what_runs_inside_is_counted_once() {
        let _ = take_accounts();
        on_account("outer", || {
            busy(4);
            on_account("inner", || busy(20));
        });
        let spent = take_accounts();
        let of = |who: &str| spent.get(who).copied().unwrap_or_default();
        assert!(of("inner") >= Duration::from_millis(20) && of("inner") < Duration::from_millis(200));
        assert!(of("outer") >= Duration::from_millis(4) && of("outer") < of("inner"), "{spent:?}");
    }
}
