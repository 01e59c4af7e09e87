//! The grammar of a chain: how value went from a withdrawn coin through other hands to here.
//!
//! Hop 0 is a piece of a *value* coin; every later hop is a piece of a *blank*, the one that took the piece before it.
//! Every hop but the last is a transfer, the last is a payment, or a transfer to a blank that is still unspent.
//!
//! ```text
//! previous₀   = 32 zero bytes
//! previousⱼ₊₁ = D("offline-cash/chain"; previousⱼ, mⱼ, nodeⱼ, dⱼ)
//! transfer    d = Hs("offline-cash/transfer"; previous, m, node, payee's m, nonce)
//! payment     d = Hs("offline-cash/payment"; previous, m, node, set)
//! set           = D("offline-cash/payment-set"; request digest, n, (previous, m, node)…)
//! ```
//!
//! A hop carries no challenge, no depth, no name of its coin and none of the next blank: whoever checks takes the depth
//! from the pinned key and computes the rest, so there is nothing to lie about.

use std::collections::BTreeMap;

use feiqian_crypto::share_tree::{Node, Piece};
use feiqian_crypto::{Digest, Scalar, Transcript};
use feiqian_money::Currency;
use feiqian_wire::{Bounded, Name, Timestamp, U64};
use serde::{Deserialize, Serialize};

use crate::keyset::{Kind, VerifiedKey};
use crate::{MAX_HOPS, Rejection};

/// *previous* at the start of a chain.
pub const START: Digest = Digest([0; 32]);

/// `Hs("offline-cash/transfer"; previous, m, node, payee's m, nonce)`.
#[must_use]
pub fn transfer_challenge(
    previous: &Digest,
    message: &Digest,
    node: Node,
    payee: &Digest,
    nonce: &Digest,
) -> Scalar {
    let place = Transcript::new("offline-cash/transfer").digest(previous).digest(message);
    place.integer(node.into()).digest(payee).digest(nonce).into_scalar()
}

/// Where a chain's last piece stands: what came before it, its coin and its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The digest of the chain before it.
    pub previous: Digest,
    /// *m*.
    pub message: Digest,
    /// The node.
    pub node: Node,
}

/// `D("offline-cash/payment-set"; request digest, n, (previous, m, node)…)` over all pieces of a payment in order, so that
/// none can be left out or added. It names the payment.
#[must_use]
pub fn payment_set(request: &Digest, places: &[Place]) -> Digest {
    let start = Transcript::new("offline-cash/payment-set").digest(request);
    let place = |transcript: Transcript, place: &Place| {
        transcript.digest(&place.previous).digest(&place.message).integer(place.node.into())
    };
    start.list(places, place).into_digest()
}

/// `Hs("offline-cash/payment"; previous, m, node, set)`.
#[must_use]
pub fn payment_challenge(place: &Place, set: &Digest) -> Scalar {
    let transcript = Transcript::new("offline-cash/payment").digest(&place.previous).digest(&place.message);
    transcript.integer(place.node.into()).digest(set).into_scalar()
}

/// `D("offline-cash/chain"; previous, m, node, d)`, the *previous* of the next hop.
#[must_use]
pub fn chain_digest(place: &Place, challenge: &Scalar) -> Digest {
    let transcript = Transcript::new("offline-cash/chain").digest(&place.previous).digest(&place.message);
    transcript.integer(place.node.into()).scalar(challenge).into_digest()
}

/// The most transfers of a chain: one hop is left to pay with it.
pub const MAX_LINKS: usize = MAX_HOPS - 1;

/// A keyset that a party knows, shown so that payer and payee can compare: a bank that gave one customer a key of their
/// own could trace their coins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysetView {
    /// The bank.
    pub bank: Name,
    /// The epoch.
    pub epoch: U64,
    /// The digest that the bank signed and the center pinned.
    pub digest: Digest,
}

/// The most keysets that one request or offer shows.
pub const MAX_KEYSETS: usize = 16;

/// A piece with the id of the key of its coin: at most 2.3 KiB.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// Names the key.
    pub key: Digest,
    /// The piece.
    pub piece: Piece,
}

/// A hop that was transferred to the blank of the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// The piece.
    pub hop: Hop,
    /// 32 fresh bytes of the payer.
    pub nonce: Digest,
}

/// A coin of value 0 that may take one piece: the id of its key and its *m*.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blank {
    /// Names the key.
    pub key: Digest,
    /// *m*.
    pub message: Digest,
}

/// A chain that ends on a blank: value in its holder's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passed {
    /// At least one, at most [`MAX_LINKS`].
    pub links: Bounded<Link, MAX_LINKS>,
    /// Where the value sits.
    pub blank: Blank,
}

/// A chain that ends in a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// The transfers, at most [`MAX_LINKS`].
    pub links: Bounded<Link, MAX_LINKS>,
    /// The piece that pays.
    pub last: Hop,
}

/// What holds for a chain as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The issuing bank of the value coin.
    pub bank: Name,
    /// One for all hops.
    pub currency: Currency,
    /// The earliest of all its keys: first second at which it no longer pays.
    pub pay_until: Timestamp,
    /// The earliest of all its keys.
    pub deposit_until: Timestamp,
    /// The earliest of all its keys.
    pub reclaim_until: Timestamp,
    /// The keysets of its keys by bank and epoch.
    pub keysets: BTreeMap<(Name, u64), Digest>,
}

impl Terms {
    pub(crate) fn of(key: &VerifiedKey) -> Self {
        Self {
            bank: key.bank.clone(),
            currency: key.currency,
            pay_until: key.times.pay_until,
            deposit_until: key.times.deposit_until,
            reclaim_until: key.times.reclaim_until,
            keysets: [((key.bank.clone(), key.epoch), key.keyset)].into(),
        }
    }

    pub(crate) fn add_blank(&mut self, key: &VerifiedKey) -> Result<(), Rejection> {
        if key.kind != Kind::Blank {
            return Err(Rejection::PieceInvalid("a value coin after the first hop"));
        }
        if key.currency != self.currency {
            return Err(Rejection::WrongCurrency);
        }
        self.pay_until = self.pay_until.min(key.times.pay_until);
        self.deposit_until = self.deposit_until.min(key.times.deposit_until);
        self.reclaim_until = self.reclaim_until.min(key.times.reclaim_until);
        self.keysets.insert((key.bank.clone(), key.epoch), key.keyset);
        Ok(())
    }

    /// Are all its keysets among those that the other party shows?
    ///
    /// # Errors
    /// [`Rejection::KeysetNotPinned`].
    pub fn check_shown(&self, views: &[KeysetView]) -> Result<(), Rejection> {
        let shown = |((bank, epoch), digest): (&(Name, u64), &Digest)| {
            views.iter().any(|view| view.bank == *bank && view.epoch.0 == *epoch && view.digest == *digest)
        };
        if self.keysets.iter().all(shown) {
            Ok(())
        } else {
            Err(Rejection::KeysetNotPinned("the other party does not show a keyset of the chain"))
        }
    }

    /// Does the chain pay at this time?
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_pays(&self, at: Timestamp) -> Result<(), Rejection> {
        (at < self.pay_until).then_some(()).ok_or(Rejection::KeyExpired)
    }

    /// Is the chain still taken by banks at this time?
    ///
    /// # Errors
    /// [`Rejection::KeyExpired`].
    pub fn check_deposits(&self, at: Timestamp) -> Result<(), Rejection> {
        (at < self.reclaim_until).then_some(()).ok_or(Rejection::KeyExpired)
    }
}
