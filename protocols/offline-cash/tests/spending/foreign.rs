//! Chains, payments and deposits that another implementation of the specification made, in Python and without a line of this
//! one. Its vectors of the cryptography are replayed beside that.

use std::collections::BTreeMap;

use feiqian_crypto::acl::Depth;
use feiqian_crypto::share_tree::Node;
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar};
use feiqian_money::{Currency, Minor};
use feiqian_offline_cash::chain::Passed;
use feiqian_offline_cash::keyset::{KeyBook, Keyset, Kind, OfflineKey, Times};
use feiqian_offline_cash::pay::{CashItem, Checker, Payment};
use feiqian_offline_cash::register::{Deposited, Mark, Register};
use feiqian_offline_cash::request::PaymentRequest;
use feiqian_offline_cash::verify::{VerifiedChain, verify_passed};
use feiqian_pki::KeyPair;
use serde::Deserialize;

use crate::world::{NOW, World, at, charges, minor, name};

#[derive(Deserialize)]
struct Document {
    bank: String,
    times: Times,
    keyset: Digest,
    keys: Vec<Key>,
    passed: Vec<Transferred>,
    payments: Vec<Paid>,
    histories: Vec<History>,
}

#[derive(Deserialize)]
struct Key {
    id: Digest,
    kind: Kind,
    value: Minor,
    depth: String,
    #[serde(rename = "Y")]
    y: EncodedPoint,
}

#[derive(Deserialize)]
struct Transferred {
    chain: Passed,
    digest: Digest,
    start: String,
    length: String,
}

#[derive(Deserialize)]
struct Paid {
    request: PaymentRequest,
    request_digest: Digest,
    payment: Payment,
    set: Digest,
    chains: Vec<Chain>,
}

#[derive(Deserialize)]
struct Chain {
    marks: Vec<Hop>,
    start: String,
    length: String,
    digest: Digest,
    circulation: String,
    /// Units by the identity of whoever pays them.
    charges: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct History {
    value: Minor,
    deposits: Vec<Vec<Hop>>,
    settled: Vec<Settled>,
}

#[derive(Deserialize)]
struct Hop {
    m: Digest,
    node: Node,
    d: EncodedScalar,
}

#[derive(Deserialize)]
struct Settled {
    circulation: String,
    charges: BTreeMap<String, String>,
}

impl From<&Hop> for Mark {
    fn from(Hop { m, node, d }: &Hop) -> Self {
        Self { message: *m, node: *node, challenge: *d }
    }
}

/// The document, and its keyset as a bank would sign it: every id and the digest are as the document says.
fn document() -> (Document, KeyBook) {
    let document: Document = serde_json::from_str(include_str!("../data/foreign.json")).unwrap();
    let key = |key: &Key| {
        let depth = Depth::new(key.depth.parse().unwrap()).unwrap();
        OfflineKey { kind: key.kind, value: key.value, depth, key: key.y }
    };
    let keys = document.keys.iter().map(key).collect();
    let signer = KeyPair::from_seed(&[9; 32]);
    let keyset = Keyset::sign(&signer, name(&document.bank), 0, Currency::CNY, document.times, keys).unwrap();
    let verified = keyset.verify(&signer.public_key()).unwrap();
    assert_eq!(verified.digest, document.keyset);
    assert!(verified.keys.iter().zip(&document.keys).all(|(key, expected)| key.id == expected.id));
    let mut book = KeyBook::new();
    book.add(verified).unwrap();
    (document, book)
}

fn covers(chain: &VerifiedChain, start: &str, length: &str) -> bool {
    let interval = chain.interval();
    (interval.start().to_string(), interval.length().to_string()) == (start.to_owned(), length.to_owned())
}

fn texts<K: ToString>(units: impl Iterator<Item = (K, u64)>) -> BTreeMap<String, String> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    units.for_each(|(key, units)| *sums.entry(key.to_string()).or_default() += units);
    sums.into_iter().map(|(key, units)| (key, units.to_string())).collect()
}

#[test]
fn chains_and_payments_of_another_implementation_hold_and_settle_as_it_says() {
    let (document, book) = document();
    let mut world = World::new(120);
    for expected in &document.passed {
        let verified = verify_passed(std::slice::from_ref(&expected.chain), &book, &mut world.dice());
        let chain = verified.into_iter().next().unwrap().unwrap();
        assert_eq!(chain.digest(), expected.digest);
        assert!(covers(&chain, &expected.start, &expected.length));
    }
    let mut payments = Vec::new();
    for paid in &document.payments {
        assert_eq!(paid.request.digest(), paid.request_digest);
        let (request, _) = world.sign(paid.request.clone());
        let item = CashItem { request, payment: paid.payment.clone() };
        let checker = Checker { keys: &book, authorities: &world.known, now: at(NOW) };
        let payment = checker.verify(&item, &mut world.dice()).unwrap();
        assert_eq!(payment.set, paid.set);
        payments.push(payment);
    }
    world.deposited = payments.clone();
    let mut register = Register::new(minor(8)).unwrap();
    let mut named = 0;
    for (payment, paid) in payments.iter().zip(&document.payments) {
        assert_eq!(payment.chains.len(), paid.chains.len());
        for (chain, expected) in payment.chains.iter().zip(&paid.chains) {
            let marks: Vec<Mark> = expected.marks.iter().map(Mark::from).collect();
            let deposited = Deposited::of(chain).unwrap();
            assert_eq!((deposited.marks(), chain.digest()), (&marks[..], expected.digest));
            assert!(covers(chain, &expected.start, &expected.length));
            let settlement = register.deposit(deposited).unwrap();
            assert_eq!(settlement.circulation.to_string(), expected.circulation);
            let settlement = [settlement];
            let charged = charges(&settlement);
            let payers = charged.iter().map(|charge| (*world.named(charge).encoded(), charge.units));
            assert_eq!(texts(payers), expected.charges);
            named += charged.len();
        }
    }
    assert_eq!((document.passed.len(), payments.len(), named), (2, 6, 2));
}

#[test]
fn random_histories_settle_as_another_implementation_says() {
    let (document, _) = document();
    let mut deposits = 0;
    for history in &document.histories {
        let mut register = Register::new(history.value).unwrap();
        for (hops, expected) in history.deposits.iter().zip(&history.settled) {
            let marks = hops.iter().map(Mark::from).collect();
            let settlement = register.deposit(Deposited::new(history.value, marks).unwrap()).unwrap();
            assert_eq!(settlement.circulation.to_string(), expected.circulation);
            let holders = settlement.charges.iter().map(|charge| (charge.answer.message, charge.units));
            assert_eq!(texts(holders), expected.charges);
            deposits += 1;
        }
    }
    assert_eq!((document.histories.len(), deposits), (40, 305));
}
