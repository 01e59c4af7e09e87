//! Giving back part or all of a payment.

use std::time::Duration;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::{CallError, Caller, call_within};
use feiqian_online_cash::refund::{RefundItem, RefundOrder, RefundOutcome};
use feiqian_online_cash::signed::WireChain;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, codec};
use serde::Serialize;

use crate::failure::Failure;
use crate::payments::{State, claimant, corrupt, is_verdict};
use crate::sales::sale_of_order;
use crate::service::Merchant;
use crate::tables::REFUND;

const REFUND_TIMEOUT: Duration = Duration::from_secs(25);
/// The most refunds resumed in one round.
const ROUND: u32 = 64;

/// A refund as stored; [`State::Paid`] stands for booked.
#[derive(Debug, Clone)]
pub(crate) struct Ordered {
    pub(crate) refund: Digest,
    pub(crate) payment: Digest,
    pub(crate) amount: Amount,
    pub(crate) item: RefundItem,
    pub(crate) state: State,
    pub(crate) outcome: Option<RefundOutcome>,
    created: u64,
    tried: u64,
}

impl Ordered {
    pub(crate) fn from_row(row: &Row) -> Result<Self, Failure> {
        let outcome = row.optional_blob(6)?.map(|bytes| codec::decode(bytes, Limit::Medium)).transpose()?;
        Ok(Self {
            refund: row.digest(0)?,
            payment: row.digest(1)?,
            amount: Amount::new(row.minor(2)?, row.parse(3)?),
            item: codec::decode(row.blob(4)?, Limit::Medium)?,
            state: State::from_number(row.integer(5)?)?,
            outcome,
            created: row.unsigned(7)?,
            tried: row.unsigned(8)?,
        })
    }

    fn values(&self) -> Result<[Value; 9], Failure> {
        Ok([
            self.refund.into(),
            self.payment.into(),
            self.amount.minor.into(),
            self.amount.currency.code().into(),
            codec::encode(&self.item)?.into(),
            Value::Integer(self.state as i64),
            self.outcome.as_ref().map(codec::encode).transpose()?.into(),
            Value::unsigned(self.created)?,
            Value::unsigned(self.tried)?,
        ])
    }
}

fn find_refund(tx: &mut dyn Tx, refund: &Digest) -> Result<Option<Ordered>, Failure> {
    tx.find(&REFUND, &[(*refund).into()])?.map(|row| Ordered::from_row(&row)).transpose()
}

/// What was ordered back of a payment and not refused, pending included.
pub(crate) fn given_back(tx: &mut dyn Tx, payment: &Digest) -> Result<Minor, Failure> {
    let sql =
        format!("SELECT coalesce(sum(amount), 0) FROM {} WHERE payment = ?1 AND state < 2", REFUND.name);
    Ok(tx.select(&sql, &[(*payment).into()])?.first().map_or(Ok(Minor::ZERO), |row| row.minor(0))?)
}

/// Answer to a refund.
#[derive(Debug, Serialize)]
pub struct Refunded {
    /// The refund's id.
    pub refund: Digest,
    /// The order.
    pub order: String,
    /// How much.
    pub amount: String,
    /// In which currency.
    pub currency: Currency,
    /// `booked`, or `pending` until the bank has answered.
    pub state: &'static str,
}

impl Merchant {
    /// Orders a refund: durable first, then sent. The same id again acts once. None is begun when the time for refunds that the
    /// payer was told has come: the wallet asks for none any more, and what it does not take would be nobody's.
    pub(crate) async fn refund(
        &self,
        order: String,
        amount: Option<&str>,
        id: Option<Digest>,
    ) -> Result<Refunded, Fault> {
        let currency = self.config.currency;
        let wanted = amount.map(|text| Amount::parse(text, currency)).transpose()?;
        let id = id.unwrap_or_else(|| self.fresh_digest());
        let reference = order.clone();
        let read = move |tx: &mut dyn Tx| -> Result<_, Failure> {
            let sale = sale_of_order(tx, &reference)?
                .ok_or_else(|| Fault::new(Code::NotFound, format!("there is no order {reference}")))?;
            let taken = claimant(tx, &sale.request)?.filter(|taken| taken.state == State::Paid);
            let taken =
                taken.ok_or_else(|| Fault::new(Code::NotFound, format!("order {reference} is not paid")))?;
            let given = given_back(tx, &taken.payment)?;
            Ok((taken, given, sale.signed.request.refund_until, find_refund(tx, &id)?))
        };
        let (taken, given, until, known) = self.seams.store.read(read).await?;
        let ordered = match known {
            Some(known)
                if known.payment == taken.payment && wanted.is_none_or(|wanted| wanted == known.amount) =>
            {
                known
            }
            Some(_) => return Err(Fault::new(Code::Conflict, "this refund id was used for another refund")),
            None => {
                let now = self.seams.clock.now();
                if now >= until {
                    return Err(too_late(&order));
                }
                let rest = taken.amount.minor.checked_sub(given).unwrap_or(Minor::ZERO);
                let amount = wanted.unwrap_or(Amount::new(rest, currency));
                let receipt = taken.receipt.ok_or_else(|| corrupt("receipt").0)?.receipt;
                if amount.minor > rest || rest.is_zero() {
                    return Err(exceeded(rest, currency));
                }
                let key = &self.keys.signer;
                let signed = RefundOrder::sign(id, receipt.bank.clone(), taken.payment, amount, key)?;
                let payee = WireChain::from_chain(&self.keys.signer_chain)?;
                let item = RefundItem { order: signed, receipt, payee };
                let created = now.seconds();
                let (payment, state) = (taken.payment, State::Pending);
                let tried = created;
                let fresh =
                    Ordered { refund: id, payment, amount, item, state, outcome: None, created, tried };
                let paid = taken.amount.minor;
                let work = move |tx: &mut dyn Tx| remember(tx, &fresh, paid);
                self.seams.store.commit("merchant.refund.order", work).await?
            }
        };
        let ordered =
            if ordered.state == State::Pending { self.send_refund(ordered).await } else { Ok(ordered) };
        let (state, amount) = match ordered {
            Ok(Ordered { state: State::Paid, amount, .. }) => ("booked", amount),
            Ok(Ordered { outcome: Some(RefundOutcome::Refused(fault)), .. }) => return Err(fault),
            Ok(Ordered { amount, .. }) => ("pending", amount),
            Err((amount, fault)) => {
                tracing::info!(refund = %id, %fault, "the refund is not final yet");
                self.pending.notify_one();
                ("pending", amount)
            }
        };
        Ok(Refunded { refund: id, order, amount: amount.to_string(), currency, state })
    }

