//! Credit transfers between accounts: across banks, inside one, and to nobody.

use serde_json::{Value, json};

use crate::cheque_tools::{HOMES, clearing, positions, settlement};
use crate::world::{Answer, World};

fn transfer(world: &World, to: &str, amount: &str, more: &[&str]) -> Answer {
    let mut arguments = vec!["wallet", "transfer", "--home", "@alice", "--to", to, "--amount", amount];
    arguments.extend(more);
    world.run(&arguments)
}

/// The movements on an account.
fn entries(world: &World, bank: &str, name: &str) -> Vec<Value> {
    let home = format!("@{bank}");
    let statement = world.ok(&["bank", "statement", "--home", &home, "--name", name]);
    statement["lines"].as_array().unwrap_or_else(|| panic!("{statement}")).clone()
}

#[test]
fn credited_across_banks_at_once_under_both_settlements() {
    for mode in ["gross", "net"] {
        let mut world = clearing(mode);
        let told = transfer(&world, "south/bob", "30.00", &["--memo", "books"]).ok();
        assert_eq!((&told["outcome"], &told["code"]), (&json!("booked"), &Value::Null), "{told}");
        assert_eq!(world.account("north", "alice"), "970.00");
        assert_eq!(world.account("south", "bob"), "30.00");
        assert_eq!(
            (settlement(&world, "north"), settlement(&world, "south")),
            ("999970.00".to_owned(), "1000030.00".to_owned())
        );
        assert_eq!(positions(&world)["cycles"], json!([]), "a transfer is covered and final");
        // The same words again are another transfer.
        let again = transfer(&world, "south/bob", "30.00", &["--memo", "books"]).ok();
        assert_ne!(again["transfer"], told["transfer"]);
        assert_eq!(world.account("south", "bob"), "60.00");
        // Both customers find it in their statements.
        let (out, r#in) = (entries(&world, "north", "alice"), entries(&world, "south", "bob"));
        assert_eq!(
            out.iter().filter(|it| it["side"] == "debit" && it["amount"] == "30.00").count(),
            2,
            "{out:?}"
        );
        assert_eq!(
            r#in.iter().filter(|it| it["side"] == "credit" && it["amount"] == "30.00").count(),
            2,
            "{:?}",
            r#in
        );
        world.books_hold(&HOMES);
        world.stop_all();
        world.books_hold(&HOMES);
    }
}

#[test]
fn an_unknown_beneficiary_comes_back_with_a_code() {
    let world = clearing("gross");
    let nobody = format!("south/{:032x}", 1);
    let told = transfer(&world, &nobody, "3.00", &[]).ok();
    assert_eq!(
        (&told["outcome"], &told["code"], &told["iso20022"]),
        (&json!("returned"), &json!("ACCOUNT_UNKNOWN"), &json!("AC01")),
        "{told}"
    );
    assert_eq!(world.account("north", "alice"), "1000.00");
    assert_eq!(
        (settlement(&world, "north"), settlement(&world, "south")),
        ("1000000.00".to_owned(), "1000000.00".to_owned())
    );
    transfer(&world, "south/nobody", "3.00", &[]).refused("ACCOUNT_UNKNOWN");
    let refused = transfer(&world, "east/bob", "3.00", &[]);
    assert_eq!(refused.exit, Some(1), "{}", refused.value);
    world.ok(&["bank", "account", "close", "--home", "@south", "--name", "bob"]);
    let closed = transfer(&world, "south/bob", "3.00", &[]);
    assert_ne!(closed.value["outcome"], "booked", "{}", closed.value);
    assert_eq!(world.account("north", "alice"), "1000.00");
    world.books_hold(&HOMES);
}

#[test]
fn inside_one_bank_it_is_a_plain_transfer() {
    let world = clearing("gross");
    world.wallet("carol", "north");
    let told = transfer(&world, "north/carol", "1000.00", &[]).ok();
    assert_eq!(told["outcome"], "booked", "{told}");
    assert_eq!(
        (world.account("north", "alice"), world.account("north", "carol")),
        ("0.00".to_owned(), "1000.00".to_owned())
    );
    assert_eq!(settlement(&world, "north"), "1000000.00");
    transfer(&world, "south/bob", "0.01", &[]).refused("INSUFFICIENT_FUNDS");
    transfer(&world, "north/carol", "0.01", &[]).refused("INSUFFICIENT_FUNDS");
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob", "carol"]);
}

#[test]
fn without_cover_at_the_center_it_is_not_booked() {
    let mut world = World::empty();
    let small = ["center", "init", "--home", "@center", "--name", "center", "--fund", "50.00"];
    world.ok(&small);
    world.start("center");
    for name in ["north", "south"] {
        world.bank(name, "CNY");
    }
    world.wallet("alice", "north");
    world.wallet("bob", "south");
    world.fund("north", "alice", "100.00");
    let told = transfer(&world, "south/bob", "50.01", &[]);
    assert_ne!(told.value["outcome"], "booked", "{}", told.value);
    assert_eq!(world.account("south", "bob"), "0.00");
    assert_eq!(settlement(&world, "north"), "50.00");
    let told = transfer(&world, "south/bob", "50.00", &[]).ok();
    assert_eq!(told["outcome"], "booked", "{told}");
    assert_eq!(settlement(&world, "north"), "0.00");
    world.books_hold(&["center", "north", "south", "alice", "bob"]);
}
