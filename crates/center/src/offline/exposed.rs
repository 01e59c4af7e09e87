//! Exposed coins: each bank signs the list of those that were answered for twice, the center collects the lists and
//! shows them to everybody.

use std::sync::Arc;
use std::time::Duration;

use feiqian_ledger::store::{Row, StoreExt, Tx, Value};
use feiqian_node::{Caller, Shutdown, call};
use feiqian_offline_cash::messages::{
    ExposedRequest, ExposedResponse, MAX_EXPOSED_LISTS, MAX_EXPOSED_SHOWN, SignedExposed,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Limit, codec};
use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::service::Center;
use crate::tables::EXPOSED;

/// How often the banks are asked.
const COLLECT: Duration = Duration::from_secs(60);

pub(crate) fn list_of(row: &Row) -> Result<SignedExposed, Failure> {
    Ok(codec::decode(row.blob(2)?, Limit::Large)?)
}

fn all(tx: &mut dyn Tx) -> Result<Vec<SignedExposed>, Failure> {
    let sql = format!("SELECT {} FROM {} ORDER BY bank", EXPOSED.column_list(), EXPOSED.name);
    tx.select(&sql, &[])?.iter().map(list_of).collect()
}

/// Keeps a list unless one of the same time or later is kept; answers whether it was kept.
fn keep(tx: &mut dyn Tx, list: &SignedExposed) -> Result<bool, Failure> {
    let bank = list.list.bank.as_str();
    let known = tx.find(&EXPOSED, &[bank.into()])?;
    let kept_of = known.as_ref().map(|row| row.unsigned(1)).transpose()?;
    if kept_of.is_some_and(|kept_of| kept_of >= list.list.as_of.seconds()) {
        return Ok(false);
    }
    let values = [bank.into(), Value::unsigned(list.list.as_of.seconds())?, codec::encode(list)?.into()];
    tx.put(&EXPOSED, &values)?;
    Ok(true)
}

impl Center {
    /// Puts the stored lists into the view.
    pub(crate) async fn restore_exposed(&self) -> Result<(), Fault> {
        let lists = self.seams.store.read(|tx: &mut dyn Tx| all(tx)).await?;
        let (view, now) = (self.members.snapshot(), self.seams.clock.now());
        self.members.replace(view.with_exposed(lists, now, now));
        Ok(())
    }

    /// Takes a member's list if the member signed it and it is later than the one kept; else changes nothing.
    pub(crate) async fn take_exposed(&self, list: SignedExposed) -> Result<(), Fault> {
        let changing = self.changing.lock().await;
        let (view, now) = (self.members.snapshot(), self.seams.clock.now());
        view.check_exposed(&list, now)?;
        let shown = view.exposed_lists().get(list.list.bank.as_str());
        if shown.is_some_and(|shown| shown.list.as_of >= list.list.as_of) {
            return Ok(());
        }
        let kept = list.clone();
        let work = move |tx: &mut dyn Tx| keep(tx, &kept);
        if self.seams.store.commit("center.offline.exposed", work).await? {
            self.members.replace(view.with_exposed(vec![list], now, now));
        }
        drop(changing);
        Ok(())
    }

    /// Takes a list that a bank sends by itself.
    pub(crate) async fn push_exposed(&self, caller: &str, list: SignedExposed) -> Result<(), Fault> {
        if list.list.bank.as_str() != caller {
            return Err(Fault::new(Code::Forbidden, format!("bank {caller} shows its own list only")));
        }
        self.take_exposed(list).await
    }

    /// The lists of the banks behind a name, as many as one answer holds.
    pub(crate) fn exposed(&self, request: &ExposedRequest) -> Result<ExposedResponse, Fault> {
        let view = self.members.snapshot();
        let behind = (std::ops::Bound::Excluded(request.after.as_str()), std::ops::Bound::Unbounded);
        let (mut lists, mut coins) = (Vec::new(), 0_usize);
        for (_, list) in view.exposed_lists().range::<str, _>(behind) {
            coins = coins.saturating_add(list.list.coins.len());
            if lists.len() >= MAX_EXPOSED_LISTS || (coins > MAX_EXPOSED_SHOWN && !lists.is_empty()) {
                break;
            }
            lists.push(list.clone());
        }
        Ok(ExposedResponse { as_of: self.seams.clock.now(), lists: Bounded::new(lists)? })
    }

    /// Every minute: the banks' lists.
    pub(crate) async fn follow_exposed_until(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            self.collect_exposed().await;
            if !shutdown.pause(COLLECT).await {
                return;
            }
        }
    }

    /// Asks every bank that has pinned offline keys for its list.
    pub async fn collect_exposed(self: &Arc<Self>) {
        let view = self.members.snapshot();
        let mut banks: Vec<String> =
            view.offline_entries().iter().map(|entry| entry.keyset.bank.as_str().to_owned()).collect();
        banks.sort_unstable();
        banks.dedup();
        let mut asking = JoinSet::new();
        for bank in banks {
            let Ok(target) = view.target(&bank) else { continue };
            let center = Arc::clone(self);
            asking.spawn(async move {
                let network = &*center.seams.network;
                let shown: Result<SignedExposed, Fault> =
                    call(network, &target, Caller::Anonymous, "/v1/offline/exposed", &())
                        .await
                        .map_err(Fault::from);
                let taken = match shown {
                    Ok(list) if list.list.bank.as_str() != bank => {
                        Err(Fault::new(Code::WrongBank, "it shows another bank's list"))
                    }
                    Ok(list) => center.take_exposed(list).await,
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = taken {
                    tracing::debug!(%bank, %fault, "a bank's exposed list was not renewed");
                }
            });
        }
        while asking.join_next().await.is_some() {}
    }
}
