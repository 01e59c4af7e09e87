//! Denomination keys, keysets, and the log of keysets that the center shows to everybody.
//!
//! A bank that gave every customer a key of their own could trace their coins. So a wallet uses a keyset only
//! when it stands in the center's append-only [`PinLog`], and payer and payee compare what they see of that log
//! by its [`View`].

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::snowblind::PublicKey;
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_money::{Currency, Minor};
use feiqian_pki::{KeyPair, Purpose, Revocation, Role, TrustedRoot};
use feiqian_wire::{Bounded, Name, Timestamp, U64};
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::signed::{DocumentSignature, WireChain};

/// The most denominations in one keyset.
pub const MAX_DENOMINATIONS: usize = 32;

/// The kind of coin these keys sign, as hashed into every denomination id.
pub const KIND: &str = "online";

/// One denomination key of one epoch: what it signs, and when it may be used for what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenominationKey {
    /// The issuing bank.
    pub bank: Name,
    /// The currency of `value`.
    pub currency: Currency,
    /// A power of two minor units.
    pub value: Minor,
    /// First second at which the bank signs with it.
    pub issue_from: Timestamp,
    /// First second at which the bank no longer signs with it.
    pub issue_until: Timestamp,
    /// First second at which its coins no longer pay (their owner may still refresh them during grace).
    pub redeem_until: Timestamp,
    /// *X = xG*.
    pub key: EncodedPoint,
}

impl DenominationKey {
    /// `D("online-cash/denomination"; bank, currency, value, kind, issue_from, issue_until, redeem_until, X)`.
    pub fn id(&self) -> Digest {
        Transcript::new("online-cash/denomination")
            .text(self.bank.as_str())
            .text(self.currency.code())
            .integer(self.value.value())
            .text(KIND)
            .integer(self.issue_from.seconds())
            .integer(self.issue_until.seconds())
            .integer(self.redeem_until.seconds())
            .point(&self.key)
            .into_digest()
    }
}

/// All denomination keys of one epoch of one bank and currency, signed by the bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyset {
    /// The issuing bank.
    pub bank: Name,
    /// Counts up from 0 for each bank and currency.
    pub epoch: U64,
    /// The currency of every key.
    pub currency: Currency,
    /// First second at which expired coins can no longer be refreshed by their owner.
    pub grace_until: Timestamp,
    /// At most [`MAX_DENOMINATIONS`] keys in ascending order of value.
    pub keys: Bounded<DenominationKey, MAX_DENOMINATIONS>,
    /// By the bank's document-signing key over [`Keyset::digest`].
    pub signature: DocumentSignature,
}

/// `D("online-cash/keyset"; bank, epoch, currency, grace_until, n, id_1 … id_n)`.
fn digest_of<'a>(
    bank: &Name,
    epoch: u64,
    currency: Currency,
    grace_until: Timestamp,
    keys: impl ExactSizeIterator<Item = &'a DenominationKey>,
) -> Digest {
    let start = Transcript::new("online-cash/keyset")
        .text(bank.as_str())
        .integer(epoch)
        .text(currency.code())
        .integer(grace_until.seconds())
        .integer(keys.len() as u64);
    keys.fold(start, |transcript, key| transcript.digest(&key.id())).into_digest()
}

impl Keyset {
    /// Signs the keys of an epoch.
    ///
    /// # Errors
    /// [`Rejection::KeysetInvalid`] when the keys break a rule of [`Keyset::verify`].
    pub fn sign(
        signer: &KeyPair,
        bank: Name,
        epoch: u64,
        currency: Currency,
        grace_until: Timestamp,
        keys: Vec<DenominationKey>,
    ) -> Result<Self, Rejection> {
        let digest = digest_of(&bank, epoch, currency, grace_until, keys.iter());
        let keys = Bounded::new(keys).map_err(|_| Rejection::KeysetInvalid("too many denominations"))?;
        let signature = DocumentSignature::sign(signer, &digest)?;
        let keyset = Self { bank, epoch: U64(epoch), currency, grace_until, keys, signature };
        keyset.check_shape()?;
        Ok(keyset)
    }

    /// The digest that the bank signs and the center pins.
    pub fn digest(&self) -> Digest {
        digest_of(&self.bank, self.epoch.0, self.currency, self.grace_until, self.keys.iter())
    }

    /// First second at which the keyset no longer signs.
    pub fn issue_until(&self) -> Timestamp {
        self.keys.iter().map(|key| key.issue_until).min().unwrap_or(Timestamp::new(0))
    }

