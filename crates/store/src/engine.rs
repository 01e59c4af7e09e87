//! Transactions on one connection: a group of works in one commit, or one work on a snapshot.

use std::sync::Arc;

use feiqian_ledger::store::{StoreError, Work};
use rusqlite::Connection;

use crate::{
    checkpoint::Checkpoints,
    error::translate,
    flush::Progress,
    held::Held,
    statements::Statements,
    threads::{self, Job, Outcome, run_caught},
    tx::SqliteTx,
};

/// A work and the point it is committed at.
pub(crate) type Task<'w> = (&'static str, &'w mut Work);

/// A connection with its generated statements. Lives on one thread at a time.
pub(crate) struct Engine {
    connection: Connection,
    statements: Statements,
    /// Where its commits are counted, when they are flushed by somebody else.
    progress: Option<Arc<Progress>>,
    checkpoints: Option<Checkpoints>,
}

impl Engine {
    pub(crate) fn new(connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(256);
        Self { connection, statements: Statements::default(), progress: None, checkpoints: None }
    }

    /// One whose commits others make durable and carry into the file.
    pub(crate) fn helped(connection: Connection, progress: &Arc<Progress>, checkpoints: Checkpoints) -> Self {
        let (progress, checkpoints) = (Some(Arc::clone(progress)), Some(checkpoints));
        Self { progress, checkpoints, ..Self::new(connection) }
    }

    /// Gives back what is only kept to be faster next time: prepared statements and free pages.
    pub(crate) fn release_memory(&mut self) {
        self.connection.flush_prepared_statement_cache();
        if let Err(error) = self.connection.release_memory() {
            tracing::debug!(%error, "memory could not be released");
        }
    }

