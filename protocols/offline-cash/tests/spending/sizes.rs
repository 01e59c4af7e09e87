//! Bytes on the way: the figures that the documentation gives.

use feiqian_crypto::share_tree::Node;
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::holding::Misuse;
use feiqian_offline_cash::pay::{ExpectPayment, MAX_PAYMENT_BYTES, Payment, pay};
use feiqian_offline_cash::purse::SpendError;
use feiqian_offline_cash::{MAX_PIECES, Rejection};
use feiqian_wire::{Bounded, Limit, codec};
use serde::Serialize;

use crate::world::{NORTH, NOW, SOUTH, World, at, take};

/// A message is 4 bytes longer than what stands in it.
fn bytes(value: &impl Serialize) -> usize {
    codec::encode(value).unwrap().len() - 4
}

#[test]
fn a_piece_is_as_long_as_its_place_in_the_tree() {
    let mut world = World::new(140);
    let person = world.person();
    for (exponent, nodes) in
        [(0, vec![(1, 461)]), (3, vec![(1, 717), (2, 1005), (8, 1325)]), (6, vec![(1, 717), (127, 2189)])]
    {
        let coin = world.coin(NORTH, &person, exponent);
        for (number, length) in nodes {
            let part = take(world.open(&coin, &[]), Node::new(number).unwrap());
            let item = world.pay(vec![part]);
            let chain = &item.payment.chains[0];
            assert_eq!(bytes(&chain.last.piece), length, "node {number} of depth {exponent}");
            // The key's id, the count of links; the request's digest, the count of pieces.
            assert_eq!((bytes(chain), bytes(&item.payment)), (length + 40, length + 80));
        }
    }
}

#[test]
fn a_holding_grows_by_one_piece_a_hop() {
    let mut world = World::new(141);
    world.policy.longest_chain = 64;
    let person = world.person();
    let coin = world.coin(NORTH, &person, 2);
    let mut parts = world.open(&coin, &[]);
    for hops in 1..=4 {
        let blank = world.blank(if hops % 2 == 0 { NORTH } else { SOUTH }, &person);
        let (_, transfer) = world.make_transfer(parts, &[&blank]);
        // Each hop is a root that divides, with its key's id and nonce; then the blank.
        assert_eq!(bytes(&transfer), 32 + 8 + 8 + hops * (717 + 64) + 64);
        let passed = &transfer.chains[0];
        let holding = feiqian_offline_cash::holding::Holding::read(passed, &world.book, &mut world.dice());
        parts = world.open_holding(&holding.unwrap(), &blank);
    }
    let item = world.pay(parts);
    assert_eq!(bytes(&item.payment), 32 + 8 + 8 + 4 * (717 + 64) + 32 + 717);
    // As frames of a sequence of QR codes.
    assert_eq!(Carried::Payment(item.payment).to_frames().unwrap().len(), 7);
}

#[test]
fn a_payment_that_no_bank_could_present_is_neither_made_nor_taken() {
    let mut world = World::new(142);
    world.policy.longest_chain = 64;
    let person = world.person();
    let coin = world.coin(NORTH, &person, 6);
    let mut parts = world.open(&coin, &[]);
    for _ in 0..18 {
        let blank = world.blank(SOUTH, &person);
        let holding = world.hand_to(parts.pop().unwrap(), &blank);
        parts = world.open_holding(&holding, &blank);
    }
    // One unit of 18 hops can be paid, and 64 of them would still be a message.
    for _ in 0..6 {
        parts = parts.into_iter().flat_map(|part| part.divide().unwrap()).collect();
    }
    assert_eq!(parts.len(), MAX_PIECES);
    let (signed, verified) = world.request(64);
    let refused = pay(&verified, parts, at(NOW)).unwrap_err();
    assert!(matches!(refused, SpendError::Misuse(Misuse::TooLarge)), "{refused}");

    // A payer modified to send it all the same: the payee refuses before it computes anything.
    let chain = {
        let blank = world.blank(SOUTH, &person);
        let coin = world.coin(NORTH, &person, 6);
        let mut part = world.open(&coin, &[]).pop().unwrap();
        let holding = world.hand_to(part, &blank);
        part = world.open_holding(&holding, &blank).pop().unwrap();
        world.pay(vec![part]).payment.chains[0].clone()
    };
    let mut long = chain.clone();
    long.links = Bounded::new(chain.links.iter().cycle().take(20).cloned().collect()).unwrap();
    let chains = Bounded::new(vec![long; MAX_PIECES]).unwrap();
    let payment = Payment { request: verified.digest, chains };
    let size = codec::encode(&payment).unwrap().len();
    assert!((MAX_PAYMENT_BYTES + 1..=Limit::Large.bytes()).contains(&size), "{size}");
    let mut dice = world.dice();
    let refused = ExpectPayment::new(signed).accept(payment, &world.known, &world.counter(), &mut dice);
    assert_eq!(refused.unwrap_err().1, Rejection::LimitExceeded("bytes of a payment"));
}
