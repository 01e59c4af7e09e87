//! The four steps of a cheque across two banks, under gross and under net settlement, and every way back.

use serde_json::{Value, json};

use crate::cheque_tools::{
    HOMES, altered, clearing, comes_back, deposit, give_in, is_paid, order, patient, positions, register,
    settlement, stands, write,
};
use crate::world::{World, wait_until, words};

/// What the center says of a cheque.
fn verdict(world: &World, file: &str) -> Value {
    patient(world, &["merchant", "cheque", "verify", "--home", "@shop", file]).ok()
}

#[test]
fn four_steps_settled_at_once() {
    let mut world = clearing("gross");
    // The drawer signs and gives notice; the bank countersigns.
    let cheque = write(&world, "alice", "south/shop", "250.00", "rent", &["--memo", "rent"]);
    assert_eq!(register(&world, "alice", &cheque.number)["state"], "ISSUED");
    assert_eq!(world.account("north", "alice"), "1000.00", "writing moves nothing");
    // The payee asks the center.
    let good = verdict(&world, &cheque.file);
    assert_eq!((&good["good"], &good["register"]), (&json!(true), &json!("ISSUED")), "{good}");
    assert_eq!(
        (&good["amount"], &good["drawee"], &good["payee"]),
        (&json!("250.00"), &json!("north"), &json!("shop"))
    );
    assert_eq!(good["cheque"], cheque.id.as_str());
    // It is collected, paid, and credited.
    is_paid(&world, "shop", &cheque.file);
    stands(&world, "alice", &cheque.number, "SETTLED");
    assert_eq!(
        (world.account("north", "alice"), world.account("south", "shop")),
        ("750.00".to_owned(), "250.00".to_owned())
    );
    assert_eq!(
        (settlement(&world, "north"), settlement(&world, "south")),
        ("999750.00".to_owned(), "1000250.00".to_owned())
    );
    let listed = world.ok(&["merchant", "cheque", "list", "--home", "@shop"]);
    assert_eq!(listed["cheques"][0]["outcome"], "paid", "{listed}");
    // The same payee asks again: the same answer, and nothing moves.
    is_paid(&world, "shop", &cheque.file);
    assert_eq!(world.account("south", "shop"), "250.00");
    assert_eq!(verdict(&world, &cheque.file)["register"], "SETTLED");
    // Nobody else gets it.
    give_in(&world, "bob", &cheque.file).refused("FORBIDDEN");
    world.books_hold(&HOMES);
    world.stop_all();
    world.books_hold(&HOMES);
}

/// The cycle of `positions` in this state.
fn cycle(positions: &Value, state: &str) -> Option<Value> {
    positions["cycles"].as_array().unwrap().iter().find(|cycle| cycle["state"] == state).cloned()
}

