//! A store that dies where a test wants it to.

use std::sync::{Arc, Mutex};

use feiqian_ledger::store::{BoxFuture, Store, StoreError, Work};
use feiqian_store::SqliteStore;

/// A store whose process dies at a chosen commit: nobody is answered, and what was not committed never was.
pub(crate) struct Mortal {
    inner: Arc<SqliteStore>,
    /// The point, and whether it dies after the commit.
    pub(crate) plan: Mutex<Option<(&'static str, bool)>>,
}

impl Mortal {
    pub(crate) fn new(inner: Arc<SqliteStore>) -> Self {
        Self { inner, plan: Mutex::default() }
    }
}

impl Store for Mortal {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        let plan = self.plan.lock().unwrap().take_if(|(chosen, _)| *chosen == point);
        Box::pin(async move {
            match plan {
                None => self.inner.commit_raw(point, work).await,
                Some((_, false)) => Err(StoreError::Closed),
                Some((_, true)) => {
                    self.inner.commit_raw(point, work).await?;
                    Err(StoreError::Closed)
                }
            }
        })
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.read_raw(work)
    }
}
