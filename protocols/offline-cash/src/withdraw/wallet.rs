//! The wallet's side of a session.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::acl::{Announcement, Challenge, IdentitySecret, PendingCommitment};
use feiqian_crypto::share_tree::{PendingTree, SecretTree, TreeBuilder};
use feiqian_crypto::{Digest, Transcript};
use feiqian_pki::KeyPair;
use feiqian_wire::{Bounded, Name};
use rand_core::CryptoRng;

use super::bank::{check_keys, lines};
use super::{
    AnsweredSession, CommitRequest, CommitResponse, Committed, FinishRequest, FinishResponse, Origin,
    SignedWithdrawal, WithdrawalStatement,
};
use crate::Rejection;
use crate::identity::Account;
use crate::keyset::VerifiedKey;
use crate::seed::Seed;

/// Who withdraws: everything that a withdrawal is derived from besides what the bank says.
#[derive(Debug, Clone, Copy)]
pub struct Customer<'a> {
    /// The wallet's seed.
    pub seed: &'a Seed,
    /// *L1*.
    pub identity: &'a IdentitySecret,
    /// The bank.
    pub bank: &'a Name,
    /// The account there.
    pub account: &'a Account,
}

impl Customer<'_> {
    fn origin(&self, session: &Digest, index: u16) -> Origin {
        Origin { bank: self.bank.clone(), account: self.account.clone(), session: *session, index }
    }

    /// *C* of one coin, the same whenever it is asked for.
    pub(crate) fn commitment(&self, origin: &Origin, key: &VerifiedKey) -> PendingCommitment {
        self.identity.commit(self.seed.commitment(&origin.slot(), &key.public))
    }

    fn commit(&self, keys: &[&VerifiedKey], session: &Digest) -> Result<Vec<Committing>, Rejection> {
        check_keys(self.bank.as_str(), keys)?;
        let commit = |(index, key): (u16, &&VerifiedKey)| {
            let origin = self.origin(session, index);
            let commitment = self.commitment(&origin, key);
            Committing { origin, key: (*key).clone(), commitment }
        };
        Ok((0_u16..).zip(keys).map(commit).collect())
    }
}

struct Committing {
    origin: Origin,
    key: VerifiedKey,
    commitment: PendingCommitment,
}

/// What stands for an announcement among those that a wallet has seen:
/// `D("offline-cash/announcement"; Y, ν, A, B1, B2)`.
pub fn announcement_digest(key: &VerifiedKey, announcement: &Announcement) -> Digest {
    Transcript::new("offline-cash/announcement")
        .point(key.public.encoded())
        .encoded_scalar(&announcement.nu)
        .point(&announcement.a)
        .point(&announcement.b1)
        .point(&announcement.b2)
        .into_digest()
}

/// The wallet's side of a session between its commitments and the bank's announcements.
///
/// ```compile_fail,E0382
/// # use feiqian_offline_cash::withdraw::*;
/// fn twice(
///     expect: ExpectAnnouncements, customer: &Customer<'_>, one: &CommitResponse, other: &CommitResponse,
///     signer: &feiqian_pki::KeyPair,
/// ) {
///     let first = expect.challenge(customer, one, |_| false, signer);
///     let second = expect.challenge(customer, other, |_| false, signer);
/// }
/// ```
pub struct ExpectAnnouncements {
    session: Digest,
    coins: Vec<Committing>,
}

impl std::fmt::Debug for ExpectAnnouncements {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExpectAnnouncements").field("session", &self.session).finish_non_exhaustive()
    }
}

impl ExpectAnnouncements {
    /// Commits to the identity in every coin: *C* = *R*·H0 + *L1*·H1 with *R* from the seed and the session. Returns what
    /// stays and what travels.
    ///
    /// `seen` says whether a session was seen in **any other** withdrawal of this wallet. The session and the request are
    /// stored before the request leaves; a repeat sends the stored bytes.
    ///
    /// # Errors
    /// [`Rejection::SessionRepeated`], [`Rejection::LimitExceeded`], [`Rejection::WrongBank`].
    pub fn begin(
        customer: &Customer<'_>,
        keys: &[&VerifiedKey],
        session: &Digest,
        seen: impl FnOnce(&Digest) -> bool,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, CommitRequest), Rejection> {
        if seen(session) {
            return Err(Rejection::SessionRepeated);
        }
        let expect = Self::resume(customer, keys, session)?;
        let prove = |coin: &Committing| Committed {
            commitment: *coin.commitment.encoded(),
            proof: coin.commitment.prove(&coin.origin.slot().opening_context(&coin.key.public), rng),
        };
        let commitments: Vec<_> = expect.coins.iter().map(prove).collect();
        let commitments =
            Bounded::new(commitments).map_err(|_| Rejection::LimitExceeded("too many coins"))?;
        Ok((expect, CommitRequest { session: *session, commitments }))
    }

