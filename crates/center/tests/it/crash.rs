//! The center is killed at every commit of a payment and a refund, before it and after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use feiqian_clearing::presentment::Presented;
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::refund::RefundOutcome;
use feiqian_store::testing::{Death, Lives, killed_everywhere};

use crate::present::{Scene, present};

/// Presents until it is answered, restarting the center whenever its store has died.
async fn clear(lives: Lives) {
    let mut scene = Scene::new().await;
    let payment = scene.payment(1250, 1);
    let (mut paid, mut refunded) = (None, false);
    for _ in 0..8 {
        let store = lives.next(Arc::clone(&scene.world.disk));
        let alive = scene.world.restart_on(store).await.is_ok();
        if alive {
            scene.north.follow(&scene.world);
            let _ = Arc::clone(&scene.world.center).resume().await;
            if let Ok(Presented { outcome: Outcome::Paid(receipt), .. }) =
                present(&scene.south, &payment).await
            {
                paid = Some(receipt);
            }
            if let Some(receipt) = &paid {
                let order = scene.shop.refund(receipt.clone(), 250, 1);
                let answer: Result<Presented<RefundOutcome>, _> =
                    scene.south.ask("/v1/present/refund", &order).await;
                refunded = answer.is_ok_and(|answer| answer.outcome == RefundOutcome::Booked);
            }
        }
        scene.world.assert_sound().await;
        if refunded {
            break;
        }
    }
    assert!(refunded, "it never ended");
    assert_eq!(scene.world.settlement("north").await, "990.00");
    assert_eq!(scene.world.settlement("south").await, "1010.00");
    assert_eq!((scene.north.payments(), scene.north.refunds()), (1, 1));
    assert_eq!(scene.world.audited().await.forwarded, 0);
}

#[tokio::test]
async fn killed_at_any_commit_it_ends_paid_once() {
    let points = killed_everywhere(clear).await;
    let named: BTreeSet<_> = points.iter().copied().collect();
    assert!(named.is_superset(&BTreeSet::from(["center.present.reserve", "center.present.outcome"])));
}

#[tokio::test]
async fn killed_twice_in_a_row_it_ends_paid_once() {
    for (first, second) in [(2, 2), (3, 2), (4, 3), (5, 2)] {
        let lives = Lives::ending(&[first, second].map(|step| Some(Death { step, after: true })));
        clear(lives.clone()).await;
        assert_eq!(lives.deaths(), 2, "{first} {second}: {:?}", lives.steps());
    }
}
