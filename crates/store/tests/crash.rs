//! A process killed around a commit: what was answered is there, what was not is whole or absent.
#![cfg(feature = "test-faults")]
#![allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "a test stops at the first surprise")]

use std::{path::Path, process::Command};

use feiqian_ledger::{
    LedgerError, TABLES, audit,
    book::{self, Account, Limit, Transfer},
    store::{StoreError, StoreExt, Tx},
    testing::id,
};
use feiqian_money::{Currency, Minor};
use feiqian_store::{Options, SqliteStore};

const HOME: &str = "FEIQIAN_CRASH_TEST_HOME";

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

/// The child: books ten linked pairs and notes each answer in a file. Does nothing when run as an ordinary test.
#[test]
fn child() {
    let Ok(home) = std::env::var(HOME) else { return };
    let home = Path::new(&home);
    let store = SqliteStore::open(home.join("bank.db"), TABLES, Options::new("bank")).unwrap();
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

fn run_child(home: &Path, fault: Option<&str>) -> std::process::ExitStatus {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env(HOME, home)
        .env("FEIQIAN_FAULT_TRACE", home.join("trace"));
    if let Some(fault) = fault {
        command.env("FEIQIAN_FAULT", fault);
    }
    command.output().unwrap().status
}

/// How many transfers the store holds after recovery; the audit must find nothing.
fn surviving(home: &Path) -> u64 {
    let store = SqliteStore::open(home.join("bank.db"), TABLES, Options::new("bank")).unwrap();
    let (report, rows) = runtime()
        .block_on(store.read(|tx: &mut dyn Tx| {
            Ok::<_, StoreError>((audit::check_book(tx)?, audit::check_rows(tx, TABLES)?))
        }))
        .unwrap();
    assert_eq!((report.findings, rows), (Vec::new(), Vec::new()));
    report.transfers
}

#[test]
fn killed_before_or_after_a_commit_nothing_answered_is_lost_and_nothing_is_half_done() {
    for (fault, transfers, answered) in
        [("pair@before#1", 0, 0), ("pair@before#4", 6, 3), ("pair@after#4", 8, 3), ("open@after#1", 0, 0)]
    {
        let folder = tempfile::tempdir().unwrap();
        let status = run_child(folder.path(), Some(fault));
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9), "{fault}");
        let answers = (0..10).filter(|n| folder.path().join(format!("answered-{n}")).exists()).count();
        assert_eq!((surviving(folder.path()), answers), (transfers, answered), "{fault}");
        // The same requests again: what exists acts no second time, the rest is done.
        assert!(run_child(folder.path(), None).success());
        assert_eq!(surviving(folder.path()), 20, "{fault}");
    }
}

#[test]
fn the_trace_names_every_commit() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run_child(folder.path(), None).success());
    let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap();
    let points: Vec<&str> = trace.lines().collect();
    assert_eq!(points, [&["open"][..], &["pair"; 10]].concat());
}
