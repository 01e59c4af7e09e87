//! Offline cash that is not taken: amounts that no pieces make, a till's own policy, damaged and wrong files; and messages
//! as texts, in any order.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::offline_tools::{
    OTHERS, accepted, asked, handed, holds, market, market_of_three, paid, queue_until, set, settled, texts,
    tried, typed,
};
use crate::world::World;

#[test]
fn amounts_that_no_pieces_make_are_refused_with_the_nearest() {
    let world = market_of_three();
    let given = handed(&world, ("alice", "bob"), "5.12", "first");
    assert_eq!(given["pieces"], 1, "half of a coin, or a whole one: {given}");
    holds(&world, "bob", "5.12");
    // A piece divides six times: down to 0.08.
    asked(&world, "shop", "5.03", "B-1");
    let refused = tried(&world, "wallet pay --offline --home @bob @B-1.request --out @B-1.payment");
    refused.refused("NO_EXACT_CHANGE");
    assert_eq!(refused.exit, Some(1));
    let hint = refused.value["error"]["hint"].as_str().unwrap();
    assert!(hint.contains("4.96") && hint.contains("5.04"), "{hint}");
    assert!(!world.home("B-1.payment").exists());
    holds(&world, "bob", "5.12");
    asked(&world, "shop", "6.00", "B-2");
    tried(&world, "wallet pay --offline --home @bob @B-2.request").refused("INSUFFICIENT_FUNDS");
    paid(&world, ("bob", "shop"), "5.04", "B-3");
    accepted(&world, "shop", "B-3");
    settled(&world, "shop", "B-3", "5.04");
    holds(&world, "bob", "0.08");
}

#[test]
fn messages_go_as_texts_in_any_order() {
    let mut world = market();
    for node in OTHERS {
        world.kill(node);
    }
    let request = typed(&world, "merchant request --offline --home @shop --amount 12.34 --order B-1");
    let [request] = texts(&request).try_into().unwrap_or_else(|texts: Vec<String>| {
        std::fs::write(world.home("request.txt"), texts.join("\n")).unwrap();
        [world.home("request.txt").to_str().unwrap().to_owned()]
    });
    let given = world.ok(&["wallet", "pay", "--offline", "--home", "@alice", &request]);
    let mut parts = texts(&given);
    assert!(parts.len() >= 2 && parts.iter().all(|part| part.len() <= 900), "{given}");
    let scanned = |world: &World, parts: &[String]| {
        std::fs::write(world.home("scanned.txt"), parts.join("\n")).unwrap();
        tried(world, "merchant accept --home @shop @scanned.txt")
    };
    // One is missing; one is of another message; one was misread.
    scanned(&world, &parts[1..]).refused("MALFORMED");
    asked(&world, "shop", "1.00", "B-2");
    let other = world.ok(&["wallet", "pay", "--offline", "--home", "@alice", "@B-2.request"]);
    let mixed: Vec<String> = texts(&other)[..1].iter().chain(&parts[1..]).cloned().collect();
    scanned(&world, &mixed).refused("MALFORMED");
    let mut misread = parts.clone();
    let wrong = misread[0].replace(":1/", ":2/");
    misread[0] = wrong;
    scanned(&world, &misread).refused("MALFORMED");
    // Backwards, and the last of them twice.
    parts.reverse();
    parts.push(parts[0].clone());
    let taken = scanned(&world, &parts).ok();
    assert_eq!((&taken["order"], &taken["amount"]), (&"B-1".into(), &"12.34".into()), "{taken}");
    assert_eq!(taken["bytes"], given["bytes"]);
}

