//! Recomputes everything a merchant claims from primary rows.
//!
//! Checks, in one snapshot: every row's check; digests of requests and payments recomputed; each claim's payment; the
//! coins of each payment sum to what was asked; outcomes and receipts agree; refunds add up to at most what was paid;
//! every deposit of a cheque against its files, and no cheque paid twice. What was paid for deleted sales counts as the
//! sum that remains.

mod cheques;

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_ledger::audit::{Finding, check_rows};
use feiqian_ledger::store::{Row, Store, StoreError, StoreExt, Table, Tx, Value};
use feiqian_money::{Amount, Minor};
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::refund::RefundOutcome;
use feiqian_wire::error::Fault;

use crate::failure::Failure;
use crate::offline::tables::{OFFLINE_PAYMENT, OFFLINE_SALE};
use crate::payments::{State, Taken, find_payment};
use crate::refunds::Ordered;
use crate::sales::{Sale, find_sale};
use crate::tables::{CHEQUE, CLAIM, PAYMENT, REFUND, SALE, TABLES};

pub use cheques::{Deposited, deposits};

const PAGE: u32 = 256;

/// What an audit of a merchant found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What disagrees; empty if all is well.
    pub findings: Vec<Finding>,
    /// Payments taken that are not final: in a closed world their coins may be spent or not.
    pub pending: Vec<Pending>,
    /// How many payments are paid.
    pub paid: u64,
    /// What was paid, minor units of the account's currency.
    pub received: u128,
    /// Offline payments accepted whose deposit is not final.
    pub queued: Vec<Pending>,
    /// What the banks undertook to pay for offline payments, minor units; what they owe is not in it.
    pub offline_received: u128,
    /// What the banks owe for units that were spent before, minor units, as of the deposits.
    pub offline_unpaid: u128,
}

/// A payment taken that is not final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The payment.
    pub payment: Digest,
    /// How much.
    pub amount: Amount,
}

/// Audits the store of a merchant, read only.
///
/// # Errors
/// `INTERNAL` or `UNAVAILABLE` when the store cannot be read at all. What disagrees is a finding, not an error.
pub async fn audit(store: &dyn Store) -> Result<Report, Fault> {
    let work = |tx: &mut dyn Tx| -> Result<Report, Failure> { Ok(check(tx)?) };
    Ok(store.read(work).await?)
}

/// The same inside a transaction.
///
/// # Errors
/// [`StoreError`] if a table cannot be read at all.
pub fn check(tx: &mut dyn Tx) -> Result<Report, StoreError> {
    let findings = check_rows(tx, TABLES)?;
    let mut audit = Audit {
        report: Report {
            findings,
            pending: Vec::new(),
            paid: 0,
            received: 0,
            queued: Vec::new(),
            offline_received: 0,
            offline_unpaid: 0,
        },
        given: BTreeMap::new(),
        paid_cheques: BTreeSet::new(),
    };
    let (paid, received) = crate::housekeeping::closed(tx)?;
    (audit.report.paid, audit.report.received) = (paid, received.value().into());
    audit.every(tx, &SALE, Audit::sale)?;
    audit.every(tx, &REFUND, Audit::refund)?;
    audit.every(tx, &PAYMENT, Audit::payment)?;
    audit.every(tx, &CLAIM, Audit::claim)?;
    audit.every(tx, &CHEQUE, Audit::cheque)?;
    audit.every(tx, &OFFLINE_SALE, Audit::offline_sale)?;
    audit.every(tx, &OFFLINE_PAYMENT, Audit::offline_payment)?;
    audit.offline_coins(tx)?;
    for payment in std::mem::take(&mut audit.given).into_keys() {
        audit.add(8, format!("{} {payment}", PAYMENT.name), "refunded, but not here or not paid");
    }
    Ok(audit.report)
}

pub(crate) struct Audit {
    pub(crate) report: Report,
    /// What was refunded or is ordered to be, by payment.
    given: BTreeMap<Digest, u128>,
    /// Cheques paid to one of the deposits.
    paid_cheques: BTreeSet<Digest>,
}

type Check = fn(&mut Audit, &mut dyn Tx, &str, &Row) -> Result<(), Failure>;

impl Audit {
    pub(crate) fn add(&mut self, invariant: u8, place: impl Into<String>, detail: impl Into<String>) {
        self.report.findings.push(Finding::new(invariant, place, detail));
    }

    pub(crate) fn expect(&mut self, holds: bool, place: &str, detail: &str) {
        if !holds {
            self.add(8, place, detail);
        }
    }

