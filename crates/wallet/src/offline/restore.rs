//! Coins that the bank answered to a wallet of these words, and that this store knows nothing of.
//!
//! They are rebuilt from the bank's stored answers, only to write their claims: no share of them is ever given. And whoever
//! finds one knows that this store is not the latest of its words: so every coin and blank in it is treated the same way.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::Minor;
use feiqian_node::CallError;
use feiqian_offline_cash::keyset::{Keys, Kind};
use feiqian_offline_cash::messages::ReclaimRequest;
use feiqian_offline_cash::withdraw::{AnsweredSession, BeginResponse, expand, restore};
use feiqian_pki::KeyPair;
use feiqian_wire::Bounded;
use feiqian_wire::error::Code;
use serde_json::{Value, json};

use super::rows::{ClaimRow, CoinRow, SessionRow, State, freeze};
use super::session::{KIND, keys_of};
use super::tables::{OFFLINE_CLAIM, OFFLINE_COIN, OFFLINE_SESSION};
use crate::answer::show;
use crate::failure::{Failure, Result};
use crate::record::{encode, next_number};
use crate::wallet::Wallet;

/// So many request ids in a row that the bank does not know end the search.
const GAP: u64 = 16;

impl Wallet {
    /// Takes what the bank answered before to a request id that this store thought was new, and counts the ids up to
    /// `number` as used.
    ///
    /// The rebuilt commitments and challenges are compared with the bank's, so only what this seed withdrew passes.
    pub(super) async fn take_restored(
        &self,
        row: SessionRow,
        answered: AnsweredSession,
        number: Option<u64>,
    ) -> Result<()> {
        let (coins, bank) =
            (self.rebuild(&answered, &*self.offline_signer().await?)?, self.config.bank.as_str().to_owned());
        let keep = move |tx: &mut dyn Tx| {
            count(tx, &bank, number)?;
            freeze(tx)?;
            for (coin, claim) in &coins {
                if CoinRow::find(tx, &coin.message)?.is_none() {
                    tx.insert(&OFFLINE_COIN, &coin.values()?)?;
                    tx.insert(&OFFLINE_CLAIM, &claim.values()?)?;
                }
            }
            let mut row = row.clone();
            row.kind = if coins.is_empty() { Kind::Blank } else { Kind::Value };
            row.amount = Minor::sum(coins.iter().map(|(coin, _)| coin.worth))?;
            (row.outputs, row.session) = (answered.outputs.clone(), Some(answered.session));
            (row.state, row.reported) = (State::Restored, true);
            Ok::<_, Failure>(tx.put(&OFFLINE_SESSION, &row.values()?)?)
        };
        self.seams.store.commit("wallet.offline.restore", keep).await?;
        tracing::warn!("this wallet's store is not the latest of its words: its offline coins are reclaimed");
        Ok(())
    }

    /// The value coins of a session and the claim on each. A blank is worth nothing without the chain that was lost with it.
    fn rebuild(&self, answered: &AnsweredSession, signer: &KeyPair) -> Result<Vec<(CoinRow, ClaimRow)>> {
        let (view, created, ids) = (self.view(), self.now().seconds(), expand(&answered.outputs)?);
        let book = view.offline_keys();
        let keys = keys_of(book, &ids)?;
        let mut rows = Vec::new();
        self.as_customer(|customer| {
            for coin in restore(customer, &keys, answered)? {
                let key = book.key(coin.key())?;
                if key.kind == Kind::Blank {
                    continue;
                }
                let (message, amount) = (*coin.message(), key.value);
                let claim = coin.claim(customer, key, signer, &mut self.rng())?;
                let body = encode(&ReclaimRequest::Withdrawn(claim))?;
                let state = "open".to_owned();
                let claim = ClaimRow { message, amount, body, state, decided_at: None, paid: None, created };
                let row = CoinRow {
                    message,
                    kind: key.kind,
                    key: key.id,
                    session: coin.origin().session,
                    place: coin.origin().index,
                    worth: amount,
                    rest: amount,
                    secret: None,
                    chain: None,
                    offer: None,
                    restored: true,
                    created,
                };
                rows.push((row, claim));
            }
            Ok(())
        })?;
        Ok(rows)
    }

    /// Gives up every share of this store's coins, and counts the ids up to `number` as used.
    pub(super) async fn freeze_offline(&self, number: Option<u64>) -> Result<()> {
        let bank = self.config.bank.as_str().to_owned();
        let work = move |tx: &mut dyn Tx| {
            count(tx, &bank, number)?;
            freeze(tx)
        };
        self.seams.store.commit("wallet.offline.freeze", work).await
    }

    /// `{"coins","amount","currency"}`: what was found at the bank that this store did not know.
    pub(crate) async fn restore_offline(&self) -> Result<Value> {
        self.sync().await?;
        let (mut number, mut unknown) = (self.next_offline_number().await?, 0_u64);
        let before = self.restored_coins().await?;
        while unknown < GAP {
            let request = self.offline_request(number);
            match self.recover_offline(request).await {
                Ok(BeginResponse::Answered(answered)) => {
                    let row = self.restored_session(request)?;
                    self.take_restored(row, answered, Some(number)).await?;
                    unknown = 0;
                }
                Ok(_) => {
                    self.freeze_offline(Some(number)).await?;
                    unknown = 0;
                }
                Err(CallError::Fault(fault)) if fault.code == Code::SessionUnknown => {
                    unknown = unknown.saturating_add(1);
                }
                Err(error) => return Err(error.into()),
            }
            number = number.saturating_add(1);
        }
        let after = self.restored_coins().await?;
        let found: Vec<&CoinRow> = after.iter().skip(before.len()).collect();
        let amount = self.amount(Minor::sum(found.iter().map(|coin| coin.worth))?);
        let (coins, currency) = (found.len(), amount.currency);
        show(&json!({ "coins": coins, "amount": amount.to_string(), "currency": currency }))
    }

    async fn restored_coins(&self) -> Result<Vec<CoinRow>> {
        self.seams.store.read(|tx| CoinRow::select(tx, "secret IS NULL", &[])).await
    }

    fn restored_session(&self, request: Digest) -> Result<SessionRow> {
        Ok(SessionRow {
            request,
            kind: Kind::Value,
            amount: Minor::ZERO,
            outputs: Bounded::new(Vec::new())?,
            salt: None,
            session: None,
            commitments: None,
            announced: None,
            finish: None,
            state: State::Restored,
            created: self.now().seconds(),
            intent: None,
            reported: true,
        })
    }
}

/// Numbers up to this one are used up.
fn count(tx: &mut dyn Tx, bank: &str, number: Option<u64>) -> Result<()> {
    let Some(number) = number else { return Ok(()) };
    while next_number(tx, bank, KIND, 0)? < number {}
    Ok(())
}
