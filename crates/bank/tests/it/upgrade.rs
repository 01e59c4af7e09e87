//! A store of an older version goes on where it was.

use std::path::Path;
use std::sync::Arc;

use feiqian_bank::tables::{COIN, PAYMENT, SPEND, STATEMENT, STEPS, TABLES};
use feiqian_ledger::store::{Row, Store, StoreError, StoreExt as _, Table, Tx, Value};
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_store::{Options, SqliteStore};

use crate::world::{Holder, Node, World, pay};

async fn deposit(node: &Node, holder: &Holder, item: &CashItem) -> Outcome {
    match node.ask(Some(&holder.peer), "/v1/deposit", item).await.unwrap() {
        DepositResponse::Final(outcome) => outcome,
        DepositResponse::Pending { .. } => panic!("own coins are final at once"),
    }
}

/// The layout of a table in version 2.
fn before(table: &'static Table) -> &'static Table {
    let rebuilt = STEPS[1].rebuilt.iter().find(|rebuilt| rebuilt.after.name == table.name);
    rebuilt.map_or(table, |rebuilt| rebuilt.before)
}

fn insert_all(tx: &mut dyn Tx, table: &Table, rows: &[Row]) -> Result<(), StoreError> {
    rows.iter().try_for_each(|row| tx.insert(table, &row.0))
}

/// As a program of version 2 wrote it: a spend for all that a statement took from a coin, a row for every statement.
fn write_before(tx: &mut dyn Tx, table: &'static Table, rows: &[Row]) -> Result<(), StoreError> {
    if table.name == COIN.name {
        for Row(values) in rows {
            tx.insert(before(table), &values[..5])?;
            if values[5] != Value::Null {
                let spend = [&values[0], &values[1], &values[5], &values[4]].map(Clone::clone);
                tx.insert(&SPEND, &spend)?;
            }
        }
    } else if table.name == PAYMENT.name {
        for Row(values) in rows {
            tx.insert(before(table), &values[1..10])?;
            tx.insert(&STATEMENT, &[values[1].clone(), 0_i64.into(), values[10].clone()])?;
        }
    } else {
        insert_all(tx, table, rows)?;
    }
    Ok(())
}

/// What the store holds, as a file of version 2.
async fn downgrade(store: &impl Store, file: &Path) {
    let tables: Vec<&'static Table> = TABLES.iter().map(|table| before(table)).collect();
    let old = SqliteStore::open(file, &tables, Options::new("bank").version(2)).unwrap();
    for table in TABLES {
        let sql = format!("SELECT {} FROM {}", table.column_list(), table.name);
        let rows = store.read(move |tx: &mut dyn Tx| tx.select(&sql, &[])).await.unwrap();
        let work = move |tx: &mut dyn Tx| write_before(tx, table, &rows);
        old.commit("test", work).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_of_version_2_goes_on_where_it_was() {
    let world = World::new();
    let (mut node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64, 32, 16]).await;
    let part = pay(&node.request(&alice, 1, 20, 3600), &[(&coins[0], 20)]);
    let other = pay(&node.request(&alice, 2, 10, 3600), &[(&coins[0], 10)]);
    let whole = pay(&node.request(&alice, 3, 32, 3600), &[(&coins[1], 32)]);
    for item in [&part, &other, &whole] {
        assert!(matches!(deposit(&node, &alice, item).await, Outcome::Paid(_)));
    }
    node.refresh(24, &[(&coins[2], 16)], &[8, 8], vec![]).await.unwrap();
    let then = node.assert_sound().await;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bank.sqlite");
    downgrade(&*node.store, &file).await;
    let store = SqliteStore::open(&file, TABLES, Options::new("bank").steps(STEPS)).unwrap();
    assert_eq!(store.version(), 3);
    node.move_to(Arc::new(store));
    world.restart(&mut node).await;

    let now = node.assert_sound().await;
    assert_eq!(
        (&now.circulation, &now.coins, &now.payments),
        (&then.circulation, &then.coins, &then.payments)
    );
    // What was paid stays paid, what is spent stays spent, and can be shown; the rest can be spent.
    for item in [&part, &other, &whole] {
        assert!(matches!(deposit(&node, &alice, item).await, Outcome::Paid(_)));
    }
    for (n, coin, amount) in [(4, &coins[1], 32), (5, &coins[0], 35)] {
        let again = pay(&node.request(&alice, n, amount, 3600), &[(coin, amount)]);
        let Outcome::DoubleSpent(evidence) = deposit(&node, &alice, &again).await else { panic!("coin {n}") };
        evidence.verify(&world.trusted()).unwrap();
    }
    let rest = pay(&node.request(&alice, 6, 34, 3600), &[(&coins[0], 34)]);
    assert!(matches!(deposit(&node, &alice, &rest).await, Outcome::Paid(_)));
    assert_eq!(node.assert_sound().await.in_circulation(), 16);
}
