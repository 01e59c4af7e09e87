//! Orders of drawers about their cheques, joint drawers, and commands that are used wrongly.

use serde_json::json;

use crate::cheque_tools::{
    HOMES, clearing, comes_back, give_in, is_paid, order, patient, register, stands, write,
};
use crate::world::{World, words};

#[test]
fn stopped_and_lifted() {
    let world = clearing("gross");
    for (reason, amount) in [("CUST", "1.00"), ("DUPL", "2.00"), ("FRAD", "3.00"), ("LOST", "4.00")] {
        let cheque = write(&world, "alice", "south/shop", amount, reason, &[]);
        let told = order(&world, "stop", &cheque.number, &["--reason", reason]).ok();
        assert_eq!(told["state"], "STOPPED", "{told}");
        comes_back(&world, "shop", &cheque.file, "STOPPED", "SP01");
        assert_eq!(register(&world, "alice", &cheque.number)["state"], "STOPPED");
        assert_eq!(order(&world, "unstop", &cheque.number, &[]).ok()["state"], "ISSUED");
        is_paid(&world, "shop", &cheque.file);
        stands(&world, "alice", &cheque.number, "SETTLED");
        // Too late.
        order(&world, "stop", &cheque.number, &["--reason", reason]).refused("CONFLICT");
        order(&world, "unstop", &cheque.number, &[]).refused("CONFLICT");
        order(&world, "void", &cheque.number, &[]).refused("CONFLICT");
    }
    assert_eq!(
        (world.account("north", "alice"), world.account("south", "shop")),
        ("990.00".to_owned(), "10.00".to_owned())
    );
    world.books_hold(&HOMES);
}

#[test]
fn voided_for_ever() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/shop", "9.00", "void", &[]);
    assert_eq!(order(&world, "void", &cheque.number, &[]).ok()["state"], "VOIDED");
    for (what, more) in [("stop", vec!["--reason", "LOST"]), ("unstop", vec![]), ("certify", vec![])] {
        order(&world, what, &cheque.number, &more).refused("CONFLICT");
    }
    for _ in 0..2 {
        let answer = give_in(&world, "shop", &cheque.file);
        assert_ne!(answer.value["paid"], json!(true), "{}", answer.value);
        assert_ne!(answer.value["outcome"], "pending", "{}", answer.value);
    }
    assert_eq!(register(&world, "alice", &cheque.number)["state"], "VOIDED");
    assert_eq!(world.account("north", "alice"), "1000.00");
    world.books_hold(&HOMES);
}

#[test]
fn certified_it_is_paid_whatever_the_drawer_spends() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/bob", "600.00", "plain", &[]);
    order(&world, "certify", &cheque.number, &["--out", "@certified.json"]).ok();
    assert_eq!(register(&world, "alice", &cheque.number)["reserved"], true);
    let second = write(&world, "alice", "south/shop", "400.00", "second", &["--certify"]);
    // Nothing is left to withdraw, to transfer or to certify, although it stands on the account.
    world.run(&["wallet", "withdraw", "--home", "@alice", "0.01"]).refused("INSUFFICIENT_FUNDS");
    let third = write(&world, "alice", "south/shop", "1.00", "third", &[]);
    order(&world, "certify", &third.number, &[]).refused("INSUFFICIENT_FUNDS");
    comes_back(&world, "shop", &third.file, "INSUFFICIENT_FUNDS", "AM04");
    // It cannot be stopped at will, only when it is lost.
    order(&world, "stop", &second.number, &["--reason", "CUST"]).refused("REQUEST_INVALID");
    order(&world, "void", &second.number, &[]).refused("REQUEST_INVALID");
    assert_eq!(order(&world, "stop", &second.number, &["--reason", "LOST"]).ok()["state"], "STOPPED");
    comes_back(&world, "shop", &second.file, "STOPPED", "SP01");
    let line = register(&world, "alice", &second.number);
    assert_eq!((&line["state"], &line["reserved"]), (&json!("STOPPED"), &json!(true)), "the reserve is kept");
    world.run(&["wallet", "withdraw", "--home", "@alice", "0.01"]).refused("INSUFFICIENT_FUNDS");
    assert_eq!(order(&world, "unstop", &second.number, &[]).ok()["state"], "CERTIFIED");
    is_paid(&world, "shop", &second.file);
    is_paid(&world, "bob", "@certified.json");
    assert_eq!(world.account("north", "alice"), "0.00");
    assert_eq!(
        (world.account("south", "bob"), world.account("south", "shop")),
        ("600.00".to_owned(), "400.00".to_owned())
    );
    world.books_hold(&HOMES);
}

