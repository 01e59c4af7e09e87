//! Blind issuance: *begin* and *finish*, one mechanism for four sources of funds.
//!
//! ```text
//! wallet                                  bank
//!   BeginRequest {request, outputs}  ──▶   a session: SecretNonces in memory, A_i, B_i          (move 1)
//!   Challenges c_i                   ◀──   BeginResponse::Open {session, expires, A_i, B_i}
//!   FinishRequest {c_i, funding}     ──▶   one transaction: check funding, book, store answers
//!   coins                            ◀──   FinishResponse {z_i, b_i, y_i}                        (move 3)
//! ```
//!
//! [`OpenSession`] is the bank's side and lives in memory only; [`PendingIssue`] is the wallet's. Both are
//! consumed by their next step.

use feiqian_crypto::Digest;
use feiqian_crypto::snowblind::{
    Challenge, Commitment, PendingSignature, Response, SecretKey, SecretNonces, blind,
};
use feiqian_crypto::{EncodedScalar, Scalar};
use feiqian_money::Minor;
use feiqian_wire::{Bounded, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::coin::{self, Coin, CoinId};
use crate::funding::Funding;
use crate::keyset::{MAX_DENOMINATIONS, VerifiedKey};
use crate::seed::{Place, Seed};
use crate::{MAX_COINS, Rejection};

/// How many coins of one denomination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The denomination's id.
    pub denomination: Digest,
    /// At least 1.
    pub count: u16,
}

/// Opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginRequest {
    /// The wallet's id of this request: the same id with the same outputs gets the same session.
    pub request: Digest,
    /// In the order in which commitments will be listed; at most [`MAX_COINS`] coins in all.
    pub outputs: Bounded<Output, MAX_DENOMINATIONS>,
}

/// Groups a list of denominations into outputs, keeping first-seen order.
///
/// # Errors
/// [`Rejection::AmountMismatch`] when there are more than [`MAX_COINS`] coins or too many denominations.
pub fn outputs_of(denominations: &[Digest]) -> Result<Bounded<Output, MAX_DENOMINATIONS>, Rejection> {
    let too_many = || Rejection::AmountMismatch("too many coins in one session");
    if denominations.len() > MAX_COINS {
        return Err(too_many());
    }
    let mut outputs: Vec<Output> = Vec::new();
    for denomination in denominations {
        match outputs.iter_mut().find(|output| output.denomination == *denomination) {
            Some(output) => output.count = output.count.saturating_add(1),
            None => outputs.push(Output { denomination: *denomination, count: 1 }),
        }
    }
    Bounded::new(outputs).map_err(|_| too_many())
}

/// The denomination of every coin of a session, in order.
///
/// # Errors
/// [`Rejection::AmountMismatch`] when a count is zero, there are none, or more than [`MAX_COINS`].
pub fn expand(outputs: &[Output]) -> Result<Vec<Digest>, Rejection> {
    let total: usize = outputs.iter().map(|output| usize::from(output.count)).sum();
    if total == 0 || total > MAX_COINS || outputs.iter().any(|output| output.count == 0) {
        return Err(Rejection::AmountMismatch("a session makes 1 to 256 coins"));
    }
    let repeated = |output: &Output| std::iter::repeat_n(output.denomination, usize::from(output.count));
    Ok(outputs.iter().flat_map(repeated).collect())
}

/// A session as its bank offers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionOffer {
    /// 32 random bytes of the bank.
    pub session: Digest,
    /// First second at which it can no longer be finished.
    pub expires: Timestamp,
    /// *A_i, B_i* for every coin in the order of the outputs.
    pub commitments: Bounded<Commitment, MAX_COINS>,
}

/// The bank's answer to *begin* and to *recover*.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BeginResponse {
    /// May be finished.
    Open(SessionOffer),
    /// Was finished: everything needed to compute its coins again.
    Answered(AnsweredSession),
    /// Can never be finished (the bank restarted, it expired, or its funding was refused).
    Void,
}

