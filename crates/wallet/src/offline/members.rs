//! What the center says about offline cash, kept so that paying and taking need no network.

use feiqian_crypto::Digest;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_node::MemberView;
use feiqian_offline_cash::chain::{KeysetView, MAX_KEYSETS};
use feiqian_offline_cash::keyset::VerifiedKeyset;
use feiqian_offline_cash::messages::{OfflinePinEntry, SignedExposed};
use feiqian_offline_cash::purse::Until;
use feiqian_wire::error::Code;
use feiqian_wire::{Bounded, Timestamp};

use super::tables::{OFFLINE_EXPOSED, OFFLINE_PIN};
use crate::failure::{Failure, Result};
use crate::record::{decode, encode, select};
use crate::tables::SETTING;
use crate::wallet::{Wallet, read_setting, write_setting};

/// When the center last showed the exposed coins.
const EXPOSED_AS_OF: &str = "offline_exposed_as_of";

/// The offline part of a view as it was stored.
pub(crate) struct StoredOffline {
    entries: Vec<OfflinePinEntry>,
    lists: Vec<SignedExposed>,
    as_of: Timestamp,
}

/// Reads what [`Wallet::keep_offline`] stored.
pub(crate) fn read_offline(tx: &mut dyn Tx) -> Result<StoredOffline> {
    let entries = select(tx, &OFFLINE_PIN, "ORDER BY number", &[])?;
    let lists = select(tx, &OFFLINE_EXPOSED, "ORDER BY bank", &[])?;
    let as_of = read_setting(tx, EXPOSED_AS_OF)?.map(|body| decode(&body, &SETTING)).transpose()?;
    Ok(StoredOffline {
        entries: entries.iter().map(|row| decode(row.blob(1)?, &OFFLINE_PIN)).collect::<Result<_>>()?,
        lists: lists.iter().map(|row| decode(row.blob(1)?, &OFFLINE_EXPOSED)).collect::<Result<_>>()?,
        as_of: as_of.unwrap_or_default(),
    })
}

impl StoredOffline {
    /// Adds it to a view of the members.
    pub(crate) fn add_to(self, view: &MemberView, now: Timestamp) -> Result<MemberView> {
        Ok(view.with_offline(self.entries)?.with_exposed(self.lists, self.as_of, now))
    }

    /// The keysets of the log.
    pub(crate) fn entries(&self) -> &[OfflinePinEntry] {
        &self.entries
    }
}

impl Wallet {
    /// Stores what the view knows beyond `known` entries of the log, and the exposed coins.
    pub(crate) async fn keep_offline(&self, known: usize) -> Result<()> {
        let view = self.view();
        let more: Vec<Vec<u8>> =
            view.offline_entries().iter().skip(known).map(encode).collect::<Result<_>>()?;
        let lists = view.exposed_lists().iter();
        let lists: Vec<(String, Vec<u8>)> =
            lists.map(|(bank, list)| Ok((bank.clone(), encode(list)?))).collect::<Result<_>>()?;
        let as_of = encode(&view.exposed().as_of)?;
        let keep = move |tx: &mut dyn Tx| {
            for (number, entry) in (known..).zip(&more) {
                let number = Value::unsigned(u64::try_from(number).unwrap_or(u64::MAX))?;
                if tx.find(&OFFLINE_PIN, std::slice::from_ref(&number))?.is_none() {
                    tx.insert(&OFFLINE_PIN, &[number, entry.clone().into()])?;
                }
            }
            for (bank, list) in &lists {
                let values = [bank.as_str().into(), list.clone().into()];
                match tx.find(&OFFLINE_EXPOSED, &[bank.as_str().into()])? {
                    Some(row) if row.blob(1)? == list.as_slice() => {}
                    _ => tx.put(&OFFLINE_EXPOSED, &values)?,
                }
            }
            write_setting(tx, EXPOSED_AS_OF, as_of.clone())
        };
        self.seams.store.commit("wallet.offline.members", keep).await
    }

    /// The keyset that the own bank signs offline coins with: the one that is pinned, and that the bank names.
    pub(super) async fn offline_keyset(&self, named: Option<Digest>) -> Result<VerifiedKeyset> {
        let (bank, currency) = (self.config.bank.as_str(), self.config.currency);
        let Some(named) = named else {
            return Err(Failure::new(Code::Unavailable, format!("bank {bank} signs no offline coins now")));
        };
        if self.view().offline_keys().keyset(&named).is_err() {
            self.sync().await?;
        }
        let view = self.view();
        let current = view.offline_keys().current(bank, currency, self.now());
        match current {
            Some(current) if current.digest == named => Ok(current.clone()),
            _ => Err(Failure::new(
                Code::KeysetNotPinned,
                format!("bank {bank} would sign with another keyset than the center shows to everybody"),
            )
            .hint("take no coins from it: coins of a keyset of one's own can be traced")),
        }
    }

    /// The keysets that a payer may use towards this wallet: pinned, of its currency, and still good for this; the newest
    /// if there are many.
    pub(super) fn offline_views(&self, until: Until) -> Result<Bounded<KeysetView, MAX_KEYSETS>> {
        let (view, now) = (self.view(), self.now());
        let pays = |known: &&VerifiedKeyset| {
            let times = &known.keyset.times;
            let end = if until == Until::Pay { times.pay_until } else { times.reclaim_until };
            known.keyset.currency == self.config.currency && now < end
        };
        let shown = view.offline_keys().keysets().iter().rev().filter(pays).take(MAX_KEYSETS);
        Ok(Bounded::new(shown.map(VerifiedKeyset::view).collect())?)
    }
}