#[test]
fn a_day_that_has_not_come_and_one_long_gone() {
    let world = clearing("gross");
    let cheque = write(&world, "alice", "south/shop", "8.00", "later", &["--date", "2099-12-31"]);
    comes_back(&world, "shop", &cheque.file, "POST_DATED", "DT04");
    assert_eq!(register(&world, "alice", &cheque.number)["state"], "ISSUED");
    let dated = |date| {
        let write = "wallet cheque write --home @alice --to south/shop --amount 1.00 --out @dated.json";
        patient(&world, &[words(write), vec!["--date", date]].concat()).refused("USAGE");
    };
    dated("2020-02-29");
    dated("2026-02-30");
    // No leaf was spoilt by what was refused.
    let next = write(&world, "alice", "south/shop", "8.00", "next", &[]);
    assert_eq!(next.number, "2");
}

/// Who signs on an account of north.
fn mandate(world: &World, name: &str, required: &str, drawers: &[&str]) {
    let mut arguments = vec!["bank", "account", "mandate", "--home", "@north", "--name", name];
    arguments.extend(["--required", required, "--drawers"]);
    arguments.extend(drawers);
    world.run(&arguments).ok();
}

#[test]
fn joint_drawers_sign_one_after_the_other() {
    let world = clearing("gross");
    world.wallet("carol", "north");
    world.wallet("dave", "north");
    mandate(&world, "alice", "2", &["alice", "carol", "dave"]);
    let joint = |required: &'static str, out: &'static str| {
        let mut arguments =
            vec!["wallet", "cheque", "write", "--home", "@alice", "--to", "south/shop", "--amount", "90.00"];
        arguments.extend(["--joint", "carol", "dave", "--required", required, "--out", out]);
        patient(&world, &arguments)
    };
    // Alone she cannot, whatever she writes into the cheque.
    let alone = words("wallet cheque write --home @alice --to south/shop --amount 1.00 --out @alone.json");
    let refused = patient(&world, &alone);
    assert_eq!(refused.exit, Some(1), "{}", refused.value);
    let refused = joint("1", "@one.json");
    assert_eq!(refused.exit, Some(1), "{}", refused.value);
    let drawn = joint("2", "@first.json").ok();
    assert_eq!((&drawn["complete"], &drawn["state"]), (&json!(false), &json!("SIGNED")), "{drawn}");
    // Not enough have signed: neither the bank nor a payee takes it.
    let hand_in = ["wallet", "cheque", "sign", "--home", "@alice", "@first.json", "--out", "@never.json"];
    patient(&world, &hand_in).refused("SIGNATURE_INVALID");
    assert_eq!(give_in(&world, "shop", "@first.json").exit, Some(1));
    // A stranger's signature is none.
    let stranger = ["wallet", "cheque", "sign", "--home", "@bob", "@first.json", "--out", "@stranger.json"];
    assert_eq!(patient(&world, &stranger).exit, Some(1));
    let signed = ["wallet", "cheque", "sign", "--home", "@carol", "@first.json", "--out", "@second.json"];
    assert_eq!(patient(&world, &signed).ok()["complete"], true);
    let issued = ["wallet", "cheque", "sign", "--home", "@alice", "@second.json", "--out", "@issued.json"];
    assert_eq!(patient(&world, &issued).ok()["state"], "ISSUED");
    is_paid(&world, "shop", "@issued.json");
    assert_eq!(world.account("north", "alice"), "910.00");
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob", "carol", "dave"]);
}

