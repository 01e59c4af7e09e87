//! Every pair of nodes, forks at every hop, the longest chain, every byte.

use std::collections::BTreeSet;

use feiqian_crypto::acl::Depth;
use feiqian_crypto::share_tree::{Node, identify};
use feiqian_money::Minor;
use feiqian_offline_cash::holding::{Holding, Misuse, Unspent};
use feiqian_offline_cash::pay::{CashItem, pay};
use feiqian_offline_cash::purse::SpendError;
use feiqian_offline_cash::transfer::pass;
use feiqian_offline_cash::{MAX_HOPS, Rejection};
use feiqian_wire::codec::{self, Limit};

use crate::world::{NORTH, NOW, Person, SOUTH, StoredCoin, World, at, charges, circulation, cut, take};

#[test]
fn every_overlapping_pair_of_payments_names_the_cheat_and_no_disjoint_pair_anybody() {
    let mut world = World::new(1);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 4);
    let nodes: Vec<Node> = Node::all(Depth::new(4).unwrap()).collect();
    let mut twice = || {
        let mut items = Vec::new();
        for node in &nodes {
            let part = take(world.open(&coin, &[]), *node);
            items.push(world.pay(vec![part]));
        }
        items
    };
    let (first, second) = (twice(), twice());
    let rng = &mut world.dice();
    let check = |items: &[CashItem], rng: &mut _| -> Vec<_> {
        let verified = world.checker().verify_many(items, rng);
        verified.into_iter().map(|payment| payment.unwrap().chains.remove(0)).collect()
    };
    let (first, second) = (check(&first, rng), check(&second, rng));
    let (mut named, mut silent) = (0, 0);
    for (place, one) in first.iter().enumerate() {
        for other in &second[place..] {
            let opening = identify(&[one.hops()[0].piece(), other.hops()[0].piece()]).unwrap();
            assert_eq!(one.interval().overlaps(other.interval()), opening.is_some());
            match opening {
                Some(opening) => {
                    assert_eq!(opening.identity().unwrap(), person.identity());
                    named += 1;
                }
                None => silent += 1,
            }
        }
    }
    assert_eq!((named, silent), (129, 367));
}

/// All orders of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let Some(last) = count.checked_sub(1) else { return vec![vec![]] };
    let insert = |order: Vec<usize>| (0..count).map(move |at| [&order[..at], &[last], &order[at..]].concat());
    orders(last).into_iter().flat_map(insert).collect()
}

/// Value of 16 that went through these people's hands, each keeping half of it, and what everybody still has.
struct Relay {
    people: Vec<Person>,
    coin: StoredCoin,
    held: Vec<(Holding, StoredCoin)>,
    kept: Vec<Vec<Unspent>>,
}

fn relay(world: &mut World) -> Relay {
    let people: Vec<Person> = (0..4).map(|_| world.person()).collect();
    let coin = world.coin(NORTH, &people[0], 4);
    let (mut parts, mut held, mut kept) = (world.open(&coin, &[]), Vec::new(), Vec::new());
    for (hop, to) in people[1..].iter().enumerate() {
        let exponent = 3 - hop as u32;
        let (mut passed, rest) = cut(parts, &[exponent]);
        kept.push(rest);
        let (holding, blank) = world.hand(passed.pop().unwrap(), to, hop % 2);
        assert_eq!(holding.value().value(), 1 << exponent);
        parts = world.open_holding(&holding, &blank);
        held.push((holding, blank));
    }
    kept.push(parts);
    Relay { people, coin, held, kept }
}

#[test]
fn a_coin_goes_through_four_hands_and_comes_back_whole_in_every_order() {
    let mut world = World::new(2);
    let relay = relay(&mut world);
    let items: Vec<CashItem> = relay.kept.into_iter().map(|parts| world.pay(parts)).collect();
    for order in orders(4) {
        world.registers.clear();
        let settled: Vec<_> = order.iter().flat_map(|place| world.deposit(&items[*place])).collect();
        assert_eq!(circulation(&settled), 16);
        assert!(charges(&settled).is_empty());
    }
}

