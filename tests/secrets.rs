//! Secrets: under a passphrase on disk, in no log and in no answer; keys that others can read; what operators did.

use std::collections::{BTreeSet, HashMap};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feiqian_node::{Clock as _, Home, Passphrase, SystemClock};
use serde_json::Value;

use crate::cheque_tools::{book, is_paid, write};
use crate::offline_tools::{accepted, asked, handed, knows_keys, settled, tried, typed, withdrawn};
use crate::sealed_coins::secrets_of;
use crate::world::{ANSWERS, ERRORS, World, role};

const PASSPHRASE: &str = "seven grey herons over the ferry";
/// Holders' names, at their banks and in their wallets; homes are called otherwise.
const HOLDERS: [(&str, &str, &str); 3] = [
    ("alice", "zenobia-quill", "Zenobia Quill"),
    ("bob", "balthasar-finch", "Balthasar Finch"),
    ("carol", "ottoline-drake", "Ottoline Drake"),
];

/// A file that only its owner can read.
fn private_file(world: &World, name: &str, text: &str) -> PathBuf {
    let path = world.home(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

/// So many bytes of everything that is looked for are looked up first.
const START: usize = 12;

/// What must not be said anywhere: what it is, and what it looks like.
#[derive(Default)]
struct Hidden(Vec<(String, BTreeSet<String>)>);

impl Hidden {
    fn text(&mut self, what: &str, text: &str) {
        self.0.push((what.to_owned(), BTreeSet::from([text.to_owned()])));
    }

    /// Bytes in hexadecimal, in base64, and as a list of numbers; their first half is enough to notice.
    fn bytes(&mut self, what: &str, bytes: &[u8]) {
        let half = &bytes[..bytes.len().min(32) / 2];
        let numbers: Vec<String> = half.iter().map(ToString::to_string).collect();
        // Of base64, what does not depend on the bytes that follow.
        let encoded = STANDARD.encode(&half[..half.len() / 3 * 3]);
        let url = encoded.replace('+', "-").replace('/', "_");
        let hex = hex::encode(half);
        let looks = [hex.to_uppercase(), hex, encoded, url, numbers.join(", "), numbers.join(",")];
        self.0.push((what.to_owned(), BTreeSet::from(looks)));
    }

    /// The private keys in a home.
    fn keys_of(&mut self, world: &World, name: &str) {
        let home = Home::open(world.home(name), role(name)).unwrap();
        home.unseal(&Passphrase::new(PASSPHRASE.into()).unwrap(), &SystemClock).unwrap();
        let mut found = 0;
        for entry in std::fs::read_dir(home.path("keys")).unwrap() {
            let file = entry.unwrap().file_name().into_string().unwrap();
            if file == "root.pem" || file.ends_with("chain.pem") || file == "vault.json" {
                continue;
            }
            let on_disk = std::fs::read(home.path("keys").join(&file)).unwrap();
            assert!(on_disk.starts_with(b"feiqian sealed 1\n"), "{name}/keys/{file} is not encrypted");
            let content = home.read_key(&file).unwrap().unwrap();
            found += 1;
            let what = format!("{name}/keys/{file}");
            if file == "seed" {
                self.bytes(&what, &hex::decode(&content[..]).unwrap());
            } else if file.ends_with(".pem") {
                let text = std::str::from_utf8(&content).unwrap();
                let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
                self.text(&what, &body[..40]);
                // PKCS #8 of an Ed25519 key: 16 bytes, then the key.
                self.bytes(&what, &STANDARD.decode(body).unwrap()[16..48]);
            } else if file.ends_with(".keys") {
                for (index, key) in content.as_chunks::<32>().0.iter().enumerate() {
                    self.bytes(&format!("{what} {index}"), key);
                }
            }
        }
        assert!(found >= 2, "{name} has private keys");
    }

    /// What a stopped wallet's store holds that is worth money.
    fn store_of(&mut self, world: &World, name: &str) {
        for (index, (what, secret)) in secrets_of(world, name, PASSPHRASE).iter().enumerate() {
            for (part, chunk) in secret.chunks(32).enumerate() {
                self.bytes(&format!("{what} {index}, part {part}"), chunk);
            }
        }
    }

    /// What of it a text says. Looked up by its first bytes at every place: there are thousands, in megabytes.
    fn said_in(&self, text: &str) -> Vec<&str> {
        let mut starts: HashMap<&[u8], Vec<(usize, &[u8])>> = HashMap::new();
        for (index, (_, looks)) in self.0.iter().enumerate() {
            for look in looks {
                starts.entry(&look.as_bytes()[..START]).or_default().push((index, look.as_bytes()));
            }
        }
        let (bytes, mut said) = (text.as_bytes(), BTreeSet::new());
        for (place, start) in bytes.windows(START).enumerate() {
            let known = starts.get(start).into_iter().flatten();
            said.extend(known.filter(|(_, look)| bytes[place..].starts_with(look)).map(|(index, _)| *index));
        }
        said.into_iter().map(|index| self.0[index].0.as_str()).collect()
    }
}

/// A wallet whose owner is called otherwise than its home; answers its words.
fn enrolled(world: &World, hidden: &mut Hidden, home: &str, bank: &str) {
    let (_, account, owner) = HOLDERS.into_iter().find(|(each, ..)| *each == home).unwrap();
    let (url, code) = (world.url(bank), world.enrol(bank, account, "customer"));
    hidden.text(&format!("{home}'s enrolment code"), code.rsplit_once('-').unwrap().1);
    let at = format!("@{home}");
    let made = world.ok(&["wallet", "init", "--home", &at, "--name", owner, "--bank", &url, "--code", &code]);
    assert!(made["keys"].as_str().unwrap().starts_with("encrypted under the passphrase"), "{made}");
    let words: Vec<&str> = made["words"].as_str().unwrap().split(' ').collect();
    assert_eq!(words.len(), 24);
    for four in words.windows(4) {
        hidden.text(&format!("{home}'s words"), &four.join(" "));
        hidden.text(&format!("{home}'s words"), &four.join("\", \""));
    }
}

/// Withdraw, pay, refund, cheque, transfer, offline payment and hand-over, with everything under a passphrase.
fn shop_day(world: &mut World, hidden: &mut Hidden) {
    world.shop();
    enrolled(world, hidden, "alice", "north");
    enrolled(world, hidden, "bob", "north");
    enrolled(world, hidden, "carol", "south");
    world.fund("north", "zenobia-quill", "500.00");
    world.ok(&["wallet", "withdraw", "--home", "@alice", "50.00"]);
    let uri = world.request("12.50", "A-1");
    world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
    world.ok(&["merchant", "refund", "--home", "@shop", "--order", "A-1", "--amount", "2.00"]);
    world.ok(&["wallet", "refresh", "--home", "@alice"]);
    let asks = world.ok(&["wallet", "request", "--home", "@bob", "5.00"])["uri"].as_str().unwrap().to_owned();
    world.ok(&["wallet", "pay", "--home", "@alice", &asks]);
    world.ok(&["wallet", "receive", "--home", "@bob"]);
    world.ok(&["wallet", "deposit", "--home", "@alice", "5.00"]);
    book(world, "alice", 2);
    let rent = write(world, "alice", "south/shop", "25.00", "rent", &["--memo", "rent of the boathouse"]);
    is_paid(world, "shop", &rent.file);
    let credit =
        ["wallet", "transfer", "--home", "@alice", "--to", "south/ottoline-drake", "--amount", "3.00"];
    crate::cheque_tools::patient(world, &credit).ok();
    withdrawn(world, "alice", "20.00");
    typed(world, "wallet blanks --home @bob 24");
    knows_keys(world, "shop");
    asked(world, "shop", "4.00", "B-1");
    typed(world, "wallet pay --offline --home @alice @B-1.request --out @B-1.payment");
    accepted(world, "shop", "B-1");
    handed(world, ("alice", "bob"), "6.00", "first");
    settled(world, "shop", "B-1", "4.00");
    // What is refused is said too.
    tried(world, "wallet withdraw --home @bob 9000.00").refused("INSUFFICIENT_FUNDS");
}

const HOMES: [&str; 7] = ["center", "north", "south", "shop", "alice", "bob", "carol"];

#[test]
fn a_whole_day_at_the_most_talkative_level_says_no_secret_and_no_name() {
    let world = World::empty_on_files();
    let file = private_file(&world, "passphrase", &format!("{PASSPHRASE}\n"));
    let environment = vec![
        ("FEIQIAN_PASSPHRASE_FILE", file.to_str().unwrap().to_owned()),
        ("FEIQIAN_LOG", "trace".to_owned()),
        ("RUST_LOG", "trace".to_owned()),
    ];
    let mut world = world.keeping(environment).with_banks("gross", "1000000.00", |_| {});
    let mut hidden = Hidden::default();
    hidden.text("the passphrase", PASSPHRASE);
    shop_day(&mut world, &mut hidden);
    world.stop_all();
    world.books_hold(&HOMES);
    for name in HOMES {
        hidden.keys_of(&world, name);
    }
    for name in ["alice", "bob"] {
        hidden.store_of(&world, name);
    }
    assert!(hidden.0.len() > 150, "{} secrets are known", hidden.0.len());
    let said = |name: &str| std::fs::read_to_string(world.folder().join(name)).unwrap();
    let logs = HOMES.iter().filter(|name| role(name) != "wallet").map(|name| format!("{name}.log"));
    for log in logs.chain([ERRORS.to_owned()]) {
        let text = said(&log);
        assert!(text.contains("TRACE"), "{log} is as talkative as it can be");
        assert_eq!(hidden.said_in(&text), Vec::<&str>::new(), "{log} says secrets");
        for (_, account, owner) in HOLDERS {
            let named = text.lines().find(|line| line.contains(account) || line.contains(owner));
            assert_eq!(named, None, "{log} names an account holder");
        }
    }
    let answers = said(ANSWERS);
    for pair in answers.lines().collect::<Vec<_>>().chunks(2) {
        let [command, answer] = pair else { panic!("{pair:?}") };
        let mut told = hidden.said_in(answer);
        // Two answers are there to hand a secret over.
        match *command {
            "wallet init" => told.retain(|what| !what.ends_with("words")),
            "bank account" => told.retain(|what| !what.ends_with("code")),
            _ => {}
        }
        assert_eq!(told, Vec::<&str>::new(), "`{command}` answers with secrets");
    }
    // The search itself finds what is there.
    assert!(hidden.said_in(&answers).iter().any(|what| what.ends_with("words")));
}

#[test]
fn a_wallet_under_a_passphrase_opens_for_that_only_and_not_too_often() {
    let mut world = World::banks();
    let right = private_file(&world, "right", "right\n");
    let (right, wrong) = (right.to_str().unwrap(), private_file(&world, "wrong", "wrong\n"));
    let wrong = wrong.to_str().unwrap();
    world.wallet("alice", "north");
    let shown = |world: &World, file: &str| {
        world.run(&["wallet", "certificate", "list", "--home", "@alice", "--passphrase-file", file])
    };
    let seed = world.home("alice").join("keys/seed");
    let plain = std::fs::read(&seed).unwrap();
    // None was given: said, and stored as it is.
    shown(&world, wrong).ok();
    let change = ["wallet", "passphrase", "change", "--home", "@alice", "--new-passphrase-file", right];
    let changed = world.ok(&change);
    assert!(changed["keys"].as_str().unwrap().starts_with("encrypted"), "{changed}");
    assert!(std::fs::read(&seed).unwrap().starts_with(b"feiqian sealed 1\n"));
    tried(&world, "wallet balance --home @alice").refused("PASSPHRASE_INVALID");
    let refused = shown(&world, wrong);
    refused.refused("PASSPHRASE_INVALID");
    assert!(refused.value["error"]["hint"].as_str().unwrap().contains("try again from 20"), "{refused:?}");
    // As after seven in a row: even the right one has to wait for 64 seconds.
    let counted = |seconds_ago: u64| {
        let last = SystemClock.now().seconds() - seconds_ago;
        std::fs::write(world.home("alice").join("attempts"), format!("{:020} {last:020}\n", 7)).unwrap();
    };
    counted(3);
    let soon = shown(&world, right);
    soon.refused("BUSY");
    assert_eq!(soon.exit, Some(3), "not now");
    counted(64);
    shown(&world, right).ok();
    let ended = std::fs::read_to_string(world.home("alice").join("attempts")).unwrap();
    assert!(ended.starts_with(&"0".repeat(20)), "{ended}");
    // A node that runs was given it once: its owner's commands need none.
    assert!(
        world.start_with("alice", &[("FEIQIAN_PASSPHRASE_FILE", right.to_owned())]),
        "{}",
        world.log("alice")
    );
    typed(&world, "wallet balance --home @alice");
    world.stop("alice");
    let none = private_file(&world, "none", "");
    let end = [&change[..6], &[none.to_str().unwrap(), "--passphrase-file", right]].concat();
    let changed = world.ok(&end);
    assert!(changed["keys"].as_str().unwrap().starts_with("not encrypted"), "{changed}");
    assert_eq!(std::fs::read(&seed).unwrap(), plain);
    typed(&world, "wallet balance --home @alice");
}

fn open_to_all(path: &Path) {
    std::fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
}

#[test]
fn keys_that_others_can_read_keep_a_node_from_starting() {
    let mut world = World::banks();
    world.stop("north");
    let key = world.home("north").join("keys/signer.pem");
    open_to_all(&key);
    let refused = tried(&world, "bank run --home @north");
    refused.refused("FORBIDDEN");
    let message = refused.value["error"]["message"].as_str().unwrap();
    assert!(message.contains("signer.pem") && message.contains("0644"), "{message}");
    std::fs::set_permissions(&key, Permissions::from_mode(0o600)).unwrap();
    world.start("north");
    // Nor is a passphrase taken from a file that others can read.
    let file = private_file(&world, "passphrase", "open\n");
    open_to_all(&file);
    let change = ["bank", "passphrase", "change", "--home", "@south", "--new-passphrase-file"];
    world.stop("south");
    world.run(&[&change[..], &[file.to_str().unwrap()]].concat()).refused("FORBIDDEN");
}

#[test]
fn what_operators_do_is_recorded_and_a_changed_record_is_noticed() {
    let mut world = World::banks();
    let alice = world.enrol("north", "alice", "customer");
    world.fund("north", "alice", "100.00");
    tried(&world, "bank account close --home @north --name alice").refused("CONFLICT");
    typed(&world, "bank account list --home @north");
    typed(&world, "center fund --home @center --bank north --amount 7.00 --id one");
    let shown = typed(&world, "bank log --home @north");
    let acts = shown["acts"].as_array().unwrap();
    let told: Vec<(&str, &str)> =
        acts.iter().map(|act| (act["act"].as_str().unwrap(), act["outcome"].as_str().unwrap())).collect();
    let expected = [("account_open", "done"), ("account_fund", "done"), ("account_close", "refused")];
    assert_eq!(told, expected, "looking is not recorded");
    assert_eq!(acts[1]["arguments"]["amount"], "100.00", "{shown}");
    assert_eq!(acts[2]["code"], "CONFLICT", "{shown}");
    assert!(!shown.to_string().contains(&alice), "the code was an answer");
    let center = typed(&world, "center log --home @center");
    let last: &Value = center["acts"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["act"], &last["arguments"]["bank"]), (&"fund".into(), &"north".into()), "{center}");
    // It goes on where it was, whether a node runs or not.
    world.stop("north");
    typed(&world, "bank account open --home @north --name bob");
    assert_eq!(typed(&world, "bank log --home @north")["acts"].as_array().unwrap().len(), 4);
    let file = world.home("north").join("acts.log");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("\"amount\":\"100.00\"", "\"amount\":\"900.00\"")).unwrap();
    let broken = tried(&world, "bank log --home @north");
    broken.refused("BROKEN_INVARIANT");
    assert_eq!(broken.exit, Some(4));
}