    fn check_shape(&self) -> Result<(), Rejection> {
        let Some(first) = self.keys.first() else {
            return Err(Rejection::KeysetInvalid("no denominations"));
        };
        let mut last_value = 0;
        for key in self.keys.iter() {
            let value = key.value.value();
            if key.bank != self.bank || key.currency != self.currency {
                return Err(Rejection::KeysetInvalid("a key of another bank or currency"));
            }
            if !value.is_power_of_two() || value <= last_value {
                return Err(Rejection::KeysetInvalid("values are ascending powers of two"));
            }
            last_value = value;
            let times = [key.issue_from, key.issue_until, key.redeem_until, self.grace_until];
            if !times.is_sorted() || key.issue_from == key.issue_until {
                return Err(Rejection::KeysetInvalid("times out of order"));
            }
            let same = (key.issue_from, key.issue_until, key.redeem_until)
                == (first.issue_from, first.issue_until, first.redeem_until);
            if !same {
                return Err(Rejection::KeysetInvalid("keys of one epoch share their times"));
            }
        }
        Ok(())
    }

    /// Checks shape, points and the bank's signature.
    ///
    /// # Errors
    /// [`Rejection::KeysetInvalid`], [`Rejection::SignatureInvalid`], [`Rejection::Malformed`].
    pub fn verify(self, bank_signing_key: &[u8; 32]) -> Result<VerifiedKeyset, Rejection> {
        self.check_shape()?;
        let digest = self.digest();
        self.signature.verify(bank_signing_key, &digest, "keyset")?;
        let mut keys = Vec::with_capacity(self.keys.len());
        let mut distinct = BTreeSet::new();
        for key in self.keys.iter() {
            let public =
                PublicKey::from_encoded(key.key).map_err(|_| Rejection::Malformed("denomination key"))?;
            if !distinct.insert(key.key) {
                return Err(Rejection::KeysetInvalid("one key for two values"));
            }
            keys.push(VerifiedKey {
                id: key.id(),
                key: key.clone(),
                epoch: self.epoch.0,
                grace_until: self.grace_until,
                public,
            });
        }
        Ok(VerifiedKeyset { digest, keyset: self, keys })
    }
}

/// One denomination key of a keyset whose signature and points were checked.
#[derive(Debug, Clone)]
pub struct VerifiedKey {
    /// [`DenominationKey::id`].
    pub id: Digest,
    /// What it signs and when.
    pub key: DenominationKey,
    /// The epoch of its keyset.
    pub epoch: u64,
    /// The end of grace of its keyset.
    pub grace_until: Timestamp,
    /// The decoded point.
    pub public: PublicKey,
}

impl VerifiedKey {
    /// May the bank sign with it now?
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_issue(&self, now: Timestamp) -> Result<(), Rejection> {
        let open = self.key.issue_from <= now && now < self.key.issue_until;
        open.then_some(()).ok_or(Rejection::KeyExpired)
    }

    /// May its coins pay now?
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_redeem(&self, now: Timestamp) -> Result<(), Rejection> {
        (now < self.key.redeem_until).then_some(()).ok_or(Rejection::KeyExpired)
    }

    /// May their owner still refresh its coins now?
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_grace(&self, now: Timestamp) -> Result<(), Rejection> {
        (now < self.grace_until).then_some(()).ok_or(Rejection::KeyExpired)
    }
}

/// A keyset whose shape, points and signature were checked.
#[derive(Debug, Clone)]
pub struct VerifiedKeyset {
    /// What the center pins.
    pub digest: Digest,
    /// As received.
    pub keyset: Keyset,
    /// Its keys, ascending by value.
    pub keys: Vec<VerifiedKey>,
}

/// One line of the center's log of pinned keysets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinEntry {
    /// When the center pinned it; the signer's certificate is judged at this time.
    pub pinned_at: Timestamp,
    /// The keyset.
    pub keyset: Keyset,
    /// The bank's document-signing chain: leaf, bank authority.
    pub signer: WireChain,
}

/// What somebody sees of the log: `D("online-cash/view"; previous view, bank, epoch, keyset digest)` over its
/// entries in order, 32 zero bytes at its start.
pub type View = Digest;

/// The view of an empty log.
pub const EMPTY_VIEW: View = Digest([0; 32]);

fn next_view(previous: &View, keyset: &VerifiedKeyset) -> View {
    Transcript::new("online-cash/view")
        .digest(previous)
        .text(keyset.keyset.bank.as_str())
        .integer(keyset.keyset.epoch.0)
        .digest(&keyset.digest)
        .into_digest()
}

/// The checked, append-only log of pinned keysets: every role's answer to "which keys count".
#[derive(Debug, Clone, Default)]
pub struct PinLog {
    keysets: Vec<VerifiedKeyset>,
    views: Vec<View>,
    by_denomination: BTreeMap<Digest, VerifiedKey>,
}

