//! Cheques that came to us.

use feiqian_cheque::messages::{ChequeOutcome, Document};
use feiqian_cheque::{Cheque, ReturnCode};
use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, Tx, Value};
use feiqian_wire::Timestamp;

use crate::failure::Result;
use crate::record::{decode, encode, select};
use crate::tables::CHEQUE_RECEIVED;

/// Where a received cheque stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Here.
    Held,
    /// Passed on.
    Endorsed,
    /// At the own bank.
    Deposited,
    /// Paid.
    Paid,
    /// Came back.
    Returned(ReturnCode),
}

impl State {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Endorsed => "endorsed",
            Self::Deposited => "deposited",
            Self::Paid => "paid",
            Self::Returned(_) => "returned",
        }
    }

    pub(crate) const fn code(self) -> Option<ReturnCode> {
        match self {
            Self::Returned(code) => Some(code),
            _ => None,
        }
    }
}

/// A received cheque as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct ReceivedCheque {
    pub(crate) id: Digest,
    pub(crate) cheque: Cheque,
    pub(crate) state: State,
}

/// Keeps a cheque that is not known yet.
pub(crate) fn take_in(
    tx: &mut dyn Tx,
    id: &Digest,
    cheque: &Cheque,
    file: &Document,
    now: Timestamp,
) -> Result<()> {
    if tx.find(&CHEQUE_RECEIVED, &[(*id).into()])?.is_some() {
        return Ok(());
    }
    let values = [
        (*id).into(),
        encode(cheque)?.into(),
        file.to_vec().into(),
        State::Held.as_str().into(),
        None::<String>.into(),
        Value::unsigned(now.seconds())?,
    ];
    Ok(tx.insert(&CHEQUE_RECEIVED, &values)?)
}

/// Keeps where a cheque stands, with its newest file.
pub(crate) fn advance(tx: &mut dyn Tx, id: &Digest, file: &Document, state: State) -> Result<()> {
    let row = tx.find(&CHEQUE_RECEIVED, &[(*id).into()])?.ok_or(StoreError::Missing(CHEQUE_RECEIVED.name))?;
    let code = state.code().map(|code| code.as_str().to_owned());
    let values = [
        (*id).into(),
        row.blob(1)?.into(),
        file.to_vec().into(),
        state.as_str().into(),
        code.into(),
        Value::unsigned(row.unsigned(5)?)?,
    ];
    Ok(tx.update(&CHEQUE_RECEIVED, &values)?)
}

/// Keeps what became of a deposit.
pub(crate) fn settle(
    tx: &mut dyn Tx,
    id: &Digest,
    deposited: &Document,
    outcome: &ChequeOutcome,
) -> Result<()> {
    match outcome {
        ChequeOutcome::Paid(file) => advance(tx, id, file, State::Paid),
        ChequeOutcome::Returned(code, file) => advance(tx, id, file, State::Returned(*code)),
        ChequeOutcome::Refused(_) => advance(tx, id, deposited, State::Held),
    }
}

/// All of them, newest first.
pub(crate) fn all(tx: &mut dyn Tx) -> Result<Vec<ReceivedCheque>> {
    let rows = select(tx, &CHEQUE_RECEIVED, "ORDER BY created DESC, cheque LIMIT 1000", &[])?;
    let mut all = Vec::with_capacity(rows.len());
    for row in &rows {
        let corrupt = || StoreError::Corrupt("cheque_received: state".to_owned());
        let state = match row.text(3)? {
            "held" => State::Held,
            "endorsed" => State::Endorsed,
            "deposited" => State::Deposited,
            "paid" => State::Paid,
            "returned" => State::Returned(row.text(4)?.parse().map_err(|_| corrupt())?),
            _ => return Err(corrupt().into()),
        };
        all.push(ReceivedCheque {
            id: row.digest(0)?,
            cheque: decode(row.blob(1)?, &CHEQUE_RECEIVED)?,
            state,
        });
    }
    Ok(all)
}
