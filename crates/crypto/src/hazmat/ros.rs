//! The attack on blind Schnorr signatures by solving ROS in polynomial time: Benhamouda, Lepoint, Loss, Orrù and
//! Raykova, "On the (in)security of ROS" (EUROCRYPT 2021).
//!
//! With ℓ = 253 ≥ log₂ *q* sessions open at once, the attacker holds two possible challenges *c_i*⁰, *c_i*¹ (for two
//! messages) in every session, and takes the linear form
//!
//! ```text
//! ρ(x) = Σ 2^i (x_i − c_i⁰)/(c_i¹ − c_i⁰) = Σ ρ_i x_i + ρ_*        so that ρ(c^bits) = Σ 2^i bit_i
//! ```
//!
//! It puts *R* = Σ *ρ_i R_i* − *ρ*_* *X* under one message more, hashes that to *c*, and answers session *i* with the
//! challenge that bit *i* of *c* names: then ρ(challenges) = *c*, and Σ *ρ_i s_i* completes the signature nobody
//! issued. Snowblind's answers are not linear in what the attacker may choose: Σ *ρ_i y_i*⁵ is not (Σ *ρ_i y_i*)⁵, and
//! the same driver ends with as many signatures as it had sessions. ACL's answers are linear, but every session has a
//! base *Z*₁ of its own, and no combination of *B*₁'s over different bases is one over any base; a bank that repeats *ν*
//! for one customer is forged against.

mod acl;

pub use acl::{Acl, AclAnswer, AclCommitment};

use curve25519_dalek::traits::VartimeMultiscalarMul;
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;

use super::textbook;
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::error::Rejection;
use crate::snowblind;
use crate::transcript::Transcript;

/// Sessions that the attack needs open at once: *q* has 253 bits.
pub const SESSIONS: usize = 253;

/// A signer with sessions that may be open concurrently, and what an attacker can compute about its signatures.
pub trait Target {
    /// An open session, at the signer.
    type Session;
    /// What the signer commits to in a session.
    type Commitment;
    /// The signer's answer, a vector of scalars as far as the attacker is concerned.
    type Answer;
    /// A signature.
    type Signature;

    /// Opens a session; the commitment is the one that a user would sign under without blinding.
    fn open(&mut self) -> (Self::Session, Self::Commitment);

    /// The commitment that [`complete`](Self::complete) completes with the answers taken by the same weights, if the
    /// challenge is the weighted sum of the sessions' challenges plus `constant`.
    fn combine(
        &self,
        weights: &[Scalar],
        commitments: &[Self::Commitment],
        constant: &Scalar,
    ) -> Self::Commitment;

    /// The challenge of a signature on `message` with the commitment.
    fn challenge(&self, message: &Digest, commitment: &Self::Commitment) -> Scalar;

    /// The signer answers and closes the session.
    fn respond(&mut self, session: Self::Session, challenge: Scalar) -> Self::Answer;

    /// The signature on `message` with the commitment, completed by a linear combination of answers.
    fn complete<'a>(
        &self,
        message: &Digest,
        commitment: &Self::Commitment,
        answers: impl Iterator<Item = (Scalar, &'a Self::Answer)>,
    ) -> Self::Signature
    where
        Self::Answer: 'a;

    /// Checks a signature.
    ///
    /// # Errors
    ///
    /// [`Rejection`] if it is not valid.
    fn verify(&self, message: &Digest, signature: &Self::Signature) -> Result<(), Rejection>;
}

/// What an attack came to.
#[derive(Debug)]
pub struct Outcome<S> {
    /// Sessions that the signer answered.
    pub sessions: usize,
    /// Valid signatures on distinct messages; more of them than sessions is a forgery.
    pub signatures: Vec<(Digest, S)>,
}

impl<S> Outcome<S> {
    /// How many signatures more than sessions there are.
    #[must_use]
    pub fn gain(&self) -> usize {
        self.signatures.len().saturating_sub(self.sessions)
    }
}

/// Two messages of one session and their challenges.
struct Choice {
    messages: [Digest; 2],
    challenges: [Scalar; 2],
}

