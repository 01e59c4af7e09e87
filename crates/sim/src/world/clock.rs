//! A node's clock: the world's time, and what is wrong with it there.

use std::sync::{Mutex, PoisonError};

use feiqian_node::{Clock, RuntimeClock};
use feiqian_wire::Timestamp;

/// What the world's time is at its beginning: 2027-01-15 08:00:00 UTC.
pub const BEGINNING: Timestamp = Timestamp::new(1_800_000_000);

/// The world's time with an error that a fault may put in.
#[derive(Debug)]
pub struct NodeClock {
    true_time: RuntimeClock,
    error: Mutex<Option<Skew>>,
}

#[derive(Clone, Copy, Debug)]
struct Skew {
    since: u64,
    offset: i64,
    drift_ppm: i64,
}

impl NodeClock {
    /// A clock that is right.
    #[must_use]
    pub fn new(true_time: RuntimeClock) -> Self {
        Self { true_time, error: Mutex::new(None) }
    }

    /// From now on it is `offset` seconds fast and runs `drift_ppm` parts per million faster.
    pub fn skew(&self, offset: i64, drift_ppm: i64) {
        let since = self.true_time.now().seconds();
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(Skew { since, offset, drift_ppm });
    }

    /// From now on it is right.
    pub fn repair(&self) {
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        let now = self.true_time.now().seconds();
        let Some(skew) = *self.error.lock().unwrap_or_else(PoisonError::into_inner) else {
            return Timestamp::new(now);
        };
        let passed = i64::try_from(now.saturating_sub(skew.since)).unwrap_or(i64::MAX);
        let drifted = passed.saturating_mul(skew.drift_ppm) / 1_000_000;
        Timestamp::new(now.saturating_add_signed(skew.offset.saturating_add(drifted)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_skewed_clock_is_off_and_drifts_until_it_is_repaired() {
        let clock = NodeClock::new(RuntimeClock::starting_at(BEGINNING));
        let ahead = || clock.now().seconds().saturating_sub(BEGINNING.seconds());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(ahead(), 10);
        clock.skew(100, 500_000);
        assert_eq!(ahead(), 110);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(ahead(), 125);
        clock.skew(-15, 0);
        assert_eq!(ahead(), 5);
        clock.repair();
        assert_eq!(ahead(), 20);
    }
}
