//! `feiqian demo`: the whole story, played by separate processes of this program on this machine.

mod cheques;
mod net;
mod offline;
mod story;
pub(crate) mod world;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use feiqian_node::Shutdown;
use feiqian_wire::error::{Code, Fault};
use serde_json::json;

use crate::{cli, output};
use story::Story;
use world::World;

/// The demo ends within this time, one way or the other.
const LIMIT: Duration = Duration::from_secs(180);

/// Which step to spoil, for a test that the demo notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Spoil {
    /// Expect another balance than the wallet can have.
    Expectation,
    /// Kill a bank that is needed and leave it dead.
    Node,
}

/// Plays the story and cleans up after it, however it ends.
///
/// # Errors
/// `BROKEN_INVARIANT` naming the step that went wrong; `USAGE` for a folder that cannot be used.
pub(crate) async fn run(args: &cli::Demo, as_json: bool) -> Result<(), Fault> {
    let started = Instant::now();
    let folder = folder(args.keep.as_deref())?;
    let shutdown = Shutdown::new();
    shutdown
        .on_signals()
        .map_err(|error| Fault::new(Code::Internal, format!("cannot receive signals: {error}")))?;
    let mut story = Story::new(World::new(folder.clone())?, as_json, args.spoil);
    let told = tokio::select! {
        biased;
        () = shutdown.wait() => Err(world::broken("interrupted")),
        told = tokio::time::timeout(LIMIT, story.tell()) => {
            told.unwrap_or_else(|_| Err(world::broken("the story takes longer than three minutes")))
        }
    };
    let (steps, processes) = story.end().await;
    let kept = keep_or_remove(&folder, args.keep.is_some());
    told.map_err(|fault| with_folder(fault, args.keep.as_deref()))?;
    let seconds = started.elapsed();
    if as_json {
        output::line(
            &json!({
                "held": true,
                "steps": steps,
                "processes": processes,
                "milliseconds": u64::try_from(seconds.as_millis()).unwrap_or(u64::MAX),
                "kept": kept,
            })
            .to_string(),
        );
    } else {
        output::line(&format!(
            "\nAll {} steps held: {processes} processes, {}.{:01} s, nothing left running.",
            steps.len(),
            seconds.as_secs(),
            seconds.subsec_millis() / 100,
        ));
        if let Some(kept) = kept {
            output::line(&format!("The homes are in {kept}"));
        }
    }
    Ok(())
}

fn folder(keep: Option<&Path>) -> Result<PathBuf, Fault> {
    use std::os::unix::fs::DirBuilderExt as _;
    let path = match keep {
        Some(path) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
        None => std::env::temp_dir().join(format!("feiqian-demo-{}", std::process::id())),
    };
    let refused = |why: String| {
        Fault::new(Code::Usage, format!("cannot use {}: {why}", path.display()))
            .hint("name a new or empty folder with --keep")
    };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(|error| refused(error.to_string()))?;
    let mut entries = std::fs::read_dir(&path).map_err(|error| refused(error.to_string()))?;
    if entries.next().is_some() { Err(refused("it is not empty".to_owned())) } else { Ok(path) }
}

fn keep_or_remove(folder: &Path, keep: bool) -> Option<String> {
    if keep {
        return Some(folder.display().to_string());
    }
    if let Err(error) = std::fs::remove_dir_all(folder) {
        tracing::warn!(%error, folder = %folder.display(), "the demo's folder stays behind");
    }
    None
}

fn with_folder(fault: Fault, keep: Option<&Path>) -> Fault {
    match keep {
        Some(folder) => fault.hint(format!("homes and logs are in {}", folder.display())),
        None => fault.hint("run it again with --keep DIR to look at homes and logs"),
    }
}