#[test]
fn four_steps_settled_by_net_positions() {
    let mut world = clearing("net");
    world.fund("south", "bob", "500.00");
    crate::cheque_tools::book(&world, "bob", 5);
    let rent = write(&world, "alice", "south/shop", "250.00", "rent", &[]);
    let back = write(&world, "bob", "north/alice", "100.25", "back", &[]);
    for (payee, file) in [("shop", &rent.file), ("alice", &back.file)] {
        let told = give_in(&world, payee, file).ok();
        assert_eq!((&told["outcome"], &told["paid"]), (&json!("pending"), &json!(true)), "{told}");
        let again = give_in(&world, payee, file).ok();
        assert_eq!(again, told, "the same deposit has the same answer");
    }
    // The drawers have paid, no payee has anything yet, and no bank has either.
    assert_eq!(
        (world.account("north", "alice"), world.account("south", "bob")),
        ("750.00".to_owned(), "399.75".to_owned())
    );
    assert_eq!(world.account("south", "shop"), "0.00");
    assert_eq!(settlement(&world, "north"), "1000000.00");
    assert_eq!(register(&world, "alice", &rent.number)["state"], "PAID");
    let open = cycle(&positions(&world), "open").unwrap();
    assert_eq!((&open["net"]["north"], &open["net"]["south"]), (&json!("-14975"), &json!("14975")), "{open}");
    assert_eq!((&open["sum"], &open["items"]), (&json!("0"), &json!(2)), "{open}");
    world.books_hold(&HOMES);
    // Settling settles only what is closed.
    assert_eq!(world.ok(&["center", "settle", "--home", "@center"])["cycles"], json!([]));
    let closed = world.ok(&["center", "cycle", "close", "--home", "@center"]);
    assert_eq!((&closed["cycles"][0]["sum"], &closed["cycles"][0]["state"]), (&json!("0"), &json!("closed")));
    // What comes later is in the next cycle, and stays pending when the first is final.
    let late = write(&world, "alice", "south/bob", "5.00", "late", &[]);
    assert_eq!(give_in(&world, "bob", &late.file).ok()["outcome"], "pending");
    assert_eq!(cycle(&positions(&world), "open").unwrap()["items"], 1);
    let settled = world.ok(&["center", "settle", "--home", "@center"]);
    assert_eq!((&settled["cycles"][0]["items"], &settled["cycles"][0]["unwound"]), (&json!(2), &json!(0)));
    is_paid(&world, "shop", &rent.file);
    is_paid(&world, "alice", &back.file);
    assert_eq!(
        (world.account("south", "shop"), world.account("north", "alice")),
        ("250.00".to_owned(), "845.25".to_owned())
    );
    assert_eq!(
        (settlement(&world, "north"), settlement(&world, "south")),
        ("999850.25".to_owned(), "1000149.75".to_owned())
    );
    stands(&world, "alice", &rent.number, "SETTLED");
    assert_eq!(give_in(&world, "bob", &late.file).ok()["outcome"], "pending", "its cycle is open");
    world.books_hold(&HOMES);
    world.ok(&["center", "cycle", "close", "--home", "@center"]);
    world.ok(&["center", "settle", "--home", "@center"]);
    is_paid(&world, "bob", &late.file);
    assert_eq!(positions(&world)["cycles"], json!([]));
    // Nothing was paid since: there is nothing to close.
    assert_eq!(world.ok(&["center", "cycle", "close", "--home", "@center"])["cycles"], json!([]));
    world.books_hold(&HOMES);
    world.stop_all();
    world.books_hold(&HOMES);
}

#[test]
fn inside_one_bank_it_is_final_at_once_and_nothing_is_booked_at_the_center() {
    for settlement_of in ["gross", "net"] {
        let world = clearing(settlement_of);
        world.wallet("carol", "north");
        let cheque = write(&world, "alice", "north/carol", "70.00", "cheque", &[]);
        let told = give_in(&world, "carol", &cheque.file).ok();
        assert_eq!(told["outcome"], "paid", "{told}");
        assert_eq!(
            (world.account("north", "alice"), world.account("north", "carol")),
            ("930.00".to_owned(), "70.00".to_owned())
        );
        assert_eq!(register(&world, "alice", &cheque.number)["state"], "SETTLED");
        assert_eq!(positions(&world)["cycles"], json!([]));
        assert_eq!(settlement(&world, "north"), "1000000.00");
        world.books_hold(&["center", "north", "south", "shop", "alice", "bob", "carol"]);
    }
}

#[test]
fn for_want_of_funds_it_bounces_twice_and_no_third_time() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/shop", "1000.01", "bounce", &[]);
    comes_back(&world, "shop", &cheque.file, "INSUFFICIENT_FUNDS", "AM04");
    assert_eq!(register(&world, "alice", &cheque.number)["code"], "INSUFFICIENT_FUNDS");
    assert_eq!(register(&world, "alice", &cheque.number)["state"], "RETURNED");
    assert_eq!(world.account("north", "alice"), "1000.00");
    // With funds, the second attempt is good.
    world.fund("north", "alice", "0.01");
    is_paid(&world, "shop", &cheque.file);
    assert_eq!(
        (world.account("north", "alice"), world.account("south", "shop")),
        ("0.00".to_owned(), "1000.01".to_owned())
    );
    let other = write(&world, "alice", "south/bob", "3.00", "other", &[]);
    comes_back(&world, "bob", &other.file, "INSUFFICIENT_FUNDS", "AM04");
    comes_back(&world, "bob", &other.file, "INSUFFICIENT_FUNDS", "AM04");
    assert_eq!(register(&world, "alice", &other.number)["state"], "DISHONOURED");
    world.fund("north", "alice", "10.00");
    let told = deposit(&world, "bob", &other.file);
    assert_eq!((&told["outcome"], &told["paid"]), (&json!("returned"), &json!(false)), "{told}");
    assert_eq!(register(&world, "alice", &other.number)["state"], "DISHONOURED");
    assert_eq!(
        (world.account("north", "alice"), world.account("south", "bob")),
        ("10.00".to_owned(), "0.00".to_owned())
    );
    world.books_hold(&HOMES);
}

