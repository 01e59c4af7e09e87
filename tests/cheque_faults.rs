//! SIGKILL at every durable write of a cheque's way and of a transfer, in every process that takes part: drawer,
//! drawee, payee, collecting bank, center. After a restart the item is paid once, by itself or when the owner repeats
//! the command, and the books of all homes agree.
//!
//! The points enumerate themselves as in the tests of cash.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cheque_tools::{HOMES, book, clearing, is_paid, patient, uncapped, write};
use crate::faults::{Tally, kills, trace_file, trace_length, traced, traced_among, tracing};
use crate::world::{Answer, World, minor, wait_until};

const NODES: [&str; 4] = ["center", "north", "south", "shop"];
const WALLETS: [&str; 2] = ["alice", "bob"];
/// Commits that are no part of an act, whatever act it is.
const HOUSEKEEPING: [&str; 4] = [".register", ".crl.keep", ".members", ".lists"];
/// How long a process that was killed, and those that wait for it, may take to finish the work.
const PATIENCE: Duration = Duration::from_secs(80);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// Alice writes a cheque.
    Write,
    /// Bob deposits one.
    Deposit,
    /// The shop deposits one.
    Sell,
    /// One of Bob's comes back for want of funds.
    Bounce,
    /// A cycle with cheques in both directions is closed and settled.
    Settle,
    /// A cycle is settled that north cannot pay: its cheque is unwound.
    Unwind,
    /// Alice transfers to Bob.
    Transfer,
}

type Words = Vec<String>;

/// What is done and when it is done.
struct Scene {
    /// In whose home the commands work.
    owner: &'static str,
    /// Each must succeed; all may be repeated.
    commands: Vec<Words>,
    /// Commands that are repeated until they say that the item is final.
    finish: Vec<Words>,
    /// What they say then.
    end: &'static str,
}

struct Play {
    world: World,
    /// Minor units by bank and account.
    expected: BTreeMap<(&'static str, &'static str), i64>,
    /// Cheques that Alice has written.
    written: usize,
    number: u32,
    tally: Tally,
}

fn words(text: &[&str]) -> Words {
    text.iter().map(|word| (*word).to_owned()).collect()
}

fn deposit_of(name: &str, file: &str) -> Words {
    words(&[crate::world::role(name), "cheque", "deposit", "--home", &format!("@{name}"), file])
}

impl Play {
    fn new(world: World) -> Self {
        world.fund("south", "bob", "500.00");
        book(&world, "bob", 20);
        let expected = BTreeMap::from([
            (("north", "alice"), 100_000),
            (("south", "bob"), 50_000),
            (("south", "shop"), 0),
        ]);
        Self { world, expected, written: 0, number: 0, tally: Tally::default() }
    }

    fn wealth(&self) -> BTreeMap<(&'static str, &'static str), i64> {
        self.expected
            .keys()
            .map(|(bank, name)| ((*bank, *name), minor(&self.world.account(bank, name))))
            .collect()
    }

    fn moves(&mut self, from: (&'static str, &'static str), to: (&'static str, &'static str), amount: i64) {
        *self.expected.get_mut(&from).unwrap() -= amount;
        *self.expected.get_mut(&to).unwrap() += amount;
    }

    /// Everybody has on the account what is expected, every leaf was used once, and the books of all homes agree.
    fn settled(&self, what: &str) {
        let settled = wait_until(PATIENCE, || (self.wealth() == self.expected).then_some(()));
        assert!(settled.is_some(), "{what}: {:?} instead of {:?}", self.wealth(), self.expected);
        let listed = patient(&self.world, &["wallet", "cheque", "list", "--home", "@alice"]).ok();
        assert_eq!(listed["cheques"].as_array().unwrap().len(), self.written, "{what}: {listed}");
        let audit = self.world.audit(&HOMES);
        assert_eq!(audit.value["held"], true, "{what}: {}", audit.value["findings"]);
        assert_eq!(audit.value["closed_world"], true, "{what}");
    }

