//! The peers that sign one token blindly: Cashu, blind RSA, VOPRF; and plain Ed25519, which signs for all to see.

use std::hint::black_box;
use std::str::FromStr as _;

use blind_rsa_signatures::{DefaultRng, KeyPair, PSS, Randomized, Sha384};
use cashu::Amount;
use cashu::dhke::{blind_message, sign_message, unblind_message, verify_message};
use cashu::nuts::{BlindSignature, Id, SecretKey as MintKey};
use criterion::{BatchSize, Throughput};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey, verify_batch};
use rand_chacha_03::ChaCha12Rng;
use rand_chacha_03::rand_core::SeedableRng as _;
use voprf::{Ristretto255, VoprfClient, VoprfServer};

use crate::{BATCHES, Criterion, group, operation};

const SECRET: &[u8] = b"407915bc212be61a77e3e6d2aeb4c727980bda51cd06a6afc29e2861768a7837";

pub(crate) fn run(criterion: &mut Criterion) {
    cashu(criterion);
    rsa(criterion);
    voprf(criterion);
    ed25519(criterion);
}

/// The mint's key for a value, and the id of its keyset.
pub(crate) fn mint() -> (MintKey, Id) {
    (MintKey::generate(), Id::from_str("00882760bfa2eb41").unwrap())
}

fn cashu(criterion: &mut Criterion) {
    let (key, id) = mint();
    let amount = Amount::from(1);
    let (blinded, factor) = blind_message(SECRET, None).unwrap();
    let with_proof = || {
        let signed = sign_message(&key, &blinded).unwrap();
        BlindSignature::new(amount, signed, id, &blinded, &key).unwrap()
    };
    let promise = with_proof();
    let public = key.public_key();
    let token = unblind_message(&promise.c, &factor, &public).unwrap();

    let mut sign = group(criterion, operation::SIGN);
    sign.bench_function("Cashu, with DLEQ", |b| b.iter(with_proof));
    sign.bench_function("Cashu, without DLEQ", |b| {
        b.iter(|| sign_message(&key, black_box(&blinded)).unwrap())
    });
    sign.finish();
    let mut blind = group(criterion, operation::BLIND);
    blind.bench_function("Cashu", |b| b.iter(|| blind_message(black_box(SECRET), None).unwrap()));
    blind.finish();
    let mut unblind = group(criterion, operation::UNBLIND);
    unblind.bench_function("Cashu, DLEQ checked", |b| {
        b.iter(|| {
            promise.verify_dleq(public, blinded).unwrap();
            unblind_message(&promise.c, &factor, &public).unwrap()
        });
    });
    unblind.bench_function("Cashu, nothing checked", |b| {
        b.iter(|| unblind_message(black_box(&promise.c), &factor, &public).unwrap());
    });
    unblind.finish();
    let mut verify = group(criterion, operation::VERIFY);
    verify.bench_function("Cashu", |b| b.iter(|| verify_message(&key, black_box(token), SECRET).unwrap()));
    verify.finish();
    // 10.24 + 1.28 + 0.64 + 0.32 + 0.02: the mint checks five tokens, the payer signs nothing.
    let mut accept = group(criterion, operation::ACCEPT);
    accept.bench_function("Cashu, five tokens", |b| {
        b.iter(|| (0..5).for_each(|_| verify_message(&key, black_box(token), SECRET).unwrap()));
    });
    accept.finish();
}

fn rsa(criterion: &mut Criterion) {
    let pair = KeyPair::<Sha384, PSS, Randomized>::generate(&mut DefaultRng, 2048).unwrap();
    let blinded = pair.pk.blind(&mut DefaultRng, SECRET).unwrap();
    let blind_signature = pair.sk.blind_sign(&blinded.blind_message).unwrap();
    let signature = pair.pk.finalize(&blind_signature, &blinded, SECRET).unwrap();

    let mut sign = group(criterion, operation::SIGN);
    sign.bench_function("blind RSA-2048", |b| {
        b.iter(|| pair.sk.blind_sign(black_box(&blinded.blind_message)).unwrap());
    });
    sign.finish();
    let mut blind = group(criterion, operation::BLIND);
    blind.bench_function("blind RSA-2048", |b| {
        b.iter(|| pair.pk.blind(&mut DefaultRng, black_box(SECRET)).unwrap());
    });
    blind.finish();
    let mut unblind = group(criterion, operation::UNBLIND);
    unblind.bench_function("blind RSA-2048", |b| {
        b.iter(|| pair.pk.finalize(black_box(&blind_signature), &blinded, SECRET).unwrap());
    });
    unblind.finish();
    let mut verify = group(criterion, operation::VERIFY);
    verify.bench_function("blind RSA-2048", |b| {
        b.iter(|| pair.pk.verify(black_box(&signature), blinded.msg_randomizer, SECRET).unwrap());
    });
    verify.finish();
}

