//! The drawee side: a presented cheque is paid or returned, once a presentment, in one transaction.

use std::sync::Arc;

use feiqian_cheque::messages::{ChequeItem, ChequeOutcome};
use feiqian_cheque::progress::Phase;
use feiqian_cheque::register::{Facts, Repeat};
use feiqian_cheque::table::Answer;
use feiqian_cheque::{ChequeError, Day, Event, Outcome, Rejection, ReturnCode, VerifiedCheque, verify};
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::{Digest, Id16};
use feiqian_ledger::book;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::Peer;
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::orders::{endorsed, endorsements};
use super::register::{ChequeRow, facts};
use super::tables::CHEQUE_PRESENTMENT;
use super::{fault, write};
use crate::Bank;
use crate::accounts::{AccountRow, open_account};
use crate::chart::{Post, id};
use crate::declined::Message;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::tables::ACCOUNT;

/// Where a presentment stands at the drawee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    Returned = 0,
    Paid = 1,
    Settled = 2,
    Unwound = 3,
}

/// A presentment of an own cheque as stored.
#[derive(Debug, Clone)]
pub(crate) struct AnsweredRow {
    pub(crate) id: Digest,
    pub(crate) cheque: Digest,
    pub(crate) file: Digest,
    pub(crate) bank: String,
    pub(crate) account: String,
    pub(crate) amount: Minor,
    pub(crate) stand: Stand,
    pub(crate) outcome: ChequeOutcome,
    pub(crate) at: u64,
}

impl AnsweredRow {
    pub(crate) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.digest(0)?,
            cheque: row.digest(1)?,
            file: row.digest(2)?,
            bank: row.text(3)?.to_owned(),
            account: row.text(4)?.to_owned(),
            amount: row.minor(5)?,
            stand: match row.integer(6)? {
                0 => Stand::Returned,
                1 => Stand::Paid,
                2 => Stand::Settled,
                3 => Stand::Unwound,
                _ => return Err(StoreError::Corrupt("cheque_presentment: unknown state".to_owned())),
            },
            outcome: from_blob(row.blob(7)?)?,
            at: row.unsigned(8)?,
        })
    }

    pub(crate) fn values(&self) -> Result<[Value; 9], StoreError> {
        Ok([
            self.id.into(),
            self.cheque.into(),
            self.file.into(),
            self.bank.as_str().into(),
            self.account.as_str().into(),
            self.amount.into(),
            Value::Integer(self.stand as i64),
            to_blob(&self.outcome)?.into(),
            Value::unsigned(self.at)?,
        ])
    }

    pub(crate) fn find(tx: &mut dyn Tx, id: &Digest) -> Result<Option<Self>, StoreError> {
        tx.find(&CHEQUE_PRESENTMENT, &[(*id).into()])?.map(|row| Self::from_row(&row)).transpose()
    }
}

/// A presented cheque, read and verified, and where its money goes.
pub(crate) struct Presenting {
    pub(crate) id: Digest,
    pub(crate) file: Digest,
    pub(crate) bank: String,
    pub(crate) account: String,
    pub(crate) document: VerifiedCheque,
    /// Whether the file has room for a receipt.
    pub(crate) roomy: bool,
    /// The payee's account here; `None` when another bank presents.
    pub(crate) payee: Option<Id16>,
}

impl Presenting {
    fn message(&self) -> Message {
        Message { presentment: self.id, content: self.file }
    }
}

fn message(presentment: &Presentment<ChequeItem>) -> Message {
    Message { presentment: presentment.id, content: presentment.item.file_digest() }
}

/// What this message was answered before; the same id with another file is refused once the id was acted on.
fn known(tx: &mut dyn Tx, message: Message) -> Result<Option<ChequeOutcome>, Refusal> {
    match AnsweredRow::find(tx, &message.presentment)? {
        None => Ok(message.declined(tx)?),
        Some(row) if row.file == message.content => Ok(Some(row.outcome)),
        Some(_) => Err(Fault::new(Code::Conflict, "the same presentment with another file").into()),
    }
}

enum Verdict {
    Paid,
    Returned(ReturnCode),
}

