//! Bringing the write-ahead log into the file beside the writer.
//!
//! SQLite's own checkpoints run on the writer's thread when the log is long, which then stands still for all of it. Here a
//! thread with a connection of its own carries over part after part while the writer goes on. A log begins anew only when
//! all of it is carried over, which under load never happens by itself: so when it is long and little is left, the writer
//! does that little.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rusqlite::Connection;

use crate::{error::OpenError, schema};

/// So many pages of the log are worth carrying over by themselves.
const PART: u64 = 4_000;
/// A log of so many pages is to begin anew.
const LONG: u64 = 16_000;
/// At so many the writer stops for it, however much is left.
const TOO_LONG: u64 = 96_000;

/// What the writer and the thread tell each other.
#[derive(Default)]
struct Shared {
    /// Pages in the log after the last commit.
    pages: AtomicU64,
    /// How many of them the last part carried over.
    carried: AtomicU64,
    is_busy: AtomicBool,
}

/// The writer's end.
pub(crate) struct Checkpoints {
    shared: Arc<Shared>,
    wake: mpsc::SyncSender<()>,
}

/// What the writer has to do after a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Nothing,
    /// The thread carries over a part.
    Part,
    /// The writer itself carries over what is left.
    Rest,
}

/// What is due with a log of `pages`, of which `carried` are in the file.
const fn due(pages: u64, carried: u64, is_busy: bool) -> Due {
    // More than there is: it was carried over before the log began anew.
    let left = if carried > pages { pages } else { pages.saturating_sub(carried) };
    if is_busy || left == 0 {
        Due::Nothing
    } else if pages >= TOO_LONG || (pages >= LONG && left < PART) {
        Due::Rest
    } else if left >= PART {
        Due::Part
    } else {
        Due::Nothing
    }
}

impl Checkpoints {
    /// Starts the thread, which ends when this is dropped. From then on `writer` makes no checkpoint by itself.
    pub(crate) fn start(
        path: &Path,
        writer: &mut Connection,
        busy_timeout: Duration,
    ) -> Result<(Self, JoinHandle<()>), OpenError> {
        let failed = |reason: String| OpenError::Database { path: path.display().to_string(), reason };
        let shared = Arc::new(Shared::default());
        let counted = Arc::clone(&shared);
        let count = move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            let pages = u64::try_from(pages).unwrap_or(0);
            // A log that has begun anew.
            if counted.pages.swap(pages, Ordering::SeqCst) > pages {
                counted.carried.store(0, Ordering::SeqCst);
            }
            Ok(())
        };
        writer.wal_hook(Some(count)).map_err(|error| failed(error.to_string()))?;
        let connection = schema::open_beside(path, busy_timeout)?;
        let (wake, woken) = mpsc::sync_channel(1);
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new().name("store-checkpoints".to_owned());
        let thread = thread
            .spawn(move || {
                while woken.recv().is_ok() {
                    carry(&connection, &seen);
                    seen.is_busy.store(false, Ordering::SeqCst);
                }
            })
            .map_err(|error| failed(error.to_string()))?;
        Ok((Self { shared, wake }, thread))
    }

    /// To be called by the writer between two transactions.
    pub(crate) fn after_commit(&self, writer: &Connection) {
        let (pages, carried) =
            (self.shared.pages.load(Ordering::SeqCst), self.shared.carried.load(Ordering::SeqCst));
        match due(pages, carried, self.shared.is_busy.load(Ordering::SeqCst)) {
            Due::Nothing => {}
            Due::Part => {
                self.shared.is_busy.store(true, Ordering::SeqCst);
                if self.wake.try_send(()).is_err() {
                    self.shared.is_busy.store(false, Ordering::SeqCst);
                }
            }
            Due::Rest => carry(writer, &self.shared),
        }
    }
}

/// Carries over what no reader still needs in the log.
fn carry(connection: &Connection, shared: &Shared) {
    let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2));
    match done {
        Ok(pages) => shared.carried.store(u64::try_from(pages).unwrap_or(0), Ordering::SeqCst),
        Err(error) => tracing::warn!(%error, "the log could not be carried over; it grows until it can"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writer_does_only_what_is_little_or_overdue() {
        assert_eq!(due(PART - 1, 0, false), Due::Nothing);
        assert_eq!(due(PART, 0, false), Due::Part);
        assert_eq!(due(LONG, 0, false), Due::Part);
        assert_eq!(due(LONG, LONG - PART + 1, false), Due::Rest);
        assert_eq!(due(LONG - 1, LONG - PART, false), Due::Nothing);
        assert_eq!(due(TOO_LONG, 0, true), Due::Nothing);
        assert_eq!(due(TOO_LONG, 0, false), Due::Rest);
        assert_eq!(due(LONG, LONG, false), Due::Nothing);
        assert_eq!(due(PART, LONG, false), Due::Part);
    }
}
