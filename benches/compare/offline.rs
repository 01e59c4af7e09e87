//! Our offline coin: issue, withdrawal, spending, checking, naming the double-spender, and paying 12.50 with it.

use std::hint::black_box;

use criterion::{BatchSize, Throughput};
use feiqian_crypto::acl::{
    Blinding, CommitmentSecret, Depth, IdentitySecret, SecretKey, Slot, announce, verify_opening,
};
use feiqian_crypto::share_tree::{
    Node, Piece, SecretNode, SecretTree, Shown, TreeBuilder, TreeSeed, identify, verify_all,
};
use feiqian_crypto::{Scalar, scalar};
use feiqian_money::Currency;
use feiqian_offline_cash::chain::KeysetView;
use feiqian_offline_cash::holding::{History, Unspent};
use feiqian_offline_cash::keyset::{KeyBook, Keyset, Kind, OfflineKey, Times, VerifiedKeyset, depth_of};
use feiqian_offline_cash::pay::{CashItem, Checker, pay};
use feiqian_offline_cash::request::{PaymentRequest, SignedRequest};
use feiqian_wire::{Blob, Bounded, Text};
use rand::rngs::ChaCha12Rng;

use crate::payee::{ACCOUNT, DAY, EXACT, LEAF, NOW, Shop, at, digest, minor, name, price};
use crate::{Criterion, group, operation, rng};

/// The coin that is divided: 20.48. Its parts of 10.24, 1.28, 0.64 and 0.32 and a coin of 0.02 make 12.50.
const LARGE: usize = 11;
const PARTS: [u32; 4] = [10, 7, 6, 5];
const SMALL: usize = 1;

/// The first leaf of a coin of depth 6.
const LEAF_NODE: u64 = 64;

const SLOT: Slot<'_> = Slot { bank: b"bank", account: b"account", session: &[7; 32], index: 0 };

fn withdrawn(
    secret: &SecretKey,
    builder: &TreeBuilder,
    person: &IdentitySecret,
    rng: &mut ChaCha12Rng,
) -> SecretTree {
    let context = SLOT.opening_context(secret.public());
    let commitment = person.commit(CommitmentSecret::random(rng));
    let encoded = *commitment.encoded();
    let proof = commitment.prove(&context, rng);
    let proven = verify_opening(person.public(), &encoded, &proof, &context).unwrap();
    let (answers, announcement) = announce(secret.public(), &proven, rng);
    let tree = builder.build(TreeSeed::random(rng));
    let (pending, challenge) = tree.begin(commitment, &announcement, Blinding::random(rng)).unwrap();
    pending.finish(&answers.respond(secret, &challenge)).unwrap()
}

/// Divides the coin down to its first leaf.
fn first_leaf(coin: SecretTree) -> SecretNode {
    let mut node = coin.into_nodes(&[]).remove(0);
    loop {
        match node.divide() {
            Ok([left, _]) => node = left,
            Err(leaf) => return leaf,
        }
    }
}

pub(crate) fn run(criterion: &mut Criterion) {
    issue(criterion);
    spend(criterion);
    payment(criterion);
}

fn issue(criterion: &mut Criterion) {
    let mut rng = rng();
    let key = SecretKey::generate(Depth::MAX, &mut rng);
    let builder = TreeBuilder::new(key.public());
    let person = IdentitySecret::generate(&mut rng);
    let context = SLOT.opening_context(key.public());
    let commitment = person.commit(CommitmentSecret::random(&mut rng));
    let encoded = *commitment.encoded();
    let proof = commitment.prove(&context, &mut rng);
    let proven = verify_opening(person.public(), &encoded, &proof, &context).unwrap();
    let (answers, announcement) = announce(key.public(), &proven, &mut rng);
    let tree = builder.build(TreeSeed::random(&mut rng));
    let (pending, challenge) = tree.begin(commitment, &announcement, Blinding::random(&mut rng)).unwrap();
    pending.finish(&answers.respond(&key, &challenge)).unwrap();

    let mut sign = group(criterion, operation::SIGN);
    sign.bench_function("feiqian offline (ACL), opening proof checked", |b| {
        b.iter(|| {
            let proven = verify_opening(person.public(), black_box(&encoded), &proof, &context).unwrap();
            let (answers, announcement) = announce(key.public(), &proven, &mut rng);
            black_box(announcement);
            answers.respond(&key, &challenge)
        });
    });
    sign.finish();

    let mut coin = group(criterion, operation::OFFLINE);
    coin.bench_function("feiqian, bank announces and answers", |b| {
        b.iter(|| {
            let (answers, announcement) = announce(key.public(), black_box(&proven), &mut rng);
            black_box(announcement);
            answers.respond(&key, &challenge)
        });
    });
    coin.bench_function("feiqian, wallet builds the share tree of depth 6", |b| {
        b.iter(|| builder.build(TreeSeed::random(&mut rng)));
    });
    coin.bench_function("feiqian, both sides of a withdrawal, depth 6", |b| {
        b.iter(|| withdrawn(&key, &builder, &person, &mut rng));
    });
    coin.finish();
}

