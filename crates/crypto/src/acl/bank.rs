//! The bank's side: moves 1 and 3.

use core::fmt;

use curve25519_dalek::Scalar;
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Announcement, Answer, Challenge, ProvenCommitment, PublicKey, SecretKey, encode_doubles};
use crate::generators::{multiply_g, multiply_h};
use crate::scalar::random;

/// The secrets (*u*, *s*₁, *s*₂, *d*) behind one [`Announcement`], good for one answer.
///
/// # Security
///
/// Two answers from one (*u*, *d*) give the key away: *x* = (*r*₁ − *r*₂)/(*c*₂ − *c*₁). So they live in memory only,
/// cannot be copied or serialised, and the answer consumes them:
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::acl::*;
/// fn answer_twice(secrets: SecretAnswers, key: &SecretKey, first: &Challenge, second: &Challenge) {
///     secrets.respond(key, first);
///     secrets.respond(key, second);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::acl::*;
/// fn keep_a_copy(secrets: &SecretAnswers) -> SecretAnswers {
///     SecretAnswers::clone(secrets)
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::acl::*;
/// fn must_serialize<T: serde::Serialize>() {}
/// must_serialize::<SecretAnswers>();
/// ```
pub struct SecretAnswers {
    u: Scalar,
    s1: Scalar,
    s2: Scalar,
    d: Scalar,
}

impl SecretAnswers {
    fn announce(&self, key: &PublicKey, commitment: &ProvenCommitment, nu: Scalar) -> Announcement {
        let z1 = commitment.point() + multiply_g(&nu);
        let z2 = key.z() - z1;
        let [u, s1, s2, d] = [&self.u, &self.s1, &self.s2, &self.d].map(Scalar::div_by_2);
        let halves = [multiply_g(&u), multiply_g(&s1) + d * z1, multiply_h(&s2) + d * z2];
        let [a, b1, b2] = encode_doubles(halves);
        [u, s1, s2, d].zeroize();
        Announcement { nu: nu.into(), a, b1, b2 }
    }

    /// Secrets of known scalars (*u*, *s*₁, *s*₂, *d*) and their announcement with a known *ν*, for test vectors.
    ///
    /// # Security
    ///
    /// Whoever knows the scalars and the answer knows the key; with a *ν* that repeats, the key signs more coins than
    /// it has sessions.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn from_scalars(
        key: &PublicKey,
        commitment: &ProvenCommitment,
        nu: Scalar,
        [u, s1, s2, d]: [Scalar; 4],
    ) -> (Self, Announcement) {
        let secrets = Self { u, s1, s2, d };
        let announcement = secrets.announce(key, commitment, nu);
        (secrets, announcement)
    }

    /// Move 3: *c* = *e* − *d*, *r* = *u* − *cx*. The secrets end here.
    ///
    /// Scalar work only, under a microsecond.
    #[must_use]
    pub fn respond(self, key: &SecretKey, challenge: &Challenge) -> Answer {
        let c = challenge.scalar() - self.d;
        let r = self.u - c * key.secret();
        Answer {
            r: (&r).into(),
            c: (&c).into(),
            s1: (&self.s1).into(),
            s2: (&self.s2).into(),
            d: (&self.d).into(),
        }
    }
}

impl fmt::Debug for SecretAnswers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretAnswers").finish_non_exhaustive()
    }
}

impl Drop for SecretAnswers {
    fn drop(&mut self) {
        self.u.zeroize();
        self.s1.zeroize();
        self.s2.zeroize();
        self.d.zeroize();
    }
}

impl ZeroizeOnDrop for SecretAnswers {}

/// Move 1: a fresh *ν* and fresh secrets for a commitment whose opening was proven. Returns what stays and what travels.
///
/// # Security
///
/// The commitment is public; constant time in everything the bank keeps.
pub fn announce(
    key: &PublicKey,
    commitment: &ProvenCommitment,
    rng: &mut impl CryptoRng,
) -> (SecretAnswers, Announcement) {
    let nu = random(rng);
    let secrets = SecretAnswers { u: random(rng), s1: random(rng), s2: random(rng), d: random(rng) };
    let announcement = secrets.announce(key, commitment, nu);
    (secrets, announcement)
}
