//! Parts of a claim: money on its way to the payee of a payment, or to the bank that claims.
//!
//! A payee of this bank is credited at once. For another bank a part is a presentment of its own: reserved, sent until it
//! is answered, posted when it is booked there.

use std::sync::Arc;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::messages::{PartItem, PartOutcome};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, Text, Timestamp};

use super::claims::{ClaimRow, receive};
use super::identity::IdentityRow;
use super::overdue::recovery_reference;
use super::reclaim::ReclaimRow;
use super::settle::PaymentRow;
use super::tables::{CLAIM_PART, PART};
use crate::Bank;
use crate::accounts::open_account;
use crate::chart::{Event, Post, along, id, reserve_along};
use crate::outbox::{PresentmentRow, State};
use crate::refusal::{Refusal, from_blob, to_blob};

/// Who pays a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The customer who answered twice.
    Account(Id16),
    /// Its collateral.
    Collateral,
    /// The bank of the customer, which has paid.
    Received,
    /// This bank.
    Losses,
}

impl Source {
    fn account(self) -> Id16 {
        match self {
            Self::Account(account) => account,
            Self::Collateral => id(Post::Collateral),
            Self::Received => id(Post::ClaimsReceived),
            Self::Losses => id(Post::Losses),
        }
    }

    fn number(self) -> i64 {
        match self {
            Self::Account(_) | Self::Collateral => 1,
            Self::Received => 2,
            Self::Losses => 3,
        }
    }
}

/// The event of a part that is paid from a ledger account.
fn event_of(from: Id16) -> Event {
    let posts = [
        (Post::Collateral, Event::OfflineSeize),
        (Post::ClaimsReceived, Event::ClaimForward),
        (Post::Losses, Event::OfflineLoss),
    ];
    let known = posts.into_iter().find(|(post, _)| id(*post) == from);
    known.map_or(Event::OfflineCharge, |(_, event)| event)
}

impl PresentmentRow {
    /// The transfers that reserve a part until the center has answered.
    pub(crate) fn part_reserve(&self) -> Vec<book::Transfer> {
        let path = [self.account, id(Post::DueToClearing), id(Post::Settlement)];
        reserve_along(event_of(self.account), &self.id, &path, self.amount)
    }
}

/// What was paid of a claim at once.
pub(super) fn note_first(
    tx: &mut dyn Tx,
    claim: &Digest,
    amount: Minor,
    now: Timestamp,
) -> Result<(), StoreError> {
    if amount.is_zero() {
        return Ok(());
    }
    let at = Value::unsigned(now.seconds())?;
    tx.insert(&CLAIM_PART, &[(*claim).into(), 0_i64.into(), amount.into(), 0_i64.into(), at])
}

/// `source` of a part that the other bank has refused: it counts for nothing.
pub(crate) const REFUSED: i64 = 4;

/// Notes a part of a claim, and says which one it is.
pub(super) fn note_part(
    tx: &mut dyn Tx,
    claim: &Digest,
    amount: Minor,
    source: Source,
    now: Timestamp,
) -> Result<u32, StoreError> {
    let number = next_number(tx, claim)?;
    if !amount.is_zero() {
        let at = Value::unsigned(now.seconds())?;
        tx.insert(&CLAIM_PART, &[(*claim).into(), number.into(), amount.into(), source.number().into(), at])?;
    }
    Ok(number)
}

/// Has the bank of a claim refused a part of it?
pub(super) fn has_refused_part(tx: &mut dyn Tx, claim: &Digest) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM offline_claim_part WHERE claim = ?1 AND source = ?2 LIMIT 1";
    Ok(!tx.select(sql, &[(*claim).into(), REFUSED.into()])?.is_empty())
}

/// The bank of a claim has refused a part: who paid has it again, and owes it again.
pub(crate) fn take_back_part(tx: &mut dyn Tx, row: &PresentmentRow) -> Result<(), Refusal> {
    let presentment: Presentment<PartItem> = from_blob(&row.body)?;
    let item = &presentment.item;
    let mut claim = ClaimRow::find(tx, &item.claim)?.ok_or(StoreError::Missing("offline_claim"))?;
    let at = [item.claim.into(), item.number.saturating_add(1).into()];
    let part = tx.find(&CLAIM_PART, &at)?.ok_or(StoreError::Missing("offline_claim_part"))?;
    let [claim_of, number] = at;
    tx.update(
        &CLAIM_PART,
        &[claim_of, number, part.minor(2)?.into(), REFUSED.into(), part.value(4)?.clone()],
    )?;
    claim.paid = claim.paid.checked_sub(row.amount)?;
    claim.update(tx)?;
    if row.account == id(Post::Collateral)
        && let Some(account) = claim.account
    {
        let mut identity = IdentityRow::find(tx, account)?.ok_or(StoreError::Missing("offline_identity"))?;
        identity.held = identity.held.checked_add(row.amount)?;
        identity.update(tx)?;
    }
    Ok(())
}

