//! Payments with online coins, checked together whatever connection they come by.

use std::sync::Arc;

use feiqian_online_cash::Rejection;
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::payment::{Checker, VerifiedPayment};

use crate::{Lane, Members, Seams};

/// The most payments checked with one multiplication: more are no cheaper each.
const TOGETHER: usize = 128;

/// Where payments wait to be checked together.
pub type CashLane = Lane<Arc<CashItem>, Result<Box<VerifiedPayment>, Rejection>>;

/// Checks payments against what the members' view says when their turn comes. A bad one does not spoil the others.
#[must_use]
pub fn cash_lane(members: &Arc<Members>, seams: &Seams) -> Arc<CashLane> {
    let (members, clock) = (Arc::clone(members), Arc::clone(&seams.clock));
    let entropy = Arc::clone(&seams.entropy);
    Lane::new(Arc::clone(&seams.workers), TOGETHER, move |items: &[Arc<CashItem>]| {
        let view = members.snapshot();
        let checker = Checker { pins: &view.pins, authorities: &*view, now: clock.now() };
        let verdicts = checker.verify_many(items, &mut entropy.rng());
        verdicts.into_iter().map(|verdict| verdict.map(Box::new)).collect()
    })
}
