//! What a wallet that has nothing but its words asks of the banks: certificates, generations, the state of coins.
//!
//! ```text
//! wallet                                              bank
//!   CertificateRecovery {transport key, signature} ──▶  the account's newest keys and their certificates
//!   GenerationsRequest {add}                       ──▶  the generations that the account's wallets have used
//!   RecoverRequest {request id}    (crate::issue)  ──▶  the answers of a session
//!   CoinStateRequest {coin, possession}            ──▶  what the coin has given, refunds of its payments
//! ```
//!
//! The request ids of sessions are drawn from the words and a *generation* ([`crate::seed::Seed::request_id`]). A wallet
//! made by enrolment uses [`FIRST_GENERATION`]; one made from words draws a fresh number, and tells it to its bank before
//! it uses it, so that the words find those sessions too. It says nothing: ids are hashed with a key of the words.

use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, Id16, Scalar};
use feiqian_money::Minor;
use feiqian_pki::KeyPair;
use feiqian_wire::{Bounded, Text};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

use crate::coin::CoinId;
use crate::signed::{DocumentSignature, WireChain};
use crate::{MAX_COINS, Rejection};

/// The generation of a wallet that was made by enrolment and not from words.
pub const FIRST_GENERATION: [u8; 16] = [0; 16];

/// Most generations of one account: as often can its wallet be made from words.
pub const MAX_GENERATIONS: usize = 64;

/// Most refunds in one answer; once they are taken the next are shown.
pub const MAX_REFUNDS: usize = 16;

/// Asks for the certificates of an account by a TLS key that was enrolled for it, the newest or an earlier one.
///
/// The answer holds nothing that a certificate does not show to everybody; the signature keeps it from those who have
/// only seen a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateRecovery {
    /// The raw Ed25519 key.
    pub transport: Digest,
    /// By that key over `D("wallet/certificate-recovery"; bank, key)`.
    pub signature: DocumentSignature,
}

fn recovery_statement(bank: &str, transport: &Digest) -> Digest {
    Transcript::new("wallet/certificate-recovery").text(bank).digest(transport).into_digest()
}

impl CertificateRecovery {
    /// Signs the question.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] never in practice.
    pub fn sign(bank: &str, key: &KeyPair) -> Result<Self, Rejection> {
        let transport = Digest(key.public_key());
        let signature = DocumentSignature::sign(key, &recovery_statement(bank, &transport))?;
        Ok(Self { transport, signature })
    }

    /// Checks it, at `bank`.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`].
    pub fn verify(&self, bank: &str) -> Result<(), Rejection> {
        let statement = recovery_statement(bank, &self.transport);
        self.signature.verify(&self.transport.0, &statement, "certificate recovery")
    }
}

/// The newest keys of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecoveredCertificates {
    /// The account's token.
    pub account: Text<64>,
    /// The newest TLS key.
    pub transport_key: Digest,
    /// The newest document-signing key.
    pub signing_key: Digest,
    /// TLS chain of that key; none when it is revoked or has ended.
    pub transport: Option<WireChain>,
    /// Document-signing chain of that key; none when it is revoked or has ended.
    pub signing: Option<WireChain>,
}

/// Asks for the generations of the caller's account, and adds one; adding a known one changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GenerationsRequest {
    /// To be added.
    pub add: Option<Id16>,
}

/// All generations but [`FIRST_GENERATION`], the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generations {
    /// At most [`MAX_GENERATIONS`].
    pub known: Bounded<Id16, MAX_GENERATIONS>,
}

/// Asks what a coin has given: by its holder, about one coin, anonymously.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoinStateRequest {
    /// The coin.
    pub coin: CoinId,
    /// With the coin's key over `D("online-cash/coin-state"; bank, denomination, K)`.
    pub possession: Proof,
}

fn state_statement(bank: &str, coin: &CoinId) -> Digest {
    Transcript::new("online-cash/coin-state")
        .text(bank)
        .digest(&coin.denomination)
        .point(&coin.key)
        .into_digest()
}

impl CoinStateRequest {
    /// Proves possession of the coin with this secret key.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] when the secret is not the coin's.
    pub fn prove(
        bank: &str,
        coin: CoinId,
        secret: &Scalar,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, Rejection> {
        let statement = state_statement(bank, &coin);
        let possession = possession::prove(&[*secret], &[coin.key], &statement, rng)
            .map_err(|_| Rejection::Malformed("coin secret"))?;
        Ok(Self { coin, possession })
    }

    /// Checks the proof, at `bank`.
    ///
    /// # Errors
    /// [`Rejection::PossessionInvalid`].
    pub fn verify(&self, bank: &str) -> Result<(), Rejection> {
        let statement = state_statement(bank, &self.coin);
        possession::verify(&[self.coin.key], &statement, &self.possession)
            .map_err(|_| Rejection::PossessionInvalid)
    }
}

/// What a coin has given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoinState {
    /// Minor units, at most the coin's value.
    pub spent: Minor,
    /// Refunds of payments with this coin that nobody has taken yet.
    pub refunds: Bounded<OpenRefund, MAX_REFUNDS>,
}

/// A refund that waits to be taken with all coins of its payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRefund {
    /// The payment.
    pub payment: Digest,
    /// What is left to be taken.
    pub amount: Minor,
    /// The payment's coins in its own order.
    pub coins: Bounded<CoinId, MAX_COINS>,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use feiqian_crypto::EncodedPoint;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha12Rng;

    use super::*;
    use crate::coin::public_key;

    #[test]
    fn only_the_key_itself_asks_for_its_certificates() {
        let mut rng = ChaCha12Rng::seed_from_u64(1);
        let (key, other) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let asked = CertificateRecovery::sign("north", &key).unwrap();
        assert_eq!(asked.verify("north"), Ok(()));
        assert!(asked.verify("south").is_err());
        let stolen = CertificateRecovery { transport: Digest(other.public_key()), ..asked };
        assert!(stolen.verify("north").is_err());
    }

    #[test]
    fn only_its_holder_asks_about_a_coin() {
        let mut rng = ChaCha12Rng::seed_from_u64(2);
        let secret = Scalar::from(77_u64);
        let coin = CoinId { denomination: Digest([1; 32]), key: public_key(&secret) };
        let asked = CoinStateRequest::prove("north", coin, &secret, &mut rng).unwrap();
        assert_eq!(asked.verify("north"), Ok(()));
        assert!(asked.verify("south").is_err());
        let elsewhere = CoinId { denomination: Digest([2; 32]), ..coin };
        assert!(CoinStateRequest { coin: elsewhere, ..asked.clone() }.verify("north").is_err());
        let other = CoinId { key: public_key(&Scalar::from(78_u64)), ..coin };
        assert!(CoinStateRequest { coin: other, ..asked.clone() }.verify("north").is_err());
        let identity = CoinId { key: EncodedPoint([0; 32]), ..coin };
        assert!(CoinStateRequest { coin: identity, ..asked }.verify("north").is_err());
        assert!(CoinStateRequest::prove("north", other, &secret, &mut rng).is_err());
    }
}