fn next_number(tx: &mut dyn Tx, claim: &Digest) -> Result<u32, StoreError> {
    let sql = "SELECT coalesce(max(number), 0) FROM offline_claim_part WHERE claim = ?1";
    let last: u32 = tx.select(sql, &[(*claim).into()])?.first().map_or(Ok(0), |row| row.small(0))?;
    Ok(last.saturating_add(1))
}

/// Pays a later part of a claim, to the payee of its payment or to the bank that claims; to this bank, where it has paid
/// the claim itself.
pub(super) fn pay_part(
    tx: &mut dyn Tx,
    bank: &Bank,
    claim: &mut ClaimRow,
    amount: Minor,
    source: Source,
    now: Timestamp,
) -> Result<(), Refusal> {
    if amount.is_zero() {
        return Ok(());
    }
    claim.paid = claim.paid.checked_add(amount)?;
    if claim.paid > claim.amount {
        return Err(Rejection::AmountMismatch("more is paid than claimed").into());
    }
    claim.update(tx)?;
    let number = note_part(tx, &claim.claim, amount, source, now)?;
    if claim.is_overdue()? {
        let reference = recovery_reference(&claim.claim, number);
        let path = [source.account(), id(Post::Losses)];
        let transfers = along(event_of(source.account()), &reference, &path, amount);
        let _ = book::transfer(tx, &transfers, now.seconds())?;
        return Ok(());
    }
    let (to, account) = if claim.issuer == bank.name() {
        payee_of(tx, bank, claim)?
    } else {
        (claim.issuer.clone(), String::new())
    };
    let malformed = |_| StoreError::Corrupt("offline_claim: a name".to_owned());
    let item = PartItem {
        from: bank.config.name.clone(),
        to: Name::new(to).map_err(malformed)?,
        account: Text::new(account).map_err(malformed)?,
        claim: claim.claim,
        presentment: claim.presentment,
        number: number.saturating_sub(1),
        amount: bank.amount(amount),
    };
    if item.to == bank.config.name {
        return credit_here(tx, &item, source.account(), now);
    }
    send(tx, bank, item, source.account(), now)
}

/// Bank and account of who is owed: of a payment, or a customer here whose reclaim lost to a fork.
fn payee_of(tx: &mut dyn Tx, bank: &Bank, claim: &ClaimRow) -> Result<(String, String), StoreError> {
    if let Some(payment) = PaymentRow::find(tx, &claim.payment)? {
        return Ok((payment.bank, payment.account));
    }
    let reclaim =
        ReclaimRow::of_message(tx, &claim.payment)?.ok_or(StoreError::Missing("offline_payment"))?;
    Ok((bank.name().to_owned(), reclaim.account.to_string()))
}

/// The payee has an account here. Who is to be paid from its own account has the money already.
fn credit_here(tx: &mut dyn Tx, item: &PartItem, from: Id16, now: Timestamp) -> Result<(), Refusal> {
    let unknown = |_| StoreError::Corrupt("offline_payment: account".to_owned());
    let account: Id16 = item.account.as_str().parse().map_err(unknown)?;
    if account != from {
        let transfers = along(event_of(from), &item.digest(), &[from, account], item.amount.minor);
        let _ = book::transfer(tx, &transfers, now.seconds())?;
    }
    Ok(())
}

fn send(tx: &mut dyn Tx, bank: &Bank, item: PartItem, from: Id16, now: Timestamp) -> Result<(), Refusal> {
    let (digest, amount, to) = (item.digest(), item.amount, item.to.clone());
    let presentment = Presentment::new(
        bank.config.name.clone(),
        item.account.clone(),
        amount,
        ItemKind::Part,
        &digest,
        item,
    );
    let row = PresentmentRow {
        id: presentment.id,
        kind: ItemKind::Part,
        account: from,
        reference: digest,
        bank: to.as_str().to_owned(),
        amount: amount.minor,
        expires: Timestamp::MAX,
        body: to_blob(&presentment)?,
        state: State::Pending,
        outcome: None,
        created: now.seconds(),
        tried: 0,
    };
    row.insert_new(tx)?;
    let _ = book::transfer(tx, &row.part_reserve(), now.seconds())?;
    Ok(())
}

