//! SIGKILL at every durable write of offline cash, in every process that takes part: whoever withdraws, pays, passes on,
//! takes, deposits and claims; the till; the collecting bank, the center, the issuing bank. After a restart the work goes
//! on, by itself or when the owner repeats the command; the books of all homes agree; and **no coin ever gives a second
//! answer**: a payment that is asked for again is the same bytes, and nobody is accused.
//!
//! The points enumerate themselves as in the tests of cash.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::faults::{Tally, kills, trace_file, trace_length, traced, traced_among, tracing};
use crate::offline_lost::short_lived;
use crate::offline_tools::{accused, asked, market_of_three, opened, typed, withdrawn};
use crate::world::{Answer, World, minor, wait_until};

const HOMES: [&str; 7] = ["center", "north", "south", "shop", "alice", "bob", "carol"];
const NODES: [&str; 4] = ["center", "north", "south", "shop"];
/// Commits that are no part of an act, whatever act it is.
const HOUSEKEEPING: [&str; 6] = [".register", ".crl.keep", ".members", ".lists", ".view", ".exposed"];
/// How long a process that was killed, and those that wait for it, may take to finish the work.
const PATIENCE: Duration = Duration::from_secs(80);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Alice withdraws offline coins.
    Withdraw,
    /// Bob gets blanks.
    Blanks,
    /// Alice pays the shop's request.
    Pay,
    /// The shop takes a payment, and deposits it across banks.
    Accept,
    /// Alice passes value to Bob.
    Pass,
    /// Bob takes it.
    Take,
    /// Bob deposits what he got.
    Deposit,
}

/// What is done and when it is done.
struct Scene {
    /// In whose home the command works.
    owner: &'static str,
    /// May be repeated until it succeeds.
    command: String,
    /// What goes on after it and is part of the act: repeated until nothing is queued.
    part: Option<String>,
    /// The same again gives this file byte for byte.
    file: Option<String>,
    /// What others do when it is done; all may be repeated.
    after: Vec<String>,
}

/// What everybody must own, minor units, and how many blanks Bob must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wealth {
    account: i64,
    coins: i64,
    bob: i64,
    received: i64,
    shop: i64,
    blanks: u64,
}

struct Play {
    world: World,
    expected: Wealth,
    number: u32,
    tally: Tally,
}

impl Play {
    fn new() -> Self {
        let world = market_of_three();
        let expected = Wealth { account: 7_000, coins: 2_000, bob: 0, received: 0, shop: 0, blanks: 24 };
        Self { world, expected, number: 0, tally: Tally::default() }
    }

    fn wealth(&self) -> Option<Wealth> {
        let offline = |name: &str| {
            let answer = self.world.run(&["wallet", "balance", "--home", &format!("@{name}")]);
            let offline = answer.value["offline"].clone();
            (offline["pending"] == "0.00").then_some(offline)
        };
        let (alice, bob) = (offline("alice")?, offline("bob")?);
        Some(Wealth {
            account: minor(&self.world.account("north", "alice")),
            coins: minor(alice["balance"].as_str()?),
            bob: minor(&self.world.account("north", "bob")),
            received: minor(bob["balance"].as_str()?),
            shop: minor(&self.world.account("south", "shop")),
            blanks: bob["blanks"].as_u64()?,
        })
    }

    /// Everybody owns what is expected, nobody is accused, and the books of all homes agree.
    fn settled(&self, what: &str) {
        let settled = wait_until(PATIENCE, || (self.wealth() == Some(self.expected)).then_some(()));
        assert!(settled.is_some(), "{what}: {:?} instead of {:?}", self.wealth(), self.expected);
        let audit = self.world.audit(&HOMES);
        assert_eq!(audit.value["held"], true, "{what}: {}", audit.value["findings"]);
        assert_eq!(audit.value["closed_world"], true, "{what}");
        assert!(accused(&self.world, "north").is_empty(), "{what}: somebody is accused");
    }

    fn run(&self, command: &str, faults: &[(&str, String)]) -> Answer {
        self.world.run_with(&crate::world::words(command), faults)
    }

    fn next(&mut self) -> String {
        self.number += 1;
        format!("act-{}", self.number)
    }

    /// Blanks for Bob.
    fn more_blanks(&mut self) {
        if self.expected.blanks < 8 {
            typed(&self.world, "wallet blanks --home @bob 16");
            self.expected.blanks += 16;
        }
    }

    /// What Alice gives away she withdraws before, so that its pieces are there however often this is played.
    fn ready(&mut self, minor: i64) -> String {
        let amount = format!("0.{minor:02}");
        withdrawn(&self.world, "alice", &amount);
        self.expected.account -= minor;
        amount
    }

