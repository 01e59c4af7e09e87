//! A wallet from its words alone on another machine; a bank from a backup.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::offline_tools::{
    PATIENCE, accepted, accused, copied, paid, set, settled, tried, typed, withdrawn,
};
use crate::world::{World, wait_until};

/// How long an epoch of online coins issues here, seconds.
const ISSUE: u64 = 20;

/// Makes a wallet; its words, in a file.
fn wallet(world: &World, name: &str, bank: &str) -> String {
    let code = world.enrol(bank, name, "customer");
    let (url, home) = (world.url(bank), format!("@{name}"));
    let made =
        world.ok(&["wallet", "init", "--home", &home, "--name", name, "--bank", &url, "--code", &code]);
    let file = format!("{name}.words");
    std::fs::write(world.home(&file), made["words"].as_str().unwrap()).unwrap();
    file
}

fn command(world: &World, home: &str, words: &str) -> Vec<String> {
    let at = |name: &str| world.home(name).display().to_string();
    let (url, center) = (world.url("north"), world.url("center"));
    let typed = [
        "--json",
        "wallet",
        "restore",
        "--home",
        &at(home),
        "--words-file",
        &at(words),
        "--bank",
        &url,
        "--center",
        &center,
    ];
    typed.map(str::to_owned).to_vec()
}

/// `wallet restore` into the home `home`.
fn restored(world: &World, home: &str, words: &str) -> Value {
    let (home, words, url) = (format!("@{home}"), format!("@{words}"), world.url("north"));
    world.ok(&["wallet", "restore", "--home", &home, "--words-file", &words, "--bank", &url])
}

fn money(answer: &Value, field: &str) -> String {
    answer[field].as_str().unwrap_or_default().to_owned()
}

fn lost(world: &World, name: &str) {
    std::fs::remove_dir_all(world.home(name)).unwrap();
}

/// Waits until north signs with keys of another epoch than at first.
fn next_epoch(world: &World) {
    std::thread::sleep(Duration::from_secs(ISSUE));
    let turned = wait_until(PATIENCE, || {
        let status = typed(world, "bank status --home @north");
        let pinned = status["keysets"].as_array().unwrap().iter().filter(|keyset| keyset["pinned"] == true);
        (pinned.count() >= 2).then_some(())
    });
    assert!(turned.is_some(), "{}", world.log("north"));
}

/// Alice has withdrawn 60.00 in one epoch and 40.00 in another, paid 12.34 and 20.00, of which 2.00 came back and wait to be
/// taken; 8.00 are offline, 1.00 of that is with the shop, which has not deposited it.
fn market() -> (World, String) {
    let world = World::banks_with("gross", "1000000.00", |world| {
        set(world, "north", "schedule", "issue_seconds", &ISSUE.to_string());
    });
    let mut world = world;
    world.shop();
    let words = wallet(&world, "alice", "north");
    world.fund("north", "alice", "200.00");
    typed(&world, "wallet withdraw --home @alice 60.00");
    let uri = world.request("12.34", "A-1");
    assert_eq!(typed(&world, &format!("wallet pay --home @alice {uri}"))["outcome"], "paid");
    next_epoch(&world);
    typed(&world, "wallet withdraw --home @alice 40.00");
    let uri = world.request("20.00", "A-2");
    assert_eq!(typed(&world, &format!("wallet pay --home @alice {uri}"))["outcome"], "paid");
    typed(&world, "merchant refund --home @shop --order A-2 --amount 2.00");
    withdrawn(&world, "alice", "8.00");
    paid(&world, ("alice", "shop"), "1.00", "B-1");
    (world, words)
}

