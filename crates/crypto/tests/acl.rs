//! The blind signature with attributes as its users see it: both roles, the derived secrets, the refusals.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

mod offline;

use std::collections::BTreeSet;

use feiqian_crypto::acl::arbitrary::{
    arb_announcement, arb_answer, arb_challenge, arb_depth, arb_opening_proof, arb_signature,
};
use feiqian_crypto::acl::{
    self, Announcement, Answer, Blinding, Challenge, CommitmentSecret, Identity, IdentityProof,
    IdentitySecret, OpeningProof, PendingCoin, ProvenCommitment, PublicKey, SecretAnswers, SecretKey,
    Signature, Slot,
};
use feiqian_crypto::encoded::arbitrary::arb_digest;
use feiqian_crypto::share_tree::TreeSeed;
use feiqian_crypto::{
    Digest, EncodedPoint, EncodedScalar, Malformed, Rejection, Scalar, Transcript, generators, scalar,
};
use offline::{depth, rng, slot, world};
use proptest::prelude::*;
use rand::rngs::ChaCha12Rng;

const ROOT: Digest = Digest([3; 32]);

/// One customer at one bank.
struct Counter {
    key: SecretKey,
    identity: IdentitySecret,
    rng: ChaCha12Rng,
}

fn counter(seed: u64) -> Counter {
    let mut rng = rng(seed);
    let key = SecretKey::generate(depth(6), &mut rng);
    Counter { key, identity: IdentitySecret::generate(&mut rng), rng }
}

impl Counter {
    fn proven(&mut self, r: Scalar) -> ProvenCommitment {
        let context = slot(0).opening_context(self.key.public());
        let commitment = self.identity.commit(CommitmentSecret::from_scalar(r));
        let proof = commitment.prove(&context, &mut self.rng);
        acl::verify_opening(self.identity.public(), commitment.encoded(), &proof, &context).unwrap()
    }

    /// Up to the challenge.
    fn begin(&mut self) -> (SecretAnswers, Announcement, PendingCoin, Challenge) {
        let r = scalar::random(&mut self.rng);
        let proven = self.proven(r);
        let (secrets, announcement) = acl::announce(self.key.public(), &proven, &mut self.rng);
        let commitment = self.identity.commit(CommitmentSecret::from_scalar(r));
        let blinding = Blinding::random(&mut self.rng);
        let (pending, challenge) =
            acl::blind(self.key.public(), commitment, &announcement, blinding, &ROOT).unwrap();
        assert_eq!(pending.challenge(), &challenge);
        (secrets, announcement, pending, challenge)
    }

    fn sign(&mut self) -> Signature {
        let (secrets, _, pending, challenge) = self.begin();
        let m = *pending.message();
        let (signature, _) = pending.finish(&secrets.respond(&self.key, &challenge)).unwrap();
        assert_eq!(acl::verify(self.key.public(), &ROOT, &signature), Ok(m));
        signature
    }
}

fn plus_one(scalar: EncodedScalar) -> EncodedScalar {
    (scalar.decode().unwrap() + Scalar::ONE).into()
}

#[test]
fn a_signature_holds_for_its_key_depth_and_root_alone() {
    let mut counter = counter(1);
    let signature = counter.sign();
    let wrong = Err(Rejection::Signature);
    assert_eq!(acl::verify(counter.key.public(), &Digest([4; 32]), &signature), wrong);
    let other = SecretKey::generate(depth(6), &mut counter.rng);
    assert_eq!(acl::verify(other.public(), &ROOT, &signature), wrong);
    for levels in 0..6 {
        let shallower = PublicKey::from_encoded(*counter.key.public().encoded(), depth(levels)).unwrap();
        assert_eq!(acl::verify(&shallower, &ROOT, &signature), wrong);
    }
    assert_eq!(Signature::from_bytes(&signature.to_bytes()), Ok(signature));
    assert!(Signature::from_bytes(&signature.to_bytes()[1..]).is_err());
    assert!(Signature::from_bytes(&[&signature.to_bytes()[..], &[0]].concat()).is_err());
}

