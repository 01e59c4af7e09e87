//! A process killed around a commit: what was answered is there, what was not is whole or absent.
#![cfg(feature = "test-faults")]
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test stops at the first surprise")]

use std::{path::Path, process::Command, sync::Arc};

use feiqian_ledger::{
    LedgerError, TABLES, audit,
    book::{self, Account, Limit, Transfer},
    store::{Store, StoreError, StoreExt, Tx},
    testing::id,
};
use feiqian_money::{Currency, Minor};
use feiqian_store::{Options, PostgresOptions, PostgresStore, SqliteStore, testing};

const HOME: &str = "FEIQIAN_CRASH_TEST_HOME";
/// The database of a child on PostgreSQL; it has a file in its home without it.
const URL: &str = "FEIQIAN_CRASH_TEST_URL";

fn open(home: &Path, url: Option<&str>) -> Arc<dyn Store> {
    match url {
        Some(url) => {
            let options = PostgresOptions::new("bank", testing::randomness());
            Arc::new(PostgresStore::open(url, TABLES, options).unwrap())
        }
        None => Arc::new(SqliteStore::open(home.join("bank.db"), TABLES, Options::new("bank")).unwrap()),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// The child: books ten linked pairs and notes each answer in a file. Does nothing when run as an ordinary test.
#[test]
fn child() {
    let Ok(home) = std::env::var(HOME) else { return };
    let home = Path::new(&home);
    let store = open(home, std::env::var(URL).ok().as_deref());
    runtime().block_on(async {
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
        for n in 0..10_u8 {
            let amount = Minor::new(100).unwrap();
            let pair = [
                Transfer::posted(id(10 + 2 * n), id(1), id(2), amount, 0),
                Transfer::posted(id(11 + 2 * n), id(2), id(3), amount, 0),
            ];
            let booked: Result<_, LedgerError> =
                store.commit("pair", move |tx| book::transfer(tx, &pair, 2)).await;
            let _ = booked.unwrap();
            std::fs::write(home.join(format!("answered-{n}")), "").unwrap();
        }
    });
}

fn run_child(home: &Path, url: Option<&str>, fault: Option<&str>) -> std::process::ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(HOME, home)
        .env("FEIQIAN_FAULT_TRACE", home.join("trace"));
    if let Some(url) = url {
        command.env(URL, url);
    }
    if let Some(fault) = fault {
        command.env("FEIQIAN_FAULT", fault);
    }
    command.output().unwrap().status
}

/// How many transfers the store holds after recovery; the audit must find nothing.
fn surviving(home: &Path, url: Option<&str>) -> u64 {
    let store = open(home, url);
    let (report, rows) = runtime()
        .block_on(store.read(|tx: &mut dyn Tx| {
            Ok::<_, StoreError>((audit::check_book(tx)?, audit::check_rows(tx, TABLES)?))
        }))
        .unwrap();
    assert_eq!((report.findings, rows), (Vec::new(), Vec::new()));
    report.transfers
}

/// Killed before or after a commit, nothing answered is lost and nothing is half done.
fn kill_around_commits(database: impl Fn() -> Option<String>) {
    for (fault, transfers, answered) in
        [("pair@before#1", 0, 0), ("pair@before#4", 6, 3), ("pair@after#4", 8, 3), ("open@after#1", 0, 0)]
    {
        let folder = tempfile::tempdir().unwrap();
        let url = database();
        let url = url.as_deref();
        let status = run_child(folder.path(), url, Some(fault));
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{fault}");
        let answers = (0..10).filter(|n| folder.path().join(format!("answered-{n}")).exists()).count();
        assert_eq!((surviving(folder.path(), url), answers), (transfers, answered), "{fault}");
        // The same requests again: what exists acts no second time, the rest is done.
        assert!(run_child(folder.path(), url, None).success());
        assert_eq!(surviving(folder.path(), url), 20, "{fault}");
    }
}

#[test]
fn a_kill_around_a_commit_loses_nothing_answered_in_sqlite() {
    kill_around_commits(|| None);
}

#[test]
fn a_kill_around_a_commit_loses_nothing_answered_in_postgresql() {
    kill_around_commits(|| Some(testing::database()));
}

#[test]
fn the_trace_names_every_commit() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run_child(folder.path(), None, None).success());
    let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
    let points: Vec<&str> = trace.lines().collect();
    assert_eq!(points, [&["open"][..], &["pair"; 10]].concat());
}
