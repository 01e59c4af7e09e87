//! What a wallet can spend: nodes of its own coins, and of its blanks that took a piece.
//!
//! ```text
//! own coin ─────────────────────────────┐                   ┌─ pay ──▶ Paid
//!                                       ├─▶ Unspent ─ cut ──┤
//! Passed ─ verify ─▶ Holding + blank ───┘                   └─ pass ─▶ Passed
//! ```
//!
//! # Security
//!
//! A wallet never answers twice, per coin *m*, whatever came before. Within one program the types see to it: an
//! [`Unspent`] is consumed by the answer. What was answered before the program started its store must know: it keeps
//! [`Unsent::answers`] and [`Unsent::bytes`] before the first byte leaves, retries the same bytes, and names every answer
//! in [`History::Complete`]. A wallet rebuilt from its seed does not know its answers, and gives none.

use std::sync::Arc;

use feiqian_crypto::acl::Depth;
use feiqian_crypto::share_tree::{Node, SecretNode, SecretTree};
use feiqian_crypto::{Digest, Scalar};
use feiqian_money::Minor;
use feiqian_wire::{Bounded, codec};
use rand_core::CryptoRng;
use serde::Serialize;

use crate::chain::{
    Blank, Hop, Link, MAX_LINKS, Paid, Passed, Place, START, Terms, payment_challenge, transfer_challenge,
};
use crate::interval::Interval;
use crate::keyset::{Keys, Kind, VerifiedKey};
use crate::register::Mark;
use crate::select::Candidate;
use crate::verify::{VerifiedChain, verify_passed};
use crate::{MAX_HOPS, Rejection};

/// Our own caller broke a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The coin is not one of this key, or the key is of the other kind.
    #[error("the coin is not one of this key")]
    KeyMismatch,
    /// The blank is not the one that took the piece.
    #[error("the blank is not the one that took the piece")]
    BlankMismatch,
    /// The chain is so long that nobody could pay with it.
    #[error("the chain cannot get longer")]
    ChainTooLong,
    /// The challenge may not be answered.
    #[error("the challenge may not be answered")]
    Challenge,
    /// The message would be larger than any peer accepts.
    #[error("the message is too large to send")]
    TooLarge,
}

/// What is known of the answers that a coin gave before.
#[derive(Debug, Clone, Copy)]
pub enum History<'a> {
    /// These, and certainly no others: the wallet's store was never lost.
    Complete(&'a [Mark]),
    /// The coin was rebuilt from the seed: it may have answered anything.
    Restored,
}

impl History<'_> {
    /// The greatest nodes of a coin that nothing of was answered; none after a restore, ever.
    fn unspent(self, coin: SecretTree) -> Vec<SecretNode> {
        match self {
            Self::Restored => Vec::new(),
            Self::Complete(answers) => {
                let own = answers.iter().filter(|mark| mark.message == *coin.message());
                let nodes: Vec<Node> = own.map(|mark| mark.node).collect();
                coin.into_nodes(&nodes)
            }
        }
    }
}

/// How value came to a coin or blank.
#[derive(Debug)]
struct Past {
    links: Vec<Link>,
    previous: Digest,
    root: Interval,
    terms: Terms,
    key: Digest,
    depth: Depth,
}

/// A piece that was received: a checked chain and the blank of ours that took it.
#[derive(Debug, Clone)]
pub struct Holding {
    chain: VerifiedChain,
    blank: Blank,
}

impl Holding {
    pub(crate) fn new(chain: VerifiedChain, blank: Blank) -> Self {
        Self { chain, blank }
    }

    /// Reads a holding back from the wallet's store.
    ///
    /// # Errors
    /// As [`verify_passed`].
    pub fn read(passed: &Passed, keys: &dyn Keys, rng: &mut impl CryptoRng) -> Result<Self, Rejection> {
        let chain = verify_passed(core::slice::from_ref(passed), keys, rng).pop();
        let chain = chain.unwrap_or(Err(Rejection::PieceInvalid("a chain without hops")))?;
        Ok(Self::new(chain, passed.blank))
    }