/// *ζ*₁ = *k*₀·H0 + *k*₁·H1 + *k*₂·G and −*ζ* = *k*₃·Z.
#[test]
fn the_secret_vector_opens_the_signature() {
    let mut counter = counter(2);
    let (secrets, announcement, pending, challenge) = counter.begin();
    let (signature, k) = pending.finish(&secrets.respond(&counter.key, &challenge)).unwrap();
    let [k0, k1, k2, k3] = k.to_scalars();
    let zeta1 = k0 * generators::h0() + k1 * generators::h1() + k2 * generators::g();
    assert_eq!(EncodedPoint::from(zeta1), signature.zeta1);
    assert_eq!(EncodedPoint::from(-(k3 * counter.key.public().z())), signature.zeta);
    let identity = EncodedScalar(*counter.identity.to_bytes()).decode().unwrap();
    assert_eq!((k1 * (-k3).invert(), k2 * (-k3).invert()), (identity, announcement.nu.decode().unwrap()));
}

#[test]
fn every_false_answer_is_refused() {
    let mut counter = counter(3);
    let one = Scalar::ONE;
    type Change = fn(&mut Answer);
    let changes: [(Rejection, Change); 6] = [
        (Rejection::Response, |answer| answer.r = plus_one(answer.r)),
        (Rejection::Response, |answer| answer.c = plus_one(answer.c)),
        (Rejection::Response, |answer| answer.d = plus_one(answer.d)),
        (Rejection::Opening, |answer| answer.s1 = plus_one(answer.s1)),
        (Rejection::Opening, |answer| answer.s2 = plus_one(answer.s2)),
        (Malformed::Scalar.into(), |answer| answer.s2 = EncodedScalar([0xff; 32])),
    ];
    for (because, change) in changes {
        let (secrets, _, pending, challenge) = counter.begin();
        let mut answer = secrets.respond(&counter.key, &challenge);
        change(&mut answer);
        assert_eq!(pending.finish(&answer).unwrap_err(), because);
    }
    // A bank that answers for another key, or splits the challenge otherwise and fits *r* to it.
    let (secrets, _, pending, challenge) = counter.begin();
    let other = SecretKey::generate(depth(6), &mut counter.rng);
    assert_eq!(pending.finish(&secrets.respond(&other, &challenge)).unwrap_err(), Rejection::Response);
    let (secrets, _, pending, challenge) = counter.begin();
    let mut answer = secrets.respond(&counter.key, &challenge);
    let x = EncodedScalar(*counter.key.to_bytes()).decode().unwrap();
    answer.c = plus_one(answer.c);
    answer.r = (answer.r.decode().unwrap() - x).into();
    answer.d = (answer.d.decode().unwrap() - one).into();
    assert_eq!(pending.finish(&answer).unwrap_err(), Rejection::Opening);
}

#[test]
fn two_answers_from_one_announcement_give_the_key_away() {
    let mut counter = counter(4);
    let proven = counter.proven(Scalar::from(9_u8));
    let secrets = [5_u8, 6, 7, 8].map(Scalar::from);
    let answer = |challenge: u8| {
        let (secrets, _) = SecretAnswers::from_scalars(counter.key.public(), &proven, Scalar::ONE, secrets);
        secrets.respond(&counter.key, &Challenge::from_scalar(Scalar::from(challenge)))
    };
    let decode = |scalar: EncodedScalar| scalar.decode().unwrap();
    let (one, other) = (answer(1), answer(2));
    let x = (decode(one.r) - decode(other.r)) * (decode(other.c) - decode(one.c)).invert();
    assert_eq!(x.to_bytes(), *counter.key.to_bytes());
}

/// Any session and any signature under the key fit each other, as far as *e*, *c*, *d* and *r* go: what the bank keeps
/// of a session does not single a signature out.
#[test]
fn sessions_and_signatures_share_no_value() {
    let mut counter = counter(5);
    let mut seen = BTreeSet::new();
    for _ in 0..4 {
        let (secrets, announcement, pending, challenge) = counter.begin();
        let answer = secrets.respond(&counter.key, &challenge);
        let (signature, _) = pending.finish(&answer).unwrap();
        let Answer { r, c, s1, s2, d } = answer;
        let scalars = [r, c, s1, s2, d, announcement.nu, challenge.encoded()].map(|scalar| scalar.0);
        let points = [announcement.a, announcement.b1, announcement.b2].map(|point| point.0);
        let bytes = signature.to_bytes();
        for value in scalars.iter().chain(&points).chain(bytes.as_chunks().0) {
            assert!(seen.insert(*value), "a value twice");
        }
    }
}

