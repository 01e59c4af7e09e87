//! Secrets in the store, sealed under a key of the seed: who reads the store alone can spend nothing.
//!
//! ```text
//! seed ── D("wallet/store-key"; seed) ──▶ store key ── XChaCha20-Poly1305 ──▶ a secret in its row
//! ```
//!
//! | where | what |
//! |---|---|
//! | `coin.secret`, `restore_coin.secret` | *k* of a coin |
//! | `offline_coin.secret` | tree and signature of an offline coin or blank |
//! | `offline_offer.dice`, `offline_expect.dice` | what a one-time value of a hand-over is drawn from |
//!
//! All others are drawn from the seed when they are used: blinding factors, payees' keys, the secrets of an offline
//! withdrawal that is under way. Those here would need all that the bank said in their session, and for an offline coin its
//! whole tree again. The seed itself is in a key file, under the owner's passphrase where there is one.
//!
//! A sealed secret is `nonce (24 bytes) ‖ ciphertext ‖ tag (16 bytes)`, bound to the name of its row's thing: put into another
//! row it does not open. It stays sealed while rows are listed, and is opened only where it signs.
//!
//! # Security
//! The nonce is drawn from key, place and secret, so one nonce never serves two texts, whatever is made of the store (a copy put
//! back, a process killed, a simulated world that runs again); what it tells is whether one place holds the same secret
//! as before, which it always does.

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{Key, XChaCha20Poly1305, XNonce};
use feiqian_crypto::{Digest, Transcript};
use feiqian_ledger::store::{Row, StoreError, Table, Tx, Value};
use feiqian_online_cash::coin::CoinId;
use feiqian_online_cash::seed::Seed;
use zeroize::Zeroizing;

use crate::failure::{Failure, Result};
use crate::offline::tables::{OFFLINE_COIN, OFFLINE_EXPECT, OFFLINE_OFFER};
use crate::record::select;
use crate::restore::tables::RESTORE_COIN;
use crate::tables::COIN;

/// Bytes of an XChaCha20 nonce.
const NONCE: usize = 24;
/// Bytes that sealing adds: the nonce, and Poly1305's tag.
const ADDED: usize = NONCE + 16;

/// Whose secret it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A coin's; the same in both tables that can hold the coin.
    Coin(&'a CoinId),
    /// Of the offline coin or blank *m*.
    OfflineCoin(&'a Digest),
    /// Of an own offer with this digest.
    Offer(&'a Digest),
    /// Of the answer to this commitment to an offer.
    Expect(&'a Digest),
}

impl Place<'_> {
    /// What a secret there is bound to: a label that ends with its only zero byte, and a name of fixed length.
    fn binding(self) -> Vec<u8> {
        match self {
            Self::Coin(id) => {
                let key = id.key.to_bytes();
                [b"feiqian/wallet-row/coin/1\0".as_slice(), id.denomination.as_bytes(), &key].concat()
            }
            Self::OfflineCoin(message) => {
                [b"feiqian/wallet-row/offline-coin/1\0".as_slice(), message.as_bytes()].concat()
            }
            Self::Offer(offer) => [b"feiqian/wallet-row/offer/1\0".as_slice(), offer.as_bytes()].concat(),
            Self::Expect(commitment) => {
                [b"feiqian/wallet-row/expect/1\0".as_slice(), commitment.as_bytes()].concat()
            }
        }
    }

    /// Bytes of a secret there that is not sealed.
    const fn length(self) -> usize {
        match self {
            Self::OfflineCoin(_) => feiqian_crypto::share_tree::SecretTree::STORED_LENGTH,
            Self::Coin(_) | Self::Offer(_) | Self::Expect(_) => 32,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::Coin(id) => format!("coin {}", id.key),
            Self::OfflineCoin(message) => format!("offline coin {message}"),
            Self::Offer(offer) => format!("offer {offer}"),
            Self::Expect(commitment) => format!("commitment {commitment}"),
        }
    }
}

/// A sealed secret, as it stands in its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed(Vec<u8>);

impl Sealed {
    pub(crate) fn of(row: &Row, index: usize) -> Result<Self, StoreError> {
        Ok(Self(row.blob(index)?.to_vec()))
    }

    pub(crate) fn value(&self) -> Value {
        self.0.clone().into()
    }

    /// Whether it has the length of one that belongs there.
    pub(crate) fn fits(&self, place: Place<'_>) -> bool {
        self.0.len().checked_sub(ADDED) == Some(place.length())
    }
}

/// The key that the secrets of a wallet's store are sealed with.
///
/// # Security
/// With the store it is worth all that the wallet holds. Redacted in `Debug`, wiped when dropped.
pub struct StoreKey(Zeroizing<[u8; 32]>);

impl std::fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreKey(redacted)")
    }
}

impl StoreKey {
    /// The key of a seed: every wallet made from the same words has the same.
    #[must_use]
    pub fn of(seed: &Seed) -> Self {
        Self(seed.store_key())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(&Key::from(*self.0))
    }

