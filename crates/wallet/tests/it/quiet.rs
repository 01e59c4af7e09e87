//! What a wallet asks, when: questions that arrive together tell who asks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use feiqian_node::{Service, Shutdown};
use serde_json::json;

use crate::flows::run;
use crate::world::{DAY, Owner, World};

/// A wallet that has paid three times for requests that can be refunded for ten minutes.
pub(crate) async fn paid_three_times() -> (Arc<World>, Owner) {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 1_000);
    run(&alice, json!({"command": "withdraw", "amount": "10"})).await.unwrap();
    for minor in [100, 200, 300] {
        let uri = world.shop_request(minor, 600).to_uri().unwrap();
        run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    }
    assert_eq!(world.state().asked, []);
    (world, alice)
}

/// Runs the wallet's background for a while; how many outcomes it asked for, and after how many rounds.
pub(crate) async fn background(world: &World, alice: &Owner, millis: u64) -> (usize, usize) {
    let asked = world.state().asked.len();
    let routes = world.state().routes.len();
    let (wallet, shutdown) = (alice.open().await, Shutdown::new());
    let working = tokio::spawn(Service::background(wallet, shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(millis)).await;
    shutdown.trigger();
    working.await.unwrap();
    let state = world.state();
    let rounds = state.routes.iter().skip(routes).filter(|route| *route == "/v1/directory").count();
    (state.asked.len() - asked, rounds)
}

#[tokio::test]
async fn the_background_asks_about_one_payment_a_round_and_ever_more_rarely() {
    let (world, mut alice) = paid_three_times().await;
    alice.poll_seconds = 1;
    let (asked, rounds) = background(&world, &alice, 500).await;
    assert_eq!((asked, rounds), (1, 1));
    world.state().asked.clear();
    let (asked, rounds) = background(&world, &alice, 4_600).await;
    assert!(rounds > 3, "{rounds}");
    let distinct: BTreeSet<_> = world.state().asked.iter().copied().collect();
    assert_eq!((asked, distinct.len()), (3, 3), "in {rounds} rounds, and the clock stands still");
    world.advance(600 + 7 * DAY);
    assert_eq!(background(&world, &alice, 500).await.0, 0, "no refund can come any more");
}

#[tokio::test]
async fn a_refund_that_was_ordered_in_the_last_second_is_found_days_later() {
    let (world, mut alice) = paid_three_times().await;
    alice.poll_seconds = 1;
    let paid = world.paid();
    // The payee's bank was down, and books it six days after the time for refunds.
    world.advance(599 + 6 * DAY);
    world.refund(&paid[1], 10);
    background(&world, &alice, 3_600).await;
    assert_eq!((paid.len(), alice.audited().await), (3, 410));
}

#[tokio::test]
async fn a_refund_is_found_by_the_background() {
    let (world, mut alice) = paid_three_times().await;
    alice.poll_seconds = 1;
    let paid = world.paid();
    for payment in &paid {
        world.refund(payment, 10);
    }
    background(&world, &alice, 3_600).await;
    assert_eq!((paid.len(), alice.audited().await), (3, 430));
}

#[tokio::test]
async fn the_owners_refresh_asks_about_the_last_week() {
    let (world, alice) = paid_three_times().await;
    world.advance(6 * DAY);
    run(&alice, json!({"command": "refresh"})).await.unwrap();
    assert_eq!(world.state().asked.len(), 3);
    world.advance(2 * DAY);
    run(&alice, json!({"command": "refresh"})).await.unwrap();
    assert_eq!(world.state().asked.len(), 3);
}

#[tokio::test]
async fn nothing_anonymous_stands_next_to_calls_under_the_owners_name() {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 2_000);
    run(&alice, json!({"command": "withdraw", "amount": "10"})).await.unwrap();
    // Leaves change.
    run(&alice, json!({"command": "deposit", "amount": "3.33"})).await.unwrap();
    let changes = |world: &World| {
        let state = world.state();
        state.routes.iter().filter(|route| route.starts_with("/v1/issue/") || *route == "/v1/outcome").count()
    };
    run(&alice, json!({"command": "withdraw", "amount": "1"})).await.unwrap();
    run(&alice, json!({"command": "deposit", "amount": "1.11"})).await.unwrap();
    run(&alice, json!({"command": "balance"})).await.unwrap();
    assert_eq!(changes(&world), 0);
    run(&alice, json!({"command": "refresh"})).await.unwrap();
    assert!(changes(&world) > 0);
}
