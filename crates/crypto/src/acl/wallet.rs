//! The wallet's side: move 2 and the unblinding of the answer.

use core::fmt;

use curve25519_dalek::traits::MultiscalarMul;
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use subtle::{ConditionallySelectable, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    Announcement, Answer, Challenge, PendingCommitment, PublicKey, Signature, Slot, challenge_scalar,
    coin_message, encode_doubles,
};
use crate::encoded::{Digest, EncodedPoint};
use crate::error::{Malformed, Rejection};
use crate::generators::{self, multiply_g, multiply_h};
use crate::scalar::{random, random_non_zero};
use crate::transcript::Transcript;

/// The wallet's secret (*γ*, *τ*, *t*₁…*t*₅) of one session, good for one challenge.
///
/// # Security
///
/// Two challenges made with one blinding let the bank single the session out, so [`blind`] consumes it:
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::{Digest, acl::*};
/// fn blind_twice(key: &PublicKey, commitments: [PendingCommitment; 2], announcement: &Announcement, root: &Digest, blinding: Blinding) {
///     let [first, second] = commitments;
///     blind(key, first, announcement, blinding, root);
///     blind(key, second, announcement, blinding, root);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::acl::*;
/// fn keep_a_copy(blinding: &Blinding) -> Blinding {
///     Blinding::clone(blinding)
/// }
/// ```
pub struct Blinding {
    gamma: Scalar,
    tau: Scalar,
    t: [Scalar; 5],
}

impl Blinding {
    /// Uniform blinding.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self { gamma: random_non_zero(rng), tau: random(rng), t: [(); 5].map(|()| random(rng)) }
    }

    /// Blinding that a wallet can make again from its seed and all the bank said:
    /// `Hs("acl/blinding/gamma|tau|t1|t2|t3|t4|t5"; seed, bank, account, session, i, Y, C, ν, A, B1, B2)`.
    ///
    /// # Security
    ///
    /// Another key, commitment or announcement gives unrelated blinding, so a bank that repeats itself gains nothing.
    #[must_use]
    pub fn derive(
        seed: &[u8],
        slot: &Slot<'_>,
        key: &PublicKey,
        commitment: &PendingCommitment,
        announcement: &Announcement,
    ) -> Self {
        let derive = |label| {
            let secret = slot.write(Transcript::new(label).bytes(seed)).point(key.encoded());
            announcement.write(secret.point(commitment.encoded())).into_scalar()
        };
        let gamma = derive("acl/blinding/gamma");
        // Zero has probability 2^-252; any fixed non-zero value keeps the step total.
        let gamma = Scalar::conditional_select(&gamma, &Scalar::ONE, gamma.ct_eq(&Scalar::ZERO));
        let labels =
            ["acl/blinding/t1", "acl/blinding/t2", "acl/blinding/t3", "acl/blinding/t4", "acl/blinding/t5"];
        Self { gamma, tau: derive("acl/blinding/tau"), t: labels.map(derive) }
    }

    /// Blinding of known scalars *γ*, *τ*, *t*₁…*t*₅, for test vectors.
    ///
    /// # Errors
    ///
    /// [`Misuse::ZeroSecret`](crate::Misuse::ZeroSecret) if *γ* is zero.
    ///
    /// # Security
    ///
    /// Whoever knows the scalars links the coin to its session.
    #[cfg(feature = "hazmat")]
    pub fn from_scalars(gamma: Scalar, tau: Scalar, t: [Scalar; 5]) -> Result<Self, crate::Misuse> {
        if gamma == Scalar::ZERO { Err(crate::Misuse::ZeroSecret) } else { Ok(Self { gamma, tau, t }) }
    }

    /// *γ*, *τ*, *t*₁…*t*₅, for test vectors.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn to_scalars(&self) -> [Scalar; 7] {
        let [t1, t2, t3, t4, t5] = self.t;
        [self.gamma, self.tau, t1, t2, t3, t4, t5]
    }
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blinding").finish_non_exhaustive()
    }
}

impl Drop for Blinding {
    fn drop(&mut self) {
        self.gamma.zeroize();
        self.tau.zeroize();
        self.t.zeroize();
    }
}

