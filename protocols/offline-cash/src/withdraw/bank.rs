//! The bank's side of a session.

use std::collections::BTreeSet;

use feiqian_crypto::acl::{
    Announcement, Answer, Challenge, Identity, ProvenCommitment, PublicKey, SecretAnswers, SecretKey,
    announce, verify_opening,
};
use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_wire::{Bounded, Name};
use rand_core::CryptoRng;

use super::{
    CommitRequest, CommitResponse, FinishRequest, FinishResponse, Line, Origin, SignedWithdrawal,
    WithdrawalStatement,
};
use crate::identity::Account;
use crate::keyset::VerifiedKey;
use crate::{MAX_COINS, Rejection};

/// A session that was named and waits for the wallet's commitments. Made anew from the stored *begin* at will: it holds
/// no secret.
#[derive(Debug, Clone)]
pub struct ExpectCommitments {
    bank: Name,
    account: Account,
    session: Digest,
    keys: Vec<PublicKey>,
}

impl ExpectCommitments {
    /// A session of an account, for coins under these keys in order.
    ///
    /// # Errors
    /// [`Rejection::LimitExceeded`] for none or more than [`MAX_COINS`] coins, [`Rejection::WrongBank`] for a key of
    /// another bank.
    pub fn new(
        bank: Name,
        account: Account,
        session: Digest,
        keys: &[&VerifiedKey],
    ) -> Result<Self, Rejection> {
        check_keys(bank.as_str(), keys)?;
        let keys = keys.iter().map(|key| key.public).collect();
        Ok(Self { bank, account, session, keys })
    }

    /// Move 1: checks every proof and announces. Returns what stays and what travels.
    ///
    /// # Errors
    /// [`Rejection::RequestMismatch`] for another session, [`Rejection::AmountMismatch`] unless there is one commitment
    /// for each coin, [`Rejection::SessionRepeated`] when one stands twice, [`Rejection::ProofInvalid`].
    ///
    /// # Security
    /// The identity is the one that is registered for the caller, never the caller's word. A session is announced once:
    /// the same commitments again get [`OpenSession::response`], others are a conflict.
    pub fn announce(
        self,
        identity: &Identity,
        request: &CommitRequest,
        rng: &mut impl CryptoRng,
    ) -> Result<(OpenSession, CommitResponse), Rejection> {
        let proven = self.check(identity, request)?;
        let mut announced = self.keys.iter().zip(&proven).map(|(key, proven)| announce(key, proven, rng));
        let (secrets, announcements): (Vec<_>, Vec<_>) = announced.by_ref().unzip();
        let commitments = proven.iter().map(|proven| *proven.encoded()).collect();
        let announcements =
            Bounded::new(announcements).map_err(|_| Rejection::LimitExceeded("too many coins"))?;
        let response = CommitResponse { announcements: announcements.clone() };
        Ok((OpenSession { terms: self, commitments, announcements, secrets }, response))
    }

    fn check(
        &self,
        identity: &Identity,
        request: &CommitRequest,
    ) -> Result<Vec<ProvenCommitment>, Rejection> {
        if request.session != self.session {
            return Err(Rejection::RequestMismatch);
        }
        if request.commitments.len() != self.keys.len() {
            return Err(Rejection::AmountMismatch("one commitment for each coin"));
        }
        let distinct: BTreeSet<_> =
            request.commitments.iter().map(|committed| committed.commitment).collect();
        if distinct.len() != request.commitments.len() {
            return Err(Rejection::SessionRepeated);
        }
        let coins = (0_u16..).zip(self.keys.iter().zip(&request.commitments));
        let verify = |(index, (key, committed)): (u16, (&PublicKey, &super::Committed))| {
            let (bank, account) = (self.bank.clone(), self.account.clone());
            let origin = Origin { bank, account, session: self.session, index };
            let context = origin.slot().opening_context(key);
            verify_opening(identity, &committed.commitment, &committed.proof, &context)
                .map_err(|_| Rejection::ProofInvalid("opening of a commitment"))
        };
        coins.map(verify).collect()
    }
}

/// One to 64 keys of this bank.
pub(super) fn check_keys(bank: &str, keys: &[&VerifiedKey]) -> Result<(), Rejection> {
    if keys.is_empty() || keys.len() > MAX_COINS {
        return Err(Rejection::LimitExceeded("a withdrawal makes 1 to 64 coins"));
    }
    match keys.iter().find(|key| key.bank.as_str() != bank) {
        Some(key) => Err(Rejection::WrongBank(key.bank.to_string())),
        None => Ok(()),
    }
}

