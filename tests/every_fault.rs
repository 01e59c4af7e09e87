//! SIGKILL at what everyday business does not come by: an operator's commands, a bank that joins, homes that are made or made
//! again, what owners of wallets do now and then. Whoever repeats the command, or starts the node again, gets what was asked
//! for, once; nobody has to put anything right by hand, and the books of all homes agree.
//!
//! The points enumerate themselves as in the tests of cash.

use std::time::{Duration, Instant};

use crate::cheque_tools::{clearing, is_paid, patient, write};
use crate::faults::{
    Kill, is_message, kills, trace_file, trace_length, traced, traced_in_order, tracing, unclaim,
};
use crate::world::{Answer, World, minor, wait_until, words};

/// How long a process that was killed, and those that wait for it, may take to finish the work.
const PATIENCE: Duration = Duration::from_secs(60);

fn fault(point: &str, side: &str) -> [(&'static str, String); 1] {
    [("FEIQIAN_FAULT", format!("{point}@{side}#1"))]
}

fn run(world: &World, command: &str, faults: &[(&str, String)]) -> Answer {
    world.run_with(&words(command), faults)
}

/// Runs it until it succeeds.
fn at_last(world: &World, command: &str) -> Answer {
    wait_until(PATIENCE, || Some(run(world, command, &[])).filter(|answer| answer.exit == Some(0)))
        .unwrap_or_else(|| panic!("`{command}`: {}", run(world, command, &[]).value))
}

/// The node dies at a commit of each of its operator's commands; the operator starts it and repeats the command.
#[test]
fn killed_under_an_operators_command() {
    let mut world = World::banks();
    world.wallet("alice", "north");
    world.fund("north", "alice", "10.00");
    let commands: [(&str, &str, &str); 9] = [
        ("north", "bank.account.open", "bank account open --home @north --name dora-N --role customer"),
        (
            "north",
            "bank.account.fund",
            "bank account fund --home @north --name alice --amount 5.00 --id in-N",
        ),
        (
            "north",
            "bank.account.payout",
            "bank account payout --home @north --name alice --amount 2.00 --id out-N",
        ),
        (
            "north",
            "bank.cheque.mandate",
            "bank account mandate --home @north --name alice --required 2 --drawers alice dora-N",
        ),
        ("north", "bank.statement.close", "bank statement --home @north --name alice"),
        ("north", "bank.account.close", "bank account close --home @north --name dora-N"),
        ("center", "center.invite", "center invite --home @center --bank west-N"),
        ("center", "center.fund", "center fund --home @center --bank north --amount 7.00 --id fund-N"),
        ("center", "center.crl.issue", "center revoke --home @center --bank south"),
    ];
    let settlement = |world: &World| minor(&crate::cheque_tools::settlement(world, "north"));
    let before = settlement(&world);
    for side in ["before", "after"] {
        for (node, point, command) in commands {
            // A bank is revoked once, at the very end.
            if point == "center.crl.issue" && side == "before" {
                continue;
            }
            let command = command.replace("-N", &format!("-{side}"));
            world.kill(node);
            // A center that starts may make the list itself, and dies of it before anybody commands anything.
            if world.start_with(node, &fault(point, side)) {
                let lost = run(&world, &command, &[]);
                assert_ne!(lost.exit, Some(0), "{point} {side}: {}", lost.value);
                assert!(world.died(node, Duration::from_secs(5)), "{point} {side} was not reached");
            }
            world.start(node);
            at_last(&world, &command);
        }
    }
    assert_eq!(world.account("north", "alice"), "16.00", "each act once");
    assert_eq!(settlement(&world) - before, 1_400, "each funding once");
    let accounts = world.ok(&words("bank account list --home @north"));
    let of_dora = accounts["accounts"].as_array().unwrap().iter();
    let states: Vec<&str> = of_dora
        .filter(|account| account["name"].as_str().is_some_and(|name| name.starts_with("dora")))
        .map(|account| account["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["closed", "closed"], "{accounts}");
    let booked = wait_until(PATIENCE, || {
        let audit = world.audit(&["center", "north", "south", "alice"]);
        (audit.value["held"] == true && audit.value["closed_world"] == true).then_some(())
    });
    assert!(booked.is_some(), "{}", world.audit(&["center", "north", "south", "alice"]).value);
}

fn init_bank(world: &World, name: &str, faults: &[(&str, String)]) -> Answer {
    let (home, center) = (format!("@{name}"), world.url("center"));
    let arguments =
        ["bank", "init", "--home", &home, "--name", name, "--center", &center, "--currency", "CNY"];
    world.run_with(&arguments, faults)
}

/// What the first start of a bank does once, however often it is cut off.
const ONCE: [&str; 4] =
    ["bank.funding.book", "bank.keyset.create", "bank.offline.keyset", "send.bank.keysets.pin"];

fn sides(point: &str) -> &'static [&'static str] {
    if is_message(point) { &["before"] } else { &["before", "after"] }
}

/// How long a trace does not grow when its node has done what it does at once.
const STILL: Duration = Duration::from_secs(2);

/// Waits until the node `name` has done all of `expected` and its trace, from this byte on, stands still.
fn at_rest(world: &World, name: &str, from: usize, expected: &[&str]) {
    let mut grown = (from, Instant::now());
    let done = wait_until(PATIENCE, || {
        let length = trace_length(world, name);
        if length != grown.0 {
            grown = (length, Instant::now());
        }
        let met = traced(world, name, from);
        let all = length > from && expected.iter().all(|point| met.contains_key(*point));
        (all && grown.1.elapsed() > STILL).then_some(())
    });
    assert!(done.is_some(), "{name} makes do without some of {expected:?}: {:?}", traced(world, name, from));
}

/// What a bank did while it was made, what its first start did, each in the order in which it came; and what every start does.
fn bank_in_peace(world: &mut World, name: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
    let trace = tracing(world, name);
    init_bank(world, name, &trace).ok();
    let made = traced_in_order(world, name);
    assert!(made.contains(&"send.bank.admit".to_owned()), "{made:?}");
    let mut from = trace_length(world, name);
    assert!(world.start_with(name, &trace), "{}", world.log(name));
    at_rest(world, name, from, &ONCE);
    let points = traced_in_order(world, name);
    world.stop(name);
    let position = points.iter().position(|point| point == "bank.open.chart").expect("a start");
    let started = points[position..].to_vec();
    from = trace_length(world, name);
    assert!(world.start_with(name, &trace), "{}", world.log(name));
    at_rest(world, name, from, &[]);
    let again = traced(world, name, from);
    world.stop(name);
    (made, started, again.into_keys().collect())
}

/// Starts a bank that is to die; whether it does, or has done everything that every start does without coming by.
fn dies_when_started(world: &mut World, name: &str, (point, side): (&str, &str), always: &[String]) -> bool {
    let must = ONCE.contains(&point) || always.iter().any(|it| it == point);
    let (from, trace) = (trace_length(world, name), tracing(world, name));
    if !world.start_with(name, &[fault(point, side), trace].concat()) {
        return true;
    }
    let died = wait_until(PATIENCE, || {
        if world.died(name, Duration::ZERO) {
            return Some(true);
        }
        let met = traced(world, name, from);
        (!must && always.iter().all(|it| met.contains_key(it))).then_some(false)
    });
    died.unwrap_or_else(|| panic!("{point} {side} was not reached: {:?}", traced(world, name, from)))
}

/// A bank dies at each commit and message of its making and of its first start, one after the other; then it works.
#[test]
fn killed_while_a_bank_joins() {
    let mut world = World::banks();
    // One joins in peace and shows by what.
    let (making, starting, always) = bank_in_peace(&mut world, "north-2");
    for point in &making {
        for side in sides(point) {
            let lost = init_bank(&world, "west", &fault(point, side));
            assert_eq!(lost.exit, None, "{point} {side}: {}", lost.value);
        }
    }
    init_bank(&world, "west", &[]).ok();
    let mut missed = Vec::new();
    for point in &starting {
        for side in sides(point) {
            if !dies_when_started(&mut world, "west", (point.as_str(), *side), &always) {
                missed.push(format!("{point} {side}"));
                world.kill("west");
            }
        }
    }
    // What was done at once with something else, in an earlier life, is not done again.
    eprintln!("{starting:?}; of every start {always:?}; not reached: {missed:?}");
    world.start("north-2");
    world.start("west");
    world.pinned("west");
    world.wallet("wendy", "west");
    world.fund("west", "wendy", "5.00");
    at_last(&world, "wallet withdraw --home @wendy 3.21");
    world.holds("wendy", "3.21");
    let homes = ["center", "north", "south", "north-2", "west", "wendy"];
    let held = wait_until(PATIENCE, || (world.audit(&homes).value["held"] == true).then_some(()));
    assert!(held.is_some(), "{}", world.audit(&homes).value);
}

/// What makes the home `name` of a person or a shop at a bank, whose account has its name.
fn making(world: &World, role: &str, name: &str) -> Vec<String> {
    let (url, kind) = (world.url("north"), if role == "wallet" { "customer" } else { "merchant" });
    let (home, code) = (format!("@{name}"), world.enrol("north", name, kind));
    let words = [role, "init", "--home", &home, "--name", name, "--bank", &url, "--code", &code];
    words.map(str::to_owned).to_vec()
}

fn run_words(world: &World, words: &[String], faults: &[(&str, String)]) -> Answer {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    world.run_with(&words, faults)
}

/// The points of what an act is about: a commit has its name, a message of a wallet its route.
fn points_of(own: &[&str]) -> Vec<String> {
    let points = |it: &&str| match it.strip_prefix('/') {
        None => vec![(*it).to_owned()],
        Some(route) => {
            ["send", "answered"].map(|moment| format!("{moment}.wallet.{}", route.replace('/', "."))).to_vec()
        }
    };
    own.iter().flat_map(points).collect()
}

/// Kills the owner of the wallet `name` at every side of every commit and message in `own`, all of which must be met, and at
/// the other messages of the trace that nobody has killed at yet; each time another act that `make` makes ready, after
/// which `after` looks at it. Answers how often somebody was killed.
fn at_each_point(
    world: &World,
    name: &str,
    own: &[&str],
    make: &mut dyn FnMut(u32) -> Vec<String>,
    after: &dyn Fn(u32),
) -> usize {
    let trace = tracing(world, name);
    run_words(world, &make(0), &trace).ok();
    after(0);
    let points = traced_in_order(world, name);
    std::fs::remove_file(trace_file(world, name)).unwrap();
    let own = points_of(own);
    for point in &own {
        assert!(points.contains(point), "{name} does without {point}: {points:?}");
        unclaim(point);
    }
    let wanted = |point: &String| is_message(point) || own.contains(point);
    let points = points.into_iter().filter(wanted).map(|point| (name.to_owned(), point)).collect();
    let kills: Vec<Kill> = kills(points);
    assert!(!kills.is_empty(), "nobody is killed");
    let mut missed = Vec::new();
    for (number, (_, point, side)) in (1..).zip(&kills) {
        let command = make(number);
        let lost = run_words(world, &command, &fault(point, side));
        if lost.exit == Some(0) {
            assert!(!own.contains(point), "{command:?} was not killed {side} {point}");
            unclaim(point);
            missed.push(point);
        } else {
            assert_eq!(lost.exit, None, "{command:?}, {point} {side}: {}", lost.value);
            let again = || Some(run_words(world, &command, &[])).filter(|answer| answer.exit == Some(0));
            let done = wait_until(PATIENCE, again);
            assert!(done.is_some(), "{point} {side}: {}", run_words(world, &command, &[]).value);
        }
        after(number);
    }
    // What is asked for only now and then is not part of the act.
    eprintln!("{name}: {kills:?}; not reached: {missed:?}");
    kills.len()
}

#[test]
fn killed_while_homes_are_made() {
    let mut world = World::banks();
    let wallets = at_each_point(
        &world,
        "alice",
        &["/about", "/enrol"],
        &mut |number| making(&world, "wallet", &format!("alice-{number}")),
        &|number| {
            let name = format!("alice-{number}");
            world.fund("north", &name, "1.00");
            at_last(&world, &format!("wallet withdraw --home @{name} 0.77"));
            world.holds(&name, "0.77");
        },
    );
    // One is lost, and made again from its words: in as many homes as there are points.
    let made = run_words(&world, &making(&world, "wallet", "lost"), &[]).ok();
    std::fs::write(world.home("words"), made["words"].as_str().unwrap()).unwrap();
    world.fund("north", "lost", "1.00");
    at_last(&world, "wallet withdraw --home @lost 0.77");
    std::fs::remove_dir_all(world.home("lost")).unwrap();
    let url = world.url("north");
    at_each_point(
        &world,
        "again",
        &["wallet.restore.open", "/certificate/recover"],
        &mut |number| {
            // Two homes of one wallet are never there at once.
            let _ = std::fs::remove_dir_all(world.home(&format!("again-{}", number.wrapping_sub(1))));
            let restore = format!("wallet restore --home @again-{number} --words-file @words --bank {url}");
            restore.split(' ').map(str::to_owned).collect()
        },
        &|number| world.holds(&format!("again-{number}"), "0.77"),
    );
    let mut homes = vec!["center".to_owned(), "north".to_owned(), "south".to_owned()];
    homes.extend((0..=wallets).map(|number| format!("alice-{number}")));
    let homes: Vec<&str> = homes.iter().map(String::as_str).collect();
    assert_eq!(world.audit(&homes).value["held"], true, "{}", world.audit(&homes).value);
    // Shops: `shop` shows by what, and `stall` dies of it.
    let trace = tracing(&world, "shop");
    run_words(&world, &making(&world, "merchant", "shop"), &trace).ok();
    let points = traced_in_order(&world, "shop");
    for point in ["answered.merchant.about", "send.merchant.enrol", "answered.merchant.enrol"] {
        assert!(points.iter().any(|it| it == point), "{point}: {points:?}");
        unclaim(point);
    }
    let command = making(&world, "merchant", "stall");
    for (_, point, side) in kills(points.into_iter().map(|point| ("stall".to_owned(), point)).collect()) {
        let lost = run_words(&world, &command, &fault(&point, side));
        assert_eq!(lost.exit, None, "{point} {side}: {}", lost.value);
    }
    run_words(&world, &command, &[]).ok();
    world.start("stall");
    let request = "merchant request --home @stall --amount 0.33 --order A-1";
    let uri = at_last(&world, request).value["uri"].as_str().unwrap().to_owned();
    assert_eq!(at_last(&world, &format!("wallet pay --home @alice-0 {uri}")).value["outcome"], "paid");
    world.holds("alice-0", "0.44");
}

/// Commands of wallets' owners that are given now and then, killed at each message and at commits of their own.
#[test]
fn killed_while_owners_do_what_is_seldom_done() {
    let world = clearing("gross");
    at_last(&world, "wallet withdraw --home @alice 20.00");
    let split = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let never = |_: u32| {};
    let simple = |name: &str, own: &[&str], command: &str| {
        at_each_point(&world, name, own, &mut |_| split(command), &never);
    };
    simple("alice", &["/account/certificate/list"], "wallet certificate list --home @alice");
    simple("alice", &["wallet.cheque.register", "/account/cheque/list"], "wallet cheque list --home @alice");
    // From wallet to wallet: asked for, paid into the box, fetched.
    let asked = || {
        let asked = world.ok(&words("wallet request --home @bob 0.05"));
        asked["uri"].as_str().unwrap().to_owned()
    };
    let received = || patient(&world, &words("wallet receive --home @bob")).ok();
    let pays = at_each_point(
        &world,
        "alice",
        &["wallet.pay.delivered", "/drop/put"],
        &mut |_| split(&format!("wallet pay --home @alice {}", asked())),
        &|_| drop(received()),
    );
    let receives = at_each_point(
        &world,
        "bob",
        &["wallet.receive.take", "/drop/access"],
        &mut |_| {
            world.ok(&words(&format!("wallet pay --home @alice {}", asked())));
            split("wallet receive --home @bob")
        },
        &never,
    );
    let got = 5 * i64::try_from(pays + receives + 2).unwrap();
    let bobs = || minor(world.balance("bob")["balance"].as_str().unwrap());
    assert_eq!(bobs(), got);
    // A session that was begun before a death is brought to its end; the wallet dies over that, too.
    for (point, own, command) in [
        ("wallet.withdraw.offer", "/account/issue/finish", "wallet withdraw --home @alice 0.09"),
        ("wallet.refresh.sign", "/outcome", "wallet refresh --home @alice"),
        ("wallet.offline.commit", "/account/offline/finish", "wallet withdraw --offline --home @alice 0.05"),
    ] {
        let begun = |number: u32| {
            if point == "wallet.refresh.sign" {
                let uri = world.request("0.01", &format!("change-{number}"));
                let pay = format!("wallet pay --home @alice {uri}");
                run(&world, &pay, &fault(point, "after"));
            } else {
                run(&world, command, &fault(point, "after"));
            }
            split(command)
        };
        at_each_point(&world, "alice", &[own], &mut |number| begun(number), &never);
    }
    // The payee's answer was not seen: the bank knows.
    at_each_point(
        &world,
        "alice",
        &["/outcome"],
        &mut |number| {
            let uri = world.request("0.02", &format!("unseen-{number}"));
            let pay = format!("wallet pay --home @alice {uri}");
            let lost = run(&world, &pay, &fault("answered.wallet.pay", "before"));
            assert_eq!(lost.exit, None, "{}", lost.value);
            split("wallet refresh --home @alice")
        },
        &|number| {
            let orders = world.ok(&words("merchant orders --home @shop"));
            let order = format!("unseen-{number}");
            let found =
                orders["orders"].as_array().unwrap().iter().find(|line| line["order"] == order.as_str());
            assert_eq!(found.unwrap()["state"], "paid", "{orders}");
        },
    );
    // Coins of another bank take the way through the center.
    let deposits = at_each_point(
        &world,
        "bob",
        &["/deposit"],
        &mut |_| split("wallet deposit --home @bob 0.01"),
        &never,
    );
    let deposited = i64::try_from(deposits + 1).unwrap();
    let arrived = wait_until(PATIENCE, || {
        let _ = world.run(&words("wallet refresh --home @bob"));
        (minor(&world.account("south", "bob")) == deposited && bobs() == got - deposited).then_some(())
    });
    assert!(arrived.is_some(), "{} {}", world.account("south", "bob"), world.balance("bob"));
    killed_over_cheques(&world);
    simple("alice", &["/account/certificate/renew"], "wallet certificate renew --home @alice");
    let held = world.ok(&words("wallet certificate list --home @bob"))["certificates"].clone();
    let signing = held.as_array().unwrap().iter().find(|line| line["purpose"] == "documents").cloned();
    let serial = signing.unwrap_or_else(|| panic!("{held}"))["serial"].as_str().unwrap().to_owned();
    simple(
        "bob",
        &["/account/certificate/revoke"],
        &format!("wallet certificate revoke --home @bob {serial}"),
    );
    let homes = crate::cheque_tools::HOMES;
    let settled = wait_until(PATIENCE, || {
        let _ = world.run(&words("wallet refresh --home @alice"));
        let audit = world.audit(&homes);
        (audit.value["held"] == true && world.balance("alice")["pending"] == "0.00").then_some(())
    });
    assert!(settled.is_some(), "{} {}", world.balance("alice"), world.audit(&homes).value);
}

/// Certified, stopped, passed on, sent, fetched.
fn killed_over_cheques(world: &World) {
    patient(world, &words("wallet cheque book --home @alice --leaves 60")).ok();
    let split = |text: String| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
    let mut number = 0;
    let mut fresh = |to: &str, more: &[&str]| {
        number += 1;
        write(world, "alice", to, "0.10", &format!("seldom-{number}"), more)
    };
    at_each_point(
        world,
        "alice",
        &["/account/cheque/certify"],
        &mut |_| split(format!("wallet cheque certify --home @alice {}", fresh("south/bob", &[]).number)),
        &|_| {},
    );
    at_each_point(
        world,
        "alice",
        &["/account/cheque/order"],
        &mut |_| {
            let number = fresh("south/bob", &[]).number;
            split(format!("wallet cheque stop --home @alice {number} --reason CUST"))
        },
        &|_| {},
    );
    at_each_point(
        world,
        "bob",
        &["/cheque/endorse"],
        &mut |number| {
            let file = fresh("south/bob", &["--negotiable"]).file;
            split(format!(
                "wallet cheque endorse --home @bob {file} --to south/shop --out @passed-{number}.json"
            ))
        },
        &|number| is_paid(world, "shop", &format!("@passed-{number}.json")),
    );
    at_each_point(
        world,
        "alice",
        &["/account/cheque/send"],
        &mut |number| {
            let write = "wallet cheque write --home @alice --to south/bob --amount 0.03 --send";
            split(format!("{write} --memo sent-{number}"))
        },
        &|_| {},
    );
    at_each_point(
        world,
        "bob",
        &["/account/cheque/inbox", "/account/cheque/inbox/delete"],
        &mut |number| {
            let send = "wallet cheque write --home @alice --to south/bob --amount 0.03 --send --memo letter";
            patient(world, &words(&format!("{send}-{number}"))).ok();
            split(format!("wallet cheque inbox --home @bob --into @letters-{number}"))
        },
        &|_| {},
    );
    let listed = world.ok(&words("wallet cheque list --home @bob"));
    assert!(listed["received"].as_array().is_some_and(|held| !held.is_empty()), "{listed}");
}

/// Nodes that die over what they ask others now and then, or when they start.
#[test]
fn killed_while_asked_about_a_cheque_or_for_a_first_coin() {
    let mut world = clearing("gross");
    world.wallet("dora", "north");
    write(&world, "alice", "south/shop", "0.10", "shown", &[]);
    for moment in ["send", "answered"] {
        world.wallet(&format!("erin-{moment}"), "north");
        write(&world, "alice", "north/dora", "0.20", &format!("own-{moment}"), &[]);
    }
    let verify = "merchant cheque verify --home @shop @shown.json";
    let kills = [
        ("shop", "merchant.cheque.verify", verify),
        ("center", "center.cheque.state", verify),
        ("north", "bank.cheque.verify", "wallet cheque deposit --home @dora @own-M.json"),
        ("north", "bank.offline.identity", "wallet blanks --home @erin-M 1"),
        ("center", "center.crl", verify),
        ("center", "center.offline.exposed", verify),
    ];
    for (node, message, command) in kills {
        for moment in ["send", "answered"] {
            let (point, command) =
                (format!("{moment}.{message}"), &command.replace("-M", &format!("-{moment}")));
            world.kill(node);
            if world.start_with(node, &fault(&point, "before")) {
                let _ = run(&world, command, &[]);
                assert!(world.died(node, Duration::from_secs(20)), "{point} was not reached");
            }
            world.start(node);
            let done = wait_until(PATIENCE, || {
                let answer = run(&world, command, &[]);
                (answer.exit == Some(0) && answer.value["outcome"] != "pending").then_some(())
            });
            assert!(done.is_some(), "{point}: {}", run(&world, command, &[]).value);
        }
    }
    assert_eq!(world.account("north", "dora"), "0.40", "each once");
    assert_eq!(world.account("north", "alice"), "999.60");
    let homes = [&crate::cheque_tools::HOMES[..], &["dora", "erin-send", "erin-answered"]].concat();
    world.books_hold(&homes);
}

/// Bob deposits coins of another bank while the center is down, and dies over being told to wait.
#[test]
fn killed_while_a_deposit_waits_for_the_center() {
    let mut world = clearing("gross");
    at_last(&world, "wallet withdraw --home @alice 1.00");
    let asked = world.ok(&words("wallet request --home @bob 0.50"))["uri"].as_str().unwrap().to_owned();
    at_last(&world, &format!("wallet pay --home @alice {asked}"));
    at_last(&world, "wallet receive --home @bob");
    world.holds("bob", "0.50");
    // Other words for the other act: the same again would be the first, of which nobody has been told.
    for (side, amount, left, arrives) in
        [("before", "0.20", "0.30", "0.20"), ("after", "0.10", "0.20", "0.30")]
    {
        world.kill("center");
        let deposit = format!("wallet deposit --home @bob {amount}");
        let lost = run(&world, &deposit, &fault("wallet.deposit.taken", side));
        assert_eq!(lost.exit, None, "{side}: {}", lost.value);
        world.start("center");
        let done = wait_until(PATIENCE, || {
            let _ = run(&world, "wallet refresh --home @bob", &[]);
            let balance = world.balance("bob");
            let arrived = world.account("south", "bob") == arrives;
            (arrived && balance["balance"] == left && balance["pending"] == "0.00").then_some(())
        });
        assert!(done.is_some(), "{side}: {} {}", world.account("south", "bob"), world.balance("bob"));
    }
    world.books_hold(&crate::cheque_tools::HOMES);
}
