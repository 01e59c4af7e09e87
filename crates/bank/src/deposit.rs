//! Deposits: collecting for the bank's customers, and redeeming for the center.

use std::sync::Arc;

use feiqian_clearing::presentment::{Answers, Batch, ItemKind, Presented, Presentment, presentment_id};
use feiqian_crypto::Digest;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_node::{Peer, answer_batch};
use feiqian_online_cash::Rejection;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt};
use feiqian_online_cash::payment::VerifiedPayment;
use feiqian_online_cash::request::Route;
use feiqian_wire::Timestamp;
use feiqian_wire::error::Fault;

use crate::Bank;
use crate::accounts::{Claimed, Holder, count};
use crate::chart::{Event, Post, along, id, transfer_id};
use crate::outbox::{PresentmentRow, State};
use crate::payments::{PaymentRow, keep_refusal, outcome_of, refused};
use crate::refusal::{Refusal, to_blob};
use crate::register::keep_evidence;

impl Bank {
    /// `POST /v1/deposit`.
    ///
    /// A sound payment costs one transaction and no other look at the books. Everything else looks first: a repeat is
    /// answered whatever became of keys and certificates since.
    pub(crate) async fn deposit(
        self: Arc<Self>,
        peer: Peer,
        item: CashItem,
    ) -> Result<DepositResponse, Fault> {
        let (claimed, item) = (self.claimed(&peer)?, Arc::new(item));
        let digest = item.payment.digest();
        let id = presentment_id(self.name(), claimed.token.as_str(), ItemKind::Payment, &digest);
        let (now, expires) = (self.now_presented(), item.request.request.expires);
        let refused = if now < expires {
            match self.check_deposit(&item, &claimed).await {
                Ok(payment) => return self.take_deposit(claimed, &item, &payment, id).await,
                Err(fault) => Err(fault),
            }
        } else {
            Ok(Rejection::Expired { expired: expires.seconds(), now: now.seconds() })
        };
        let (holder, known) = self.known_deposit(claimed, id, digest).await?;
        if let Some(answer) = known {
            return Ok(answer);
        }
        holder.check_current()?;
        Ok(DepositResponse::Final(Outcome::Refused(refused?.into())))
    }

    /// Everything about a deposit that the books do not decide: it is sound, for the depositor's account, and in the
    /// bank's currency.
    async fn check_deposit(
        self: &Arc<Self>,
        item: &Arc<CashItem>,
        claimed: &Claimed,
    ) -> Result<Box<VerifiedPayment>, Fault> {
        let payment = self.verify_item(item).await?;
        match &payment.request.request.route {
            Route::Account { bank, account } if *bank == self.config.name && *account == claimed.token => {}
            _ => return Err(Rejection::WrongRoute.into()),
        }
        if payment.request.request.amount.currency != self.config.currency {
            return Err(Rejection::WrongCurrency.into());
        }
        Ok(payment)
    }

    async fn take_deposit(
        self: &Arc<Self>,
        claimed: Claimed,
        item: &CashItem,
        payment: &VerifiedPayment,
        id: Digest,
    ) -> Result<DepositResponse, Fault> {
        if payment.issuing_bank == self.config.name {
            return self.deposit_own(claimed, item, payment, id).await.map(DepositResponse::Final);
        }
        let row = self.present_payment(claimed, item, payment, id).await?;
        let expires = row.expires;
        self.pending_or_final(id, expires, self.forward_row(row).await)
    }

    /// The account's holder, and the answer to a deposit that was made before; `None` for a new one. The id is made from
    /// the holder's account; whether that is still open makes no difference to what was paid.
    async fn known_deposit(
        self: &Arc<Self>,
        claimed: Claimed,
        id: Digest,
        digest: Digest,
    ) -> Result<(Holder, Option<DepositResponse>), Fault> {
        let read = move |tx: &mut dyn Tx| {
            let holder = claimed.holder(tx)?;
            Ok::<_, Refusal>((holder, PresentmentRow::find(tx, &id)?, PaymentRow::find(tx, &digest)?))
        };
        let (holder, presented, paid) = self.seams.store.read(read).await?;
        let answer = match (presented, paid) {
            (Some(row), _) => Some(self.forwarded(id, row.expires).await?),
            (None, Some(row)) if row.presentment == id => {
                Some(DepositResponse::Final(Outcome::Paid(row.receipt)))
            }
            _ => None,
        };
        Ok((holder, answer))
    }

    /// Asks the center once more unless the outcome is known.
    async fn forwarded(self: &Arc<Self>, id: Digest, expires: Timestamp) -> Result<DepositResponse, Fault> {
        let forwarded = self.forward(id).await;
        self.pending_or_final(id, expires, forwarded)
    }

