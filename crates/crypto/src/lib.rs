//! The cryptography of Feiqian over ristretto255: everything is a function of its arguments, nothing here reads a
//! clock, a file or the randomness of the operating system.
//!
//! | module | what it holds |
//! |---|---|
//! | [`encoded`] | 32-byte points, scalars and digests, 16-byte identifiers, as they travel and are stored |
//! | [`transcript`] | the one way to hash: `T`, `D`, `Hs`, `HG` |
//! | [`generators`] | `G`, `H`, `H0`, `H1` with nobody knowing a discrete logarithm between them |
//! | [`snowblind`] | the blind signature of the online coin (Crites, Komlo, Maller, Tessaro, Zhu, CRYPTO 2023) |
//! | [`possession`] | one 64-byte proof that many coin keys are held |
//! | [`acl`] | the blind signature with attributes of the offline coin (Baldimtsi, Lysyanskaya, CCS 2013) |
//! | [`share_tree`] | division of an offline coin, and the name of who spends a part twice |
//! | [`batch`] | many signatures and proofs checked by one multiscalar multiplication |
//! | `hazmat` | feature `hazmat`: explicit randomness, textbook blind Schnorr and the attack that breaks it |
//! | `vectors` | feature `vectors`: the builder of the published test vectors |
//!
//! # Notation
//!
//! *q* is the order of the group, `G` its standard generator. A scalar is an integer modulo *q*, 32 bytes
//! little-endian, canonical; a point is the canonical 32 bytes of RFC 9496. A secret scalar is 64 uniform bytes
//! reduced modulo *q* and never clamped: clamping would cost anonymity.
//!
//! # Security
//!
//! Operations on secrets run in constant time; only functions that say so (`verify`, `batch`) take variable time, and
//! they see public data only. One-time secrets are consumed by the step that uses them and zeroed when dropped.

pub mod acl;
pub mod batch;
pub mod encoded;
mod error;
pub mod generators;
#[cfg(feature = "hazmat")]
pub mod hazmat;
pub mod possession;
mod relation;
pub mod scalar;
pub mod share_tree;
pub mod snowblind;
pub mod transcript;
#[cfg(feature = "vectors")]
pub mod vectors;

pub use curve25519_dalek::{RistrettoPoint, Scalar};
pub use encoded::{Digest, EncodedPoint, EncodedScalar, Id16};
pub use error::{Malformed, Misuse, Rejection};
pub use transcript::Transcript;