impl PinLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks one entry and appends it.
    ///
    /// # Errors
    /// [`Rejection::CertificateInvalid`] when the signer is not the bank's at the time of pinning,
    /// [`Rejection::KeysetNotPinned`] when the bank already has a keyset of that epoch and currency,
    /// [`Rejection::KeysetInvalid`] when a key *X* of the bank stands in an earlier keyset (its coins would count
    /// under both), and the errors of [`Keyset::verify`]. The log is then unchanged.
    pub fn append(&mut self, entry: PinEntry, root: &TrustedRoot) -> Result<(), Rejection> {
        let signer = feiqian_pki::validate(
            &entry.signer.to_chain()?,
            root,
            Purpose::Signing,
            Revocation::Unchecked,
            entry.pinned_at.seconds(),
        )
        .map_err(|error| Rejection::CertificateInvalid(error.to_string()))?;
        if signer.subject.role() != Role::Bank || signer.subject.name() != entry.keyset.bank.as_str() {
            return Err(Rejection::CertificateInvalid("not the signing key of this bank".into()));
        }
        let taken = self.keysets.iter().any(|known| {
            known.keyset.bank == entry.keyset.bank
                && known.keyset.epoch == entry.keyset.epoch
                && known.keyset.currency == entry.keyset.currency
        });
        if taken {
            return Err(Rejection::KeysetNotPinned("another keyset of this epoch is pinned"));
        }
        let keyset = entry.keyset.verify(&signer.public_key)?;
        let repeated = keyset.keys.iter().any(|key| self.by_denomination.contains_key(&key.id));
        if repeated {
            return Err(Rejection::KeysetInvalid("a denomination key stands in another keyset"));
        }
        let reused = keyset.keys.iter().any(|key| {
            let same = |known: &VerifiedKey| known.public == key.public && known.key.bank == key.key.bank;
            self.by_denomination.values().any(same)
        });
        if reused {
            return Err(Rejection::KeysetInvalid("a key of an earlier keyset again"));
        }
        let view = next_view(&self.view(), &keyset);
        self.by_denomination.extend(keyset.keys.iter().map(|key| (key.id, key.clone())));
        self.keysets.push(keyset);
        self.views.push(view);
        Ok(())
    }

    /// How many entries were appended.
    pub fn len(&self) -> usize {
        self.keysets.len()
    }

    /// Is it empty?
    pub fn is_empty(&self) -> bool {
        self.keysets.is_empty()
    }

    /// The view of the whole log.
    pub fn view(&self) -> View {
        self.views.last().copied().unwrap_or(EMPTY_VIEW)
    }

    /// Was `view` the view of this log at some time? Two parties whose logs are prefixes of one another see the
    /// same keys; any other relation means that the center shows different keys to different people.
    ///
    /// [`EMPTY_VIEW`] says nothing about any key, so it is agreed with only while this log is empty too.
    pub fn has_seen(&self, view: &View) -> bool {
        if self.views.is_empty() { *view == EMPTY_VIEW } else { self.views.contains(view) }
    }

    /// The key of a denomination.
    ///
    /// # Errors
    /// [`Rejection::DenominationUnknown`].
    pub fn key(&self, denomination: &Digest) -> Result<&VerifiedKey, Rejection> {
        self.by_denomination
            .get(denomination)
            .ok_or_else(|| Rejection::DenominationUnknown(denomination.to_string()))
    }

    /// The newest keyset of a bank and currency that signs now.
    pub fn current(&self, bank: &str, currency: Currency, now: Timestamp) -> Option<&VerifiedKeyset> {
        self.keysets.iter().rev().find(|known| {
            known.keyset.bank.as_str() == bank
                && known.keyset.currency == currency
                && known.keys.iter().all(|key| key.check_issue(now).is_ok())
        })
    }

    /// Is exactly this keyset pinned?
    pub fn contains(&self, keyset_digest: &Digest) -> bool {
        self.keysets.iter().any(|known| known.digest == *keyset_digest)
    }

    /// All keysets in the order of pinning.
    pub fn keysets(&self) -> &[VerifiedKeyset] {
        &self.keysets
    }
}

/// The most entries of the log in one answer.
pub const MAX_PIN_ENTRIES: usize = 32;

/// A bank asks the center to pin its keyset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinRequest {
    /// The keyset.
    pub keyset: Keyset,
    /// The bank's document-signing chain.
    pub signer: WireChain,
}

/// Asks the center for its log from an entry on. Anonymous.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinsRequest {
    /// The number of entries already known.
    pub from: U64,
}

/// A part of the log; an empty one says that there is no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinsResponse {
    /// In order.
    pub entries: Bounded<PinEntry, MAX_PIN_ENTRIES>,
}
