//! What a wallet draws: coin keys, blinding factors and request ids, all derived from its seed.
//!
//! Everything drawn in a session depends on **all the bank said** (bank, denomination, session, index and
//! commitments), so a retry repeats bytes and no two sessions, keys or commitments ever share a coin key or a
//! blinding factor.
//!
//! # Security
//! Deriving the blinding factors makes blindness computational (SHA-512 as a pseudo-random function of the
//! seed) where truly random factors would make it perfect. It is the price of restoring a wallet from words.

use feiqian_crypto::snowblind::{Blinding, Commitment, PublicKey};
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, Scalar};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

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

/// Who calls: the request ids of account sessions and of anonymous sessions are counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallerKind {
    /// With the account holder's client certificate.
    Account,
    /// Without any certificate.
    Anonymous,
}

impl CallerKind {
    /// As it is hashed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Anonymous => "anonymous",
        }
    }
}

/// Where in an issuance a coin stands: all that the bank said before the wallet draws.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The issuing bank's name.
    pub bank: &'a str,
    /// The denomination's id.
    pub denomination: &'a Digest,
    /// The session the bank named.
    pub session: &'a Digest,
    /// The coin's index in the session.
    pub index: u64,
    /// The bank's commitment for this coin.
    pub commitment: &'a Commitment,
}

impl Seed {
    /// From the 64 bytes of a BIP 39 seed.
    pub fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// `k = Hs("online-cash/coin-key"; seed, bank, denomination id, session, i, A, B)`.
    pub fn coin_key(&self, place: &Place<'_>) -> Scalar {
        Transcript::new("online-cash/coin-key")
            .bytes(&self.0)
            .text(place.bank)
            .digest(place.denomination)
            .digest(place.session)
            .integer(place.index)
            .point(&place.commitment.a)
            .point(&place.commitment.b)
            .into_scalar()
    }

    /// *α, β, r* of one blinding, `Hs("snowblind/blinding/…"; seed, session, i, X, m, A, B)`.
    pub fn blinding(&self, place: &Place<'_>, key: &PublicKey, message: &Digest) -> Blinding {
        Blinding::derive(&self.0, place.session.as_bytes(), place.index, key, message, place.commitment)
    }

    /// The request id of a session's `begin`:
    /// `D("wallet/request"; seed key, generation, bank, kind of caller, epoch, counter)` with
    /// `seed key = T("wallet/seed-key"; seed)`.
    pub fn request_id(
        &self,
        generation: &[u8; 16],
        bank: &str,
        caller: CallerKind,
        epoch: u64,
        counter: u64,
    ) -> Digest {
        let mut seed_key = Transcript::new("wallet/seed-key").bytes(&self.0).into_wide();
        let id = Transcript::new("wallet/request")
            .bytes(&seed_key)
            .bytes(generation)
            .text(bank)
            .text(caller.as_str())
            .integer(epoch)
            .integer(counter)
            .into_digest();
        seed_key.zeroize();
        id
    }

    /// The seed of the TLS key of this number that the wallet shows to its bank, 32 bytes:
    /// `D("wallet/transport-key"; seed, bank, number)`.
    ///
    /// Drawn from the words, so that they open the account again where everything else is lost.
    pub fn transport_key(&self, bank: &str, number: u32) -> Zeroizing<[u8; 32]> {
        let transcript = Transcript::new("wallet/transport-key").bytes(&self.0);
        Zeroizing::new(transcript.text(bank).integer(number.into()).into_digest().0)
    }

    /// The key that a wallet seals the secrets in its store with, 32 bytes: `D("wallet/store-key"; seed)`.
    pub fn store_key(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(Transcript::new("wallet/store-key").bytes(&self.0).into_digest().0)
    }

    /// A payee key of a person, one for each request:
    /// `Hs("online-cash/payee-key"; seed, generation, counter)`.
    pub fn payee_key(&self, generation: &[u8; 16], counter: u64) -> Scalar {
        Transcript::new("online-cash/payee-key")
            .bytes(&self.0)
            .bytes(generation)
            .integer(counter)
            .into_scalar()
    }
}
