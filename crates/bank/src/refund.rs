//! Refunds: the payee's bank debits the payee, the issuing bank books a claim on the payment.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment, presentment_id};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_node::Peer;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::refund::{RefundItem, RefundOutcome};
use feiqian_online_cash::request::Route;
use feiqian_pki::{Purpose, Revocation};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use crate::Bank;
use crate::accounts::{Holder, open_account};
use crate::chart::{Event, Post, along, id};
use crate::outbox::{PresentmentRow, State};
use crate::payments::{PaymentRow, check_refused, keep_refusal};
use crate::refusal::{Refusal, to_blob};
use crate::remittance::check_cover;
use crate::tables::REFUND;

/// The path of a refund's money through the issuing bank's book.
#[derive(Clone, Copy)]
enum Payer {
    /// A customer of this bank.
    Own(Id16),
    /// Another bank, through the center.
    Clearing,
}

impl Bank {
    /// `POST /v1/refund`.
    pub(crate) async fn refund(
        self: Arc<Self>,
        peer: Peer,
        item: RefundItem,
    ) -> Result<RefundOutcome, Fault> {
        let holder = self.holder(&peer).await?;
        self.check_order(&holder, &item).await?;
        let order = item.order.digest();
        let presentment = presentment_id(self.name(), holder.token.as_str(), ItemKind::Refund, &order);
        if item.order.issuing_bank == self.config.name {
            return match self.book_refund(item, presentment, Payer::Own(holder.account)).await {
                Ok(()) => Ok(RefundOutcome::Booked),
                Err(Refusal::Fault(fault)) if fault.is_definitive() => Ok(RefundOutcome::Refused(fault)),
                Err(refusal) => Err(refusal.into()),
            };
        }
        self.present_refund(&holder, item, presentment).await?;
        match self.forward(presentment).await {
            Ok(Some(row)) => row.refund_outcome(),
            other => {
                if let Err(fault) = other {
                    tracing::debug!(%fault, %presentment, "refund not final yet");
                }
                self.outbox.notify_one();
                Err(Fault::new(Code::Unavailable, "the refund is stored and on its way; it is not final yet")
                    .hint("send the same order again to learn more"))
            }
        }
    }

    /// What the ordering payee's bank checks: the order is the caller's, and the payment came to the caller's account.
    async fn check_order(self: &Arc<Self>, holder: &Holder, item: &RefundItem) -> Result<(), Fault> {
        let (order, receipt) = (&item.order, &item.receipt);
        order.verify(&holder.signing_key)?;
        if receipt.payment != order.payment || receipt.bank != order.issuing_bank {
            return Err(Rejection::RequestMismatch.into());
        }
        match &receipt.route {
            Route::Account { bank, account } if *bank == self.config.name && *account == holder.token => {}
            _ => return Err(Rejection::WrongRoute.into()),
        }
        if order.amount.currency != receipt.amount.currency || order.amount.currency != self.config.currency {
            return Err(Rejection::WrongCurrency.into());
        }
        if order.amount.minor > receipt.amount.minor {
            return Err(exceeded());
        }
        let until = receipt.paid_at.saturating_add(self.config.keep_seconds);
        if until <= self.now_presented()
            || receipt.paid_at.seconds() <= self.presented.load(Ordering::Acquire)
        {
            let (expired, now) = (until.seconds(), self.now().seconds());
            return Err(Rejection::Expired { expired, now }.into());
        }
        self.verify_receipt(receipt).await
    }

