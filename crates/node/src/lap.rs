//! Where deleting goes on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use feiqian_crypto::Digest;

/// A place in the order of rows: a time, Unix seconds (0 where rows have none), then a key.
pub type Place = (u64, Digest);

/// Where a node's housekeeping goes on from round to round: behind the last row that it looked at, and from the front again when
/// it has come to the end. So rows that cannot go yet are passed by, however many there are, and do not keep those behind
/// them from going. Forgotten when the node stops.
#[derive(Debug, Default)]
pub struct Lap(Mutex<Option<Place>>);

impl Lap {
    fn place(&self) -> MutexGuard<'_, Option<Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Behind which row to go on.
    #[must_use]
    pub fn after(&self) -> Place {
        self.place().unwrap_or((0, Digest::ZERO))
    }

    /// The last row that was looked at; `None` when there was none left.
    pub fn went_to(&self, last: Option<Place>) {
        *self.place() = last;
    }
}
