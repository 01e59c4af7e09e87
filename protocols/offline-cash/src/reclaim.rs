//! Value that was never deposited: a lost wallet, a payee who vanished.
//!
//! Filed from `deposit_until`, decided at `reclaim_until`, by the issuing bank's clock; until then deposits are still
//! accepted and beat claims, from then on the coin is closed.
//!
//! A [`Claim`] opens a coin towards its bank: the preimage of *m*, the coin's signature, *γ*, a proof of (*R, L1*) and the
//! customer's signature, all held against the bank's own record of the session. A [`ChainClaim`] is a holder of received
//! value: the whole chain, the claim on its blank, and its own bank's word for the blank's session. On every unit
//! the longest valid chain wins, see [`decide`]; where two chains on a unit leave each other, the holder at that hop has
//! answered twice and is charged for the one that loses, see [`charge_claims`].
//!
//! # Security
//! A claim gives up the anonymity of its coin: it links the coin to its withdrawal.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::acl::{self, Identity, OpeningProof, Signature, verify_blinding, verify_opening};
use feiqian_crypto::share_tree::{Node, SecretTree};
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Transcript};
use feiqian_money::Minor;
use feiqian_pki::{KeyPair, Purpose, Revocation, Role, TrustedRoot};
use feiqian_wire::{Bounded, Timestamp};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::chain::Passed;
use crate::identity::AttestedIdentity;
use crate::interval::Interval;
use crate::keyset::{Keys, Kind, VerifiedKey};
use crate::register::{Charge, Deposited, Mark};
use crate::signed::{DocumentSignature, WireChain};
use crate::verify::{VerifiedChain, verify_passed};
use crate::withdraw::{Coin, Customer, Origin, RestoredCoin};
use crate::{MAX_PIECES, Rejection};

/// A claim on nodes of a coin by the customer who withdrew it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Where the coin was withdrawn. One claim for each.
    pub origin: Origin,
    /// The id of the coin's key: *Y* and depth.
    pub key: Digest,
    /// The digest of the root of its share tree.
    pub root: Digest,
    /// The coin's signature, with *ζ* and *ζ*₁.
    pub signature: Signature,
    /// *γ*.
    pub gamma: EncodedScalar,
    /// Disjoint nodes that were never deposited as far as the claimant knows; the root after a restore.
    pub nodes: Bounded<Node, MAX_PIECES>,
    /// Of (*R, L1*) behind the session's *C*, over [`Claim::context`].
    pub proof: OpeningProof,
    /// The customer's document-signing key over [`Claim::digest`].
    pub customer: DocumentSignature,
}

/// `D("offline-cash/reclaim"; bank, account, session, i, m, n, node_1 … node_n)`.
fn context_of(origin: &Origin, message: &Digest, nodes: &[Node]) -> Digest {
    Transcript::new("offline-cash/reclaim")
        .text(origin.bank.as_str())
        .text(origin.account.as_str())
        .digest(&origin.session)
        .integer(origin.index.into())
        .digest(message)
        .list(nodes, |transcript, node| transcript.integer((*node).into()))
        .into_digest()
}

/// What a bank keeps of one coin's withdrawal, and of its customer.
#[derive(Debug, Clone, Copy)]
pub struct SessionRecord<'a> {
    /// The customer's identity.
    pub identity: &'a Identity,
    /// The customer's document-signing key.
    pub signing_key: &'a [u8; 32],
    /// *C*.
    pub commitment: &'a EncodedPoint,
    /// *ν*.
    pub nu: &'a EncodedScalar,
}

/// A claim that holds: these units of this coin, unless somebody deposits them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedClaim {
    /// *m*; one claim for each.
    pub message: Digest,
    /// Where it was withdrawn; one claim for each.
    pub origin: Origin,
    /// The claimed nodes, disjoint.
    pub nodes: Vec<Node>,
}