fn spend(criterion: &mut Criterion) {
    let mut rng = rng();
    let key = SecretKey::generate(Depth::MAX, &mut rng);
    let builder = TreeBuilder::new(key.public());
    let person = IdentitySecret::generate(&mut rng);
    let coins: Vec<_> = (0..64).map(|_| *withdrawn(&key, &builder, &person, &mut rng).export()).collect();
    let challenges: Vec<Scalar> = coins.iter().map(|_| scalar::random(&mut rng)).collect();
    let read = |stored| SecretTree::import(&builder, stored).unwrap();
    let leaf = |stored, challenge| -> Piece { first_leaf(read(stored)).spend(challenge).unwrap() };
    let pieces: Vec<_> = coins.iter().zip(&challenges).map(|(coin, at)| leaf(coin, at)).collect();
    assert_eq!(pieces[0].node, Node::new(LEAF_NODE).unwrap());
    let again = leaf(&coins[0], &challenges[1]).verify(key.public(), &challenges[1]).unwrap();
    let first = pieces[0].verify(key.public(), &challenges[0]).unwrap();
    let pair = [&first, &again];
    let shown: Vec<_> = pieces
        .iter()
        .zip(&challenges)
        .map(|(piece, challenge)| Shown { key: key.public(), piece, challenge })
        .collect();

    let mut coin = group(criterion, operation::OFFLINE);
    coin.bench_function("feiqian, spend a leaf of depth 6", |b| {
        let fresh = || first_leaf(read(&coins[0]));
        b.iter_batched(fresh, |leaf| leaf.spend(&challenges[0]).unwrap(), BatchSize::SmallInput);
    });
    coin.bench_function("feiqian, verify a leaf of depth 6", |b| {
        b.iter(|| black_box(&pieces[0]).verify(key.public(), &challenges[0]).unwrap());
    });
    coin.bench_function("feiqian, name the double-spender", |b| {
        b.iter(|| identify(black_box(&pair)).unwrap().unwrap().identity().unwrap());
    });
    coin.throughput(Throughput::Elements(64));
    coin.bench_function("feiqian, verify leaves of depth 6, batches of 64", |b| {
        b.iter(|| verify_all(black_box(&shown), &mut rng).unwrap());
    });
    coin.finish();
}

/// A bank's keys for 0.01 to 20.48, coins of one customer, a shop's request.
struct World {
    builders: Vec<TreeBuilder>,
    verified: VerifiedKeyset,
    book: KeyBook,
    coins: Vec<[u8; SecretTree::STORED_LENGTH]>,
    shop: Shop,
    request: SignedRequest,
}

