//! Refunds: claims on payments, taken as new coins, still anonymous.

use feiqian_ledger::store::StoreExt;
use feiqian_money::Minor;
use feiqian_node::CallError;
use feiqian_wire::error::{Code, Fault};

use crate::failure::{Failure, Result};
use crate::record::{PaymentRow, Purpose};
use crate::session::Ended;
use crate::wallet::Wallet;

/// How long after a payment its refunds are asked for, seconds: a key's life and grace in the default schedule.
const ASKED_FOR: u64 = (30 + 90 + 365) * 86_400;

impl Wallet {
    /// Asks for the refunds of paid payments, each over its own connection, and takes what stands open.
    pub(crate) async fn claim_refunds(&self) -> Result<Minor> {
        let since = self.now().seconds().saturating_sub(ASKED_FOR);
        let paid = self.seams.store.read(move |tx| PaymentRow::paid_since(tx, since)).await?;
        let mut total = Minor::ZERO;
        let mut trouble: Option<Fault> = None;
        for row in paid {
            match self.claim_refund(row).await {
                Ok(amount) => total = total.checked_add(amount)?,
                Err(failure) => {
                    let fault = Fault::from(failure);
                    let unreachable = fault.code == Code::NodeUnreachable;
                    trouble = Some(fault);
                    if unreachable {
                        break;
                    }
                }
            }
        }
        match trouble {
            Some(fault) if total.is_zero() => Err(fault.into()),
            _ => Ok(total),
        }
    }

    async fn claim_refund(&self, row: PaymentRow) -> Result<Minor> {
        let (payment, bank) = (row.payment, row.bank.clone());
        let amount = self.settle(row).await?;
        if amount.is_zero() {
            return Ok(Minor::ZERO);
        }
        let session = self.plan_session(&bank, Purpose::Refund { payment, amount }, amount, None).await?;
        match self.drive(session).await? {
            Ended::Done => Ok(amount),
            Ended::Void(fault) => Err(CallError::Fault(fault).into()),
        }
    }

    /// Payments whose request has expired: what became of them? Until their fate is sealed their coins stay put.
    pub(crate) async fn settle_expired(&self) -> Result<()> {
        let now = self.now();
        let rows = self.seams.store.read(PaymentRow::unsettled).await?;
        let mut trouble = None;
        for row in rows.into_iter().filter(|row| row.expires < now) {
            if let Err(failure) = self.settle(row).await {
                let fault = Fault::from(failure);
                let unreachable = fault.code == Code::NodeUnreachable;
                trouble = Some(fault);
                if unreachable {
                    break;
                }
            }
        }
        trouble.map_or(Ok(()), |fault| Err(Failure::from(fault)))
    }
}
