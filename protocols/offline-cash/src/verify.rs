//! Checking chains: keys, kinds, currency, units and links of each, then the equations of all pieces together.

use std::collections::BTreeSet;

use feiqian_crypto::share_tree::{Piece, Shown, VerifiedPiece, verify_all};
use feiqian_crypto::{Digest, Scalar};
use feiqian_wire::Name;
use rand_core::CryptoRng;

use crate::Rejection;
use crate::chain::{
    Hop, Link, Paid, Passed, Place, START, Terms, chain_digest, payment_challenge, payment_set,
    transfer_challenge,
};
use crate::claim::LoneChain;
use crate::interval::Interval;
use crate::keyset::{Keys, Kind, VerifiedKey};

/// A hop whose key is known; its challenge is not yet.
#[derive(Debug, Clone)]
struct Known<'a> {
    key: &'a VerifiedKey,
    piece: &'a Piece,
    message: Digest,
}

fn known<'a>(hop: &'a Hop, keys: &'a dyn Keys) -> Result<Known<'a>, Rejection> {
    let key = keys.key(&hop.key)?;
    let message =
        hop.piece.message(&key.public).map_err(|_| Rejection::PieceInvalid("not a piece of its key"))?;
    Ok(Known { key, piece: &hop.piece, message })
}

/// A hop with its challenge, not verified.
#[derive(Debug, Clone)]
struct Step<'a> {
    key: &'a VerifiedKey,
    piece: &'a Piece,
    place: Place,
    nonce: Option<Digest>,
    challenge: Scalar,
}

/// The structure of a chain that was checked and the equations of which were not.
#[derive(Debug, Clone)]
pub(crate) struct Traced<'a> {
    steps: Vec<Step<'a>>,
    terms: Terms,
    interval: Interval,
}

/// Walks a chain's hops: kinds, currency, units, each coin once. `end` is the *m* that takes the last link.
fn walk<'a>(
    hops: impl Iterator<Item = (&'a Hop, Option<&'a Digest>)>,
    end: Option<&Digest>,
    keys: &'a dyn Keys,
) -> Result<Traced<'a>, Rejection> {
    let hops = hops.map(|(hop, nonce)| Ok((known(hop, keys)?, nonce.copied())));
    let hops: Vec<_> = hops.collect::<Result<_, Rejection>>()?;
    let Some((first, _)) = hops.first() else {
        return Err(Rejection::PieceInvalid("a chain without hops"));
    };
    if first.key.kind != Kind::Value {
        return Err(Rejection::PieceInvalid("a chain starts with a value coin"));
    }
    let (mut interval, mut terms) = (Interval::whole(first.key.value)?, Terms::of(first.key));
    let mut seen: BTreeSet<Digest> = end.into_iter().copied().collect();
    let mut previous = START;
    let mut steps: Vec<Step<'a>> = Vec::with_capacity(hops.len());
    let payees: Vec<Option<Digest>> =
        hops.iter().skip(1).map(|(next, _)| Some(next.message)).chain([end.copied()]).collect();
    for ((Known { key, piece, message }, nonce), payee) in hops.into_iter().zip(payees) {
        if !steps.is_empty() {
            terms.add_blank(key)?;
        }
        if !seen.insert(message) {
            return Err(Rejection::PieceRepeated);
        }
        interval = interval.part(piece.node).ok_or(Rejection::PieceInvalid("finer than a minor unit"))?;
        let place = Place { previous, message, node: piece.node };
        let challenge = match (&payee, &nonce) {
            (Some(payee), Some(nonce)) => transfer_challenge(&previous, &message, piece.node, payee, nonce),
            _ => Scalar::ZERO, // no challenge yet: it depends on the other pieces of the payment
        };
        previous = chain_digest(&place, &challenge);
        steps.push(Step { key, piece, place, nonce, challenge });
    }
    Ok(Traced { steps, terms, interval })
}