impl Bank {
    /// `POST /v1/pay/cheque`: the caller is the center.
    pub(crate) async fn pay_cheque(
        self: Arc<Self>,
        _peer: Peer,
        presentment: Presentment<ChequeItem>,
    ) -> Result<Presented<ChequeOutcome>, Fault> {
        let id = presentment.id;
        let outcome = match self.pay_presented(&presentment).await {
            Ok(outcome) => outcome,
            Err(fault) if fault.is_definitive() => {
                self.decline_cheque(message(&presentment), ChequeOutcome::Refused(fault)).await?
            }
            Err(fault) => return Err(fault),
        };
        Ok(Presented { id, outcome })
    }

    async fn pay_presented(
        self: &Arc<Self>,
        presentment: &Presentment<ChequeItem>,
    ) -> Result<ChequeOutcome, Fault> {
        let file = presentment.item.file_digest();
        if let Some(answer) = self.answered(presentment.id, file).await? {
            return Ok(answer);
        }
        if !presentment.is_consistent(ItemKind::Cheque, &presentment.item.digest()?) {
            return Err(Fault::new(Code::Malformed, "the presentment id is not that of this item"));
        }
        if presentment.collecting_bank == self.config.name {
            return Err(Fault::new(Code::WrongRoute, "the bank's own cheques are not presented to it"));
        }
        let document = match self.judged(&presentment.item.cheque).await? {
            Ok(document) => document,
            Err(error @ ChequeError::Rejected(_)) => {
                // A block under a file that does not hold would not hold either.
                let answer = ChequeOutcome::Returned(error.return_code(), presentment.item.cheque.clone());
                return self.decline_cheque(message(presentment), answer).await;
            }
            Err(error) => return Err(error.into()),
        };
        check_slip(presentment, &document)?;
        let bank = presentment.collecting_bank.to_string();
        let account = presentment.account.to_string();
        let roomy = presentment.item.has_room();
        let presenting = Presenting { id: presentment.id, file, bank, account, document, roomy, payee: None };
        if presenting.document.cheque().bank != self.config.name {
            let answer = self.returned(&presenting.document, ReturnCode::WrongBank)?;
            return self.decline_cheque(presenting.message(), answer).await;
        }
        self.take_cheque("bank.pay.cheque", presenting).await
    }

    /// What was answered before; the same id with another file is refused.
    pub(crate) async fn answered(&self, id: Digest, file: Digest) -> Result<Option<ChequeOutcome>, Fault> {
        let message = Message { presentment: id, content: file };
        let work = move |tx: &mut dyn Tx| known(tx, message);
        Ok(self.seams.store.read(work).await?)
    }

    /// Writes a negative answer down, and gives what counts: the first answer to this message.
    pub(crate) async fn decline_cheque(
        &self,
        message: Message,
        answer: ChequeOutcome,
    ) -> Result<ChequeOutcome, Fault> {
        let now = self.now();
        let work = move |tx: &mut dyn Tx| {
            let row = AnsweredRow::find(tx, &message.presentment)?;
            if let Some(row) = row.filter(|row| row.file == message.content) {
                return Ok(row.outcome);
            }
            message.decline(tx, &answer, now)?;
            Ok::<_, Refusal>(message.declined(tx)?.unwrap_or_else(|| answer.clone()))
        };
        Ok(self.seams.store.commit("bank.cheque.decline", work).await?)
    }

    /// With a `return` block, where one fits.
    pub(crate) fn returned(
        &self,
        document: &VerifiedCheque,
        code: ReturnCode,
    ) -> Result<ChequeOutcome, Fault> {
        let now = self.now();
        let signer = self.cheque_signer(now)?;
        let file = match document.clone().give_back(code, &signer, now) {
            Ok(bundle) => write(&bundle).or_else(|_| write(document.bundle()))?,
            Err(_) => write(document.bundle())?,
        };
        Ok(ChequeOutcome::Returned(code, file))
    }

