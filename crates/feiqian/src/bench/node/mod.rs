//! `feiqian bench node`: whole nodes under load, their stores durable, everything over HTTPS.

mod cheques;
mod coins;
mod echo;
mod line;
mod load;
mod prefill;
mod report;
mod town;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use feiqian_node::{Dialer, Shutdown};
use feiqian_wire::error::Fault;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use self::coins::{Deposits, Issue, Refreshes, wait_for_issue};
use super::coins::Coins;
use super::{Plan, rate_of};
use crate::cli::{BenchNode, Workload};
use cheques::Cheques;
use echo::Echo;
pub(crate) use echo::serve_echo;
use load::{Done, Operation, Step, drive};
use report::Row;
use town::{Customer, NORTH, SOUTH, Town, internal};
use watch::{Watch, flush_times};

/// Numbers of connections of a closed loop, until the rate grows no more.
const CONNECTIONS: [u32; 6] = [1, 4, 16, 64, 128, 256];
/// A step that brings less than so many hundredths of the best before it is past the knee.
const KNEE: u64 = 105;
/// Connections of the echo, besides those at which the load it is held against was best.
const ECHO_CONNECTIONS: [u32; 2] = [16, 64];

/// How much more than the last step the next may do, in hundredths: so much is made ahead for it. What is left serves the
/// step after it.
const ROOM: u64 = 250;

/// How often a step is tried with more material when it used up what was made for it.
const TRIES: u32 = 4;

const ALL: [Workload; 5] =
    [Workload::Issue, Workload::Deposit, Workload::DepositAcross, Workload::Refresh, Workload::Cheque];

impl Workload {
    /// As it stands in tables.
    const fn name(self) -> &'static str {
        match self {
            Self::Issue => "issue",
            Self::Deposit => "deposit",
            Self::DepositAcross => "deposit-across",
            Self::Refresh => "refresh",
            Self::Cheque => "cheque",
        }
    }

    /// Requests of one operation.
    const fn requests(self) -> u64 {
        match self {
            Self::Issue | Self::Refresh => 2,
            Self::Deposit | Self::DepositAcross | Self::Cheque => 1,
        }
    }

    /// Coins made by one operation.
    const fn coins(self) -> u64 {
        match self {
            Self::Issue => self::coins::COINS as u64,
            Self::Refresh => 2,
            Self::Deposit | Self::DepositAcross | Self::Cheque => 0,
        }
    }

    /// What one connection is thought to do in a second before it has done anything.
    const fn first_guess(self) -> u64 {
        match self {
            Self::Issue | Self::Deposit | Self::Refresh => 1500,
            Self::DepositAcross => 300,
            Self::Cheque => 50,
        }
    }

    /// Whether it takes a second bank.
    const fn is_across(self) -> bool {
        matches!(self, Self::DepositAcross | Self::Cheque)
    }
}

/// Founds nodes, drives them with every workload, and ends them, also when it is interrupted.
///
/// # Errors
/// What a node refuses; `INTERNAL` when no folder can be made or a process does not start; `UNAVAILABLE` when interrupted.
pub(crate) async fn run(args: &BenchNode, as_json: bool) -> Result<(), Fault> {
    let parent = args.folder.clone().unwrap_or_else(std::env::temp_dir);
    let folder = parent.join(format!("feiqian-bench-node-{}", std::process::id()));
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    feiqian_node::files::create_private_dir(&folder)
        .map_err(|error| internal(format!("cannot make {}: {error}", folder.display())))?;
    let shutdown = Shutdown::new();
    shutdown.on_signals().map_err(|error| internal(format!("cannot receive signals: {error}")))?;
    let mut bench = Bench::new(folder.clone(), args)?;
    let measured = tokio::select! {
        biased;
        () = shutdown.wait() => Err(Fault::new(feiqian_wire::error::Code::Unavailable, "interrupted")),
        measured = bench.all() => measured,
    };
    bench.progress.finish_and_clear();
    bench.town.end().await;
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        tracing::warn!(%error, folder = %folder.display(), "the folder of the measure stays behind");
    }
    let rows = measured?;
    if let Some(path) = &args.csv {
        std::fs::write(path, report::csv(&rows))
            .map_err(|error| internal(format!("cannot write {}: {error}", path.display())))?;
    }
    if args.markdown && !as_json {
        report::print_markdown(&rows, &about(args));
    } else {
        report::print(&rows, &about(args), as_json);
    }
    Ok(())
}

