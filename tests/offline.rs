//! Offline cash between real processes: paid, passed on and accepted with every other node stopped, deposited later; a
//! second spend is named, and the accusation checks without any node.

use serde_json::Value;

use crate::offline_tools::{
    OTHERS, accepted, accused, copied, deposited, handed, holds, market, market_of_three, opened, paid,
    passed, queue_until, settled, stall, tried, typed,
};

const ALL: [&str; 6] = ["center", "north", "south", "shop", "alice", "bob"];
const THREE: [&str; 7] = ["center", "north", "south", "shop", "alice", "bob", "carol"];

#[test]
fn a_shop_accepts_with_every_other_node_stopped_and_deposits_later() {
    let mut world = market();
    for node in OTHERS {
        world.stop(node);
    }
    paid(&world, ("alice", "shop"), "12.50", "B-1");
    let taken = accepted(&world, "shop", "B-1");
    assert_eq!(taken["state"], "queued");
    assert_eq!(accepted(&world, "shop", "B-1"), taken);
    // Killed and started again, it still holds it.
    world.kill("shop");
    world.start("shop");
    let held = queue_until(&world, "shop", "B-1", "queued");
    assert_eq!(held["payment"], taken["payment"]);
    for node in OTHERS {
        world.start(node);
    }
    settled(&world, "shop", "B-1", "12.50");
    assert_eq!(world.account("south", "shop"), "12.50");
    world.books_hold(&ALL);
}

#[test]
fn value_goes_through_three_hands_with_bank_and_center_stopped() {
    let mut world = market_of_three();
    for node in OTHERS {
        world.kill(node);
    }
    handed(&world, ("alice", "bob"), "8.00", "first");
    handed(&world, ("bob", "carol"), "3.00", "second");
    paid(&world, ("carol", "shop"), "2.00", "B-1");
    accepted(&world, "shop", "B-1");
    for (name, amount) in [("alice", "12.00"), ("bob", "5.00"), ("carol", "1.00")] {
        holds(&world, name, amount);
    }
    let received = world.balance("carol")["offline"]["received"].clone();
    let hops = |line: &Value| line["hops"] == 2 && line["bank"] == "north";
    assert!(received.as_array().unwrap().iter().all(hops), "alice's coin, passed on by bob: {received}");
    for node in OTHERS {
        world.start(node);
    }
    settled(&world, "shop", "B-1", "2.00");
    for (name, amount) in [("bob", "5.00"), ("carol", "1.00")] {
        deposited(&world, name, amount);
        assert_eq!(world.account("north", name), amount);
    }
    holds(&world, "alice", "12.00");
    assert!(accused(&world, "north").is_empty());
    world.books_hold(&THREE);
}

#[test]
fn a_second_spend_is_named_and_the_accusation_needs_no_node() {
    let mut world = market();
    stall(&mut world);
    // Alice keeps a copy of her wallet and spends twice.
    copied(&world, "alice", "alias");
    paid(&world, ("alice", "shop"), "20.00", "B-1");
    paid(&world, ("alias", "stall"), "20.00", "B-2");
    accepted(&world, "shop", "B-1");
    accepted(&world, "stall", "B-2");
    for (till, order) in [("shop", "B-1"), ("stall", "B-2")] {
        settled(&world, till, order, "20.00");
        assert_eq!(world.account("south", till), "20.00");
    }
    assert_eq!(world.account("north", "alice"), "50.00", "the second 20.00 are charged to her account");
    let lines = accused(&world, "north");
    let line = &lines[0];
    assert_eq!(line["customer"], "alice", "{lines:?}");
    tried(&world, "wallet withdraw --offline --home @alice 1.00").refused("IDENTITY_CLOSED");
    let (id, root) = (line["id"].as_str().unwrap().to_owned(), world.root());
    let written = typed(&world, &format!("bank accusations --home @north {id} --out @accusation.json"));
    let file = world.home("accusation.json");
    assert_eq!(written["bytes"].as_u64(), Some(std::fs::metadata(&file).unwrap().len()));
    let shown = typed(&world, &format!("bank accusations --home @north {id}"));
    assert_eq!(shown, serde_json::from_slice::<Value>(&std::fs::read(&file).unwrap()).unwrap());
    world.stop_all();
    let found = typed(&world, &format!("verify @accusation.json --root {root}"));
    let named = (&found["accused"], &found["bank"], &found["account"], &found["trusted"]);
    assert_eq!(named, (&"customer".into(), &"north".into(), &line["account"], &true.into()), "{found}");
    assert_eq!(typed(&world, "verify @accusation.json")["trusted"], false);
    tried(&world, &format!("verify @accusation.json --root {}", "ab".repeat(32))).refused("WRONG_ROOT");
    // Another index, and it accuses nobody.
    let mut forged = shown;
    let index = forged["customer"]["index"].as_u64().unwrap();
    forged["customer"]["index"] = Value::from(if index == 0 { 1 } else { index - 1 });
    std::fs::write(&file, forged.to_string()).unwrap();
    tried(&world, &format!("verify @accusation.json --root {root}")).refused("ACCUSATION_INVALID");
    let audit = world.audit(&["center", "north", "south", "shop", "stall", "alice", "bob"]).ok();
    assert_eq!(audit["held"], true, "{audit}");
}

