//! The authority's revocation list, and the lists of others that this bank judges by.
//!
//! The list is made anew at the start, at every revocation and every hour; it holds for 24 hours. Two lists are never
//! of the same second, so that everybody can tell the newer one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_crypto::Id16;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_node::{Peer, call_unlisted};
use feiqian_pki::{
    MAX_REVOCATION_LIST_BYTES, MAX_REVOCATION_LIST_SECONDS, RevocationList, RevocationReason, Revoked, Serial,
};
use feiqian_wire::Blob;
use feiqian_wire::error::{Code, Fault};

use crate::Bank;
use crate::cheques::tables::REVOKED;
use crate::refusal::{Refusal, from_blob, to_blob};

/// How often a new list is made, seconds.
const RENEW: u64 = 3_600;

/// Revokes a certificate; the first revocation counts.
pub(crate) fn revoke(
    tx: &mut dyn Tx,
    serial: &Serial,
    at: u64,
    reason: RevocationReason,
) -> Result<(), StoreError> {
    let key = [Value::from(*serial.as_bytes())];
    if tx.find(&REVOKED, &key)?.is_some() {
        return Ok(());
    }
    let [serial] = key;
    tx.insert(&REVOKED, &[serial, Value::unsigned(at)?, to_blob(&reason)?.into()])
}

/// Revokes every certificate of an account that still is valid.
pub(crate) fn revoke_account(
    tx: &mut dyn Tx,
    account: Id16,
    at: u64,
    reason: RevocationReason,
) -> Result<(), StoreError> {
    revoke_where(tx, "account = ?1 AND not_after >= ?2", account, at, reason)
}

/// The same of those for documents only.
pub(crate) fn revoke_signing(
    tx: &mut dyn Tx,
    account: Id16,
    at: u64,
    reason: RevocationReason,
) -> Result<(), StoreError> {
    revoke_where(tx, "account = ?1 AND not_after >= ?2 AND signing = 1", account, at, reason)
}

fn revoke_where(
    tx: &mut dyn Tx,
    condition: &str,
    account: Id16,
    at: u64,
    reason: RevocationReason,
) -> Result<(), StoreError> {
    let sql = &format!("SELECT serial FROM certificate WHERE {condition}");
    for row in tx.select(sql, &[account.into(), Value::unsigned(at)?])? {
        revoke(tx, &serial(row.blob(0)?)?, at, reason)?;
    }
    Ok(())
}

pub(crate) fn is_revoked(tx: &mut dyn Tx, serial: &Serial) -> Result<bool, StoreError> {
    Ok(tx.find(&REVOKED, &[(*serial.as_bytes()).into()])?.is_some())
}

/// A stored serial.
pub(crate) fn serial(bytes: &[u8]) -> Result<Serial, StoreError> {
    Serial::from_slice(bytes).map_err(|_| StoreError::Corrupt("a serial number".to_owned()))
}

fn revoked(tx: &mut dyn Tx) -> Result<Vec<Revoked>, Refusal> {
    let rows = tx.select("SELECT serial, at, reason FROM revoked ORDER BY serial", &[])?;
    let entry = |row: &feiqian_ledger::store::Row| {
        Ok(Revoked { serial: serial(row.blob(0)?)?, at: row.unsigned(1)?, reason: from_blob(row.blob(2)?)? })
    };
    rows.iter().map(entry).collect()
}

impl Bank {
    /// Makes a new list of what is revoked.
    pub(crate) async fn issue_revocation_list(&self) -> Result<(), Fault> {
        let entries = self.seams.store.read(revoked).await?;
        let _one_at_a_time = self.listing.lock().await;
        let before = self.own_list.load().as_ref().map_or(0, |list| list.this_update());
        let from = self.now().seconds().max(before.saturating_add(1));
        let until = from.saturating_add(MAX_REVOCATION_LIST_SECONDS);
        let list = self
            .authority
            .issue_crl(&entries, from, from, until)
            .map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
        // In force here before anybody else can have seen it.
        let own = [list.clone()];
        self.own_list.store(Some(Arc::new(list)));
        let view = self.members.snapshot();
        // Alone it would close the door: a chain is judged by the root's list too, which the center brings.
        if view.lists().of(self.root.public_key()).is_some() {
            self.members.replace(view.with_lists(&own, self.now()));
            self.members.enforce(&*self.seams.network);
        }
        Ok(())
    }

    /// Makes a new list and brings it to the center; a center that is away gets it later.
    pub(crate) async fn publish_revocation_list(&self) -> Result<(), Fault> {
        self.issue_revocation_list().await?;
        if let Err(fault) = self.bring_revocation_list().await {
            tracing::info!(%fault, "the center gets the revocation list later");
        }
        Ok(())
    }

    /// Brings the list to the center, if it has not taken it yet. The center asks by itself too, some time later.
    pub(crate) async fn bring_revocation_list(&self) -> Result<(), Fault> {
        let Some(list) = self.own_list.load_full() else { return Ok(()) };
        if self.list_brought.load(Ordering::Relaxed) >= list.this_update() {
            return Ok(());
        }
        let bytes: Blob<MAX_REVOCATION_LIST_BYTES> = Blob::new(list.as_der())?;
        let () = call_unlisted(&*self.seams.network, &self.center, "/v1/crl", &bytes).await?;
        self.list_brought.fetch_max(list.this_update(), Ordering::Relaxed);
        Ok(())
    }

    /// The same when the last one is an hour old.
    pub(crate) async fn renew_revocation_list(&self) -> Result<(), Fault> {
        let list = self.own_list.load();
        let since = list.as_ref().map_or(0, |list| list.this_update());
        if self.now().seconds().saturating_sub(since) < RENEW {
            return Ok(());
        }
        self.issue_revocation_list().await
    }

    /// The lists to judge by: the own authority's, and those the center shows.
    pub(crate) fn lists(&self) -> Vec<RevocationList> {
        let mut lists = self.members.snapshot().lists().all().to_vec();
        lists.extend(self.own_list.load_full().map(|list| (*list).clone()));
        lists
    }

    /// `GET /v1/crl`.
    pub(crate) async fn show_revocation_list(
        self: Arc<Self>,
        _peer: Peer,
        (): (),
    ) -> Result<Blob<MAX_REVOCATION_LIST_BYTES>, Fault> {
        self.renew_revocation_list().await?;
        let list = self.own_list.load_full();
        let list = list.ok_or_else(|| Fault::new(Code::Unavailable, "the bank has made no list yet"))?;
        Ok(Blob::new(list.as_der())?)
    }
}
