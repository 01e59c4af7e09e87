//! A wallet under a passphrase keeps no secret that spends: not in its store, nor in what the store leaves beside it.

use std::collections::{HashMap, HashSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar};
use feiqian_node::{Home, Passphrase, SystemClock};
use feiqian_online_cash::coin::{CoinId, public_key};
use feiqian_wallet::StoreKey;
use feiqian_wallet::sealed_rows::Place;
use rusqlite::Connection;

use crate::offline_tools::{asked, handed, knows_keys, settled, tried, typed, withdrawn};
use crate::world::World;

const PASSPHRASE: &str = "four white swans under the bridge";
/// So many bytes of everything that is looked for are looked up first.
const START: usize = 8;

/// The key of a wallet's store, by the passphrase of its home.
pub(crate) fn store_key(world: &World, name: &str, passphrase: &str) -> StoreKey {
    let home = Home::open(world.home(name), "wallet").unwrap();
    if home.is_sealed() {
        home.unseal(&Passphrase::new(passphrase.into()).unwrap(), &SystemClock).unwrap();
    }
    feiqian_wallet::init::store_key(&home).unwrap()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest(bytes.try_into().unwrap())
}

/// Every secret in the store of a stopped wallet, opened, by what it is.
pub(crate) fn secrets_of(world: &World, name: &str, passphrase: &str) -> Vec<(String, Vec<u8>)> {
    let key = store_key(world, name, passphrase);
    let store = Connection::open(world.home(name).join("store.db")).unwrap();
    let read = |sql: &str| -> Vec<[Vec<u8>; 3]> {
        let mut rows = store.prepare(sql).unwrap();
        let found = rows.query_map([], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?])).unwrap();
        found.map(Result::unwrap).collect()
    };
    let mut secrets = Vec::new();
    for table in ["coin", "restore_coin"] {
        for [denomination, coin, sealed] in
            read(&format!("SELECT denomination, coin_key, secret FROM {table}"))
        {
            let id =
                CoinId { denomination: digest(&denomination), key: EncodedPoint(coin.try_into().unwrap()) };
            let secret = key.open(Place::Coin(&id), &sealed).unwrap();
            let scalar = EncodedScalar(secret.as_slice().try_into().unwrap()).decode().unwrap();
            assert_eq!(public_key(&scalar), id.key, "what was opened is the coin's key");
            secrets.push((format!("{name}: {table}"), secret.to_vec()));
        }
    }
    let offline = "SELECT message, message, secret FROM offline_coin WHERE secret IS NOT NULL";
    for [message, _, sealed] in read(offline) {
        // The tree's seed and k; the signature that follows is shown with what is spent.
        let secret = key.open(Place::OfflineCoin(&digest(&message)), &sealed).unwrap();
        secrets.push((format!("{name}: offline_coin"), secret[..160].to_vec()));
    }
    for [offer, _, sealed] in read("SELECT offer, offer, dice FROM offline_offer") {
        let dice = key.open(Place::Offer(&digest(&offer)), &sealed).unwrap();
        secrets.push((format!("{name}: offline_offer"), dice.to_vec()));
    }
    for [commitment, _, sealed] in read("SELECT commitment, commitment, dice FROM offline_expect") {
        let dice = key.open(Place::Expect(&digest(&commitment)), &sealed).unwrap();
        secrets.push((format!("{name}: offline_expect"), dice.to_vec()));
    }
    secrets
}

/// What 32 bytes look like in a file: as they are, in hexadecimal, in base64.
fn looks(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex = hex::encode(secret);
    // Of base64, what does not depend on the bytes that follow.
    let base64 = STANDARD.encode(&secret[..secret.len() / 3 * 3]);
    vec![secret.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes(), base64.into_bytes()]
}

/// All files below `folder`, with what is in them.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    found
}

/// Where any part of a secret stands in a file.
fn found_in(files: &[(String, Vec<u8>)], secrets: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut known: HashMap<Vec<u8>, Vec<(String, Vec<u8>)>> = HashMap::new();
    for (what, secret) in secrets {
        for (part, chunk) in secret.chunks(32).filter(|chunk| chunk.len() == 32).enumerate() {
            for look in looks(chunk) {
                let what = format!("{what}, part {part}");
                known.entry(look[..START].to_vec()).or_default().push((what, look));
            }
        }
    }
    let mut found = HashSet::new();
    for (file, bytes) in files {
        for (place, start) in bytes.windows(START).enumerate() {
            for (what, look) in known.get(start).into_iter().flatten() {
                if bytes[place..].starts_with(look) {
                    found.insert(format!("{file}: {what}"));
                }
            }
        }
    }
    let mut found: Vec<String> = found.into_iter().collect();
    found.sort();
    found
}

