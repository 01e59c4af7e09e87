//! *ACL*, the blind signature with attributes of the offline coin: Baldimtsi and Lysyanskaya, "Anonymous Credentials
//! Light" (CCS 2013); secure with any number of concurrent sessions by Kastner, Loss and Renawi (CCS 2023). The
//! attributes are the opening of *C*, which only two overlapping spends of the coin bring to light.
//!
//! | step | who | computes | sends |
//! |---|---|---|---|
//! | key | bank | *x*, *Y* = *xG*, *Z* = HG("acl/Z"; *Y*) | |
//! | [`IdentitySecret::commit`] | wallet | *R* fresh; *C* = *R*·H0 + *L1*·H1 and a proof that *C* opens to the secret of *I* | *C*, [`OpeningProof`], 32 + 96 B |
//! | 1 [`announce`] | bank | *ν*, *u*, *s*₁, *s*₂, *d*; *Z*₁ = *C* + *νG*, *Z*₂ = *Z* − *Z*₁; *A* = *uG*, *B*₁ = *s*₁*G* + *dZ*₁, *B*₂ = *s*₂*H* + *dZ*₂ | [`Announcement`], 128 B |
//! | 2 [`blind`] | wallet | *γ* ≠ 0, *τ*, *t*₁…*t*₅; *ζ* = *γZ*, *ζ*₁ = *γZ*₁, *m*, *ε*; *e* = *ε* − *t*₂ − *t*₄ | [`Challenge`], 32 B |
//! | 3 [`SecretAnswers::respond`] | bank | *c* = *e* − *d*, *r* = *u* − *cx*, then destroys its secrets | [`Answer`], 160 B |
//! | [`PendingCoin::finish`] | wallet | checks the answer; unblinds it; keeps ***k*** = (*γR*, *γL1*, *γν*, −*γ*) | |
//! | [`verify`] | anyone | *ζ* ≠ O and *ω* + *ω'* = Hs(*ζ*, *ζ*₁, *ρG* + *ωY*, *ρ*₁*G* + *ω'ζ*₁, *ρ*₂*H* + *ω'*(*ζ* − *ζ*₁), *μZ* + *ω'ζ*, *m*) | [`Signature`], 256 B |
//!
//! The message is `m = D("offline-cash/coin"; Y, depth, root, ζ, ζ1)` with the root digest of the coin's share tree, and
//! nothing else can be signed or verified here: without (*ζ*, *ζ*₁) in it two colluding customers could put one tree
//! under two signatures, and a double spend would name nobody; without the depth a coin could be divided into more than
//! it is worth.
//!
//! # Security
//!
//! Blind under DDH (computationally, unlike Snowblind). The bank's fresh *ν* of every session is what keeps the attack
//! of `hazmat::ros` away: with a constant one it forges.

#[cfg(feature = "testing")]
pub mod arbitrary;
mod bank;
mod identity;
mod key;
mod wallet;

pub use bank::{SecretAnswers, announce};
pub use identity::{
    CommitmentSecret, Identity, IdentityProof, IdentitySecret, OpeningProof, PendingCommitment,
    ProvenCommitment, verify_opening,
};
pub use key::{Depth, PublicKey, SecretKey};
pub(crate) use wallet::verify_unspent;
pub use wallet::{Blinding, PendingCoin, SecretVector, blind};

use curve25519_dalek::traits::VartimeMultiscalarMul;
use curve25519_dalek::{RistrettoPoint, Scalar};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::encoded::{Digest, EncodedPoint, EncodedScalar};
use crate::error::{Malformed, Rejection};
use crate::generators;
use crate::transcript::Transcript;

/// The place of one coin in all withdrawals of a bank: whose it is, in which session and where in it. The bytes are those
/// that enter transcripts: names as UTF-8, identifiers as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot<'a> {
    /// The bank's name.
    pub bank: &'a [u8],
    /// The customer's account.
    pub account: &'a [u8],
    /// The session of the withdrawal, named by the bank; a wallet refuses one that it has seen before.
    pub session: &'a [u8],
    /// *i*, the coin's place in the session, from 0.
    pub index: u64,
}

impl Slot<'_> {
    /// Adds bank, account, session and index, in this order.
    pub(crate) fn write(&self, transcript: Transcript) -> Transcript {
        transcript.bytes(self.bank).bytes(self.account).bytes(self.session).integer(self.index)
    }

    /// The context of the opening proof: `D("offline-cash/opening"; bank, account, session, i, Y)`.
    #[must_use]
    pub fn opening_context(&self, key: &PublicKey) -> Digest {
        self.write(Transcript::new("offline-cash/opening")).point(key.encoded()).into_digest()
    }
}