/// What the program prints for people.
fn printed(world: &World, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feiqian"));
    command.args(arguments.iter().map(|argument| match argument.strip_prefix('@') {
        Some(name) => world.home(name).into_os_string(),
        None => argument.into(),
    }));
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn messages_are_drawn_as_codes_and_balances_as_a_table() {
    let world = market();
    asked(&world, "shop", "7.77", "B-1");
    let pay = ["wallet", "pay", "--offline", "--home", "@alice", "@B-1.request"];
    let plain = printed(&world, &pay);
    let lines: Vec<&str> = plain.lines().filter(|line| line.starts_with("feiqian:frame:")).collect();
    let given = world.ok(&pay);
    assert_eq!(lines, texts(&given), "each text on a line of its own, to be copied");
    let drawn = printed(&world, &[&pay[..], &["--qr"]].concat());
    let count = lines.len();
    for number in 1..=count {
        assert!(drawn.contains(&format!("{number} of {count}")), "{drawn}");
    }
    let rows =
        drawn.lines().filter(|line| line.chars().filter(|sign| "█▀▄".contains(*sign)).count() > 20).count();
    assert!(rows > 20 * count, "{count} codes of half blocks: {drawn}");
    assert!(!drawn.contains("feiqian:frame:"));
    // What was written to a file is drawn from there.
    let written = printed(&world, &[&pay[..], &["--out", "@B-1.payment", "--qr"]].concat());
    assert!(written.contains(&format!("{count} of {count}")) && written.contains("B-1.payment"));
    let offer =
        ["merchant", "request", "--offline", "--home", "@shop", "--amount", "1.00", "--order", "B-2", "--qr"];
    assert!(printed(&world, &offer).contains("█"));
    let balance = printed(&world, &["wallet", "balance", "--home", "@alice"]);
    let line = |kind: &str| balance.lines().find(|line| line.trim().starts_with(kind)).unwrap_or_default();
    assert!(line("online").contains("10.00") && line("offline").contains("12.23"), "{balance}");
}

#[test]
fn a_till_refuses_what_its_policy_excludes() {
    let mut world = market_of_three();
    handed(&world, ("alice", "bob"), "8.00", "first");
    paid(&world, ("bob", "shop"), "8.00", "B-1");
    let accept = "merchant accept --home @shop @B-1.payment";
    let policy = "offline.policy";
    let strict = [
        ("largest", "\"100\"", "LIMIT_EXCEEDED"),
        ("longest_chain", "1", "CHAIN_TOO_LONG"),
        ("margin_seconds", "31536000", "KEY_EXPIRED"),
        ("exposed_age_seconds", "0", "EXPIRED"),
    ];
    let config = world.home("shop").join("config.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    // Nobody renews its list of exposed coins meanwhile.
    for node in OTHERS {
        world.kill(node);
    }
    for (key, value, code) in strict {
        world.stop("shop");
        set(&world, "shop", policy, key, value);
        world.start("shop");
        let refused = tried(&world, accept);
        refused.refused(code);
        assert_eq!(refused.exit, Some(1), "{key}");
        if key == "largest" {
            let ask = "merchant request --offline --home @shop --amount 8.00 --order B-9";
            tried(&world, ask).refused("LIMIT_EXCEEDED");
        }
        let queue = typed(&world, "merchant deposit-queue --home @shop");
        assert_eq!(queue["payments"].as_array().unwrap().len(), 0, "{key}: {queue}");
        world.stop("shop");
        std::fs::write(&config, &before).unwrap();
        world.start("shop");
    }
    accepted(&world, "shop", "B-1");
    for node in OTHERS {
        world.start(node);
    }
    settled(&world, "shop", "B-1", "8.00");
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob", "carol"]);
}

#[test]
fn damaged_and_wrong_files_are_refused_with_a_code() {
    let mut world = market_of_three();
    paid(&world, ("alice", "shop"), "5.00", "B-1");
    handed(&world, ("alice", "bob"), "1.00", "first");
    let whole = std::fs::read(world.home("B-1.payment")).unwrap();
    let taken = |world: &World, bytes: &[u8]| {
        std::fs::write(world.home("bad.fq"), bytes).unwrap();
        let refused = tried(world, "merchant accept --home @shop @bad.fq");
        assert!(matches!(refused.exit, Some(1 | 2)), "{refused:?}");
        refused.code().to_owned()
    };
    for length in [0, 1, 7, 100, whole.len() / 2, whole.len() - 1] {
        assert_eq!(taken(&world, &whole[..length]), "MALFORMED", "{length} bytes of {}", whole.len());
    }
    assert_eq!(taken(&world, &[&whole[..], &[0]].concat()), "MALFORMED", "one byte more");
    for step in 1..40 {
        let place = whole.len() * step / 40;
        let mut altered = whole.clone();
        altered[place] ^= 0x10;
        let code = taken(&world, &altered);
        let known = [
            "MALFORMED",
            "USAGE",
            "PIECE_INVALID",
            "PIECE_REPEATED",
            "REQUEST_MISMATCH",
            "DENOMINATION_UNKNOWN",
            "AMOUNT_MISMATCH",
            "SIGNATURE_INVALID",
            "LIMIT_EXCEEDED",
        ];
        assert!(known.contains(&code.as_str()), "byte {place}: {code}");
    }
    // What is something else.
    for (file, code) in [("B-1.request", "USAGE"), ("first.transfer", "USAGE"), ("first.opened", "USAGE")] {
        tried(&world, &format!("merchant accept --home @shop @{file}")).refused(code);
    }
    let evidence = r#"{"customer":{"opening":{"r":"00","identity_secret":"00","nu":"00"},"index":0}}"#;
    assert_eq!(taken(&world, evidence.as_bytes()), "MALFORMED", "evidence is no holding");
    tried(&world, "merchant accept --home @shop @nothing.fq").refused("USAGE");
    tried(&world, "merchant accept --home @shop feiqian:offline:!!").refused("MALFORMED");
    for file in ["B-1.payment", "B-1.request", "first.opened", "first.answer"] {
        let refused = tried(&world, &format!("wallet accept --home @bob @{file}"));
        refused.refused("USAGE");
        assert!(refused.value["error"]["hint"].as_str().is_some_and(|hint| hint.contains('`')), "{file}");
    }
    tried(&world, "wallet accept --home @carol @first.transfer").refused("REQUEST_MISMATCH");
    tried(&world, "wallet pay --offline --home @alice @first.transfer").refused("USAGE");
    tried(&world, "wallet transfer-coin --home @alice --to @first.answer").refused("USAGE");
    tried(&world, "verify @B-1.payment").refused("MALFORMED");
    // Nothing of this changed anything.
    accepted(&world, "shop", "B-1");
    queue_until(&world, "shop", "B-1", "settled");
    holds(&world, "bob", "1.00");
    world.stop_all();
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob", "carol"]);
}

#[test]
fn a_payment_pays_one_till_once() {
    let mut world = market();
    crate::offline_tools::stall(&mut world);
    paid(&world, ("alice", "shop"), "5.00", "B-1");
    tried(&world, "merchant accept --home @stall @B-1.payment").refused("REQUEST_MISMATCH");
    accepted(&world, "shop", "B-1");
    let request = typed(&world, "merchant request --offline --home @shop --amount 5.00 --order B-1");
    let again: Value = typed(&world, "merchant request --offline --home @shop --amount 5.00 --order B-1");
    assert_eq!(request, again, "one order, one request");
    tried(&world, "merchant request --offline --home @shop --amount 6.00 --order B-1").refused("CONFLICT");
    let given = typed(&world, "wallet pay --offline --home @alice @B-1.request --out @again.payment");
    assert_eq!(given["amount"], "5.00");
    let bytes = |name: &str| std::fs::read(world.home(name)).unwrap();
    assert_eq!(bytes("again.payment"), bytes("B-1.payment"), "the same payment however often");
    holds(&world, "alice", "15.00");
    settled(&world, "shop", "B-1", "5.00");
}