/// A finished session with all that both sides said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnsweredSession {
    /// The session.
    pub session: Digest,
    /// What was asked for.
    pub outputs: Bounded<Output, MAX_DENOMINATIONS>,
    /// *A_i, B_i*.
    pub commitments: Bounded<Commitment, MAX_COINS>,
    /// *c_i*.
    pub challenges: Bounded<Challenge, MAX_COINS>,
    /// *z_i, b_i, y_i*.
    pub answers: Bounded<Response, MAX_COINS>,
}

/// Asks for a session by its request id, for restoring a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoverRequest {
    /// The request id of the session's *begin*.
    pub request: Digest,
}

/// Finishes a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRequest {
    /// The session.
    pub session: Digest,
    /// *c_i* in the order of the commitments.
    pub challenges: Bounded<Challenge, MAX_COINS>,
    /// What pays for the coins.
    pub funding: Funding,
}

/// The bank's answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishResponse {
    /// *z_i, b_i, y_i* in the order of the challenges.
    pub answers: Bounded<Response, MAX_COINS>,
}

/// The bank's side of a session between *begin* and *finish*: the one-time secrets of every commitment.
///
/// # Security
/// Lives in memory only. [`OpenSession::answer`] consumes it, so a second answer does not compile:
///
/// ```compile_fail,E0382
/// fn twice(
///     session: feiqian_online_cash::issue::OpenSession,
///     keys: &[&feiqian_crypto::snowblind::SecretKey],
///     challenges: &[feiqian_crypto::snowblind::Challenge],
/// ) {
///     let first = session.answer(keys, challenges);
///     let second = session.answer(keys, challenges);
/// }
/// ```
#[derive(Debug)]
pub struct OpenSession {
    nonces: Vec<SecretNonces>,
}

impl OpenSession {
    /// From fresh one-time secrets; gives the commitments that travel.
    pub fn new(fresh: Vec<(SecretNonces, Commitment)>) -> (Self, Vec<Commitment>) {
        let (nonces, commitments) = fresh.into_iter().unzip();
        (Self { nonces }, commitments)
    }

    /// How many coins it makes.
    pub fn len(&self) -> usize {
        self.nonces.len()
    }

    /// Does it make none?
    pub fn is_empty(&self) -> bool {
        self.nonces.is_empty()
    }

    /// Move 3 for every coin. The answers must be durable before they leave.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`] when keys or challenges are not as many as commitments;
    /// the session is then lost, as it must be.
    pub fn answer(self, keys: &[&SecretKey], challenges: &[Challenge]) -> Result<Vec<Response>, Rejection> {
        if keys.len() != self.nonces.len() || challenges.len() != self.nonces.len() {
            return Err(Rejection::AmountMismatch("one challenge for each commitment"));
        }
        let answers = self.nonces.into_iter().zip(keys.iter().zip(challenges));
        Ok(answers.map(|(nonces, (key, challenge))| nonces.respond(key, challenge)).collect())
    }
}

struct PendingCoin {
    id: CoinId,
    secret: Zeroizing<Scalar>,
    pending: PendingSignature,
}

/// The wallet's side of a session between its challenges and the bank's answers.
///
/// After a crash it is made again from the stored offer: everything in it is derived from the seed and from
/// what the bank said.
///
/// ```compile_fail,E0382
/// fn twice(
///     pending: feiqian_online_cash::issue::PendingIssue,
///     answers: &[feiqian_crypto::snowblind::Response],
/// ) {
///     let first = pending.finish(answers);
///     let second = pending.finish(answers);
/// }
/// ```
pub struct PendingIssue {
    coins: Vec<PendingCoin>,
}

impl std::fmt::Debug for PendingIssue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PendingIssue").field("coins", &self.coins.len()).finish_non_exhaustive()
    }
}