    async fn send_refund(&self, ordered: Ordered) -> Result<Ordered, (Amount, Fault)> {
        let amount = ordered.amount;
        self.ask_refund(ordered).await.map_err(|fault| (amount, fault))
    }

    async fn ask_refund(&self, ordered: Ordered) -> Result<Ordered, Fault> {
        let (network, bank) = (&*self.seams.network, self.bank());
        let path = "/v1/refund";
        let called =
            call_within(network, &bank, Caller::Certified, path, &ordered.item, REFUND_TIMEOUT).await;
        let outcome: RefundOutcome = match called {
            Ok(outcome) => outcome,
            Err(CallError::Fault(fault)) if is_verdict(fault.code) => RefundOutcome::Refused(fault),
            Err(error) => return Err(error.into()),
        };
        let id = ordered.refund;
        let work = move |tx: &mut dyn Tx| -> Result<Ordered, Failure> {
            let mut ordered = find_refund(tx, &id)?.ok_or_else(|| corrupt("it is gone"))?;
            if ordered.state == State::Pending {
                ordered.state = match &outcome {
                    RefundOutcome::Booked => State::Paid,
                    RefundOutcome::Refused(_) => State::Refused,
                };
                ordered.outcome = Some(outcome.clone());
                tx.update(&REFUND, &ordered.values()?)?;
            }
            Ok(ordered)
        };
        Ok(self.seams.store.commit("merchant.refund.outcome", work).await?)
    }

    /// Goes on with pending refunds, those first that were not tried for longest. Answers whether one became final or none is left.
    pub(crate) async fn resume_refunds(&self) -> Result<bool, Fault> {
        let sql = format!(
            "SELECT {} FROM {} WHERE state = 0 ORDER BY tried, created, refund LIMIT ?1",
            REFUND.column_list(),
            REFUND.name
        );
        let read = move |tx: &mut dyn Tx| -> Result<Vec<Ordered>, Failure> {
            tx.select(&sql, &[ROUND.into()])?.iter().map(Ordered::from_row).collect()
        };
        let waiting: Vec<Ordered> = self.seams.store.read(read).await?;
        let mut progress = waiting.is_empty();
        for ordered in waiting {
            self.note_refund_try(ordered.refund).await?;
            match self.ask_refund(ordered).await {
                Ok(_) => progress = true,
                Err(fault) if fault.code == Code::NodeUnreachable => break,
                Err(fault) => tracing::debug!(%fault, "a refund waits"),
            }
        }
        Ok(progress)
    }

    async fn note_refund_try(&self, refund: Digest) -> Result<(), Fault> {
        let now = self.seams.clock.now().seconds();
        let work = move |tx: &mut dyn Tx| -> Result<(), Failure> {
            let mut ordered = find_refund(tx, &refund)?.ok_or_else(|| corrupt("it is gone"))?;
            ordered.tried = now;
            Ok(tx.update(&REFUND, &ordered.values()?)?)
        };
        Ok(self.seams.store.commit("merchant.refund.try", work).await?)
    }
}

fn too_late(order: &str) -> Fault {
    Fault::new(Code::Expired, format!("the time in which order {order} could be refunded is over"))
        .hint("the customer's wallet no longer looks for a refund: pay the customer back by a transfer, or with coins")
}

fn exceeded(rest: Minor, currency: Currency) -> Fault {
    let rest = Amount::new(rest, currency);
    Fault::new(Code::RefundExceeded, format!("{rest} {currency} of this payment is left to refund"))
}

/// Adds the row, if what is left of the payment still allows it.
fn remember(tx: &mut dyn Tx, fresh: &Ordered, paid: Minor) -> Result<Ordered, Failure> {
    let rest = paid.checked_sub(given_back(tx, &fresh.payment)?).unwrap_or(Minor::ZERO);
    if fresh.amount.minor > rest {
        return Err(exceeded(rest, fresh.amount.currency).into());
    }
    tx.insert(&REFUND, &fresh.values()?)?;
    Ok(fresh.clone())
}
