//! Work that would keep the runtime's thread from other tasks: cryptography, above all.
//!
//! [`Workers`] is the seam: threads of its own in production, the caller's thread in a simulated world, where everything
//! happens in one order. A [`Lane`] in front of it gathers what many tasks ask at a time, so that it is worked on together.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use feiqian_wire::error::{Code, Fault};
use tokio::sync::oneshot;

/// One piece of work.
pub type Job = Box<dyn FnOnce() + Send>;

/// Whoever does the work that is not the runtime's.
pub trait Workers: Send + Sync {
    /// Takes a job. It runs at once, or as soon as a thread is free; its panic harms nothing but itself.
    fn run(&self, job: Job);

    /// How many jobs run at a time, at least 1.
    fn width(&self) -> usize;
}

/// Has `work` done by `workers`, and waits for its result.
///
/// # Errors
/// `INTERNAL` when it panicked.
pub async fn offload<T: Send + 'static>(
    workers: &dyn Workers,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Fault> {
    let (sender, result) = oneshot::channel();
    workers.run(Box::new(move || {
        // Nobody waiting any more is no reason not to have done it.
        let _ = sender.send(work());
    }));
    result.await.map_err(|_| Fault::new(Code::Internal, "the node failed at its work; its log says where"))
}

/// Runs every job on the caller's thread before it returns: simulated worlds and tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct InlineWorkers;

impl Workers for InlineWorkers {
    fn run(&self, job: Job) {
        run_caught(job);
    }

    fn width(&self) -> usize {
        1
    }
}

/// Threads of their own, one for each core.
#[derive(Debug)]
pub struct ThreadWorkers {
    queue: Arc<Queue>,
    width: usize,
}

#[derive(Default)]
struct Queue {
    jobs: Mutex<Jobs>,
    woken: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    idle: usize,
    is_closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Queue")
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next job; `None` when there will be none.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.lock();
        loop {
            if let Some(job) = jobs.waiting.pop_front() {
                return Some(job);
            }
            if jobs.is_closed {
                return None;
            }
            jobs.idle = jobs.idle.saturating_add(1);
            jobs = self.woken.wait(jobs).unwrap_or_else(PoisonError::into_inner);
            jobs.idle = jobs.idle.saturating_sub(1);
        }
    }
}

fn run_caught(job: Job) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(job)) {
        tracing::error!(reason = panic_text(payload.as_ref()), "a worker's job panicked");
    }
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

impl ThreadWorkers {
    /// A thread for each core of the machine.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new() -> std::io::Result<Self> {
        Self::of_width(thread::available_parallelism().map_or(1, usize::from))
    }

    /// So many threads, at least one.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn of_width(width: usize) -> std::io::Result<Self> {
        let workers = Self { queue: Arc::default(), width: width.max(1) };
        for _ in 0..workers.width {
            let queue = Arc::clone(&workers.queue);
            let serve = move || {
                while let Some(job) = queue.next() {
                    run_caught(job);
                }
            };
            thread::Builder::new().name("worker".to_owned()).spawn(serve)?;
        }
        Ok(workers)
    }
}

impl Workers for ThreadWorkers {
    fn run(&self, job: Job) {
        let mut jobs = self.queue.lock();
        jobs.waiting.push_back(job);
        let someone_sleeps = jobs.idle > 0;
        drop(jobs);
        if someone_sleeps {
            self.queue.woken.notify_one();
        }
    }

    fn width(&self) -> usize {
        self.width
    }
}

impl Drop for ThreadWorkers {
    fn drop(&mut self) {
        self.queue.lock().is_closed = true;
        self.queue.woken.notify_all();
    }
}

/// Questions in, answers out, in the order of the questions.
type Work<Q, A> = Box<dyn Fn(&[Q]) -> Vec<A> + Send + Sync>;

/// Questions of many tasks, worked on together: whoever is free takes all that wait. Nobody waits for more to come.
pub struct Lane<Q, A> {
    workers: Arc<dyn Workers>,
    waiting: Mutex<Waiting<Q, A>>,
    most: usize,
    work: Work<Q, A>,
}

struct Waiting<Q, A> {
    questions: VecDeque<(Q, oneshot::Sender<A>)>,
    /// Jobs that take from the queue until it is empty.
    serving: usize,
}

impl<Q, A> std::fmt::Debug for Lane<Q, A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane").field("most", &self.most).finish_non_exhaustive()
    }
}

