//! A second wallet over a copy of a wallet's store. Nothing keeps an owner from copying what is on the own disk; with the
//! two, everything can be spent twice.

use feiqian_ledger::store::{Row, StoreError, StoreExt as _, Tx, Value};
use feiqian_store::SqliteStore;
use feiqian_wire::error::Fault;
use serde_json::Value as Json;

use super::World;
use super::fabric::NodeId;
use super::node::{Node, Recipe, internal, tables};

/// The copy. It is no node of the world: nobody audits it, and nothing starts it again.
pub(crate) struct Twin(Node);

impl Twin {
    /// Has it carry out a command.
    ///
    /// # Errors
    /// The wallet's fault.
    pub(crate) async fn command(&self, command: Json) -> Result<Json, Fault> {
        let running = self.0.running.clone().ok_or_else(|| internal("the copy is not up"))?;
        running.service().command(command).await
    }
}

impl World {
    /// Copies a wallet as it is now.
    ///
    /// # Errors
    /// The store's; `INTERNAL` for what is no wallet.
    pub(crate) async fn twin(&self, wallet: NodeId) -> Result<Twin, Fault> {
        let held = self.nodes.get(&wallet).ok_or_else(|| internal("no such wallet"))?;
        let (recipe, name) = {
            let held = held.lock().await;
            let Recipe::Wallet(recipe) = &held.recipe else { return Err(internal("not a wallet")) };
            (Recipe::Wallet(recipe.clone()), format!("{}/copy", held.name))
        };
        let mut twin = Node::new(&self.fabric, self.scenario.seed, name, None, recipe)?;
        let from = self.databases.get(&wallet).ok_or_else(|| internal("no such store"))?;
        copy(from, &twin).await.map_err(internal)?;
        twin.start(&self.fabric).await?;
        Ok(Twin(twin))
    }
}

async fn copy(from: &SqliteStore, to: &Node) -> Result<(), StoreError> {
    for table in tables(&to.recipe) {
        let all = move |tx: &mut dyn Tx| {
            tx.select(&format!("SELECT {} FROM {}", table.column_list(), table.name), &[])
        };
        let rows: Vec<Row> = from.read(all).await?;
        let insert =
            move |tx: &mut dyn Tx| rows.iter().try_for_each(|row: &Row| tx.insert(table, &row.0 as &[Value]));
        to.database.commit("sim.twin.copy", insert).await?;
    }
    Ok(())
}
