//! A disk that is full, read-only or damaged: a clear refusal with a code, an exit code and advice; nothing is changed, and
//! as soon as the disk is well everything goes on.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::offline_tools::{tried, typed};
use crate::world::{PROGRAM, World, wait_until, words};

const HOMES: [&str; 6] = ["center", "north", "south", "shop", "alice", "bob"];
/// Nobody's user and group.
const NOBODY: u32 = 65_534;
/// Bytes of a page of SQLite.
const PAGE: usize = 4096;

fn value(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(text.trim()).unwrap_or_else(|_| panic!("no answer: {text:?}"))
}

/// What is said when an open store cannot write, when another file cannot be written or a store not opened, and when pages are
/// damaged.
const STORE: &str = "UNAVAILABLE";
const FILE: &str = "INTERNAL";
const DAMAGED: &str = "INTERNAL";

/// This code, with an exit code that is none of success, and advice.
fn refused(what: &str, value: &Value, exit: Option<i32>, code: &str) {
    let error = &value["error"];
    assert_eq!(error["code"], code, "{what}: {value}");
    assert!(exit.is_some_and(|exit| exit != 0), "{what}: ended with {exit:?}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {value}");
    assert!(error["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{what}, without advice: {value}");
}

/// The program where a file that would grow is refused more room, and the process lives on to say so.
fn bounded(world: &World, limit: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("trap '' XFSZ; {limit}exec \"$0\" \"$@\""), PROGRAM, "--json"]);
    command.args(arguments.iter().map(|argument| match argument.strip_prefix('@') {
        Some(name) => world.home(name).into_os_string(),
        None => argument.into(),
    }));
    command.env_remove("FEIQIAN_LOG").env_remove("FEIQIAN_FAULT").stdin(Stdio::null()).stderr(Stdio::null());
    command
}

/// How long the files of this process may become; none for as long as they like.
fn room(node: &Child, most: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(node.id()).unwrap());
    prlimit(pid, Resource::Fsize, Rlimit { current: most, maximum: None }).unwrap();
}

#[test]
fn a_full_disk_under_a_wallet_is_said_and_costs_nothing() {
    let world = World::empty_on_files().with_banks("gross", "1000000.00", |_| {});
    world.wallet("alice", "north");
    world.fund("north", "alice", "20.00");
    typed(&world, "wallet withdraw --home @alice 5.00");
    for command in ["wallet withdraw --home @alice 1.00", "wallet deposit --home @alice 1.00"] {
        let output = bounded(&world, "ulimit -f 0; ", &words(command)).output().unwrap();
        refused(command, &value(&output), output.status.code(), FILE);
    }
    world.holds("alice", "5.00");
    assert_eq!(world.account("north", "alice"), "15.00");
    typed(&world, "wallet withdraw --home @alice 1.00");
    world.holds("alice", "6.00");
    // A home is not half made either.
    let (url, code) = (world.url("north"), world.enrol("north", "bob", "customer"));
    let init = format!("wallet init --home @bob --name bob --bank {url} --code {code}");
    let output = bounded(&world, "ulimit -f 0; ", &words(&init)).output().unwrap();
    refused("init", &value(&output), output.status.code(), FILE);
    typed(&world, &init);
    world.books_hold(&["center", "north", "south", "alice", "bob"]);
}

#[test]
fn a_full_disk_under_a_bank_is_said_and_passes() {
    let mut world = World::empty_on_files().with_banks("gross", "1000000.00", |_| {});
    world.shop();
    for name in ["alice", "bob"] {
        world.wallet(name, "north");
    }
    world.fund("north", "alice", "20.00");
    typed(&world, "wallet withdraw --home @alice 5.00");
    world.stop("north");
    let run = ["bank", "run", "--until-input-ends", "--home", "@north"];
    let mut command = bounded(&world, "", &run);
    let mut north = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(north.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"ready\":true"), "{line}");
    // The record of acts takes a part of a line before it is full.
    let acts = std::fs::metadata(world.home("north").join("acts.log")).unwrap().len();
    room(&north, Some(acts + 20));
    for (command, code) in [
        ("wallet withdraw --home @alice 1.00", STORE),
        ("bank account fund --home @north --name alice --amount 3.00", FILE),
    ] {
        let answer = tried(&world, command);
        refused(command, &answer.value, answer.exit, code);
    }
    // Who only looks is answered.
    assert_eq!(world.account("north", "alice"), "15.00");
    room(&north, None);
    // What was begun comes to its end; what was refused was not done.
    let done = wait_until(Duration::from_secs(20), || {
        (tried(&world, "wallet withdraw --home @alice 1.00").exit == Some(0)).then_some(())
    });
    assert!(done.is_some(), "{}", tried(&world, "wallet status --home @alice").value);
    world.holds("alice", "6.00");
    assert_eq!(world.account("north", "alice"), "14.00");
    typed(&world, "bank account fund --home @north --name alice --amount 4.00");
    let log = typed(&world, "bank log --home @north");
    assert_eq!(log["acts"].as_array().unwrap().last().unwrap()["arguments"]["amount"], "4.00", "{log}");
    world.books_hold(&HOMES);
    drop(north.stdin.take());
    assert!(north.wait().unwrap().success());
    world.books_hold(&HOMES);
}

