//! ACL keys of an epoch: value coins and blanks in one keyset, signed by the bank and pinned at the center.
//!
//! A bank that gave every customer a key of their own could trace their coins. So a wallet uses a keyset only when
//! the center pins its digest in the log that everybody sees, and the digest is part of every payment request and
//! transfer offer, where payer and payee compare it.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::acl::{Depth, PublicKey};
use feiqian_crypto::share_tree::Node;
use feiqian_crypto::{Digest, EncodedPoint, Transcript};
use feiqian_money::{Currency, Minor};
use feiqian_pki::{KeyPair, Purpose, Revocation, Role, TrustedRoot};
use feiqian_wire::{Bounded, Name, Timestamp, U64};
use serde::{Deserialize, Serialize};

use crate::Rejection;
use crate::chain::KeysetView;
use crate::signed::{DocumentSignature, WireChain};

/// The greatest value of a coin is 2 to this power, in minor units.
pub const MAX_EXPONENT: u32 = 18;

/// The most keys in one keyset: one for each value from 2⁰ to 2¹⁸ and one for blanks.
pub const MAX_KEYS: usize = 20;

/// What the coins under a key are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Worth its value: the first hop of a chain.
    Value,
    /// Worth nothing by itself: takes one received piece and passes it on.
    Blank,
}

impl Kind {
    /// As it is hashed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Blank => "blank",
        }
    }
}

/// The depth that coins of a kind and value have: it is the denomination's, never the payer's choice.
/// min(log₂ value, 6) for a value coin, 6 for a blank; `None` unless the value is a power of two up to 2¹⁸,
/// or 0 for a blank.
pub fn depth_of(kind: Kind, value: Minor) -> Option<Depth> {
    match (kind, value.value()) {
        (Kind::Blank, 0) => Some(Depth::MAX),
        (Kind::Value, value) if value.is_power_of_two() && value.ilog2() <= MAX_EXPONENT => {
            let levels = value.ilog2().min(u32::from(Depth::MAX.levels()));
            Depth::new(u8::try_from(levels).ok()?).ok()
        }
        _ => None,
    }
}

/// The times of an epoch, shared by all its keys: each is the first second at which something is no longer done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// First second at which the bank signs.
    pub issue_from: Timestamp,
    /// First second at which the bank no longer signs.
    pub issue_until: Timestamp,
    /// First second at which coins no longer pay or pass on.
    pub pay_until: Timestamp,
    /// First second at which claims on value that was never deposited are filed; deposits still beat them.
    pub deposit_until: Timestamp,
    /// First second at which claims are decided and the coins are closed.
    pub reclaim_until: Timestamp,
}

impl Times {
    fn in_order(&self) -> bool {
        let Self { issue_from, issue_until, pay_until, deposit_until, reclaim_until } = self;
        issue_from < issue_until
            && issue_until <= pay_until
            && pay_until < deposit_until
            && deposit_until < reclaim_until
    }

    fn write(&self, transcript: Transcript) -> Transcript {
        let Self { issue_from, issue_until, pay_until, deposit_until, reclaim_until } = self;
        [issue_from, issue_until, pay_until, deposit_until, reclaim_until]
            .into_iter()
            .fold(transcript, |transcript, time| transcript.integer(time.seconds()))
    }
}

/// One key of a keyset: what its coins are worth and how deep they divide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfflineKey {
    /// Value coin or blank.
    pub kind: Kind,
    /// A power of two minor units up to 2¹⁸; 0 for blanks.
    pub value: Minor,
    /// [`depth_of`] kind and value.
    pub depth: Depth,
    /// *Y* = *xG*.
    pub key: EncodedPoint,
}

/// All offline keys of one epoch of one bank and currency, signed by the bank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keyset {
    /// The issuing bank.
    pub bank: Name,
    /// Counts up from 0 for each bank and currency.
    pub epoch: U64,
    /// The currency of every key.
    pub currency: Currency,
    /// The times of every key.
    pub times: Times,
    /// The blanks' key first, then values ascending; at most [`MAX_KEYS`].
    pub keys: Bounded<OfflineKey, MAX_KEYS>,
    /// By the bank's document-signing key over [`Keyset::digest`].
    pub signature: DocumentSignature,
}