/// Runs the attack against any target, with [`SESSIONS`] sessions open at once, and keeps what verifies.
pub fn attack<T: Target>(target: &mut T) -> Outcome<T::Signature> {
    let (sessions, commitments): (Vec<_>, Vec<_>) = (0..SESSIONS).map(|_| target.open()).unzip();
    let choices: Vec<_> = commitments.iter().enumerate().map(|(i, point)| choose(target, i, point)).collect();

    let (weights, constant) = linear_form(&choices);
    let forged_message = message(SESSIONS, 0);
    let forged_commitment = target.combine(&weights, &commitments, &constant);
    let forged_challenge = target.challenge(&forged_message, &forged_commitment);

    let mut answers = Vec::with_capacity(SESSIONS);
    let mut candidates = Vec::with_capacity(SESSIONS);
    for (((session, commitment), choice), bit) in
        sessions.into_iter().zip(&commitments).zip(&choices).zip(bits(&forged_challenge))
    {
        let (signed, challenge) = choice.take(bit);
        let answer = target.respond(session, challenge);
        let signature = target.complete(&signed, commitment, core::iter::once((Scalar::ONE, &answer)));
        candidates.push((signed, signature));
        answers.push(answer);
    }
    let forged = target.complete(&forged_message, &forged_commitment, weights.into_iter().zip(&answers));
    candidates.push((forged_message, forged));
    candidates.retain(|(message, signature)| target.verify(message, signature).is_ok());
    Outcome { sessions: answers.len(), signatures: candidates }
}

impl Choice {
    fn take(&self, bit: bool) -> (Digest, Scalar) {
        let ([message_0, message_1], [challenge_0, challenge_1]) = (self.messages, self.challenges);
        if bit { (message_1, challenge_1) } else { (message_0, challenge_0) }
    }
}

fn message(session: usize, side: u64) -> Digest {
    Transcript::new("hazmat/ros/message").count(session).integer(side).into_digest()
}

fn choose<T: Target>(target: &T, session: usize, commitment: &T::Commitment) -> Choice {
    let messages = [message(session, 0), message(session, 1)];
    let challenges = messages.map(|message| target.challenge(&message, commitment));
    Choice { messages, challenges }
}

/// *ρ_i* and *ρ*_*.
fn linear_form(choices: &[Choice]) -> (Vec<Scalar>, Scalar) {
    let powers = core::iter::successors(Some(Scalar::ONE), |power| Some(power + power));
    let slope = |choice: &Choice| {
        let [zero, one] = choice.challenges;
        (one - zero).invert()
    };
    let weights: Vec<_> = choices.iter().zip(powers).map(|(choice, power)| power * slope(choice)).collect();
    let constant = weights.iter().zip(choices).map(|(weight, choice)| -(weight * choice.take(false).1)).sum();
    (weights, constant)
}

/// Σ *ρ_i R_i* − *ρ*_* *X*, for signatures whose equation is *zG* = *R* + *cX*.
fn combine_schnorr(
    public: &RistrettoPoint,
    weights: &[Scalar],
    commitments: &[RistrettoPoint],
    constant: &Scalar,
) -> RistrettoPoint {
    let scalars = weights.iter().copied().chain([-constant]);
    RistrettoPoint::vartime_multiscalar_mul(scalars, commitments.iter().chain([public]))
}

/// The bits of a scalar, lowest first.
fn bits(scalar: &Scalar) -> impl Iterator<Item = bool> {
    scalar.to_bytes().into_iter().flat_map(|byte| (0..8).map(move |place| (byte >> place) & 1 == 1))
}

/// The textbook signer as a target; the attack forges.
#[derive(Debug)]
pub struct Textbook<R> {
    key: textbook::SecretKey,
    rng: R,
}

impl<R: CryptoRng> Textbook<R> {
    /// A signer with a fresh key.
    pub fn new(mut rng: R) -> Self {
        Self { key: textbook::SecretKey::generate(&mut rng), rng }
    }
}

impl<R: CryptoRng> Target for Textbook<R> {
    type Session = textbook::Nonce;
    type Commitment = RistrettoPoint;
    type Answer = Scalar;
    type Signature = textbook::Signature;

    fn open(&mut self) -> (Self::Session, RistrettoPoint) {
        textbook::commit(&mut self.rng)
    }

    fn combine(
        &self,
        weights: &[Scalar],
        commitments: &[RistrettoPoint],
        constant: &Scalar,
    ) -> RistrettoPoint {
        combine_schnorr(self.key.public(), weights, commitments, constant)
    }

    fn challenge(&self, message: &Digest, commitment: &RistrettoPoint) -> Scalar {
        textbook::challenge(self.key.public(), message, commitment)
    }

    fn respond(&mut self, session: Self::Session, challenge: Scalar) -> Scalar {
        session.respond(&self.key, &challenge)
    }

    fn complete<'a>(
        &self,
        _message: &Digest,
        commitment: &RistrettoPoint,
        answers: impl Iterator<Item = (Scalar, &'a Scalar)>,
    ) -> Self::Signature {
        textbook::Signature { commitment: *commitment, s: answers.map(|(weight, s)| weight * s).sum() }
    }

