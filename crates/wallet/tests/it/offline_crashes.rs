//! A wallet that dies at any commit of an offline act, or whose answers are lost, goes on from there and acts once: no
//! coin or blank ever gives a second answer.

use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::deposit::Outcome;
use serde_json::json;

use crate::crashes::{CUTS, cuts, interrupt};
use crate::flows::run;
use crate::offline::{funded, payment, text};
use crate::offline_bank::{DEPOSIT_DAYS, RECLAIM_DAYS};
use crate::world::{DAY, Owner, World};

#[tokio::test]
async fn an_offline_withdrawal_happens_once() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..40 {
            let world = World::new();
            let alice = Owner::new(&world, "alice", 10_000);
            let command = json!({"command": "withdraw_offline", "amount": "0.10"});
            if !interrupt(&alice, cuts(number)[kind], command.clone()).await {
                break;
            }
            steps += 1;
            let point = *alice.store.point.lock().unwrap();
            let done = run(&alice, command).await.unwrap();
            assert_eq!(done["amount"], "0.10");
            let acts = if kind == 1 && point == "wallet.offline.report" { 2 } else { 1 };
            let held = (alice.account(), alice.audited_offline().await);
            assert_eq!(held, (10_000 - acts * 10, (acts * 10, 0)), "{kind} {number} {point}");
        }
        assert!(steps >= 7, "kind {kind} was cut at {steps} places");
    }
}

#[tokio::test]
async fn an_offline_payment_answers_once() {
    for kind in 0..2 {
        let mut steps = 0;
        for number in 1..20 {
            let (world, alice) = funded("1").await;
            let request = world.till_request(37);
            let uri = Carried::Request(request.clone()).to_uri().unwrap();
            let command = json!({"command": "pay_offline", "request": uri});
            if !interrupt(&alice, cuts(number)[kind], command.clone()).await {
                break;
            }
            steps += 1;
            let paid = run(&alice, command).await.unwrap();
            assert!(matches!(world.till_deposit(&request, payment(&paid)), Outcome::Settled(_)));
            assert_eq!((alice.audited_offline().await, world.state().offline.charged), ((63, 0), 0));
        }
        // Opening the wallet writes nothing here but its generation: the payment is one commit.
        assert!(steps >= 1, "kind {kind} was cut at {steps} places");
    }
}

#[tokio::test]
async fn a_transfer_answers_once_and_is_taken_once() {
    for kind in 0..2 {
        for dying in ["offer", "nonce", "open", "pass", "accept"] {
            let mut steps = 0;
            for number in 1..8 {
                let (world, alice) = funded("1").await;
                let bob = Owner::new(&world, "bob", 0);
                run(&bob, json!({"command": "blanks", "count": 4})).await.unwrap();
                let mut cut_here = 0;
                let mut message = String::new();
                let mut code = json!(null);
                for step in ["offer", "nonce", "open", "pass", "accept"] {
                    let (owner, command) = match step {
                        "offer" => (&bob, json!({"command": "offer", "amount": "0.32", "blanks": 2})),
                        "nonce" => (&alice, json!({"command": "answer_offer", "file": message})),
                        "open" => (&bob, json!({"command": "open_offer", "file": message})),
                        "pass" => (&alice, json!({"command": "transfer_coin", "to": message, "code": code})),
                        _ => (&bob, json!({"command": "accept", "file": message})),
                    };
                    if step == dying && interrupt(owner, cuts(number)[kind], command.clone()).await {
                        cut_here += 1;
                    }
                    let done = run(owner, command).await.unwrap();
                    if step == "open" {
                        code = done["code"].clone();
                    }
                    if step != "accept" {
                        message = text(&done);
                    }
                }
                assert_eq!((alice.audited_offline().await, bob.audited_offline().await), ((68, 0), (32, 0)));
                if cut_here == 0 {
                    break;
                }
                steps += 1;
            }
            assert!(steps >= 1, "kind {kind}: {dying} was cut at {steps} places");
        }
    }
}

#[tokio::test]
async fn an_offline_deposit_happens_once() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..30 {
            let (world, alice) = funded("1").await;
            let command = json!({"command": "deposit_offline", "amount": "0.40"});
            if !interrupt(&alice, cuts(number)[kind], command.clone()).await {
                break;
            }
            steps += 1;
            let point = *alice.store.point.lock().unwrap();
            run(&alice, command).await.unwrap();
            let acts = if kind == 1 && point == "wallet.offline.deposit.report" { 2 } else { 1 };
            let held = (alice.account(), alice.audited_offline().await);
            assert_eq!(held, (9_900 + acts * 40, (100 - acts * 40, 0)), "{kind} {number} {point}");
            assert_eq!(world.state().offline.charged, 0);
        }
        assert!(steps >= 1, "kind {kind} was cut at {steps} places");
    }
}

#[tokio::test]
async fn a_claim_is_filed_once() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..30 {
            let (world, alice) = funded("1").await;
            world.advance(DEPOSIT_DAYS * DAY);
            let command = json!({"command": "reclaim"});
            if !interrupt(&alice, cuts(number)[kind], command.clone()).await {
                break;
            }
            steps += 1;
            run(&alice, command.clone()).await.unwrap();
            world.advance((RECLAIM_DAYS - DEPOSIT_DAYS) * DAY);
            let done = run(&alice, command).await.unwrap();
            assert_eq!((done["paid"].as_str(), alice.account()), (Some("1.00"), 10_000), "{kind} {number}");
        }
        assert!(steps >= 2, "kind {kind} was cut at {steps} places");
    }
}

#[tokio::test]
async fn a_restore_loses_no_claim() {
    for kind in 0..CUTS {
        let mut steps = 0;
        for number in 1..40 {
            let (world, _) = funded("1").await;
            let fresh = Owner::new(&world, "alice", 0);
            let command = json!({"command": "restore_offline"});
            if !interrupt(&fresh, cuts(number)[kind], command.clone()).await {
                break;
            }
            steps += 1;
            run(&fresh, command).await.unwrap();
            assert_eq!(fresh.audited_offline().await, (0, 100), "{kind} {number}");
        }
        assert!(steps >= 2, "kind {kind} was cut at {steps} places");
    }
}