#[test]
fn sent_to_the_payees_box_and_taken_once() {
    let world = clearing("gross");
    let home =
        ["wallet", "cheque", "write", "--home", "@alice", "--to", "south/bob", "--amount", "20.00", "--send"];
    let written = patient(&world, &home).ok();
    assert_eq!((&written["sent"], &written["file"]), (&json!(true), &Value::Null), "{written}");
    let inbox = ["wallet", "cheque", "inbox", "--home", "@bob", "--into", "@letters"];
    let taken = patient(&world, &inbox).ok();
    assert_eq!(
        (&taken["cheques"][0]["good"], &taken["cheques"][0]["payee"]),
        (&json!(true), &json!("bob")),
        "{taken}"
    );
    let file = taken["cheques"][0]["file"].as_str().unwrap().to_owned();
    assert_eq!(patient(&world, &inbox).ok()["cheques"], json!([]), "the box is empty now");
    let listed = world.ok(&["wallet", "cheque", "list", "--home", "@bob"]);
    assert_eq!(listed["received"][0]["state"], "held", "{listed}");
    is_paid(&world, "bob", &file);
    let listed = world.ok(&["wallet", "cheque", "list", "--home", "@bob"]);
    assert_eq!(listed["received"][0]["state"], "paid", "{listed}");
    assert_eq!(world.account("south", "bob"), "20.00");
    world.books_hold(&HOMES);
}

#[test]
fn of_two_presentments_at_the_same_instant_one_is_paid() {
    let world = clearing("gross");
    // The payee's wallet was copied: one presents the cheque, the other the certified one, which is another item.
    let cheque = write(&world, "alice", "south/bob", "60.00", "plain", &[]);
    let certified = ["--out", "@certified.json"];
    order(&world, "certify", &cheque.number, &certified).ok();
    crate::races::copy(&world.home("bob"), &world.home("robber"));
    let commands = vec![
        vec!["wallet", "cheque", "deposit", "--home", "@bob", "@plain.json"],
        vec!["wallet", "cheque", "deposit", "--home", "@robber", "@certified.json"],
    ];
    world.at_once(&commands);
    let ended = [deposit(&world, "bob", "@plain.json"), deposit(&world, "robber", "@certified.json")];
    let paid: Vec<&Value> = ended.iter().filter(|told| told["outcome"] == "paid").collect();
    let lost: Vec<&Value> = ended.iter().filter(|told| told["code"] == "DUPLICATE").collect();
    assert_eq!((paid.len(), lost.len()), (1, 1), "{ended:?}");
    assert_eq!(lost[0]["iso20022"], "AM05");
    assert_eq!(
        (world.account("north", "alice"), world.account("south", "bob")),
        ("940.00".to_owned(), "60.00".to_owned())
    );
    world.books_hold(&HOMES);
}

#[test]
fn two_banks_present_one_negotiable_cheque_at_the_same_instant() {
    let mut world = clearing("gross");
    world.bank("west", "CNY");
    world.wallet("claire", "west");
    let homes = ["center", "north", "south", "west", "shop", "alice", "bob", "claire"];
    let cheque = write(&world, "alice", "south/bob", "80.00", "given", &["--negotiable"]);
    let endorse = words("wallet cheque endorse --home @bob @given.json --to west/claire --out @passed.json");
    // Bob keeps a copy of his wallet from before he passed the cheque on.
    let copied = give_copy(&world);
    patient(&world, &endorse).ok();
    let commands = vec![
        vec!["wallet", "cheque", "deposit", "--home", "@robber", &cheque.file],
        vec!["wallet", "cheque", "deposit", "--home", "@claire", "@passed.json"],
    ];
    world.at_once(&commands);
    is_paid(&world, "claire", "@passed.json");
    let told = deposit(&world, copied, &cheque.file);
    assert_eq!(told["outcome"], "returned", "{told}");
    assert!(["DUPLICATE", "NOT_TRANSFERABLE"].contains(&told["code"].as_str().unwrap()), "{told}");
    // When it is paid, the file without the endorsement is a duplicate for everybody.
    assert_eq!(
        (world.account("west", "claire"), world.account("south", "bob")),
        ("80.00".to_owned(), "0.00".to_owned())
    );
    assert_eq!(world.account("north", "alice"), "920.00");
    world.books_hold(&homes);
}