    fn verify(&self, message: &Digest, signature: &Self::Signature) -> Result<(), Rejection> {
        textbook::verify(self.key.public(), message, signature)
    }
}

/// The Snowblind signer as a target, its users without blinding (*α* = 1, *β* = *r* = 0, so *R'* = *A* + *B* and the
/// signature is (*z* + *b*, *y*)); the attack gains nothing.
#[derive(Debug)]
pub struct Snowblind<R> {
    key: snowblind::SecretKey,
    rng: R,
}

impl<R: CryptoRng> Snowblind<R> {
    /// A signer with a fresh key.
    pub fn new(mut rng: R) -> Self {
        Self { key: snowblind::SecretKey::generate(&mut rng), rng }
    }
}

/// The vector that a Snowblind answer is to an attacker: (*z* + *b*, *y*).
#[derive(Clone, Copy, Debug)]
pub struct SnowblindAnswer {
    z: Scalar,
    y: Scalar,
}

impl<R: CryptoRng> Target for Snowblind<R> {
    type Session = (snowblind::SecretNonces, snowblind::Commitment);
    type Commitment = RistrettoPoint;
    type Answer = SnowblindAnswer;
    type Signature = snowblind::Signature;

    fn open(&mut self) -> (Self::Session, RistrettoPoint) {
        let (nonces, commitment) = snowblind::commit(&mut self.rng);
        let decode = |point: &EncodedPoint| point.decode().unwrap_or_default();
        let sum = decode(&commitment.a) + decode(&commitment.b);
        ((nonces, commitment), sum)
    }

    fn combine(
        &self,
        weights: &[Scalar],
        commitments: &[RistrettoPoint],
        constant: &Scalar,
    ) -> RistrettoPoint {
        combine_schnorr(self.key.public().point(), weights, commitments, constant)
    }

    fn challenge(&self, message: &Digest, commitment: &RistrettoPoint) -> Scalar {
        snowblind::challenge_scalar(self.key.public(), message, &EncodedPoint::from(commitment))
    }

    fn respond(&mut self, (nonces, _): Self::Session, challenge: Scalar) -> SnowblindAnswer {
        let response = nonces.respond(&self.key, &snowblind::Challenge::from_scalar(challenge));
        let decode = |scalar: &EncodedScalar| scalar.decode().unwrap_or_default();
        SnowblindAnswer { z: decode(&response.z) + decode(&response.b), y: decode(&response.y) }
    }

    fn complete<'a>(
        &self,
        _message: &Digest,
        commitment: &RistrettoPoint,
        answers: impl Iterator<Item = (Scalar, &'a SnowblindAnswer)>,
    ) -> Self::Signature {
        let (mut z, mut y) = (Scalar::ZERO, Scalar::ZERO);
        for (weight, answer) in answers {
            z += weight * answer.z;
            y += weight * answer.y;
        }
        snowblind::Signature { commitment: EncodedPoint::from(commitment), z: (&z).into(), y: (&y).into() }
    }

    fn verify(&self, message: &Digest, signature: &Self::Signature) -> Result<(), Rejection> {
        snowblind::verify(self.key.public(), message, signature)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;

    use super::*;

    #[test]
    fn ros_forges_a_textbook_signature() {
        let mut target = Textbook::new(ChaCha12Rng::seed_from_u64(253));
        let outcome = attack(&mut target);
        assert_eq!((outcome.sessions, outcome.signatures.len(), outcome.gain()), (253, 254, 1));
        let messages: std::collections::BTreeSet<_> =
            outcome.signatures.iter().map(|(message, _)| *message).collect();
        assert_eq!(messages.len(), 254, "distinct messages");
    }

    #[test]
    fn ros_gains_nothing_against_snowblind() {
        let mut target = Snowblind::new(ChaCha12Rng::seed_from_u64(253));
        let outcome = attack(&mut target);
        assert_eq!((outcome.sessions, outcome.signatures.len(), outcome.gain()), (253, 253, 0));
    }

    #[test]
    fn ros_gains_nothing_against_acl() {
        let mut target = Acl::new(ChaCha12Rng::seed_from_u64(253));
        let outcome = attack(&mut target);
        assert_eq!((outcome.sessions, outcome.signatures.len(), outcome.gain()), (253, 253, 0));
    }

    /// The driver is in earnest: what stops it is the fresh *ν*, and nothing else.
    #[test]
    fn ros_forges_a_coin_of_a_bank_that_repeats_nu() {
        let mut target = Acl::with_constant_nu(ChaCha12Rng::seed_from_u64(253));
        let outcome = attack(&mut target);
        assert_eq!((outcome.sessions, outcome.signatures.len(), outcome.gain()), (253, 254, 1));
    }
}
