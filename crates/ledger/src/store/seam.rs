//! The two traits a database implements, and the typed front that callers use.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Row, StoreError, Table, Value};

/// A future as a trait object can return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A piece of work inside one transaction. It may be run again from the start (after a serialisation failure), so it
/// owns what it needs and recomputes its result every time.
pub type Work = Box<dyn FnMut(&mut dyn Tx) -> Result<(), StoreError> + Send>;

/// One open transaction.
///
/// An error of a method leaves the transaction usable and the failed statement without effect, except
/// [`StoreError::Database`] and [`StoreError::Busy`], after which the work must end.
pub trait Tx {
    /// Adds a row: one value a column, in the table's order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Exists`] if the key or another unique value is taken, [`StoreError::Constraint`] if the database refuses the row,
    /// [`StoreError::Misuse`] for a wrong number of values or inside a read.
    fn insert(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError>;

    /// Replaces the whole row that has the same key as `values`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if there is none; otherwise as [`Tx::insert`].
    fn update(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError>;

    /// Writes the row, whether there is one with its key or not.
    ///
    /// # Errors
    ///
    /// As [`Tx::insert`]; [`StoreError::Exists`] if another unique value than the key is taken.
    fn put(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        match self.update(table, values) {
            Err(StoreError::Missing(_)) => self.insert(table, values),
            other => other,
        }
    }

    /// Removes the row with this key.
    ///
    /// # Errors
    ///
    /// [`StoreError::Missing`] if there is none; otherwise as [`Tx::insert`].
    fn delete(&mut self, table: &Table, key: &[Value]) -> Result<(), StoreError>;

    /// The row with this key, without its check column.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misuse`] for a wrong number of key values, [`StoreError::Database`] if reading fails.
    fn find(&mut self, table: &Table, key: &[Value]) -> Result<Option<Row>, StoreError>;

    /// The rows of one portable `SELECT` with parameters `?1`, `?2`, … All rows are held in memory: bound them with `LIMIT`.
    ///
    /// # Errors
    ///
    /// [`StoreError::Misuse`] if the statement would write or the parameters do not fit, [`StoreError::Database`] if reading fails.
    fn select(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, StoreError>;
}

/// A database behind the seam. Callers use the typed methods of [`StoreExt`].
pub trait Store: Send + Sync {
    /// Runs the work in a transaction that may write, and answers when its effects are durable.
    ///
    /// Several works may share one transaction of the database; an error undoes only the work that returned it.
    /// `point` names the place in the program: faults are injected and commits counted by it.
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Runs the work on one snapshot without the right to write.
    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Reads what a commit that is about to be queued will look at, so that it is in memory when its turn comes: those who
    /// commit one after another would else each wait for the disk. Nobody waits for it or learns its result, and it may be
    /// left out: a store that gains nothing by it, because it has no disk or all of its data in memory, does nothing.
    fn look_ahead(&self, work: Work) {
        drop(work);
    }
}

/// Typed work on any [`Store`], also on `dyn Store`.
pub trait StoreExt: Store {
    /// Runs `work` in a transaction and answers with its result once that is durable.
    ///
    /// An `Err` of the work undoes everything it wrote and nothing else. The work may be run again from the start; its
    /// last run counts.
    ///
    /// # Errors
    ///
    /// What the work returns, or the store's own failure converted into the caller's error.
    fn commit<T, E>(
        &self,
        point: &'static str,
        work: impl FnMut(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let slot = Slot::default();
        let done = self.commit_raw(point, slot.wrap(work));
        async move { slot.settle(done.await) }
    }

    /// Runs `work` on one snapshot, read only.
    ///
    /// # Errors
    ///
    /// What the work returns, or the store's own failure converted into the caller's error.
    fn read<T, E>(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Result<T, E> + Send + 'static,
    ) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let slot = Slot::default();
        let done = self.read_raw(slot.wrap(work));
        async move { slot.settle(done.await) }
    }
}

impl<S: Store + ?Sized> StoreExt for S {}

/// Where the typed result of the last run waits until the store has answered.
struct Slot<T, E>(Arc<Mutex<Option<Result<T, E>>>>);

impl<T, E> Default for Slot<T, E> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<T: Send + 'static, E: From<StoreError> + Send + 'static> Slot<T, E> {
    fn wrap(&self, mut work: impl FnMut(&mut dyn Tx) -> Result<T, E> + Send + 'static) -> Work {
        let slot = Arc::clone(&self.0);
        Box::new(move |tx| {
            // A run that panics must not leave an earlier run's result behind.
            slot.lock().unwrap_or_else(PoisonError::into_inner).take();
            let result = work(tx);
            let verdict = if result.is_ok() { Ok(()) } else { Err(StoreError::Aborted) };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            verdict
        })
    }

    fn settle(self, outcome: Result<(), StoreError>) -> Result<T, E> {
        let result = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (outcome, result) {
            (Ok(()), Some(Ok(value))) => Ok(value),
            (Err(StoreError::Aborted), Some(Err(error))) => Err(error),
            (Err(error), _) => Err(error.into()),
            (Ok(()), _) => {
                Err(StoreError::Misuse("the store answered for work it did not run".to_owned()).into())
            }
        }
    }
}
