//! Acts: calls that change something at a bank.
//!
//! The row with everything that is sent is written first, then the call is made, then its answer is written together
//! with what it changes here. An act whose answer was lost is repeated word for word, under the same id.

use feiqian_cheque::book::Allotment;
use feiqian_cheque::messages::{
    Action, BookRequest, BookResponse, ChequeDeposit, ChequeDepositResponse, ChequeOutcome, ChequeResponse,
    EndorseRequest, OrderRequest, RegisterLine, SendRequest,
};
use feiqian_clearing::remittance::{TransferOrder, TransferOutcome};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_node::{CallError, Caller};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, Timestamp};
use serde::{Deserialize, Serialize};

use crate::cheque::{leaf, received};
use crate::failure::{Failure, Result};
use crate::record::{decode, encode, next_number, select};
use crate::tables::ACT;
use crate::wallet::Wallet;

/// What is asked of a bank, as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Leaves, of the own bank.
    Book(BookRequest),
    /// About an own cheque, of the own bank.
    Order(OrderRequest),
    /// Control to the next holder, of the drawee.
    Endorse {
        /// The drawee.
        bank: Name,
        /// The cheque's id.
        cheque: Digest,
        /// With the new block.
        request: EndorseRequest,
    },
    /// Collection, of the own bank.
    Deposit {
        /// The cheque's id.
        cheque: Digest,
        /// With the deposit block.
        request: ChequeDeposit,
    },
    /// Into the payee's box, of the payee's bank.
    Send {
        /// The payee's bank.
        bank: Name,
        /// With the file.
        request: SendRequest,
    },
    /// A credit elsewhere, of the own bank.
    Transfer(TransferOrder),
}

impl Act {
    fn kind(&self) -> &'static str {
        match self {
            Self::Book(_) => "book",
            Self::Order(_) => "order",
            Self::Endorse { .. } => "endorse",
            Self::Deposit { .. } => "deposit",
            Self::Send { .. } => "send",
            Self::Transfer(_) => "transfer",
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Book(Allotment),
    Line(RegisterLine),
    /// The cheque with one more block of the bank.
    Cheque(feiqian_cheque::messages::Document),
    Deposit(ChequeOutcome),
    Sent,
    Transfer(TransferOutcome),
    /// The bank refused it for good; nothing was changed.
    Refused(Fault),
}

/// An act as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct ActRow {
    pub(crate) id: Digest,
    pub(crate) intent: Digest,
    pub(crate) act: Act,
    pub(crate) answer: Option<Answer>,
    pub(crate) reported: bool,
    pub(crate) number: u64,
    pub(crate) created: u64,
    /// Written just now: it was certainly not tried before. Not stored.
    pub(crate) fresh: bool,
}

impl ActRow {
    pub(crate) fn of(row: &Row) -> Result<Self> {
        let answer = if row.is_null(5) { None } else { Some(decode(row.blob(5)?, &ACT)?) };
        Ok(Self {
            id: row.digest(0)?,
            intent: row.digest(2)?,
            act: decode(row.blob(3)?, &ACT)?,
            answer,
            reported: row.boolean(6)?,
            number: row.unsigned(7)?,
            created: row.unsigned(8)?,
            fresh: false,
        })
    }

    pub(crate) fn values(&self) -> Result<Vec<Value>> {
        let state = match &self.answer {
            None => "open",
            Some(Answer::Refused(_)) => "refused",
            Some(_) => "done",
        };
        Ok(vec![
            self.id.into(),
            self.act.kind().into(),
            self.intent.into(),
            encode(&self.act)?.into(),
            state.into(),
            self.answer.as_ref().map(encode).transpose()?.into(),
            self.reported.into(),
            Value::unsigned(self.number)?,
            Value::unsigned(self.created)?,
        ])
    }

    /// Everything unfinished, oldest first.
    pub(crate) fn open(tx: &mut dyn Tx) -> Result<Vec<Self>> {
        select(tx, &ACT, "WHERE state = 'open' ORDER BY number", &[])?.iter().map(Self::of).collect()
    }

    /// The last act of that intent.
    pub(crate) fn latest(tx: &mut dyn Tx, intent: &Digest) -> Result<Option<Self>> {
        let sql = "WHERE intent = ?1 ORDER BY number DESC LIMIT 1";
        select(tx, &ACT, sql, &[(*intent).into()])?.first().map(Self::of).transpose()
    }
}

/// Where an act stands after a try.
#[derive(Debug)]
pub(crate) enum Reached {
    /// Its answer is written.
    Done(Answer),
    /// A deposit on its way; `paid` by the drawee but not settled, or not even that.
    Waiting { presentment: Digest, paid: bool },
}

