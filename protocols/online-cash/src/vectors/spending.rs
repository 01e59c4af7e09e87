//! Vectors of requests, payments, refreshes and evidence.

use feiqian_crypto::possession::Proof;
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Scalar};
use feiqian_money::{Amount, Currency};
use feiqian_pki::{KeyPair, Serial, Subject, Verified, fingerprint};
use feiqian_wire::{Blob, Bounded, Text, Timestamp};
use serde_json::{Value, json};

use super::{
    Bank, CONSTANT, DAY, NOW, Session, World, digest, judged, minor, name, public, random_bytes, secret,
    stream, valid,
};
use crate::Rejection;
use crate::coin::{Coin, public_key};
use crate::deposit::CashItem;
use crate::evidence::{Evidence, Statement};
use crate::funding::{CoinFunding, PlannedInput, Released};
use crate::payment::{Checker, Payment, PaymentCoin};
use crate::request::{Authorities, Delivery, Payee, PaymentRequest, Route, SignedRequest, VerifiedRequest};
use crate::signed::WireChain;

/// What stands for the payee's leaf certificate: the vectors say what it certifies, and check no X.509.
const LEAF: &[u8] = b"a leaf certificate, DER";

/// Believes in one merchant.
struct Known(Verified);

impl Known {
    fn new(key: &KeyPair) -> Self {
        Self(Verified {
            subject: Subject::merchant("shop", "south").expect(CONSTANT),
            purpose: feiqian_pki::Purpose::Signing,
            public_key: key.public_key(),
            serial: Serial::from_slice(&[0x41; 16]).expect(CONSTANT),
            fingerprint: fingerprint(LEAF),
            not_before: NOW,
            not_after: NOW.saturating_add(DAY),
        })
    }
}

impl Authorities for Known {
    fn payee(&self, _: &[u8], _: &Digest, _: Timestamp) -> Result<Verified, Rejection> {
        Ok(self.0.clone())
    }
}

struct Payees {
    merchant: KeyPair,
    known: Known,
    person: Scalar,
}

impl Payees {
    fn new() -> Self {
        let merchant = KeyPair::generate(&mut stream(41));
        let known = Known::new(&merchant);
        Self { merchant, known, person: feiqian_crypto::scalar::random_non_zero(&mut stream(42)) }
    }

    fn certified(&self, world: &World, amount: u64) -> SignedRequest {
        let text = |text: &str| Text::new(text).expect(CONSTANT);
        let request = PaymentRequest {
            payee: Payee::Certified { leaf: Blob::new(LEAF).expect(CONSTANT), issuer: digest("authority") },
            name: Text::new("Shop 飞钱").expect(CONSTANT),
            amount: Amount::new(minor(amount), Currency::CNY),
            order: text("A-1"),
            route: Route::Account { bank: name("south"), account: text("shop") },
            delivery: Delivery::Url(Text::new("https://127.0.0.1:4433").expect(CONSTANT)),
            refund_until: Timestamp::new(NOW.saturating_add(DAY.saturating_mul(14))),
            view: world.pins.view(),
            expires: Timestamp::new(NOW.saturating_add(600)),
            nonce: digest("nonce of the merchant"),
        };
        SignedRequest::by_account_holder(request, &self.merchant).expect(CONSTANT)
    }

    fn personal(&self, world: &World, amount: u64) -> SignedRequest {
        let request = PaymentRequest {
            payee: Payee::Key(public_key(&self.person)),
            route: Route::Received,
            delivery: Delivery::ByHand,
            nonce: digest("nonce of the person"),
            ..self.certified(world, amount).request
        };
        SignedRequest::by_key(request, &self.person, &mut stream(43)).expect(CONSTANT)
    }

    /// What the certificate of the request's payee says.
    fn said(&self) -> Value {
        json!({ "bank": "south", "account": "shop", "public_key": public(&self.merchant) })
    }
}

pub(super) fn vectors(world: &World) -> Vec<Value> {
    let payees = Payees::new();
    let mut rng = stream(44);
    let session = world.draw(&world.north, &[3, 2, 1, 0], "spending", &mut rng);
    let foreign = world.draw(&world.south, &[0], "south", &mut rng).coins;
    let yen = world.draw(&world.yen, &[0], "yen", &mut rng).coins;
    let strangers = [foreign, yen].map(|coins| coins.into_iter().next().expect(CONSTANT));
    [
        requests(world, &payees),
        vec![pay(&payees.certified(world, 11), &session.coins), refresh(world, &session)],
        payments(world, &payees, &session.coins, &strangers),
        evidence(world, &session),
    ]
    .concat()
}

