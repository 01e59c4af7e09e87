//! Banks and shops that misbehave, payments that never arrive.

use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_online_cash::evidence::Evidence;
use feiqian_store::{Options, SqliteStore};
use feiqian_wire::error::Code;
use feiqian_wire::{Timestamp, codec};
use serde_json::json;

use crate::flows::{balance, run};
use crate::world::{Fragile, Owner, Trick, World};

async fn ready(minor: &str) -> (Arc<World>, Owner) {
    let world = World::new();
    let alice = Owner::new(&world, "alice", 10_000);
    run(&alice, json!({"command": "withdraw", "amount": minor})).await.unwrap();
    (world, alice)
}

#[tokio::test]
async fn wrong_answers_are_not_taken_and_never_forgotten() {
    let (world, alice) = ready("1").await;
    world.state().trick = Trick::WrongAnswers;
    let fault = run(&alice, json!({"command": "withdraw", "amount": "2"})).await.unwrap_err();
    assert_eq!(fault.code, Code::SignatureInvalid);
    assert_eq!(balance(&alice).await, ("1.00".to_owned(), "2.00".to_owned()));
    assert_eq!(alice.audited().await, 100);
}

#[tokio::test]
async fn a_session_id_is_taken_once() {
    let (world, alice) = ready("1").await;
    world.state().trick = Trick::RepeatSession;
    let fault = run(&alice, json!({"command": "withdraw", "amount": "2"})).await.unwrap_err();
    assert_eq!(fault.code, Code::Conflict);
    assert_eq!(alice.account(), 9_900);
}

#[tokio::test]
async fn commitments_are_taken_once_even_under_another_key() {
    for rotated in [false, true] {
        let (world, alice) = ready("1").await;
        if rotated {
            world.advance(1);
            world.rotate();
        }
        world.state().trick = Trick::RepeatCommitments;
        let fault = run(&alice, json!({"command": "withdraw", "amount": "2"})).await.unwrap_err();
        assert_eq!(fault.code, Code::Conflict, "rotated: {rotated}");
        world.state().trick = Trick::None;
        run(&alice, json!({"command": "withdraw", "amount": "2"})).await.unwrap();
        assert_eq!((alice.account(), alice.audited().await), (9_700, 300));
    }
}

#[tokio::test]
async fn a_keyset_of_ones_own_is_refused() {
    let (world, alice) = ready("1").await;
    world.state().trick = Trick::UnpinnedKeyset;
    let fault = run(&alice, json!({"command": "withdraw", "amount": "2"})).await.unwrap_err();
    assert_eq!((fault.code, alice.account()), (Code::KeysetNotPinned, 9_900));
}

#[tokio::test]
async fn a_payee_that_sees_other_keysets_is_not_paid() {
    let (world, alice) = ready("10").await;
    let mut request = world.shop_request(100, 600).request;
    request.view = Digest([3; 32]);
    let uri = world.sign_as_shop(request.clone()).to_uri().unwrap();
    let fault = run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap_err();
    assert_eq!(fault.code, Code::KeysetNotPinned);
    // A newer view is learned from the center first.
    world.advance(1);
    world.rotate();
    let uri = world.shop_request(100, 600).to_uri().unwrap();
    assert_eq!(run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap()["outcome"], "paid");
}

#[tokio::test]
async fn an_expired_or_changed_request_is_not_paid() {
    let (world, alice) = ready("10").await;
    let mut request = world.shop_request(100, 600);
    let uri = request.to_uri().unwrap();
    request.request.amount.minor = feiqian_money::Minor::new(99).unwrap();
    let changed = run(&alice, json!({"command": "pay", "uri": request.to_uri().unwrap()})).await.unwrap_err();
    assert_eq!(changed.code, Code::SignatureInvalid);
    world.advance(600);
    let late = run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap_err();
    assert_eq!((late.code, alice.audited().await), (Code::Expired, 1_000));
}

