//! The bank's side: moves 1 and 3.

use core::fmt;
use std::collections::VecDeque;

use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::key::SecretKey;
use super::{Challenge, Commitment, Response};
use crate::encoded::{EncodedPoint, EncodedScalar};
use crate::generators;
use crate::scalar::{fifth_power, random, random_non_zero};

/// The secret (*a*, *b*, *y*) behind one [`Commitment`], good for one answer.
///
/// # Security
///
/// Two answers from one (*a*, *b*, *y*) give the key away: *x* = (*z*₁ − *z*₂)/(*c*₁ − *c*₂). So it lives in memory
/// only, cannot be copied or serialised, and the answer consumes it:
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::snowblind::*;
/// fn answer_twice(nonces: SecretNonces, key: &SecretKey, first: &Challenge, second: &Challenge) {
///     nonces.respond(key, first);
///     nonces.respond(key, second);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::snowblind::*;
/// fn keep_a_copy(nonces: &SecretNonces) -> SecretNonces {
///     SecretNonces::clone(nonces)
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::snowblind::*;
/// fn must_serialize<T: serde::Serialize>() {}
/// must_serialize::<SecretNonces>();
/// ```
pub struct SecretNonces {
    a: Scalar,
    b: Scalar,
    y: Scalar,
}

impl SecretNonces {
    fn random(rng: &mut impl CryptoRng) -> Self {
        Self { a: random(rng), b: random(rng), y: random_non_zero(rng) }
    }

    /// *aG* and *bG* + *yH*, each scalar taken through `by` first.
    fn points(&self, by: impl Fn(&Scalar) -> Scalar) -> [RistrettoPoint; 2] {
        let (mut a, mut b, mut y) = (by(&self.a), by(&self.b), by(&self.y));
        let points = [generators::multiply_g(&a), generators::multiply_g(&b) + generators::multiply_h(&y)];
        a.zeroize();
        b.zeroize();
        y.zeroize();
        points
    }

    /// Nonces of known scalars and their commitment, for test vectors.
    ///
    /// # Errors
    ///
    /// [`Misuse::ZeroSecret`](crate::Misuse::ZeroSecret) if `y` is zero.
    ///
    /// # Security
    ///
    /// Whoever knows the scalars and the answer knows the key.
    #[cfg(feature = "hazmat")]
    pub fn from_scalars(a: Scalar, b: Scalar, y: Scalar) -> Result<(Self, Commitment), crate::Misuse> {
        if y == Scalar::ZERO {
            return Err(crate::Misuse::ZeroSecret);
        }
        let nonces = Self { a, b, y };
        let commitment = nonces.commitment();
        Ok((nonces, commitment))
    }

    fn commitment(&self) -> Commitment {
        let [a, b] = self.points(|scalar| *scalar);
        Commitment { a: EncodedPoint::from(&a), b: EncodedPoint::from(&b) }
    }

    /// Move 3: *z* = *a* + (*c* + *y*⁵)*x*. The nonces end here.
    ///
    /// Scalar work only, under a microsecond.
    #[must_use]
    pub fn respond(self, key: &SecretKey, challenge: &Challenge) -> Response {
        let z = self.a + (challenge.scalar() + fifth_power(&self.y)) * key.secret();
        Response {
            z: EncodedScalar::from(&z),
            b: EncodedScalar::from(&self.b),
            y: EncodedScalar::from(&self.y),
        }
    }
}

impl fmt::Debug for SecretNonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretNonces").finish_non_exhaustive()
    }
}

impl Drop for SecretNonces {
    fn drop(&mut self) {
        self.a.zeroize();
        self.b.zeroize();
        self.y.zeroize();
    }
}

impl ZeroizeOnDrop for SecretNonces {}

/// Move 1: fresh nonces and their commitment. Returns what stays and what travels.
pub fn commit(rng: &mut impl CryptoRng) -> (SecretNonces, Commitment) {
    let nonces = SecretNonces::random(rng);
    let commitment = nonces.commitment();
    (nonces, commitment)
}

/// Move 1 for `count` signatures. The same distribution as [`commit`], and from the same randomness the same values;
/// the points share one field inversion, which the batch gets by encoding the doubles of halved points.
pub fn commit_batch(count: usize, rng: &mut impl CryptoRng) -> Vec<(SecretNonces, Commitment)> {
    let nonces: Vec<_> = (0..count).map(|_| SecretNonces::random(rng)).collect();
    let halves: Vec<_> = nonces.iter().flat_map(|each| each.points(Scalar::div_by_2)).collect();
    let encoded = RistrettoPoint::double_and_compress_batch(&halves);
    let (pairs, _) = encoded.as_chunks();
    nonces
        .into_iter()
        .zip(pairs)
        .map(|(each, [a, b])| (each, Commitment { a: EncodedPoint(a.0), b: EncodedPoint(b.0) }))
        .collect()
}

/// A stock of commitments made ahead of need: they do not depend on the wallet, so a bank fills the pool when idle and
/// answers a `begin` without any group operation. Bounded, in memory only; dropping it destroys every nonce.
#[derive(Debug)]
pub struct CommitmentPool {
    ready: VecDeque<(SecretNonces, Commitment)>,
    capacity: usize,
}

impl CommitmentPool {
    /// An empty pool that holds at most `capacity` commitments, 160 bytes each. Memory is taken at once, so that the
    /// pool never moves and leaves no copies of nonces behind.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { ready: VecDeque::with_capacity(capacity), capacity }
    }

    /// Makes commitments until `up_to` are ready, or the capacity is reached. Returns how many were made.
    pub fn fill(&mut self, rng: &mut impl CryptoRng, up_to: usize) -> usize {
        let missing = up_to.min(self.capacity).saturating_sub(self.ready.len());
        self.ready.extend(commit_batch(missing, rng));
        missing
    }

    /// Puts in what [`commit_batch`] made elsewhere, up to the capacity; the rest is destroyed.
    pub fn put(&mut self, fresh: Vec<(SecretNonces, Commitment)>) {
        let room = self.capacity.saturating_sub(self.ready.len());
        self.ready.extend(fresh.into_iter().take(room));
    }

    /// Takes at most `count` commitments, oldest first: as many as are ready.
    pub fn take_ready(&mut self, count: usize) -> Vec<(SecretNonces, Commitment)> {
        self.ready.drain(..count.min(self.ready.len())).collect()
    }

    /// Takes `count` commitments, oldest first; what the pool lacks is made on the spot.
    pub fn take(&mut self, count: usize, rng: &mut impl CryptoRng) -> Vec<(SecretNonces, Commitment)> {
        let stocked = count.min(self.ready.len());
        let mut taken: Vec<_> = self.ready.drain(..stocked).collect();
        taken.extend(commit_batch(count.saturating_sub(stocked), rng));
        taken
    }

    /// How many commitments are ready.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether none is ready.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// How many commitments the pool holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }
}
