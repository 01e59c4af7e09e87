//! One cell: one scenario with one seed, from its first node to its verdict.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::task::JoinSet;

use super::look;
use crate::adversary::Adversary;
use crate::audit::{Depth, Verdict, liveness};
use crate::error::SimError;
use crate::machine::{self, Stopwatch};
use crate::measure::BUCKETS;
use crate::scenario::Scenario;
use crate::scenario::units::Span;
use crate::workload::customer::Customers;
use crate::workload::trace::Trace;
use crate::workload::{Arrival, Arrivals};
use crate::world::events::EventLog;
use crate::world::{Watch, World};

/// How a cell is run besides its scenario.
#[derive(Clone, Default)]
pub struct Options {
    /// Where every event is written; nowhere when none.
    pub events: Option<PathBuf>,
    /// The event after which the run stops.
    pub until_event: Option<u64>,
    /// Is asked to stop by setting it.
    pub interrupt: Arc<AtomicBool>,
    /// Is told how far the run is.
    pub progress: Option<Arc<dyn Fn(Progress) + Send + Sync>>,
    /// Adversaries beside the scenario's.
    pub own: Vec<Own>,
}

/// An adversary that no scenario names: a researcher's own. What it comes to stands under its name in `attacks`.
#[derive(Clone)]
pub struct Own {
    name: String,
    make: Arc<dyn Fn() -> Box<dyn Adversary> + Send + Sync>,
}

impl Own {
    /// One that is made anew for each world.
    pub fn new(
        name: impl Into<String>,
        make: impl Fn() -> Box<dyn Adversary> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), make: Arc::new(make) }
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("name", &self.name).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options").field("until_event", &self.until_event).finish_non_exhaustive()
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Simulated time that has passed.
    pub simulated: Duration,
    /// Simulated time in which payments arrive.
    pub whole: Duration,
    /// Payments that have ended.
    pub payments: u64,
    /// Real time since the beginning.
    pub real: Duration,
}

/// What came of a cell.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The same for every run of the same scenario, seed and version.
    pub summary: Map<String, Value>,
    /// Measures over time, as CSV.
    pub series: String,
    /// Of this run on this machine.
    pub machine: Value,
    /// Digest of all events.
    pub digest: String,
    /// Whether every invariant held and everything ended.
    pub held: bool,
}

/// Reads the scenario's trace, where it names one, and lays its people and length over the scenario.
fn with_trace(scenario: &Scenario) -> Result<(Scenario, Option<Trace>), SimError> {
    let mut scenario = scenario.clone();
    if scenario.workload.trace.is_empty() {
        return Ok((scenario, None));
    }
    let trace = Trace::load(std::path::Path::new(&scenario.workload.trace), scenario.currency)?;
    scenario.population.wallets = trace.wallets;
    scenario.population.merchants.count = trace.merchants.max(1);
    scenario.duration = Span(trace.length());
    Ok((scenario, Some(trace)))
}

/// Runs a cell on this thread.
///
/// # Errors
/// [`SimError`] when the world cannot be built, a trace or file refuses, or the run was interrupted.
pub fn run(scenario: &Scenario, options: &Options) -> Result<Outcome, SimError> {
    let (scenario, trace) = with_trace(scenario)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| SimError::Files(format!("no runtime: {error}")))?;
    let _ = machine::take_accounts();
    super::panics::watch();
    let watch = Stopwatch::start();
    let outcome =
        machine::on_account("simulator", || runtime.block_on(live(&scenario, trace, options, watch)));
    // Tasks that are left hold the world; ending the runtime lets go of it.
    drop(runtime);
    if let Some(panic) = super::panics::take() {
        return Err(SimError::Panicked(panic));
    }
    let mut outcome = outcome?;
    if let Value::Object(machine) = &mut outcome.machine {
        let spent = machine::take_accounts();
        let spent = spent.iter().map(|(who, time)| ((*who).to_owned(), json!(time.as_secs_f64())));
        machine.insert("seconds_by_account".to_owned(), Value::Object(spent.collect()));
    }
    Ok(outcome)
}

