//! All cells of a plan, several at a time. What one cell does cannot depend on another: each has its own thread,
//! runtime and randomness.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::cell::{self, Options, Progress};
use super::files::{self, Finished};
use super::panics;
use super::plan::{Cell, Plan};
use crate::error::SimError;

/// How a plan is carried out.
#[derive(Clone)]
pub struct Work {
    /// Cells at a time.
    pub jobs: usize,
    /// Whether complete cells are used again.
    pub resume: bool,
    /// The event after which each run stops.
    pub until_event: Option<u64>,
    /// Is asked to stop by setting it.
    pub interrupt: Arc<AtomicBool>,
    /// Is told how far things are: cell by its place in the plan.
    pub progress: Option<Arc<dyn Fn(usize, Progress) + Send + Sync>>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").field("jobs", &self.jobs).field("resume", &self.resume).finish_non_exhaustive()
    }
}

impl Default for Work {
    fn default() -> Self {
        Self { jobs: 1, resume: false, until_event: None, interrupt: Arc::default(), progress: None }
    }
}

/// What came of a plan.
#[derive(Debug, Default)]
pub struct Results {
    /// Complete cells, in the plan's order.
    pub finished: Vec<Finished>,
    /// How many of them were there before.
    pub reused: usize,
    /// Cells that failed, with the reason.
    pub failed: Vec<(String, String)>,
}

/// What came of one cell.
enum Came {
    Finished(Box<Finished>),
    Reused(Box<Finished>),
    Failed(String),
}

/// Carries out a plan. A cell that panics is reported, and the others go on.
///
/// # Errors
/// [`SimError::Interrupted`] when asked to stop: complete cells stay on disk for `resume`.
pub fn run(plan: &Plan, work: &Work) -> Result<Results, SimError> {
    let queue: Mutex<VecDeque<(usize, &Cell)>> = Mutex::new(plan.cells.iter().enumerate().collect());
    let came: Mutex<Vec<(usize, Came)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..work.jobs.clamp(1, plan.cells.len().max(1)) {
            scope.spawn(|| {
                while !work.interrupt.load(Ordering::Relaxed) {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((number, cell)) = next else { return };
                    if let Some(one) = run_one(number, cell, work) {
                        came.lock().unwrap_or_else(PoisonError::into_inner).push((number, one));
                    }
                }
            });
        }
    });
    if work.interrupt.load(Ordering::Relaxed) {
        return Err(SimError::Interrupted);
    }
    let mut came = came.into_inner().unwrap_or_else(PoisonError::into_inner);
    came.sort_by_key(|(number, _)| *number);
    let mut results = Results::default();
    for (number, one) in came {
        match one {
            Came::Finished(finished) => results.finished.push(*finished),
            Came::Reused(finished) => {
                results.reused = results.reused.saturating_add(1);
                results.finished.push(*finished);
            }
            Came::Failed(reason) => {
                let folder = plan.cells.get(number).map(|cell| cell.folder.display().to_string());
                results.failed.push((folder.unwrap_or_default(), reason));
            }
        }
    }
    Ok(results)
}

/// None when it was interrupted.
fn run_one(number: usize, cell: &Cell, work: &Work) -> Option<Came> {
    if work.resume
        && let Some(finished) = files::reusable(cell)
    {
        return Some(Came::Reused(Box::new(finished)));
    }
    let told = work.progress.clone().map(|tell| -> Arc<dyn Fn(Progress) + Send + Sync> {
        Arc::new(move |progress| tell(number, progress))
    });
    let ran = catch_unwind(AssertUnwindSafe(|| -> Result<Finished, SimError> {
        let scenario = cell.source.scenario()?;
        files::make_folder(&cell.folder)?;
        let _ = std::fs::remove_file(cell.folder.join("manifest.json"));
        let options = Options {
            events: scenario.events.then(|| cell.folder.join("events.csv")),
            until_event: work.until_event,
            interrupt: Arc::clone(&work.interrupt),
            progress: told,
            own: Vec::new(),
        };
        let outcome = cell::run(&scenario, &options)?;
        files::write_cell(cell, &outcome)?;
        files::read_cell(&cell.folder)
    }));
    match ran {
        Ok(Ok(finished)) => Some(Came::Finished(Box::new(finished))),
        Ok(Err(SimError::Interrupted)) => None,
        Ok(Err(error)) => Some(Came::Failed(error.to_string())),
        Err(_) => Some(Came::Failed(SimError::Panicked(panics::take().unwrap_or_default()).to_string())),
    }
}
