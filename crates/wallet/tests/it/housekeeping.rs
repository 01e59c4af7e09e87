//! What a wallet deletes by itself, long after the end of its coins' keys.

use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_node::Clock;
use serde_json::json;

use crate::flows::run;
use crate::world::{DAY, Owner, World};

/// Rows of the tables that shrink.
async fn rows(owner: &Owner) -> [u64; 5] {
    let count = |tx: &mut dyn Tx| {
        let mut counts = [0; 5];
        let tables = ["coin WHERE rest = 0", "contribution", "signed_statement", "issue_session", "payment"];
        for (count, table) in counts.iter_mut().zip(tables) {
            *count = tx.select(&format!("SELECT count(*) FROM {table}"), &[])?[0].unsigned(0)?;
        }
        Ok::<_, feiqian_ledger::store::StoreError>(counts)
    };
    owner.store.inner.read(count).await.unwrap()
}

#[tokio::test]
async fn what_was_spent_long_ago_is_deleted_and_the_history_stays() {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 10_000);
    run(&alice, json!({"command": "withdraw", "amount": "50.00"})).await.unwrap();
    for minor in [1_250, 3_750] {
        let uri = world.shop_request(minor, 600).to_uri().unwrap();
        run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    }
    let before = rows(&alice).await;
    let history = run(&alice, json!({"command": "history"})).await.unwrap();
    assert!(before.iter().all(|count| *count > 0), "{before:?}");
    // The keys' grace is over, and refunds of then may still be claimed.
    let later = |days: u64| world.clock.set(Clock::now(&*world.clock).saturating_add(days * DAY));
    later(690);
    alice.open().await.keep_house().await.unwrap();
    assert_eq!(rows(&alice).await, before);
    later(15);
    // Cut off before and after each commit.
    for point in ["wallet.coin.prune", "wallet.session.prune"] {
        for after in [false, true] {
            let wallet = alice.open().await;
            alice.store.arm(1, after);
            let crashed = std::sync::Arc::clone(&alice.store.crashed);
            tokio::select! {
                biased;
                () = crashed.notified() => {}
                done = wallet.keep_house() => panic!("it was not killed at {point}: {done:?}"),
            }
            assert_eq!(*alice.store.point.lock().unwrap(), point);
            alice.store.arm(-1, false);
            alice.audited().await;
        }
    }
    alice.open().await.keep_house().await.unwrap();
    assert_eq!(rows(&alice).await, [0; 5]);
    assert_eq!(alice.audited().await, 0);
    assert_eq!(run(&alice, json!({"command": "history"})).await.unwrap(), history);
}

/// A refund is claimed with the keys of the coins that paid.
#[tokio::test]
async fn coins_of_which_a_refund_may_still_come_are_kept_and_hold_up_no_others() {
    /// More than one transaction deletes.
    const KEPT: u64 = 70;
    let world = World::new();
    let alice = Owner::new(&world, "alice", 10_000);
    let withdraw = async |coins: u64| {
        for _ in 0..coins {
            run(&alice, json!({"command": "withdraw", "amount": "0.01"})).await.unwrap();
        }
    };
    let pay = async |minor: u64, days: u64| {
        let mut request = world.shop_request(minor, 600).request;
        request.refund_until = world.now().saturating_add(days * DAY);
        let signed = world.sign_as_shop(request);
        world.state().shop_requests.insert(signed.request.digest(), signed.clone());
        run(&alice, json!({"command": "pay", "uri": signed.to_uri().unwrap()})).await.unwrap();
    };
    withdraw(KEPT).await;
    pay(KEPT, 1_000).await;
    withdraw(5).await;
    pay(5, 30).await;
    assert_eq!(rows(&alice).await, [KEPT + 5, KEPT + 5, 2, KEPT + 5, 2]);
    let later = |days: u64| world.clock.set(Clock::now(&*world.clock).saturating_add(days * DAY));
    for days in [705, 300] {
        later(days);
        alice.open().await.keep_house().await.unwrap();
        assert_eq!(rows(&alice).await, [KEPT, KEPT, 1, KEPT, 1]);
        alice.audited().await;
    }
    // The last second of the time for refunds, and the week of those that are late.
    later(3);
    for _ in 0..2 {
        alice.open().await.keep_house().await.unwrap();
    }
    assert_eq!(rows(&alice).await, [0; 5]);
    alice.audited().await;
}
