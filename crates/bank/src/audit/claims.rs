//! Charges: accusations, claims and what was paid of them, against receipts, the outbox and the book.

use std::collections::BTreeMap;

use feiqian_clearing::presentment::{ItemKind, Presentment, presentment_id};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_offline_cash::accusation::{CustomerAccusation, NonAnswer};
use feiqian_offline_cash::claim::ClaimItem;
use feiqian_offline_cash::deposit::Outcome;
use feiqian_offline_cash::messages::{ClaimOutcome, PartItem, PartOutcome};
use feiqian_offline_cash::pay::CashItem;

use super::offline::{Gathered, Owed, amount_of, plus};
use super::{Auditor, place};
use crate::chart::{Event, Post, id};
use crate::offline::tables::{ACCUSATION, CLAIM, CLAIM_PART, PART};
use crate::offline::{AccusationRow, ClaimRow, REFUSED, overdue_reference};
use crate::outbox::{PresentmentRow, State};
use crate::refusal::from_blob;
use crate::tables::PRESENTMENT;

/// What was paid of a claim.
#[derive(Debug, Clone, Copy, Default)]
struct Paid {
    at_once: u128,
    later: u128,
    /// Of the later: by the bank of the debtor.
    received: u128,
}

/// What the tables of claims say about each other.
#[derive(Default)]
struct Charges {
    /// Account, coin and content of each accusation.
    accused: BTreeMap<Digest, (Id16, Digest, CustomerAccusation)>,
    paid: BTreeMap<Digest, Paid>,
    /// Parts by claim and number, with the amount and whether it was refused.
    parts: BTreeMap<(Digest, u64), (u128, bool)>,
    /// Received from other banks by claim.
    received: BTreeMap<Digest, u128>,
    /// Claims of this bank on others, presented: bank, *m* and amount.
    presented: BTreeMap<Digest, (String, Digest, u128)>,
}

