//! Transfers between accounts and account statements, against the book.

use std::collections::BTreeMap;

use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_clearing::remittance::TransferOutcome;
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_money::Minor;

use super::{Auditor, place};
use crate::chart::{Event, Post, along, id};
use crate::cheques::tables::{ACCOUNT_STATEMENT, TRANSFER_ORDER};
use crate::housekeeping::Mark;
use crate::outbox::{PresentmentRow, State};
use crate::refusal::Refusal;
use crate::remittance::TransferRow;
use crate::statements::{StatementRow, balance_after, entries};
use crate::tables::PRESENTMENT;

fn corrupt(refusal: Refusal) -> StoreError {
    match refusal {
        Refusal::Fault(fault) => StoreError::Corrupt(fault.to_string()),
        Refusal::DoubleSpent(_) => StoreError::Corrupt("a double spend".to_owned()),
    }
}

impl Auditor<'_> {
    /// The archive against orders, outbox and book; sent ones are numbered without gaps.
    pub(super) fn transfers(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let (mut last, mut numbered) = (0_u64, 0_u64);
        // Plain transfers of this bank: sent and received by presentment.
        let mut inside: BTreeMap<Digest, [Option<Id16>; 2]> = BTreeMap::new();
        self.walk(tx, &TRANSFER_ORDER, |auditor, tx, row| {
            let at = place(&TRANSFER_ORDER, row);
            let transfer = TransferRow::from_row(row)?;
            auditor.order(&transfer, &at);
            match (transfer.incoming, transfer.sequence) {
                (incoming, 0) => {
                    if transfer.outcome == Some(TransferOutcome::Booked) {
                        let pair = inside.entry(transfer.presentment).or_default();
                        let [sent, received] = pair;
                        *(if incoming { received } else { sent }) = Some(transfer.account);
                        auditor.inside(tx, &transfer, &at)?;
                    }
                }
                (true, _) => auditor.received(tx, &transfer, &at)?,
                (false, sequence) => {
                    last = last.max(sequence);
                    numbered = numbered.saturating_add(1);
                    auditor.sent(tx, &transfer, &at)?;
                }
            }
            Ok(())
        })?;
        if last != numbered {
            let detail = format!("{numbered} transfers were sent, the last is number {last}");
            self.find(7, "transfer_order", detail);
        }
        for (presentment, pair) in inside {
            if !matches!(pair, [Some(from), Some(to)] if from != to) {
                let place = format!("transfer_order ({presentment})");
                self.find(8, place, "one of the two customers has no record of it");
            }
        }
        self.walk(tx, &PRESENTMENT, |auditor, tx, row| {
            let presentment = PresentmentRow::from_row(row)?;
            let key = [presentment.id.into(), false.into()];
            if presentment.kind == ItemKind::Transfer && tx.find(&TRANSFER_ORDER, &key)?.is_none() {
                auditor.find(8, place(&PRESENTMENT, row), "the transfer is not in the archive");
            }
            Ok(())
        })
    }

    /// The row says what its order says.
    fn order(&mut self, transfer: &TransferRow, at: &str) {
        let terms = &transfer.order.terms;
        let account = if transfer.incoming { &terms.to_account } else { &terms.account };
        let reference = if transfer.incoming { transfer.presentment } else { terms.id };
        let bank = &self.audited.bank;
        let own = if transfer.incoming { &terms.to_bank } else { &terms.bank };
        let digest = terms.digest();
        let named = presentment_id(terms.bank.as_str(), terms.account.as_str(), ItemKind::Transfer, &digest);
        let same = terms.amount.minor == transfer.amount
            && account.as_str() == transfer.account.to_string()
            && own.as_str() == bank.as_str()
            && reference == transfer.reference
            && named == transfer.presentment
            && (terms.bank == terms.to_bank) == (transfer.sequence == 0);
        if !same {
            self.find(7, at, "the row is not its order's");
        }
    }

    fn inside(&mut self, tx: &mut dyn Tx, transfer: &TransferRow, at: &str) -> Result<(), StoreError> {
        let terms = &transfer.order.terms;
        if let (Ok(from), Ok(to)) = (terms.account.parse::<Id16>(), terms.to_account.parse::<Id16>()) {
            for wanted in along(Event::TransferOwn, &transfer.presentment, &[from, to], transfer.amount) {
                self.transfer(tx, &wanted, true, at)?;
            }
        }
        Ok(())
    }

    fn received(&mut self, tx: &mut dyn Tx, transfer: &TransferRow, at: &str) -> Result<(), StoreError> {
        if transfer.outcome != Some(TransferOutcome::Booked) {
            self.find(7, at, "received and not booked");
        }
        let path = [id(Post::Settlement), id(Post::DueFromClearing), transfer.account];
        for wanted in along(Event::TransferReceive, &transfer.presentment, &path, transfer.amount) {
            self.transfer(tx, &wanted, true, at)?;
        }
        Ok(())
    }

    fn sent(&mut self, tx: &mut dyn Tx, transfer: &TransferRow, at: &str) -> Result<(), StoreError> {
        let expected = match &transfer.outcome {
            None => State::Pending,
            Some(TransferOutcome::Booked) => State::Done,
            Some(TransferOutcome::Returned(_)) => State::Refused,
        };
        let same = match PresentmentRow::find(tx, &transfer.presentment)? {
            Some(row) => {
                row.kind == ItemKind::Transfer
                    && row.account == transfer.account
                    && row.amount == transfer.amount
                    && row.reference == transfer.order.terms.digest()
                    && row.bank == transfer.order.terms.to_bank.as_str()
                    && row.state == expected
            }
            // Delivered so long ago that the outbox has forgotten it.
            None => expected != State::Pending && transfer.at <= Mark::Presented.read(tx)?,
        };
        if !same {
            self.find(7, at, "the archive and the outbox do not agree");
        }
        let reserved = transfer.reserve();
        for wanted in &reserved {
            self.transfer(tx, wanted, true, at)?;
        }
        let ended = match expected {
            State::Pending | State::Unsettled => None,
            State::Done => Some(Some(true)),
            State::Refused => Some(Some(false)),
        };
        self.resolution(tx, &reserved, ended, at)
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
            if lines.last().map(|entry| entry.seq) != Some(statement.to) {
                auditor.find(7, at.as_str(), "does not end with a posting");
            }
            if sum != statement.closing || u64::try_from(lines.len()) != Ok(statement.lines) {
                auditor.find(7, at, format!("closes with {}, the journal with {sum}", statement.closing));
            }
            before.insert(statement.account, statement);
            Ok(())
        })
    }
}
