//! Remittances: sending, receiving, plain transfers inside the bank, and the report to both customers.
//!
//! | the textbook's step | here |
//! |---|---|
//! | order entry | `POST /v1/account/transfer`, signed by the customer |
//! | validity check, sequence number, archive | `bank.transfer.present`: one commit, the amount reserved |
//! | signed and encrypted transmission | the item, signed by the bank, over TLS to the center |
//! | receipt | the outcome that comes back: `bank.transfer.outcome` |
//! | check and correction | the receiving bank returns an unknown beneficiary with a code |
//! | posting | `bank.pay.transfer` |
//! | report to both customers | `GET /v1/account/transfers` |

use std::sync::Arc;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment, presentment_id};
use feiqian_clearing::remittance::{
    MAX_LINES, TransferItem, TransferLine, TransferOrder, TransferOutcome, TransferReport, TransferReturn,
};
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_ledger::{LedgerError, book};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_pki::{Chain, Purpose, Revocation, validate};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp, U64};

use crate::Bank;
use crate::accounts::{AccountRow, Holder, open_account};
use crate::certificates::signing_chain;
use crate::chart::{Event, Post, along, id, reserve_along};
use crate::cheques::tables::TRANSFER_ORDER;
use crate::declined::Message;
use crate::outbox::{PresentmentRow, State};
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::tables::ACCOUNT;

/// By how many seconds clocks of different nodes may differ.
const CLOCK_SKEW_SECONDS: u64 = 300;

/// A transfer as stored.
#[derive(Debug, Clone)]
pub(crate) struct TransferRow {
    pub(crate) presentment: Digest,
    pub(crate) incoming: bool,
    pub(crate) account: Id16,
    /// What must not repeat: of a sent one the customer's id, of a received one the presentment.
    pub(crate) reference: Digest,
    /// The sending bank's number; 0 inside one bank.
    pub(crate) sequence: u64,
    pub(crate) amount: Minor,
    pub(crate) at: u64,
    pub(crate) order: TransferOrder,
    pub(crate) outcome: Option<TransferOutcome>,
}

impl TransferRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            presentment: row.digest(0)?,
            incoming: row.boolean(1)?,
            account: row.id(2)?,
            reference: row.digest(3)?,
            sequence: row.unsigned(4)?,
            amount: row.minor(5)?,
            at: row.unsigned(6)?,
            order: from_blob(row.blob(7)?)?,
            outcome: row.optional_blob(8)?.map(from_blob).transpose()?,
        })
    }

    fn values(&self) -> Result<[Value; 9], StoreError> {
        Ok([
            self.presentment.into(),
            self.incoming.into(),
            self.account.into(),
            self.reference.into(),
            Value::unsigned(self.sequence)?,
            self.amount.into(),
            Value::unsigned(self.at)?,
            to_blob(&self.order)?.into(),
            self.outcome.as_ref().map(to_blob).transpose()?.into(),
        ])
    }

    fn find(tx: &mut dyn Tx, presentment: &Digest, incoming: bool) -> Result<Option<Self>, StoreError> {
        let key = [(*presentment).into(), incoming.into()];
        tx.find(&TRANSFER_ORDER, &key)?.map(|row| Self::from_row(&row)).transpose()
    }

    fn insert(&self, tx: &mut dyn Tx) -> Result<(), Refusal> {
        match tx.insert(&TRANSFER_ORDER, &self.values()?) {
            Err(StoreError::Exists(_)) => {
                Err(Fault::new(Code::Conflict, "the id was used for another transfer").into())
            }
            other => Ok(other?),
        }
    }

    /// As the account that was debited has it.
    fn sent(presentment: Digest, account: Id16, order: TransferOrder, at: u64) -> Self {
        let (reference, amount) = (order.terms.id, order.terms.amount.minor);
        Self {
            presentment,
            incoming: false,
            account,
            reference,
            sequence: 0,
            amount,
            at,
            order,
            outcome: None,
        }
    }

    /// The same as the account that was credited has it.
    fn received(&self, account: Id16) -> Self {
        Self { incoming: true, account, reference: self.presentment, ..self.clone() }
    }

    /// The transfers that reserved the amount of a sent one until the center had answered.
    pub(crate) fn reserve(&self) -> Vec<book::Transfer> {
        reserve(&self.presentment, self.account, self.amount)
    }

    fn line(&self) -> TransferLine {
        TransferLine {
            terms: self.order.terms.clone(),
            incoming: self.incoming,
            sequence: U64(self.sequence),
            at: Timestamp::new(self.at),
            outcome: self.outcome.clone(),
        }
    }
}

