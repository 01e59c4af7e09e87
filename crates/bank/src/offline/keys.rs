//! Offline keys: an epoch's schedule, rotation by itself, pinning in the center's offline log.

use std::collections::BTreeMap;
use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_crypto::acl::SecretKey;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_node::{Caller, call};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::keyset::{
    Keyset, Kind, MAX_KEYS, OfflineKey, Times, VerifiedKey, VerifiedKeyset, depth_of,
};
use feiqian_offline_cash::messages::{OfflinePinEntry, OfflinePinRequest};
use feiqian_offline_cash::signed::WireChain;
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};

use super::tables::KEYSET;
use crate::Bank;
use crate::instances::EPOCH_SECRET;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::secrets::{EpochSecrets, OFFLINE};

/// How far the first epoch's start is backdated, seconds: clocks differ.
const SKEW: u64 = 300;

/// One of the bank's own offline keys.
#[derive(Debug, Clone)]
pub(crate) struct OwnKey {
    pub(crate) verified: VerifiedKey,
    /// Gone when the epoch no longer issues.
    pub(crate) secret: Option<Arc<SecretKey>>,
}

/// All of the bank's own offline keysets.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    pub(crate) keysets: Vec<VerifiedKeyset>,
    keys: BTreeMap<Digest, OwnKey>,
}

impl Ring {
    /// A key of this bank.
    pub(crate) fn key(&self, id: &Digest) -> Result<&OwnKey, Rejection> {
        self.keys.get(id).ok_or_else(|| Rejection::KeyUnknown(id.to_string()))
    }

    fn add(&mut self, keyset: VerifiedKeyset, secrets: Option<&[u8]>) -> Result<(), Fault> {
        let epoch = keyset.keyset.epoch.0;
        let broken = || {
            Fault::new(
                Code::Internal,
                format!("the secret keys of offline epoch {epoch} do not fit its keyset"),
            )
        };
        let mut chunks = secrets.map(|bytes| bytes.as_chunks::<32>().0.iter());
        for verified in &keyset.keys {
            let secret = match &mut chunks {
                None => None,
                Some(chunks) => {
                    let bytes = chunks.next().ok_or_else(broken)?;
                    let secret =
                        SecretKey::from_bytes(bytes, verified.public.depth()).map_err(|_| broken())?;
                    if *secret.public() != verified.public {
                        return Err(broken());
                    }
                    Some(Arc::new(secret))
                }
            };
            self.keys.insert(verified.id, OwnKey { verified: verified.clone(), secret });
        }
        self.keysets.push(keyset);
        Ok(())
    }
}

fn stored(tx: &mut dyn Tx) -> Result<Vec<Keyset>, Refusal> {
    let rows = tx.select("SELECT body FROM offline_keyset ORDER BY epoch", &[])?;
    rows.iter().map(|row| Ok(from_blob(row.blob(0)?)?)).collect()
}

fn ring(keysets: Vec<Keyset>, signer: &[u8; 32], secrets: &dyn EpochSecrets) -> Result<Ring, Fault> {
    let mut ring = Ring::default();
    for keyset in keysets {
        let kept = secrets.read(OFFLINE | keyset.epoch.0)?;
        ring.add(keyset.verify(signer)?, kept.as_ref().map(|bytes| bytes.as_slice()))?;
    }
    Ok(ring)
}

impl Bank {
    /// Makes the next epoch's offline keyset when its time has come, pins what is not pinned, deletes old secrets.
    pub(crate) async fn rotate_offline(self: &Arc<Self>) -> Result<(), Fault> {
        if self.config.offline.enabled {
            self.make_offline_keyset().await?;
            self.pin_offline_keysets().await?;
        }
        self.forget_offline_secrets().await
    }

    async fn make_offline_keyset(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let issue_seconds = self.config.offline.issue_seconds(&self.config.schedule);
        let ring = self.offline.ring.load();
        let last = ring.keysets.last();
        let ahead = self.config.schedule.ahead_seconds.min(issue_seconds / 4);
        let end = |known: &VerifiedKeyset| known.keyset.times.issue_until;
        if last.is_some_and(|last| now.saturating_add(ahead) < end(last)) {
            return Ok(());
        }
        let epoch = last.map_or(0, |last| last.keyset.epoch.0.saturating_add(1));
        let from = match last.map(end) {
            Some(end) if end > now => end,
            _ => now.saturating_sub(SKEW),
        };
        let times = self.offline_times(from, from.max(now).saturating_add(issue_seconds));
        let (keyset, secrets) = self.draw_offline_keyset(epoch, times)?;
        // The secrets first: a keyset is never seen by anybody before its secrets are safe.
        self.secrets.write(OFFLINE | epoch, &secrets)?;
        let (digest, body) = (keyset.digest(), to_blob(&keyset).map_err(Refusal::from)?);
        let sealed = self.sealed_secrets(OFFLINE | epoch, &secrets)?;
        let work = move |tx: &mut dyn Tx| {
            let (epoch, created) = (Value::unsigned(epoch)?, Value::unsigned(now.seconds())?);
            match tx.insert(&KEYSET, &[epoch, digest.into(), body.clone().into(), created]) {
                // Another process of this bank was first; its secrets are taken up with its keyset.
                Err(StoreError::Exists(_)) if sealed.is_some() => return Ok(false),
                other => other?,
            }
            if let Some(sealed) = &sealed {
                tx.insert(&EPOCH_SECRET, sealed)?;
            }
            Ok::<_, Refusal>(true)
        };
        let made = self.seams.store.commit("bank.offline.keyset", work).await?;
        tracing::info!(epoch, made, "offline keyset made");
        self.reload_offline_ring().await
    }

