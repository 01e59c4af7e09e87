//! A claim on this bank that it did not answer in time: the center has taken all of it from the bank's settlement account,
//! and tells the bank until it is heard.
//!
//! ```text
//! account, then collateral, as far as they go ─┐
//! losses, the rest ────────────────────────────┴▶ due to clearing ─▶ settlement
//! ```
//!
//! From then on the customer owes the rest to this bank: what account and collateral have when it is due makes good for
//! the loss. Where no withdrawal of this bank stands behind the opening, the loss stays.

use std::sync::Arc;

use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::keyset::{Keys, VerifiedKey};
use feiqian_offline_cash::messages::{ClaimOutcome, OverdueClaim};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::accused::{accuse, cover, expose};
use super::claims::ClaimRow;
use super::identity::IdentityRow;
use super::parts::{Source, note_part};
use crate::Bank;
use crate::chart::{Event, Post, along, id};
use crate::refusal::{Refusal, to_blob};

/// What the transfers refer to that pay what the center took: `D("bank/offline-overdue"; claim)`.
pub(crate) fn overdue_reference(claim: &Digest) -> Digest {
    Transcript::new("bank/offline-overdue").digest(claim).into_digest()
}

/// What the transfer refers to by which the customer makes good: `D("bank/offline-recovery"; claim, number of the part)`.
pub(super) fn recovery_reference(claim: &Digest, number: u32) -> Digest {
    Transcript::new("bank/offline-recovery").digest(claim).integer(number.into()).into_digest()
}

impl Bank {
    /// `POST /v1/pay/claim/overdue`: the caller is the center. The same again changes nothing.
    pub(crate) async fn claim_overdue(
        self: Arc<Self>,
        _peer: Peer,
        overdue: OverdueClaim,
    ) -> Result<(), Fault> {
        self.check_overdue(&overdue)?;
        let key = match self.key_of(&overdue) {
            Err(Rejection::KeyUnknown(_)) => {
                self.sync().await?;
                self.key_of(&overdue)?
            }
            known => known?,
        };
        let (bank, now) = (Arc::clone(&self), self.now());
        let work = move |tx: &mut dyn Tx| bank.take_overdue(tx, &overdue, &key, now);
        self.seams.store.commit("bank.offline.overdue", work).await?;
        if let Err(fault) = self.bring_exposed().await {
            tracing::debug!(%fault, "the center does not have the newest exposed list yet");
        }
        Ok(())
    }

    fn key_of(&self, overdue: &OverdueClaim) -> Result<VerifiedKey, Rejection> {
        let view = self.members.snapshot();
        let key = view.offline_keys().key(&overdue.statement.statement.key)?;
        if key.bank != self.config.name {
            return Err(Rejection::WrongBank(key.bank.to_string()));
        }
        Ok(key.clone())
    }

    fn check_overdue(&self, overdue: &OverdueClaim) -> Result<(), Fault> {
        let statement = overdue.statement.verify(&self.root)?;
        let issuer = overdue.terms.issuing_bank.as_str();
        let presented = presentment_id(issuer, "", ItemKind::Claim, &overdue.terms.id());
        let sound = statement.bank == self.config.name
            && statement.coin == overdue.terms.message
            && overdue.terms.issuing_bank != self.config.name
            && presented == overdue.presentment
            && !overdue.amount.minor.is_zero();
        if !sound {
            return Err(Rejection::RequestMismatch.into());
        }
        if overdue.amount.currency != self.config.currency {
            return Err(Rejection::WrongCurrency.into());
        }
        Ok(())
    }

    /// The claim as it was answered here, or as it is now seen first, paid in full to the bank that claims.
    fn take_overdue(
        &self,
        tx: &mut dyn Tx,
        overdue: &OverdueClaim,
        key: &VerifiedKey,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let known = ClaimRow::find(tx, &overdue.terms.id())?;
        if let Some(known) = &known {
            if (known.presentment, known.amount) != (overdue.presentment, overdue.amount.minor) {
                return Err(Fault::new(Code::Conflict, "the claim was presented as another").into());
            }
            if known.is_overdue()? {
                return Ok(());
            }
        }
        let is_new = known.is_none();
        let (mut claim, mut identity) = match known {
            Some(claim) => {
                let identity = claim.account.map(|account| IdentityRow::find(tx, account)).transpose()?;
                (claim, identity.flatten())
            }
            None => self.first_seen(tx, overdue, key, now)?,
        };
        claim.outcome = Some(to_blob(&ClaimOutcome::Unanswered(overdue.statement.clone()))?);
        if is_new {
            tx.insert(&super::tables::CLAIM, &claim.values()?)?;
        }
        let taken = claim.amount.checked_sub(paid_at_once(tx, &claim.claim)?)?;
        self.book_overdue(tx, &mut claim, identity.as_mut(), taken, now)?;
        Ok(claim.update(tx)?)
    }

    /// The customer behind the opening is named as if the claim had been answered, if there is one.
    fn first_seen(
        &self,
        tx: &mut dyn Tx,
        overdue: &OverdueClaim,
        key: &VerifiedKey,
        now: Timestamp,
    ) -> Result<(ClaimRow, Option<IdentityRow>), Refusal> {
        let OverdueClaim { presentment, terms, amount, statement } = overdue;
        expose(tx, &terms.message, key.times.reclaim_until, now)?;
        let named = accuse(tx, statement.statement.opening, &terms.message, now)?;
        let claim = ClaimRow {
            claim: terms.id(),
            issuer: terms.issuing_bank.as_str().to_owned(),
            debtor: self.name().to_owned(),
            account: named.as_ref().map(|(row, _)| row.account),
            accusation: named.as_ref().map(|(_, accused)| accused.digest),
            payment: terms.payment,
            presentment: *presentment,
            coin: terms.message,
            amount: amount.minor,
            paid: Minor::ZERO,
            due: key.times.deposit_until,
            outcome: None,
        };
        Ok((claim, named.map(|(row, _)| row)))
    }

    /// What the center took: from the customer as far as it still owes and has, from the bank's own else.
    fn book_overdue(
        &self,
        tx: &mut dyn Tx,
        claim: &mut ClaimRow,
        identity: Option<&mut IdentityRow>,
        taken: Minor,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let reference = overdue_reference(&claim.claim);
        let path = [id(Post::DueToClearing), id(Post::Settlement)];
        let mut lost = taken;
        if let Some(row) = identity {
            let covered = cover(tx, row, &reference, claim.rest().min(taken), &path, now)?;
            lost = taken.checked_sub(covered)?;
            claim.paid = claim.paid.checked_add(covered)?;
            note_part(tx, &claim.claim, covered, Source::Account(row.account), now)?;
        } else {
            // Nobody will make good for it.
            claim.paid = claim.amount;
            note_part(tx, &claim.claim, taken, Source::Losses, now)?;
        }
        if !lost.is_zero() {
            let path: Vec<Id16> = std::iter::once(id(Post::Losses)).chain(path).collect();
            let transfers = along(Event::OfflineLoss, &reference, &path, lost);
            let _ = book::transfer(tx, &transfers, now.seconds())?;
            tracing::error!(claim = %claim.claim, %lost, "a claim was not answered in time: the bank has paid");
        }
        Ok(())
    }
}

/// What had been paid with an answer that the center never had.
fn paid_at_once(tx: &mut dyn Tx, claim: &Digest) -> Result<Minor, StoreError> {
    let row = tx.find(&super::tables::CLAIM_PART, &[(*claim).into(), Value::Integer(0)])?;
    row.map_or(Ok(Minor::ZERO), |row| row.minor(2))
}
