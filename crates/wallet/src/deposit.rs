//! Coins back onto the own account: a payment to oneself, deposited at the own bank.

use feiqian_crypto::Digest;
use feiqian_ledger::store::StoreExt;
use feiqian_money::Amount;
use feiqian_node::{CallError, Caller};
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_wire::Text;
use feiqian_wire::error::Code;
use rand::RngExt as _;
use serde_json::Value;

use crate::answer::{Paid, intent, show};
use crate::failure::{Failure, Result};
use crate::payment::Terms;
use crate::record::PaymentRow;
use crate::wallet::Wallet;

/// How long a deposit can be taken, seconds; after that its coins come back.
const DEPOSIT_SECONDS: u64 = 86_400;

impl Wallet {
    pub(crate) async fn deposit(&self, amount: Amount) -> Result<Value> {
        let intent = intent("deposit", amount);
        let adopted = self.seams.store.read(move |tx| PaymentRow::unreported(tx, &intent)).await?;
        let row = match adopted {
            Some(row) => row,
            None => self.sign_deposit(amount, intent).await?,
        };
        let row = match row.state.as_str() {
            "signed" | "taken" => self.send_deposit(row).await,
            "refused" => Err(Failure::new(Code::Void, "the bank refused this deposit; its coins come back")),
            _ => Ok(row),
        };
        // Whoever is told a final answer, good or bad, starts anew with the same words.
        let row = match row {
            Ok(row) => row,
            Err(Failure::Fault(fault)) if fault.is_definitive() => {
                self.report_refused(&intent).await?;
                return Err(fault.into());
            }
            Err(failure) => return Err(failure),
        };
        let outcome = if row.state == "paid" { "paid" } else { "pending" };
        let (payment, mut told) = (row.payment, row);
        told.reported = true;
        self.update_payment("wallet.deposit.report", told).await?;
        show(&Paid { payment, outcome, amount: amount.to_string(), currency: amount.currency })
    }

    async fn report_refused(&self, intent: &Digest) -> Result<()> {
        let intent = *intent;
        let found = self.seams.store.read(move |tx| PaymentRow::unreported(tx, &intent)).await?;
        if let Some(mut row) = found
            && row.state == "refused"
        {
            row.reported = true;
            self.update_payment("wallet.deposit.report", row).await?;
        }
        Ok(())
    }

    async fn sign_deposit(&self, amount: Amount, intent: Digest) -> Result<PaymentRow> {
        let chosen = self.choose(amount.minor).await?;
        let expires = self.now().saturating_add(DEPOSIT_SECONDS);
        let request = PaymentRequest {
            payee: Payee::Certified { leaf: self.leaf.clone(), issuer: self.issuer },
            name: Text::fitted(&self.config.name),
            amount,
            order: Text::fitted("deposit"),
            route: Route::Account {
                bank: self.config.bank.clone(),
                account: Text::new(self.config.account.clone())?,
            },
            delivery: Delivery::ByHand,
            refund_until: expires,
            view: self.view().pins.view(),
            expires,
            nonce: Digest(self.rng().random()),
        };
        let request = SignedRequest::by_account_holder(request, &self.signing)?;
        let terms = Terms { kind: "deposit", point: "wallet.deposit.sign", file: None, intent: Some(intent) };
        self.sign_payment(request, chosen, |_| Ok(None), terms).await
    }

    pub(crate) async fn send_deposit(&self, row: PaymentRow) -> Result<PaymentRow> {
        let to = self.bank_target(self.config.bank.as_str()).await?;
        let answer: Result<DepositResponse, CallError> =
            self.ask(&to, Caller::Certified, "/v1/deposit", &row.item).await;
        match answer {
            Ok(DepositResponse::Final(Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt))) => {
                self.check_receipt(&row, &receipt).await?;
                self.settle_paid(row, &receipt, "wallet.deposit.paid").await
            }
            Ok(DepositResponse::Final(outcome)) => self.refused(row, outcome).await,
            Ok(DepositResponse::Pending { .. }) => {
                let mut row = row;
                row.state = "taken".to_owned();
                self.update_payment("wallet.deposit.taken", row).await
            }
            Err(CallError::Fault(fault)) if fault.is_definitive() => {
                self.refused(row, Outcome::Refused(fault)).await
            }
            Err(error) => Err(error.into()),
        }
    }
}
