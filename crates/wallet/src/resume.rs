//! Taking up whatever was left unfinished, before every command.

use std::collections::BTreeSet;

use feiqian_ledger::store::StoreExt;
use feiqian_wire::error::{Code, Fault};

use crate::RefreshPolicy;
use crate::failure::{Failure, Result};
use crate::record::{PaymentRow, Purpose, ReceivedRow, SessionRow};
use crate::wallet::Wallet;

impl Wallet {
    /// Goes on with every unfinished session, payment and receipt. What does not succeed stays for the next time and is
    /// told in the answer; only a store that fails is an error.
    pub(crate) async fn resume(&self) -> Result<Vec<Fault>> {
        let mut trouble = Vec::new();
        self.resume_sessions(&mut trouble).await?;
        self.resume_payments(&mut trouble).await?;
        self.resume_receipts(&mut trouble).await?;
        self.resume_cheques(&mut trouble).await?;
        if self.config.refresh == RefreshPolicy::AtOnce && trouble.is_empty() {
            collect(self.refresh_coins().await, &mut trouble)?;
        }
        for fault in &trouble {
            tracing::info!(%fault, "left for later");
        }
        Ok(trouble)
    }

    async fn resume_sessions(&self, trouble: &mut Vec<Fault>) -> Result<()> {
        let mut silent: BTreeSet<String> = BTreeSet::new();
        for session in self.seams.store.read(SessionRow::unfinished).await? {
            // A receipt's session belongs to its receipt, which knows what to do when it is void.
            if silent.contains(&session.bank) || matches!(session.design.purpose, Purpose::Receive(_)) {
                continue;
            }
            let outcome = self.drive(session.request).await;
            if collect(outcome, trouble)?.is_none() && unreachable(trouble) {
                silent.insert(session.bank);
            }
        }
        Ok(())
    }

    async fn resume_payments(&self, trouble: &mut Vec<Fault>) -> Result<()> {
        let now = self.now();
        for payment in self.seams.store.read(PaymentRow::unsettled).await? {
            let waits = matches!(payment.state.as_str(), "signed" | "taken");
            if payment.expires >= now && waits {
                collect(self.deliver(payment).await, trouble)?;
            }
        }
        collect(self.settle_expired().await, trouble)?;
        Ok(())
    }

    async fn resume_receipts(&self, trouble: &mut Vec<Fault>) -> Result<()> {
        let taken = self.seams.store.read(|tx| ReceivedRow::select(tx, "state = 'taken'", &[])).await?;
        for row in taken {
            collect(self.claim(row).await, trouble)?;
        }
        Ok(())
    }
}

fn unreachable(trouble: &[Fault]) -> bool {
    trouble.last().is_some_and(|fault| fault.code == Code::NodeUnreachable)
}

/// Sorts an outcome: peers' faults are collected, a failing store ends everything.
fn collect<T>(outcome: Result<T>, trouble: &mut Vec<Fault>) -> Result<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(Failure::Fault(fault)) => {
            trouble.push(fault);
            Ok(None)
        }
        Err(store) => Err(store),
    }
}
