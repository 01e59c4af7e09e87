//! The cheque register, its presentments and the deposits of others' cheques, against the book.

use std::collections::BTreeMap;

use feiqian_cheque::messages::{ChequeItem, ChequeOutcome};
use feiqian_cheque::{Bundle, Day, State as Register};
use feiqian_clearing::presentment::{ItemKind, Presentment, presentment_id};
use feiqian_crypto::Digest;
use feiqian_ledger::book::{self, Transfer};
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_money::Minor;
use feiqian_wire::Timestamp;

use super::{Auditor, place};
use crate::chart::{Event, Post, along, id, resolve};
use crate::cheques::pay::{AnsweredRow, Stand};
use crate::cheques::register::ChequeRow;
use crate::cheques::tables::{CHEQUE, CHEQUE_PRESENTMENT};
use crate::outbox::{PresentmentRow, State};
use crate::refusal::from_blob;

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

/// The file is of the cheque, and one of its blocks is what this bank and account deposited under this id.
fn is_answer_to(answered: &AnsweredRow, file: &[u8]) -> bool {
    let Ok(bundle) = Bundle::from_bytes(file) else { return false };
    let is_presented = |tip: Digest| {
        let item = ChequeItem::presented(&tip);
        presentment_id(&answered.bank, &answered.account, ItemKind::Cheque, &item) == answered.id
    };
    bundle.id() == Ok(answered.cheque) && bundle.blocks.iter().any(|block| is_presented(block.digest()))
}

