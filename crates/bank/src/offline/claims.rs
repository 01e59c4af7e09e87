//! What those who answered twice owe: one row for each claim, and how it is paid, at once, when due, or by another bank.
//!
//! ```text
//! customer of this bank   account, then collateral ─┬▶ at the deposit
//!                                                   └▶ the rest at deposit_until, pro rata
//! another bank            its ClaimOutcome and parts ─▶ claims received ─▶ payee
//! this bank               (no withdrawal stands behind the coin) losses ─▶ payee, in full
//! ```

use std::sync::Arc;

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::claim::{ClaimItem, VerifiedChargeClaim};
use feiqian_offline_cash::keyset::Keys;
use feiqian_offline_cash::messages::ClaimOutcome;
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::accused::{accuse, cover, expose, means};
use super::identity::IdentityRow;
use super::parts::{Source, has_refused_part, pay_part};
use super::tables::CLAIM;
use crate::Bank;
use crate::chart::{Event, Post, along, id};
use crate::outbox::{PresentmentRow, State};
use crate::refusal::{Refusal, from_blob, to_blob};

/// A claim as stored.
#[derive(Debug, Clone)]
pub(crate) struct ClaimRow {
    pub(crate) claim: Digest,
    /// Who claims.
    pub(crate) issuer: String,
    /// Whose customer answered twice.
    pub(crate) debtor: String,
    /// The customer, where it is this bank's.
    pub(crate) account: Option<Id16>,
    pub(crate) accusation: Option<Digest>,
    pub(crate) payment: Digest,
    pub(crate) presentment: Digest,
    pub(crate) coin: Digest,
    pub(crate) amount: Minor,
    pub(crate) paid: Minor,
    /// When the rest is paid pro rata.
    pub(crate) due: Timestamp,
    /// What was answered to another bank that claims.
    pub(crate) outcome: Option<Vec<u8>>,
}

