//! What nobody should build on: kept to be attacked.
//!
//! * [`textbook`]: blind Schnorr signatures as the textbooks have them, forgeable with concurrent sessions;
//! * [`ros`]: the attack that forges them, which gains nothing against [`snowblind`](crate::snowblind) and
//!   [`acl`](crate::acl);
//! * [`recover_key`]: why a nonce must not answer twice.
//!
//! The feature also opens constructors from explicit scalars ([`SecretNonces::from_scalars`],
//! [`Blinding::from_scalars`], [`prove_possession`], their likes in [`acl`](crate::acl) and
//! [`share_tree`](crate::share_tree)) for test vectors with their randomness.
//!
//! [`SecretNonces::from_scalars`]: crate::snowblind::SecretNonces::from_scalars
//! [`Blinding::from_scalars`]: crate::snowblind::Blinding::from_scalars

pub mod ros;
pub mod textbook;

use curve25519_dalek::Scalar;

use crate::encoded::{Digest, EncodedPoint};
use crate::error::{Malformed, Misuse};
use crate::possession::{self, Proof};
use crate::snowblind::{Challenge, Response};

/// [`possession::prove`] with the 32 random bytes given.
///
/// # Errors
///
/// As [`possession::prove`].
pub fn prove_possession(
    keys: &[Scalar],
    publics: &[EncodedPoint],
    statement: &Digest,
    hedge: &[u8; 32],
) -> Result<Proof, Misuse> {
    possession::prove_with_hedge(keys, publics, statement, hedge)
}

/// The bank's key out of two Snowblind answers made with one nonce: *x* = (*z*₁ − *z*₂)/(*c*₁ − *c*₂). Zero if the
/// challenges are equal, which tells nothing.
///
/// # Errors
///
/// [`Malformed::Scalar`] if an answer does not decode.
pub fn recover_key(
    first: (&Challenge, &Response),
    second: (&Challenge, &Response),
) -> Result<Scalar, Malformed> {
    let answers = first.1.z.decode()? - second.1.z.decode()?;
    let challenges = first.0.scalar() - second.0.scalar();
    Ok(answers * challenges.invert())
}
