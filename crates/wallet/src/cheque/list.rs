//! What there is: own cheques as the drawee's register shows them, and received ones.

use std::collections::BTreeMap;

use feiqian_cheque::State;
use feiqian_cheque::messages::{RegisterLine, RegisterResponse};
use feiqian_ledger::store::StoreExt;
use feiqian_money::Currency;
use serde_json::{Map, Value, json};

use crate::cheque::leaf::{self, LeafRow, LeafState};
use crate::cheque::received;
use crate::failure::{Failure, Result};
use crate::wallet::Wallet;

/// A line of the register as it is shown.
pub(crate) fn line_fields(line: &RegisterLine, currency: Currency) -> Result<Map<String, Value>> {
    let value = json!({
        "number": line.number.0,
        "cheque": line.id,
        "state": line.state.as_str(),
        "amount": line.amount.map(|amount| amount.to_string()),
        "currency": line.amount.map_or(currency, |amount| amount.currency),
        "payee": line.payee,
        "date": line.date,
        "code": line.code.map(|code| code.as_str()),
        "iso20022": line.code.map(|code| code.iso20022()),
        "reserved": line.reserved,
    });
    match value {
        Value::Object(fields) => Ok(fields),
        _ => Err(Failure::broken("a line that is no object")),
    }
}

/// An own cheque that the register has not shown.
fn leaf_fields(row: &LeafRow) -> Result<Value> {
    let terms = row.terms()?;
    let state = match row.state {
        LeafState::Issued if terms.certify => State::Certified.as_str(),
        LeafState::Issued => State::Issued.as_str(),
        LeafState::Refused => "REFUSED",
        _ => State::Signed.as_str(),
    };
    Ok(json!({
        "number": row.number,
        "cheque": row.cheque,
        "state": state,
        "amount": terms.amount.to_string(),
        "currency": terms.amount.currency,
        "payee": terms.payee.name,
        "date": terms.date,
        "code": row.refusal.as_ref().map(|fault| fault.code),
        "iso20022": null,
        "reserved": false,
    }))
}

impl Wallet {
    /// The register decides; without an answer of the bank the last known state is shown.
    pub(crate) async fn list_cheques(&self) -> Result<Value> {
        let asked: Result<RegisterResponse> =
            self.certified(self.config.bank.as_str(), "/v1/account/cheque/list", &()).await;
        let (lines, current) = match asked {
            Ok(answer) => (answer.lines.into_vec(), true),
            Err(Failure::Fault(fault)) if !fault.is_definitive() => (Vec::new(), false),
            Err(failure) => return Err(failure),
        };
        let shown = self.keep_lines(lines).await?;
        let (leaves, received) = self
            .seams
            .store
            .read(|tx| Ok::<_, Failure>((LeafRow::count_free(tx)?, received::all(tx)?)))
            .await?;
        let received: Vec<Value> = received.iter().map(received_fields).collect();
        Ok(json!({
            "cheques": shown,
            "received": received,
            "leaves": leaves,
            "register": if current { "current" } else { "last known" },
        }))
    }

    async fn keep_lines(&self, lines: Vec<RegisterLine>) -> Result<Vec<Value>> {
        let currency = self.config.currency;
        let kept = lines.clone();
        let rows = self
            .seams
            .store
            .commit("wallet.cheque.register", move |tx| {
                for line in &kept {
                    leaf::note_line(tx, line)?;
                }
                LeafRow::used(tx)
            })
            .await?;
        let mut shown: BTreeMap<u64, Value> = BTreeMap::new();
        for line in lines.iter().filter(|line| line.state != State::Allotted) {
            shown.insert(line.number.0, Value::Object(line_fields(line, currency)?));
        }
        for row in &rows {
            let value = match &row.line {
                Some(line) if line.state != State::Allotted => Value::Object(line_fields(line, currency)?),
                _ => leaf_fields(row)?,
            };
            shown.entry(row.number).or_insert(value);
        }
        Ok(shown.into_values().rev().collect())
    }
}

fn received_fields(row: &received::ReceivedCheque) -> Value {
    let (cheque, code) = (&row.cheque, row.state.code());
    json!({
        "cheque": row.id,
        "number": cheque.number.0,
        "drawee": cheque.bank,
        "account": cheque.account,
        "amount": cheque.amount.to_string(),
        "currency": cheque.amount.currency,
        "payee": cheque.payee.name,
        "date": cheque.date,
        "state": row.state.as_str(),
        "code": code.map(feiqian_cheque::ReturnCode::as_str),
        "iso20022": code.map(feiqian_cheque::ReturnCode::iso20022),
    })
}
