//! Orders about own cheques.

use std::path::Path;

use feiqian_cheque::StopReason;
use feiqian_cheque::messages::{Action, OrderRequest, RegisterLine};
use feiqian_crypto::Digest;
use feiqian_ledger::store::StoreExt;
use feiqian_wire::U64;
use feiqian_wire::error::Code;
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::cheque::act::{Act, Answer};
use crate::cheque::leaf::{LeafRow, LeafState};
use crate::cheque::list::line_fields;
use crate::cheque::{document, intent, read_document, with_attachments, write_cheque};
use crate::failure::{Failure, Result};
use crate::wallet::Wallet;

/// Reads `CUST`, `DUPL`, `FRAD` or `LOST`.
pub(crate) fn reason(text: &str) -> Result<StopReason> {
    let found = StopReason::ALL.into_iter().find(|reason| reason.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| {
        Failure::new(Code::Usage, format!("`{text}` is no reason")).hint("CUST, DUPL, FRAD or LOST")
    })
}

impl Wallet {
    /// Stop, unstop or void.
    pub(crate) async fn order_cheque(&self, number: u64, action: Action) -> Result<Value> {
        let named = match &action {
            Action::Stop(reason) => format!("stop {}", reason.as_str()),
            Action::Unstop => "unstop".to_owned(),
            Action::Void => "void".to_owned(),
            Action::Certify => "certify".to_owned(),
        };
        let intent = intent("order", &[&number.to_string(), &named]);
        let id = Digest(self.rng().random());
        let request = OrderRequest { order: id, number: U64(number), action, cheque: None };
        let row = self.plan_act(intent, id, Act::Order(request)).await?;
        match self.finish_and_report(&row).await? {
            Answer::Line(line) => self.shown_line(&line),
            _ => Err(Failure::broken("another answer than a line of the register")),
        }
    }

    fn shown_line(&self, line: &RegisterLine) -> Result<Value> {
        Ok(Value::Object(line_fields(line, self.config.currency)?))
    }

    /// Has the amount reserved; the file goes to the payee with the new block.
    pub(crate) async fn certify_cheque(&self, number: u64, out: Option<&Path>) -> Result<Value> {
        let leaf = self.seams.store.read(move |tx| LeafRow::find(tx, number)).await?;
        let leaf = leaf.filter(|leaf| leaf.state == LeafState::Issued).ok_or_else(|| {
            Failure::new(Code::NotFound, format!("this wallet has no issued cheque number {number}"))
        })?;
        let ours = leaf.file.as_ref().ok_or_else(|| Failure::broken("an issued cheque without file"))?;
        let ours = read_document(ours)?;
        let intent = intent("order", &[&number.to_string(), "certify"]);
        let id = Digest(self.rng().random());
        let request = OrderRequest {
            order: id,
            number: U64(number),
            action: Action::Certify,
            cheque: Some(document(&ours.clone().without_attachments())?),
        };
        let row = self.plan_act(intent, id, Act::Order(request)).await?;
        let Answer::Cheque(file) = self.finish_and_report(&row).await? else {
            return Err(Failure::broken("another answer than a certified cheque"));
        };
        if let Some(out) = out {
            write_cheque(out, &with_attachments(&file, &ours)?)?;
        }
        let terms = leaf.terms()?;
        Ok(json!({
            "number": number,
            "cheque": leaf.cheque,
            "state": "CERTIFIED",
            "amount": terms.amount.to_string(),
            "currency": terms.amount.currency,
            "payee": terms.payee.name,
            "file": out,
        }))
    }
}