impl PendingIssue {
    /// Move 2: derives a coin key and blinding factors for every commitment and computes the challenges.
    ///
    /// The caller has checked that neither the session nor any commitment was ever seen before.
    ///
    /// # Errors
    /// [`Rejection::AmountMismatch`] when commitments and denominations do not fit, [`Rejection::SessionRepeated`]
    /// when a commitment stands twice, [`Rejection::Malformed`] when one does not decode.
    pub fn new(
        seed: &Seed,
        denominations: &[&VerifiedKey],
        session: &Digest,
        commitments: &[Commitment],
    ) -> Result<(Self, Vec<Challenge>), Rejection> {
        if denominations.len() != commitments.len() || commitments.is_empty() {
            return Err(Rejection::AmountMismatch("one commitment for each coin"));
        }
        let distinct: std::collections::BTreeSet<_> =
            commitments.iter().flat_map(|commitment| [commitment.a, commitment.b]).collect();
        if distinct.len() != commitments.len().saturating_mul(2) {
            return Err(Rejection::SessionRepeated);
        }
        let mut coins = Vec::with_capacity(commitments.len());
        let mut challenges = Vec::with_capacity(commitments.len());
        for (index, (key, commitment)) in (0u64..).zip(denominations.iter().zip(commitments)) {
            let bank = key.key.bank.as_str();
            let place = Place { bank, denomination: &key.id, session, index, commitment };
            let secret = seed.coin_key(&place);
            let id = CoinId { denomination: key.id, key: coin::public_key(&secret) };
            let message = coin::message(&id.key);
            let blinding = seed.blinding(&place, &key.public, &message);
            let (pending, challenge) = blind(&key.public, &message, commitment, blinding)
                .map_err(|_| Rejection::Malformed("commitment"))?;
            coins.push(PendingCoin { id, secret: Zeroizing::new(secret), pending });
            challenges.push(challenge);
        }
        Ok((Self { coins }, challenges))
    }

    /// Unblinds every answer; each coin's signature is verified.
    ///
    /// # Errors
    /// [`Rejection::BankMisbehaved`] when an answer does not fit its commitment.
    pub fn finish(self, answers: &[Response]) -> Result<Vec<Coin>, Rejection> {
        if answers.len() != self.coins.len() {
            return Err(Rejection::BankMisbehaved);
        }
        self.coins
            .into_iter()
            .zip(answers)
            .map(|(coin, answer)| {
                let signature = coin.pending.unblind(answer).map_err(|_| Rejection::BankMisbehaved)?;
                Ok(Coin::issued(coin.id, coin.secret, signature))
            })
            .collect()
    }
}

/// The value of a session's outputs.
///
/// # Errors
/// [`Rejection::AmountMismatch`] on overflow.
pub fn value_of<'a>(denominations: impl Iterator<Item = &'a VerifiedKey>) -> Result<Minor, Rejection> {
    Minor::sum(denominations.map(|key| key.key.value)).map_err(|_| Rejection::AmountMismatch("sum overflows"))
}

/// Reads answers back from a store.
///
/// # Errors
/// [`Rejection::Malformed`] when the bytes are not a whole number of 96-byte answers.
pub fn answers_from_bytes(bytes: &[u8]) -> Result<Vec<Response>, Rejection> {
    let malformed = || Rejection::Malformed("stored answers");
    let (chunks, rest) = bytes.as_chunks::<96>();
    if !rest.is_empty() {
        return Err(malformed());
    }
    let scalar = |part: &[u8]| EncodedScalar::try_from(part).map_err(|_| malformed());
    chunks
        .iter()
        .map(|chunk| {
            let (z, rest) = chunk.split_at(32);
            let (b, y) = rest.split_at(32);
            Ok(Response { z: scalar(z)?, b: scalar(b)?, y: scalar(y)? })
        })
        .collect()
}

/// Writes answers for a store: 96 bytes each.
pub fn answers_to_bytes(answers: &[Response]) -> Vec<u8> {
    answers
        .iter()
        .flat_map(|answer| [answer.z, answer.b, answer.y])
        .flat_map(|scalar| *scalar.as_bytes())
        .collect()
}
