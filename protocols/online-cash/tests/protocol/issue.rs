//! Blind issuance of all denominations; resuming; what a wallet refuses of its bank.

use feiqian_crypto::snowblind::{self, Commitment, Response, SecretKey};
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar};
use feiqian_money::Currency;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::issue::{
    OpenSession, Output, PendingIssue, answers_from_bytes, answers_to_bytes, expand, outputs_of,
};
use feiqian_online_cash::keyset::Keyset;
use feiqian_online_cash::seed::{CallerKind, Place, Seed};

use crate::world::{DAY, NOW, World, at, denominations, digest, name};

#[test]
fn every_denomination_is_issued_and_its_coins_verify() {
    let mut world = World::new(1);
    let exponents = [7, 0, 3, 3, 5, 0];
    let (coins, _) = world.draw_and_tell("north", &exponents);
    let keys = world.keys(&world.north, &exponents);
    for (coin, key) in coins.iter().zip(&keys) {
        let secret = EncodedScalar(*coin.secret_bytes()).decode().unwrap();
        let again = Coin::new(key, secret, coin.signature).unwrap();
        assert_eq!(again.id, coin.id);
        let other = keys.iter().find(|other| other.id != key.id).unwrap();
        assert_eq!(
            Coin::new(other, secret, coin.signature).unwrap_err(),
            Rejection::SignatureInvalid("coin"),
            "a coin is of one denomination"
        );
    }
    let distinct: std::collections::BTreeSet<_> = coins.iter().map(|coin| coin.id.key).collect();
    assert_eq!(distinct.len(), coins.len());
}

#[test]
fn a_wallet_that_crashed_repeats_the_same_bytes_from_the_stored_offer() {
    let mut world = World::new(2);
    let (coins, said) = world.draw_and_tell("north", &[4, 1, 1]);
    let keys = world.keys(&world.north, &[4, 1, 1]);
    let keys: Vec<_> = keys.iter().collect();
    let stored = answers_from_bytes(&answers_to_bytes(&said.answers)).unwrap();
    let (pending, challenges) =
        PendingIssue::new(&World::seed(), &keys, &said.session, &said.commitments).unwrap();
    assert_eq!(challenges, said.challenges);
    let again = pending.finish(&stored).unwrap();
    for (one, other) in coins.iter().zip(&again) {
        assert_eq!((one.id, one.signature), (other.id, other.signature));
        assert_eq!(*one.secret_bytes(), *other.secret_bytes());
    }
    assert!(answers_from_bytes(&[0; 95]).is_err());
}

#[test]
fn outputs_keep_their_order_and_their_limits() {
    let (a, b) = (digest("a"), digest("b"));
    let outputs = outputs_of(&[a, b, a, a]).unwrap();
    assert_eq!(expand(&outputs).unwrap(), [a, a, a, b]);
    let output = |count| Output { denomination: a, count };
    for bad in [
        vec![],
        vec![output(0)],
        vec![output(257)],
        vec![output(200), output(57)],
        vec![output(u16::MAX); 32],
    ] {
        assert!(matches!(expand(&bad), Err(Rejection::AmountMismatch(_))), "{bad:?}");
    }
    assert_eq!(expand(&[output(256)]).unwrap().len(), 256);
    assert!(outputs_of(&[a; 257]).is_err());
    let many: Vec<Digest> = (0..33).map(|n| digest(&n.to_string())).collect();
    assert!(outputs_of(&many).is_err());
}

#[test]
fn bad_commitments_are_refused() {
    let mut world = World::new(3);
    let keys = world.keys(&world.north, &[2, 2]);
    let keys: Vec<_> = keys.iter().collect();
    let good: Vec<Commitment> =
        snowblind::commit_batch(2, &mut world.rng).into_iter().map(|(_, commitment)| commitment).collect();
    let session = digest("s");
    let begin = |commitments: &[Commitment]| {
        PendingIssue::new(&World::seed(), &keys, &session, commitments).map(|_| ()).unwrap_err()
    };
    assert_eq!(begin(&[good[0], good[0]]), Rejection::SessionRepeated);
    assert_eq!(begin(&[good[0], Commitment { a: good[0].b, b: good[1].b }]), Rejection::SessionRepeated);
    for bad in [EncodedPoint([0; 32]), EncodedPoint([0xff; 32])] {
        assert_eq!(begin(&[good[0], Commitment { a: bad, ..good[1] }]), Rejection::Malformed("commitment"));
        assert_eq!(begin(&[good[0], Commitment { b: bad, ..good[1] }]), Rejection::Malformed("commitment"));
    }
    assert!(matches!(begin(&good[..1]), Rejection::AmountMismatch(_)));
    assert!(matches!(begin(&[]), Rejection::AmountMismatch(_)));
}

