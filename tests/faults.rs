//! SIGKILL at every durable write and every outgoing message of withdraw, pay, refresh and refund, in every node that takes
//! part: after a restart the work goes on by itself, the audit holds, and nobody is poorer.
//!
//! The points enumerate themselves: each act is played once with every process tracing the names of its commits and
//! messages; then it is played again for every process and every name, with that process killed there: before and after a
//! commit, before a message leaves and when its answer has arrived. Messages of a role to the same route are killed in one
//! act, whichever comes to it first.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::world::{Answer, World, minor, wait_until};

const HOMES: [&str; 6] = ["center", "north", "south", "shop", "alice", "bob"];
const NODES: [&str; 4] = ["center", "north", "south", "shop"];
/// How long a node that was killed, and those that wait for it, may take to finish the work.
const PATIENCE: Duration = Duration::from_secs(40);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Withdraw,
    Pay,
    Refresh,
    Refund,
}

/// What everybody must own, minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wealth {
    coins: i64,
    account: i64,
    shop: i64,
}

struct Play {
    world: World,
    expected: Wealth,
    orders: u32,
    tally: Tally,
}

pub(crate) fn trace_file(world: &World, name: &str) -> PathBuf {
    world.folder().join(format!("{name}.trace"))
}

/// How many bytes the trace of `name` has.
pub(crate) fn trace_length(world: &World, name: &str) -> usize {
    std::fs::metadata(trace_file(world, name)).map_or(0, |file| usize::try_from(file.len()).unwrap())
}

/// The names of the commits and messages that `name` made since its trace was `from` bytes long.
pub(crate) fn traced(world: &World, name: &str, from: usize) -> BTreeMap<String, u32> {
    let text = std::fs::read_to_string(trace_file(world, name)).unwrap_or_default();
    let mut points = BTreeMap::new();
    for line in text.get(from..).unwrap_or_default().lines() {
        *points.entry(line.to_owned()).or_default() += 1;
    }
    points
}

/// The same, each once, in the order in which they came first.
pub(crate) fn traced_in_order(world: &World, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(trace_file(world, name)).unwrap_or_default();
    let mut seen = BTreeSet::new();
    text.lines().filter(|line| seen.insert(*line)).map(str::to_owned).collect()
}

/// The moments of messages at which some act was killed, or is about to be.
static CLAIMED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

fn claimed() -> MutexGuard<'static, BTreeSet<String>> {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Another act may be killed there: this one did not come by, or has it anyway.
pub(crate) fn unclaim(point: &str) {
    claimed().remove(point);
}

pub(crate) fn is_message(point: &str) -> bool {
    point.starts_with("send.") || point.starts_with("answered.")
}