    fn paid(&self, document: &VerifiedCheque, settled: bool) -> Result<ChequeOutcome, Fault> {
        let now = self.now();
        let signer = self.cheque_signer(now)?;
        let mut bundle = document.clone().receipt(Outcome::Paid, &signer, now)?;
        if settled {
            let paid = self.judge(|trust| verify(bundle, trust)).map_err(fault)?;
            bundle = paid.receipt(Outcome::Settled, &signer, now)?;
        }
        Ok(ChequeOutcome::Paid(write(&bundle)?))
    }

    /// Presents, pays or returns in one transaction.
    pub(crate) async fn take_cheque(
        self: &Arc<Self>,
        point: &'static str,
        presenting: Presenting,
    ) -> Result<ChequeOutcome, Fault> {
        let bank = Arc::clone(self);
        let work = move |tx: &mut dyn Tx| {
            if let Some(known) = known(tx, presenting.message())? {
                return Ok(known);
            }
            bank.decide(tx, &presenting)
        };
        Ok(self.seams.store.commit(point, work).await?)
    }

    fn decide(&self, tx: &mut dyn Tx, presenting: &Presenting) -> Result<ChequeOutcome, Refusal> {
        let document = &presenting.document;
        let now = self.now();
        if let Some(payee) = presenting.payee {
            open_account(tx, payee)?;
        }
        let mut row = match ChequeRow::by_id(tx, &document.id())? {
            Some(row) if presenting.roomy => row,
            row => {
                // Countersigned by this bank's key and not in its register; or so large that no receipt could follow.
                let code = if row.is_some() { ReturnCode::ReferToDrawer } else { ReturnCode::Altered };
                let answer = self.returned(document, code)?;
                presenting.message().decline(tx, &answer, now)?;
                return Ok(answer);
            }
        };
        let verdict = match row.apply(Event::Present, &present_facts(&row, document, now)) {
            Err(refusal) => match refusal.return_code() {
                // Refused with a code: the register stays as it is, the holder gets the file back.
                Some(code) => Verdict::Returned(code),
                None => return Err(refusal.into()),
            },
            Ok(effect) => match effect.answer {
                Answer::Done => self.pay_or_return(tx, &mut row, presenting, now)?,
                Answer::Returned(code) => Verdict::Returned(code),
                _ => return Err(Fault::new(Code::Internal, "a presentment without an answer").into()),
            },
        };
        let settled = presenting.payee.is_some();
        let (stand, outcome) = match verdict {
            Verdict::Returned(code) => (Stand::Returned, self.returned(document, code)?),
            Verdict::Paid if settled => (Stand::Settled, self.paid(document, true)?),
            Verdict::Paid => (Stand::Paid, self.paid(document, false)?),
        };
        row.update(tx)?;
        let answered = AnsweredRow {
            id: presenting.id,
            cheque: document.id(),
            file: presenting.file,
            bank: presenting.bank.clone(),
            account: presenting.account.clone(),
            amount: document.cheque().amount.minor,
            stand,
            outcome,
            at: now.seconds(),
        };
        tx.insert(&CHEQUE_PRESENTMENT, &answered.values()?)?;
        Ok(answered.outcome)
    }

    /// In state `PRESENTED`: pays, or returns with the first code that holds.
    fn pay_or_return(
        &self,
        tx: &mut dyn Tx,
        row: &mut ChequeRow,
        presenting: &Presenting,
        now: Timestamp,
    ) -> Result<Verdict, Refusal> {
        let reserved = row.entry.reserved;
        let mut facts = facts(now);
        let code = match self.obstacle(tx, row, presenting, &mut facts)? {
            Some(code) => code,
            None => match row.apply(Event::Pay, &facts) {
                Ok(effect) => {
                    row.paid = Some(facts.today);
                    let to = presenting.payee.unwrap_or_else(|| id(Post::DueToClearing));
                    row.book(tx, effect.ledger, reserved, &presenting.id, to, now)?;
                    if presenting.payee.is_some() {
                        // Inside one bank there is no leg that could fail, and the payee is credited already.
                        facts.interbank_final = true;
                        row.apply(Event::Settle, &facts)?;
                    }
                    return Ok(Verdict::Paid);
                }
                Err(refusal) => refusal.return_code().unwrap_or(ReturnCode::ReferToDrawer),
            },
        };
        let effect = row.apply(Event::Return(code), &facts)?;
        let account = row.account;
        row.book(tx, effect.ledger, reserved, &presenting.id, account, now)?;
        Ok(Verdict::Returned(code))
    }

