//! Refunds: claims on payments, taken as new coins, still anonymous.
//!
//! Asking what became of a payment names the payment. Whoever sees the questions for several payments arrive together,
//! each over its own anonymous connection, knows that one wallet made them all; asked in the order of paying, or every
//! half minute, they would even tell when the wallet runs. So the background asks about **one** payment a round, chosen
//! at random, ever more rarely the longer it has heard nothing, and not at all once no refund can come any more. Only
//! the owner's own `refresh` asks at once for all payments of the last week, in random order: whoever was just told of
//! a refund wants it now.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{MutexGuard, PoisonError};

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::CallError;
use feiqian_online_cash::request::{PaymentRequest, Route};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use rand::seq::{IteratorRandom as _, SliceRandom as _};

use crate::failure::{Failure, Result};
use crate::record::{PaymentRow, Purpose};
use crate::session::Ended;
use crate::wallet::Wallet;

/// How old the payments are that the owner's refresh asks about, seconds.
const RECENT: u64 = 7 * 86_400;

/// Pause between the background's first two questions about a payment, seconds; it doubles with each.
const FIRST_PAUSE: u64 = 60;

/// Longest pause between the background's questions about a payment, seconds.
const LONGEST_PAUSE: u64 = 86_400;

/// For how long after the time for refunds the background still asks, seconds. A payee orders none any more, but what it ordered
/// in the last second may wait for a bank that is down, and each question of a wallet that heard nothing comes a day after the last.
pub(crate) const LATE: u64 = 7 * 86_400;

/// When the background may ask about each payment again. Forgotten when the wallet stops: the first question after
/// a start is as harmless as any.
pub(crate) type Schedule = BTreeMap<Digest, Turn>;

/// A payment's next turn, Unix seconds, and the pause before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    next: u64,
    pause: u64,
}

/// When the background has asked for the last time for a refund of a payment. Only what was paid to an account can be refunded.
pub(crate) fn last_refund(row: &PaymentRow) -> Timestamp {
    match refund_until(&row.item.request.request) {
        never if never == NEVER => never,
        until => until.saturating_add(LATE),
    }
}

/// Of what was paid to nobody's account nothing can be given back.
const NEVER: Timestamp = Timestamp::new(0);

/// Until when a payee may give back what it is paid for a request, at most as late as a store can hold.
pub(crate) fn refund_until(request: &PaymentRequest) -> Timestamp {
    match request.route {
        Route::Account { .. } => request.refund_until.min(Timestamp::new(i64::MAX.unsigned_abs())),
        Route::Received => NEVER,
    }
}

/// A payment that the background may ask about, without what was paid: a wallet has many.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    request: Digest,
    payment: Digest,
    created: u64,
}

impl Candidate {
    fn of(row: &PaymentRow) -> Self {
        Self { request: row.request, payment: row.payment, created: row.created }
    }

    /// Paid payments that could be refunded at a time or later, in the order of paying.
    fn refundable(tx: &mut dyn Tx, after: u64) -> Result<Vec<Self>> {
        let sql = "SELECT request, payment, created FROM payment \
                   WHERE state = 'paid' AND kind = 'pay' AND refund_until > ?1 ORDER BY created, request";
        let read = |row: &Row| {
            Ok(Self { request: row.digest(0)?, payment: row.digest(1)?, created: row.unsigned(2)? })
        };
        tx.select(sql, &[Value::unsigned(after)?])?.iter().map(read).collect()
    }
}

/// Drops the turns of payments that nobody asks about any more, as soon as they are more than those of all candidates: so the
/// schedule does not grow with the payments.
fn forget(asked: &mut Schedule, candidates: &[Candidate]) {
    if asked.len() > candidates.len().saturating_mul(2) {
        let open: BTreeSet<Digest> = candidates.iter().map(|candidate| candidate.payment).collect();
        asked.retain(|payment, _| open.contains(payment));
    }
}

impl Wallet {
    /// The owner asks: the refunds of the payments of the last week, in random order, and of one older payment that
    /// can still be refunded.
    pub(crate) async fn claim_recent(&self) -> Result<Minor> {
        let since = self.now().seconds().saturating_sub(RECENT);
        let mut paid = self.seams.store.read(move |tx| PaymentRow::paid_since(tx, since)).await?;
        paid.shuffle(&mut self.rng());
        let older = self.refundable().await?.into_iter().filter(|paid| paid.created < since).collect();
        paid.extend(self.pick(older).await?);
        let mut total = Minor::ZERO;
        let mut trouble: Option<Fault> = None;
        for row in paid {
            match self.claim_refund(row).await {
                Ok(amount) => total = total.checked_add(amount)?,
                Err(failure) => {
                    let fault = Fault::from(failure);
                    let unreachable = fault.code == Code::NodeUnreachable;
                    trouble = Some(fault);
                    if unreachable {
                        break;
                    }
                }
            }
        }
        match trouble {
            Some(fault) if total.is_zero() => Err(fault.into()),
            _ => Ok(total),
        }
    }