/// Why a try brought no answer.
#[derive(Debug)]
pub(crate) enum Miss {
    /// Nothing was sent this time.
    Unsent(Failure),
    /// The peer said so, or what stands before its handlers.
    Answered(Fault),
    /// The own bank's last word on a deposit.
    Final(Fault),
    /// It may have been done.
    Doubt(Failure),
}

impl From<Failure> for Miss {
    fn from(failure: Failure) -> Self {
        Self::Doubt(failure)
    }
}

impl Miss {
    /// The fault, where it settles that nothing was done and nothing will be.
    ///
    /// `untried`: no try before this one can have arrived. After one that may have, what the door says today (a
    /// certificate revoked, an account closed since then, another root) says nothing of what was done before.
    ///
    /// # Errors
    /// What leaves it open.
    pub(crate) fn refusal(self, untried: bool) -> Result<Fault> {
        match self {
            Self::Final(fault) if fault.is_definitive() => Ok(fault),
            Self::Answered(fault) if fault.is_definitive() && (untried || !is_of_the_door(fault.code)) => {
                Ok(fault)
            }
            Self::Unsent(Failure::Fault(fault)) if untried && fault.is_definitive() => Ok(fault),
            Self::Answered(fault) if fault.is_definitive() => Err(Failure::from(fault)
                .hint("an earlier try may have been carried out: it stays open, and is tried again")),
            Self::Answered(fault) => Err(CallError::Fault(fault).into()),
            Self::Final(fault) => Err(fault.into()),
            Self::Unsent(failure) | Self::Doubt(failure) => Err(failure),
        }
    }
}

/// Whether a peer may say this before it looks at what is asked.
const fn is_of_the_door(code: Code) -> bool {
    matches!(
        code,
        Code::UnsupportedVersion
            | Code::Unauthenticated
            | Code::CertificateNotAllowed
            | Code::Forbidden
            | Code::AccountClosed
            | Code::CertificateInvalid
            | Code::WrongRoot
    )
}

impl Wallet {
    /// Writes an act before it is tried, or takes up the last one of that intent whose answer the owner was not given.
    pub(crate) async fn plan_act(&self, intent: Digest, id: Digest, act: Act) -> Result<ActRow> {
        let now = self.now();
        self.seams
            .store
            .commit("wallet.cheque.plan", move |tx| {
                if let Some(known) = ActRow::latest(tx, &intent)?
                    && !known.reported
                {
                    return Ok(known);
                }
                insert(tx, intent, id, act.clone(), now)
            })
            .await
    }

    /// Tries an act until it has an answer.
    ///
    /// # Errors
    /// What leaves it open: peers that do not answer, the store.
    pub(crate) async fn drive_act(&self, row: &ActRow) -> Result<Reached> {
        if let Some(answer) = &row.answer {
            return Ok(Reached::Done(answer.clone()));
        }
        // A second copy in somebody's box does no harm: there the peer's word is enough.
        let untried = row.fresh || matches!(row.act, Act::Send { .. });
        let answer = match self.try_act(&row.act).await {
            Ok(Reached::Done(answer)) => answer,
            Ok(waiting) => return Ok(waiting),
            Err(miss) => Answer::Refused(miss.refusal(untried)?),
        };
        self.finish_act(row.clone(), answer).await
    }

    async fn try_act(&self, act: &Act) -> Result<Reached, Miss> {
        let done = |answer| Ok(Reached::Done(answer));
        let own = self.config.bank.as_str();
        match act {
            Act::Book(request) => {
                let answer: BookResponse = self.told(own, "/v1/account/cheque/book", request).await?;
                self.check_book(request, &answer.allotment)?;
                done(Answer::Book(answer.allotment))
            }
            Act::Order(request) if request.action == Action::Certify => {
                let answer: ChequeResponse = self.told(own, "/v1/account/cheque/certify", request).await?;
                if let Some(ours) = &request.cheque {
                    self.check_extended(ours, &answer.cheque, true).await?;
                }
                done(Answer::Cheque(answer.cheque))
            }
            Act::Order(request) => {
                let line: RegisterLine = self.told(own, "/v1/account/cheque/order", request).await?;
                if line.number != request.number {
                    return Err(lying("another cheque's line").into());
                }
                done(Answer::Line(line))
            }
            Act::Endorse { bank, cheque, request } => {
                let line: RegisterLine = self.told(bank.as_str(), "/v1/cheque/endorse", request).await?;
                if line.id != *cheque {
                    return Err(lying("another cheque's line").into());
                }
                done(Answer::Line(line))
            }
            Act::Deposit { request, .. } => {
                let answer: ChequeDepositResponse =
                    self.told(own, "/v1/account/cheque/deposit", request).await?;
                match answer {
                    ChequeDepositResponse::Pending { presentment, paid } => {
                        Ok(Reached::Waiting { presentment, paid })
                    }
                    ChequeDepositResponse::Final(ChequeOutcome::Refused(fault)) => Err(Miss::Final(fault)),
                    ChequeDepositResponse::Final(outcome) => {
                        self.check_outcome(&request.cheque, &outcome).await?;
                        done(Answer::Deposit(outcome))
                    }
                }
            }
            Act::Send { bank, request } => {
                let (): () = self.told(bank.as_str(), "/v1/account/cheque/send", request).await?;
                done(Answer::Sent)
            }
            Act::Transfer(order) => {
                let outcome: TransferOutcome = self.told(own, "/v1/account/transfer", order).await?;
                done(Answer::Transfer(outcome))
            }
        }
    }

