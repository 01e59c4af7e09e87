//! Many connections that do the same again and again, and how long each time takes.
//!
//! A closed loop sends the next request when the answer to the last one is there: the rate is what the nodes give. In an
//! open loop requests are due at fixed times; who is answered late is late from when it was due, also where all
//! connections were busy then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use feiqian_node::Dialer;
use feiqian_wire::error::{Code, Fault};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use super::line::Line;
use super::watch::{Reading, Watch};

/// Something that a connection does again and again.
pub(super) trait Operation: Send + Sync + 'static {
    /// Does it once; `false` when nothing is left to do it with.
    fn once(&self, line: &mut Line) -> impl Future<Output = Result<bool, Fault>> + Send;
}

/// One step of a load.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) connections: u32,
    /// So many a second; none for a closed loop.
    pub(super) rate: Option<u64>,
    pub(super) length: Duration,
}

impl Step {
    fn warm_up(&self) -> Duration {
        self.length.checked_div(4).unwrap_or_default()
    }

    /// How long it lasts with its warm-up.
    pub(super) fn whole(&self) -> Duration {
        self.length.saturating_add(self.warm_up())
    }
}

/// What a step did after its warm-up.
pub(super) struct Done {
    pub(super) step: Step,
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
    /// Microseconds.
    pub(super) times: Histogram<u64>,
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) repeats: u64,
    /// What the processes used from the end of the warm-up to the last answer.
    pub(super) used: Reading,
}

impl Done {
    /// Whole operations a second.
    pub(super) fn rate(&self) -> u64 {
        super::super::rate(self.operations, self.elapsed)
    }

    /// Whether a closed loop ended well before its time, for want of something to do it with.
    pub(super) fn is_short(&self) -> bool {
        self.step.rate.is_none() && self.elapsed.saturating_mul(10) < self.step.length.saturating_mul(9)
    }
}

/// When what happens in a step.
#[derive(Clone, Copy)]
struct Times {
    begin: Instant,
    measure: Instant,
    end: Instant,
    /// Time between two that are due, nanoseconds.
    pace: Option<u64>,
}

impl Times {
    fn of(step: &Step) -> Option<Self> {
        let begin = Instant::now();
        let measure = begin.checked_add(step.warm_up())?;
        let end = measure.checked_add(step.length)?;
        Some(Self {
            begin,
            measure,
            end,
            pace: step.rate.and_then(|rate| 1_000_000_000_u64.checked_div(rate)),
        })
    }

    /// When the `number`th is due in an open loop.
    fn due(&self, number: u64) -> Option<Instant> {
        let after = self.pace?.saturating_mul(number);
        self.begin.checked_add(Duration::from_nanos(after))
    }
}

/// What one connection did.
struct Share {
    line: Line,
    times: Histogram<u64>,
    last: Instant,
}

fn broken(error: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Internal, error.to_string())
}

fn histogram() -> Result<Histogram<u64>, Fault> {
    Histogram::new(3).map_err(broken)
}

async fn one_connection<O: Operation>(
    operation: Arc<O>,
    mut line: Line,
    ticket: Arc<AtomicU64>,
    plan: Times,
) -> Result<Share, Fault> {
    let mut times = histogram()?;
    let mut last = plan.measure;
    loop {
        let begun = match plan.due(ticket.fetch_add(1, Ordering::Relaxed)) {
            Some(due) if due >= plan.end => break,
            Some(due) => {
                tokio::time::sleep_until(due.into()).await;
                due
            }
            None => Instant::now(),
        };
        if Instant::now() >= plan.end || !operation.once(&mut line).await? {
            break;
        }
        let now = Instant::now();
        if now >= plan.measure {
            let took = now.saturating_duration_since(begun).as_micros();
            times.record(u64::try_from(took).unwrap_or(u64::MAX)).map_err(broken)?;
            last = now;
        } else {
            (line.sent, line.received, line.repeats) = (0, 0, 0);
        }
    }
    Ok(Share { line, times, last })
}

/// Drives a node with one step of load.
///
/// # Errors
/// What the node refuses.
pub(super) async fn drive<O: Operation>(
    operation: Arc<O>,
    dialer: &Dialer,
    watch: &mut Watch,
    step: Step,
) -> Result<Done, Fault> {
    let mut lines = Vec::new();
    for _ in 0..step.connections {
        lines.push(Line::open(dialer).await?);
    }
    let ticket = Arc::new(AtomicU64::new(0));
    let times = Times::of(&step).ok_or_else(|| broken("the clock has no such time"))?;
    let mut under_way = JoinSet::new();
    for line in lines {
        under_way.spawn(one_connection(Arc::clone(&operation), line, Arc::clone(&ticket), times));
    }
    tokio::time::sleep_until(times.measure.into()).await;
    let before = watch.read().await?;
    let mut done = Done {
        step,
        operations: 0,
        elapsed: Duration::ZERO,
        times: histogram()?,
        sent: 0,
        received: 0,
        repeats: 0,
        used: Reading::default(),
    };
    while let Some(ended) = under_way.join_next().await {
        let share = ended.map_err(broken)??;
        done.times.add(&share.times).map_err(broken)?;
        done.sent = done.sent.saturating_add(share.line.sent);
        done.received = done.received.saturating_add(share.line.received);
        done.repeats = done.repeats.saturating_add(share.line.repeats);
        done.elapsed = done.elapsed.max(share.last.saturating_duration_since(times.measure));
    }
    done.used = watch.read().await?.since(&before);
    done.operations = done.times.len();
    Ok(done)
}
