//! Making commits durable beside the writer.
//!
//! SQLite's own flush stops the writer for as long as the disk works. So a commit is left to the operating system first
//! (`synchronous = NORMAL`: the file stays whole whatever happens), and a thread of its own flushes the write-ahead log.
//! Nobody is answered before that: neither those whose works were committed nor a reader, who may have seen them. While
//! one group is flushed the next is carried out, and one flush serves every group that waits for it.
//!
//! A log is flushed as a whole: before a process answers for a commit of its own, what others committed to the file
//! before it is durable too.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use feiqian_ledger::store::StoreError;
use tokio::sync::watch;

use crate::threads::{Answer, Outcome};

const FLUSHES: &str = "feiqian_store_flushes_total";

/// How many groups may wait for the one that is being flushed: the writer stops when there are more, and the works that
/// wait for it gather to a larger group.
const WAITING: usize = 2;

/// How far the commits of a store have come. Every commit has a number, from 1.
pub(crate) struct Progress {
    begun: AtomicU64,
    durable: watch::Sender<u64>,
    /// Why a flush failed. What the disk holds is then not known, and nothing more is read or written.
    failed: OnceLock<String>,
}

impl Progress {
    pub(crate) fn new() -> Arc<Self> {
        let (durable, _) = watch::channel(0);
        Arc::new(Self { begun: AtomicU64::new(0), durable, failed: OnceLock::new() })
    }

    /// To be called before a commit, so that nobody sees one that is not counted.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::SeqCst)
    }

    /// Refuses everything after a flush that failed.
    pub(crate) fn check(&self) -> Outcome {
        let broken = |reason: &String| {
            let reason = format!("the disk did not take an earlier write ({reason}): start again");
            Err(StoreError::Database(reason))
        };
        self.failed.get().map_or(Ok(()), broken)
    }

    /// Waits until everything that could be seen when it was called is durable.
    ///
    /// # Errors
    /// [`StoreError::Database`] when it never will be.
    pub(crate) async fn settled(&self) -> Outcome {
        let begun = self.begun();
        let mut durable = self.durable.subscribe();
        durable.wait_for(|number| *number >= begun).await.map_err(|_| StoreError::Closed)?;
        self.check()
    }
}

/// The write-ahead log of a database, as far as flushing it goes.
pub(crate) struct Log {
    path: PathBuf,
    file: Option<File>,
}

impl Log {
    /// The log of the database in the file `path`, which is made by the first commit.
    pub(crate) fn of(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push("-wal");
        Self { path: name.into(), file: None }
    }

    /// Makes durable what a process left behind that ended before it could; nothing, where there is no log.
    pub(crate) fn flush_earlier(&mut self) -> io::Result<()> {
        match self.flush() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        }
    }

    /// Makes durable what was written. The file stays the same for as long as a connection to the database is open.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(&self.path)?,
        };
        file.sync_data()?;
        self.file = Some(file);
        Ok(())
    }
}

/// Works that were carried out, and what came of each.
struct Group {
    /// The last commit that they may have made or seen.
    number: u64,
    done: Vec<Answer>,
}

/// Where the writer hands over what it has carried out.
pub(crate) struct Handover {
    progress: Arc<Progress>,
    groups: mpsc::SyncSender<Group>,
}

impl Handover {
    /// Hands over works with their outcomes, in the order in which they were carried out.
    pub(crate) fn give(&self, done: Vec<Answer>) {
        let group = Group { number: self.progress.begun(), done };
        if let Err(lost) = self.groups.send(group) {
            // The flusher is gone, so nobody can say that it is durable.
            answer(lost.0.done, Some("nothing flushes it any more"));
        }
    }

    pub(crate) fn check(&self) -> Outcome {
        self.progress.check()
    }
}

/// The flushing end: to be run by a thread of its own until the writer is gone.
pub(crate) struct Flusher {
    progress: Arc<Progress>,
    groups: mpsc::Receiver<Group>,
}

/// What joins the writer and the thread that flushes.
pub(crate) fn handover(progress: &Arc<Progress>) -> (Handover, Flusher) {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let flusher = Flusher { progress: Arc::clone(progress), groups: receiver };
    (Handover { progress: Arc::clone(progress), groups: sender }, flusher)
}

impl Flusher {
    pub(crate) fn run(self, mut flush: impl FnMut() -> io::Result<()>) {
        let mut durable = 0;
        while let Ok(first) = self.groups.recv() {
            let groups: Vec<Group> = std::iter::once(first).chain(self.groups.try_iter()).collect();
            let number = groups.iter().map(|group| group.number).max().unwrap_or(durable);
            // Works that were all refused have committed nothing.
            if number > durable {
                self.flush_once(&mut flush);
                durable = number;
            }
            let failed = self.progress.failed.get().map(String::as_str);
            for group in groups {
                answer(group.done, failed);
            }
            self.progress.durable.send_replace(durable);
        }
    }

