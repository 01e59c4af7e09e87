//! The authority's revocation list, and the lists of others that this bank judges by.
//!
//! The list is made anew at the start, at every revocation and every hour; it holds for 24 hours. Two lists are never
//! of the same second, so that everybody can tell the newer one, and none is dated more than a minute ahead.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_crypto::Id16;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_node::revocation::is_ahead;
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
/// By how many seconds a list may be dated ahead.
const AHEAD: u64 = 60;
/// How long after its end a revoked certificate is named, seconds: seven months, past the six of a cheque.
const REMEMBERED: u64 = 214 * 86_400;

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

/// What the list of `now` names. A certificate that ended longer ago than any cheque drawn under it may be presented is
/// left out: every customer who renews adds an entry, and the list must not grow for ever.
fn revoked(tx: &mut dyn Tx, now: u64) -> Result<Vec<Revoked>, Refusal> {
    let sql = "SELECT r.serial, r.at, r.reason FROM revoked AS r \
               LEFT JOIN certificate AS c ON c.serial = r.serial \
               WHERE c.not_after IS NULL OR c.not_after >= ?1 ORDER BY r.serial";
    let rows = tx.select(sql, &[Value::unsigned(now.saturating_sub(REMEMBERED))?])?;
    let entry = |row: &feiqian_ledger::store::Row| {
        Ok(Revoked { serial: serial(row.blob(0)?)?, at: row.unsigned(1)?, reason: from_blob(row.blob(2)?)? })
    };
    rows.iter().map(entry).collect()
}

/// Whether a list says just that.
fn says(list: &RevocationList, entries: &[Revoked]) -> bool {
    list.entries().count() == entries.len()
        && entries.iter().all(|entry| list.find(&entry.serial).is_some_and(|found| found.at == entry.at))
}

impl Bank {
    /// Makes a new list of what is revoked, unless the one in force is young and says the same.
    ///
    /// Lists must not run ahead of the clock, or nobody would take them: when several are made in one second, the next
    /// may have to wait, and [`Bank::renew_revocation_list`] makes it.
    pub(crate) async fn issue_revocation_list(&self) -> Result<(), Fault> {
        self.make_revocation_list(false).await
    }

    async fn make_revocation_list(&self, anew: bool) -> Result<(), Fault> {
        let _one_at_a_time = self.listing.lock().await;
        let now = self.now().seconds();
        // Read after the lock: a newer list never lacks what an older one says.
        let entries = self.seams.store.read(move |tx: &mut dyn Tx| revoked(tx, now)).await?;
        // Lists of a time when the clock was wrong count for nobody.
        let own = self.own_list.load_full().filter(|list| !is_ahead(list, now));
        let young = |list: &RevocationList| now.saturating_sub(list.this_update()) < RENEW;
        if !anew && own.as_ref().is_some_and(|own| young(own) && says(own, &entries)) {
            self.list_late.store(false, Ordering::Relaxed);
            return Ok(());
        }
        // The one of an earlier life counts too: the center may have it.
        let view = self.members.snapshot();
        let kept = view.lists().of(&self.authority.key().public_key());
        let kept = kept.filter(|list| !is_ahead(list, now));
        let newest = own.as_deref().into_iter().chain(kept).max_by_key(|list| list.this_update());
        let from = newest.map_or(0, |list| list.this_update().saturating_add(1)).max(now);
        if let Some(newest) = newest.filter(|_| from > now.saturating_add(AHEAD)) {
            self.list_late.store(true, Ordering::Relaxed);
            if own.is_none() {
                self.own_list.store(Some(Arc::new(newest.clone())));
            }
            return Ok(());
        }
        let (entries, from) = if self.is_shared() {
            let dated = self.date_list(from, now.saturating_add(AHEAD), move |tx| revoked(tx, now)).await?;
            let Some(dated) = dated else {
                self.list_late.store(true, Ordering::Relaxed);
                return Ok(());
            };
            dated
        } else {
            (entries, from)
        };
        let until = from.saturating_add(MAX_REVOCATION_LIST_SECONDS);
        let list = self
            .authority
            .issue_crl(&entries, from, from, until)
            .map_err(|error| Fault::new(Code::Internal, error.to_string()))?;
        if self.list_brought.load(Ordering::Relaxed) >= from {
            self.list_brought.store(0, Ordering::Relaxed);
        }
        // In force here before anybody else can have seen it.
        self.own_list.store(Some(Arc::new(list)));
        self.list_late.store(false, Ordering::Relaxed);
        self.show_own_list();
        Ok(())
    }

    /// Puts the own list into the members' view, which also takes what the center shows.
    pub(crate) fn show_own_list(&self) {
        let Some(list) = self.own_list.load_full() else { return };
        let view = self.members.snapshot();
        // Alone it would close the door: a chain is judged by the root's list too, which the center brings.
        if view.lists().of(self.root.public_key()).is_some() {
            self.members.replace(view.with_lists(std::slice::from_ref(&*list), self.now()));
            self.members.enforce(&*self.seams.network);
        }
    }

    /// Makes a new list and brings it to the center; a center that is away gets it later.
    pub(crate) async fn publish_revocation_list(&self) -> Result<(), Fault> {
        self.issue_revocation_list().await?;
        if let Err(fault) = self.bring_revocation_list().await {
            tracing::info!(%fault, "the center gets the revocation list later");
        }
        Ok(())
    }

    /// Brings the list to the center, if it has not taken it yet. The center asks by itself too, some time later. One
    /// that the center finds old (the store is of an earlier day) is made anew, past what the center shows.
    pub(crate) async fn bring_revocation_list(&self) -> Result<(), Fault> {
        match self.offer_revocation_list().await {
            Err(fault) if fault.code == Code::Conflict => {
                self.members.sync(&*self.seams.network, self.now()).await?;
                self.make_revocation_list(true).await?;
                self.offer_revocation_list().await
            }
            other => other,
        }
    }

    async fn offer_revocation_list(&self) -> Result<(), Fault> {
        let Some(list) = self.own_list.load_full() else { return Ok(()) };
        if self.list_brought.load(Ordering::Relaxed) >= list.this_update() {
            return Ok(());
        }
        let bytes: Blob<MAX_REVOCATION_LIST_BYTES> = Blob::new(list.as_der())?;
        let () = call_unlisted(&*self.seams.network, &self.center, "/v1/crl", &bytes).await?;
        self.list_brought.fetch_max(list.this_update(), Ordering::Relaxed);
        Ok(())
    }

    /// The same when the last one is an hour old, or could not be made when it should.
    pub(crate) async fn renew_revocation_list(&self) -> Result<(), Fault> {
        let (list, now) = (self.own_list.load_full(), self.now().seconds());
        let since = list.filter(|list| !is_ahead(list, now)).map_or(0, |list| list.this_update());
        let young = now.saturating_sub(since) < RENEW;
        if young && !self.list_late.load(Ordering::Relaxed) {
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
