//! What only a store on a network meets: lost lines, lost answers, conflicts, a server that comes and goes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    time::Duration,
};

use feiqian_ledger::store::{Store, StoreError, StoreExt, Tx, Value};
use feiqian_store::{
    OpenError, PostgresStore,
    testing::{self, Cluster},
};

use crate::{
    NOTE, TABLES, count, note, number,
    place::{Database, Place},
    proxy::{Cut, Proxy},
};

/// Ends every connection to the database but the asking one. Answers how many there were.
fn end_connections(url: &str) -> u32 {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    testing::execute(url, sql).unwrap().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_cut_between_two_statements_is_made_anew_and_the_work_run_again() {
    let place = Database::new();
    let store = place.open();
    store.commit("warm", |tx| tx.insert(&NOTE, &note(1, "warm"))).await.unwrap();
    let (runs, url) = (Arc::new(AtomicU32::new(0)), place.0.clone());
    let counted = Arc::clone(&runs);
    let done: Result<u32, StoreError> = store
        .commit("cut", move |tx| {
            let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
            tx.insert(&NOTE, &note(2, "before the cut"))?;
            if run == 1 {
                assert!(end_connections(&url) > 0);
            }
            tx.insert(&NOTE, &note(3, "after the cut"))?;
            Ok(run)
        })
        .await;
    assert_eq!((done, runs.load(Ordering::SeqCst)), (Ok(2), 2));
    assert_eq!(count(&*store).await, 3);
    // A reader's line is made anew as well, also if nobody was using it.
    end_connections(&place.0);
    assert_eq!(count(&*store).await, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_work_that_always_loses_its_line_gives_up_with_nothing_changed() {
    let place = Database::new();
    let store = place.open();
    let url = place.0.clone();
    let done: Result<(), StoreError> = store
        .commit("cut", move |tx| {
            tx.insert(&NOTE, &note(2, "never"))?;
            end_connections(&url);
            tx.insert(&NOTE, &note(3, "never either"))
        })
        .await;
    assert!(matches!(&done, Err(error @ StoreError::Database(_)) if error.is_definitive()), "{done:?}");
    assert_eq!(count(&*store).await, 0);
    store.commit("later", |tx| tx.insert(&NOTE, &note(4, "later"))).await.unwrap();
}

/// The answer to `COMMIT` is lost: the store finds out, and the work takes effect once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_a_commit_is_resolved_by_reading() {
    let place = Database::new();
    let (proxy, url) = Proxy::to(&place.0);
    let store = PostgresStore::open(&url, TABLES, Database::options()).unwrap();
    for (number, cuts) in (1..).zip([
        &[Cut::Before][..],
        &[Cut::After],
        &[Cut::Before, Cut::Before],
        &[Cut::Before, Cut::After],
        &[Cut::Late],
    ]) {
        proxy.plan(cuts).await;
        let before = proxy.cuts.load(Ordering::SeqCst);
        let runs = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&runs);
        let done: Result<(), StoreError> = store
            .commit("note", move |tx| {
                counted.fetch_add(1, Ordering::SeqCst);
                // A second effect would be refused, and so be seen.
                tx.insert(&NOTE, &note(number, &format!("note {number}")))
            })
            .await;
        assert_eq!(done, Ok(()), "{cuts:?}");
        let cut = u32::try_from(cuts.len()).unwrap();
        assert_eq!(proxy.cuts.load(Ordering::SeqCst) - before, cut, "{cuts:?}");
        // Run again only where the server did not commit.
        let again = cuts.iter().filter(|cut| **cut != Cut::After).count();
        assert_eq!(usize::try_from(runs.load(Ordering::SeqCst)).unwrap(), again + 1, "{cuts:?}");
        assert_eq!(count(&store).await, number, "{cuts:?}");
    }
}

/// Writers that do not queue meet in conflicts: each is run again, and no update is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_are_run_again_until_all_are_done() {
    let place = Database::new();
    let options = || {
        let mut options = Database::options();
        options.queues = false;
        options.store.batch = 1;
        options.retries = 1000;
        options
    };
    let stores =
        [Arc::new(place.with(options())), Arc::new(place.with(options())), Arc::new(place.with(options()))];
    let made = stores[0].commit("make", |tx| tx.insert(&NOTE, &[7_i64.into(), "0".into(), Value::Null]));
    made.await.unwrap();
    let runs = Arc::new(AtomicU32::new(0));
    let tasks: Vec<_> = (0..90)
        .map(|n| {
            let (store, runs) = (Arc::clone(&stores[n % 3]), Arc::clone(&runs));
            tokio::spawn(async move {
                let add = store.commit("add", move |tx: &mut dyn Tx| {
                    runs.fetch_add(1, Ordering::SeqCst);
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
    assert_eq!(row.text(1).unwrap(), "90");
    assert!(runs.load(Ordering::SeqCst) > 90, "the test met no conflict");
}

/// The classical anomaly of snapshots: each of two reads what the other writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_skew() {
    for queues in [true, false] {
        let place = Database::new();
        let mut options = Database::options();
        options.queues = queues;
        let stores = [Arc::new(place.with(options.clone())), Arc::new(place.with(options))];
        // Each may take its note away only while both are there.
        let made = stores[0].commit("make", |tx| {
            tx.insert(&NOTE, &note(1, "one"))?;
            tx.insert(&NOTE, &note(2, "two"))
        });
        made.await.unwrap();
        let barrier = Arc::new(std::sync::Barrier::new(2));
        let take = |id: i64| {
            let (store, barrier) = (Arc::clone(&stores[usize::from(id == 2)]), Arc::clone(&barrier));
            tokio::spawn(async move {
                let mut first = true;
                let work = move |tx: &mut dyn Tx| -> Result<bool, StoreError> {
                    let rows = tx.select("SELECT count(*) FROM note", &[])?;
                    let both = rows.first().map_or(Ok(0), |row| row.integer(0))? == 2;
                    if std::mem::take(&mut first) && !queues {
                        barrier.wait();
                    }
                    if both {
                        tx.delete(&NOTE, &[id.into()])?;
                    }
                    Ok(both)
                };
                store.commit("take", work).await.unwrap()
            })
        };
        let (one, two) = (take(1), take(2));
        let taken = [one.await.unwrap(), two.await.unwrap()];
        assert_eq!(taken.iter().filter(|taken| **taken).count(), 1, "{queues}");
        assert_eq!(count(&*stores[0]).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_readers_than_connections_wait_their_turn() {
    let place = Database::new();
    let mut options = Database::options();
    options.store.readers = 2;
    options.store.queue = 4;
    let store = Arc::new(place.with(options));
    store.commit("note", |tx| tx.insert(&NOTE, &note(1, "one"))).await.unwrap();
    let tasks: Vec<_> = (0..60)
        .map(|_| {
            let store = Arc::clone(&store) as Arc<dyn Store>;
            tokio::spawn(async move { number(&*store, "SELECT count(*) FROM note, pg_sleep(0.01)").await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Ok(1));
    }
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'feiqian test' \
                       AND datname = current_database()";
    assert_eq!(number(&*store, connections).await, Ok(3));
}

/// A lock that another holds for longer than the patience: refused, and nothing was changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_waits_too_long_for_its_turn_says_busy() {
    let place = Database::new();
    let mut options = Database::options();
    let slow = place.with(options.clone());
    options.store.busy_timeout = Duration::from_millis(200);
    let hasty = place.with(options);
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (started, is_started) = mpsc::channel();
    let holding = tokio::spawn(async move {
        let work = move |tx: &mut dyn Tx| -> Result<(), StoreError> {
            tx.insert(&NOTE, &note(1, "slow"))?;
            started.send(()).unwrap();
            may_go_on.recv().unwrap();
            Ok(())
        };
        slow.commit("slow", work).await
    });
    tokio::task::spawn_blocking(move || is_started.recv().unwrap()).await.unwrap();
    let refused = hasty.commit("hasty", |tx| tx.insert(&NOTE, &note(2, "hasty"))).await;
    assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    // Reading waits for nobody.
    assert_eq!(count(&hasty).await, 0);
    go_on.send(()).unwrap();
    holding.await.unwrap().unwrap();
    hasty.commit("hasty", |tx| tx.insert(&NOTE, &note(2, "hasty"))).await.unwrap();
    assert_eq!(count(&hasty).await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_addresses_are_refused_without_showing_the_password() {
    let place = Database::new();
    let open = |url: &str| PostgresStore::open(url, TABLES, Database::options()).map(drop);
    let nowhere = place.0.replace("test_", "none_");
    let known = place.0.split_once('@').unwrap().1.to_owned();
    for (url, words) in [
        (nowhere.as_str(), "does not exist"),
        (&format!("postgres://nobody:sesame@{known}"), "does not exist"),
        ("postgres://postgres:sesame@%2Fnowhere/x", "No such file"),
        ("postgres://postgres:sesame@127.0.0.1:1/x", "refused"),
        ("postgres://postgres:sesame@localhost/x?nonsense=1", "nonsense"),
        ("postgres://postgres:sesame@localhost/x?sslmode=require", "sslrootcert"),
        ("postgres://postgres:sesame@localhost/x?sslmode=require&sslrootcert=/none", "No such file"),
    ] {
        let error = open(url).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(matches!(error, OpenError::Database { .. }) && text.contains(words), "{url}: {text}");
        assert!(!text.contains("sesame"), "{text}");
    }
}

/// A cluster of its own, because it is stopped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_crashes_and_comes_back_loses_nothing_answered() {
    let cluster = Cluster::start().unwrap();
    let folder = cluster.folder().to_owned();
    testing::execute(&cluster.url("postgres"), "CREATE DATABASE bank").unwrap();
    let store = Arc::new(PostgresStore::open(&cluster.url("bank"), TABLES, Database::options()).unwrap());
    store.commit("note", |tx| tx.insert(&NOTE, &note(1, "one"))).await.unwrap();
    for (id, mode) in [(2, "fast"), (3, "immediate")] {
        cluster.stop(mode).unwrap();
        // Asked while nobody is there, answered when the server is back.
        let waiting = Arc::clone(&store);
        let values = note(id, mode);
        let asked =
            tokio::spawn(async move { waiting.commit("note", move |tx| tx.insert(&NOTE, &values)).await });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!asked.is_finished());
        cluster.start_again().unwrap();
        asked.await.unwrap().unwrap();
        assert_eq!(count(&*store).await, id);
    }
    // Gone for longer than the patience: a clear error, and nothing of it later.
    drop(store);
    let mut options = Database::options();
    options.store.busy_timeout = Duration::from_millis(300);
    let store = PostgresStore::open(&cluster.url("bank"), TABLES, options).unwrap();
    cluster.stop("immediate").unwrap();
    let refused = store.commit("note", |tx| tx.insert(&NOTE, &note(9, "nine"))).await;
    assert!(
        matches!(&refused, Err(StoreError::Database(text)) if text.contains("no connection")),
        "{refused:?}"
    );
    assert!(matches!(number(&store, "SELECT 1").await, Err(StoreError::Database(_))));
    cluster.start_again().unwrap();
    assert_eq!(count(&store).await, 3);
    drop(store);
    drop(cluster);
    assert!(!folder.exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_openings_at_one_time_make_one_schema() {
    let place = Database::new();
    let opened: Vec<_> = (0..8)
        .map(|_| {
            let url = place.0.clone();
            std::thread::spawn(move || PostgresStore::open(&url, TABLES, Database::options()).map(drop))
        })
        .collect();
    for thread in opened {
        thread.join().unwrap().unwrap();
    }
    // Writers that ended in peace are not remembered.
    let left = testing::execute(&place.0, "SELECT count(*) FROM store_writer").unwrap();
    assert_eq!(left.as_deref(), Some("0"));
    assert_eq!(place.with(Database::options()).check_integrity().await, Ok(Vec::new()));
}

/// The row check travels: a value changed behind the store's back is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_changed_in_the_database_is_found() {
    let place = Database::new();
    let store = place.open();
    store.commit("note", |tx| tx.insert(&NOTE, &note(1, "one"))).await.unwrap();
    let check = |tx: &mut dyn Tx| feiqian_ledger::audit::check_rows(tx, TABLES);
    assert_eq!(store.read(check).await.unwrap(), []);
    testing::execute(&place.0, "UPDATE note SET body = 'two'").unwrap();
    let found = store.read(check).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
}
