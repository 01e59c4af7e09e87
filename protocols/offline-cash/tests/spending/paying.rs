//! What a payer gives and keeps, what a payee takes and refuses.

use std::collections::BTreeSet;

use feiqian_crypto::share_tree::Node;
use feiqian_money::Currency;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::chain::Link;
use feiqian_offline_cash::holding::{History, Unspent};
use feiqian_offline_cash::keyset::KeyBook;
use feiqian_offline_cash::pay::{ExpectPayment, Payment, pay};
use feiqian_offline_cash::policy::Policy;
use feiqian_offline_cash::purse::SpendError;
use feiqian_wire::codec::{self, Limit};
use feiqian_wire::{Bounded, Text};
use proptest::prelude::*;
use rand::SeedableRng as _;
use rand::rngs::ChaCha12Rng;

use crate::world::{
    Bank, DAY, NORTH, NOW, SOUTH, TIMES, World, at, circulation, cut, digest, minor, name, yuan,
};

fn refused(result: Result<impl std::fmt::Debug, SpendError>) -> (Vec<Unspent>, Rejection) {
    match result.unwrap_err() {
        SpendError::Refused { unspent, because } => (unspent, because),
        other => panic!("{other}"),
    }
}

#[test]
fn every_amount_up_to_the_sum_divides_pays_and_clears() {
    let mut world = World::new(10);
    let person = world.person();
    let coins = [world.coin(NORTH, &person, 3), world.coin(NORTH, &person, 2)];
    for amount in 1..=12 {
        let purse: Vec<_> = coins.iter().flat_map(|coin| world.open(coin, &[])).collect();
        let (signed, request) = world.request(amount);
        let chosen = request.wish(at(NOW)).choose(purse).unwrap();
        assert_eq!(chosen.pieces.len(), amount.count_ones() as usize);
        let rest: u64 = chosen.rest.iter().map(|part| part.value().value()).sum();
        assert_eq!(rest, 12 - amount);
        let payment = pay(&request, chosen.pieces, at(NOW)).unwrap().release_after_storing();
        let item = feiqian_offline_cash::pay::CashItem { request: signed, payment };
        world.registers.clear();
        assert_eq!(circulation(&world.deposit(&item)), amount);
        if !chosen.rest.is_empty() {
            let item = world.pay(chosen.rest);
            assert_eq!(circulation(&world.deposit(&item)), rest);
        }
    }
}

#[test]
fn a_crash_after_storing_resends_the_same_bytes_and_answers_nothing_twice() {
    let mut world = World::new(11);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 3);
    let (_, request) = world.request(5);
    let chosen = request.wish(at(NOW)).choose(world.open(&coin, &[])).unwrap();
    let unsent = pay(&request, chosen.pieces, at(NOW)).unwrap();
    let (answers, bytes) = (unsent.answers().to_vec(), unsent.bytes().to_vec());
    drop((unsent, chosen.rest));
    // What was stored is the payment, whole.
    let payment: Payment = codec::decode(&bytes, Limit::Large).unwrap();
    let paid: BTreeSet<Node> = payment.chains.iter().map(|chain| chain.last.piece.node).collect();
    assert_eq!(paid, answers.iter().map(|answer| answer.node).collect());
    // After the restart only the rest can be spent.
    let left = world.open(&coin, &answers);
    assert_eq!(left.iter().map(|part| part.value().value()).sum::<u64>(), 3);
    assert!(left.iter().all(|part| paid.iter().all(|node| !node.overlaps(part.place().node))));
    assert!(world.open(&coin, &[answers[0], answers[1]]).len() == left.len());
}

#[test]
fn a_restored_wallet_gives_no_share_of_an_old_coin_or_blank() {
    let mut world = World::new(12);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 3);
    let key = world.key(NORTH, 4).clone();
    assert!(Unspent::of_coin(world.read(&coin), &key, History::Restored).unwrap().is_empty());
    let part = world.open(&coin, &[]).remove(0);
    let (holding, blank) = world.hand(part, &person, NORTH);
    let key = world.key(NORTH, 0).clone();
    assert!(holding.open(world.read(&blank), &key, History::Restored).unwrap().is_empty());
}