impl PresentmentRow {
    /// The transfers that reserve a remittance's amount until the center has answered.
    pub(crate) fn transfer_reserve(&self) -> Vec<book::Transfer> {
        reserve(&self.id, self.account, self.amount)
    }

    fn transfer_outcome(&self) -> Result<TransferOutcome, Fault> {
        let stored = self.outcome.as_deref();
        let stored =
            stored.ok_or_else(|| Fault::new(Code::Internal, "a final presentment has no outcome"))?;
        Ok(from_blob(stored).map_err(Refusal::from)?)
    }
}

fn reserve(presentment: &Digest, account: Id16, amount: Minor) -> Vec<book::Transfer> {
    let path = [account, id(Post::DueToClearing), id(Post::Settlement)];
    reserve_along(Event::TransferSend, presentment, &path, amount)
}

/// Writes the outcome of a sent transfer into its archive.
pub(crate) fn close_transfer(tx: &mut dyn Tx, presentment: &PresentmentRow) -> Result<(), Refusal> {
    let row = TransferRow::find(tx, &presentment.id, false)?;
    let mut row = row.ok_or(StoreError::Missing("transfer_order"))?;
    row.outcome = Some(presentment.transfer_outcome()?);
    Ok(tx.update(&TRANSFER_ORDER, &row.values()?)?)
}

/// What a received transfer was answered before.
fn known(tx: &mut dyn Tx, message: Message) -> Result<Option<TransferOutcome>, Refusal> {
    match TransferRow::find(tx, &message.presentment, true)? {
        Some(row) => Ok(row.outcome),
        None => Ok(message.declined(tx)?),
    }
}

/// After a reserve: what is left on the settlement account covers the cheques that were paid and are not settled, for
/// the center has counted those against it already.
pub(crate) fn check_cover(tx: &mut dyn Tx) -> Result<(), Refusal> {
    let missing = StoreError::Missing("ledger_account");
    let settlement = book::account(tx, id(Post::Settlement))?;
    let (Some(settlement), Some(due)) = (settlement, book::account(tx, id(Post::DueToClearing))?) else {
        return Err(missing.into());
    };
    if due.balance() > i128::from(settlement.available_to_credit().value()) {
        return Err(LedgerError::LimitExceeded(id(Post::Settlement)).into());
    }
    Ok(())
}

/// The account to credit, or why there is none.
fn beneficiary(tx: &mut dyn Tx, order: &TransferOrder) -> Result<Result<Id16, TransferReturn>, Refusal> {
    let Ok(account) = order.terms.to_account.parse::<Id16>() else {
        return Ok(Err(TransferReturn::AccountUnknown));
    };
    let Some(row) = tx.find(&ACCOUNT, &[account.into()])? else {
        return Ok(Err(TransferReturn::AccountUnknown));
    };
    Ok(match AccountRow::from_row(&row)?.closed {
        None => Ok(account),
        Some(_) => Err(TransferReturn::AccountClosed),
    })
}

