//! Properties over all inputs: encodings, transcripts, tampering, batches.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;

use feiqian_crypto::batch::{self, Blame, Item};
use feiqian_crypto::encoded::arbitrary::{
    arb_digest, arb_encoded_point, arb_encoded_scalar, arb_id, arb_scalar,
};
use feiqian_crypto::possession::{self, Proof, arbitrary::arb_proof};
use feiqian_crypto::snowblind::arbitrary::{
    arb_challenge, arb_commitment, arb_public_key, arb_response, arb_signature,
};
use feiqian_crypto::snowblind::{self, Blinding, SecretKey, Signature};
use feiqian_crypto::{
    Digest, EncodedPoint, EncodedScalar, Id16, Rejection, Scalar, Transcript, generators, scalar,
};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

fn rng(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

fn sign(key: &SecretKey, message: &Digest, rng: &mut ChaCha12Rng) -> Signature {
    let (nonces, commitment) = snowblind::commit(rng);
    let (pending, challenge) =
        snowblind::blind(key.public(), message, &commitment, Blinding::random(rng)).unwrap();
    pending.unblind(&nonces.respond(key, &challenge)).unwrap()
}

fn prove(count: usize, statement: &Digest, rng: &mut ChaCha12Rng) -> (Vec<EncodedPoint>, Proof) {
    let keys: Vec<_> = (0..count).map(|_| scalar::random_non_zero(rng)).collect();
    let publics: Vec<EncodedPoint> = keys.iter().map(|key| generators::multiply_g(key).into()).collect();
    let proof = possession::prove(&keys, &publics, statement, rng).unwrap();
    (publics, proof)
}

/// `count` good items: signatures under two keys and proofs of one to three keys.
fn good_items<'a>(keys: &'a [SecretKey; 2], count: usize, rng: &mut ChaCha12Rng) -> Vec<Item<'a>> {
    (0..count)
        .map(|i| {
            let statement = Transcript::new("test/item").count(i).into_digest();
            if i % 3 == 2 {
                let (keys, proof) = prove(1 + i % 2, &statement, rng);
                Item::Possession { keys, statement, proof }
            } else {
                let key = &keys[i % 2];
                Item::Signature {
                    key: key.public(),
                    message: statement,
                    signature: sign(key, &statement, rng),
                }
            }
        })
        .collect()
}

/// Makes an item false, by its well-formed or undecodable parts.
fn corrupt(item: &mut Item<'_>, decodable: bool) {
    let bad = EncodedScalar([0xff; 32]);
    match item {
        Item::Signature { message, signature, .. } => {
            if decodable {
                message.0[0] ^= 1;
            } else {
                signature.z = bad;
            }
        }
        Item::Possession { statement, proof, .. } => {
            if decodable {
                statement.0[0] ^= 1;
            } else {
                proof.r = EncodedPoint([0xff; 32]);
            }
        }
    }
}

#[test]
fn errors_that_cancel_out_are_found() {
    let mut rng = rng(1);
    let keys = [SecretKey::generate(&mut rng), SecretKey::generate(&mut rng)];
    let mut items = good_items(&keys, 2, &mut rng);
    for (item, delta) in items.iter_mut().zip([Scalar::ONE, -Scalar::ONE]) {
        if let Item::Signature { signature, .. } = item {
            signature.z = (signature.z.decode().unwrap() + delta).into();
        }
    }
    assert_eq!(batch::verify(&items, &mut rng), Err(Blame { indices: vec![0, 1] }));
}

#[test]
fn the_identity_has_no_place_in_a_batch() {
    let mut rng = rng(2);
    let keys = [SecretKey::generate(&mut rng), SecretKey::generate(&mut rng)];
    let mut items = good_items(&keys, 3, &mut rng);
    // Everybody has the key zero: a proof over it alone, with the nonce zero, satisfies the group equation.
    let identity = EncodedPoint([0; 32]);
    let proof = Proof { r: identity, s: EncodedScalar([0; 32]) };
    items.push(Item::Possession { keys: vec![identity], statement: Digest::ZERO, proof });
    items.push(Item::Possession { keys: vec![], statement: Digest::ZERO, proof });
    assert_eq!(batch::verify(&items, &mut rng), Err(Blame { indices: vec![3, 4] }));
}