    async fn present_refund(
        self: &Arc<Self>,
        holder: &Holder,
        item: RefundItem,
        id: Digest,
    ) -> Result<(), Fault> {
        let (amount, refund, bank) = (item.order.amount, item.order.refund, item.order.issuing_bank.clone());
        let order = item.order.digest();
        let presentment = Presentment::new(
            self.config.name.clone(),
            holder.token.clone(),
            amount,
            ItemKind::Refund,
            &order,
            item,
        );
        let now = self.now().seconds();
        let row = PresentmentRow {
            id,
            kind: ItemKind::Refund,
            account: holder.account,
            reference: refund,
            bank: bank.as_str().to_owned(),
            amount: amount.minor,
            expires: Timestamp::MAX,
            body: to_blob(&presentment).map_err(Refusal::from)?,
            state: State::Pending,
            outcome: None,
            created: now,
            tried: 0,
        };
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, row.account)?;
            if PresentmentRow::find(tx, &row.id)?.is_some() {
                return Ok(());
            }
            row.insert_new(tx)?;
            let _ = book::transfer(tx, &row.refund_reserve(), now)?;
            check_cover(tx)
        };
        Ok(self.seams.store.commit("bank.refund.present", work).await?)
    }

    /// `POST /v1/pay/refund`: the issuing side; the caller is the center.
    pub(crate) async fn pay_refund(
        self: Arc<Self>,
        _peer: Peer,
        presentment: Presentment<RefundItem>,
    ) -> Result<Presented<RefundOutcome>, Fault> {
        let id = presentment.id;
        let (payment, refund, order) =
            (presentment.item.order.payment, presentment.item.order.refund, presentment.item.order.digest());
        let known = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                Ok::<_, Refusal>(tx.find(&REFUND, &[payment.into(), refund.into()])?)
            })
            .await?;
        if let Some(known) = known
            && known.digest(2).map_err(Refusal::from)? == order
            && known.digest(4).map_err(Refusal::from)? == id
        {
            // Booked before: the payee's certificate may have ended since.
            return Ok(Presented { id, outcome: RefundOutcome::Booked });
        }
        let consistent = presentment.is_consistent(ItemKind::Refund, &order);
        let booked = match self.check_refund(&presentment).await {
            Ok(()) => self.book_refund(presentment.item, id, Payer::Clearing).await,
            Err(fault) => Err(fault.into()),
        };
        let outcome = match booked {
            Ok(()) => RefundOutcome::Booked,
            Err(refusal) => {
                let fault = Fault::from(refusal);
                if !fault.is_definitive() {
                    return Err(fault);
                }
                let key = [payment.into(), refund.into()];
                // As with payments: final before it is told, unless the id is another order's.
                if consistent {
                    self.refuse_refund(key, order, id, fault).await?
                } else {
                    RefundOutcome::Refused(fault)
                }
            }
        };
        Ok(Presented { id, outcome })
    }

    async fn refuse_refund(
        self: &Arc<Self>,
        key: [Value; 2],
        order: Digest,
        id: Digest,
        fault: Fault,
    ) -> Result<RefundOutcome, Fault> {
        let work = move |tx: &mut dyn Tx| {
            if let Some(known) = tx.find(&REFUND, &key)?
                && known.digest(2)? == order
                && known.digest(4)? == id
            {
                return Ok(RefundOutcome::Booked);
            }
            Ok::<_, Refusal>(RefundOutcome::Refused(keep_refusal(tx, &id, &fault)?))
        };
        Ok(self.seams.store.commit("bank.pay.refused", work).await?)
    }

    async fn check_refund(self: &Arc<Self>, presentment: &Presentment<RefundItem>) -> Result<(), Fault> {
        let (order, receipt) = (&presentment.item.order, &presentment.item.receipt);
        if !presentment.is_consistent(ItemKind::Refund, &order.digest()) || presentment.amount != order.amount
        {
            return Err(Rejection::Malformed("the presentment is not that of this order").into());
        }
        if order.issuing_bank != self.config.name || receipt.bank != self.config.name {
            return Err(Rejection::WrongBank(order.issuing_bank.to_string()).into());
        }
        let collecting = &presentment.collecting_bank;
        match &receipt.route {
            Route::Account { bank, account }
                if bank == collecting && *account == presentment.account && *bank != self.config.name => {}
            _ => return Err(Rejection::WrongRoute.into()),
        }
        let chain = presentment.item.payee.to_chain()?;
        let payee = feiqian_pki::validate(
            &chain,
            &self.root,
            Purpose::Signing,
            Revocation::Unchecked,
            self.now().seconds(),
        )
        .map_err(|error| Fault::new(Code::CertificateInvalid, error.to_string()))?;
        if payee.subject.bank_name() != Some(collecting.as_str())
            || payee.subject.name() != presentment.account.as_str()
        {
            return Err(Fault::new(Code::CertificateInvalid, "the order is not signed by the payee"));
        }
        Ok(order.verify(&payee.public_key)?)
    }

    /// Books the claim and its money, once a refund id.
    async fn book_refund(
        self: &Arc<Self>,
        item: RefundItem,
        presentment: Digest,
        payer: Payer,
    ) -> Result<(), Refusal> {
        let (now, currency) = (self.now().seconds(), self.config.currency);
        let point = match payer {
            Payer::Own(_) => "bank.refund.own",
            Payer::Clearing => "bank.pay.refund",
        };
        let work = move |tx: &mut dyn Tx| {
            let order = &item.order;
            let digest = order.digest();
            if let Some(known) = tx.find(&REFUND, &[order.payment.into(), order.refund.into()])? {
                return if known.digest(2)? == digest {
                    Ok(())
                } else {
                    Err(Fault::new(Code::Conflict, "the refund id was used for another order").into())
                };
            }
            check_refused(tx, &presentment)?;
            let unknown = || Fault::new(Code::NotFound, "no such payment was redeemed here");
            let mut payment = PaymentRow::find(tx, &order.payment)?.ok_or_else(unknown)?;
            // The receipt shown must be the one given: its presentment and route are what the refund goes back along.
            if payment.receipt.digest() != item.receipt.digest() || order.amount.currency != currency {
                return Err(Rejection::RequestMismatch.into());
            }
            let amount = order.amount.minor;
            payment.refunded = payment.refunded.checked_add(amount)?;
            if payment.refunded > payment.amount {
                return Err(exceeded().into());
            }
            payment.update(tx)?;
            let body = to_blob(&item)?;
            tx.insert(
                &REFUND,
                &[
                    order.payment.into(),
                    order.refund.into(),
                    digest.into(),
                    amount.into(),
                    presentment.into(),
                    body.into(),
                ],
            )?;
            let transfers = match payer {
                Payer::Own(account) => {
                    open_account(tx, account)?;
                    along(Event::RefundOwn, &presentment, &[account, id(Post::RefundsPayable)], amount)
                }
                Payer::Clearing => {
                    let path = [id(Post::Settlement), id(Post::DueFromClearing), id(Post::RefundsPayable)];
                    along(Event::RefundReceive, &presentment, &path, amount)
                }
            };
            let _ = book::transfer(tx, &transfers, now)?;
            Ok::<_, Refusal>(())
        };
        self.seams.store.commit(point, work).await
    }
}

fn exceeded() -> Fault {
    Fault::new(Code::RefundExceeded, "more than was paid, or than is left to refund")
}

/// The order under which a refund was booked, for the audit.
pub(crate) fn stored_item(bytes: &[u8]) -> Result<RefundItem, StoreError> {
    crate::refusal::from_blob(bytes)
}