#[test]
fn exact_or_the_nearest_amounts_named() {
    let mut world = World::new(13);
    let person = world.person();
    // 4 received on a blank divides to single units; a coin of south is no part of a payment with north's.
    let parts = {
        let coin = world.coin(NORTH, &person, 2);
        world.open(&coin, &[])
    };
    let (holding, blank) = world.hand(parts.into_iter().next().unwrap(), &person, NORTH);
    let south = world.coin(SOUTH, &person, 1);
    let purse = |world: &World| {
        let mut purse = world.open_holding(&holding, &blank);
        purse.extend(world.open(&south, &[]));
        purse
    };
    for (amount, expected) in [(1, Ok(1)), (3, Ok(2)), (4, Ok(1)), (5, Err((Some(4), None)))] {
        let (_, request) = world.request(amount);
        let chosen = request.wish(at(NOW)).choose(purse(&world));
        match expected {
            Ok(pieces) => assert_eq!(chosen.unwrap().pieces.len(), pieces),
            Err((below, above)) => {
                let (unspent, because) = refused(chosen);
                assert_eq!(unspent.len(), 2);
                assert_eq!(because, Rejection::NoExactChange { below, above });
            }
        }
    }
    // Handing both over in one transfer is no problem: it has no one issuing bank.
    let blanks = [world.blank(NORTH, &person), world.blank(NORTH, &person)];
    let offer = world.offer(6, &blanks.each_ref());
    assert_eq!(offer.wish(at(NOW)).choose(purse(&world)).unwrap().pieces.len(), 2);
    // But not on fewer blanks than it takes pieces.
    let offer = world.offer(6, &[&blanks[0]]);
    assert!(matches!(refused(offer.wish(at(NOW)).choose(purse(&world))).1, Rejection::NoExactChange { .. }));
}

#[test]
fn keysets_that_the_other_does_not_show_are_not_used() {
    let mut world = World::new(14);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 1);
    let mut terms = world.terms(2);
    let mut views = world.views().into_vec();
    views[0].digest = digest("a keyset for one customer");
    terms.keysets = Bounded::new(views).unwrap();
    let (_, tracing) = world.sign(terms);
    let not_pinned = |rejection| matches!(rejection, Rejection::KeysetNotPinned(_));
    let (parts, because) = refused(pay(&tracing, world.open(&coin, &[]), at(NOW)));
    assert!(not_pinned(because));
    // A payee, too, refuses keys that it does not know, or does not show.
    let item = world.pay(parts);
    let empty = KeyBook::new();
    let checker = feiqian_offline_cash::pay::Checker { keys: &empty, ..world.checker() };
    assert!(matches!(checker.verify(&item, &mut world.dice()), Err(Rejection::KeyUnknown(_))));
    let mut views = world.views().into_vec();
    views.remove(0);
    let mut terms = item.request.request.clone();
    terms.keysets = Bounded::new(views).unwrap();
    let (signed, other) = world.sign(terms);
    let mut changed = item;
    changed.request = signed;
    changed.payment.request = other.digest;
    assert!(not_pinned(world.verify(&changed).unwrap_err()));
}

#[test]
fn other_currencies_and_closed_epochs_are_refused_by_both() {
    let mut world = World::new(15);
    let mut rng = ChaCha12Rng::seed_from_u64(1015);
    world.banks.push(Bank::new("east", Currency::EUR, 2, TIMES, &mut rng));
    world.book.add(world.banks[2].verified.clone()).unwrap();
    let person = world.person();
    let euro = world.coin(2, &person, 1);
    let (_, request) = world.request(2);
    assert_eq!(refused(pay(&request, world.open(&euro, &[]), at(NOW))).1, Rejection::WrongCurrency);
    let coin = world.coin(NORTH, &person, 1);
    let mut terms = world.terms(2);
    terms.expires = at(NOW + 200 * DAY);
    let (signed, request) = world.sign(terms);
    let late = at(NOW + 120 * DAY);
    assert_eq!(refused(pay(&request, world.open(&coin, &[]), late)).1, Rejection::KeyExpired);
    assert_eq!(
        refused(pay(&request, world.open(&coin, &[]), at(NOW + 201 * DAY))).1,
        Rejection::Expired { expired: NOW + 200 * DAY, now: NOW + 201 * DAY }
    );
    // In time for the key, but not for the payee's margin.
    let soon = at(NOW + 120 * DAY - 1);
    let payment = pay(&request, world.open(&coin, &[]), soon).unwrap().release_after_storing();
    world.exposed.as_of = soon;
    let counter = feiqian_offline_cash::policy::Counter { now: soon, ..world.counter() };
    let expect = ExpectPayment::new(signed);
    let (_, rejection) = expect.accept(payment, &world.known, &counter, &mut world.dice()).unwrap_err();
    assert_eq!(rejection, Rejection::KeyExpired);
}

