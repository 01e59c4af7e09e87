//! What waits in a node's store: how much of it, and since when.
//!
//! | name | kind | labels | says |
//! |---|---|---|---|
//! | `feiqian_queue_length` | gauge | `queue` | how many rows wait |
//! | `feiqian_queue_oldest_seconds` | gauge | `queue` | how long the oldest has waited; 0 when none does |

use std::collections::BTreeMap;

use feiqian_ledger::store::{Store, StoreError, StoreExt, Tx};
use serde::{Deserialize, Serialize};

/// Name of the gauge of lengths.
pub const QUEUE_LENGTH: &str = "feiqian_queue_length";
/// Name of the gauge of ages.
pub const QUEUE_OLDEST: &str = "feiqian_queue_oldest_seconds";

/// A queue: rows of a table that wait.
#[derive(Debug, Clone, Copy)]
pub struct Queue {
    /// Its name.
    pub name: &'static str,
    /// A `SELECT` of two integers: how many wait, and the time from which the first of them does, Unix seconds, null
    /// where none waits or no time is known.
    pub sql: &'static str,
}

/// What waits in a queue.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Waiting {
    /// How many.
    pub length: u64,
    /// How long the first has waited, seconds; 0 when none does.
    pub oldest_seconds: u64,
}

/// Looks at queues in one snapshot.
///
/// # Errors
/// The store's.
pub async fn waiting(
    store: &dyn Store,
    queues: &'static [Queue],
    now: u64,
) -> Result<BTreeMap<String, Waiting>, StoreError> {
    let read = move |tx: &mut dyn Tx| {
        let mut found = BTreeMap::new();
        for queue in queues {
            let rows = tx.select(queue.sql, &[])?;
            let row = rows.first().ok_or(StoreError::Missing(queue.name))?;
            let since = row.optional_unsigned(1)?;
            let oldest_seconds = since.map_or(0, |since| now.saturating_sub(since));
            found.insert(queue.name.to_owned(), Waiting { length: row.unsigned(0)?, oldest_seconds });
        }
        Ok::<_, StoreError>(found)
    };
    store.read(read).await
}

/// Puts what waits into the metrics.
pub fn gauge(waiting: &BTreeMap<String, Waiting>) {
    let figure = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    for (name, it) in waiting {
        metrics::gauge!(QUEUE_LENGTH, "queue" => name.clone()).set(figure(it.length));
        metrics::gauge!(QUEUE_OLDEST, "queue" => name.clone()).set(figure(it.oldest_seconds));
    }
}
