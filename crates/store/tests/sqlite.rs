//! The store's promises: groups, isolation, refusals, snapshots, reopening, order.
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test stops at the first surprise")]

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use feiqian_ledger::store::{Column, Store, StoreError, StoreExt, Table, Tx, Value};
use feiqian_store::{OpenError, Options, SqliteStore};

static NOTE: Table = Table {
    name: "note",
    columns: &[Column::integer("id"), Column::text("body"), Column::blob("mark").optional()],
    key: 1,
    constraints: &["UNIQUE (body)", "CONSTRAINT body_not_empty CHECK (length(body) > 0)"],
    indexes: &["(mark)"],
};
static PAIR: Table = Table {
    name: "pair",
    columns: &[Column::blob("left_id"), Column::integer("right_id")],
    key: 2,
    constraints: &[],
    indexes: &[],
};
static TABLES: &[&Table] = &[&NOTE, &PAIR];

fn file(folder: &tempfile::TempDir) -> PathBuf {
    folder.path().join("store.db")
}

fn open(path: &Path) -> SqliteStore {
    SqliteStore::open(path, TABLES, Options::new("test")).unwrap()
}

fn note(id: i64, body: &str) -> [Value; 3] {
    [id.into(), body.into(), Value::Null]
}

async fn count(store: &SqliteStore) -> i64 {
    let sql = "SELECT count(*) FROM note";
    store.read(move |tx| tx.select(sql, &[])?.first().map_or(Ok(-1), |row| row.integer(0))).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_share_commits_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&file(&folder)));
    let tasks: Vec<_> = (0..2000_i64)
        .map(|id| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let values = note(id, &format!("note {id}"));
                // Every seventh fails after it has written.
                store
                    .commit("note", move |tx| {
                        tx.insert(&NOTE, &values)?;
                        if id % 7 == 0 { Err(StoreError::Missing("seventh")) } else { Ok(id) }
                    })
                    .await
            })
        })
        .collect();
    let mut done = 0;
    for (id, task) in (0..).zip(tasks) {
        match task.await.unwrap() {
            Ok(value) => {
                assert_eq!(value, id);
                done += 1;
            }
            Err(error) => assert_eq!((error, id % 7), (StoreError::Missing("seventh"), 0)),
        }
    }
    assert_eq!(done, 1714);
    assert_eq!(count(&store).await, done);
    drop(store);
    assert_eq!(count(&open(&file(&folder))).await, done);
}