/// A world whose homes are under a passphrase, in which Alice and Bob withdrew, paid, received and handed over.
fn market() -> World {
    let world = World::empty_on_files();
    let file = world.home("passphrase");
    std::fs::write(&file, PASSPHRASE).unwrap();
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let environment = vec![("FEIQIAN_PASSPHRASE_FILE", file.to_str().unwrap().to_owned())];
    let mut world = world.keeping(environment).with_banks("gross", "1000000.00", |_| {});
    world.shop();
    world.wallet("alice", "north");
    world.wallet("bob", "north");
    world.fund("north", "alice", "300.00");
    typed(&world, "wallet withdraw --home @alice 80.00");
    let uri = world.request("12.34", "A-1");
    typed(&world, &format!("wallet pay --home @alice {uri}"));
    let asks = typed(&world, "wallet request --home @bob 5.00")["uri"].as_str().unwrap().to_owned();
    typed(&world, &format!("wallet pay --home @alice {asks}"));
    typed(&world, "wallet receive --home @bob");
    withdrawn(&world, "alice", "20.00");
    typed(&world, "wallet blanks --home @bob 24");
    knows_keys(&mut world, "shop");
    asked(&world, "shop", "4.00", "B-1");
    typed(&world, "wallet pay --offline --home @alice @B-1.request --out @B-1.payment");
    crate::offline_tools::accepted(&world, "shop", "B-1");
    handed(&world, ("alice", "bob"), "6.00", "first");
    settled(&world, "shop", "B-1", "4.00");
    world
}

#[test]
fn no_file_of_a_wallet_has_a_secret_that_spends() {
    let mut world = market();
    for name in ["alice", "bob"] {
        // While it runs, and after it was killed: the write-ahead log is there then.
        world.start(name);
        typed(&world, &format!("wallet balance --home @{name}"));
        let running = files(&world.home(name));
        world.kill(name);
        let secrets = secrets_of(&world, name, PASSPHRASE);
        let kinds: HashSet<&str> = secrets.iter().map(|(what, _)| what.as_str()).collect();
        assert!(kinds.len() >= 3 && secrets.len() >= 8, "{kinds:?}");
        for files in [running, files(&world.home(name))] {
            assert!(files.iter().any(|(file, _)| file.ends_with("store.db")));
            assert_eq!(found_in(&files, &secrets), Vec::<String>::new());
        }
        // The search finds what is there.
        let (what, secret) = &secrets[0];
        let planted = [vec![7; 100], hex::encode(&secret[..32]).into_bytes(), vec![9; 3]].concat();
        assert_eq!(
            found_in(&[("planted".to_owned(), planted)], &secrets),
            [format!("planted: {what}, part 0")]
        );
    }
    world.books_hold(&["center", "north", "south", "shop", "alice", "bob"]);
}

/// Two coins of one size that have given nothing.
const PAIR: &str = "SELECT a.denomination, a.coin_key, b.coin_key FROM coin a JOIN coin b \
    ON a.denomination = b.denomination AND a.coin_key < b.coin_key WHERE a.rest = a.worth AND b.rest = b.worth LIMIT 1";

#[test]
fn a_secret_moved_to_another_row_is_refused() {
    let mut world = World::empty_on_files().with_banks("gross", "1000000.00", |_| {});
    world.shop();
    world.wallet("alice", "north");
    world.fund("north", "alice", "300.00");
    for _ in 0..2 {
        typed(&world, "wallet withdraw --home @alice 60.00");
    }
    let store = Connection::open(world.home("alice").join("store.db")).unwrap();
    let row = |row: &rusqlite::Row<'_>| -> rusqlite::Result<[Vec<u8>; 3]> {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?])
    };
    let [denomination, one, other] = store.query_row(PAIR, [], row).unwrap();
    let swap = "UPDATE coin SET secret = (SELECT secret FROM coin c WHERE c.denomination = ?1 AND c.coin_key = \
                CASE coin.coin_key WHEN ?2 THEN ?3 ELSE ?2 END) WHERE denomination = ?1 AND coin_key IN (?2, ?3)";
    assert_eq!(store.execute(swap, [&denomination, &one, &other]).unwrap(), 2);
    drop(store);
    let uri = world.request("120.00", "A-1");
    let refused = tried(&world, &format!("wallet pay --home @alice {uri}"));
    assert_ne!(refused.exit, Some(0), "{}", refused.value);
    assert!(refused.value.to_string().contains("is that of another row"), "{}", refused.value);
    assert_eq!(world.account("north", "alice"), "180.00");
    let audit = world.audit(&["center", "north", "south", "shop", "alice"]);
    assert_eq!(audit.exit, Some(4), "{}", audit.value);
}
