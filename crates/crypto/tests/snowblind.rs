//! The blind signature as its users see it: both roles, the pool, the encodings, the refusals.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use feiqian_crypto::possession::{self, Proof};
use feiqian_crypto::snowblind::{
    self, Blinding, Challenge, Commitment, CommitmentPool, PublicKey, Response, SecretKey, Signature,
};
use feiqian_crypto::{
    Digest, EncodedPoint, EncodedScalar, Id16, Malformed, Misuse, Rejection, Scalar, generators, hazmat,
    scalar,
};
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;

fn rng(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

fn issue(key: &SecretKey, message: &Digest, rng: &mut ChaCha12Rng) -> (Challenge, Response, Signature) {
    let (nonces, commitment) = snowblind::commit(rng);
    let (pending, challenge) =
        snowblind::blind(key.public(), message, &commitment, Blinding::random(rng)).unwrap();
    assert_eq!(pending.challenge(), &challenge);
    let response = nonces.respond(key, &challenge);
    let signature = pending.unblind(&response).unwrap();
    (challenge, response, signature)
}

#[test]
fn a_batch_of_commitments_is_what_single_ones_are() {
    let (mut one, mut many) = (rng(1), rng(1));
    let key = SecretKey::generate(&mut rng(2));
    let challenge = Challenge::from_scalar(Scalar::from(9_u8));
    for (nonces, commitment) in snowblind::commit_batch(5, &mut many) {
        let (single_nonces, single) = snowblind::commit(&mut one);
        assert_eq!(commitment, single);
        assert_eq!(nonces.respond(&key, &challenge), single_nonces.respond(&key, &challenge));
    }
    assert!(snowblind::commit_batch(0, &mut many).is_empty());
}

#[test]
fn the_pool_is_bounded_and_never_runs_dry() {
    let mut rng = rng(3);
    let key = SecretKey::generate(&mut rng);
    let mut pool = CommitmentPool::new(4);
    assert!(pool.is_empty() && pool.capacity() == 4);
    assert_eq!(pool.fill(&mut rng, 2), 2);
    assert_eq!(pool.fill(&mut rng, 9), 2, "the capacity bounds the stock");
    assert_eq!(pool.fill(&mut rng, 9), 0);
    let mut taken = pool.take(3, &mut rng);
    assert_eq!(pool.len(), 1);
    taken.extend(pool.take(3, &mut rng));
    assert!(pool.is_empty() && taken.len() == 6);
    let distinct: std::collections::BTreeSet<_> = taken.iter().map(|(_, commitment)| *commitment).collect();
    assert_eq!(distinct.len(), 6);
    let message = Digest([1; 32]);
    for (nonces, commitment) in taken {
        let blinding = Blinding::random(&mut rng);
        let (pending, challenge) = snowblind::blind(key.public(), &message, &commitment, blinding).unwrap();
        let signature = pending.unblind(&nonces.respond(&key, &challenge)).unwrap();
        snowblind::verify(key.public(), &message, &signature).unwrap();
    }
}

#[test]
fn derived_blinding_repeats_and_depends_on_everything() {
    let mut rng = rng(4);
    let (key, other_key) = (SecretKey::generate(&mut rng), SecretKey::generate(&mut rng));
    let ((_, first), (_, second)) = (snowblind::commit(&mut rng), snowblind::commit(&mut rng));
    let mixed = |a: &Commitment, b: &Commitment| Commitment { a: a.a, b: b.b };
    let (x, m) = (key.public(), Digest([1; 32]));
    let derive = |seed: &[u8], session: &[u8], index, key, message: Digest, commitment| {
        Blinding::derive(seed, session, index, key, &message, &commitment).to_scalars()
    };
    let all = [
        derive(b"seed", b"session", 0, x, m, first),
        derive(b"other", b"session", 0, x, m, first),
        derive(b"seed", b"other", 0, x, m, first),
        derive(b"seed", b"session", 1, x, m, first),
        derive(b"seed", b"session", 0, other_key.public(), m, first),
        derive(b"seed", b"session", 0, x, Digest([2; 32]), first),
        derive(b"seed", b"session", 0, x, m, mixed(&second, &first)),
        derive(b"seed", b"session", 0, x, m, mixed(&first, &second)),
    ];
    assert_eq!(all[0], derive(b"seed", b"session", 0, x, m, first), "a retry makes the same bytes");
    let distinct: std::collections::BTreeSet<_> = all.as_flattened().iter().map(Scalar::to_bytes).collect();
    assert_eq!(distinct.len(), 24);
}

#[test]
fn a_cheating_signer_is_told_apart() {
    let mut rng = rng(5);
    let key = SecretKey::generate(&mut rng);
    let message = Digest([3; 32]);
    let attempt = |seed: u64, cheat: &dyn Fn(&mut Response)| {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let (nonces, commitment) = snowblind::commit(&mut rng);
        let blinding = Blinding::random(&mut rng);
        let (pending, challenge) = snowblind::blind(key.public(), &message, &commitment, blinding).unwrap();
        let mut response = nonces.respond(&key, &challenge);
        cheat(&mut response);
        pending.unblind(&response).map(|_| ())
    };
    let zero = EncodedScalar::from(Scalar::ZERO);
    assert_eq!(attempt(1, &|_| ()), Ok(()));
    assert_eq!(attempt(2, &|response| response.y = zero), Err(Rejection::ZeroNonce));
    assert_eq!(attempt(3, &|response| response.b = zero), Err(Rejection::Opening));
    assert_eq!(attempt(4, &|response| response.z = zero), Err(Rejection::Response));
    let bad = EncodedScalar([0xff; 32]);
    assert_eq!(attempt(5, &|response| response.z = bad), Err(Rejection::Malformed(Malformed::Scalar)));
}

#[test]
fn a_signer_with_another_key_is_refused() {
    let mut rng = rng(6);
    let (key, other) = (SecretKey::generate(&mut rng), SecretKey::generate(&mut rng));
    let (nonces, commitment) = snowblind::commit(&mut rng);
    let blinding = Blinding::random(&mut rng);
    let (pending, challenge) =
        snowblind::blind(key.public(), &Digest([1; 32]), &commitment, blinding).unwrap();
    assert_eq!(pending.unblind(&nonces.respond(&other, &challenge)), Err(Rejection::Response));
}

#[test]
fn a_nonce_that_answers_twice_gives_the_key_away() {
    let mut rng = rng(7);
    let key = SecretKey::generate(&mut rng);
    let scalars = [scalar::random(&mut rng), scalar::random(&mut rng), scalar::random_non_zero(&mut rng)];
    let answer = |challenge: u8| {
        let [a, b, y] = scalars;
        let (nonces, _) = snowblind::SecretNonces::from_scalars(a, b, y).unwrap();
        let challenge = Challenge::from_scalar(Scalar::from(challenge));
        (challenge, nonces.respond(&key, &challenge))
    };
    let ((c1, z1), (c2, z2)) = (answer(1), answer(2));
    assert_eq!(hazmat::recover_key((&c1, &z1), (&c2, &z2)).unwrap().to_bytes(), *key.to_bytes());
}

#[test]
fn zero_secrets_are_misuse() {
    let (zero, one) = (Scalar::ZERO, Scalar::ONE);
    assert!(matches!(snowblind::SecretNonces::from_scalars(one, one, zero), Err(Misuse::ZeroSecret)));
    assert!(matches!(Blinding::from_scalars(zero, one, one), Err(Misuse::ZeroSecret)));
    assert!(matches!(SecretKey::from_bytes(&[0; 32]), Err(Malformed::Zero)));
    assert!(matches!(SecretKey::from_bytes(&[0xff; 32]), Err(Malformed::Scalar)));
    assert_eq!(PublicKey::from_encoded(EncodedPoint([0; 32])), Err(Malformed::Identity));
}

#[test]
fn keys_come_back_from_the_key_store_and_secrets_do_not_show() {
    let mut rng = rng(8);
    let key = SecretKey::generate(&mut rng);
    let again = SecretKey::from_bytes(&key.to_bytes()).unwrap();
    assert_eq!(again.public(), key.public());
    let (nonces, commitment) = snowblind::commit(&mut rng);
    let blinding = Blinding::random(&mut rng);
    let scalars = blinding.to_scalars().map(|scalar| format!("{scalar:?}"));
    let shown = format!("{key:?} {nonces:?} {blinding:?}");
    let (pending, challenge) =
        snowblind::blind(key.public(), &Digest([1; 32]), &commitment, blinding).unwrap();
    let shown = format!("{shown} {pending:?}");
    let response = nonces.respond(&key, &challenge);
    let secret = hex::encode(*key.to_bytes());
    for hidden in [secret, response.b.to_string(), response.y.to_string()].iter().chain(&scalars) {
        assert!(!shown.contains(hidden.as_str()), "{shown}");
    }
    assert!(shown.contains(&key.public().to_string()), "what is public is shown");
}

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T, length: usize) {
    let config = bincode::config::standard().with_fixed_int_encoding();
    let bytes = bincode::serde::encode_to_vec(value, config).unwrap();
    assert_eq!(bytes.len(), length, "no length prefix");
    let (back, used): (T, usize) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
    assert_eq!((&back, used), (value, length));
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
}