fn requests(world: &World, payees: &Payees) -> Vec<Value> {
    let case = |name: &str, signed: &SignedRequest, reason: Option<&str>| {
        let inputs = json!({ "request": signed, "payee": payees.said() });
        let verdict =
            signed.verify(&payees.known, Timestamp::new(NOW)).map(|VerifiedRequest { digest, request }| {
                let uri = signed.to_uri().expect(CONSTANT);
                json!({ "body": request.body_digest(), "digest": digest, "uri": uri })
            });
        judged(name, "online-cash/request", inputs, verdict, reason)
    };
    let (certified, personal) = (payees.certified(world, 11), payees.personal(world, 11));
    let bent = |signed: &SignedRequest, change: &dyn Fn(&mut PaymentRequest)| {
        let mut bent = signed.clone();
        change(&mut bent.request);
        bent
    };
    let changed = Some("signature does not verify: payment request");
    let unfit = Some("invalid payment request: payee, signature and route do not fit");
    let elsewhere = bent(&certified, &|request| {
        request.route = Route::Account { bank: name("south"), account: Text::new("thief").expect(CONSTANT) };
    });
    vec![
        case("a certified payee", &certified, None),
        case("a payee key", &personal, None),
        case(
            "the expiry is changed",
            &bent(&certified, &|request| request.expires = request.expires.saturating_add(1)),
            changed,
        ),
        case("the amount is changed", &bent(&personal, &|request| request.amount.minor = minor(10)), changed),
        case(
            "nothing is asked",
            &bent(&personal, &|request| request.amount.minor = minor(0)),
            Some("invalid payment request: amount is zero"),
        ),
        case(
            "an account that is not certified",
            &elsewhere,
            Some("invalid payment request: certificate is for another account"),
        ),
        case(
            "a payee key with an account",
            &bent(&personal, &|request| request.route = certified.request.route.clone()),
            unfit,
        ),
        case(
            "a certified payee who takes coins",
            &bent(&certified, &|request| request.route = Route::Received),
            unfit,
        ),
        case(
            "a key's request with a document's signature",
            &SignedRequest { signature: certified.signature.clone(), ..personal.clone() },
            unfit,
        ),
        case(
            "a payee key that is the identity",
            &bent(&personal, &|request| request.payee = Payee::Key(EncodedPoint([0; 32]))),
            Some("malformed: payee key"),
        ),
    ]
}

fn shown(coin: &Coin, contribution: u64) -> Value {
    json!({
        "k": secret(coin), "denomination": coin.id.denomination, "signature": coin.signature,
        "contribution": contribution.to_string(),
    })
}

fn given<'a>(coins: &'a [Coin], contributions: &[u64]) -> Vec<(&'a Coin, feiqian_money::Minor)> {
    coins.iter().zip(contributions).map(|(coin, given)| (coin, minor(*given))).collect()
}

fn pay(request: &SignedRequest, coins: &[Coin]) -> Value {
    let (hedge, mut rng) = (random_bytes(&mut stream(45)), stream(45));
    let request = request.request.digest();
    let coins = given(coins, &[8, 3]);
    let payment = Payment::sign(&request, &coins, &mut rng).expect(CONSTANT);
    let coins: Vec<_> = coins.iter().map(|(coin, given)| shown(coin, given.value())).collect();
    let inputs = json!({ "request": request, "coins": coins, "hedge": hex::encode(hedge) });
    let outputs = json!({ "payment": payment, "digest": payment.digest() });
    valid("a coin whole and a coin in part", "online-cash/pay", inputs, outputs)
}

/// A payment that expired, and a refresh that was voided, both released.
fn released(session: &Session) -> Vec<Released> {
    let coin = session.coins.first().expect(CONSTANT);
    let payment = Payment::sign(&digest("r"), &[(coin, minor(5))], &mut stream(46)).expect(CONSTANT);
    let shares = payment.coins.iter().map(|coin| coin.share).collect();
    let stated =
        crate::funding::StatedInput { coin: coin.id, contribution: minor(8), releases: Bounded::default() };
    vec![
        Released::Payment {
            expires: Timestamp::new(NOW),
            body: digest("body"),
            shares: Bounded::new(shares).expect(CONSTANT),
        },
        Released::Refresh {
            session: digest("voided session"),
            inputs: Bounded::new(vec![stated]).expect(CONSTANT),
            challenges: Bounded::new(session.challenges.clone()).expect(CONSTANT),
        },
    ]
}

