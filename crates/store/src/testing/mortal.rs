//! Processes that die in a test without being processes: a store that stops working at a chosen step, a network that falls
//! silent with it, and a driver that plays something with a death at every step that it takes.
//!
//! A step is a commit or a message. Commits and messages of one life are counted together, from 1.

use std::{
    cell::RefCell,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use feiqian_ledger::store::{BoxFuture, Store, StoreError, Work};

use crate::killed::note_killed;

/// Where a process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Death {
    /// The number of the step in its life, from 1.
    pub step: usize,
    /// After the commit, or over the answer to the message; else before the commit, or before the message leaves.
    pub after: bool,
}

/// One life of a process: what it has committed and sent, and where it dies.
#[derive(Debug, Default)]
pub struct Life {
    death: Option<Death>,
    steps: Mutex<Vec<&'static str>>,
    dead: Mutex<bool>,
}

thread_local! {
    /// The life of the process that is about to be started.
    static NEXT: RefCell<Option<Arc<Life>>> = const { RefCell::new(None) };
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Life {
    /// That of the process which is started now on this thread: of the [`MortalStore`] that was made last, if nobody has
    /// taken it yet. Its network asks for it.
    #[must_use]
    pub fn starting() -> Option<Arc<Self>> {
        NEXT.take()
    }

    /// Sends a message, unless the process is dead, or dies over it. `name` is role and route, `lost` what is told to a
    /// sender who is no more.
    ///
    /// # Errors
    ///
    /// What `sending` fails with, or `lost`.
    pub async fn message<R, E>(
        &self,
        name: &str,
        sending: impl Future<Output = Result<R, E>>,
        lost: impl FnOnce() -> E,
    ) -> Result<R, E> {
        if self.is_dead() {
            return Err(lost());
        }
        match self.step("message") {
            None => sending.await,
            Some(Death { after, .. }) => {
                if after {
                    let _ = sending.await;
                    self.dies(&format!("answered.{name}"));
                } else {
                    self.dies(&format!("send.{name}"));
                }
                Err(lost())
            }
        }
    }

    /// Notes a step; its death, if this is where it dies.
    fn step(&self, name: &'static str) -> Option<Death> {
        let mut steps = locked(&self.steps);
        steps.push(name);
        self.death.filter(|death| death.step == steps.len())
    }

    fn steps(&self) -> Vec<&'static str> {
        locked(&self.steps).clone()
    }

    fn is_dead(&self) -> bool {
        *locked(&self.dead)
    }

    fn dies(&self, point: &str) {
        note_killed(point);
        *locked(&self.dead) = true;
    }
}

/// A store that stops working at a chosen commit, or message, as if the process had been killed there.
pub struct MortalStore {
    inner: Arc<dyn Store>,
    life: Arc<Life>,
}

impl MortalStore {
    /// A store for the process that is started next on this thread, which lives until this death.
    #[must_use]
    pub fn new(inner: Arc<dyn Store>, death: Option<Death>) -> Self {
        let life = Arc::new(Life { death, ..Life::default() });
        NEXT.set(Some(Arc::clone(&life)));
        Self { inner, life }
    }

    /// The commits of this life, by name, and `message` for each message that was sent.
    #[must_use]
    pub fn points(&self) -> Vec<&'static str> {
        self.life.steps()
    }
}

impl Store for MortalStore {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if self.life.is_dead() {
                return Err(StoreError::Closed);
            }
            match self.life.step(point) {
                None => self.inner.commit_raw(point, work).await,
                Some(death) => {
                    self.life.dies(point);
                    if death.after {
                        let _ = self.inner.commit_raw(point, work).await;
                    }
                    Err(StoreError::Closed)
                }
            }
        })
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.life.is_dead() {
            return Box::pin(std::future::ready(Err(StoreError::Closed)));
        }
        self.inner.read_raw(work)
    }
}

/// The lives of a process that is started again whenever it has died.
#[derive(Clone, Debug, Default)]
pub struct Lives {
    deaths: Arc<Vec<Option<Death>>>,
    lived: Arc<Mutex<Vec<Arc<Life>>>>,
}

impl Lives {
    /// Those that end so, one after the other; all later ones do not end.
    #[must_use]
    pub fn ending(deaths: &[Option<Death>]) -> Self {
        Self { deaths: Arc::new(deaths.to_vec()), lived: Arc::default() }
    }

    /// The store of the next life.
    #[must_use]
    pub fn next(&self, disk: Arc<dyn Store>) -> Arc<MortalStore> {
        let mut lived = locked(&self.lived);
        let death = self.deaths.get(lived.len()).copied().flatten();
        let store = Arc::new(MortalStore::new(disk, death));
        lived.push(Arc::clone(&store.life));
        store
    }

    /// How many of the lives have ended by a death.
    #[must_use]
    pub fn deaths(&self) -> usize {
        locked(&self.lived).iter().filter(|life| life.is_dead()).count()
    }

    /// What was done in each life.
    #[must_use]
    pub fn steps(&self) -> Vec<Vec<&'static str>> {
        locked(&self.lived).iter().map(|life| life.steps()).collect()
    }
}

/// Plays once without a death, and then again with a death before and after every step of every life of that; and once more
/// with a death where each life has no step any more, which must not be met. Answers the steps of the play without a death.
///
/// # Panics
///
/// If the play takes no step, if nobody dies where somebody should, or if somebody dies behind the last step: then not every
/// step was tried.
pub async fn killed_everywhere(play: impl AsyncFn(Lives)) -> Vec<&'static str> {
    let peaceful = Lives::default();
    play(peaceful.clone()).await;
    let lives = peaceful.steps();
    assert!(lives.iter().any(|steps| !steps.is_empty()), "nothing is committed or sent: {lives:?}");
    for (life, steps) in lives.iter().enumerate() {
        let deaths = |step, after| {
            let before = std::iter::repeat_n(None, life);
            before.chain([Some(Death { step, after })]).collect::<Vec<_>>()
        };
        for (step, name) in (1..).zip(steps) {
            for after in [false, true] {
                let dying = Lives::ending(&deaths(step, after));
                play(dying.clone()).await;
                let side = if after { "after" } else { "before" };
                let met = format!("step {step} of life {life}, {side} {name}; {:?}", dying.steps());
                assert_eq!(dying.deaths(), 1, "nobody died at {met}");
            }
        }
        let behind = Lives::ending(&deaths(steps.len().saturating_add(1), false));
        play(behind.clone()).await;
        assert_eq!(behind.deaths(), 0, "life {life} goes on behind {steps:?}: {:?}", behind.steps());
    }
    lives.concat()
}
