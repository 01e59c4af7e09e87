//! Long-running work: how it is told to stop, and how it waits between attempts.

use std::future::Future;
use std::time::Duration;

use feiqian_wire::error::Fault;
use rand::Rng;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

/// A signal to stop, shared by every task of a node. Clones are one signal.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A signal nobody has given yet.
    #[must_use]
    pub fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// Tells everybody to stop. Giving the signal again changes nothing.
    pub fn trigger(&self) {
        self.0.send_replace(true);
    }

    /// Whether the signal was given.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the signal is given; returns at once when it was given before.
    pub async fn wait(&self) {
        let mut receiver = self.0.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = receiver.wait_for(|stop| *stop).await;
    }

    /// Waits for `pause`, or less when the signal comes. Answers whether work may go on.
    pub async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.wait() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }

    /// Gives the signal when the process is interrupted (Ctrl-C) or asked to terminate (SIGTERM).
    ///
    /// # Errors
    /// When the operating system refuses to deliver signals to this process.
    pub fn on_signals(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = shutdown.wait() => {}
                _ = interrupt.recv() => tracing::info!("interrupted, shutting down"),
                _ = terminate.recv() => tracing::info!("asked to terminate, shutting down"),
            }
            shutdown.trigger();
        });
        Ok(())
    }
}

/// Growing, jittered pauses between attempts at something that fails.
///
/// The n-th pause is uniform in `[half, whole]` of `first · 2ⁿ`, at most `longest`: the jitter keeps peers that
/// failed together from returning together.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
}

impl Backoff {
    /// Pauses that start at `first` and never exceed `longest`.
    #[must_use]
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest, next: first.min(longest) }
    }

    /// How long to wait before the next attempt.
    pub fn next_pause(&mut self, rng: &mut impl Rng) -> Duration {
        let whole = self.next;
        self.next = whole.saturating_mul(2).min(self.longest);
        let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
        let half = nanos / 2;
        let span = nanos.saturating_sub(half).saturating_add(1);
        // The bias of the remainder is below 2⁻²⁰ for pauses under a few hours: irrelevant to jitter.
        Duration::from_nanos(half.saturating_add(rng.next_u64().checked_rem(span).unwrap_or(0)))
    }

    /// An attempt succeeded: the next pause is the first one again.
    pub fn reset(&mut self) {
        self.next = self.first.min(self.longest);
    }
}

/// One fetch for many who ask at once.
///
/// A fetch serves everybody who asked before it began, so nobody is answered from news older than the question; two
/// fetches begin at least a pause apart, so nobody can make a node ask without end. Whoever comes in the pause waits.
#[derive(Debug)]
pub struct Coalesced {
    pause: Duration,
    last: Mutex<Option<(Instant, Result<(), Fault>)>>,
}

impl Coalesced {
    /// Fetches that begin at least `pause` apart.
    #[must_use]
    pub fn new(pause: Duration) -> Self {
        Self { pause, last: Mutex::new(None) }
    }

    /// Waits for a fetch that begins after this call, own or another's.
    ///
    /// # Errors
    /// The fault of that fetch.
    pub async fn run<F>(&self, fetch: impl FnOnce() -> F) -> Result<(), Fault>
    where
        F: Future<Output = Result<(), Fault>>,
    {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some((begun, result)) = &*last {
            // Strictly later: on a simulated clock, what happens at one instant is in no order.
            if *begun > asked {
                return result.clone();
            }
            tokio::time::sleep(self.pause.saturating_sub(begun.elapsed())).await;
        }
        let begun = Instant::now();
        let result = fetch().await;
        *last = Some((begun, result.clone()));
        result
    }
}

#[cfg(test)]
mod tests {
    use feiqian_wire::error::Code;
    use rand::SeedableRng;
    use rand::rngs::ChaCha12Rng;

    use super::*;

    #[test]
    fn pauses_double_within_their_bounds_and_start_again() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(450));
        for whole in [100, 200, 400, 450, 450] {
            let pause = backoff.next_pause(&mut rng);
            assert!(pause >= Duration::from_millis(whole / 2), "{pause:?} of {whole}");
            assert!(pause <= Duration::from_millis(whole), "{pause:?} of {whole}");
        }
        backoff.reset();
        assert!(backoff.next_pause(&mut rng) <= Duration::from_millis(100));
    }

    #[tokio::test]
    async fn a_request_to_terminate_is_the_signal() -> std::io::Result<()> {
        let shutdown = Shutdown::new();
        shutdown.on_signals()?;
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::TERM)?;
        shutdown.wait().await;
        assert!(shutdown.is_triggered());
        Ok(())
    }

    #[tokio::test(start_paused = true)]
    async fn one_fetch_serves_all_who_asked_before_it_began() {
        let fetches = std::sync::atomic::AtomicU32::new(0);
        let count = || fetches.load(std::sync::atomic::Ordering::SeqCst);
        let news = Coalesced::new(Duration::from_secs(1));
        let fetch = || async {
            fetches.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok(())
        };
        let begun = Instant::now();
        let (first, second, third) = tokio::join!(news.run(fetch), news.run(fetch), news.run(fetch));
        assert_eq!((first, second, third), (Ok(()), Ok(()), Ok(())));
        assert_eq!(count(), 2, "the two that asked while the first fetch ran share one that began later");
        assert!(begun.elapsed() >= Duration::from_secs(1), "and it kept the pause");
        tokio::time::sleep(Duration::from_secs(5)).await;
        let failed = news.run(|| async { Err(Fault::new(Code::Unavailable, "no answer")) }).await;
        assert_eq!(failed.map_err(|fault| fault.code), Err(Code::Unavailable));
    }

    #[tokio::test]
    async fn every_waiting_task_sees_the_signal() {
        let shutdown = Shutdown::new();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.pause(Duration::from_secs(3600)).await }
        });
        assert!(!shutdown.is_triggered());
        shutdown.clone().trigger();
        assert!(!waiting.await.unwrap_or(true), "the pause is cut short");
        assert!(!shutdown.pause(Duration::from_secs(3600)).await, "and later ones do not begin");
        shutdown.wait().await;
    }
}