fn refresh(world: &World, session: &Session) -> Value {
    let (hedge, mut rng) = (random_bytes(&mut stream(47)), stream(47));
    let id = digest("refresh");
    let released = released(session);
    let releases: Vec<_> = released.iter().map(|released| released.digest("north")).collect();
    let plan = |(coin, contribution): (_, feiqian_money::Minor), releases: Vec<Digest>| PlannedInput {
        coin,
        contribution,
        releases,
    };
    let planned: Vec<PlannedInput<'_>> = given(&session.coins, &[8, 1])
        .into_iter()
        .zip([releases.clone(), Vec::new()])
        .map(|(coin, releases)| plan(coin, releases))
        .collect();
    let funding = CoinFunding::sign("north", &id, &planned, released.clone(), &session.challenges, &mut rng)
        .expect(CONSTANT);
    let verified =
        funding.verify(&world.pins, "north", &id, &session.challenges, Timestamp::new(NOW), &mut rng);
    assert_eq!(verified.expect(CONSTANT).len(), 2, "the code takes what it signs");
    let inputs: Vec<_> = planned
        .iter()
        .map(|plan| {
            let mut input = shown(plan.coin, plan.contribution.value());
            if let Some(input) = input.as_object_mut() {
                input.insert("releases".to_owned(), json!(plan.releases));
            }
            input
        })
        .collect();
    let statement = funding.statement("north", &id, &session.challenges);
    let inputs = json!({
        "bank": "north", "session": id, "inputs": inputs, "released": released,
        "challenges": session.challenges, "hedge": hex::encode(hedge),
    });
    let outputs = json!({ "possession": funding.possession, "statement": statement });
    valid("two coins, one of which releases a payment and a refresh", "online-cash/refresh", inputs, outputs)
}

