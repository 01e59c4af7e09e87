//! The writer's and the readers' threads and the queues in front of them.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use feiqian_ledger::store::{StoreError, Tx, Work};
use tokio::sync::{mpsc, oneshot};

use crate::flush::{Handover, Progress, answer, handover};

/// How many transactions the writer committed, and how many works they held: their ratio is the size of a group.
const COMMITS: &str = "feiqian_store_commits_total";
const WORKS: &str = "feiqian_store_works_total";

pub(crate) type Outcome = Result<(), StoreError>;

/// Who waits for a work, and what came of it.
pub(crate) type Answer = (oneshot::Sender<Outcome>, Outcome);

/// One work on its way to a thread.
pub(crate) struct Job {
    pub(crate) point: &'static str,
    pub(crate) work: Work,
    pub(crate) reply: oneshot::Sender<Outcome>,
}

/// What a thread does with its works: one connection of a database.
pub(crate) trait Engine: Send + 'static {
    /// Runs the works in one transaction and commits them together. One outcome a work, in order; an error undoes only the
    /// work that returned it, an `Ok` is durable or, with a log to flush, will be by the next flush.
    fn commit(&mut self, jobs: &mut [Job]) -> Vec<Outcome>;

    /// Runs one work on a snapshot, without the right to write.
    fn read(&mut self, work: &mut Work) -> Outcome;
}

/// Runs a work. A panic becomes an error: the thread serves others too.
pub(crate) fn run_caught(work: &mut Work, tx: &mut dyn Tx) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| work(tx))).unwrap_or_else(|payload| {
        let text = panic_text(payload.as_ref());
        tracing::error!(reason = %text, "work on the store panicked and was undone");
        Err(StoreError::Panicked(text))
    })
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// A bounded queue with the threads that serve it. Dropping it finishes the queued jobs, then ends the threads.
pub(crate) struct Pool {
    queue: Option<mpsc::Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Pool {
    /// One thread that commits in groups of at most `batch` works, each durable when `Engine::commit` returns.
    pub(crate) fn writer(engine: impl Engine, queue: usize, batch: usize) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let writer = thread::Builder::new().name("store-writer".to_owned());
        let thread = writer.spawn(move || write_all(engine, receiver, batch.max(1), None))?;
        Ok(Self { queue: Some(sender), threads: vec![thread] })
    }

    /// One thread that commits, and one that runs `flush` behind it before anybody is answered.
    pub(crate) fn writer_and_flusher(
        engine: impl Engine,
        (queue, batch): (usize, usize),
        progress: &Arc<Progress>,
        flush: impl FnMut() -> std::io::Result<()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let (handover, flusher) = handover(progress);
        let flushing = thread::Builder::new().name("store-flusher".to_owned());
        let flushing = flushing.spawn(move || flusher.run(flush))?;
        let writer = thread::Builder::new().name("store-writer".to_owned());
        let writer = writer.spawn(move || write_all(engine, receiver, batch.max(1), Some(&handover)))?;
        Ok(Self { queue: Some(sender), threads: vec![writer, flushing] })
    }

    /// The same pool, which also waits for the end of a thread that ends with the writer.
    pub(crate) fn with(mut self, thread: JoinHandle<()>) -> Self {
        self.threads.push(thread);
        self
    }

    /// One thread for each engine, taking jobs from one queue.
    pub(crate) fn readers<E: Engine>(engines: Vec<E>, queue: usize) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(queue.max(1));
        let receiver = Arc::new(Mutex::new(receiver));
        let mut pool = Self { queue: Some(sender), threads: Vec::new() };
        for engine in engines {
            let receiver = Arc::clone(&receiver);
            let reader = thread::Builder::new().name("store-reader".to_owned());
            pool.threads.push(reader.spawn(move || read_all(engine, &receiver))?);
        }
        Ok(pool)
    }

    /// Queues the work and waits for its answer. Once queued it runs, also if this future is dropped.
    pub(crate) async fn run(&self, point: &'static str, work: Work) -> Outcome {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Job { point, work, reply }).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Pool {
    /// Queues a work that nobody waits for, unless others already fill half the queue.
    pub(crate) fn give(&self, point: &'static str, work: Work) {
        let Some(queue) = &self.queue else { return };
        if queue.capacity() > queue.max_capacity().wrapping_shr(1) {
            let (reply, _) = oneshot::channel();
            // Full in the meantime, or closed: nobody misses it.
            let _ = queue.try_send(Job { point, work, reply });
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.queue.take();
        let own = thread::current().id();
        // The last owner of a store may be a work that runs on one of these threads, and the others wait for that one.
        if self.threads.iter().any(|thread| thread.thread().id() == own) {
            return;
        }
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the store ended by a panic");
            }
        }
    }
}

fn write_all(
    mut engine: impl Engine,
    mut queue: mpsc::Receiver<Job>,
    batch: usize,
    handover: Option<&Handover>,
) {
    let mut jobs = Vec::with_capacity(batch);
    while queue.blocking_recv_many(&mut jobs, batch) > 0 {
        let outcomes = match handover.map_or(Ok(()), Handover::check) {
            Ok(()) => engine.commit(&mut jobs),
            Err(broken) => vec![Err(broken); jobs.len()],
        };
        metrics::counter!(COMMITS).increment(1);
        metrics::counter!(WORKS).increment(u64::try_from(jobs.len()).unwrap_or(u64::MAX));
        let done = jobs.drain(..).map(|job| job.reply).zip(outcomes).collect();
        match handover {
            Some(handover) => handover.give(done),
            None => answer(done, None),
        }
    }
}

fn read_all(mut engine: impl Engine, queue: &Mutex<mpsc::Receiver<Job>>) {
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        let Some(mut job) = job else { return };
        let outcome = engine.read(&mut job.work);
        let _ = job.reply.send(outcome);
    }
}