impl Bank {
    /// Brings a part to the bank that is paid.
    pub(crate) async fn ask_part(self: &Arc<Self>, row: &PresentmentRow) -> Result<(State, Vec<u8>), Fault> {
        let presentment: Presentment<PartItem> = from_blob(&row.body).map_err(Refusal::from)?;
        let presented: Presented<PartOutcome> = self.present("/v1/present/part", &presentment).await?;
        if presented.id != row.id {
            return Err(Fault::new(Code::Conflict, "the center answered for another presentment"));
        }
        let booked = presented.outcome == PartOutcome::Booked;
        let state = if booked { State::Done } else { State::Refused };
        Ok((state, to_blob(&presented.outcome).map_err(Refusal::from)?))
    }

    /// `POST /v1/pay/part`: the center brings a part for a customer of this bank, or for a claim of its own.
    pub(crate) async fn pay_part(
        self: Arc<Self>,
        _peer: Peer,
        presentment: Presentment<PartItem>,
    ) -> Result<Presented<PartOutcome>, Fault> {
        let id = presentment.id;
        let bank = Arc::clone(&self);
        let now = self.now();
        let work = move |tx: &mut dyn Tx| {
            let outcome = bank.take_part(tx, &presentment, now);
            match outcome {
                Err(Refusal::Fault(fault)) if fault.is_definitive() => Ok(PartOutcome::Refused(fault)),
                other => other.map(|()| PartOutcome::Booked),
            }
        };
        let outcome = self.seams.store.commit("bank.pay.part", work).await?;
        self.outbox.notify_one();
        Ok(Presented { id, outcome })
    }

    fn take_part(
        &self,
        tx: &mut dyn Tx,
        presentment: &Presentment<PartItem>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let item = &presentment.item;
        let sound = presentment.is_consistent(ItemKind::Part, &item.digest())
            && presentment.amount == item.amount
            && presentment.collecting_bank == item.from
            && item.to == self.config.name
            && item.from != self.config.name;
        if !sound {
            return Err(Rejection::RequestMismatch.into());
        }
        if item.amount.currency != self.config.currency {
            return Err(Rejection::WrongCurrency.into());
        }
        if tx.find(&PART, &[presentment.id.into()])?.is_some() {
            return Ok(());
        }
        if item.account.as_str().is_empty() {
            self.take_for_claim(tx, presentment, now)?;
        } else {
            take_for_account(tx, presentment, now)?;
        }
        let at = Value::unsigned(now.seconds())?;
        Ok(tx.insert(&PART, &[presentment.id.into(), item.claim.into(), item.amount.minor.into(), at])?)
    }

    fn take_for_claim(
        &self,
        tx: &mut dyn Tx,
        presentment: &Presentment<PartItem>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let item = &presentment.item;
        let claim = ClaimRow::find(tx, &item.claim)?;
        let own = claim.filter(|claim| claim.issuer == self.name() && claim.debtor == item.from.as_str());
        let mut claim = own.ok_or(Rejection::ClaimInvalid("no such claim on this bank"))?;
        if is_pending(tx, &claim.claim)? {
            // The outcome of the claim itself comes first: it may say that all of it was paid.
            return Err(Fault::new(Code::Unavailable, "the claim has no outcome here yet").into());
        }
        if item.amount.minor > claim.rest() {
            return Err(Rejection::AmountMismatch("more is paid than claimed").into());
        }
        receive(tx, &presentment.id, item.amount.minor, now)?;
        pay_part(tx, self, &mut claim, item.amount.minor, Source::Received, now)
    }
}

fn is_pending(tx: &mut dyn Tx, claim: &Digest) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM presentment WHERE kind = 5 AND reference = ?1 AND state = 0 LIMIT 1";
    Ok(!tx.select(sql, &[(*claim).into()])?.is_empty())
}

fn take_for_account(
    tx: &mut dyn Tx,
    presentment: &Presentment<PartItem>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let item = &presentment.item;
    let deposit = PresentmentRow::find(tx, &item.presentment)?;
    let deposit = deposit.filter(|row| {
        row.kind == ItemKind::Holding
            && row.bank == item.from.as_str()
            && row.account.to_string() == item.account.as_str()
    });
    let deposit = deposit.ok_or(Rejection::ClaimInvalid("no such deposit at this bank"))?;
    open_account(tx, deposit.account)?;
    let path = [id(Post::Settlement), id(Post::DueFromClearing), deposit.account];
    let transfers = along(Event::PartReceive, &presentment.id, &path, item.amount.minor);
    let _ = book::transfer(tx, &transfers, now.seconds())?;
    Ok(())
}
