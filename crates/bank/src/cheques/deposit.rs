//! The collecting side: a holder's cheque is verified, stored, presented; the credit is pending until it is settled.

use std::sync::Arc;
use std::time::Duration;

use feiqian_cheque::messages::{
    ChequeDeposit, ChequeDepositResponse, ChequeItem, ChequeOutcome, VerifyRequest, VerifyResponse,
};
use feiqian_cheque::{ReturnCode, VerifiedCheque};
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::Digest;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_node::network::call_within;
use feiqian_node::{Caller, Peer};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp};

use super::pay::{Presenting, check_slip};
use crate::Bank;
use crate::accounts::{Holder, open_account};
use crate::chart::{Event, Post, along, id, reserve_along, resolve};
use crate::declined::Message;
use crate::outbox::{PresentmentRow, State};
use crate::refusal::{Refusal, from_blob, to_blob};

/// How long the verification service may take.
const PATIENCE: Duration = Duration::from_secs(15);

impl PresentmentRow {
    /// The payee's pending credit of a paid cheque.
    pub(crate) fn cheque_credit(&self) -> Vec<book::Transfer> {
        let path = [id(Post::DueFromClearing), self.account];
        reserve_along(Event::ChequeCollect, &self.id, &path, self.amount)
    }

    /// What the settlement of a paid cheque books: the interbank leg, and the payee's credit for good.
    pub(crate) fn cheque_settlement(&self) -> Vec<book::Transfer> {
        let path = [id(Post::Settlement), id(Post::DueFromClearing)];
        let mut transfers = along(Event::ChequeReceive, &self.id, &path, self.amount);
        transfers.extend(resolve(&self.cheque_credit(), true));
        transfers
    }

    /// The outcome of a cheque.
    pub(crate) fn cheque_outcome(&self) -> Result<ChequeOutcome, Fault> {
        let stored = self
            .outcome
            .as_deref()
            .ok_or_else(|| Fault::new(Code::Internal, "an answered presentment has no outcome"))?;
        Ok(from_blob(stored).map_err(Refusal::from)?)
    }

    fn cheque_response(&self) -> Result<ChequeDepositResponse, Fault> {
        match self.state {
            State::Pending => Ok(ChequeDepositResponse::Pending { presentment: self.id, paid: false }),
            State::Unsettled => Ok(ChequeDepositResponse::Pending { presentment: self.id, paid: true }),
            State::Done | State::Refused => Ok(ChequeDepositResponse::Final(self.cheque_outcome()?)),
        }
    }
}

impl Bank {
    /// `POST /v1/account/cheque/deposit`.
    pub(crate) async fn cheque_deposit(
        self: Arc<Self>,
        peer: Peer,
        request: ChequeDeposit,
    ) -> Result<ChequeDepositResponse, Fault> {
        let holder = self.holder(&peer).await?;
        let item = ChequeItem { cheque: request.cheque };
        let digest = item.digest()?;
        let id = feiqian_clearing::presentment::presentment_id(
            self.name(),
            holder.token.as_str(),
            ItemKind::Cheque,
            &digest,
        );
        if let Some(answer) = self.deposited_before(id, &item).await? {
            return Ok(answer);
        }
        let document = self.verified(&item.cheque).await?;
        let amount = document.cheque().amount;
        if amount.currency != self.config.currency {
            return Err(Fault::new(Code::WrongCurrency, "the cheque is in another currency"));
        }
        let (name, token) = (self.config.name.clone(), holder.token.clone());
        let presentment = Presentment::new(name, token, amount, ItemKind::Cheque, &digest, item);
        check_slip(&presentment, &document)?;
        if !presentment.item.has_room() {
            return Err(Fault::new(Code::TooLarge, "the file has no room for what the banks must add")
                .hint("take out its attachments; ask the drawer for another cheque"));
        }
        if document.cheque().bank == self.config.name {
            return self.deposit_own_cheque(&holder, presentment, document).await;
        }
        self.present_cheque(&holder, presentment, &document, digest).await?;
        self.forwarded_cheque(id).await
    }

