//! `feiqian-guard OPERATION`: does one thing once, for `cargo xtask guard`, which counts the instructions it takes.
//!
//! Everything is drawn from fixed seeds and runs on one thread, so equal programs take equally many instructions, but for
//! what hashes with the process's own random keys. Only what runs inside [`count_instructions_of`] is counted.

mod bank;

use std::hint::black_box;
use std::process::ExitCode;

use feiqian_crypto::batch::{self, Item};
use feiqian_crypto::snowblind::{self, Blinding, Challenge, SecretKey, Signature};
use feiqian_crypto::{Digest, EncodedScalar, Transcript, scalar};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

/// How many signatures a batch has.
const BATCH: usize = 64;

fn main() -> ExitCode {
    let operation = std::env::args().nth(1).unwrap_or_default();
    match operation.as_str() {
        "sign" => sign(1),
        "sign-64" => sign(BATCH),
        "verify" => verify_one(),
        "verify-64" => verify_batch(),
        "deposit" => bank::deposit(),
        other => {
            eprintln!("feiqian-guard: no operation `{other}`");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

/// The name that callgrind is told to collect in: not inlined, so that it is one.
#[inline(never)]
pub(crate) fn count_instructions_of<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

pub(crate) fn seeded(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

/// The bank's part of so many blind signatures: commit and respond.
fn sign(count: usize) {
    let mut rng = seeded(1);
    let key = SecretKey::generate(&mut rng);
    let challenge = Challenge::try_from(EncodedScalar::from(&scalar::random(&mut rng))).expect("a scalar");
    // Tables that live as long as the process are made before.
    black_box(snowblind::commit(&mut rng));
    count_instructions_of(|| {
        for (nonces, commitment) in snowblind::commit_batch(count, &mut rng) {
            black_box(commitment);
            black_box(nonces.respond(&key, &challenge));
        }
    });
}

fn signed(key: &SecretKey, count: usize, rng: &mut ChaCha12Rng) -> Vec<(Digest, Signature)> {
    let one = |number: usize| {
        let message = Transcript::new("guard/message").integer(number as u64).into_digest();
        let (nonces, commitment) = snowblind::commit(rng);
        let (pending, challenge) =
            snowblind::blind(key.public(), &message, &commitment, Blinding::random(rng))
                .expect("a commitment");
        (message, pending.unblind(&nonces.respond(key, &challenge)).expect("an answer"))
    };
    (0..count).map(one).collect()
}

fn verify_one() {
    let mut rng = seeded(2);
    let key = SecretKey::generate(&mut rng);
    let coins = signed(&key, 1, &mut rng);
    let (message, signature) = coins.first().expect("one coin");
    count_instructions_of(|| snowblind::verify(key.public(), message, signature)).expect("a good signature");
}

fn verify_batch() {
    let mut rng = seeded(3);
    let key = SecretKey::generate(&mut rng);
    let coins = signed(&key, BATCH, &mut rng);
    let item = |(message, signature): &(Digest, Signature)| Item::Signature {
        key: key.public(),
        message: *message,
        signature: *signature,
    };
    let items: Vec<_> = coins.iter().map(item).collect();
    count_instructions_of(|| batch::verify(&items, &mut rng)).expect("good signatures");
}