/// Lines of a statement.
pub(super) fn lines<'a>(
    keys: impl Iterator<Item = &'a PublicKey>,
    commitments: impl Iterator<Item = &'a EncodedPoint>,
    announcements: &[Announcement],
    challenges: &[Challenge],
) -> Result<Bounded<Line, MAX_COINS>, Rejection> {
    let coins = keys.zip(commitments).zip(announcements.iter().zip(challenges));
    let line = |((key, commitment), (announcement, challenge)): (
        (&PublicKey, &EncodedPoint),
        (&Announcement, &Challenge),
    )| Line {
        key: *key.encoded(),
        commitment: *commitment,
        nu: announcement.nu,
        challenge: challenge.encoded(),
    };
    Bounded::collect(coins.map(line)).map_err(|_| Rejection::LimitExceeded("too many coins"))
}

/// A statement that the session's customer has signed for exactly this session: only [`OpenSession::accept`] makes one.
#[derive(Debug, Clone)]
pub struct VerifiedWithdrawal {
    signed: SignedWithdrawal,
    challenges: Vec<Challenge>,
}

impl VerifiedWithdrawal {
    /// What the bank stores, in the transaction that debits the account and before an answer leaves.
    pub fn signed(&self) -> &SignedWithdrawal {
        &self.signed
    }
}

/// The bank's side of a session between announcements and answers: the one-time secrets of every coin.
///
/// # Security
/// Lives in memory only. [`OpenSession::answer`] consumes it, so a second answer does not compile:
///
/// ```compile_fail,E0382
/// # use feiqian_offline_cash::withdraw::*;
/// fn twice(session: OpenSession, keys: &[&feiqian_crypto::acl::SecretKey], one: &VerifiedWithdrawal, other: &VerifiedWithdrawal) {
///     let first = session.answer(keys, one);
///     let second = session.answer(keys, other);
/// }
/// ```
#[derive(Debug)]
pub struct OpenSession {
    terms: ExpectCommitments,
    commitments: Vec<EncodedPoint>,
    announcements: Bounded<Announcement, MAX_COINS>,
    secrets: Vec<SecretAnswers>,
}

impl OpenSession {
    /// The commitments that were answered to.
    pub fn commitments(&self) -> &[EncodedPoint] {
        &self.commitments
    }

    /// The announcements again, for a repeat of the same commitments.
    pub fn response(&self) -> CommitResponse {
        CommitResponse { announcements: self.announcements.clone() }
    }

    /// Checks the customer's signature over everything in the session.
    ///
    /// # Errors
    /// [`Rejection::RequestMismatch`] for another session, [`Rejection::AmountMismatch`] unless there is one challenge
    /// for each coin, [`Rejection::SignatureInvalid`]. The session stays open.
    pub fn accept(
        &self,
        request: &FinishRequest,
        signing_key: &[u8; 32],
    ) -> Result<VerifiedWithdrawal, Rejection> {
        if request.session != self.terms.session {
            return Err(Rejection::RequestMismatch);
        }
        if request.challenges.len() != self.commitments.len() {
            return Err(Rejection::AmountMismatch("one challenge for each coin"));
        }
        let ExpectCommitments { bank, account, session, keys } = &self.terms;
        let lines = lines(keys.iter(), self.commitments.iter(), &self.announcements, &request.challenges)?;
        let statement =
            WithdrawalStatement { bank: bank.clone(), account: account.clone(), session: *session, lines };
        let signed = SignedWithdrawal { statement, signature: request.signature.clone() };
        signed.verify(signing_key)?;
        Ok(VerifiedWithdrawal { signed, challenges: request.challenges.to_vec() })
    }

    /// Move 3 for every coin. Debit, statement and answers must be durable, in one transaction, before they leave.
    ///
    /// # Errors
    /// [`Rejection::RequestMismatch`] for a statement of another session or keys that are not the session's; the session
    /// is then lost, as it must be.
    pub fn answer(
        self,
        keys: &[&SecretKey],
        withdrawal: &VerifiedWithdrawal,
    ) -> Result<FinishResponse, Rejection> {
        let ours = keys.len() == self.terms.keys.len()
            && keys.iter().zip(&self.terms.keys).all(|(secret, key)| secret.public() == key)
            && self.states(&withdrawal.signed.statement);
        if !ours {
            return Err(Rejection::RequestMismatch);
        }
        let coins = self.secrets.into_iter().zip(keys.iter().zip(&withdrawal.challenges));
        let answers: Vec<Answer> =
            coins.map(|(secrets, (key, challenge))| secrets.respond(key, challenge)).collect();
        let answers = Bounded::new(answers).map_err(|_| Rejection::LimitExceeded("too many coins"))?;
        Ok(FinishResponse { answers })
    }

    /// Whether a statement is about this session and these announcements.
    fn states(&self, statement: &WithdrawalStatement) -> bool {
        let said = self.commitments.iter().zip(&self.announcements);
        statement.session == self.terms.session
            && statement.lines.len() == self.commitments.len()
            && said.zip(&statement.lines).all(|((commitment, announcement), line)| {
                (line.commitment, line.nu) == (*commitment, announcement.nu)
            })
    }
}