impl Passed {
    /// Checks everything but the pieces' equations.
    pub(crate) fn trace<'a>(&'a self, keys: &'a dyn Keys) -> Result<Traced<'a>, Rejection> {
        let hops = self.links.iter().map(|link| (&link.hop, Some(&link.nonce)));
        let mut traced = walk(hops, Some(&self.blank.message), keys)?;
        traced.terms.add_blank(keys.key(&self.blank.key)?)?;
        Ok(traced)
    }
}

/// A payment's chain, its last challenge still open.
fn trace_paid<'a>(chain: &'a Paid, keys: &'a dyn Keys) -> Result<Traced<'a>, Rejection> {
    let links = chain.links.iter().map(|link| (&link.hop, Some(&link.nonce)));
    walk(links.chain([(&chain.last, None)]), None, keys)
}

/// Checks everything but the pieces' equations of all chains of a payment, and returns the set that names it.
pub(crate) fn trace_payment<'a>(
    request: &Digest,
    chains: &'a [Paid],
    keys: &'a dyn Keys,
) -> Result<(Digest, Vec<Traced<'a>>), Rejection> {
    let mut traced = Vec::with_capacity(chains.len());
    for chain in chains {
        traced.push(trace_paid(chain, keys)?);
    }
    let places: Vec<Place> =
        traced.iter().filter_map(|chain| chain.steps.last()).map(|step| step.place).collect();
    let set = payment_set(request, &places);
    for step in traced.iter_mut().filter_map(|chain| chain.steps.last_mut()) {
        step.challenge = payment_challenge(&step.place, &set);
    }
    Ok((set, traced))
}

/// A hop that was found valid.
#[derive(Debug, Clone)]
pub struct VerifiedHop {
    key: Digest,
    bank: Name,
    previous: Digest,
    nonce: Option<Digest>,
    piece: VerifiedPiece,
}

impl VerifiedHop {
    /// The id of its key.
    #[must_use]
    pub fn key(&self) -> &Digest {
        &self.key
    }

    /// The bank that issued its coin or blank: whose customer the holder is.
    #[must_use]
    pub fn bank(&self) -> &Name {
        &self.bank
    }

    /// The nonce of its transfer; a payment has none.
    #[must_use]
    pub fn nonce(&self) -> Option<&Digest> {
        self.nonce.as_ref()
    }

    /// The piece, to extract from.
    #[must_use]
    pub fn piece(&self) -> &VerifiedPiece {
        &self.piece
    }

    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> Place {
        Place { previous: self.previous, message: *self.piece.message(), node: self.piece.node() }
    }

    fn to_hop(&self) -> Hop {
        Hop { key: self.key, piece: self.piece.piece().clone() }
    }
}

/// A chain that was found valid, hop by hop: the only thing to build a holding from, to register or to accuse with.
#[derive(Debug, Clone)]
pub struct VerifiedChain {
    hops: Vec<VerifiedHop>,
    terms: Terms,
    interval: Interval,
}

impl VerifiedChain {
    /// The hops, first the value coin's.
    #[must_use]
    pub fn hops(&self) -> &[VerifiedHop] {
        &self.hops
    }

    /// Issuing bank, currency and deadlines.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// The units of the value coin that it covers.
    #[must_use]
    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// *m* of the value coin.
    #[must_use]
    pub fn coin(&self) -> Option<&Digest> {
        self.hops.first().map(|hop| hop.piece.message())
    }

    /// The digest of the whole chain, *previous* of the hop to come.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.hops.last().map_or(START, |hop| chain_digest(&hop.place(), hop.piece.challenge()))
    }

    /// Its transfers, as they travel.
    pub(crate) fn links(&self) -> Vec<Link> {
        let link = |hop: &VerifiedHop| Some(Link { hop: hop.to_hop(), nonce: hop.nonce? });
        self.hops.iter().filter_map(link).collect()
    }
}

