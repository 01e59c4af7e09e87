//! Several processes of one bank over one store: who lives, who holds the secrets of which session, and what they hand
//! each other.
//!
//! Each process (an *instance*) has a home of its own with the bank's keys, a name that is its own among the bank's
//! homes, and an address at which the others reach it. A balancer in front of all may send any call to any of them.
//!
//! ```text
//!            any call             finish, commit of a session begun elsewhere
//! wallet ──▶ balancer ──▶ instance 1 ────────────────────────────────────────▶ instance 2, which holds the secrets
//! ```
//!
//! * **Lease.** An instance renews its row in `instance` every few seconds. Whose lease has run out, or whose home runs
//!   under another id, is dead; its open sessions are void for whoever finds them. Those of the living are never voided
//!   by others.
//! * **Fence.** The lease only says whether to wait. What decides is the session's row: it is answered in the same
//!   transaction that finds it open, and answers leave after that commit. An instance that was paused, or whose clock is
//!   slow, and wakes after its sessions were voided can answer none of them.
//! * **Secrets of an epoch.** Whoever makes a keyset writes its secrets, sealed to a key that only the bank's homes
//!   can derive, in the same transaction; the others take them from there into their homes.
//!
//! A bank that keeps its store in a file is alone: it has no lease and finds every session of another run dead.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use feiqian_crypto::{Id16, Scalar, Transcript};
use feiqian_ledger::store::{Column, Store, StoreError, StoreExt, Table, Tx, Value};
use feiqian_node::{CallError, Caller, Peer, Shutdown, Target, call};
use feiqian_online_cash::coin::public_key;
use feiqian_online_cash::drop_box::Sealed;
use feiqian_online_cash::issue::{FinishRequest, FinishResponse};
use feiqian_pki::{BACKDATE_SECONDS, Role, Serial};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Text, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Bank;
use crate::accounts::Holder;
use crate::config::Config;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::secrets::key_file;

/// The processes of this bank, each under the name of its home.
pub(crate) static INSTANCE: Table = Table {
    name: "instance",
    columns: &[Column::text("name"), Column::blob("id"), Column::text("url"), Column::integer("until")],
    key: 1,
    constraints: &["UNIQUE (id)"],
    indexes: &[],
};

/// The secrets of epochs that issue, by the name of their key file, sealed to the bank's homes.
pub(crate) static EPOCH_SECRET: Table = Table {
    name: "epoch_secret",
    columns: &[Column::text("name"), Column::blob("sealed")],
    key: 1,
    constraints: &[],
    indexes: &[],
};

/// One row: the date of the authority's newest revocation list, so that no two instances make two of one second.
pub(crate) static LIST_DATE: Table = Table {
    name: "list_date",
    columns: &[Column::integer("id"), Column::integer("at")],
    key: 1,
    constraints: &["CHECK (id = 0)"],
    indexes: &[],
};

/// How often an instance renews its lease, of the time that a lease lasts.
const BEATS: u64 = 5;

/// Where the secrets of an open session are.
pub(crate) enum Whereabouts {
    /// In this process, if anywhere.
    Here,
    /// In a living process at this address.
    Elsewhere(String),
    /// Nowhere.
    Gone,
}

/// What an instance is told about the holder of an account whose call it is handed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bearer {
    pub(crate) token: Text<64>,
    pub(crate) transport_key: [u8; 32],
    pub(crate) serial: [u8; 16],
}

/// A call on its way from one instance to another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Handed<T> {
    pub(crate) bearer: Option<Bearer>,
    pub(crate) request: T,
}

/// The address of the instance with this id while its lease holds.
pub(crate) fn living(tx: &mut dyn Tx, id: Id16, now: Timestamp) -> Result<Option<String>, StoreError> {
    let sql = "SELECT url FROM instance WHERE id = ?1 AND until > ?2";
    let rows = tx.select(sql, &[id.into(), Value::unsigned(now.seconds())?])?;
    rows.first().map(|row| Ok(row.text(0)?.to_owned())).transpose()
}

/// Refuses to void an open session that another living instance may still answer.
pub(crate) fn check_voidable(
    tx: &mut dyn Tx,
    me: Id16,
    holder: Id16,
    expires: Timestamp,
    now: Timestamp,
) -> Result<(), Refusal> {
    if holder == me || now >= expires || living(tx, holder, now)?.is_none() {
        return Ok(());
    }
    Err(elsewhere().into())
}

