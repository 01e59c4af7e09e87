//! A shop with its document key, known to everybody: its certificate was checked before, as payers and banks do once.

use feiqian_crypto::{Digest, Transcript};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_pki::{KeyPair, Purpose, Serial, Subject, Verified, fingerprint};
use feiqian_wire::{Name, Timestamp};
use rand::rngs::ChaCha12Rng;

/// When everything happens; any time would do.
pub(crate) const NOW: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const LEAF: &[u8] = b"a leaf certificate, DER";
pub(crate) const ACCOUNT: &str = "0123456789abcdef0123456789abcdef";

/// 12.50.
pub(crate) const PRICE: u64 = 1250;
/// The coins that make it up, as exponents of two: 10.24, 1.28, 0.64, 0.32, 0.02.
pub(crate) const EXACT: [usize; 5] = [10, 7, 6, 5, 1];

pub(crate) struct Shop {
    pub(crate) key: KeyPair,
    certified: Verified,
}

impl Shop {
    pub(crate) fn new(rng: &mut ChaCha12Rng) -> Self {
        let key = KeyPair::generate(rng);
        let certified = Verified {
            subject: Subject::merchant(ACCOUNT, "south").unwrap(),
            purpose: Purpose::Signing,
            public_key: key.public_key(),
            serial: Serial::from_slice(&[0x41; 16]).unwrap(),
            fingerprint: fingerprint(LEAF),
            not_before: NOW,
            not_after: NOW + DAY,
        };
        Self { key, certified }
    }
}

impl feiqian_online_cash::request::Authorities for Shop {
    fn payee(&self, _: &[u8], _: &Digest, _: Timestamp) -> Result<Verified, feiqian_online_cash::Rejection> {
        Ok(self.certified.clone())
    }
}

impl feiqian_offline_cash::request::Authorities for Shop {
    fn payee(&self, _: &[u8], _: &Digest, _: Timestamp) -> Result<Verified, feiqian_offline_cash::Rejection> {
        Ok(self.certified.clone())
    }
}

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds)
}

pub(crate) fn minor(value: u64) -> Minor {
    Minor::new(value).unwrap()
}

pub(crate) fn price() -> Amount {
    Amount::new(minor(PRICE), Currency::CNY)
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub(crate) fn digest(text: &str) -> Digest {
    Transcript::new("bench").text(text).into_digest()
}