    /// For the wallet's store.
    ///
    /// # Errors
    /// [`Misuse::ChainTooLong`] never: checking bounds the links.
    pub fn to_passed(&self) -> Result<Passed, Misuse> {
        let links = Bounded::new(self.chain.links()).map_err(|_| Misuse::ChainTooLong)?;
        Ok(Passed { links, blank: self.blank })
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &VerifiedChain {
        &self.chain
    }

    /// The blank that took it.
    #[must_use]
    pub fn blank(&self) -> &Blank {
        &self.blank
    }

    /// What was received, minor units.
    #[must_use]
    pub fn value(&self) -> Minor {
        self.chain.interval().value()
    }

    /// What of it can be spent.
    ///
    /// # Errors
    /// [`Misuse::BlankMismatch`] or [`Misuse::KeyMismatch`] unless `coin` is the blank that took the piece, under `key`.
    pub fn open(
        self,
        coin: SecretTree,
        key: &VerifiedKey,
        history: History<'_>,
    ) -> Result<Vec<Unspent>, Misuse> {
        if *coin.message() != self.blank.message {
            return Err(Misuse::BlankMismatch);
        }
        if key.kind != Kind::Blank || key.id != self.blank.key || key.public != *coin.key() {
            return Err(Misuse::KeyMismatch);
        }
        let past = Past {
            links: self.chain.links(),
            previous: self.chain.digest(),
            root: self.chain.interval(),
            terms: self.chain.terms().clone(),
            key: key.id,
            depth: key.public.depth(),
        };
        Ok(Unspent::all(past, history.unspent(coin)))
    }
}

/// A part of a coin or of received value that was not spent: the right to spend it once.
///
/// ```compile_fail,E0277
/// # use feiqian_offline_cash::holding::Unspent;
/// fn keep_a_copy(unspent: &Unspent) -> Unspent {
///     Unspent::clone(unspent)
/// }
/// ```
///
/// ```compile_fail,E0382
/// # use feiqian_offline_cash::{holding::Unspent, pay::pay, request::VerifiedRequest};
/// # use feiqian_wire::Timestamp;
/// fn pay_twice(unspent: Unspent, one: &VerifiedRequest, other: &VerifiedRequest, now: Timestamp) {
///     pay(one, vec![unspent], now);
///     pay(other, vec![unspent], now);
/// }
/// ```
#[derive(Debug)]
pub struct Unspent {
    past: Arc<Past>,
    node: SecretNode,
    interval: Interval,
}

impl Unspent {
    /// What of an own coin can be spent.
    ///
    /// # Errors
    /// [`Misuse::KeyMismatch`] unless `coin` is a value coin under `key`.
    pub fn of_coin(coin: SecretTree, key: &VerifiedKey, history: History<'_>) -> Result<Vec<Self>, Misuse> {
        let root = Interval::whole(key.value).map_err(|_| Misuse::KeyMismatch)?;
        if key.kind != Kind::Value || key.public != *coin.key() {
            return Err(Misuse::KeyMismatch);
        }
        let past = Past {
            links: Vec::new(),
            previous: START,
            root,
            terms: Terms::of(key),
            key: key.id,
            depth: key.public.depth(),
        };
        Ok(Self::all(past, history.unspent(coin)))
    }

    /// Nodes finer than a minor unit are worth nothing.
    fn all(past: Past, nodes: Vec<SecretNode>) -> Vec<Self> {
        let past = Arc::new(past);
        let unspent = |node: SecretNode| {
            let interval = past.root.part(node.node())?;
            Some(Self { past: Arc::clone(&past), node, interval })
        };
        nodes.into_iter().filter_map(unspent).collect()
    }

    /// Minor units.
    #[must_use]
    pub fn value(&self) -> Minor {
        self.interval.value()
    }

    /// Issuing bank, currency and deadlines.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.past.terms
    }

    /// How many hops came before.
    #[must_use]
    pub fn hops(&self) -> usize {
        self.past.links.len()
    }