#[test]
fn a_payee_bounds_its_risk() {
    let mut world = World::new(16);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 3);
    let (mut half, other) = cut(world.open(&coin, &[]), &[2]);
    let (holding, blank) = world.hand(half.pop().unwrap(), &person, SOUTH);
    let parts = world.open_holding(&holding, &blank);
    let item = world.pay(parts);
    let again = world.pay(other);
    let strict = |world: &mut World, change: &dyn Fn(&mut Policy)| {
        let mut policy = Policy::default();
        change(&mut policy);
        world.policy = policy;
        let expect = ExpectPayment::new(item.request.clone());
        let result = expect.accept(item.payment.clone(), &world.known, &world.counter(), &mut world.dice());
        result.map(|accepted| accepted.payment.set).map_err(|(_, rejection)| rejection)
    };
    let set = strict(&mut world, &|_| {}).unwrap();
    assert_eq!(set, world.verify(&item).unwrap().set);
    let limit = Err(Rejection::LimitExceeded("largest offline amount"));
    assert_eq!(strict(&mut world, &|policy| policy.largest = minor(3)), limit);
    let long = Err(Rejection::ChainTooLong { hops: 2, most: 1 });
    assert_eq!(strict(&mut world, &|policy| policy.longest_chain = 1), long);
    let expired = Err(Rejection::KeyExpired);
    assert_eq!(strict(&mut world, &|policy| policy.margin_seconds = 120 * DAY), expired);
    world.exposed.as_of = at(NOW - 8 * DAY);
    assert_eq!(strict(&mut world, &|_| {}), Err(Rejection::Expired { expired: NOW - DAY, now: NOW }));
    assert_eq!(strict(&mut world, &|policy| policy.exposed_age_seconds = 9 * DAY), Ok(set));
    world.exposed.as_of = at(NOW);
    for exposed in [coin.message, blank.message] {
        world.exposed.coins = BTreeSet::from([exposed]);
        assert_eq!(strict(&mut world, &|_| {}), Err(Rejection::CoinExposed));
    }
    world.exposed.coins = BTreeSet::from([digest("another coin")]);
    assert_eq!(strict(&mut world, &|_| {}), Ok(set));
    // What it holds: the same again, or an overlap, is refused; the other half of the coin is not.
    for chain in &world.verify(&item).unwrap().chains {
        world.held.add(chain).unwrap();
    }
    assert_eq!(strict(&mut world, &|_| {}), Err(Rejection::PieceRepeated));
    assert!(world.held.check(&world.verify(&again).unwrap().chains).is_ok());
    let whole = world.open(&coin, &[]);
    let fork = world.pay(whole);
    assert_eq!(world.held.check(&world.verify(&fork).unwrap().chains), Err(Rejection::PieceRepeated));
}