#[test]
fn a_fork_at_any_hop_charges_and_names_exactly_that_holder() {
    for cheat in 0..4 {
        let mut world = World::new(3);
        let mut relay = relay(&mut world);
        // The cheat spends all it ever had once more.
        let again = match cheat {
            0 => world.open(&relay.coin, &[]),
            hop => {
                let (holding, blank) = &relay.held[hop - 1];
                world.open_holding(holding, blank)
            }
        };
        let fork = world.pay(again);
        let honest: Vec<CashItem> = relay.kept.drain(..).map(|parts| world.pay(parts)).collect();
        let mut results = BTreeSet::new();
        for fork_at in 0..=honest.len() {
            world.registers.clear();
            let mut order: Vec<&CashItem> = honest.iter().collect();
            order.insert(fork_at, &fork);
            let settled: Vec<_> = order.into_iter().flat_map(|item| world.deposit(item)).collect();
            let charged = charges(&settled);
            for charge in &charged {
                assert_eq!(charge.hop, cheat);
                assert_eq!(world.named(charge), relay.people[cheat].identity());
            }
            results.insert((circulation(&settled), charged.iter().map(|charge| charge.units).sum::<u64>()));
        }
        assert_eq!(results, BTreeSet::from([(16, 16 >> cheat)]));
    }
}

#[test]
fn a_fork_of_a_fork_and_the_same_fork_twice() {
    let mut world = World::new(4);
    let relay = relay(&mut world);
    let whole = world.open(&relay.coin, &[]);
    let first = world.pay(whole);
    // B's value once more, passed on to an accomplice, who spends it twice.
    let (holding, blank) = &relay.held[0];
    let mut again = world.open_holding(holding, blank);
    let accomplice = world.person();
    let (onward, onto) = world.hand(again.pop().unwrap(), &accomplice, SOUTH);
    let twice = [(); 2].map(|()| {
        let parts = world.open_holding(&onward, &onto);
        world.pay(parts)
    });
    let settled = world.deposit(&first);
    assert_eq!((circulation(&settled), charges(&settled).len()), (16, 0));
    let settled = world.deposit(&twice[0]);
    let [charge] = charges(&settled)[..] else { panic!() };
    assert_eq!((circulation(&settled), charge.units, charge.hop), (0, 8, 0));
    assert_eq!(world.named(&charge), relay.people[0].identity());
    let settled = world.deposit(&twice[1]);
    let [charge] = charges(&settled)[..] else { panic!() };
    assert_eq!((charge.units, charge.hop), (8, 2));
    assert_eq!(world.named(&charge), accomplice.identity());
    // The same again is found by its set; its chains are known.
    let payment = world.verify(&twice[1]).unwrap();
    assert!(world.deposited.iter().any(|known| known.set == payment.set));
    let register = &world.registers[payment.chains[0].coin().unwrap()];
    assert_eq!(register.chains().count(), 3);
}

#[test]
fn a_chain_of_64_hops_pays_and_grows_no_further() {
    let mut world = World::new(5);
    world.policy.longest_chain = MAX_HOPS;
    let person = world.person();
    let coin = world.coin(NORTH, &person, 2);
    let mut parts = world.open(&coin, &[]);
    let mut last = None;
    for hops in 1..MAX_HOPS {
        let (holding, blank) = world.hand(parts.pop().unwrap(), &person, hops % 2);
        parts = world.open_holding(&holding, &blank);
        last = Some((holding, blank));
    }
    let (holding, blank) = last.unwrap();
    assert_eq!(holding.chain().hops().len(), 63);
    let onto = world.blank(NORTH, &person);
    let (_, offer) = world.confirm(world.offer(4, &[&onto]));
    match pass(offer, parts, at(NOW), &mut world.rng).unwrap_err() {
        SpendError::Refused { unspent, because } => {
            assert_eq!(because, Rejection::ChainTooLong { hops: 64, most: 63 });
            parts = unspent;
        }
        SpendError::Misuse(other) => panic!("{other}"),
        _ => panic!(),
    }
    let item = world.pay(parts);
    assert_eq!(world.verify(&item).unwrap().chains[0].hops().len(), MAX_HOPS);
    let bytes = codec::encode(&item).unwrap();
    assert!(bytes.len() < Limit::Large.bytes() / 4);
    assert_eq!(codec::decode::<CashItem>(&bytes, Limit::Large).unwrap(), item);
    let settled = world.deposit(&item);
    assert_eq!(circulation(&settled), 4);
    // What the wallet stored of the holding is what it reads back.
    let stored = holding.to_passed().unwrap();
    let read = Holding::read(&stored, &world.book, &mut world.rng).unwrap();
    assert_eq!((read.value(), read.chain().digest()), (Minor::new(4).unwrap(), holding.chain().digest()));
    assert_eq!(world.open_holding(&read, &blank).len(), 1);
}

