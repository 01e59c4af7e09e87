//! What the tests about cheques share: a world of two banks with people who have cheque books, and their commands.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::world::{Answer, World, wait_until};

/// How long the center may take to gather the banks' revocation lists, and to settle.
pub(crate) const PATIENCE: Duration = Duration::from_secs(75);

/// Banks north and south under this settlement; Alice at north with 1000.00 and leaves 1 to 20, Bob at south with
/// nothing, and a shop at south.
pub(crate) fn clearing(settlement: &str) -> World {
    clearing_with(settlement, "1000000.00")
}

/// The same, each bank with so much at the center.
pub(crate) fn clearing_with(settlement: &str, funds: &str) -> World {
    let mut world = World::banks_under(settlement, funds);
    world.shop();
    world.wallet("alice", "north");
    world.wallet("bob", "south");
    world.fund("north", "alice", "1000.00");
    book(&world, "alice", 20);
    world
}

/// Under net settlement, each bank with so much at the center, which lets them owe more than that.
pub(crate) fn uncapped(funds: &str) -> World {
    let mut world = clearing_with("net", funds);
    world.stop("center");
    let config = world.home("center").join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let free = text.replace("caps = \"prefunded\"", "caps = \"none\"");
    assert_ne!(free, text, "the caps are in the settings");
    std::fs::write(&config, free).unwrap();
    world.start("center");
    world
}

pub(crate) const HOMES: [&str; 6] = ["center", "north", "south", "shop", "alice", "bob"];

pub(crate) fn book(world: &World, name: &str, leaves: u16) {
    let (home, wanted) = (format!("@{name}"), leaves.to_string());
    let book = world.ok(&["wallet", "cheque", "book", "--home", &home, "--leaves", &wanted]);
    assert_eq!((&book["first"], &book["leaves"]), (&json!(1), &json!(leaves)), "{book}");
}

/// Runs it again and again while the revocation lists are not there yet.
pub(crate) fn patient(world: &World, arguments: &[&str]) -> Answer {
    let unjudged = |answer: &Answer| ["UNAVAILABLE", "NODE_UNREACHABLE"].contains(&answer.code());
    wait_until(PATIENCE, || Some(world.run(arguments)).filter(|answer| !unjudged(answer)))
        .unwrap_or_else(|| world.run(arguments))
}

/// A cheque that was written: its number, its id, and its file as an argument.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) number: String,
    pub(crate) id: String,
    pub(crate) file: String,
}

impl Written {
    pub(crate) fn path(&self, world: &World) -> PathBuf {
        world.home(self.file.trim_start_matches('@'))
    }
}

/// Writes a cheque; the file is named after `file`.
pub(crate) fn write(world: &World, from: &str, to: &str, amount: &str, file: &str, more: &[&str]) -> Written {
    let (home, file) = (format!("@{from}"), format!("@{file}.json"));
    let mut arguments =
        vec!["wallet", "cheque", "write", "--home", &home, "--to", to, "--amount", amount, "--out", &file];
    arguments.extend(more);
    let written = patient(world, &arguments).ok();
    let state = if more.contains(&"--certify") { "CERTIFIED" } else { "ISSUED" };
    assert_eq!(written["state"], state, "{written}");
    assert_eq!((&written["amount"], &written["complete"]), (&json!(amount), &json!(true)), "{written}");
    Written {
        number: written["number"].to_string(),
        id: written["cheque"].as_str().unwrap().to_owned(),
        file,
    }
}

/// Gives a cheque to the bank of `name`, once.
pub(crate) fn give_in(world: &World, name: &str, file: &str) -> Answer {
    let home = format!("@{name}");
    patient(world, &[crate::world::role(name), "cheque", "deposit", "--home", &home, file])
}

/// Gives a cheque to the bank of `name` until it is final.
pub(crate) fn deposit(world: &World, name: &str, file: &str) -> Value {
    let ended = wait_until(PATIENCE, || {
        Some(give_in(world, name, file).ok()).filter(|told| told["outcome"] != "pending")
    });
    ended.unwrap_or_else(|| panic!("{name} waits for {file} for ever: {}", world.log("center")))
}

/// It is paid, and the money is there.
pub(crate) fn is_paid(world: &World, name: &str, file: &str) {
    let told = deposit(world, name, file);
    assert_eq!((&told["outcome"], &told["paid"]), (&json!("paid"), &json!(true)), "{told}");
    assert_eq!(told["code"], Value::Null, "{told}");
}

/// It comes back with this code, which ISO 20022 calls so.
pub(crate) fn comes_back(world: &World, name: &str, file: &str, code: &str, iso20022: &str) {
    let told = deposit(world, name, file);
    assert_eq!((&told["outcome"], &told["paid"]), (&json!("returned"), &json!(false)), "{told}");
    assert_eq!((&told["code"], &told["iso20022"]), (&json!(code), &json!(iso20022)), "{told}");
}

/// What the drawee's register says of a cheque, as its drawer sees it.
pub(crate) fn register(world: &World, drawer: &str, number: &str) -> Value {
    let listed = world.ok(&["wallet", "cheque", "list", "--home", &format!("@{drawer}")]);
    assert_eq!(listed["register"], "current", "{listed}");
    let cheques = listed["cheques"].as_array().unwrap();
    let found = cheques.iter().find(|cheque| cheque["number"].as_u64() == number.parse().ok());
    found.unwrap_or_else(|| panic!("no cheque {number}: {listed}")).clone()
}

/// The register says this, within a while: word of the settlement comes in the background.
pub(crate) fn stands(world: &World, drawer: &str, number: &str, state: &str) {
    let stood = wait_until(PATIENCE, || (register(world, drawer, number)["state"] == state).then_some(()));
    assert!(stood.is_some(), "{} instead of {state}", register(world, drawer, number));
}

/// Stop, unstop, void or certify.
pub(crate) fn order(world: &World, what: &str, number: &str, more: &[&str]) -> Answer {
    let mut arguments = vec!["wallet", "cheque", what, "--home", "@alice", number];
    arguments.extend(more);
    patient(world, &arguments)
}

pub(crate) fn positions(world: &World) -> Value {
    world.ok(&["center", "positions", "--home", "@center"])
}

/// What a bank has at the center, posted.
pub(crate) fn settlement(world: &World, bank: &str) -> String {
    let positions = positions(world);
    let found = positions["banks"].as_array().unwrap().iter().find(|line| line["bank"] == bank).unwrap();
    found["settlement"].as_str().unwrap().to_owned()
}

/// A file changed by `change`, under another name; answers the argument for it.
pub(crate) fn altered(world: &World, file: &str, name: &str, change: impl FnOnce(&mut Value)) -> String {
    let text = std::fs::read_to_string(world.home(file.trim_start_matches('@'))).unwrap();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    change(&mut value);
    // Members stay in their order, and no space is added: what is wrong is only what was changed.
    std::fs::write(world.home(name), value.to_string()).unwrap();
    format!("@{name}")
}