    fn pending_or_final(
        &self,
        id: Digest,
        expires: Timestamp,
        forwarded: Result<Option<PresentmentRow>, Fault>,
    ) -> Result<DepositResponse, Fault> {
        match forwarded {
            Ok(Some(row)) => Ok(DepositResponse::Final(row.payment_outcome()?)),
            Ok(None) => Ok(DepositResponse::Pending { presentment: id, expires }),
            Err(fault) => {
                tracing::debug!(%fault, presentment = %id, "not final yet");
                self.outbox.notify_one();
                Ok(DepositResponse::Pending { presentment: id, expires })
            }
        }
    }

    /// Coins of this bank for an account of this bank: one transaction, and nothing at the center.
    async fn deposit_own(
        self: &Arc<Self>,
        claimed: Claimed,
        item: &CashItem,
        payment: &VerifiedPayment,
        presentment: Digest,
    ) -> Result<Outcome, Fault> {
        let now = self.now();
        let account = claimed.account;
        let redemption = self.redemption(item, payment, presentment, now)?;
        let own = redemption.receipt.clone();
        let digest = payment.digest;
        self.look_ahead(&redemption, vec![transfer_id(Event::DepositOwn, 0, &digest)]);
        let view = self.members.snapshot();
        let work = move |tx: &mut dyn Tx| {
            // Who may not deposit gets a fault; that says nothing about the payment, and is no outcome of it.
            let holder = match claimed.holder(tx) {
                Ok(holder) => holder,
                Err(refusal) => return Ok(Err(refusal.into())),
            };
            let earlier = match holder.barred {
                None => redemption.redeem(tx, &view, now)?,
                Some(barred) => match redemption.repeated(tx)? {
                    // What was paid to the account stays so; nothing new is.
                    Some(receipt) => Some(receipt),
                    None => return Ok(Err(barred)),
                },
            };
            if earlier.is_none() {
                let amount = redemption.receipt.amount.minor;
                let path = [id(Post::Circulation), account];
                let _ = book::transfer(tx, &along(Event::DepositOwn, &digest, &path, amount), now.seconds())?;
                count(tx, account, Minor::ZERO, amount)?;
            }
            Ok::<_, Refusal>(Ok(earlier))
        };
        match self.seams.store.commit("bank.deposit.own", work).await {
            Ok(Ok(earlier)) => Ok(outcome_of(earlier, &own)),
            Ok(Err(fault)) => Err(fault),
            Err(refusal) => self.record_refusal(digest, refusal).await,
        }
    }

    /// Keeps the evidence of a double spend; gives the refusal as an outcome when it is final.
    async fn record_refusal(self: &Arc<Self>, payment: Digest, refusal: Refusal) -> Result<Outcome, Fault> {
        if let Refusal::DoubleSpent(evidence) = &refusal {
            let (evidence, now) = (evidence.clone(), self.now());
            metrics::counter!("feiqian_bank_double_spends_total").increment(1);
            self.seams
                .store
                .commit("bank.pay.evidence", move |tx: &mut dyn Tx| {
                    Ok::<_, Refusal>(keep_evidence(tx, &payment, &evidence, now)?)
                })
                .await?;
        }
        refused(refusal)
    }

    /// Writes the presentment down before anybody is asked; gives it as it stands, if it was written before.
    async fn present_payment(
        self: &Arc<Self>,
        claimed: Claimed,
        item: &CashItem,
        payment: &VerifiedPayment,
        id: Digest,
    ) -> Result<PresentmentRow, Fault> {
        let request = &payment.request.request;
        let presentment = Presentment::new(
            self.config.name.clone(),
            claimed.token.clone(),
            request.amount,
            ItemKind::Payment,
            &payment.digest,
            item.clone(),
        );
        let row = PresentmentRow {
            id,
            kind: ItemKind::Payment,
            account: claimed.account,
            reference: payment.digest,
            bank: payment.issuing_bank.as_str().to_owned(),
            amount: request.amount.minor,
            expires: request.expires,
            body: to_blob(&presentment).map_err(Refusal::from)?,
            state: State::Pending,
            outcome: None,
            created: self.now().seconds(),
            tried: 0,
        };
        let work = move |tx: &mut dyn Tx| {
            let holder = claimed.holder(tx)?;
            if let Some(known) = PresentmentRow::find(tx, &id)? {
                return Ok(known);
            }
            holder.check_current()?;
            row.insert_new(tx)?;
            Ok::<_, Refusal>(row.clone())
        };
        Ok(self.seams.store.commit("bank.deposit.present", work).await?)
    }

