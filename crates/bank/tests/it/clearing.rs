//! Deposits of another bank's coins: collecting, issuing, lost answers, forged presentments.

use feiqian_clearing::presentment::{Presented, Presentment};
use feiqian_node::Shutdown;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_wire::error::{Code, Fault};

use crate::world::{Holder, NOW, Node, World, code, minor, pay, presented};

pub(crate) async fn two_banks(world: &World) -> (Node, Node, Holder, Holder) {
    let north = world.bank("north", 10).await;
    let south = world.bank("south", 20).await;
    world.publish(&[&north, &south]).await;
    let alice = world.customer(&north, "alice", "100.00").await;
    let merry = world.customer(&south, "merry12", "0").await;
    (north, south, alice, merry)
}

async fn present(node: &Node, world: &World, item: &Presentment<CashItem>) -> Result<Outcome, Fault> {
    let answer: Presented<Outcome> = node.ask(Some(&world.center), "/v1/pay/payment", item).await?;
    assert_eq!(answer.id, item.id);
    Ok(answer.outcome)
}

#[tokio::test]
async fn a_deposit_passes_through_the_center_and_is_credited_once() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let item = pay(&south.request(&merry, 1, 50, 3600), &[(&coins[0], 50)]);
    // The line is cut: stored, pending, nothing credited.
    let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &item).await.unwrap();
    assert!(matches!(answer, DepositResponse::Pending { .. }));
    // The answer gets lost after the issuing bank has paid.
    world.connect(&south, &north).await;
    *south.line.lose.lock().unwrap() = 1;
    assert!(!south.bank.drain_outbox(&Shutdown::new()).await.unwrap());
    assert_eq!(south.balance(&merry).await, "0.00");
    assert_eq!(south.assert_sound().await.pending_presentments, 1);
    // By itself it goes on, also after the request's expiry.
    world.at(7200);
    assert!(south.bank.drain_outbox(&Shutdown::new()).await.unwrap());
    assert_eq!(south.balance(&merry).await, "0.50");
    for _ in 0..2 {
        let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &item).await.unwrap();
        let DepositResponse::Final(Outcome::Paid(receipt)) = answer else { panic!("{answer:?}") };
        receipt.verify(&north.bank.signing_key()).unwrap();
    }
    assert_eq!(south.balance(&merry).await, "0.50");
    assert_eq!(north.assert_sound().await.in_circulation(), 14);
    assert_eq!(south.assert_sound().await.pending_presentments, 0);
}

#[tokio::test]
async fn the_issuing_bank_checks_everything_again() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let item = pay(&south.request(&merry, 1, 50, 3600), &[(&coins[0], 50)]);
    let good = presented("south", &merry, &item);
    let refused = |outcome: Result<Outcome, Fault>| match outcome.unwrap() {
        Outcome::Refused(fault) => fault.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        code(north.ask::<_, Presented<Outcome>>(Some(&alice.peer), "/v1/pay/payment", &good).await),
        Code::Forbidden
    );
    assert_eq!(
        code(north.ask::<_, Presented<Outcome>>(None, "/v1/pay/payment", &good).await),
        Code::Unauthenticated
    );
    let spare = pay(&south.request(&merry, 5, 50, 3600), &[(&coins[0], 50)]);
    let mut forged = presented("south", &merry, &spare);
    forged.amount.minor = minor(51);
    assert_eq!(refused(present(&north, &world, &forged).await), Code::AmountMismatch);
    let mut forged = good.clone();
    forged.id = crate::world::digest(1);
    assert_eq!(refused(present(&north, &world, &forged).await), Code::Malformed);
    assert_eq!(refused(present(&north, &world, &presented("south", &alice, &item)).await), Code::WrongRoute);
    assert_eq!(refused(present(&north, &world, &presented("north", &merry, &item)).await), Code::WrongRoute);
    assert_eq!(refused(present(&south, &world, &presented("west", &merry, &item)).await), Code::WrongBank);
    world.at(3600);
    let late = presented("south", &merry, &pay(&south.request(&merry, 6, 50, 3600), &[(&coins[0], 50)]));
    assert_eq!(refused(present(&north, &world, &late).await), Code::Expired);
    world.at(0);
    // A refusal is final, also when the clock turns back or the presentment is mended.
    assert_eq!(refused(present(&north, &world, &late).await), Code::Expired);
    let mended = presented("south", &merry, &spare);
    assert_eq!(refused(present(&north, &world, &mended).await), Code::AmountMismatch);
    assert!(matches!(present(&north, &world, &good).await.unwrap(), Outcome::Paid(_)));
    assert!(matches!(present(&north, &world, &good).await.unwrap(), Outcome::Paid(_)));
    let other = pay(&south.request(&merry, 2, 30, 3600), &[(&coins[0], 30)]);
    let Outcome::DoubleSpent(evidence) =
        present(&north, &world, &presented("south", &merry, &other)).await.unwrap()
    else {
        panic!("taken")
    };
    evidence.verify(&world.trusted()).unwrap();
    north.assert_sound().await;
}