fn voprf(criterion: &mut Criterion) {
    let mut rng = ChaCha12Rng::seed_from_u64(20);
    let server = VoprfServer::<Ristretto255>::new(&mut rng).unwrap();
    let asked = VoprfClient::<Ristretto255>::blind(SECRET, &mut rng).unwrap();
    let evaluated = server.blind_evaluate(&mut rng, &asked.message);
    let public = server.get_public_key();
    let finish = || asked.state.finalize(SECRET, &evaluated.message, &evaluated.proof, public).unwrap();
    let token = finish();

    let mut sign = group(criterion, operation::SIGN);
    sign.bench_function("VOPRF, with proof", |b| {
        b.iter(|| server.blind_evaluate(&mut rng, black_box(&asked.message)));
    });
    let clients: Vec<_> =
        (0..64).map(|_| VoprfClient::<Ristretto255>::blind(SECRET, &mut rng).unwrap()).collect();
    let messages: Vec<_> = clients.into_iter().map(|client| client.message).collect();
    sign.throughput(Throughput::Elements(64));
    sign.bench_function("VOPRF, one proof for batches of 64", |b| {
        b.iter(|| server.batch_blind_evaluate(&mut rng, black_box(&messages)).unwrap());
    });
    sign.finish();
    let mut blind = group(criterion, operation::BLIND);
    blind.bench_function("VOPRF", |b| {
        b.iter(|| VoprfClient::<Ristretto255>::blind(black_box(SECRET), &mut rng).unwrap());
    });
    blind.finish();
    let mut unblind = group(criterion, operation::UNBLIND);
    unblind.bench_function("VOPRF", |b| b.iter(finish));
    unblind.finish();
    // Whoever has the secret key recomputes the token; nobody else can check one.
    let mut verify = group(criterion, operation::VERIFY);
    verify.bench_function("VOPRF", |b| {
        b.iter(|| assert_eq!(server.evaluate(black_box(SECRET)).unwrap(), token))
    });
    verify.finish();
}

fn ed25519(criterion: &mut Criterion) {
    let mut rng = crate::rng();
    let key = SigningKey::generate(&mut rng);
    let public = key.verifying_key();
    let most = BATCHES.into_iter().max().unwrap_or(1);
    let messages: Vec<[u8; 32]> = (0..most).map(|number| [(number % 251) as u8; 32]).collect();
    let signatures: Vec<Signature> = messages.iter().map(|message| key.sign(message)).collect();
    let (message, signature) = (messages[0], signatures[0]);

    let mut sign = group(criterion, operation::SIGN);
    sign.bench_function("ed25519, not blind", |b| b.iter(|| key.sign(black_box(&message))));
    sign.finish();
    let mut verify = group(criterion, operation::VERIFY);
    verify.bench_function("ed25519", |b| {
        b.iter(|| public.verify_strict(black_box(&message), &signature).unwrap());
    });
    verify.finish();
    let mut many = group(criterion, operation::VERIFY_BATCH);
    for size in BATCHES {
        let texts: Vec<&[u8]> = messages[..size].iter().map(<[u8; 32]>::as_slice).collect();
        let keys: Vec<VerifyingKey> = vec![public; size];
        many.throughput(Throughput::Elements(size as u64));
        many.bench_function(format!("ed25519, {size}"), |b| {
            b.iter_batched(
                || (),
                |()| verify_batch(black_box(&texts), &signatures[..size], &keys).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    many.finish();
}
