//! Vectors of requests, offers, chains, payments, the register and receipts.

use feiqian_crypto::share_tree::Node;
use feiqian_crypto::{Digest, Scalar};
use feiqian_money::{Amount, Currency};
use feiqian_wire::{Blob, Bounded, Text};
use rand::rngs::ChaCha12Rng;
use serde_json::{Value, json};

use super::{CONSTANT, World, day, digest, judged, minor, name, public, stream, valid};
use crate::Rejection;
use crate::chain::{Blank, KeysetView, Paid, Passed};
use crate::deposit::{ClaimTerms, Part, ReceiptTerms, Source};
use crate::holding::{History, Holding, Unspent};
use crate::keyset::KeyBook;
use crate::pay::{Payment, VerifiedPayment, pay};
use crate::register::{Charge, Deposited, Mark, Register};
use crate::request::{PaymentRequest, SignedRequest, VerifiedRequest};
use crate::transfer::{Nonce, Offer};
use crate::verify::{VerifiedChain, trace_payment, verify_passed, verify_traced};

/// What stands for the payee's leaf certificate: the vectors say what it certifies, and check no X.509.
const LEAF: &[u8] = b"a leaf certificate, DER";

pub(super) fn vectors(world: &World) -> Vec<Value> {
    let relay = Relay::run(world);
    let mut all = vec![request_vector(world), offer_vector(world, &relay)];
    all.extend(passed_vectors(&relay));
    all.extend(payment_vectors(world, &relay));
    all.extend(settle_vectors());
    all.push(receipt_vector(world, &relay));
    all
}

fn terms(world: &World, amount: u64) -> PaymentRequest {
    let view = |bank: &super::Bank| KeysetView {
        bank: bank.verified.keyset.bank.clone(),
        epoch: bank.verified.keyset.epoch,
        digest: bank.verified.digest,
    };
    PaymentRequest {
        leaf: Blob::new(LEAF).expect(CONSTANT),
        issuer: digest("authority"),
        name: Text::new("The shop at the corner").expect(CONSTANT),
        amount: Amount::new(minor(amount), Currency::CNY),
        order: Text::new("order 7").expect(CONSTANT),
        bank: name("south"),
        account: Text::new("shop").expect(CONSTANT),
        till: Text::new("till 3").expect(CONSTANT),
        keysets: Bounded::new(vec![view(&world.north), view(&world.south)]).expect(CONSTANT),
        expires: day(2),
        nonce: digest("request nonce"),
    }
}

fn verified(request: PaymentRequest) -> VerifiedRequest {
    VerifiedRequest { digest: request.digest(), request }
}

/// A coin of 8 that Ann withdrew; she passes 4 of it to Bob's blank, Bob pays 3 of that, Ann 3 of the rest.
struct Relay {
    book: KeyBook,
    passed: Passed,
    requests: [VerifiedRequest; 2],
    payments: [Payment; 2],
}

impl Relay {
    fn run(world: &World) -> Self {
        let mut book = KeyBook::new();
        for bank in [&world.north, &world.south] {
            book.add(bank.verified.clone()).expect(CONSTANT);
        }
        let fresh = History::Complete(&[]);
        let coin = world.draw(&world.ann, "the coin", &[4]).coins.pop().expect(CONSTANT).tree;
        let mut parts = Unspent::of_coin(coin, world.north.key(4), fresh).expect(CONSTANT);
        let [half, rest] = parts.pop().expect(CONSTANT).divide().expect(CONSTANT);
        let tree = world.draw(&world.bob, "the blank", &[0]).coins.pop().expect(CONSTANT).tree;
        let blank = Blank { key: world.south.key(0).id, message: *tree.message() };
        let (_, passed) = half.pass(&blank, digest("transfer nonce")).expect(CONSTANT);
        let holding = Holding::read(&passed, &book, &mut stream(71)).expect(CONSTANT);
        let received = holding.open(tree, world.south.key(0), fresh).expect(CONSTANT);
        let requests = [verified(terms(world, 3)), verified(terms(world, 3))];
        let mut parts = [received, vec![rest]].into_iter();
        let payments = requests.each_ref().map(|request| {
            let purse = parts.next().expect(CONSTANT);
            let chosen = request.wish(day(1)).choose(purse).expect(CONSTANT);
            pay(request, chosen.pieces, day(1)).expect(CONSTANT).release_after_storing()
        });
        Self { book, passed, requests, payments }
    }

    fn keysets(&self) -> Vec<Value> {
        self.book.keysets().iter().map(|keyset| json!(keyset.keyset)).collect()
    }

    fn verify(&self, payment: &Payment) -> Result<(Digest, Vec<VerifiedChain>), Rejection> {
        let (set, traced) = trace_payment(&payment.request, &payment.chains, &self.book)?;
        let chains = verify_traced(traced, &mut weights()).into_iter().collect::<Result<_, _>>()?;
        Ok((set, chains))
    }
}