/// Move 1, bank to wallet: *ν*, *A*, *B*₁, *B*₂, 128 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Announcement {
    /// *ν*, which sets the session's *Z*₁ = *C* + *νG* apart.
    pub nu: EncodedScalar,
    /// *A* = *uG*.
    pub a: EncodedPoint,
    /// *B*₁ = *s*₁*G* + *dZ*₁.
    pub b1: EncodedPoint,
    /// *B*₂ = *s*₂*H* + *dZ*₂.
    pub b2: EncodedPoint,
}

impl Announcement {
    /// Adds *ν*, *A*, *B*₁, *B*₂.
    pub(crate) fn write(&self, transcript: Transcript) -> Transcript {
        transcript.encoded_scalar(&self.nu).point(&self.a).point(&self.b1).point(&self.b2)
    }
}

/// Move 2, wallet to bank: *e*, 32 bytes; canonical by construction, so that the bank's answer cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge(Scalar);

impl Challenge {
    /// The bytes, as they travel and enter a transcript.
    #[must_use]
    pub fn encoded(&self) -> EncodedScalar {
        EncodedScalar::from(&self.0)
    }

    /// A challenge of any scalar: what an attacker may send.
    #[cfg(feature = "hazmat")]
    #[must_use]
    pub fn from_scalar(scalar: Scalar) -> Self {
        Self(scalar)
    }

    /// *e*.
    #[must_use]
    pub fn scalar(&self) -> &Scalar {
        &self.0
    }
}

impl TryFrom<EncodedScalar> for Challenge {
    type Error = Malformed;

    fn try_from(encoded: EncodedScalar) -> Result<Self, Malformed> {
        encoded.decode().map(Self)
    }
}

impl Serialize for Challenge {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.encoded().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Challenge {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let encoded = EncodedScalar::deserialize(deserializer)?;
        Self::try_from(encoded).map_err(serde::de::Error::custom)
    }
}

/// Move 3, bank to wallet: *r*, *c*, *s*₁, *s*₂, *d*, 160 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// *r* = *u* − *cx*.
    pub r: EncodedScalar,
    /// *c* = *e* − *d*.
    pub c: EncodedScalar,
    /// *s*₁.
    pub s1: EncodedScalar,
    /// *s*₂.
    pub s2: EncodedScalar,
    /// *d*.
    pub d: EncodedScalar,
}

/// A signature (*ζ*, *ζ*₁, *ρ*, *ω*, *ρ*₁, *ρ*₂, *ω'*, *μ*), 256 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// *ζ* = *γZ*, not the identity.
    pub zeta: EncodedPoint,
    /// *ζ*₁ = *γZ*₁, the blinded commitment to the identity.
    pub zeta1: EncodedPoint,
    /// *ρ*.
    pub rho: EncodedScalar,
    /// *ω*.
    pub omega: EncodedScalar,
    /// *ρ*₁.
    pub rho1: EncodedScalar,
    /// *ρ*₂.
    pub rho2: EncodedScalar,
    /// *ω'*.
    pub omega_prime: EncodedScalar,
    /// *μ*.
    pub mu: EncodedScalar,
}

impl Signature {
    /// Length in bytes: 256.
    pub const LENGTH: usize = 256;

    /// *ζ* ‖ *ζ*₁ ‖ *ρ* ‖ *ω* ‖ *ρ*₁ ‖ *ρ*₂ ‖ *ω'* ‖ *μ*.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let scalars = [&self.rho, &self.omega, &self.rho1, &self.rho2, &self.omega_prime, &self.mu];
        let points = self.zeta.0.iter().chain(&self.zeta1.0);
        let mut bytes = [0; Self::LENGTH];
        let parts = points.chain(scalars.into_iter().flat_map(|scalar| scalar.0.iter()));
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; whether the parts decode is found out by [`verify`].
    ///
    /// # Errors
    ///
    /// [`Malformed::Length`] unless there are exactly 256 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        let (parts, rest) = bytes.as_chunks::<32>();
        match (parts, rest) {
            ([zeta, zeta1, rho, omega, rho1, rho2, omega_prime, mu], []) => Ok(Self {
                zeta: EncodedPoint(*zeta),
                zeta1: EncodedPoint(*zeta1),
                rho: EncodedScalar(*rho),
                omega: EncodedScalar(*omega),
                rho1: EncodedScalar(*rho1),
                rho2: EncodedScalar(*rho2),
                omega_prime: EncodedScalar(*omega_prime),
                mu: EncodedScalar(*mu),
            }),
            _ => Err(Malformed::Length { expected: Self::LENGTH, got: bytes.len() }),
        }
    }
}

