//! Our online coin: the bank's, the user's and the verifier's part of its blind signature.

use std::hint::black_box;

use criterion::{BatchSize, Throughput};
use feiqian_crypto::batch::{self, Item};
use feiqian_crypto::snowblind::{
    self, Blinding, Challenge, Commitment, CommitmentPool, SecretKey, SecretNonces, Signature,
};
use feiqian_crypto::{Digest, EncodedScalar, Transcript, scalar};
use rand::rngs::ChaCha12Rng;

use crate::{BATCHES, Criterion, group, operation, rng};

/// How many coins a withdrawal of the measure has.
const SESSION: usize = 64;

fn message(number: usize) -> Digest {
    Transcript::new("bench/message").integer(number as u64).into_digest()
}

fn signed(key: &SecretKey, message: &Digest, rng: &mut ChaCha12Rng) -> Signature {
    let (nonces, commitment) = snowblind::commit(rng);
    let (pending, challenge) =
        snowblind::blind(key.public(), message, &commitment, Blinding::random(rng)).unwrap();
    pending.unblind(&nonces.respond(key, &challenge)).unwrap()
}

/// Challenges as they arrive; an honest wallet's are uniform, and so are these.
fn challenges(rng: &mut ChaCha12Rng) -> Vec<EncodedScalar> {
    (0..SESSION).map(|_| EncodedScalar::from(&scalar::random(rng))).collect()
}

fn respond(key: &SecretKey, made: Vec<(SecretNonces, Commitment)>, challenges: &[EncodedScalar]) {
    for ((nonces, commitment), challenge) in made.into_iter().zip(challenges) {
        black_box(commitment);
        let challenge = Challenge::try_from(*challenge).unwrap();
        black_box(nonces.respond(key, &challenge));
    }
}

pub(crate) fn run(criterion: &mut Criterion) {
    sign(criterion);
    user(criterion);
    verify(criterion);
}

fn sign(criterion: &mut Criterion) {
    let mut rng = rng();
    let key = SecretKey::generate(&mut rng);
    let challenges = challenges(&mut rng);
    let mut group = group(criterion, operation::SIGN);
    group.bench_function("feiqian", |b| {
        b.iter(|| respond(&key, vec![snowblind::commit(&mut rng)], &challenges));
    });
    group.throughput(Throughput::Elements(SESSION as u64));
    group.bench_function("feiqian, batches of 64", |b| {
        b.iter(|| respond(&key, snowblind::commit_batch(SESSION, &mut rng), &challenges));
    });
    let (mut filler, mut taker) = (crate::rng(), crate::rng());
    group.bench_function("feiqian, online part with a warm pool, batches of 64", |b| {
        let warm = || {
            let mut pool = CommitmentPool::new(SESSION);
            pool.fill(&mut filler, SESSION);
            pool
        };
        // The emptied pool is returned, so that freeing it is not measured.
        let serve = |mut pool: CommitmentPool| {
            respond(&key, pool.take(SESSION, &mut taker), &challenges);
            pool
        };
        b.iter_batched(warm, serve, BatchSize::SmallInput);
    });
    group.finish();
}

fn user(criterion: &mut Criterion) {
    let mut rng = rng();
    let key = SecretKey::generate(&mut rng);
    let message = message(0);
    let (_, commitment) = snowblind::commit(&mut rng);
    let mut blinding = group(criterion, operation::BLIND);
    blinding.bench_function("feiqian", |b| {
        b.iter(|| snowblind::blind(key.public(), &message, &commitment, Blinding::random(&mut rng)).unwrap());
    });
    blinding.finish();
    let mut unblinding = group(criterion, operation::UNBLIND);
    unblinding.bench_function("feiqian", |b| {
        let answered = || {
            let (nonces, commitment) = snowblind::commit(&mut rng);
            let blinding = Blinding::random(&mut rng);
            let (pending, challenge) =
                snowblind::blind(key.public(), &message, &commitment, blinding).unwrap();
            (pending, nonces.respond(&key, &challenge))
        };
        b.iter_batched(
            answered,
            |(pending, answer)| pending.unblind(&answer).unwrap(),
            BatchSize::SmallInput,
        );
    });
    unblinding.finish();
}

fn verify(criterion: &mut Criterion) {
    let mut rng = rng();
    let key = SecretKey::generate(&mut rng);
    let most = BATCHES.into_iter().max().unwrap_or(1);
    let items: Vec<Item<'_>> = (0..most)
        .map(|number| {
            let message = message(number);
            Item::Signature { key: key.public(), message, signature: signed(&key, &message, &mut rng) }
        })
        .collect();
    let mut one = group(criterion, operation::VERIFY);
    one.bench_function("feiqian", |b| b.iter(|| black_box(&items[0]).verify().unwrap()));
    one.finish();
    let mut many = group(criterion, operation::VERIFY_BATCH);
    for size in BATCHES {
        many.throughput(Throughput::Elements(size as u64));
        many.bench_function(format!("feiqian, {size}"), |b| {
            b.iter(|| batch::verify(black_box(&items[..size]), &mut rng).unwrap());
        });
    }
    many.finish();
}
