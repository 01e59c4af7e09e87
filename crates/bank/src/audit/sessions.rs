//! Answered sessions: what was issued, and what paid for it.

use feiqian_crypto::Digest;
use feiqian_ledger::book;
use feiqian_ledger::store::{StoreError, Tx};
use feiqian_money::Minor;
use feiqian_online_cash::evidence::Statement;
use feiqian_online_cash::funding::withdrawal_statement;
use feiqian_online_cash::issue::expand;
use feiqian_online_cash::signed::DocumentSignature;
use rand_core::CryptoRng;

use super::answers::Answers;
use super::spends::takings;
use super::{Auditor, place};
use crate::chart::{Event, transfer_id};
use crate::payments::PaymentRow;
use crate::refusal::from_blob;
use crate::register;
use crate::sessions::{Answer, FundingKind, SessionRow};
use crate::tables::{SESSION, STATEMENT};

impl Auditor<'_> {
    /// Every answered session: its coins' sum, its answers, its funding.
    pub(super) fn sessions(&mut self, tx: &mut dyn Tx, rng: &mut impl CryptoRng) -> Result<(), StoreError> {
        let mut answers = Answers::default();
        self.walk(tx, &SESSION, |auditor, tx, row| {
            let at = place(&SESSION, row);
            let session = SessionRow::from_row(row)?;
            if let Some(answer) = &session.answer {
                auditor.out.answered = auditor.out.answered.saturating_add(1);
                auditor.issued(&session, answer, &at, &mut answers, rng);
                auditor.funding(tx, &session, answer, &at)?;
            }
            Ok(())
        })?;
        answers.check();
        for session in &answers.wrong {
            self.find(7, format!("session ({session})"), "the stored answers do not fit their commitments");
        }
        let open = self.statements.iter().filter(|(_, taken)| !taken.is_accounted);
        for digest in open.map(|(digest, _)| *digest).collect::<Vec<_>>() {
            // Payments by account are accounted for when the payments are walked.
            let Ok(Some(statement @ Statement::Refresh { .. })) = register::statement(tx, &digest) else {
                continue;
            };
            // Its session is of the same epochs or later ones, and may be deleted before the last of its coins.
            if !takings(&statement).iter().all(|(coin, _)| self.has_ended(&coin.denomination)) {
                self.find(
                    2,
                    format!("{} ({digest})", STATEMENT.name),
                    "a refresh without its answered session",
                );
            }
        }
        Ok(())
    }

    fn issued(
        &mut self,
        session: &SessionRow,
        answer: &Answer,
        at: &str,
        answers: &mut Answers,
        rng: &mut impl CryptoRng,
    ) {
        let Ok(denominations) = expand(&session.outputs) else {
            self.find(7, at, "impossible outputs");
            return;
        };
        let counts = [session.commitments.len(), answer.challenges.len(), answer.answers.len()];
        if counts.iter().any(|count| *count != denominations.len()) {
            self.find(7, at, "commitments, challenges and answers are not as many as coins");
            return;
        }
        let said = session.commitments.iter().zip(answer.challenges.iter()).zip(answer.answers.iter());
        let mut sum = 0_u128;
        for (denomination, ((commitment, challenge), response)) in denominations.iter().zip(said) {
            let Some(key) = self.keys.get(denomination).cloned() else {
                self.find(3, at, "unknown denomination");
                continue;
            };
            let value = key.key.value.value();
            sum = sum.saturating_add(value.into());
            let total = self.denomination(key.epoch, key.id, value);
            total.issued = total.issued.saturating_add(value.into());
            answers.add(session.session, &key.public, commitment, challenge, response, rng);
        }
        if sum != u128::from(session.amount.value()) {
            self.find(3, at, format!("its coins are worth {sum}, its amount is {}", session.amount));
        }
    }

    fn funding(
        &mut self,
        tx: &mut dyn Tx,
        session: &SessionRow,
        answer: &Answer,
        at: &str,
    ) -> Result<(), StoreError> {
        match (answer.funding, session.account) {
            (FundingKind::Account, Some(account)) => {
                let entry = self.accounts.entry(account).or_default();
                entry.0 = entry.0.saturating_add(session.amount.value().into());
                self.withdrawal(tx, session, answer, account, at)
            }
            (FundingKind::Coins, None) => self.refresh(tx, session, answer, at),
            (FundingKind::Received, None) => {
                let payment = PaymentRow::find(tx, &answer.reference)?;
                let fits = payment.is_some_and(|payment| {
                    payment.presentment == session.session
                        && payment.route.is_none()
                        && payment.amount == session.amount
                });
                if !fits {
                    self.find(2, at, "the received payment is not redeemed to this session");
                }
                Ok(())
            }
            (FundingKind::Refunded, None) => {
                let sum = self.claims.entry(answer.reference).or_default();
                *sum = sum.saturating_add(session.amount.value().into());
                self.transfer_of(tx, Event::Claim, session, at)
            }
            _ => {
                self.find(2, at, "the funding belongs to another kind of caller");
                Ok(())
            }
        }
    }

    fn withdrawal(
        &mut self,
        tx: &mut dyn Tx,
        session: &SessionRow,
        answer: &Answer,
        account: feiqian_crypto::Id16,
        at: &str,
    ) -> Result<(), StoreError> {
        let (key, signature): (Digest, DocumentSignature) = from_blob(&answer.proof)?;
        let denominations = expand(&session.outputs).unwrap_or_default();
        let (token, bank) = (account.to_string(), self.audited.bank.clone());
        let statement = withdrawal_statement(
            &bank,
            &token,
            &session.session,
            &denominations,
            Minor::ZERO,
            &answer.challenges,
        );
        if statement != answer.reference
            || signature.verify(key.as_bytes(), &statement, "withdrawal").is_err()
        {
            self.find(7, at, "the withdrawal's statement or signature does not hold");
        }
        let sql = "SELECT 1 FROM holder WHERE account = ?1 AND signing_key = ?2";
        if tx.select(sql, &[account.into(), key.into()])?.is_empty() {
            self.find(7, at, "the withdrawal is signed with a key the account never enrolled");
        }
        self.transfer_of(tx, Event::Withdraw, session, at)
    }

    fn transfer_of(
        &mut self,
        tx: &mut dyn Tx,
        event: Event,
        session: &SessionRow,
        at: &str,
    ) -> Result<(), StoreError> {
        let booked = match book::find_transfer(tx, transfer_id(event, 0, &session.session)) {
            Ok(entry) => entry.map(|entry| entry.transfer.amount),
            Err(error) => return Err(StoreError::Corrupt(error.to_string())),
        };
        if booked != Some(session.amount) {
            self.find(3, at, format!("worth {}, booked is {booked:?}", session.amount));
        }
        Ok(())
    }

    fn refresh(
        &mut self,
        tx: &mut dyn Tx,
        session: &SessionRow,
        answer: &Answer,
        at: &str,
    ) -> Result<(), StoreError> {
        let fits = match register::statement(tx, &answer.reference)? {
            Some(Statement::Refresh { session: named, challenges, .. }) => {
                named == session.session && challenges == answer.challenges
            }
            _ => false,
        };
        let taken = self.account_for(&answer.reference);
        if !fits || taken.map(|(sum, _)| sum) != Some(session.amount.value()) {
            self.find(2, at, "the refresh statement is not this session's, or not worth its coins");
        }
        if taken.is_some_and(|(_, before)| before) {
            self.find(2, at, "one refresh statement paid for two sessions");
        }
        Ok(())
    }
}