#[test]
fn a_wallet_comes_back_from_its_words_alone() {
    let (world, words) = market();
    lost(&world, "alice");
    // Killed again and again, at no chosen moment.
    for pause_ms in [30, 60, 120, 250, 500] {
        let mut restoring = Command::new(env!("CARGO_BIN_EXE_feiqian"))
            .args(command(&world, "again", &words))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(pause_ms));
        restoring.kill().unwrap();
        restoring.wait().unwrap();
    }
    let told = restored(&world, "again", &words);
    assert_eq!(
        (money(&told, "restored"), money(&told, "refunded")),
        ("67.66".into(), "2.00".into()),
        "{told}"
    );
    // Its offline coins may have been found before it was killed last: below is what the home has.
    assert!(told["spent_coins"].as_u64().unwrap() > 0 && told["foreign_sessions"] == 0, "{told}");
    world.holds("again", "69.66");
    let again = restored(&world, "again", &words);
    assert_eq!((&again["restored"], &again["coins"]), (&told["restored"], &told["coins"]), "{again}");
    world.holds("again", "69.66");
    // What is offline is claimed and never given again; the shop gets what it took.
    assert_eq!(world.balance("again")["offline"]["reclaimable"], "8.00");
    typed(&world, "merchant request --home @shop --offline --amount 1.00 --order B-2 --out @B-2.request");
    tried(&world, "wallet pay --offline --home @again @B-2.request").refused("INSUFFICIENT_FUNDS");
    accepted(&world, "shop", "B-1");
    settled(&world, "shop", "B-1", "1.00");
    // It is a wallet like any other.
    let uri = world.request("69.66", "A-3");
    assert_eq!(typed(&world, &format!("wallet pay --home @again {uri}"))["outcome"], "paid");
    typed(&world, "wallet withdraw --home @again 3.00");
    typed(&world, "wallet certificate renew --home @again");
    // And is lost again, with a renewed certificate.
    lost(&world, "again");
    let told = restored(&world, "third", &words);
    assert_eq!(money(&told, "restored"), "3.00", "{told}");
    world.holds("third", "3.00");
    assert!(accused(&world, "north").is_empty());
    assert_eq!(world.account("north", "alice"), "89.00");
    world.books_hold(&["center", "north", "south", "shop", "third"]);
}

#[test]
fn only_the_words_of_an_account_open_it() {
    let world = World::banks();
    let words = wallet(&world, "alice", "north");
    let others = wallet(&world, "bob", "south");
    world.fund("north", "alice", "20.00");
    typed(&world, "wallet withdraw --home @alice 10.00");
    let with = |home: &str, words: &str, more: &[&str]| {
        let (home, words, url) = (format!("@{home}"), format!("@{words}"), world.url("north"));
        world.run(
            &[&["wallet", "restore", "--home", &home, "--words-file", &words, "--bank", &url], more].concat(),
        )
    };
    with("thief", &others, &[]).refused("NOT_FOUND");
    let known = std::fs::read_to_string(world.home(&words)).unwrap();
    let mut swapped: Vec<&str> = known.split(' ').collect();
    swapped.swap(0, 1);
    std::fs::write(world.home("swapped.words"), swapped.join(" ")).unwrap();
    let refused = with("typo", "swapped.words", &[]);
    assert!(["USAGE", "NOT_FOUND"].contains(&refused.code()), "{}", refused.value);
    std::fs::write(world.home("short.words"), "abandon ability").unwrap();
    with("typo", "short.words", &[]).refused("USAGE");
    with("alice", &words, &[]).refused("CONFLICT");
    // A home keeps to its words.
    with("thief", &words, &[]).refused("CONFLICT");
    // Revoked certificates open nothing; a code of the bank does, and the coins are there.
    let listed = typed(&world, "wallet certificate list --home @alice");
    for line in listed["certificates"].as_array().unwrap().iter().rev() {
        let serial = line["serial"].as_str().unwrap();
        typed(&world, &format!("wallet certificate revoke --home @alice {serial}"));
    }
    with("again", &words, &[]).refused("CERTIFICATE_INVALID");
    let code = world.enrol("north", "alice", "customer");
    let told = with("again", &words, &["--code", &code]).ok();
    assert_eq!(money(&told, "restored"), "10.00", "{told}");
    world.holds("again", "10.00");
    world.books_hold(&["center", "north", "south", "again", "bob"]);
}

