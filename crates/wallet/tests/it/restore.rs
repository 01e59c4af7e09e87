//! A wallet made again from its words, after its store is lost.

use std::sync::Arc;

use feiqian_ledger::store::{StoreError, StoreExt as _};
use feiqian_offline_cash::carry::Carried;
use feiqian_wallet::RefreshPolicy;
use feiqian_wallet::restore::Pace;
use feiqian_wallet::tables::SETTING;
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use crate::crashes::{CUTS, Cut, cuts};
use crate::flows::{balance, run};
use crate::world::{DAY, Fragile, Owner, World};

const ONE_BY_ONE: Pace = Pace { ways: 1, pause_ms: 0 };

/// A new store for the same words, as a new home of them has it.
async fn from_words(world: &Arc<World>, who: &str, generation: u8) -> Owner {
    let owner = Owner::over(world, who, 0, Fragile::in_memory());
    let store = Arc::clone(&owner.store.inner);
    store
        .commit("test.restore", move |tx| {
            tx.insert(&SETTING, &["generation".into(), vec![generation; 16].into()])?;
            tx.insert(&SETTING, &["restore".into(), b"open".to_vec().into()])?;
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    owner
}

async fn restore(owner: &Owner, pace: Pace) -> Result<Value, Fault> {
    owner.open().await.restore(pace, &|_| {}).await
}

/// A wallet that has done a bit of everything: 100.00 withdrawn in two epochs, 33.33 paid with change, 12.50 deposited, 5.00
/// received, 1.00 given to a friend, 1.01 paid from a coin whose rest was not refreshed, 2.00 of a payment refunded, 8.00
/// withdrawn offline and 1.00 of that spent. It holds [`HELD`], and 7.00 offline.
async fn lived(world: &Arc<World>) -> Owner {
    let mut alice = Owner::new(world, "alice", 20_000);
    let bob = Owner::new(world, "bob", 2_000);
    run(&alice, json!({"command": "withdraw", "amount": "60"})).await.unwrap();
    run(&bob, json!({"command": "withdraw", "amount": "20"})).await.unwrap();
    let uri = world.shop_request(3_333, 30 * DAY).to_uri().unwrap();
    let paid = run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    run(&alice, json!({"command": "deposit", "amount": "12.50"})).await.unwrap();
    world.advance(31 * DAY);
    world.rotate();
    world.rotate_offline();
    run(&alice, json!({"command": "withdraw", "amount": "40"})).await.unwrap();
    let asked = run(&alice, json!({"command": "request", "amount": "5"})).await.unwrap();
    run(&bob, json!({"command": "pay", "uri": asked["uri"]})).await.unwrap();
    run(&alice, json!({"command": "receive"})).await.unwrap();
    let asked = run(&bob, json!({"command": "request", "amount": "1"})).await.unwrap();
    run(&alice, json!({"command": "pay", "uri": asked["uri"]})).await.unwrap();
    run(&bob, json!({"command": "receive"})).await.unwrap();
    run(&alice, json!({"command": "withdraw_offline", "amount": "8"})).await.unwrap();
    let uri = Carried::Request(world.till_request(100)).to_uri().unwrap();
    run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap();
    alice.refresh = RefreshPolicy::Lazy;
    let uri = world.shop_request(101, 600).to_uri().unwrap();
    assert_eq!(run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap()["outcome"], "paid");
    let payment = serde_json::from_value(paid["payment"].clone()).unwrap();
    world.refund(&payment, 200);
    alice
}

/// Coins of [`lived`], minor units: 100.00 + 5.00 − 33.33 − 12.50 − 1.00 − 1.01, and the refund of 2.00.
const HELD: u64 = 10_000 + 500 - 3_333 - 1_250 - 100 - 101;
const REFUND: u64 = 200;

#[tokio::test]
async fn the_words_alone_bring_everything_back_that_the_banks_know() {
    let world = World::new();
    let lost = lived(&world).await;
    assert_eq!((lost.audited().await, lost.audited_offline().await), (HELD, (700, 0)));
    let before = world.refreshes().len();
    let alice = from_words(&world, "alice", 7).await;
    let done = restore(&alice, Pace::default()).await.unwrap();
    assert_eq!((done["restored"].as_str(), done["refunded"].as_str()), (Some("57.16"), Some("2.00")));
    assert!(done["spent_coins"].as_u64().unwrap() > 0, "{done}");
    assert_eq!(
        (done["foreign_sessions"].as_u64(), done["offline"]["amount"].as_str()),
        (Some(0), Some("8.00"))
    );
    assert_eq!(balance(&alice).await, ("59.16".to_owned(), "0.00".to_owned()));
    assert_eq!((alice.audited().await, world.violations()), (HELD + REFUND, 0));
    // Each coin alone: nothing says that two of them belong together.
    let refreshes = world.refreshes().split_off(before);
    assert_eq!(refreshes.len(), usize::try_from(done["coins"].as_u64().unwrap()).unwrap());
    assert!(refreshes.iter().all(|inputs| *inputs == 1), "{refreshes:?}");
    // Nothing offline is spent again; it can be claimed, less what was deposited.
    assert_eq!(alice.audited_offline().await, (0, 800));
    let uri = Carried::Request(world.till_request(100)).to_uri().unwrap();
    let poor = run(&alice, json!({"command": "pay_offline", "request": uri})).await.unwrap_err();
    assert_eq!(poor.code, Code::InsufficientFunds);
    // All of it is money.
    run(&alice, json!({"command": "deposit", "amount": "59.16"})).await.unwrap();
    assert_eq!((alice.audited().await, world.violations()), (0, 0));
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let world = World::new();
    lived(&world).await;
    let alice = from_words(&world, "alice", 7).await;
    let first = restore(&alice, Pace::default()).await.unwrap();
    let (refreshes, held) = (world.refreshes(), alice.audited().await);
    let mut second = restore(&alice, Pace::default()).await.unwrap();
    assert_eq!(second["offline"]["coins"], 0, "nothing new");
    second["offline"] = first["offline"].clone();
    assert_eq!((second, world.refreshes(), alice.audited().await), (first, refreshes, held));
    let history = run(&alice, json!({"command": "history"})).await.unwrap();
    let lines = history["history"].as_array().unwrap();
    assert_eq!(lines.iter().filter(|line| line["kind"] == "restore").count(), 1);
}

#[tokio::test]
async fn what_a_restored_wallet_did_is_found_when_it_is_lost_too() {
    let world = World::new();
    lived(&world).await;
    for (generation, paid) in [(7, 1_000), (8, 250), (9, 10)] {
        let alice = from_words(&world, "alice", generation).await;
        restore(&alice, Pace::default()).await.unwrap();
        let held = alice.audited().await;
        run(&alice, json!({"command": "withdraw", "amount": "3"})).await.unwrap();
        let uri = world.shop_request(paid, 600).to_uri().unwrap();
        assert_eq!(run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap()["outcome"], "paid");
        let next = from_words(&world, "alice", generation + 100).await;
        restore(&next, Pace::default()).await.unwrap();
        assert_eq!((next.audited().await, world.violations()), (held + 300 - paid, 0), "{generation}");
    }
}

#[tokio::test]
async fn other_words_give_nothing() {
    let world = World::new();
    lived(&world).await;
    let mut thief = from_words(&world, "alice", 7).await;
    thief.words = Some([9; 64]);
    let done = restore(&thief, Pace::default()).await.unwrap();
    assert_eq!(
        (done["restored"].as_str(), done["coins"].as_u64(), done["refunded"].as_str()),
        (Some("0.00"), Some(0), Some("0.00"))
    );
    assert_eq!((thief.audited().await, world.violations()), (0, 0));
}

#[tokio::test]
async fn a_wallet_that_was_not_made_from_words_is_not_restored() {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 1_000);
    run(&alice, json!({"command": "withdraw", "amount": "5"})).await.unwrap();
    assert_eq!(restore(&alice, Pace::default()).await.unwrap_err().code, Code::Conflict);
    assert_eq!(alice.audited().await, 500);
}

#[tokio::test]
async fn a_silent_bank_delays_it_only() {
    let world = World::new();
    lived(&world).await;
    let alice = from_words(&world, "alice", 7).await;
    world.state().down.insert("https://north:1");
    let fault = restore(&alice, Pace::default()).await.unwrap_err();
    assert_eq!(fault.code, Code::NodeUnreachable);
    world.state().down.clear();
    restore(&alice, Pace::default()).await.unwrap();
    assert_eq!((alice.audited().await, world.violations()), (HELD + REFUND, 0));
}

/// Interrupts a restore; true when the interruption happened.
async fn interrupt(owner: &Owner, cut: Cut) -> bool {
    match cut {
        Cut::Before(number) => owner.store.arm(number, false),
        Cut::After(number) => owner.store.arm(number, true),
        Cut::Lost(number) => owner.world.state().lose_after = number,
        Cut::Send(number) => owner.store.arm_message(number, false),
        Cut::Answered(number) => owner.store.arm_message(number, true),
    }
    let crashed = Arc::clone(&owner.store.crashed);
    let ended = tokio::select! {
        biased;
        () = crashed.notified() => false,
        done = restore(owner, ONE_BY_ONE) => done.is_ok(),
    };
    let lost = matches!(cut, Cut::Lost(_)) && owner.world.state().lose_after <= 0;
    owner.store.arm(-1, false);
    owner.world.state().lose_after = -1;
    !ended || lost
}

/// A smaller life, since it is interrupted at every commit and every answer.
async fn lived_briefly(world: &Arc<World>) -> u64 {
    let mut alice = Owner::new(world, "alice", 5_000);
    run(&alice, json!({"command": "withdraw", "amount": "0.07"})).await.unwrap();
    let uri = world.shop_request(3, 30 * DAY).to_uri().unwrap();
    let paid = run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    alice.refresh = RefreshPolicy::Lazy;
    run(&alice, json!({"command": "withdraw", "amount": "0.64"})).await.unwrap();
    let uri = world.shop_request(61, 600).to_uri().unwrap();
    run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    world.refund(&serde_json::from_value(paid["payment"].clone()).unwrap(), 1);
    alice.audited().await + 1
}

#[tokio::test]
async fn a_restore_killed_anywhere_goes_on_from_there() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..400 {
            let world = World::new();
            let held = lived_briefly(&world).await;
            let alice = from_words(&world, "alice", 7).await;
            if !interrupt(&alice, cuts(number)[kind]).await {
                break;
            }
            steps += 1;
            // In between its owner uses it as if all were well.
            run(&alice, json!({"command": "refresh"})).await.unwrap();
            restore(&alice, ONE_BY_ONE).await.unwrap();
            let point = *alice.store.point.lock().unwrap();
            assert_eq!((alice.audited().await, world.violations()), (held, 0), "{kind} {number} {point}");
            let left = held / 100;
            let shown = (format!("{left}.{:02}", held % 100), "0.00".to_owned());
            assert_eq!(balance(&alice).await, shown, "{kind} {number} {point}");
        }
        assert!(steps >= 20, "kind {kind} was cut at {steps} places");
    }
}
