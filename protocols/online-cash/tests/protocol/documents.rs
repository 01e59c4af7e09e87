//! Receipts, expiry statements, refunds, drop boxes.

use feiqian_crypto::scalar::random_non_zero;
use feiqian_crypto::{EncodedPoint, EncodedScalar};
use feiqian_money::{Amount, Currency};
use feiqian_online_cash::Rejection;
use feiqian_online_cash::coin::public_key;
use feiqian_online_cash::deposit::{ExpiredStatement, PayeeReceipt, Receipt, ReceiptTerms};
use feiqian_online_cash::drop_box::{BoxAccess, BoxAction, MAX_SEALED, Sealed};
use feiqian_online_cash::refund::{RefundItem, RefundOrder};
use feiqian_online_cash::request::Route;
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{Purpose, Revocation, Verified, validate};
use feiqian_wire::{Blob, Text};

use crate::world::{NOW, World, at, digest, minor, name};

fn receipt(world: &World, amount: u64) -> Receipt {
    let terms = ReceiptTerms {
        bank: name("north"),
        payment: digest("payment"),
        request: digest("request"),
        amount: Amount::new(minor(amount), Currency::CNY),
        route: world.terms(amount).route,
        presentment: digest("presentment"),
        paid_at: at(NOW),
    };
    terms.sign(&world.north.signer).unwrap()
}

#[test]
fn every_field_of_a_receipt_is_signed() {
    let world = World::new(61);
    let good = receipt(&world, 8);
    let key = world.north.signer.public_key();
    assert_eq!(good.verify(&key), Ok(()));
    assert!(good.verify(&world.south.signer.public_key()).is_err());
    let change = |change: &dyn Fn(&mut Receipt)| {
        let mut bent = good.clone();
        change(&mut bent);
        bent
    };
    for bent in [
        change(&|r| r.bank = name("south")),
        change(&|r| r.payment = digest("other")),
        change(&|r| r.request = digest("other")),
        change(&|r| r.amount.minor = minor(9)),
        change(&|r| r.amount.currency = Currency::EUR),
        change(&|r| r.route = Route::Received),
        change(&|r| r.route = Route::Account { bank: name("south"), account: Text::new("x").unwrap() }),
        change(&|r| r.presentment = digest("other")),
        change(&|r| r.paid_at = at(NOW + 1)),
    ] {
        assert_eq!(bent.verify(&key), Err(Rejection::SignatureInvalid("receipt")));
    }
    let signed = PayeeReceipt::sign(good.clone(), &world.shop).unwrap();
    let shop = world.shop.public_key();
    assert_eq!(signed.verify(&good.payment, &good.request, &key, &shop), Ok(()));
    assert!(signed.verify(&digest("other"), &good.request, &key, &shop).is_err());
    assert!(signed.verify(&good.payment, &digest("other"), &key, &shop).is_err());
    assert!(signed.verify(&good.payment, &good.request, &key, &key).is_err());
    assert!(signed.verify(&good.payment, &good.request, &shop, &shop).is_err());
}

#[test]
fn every_field_of_an_expiry_statement_is_signed() {
    let world = World::new(62);
    let key = world.north.signer.public_key();
    let good = ExpiredStatement::sign(name("north"), digest("p"), at(NOW), &world.north.signer).unwrap();
    assert_eq!(good.verify(&key), Ok(()));
    for bent in [
        ExpiredStatement { bank: name("south"), ..good.clone() },
        ExpiredStatement { payment: digest("q"), ..good.clone() },
        ExpiredStatement { expires: at(NOW + 1), ..good.clone() },
    ] {
        assert!(bent.verify(&key).is_err());
    }
}

fn payee(world: &World) -> Verified {
    validate(&world.shop_chain, &world.root, Purpose::Signing, Revocation::Unchecked, NOW).unwrap()
}

