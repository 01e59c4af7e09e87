//! What only SQLite's store promises: the form in memory runs everything inline, and a foreign file stays as it is. The
//! promises of every store are in `conformance`.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at the first surprise"
)]

use std::sync::Arc;

use feiqian_ledger::store::{Column, Store, StoreError, StoreExt, Table, Tx, Value};
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

#[tokio::test]
async fn a_temporary_store_holds_more_than_its_cache_and_undoes_what_was_written_out_already() {
    let store = SqliteStore::open_temporary(TABLES, 16).unwrap();
    let long = |id: i64| format!("{id}{}", "x".repeat(1000));
    let fill = move |from: i64| {
        move |tx: &mut dyn Tx| (from..from + 100).try_for_each(|id| tx.insert(&NOTE, &note(id, &long(id))))
    };
    store.commit("kept", fill(0)).await.unwrap();
    let undone = store.commit("undone", move |tx| {
        fill(100)(tx)?;
        Err::<(), StoreError>(StoreError::Aborted)
    });
    assert_eq!(undone.await, Err(StoreError::Aborted));
    let rows = store.read(|tx| tx.select("SELECT id, body FROM note ORDER BY id", &[])).await.unwrap();
    assert_eq!(rows.len(), 100);
    for (id, row) in (0_i64..).zip(&rows) {
        assert_eq!((row.integer(0).unwrap(), row.text(1).unwrap()), (id, long(id).as_str()));
    }
    assert!(store.check_integrity().await.unwrap().is_empty());
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

static SUM: Table = Table {
    name: "sum",
    columns: &[Column::integer("id"), Column::text("body"), Column::integer("total")],
    key: 1,
    constraints: &["UNIQUE (body)", "CHECK (total <= 100)"],
    indexes: &[],
};

fn add(tx: &mut dyn Tx, id: i64, amount: i64) -> Result<i64, StoreError> {
    let row = tx.find(&SUM, &[id.into()])?.ok_or(StoreError::Missing("sum"))?;
    let total = row.integer(2)? + amount;
    tx.update(&SUM, &[id.into(), row.text(1)?.into(), total.into()])?;
    Ok(total)
}

type Step = fn(&mut dyn Tx) -> Result<i64, StoreError>;

/// Runs the steps as one group of one store: the writer is held until all of them wait. The answers, and both sums.
async fn in_one_group(steps: &[Step]) -> (Vec<Result<i64, StoreError>>, [i64; 2]) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(folder.path().join("group.db"), &[&SUM, &NOTE], Options::new("test"));
    let store = Arc::new(store.unwrap());
    let start = |tx: &mut dyn Tx| {
        tx.insert(&SUM, &[1.into(), "one".into(), 0.into()])?;
        tx.insert(&SUM, &[2.into(), "two".into(), 0.into()])
    };
    store.commit("start", start).await.unwrap();
    let (open, gate) = std::sync::mpsc::channel::<()>();
    let holding = Arc::clone(&store);
    let held = tokio::spawn(async move {
        let wait = move |_: &mut dyn Tx| {
            // Nobody to wait for any more when the group runs a second time.
            let _ = gate.recv();
            Ok::<_, StoreError>(())
        };
        holding.commit("hold", wait).await
    });
    tokio::task::yield_now().await;
    let mut answers = Vec::new();
    for step in steps.iter().copied() {
        let store = Arc::clone(&store);
        answers.push(tokio::spawn(async move { store.commit("step", step).await }));
        tokio::task::yield_now().await;
    }
    open.send(()).unwrap();
    drop(open);
    held.await.unwrap().unwrap();
    let mut outcomes = Vec::new();
    for answer in answers {
        outcomes.push(answer.await.unwrap());
    }
    let rows = store.read(|tx| tx.select("SELECT total FROM sum ORDER BY id", &[])).await.unwrap();
    (outcomes, [0, 1].map(|index: usize| rows[index].integer(0).unwrap()))
}

#[tokio::test]
async fn what_many_works_of_a_group_change_is_seen_by_each_and_kept_once() {
    let steps: [Step; 6] = [
        |tx| add(tx, 1, 5),
        |tx| add(tx, 1, 6),
        |tx| add(tx, 2, 1),
        |tx| add(tx, 1, 7),
        // A question in SQL sees what the works before it have changed.
        |tx| tx.select("SELECT total FROM sum WHERE id = 1", &[])?.first().unwrap().integer(0),
        |tx| add(tx, 1, 8),
    ];
    let (answers, sums) = in_one_group(&steps).await;
    assert_eq!(answers, [5, 11, 1, 18, 18, 26].map(Ok));
    assert_eq!(sums, [26, 1]);
}

#[tokio::test]
async fn in_a_group_a_work_that_fails_is_undone_alone_whatever_it_has_changed() {
    let steps: [Step; 5] = [
        |tx| add(tx, 1, 5),
        |tx| add(tx, 1, 6),
        |tx| add(tx, 1, 70).and(Err(StoreError::Missing("reason"))),
        |_| Err(StoreError::Missing("everything")),
        |tx| add(tx, 1, 7),
    ];
    let (answers, sums) = in_one_group(&steps).await;
    let missing = |what| Err(StoreError::Missing(what));
    assert_eq!(answers, [Ok(5), Ok(11), missing("reason"), missing("everything"), Ok(18)]);
    assert_eq!(sums, [18, 0]);
}

#[tokio::test]
async fn in_a_group_what_the_database_refuses_is_refused_to_its_work_alone() {
    let steps: [Step; 5] = [
        |tx| add(tx, 1, 60),
        |tx| add(tx, 1, 30),
        |tx| add(tx, 1, 20),
        |tx| add(tx, 1, 10),
        |tx| {
            // A column by which rows are told apart is written at once, so that its place is free at once.
            tx.update(&SUM, &[2.into(), "other".into(), 3.into()])?;
            tx.update(&SUM, &[2.into(), "three".into(), 4.into()])?;
            tx.insert(&SUM, &[3.into(), "two".into(), 0.into()])?;
            tx.delete(&SUM, &[3.into()])?;
            Ok(4)
        },
    ];
    let (answers, sums) = in_one_group(&steps).await;
    assert_eq!(answers[..2], [Ok(60), Ok(90)]);
    assert!(matches!(&answers[2], Err(StoreError::Constraint(_))), "{answers:?}");
    assert_eq!(answers[3..], [Ok(100), Ok(4)]);
    assert_eq!(sums, [100, 4]);
}