    /// A round of the background: what became of one payment, chosen at random among those that have expired unsettled
    /// and those that can still be refunded, and whose turn has come.
    pub(crate) async fn ask_one(&self) -> Result<()> {
        let now = self.now();
        let unsettled = self.seams.store.read(PaymentRow::unsettled).await?;
        let expired = unsettled.iter().filter(|row| row.expires < now);
        let mut candidates: Vec<Candidate> = expired.map(Candidate::of).collect();
        candidates.extend(self.refundable().await?);
        forget(&mut self.schedule(), &candidates);
        match self.pick(candidates).await? {
            Some(row) => self.claim_refund(row).await.map(drop),
            None => Ok(()),
        }
    }

    /// Paid payments of which a refund may still come.
    async fn refundable(&self) -> Result<Vec<Candidate>> {
        let after = self.now().seconds().saturating_sub(LATE);
        self.seams.store.read(move |tx| Candidate::refundable(tx, after)).await
    }

    /// One of them at random whose turn has come, and puts off its next turn.
    async fn pick(&self, candidates: Vec<Candidate>) -> Result<Option<PaymentRow>> {
        let Some(request) = self.draw(candidates) else { return Ok(None) };
        self.seams.store.read(move |tx| PaymentRow::find(tx, &request)).await
    }

    fn draw(&self, candidates: Vec<Candidate>) -> Option<Digest> {
        let now = self.now().seconds();
        let mut asked = self.schedule();
        let due = |paid: &Candidate| asked.get(&paid.payment).is_none_or(|turn| turn.next <= now);
        let chosen = candidates.into_iter().filter(due).choose(&mut self.rng())?;
        let pause = asked.get(&chosen.payment).map_or(FIRST_PAUSE, |turn| turn.pause.saturating_mul(2));
        let pause = pause.min(LONGEST_PAUSE);
        asked.insert(chosen.payment, Turn { next: now.saturating_add(pause), pause });
        Some(chosen.request)
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn claim_refund(&self, row: PaymentRow) -> Result<Minor> {
        let (payment, bank) = (row.payment, row.bank.clone());
        let amount = self.settle(row).await?;
        if amount.is_zero() {
            return Ok(Minor::ZERO);
        }
        let session = self.plan_session(&bank, Purpose::Refund { payment, amount }, amount, None).await?;
        match self.drive(session).await? {
            Ended::Done => Ok(amount),
            Ended::Void(fault) => Err(CallError::Fault(fault).into()),
        }
    }

    /// Payments whose request has expired: what became of them? Until their fate is sealed their coins stay put.
    pub(crate) async fn settle_expired(&self) -> Result<()> {
        let now = self.now();
        let rows = self.seams.store.read(PaymentRow::unsettled).await?;
        let mut trouble = None;
        let mut expired: Vec<PaymentRow> = rows.into_iter().filter(|row| row.expires < now).collect();
        expired.shuffle(&mut self.rng());
        for row in expired {
            if let Err(failure) = self.settle(row).await {
                let fault = Fault::from(failure);
                let unreachable = fault.code == Code::NodeUnreachable;
                trouble = Some(fault);
                if unreachable {
                    break;
                }
            }
        }
        trouble.map_or(Ok(()), |fault| Err(Failure::from(fault)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_forgets_what_is_over_and_keeps_what_is_open() {
        let digest = |number: u8| Digest([number; 32]);
        let candidate = |number| Candidate { request: digest(0), payment: digest(number), created: 0 };
        let turn = |next| Turn { next, pause: FIRST_PAUSE };
        let mut asked: Schedule = (1..=4).map(|number| (digest(number), turn(number.into()))).collect();
        forget(&mut asked, &[candidate(3), candidate(9)]);
        assert_eq!(asked.len(), 4, "twice as many as can be asked about are kept");
        forget(&mut asked, &[candidate(3)]);
        assert_eq!(asked.keys().copied().collect::<Vec<_>>(), [digest(3)]);
        assert_eq!(asked.values().map(|turn| turn.next).collect::<Vec<_>>(), [3]);
        forget(&mut asked, &[]);
        assert!(asked.is_empty());
    }
}
