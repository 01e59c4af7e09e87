//! What the wallet holds, did, and still has to do.

use std::collections::BTreeSet;

use feiqian_ledger::store::StoreExt;
use feiqian_money::Minor;
use feiqian_online_cash::coin::CoinId;
use feiqian_wire::codec;
use serde_json::Value;

use crate::answer::{self, Event, History, Open, show};
use crate::failure::Result;
use crate::held::HeldCoin;
use crate::pledge;
use crate::record::{PaymentRow, Purpose, ReceivedRow, SessionRow};
use crate::wallet::Wallet;

/// Events shown at most.
const EVENTS: u32 = 1000;

impl Wallet {
    /// `balance` can be paid with now. `pending` is on its way in or back: unfinished sessions, payments not yet taken,
    /// coins that must be refreshed first.
    pub(crate) async fn balance(&self) -> Result<Value> {
        let (view, now) = (self.view(), self.now());
        let (balance, pending, coins) = self
            .seams
            .store
            .read(move |tx| {
                let sessions = SessionRow::unfinished(tx)?;
                let mut busy: BTreeSet<CoinId> = BTreeSet::new();
                let mut pending = Vec::new();
                for session in &sessions {
                    match &session.design.purpose {
                        Purpose::Refresh(planned) if session.finish.is_some() => {
                            busy.extend(planned.iter().map(|plan| plan.coin));
                            pending.push(session.amount);
                        }
                        Purpose::Refresh(_) | Purpose::Receive(_) => {}
                        Purpose::Withdraw | Purpose::Refund { .. } => pending.push(session.amount),
                    }
                }
                let taken = ReceivedRow::select(tx, "state = 'taken'", &[])?;
                pending.extend(taken.iter().map(|row| row.amount));
                let unsettled = PaymentRow::unsettled(tx)?;
                pending.extend(unsettled.iter().filter(|row| row.state != "delivered").map(|row| row.amount));
                let (mut ready, mut coins) = (Vec::new(), 0usize);
                for coin in HeldCoin::unspent(tx)? {
                    let key = view.pins.key(&coin.id.denomination);
                    if key.as_ref().is_ok_and(|key| key.check_grace(now).is_err()) || busy.contains(&coin.id)
                    {
                        continue;
                    }
                    let payable = pledge::payable(tx, &coin)?;
                    let alive = key.is_ok_and(|key| key.check_redeem(now).is_ok());
                    if alive && !payable.is_zero() {
                        ready.push(payable);
                        coins = coins.saturating_add(1);
                    } else {
                        pending.push(pledge::refreshable(tx, &coin)?.0);
                    }
                }
                Ok::<_, crate::failure::Failure>((Minor::sum(ready)?, Minor::sum(pending)?, coins))
            })
            .await?;
        show(&answer::Balance {
            balance: self.amount(balance).to_string(),
            pending: self.amount(pending).to_string(),
            currency: self.config.currency,
            coins,
            offline: self.offline_balance().await?,
        })
    }

    pub(crate) async fn history(&self) -> Result<Value> {
        let sql = format!(
            "SELECT happened, kind, amount, bank, reference FROM \
             (SELECT * FROM history ORDER BY number DESC LIMIT {EVENTS}) AS latest ORDER BY number"
        );
        let rows = self.seams.store.read(move |tx| tx.select(&sql, &[])).await?;
        let mut history = Vec::with_capacity(rows.len());
        for row in &rows {
            history.push(Event {
                at: row.unsigned(0)?,
                kind: row.text(1)?.to_owned(),
                amount: self.amount(row.minor(2)?).to_string(),
                currency: self.config.currency,
                bank: row.text(3)?.to_owned(),
                reference: row.text(4)?.to_owned(),
            });
        }
        let mut answer = History { history };
        // The oldest give way where the answer would not fit a message.
        while codec::encode_json(&answer).is_err() && !answer.history.is_empty() {
            let half = answer.history.len().div_ceil(2);
            answer.history.drain(..half);
        }
        show(&answer)
    }

    pub(crate) async fn status(&self) -> Result<Value> {
        let (sessions, payments, receipts, refused) = self
            .seams
            .store
            .read(|tx| {
                let refused = tx.select("SELECT COUNT(*) FROM coin WHERE state = 'refused'", &[])?;
                let refused: u32 = refused.first().map_or(Ok(0), |row| row.small(0))?;
                let receipts = ReceivedRow::select(tx, "state = 'taken'", &[])?;
                Ok::<_, crate::failure::Failure>((
                    SessionRow::unfinished(tx)?,
                    PaymentRow::unsettled(tx)?,
                    receipts,
                    refused,
                ))
            })
            .await?;
        let open = |kind: &str, state: &str, amount: Minor, bank: &str, reference| Open {
            kind: kind.to_owned(),
            state: state.to_owned(),
            amount: self.amount(amount).to_string(),
            bank: bank.to_owned(),
            reference,
        };
        let mut unfinished = Vec::new();
        for row in &sessions {
            let kind = row.design.purpose.as_str();
            unfinished.push(open(kind, row.state.as_str(), row.amount, &row.bank, row.request));
        }
        unfinished.extend(
            payments.iter().map(|row| open(&row.kind, &row.state, row.amount, &row.bank, row.payment)),
        );
        unfinished.extend(
            receipts.iter().map(|row| open("receive", &row.state, row.amount, &row.bank, row.payment)),
        );
        unfinished.extend(self.offline_unfinished().await?);
        show(&answer::Status {
            role: "wallet",
            bank: self.config.bank.as_str().to_owned(),
            account: self.config.account.clone(),
            currency: self.config.currency,
            center: self.config.center_url.clone(),
            keysets: self.view().pins.len(),
            unfinished,
            refused_coins: usize::try_from(refused).unwrap_or(usize::MAX),
        })
    }
}
