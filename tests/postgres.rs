//! Center and banks that keep their stores in PostgreSQL.

use std::time::Duration;

use feiqian_store::testing;

use crate::world::{World, wait_until};

const ALL: [&str; 6] = ["center", "north", "south", "shop", "alice", "bob"];
const WITH_DATABASES: [&str; 3] = ["center", "north", "south"];

fn shop_gets(world: &World, amount: &str) {
    let got =
        wait_until(Duration::from_secs(20), || (world.account("south", "shop") == amount).then_some(()));
    assert!(got.is_some(), "{} instead of {amount}", world.account("south", "shop"));
}

fn pays(world: &World, amount: &str, order: &str) {
    let uri = world.request(amount, order);
    let paid = wait_until(Duration::from_secs(20), || {
        (world.run(&["wallet", "pay", "--home", "@alice", &uri]).value["outcome"] == "paid").then_some(())
    });
    assert!(paid.is_some(), "{}", world.run(&["wallet", "pay", "--home", "@alice", &uri]).value);
}

/// The address in a bank's or center's home.
fn address(world: &World, name: &str) -> String {
    std::fs::read_to_string(world.home(name).join("store-url")).unwrap()
}

#[test]
fn coins_go_round_on_postgresql_through_kills_and_lost_lines() {
    let mut world = World::empty_on_postgres().with_banks("gross", "1000000.00", |_| {});
    world.shop();
    world.wallet("alice", "north");
    world.wallet("bob", "north");
    world.fund("north", "alice", "100.00");
    world.ok(&["wallet", "withdraw", "--home", "@alice", "50.00"]);
    for name in WITH_DATABASES {
        assert!(!world.home(name).join("store.db").exists(), "{name} has a file");
        assert!(address(&world, name).starts_with("postgres://"));
    }
    pays(&world, "12.50", "A-1");
    shop_gets(&world, "12.50");
    // Every line to the databases ends under the running nodes: they go on by themselves.
    for name in WITH_DATABASES {
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let ended = testing::execute(&address(&world, name), sql).unwrap().unwrap();
        assert_ne!(ended, "0", "{name} has no line to its database");
    }
    pays(&world, "1.00", "A-2");
    shop_gets(&world, "13.50");
    for name in WITH_DATABASES {
        world.kill(name);
        world.start(name);
    }
    pays(&world, "1.50", "A-3");
    shop_gets(&world, "15.00");
    let uri = world.ok(&["wallet", "request", "--home", "@bob", "5.00"])["uri"].as_str().unwrap().to_owned();
    world.ok(&["wallet", "pay", "--home", "@alice", &uri]);
    world.ok(&["wallet", "receive", "--home", "@bob"]);
    world.ok(&["wallet", "deposit", "--home", "@bob", "5.00"]);
    assert_eq!(world.account("north", "bob"), "5.00");
    // While all run, and with nobody running.
    world.books_hold(&ALL);
    world.stop_all();
    world.books_hold(&ALL);
    // A row changed behind everybody's back is named.
    testing::execute(&address(&world, "north"), "UPDATE account SET withdrawn = withdrawn + 1").unwrap();
    let audit = world.audit(&ALL);
    assert_eq!(audit.code(), "BROKEN_INVARIANT", "{}", audit.value);
}

#[test]
fn a_database_serves_one_home_and_must_be_within_reach() {
    let mut world = World::empty_on_postgres();
    world.ok(&["center", "init", "--home", "@center", "--name", "center"]);
    let taken = address(&world, "center");
    let init = |home: &'static str, url: &str| {
        let words = ["center", "init", "--name", "center", "--store", url, "--home"];
        World::empty_on_files().run(&[&words[..], &[home]].concat())
    };
    init("@other", &taken).refused("CONFLICT");
    init("@other", "mysql://root@localhost/x").refused("USAGE");
    let nowhere = init("@other", "postgres://root:sesame@127.0.0.1:1/x");
    nowhere.refused("UNAVAILABLE");
    assert!(!nowhere.value.to_string().contains("sesame"));
    world.start("center");
    world.stop("center");
}