/// Does `work` unless asked to stop, which is seen whenever anything in it moves on. No timer is set for it: one more
/// would change the order of the others.
async fn unless<T>(interrupt: &AtomicBool, work: impl Future<Output = T>) -> Result<T, SimError> {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| {
        if interrupt.load(Ordering::Relaxed) {
            return Poll::Ready(Err(SimError::Interrupted));
        }
        work.as_mut().poll(context).map(Ok)
    })
    .await
}

/// A world that runs, and what is found out about it.
struct Run<'a> {
    world: Arc<World>,
    options: &'a Options,
    watch: Stopwatch,
    customers: Arc<Customers>,
    payments: JoinSet<()>,
    live: Duration,
    audited: u64,
    audits: u64,
    sampled: usize,
    broken: Option<Verdict>,
}

async fn live(
    scenario: &Scenario,
    trace: Option<Trace>,
    options: &Options,
    watch: Stopwatch,
) -> Result<Outcome, SimError> {
    let before = machine::resident_kib();
    let log = match &options.events {
        Some(path) => EventLog::to_file(path)?,
        None => EventLog::new(),
    };
    let watched = Watch { log, until_event: options.until_event };
    let mut world = unless(&options.interrupt, World::build(scenario, watched)).await??;
    let (built, built_kib) = (watch.elapsed(), machine::resident_kib());
    let mut force = crate::adversary::Force::enlist(&world).await?;
    for own in &options.own {
        force.join(&world, own.name.clone(), (own.make)()).await?;
    }
    let faults = world.go_live().await;
    let world = Arc::new(world);
    let customers = Arc::new(Customers::new(&world)?);
    let live = world.fabric().elapsed();
    let stores = look::store_bytes(&world).await;
    let payments = JoinSet::new();
    let (audited, audits, sampled, broken) = (0, 0, 0, None);
    let mut run = Run {
        world: Arc::clone(&world),
        options,
        watch,
        customers,
        payments,
        live,
        audited,
        audits,
        sampled,
        broken,
    };
    force.begin(&world);
    let stopped = tokio::select! {
        biased;
        () = world.fabric().stop_reached() => true,
        ended = run.carry_on(scenario, trace, faults, &mut force) => { ended?; false }
    };
    let running_kib = machine::resident_kib();
    let (left, waited) = if stopped || run.broken.is_some() {
        (liveness::Unfinished::default(), Duration::ZERO)
    } else {
        unless(&options.interrupt, liveness::settle(&world, scenario.auditor.settle.0)).await?
    };
    let last = match run.broken.take() {
        Some(broken) => broken,
        None => crate::audit::look(&world, if stopped { Depth::Books } else { Depth::Rows }).await,
    };
    run.audits = run.audits.saturating_add(1);
    // A world that was broken on purpose shall break.
    let held = force.is_control() || (last.held() && left.0.is_empty());
    let mut summary = world.measures().summary();
    let attacks = force.report(&world).await;
    summary.extend(attacks);
    summary.extend(look::at_the_end(&world, &stores).await);
    let seconds = world.fabric().elapsed().saturating_sub(live).as_secs_f64();
    let verdict = json!({
        "held": held,
        "audits": run.audits,
        "books": last.json(),
        "liveness": left.json(waited),
        "stopped_at_event": stopped.then_some(last.event),
    });
    summary.insert("verdict".into(), verdict);
    summary.insert("simulated_seconds".into(), json!(seconds));
    let (events, digest) = {
        let mut log = world.fabric().log();
        log.finish()?;
        (log.count(), log.digest())
    };
    summary.insert("events".into(), json!({"count": events, "digest": digest}));
    let series = world.measures().series();
    let (paid, failed) = world.measures().payments();
    let real = watch.elapsed();
    let machine = report_machine(
        &Spent { before, built, built_kib, running_kib, real, payments: paid.saturating_add(failed) },
        scenario,
    );
    drop(run);
    if let Some(world) = Arc::into_inner(world) {
        world.end().await;
    }
    Ok(Outcome { summary, series, machine, digest, held })
}

struct Spent {
    before: u64,
    built: Duration,
    built_kib: u64,
    running_kib: u64,
    real: Duration,
    payments: u64,
}