#[test]
fn whoever_forks_a_chain_in_the_middle_is_named_and_nobody_else() {
    let mut world = market_of_three();
    stall(&mut world);
    world.fund("north", "bob", "10.00");
    for node in OTHERS {
        world.kill(node);
    }
    handed(&world, ("alice", "bob"), "8.00", "first");
    copied(&world, "bob", "robert");
    handed(&world, ("bob", "carol"), "3.00", "second");
    paid(&world, ("carol", "shop"), "3.00", "B-1");
    paid(&world, ("robert", "stall"), "8.00", "B-2");
    accepted(&world, "shop", "B-1");
    accepted(&world, "stall", "B-2");
    for node in OTHERS {
        world.start(node);
    }
    settled(&world, "shop", "B-1", "3.00");
    settled(&world, "stall", "B-2", "8.00");
    let lines = accused(&world, "north");
    assert!(!lines.is_empty());
    for line in &lines {
        assert_eq!((&line["customer"], &line["unpaid"]), (&"bob".into(), &"0.00".into()), "{line}");
    }
    assert_eq!(world.account("north", "bob"), "7.00", "3.00 were paid twice, and he pays them");
    assert_eq!(world.account("north", "alice"), "70.00", "she pays nothing");
    // What is left of the others' value is still good.
    deposited(&world, "alice", "12.00");
    let audit = world.audit(&["center", "north", "south", "shop", "stall", "alice", "bob", "carol"]).ok();
    assert_eq!(audit["held"], true, "{audit}");
}

#[test]
fn a_blank_takes_one_piece() {
    let world = market_of_three();
    let code = opened(&world, ("alice", "bob"), "4.00", "offer");
    copied(&world, "alice", "alias");
    let given = passed(&world, "alice", &code, "offer");
    std::fs::rename(world.home("offer.transfer"), world.home("first.transfer")).unwrap();
    // The copy has paid something else meanwhile, and gives other pieces.
    paid(&world, ("alias", "shop"), "16.00", "B-1");
    passed(&world, "alias", &code, "offer");
    let bytes = |name: &str| std::fs::read(world.home(name)).unwrap();
    assert_ne!(bytes("first.transfer"), bytes("offer.transfer"), "{given}");
    let taken = typed(&world, "wallet accept --home @bob @first.transfer");
    tried(&world, "wallet accept --home @bob @offer.transfer").refused("BLANK_ANSWERED");
    assert_eq!(typed(&world, "wallet accept --home @bob @first.transfer"), taken, "the first stands");
    holds(&world, "bob", "4.00");
    // The same opened offer again gives the same bytes, never another answer.
    passed(&world, "alice", &code, "offer");
    assert_eq!(bytes("first.transfer"), bytes("offer.transfer"));
    deposited(&world, "bob", "4.00");
    assert!(accused(&world, "north").is_empty());
    world.books_hold(&THREE);
}

#[test]
fn codes_that_differ_pass_nothing() {
    let world = market_of_three();
    let code = opened(&world, ("alice", "bob"), "4.00", "offer");
    let wrong: String = code.chars().map(|digit| if digit == '9' { '0' } else { '9' }).collect();
    let pass = format!("wallet transfer-coin --home @alice --to @offer.opened --code {wrong}");
    tried(&world, &pass).refused("REQUEST_MISMATCH");
    holds(&world, "alice", "20.00");
    // The offer stands, was opened to Alice, and to nobody else.
    typed(&world, "wallet offline answer --home @carol @offer.offer --out @other.answer");
    tried(&world, "wallet offline accept --home @bob @other.answer").refused("REQUEST_MISMATCH");
    passed(&world, "alice", &code, "offer");
    typed(&world, "wallet accept --home @bob @offer.transfer");
    holds(&world, "bob", "4.00");
    world.books_hold(&THREE);
}