impl ZeroizeOnDrop for Blinding {}

/// ***k*** = (*γR*, *γL1*, *γν*, −*γ*): *ζ*₁ = *k*₀·H0 + *k*₁·H1 + *k*₂·G and −*ζ* = *k*₃·Z. It names its holder, and is
/// what every polynomial of the coin's share tree hides.
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::acl::*;
/// fn keep_a_copy(vector: &SecretVector) -> SecretVector {
///     SecretVector::clone(vector)
/// }
/// ```
pub struct SecretVector([Scalar; 4]);

impl SecretVector {
    pub(crate) fn new(coordinates: [Scalar; 4]) -> Self {
        Self(coordinates)
    }

    pub(crate) fn coordinates(&self) -> &[Scalar; 4] {
        &self.0
    }

    /// *k*₀…*k*₃, for test vectors.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn to_scalars(&self) -> [Scalar; 4] {
        self.0
    }
}

impl fmt::Debug for SecretVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretVector").finish_non_exhaustive()
    }
}

impl Drop for SecretVector {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl ZeroizeOnDrop for SecretVector {}

/// What the wallet keeps between challenge and answer.
///
/// # Security
///
/// Holds what links the coin to its session; the answer consumes it:
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::acl::*;
/// fn finish_twice(pending: PendingCoin, first: &Answer, second: &Answer) {
///     pending.finish(first);
///     pending.finish(second);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::acl::*;
/// fn keep_a_copy(pending: &PendingCoin) -> PendingCoin {
///     PendingCoin::clone(pending)
/// }
/// ```
pub struct PendingCoin {
    key: PublicKey,
    blinding: Blinding,
    secret: SecretVector,
    challenge: Challenge,
    announced: Announced,
    blinded: Blinded,
}

/// The bank's values of one session, decoded: *Z*₁, *A*, *B*₁, *B*₂.
struct Announced {
    z1: RistrettoPoint,
    a: RistrettoPoint,
    b1: RistrettoPoint,
    b2: RistrettoPoint,
}

/// The points of the signature to come.
struct Blinded {
    zeta: RistrettoPoint,
    zeta1: RistrettoPoint,
    encoded: [EncodedPoint; 2],
    message: Digest,
    epsilon: Scalar,
}

impl Announced {
    fn decode(
        commitment: &PendingCommitment,
        announcement: &Announcement,
    ) -> Result<(Self, Scalar), Malformed> {
        let nu = announcement.nu.decode()?;
        let z1 = commitment.point() + multiply_g(&nu);
        let (a, b1, b2) = (announcement.a.decode()?, announcement.b1.decode()?, announcement.b2.decode()?);
        Ok((Self { z1, a, b1, b2 }, nu))
    }

    /// *ζ* = *γZ*, *ζ*₁ = *γZ*₁, *m*, and *ε* over *α* = *A* + *t*₁*G* + *t*₂*Y*, *β*₁ = *γB*₁ + *t*₃*G* + *t*₄*ζ*₁,
    /// *β*₂ = *γB*₂ + *t*₅*H* + *t*₄*ζ*₂, *η* = *τZ*.
    fn blind(&self, key: &PublicKey, blinding: &Blinding, root: &Digest) -> Blinded {
        let Blinding { gamma, tau, t: [t1, t2, t3, t4, t5] } = blinding;
        // Halved, so that all points can be encoded with one field inversion.
        let half = Scalar::ONE.div_by_2();
        let halved = Zeroizing::new([gamma, tau, t1, t2, t3, t4, t5].map(Scalar::div_by_2));
        let [half_gamma, half_tau, t1, t2, t3, half_t4, t5] = &*halved;
        let (half_zeta, half_zeta1) = (half_gamma * key.z(), half_gamma * self.z1);
        let (zeta, zeta1) = (half_zeta + half_zeta, half_zeta1 + half_zeta1);
        let zeta2 = zeta - zeta1;
        let alpha = multiply_g(t1) + RistrettoPoint::multiscalar_mul([&half, t2], [&self.a, key.point()]);
        let beta1 = multiply_g(t3) + RistrettoPoint::multiscalar_mul([half_gamma, half_t4], [self.b1, zeta1]);
        let beta2 = multiply_h(t5) + RistrettoPoint::multiscalar_mul([half_gamma, half_t4], [self.b2, zeta2]);
        let mut halves = [half_zeta, half_zeta1, alpha, beta1, beta2, half_tau * key.z()];
        let [encoded_zeta, encoded_zeta1, alpha, beta1, beta2, eta] = encode_doubles(halves);
        halves.zeroize();
        let message = coin_message(key, root, &encoded_zeta, &encoded_zeta1);
        let points = [&encoded_zeta, &encoded_zeta1, &alpha, &beta1, &beta2, &eta];
        let epsilon = challenge_scalar(points, &message);
        Blinded { zeta, zeta1, encoded: [encoded_zeta, encoded_zeta1], message, epsilon }
    }

