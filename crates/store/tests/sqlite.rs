//! What only SQLite's store promises: the form in memory runs everything inline, and a foreign file stays as it is. The
//! promises of every store are in `conformance`.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::sync::Arc;

use feiqian_ledger::store::{Column, Store, StoreError, StoreExt, Table, Value};
use feiqian_store::{OpenError, Options, SqliteStore};

static NOTE: Table = Table {
    name: "note",
    columns: &[Column::integer("id"), Column::text("body"), Column::blob("mark").optional()],
    key: 1,
    constraints: &["UNIQUE (body)", "CONSTRAINT body_not_empty CHECK (length(body) > 0)"],
    indexes: &["(mark)"],
};
static TABLES: &[&Table] = &[&NOTE];

fn note(id: i64, body: &str) -> [Value; 3] {
    [id.into(), body.into(), Value::Null]
}

#[tokio::test]
async fn in_memory_too_a_refusal_leaves_the_transaction_usable_and_a_panic_undoes_one_work() {
    let store = SqliteStore::open_in_memory(TABLES).unwrap();
    let done: Result<(), StoreError> = store
        .commit("refusals", |tx| {
            tx.insert(&NOTE, &note(1, "one"))?;
            assert!(matches!(tx.insert(&NOTE, &note(1, "other")), Err(StoreError::Exists(_))));
            assert!(matches!(tx.insert(&NOTE, &note(2, "")), Err(StoreError::Constraint(_))));
            tx.insert(&NOTE, &note(2, "two"))
        })
        .await;
    done.unwrap();
    let bad = store.commit("bad", |tx| {
        tx.delete(&NOTE, &[2_i64.into()])?;
        if tx.find(&NOTE, &[2_i64.into()])?.is_none() {
            panic!("deliberate")
        }
        Ok::<(), StoreError>(())
    });
    assert_eq!(bad.await, Err(StoreError::Panicked("deliberate".to_owned())));
    let rows = store.read(|tx| tx.select("SELECT id FROM note", &[])).await.unwrap();
    assert_eq!(rows.len(), 2);
}

#[test]
fn a_foreign_file_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let alien = folder.path().join("alien.db");
    rusqlite::Connection::open(&alien).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    let before = std::fs::read(&alien).unwrap();
    assert!(matches!(
        SqliteStore::open(&alien, TABLES, Options::new("bank")),
        Err(OpenError::WrongRole { .. })
    ));
    assert!(matches!(SqliteStore::open_read_only(&alien), Err(OpenError::WrongRole { .. })));
    assert_eq!(std::fs::read(&alien).unwrap(), before);
    assert!(matches!(
        SqliteStore::open_read_only(folder.path().join("none.db")),
        Err(OpenError::Database { .. })
    ));
}

#[test]
fn in_memory_everything_happens_inline_in_the_order_of_the_calls() {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open_in_memory(TABLES).unwrap());
    let caller = std::thread::current().id();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for id in 0..20_i64 {
        let values = note(id, &format!("{id}"));
        let mut future = Box::pin(store.commit("note", move |tx| {
            assert_eq!(std::thread::current().id(), caller);
            let before =
                tx.select("SELECT count(*) FROM note", &[])?.first().map_or(Ok(-1), |row| row.integer(0))?;
            tx.insert(&NOTE, &values).map(|()| before)
        }));
        // One poll is enough: nothing waits for another thread.
        assert_eq!(future.as_mut().poll(&mut context), std::task::Poll::Ready(Ok::<_, StoreError>(id)));
    }
}