fn payments(world: &World, payees: &Payees, coins: &[Coin], strangers: &[Coin; 2]) -> Vec<Value> {
    let keysets: Vec<_> = [&world.north, &world.south, &world.yen]
        .map(|bank| json!({ "keyset": bank.keyset, "bank_key": public(&bank.signer) }))
        .to_vec();
    let judge = |name: &str, item: &CashItem, now: u64, reason: Option<&str>| {
        let inputs =
            json!({ "keysets": keysets, "payee": payees.said(), "item": item, "now": now.to_string() });
        let checker = Checker { pins: &world.pins, authorities: &payees.known, now: Timestamp::new(now) };
        let verdict = checker.verify(item, &mut stream(48)).map(|verified| {
            json!({
                "payment": verified.digest, "request": verified.request.digest,
                "issuing_bank": verified.issuing_bank, "amount": verified.request.request.amount,
            })
        });
        judged(name, "online-cash/payment", inputs, verdict, reason)
    };
    let request = payees.certified(world, 11);
    let sign = |coins: &[(&Coin, feiqian_money::Minor)]| {
        Payment::sign(&request.request.digest(), coins, &mut stream(49)).expect(CONSTANT)
    };
    let good = CashItem { request: request.clone(), payment: sign(&given(coins, &[8, 3])) };
    let with = |payment: Payment| CashItem { request: request.clone(), payment };
    let bent = |change: &dyn Fn(&mut PaymentCoin)| {
        let mut coins = good.payment.coins.clone().into_vec();
        coins.iter_mut().take(1).for_each(change);
        with(Payment { coins: Bounded::new(coins).expect(CONSTANT), ..good.payment.clone() })
    };
    let [foreign, yen] = strangers;
    let first = coins.first().expect(CONSTANT);
    let twice: Vec<_> = good.payment.coins.iter().take(1).cycle().take(2).copied().collect();
    let personal = payees.personal(world, 11);
    let to_person = Payment::sign(&personal.request.digest(), &given(coins, &[8, 3]), &mut stream(50));
    let unproven = Some("proof of possession does not verify");
    let bad_share = Some("invalid contribution");
    let undecodable = Some("malformed: a point or scalar of a coin or proof");
    vec![
        judge("a good payment", &good, NOW, None),
        judge(
            "a good payment to a payee key",
            &CashItem { request: personal.clone(), payment: to_person.expect(CONSTANT) },
            NOW,
            None,
        ),
        judge(
            "the last second in which its keys redeem",
            &good,
            NOW.saturating_add(DAY.saturating_mul(120)).saturating_sub(1),
            None,
        ),
        judge(
            "its keys redeem no more",
            &good,
            NOW.saturating_add(DAY.saturating_mul(120)),
            Some("denomination key expired for this use"),
        ),
        judge(
            "for another request",
            &CashItem { request: personal, ..good.clone() },
            NOW,
            Some("the payment is for another request"),
        ),
        judge(
            "contributions that do not sum to the amount",
            &with(sign(&given(coins, &[8, 2]))),
            NOW,
            Some("amounts do not agree: the coins do not sum to the request"),
        ),
        judge(
            "a coin of another bank",
            &with(sign(&[(first, minor(8)), (foreign, minor(3))])),
            NOW,
            Some("wrong bank: coins of south and another"),
        ),
        judge(
            "a coin of another currency",
            &with(sign(&[(first, minor(8)), (yen, minor(3))])),
            NOW,
            Some("wrong currency"),
        ),
        judge("a contribution above the coin's value", &with(sign(&given(coins, &[9, 2]))), NOW, bad_share),
        judge("a contribution of zero", &bent(&|coin| coin.share.contribution = minor(0)), NOW, bad_share),
        judge(
            "a coin twice",
            &with(Payment { coins: Bounded::new(twice).expect(CONSTANT), ..good.payment.clone() }),
            NOW,
            Some("a coin stands twice in one statement"),
        ),
        judge(
            "no coins",
            &with(Payment { coins: Bounded::default(), ..good.payment.clone() }),
            NOW,
            bad_share,
        ),
        judge(
            "a denomination that is not pinned",
            &bent(&|coin| coin.share.coin.denomination = Digest([1; 32])),
            NOW,
            Some("unknown denomination 0101010101010101010101010101010101010101010101010101010101010101"),
        ),
        judge(
            "another coin's signature",
            &bent(&|coin| coin.signature = foreign.signature),
            NOW,
            Some("signature does not verify: coin"),
        ),
        judge(
            "a coin key that is the identity",
            &bent(&|coin| coin.share.coin.key = EncodedPoint([0; 32])),
            NOW,
            Some("malformed: coin key is the identity"),
        ),
        judge(
            "a coin key that is not canonical",
            &bent(&|coin| coin.share.coin.key = EncodedPoint([0xff; 32])),
            NOW,
            undecodable,
        ),
        judge(
            "y' of a signature is zero",
            &bent(&|coin| coin.signature.y = EncodedScalar([0; 32])),
            NOW,
            undecodable,
        ),
        judge(
            "the proof of another payment",
            &with(Payment { possession: sign(&given(coins, &[7, 4])).possession, ..good.payment.clone() }),
            NOW,
            unproven,
        ),
        judge("contributions changed after signing", &moved(&good), NOW, unproven),
        judge(
            "s of the proof is not canonical",
            &with(Payment {
                possession: Proof { s: EncodedScalar([0xff; 32]), ..good.payment.possession },
                ..good.payment.clone()
            }),
            NOW,
            undecodable,
        ),
    ]
}

/// One unit moved from the first coin to the second: the sum stays.
fn moved(good: &CashItem) -> CashItem {
    let mut coins = good.payment.coins.clone().into_vec();
    coins.iter_mut().zip([7, 4]).for_each(|(coin, given)| coin.share.contribution = minor(given));
    let coins = Bounded::new(coins).expect(CONSTANT);
    CashItem { payment: Payment { coins, ..good.payment.clone() }, ..good.clone() }
}

fn payment_statement(request: &str, coins: &[(&Coin, feiqian_money::Minor)], seed: u64) -> Statement {
    let payment = Payment::sign(&digest(request), coins, &mut stream(seed)).expect(CONSTANT);
    let shares = payment.coins.iter().map(|coin| coin.share).collect();
    Statement::Payment {
        request: payment.request,
        shares: Bounded::new(shares).expect(CONSTANT),
        possession: payment.possession,
    }
}

fn refresh_statement(session: &Session, plan: PlannedInput<'_>, released: Vec<Released>) -> Statement {
    let id = digest("refresh as evidence");
    let funding = CoinFunding::sign("north", &id, &[plan], released, &session.challenges, &mut stream(51))
        .expect(CONSTANT);
    let inputs = funding.inputs.iter().map(|input| input.stated.clone()).collect();
    Statement::Refresh {
        session: id,
        inputs: Bounded::new(inputs).expect(CONSTANT),
        challenges: Bounded::new(session.challenges.clone()).expect(CONSTANT),
        possession: funding.possession,
    }
}