#[test]
fn derived_secrets_repeat_and_depend_on_everything() {
    let mut counter = counter(6);
    let other = SecretKey::generate(depth(6), &mut counter.rng);
    let (_, first, ..) = counter.begin();
    let (_, second, ..) = counter.begin();
    let derive = |seed: &[u8], slot: Slot<'_>, key: &SecretKey, r: u8, announcement: Announcement| {
        let commitment = counter.identity.commit(CommitmentSecret::from_scalar(Scalar::from(r)));
        let blinding = Blinding::derive(seed, &slot, key.public(), &commitment, &announcement).to_scalars();
        let seed = TreeSeed::derive(seed, &slot, key.public(), &commitment, &announcement).to_bytes();
        blinding.iter().map(Scalar::to_bytes).chain([seed]).collect::<Vec<_>>()
    };
    let base = slot(0);
    let all = [
        derive(b"seed", base, &counter.key, 1, first),
        derive(b"other", base, &counter.key, 1, first),
        derive(b"seed", slot(1), &counter.key, 1, first),
        derive(b"seed", Slot { bank: b"b", ..base }, &counter.key, 1, first),
        derive(b"seed", Slot { account: b"a", ..base }, &counter.key, 1, first),
        derive(b"seed", Slot { session: b"s", ..base }, &counter.key, 1, first),
        derive(b"seed", base, &other, 1, first),
        derive(b"seed", base, &counter.key, 2, first),
        derive(b"seed", base, &counter.key, 1, second),
        derive(b"seed", base, &counter.key, 1, Announcement { nu: second.nu, ..first }),
        derive(b"seed", base, &counter.key, 1, Announcement { a: second.a, ..first }),
        derive(b"seed", base, &counter.key, 1, Announcement { b1: second.b1, ..first }),
        derive(b"seed", base, &counter.key, 1, Announcement { b2: second.b2, ..first }),
    ];
    let distinct: BTreeSet<_> = all.iter().flatten().collect();
    assert_eq!(distinct.len(), all.len() * 8, "all secrets differ, also within one derivation");
    assert_eq!(derive(b"seed", base, &counter.key, 1, first), all[0]);

    let randomness = |seed: &[u8], slot: Slot<'_>, key: &SecretKey| {
        CommitmentSecret::derive(seed, &slot, key.public()).to_scalar().to_bytes()
    };
    let all = BTreeSet::from([
        randomness(b"seed", base, &counter.key),
        randomness(b"other", base, &counter.key),
        randomness(b"seed", slot(1), &counter.key),
        randomness(b"seed", Slot { bank: b"b", ..base }, &counter.key),
        randomness(b"seed", Slot { account: b"a", ..base }, &counter.key),
        randomness(b"seed", Slot { session: b"s", ..base }, &counter.key),
        randomness(b"seed", base, &other),
    ]);
    assert_eq!(all.len(), 7);
}