    /// Alice's value for Bob, ready to be passed; the command that does it.
    fn offered(&mut self, minor: i64) -> (String, String) {
        self.more_blanks();
        let (name, amount) = (self.next(), self.ready(minor));
        let before = self.world.balance("bob")["offline"]["blanks"].as_u64().unwrap();
        let code = opened(&self.world, ("alice", "bob"), &amount, &name);
        let after = self.world.balance("bob")["offline"]["blanks"].as_u64().unwrap();
        self.expected.blanks -= before - after;
        let pass = format!("wallet transfer-coin --home @alice --to @{name}.opened --code {code}");
        (format!("{pass} --out @{name}.transfer"), format!("wallet accept --home @bob @{name}.transfer"))
    }

    /// Makes ready what the act needs without being part of it.
    fn prepare(&mut self, act: Act) -> Scene {
        let name = self.next();
        let scene =
            |owner, command: String| Scene { owner, command, part: None, file: None, after: Vec::new() };
        let pay = format!("wallet pay --offline --home @alice @{name}.request --out @{name}.payment");
        let accept = format!("merchant accept --home @shop @{name}.payment");
        match act {
            Act::Withdraw => {
                self.expected.account -= 11;
                self.expected.coins += 11;
                scene("alice", "wallet withdraw --offline --home @alice 0.11".to_owned())
            }
            Act::Blanks => {
                self.expected.blanks += 2;
                scene("bob", "wallet blanks --home @bob 2".to_owned())
            }
            Act::Pay => {
                let amount = self.ready(13);
                asked(&self.world, "shop", &amount, &name);
                self.expected.shop += 13;
                Scene { file: Some(format!("{name}.payment")), after: vec![accept], ..scene("alice", pay) }
            }
            Act::Accept => {
                let amount = self.ready(17);
                asked(&self.world, "shop", &amount, &name);
                typed(&self.world, &pay);
                self.expected.shop += 17;
                let queue = "merchant deposit-queue --home @shop".to_owned();
                Scene { part: Some(queue), ..scene("shop", accept) }
            }
            Act::Pass => {
                let (pass, accept) = self.offered(5);
                self.expected.received += 5;
                let name = format!("act-{}.transfer", self.number);
                Scene { file: Some(name), after: vec![accept], ..scene("alice", pass) }
            }
            Act::Take => {
                let (pass, accept) = self.offered(5);
                typed(&self.world, &pass);
                self.expected.received += 5;
                scene("bob", accept)
            }
            Act::Deposit => {
                let (pass, accept) = self.offered(7);
                typed(&self.world, &pass);
                typed(&self.world, &accept);
                self.expected.bob += 7;
                scene("bob", "wallet deposit --offline --home @bob 0.07".to_owned())
            }
        }
    }

    /// Repeats the command until it succeeds, then what comes after it; what it wrote stays the same.
    fn finish(&self, scene: &Scene, again: bool) {
        let file = scene.file.as_ref().map(|name| self.world.home(name));
        let before = file.as_ref().and_then(|file| std::fs::read(file).ok());
        let commands = again.then_some(&scene.command).into_iter().chain(&scene.part).chain(&scene.after);
        for command in commands {
            let done = wait_until(PATIENCE, || is_done(&self.run(command, &[])).then_some(()));
            assert!(done.is_some(), "{command}: {}", self.run(command, &[]).value);
        }
        if let Some(file) = file {
            let written = std::fs::read(&file).unwrap();
            assert!(before.is_none_or(|before| before == written), "{}: another answer", file.display());
            self.run(&scene.command, &[]).ok();
            assert_eq!(std::fs::read(&file).unwrap(), written, "{}: another answer", file.display());
        }
    }

    /// Plays the act once with every process tracing; answers the commits of each.
    fn enumerate(&mut self, act: Act) -> Vec<(String, String)> {
        for name in NODES {
            self.world.kill(name);
            let faults = tracing(&self.world, name);
            assert!(self.world.start_with(name, &faults), "{}", self.world.log(name));
        }
        let scene = self.prepare(act);
        let before: Vec<usize> = NODES.iter().map(|name| trace_length(&self.world, name)).collect();
        let own = !NODES.contains(&scene.owner);
        let faults = tracing(&self.world, scene.owner);
        self.run(&scene.command, if own { &faults } else { &[] }).ok();
        self.queue_empties(&scene, PATIENCE);
        let mut points = Vec::new();
        for (name, from) in NODES.iter().zip(before) {
            points
                .extend(traced(&self.world, name, from).into_keys().map(|point| ((*name).to_owned(), point)));
        }
        if own {
            let commits = traced(&self.world, scene.owner, 0).into_keys();
            points.extend(commits.map(|point| (scene.owner.to_owned(), point)));
            std::fs::remove_file(trace_file(&self.world, scene.owner)).unwrap();
        }
        self.finish(&scene, false);
        self.settled("tracing");
        points
    }