    fn control(&self, sql: &str) -> Outcome {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute([]))
            .map_err(translate)?;
        Ok(())
    }

    /// Runs the works in one transaction and commits. One outcome a work, in order.
    ///
    /// First all together: works that fail do so before they write anything, as good as always, and so nothing of them
    /// has to be undone. Where that does not hold, everything is undone and the works run once more, apart.
    pub(crate) fn commit(&mut self, works: &mut [Task<'_>]) -> Vec<Outcome> {
        match self.together(works) {
            Some(outcomes) => outcomes,
            None => self.apart(works),
        }
    }

    /// All works in one transaction with no savepoint between them; `None` when the transaction was undone because a
    /// single work in it could not be.
    fn together(&mut self, works: &mut [Task<'_>]) -> Option<Vec<Outcome>> {
        if let Err(error) = self.control("BEGIN IMMEDIATE") {
            return Some(vec![Err(error); works.len()]);
        }
        let is_alone = works.len() == 1;
        let mut held = Held::default();
        let mut outcomes = Vec::with_capacity(works.len());
        let mut points = Vec::with_capacity(works.len());
        for (point, work) in works {
            let (outcome, wrote) = self.run(work, Some(&mut held).filter(|_| !is_alone), true);
            if outcome.is_ok() {
                points.push(*point);
            } else if wrote || self.connection.is_autocommit() {
                self.abandon();
                return is_alone.then(|| vec![outcome]);
            }
            outcomes.push(outcome);
        }
        if points.is_empty() {
            self.abandon();
        } else if held.flush(&self.connection, &mut self.statements).is_err() {
            self.abandon();
            return None;
        } else {
            self.seal_all(&points, &mut outcomes);
        }
        Some(outcomes)
    }

    /// The works in one transaction, each behind its own savepoint.
    fn apart(&mut self, works: &mut [Task<'_>]) -> Vec<Outcome> {
        let count = works.len();
        if let Err(error) = self.control("BEGIN IMMEDIATE") {
            return vec![Err(error); count];
        }
        let mut outcomes = Vec::with_capacity(count);
        let mut points = Vec::with_capacity(count);
        for (point, work) in works {
            let outcome = self.run_in_savepoint(work);
            if outcome.is_ok() {
                points.push(*point);
            }
            outcomes.push(outcome);
            // A full disk or a failed read makes SQLite undo the whole transaction: then nobody's work was done.
            if self.connection.is_autocommit() {
                return Self::all_lost(&outcomes, count);
            }
        }
        if points.is_empty() {
            self.abandon();
        } else {
            self.seal_all(&points, &mut outcomes);
        }
        outcomes
    }

    /// Commits; where that fails, nobody knows whether what succeeded is durable.
    fn seal_all(&mut self, points: &[&'static str], outcomes: &mut [Outcome]) {
        if let Err(error) = self.seal(points) {
            let text = error.to_string();
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_ok()) {
                *outcome = Err(StoreError::Uncertain(text.clone()));
            }
        }
    }

    fn all_lost(outcomes: &[Outcome], count: usize) -> Vec<Outcome> {
        let cause = outcomes.last().and_then(|outcome| outcome.as_ref().err()).map(ToString::to_string);
        let error = StoreError::Database(format!("the group was rolled back: {}", cause.unwrap_or_default()));
        vec![Err(error); count]
    }

    fn run_in_savepoint(&mut self, work: &mut Work) -> Outcome {
        self.control("SAVEPOINT work")?;
        let (outcome, _) = self.run(work, None, true);
        let closed = match &outcome {
            Ok(()) => self.control("RELEASE work"),
            Err(_) => self.control("ROLLBACK TO work").and_then(|()| self.control("RELEASE work")),
        };
        if closed.is_err() {
            // The work can neither be kept nor undone alone.
            self.abandon();
        }
        closed.and(outcome)
    }

    /// The work's outcome, and whether it tried to write anything.
    fn run(&mut self, work: &mut Work, held: Option<&mut Held>, writable: bool) -> (Outcome, bool) {
        let mut tx = SqliteTx::new(&self.connection, &mut self.statements, held, writable);
        let outcome = run_caught(work, &mut tx);
        let outcome = match (outcome, tx.broken) {
            (Err(StoreError::Panicked(text)), _) => Err(StoreError::Panicked(text)),
            (_, Some(broken)) => Err(broken),
            (outcome, None) => outcome,
        };
        (outcome, tx.wrote)
    }

    fn seal(&mut self, points: &[&'static str]) -> Outcome {
        #[cfg(feature = "test-faults")]
        let after = crate::fault::before_commit(points);
        #[cfg(not(feature = "test-faults"))]
        let _ = points;
        if let Some(progress) = &self.progress {
            progress.begin();
        }
        let done = self.control("COMMIT");
        if done.is_err() {
            self.abandon();
        }
        #[cfg(feature = "test-faults")]
        if after {
            crate::fault::kill();
        }
        done
    }

    fn abandon(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.control("ROLLBACK") {
            tracing::error!(%error, "rollback failed");
        }
    }

    /// Runs one work on a snapshot, without the right to write.
    pub(crate) fn read(&mut self, work: &mut Work) -> Outcome {
        self.control("BEGIN")?;
        let (outcome, _) = self.run(work, None, false);
        self.abandon();
        outcome
    }

    /// As [`Engine::read`] on the only connection of its database: nobody can write meanwhile, so it needs no snapshot.
    pub(crate) fn read_alone(&mut self, work: &mut Work) -> Outcome {
        self.run(work, None, false).0
    }
}

impl threads::Engine for Engine {
    fn commit(&mut self, jobs: &mut [Job]) -> Vec<Outcome> {
        let mut works: Vec<Task<'_>> = jobs.iter_mut().map(|job| (job.point, &mut job.work)).collect();
        let outcomes = Self::commit(self, &mut works);
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.after_commit(&self.connection);
        }
        outcomes
    }

    fn read(&mut self, work: &mut Work) -> Outcome {
        Self::read(self, work)
    }
}