#[test]
fn a_request_is_for_one_till_one_set_and_one_time() {
    let mut world = World::new(17);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 2);
    let item = {
        let parts = world.open(&coin, &[]);
        world.pay(parts)
    };
    // The same request at another till is another request.
    let mut elsewhere = item.clone();
    let mut terms = item.request.request.clone();
    terms.till = Text::new("till 4").unwrap();
    elsewhere.request = world.sign(terms).0;
    assert_eq!(world.verify(&elsewhere).unwrap_err(), Rejection::RequestMismatch);
    let mut relabelled = elsewhere.clone();
    relabelled.payment.request = relabelled.request.request.digest();
    assert!(matches!(world.verify(&relabelled), Err(Rejection::PieceInvalid(_))));
    // A request that nobody signed, or for another account than the certificate's.
    let mut forged = item.clone();
    forged.request.request.amount = yuan(3);
    assert!(matches!(world.verify(&forged), Err(Rejection::SignatureInvalid(_))));
    let mut terms = world.terms(4);
    terms.account = Text::new("another").unwrap();
    let signed = feiqian_offline_cash::request::SignedRequest::sign(terms, &world.shop).unwrap();
    assert!(matches!(signed.verify(&world.known, at(NOW)), Err(Rejection::RequestInvalid(_))));
    let zero = world.terms(0);
    assert!(feiqian_offline_cash::request::SignedRequest::sign(zero, &world.shop).is_err());
    // After its expiry nothing is taken for it, and the request goes on waiting for nothing else.
    let counter = feiqian_offline_cash::policy::Counter { now: at(NOW + 600), ..world.counter() };
    let (expect, rejection) = ExpectPayment::new(item.request.clone())
        .accept(item.payment.clone(), &world.known, &counter, &mut world.dice())
        .unwrap_err();
    assert_eq!(rejection, Rejection::Expired { expired: NOW + 600, now: NOW + 600 });
    assert!(expect.accept(item.payment, &world.known, &world.counter(), &mut world.dice()).is_ok());
}

#[test]
fn no_piece_can_be_left_out_added_or_moved() {
    let mut world = World::new(18);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 3);
    let (pieces, rest) = cut(world.open(&coin, &[]), &[2, 1]);
    let item = world.pay(pieces);
    let single = world.pay(rest);
    let with = |change: &dyn Fn(&mut Vec<feiqian_offline_cash::chain::Paid>), amount: u64| {
        let mut changed = item.clone();
        let mut chains = changed.payment.chains.into_vec();
        change(&mut chains);
        changed.payment.chains = Bounded::new(chains).unwrap();
        let mut terms = changed.request.request.clone();
        terms.amount = yuan(amount);
        changed.request = world.sign(terms).0;
        changed.payment.request = changed.request.request.digest();
        world.verify(&changed).unwrap_err()
    };
    let invalid = |rejection| matches!(rejection, Rejection::PieceInvalid(_));
    assert!(invalid(with(&|chains| drop(chains.pop()), 4)));
    assert!(invalid(with(&|chains| chains.push(single.payment.chains[0].clone()), 8)));
    assert!(invalid(with(&|chains| chains.swap(0, 1), 6)));
    assert!(invalid(with(&|chains| chains.clear(), 6)));
    assert!(matches!(with(&|chains| drop(chains.pop()), 6), Rejection::AmountMismatch(_)));
    assert!(matches!(with(&|_| {}, 5), Rejection::AmountMismatch(_)));
}