impl Auditor<'_> {
    pub(super) fn cheques(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let mut register: BTreeMap<Digest, ChequeRow> = BTreeMap::new();
        self.walk(tx, &CHEQUE, |auditor, tx, row| {
            let at = place(&CHEQUE, row);
            let cheque = ChequeRow::from_row(row)?;
            if cheque.values()?.iter().zip(&row.0).any(|(expected, found)| expected != found) {
                auditor.find(7, at.as_str(), "the row is not what its entry says");
            }
            match (cheque.id, cheque.amount) {
                (Some(id), Some(amount)) => {
                    auditor.cheque(&cheque, &id, amount, &at);
                    auditor.reserves(tx, &cheque, &id, &at)?;
                    register.insert(id, cheque);
                }
                (None, None) if cheque.entry.state == Register::Allotted && cheque.document.is_none() => {}
                _ => auditor.find(7, at, "a leaf with an amount or a cheque without one"),
            }
            Ok(())
        })?;
        let mut live: BTreeMap<Digest, Stand> = BTreeMap::new();
        self.walk(tx, &CHEQUE_PRESENTMENT, |auditor, tx, row| {
            let at = place(&CHEQUE_PRESENTMENT, row);
            let answered = AnsweredRow::from_row(row)?;
            match register.get(&answered.cheque) {
                Some(cheque) if cheque.amount == Some(answered.amount) => {
                    auditor.answered(tx, &answered, cheque, &at)?;
                }
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
        let payee = cheque.notice.as_ref().map(|notice| &notice.payee);
        let fresh = cheque.endorsed == Some(*id) && cheque.holder.as_ref() == payee;
        if (cheque.endorsements == 0) != fresh {
            self.find(7, at, "holder and endorsements do not agree");
        }
        if cheque.paid.is_some() != matches!(cheque.entry.state, Register::Paid | Register::Settled) {
            self.find(4, at, format!("{}, and the day on which it was paid is not so", cheque.entry.state));
        }
        if matches!(cheque.entry.state, Register::Signed | Register::Presented) {
            self.find(4, at, format!("{} does not rest in the register", cheque.entry.state));
        }
        if cheque.holds_reserve() {
            add(&mut self.out.cheques.reserved, amount);
        }
    }

    /// Each reserve of a certified cheque is booked; the last one waits as long as the register says, others ended.
    fn reserves(
        &mut self,
        tx: &mut dyn Tx,
        cheque: &ChequeRow,
        id: &Digest,
        at: &str,
    ) -> Result<(), StoreError> {
        for number in 1..=cheque.reserves {
            let reserve = ChequeRow { reserves: number, ..cheque.clone() }.reserve()?;
            self.transfer(tx, &reserve, true, at)?;
            let waits = number == cheque.reserves && cheque.holds_reserve();
            self.resolution(tx, &[reserve], (!waits).then_some(None), at)?;
        }
        if cheque.holds_reserve() && cheque.reserves == 0 {
            self.find(4, at, format!("cheque {id} is reserved, and nothing was"));
        }
        Ok(())
    }

    fn answered(
        &mut self,
        tx: &mut dyn Tx,
        answered: &AnsweredRow,
        cheque: &ChequeRow,
        at: &str,
    ) -> Result<(), StoreError> {
        let paid = matches!(answered.outcome, ChequeOutcome::Paid(_));
        if paid == (answered.stand == Stand::Returned) {
            self.find(7, at, "state and outcome do not agree");
        }
        if let ChequeOutcome::Paid(file) | ChequeOutcome::Returned(_, file) = &answered.outcome
            && !is_answer_to(answered, file)
        {
            self.find(7, at, "the answer's file is not this presentment's");
        }
        if answered.stand != Stand::Returned {
            add(&mut self.out.cheques.paid, answered.amount);
        }
        let live = matches!(answered.stand, Stand::Paid | Stand::Settled);
        if live && cheque.paid != Some(Day::of(Timestamp::new(answered.at))) {
            self.find(4, at, "the register has it as paid on another day");
        }
        if answered.stand == Stand::Paid {
            add(&mut self.out.cheques.unsettled, answered.amount);
        }
        let inside = answered.bank == self.audited.bank;
        let payee = if inside { answered.account.parse().ok() } else { None };
        let to = payee.unwrap_or_else(|| id(Post::DueToClearing));
        let from = if cheque.reserves > 0 { id(Post::CertifiedCheques) } else { cheque.account };
        let settled = answered.stand == Stand::Settled && !inside;
        let wanted = [
            (Event::ChequePay, [from, to], answered.stand != Stand::Returned),
            (Event::ChequeSettle, [id(Post::DueToClearing), id(Post::Settlement)], settled),
            (
                Event::ChequeUnwind,
                [id(Post::DueToClearing), cheque.account],
                answered.stand == Stand::Unwound,
            ),
        ];
        for (event, path, booked) in wanted {
            for transfer in along(event, &answered.id, &path, answered.amount) {
                self.transfer(tx, &transfer, booked, at)?;
            }
        }
        Ok(())
    }

    /// A transfer that a row calls for is in the book as the row says, or is not there at all.
    pub(super) fn transfer(
        &mut self,
        tx: &mut dyn Tx,
        wanted: &Transfer,
        booked: bool,
        at: &str,
    ) -> Result<(), StoreError> {
        let found =
            book::find_transfer(tx, wanted.id).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let word = Event::word(wanted.code);
        self.explained.insert(wanted.id);
        match found {
            None if booked => self.find(4, at, format!("{word} of {} is not booked", wanted.amount)),
            Some(_) if !booked => self.find(4, at, format!("{word} is booked, and nothing calls for it")),
            Some(entry) if entry.transfer != *wanted => {
                let (amount, expected) = (entry.transfer.amount, wanted.amount);
                self.find(4, at, format!("{word} of {expected} is booked otherwise, with {amount}"));
            }
            _ => {}
        }
        Ok(())
    }

    /// How pending transfers ended: `None` not at all, `Some(Some(true))` posted, `Some(Some(false))` voided,
    /// `Some(None)` in either way, but in one.
    pub(super) fn resolution(
        &mut self,
        tx: &mut dyn Tx,
        pending: &[Transfer],
        ended: Option<Option<bool>>,
        at: &str,
    ) -> Result<(), StoreError> {
        for (posted, voided) in resolve(pending, true).iter().zip(&resolve(pending, false)) {
            let corrupt = |error: feiqian_ledger::LedgerError| StoreError::Corrupt(error.to_string());
            let was_posted = book::find_transfer(tx, posted.id).map_err(corrupt)?.is_some();
            let post = match ended {
                None => false,
                Some(Some(post)) => post,
                Some(None) => was_posted,
            };
            self.transfer(tx, posted, post, at)?;
            self.transfer(tx, voided, ended.is_some() && !post, at)?;
        }
        Ok(())
    }

    /// Nothing is booked for cheques or transfers that no row accounts for.
    pub(super) fn unexplained(&mut self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        let sql = "SELECT id, code FROM ledger_transfer WHERE code BETWEEN ?1 AND ?2 ORDER BY seq";
        let codes = [(Event::ChequeReserve as u16).into(), (Event::TransferReceive as u16).into()];
        for row in &tx.select(sql, &codes)? {
            let (id, code) = (row.id(0)?, row.small::<u16>(1)?);
            if !self.explained.contains(&id) {
                let detail = format!("{} that no row calls for", Event::word(code));
                self.find(4, format!("ledger_transfer {id}"), detail);
            }
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
        let body: Presentment<ChequeItem> = from_blob(&row.body)?;
        let item = body.item.digest().map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let same = body.id == row.id
            && body.is_consistent(ItemKind::Cheque, &item)
            && body.amount.minor == row.amount
            && body.account.as_str() == row.account.to_string()
            && item == row.reference;
        if !same {
            self.find(7, at, "the row is not what was presented");
        }
        // A paid cheque whose settlement failed is refused, with its credit taken back.
        let credit = row.cheque_credit();
        let taken_back = match credit.first() {
            Some(first) => book::find_transfer(tx, first.id)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?
                .is_some(),
            None => false,
        };
        let credited = paid || (row.state == State::Refused && taken_back);
        for transfer in &credit {
            self.transfer(tx, transfer, credited, at)?;
        }
        let ended = match row.state {
            State::Done => Some(Some(true)),
            State::Refused if taken_back => Some(Some(false)),
            _ => None,
        };
        self.resolution(tx, &credit, ended, at)?;
        let path = [id(Post::Settlement), id(Post::DueFromClearing)];
        for transfer in along(Event::ChequeReceive, &row.id, &path, row.amount) {
            self.transfer(tx, &transfer, row.state == State::Done, at)?;
        }
        Ok(())
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
