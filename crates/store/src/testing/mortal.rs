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

/// How often a play is tried for a death at one step. With commits at the same time a play may take a step more or fewer than
/// the one before.
const TRIES: usize = 4;
/// A life with more steps than this does not end.
const MOST_STEPS: usize = 1_000;

/// Plays once without a death, and then again with a death before and after every step of every life of that, until no death
/// is met any more in as many plays as are tried. Answers the steps at which one was met, one life after the other.
///
/// # Panics
///
/// If the play takes no step, or does not end.
pub async fn killed_everywhere(play: impl AsyncFn(Lives)) -> Vec<&'static str> {
    let peaceful = Lives::default();
    play(peaceful.clone()).await;
    let lives = peaceful.steps();
    assert!(lives.iter().any(|steps| !steps.is_empty()), "nothing is committed or sent: {lives:?}");
    let mut met = Vec::new();
    for life in 0..lives.len() {
        for step in 1.. {
            assert!(step < MOST_STEPS, "life {life} does not end: {met:?}");
            let before = killed_at(&play, life, Death { step, after: false }).await;
            let after = killed_at(&play, life, Death { step, after: true }).await;
            let Some(name) = before.or(after) else { break };
            met.push(name);
        }
    }
    met
}

/// Plays until this death is met in this life, and says at which step that was.
async fn killed_at(play: &impl AsyncFn(Lives), life: usize, death: Death) -> Option<&'static str> {
    let deaths: Vec<_> = std::iter::repeat_n(None, life).chain([Some(death)]).collect();
    for _ in 0..TRIES {
        let lives = Lives::ending(&deaths);
        play(lives.clone()).await;
        if lives.deaths() > 0 {
            return lives.steps().get(life)?.get(death.step.saturating_sub(1)).copied();
        }
    }
    None
}