#[tokio::test]
async fn value_comes_back_after_the_expiry_by_releasing_the_payment() {
    for (trick, down) in [(Trick::ShopRefuses, false), (Trick::ShopPending, false), (Trick::None, true)] {
        let (world, alice) = ready("10").await;
        world.state().trick = trick;
        if down {
            world.state().down.insert("https://shop:1");
        }
        let uri = world.shop_request(333, 600).to_uri().unwrap();
        let answer = run(&alice, json!({"command": "pay", "uri": uri})).await;
        match (trick, answer) {
            (Trick::ShopRefuses, Err(fault)) => assert_eq!(fault.code, Code::AccountClosed),
            (Trick::ShopPending, Ok(paid)) => assert_eq!(paid["outcome"], "pending"),
            (Trick::None, Err(fault)) => {
                assert_eq!(fault.code, Code::NodeUnreachable);
                assert!(fault.hint.is_some());
            }
            (_, other) => panic!("{trick:?}: {other:?}"),
        }
        assert_eq!(balance(&alice).await, ("6.67".to_owned(), "3.33".to_owned()), "{trick:?}");
        world.advance(601);
        world.state().trick = Trick::None;
        run(&alice, json!({"command": "refresh"})).await.unwrap();
        assert_eq!(balance(&alice).await, ("10.00".to_owned(), "0.00".to_owned()), "{trick:?}");
        assert_eq!((alice.audited().await, world.violations()), (1_000, 0));
    }
}

#[tokio::test]
async fn a_voided_refresh_is_signed_anew_and_released() {
    let (world, alice) = ready("10").await;
    world.state().trick = Trick::VoidBeforeFinish;
    let uri = world.shop_request(333, 600).to_uri().unwrap();
    // The change's first session is voided after its request was signed.
    run(&alice, json!({"command": "pay", "uri": uri})).await.unwrap();
    assert_eq!(world.state().trick, Trick::None, "the trick was played");
    run(&alice, json!({"command": "refresh"})).await.unwrap();
    assert_eq!(balance(&alice).await, ("6.67".to_owned(), "0.00".to_owned()));
    assert_eq!((alice.audited().await, world.violations()), (667, 0));
}

/// A wallet whose store was put back to an older state pays with a coin twice; the fault and the evidence it was shown.
async fn spend_twice(world: &Arc<World>, dir: &std::path::Path) -> (feiqian_wire::Fault, std::path::PathBuf) {
    let open = |file: &str| {
        let options = Options::new("wallet");
        let store = SqliteStore::open(dir.join(file), feiqian_wallet::tables::TABLES, options).unwrap();
        Fragile::new(Arc::new(store))
    };
    let mut alice = Owner::over(world, "alice", 10_000, open("store.db"));
    alice.refresh = feiqian_wallet::RefreshPolicy::Lazy;
    run(&alice, json!({"command": "withdraw", "amount": "5.12"})).await.unwrap();
    drop(alice);
    for name in ["store.db", "store.db-wal"] {
        let from = dir.join(name);
        if from.exists() {
            std::fs::copy(&from, dir.join(name.replace("store", "old"))).unwrap();
        }
    }
    let pay = |minor| json!({"command": "pay", "uri": world.shop_request(minor, 600).to_uri().unwrap()});
    let mut alice = Owner::over(world, "alice", 0, open("store.db"));
    alice.refresh = feiqian_wallet::RefreshPolicy::Lazy;
    run(&alice, pay(512)).await.unwrap();
    let mut old = Owner::over(world, "alice", 0, open("old.db"));
    old.refresh = feiqian_wallet::RefreshPolicy::Lazy;
    old.evidence_dir = Some(dir.to_path_buf());
    let fault = run(&old, pay(511)).await.unwrap_err();
    assert_eq!(fault.code, Code::DoubleSpent);
    let file = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))
        .unwrap();
    (fault, file)
}