    /// Whether the answer opens what was announced: *A* = *rG* + *cY*, *B*₁ = *s*₁*G* + *dZ*₁, *B*₂ = *s*₂*H* + *dZ*₂.
    /// The bank knows every value here, so variable time tells it nothing new.
    fn check(&self, key: &PublicKey, [r, c, s1, s2, d]: &[Scalar; 5]) -> Result<(), Rejection> {
        let zero = &Scalar::ZERO;
        if generators::vartime_sum(r, zero, [(c, key.point())]) != self.a {
            return Err(Rejection::Response);
        }
        let b2 = generators::vartime_sum(zero, s2, [(d, &(key.z() - self.z1))]);
        if generators::vartime_sum(s1, zero, [(d, &self.z1)]) != self.b1 || b2 != self.b2 {
            return Err(Rejection::Opening);
        }
        Ok(())
    }
}

/// Move 2 for the coin with the share tree of this root digest. Returns what stays and what travels.
///
/// # Errors
///
/// [`Malformed::Scalar`] or [`Malformed::Point`] if the announcement does not decode.
///
/// # Security
///
/// Constant time. The caller must refuse an announcement that it has seen before.
pub fn blind(
    key: &PublicKey,
    commitment: PendingCommitment,
    announcement: &Announcement,
    blinding: Blinding,
    root: &Digest,
) -> Result<(PendingCoin, Challenge), Malformed> {
    let (announced, nu) = Announced::decode(&commitment, announcement)?;
    let blinded = announced.blind(key, &blinding, root);
    let [_, t2, _, t4, _] = &blinding.t;
    let challenge = Challenge(blinded.epsilon - t2 - t4);
    let (r, identity) = commitment.secrets();
    let gamma = &blinding.gamma;
    let secret = SecretVector([gamma * r, gamma * identity, gamma * nu, -gamma]);
    Ok((PendingCoin { key: *key, blinding, secret, challenge, announced, blinded }, challenge))
}

impl PendingCoin {
    /// Checks the bank's answer and unblinds it: *ρ* = *r* + *t*₁, *ω* = *c* + *t*₂, *ρ*₁ = *γs*₁ + *t*₃,
    /// *ρ*₂ = *γs*₂ + *t*₅, *ω'* = *d* + *t*₄, *μ* = *τ* − *ω'γ*.
    ///
    /// # Errors
    ///
    /// [`Rejection::Malformed`] for scalars that are not canonical, [`Rejection::Response`] if *c* + *d* ≠ *e* or
    /// *A* ≠ *rG* + *cY*, [`Rejection::Opening`] if *B*₁ or *B*₂ is not opened. The resulting signature is verified
    /// besides ([`Rejection::Signature`]): nothing unverified ever leaves.
    pub fn finish(self, answer: &Answer) -> Result<(Signature, SecretVector), Rejection> {
        let answer = [answer.r, answer.c, answer.s1, answer.s2, answer.d];
        let mut scalars = [Scalar::ZERO; 5];
        for (to, from) in scalars.iter_mut().zip(answer) {
            *to = from.decode()?;
        }
        let [r, c, s1, s2, d] = &scalars;
        if c + d != self.challenge.0 {
            return Err(Rejection::Response);
        }
        self.announced.check(&self.key, &scalars)?;
        let Blinding { gamma, tau, t: [t1, t2, t3, t4, t5] } = &self.blinding;
        let omega_prime = d + t4;
        let unblinded = Zeroizing::new([
            r + t1,
            c + t2,
            gamma * s1 + t3,
            gamma * s2 + t5,
            omega_prime,
            tau - omega_prime * gamma,
        ]);
        let Blinded { zeta, zeta1, encoded, message, .. } = &self.blinded;
        Unspent { points: [zeta, zeta1], encoded: encoded.each_ref(), scalars: &unblinded }
            .check(&self.key, message)?;
        let [zeta, zeta1] = *encoded;
        let [rho, omega, rho1, rho2, omega_prime, mu] = unblinded.each_ref().map(Into::into);
        Ok((Signature { zeta, zeta1, rho, omega, rho1, rho2, omega_prime, mu }, self.secret))
    }