    fn offline_times(&self, issue_from: Timestamp, issue_until: Timestamp) -> Times {
        let settings = &self.config.offline;
        let pay_until = issue_until.saturating_add(settings.pay_seconds);
        let deposit_until = pay_until.saturating_add(settings.deposit_seconds);
        let reclaim_until = deposit_until.saturating_add(settings.reclaim_seconds);
        Times { issue_from, issue_until, pay_until, deposit_until, reclaim_until }
    }

    fn draw_offline_keyset(
        &self,
        epoch: u64,
        times: Times,
    ) -> Result<(Keyset, zeroize::Zeroizing<Vec<u8>>), Fault> {
        let mut rng = self.seams.entropy.rng();
        let mut keys = Vec::with_capacity(MAX_KEYS);
        let mut secrets = zeroize::Zeroizing::new(Vec::with_capacity(32 * MAX_KEYS));
        let exponents = 0..=self.config.offline.largest_exponent;
        let values = exponents.map(|exponent| (Kind::Value, 1_u64.checked_shl(exponent.into()).unwrap_or(0)));
        for (kind, value) in std::iter::once((Kind::Blank, 0)).chain(values) {
            let value = Minor::new(value)?;
            let depth = depth_of(kind, value)
                .ok_or_else(|| Fault::new(Code::Usage, "offline.largest_exponent is too large"))?;
            let secret = SecretKey::generate(depth, &mut rng);
            secrets.extend_from_slice(secret.to_bytes().as_slice());
            keys.push(OfflineKey { kind, value, depth, key: *secret.public().encoded() });
        }
        let (name, currency) = (self.config.name.clone(), self.config.currency);
        Ok((Keyset::sign(&self.signer, name, epoch, currency, times, keys)?, secrets))
    }

    /// Reads offline keysets and secrets again.
    pub(crate) async fn reload_offline_ring(&self) -> Result<(), Fault> {
        let keysets = self.seams.store.read(stored).await?;
        self.take_secrets(keysets.iter().map(|keyset| OFFLINE | keyset.epoch.0).collect()).await?;
        self.offline.ring.store(Arc::new(ring(keysets, &self.signer.public_key(), &*self.secrets)?));
        Ok(())
    }

    async fn pin_offline_keysets(self: &Arc<Self>) -> Result<(), Fault> {
        let (now, view) = (self.now(), self.members.snapshot());
        let ring = self.offline.ring.load_full();
        let missing = ring.keysets.iter().filter(|known| {
            view.offline_keys().keyset(&known.digest).is_err() && now < known.keyset.times.issue_until
        });
        let mut pinned = false;
        for known in missing {
            let signer = WireChain(self.signer_chain.0.clone());
            let request = OfflinePinRequest { keyset: known.keyset.clone(), signer };
            let network = &*self.seams.network;
            let entry: OfflinePinEntry =
                call(network, &self.center, Caller::Certified, "/v1/offline/pin", &request).await?;
            if entry.keyset.digest() != known.digest {
                return Err(Fault::new(
                    Code::KeysetNotPinned,
                    "the center pinned another offline keyset than it was given",
                ));
            }
            pinned = true;
        }
        if pinned { self.sync().await } else { Ok(()) }
    }

    async fn forget_offline_secrets(&self) -> Result<(), Fault> {
        let now = self.now();
        for known in &self.offline.ring.load_full().keysets {
            let end = known.keyset.times.issue_until.saturating_add(self.config.session_seconds);
            if end < now {
                self.drop_secrets(OFFLINE | known.keyset.epoch.0).await?;
            }
        }
        Ok(())
    }

    /// The own offline keysets of which something may still come, pinned or not, oldest first.
    #[must_use]
    pub fn own_offline_keysets(&self) -> Vec<Keyset> {
        let now = self.now();
        let ring = self.offline.ring.load();
        let live = ring.keysets.iter().filter(|known| now < known.keyset.times.reclaim_until);
        live.map(|known| known.keyset.clone()).collect()
    }

    /// The own offline keyset that signs now and that the center shows to everybody.
    pub(crate) fn issuing_keyset(&self, ring: &Ring) -> Result<VerifiedKeyset, Fault> {
        let (now, view) = (self.now(), self.members.snapshot());
        let signs = |known: &&VerifiedKeyset| {
            known.keyset.times.issue_from <= now
                && now < known.keyset.times.issue_until
                && view.offline_keys().keyset(&known.digest).is_ok()
        };
        let newest = ring.keysets.iter().rev().find(signs);
        newest.cloned().ok_or_else(|| {
            Fault::new(Code::Unavailable, "no offline keyset of this bank issues now").hint("try again later")
        })
    }

    /// The own offline key that the center shows to everybody.
    pub(crate) fn pinned_offline_key<'r>(
        &self,
        ring: &'r Ring,
        id: &Digest,
    ) -> Result<&'r OwnKey, Rejection> {
        let own = ring.key(id)?;
        self.members
            .snapshot()
            .offline_keys()
            .keyset(&own.verified.keyset)
            .map_err(|_| Rejection::KeysetNotPinned("the center has not shown it to this bank yet"))?;
        Ok(own)
    }
}