impl World {
    fn new(rng: &mut ChaCha12Rng) -> Self {
        let shop = Shop::new(rng);
        let (secrets, keys): (Vec<_>, Vec<_>) = std::iter::once((Kind::Blank, minor(0)))
            .chain((0..=LARGE).map(|exponent| (Kind::Value, minor(1 << exponent))))
            .map(|(kind, value)| {
                let depth = depth_of(kind, value).unwrap();
                let secret = SecretKey::generate(depth, rng);
                let key = *secret.public().encoded();
                (secret, OfflineKey { kind, value, depth, key })
            })
            .unzip();
        let times = Times {
            issue_from: at(NOW),
            issue_until: at(NOW + 30 * DAY),
            pay_until: at(NOW + 120 * DAY),
            deposit_until: at(NOW + 150 * DAY),
            reclaim_until: at(NOW + 180 * DAY),
        };
        let keyset = Keyset::sign(&shop.key, name("north"), 0, Currency::CNY, times, keys).unwrap();
        let verified = keyset.verify(&shop.key.public_key()).unwrap();
        let mut book = KeyBook::new();
        book.add(verified.clone()).unwrap();
        let builders: Vec<_> = secrets.iter().map(|secret| TreeBuilder::new(secret.public())).collect();
        let person = IdentitySecret::generate(rng);
        let coins = (secrets.iter().zip(&builders))
            .map(|(secret, builder)| *withdrawn(secret, builder, &person, rng).export())
            .collect();
        let view = KeysetView {
            bank: verified.keyset.bank.clone(),
            epoch: verified.keyset.epoch,
            digest: verified.digest,
        };
        let terms = PaymentRequest {
            leaf: Blob::new(LEAF).unwrap(),
            issuer: digest("authority"),
            name: Text::new("The shop at the corner").unwrap(),
            amount: price(),
            order: Text::new("order 7").unwrap(),
            bank: name("south"),
            account: Text::new(ACCOUNT).unwrap(),
            till: Text::new("till 3").unwrap(),
            keysets: Bounded::new(vec![view]).unwrap(),
            expires: at(NOW + 600),
            nonce: digest("nonce"),
        };
        let request = SignedRequest::sign(terms, &shop.key).unwrap();
        Self { builders, verified, book, coins, shop, request }
    }

    /// The coin of 2^`exponent`, as a wallet reads it.
    fn coin(&self, exponent: usize) -> Vec<Unspent> {
        let place = exponent + 1;
        let tree = SecretTree::import(&self.builders[place], &self.coins[place]).unwrap();
        Unspent::of_coin(tree, &self.verified.keys[place], History::Complete(&[])).unwrap()
    }

    fn whole(&self) -> Vec<Unspent> {
        EXACT.into_iter().flat_map(|exponent| self.coin(exponent)).collect()
    }

    fn divided(&self) -> Vec<Unspent> {
        let (mut parts, _) = self.coin(LARGE).remove(0).cut(&PARTS).unwrap();
        parts.extend(self.coin(SMALL));
        parts
    }

    fn pay(&self, pieces: Vec<Unspent>) -> CashItem {
        let request = self.request.verify(&self.shop, at(NOW)).unwrap();
        let payment = pay(&request, pieces, at(NOW)).unwrap().release_after_storing();
        CashItem { request: self.request.clone(), payment }
    }

    fn checker(&self) -> Checker<'_> {
        Checker { keys: &self.book, authorities: &self.shop, now: at(NOW) }
    }
}

fn payment(criterion: &mut Criterion) {
    let mut rng = rng();
    let world = World::new(&mut rng);
    type Purse = fn(&World) -> Vec<Unspent>;
    let purses: [(&str, Purse); 2] = [
        ("feiqian offline, five whole coins", World::whole),
        ("feiqian offline, four parts of a coin and a coin", World::divided),
    ];
    let mut payer = group(criterion, operation::PAY);
    for (who, purse) in purses {
        payer.bench_function(who, |b| {
            b.iter_batched(|| purse(&world), |pieces| world.pay(pieces), BatchSize::SmallInput);
        });
    }
    payer.finish();
    let mut verifier = group(criterion, operation::ACCEPT);
    for (who, purse) in purses {
        let item = world.pay(purse(&world));
        verifier.bench_function(who, |b| {
            b.iter(|| world.checker().verify(black_box(&item), &mut rng).unwrap());
        });
    }
    verifier.finish();
    let mut whole = group(criterion, operation::PAY_WHOLE);
    for (who, purse) in purses {
        whole.bench_function(who, |b| {
            b.iter_batched(
                || purse(&world),
                |pieces| world.checker().verify(&world.pay(pieces), &mut rng).unwrap(),
                BatchSize::SmallInput,
            );
        });
    }
    whole.finish();
}
