//! Taking up whatever was left unfinished, before every command.
//!
//! What the bank is told anonymously must not stand next to what it is told under the owner's name: change that is
//! refreshed over one connection and a withdrawal that follows on the next within a moment are of one person, however
//! anonymous the first connection was. So commands that call the bank with the account's certificate take up only what
//! is the account's own, and change and expired payments wait for commands that are anonymous themselves, or for the
//! background.

use std::collections::BTreeSet;

use feiqian_ledger::store::StoreExt;
use feiqian_online_cash::seed::CallerKind;
use feiqian_wire::error::{Code, Fault};

use crate::RefreshPolicy;
use crate::command::Command;
use crate::failure::{Failure, Result};
use crate::record::{PaymentRow, Purpose, ReceivedRow, SessionRow};
use crate::wallet::Wallet;

/// How much is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Nothing: what passes from hand to hand must not wait for a network.
    Nothing,
    /// Cheques, withdrawals and deposits: what the bank knows to be the account's.
    Account,
    /// Everything that was begun.
    Begun,
    /// What was begun, the fate of expired payments, and change.
    All,
}

impl Scope {
    /// What a command allows before it.
    pub(crate) fn before(command: &Command) -> Self {
        match command {
            Command::Refresh | Command::Pay { .. } | Command::Receive { .. } => Self::All,
            Command::Balance | Command::History | Command::Request { .. } | Command::Status => Self::Begun,
            Command::Withdraw { .. }
            | Command::Deposit { .. }
            | Command::ChequeBook { .. }
            | Command::ChequeWrite(_)
            | Command::ChequeSign { .. }
            | Command::ChequeList
            | Command::ChequeStop { .. }
            | Command::ChequeUnstop { .. }
            | Command::ChequeVoid { .. }
            | Command::ChequeCertify { .. }
            | Command::ChequeEndorse { .. }
            | Command::ChequeDeposit { .. }
            | Command::ChequeInbox { .. }
            | Command::Transfer { .. }
            | Command::WithdrawOffline { .. }
            | Command::Blanks { .. }
            | Command::DepositOffline { .. }
            | Command::Reclaim { .. }
            | Command::RestoreOffline => Self::Account,
            Command::PayOffline { .. }
            | Command::Offer { .. }
            | Command::AnswerOffer { .. }
            | Command::OpenOffer { .. }
            | Command::TransferCoin { .. }
            | Command::Accept { .. } => Self::Nothing,
        }
    }
}

impl Wallet {
    /// Goes on with unfinished sessions, payments and receipts. What does not succeed stays for the next time and is
    /// told in the answer; only a store that fails is an error.
    pub(crate) async fn resume(&self, scope: Scope) -> Result<Vec<Fault>> {
        if scope == Scope::Nothing {
            return Ok(Vec::new());
        }
        let mut trouble = Vec::new();
        self.resume_cheques(&mut trouble).await?;
        trouble.extend(self.resume_offline().await?);
        self.resume_sessions(scope, &mut trouble).await?;
        self.resume_payments(scope, &mut trouble).await?;
        if scope != Scope::Account {
            self.resume_receipts(&mut trouble).await?;
        }
        if scope == Scope::All {
            collect(self.settle_expired().await, &mut trouble)?;
            if self.config.refresh == RefreshPolicy::AtOnce && trouble.is_empty() {
                collect(self.refresh_coins().await, &mut trouble)?;
            }
        }
        for fault in &trouble {
            tracing::info!(%fault, "left for later");
        }
        Ok(trouble)
    }

    async fn resume_sessions(&self, scope: Scope, trouble: &mut Vec<Fault>) -> Result<()> {
        let mut silent: BTreeSet<String> = BTreeSet::new();
        for session in self.seams.store.read(SessionRow::unfinished).await? {
            if scope == Scope::Account && session.design.purpose.caller() != CallerKind::Account {
                continue;
            }
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

    async fn resume_payments(&self, scope: Scope, trouble: &mut Vec<Fault>) -> Result<()> {
        let now = self.now();
        for payment in self.seams.store.read(PaymentRow::unsettled).await? {
            let waits = matches!(payment.state.as_str(), "signed" | "taken");
            let allowed = scope != Scope::Account || payment.kind == "deposit";
            if payment.expires >= now && waits && allowed {
                collect(self.deliver(payment).await, trouble)?;
            }
        }
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
