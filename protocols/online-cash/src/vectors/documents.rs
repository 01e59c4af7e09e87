//! Vectors of the statements that sessions and documents are signed by.

use feiqian_crypto::{EncodedScalar, Scalar};
use feiqian_money::{Amount, Currency};
use feiqian_pki::KeyPair;
use feiqian_wire::{Bounded, Text, Timestamp};
use serde_json::{Value, json};

use super::{CONSTANT, NOW, World, digest, judged, minor, name, public, stream, valid};
use crate::Rejection;
use crate::coin::public_key;
use crate::deposit::{ExpiredStatement, Receipt, ReceiptTerms};
use crate::drop_box::{BoxAccess, BoxAction, Sealed};
use crate::funding::{
    StatedInput, coins_statement, received_statement, refunded_statement, withdrawal_statement,
};
use crate::refund::RefundOrder;
use crate::request::Route;
use crate::seed::Seed;

pub(super) fn vectors(world: &World) -> Vec<Value> {
    [statements(world), receipts(&world.north.signer), drop_box()].concat()
}

fn statements(world: &World) -> Vec<Value> {
    let mut rng = stream(31);
    let session = world.draw(&world.north, &[2, 1], "statements", &mut rng);
    let denominations: Vec<_> = session.coins.iter().map(|coin| coin.id.denomination).collect();
    let challenges = &session.challenges;
    let withdrawal =
        withdrawal_statement("north", "a1b2c3", &session.id, &denominations, minor(0), challenges);
    let mut all = vec![valid(
        "a withdrawal of two coins",
        "online-cash/withdrawal-statement",
        json!({
            "bank": "north", "account": "a1b2c3", "session": session.id, "denominations": denominations,
            "fee": "0", "challenges": challenges,
        }),
        json!({ "statement": withdrawal }),
    )];
    let releases: [&[&str]; 2] = [&[], &["released payment", "released refresh"]];
    let inputs: Vec<StatedInput> = session
        .coins
        .iter()
        .zip([4, 1].iter().zip(releases))
        .map(|(coin, (given, releases))| StatedInput {
            coin: coin.id,
            contribution: minor(*given),
            releases: Bounded::new(releases.iter().map(|name| digest(name)).collect()).expect(CONSTANT),
        })
        .collect();
    let mut refresh = |name: &str, kind: &str, own: Value, statement: feiqian_crypto::Digest| {
        let inputs = json!({
            "bank": "north", "session": session.id, "kind": kind, "inputs": own, "challenges": challenges,
        });
        all.push(valid(name, "online-cash/refresh-statement", inputs, json!({ "statement": statement })));
    };
    let coins = coins_statement("north", &session.id, inputs.iter(), challenges);
    refresh("coins, one with two releases", "coins", json!(inputs), coins);
    let payment = digest("payment");
    let own = || json!({ "payment": payment, "amount": "5" });
    let received = received_statement("north", &session.id, &payment, minor(5), challenges);
    refresh("a received payment", "received", own(), received);
    let refunded = refunded_statement("north", &session.id, &payment, minor(5), challenges);
    refresh("a refunded payment: another statement", "refunded", own(), refunded);
    all
}

fn terms(route: Route) -> ReceiptTerms {
    ReceiptTerms {
        bank: name("north"),
        payment: digest("payment"),
        request: digest("request"),
        amount: Amount::new(minor(1250), Currency::CNY),
        route,
        presentment: digest("presentment"),
        paid_at: Timestamp::new(NOW),
    }
}

