//! The list of coins and blanks that were answered for twice: signed, shown to anybody, brought to the center.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_node::{Caller, Peer, call};
use feiqian_offline_cash::messages::{Exposed, MAX_EXPOSED, SignedExposed};
use feiqian_wire::Bounded;
use feiqian_wire::error::Fault;

use super::tables::EXPOSED;
use crate::Bank;
use crate::refusal::Refusal;

impl Bank {
    /// The list as of now; when the last coin was added, 0 without any.
    async fn exposed_list(&self) -> Result<(SignedExposed, u64), Fault> {
        let now = self.now();
        let work = move |tx: &mut dyn Tx| {
            let sql = "SELECT coin, at FROM offline_exposed WHERE until > ?1 ORDER BY coin LIMIT ?2";
            let most = u32::try_from(MAX_EXPOSED).unwrap_or(u32::MAX);
            let rows = tx.select(sql, &[Value::unsigned(now.seconds())?, most.into()])?;
            let coins = rows.iter().map(|row| row.digest(0)).collect::<Result<Vec<Digest>, _>>()?;
            let added = rows.iter().map(|row| row.unsigned(1)).collect::<Result<Vec<u64>, _>>()?;
            Ok::<_, Refusal>((coins, added.into_iter().max().unwrap_or(0)))
        };
        let (coins, added) = self.seams.store.read(work).await?;
        let list = Exposed { bank: self.config.name.clone(), as_of: now, coins: Bounded::new(coins)? };
        Ok((SignedExposed::sign(list, &self.signer)?, added))
    }

    /// `GET /v1/offline/exposed`.
    pub(crate) async fn show_exposed(self: Arc<Self>, _peer: Peer, (): ()) -> Result<SignedExposed, Fault> {
        Ok(self.exposed_list().await?.0)
    }

    /// Brings the list to the center when a coin was added since it was brought last.
    pub(crate) async fn bring_exposed(self: &Arc<Self>) -> Result<(), Fault> {
        let (signed, added) = self.exposed_list().await?;
        if added == 0 || added < self.offline.list_brought.load(Ordering::Acquire) {
            return Ok(());
        }
        let as_of = signed.list.as_of;
        let network = &*self.seams.network;
        let () = call(network, &self.center, Caller::Certified, "/v1/offline/expose", &signed).await?;
        // A coin that is added within this second is brought again.
        self.offline.list_brought.store(as_of.seconds(), Ordering::Release);
        Ok(())
    }

    /// Coins whose epoch is over need no listing.
    pub(crate) async fn prune_exposed(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let over = move |tx: &mut dyn Tx| {
            let sql = "SELECT coin FROM offline_exposed WHERE until <= ?1 ORDER BY coin LIMIT 1000";
            let rows = tx.select(sql, &[Value::unsigned(now.seconds())?])?;
            rows.iter().map(|row| Ok(row.digest(0)?)).collect::<Result<Vec<Digest>, Refusal>>()
        };
        let coins = self.seams.store.read(over).await?;
        if coins.is_empty() {
            return Ok(());
        }
        let work = move |tx: &mut dyn Tx| {
            coins.iter().try_for_each(|coin| Ok::<_, Refusal>(tx.delete(&EXPOSED, &[(*coin).into()])?))
        };
        Ok(self.seams.store.commit("bank.offline.prune", work).await?)
    }
}
