//! Payments with online coins, checked together whatever connection they come by.

use std::sync::Arc;

use feiqian_online_cash::Rejection;
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::payment::{Checker, VerifiedPayment};
use feiqian_wire::Timestamp;
use rand::CryptoRng;

use crate::members::{Deposited, MemberView};
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

/// Checks a payment as of when it was redeemed, which the bank's own receipt says. The payee's certificate may have been
/// revoked since: who has its key can only have had the account credited that it names.
///
/// # Errors
/// The [`Rejection`] of the first rule that the payment breaks.
pub fn check_redeemed(
    view: &MemberView,
    item: &CashItem,
    paid_at: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<VerifiedPayment, Rejection> {
    Checker { pins: &view.pins, authorities: &Deposited(view), now: paid_at }.verify(item, rng)
}
