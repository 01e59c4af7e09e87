//! Revocation lists: the root's own, and the newest of every bank.
//!
//! The root's list is signed at start, at every revocation and every hour, and holds a day. Banks' lists are asked for
//! every minute, and banks may bring them. A list is signed by its authority, so nobody has to be believed for it.

use std::sync::Arc;
use std::time::Duration;

use feiqian_clearing::membership::MAX_BANKS;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_node::revocation::is_ahead;
use feiqian_node::{ListsResponse, Shutdown, call_unlisted};
use feiqian_pki::{MAX_REVOCATION_LIST_BYTES, RevocationList, RevocationReason, Revoked, Serial};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded};
use tokio::task::JoinSet;

use crate::failure::{Failure, own_keys};
use crate::service::Center;
use crate::tables::{CRL, REVOKED};

/// How long a list of the root holds, seconds.
const VALID_SECONDS: u64 = 24 * 3600;
/// After how long the next one is signed, seconds.
const RENEW_SECONDS: u64 = 3600;
/// How often banks are asked for theirs.
const COLLECT: Duration = Duration::from_secs(60);
/// The longest list of a member that is taken, DER bytes: some 3,000 certificates.
const MAX_MEMBER_LIST_BYTES: usize = 128 * 1024;
/// What all lists may come to, so that one answer holds them.
const MAX_SHOWN_BYTES: usize = 960 * 1024;
/// What a list adds to its bytes in an answer.
const LIST_OVERHEAD: usize = 16;
/// Only what a bank's authority can be revoked for.
const REASONS: [(&str, RevocationReason); 4] = [
    ("key_compromise", RevocationReason::KeyCompromise),
    ("cessation_of_operation", RevocationReason::CessationOfOperation),
    ("privilege_withdrawn", RevocationReason::PrivilegeWithdrawn),
    ("unspecified", RevocationReason::Unspecified),
];

/// A list as it travels.
pub(crate) type ListBytes = Blob<MAX_REVOCATION_LIST_BYTES>;

pub(crate) fn reason_of(text: &str) -> Result<RevocationReason, Fault> {
    let known = REASONS.into_iter().find(|(name, _)| *name == text);
    known.map(|(_, reason)| reason).ok_or_else(|| {
        let names: Vec<_> = REASONS.iter().map(|(name, _)| *name).collect();
        Fault::new(Code::Usage, format!("no reason to revoke an authority: {text}"))
            .hint(format!("one of {}", names.join(", ")))
    })
}

fn reason_text(reason: RevocationReason) -> &'static str {
    REASONS.into_iter().find(|(_, known)| *known == reason).map_or("unspecified", |(name, _)| name)
}

fn all_revoked(tx: &mut dyn Tx) -> Result<Vec<Revoked>, Failure> {
    let sql = format!("SELECT {} FROM {} ORDER BY serial", REVOKED.column_list(), REVOKED.name);
    let rows = tx.select(&sql, &[])?;
    rows.iter()
        .map(|row| {
            let serial = Serial::from_slice(row.blob(0)?).map_err(own_keys)?;
            Ok(Revoked { serial, at: row.unsigned(2)?, reason: reason_of(row.text(3)?)? })
        })
        .collect()
}

/// Every list in the store, checked when it was put there.
pub(crate) fn stored_lists(tx: &mut dyn Tx) -> Result<Vec<RevocationList>, Failure> {
    let rows = tx.select(&format!("SELECT list FROM {} ORDER BY authority", CRL.name), &[])?;
    rows.iter().map(|row| Ok(RevocationList::from_der(row.blob(0)?).map_err(own_keys)?)).collect()
}

fn keep(tx: &mut dyn Tx, authority: &[u8; 32], number: u64, list: &RevocationList) -> Result<(), Failure> {
    let values = [(*authority).into(), Value::unsigned(number)?, list.as_der().into()];
    Ok(tx.put(&CRL, &values)?)
}

impl Center {
    /// Puts the stored lists into force again; the caller issues a fresh one of the root next.
    pub(crate) async fn restore_lists(&self) -> Result<(), Fault> {
        let lists = self.seams.store.read(|tx: &mut dyn Tx| stored_lists(tx)).await?;
        self.members.restore_lists(&*self.seams.network, &lists);
        Ok(())
    }

    /// Signs the root's next list, with one more authority revoked or none, and puts it into force.
    pub(crate) async fn issue_list(self: &Arc<Self>, revoke: Option<(String, Revoked)>) -> Result<(), Fault> {
        let changing = self.changing.lock().await;
        let now = self.seams.clock.now();
        let center = Arc::clone(self);
        let work = move |tx: &mut dyn Tx| -> Result<RevocationList, Failure> {
            if let Some((bank, revoked)) = &revoke {
                let serial: Value = revoked.serial.as_bytes().as_slice().into();
                let at = Value::unsigned(revoked.at)?;
                if tx.find(&REVOKED, std::slice::from_ref(&serial))?.is_none() {
                    let reason = reason_text(revoked.reason).into();
                    tx.insert(&REVOKED, &[serial, bank.as_str().into(), at, reason])?;
                }
            }
            let authority = &center.keys.authority;
            let key = *center.keys.root.public_key();
            let known = tx.find(&CRL, &[key.into()])?;
            let (number, before) = match known {
                Some(row) => {
                    (row.unsigned(1)?, Some(RevocationList::from_der(row.blob(2)?).map_err(own_keys)?))
                }
                None => (0, None),
            };
            // One of a time when the clock was wrong counts for nobody.
            let before = before.filter(|list| !is_ahead(list, now.seconds()));
            // Later than the one before, also within one second: others take only what is newer.
            let from = before.map_or(0, |list| list.this_update().saturating_add(1)).max(now.seconds());
            let number = number.saturating_add(1);
            let until = from.saturating_add(VALID_SECONDS);
            let list = authority.issue_crl(&all_revoked(tx)?, number, from, until).map_err(own_keys)?;
            keep(tx, &key, number, &list)?;
            Ok(list)
        };
        let list = self.seams.store.commit("center.crl.issue", work).await?;
        self.members.replace(self.members.snapshot().with_own_list(self.keys.root.public_key(), &list));
        self.members.enforce(&*self.seams.network);
        drop(changing);
        Ok(())
    }

