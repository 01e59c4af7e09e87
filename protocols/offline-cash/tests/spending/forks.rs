//! Whoever forks pays, and nobody else: forks of every kind at every hop of A → B → C → D, forks of forks, forged forks.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::share_tree::{Own, Piece, Share};
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Scalar};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::chain::{payment_challenge, payment_set};
use feiqian_offline_cash::holding::{Holding, Unspent};
use feiqian_offline_cash::pay::{CashItem, ExpectPayment, Payment, VerifiedPayment};
use feiqian_offline_cash::register::{Deposited, Register};
use rand::seq::SliceRandom as _;

use crate::world::{NORTH, Person, SOUTH, StoredCoin, World, charges, cut, minor};

/// What the depositor of everything gets from circulation, and who pays the rest.
type Outcome = (u64, BTreeMap<[u8; 32], u64>);

fn bytes(person: &Person) -> [u8; 32] {
    person.identity().encoded().0
}

/// Checked once, to be deposited in many orders.
fn checked(world: &mut World, items: &[CashItem]) -> Vec<VerifiedPayment> {
    let verified = world.checker().verify_many(items, &mut world.dice());
    let payments: Vec<_> = verified.into_iter().map(Result::unwrap).collect();
    world.deposited = payments.clone();
    payments
}

/// Deposits chain by chain; every charge names its holder from the pieces themselves. Everything twice: a repeat changes
/// nothing.
fn settle(world: &World, payments: &[&VerifiedPayment], value: u64) -> Outcome {
    let mut registers: BTreeMap<Digest, Register> = BTreeMap::new();
    let (mut circulation, mut charged) = (0, BTreeMap::new());
    for chain in payments.iter().flat_map(|payment| &payment.chains) {
        let register = registers.entry(*chain.coin().unwrap());
        let register = register.or_insert_with(|| Register::new(minor(value)).unwrap());
        let deposited = Deposited::of(chain).unwrap();
        let settlement = register.deposit(deposited.clone()).unwrap();
        assert!(!settlement.repeated);
        circulation += settlement.circulation;
        for charge in &settlement.charges {
            *charged.entry(world.named(charge).encoded().0).or_default() += charge.units;
        }
        let again = register.deposit(deposited).unwrap();
        assert!(again.repeated && again.circulation == 0 && again.charges.is_empty());
    }
    (circulation, charged)
}

/// The outcome of many orders, which is one.
fn in_every_order(world: &mut World, payments: &[VerifiedPayment], value: u64) -> Outcome {
    let mut outcomes = BTreeSet::new();
    let mut order: Vec<&VerifiedPayment> = payments.iter().collect();
    outcomes.insert(settle(world, &order, value));
    order.reverse();
    outcomes.insert(settle(world, &order, value));
    for _ in 0..30 {
        order.shuffle(&mut world.rng);
        outcomes.insert(settle(world, &order, value));
    }
    assert_eq!(outcomes.len(), 1, "the order of deposits decides nothing");
    let deposits: u64 = payments.iter().map(|payment| payment.request.request.amount.minor.value()).sum();
    let (circulation, charged) = outcomes.pop_first().unwrap();
    assert_eq!(circulation + charged.values().sum::<u64>(), deposits);
    (circulation, charged)
}

/// A → B → C → D, each keeping half of what it got of 16; D keeps all it got.
struct Relay {
    people: Vec<Person>,
    coin: StoredCoin,
    held: Vec<(Holding, StoredCoin)>,
    honest: Vec<CashItem>,
}

fn relay(world: &mut World) -> Relay {
    let people: Vec<Person> = (0..4).map(|_| world.person()).collect();
    let coin = world.coin(NORTH, &people[0], 4);
    let (mut parts, mut held, mut honest) = (world.open(&coin, &[]), Vec::new(), Vec::new());
    for (hop, to) in people[1..].iter().enumerate() {
        let (mut passed, rest) = cut(parts, &[3 - hop as u32]);
        honest.push(world.pay(rest));
        let (holding, blank) = world.hand(passed.pop().unwrap(), to, hop % 2);
        parts = world.open_holding(&holding, &blank);
        held.push((holding, blank));
    }
    honest.push(world.pay(parts));
    Relay { people, coin, held, honest }
}

