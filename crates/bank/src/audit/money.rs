//! Payments, refunds, presentments, totals, and what the accounts must hold.

use std::collections::BTreeSet;

use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::request::Route;

use super::{Auditor, Circulation, place};
use crate::accounts::AccountRow;
use crate::chart::{Post, id};
use crate::outbox::{PresentmentRow, State};
use crate::payments::PaymentRow;
use crate::refund::stored_item;
use crate::tables::{ACCOUNT, PAYMENT, PRESENTMENT, REFUND, REFUSED, RELEASED, TOTAL};

impl Auditor<'_> {
    pub(super) fn payments(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut refunded = std::collections::BTreeMap::new();
        self.walk(tx, &REFUND, |auditor, _, row| {
            let item = stored_item(row.blob(5)?)?;
            let fits = item.order.payment == row.digest(0)?
                && item.order.refund == row.digest(1)?
                && item.order.digest() == row.digest(2)?
                && item.order.amount.minor == row.minor(3)?;
            if !fits {
                auditor.find(7, place(&REFUND, row), "the row is not its order's");
            }
            let sum = refunded.entry(row.digest(0)?).or_insert(0_u128);
            *sum = sum.saturating_add(row.minor(3)?.value().into());
            Ok(())
        })?;
        let mut orphans: BTreeSet<_> = refunded.keys().chain(self.claims.keys()).copied().collect();
        self.walk(tx, &PAYMENT, |auditor, tx, row| {
            let at = place(&PAYMENT, row);
            let payment = PaymentRow::from_row(row)?;
            orphans.remove(&payment.digest);
            auditor.payment(tx, &payment, &at)?;
            let summed = refunded.get(&payment.digest).copied().unwrap_or(0);
            let claimed = auditor.claims.get(&payment.digest).copied().unwrap_or(0);
            if summed != u128::from(payment.refunded.value()) {
                auditor.find(
                    3,
                    at.as_str(),
                    format!("refunded is {}, its refunds sum to {summed}", payment.refunded),
                );
            }
            if claimed != u128::from(payment.claimed.value()) || claimed > summed {
                auditor.find(
                    3,
                    at.as_str(),
                    format!("claimed is {}, its claims sum to {claimed}", payment.claimed),
                );
            }
            auditor.out.refunds_open =
                auditor.out.refunds_open.saturating_add(summed.saturating_sub(claimed));
            auditor.out.payments = auditor.out.payments.saturating_add(1);
            Ok(())
        })?;
        for payment in orphans {
            self.find(3, format!("refund of ({payment})"), "the payment is not known");
        }
        Ok(())
    }

    fn payment(&mut self, tx: &mut dyn Tx, payment: &PaymentRow, at: &str) -> Result<(), StoreError> {
        let receipt = &payment.receipt;
        let route = match &receipt.route {
            Route::Account { bank, account } => Some((bank.as_str().to_owned(), account.as_str().to_owned())),
            Route::Received => None,
        };
        let fits = receipt.payment == payment.digest
            && receipt.request == payment.request
            && receipt.amount.minor == payment.amount
            && receipt.presentment == payment.presentment
            && receipt.bank.as_str() == self.audited.bank
            && route == payment.route;
        if !fits || receipt.verify(&self.audited.signer).is_err() {
            self.find(7, at, "the receipt is not this payment's, or its signature does not hold");
        }
        let taken = self.account_for(&payment.digest).map(|(sum, _)| sum);
        if taken != Some(payment.amount.value()) {
            self.find(3, at, "its statement is missing or takes another amount");
        }
        if tx.find(&REFUSED, &[payment.presentment.into()])?.is_some() {
            self.find(2, at, "redeemed though it was refused");
        }
        if tx.find(&RELEASED, &[payment.digest.into()])?.is_some() {
            self.find(2, at, "redeemed though it was released");
        }
        if let Some((bank, account)) = &payment.route
            && *bank == self.audited.bank
            && let Ok(account) = account.parse()
        {
            let entry = self.accounts.entry(account).or_default();
            entry.1 = entry.1.saturating_add(payment.amount.value().into());
        }
        Ok(())
    }

    pub(super) fn presentments(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        self.walk(tx, &PRESENTMENT, |auditor, tx, row| {
            let at = place(&PRESENTMENT, row);
            let presentment = PresentmentRow::from_row(row)?;
            auditor.collected_cheque(tx, &presentment, &at)?;
            match (presentment.state, presentment.outcome.is_some()) {
                (State::Pending, false) => {
                    auditor.out.pending_presentments = auditor.out.pending_presentments.saturating_add(1);
                }
                (State::Pending, true) | (_, false) => {
                    auditor.find(7, at.as_str(), "state and outcome do not agree")
                }
                (State::Done, true)
                    if presentment.kind == feiqian_clearing::presentment::ItemKind::Payment =>
                {
                    auditor.collected(&presentment, &at);
                }
                _ => {}
            }
            Ok(())
        })?;
        self.walk(tx, &ACCOUNT, |auditor, tx, row| {
            let account = AccountRow::from_row(row)?;
            let (withdrawn, deposited) = auditor.accounts.remove(&account.id).unwrap_or_default();
            let stored = (u128::from(account.withdrawn.value()), u128::from(account.deposited.value()));
            if stored != (withdrawn, deposited) {
                let detail = format!(
                    "withdrawn and deposited are {stored:?}, recomputed {:?}",
                    (withdrawn, deposited)
                );
                auditor.find(3, place(&ACCOUNT, row), detail);
            }
            if !matches!(book::account(tx, account.id), Ok(Some(_))) {
                auditor.find(1, place(&ACCOUNT, row), "not in the book");
            }
            Ok(())
        })?;
        for account in self.accounts.keys().copied().collect::<Vec<_>>() {
            self.find(3, format!("account ({account})"), "has sessions or payments and is not known");
        }
        Ok(())
    }

    fn collected(&mut self, presentment: &PresentmentRow, at: &str) {
        let fits = match presentment.payment_outcome() {
            Ok(Outcome::Paid(receipt)) => {
                receipt.presentment == presentment.id
                    && receipt.payment == presentment.reference
                    && receipt.amount.minor == presentment.amount
                    && receipt.bank.as_str() == presentment.bank
            }
            _ => false,
        };
        if !fits {
            self.find(7, at, "credited without a receipt for this presentment");
        }
        let entry = self.accounts.entry(presentment.account).or_default();
        entry.1 = entry.1.saturating_add(presentment.amount.value().into());
    }

    /// The totals table against what was recomputed.
    pub(super) fn totals(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut unseen: BTreeSet<_> = self.out.circulation.keys().copied().collect();
        self.walk(tx, &TOTAL, |auditor, _, row| {
            let key = (row.unsigned(0)?, row.digest(1)?);
            unseen.remove(&key);
            let stored = (u128::from(row.minor(2)?.value()), u128::from(row.minor(3)?.value()));
            let Circulation { issued, redeemed, .. } =
                auditor.out.circulation.get(&key).copied().unwrap_or_default();
            if stored != (issued, redeemed) {
                let detail =
                    format!("issued and redeemed are {stored:?}, recomputed {:?}", (issued, redeemed));
                auditor.find(3, place(&TOTAL, row), detail);
            }
            Ok(())
        })?;
        for (epoch, denomination) in unseen {
            self.find(3, format!("total ({epoch}, {denomination})"), "the row is missing");
        }
        let beyond: Vec<_> = self
            .out
            .circulation
            .iter()
            .filter(|(_, each)| each.redeemed.saturating_add(each.seen_rest) > each.issued)
            .map(|(key, _)| *key)
            .collect();
        for (epoch, denomination) in beyond {
            self.find(
                3,
                format!("epoch {epoch}, denomination {denomination}"),
                "more coins were seen than issued",
            );
        }
        Ok(())
    }

    /// What the bank's own accounts must hold, given everything recomputed.
    pub(super) fn balances(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let open = i128::try_from(self.out.refunds_open).unwrap_or(i128::MAX);
        let expected = [
            (Post::Circulation, self.out.in_circulation(), 3),
            (Post::RefundsPayable, open, 3),
            (Post::DueToClearing, i128::try_from(self.out.cheques.unsettled).unwrap_or(i128::MAX), 5),
            (Post::CertifiedCheques, 0, 4),
            (Post::DueFromClearing, 0, 5),
        ];
        for (post, expected, invariant) in expected {
            let balance = match book::account(tx, id(post)) {
                Ok(state) => state.map(|state| state.balance()),
                Err(error) => return Err(StoreError::Corrupt(error.to_string())),
            };
            if balance != Some(expected) {
                let detail = format!("holds {balance:?} minor units, recomputed {expected}");
                self.find(invariant, format!("account {}", post.as_str()), detail);
            }
        }
        Ok(())
    }
}
