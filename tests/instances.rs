//! Several processes of one bank, or of one center, behind a balancer that gives each connection to the next of them.

use std::io::copy;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::world::{Answer, World, minor, wait_until};

const PROCESSES: [&str; 3] = ["north", "north-2", "north-3"];
const WALLETS: [&str; 3] = ["alice", "bob", "carol"];
/// Longer than the lease that the test gives the processes.
const LEASE: Duration = Duration::from_secs(4);

/// Connections go round the backends; one that cannot be reached is passed over.
struct Balancer {
    address: SocketAddr,
    backends: Arc<Mutex<Vec<SocketAddr>>>,
    stopped: Arc<AtomicBool>,
}

impl Balancer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (backends, stopped) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (known, end) = (Arc::clone(&backends), Arc::clone(&stopped));
        std::thread::spawn(move || {
            for (turn, client) in listener.incoming().flatten().enumerate() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let mut order = known.lock().unwrap().clone();
                let count = order.len().max(1);
                order.rotate_left(turn % count);
                std::thread::spawn(move || relay(&client, &order));
            }
        });
        Self { address, backends, stopped }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

fn relay(client: &TcpStream, order: &[SocketAddr]) {
    let connect = |to: &SocketAddr| TcpStream::connect_timeout(to, Duration::from_secs(1)).ok();
    let Some(server) = order.iter().find_map(connect) else { return };
    std::thread::scope(|scope| {
        for (from, to) in [(client, &server), (&server, client)] {
            scope.spawn(move || {
                let (mut reader, mut writer) = (from, to);
                let _ = copy(&mut reader, &mut writer);
                let _ = to.shutdown(Shutdown::Write);
                let _ = from.shutdown(Shutdown::Read);
            });
        }
    });
}

/// A shell of somebody who shares nothing with the test but the folder.
#[derive(Clone)]
struct Shell(PathBuf);

impl Shell {
    fn run(&self, words: &[&str]) -> Value {
        let home = |word: &&str| match word.strip_prefix('@') {
            Some(name) => self.0.join(name).into_os_string(),
            None => (*word).into(),
        };
        let mut command = Command::new(env!("CARGO_BIN_EXE_feiqian"));
        command.arg("--json").args(words.iter().map(home));
        command.env_remove("FEIQIAN_LOG").env_remove("FEIQIAN_FAULT");
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
    }
}

/// Withdraws, pays the shop and deposits until told to stop. What goes wrong is left to the wallet's next command.
fn trade(shell: &Shell, wallet: &str, stop: &AtomicBool, rounds: &AtomicUsize) -> usize {
    let home = format!("@{wallet}");
    let mut paid = 0;
    for round in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        shell.run(&["wallet", "withdraw", "--home", &home, "0.70"]);
        let order = format!("{wallet}-{round}");
        let request =
            shell.run(&["merchant", "request", "--home", "@shop", "--amount", "0.50", "--order", &order]);
        if let Some(uri) = request["uri"].as_str() {
            paid += usize::from(shell.run(&["wallet", "pay", "--home", &home, uri])["outcome"] == "paid");
        }
        shell.run(&["wallet", "deposit", "--home", &home, "0.10"]);
        rounds.fetch_add(1, Ordering::SeqCst);
    }
    paid
}

