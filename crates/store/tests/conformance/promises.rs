//! What every store promises.

use std::sync::{Arc, mpsc};

use feiqian_ledger::{
    LedgerError, TABLES as LEDGER, audit,
    book::{self, Account, Limit, Transfer},
    store::{Column, Store, StoreError, StoreExt, Table, Tx, Value},
    testing::id,
};
use feiqian_money::{Currency, Minor};
use feiqian_store::OpenError;

use crate::{
    NOTE, PAIR, TABLES, count, note,
    place::{Database, File, Place},
};

on_both! {
    many_tasks_share_commits_and_none_is_lost
    refusals_are_told_apart_and_leave_the_transaction_usable
    what_was_written_before_a_refusal_is_still_there_after_it
    keys_of_two_columns_find_update_and_delete
    a_panic_or_an_error_undoes_one_work_only_and_the_writer_lives
    reads_cannot_write_and_a_reader_keeps_its_snapshot
    foreign_newer_and_other_stores_are_refused_by_name
    work_runs_even_if_nobody_waits_and_closing_finishes_it
    portable_selects_answer_alike
    texts_are_ordered_by_their_bytes
    two_writers_of_one_store_lose_no_update
    the_book_balances_after_a_hundred_transfers_and_every_row_checks
}

async fn many_tasks_share_commits_and_none_is_lost<P: Place>() {
    let place = P::new();
    let store = place.open();
    let tasks: Vec<_> = (0..700_i64)
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
    assert_eq!(done, 600);
    assert_eq!(count(&*store).await, done);
    drop(store);
    assert_eq!(count(&*place.open()).await, done);
}

async fn refusals_are_told_apart_and_leave_the_transaction_usable<P: Place>() {
    let place = P::new();
    let store = place.open();
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
            assert!(matches!(tx.select("SELECT 1; DELETE FROM note", &[]), Err(StoreError::Misuse(_))));
            tx.update(&NOTE, &[1_i64.into(), "uno".into(), vec![7_u8].into()])
        })
        .await;
    done.unwrap();
    let row = store.read(|tx| tx.find(&NOTE, &[1_i64.into()])).await.unwrap().unwrap();
    assert_eq!((row.text(1).unwrap(), row.optional_blob(2).unwrap()), ("uno", Some([7_u8].as_slice())));
    assert_eq!(count(&*store).await, 1);
    let read: Result<(), StoreError> = store
        .read(|tx| {
            assert!(matches!(tx.select("SELECT nonsense", &[]), Err(StoreError::Misuse(_))));
            assert!(matches!(tx.select("SELECT also FROM note", &[]), Err(StoreError::Misuse(_))));
            assert_eq!(tx.select("SELECT id FROM note", &[])?.len(), 1);
            Ok(())
        })
        .await;
    read.unwrap();
}

async fn what_was_written_before_a_refusal_is_still_there_after_it<P: Place>() {
    let place = P::new();
    let store = place.open();
    let done: Result<Vec<i64>, StoreError> = store
        .commit("mixed", |tx| {
            for id in 1..=4 {
                tx.insert(&NOTE, &note(id, &format!("note {id}")))?;
            }
            tx.update(&NOTE, &note(2, "second"))?;
            tx.delete(&NOTE, &[3_i64.into()])?;
            // Refused by a unique value, by a constraint, and again, each after more was written.
            assert!(matches!(tx.update(&NOTE, &note(1, "second")), Err(StoreError::Exists(_))));
            tx.insert(&NOTE, &note(5, "five"))?;
            assert!(matches!(tx.update(&NOTE, &note(5, "")), Err(StoreError::Constraint(_))));
            tx.update(&NOTE, &note(5, "fifth"))?;
            assert!(matches!(tx.insert(&NOTE, &note(5, "again")), Err(StoreError::Exists(_))));
            let rows = tx.select("SELECT id FROM note ORDER BY id", &[])?;
            rows.iter().map(|row| row.integer(0)).collect()
        })
        .await;
    assert_eq!(done, Ok(vec![1, 2, 4, 5]));
    let bodies = store
        .read(|tx| {
            let rows = tx.select("SELECT body FROM note ORDER BY id", &[])?;
            rows.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<Vec<_>, StoreError>>()
        })
        .await
        .unwrap();
    assert_eq!(bodies, ["note 1", "second", "note 4", "fifth"]);
    assert_eq!(store.read(|tx| audit::check_rows(tx, TABLES)).await.unwrap(), []);
}

