//! Paying: what every party on the way refuses.

use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar};
use feiqian_online_cash::Rejection;
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::payment::{Checker, Payment, PaymentCoin};
use feiqian_wire::Bounded;
use proptest::prelude::*;

use crate::world::{DAY, NOW, World, at, digest, minor};

fn bent(item: &CashItem, change: impl Fn(&mut Vec<PaymentCoin>)) -> CashItem {
    let mut coins = item.payment.coins.clone().into_vec();
    change(&mut coins);
    let coins = Bounded::new(coins).unwrap();
    CashItem { payment: Payment { coins, ..item.payment.clone() }, ..item.clone() }
}

#[test]
fn a_payment_in_parts_of_coins_is_good_and_so_is_its_repeat() {
    let mut world = World::new(21);
    let coins = world.draw("north", &[3, 2, 1]);
    let request = world.request(11);
    let item = world.pay(&request, &[(&coins[0], 8), (&coins[1], 3)]);
    assert_eq!(world.check(&item, NOW), Ok(item.payment.digest()));
    let again = world.pay(&request, &[(&coins[0], 8), (&coins[1], 3)]);
    assert_ne!(again.payment.possession, item.payment.possession);
    assert_eq!(again.payment.digest(), item.payment.digest(), "a proof made anew names the same payment");
}

#[test]
fn coins_that_are_wrong_are_refused() {
    let mut world = World::new(22);
    let coins = world.draw("north", &[3, 2, 1]);
    let foreign = world.draw("south", &[2]);
    let request = world.request(11);
    let good = world.pay(&request, &[(&coins[0], 8), (&coins[1], 3)]);
    let refused = |world: &mut World, item: &CashItem| world.check(item, NOW).unwrap_err();
    let mixed = world.pay(&request, &[(&coins[0], 8), (&foreign[0], 3)]);
    assert!(matches!(refused(&mut world, &mixed), Rejection::WrongBank(_)));
    let over = world.pay(&request, &[(&coins[0], 6), (&coins[1], 5)]);
    assert_eq!(refused(&mut world, &over), Rejection::ContributionInvalid);
    let less = world.pay(&request, &[(&coins[0], 8), (&coins[1], 2)]);
    assert!(matches!(refused(&mut world, &less), Rejection::AmountMismatch(_)));
    let twice = bent(&good, |coins| coins[1] = coins[0]);
    assert_eq!(refused(&mut world, &twice), Rejection::CoinRepeated);
    let nothing = bent(&good, |coins| coins[1].share.contribution = minor(0));
    assert_eq!(refused(&mut world, &nothing), Rejection::ContributionInvalid);
    let none = bent(&good, Vec::clear);
    assert_eq!(refused(&mut world, &none), Rejection::ContributionInvalid);
    let unknown = bent(&good, |coins| coins[0].share.coin.denomination = digest("unknown"));
    assert!(matches!(refused(&mut world, &unknown), Rejection::DenominationUnknown(_)));
    let other_key = world.keys(&world.north, &[4])[0].id;
    let other = bent(&good, |coins| coins[0].share.coin.denomination = other_key);
    assert_eq!(refused(&mut world, &other), Rejection::SignatureInvalid("coin"));
    let moved = bent(&good, |coins| {
        coins[0].share.contribution = minor(7);
        coins[1].share.contribution = minor(4);
    });
    assert_eq!(refused(&mut world, &moved), Rejection::PossessionInvalid);
    let swapped = bent(&good, |coins| coins.swap(0, 1));
    assert_eq!(refused(&mut world, &swapped), Rejection::PossessionInvalid);
}

#[test]
fn what_is_not_canonical_is_malformed() {
    let mut world = World::new(23);
    let coins = world.draw("north", &[3]);
    let request = world.request(8);
    let good = world.pay(&request, &[(&coins[0], 8)]);
    let mut negative = coins[0].id.key.to_bytes();
    negative[0] ^= 1;
    let points = [[0; 32], [0xff; 32], negative].map(EncodedPoint);
    let scalars = [EncodedScalar([0xff; 32]), EncodedScalar([0xed; 32])];
    let mut items = Vec::new();
    for point in points {
        items.push(bent(&good, |coins| coins[0].share.coin.key = point));
        items.push(bent(&good, |coins| coins[0].signature.commitment = point));
        let mut item = good.clone();
        item.payment.possession.r = point;
        items.push(item);
    }
    for scalar in scalars {
        items.push(bent(&good, |coins| coins[0].signature.z = scalar));
        items.push(bent(&good, |coins| coins[0].signature.y = scalar));
        let mut item = good.clone();
        item.payment.possession.s = scalar;
        items.push(item);
    }
    items.push(bent(&good, |coins| coins[0].signature.y = EncodedScalar([0; 32])));
    for item in &items {
        let refused = world.check(item, NOW).unwrap_err();
        assert!(matches!(refused, Rejection::Malformed(_)), "{refused} for {:?}", item.payment);
    }
}