#[allow(clippy::float_arithmetic, reason = "speed and memory of the machine")]
fn report_machine(spent: &Spent, scenario: &Scenario) -> Value {
    let after = machine::resident_kib();
    let running = spent.real.saturating_sub(spent.built).as_secs_f64();
    let wallets = scenario.population.wallets.max(1) as f64;
    json!({
        "machine": machine::describe(),
        "real_seconds": spent.real.as_secs_f64(),
        "build_seconds": spent.built.as_secs_f64(),
        "payments_per_second": if running > 0.0 { spent.payments as f64 / running } else { 0.0 },
        "resident_kib": after,
        "kib_per_wallet_built": spent.built_kib.saturating_sub(spent.before) as f64 / wallets,
        "kib_per_wallet": spent.running_kib.saturating_sub(spent.before) as f64 / wallets,
    })
}

impl Run<'_> {
    /// From the first arrival until every payment has ended and every fault is over.
    async fn carry_on(
        &mut self,
        scenario: &Scenario,
        trace: Option<Trace>,
        faults: Duration,
        force: &mut crate::adversary::Force,
    ) -> Result<(), SimError> {
        let arrivals = match trace {
            Some(trace) => Arrivals::Read(trace.rows.into_iter()),
            None => Arrivals::drawn(scenario, self.world.stream("workload")),
        };
        for (number, arrival) in (0_u64..).zip(arrivals) {
            self.wait_until(arrival.at).await?;
            self.begin(arrival, number);
            while self.payments.try_join_next().is_some() {}
            self.audit_if_due(scenario.auditor.every).await;
            if self.broken.is_some() {
                return Ok(());
            }
        }
        self.wait_until(scenario.duration.0.max(faults)).await?;
        while self.payments.join_next().await.is_some() {
            self.check_interrupt()?;
            self.audit_if_due(scenario.auditor.every).await;
            if self.broken.is_some() {
                return Ok(());
            }
        }
        force.finish(&self.world).await;
        Ok(())
    }

    fn begin(&mut self, arrival: Arrival, number: u64) {
        let (customers, world) = (Arc::clone(&self.customers), Arc::clone(&self.world));
        self.payments.spawn(async move { customers.pay(&world, arrival, number).await });
    }

    fn check_interrupt(&self) -> Result<(), SimError> {
        if self.options.interrupt.load(Ordering::Relaxed) { Err(SimError::Interrupted) } else { Ok(()) }
    }

    /// Sleeps until a time of the live world; looks around at the borders of the series' parts.
    async fn wait_until(&mut self, at: Duration) -> Result<(), SimError> {
        let parts = u32::try_from(BUCKETS).unwrap_or(u32::MAX);
        let part = self.world.scenario().duration.0.checked_div(parts).unwrap_or_default();
        while self.sampled < BUCKETS {
            let number = u32::try_from(self.sampled).unwrap_or(u32::MAX);
            // Just before the border, so that the sample counts in the part that ends there.
            let border =
                part.saturating_mul(number.saturating_add(1)).saturating_sub(Duration::from_millis(1));
            if border > at {
                break;
            }
            self.sleep_to(border).await;
            self.sample().await;
            self.sampled = self.sampled.saturating_add(1);
            self.check_interrupt()?;
        }
        self.sleep_to(at).await;
        self.check_interrupt()
    }

    async fn sleep_to(&self, at: Duration) {
        let target = self.live.saturating_add(at);
        tokio::time::sleep(target.saturating_sub(self.world.fabric().elapsed())).await;
    }

    async fn sample(&mut self) {
        let circulation = look::circulation(&self.world).await;
        let coins = look::coins(&self.world).await;
        self.world.measures().sampled(circulation, coins);
        if let Some(progress) = &self.options.progress {
            let (paid, failed) = self.world.measures().payments();
            progress(Progress {
                simulated: self.world.fabric().elapsed().saturating_sub(self.live),
                whole: self.world.scenario().duration.0,
                payments: paid.saturating_add(failed),
                real: self.watch.elapsed(),
            });
        }
    }

    async fn audit_if_due(&mut self, every: u64) {
        let (paid, failed) = self.world.measures().payments();
        let payments = paid.saturating_add(failed);
        if every == 0 || payments < self.audited.saturating_add(every) {
            return;
        }
        self.audited = payments;
        self.audits = self.audits.saturating_add(1);
        let verdict = crate::audit::look(&self.world, Depth::Books).await;
        if !verdict.held() {
            self.broken = Some(verdict);
        }
    }
}
