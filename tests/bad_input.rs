//! Wrong homes, missing nodes, wrong roots, too little money, wrong currency, expired requests.

use std::process::Command;
use std::time::Duration;

use crate::world::{World, role, wait_until};

#[test]
fn homes_belong_to_one_role() {
    let world = World::empty();
    world.ok(&["center", "init", "--home", "@center", "--name", "center"]);
    world.run(&["wallet", "balance", "--home", "@center"]).refused("WRONG_HOME");
    world.run(&["bank", "run", "--home", "@center"]).refused("WRONG_HOME");
    world.run(&["wallet", "balance", "--home", "@nobody"]).refused("WRONG_HOME");
    world.run(&["audit", "--home", "@nobody"]).refused("WRONG_HOME");
    let occupied = world.folder().join("letters");
    std::fs::create_dir(&occupied).unwrap();
    std::fs::write(occupied.join("letter.txt"), "dear").unwrap();
    world.run(&["center", "init", "--home", "@letters", "--name", "c"]).refused("WRONG_HOME");
    let again = world.run(&["center", "init", "--home", "@center", "--name", "center"]);
    again.refused("CONFLICT");
    let often = ["center", "init", "--home", "@often", "--name", "c", "--settlement", "often"];
    world.run(&often).refused("USAGE");
    assert!(!world.home("often").exists(), "nothing is made of a command that is not understood");
}

#[test]
fn who_needs_a_missing_node_is_told_so() {
    let mut world = World::banks();
    world.wallet("alice", "north");
    world.fund("north", "alice", "10.00");
    let (center, north) = (world.url("center"), world.url("north"));
    world.kill("north");
    let answer = world.run(&["wallet", "withdraw", "--home", "@alice", "1.00"]);
    assert!(["NODE_UNREACHABLE", "UNAVAILABLE"].contains(&answer.code()), "{}", answer.value);
    assert_eq!(answer.exit, Some(3));
    let code = "00000000000000000000000000000000-000000000000000000000000";
    let init = ["wallet", "init", "--home", "@bob", "--name", "bob", "--bank", &north, "--code", code];
    assert!(["NODE_UNREACHABLE", "UNAVAILABLE"].contains(&world.run(&init).code()));
    world.kill("center");
    let init = ["bank", "init", "--home", "@west", "--name", "west", "--center", &center];
    let answer = world.run(&init);
    assert!(["NODE_UNREACHABLE", "UNAVAILABLE"].contains(&answer.code()), "{}", answer.value);
    // A bank is ready without its center, and catches up when it comes.
    world.start("north");
    world.start("center");
    let withdrawn = wait_until(Duration::from_secs(30), || {
        (world.run(&["wallet", "withdraw", "--home", "@alice", "1.00"]).exit == Some(0)).then_some(())
    });
    assert!(withdrawn.is_some(), "{}", world.run(&["wallet", "status", "--home", "@alice"]).value);
    world.holds("alice", "1.00");
}

#[test]
fn another_root_is_refused_and_a_taken_port_explained() {
    let mut world = World::banks();
    let wrong = format!("{}#sha256={}", world.url("center").split_once('#').unwrap().0, "ab".repeat(32));
    world
        .run(&["bank", "init", "--home", "@west", "--name", "west", "--center", &wrong])
        .refused("WRONG_ROOT");
    let code = world.enrol("north", "alice", "customer");
    let wrong = format!("{}#sha256={}", world.url("north").split_once('#').unwrap().0, "cd".repeat(32));
    let init = ["wallet", "init", "--home", "@alice", "--name", "alice", "--bank", &wrong, "--code", &code];
    world.run(&init).refused("WRONG_ROOT");
    // The code is still good: nothing was sent.
    let north = world.url("north");
    let init = ["wallet", "init", "--home", "@alice", "--name", "alice", "--bank", &north, "--code", &code];
    world.ok(&init);
    let second = ["wallet", "init", "--home", "@mallory", "--name", "m", "--bank", &north, "--code", &code];
    world.run(&second).refused("CODE_INVALID");
    let url = world.url("north");
    let address = url.trim_start_matches("https://").split_once('#').unwrap().0.to_owned();
    world.stop("north");
    let taken = std::net::TcpListener::bind(&address).unwrap();
    let answer = world.run(&["bank", "run", "--home", "@north"]);
    answer.refused("CONFLICT");
    assert!(answer.value["error"]["hint"].as_str().unwrap().contains("--listen"), "{}", answer.value);
    drop(taken);
    world.start("north");
    world.run(&["bank", "run", "--home", "@north"]).refused("LOCKED");
}

#[test]
fn too_little_money_nonsense_and_other_currencies() {
    let mut world = World::shopping("5.00");
    world.run(&["wallet", "withdraw", "--home", "@alice", "95.01"]).refused("INSUFFICIENT_FUNDS");
    world.holds("alice", "5.00");
    for amount in ["0", "1.234", "abc", "1e3", "99999999999999999999999"] {
        let answer = world.run(&["wallet", "withdraw", "--home", "@alice", amount]);
        assert_ne!(answer.exit, Some(0), "{amount}: {}", answer.value);
    }
    let uri = world.request("5.01", "A-1");
    world.run(&["wallet", "pay", "--home", "@alice", &uri]).refused("INSUFFICIENT_FUNDS");
    world.run(&["wallet", "deposit", "--home", "@alice", "5.01"]).refused("INSUFFICIENT_FUNDS");
    for uri in ["feiqian:", "feiqian:AAAA", "https://shop", &uri[..uri.len() - 4]] {
        let answer = world.run(&["wallet", "pay", "--home", "@alice", uri]);
        assert_eq!(answer.exit, Some(1), "{uri}: {}", answer.value);
    }
    let mut changed = uri.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    let changed = String::from_utf8(changed).unwrap();
    assert_ne!(world.run(&["wallet", "pay", "--home", "@alice", &changed]).exit, Some(0));
    world.bank("west", "EUR");
    world.wallet("claire", "west");
    world.fund("west", "claire", "20.00");
    world.ok(&["wallet", "withdraw", "--home", "@claire", "20.00"]);
    let uri = world.request("1.00", "A-2");
    world.run(&["wallet", "pay", "--home", "@claire", &uri]).refused("WRONG_CURRENCY");
    world.holds("claire", "20.00");
    world.holds("alice", "5.00");
    world.books_hold(&["center", "north", "south", "west", "shop", "alice", "bob", "claire"]);
}

#[test]
fn an_expired_request_costs_nothing() {
    let world = World::shopping("5.00");
    let uri = world.request_with("1.00", "A-1", &["--expires", "1"]);
    std::thread::sleep(Duration::from_secs(3));
    let answer = world.run(&["wallet", "pay", "--home", "@alice", &uri]);
    answer.refused("EXPIRED");
    assert!(
        answer.value["error"]["message"].as_str().unwrap().matches(char::is_numeric).count() > 18,
        "both times"
    );
    world.holds("alice", "5.00");
}

#[test]
fn nodes_keep_to_their_exit_codes_and_streams() {
    let world = World::empty();
    world.ok(&["center", "init", "--home", "@center", "--name", "center"]);
    assert_eq!(role("center"), "center");
    let output = Command::new(env!("CARGO_BIN_EXE_feiqian"))
        .args(["wallet", "balance", "--home"])
        .arg(world.home("center"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty(), "refusals for eyes go to standard error");
    assert!(String::from_utf8_lossy(&output.stderr).contains("WRONG_HOME"));
}
