//! Cover and outages: what waits at the center, what is released together, what is returned, who is away.

use std::time::Duration;

use serde_json::{Value, json};

use crate::cheque_tools::{
    HOMES, PATIENCE, clearing, clearing_with, comes_back, give_in, is_paid, positions, register, settlement,
    stands, uncapped, write,
};
use crate::world::{World, wait_until};

/// What the center shows of a bank.
fn line(world: &World, bank: &str) -> Value {
    let positions = positions(world);
    positions["banks"].as_array().unwrap().iter().find(|line| line["bank"] == bank).unwrap().clone()
}

/// Deposits a cheque that the center cannot settle yet.
fn waits(world: &World, name: &str, file: &str) {
    let told = give_in(world, name, file).ok();
    assert_eq!(told["outcome"], "pending", "{told}");
}

#[test]
fn what_is_paid_without_cover_waits_until_there_is_cover() {
    let world = clearing_with("gross", "50.00");
    let large = write(&world, "alice", "south/shop", "80.00", "large", &[]);
    let small = write(&world, "alice", "south/bob", "20.00", "small", &[]);
    waits(&world, "shop", &large.file);
    // The second stands behind the first of its bank, although there would be cover for it.
    waits(&world, "bob", &small.file);
    assert_eq!(line(&world, "north")["queued"], "100.00");
    assert_eq!(
        (world.account("south", "shop"), world.account("south", "bob")),
        ("0.00".to_owned(), "0.00".to_owned())
    );
    assert_eq!(world.account("north", "alice"), "900.00");
    assert_eq!(register(&world, "alice", &large.number)["state"], "PAID");
    world.books_hold(&HOMES);
    let fund =
        ["center", "fund", "--home", "@center", "--bank", "north", "--amount", "30.00", "--id", "first"];
    for _ in 0..2 {
        // The same funding twice acts once: it covers the first and not the second.
        world.ok(&fund);
    }
    is_paid(&world, "shop", &large.file);
    assert_eq!(line(&world, "north")["settlement"], "0.00");
    waits(&world, "bob", &small.file);
    world.ok(&["center", "fund", "--home", "@center", "--bank", "north", "--amount", "20.00"]);
    is_paid(&world, "bob", &small.file);
    assert_eq!(
        (settlement(&world, "north"), settlement(&world, "south")),
        ("0.00".to_owned(), "150.00".to_owned())
    );
    assert_eq!(line(&world, "north")["queued"], "0.00");
    world.books_hold(&HOMES);
}

#[test]
fn banks_that_wait_for_one_another_are_released_together() {
    let mut world = clearing_with("gross", "50.00");
    world.bank("west", "CNY");
    world.wallet("claire", "west");
    world.fund("south", "bob", "300.00");
    world.fund("west", "claire", "300.00");
    crate::cheque_tools::book(&world, "bob", 5);
    crate::cheque_tools::book(&world, "claire", 5);
    let first = write(&world, "alice", "south/bob", "100.00", "first", &[]);
    let second = write(&world, "bob", "west/claire", "110.00", "second", &[]);
    let third = write(&world, "claire", "north/alice", "120.00", "third", &[]);
    waits(&world, "bob", &first.file);
    waits(&world, "claire", &second.file);
    assert_eq!(
        (line(&world, "north")["queued"].clone(), line(&world, "south")["queued"].clone()),
        (json!("100.00"), json!("110.00"))
    );
    // No bank covers what it owes, all together do.
    is_paid(&world, "alice", &third.file);
    is_paid(&world, "bob", &first.file);
    is_paid(&world, "claire", &second.file);
    let stand = ["north", "south", "west"].map(|bank| settlement(&world, bank));
    assert_eq!(stand, ["70.00", "40.00", "40.00"].map(str::to_owned));
    world.books_hold(&["center", "north", "south", "west", "shop", "alice", "bob", "claire"]);
}

#[test]
fn under_net_settlement_what_exceeds_the_cap_comes_back() {
    let world = clearing_with("net", "50.00");
    let inside = write(&world, "alice", "south/shop", "30.00", "inside", &[]);
    let above = write(&world, "alice", "south/bob", "20.01", "above", &[]);
    waits(&world, "shop", &inside.file);
    // Counted cumulatively: each alone would be covered.
    let told = give_in(&world, "bob", &above.file).ok();
    assert_eq!((&told["outcome"], &told["paid"]), (&json!("returned"), &json!(false)), "{told}");
    assert_eq!((&told["code"], &told["iso20022"]), (&json!("SETTLEMENT_FAILED"), &json!("ED05")), "{told}");
    assert_eq!(world.account("north", "alice"), "970.00");
    world.ok(&["center", "cycle", "close", "--home", "@center"]);
    let settled = world.ok(&["center", "settle", "--home", "@center"]);
    assert_eq!((&settled["cycles"][0]["items"], &settled["cycles"][0]["unwound"]), (&json!(1), &json!(0)));
    is_paid(&world, "shop", &inside.file);
    // With cover it may come again: that was no attempt.
    world.ok(&["center", "fund", "--home", "@center", "--bank", "north", "--amount", "0.01"]);
    waits(&world, "bob", &above.file);
    world.ok(&["center", "cycle", "close", "--home", "@center"]);
    world.ok(&["center", "settle", "--home", "@center"]);
    is_paid(&world, "bob", &above.file);
    assert_eq!(
        (settlement(&world, "north"), settlement(&world, "south")),
        ("0.00".to_owned(), "100.01".to_owned())
    );
    world.books_hold(&HOMES);
}