#[test]
fn a_plain_schnorr_signature_is_refused_alone_and_in_a_batch() {
    let mut rng = rng(3);
    let key = SecretKey::generate(&mut rng);
    let (message, y) = (Digest([1; 32]), EncodedScalar([0; 32]));
    let commitment = EncodedPoint::from(generators::g());
    let challenge = Transcript::new("snowblind/challenge").point(key.public().encoded()).digest(&message);
    let challenge = challenge.point(&commitment).into_scalar();
    let x = EncodedScalar(*key.to_bytes()).decode().unwrap();
    let signature = Signature { commitment, z: (Scalar::ONE + challenge * x).into(), y };
    assert_ne!(
        snowblind::verify(key.public(), &message, &signature),
        Err(Rejection::Signature),
        "the rule on y"
    );
    assert!(snowblind::verify(key.public(), &message, &signature).is_err());
    let item = Item::Signature { key: key.public(), message, signature };
    assert_eq!(batch::verify(&[item.clone(), item], &mut rng), Err(Blame { indices: vec![0, 1] }));
}

#[test]
fn large_batches_pass() {
    let mut rng = rng(4);
    let keys = [SecretKey::generate(&mut rng), SecretKey::generate(&mut rng)];
    let items = good_items(&keys, 260, &mut rng);
    assert_eq!(batch::verify(&items, &mut rng), Ok(()));
    assert_eq!(batch::verify(&[], &mut rng), Ok(()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_batch_blames_exactly_the_false_items(
        seed in any::<u64>(),
        count in 1_usize..14,
        falses in proptest::collection::btree_map(0_usize..14, any::<bool>(), 0..6),
    ) {
        let mut rng = rng(seed);
        let keys = [SecretKey::generate(&mut rng), SecretKey::generate(&mut rng)];
        let mut items = good_items(&keys, count, &mut rng);
        let mut expected = Vec::new();
        for (&index, &decodable) in falses.range(..count) {
            corrupt(&mut items[index], decodable);
            expected.push(index);
        }
        let outcome = batch::verify(&items, &mut rng);
        let alone: Vec<_> = (0..count).filter(|i| items[*i].verify().is_err()).collect();
        prop_assert_eq!(&alone, &expected);
        prop_assert_eq!(outcome, if expected.is_empty() { Ok(()) } else { Err(Blame { indices: expected }) });
    }

    #[test]
    fn no_bit_of_a_signature_its_key_or_message_can_change(seed in any::<u64>(), bit in 0_usize..160 * 8) {
        let mut rng = rng(seed);
        let key = SecretKey::generate(&mut rng);
        let message = Transcript::new("test/message").integer(seed).into_digest();
        let signature = sign(&key, &message, &mut rng);
        prop_assert_eq!(snowblind::verify(key.public(), &message, &signature), Ok(()));
        let mut bytes = [&signature.to_bytes()[..], &message.0, &key.public().encoded().0].concat();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let signature = Signature::from_bytes(&bytes[..96]).unwrap();
        let message = Digest::try_from(&bytes[96..128]).unwrap();
        let refused = match snowblind::PublicKey::from_encoded(EncodedPoint::try_from(&bytes[128..]).unwrap()) {
            Ok(key) => snowblind::verify(&key, &message, &signature).is_err(),
            Err(_) => true,
        };
        prop_assert!(refused);
    }

    #[test]
    fn no_bit_of_a_proof_its_keys_or_statement_can_change(
        seed in any::<u64>(), count in 1_usize..4, place in any::<prop::sample::Index>(),
    ) {
        let mut rng = rng(seed);
        let statement = Transcript::new("test/statement").integer(seed).into_digest();
        let (publics, proof) = prove(count, &statement, &mut rng);
        prop_assert_eq!(possession::verify(&publics, &statement, &proof), Ok(()));
        let keys: Vec<u8> = publics.iter().flat_map(|public| public.0).collect();
        let mut bytes = [&proof.to_bytes()[..], &statement.0, &keys].concat();
        let bit = place.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let proof = Proof::from_bytes(&bytes[..64]).unwrap();
        let statement = Digest::try_from(&bytes[64..96]).unwrap();
        let publics: Vec<_> = bytes[96..].chunks(32).map(|key| EncodedPoint::try_from(key).unwrap()).collect();
        prop_assert!(possession::verify(&publics, &statement, &proof).is_err());
    }

    #[test]
    fn made_up_signatures_and_proofs_are_refused(
        key in arb_public_key(), message in arb_digest(), signature in arb_signature(), proof in arb_proof(),
    ) {
        prop_assert_eq!(snowblind::verify(&key, &message, &signature), Err(Rejection::Signature));
        prop_assert_eq!(possession::verify(&[*key.encoded()], &message, &proof), Err(Rejection::Possession));
    }

    #[test]
    fn any_commitment_can_be_blinded_and_a_made_up_answer_is_refused(
        key in arb_public_key(), message in arb_digest(), commitment in arb_commitment(),
        response in arb_response(), challenge in arb_challenge(), seed in any::<u64>(),
    ) {
        let blinding = Blinding::random(&mut rng(seed));
        let (pending, made) = snowblind::blind(&key, &message, &commitment, blinding).unwrap();
        prop_assert_ne!(made, challenge);
        prop_assert_eq!(pending.unblind(&response), Err(Rejection::Opening));
    }

    /// Perfect blindness: any session and any signature under the key fit each other by one blinding.
    #[test]
    fn every_session_explains_every_signature(seed in any::<u64>()) {
        let mut rng = rng(seed);
        let key = SecretKey::generate(&mut rng);
        let decode = |encoded: &EncodedScalar| encoded.decode().unwrap();
        let (nonces, commitment) = snowblind::commit(&mut rng);
        let first = Blinding::random(&mut rng);
        let (_, challenge) = snowblind::blind(key.public(), &Digest([1; 32]), &commitment, first).unwrap();
        let response = nonces.respond(&key, &challenge);
        let other = sign(&key, &Digest([2; 32]), &mut rng);

        let alpha = decode(&other.y) * decode(&response.y).invert();
        let alpha_5 = scalar::fifth_power(&alpha);
        let blinded = Transcript::new("snowblind/challenge").point(key.public().encoded());
        let blinded = blinded.digest(&Digest([2; 32])).point(&other.commitment).into_scalar();
        let beta = challenge.scalar() - blinded * alpha_5.invert();
        let r = decode(&other.z) - alpha_5 * decode(&response.z) - alpha * decode(&response.b);
        let explanation = Blinding::from_scalars(alpha, beta, r).unwrap();
        let (pending, again) =
            snowblind::blind(key.public(), &Digest([2; 32]), &commitment, explanation).unwrap();
        prop_assert_eq!(again, challenge);
        prop_assert_eq!(pending.unblind(&response), Ok(other));
    }

    #[test]
    fn encodings_round_trip(
        digest in arb_digest(), id in arb_id(), point in arb_encoded_point(), scalar in arb_encoded_scalar(),
    ) {
        prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
        prop_assert_eq!(id.to_string().parse::<Id16>(), Ok(id));
        prop_assert_eq!(EncodedPoint::from(point.decode().unwrap()), point);
        prop_assert_eq!(EncodedScalar::from(scalar.decode().unwrap()), scalar);
        prop_assert!(Id16::from_digest(&digest).0 == digest.0[..16]);
    }

    #[test]
    fn only_canonical_bytes_decode(bytes in any::<[u8; 32]>()) {
        if let Ok(point) = EncodedPoint(bytes).decode() {
            prop_assert_eq!(EncodedPoint::from(point).0, bytes);
        }
        if let Ok(scalar) = EncodedScalar(bytes).decode() {
            prop_assert_eq!(scalar.to_bytes(), bytes);
        }
    }

    #[test]
    fn the_fifth_power_permutes_the_scalars(one in arb_scalar(), other in arb_scalar()) {
        prop_assert_eq!(one == other, scalar::fifth_power(&one) == scalar::fifth_power(&other));
        prop_assert_eq!(scalar::fifth_power(&one), one * one * one * one * one);
    }

    /// However a text is cut into fields, the transcripts differ.
    #[test]
    fn transcripts_tell_fields_apart(text in "[a-c]{0,6}", cut in 0_usize..7, other in 0_usize..7) {
        let digest = |cut: usize| {
            let (left, right) = text.split_at(cut.min(text.len()));
            Transcript::new("test").text(left).text(right).into_digest()
        };
        prop_assert_eq!(digest(cut) == digest(other), cut.min(text.len()) == other.min(text.len()));
        let whole = Transcript::new("test").text(&text).into_digest();
        let labelled = Transcript::new(&format!("test{text}")).into_digest();
        prop_assert_eq!(BTreeSet::from([digest(cut), whole, labelled]).len(), 3);
    }
}
