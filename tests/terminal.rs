//! Passphrases as their owner types them: at a terminal, which shows nothing of them.

use std::io::{Read as _, Write as _};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use pty_process::blocking::{Command, Pty, open};
use rustix::termios::{LocalModes, tcgetattr};
use serde_json::Value;

use crate::offline_tools::{tried, typed};
use crate::world::{PROGRAM, World, words};

/// How long a question or an end is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const FIRST: &str = "New passphrase for the keys in this home";
const AGAIN: &str = "The same again: ";
/// Control-D: nothing more is typed.
const END: &str = "\u{4}";

/// What was to be read at the end, and how the command ended.
struct Session {
    shown: String,
    exit: Option<i32>,
}

impl Session {
    /// The answer on the last line.
    fn answer(&self) -> Value {
        let line = self.shown.lines().rfind(|line| line.starts_with('{'));
        let line = line.unwrap_or_else(|| panic!("no answer: {}", self.shown));
        serde_json::from_str(line).unwrap()
    }

    fn ok(&self) -> Value {
        assert_eq!(self.exit, Some(0), "{}", self.shown);
        self.answer()
    }

    fn refused(&self, code: &str) {
        assert_eq!(self.answer()["error"]["code"], code, "{}", self.shown);
        assert!(self.exit.is_some_and(|exit| exit != 0), "{:?}", self.exit);
    }
}

/// Whether the terminal shows what is typed now.
fn is_shown(keyboard: &std::fs::File) -> bool {
    tcgetattr(keyboard).unwrap().local_modes.contains(LocalModes::ECHO)
}

/// What the terminal shows, as it comes.
fn listen(terminal: Pty) -> Receiver<Vec<u8>> {
    let (said, heard) = channel();
    std::thread::spawn(move || {
        let mut part = [0; 4096];
        // A terminal that nobody uses any more ends with an error.
        while let Ok(read @ 1..) = (&terminal).read(&mut part) {
            if said.send(part[..read].to_vec()).is_err() {
                return;
            }
        }
    });
    heard
}

/// A command at a terminal, where somebody answers these questions in this order.
fn at_a_terminal(world: &World, command: &str, answers: &[(&str, &str)]) -> Session {
    let (terminal, inside) = open().unwrap();
    let keyboard = std::os::fd::AsFd::as_fd(&terminal).try_clone_to_owned().unwrap();
    let mut keyboard = std::fs::File::from(keyboard);
    let arguments = words(command).into_iter().map(|word| match word.strip_prefix('@') {
        Some(name) => world.home(name).into_os_string(),
        None => word.into(),
    });
    let command = Command::new(PROGRAM).arg("--json").args(arguments);
    let command = command.env_remove("FEIQIAN_PASSPHRASE_FILE").env_remove("FEIQIAN_LOG");
    let mut child = command.spawn(inside).unwrap();
    let (heard, begun) = (listen(terminal), Instant::now());
    let (mut shown, mut at) = (String::new(), 0);
    let hear = |shown: &mut String| {
        let rest = PATIENCE.saturating_sub(begun.elapsed());
        heard.recv_timeout(rest).map(|part| shown.push_str(&String::from_utf8_lossy(&part)))
    };
    for (question, answer) in answers {
        while !shown[at..].contains(question) {
            if hear(&mut shown).is_err() {
                let _ = child.kill();
                panic!("`{question}` is not asked: {shown}");
            }
        }
        at = shown.len();
        // Whoever types before the terminal hides it shows it.
        while *answer != END && is_shown(&keyboard) && begun.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(5));
        }
        keyboard.write_all(format!("{answer}\n").as_bytes()).unwrap();
    }
    while hear(&mut shown).is_ok() {}
    // Nothing but the end closes what it shows; one that asks on and on is ended here.
    let _ = child.kill();
    let exit = child.wait().unwrap().code();
    for (_, answer) in answers.iter().filter(|(_, answer)| !answer.is_empty()) {
        assert!(!shown.contains(answer), "the terminal shows a passphrase: {shown}");
    }
    Session { shown: shown.replace('\r', "\n"), exit }
}

#[test]
fn a_passphrase_is_asked_for_at_the_terminal_and_never_shown() {
    let world = World::banks();
    let (url, code) = (world.url("north"), world.enrol("north", "alice", "customer"));
    let init = format!("wallet init --home @alice --name alice --bank {url} --code {code}");
    // Typed twice, for it cannot be read.
    let differs = [(FIRST, "heron-heron"), (AGAIN, "heron-swan")];
    at_a_terminal(&world, &init, &differs).refused("USAGE");
    let same = [(FIRST, "heron-heron"), (AGAIN, "heron-heron")];
    let made = at_a_terminal(&world, &init, &same).ok();
    assert!(made["keys"].as_str().unwrap().starts_with("encrypted"), "{made}");
    assert!(std::fs::read(world.home("alice").join("keys/seed")).unwrap().starts_with(b"feiqian sealed 1\n"));
    let question = format!("Passphrase for {}: ", world.home("alice").display());
    let balance = "wallet balance --home @alice";
    at_a_terminal(&world, balance, &[(&question, "heron-crane")]).refused("PASSPHRASE_INVALID");
    std::thread::sleep(Duration::from_millis(2100));
    let shown = at_a_terminal(&world, balance, &[(&question, "heron-heron")]).ok();
    assert_eq!(shown["balance"], "0.00", "{shown}");
    // Nobody is there to be asked.
    let refused = tried(&world, balance);
    refused.refused("PASSPHRASE_INVALID");
    assert!(refused.value["error"]["hint"].as_str().unwrap().contains("--passphrase-file"), "{refused:?}");
    // Another one, then none.
    let change = "wallet passphrase change --home @alice";
    let other = [(question.as_str(), "heron-heron"), (FIRST, "grebe-grebe"), (AGAIN, "grebe-grebe")];
    at_a_terminal(&world, change, &other).ok();
    at_a_terminal(&world, balance, &[(&question, "grebe-grebe")]).ok();
    let none = [(question.as_str(), "grebe-grebe"), (FIRST, "")];
    let changed = at_a_terminal(&world, change, &none).ok();
    assert!(changed["keys"].as_str().unwrap().starts_with("not encrypted"), "{changed}");
    typed(&world, balance);
}

#[test]
fn a_node_under_a_passphrase_is_started_at_a_terminal() {
    let mut world = World::banks();
    world.stop("south");
    let change = "bank passphrase change --home @south";
    let same = [(FIRST, "heron-heron"), (AGAIN, "heron-heron")];
    at_a_terminal(&world, change, &same).ok();
    let question = format!("Passphrase for {}: ", world.home("south").display());
    let run = "bank run --until-input-ends --home @south";
    let ran = at_a_terminal(&world, run, &[(&question, "heron-heron"), ("\"ready\":true", END)]);
    assert_eq!(ran.exit, Some(0), "{}", ran.shown);
    tried(&world, "bank run --home @south").refused("PASSPHRASE_INVALID");
}