async fn keys_of_two_columns_find_update_and_delete<P: Place>() {
    let place = P::new();
    let store = place.open();
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

async fn a_panic_or_an_error_undoes_one_work_only_and_the_writer_lives<P: Place>() {
    let place = P::new();
    let store = place.open();
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
    assert_eq!(count(&*store).await, 2);
}

async fn reads_cannot_write_and_a_reader_keeps_its_snapshot<P: Place>() {
    let place = P::new();
    let store = place.open();
    let refused = store.read(|tx| tx.insert(&NOTE, &note(1, "one"))).await;
    assert!(matches!(refused, Err(StoreError::Misuse(_))));

    let (role, version, audit) = place.open_read_only().unwrap();
    assert_eq!((role.as_str(), version), ("test", 1));
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
    assert_eq!(count(&*store).await, 1);
    go_on.send(()).unwrap();
    let (read, audit) = reading.await.unwrap();
    assert_eq!(read, Ok((0, 0)));
    assert_eq!(count(&*audit).await, 1);
}

async fn foreign_newer_and_other_stores_are_refused_by_name<P: Place>() {
    let place = P::new();
    assert!(place.open_read_only().is_err());
    drop(place.open_as("bank", 2, TABLES).unwrap());
    let reopen = |role: &str, version| place.open_as(role, version, TABLES).map(drop);
    let wrong = reopen("center", 2);
    assert!(
        matches!(&wrong, Err(OpenError::WrongRole { found, expected, .. }) if found == "bank" && expected == "center")
    );
    assert!(matches!(reopen("bank", 1), Err(OpenError::Newer { found: 2, known: 1, .. })));
    assert!(reopen("bank", 3).is_ok());
    static OTHER: Table = Table { columns: &[Column::integer("id")], ..PLAIN };
    const PLAIN: Table = Table { name: "note", columns: &[], key: 1, constraints: &[], indexes: &[] };
    let other = place.open_as("bank", 3, &[&OTHER]).map(drop);
    assert!(matches!(&other, Err(OpenError::OtherLayout { table, .. }) if table == "note"), "{other:?}");
    // Another index is only another way to find the same.
    static INDEXED: Table = Table { indexes: &["(body, id)"], ..NOTE_AGAIN };
    const NOTE_AGAIN: Table = Table {
        name: "note",
        columns: &[Column::integer("id"), Column::text("body"), Column::blob("mark").optional()],
        key: 1,
        constraints: &["UNIQUE (body)", "CONSTRAINT body_not_empty CHECK (length(body) > 0)"],
        indexes: &[],
    };
    assert!(place.open_as("bank", 3, &[&INDEXED]).is_ok());
    // The second one of before is gone: its name is free.
    place.tamper("CREATE INDEX note_1 ON note (body)");

    let alien = P::new();
    alien.make_foreign();
    assert!(matches!(alien.open_as("bank", 1, TABLES).map(drop), Err(OpenError::WrongRole { .. })));
    assert!(matches!(alien.open_read_only().map(drop), Err(OpenError::WrongRole { .. })));
}

async fn work_runs_even_if_nobody_waits_and_closing_finishes_it<P: Place>() {
    let place = P::new();
    let store = place.open();
    for id in 0..50 {
        let values = note(id, &format!("{id}"));
        let future = store.commit("note", move |tx| tx.insert(&NOTE, &values));
        // Polled once, so that it is queued; then dropped.
        tokio::select! { biased; _ = future => {}, () = std::future::ready(()) => {} }
    }
    drop(store);
    assert_eq!(count(&*place.open()).await, 50);
}

/// A statement, its parameters, and the rows it must answer.
type Question<'a> = (&'static str, &'a [Value], &'a [&'a [Value]]);

/// The forms of SQL that the roles use.
async fn portable_selects_answer_alike<P: Place>() {
    let place = P::new();
    let store = place.open();
    let filled = store.commit("fill", |tx| {
        for (id, body, mark) in [(1, "a", Some(vec![0_u8, 255])), (2, "b?1", None), (3, "c'd", Some(vec![9]))]
        {
            tx.insert(&NOTE, &[i64::from(id).into(), body.into(), mark.into()])?;
        }
        tx.insert(&PAIR, &[vec![9_u8].into(), 3_i64.into()])
    });
    filled.await.unwrap();
    let questions: [Question<'_>; 13] = [
        ("SELECT sum(id) FROM note", &[], &[&[Value::Integer(6)]]),
        (
            "SELECT coalesce(sum(id), 0) FROM note WHERE id > ?1",
            &[Value::Integer(9)],
            &[&[Value::Integer(0)]],
        ),
        ("SELECT coalesce(max(id), 0), count(*) FROM note", &[], &[&[Value::Integer(3), Value::Integer(3)]]),
        ("SELECT max(id) FROM note WHERE id > 5", &[], &[&[Value::Null]]),
        ("SELECT 1 FROM note WHERE mark = ?1 LIMIT 1", &[Value::Blob(vec![0, 255])], &[&[Value::Integer(1)]]),
        ("SELECT id FROM note WHERE mark IS NULL", &[], &[&[Value::Integer(2)]]),
        (
            "SELECT id = ?1 FROM note ORDER BY id = ?1, id",
            &[Value::Integer(1)],
            &[&[Value::Integer(0)], &[Value::Integer(0)], &[Value::Integer(1)]],
        ),
        (
            "SELECT id FROM note WHERE (body, id) > (?1, ?2) ORDER BY body, id LIMIT ?3",
            &["a".into(), Value::Integer(1), Value::Integer(1)],
            &[&[Value::Integer(2)]],
        ),
        (
            "SELECT body FROM note WHERE id IN (?1, ?2) ORDER BY id DESC",
            &[Value::Integer(2), Value::Integer(3)],
            &[&[Value::Text("c'd".to_owned())], &[Value::Text("b?1".to_owned())]],
        ),
        (
            "SELECT n.id, p.right_id FROM note AS n LEFT JOIN pair AS p ON p.left_id = n.mark WHERE n.id >= ?1 ORDER BY n.id",
            &[Value::Integer(2)],
            &[&[Value::Integer(2), Value::Null], &[Value::Integer(3), Value::Integer(3)]],
        ),
        (
            "SELECT x'00ff', 'a?1', ?1",
            &[Value::Text("v".to_owned())],
            &[&[Value::Blob(vec![0, 255]), Value::Text("a?1".to_owned()), Value::Text("v".to_owned())]],
        ),
        (
            "SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY mark ORDER BY id) AS place FROM note) AS ranked \
          WHERE place <= ?1 AND id BETWEEN 2 AND 3 ORDER BY id",
            &[Value::Integer(1)],
            &[&[Value::Integer(2)], &[Value::Integer(3)]],
        ),
        (
            "SELECT state, count(*) FROM (SELECT id > 1 AS state FROM note) AS s GROUP BY state ORDER BY state",
            &[],
            &[&[Value::Integer(0), Value::Integer(1)], &[Value::Integer(1), Value::Integer(2)]],
        ),
    ];
    for (sql, given, wanted) in questions {
        let given = given.to_vec();
        let found = store.read(move |tx| tx.select(sql, &given)).await;
        let found: Vec<Vec<Value>> =
            found.unwrap_or_else(|error| panic!("{sql}: {error}")).into_iter().map(|row| row.0).collect();
        assert_eq!(found, wanted, "{sql}");
    }
}

async fn texts_are_ordered_by_their_bytes<P: Place>() {
    let place = P::new();
    let store = place.open();
    let words = ["Zebra", "apple", "Äpfel", "a b", "ab", "飞钱", "_", "-"];
    let filled = store.commit("words", move |tx| {
        (0..).zip(words).try_for_each(|(id, word)| tx.insert(&NOTE, &note(id, word)))
    });
    filled.await.unwrap();
    let found = store
        .read(|tx| {
            let rows = tx.select("SELECT body FROM note ORDER BY body", &[])?;
            rows.iter().map(|row| row.text(0).map(str::to_owned)).collect::<Result<Vec<_>, StoreError>>()
        })
        .await
        .unwrap();
    let mut sorted = words.to_vec();
    sorted.sort_unstable();
    assert_eq!(found, sorted);
}

/// Two openings of one store, as two processes have: each adds to the same number.
async fn two_writers_of_one_store_lose_no_update<P: Place>() {
    let place = P::new();
    let stores = [place.open(), place.open()];
    let made = stores[0].commit("make", |tx| tx.insert(&NOTE, &[7_i64.into(), "0".into(), Value::Null]));
    made.await.unwrap();
    let tasks: Vec<_> = (0..60)
        .map(|n| {
            let store = Arc::clone(&stores[n % 2]);
            tokio::spawn(async move {
                let add = store.commit("add", |tx: &mut dyn Tx| {
                    let row = tx.find(&NOTE, &[7_i64.into()])?.ok_or(StoreError::Missing("note"))?;
                    let number: u64 = row.parse(1)?;
                    tx.update(&NOTE, &[7_i64.into(), (number + 1).to_string().into(), Value::Null])
                });
                add.await.unwrap();
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let row = stores[1].read(|tx| tx.find(&NOTE, &[7_i64.into()])).await.unwrap().unwrap();
    assert_eq!(row.text(1).unwrap(), "60");
}

async fn the_book_balances_after_a_hundred_transfers_and_every_row_checks<P: Place>() {
    let place = P::new();
    let store = place.open_as("bank", 1, LEDGER).unwrap();
    let opened: Result<(), LedgerError> = store
        .commit("open", |tx| {
            for n in 1..4 {
                let account = Account { id: id(n), currency: Currency::CNY, code: 0, limit: Limit::None };
                let _ = book::open_account(tx, &account, 1)?;
            }
            Ok(())
        })
        .await;
    opened.unwrap();
    let store: Arc<dyn Store> = store;
    let tasks: Vec<_> = (0..50_u8)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let amount = Minor::new(100).unwrap();
                let pair = [
                    Transfer::posted(id(10 + 2 * n), id(1), id(2), amount, 0),
                    Transfer::posted(id(11 + 2 * n), id(2), id(3), amount, 0),
                ];
                let booked: Result<_, LedgerError> =
                    store.commit("pair", move |tx| book::transfer(tx, &pair, 2)).await;
                booked.map(drop)
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let (_, _, reader) = place.open_read_only().unwrap();
    let (report, rows) = reader
        .read(|tx: &mut dyn Tx| Ok::<_, StoreError>((audit::check_book(tx)?, audit::check_rows(tx, LEDGER)?)))
        .await
        .unwrap();
    assert_eq!((report.findings, rows, report.transfers), (Vec::new(), Vec::new(), 100));
}