impl Claim {
    fn new(
        customer: &Customer<'_>,
        (origin, tree): (&Origin, &SecretTree),
        key: &VerifiedKey,
        nodes: &[Node],
        signer: &KeyPair,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Rejection> {
        if tree.key() != &key.public {
            return Err(Rejection::ClaimInvalid("the coin is not under this key"));
        }
        check_nodes(nodes, key)?;
        let context = context_of(origin, tree.message(), nodes);
        let proof = customer.commitment(origin, key).prove(&context, rng);
        let nodes = Bounded::new(nodes.to_vec()).map_err(|_| Rejection::ClaimInvalid("too many nodes"))?;
        let digest =
            digest_of(&key.id, &tree.root(), tree.signature(), &tree.blinding_factor(), &context, &proof);
        Ok(Self {
            origin: origin.clone(),
            key: key.id,
            root: tree.root(),
            signature: *tree.signature(),
            gamma: tree.blinding_factor(),
            nodes,
            proof,
            customer: DocumentSignature::sign(signer, &digest)?,
        })
    }

    /// The context of the proof: `D("offline-cash/reclaim"; bank, account, session, i, m, n, nodes…)`.
    pub fn context(&self, message: &Digest) -> Digest {
        context_of(&self.origin, message, &self.nodes)
    }

    /// What the customer signs: `D("offline-cash/claim"; key id, root, signature, γ, context, c, u, v)`.
    pub fn digest(&self, message: &Digest) -> Digest {
        let context = self.context(message);
        digest_of(&self.key, &self.root, &self.signature, &self.gamma, &context, &self.proof)
    }

    /// Checks the claim against the bank's own record of the session.
    ///
    /// # Errors
    /// [`Rejection::ClaimInvalid`] when the key is not the claim's, the nodes overlap or are none, the coin's signature
    /// does not stand on the recomputed *m*, or *γ* does not lead from the record to the coin;
    /// [`Rejection::ProofInvalid`], [`Rejection::SignatureInvalid`].
    ///
    /// # Security
    /// The record is found by the claim's origin, in the bank's own books or its bank's [`AttestedSession`].
    pub fn verify(&self, key: &VerifiedKey, record: &SessionRecord<'_>) -> Result<VerifiedClaim, Rejection> {
        if key.id != self.key || key.bank != self.origin.bank {
            return Err(Rejection::ClaimInvalid("another key"));
        }
        check_nodes(&self.nodes, key)?;
        let message = acl::verify(&key.public, &self.root, &self.signature)
            .map_err(|_| Rejection::ClaimInvalid("the coin's signature does not verify"))?;
        verify_blinding(&key.public, &self.signature, &self.gamma, record.commitment, record.nu)
            .map_err(|_| Rejection::ClaimInvalid("the coin is not the session's"))?;
        verify_opening(record.identity, record.commitment, &self.proof, &self.context(&message))
            .map_err(|_| Rejection::ProofInvalid("claim"))?;
        self.customer.verify(record.signing_key, &self.digest(&message), "claim")?;
        Ok(VerifiedClaim { message, origin: self.origin.clone(), nodes: self.nodes.to_vec() })
    }
}

fn digest_of(
    key: &Digest,
    root: &Digest,
    signature: &Signature,
    gamma: &EncodedScalar,
    context: &Digest,
    proof: &OpeningProof,
) -> Digest {
    Transcript::new("offline-cash/claim")
        .digest(key)
        .digest(root)
        .bytes(&signature.to_bytes())
        .encoded_scalar(gamma)
        .digest(context)
        .encoded_scalar(&proof.c)
        .encoded_scalar(&proof.u)
        .encoded_scalar(&proof.v)
        .into_digest()
}

/// At least one node, all of this key's trees, no two overlapping.
fn check_nodes(nodes: &[Node], key: &VerifiedKey) -> Result<(), Rejection> {
    let within = nodes.iter().all(|node| node.fits(key.public.depth()));
    let distinct: BTreeSet<_> = nodes.iter().collect();
    let above = |node: &Node| node.ancestors().any(|ancestor| distinct.contains(&ancestor));
    if nodes.is_empty() || !within || distinct.len() != nodes.len() || nodes.iter().any(above) {
        return Err(Rejection::ClaimInvalid("nodes of the coin, disjoint and at least one"));
    }
    Ok(())
}

impl Coin {
    /// Claims nodes of this coin: those that were never spent, and those whose payee never deposited.
    ///
    /// # Errors
    /// [`Rejection::ClaimInvalid`] for nodes that overlap or are not of the coin, or another key.
    pub fn claim(
        &self,
        customer: &Customer<'_>,
        key: &VerifiedKey,
        nodes: &[Node],
        signer: &KeyPair,
        rng: &mut impl CryptoRng,
    ) -> Result<Claim, Rejection> {
        Claim::new(customer, (&self.origin, &self.tree), key, nodes, signer, rng)
    }
}

impl RestoredCoin {
    /// Claims all of this coin that nobody deposits.
    ///
    /// # Errors
    /// [`Rejection::ClaimInvalid`] for another key.
    pub fn claim(
        &self,
        customer: &Customer<'_>,
        key: &VerifiedKey,
        signer: &KeyPair,
        rng: &mut impl CryptoRng,
    ) -> Result<Claim, Rejection> {
        Claim::new(customer, (&self.origin, &self.tree), key, &[Node::ROOT], signer, rng)
    }
}

/// The word of a blank's bank for the session that the blank was withdrawn in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestedSession {
    /// The session and the index in it.
    pub origin: Origin,
    /// The id of the key.
    pub key: Digest,
    /// *C*.
    pub commitment: EncodedPoint,
    /// *ν*.
    pub nu: EncodedScalar,
    /// Whose session it was.
    pub identity: AttestedIdentity,
    /// When the bank said so; its chain is judged at this time.
    pub attested_at: Timestamp,
    /// By the bank's document-signing key over [`AttestedSession::digest`].
    pub signature: DocumentSignature,
    /// The bank's document-signing chain.
    pub chain: WireChain,
}

