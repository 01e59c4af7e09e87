//! The handshake over a transfer, and the blank that takes one piece.

use std::collections::BTreeSet;

use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::holding::Holding;
use feiqian_offline_cash::policy::Counter;
use feiqian_offline_cash::purse::SpendError;
use feiqian_offline_cash::transfer::{OpenOffer, Transfer, pass};
use feiqian_wire::Bounded;

use crate::world::{NORTH, NOW, SOUTH, World, at, cut, digest, yuan};

fn receive(
    world: &World,
    open: OpenOffer,
    transfer: &Transfer,
    taken: &BTreeSet<feiqian_crypto::Digest>,
) -> Result<Vec<Holding>, (OpenOffer, Rejection)> {
    open.receive(transfer, taken, &world.counter(), &mut world.dice())
}

#[test]
fn both_screens_show_one_code_and_a_changed_offer_shows_another_or_none() {
    let mut world = World::new(30);
    let (payee, thief) = (world.person(), world.person());
    let (ours, theirs) = (world.blank(NORTH, &payee), world.blank(NORTH, &thief));
    let offer = world.offer(4, &[&ours]);
    let (pending, commitment) = offer.clone().commit(&world.book, &mut world.rng).unwrap();
    let (expect, nonce) = commitment.answer(&mut world.rng);
    let (_, opening, code) = pending.open(&nonce);
    let text = code.to_string();
    assert!(text.len() == 7 && text.chars().filter(char::is_ascii_digit).count() == 6);
    // Another offer does not open the commitment.
    let mut changed = opening.clone();
    changed.offer = world.offer(4, &[&theirs]);
    assert_eq!(expect.check(changed, &world.book).unwrap_err(), Rejection::RequestMismatch);
    // Whoever stands between commits to its own offer, and then the codes differ.
    let (pending, commitment) = world.offer(4, &[&theirs]).commit(&world.book, &mut world.rng).unwrap();
    let (expect, nonce) = commitment.answer(&mut world.rng);
    let (_, opening, _) = pending.open(&nonce);
    assert_ne!(expect.check(opening, &world.book).unwrap().code(), code);
}

#[test]
fn an_offer_lists_fresh_blanks_of_pinned_keys() {
    let mut world = World::new(31);
    let payee = world.person();
    let blank = world.blank(NORTH, &payee);
    let refused = |world: &mut World, offer: feiqian_offline_cash::transfer::Offer| {
        offer.commit(&world.book, &mut world.rng).unwrap_err()
    };
    let twice = world.offer(4, &[&blank, &blank]);
    assert_eq!(refused(&mut world, twice), Rejection::RequestInvalid("a blank stands twice"));
    for offer in [world.offer(4, &[]), world.offer(0, &[&blank])] {
        assert!(matches!(refused(&mut world, offer), Rejection::RequestInvalid(_)));
    }
    let mut hidden = world.offer(4, &[&blank]);
    hidden.keysets = Bounded::default();
    assert!(matches!(refused(&mut world, hidden), Rejection::KeysetNotPinned(_)));
    let mut value = world.offer(4, &[&blank]);
    let mut blanks = value.blanks.into_vec();
    blanks[0].key = world.key(NORTH, 2).id;
    value.blanks = Bounded::new(blanks).unwrap();
    assert!(matches!(refused(&mut world, value), Rejection::RequestInvalid(_)));
}

#[test]
fn a_blank_takes_one_piece_ever() {
    let mut world = World::new(32);
    let (alice, bob) = (world.person(), world.person());
    let coin = world.coin(NORTH, &alice, 3);
    let (pieces, _) = cut(world.open(&coin, &[]), &[2, 1]);
    let (one, other) = (world.blank(NORTH, &bob), world.blank(SOUTH, &bob));
    let (open, transfer) = world.make_transfer(pieces, &[&one, &other]);
    let untaken = BTreeSet::new();
    // Both pieces on one blank: no.
    let mut chains = transfer.chains.clone().into_vec();
    chains[1].blank = chains[0].blank;
    let doubled = Transfer { offer: transfer.offer, chains: Bounded::new(chains).unwrap() };
    let (open, rejection) = receive(&world, open, &doubled, &untaken).unwrap_err();
    assert_eq!(rejection, Rejection::BlankAnswered);
    // A blank that took a piece before: no.
    let (open, rejection) = receive(&world, open, &transfer, &BTreeSet::from([other.message])).unwrap_err();
    assert_eq!(rejection, Rejection::BlankAnswered);
    // To a blank that was not offered, or for another offer: no.
    let foreign = world.blank(NORTH, &bob);
    let mut chains = transfer.chains.clone().into_vec();
    chains[1].blank.message = foreign.message;
    let moved = Transfer { offer: transfer.offer, chains: Bounded::new(chains).unwrap() };
    let (open, rejection) = receive(&world, open, &moved, &untaken).unwrap_err();
    assert_eq!(rejection, Rejection::RequestMismatch);
    let other_offer = Transfer { offer: digest("another"), chains: transfer.chains.clone() };
    let (open, rejection) = receive(&world, open, &other_offer, &untaken).unwrap_err();
    assert_eq!(rejection, Rejection::RequestMismatch);
    // Pieces moved to each other's blank: their challenges name the blank.
    let mut chains = transfer.chains.clone().into_vec();
    let blank = chains[0].blank;
    chains[0].blank = chains[1].blank;
    chains[1].blank = blank;
    let swapped = Transfer { offer: transfer.offer, chains: Bounded::new(chains).unwrap() };
    let (open, rejection) = receive(&world, open, &swapped, &untaken).unwrap_err();
    assert!(matches!(rejection, Rejection::PieceInvalid(_)));
    // Less than was asked.
    let part =
        Transfer { offer: transfer.offer, chains: Bounded::new(vec![transfer.chains[0].clone()]).unwrap() };
    let (open, rejection) = receive(&world, open, &part, &untaken).unwrap_err();
    assert!(matches!(rejection, Rejection::AmountMismatch(_)));
    // Too late.
    let late = Counter { now: at(NOW + 600), ..world.counter() };
    let (open, rejection) = open.receive(&transfer, &untaken, &late, &mut world.dice()).unwrap_err();
    assert!(matches!(rejection, Rejection::Expired { .. }));
    // As it was meant.
    let holdings = receive(&world, open, &transfer, &untaken).unwrap();
    assert_eq!(holdings.iter().map(|holding| holding.value().value()).collect::<Vec<_>>(), [4, 2]);
}