/// Of which bank, epoch and currency, and when: what the keys of a keyset have in common.
struct Epoch<'a> {
    bank: &'a Name,
    epoch: u64,
    currency: Currency,
    times: &'a Times,
}

impl Epoch<'_> {
    /// `D("offline-cash/key"; bank, currency, kind, value, depth, epoch, issue_from, issue_until, pay_until,
    /// deposit_until, reclaim_until, Y)`.
    fn key_id(&self, key: &OfflineKey) -> Digest {
        let transcript = Transcript::new("offline-cash/key")
            .text(self.bank.as_str())
            .text(self.currency.code())
            .text(key.kind.as_str())
            .integer(key.value.value())
            .integer(key.depth.into())
            .integer(self.epoch);
        self.times.write(transcript).point(&key.key).into_digest()
    }

    fn digest(&self, keys: &[OfflineKey]) -> Digest {
        Transcript::new("offline-cash/keyset")
            .text(self.bank.as_str())
            .integer(self.epoch)
            .text(self.currency.code())
            .list(keys, |transcript, key| transcript.digest(&self.key_id(key)))
            .into_digest()
    }
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
        times: Times,
        keys: Vec<OfflineKey>,
    ) -> Result<Self, Rejection> {
        let digest = Epoch { bank: &bank, epoch, currency, times: &times }.digest(&keys);
        let keys = Bounded::new(keys).map_err(|_| Rejection::KeysetInvalid("too many keys"))?;
        let signature = DocumentSignature::sign(signer, &digest)?;
        let keyset = Self { bank, epoch: U64(epoch), currency, times, keys, signature };
        keyset.check_shape()?;
        Ok(keyset)
    }

    fn of_epoch(&self) -> Epoch<'_> {
        Epoch { bank: &self.bank, epoch: self.epoch.0, currency: self.currency, times: &self.times }
    }

    /// `D("offline-cash/keyset"; bank, epoch, currency, n, id_1 … id_n)`: what the bank signs and the center pins.
    pub fn digest(&self) -> Digest {
        self.of_epoch().digest(&self.keys)
    }

    /// The id of one of its keys: everything about it but the bank's signature.
    #[must_use]
    pub fn key_id(&self, key: &OfflineKey) -> Digest {
        self.of_epoch().key_id(key)
    }

    fn check_shape(&self) -> Result<(), Rejection> {
        let invalid = |rule| Err(Rejection::KeysetInvalid(rule));
        if !self.times.in_order() {
            return invalid("times out of order");
        }
        match self.keys.split_first() {
            Some((first, rest)) if first.kind == Kind::Blank && !rest.is_empty() => {}
            _ => return invalid("a key for blanks, then keys for values"),
        }
        let ordered = self.keys.iter().skip(1).all(|key| key.kind == Kind::Value)
            && self.keys.iter().is_sorted_by(|one, next| one.value < next.value);
        if !ordered {
            return invalid("a key for blanks, then keys for ascending values");
        }
        if self.keys.iter().any(|key| depth_of(key.kind, key.value) != Some(key.depth)) {
            return invalid("a value or depth that no coin has");
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
        let distinct: BTreeSet<_> = self.keys.iter().map(|key| key.key).collect();
        if distinct.len() != self.keys.len() {
            return Err(Rejection::KeysetInvalid("one key for two values"));
        }
        let keys = self.keys.iter().map(|key| self.verified(key, digest)).collect::<Result<_, _>>()?;
        Ok(VerifiedKeyset { digest, keyset: self, keys })
    }

    fn verified(&self, key: &OfflineKey, keyset: Digest) -> Result<VerifiedKey, Rejection> {
        let public =
            PublicKey::from_encoded(key.key, key.depth).map_err(|_| Rejection::Malformed("offline key"))?;
        Ok(VerifiedKey {
            id: self.of_epoch().key_id(key),
            keyset,
            bank: self.bank.clone(),
            currency: self.currency,
            epoch: self.epoch.0,
            times: self.times,
            kind: key.kind,
            value: key.value,
            public,
        })
    }

    /// Checks that the signer's chain is the bank's at `pinned_at`, then [`Keyset::verify`].
    ///
    /// # Errors
    /// [`Rejection::CertificateInvalid`] when the signer is not the bank's, and those of [`Keyset::verify`].
    pub fn verify_with_chain(
        self,
        signer: &WireChain,
        pinned_at: Timestamp,
        root: &TrustedRoot,
    ) -> Result<VerifiedKeyset, Rejection> {
        let signer = feiqian_pki::validate(
            &signer.to_chain()?,
            root,
            Purpose::Signing,
            Revocation::Unchecked,
            pinned_at.seconds(),
        )
        .map_err(|error| Rejection::CertificateInvalid(error.to_string()))?;
        if signer.subject.role() != Role::Bank || signer.subject.name() != self.bank.as_str() {
            return Err(Rejection::CertificateInvalid("not the signing key of this bank".into()));
        }
        self.verify(&signer.public_key)
    }
}

