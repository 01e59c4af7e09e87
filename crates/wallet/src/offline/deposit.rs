//! Offline value back onto the own account: a request of one's own, paid and presented by oneself.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Amount;
use feiqian_money::Minor;
use feiqian_node::Caller;
use feiqian_offline_cash::deposit::{Outcome, Receipt, Source};
use feiqian_offline_cash::messages::{DepositRequest, DepositResponse};
use feiqian_offline_cash::pay::CashItem;
use feiqian_offline_cash::purse::Until;
use feiqian_offline_cash::request::{PaymentRequest, SignedRequest};
use feiqian_wire::Text;
use feiqian_wire::error::Code;
use rand::RngExt as _;
use serde_json::{Value, json};

use super::pay::Purpose;
use super::rows::PaymentRow;
use super::tables::OFFLINE_PAYMENT;
use crate::answer::{intent, show};
use crate::failure::{Failure, Result};
use crate::record::{decode, encode, note};
use crate::wallet::Wallet;

/// How long an own request is open, seconds: it is paid in the same breath.
const SECONDS: u64 = 3_600;

impl Wallet {
    /// `{"payment","outcome","amount","paid","unpaid","currency"}`; outcome `paid` or `pending`.
    pub(crate) async fn deposit_offline(&self, amount: Amount) -> Result<Value> {
        let intent = intent("deposit_offline", amount);
        let adopted = self.seams.store.read(move |tx| PaymentRow::unreported(tx, &intent)).await?;
        let row = match adopted {
            Some(row) => row,
            None => {
                let request = self.own_request(amount)?;
                let purpose =
                    Purpose { kind: "deposit", point: "wallet.offline.deposit", intent: Some(intent) };
                self.spend_on(request, purpose).await?
            }
        };
        let row = if row.state == "open" { self.present_offline(row).await? } else { row };
        let told = self.report_deposit(row.owner).await?;
        let receipt: Option<Receipt> = told
            .outcome
            .as_ref()
            .filter(|_| told.state == "done")
            .map(|body| decode(body, &OFFLINE_PAYMENT))
            .transpose()?;
        if told.state == "refused" {
            return Err(Failure::new(
                Code::Void,
                "the bank refused this deposit; its value can be reclaimed later",
            ));
        }
        let (paid, unpaid) = receipt.as_ref().map_or(Ok((Minor::ZERO, Minor::ZERO)), sums)?;
        show(&json!({
            "payment": told.payment, "outcome": if told.state == "done" { "paid" } else { "pending" },
            "amount": amount.to_string(), "paid": self.amount(paid).to_string(),
            "unpaid": self.amount(unpaid).to_string(), "currency": amount.currency,
        }))
    }

    fn own_request(&self, amount: Amount) -> Result<SignedRequest> {
        let request = PaymentRequest {
            leaf: self.leaf.clone(),
            issuer: self.issuer,
            name: Text::fitted(&self.config.name),
            amount,
            order: Text::fitted("deposit"),
            bank: self.config.bank.clone(),
            account: self.offline_account()?,
            till: Text::fitted("wallet"),
            keysets: self.offline_views(Until::Deposit)?,
            expires: self.now().saturating_add(SECONDS),
            nonce: Digest(self.rng().random()),
        };
        Ok(SignedRequest::sign(request, &self.signing)?)
    }

    /// Sends a deposit; the same item however often.
    async fn present_offline(&self, row: PaymentRow) -> Result<PaymentRow> {
        let item = row.item.as_ref().ok_or_else(|| Failure::broken("a deposit without its item"))?;
        let item: CashItem = decode(item, &OFFLINE_PAYMENT)?;
        let to = self.bank_target(self.config.bank.as_str()).await?;
        let path = "/v1/account/offline/deposit";
        let (state, outcome) = match self.ask(&to, Caller::Certified, path, &DepositRequest { item }).await {
            Ok(DepositResponse::Pending { .. }) => return Ok(row),
            Ok(DepositResponse::Final(Outcome::Settled(receipt) | Outcome::Before(receipt))) => {
                let issuer = receipt.terms.bank.as_str();
                receipt.verify(&self.bank_signer(issuer).await?)?;
                let terms = &receipt.terms;
                if (terms.payment, terms.request, terms.amount.minor) != (row.payment, row.owner, row.amount)
                {
                    return Err(feiqian_offline_cash::Rejection::RequestMismatch.into());
                }
                ("done", encode(&receipt)?)
            }
            Ok(DepositResponse::Final(Outcome::Refused(fault))) => ("refused", encode(&fault)?),
            // Only the bank's final word about this payment ends it: an earlier try may have been taken.
            Err(error) => return Err(error.into()),
        };
        let (now, bank) = (self.now(), self.config.bank.as_str().to_owned());
        let settle = move |tx: &mut dyn Tx| {
            let mut row = row.clone();
            (row.state, row.outcome) = (state.to_owned(), Some(outcome.clone()));
            tx.update(&OFFLINE_PAYMENT, &row.values()?)?;
            note(tx, now, &format!("offline_deposit_{state}"), row.amount, &bank, &row.payment)?;
            Ok::<_, Failure>(row)
        };
        self.seams.store.commit("wallet.offline.deposited", settle).await
    }

    async fn report_deposit(&self, owner: Digest) -> Result<PaymentRow> {
        let report = move |tx: &mut dyn Tx| {
            let found = PaymentRow::find(tx, &owner)?;
            let mut row = found.ok_or_else(|| Failure::broken("a deposit that is gone"))?;
            row.reported = true;
            tx.update(&OFFLINE_PAYMENT, &row.values()?)?;
            Ok::<_, Failure>(row)
        };
        self.seams.store.commit("wallet.offline.deposit.report", report).await
    }

    pub(super) async fn resume_offline_deposits(&self) -> Result<()> {
        let mut first = Ok(());
        for row in self.seams.store.read(PaymentRow::open).await? {
            match self.present_offline(row).await {
                Err(failure @ Failure::Fault(_)) if first.is_ok() => first = Err(failure),
                Err(failure @ Failure::Store(_)) => return Err(failure),
                _ => {}
            }
        }
        first
    }
}

/// What a receipt pays at once, and what is owed.
fn sums(receipt: &Receipt) -> Result<(Minor, Minor)> {
    let unpaid = |source: &Source| matches!(source, Source::Unpaid { .. });
    let part = |owed: bool| {
        let parts = receipt.terms.parts.iter().filter(move |part| unpaid(&part.source) == owed);
        Minor::sum(parts.map(|part| part.amount))
    };
    Ok((part(false)?, part(true)?))
}