#[tokio::test]
async fn without_cover_the_item_can_be_presented_again() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let item = presented("south", &merry, &pay(&south.request(&merry, 1, 50, 3600), &[(&coins[0], 50)]));
    assert_eq!(code(present(&north, &world, &item).await), Code::SettlementFailed);
    world.connect(&south, &north).await;
    assert!(matches!(present(&north, &world, &item).await.unwrap(), Outcome::Paid(_)));
    north.assert_sound().await;
}

#[tokio::test]
async fn a_refusal_and_a_redemption_never_both_happen() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let expired =
        |outcome: &Outcome| matches!(outcome, Outcome::Refused(fault) if fault.code == Code::Expired);

    // The redemption waits to be written; in the meantime the same presentment is refused.
    let item = presented("south", &merry, &pay(&south.request(&merry, 1, 20, 100), &[(&coins[0], 20)]));
    north.store.hold("bank.pay.payment");
    let (first, second) = tokio::join!(present(&north, &world, &item), async {
        north.store.someone_waits().await;
        world.at(100);
        let second = present(&north, &world, &item).await;
        north.store.let_go();
        second
    });
    assert!(expired(&second.unwrap()));
    assert!(expired(&first.unwrap()), "the redemption finds the refusal");
    world.at(0);
    assert!(expired(&present(&north, &world, &item).await.unwrap()));
    assert_eq!(north.assert_sound().await.in_circulation(), 64);

    // The refusal waits to be written; in the meantime the redemption happens.
    let item = presented("south", &merry, &pay(&south.request(&merry, 2, 30, 200), &[(&coins[0], 30)]));
    north.store.hold("bank.pay.refused");
    world.at(200);
    let (refused, paid) = tokio::join!(present(&north, &world, &item), async {
        north.store.someone_waits().await;
        world.at(150);
        let paid = present(&north, &world, &item).await;
        north.store.let_go();
        paid
    });
    let paid = paid.unwrap();
    assert!(matches!(paid, Outcome::Paid(_)));
    assert_eq!(refused.unwrap(), paid, "the refusal finds the redemption");
    assert_eq!(north.assert_sound().await.in_circulation(), 34);
}

/// A center that answers what it was told to.
struct Told(std::sync::Mutex<Outcome>);

impl Told {
    async fn payment(
        self: std::sync::Arc<Self>,
        _peer: feiqian_node::Peer,
        item: Presentment<CashItem>,
    ) -> Result<Presented<Outcome>, Fault> {
        Ok(Presented { id: item.id, outcome: self.0.lock().unwrap().clone() })
    }
}

