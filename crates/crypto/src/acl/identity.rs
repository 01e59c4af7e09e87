//! The customer's identity, and commitments to it.

use core::fmt;

use curve25519_dalek::traits::{IsIdentity, VartimeMultiscalarMul};
use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{PublicKey, Slot};
use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::error::{Malformed, Rejection};
use crate::transcript::Transcript;
use crate::{generators, scalar};

/// *L1*, what a customer is known by at its bank. Not `Clone`: one per customer, kept by the wallet; whoever has it
/// can withdraw in the customer's name.
pub struct IdentitySecret {
    secret: Scalar,
    public: Identity,
}

impl IdentitySecret {
    /// A fresh uniform identity, never zero.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self::new(scalar::random_non_zero(rng))
    }

    fn new(secret: Scalar) -> Self {
        let point = generators::multiply_h1(&secret);
        Self { secret, public: Identity { encoded: EncodedPoint::from(&point), point } }
    }

    /// Reads an identity back, from a store or out of a seed.
    ///
    /// # Errors
    ///
    /// [`Malformed::Scalar`] if the bytes are not a canonical scalar, [`Malformed::Zero`] if they are zero.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Malformed> {
        EncodedScalar(*bytes).decode_non_zero().map(Self::new)
    }

    /// The 32 bytes of *L1*; zeroed when dropped.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    /// *I* = *L1*·H1.
    #[must_use]
    pub fn public(&self) -> &Identity {
        &self.public
    }

    /// Commits to the identity for one coin: *C* = *R*·H0 + *L1*·H1.
    #[must_use]
    pub fn commit(&self, secret: CommitmentSecret) -> PendingCommitment {
        let point = generators::multiply_h0(&secret.r) + self.public.point;
        PendingCommitment {
            r: secret.r,
            identity_secret: self.secret,
            identity: self.public,
            encoded: EncodedPoint::from(&point),
            point,
        }
    }

    /// Proves that the secret of *I* is known, for registration: *c* = `Hs("acl/identity"; I, bH1, context)`,
    /// *v* = *b* + *cL1*. The nonce *b* is hedged as in [`PendingCommitment::prove`].
    pub fn prove(&self, context: &Digest, rng: &mut impl CryptoRng) -> IdentityProof {
        let hedge = hedge(rng);
        let nonce = Transcript::new("acl/identity/nonce").bytes(&*hedge).scalar(&self.secret).digest(context);
        let b = Zeroizing::new(nonce.into_scalar());
        let announced = EncodedPoint::from(generators::multiply_h1(&b));
        let c = identity_challenge(&self.public, &announced, context);
        IdentityProof { c: (&c).into(), v: (*b + c * self.secret).into() }
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentitySecret").field("public", &self.public).finish_non_exhaustive()
    }
}

impl Drop for IdentitySecret {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

impl ZeroizeOnDrop for IdentitySecret {}

/// *I* = *L1*·H1, the registered identity, never the identity element. Compared, shown and serialised by its bytes.
#[derive(Clone, Copy)]
pub struct Identity {
    encoded: EncodedPoint,
    point: RistrettoPoint,
}

impl Identity {
    /// Decodes an identity.
    ///
    /// # Errors
    ///
    /// [`Malformed::Point`] for a non-canonical encoding, [`Malformed::Identity`] for the identity element.
    pub fn from_encoded(encoded: EncodedPoint) -> Result<Self, Malformed> {
        Ok(Self { encoded, point: encoded.decode_non_identity()? })
    }

    /// The 32 bytes.
    #[must_use]
    pub fn encoded(&self) -> &EncodedPoint {
        &self.encoded
    }

    pub(crate) fn point(&self) -> &RistrettoPoint {
        &self.point
    }

    /// Checks a proof that the secret of this identity is known.
    ///
    /// # Errors
    ///
    /// [`Rejection::Malformed`] for scalars that are not canonical, [`Rejection::Identity`] if the proof does not hold.
    ///
    /// # Security
    ///
    /// Variable time: everything here is public.
    pub fn verify(&self, proof: &IdentityProof, context: &Digest) -> Result<(), Rejection> {
        let (c, v) = (proof.c.decode()?, proof.v.decode()?);
        let announced = RistrettoPoint::vartime_multiscalar_mul([v, -c], [generators::h1(), self.point]);
        let expected = identity_challenge(self, &announced.into(), context);
        if expected == c { Ok(()) } else { Err(Rejection::Identity) }
    }
}

fn identity_challenge(identity: &Identity, announced: &EncodedPoint, context: &Digest) -> Scalar {
    Transcript::new("acl/identity").point(&identity.encoded).point(announced).digest(context).into_scalar()
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl Eq for Identity {}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.encoded)
    }
}