fn moved(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

#[test]
fn a_bank_comes_back_from_a_backup_made_while_it_ran() {
    let mut world = World::empty_on_files().with_banks("gross", "1000000.00", |_| {});
    world.shop();
    world.wallet("alice", "north");
    world.fund("north", "alice", "100.00");
    typed(&world, "wallet withdraw --home @alice 30.00");
    let uri = world.request("5.00", "A-1");
    typed(&world, &format!("wallet pay --home @alice {uri}"));
    // Withdrawals go on while the backup is made.
    let withdraw = ["wallet", "withdraw", "--home", "@alice", "1.00"];
    let backup = ["bank", "backup", "--home", "@north", "--out", "@north.backup"];
    for answer in world.at_once(&[withdraw.to_vec(), backup.to_vec()]) {
        answer.ok();
    }
    world.run(&backup).refused("CONFLICT");
    std::fs::remove_file(world.home("north.backup")).unwrap();
    let made = world.ok(&backup);
    assert!(made["files"].as_u64().unwrap() >= 5 && made["bytes"].as_u64().unwrap() > 10_000, "{made}");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(world.home("north.backup")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    world.kill("north");
    moved(&world.home("north"), &world.home("burnt"));
    world.run(&["center", "restore", "--home", "@north", "--from", "@north.backup"]).refused("WRONG_HOME");
    let told = world.ok(&["bank", "restore", "--home", "@north", "--from", "@north.backup"]);
    assert!(told["reconcile"].as_str().unwrap().contains("audit"), "{told}");
    world.run(&["bank", "restore", "--home", "@north", "--from", "@north.backup"]).refused("CONFLICT");
    world.start("north");
    world.books_hold(&["center", "north", "south", "shop", "alice"]);
    // Coins of before pay, and are spent once.
    let uri = world.request("26.00", "A-2");
    assert_eq!(typed(&world, &format!("wallet pay --home @alice {uri}"))["outcome"], "paid");
    typed(&world, "wallet withdraw --home @alice 2.00");
    world.holds("alice", "2.00");
    world.books_hold(&["center", "north", "south", "shop", "alice"]);
}

/// South's coins for 3.00 in carol's wallet, whose account is at north.
fn received_from_abroad(world: &World) {
    world.wallet("bob", "south");
    world.wallet("carol", "north");
    world.fund("south", "bob", "10.00");
    typed(world, "wallet withdraw --home @bob 3.00");
    let asks = typed(world, "wallet request --home @carol 3.00")["uri"].as_str().unwrap().to_owned();
    typed(world, &format!("wallet pay --home @bob {asks}"));
    typed(world, "wallet receive --home @carol");
    world.holds("carol", "3.00");
}

#[test]
fn what_the_center_cleared_since_the_backup_is_in_the_restored_bank() {
    let mut world = World::empty_on_files().with_banks("gross", "1000000.00", |_| {});
    world.shop();
    world.wallet("alice", "north");
    world.fund("north", "alice", "100.00");
    typed(&world, "wallet withdraw --home @alice 30.00");
    received_from_abroad(&world);
    world.ok(&["bank", "backup", "--home", "@north", "--out", "@north.backup"]);
    copied(&world, "alice", "thief");
    // Since: all of alice's coins are spent abroad, and carol's from abroad are on her account.
    let uri = world.request("30.00", "A-1");
    assert_eq!(typed(&world, &format!("wallet pay --home @alice {uri}"))["outcome"], "paid");
    assert_eq!(typed(&world, "wallet deposit --home @carol 3.00")["outcome"], "paid");
    assert_eq!(world.account("north", "carol"), "3.00");
    world.kill("north");
    moved(&world.home("north"), &world.home("burnt"));
    world.ok(&["bank", "restore", "--home", "@north", "--from", "@north.backup"]);
    // Without the center it serves nobody.
    world.stop("center");
    let alone = tried(&world, "bank status --home @north");
    alone.refused("UNAVAILABLE");
    assert!(alone.value["error"]["hint"].as_str().unwrap().contains("start the center"), "{}", alone.value);
    world.start("center");
    world.start("north");
    assert!(wait_until(PATIENCE, || (world.account("north", "carol") == "3.00").then_some(())).is_some());
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob", "carol"]);
    // Coins that were spent since are spent.
    let uri = world.request("30.00", "A-2");
    let paid = tried(&world, &format!("wallet pay --home @thief {uri}"));
    assert!(paid.value.to_string().contains("DOUBLE_SPENT"), "{}", paid.value);
    // It was asked once.
    world.kill("north");
    world.start("north");
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob", "carol"]);
    assert_eq!(world.log("north").matches("the center was asked what was cleared since").count(), 1);
}

#[test]
fn what_a_bank_forgot_is_found_by_the_audit() {
    let mut world = World::empty_on_files().with_banks("gross", "1000000.00", |_| {});
    world.shop();
    world.wallet("alice", "north");
    world.fund("north", "alice", "100.00");
    typed(&world, "wallet withdraw --home @alice 30.00");
    world.ok(&["bank", "backup", "--home", "@north", "--out", "@north.backup"]);
    let uri = world.request("5.00", "A-1");
    typed(&world, &format!("wallet pay --home @alice {uri}"));
    typed(&world, "wallet withdraw --home @alice 4.00");
    world.kill("north");
    moved(&world.home("north"), &world.home("burnt"));
    world.ok(&["bank", "restore", "--home", "@north", "--from", "@north.backup"]);
    world.start("north");
    let audit = world.audit(&["center", "north", "south", "shop", "alice"]);
    assert_eq!(audit.exit, Some(4), "{}", audit.value);
    let homes = audit.value["homes"].as_array().unwrap();
    let restored: Vec<&Value> = homes.iter().filter(|home| home["restored"].is_object()).collect();
    assert_eq!(restored.len(), 1, "{homes:?}");
    assert!(restored[0]["restored"]["backup_of"].as_u64() <= restored[0]["restored"]["restored_at"].as_u64());
    assert_eq!(restored[0]["role"], "bank");
}