fn evidence(world: &World, session: &Session) -> Vec<Value> {
    let bank: &Bank = &world.north;
    let [coin, other] = [0, 1].map(|index| session.coins.get(index).expect(CONSTANT));
    let make = |statements: Vec<Statement>| Evidence {
        coin: coin.id,
        signature: coin.signature,
        statements: Bounded::new(statements).expect(CONSTANT),
        keyset: bank.keyset.clone(),
        pinned_at: Timestamp::new(NOW),
        signer: WireChain(Bounded::default()),
    };
    let judge = |name: &str, evidence: &Evidence, reason: Option<&str>| {
        let inputs = json!({ "evidence": evidence, "bank_key": public(&bank.signer) });
        let verdict = evidence.verify_with_key(&bank.signer.public_key()).map(|finding| {
            json!({ "value": finding.value, "signed": finding.signed, "statements": finding.statements })
        });
        judged(name, "online-cash/evidence", inputs, verdict, reason)
    };
    let five = payment_statement("one", &[(coin, minor(5))], 52);
    let four = payment_statement("two", &[(coin, minor(4)), (other, minor(1))], 53);
    let three = payment_statement("three", &[(coin, minor(3))], 54);
    let elsewhere = payment_statement("four", &[(other, minor(4))], 55);
    let again = payment_statement("one", &[(coin, minor(5))], 56);
    let plan = |releases: Vec<Digest>| PlannedInput { coin, contribution: minor(8), releases };
    let free = refresh_statement(session, plan(Vec::new()), Vec::new());
    let given_up = released(session);
    let releases: Vec<_> = given_up.iter().map(|released| released.digest("north")).collect();
    let releasing = refresh_statement(session, plan(releases), given_up.clone());
    let void = void_payment(coin);
    let forged = {
        let Statement::Payment { shares, possession, .. } = &five else { unreachable!("made as a payment") };
        Statement::Payment { request: digest("forged"), shares: shares.clone(), possession: *possession }
    };
    let good = make(vec![five.clone(), four.clone()]);
    let enough = Some("evidence does not hold: the statements do not exceed the coin's value");
    vec![
        judge("two payments, nine of eight", &good, None),
        judge("a payment and a refresh", &make(vec![five.clone(), free]), None),
        judge("three payments", &make(vec![four.clone(), three.clone(), five.clone()]), None),
        judge("two payments, eight of eight", &make(vec![five.clone(), three]), enough),
        judge("no statements", &make(Vec::new()), enough),
        judge(
            "one payment with two proofs",
            &make(vec![five.clone(), again]),
            Some("evidence does not hold: a statement stands twice"),
        ),
        judge(
            "a statement about another coin",
            &make(vec![five.clone(), elsewhere]),
            Some("evidence does not hold: a statement is about other coins"),
        ),
        judge(
            "a payment and the refresh that releases it",
            &make(vec![void, releasing]),
            Some("evidence does not hold: one statement releases another"),
        ),
        judge(
            "a statement with another's proof",
            &make(vec![four, forged]),
            Some("proof of possession does not verify"),
        ),
        judge(
            "another coin's signature",
            &Evidence { signature: other.signature, ..good.clone() },
            Some("signature does not verify: coin"),
        ),
        judge(
            "a keyset without the denomination",
            &Evidence {
                coin: crate::coin::CoinId { denomination: digest("none"), ..coin.id },
                ..good.clone()
            },
            Some("evidence does not hold: the keyset lacks the coin's denomination"),
        ),
        judge(
            "a keyset of another bank",
            &Evidence { keyset: world.south.keyset.clone(), ..good },
            Some("signature does not verify: keyset"),
        ),
    ]
}

/// The payment that [`released`] gives up, as its owner signed it.
fn void_payment(coin: &Coin) -> Statement {
    let request = crate::request::request_digest(Timestamp::new(NOW), &digest("body"));
    let payment = Payment::sign(&request, &[(coin, minor(5))], &mut stream(57)).expect(CONSTANT);
    let shares = payment.coins.iter().map(|coin| coin.share).collect();
    Statement::Payment {
        request,
        shares: Bounded::new(shares).expect(CONSTANT),
        possession: payment.possession,
    }
}