#[test]
fn an_opening_proof_holds_for_its_identity_commitment_and_context_alone() {
    let mut counter = counter(7);
    let context = slot(0).opening_context(counter.key.public());
    let commitment = counter.identity.commit(CommitmentSecret::random(&mut counter.rng));
    let another = counter.identity.commit(CommitmentSecret::random(&mut counter.rng));
    let stranger = IdentitySecret::generate(&mut counter.rng);
    let (identity, c) = (counter.identity.public(), commitment.encoded());
    let proof = commitment.prove(&context, &mut counter.rng);
    let wrong = Rejection::Identity;
    let check = |identity: &Identity, c: &EncodedPoint, proof: &OpeningProof, context: &Digest| {
        acl::verify_opening(identity, c, proof, context).map(|proven| *proven.encoded())
    };
    assert_eq!(check(identity, c, &proof, &context), Ok(*c));
    assert_eq!(check(stranger.public(), c, &proof, &context), Err(wrong));
    assert_eq!(check(identity, another.encoded(), &proof, &context), Err(wrong));
    assert_eq!(check(identity, c, &proof, &slot(1).opening_context(counter.key.public())), Err(wrong));
    assert_eq!(check(identity, &EncodedPoint([0; 32]), &proof, &context), Err(Malformed::Identity.into()));
    for change in [
        OpeningProof { c: plus_one(proof.c), ..proof },
        OpeningProof { u: plus_one(proof.u), ..proof },
        OpeningProof { v: plus_one(proof.v), ..proof },
    ] {
        assert_eq!(check(identity, c, &change, &context), Err(wrong));
    }
    // A customer cannot commit to somebody else's identity: C = R·H0 + I' with its own secret in the proof.
    let r = scalar::random(&mut counter.rng);
    let stolen =
        EncodedPoint::from(generators::multiply_h0(&r) + stranger.public().encoded().decode().unwrap());
    let own = counter.identity.commit(CommitmentSecret::from_scalar(r)).prove(&context, &mut counter.rng);
    assert_eq!(check(identity, &stolen, &own, &context), Err(wrong));
    assert_eq!(check(stranger.public(), &stolen, &own, &context), Err(wrong));
}

#[test]
fn nonces_of_proofs_differ_even_without_randomness() {
    /// A source of randomness that is stuck.
    struct Stuck;
    impl rand::rand_core::TryRng for Stuck {
        type Error = core::convert::Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
            Ok(0)
        }
        fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
            Ok(0)
        }
        fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
            bytes.fill(0);
            Ok(())
        }
    }
    impl rand::rand_core::TryCryptoRng for Stuck {}
    let counter = counter(8);
    let commitment = counter.identity.commit(CommitmentSecret::from_scalar(Scalar::from(5_u8)));
    let secret = EncodedScalar(*counter.identity.to_bytes()).decode().unwrap();
    let (one, other) = (commitment.prove(&ROOT, &mut Stuck), commitment.prove(&Digest::ZERO, &mut Stuck));
    let nonce = |c: EncodedScalar, v: EncodedScalar| v.decode().unwrap() - c.decode().unwrap() * secret;
    assert_ne!(nonce(one.c, one.v), nonce(other.c, other.v));
    let (one, other) =
        (counter.identity.prove(&ROOT, &mut Stuck), counter.identity.prove(&Digest::ZERO, &mut Stuck));
    assert_ne!(nonce(one.c, one.v), nonce(other.c, other.v));
    let identity = counter.identity.public();
    assert_eq!(identity.verify(&one, &ROOT), Ok(()));
    assert_eq!(identity.verify(&one, &Digest::ZERO), Err(Rejection::Identity));
    let swapped = IdentityProof { c: one.v, v: one.c };
    assert_eq!(identity.verify(&swapped, &ROOT), Err(Rejection::Identity));
}

