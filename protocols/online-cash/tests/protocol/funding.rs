//! The funding of sessions by coins, received payments and refunds.

use feiqian_crypto::EncodedScalar;
use feiqian_crypto::possession;
use feiqian_crypto::scalar::random_non_zero;
use feiqian_online_cash::Rejection;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::funding::{
    CoinFunding, Funding, Input, MAX_RELEASES, PlannedInput, Released, withdrawal_statement,
};
use feiqian_online_cash::payment::Payment;
use feiqian_online_cash::signed::DocumentSignature;
use feiqian_wire::Bounded;

use crate::world::{DAY, NOW, Said, World, at, digest, minor};

fn plan(coin: &Coin, given: u64) -> PlannedInput<'_> {
    PlannedInput { coin, contribution: minor(given), releases: Vec::new() }
}

fn sign(
    world: &mut World,
    said: &Said,
    planned: &[PlannedInput<'_>],
    released: Vec<Released>,
) -> Result<CoinFunding, Rejection> {
    CoinFunding::sign("north", &digest("refresh"), planned, released, &said.challenges, &mut world.rng)
}

fn check(world: &mut World, said: &Said, funding: &CoinFunding) -> Result<usize, Rejection> {
    let World { pins, rng, .. } = world;
    funding.verify(pins, "north", &digest("refresh"), &said.challenges, at(NOW), rng).map(|coins| coins.len())
}

fn bent(funding: &CoinFunding, change: impl Fn(&mut Vec<Input>)) -> CoinFunding {
    let mut inputs = funding.inputs.clone().into_vec();
    change(&mut inputs);
    CoinFunding { inputs: Bounded::new(inputs).unwrap(), ..funding.clone() }
}

#[test]
fn a_refresh_is_checked_in_all_its_parts() {
    let mut world = World::new(51);
    let (coins, said) = world.draw_and_tell("north", &[3, 1]);
    let foreign = world.draw("south", &[3]);
    let good = sign(&mut world, &said, &[plan(&coins[0], 8), plan(&coins[1], 1)], vec![]).unwrap();
    assert_eq!(check(&mut world, &said, &good), Ok(2));
    assert_eq!(good.total(), Ok(minor(9)));
    let over = sign(&mut world, &said, &[plan(&coins[0], 9)], vec![]).unwrap();
    assert_eq!(check(&mut world, &said, &over), Err(Rejection::ContributionInvalid));
    let other = sign(&mut world, &said, &[plan(&foreign[0], 8)], vec![]).unwrap();
    assert!(matches!(check(&mut world, &said, &other), Err(Rejection::WrongBank(_))));
    let less = bent(&good, |inputs| inputs[0].stated.contribution = minor(7));
    assert_eq!(check(&mut world, &said, &less), Err(Rejection::PossessionInvalid));
    let swapped = bent(&good, |inputs| inputs.swap(0, 1));
    assert_eq!(check(&mut world, &said, &swapped), Err(Rejection::PossessionInvalid));
    let signature = bent(&good, |inputs| inputs[0].signature = inputs[1].signature);
    assert_eq!(check(&mut world, &said, &signature), Err(Rejection::SignatureInvalid("coin")));
    let twice = bent(&good, |inputs| inputs[1] = inputs[0].clone());
    assert_eq!(check(&mut world, &said, &twice), Err(Rejection::CoinRepeated));
    let nothing = bent(&good, |inputs| inputs[0].stated.contribution = minor(0));
    assert_eq!(check(&mut world, &said, &nothing), Err(Rejection::ContributionInvalid));
    let none = bent(&good, Vec::clear);
    assert!(matches!(check(&mut world, &said, &none), Err(Rejection::AmountMismatch(_))));
    let World { pins, rng, .. } = &mut world;
    let mut elsewhere = |bank, session, challenges, now| {
        good.verify(pins, bank, &session, challenges, at(now), rng).map(|_| ())
    };
    let (session, challenges) = (digest("refresh"), said.challenges.as_slice());
    assert_eq!(elsewhere("north", digest("other"), challenges, NOW), Err(Rejection::PossessionInvalid));
    assert_eq!(elsewhere("north", session, &challenges[..1], NOW), Err(Rejection::PossessionInvalid));
    assert!(elsewhere("south", session, challenges, NOW).is_err());
    assert_eq!(elsewhere("north", session, challenges, NOW + 485 * DAY - 1), Ok(()), "in grace");
    assert_eq!(elsewhere("north", session, challenges, NOW + 485 * DAY), Err(Rejection::KeyExpired));
}

#[test]
fn what_is_released_is_shown_named_once_and_of_this_coin() {
    let mut world = World::new(52);
    let (coins, said) = world.draw_and_tell("north", &[3, 3]);
    let payment = Payment::sign(&digest("r"), &[(&coins[0], minor(5))], &mut world.rng).unwrap();
    let shares = Bounded::new(payment.coins.iter().map(|coin| coin.share).collect()).unwrap();
    let released = Released::Payment { expires: at(NOW), body: digest("body"), shares };
    let named = released.digest("north");
    let releasing =
        |coin: usize, releases: &[_]| PlannedInput { releases: releases.to_vec(), ..plan(&coins[coin], 8) };
    let mut signed = |planned: &[PlannedInput<'_>], shown: &[Released]| {
        sign(&mut world, &said, planned, shown.to_vec()).map(|_| ())
    };
    let one = std::slice::from_ref(&released);
    assert_eq!(signed(&[releasing(0, &[named])], one), Ok(()));
    let refused = [
        signed(&[releasing(0, &[named])], &[]),
        signed(&[releasing(0, &[])], one),
        signed(&[releasing(0, &[digest("other")])], one),
        signed(&[releasing(1, &[named])], one),
        signed(&[releasing(0, &[named, named])], one),
        signed(&[releasing(0, &[named])], &[released.clone(), released.clone()]),
        signed(&[releasing(0, &[named]), releasing(1, &[named])], one),
    ];
    for (place, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(Rejection::AmountMismatch(_))), "{place}: {refused:?}");
    }
    let many: Vec<_> = (0..=MAX_RELEASES).map(|n| digest(&n.to_string())).collect();
    assert!(signed(&[releasing(0, &many)], one).is_err());
}