impl<Q: Send + 'static, A: Send + 'static> Lane<Q, A> {
    /// A lane whose questions `work` answers, at most `most` at a time.
    #[must_use]
    pub fn new(
        workers: Arc<dyn Workers>,
        most: usize,
        work: impl Fn(&[Q]) -> Vec<A> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let waiting = Mutex::new(Waiting { questions: VecDeque::new(), serving: 0 });
        Arc::new(Self { workers, waiting, most: most.max(1), work: Box::new(work) })
    }

    fn lock(&self) -> MutexGuard<'_, Waiting<Q, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to one question.
    ///
    /// # Errors
    /// `INTERNAL` when the work panicked or left the question out.
    pub async fn ask(self: &Arc<Self>, question: Q) -> Result<A, Fault> {
        let answer = self.put(question);
        answer
            .await
            .map_err(|_| Fault::new(Code::Internal, "the node failed at its work; its log says where"))
    }

    fn put(self: &Arc<Self>, question: Q) -> oneshot::Receiver<A> {
        let (sender, answer) = oneshot::channel();
        let is_server_wanted = {
            let mut waiting = self.lock();
            waiting.questions.push_back((question, sender));
            let is_wanted = waiting.serving < self.workers.width();
            if is_wanted {
                waiting.serving = waiting.serving.saturating_add(1);
            }
            is_wanted
        };
        if is_server_wanted {
            let lane = Arc::clone(self);
            self.workers.run(Box::new(move || lane.serve()));
        }
        answer
    }

    /// Answers what waits until nothing does.
    fn serve(&self) {
        while let Some(taken) = self.take() {
            let (questions, senders): (Vec<Q>, Vec<_>) = taken.into_iter().unzip();
            match catch_unwind(AssertUnwindSafe(|| (self.work)(&questions))) {
                // Nobody waiting any more is no reason not to answer the others.
                Ok(answers) => senders.into_iter().zip(answers).for_each(|(sender, answer)| {
                    let _ = sender.send(answer);
                }),
                Err(payload) => {
                    tracing::error!(reason = panic_text(payload.as_ref()), "a worker's job panicked");
                }
            }
        }
    }

    fn take(&self) -> Option<Vec<(Q, oneshot::Sender<A>)>> {
        let mut waiting = self.lock();
        if waiting.questions.is_empty() {
            waiting.serving = waiting.serving.saturating_sub(1);
            return None;
        }
        let count = waiting.questions.len().min(self.most);
        Some(waiting.questions.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_waits_while_others_work_is_worked_on_together() {
        let workers: Arc<dyn Workers> = Arc::new(ThreadWorkers::of_width(1).unwrap());
        let (go_on, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let batches = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&batches);
        let lane = Lane::new(workers, 3, move |questions: &[u32]| {
            gate.lock().unwrap().recv().unwrap();
            seen.lock().unwrap().push(questions.len());
            questions.iter().map(|question| question * 2).collect()
        });
        let ask = |question| {
            let lane = Arc::clone(&lane);
            tokio::spawn(async move { lane.ask(question).await.unwrap() })
        };
        let first = ask(1);
        // The one thread holds the first question; five more come.
        while !lane.lock().questions.is_empty() || lane.lock().serving == 0 {
            tokio::task::yield_now().await;
        }
        let others: Vec<_> = (2..7).map(ask).collect();
        while lane.lock().questions.len() < 5 {
            tokio::task::yield_now().await;
        }
        (0..3).for_each(|_| go_on.send(()).unwrap());
        assert_eq!(first.await.unwrap(), 2);
        for (question, other) in (2..7).zip(others) {
            assert_eq!(other.await.unwrap(), question * 2);
        }
        assert_eq!(*batches.lock().unwrap(), [1, 3, 2], "as many as the lane takes at a time");
    }

    #[tokio::test]
    async fn inline_everything_is_answered_before_the_caller_waits() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let lane = Lane::new(Arc::new(InlineWorkers), 8, move |questions: &[u32]| {
            counted.fetch_add(1, Ordering::SeqCst);
            questions.to_vec()
        });
        for question in 0..4 {
            assert_eq!(lane.ask(question).await.unwrap(), question);
        }
        assert_eq!(calls.load(Ordering::SeqCst), 4, "nobody waits for others to come");
    }

    #[tokio::test]
    async fn a_panic_is_a_fault_for_those_in_the_batch_and_for_nobody_after() {
        let workers: Arc<dyn Workers> = Arc::new(ThreadWorkers::of_width(1).unwrap());
        let lane = Lane::new(workers, 8, |questions: &[u32]| {
            assert!(!questions.contains(&13), "unlucky");
            questions.to_vec()
        });
        assert_eq!(lane.ask(13).await.unwrap_err().code, Code::Internal);
        assert_eq!(lane.ask(14).await.unwrap(), 14);
    }
}
