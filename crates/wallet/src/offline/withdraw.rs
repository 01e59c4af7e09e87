//! From the account into offline coins, and blanks for taking value from hand to hand.

use feiqian_crypto::{Digest, Transcript};
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::{Amount, Minor};
use feiqian_offline_cash::MAX_COINS;
use feiqian_offline_cash::keyset::{Kind, VerifiedKeyset};
use feiqian_offline_cash::withdraw::{choose, expand};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use super::rows::SessionRow;
use super::session::Ended;
use super::tables::OFFLINE_SESSION;
use crate::answer::{intent, show};
use crate::failure::{Failure, Result};
use crate::wallet::Wallet;
use crate::withdraw::{ATTEMPTS, worth_another};

/// So many sessions that a lost store knew nothing of are taken up by one command.
const RESTORED: usize = 10_000;

impl Wallet {
    /// `{"amount","currency","coins","session"}`.
    pub(crate) async fn withdraw_offline(&self, amount: Amount) -> Result<Value> {
        let row = self.take_offline((Kind::Value, amount.minor), intent("withdraw_offline", amount)).await?;
        let (coins, session) = (expand(&row.outputs)?.len(), row.session.unwrap_or(row.request));
        let currency = amount.currency;
        show(
            &json!({ "amount": amount.to_string(), "currency": currency, "coins": coins, "session": session }),
        )
    }

    /// `{"blanks","session"}`.
    pub(crate) async fn blanks(&self, count: u16) -> Result<Value> {
        if count == 0 || usize::from(count) > MAX_COINS {
            return Err(Failure::new(Code::Usage, format!("blanks come in lots of 1 to {MAX_COINS}")));
        }
        let words = Transcript::new("wallet/intent").text("blanks").integer(count.into()).into_digest();
        let minor = Minor::new(u64::from(count))?;
        let row = self.take_offline((Kind::Blank, minor), words).await?;
        let session = row.session.unwrap_or(row.request);
        show(&json!({ "blanks": expand(&row.outputs)?.len(), "session": session }))
    }

    /// Withdraws coins for an amount, or as many blanks; goes on with the same act whose answer was lost.
    async fn take_offline(&self, (kind, amount): (Kind, Minor), intent: Digest) -> Result<SessionRow> {
        let adopted = self.seams.store.read(move |tx| SessionRow::unreported(tx, &intent)).await?;
        let mut next = adopted.map(|row| row.request);
        let (mut left, mut restored) = (ATTEMPTS, RESTORED);
        let mut last = Fault::new(Code::Unavailable, "no session was opened");
        while left > 0 && restored > 0 {
            let request = match next.take() {
                Some(request) => request,
                None => self.plan_take(kind, amount, intent).await?,
            };
            match self.drive_offline(request).await? {
                Ended::Done => return self.report_offline(request).await,
                Ended::Restored => restored = restored.saturating_sub(1),
                Ended::Void(fault) if worth_another(&fault) => {
                    (last, left) = (fault, left.saturating_sub(1));
                }
                Ended::Void(fault) => return Err(fault.into()),
            }
        }
        Err(last.into())
    }

    async fn plan_take(&self, kind: Kind, amount: Minor, intent: Digest) -> Result<Digest> {
        let terms = self.offline_terms().await?;
        self.offline_identity(&terms).await?;
        let keyset = self.offline_keyset(terms.keyset).await?;
        let keys = match kind {
            Kind::Value => choose(&keyset, amount)?.iter().map(|key| key.id).collect(),
            Kind::Blank => blank_keys(&keyset, amount)?,
        };
        let worth = if kind == Kind::Value { amount } else { Minor::ZERO };
        self.plan_offline((kind, worth), &keys, intent).await
    }

    /// The answer is given: the next command with the same words is a new act.
    async fn report_offline(&self, request: Digest) -> Result<SessionRow> {
        let report = move |tx: &mut dyn Tx| {
            let mut row = SessionRow::load(tx, &request)?;
            row.reported = true;
            tx.update(&OFFLINE_SESSION, &row.values()?)?;
            Ok::<_, Failure>(row)
        };
        self.seams.store.commit("wallet.offline.report", report).await
    }
}

fn blank_keys(keyset: &VerifiedKeyset, count: Minor) -> Result<Vec<Digest>> {
    let key = keyset.blank().ok_or_else(|| Failure::broken("a keyset without a key for blanks"))?;
    Ok(vec![key.id; usize::try_from(count.value()).unwrap_or(usize::MAX).min(MAX_COINS)])
}