#[test]
fn a_refresh_does_not_release_its_own_session() {
    let mut world = World::new(53);
    let (coins, said) = world.draw_and_tell("north", &[3]);
    let first = sign(&mut world, &said, &[plan(&coins[0], 4)], vec![]).unwrap();
    let inputs = Bounded::new(first.inputs.iter().map(|input| input.stated.clone()).collect()).unwrap();
    let challenges = Bounded::new(said.challenges.clone()).unwrap();
    let released = Released::Refresh { session: digest("refresh"), inputs, challenges };
    let planned = PlannedInput { releases: vec![released.digest("north")], ..plan(&coins[0], 8) };
    let second = sign(&mut world, &said, &[planned], vec![released]).unwrap();
    assert!(matches!(check(&mut world, &said, &second), Err(Rejection::AmountMismatch(_))));
}

#[test]
fn received_and_refunded_value_is_signed_for_by_its_keys() {
    let mut world = World::new(54);
    let (coins, said) = world.draw_and_tell("north", &[3, 1]);
    let secret = random_non_zero(&mut world.rng);
    let request = world.personal_request(9, &secret);
    let item = world.pay(&request, &[(&coins[0], 8), (&coins[1], 1)]);
    let (session, challenges) = (digest("session"), said.challenges.as_slice());
    let thief = random_non_zero(&mut world.rng);
    let rng = &mut world.rng;
    assert!(Funding::received("north", &session, item.clone(), &thief, challenges, rng).is_err());
    let received = Funding::received("north", &session, item.clone(), &secret, challenges, rng).unwrap();
    let payment = item.payment.digest();
    let both = [&coins[0], &coins[1]];
    let refunded = Funding::refunded("north", &session, payment, minor(3), &both, challenges, rng).unwrap();
    assert!(Funding::refunded("north", &session, payment, minor(0), &both, challenges, rng).is_err());
    assert!(Funding::refunded("north", &session, payment, minor(3), &[], challenges, rng).is_err());
    for funding in [&received, &refunded] {
        assert_eq!(funding.verify_possession("north", &session, challenges), Ok(()));
        let wrong = [
            funding.verify_possession("south", &session, challenges),
            funding.verify_possession("north", &digest("other"), challenges),
            funding.verify_possession("north", &session, &challenges[..1]),
        ];
        assert!(wrong.iter().all(|wrong| *wrong == Err(Rejection::PossessionInvalid)));
    }
    let (Funding::Received { possession: one, .. }, Funding::Refunded { coins: ids, .. }) =
        (&received, &refunded)
    else {
        panic!("made so")
    };
    let ids: Vec<_> = ids.iter().rev().copied().collect();
    let claim = |amount, possession, coins: &[_]| {
        let coins = Bounded::new(coins.to_vec()).unwrap();
        let claim = Funding::Refunded { payment, amount: minor(amount), coins, possession };
        claim.verify_possession("north", &session, challenges)
    };
    let Funding::Refunded { possession, .. } = &refunded else { panic!("made so") };
    assert_eq!(claim(3, *possession, &[coins[0].id, coins[1].id]), Ok(()));
    assert_eq!(claim(4, *possession, &[coins[0].id, coins[1].id]), Err(Rejection::PossessionInvalid));
    assert_eq!(claim(3, *possession, &ids), Err(Rejection::PossessionInvalid));
    assert_eq!(claim(3, *possession, &ids[..1]), Err(Rejection::PossessionInvalid));
    assert_eq!(claim(3, *one, &[coins[0].id, coins[1].id]), Err(Rejection::PossessionInvalid));
    let to_shop = world.request(9);
    let to_shop = world.pay(&to_shop, &[(&coins[0], 8), (&coins[1], 1)]);
    let rng = &mut world.rng;
    let wrong = Funding::received("north", &session, to_shop, &secret, challenges, rng);
    assert_eq!(wrong.unwrap_err(), Rejection::WrongRoute);
}