    fn run(&self, words: &Words, faults: &[(&str, String)]) -> Answer {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.world.run_with(&words, faults)
    }

    fn write(&mut self, from: &str, to: &str, amount: &str) -> (Words, String) {
        self.number += 1;
        let file = format!("@cheque-{}.json", self.number);
        let home = format!("@{from}");
        if self.number.is_multiple_of(10) {
            patient(&self.world, &["wallet", "cheque", "book", "--home", &home, "--leaves", "12"]).ok();
        }
        let memo = format!("number {}", self.number);
        let write = ["wallet", "cheque", "write", "--home", &home, "--to", to, "--amount", amount];
        let mut write = words(&write);
        write.extend(words(&["--memo", &memo, "--out", &file]));
        self.written += usize::from(from == "alice");
        (write, file)
    }

    fn written(&mut self, from: &str, to: &str, amount: &str) -> String {
        let (write, file) = self.write(from, to, amount);
        let write: Vec<&str> = write.iter().map(String::as_str).collect();
        patient(&self.world, &write).ok();
        file
    }

    /// Makes ready what the act needs without being part of it.
    fn prepare(&mut self, act: Act) -> Scene {
        let (alice, bob, shop) = (("north", "alice"), ("south", "bob"), ("south", "shop"));
        let scene = |owner, commands, finish| Scene { owner, commands, finish, end: "paid" };
        match act {
            Act::Write => {
                let (write, _) = self.write("alice", "south/bob", "0.50");
                scene("alice", vec![write], Vec::new())
            }
            Act::Deposit => {
                let file = self.written("alice", "south/bob", "0.11");
                self.moves(alice, bob, 11);
                scene("bob", vec![deposit_of("bob", &file)], vec![deposit_of("bob", &file)])
            }
            Act::Sell => {
                let file = self.written("alice", "south/shop", "0.13");
                self.moves(alice, shop, 13);
                scene("shop", vec![deposit_of("shop", &file)], vec![deposit_of("shop", &file)])
            }
            Act::Bounce => {
                let file = self.written("alice", "south/bob", "2000.00");
                scene("bob", vec![deposit_of("bob", &file)], Vec::new())
            }
            Act::Settle => {
                let (to, back) =
                    (self.written("alice", "south/bob", "0.31"), self.written("bob", "north/alice", "0.17"));
                self.moves(alice, bob, 14);
                for deposit in [deposit_of("bob", &to), deposit_of("alice", &back)] {
                    let paid = wait_until(PATIENCE, || {
                        (self.run(&deposit, &[]).value["paid"] == true).then_some(())
                    });
                    assert!(paid.is_some(), "{}", self.run(&deposit, &[]).value);
                }
                let close = words(&["center", "cycle", "close", "--home", "@center"]);
                let settle = words(&["center", "settle", "--home", "@center"]);
                scene("center", vec![close, settle], vec![deposit_of("bob", &to), deposit_of("alice", &back)])
            }
            Act::Unwind => {
                let file = self.written("alice", "south/bob", "80.00");
                let deposit = deposit_of("bob", &file);
                let paid =
                    wait_until(PATIENCE, || (self.run(&deposit, &[]).value["paid"] == true).then_some(()));
                assert!(paid.is_some(), "{}", self.run(&deposit, &[]).value);
                let close = words(&["center", "cycle", "close", "--home", "@center"]);
                let settle = words(&["center", "settle", "--home", "@center"]);
                Scene {
                    owner: "center",
                    commands: vec![close, settle],
                    finish: vec![deposit],
                    end: "returned",
                }
            }
            Act::Transfer => {
                self.number += 1;
                let memo = format!("number {}", self.number);
                let order =
                    ["wallet", "transfer", "--home", "@alice", "--to", "south/bob", "--amount", "0.07"];
                let mut order = words(&order);
                order.extend(words(&["--memo", &memo]));
                self.moves(alice, bob, 7);
                scene("alice", vec![order], Vec::new())
            }
        }
    }

