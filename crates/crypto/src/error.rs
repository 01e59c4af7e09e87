//! Errors, kept apart by who is at fault: the bytes, the peer, or the caller.

use thiserror::Error;

/// Bytes that are not what they claim to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Malformed {
    /// 32 bytes that are not the canonical encoding of a ristretto255 element.
    #[error("not a canonical ristretto255 point")]
    Point,
    /// The identity where a rule asks for another element.
    #[error("the identity is not allowed here")]
    Identity,
    /// 32 bytes that are not an integer below the group order.
    #[error("not a canonical scalar")]
    Scalar,
    /// Zero where a rule asks for another scalar.
    #[error("zero is not allowed here")]
    Zero,
    /// Text that is not hexadecimal of the right length.
    #[error("expected {expected} bytes in hexadecimal")]
    Hex {
        /// Length in bytes that the type has.
        expected: usize,
    },
    /// A byte string of another length.
    #[error("expected {expected} bytes, got {got}")]
    Length {
        /// Length in bytes that the type has.
        expected: usize,
        /// Length in bytes that was given.
        got: usize,
    },
}

/// The peer sent well-formed or malformed values that break a rule of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A value of the peer does not decode.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The signer answered with *y* = 0.
    #[error("the signer's y is zero")]
    ZeroNonce,
    /// The signer's answer does not open its commitment: *B* ≠ *bG* + *yH*.
    #[error("the signer's answer does not open its commitment")]
    Opening,
    /// The signer's answer does not fit the challenge: *zG* ≠ *A* + (*c* + *y*⁵)*X*.
    #[error("the signer's answer does not fit the challenge")]
    Response,
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// The proof of possession does not verify.
    #[error("the proof of possession does not verify")]
    Possession,
}

/// Our own caller broke a rule of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Misuse {
    /// A proof over no keys proves nothing.
    #[error("no keys given")]
    NoKeys,
    /// As many public keys as secret keys are needed.
    #[error("{secrets} secret keys but {publics} public keys")]
    Count {
        /// Secret keys given.
        secrets: usize,
        /// Public keys given.
        publics: usize,
    },
    /// A public key is not the one of the secret key at the same place.
    #[error("public key {index} does not belong to the secret key")]
    KeyMismatch {
        /// Place of the first such key.
        index: usize,
    },
    /// A secret that must not be zero is zero.
    #[error("a secret scalar is zero")]
    ZeroSecret,
}
