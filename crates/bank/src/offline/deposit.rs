//! Deposits of offline payments: collecting for the bank's customers, and redeeming for the center.

use std::sync::Arc;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment, presentment_id};
use feiqian_crypto::Digest;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, StoreExt, Tx};
use feiqian_node::{Deposited, Peer};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::deposit::{Outcome, Receipt};
use feiqian_offline_cash::messages::{DepositRequest, DepositResponse};
use feiqian_offline_cash::pay::{CashItem, Checker, VerifiedPayment};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::settle::{PaymentRow, Taking};
use crate::Bank;
use crate::accounts::{Holder, open_account};
use crate::chart::{Event, Post, along, id};
use crate::outbox::{PresentmentRow, State};
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::tables::REFUSED;

fn outcome_of(receipt: Receipt, presentment: &Digest) -> Outcome {
    if receipt.terms.presentment == *presentment {
        Outcome::Settled(receipt)
    } else {
        Outcome::Before(receipt)
    }
}

/// A refusal as an outcome, when it is final; otherwise the fault.
fn refused(refusal: Refusal) -> Result<Outcome, Fault> {
    match Fault::from(refusal) {
        fault if fault.is_definitive() => Ok(Outcome::Refused(fault)),
        fault => Err(fault),
    }
}

impl Bank {
    /// `POST /v1/account/offline/deposit`.
    pub(crate) async fn offline_deposit(
        self: Arc<Self>,
        peer: Peer,
        request: DepositRequest,
    ) -> Result<DepositResponse, Fault> {
        let holder = self.owner(&peer).await?;
        let item = request.item;
        let digest = item.digest()?;
        let id = presentment_id(self.name(), holder.token.as_str(), ItemKind::Holding, &digest);
        let work = move |tx: &mut dyn Tx| {
            let presented = PresentmentRow::find(tx, &id)?;
            let sql = "SELECT payment FROM offline_payment WHERE presentment = ?1";
            let payment = tx.select(sql, &[id.into()])?.first().map(|row| row.digest(0)).transpose()?;
            let paid = payment.map(|payment| PaymentRow::find(tx, &payment)).transpose()?.flatten();
            Ok::<_, Refusal>((presented.is_some(), paid))
        };
        match self.seams.store.read(work).await? {
            (true, _) => return self.offline_forwarded(id).await,
            (false, Some(row)) => return Ok(DepositResponse::Final(Outcome::Settled(row.receipt))),
            _ => {}
        }
        holder.check_current()?;
        let payment = match self.verify_offline(&item).await {
            Ok(payment) => payment,
            Err(rejection) => return refused(rejection).map(DepositResponse::Final),
        };
        let asked = &payment.request.request;
        if asked.bank != self.config.name || asked.account != holder.token {
            return Err(Fault::new(Code::WrongRoute, "the request names another account"));
        }
        if asked.amount.currency != self.config.currency {
            return Err(Rejection::WrongCurrency.into());
        }
        if payment.bank == self.config.name {
            let outcome = self.take_own(holder, item, payment, id).await?;
            return Ok(DepositResponse::Final(outcome));
        }
        if let Err(closed) = payment.check_deposit(self.now_presented()) {
            return Ok(DepositResponse::Final(Outcome::Refused(closed.into())));
        }
        self.present_holding(&holder, item, &payment, digest).await?;
        self.offline_forwarded(id).await
    }

    /// Checks a payment; asks the center for news before it refuses a key or payee that it does not know.
    async fn verify_offline(self: &Arc<Self>, item: &CashItem) -> Result<VerifiedPayment, Refusal> {
        let check = || {
            let view = self.members.snapshot();
            let payees = Deposited(&view);
            let checker = Checker { keys: view.offline_keys(), authorities: &payees, now: self.now() };
            checker.verify(item, &mut self.seams.entropy.rng())
        };
        match check() {
            Err(Rejection::KeyUnknown(_) | Rejection::CertificateInvalid(_)) => {
                self.sync().await?;
                match check() {
                    // The payee has given its goods away: a list that has ended must not cost it the money for ever.
                    Err(Rejection::CertificateInvalid(why)) => Err(Fault::new(Code::Unavailable, why).into()),
                    verdict => Ok(verdict?),
                }
            }
            verdict => Ok(verdict?),
        }
    }

