//! Payments presented together: each by itself, also when the center is killed at any commit of them.

use std::sync::Arc;

use feiqian_clearing::presentment::{Answer, Answers, Batch, Presented, Presentment};
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_store::testing::{Lives, killed_everywhere};
use feiqian_wire::Bounded;
use feiqian_wire::error::{Code, Fault};

use crate::present::Scene;
use crate::wires::Trouble;

async fn present_all(scene: &Scene, items: &[Presentment<CashItem>]) -> Result<Vec<Answer<Outcome>>, Fault> {
    let batch = Batch { items: Bounded::new(items.to_vec()).unwrap() };
    let answers: Answers<Outcome> = scene.south.ask("/v1/present/payments", &batch).await?;
    assert_eq!(answers.answers.len(), items.len());
    Ok(answers.answers.into_vec())
}

fn is_paid(answer: &Answer<Outcome>, id: &Presentment<CashItem>) -> bool {
    matches!(answer, Answer::Presented(Presented { id: told, outcome: Outcome::Paid(receipt) })
        if *told == id.id && receipt.presentment == id.id)
}

fn code(answer: &Answer<Outcome>) -> Option<Code> {
    match answer {
        Answer::Presented(Presented { outcome: Outcome::Refused(fault), .. }) | Answer::Failed(fault) => {
            Some(fault.code)
        }
        _ => None,
    }
}

#[tokio::test]
async fn each_item_of_a_batch_is_answered_for_itself() {
    let scene = Scene::new().await;
    let (one, two) = (scene.payment(100, 1), scene.payment(200, 2));
    let mut bad = scene.payment(400, 3);
    bad.item.payment.possession = one.item.payment.possession;
    let mut foreign = scene.payment(800, 4);
    foreign.collecting_bank = feiqian_wire::Name::new("north").unwrap();
    let items = [one.clone(), two.clone(), bad.clone(), foreign, one.clone()];
    let answers = present_all(&scene, &items).await.unwrap();
    assert_eq!(code(&answers[2]), Some(Code::PossessionInvalid));
    assert_eq!(code(&answers[3]), Some(Code::Forbidden));
    // Of two that are the same, one may be told to come again.
    let settled = present_all(&scene, &[one.clone(), two.clone()]).await.unwrap();
    assert!(is_paid(&settled[0], &one) && is_paid(&settled[1], &two), "{settled:?}");
    assert_eq!(scene.north.payments(), 2);
    assert_eq!(scene.world.settlement("north").await, "997.00");
    assert_eq!(scene.world.settlement("south").await, "1003.00");
    scene.world.assert_sound().await;
}

#[tokio::test]
async fn a_batch_whose_answer_is_lost_is_only_reserved_and_goes_on_by_itself() {
    let scene = Scene::new().await;
    let items = [scene.payment(100, 1), scene.payment(200, 2), scene.payment(400, 3)];
    scene.world.wires.trouble("/v1/pay/payments", &[Trouble::AnswerLost; 4]);
    scene.world.wires.trouble("/v1/pay/payment", &[Trouble::AnswerLost; 4]);
    let lost = present_all(&scene, &items).await.unwrap();
    assert!(lost.iter().all(|answer| code(answer) == Some(Code::Unavailable)), "{lost:?}");
    assert_eq!(scene.north.payments(), 3, "they were paid");
    assert_eq!(scene.world.audited().await.forwarded, 3);
    for _ in 0..12 {
        if scene.world.audited().await.forwarded == 0 {
            break;
        }
        let _ = Arc::clone(&scene.world.center).resume().await;
    }
    assert_eq!(scene.world.settlement("south").await, "1007.00");
    let answers = present_all(&scene, &items).await.unwrap();
    assert!(answers.iter().zip(&items).all(|(answer, item)| is_paid(answer, item)), "{answers:?}");
    assert_eq!(scene.north.payments(), 3);
    scene.world.assert_sound().await;
}

/// Presents a batch until all of it is paid, restarting the center whenever its store has died.
async fn clear(lives: Lives) {
    let mut scene = Scene::new().await;
    let items = [scene.payment(100, 1), scene.payment(200, 2), scene.payment(400, 3)];
    for _ in 0..8 {
        let store = lives.next(Arc::clone(&scene.world.disk));
        let mut all = false;
        if scene.world.restart_on(store).await.is_ok() {
            scene.north.follow(&scene.world);
            let _ = Arc::clone(&scene.world.center).resume().await;
            let answers = present_all(&scene, &items).await.unwrap_or_default();
            all = answers.len() == 3 && answers.iter().zip(&items).all(|(it, item)| is_paid(it, item));
        }
        scene.world.assert_sound().await;
        if all {
            assert_eq!(scene.world.settlement("north").await, "993.00");
            assert_eq!(scene.world.settlement("south").await, "1007.00");
            assert_eq!(scene.north.payments(), 3);
            assert_eq!(scene.world.audited().await.forwarded, 0);
            return;
        }
    }
    panic!("it never ended");
}

#[tokio::test]
async fn killed_at_any_commit_of_a_batch_each_ends_paid_once() {
    let points = killed_everywhere(clear).await;
    assert!(points.len() > 6, "each is reserved, and concluded: {points:?}");
}