#[test]
fn a_payee_refuses_exposed_held_and_overlapping_pieces() {
    let mut world = World::new(33);
    let (alice, bob) = (world.person(), world.person());
    let coin = world.coin(NORTH, &alice, 2);
    let blanks = [world.blank(NORTH, &bob), world.blank(NORTH, &bob)];
    let parts = world.open(&coin, &[]);
    let first = world.hand_to(parts.into_iter().next().unwrap(), &blanks[0]);
    world.held.add(first.chain()).unwrap();
    // Alice gives the same value once more.
    let parts = world.open(&coin, &[]);
    let (open, transfer) = world.make_transfer(parts, &[&blanks[1]]);
    let (open, rejection) = receive(&world, open, &transfer, &BTreeSet::new()).unwrap_err();
    assert_eq!(rejection, Rejection::PieceRepeated);
    world.held = feiqian_offline_cash::held::Held::new();
    world.exposed.coins = BTreeSet::from([coin.message]);
    let (_, rejection) = receive(&world, open, &transfer, &BTreeSet::new()).unwrap_err();
    assert_eq!(rejection, Rejection::CoinExposed);
}

#[test]
fn a_blank_that_took_two_pieces_exposes_its_holder_and_is_noticed_before() {
    let mut world = World::new(36);
    let (alice, bob) = (world.person(), world.person());
    let coins = [world.coin(NORTH, &alice, 2), world.coin(NORTH, &alice, 2)];
    let blank = world.blank(NORTH, &bob);
    let mut parts = coins.each_ref().map(|coin| {
        let part = world.open(coin, &[]).remove(0);
        let holding = world.hand_to(part, &blank);
        world.open_holding(&holding, &blank).remove(0).divide().unwrap().map(Some)
    });
    let mut pay = |past: usize, half: usize| {
        let item = {
            let part = parts[past][half].take().unwrap();
            world.pay(vec![part])
        };
        world.verify(&item).unwrap().chains.remove(0)
    };
    let (left, right, again) = (pay(0, 0), pay(1, 1), pay(1, 0));
    // Disjoint nodes, but of two pasts: a payee refuses the second.
    let mut held = feiqian_offline_cash::held::Held::new();
    held.add(&left).unwrap();
    assert_eq!(held.check(&[right]), Err(Rejection::PieceRepeated));
    // Overlapping ones name Bob, who needs no other cheat for it: so a wallet takes one piece for a blank.
    let pieces = [left.hops()[1].piece(), again.hops()[1].piece()];
    let opening = feiqian_crypto::share_tree::identify(&pieces).unwrap().unwrap();
    assert_eq!(opening.identity().unwrap(), bob.identity());
}

#[test]
fn value_may_come_back_to_who_gave_it_on() {
    let mut world = World::new(34);
    let (alice, bob) = (world.person(), world.person());
    let coin = world.coin(NORTH, &alice, 2);
    let start = world.open(&coin, &[]).remove(0);
    let (holding, blank) = world.hand(start, &alice, NORTH);
    world.held.add(holding.chain()).unwrap();
    let [half, _kept] = world.open_holding(&holding, &blank).remove(0).divide().unwrap();
    let (away, onto) = world.hand(half, &bob, SOUTH);
    let back = world.open_holding(&away, &onto).remove(0);
    let (home, _) = world.hand(back, &alice, NORTH);
    assert_eq!((home.value().value(), home.chain().hops().len()), (2, 3));
    assert_eq!(home.chain().terms().bank.as_str(), "north");
    assert_eq!(home.chain().terms().keysets.len(), 2);
}

#[test]
fn pieces_that_do_not_fit_the_offer_come_back() {
    let mut world = World::new(35);
    let (alice, bob) = (world.person(), world.person());
    let coin = world.coin(NORTH, &alice, 2);
    let blank = world.blank(NORTH, &bob);
    let refused = |world: &mut World, amount: u64, now: u64| {
        let (_, confirmed) = world.confirm(world.offer(amount, &[&blank]));
        assert_eq!(confirmed.offer().amount, yuan(amount));
        let (pieces, _) = cut(world.open(&coin, &[]), &[1, 0]);
        match pass(confirmed, pieces, at(now), &mut world.rng).unwrap_err() {
            SpendError::Refused { unspent, because } => {
                assert_eq!(unspent.len(), 2);
                because
            }
            other => panic!("{other}"),
        }
    };
    assert!(matches!(refused(&mut world, 4, NOW), Rejection::AmountMismatch(_)));
    assert_eq!(refused(&mut world, 3, NOW), Rejection::LimitExceeded("pieces"));
    assert!(matches!(refused(&mut world, 3, NOW + 600), Rejection::Expired { .. }));
}