impl AttestedSession {
    /// Attests a session of the signing bank's own books.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] never in practice.
    pub fn attest(
        origin: Origin,
        key: Digest,
        (commitment, nu): (EncodedPoint, EncodedScalar),
        identity: AttestedIdentity,
        attested_at: Timestamp,
        (signer, chain): (&KeyPair, WireChain),
    ) -> Result<Self, Rejection> {
        let digest = session_digest(&origin, &key, &commitment, &nu, attested_at);
        let signature = DocumentSignature::sign(signer, &digest)?;
        Ok(Self { origin, key, commitment, nu, identity, attested_at, signature, chain })
    }

    /// `D("offline-cash/session"; bank, account, session, i, key id, C, ν, attested_at)`.
    pub fn digest(&self) -> Digest {
        session_digest(&self.origin, &self.key, &self.commitment, &self.nu, self.attested_at)
    }

    fn verify(&self, root: &TrustedRoot) -> Result<[u8; 32], Rejection> {
        let at = self.attested_at.seconds();
        let signer = self.chain.to_chain().and_then(|chain| {
            feiqian_pki::validate(&chain, root, Purpose::Signing, Revocation::Unchecked, at)
                .map_err(|error| Rejection::CertificateInvalid(error.to_string()))
        })?;
        if signer.subject.role() != Role::Bank || signer.subject.name() != self.origin.bank.as_str() {
            return Err(Rejection::CertificateInvalid("not the signing key of the blank's bank".into()));
        }
        self.signature.verify(&signer.public_key, &self.digest(), "attested session")?;
        let record = self.identity.verify(root)?;
        if (&record.bank, &record.account) != (&self.origin.bank, &self.origin.account) {
            return Err(Rejection::ClaimInvalid("the identity is of another account"));
        }
        record.signing_key()
    }
}

fn session_digest(
    origin: &Origin,
    key: &Digest,
    commitment: &EncodedPoint,
    nu: &EncodedScalar,
    attested_at: Timestamp,
) -> Digest {
    Transcript::new("offline-cash/session")
        .text(origin.bank.as_str())
        .text(origin.account.as_str())
        .digest(&origin.session)
        .integer(origin.index.into())
        .digest(key)
        .point(commitment)
        .encoded_scalar(nu)
        .integer(attested_at.seconds())
        .into_digest()
}

/// A claim by a holder of received value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChainClaim {
    /// How the value came to the blank.
    pub chain: Passed,
    /// The claim on the blank: its nodes are parts of what the blank took.
    pub claim: Claim,
    /// The blank's bank on its session.
    pub session: AttestedSession,
}