impl Relay {
    /// All that somebody ever had, once more.
    fn again(&self, world: &World, who: usize) -> Vec<Unspent> {
        match who.checked_sub(1) {
            None => world.open(&self.coin, &[]),
            Some(hop) => world.open_holding(&self.held[hop].0, &self.held[hop].1),
        }
    }
}

#[test]
fn every_kind_of_fork_at_every_hop_names_exactly_the_forker() {
    let mut world = World::new(110);
    let relay = relay(&mut world);
    let accomplice = world.person();
    for who in 0..4 {
        let had = 16_u64 >> who;
        // Paid whole; passed on whole to an accomplice, who pays; one part of it paid, another passed on.
        let whole = world.pay(relay.again(&world, who));
        let part = relay.again(&world, who).remove(0);
        let (holding, blank) = world.hand(part, &accomplice, SOUTH);
        let passed = world.pay(world.open_holding(&holding, &blank));
        let mut kinds = vec![(vec![whole], had), (vec![passed], had)];
        if had >= 4 {
            let [low, high] = relay.again(&world, who).remove(0).divide().unwrap();
            let low = world.pay(vec![low]);
            let (holding, blank) = world.hand(high, &accomplice, NORTH);
            let (mut quarter, _) = cut(world.open_holding(&holding, &blank), &[(had / 4).ilog2()]);
            let quarter = world.pay(vec![quarter.remove(0)]);
            kinds.push((vec![low, quarter], had / 2 + had / 4));
        }
        for (forks, worth) in kinds {
            let items: Vec<CashItem> = relay.honest.iter().cloned().chain(forks).collect();
            let payments = checked(&mut world, &items);
            let outcome = in_every_order(&mut world, &payments, 16);
            assert_eq!(outcome, (16, BTreeMap::from([(bytes(&relay.people[who]), worth)])));
        }
    }
}

#[test]
fn everybody_forks_and_everybody_pays_for_their_own() {
    let mut world = World::new(111);
    let relay = relay(&mut world);
    let mut items = relay.honest.clone();
    for who in 0..4 {
        for _ in 0..=who {
            items.push(world.pay(relay.again(&world, who)));
        }
    }
    let payments = checked(&mut world, &items);
    let outcome = in_every_order(&mut world, &payments, 16);
    let expected = relay.people.iter().zip(1..).map(|(who, times)| (bytes(who), times * (16 >> (times - 1))));
    assert_eq!(outcome, (16, expected.collect()));
}

#[test]
fn forks_of_forks_are_charged_where_they_fork() {
    let mut world = World::new(112);
    let relay = relay(&mut world);
    let (one, other) = (world.person(), world.person());
    // B passes all it had once more to an accomplice, who pays it twice and passes it on twice; whom it is passed to pay
    // once each, but one of them three times.
    let (first, onto) = world.hand(relay.again(&world, 1).remove(0), &one, SOUTH);
    let mut items = relay.honest.clone();
    for _ in 0..2 {
        items.push(world.pay(world.open_holding(&first, &onto)));
    }
    for times in [1, 3] {
        let part = world.open_holding(&first, &onto).remove(0);
        let (further, blank) = world.hand(part, &other, NORTH);
        for _ in 0..times {
            items.push(world.pay(world.open_holding(&further, &blank)));
        }
    }
    let payments = checked(&mut world, &items);
    let outcome = in_every_order(&mut world, &payments, 16);
    // B left the honest chain once, its accomplice answered four ways, the last of them three ways: 1, 3 and 2 too many.
    let expected = [(bytes(&relay.people[1]), 8), (bytes(&one), 24), (bytes(&other), 16)];
    assert_eq!(outcome, (16, BTreeMap::from(expected)));
}