impl Auditor<'_> {
    pub(super) fn offline_claims(
        &mut self,
        tx: &mut dyn Tx,
        gathered: &mut Gathered,
    ) -> Result<(), StoreError> {
        let mut charges = Charges::default();
        self.walk(tx, &ACCUSATION, |auditor, _, row| {
            let accusation = AccusationRow::from_row(row)?;
            if !accusation.is_sound(gathered.signing.get(&accusation.account)) {
                auditor.find(7, place(&ACCUSATION, row), "the accusation does not hold");
            }
            let AccusationRow { digest, account, coin, accusation, .. } = accusation;
            charges.accused.insert(digest, (account, coin, accusation));
            Ok(())
        })?;
        self.offline_parts(tx, &mut charges)?;
        self.offline_presentments(tx, &mut charges)?;
        self.walk(tx, &CLAIM, |auditor, tx, row| {
            let (at, claim) = (place(&CLAIM, row), ClaimRow::from_row(row)?);
            auditor.offline_claim(tx, &claim, &mut charges, &at)?;
            if claim.issuer == auditor.audited.bank {
                auditor.own_claim(&claim, gathered, &mut charges, &at);
            } else {
                auditor.foreign_claim(tx, &claim, &charges, &at)?;
            }
            charges.paid.remove(&claim.claim);
            Ok(())
        })?;
        let left = [gathered.unpaid.keys(), charges.received.keys()];
        for claim in left.into_iter().flatten().chain(charges.paid.keys()).chain(charges.presented.keys()) {
            self.find(3, format!("offline_claim ({claim})"), "the row is missing");
        }
        // Nobody owes itself: such a fork is named, and that is all.
        let itself = |owed: &Owed| {
            charges.accused.values().any(|(account, coin, _)| (*account, *coin) == (owed.account, owed.coin))
        };
        for (claim, _) in gathered.owed.iter().filter(|(_, owed)| !itself(owed)) {
            self.find(3, format!("offline_claim ({claim})"), "the row is missing");
        }
        Ok(())
    }

    fn offline_parts(&mut self, tx: &mut dyn Tx, charges: &mut Charges) -> Result<(), StoreError> {
        self.walk(tx, &CLAIM_PART, |auditor, _, row| {
            let (claim, number, amount) = (row.digest(0)?, row.unsigned(1)?, row.minor(2)?.value());
            let source = row.integer(3)?;
            if (number == 0) != (source == 0) {
                auditor.find(7, place(&CLAIM_PART, row), "only the first part is paid at once");
            }
            charges.parts.insert((claim, number), (amount.into(), source == REFUSED));
            let paid = charges.paid.entry(claim).or_default();
            if source != REFUSED {
                plus(if number == 0 { &mut paid.at_once } else { &mut paid.later }, amount);
            }
            if source == 2 {
                plus(&mut paid.received, amount);
            }
            Ok(())
        })?;
        self.walk(tx, &PART, |auditor, tx, row| {
            let (presentment, claim, amount) = (row.digest(0)?, row.digest(1)?, row.minor(2)?.value());
            let for_claim = amount_of(tx, Event::ClaimReceive, &presentment)?;
            if for_claim > 0 {
                plus(charges.received.entry(claim).or_default(), for_claim);
            }
            let booked = for_claim.saturating_add(amount_of(tx, Event::PartReceive, &presentment)?);
            if booked != u128::from(amount) {
                auditor.find(3, place(&PART, row), format!("booked with {booked} minor units"));
            }
            Ok(())
        })
    }

    /// What is on its way, or was, of deposits, claims and parts.
    fn offline_presentments(&mut self, tx: &mut dyn Tx, charges: &mut Charges) -> Result<(), StoreError> {
        self.walk(tx, &PRESENTMENT, |auditor, tx, row| {
            let (at, row) = (place(&PRESENTMENT, row), PresentmentRow::from_row(row)?);
            match row.kind {
                ItemKind::Holding => auditor.presented_holding(tx, &row, &at),
                ItemKind::Claim => auditor.presented_claim(tx, &row, charges, &at),
                ItemKind::Part => auditor.presented_part(tx, &row, charges, &at),
                _ => Ok(()),
            }
        })
    }

    fn presented_holding(
        &mut self,
        tx: &mut dyn Tx,
        row: &PresentmentRow,
        at: &str,
    ) -> Result<(), StoreError> {
        let presentment: Presentment<CashItem> = from_blob(&row.body)?;
        let same = presentment.id == row.id
            && presentment.item.digest().is_ok_and(|digest| {
                digest == row.reference && presentment.is_consistent(ItemKind::Holding, &digest)
            })
            && presentment.account.as_str() == row.account.to_string()
            && presentment.amount.minor == row.amount;
        let outcome = row.outcome.as_deref().map(from_blob::<Outcome>).transpose()?;
        let (fits, paid) = match (row.state, &outcome) {
            (State::Pending, None) | (State::Refused, Some(Outcome::Before(_) | Outcome::Refused(_))) => {
                (true, 0)
            }
            (State::Done, Some(Outcome::Settled(receipt))) => {
                let terms = &receipt.terms;
                let ours = terms.presentment == row.id
                    && terms.bank.as_str() == row.bank
                    && terms.amount.minor == row.amount;
                (ours, terms.paid().map_or(0, |paid| u128::from(paid.value())))
            }
            _ => (false, 0),
        };
        if !same || !fits {
            self.find(7, at, "row, deposit and outcome do not agree");
        }
        self.booked(tx, Event::OfflineCollect, &row.id, paid, at)
    }

    fn presented_claim(
        &mut self,
        tx: &mut dyn Tx,
        row: &PresentmentRow,
        charges: &mut Charges,
        at: &str,
    ) -> Result<(), StoreError> {
        let presentment: Presentment<ClaimItem> = from_blob(&row.body)?;
        let claim = presentment.item.terms.id();
        let same = presentment.id == row.id
            && claim == row.reference
            && presentment.is_consistent(ItemKind::Claim, &claim)
            && row.account == id(Post::ClaimsReceived)
            && presentment.amount.minor == row.amount;
        let outcome = row.outcome.as_deref().map(from_blob::<ClaimOutcome>).transpose()?;
        let (fits, paid) = match (row.state, &outcome) {
            (State::Pending, None) | (State::Refused, Some(ClaimOutcome::Refused(_))) => (true, 0),
            (State::Done, Some(ClaimOutcome::Answered { paid, .. })) => {
                (*paid <= row.amount, u128::from(paid.value()))
            }
            (State::Done, Some(ClaimOutcome::Unanswered(_))) => (true, u128::from(row.amount.value())),
            _ => (false, 0),
        };
        if !same || !fits {
            self.find(7, at, "row, claim and outcome do not agree");
        }
        let coin = presentment.item.terms.message;
        charges.presented.insert(claim, (row.bank.clone(), coin, row.amount.value().into()));
        plus(charges.received.entry(claim).or_default(), paid);
        self.booked(tx, Event::ClaimReceive, &row.id, paid, at)
    }

    fn presented_part(
        &mut self,
        tx: &mut dyn Tx,
        row: &PresentmentRow,
        charges: &Charges,
        at: &str,
    ) -> Result<(), StoreError> {
        let presentment: Presentment<PartItem> = from_blob(&row.body)?;
        let item = &presentment.item;
        let outcome = row.outcome.as_deref().map(from_blob::<PartOutcome>).transpose()?;
        let fits = matches!(
            (row.state, &outcome),
            (State::Pending, None)
                | (State::Done, Some(PartOutcome::Booked))
                | (State::Refused, Some(PartOutcome::Refused(_)))
        );
        let part = charges.parts.get(&(item.claim, u64::from(item.number).saturating_add(1)));
        let same = presentment.id == row.id
            && item.digest() == row.reference
            && presentment.is_consistent(ItemKind::Part, &row.reference)
            && item.to.as_str() == row.bank
            && item.amount.minor == row.amount
            && part == Some(&(u128::from(row.amount.value()), row.state == State::Refused));
        if !fits || !same {
            self.find(7, at, "row, part and outcome do not agree");
        }
        let reserved = row.part_reserve();
        for wanted in &reserved {
            self.transfer(tx, wanted, true, at)?;
        }
        let ended = match row.state {
            State::Pending | State::Unsettled => None,
            State::Done => Some(Some(true)),
            State::Refused => Some(Some(false)),
        };
        self.resolution(tx, &reserved, ended, at)
    }

    /// What holds of every claim.
    fn offline_claim(
        &mut self,
        tx: &mut dyn Tx,
        claim: &ClaimRow,
        charges: &mut Charges,
        at: &str,
    ) -> Result<(), StoreError> {
        let paid = charges.paid.get(&claim.claim).copied().unwrap_or_default();
        if paid.at_once.saturating_add(paid.later) != u128::from(claim.paid.value()) {
            let detail =
                format!("paid is {}, its parts sum to {} and {}", claim.paid, paid.at_once, paid.later);
            self.find(3, at, detail);
        }
        let named = match (claim.accusation, claim.account) {
            (Some(digest), Some(account)) => charges
                .accused
                .get(&digest)
                .is_some_and(|(accused, coin, _)| (*accused, *coin) == (account, claim.coin)),
            (None, None) => true,
            _ => false,
        };
        let own = claim.debtor == self.audited.bank;
        if !named || (claim.account.is_some() && !own) {
            self.find(7, at, "the accusation is missing or another's");
        }
        if charges.received.remove(&claim.claim).unwrap_or(0) != paid.received {
            let detail = format!("its parts say that {} were received", paid.received);
            self.find(3, at, detail);
        }
        let at_once = charged_with(tx, &claim.claim)?;
        // Who is paid from its own account has the money already.
        let fits =
            if claim.issuer == self.audited.bank { at_once <= paid.at_once } else { at_once == paid.at_once };
        if !fits {
            self.find(3, at, format!("{at_once} are booked at once, its part says {}", paid.at_once));
        }
        Ok(())
    }

    /// On a payment with coins of this bank.
    fn own_claim(&mut self, claim: &ClaimRow, gathered: &mut Gathered, charges: &mut Charges, at: &str) {
        if let Some(owed) = gathered.owed.remove(&claim.claim) {
            self.reclaimed_claim(claim, &owed, at);
        } else {
            self.claim_on_payment(claim, gathered, charges, at);
        }
        let presented = charges.presented.remove(&claim.claim);
        let fits = match presented {
            None => true,
            Some((bank, coin, amount)) => {
                bank == claim.debtor && coin == claim.coin && amount <= u128::from(claim.amount.value())
            }
        };
        if !fits {
            self.find(3, at, "another amount is claimed, or from another bank");
        }
        plus(&mut self.out.offline.charged, claim.amount.value());
        plus(&mut self.out.offline.covered, claim.paid.value());
    }

    fn claim_on_payment(&mut self, claim: &ClaimRow, gathered: &mut Gathered, charges: &Charges, at: &str) {
        let at_once = charges.paid.get(&claim.claim).map_or(0, |paid| paid.at_once);
        let unpaid = gathered.unpaid.remove(&claim.claim).unwrap_or(0);
        if unpaid.saturating_add(at_once) != u128::from(claim.amount.value()) {
            self.find(3, at, format!("the receipt owes {unpaid}, at once {at_once} were paid"));
        }
        if gathered.presented.get(&claim.presentment) != Some(&claim.payment) || claim.outcome.is_some() {
            self.find(7, at, "it is not that of its payment");
        }
    }

    /// For a reclaim that lost to a fork.
    fn reclaimed_claim(&mut self, claim: &ClaimRow, owed: &Owed, at: &str) {
        let about = (claim.payment, claim.presentment, claim.coin);
        if about != (owed.message, owed.message, owed.coin) || claim.outcome.is_some() {
            self.find(7, at, "it is not that of its reclaim");
        }
        if claim.amount.value() != owed.units || claim.account == Some(owed.account) {
            self.find(3, at, format!("the fork owes {} to another", owed.units));
        }
    }

    /// Of another bank, on a customer here.
    fn foreign_claim(
        &mut self,
        tx: &mut dyn Tx,
        claim: &ClaimRow,
        charges: &Charges,
        at: &str,
    ) -> Result<(), StoreError> {
        let named = presentment_id(&claim.issuer, "", ItemKind::Claim, &claim.claim);
        if named != claim.presentment || claim.debtor != self.audited.bank {
            self.find(7, at, "bank or presentment are not the claim's");
        }
        let outcome = claim.outcome.as_deref().map(from_blob::<ClaimOutcome>).transpose()?;
        let overdue = overdue_reference(&claim.claim);
        let at_once = charged_with(tx, &claim.claim)?;
        let taken = charged_with(tx, &overdue)?
            .saturating_add(amount_of(tx, Event::OfflineLoss, &overdue)?)
            .saturating_add(at_once);
        let named = claim.accusation.and_then(|digest| charges.accused.get(&digest));
        let named = named.map(|(_, _, accusation)| accusation);
        let fits = match &outcome {
            Some(ClaimOutcome::Answered { accusation, paid }) => {
                taken == u128::from(paid.value()) && *paid <= claim.amount && named == Some(accusation)
            }
            Some(ClaimOutcome::Unanswered(word)) => {
                let NonAnswer { coin, opening, .. } = &word.statement;
                taken == u128::from(claim.amount.value())
                    && *coin == claim.coin
                    && named.is_none_or(|accusation| accusation.opening == *opening)
            }
            _ => false,
        };
        if !fits {
            self.find(3, at, format!("{taken} are booked, which is not what was answered or taken"));
        }
        Ok(())
    }
}

/// What account and collateral paid under a reference.
fn charged_with(tx: &mut dyn Tx, reference: &Digest) -> Result<u128, StoreError> {
    let from_account = amount_of(tx, Event::OfflineCharge, reference)?;
    Ok(from_account.saturating_add(amount_of(tx, Event::OfflineSeize, reference)?))
}