fn give(path: &Path, to: Option<u32>, writable: bool) {
    let folder = path.is_dir();
    if let Some(owner) = to {
        chown(path, Some(owner), Some(owner)).unwrap();
    }
    if folder {
        for entry in std::fs::read_dir(path).unwrap() {
            give(&entry.unwrap().path(), to, writable);
        }
    }
    let mode = if folder { 0o500 } else { 0o400 } | if writable { 0o200 } else { 0 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a command as somebody whom permissions bind: whoever runs the tests, or nobody for root.
fn bound(world: &World, owner: Option<u32>, program: &Path, command: &str) -> Output {
    let mut bounded = Command::new(program);
    bounded.arg("--json").args(words(command).into_iter().map(|word| match word.strip_prefix('@') {
        Some(name) => world.home(name).into_os_string(),
        None => word.into(),
    }));
    if let Some(owner) = owner {
        bounded.uid(owner).gid(owner);
    }
    bounded.env_remove("FEIQIAN_LOG").stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap()
}

#[test]
fn a_home_that_cannot_be_written_is_said_and_stays_as_it_is() {
    let mut world = World::empty_on_files().with_banks("gross", "1000000.00", |_| {});
    world.wallet("alice", "north");
    world.fund("north", "alice", "20.00");
    typed(&world, "wallet withdraw --home @alice 5.00");
    world.stop("south");
    // Root may write what is not writable: then it is nobody who tries, with a program that nobody can reach.
    let owner = rustix::process::getuid().is_root().then_some(NOBODY);
    let program = world.home("program");
    std::fs::hard_link(PROGRAM, &program).or_else(|_| std::fs::copy(PROGRAM, &program).map(drop)).unwrap();
    std::fs::set_permissions(world.folder(), std::fs::Permissions::from_mode(0o711)).unwrap();
    for name in ["alice", "south"] {
        give(&world.home(name), owner, false);
    }
    // Each fails at the first file that it would write, the lock.
    for command in [
        "wallet withdraw --home @alice 1.00",
        "wallet balance --home @alice",
        "bank run --home @south",
        "bank account open --home @south --name bob",
        "wallet init --home @alice/new --name new --bank https://127.0.0.1:1 --code 1",
    ] {
        let output = bound(&world, owner, &program, command);
        refused(command, &value(&output), output.status.code(), FILE);
    }
    let own = owner.map(|_| rustix::process::getuid().as_raw());
    for name in ["alice", "south"] {
        give(&world.home(name), own, true);
    }
    world.start("south");
    world.holds("alice", "5.00");
    typed(&world, "wallet withdraw --home @alice 1.00");
    world.holds("alice", "6.00");
    world.books_hold(&["center", "north", "south", "alice"]);
}

/// Spoils one page after another of a stopped home's store, in the middle and at its head, and answers how many of the
/// changes the audit found. Whatever `commands` say then is either what they said before, or a refusal.
fn spoil(world: &World, name: &str, commands: &[&str]) -> (usize, usize) {
    let path = world.home(name).join("store.db");
    drop(rusqlite::Connection::open(&path).unwrap().execute_batch("PRAGMA journal_mode = DELETE;"));
    let whole = std::fs::read(&path).unwrap();
    let before: Vec<Value> = commands.iter().map(|command| typed(world, command)).collect();
    let (mut tried_pages, mut found) = (0, 0);
    let pages = whole.len() / PAGE;
    for page in (1..pages).step_by((pages / 12).max(1)) {
        for part in [page * PAGE..page * PAGE + 8, page * PAGE + PAGE - 600..page * PAGE + PAGE] {
            let mut bytes = whole.clone();
            bytes[part].iter_mut().for_each(|byte| *byte ^= 0x5a);
            std::fs::write(&path, &bytes).unwrap();
            tried_pages += 1;
            let audit = world.audit(&[name]);
            if audit.exit != Some(0) {
                refused_audit(name, page, &audit.value);
                found += 1;
            }
            for (command, before) in commands.iter().zip(&before) {
                let answer = tried(world, command);
                let what = format!("{command}, page {page} spoiled");
                if answer.exit == Some(0) {
                    assert_eq!(answer.value, *before, "{what}: another answer");
                } else {
                    refused(&what, &answer.value, answer.exit, DAMAGED);
                }
            }
            for rest in ["store.db-wal", "store.db-shm", "store.db-journal"] {
                let _ = std::fs::remove_file(world.home(name).join(rest));
            }
        }
    }
    std::fs::write(&path, whole).unwrap();
    (tried_pages, found)
}

fn refused_audit(name: &str, page: usize, value: &Value) {
    let code = value["error"]["code"].as_str().unwrap_or_default();
    assert!(["BROKEN_INVARIANT", "INTERNAL"].contains(&code), "{name}, page {page}: {value}");
}

#[test]
fn a_spoiled_page_is_refused_or_makes_no_difference() {
    let mut world = World::empty_on_files().with_banks("gross", "1000000.00", |_| {});
    world.shop();
    for name in ["alice", "bob"] {
        world.wallet(name, "north");
    }
    world.fund("north", "alice", "40.00");
    typed(&world, "wallet withdraw --home @alice 20.00");
    let uri = world.request("7.77", "A-1");
    typed(&world, &format!("wallet pay --home @alice {uri}"));
    world.stop_all();
    for (name, commands) in [
        ("alice", &["wallet status --home @alice", "wallet cheque list --home @alice"][..]),
        ("north", &["bank account list --home @north"][..]),
        ("shop", &["merchant status --home @shop"][..]),
        ("center", &["center positions --home @center"][..]),
    ] {
        let (pages, found) = spoil(&world, name, commands);
        println!("{name}: {pages} changes, {found} found by the audit");
        assert!(found * 2 > pages, "{name}: {found} of {pages} were found");
    }
    world.books_hold(&HOMES);
}
