//! Transactions on one connection to PostgreSQL: a group of works in one commit, or one work on a snapshot.
//!
//! The writers of all processes take turns at the table `store_turn`: the lock comes before the transaction's snapshot, so a
//! group never meets what another changed under it, and the lock is granted in the order of asking. Isolation does not
//! rest on that: every transaction is serializable, and what the server cannot fit in is run again.
//!
//! Each group changes the row of its writer in `store_writer` to a number of its own. When the connection ends between
//! `COMMIT` and its answer, that row is changed and read over a new connection. If the old transaction has reached the
//! row, this waits for its end and sees its mark or not. If it has not, it never will: its snapshot is older than the
//! row, so the server refuses it. Either way the mark says whether it was committed.

use std::{sync::Arc, time::Duration};

use feiqian_ledger::store::{StoreError, Work};
use tokio::{runtime::Runtime, time::Instant};

use super::{
    link::{Link, Settings},
    trouble::Trouble,
    tx::PostgresTx,
};
use crate::threads::{Engine, Job, Outcome, run_caught};

/// How often a group is run again because the connection was lost under it.
const LOSSES: u32 = 3;
/// The longest pause between two attempts.
const LONGEST_PAUSE_MS: u64 = 200;

/// The name of one writer, unique in its database, and the number of its last group.
pub(crate) struct Writer {
    id: String,
    mark: i64,
    /// Whether to queue at `store_turn`; a server without table locks gets none.
    queues: bool,
}

impl Writer {
    pub(crate) fn new(settings: &Settings, queues: bool) -> Self {
        let (high, low) = ((settings.randomness)(), (settings.randomness)());
        Self { id: format!("\\x{high:016x}{low:016x}"), mark: 0, queues }
    }

    /// Changes the writer's row, or makes it, and answers its mark. Waits for a transaction that has changed it; one of
    /// before that has not can be committed no more.
    fn introduce(&self, runtime: &Runtime, link: &Link) -> Result<Option<i64>, Trouble> {
        let sql = format!(
            "INSERT INTO store_writer (writer, mark, seen) VALUES ('{}', 0, now()) \
             ON CONFLICT (writer) DO UPDATE SET seen = now() RETURNING mark",
            self.id
        );
        Ok(link.ask(runtime, &sql)?.and_then(|text| text.parse().ok()))
    }
}

/// Why a group was not done.
enum Undone {
    /// It may be run again.
    Again(Trouble),
    /// Nothing of it was done, and nothing will be.
    Failed(StoreError),
}

impl From<Trouble> for Undone {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost(_) | Trouble::Conflict(_) => Self::Again(trouble),
            Trouble::Refused(error) | Trouble::Failed(error) => Self::Failed(error),
        }
    }
}

pub(crate) struct PostgresEngine {
    runtime: Runtime,
    settings: Arc<Settings>,
    link: Option<Link>,
    writer: Option<Writer>,
}

