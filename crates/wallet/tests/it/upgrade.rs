//! A store of an older version goes on where it was.

use std::path::Path;
use std::sync::Arc;

use feiqian_ledger::store::{Row, Store, StoreError, StoreExt as _, Table, Tx};
use feiqian_store::{Options, SqliteStore};
use feiqian_wallet::tables::{PAYMENT, STEPS, TABLES};

use crate::quiet::{background, paid_three_times};
use crate::world::Fragile;

/// The layout of a table in version 2.
fn before(table: &'static Table) -> &'static Table {
    let rebuilt = STEPS[1].rebuilt.iter().find(|rebuilt| rebuilt.after.name == table.name);
    rebuilt.map_or(table, |rebuilt| rebuilt.before)
}

async fn rows(store: &dyn Store, table: &'static Table) -> Vec<Row> {
    let sql = format!("SELECT {} FROM {} ORDER BY {}", table.column_list(), table.name, table.key_list());
    store.read(move |tx: &mut dyn Tx| tx.select(&sql, &[])).await.unwrap()
}

/// What the store holds, as a file of version 2, in which a payment's row ended with whether it was reported.
async fn downgrade(store: &dyn Store, file: &Path) {
    let tables: Vec<&'static Table> = TABLES.iter().map(|table| before(table)).collect();
    let old = SqliteStore::open(file, &tables, Options::new("wallet").version(2)).unwrap();
    for table in TABLES {
        let rows = rows(store, table).await;
        let write = move |tx: &mut dyn Tx| {
            let old = before(table);
            rows.iter().try_for_each(|row| tx.insert(old, &row.0[..old.columns.len()]))
        };
        old.commit::<(), StoreError>("test", write).await.unwrap();
    }
}

#[tokio::test]
async fn a_store_of_version_2_still_finds_its_refunds() {
    let (world, mut alice) = paid_three_times().await;
    let kept = rows(&*alice.store.inner, &PAYMENT).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wallet.sqlite");
    downgrade(&*alice.store.inner, &file).await;

    let open = || SqliteStore::open(&file, TABLES, Options::new("wallet").steps(STEPS)).unwrap();
    let store = Arc::new(open());
    assert_eq!(rows(&*store, &PAYMENT).await, kept, "each payment has what a new one has");
    alice.store = Fragile::new(Arc::clone(&store) as Arc<dyn Store>);
    alice.poll_seconds = 1;
    for payment in &world.paid() {
        world.refund(payment, 10);
    }
    background(&world, &alice, 3_600).await;
    assert_eq!(alice.audited().await, 430);
    assert_eq!(store.check_integrity().await, Ok(Vec::new()));
}

/// The indexes of a store, but those that constraints make.
async fn indexes(store: &SqliteStore) -> Vec<Row> {
    let sql = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name";
    store.read(move |tx: &mut dyn Tx| tx.select(sql, &[])).await.unwrap()
}

#[tokio::test]
async fn indexes_of_an_older_program_are_built_anew_without_a_step() {
    static OLD_COIN: Table = Table {
        indexes: &["(bank, rest)", "(denomination, coin_key) WHERE rest > 0"],
        ..feiqian_wallet::tables::COIN
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("wallet.sqlite");
    let open = |tables: &[&'static Table]| {
        SqliteStore::open(&file, tables, Options::new("wallet").steps(STEPS)).unwrap()
    };
    let old: Vec<&'static Table> =
        TABLES.iter().map(|table| if table.name == OLD_COIN.name { &OLD_COIN } else { *table }).collect();
    let then = indexes(&open(&old)).await;
    let now = indexes(&open(TABLES)).await;
    let fresh = indexes(&SqliteStore::open_in_memory(TABLES).unwrap()).await;
    assert_ne!(then, now);
    assert_eq!(now, fresh);
}
