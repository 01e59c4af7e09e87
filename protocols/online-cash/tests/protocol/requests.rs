//! Payment requests: every field is signed; their text; two kinds of payee.

use feiqian_crypto::scalar::random_non_zero;
use feiqian_crypto::{Digest, EncodedPoint};
use feiqian_money::{Amount, Currency};
use feiqian_online_cash::Rejection;
use feiqian_online_cash::coin::public_key;
use feiqian_online_cash::request::{
    Delivery, MAX_URI, Payee, PayeeSignature, PaymentRequest, Route, SignedRequest,
};
use feiqian_pki::{KeyPair, Subject, fingerprint};
use feiqian_wire::{Blob, Text};

use crate::world::{DAY, NOW, World, at, certify, digest, minor, name};

fn text<const MAX: usize>(text: &str) -> Text<MAX> {
    Text::new(text).unwrap()
}

/// Every field of a request changed, one at a time.
fn mutations(good: &PaymentRequest) -> Vec<PaymentRequest> {
    let change = |change: &dyn Fn(&mut PaymentRequest)| {
        let mut request = good.clone();
        change(&mut request);
        request
    };
    vec![
        change(&|r| r.name = text("Another shop")),
        change(&|r| r.amount.minor = minor(9)),
        change(&|r| r.amount = Amount::new(r.amount.minor, Currency::EUR)),
        change(&|r| r.order = text("order 2026-000124")),
        change(&|r| {
            let by_hand = matches!(r.delivery, Delivery::ByHand);
            r.delivery = if by_hand { Delivery::DropBox(text("")) } else { Delivery::ByHand };
        }),
        change(&|r| r.delivery = Delivery::Url(text("https://thief.example.com"))),
        change(&|r| {
            if let Delivery::Url(url) = &good.delivery {
                r.delivery = Delivery::DropBox(url.clone());
            } else {
                r.delivery = Delivery::DropBox(text("https://thief.example.com"));
            }
        }),
        change(&|r| r.refund_until = at(NOW)),
        change(&|r| r.view = digest("another view")),
        change(&|r| r.expires = at(NOW + 601)),
        change(&|r| r.nonce = digest("another nonce")),
    ]
}

#[test]
fn every_field_of_a_request_is_signed() {
    let mut world = World::new(31);
    let secret = random_non_zero(&mut world.rng);
    let directory = world.directory();
    for signed in [world.request(8), world.personal_request(8, &secret)] {
        let good = signed.request.clone();
        assert_eq!(signed.verify(&directory, at(NOW)).unwrap().digest, good.digest());
        for request in mutations(&good) {
            assert_ne!(request.digest(), good.digest(), "{request:?}");
            let bent = SignedRequest { request, signature: signed.signature.clone() };
            let refused = bent.verify(&directory, at(NOW)).unwrap_err();
            assert_eq!(refused, Rejection::SignatureInvalid("payment request"), "{:?}", bent.request);
        }
    }
}

#[test]
fn payee_signature_and_route_belong_together() {
    let mut world = World::new(32);
    let secret = random_non_zero(&mut world.rng);
    let (shop, person) = (world.request(8), world.personal_request(8, &secret));
    let directory = world.directory();
    let refused = |request: PaymentRequest, signature: &PayeeSignature| {
        SignedRequest { request, signature: signature.clone() }.verify(&directory, at(NOW)).unwrap_err()
    };
    let invalid = |refused: Rejection| matches!(refused, Rejection::RequestInvalid(_));
    let route = shop.request.route.clone();
    assert!(invalid(refused(
        PaymentRequest { route: Route::Received, ..shop.request.clone() },
        &shop.signature
    )));
    assert!(invalid(refused(
        PaymentRequest { route: route.clone(), ..person.request.clone() },
        &person.signature
    )));
    assert!(invalid(refused(shop.request.clone(), &person.signature)));
    assert!(invalid(refused(person.request.clone(), &shop.signature)));
    for (bank, account) in [("north", "0123456789abcdef0123456789abcdef"), ("south", "another")] {
        let route = Route::Account { bank: name(bank), account: text(account) };
        assert!(invalid(refused(PaymentRequest { route, ..shop.request.clone() }, &shop.signature)));
    }
    let nothing = Amount::new(minor(0), Currency::CNY);
    assert!(invalid(refused(PaymentRequest { amount: nothing, ..shop.request.clone() }, &shop.signature)));
    for key in [EncodedPoint([0; 32]), EncodedPoint([0xff; 32])] {
        let request = PaymentRequest { payee: Payee::Key(key), ..person.request.clone() };
        assert_eq!(refused(request, &person.signature), Rejection::Malformed("payee key"));
    }
    let own = PaymentRequest { payee: Payee::Key(public_key(&secret)), ..shop.request.clone() };
    assert!(SignedRequest::by_key(own.clone(), &secret, &mut world.rng).is_err());
    assert!(SignedRequest::by_account_holder(own, &world.shop).is_err());
    let other = random_non_zero(&mut world.rng);
    assert!(SignedRequest::by_key(person.request, &other, &mut world.rng).is_err(), "not the key's secret");
}

