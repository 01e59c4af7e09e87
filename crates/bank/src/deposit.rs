//! Deposits: collecting for the bank's customers, and redeeming for the center.

use std::sync::Arc;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment, presentment_id};
use feiqian_crypto::Digest;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_online_cash::payment::VerifiedPayment;
use feiqian_online_cash::request::Route;
use feiqian_wire::error::{Code, Fault};

use crate::Bank;
use crate::accounts::{Holder, count, open_account};
use crate::chart::{Event, Post, along, id};
use crate::outbox::PresentmentRow;
use crate::payments::{PaymentRow, keep_refusal, outcome_of, refused};
use crate::refusal::{Refusal, to_blob};
use crate::register::keep_evidence;

impl Bank {
    /// `POST /v1/deposit`.
    pub(crate) async fn deposit(
        self: Arc<Self>,
        peer: Peer,
        item: CashItem,
    ) -> Result<DepositResponse, Fault> {
        let holder = self.owner(&peer).await?;
        let digest = item.payment.digest();
        let id = presentment_id(self.name(), holder.token.as_str(), ItemKind::Payment, &digest);
        if let Some(answer) = self.known_deposit(id, digest).await? {
            return Ok(answer);
        }
        holder.check_current()?;
        let (now, expires) = (self.now(), item.request.request.expires);
        if now >= expires {
            let expired = Rejection::Expired { expired: expires.seconds(), now: now.seconds() };
            return Ok(DepositResponse::Final(Outcome::Refused(expired.into())));
        }
        let payment = self.verify_item(&item, now).await?;
        match &payment.request.request.route {
            Route::Account { bank, account } if *bank == self.config.name && *account == holder.token => {}
            _ => return Err(Rejection::WrongRoute.into()),
        }
        if payment.request.request.amount.currency != self.config.currency {
            return Err(Rejection::WrongCurrency.into());
        }
        if payment.issuing_bank == self.config.name {
            return self.deposit_own(&holder, &item, &payment, id).await.map(DepositResponse::Final);
        }
        if let Err(expired) = payment.request.check_open(now) {
            return Ok(DepositResponse::Final(Outcome::Refused(expired.into())));
        }
        let expires = payment.request.request.expires;
        self.present_payment(&holder, item, &payment, id).await?;
        self.forwarded(id, expires).await
    }

