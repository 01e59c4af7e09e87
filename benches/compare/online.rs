//! Paying 12.50 with our online coins, by the steps that wallet, payee and bank take.

use std::hint::black_box;

use feiqian_crypto::snowblind::{self, SecretKey};
use feiqian_money::{Currency, Minor};
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::funding::{CoinFunding, PlannedInput};
use feiqian_online_cash::issue::{OpenSession, PendingIssue};
use feiqian_online_cash::keyset::{DenominationKey, Keyset, PinEntry, PinLog, VerifiedKey};
use feiqian_online_cash::payment::{Checker, Payment};
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_online_cash::seed::Seed;
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{Authority, CertificateRequest, KeyPair, Purpose, Subject};
use feiqian_wire::{Blob, Text};
use rand::rngs::ChaCha12Rng;

use crate::payee::{ACCOUNT, DAY, EXACT, LEAF, NOW, PRICE, Shop, at, digest, minor, name, price};
use crate::{Criterion, group, operation, rng};

/// The coin that is larger than the price, 20.48, and the coins of its change of 7.98.
const LARGE: usize = 11;
const CHANGE: [usize; 6] = [9, 8, 4, 3, 2, 1];

struct World {
    pins: PinLog,
    secrets: Vec<SecretKey>,
    keys: Vec<VerifiedKey>,
    shop: Shop,
    request: SignedRequest,
    seed: Seed,
}

/// A bank's keyset for values of 0.01 to 20.48, pinned.
fn pinned(secrets: &[SecretKey], rng: &mut ChaCha12Rng) -> PinLog {
    let center = Authority::root("center", KeyPair::generate(rng), NOW, rng).unwrap();
    let subject = Subject::bank("north").unwrap();
    let asked = |key: &KeyPair| {
        CertificateRequest::verify(&CertificateRequest::create(key, &subject).unwrap()).unwrap()
    };
    let (authority, signer) = (KeyPair::generate(rng), KeyPair::generate(rng));
    let chain = center.issue_bank_authority(&asked(&authority), "north", NOW, rng).unwrap();
    let north = Authority::from_parts(authority, chain).unwrap();
    let leaf = north.issue_leaf(&asked(&signer), &subject, Purpose::Signing, &[], 365 * DAY, NOW, rng);
    let denominations = (0..).zip(secrets).map(|(exponent, secret)| DenominationKey {
        bank: name("north"),
        currency: Currency::CNY,
        value: minor(1 << exponent),
        issue_from: at(NOW),
        issue_until: at(NOW + 30 * DAY),
        redeem_until: at(NOW + 120 * DAY),
        key: *secret.public().encoded(),
    });
    let grace = at(NOW + 485 * DAY);
    let keyset =
        Keyset::sign(&signer, name("north"), 0, Currency::CNY, grace, denominations.collect()).unwrap();
    let signer = WireChain::from_chain(&leaf.unwrap()).unwrap();
    let mut pins = PinLog::new();
    pins.append(PinEntry { pinned_at: at(NOW), keyset, signer }, &center.trusted_root().unwrap()).unwrap();
    pins
}

impl World {
    fn new(rng: &mut ChaCha12Rng) -> Self {
        let secrets: Vec<_> = (0..=LARGE).map(|_| SecretKey::generate(rng)).collect();
        let pins = pinned(&secrets, rng);
        let keyset = &pins.keysets()[0];
        let keys = keyset.keyset.keys.iter().map(|key| pins.key(&key.id()).unwrap().clone()).collect();
        let shop = Shop::new(rng);
        let terms = PaymentRequest {
            payee: Payee::Certified { leaf: Blob::new(LEAF).unwrap(), issuer: digest("authority") },
            name: Text::new("The shop at the corner").unwrap(),
            amount: price(),
            order: Text::new("order 2026-000123").unwrap(),
            route: Route::Account { bank: name("south"), account: Text::new(ACCOUNT).unwrap() },
            delivery: Delivery::ByHand,
            refund_until: at(NOW + 14 * DAY),
            view: pins.view(),
            expires: at(NOW + 600),
            nonce: digest("nonce"),
        };
        let request = SignedRequest::by_account_holder(terms, &shop.key).unwrap();
        Self { pins, secrets, keys, shop, request, seed: Seed::from_bytes([7; 64]) }
    }