#[test]
fn a_wallet_comes_back_under_a_passphrase() {
    let world = World::banks();
    let right = private_file(&world, "right", "right\n");
    let wrong = private_file(&world, "wrong", "wrong\n");
    let (right, wrong) = (right.to_str().unwrap(), wrong.to_str().unwrap());
    let (url, code) = (world.url("north"), world.enrol("north", "alice", "customer"));
    let init = format!("wallet init --home @alice --name alice --bank {url} --code {code}");
    let made = typed(&world, &init);
    private_file(&world, "words", made["words"].as_str().unwrap());
    world.fund("north", "alice", "20.00");
    typed(&world, "wallet withdraw --home @alice 12.34");
    std::fs::remove_dir_all(world.home("alice")).unwrap();
    let restore = format!("wallet restore --home @again --words-file @words --bank {url}");
    let told = typed(&world, &format!("{restore} --passphrase-file {right}"));
    assert_eq!(told["restored"], "12.34", "{told}");
    for name in ["seed", "transport.pem", "signing.pem"] {
        let on_disk = std::fs::read(world.home("again").join("keys").join(name)).unwrap();
        assert!(on_disk.starts_with(b"feiqian sealed 1\n"), "keys/{name} is not encrypted");
    }
    // Neither looked into nor restored again by who does not know it.
    tried(&world, "wallet balance --home @again").refused("PASSPHRASE_INVALID");
    tried(&world, &restore).refused("PASSPHRASE_INVALID");
    let balance = |file: &str| format!("wallet balance --home @again --passphrase-file {file}");
    tried(&world, &balance(wrong)).refused("PASSPHRASE_INVALID");
    std::thread::sleep(Duration::from_millis(2100));
    assert_eq!(typed(&world, &balance(right))["balance"], "12.34");
    typed(&world, &format!("wallet deposit --home @again 2.34 --passphrase-file {right}"));
    assert_eq!(typed(&world, &balance(right))["balance"], "10.00");
}