#[test]
fn a_refund_is_of_ones_own_payment_and_at_most_all_of_it() {
    let world = World::new(63);
    let key = world.north.signer.public_key();
    let order = |amount, currency| {
        let amount = Amount::new(minor(amount), currency);
        RefundOrder::sign(digest("refund"), name("north"), digest("payment"), amount, &world.shop)
    };
    let chain = WireChain::from_chain(&world.shop_chain).unwrap();
    let item = |order: RefundOrder, receipt: Receipt| RefundItem { order, receipt, payee: chain.clone() };
    let payee = payee(&world);
    let good = item(order(8, Currency::CNY).unwrap(), receipt(&world, 8));
    assert_eq!(good.verify(&payee, &key), Ok(()));
    assert!(order(0, Currency::CNY).is_err());
    let refused =
        |order: RefundOrder, receipt: Receipt| item(order, receipt).verify(&payee, &key).unwrap_err();
    let more = refused(order(9, Currency::CNY).unwrap(), receipt(&world, 8));
    assert!(matches!(more, Rejection::AmountMismatch(_)));
    assert_eq!(refused(order(8, Currency::EUR).unwrap(), receipt(&world, 8)), Rejection::WrongCurrency);
    let base = &good.order;
    let other = RefundOrder { payment: digest("other"), ..base.clone() };
    assert_eq!(refused(other, receipt(&world, 8)), Rejection::RequestMismatch);
    let other = RefundOrder { issuing_bank: name("south"), ..base.clone() };
    assert_eq!(refused(other, receipt(&world, 8)), Rejection::RequestMismatch);
    let other = RefundOrder { refund: digest("other"), ..base.clone() };
    assert_eq!(refused(other, receipt(&world, 8)), Rejection::SignatureInvalid("refund order"));
    let other = RefundOrder { amount: Amount::new(minor(7), Currency::CNY), ..base.clone() };
    assert_eq!(refused(other, receipt(&world, 8)), Rejection::SignatureInvalid("refund order"));
    let elsewhere = Receipt { route: Route::Received, ..receipt(&world, 8) };
    assert_eq!(refused(base.clone(), elsewhere), Rejection::WrongRoute);
    let anothers = Route::Account { bank: name("south"), account: Text::new("another").unwrap() };
    let anothers = Receipt { route: anothers, ..receipt(&world, 8) };
    assert_eq!(refused(base.clone(), anothers), Rejection::WrongRoute);
    let forged = Receipt { paid_at: at(NOW + 1), ..receipt(&world, 8) };
    assert_eq!(refused(base.clone(), forged), Rejection::SignatureInvalid("receipt"));
    assert!(good.verify(&payee, &world.south.signer.public_key()).is_err());
}

#[test]
fn a_sealed_message_opens_for_its_payee_alone_and_unchanged() {
    let mut world = World::new(64);
    let secret = random_non_zero(&mut world.rng);
    let other = random_non_zero(&mut world.rng);
    let payee = public_key(&secret);
    for message in [b"".to_vec(), b"a payment".to_vec(), vec![7; MAX_SEALED - 16]] {
        let sealed = Sealed::seal(&payee, &message, &mut world.rng).unwrap();
        assert_eq!(sealed.open(&secret).unwrap(), message);
        assert!(sealed.open(&other).is_err());
        let again = Sealed::seal(&payee, &message, &mut world.rng).unwrap();
        assert_ne!(sealed.digest(), again.digest(), "sealed anew, another message");
    }
    assert!(Sealed::seal(&payee, &vec![7; MAX_SEALED - 15], &mut world.rng).is_err());
    for bad in [EncodedPoint([0; 32]), EncodedPoint([0xff; 32])] {
        assert!(Sealed::seal(&bad, b"x", &mut world.rng).is_err());
    }
    let sealed = Sealed::seal(&payee, b"a payment", &mut world.rng).unwrap();
    let length = sealed.ciphertext.len();
    for bit in 0..length * 8 {
        let mut bytes = sealed.ciphertext.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let bent = Sealed { ciphertext: Blob::new(bytes).unwrap(), ..sealed.clone() };
        assert!(bent.open(&secret).is_err(), "bit {bit}");
    }
    for length in 0..length {
        let bytes = sealed.ciphertext[..length].to_vec();
        let bent = Sealed { ciphertext: Blob::new(bytes).unwrap(), ..sealed.clone() };
        assert!(bent.open(&secret).is_err(), "{length} bytes");
    }
    for ephemeral in [EncodedPoint([0; 32]), EncodedPoint([0xff; 32]), payee] {
        assert!(Sealed { ephemeral, ..sealed.clone() }.open(&secret).is_err());
    }
}

#[test]
fn a_box_opens_for_its_key_at_its_bank_and_for_one_action() {
    let mut world = World::new(65);
    let secret = random_non_zero(&mut world.rng);
    let collect = BoxAccess::sign("north", &secret, BoxAction::Collect, &mut world.rng).unwrap();
    let delete = BoxAction::Delete(digest("message"));
    let delete = BoxAccess::sign("north", &secret, delete, &mut world.rng).unwrap();
    assert_eq!((collect.verify("north"), delete.verify("north")), (Ok(()), Ok(())));
    let thief = public_key(&random_non_zero(&mut world.rng));
    for bent in [
        BoxAccess { payee: thief, ..collect.clone() },
        BoxAccess { action: BoxAction::Collect, ..delete.clone() },
        BoxAccess { action: BoxAction::Delete(digest("other")), ..delete.clone() },
        BoxAccess { possession: delete.possession, ..collect.clone() },
    ] {
        assert_eq!(bent.verify("north"), Err(Rejection::PossessionInvalid));
    }
    assert_eq!(collect.verify("south"), Err(Rejection::PossessionInvalid));
    let nobody = BoxAccess { payee: EncodedPoint([0; 32]), ..collect.clone() };
    assert_eq!(nobody.verify("north"), Err(Rejection::Malformed("payee key")));
    let mut proof = collect.possession;
    proof.s = EncodedScalar([0xff; 32]);
    assert!(BoxAccess { possession: proof, ..collect }.verify("north").is_err());
}