impl PostgresEngine {
    pub(crate) fn new(settings: Arc<Settings>, writer: Option<Writer>) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, settings, link: None, writer })
    }

    fn sleep(&self, pause: Duration) {
        // Made inside the runtime, whose clock it needs.
        self.runtime.block_on(async { tokio::time::sleep(pause).await });
    }

    /// A pause nobody else chooses too, on average longer with every attempt.
    fn pause(&self, attempt: u32) {
        let longest = 2_u64.saturating_pow(attempt.min(16)).min(LONGEST_PAUSE_MS);
        let chosen = (self.settings.randomness)().checked_rem(longest.saturating_add(1)).unwrap_or(1);
        self.sleep(Duration::from_millis(chosen));
    }

    /// The connection, made anew if there is none, waiting for a server that is away.
    fn link(&mut self) -> Result<Link, StoreError> {
        if let Some(link) = self.link.take() {
            return Ok(link);
        }
        let begun = Instant::now();
        let mut attempt = 3;
        loop {
            let (reason, passing) = match self.connect() {
                Ok(link) => return Ok(link),
                Err(refused) => refused,
            };
            if !passing || begun.elapsed() >= self.settings.patience {
                return Err(StoreError::Database(format!(
                    "no connection to {}: {reason}",
                    self.settings.shown
                )));
            }
            tracing::warn!(server = %self.settings.shown, %reason, "no connection, trying again");
            self.pause(attempt);
            attempt = attempt.saturating_add(1);
        }
    }

    fn connect(&self) -> Result<Link, (String, bool)> {
        let link = Link::connect(&self.runtime, &self.settings)
            .map_err(|refusal| (refusal.reason, refusal.passing))?;
        if let Some(writer) = &self.writer {
            writer
                .introduce(&self.runtime, &link)
                .map_err(|trouble| (trouble.error().to_string(), !matches!(trouble, Trouble::Refused(_))))?;
        }
        Ok(link)
    }

    /// Runs `once` until it is done, gives up, or was repeated often enough.
    fn persist<T>(
        &mut self,
        mut once: impl FnMut(&mut Self, &mut Link) -> Result<T, Undone>,
    ) -> Result<T, StoreError> {
        let (mut conflicts, mut losses) = (0, 0);
        loop {
            let mut link = self.link()?;
            let trouble = match once(self, &mut link) {
                Ok(done) => {
                    self.link = Some(link);
                    return Ok(done);
                }
                Err(Undone::Failed(error)) => {
                    self.put_back(link);
                    return Err(error);
                }
                Err(Undone::Again(trouble)) => trouble,
            };
            if let Trouble::Conflict(text) = &trouble {
                conflicts = u32::saturating_add(conflicts, 1);
                self.put_back(link);
                if conflicts > self.settings.retries {
                    return Err(StoreError::Busy(format!("conflicts never ended: {text}")));
                }
                self.pause(conflicts);
            } else {
                drop(link);
                losses = u32::saturating_add(losses, 1);
                if losses > LOSSES {
                    return Err(trouble.error());
                }
            }
            tracing::debug!(conflicts, losses, reason = %trouble.error(), "run again");
        }
    }

    /// Keeps the connection if its transaction can be ended.
    fn put_back(&mut self, link: Link) {
        if link.batch(&self.runtime, "ROLLBACK").is_ok() {
            self.link = Some(link);
        }
    }

    /// All works once, and the commit.
    fn group(&mut self, link: &mut Link, jobs: &mut [Job]) -> Result<Vec<Outcome>, Undone> {
        self.begin(link)?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        let mut points = Vec::with_capacity(jobs.len());
        for job in jobs.iter_mut() {
            if let Some(last) = outcomes.last() {
                let next =
                    if matches!(last, Ok(())) { "RELEASE work; SAVEPOINT work" } else { "ROLLBACK TO work" };
                link.batch(&self.runtime, next)?;
            }
            let outcome = self.run(link, &mut job.work, true)?;
            if outcome.is_ok() {
                points.push(job.point);
            }
            outcomes.push(outcome);
        }
        if points.is_empty() {
            link.batch(&self.runtime, "ROLLBACK")?;
            return Ok(outcomes);
        }
        if matches!(outcomes.last(), Some(Err(_))) {
            link.batch(&self.runtime, "ROLLBACK TO work")?;
        }
        match self.seal(link, &points)? {
            Sealed::Yes => {}
            Sealed::Unknown(text) => {
                for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                    *outcome = Err(StoreError::Uncertain(text.clone()));
                }
            }
        }
        Ok(outcomes)
    }

    fn begin(&mut self, link: &Link) -> Result<(), Undone> {
        let queues = self.writer.as_ref().is_some_and(|writer| writer.queues);
        let turn = if queues { "LOCK TABLE store_turn IN EXCLUSIVE MODE; " } else { "" };
        let sql = format!("BEGIN ISOLATION LEVEL SERIALIZABLE; {turn}SAVEPOINT work");
        Ok(link.batch(&self.runtime, &sql)?)
    }

    /// One work behind the savepoint `work`. An inner error is the work's own; it has not been undone yet.
    fn run(&self, link: &mut Link, work: &mut Work, writable: bool) -> Result<Outcome, Undone> {
        let mut tx = PostgresTx::new(&self.runtime, link, writable);
        let outcome = run_caught(work, &mut tx);
        match tx.broken {
            Some(trouble @ (Trouble::Lost(_) | Trouble::Conflict(_))) => Err(Undone::Again(trouble)),
            Some(trouble) if !matches!(outcome, Err(StoreError::Panicked(_))) => Ok(Err(trouble.error())),
            _ => Ok(outcome),
        }
    }

    /// Commits. The mark and the commit are one exchange: a transaction that is broken could otherwise end in a `COMMIT` that
    /// succeeds and does nothing.
    fn seal(&mut self, link: &mut Link, points: &[&'static str]) -> Result<Sealed, Undone> {
        #[cfg(feature = "test-faults")]
        let after = crate::fault::before_commit(points);
        #[cfg(not(feature = "test-faults"))]
        let _ = points;
        let Some(writer) = &mut self.writer else {
            return Err(Undone::Failed(StoreError::ReadOnly));
        };
        writer.mark = writer.mark.wrapping_add(1);
        let mark = writer.mark;
        let sql = format!(
            "INSERT INTO store_writer (writer, mark, seen) VALUES ('{}', {mark}, now()) \
             ON CONFLICT (writer) DO UPDATE SET mark = EXCLUDED.mark, seen = EXCLUDED.seen; COMMIT",
            writer.id
        );
        let done = link.batch(&self.runtime, &sql);
        #[cfg(feature = "test-faults")]
        if after {
            crate::fault::kill();
        }
        match done {
            Ok(()) => Ok(Sealed::Yes),
            Err(Trouble::Lost(text)) => self.resolve(link, mark, text),
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// The answer to `COMMIT` did not come: asks the database what became of it.
    fn resolve(&mut self, link: &mut Link, mark: i64, text: String) -> Result<Sealed, Undone> {
        tracing::warn!(reason = %text, "the connection was lost at a commit");
        let begun = Instant::now();
        let mut attempt = 3;
        loop {
            if let Ok(fresh) = Link::connect(&self.runtime, &self.settings) {
                let found = self.writer.as_ref().map(|writer| writer.introduce(&self.runtime, &fresh));
                if let Some(Ok(Some(found))) = found {
                    *link = fresh;
                    return if found == mark {
                        Ok(Sealed::Yes)
                    } else {
                        Err(Undone::Again(Trouble::Lost(text)))
                    };
                }
            }
            if begun.elapsed() >= self.settings.patience {
                return Ok(Sealed::Unknown(text));
            }
            self.pause(attempt);
            attempt = attempt.saturating_add(1);
        }
    }
}

/// How a commit ended, as far as it can be known.
enum Sealed {
    Yes,
    Unknown(String),
}

impl Engine for PostgresEngine {
    fn commit(&mut self, jobs: &mut [Job]) -> Vec<Outcome> {
        let done = self.persist(|engine, link| engine.group(link, jobs));
        done.unwrap_or_else(|error| vec![Err(error); jobs.len()])
    }

    fn read(&mut self, work: &mut Work) -> Outcome {
        self.persist(|engine, link| {
            link.batch(&engine.runtime, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SAVEPOINT work")?;
            let outcome = engine.run(link, work, false)?;
            link.batch(&engine.runtime, "ROLLBACK")?;
            Ok(outcome)
        })?
    }
}

impl Drop for PostgresEngine {
    fn drop(&mut self) {
        // A writer that ends in peace leaves no row behind. One that was killed leaves a row for the next to find old.
        if let (Some(writer), Some(link)) = (&self.writer, self.link.take()) {
            let sql = format!("DELETE FROM store_writer WHERE writer = '{}'", writer.id);
            if let Err(trouble) = link.batch(&self.runtime, &sql) {
                tracing::debug!(reason = %trouble.error(), "the writer's row stays");
            }
        }
    }
}