impl ChainClaim {
    /// Checks chain, blank and session against each other.
    ///
    /// # Errors
    /// [`Rejection::ClaimInvalid`] when they are not about each other, and whatever is wrong with one of them.
    pub fn verify(
        &self,
        keys: &dyn Keys,
        root: &TrustedRoot,
        rng: &mut impl CryptoRng,
    ) -> Result<(VerifiedChain, Standing), Rejection> {
        let session = &self.session;
        if (&session.origin, &session.key) != (&self.claim.origin, &self.claim.key) {
            return Err(Rejection::ClaimInvalid("the session is not the blank's"));
        }
        let signing_key = session.verify(root)?;
        let record = SessionRecord {
            identity: &session.identity.identity.record.identity,
            signing_key: &signing_key,
            commitment: &session.commitment,
            nu: &session.nu,
        };
        let key = keys.key(&self.claim.key)?;
        if key.kind != Kind::Blank {
            return Err(Rejection::ClaimInvalid("not a blank"));
        }
        let claim = self.claim.verify(key, &record)?;
        if (self.chain.blank.key, self.chain.blank.message) != (self.claim.key, claim.message) {
            return Err(Rejection::ClaimInvalid("the chain leads to another blank"));
        }
        let verified = verify_passed(std::slice::from_ref(&self.chain), keys, rng);
        let chain = verified.into_iter().next().ok_or(Rejection::ClaimInvalid("no chain"))??;
        let standing = claim.standing(chain.interval(), chain.hops().len())?;
        Ok((chain, standing))
    }
}

/// Units that somebody claims, and by how long a chain they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// *m* of the claimed coin or blank: who is paid.
    pub claimant: Digest,
    /// Transfers before it; 0 for who withdrew the value coin.
    pub hops: usize,
    /// The claimed units of the value coin.
    pub intervals: Vec<Interval>,
}

impl VerifiedClaim {
    /// The units that are claimed: parts of the value coin's whole interval, or of that which a blank took after `hops`
    /// transfers.
    ///
    /// # Errors
    /// [`Rejection::ClaimInvalid`] for a node finer than a minor unit.
    pub fn standing(&self, interval: Interval, hops: usize) -> Result<Standing, Rejection> {
        let part =
            |node: &Node| interval.part(*node).ok_or(Rejection::ClaimInvalid("finer than a minor unit"));
        let intervals = self.nodes.iter().map(part).collect::<Result<_, _>>()?;
        Ok(Standing { claimant: self.message, hops, intervals })
    }
}

/// Decides the claims on one value coin at `reclaim_until`: what each claimant is paid, zero included.
///
/// Units that were deposited are gone. Of the others, each goes to the claim with the longest chain: who passed value on
/// no longer holds it. Between equally long chains the lower *m* goes first, so that the outcome does not depend on the
/// order of filing. Who answered twice is charged for the chain that loses: [`charge_claims`].
pub fn decide(deposited: &[Interval], claims: &[Standing]) -> BTreeMap<Digest, Minor> {
    let mut taken = Taken::default();
    for interval in deposited {
        taken.take(*interval);
    }
    let mut ranked: Vec<&Standing> = claims.iter().collect();
    ranked.sort_by_key(|claim| claim.rank());
    let mut paid: BTreeMap<Digest, Minor> = BTreeMap::new();
    for claim in ranked {
        let units = claim.intervals.iter().map(|interval| taken.take(*interval));
        let units = units.fold(0_u64, u64::saturating_add);
        let sum = paid.entry(claim.claimant).or_default();
        *sum = Minor::new(sum.value().saturating_add(units)).unwrap_or(Minor::MAX);
    }
    paid
}

impl Standing {
    /// The longest chain goes first.
    fn rank(&self) -> (Reverse<usize>, Digest) {
        (Reverse(self.hops), self.claimant)
    }
}

/// A claim with the hops of its chain: none for who withdrew the value coin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Followed {
    /// What is claimed.
    pub standing: Standing,
    /// The transfers that led to the claimed blank.
    pub marks: Vec<Mark>,
}

