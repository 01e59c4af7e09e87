//! A node's store with the world around it: every durable write is an event, and may be the node's last.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use feiqian_ledger::store::{BoxFuture, Row, Store, StoreError, Table, Tx, Value, Work};
use feiqian_store::SqliteStore;

use super::fabric::{Fabric, NodeId};
use crate::scenario::specs::Side;

/// The store as one life of one node has it. The database below outlives it.
pub(crate) struct NodeStore {
    pub(crate) database: Arc<SqliteStore>,
    pub(crate) fabric: Arc<Fabric>,
    pub(crate) node: NodeId,
    pub(crate) life: u64,
    /// Wallets are many, and busy only while their owners pay.
    pub(crate) is_wallet: bool,
    /// What is written to these tables is lost: a broken store, to show that the attack against it is real.
    pub(crate) forgets: &'static [&'static str],
}

/// How long a node that has not written what it answered lives on: the answer leaves.
const ANSWERED: Duration = Duration::from_secs(1);

impl NodeStore {
    fn note_use(&self) {
        let warm = self.fabric.warm();
        if self.is_wallet {
            warm.used(self.node, &self.database);
        } else {
            warm.busy(self.node, &self.database);
        }
    }

    /// Runs the work so that its author sees it succeed, and undoes it.
    async fn pretend(&self, point: &'static str, work: Work) -> Result<(), StoreError> {
        let mut work = work;
        let outcome = Arc::new(Mutex::new(None));
        let kept = Arc::clone(&outcome);
        let undone: Work = Box::new(move |tx| {
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(work(tx));
            Err(StoreError::Aborted)
        });
        let _ = self.database.commit_raw(point, undone).await;
        let result = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        result.unwrap_or(Err(StoreError::Closed))
    }
}

/// A transaction that drops what is written to some tables and says that it was written.
struct Forgetful<'a> {
    tx: &'a mut dyn Tx,
    forgets: &'static [&'static str],
}

impl Tx for Forgetful<'_> {
    fn insert(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        if self.forgets.contains(&table.name) { Ok(()) } else { self.tx.insert(table, values) }
    }

    fn update(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        if self.forgets.contains(&table.name) { Ok(()) } else { self.tx.update(table, values) }
    }

    fn delete(&mut self, table: &Table, key: &[Value]) -> Result<(), StoreError> {
        if self.forgets.contains(&table.name) { Ok(()) } else { self.tx.delete(table, key) }
    }

    fn find(&mut self, table: &Table, key: &[Value]) -> Result<Option<Row>, StoreError> {
        self.tx.find(table, key)
    }

    fn select(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.tx.select(sql, parameters)
    }
}

impl Store for NodeStore {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if !self.fabric.is_alive(self.node, self.life) {
                return std::future::pending().await;
            }
            self.note_use();
            let mut work = work;
            let forgets = self.forgets;
            let work: Work = if forgets.is_empty() {
                work
            } else {
                Box::new(move |tx| work(&mut Forgetful { tx, forgets }))
            };
            match self.fabric.at_write(self.node, point) {
                None => self.database.commit_raw(point, work).await,
                Some((Side::Lost, length)) => {
                    let (fabric, node) = (Arc::clone(&self.fabric), self.node);
                    tokio::spawn(async move {
                        tokio::time::sleep(ANSWERED).await;
                        fabric.fell(node, length);
                    });
                    self.pretend(point, work).await
                }
                Some((side, length)) => {
                    if side == Side::After {
                        let _ = self.database.commit_raw(point, work).await;
                    }
                    self.fabric.fell(self.node, length);
                    std::future::pending().await
                }
            }
        })
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            if !self.fabric.is_alive(self.node, self.life) {
                return std::future::pending().await;
            }
            self.note_use();
            self.database.read_raw(work).await
        })
    }
}