    /// Plays the part that goes on after the command; whether it ended.
    fn queue_empties(&self, scene: &Scene, patience: Duration) -> bool {
        let Some(part) = &scene.part else { return true };
        wait_until(patience, || is_done(&self.run(part, &[])).then_some(())).is_some()
    }

    /// Plays the act with `name` killed at a point of it.
    fn play(&mut self, act: Act, name: &str, point: &str, side: &str) {
        let what = format!("{act:?}, {name} killed {side} {point}");
        let faults = [("FEIQIAN_FAULT", format!("{point}@{side}#1"))];
        let scene = self.prepare(act);
        let died = if NODES.contains(&name) {
            self.with_dying_node(&scene, name, &faults)
        } else {
            let died = self.run(&scene.command, &faults).exit.is_none();
            // Killed between the last commit and the answer: the same words would be another act.
            let reported = point.ends_with(".report") && side == "after";
            self.finish(&scene, died && !reported);
            died
        };
        self.tally.count(name, point, died, &what);
        self.settled(&what);
    }

    fn with_dying_node(&mut self, scene: &Scene, node: &str, faults: &[(&str, String)]) -> bool {
        self.world.kill(node);
        let mut died = !self.world.start_with(node, faults);
        let mut done = false;
        if !died {
            done = is_done(&self.run(&scene.command, &[]));
            // What waits between two processes is tried again after a while.
            for _ in 0..20 {
                died = self.world.died(node, Duration::from_millis(500));
                if died || (done && self.queue_empties(scene, Duration::ZERO)) {
                    break;
                }
            }
            died = died || self.world.died(node, Duration::from_millis(500));
            if !died {
                self.world.kill(node);
            }
        }
        self.world.start(node);
        self.finish(scene, !done);
        died
    }
}

/// The command has come to its end: nothing is pending, nothing queued.
fn is_done(answer: &Answer) -> bool {
    let queued = answer.value["queued"].as_u64().unwrap_or(0);
    answer.exit == Some(0) && answer.value["outcome"] != "pending" && queued == 0
}

/// Kills everybody everywhere in these acts.
fn kill_everywhere(acts: &[(Act, &[(&str, &str)])]) {
    let mut play = Play::new();
    for (act, among) in acts {
        let points = play.enumerate(*act);
        traced_among(&points, among);
        eprintln!("{act:?}: {points:?}");
        for (name, point, side) in kills(points) {
            play.play(*act, &name, &point, side);
        }
    }
    let among: Vec<_> = acts.iter().flat_map(|(_, among)| among.iter().copied()).collect();
    play.tally.held(&among, &HOUSEKEEPING);
}

#[test]
fn killed_while_withdrawing_offline() {
    let own = ["plan", "commit", "sign", "coins", "report"].map(|step| format!("wallet.offline.{step}"));
    let bank = ["begin", "finish"].map(|step| format!("bank.offline.{step}"));
    let among = |owner: &'static str| -> Vec<(&str, &str)> {
        let own = own.iter().map(|point| (owner, point.as_str()));
        own.chain(bank.iter().map(|point| ("north", point.as_str()))).collect()
    };
    kill_everywhere(&[(Act::Withdraw, &among("alice")), (Act::Blanks, &among("bob"))]);
}

#[test]
fn killed_while_paying_and_accepting_offline() {
    let deposit = [
        ("shop", "merchant.offline.accept"),
        ("shop", "merchant.offline.try"),
        ("shop", "merchant.offline.outcome"),
        ("south", "bank.offline.present"),
        ("center", "center.present.reserve"),
        ("north", "bank.pay.holding"),
    ];
    kill_everywhere(&[(Act::Pay, &[("alice", "wallet.offline.pay")]), (Act::Accept, &deposit)]);
}

#[test]
fn killed_while_passing_and_taking_from_hand_to_hand() {
    let deposit = [
        ("bob", "wallet.offline.deposit"),
        ("bob", "wallet.offline.deposited"),
        ("bob", "wallet.offline.deposit.report"),
        ("north", "bank.offline.deposit"),
    ];
    kill_everywhere(&[
        (Act::Pass, &[("alice", "wallet.offline.pass")]),
        (Act::Take, &[("bob", "wallet.offline.accept")]),
        (Act::Deposit, &deposit),
    ]);
}

/// How long an epoch issues, then pays, is deposited, and is claimed, seconds.
const EPOCH: [u64; 4] = [50, 1, 1, 75];
/// Whose claims are killed: one at every side of every commit.
const CLAIMANTS: usize = 8;