    /// Plays what is left of the scene until it is done; true when a process with these faults died of them.
    fn finish(&self, scene: &Scene, repeat: bool, faults: &[(&str, String)]) -> bool {
        let mut again = repeat;
        let mut died = false;
        let done = wait_until(PATIENCE, || {
            if again {
                for command in &scene.commands {
                    let answer = self.run(command, faults);
                    died |= answer.exit.is_none();
                    let waits = scene.finish.is_empty() && answer.value["outcome"] == "pending";
                    if died || answer.exit != Some(0) || waits {
                        return died.then_some(());
                    }
                }
            }
            for command in &scene.finish {
                let faults = if command[3] == format!("@{}", scene.owner) { faults } else { &[] };
                let answer = self.run(command, faults);
                died |= answer.exit.is_none();
                if died || answer.value["outcome"] != scene.end {
                    return died.then_some(());
                }
            }
            again = false;
            Some(())
        });
        assert!(done.is_some(), "{:?}: {}", scene.commands, self.run(&scene.commands[0], &[]).value);
        died
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
        let faults = tracing(&self.world, scene.owner);
        let own = WALLETS.contains(&scene.owner);
        self.finish(&scene, true, if own { &faults } else { &[] });
        self.settled("tracing");
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
        points
    }

    /// Plays the act with `name` killed at a point of it.
    fn play(&mut self, act: Act, name: &str, point: &str, side: &str) {
        let what = format!("{act:?}, {name} killed {side} {point}");
        let faults = [("FEIQIAN_FAULT", format!("{point}@{side}#1"))];
        let scene = self.prepare(act);
        let died = if WALLETS.contains(&name) {
            let died = self.finish(&scene, true, &faults);
            // Killed between the last commit and the answer: the same words would be another cheque.
            let reported = point.ends_with(".report") && side == "after" && scene.finish.is_empty();
            if died && !reported {
                self.finish(&scene, true, &[]);
            }
            died
        } else {
            self.with_dying_node(&scene, name, &faults)
        };
        self.tally.count(name, point, died, &what);
        self.settled(&what);
    }

    fn with_dying_node(&mut self, scene: &Scene, node: &str, faults: &[(&str, String)]) -> bool {
        self.world.kill(node);
        let mut died = !self.world.start_with(node, faults);
        let mut done = false;
        if !died {
            done = scene.commands.iter().all(|command| {
                let answer = self.run(command, &[]);
                answer.exit == Some(0) && answer.value["outcome"] != "pending"
            });
            died = self.world.died(node, Duration::from_millis(1_000));
            if !died {
                self.world.kill(node);
            }
        }
        self.world.start(node);
        self.finish(scene, !done, &[]);
        died
    }
}

/// Kills everybody everywhere in this act.
fn kill_everywhere(world: World, act: Act, among: &[(&str, &str)]) {
    let mut play = Play::new(world);
    let points = play.enumerate(act);
    traced_among(&points, among);
    eprintln!("{act:?}: {points:?}");
    for (name, point, side) in kills(points) {
        play.play(act, &name, &point, side);
    }
    play.tally.held(among, &HOUSEKEEPING);
}

#[test]
fn killed_while_writing_a_cheque() {
    kill_everywhere(
        clearing("gross"),
        Act::Write,
        &[
            ("alice", "wallet.cheque.tear"),
            ("alice", "wallet.cheque.sign"),
            ("alice", "wallet.cheque.issued"),
            ("alice", "wallet.cheque.report"),
            ("north", "bank.cheque.issue"),
        ],
    );
}

#[test]
fn killed_while_a_wallet_deposits_a_cheque() {
    kill_everywhere(
        clearing("gross"),
        Act::Deposit,
        &[
            ("bob", "wallet.cheque.plan"),
            ("bob", "wallet.cheque.answer"),
            ("south", "bank.cheque.present"),
            ("center", "center.present.reserve"),
            ("north", "bank.pay.cheque"),
            ("center", "center.present.outcome"),
            ("south", "bank.cheque.outcome"),
            ("center", "center.notice.told"),
            ("south", "bank.cheque.settled"),
            ("north", "bank.cheque.settled"),
        ],
    );
}