/// One key of a keyset whose signature and points were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedKey {
    /// Its id: everything about it but the bank's signature.
    pub id: Digest,
    /// The digest of its keyset.
    pub keyset: Digest,
    /// The issuing bank.
    pub bank: Name,
    /// The currency of `value`.
    pub currency: Currency,
    /// The epoch of its keyset.
    pub epoch: u64,
    /// The times of its keyset.
    pub times: Times,
    /// Value coin or blank.
    pub kind: Kind,
    /// Of the whole coin; 0 for blanks.
    pub value: Minor,
    /// *Y*, *Z* and the depth.
    pub public: PublicKey,
}

impl VerifiedKey {
    /// May the bank sign with it now?
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_issue(&self, now: Timestamp) -> Result<(), Rejection> {
        let open = self.times.issue_from <= now && now < self.times.issue_until;
        open.then_some(()).ok_or(Rejection::KeyExpired)
    }

    /// May its coins pay or pass on until `margin_seconds` from now?
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_pay(&self, now: Timestamp, margin_seconds: u64) -> Result<(), Rejection> {
        let settled = now.saturating_add(margin_seconds);
        (settled < self.times.pay_until).then_some(()).ok_or(Rejection::KeyExpired)
    }

    /// May its coins be deposited now? They may until claims are decided.
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_deposit(&self, now: Timestamp) -> Result<(), Rejection> {
        (now < self.times.reclaim_until).then_some(()).ok_or(Rejection::KeyExpired)
    }

    /// May a claim on its coins be filed now?
    ///
    /// # Errors
    /// [`Rejection::NotExpired`] before `deposit_until`, [`Rejection::KeyExpired`] from `reclaim_until`.
    pub fn check_claim(&self, now: Timestamp) -> Result<(), Rejection> {
        not_before(self.times.deposit_until, now)?;
        (now < self.times.reclaim_until).then_some(()).ok_or(Rejection::KeyExpired)
    }

    /// Are claims on its coins decided now?
    ///
    /// # Errors
    /// [`Rejection::NotExpired`] before `reclaim_until`.
    pub fn check_decide(&self, now: Timestamp) -> Result<(), Rejection> {
        not_before(self.times.reclaim_until, now)
    }

    /// What a node of a coin of this value is worth: value / 2^level, a whole number for every node of its tree;
    /// `None` for a node that its trees do not have, zero for blanks.
    pub fn worth(&self, node: Node) -> Option<Minor> {
        if !node.fits(self.public.depth()) {
            return None;
        }
        Minor::new(self.value.value() >> node.level()).ok()
    }

    /// The least that its coins pay: value / 2^depth, zero for blanks.
    pub fn grain(&self) -> u64 {
        self.value.value() >> self.public.depth().levels()
    }
}

fn not_before(expires: Timestamp, now: Timestamp) -> Result<(), Rejection> {
    if now < expires {
        return Err(Rejection::NotExpired { expires: expires.seconds(), now: now.seconds() });
    }
    Ok(())
}