/// A process, a point of it, and on which side of it the process is killed.
pub(crate) type Kill = (String, String, &'static str);

/// Where an act is killed of all that it reaches: at each commit before it and after it, and at each moment of a message
/// that no other act is killed at.
pub(crate) fn kills(points: Vec<(String, String)>) -> Vec<Kill> {
    let mut claimed = claimed();
    let mut kills = Vec::new();
    for (name, point) in points {
        if !is_message(&point) {
            kills.extend(["before", "after"].map(|side| (name.clone(), point.clone(), side)));
        } else if claimed.insert(point.clone()) {
            kills.push((name, point, "before"));
        }
    }
    kills
}

/// Who was killed where, and where somebody should have been who did not come by.
#[derive(Default)]
pub(crate) struct Tally {
    met: BTreeSet<(String, String)>,
    missed: Vec<String>,
    played: usize,
}

impl Tally {
    /// One was to be killed at this point; `what` is said of it when it was not.
    pub(crate) fn count(&mut self, name: &str, point: &str, died: bool, what: &str) {
        self.played += 1;
        if died {
            self.met.insert((name.to_owned(), point.to_owned()));
        } else {
            unclaim(point);
            self.missed.push(what.to_owned());
        }
    }

    /// The commits of the act itself were met, each of them, and of the others nearly all: housekeeping, which has these in its
    /// names, comes when it comes.
    pub(crate) fn held(&self, among: &[(&str, &str)], housekeeping: &[&str]) {
        eprintln!("{} kills; not reached: {:#?}", self.played, self.missed);
        assert!(!self.met.is_empty(), "nobody was killed");
        for (name, point) in among {
            let met = self.met.contains(&((*name).to_owned(), (*point).to_owned()));
            assert!(met, "{name} was never killed at {point}: {:?}", self.missed);
        }
        let missed = self.missed.iter().filter(|what| !housekeeping.iter().any(|point| what.contains(point)));
        assert!(missed.count() * 4 <= self.played, "{:?}", self.missed);
    }
}

/// Each of these is among what was traced.
pub(crate) fn traced_among(points: &[(String, String)], among: &[(&str, &str)]) {
    for (name, point) in among {
        let found = points.iter().any(|(who, what)| who == name && what == point);
        assert!(found, "{name} does without {point}: {points:?}");
    }
}

/// What makes a process trace its commits and messages.
pub(crate) fn tracing(world: &World, name: &str) -> [(&'static str, String); 1] {
    [("FEIQIAN_FAULT_TRACE", trace_file(world, name).display().to_string())]
}

impl Play {
    fn new() -> Self {
        let world = World::shopping("40.00");
        let expected = Wealth { coins: 4000, account: 6000, shop: 0 };
        let mut play = Self { world, expected, orders: 0, tally: Tally::default() };
        // An order that all refunds are made of.
        play.orders = 1;
        let uri = play.world.request("20.00", "order-0");
        play.world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
        play.expected = Wealth { coins: 2000, account: 6000, shop: 2000 };
        play.settled("the beginning");
        play
    }

    fn wealth(&self) -> Option<Wealth> {
        let balance = self.world.run(&["wallet", "balance", "--home", "@alice"]);
        let coins = minor(balance.value["balance"].as_str()?);
        if balance.value["pending"] != "0.00" {
            return None;
        }
        let account = minor(&self.world.account("north", "alice"));
        Some(Wealth { coins, account, shop: minor(&self.world.account("south", "shop")) })
    }

    /// In the end everybody owns what is expected, and the books of all homes agree.
    fn settled(&self, what: &str) {
        let settled = wait_until(PATIENCE, || {
            if self.wealth() == Some(self.expected) {
                return Some(());
            }
            let _ = self.world.run(&["wallet", "refresh", "--home", "@alice"]);
            None
        });
        assert!(settled.is_some(), "{what}: {:?} instead of {:?}", self.wealth(), self.expected);
        let audit = self.world.audit(&HOMES);
        assert_eq!(audit.value["held"], true, "{what}: {}", audit.value["findings"]);
        assert_eq!(audit.value["closed_world"], true, "{what}");
    }

    /// Makes ready what the act needs without being part of it; answers the command to try until it succeeds.
    fn prepare(&mut self, act: Act) -> Vec<String> {
        let words: Vec<&str> = match act {
            Act::Withdraw => {
                self.expected.coins += 11;
                self.expected.account -= 11;
                vec!["wallet", "withdraw", "--home", "@alice", "0.11"]
            }
            Act::Pay => {
                self.orders += 1;
                let uri = self.world.request("0.13", &format!("order-{}", self.orders));
                self.expected.coins -= 13;
                self.expected.shop += 13;
                return ["wallet", "pay", "--home", "@alice", &uri].map(str::to_owned).to_vec();
            }
            Act::Refresh => {
                self.refund("0.03");
                vec!["wallet", "refresh", "--home", "@alice"]
            }
            Act::Refund => {
                self.expected.coins += 5;
                self.expected.shop -= 5;
                self.orders += 1;
                let id = format!("act-{}", self.orders);
                let mut words =
                    vec!["merchant", "refund", "--home", "@shop", "--order", "order-0", "--amount", "0.05"];
                words.extend(["--id", &id]);
                return words.into_iter().map(str::to_owned).collect();
            }
        };
        words.into_iter().map(str::to_owned).collect()
    }

    /// A refund that waits to be claimed: so that a refresh has something to do.
    fn refund(&mut self, amount: &str) {
        self.world.ok(&["merchant", "refund", "--home", "@shop", "--order", "order-0", "--amount", amount]);
        self.expected.coins += minor(amount);
        self.expected.shop -= minor(amount);
        let shop = self.expected.shop;
        let booked =
            wait_until(PATIENCE, || (minor(&self.world.account("south", "shop")) == shop).then_some(()));
        assert!(booked.is_some(), "the refund is not booked");
    }

    fn command(&self, words: &[String], faults: &[(&str, String)]) -> Answer {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        self.world.run_with(&words, faults)
    }

    /// Plays the act once with every process tracing; answers the commits and messages of each.
    fn enumerate(&mut self, act: Act) -> Vec<(String, String)> {
        for name in NODES {
            self.world.kill(name);
            let faults = tracing(&self.world, name);
            assert!(self.world.start_with(name, &faults), "{}", self.world.log(name));
        }
        self.settled("before tracing");
        let words = self.prepare(act);
        let before: Vec<usize> = NODES.iter().map(|name| trace_length(&self.world, name)).collect();
        if words[0] == "wallet" {
            let faults = tracing(&self.world, "alice");
            self.command(&words, &faults).ok();
        } else {
            self.command(&words, &[]).ok();
        }
        if act == Act::Refund {
            let faults = tracing(&self.world, "alice");
            let claim = ["wallet", "refresh", "--home", "@alice"].map(str::to_owned);
            let claimed = wait_until(PATIENCE, || {
                self.command(&claim, &faults).ok();
                (self.wealth() == Some(self.expected)).then_some(())
            });
            assert!(claimed.is_some());
        }
        self.settled("tracing");
        let mut points = Vec::new();
        for (name, from) in NODES.iter().zip(before) {
            points
                .extend(traced(&self.world, name, from).into_keys().map(|point| ((*name).to_owned(), point)));
        }
        points.extend(traced(&self.world, "alice", 0).into_keys().map(|point| ("alice".to_owned(), point)));
        std::fs::remove_file(trace_file(&self.world, "alice")).unwrap();
        points
    }

    /// Plays the act with `name` killed at a point of it.
    fn play(&mut self, act: Act, name: &str, point: &str, side: &str) {
        let what = format!("{act:?}, {name} killed {side} {point}");
        let faults = [("FEIQIAN_FAULT", format!("{point}@{side}#1"))];
        let words = self.prepare(act);
        let died = match name {
            "alice" => {
                // Killed between the last commit and the answer: the owner would see it in the balance.
                let done = point.ends_with(".report") && side == "after";
                self.with_dying_wallet(act, &words, &faults, !done)
            }
            node => self.with_dying_node(act, node, &words, &faults),
        };
        self.tally.count(name, point, died, &what);
        self.settled(&what);
    }

    fn with_dying_wallet(&self, act: Act, words: &[String], faults: &[(&str, String)], again: bool) -> bool {
        let claim = ["wallet", "refresh", "--home", "@alice"].map(str::to_owned);
        if words[0] != "wallet" {
            self.command(words, &[]).ok();
            // What is claimed is on its way for a while.
            let died = wait_until(PATIENCE, || {
                let died = self.command(&claim, faults).exit.is_none();
                (died || self.wealth() == Some(self.expected)).then_some(died)
            });
            return died.unwrap_or(false);
        }
        let died = self.command(words, faults).exit.is_none();
        if died && again && act != Act::Refresh {
            // What the owner does who saw no answer.
            self.command(words, &[]).ok();
        }
        died
    }

    fn with_dying_node(&mut self, act: Act, node: &str, words: &[String], faults: &[(&str, String)]) -> bool {
        self.world.kill(node);
        let mut died = !self.world.start_with(node, faults);
        let first = if died { None } else { Some(self.command(words, &[])) };
        if !died {
            if act == Act::Refund {
                let _ = self.world.run(&["wallet", "refresh", "--home", "@alice"]);
            }
            died = self.world.died(node, Duration::from_millis(400));
            if !died {
                self.world.kill(node);
            }
        }
        self.world.start(node);
        if first.is_none_or(|first| first.exit != Some(0)) {
            let done = wait_until(PATIENCE, || (self.command(words, &[]).exit == Some(0)).then_some(()));
            assert!(done.is_some(), "{}", self.command(words, &[]).value);
        }
        died
    }
}

/// Kills everybody everywhere in this act, of which these commits are a part.
fn kill_everywhere(act: Act, among: &[(&str, &str)]) {
    let mut play = Play::new();
    let points = play.enumerate(act);
    traced_among(&points, among);
    for (name, point, side) in kills(points) {
        play.play(act, &name, &point, side);
    }
    play.tally.held(among, &[]);
}

#[test]
fn killed_while_withdrawing() {
    kill_everywhere(
        Act::Withdraw,
        &[
            ("alice", "wallet.withdraw.plan"),
            ("alice", "wallet.withdraw.sign"),
            ("alice", "wallet.withdraw.coins"),
            ("north", "bank.issue.begin"),
            ("north", "bank.issue.finish"),
        ],
    );
}

#[test]
fn killed_while_paying() {
    kill_everywhere(
        Act::Pay,
        &[
            ("alice", "wallet.pay.sign"),
            ("alice", "wallet.pay.paid"),
            ("shop", "merchant.pay.accept"),
            ("shop", "merchant.pay.outcome"),
            ("south", "bank.deposit.present"),
            ("center", "center.present.reserve"),
            ("north", "bank.pay.payment"),
            ("south", "bank.deposit.outcome"),
        ],
    );
}

#[test]
fn killed_while_refreshing() {
    kill_everywhere(
        Act::Refresh,
        &[
            ("alice", "wallet.refund.plan"),
            ("alice", "wallet.refund.sign"),
            ("alice", "wallet.refund.coins"),
            ("north", "bank.issue.begin"),
            ("north", "bank.issue.finish"),
        ],
    );
}

#[test]
fn killed_while_refunding() {
    kill_everywhere(
        Act::Refund,
        &[
            ("shop", "merchant.refund.order"),
            ("shop", "merchant.refund.outcome"),
            ("south", "bank.refund.present"),
            ("center", "center.present.reserve"),
            ("north", "bank.pay.refund"),
            ("south", "bank.refund.outcome"),
            ("alice", "wallet.refund.coins"),
        ],
    );
}
