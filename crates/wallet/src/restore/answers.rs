//! The coins that the banks' stored answers give.

use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{Row, StoreExt, Tx};
use feiqian_node::CallError;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::issue::{AnsweredSession, BeginResponse, PendingIssue, expand};
use feiqian_online_cash::keyset::VerifiedKey;
use feiqian_online_cash::seed::CallerKind;
use feiqian_wire::error::{Code, Fault};

use super::coins::FoundCoin;
use super::tables::{RESTORE_COIN, RESTORE_REQUEST};
use super::{Pace, Watch};
use crate::failure::{Failure, Result};
use crate::record::select;
use crate::sealed_rows::Place;
use crate::tables::SEEN;
use crate::wallet::Wallet;

/// A session to be asked for.
struct Request {
    id: Digest,
    bank: String,
    caller: CallerKind,
}

impl Request {
    fn of(row: &Row) -> Result<Self> {
        let account = row.text(2)? == CallerKind::Account.as_str();
        let caller = if account { CallerKind::Account } else { CallerKind::Anonymous };
        Ok(Self { id: row.digest(0)?, bank: row.text(1)?.to_owned(), caller })
    }
}

/// What became of a request id.
enum Finding {
    Coins(AnsweredSession, Vec<FoundCoin>),
    Nothing,
    Foreign,
}

impl Wallet {
    /// Asks for every session that was found, and keeps its coins.
    pub(super) async fn find_coins(self: &Arc<Self>, pace: Pace, watch: &Watch) -> Result<Vec<Fault>> {
        let open = |tx: &mut dyn Tx| {
            let rows = select(tx, &RESTORE_REQUEST, "WHERE state = 'open' ORDER BY request", &[])?;
            rows.iter().map(Request::of).collect::<Result<Vec<_>>>()
        };
        let requests = self.seams.store.read(open).await?;
        let work = |request: Request| Arc::clone(self).find_in(request);
        self.each((pace, watch, "asking for coins"), requests, work).await
    }

    async fn find_in(self: Arc<Self>, request: Request) -> Result<()> {
        let to = self.bank_target(&request.bank).await?;
        let finding = match self.call_recover(&to, request.caller, request.id).await {
            Ok(BeginResponse::Answered(answered)) => match self.remake(&request, &answered) {
                Ok(coins) => Finding::Coins(answered, coins),
                Err(Failure::Fault(fault)) => {
                    tracing::warn!(%fault, request = %request.id, "an answer that these words did not ask for");
                    Finding::Foreign
                }
                Err(store) => return Err(store),
            },
            // Nothing was paid for a session that was not answered.
            Ok(BeginResponse::Open(_) | BeginResponse::Void) => Finding::Nothing,
            Err(CallError::Fault(fault)) if fault.code == Code::SessionUnknown => Finding::Nothing,
            Err(error) => return Err(error.into()),
        };
        self.seams.store.commit("wallet.restore.coins", move |tx| keep(tx, &request, &finding)).await
    }

    /// The session's coins, computed again. The challenges must be those that these words give.
    fn remake(&self, request: &Request, answered: &AnsweredSession) -> Result<Vec<FoundCoin>> {
        let view = self.view();
        let keys = expand(&answered.outputs)?;
        let keys: Vec<&VerifiedKey> = keys.iter().map(|id| view.pins.key(id)).collect::<Result<_, _>>()?;
        if keys.iter().any(|key| key.key.bank.as_str() != request.bank) {
            return Err(Failure::new(Code::DenominationUnknown, "a session with coins of another bank"));
        }
        let (pending, challenges) =
            PendingIssue::new(&self.seed, &keys, &answered.session, &answered.commitments)?;
        if challenges != *answered.challenges {
            return Err(Failure::new(Code::SessionForeign, "the challenges are not of these words"));
        }
        let coins = pending.finish(&answered.answers)?;
        let found = |(coin, key): (&Coin, &&VerifiedKey)| {
            Ok(FoundCoin {
                id: coin.id,
                secret: self.store_key.seal(Place::Coin(&coin.id), &*coin.secret_bytes())?,
                signature: coin.signature,
                bank: request.bank.clone(),
                worth: key.key.value,
                rest: key.key.value,
                state: "found".to_owned(),
                request: request.id,
            })
        };
        coins.iter().zip(&keys).map(found).collect()
    }
}

/// Coins, and what the bank has shown: it must not show that to this wallet again.
fn keep(tx: &mut dyn Tx, request: &Request, finding: &Finding) -> Result<()> {
    let (mut coins, state) = (
        0_u32,
        match finding {
            Finding::Coins(..) => "done",
            Finding::Nothing => "none",
            Finding::Foreign => "foreign",
        },
    );
    if let Finding::Coins(answered, found) = finding {
        let pairs = answered.commitments.iter().map(|pair| [pair.a.to_bytes(), pair.b.to_bytes()].concat());
        for item in std::iter::once(answered.session.as_bytes().to_vec()).chain(pairs) {
            if tx.find(&SEEN, &[item.clone().into()])?.is_none() {
                tx.insert(&SEEN, &[item.into(), request.id.into()])?;
            }
        }
        for coin in found {
            // A bank that shows one session for two ids gives no coin twice.
            if FoundCoin::find(tx, &coin.id)?.is_none() {
                tx.insert(&RESTORE_COIN, &coin.values())?;
                coins = coins.saturating_add(1);
            }
        }
    }
    let values = [
        request.id.into(),
        request.bank.as_str().into(),
        request.caller.as_str().into(),
        coins.into(),
        state.into(),
    ];
    Ok(tx.update(&RESTORE_REQUEST, &values)?)
}