/// Commands that are wrong in themselves, with the code they are refused with.
const WRONG: &[(&str, &str)] = &[
    ("USAGE", "wallet cheque book --home @alice --leaves 0"),
    ("USAGE", "wallet cheque book --home @alice --leaves 101"),
    ("USAGE", "wallet cheque write --home @alice --amount 1.00 --out @x.json"),
    ("USAGE", "wallet cheque write --home @alice --to south/shop --out @x.json"),
    ("USAGE", "wallet cheque write --home @alice --to south/shop --amount 1.00"),
    ("USAGE", "wallet cheque write --home @alice --to shop --amount 1.00 --out @x.json"),
    ("USAGE", "wallet cheque write --home @alice --to south/ --amount 1.00 --out @x.json"),
    ("USAGE", "wallet cheque write --home @alice --to @none.pem --amount 1.00 --out @x.json"),
    ("ACCOUNT_UNKNOWN", "wallet cheque write --home @alice --to south/nobody --amount 1.00 --out @x.json"),
    (
        "USAGE",
        "wallet cheque write --home @alice --to south/shop --amount 1.00 --out @x.json --attach @none.pdf",
    ),
    ("USAGE", "wallet cheque write --home @alice --to south/shop --amount 1.00 --out @x.json --required 2"),
    ("USAGE", "wallet cheque stop --home @alice 1"),
    ("USAGE", "wallet cheque stop --home @alice 1 --reason WHIM"),
    ("USAGE", "wallet cheque stop --home @alice one --reason LOST"),
    ("NOT_FOUND", "wallet cheque stop --home @alice 999 --reason LOST"),
    ("NOT_FOUND", "wallet cheque unstop --home @alice 999"),
    ("NOT_FOUND", "wallet cheque void --home @alice 999"),
    ("NOT_FOUND", "wallet cheque certify --home @alice 999"),
    ("USAGE", "wallet cheque endorse --home @alice @none.json --to south/bob --out @x.json"),
    ("USAGE", "wallet cheque endorse --home @alice @none.json --out @x.json"),
    ("USAGE", "wallet cheque deposit --home @alice @none.json"),
    ("USAGE", "merchant cheque deposit --home @shop @none.json"),
    ("USAGE", "merchant cheque verify --home @shop @none.json"),
    ("MALFORMED", "wallet cheque deposit --home @alice @letter.json"),
    ("MALFORMED", "merchant cheque deposit --home @shop @letter.json"),
    ("MALFORMED", "merchant cheque verify --home @shop @letter.json"),
    ("MALFORMED", "wallet cheque sign --home @alice @letter.json --out @x.json"),
    ("MALFORMED", "cheque show @letter.json"),
    ("MALFORMED", "verify @letter.json"),
    ("WRONG_HOME", "wallet cheque list --home @north"),
    ("WRONG_HOME", "merchant cheque list --home @alice"),
    ("WRONG_HOME", "wallet certificate list --home @shop"),
    ("WRONG_HOME", "center positions --home @north"),
    ("WRONG_HOME", "center cycle close --home @alice"),
    ("WRONG_HOME", "center settle --home @nobody"),
    ("CODE_INVALID", "wallet certificate apply --home @alice --code nonsense"),
    ("USAGE", "wallet transfer --home @alice --to south/bob"),
    ("USAGE", "wallet transfer --home @alice --to bob --amount 1.00"),
];

#[test]
fn wrong_arguments_are_refused_with_stable_codes_and_change_nothing() {
    let world = clearing("gross");
    std::fs::write(world.home("letter.json"), "{\"blocks\":[]}\n\n{}").unwrap();
    let before = world.ok(&["wallet", "cheque", "list", "--home", "@alice"]);
    for (code, arguments) in WRONG {
        let answer = world.run(&words(arguments));
        answer.refused(code);
        let exit = if *code == "USAGE" { 2 } else { 1 };
        assert_eq!(answer.exit, Some(exit), "{arguments:?}: {}", answer.value);
    }
    for amount in ["0", "0.00", "-1", "1.234", "abc", "1e3", "99999999999999999999999"] {
        let amount = format!("--amount={amount}");
        for command in [
            vec![
                "wallet",
                "cheque",
                "write",
                "--home",
                "@alice",
                "--to",
                "south/shop",
                "--out",
                "@x.json",
                &amount,
            ],
            vec!["wallet", "transfer", "--home", "@alice", "--to", "south/bob", &amount],
        ] {
            let answer = world.run(&command);
            assert!([Some(1), Some(2)].contains(&answer.exit), "{command:?}: {}", answer.value);
            assert!(!answer.code().is_empty(), "{command:?}: {}", answer.value);
        }
    }
    assert!(!world.home("x.json").exists(), "no cheque was written");
    let after = world.ok(&["wallet", "cheque", "list", "--home", "@alice"]);
    assert_eq!(after, before, "no leaf was spoilt");
    assert_eq!(world.account("north", "alice"), "1000.00");
    world.books_hold(&HOMES);
}

#[test]
fn an_empty_book_says_how_to_get_another() {
    let world = clearing("gross");
    world.wallet("carol", "north");
    let write = words("wallet cheque write --home @carol --to south/shop --amount 1.00 --out @c.json");
    let answer = patient(&world, &write);
    answer.refused("NOT_FOUND");
    assert!(answer.value["error"]["hint"].as_str().unwrap().contains("cheque book"), "{}", answer.value);
    let book = |leaves: &str| world.ok(&["wallet", "cheque", "book", "--home", "@carol", "--leaves", leaves]);
    assert_eq!((&book("2")["last"], &book("3")["first"]), (&json!(2), &json!(3)), "books follow one another");
    assert_eq!(patient(&world, &write).ok()["number"], 1);
}