fn about(args: &BenchNode) -> Value {
    let mut value = super::machine::describe();
    let kind = args.store.as_ref().map_or("sqlite", |_| "postgres");
    crate::output::set(&mut value, "store", kind);
    crate::output::set(&mut value, "seconds", args.seconds);
    crate::output::set(&mut value, "prefill", args.prefill);
    value
}

/// A run.
struct Bench<'a> {
    args: &'a BenchNode,
    folder: PathBuf,
    town: Town,
    progress: ProgressBar,
    rows: Vec<Row>,
    /// How many spent coins were put into the register.
    spent: Option<u64>,
}

/// What one kind of load needs besides its operation.
struct Drive {
    workload: Workload,
    dialer: Dialer,
    watch: Watch,
}

impl<'a> Bench<'a> {
    fn new(folder: PathBuf, args: &'a BenchNode) -> Result<Self, Fault> {
        let town = Town::new(folder.clone(), args)?;
        let progress = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            progress.set_style(style);
        }
        progress.enable_steady_tick(Duration::from_millis(200));
        Ok(Self { args, folder, town, progress, rows: Vec::new(), spent: None })
    }

    async fn all(&mut self) -> Result<Vec<Row>, Fault> {
        let wanted =
            |workload: &Workload| self.args.workloads.is_empty() || self.args.workloads.contains(workload);
        let workloads: Vec<Workload> = ALL.into_iter().filter(wanted).collect();
        self.progress.set_message("founding center and bank");
        self.town.found().await?;
        let payer = Arc::new(self.town.customer("shop", NORTH).await?);
        wait_for_issue(&payer).await?;
        let payee = if workloads.iter().any(|workload| workload.is_across()) {
            self.town.bank(SOUTH).await?;
            Some(Arc::new(self.town.customer("stall", SOUTH).await?))
        } else {
            None
        };
        let echo = self.town.echo().await?;
        for workload in &workloads {
            self.one(*workload, &payer, payee.as_ref(), &echo).await?;
        }
        if self.args.prefill > 0 {
            let (count, progress) = (self.args.prefill, self.progress.clone());
            let by = Arc::clone(&payer);
            self.town
                .without_bank(NORTH, async move |home| prefill::prefill(home, &by, count, &progress).await)
                .await?;
            self.spent = Some(count);
            wait_for_issue(&payer).await?;
            for workload in &workloads {
                self.one(*workload, &payer, payee.as_ref(), &echo).await?;
            }
        }
        Ok(std::mem::take(&mut self.rows))
    }

    /// What the rows of a workload are called.
    fn called(&self, workload: Workload) -> String {
        match self.spent {
            None => workload.name().to_owned(),
            Some(spent) => format!("{}, {spent} spent before", workload.name()),
        }
    }

    async fn one(
        &mut self,
        workload: Workload,
        payer: &Arc<Customer>,
        payee: Option<&Arc<Customer>>,
        echo: &Dialer,
    ) -> Result<(), Fault> {
        let payee = match workload {
            Workload::DepositAcross | Workload::Cheque => payee.unwrap_or(payer),
            Workload::Issue | Workload::Deposit | Workload::Refresh => payer,
        };
        let dialer = match workload {
            Workload::Refresh => payer.anonymous()?,
            _ => payee.certified()?,
        };
        let watch = self.town.watch(payer)?;
        let mut drive = Drive { workload, dialer, watch };
        let flush = flush_times(&self.folder)?;
        let (first, mut signing) = (self.rows.len(), 0);
        let material = Coins::make(1)?;
        match workload {
            Workload::Issue => {
                self.progress.set_message("signing alone");
                let alone = Plan { batch: self::coins::COINS.into(), threads: 1, length: self.length() };
                signing = rate_of(&alone.row("blind_signing", || material.signing(alone.batch)));
                let issue = Arc::new(Issue::new(Arc::clone(payer))?);
                self.sweep(&mut drive, async |_: usize, _| Ok(Arc::clone(&issue))).await?;
            }
            Workload::Deposit | Workload::DepositAcross => {
                self.sweep(&mut drive, async |count: usize, rest: Option<Arc<Deposits>>| {
                    let left = rest.as_ref().map_or(0, |rest| rest.len());
                    let more = Deposits::make(payer, payee, count.saturating_sub(left)).await?;
                    Ok(Arc::new(match rest {
                        Some(rest) => more.with_rest(&rest),
                        None => more,
                    }))
                })
                .await?;
            }
            Workload::Refresh => {
                self.sweep(&mut drive, async |count: usize, rest: Option<Arc<Refreshes>>| {
                    let left = rest.as_ref().map_or(0, |rest| rest.len());
                    let more = Refreshes::make(payer, count.saturating_sub(left)).await?;
                    Ok(Arc::new(match rest {
                        Some(rest) => more.with_rest(&rest),
                        None => more,
                    }))
                })
                .await?;
            }
            Workload::Cheque => {
                self.sweep(&mut drive, async |count: usize, rest: Option<Arc<Cheques>>| {
                    let left = rest.as_ref().map_or(0, |rest| rest.len());
                    let more = Cheques::make(payer, payee, count.saturating_sub(left)).await?;
                    Ok(Arc::new(match rest {
                        Some(rest) => more.with_rest(&rest),
                        None => more,
                    }))
                })
                .await?;
            }
        }
        for row in self.rows.iter_mut().skip(first) {
            row.flush_us = flush;
            row.signing_per_second = signing;
        }
        self.hold_against_echo(first, echo).await
    }

    fn length(&self) -> Duration {
        Duration::from_secs(self.args.seconds)
    }

    /// Adds connections until the rate grows no more, or takes the numbers that were asked for.
    async fn sweep<O: Operation>(
        &mut self,
        on: &mut Drive,
        mut make: impl AsyncFnMut(usize, Option<Arc<O>>) -> Result<Arc<O>, Fault>,
    ) -> Result<(), Fault> {
        let asked = &self.args.connections;
        let numbers = if !asked.is_empty() {
            asked.clone()
        } else if self.args.rate.is_some() {
            vec![64]
        } else {
            CONNECTIONS.to_vec()
        };
        let (mut rest, mut best, mut guess, mut past) = (None, 0_u64, on.workload.first_guess(), 0_u32);
        for connections in numbers {
            let step = Step { connections, rate: self.args.rate, length: self.length() };
            let mut tries = 0_u32;
            let (operation, done) = loop {
                let rate = self.args.rate.unwrap_or(guess);
                let count = rate
                    .saturating_mul(u64::try_from(step.whole().as_millis()).unwrap_or(u64::MAX))
                    .div_ceil(1000);
                self.say(on.workload, connections, "making what is sent");
                let operation = make(usize::try_from(count).unwrap_or(usize::MAX), rest.take()).await?;
                self.say(on.workload, connections, "driving");
                let done = drive(Arc::clone(&operation), &on.dialer, &mut on.watch, step).await?;
                tries = tries.saturating_add(1);
                if !done.is_short() || tries == TRIES {
                    break (operation, done);
                }
                // Faster than was guessed: what was made was used up too soon to tell the rate.
                guess = guess.saturating_mul(2).max(done.rate().saturating_mul(2));
                rest = Some(operation);
            };
            if done.operations == 0 {
                return Err(internal("nothing was answered after the warm-up; take more --seconds"));
            }
            rest = Some(operation);
            let rate = done.rate();
            let called = self.called(on.workload);
            self.rows.push(Row::new(&called, (on.workload.requests(), on.workload.coins()), &done));
            past =
                if rate.saturating_mul(100) < best.saturating_mul(KNEE) { past.saturating_add(1) } else { 0 };
            best = best.max(rate);
            guess = best.saturating_mul(ROOM).div_ceil(100);
            // One such step may be chance.
            if past == 2 && asked.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Drives the echo with bodies as large as those of the rows from `first` on, and notes its rate beside theirs.
    async fn hold_against_echo(&mut self, first: usize, echo: &Dialer) -> Result<(), Fault> {
        let own = self.rows.get(first..).unwrap_or_default();
        let Some(best) = own.iter().max_by_key(|row| row.per_second) else { return Ok(()) };
        let (body, name) = (best.request_body(), format!("echo for {}", best.work));
        let mut numbers: Vec<u32> = ECHO_CONNECTIONS.into_iter().chain([best.connections]).collect();
        numbers.sort_unstable();
        numbers.dedup();
        let mut watch = self.town.watch_echo(echo.clone());
        let mut most = 0;
        for connections in numbers {
            self.progress.set_message(format!("echo of {body} bytes, {connections} connections"));
            let step = Step { connections, rate: None, length: self.length() };
            let done: Done = drive(Arc::new(Echo::new(echo, body)), echo, &mut watch, step).await?;
            most = most.max(done.rate());
            self.rows.push(Row::new(&name, (1, 0), &done));
        }
        for row in self.rows.iter_mut().skip(first) {
            row.echo_per_second = most;
        }
        Ok(())
    }

    fn say(&self, workload: Workload, connections: u32, what: &str) {
        self.progress.set_message(format!("{}, {connections} connections: {what}", workload.name()));
    }
}