#[test]
fn every_byte_counts() {
    let mut world = World::new(6);
    let (alice, bob) = (world.person(), world.person());
    let coin = world.coin(NORTH, &alice, 2);
    let (mut half, rest) = cut(world.open(&coin, &[]), &[1]);
    let (holding, blank) = world.hand(half.pop().unwrap(), &bob, SOUTH);
    drop(rest);
    let (parts, _) = cut(world.open_holding(&holding, &blank), &[0]);
    let item = world.pay(parts);
    assert!(world.verify(&item).is_ok());
    let bytes = codec::encode(&item).unwrap();
    let (mut undecodable, mut refused) = (0, 0);
    for place in (4..bytes.len()).step_by(5) {
        let mut bytes = bytes.clone();
        bytes[place] ^= 1 << (place % 8);
        match codec::decode::<CashItem>(&bytes, Limit::Large) {
            Err(_) => undecodable += 1,
            Ok(changed) => {
                assert!(world.verify(&changed).is_err(), "byte {place}");
                refused += 1;
            }
        }
    }
    assert!(undecodable > 10 && refused > 400, "{undecodable} {refused}");
}

#[test]
fn a_bad_payment_does_not_spoil_the_others() {
    let mut world = World::new(7);
    let person = world.person();
    let mut items = Vec::new();
    for _ in 0..4 {
        let coin = world.coin(NORTH, &person, 0);
        let parts = world.open(&coin, &[]);
        items.push(world.pay(parts));
    }
    let foreign = items[0].payment.clone();
    items[1].payment = foreign;
    let mut chains = items[2].payment.chains.clone().into_vec();
    chains[0].last.piece.signature = items[3].payment.chains[0].last.piece.signature;
    items[2].payment.chains = chains.try_into().unwrap();
    let verified = world.checker().verify_many(&items, &mut world.dice());
    let outcomes: Vec<_> = verified.iter().map(|payment| payment.as_ref().err()).collect();
    assert_eq!(outcomes[0], None);
    assert_eq!(outcomes[1], Some(&Rejection::RequestMismatch));
    assert!(matches!(outcomes[2], Some(Rejection::PieceInvalid(_))));
    assert_eq!(outcomes[3], None);
}

#[test]
fn a_wallet_keeps_what_it_cannot_use() {
    let mut world = World::new(8);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 2);
    let blank = world.blank(NORTH, &person);
    let key = world.key(NORTH, 1).clone();
    let history = feiqian_offline_cash::holding::History::Complete(&[]);
    assert_eq!(Unspent::of_coin(world.read(&coin), &key, history).unwrap_err(), Misuse::KeyMismatch);
    let blank_key = world.key(NORTH, 0).clone();
    assert_eq!(Unspent::of_coin(world.read(&blank), &blank_key, history).unwrap_err(), Misuse::KeyMismatch);
    let parts = world.open(&coin, &[]);
    let holding = world.hand_to(parts.into_iter().next().unwrap(), &blank);
    let other = world.blank(NORTH, &person);
    assert_eq!(
        holding.clone().open(world.read(&other), &blank_key, history).unwrap_err(),
        Misuse::BlankMismatch
    );
    let south = world.key(SOUTH, 0).clone();
    assert_eq!(holding.open(world.read(&blank), &south, history).unwrap_err(), Misuse::KeyMismatch);
    // A sum that does not fit brings the pieces back.
    let (_, request) = world.request(3);
    match pay(&request, world.open(&coin, &[]), at(NOW)).unwrap_err() {
        SpendError::Refused { unspent, because } => {
            assert_eq!(unspent.len(), 1);
            assert!(matches!(because, Rejection::AmountMismatch(_)));
        }
        other => panic!("{other}"),
    }
}
