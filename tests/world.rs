//! Homes in a temporary folder and the processes that live in them. Everything ends with the world.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use feiqian_store::testing::{database, on_postgres};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_feiqian");

/// What a command answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) exit: Option<i32>,
    pub(crate) value: Value,
    arguments: String,
}

impl Answer {
    fn of(arguments: &[&str], output: &Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = text.lines().collect();
        // A process that a fault killed says nothing; all others print one object.
        let value = match lines.as_slice() {
            [] => Value::Null,
            [line] => serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {text}")),
            _ => panic!("more than one line: {text}"),
        };
        Self { exit: output.status.code(), value, arguments: arguments.join(" ") }
    }

    /// The result of a command that must succeed.
    pub(crate) fn ok(self) -> Value {
        assert!(self.exit == Some(0), "`{}` ended with {:?}: {}", self.arguments, self.exit, self.value);
        self.value
    }

    /// Must be refused with this code.
    pub(crate) fn refused(&self, code: &str) {
        assert_eq!(self.code(), code, "`{}`: {}", self.arguments, self.value);
        assert!(self.exit.is_some_and(|exit| exit != 0), "{:?}", self.exit);
        assert!(self.value["error"]["message"].as_str().is_some_and(|message| !message.is_empty()));
    }

    pub(crate) fn code(&self) -> &str {
        self.value["error"]["code"].as_str().unwrap_or("")
    }
}

struct Node {
    child: Child,
    url: String,
}

pub(crate) struct World {
    folder: TempDir,
    nodes: BTreeMap<String, Node>,
    /// The PostgreSQL database of each bank and center, by home, where they are not to keep their stores in files.
    databases: Option<RefCell<BTreeMap<String, String>>>,
    /// What every process finds in its environment.
    environment: Vec<(&'static str, String)>,
    /// Whether everything that is said is kept: [`ERRORS`] and [`ANSWERS`] in the world's folder.
    kept: bool,
}

/// What commands wrote to standard error, in a world that keeps it.
pub(crate) const ERRORS: &str = "commands.err";
/// What commands answered, each after a line with its first two words.
pub(crate) const ANSWERS: &str = "commands.out";

impl Drop for World {
    fn drop(&mut self) {
        for node in self.nodes.values_mut() {
            let _ = node.child.kill();
            let _ = node.child.wait();
        }
    }
}

/// The role that lives in a home of this name.
pub(crate) fn role(name: &str) -> &'static str {
    match name {
        "center" | "center-2" => "center",
        "north" | "north-2" | "north-3" | "south" | "west" => "bank",
        "shop" | "stall" => "merchant",
        _ => "wallet",
    }
}

/// An amount in minor units.
pub(crate) fn minor(text: &str) -> i64 {
    text.replace('.', "").parse().unwrap()
}

/// A command of words without spaces, as it is typed.
pub(crate) fn words(command: &str) -> Vec<&str> {
    command.split(' ').collect()
}

impl World {
    /// Nothing. Banks and center will be on PostgreSQL if the test run says so.
    pub(crate) fn empty() -> Self {
        if on_postgres() { Self::empty_on_postgres() } else { Self::empty_on_files() }
    }

    /// Nothing. Banks and center will be on PostgreSQL.
    pub(crate) fn empty_on_postgres() -> Self {
        Self::empty_of(Some(RefCell::default()))
    }

    /// Nothing. Banks and center will keep their stores in files.
    pub(crate) fn empty_on_files() -> Self {
        Self::empty_of(None)
    }

