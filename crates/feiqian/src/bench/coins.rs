//! Coins: the bank's part of a blind signature, and checking a coin's signature.

use std::hint::black_box;

use feiqian_crypto::batch::{self, Item};
use feiqian_crypto::scalar::random_non_zero;
use feiqian_crypto::snowblind::{self, Blinding, Challenge, PublicKey, SecretKey, Signature};
use feiqian_crypto::{Digest, EncodedScalar, Transcript};
use feiqian_node::{Entropy as _, SystemEntropy};
use feiqian_wire::error::{Code, Fault};

/// Coins to verify, all under one key.
pub(super) struct Coins {
    key: SecretKey,
    challenge: Challenge,
    signed: Vec<(Digest, Signature)>,
}

/// The bank's part of `batch` blind signatures: commit and respond.
fn sign(batch: usize, coins: &Coins, rng: &mut impl rand_core::CryptoRng) {
    let nonces = match batch {
        1 => vec![snowblind::commit(rng)],
        _ => snowblind::commit_batch(batch, rng),
    };
    for (nonces, commitment) in nonces {
        black_box(commitment);
        black_box(nonces.respond(&coins.key, &coins.challenge));
    }
}

/// Checks coins again and again.
pub(super) fn checking(items: &[Item<'_>]) -> impl FnMut() {
    let mut rng = SystemEntropy.rng();
    move || {
        let verified = batch::verify(items, &mut rng);
        debug_assert!(verified.is_ok(), "signatures made for the measure verify");
        let _ = black_box(verified);
    }
}

impl Coins {
    /// As many coins as the largest batch has.
    pub(super) fn make(most: usize) -> Result<Self, Fault> {
        let mut rng = SystemEntropy.rng();
        let key = SecretKey::generate(&mut rng);
        let failed = || Fault::new(Code::Internal, "a signature made for the measure does not verify");
        let mut signed = Vec::with_capacity(most);
        for number in 0..most {
            let message = Transcript::new("bench/message").integer(number as u64).into_digest();
            let (nonces, commitment) = snowblind::commit(&mut rng);
            let blinding = Blinding::random(&mut rng);
            let (pending, challenge) =
                snowblind::blind(key.public(), &message, &commitment, blinding).map_err(|_| failed())?;
            let response = nonces.respond(&key, &challenge);
            signed.push((message, pending.unblind(&response).map_err(|_| failed())?));
        }
        let challenge =
            Challenge::try_from(EncodedScalar::from(&random_non_zero(&mut rng))).map_err(|_| failed())?;
        Ok(Self { key, challenge, signed })
    }

    /// Signs `batch` at a time, again and again.
    pub(super) fn signing(&self, batch: usize) -> impl FnMut() {
        let mut rng = SystemEntropy.rng();
        move || sign(batch, self, &mut rng)
    }

    /// The first coins, as the batch verifier takes them.
    pub(super) fn items(&self, batch: usize) -> Vec<Item<'_>> {
        let key: &PublicKey = self.key.public();
        let item = |(message, signature): &(Digest, Signature)| Item::Signature {
            key,
            message: *message,
            signature: *signature,
        };
        self.signed.iter().take(batch).map(item).collect()
    }
}