fn set_lease(home: &Path) {
    let file = home.join("config.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.contains("lease_seconds = 10"), "{text}");
    std::fs::write(&file, text.replace("lease_seconds = 10", "lease_seconds = 3")).unwrap();
}

/// Center, north as three processes behind the balancer, and south.
fn three(balancer: &Balancer) -> World {
    let mut world = World::empty_on_postgres();
    world.ok(&["center", "init", "--home", "@center", "--name", "center", "--settlement", "gross"]);
    world.start("center");
    let (center, url) = (world.url("center"), balancer.url());
    let init = ["bank", "init", "--home", "@north", "--name", "north", "--center", &center];
    world.ok(&[&init[..], &["--advertise", &url]].concat());
    set_lease(&world.home("north"));
    for number in ["2", "3"] {
        let home = format!("@north-{number}");
        world.ok(&["bank", "join", "--home", &home, "--of", "@north", "--name", number]);
    }
    for name in PROCESSES {
        world.start(name);
        let url = world.url(name);
        let address = url.trim_start_matches("https://").split('#').next().unwrap();
        balancer.backends.lock().unwrap().push(address.parse().unwrap());
    }
    for name in PROCESSES {
        world.pinned(name);
    }
    world.bank("south", "CNY");
    world.shop();
    let root = world.root();
    for wallet in WALLETS {
        let (home, code) = (format!("@{wallet}"), world.enrol("north", wallet, "customer"));
        let url = format!("{url}#sha256={root}");
        world.ok(&["wallet", "init", "--home", &home, "--name", wallet, "--bank", &url, "--code", &code]);
        world.fund("north", wallet, "100.00");
    }
    world
}

/// What all wallets and the shop have, once nothing is pending any more.
fn settled(world: &World) -> Option<i64> {
    let mut sum = minor(&world.account("south", "shop"));
    for wallet in WALLETS {
        let balance = world.run(&["wallet", "balance", "--home", &format!("@{wallet}")]);
        if balance.value["pending"] != "0.00" {
            let _ = world.run(&["wallet", "refresh", "--home", &format!("@{wallet}")]);
            return None;
        }
        sum += minor(balance.value["balance"].as_str()?);
        sum += minor(&world.account("north", wallet));
    }
    Some(sum)
}

#[test]
fn three_processes_of_one_bank_are_killed_in_turn_under_load() {
    let balancer = Balancer::start();
    let mut world = three(&balancer);
    let status = world.ok(&["bank", "status", "--home", "@north-2"]);
    assert_eq!(status["instances"].as_object().unwrap().len(), 3, "{status}");
    let join = |home: &str, of: &str, name: &str| {
        world.run(&["bank", "join", "--home", home, "--of", of, "--name", name])
    };
    join("@north-4", "@north", "1").refused("USAGE");
    join("@north-2", "@north", "4").refused("CONFLICT");
    join("@north-5", "@shop", "4").refused("WRONG_HOME");
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let shell = Shell(world.folder().to_path_buf());
    let traders: Vec<_> = WALLETS
        .into_iter()
        .map(|wallet| {
            let (shell, stop, rounds) = (shell.clone(), Arc::clone(&stop), Arc::clone(&rounds));
            std::thread::spawn(move || trade(&shell, wallet, &stop, &rounds))
        })
        .collect();
    for name in PROCESSES {
        let before = rounds.load(Ordering::SeqCst);
        let busy = || (rounds.load(Ordering::SeqCst) > before + 2).then_some(());
        assert!(wait_until(Duration::from_secs(60), busy).is_some(), "nobody trades");
        world.kill(name);
        // The two that are left serve everybody, and the books hold at any moment.
        let audit = world.audit(&["north"]);
        assert_eq!(audit.value["held"], true, "without {name}: {}", audit.value["findings"]);
        std::thread::sleep(LEASE);
        let before = rounds.load(Ordering::SeqCst);
        let busy = || (rounds.load(Ordering::SeqCst) > before + 2).then_some(());
        assert!(wait_until(Duration::from_secs(60), busy).is_some(), "nobody trades without {name}");
        world.start(name);
        let audit = world.audit(&["north"]);
        assert_eq!(audit.value["held"], true, "with {name}: {}", audit.value["findings"]);
    }
    stop.store(true, Ordering::SeqCst);
    let paid: usize = traders.into_iter().map(|trader| trader.join().unwrap()).sum();
    assert!(paid >= 9, "{paid} payments went through");
    let whole = wait_until(Duration::from_secs(60), || settled(&world).filter(|sum| *sum == 30_000));
    assert!(whole.is_some(), "{:?} instead of 300.00", settled(&world));
    let homes = ["center", "north", "south", "shop", "alice", "bob", "carol"];
    world.books_hold(&homes);
    world.stop_all();
    world.books_hold(&homes);
}

/// Two processes of the center behind the balancer, banks north and south, Alice at north, and the shop at south.
fn two_centers(balancer: &Balancer) -> World {
    let mut world = World::empty_on_postgres();
    let (home, url) = (["center", "init", "--home", "@center", "--name", "center"], balancer.url());
    world.ok(&[&home[..], &["--advertise", &url]].concat());
    world.ok(&["center", "join", "--home", "@center-2", "--of", "@center"]);
    for name in ["center", "center-2"] {
        world.start(name);
        let listens = world.url(name);
        let address = listens.trim_start_matches("https://").split('#').next().unwrap();
        balancer.backends.lock().unwrap().push(address.parse().unwrap());
    }
    let center = format!("{url}#sha256={}", world.root());
    for name in ["north", "south"] {
        let home = format!("@{name}");
        world.ok(&["bank", "init", "--home", &home, "--name", name, "--center", &center]);
        world.start(name);
        world.pinned(name);
    }
    // One process may have admitted a bank that the other hears of in its next round.
    let (south, code) = (world.url("south"), world.enrol("south", "shop", "merchant"));
    let init = ["merchant", "init", "--home", "@shop", "--name", "shop", "--bank", &south, "--code", &code];
    let is_known = |answer: &Answer| answer.exit == Some(0) || answer.code() != "WRONG_BANK";
    let made = wait_until(Duration::from_secs(20), || Some(world.run(&init)).filter(is_known));
    assert_eq!(made.map(|answer| answer.exit), Some(Some(0)), "no shop");
    world.start("shop");
    world.wallet("alice", "north");
    world.fund("north", "alice", "100.00");
    world
}

#[test]
fn two_processes_of_one_center_are_killed_in_turn_under_load() {
    let balancer = Balancer::start();
    let mut world = two_centers(&balancer);
    let join = |home: &str, of: &str| world.run(&["center", "join", "--home", home, "--of", of]);
    join("@center-2", "@center").refused("CONFLICT");
    join("@center-3", "@north").refused("WRONG_HOME");
    let (stop, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let trader = {
        let (shell, stop, rounds) =
            (Shell(world.folder().to_path_buf()), Arc::clone(&stop), Arc::clone(&rounds));
        std::thread::spawn(move || trade(&shell, "alice", &stop, &rounds))
    };
    for name in ["center", "center-2"] {
        let before = rounds.load(Ordering::SeqCst);
        let busy = || (rounds.load(Ordering::SeqCst) > before + 1).then_some(());
        assert!(wait_until(Duration::from_secs(60), busy).is_some(), "nobody trades");
        world.kill(name);
        let audit = world.audit(&["center"]);
        assert_eq!(audit.value["held"], true, "without {name}: {}", audit.value["findings"]);
        let before = rounds.load(Ordering::SeqCst);
        let busy = || (rounds.load(Ordering::SeqCst) > before + 1).then_some(());
        assert!(wait_until(Duration::from_secs(60), busy).is_some(), "nobody trades without {name}");
        world.start(name);
    }
    stop.store(true, Ordering::SeqCst);
    let paid = trader.join().unwrap();
    assert!(paid >= 3, "{paid} payments went through");
    let whole = || {
        let balance = world.run(&["wallet", "balance", "--home", "@alice"]).value;
        if balance["pending"] != "0.00" {
            let _ = world.run(&["wallet", "refresh", "--home", "@alice"]);
            return None;
        }
        let accounts = [world.account("south", "shop"), world.account("north", "alice")];
        let accounts: i64 = accounts.iter().map(|account| minor(account)).sum();
        (accounts + minor(balance["balance"].as_str()?) == 10_000).then_some(())
    };
    assert!(wait_until(Duration::from_secs(60), whole).is_some(), "not the 100.00 that there were");
    world.books_hold(&["center", "north", "south", "shop", "alice"]);
}

#[cfg(feature = "test-faults")]
#[test]
fn a_withdrawal_cut_between_its_two_calls_goes_on_through_whichever_process_it_meets() {
    let balancer = Balancer::start();
    let world = three(&balancer);
    let withdraw = ["wallet", "withdraw", "--home", "@alice", "1.00"];
    let fault = [("FEIQIAN_FAULT", "wallet.withdraw.sign@after#1".to_owned())];
    for number in 1..=6 {
        // The wallet dies with its request signed and not sent; the next command comes over another connection.
        assert_eq!(world.run_with(&withdraw, &fault).exit, None);
        let expected = format!("{number}.00");
        let there = wait_until(Duration::from_secs(20), || {
            (world.balance("alice")["balance"] == expected.as_str()).then_some(())
        });
        assert!(there.is_some(), "withdrawal {number} was lost: {}", world.balance("alice"));
        // The same again is told what became of it, and takes nothing.
        world.ok(&withdraw);
        world.holds("alice", &expected);
    }
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob", "carol"]);
}
