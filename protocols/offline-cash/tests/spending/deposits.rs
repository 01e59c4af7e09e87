//! Receipts, parts and claims.

use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::deposit::{
    ClaimTerms, Deposit, Outcome, Part, ReceiptTerms, Source, settle_payment,
};
use feiqian_offline_cash::register::Deposited;
use feiqian_pki::KeyPair;
use feiqian_wire::codec::{self, Limit};

use crate::world::{NORTH, NOW, World, at, charges, cut, digest, minor};

fn part(piece: u32, amount: u64, source: Source) -> Part {
    Part { piece, amount: minor(amount), source }
}

#[test]
fn a_fork_is_paid_as_far_as_it_goes_and_the_rest_is_a_claim() {
    let mut world = World::new(40);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 2);
    let (half, _) = cut(world.open(&coin, &[]), &[1]);
    let first = world.pay(half);
    world.deposit(&first);
    let whole = world.open(&coin, &[]);
    let fork = world.pay(whole);
    let payment = world.verify(&fork).unwrap();
    let settlements = world.deposit(&fork);
    assert_eq!(settlements[0].circulation, 2);
    let [charge] = charges(&settlements)[..] else { panic!() };
    assert_eq!((charge.units, world.named(&charge)), (2, person.identity()));

    let claim = ClaimTerms::of(&payment, &payment.chains[0], &charge).unwrap();
    assert_eq!((claim.message, claim.payment), (coin.message, payment.set));
    let mut other = claim.clone();
    other.payment = digest("another payment");
    assert_ne!(claim.id(), other.id());
    let stray = feiqian_offline_cash::register::Charge { hop: 1, ..charge };
    assert!(ClaimTerms::of(&payment, &payment.chains[0], &stray).is_err());

    let signer = KeyPair::generate(&mut world.rng);
    let presentment = digest("presentment");
    let parts = vec![
        part(0, 2, Source::Circulation),
        part(0, 1, Source::Charged { accusation: digest("accusation") }),
        part(0, 1, Source::Unpaid { claim: claim.id() }),
    ];
    let terms = ReceiptTerms::new(&payment, presentment, parts.clone(), at(NOW)).unwrap();
    assert_eq!((terms.paid().unwrap(), terms.unpaid().unwrap()), (minor(3), minor(1)));
    let receipt = terms.sign(&signer).unwrap();
    receipt.verify(&signer.public_key()).unwrap();
    receipt.check_for(&payment, &presentment).unwrap();
    assert_eq!(receipt.check_for(&payment, &digest("another")), Err(Rejection::RequestMismatch));
    let first = world.verify(&first).unwrap();
    assert_eq!(receipt.check_for(&first, &presentment), Err(Rejection::RequestMismatch));
    let stranger = KeyPair::generate(&mut world.rng);
    assert!(matches!(receipt.verify(&stranger.public_key()), Err(Rejection::SignatureInvalid(_))));
    for change in [
        (|parts: &mut Vec<Part>| parts[2].source = Source::Circulation) as fn(&mut Vec<Part>),
        |parts| parts[1].source = Source::Charged { accusation: digest("another") },
        |parts| parts.swap(1, 2),
        |parts| parts[0].piece = 1,
    ] {
        let mut changed = receipt.clone();
        let mut list = parts.clone();
        change(&mut list);
        changed.terms.parts = list.try_into().unwrap();
        assert!(matches!(changed.verify(&signer.public_key()), Err(Rejection::SignatureInvalid(_))));
    }
    let mut less = receipt.clone();
    less.terms.parts = vec![parts[0]].try_into().unwrap();
    assert!(matches!(less.verify(&signer.public_key()), Err(Rejection::AmountMismatch(_))));
    for wrong in [
        vec![part(0, 3, Source::Circulation)],
        vec![part(1, 4, Source::Circulation)],
        vec![part(0, 4, Source::Circulation), part(0, 0, Source::Circulation)],
        vec![part(0, 4, Source::Circulation), part(7, 1, Source::Circulation)],
    ] {
        let refused = ReceiptTerms::new(&payment, presentment, wrong, at(NOW));
        assert!(matches!(refused, Err(Rejection::AmountMismatch(_))));
    }
    for outcome in [Outcome::Settled(receipt.clone()), Outcome::Before(receipt)] {
        let bytes = codec::encode(&outcome).unwrap();
        assert_eq!(codec::decode::<Outcome>(&bytes, Limit::Medium).unwrap(), outcome);
        let json = codec::encode_json(&outcome).unwrap();
        assert_eq!(codec::decode_json::<Outcome>(&json, Limit::Medium).unwrap(), outcome);
    }
    let deposit = Deposit { item: fork, presentment };
    let json = codec::encode_json(&deposit).unwrap();
    assert_eq!(codec::decode_json::<Deposit>(&json, Limit::Medium).unwrap(), deposit);
    assert_eq!(payment.closes(), at(NOW + 180 * crate::world::DAY));
    assert!(payment.check_deposit(at(NOW + 180 * crate::world::DAY - 1)).is_ok());
    assert_eq!(payment.check_deposit(payment.closes()), Err(Rejection::KeyExpired));
}

#[test]
fn a_chain_settles_once() {
    let mut world = World::new(41);
    let person = world.person();
    let coin = world.coin(NORTH, &person, 1);
    let parts = world.open(&coin, &[]);
    let item = world.pay(parts);
    world.deposit(&item);
    let payment = world.verify(&item).unwrap();
    let stored = Deposited::of(&payment.chains[0]).unwrap();
    let again = settle_payment::<Rejection>(&payment, |_, _| Ok(vec![stored.clone()]));
    assert_eq!(again.unwrap_err(), Rejection::PieceRepeated);
    let failing = settle_payment::<Rejection>(&payment, |_, _| Err(Rejection::KeyExpired));
    assert_eq!(failing.unwrap_err(), Rejection::KeyExpired);
    // What a store reads back is what was put in.
    let value = minor(2);
    assert_eq!(Deposited::new(value, stored.marks().to_vec()).unwrap(), stored);
}