#[tokio::test]
async fn refusals_are_told_apart_and_leave_the_transaction_usable() {
    let store = SqliteStore::open_in_memory(TABLES).unwrap();
    let done: Result<(), StoreError> = store
        .commit("refusals", |tx| {
            tx.insert(&NOTE, &note(1, "one"))?;
            assert!(matches!(tx.insert(&NOTE, &note(1, "other")), Err(StoreError::Exists(_))));
            assert!(matches!(tx.insert(&NOTE, &note(2, "one")), Err(StoreError::Exists(_))));
            let broken = tx.insert(&NOTE, &note(2, ""));
            assert!(
                matches!(&broken, Err(StoreError::Constraint(text)) if text.contains("body_not_empty")),
                "{broken:?}"
            );
            let null = tx.insert(&NOTE, &[2_i64.into(), Value::Null, Value::Null]);
            assert!(matches!(null, Err(StoreError::Constraint(_))));
            let kind = tx.insert(&NOTE, &[2_i64.into(), "two".into(), "text".into()]);
            assert!(matches!(kind, Err(StoreError::Constraint(_))));
            assert!(matches!(
                tx.insert(&NOTE, &[Value::Null, "n".into(), Value::Null]),
                Err(StoreError::Misuse(_))
            ));
            assert!(matches!(tx.insert(&NOTE, &[2_i64.into()]), Err(StoreError::Misuse(_))));
            assert_eq!(tx.update(&NOTE, &note(9, "nine")), Err(StoreError::Missing("note")));
            assert_eq!(tx.delete(&NOTE, &[9_i64.into()]), Err(StoreError::Missing("note")));
            assert!(matches!(tx.select("DELETE FROM note", &[]), Err(StoreError::Misuse(_))));
            assert!(matches!(tx.select("DELETE FROM note RETURNING id", &[]), Err(StoreError::Misuse(_))));
            assert!(matches!(tx.select("SELECT nonsense", &[]), Err(StoreError::Misuse(_))));
            assert!(matches!(tx.select("SELECT ?1", &[]), Err(StoreError::Misuse(_))));
            tx.update(&NOTE, &[1_i64.into(), "uno".into(), vec![7_u8].into()])
        })
        .await;
    done.unwrap();
    let row = store.read(|tx| tx.find(&NOTE, &[1_i64.into()])).await.unwrap().unwrap();
    assert_eq!((row.text(1).unwrap(), row.optional_blob(2).unwrap()), ("uno", Some([7_u8].as_slice())));
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn keys_of_two_columns_find_update_and_delete() {
    let store = SqliteStore::open_in_memory(TABLES).unwrap();
    let pair = |left: u8, right: i64| [Value::from([left; 4]), right.into()];
    let done = store
        .commit("pairs", move |tx| {
            for (left, right) in [(1, 1), (1, 2), (2, 1)] {
                tx.insert(&PAIR, &pair(left, right))?;
            }
            tx.update(&PAIR, &pair(1, 2))?;
            tx.delete(&PAIR, &pair(1, 1))?;
            Ok::<_, StoreError>((tx.find(&PAIR, &pair(1, 1))?, tx.find(&PAIR, &pair(2, 1))?.is_some()))
        })
        .await;
    assert_eq!(done, Ok((None, true)));
}

#[tokio::test]
async fn a_panic_or_an_error_undoes_one_work_only_and_the_writer_lives() {
    let folder = tempfile::tempdir().unwrap();
    for store in [open(&file(&folder)), SqliteStore::open_in_memory(TABLES).unwrap()] {
        let good = store.commit("good", |tx| tx.insert(&NOTE, &note(1, "kept")));
        let bad = store.commit("bad", |tx| {
            tx.insert(&NOTE, &note(2, "undone"))?;
            if tx.find(&NOTE, &[2_i64.into()])?.is_some() {
                panic!("deliberate")
            }
            Ok::<(), StoreError>(())
        });
        let (good, bad) = tokio::join!(good, bad);
        assert_eq!((good, bad), (Ok(()), Err(StoreError::Panicked("deliberate".to_owned()))));
        assert_eq!(store.commit("later", |tx| tx.insert(&NOTE, &note(3, "later"))).await, Ok(()));
        assert_eq!(count(&store).await, 2);
    }
}

#[tokio::test]
async fn reads_cannot_write_and_a_reader_keeps_its_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(open(&file(&folder)));
    let refused = store.read(|tx| tx.insert(&NOTE, &note(1, "one"))).await;
    assert!(matches!(refused, Err(StoreError::Misuse(_))));

    let audit = SqliteStore::open_read_only(file(&folder)).unwrap();
    assert_eq!((audit.role(), audit.version()), ("test", 1));
    assert_eq!(audit.commit("no", |tx| tx.insert(&NOTE, &note(1, "one"))).await, Err(StoreError::ReadOnly));

    let (started, is_started) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let reading = tokio::spawn(async move {
        let count = |tx: &mut dyn Tx| {
            tx.select("SELECT count(*) FROM note", &[])?.first().map_or(Ok(-1), |row| row.integer(0))
        };
        let read: Result<(i64, i64), StoreError> = audit
            .read(move |tx| {
                let before = count(tx)?;
                started.send(()).unwrap();
                may_go_on.recv().unwrap();
                Ok((before, count(tx)?))
            })
            .await;
        (read, audit)
    });
    tokio::task::spawn_blocking(move || is_started.recv().unwrap()).await.unwrap();
    store.commit("write", |tx| tx.insert(&NOTE, &note(1, "one"))).await.unwrap();
    assert_eq!(count(&store).await, 1);
    go_on.send(()).unwrap();
    let (read, audit) = reading.await.unwrap();
    assert_eq!(read, Ok((0, 0)));
    assert_eq!(count(&audit).await, 1);
}

#[tokio::test]
async fn foreign_newer_and_other_files_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder);
    drop(SqliteStore::open(&path, TABLES, Options::new("bank").version(2)).unwrap());
    let reopen = |role: &str, version| SqliteStore::open(&path, TABLES, Options::new(role).version(version));
    let wrong = reopen("center", 2);
    assert!(
        matches!(&wrong, Err(OpenError::WrongRole { found, expected, .. }) if found == "bank" && expected == "center")
    );
    assert!(matches!(reopen("bank", 1), Err(OpenError::Newer { found: 2, known: 1, .. })));
    assert!(reopen("bank", 3).is_ok());
    static OTHER: Table = Table { columns: &[Column::integer("id")], ..PLAIN };
    const PLAIN: Table = Table { name: "note", columns: &[], key: 1, constraints: &[], indexes: &[] };
    let other = SqliteStore::open(&path, &[&OTHER], Options::new("bank").version(3));
    assert!(matches!(&other, Err(OpenError::OtherLayout { table, .. }) if table == "note"), "{other:?}");

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

#[tokio::test]
async fn work_runs_even_if_nobody_waits_and_closing_finishes_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&file(&folder));
    for id in 0..50 {
        let values = note(id, &format!("{id}"));
        let future = store.commit("note", move |tx| tx.insert(&NOTE, &values));
        // Polled once, so that it is queued; then dropped.
        tokio::select! { biased; _ = future => {}, () = std::future::ready(()) => {} }
    }
    drop(store);
    assert_eq!(count(&open(&file(&folder))).await, 50);
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
