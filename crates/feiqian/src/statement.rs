//! `feiqian bank statement --iso20022`: a bank's statement as the message that other banks' systems read.

use feiqian_bank::{StatementAnswer, StatementLine};
use feiqian_clearing::iso20022::{
    AccountId, Advice, Balance, CAMT_053, CAMT_054, Details, Entry, EntryKind, EntryStatus, ExportError,
    Party, Reference, Side, Statement,
};
use feiqian_money::{Amount, Currency, MoneyError};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, OutOfBounds, Timestamp};
use serde_json::{Value, json};

use crate::cli::Message;

/// Why a statement cannot be written as a message.
#[derive(Debug, thiserror::Error)]
enum Unwritable {
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error(transparent)]
    Money(#[from] MoneyError),
    #[error(transparent)]
    Name(#[from] OutOfBounds),
    #[error("the bank says `{0}` of a booking, which this program does not know")]
    Unknown(String),
}

/// The answer's statement as `message`: `{"message", "xml"}`.
///
/// # Errors
/// `INTERNAL` when the bank's answer cannot be read; `REQUEST_INVALID` when the message cannot hold it, as an advice of
/// a statement without bookings.
pub(crate) fn export(answer: Value, message: Message) -> Result<Value, Fault> {
    let statement: StatementAnswer = serde_json::from_value(answer).map_err(|error| {
        Fault::new(Code::Internal, format!("the bank's statement cannot be read: {error}"))
    })?;
    let (name, written) = match message {
        Message::Statement => (CAMT_053, as_statement(&statement)),
        Message::Advice => (CAMT_054, as_advice(&statement)),
    };
    let xml = written.map_err(|error| {
        Fault::new(Code::RequestInvalid, format!("the statement cannot be written as {name}: {error}"))
    })?;
    Ok(json!({"message": name, "number": statement.number, "xml": xml}))
}

fn as_statement(answer: &StatementAnswer) -> Result<String, Unwritable> {
    let currency = currency(answer)?;
    let balance = |text: &str| -> Result<Balance, MoneyError> {
        // A customer's account never owes.
        Ok(Balance { minor: Amount::parse(text, currency)?.minor, side: Side::Credit })
    };
    let statement = Statement {
        id: id(answer, "S")?,
        sequence: answer.number,
        created: Timestamp::new(answer.until),
        from: Timestamp::new(answer.from),
        to: Timestamp::new(answer.until),
        holder: holder(answer)?,
        currency,
        opening: balance(&answer.opening)?,
        entries: entries(answer, currency)?,
        closing: balance(&answer.closing)?,
    };
    Ok(statement.to_xml()?)
}

fn as_advice(answer: &StatementAnswer) -> Result<String, Unwritable> {
    let currency = currency(answer)?;
    let advice = Advice {
        id: id(answer, "A")?,
        created: Timestamp::new(answer.until),
        holder: holder(answer)?,
        currency,
        entries: entries(answer, currency)?,
    };
    Ok(advice.to_xml()?)
}

fn currency(answer: &StatementAnswer) -> Result<Currency, MoneyError> {
    answer.currency.parse()
}

/// Half of the account's token and the number: no two statements of a bank in a lifetime share it.
fn id(answer: &StatementAnswer, kind: &str) -> Result<Reference, ExportError> {
    let account = answer.account.get(..16).unwrap_or(&answer.account);
    Reference::new(format!("{kind}-{account}-{}", answer.number))
}

fn holder(answer: &StatementAnswer) -> Result<Party, Unwritable> {
    let (account, bank) = (AccountId::new(answer.account.as_str())?, Name::new(answer.bank.as_str())?);
    Ok(Party { name: answer.name.clone(), account, bank })
}

fn entries(answer: &StatementAnswer, currency: Currency) -> Result<Vec<Entry>, Unwritable> {
    answer.lines.iter().map(|line| entry(line, currency)).collect()
}

fn entry(line: &StatementLine, currency: Currency) -> Result<Entry, Unwritable> {
    let unknown = |word: &str| Unwritable::Unknown(word.to_owned());
    let side = match line.side.as_str() {
        "credit" => Side::Credit,
        "debit" => Side::Debit,
        other => return Err(unknown(other)),
    };
    let kind = kind(&line.event).ok_or_else(|| unknown(&line.event))?;
    Ok(Entry {
        reference: Reference::new(line.id.as_str())?,
        amount: Amount::parse(&line.amount, currency)?,
        side,
        status: EntryStatus::Booked,
        reversal: kind == EntryKind::ChequeReturn,
        booked: Timestamp::new(line.at),
        kind,
        details: Details::default(),
    })
}

/// What a word of the bank's journal is in the messages.
fn kind(event: &str) -> Option<EntryKind> {
    Some(match event {
        "pay_in" => EntryKind::Funding,
        "pay_out" => EntryKind::Payout,
        "withdraw" => EntryKind::Withdrawal,
        "deposit" => EntryKind::Deposit,
        "refund" | "claim" => EntryKind::Refund,
        "cheque_certified" | "cheque_paid" | "cheque_settled" | "cheque_collected" => EntryKind::Cheque,
        "cheque_unwound" => EntryKind::ChequeReturn,
        "transfer" | "transfer_sent" | "transfer_received" => EntryKind::Transfer,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails where it stands")]

    use super::*;

    fn answer() -> Value {
        let line = |event: &str, side: &str, amount: &str, balance: &str| {
            json!({
                "at": 1_796_119_200, "id": "b127c4ab4762f7963ae9fd877617647a", "event": event, "side": side,
                "amount": amount, "balance": balance, "counterpart": "vault",
            })
        };
        json!({
            "bank": "north", "account": "34938de90f4172159d85a19853f35200", "name": "alice", "number": 3,
            "currency": "CNY", "opening": "10.00", "closing": "759.50", "from": 1_796_119_200,
            "until": 1_796_119_300,
            "lines": [
                line("pay_in", "credit", "1000.00", "1010.00"),
                line("cheque_paid", "debit", "250.50", "759.50"),
            ],
        })
    }

    #[test]
    fn a_statement_becomes_both_messages() {
        let shown = export(answer(), Message::Statement).unwrap();
        let xml = shown["xml"].as_str().unwrap();
        assert_eq!(shown["message"], "camt.053.001.08");
        for part in
            ["<ElctrncSeqNb>3<", ">759.50<", ">250.50<", "<Cd>ICHQ</Cd>", "34938de90f4172159d85a19853f35200"]
        {
            assert!(xml.contains(part), "{part} in {xml}");
        }
        let shown = export(answer(), Message::Advice).unwrap();
        assert_eq!(shown["message"], "camt.054.001.08");
        assert!(shown["xml"].as_str().unwrap().contains("BkToCstmrDbtCdtNtfctn"));
    }

    #[test]
    fn what_does_not_add_up_is_no_statement() {
        let mut bad = answer();
        bad["closing"] = Value::from("759.51");
        assert_eq!(export(bad, Message::Statement).unwrap_err().code, Code::RequestInvalid);
        let mut strange = answer();
        strange["lines"][0]["event"] = Value::from("gift");
        let fault = export(strange, Message::Advice).unwrap_err();
        assert!(fault.message.contains("gift"), "{}", fault.message);
    }
}