#[test]
fn what_travels_has_the_lengths_of_the_specification() {
    let mut rng = rng(9);
    let key = SecretKey::generate(&mut rng);
    let (_, commitment) = snowblind::commit(&mut rng);
    let (challenge, response, signature) = issue(&key, &Digest([1; 32]), &mut rng);
    round_trip(&commitment, 64);
    round_trip(&challenge, 32);
    round_trip(&response, 96);
    round_trip(&signature, 96);
    round_trip(key.public(), 32);
    round_trip(&Digest([7; 32]), 32);
    round_trip(&Id16([7; 16]), 16);
    assert_eq!(Signature::from_bytes(&signature.to_bytes()), Ok(signature));
    let short = signature.to_bytes()[1..].to_vec();
    assert_eq!(Signature::from_bytes(&short), Err(Malformed::Length { expected: 96, got: 95 }));
}

#[test]
fn json_refuses_what_is_not_canonical() {
    let bad = format!("\"{}\"", "ff".repeat(32));
    assert!(serde_json::from_str::<EncodedScalar>(&bad).is_ok(), "bytes are bytes");
    assert!(serde_json::from_str::<Challenge>(&bad).is_err(), "a challenge is a scalar");
    assert!(serde_json::from_str::<PublicKey>(&bad).is_err(), "a key is a point");
    for wrong in [
        "\"\"",
        "\"00\"",
        "7",
        "null",
        &format!("\"{}\"", "zz".repeat(32)),
        &format!("\"{}\"", "00".repeat(33)),
    ] {
        assert!(serde_json::from_str::<Digest>(wrong).is_err(), "{wrong}");
    }
    let unknown = format!("{{\"a\":\"{0}\",\"b\":\"{0}\",\"c\":1}}", "00".repeat(32));
    assert!(serde_json::from_str::<Commitment>(&unknown).is_err(), "unknown fields");
}