/// A keyset whose shape, points and signature were checked.
#[derive(Debug, Clone)]
pub struct VerifiedKeyset {
    /// What the center pins.
    pub digest: Digest,
    /// As received.
    pub keyset: Keyset,
    /// Its keys: blanks, then values ascending.
    pub keys: Vec<VerifiedKey>,
}

impl VerifiedKeyset {
    /// As payers and payees show it to each other.
    #[must_use]
    pub fn view(&self) -> KeysetView {
        KeysetView { bank: self.keyset.bank.clone(), epoch: self.keyset.epoch, digest: self.digest }
    }

    /// The key of its blanks.
    pub fn blank(&self) -> Option<&VerifiedKey> {
        self.keys.iter().find(|key| key.kind == Kind::Blank)
    }

    /// Its keys of value coins, ascending by value.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &VerifiedKey> {
        self.keys.iter().filter(|key| key.kind == Kind::Value)
    }
}

/// Which keys count: the pinned ones.
pub trait Keys {
    /// The key of an id.
    ///
    /// # Errors
    /// [`Rejection::KeyUnknown`].
    fn key(&self, id: &Digest) -> Result<&VerifiedKey, Rejection>;
}

/// The pinned offline keysets that a role knows, by digest and by key.
#[derive(Debug, Clone, Default)]
pub struct KeyBook {
    keysets: Vec<VerifiedKeyset>,
    by_id: BTreeMap<Digest, VerifiedKey>,
    points: BTreeSet<EncodedPoint>,
}

impl KeyBook {
    /// An empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a keyset that the center pins. The same one again changes nothing.
    ///
    /// # Errors
    /// [`Rejection::KeysetNotPinned`] when another keyset of the same bank, currency and epoch stands here,
    /// [`Rejection::KeysetInvalid`] when one of its points *Y* does: coins would count under both. The book is then
    /// unchanged.
    pub fn add(&mut self, keyset: VerifiedKeyset) -> Result<(), Rejection> {
        if self.keyset(&keyset.digest).is_ok() {
            return Ok(());
        }
        let place =
            |known: &VerifiedKeyset| (known.keyset.bank.clone(), known.keyset.currency, known.keyset.epoch.0);
        if self.keysets.iter().any(|known| place(known) == place(&keyset)) {
            return Err(Rejection::KeysetNotPinned("another keyset of this epoch is pinned"));
        }
        if keyset.keyset.keys.iter().any(|key| self.points.contains(&key.key)) {
            return Err(Rejection::KeysetInvalid("a key of another keyset again"));
        }
        self.points.extend(keyset.keyset.keys.iter().map(|key| key.key));
        self.by_id.extend(keyset.keys.iter().map(|key| (key.id, key.clone())));
        self.keysets.push(keyset);
        Ok(())
    }

    /// The keyset of a digest.
    ///
    /// # Errors
    /// [`Rejection::KeysetNotPinned`].
    pub fn keyset(&self, digest: &Digest) -> Result<&VerifiedKeyset, Rejection> {
        let found = self.keysets.iter().find(|known| known.digest == *digest);
        found.ok_or(Rejection::KeysetNotPinned("unknown here"))
    }

    /// The newest keyset of a bank and currency that signs now.
    pub fn current(&self, bank: &str, currency: Currency, now: Timestamp) -> Option<&VerifiedKeyset> {
        let signs = |known: &&VerifiedKeyset| {
            known.keyset.bank.as_str() == bank
                && known.keyset.currency == currency
                && known.keys.iter().all(|key| key.check_issue(now).is_ok())
        };
        self.keysets.iter().rev().find(signs)
    }

    /// All keysets in the order in which they were added.
    pub fn keysets(&self) -> &[VerifiedKeyset] {
        &self.keysets
    }
}

impl Keys for KeyBook {
    fn key(&self, id: &Digest) -> Result<&VerifiedKey, Rejection> {
        self.by_id.get(id).ok_or_else(|| Rejection::KeyUnknown(id.to_string()))
    }
}
