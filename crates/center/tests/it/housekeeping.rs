//! What a center deletes by itself, and what the same items come to afterwards.

use std::sync::Arc;

use feiqian_center::Config;
use feiqian_clearing::cleared::{ClearedRequest, ClearedResponse};
use feiqian_clearing::presentment::Presented;
use feiqian_crypto::{Digest, Transcript};
use feiqian_ledger::store::{StoreError, StoreExt, Table, Tx, Value};
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::refund::RefundOutcome;
use feiqian_store::testing::{Death, MortalStore};
use feiqian_wire::error::Code;
use feiqian_wire::{Limit, Timestamp};
use serde_json::json;

use crate::present::{Scene, present};
use crate::world::NOW;

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
        let step = store.points().len() + 1;
        let store = Arc::new(MortalStore::new(Arc::clone(&scene.world.disk), Some(Death { step, after })));
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

fn table(name: &str) -> &'static Table {
    feiqian_center::TABLES.iter().find(|table| table.name == name).unwrap()
}

/// A presentment as the center would have it. `changed`: seconds after [`NOW`].
fn stored(id: Digest, kind: i64, body: Vec<u8>, outcome: Vec<u8>, changed: u64) -> Vec<Value> {
    let at = || Value::unsigned(NOW + changed).unwrap();
    let (south, north, currency) = ("south".into(), "north".into(), "CNY".into());
    vec![
        id.into(),
        kind.into(),
        south,
        north,
        1_i64.into(),
        currency,
        body.into(),
        3_i64.into(),
        outcome.into(),
        at(),
        at(),
    ]
}

fn numbered(number: u64) -> Digest {
    Transcript::new("test/presentment").integer(number).into_digest()
}

/// More items than one round looks at, of which a bank has not heard, do not keep one behind them.
#[tokio::test]
async fn what_cannot_go_yet_holds_up_nothing() {
    const WAITING: u64 = 2_100;
    let (scene, _) = cleared().await;
    let fill = |tx: &mut dyn Tx| {
        for number in 0..WAITING {
            let id = numbered(number);
            let mut row = stored(id, 0, vec![1], vec![1], 0);
            row[10] = Value::unsigned(NOW - 10)?;
            tx.insert(table("center_presentment"), &row)?;
            let notice = ["north".into(), id.into(), 0_i64.into(), 1_i64.into(), 0_i64.into()];
            tx.insert(table("center_notice"), &notice)?;
        }
        Ok::<_, StoreError>(())
    };
    scene.world.disk.commit("test", fill).await.unwrap();
    scene.world.clock.set(Timestamp::new(NOW + KEPT + 60));
    scene.world.center.keep_house().await.unwrap();
    assert_eq!(presentments(&scene).await, WAITING + 4, "one round does not come so far");
    scene.world.center.keep_house().await.unwrap();
    // The last obligation stays.
    assert_eq!(presentments(&scene).await, WAITING + 1);
}

/// All of one second, more than one transaction deletes: the sums of each portion count.
#[tokio::test]
async fn what_ended_in_one_second_is_deleted_in_portions_and_counted_whole() {
    let (scene, _) = cleared().await;
    for seed in 0..70 {
        let payment = scene.payment(10 + seed, 100 + seed);
        assert!(matches!(present(&scene.south, &payment).await.unwrap().outcome, Outcome::Paid(_)));
    }
    scene.world.clock.set(Timestamp::new(NOW + KEPT + 60));
    scene.world.center.keep_house().await.unwrap();
    assert_eq!(presentments(&scene).await, 1);
    scene.world.assert_sound().await;
}

/// What a restored bank asks for comes in messages that fit, whatever the items and their outcomes are.
#[tokio::test]
async fn the_largest_items_are_told_in_messages_that_fit() {
    const LARGEST: usize = feiqian_offline_cash::pay::MAX_PAYMENT_BYTES + 300;
    let (scene, payments) = cleared().await;
    let most = Limit::Large.bytes();
    let (holding, claim, beyond) = (numbered(1), numbered(2), numbered(3));
    let fill = move |tx: &mut dyn Tx| {
        for row in [
            stored(holding, 4, vec![7; LARGEST], vec![7; most], 1),
            stored(claim, 5, vec![7; most], vec![7; most], 2),
            stored(beyond, 4, vec![7; most], vec![7; 1], 3),
        ] {
            tx.insert(table("center_presentment"), &row)?;
        }
        Ok::<_, StoreError>(())
    };
    scene.world.disk.commit("test", fill).await.unwrap();
    let (mut after, mut told) = (None, Vec::new());
    loop {
        let request = ClearedRequest { since: Timestamp::new(NOW), after };
        let page: ClearedResponse = scene.north.ask("/v1/cleared", &request).await.unwrap();
        let Some(last) = page.items.last() else { break };
        after = Some(last.cursor);
        told.extend(page.items.into_vec());
    }
    let sizes = |id: Digest| {
        let item = told.iter().find(|item| item.cursor.id == id).unwrap();
        (item.presentment.len(), item.outcome.as_ref().map(|outcome| outcome.len()))
    };
    assert_eq!(told.len(), 7);
    assert_eq!(sizes(holding), (LARGEST, None));
    assert_eq!((sizes(claim), sizes(beyond)), ((0, None), (0, None)), "they are named");
    for payment in &payments {
        let (body, outcome) = sizes(payment.id);
        assert!(body > 0 && outcome.is_some(), "a receipt that the bank has lost");
    }
}
