//! What a wallet draws offline coins from: everything but the nonces of proofs is derived from its seed and from all
//! that the bank said, so a retry repeats bytes and the words rebuild every coin from the bank's stored answers.
//!
//! | what | derivation |
//! |---|---|
//! | *L1* | `Hs("offline-cash/identity-secret"; seed, bank, account)` |
//! | a document-signing key | `D("offline-cash/document-key"; seed, account, number)`, an Ed25519 seed |
//! | *R* | `Hs("acl/commitment/R"; seed, bank, account, session, i, Y)` |
//! | the tree's seed | `D("share-tree/seed"; seed, bank, account, session, i, Y, C, ν, A, B1, B2)` |
//! | *γ, τ, t*₁…*t*₅ | `Hs("acl/blinding/…"; seed, bank, account, session, i, Y, C, ν, A, B1, B2)` |
//!
//! # Security
//! Deriving makes blindness computational (SHA-512 as a pseudo-random function of the seed). *R* follows from the
//! session alone, so a wallet refuses a session that it has seen; the tree and the blinding follow from the
//! announcement too, so a bank that answers one session twice learns nothing.

use feiqian_crypto::acl::{Announcement, Blinding};
use feiqian_crypto::acl::{CommitmentSecret, IdentitySecret, PendingCommitment, PublicKey, Slot};
use feiqian_crypto::share_tree::TreeSeed;
use feiqian_crypto::{EncodedScalar, Transcript};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::Rejection;

/// A wallet's seed: the 64 bytes that BIP 39 derives from its words.
///
/// # Security
/// Not `Clone`, not serialisable; zeroized on drop; its `Debug` shows nothing.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Seed([u8; 64]);

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(redacted)")
    }
}

impl Seed {
    /// From the 64 bytes of a BIP 39 seed.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// *L1* of an account: `Hs("offline-cash/identity-secret"; seed, bank, account)`.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] if it is zero, which has probability 2⁻²⁵².
    pub fn identity(&self, bank: &str, account: &str) -> Result<IdentitySecret, Rejection> {
        let transcript = Transcript::new("offline-cash/identity-secret").bytes(&self.0);
        let mut secret = EncodedScalar::from(transcript.text(bank).text(account).into_scalar());
        let identity = IdentitySecret::from_bytes(&secret.0);
        secret.0.zeroize();
        identity.map_err(|_| Rejection::Malformed("identity secret"))
    }

    /// The seed of an account's document-signing key of this number, 32 bytes:
    /// `D("offline-cash/document-key"; seed, account, number)`.
    ///
    /// An identity's record names the key that signs its withdrawals and claims for ever. Drawn from the seed it outlives a
    /// renewed certificate and a lost store.
    #[must_use]
    pub fn document_key(&self, account: &str, number: u32) -> Zeroizing<[u8; 32]> {
        let transcript = Transcript::new("offline-cash/document-key").bytes(&self.0);
        Zeroizing::new(transcript.text(account).integer(number.into()).into_digest().0)
    }

    pub(crate) fn commitment(&self, slot: &Slot<'_>, key: &PublicKey) -> CommitmentSecret {
        CommitmentSecret::derive(&self.0, slot, key)
    }

    pub(crate) fn tree(
        &self,
        slot: &Slot<'_>,
        key: &PublicKey,
        commitment: &PendingCommitment,
        announcement: &Announcement,
    ) -> TreeSeed {
        TreeSeed::derive(&self.0, slot, key, commitment, announcement)
    }

    pub(crate) fn blinding(
        &self,
        slot: &Slot<'_>,
        key: &PublicKey,
        commitment: &PendingCommitment,
        announcement: &Announcement,
    ) -> Blinding {
        Blinding::derive(&self.0, slot, key, commitment, announcement)
    }
}