    pub(crate) fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Sealed> {
        let aad = place.binding();
        let drawn =
            Transcript::new("wallet/store-nonce").bytes(&*self.0).bytes(&aad).bytes(secret).into_digest();
        let (nonce, _) = drawn.0.split_first_chunk::<NONCE>().ok_or_else(|| Failure::broken("a nonce"))?;
        let sealed = self
            .cipher()
            .encrypt(&XNonce::from(*nonce), Payload { msg: secret, aad: &aad })
            .map_err(|_| Failure::broken("a secret cannot be sealed"))?;
        Ok(Sealed([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what a column holds for `place`.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it was changed, belongs to another row, or was sealed by a wallet of other words.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let broken = || {
            let shown = place.shown();
            StoreError::Corrupt(format!(
                "the sealed secret of {shown} was changed, or is that of another row"
            ))
        };
        let (nonce, body) = sealed.split_first_chunk::<NONCE>().ok_or_else(broken)?;
        let aad = place.binding();
        let opened = self.cipher().decrypt(&XNonce::from(*nonce), Payload { msg: body, aad: &aad });
        let opened = Zeroizing::new(opened.map_err(|_| broken())?);
        if opened.len() == place.length() { Ok(opened) } else { Err(broken()) }
    }

    pub(crate) fn open_array<const N: usize>(
        &self,
        place: Place<'_>,
        sealed: &Sealed,
    ) -> Result<Zeroizing<[u8; N]>> {
        let opened = self.open(place, &sealed.0)?;
        let mut secret = Zeroizing::new([0; N]);
        if opened.len() != N {
            return Err(Failure::broken("a secret of another length"));
        }
        secret.copy_from_slice(&opened);
        Ok(secret)
    }
}

/// Seals every secret of a store that an older program wrote.
pub(crate) fn seal_all(tx: &mut dyn Tx, key: &StoreKey) -> Result<()> {
    for table in [&COIN, &RESTORE_COIN] {
        seal_column(tx, key, (table, 2), |row, seal| {
            let key = feiqian_crypto::EncodedPoint(row.array(1)?);
            seal(Place::Coin(&CoinId { denomination: row.digest(0)?, key }))
        })?;
    }
    seal_column(tx, key, (&OFFLINE_COIN, 7), |row, seal| seal(Place::OfflineCoin(&row.digest(0)?)))?;
    seal_column(tx, key, (&OFFLINE_OFFER, 3), |row, seal| seal(Place::Offer(&row.digest(0)?)))?;
    seal_column(tx, key, (&OFFLINE_EXPECT, 1), |row, seal| seal(Place::Expect(&row.digest(0)?)))
}

/// Seals a row's secret in its place.
type Seal<'a> = &'a dyn Fn(Place<'_>) -> Result<Sealed>;

fn seal_column(
    tx: &mut dyn Tx,
    key: &StoreKey,
    (table, column): (&'static Table, usize),
    seal: impl Fn(&Row, Seal<'_>) -> Result<Sealed>,
) -> Result<()> {
    for mut row in select(tx, table, &format!("ORDER BY {}", table.key_list()), &[])? {
        if row.is_null(column) {
            continue;
        }
        let plain = Zeroizing::new(row.blob(column)?.to_vec());
        let sealed = seal(&row, &|place| {
            if plain.len() != place.length() {
                return Err(StoreError::Corrupt(format!("{}: a secret of another length", table.name)).into());
            }
            key.seal(place, &plain)
        })?;
        if let Some(value) = row.0.get_mut(column) {
            *value = sealed.value();
        }
        tx.update(table, &row.0)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use feiqian_crypto::EncodedPoint;

    use super::*;

    fn key(fill: u8) -> StoreKey {
        StoreKey::of(&Seed::from_bytes([fill; 64]))
    }

    fn coin(fill: u8) -> CoinId {
        CoinId { denomination: Digest([7; 32]), key: EncodedPoint([fill; 32]) }
    }

    #[test]
    fn a_secret_opens_in_its_own_row_and_unchanged_only() {
        let (key, secret) = (key(1), [9_u8; 32]);
        let Sealed(sealed) = key.seal(Place::Coin(&coin(2)), &secret).unwrap();
        assert_eq!(sealed.len(), 72);
        assert!(!sealed.windows(8).any(|part| part == [9; 8]));
        assert_eq!(key.open(Place::Coin(&coin(2)), &sealed).unwrap().as_slice(), secret);
        let offer = Digest([2; 32]);
        for other in [Place::Coin(&coin(3)), Place::Offer(&offer), Place::Expect(&offer)] {
            key.open(other, &sealed).unwrap_err();
        }
        super::StoreKey::of(&Seed::from_bytes([3; 64])).open(Place::Coin(&coin(2)), &sealed).unwrap_err();
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            if let Some(byte) = changed.get_mut(place) {
                *byte ^= 1;
            }
            key.open(Place::Coin(&coin(2)), &changed).unwrap_err();
        }
        for length in 0..sealed.len() {
            key.open(Place::Coin(&coin(2)), sealed.get(..length).unwrap()).unwrap_err();
        }
    }

    #[test]
    fn two_texts_never_share_a_nonce() {
        let (key, digest) = (key(1), Digest([2; 32]));
        let sealed = [
            key.seal(Place::Coin(&coin(2)), &[9; 32]).unwrap(),
            key.seal(Place::Coin(&coin(2)), &[8; 32]).unwrap(),
            key.seal(Place::Coin(&coin(3)), &[9; 32]).unwrap(),
            key.seal(Place::Offer(&digest), &[9; 32]).unwrap(),
            key.seal(Place::Expect(&digest), &[9; 32]).unwrap(),
            super::StoreKey::of(&Seed::from_bytes([4; 64])).seal(Place::Expect(&digest), &[9; 32]).unwrap(),
        ];
        let nonces: std::collections::BTreeSet<_> =
            sealed.iter().map(|sealed| sealed.0.get(..NONCE).unwrap()).collect();
        assert_eq!(nonces.len(), sealed.len());
        assert_eq!(sealed.first(), key.seal(Place::Coin(&coin(2)), &[9; 32]).ok().as_ref(), "it repeats");
    }
}
