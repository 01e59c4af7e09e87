//! Cheques, transfers and account statements against the book.

use std::collections::BTreeMap;

use feiqian_cheque::messages::ChequeOutcome;
use feiqian_cheque::{Bundle, State as Register};
use feiqian_clearing::presentment::ItemKind;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_money::Minor;

use super::{Auditor, place};
use crate::chart::{Event, Post, id, transfer_id};
use crate::cheques::pay::{AnsweredRow, Stand};
use crate::cheques::register::ChequeRow;
use crate::cheques::tables::{ACCOUNT_STATEMENT, CHEQUE, CHEQUE_PRESENTMENT, TRANSFER_ORDER};
use crate::outbox::{PresentmentRow, State};
use crate::refusal::Refusal;
use crate::remittance::TransferRow;
use crate::statements::{StatementRow, balance_after, entries};

/// What the cheques' rows say the book must hold, minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChequeSums {
    /// Σ of own cheques paid, for good or not.
    pub paid: u128,
    /// Σ of own cheques paid and not settled: due to clearing.
    pub unsettled: u128,
    /// Σ of reserves of certified cheques.
    pub reserved: u128,
    /// Σ of deposited cheques paid and not settled: pending credits.
    pub collecting: u128,
}

fn add(sum: &mut u128, amount: Minor) {
    *sum = sum.saturating_add(amount.value().into());
}

fn corrupt(refusal: Refusal) -> StoreError {
    match refusal {
        Refusal::Fault(fault) => StoreError::Corrupt(fault.to_string()),
        Refusal::DoubleSpent(_) => StoreError::Corrupt("a double spend".to_owned()),
    }
}

