//! Offline value that was lost: an old copy of a wallet put back gives no share of an old coin, and gets its value back when
//! nobody deposited it.

use std::time::{Duration, Instant};

use crate::offline_tools::{
    PATIENCE, accepted, accused, asked, copied, holds, market, market_of_three, opened, paid, set, settled,
    tried, typed, withdrawn,
};
use crate::world::{World, wait_until};

/// Puts a copy of a home in its place.
fn put_back(world: &World, copy: &str, name: &str) {
    std::fs::remove_dir_all(world.home(name)).unwrap();
    std::fs::rename(world.home(copy), world.home(name)).unwrap();
}

#[test]
fn a_wallet_that_was_put_back_gives_no_old_share() {
    let world = market_of_three();
    copied(&world, "alice", "backup");
    // After the copy was made: new coins, old ones spent; the shop has not deposited them.
    withdrawn(&world, "alice", "5.00");
    paid(&world, ("alice", "shop"), "20.00", "B-1");
    put_back(&world, "backup", "alice");
    holds(&world, "alice", "20.00");
    let found = typed(&world, "wallet offline restore --home @alice");
    assert_eq!(found["amount"], "5.00", "what the copy did not know: {found}");
    let balance = world.balance("alice");
    let offline = &balance["offline"];
    assert_eq!(
        (&offline["balance"], &offline["reclaimable"]),
        (&"0.00".into(), &"25.00".into()),
        "{offline}"
    );
    asked(&world, "shop", "1.00", "B-2");
    tried(&world, "wallet pay --offline --home @alice @B-2.request").refused("INSUFFICIENT_FUNDS");
    tried(&world, "wallet pay --offline --home @alice @B-1.request").refused("INSUFFICIENT_FUNDS");
    tried(&world, "wallet deposit --offline --home @alice 1.00").refused("INSUFFICIENT_FUNDS");
    let code = opened(&world, ("alice", "bob"), "1.00", "offer");
    let pass = format!("wallet transfer-coin --home @alice --to @offer.opened --code {code}");
    tried(&world, &pass).refused("INSUFFICIENT_FUNDS");
    // New coins pay.
    withdrawn(&world, "alice", "2.00");
    paid(&world, ("alice", "shop"), "1.50", "B-3");
    holds(&world, "alice", "0.50");
    assert!(accused(&world, "north").is_empty());
}

#[test]
fn a_wallet_that_was_put_back_notices_it_with_its_next_withdrawal() {
    let world = market_of_three();
    copied(&world, "alice", "backup");
    withdrawn(&world, "alice", "5.00");
    put_back(&world, "backup", "alice");
    // The same words ask for the session that the bank has answered already.
    withdrawn(&world, "alice", "3.00");
    let balance = world.balance("alice");
    let offline = &balance["offline"];
    assert_eq!(
        (&offline["balance"], &offline["reclaimable"]),
        (&"3.00".into(), &"25.00".into()),
        "{offline}"
    );
    asked(&world, "shop", "4.00", "B-1");
    tried(&world, "wallet pay --offline --home @alice @B-1.request").refused("INSUFFICIENT_FUNDS");
    assert_eq!(world.account("north", "alice"), "62.00", "withdrawn were 10.00 online, 28.00 offline");
}

#[test]
fn an_offline_identity_outlives_its_certificate() {
    let world = market();
    for round in 1..=2 {
        typed(&world, "wallet certificate renew --home @alice");
        withdrawn(&world, "alice", "3.00");
        let order = format!("B-{round}");
        paid(&world, ("alice", "shop"), "4.00", &order);
        accepted(&world, "shop", &order);
        settled(&world, "shop", &order, "4.00");
    }
    // The keys are lost, and the words are not.
    typed(&world, "wallet certificate delete --home @alice --force");
    let code = world.enrol("north", "alice", "customer");
    typed(&world, &format!("wallet certificate apply --home @alice --code {code}"));
    withdrawn(&world, "alice", "1.00");
    holds(&world, "alice", "19.00");
    assert!(accused(&world, "north").is_empty());
}

/// How long an epoch of [`short_lived`] issues, then pays, is deposited, and is claimed, seconds.
const EPOCH: [u64; 4] = [45, 2, 3, 40];

/// A market whose bank north has short epochs of offline coins.
pub(crate) fn short_lived([issue, pay, deposit, reclaim]: [u64; 4]) -> World {
    let mut world = World::banks_with("gross", "1000000.00", |world| {
        let times = [("issue", issue), ("pay", pay), ("deposit", deposit), ("reclaim", reclaim)];
        for (what, seconds) in times {
            set(world, "north", "offline", &format!("{what}_seconds"), &seconds.to_string());
        }
    });
    world.shop();
    world.wallet("alice", "north");
    world.fund("north", "alice", "100.00");
    world
}

#[test]
fn what_nobody_deposited_comes_back_when_its_time_has_come() {
    let world = short_lived(EPOCH);
    let begun = Instant::now();
    withdrawn(&world, "alice", "8.00");
    copied(&world, "alice", "backup");
    withdrawn(&world, "alice", "4.00");
    assert_eq!(world.account("north", "alice"), "88.00");
    let early = typed(&world, "wallet offline reclaim --home @alice");
    assert_eq!((&early["paid"], &early["filed"]), (&"0.00".into(), &"0.00".into()), "{early}");
    // The copy knows nothing of 4.00; they are found again, with their claims.
    put_back(&world, "backup", "alice");
    let found = typed(&world, "wallet offline restore --home @alice");
    assert_eq!(found["amount"], "4.00", "{found}");
    let wait = Duration::from_secs(EPOCH.iter().sum::<u64>() + 60);
    let paid = wait_until(wait.saturating_sub(begun.elapsed()).max(PATIENCE), || {
        std::thread::sleep(Duration::from_millis(500));
        let told = typed(&world, "wallet offline reclaim --home @alice");
        (told["paid"] == "12.00").then_some(told)
    });
    let told = || typed(&world, "wallet offline reclaim --home @alice");
    let paid = paid.unwrap_or_else(|| panic!("{}: {}", told(), world.log("north")));
    assert_eq!(
        (&paid["filed"], &paid["waiting"], &paid["refused"]),
        (&"0.00".into(), &"0.00".into(), &"0.00".into())
    );
    assert_eq!(world.account("north", "alice"), "100.00", "every coin came back, once");
    assert_eq!(typed(&world, "wallet offline reclaim --home @alice"), paid, "claims are decided once");
    world.books_hold(&["center", "north", "south", "shop", "alice"]);
}