#[test]
fn a_proof_needs_the_keys_it_speaks_of() {
    let mut rng = rng(10);
    let keys: Vec<_> = (0..3).map(|_| scalar::random_non_zero(&mut rng)).collect();
    let publics: Vec<EncodedPoint> = keys.iter().map(|key| generators::multiply_g(key).into()).collect();
    let statement = Digest([5; 32]);
    let proof = possession::prove(&keys, &publics, &statement, &mut rng).unwrap();
    possession::verify(&publics, &statement, &proof).unwrap();
    assert_eq!(Proof::from_bytes(&proof.to_bytes()), Ok(proof));
    round_trip(&proof, 64);

    let swapped = [publics[0], publics[2], publics[1]];
    let mut prove =
        |keys: &[Scalar], publics: &[EncodedPoint]| possession::prove(keys, publics, &statement, &mut rng);
    assert_eq!(prove(&[], &[]), Err(Misuse::NoKeys));
    assert_eq!(prove(&keys, &publics[1..]), Err(Misuse::Count { secrets: 3, publics: 2 }));
    assert_eq!(prove(&keys, &swapped), Err(Misuse::KeyMismatch { index: 1 }));
    assert_eq!(prove(&[Scalar::ZERO], &[EncodedPoint([0; 32])]), Err(Misuse::ZeroSecret));
    assert_eq!(possession::verify(&[], &statement, &proof), Err(Rejection::Possession));
    assert_eq!(possession::verify(&swapped, &statement, &proof), Err(Rejection::Possession));
}

#[test]
fn textbook_signatures_are_blind_and_verify() {
    use feiqian_crypto::hazmat::textbook;
    let mut rng = rng(11);
    let key = textbook::SecretKey::generate(&mut rng);
    let message = Digest([1; 32]);
    let (nonce, commitment) = textbook::commit(&mut rng);
    let (pending, challenge) = textbook::blind(key.public(), &message, &commitment, &mut rng);
    let signature = pending.unblind(&nonce.respond(&key, &challenge));
    assert_eq!(textbook::verify(key.public(), &message, &signature), Ok(()));
    assert_eq!(textbook::verify(key.public(), &Digest([2; 32]), &signature), Err(Rejection::Signature));
    assert_ne!(signature.commitment, commitment, "the commitment is blinded");
}
