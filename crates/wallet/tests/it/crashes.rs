//! A wallet that dies at any commit, or whose answers are lost, goes on from there and acts once.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::flows::run;
use crate::world::{Owner, World};

/// Runs a command until it answers or dies at the armed commit.
/// Runs a command; `None` when it crashed, else whether it answered.
async fn until_crash(owner: &Owner, command: Value) -> Option<bool> {
    let crashed = Arc::clone(&owner.store.crashed);
    tokio::select! {
        biased;
        () = crashed.notified() => None,
        done = run(owner, command) => Some(done.is_ok()),
    }
}

/// Where a run is interrupted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    Before(i64),
    After(i64),
    Lost(i64),
    Send(i64),
    Answered(i64),
}

/// Of how many kinds they are.
pub(crate) const CUTS: usize = 5;

/// Before and after a commit; an answer that is lost; a process that dies before a message leaves, or over its answer.
pub(crate) fn cuts(number: i64) -> [Cut; CUTS] {
    [Cut::Before(number), Cut::After(number), Cut::Lost(number), Cut::Send(number), Cut::Answered(number)]
}

/// Interrupts one command; true when the interruption happened.
pub(crate) async fn interrupt(owner: &Owner, cut: Cut, command: Value) -> bool {
    interrupted(owner, cut, command).await.is_some()
}

/// Interrupts one command. `None` when it ended before the interruption came, else whether it answered all the same, as
/// one does that can do without what was lost.
pub(crate) async fn interrupted(owner: &Owner, cut: Cut, command: Value) -> Option<bool> {
    match cut {
        Cut::Before(number) => owner.store.arm(number, false),
        Cut::After(number) => owner.store.arm(number, true),
        Cut::Lost(number) => owner.world.state().lose_after = number,
        Cut::Send(number) => owner.store.arm_message(number, false),
        Cut::Answered(number) => owner.store.arm_message(number, true),
    }
    let answered = until_crash(owner, command).await;
    let lost = matches!(cut, Cut::Lost(_)) && owner.world.state().lose_after <= 0;
    owner.store.arm(-1, false);
    owner.world.state().lose_after = -1;
    (answered.is_none() || lost).then_some(answered == Some(true))
}

#[tokio::test]
async fn a_withdrawal_happens_once() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..60 {
            let world = World::new();
            let alice = Owner::new(&world, "alice", 10_000);
            let command = json!({"command": "withdraw", "amount": "10"});
            if !interrupt(&alice, cuts(number)[kind], command.clone()).await {
                break;
            }
            steps += 1;
            let point = *alice.store.point.lock().unwrap();
            let done = run(&alice, command).await.unwrap();
            assert_eq!(done["amount"], "10.00");
            // Only a crash between noting that the answer was given and giving it makes the repeat a second act.
            let acts = if kind == 1 && point == "wallet.withdraw.report" { 2 } else { 1 };
            assert_eq!(
                (alice.account(), alice.audited().await),
                (10_000 - acts * 1_000, acts * 1_000),
                "{kind} {number} {point}"
            );
        }
        assert!(steps >= 5, "kind {kind} was cut at {steps} places");
    }
}

#[tokio::test]
async fn a_payment_with_change_happens_once() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..60 {
            let world = World::new();
            let alice = Owner::new(&world, "alice", 1_000);
            run(&alice, json!({"command": "withdraw", "amount": "10"})).await.unwrap();
            let uri = world.shop_request(333, 600).to_uri().unwrap();
            let command = json!({"command": "pay", "uri": uri});
            if !interrupt(&alice, cuts(number)[kind], command.clone()).await {
                break;
            }
            steps += 1;
            let done = run(&alice, command).await.unwrap();
            assert_eq!(done["outcome"], "paid");
            run(&alice, json!({"command": "refresh"})).await.unwrap();
            assert_eq!(world.deposited(), 333);
            let shown = run(&alice, json!({"command": "balance"})).await.unwrap();
            assert_eq!((shown["balance"].as_str(), shown["pending"].as_str()), (Some("6.67"), Some("0.00")));
            assert_eq!((alice.audited().await, world.violations()), (667, 0), "{kind} {number}");
        }
        assert!(steps >= 4, "kind {kind} was cut at {steps} places");
    }
}

#[tokio::test]
async fn a_receipt_happens_once() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..60 {
            let world = World::new();
            let (alice, bob) = (Owner::new(&world, "alice", 1_000), Owner::new(&world, "bob", 0));
            run(&alice, json!({"command": "withdraw", "amount": "10"})).await.unwrap();
            let asked = run(&bob, json!({"command": "request", "amount": "3.33"})).await.unwrap();
            run(&alice, json!({"command": "pay", "uri": asked["uri"]})).await.unwrap();
            if !interrupt(&bob, cuts(number)[kind], json!({"command": "receive"})).await {
                break;
            }
            steps += 1;
            run(&bob, json!({"command": "receive"})).await.unwrap();
            assert_eq!((alice.audited().await, bob.audited().await), (667, 333), "{kind} {number}");
            assert_eq!((world.put_messages(), world.violations()), (1, 0));
        }
        assert!(steps >= 4, "kind {kind} was cut at {steps} places");
    }
}

#[tokio::test]
async fn a_deposit_happens_once() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..60 {
            let world = World::new();
            let alice = Owner::new(&world, "alice", 1_000);
            run(&alice, json!({"command": "withdraw", "amount": "10"})).await.unwrap();
            let command = json!({"command": "deposit", "amount": "4.44"});
            if !interrupt(&alice, cuts(number)[kind], command.clone()).await {
                break;
            }
            steps += 1;
            let point = *alice.store.point.lock().unwrap();
            run(&alice, command).await.unwrap();
            let acts = if kind == 1 && point == "wallet.deposit.report" { 2 } else { 1 };
            assert_eq!(
                (alice.account(), alice.audited().await),
                (acts * 444, 1_000 - acts * 444),
                "{kind} {number} {point}"
            );
        }
        assert!(steps >= 1, "kind {kind} was cut at {steps} places");
    }
}
