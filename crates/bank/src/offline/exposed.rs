//! The list of coins and blanks that were answered for twice: signed, shown to anybody, brought to the center.
//!
//! Anybody may ask for it, so the signed list is kept until a coin was added or a minute has passed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_node::{Caller, Peer, call};
use feiqian_offline_cash::messages::{Exposed, MAX_EXPOSED, SignedExposed};
use feiqian_wire::error::Fault;
use feiqian_wire::{Bounded, Timestamp};

use super::tables::EXPOSED;
use crate::Bank;
use crate::refusal::Refusal;

/// How long a signed list is shown.
const SHOWN_SECONDS: u64 = 60;

/// The rows of the list, as far as a new list is needed when it changes: when the last coin was added, 0 without any, and
/// how many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Added {
    last: u64,
    count: u64,
}

impl Added {
    fn read(tx: &mut dyn Tx) -> Result<Self, StoreError> {
        let rows = tx.select("SELECT coalesce(max(at), 0), count(*) FROM offline_exposed", &[])?;
        let row = rows.first().ok_or(StoreError::Missing("offline_exposed"))?;
        Ok(Self { last: row.unsigned(0)?, count: row.unsigned(1)? })
    }
}

/// A list that was signed.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    signed: SignedExposed,
    added: Added,
}

impl Shown {
    fn is_fresh(&self, now: Timestamp) -> bool {
        let as_of = self.signed.list.as_of;
        as_of <= now && now < as_of.saturating_add(SHOWN_SECONDS)
    }

    /// Does it have all of these? One that was made within the second of the last of them may lack another of that second.
    fn has(&self, added: Added, now: Timestamp) -> bool {
        let as_of = self.signed.list.as_of;
        self.added == added && (added.last < as_of.seconds() || as_of == now)
    }
}

/// The listed coins as of now, ascending. The newest of them when there are more than a list may have: what was answered
/// twice long ago has mostly been seen.
fn listed(tx: &mut dyn Tx, now: Timestamp) -> Result<Vec<Digest>, StoreError> {
    let sql = "SELECT coin FROM offline_exposed WHERE until > ?1 ORDER BY at DESC, coin LIMIT ?2";
    let more = u32::try_from(MAX_EXPOSED).unwrap_or(u32::MAX).saturating_add(1);
    let rows = tx.select(sql, &[Value::unsigned(now.seconds())?, more.into()])?;
    if rows.len() > MAX_EXPOSED {
        tracing::error!(
            most = MAX_EXPOSED,
            "more coins were exposed than a list has: the oldest are left out"
        );
    }
    let mut coins =
        rows.iter().take(MAX_EXPOSED).map(|row| row.digest(0)).collect::<Result<Vec<Digest>, _>>()?;
    coins.sort_unstable();
    Ok(coins)
}

impl Bank {
    /// Makes the list as of now, signs it and keeps it.
    async fn sign_exposed(&self) -> Result<SignedExposed, Fault> {
        let now = self.now();
        let work = move |tx: &mut dyn Tx| Ok::<_, Refusal>((listed(tx, now)?, Added::read(tx)?));
        let (coins, added) = self.seams.store.read(work).await?;
        let list = Exposed { bank: self.config.name.clone(), as_of: now, coins: Bounded::new(coins)? };
        let signed = SignedExposed::sign(list, &self.signer)?;
        self.offline.list_shown.store(Some(Arc::new(Shown { signed: signed.clone(), added })));
        Ok(signed)
    }

    /// `GET /v1/offline/exposed`.
    pub(crate) async fn show_exposed(self: Arc<Self>, _peer: Peer, (): ()) -> Result<SignedExposed, Fault> {
        match &*self.offline.list_shown.load() {
            Some(shown) if shown.is_fresh(self.now()) => Ok(shown.signed.clone()),
            _ => self.sign_exposed().await,
        }
    }

    /// Brings the list to the center when a coin was added since it was brought last; one that is shown and lacks it is
    /// shown no more. Called after every commit that may have added one.
    pub(crate) async fn bring_exposed(self: &Arc<Self>) -> Result<(), Fault> {
        let added = self.seams.store.read(|tx: &mut dyn Tx| Ok::<_, Refusal>(Added::read(tx)?)).await?;
        let now = self.now();
        let shown = self.offline.list_shown.load_full();
        let shown = shown.filter(|shown| shown.is_fresh(now) && shown.has(added, now));
        if shown.is_none() {
            self.offline.list_shown.store(None);
        }
        if added.last == 0 || added.last < self.offline.list_brought.load(Ordering::Acquire) {
            return Ok(());
        }
        let signed = match shown {
            Some(shown) => shown.signed.clone(),
            None => self.sign_exposed().await?,
        };
        let network = &*self.seams.network;
        let () = call(network, &self.center, Caller::Certified, "/v1/offline/expose", &signed).await?;
        // A coin that is added within this second is brought again.
        self.offline.list_brought.store(signed.list.as_of.seconds(), Ordering::Release);
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