impl Serialize for Identity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_encoded(EncodedPoint::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A proof (*c*, *v*) that the secret of an identity is known, 64 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityProof {
    /// *c*.
    pub c: EncodedScalar,
    /// *v*.
    pub v: EncodedScalar,
}

/// A proof (*c*, *u*, *v*) that *C* opens to the secret of *I*, 96 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpeningProof {
    /// *c* = `Hs("acl/opening"; I, C, aH0 + bH1, bH1, context)`.
    pub c: EncodedScalar,
    /// *u* = *a* + *cR*.
    pub u: EncodedScalar,
    /// *v* = *b* + *cL1*.
    pub v: EncodedScalar,
}

/// *R*, the randomness of one commitment.
///
/// # Security
///
/// *R* must be fresh for every coin: an accusation counts because nobody but the holder can know it. So committing
/// consumes it:
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::acl::*;
/// fn commit_twice(identity: &IdentitySecret, secret: CommitmentSecret) {
///     identity.commit(secret);
///     identity.commit(secret);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::acl::*;
/// fn keep_a_copy(secret: &CommitmentSecret) -> CommitmentSecret {
///     CommitmentSecret::clone(secret)
/// }
/// ```
pub struct CommitmentSecret {
    r: Scalar,
}

impl CommitmentSecret {
    /// Fresh randomness.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self { r: scalar::random(rng) }
    }

    /// Randomness that a wallet can make again from its seed:
    /// `Hs("acl/commitment/R"; seed, bank, account, session, i, Y)`.
    ///
    /// # Security
    ///
    /// The wallet refuses a session that it has seen before: under one slot and key, this is one *R*.
    #[must_use]
    pub fn derive(seed: &[u8], slot: &Slot<'_>, key: &PublicKey) -> Self {
        let secret = slot.write(Transcript::new("acl/commitment/R").bytes(seed));
        Self { r: secret.point(key.encoded()).into_scalar() }
    }

    /// Randomness of a known scalar, for test vectors.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn from_scalar(r: Scalar) -> Self {
        Self { r }
    }

    /// *R*, for test vectors.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn to_scalar(&self) -> Scalar {
        self.r
    }
}

impl fmt::Debug for CommitmentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommitmentSecret").finish_non_exhaustive()
    }
}

impl Drop for CommitmentSecret {
    fn drop(&mut self) {
        self.r.zeroize();
    }
}

impl ZeroizeOnDrop for CommitmentSecret {}

/// *C* = *R*·H0 + *L1*·H1 and what opens it; waits for the bank's announcement, which [`blind`](super::blind) consumes
/// it with.
///
/// ```compile_fail,E0382
/// # use feiqian_crypto::{Digest, acl::*};
/// fn two_coins(key: &PublicKey, commitment: PendingCommitment, announcement: &Announcement, root: &Digest, blindings: [Blinding; 2]) {
///     let [first, second] = blindings;
///     blind(key, commitment, announcement, first, root);
///     blind(key, commitment, announcement, second, root);
/// }
/// ```
///
/// ```compile_fail,E0277
/// # use feiqian_crypto::acl::*;
/// fn keep_a_copy(commitment: &PendingCommitment) -> PendingCommitment {
///     PendingCommitment::clone(commitment)
/// }
/// ```
pub struct PendingCommitment {
    r: Scalar,
    identity_secret: Scalar,
    identity: Identity,
    encoded: EncodedPoint,
    point: RistrettoPoint,
}

impl PendingCommitment {
    /// *C*.
    #[must_use]
    pub fn encoded(&self) -> &EncodedPoint {
        &self.encoded
    }

    pub(super) fn point(&self) -> &RistrettoPoint {
        &self.point
    }

    /// (*R*, *L1*).
    pub(super) fn secrets(&self) -> (&Scalar, &Scalar) {
        (&self.r, &self.identity_secret)
    }