#[test]
fn keys_and_identities_are_never_the_identity_or_zero() {
    let zero = EncodedPoint([0; 32]);
    assert_eq!(PublicKey::from_encoded(zero, depth(0)), Err(Malformed::Identity));
    assert_eq!(Identity::from_encoded(zero), Err(Malformed::Identity));
    assert!(SecretKey::from_bytes(&[0; 32], depth(0)).is_err());
    assert!(IdentitySecret::from_bytes(&[0; 32]).is_err());
    assert!(Blinding::from_scalars(Scalar::ZERO, Scalar::ONE, [Scalar::ONE; 5]).is_err());
    let counter = counter(9);
    let again = SecretKey::from_bytes(&counter.key.to_bytes(), depth(6)).unwrap();
    assert_eq!(again.public(), counter.key.public());
    let z = Transcript::new("acl/Z").point(counter.key.public().encoded()).into_point();
    assert_eq!(*counter.key.public().z(), z);
    let identity = IdentitySecret::from_bytes(&counter.identity.to_bytes()).unwrap();
    assert_eq!(identity.public(), counter.identity.public());
    assert!(!format!("{:?}{:?}", counter.key, identity).contains(&hex::encode(counter.key.to_bytes())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bit_of_a_signature_or_its_root_can_change(seed in any::<u64>(), bit in 0_usize..288 * 8) {
        let mut counter = counter(seed);
        let signature = counter.sign();
        let mut bytes = [&signature.to_bytes()[..], &ROOT.0].concat();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let signature = Signature::from_bytes(&bytes[..256]).unwrap();
        let root = Digest::try_from(&bytes[256..]).unwrap();
        prop_assert!(acl::verify(counter.key.public(), &root, &signature).is_err());
    }

    #[test]
    fn made_up_values_are_refused(
        root in arb_digest(), levels in arb_depth(), signature in arb_signature(), announcement in arb_announcement(),
        answer in arb_answer(), challenge in arb_challenge(), proof in arb_opening_proof(),
    ) {
        let mut counter = counter(10);
        let key = PublicKey::from_encoded(*counter.key.public().encoded(), levels).unwrap();
        prop_assert_eq!(acl::verify(&key, &root, &signature), Err(Rejection::Signature));
        let commitment = counter.identity.commit(CommitmentSecret::random(&mut counter.rng));
        let opened = acl::verify_opening(counter.identity.public(), commitment.encoded(), &proof, &root);
        prop_assert_eq!(opened.unwrap_err(), Rejection::Identity);
        let blinding = Blinding::random(&mut counter.rng);
        let (pending, made) = acl::blind(&key, commitment, &announcement, blinding, &root).unwrap();
        prop_assert_ne!(made, challenge);
        prop_assert_eq!(pending.finish(&answer).unwrap_err(), Rejection::Response);
    }

    #[test]
    fn what_travels_round_trips(
        announcement in arb_announcement(), challenge in arb_challenge(), answer in arb_answer(),
        proof in arb_opening_proof(), signature in arb_signature(),
    ) {
        fn check<T>(value: T, length: usize)
        where
            T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
        {
            let text = serde_json::to_string(&value).unwrap();
            assert_eq!(serde_json::from_str::<T>(&text).unwrap(), value);
            let config = bincode::config::standard().with_fixed_int_encoding();
            let bytes = bincode::serde::encode_to_vec(&value, config).unwrap();
            assert_eq!(bytes.len(), length);
            assert_eq!(bincode::serde::decode_from_slice::<T, _>(&bytes, config).unwrap(), (value, length));
        }
        check(announcement, 128);
        check(challenge, 32);
        check(answer, 160);
        check(proof, 96);
        check(signature, 256);
    }
}

#[test]
fn a_blinding_factor_leads_from_one_session_to_one_coin() {
    let (world, other) = (world(2, 30), world(2, 31));
    let (key, signature) = (world.key.public(), world.coin.signature());
    let gamma = world.coin.blinding_factor();
    let (c, nu) = (world.withdrawal.commitment, world.withdrawal.announcement.nu);
    assert_eq!(acl::verify_blinding(key, signature, &gamma, &c, &nu), Ok(()));
    let refused = Err(Rejection::Blinding);
    let (other_c, other_nu) = (other.withdrawal.commitment, other.withdrawal.announcement.nu);
    assert_eq!(acl::verify_blinding(key, signature, &plus_one(gamma), &c, &nu), refused);
    assert_eq!(acl::verify_blinding(key, signature, &gamma, &other_c, &nu), refused);
    assert_eq!(acl::verify_blinding(key, signature, &gamma, &c, &other_nu), refused);
    assert_eq!(acl::verify_blinding(key, other.coin.signature(), &gamma, &c, &nu), refused);
    assert_eq!(acl::verify_blinding(other.key.public(), signature, &gamma, &c, &nu), refused);
    let zero = EncodedScalar([0; 32]);
    assert!(matches!(acl::verify_blinding(key, signature, &zero, &c, &nu), Err(Rejection::Malformed(_))));
    let none = EncodedPoint([0xff; 32]);
    assert!(matches!(acl::verify_blinding(key, signature, &gamma, &none, &nu), Err(Rejection::Malformed(_))));
}