    /// `POST /v1/pay/payment`: the issuing side; the caller is the center.
    pub(crate) async fn pay_payment(
        self: Arc<Self>,
        _peer: Peer,
        presentment: Presentment<CashItem>,
    ) -> Result<Presented<Outcome>, Fault> {
        let (id, digest) = (presentment.id, presentment.item.payment.digest());
        let outcome = match self.check_shape(&presentment, &digest) {
            Err(rejection) => Outcome::Refused(rejection.into()),
            Ok(()) => match self.check_presentment(&presentment).await {
                Ok(payment) => self.pay(&presentment, &payment).await?,
                // What was redeemed before was so for ever, whatever became of keys and certificates since.
                Err(refusal) => match self.redeemed(digest).await? {
                    Some(receipt) if receipt.presentment == id => Outcome::Paid(receipt),
                    Some(receipt) => Outcome::AlreadyPaid(receipt),
                    None => refused(refusal)?,
                },
            },
        };
        let outcome = match outcome {
            Outcome::Refused(fault) => self.refuse_payment(&presentment, fault).await?,
            outcome => outcome,
        };
        Ok(Presented { id, outcome })
    }

    /// `POST /v1/pay/payments`: several at a time, each by itself.
    pub(crate) async fn pay_payments(
        self: Arc<Self>,
        peer: Peer,
        batch: Batch<CashItem>,
    ) -> Result<Answers<Outcome>, Fault> {
        answer_batch(batch, |presentment| Arc::clone(&self).pay_payment(peer.clone(), presentment)).await
    }

    /// Makes a refusal final before it is told: a call made earlier may still wait to be written, and must then find it.
    async fn refuse_payment(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
        fault: Fault,
    ) -> Result<Outcome, Fault> {
        let (id, digest) = (presentment.id, presentment.item.payment.digest());
        if !presentment.is_consistent(ItemKind::Payment, &digest) {
            // The id is another item's, which must not suffer.
            return Ok(Outcome::Refused(fault));
        }
        let work = move |tx: &mut dyn Tx| {
            if let Some(known) = PaymentRow::find(tx, &digest)? {
                let same = known.presentment == id;
                return Ok(if same {
                    Outcome::Paid(known.receipt)
                } else {
                    Outcome::AlreadyPaid(known.receipt)
                });
            }
            Ok::<_, Refusal>(Outcome::Refused(keep_refusal(tx, &id, &fault)?))
        };
        Ok(self.seams.store.commit("bank.pay.refused", work).await?)
    }

    /// Is it the presentment it says it is, of another bank?
    fn check_shape(&self, presentment: &Presentment<CashItem>, digest: &Digest) -> Result<(), Rejection> {
        if !presentment.is_consistent(ItemKind::Payment, digest) {
            return Err(Rejection::Malformed("the presentment id is not that of this item"));
        }
        if presentment.collecting_bank == self.config.name {
            return Err(Rejection::WrongRoute);
        }
        Ok(())
    }

    /// The receipt of a payment that was redeemed before.
    pub(crate) async fn redeemed(&self, payment: Digest) -> Result<Option<Receipt>, Fault> {
        let read = move |tx: &mut dyn Tx| Ok::<_, Refusal>(PaymentRow::find(tx, &payment)?);
        Ok(self.seams.store.read(read).await?.map(|known| known.receipt))
    }

    /// Full verification again: neither the center nor the collecting bank is believed.
    async fn check_presentment(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
    ) -> Result<Box<VerifiedPayment>, Refusal> {
        let payment = self.verify_own(&Arc::new(presentment.item.clone())).await?;
        let request = &payment.request.request;
        match &request.route {
            Route::Account { bank, account }
                if *bank == presentment.collecting_bank && *account == presentment.account => {}
            _ => return Err(Rejection::WrongRoute.into()),
        }
        if request.amount != presentment.amount {
            return Err(Rejection::AmountMismatch("the presentment is of another amount").into());
        }
        Ok(payment)
    }

    async fn pay(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
        payment: &VerifiedPayment,
    ) -> Result<Outcome, Fault> {
        let now = self.now();
        let redemption = self.redemption(&presentment.item, payment, presentment.id, now)?;
        let own = redemption.receipt.clone();
        let (view, reference) = (self.members.snapshot(), presentment.id);
        self.look_ahead(&redemption, [0, 1].map(|leg| transfer_id(Event::Redeem, leg, &reference)).to_vec());
        let work = move |tx: &mut dyn Tx| {
            let earlier = redemption.redeem(tx, &view, now)?;
            if earlier.is_none() {
                let path = [id(Post::Circulation), id(Post::DueToClearing), id(Post::Settlement)];
                let transfers = along(Event::Redeem, &reference, &path, redemption.receipt.amount.minor);
                let _ = book::transfer(tx, &transfers, now.seconds())?;
            }
            Ok::<_, Refusal>(earlier)
        };
        match self.seams.store.commit("bank.pay.payment", work).await {
            Ok(earlier) => Ok(outcome_of(earlier, &own)),
            Err(refusal) => self.record_refusal(payment.digest, refusal).await,
        }
    }
}