/// Weights of a batch, which decide nothing here.
fn weights() -> ChaCha12Rng {
    stream(72)
}

fn request_vector(world: &World) -> Value {
    let signed = SignedRequest::sign(terms(world, 3), &world.center).expect(CONSTANT);
    let outputs = json!({ "digest": signed.request.digest() });
    let inputs = json!({ "request": signed, "signing_key": public(&world.center) });
    valid("a payment request", "offline-cash/request", inputs, outputs)
}

fn offer_vector(world: &World, relay: &Relay) -> Value {
    let PaymentRequest { amount, keysets, expires, .. } = terms(world, 4);
    let blanks = Bounded::new(vec![relay.passed.blank]).expect(CONSTANT);
    let offer = Offer { amount, blanks, keysets, expires };
    let [payee, payer] = ["payee's nonce", "payer's nonce"].map(|name| Nonce(digest(name)));
    let (commitment, code) = offer.bound(&payee, &payer);
    let outputs = json!({
        "digest": offer.digest(), "commitment": commitment, "code": code.to_string(),
    });
    let inputs = json!({ "offer": offer, "payee": payee, "payer": payer });
    valid("a transfer offer", "offline-cash/offer", inputs, outputs)
}

/// What a verifier learns of a chain.
fn chain_json(chain: &VerifiedChain) -> Value {
    let hops = chain.hops().iter().map(|hop| {
        let place = hop.place();
        json!({ "previous": place.previous, "m": place.message, "node": place.node,
                "d": feiqian_crypto::EncodedScalar::from(hop.piece().challenge()) })
    });
    let interval = chain.interval();
    json!({ "hops": hops.collect::<Vec<_>>(), "digest": chain.digest(),
            "start": interval.start().to_string(), "length": interval.length().to_string() })
}

fn passed_vectors(relay: &Relay) -> Vec<Value> {
    let case = |name: &str, passed: &Passed, reason: Option<&str>| {
        let inputs = json!({ "chain": passed, "keysets": relay.keysets() });
        let mut verified = verify_passed(core::slice::from_ref(passed), &relay.book, &mut weights());
        let verdict = verified.pop().expect(CONSTANT).map(|chain| chain_json(&chain));
        judged(name, "offline-cash/passed", inputs, verdict, reason)
    };
    let good = &relay.passed;
    let mut other_blank = good.clone();
    other_blank.blank.message = digest("another blank");
    let mut other_nonce = good.links.to_vec();
    other_nonce.iter_mut().for_each(|link| link.nonce = digest("another nonce"));
    let other_nonce = Passed { links: Bounded::new(other_nonce).expect(CONSTANT), ..good.clone() };
    let empty = Passed { links: Bounded::default(), ..good.clone() };
    let mut value = good.clone();
    value.blank.key = good.links.first().expect(CONSTANT).hop.key;
    let broken = Some("a piece does not hold: a piece does not verify");
    vec![
        case("value on a blank", good, None),
        case("a transfer to another blank", &other_blank, broken),
        case("another nonce", &other_nonce, broken),
        case("a chain without hops", &empty, Some("a piece does not hold: a chain without hops")),
        case(
            "a value coin as blank",
            &value,
            Some("a piece does not hold: a value coin after the first hop"),
        ),
    ]
}

fn payment_vectors(world: &World, relay: &Relay) -> Vec<Value> {
    let case = |name: &str, payment: &Payment, reason: Option<&str>| {
        let inputs = json!({ "payment": payment, "keysets": relay.keysets() });
        let verdict = relay.verify(payment).map(|(set, chains)| {
            json!({ "set": set, "chains": chains.iter().map(chain_json).collect::<Vec<_>>() })
        });
        judged(name, "offline-cash/payment", inputs, verdict, reason)
    };
    let [received, own] = &relay.payments;
    let with = |payment: &Payment, change: &dyn Fn(&mut Vec<Paid>)| {
        let mut chains = payment.chains.to_vec();
        change(&mut chains);
        Payment { request: payment.request, chains: Bounded::new(chains).expect(CONSTANT) }
    };
    let broken = Some("a piece does not hold: a piece does not verify");
    let elsewhere = Payment { request: terms(world, 4).digest(), ..own.clone() };
    vec![
        case("of an own coin", own, None),
        case("of received value", received, None),
        case("for another request", &elsewhere, broken),
        case("a piece left out", &with(own, &|chains| drop(chains.pop())), broken),
        case("the pieces in another order", &with(own, &|chains| chains.reverse()), broken),
        case(
            "the blank without the coin",
            &with(received, &|chains| chains.iter_mut().for_each(|chain| chain.links = Bounded::default())),
            Some("a piece does not hold: a chain starts with a value coin"),
        ),
    ]
}