    /// The answer to a deposit that was made before; `None` for a new one. The id is made from the holder's account; whether
    /// that is still open makes no difference to what was paid.
    async fn known_deposit(
        self: &Arc<Self>,
        id: Digest,
        digest: Digest,
    ) -> Result<Option<DepositResponse>, Fault> {
        let (presented, paid) = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| {
                Ok::<_, Refusal>((PresentmentRow::find(tx, &id)?, PaymentRow::find(tx, &digest)?))
            })
            .await?;
        match (presented, paid) {
            (Some(row), _) => self.forwarded(id, row.expires).await.map(Some),
            (None, Some(row)) if row.presentment == id => {
                Ok(Some(DepositResponse::Final(Outcome::Paid(row.receipt))))
            }
            _ => Ok(None),
        }
    }

    /// Asks the center once more unless the outcome is known.
    async fn forwarded(
        self: &Arc<Self>,
        id: Digest,
        expires: feiqian_wire::Timestamp,
    ) -> Result<DepositResponse, Fault> {
        match self.forward(id).await {
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
        holder: &Holder,
        item: &CashItem,
        payment: &VerifiedPayment,
        presentment: Digest,
    ) -> Result<Outcome, Fault> {
        let now = self.now();
        let account = holder.account;
        let redemption = self.redemption(item, payment, presentment, now)?;
        let own = redemption.receipt.clone();
        let digest = payment.digest;
        let view = self.members.snapshot();
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, account)?;
            let earlier = redemption.redeem(tx, &view, now)?;
            if earlier.is_none() {
                let amount = redemption.receipt.amount.minor;
                let path = [id(Post::Circulation), account];
                let _ = book::transfer(tx, &along(Event::DepositOwn, &digest, &path, amount), now.seconds())?;
                count(tx, account, Minor::ZERO, amount)?;
            }
            Ok::<_, Refusal>(earlier)
        };
        match self.seams.store.commit("bank.deposit.own", work).await {
            Ok(earlier) => Ok(outcome_of(earlier, &own)),
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

    /// Writes the presentment down before anybody is asked.
    async fn present_payment(
        self: &Arc<Self>,
        holder: &Holder,
        item: CashItem,
        payment: &VerifiedPayment,
        id: Digest,
    ) -> Result<(), Fault> {
        let request = &payment.request.request;
        let presentment = Presentment::new(
            self.config.name.clone(),
            holder.token.clone(),
            request.amount,
            ItemKind::Payment,
            &payment.digest,
            item,
        );
        let row = PresentmentRow {
            id,
            kind: ItemKind::Payment,
            account: holder.account,
            reference: payment.digest,
            bank: payment.issuing_bank.as_str().to_owned(),
            amount: request.amount.minor,
            expires: request.expires,
            body: to_blob(&presentment).map_err(Refusal::from)?,
            state: crate::outbox::State::Pending,
            outcome: None,
            created: self.now().seconds(),
            tried: 0,
        };
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, row.account)?;
            row.insert_new(tx)
        };
        Ok(self.seams.store.commit("bank.deposit.present", work).await?)
    }

    /// `POST /v1/pay/payment`: the issuing side; the caller is the center.
    pub(crate) async fn pay_payment(
        self: Arc<Self>,
        _peer: Peer,
        presentment: Presentment<CashItem>,
    ) -> Result<Presented<Outcome>, Fault> {
        let id = presentment.id;
        let outcome = match self.check_presentment(&presentment).await {
            Ok(payment) => self.pay(&presentment, payment).await?,
            Err(refusal) => refused(refusal)?,
        };
        let outcome = match outcome {
            Outcome::Refused(fault) => self.refuse_payment(&presentment, fault).await?,
            outcome => outcome,
        };
        Ok(Presented { id, outcome })
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

    /// Full verification again: neither the center nor the collecting bank is believed. `None` for a payment redeemed before,
    /// whose keys may have expired since.
    async fn check_presentment(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
    ) -> Result<Option<VerifiedPayment>, Refusal> {
        let digest = presentment.item.payment.digest();
        if !presentment.is_consistent(ItemKind::Payment, &digest) {
            return Err(Rejection::Malformed("the presentment id is not that of this item").into());
        }
        if presentment.collecting_bank == self.config.name {
            return Err(Rejection::WrongRoute.into());
        }
        let known = self
            .seams
            .store
            .read(move |tx: &mut dyn Tx| Ok::<_, Refusal>(PaymentRow::find(tx, &digest)?))
            .await?;
        if known.is_some() {
            return Ok(None);
        }
        let payment = self.verify_own(&presentment.item, self.now()).await?;
        let request = &payment.request.request;
        match &request.route {
            Route::Account { bank, account }
                if *bank == presentment.collecting_bank && *account == presentment.account => {}
            _ => return Err(Rejection::WrongRoute.into()),
        }
        if request.amount != presentment.amount {
            return Err(Rejection::AmountMismatch("the presentment is of another amount").into());
        }
        Ok(Some(payment))
    }

    async fn pay(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
        payment: Option<VerifiedPayment>,
    ) -> Result<Outcome, Fault> {
        let now = self.now();
        let Some(payment) = payment else {
            let digest = presentment.item.payment.digest();
            let known = self
                .seams
                .store
                .read(move |tx: &mut dyn Tx| Ok::<_, Refusal>(PaymentRow::find(tx, &digest)?))
                .await?;
            let receipt =
                known.ok_or_else(|| Fault::new(Code::Internal, "a redeemed payment is gone"))?.receipt;
            let same = receipt.presentment == presentment.id;
            return Ok(if same { Outcome::Paid(receipt) } else { Outcome::AlreadyPaid(receipt) });
        };
        let redemption = self.redemption(&presentment.item, &payment, presentment.id, now)?;
        let own = redemption.receipt.clone();
        let (view, reference) = (self.members.snapshot(), presentment.id);
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