fn receipts(signer: &KeyPair) -> Vec<Value> {
    let key = signer.public_key();
    let document =
        |name: &str, kind: &str, document: Value, verdict: Result<Value, Rejection>, reason: Option<&str>| {
            let inputs = json!({ "document": document, "signing_key": public(signer) });
            judged(name, &format!("online-cash/{kind}"), inputs, verdict, reason)
        };
    let receipt = |name: &str, receipt: Receipt, reason: Option<&str>| {
        let verdict = receipt.verify(&key).map(|()| json!({ "digest": receipt.digest() }));
        document(name, "receipt", json!(receipt), verdict, reason)
    };
    let account = Route::Account { bank: name("south"), account: Text::new("d4e5f6").expect(CONSTANT) };
    let good = terms(account).sign(signer).expect(CONSTANT);
    let changed = "signature does not verify: receipt";
    let expired = ExpiredStatement::sign(name("north"), digest("payment"), Timestamp::new(NOW), signer)
        .expect(CONSTANT);
    let late = ExpiredStatement { expires: expired.expires.saturating_add(1), ..expired.clone() };
    let statement = |name: &str, given: &ExpiredStatement, reason: Option<&str>| {
        let verdict = given.verify(&key).map(|()| json!({ "digest": given.digest() }));
        document(name, "expired", json!(given), verdict, reason)
    };
    let amount = Amount::new(minor(200), Currency::CNY);
    let order = RefundOrder::sign(digest("refund"), name("north"), digest("payment"), amount, signer)
        .expect(CONSTANT);
    let more = RefundOrder { amount: Amount::new(minor(201), Currency::CNY), ..order.clone() };
    let nothing = RefundOrder { amount: Amount::new(minor(0), Currency::CNY), ..order.clone() };
    let refund = |name: &str, given: &RefundOrder, reason: Option<&str>| {
        let verdict = given.verify(&key).map(|()| json!({ "digest": given.digest() }));
        document(name, "refund", json!(given), verdict, reason)
    };
    vec![
        receipt("a receipt to an account", good.clone(), None),
        receipt("a receipt to new coins", terms(Route::Received).sign(signer).expect(CONSTANT), None),
        receipt(
            "the amount is changed",
            Receipt { amount: Amount::new(minor(1251), Currency::CNY), ..good.clone() },
            Some(changed),
        ),
        receipt("the route is changed", Receipt { route: Route::Received, ..good.clone() }, Some(changed)),
        receipt(
            "the presentment is changed",
            Receipt { presentment: digest("another presentment"), ..good },
            Some(changed),
        ),
        statement("an expiry statement", &expired, None),
        statement("the expiry is changed", &late, Some("signature does not verify: expiry statement")),
        refund("a refund order", &order, None),
        refund("the amount is changed", &more, Some("signature does not verify: refund order")),
        refund("nothing is refunded", &nothing, Some("amounts do not agree: a refund is more than zero")),
    ]
}

fn drop_box() -> Vec<Value> {
    let mut rng = stream(33);
    let secret: Scalar = Seed::from_bytes(super::SEED).payee_key(&[9; 16], 6);
    let payee = public_key(&secret);
    let message = "sealed to the payee: 飞钱".as_bytes();
    let sealed = Sealed::seal(&payee, message, &mut rng).expect(CONSTANT);
    let open = |name: &str, sealed: &Sealed, secret: &Scalar, reason: Option<&str>| {
        let inputs = json!({ "secret": EncodedScalar::from(secret), "sealed": sealed });
        let verdict = sealed.open(secret);
        let verdict = verdict.map(|text| json!({ "message": hex::encode(text), "digest": sealed.digest() }));
        judged(name, "online-cash/drop-box-open", inputs, verdict, reason)
    };
    let refused = Some("malformed: sealed message");
    let mut bytes = sealed.ciphertext.to_vec();
    bytes.iter_mut().take(1).for_each(|byte| *byte ^= 1);
    let changed = Sealed { ciphertext: feiqian_wire::Blob::new(bytes).expect(CONSTANT), ..sealed.clone() };
    let other: Scalar = Seed::from_bytes(super::SEED).payee_key(&[9; 16], 7);
    let mut all = vec![
        open("a sealed message", &sealed, &secret, None),
        open("a bit of the ciphertext is flipped", &changed, &secret, refused),
        open("another payee's key", &sealed, &other, refused),
    ];
    let mut access = |name: &str, bank: &str, access: &BoxAccess, reason: Option<&str>| {
        let inputs = json!({ "bank": bank, "access": access });
        let statement = BoxAccess::statement(bank, &access.payee, &access.action);
        let verdict = access.verify(bank).map(|()| json!({ "statement": statement }));
        all.push(judged(name, "online-cash/drop-box-access", inputs, verdict, reason));
    };
    let collect = BoxAccess::sign("north", &secret, BoxAction::Collect, &mut rng).expect(CONSTANT);
    let delete = BoxAction::Delete(sealed.digest());
    let delete = BoxAccess::sign("north", &secret, delete, &mut rng).expect(CONSTANT);
    let swapped = BoxAccess { action: BoxAction::Collect, ..delete.clone() };
    let no_proof = Some("proof of possession does not verify");
    access("collecting", "north", &collect, None);
    access("deleting a message", "north", &delete, None);
    access("a proof for deleting, used to collect", "north", &swapped, no_proof);
    access("a proof for another bank", "south", &collect, no_proof);
    all
}
