//! The wallet's document-signing keys and TLS keys, all of them drawn from its words: number 0 at `init`, the next pair at
//! each renewal.
//!
//! The certificate of a key ends; an offline identity, its withdrawals and its claims name the key that it was registered
//! with for ever. So a wallet can make any of its keys again, also one that a renewal has overwritten or that was lost
//! with the home.

use feiqian_offline_cash::seed::Seed;
use feiqian_online_cash::seed::Seed as OnlineSeed;
use feiqian_pki::KeyPair;

/// So many numbers are tried; a bank allows 12 renewals a day.
const SEARCHED: u32 = 1024;

/// The key of this number.
pub(crate) fn key(seed: &Seed, account: &str, number: u32) -> KeyPair {
    KeyPair::from_seed(&seed.document_key(account, number))
}

/// The number of a key of this account.
pub(crate) fn number_of(seed: &Seed, account: &str, public: &[u8; 32]) -> Option<u32> {
    (0..SEARCHED).find(|number| key(seed, account, *number).public_key() == *public)
}

/// The TLS key of this number.
pub(crate) fn transport(seed: &OnlineSeed, bank: &str, number: u32) -> KeyPair {
    KeyPair::from_seed(&seed.transport_key(bank, number))
}

/// The number of a TLS key of this bank.
pub(crate) fn transport_number_of(seed: &OnlineSeed, bank: &str, public: &[u8; 32]) -> Option<u32> {
    (0..SEARCHED).find(|number| transport(seed, bank, *number).public_key() == *public)
}