fn mark(coin: &str, node: u64, challenge: u64) -> Mark {
    let node = Node::new(node).expect(CONSTANT);
    Mark { message: digest(coin), node, challenge: Scalar::from(challenge).into() }
}

/// Deposits in order, and who pays for each.
fn settle(name: &str, value: u64, deposits: &[Vec<Mark>]) -> Value {
    let mut register = Register::new(minor(value)).expect(CONSTANT);
    let settled = deposits.iter().map(|marks| {
        let chain = Deposited::new(minor(value), marks.clone()).expect(CONSTANT);
        let settlement = register.deposit(chain).expect(CONSTANT);
        let charges = settlement.charges.iter().map(|charge| {
            json!({ "holder": charge.answer.message, "hop": charge.hop, "units": charge.units.to_string() })
        });
        json!({ "circulation": settlement.circulation.to_string(), "charges": charges.collect::<Vec<_>>() })
    });
    let settled: Vec<_> = settled.collect();
    let chain = |marks: &Vec<Mark>| -> Vec<Value> {
        let mark = |mark: &Mark| json!({ "m": mark.message, "node": mark.node, "d": mark.challenge });
        marks.iter().map(mark).collect()
    };
    let inputs =
        json!({ "value": value.to_string(), "deposits": deposits.iter().map(chain).collect::<Vec<_>>() });
    valid(name, "offline-cash/settle", inputs, json!({ "settled": settled }))
}

fn settle_vectors() -> Vec<Value> {
    let forks = [
        vec![mark("A", 2, 1), mark("B1", 1, 2)],
        vec![mark("A", 1, 3), mark("B2", 2, 4)],
        vec![mark("A", 1, 3), mark("B2", 1, 5)],
        vec![mark("A", 3, 6)],
    ];
    let reversed: Vec<_> = forks.iter().rev().cloned().collect();
    let deep = [
        vec![mark("A", 4, 1), mark("B", 3, 2), mark("C", 2, 3)],
        vec![mark("A", 4, 1), mark("B", 3, 2), mark("C", 1, 4)],
        vec![mark("A", 4, 1), mark("B", 1, 5)],
        vec![mark("A", 1, 6), mark("D", 1, 7)],
        vec![mark("A", 1, 6), mark("D", 4, 8), mark("E", 1, 9)],
    ];
    let honest = [vec![mark("A", 2, 1)], vec![mark("A", 6, 2)], vec![mark("A", 7, 3)]];
    let twice = [vec![mark("A", 2, 1)], vec![mark("A", 2, 1)], vec![mark("A", 5, 2)]];
    vec![
        settle("disjoint nodes", 8, &honest),
        settle("forks of two holders", 8, &forks),
        settle("forks of two holders in another order", 8, &reversed),
        settle("forks of forks", 64, &deep),
        settle("the same chain twice, then a fork", 16, &twice),
    ]
}

fn receipt_vector(world: &World, relay: &Relay) -> Value {
    let [payment, _] = &relay.payments;
    let [request, _] = &relay.requests;
    let (set, chains) = relay.verify(payment).expect(CONSTANT);
    let bank = world.north.verified.keyset.bank.clone();
    let payment = VerifiedPayment { set, request: request.clone(), bank, chains };
    let chain = payment.chains.first().expect(CONSTANT);
    let hop = chain.hops().first().expect(CONSTANT);
    let before = mark("before", 1, 1);
    let charge = Charge { hop: 0, answer: Mark::from(hop), before, units: 1 };
    let claim = ClaimTerms::of(&payment, chain, &charge).expect(CONSTANT);
    let part = |piece: u32, amount, source| Part { piece, amount: minor(amount), source };
    let mut parts: Vec<_> = (0..)
        .zip(&payment.chains)
        .map(|(piece, chain)| part(piece, chain.interval().length(), Source::Circulation))
        .collect();
    let first = parts.remove(0);
    let sources =
        [Source::Charged { accusation: digest("accusation") }, Source::Unpaid { claim: claim.id() }];
    let split = first.amount.value().checked_sub(1).filter(|rest| *rest > 0);
    match split {
        None => parts.push(part(0, 1, Source::Unpaid { claim: claim.id() })),
        Some(rest) => {
            parts.extend(sources.into_iter().zip([1, rest]).map(|(source, amount)| part(0, amount, source)))
        }
    }
    let terms = ReceiptTerms::new(&payment, digest("presentment"), parts, day(3)).expect(CONSTANT);
    let receipt = terms.sign(&world.north.signer).expect(CONSTANT);
    let outputs = json!({
        "claim": claim.id(), "digest": receipt.terms.digest(),
        "paid": receipt.terms.paid().expect(CONSTANT), "unpaid": receipt.terms.unpaid().expect(CONSTANT),
    });
    let inputs = json!({ "receipt": receipt, "claim": claim, "bank_key": public(&world.north.signer) });
    valid("a receipt with all kinds of parts", "offline-cash/receipt", inputs, outputs)
}
