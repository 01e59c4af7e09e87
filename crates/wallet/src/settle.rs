//! What became of a payment, as the issuing bank says it.

use feiqian_ledger::store::StoreExt;
use feiqian_money::Minor;
use feiqian_node::{CallError, Caller};
use feiqian_online_cash::deposit::{ExpiredStatement, OutcomeRequest, OutcomeResponse};
use feiqian_wire::Bounded;
use feiqian_wire::error::Code;

use crate::failure::{Failure, Result};
use crate::pledge;
use crate::record::{PaymentRow, note};
use crate::tables::PAYMENT;
use crate::wallet::Wallet;

impl Wallet {
    /// Asks the center, and if it does not answer the issuing bank itself, what became of a payment.
    pub(crate) async fn outcome(&self, row: &PaymentRow) -> Result<OutcomeResponse> {
        let asked = &row.item.request.request;
        let shares = row.item.payment.coins.iter().map(|coin| coin.share).collect();
        let keyset = row.item.payment.coins.first().map(|coin| coin.share.coin.denomination);
        let view = self.view();
        let key = keyset.map(|id| view.pins.key(&id)).transpose()?;
        let bank = key.ok_or_else(|| Failure::broken("a payment without coins"))?.key.bank.clone();
        let request = OutcomeRequest {
            bank,
            expires: asked.expires,
            body: asked.body_digest(),
            shares: Bounded::new(shares)?,
        };
        let center = self.members.center().clone();
        match self.ask(&center, Caller::Anonymous, "/v1/outcome", &request).await {
            Err(CallError::Unreachable(_)) => {
                let bank = self.bank_target(&row.bank).await?;
                Ok(self.ask(&bank, Caller::Anonymous, "/v1/outcome", &request).await?)
            }
            answer => Ok(answer?),
        }
    }

    /// Seals a payment's fate if the bank's word allows it. Answers what the bank holds refunded and unclaimed.
    pub(crate) async fn settle(&self, row: PaymentRow) -> Result<Minor> {
        match self.outcome(&row).await? {
            OutcomeResponse::Open => Ok(Minor::ZERO),
            OutcomeResponse::Paid { receipt, refunded, claimed } => {
                self.check_receipt(&row, &receipt).await?;
                self.settle_paid(row, &receipt, "wallet.pay.settle").await?;
                Ok(refunded.checked_sub(claimed).unwrap_or(Minor::ZERO))
            }
            OutcomeResponse::Expired(statement) => {
                self.lapse(row, &statement).await?;
                Ok(Minor::ZERO)
            }
        }
    }

    /// The bank will never take this payment: its coins may be refreshed, releasing it.
    async fn lapse(&self, row: PaymentRow, statement: &ExpiredStatement) -> Result<()> {
        let fits = statement.payment == row.payment
            && statement.bank.as_str() == row.bank
            && statement.expires == row.expires;
        if !fits {
            return Err(Failure::new(Code::SignatureInvalid, "the expiry statement is for another payment"));
        }
        statement.verify(&self.bank_signer(&row.bank).await?)?;
        if row.state == "paid" {
            return Err(Failure::new(
                Code::EvidenceInvalid,
                "the bank signed both a receipt and an expiry of one payment",
            ));
        }
        let (mut row, now) = (row, self.now());
        row.state = "lapsed".to_owned();
        self.seams
            .store
            .commit("wallet.pay.lapse", move |tx| {
                pledge::resolve(tx, &row.payment, "void")?;
                tx.update(&PAYMENT, &row.values()?)?;
                note(tx, now, "lapse", row.amount, &row.bank, &row.payment)
            })
            .await
    }
}