    /// The same state again after a crash, for a session whose [`CommitRequest`] this wallet has stored.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`], [`Rejection::WrongBank`].
    pub fn resume(
        customer: &Customer<'_>,
        keys: &[&VerifiedKey],
        session: &Digest,
    ) -> Result<Self, Rejection> {
        Ok(Self { session: *session, coins: customer.commit(keys, session)? })
    }

    /// Move 2: derives tree and blinding of every coin, computes the challenges and signs the statement.
    ///
    /// `seen` says whether an announcement ([`announcement_digest`]) was seen in **any other** session of this wallet. The
    /// announcements are stored before the request leaves; after a crash the stored ones are used, never others.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`] unless there is one announcement for each coin, [`Rejection::SessionRepeated`] when
    /// one was seen or stands twice, [`Rejection::Malformed`] when one does not decode.
    pub fn challenge(
        self,
        customer: &Customer<'_>,
        response: &CommitResponse,
        mut seen: impl FnMut(&Digest) -> bool,
        signer: &KeyPair,
    ) -> Result<(PendingWithdrawal, FinishRequest), Rejection> {
        let announcements = &response.announcements;
        if announcements.len() != self.coins.len() {
            return Err(Rejection::AmountMismatch("one announcement for each coin"));
        }
        let mut distinct = BTreeSet::new();
        for (coin, announcement) in self.coins.iter().zip(announcements) {
            let digest = announcement_digest(&coin.key, announcement);
            if seen(&digest) || !distinct.insert(digest) {
                return Err(Rejection::SessionRepeated);
            }
        }
        let public: Vec<_> =
            self.coins.iter().map(|coin| (coin.key.public, *coin.commitment.encoded())).collect();
        let pending = PendingWithdrawal { coins: blind(customer, self.coins, announcements)? };
        let challenges = pending.challenges();
        let (keys, commitments) = (public.iter().map(|(key, _)| key), public.iter().map(|(_, point)| point));
        let lines = lines(keys, commitments, announcements, &challenges)?;
        let (bank, account) = (customer.bank.clone(), customer.account.clone());
        let statement = WithdrawalStatement { bank, account, session: self.session, lines };
        let SignedWithdrawal { signature, .. } = SignedWithdrawal::sign(statement, signer)?;
        let challenges = Bounded::new(challenges).map_err(|_| Rejection::LimitExceeded("too many coins"))?;
        Ok((pending, FinishRequest { session: self.session, challenges, signature }))
    }
}

/// Builds the trees, one builder a key, and blinds.
fn blind(
    customer: &Customer<'_>,
    coins: Vec<Committing>,
    announcements: &[Announcement],
) -> Result<Vec<PendingCoin>, Rejection> {
    let mut builders = BTreeMap::new();
    let mut pending = Vec::with_capacity(coins.len());
    for (Committing { origin, key, commitment }, announcement) in coins.into_iter().zip(announcements) {
        let builder = builders.entry(key.id).or_insert_with(|| TreeBuilder::new(&key.public));
        let slot = origin.slot();
        let tree = builder.build(customer.seed.tree(&slot, &key.public, &commitment, announcement));
        let blinding = customer.seed.blinding(&slot, &key.public, &commitment, announcement);
        let (tree, _) = tree
            .begin(commitment, announcement, blinding)
            .map_err(|_| Rejection::Malformed("announcement"))?;
        pending.push(PendingCoin { origin, key: key.id, tree });
    }
    Ok(pending)
}

struct PendingCoin {
    origin: Origin,
    key: Digest,
    tree: PendingTree,
}