impl Bank {
    /// `POST /v1/account/transfer`: the same order again gets the same outcome.
    pub(crate) async fn transfer(
        self: Arc<Self>,
        peer: Peer,
        order: TransferOrder,
    ) -> Result<TransferOutcome, Fault> {
        let holder = self.holder(&peer).await?;
        let terms = &order.terms;
        if terms.bank != self.config.name || terms.account != holder.token {
            return Err(Fault::new(Code::Forbidden, "the order is on another account"));
        }
        if terms.amount.currency != self.config.currency {
            return Err(Fault::new(Code::WrongCurrency, "the account is kept in another currency"));
        }
        let id = presentment_id(self.name(), &holder.token, ItemKind::Transfer, &terms.digest());
        // The id binds the terms: what was ordered before is not judged again, by keys renewed since.
        let known = move |tx: &mut dyn Tx| Ok::<_, Refusal>(TransferRow::find(tx, &id, false)?);
        match self.seams.store.read(known).await?.map(|row| row.outcome) {
            Some(Some(outcome)) => return Ok(outcome),
            Some(None) => {}
            None => order.verify(&holder.signing_key)?,
        }
        if terms.to_bank == self.config.name {
            return self.transfer_own(&holder, id, order).await;
        }
        self.present_transfer(&holder, id, order).await?;
        match self.forward(id).await {
            Ok(Some(row)) => row.transfer_outcome(),
            other => {
                if let Err(fault) = other {
                    tracing::debug!(%fault, presentment = %id, "transfer not final yet");
                }
                self.outbox.notify_one();
                Err(Fault::new(
                    Code::Unavailable,
                    "the transfer is stored and on its way; it is not final yet",
                )
                .hint("send the same order again to learn more"))
            }
        }
    }

