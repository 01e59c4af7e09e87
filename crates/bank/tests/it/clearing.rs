//! Deposits of another bank's coins: collecting, issuing, lost answers, forged presentments.

use feiqian_clearing::presentment::{Presented, Presentment};
use feiqian_node::Shutdown;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_wire::error::{Code, Fault};

use crate::world::{Holder, Node, World, code, minor, pay, presented};

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
    let mut forged = good.clone();
    forged.amount.minor = minor(51);
    assert_eq!(refused(present(&north, &world, &forged).await), Code::AmountMismatch);
    let mut forged = good.clone();
    forged.id = crate::world::digest(1);
    assert_eq!(refused(present(&north, &world, &forged).await), Code::Malformed);
    assert_eq!(refused(present(&north, &world, &presented("south", &alice, &item)).await), Code::WrongRoute);
    assert_eq!(refused(present(&north, &world, &presented("north", &merry, &item)).await), Code::WrongRoute);
    assert_eq!(refused(present(&south, &world, &presented("west", &merry, &item)).await), Code::WrongBank);
    world.at(3600);
    assert_eq!(refused(present(&north, &world, &good).await), Code::Expired);
    world.at(0);
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