#[test]
fn a_payees_certificate_must_be_good() {
    let mut world = World::new(33);
    let directory = world.directory();
    let good = world.request(8);
    let late = good.verify(&directory, at(NOW + 366 * DAY)).unwrap_err();
    assert!(matches!(late, Rejection::CertificateInvalid(_)), "{late}");
    let issuer = fingerprint(world.north.authority.chain().leaf());
    let Payee::Certified { leaf, .. } = good.request.payee.clone() else { panic!("certified") };
    let wrong = PaymentRequest { payee: Payee::Certified { leaf, issuer }, ..good.request.clone() };
    let wrong = SignedRequest::by_account_holder(wrong, &world.shop).unwrap();
    assert!(matches!(wrong.verify(&directory, at(NOW)), Err(Rejection::CertificateInvalid(_))));
    let thief = KeyPair::generate(&mut world.rng);
    let subject = Subject::customer("thief", "south").unwrap();
    let chain = certify(&thief, &subject, &world.south.authority, &mut world.rng);
    let issuer = fingerprint(world.south.authority.chain().leaf());
    let payee = Payee::Certified { leaf: Blob::new(chain.leaf()).unwrap(), issuer };
    let stolen = PaymentRequest { payee, ..good.request.clone() };
    let stolen = SignedRequest::by_account_holder(stolen, &thief).unwrap();
    assert!(matches!(stolen.verify(&directory, at(NOW)), Err(Rejection::RequestInvalid(_))));
    let forged = SignedRequest::by_account_holder(good.request, &thief).unwrap();
    assert!(matches!(forged.verify(&directory, at(NOW)), Err(Rejection::SignatureInvalid(_))));
}

#[test]
fn a_request_with_a_real_certificate_fits_a_qr_code() {
    let mut world = World::new(34);
    let secret = random_non_zero(&mut world.rng);
    for signed in [world.request(1_234_567), world.personal_request(8, &secret)] {
        let uri = signed.to_uri().unwrap();
        assert!(uri.len() <= MAX_URI, "{} characters", uri.len());
        assert_eq!(SignedRequest::from_uri(&uri).unwrap(), signed);
        assert_eq!(SignedRequest::from_uri(&format!(" {uri}\n")).unwrap(), signed);
    }
    let mut long = world.terms(8);
    long.payee = Payee::Certified { leaf: Blob::new(vec![7; 768]).unwrap(), issuer: Digest([0; 32]) };
    let long = SignedRequest::by_account_holder(long, &world.shop).unwrap();
    assert!(matches!(long.to_uri(), Err(Rejection::RequestInvalid(_))));
}

#[test]
fn text_that_is_no_request_is_refused() {
    let world = World::new(35);
    let uri = world.request(8).to_uri().unwrap();
    let body = uri.strip_prefix("feiqian:").unwrap();
    for bad in [
        String::new(),
        "feiqian:".into(),
        body.into(),
        format!("http:{body}"),
        format!("{uri}="),
        format!("{uri}AAAA"),
        uri[..uri.len() - 4].into(),
        format!("{uri}{}", "A".repeat(MAX_URI)),
        uri.replace("feiqian:R", "feiqian:S"),
        format!("feiqian:!{}", &body[1..]),
    ] {
        assert!(matches!(SignedRequest::from_uri(&bad), Err(Rejection::RequestInvalid(_))), "{bad}");
    }
}