/// The answer on which a caller tries again.
pub(crate) fn elsewhere() -> Fault {
    Fault::new(Code::Busy, "the session is held by another process of this bank")
        .hint("send the same again in a moment")
}

/// Takes the place of this home's last run, whose open sessions are dead from here on.
///
/// # Errors
/// The store's.
pub(crate) async fn enter(store: &dyn Store, config: &Config, id: Id16, now: Timestamp) -> Result<(), Fault> {
    let Some(place) = &config.instance else { return Ok(()) };
    let (name, url) = (place.name.clone(), config.instance_url());
    let until = now.saturating_add(place.lease_seconds);
    let work = move |tx: &mut dyn Tx| {
        let until = Value::unsigned(until.seconds())?;
        let values = [name.as_str().into(), id.into(), url.as_str().into(), until];
        Ok::<_, Refusal>(tx.put(&INSTANCE, &values)?)
    };
    Ok(store.commit("bank.instance.enter", work).await?)
}

impl Bank {
    /// Whether other processes may run on the same store.
    pub(crate) fn is_shared(&self) -> bool {
        self.config.instance.is_some()
    }

    /// Where to turn with an open session.
    pub(crate) async fn whereabouts(&self, holder: Id16, expires: Timestamp) -> Result<Whereabouts, Fault> {
        if holder == self.instance {
            return Ok(Whereabouts::Here);
        }
        let now = self.now();
        if !self.is_shared() || now >= expires {
            return Ok(Whereabouts::Gone);
        }
        let work = move |tx: &mut dyn Tx| Ok::<_, Refusal>(living(tx, holder, now)?);
        let url = self.seams.store.read(work).await?;
        Ok(url.map_or(Whereabouts::Gone, Whereabouts::Elsewhere))
    }

    /// Hands a call to the instance at `url` and passes its answer on. One that does not answer is alive until its lease has
    /// run out: the caller tries again.
    pub(crate) async fn hand<Req, Res>(
        &self,
        url: &str,
        path: &str,
        holder: Option<&Holder>,
        request: &Req,
    ) -> Result<Res, Fault>
    where
        Req: Serialize + Clone + Send + Sync + 'static,
        Res: DeserializeOwned,
    {
        let handed = Handed { bearer: holder.map(Holder::bearer), request: request.clone() };
        let to = Target::named(url, Role::Bank, self.name());
        metrics::counter!("feiqian_bank_calls_handed_total").increment(1);
        match call(&*self.seams.network, &to, Caller::Certified, path, &handed).await {
            Ok(response) => Ok(response),
            Err(CallError::Fault(fault)) => Err(fault),
            Err(error) => {
                tracing::debug!(%error, "the holder of a session does not answer");
                Err(elsewhere())
            }
        }
    }

    /// The holder of a handed call, judged anew. Only this bank's own processes may hand calls over.
    pub(crate) async fn handed_holder(
        &self,
        peer: &Peer,
        bearer: Option<&Bearer>,
    ) -> Result<Option<Holder>, Fault> {
        let verified = peer.certified()?;
        if verified.subject.role() != Role::Bank || verified.subject.name() != self.name() {
            return Err(Fault::new(Code::Forbidden, "only this bank's own processes may make this call"));
        }
        let Some(bearer) = bearer else { return Ok(None) };
        let serial =
            Serial::from_slice(&bearer.serial).map_err(|_| Fault::new(Code::Malformed, "a serial number"))?;
        self.owner_of(bearer.token.as_str(), bearer.transport_key, serial).await.map(Some)
    }

    /// `POST /v1/instance/finish`.
    pub(crate) async fn instance_finish(
        self: Arc<Self>,
        peer: Peer,
        handed: Handed<FinishRequest>,
    ) -> Result<FinishResponse, Fault> {
        let holder = self.handed_holder(&peer, handed.bearer.as_ref()).await?;
        self.finish(holder, handed.request, true).await
    }