/// Two overlapping answers give every third away. Whoever has seen both makes payments that hold and are charged to the
/// one who forked first; no payee takes them from the day on which the coin stands on the exposed list.
#[test]
fn a_forged_fork_of_an_exposed_coin_is_taken_by_no_payee() {
    let mut world = World::new(113);
    let cheat = world.person();
    let coin = world.coin(NORTH, &cheat, 0);
    let mut items = [(); 2].map(|()| world.pay(world.open(&coin, &[]))).to_vec();
    let seen = checked(&mut world, &items);
    let known = |payment: &VerifiedPayment| {
        let piece = payment.chains[0].hops()[0].piece().clone();
        let Own::Leaf { share: Share(share), .. } = piece.piece().own else { panic!("a leaf") };
        (*piece.challenge(), share.map(|scalar| scalar.decode().unwrap()))
    };
    let [(d1, one), (d2, two)] = [known(&seen[0]), known(&seen[1])];
    let (signed, request) = world.request(1);
    let place = seen[0].chains[0].hops()[0].place();
    let d3 = payment_challenge(&place, &payment_set(&request.digest, &[place]));
    let mut share = [EncodedScalar::from(Scalar::ZERO); 4];
    for (to, (one, two)) in share.iter_mut().zip(one.into_iter().zip(two)) {
        *to = (one + (two - one) * (d2 - d1).invert() * (d3 - d1)).into();
    }
    let mut chain = items[0].payment.chains[0].clone();
    let Piece { own: Own::Leaf { share: Share(forged), .. }, .. } = &mut chain.last.piece else { panic!() };
    *forged = share;
    let payment = Payment { request: request.digest, chains: vec![chain].try_into().unwrap() };
    let forged = CashItem { request: signed.clone(), payment: payment.clone() };
    items.push(forged);
    let payments = checked(&mut world, &items);
    let (circulation, charged) = settle(&world, &payments.iter().collect::<Vec<_>>(), 1);
    assert_eq!((circulation, charged), (1, BTreeMap::from([(bytes(&cheat), 2)])));

    let mut accept = || {
        let expect = ExpectPayment::new(signed.clone());
        let result = expect.accept(payment.clone(), &world.known, &world.counter(), &mut world.dice());
        let refused = result.map(|_| ()).map_err(|(_, rejection)| rejection);
        world.exposed.coins = BTreeSet::from([coin.message]);
        refused
    };
    assert_eq!(accept(), Ok(()), "nothing shows on the piece itself");
    assert_eq!(accept(), Err(Rejection::CoinExposed));
}

/// Deposited at whichever time and by whomever: what a charge names it names from two pieces of one coin, so never the
/// holder before or after the one who forked.
#[test]
fn neighbours_of_a_forker_are_never_named() {
    let mut world = World::new(114);
    let relay = relay(&mut world);
    let fork = world.pay(relay.again(&world, 2));
    let items: Vec<CashItem> = relay.honest.iter().cloned().chain([fork]).collect();
    let payments = checked(&mut world, &items);
    let hops = payments.iter().flat_map(|payment| &payment.chains).flat_map(|chain| chain.hops());
    let mut answers: BTreeMap<Digest, Vec<_>> = BTreeMap::new();
    for hop in hops {
        answers.entry(*hop.piece().message()).or_default().push(hop.piece());
    }
    let mut named: BTreeSet<EncodedPoint> = BTreeSet::new();
    for pieces in answers.values() {
        if let Some(opening) = feiqian_crypto::share_tree::identify(pieces).unwrap() {
            named.insert(*opening.identity().unwrap().encoded());
        }
    }
    assert_eq!(answers.len(), 4);
    assert_eq!(named, BTreeSet::from([*relay.people[2].identity().encoded()]));
    assert!(charges(&world.deposit(&items[0])).is_empty());
}
