//! Offline cash between real processes: paid and accepted with every other node stopped, deposited later; a second
//! spend is named, and the accusation checks without any node.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::world::{World, wait_until};

const ALL: [&str; 6] = ["center", "north", "south", "shop", "alice", "bob"];
const OTHERS: [&str; 3] = ["center", "north", "south"];

/// A shop at south and Alice at north with 20.00 in offline coins; everybody has seen the keys.
fn market() -> World {
    let mut world = World::shopping("10.00");
    let withdrawn = wait_until(Duration::from_secs(30), || {
        let answer = world.run(&["wallet", "withdraw-offline", "--home", "@alice", "20.00"]);
        (answer.exit == Some(0)).then_some(())
    });
    assert!(withdrawn.is_some(), "{}", world.log("north"));
    // The shop looks around when it starts.
    world.stop("shop");
    world.start("shop");
    let seen = wait_until(Duration::from_secs(20), || {
        let status = world.ok(&["merchant", "status", "--home", "@shop"]);
        (status["offline_keysets"] == 2 && status["exposed_at"] != 0).then_some(())
    });
    assert!(seen.is_some(), "{}", world.log("shop"));
    world
}

/// The shop asks, the wallet answers, as files; nothing is handed over yet.
fn paid(world: &World, (payer, till): (&str, &str), amount: &str, order: &str) -> String {
    let path = |end: &str| world.folder().join(format!("{order}.{end}")).to_str().unwrap().to_owned();
    let (request, payment) = (path("request"), path("payment"));
    let till = format!("@{till}");
    let ask = ["merchant", "offline-request", "--home", &till, "--amount", amount, "--order", order];
    let asked: Vec<&str> = ask.into_iter().chain(["--out", &request]).collect();
    assert_eq!(world.ok(&asked)["order"], order);
    let home = format!("@{payer}");
    let given = world.ok(&["wallet", "pay-offline", "--home", &home, &request, "--out", &payment]);
    assert_eq!(given["outcome"], "given", "{given}");
    payment
}

fn queue_until(world: &World, till: &str, order: &str, state: &str) -> Value {
    let line = wait_until(Duration::from_secs(30), || {
        let queue = world.ok(&["merchant", "deposit-queue", "--home", &format!("@{till}")]);
        let lines = queue["payments"].as_array().unwrap();
        lines.iter().find(|line| line["order"] == order && line["state"] == state).cloned()
    });
    line.unwrap_or_else(|| panic!("{order} is not {state}: {}", world.log(till)))
}

#[test]
fn a_shop_accepts_with_every_other_node_stopped_and_deposits_later() {
    let mut world = market();
    for node in OTHERS {
        world.stop(node);
    }
    let payment = paid(&world, ("alice", "shop"), "12.50", "B-1");
    let taken = world.ok(&["merchant", "accept", "--home", "@shop", &payment]);
    assert_eq!((&taken["outcome"], &taken["state"]), (&"accepted".into(), &"queued".into()), "{taken}");
    assert_eq!(world.ok(&["merchant", "accept", "--home", "@shop", &payment]), taken);
    // Killed and started again, it still holds it.
    world.stop("shop");
    world.start("shop");
    let held = queue_until(&world, "shop", "B-1", "queued");
    assert_eq!(held["payment"], taken["payment"]);
    for node in OTHERS {
        world.start(node);
    }
    let line = queue_until(&world, "shop", "B-1", "settled");
    assert_eq!((&line["paid"], &line["unpaid"]), (&"12.50".into(), &"0.00".into()), "{line}");
    assert_eq!(world.account("south", "shop"), "12.50");
    world.books_hold(&ALL);
}

#[test]
fn a_second_spend_is_named_and_the_accusation_needs_no_node() {
    let mut world = market();
    let (south, code) = (world.url("south"), world.enrol("south", "stall", "merchant"));
    let stall = ["merchant", "init", "--home", "@stall", "--name", "stall"];
    let stall: Vec<&str> = stall.into_iter().chain(["--bank", &south, "--code", &code]).collect();
    world.ok(&stall);
    world.start("stall");
    // Alice keeps a copy of her wallet and spends twice.
    let copied = Command::new("cp").arg("-a").args([world.home("alice"), world.home("alias")]).status();
    assert!(copied.unwrap().success());
    let (first, second) =
        (paid(&world, ("alice", "shop"), "20.00", "B-1"), paid(&world, ("alias", "stall"), "20.00", "B-2"));
    world.ok(&["merchant", "accept", "--home", "@shop", &first]);
    world.ok(&["merchant", "accept", "--home", "@stall", &second]);
    for (till, order) in [("shop", "B-1"), ("stall", "B-2")] {
        let line = queue_until(&world, till, order, "settled");
        assert_eq!((&line["paid"], &line["unpaid"]), (&"20.00".into(), &"0.00".into()), "{line}");
        assert_eq!(world.account("south", till), "20.00");
    }
    assert_eq!(world.account("north", "alice"), "50.00", "the second 20.00 are charged to her account");
    let accused = world.ok(&["bank", "accusations", "--home", "@north"]);
    let line = &accused["accusations"][0];
    assert_eq!(line["customer"], "alice", "{accused}");
    let (id, root) = (line["id"].as_str().unwrap().to_owned(), world.root());
    let file = world.folder().join("accusation.json").to_str().unwrap().to_owned();
    world.ok(&["bank", "accusation", "--home", "@north", &id, "--out", &file]);
    world.stop_all();
    let found = world.ok(&["verify", &file, "--root", &root]);
    let named = (&found["accused"], &found["bank"], &found["account"], &found["trusted"]);
    assert_eq!(named, (&"customer".into(), &"north".into(), &line["account"], &true.into()), "{found}");
    assert_eq!(world.ok(&["verify", &file])["trusted"], false);
    world.run(&["verify", &file, "--root", &"ab".repeat(32)]).refused("WRONG_ROOT");
    // Another index, and it accuses nobody.
    let mut forged: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let index = forged["customer"]["index"].as_u64().unwrap();
    forged["customer"]["index"] = Value::from(if index == 0 { 1 } else { index - 1 });
    std::fs::write(&file, forged.to_string()).unwrap();
    world.run(&["verify", &file, "--root", &root]).refused("ACCUSATION_INVALID");
    let audit = world.audit(&["center", "north", "south", "shop", "stall", "alice", "bob"]).ok();
    assert_eq!(audit["held"], true, "{audit}");
}