impl ClaimRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            claim: row.digest(0)?,
            issuer: row.text(1)?.to_owned(),
            debtor: row.text(2)?.to_owned(),
            account: row.optional_id(3)?,
            accusation: row.optional_digest(4)?,
            payment: row.digest(5)?,
            presentment: row.digest(6)?,
            coin: row.digest(7)?,
            amount: row.minor(8)?,
            paid: row.minor(9)?,
            due: Timestamp::new(row.unsigned(10)?),
            outcome: row.optional_blob(11)?.map(<[u8]>::to_vec),
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 12], StoreError> {
        Ok([
            self.claim.into(),
            self.issuer.as_str().into(),
            self.debtor.as_str().into(),
            self.account.into(),
            self.accusation.into(),
            self.payment.into(),
            self.presentment.into(),
            self.coin.into(),
            self.amount.into(),
            self.paid.into(),
            Value::unsigned(self.due.seconds())?,
            self.outcome.clone().into(),
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, claim: &Digest) -> Result<Option<Self>, StoreError> {
        tx.find(&CLAIM, &[(*claim).into()])?.map(|row| Self::from_row(&row)).transpose()
    }

    pub(super) fn update(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        tx.update(&CLAIM, &self.values()?)
    }

    /// Did the center take all of it from this bank, because it was not answered in time? Then what is left is owed to this
    /// bank.
    pub(crate) fn is_overdue(&self) -> Result<bool, StoreError> {
        let Some(outcome) = &self.outcome else { return Ok(false) };
        Ok(matches!(from_blob(outcome)?, ClaimOutcome::Unanswered(_)))
    }

    /// What is still owed.
    pub(crate) fn rest(&self) -> Minor {
        self.amount.checked_sub(self.paid).unwrap_or(Minor::ZERO)
    }
}

/// How much of `rest` each of several claims gets of `available`: pro rata, rounded down; what rounding leaves goes to the
/// first ones, a unit each.
pub(crate) fn pro_rata(available: Minor, rests: &[Minor]) -> Vec<Minor> {
    let total: u128 = rests.iter().map(|rest| u128::from(rest.value())).fold(0, u128::saturating_add);
    let have = u128::from(available.value()).min(total);
    let share = |rest: &Minor| {
        have.saturating_mul(rest.value().into()).checked_div(total).and_then(|part| u64::try_from(part).ok())
    };
    let mut shares: Vec<u64> = rests.iter().map(|rest| share(rest).unwrap_or(0)).collect();
    let given: u128 = shares.iter().map(|share| u128::from(*share)).fold(0, u128::saturating_add);
    let mut left = have.saturating_sub(given);
    for (share, rest) in shares.iter_mut().zip(rests) {
        if left > 0 && *share < rest.value() {
            *share = share.saturating_add(1);
            left = left.saturating_sub(1);
        }
    }
    shares.into_iter().map(|share| Minor::new(share).unwrap_or(Minor::ZERO)).collect()
}

/// The claims on a customer of this bank that are due and not paid. Where a part of one was
/// refused no other follows: the bank that claims says that it is paid, and then the center will say so too; or there is no
/// account to credit.
fn due_of(tx: &mut dyn Tx, account: Id16, now: Timestamp) -> Result<Vec<ClaimRow>, StoreError> {
    let sql = format!(
        "SELECT {} FROM offline_claim WHERE account = ?1 AND due <= ?2 AND paid < amount ORDER BY claim",
        CLAIM.column_list()
    );
    let mut due = Vec::new();
    for row in tx.select(&sql, &[account.into(), Value::unsigned(now.seconds())?])? {
        let claim = ClaimRow::from_row(&row)?;
        if claim.is_overdue()? || !has_refused_part(tx, &claim.claim)? {
            due.push(claim);
        }
    }
    Ok(due)
}

impl Bank {
    /// Pays what is due of the claims on this bank's customers, pro rata, and on the bank itself, in full.
    pub(crate) async fn pay_due_claims(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let own = self.name().to_owned();
        let work = move |tx: &mut dyn Tx| {
            let sql = "SELECT DISTINCT account FROM offline_claim \
                       WHERE debtor = ?1 AND due <= ?2 AND paid < amount ORDER BY account";
            let rows = tx.select(sql, &[own.as_str().into(), Value::unsigned(now.seconds())?])?;
            rows.iter().map(|row| Ok(row.optional_id(0)?)).collect::<Result<Vec<Option<Id16>>, Refusal>>()
        };
        for account in self.seams.store.read(work).await? {
            match account {
                Some(account) => self.pay_customer_claims(account, now).await?,
                None => self.pay_own_claims(now).await?,
            }
        }
        Ok(())
    }

    async fn pay_customer_claims(self: &Arc<Self>, account: Id16, now: Timestamp) -> Result<(), Fault> {
        let known = self.seams.store.read(move |tx: &mut dyn Tx| {
            let row = IdentityRow::find(tx, account)?.ok_or(StoreError::Missing("offline_identity"))?;
            means(tx, &row)
        });
        let (available, held) = known.await?;
        if available.is_zero() && held.is_zero() {
            return Ok(());
        }
        let bank = Arc::clone(self);
        let work = move |tx: &mut dyn Tx| {
            let mut row = IdentityRow::find(tx, account)?.ok_or(StoreError::Missing("offline_identity"))?;
            let (available, held) = means(tx, &row)?;
            let mut claims = due_of(tx, account, now)?;
            let rests: Vec<Minor> = claims.iter().map(ClaimRow::rest).collect();
            let shares = pro_rata(available.checked_add(held)?, &rests);
            let mut left = available;
            for (claim, share) in claims.iter_mut().zip(shares) {
                let from_account = left.min(share);
                let from_held = share.checked_sub(from_account)?;
                left = left.checked_sub(from_account)?;
                pay_part(tx, &bank, claim, from_account, Source::Account(account), now)?;
                pay_part(tx, &bank, claim, from_held, Source::Collateral, now)?;
                row.held = row.held.checked_sub(from_held)?;
            }
            Ok::<_, Refusal>(row.update(tx)?)
        };
        self.seams.store.commit("bank.offline.claims", work).await?;
        self.outbox.notify_one();
        Ok(())
    }

    async fn pay_own_claims(self: &Arc<Self>, now: Timestamp) -> Result<(), Fault> {
        let bank = Arc::clone(self);
        let work = move |tx: &mut dyn Tx| {
            let sql = format!(
                "SELECT {} FROM offline_claim WHERE debtor = ?1 AND account IS NULL AND due <= ?2 \
                 AND paid < amount ORDER BY claim",
                CLAIM.column_list()
            );
            let rows = tx.select(&sql, &[bank.name().into(), Value::unsigned(now.seconds())?])?;
            for row in &rows {
                let mut claim = ClaimRow::from_row(row)?;
                if has_refused_part(tx, &claim.claim)? {
                    continue;
                }
                let rest = claim.rest();
                pay_part(tx, &bank, &mut claim, rest, Source::Losses, now)?;
            }
            Ok::<_, Refusal>(())
        };
        self.seams.store.commit("bank.offline.losses", work).await?;
        self.outbox.notify_one();
        Ok(())
    }

    /// `POST /v1/pay/claim`: a customer of this bank answered twice, says the issuing bank of the value coin.
    pub(crate) async fn pay_claim(
        self: Arc<Self>,
        _peer: Peer,
        presentment: Presentment<ClaimItem>,
    ) -> Result<Presented<ClaimOutcome>, Fault> {
        let id = presentment.id;
        let digest = presentment.item.digest();
        if !presentment.is_consistent(ItemKind::Claim, &digest) {
            return Err(Rejection::Malformed("the presentment id is not that of this item").into());
        }
        let claim = match self.verify_claim(&presentment) {
            Err(Rejection::KeyUnknown(_)) => {
                self.sync().await?;
                self.verify_claim(&presentment)?
            }
            verdict => verdict?,
        };
        let bank = Arc::clone(&self);
        let now = self.now();
        let work = move |tx: &mut dyn Tx| bank.answer_claim(tx, &claim, &presentment.id, now);
        let outcome = self.seams.store.commit("bank.offline.claimed", work).await?;
        if let Err(fault) = self.bring_exposed().await {
            tracing::debug!(%fault, "the center does not have the newest exposed list yet");
        }
        Ok(Presented { id, outcome })
    }

    fn verify_claim(&self, presentment: &Presentment<ClaimItem>) -> Result<VerifiedChargeClaim, Rejection> {
        let view = self.members.snapshot();
        let claim = presentment.item.verify(view.offline_keys(), &mut self.seams.entropy.rng())?;
        if claim.debtor != self.config.name || claim.terms.issuing_bank != presentment.collecting_bank {
            return Err(Rejection::WrongBank(claim.debtor.to_string()));
        }
        if claim.amount != presentment.amount || claim.amount.currency != self.config.currency {
            return Err(Rejection::AmountMismatch("the presentment is of another amount"));
        }
        Ok(claim)
    }

    fn answer_claim(
        &self,
        tx: &mut dyn Tx,
        claim: &VerifiedChargeClaim,
        presentment: &Digest,
        now: Timestamp,
    ) -> Result<ClaimOutcome, Refusal> {
        let id_of_claim = claim.terms.id();
        if let Some(known) = ClaimRow::find(tx, &id_of_claim)? {
            let outcome = known.outcome.ok_or(StoreError::Missing("offline_claim"))?;
            if known.presentment != *presentment {
                return Err(Fault::new(Code::Conflict, "the claim was presented as another").into());
            }
            return Ok(from_blob(&outcome)?);
        }
        let view = self.members.snapshot();
        let until = view.offline_keys().key(&claim.key)?.times;
        expose(tx, &claim.terms.message, until.reclaim_until, now)?;
        let Some((mut row, accused)) = accuse(tx, claim.opening, &claim.terms.message, now)? else {
            let nobody = "no withdrawal of this bank stands behind the opening";
            return Err(Fault::new(Code::Unavailable, nobody).into());
        };
        let path = [id(Post::DueToClearing), id(Post::Settlement)];
        let paid = cover(tx, &mut row, &id_of_claim, claim.amount.minor, &path, now)?;
        let outcome = ClaimOutcome::Answered { accusation: accused.accusation, paid };
        let stored = ClaimRow {
            claim: id_of_claim,
            issuer: claim.terms.issuing_bank.as_str().to_owned(),
            debtor: self.name().to_owned(),
            account: Some(row.account),
            accusation: Some(accused.digest),
            payment: claim.terms.payment,
            presentment: *presentment,
            coin: claim.terms.message,
            amount: claim.amount.minor,
            paid,
            due: until.deposit_until,
            outcome: Some(to_blob(&outcome)?),
        };
        tx.insert(&CLAIM, &stored.values()?)?;
        super::parts::note_first(tx, &stored.claim, paid, now)?;
        Ok(outcome)
    }

    /// Asks the center what the bank of the cheat says to a claim.
    pub(crate) async fn ask_claim(self: &Arc<Self>, row: &PresentmentRow) -> Result<(State, Vec<u8>), Fault> {
        let presentment: Presentment<ClaimItem> = from_blob(&row.body).map_err(Refusal::from)?;
        let presented: Presented<ClaimOutcome> = self.present("/v1/offline/claim", &presentment).await?;
        if presented.id != row.id {
            return Err(Fault::new(Code::Conflict, "the center answered for another presentment"));
        }
        let state = match &presented.outcome {
            ClaimOutcome::Answered { accusation, paid } => {
                let view = self.members.snapshot();
                let claim = presentment.item.verify(view.offline_keys(), &mut self.seams.entropy.rng())?;
                let named = feiqian_offline_cash::accusation::Accusation::Customer(accusation.clone());
                named.verify(&self.root)?;
                claim.check_answer(accusation, *paid)?;
                State::Done
            }
            ClaimOutcome::Unanswered(word) => {
                let said = word.verify(&self.root)?;
                if said.bank.as_str() != row.bank || said.coin != presentment.item.terms.message {
                    return Err(Fault::new(Code::SignatureInvalid, "the center's word is on another claim"));
                }
                State::Done
            }
            ClaimOutcome::Refused(_) => State::Refused,
        };
        Ok((state, to_blob(&presented.outcome).map_err(Refusal::from)?))
    }
}

/// Books what the bank of a cheat paid at once, and hands it on to the payee.
pub(crate) fn book_claim_outcome(
    tx: &mut dyn Tx,
    bank: &Bank,
    row: &PresentmentRow,
    now: Timestamp,
) -> Result<(), Refusal> {
    let stored = row.outcome.as_deref().ok_or(StoreError::Missing("presentment"))?;
    let outcome: ClaimOutcome = from_blob(stored)?;
    let mut claim = ClaimRow::find(tx, &row.reference)?.ok_or(StoreError::Missing("offline_claim"))?;
    let paid = match outcome {
        ClaimOutcome::Answered { paid, .. } => paid,
        ClaimOutcome::Unanswered(_) => row.amount,
        ClaimOutcome::Refused(_) => Minor::ZERO,
    };
    if paid.is_zero() {
        return Ok(());
    }
    receive(tx, &row.id, paid, now)?;
    pay_part(tx, bank, &mut claim, paid, Source::Received, now)
}

/// Money of another bank for a claim of this one comes in.
pub(super) fn receive(
    tx: &mut dyn Tx,
    reference: &Digest,
    amount: Minor,
    now: Timestamp,
) -> Result<(), Refusal> {
    let path = [id(Post::Settlement), id(Post::DueFromClearing), id(Post::ClaimsReceived)];
    let _ = book::transfer(tx, &along(Event::ClaimReceive, reference, &path, amount), now.seconds())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn shares_are_fair_and_sum_to_what_there_is() {
        let minor = |value: u64| Minor::new(value).unwrap();
        let cases: [(u64, &[u64], &[u64]); 6] = [
            (0, &[5, 7], &[0, 0]),
            (12, &[5, 7], &[5, 7]),
            (100, &[5, 7], &[5, 7]),
            (6, &[5, 7], &[3, 3]),
            (10, &[3, 3, 3, 3], &[3, 3, 2, 2]),
            (1, &[1, 1, 1], &[1, 0, 0]),
        ];
        for (have, rests, expected) in cases {
            let rests: Vec<Minor> = rests.iter().map(|rest| minor(*rest)).collect();
            let expected: Vec<Minor> = expected.iter().map(|share| minor(*share)).collect();
            assert_eq!(pro_rata(minor(have), &rests), expected);
        }
    }
}