    /// Fills in what paying looks at; gives the codes that the guards do not know.
    fn obstacle(
        &self,
        tx: &mut dyn Tx,
        row: &ChequeRow,
        presenting: &Presenting,
        facts: &mut Facts,
    ) -> Result<Option<ReturnCode>, Refusal> {
        let document = &presenting.document;
        let cheque = document.cheque();
        let amount = cheque.amount.minor;
        facts.register_matches = row.account.to_string() == cheque.account.as_str()
            && row.number == cheque.number.0
            && row.amount == Some(amount)
            && cheque.amount.currency == self.config.currency;
        facts.notice_matches = row.notice.as_ref().is_some_and(|notice| notice.check(document).is_ok());
        facts.within_limit = self.within_day_limit(tx, row, amount, facts.today)?;
        let state = book::account(tx, row.account)?.ok_or(StoreError::Missing("ledger_account"))?;
        facts.funds_available = state.available_to_debit() >= amount;
        if row.entry.reserved {
            return Ok(None);
        }
        let account = tx.find(&ACCOUNT, &[row.account.into()])?.ok_or(StoreError::Missing("account"))?;
        if AccountRow::from_row(&account)?.closed.is_some() {
            return Ok(Some(ReturnCode::AccountClosed));
        }
        if presenting.payee == Some(row.account) {
            // It came back to its drawer: there is nothing to move.
            return Ok(Some(ReturnCode::ReferToDrawer));
        }
        let clearing = state.available_to_debit().checked_add(state.credits_pending)?;
        let uncollected = !facts.funds_available && clearing >= amount;
        let good = facts.register_matches && facts.notice_matches;
        Ok((uncollected && good).then_some(ReturnCode::Uncollected))
    }

    fn within_day_limit(
        &self,
        tx: &mut dyn Tx,
        row: &ChequeRow,
        amount: Minor,
        today: Day,
    ) -> Result<bool, Refusal> {
        let sql = "SELECT coalesce(sum(amount), 0) FROM cheque WHERE account = ?1 AND paid = ?2";
        let paid = tx.select(sql, &[row.account.into(), today.to_string().into()])?;
        let paid = paid.first().map_or(Ok(0), |row| row.unsigned(0))?;
        let limit = self.config.cheques.day_limit().value();
        Ok(paid.checked_add(amount.value()).is_some_and(|sum| sum <= limit))
    }
}

fn present_facts(row: &ChequeRow, document: &VerifiedCheque, now: Timestamp) -> Facts {
    let all = endorsements(document);
    let mut facts = facts(now);
    // Whether a cycle is open is the center's to say: it presents into one.
    facts.cycle_open = true;
    facts.payee_matches = row.endorsed == Some(endorsed(document, &all));
    if document.endorsements() > row.endorsements {
        // The file has endorsements that the register was never told of.
        facts.chain_fault = Some(ReturnCode::EndorsementMissing);
    }
    facts.repeat = Repeat::New;
    facts
}

/// The deposit block is the one of this presentment.
pub(crate) fn check_slip(
    presentment: &Presentment<ChequeItem>,
    document: &VerifiedCheque,
) -> Result<(), Fault> {
    let slip = document.deposit_slip().filter(|_| document.phase() == Phase::Deposited);
    let slip = slip.ok_or_else(|| Fault::new(Code::RequestInvalid, "the file does not end in a deposit"))?;
    if slip.presentment != presentment.id
        || slip.bank != presentment.collecting_bank
        || slip.account != presentment.account
    {
        return Err(feiqian_cheque::ChequeError::from(Rejection::NotHolder).into());
    }
    if document.cheque().amount != presentment.amount {
        return Err(Fault::new(Code::AmountMismatch, "the presentment is of another amount"));
    }
    Ok(())
}