    /// Proves that *C* opens to the secret of the identity. For a withdrawal the context is
    /// [`Slot::opening_context`]; a claim on a lost coin has its own.
    ///
    /// The nonces are hedged: `Hs("acl/opening/nonce"; 32 random bytes, R, L1, I, C, context, 0 | 1)`, so even a broken
    /// source of randomness does not use one nonce for two contexts.
    pub fn prove(&self, context: &Digest, rng: &mut impl CryptoRng) -> OpeningProof {
        let hedge = hedge(rng);
        self.prove_with_hedge(context, &hedge)
    }

    /// [`prove`](Self::prove) with the 32 random bytes given.
    pub(crate) fn prove_with_hedge(&self, context: &Digest, hedge: &[u8; 32]) -> OpeningProof {
        let nonce = |place| {
            let secret = Transcript::new("acl/opening/nonce").bytes(hedge).scalar(&self.r);
            let secret = secret.scalar(&self.identity_secret).point(&self.identity.encoded);
            Zeroizing::new(secret.point(&self.encoded).digest(context).integer(place).into_scalar())
        };
        self.prove_with_nonces(context, &nonce(0), &nonce(1))
    }

    fn prove_with_nonces(&self, context: &Digest, a: &Scalar, b: &Scalar) -> OpeningProof {
        let second = generators::multiply_h1(b);
        let first = generators::multiply_h0(a) + second;
        let announced = [first, second].map(EncodedPoint::from);
        let c = opening_challenge(&self.identity, &self.encoded, &announced, context);
        let (u, v) = (a + c * self.r, b + c * self.identity_secret);
        OpeningProof { c: (&c).into(), u: (&u).into(), v: (&v).into() }
    }
}

impl fmt::Debug for PendingCommitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingCommitment").field("commitment", &self.encoded).finish_non_exhaustive()
    }
}

impl Drop for PendingCommitment {
    fn drop(&mut self) {
        self.r.zeroize();
        self.identity_secret.zeroize();
    }
}

impl ZeroizeOnDrop for PendingCommitment {}

fn hedge(rng: &mut impl CryptoRng) -> Zeroizing<[u8; 32]> {
    let mut hedge = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *hedge);
    hedge
}

fn opening_challenge(
    identity: &Identity,
    commitment: &EncodedPoint,
    [first, second]: &[EncodedPoint; 2],
    context: &Digest,
) -> Scalar {
    let transcript = Transcript::new("acl/opening").point(&identity.encoded).point(commitment);
    transcript.point(first).point(second).digest(context).into_scalar()
}

/// *C* ≠ O of which it was shown that it opens to a registered identity: the only thing that a bank answers to.
#[derive(Clone, Copy, Debug)]
pub struct ProvenCommitment {
    encoded: EncodedPoint,
    point: RistrettoPoint,
}

impl ProvenCommitment {
    /// *C*.
    #[must_use]
    pub fn encoded(&self) -> &EncodedPoint {
        &self.encoded
    }

    pub(super) fn point(&self) -> &RistrettoPoint {
        &self.point
    }
}

/// Checks that *C* opens to the secret of `identity`: *c* = `Hs("acl/opening"; I, C, uH0 + vH1 − cC, vH1 − cI, context)`.
///
/// # Errors
///
/// [`Rejection::Malformed`] for values that are not canonical or *C* = O, [`Rejection::Identity`] if the proof does not
/// hold.
///
/// # Security
///
/// Variable time: everything here is public.
pub fn verify_opening(
    identity: &Identity,
    commitment: &EncodedPoint,
    proof: &OpeningProof,
    context: &Digest,
) -> Result<ProvenCommitment, Rejection> {
    let point = commitment.decode()?;
    if point.is_identity() {
        return Err(Malformed::Identity.into());
    }
    let (c, u, v) = (proof.c.decode()?, proof.u.decode()?, proof.v.decode()?);
    let bases = [generators::h0(), generators::h1(), point];
    let first = RistrettoPoint::vartime_multiscalar_mul([u, v, -c], bases);
    let second = RistrettoPoint::vartime_multiscalar_mul([v, -c], [generators::h1(), *identity.point()]);
    let announced = [first, second].map(EncodedPoint::from);
    if opening_challenge(identity, commitment, &announced, context) == c {
        Ok(ProvenCommitment { encoded: *commitment, point })
    } else {
        Err(Rejection::Identity)
    }
}
