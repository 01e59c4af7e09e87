//! Marking: what is secret is undefined memory to valgrind, which then reports every branch and every address that
//! depends on it.

use std::convert::Infallible;
use std::ffi::c_void;
use std::hint::black_box;

use crabgrind::memcheck::{MemState, mark_mem};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;
use rand_core::{Rng as _, TryCryptoRng, TryRng};

fn mark<T: ?Sized>(value: &T, state: MemState) {
    let address = std::ptr::from_ref(value).cast_mut().cast::<c_void>();
    // This version of the wrapper takes memcheck's answer for a refusal. That marks work, the planted cases show.
    let _ = mark_mem(address, std::mem::size_of_val(value), state);
}

/// Marks the bytes of a value secret. What it points to is not marked.
pub(crate) fn secret<T>(value: T) -> T {
    let mut value = Box::new(value);
    mark(value.as_mut(), MemState::Undefined);
    // Else the compiler goes on with the bytes that it knows, and valgrind never sees the marked ones.
    black_box(value.as_mut());
    *value
}

/// What is published from here on: the scheme sends it to somebody who is not trusted with the secret.
pub(crate) fn published<T: ?Sized>(value: &T) {
    mark(value, MemState::Defined);
}

/// Randomness, all of it secret.
pub(crate) struct SecretRandomness(ChaCha12Rng);

impl SecretRandomness {
    pub(crate) fn new(seed: u64) -> Self {
        Self(ChaCha12Rng::seed_from_u64(seed))
    }
}

impl TryRng for SecretRandomness {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(secret(self.0.next_u32()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(secret(self.0.next_u64()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        mark(bytes, MemState::Undefined);
        black_box(bytes);
        Ok(())
    }
}

impl TryCryptoRng for SecretRandomness {}
