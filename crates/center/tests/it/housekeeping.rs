//! What a center deletes by itself, and what the same items come to afterwards.

use std::sync::Arc;

use feiqian_center::Config;
use feiqian_clearing::presentment::Presented;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::refund::RefundOutcome;
use feiqian_wire::Timestamp;
use feiqian_wire::error::Code;
use serde_json::json;

use crate::present::{Scene, present};
use crate::world::{Death, MortalStore, NOW};

const KEPT: u64 = 300;

async fn presentments(scene: &Scene) -> u64 {
    let sql = "SELECT count(*) FROM center_presentment";
    scene.world.disk.read(move |tx: &mut dyn Tx| tx.select(sql, &[])?[0].unsigned(0)).await.unwrap()
}

/// A center that remembers five minutes, three payments and a refund.
async fn cleared()
-> (Scene, Vec<feiqian_clearing::presentment::Presentment<feiqian_online_cash::deposit::CashItem>>) {
    let mut scene = Scene::new().await;
    let config = Config { keep_seconds: KEPT, ..scene.world.center.config().clone() };
    scene.world.home.write_config(&config).unwrap();
    scene.world.restart().await;
    scene.north.follow(&scene.world);
    let payments: Vec<_> = (1..=3).map(|n| scene.payment(1000 + n, n)).collect();
    let mut receipts = Vec::new();
    for payment in &payments {
        match present(&scene.south, payment).await.unwrap().outcome {
            Outcome::Paid(receipt) => receipts.push(receipt),
            other => panic!("{other:?}"),
        }
    }
    let order = scene.shop.refund(receipts[0].clone(), 250, 1);
    let answer: Presented<RefundOutcome> = scene.south.ask("/v1/present/refund", &order).await.unwrap();
    assert_eq!(answer.outcome, RefundOutcome::Booked);
    assert_eq!(presentments(&scene).await, 4);
    (scene, payments)
}

#[tokio::test]
async fn what_ended_is_deleted_and_never_cleared_again() {
    let (mut scene, payments) = cleared().await;
    let status = scene.world.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(status["queues"]["forwarded"], json!({"length": 0, "oldest_seconds": 0}));
    scene.world.center.keep_house().await.unwrap();
    assert_eq!(presentments(&scene).await, 4, "nothing is so old");
    scene.world.clock.set(Timestamp::new(NOW + KEPT + 60));
    // The last obligation stays with its item: the next one's number is made from it.
    let last = scene.payment(77, 9);
    assert!(matches!(present(&scene.south, &last).await.unwrap().outcome, Outcome::Paid(_)));
    let before = (scene.world.settlement("north").await, scene.world.settlement("south").await);
    for after in [false, true] {
        let store = Arc::new(MortalStore::new(Arc::clone(&scene.world.disk), None));
        scene.world.restart_on(Arc::clone(&store) as _).await.unwrap();
        let commit = store.points().len() + 1;
        let store = Arc::new(MortalStore::new(Arc::clone(&scene.world.disk), Some(Death { commit, after })));
        scene.world.restart_on(Arc::clone(&store) as _).await.unwrap();
        assert!(scene.world.center.keep_house().await.is_err(), "it was not killed");
        assert_eq!(store.points().last(), Some(&"center.present.prune"));
        assert_eq!(presentments(&scene).await, if after { 1 } else { 5 });
        scene.world.assert_sound().await;
    }
    for seconds in [KEPT + 60, 60] {
        scene.world.clock.set(Timestamp::new(NOW + seconds));
        scene.world.restart().await;
        scene.north.follow(&scene.world);
        for payment in &payments {
            let again = present(&scene.south, payment).await;
            assert_eq!(again.unwrap_err().code, Code::Expired, "at {seconds}");
        }
        assert_eq!(presentments(&scene).await, 1);
        assert_eq!((scene.world.settlement("north").await, scene.world.settlement("south").await), before);
        scene.world.assert_sound().await;
    }
}

#[tokio::test]
async fn a_transfer_that_no_sum_explains_is_found() {
    let (scene, _) = cleared().await;
    scene.world.clock.set(Timestamp::new(NOW + KEPT + 60));
    scene.world.center.keep_house().await.unwrap();
    scene.world.assert_sound().await;
    let forge = |tx: &mut dyn Tx| {
        let table = feiqian_center::TABLES.iter().find(|table| table.name == "center_pruned").unwrap();
        let mut row =
            tx.select("SELECT bank, currency, credited, debited FROM center_pruned", &[])?.remove(0);
        row.0[2] = 999_i64.into();
        tx.update(table, &row.0)
    };
    scene.world.disk.commit("test", forge).await.unwrap();
    assert!(!scene.world.audited().await.findings.is_empty());
}
