//! From the account into coins.

use feiqian_crypto::Digest;
use feiqian_ledger::store::StoreExt;
use feiqian_money::Amount;
use feiqian_online_cash::issue::expand;
use feiqian_wire::error::{Code, Fault};
use serde_json::Value;

use crate::answer::{Withdrawn, intent, show};
use crate::failure::{Failure, Result};
use crate::record::{Purpose, SessionRow};
use crate::session::Ended;
use crate::tables::SESSION;
use crate::wallet::Wallet;

/// How often an issuance is planned anew when the bank voided it without taking anything (it restarted, keys rotated).
pub(crate) const ATTEMPTS: usize = 3;

/// Whether a new session may succeed where this one became void.
pub(crate) fn worth_another(fault: &Fault) -> bool {
    matches!(
        fault.code,
        Code::Void
            | Code::Expired
            | Code::SessionUnknown
            | Code::KeyExpired
            | Code::DenominationUnknown
            | Code::Conflict
    )
}

impl Wallet {
    pub(crate) async fn withdraw(&self, amount: Amount) -> Result<Value> {
        let intent = intent("withdraw", amount);
        let adopted = self.seams.store.read(move |tx| SessionRow::unreported(tx, &intent)).await?;
        let bank = self.config.bank.as_str().to_owned();
        let mut next = adopted.map(|row| row.request);
        let mut last = Fault::new(Code::Unavailable, "no session was opened");
        for _ in 0..ATTEMPTS {
            let request = match next.take() {
                Some(request) => request,
                None => self.plan_session(&bank, Purpose::Withdraw, amount.minor, Some(intent)).await?,
            };
            match self.drive(request).await? {
                Ended::Done => return self.withdrawn(amount, request).await,
                Ended::Void(fault) if worth_another(&fault) => last = fault,
                Ended::Void(fault) => return Err(fault.into()),
            }
        }
        Err(last.into())
    }

    /// The answer, noted as given: the next command with the same words is a new act.
    async fn withdrawn(&self, amount: Amount, request: Digest) -> Result<Value> {
        let row = self
            .seams
            .store
            .commit("wallet.withdraw.report", move |tx| {
                let mut row = SessionRow::load(tx, &request)?;
                row.reported = true;
                tx.update(&SESSION, &row.values()?)?;
                Ok::<_, Failure>(row)
            })
            .await?;
        let session = row.offer.as_ref().map_or(request, |offer| offer.session);
        show(&Withdrawn {
            amount: amount.to_string(),
            currency: amount.currency,
            coins: expand(&row.design.outputs)?.len(),
            session,
        })
    }
}
