//! Ed25519 keys: made from a passed generator, kept as PKCS#8.

use core::fmt;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::error::{PkiError, Rejection};

/// An Ed25519 key pair (RFC 8032).
///
/// # Security
///
/// The secret is wiped on drop, never printed, and not `Clone`: share it behind an `Arc`.
pub struct KeyPair {
    signing: SigningKey,
    public: [u8; 32],
}

impl KeyPair {
    /// A fresh key from 32 bytes of `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0_u8; 32]);
        rng.fill_bytes(seed.as_mut_slice());
        Self::from_seed(&seed)
    }

    /// The key of a 32-byte seed (RFC 8032's private key).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        let signing = SigningKey::from_bytes(seed);
        let public = signing.verifying_key().to_bytes();
        Self { signing, public }
    }

    /// Reads PKCS#8 DER, version 1 (without the public key) or 2 (with it, which must then match).
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] when the bytes are not an Ed25519 PKCS#8 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, PkiError> {
        let signing = SigningKey::from_pkcs8_der(der).map_err(|_| PkiError::Malformed("private key"))?;
        let public = signing.verifying_key().to_bytes();
        Ok(Self { signing, public })
    }

    /// Reads a `PRIVATE KEY` PEM document.
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] when the text is not an Ed25519 PKCS#8 key.
    pub fn from_pkcs8_pem(pem: &str) -> Result<Self, PkiError> {
        let signing = SigningKey::from_pkcs8_pem(pem).map_err(|_| PkiError::Malformed("private key"))?;
        let public = signing.verifying_key().to_bytes();
        Ok(Self { signing, public })
    }

    /// PKCS#8 DER, version 1: the form that OpenSSL and rustls both read. 48 bytes.
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] if the encoder fails, which no key makes it do.
    ///
    /// # Security
    ///
    /// The answer is the secret key; it is wiped on drop.
    pub fn to_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, PkiError> {
        let document = self.pkcs8().to_pkcs8_der().map_err(|_| PkiError::Malformed("private key"))?;
        Ok(document.to_bytes())
    }

    /// The same as a `PRIVATE KEY` PEM document.
    ///
    /// # Errors
    ///
    /// As [`KeyPair::to_pkcs8_der`].
    ///
    /// # Security
    ///
    /// The answer is the secret key; it is wiped on drop.
    pub fn to_pkcs8_pem(&self) -> Result<Zeroizing<String>, PkiError> {
        self.pkcs8().to_pkcs8_pem(LineEnding::LF).map_err(|_| PkiError::Malformed("private key"))
    }

    fn pkcs8(&self) -> KeypairBytes {
        // Without the public key: OpenSSL 3.0 cannot read the version-2 form that carries it.
        KeypairBytes { secret_key: self.signing.to_bytes(), public_key: None }
    }

    /// The public key, 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> [u8; 32] {
        self.public
    }

    /// Signs a message (pure Ed25519, deterministic). 64 bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.signing.sign(message).to_bytes()
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyPair").field("public", &hex::encode(self.public)).finish_non_exhaustive()
    }
}

impl rcgen::PublicKeyData for KeyPair {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for KeyPair {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(KeyPair::sign(self, message).to_vec())
    }
}

/// A bare Ed25519 public key, as the certificate encoder wants it.
pub(crate) struct RawPublicKey(pub(crate) [u8; 32]);

impl rcgen::PublicKeyData for RawPublicKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

/// Checks that 32 bytes are a public key of full order.
pub(crate) fn verifying_key(public_key: &[u8; 32]) -> Result<VerifyingKey, PkiError> {
    let key = VerifyingKey::from_bytes(public_key).map_err(|_| PkiError::Malformed("public key"))?;
    if key.is_weak() { Err(Rejection::WeakKey.into()) } else { Ok(key) }
}

/// Verifies an Ed25519 signature strictly (RFC 8032 without cofactor, canonical `S` and points, no small order).
///
/// `public_key`: 32 bytes; `signature`: 64 bytes.
///
/// # Errors
///
/// [`PkiError::Malformed`] or [`Rejection::WeakKey`] for a bad key; [`Rejection::Signature`] when it does not
/// verify.
pub fn verify_signature(public_key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> Result<(), PkiError> {
    verifying_key(public_key)?
        .verify_strict(message, &Signature::from_bytes(signature))
        .map_err(|_| Rejection::Signature.into())
}