    /// Where its piece will stand.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { previous: self.past.previous, message: *self.node.message(), node: self.node.node() }
    }

    /// Its worth and grain, to choose by.
    #[must_use]
    pub fn candidate(&self) -> Candidate {
        let size = self.interval.length().ilog2();
        let below = u32::from(self.past.depth.levels().saturating_sub(self.node.node().level()));
        Candidate { size, grain: size.saturating_sub(below) }
    }

    /// Its two halves.
    ///
    /// # Errors
    /// The part itself if it does not divide further.
    #[allow(clippy::result_large_err, reason = "nothing may be lost: the part comes back")]
    pub fn divide(self) -> Result<[Self; 2], Self> {
        let Self { past, node, interval } = self;
        let Some([low, high]) = interval.halves() else { return Err(Self { past, node, interval }) };
        match node.divide() {
            Ok([left, right]) => Ok([
                Self { past: Arc::clone(&past), node: left, interval: low },
                Self { past, node: right, interval: high },
            ]),
            Err(node) => Err(Self { past, node, interval }),
        }
    }

    /// Cuts out one piece of 2 to the power of every exponent; returns the pieces and the rest.
    ///
    /// # Errors
    /// The part itself unless the exponents descend and can all be had from it.
    #[allow(clippy::result_large_err, reason = "nothing may be lost: the part comes back")]
    pub fn cut(self, exponents: &[u32]) -> Result<(Vec<Self>, Vec<Self>), Self> {
        let Candidate { size, grain } = self.candidate();
        let sound = match exponents {
            [whole] if *whole == size => true,
            _ => {
                exponents.is_sorted_by(|one, next| one > next)
                    && exponents.iter().all(|exponent| grain <= *exponent && *exponent < size)
            }
        };
        if !sound {
            return Err(self);
        }
        let (mut pieces, mut rest) = (Vec::new(), Vec::new());
        let mut left = vec![self];
        for exponent in exponents {
            while let Some(part) = left.pop() {
                if part.candidate().size == *exponent {
                    pieces.push(part);
                    break;
                }
                let [low, high] = part.divide()?;
                if low.candidate().size == *exponent {
                    pieces.push(low);
                    left.push(high);
                    break;
                }
                left.push(low);
                rest.push(high);
            }
        }
        rest.append(&mut left);
        Ok((pieces, rest))
    }

    fn answer(self, challenge: &Scalar) -> Result<(Mark, Hop, Vec<Link>), Misuse> {
        let Place { message, node, .. } = self.place();
        let piece = self.node.spend(challenge).map_err(|_| Misuse::Challenge)?;
        let hop = Hop { key: self.past.key, piece };
        Ok((Mark { message, node, challenge: challenge.into() }, hop, self.past.links.clone()))
    }

    /// Spends it in a payment of this set.
    pub(crate) fn pay(self, set: &Digest) -> Result<(Mark, Paid), Misuse> {
        if self.hops() >= MAX_HOPS {
            return Err(Misuse::ChainTooLong);
        }
        let challenge = payment_challenge(&self.place(), set);
        let (mark, last, links) = self.answer(&challenge)?;
        let links = Bounded::new(links).map_err(|_| Misuse::ChainTooLong)?;
        Ok((mark, Paid { links, last }))
    }

    /// Passes it on to a blank.
    pub(crate) fn pass(self, blank: &Blank, nonce: Digest) -> Result<(Mark, Passed), Misuse> {
        if self.hops() >= MAX_LINKS {
            return Err(Misuse::ChainTooLong);
        }
        let Place { previous, message, node } = self.place();
        let challenge = transfer_challenge(&previous, &message, node, &blank.message, &nonce);
        let (mark, hop, mut links) = self.answer(&challenge)?;
        links.push(Link { hop, nonce });
        let links = Bounded::new(links).map_err(|_| Misuse::ChainTooLong)?;
        Ok((mark, Passed { links, blank: *blank }))
    }
}

/// A message that spends, before it may be sent: first its answers and bytes go to the store.
///
/// If the program ends before they are stored, nothing was answered. If it ends afterwards, the stored bytes are sent
/// again; the parts are spent.
#[derive(Debug)]
#[must_use]
pub struct Unsent<T> {
    answers: Vec<Mark>,
    bytes: Vec<u8>,
    message: T,
}

impl<T: Serialize> Unsent<T> {
    pub(crate) fn new(answers: Vec<Mark>, message: T) -> Result<Self, Misuse> {
        let bytes = codec::encode(&message).map_err(|_| Misuse::TooLarge)?;
        Ok(Self { answers, bytes, message })
    }

    /// What the wallet's coins have answered with it: to be stored, and named in every [`History::Complete`] to come.
    #[must_use]
    pub fn answers(&self) -> &[Mark] {
        &self.answers
    }

    /// The message as it travels, at most 1 MiB: to be stored with the answers, and sent again when no answer comes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The message, once answers and bytes are durable.
    ///
    /// # Security
    ///
    /// A wallet that sends first and loses its store may answer twice, and is named as a cheat.
    pub fn release_after_storing(self) -> T {
        self.message
    }
}
