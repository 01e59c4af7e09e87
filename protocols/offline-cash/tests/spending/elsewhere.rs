//! A charge on another bank's customer, as it is claimed there.

use feiqian_money::{Amount, Currency};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::claim::{ClaimItem, LoneChain};
use feiqian_offline_cash::deposit::ClaimTerms;
use feiqian_offline_cash::pay::CashItem;
use feiqian_wire::Bounded;

use crate::world::{NORTH, SOUTH, World, charges, cut, digest, minor, yuan};

fn lone(world: &World, item: &CashItem) -> Vec<LoneChain> {
    let set = item.set(&world.book).unwrap();
    item.payment.chains.iter().map(|chain| LoneChain { chain: chain.clone(), set }).collect()
}

/// A coin of 8 of the north; B, of the south, passes it on twice. The second payee pays two pieces of it in one payment, which
/// came through one answer: one claim, on both.
#[test]
fn a_claim_shows_every_piece_that_came_through_the_answer_and_nothing_else() {
    let mut world = World::new(150);
    let [alice, bob, carol, dave] = [(); 4].map(|()| world.person());
    let coin = world.coin(NORTH, &alice, 3);
    let (holding, blank) = world.hand(world.open(&coin, &[]).remove(0), &bob, SOUTH);
    let items = [(&carol, [2, 1]), (&dave, [2, 0])].map(|(to, exponents)| {
        let part = world.open_holding(&holding, &blank).remove(0);
        let (onward, onto) = world.hand(part, to, NORTH);
        let (pieces, _) = cut(world.open_holding(&onward, &onto), &exponents);
        world.pay(pieces)
    });
    let own = world.pay(world.open(&coin, &[]));
    assert!(charges(&world.deposit(&items[0])).is_empty());
    let charged = charges(&world.deposit(&items[1]));
    let units: u64 = charged.iter().map(|charge| charge.units).sum();
    assert_eq!((charged.len(), units), (2, 5));
    let payment = world.verify(&items[1]).unwrap();
    let terms = |place: usize| ClaimTerms::of(&payment, &payment.chains[place], &charged[place]).unwrap();
    assert_eq!(terms(0), terms(1), "one answer, one payment: one claim");
    let before = Bounded::new(lone(&world, &items[0])).unwrap();
    let item = ClaimItem {
        terms: terms(0),
        amount: yuan(5),
        charged: Bounded::new(lone(&world, &items[1])).unwrap(),
        hop: 1,
        before,
    };
    let verify = |item: &ClaimItem| item.verify(&world.book, &mut world.dice());
    let verified = verify(&item).unwrap();
    assert_eq!((verified.debtor.as_str(), verified.opening.identity().unwrap()), ("south", bob.identity()));
    assert_eq!((verified.terms.id(), verified.amount), (item.digest(), yuan(5)));

    let changed = |change: &dyn Fn(&mut ClaimItem)| {
        let mut item = item.clone();
        change(&mut item);
        verify(&item).unwrap_err()
    };
    let chains = |chains: Vec<LoneChain>| Bounded::new(chains).unwrap();
    let shown = item.charged.to_vec();
    let mismatch = |rejection| matches!(rejection, Rejection::AmountMismatch(_));
    assert!(mismatch(changed(&|item| item.amount = yuan(6))));
    assert!(mismatch(changed(&|item| item.amount = yuan(0))));
    assert!(mismatch(changed(&|item| item.charged = chains(vec![shown[1].clone()]))), "5 of a piece of 1");
    assert!(mismatch(changed(&|item| item.before = Bounded::default())), "nothing was deposited before");
    for hop in [0, 2, 7] {
        assert!(mismatch(changed(&|item| item.hop = hop)), "{hop}");
    }
    let invalid = |rejection| matches!(rejection, Rejection::PieceInvalid(_));
    assert!(invalid(changed(&|item| item.charged = Bounded::default())));
    let twice = Rejection::PieceInvalid("charged chains share a unit");
    assert_eq!(changed(&|item| item.charged = chains([shown.clone(), shown.clone()].concat())), twice);
    assert!(invalid(changed(&|item| {
        let mut other = shown.clone();
        other[0].set = digest("another payment");
        item.charged = chains(other);
    })));
    let mine = lone(&world, &own);
    assert!(
        mismatch(changed(&|item| item.charged = chains([shown.clone(), mine.clone()].concat())))
            || invalid(changed(&|item| item.charged = chains([shown.clone(), mine.clone()].concat())))
    );
    for change in [
        (|item: &mut ClaimItem| item.terms.payment = digest("another")) as fn(&mut ClaimItem),
        |item| item.terms.previous = digest("another"),
        |item| item.terms.message = digest("another"),
        |item| item.terms.issuing_bank = crate::world::name("south"),
    ] {
        assert_eq!(changed(&change), Rejection::RequestMismatch);
    }
    let euro = Amount::new(minor(5), Currency::EUR);
    assert_eq!(changed(&|item| item.amount = euro), Rejection::WrongCurrency);
}

#[test]
fn an_own_customer_and_another_coin_are_not_claimed_elsewhere() {
    let mut world = World::new(151);
    let alice = world.person();
    let [coin, other] = [(); 2].map(|()| world.coin(NORTH, &alice, 1));
    let items = [(); 2].map(|()| world.pay(world.open(&coin, &[])));
    let stray = world.pay(world.open(&other, &[]));
    world.deposit(&items[0]);
    let [charge] = charges(&world.deposit(&items[1]))[..] else { panic!("one charge") };
    let payment = world.verify(&items[1]).unwrap();
    let item = ClaimItem {
        terms: ClaimTerms::of(&payment, &payment.chains[0], &charge).unwrap(),
        amount: yuan(2),
        charged: Bounded::new(lone(&world, &items[1])).unwrap(),
        hop: 0,
        before: Bounded::new(lone(&world, &items[0])).unwrap(),
    };
    let verify = |item: &ClaimItem| item.verify(&world.book, &mut world.dice()).unwrap_err();
    assert_eq!(verify(&item), Rejection::WrongBank("north".to_owned()));
    let before = Bounded::new(lone(&world, &stray)).unwrap();
    assert_eq!(verify(&ClaimItem { before, ..item }), Rejection::PieceInvalid("the chains are of two coins"));
}