    async fn transfer_own(
        self: &Arc<Self>,
        holder: &Holder,
        id: Digest,
        order: TransferOrder,
    ) -> Result<TransferOutcome, Fault> {
        let (from, now) = (holder.account, self.now().seconds());
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, from)?;
            if let Some(row) = TransferRow::find(tx, &id, false)? {
                return Ok(row.outcome.ok_or(StoreError::Missing("the transfer's outcome"))?);
            }
            let mut sent = TransferRow::sent(id, from, order.clone(), now);
            match beneficiary(tx, &order)? {
                Ok(to) if to == from => {
                    return Err(Fault::new(Code::RequestInvalid, "from and to are the same account").into());
                }
                Ok(to) => {
                    let transfers = along(Event::TransferOwn, &id, &[from, to], sent.amount);
                    let _ = book::transfer(tx, &transfers, now)?;
                    sent.outcome = Some(TransferOutcome::Booked);
                    sent.received(to).insert(tx)?;
                }
                Err(code) => sent.outcome = Some(TransferOutcome::Returned(code)),
            }
            sent.insert(tx)?;
            Ok::<_, Refusal>(sent.outcome.ok_or(StoreError::Missing("the transfer's outcome"))?)
        };
        Ok(self.seams.store.commit("bank.transfer.own", work).await?)
    }

    /// Numbers, archives and reserves, all at once, before anybody is asked.
    async fn present_transfer(
        self: &Arc<Self>,
        holder: &Holder,
        id: Digest,
        order: TransferOrder,
    ) -> Result<(), Fault> {
        let (bank, account, token, at) = (Arc::clone(self), holder.account, holder.token.clone(), self.now());
        let work = move |tx: &mut dyn Tx| {
            open_account(tx, account)?;
            if PresentmentRow::find(tx, &id)?.is_some() {
                return Ok(());
            }
            let sql = "SELECT coalesce(max(sequence), 0) FROM transfer_order WHERE incoming = 0";
            let last = tx.select(sql, &[])?.first().map_or(Ok(0), |row| row.unsigned(0))?;
            let mut sent = TransferRow::sent(id, account, order.clone(), at.seconds());
            sent.sequence = last.saturating_add(1);
            let chain = signing_chain(tx, account, at)?.0;
            let item = TransferItem::sign(order.clone(), chain, U64(sent.sequence), at, &bank.signer);
            let (amount, digest) = (order.terms.amount, order.terms.digest());
            let name = bank.config.name.clone();
            let item = item.map_err(Fault::from)?;
            let presentment =
                Presentment::new(name, token.clone(), amount, ItemKind::Transfer, &digest, item);
            let row = PresentmentRow {
                id,
                kind: ItemKind::Transfer,
                account,
                reference: digest,
                bank: order.terms.to_bank.to_string(),
                amount: amount.minor,
                expires: Timestamp::MAX,
                body: to_blob(&presentment)?,
                state: State::Pending,
                outcome: None,
                created: at.seconds(),
                tried: 0,
            };
            row.insert_new(tx)?;
            sent.insert(tx)?;
            let _ = book::transfer(tx, &row.transfer_reserve(), at.seconds())?;
            check_cover(tx)
        };
        Ok(self.seams.store.commit("bank.transfer.present", work).await?)
    }

    /// Asks the center about a stored transfer.
    pub(crate) async fn ask_transfer(&self, row: &PresentmentRow) -> Result<(State, Vec<u8>), Fault> {
        let presentment: Presentment<TransferItem> = from_blob(&row.body).map_err(Refusal::from)?;
        let presented: Presented<TransferOutcome> =
            self.present("/v1/present/transfer", &presentment).await?;
        if presented.id != row.id {
            return Err(Fault::new(Code::Conflict, "the center answered for another presentment"));
        }
        let booked = presented.outcome == TransferOutcome::Booked;
        let state = if booked { State::Done } else { State::Refused };
        Ok((state, to_blob(&presented.outcome).map_err(Refusal::from)?))
    }

    /// `POST /v1/pay/transfer`: the receiving side; the caller is the center.
    pub(crate) async fn pay_transfer(
        self: Arc<Self>,
        _peer: Peer,
        presentment: Presentment<TransferItem>,
    ) -> Result<Presented<TransferOutcome>, Fault> {
        let id = presentment.id;
        let body = to_blob(&presentment).map_err(Refusal::from)?;
        let content = Transcript::new("bank/transfer/message").bytes(&body).into_digest();
        let message = Message { presentment: id, content };
        let stored = self.seams.store.read(move |tx: &mut dyn Tx| known(tx, message)).await?;
        let outcome = match stored {
            Some(outcome) => outcome,
            None => {
                let code = self.check_with_news(&presentment).await?;
                self.receive_transfer(presentment, message, code).await?
            }
        };
        Ok(Presented { id, outcome })
    }

    /// The check, once more with the center's news when a revocation list is missing or before anything is returned
    /// that newer news could mend: a return is final.
    async fn check_with_news(
        self: &Arc<Self>,
        presentment: &Presentment<TransferItem>,
    ) -> Result<Option<TransferReturn>, Fault> {
        let verdict = match self.check_transfer(presentment) {
            Ok(Some(TransferReturn::SignatureInvalid)) | Err(_) => {
                self.ask_news().await?;
                self.check_transfer(presentment)
            }
            verdict => verdict,
        };
        match verdict {
            Err(fault) if fault.code == Code::WrongBank => Ok(Some(TransferReturn::WrongBank)),
            Err(fault) if fault.is_definitive() => Ok(Some(TransferReturn::CertInvalid)),
            verdict => verdict,
        }
    }

    /// Neither the center nor the sending bank is believed. What passes is a fault, what does not is a return.
    fn check_transfer(
        &self,
        presentment: &Presentment<TransferItem>,
    ) -> Result<Option<TransferReturn>, Fault> {
        let (item, terms) = (&presentment.item, &presentment.item.order.terms);
        let consistent = presentment.is_consistent(ItemKind::Transfer, &terms.digest())
            && presentment.amount == terms.amount
            && presentment.collecting_bank == terms.bank
            && presentment.account == terms.account
            && terms.bank != self.config.name;
        if !consistent {
            return Ok(Some(TransferReturn::Technical));
        }
        if terms.to_bank != self.config.name || terms.amount.currency != self.config.currency {
            return Ok(Some(TransferReturn::WrongBank));
        }
        let (now, at) = (self.now(), item.at);
        let view = self.members.snapshot();
        let bank_key = view.signer(terms.bank.as_str(), now)?;
        let Ok(chain) = Chain::new(item.payer.iter().map(|der| der.to_vec()).collect()) else {
            return Ok(Some(TransferReturn::CertInvalid));
        };
        // The sending bank vouches for the time: the customer may have renewed or lost the key since.
        if at > now.saturating_add(CLOCK_SKEW_SECONDS) {
            return Ok(Some(TransferReturn::CertInvalid));
        }
        let by = Revocation::Unchecked;
        let Ok(payer) = validate(&chain, &self.root, Purpose::Signing, by, at.seconds()) else {
            return Ok(Some(TransferReturn::CertInvalid));
        };
        let authority = &view.member(terms.bank.as_str())?.authority.public_key;
        let list = view.lists().of(authority);
        let list = list.filter(|list| list.verify(authority, now.seconds()).is_ok());
        let list =
            list.ok_or_else(|| Fault::new(Code::Unavailable, "a current revocation list is missing"))?;
        let revoked = list.find(&payer.serial).is_some_and(|entry| entry.at <= at.seconds());
        let subject = &payer.subject;
        let holder =
            subject.bank_name() == Some(terms.bank.as_str()) && subject.name() == terms.account.as_str();
        if revoked || !holder {
            return Ok(Some(TransferReturn::CertInvalid));
        }
        Ok(item.verify(&payer.public_key, &bank_key).err().map(|_| TransferReturn::SignatureInvalid))
    }

    async fn receive_transfer(
        self: &Arc<Self>,
        presentment: Presentment<TransferItem>,
        message: Message,
        code: Option<TransferReturn>,
    ) -> Result<TransferOutcome, Fault> {
        let (at, reference) = (self.now(), presentment.id);
        let now = at.seconds();
        let work = move |tx: &mut dyn Tx| {
            if let Some(outcome) = known(tx, message)? {
                return Ok(outcome);
            }
            let order = &presentment.item.order;
            let account = match code.map_or_else(|| beneficiary(tx, order), |code| Ok(Err(code)))? {
                Ok(account) => account,
                Err(code) => {
                    let outcome = TransferOutcome::Returned(code);
                    message.decline(tx, &outcome, at)?;
                    return Ok(outcome);
                }
            };
            let amount = order.terms.amount.minor;
            let path = [id(Post::Settlement), id(Post::DueFromClearing), account];
            let _ = book::transfer(tx, &along(Event::TransferReceive, &reference, &path, amount), now)?;
            let row = TransferRow {
                presentment: reference,
                incoming: true,
                account,
                reference,
                sequence: presentment.item.sequence.0,
                amount,
                at: now,
                order: order.clone(),
                outcome: Some(TransferOutcome::Booked),
            };
            row.insert(tx)?;
            Ok::<_, Refusal>(TransferOutcome::Booked)
        };
        Ok(self.seams.store.commit("bank.pay.transfer", work).await?)
    }

    /// `GET /v1/account/transfers`: sent and received, newest first.
    pub(crate) async fn transfers(self: Arc<Self>, peer: Peer, (): ()) -> Result<TransferReport, Fault> {
        let holder = self.holder(&peer).await?;
        let work = move |tx: &mut dyn Tx| {
            let sql = format!(
                "SELECT {} FROM transfer_order WHERE account = ?1 ORDER BY at DESC, presentment LIMIT {MAX_LINES}",
                TRANSFER_ORDER.column_list()
            );
            let rows = tx.select(&sql, &[holder.account.into()])?;
            rows.iter().map(|row| Ok(TransferRow::from_row(row)?.line())).collect::<Result<Vec<_>, Refusal>>()
        };
        Ok(TransferReport { lines: Bounded::new(self.seams.store.read(work).await?)? })
    }
}