#[test]
fn a_chain_has_one_grammar() {
    let mut world = World::new(19);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 0);
    let (holding, blank) = world.hand(world.open(&coin, &[]).remove(0), &person, NORTH);
    let item = {
        let parts = world.open_holding(&holding, &blank);
        world.pay(parts)
    };
    let with = |change: &dyn Fn(&mut feiqian_offline_cash::chain::Paid)| {
        let mut changed = item.clone();
        let mut chains = changed.payment.chains.into_vec();
        change(&mut chains[0]);
        changed.payment.chains = Bounded::new(chains).unwrap();
        world.verify(&changed).unwrap_err()
    };
    let links = |links: Vec<Link>| Bounded::new(links).unwrap();
    // A blank alone, a value coin after the first hop, a link twice, another nonce, another key, a finer node.
    let starts = Rejection::PieceInvalid("a chain starts with a value coin");
    assert_eq!(with(&|chain| chain.links = links(vec![])), starts);
    let again = |chain: &mut feiqian_offline_cash::chain::Paid| chain.last = chain.links[0].hop.clone();
    assert_eq!(with(&again), Rejection::PieceInvalid("a value coin after the first hop"));
    let twice = |chain: &mut feiqian_offline_cash::chain::Paid| {
        chain.links =
            links(vec![chain.links[0].clone(), Link { hop: chain.last.clone(), nonce: digest("n") }]);
    };
    assert_eq!(with(&twice), Rejection::PieceRepeated);
    let nonce = |chain: &mut feiqian_offline_cash::chain::Paid| {
        let mut link = chain.links[0].clone();
        link.nonce = digest("another");
        chain.links = links(vec![link]);
    };
    assert!(matches!(with(&nonce), Rejection::PieceInvalid(_)));
    let richer = world.key(NORTH, 5).id;
    let key = |chain: &mut feiqian_offline_cash::chain::Paid| {
        let mut link = chain.links[0].clone();
        link.hop.key = richer;
        chain.links = links(vec![link]);
    };
    assert!(matches!(with(&key), Rejection::PieceInvalid(_) | Rejection::AmountMismatch(_)));
    assert!(matches!(
        with(&|chain| chain.last.piece.node = Node::new(2).unwrap()),
        Rejection::PieceInvalid(_)
    ));
    assert!(matches!(with(&|chain| chain.last.key = digest("no key")), Rejection::KeyUnknown(_)));
}

#[test]
fn one_payment_is_of_one_issuing_bank() {
    let mut world = World::new(20);
    let person = world.person();
    let (north, south) = (world.coin(NORTH, &person, 0), world.coin(SOUTH, &person, 0));
    let mut parts = world.open(&north, &[]);
    parts.extend(world.open(&south, &[]));
    let (_, request) = world.request(2);
    let (parts, because) = refused(pay(&request, parts, at(NOW)));
    assert!(matches!(because, Rejection::WrongBank(_)));
    let mut items: Vec<_> = parts.into_iter().map(|part| world.pay(vec![part])).collect();
    let mut both = items.remove(0);
    let mut chains = both.payment.chains.into_vec();
    chains.extend(items[0].payment.chains.clone());
    both.payment.chains = Bounded::new(chains).unwrap();
    assert!(matches!(world.verify(&both), Err(Rejection::WrongBank(_))));
    assert_eq!(world.banks[0].view().bank, name("north"));
}

#[test]
fn a_payment_has_at_most_64_pieces() {
    let mut world = World::new(22);
    let person = world.person();
    let coins = [world.coin(NORTH, &person, 6), world.coin(NORTH, &person, 0)];
    let mut units: Vec<_> = coins.iter().flat_map(|coin| world.open(coin, &[])).collect();
    while let Some(place) = units.iter().position(|part| part.value().value() > 1) {
        let part = units.swap_remove(place);
        units.extend(part.divide().unwrap());
    }
    let (_, request) = world.request(65);
    let (mut units, because) = refused(pay(&request, units, at(NOW)));
    assert_eq!((units.len(), because), (65, Rejection::LimitExceeded("pieces")));
    units.truncate(64);
    let item = world.pay(units);
    let bytes = codec::encode(&item).unwrap();
    assert!(bytes.len() < Limit::Large.bytes());
    assert_eq!(circulation(&world.deposit(&item)), 64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn random_covers_name_nobody_and_clear_in_full(cuts in prop::collection::vec(any::<bool>(), 16)) {
        let mut world = World::new(21);
        let person = world.person();
        let coin = world.coin(NORTH, &person, 4);
        let (mut open, mut pieces) = (world.open(&coin, &[]), Vec::new());
        while let Some(part) = open.pop() {
            let node = usize::from(part.place().node.number());
            if node < 16 && cuts[node] {
                open.extend(part.divide().unwrap());
            } else {
                pieces.push(part);
            }
        }
        let item = world.pay(pieces);
        let payment = world.verify(&item).unwrap();
        let shown: Vec<_> = payment.chains.iter().map(|chain| chain.hops()[0].piece()).collect();
        prop_assert!(feiqian_crypto::share_tree::identify(&shown).unwrap().is_none());
        prop_assert_eq!(circulation(&world.deposit(&item)), 16);
    }
}