    fn empty_of(databases: Option<RefCell<BTreeMap<String, String>>>) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            nodes: BTreeMap::new(),
            databases,
            environment: Vec::new(),
            kept: false,
        }
    }

    /// The same, with this in every process's environment, and everything kept that is said.
    pub(crate) fn keeping(self, environment: Vec<(&'static str, String)>) -> Self {
        let mut world = self;
        (world.environment, world.kept) = (environment, true);
        world
    }

    /// `--store` and the database, for what makes a bank or a center; the same one when it is made again.
    fn store_of(&self, arguments: &[&str]) -> Option<[String; 2]> {
        let databases = self.databases.as_ref()?;
        let ["bank" | "center", "init", rest @ ..] = arguments else { return None };
        let home = rest.windows(2).find(|pair| pair[0] == "--home")?[1];
        let url = databases.borrow_mut().entry(home.to_owned()).or_insert_with(database).clone();
        Some(["--store".to_owned(), url])
    }

    /// Center and banks north and south, running.
    pub(crate) fn banks() -> Self {
        Self::banks_under("gross", "1000000.00")
    }

    /// Center and banks north and south, running; cheques are settled this way, each bank has this at the center.
    pub(crate) fn banks_under(settlement: &str, funds: &str) -> Self {
        Self::banks_with(settlement, funds, |_| {})
    }

    /// The same; the banks' settings may be changed before they start.
    pub(crate) fn banks_with(settlement: &str, funds: &str, change: impl Fn(&Self)) -> Self {
        Self::empty().with_banks(settlement, funds, change)
    }

    /// Center and banks north and south, running, in a world that has nothing yet.
    pub(crate) fn with_banks(self, settlement: &str, funds: &str, change: impl Fn(&Self)) -> Self {
        let mut world = self;
        let init = ["center", "init", "--home", "@center", "--name", "center", "--settlement", settlement];
        world.ok(&[&init[..], &["--fund", funds]].concat());
        world.start("center");
        // Both are members before either looks around.
        for bank in ["north", "south"] {
            world.found(bank, "CNY");
        }
        change(&world);
        for bank in ["north", "south"] {
            world.start(bank);
            world.pinned(bank);
        }
        world
    }

    /// A bank of the center, running.
    pub(crate) fn bank(&mut self, name: &str, currency: &str) {
        self.found(name, currency);
        self.start(name);
        self.pinned(name);
    }

    fn found(&self, name: &str, currency: &str) {
        let (center, home) = (self.url("center"), format!("@{name}"));
        self.ok(&[
            "bank",
            "init",
            "--home",
            &home,
            "--name",
            name,
            "--center",
            &center,
            "--currency",
            currency,
        ]);
    }

    /// A bank is ready before its keys stand in the center's log; what needs coins of it waits for that.
    pub(crate) fn pinned(&self, name: &str) {
        let home = format!("@{name}");
        let pinned = wait_until(Duration::from_secs(20), || {
            let status = self.ok(&["bank", "status", "--home", &home]);
            (status["keysets"][0]["pinned"] == true).then_some(())
        });
        assert!(pinned.is_some(), "the keys of {name} are not pinned: {}", self.log(name));
    }

    /// The banks, a shop at south (running), Alice with 100.00 on her account at north and `coins` of it in her
    /// wallet, and Bob with nothing.
    pub(crate) fn shopping(coins: &str) -> Self {
        let mut world = Self::banks();
        world.shop();
        world.wallet("alice", "north");
        world.wallet("bob", "north");
        world.fund("north", "alice", "100.00");
        world.ok(&["wallet", "withdraw", "--home", "@alice", coins]);
        world
    }

    pub(crate) fn shop(&mut self) {
        let (south, code) = (self.url("south"), self.enrol("south", "shop", "merchant"));
        self.ok(&[
            "merchant", "init", "--home", "@shop", "--name", "shop", "--bank", &south, "--code", &code,
        ]);
        self.start("shop");
    }

    pub(crate) fn enrol(&self, bank: &str, name: &str, role: &str) -> String {
        let home = format!("@{bank}");
        let opened = self.ok(&["bank", "account", "open", "--home", &home, "--name", name, "--role", role]);
        opened["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn wallet(&self, name: &str, bank: &str) {
        let (url, code) = (self.url(bank), self.enrol(bank, name, "customer"));
        let home = format!("@{name}");
        self.ok(&["wallet", "init", "--home", &home, "--name", name, "--bank", &url, "--code", &code]);
    }

    pub(crate) fn fund(&self, bank: &str, name: &str, amount: &str) {
        let home = format!("@{bank}");
        self.ok(&["bank", "account", "fund", "--home", &home, "--name", name, "--amount", amount]);
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        self.nodes[name].url.clone()
    }

    pub(crate) fn root(&self) -> String {
        self.url("center").split_once("#sha256=").unwrap().1.to_owned()
    }

    /// The program, `@name` among the arguments standing for that home.
    fn command(&self, arguments: &[&str], faults: &[(&str, String)]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.env_remove("FEIQIAN_LOG").env_remove("FEIQIAN_FAULT").env_remove("FEIQIAN_FAULT_TRACE");
        command.envs(faults.iter().map(|(name, value)| (*name, value.as_str())));
        command.envs(self.environment.iter().map(|(name, value)| (*name, value.as_str())));
        command.arg("--json").args(arguments.iter().map(|argument| match argument.strip_prefix('@') {
            Some(name) => self.home(name).into_os_string(),
            None => argument.into(),
        }));
        command.args(self.store_of(arguments).into_iter().flatten());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Answer {
        self.run_with(arguments, &[])
    }

    pub(crate) fn run_with(&self, arguments: &[&str], faults: &[(&str, String)]) -> Answer {
        let mut command = self.command(arguments, faults);
        if self.kept {
            command.stderr(self.appended(ERRORS));
        }
        let output = command.output().unwrap();
        if self.kept {
            let said = arguments[..arguments.len().min(2)].join(" ");
            let text = String::from_utf8_lossy(&output.stdout);
            write!(self.appended(ANSWERS), "{said}\n{text}").unwrap();
        }
        Answer::of(arguments, &output)
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> Value {
        self.run(arguments).ok()
    }

    /// All commands at once.
    pub(crate) fn at_once(&self, commands: &[Vec<&str>]) -> Vec<Answer> {
        let running: Vec<Child> =
            commands.iter().map(|arguments| self.command(arguments, &[]).spawn().unwrap()).collect();
        let answers = running.into_iter().map(|child| child.wait_with_output().unwrap());
        commands.iter().zip(answers).map(|(arguments, output)| Answer::of(arguments, &output)).collect()
    }

    /// A file of the world's folder, to be written on.
    fn appended(&self, name: &str) -> std::fs::File {
        std::fs::File::options().create(true).append(true).open(self.folder().join(name)).unwrap()
    }

    /// Starts the node in the home `name`.
    pub(crate) fn start(&mut self, name: &str) {
        assert!(self.start_with(name, &[]), "{name} did not become ready: {}", self.log(name));
    }

    /// Starts it with faults; false when it ended before it was ready.
    pub(crate) fn start_with(&mut self, name: &str, faults: &[(&str, String)]) -> bool {
        let home = format!("@{name}");
        let mut command = self.command(&[role(name), "run", "--until-input-ends", "--home", &home], faults);
        let log = self.appended(&format!("{name}.log"));
        let mut child = command.stdin(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            child.wait().unwrap();
            return false;
        }
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["ready"], Value::Bool(true), "{line}");
        assert_eq!(ready["role"], Value::from(role(name)));
        let url = ready["url"].as_str().unwrap_or("").to_owned();
        self.nodes.insert(name.to_owned(), Node { child, url });
        true
    }

    pub(crate) fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self, name: &str) {
        let mut node = self.nodes.remove(name).unwrap();
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    /// SIGTERM; must end by itself, with success.
    pub(crate) fn stop(&mut self, name: &str) {
        let mut node = self.nodes.remove(name).unwrap();
        signal(&node.child, "TERM");
        let ended = wait_until(Duration::from_secs(15), || node.child.try_wait().unwrap());
        let status = ended.unwrap_or_else(|| panic!("{name} does not end: {}", self.log(name)));
        assert!(status.success(), "{name} ended with {status}");
    }

    pub(crate) fn stop_all(&mut self) {
        for name in self.nodes.keys().cloned().collect::<Vec<_>>() {
            self.stop(&name);
        }
    }

    /// Waits until the node has died; false when it goes on living.
    #[cfg(feature = "test-faults")]
    pub(crate) fn died(&mut self, name: &str, patience: Duration) -> bool {
        let node = self.nodes.get_mut(name).unwrap();
        let dead = wait_until(patience, || node.child.try_wait().unwrap()).is_some();
        if dead {
            self.nodes.remove(name);
        }
        dead
    }

    /// A request of the shop as URI.
    pub(crate) fn request(&self, amount: &str, order: &str) -> String {
        self.request_with(amount, order, &[])
    }

    pub(crate) fn request_with(&self, amount: &str, order: &str, more: &[&str]) -> String {
        let mut arguments =
            vec!["merchant", "request", "--home", "@shop", "--amount", amount, "--order", order];
        arguments.extend(more);
        self.ok(&arguments)["uri"].as_str().unwrap().to_owned()
    }

    pub(crate) fn balance(&self, name: &str) -> Value {
        self.ok(&["wallet", "balance", "--home", &format!("@{name}")])
    }

    pub(crate) fn holds(&self, name: &str, balance: &str) {
        let found = self.balance(name);
        assert_eq!(found["balance"], balance, "{name}: {found}");
        assert_eq!(found["pending"], "0.00", "{name}: {found}");
    }

    /// The account's balance at its bank.
    pub(crate) fn account(&self, bank: &str, name: &str) -> String {
        let listed = self.ok(&["bank", "account", "list", "--home", &format!("@{bank}")]);
        let accounts = listed["accounts"].as_array().unwrap();
        let found = accounts.iter().find(|account| account["name"] == name).unwrap();
        found["balance"].as_str().unwrap().to_owned()
    }

    /// Audits these homes; the result, whatever it is.
    pub(crate) fn audit(&self, names: &[&str]) -> Answer {
        let homes: Vec<String> = names.iter().map(|name| format!("@{name}")).collect();
        let mut arguments = vec!["audit"];
        for home in &homes {
            arguments.extend(["--home", home]);
        }
        self.run(&arguments)
    }

    /// The audit of these homes holds, and they are the whole world.
    pub(crate) fn books_hold(&self, names: &[&str]) {
        let audit = self.audit(names).ok();
        assert_eq!(audit["held"], true, "{audit}");
        assert_eq!(audit["closed_world"], true, "{audit}");
    }
}

pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Asks again and again until there is something, or the patience ends.
pub(crate) fn wait_until<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        match ask() {
            None if begun.elapsed() < patience => std::thread::sleep(Duration::from_millis(50)),
            answer => return answer,
        }
    }
}