    /// Nothing is flushed any more: whoever waits, and whoever comes, is told so.
    fn end(&self) {
        if *self.progress.durable.borrow() < self.progress.begun() {
            let _ = self.progress.failed.set("a thread of the store has ended".to_owned());
        }
        self.progress.durable.send_replace(u64::MAX);
    }

    fn flush_once(&self, flush: &mut impl FnMut() -> io::Result<()>) {
        if self.progress.failed.get().is_some() {
            return;
        }
        metrics::counter!(FLUSHES).increment(1);
        if let Err(error) = flush() {
            tracing::error!(%error, "the disk did not take what was written; the store stops");
            let _ = self.progress.failed.set(error.to_string());
        }
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.end();
    }
}

/// Answers everybody; what was committed in vain is uncertain for the reason given.
pub(crate) fn answer(done: Vec<Answer>, failed: Option<&str>) {
    for (reply, outcome) in done {
        let outcome = match (outcome, failed) {
            (Ok(()), Some(reason)) => Err(StoreError::Uncertain(reason.to_owned())),
            (outcome, _) => outcome,
        };
        // Nobody waiting any more is no reason not to have done it.
        let _ = reply.send(outcome);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::{sync::Mutex, time::Duration};

    use feiqian_ledger::store::Work;

    use super::*;
    use crate::threads::{Engine, Job, Pool};

    /// Commits nothing, and counts it.
    struct Counting(Arc<Progress>);

    impl Engine for Counting {
        fn commit(&mut self, jobs: &mut [Job]) -> Vec<Outcome> {
            self.0.begin();
            jobs.iter().map(|_| Ok(())).collect()
        }

        fn read(&mut self, _work: &mut Work) -> Outcome {
            Ok(())
        }
    }

    /// A writer whose disk takes as long, and ends as, the other end of the channel says.
    fn slow_disk() -> (Pool, Arc<Progress>, mpsc::Sender<io::Result<()>>) {
        let progress = Progress::new();
        let (tell, told) = mpsc::channel();
        let told = Mutex::new(told);
        let flush = move || told.lock().unwrap().recv().unwrap();
        let engine = Counting(Arc::clone(&progress));
        let pool = Pool::writer_and_flusher(engine, (8, 8), &progress, flush).unwrap();
        (pool, progress, tell)
    }

    fn nothing() -> Work {
        Box::new(|_| Ok(()))
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_is_answered_before_the_flush() {
        let (pool, progress, tell) = slow_disk();
        let pool = Arc::new(pool);
        let at_work = Arc::clone(&pool);
        let mut commit = tokio::spawn(async move { at_work.run("one", nothing()).await });
        while progress.begun() == 0 {
            tokio::task::yield_now().await;
        }
        let seen = Arc::clone(&progress);
        let mut read = tokio::spawn(async move { seen.settled().await });
        let short = Duration::from_millis(50);
        assert!(tokio::time::timeout(short, &mut commit).await.is_err());
        assert!(tokio::time::timeout(short, &mut read).await.is_err());
        // Meanwhile the next group is carried out.
        let at_work = Arc::clone(&pool);
        let next = tokio::spawn(async move { at_work.run("two", nothing()).await });
        while progress.begun() < 2 {
            tokio::task::yield_now().await;
        }
        tell.send(Ok(())).unwrap();
        assert_eq!(commit.await.unwrap(), Ok(()));
        assert_eq!(read.await.unwrap(), Ok(()));
        tell.send(Ok(())).unwrap();
        assert_eq!(next.await.unwrap(), Ok(()));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn readers_do_not_wait_for_a_flusher_that_ended() {
        let (pool, progress, tell) = slow_disk();
        // The disk's other end is gone: the thread that flushes panics.
        drop(tell);
        assert_eq!(pool.run("one", nothing()).await, Err(StoreError::Closed));
        assert!(matches!(progress.settled().await, Err(StoreError::Database(_))));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_disk_that_fails_stops_the_store() {
        let (pool, progress, tell) = slow_disk();
        tell.send(Err(io::Error::other("worn out"))).unwrap();
        let outcome = pool.run("one", nothing()).await;
        assert!(
            matches!(&outcome, Err(StoreError::Uncertain(text)) if text.contains("worn out")),
            "{outcome:?}"
        );
        assert!(matches!(progress.settled().await, Err(StoreError::Database(_))));
        // The disk is not asked again: what it would say of the earlier write is not known.
        let outcome = pool.run("two", nothing()).await;
        assert!(
            matches!(&outcome, Err(StoreError::Database(text)) if text.contains("start again")),
            "{outcome:?}"
        );
        assert_eq!(progress.begun(), 1);
    }
}
