//! Withdrawing value coins and blanks: *begin, commit, announce, challenge, answer*, one session for up to 64 coins.
//!
//! ```text
//! wallet                                   bank
//!   BeginRequest {request, salt, …}   ──▶   keeps the session of that name
//!                                     ◀──   SessionOffer {session, expires}
//!   CommitRequest {C_i, proofs}       ──▶   checks; SecretAnswers in memory                 (move 1)
//!   (move 2)                          ◀──   CommitResponse {ν_i, A_i, B1_i, B2_i}
//!   FinishRequest {e_i, signature}    ──▶   one transaction: debit, signed statement, answers
//!   coins                             ◀──   FinishResponse {r_i, c_i, s1_i, s2_i, d_i}      (move 3)
//! ```
//!
//! | state | who | next |
//! |---|---|---|
//! | [`ExpectCommitments`] | bank | [`announce`](ExpectCommitments::announce) |
//! | [`ExpectAnnouncements`] | wallet | [`challenge`](ExpectAnnouncements::challenge) |
//! | [`OpenSession`] | bank, in memory only | [`accept`](OpenSession::accept), [`answer`](OpenSession::answer) |
//! | [`PendingWithdrawal`] | wallet | [`finish`](PendingWithdrawal::finish) |
//!
//! The customer's signature over the [`WithdrawalStatement`] is what a bank must produce when a coin of the session
//! is spent twice: no answer is computed without it. A session whose secrets are lost in a restart, or that was
//! refused, is void; a repeat of the same request gets the stored answer.

mod bank;
mod choose;
mod wallet;

pub use bank::{ExpectCommitments, OpenSession, VerifiedWithdrawal};
pub use choose::{Caps, Drawn, choose};
pub use wallet::{
    Coin, Customer, ExpectAnnouncements, PendingWithdrawal, RestoredCoin, announcement_digest, restore,
};

use feiqian_crypto::acl::{Announcement, Answer, Challenge, OpeningProof, Slot};
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Transcript};
use feiqian_pki::KeyPair;
use feiqian_wire::{Bounded, Name, Timestamp};
use serde::{Deserialize, Serialize};

use crate::identity::Account;
use crate::keyset::MAX_KEYS;
use crate::signed::DocumentSignature;
use crate::{MAX_COINS, Rejection};

/// How many coins under one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The key's id.
    pub key: Digest,
    /// At least 1.
    pub count: u16,
}

/// Groups a list of key ids into outputs, keeping first-seen order.
///
/// # Errors
/// [`Rejection::LimitExceeded`] when there are more than [`MAX_COINS`] coins or too many keys.
pub fn outputs_of(keys: &[Digest]) -> Result<Bounded<Output, MAX_KEYS>, Rejection> {
    let too_many = Rejection::LimitExceeded("too many coins in one withdrawal");
    if keys.len() > MAX_COINS {
        return Err(too_many);
    }
    let mut outputs: Vec<Output> = Vec::new();
    for key in keys {
        match outputs.iter_mut().find(|output| output.key == *key) {
            Some(output) => output.count = output.count.saturating_add(1),
            None => outputs.push(Output { key: *key, count: 1 }),
        }
    }
    Bounded::new(outputs).map_err(|_| too_many)
}

/// The key of every coin of a session, in order.
///
/// # Errors
/// [`Rejection::LimitExceeded`] when a count is zero, there are none, or more than [`MAX_COINS`].
pub fn expand(outputs: &[Output]) -> Result<Vec<Digest>, Rejection> {
    let total: usize = outputs.iter().map(|output| usize::from(output.count)).sum();
    if total == 0 || total > MAX_COINS || outputs.iter().any(|output| output.count == 0) {
        return Err(Rejection::LimitExceeded("a withdrawal makes 1 to 64 coins"));
    }
    let repeated = |output: &Output| std::iter::repeat_n(output.key, usize::from(output.count));
    Ok(outputs.iter().flat_map(repeated).collect())
}

/// Opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginRequest {
    /// The wallet's id of this request: the same id with the same salt and outputs gets the same session.
    pub request: Digest,
    /// 32 fresh random bytes of the wallet, which its words do not give: see [`session_id`].
    pub salt: Digest,
    /// In the order in which coins are listed; at most [`MAX_COINS`] coins in all.
    pub outputs: Bounded<Output, MAX_KEYS>,
}

/// The name of a session: `D("offline-cash/session-id"; bank, account, request, salt)`.
///
/// # Security
/// *R* follows from the seed and the session, so whoever could choose the session could have a coin made twice. The wallet
/// remembers the sessions that it has seen, but one that lost its store does not; a dishonest bank would answer it with an
/// old session and the coin that it has spent. With a salt that is drawn anew for every withdrawal no session comes back.
#[must_use]
pub fn session_id(bank: &Name, account: &Account, request: &Digest, salt: &Digest) -> Digest {
    let whose = Transcript::new("offline-cash/session-id").text(bank.as_str()).text(account.as_str());
    whose.digest(request).digest(salt).into_digest()
}

