//! Denomination keys: the epochs' schedule, rotation by itself, pinning at the center.

use std::collections::BTreeMap;
use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_crypto::snowblind::SecretKey;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::{DenominationSet, Minor};
use feiqian_node::{Caller, Peer, call};
use feiqian_online_cash::Rejection;
use feiqian_online_cash::keyset::{
    DenominationKey, Keyset, MAX_DENOMINATIONS, PinEntry, PinRequest, VerifiedKey, VerifiedKeyset,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Timestamp};

use crate::Bank;
use crate::instances::EPOCH_SECRET;
use crate::refusal::{Refusal, from_blob, to_blob};
use crate::secrets::EpochSecrets;
use crate::tables::KEYSET;

/// How far the first epoch's start is backdated, seconds: clocks differ.
const SKEW: u64 = 300;

/// One of the bank's own denomination keys.
#[derive(Debug, Clone)]
pub(crate) struct OwnKey {
    pub(crate) verified: VerifiedKey,
    /// Gone when the epoch no longer issues.
    pub(crate) secret: Option<Arc<SecretKey>>,
}

/// All of the bank's own keysets.
#[derive(Debug, Default)]
pub(crate) struct Ring {
    pub(crate) keysets: Vec<VerifiedKeyset>,
    keys: BTreeMap<Digest, OwnKey>,
}

impl Ring {
    /// A denomination of this bank.
    pub(crate) fn key(&self, denomination: &Digest) -> Result<&OwnKey, Rejection> {
        self.keys.get(denomination).ok_or_else(|| Rejection::DenominationUnknown(denomination.to_string()))
    }