#[test]
fn answers_that_do_not_fit_are_refused() {
    let mut world = World::new(4);
    let (_, said) = world.draw_and_tell("north", &[2, 2]);
    let keys = world.keys(&world.north, &[2, 2]);
    let keys: Vec<_> = keys.iter().collect();
    let finish = |answers: &[Response]| {
        let (pending, _) =
            PendingIssue::new(&World::seed(), &keys, &said.session, &said.commitments).unwrap();
        pending.finish(answers).map(|_| ())
    };
    let [first, second] = [said.answers[0], said.answers[1]];
    assert_eq!(finish(&said.answers), Ok(()));
    let zero = EncodedScalar([0; 32]);
    for bad in [
        vec![second, first],
        vec![first],
        vec![first, second, second],
        vec![first, Response { y: zero, ..second }],
        vec![first, Response { z: first.z, ..second }],
        vec![first, Response { b: EncodedScalar([0xff; 32]), ..second }],
    ] {
        assert_eq!(finish(&bad), Err(Rejection::BankMisbehaved));
    }
}

#[test]
fn a_session_answers_as_many_challenges_as_it_committed_to() {
    let mut world = World::new(5);
    let (_, said) = world.draw_and_tell("north", &[2, 2]);
    let key = &world.north.secrets[2];
    for (keys, challenges) in [(vec![key; 2], 1), (vec![key; 1], 2), (vec![key; 3], 2)] {
        let (open, _) = OpenSession::new(snowblind::commit_batch(2, &mut world.rng));
        assert!(open.answer(&keys, &said.challenges[..challenges]).is_err());
    }
}

/// A bank that repeats its commitments under a rotated key, in another session, or at another index meets
/// another coin key and other blinding factors: nothing in the two challenges is shared.
#[test]
fn a_repeated_commitment_shares_no_coin_key_and_no_blinding() {
    let mut world = World::new(6);
    let first = world.keys(&world.north, &[3]).remove(0);
    let rotated: Vec<_> = (0..8).map(|_| SecretKey::generate(&mut world.rng)).collect();
    let keys = denominations("north", Currency::CNY, &rotated);
    let grace = at(NOW + 485 * DAY);
    world.north.keyset =
        Keyset::sign(&world.north.signer, name("north"), 1, Currency::CNY, grace, keys).unwrap();
    world.pins.append(world.north.entry(), &world.root).unwrap();
    let second = world.keys(&world.north, &[3]).remove(0);
    let (_, commitment) = snowblind::commit(&mut world.rng);
    let (_, other) = snowblind::commit(&mut world.rng);
    let swapped = Commitment { a: commitment.b, b: commitment.a };
    let seed = Seed::from_bytes([9; 64]);
    let mut secrets = std::collections::BTreeSet::new();
    let mut challenges = std::collections::BTreeSet::new();
    let (s1, s2) = (digest("1"), digest("2"));
    let places = [
        (&first, s1, vec![commitment]),
        (&second, s1, vec![commitment]),
        (&first, s2, vec![commitment]),
        (&first, s1, vec![swapped]),
        (&first, s1, vec![other, commitment]),
    ];
    for (key, session, commitments) in &places {
        let index = commitments.len() - 1;
        let place = Place {
            bank: key.key.bank.as_str(),
            denomination: &key.id,
            session,
            index: index as u64,
            commitment: &commitments[index],
        };
        secrets.insert(seed.coin_key(&place).to_bytes());
        let keys = vec![*key; commitments.len()];
        let (_, sent) = PendingIssue::new(&seed, &keys, session, commitments).unwrap();
        challenges.insert(sent[index].encoded());
    }
    assert_eq!((secrets.len(), challenges.len()), (places.len(), places.len()));
}

#[test]
fn request_ids_differ_in_everything_they_are_made_of() {
    let seed = World::seed();
    let ids = [
        seed.request_id(&[1; 16], "north", CallerKind::Account, 0, 0),
        seed.request_id(&[2; 16], "north", CallerKind::Account, 0, 0),
        seed.request_id(&[1; 16], "south", CallerKind::Account, 0, 0),
        seed.request_id(&[1; 16], "north", CallerKind::Anonymous, 0, 0),
        seed.request_id(&[1; 16], "north", CallerKind::Account, 1, 0),
        seed.request_id(&[1; 16], "north", CallerKind::Account, 0, 1),
        Seed::from_bytes([8; 64]).request_id(&[1; 16], "north", CallerKind::Account, 0, 0),
    ];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert_eq!(ids[0], seed.request_id(&[1; 16], "north", CallerKind::Account, 0, 0));
    assert_ne!(seed.payee_key(&[1; 16], 0), seed.payee_key(&[1; 16], 1));
    assert_ne!(seed.payee_key(&[1; 16], 0), seed.payee_key(&[2; 16], 0));
}
