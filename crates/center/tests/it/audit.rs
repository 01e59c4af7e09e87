//! The audit finds what was changed behind the center's back, even where row checks are made to fit.

use feiqian_center::tables;
use feiqian_ledger::store::{StoreError, StoreExt, Table, Tx, Value};

use crate::offline::clear;
use crate::offline_world::Offline;
use crate::present::{Scene, present};

async fn tamper(scene: &Scene, change: impl Fn(&mut dyn Tx) -> Result<(), StoreError> + Send + 'static) {
    scene.world.disk.commit("test.tamper", change).await.unwrap();
}

fn first(tx: &mut dyn Tx, table: &Table) -> Vec<Value> {
    let sql = format!("SELECT {} FROM {} LIMIT 1", table.column_list(), table.name);
    tx.select(&sql, &[]).unwrap().remove(0).0
}

async fn settled() -> Scene {
    let scene = Scene::new().await;
    present(&scene.south, &scene.payment(1250, 1)).await.unwrap();
    let report = scene.world.audited().await;
    assert_eq!(report.findings, []);
    let posted: Vec<_> = report.settlements.iter().map(|it| (it.bank.as_str(), it.posted.value())).collect();
    assert_eq!(posted, [("north", 98_750), ("south", 101_250)]);
    scene
}

async fn places(scene: &Scene) -> String {
    let report = scene.world.audited().await;
    report.findings.iter().map(|finding| format!("{finding}\n")).collect()
}

#[tokio::test]
async fn a_changed_row_with_a_fitting_check_is_found() {
    let changes: [(&Table, usize, Value, &str); 6] = [
        (&tables::OBLIGATION, 3, Value::Integer(1), "center_obligation"),
        (&tables::FUNDING, 3, Value::Integer(5), "center_funding"),
        (&tables::PRESENTMENT, 4, Value::Integer(7), "center_presentment"),
        (&tables::PIN, 5, Value::Blob(vec![0; 32]), "center_pin"),
        (&tables::OBLIGATION, 1, Value::Text("west".into()), "center_obligation"),
        (&tables::PRESENTMENT, 7, Value::Integer(3), "center_presentment"),
    ];
    for (table, column, value, place) in changes {
        let scene = settled().await;
        tamper(&scene, move |tx| {
            let mut values = first(tx, table);
            values[column] = value.clone();
            tx.update(table, &values)
        })
        .await;
        let found = places(&scene).await;
        assert!(found.contains(place), "{place} column {column}: {found}");
    }
}

#[tokio::test]
async fn changed_rows_of_offline_cash_are_found() {
    let changes: [(&Table, usize, Value, &str); 9] = [
        (&tables::OFFLINE_PIN, 0, Value::Integer(7), "center_offline_pin"),
        (&tables::OFFLINE_PIN, 1, Value::Text("west".into()), "center_offline_pin"),
        (&tables::OFFLINE_PIN, 4, Value::Blob(vec![0; 32]), "center_offline_pin"),
        (&tables::IDENTITY, 1, Value::Blob(vec![0; 32]), "center_identity"),
        (&tables::IDENTITY, 2, Value::Text("north/bob".into()), "center_identity"),
        (&tables::EXPOSED, 1, Value::Integer(1), "center_exposed"),
        (&tables::PRESENTMENT, 7, Value::Integer(3), "center_presentment"),
        // What the whole would have been, and less than what was paid.
        (&tables::OBLIGATION, 3, Value::Integer(4), "center_obligation"),
        (&tables::OBLIGATION, 3, Value::Integer(2), "center_obligation"),
    ];
    for (table, column, value, place) in changes {
        let scene = Offline::new().await;
        clear(&scene).await.unwrap();
        let tampered = move |tx: &mut dyn Tx| {
            let mut values = first(tx, table);
            if column < table.key {
                tx.delete(table, &values[..table.key])?;
                values[column] = value.clone();
                return tx.insert(table, &values);
            }
            values[column] = value.clone();
            tx.update(table, &values)
        };
        scene.world.disk.commit("test.tamper", tampered).await.unwrap();
        let report = scene.world.audited().await;
        let found: String = report.findings.iter().map(|finding| format!("{finding}\n")).collect();
        assert!(found.contains(place), "{place} column {column}: {found}");
    }
}

#[tokio::test]
async fn a_missing_row_is_found() {
    for table in [&tables::OBLIGATION, &tables::FUNDING, &tables::PRESENTMENT, &tables::PIN] {
        let scene = settled().await;
        tamper(&scene, move |tx| {
            let key: Vec<Value> = first(tx, table).into_iter().take(table.key).collect();
            tx.delete(table, &key)
        })
        .await;
        assert_ne!(places(&scene).await, "", "{}", table.name);
    }
}