    /// Checks every row of a table in the order of its key, a page at a time.
    fn every(&mut self, tx: &mut dyn Tx, table: &Table, check: Check) -> Result<(), StoreError> {
        let (columns, name, key) = (table.column_list(), table.name, table.key_list());
        let mut after: Option<Value> = None;
        loop {
            let behind = if after.is_some() { format!("WHERE {key} > ?1") } else { String::new() };
            let sql = format!("SELECT {columns} FROM {name} {behind} ORDER BY {key} LIMIT {PAGE}");
            let rows = tx.select(&sql, after.as_slice())?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = Some(last.value(0)?.clone());
            for row in &rows {
                let id = row.digest(0).map_or_else(|_| "?".to_owned(), |id| id.to_string());
                let place = format!("{name} {id}");
                if let Err(Failure(fault)) = check(self, tx, &place, row) {
                    self.add(7, place, fault.to_string());
                }
            }
        }
    }

    fn sale(&mut self, _tx: &mut dyn Tx, place: &str, row: &Row) -> Result<(), Failure> {
        let sale = Sale::from_row(row)?;
        let request = &sale.signed.request;
        self.expect(request.digest() == sale.request, place, "the request's digest is another");
        let same = request.amount == sale.amount
            && request.order.as_str() == sale.reference
            && request.expires.seconds() == sale.expires;
        self.expect(same, place, "the row is not what the request says");
        Ok(())
    }

    fn payment(&mut self, tx: &mut dyn Tx, place: &str, row: &Row) -> Result<(), Failure> {
        let taken = Taken::from_row(row)?;
        let payment = &taken.item.payment;
        self.expect(payment.digest() == taken.payment, place, "the payment's digest is another");
        let asked = taken.item.request.request.digest();
        self.expect(asked == taken.request && payment.request == asked, place, "it pays another request");
        let sale = find_sale(tx, &taken.request)?;
        let amount = sale.as_ref().map(|sale| sale.amount);
        self.expect(amount == Some(taken.amount), place, "no request of this amount was made");
        let sum = Minor::sum(payment.coins.iter().map(|coin| coin.share.contribution));
        self.expect(
            sum.is_ok_and(|sum| sum == taken.amount.minor),
            place,
            "the coins do not sum to the amount",
        );
        self.outcome(place, &taken);
        let given = self.given.remove(&taken.payment).unwrap_or(0);
        let paid = if taken.state == State::Paid { u128::from(taken.amount.minor.value()) } else { 0 };
        self.expect(given <= paid, place, "more was refunded than paid");
        match taken.state {
            State::Pending => {
                self.report.pending.push(Pending { payment: taken.payment, amount: taken.amount })
            }
            State::Paid => {
                self.report.paid = self.report.paid.saturating_add(1);
                self.report.received = self.report.received.saturating_add(paid);
            }
            State::Refused => {}
        }
        Ok(())
    }

    /// A paid one has the bank's receipt of this payment and ours over the same; no other has one.
    fn outcome(&mut self, place: &str, taken: &Taken) {
        let fits = match (&taken.outcome, &taken.receipt, taken.state) {
            (None, None, State::Pending) => true,
            (Some(Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt)), Some(ours), State::Paid) => {
                ours.receipt == *receipt
                    && receipt.payment == taken.payment
                    && receipt.request == taken.request
                    && receipt.amount == taken.amount
            }
            (Some(Outcome::Paid(_)), None, State::Refused) => false,
            (Some(_), None, State::Refused) => true,
            _ => false,
        };
        self.expect(fits, place, "state, outcome and receipt do not agree");
    }

    fn refund(&mut self, _tx: &mut dyn Tx, place: &str, row: &Row) -> Result<(), Failure> {
        let ordered = Ordered::from_row(row)?;
        let order = &ordered.item.order;
        let same = order.refund == ordered.refund
            && order.payment == ordered.payment
            && order.amount == ordered.amount
            && ordered.item.receipt.payment == ordered.payment;
        self.expect(same, place, "the row is not what the order says");
        let fits = matches!(
            (&ordered.outcome, ordered.state),
            (None, State::Pending)
                | (Some(RefundOutcome::Booked), State::Paid)
                | (Some(RefundOutcome::Refused(_)), State::Refused)
        );
        self.expect(fits, place, "state and outcome do not agree");
        if ordered.state != State::Refused {
            let given = self.given.entry(ordered.payment).or_insert(0);
            *given = given.saturating_add(u128::from(ordered.amount.minor.value()));
        }
        Ok(())
    }

    fn claim(&mut self, tx: &mut dyn Tx, place: &str, row: &Row) -> Result<(), Failure> {
        let (request, payment) = (row.digest(0)?, row.digest(1)?);
        let taken = find_payment(tx, &payment)?;
        self.expect(
            taken.is_some_and(|taken| taken.request == request),
            place,
            "its payment pays another request",
        );
        Ok(())
    }
}
