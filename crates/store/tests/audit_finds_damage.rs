//! One changed value in any table is found and its place named.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at the first surprise"
)]

use std::path::Path;

use feiqian_ledger::{
    LedgerError, TABLES,
    audit::{self, Finding},
    book::{self, Account, Limit, Transfer},
    store::{Kind, StoreError, StoreExt, Tx, Value, row_check},
    testing::id,
};
use feiqian_money::{Currency, Minor};
use feiqian_store::{Options, SqliteStore};
use rusqlite::Connection;

fn minor(value: u64) -> Minor {
    Minor::new(value).unwrap()
}

/// A small history that leaves rows in every table.
async fn write_history(path: &Path) {
    let store = SqliteStore::open(path, TABLES, Options::new("bank")).unwrap();
    let done: Result<(), LedgerError> = store
        .commit("history", |tx| {
            for (n, limit) in [(1, Limit::None), (2, Limit::DebitsNotAboveCredits), (3, Limit::None)] {
                let account = Account { id: id(n), currency: Currency::CNY, code: 7, limit };
                let _ = book::open_account(tx, &account, 5)?;
            }
            let first = Transfer::posted(id(10), id(1), id(2), minor(500), 1);
            let second = Transfer::pending(id(11), id(2), id(3), minor(200), 1, Some(100));
            let _ = book::transfer(tx, &[first, second.clone()], 6)?;
            let _ = book::transfer(tx, &[second.post(id(12), minor(150))], 7)?;
            let third = Transfer::pending(id(13), id(2), id(3), minor(20), 1, Some(100));
            let _ = book::transfer(tx, &[third], 8)?;
            Ok(())
        })
        .await;
    done.unwrap();
}

async fn findings(path: &Path) -> Vec<Finding> {
    let store = SqliteStore::open_read_only(path).unwrap();
    let found: Result<_, StoreError> = store
        .read(|tx: &mut dyn Tx| {
            let mut findings = audit::check_rows(tx, TABLES)?;
            findings.extend(audit::check_book(tx)?.findings);
            Ok(findings)
        })
        .await;
    found.unwrap()
}

#[tokio::test]
async fn an_untouched_store_is_clean_and_its_totals_agree() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.db");
    write_history(&path).await;
    assert_eq!(findings(&path).await, Vec::new());
    let store = SqliteStore::open_read_only(&path).unwrap();
    let report = store.read(audit::check_book).await.unwrap();
    let totals = report.totals["CNY"];
    assert_eq!(
        (totals.debits_posted, totals.credits_posted, totals.debits_pending, totals.credits_pending),
        (650, 650, 20, 20)
    );
    assert_eq!((report.accounts, report.transfers, report.head.seq), (3, 4, 7));
    assert_eq!(store.check_integrity().await.unwrap(), Vec::<String>::new());
}

/// Changes each column of the first row of each table in turn, past all constraints.
#[tokio::test]
async fn a_change_of_any_value_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("bank.db");
    write_history(&original).await;
    for table in TABLES {
        for column in table.columns {
            let path = folder.path().join(format!("{}-{}.db", table.name, column.name));
            std::fs::copy(&original, &path).unwrap();
            let change = match column.kind {
                Kind::Integer => format!("coalesce({}, 40) + 1", column.name),
                Kind::Text => "'EUR'".to_owned(),
                Kind::Blob => {
                    format!(
                        "coalesce(CAST(substr({0}, 1, length({0}) - 1) || x'EE' AS BLOB), zeroblob(16))",
                        column.name
                    )
                }
            };
            let key = table.key_columns()[0].name;
            let connection = Connection::open(&path).unwrap();
            connection.execute_batch("PRAGMA ignore_check_constraints = ON").unwrap();
            let sql = format!(
                "UPDATE {0} SET {1} = {change} WHERE {key} = (SELECT max({key}) FROM {0})",
                table.name, column.name
            );
            assert_eq!(connection.execute(&sql, []).unwrap(), 1, "{sql}");
            drop(connection);
            let found = findings(&path).await;
            let named = found.iter().any(|finding| finding.place.starts_with(&format!("{} (", table.name)));
            assert!(named, "{} {}: {found:?}", table.name, column.name);
        }
    }
}

/// A careful forger recomputes the row check: the journal still disagrees.
#[tokio::test]
async fn a_balance_changed_with_its_check_disagrees_with_the_journal() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bank.db");
    write_history(&path).await;
    let table = TABLES[0];
    let connection = Connection::open(&path).unwrap();
    let sql = format!("SELECT {} FROM {} WHERE id = ?1", table.column_list(), table.name);
    let mut values: Vec<Value> = connection
        .query_row(&sql, [[3_u8; 16].as_slice()], |row| {
            Ok((0..table.columns.len())
                .map(|index| match row.get_ref(index).unwrap() {
                    rusqlite::types::ValueRef::Integer(number) => Value::Integer(number),
                    rusqlite::types::ValueRef::Text(text) => {
                        Value::Text(String::from_utf8(text.to_vec()).unwrap())
                    }
                    rusqlite::types::ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
                    other => panic!("{other:?}"),
                })
                .collect())
        })
        .unwrap();
    let posted = table.columns.iter().position(|column| column.name == "credits_posted").unwrap();
    values[posted] = Value::Integer(151);
    let check = row_check(table, &values);
    let sql = "UPDATE ledger_account SET credits_posted = 151, row_check = ?1 WHERE id = ?2";
    assert_eq!(connection.execute(sql, [check.as_slice(), [3_u8; 16].as_slice()]).unwrap(), 1);
    drop(connection);
    let found = findings(&path).await;
    let details: Vec<_> = found.iter().map(|finding| (finding.invariant, finding.place.as_str())).collect();
    let place = format!("ledger_account ({})", id(3));
    assert_eq!(details, [(7, place.as_str()), (1, "CNY")]);
}

#[tokio::test]
async fn removed_rows_are_missed() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("bank.db");
    write_history(&original).await;
    for table in TABLES {
        let path = folder.path().join(format!("{}.db", table.name));
        std::fs::copy(&original, &path).unwrap();
        let key = table.key_columns()[0].name;
        let connection = Connection::open(&path).unwrap();
        let sql = format!("DELETE FROM {0} WHERE {key} = (SELECT min({key}) FROM {0})", table.name);
        assert_eq!(connection.execute(&sql, []).unwrap(), 1);
        drop(connection);
        assert!(!findings(&path).await.is_empty(), "{}", table.name);
    }
}