#[test]
fn everything_in_a_withdrawal_is_signed() {
    let mut world = World::new(55);
    let (coins, said) = world.draw_and_tell("north", &[3, 1]);
    let ids: Vec<_> = coins.iter().map(|coin| coin.id.denomination).collect();
    let (session, other) = (said.session, digest("other"));
    let c = said.challenges.as_slice();
    let good = withdrawal_statement("north", "alice", &session, &ids, minor(1), c);
    let signature = DocumentSignature::sign(&world.shop, &good).unwrap();
    let key = world.shop.public_key();
    assert_eq!(signature.verify(&key, &good, "withdrawal"), Ok(()));
    let reversed: Vec<_> = ids.iter().rev().copied().collect();
    for bent in [
        withdrawal_statement("south", "alice", &session, &ids, minor(1), c),
        withdrawal_statement("north", "bob", &session, &ids, minor(1), c),
        withdrawal_statement("northa", "lice", &session, &ids, minor(1), c),
        withdrawal_statement("north", "alice", &other, &ids, minor(1), c),
        withdrawal_statement("north", "alice", &session, &reversed, minor(1), c),
        withdrawal_statement("north", "alice", &session, &ids[..1], minor(1), c),
        withdrawal_statement("north", "alice", &session, &ids, minor(0), c),
        withdrawal_statement("north", "alice", &session, &ids, minor(1), &c[..1]),
    ] {
        let refused = signature.verify(&key, &bent, "withdrawal");
        assert_eq!(refused, Err(Rejection::SignatureInvalid("withdrawal")));
    }
    let proof = possession::prove(
        &[EncodedScalar(*coins[0].secret_bytes()).decode().unwrap()],
        &[coins[0].id.key],
        &good,
        &mut world.rng,
    );
    assert!(possession::verify(&[coins[0].id.key], &other, &proof.unwrap()).is_err());
}
