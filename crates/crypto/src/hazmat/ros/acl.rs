//! ACL as a target of the attack.

use curve25519_dalek::traits::VartimeMultiscalarMul;
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;

use super::Target;
use crate::acl::{
    self, Challenge, CommitmentSecret, Depth, IdentitySecret, ProvenCommitment, SecretAnswers, SecretKey,
    Signature, challenge_scalar, coin_message,
};
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::error::Rejection;
use crate::generators;
use crate::scalar::random;

/// The ACL signer as a target, its user one customer with one commitment in all sessions and without blinding (*γ* = 1,
/// *τ* = *t*₁ = … = *t*₅ = 0, so *ζ* = *Z*, *ζ*₁ = *Z*₁ and *η* = O); the attack gains nothing.
#[derive(Debug)]
pub struct Acl<R> {
    key: SecretKey,
    customer: ProvenCommitment,
    nu: Option<Scalar>,
    rng: R,
}

impl<R: CryptoRng> Acl<R> {
    /// A signer with a fresh key.
    ///
    /// # Panics
    ///
    /// Never: the customer's proof is sound.
    pub fn new(mut rng: R) -> Self {
        let identity = IdentitySecret::generate(&mut rng);
        let commitment = identity.commit(CommitmentSecret::random(&mut rng));
        let proof = commitment.prove(&Digest::ZERO, &mut rng);
        let customer = acl::verify_opening(identity.public(), commitment.encoded(), &proof, &Digest::ZERO)
            .expect("a proof of what is known holds");
        Self { key: SecretKey::generate(Depth::MAX, &mut rng), customer, nu: None, rng }
    }

    /// A signer that uses one *ν* in all sessions, against the scheme; the attack forges.
    pub fn with_constant_nu(rng: R) -> Self {
        let mut signer = Self::new(rng);
        signer.nu = Some(random(&mut signer.rng));
        signer
    }
}

/// What the signer commits to: *Z*₁, *A*, *B*₁, *B*₂.
#[derive(Clone, Copy, Debug)]
pub struct AclCommitment {
    z1: RistrettoPoint,
    a: RistrettoPoint,
    b1: RistrettoPoint,
    b2: RistrettoPoint,
}

/// The vector that an ACL answer is to an attacker: (*r*, *s*₁, *s*₂, *d*).
#[derive(Clone, Copy, Debug)]
pub struct AclAnswer([Scalar; 4]);

fn point(encoded: &EncodedPoint) -> RistrettoPoint {
    encoded.decode().unwrap_or_default()
}

fn scalar(encoded: &EncodedScalar) -> Scalar {
    encoded.decode().unwrap_or_default()
}

impl<R: CryptoRng> Target for Acl<R> {
    type Session = SecretAnswers;
    type Commitment = AclCommitment;
    type Answer = AclAnswer;
    type Signature = Signature;

    fn open(&mut self) -> (SecretAnswers, AclCommitment) {
        let nu = self.nu.unwrap_or_else(|| random(&mut self.rng));
        let secrets = [(); 4].map(|()| random(&mut self.rng));
        let (session, announcement) =
            SecretAnswers::from_scalars(self.key.public(), &self.customer, nu, secrets);
        let z1 = point(self.customer.encoded()) + generators::multiply_g(&nu);
        let (a, b1, b2) = (point(&announcement.a), point(&announcement.b1), point(&announcement.b2));
        (session, AclCommitment { z1, a, b1, b2 })
    }

    fn combine(&self, weights: &[Scalar], commitments: &[AclCommitment], constant: &Scalar) -> AclCommitment {
        let sum = |part: fn(&AclCommitment) -> RistrettoPoint| {
            RistrettoPoint::vartime_multiscalar_mul(weights, commitments.iter().map(part))
        };
        AclCommitment {
            z1: commitments.first().map_or_else(generators::g, |first| first.z1),
            a: sum(|each| each.a) + constant * self.key.public().point(),
            b1: sum(|each| each.b1),
            b2: sum(|each| each.b2),
        }
    }

    fn challenge(&self, message: &Digest, commitment: &AclCommitment) -> Scalar {
        let AclCommitment { z1, a, b1, b2 } = commitment;
        let ([z1, a, b1, b2], eta) = ([z1, a, b1, b2].map(EncodedPoint::from), EncodedPoint([0; 32]));
        let z = self.key.public().encoded_z();
        let message = coin_message(self.key.public(), message, z, &z1);
        challenge_scalar([z, &z1, &a, &b1, &b2, &eta], &message)
    }

    fn respond(&mut self, session: SecretAnswers, challenge: Scalar) -> AclAnswer {
        let answer = session.respond(&self.key, &Challenge::from_scalar(challenge));
        AclAnswer([&answer.r, &answer.s1, &answer.s2, &answer.d].map(scalar))
    }

    fn complete<'a>(
        &self,
        message: &Digest,
        commitment: &AclCommitment,
        answers: impl Iterator<Item = (Scalar, &'a AclAnswer)>,
    ) -> Signature {
        let mut sums = [Scalar::ZERO; 4];
        for (weight, AclAnswer(answer)) in answers {
            sums.iter_mut().zip(answer).for_each(|(sum, scalar)| *sum += weight * scalar);
        }
        let [rho, rho1, rho2, omega_prime] = sums;
        let omega = self.challenge(message, commitment) - omega_prime;
        Signature {
            zeta: *self.key.public().encoded_z(),
            zeta1: EncodedPoint::from(&commitment.z1),
            rho: rho.into(),
            omega: omega.into(),
            rho1: rho1.into(),
            rho2: rho2.into(),
            omega_prime: omega_prime.into(),
            mu: (-omega_prime).into(),
        }
    }

    fn verify(&self, message: &Digest, signature: &Signature) -> Result<(), Rejection> {
        acl::verify(self.key.public(), message, signature).map(|_| ())
    }
}
