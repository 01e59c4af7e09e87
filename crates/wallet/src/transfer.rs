//! A credit to an account elsewhere: ordered at the own bank, signed, durable.

use feiqian_clearing::remittance::{TransferOutcome, TransferTerms};
use feiqian_crypto::{Digest, Id16, Transcript};
use feiqian_money::Amount;
use feiqian_wire::Text;
use feiqian_wire::error::Fault;
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::answer::show;
use crate::cheque::act::{Act, Answer, Reached};
use crate::cheque::read_place;
use crate::failure::{Failure, Result};
use crate::wallet::Wallet;

impl Wallet {
    pub(crate) async fn transfer(&self, to: &str, amount: Amount, memo: String) -> Result<Value> {
        let asked = read_place(to)?;
        // A name is resolved by the receiving bank; a token goes as it is, and comes back when nobody has it.
        let place = if asked.account.parse::<Id16>().is_ok() { asked } else { self.payee(to).await?.place };
        let intent = Transcript::new("wallet/transfer/intent")
            .text(to)
            .integer(amount.minor.value())
            .text(amount.currency.code())
            .text(&memo)
            .into_digest();
        let id = Digest(self.rng().random());
        let terms = TransferTerms {
            id,
            bank: self.config.bank.clone(),
            account: Text::new(self.config.account.clone())?,
            to_bank: place.bank,
            to_account: place.account,
            amount,
            memo: Text::new(memo)?,
        };
        let order = terms.sign(&self.signing).map_err(Fault::from)?;
        let row = self.plan_act(intent, id, Act::Transfer(order)).await?;
        let shown = |outcome: &str, code: Option<(&str, &str)>| {
            show(&json!({
                "transfer": row.id,
                "to": to,
                "amount": amount.to_string(),
                "currency": amount.currency,
                "outcome": outcome,
                "code": code.map(|code| code.0),
                "iso20022": code.map(|code| code.1),
            }))
        };
        let answer = match self.drive_act(&row).await? {
            Reached::Done(answer) => answer,
            Reached::Waiting { .. } => return shown("pending", None),
        };
        self.report_act(row.id).await?;
        match answer {
            Answer::Transfer(TransferOutcome::Booked) => shown("booked", None),
            Answer::Transfer(TransferOutcome::Returned(why)) => {
                shown("returned", Some((why.as_str(), why.iso20022())))
            }
            Answer::Refused(fault) => Err(fault.into()),
            _ => Err(Failure::broken("another answer than that of a transfer")),
        }
    }
}
