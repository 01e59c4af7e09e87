//! Drop boxes: sealed messages that wait at a bank for a wallet that is not listening.
//!
//! A box belongs to a payee key *P*. Anybody may put into it; collecting and deleting need the key. A message is
//! sealed to *P* (ephemeral Diffie–Hellman over ristretto255, ChaCha20-Poly1305, RFC 8439), so the bank that
//! keeps it learns its size and nothing else.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::scalar::random_non_zero;
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, EncodedPoint, RistrettoPoint, Scalar};
use feiqian_wire::{Blob, Bounded, Timestamp};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::Rejection;
use crate::coin::public_key;

/// The largest sealed message, bytes.
pub const MAX_SEALED: usize = 96 * 1024;
/// Bytes that sealing adds to a message's ciphertext.
const TAG: usize = 16;
/// The most messages one box keeps.
pub const MAX_MESSAGES: usize = 8;

/// A message that only the holder of a payee key can read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// *E = eG*.
    pub ephemeral: EncodedPoint,
    /// ChaCha20-Poly1305 under `T("drop-box/key"; E, P, eP)[..32]`, zero nonce (the key is used once),
    /// associated data `P`.
    pub ciphertext: Blob<MAX_SEALED>,
}

/// *eP* = *pE*, encoded.
#[expect(clippy::arithmetic_side_effects, reason = "points of a prime-order group do not overflow")]
fn shared_secret(point: &RistrettoPoint, secret: &Scalar) -> [u8; 32] {
    EncodedPoint::from(&(point * secret)).0
}

/// *eP* is the only secret of the key, so it comes as bytes that the caller wipes.
fn cipher(ephemeral: &EncodedPoint, payee: &EncodedPoint, shared: &[u8; 32]) -> ChaCha20Poly1305 {
    let mut wide = Transcript::new("drop-box/key").point(ephemeral).point(payee).bytes(shared).into_wide();
    let mut key = Zeroizing::new([0; 32]);
    key.iter_mut().zip(wide.iter()).for_each(|(to, from)| *to = *from);
    wide.zeroize();
    ChaCha20Poly1305::new(&Key::from(*key))
}

impl Sealed {
    /// Seals `message` to a payee key.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] when the key does not decode or the message is too long.
    pub fn seal<R: CryptoRng>(payee: &EncodedPoint, message: &[u8], rng: &mut R) -> Result<Self, Rejection> {
        let point = payee.decode_non_identity().map_err(|_| Rejection::Malformed("payee key"))?;
        let secret = Zeroizing::new(random_non_zero(rng));
        let ephemeral = public_key(&secret);
        if message.len() > MAX_SEALED.saturating_sub(TAG) {
            return Err(Rejection::Malformed("message too long"));
        }
        let shared = Zeroizing::new(shared_secret(&point, &secret));
        let payload = Payload { msg: message, aad: payee.as_bytes() };
        let ciphertext = cipher(&ephemeral, payee, &shared)
            .encrypt(&Nonce::default(), payload)
            .map_err(|_| Rejection::Malformed("message too long"))?;
        let ciphertext = Blob::new(ciphertext).map_err(|_| Rejection::Malformed("message too long"))?;
        Ok(Self { ephemeral, ciphertext })
    }

    /// Opens a message with the payee key's secret.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] when it was not sealed to this key or was changed.
    pub fn open(&self, secret: &Scalar) -> Result<Vec<u8>, Rejection> {
        let point =
            self.ephemeral.decode_non_identity().map_err(|_| Rejection::Malformed("sealed message"))?;
        let payee = public_key(secret);
        let shared = Zeroizing::new(shared_secret(&point, secret));
        let payload = Payload { msg: &self.ciphertext, aad: payee.as_bytes() };
        cipher(&self.ephemeral, &payee, &shared)
            .decrypt(&Nonce::default(), payload)
            .map_err(|_| Rejection::Malformed("sealed message"))
    }

    /// Names the message: `D("drop-box/message"; E, ciphertext)`.
    pub fn digest(&self) -> Digest {
        Transcript::new("drop-box/message").point(&self.ephemeral).bytes(&self.ciphertext).into_digest()
    }
}

/// Puts a message into the box of a payee key. Anonymous; a repeat is no second message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PutRequest {
    /// *P*.
    pub payee: EncodedPoint,
    /// The message.
    pub message: Sealed,
    /// Kept until then, within the bank's limit.
    pub keep_until: Timestamp,
}

/// Collects or deletes with the payee key. Anonymous.
///
/// The proof says nothing of time: whoever sees it may repeat it to the same bank, and learns sealed messages or
/// deletes one again. Only the bank sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxAccess {
    /// *P*.
    pub payee: EncodedPoint,
    /// What is to be done.
    pub action: BoxAction,
    /// With *P* over [`BoxAccess::statement`].
    pub possession: Proof,
}

/// What a box's owner asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BoxAction {
    /// Give me all messages.
    Collect,
    /// Delete this message.
    Delete(Digest),
}

impl BoxAccess {
    /// `D("drop-box/access"; bank, P, "collect" | "delete", message)`.
    pub fn statement(bank: &str, payee: &EncodedPoint, action: &BoxAction) -> Digest {
        let start = Transcript::new("drop-box/access").text(bank).point(payee);
        match action {
            BoxAction::Collect => start.text("collect"),
            BoxAction::Delete(message) => start.text("delete").digest(message),
        }
        .into_digest()
    }

    /// Signs an access.
    ///
    /// # Errors
    /// [`Rejection::Malformed`] never in practice: one key signs.
    pub fn sign<R: CryptoRng>(
        bank: &str,
        secret: &Scalar,
        action: BoxAction,
        rng: &mut R,
    ) -> Result<Self, Rejection> {
        let payee = public_key(secret);
        let statement = Self::statement(bank, &payee, &action);
        let possession = possession::prove(&[*secret], &[payee], &statement, rng)
            .map_err(|_| Rejection::Malformed("payee key"))?;
        Ok(Self { payee, action, possession })
    }

    /// Checks the proof.
    ///
    /// # Errors
    /// [`Rejection::PossessionInvalid`].
    pub fn verify(&self, bank: &str) -> Result<(), Rejection> {
        let statement = Self::statement(bank, &self.payee, &self.action);
        self.payee.decode_non_identity().map_err(|_| Rejection::Malformed("payee key"))?;
        possession::verify(&[self.payee], &statement, &self.possession)
            .map_err(|_| Rejection::PossessionInvalid)
    }
}

/// A box's messages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoxMessages {
    /// Oldest first.
    pub messages: Bounded<Sealed, MAX_MESSAGES>,
}