    fn checker(&self) -> Checker<'_> {
        Checker { pins: &self.pins, authorities: &self.shop, now: at(NOW) }
    }

    /// The payer's part: the request is checked, the statement signed.
    fn pay(&self, coins: &[(&Coin, Minor)], rng: &mut ChaCha12Rng) -> CashItem {
        let request = self.request.verify(&self.shop, at(NOW)).unwrap();
        let payment = Payment::sign(&request.digest, coins, rng).unwrap();
        CashItem { request: self.request.clone(), payment }
    }

    /// A whole session of wallet and bank: commitments, challenges, what pays for it, answers, coins.
    fn draw(&self, exponents: &[usize], paid_with: Option<&Coin>, rng: &mut ChaCha12Rng) -> Vec<Coin> {
        let session = digest("session");
        let (open, commitments) = OpenSession::new(snowblind::commit_batch(exponents.len(), rng));
        let keys: Vec<_> = exponents.iter().map(|exponent| &self.keys[*exponent]).collect();
        let (pending, challenges) = PendingIssue::new(&self.seed, &keys, &session, &commitments).unwrap();
        if let Some(coin) = paid_with {
            let contribution = minor(exponents.iter().map(|exponent| 1 << exponent).sum());
            let planned = [PlannedInput { coin, contribution, releases: Vec::new() }];
            let funding =
                CoinFunding::sign("north", &session, &planned, Vec::new(), &challenges, rng).unwrap();
            funding.verify(&self.pins, "north", &session, &challenges, at(NOW), rng).unwrap();
        }
        let secrets: Vec<_> = exponents.iter().map(|exponent| &self.secrets[*exponent]).collect();
        pending.finish(&open.answer(&secrets, &challenges).unwrap()).unwrap()
    }
}

pub(crate) fn run(criterion: &mut Criterion) {
    let mut rng = rng();
    let world = World::new(&mut rng);
    let large = world.draw(&[LARGE], None, &mut rng);
    let exact = world.draw(&EXACT, None, &mut rng);
    let one = [(&large[0], minor(PRICE))];
    let five: Vec<_> = exact.iter().zip(EXACT).map(|(coin, exponent)| (coin, minor(1 << exponent))).collect();
    let wallets = [("feiqian online, one coin", &one[..]), ("feiqian online, five coins", &five[..])];

    let mut payer = group(criterion, operation::PAY);
    for (who, coins) in wallets {
        payer.bench_function(who, |b| b.iter(|| world.pay(black_box(coins), &mut rng)));
    }
    payer.finish();
    let mut verifier = group(criterion, operation::ACCEPT);
    for (who, coins) in wallets {
        let item = world.pay(coins, &mut rng);
        let checker = world.checker();
        verifier.bench_function(who, |b| b.iter(|| checker.verify(black_box(&item), &mut rng).unwrap()));
    }
    let item = world.pay(&one, &mut rng);
    let items = vec![item; 64];
    verifier.throughput(criterion::Throughput::Elements(64));
    verifier.bench_function("feiqian online, one coin, 64 payments together", |b| {
        b.iter(|| {
            let verified = world.checker().verify_many(black_box(&items), &mut rng);
            assert!(verified.iter().all(Result::is_ok));
        });
    });
    verifier.finish();
    let mut whole = group(criterion, operation::PAY_WHOLE);
    for (who, coins) in wallets {
        whole.bench_function(who, |b| {
            b.iter(|| {
                let item = world.pay(black_box(coins), &mut rng);
                world.checker().verify(&item, &mut rng).unwrap()
            });
        });
    }
    whole.bench_function("feiqian online, one coin, with unlinkable change", |b| {
        b.iter(|| {
            let item = world.pay(black_box(&one), &mut rng);
            world.checker().verify(&item, &mut rng).unwrap();
            world.draw(&CHANGE, Some(&large[0]), &mut rng)
        });
    });
    whole.finish();
}