    /// Renews the lease, looks for what other instances changed, until `shutdown`; then gives the place up, so that nobody
    /// waits for the lease to end.
    pub(crate) async fn run_instance(self: Arc<Self>, shutdown: Shutdown) {
        let Some(place) = &self.config.instance else { return };
        let millis = place.lease_seconds.saturating_mul(1000).checked_div(BEATS).unwrap_or(1000);
        while shutdown.pause(Duration::from_millis(millis.max(200))).await {
            if let Err(fault) = self.beat().await {
                tracing::warn!(%fault, "this instance gave no sign of life, or learnt nothing of the others");
            }
        }
        if let Err(fault) = self.leave().await {
            tracing::info!(%fault, "the place of this instance stays until its lease ends");
        }
    }

    /// Does once what an instance does every few seconds: renews its lease, and takes up what the others changed.
    ///
    /// # Errors
    /// `CONFLICT` when another process runs under this one's name, the store's faults, and the center's where there is
    /// news to ask it for.
    pub async fn beat(self: &Arc<Self>) -> Result<(), Fault> {
        self.renew_lease().await?;
        self.learn().await
    }

    async fn renew_lease(&self) -> Result<(), Fault> {
        let Some(place) = &self.config.instance else { return Ok(()) };
        let (name, id, url) = (place.name.clone(), self.instance, self.config.instance_url());
        let until = self.now().saturating_add(place.lease_seconds);
        let work = move |tx: &mut dyn Tx| {
            let known = tx.find(&INSTANCE, &[name.as_str().into()])?;
            if known.map(|row| row.id(1)).transpose()?.is_some_and(|holder| holder != id) {
                let text = format!("another process runs under the name {name} of this instance");
                return Err(Refusal::Fault(Fault::new(Code::Conflict, text)));
            }
            let until = Value::unsigned(until.seconds())?;
            let values = [name.as_str().into(), id.into(), url.as_str().into(), until];
            Ok(tx.put(&INSTANCE, &values)?)
        };
        Ok(self.seams.store.commit("bank.instance.beat", work).await?)
    }

    async fn leave(&self) -> Result<(), Fault> {
        let Some(place) = &self.config.instance else { return Ok(()) };
        let (name, id) = (place.name.clone(), self.instance);
        let work = move |tx: &mut dyn Tx| {
            let known = tx.find(&INSTANCE, &[name.as_str().into()])?;
            if known.map(|row| row.id(1)).transpose()? == Some(id) {
                tx.delete(&INSTANCE, &[name.as_str().into()])?;
            }
            Ok::<_, Refusal>(())
        };
        Ok(self.seams.store.commit("bank.instance.leave", work).await?)
    }

    /// Takes up keysets that other instances made, and certificates they revoked.
    async fn learn(self: &Arc<Self>) -> Result<(), Fault> {
        let work = |tx: &mut dyn Tx| {
            let count = |tx: &mut dyn Tx, sql: &str| {
                tx.select(sql, &[])?.first().map_or(Ok(0), |row| row.unsigned(0))
            };
            let online = count(tx, "SELECT count(*) FROM keyset")?;
            Ok::<_, Refusal>((online, count(tx, "SELECT count(*) FROM offline_keyset")?))
        };
        let (online, offline) = self.seams.store.read(work).await?;
        let differs = |known: usize, stored: u64| u64::try_from(known) != Ok(stored);
        let fresh_online = differs(self.ring.load().keysets.len(), online);
        let fresh_offline = differs(self.offline.ring.load().keysets.len(), offline);
        if fresh_online {
            self.reload_ring().await?;
        }
        if fresh_offline {
            self.reload_offline_ring().await?;
        }
        self.issue_revocation_list().await?;
        if fresh_online || fresh_offline { self.sync().await } else { Ok(()) }
    }

    /// The key that epochs' secrets are sealed with, from the authority's: every home of the bank has that, the store does
    /// not.
    fn sealing_key(&self) -> Result<Zeroizing<Scalar>, Fault> {
        let broken = |error| Fault::new(Code::Internal, format!("the authority's key: {error}"));
        let der = self.authority.key().to_pkcs8_der().map_err(broken)?;
        Ok(Zeroizing::new(Transcript::new("bank/epoch-secrets").bytes(&der).into_scalar()))
    }