    fn add(&mut self, keyset: VerifiedKeyset, secrets: Option<&[u8]>) -> Result<(), Fault> {
        let broken = || {
            Fault::new(
                Code::Internal,
                format!("the secret keys of epoch {} do not fit its keyset", keyset.keyset.epoch.0),
            )
        };
        let mut chunks = secrets.map(|bytes| bytes.as_chunks::<32>().0.iter());
        for verified in &keyset.keys {
            let secret = match &mut chunks {
                None => None,
                Some(chunks) => {
                    let secret =
                        SecretKey::from_bytes(chunks.next().ok_or_else(broken)?).map_err(|_| broken())?;
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

/// The bank's own keysets as stored, oldest first.
pub(crate) fn stored(tx: &mut dyn Tx) -> Result<Vec<Keyset>, Refusal> {
    let rows = tx.select("SELECT body FROM keyset ORDER BY epoch", &[])?;
    rows.iter().map(|row| Ok(from_blob(row.blob(0)?)?)).collect()
}

/// Builds the ring from what is stored.
pub(crate) fn ring(
    keysets: Vec<Keyset>,
    signer: &[u8; 32],
    secrets: &dyn EpochSecrets,
) -> Result<Ring, Fault> {
    let mut ring = Ring::default();
    for keyset in keysets {
        let epoch = keyset.epoch.0;
        let verified = keyset.verify(signer)?;
        let kept = secrets.read(epoch)?;
        ring.add(verified, kept.as_ref().map(|bytes| bytes.as_slice()))?;
    }
    Ok(ring)
}

impl Bank {
    /// Makes the next epoch's keyset when its time has come, and pins at the center what is not pinned yet.
    ///
    /// # Errors
    /// `NODE_UNREACHABLE` or the center's fault; what was made stays and is pinned by the next attempt.
    pub async fn rotate(self: &Arc<Self>) -> Result<(), Fault> {
        let _one_at_a_time = self.rotating.lock().await;
        self.make_keyset().await?;
        self.pin_keysets().await?;
        self.forget_secrets().await
    }

    async fn make_keyset(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let schedule = &self.config.schedule;
        let ring = self.ring.load();
        let last = ring.keysets.last();
        let ahead = schedule.ahead_seconds.min(schedule.issue_seconds / 4);
        if last.is_some_and(|last| now.saturating_add(ahead) < last.keyset.issue_until()) {
            return Ok(());
        }
        let epoch = last.map_or(0, |last| last.keyset.epoch.0.saturating_add(1));
        let from = match last.map(|last| last.keyset.issue_until()) {
            Some(end) if end > now => end,
            _ => now.saturating_sub(SKEW),
        };
        let (keyset, secrets) = self.draw_keyset(epoch, from, from.max(now))?;
        // The secrets first: a keyset is never seen by anybody before its secrets are safe.
        self.secrets.write(epoch, &secrets)?;
        let digest = keyset.digest();
        let body = to_blob(&keyset).map_err(Refusal::from)?;
        let sealed = self.sealed_secrets(epoch, &secrets)?;
        let made = self
            .seams
            .store
            .commit("bank.keyset.create", move |tx: &mut dyn Tx| {
                let epoch = Value::unsigned(epoch)?;
                let created = Value::unsigned(now.seconds())?;
                match tx.insert(&KEYSET, &[epoch, digest.into(), body.clone().into(), created]) {
                    // Another process of this bank was first; its secrets are taken up with its keyset.
                    Err(StoreError::Exists(_)) if sealed.is_some() => return Ok(false),
                    other => other?,
                }
                if let Some(sealed) = &sealed {
                    tx.insert(&EPOCH_SECRET, sealed)?;
                }
                Ok::<_, Refusal>(true)
            })
            .await?;
        tracing::info!(epoch, made, "keyset made");
        self.reload_ring().await
    }

    fn draw_keyset(
        &self,
        epoch: u64,
        from: Timestamp,
        started: Timestamp,
    ) -> Result<(Keyset, zeroize::Zeroizing<Vec<u8>>), Fault> {
        let schedule = &self.config.schedule;
        let issue_until = started.saturating_add(schedule.issue_seconds);
        let redeem_until = issue_until.saturating_add(schedule.redeem_seconds);
        let grace_until = redeem_until.saturating_add(schedule.grace_seconds);
        let mut rng = self.seams.entropy.rng();
        let mut keys = Vec::new();
        let mut secrets = zeroize::Zeroizing::new(Vec::with_capacity(32 * MAX_DENOMINATIONS));
        for denomination in DenominationSet::up_to(schedule.largest_exponent)?.iter() {
            let secret = SecretKey::generate(&mut rng);
            secrets.extend_from_slice(secret.to_bytes().as_slice());
            keys.push(DenominationKey {
                bank: self.config.name.clone(),
                currency: self.config.currency,
                value: denomination.value(),
                issue_from: from,
                issue_until,
                redeem_until,
                key: *secret.public().encoded(),
            });
        }
        let keyset = Keyset::sign(
            &self.signer,
            self.config.name.clone(),
            epoch,
            self.config.currency,
            grace_until,
            keys,
        )?;
        Ok((keyset, secrets))
    }

    /// Reads keysets and secrets again.
    pub(crate) async fn reload_ring(&self) -> Result<(), Fault> {
        let keysets = self.seams.store.read(stored).await?;
        self.take_secrets(keysets.iter().map(|keyset| keyset.epoch.0).collect()).await?;
        self.ring.store(Arc::new(ring(keysets, &self.signer.public_key(), &*self.secrets)?));
        Ok(())
    }

    async fn pin_keysets(self: &Arc<Self>) -> Result<(), Fault> {
        let now = self.now();
        let view = self.members.snapshot();
        let ring = self.ring.load_full();
        let missing = ring
            .keysets
            .iter()
            .filter(|known| !view.pins.contains(&known.digest) && now < known.keyset.issue_until());
        let mut pinned = false;
        for known in missing {
            let request = PinRequest { keyset: known.keyset.clone(), signer: self.signer_chain.clone() };
            let network = &*self.seams.network;
            let entry: PinEntry =
                call(network, &self.center, Caller::Certified, "/v1/keysets/pin", &request).await?;
            if entry.keyset.digest() != known.digest {
                return Err(Fault::new(
                    Code::KeysetNotPinned,
                    "the center pinned another keyset than it was given",
                ));
            }
            pinned = true;
        }
        if pinned { self.sync().await } else { Ok(()) }
    }

    /// The own keysets whose coins are worth something, pinned or not, oldest first.
    #[must_use]
    pub fn own_keysets(&self) -> Vec<Keyset> {
        let now = self.now();
        let ring = self.ring.load();
        let live = ring.keysets.iter().filter(|known| now < known.keyset.grace_until);
        live.map(|known| known.keyset.clone()).collect()
    }

    /// An epoch that no longer issues needs no secrets: what is deleted cannot be stolen.
    async fn forget_secrets(&self) -> Result<(), Fault> {
        let now = self.now();
        for known in &self.ring.load_full().keysets {
            let end = known.keyset.issue_until().saturating_add(self.config.session_seconds);
            if end < now {
                self.drop_secrets(known.keyset.epoch.0).await?;
            }
        }
        Ok(())
    }

    /// The own key of a denomination that the center shows to everybody.
    pub(crate) fn pinned_key<'r>(
        &self,
        ring: &'r Ring,
        denomination: &Digest,
    ) -> Result<&'r OwnKey, Rejection> {
        let own = ring.key(denomination)?;
        match self.members.snapshot().pins.key(denomination) {
            Ok(_) => Ok(own),
            Err(_) => Err(Rejection::KeysetNotPinned("the center has not shown it to this bank yet")),
        }
    }

    /// `GET /v1/keysets`: the own keysets that still matter, oldest first.
    pub(crate) async fn show_keysets(
        self: Arc<Self>,
        _peer: Peer,
        (): (),
    ) -> Result<Bounded<Keyset, 32>, Fault> {
        // What is not pinned yet is nobody's business: a wallet would take it for a keyset made for it alone.
        let view = self.members.snapshot();
        let mut live = self.own_keysets();
        live.retain(|keyset| view.pins.contains(&keyset.digest()));
        let surplus = live.len().saturating_sub(32);
        Ok(Bounded::new(live.split_off(surplus))?)
    }
}

/// The value of coins of these keys.
pub(crate) fn value_of<'k>(keys: impl Iterator<Item = &'k OwnKey>) -> Result<Minor, Rejection> {
    feiqian_online_cash::issue::value_of(keys.map(|key| &key.verified))
}