/// Checks the equations of many chains with one multiscalar multiplication; the answers are in the order given. A false
/// chain does not spoil the others.
pub(crate) fn verify_traced(
    chains: Vec<Traced<'_>>,
    rng: &mut impl CryptoRng,
) -> Vec<Result<VerifiedChain, Rejection>> {
    let owners = chains.iter().enumerate().flat_map(|(owner, chain)| chain.steps.iter().map(move |_| owner));
    let owners: Vec<usize> = owners.collect();
    let steps = chains.iter().flat_map(|chain| &chain.steps);
    let shown: Vec<_> = steps
        .map(|step| Shown { key: &step.key.public, piece: step.piece, challenge: &step.challenge })
        .collect();
    let (bad, pieces) = match verify_all(&shown, rng) {
        Ok(pieces) => (BTreeSet::new(), pieces),
        Err(blame) => {
            let bad: BTreeSet<usize> =
                blame.indices.iter().filter_map(|index| owners.get(*index)).copied().collect();
            let sound = shown.iter().zip(&owners).filter(|(_, owner)| !bad.contains(owner));
            let sound: Vec<_> = sound.map(|(shown, _)| *shown).collect();
            (bad, verify_all(&sound, rng).unwrap_or_default())
        }
    };
    let mut pieces = pieces.into_iter();
    let answer = |(owner, chain): (usize, Traced<'_>)| {
        if bad.contains(&owner) {
            return Err(Rejection::PieceInvalid("a piece does not verify"));
        }
        chain.verified(&mut pieces)
    };
    chains.into_iter().enumerate().map(answer).collect()
}

impl Traced<'_> {
    pub(crate) fn terms(&self) -> &Terms {
        &self.terms
    }

    pub(crate) fn interval(&self) -> Interval {
        self.interval
    }

    fn verified(self, pieces: &mut impl Iterator<Item = VerifiedPiece>) -> Result<VerifiedChain, Rejection> {
        let mut hops = Vec::with_capacity(self.steps.len());
        for step in self.steps {
            let piece = pieces.next().ok_or(Rejection::PieceInvalid("a piece does not verify"))?;
            let Place { previous, .. } = step.place;
            hops.push(VerifiedHop {
                key: step.key.id,
                bank: step.key.bank.clone(),
                previous,
                nonce: step.nonce,
                piece,
            });
        }
        Ok(VerifiedChain { hops, terms: self.terms, interval: self.interval })
    }
}

/// Checks chains that end on blanks, all together: keys, kinds, currency, units, links and every piece. The answers are in
/// the order given; a bad chain does not spoil the others.
///
/// # Security
/// Variable time: everything here is public. Whether the chain is in time, exposed or held already is for
/// [`crate::policy::Counter`].
pub fn verify_passed(
    chains: &[Passed],
    keys: &dyn Keys,
    rng: &mut impl CryptoRng,
) -> Vec<Result<VerifiedChain, Rejection>> {
    verify_each(chains.iter().map(|chain| chain.trace(keys)).collect(), rng)
}

/// Checks chains of payments, each under the set that names its payment, as [`verify_passed`] does others.
pub(crate) fn verify_lone(
    chains: &[&LoneChain],
    keys: &dyn Keys,
    rng: &mut impl CryptoRng,
) -> Vec<Result<VerifiedChain, Rejection>> {
    verify_each(chains.iter().map(|lone| trace_lone(lone, keys)).collect(), rng)
}

fn trace_lone<'a>(lone: &'a LoneChain, keys: &'a dyn Keys) -> Result<Traced<'a>, Rejection> {
    let mut traced = trace_paid(&lone.chain, keys)?;
    if let Some(step) = traced.steps.last_mut() {
        step.challenge = payment_challenge(&step.place, &lone.set);
    }
    Ok(traced)
}

/// [`verify_traced`] for those chains that could be traced.
pub(crate) fn verify_each(
    traced: Vec<Result<Traced<'_>, Rejection>>,
    rng: &mut impl CryptoRng,
) -> Vec<Result<VerifiedChain, Rejection>> {
    let mut sound = Vec::with_capacity(traced.len());
    let mut faults = Vec::with_capacity(traced.len());
    for each in traced {
        faults.push(each.map(|chain| sound.push(chain)));
    }
    let mut verified = verify_traced(sound, rng).into_iter();
    let next = |fault: Result<(), Rejection>| {
        fault.and_then(|()| verified.next().unwrap_or(Err(Rejection::PieceInvalid("a piece is missing"))))
    };
    faults.into_iter().map(next).collect()
}
