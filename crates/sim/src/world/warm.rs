//! Which stores keep what only makes them faster next time: prepared statements and free pages.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use feiqian_store::SqliteStore;

use super::fabric::NodeId;

/// How many stores keep it: enough for the busiest nodes, and little beside a large population.
const MOST: usize = 128;

/// The stores that were used last, the latest behind; all others have given back what they can.
#[derive(Default)]
pub(crate) struct Warm(Mutex<VecDeque<(NodeId, Arc<SqliteStore>)>>);

impl Warm {
    fn stores(&self) -> MutexGuard<'_, VecDeque<(NodeId, Arc<SqliteStore>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node uses its store: the one that was used longest ago gives its memory back, if they are too many now.
    pub(crate) fn used(&self, node: NodeId, store: &Arc<SqliteStore>) {
        let mut stores = self.stores();
        if stores.back().is_some_and(|(latest, _)| *latest == node) {
            return;
        }
        // Most often it is one of the latest.
        if let Some(known) = stores.iter().rposition(|(known, _)| *known == node) {
            stores.remove(known);
        }
        stores.push_back((node, Arc::clone(store)));
        let coldest = if stores.len() > MOST { stores.pop_front() } else { None };
        drop(stores);
        if let Some((_, store)) = coldest {
            store.release_memory();
        }
    }

    /// Whether a node's store keeps it.
    pub(crate) fn has(&self, node: NodeId) -> bool {
        self.stores().iter().any(|(known, _)| *known == node)
    }

    /// The nodes whose stores keep it.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeId> {
        self.stores().iter().map(|(node, _)| *node).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn only_the_stores_that_were_used_last_are_warm() {
        let store = Arc::new(SqliteStore::open_in_memory(&[]).unwrap());
        let warm = Warm::default();
        for node in (0..=MOST).map(NodeId).chain([NodeId(1), NodeId(0)]) {
            warm.used(node, &store);
        }
        let nodes = warm.nodes();
        assert_eq!(nodes.len(), MOST);
        assert!(nodes.contains(&NodeId(1)) && nodes.contains(&NodeId(0)));
        assert!(!nodes.contains(&NodeId(2)), "it was used longest ago");
    }
}
