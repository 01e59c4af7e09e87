//! Randomness as a node sees it: one trait, seeded by the operating system in production and by a named stream of
//! the scenario's seed in a simulated world.

use std::sync::{Mutex, PoisonError};

use feiqian_crypto::transcript::Transcript;
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

/// Where a node's random generators come from.
pub trait Entropy: Send + Sync {
    /// A fresh generator, independent of all given out before.
    ///
    /// Take one a task or a request and pass it down: sharing one generator between tasks would make what each
    /// draws depend on how they happen to be scheduled.
    fn rng(&self) -> ChaCha12Rng;
}

/// Generators seeded with 32 bytes from the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    /// When the operating system has no randomness to give: nothing a node does is safe without it, so the process
    /// must not go on with a guess.
    #[allow(clippy::panic, reason = "a node without randomness must stop before it draws a key or a nonce")]
    fn rng(&self) -> ChaCha12Rng {
        let mut seed = [0_u8; 32];
        if let Err(error) = getrandom::fill(&mut seed) {
            panic!("the operating system gives no randomness: {error}");
        }
        ChaCha12Rng::from_seed(seed)
    }
}

/// Generators of one named stream: equal (seed, name) pairs give equal sequences, different names unrelated ones.
///
/// # Security
/// Everything drawn from it can be computed by whoever knows the seed: only for simulated worlds and tests.
#[derive(Debug)]
pub struct StreamEntropy(Mutex<ChaCha12Rng>);

impl StreamEntropy {
    /// The stream `name` of a scenario's `seed`.
    #[must_use]
    pub fn new(seed: u64, name: &str) -> Self {
        let digest = Transcript::new("node/entropy").integer(seed).text(name).into_digest();
        Self(Mutex::new(ChaCha12Rng::from_seed(*digest.as_bytes())))
    }
}

impl Entropy for StreamEntropy {
    fn rng(&self) -> ChaCha12Rng {
        let mut stream = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ChaCha12Rng::from_rng(&mut *stream)
    }
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    fn draw(entropy: &dyn Entropy) -> [u64; 2] {
        [entropy.rng().next_u64(), entropy.rng().next_u64()]
    }

    #[test]
    fn a_stream_repeats_and_another_name_or_seed_differs() {
        let first = draw(&StreamEntropy::new(7, "bank:first"));
        assert_eq!(first, draw(&StreamEntropy::new(7, "bank:first")));
        assert_ne!(first, draw(&StreamEntropy::new(7, "bank:second")));
        assert_ne!(first, draw(&StreamEntropy::new(8, "bank:first")));
        assert_ne!(first[0], first[1], "each generator is fresh");
    }

    #[test]
    fn the_operating_system_never_gives_the_same_generator_twice() {
        let [one, two] = draw(&SystemEntropy);
        assert_ne!(one, two);
    }
}
