//! Several processes at once.

use std::path::Path;
use std::time::Duration;

use crate::world::{World, wait_until};

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&entry.path(), &target),
            kind if kind.is_file() => drop(std::fs::copy(entry.path(), target).unwrap()),
            _ => {}
        }
    }
}

#[test]
fn shells_on_one_wallet_take_turns() {
    let world = World::shopping("5.00");
    let (one, two) = (world.request("1.00", "A-1"), world.request("2.00", "A-2"));
    let commands = vec![
        vec!["wallet", "withdraw", "--home", "@alice", "1.00"],
        vec!["wallet", "pay", "--home", "@alice", &one],
        vec!["wallet", "withdraw", "--home", "@alice", "3.00"],
        vec!["wallet", "balance", "--home", "@alice"],
        vec!["wallet", "pay", "--home", "@alice", &two],
        vec!["wallet", "refresh", "--home", "@alice"],
    ];
    for answer in world.at_once(&commands) {
        answer.ok();
    }
    world.holds("alice", "6.00");
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob"]);
}

#[test]
fn shells_and_a_running_wallet_share_its_home() {
    let mut world = World::shopping("5.00");
    world.start("alice");
    let uri = world.request("1.00", "A-1");
    let commands = vec![
        vec!["wallet", "pay", "--home", "@alice", &uri],
        vec!["wallet", "balance", "--home", "@alice"],
        vec!["wallet", "withdraw", "--home", "@alice", "2.00"],
    ];
    for answer in world.at_once(&commands) {
        answer.ok();
    }
    world.holds("alice", "6.00");
    world.stop("alice");
    world.holds("alice", "6.00");
}

#[test]
fn of_two_copies_of_a_wallet_exactly_one_spends() {
    let world = World::shopping("8.00");
    copy(&world.home("alice"), &world.home("thief"));
    let (one, two) = (world.request("8.00", "A-1"), world.request("8.00", "A-2"));
    let commands = vec![
        vec!["wallet", "pay", "--home", "@alice", &one],
        vec!["wallet", "pay", "--home", "@thief", &two],
    ];
    let answers = world.at_once(&commands);
    let paid = answers.iter().filter(|answer| answer.value["outcome"] == "paid").count();
    assert_eq!(paid, 1, "{answers:?}");
    answers.iter().find(|answer| answer.exit != Some(0)).unwrap().refused("DOUBLE_SPENT");
    let credited =
        wait_until(Duration::from_secs(20), || (world.account("south", "shop") == "8.00").then_some(()));
    assert!(credited.is_some());
    // The shop keeps the evidence; anybody can check it, and only with the right root is it trusted.
    let kept = std::fs::read_dir(world.home("shop")).unwrap().map(Result::unwrap);
    let evidence = kept.map(|entry| entry.path()).find(|path| path.to_str().unwrap().contains("evidence-"));
    let evidence = evidence.unwrap().to_str().unwrap().to_owned();
    let root = world.root();
    let checked = world.ok(&["verify", &evidence, "--root", &root]);
    assert_eq!((&checked["valid"], &checked["trusted"]), (&true.into(), &true.into()), "{checked}");
    let file = world.home("center").join("root.pem");
    assert_eq!(world.ok(&["verify", &evidence, "--root", file.to_str().unwrap()])["trusted"], true);
    assert_eq!(world.ok(&["verify", &evidence])["trusted"], false);
    world.run(&["verify", &evidence, "--root", &"ab".repeat(32)]).refused("WRONG_ROOT");
    let spoiled = world.folder().join("spoiled.json");
    let text = std::fs::read_to_string(&evidence).unwrap();
    let contribution = text.find("\"contribution\"").unwrap();
    let at = contribution + text[contribution..].find(|character: char| character.is_ascii_digit()).unwrap();
    let mut bytes = text.into_bytes();
    bytes[at] = if bytes[at] == b'1' { b'2' } else { b'1' };
    std::fs::write(&spoiled, bytes).unwrap();
    assert_eq!(world.run(&["verify", spoiled.to_str().unwrap(), "--root", &root]).exit, Some(1));
}

#[test]
fn one_request_is_paid_once_and_the_second_payer_gets_everything_back() {
    let world = World::shopping("5.00");
    let uri = world.ok(&["wallet", "request", "--home", "@bob", "4.00"])["uri"].as_str().unwrap().to_owned();
    world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
    world.ok(&["wallet", "receive", "--home", "@bob"]);
    world.ok(&["wallet", "withdraw", "--home", "@alice", "9.00"]);
    let uri = world.request_with("3.00", "A-1", &["--expires", "12"]);
    let commands =
        vec![vec!["wallet", "pay", "--home", "@alice", &uri], vec!["wallet", "pay", "--home", "@bob", &uri]];
    let answers = world.at_once(&commands);
    let paid = answers.iter().filter(|answer| answer.value["outcome"] == "paid").count();
    assert_eq!(paid, 1, "{answers:?}");
    answers.iter().find(|answer| answer.exit != Some(0)).unwrap().refused("REQUEST_ALREADY_PAID");
    // The loser's coins come back when the request can no longer be paid.
    let whole = wait_until(Duration::from_secs(40), || {
        let mut sum = 0;
        for name in ["alice", "bob"] {
            let _ = world.run(&["wallet", "refresh", "--home", &format!("@{name}")]);
            let text = world.balance(name)["balance"].as_str().unwrap().replace('.', "");
            sum += text.parse::<u64>().unwrap();
        }
        (sum == 1100).then_some(())
    });
    assert!(whole.is_some(), "{} {}", world.balance("alice"), world.balance("bob"));
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob"]);
}