    async fn take_own(
        self: &Arc<Self>,
        holder: Holder,
        item: CashItem,
        payment: VerifiedPayment,
        presentment: Digest,
    ) -> Result<Outcome, Fault> {
        let account = holder.account;
        let (bank, view, now) = (Arc::clone(self), self.members.snapshot(), self.now());
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, account)?;
            let taking = Taking {
                bank: &bank,
                view: &view,
                item: &item,
                payment: &payment,
                presentment,
                to: vec![account],
                now,
            };
            taking.take(tx)
        };
        let taken = self.seams.store.commit("bank.offline.deposit", work).await;
        self.after_taking().await;
        taken.map_or_else(refused, |receipt| Ok(outcome_of(receipt, &presentment)))
    }

    /// Claims may have been put on their way, and coins on the exposed list.
    async fn after_taking(self: &Arc<Self>) {
        self.outbox.notify_one();
        if let Err(fault) = self.bring_exposed().await {
            tracing::debug!(%fault, "the center does not have the newest exposed list yet");
        }
    }

    async fn present_holding(
        self: &Arc<Self>,
        holder: &Holder,
        item: CashItem,
        payment: &VerifiedPayment,
        digest: Digest,
    ) -> Result<(), Fault> {
        let amount = payment.request.request.amount;
        let (bank, account) = (self.config.name.clone(), holder.token.clone());
        let presentment = Presentment::new(bank, account, amount, ItemKind::Holding, &digest, item);
        let row = PresentmentRow {
            id: presentment.id,
            kind: ItemKind::Holding,
            account: holder.account,
            reference: digest,
            bank: payment.bank.as_str().to_owned(),
            amount: amount.minor,
            expires: payment.closes(),
            body: to_blob(&presentment).map_err(Refusal::from)?,
            state: State::Pending,
            outcome: None,
            created: self.now().seconds(),
            tried: 0,
        };
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, row.account)?;
            row.insert_new(tx)
        };
        Ok(self.seams.store.commit("bank.offline.present", work).await?)
    }

    /// Asks the center once more unless the outcome is known.
    async fn offline_forwarded(self: &Arc<Self>, id: Digest) -> Result<DepositResponse, Fault> {
        match self.forward(id).await {
            Ok(Some(row)) => Ok(DepositResponse::Final(row.holding_outcome()?)),
            Ok(None) => Ok(DepositResponse::Pending { presentment: id }),
            Err(fault) => {
                tracing::debug!(%fault, presentment = %id, "not final yet");
                self.outbox.notify_one();
                Ok(DepositResponse::Pending { presentment: id })
            }
        }
    }

    pub(crate) async fn ask_holding(
        self: &Arc<Self>,
        row: &PresentmentRow,
    ) -> Result<(State, Vec<u8>), Fault> {
        let presentment: Presentment<CashItem> = from_blob(&row.body).map_err(Refusal::from)?;
        let presented: Presented<Outcome> = self.present("/v1/present/holding", &presentment).await?;
        if presented.id != row.id {
            return Err(Fault::new(Code::Conflict, "the center answered for another presentment"));
        }
        let outcome = match presented.outcome {
            Outcome::Settled(receipt) | Outcome::Before(receipt) => {
                self.check_offline_receipt(row, &presentment, &receipt).await?;
                // Credited only on its own presentment id: the receipt decides, not the word that came with it.
                outcome_of(receipt, &row.id)
            }
            Outcome::Refused(fault) => Outcome::Refused(fault),
        };
        let state = if matches!(outcome, Outcome::Settled(_)) { State::Done } else { State::Refused };
        Ok((state, to_blob(&outcome).map_err(Refusal::from)?))
    }

    async fn check_offline_receipt(
        self: &Arc<Self>,
        row: &PresentmentRow,
        presentment: &Presentment<CashItem>,
        receipt: &Receipt,
    ) -> Result<(), Fault> {
        let terms = &receipt.terms;
        let fits = terms.bank.as_str() == row.bank
            && terms.request == presentment.item.request.request.digest()
            && terms.amount == presentment.amount
            && terms.collecting_bank == self.config.name
            && terms.account == presentment.account;
        if !fits {
            return Err(Fault::new(Code::SignatureInvalid, "the receipt is for another payment"));
        }
        let check = || {
            let signer = self.members.snapshot().receipt_signer(terms.bank.as_str(), terms.at, self.now())?;
            Ok::<(), Fault>(receipt.verify(&signer)?)
        };
        match check() {
            // The key may be newer than what is known here.
            Err(_) if self.sync().await.is_ok() => check(),
            verdict => verdict,
        }
    }

    /// `POST /v1/pay/holding`: the issuing side; the caller is the center.
    pub(crate) async fn pay_holding(
        self: Arc<Self>,
        _peer: Peer,
        presentment: Presentment<CashItem>,
    ) -> Result<Presented<Outcome>, Fault> {
        let id = presentment.id;
        let outcome = match self.check_holding(&presentment).await {
            Ok(payment) => self.take_presented(&presentment, payment).await?,
            Err(refusal) => refused(refusal)?,
        };
        let outcome = match outcome {
            Outcome::Refused(fault) => self.refuse_holding(&presentment, fault).await?,
            outcome => outcome,
        };
        Ok(Presented { id, outcome })
    }

    /// Full verification again: neither the center nor the collecting bank is believed.
    async fn check_holding(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
    ) -> Result<VerifiedPayment, Refusal> {
        let digest = presentment.item.digest()?;
        if !presentment.is_consistent(ItemKind::Holding, &digest) {
            return Err(Rejection::Malformed("the presentment id is not that of this item").into());
        }
        let payment = self.verify_offline(&presentment.item).await?;
        let asked = &payment.request.request;
        if payment.bank != self.config.name || asked.amount.currency != self.config.currency {
            return Err(Rejection::WrongBank(payment.bank.to_string()).into());
        }
        let routed = asked.bank == presentment.collecting_bank
            && asked.account == presentment.account
            && asked.bank != self.config.name;
        if !routed {
            return Err(Fault::new(Code::WrongRoute, "the request names another account").into());
        }
        if asked.amount != presentment.amount {
            return Err(Rejection::AmountMismatch("the presentment is of another amount").into());
        }
        Ok(payment)
    }

    async fn take_presented(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
        payment: VerifiedPayment,
    ) -> Result<Outcome, Fault> {
        let (bank, view, now) = (Arc::clone(self), self.members.snapshot(), self.now());
        let (item, reference) = (presentment.item.clone(), presentment.id);
        let work = move |tx: &mut dyn Tx| {
            let taking = Taking {
                bank: &bank,
                view: &view,
                item: &item,
                payment: &payment,
                presentment: reference,
                to: vec![id(Post::DueToClearing), id(Post::Settlement)],
                now,
            };
            taking.take(tx)
        };
        let taken = self.seams.store.commit("bank.pay.holding", work).await;
        self.after_taking().await;
        taken.map_or_else(refused, |receipt| Ok(outcome_of(receipt, &presentment.id)))
    }

    /// Makes a refusal final before it is told.
    async fn refuse_holding(
        self: &Arc<Self>,
        presentment: &Presentment<CashItem>,
        fault: Fault,
    ) -> Result<Outcome, Fault> {
        let id = presentment.id;
        if !presentment.is_consistent(ItemKind::Holding, &presentment.item.digest()?) {
            // The id is another item's, which must not suffer.
            return Ok(Outcome::Refused(fault));
        }
        let work = move |tx: &mut dyn Tx| {
            let sql = "SELECT payment FROM offline_payment WHERE presentment = ?1";
            if let Some(row) = tx.select(sql, &[id.into()])?.first() {
                let known = PaymentRow::find(tx, &row.digest(0)?)?;
                let receipt = known.ok_or(StoreError::Missing("offline_payment"))?.receipt;
                return Ok(Outcome::Settled(receipt));
            }
            Ok::<_, Refusal>(Outcome::Refused(refuse_for_ever(tx, &id, &fault)?))
        };
        Ok(self.seams.store.commit("bank.pay.refused", work).await?)
    }
}