#[tokio::test]
async fn a_store_put_back_to_an_older_state_meets_its_evidence() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (fault, file) = spend_twice(&world, dir.path()).await;
    assert!(fault.hint.unwrap().contains(file.to_str().unwrap()));
    let evidence: Evidence = codec::decode_json(&std::fs::read(&file).unwrap(), codec::Limit::Large).unwrap();
    let finding = evidence.verify(&world.trusted_root()).unwrap();
    assert!(finding.signed.minor > finding.value.minor);
    assert_eq!(finding.statements.len(), 2);
    assert!(world.now() > Timestamp::new(0));
}

#[tokio::test]
async fn evidence_about_other_coins_refuses_nothing() {
    let world = World::new();
    let dir = tempfile::tempdir().unwrap();
    let (_, file) = spend_twice(&world, dir.path()).await;
    let evidence: Evidence = codec::decode_json(&std::fs::read(&file).unwrap(), codec::Limit::Large).unwrap();
    evidence.verify(&world.trusted_root()).unwrap();
    let mut carol = Owner::new(&world, "carol", 1_000);
    carol.refresh = feiqian_wallet::RefreshPolicy::Lazy;
    run(&carol, json!({"command": "withdraw", "amount": "10"})).await.unwrap();
    let uri = world.shop_request(333, 600).to_uri().unwrap();
    world.state().trick = Trick::ShopShowsEvidence;
    world.state().evidence = Some(evidence);
    let fault = run(&carol, json!({"command": "pay", "uri": uri})).await.unwrap_err();
    assert_eq!(fault.code, Code::EvidenceInvalid);
    let status = run(&carol, json!({"command": "status"})).await.unwrap();
    assert_eq!(status["unfinished"][0]["state"], "signed", "{status}");
    world.state().trick = Trick::None;
    let paid = run(&carol, json!({"command": "pay", "uri": uri})).await.unwrap();
    assert_eq!((paid["outcome"].as_str(), carol.audited().await), (Some("paid"), 667));
}

#[tokio::test]
async fn a_bank_that_will_not_speak_of_a_session_does_not_void_it() {
    for code in [Code::AccountClosed, Code::Forbidden, Code::Busy, Code::Unavailable] {
        let (world, alice) = ready("1").await;
        world.state().trick = Trick::Silent(code);
        let fault = run(&alice, json!({"command": "withdraw", "amount": "2"})).await.unwrap_err();
        assert_eq!(fault.code, code);
        let status = run(&alice, json!({"command": "status"})).await.unwrap();
        assert_eq!(status["unfinished"][0]["state"], "signed", "{code:?}: {status}");
        world.state().trick = Trick::None;
        run(&alice, json!({"command": "withdraw", "amount": "2"})).await.unwrap();
        assert_eq!((alice.account(), alice.audited().await), (9_700, 300), "{code:?}");
    }
    let (world, alice) = ready("1").await;
    world.state().trick = Trick::Silent(Code::SessionUnknown);
    let fault = run(&alice, json!({"command": "withdraw", "amount": "2"})).await.unwrap_err();
    assert_eq!(fault.code, Code::AccountClosed);
    let status = run(&alice, json!({"command": "status"})).await.unwrap();
    assert_eq!(status["unfinished"], json!([]), "a session the bank does not know is void");
}

#[tokio::test]
async fn damage_in_the_store_is_found() {
    use feiqian_ledger::store::StoreExt;
    let (_world, alice) = ready("10").await;
    let wrong = |tx: &mut dyn feiqian_ledger::store::Tx| {
        let table = &feiqian_wallet::tables::COIN;
        let row = tx.select(&format!("SELECT {} FROM coin LIMIT 1", table.column_list()), &[])?.remove(0);
        let mut values = row.0;
        values[7] = 0_i64.into();
        values[2] = [1_u8; 32].into();
        tx.update(table, &values)
    };
    alice.store.inner.commit("test.damage", wrong).await.unwrap();
    let audit = alice.audit().await;
    let found: Vec<u8> = audit.findings.iter().map(|finding| finding.invariant).collect();
    assert_eq!(found, [8, 3]);
}
