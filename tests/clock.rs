//! A clock that jumps by a day, back or forward, and is set right again: of every node in turn, and of a wallet. Meanwhile
//! what cannot go on is refused with a code; the books hold at every moment; when the clock is right everything goes on.

use std::path::PathBuf;
use std::time::Duration;

use crate::world::{Answer, World, minor, wait_until, words};

const HOMES: [&str; 6] = ["center", "north", "south", "shop", "alice", "bob"];
const NODES: [&str; 4] = ["center", "north", "south", "shop"];
const DAY: i64 = 86_400;
/// How long everything may take to go on once the clock is right.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough that background work has seen the wrong time.
const WRONG: Duration = Duration::from_secs(3);

struct Play {
    world: World,
    orders: u32,
    /// Minor units that Alice owns in coins and on her account, and the shop on its own.
    expected: (i64, i64),
    refusals: std::collections::BTreeMap<String, u32>,
}

/// The file that says by how many seconds the clock of `name` is wrong.
fn clock(world: &World, name: &str) -> PathBuf {
    world.home(&format!("{name}.clock"))
}

impl Play {
    fn new() -> Self {
        let mut world = World::shopping("30.00");
        for name in ["north", "south"] {
            world.stop(name);
            let file = world.home(name).join("config.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(text.contains("sync_seconds = 30"), "{text}");
            std::fs::write(&file, text.replace("sync_seconds = 30", "sync_seconds = 1")).unwrap();
        }
        for name in ["center", "shop"] {
            world.stop(name);
        }
        for name in NODES {
            let wrong = [("FEIQIAN_CLOCK", clock(&world, name).display().to_string())];
            assert!(world.start_with(name, &wrong), "{}", world.log(name));
        }
        let mut play = Self { world, orders: 0, expected: (10_000, 0), refusals: Default::default() };
        play.goes_on("the beginning");
        play
    }

    fn set(&self, name: &str, by: i64) {
        // Read at any moment: it is never half written.
        let file = clock(&self.world, name);
        let beside = file.with_extension("new");
        std::fs::write(&beside, by.to_string()).unwrap();
        std::fs::rename(&beside, &file).unwrap();
    }

    fn run(&self, command: &str) -> Answer {
        // Only a wallet's own commands read the wallet's clock: others have that of their node.
        let name = if command.starts_with("wallet") { "alice" } else { "shop" };
        let wrong = [("FEIQIAN_CLOCK", clock(&self.world, name).display().to_string())];
        self.world.run_with(&words(command), &wrong)
    }

    /// A withdrawal, a payment, a deposit: done, or refused for a reason that has a code.
    fn tried(&mut self, what: &str) {
        self.orders += 1;
        let order = format!("order-{}", self.orders);
        let mut commands = vec!["wallet withdraw --home @alice 0.10".to_owned()];
        let request = self.run(&format!("merchant request --home @shop --amount 0.20 --order {order}"));
        if let Some(uri) = request.value["uri"].as_str() {
            commands.push(format!("wallet pay --home @alice {uri}"));
        }
        commands.push("wallet deposit --home @alice 0.30".to_owned());
        let mut answers: Vec<(String, Answer)> = vec![("request".to_owned(), request)];
        for command in commands {
            let answer = self.run(&command);
            answers.push((command, answer));
        }
        for (command, answer) in answers {
            if answer.exit == Some(0) {
                continue;
            }
            let error = &answer.value["error"];
            let code = answer.code().to_owned();
            assert!(
                !["", "INTERNAL", "BROKEN_INVARIANT"].contains(&code.as_str()),
                "{what}: `{command}` ended with {:?}: {}",
                answer.exit,
                answer.value
            );
            assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{what}: {error}");
            *self.refusals.entry(code).or_default() += 1;
        }
        let audit = self.world.audit(&HOMES);
        assert_eq!(audit.value["held"], true, "{what}: {}", audit.value["findings"]);
    }

    /// What Alice owns in all, and the shop; none while something is pending.
    fn wealth(&self) -> Option<(i64, i64)> {
        let balance = self.world.run(&["wallet", "balance", "--home", "@alice"]).value;
        if balance["pending"] != "0.00" {
            return None;
        }
        let account = minor(&self.world.account("north", "alice"));
        let shop = minor(&self.world.account("south", "shop"));
        Some((minor(balance["balance"].as_str()?) + account, shop))
    }

    /// With every clock right: a withdrawal, a payment and a deposit go through, once; nobody is poorer.
    fn goes_on(&mut self, what: &str) {
        self.orders += 1;
        let order = format!("after-{}", self.orders);
        let patient = |command: &str| {
            let done =
                wait_until(PATIENCE, || Some(self.run(command)).filter(|answer| answer.exit == Some(0)));
            done.unwrap_or_else(|| {
                let logs: Vec<String> = NODES.iter().map(|node| self.world.log(node)).collect();
                panic!("{what}: `{command}`: {}\n{}", self.run(command).value, logs.join("\n"))
            })
            .value
        };
        patient("wallet withdraw --home @alice 1.00");
        let request = patient(&format!("merchant request --home @shop --amount 0.50 --order {order}"));
        let uri = request["uri"].as_str().unwrap();
        patient(&format!("wallet pay --home @alice {uri}"));
        patient("wallet deposit --home @alice 0.50");
        // What was pending when the clock was wrong may have come either way: all of it is somewhere, and at rest.
        let all = self.expected.0 + self.expected.1;
        let rest = wait_until(PATIENCE, || self.wealth().filter(|(alice, shop)| alice + shop == all));
        let (alice, shop) = rest.unwrap_or_else(|| panic!("{what}: {:?} is not {all}", self.wealth()));
        assert!(shop >= self.expected.1 + 50, "{what}: the shop was paid: {shop}");
        self.expected = (alice, shop);
        self.world.books_hold(&HOMES);
    }
}

/// Every node's clock in turn, and the wallet's, is wrong by so many seconds for a while.
fn jumps(by: i64) {
    let mut play = Play::new();
    for name in NODES.into_iter().chain(["alice"]) {
        let what = format!("the clock of {name} jumps by {by} s");
        play.set(name, by);
        play.tried(&what);
        std::thread::sleep(WRONG);
        play.tried(&what);
        play.set(name, 0);
        play.goes_on(&format!("{what} and back"));
        for node in NODES {
            assert!(!play.world.log(node).contains("panicked"), "{what}: {}", play.world.log(node));
        }
    }
    println!("refused while a clock was wrong: {:?}", play.refusals);
    play.world.stop_all();
    play.world.books_hold(&HOMES);
}

#[test]
fn a_clock_that_jumps_back_by_a_day_and_is_set_right_keeps_money_whole() {
    jumps(-DAY);
}

#[test]
fn a_clock_that_jumps_forward_by_a_day_and_is_set_right_keeps_money_whole() {
    jumps(DAY);
}