/// *m* = `D("offline-cash/coin"; Y, depth, root, ζ, ζ1)`, the name of a coin: it binds the share tree, its depth and the
/// blinded commitment.
#[must_use]
pub fn coin_message(key: &PublicKey, root: &Digest, zeta: &EncodedPoint, zeta1: &EncodedPoint) -> Digest {
    let transcript = Transcript::new("offline-cash/coin").point(key.encoded()).integer(key.depth().into());
    transcript.digest(root).point(zeta).point(zeta1).into_digest()
}

/// *ε* = `Hs("acl/challenge"; ζ, ζ1, α, β1, β2, η, m)`; `points` are *ζ*, *ζ*₁, *α*, *β*₁, *β*₂, *η*.
pub(crate) fn challenge_scalar(points: [&EncodedPoint; 6], message: &Digest) -> Scalar {
    let transcript = points.into_iter().fold(Transcript::new("acl/challenge"), Transcript::point);
    transcript.digest(message).into_scalar()
}

/// Checks that `signature` stands under `key` for the coin with the share tree of this root digest, and returns *m*.
///
/// # Errors
///
/// [`Rejection::Malformed`] for points or scalars that are not canonical or *ζ* = O, [`Rejection::Signature`] if the
/// equation does not hold.
///
/// # Security
///
/// Variable time: key, root and signature are public once a coin is shown.
pub fn verify(key: &PublicKey, root: &Digest, signature: &Signature) -> Result<Digest, Rejection> {
    let message = coin_message(key, root, &signature.zeta, &signature.zeta1);
    verify_message(key, &message, signature).map(|()| message)
}

/// Checks the blinding factor that a claim on a lost coin reveals against the bank's own record of the withdrawal:
/// *γ* ≠ 0, *ζ* = *γZ* and *ζ*₁ = *γ*(*C* + *νG*). A false *γ* would claim a coin that never existed.
///
/// # Errors
///
/// [`Rejection::Malformed`] for values that are not canonical or *γ* = 0, [`Rejection::Blinding`] if an equation does not
/// hold.
///
/// # Security
///
/// Variable time: a claim gives up the secrecy of *γ*.
pub fn verify_blinding(
    key: &PublicKey,
    signature: &Signature,
    gamma: &EncodedScalar,
    commitment: &EncodedPoint,
    nu: &EncodedScalar,
) -> Result<(), Rejection> {
    let gamma = gamma.decode_non_zero()?;
    let (commitment, nu) = (commitment.decode()?, nu.decode()?);
    let zeta = gamma * key.z();
    let zeta1 = generators::vartime_sum(&(gamma * nu), &Scalar::ZERO, [(&gamma, &commitment)]);
    let blinded = [zeta, zeta1].map(EncodedPoint::from) == [signature.zeta, signature.zeta1];
    if blinded { Ok(()) } else { Err(Rejection::Blinding) }
}

/// [`verify`] for any message.
pub(crate) fn verify_message(
    key: &PublicKey,
    message: &Digest,
    signature: &Signature,
) -> Result<(), Rejection> {
    let zeta = signature.zeta.decode_non_identity()?;
    let zeta1 = signature.zeta1.decode()?;
    let (omega, omega_prime) = (signature.omega.decode()?, signature.omega_prime.decode()?);
    // Halved, so that the four points can be encoded with one field inversion.
    let half = |scalar: &EncodedScalar| scalar.decode().map(|scalar| scalar.div_by_2());
    let (half_omega, half_prime) = (omega.div_by_2(), omega_prime.div_by_2());
    let alpha = generators::vartime_sum(&half(&signature.rho)?, &Scalar::ZERO, [(&half_omega, key.point())]);
    let beta1 = generators::vartime_sum(&half(&signature.rho1)?, &Scalar::ZERO, [(&half_prime, &zeta1)]);
    let zeta2 = zeta - zeta1;
    let beta2 = generators::vartime_sum(&Scalar::ZERO, &half(&signature.rho2)?, [(&half_prime, &zeta2)]);
    let eta = RistrettoPoint::vartime_multiscalar_mul([half(&signature.mu)?, half_prime], [*key.z(), zeta]);
    let [alpha, beta1, beta2, eta] = encode_doubles([alpha, beta1, beta2, eta]);
    let points = [&signature.zeta, &signature.zeta1, &alpha, &beta1, &beta2, &eta];
    if omega + omega_prime == challenge_scalar(points, message) { Ok(()) } else { Err(Rejection::Signature) }
}

/// The encodings of the doubles of some points.
pub(crate) fn encode_doubles<const N: usize>(halves: [RistrettoPoint; N]) -> [EncodedPoint; N] {
    let encoded = RistrettoPoint::double_and_compress_batch(&halves);
    let mut result = [EncodedPoint([0; 32]); N];
    result.iter_mut().zip(encoded).for_each(|(to, from)| *to = EncodedPoint(from.to_bytes()));
    result
}