#[test]
fn a_bank_under_a_passphrase_is_joined_and_run_under_it() {
    let mut world = World::empty_on_postgres();
    let right = private_file(&world, "right", "right\n");
    let wrong = private_file(&world, "wrong", "wrong\n");
    let (right, wrong) = (right.to_str().unwrap(), wrong.to_str().unwrap());
    typed(&world, "center init --home @center --name center");
    world.start("center");
    let center = world.url("center");
    let init = format!("bank init --home @north --name north --center {center}");
    typed(&world, &format!("{init} --passphrase-file {right}"));
    let join = "bank join --home @north-2 --of @north --name 2";
    tried(&world, join).refused("PASSPHRASE_INVALID");
    tried(&world, &format!("{join} --passphrase-file {wrong}")).refused("PASSPHRASE_INVALID");
    std::thread::sleep(Duration::from_millis(2100));
    let joined = typed(&world, &format!("{join} --passphrase-file {right}"));
    assert!(joined["keys"].as_str().unwrap().starts_with("encrypted"), "{joined}");
    for name in ["north", "north-2"] {
        tried(&world, &format!("bank run --home @{name}")).refused("PASSPHRASE_INVALID");
        let known = [("FEIQIAN_PASSPHRASE_FILE", right.to_owned())];
        assert!(world.start_with(name, &known), "{}", world.log(name));
    }
    // The keys that one makes the other gets, and neither home has a private key that lies open.
    world.pinned("north");
    let status = typed(&world, "bank status --home @north-2");
    assert_eq!(status["instances"].as_object().unwrap().len(), 2, "{status}");
    let private = |name: &str| -> Vec<String> {
        let keys = std::fs::read_dir(world.home(name).join("keys")).unwrap();
        let names = keys.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let public =
            |name: &String| name == "root.pem" || name == "vault.json" || name.ends_with("chain.pem");
        names.filter(|name| !public(name)).collect()
    };
    let both = crate::world::wait_until(Duration::from_secs(30), || {
        let shared = private("north").into_iter().any(|key| key.ends_with(".keys"));
        (shared && private("north-2").into_iter().any(|key| key.ends_with(".keys"))).then_some(())
    });
    assert!(both.is_some(), "{:?} and {:?}", private("north"), private("north-2"));
    for name in ["north", "north-2"] {
        for key in private(name) {
            let on_disk = std::fs::read(world.home(name).join("keys").join(&key)).unwrap();
            assert!(on_disk.starts_with(b"feiqian sealed 1\n"), "{name}/keys/{key} is not encrypted");
        }
    }
}