    /// The answer to a deposit that was made before.
    async fn deposited_before(
        self: &Arc<Self>,
        id: Digest,
        item: &ChequeItem,
    ) -> Result<Option<ChequeDepositResponse>, Fault> {
        let file = item.file_digest();
        if let Some(outcome) = self.answered(id, file).await? {
            return Ok(Some(ChequeDepositResponse::Final(outcome)));
        }
        let known = move |tx: &mut dyn Tx| Ok::<_, Refusal>(PresentmentRow::find(tx, &id)?);
        let Some(row) = self.seams.store.read(known).await? else { return Ok(None) };
        let stored: Presentment<ChequeItem> = from_blob(&row.body).map_err(Refusal::from)?;
        if stored.item.file_digest() != file {
            return Err(Fault::new(Code::Conflict, "the same deposit with another file"));
        }
        match row.state {
            State::Pending => self.forwarded_cheque(id).await.map(Some),
            _ => row.cheque_response().map(Some),
        }
    }

    async fn forwarded_cheque(self: &Arc<Self>, id: Digest) -> Result<ChequeDepositResponse, Fault> {
        match self.forward(id).await {
            Ok(Some(row)) => row.cheque_response(),
            other => {
                if let Err(fault) = other {
                    tracing::debug!(%fault, presentment = %id, "not final yet");
                }
                self.outbox.notify_one();
                Ok(ChequeDepositResponse::Pending { presentment: id, paid: false })
            }
        }
    }

    /// Written down before anybody is asked.
    async fn present_cheque(
        self: &Arc<Self>,
        holder: &Holder,
        presentment: Presentment<ChequeItem>,
        document: &VerifiedCheque,
        digest: Digest,
    ) -> Result<(), Fault> {
        let row = PresentmentRow {
            id: presentment.id,
            kind: ItemKind::Cheque,
            account: holder.account,
            reference: digest,
            bank: document.cheque().bank.to_string(),
            amount: presentment.amount.minor,
            expires: Timestamp::MAX,
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
        Ok(self.seams.store.commit("bank.cheque.present", work).await?)
    }

    /// Drawn on this bank: the center verifies, nothing is booked there, and paying is one transaction here.
    async fn deposit_own_cheque(
        self: &Arc<Self>,
        holder: &Holder,
        presentment: Presentment<ChequeItem>,
        document: VerifiedCheque,
    ) -> Result<ChequeDepositResponse, Fault> {
        let request = VerifyRequest { cheques: Bounded::new(vec![presentment.item.cheque.clone()])? };
        let path = "/v1/cheque/verify";
        let response: VerifyResponse =
            call_within(&*self.seams.network, &self.center, Caller::Anonymous, path, &request, PATIENCE)
                .await?;
        let verdict = response.verdicts.first().filter(|verdict| verdict.id == document.id());
        let verdict = verdict
            .ok_or_else(|| Fault::new(Code::Unavailable, "the center gave no verdict on this cheque"))?;
        let file = presentment.item.file_digest();
        if !verdict.good {
            let code = verdict.code.unwrap_or(ReturnCode::ReferToDrawer);
            let reason = verdict.reason.as_str().to_owned();
            tracing::info!(cheque = %document.id(), %code, %reason, "the center did not pass a cheque");
            if code == ReturnCode::Technical {
                // No word about the cheque.
                return Err(Fault::new(Code::Unavailable, reason).hint("deposit the same again"));
            }
            let answer = self.returned(&document, code)?;
            let message = Message { presentment: presentment.id, content: file };
            return self.decline_cheque(message, answer).await.map(ChequeDepositResponse::Final);
        }
        let presenting = Presenting {
            id: presentment.id,
            file,
            roomy: presentment.item.has_room(),
            bank: self.name().to_owned(),
            account: holder.token.to_string(),
            document,
            payee: Some(holder.account),
        };
        self.take_cheque("bank.cheque.own", presenting).await.map(ChequeDepositResponse::Final)
    }

    /// Asks the center about a stored presentment.
    pub(crate) async fn ask_cheque(
        self: &Arc<Self>,
        row: &PresentmentRow,
    ) -> Result<(State, Vec<u8>), Fault> {
        let presentment: Presentment<ChequeItem> = from_blob(&row.body).map_err(Refusal::from)?;
        let presented: Presented<ChequeOutcome> = self.present("/v1/present/cheque", &presentment).await?;
        if presented.id != row.id {
            return Err(Fault::new(Code::Conflict, "the center answered for another presentment"));
        }
        let check = || self.check_cheque_outcome(&presentment, &presented.outcome);
        match check() {
            Err(fault) if fault.code == Code::Unavailable => {
                self.sync().await?;
                check()?;
            }
            other => other?,
        }
        let state = match presented.outcome {
            ChequeOutcome::Paid(_) => State::Unsettled,
            _ => State::Refused,
        };
        Ok((state, to_blob(&presented.outcome).map_err(Refusal::from)?))
    }
}