/// The wallet's side of a session between its challenges and the bank's answers.
///
/// After a crash it is made again from the stored announcements: everything in it is derived.
///
/// ```compile_fail,E0382
/// # use feiqian_offline_cash::withdraw::*;
/// fn twice(pending: PendingWithdrawal, one: &FinishResponse, other: &FinishResponse) {
///     let first = pending.finish(one);
///     let second = pending.finish(other);
/// }
/// ```
pub struct PendingWithdrawal {
    coins: Vec<PendingCoin>,
}

impl std::fmt::Debug for PendingWithdrawal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingWithdrawal").field("coins", &self.coins.len()).finish_non_exhaustive()
    }
}

impl PendingWithdrawal {
    fn challenges(&self) -> Vec<Challenge> {
        self.coins.iter().map(|coin| *coin.tree.challenge()).collect()
    }

    /// Unblinds every answer; each coin is verified.
    ///
    /// # Errors
    /// [`Rejection::BankMisbehaved`] when an answer does not fit what was announced.
    pub fn finish(self, response: &FinishResponse) -> Result<Vec<Coin>, Rejection> {
        if response.answers.len() != self.coins.len() {
            return Err(Rejection::BankMisbehaved);
        }
        let coins = self.coins.into_iter().zip(&response.answers);
        let finish = |(PendingCoin { origin, key, tree }, answer)| {
            let tree = PendingTree::finish(tree, answer).map_err(|_| Rejection::BankMisbehaved)?;
            Ok(Coin { origin, key, tree })
        };
        coins.map(finish).collect()
    }
}

/// A coin that was withdrawn: where, under which key, and the right to spend it.
#[derive(Debug)]
pub struct Coin {
    /// Where it was withdrawn; a claim names it.
    pub origin: Origin,
    /// The id of its key.
    pub key: Digest,
    /// The coin itself.
    pub tree: SecretTree,
}

/// A coin that was rebuilt from the wallet's words.
///
/// # Security
/// It can only be reclaimed, see [`reclaim`](crate::reclaim). Whatever the lost wallet had spent of it and was not
/// deposited yet is unknown to everybody, and a second share would name the holder, so this gives no share, ever:
///
/// ```compile_fail,E0616
/// # use feiqian_offline_cash::withdraw::*;
/// fn spend(coin: RestoredCoin) {
///     coin.tree.into_nodes(&[]);
/// }
/// ```
#[derive(Debug)]
pub struct RestoredCoin {
    pub(crate) origin: Origin,
    pub(crate) key: Digest,
    pub(crate) tree: SecretTree,
}

impl RestoredCoin {
    /// Where it was withdrawn.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The id of its key.
    pub fn key(&self) -> &Digest {
        &self.key
    }

    /// *m*.
    pub fn message(&self) -> &Digest {
        self.tree.message()
    }
}

/// Rebuilds the coins of a finished session from the seed and what the bank has stored.
///
/// # Errors
/// [`Rejection::AmountMismatch`] when counts do not agree, [`Rejection::BankMisbehaved`] when the stored commitments,
/// challenges or answers are not those of this seed.
pub fn restore(
    customer: &Customer<'_>,
    keys: &[&VerifiedKey],
    answered: &AnsweredSession,
) -> Result<Vec<RestoredCoin>, Rejection> {
    let coins = customer.commit(keys, &answered.session)?;
    let counts = [answered.commitments.len(), answered.announcements.len(), answered.challenges.len()];
    if counts.iter().any(|count| *count != coins.len()) {
        return Err(Rejection::AmountMismatch("one of everything for each coin"));
    }
    let same = |(coin, stored): (&Committing, _)| coin.commitment.encoded() == stored;
    if !coins.iter().zip(&answered.commitments).all(same) {
        return Err(Rejection::BankMisbehaved);
    }
    let pending = PendingWithdrawal { coins: blind(customer, coins, &answered.announcements)? };
    if pending.challenges() != *answered.challenges {
        return Err(Rejection::BankMisbehaved);
    }
    let coins = pending.finish(&FinishResponse { answers: answered.answers.clone() })?;
    Ok(coins.into_iter().map(|Coin { origin, key, tree }| RestoredCoin { origin, key, tree }).collect())
}
