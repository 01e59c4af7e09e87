//! Payments of another bank that travel together: each is refused or paid by itself, once.

use std::sync::Arc;

use feiqian_clearing::presentment::{Answer, Answers, Batch, Presented, Presentment};
use feiqian_node::Shutdown;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_wire::Bounded;
use feiqian_wire::error::{Code, Fault};

use crate::clearing::two_banks;
use crate::world::{Node, World, pay, presented};

type Answered = Result<Vec<Answer<Outcome>>, Fault>;

async fn present_all(node: &Node, world: &World, items: &[Presentment<CashItem>]) -> Answered {
    let batch = Batch { items: Bounded::new(items.to_vec()).unwrap() };
    let answers: Answers<Outcome> = node.ask(Some(&world.center), "/v1/pay/payments", &batch).await?;
    assert_eq!(answers.answers.len(), items.len());
    Ok(answers.answers.into_vec())
}

fn outcome(answer: &Answer<Outcome>) -> &Outcome {
    match answer {
        Answer::Presented(Presented { outcome, .. }) => outcome,
        other => panic!("{other:?}"),
    }
}

/// The code that a refused item was answered with; `None`: it was paid.
fn refusal(answer: &Answer<Outcome>) -> Option<Code> {
    match outcome(answer) {
        Outcome::Paid(_) => None,
        Outcome::Refused(fault) => Some(fault.code),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_bad_payment_in_a_batch_is_refused_alone() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[8, 8, 8, 8]).await;
    let item = |n: u64, coin: usize| pay(&south.request(&merry, n, 8, 3600), &[(&coins[coin], 8)]);
    let mut items: Vec<_> = (0..4_u64).zip(0..).map(|(n, coin)| item(n, coin)).collect();
    items[1].payment.possession = items[0].payment.possession;
    let mut presentments: Vec<_> = items.iter().map(|item| presented("south", &merry, item)).collect();
    presentments[2].id = presentments[3].id;
    let answers = present_all(&north, &world, &presentments).await.unwrap();
    let codes: Vec<_> = answers.iter().map(refusal).collect();
    assert_eq!(codes, [None, Some(Code::PossessionInvalid), Some(Code::Malformed), None]);
    // The same again is answered alike, and by each of the two calls.
    assert_eq!(present_all(&north, &world, &presentments).await.unwrap(), answers);
    for (presentment, answer) in presentments.iter().zip(&answers) {
        let alone: Presented<Outcome> =
            north.ask(Some(&world.center), "/v1/pay/payment", presentment).await.unwrap();
        assert_eq!(alone.outcome, *outcome(answer));
    }
    let report = north.assert_sound().await;
    assert_eq!((report.payments, report.in_circulation()), (2, 16));
}

#[tokio::test]
async fn one_payment_twice_in_a_batch_is_paid_once_and_one_coin_twice_gives_evidence() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[8]).await;
    let [first, second] = [1, 2]
        .map(|n| presented("south", &merry, &pay(&south.request(&merry, n, 8, 3600), &[(&coins[0], 8)])));
    let batch = [first.clone(), first.clone(), second.clone()];
    let answers = present_all(&north, &world, &batch).await.unwrap();
    let paid: Vec<_> = answers.iter().filter(|it| matches!(outcome(it), Outcome::Paid(_))).collect();
    let doubles = answers.iter().filter(|it| matches!(outcome(it), Outcome::DoubleSpent(_))).count();
    assert!((paid.len(), doubles) == (2, 1) && paid[0] == paid[1], "{answers:?}");
    assert_eq!(present_all(&north, &world, &batch).await.unwrap(), answers);
    let report = north.assert_sound().await;
    assert_eq!((report.payments, report.in_circulation()), (1, 0));
}

#[tokio::test]
async fn many_deposits_at_once_are_each_credited_once() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[8; 20]).await;
    let mut tasks = tokio::task::JoinSet::new();
    let south = Arc::new(south);
    for (n, coin) in (0_u64..).zip(&coins) {
        let item = pay(&south.request(&merry, n, 8, 3600), &[(coin, 8)]);
        // Every third is sent twice.
        for _ in 0..if n % 3 == 0 { 2 } else { 1 } {
            let (south, item, peer) = (Arc::clone(&south), item.clone(), Arc::clone(&merry.peer));
            tasks.spawn(async move {
                south.ask::<_, DepositResponse>(Some(&peer), "/v1/deposit", &item).await.unwrap()
            });
        }
    }
    while let Some(answer) = tasks.join_next().await {
        assert!(matches!(answer.unwrap(), DepositResponse::Final(Outcome::Paid(_))));
    }
    assert_eq!(south.balance(&merry).await, "1.60");
    assert_eq!(north.assert_sound().await.in_circulation(), 0);
    assert_eq!(south.assert_sound().await.pending_presentments, 0);
}

#[tokio::test]
async fn killed_in_the_middle_of_a_batch_each_is_still_paid_once() {
    for (dies, point) in
        [("south", "bank.deposit.present"), ("north", "bank.pay.payment"), ("south", "bank.deposit.outcome")]
    {
        for after in [false, true] {
            let world = World::new();
            let (mut north, mut south, alice, merry) = two_banks(&world).await;
            world.connect(&south, &north).await;
            let coins = north.withdraw(&alice, 1, &[8; 6]).await;
            let items: Vec<_> = (0_u64..)
                .zip(&coins)
                .map(|(n, coin)| pay(&south.request(&merry, n, 8, 3600), &[(coin, 8)]))
                .collect();
            let dying = if dies == "south" { &south } else { &north };
            *dying.store.plan.lock().unwrap() = Some((point, after));
            let deposit = |item: CashItem| {
                let (router, peer) = (Arc::clone(&south.bank), Arc::clone(&merry.peer));
                let direct =
                    crate::world::Direct { router: feiqian_node::Service::router(router), peer: Some(peer) };
                async move {
                    let to = feiqian_node::Target::anyone("https://127.0.0.1:7001");
                    let caller = feiqian_node::Caller::Certified;
                    feiqian_node::call::<_, DepositResponse>(&direct, &to, caller, "/v1/deposit", &item).await
                }
            };
            let mut tasks = tokio::task::JoinSet::new();
            items.iter().cloned().for_each(|item| {
                tasks.spawn(deposit(item));
            });
            while tasks.join_next().await.is_some() {}
            assert!(dying.store.plan.lock().unwrap().is_none(), "{point} was not reached");
            // Both wake up; what was presented goes on by itself, the rest is sent again.
            world.restart(&mut north).await;
            world.restart(&mut south).await;
            world.publish(&[&north, &south]).await;
            world.connect(&south, &north).await;
            assert!(south.bank.drain_outbox(&Shutdown::new()).await.unwrap(), "{point}");
            for item in &items {
                let answer: DepositResponse =
                    south.ask(Some(&merry.peer), "/v1/deposit", item).await.unwrap();
                assert!(matches!(answer, DepositResponse::Final(Outcome::Paid(_))), "{point}: {answer:?}");
            }
            assert_eq!(south.balance(&merry).await, "0.48", "{point}");
            assert_eq!(north.assert_sound().await.in_circulation(), 0);
            assert_eq!(south.assert_sound().await.pending_presentments, 0);
        }
    }
}