    /// The challenge that this waits to be answered.
    #[must_use]
    pub fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// *m*, the name of the coin to come.
    #[must_use]
    pub fn message(&self) -> &Digest {
        &self.blinded.message
    }
}

/// A signature that nobody has seen yet: until it is spent it is a secret that names its session.
struct Unspent<'a> {
    /// *ζ*, *ζ*₁.
    points: [&'a RistrettoPoint; 2],
    encoded: [&'a EncodedPoint; 2],
    /// *ρ*, *ω*, *ρ*₁, *ρ*₂, *ω'*, *μ*.
    scalars: &'a [Scalar; 6],
}

impl Unspent<'_> {
    /// The verification equation in constant time.
    fn check(&self, key: &PublicKey, message: &Digest) -> Result<(), Rejection> {
        let Self { points: [zeta, zeta1], encoded: [encoded_zeta, encoded_zeta1], scalars } = self;
        let halved = Zeroizing::new(scalars.each_ref().map(Scalar::div_by_2));
        let [rho, omega, rho1, rho2, prime, mu] = &*halved;
        let halves = [
            multiply_g(rho) + omega * key.point(),
            multiply_g(rho1) + prime * *zeta1,
            multiply_h(rho2) + prime * (*zeta - *zeta1),
            RistrettoPoint::multiscalar_mul([mu, prime], [key.z(), *zeta]),
        ];
        let [alpha, beta1, beta2, eta] = &encode_doubles(halves);
        let epsilon = challenge_scalar([encoded_zeta, encoded_zeta1, alpha, beta1, beta2, eta], message);
        let [_, omega, _, _, prime, _] = scalars;
        if bool::from((omega + prime).ct_eq(&epsilon)) { Ok(()) } else { Err(Rejection::Signature) }
    }
}

/// [`verify`](super::verify) for the holder of a coin that is not spent yet, in constant time.
pub(crate) fn verify_unspent(
    key: &PublicKey,
    root: &Digest,
    signature: &Signature,
) -> Result<Digest, Rejection> {
    let (zeta, zeta1) = (signature.zeta.decode_non_identity()?, signature.zeta1.decode()?);
    let Signature { rho, omega, rho1, rho2, omega_prime, mu, .. } = signature;
    let mut scalars = Zeroizing::new([Scalar::ZERO; 6]);
    for (to, from) in scalars.iter_mut().zip([rho, omega, rho1, rho2, omega_prime, mu]) {
        *to = from.decode()?;
    }
    let message = coin_message(key, root, &signature.zeta, &signature.zeta1);
    let encoded = [&signature.zeta, &signature.zeta1];
    Unspent { points: [&zeta, &zeta1], encoded, scalars: &scalars }.check(key, &message)?;
    Ok(message)
}

impl fmt::Debug for PendingCoin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCoin").field("challenge", &self.challenge.encoded()).finish_non_exhaustive()
    }
}

impl Drop for Blinded {
    fn drop(&mut self) {
        self.zeta.zeroize();
        self.zeta1.zeroize();
        self.encoded.iter_mut().for_each(|encoded| encoded.0.zeroize());
        self.message.0.zeroize();
        self.epsilon.zeroize();
    }
}

impl ZeroizeOnDrop for PendingCoin {}
