//! `feiqian bench`: how many coins this machine signs and verifies.
//!
//! Each measure runs for the given time after a quarter of it as warm-up; threads run the same loop side by side.
//! Figures are whole operations and nanoseconds: nothing here needs a fraction.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use feiqian_crypto::batch::{self, Item};
use feiqian_crypto::scalar::random_non_zero;
use feiqian_crypto::snowblind::{self, Blinding, Challenge, PublicKey, SecretKey, Signature};
use feiqian_crypto::{Digest, EncodedScalar, Transcript};
use feiqian_node::{Entropy as _, SystemEntropy};
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use crate::output;

/// Sizes of the batches.
const BATCHES: [usize; 3] = [16, 64, 256];

/// What is measured.
#[derive(Clone, Copy)]
enum Work {
    /// The bank's part of a blind signature: commit and respond.
    Sign,
    /// Checking a coin's signature.
    Verify,
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Sign => "blind_signing",
            Self::Verify => "verifying",
        }
    }
}

/// Coins to verify, all under one key.
struct Coins {
    key: SecretKey,
    challenge: Challenge,
    signed: Vec<(Digest, Signature)>,
}

/// The arithmetic behind the group, as compiled and as this processor runs it.
pub(crate) fn backend() -> &'static str {
    #[cfg(target_arch = "x86_64")]
    {
        let wide = std::arch::is_x86_feature_detected!("avx512ifma")
            && std::arch::is_x86_feature_detected!("avx512vl");
        if cfg!(curve25519_dalek_backend = "avx512") && wide {
            return "avx512ifma";
        }
        if std::arch::is_x86_feature_detected!("avx2") {
            return "avx2";
        }
    }
    "serial"
}

/// Runs every measure for `seconds`.
///
/// # Errors
/// `INTERNAL` when the signatures made for the measures do not verify.
pub(crate) fn run(seconds: u64, as_json: bool) -> Result<Value, Fault> {
    let length = Duration::from_secs(seconds);
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let coins = Coins::make()?;
    let mut rows = Vec::new();
    for work in [Work::Sign, Work::Verify] {
        for threads in if all > 1 { vec![1, all] } else { vec![1] } {
            for batch in std::iter::once(1).chain(BATCHES) {
                let (operations, elapsed) = measure(work, batch, threads, length, &coins);
                rows.push(row(work, batch, threads, operations, elapsed));
            }
        }
    }
    let value = json!({
        "backend": backend(),
        "compiled_for": if cfg!(curve25519_dalek_backend = "avx512") { "avx512" } else { "default" },
        "cores": all,
        "seconds": seconds,
        "optimised": !cfg!(debug_assertions),
        "measures": rows,
    });
    if !as_json && cfg!(debug_assertions) {
        output::line("This is a development build: for real figures use cargo run --release -- bench");
    }
    Ok(value)
}

fn row(work: Work, batch: usize, threads: usize, operations: u64, elapsed: Duration) -> Value {
    let nanos = elapsed.as_nanos().max(1);
    let per_second = u128::from(operations).saturating_mul(1_000_000_000).checked_div(nanos).unwrap_or(0);
    let busy = nanos.saturating_mul(u128::try_from(threads).unwrap_or(1));
    let each = busy.checked_div(u128::from(operations.max(1))).unwrap_or(0);
    json!({
        "work": work.name(),
        "batch": batch,
        "threads": threads,
        "per_second": u64::try_from(per_second).unwrap_or(u64::MAX),
        "nanoseconds_each": u64::try_from(each).unwrap_or(u64::MAX),
        "operations": operations,
    })
}

/// How many operations all threads did together, and in what time.
fn measure(work: Work, batch: usize, threads: usize, length: Duration, coins: &Coins) -> (u64, Duration) {
    // Made before the clock starts: what is measured is the checking, not the copying of its input.
    let items = coins.items(batch);
    let start = Barrier::new(threads);
    let results: Vec<(u64, Duration)> = std::thread::scope(|scope| {
        let one = || {
            let mut rng = SystemEntropy.rng();
            let mut round = || match work {
                Work::Sign => sign(batch, coins, &mut rng),
                Work::Verify => check(&items, &mut rng),
            };
            let warm = Instant::now();
            while warm.elapsed().saturating_mul(4) < length {
                round();
            }
            start.wait();
            let (begun, mut operations) = (Instant::now(), 0_u64);
            while begun.elapsed() < length {
                round();
                operations = operations.saturating_add(u64::try_from(batch).unwrap_or(u64::MAX));
            }
            (operations, begun.elapsed())
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        handles.into_iter().filter_map(|handle| handle.join().ok()).collect()
    });
    let operations = results.iter().fold(0_u64, |sum, (operations, _)| sum.saturating_add(*operations));
    let elapsed = results.iter().map(|(_, elapsed)| *elapsed).max().unwrap_or(length);
    (operations, elapsed)
}

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

fn check(items: &[Item<'_>], rng: &mut impl rand_core::CryptoRng) {
    let verified = batch::verify(items, rng);
    debug_assert!(verified.is_ok(), "signatures made for the measure verify");
    let _ = black_box(verified);
}

impl Coins {
    fn make() -> Result<Self, Fault> {
        let mut rng = SystemEntropy.rng();
        let key = SecretKey::generate(&mut rng);
        let most = BATCHES.into_iter().max().unwrap_or(1);
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

    fn items(&self, batch: usize) -> Vec<Item<'_>> {
        let key: &PublicKey = self.key.public();
        let item = |(message, signature): &(Digest, Signature)| Item::Signature {
            key,
            message: *message,
            signature: *signature,
        };
        self.signed.iter().take(batch).map(item).collect()
    }
}