/// A session as its bank offers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionOffer {
    /// [`session_id`] of the *begin*.
    pub session: Digest,
    /// First second at which it can no longer be finished.
    pub expires: Timestamp,
}

/// The bank's answer to *begin* and to *recover*.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BeginResponse {
    /// May be finished.
    Open(SessionOffer),
    /// Was finished: everything needed to compute its coins again.
    Answered(AnsweredSession),
    /// Can never be finished (the bank restarted, it expired, or it was refused).
    Void,
}

/// Asks for a session by its request id, for restoring a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    /// The request id of the session's *begin*.
    pub request: Digest,
}

/// A commitment to the customer's identity, for one coin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Committed {
    /// *C* = *R*·H0 + *L1*·H1.
    pub commitment: EncodedPoint,
    /// That *C* opens to the secret of *I*, context `D("offline-cash/opening"; bank, account, session, i, Y)`.
    pub proof: OpeningProof,
}

/// Commits to the identity in every coin of a session.
///
/// The wallet stores these bytes before it sends them and repeats them: proofs made anew differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitRequest {
    /// The session.
    pub session: Digest,
    /// In the order of the outputs.
    pub commitments: Bounded<Committed, MAX_COINS>,
}

/// The bank's announcements.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitResponse {
    /// *ν, A, B1, B2* in the order of the commitments.
    pub announcements: Bounded<Announcement, MAX_COINS>,
}

/// Finishes a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRequest {
    /// The session.
    pub session: Digest,
    /// *e* in the order of the announcements.
    pub challenges: Bounded<Challenge, MAX_COINS>,
    /// The customer's over [`WithdrawalStatement::digest`].
    pub signature: DocumentSignature,
}

/// The bank's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishResponse {
    /// *r, c, s1, s2, d* in the order of the challenges.
    pub answers: Bounded<Answer, MAX_COINS>,
}

/// A finished session with all that both sides said: what [`restore`] rebuilds its coins from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnsweredSession {
    /// The session.
    pub session: Digest,
    /// What was asked for.
    pub outputs: Bounded<Output, MAX_KEYS>,
    /// *C*.
    pub commitments: Bounded<EncodedPoint, MAX_COINS>,
    /// *ν, A, B1, B2*.
    pub announcements: Bounded<Announcement, MAX_COINS>,
    /// *e*.
    pub challenges: Bounded<Challenge, MAX_COINS>,
    /// *r, c, s1, s2, d*.
    pub answers: Bounded<Answer, MAX_COINS>,
}

/// Where a coin was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The issuing bank.
    pub bank: Name,
    /// The customer's account there.
    pub account: Account,
    /// The session.
    pub session: Digest,
    /// *i*, from 0.
    pub index: u16,
}

impl Origin {
    /// As it enters transcripts.
    pub fn slot(&self) -> Slot<'_> {
        Slot {
            bank: self.bank.as_str().as_bytes(),
            account: self.account.as_str().as_bytes(),
            session: self.session.as_bytes(),
            index: self.index.into(),
        }
    }
}

/// One coin in a withdrawal statement: 128 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// *Y*.
    pub key: EncodedPoint,
    /// *C*.
    pub commitment: EncodedPoint,
    /// *ν*.
    pub nu: EncodedScalar,
    /// *e*.
    pub challenge: EncodedScalar,
}

/// What a customer signs when it withdraws.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithdrawalStatement {
    /// The issuing bank.
    pub bank: Name,
    /// The customer's account there.
    pub account: Account,
    /// The session.
    pub session: Digest,
    /// One for each coin.
    pub lines: Bounded<Line, MAX_COINS>,
}

impl WithdrawalStatement {
    /// `D("offline-cash/withdraw"; bank, account, session, n, (Y_i, C_i, ν_i, e_i)…)`.
    pub fn digest(&self) -> Digest {
        let line = |transcript: Transcript, line: &Line| {
            let transcript = transcript.point(&line.key).point(&line.commitment);
            transcript.encoded_scalar(&line.nu).encoded_scalar(&line.challenge)
        };
        Transcript::new("offline-cash/withdraw")
            .text(self.bank.as_str())
            .text(self.account.as_str())
            .digest(&self.session)
            .list(&self.lines, line)
            .into_digest()
    }
}

/// A withdrawal statement with the customer's signature: what the bank keeps of every session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedWithdrawal {
    /// The statement.
    pub statement: WithdrawalStatement,
    /// By the customer's document-signing key over its digest.
    pub signature: DocumentSignature,
}

impl SignedWithdrawal {
    /// Signs a statement.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] never in practice.
    pub fn sign(statement: WithdrawalStatement, key: &KeyPair) -> Result<Self, Rejection> {
        let signature = DocumentSignature::sign(key, &statement.digest())?;
        Ok(Self { statement, signature })
    }

    /// Verifies under the customer's document-signing key.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`].
    pub fn verify(&self, signing_key: &[u8; 32]) -> Result<(), Rejection> {
        self.signature.verify(signing_key, &self.statement.digest(), "withdrawal statement")
    }
}
