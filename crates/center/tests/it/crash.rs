//! The center is killed at every commit of a payment and a refund, before it and after it.

use std::collections::BTreeSet;
use std::sync::Arc;

use feiqian_clearing::presentment::Presented;
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::refund::RefundOutcome;

use crate::present::{Scene, present};
use crate::world::{Death, MortalStore};

/// Presents until it is answered, restarting the center whenever its store has died.
async fn clear(scene: &mut Scene, deaths: &[Option<Death>]) -> Vec<&'static str> {
    let payment = scene.payment(1250, 1);
    let mut points = Vec::new();
    let mut deaths = deaths.iter().copied();
    let (mut paid, mut refunded) = (None, false);
    for _ in 0..8 {
        let store = Arc::new(MortalStore::new(Arc::clone(&scene.world.disk), deaths.next().flatten()));
        let alive = scene.world.restart_on(Arc::clone(&store) as _).await.is_ok();
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
        points.extend(store.points());
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
    points
}

#[tokio::test]
async fn killed_at_any_commit_it_ends_paid_once() {
    let points = clear(&mut Scene::new().await, &[]).await;
    let named: BTreeSet<_> = points.iter().copied().collect();
    assert!(named.is_superset(&BTreeSet::from(["center.present.reserve", "center.present.outcome"])));
    for commit in 1..=points.len() {
        for after in [false, true] {
            clear(&mut Scene::new().await, &[Some(Death { commit, after })]).await;
        }
    }
}

#[tokio::test]
async fn killed_twice_in_a_row_it_ends_paid_once() {
    for (first, second) in [(2, 2), (3, 2), (4, 3), (5, 2)] {
        let death = |commit| Some(Death { commit, after: true });
        clear(&mut Scene::new().await, &[death(first), death(second)]).await;
    }
}
