//! Presentments: paid, refused, repeated, lost, uncovered.

use std::sync::Arc;

use feiqian_clearing::presentment::{Presented, Presentment};
use feiqian_node::{Caller, Target, call};
use feiqian_online_cash::deposit::{CashItem, Outcome, OutcomeRequest, OutcomeResponse};
use feiqian_online_cash::payment::Payment;
use feiqian_online_cash::refund::{RefundItem, RefundOutcome};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Name};
use serde_json::json;

use crate::bank::{Account, TestBank, rng};
use crate::wires::{NodeWires, Trouble};
use crate::world::World;

pub(crate) async fn present(
    bank: &TestBank,
    presentment: &Presentment<CashItem>,
) -> Result<Presented<Outcome>, Fault> {
    bank.ask("/v1/present/payment", presentment).await
}

async fn refund(
    bank: &TestBank,
    presentment: &Presentment<RefundItem>,
) -> Result<Presented<RefundOutcome>, Fault> {
    bank.ask("/v1/present/refund", presentment).await
}

pub(crate) struct Scene {
    pub(crate) world: World,
    /// Issues.
    pub(crate) north: Arc<TestBank>,
    /// Collects.
    pub(crate) south: Arc<TestBank>,
    pub(crate) shop: Account,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        let world = World::new().await;
        let (north, south) = (world.bank("north").await, world.bank("south").await);
        let shop = south.account("shop");
        Self { world, north, south, shop }
    }

    pub(crate) fn payment(&self, minor: u64, seed: u64) -> Presentment<CashItem> {
        let coins = self.north.coins(minor, seed);
        self.shop.present(self.shop.item(&coins, minor, "order-1"))
    }

    async fn settlements(&self) -> (String, String) {
        (self.world.settlement("north").await, self.world.settlement("south").await)
    }
}

fn both(north: &str, south: &str) -> (String, String) {
    (north.to_owned(), south.to_owned())
}