    /// Asks a bank for something that must not be done twice.
    pub(crate) async fn told<Req, Res>(&self, bank: &str, path: &str, request: &Req) -> Result<Res, Miss>
    where
        Req: Serialize + Sync + 'static,
        Res: serde::de::DeserializeOwned,
    {
        let to = self.bank_target(bank).await.map_err(Miss::Unsent)?;
        match self.ask(&to, Caller::Certified, path, request).await {
            Ok(answer) => Ok(answer),
            Err(CallError::Fault(fault)) => Err(Miss::Answered(fault)),
            Err(error) if error.is_definitive() => Err(Miss::Unsent(error.into())),
            Err(error) => Err(Miss::Doubt(error.into())),
        }
    }

    pub(crate) async fn certified<Req, Res>(&self, bank: &str, path: &str, request: &Req) -> Result<Res>
    where
        Req: Serialize + Sync + 'static,
        Res: serde::de::DeserializeOwned,
    {
        let to = self.bank_target(bank).await?;
        let answer: Result<Res, CallError> = self.ask(&to, Caller::Certified, path, request).await;
        Ok(answer?)
    }

    async fn finish_act(&self, mut row: ActRow, answer: Answer) -> Result<Reached> {
        row.answer = Some(answer.clone());
        self.seams
            .store
            .commit("wallet.cheque.answer", move |tx| {
                match (&row.act, &row.answer) {
                    (Act::Book(_), Some(Answer::Book(allotment))) => leaf::shelve(tx, allotment)?,
                    (_, Some(Answer::Line(line))) if matches!(row.act, Act::Order(_)) => {
                        leaf::note_line(tx, line)?
                    }
                    (Act::Order(request), Some(Answer::Cheque(file))) => {
                        leaf::note_file(tx, request.number.0, file)?;
                    }
                    (Act::Endorse { cheque, request, .. }, Some(Answer::Line(_))) => {
                        received::advance(tx, cheque, &request.cheque, received::State::Endorsed)?;
                    }
                    (Act::Deposit { cheque, request }, Some(Answer::Deposit(outcome))) => {
                        received::settle(tx, cheque, &request.cheque, outcome)?;
                    }
                    (Act::Deposit { cheque, request }, Some(Answer::Refused(_))) => {
                        received::advance(tx, cheque, &request.cheque, received::State::Held)?;
                    }
                    _ => {}
                }
                tx.update(&ACT, &row.values()?)?;
                Ok::<_, Failure>(())
            })
            .await?;
        Ok(Reached::Done(answer))
    }

    /// The owner was told: the next act of the same words is a new one.
    pub(crate) async fn report_act(&self, id: Digest) -> Result<()> {
        self.seams
            .store
            .commit("wallet.cheque.report", move |tx| {
                let found = tx.find(&ACT, &[id.into()])?.ok_or_else(|| Failure::broken("an act is gone"))?;
                let mut row = ActRow::of(&found)?;
                row.reported = true;
                tx.update(&ACT, &row.values()?)?;
                Ok::<_, Failure>(())
            })
            .await
    }
}

/// Writes an act that is to be tried.
pub(crate) fn insert(
    tx: &mut dyn Tx,
    intent: Digest,
    id: Digest,
    act: Act,
    now: Timestamp,
) -> Result<ActRow> {
    let number = next_number(tx, "", "act", 0)?;
    let row = ActRow {
        id,
        intent,
        act,
        answer: None,
        reported: false,
        number,
        created: now.seconds(),
        fresh: true,
    };
    tx.insert(&ACT, &row.values()?)?;
    Ok(row)
}

pub(crate) fn lying(what: &str) -> Failure {
    Failure::new(Code::Unavailable, format!("the bank answered with {what}"))
}