#[tokio::test]
async fn evidence_about_another_payment_is_no_answer() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[64, 8]).await;
    let first = presented("south", &merry, &pay(&south.request(&merry, 1, 64, 3600), &[(&coins[0], 64)]));
    assert!(matches!(present(&north, &world, &first).await.unwrap(), Outcome::Paid(_)));
    let item = pay(&south.request(&merry, 2, 20, 3600), &[(&coins[0], 20)]);
    let other = pay(&south.request(&merry, 3, 8, 3600), &[(&coins[1], 8)]);
    let evidence = present(&north, &world, &presented("south", &merry, &item)).await.unwrap();
    assert!(matches!(evidence, Outcome::DoubleSpent(_)));
    let told = std::sync::Arc::new(Told(std::sync::Mutex::new(evidence.clone())));
    let router = feiqian_node::Routes::new(told)
        .add(feiqian_node::Route::new("/v1/pay/payment"), Told::payment)
        .into_router();
    world.relay(&south, router);
    let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &other).await.unwrap();
    assert!(matches!(answer, DepositResponse::Pending { .. }), "{answer:?}");
    let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &item).await.unwrap();
    assert_eq!(answer, DepositResponse::Final(evidence));
    // The right center is asked again.
    world.connect(&south, &north).await;
    let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &other).await.unwrap();
    assert!(matches!(answer, DepositResponse::Final(Outcome::Paid(_))));
}

#[tokio::test]
async fn the_outbox_takes_turns() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    let coins = north.withdraw(&alice, 1, &[8, 8, 8, 8]).await;
    let mut items = Vec::new();
    for (n, coin) in (1..).zip(&coins) {
        world.at(n);
        let item = pay(&south.request(&merry, n, 8, 3600), &[(coin, 8)]);
        let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &item).await.unwrap();
        assert!(matches!(answer, DepositResponse::Pending { .. }));
        items.push(item);
    }
    world.connect(&south, &north).await;
    // Three answers are lost, so the round ends; the next one begins with the item not tried yet.
    *south.line.lose.lock().unwrap() = 3;
    world.at(10);
    assert!(!south.bank.drain_outbox(&Shutdown::new()).await.unwrap());
    assert_eq!(south.balance(&merry).await, "0.00");
    *south.line.lose.lock().unwrap() = 1;
    world.at(20);
    assert!(!south.bank.drain_outbox(&Shutdown::new()).await.unwrap());
    assert_eq!(south.balance(&merry).await, "0.24");
    let youngest = items[3].payment.digest();
    south
        .commit(move |tx| {
            let pending = tx.select("SELECT reference, tried FROM presentment WHERE state = 0", &[])?;
            assert_eq!(pending.len(), 1);
            assert_eq!((pending[0].digest(0)?, pending[0].unsigned(1)?), (youngest, NOW + 20));
            Ok(())
        })
        .await;
    assert!(south.bank.drain_outbox(&Shutdown::new()).await.unwrap());
    assert_eq!(south.balance(&merry).await, "0.32");
    south.assert_sound().await;
}

#[tokio::test]
async fn a_bank_that_hangs_does_not_keep_the_others_waiting() {
    let world = World::new();
    let south = world.bank("south", 20).await;
    let (north, west) = (world.bank("north", 10).await, world.bank("west", 30).await);
    world.publish(&[&north, &south, &west]).await;
    let merry = world.customer(&south, "merry12", "0").await;
    let alice = world.customer(&north, "alice", "1.00").await;
    let willow = world.customer(&west, "willow", "1.00").await;
    let hanging = north.withdraw(&alice, 1, &[8]).await;
    let good = west.withdraw(&willow, 1, &[4]).await;
    for (n, coin, amount) in [(1, &hanging[0], 8), (2, &good[0], 4)] {
        let item = pay(&south.request(&merry, n, amount, 3600), &[(coin, amount)]);
        let _: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &item).await.unwrap();
    }
    world.connect(&south, &west).await;
    *south.line.hang.lock().unwrap() = Some(8);
    let shutdown = Shutdown::new();
    let paid = async {
        while south.balance(&merry).await != "0.04" {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        done = south.bank.drain_outbox(&shutdown) => panic!("not while one hangs: {done:?}"),
        () = paid => {}
    }
    assert_eq!(south.assert_sound().await.pending_presentments, 1);
}