#[tokio::test]
async fn a_payment_is_cleared_once_however_often_it_is_presented() {
    let scene = Scene::new().await;
    let presentment = scene.payment(1250, 1);
    let first = present(&scene.south, &presentment).await.unwrap();
    let Outcome::Paid(receipt) = &first.outcome else { panic!("{first:?}") };
    assert_eq!(receipt.presentment, presentment.id);
    assert_eq!(present(&scene.south, &presentment).await.unwrap(), first);
    assert_eq!(scene.settlements().await, both("987.50", "1012.50"));
    assert_eq!(scene.north.payments(), 1);

    let coins = &presentment.item.payment.coins;
    let request = OutcomeRequest {
        bank: Name::new("north").unwrap(),
        expires: presentment.item.request.request.expires,
        body: presentment.item.request.request.body_digest(),
        shares: Bounded::collect(coins.iter().map(|coin| coin.share)).unwrap(),
    };
    let wires = NodeWires { wires: Arc::clone(&scene.world.wires), own: None };
    let center = Target::anyone(scene.world.center.config().url.clone());
    let outcome: OutcomeResponse =
        call(&wires, &center, Caller::Anonymous, "/v1/outcome", &request).await.unwrap();
    assert!(matches!(outcome, OutcomeResponse::Paid { receipt: told, .. } if told == *receipt));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn the_same_id_with_other_bytes_is_a_conflict() {
    let scene = Scene::new().await;
    let presentment = scene.payment(1250, 1);
    present(&scene.south, &presentment).await.unwrap();
    let coins = scene.north.coins(1250, 1);
    let request = presentment.item.request.clone();
    let shares = presentment.item.payment.coins.iter().map(|coin| coin.share.contribution);
    let given: Vec<_> = coins.iter().zip(shares).collect();
    let payment = Payment::sign(&request.request.digest(), &given, &mut rng(99)).unwrap();
    let other = scene.shop.present(CashItem { request, payment });
    assert_eq!(other.id, presentment.id, "a proof made anew is the same payment");
    assert_ne!(other, presentment);
    assert_eq!(present(&scene.south, &other).await.unwrap_err().code, Code::Conflict);
    assert_eq!(scene.settlements().await, both("987.50", "1012.50"));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn what_is_no_presentment_of_the_caller_is_forgotten() {
    let scene = Scene::new().await;
    let good = scene.payment(1250, 1);
    assert_eq!(present(&scene.north, &good).await.unwrap_err().code, Code::Forbidden);
    let mut bad = good.clone();
    bad.id = feiqian_crypto::Digest([7; 32]);
    assert_eq!(present(&scene.south, &bad).await.unwrap_err().code, Code::Malformed);
    let mut bad = good.clone();
    bad.amount = crate::bank::amount(1251);
    assert_eq!(present(&scene.south, &bad).await.unwrap_err().code, Code::AmountMismatch);
    let other = scene.south.account("other");
    let bad = other.present(good.item.clone());
    assert_eq!(present(&scene.south, &bad).await.unwrap_err().code, Code::WrongRoute);
    let own = scene.south.coins(100, 4);
    let own = scene.shop.present(scene.shop.item(&own, 100, "own"));
    assert_eq!(present(&scene.south, &own).await.unwrap_err().code, Code::WrongRoute);
    let status = scene.world.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(status["presentments"], json!({"received": 0, "forwarded": 0, "settled": 0, "refused": 0}));
    assert!(matches!(present(&scene.south, &good).await.unwrap().outcome, Outcome::Paid(_)));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn an_item_whose_proof_fails_is_refused_for_ever() {
    let scene = Scene::new().await;
    let mut bad = scene.payment(1250, 1);
    bad.item.payment.possession = scene.payment(1250, 2).item.payment.possession;
    let refused = present(&scene.south, &bad).await.unwrap();
    let Outcome::Refused(fault) = &refused.outcome else { panic!("{refused:?}") };
    assert_eq!(fault.code, Code::PossessionInvalid);
    assert_eq!(present(&scene.south, &bad).await.unwrap(), refused);
    assert_eq!(scene.north.payments(), 0);
    assert_eq!(scene.settlements().await, both("1000.00", "1000.00"));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn a_lost_answer_changes_nothing() {
    let mut scene = Scene::new().await;
    let presentment = scene.payment(1250, 1);
    scene.world.wires.trouble("/v1/pay/payment", &[Trouble::AnswerLost, Trouble::Unreachable]);
    let lost = present(&scene.south, &presentment).await.unwrap_err();
    assert_eq!(lost.code, Code::Unavailable);
    assert_eq!(scene.north.payments(), 1, "it was paid");
    assert_eq!(scene.settlements().await, both("1000.00", "1000.00"), "and is only reserved here");
    assert_eq!(scene.world.audited().await.forwarded, 1);
    scene.world.assert_sound().await;

    scene.world.restart().await;
    scene.north.follow(&scene.world);
    assert!(!Arc::clone(&scene.world.center).resume().await.unwrap(), "the bank is unreachable");
    assert!(Arc::clone(&scene.world.center).resume().await.unwrap());
    assert_eq!(scene.settlements().await, both("987.50", "1012.50"));
    let answer = present(&scene.south, &presentment).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Paid(_)));
    assert_eq!(scene.north.payments(), 1);
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn background_brings_a_forwarded_item_home() {
    tokio::time::pause();
    let scene = Scene::new().await;
    let presentment = scene.payment(1250, 1);
    scene.world.wires.trouble("/v1/pay/payment", &[Trouble::Unreachable; 5]);
    present(&scene.south, &presentment).await.unwrap_err();
    let shutdown = feiqian_node::Shutdown::new();
    let service: Arc<dyn feiqian_node::Service> = Arc::clone(&scene.world.center) as _;
    let task = tokio::spawn(service.background(shutdown.clone()));
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert_eq!(scene.settlements().await, both("987.50", "1012.50"));
    shutdown.trigger();
    task.await.unwrap();
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn two_centers_on_one_store_clear_an_item_once() {
    let mut scene = Scene::new().await;
    let presentment = scene.payment(1250, 1);
    scene.world.wires.trouble("/v1/pay/payment", &[Trouble::Unreachable]);
    present(&scene.south, &presentment).await.unwrap_err();
    // The first goes on beside the second, which has the address now.
    let first = Arc::clone(&scene.world.center);
    scene.world.restart().await;
    let second = Arc::clone(&scene.world.center);
    let (one, two, _) = tokio::join!(first.resume(), second.resume(), present(&scene.south, &presentment));
    one.unwrap();
    two.unwrap();
    let answer = present(&scene.south, &presentment).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Paid(_)));
    assert_eq!(scene.north.payments(), 1);
    assert_eq!(scene.settlements().await, both("987.50", "1012.50"));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn without_cover_an_item_waits_and_is_paid_once_funded() {
    let scene = Scene::new().await;
    let items: Vec<_> =
        (0..62).map(|seed| scene.shop.item(&scene.north.coins(4096, seed), 4096, "x")).collect();
    // 1000.00 covers 24 items of 40.96.
    let mut paid = 0;
    for item in items.iter().take(24) {
        let answer = present(&scene.south, &scene.shop.present(item.clone())).await.unwrap();
        paid += usize::from(matches!(answer.outcome, Outcome::Paid(_)));
    }
    assert_eq!(paid, 24);
    let next = scene.shop.present(items[24].clone());
    let uncovered = present(&scene.south, &next).await.unwrap_err();
    assert_eq!(uncovered.code, Code::SettlementFailed);
    assert!(!uncovered.is_definitive());
    assert_eq!(scene.north.payments(), 24, "the issuing bank was not asked");
    scene.world.assert_sound().await;
    scene.world.command(json!({"command": "fund", "bank": "north", "amount": "100"})).await.unwrap();
    assert!(matches!(present(&scene.south, &next).await.unwrap().outcome, Outcome::Paid(_)));
    assert_eq!(scene.settlements().await, both("76.00", "2024.00"));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn a_double_spend_is_refused_with_evidence_anyone_can_check() {
    let scene = Scene::new().await;
    let coins = scene.north.coins(1250, 1);
    let first = scene.shop.present(scene.shop.item(&coins, 1250, "one"));
    let second = scene.shop.present(scene.shop.item(&coins, 1250, "two"));
    present(&scene.south, &first).await.unwrap();
    let answer = present(&scene.south, &second).await.unwrap();
    let Outcome::DoubleSpent(evidence) = answer.outcome else { panic!("{answer:?}") };
    let wires = NodeWires { wires: Arc::clone(&scene.world.wires), own: None };
    let center = Target::anyone(scene.world.center.config().url.clone());
    let finding: feiqian_center::EvidenceFinding =
        call(&wires, &center, Caller::Anonymous, "/v1/verify", &evidence).await.unwrap();
    assert_eq!(finding.bank.as_str(), "north");
    assert!(finding.signed.minor > finding.value.minor);
    let mut half = evidence.clone();
    half.statements = Bounded::collect(evidence.statements.iter().take(1).cloned()).unwrap();
    let refused: Result<feiqian_center::EvidenceFinding, _> =
        call(&wires, &center, Caller::Anonymous, "/v1/verify", &half).await;
    assert_eq!(Fault::from(refused.unwrap_err()).code, Code::EvidenceInvalid);
    assert_eq!(scene.settlements().await, both("987.50", "1012.50"));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn two_banks_presenting_one_payment_are_credited_once() {
    let scene = Scene::new().await;
    let west = scene.world.bank("west").await;
    let item = scene.shop.item(&scene.north.coins(1250, 1), 1250, "one");
    // The thief's bank can only claim its own account, which the request does not name.
    let thief = west.account("shop").present(item.clone());
    assert_eq!(present(&west, &thief).await.unwrap_err().code, Code::WrongRoute);
    // A request for one's own account is another payment of the same coins: a double spend.
    let own = west.account("thief");
    let second = own.present(own.item(&scene.north.coins(1250, 1), 1250, "one"));
    let first = scene.shop.present(item);
    let (one, two) = tokio::join!(present(&scene.south, &first), present(&west, &second));
    let paid =
        [one.unwrap(), two.unwrap()].iter().filter(|it| matches!(it.outcome, Outcome::Paid(_))).count();
    assert_eq!(paid, 1);
    assert_eq!(scene.north.payments(), 1);
    assert_eq!(scene.world.settlement("north").await, "987.50");
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn a_payment_redeemed_elsewhere_releases_the_reserve() {
    let scene = Scene::new().await;
    let presentment = scene.payment(1250, 1);
    let other = scene.north.receipt(&presentment.item, feiqian_crypto::Digest([9; 32]));
    *scene.north.lie.lock().unwrap() = Some(Outcome::AlreadyPaid(other.clone()));
    let answer = present(&scene.south, &presentment).await.unwrap();
    assert_eq!(answer.outcome, Outcome::AlreadyPaid(other));
    assert_eq!(scene.settlements().await, both("1000.00", "1000.00"));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn an_issuing_bank_whose_word_does_not_hold_is_asked_again() {
    let scene = Scene::new().await;
    let presentment = scene.payment(1250, 1);
    let mut forged = scene.north.receipt(&presentment.item, presentment.id);
    forged.amount = crate::bank::amount(1);
    let elsewhere = scene.north.receipt(&presentment.item, feiqian_crypto::Digest([9; 32]));
    let foreign = scene.south.receipt(&presentment.item, presentment.id);
    for lie in [Outcome::Paid(forged), Outcome::Paid(elsewhere), Outcome::Paid(foreign)] {
        *scene.north.lie.lock().unwrap() = Some(lie);
        assert_eq!(present(&scene.south, &presentment).await.unwrap_err().code, Code::Unavailable);
        assert_eq!(scene.world.audited().await.forwarded, 1);
    }
    *scene.north.lie.lock().unwrap() = None;
    // Faults of access and load leave it open, a verdict on the item does not.
    for code in [Code::Busy, Code::Forbidden, Code::Internal, Code::Conflict] {
        *scene.north.fault.lock().unwrap() = Some(Fault::new(code, "test"));
        assert_eq!(present(&scene.south, &presentment).await.unwrap_err().code, Code::Unavailable);
    }
    *scene.north.fault.lock().unwrap() = Some(Fault::new(Code::Expired, "too late"));
    let answer = present(&scene.south, &presentment).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Refused(fault) if fault.code == Code::Expired));
    assert_eq!(scene.settlements().await, both("1000.00", "1000.00"));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn evidence_about_other_payments_is_no_outcome() {
    let scene = Scene::new().await;
    let coins = scene.north.coins(1250, 1);
    let item = |order| scene.shop.present(scene.shop.item(&coins, 1250, order));
    let (first, second, third) = (item("one"), item("two"), item("three"));
    present(&scene.south, &first).await.unwrap();
    let answer = present(&scene.south, &second).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::DoubleSpent(_)));
    *scene.north.lie.lock().unwrap() = Some(answer.outcome);
    assert_eq!(present(&scene.south, &third).await.unwrap_err().code, Code::Unavailable);
    assert_eq!(scene.world.audited().await.forwarded, 1);
    *scene.north.lie.lock().unwrap() = None;
    let answer = present(&scene.south, &third).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::DoubleSpent(_)));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn a_presentment_is_forwarded_by_one_at_a_time() {
    tokio::time::pause();
    let scene = Scene::new().await;
    let presentment = scene.payment(1250, 1);
    scene.world.wires.trouble("/v1/pay/payment", &[Trouble::Slow]);
    let meanwhile = async {
        while scene.world.audited().await.forwarded == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let busy = present(&scene.south, &presentment).await.unwrap_err();
        assert_eq!(busy.code, Code::Busy);
        assert!(!busy.is_definitive() && busy.hint.is_some());
        assert!(!Arc::clone(&scene.world.center).resume().await.unwrap());
        assert_eq!(scene.north.payments(), 0, "neither asked the bank");
    };
    let (first, ()) = tokio::join!(present(&scene.south, &presentment), meanwhile);
    let first = first.unwrap();
    assert!(matches!(first.outcome, Outcome::Paid(_)));
    assert_eq!(present(&scene.south, &presentment).await.unwrap(), first);
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn an_item_that_waits_holds_up_no_other() {
    let scene = Scene::new().await;
    let center = || Arc::clone(&scene.world.center);
    let wires = &scene.world.wires;
    wires.trouble("/v1/pay/payment", &[Trouble::AnswerLost; 2]);
    for seed in [1, 2] {
        present(&scene.south, &scene.payment(1250, seed)).await.unwrap_err();
    }
    wires.trouble("/v1/pay/payment", &[Trouble::Unreachable, Trouble::Busy]);
    assert!(!center().resume().await.unwrap(), "an unreachable bank is asked once a round");
    assert_eq!(scene.world.audited().await.forwarded, 2);
    assert!(center().resume().await.unwrap());
    assert_eq!(scene.world.audited().await.forwarded, 1, "the one after the busy one is concluded");
    assert!(center().resume().await.unwrap());
    assert_eq!(scene.settlements().await, both("975.00", "1025.00"));
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn a_refund_flows_back_and_is_checked() {
    let scene = Scene::new().await;
    let payment = scene.payment(1250, 1);
    let paid = present(&scene.south, &payment).await.unwrap();
    let Outcome::Paid(receipt) = paid.outcome else { panic!("{paid:?}") };
    let part = scene.shop.refund(receipt.clone(), 250, 1);
    scene.world.wires.trouble("/v1/pay/refund", &[Trouble::AnswerLost]);
    assert_eq!(refund(&scene.south, &part).await.unwrap_err().code, Code::Unavailable);
    assert_eq!(refund(&scene.south, &part).await.unwrap().outcome, RefundOutcome::Booked);
    assert_eq!(refund(&scene.south, &part).await.unwrap().outcome, RefundOutcome::Booked);
    assert_eq!(scene.settlements().await, both("990.00", "1010.00"));
    assert_eq!(scene.north.refunds(), 1);

    let over = scene.shop.refund(receipt.clone(), 1251, 2);
    let RefundOutcome::Refused(fault) = refund(&scene.south, &over).await.unwrap().outcome else { panic!() };
    assert_eq!(fault.code, Code::RefundExceeded);
    let stranger = Account { key: feiqian_pki::KeyPair::from_seed(&[1; 32]), ..scene.south.account("shop") };
    let forged = stranger.refund(receipt.clone(), 10, 3);
    let RefundOutcome::Refused(fault) = refund(&scene.south, &forged).await.unwrap().outcome else {
        panic!()
    };
    assert_eq!(fault.code, Code::SignatureInvalid);
    let mut raised = receipt;
    raised.amount = crate::bank::amount(9999);
    let raised = scene.shop.refund(raised, 2000, 4);
    let RefundOutcome::Refused(fault) = refund(&scene.south, &raised).await.unwrap().outcome else {
        panic!()
    };
    assert_eq!(fault.code, Code::SignatureInvalid);
    assert_eq!(scene.settlements().await, both("990.00", "1010.00"));
    scene.world.assert_sound().await;
}
