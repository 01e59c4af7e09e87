//! The audit of offline payments: digests recomputed, outcomes and receipts compared.

use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_ledger::store::{Row, StoreError, Tx};
use feiqian_offline_cash::deposit::Outcome;

use super::rows::{Asked, Held, Standing};
use super::tables::{OFFLINE_COIN, OFFLINE_PAYMENT};
use crate::audit::{Audit, Pending};
use crate::failure::Failure;

impl Audit {
    pub(crate) fn offline_sale(&mut self, _tx: &mut dyn Tx, place: &str, row: &Row) -> Result<(), Failure> {
        let asked = Asked::from_row(row)?;
        let request = &asked.signed.request;
        self.expect(request.digest() == asked.request, place, "the request's digest is another");
        let same = request.amount == asked.amount
            && request.order.as_str() == asked.reference
            && request.expires.seconds() == asked.expires;
        self.expect(same, place, "the row is not what the request says");
        Ok(())
    }

    pub(crate) fn offline_payment(&mut self, tx: &mut dyn Tx, place: &str, row: &Row) -> Result<(), Failure> {
        let held = Held::from_row(row)?;
        let asked = Asked::find(tx, &held.request)?;
        let pays = asked.as_ref().is_some_and(|asked| {
            asked.amount == held.amount
                && asked.signed == held.item.request
                && held.item.payment.request == asked.request
        });
        self.expect(pays, place, "no request of this amount was made");
        let request = &held.item.request.request;
        let digest = held.item.digest()?;
        let named = presentment_id(&request.bank, &request.account, ItemKind::Holding, &digest);
        self.expect(named == held.presentment, place, "the presentment is another item's");
        let coins = format!("SELECT 1 FROM {} WHERE payment = ?1 LIMIT 1", OFFLINE_COIN.name);
        let listed = !tx.select(&coins, &[held.payment.into()])?.is_empty();
        self.expect(listed, place, "its coins are not listed");
        self.expect(outcome_fits(&held), place, "state, outcome and receipt do not agree");
        let (paid, unpaid) = held.sums()?;
        let report = &mut self.report;
        report.offline_received = report.offline_received.saturating_add(paid.value().into());
        report.offline_unpaid = report.offline_unpaid.saturating_add(unpaid.value().into());
        if held.state == Standing::Queued {
            report.queued.push(Pending { payment: held.payment, amount: held.amount });
        }
        Ok(())
    }

    /// Every coin is one of a payment that stands.
    pub(crate) fn offline_coins(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let (coins, payments) = (OFFLINE_COIN.name, OFFLINE_PAYMENT.name);
        let sql = format!(
            "SELECT payment FROM {coins} WHERE payment NOT IN (SELECT payment FROM {payments}) LIMIT 100"
        );
        for row in tx.select(&sql, &[])? {
            self.add(8, format!("{coins} {}", row.digest(0)?), "its payment is gone");
        }
        Ok(())
    }
}

/// A settled one has the receipt of this payment to this presentment; no other has one.
fn outcome_fits(held: &Held) -> bool {
    match (&held.outcome, held.state) {
        (None, Standing::Queued) | (Some(Outcome::Refused(_)), Standing::Refused) => true,
        (Some(Outcome::Settled(receipt) | Outcome::Before(receipt)), Standing::Settled) => {
            let terms = &receipt.terms;
            terms.payment == held.payment
                && terms.request == held.request
                && terms.amount == held.amount
                && terms.presentment == held.presentment
        }
        (Some(Outcome::Before(receipt)), Standing::Refused) => receipt.terms.presentment != held.presentment,
        _ => false,
    }
}