/// Refuses a presentment for ever; gives the refusal that counts, which is the first. Unlike that of an online payment it goes with
/// no epoch: offline coins live longer than the online keys of the time, and of an item that was refused nobody knows how long.
fn refuse_for_ever(tx: &mut dyn Tx, presentment: &Digest, fault: &Fault) -> Result<Fault, Refusal> {
    if let Some(row) = tx.find(&REFUSED, &[(*presentment).into()])? {
        return Ok(from_blob(row.blob(1)?)?);
    }
    tx.insert(&REFUSED, &[(*presentment).into(), to_blob(fault)?.into(), i64::MAX.into()])?;
    Ok(fault.clone())
}

impl PresentmentRow {
    /// The outcome of an offline payment.
    pub(crate) fn holding_outcome(&self) -> Result<Outcome, Fault> {
        let stored = self
            .outcome
            .as_deref()
            .ok_or_else(|| Fault::new(Code::Internal, "a final presentment has no outcome"))?;
        Ok(from_blob(stored).map_err(Refusal::from)?)
    }

    /// What is credited of a settled offline payment.
    pub(crate) fn book_holding(&self, tx: &mut dyn Tx, now: Timestamp) -> Result<(), Refusal> {
        let Outcome::Settled(receipt) = self.holding_outcome()? else { return Ok(()) };
        let paid = receipt.terms.paid()?;
        if !paid.is_zero() {
            let path = [id(Post::Settlement), id(Post::DueFromClearing), self.account];
            let transfers = along(Event::OfflineCollect, &self.id, &path, paid);
            let _ = book::transfer(tx, &transfers, now.seconds())?;
        }
        Ok(())
    }
}