#[test]
fn without_caps_a_bank_that_cannot_pay_has_its_last_items_unwound() {
    let world = uncapped("50.00");
    let first = write(&world, "alice", "south/shop", "40.00", "first", &[]);
    let last = write(&world, "alice", "south/bob", "80.00", "last", &[]);
    waits(&world, "shop", &first.file);
    waits(&world, "bob", &last.file);
    assert_eq!(world.account("north", "alice"), "880.00", "both are paid");
    world.ok(&["center", "cycle", "close", "--home", "@center"]);
    let settled = world.ok(&["center", "settle", "--home", "@center"]);
    assert_eq!((&settled["cycles"][0]["items"], &settled["cycles"][0]["unwound"]), (&json!(1), &json!(1)));
    is_paid(&world, "shop", &first.file);
    comes_back(&world, "bob", &last.file, "SETTLEMENT_FAILED", "ED05");
    assert_eq!(world.account("north", "alice"), "960.00", "the drawer has the money back");
    assert_eq!(world.account("south", "bob"), "0.00");
    assert_eq!(settlement(&world, "north"), "10.00");
    assert_eq!(register(&world, "alice", &last.number)["state"], "RETURNED");
    world.books_hold(&HOMES);
    // It may come again.
    world.ok(&["center", "fund", "--home", "@center", "--bank", "north", "--amount", "70.00"]);
    waits(&world, "bob", &last.file);
    world.ok(&["center", "cycle", "close", "--home", "@center"]);
    world.ok(&["center", "settle", "--home", "@center"]);
    is_paid(&world, "bob", &last.file);
    assert_eq!(
        (world.account("north", "alice"), world.account("south", "bob")),
        ("880.00".to_owned(), "80.00".to_owned())
    );
    assert_eq!(settlement(&world, "north"), "0.00");
    world.books_hold(&HOMES);
}

/// The shop's list says that it is paid, without anybody asking again.
fn ends_by_itself(world: &World) {
    let paid = wait_until(PATIENCE, || {
        let listed = world.ok(&["merchant", "cheque", "list", "--home", "@shop"]);
        (listed["cheques"][0]["outcome"] == "paid").then_some(())
    });
    assert!(paid.is_some(), "{}\n{}", world.log("shop"), world.log("south"));
}

#[test]
fn whoever_is_away_the_deposit_ends_when_it_is_back() {
    let mut world = clearing("gross");
    for (count, away) in ["north", "center", "south"].into_iter().enumerate() {
        let cheque = write(&world, "alice", "south/shop", "10.00", away, &[]);
        world.kill(away);
        // Away are: who would pay, who would clear, who would collect.
        let told = world.run(&["merchant", "cheque", "deposit", "--home", "@shop", &cheque.file]);
        assert_ne!(told.value["outcome"], "paid", "{away}: {}", told.value);
        assert_ne!(told.value["outcome"], "returned", "{away}: {}", told.value);
        if told.exit == Some(0) {
            assert_eq!(
                (&told.value["outcome"], &told.value["paid"]),
                (&json!("pending"), &json!(false)),
                "{away}"
            );
        } else {
            assert!(["UNAVAILABLE", "NODE_UNREACHABLE"].contains(&told.code()), "{away}: {}", told.value);
            assert_eq!(told.exit, Some(3), "{away}");
        }
        std::thread::sleep(Duration::from_millis(300));
        world.start(away);
        is_paid(&world, "shop", &cheque.file);
        ends_by_itself(&world);
        stands(&world, "alice", &cheque.number, "SETTLED");
        let credited = format!("{}0.00", count + 1);
        assert_eq!(world.account("south", "shop"), credited);
    }
    world.books_hold(&HOMES);
}

#[test]
fn the_merchant_goes_on_by_itself_after_a_restart() {
    let mut world = clearing("net");
    let cheque = write(&world, "alice", "south/shop", "10.00", "cheque", &[]);
    waits(&world, "shop", &cheque.file);
    world.kill("shop");
    world.ok(&["center", "cycle", "close", "--home", "@center"]);
    world.ok(&["center", "settle", "--home", "@center"]);
    world.start("shop");
    ends_by_itself(&world);
    world.books_hold(&HOMES);
}