#[test]
fn a_payment_is_for_its_request_alone() {
    let mut world = World::new(24);
    let coins = world.draw("north", &[3]);
    let request = world.request(8);
    let good = world.pay(&request, &[(&coins[0], 8)]);
    let mut terms = world.terms(8);
    terms.nonce = digest("another nonce");
    let other = feiqian_online_cash::request::SignedRequest::by_account_holder(terms, &world.shop).unwrap();
    let stolen = CashItem { request: other.clone(), payment: good.payment.clone() };
    assert_eq!(world.check(&stolen, NOW), Err(Rejection::RequestMismatch));
    let mut payment = good.payment.clone();
    payment.request = other.request.digest();
    assert_eq!(world.check(&CashItem { request: other, payment }, NOW), Err(Rejection::PossessionInvalid));
}

#[test]
fn keys_redeem_until_their_time_and_requests_expire() {
    let mut world = World::new(25);
    let coins = world.draw("north", &[3]);
    let request = world.request(8);
    let good = world.pay(&request, &[(&coins[0], 8)]);
    assert!(world.check(&good, NOW + 120 * DAY - 1).is_ok(), "the expiry of the request is the caller's");
    assert_eq!(world.check(&good, NOW + 120 * DAY), Err(Rejection::KeyExpired));
    let verified = request.verify(&world.directory(), at(NOW)).unwrap();
    assert_eq!(verified.check_open(at(NOW + 599)), Ok(()));
    let expired = Rejection::Expired { expired: NOW + 600, now: NOW + 600 };
    assert_eq!(verified.check_open(at(NOW + 600)), Err(expired));
}

#[test]
fn nobody_signs_what_nobody_takes() {
    let mut world = World::new(26);
    let coins = world.draw("north", &[3]);
    let mut sign = |coins: &[(&_, u64)]| {
        let coins: Vec<_> = coins.iter().map(|(coin, given)| (*coin, minor(*given))).collect();
        Payment::sign(&digest("request"), &coins, &mut world.rng).map(|_| ())
    };
    assert_eq!(sign(&[]), Err(Rejection::ContributionInvalid));
    assert_eq!(sign(&[(&coins[0], 0)]), Err(Rejection::ContributionInvalid));
    assert_eq!(sign(&[(&coins[0], 1), (&coins[0], 1)]), Err(Rejection::CoinRepeated));
    assert_eq!(sign(&vec![(&coins[0], 1); 257]), Err(Rejection::ContributionInvalid));
}

#[test]
fn a_batch_blames_exactly_the_bad_payments() {
    let mut world = World::new(27);
    let coins = world.draw("north", &[3, 3, 3, 3, 3, 3, 3]);
    let request = world.request(8);
    let mut items: Vec<_> = coins.iter().map(|coin| world.pay(&request, &[(coin, 8)])).collect();
    let expect = |world: &mut World, items: &[CashItem], bad: &[(usize, Rejection)]| {
        let directory = world.directory();
        let checker = Checker { pins: &world.pins, authorities: &directory, now: at(NOW) };
        let results = checker.verify_many(items, &mut world.rng);
        assert_eq!(results.len(), items.len());
        for (index, result) in results.iter().enumerate() {
            match bad.iter().find(|(place, _)| *place == index) {
                Some((_, reason)) => assert_eq!(result.as_ref().unwrap_err(), reason),
                None => assert_eq!(result.as_ref().unwrap().digest, items[index].payment.digest()),
            }
        }
    };
    expect(&mut world, &items, &[]);
    expect(&mut world, &[], &[]);
    items[1].payment.possession = items[0].payment.possession;
    items[4] = bent(&items[4], |shown| shown[0].signature = coins[5].signature);
    items[6].payment.coins = Bounded::default();
    let bad = [
        (1, Rejection::PossessionInvalid),
        (4, Rejection::SignatureInvalid("coin")),
        (6, Rejection::ContributionInvalid),
    ];
    expect(&mut world, &items, &bad);
    expect(&mut world, &items[1..2], &[(0, Rejection::PossessionInvalid)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Any split of a coin's value over payments sums to it, each payment being good by itself.
    #[test]
    fn every_split_of_a_coin_pays(parts in proptest::collection::vec(1u64..40, 1..6)) {
        let mut world = World::new(28);
        let coin = world.draw("north", &[7]).remove(0);
        let (mut left, mut digests) = (128, std::collections::BTreeSet::<Digest>::new());
        for part in parts.into_iter().chain([128]) {
            let given = part.min(left);
            if given == 0 {
                break;
            }
            left -= given;
            let request = world.request(given);
            let item = world.pay(&request, &[(&coin, given)]);
            let checked = world.check(&item, NOW);
            prop_assert_eq!(checked.clone(), Ok(item.payment.digest()));
            digests.insert(checked.unwrap());
        }
        prop_assert_eq!(left, 0);
        prop_assert!(!digests.is_empty());
    }
}
