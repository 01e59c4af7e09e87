//! Why a certificate, request or list was refused.

/// A failure, sorted by whose it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The bytes are not what they claim to be.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The bytes are well formed, but the peer broke a rule.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// Our own caller asked for something that this part never does.
    #[error("misuse: {0}")]
    Misuse(&'static str),
}

impl PkiError {
    /// Whether nothing was decided, only because a revocation list is missing or has ended: that passes when one arrives.
    #[must_use]
    pub fn lacks_list(&self) -> bool {
        matches!(self, Self::Rejected(Rejection::RevocationUnknown | Rejection::RevocationListNotCurrent))
    }
}

/// The rule that a certificate, chain, request, list or signature broke.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// A certificate of the chain begins to be valid only later.
    #[error("a certificate is not yet valid: it begins at {not_before}, now is {now} (Unix seconds)")]
    NotYetValid {
        /// Start of validity, Unix seconds.
        not_before: u64,
        /// The time judged at, Unix seconds.
        now: u64,
    },
    /// A certificate of the chain has ended.
    #[error("a certificate has expired: it ended at {not_after}, now is {now} (Unix seconds)")]
    Expired {
        /// End of validity, Unix seconds.
        not_after: u64,
        /// The time judged at, Unix seconds.
        now: u64,
    },
    /// The chain carries a root that is not the trusted one.
    #[error("the chain ends in another root than the trusted one")]
    WrongRoot,
    /// No certificate of the chain leads to the trusted root.
    #[error("the chain does not lead to the trusted root")]
    UnknownIssuer,
    /// A certificate's or request's signature does not verify under its issuer's key.
    #[error("a certificate signature does not verify")]
    CertificateSignature,
    /// An authority certificate stands where an end entity belongs, or the reverse.
    #[error("an authority certificate is used as end entity, or an end entity as authority")]
    AuthorityConfused,
    /// A bank authority certified another authority.
    #[error("the path is longer than an authority of it allows")]
    PathTooLong,
    /// The chain does not have the shape its role needs (center: under the root; others: under their bank).
    #[error("the chain does not have the shape of its role: {0}")]
    Shape(&'static str),
    /// The extended key usage does not allow the purpose asked for.
    #[error("the certificate is not for this purpose")]
    WrongPurpose,
    /// The key usage is missing, not critical, or not exactly what the purpose needs.
    #[error("the key usage does not fit")]
    KeyUsage,
    /// An algorithm other than Ed25519, or a critical extension we do not know.
    #[error("unsupported: {0}")]
    Unsupported(&'static str),
    /// The subject is not one of this infrastructure.
    #[error("the subject is not valid: {0}")]
    Subject(&'static str),
    /// A bank authority certified somebody of another bank.
    #[error("the authority of bank {issuer:?} may not issue for bank {bank:?}")]
    ForeignBank {
        /// The bank whose authority signed.
        issuer: String,
        /// The bank the subject names.
        bank: String,
    },
    /// A key is not a point of full order.
    #[error("the public key is weak")]
    WeakKey,
    /// A certificate of the chain was revoked by its issuer.
    #[error("a certificate of the chain is revoked")]
    Revoked,
    /// No revocation list of an issuer of the chain is at hand.
    #[error("no revocation list of an issuer is at hand")]
    RevocationUnknown,
    /// The revocation list is past its `nextUpdate`, or dated in the future.
    #[error("the revocation list is not current")]
    RevocationListNotCurrent,
    /// The revocation list was not signed by the issuer it names.
    #[error("the revocation list is not signed by its issuer")]
    RevocationListSignature,
    /// The certificate request is not signed by the key it asks to have certified.
    #[error("the certificate request does not prove possession of its key")]
    Possession,
    /// A document signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// webpki refused for a reason that none of the above names.
    #[error("the chain is not valid: {0}")]
    Chain(String),
}