impl Auditor<'_> {
    pub(super) fn cheques(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut register: BTreeMap<Digest, ChequeRow> = BTreeMap::new();
        self.walk(tx, &CHEQUE, |auditor, _, row| {
            let at = place(&CHEQUE, row);
            let cheque = ChequeRow::from_row(row)?;
            if let (Some(id), Some(amount)) = (cheque.id, cheque.amount) {
                auditor.cheque(&cheque, &id, amount, &at);
                register.insert(id, cheque);
            }
            Ok(())
        })?;
        let mut live: BTreeMap<Digest, Stand> = BTreeMap::new();
        self.walk(tx, &CHEQUE_PRESENTMENT, |auditor, tx, row| {
            let at = place(&CHEQUE_PRESENTMENT, row);
            let answered = AnsweredRow::from_row(row)?;
            auditor.answered(tx, &answered, &at)?;
            match register.get(&answered.cheque) {
                Some(cheque) if cheque.amount == Some(answered.amount) => {}
                _ => auditor.find(4, at.as_str(), "no such cheque of this amount is in the register"),
            }
            if matches!(answered.stand, Stand::Paid | Stand::Settled)
                && live.insert(answered.cheque, answered.stand).is_some()
            {
                auditor.find(4, at.as_str(), "the cheque is paid to two presentments");
            }
            Ok(())
        })?;
        for (cheque, row) in &register {
            let expected = match row.entry.state {
                Register::Paid => Some(Stand::Paid),
                Register::Settled => Some(Stand::Settled),
                _ => None,
            };
            if live.get(cheque).copied() != expected {
                let place = format!("cheque ({}, {})", row.account, row.number);
                self.find(4, place, format!("{} does not agree with its presentments", row.entry.state));
            }
        }
        self.drawer_debits(tx)
    }

    fn cheque(&mut self, cheque: &ChequeRow, id: &Digest, amount: Minor, at: &str) {
        let notice = cheque.notice.as_ref().is_some_and(|notice| {
            notice.id == *id
                && notice.amount.minor == amount
                && notice.number.0 == cheque.number
                && notice.date == cheque.entry.date
                && notice.account.as_str() == cheque.account.to_string()
        });
        let document = cheque.document.as_deref().map(Bundle::from_bytes);
        let document = document.is_some_and(|bundle| bundle.is_ok_and(|bundle| bundle.id() == Ok(*id)));
        if !notice || !document {
            self.find(7, at, "payment notice or document is not this cheque's");
        }
        if matches!(cheque.entry.state, Register::Signed | Register::Presented) {
            self.find(4, at, format!("{} does not rest in the register", cheque.entry.state));
        }
        if cheque.holds_reserve() {
            add(&mut self.out.cheques.reserved, amount);
        }
    }

    fn answered(&mut self, tx: &mut dyn Tx, answered: &AnsweredRow, at: &str) -> Result<(), StoreError> {
        let paid = matches!(answered.outcome, ChequeOutcome::Paid(_));
        if paid == (answered.stand == Stand::Returned) {
            self.find(7, at, "state and outcome do not agree");
        }
        if answered.stand != Stand::Returned {
            add(&mut self.out.cheques.paid, answered.amount);
        }
        if answered.stand == Stand::Paid {
            add(&mut self.out.cheques.unsettled, answered.amount);
        }
        let through_clearing = answered.bank != self.audited.bank;
        let wanted = [
            (Event::ChequePay, answered.stand != Stand::Returned),
            (Event::ChequeSettle, answered.stand == Stand::Settled && through_clearing),
            (Event::ChequeUnwind, answered.stand == Stand::Unwound),
        ];
        for (event, expected) in wanted {
            self.leg(tx, event, &answered.id, expected.then_some(answered.amount), at)?;
        }
        Ok(())
    }

    /// The transfer of an event is booked with this amount, or not at all.
    fn leg(
        &mut self,
        tx: &mut dyn Tx,
        event: Event,
        reference: &Digest,
        expected: Option<Minor>,
        at: &str,
    ) -> Result<(), StoreError> {
        let booked = book::find_transfer(tx, transfer_id(event, 0, reference))
            .map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let booked = booked.map(|entry| entry.transfer.amount);
        if booked != expected {
            let word = Event::word(event as u16);
            self.find(4, at, format!("{word} is booked as {booked:?} minor units, expected {expected:?}"));
        }
        Ok(())
    }

    /// Σ paid = Σ drawer debits: no payment without a presentment.
    fn drawer_debits(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let sql = "SELECT coalesce(sum(amount), 0) FROM ledger_transfer WHERE code = ?1";
        let debits = tx.select(sql, &[(Event::ChequePay as u16).into()])?;
        let debits = u128::from(debits.first().map_or(Ok(0), |row| row.unsigned(0))?);
        if debits != self.out.cheques.paid {
            let detail =
                format!("drawers were debited {debits} minor units, {} were paid", self.out.cheques.paid);
            self.find(4, "cheque_presentment", detail);
        }
        Ok(())
    }

    /// A deposited cheque's presentment.
    pub(super) fn collected_cheque(
        &mut self,
        tx: &mut dyn Tx,
        row: &PresentmentRow,
        at: &str,
    ) -> Result<(), StoreError> {
        if row.kind != ItemKind::Cheque {
            return Ok(());
        }
        if row.state == State::Unsettled {
            add(&mut self.out.cheques.collecting, row.amount);
        }
        let paid = matches!(row.state, State::Unsettled | State::Done);
        if paid != matches!(row.cheque_outcome(), Ok(ChequeOutcome::Paid(_))) {
            self.find(7, at, "state and outcome of a cheque do not agree");
        }
        self.leg(tx, Event::ChequeReceive, &row.id, (row.state == State::Done).then_some(row.amount), at)
    }

    pub(super) fn transfers(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let (mut last, mut numbered) = (0_u64, 0_u64);
        self.walk(tx, &TRANSFER_ORDER, |auditor, tx, row| {
            let at = place(&TRANSFER_ORDER, row);
            let transfer = TransferRow::from_row(row)?;
            let terms = &transfer.order.terms;
            let account = if transfer.incoming { &terms.to_account } else { &terms.account };
            if terms.amount.minor != transfer.amount || account.as_str() != transfer.account.to_string() {
                auditor.find(7, at.as_str(), "the row is not its order's");
            }
            if !transfer.incoming && transfer.sequence > 0 {
                last = last.max(transfer.sequence);
                numbered = numbered.saturating_add(1);
                let presentment = PresentmentRow::find(tx, &transfer.presentment)?;
                let pending = presentment.is_some_and(|row| row.state == State::Pending);
                if pending != transfer.outcome.is_none() {
                    auditor.find(7, at, "the archive and the outbox do not agree");
                }
            }
            Ok(())
        })?;
        if last != numbered {
            self.find(
                7,
                "transfer_order",
                format!("{numbered} transfers were sent, the last is number {last}"),
            );
        }
        Ok(())
    }

    /// Statements chain, and each says what the journal says.
    pub(super) fn account_statements(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut before: BTreeMap<Id16, StatementRow> = BTreeMap::new();
        self.walk(tx, &ACCOUNT_STATEMENT, |auditor, tx, row| {
            let at = place(&ACCOUNT_STATEMENT, row);
            let statement = StatementRow::from_row(row)?;
            let (number, to, closing) = before
                .get(&statement.account)
                .map_or((0, 0, Minor::ZERO), |it| (it.number, it.to, it.closing));
            if statement.number != number.saturating_add(1)
                || statement.from != to
                || statement.opening != closing
            {
                auditor.find(7, at.as_str(), "does not follow the statement before it");
            }
            let lines = entries(tx, statement.account, statement.from, statement.to).map_err(corrupt)?;
            let sum = balance_after(statement.account, statement.opening, &lines).map_err(corrupt)?;
            if sum != statement.closing || u64::try_from(lines.len()) != Ok(statement.lines) {
                auditor.find(7, at, format!("closes with {}, the journal with {sum}", statement.closing));
            }
            before.insert(statement.account, statement);
            Ok(())
        })
    }

    /// What is pending on the bank's own accounts, given the cheques.
    pub(super) fn cheque_pendings(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let sums = self.out.cheques;
        for (post, credit, expected) in
            [(Post::CertifiedCheques, true, sums.reserved), (Post::DueFromClearing, false, sums.collecting)]
        {
            let state =
                book::account(tx, id(post)).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            let pending = state.map(|it| if credit { it.credits_pending } else { it.debits_pending });
            let pending = pending.map_or(0, |pending| u128::from(pending.value()));
            if pending != expected {
                let detail = format!("{pending} minor units are pending, the cheques say {expected}");
                self.find(4, format!("account {}", post.as_str()), detail);
            }
        }
        Ok(())
    }
}