    /// The row that hands an epoch's secrets to the other instances; `None` for a bank that is alone.
    pub(crate) fn sealed_secrets(&self, epoch: u64, secrets: &[u8]) -> Result<Option<[Value; 2]>, Fault> {
        if !self.is_shared() {
            return Ok(None);
        }
        let payee = public_key(&*self.sealing_key()?);
        let sealed = Sealed::seal(&payee, secrets, &mut self.seams.entropy.rng())?;
        let sealed = to_blob(&sealed).map_err(Refusal::from)?;
        Ok(Some([key_file(epoch).as_str().into(), sealed.into()]))
    }

    /// Takes the secrets that other instances made into this home. What the store says replaces what a keyset that lost
    /// the race for its epoch left here.
    pub(crate) async fn take_secrets(&self, epochs: Vec<u64>) -> Result<(), Fault> {
        if !self.is_shared() {
            return Ok(());
        }
        let work = move |tx: &mut dyn Tx| {
            let mut found = Vec::new();
            for epoch in &epochs {
                if let Some(row) = tx.find(&EPOCH_SECRET, &[key_file(*epoch).as_str().into()])? {
                    found.push((*epoch, from_blob::<Sealed>(row.blob(1)?)?));
                }
            }
            Ok::<_, Refusal>(found)
        };
        let found = self.seams.store.read(work).await?;
        if found.is_empty() {
            return Ok(());
        }
        let key = self.sealing_key()?;
        for (epoch, sealed) in found {
            let secrets = Zeroizing::new(sealed.open(&key)?);
            if self.secrets.read(epoch)?.as_ref().map(|kept| kept.as_slice()) != Some(secrets.as_slice()) {
                self.secrets.write(epoch, &secrets)?;
            }
        }
        Ok(())
    }

    /// Deletes the secrets of an epoch here and for the other instances.
    pub(crate) async fn drop_secrets(&self, epoch: u64) -> Result<(), Fault> {
        self.secrets.delete(epoch)?;
        if !self.is_shared() {
            return Ok(());
        }
        let key = move || Value::from(key_file(epoch).as_str());
        let kept = move |tx: &mut dyn Tx| Ok::<_, Refusal>(tx.find(&EPOCH_SECRET, &[key()])?.is_some());
        if !self.seams.store.read(kept).await? {
            return Ok(());
        }
        let work = move |tx: &mut dyn Tx| match tx.delete(&EPOCH_SECRET, &[key()]) {
            Err(StoreError::Missing(_)) => Ok(()),
            other => Ok::<_, Refusal>(other?),
        };
        Ok(self.seams.store.commit("bank.keyset.forget", work).await?)
    }

    /// Dates a revocation list: `entries` are read in the transaction that takes the date, so that a later date never says
    /// less. `None` when the date would run further ahead of the clock than `latest`.
    pub(crate) async fn date_list<T: Send + 'static>(
        &self,
        earliest: u64,
        latest: u64,
        entries: impl Fn(&mut dyn Tx) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<Option<(T, u64)>, Fault> {
        let work = move |tx: &mut dyn Tx| {
            let known = tx.find(&LIST_DATE, &[0_i64.into()])?;
            let last = known.as_ref().map(|row| row.unsigned(1)).transpose()?;
            // A date of a time when the clock of one of them was wrong: nobody takes such a list.
            let last = last.filter(|last| *last <= latest.saturating_add(BACKDATE_SECONDS));
            let at = last.map_or(earliest, |last| last.saturating_add(1).max(earliest));
            if at > latest {
                return Ok(None);
            }
            tx.put(&LIST_DATE, &[0_i64.into(), Value::unsigned(at)?])?;
            Ok::<_, Refusal>(Some((entries(tx)?, at)))
        };
        Ok(self.seams.store.commit("bank.list.date", work).await?)
    }

    /// The processes of this bank that live, by name.
    pub(crate) async fn instances(&self) -> Result<BTreeMap<String, String>, Fault> {
        let now = self.now().seconds();
        let work = move |tx: &mut dyn Tx| {
            let sql = "SELECT name, url FROM instance WHERE until > ?1 ORDER BY name";
            let rows = tx.select(sql, &[Value::unsigned(now)?])?;
            rows.iter()
                .map(|row| Ok((row.text(0)?.to_owned(), row.text(1)?.to_owned())))
                .collect::<Result<BTreeMap<_, _>, Refusal>>()
        };
        Ok(self.seams.store.read(work).await?)
    }
}
