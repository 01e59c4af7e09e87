//! The nodes started one by one with the commands of the guide.

use std::time::Duration;

use crate::world::{World, wait_until};

const ALL: [&str; 6] = ["center", "north", "south", "shop", "alice", "bob"];

/// The shop's account, within a while: deposits may become final in the background.
fn shop_gets(world: &World, amount: &str) {
    let got =
        wait_until(Duration::from_secs(20), || (world.account("south", "shop") == amount).then_some(()));
    assert!(got.is_some(), "{} instead of {amount}", world.account("south", "shop"));
}

#[test]
fn six_nodes_withdraw_pay_refund_pass_on_and_deposit() {
    let mut world = World::shopping("50.00");
    world.holds("alice", "50.00");
    assert_eq!(world.account("north", "alice"), "50.00");
    let uri = world.request("12.50", "A-1");
    assert!(uri.starts_with("feiqian:") && uri.len() <= 1500, "{uri}");
    let paid = world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
    assert_eq!((&paid["outcome"], &paid["amount"]), (&"paid".into(), &"12.50".into()), "{paid}");
    assert_eq!(paid["payment"].as_str().unwrap().len(), 64);
    let again = world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
    assert_eq!(again["payment"], paid["payment"], "the same request is paid once");
    world.holds("alice", "37.50");
    shop_gets(&world, "12.50");
    world.ok(&["merchant", "refund", "--home", "@shop", "--order", "A-1", "--amount", "2.00"]);
    let refunded = wait_until(Duration::from_secs(20), || {
        world.ok(&["wallet", "refresh", "--home", "@alice"]);
        (world.balance("alice")["balance"] == "39.50").then_some(())
    });
    assert!(refunded.is_some(), "{}", world.balance("alice"));
    world
        .run(&["merchant", "refund", "--home", "@shop", "--order", "A-1", "--amount", "11.00"])
        .refused("REFUND_EXCEEDED");
    let uri = world.ok(&["wallet", "request", "--home", "@bob", "5.00"])["uri"].as_str().unwrap().to_owned();
    let paid = world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
    assert_eq!(paid["outcome"], "delivered", "{paid}");
    world.ok(&["wallet", "receive", "--home", "@bob"]);
    world.holds("bob", "5.00");
    world.ok(&["wallet", "deposit", "--home", "@bob", "4.00"]);
    world.holds("bob", "1.00");
    assert_eq!(world.account("north", "bob"), "4.00");
    world.holds("alice", "34.50");
    world.books_hold(&ALL);
    // The same after everybody was stopped and started again, and with nobody running.
    world.stop_all();
    world.books_hold(&ALL);
    for name in ["north", "shop", "center", "south", "alice"] {
        world.start(name);
    }
    let uri = world.request("1.00", "A-2");
    let paid = wait_until(Duration::from_secs(20), || {
        let answer = world.run(&["wallet", "pay", "--home", "@alice", &uri]);
        (answer.value["outcome"] == "paid").then_some(())
    });
    assert!(paid.is_some());
    world.holds("alice", "33.50");
    let orders = world.ok(&["merchant", "orders", "--home", "@shop"]);
    assert_eq!(orders["orders"].as_array().unwrap().len(), 2, "{orders}");
    assert!(!world.ok(&["wallet", "history", "--home", "@alice"])["history"].as_array().unwrap().is_empty());
    world.books_hold(&ALL);
}

#[test]
fn a_payment_goes_by_hand_as_a_file() {
    let world = World::shopping("10.00");
    let uri = world.ok(&["wallet", "request", "--home", "@bob", "3.00"])["uri"].as_str().unwrap().to_owned();
    let file = world.folder().join("payment.fq");
    let file = file.to_str().unwrap();
    let paid = world.ok(&["wallet", "pay", "--home", "@alice", &uri, "--out", file]);
    assert_eq!(paid["outcome"], "delivered", "{paid}");
    world.ok(&["wallet", "receive", "--home", "@bob", file]);
    world.holds("bob", "3.00");
    world.holds("alice", "7.00");
    world.ok(&["wallet", "receive", "--home", "@bob", file]);
    world.holds("bob", "3.00");
    world.books_hold(&ALL);
}

#[test]
fn invited_banks_only_and_operators_commands() {
    let mut world = World::empty();
    world.ok(&["center", "init", "--home", "@center", "--name", "center", "--admission", "code"]);
    world.start("center");
    let center = world.url("center");
    let init = ["bank", "init", "--home", "@north", "--name", "north", "--center", &center];
    assert_ne!(world.run(&init).exit, Some(0), "nobody is admitted without an invitation");
    let code = world.ok(&["center", "invite", "--home", "@center", "--bank", "north"]);
    let code = code["code"].as_str().unwrap().to_owned();
    let with_code: Vec<&str> = init.into_iter().chain(["--code", &code]).collect();
    world.ok(&with_code);
    world.start("north");
    for _ in 0..2 {
        let fund =
            ["center", "fund", "--home", "@center", "--bank", "north", "--amount", "5.00", "--id", "x"];
        world.ok(&fund);
    }
    let positions = world.ok(&["center", "positions", "--home", "@center"]);
    assert_eq!(positions["banks"][0]["settlement"], "1000005.00", "{positions}");
    world.enrol("north", "dora", "customer");
    world.fund("north", "dora", "7.00");
    world.ok(&["bank", "account", "payout", "--home", "@north", "--name", "dora", "--amount", "2.00"]);
    assert_eq!(world.account("north", "dora"), "5.00");
    world
        .run(&["bank", "account", "payout", "--home", "@north", "--name", "dora", "--amount", "9.00"])
        .refused("INSUFFICIENT_FUNDS");
    assert_ne!(world.run(&["bank", "account", "close", "--home", "@north", "--name", "dora"]).exit, Some(0));
    world.ok(&["bank", "account", "payout", "--home", "@north", "--name", "dora", "--amount", "5.00"]);
    world.ok(&["bank", "account", "close", "--home", "@north", "--name", "dora"]);
    for status in [["center", "status", "--home", "@center"], ["bank", "status", "--home", "@north"]] {
        world.ok(&status);
    }
    let held = wait_until(Duration::from_secs(40), || {
        (world.audit(&["center", "north"]).value["held"] == true).then_some(())
    });
    assert!(held.is_some(), "{}", world.audit(&["center", "north"]).value);
}

#[test]
fn a_bank_that_has_just_joined_is_believed_at_once() {
    let mut world = World::empty();
    world.ok(&["center", "init", "--home", "@center", "--name", "center"]);
    world.start("center");
    world.bank("north", "CNY");
    world.wallet("alice", "north");
    world.fund("north", "alice", "10.00");
    world.ok(&["wallet", "withdraw", "--home", "@alice", "10.00"]);
    world.bank("south", "CNY");
    world.shop();
    let uri = world.request("1.00", "A-1");
    let paid = wait_until(Duration::from_secs(20), || {
        (world.run(&["wallet", "pay", "--home", "@alice", &uri]).value["outcome"] == "paid").then_some(())
    });
    assert!(paid.is_some(), "{}", world.run(&["wallet", "pay", "--home", "@alice", &uri]).value);
}