fn give_copy(world: &World) -> &'static str {
    crate::races::copy(&world.home("bob"), &world.home("robber"));
    "robber"
}

#[test]
fn a_negotiable_cheque_changes_hands_and_only_the_last_holder_is_paid() {
    let world = clearing("gross");
    let endorse = |file: &str, out: &str| {
        let arguments =
            ["wallet", "cheque", "endorse", "--home", "@bob", file, "--to", "south/shop", "--out", out];
        patient(&world, &arguments)
    };
    let payee_only = write(&world, "alice", "south/bob", "1.00", "crossed", &[]);
    let refused = endorse(&payee_only.file, "@never.json");
    assert_eq!(refused.exit, Some(1), "{}", refused.value);
    assert!(!world.home("never.json").exists());
    let cheque = write(&world, "alice", "south/bob", "25.00", "given", &["--negotiable"]);
    let told = endorse(&cheque.file, "@passed.json").ok();
    assert_eq!(told["holder"], "shop", "{told}");
    // The register knows who holds it, whatever a file says.
    comes_back(&world, "bob", &cheque.file, "NOT_TRANSFERABLE", "BE01");
    // Blocks taken out or put in another order are no cheque any more.
    let shorter = altered(&world, "@passed.json", "shorter.json", |file| {
        file["blocks"].as_array_mut().unwrap().remove(1);
    });
    let swapped = altered(&world, "@passed.json", "swapped.json", |file| {
        file["blocks"].as_array_mut().unwrap().swap(1, 2);
    });
    for file in [shorter, swapped] {
        let refused = give_in(&world, "shop", &file);
        assert_eq!(refused.exit, Some(1), "{}", refused.value);
    }
    is_paid(&world, "shop", "@passed.json");
    assert_eq!(
        (world.account("south", "shop"), world.account("south", "bob")),
        ("25.00".to_owned(), "0.00".to_owned())
    );
    let listed = world.ok(&["wallet", "cheque", "list", "--home", "@bob"]);
    let received = listed["received"].as_array().unwrap();
    assert!(received.iter().any(|line| line["cheque"] == cheque.id.as_str()), "{listed}");
    world.books_hold(&HOMES);
}

#[test]
fn the_payee_named_by_certificate() {
    let world = clearing("gross");
    let certificate = world.home("bob").join("keys").join("signing.chain.pem");
    let cheque = write(&world, "alice", certificate.to_str().unwrap(), "12.00", "named", &[]);
    give_in(&world, "shop", &cheque.file).refused("FORBIDDEN");
    is_paid(&world, "bob", &cheque.file);
    assert_eq!(world.account("south", "bob"), "12.00");
    world.books_hold(&HOMES);
}

#[test]
fn a_wallet_that_runs_asks_for_its_deposits_itself() {
    let mut world = clearing("net");
    let cheque = write(&world, "alice", "south/bob", "30.00", "cheque", &[]);
    world.start("bob");
    assert_eq!(give_in(&world, "bob", &cheque.file).ok()["outcome"], "pending");
    world.ok(&["center", "cycle", "close", "--home", "@center"]);
    world.ok(&["center", "settle", "--home", "@center"]);
    let seen = wait_until(crate::cheque_tools::PATIENCE, || {
        let listed = world.ok(&["wallet", "cheque", "list", "--home", "@bob"]);
        (listed["received"][0]["state"] == "paid").then_some(())
    });
    assert!(seen.is_some(), "{}", world.log("bob"));
    world.stop("bob");
    world.books_hold(&HOMES);
}
