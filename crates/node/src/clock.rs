//! Time as a node sees it: one trait, read from the operating system in production and from the runtime's virtual
//! clock in a simulated world.
//!
//! Nothing else in a node reads a wall clock. Durations that only bound waiting (time limits, retries) come from
//! `tokio::time`, which a simulated world pauses.

use std::sync::atomic::{AtomicU64, Ordering};

use feiqian_wire::Timestamp;

/// Where a node's time comes from.
pub trait Clock: Send + Sync {
    /// Unix time in whole seconds.
    fn now(&self) -> Timestamp;
}

/// The operating system's wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seconds = since.map_or(0, |elapsed| elapsed.as_secs());
        #[cfg(feature = "test-faults")]
        let seconds = wrong(seconds);
        Timestamp::new(seconds)
    }
}

/// What a clock shows that is wrong by as many seconds as the file says that `FEIQIAN_CLOCK` names. The file is read each
/// time, so that the clock of a running process can jump. Compiled only with the feature `test-faults`.
#[cfg(feature = "test-faults")]
fn wrong(seconds: u64) -> u64 {
    static FILE: std::sync::LazyLock<Option<std::ffi::OsString>> =
        std::sync::LazyLock::new(|| std::env::var_os("FEIQIAN_CLOCK"));
    let said = FILE.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    let by: i64 = said.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    seconds.saturating_add_signed(by)
}

/// Time that starts at a chosen moment and passes as the Tokio runtime's clock does.
///
/// In a runtime with a paused clock this is virtual time: it moves only when every task waits.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeClock {
    origin: Timestamp,
    started: tokio::time::Instant,
}

impl RuntimeClock {
    /// A clock that reads `origin` now. Call it inside the runtime whose time it follows.
    #[must_use]
    pub fn starting_at(origin: Timestamp) -> Self {
        Self { origin, started: tokio::time::Instant::now() }
    }
}

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        self.origin.saturating_add(self.started.elapsed().as_secs())
    }
}

/// A clock that stands still until it is told otherwise: for tests, and for nodes whose clock a scenario skews.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at `now`.
    #[must_use]
    pub const fn new(now: Timestamp) -> Self {
        Self(AtomicU64::new(now.seconds()))
    }

    /// Moves the clock to `now`, forwards or backwards.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.seconds(), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::new(self.0.load(Ordering::Relaxed))
    }
}
