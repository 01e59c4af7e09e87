//! The coin: a key pair whose public key the bank has blind-signed.

use feiqian_crypto::snowblind::Signature;
use feiqian_crypto::transcript::Transcript;
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, RistrettoPoint, Scalar};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Rejection;
use crate::keyset::VerifiedKey;

/// The message a denomination key signs for a coin: `D("online-cash/coin"; K)`.
pub fn message(key: &EncodedPoint) -> Digest {
    Transcript::new("online-cash/coin").point(key).into_digest()
}

/// *K = kG*, encoded (constant time in *k*).
pub fn public_key(secret: &Scalar) -> EncodedPoint {
    EncodedPoint::from(&RistrettoPoint::mul_base(secret))
}

/// What names a coin in the spent register: (denomination id, *K*). 64 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoinId {
    /// The denomination's id.
    pub denomination: Digest,
    /// *K*.
    pub key: EncodedPoint,
}

/// A coin in its owner's hands.
///
/// # Security
/// Holds the secret key; not serialisable by accident: a store writes [`Coin::secret_bytes`].
pub struct Coin {
    /// Its name at the bank.
    pub id: CoinId,
    /// The blind signature under the denomination's key: 96 bytes.
    pub signature: Signature,
    secret: Zeroizing<Scalar>,
}

impl std::fmt::Debug for Coin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coin").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Coin {
    /// From its parts, checking that the signature verifies and the key belongs to the secret.
    ///
    /// # Errors
    /// [`Rejection::SignatureInvalid`] or [`Rejection::Malformed`].
    pub fn new(denomination: &VerifiedKey, secret: Scalar, signature: Signature) -> Result<Self, Rejection> {
        let coin = Self::trusted(denomination.id, secret, signature);
        if secret == Scalar::ZERO {
            return Err(Rejection::Malformed("coin key is zero"));
        }
        feiqian_crypto::snowblind::verify(&denomination.public, &message(&coin.id.key), &coin.signature)
            .map_err(|_| Rejection::SignatureInvalid("coin"))?;
        Ok(coin)
    }

    pub(crate) fn trusted(denomination: Digest, secret: Scalar, signature: Signature) -> Self {
        let key = public_key(&secret);
        Self { id: CoinId { denomination, key }, signature, secret: Zeroizing::new(secret) }
    }

    /// With the key of `secret` in `id`, as the wallet computed it when it asked for the coin.
    pub(crate) fn issued(id: CoinId, secret: Zeroizing<Scalar>, signature: Signature) -> Self {
        Self { id, signature, secret }
    }

    /// Reads a coin back from its owner's own store, where it was written after [`Coin::new`].
    ///
    /// # Errors
    /// [`Rejection::Malformed`] when the secret is not a canonical scalar.
    pub fn from_store(
        denomination: Digest,
        secret: &[u8; 32],
        signature: Signature,
    ) -> Result<Self, Rejection> {
        let secret =
            EncodedScalar::from(*secret).decode().map_err(|_| Rejection::Malformed("coin secret"))?;
        Ok(Self::trusted(denomination, secret, signature))
    }

    /// The secret key's 32 bytes, for the owner's store and nothing else.
    pub fn secret_bytes(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.secret.to_bytes())
    }

    pub(crate) fn secret(&self) -> &Scalar {
        &self.secret
    }
}