    /// Signs a new list of the root when the last one is an hour old.
    pub(crate) async fn renew_list(self: &Arc<Self>) -> Result<(), Fault> {
        let view = self.members.snapshot();
        let (list, now) = (view.lists().of(self.keys.root.public_key()), self.seams.clock.now().seconds());
        let issued = list.filter(|list| !is_ahead(list, now)).map_or(0, RevocationList::this_update);
        if now >= issued.saturating_add(RENEW_SECONDS) {
            self.issue_list(None).await?;
        }
        Ok(())
    }

    /// Takes a member's list, if the member signed it and it is current and newer than the one kept.
    pub(crate) async fn take_list(&self, bytes: &ListBytes) -> Result<(), Fault> {
        let invalid = |error: String| Fault::new(Code::CertificateInvalid, error);
        let list = RevocationList::from_der(bytes).map_err(|error| invalid(error.to_string()))?;
        if list.as_der().len() > MAX_MEMBER_LIST_BYTES {
            let most = format!("a member's revocation list has at most {MAX_MEMBER_LIST_BYTES} bytes");
            return Err(Fault::new(Code::TooLarge, most));
        }
        let changing = self.changing.lock().await;
        let (view, now) = (self.members.snapshot(), self.seams.clock.now());
        let authorities = view.members().values().map(|member| member.authority.public_key);
        let signed = authorities.into_iter().find(|key| list.verify(key, now.seconds()).is_ok());
        let Some(authority) = signed else {
            return Err(invalid("the list is not signed by a member, or has ended".to_owned()));
        };
        let known = view.lists().of(&authority).filter(|known| !is_ahead(known, now.seconds()));
        let newer = known.is_none_or(|known| known.this_update() < list.this_update());
        let other = view.lists().of(&authority).is_none_or(|known| *known != list);
        if !newer && !other {
            return Ok(());
        }
        if !newer {
            return Err(Fault::new(Code::Conflict, "a newer list of this authority is known"));
        }
        let others = view.lists().pairs().into_iter().filter(|(key, _)| *key != authority);
        let shown: usize = others.map(|(_, list)| list.as_der().len().saturating_add(LIST_OVERHEAD)).sum();
        if shown.saturating_add(list.as_der().len()) > MAX_SHOWN_BYTES {
            return Err(Fault::new(Code::LimitExceeded, "the lists of all members no longer fit one answer"));
        }
        let kept = list.clone();
        let work = move |tx: &mut dyn Tx| keep(tx, &authority, 0, &kept);
        self.seams.store.commit("center.crl.keep", work).await?;
        self.members.replace(view.with_lists(&[list], now));
        self.members.enforce(&*self.seams.network);
        drop(changing);
        Ok(())
    }

    /// Every minute: the root's own list when it is due, and the banks' lists.
    pub(crate) async fn follow_lists_until(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            if let Err(fault) = self.renew_list().await {
                tracing::warn!(%fault, "the root's revocation list could not be renewed");
            }
            self.collect_lists().await;
            if let Err(fault) = self.keep_house().await {
                tracing::warn!(%fault, "what is over could not be deleted");
            }
            if !shutdown.pause(COLLECT).await {
                return;
            }
        }
    }

    /// Asks every bank for its list.
    pub async fn collect_lists(self: &Arc<Self>) {
        let view = self.members.snapshot();
        let mut asking = JoinSet::new();
        for bank in view.members().keys() {
            let Ok(target) = view.target(bank) else { continue };
            let bank = bank.clone();
            let center = Arc::clone(self);
            asking.spawn(async move {
                let network = &*center.seams.network;
                let shown: Result<ListBytes, Fault> =
                    call_unlisted(network, &target, "/v1/crl", &()).await.map_err(Fault::from);
                let taken = match shown {
                    Ok(list) => center.take_list(&list).await,
                    Err(fault) => Err(fault),
                };
                if let Err(fault) = taken {
                    tracing::debug!(%bank, %fault, "a bank's revocation list was not renewed");
                }
            });
        }
        while asking.join_next().await.is_some() {}
    }

    /// The lists that everybody gets.
    pub(crate) fn lists(&self) -> Result<ListsResponse, Fault> {
        let view = self.members.snapshot();
        let lists = view.lists().all().iter().take(MAX_BANKS.saturating_add(1));
        Ok(Bounded::new(lists.map(|list| Blob::new(list.as_der())).collect::<Result<_, _>>()?)?)
    }
}