/// What the forks among the claims on one value coin, and between them and the chains deposited on it, come to: by
/// claimant, the units that it is owed by holders who answered twice, by hop, ascending.
///
/// The rule is that of the register, with the deposits first and then the claims, the longest chain first: of every unit
/// the first is paid from circulation, each further one is charged to the holder at which it leaves the longest prefix that
/// it shares with one before. A claim whose chain *is* such a prefix was passed on or spent: nobody owes it anything.
///
/// # Security
/// The marks must be those of chains that were verified. The two answers of a charge overlap, so their pieces name the
/// holder; both are verified anew before anything is extracted from them.
#[must_use]
pub fn charge_claims(deposited: &[Deposited], claims: &[Followed]) -> BTreeMap<Digest, Vec<Charge>> {
    let mut ranked: Vec<&Followed> = claims.iter().collect();
    ranked.sort_by_key(|claim| claim.standing.rank());
    let mut before: Vec<(&[Mark], Interval)> =
        deposited.iter().map(|chain| (chain.marks(), chain.interval())).collect();
    let mut charged = BTreeMap::new();
    for claim in ranked {
        let charges = charges_of(claim, &before);
        if !charges.is_empty() {
            charged.insert(claim.standing.claimant, charges);
        }
        before.extend(claim.standing.intervals.iter().map(|interval| (claim.marks.as_slice(), *interval)));
    }
    charged
}

/// Where a claim's chain meets one that goes before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Meeting {
    /// How many hops the two share; the most first.
    shared: Reverse<usize>,
    /// What they answer there; none where one continues the other.
    answers: Option<(Mark, Mark)>,
    units: Interval,
}

impl Meeting {
    fn of(claim: &Followed, marks: &[Mark], units: Interval) -> Self {
        let shared = claim.marks.iter().zip(marks).take_while(|(own, other)| own == other).count();
        let answers = claim.marks.get(shared).copied().zip(marks.get(shared).copied());
        // Of who continues a chain no hop is charged, however deep another leaves it.
        let shared = Reverse(if answers.is_some() { shared } else { usize::MAX });
        Self { shared, answers, units }
    }
}

fn charges_of(claim: &Followed, before: &[(&[Mark], Interval)]) -> Vec<Charge> {
    if claim.marks.is_empty() {
        return Vec::new();
    }
    let claimed = &claim.standing.intervals;
    let touching = before.iter().filter(|(_, units)| claimed.iter().any(|own| own.overlaps(*units)));
    let mut meetings: Vec<Meeting> =
        touching.map(|(marks, units)| Meeting::of(claim, marks, *units)).collect();
    meetings.sort_unstable();
    meetings.dedup();
    let meetings: Vec<&Meeting> = meetings.iter().collect();
    let mut charges = BTreeMap::new();
    claimed.iter().for_each(|segment| divide(*segment, &meetings, &mut charges));
    charges.into_values().collect()
}

/// Divides a segment until one meeting decides all of it, or none touches it: circulation pays that.
fn divide(segment: Interval, meetings: &[&Meeting], charges: &mut BTreeMap<usize, Charge>) {
    let touching: Vec<_> = meetings.iter().copied().filter(|met| met.units.overlaps(segment)).collect();
    let Some(first) = touching.first() else { return };
    match (segment.halves(), first.answers) {
        (Some(halves), _) if !first.units.contains(segment) => {
            halves.into_iter().for_each(|half| divide(half, &touching, charges));
        }
        (_, Some((answer, before))) => {
            let hop = first.shared.0;
            let charge = charges.entry(hop).or_insert(Charge { hop, answer, before, units: 0 });
            charge.units = charge.units.saturating_add(segment.length());
        }
        (_, None) => {}
    }
}

/// Disjoint intervals, none holding another: start and end.
#[derive(Default)]
struct Taken(BTreeMap<u64, u64>);

impl Taken {
    /// Takes what is left of an interval; returns how many units that is. Intervals are dyadic, so one that is known and
    /// overlaps either holds it, and starts at or before it, or lies within it.
    fn take(&mut self, interval: Interval) -> u64 {
        let before = self.0.range(..=interval.start()).next_back();
        if before.is_some_and(|(_, end)| *end >= interval.end()) {
            return 0;
        }
        let mut left = interval.length();
        let within = self.0.range(interval.start()..interval.end());
        let within: Vec<(u64, u64)> = within.map(|(start, end)| (*start, *end)).collect();
        for (start, end) in within {
            left = left.saturating_sub(end.saturating_sub(start));
            self.0.remove(&start);
        }
        self.0.insert(interval.start(), interval.end());
        left
    }
}
