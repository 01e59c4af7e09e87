//! Outgoing messages as places to kill a node at, to test what survives. Compiled only with the feature `test-faults`.
//!
//! A message has two such places: before its first byte leaves, and when its answer is there but nobody has used it. What
//! happens there is the business of who [watches](watch): this crate kills nobody.

use std::sync::OnceLock;

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Nothing of it has left.
    Send,
    /// Its answer has arrived, whatever it says, and was given to nobody yet.
    Answered,
}

type Watcher = Box<dyn Fn(Moment, &str) + Send + Sync>;

static WATCHER: OnceLock<Watcher> = OnceLock::new();

/// Has `watcher` told of each moment of each message of this process, with the path it goes to. Only the first stays.
pub fn watch(watcher: impl Fn(Moment, &str) + Send + Sync + 'static) {
    if WATCHER.set(Box::new(watcher)).is_err() {
        tracing::error!("somebody watches the messages of this process already");
    }
}

/// Tells the watcher, if there is one. A query is no part of the path.
pub(crate) fn reached(moment: Moment, path: &str) {
    if let Some(watcher) = WATCHER.get() {
        watcher(moment, path.split('?').next().unwrap_or_default());
    }
}
