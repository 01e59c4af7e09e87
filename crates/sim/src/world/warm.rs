//! Which stores keep what only makes them faster next time: prepared statements and free pages.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use feiqian_store::SqliteStore;

use super::fabric::NodeId;

/// How many busy nodes keep it: those that will soon be busy again, and little beside a large population.
const BUSY: usize = 256;
/// How many others: all wallets look around now and then, one after the other, and none of them is soon back.
const PASSING: usize = 32;

#[derive(Default)]
struct Stores {
    busy: VecDeque<(NodeId, Arc<SqliteStore>)>,
    passing: VecDeque<(NodeId, Arc<SqliteStore>)>,
}

impl Stores {
    fn is_busy(&self, node: NodeId) -> bool {
        self.busy.iter().rev().any(|(known, _)| *known == node)
    }
}

/// The stores that keep it, in the order of their last use; all others have given back what they can.
#[derive(Default)]
pub(crate) struct Warm(Mutex<Stores>);

impl Warm {
    fn stores(&self) -> MutexGuard<'_, Stores> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node does what people wait for, or has done it.
    pub(crate) fn busy(&self, node: NodeId, store: &Arc<SqliteStore>) {
        let mut stores = self.stores();
        if stores.busy.back().is_some_and(|(latest, _)| *latest == node) {
            return;
        }
        stores.passing.retain(|(known, _)| *known != node);
        let coldest = push(&mut stores.busy, BUSY, node, store);
        drop(stores);
        release(coldest);
    }

    /// A node looks around.
    pub(crate) fn used(&self, node: NodeId, store: &Arc<SqliteStore>) {
        let mut stores = self.stores();
        let is_latest = stores.passing.back().is_some_and(|(latest, _)| *latest == node);
        if is_latest || stores.is_busy(node) {
            return;
        }
        let coldest = push(&mut stores.passing, PASSING, node, store);
        drop(stores);
        release(coldest);
    }

    /// Whether a node's store keeps it.
    pub(crate) fn has(&self, node: NodeId) -> bool {
        let stores = self.stores();
        stores.is_busy(node) || stores.passing.iter().any(|(known, _)| *known == node)
    }
}

/// Puts a store behind all others; the first one, if they are too many now.
fn push(
    stores: &mut VecDeque<(NodeId, Arc<SqliteStore>)>,
    most: usize,
    node: NodeId,
    store: &Arc<SqliteStore>,
) -> Option<Arc<SqliteStore>> {
    if let Some(known) = stores.iter().rposition(|(known, _)| *known == node) {
        stores.remove(known);
    }
    stores.push_back((node, Arc::clone(store)));
    if stores.len() > most { stores.pop_front().map(|(_, store)| store) } else { None }
}

fn release(coldest: Option<Arc<SqliteStore>>) {
    if let Some(store) = coldest {
        store.release_memory();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn the_busiest_stay_warm_however_many_pass() {
        let store = Arc::new(SqliteStore::open_in_memory(&[]).unwrap());
        let warm = Warm::default();
        for node in (0..=BUSY).map(NodeId).chain([NodeId(1)]) {
            warm.busy(node, &store);
        }
        assert!(!warm.has(NodeId(0)) && warm.has(NodeId(1)) && warm.has(NodeId(2)));
        for node in (0..10 * BUSY).map(NodeId) {
            warm.used(node, &store);
        }
        assert!(warm.has(NodeId(1)) && warm.has(NodeId(2)));
        assert!(!warm.has(NodeId(0)) && warm.has(NodeId(10 * BUSY - 1)));
        warm.busy(NodeId(10 * BUSY - 1), &store);
        let stores = warm.stores();
        assert_eq!((stores.busy.len(), stores.passing.len()), (BUSY, PASSING - 1));
    }
}