/// Claims until it says so.
fn claimed(world: &World, name: &str, field: &str, amount: &str, patience: Duration) {
    let command = ["wallet", "offline", "reclaim", "--home", &format!("@{name}")].map(str::to_owned);
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let done = wait_until(patience, || (world.run(&command).value[field] == amount).then_some(()));
    assert!(done.is_some(), "{name}: {}: {}", world.run(&command).value, world.log("north"));
}

#[test]
fn killed_while_claiming_what_nobody_deposited() {
    let mut world = short_lived(EPOCH);
    let names: Vec<String> = (0..CLAIMANTS).map(|number| format!("claimant-{number}")).collect();
    for name in &names {
        world.wallet(name, "north");
        world.fund("north", name, "1.00");
    }
    let mut due = BTreeMap::new();
    for name in &names {
        withdrawn(&world, name, "0.01");
        let pay_until = world.balance(name)["offline"]["pay_until"].as_u64().unwrap_or_else(now);
        due.insert(name.as_str(), pay_until + EPOCH[2]);
    }
    let reclaim = |name: &str| format!("wallet offline reclaim --home @{name}");
    // One claims in peace, and shows by what commits.
    let (first, others) = names.split_first().unwrap();
    world.kill("north");
    let faults = tracing(&world, "north");
    assert!(world.start_with("north", &faults));
    let from = trace_length(&world, "north");
    let faults = tracing(&world, first);
    let filed = wait_until(Duration::from_secs(EPOCH[0] + 60), || {
        let told = world.run_with(&crate::world::words(&reclaim(first)), &faults);
        (told.value["filed"] == "0.01").then_some(())
    });
    assert!(filed.is_some(), "{}", world.log("north"));
    let mut points: BTreeMap<(&str, String), ()> = BTreeMap::new();
    let own = traced(&world, first, 0).into_keys().filter(|point| point.starts_with("wallet.offline.claim"));
    points.extend(own.map(|point| (("wallet", point), ())));
    let bank = traced(&world, "north", from).into_keys().filter(|point| point.contains("reclaim"));
    points.extend(bank.map(|point| (("north", point), ())));
    for point in ["wallet.offline.claim", "wallet.offline.claimed"] {
        assert!(points.contains_key(&("wallet", point.to_owned())), "{points:?}");
    }
    assert!(points.contains_key(&("north", "bank.offline.reclaim".to_owned())), "{points:?}");
    let kills = points.keys().flat_map(|(who, point)| ["before", "after"].map(|side| (*who, point, side)));
    let kills: Vec<_> = kills.collect();
    assert!(kills.len() < names.len(), "more claimants are needed: {kills:?}");
    for ((who, point, side), name) in kills.iter().zip(others) {
        sleep_until(due[name.as_str()] + 1);
        let faults = [("FEIQIAN_FAULT", format!("{point}@{side}#1"))];
        if *who == "north" {
            world.kill("north");
            assert!(world.start_with("north", &faults), "{}", world.log("north"));
            let lost = world.run(&crate::world::words(&reclaim(name)));
            assert!(world.died("north", Duration::from_secs(5)), "{point} {side}: {}", lost.value);
            world.start("north");
        } else {
            let lost = world.run_with(&crate::world::words(&reclaim(name)), &faults);
            assert_eq!(lost.exit, None, "{point} {side}: {}", lost.value);
        }
        claimed(&world, name, "filed", "0.01", PATIENCE);
    }
    // Those that nobody killed claim too, before it is too late.
    for name in others.iter().skip(kills.len()) {
        claimed(&world, name, "filed", "0.01", PATIENCE);
    }
    let decided = due.values().max().unwrap() + EPOCH[3];
    decide_with_kills(&mut world, &names, decided);
}

/// The system's clock, as the nodes read it.
fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn sleep_until(second: u64) {
    std::thread::sleep(Duration::from_secs(second.saturating_sub(now())));
}

/// The bank dies before and after its first decision.
fn decide_with_kills(world: &mut World, names: &[String], decided: u64) {
    world.kill("north");
    sleep_until(decided + 1);
    let mut deaths = 0;
    for side in ["before", "after"] {
        let faults = [("FEIQIAN_FAULT", format!("bank.offline.decide@{side}#1"))];
        let died = !world.start_with("north", &faults) || world.died("north", Duration::from_secs(30));
        deaths += u32::from(died);
        if !died {
            world.kill("north");
        }
    }
    assert_eq!(deaths, 2, "{}", world.log("north"));
    world.start("north");
    for name in names {
        claimed(world, name, "paid", "0.01", PATIENCE);
        assert_eq!(world.account("north", name), "1.00", "{name}: the claim was paid once");
    }
    let mut homes = vec!["center", "north", "south", "shop", "alice"];
    homes.extend(names.iter().map(String::as_str));
    world.books_hold(&homes);
}
