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
    /// A number that is not a node of any share tree: not from 1 to 127.
    #[error("not a node of a share tree")]
    Node,
    /// A number that is not the depth of a share tree: above 6.
    #[error("not the depth of a share tree")]
    Depth,
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
    /// The proof that a commitment opens to an identity, or that an identity is known, does not verify.
    #[error("the proof of the identity does not verify")]
    Identity,
    /// The node of a piece is deeper than the trees of its key.
    #[error("the node is deeper than the trees of its key")]
    NodeOutside,
    /// The parts of a piece are not those of its node: a leaf's for an inner node, an ancestor missing or too many.
    #[error("the parts of the piece are not those of its node")]
    PieceShape,
    /// A challenge asks for a share at 0, 1 or 2, or twice at one point.
    #[error("the challenge asks for shares at forbidden points")]
    ChallengePoints,
    /// A share does not open the commitments of its node.
    #[error("a share does not open its commitments")]
    Share,
    /// A blinding factor is not that between the coin and the withdrawal.
    #[error("the blinding factor is not that of the coin and its withdrawal")]
    Blinding,
    /// An opening is not that of the withdrawal it is held against.
    #[error("the opening is not that of the withdrawal")]
    Accusation,
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
    /// A challenge asks for a share at 0, 1 or 2, or twice at one point: answering would give the secret away.
    #[error("the challenge asks for shares at forbidden points")]
    ChallengePoints,
    /// The node is deeper than the tree.
    #[error("the node is deeper than the tree")]
    NodeOutside,
    /// Pieces of different coins have no secret in common.
    #[error("the pieces are of different coins")]
    DifferentCoins,
    /// Stored bytes of a coin that do not make a coin of this key.
    #[error("the stored coin does not verify under this key")]
    StoredCoin,
}