#[test]
fn killed_while_a_merchant_deposits_a_cheque() {
    kill_everywhere(
        clearing("gross"),
        Act::Sell,
        &[
            ("shop", "merchant.cheque.plan"),
            ("shop", "merchant.cheque.outcome"),
            ("south", "bank.cheque.present"),
            ("center", "center.present.reserve"),
            ("north", "bank.pay.cheque"),
            ("center", "center.present.outcome"),
            ("south", "bank.cheque.outcome"),
            ("center", "center.notice.told"),
            ("south", "bank.cheque.settled"),
            ("north", "bank.cheque.settled"),
        ],
    );
}

#[test]
fn killed_while_a_cheque_bounces() {
    kill_everywhere(
        clearing("gross"),
        Act::Bounce,
        &[
            ("bob", "wallet.cheque.answer"),
            ("south", "bank.cheque.present"),
            ("north", "bank.pay.cheque"),
            ("south", "bank.cheque.outcome"),
        ],
    );
}

#[test]
fn killed_while_a_cycle_is_netted_and_settled() {
    kill_everywhere(
        clearing("net"),
        Act::Settle,
        &[
            ("center", "center.cycle.close"),
            ("center", "center.cycle.reserve"),
            ("center", "center.cycle.settle"),
            ("center", "center.notice.told"),
            ("north", "bank.cheque.settled"),
            ("south", "bank.cheque.settled"),
        ],
    );
}

#[test]
fn killed_while_a_cycle_is_unwound() {
    let among = [
        ("center", "center.cycle.close"),
        ("center", "center.cycle.reserve"),
        ("center", "center.notice.told"),
        ("north", "bank.cheque.settled"),
    ];
    kill_everywhere(uncapped("50.00"), Act::Unwind, &among);
}

#[test]
fn killed_while_transferring() {
    kill_everywhere(
        clearing("gross"),
        Act::Transfer,
        &[
            ("alice", "wallet.cheque.plan"),
            ("alice", "wallet.cheque.answer"),
            ("north", "bank.transfer.present"),
            ("south", "bank.pay.transfer"),
            ("north", "bank.transfer.outcome"),
            ("center", "center.present.outcome"),
        ],
    );
}

#[test]
fn killed_while_certificates_change() {
    let mut world = clearing("gross");
    let acts: [(&str, &[&str]); 2] = [
        ("bank.certificate.renew", &["wallet", "certificate", "renew", "--home", "@alice"]),
        ("bank.cheque.book", &["wallet", "cheque", "book", "--home", "@alice", "--leaves", "3"]),
    ];
    for (number, (point, command)) in acts.iter().enumerate() {
        for side in ["before", "after"] {
            world.kill("north");
            assert!(world.start_with("north", &[("FEIQIAN_FAULT", format!("{point}@{side}#1"))]));
            let lost = world.run(command);
            assert_eq!(lost.exit, Some(3), "{point} {side}: {}", lost.value);
            assert!(world.died("north", Duration::from_secs(5)), "{point} {side} was not reached");
            world.start("north");
            // The same command takes up what was interrupted.
            patient(&world, command).ok();
            let file = format!("after-{number}-{side}");
            let cheque = write(&world, "alice", "south/shop", "1.00", &file, &[]);
            is_paid(&world, "shop", &cheque.file);
        }
    }
    let listed = world.ok(&["wallet", "cheque", "list", "--home", "@alice"]);
    assert_eq!(listed["leaves"], 20 + 2 * 3 - 4, "each book was allotted once: {listed}");
    assert_eq!(world.account("south", "shop"), "4.00");
    world.books_hold(&HOMES);
}
