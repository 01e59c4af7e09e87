//! What honest parties do with each other.

use feiqian_wallet::RefreshPolicy;
use feiqian_wire::error::Code;
use serde_json::{Value, json};

use crate::world::{DAY, Owner, World};

pub(crate) async fn run(owner: &Owner, command: Value) -> Result<Value, feiqian_wire::Fault> {
    let wallet = owner.open().await;
    feiqian_node::Service::command(wallet, command).await
}

pub(crate) async fn balance(owner: &Owner) -> (String, String) {
    let shown = run(owner, json!({"command": "balance"})).await.unwrap();
    (shown["balance"].as_str().unwrap().to_owned(), shown["pending"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn withdraw_pay_and_change() {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 10_000);
    let taken = run(&alice, json!({"command": "withdraw", "amount": "50.00"})).await.unwrap();
    assert_eq!((taken["amount"].as_str(), taken["currency"].as_str()), (Some("50.00"), Some("CNY")));
    assert_eq!(taken["session"].as_str().unwrap().len(), 64);
    let uri = world.shop_request(1_250, 600).to_uri().unwrap();
    let paid = run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    assert_eq!((paid["outcome"].as_str(), paid["amount"].as_str()), (Some("paid"), Some("12.50")));
    assert_eq!(
        run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap(),
        paid,
        "a repeat is the same payment"
    );
    let shown = run(&alice, json!({"command": "balance"})).await.unwrap();
    assert_eq!((shown["balance"].as_str(), shown["pending"].as_str()), (Some("37.50"), Some("0.00")));
    assert!(shown["coins"].as_u64().unwrap() > 0);
    assert_eq!((alice.account(), world.deposited(), alice.audited().await), (5_000, 1_250, 3_750));
    let history = run(&alice, json!({"command": "history"})).await.unwrap();
    assert_eq!(history["history"][0]["kind"], "withdraw");
    let status = run(&alice, json!({"command": "status"})).await.unwrap();
    assert_eq!(status["unfinished"], json!([]));
}

#[tokio::test]
async fn from_wallet_to_wallet_by_drop_box_and_by_file() {
    let world = World::new();
    let (alice, bob) = (Owner::new(&world, "alice", 10_000), Owner::new(&world, "bob", 0));
    run(&alice, json!({"command": "withdraw", "amount": "20"})).await.unwrap();
    let asked = run(&bob, json!({"command": "request", "amount": "3.33", "order": "tea"})).await.unwrap();
    let paid = run(&alice, json!({"command": "pay", "uri": asked["uri"]})).await.unwrap();
    assert_eq!(paid["outcome"], "delivered");
    let got = run(&bob, json!({"command": "receive"})).await.unwrap();
    assert_eq!(got["total"], "3.33");
    assert_eq!(got["received"][0]["payment"], paid["payment"]);
    let again = run(&bob, json!({"command": "receive"})).await.unwrap();
    assert_eq!((again["total"].as_str(), again["received"].as_array().unwrap().len()), (Some("0.00"), 0));
    assert_eq!((alice.audited().await, bob.audited().await), (1_667, 333));
    // What was received can be paid on: into a file.
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("payment.json");
    let asked = run(&alice, json!({"command": "request", "amount": "3.00"})).await.unwrap();
    let paid = run(&bob, json!({"command": "pay", "uri": asked["uri"], "out": file})).await.unwrap();
    assert_eq!(paid["outcome"], "delivered");
    let text = std::fs::read_to_string(&file).unwrap();
    let stranger = run(&bob, json!({"command": "receive", "file_bytes": text})).await.unwrap_err();
    assert_eq!(stranger.code, Code::RequestMismatch);
    let got = run(&alice, json!({"command": "receive", "path": file})).await.unwrap();
    assert_eq!(got["total"], "3.00");
    assert_eq!((alice.audited().await, bob.audited().await, world.violations()), (1_967, 33, 0));
}

#[tokio::test]
async fn a_deposit_goes_to_the_own_account() {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 1_000);
    run(&alice, json!({"command": "withdraw", "amount": "8"})).await.unwrap();
    let put = run(&alice, json!({"command": "deposit", "amount": "5.05"})).await.unwrap();
    assert_eq!((put["outcome"].as_str(), put["amount"].as_str()), (Some("paid"), Some("5.05")));
    run(&alice, json!({"command": "refresh"})).await.unwrap();
    assert_eq!((alice.account(), alice.audited().await), (705, 295));
    let poor = run(&alice, json!({"command": "deposit", "amount": "5.05"})).await.unwrap_err();
    assert_eq!(poor.code, Code::InsufficientFunds);
    let poor = run(&alice, json!({"command": "withdraw", "amount": "9"})).await.unwrap_err();
    assert_eq!((poor.code, alice.account()), (Code::InsufficientFunds, 705));
}

#[tokio::test]
async fn refunds_are_claimed_once() {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 1_000);
    run(&alice, json!({"command": "withdraw", "amount": "10"})).await.unwrap();
    let uri = world.shop_request(701, 600).to_uri().unwrap();
    let paid = run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    world.refund(&paid["payment"].as_str().unwrap().parse().unwrap(), 250);
    let done = run(&alice, json!({"command": "refresh"})).await.unwrap();
    assert_eq!(done["refunded"], "2.50");
    let done = run(&alice, json!({"command": "refresh"})).await.unwrap();
    assert_eq!(done["refunded"], "0.00");
    assert_eq!((alice.audited().await, world.circulation(1_000)), (549, 549));
}

#[tokio::test]
async fn coins_are_renewed_in_the_last_third_and_live_through_grace() {
    for days in [81, 125] {
        let world = World::new();
        let mut alice = Owner::new(&world, "alice", 1_000);
        alice.refresh = RefreshPolicy::Lazy;
        run(&alice, json!({"command": "withdraw", "amount": "6.40"})).await.unwrap();
        world.advance(days * DAY);
        world.rotate();
        let (ready, pending) = balance(&alice).await;
        let expected = if days < 120 { ("6.40", "0.00") } else { ("0.00", "6.40") };
        assert_eq!((ready.as_str(), pending.as_str()), expected);
        let done = run(&alice, json!({"command": "refresh"})).await.unwrap();
        assert_eq!(done["refreshed"], "6.40");
        assert_eq!(balance(&alice).await, ("6.40".to_owned(), "0.00".to_owned()));
        let done = run(&alice, json!({"command": "refresh"})).await.unwrap();
        assert_eq!(done["refreshed"], "0.00", "new coins are left alone");
    }
}

#[tokio::test]
async fn a_lazy_wallet_pays_with_the_rest_of_a_coin() {
    let world = World::new();
    let mut alice = Owner::new(&world, "alice", 1_000);
    alice.refresh = RefreshPolicy::Lazy;
    run(&alice, json!({"command": "withdraw", "amount": "9.99"})).await.unwrap();
    for minor in [300, 301, 398] {
        let uri = world.shop_request(minor, 600).to_uri().unwrap();
        let paid = run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
        assert_eq!(paid["outcome"], "paid");
    }
    assert_eq!((alice.audited().await, world.deposited(), world.violations()), (0, 999, 0));
}

#[tokio::test]
async fn known_members_are_enough_while_the_center_is_down() {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 1_000);
    run(&alice, json!({"command": "withdraw", "amount": "5"})).await.unwrap();
    let uri = world.shop_request(200, 600).to_uri().unwrap();
    world.state().down.insert("https://center:1");
    run(&alice, json!({"command": "withdraw", "amount": "1"})).await.unwrap();
    let paid = run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    assert_eq!(paid["outcome"], "paid");
    assert_eq!(alice.audited().await, 400);
}
