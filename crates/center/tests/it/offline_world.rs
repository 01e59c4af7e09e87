//! Offline coins of the banks: keysets, customers with identities, chains that cheat, and the counters that answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::acl::{IdentitySecret, SecretKey};
use feiqian_crypto::share_tree::{SecretTree, TreeBuilder};
use feiqian_crypto::{Digest, Transcript};
use feiqian_money::{Currency, Minor};
use feiqian_node::Members;
use feiqian_offline_cash::chain::{Blank, KeysetView};
use feiqian_offline_cash::claim::ClaimItem;
use feiqian_offline_cash::deposit::{Outcome, Part, Receipt, ReceiptTerms, Source};
use feiqian_offline_cash::held::Held;
use feiqian_offline_cash::holding::{History, Holding, Unspent};
use feiqian_offline_cash::identity::{
    Account as Token, AttestedIdentity, IdentityRecord, Registrant, Registration, SignedIdentity,
};
use feiqian_offline_cash::keyset::{Keyset, Kind, OfflineKey, Times, VerifiedKey, VerifiedKeyset, depth_of};
use feiqian_offline_cash::messages::{
    ClaimOutcome, IdentityRequest, OfflinePinEntry, OfflinePinRequest, OverdueClaim, PartItem, PartOutcome,
    SignedExposed,
};
use feiqian_offline_cash::pay::{CashItem, Checker, VerifiedPayment, pay};
use feiqian_offline_cash::policy::{Counter, Exposed, Policy};
use feiqian_offline_cash::request::{PaymentRequest, SignedRequest};
use feiqian_offline_cash::seed::Seed;
use feiqian_offline_cash::signed::WireChain;
use feiqian_offline_cash::transfer::{Offer, pass};
use feiqian_offline_cash::withdraw::{Customer, ExpectAnnouncements, ExpectCommitments, SignedWithdrawal};
use feiqian_pki::KeyPair;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp};

use crate::bank::{Account, DAY, TestBank, amount, rng};
use crate::wires::NodeWires;
use crate::world::{NOW, World};

pub(crate) const TIMES: Times = Times {
    issue_from: Timestamp::new(NOW),
    issue_until: Timestamp::new(NOW + 30 * DAY),
    pay_until: Timestamp::new(NOW + 120 * DAY),
    deposit_until: Timestamp::new(NOW + 150 * DAY),
    reclaim_until: Timestamp::new(NOW + 180 * DAY),
};

pub(crate) fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds)
}

pub(crate) fn minor(value: u64) -> Minor {
    Minor::new(value).unwrap()
}

pub(crate) fn digest(text: &str) -> Digest {
    Transcript::new("tests").text(text).into_digest()
}

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// What a bank answers to items of offline cash, by presentment; to others it cannot answer now.
#[derive(Default)]
pub(crate) struct Desk {
    pub(crate) holdings: Mutex<BTreeMap<Digest, Result<Outcome, Fault>>>,
    pub(crate) claims: Mutex<BTreeMap<Digest, Result<ClaimOutcome, Fault>>>,
    pub(crate) parts: Mutex<BTreeSet<Digest>>,
    pub(crate) exposed: Mutex<Option<SignedExposed>>,
    /// Claims that the center has ended, as it told them, in order.
    pub(crate) overdue: Mutex<Vec<OverdueClaim>>,
}

fn not_now() -> Fault {
    Fault::new(Code::Unavailable, "test")
}

impl Desk {
    pub(crate) fn holding(&self, presentment: &Presentment<CashItem>) -> Result<Presented<Outcome>, Fault> {
        let answers = self.holdings.lock().unwrap();
        let outcome = answers.get(&presentment.id).cloned().unwrap_or(Err(not_now()))?;
        Ok(Presented { id: presentment.id, outcome })
    }

    pub(crate) fn claim(
        &self,
        presentment: &Presentment<ClaimItem>,
    ) -> Result<Presented<ClaimOutcome>, Fault> {
        let answers = self.claims.lock().unwrap();
        let outcome = answers.get(&presentment.id).cloned().unwrap_or(Err(not_now()))?;
        Ok(Presented { id: presentment.id, outcome })
    }

    pub(crate) fn part(&self, presentment: &Presentment<PartItem>) -> Presented<PartOutcome> {
        self.parts.lock().unwrap().insert(presentment.id);
        Presented { id: presentment.id, outcome: PartOutcome::Booked }
    }

    pub(crate) fn exposed(&self) -> Result<SignedExposed, Fault> {
        self.exposed.lock().unwrap().clone().ok_or_else(not_now)
    }
}

/// The offline keys of a bank.
pub(crate) struct Issuer {
    pub(crate) bank: Arc<TestBank>,
    secrets: Vec<SecretKey>,
    builders: Vec<TreeBuilder>,
    pub(crate) verified: VerifiedKeyset,
}

/// Keys for blanks and for values 1, 2 and 4.
fn keys(seed: u64) -> (Vec<SecretKey>, Vec<OfflineKey>) {
    let mut rng = rng(seed);
    [(Kind::Blank, 0), (Kind::Value, 1), (Kind::Value, 2), (Kind::Value, 4)]
        .into_iter()
        .map(|(kind, value)| {
            let depth = depth_of(kind, minor(value)).unwrap();
            let secret = SecretKey::generate(depth, &mut rng);
            let key = *secret.public().encoded();
            (secret, OfflineKey { kind, value: minor(value), depth, key })
        })
        .unzip()
}

pub(crate) fn keyset(bank: &TestBank, epoch: u64, currency: Currency, seed: u64) -> Keyset {
    Keyset::sign(&bank.signer, name(&bank.name), epoch, currency, TIMES, keys(seed).1).unwrap()
}

pub(crate) fn pin_request(bank: &TestBank, keyset: Keyset) -> OfflinePinRequest {
    OfflinePinRequest { keyset, signer: WireChain::from_chain(&bank.signer_chain).unwrap() }
}

impl Issuer {
    pub(crate) fn of(bank: &Arc<TestBank>, seed: u64) -> Self {
        let keyset = keyset(bank, 0, Currency::CNY, seed);
        let secrets = keys(seed).0;
        let builders = secrets.iter().map(|secret| TreeBuilder::new(secret.public())).collect();
        let verified = keyset.verify(&bank.signer.public_key()).unwrap();
        Self { bank: Arc::clone(bank), secrets, builders, verified }
    }

    pub(crate) async fn pin(&self) -> Result<OfflinePinEntry, Fault> {
        let request = pin_request(&self.bank, self.verified.keyset.clone());
        self.bank.ask("/v1/offline/pin", &request).await
    }

    pub(crate) fn view(&self) -> KeysetView {
        let keyset = &self.verified.keyset;
        KeysetView { bank: keyset.bank.clone(), epoch: keyset.epoch, digest: self.verified.digest }
    }

    pub(crate) fn key(&self, place: usize) -> &VerifiedKey {
        &self.verified.keys[place]
    }
}

/// A customer with a secret identity.
pub(crate) struct Person {
    pub(crate) account: Account,
    seed: Seed,
    pub(crate) secret: IdentitySecret,
}

/// A coin in a wallet's store, which can be read as often as a cheat likes.
pub(crate) struct StoredCoin {
    place: usize,
    bytes: [u8; SecretTree::STORED_LENGTH],
    pub(crate) message: Digest,
    pub(crate) withdrawal: SignedWithdrawal,
}

impl Person {
    pub(crate) fn of(bank: &Arc<TestBank>, token: &str, seed: u8) -> Self {
        let account = bank.account(token);
        let seed = Seed::from_bytes([seed; 64]);
        let secret = seed.identity(&bank.name, token).unwrap();
        Self { account, seed, secret }
    }

    pub(crate) fn request(&self, collateral: u64) -> IdentityRequest {
        let (bank, key) = (&self.account.bank.name, &self.account.key);
        let public = key.public_key();
        let registrant = Registrant { bank, account: &self.account.token, signing_key: &public };
        let registration = Registration::new(&self.secret, &registrant, &mut rng(u64::from(public[0])));
        let record = IdentityRecord {
            bank: name(bank),
            account: Text::new(self.account.token.clone()).unwrap(),
            identity: *self.secret.public(),
            signing_key: Blob::new(public).unwrap(),
            collateral: amount(collateral),
        };
        let chain = WireChain::from_chain(&self.account.chain).unwrap();
        IdentityRequest { identity: SignedIdentity::sign(record, key, chain).unwrap(), registration }
    }

    pub(crate) async fn register(&self) -> AttestedIdentity {
        self.account.bank.ask("/v1/offline/identity", &self.request(100)).await.unwrap()
    }

    /// Withdraws a coin of the person's own bank: 0 a blank, else of 2^(place - 1).
    pub(crate) fn draw(&self, issuer: &Issuer, session: &str, place: usize) -> StoredCoin {
        let (bank, token): (Name, Token) =
            (name(&issuer.bank.name), Text::new(self.account.token.clone()).unwrap());
        let customer = Customer { seed: &self.seed, identity: &self.secret, bank: &bank, account: &token };
        let (session, keys, mut rng) = (digest(session), [issuer.key(place)], rng(9));
        let (expect, request) =
            ExpectAnnouncements::begin(&customer, &keys, &session, |_| false, &mut rng).unwrap();
        let waiting = ExpectCommitments::new(bank.clone(), token.clone(), session, &keys).unwrap();
        let (open, response) = waiting.announce(self.secret.public(), &request, &mut rng).unwrap();
        let (pending, finish) = expect.challenge(&customer, &response, |_| false, &self.account.key).unwrap();
        let accepted = open.accept(&finish, &self.account.key.public_key()).unwrap();
        let answers = open.answer(&[&issuer.secrets[place]], &accepted).unwrap();
        let coin = pending.finish(&answers).unwrap().remove(0);
        let (bytes, message) = (*coin.tree.export(), *coin.tree.message());
        StoredCoin { place, bytes, message, withdrawal: accepted.signed().clone() }
    }
}

impl StoredCoin {
    fn read(&self, issuer: &Issuer) -> SecretTree {
        SecretTree::import(&issuer.builders[self.place], &self.bytes).unwrap()
    }

    /// All of a value coin, as if nothing had been spent.
    pub(crate) fn unspent(&self, issuer: &Issuer) -> Vec<Unspent> {
        Unspent::of_coin(self.read(issuer), issuer.key(self.place), History::Complete(&[])).unwrap()
    }

    /// All that a blank took, as if nothing had been spent.
    pub(crate) fn received(&self, holding: &Holding, issuer: &Issuer) -> Vec<Unspent> {
        holding.clone().open(self.read(issuer), issuer.key(0), History::Complete(&[])).unwrap()
    }
}

/// Two banks with pinned offline keys, a shop at the second.
pub(crate) struct Offline {
    pub(crate) world: World,
    /// Issues value coins.
    pub(crate) north: Issuer,
    /// Collects; issues blanks to its customers.
    pub(crate) south: Issuer,
    pub(crate) shop: Account,
}

impl Offline {
    pub(crate) async fn new() -> Self {
        let scene = Self::unpinned().await;
        scene.north.pin().await.unwrap();
        scene.south.pin().await.unwrap();
        scene
    }

    pub(crate) async fn unpinned() -> Self {
        let world = World::new().await;
        let north = Issuer::of(&world.bank("north").await, 1);
        let south = Issuer::of(&world.bank("south").await, 2);
        let shop = south.bank.account("shop");
        Self { world, north, south, shop }
    }

    /// What somebody else sees of the center.
    pub(crate) async fn synced(&self) -> Members {
        let url = self.world.center.config().url.clone();
        let root = self.world.center.view().root().clone();
        let members = Members::new(feiqian_node::MemberView::empty(root), &url);
        let wires = NodeWires { wires: Arc::clone(&self.world.wires), own: None };
        members.sync(&wires, at(NOW)).await.unwrap();
        members
    }

    fn views<const N: usize>(&self) -> Bounded<KeysetView, N> {
        Bounded::new(vec![self.north.view(), self.south.view()]).unwrap()
    }

    /// Pays all of the pieces to the shop.
    pub(crate) fn pay(&self, pieces: Vec<Unspent>, order: &str) -> CashItem {
        let sum = pieces.iter().map(|piece| piece.value().value()).sum();
        let authority = self.shop.chain.certificates()[1].clone();
        let request = PaymentRequest {
            leaf: Blob::new(self.shop.chain.leaf()).unwrap(),
            issuer: feiqian_pki::fingerprint(&authority),
            name: Text::new("Shop").unwrap(),
            amount: amount(sum),
            order: Text::new(order).unwrap(),
            bank: name(&self.shop.bank.name),
            account: Text::new(self.shop.token.clone()).unwrap(),
            till: Text::new("till").unwrap(),
            keysets: self.views(),
            expires: at(NOW + 600),
            nonce: digest(order),
        };
        let signed = SignedRequest::sign(request, &self.shop.key).unwrap();
        let verified = signed.verify(&*self.world.center.view(), at(NOW)).unwrap();
        let payment = pay(&verified, pieces, at(NOW)).unwrap().release_after_storing();
        CashItem { request: signed, payment }
    }

    /// Passes one piece to a blank of the second bank.
    pub(crate) fn hand(&self, piece: Unspent, blank: &StoredCoin) -> Holding {
        let view = self.world.center.view();
        let keys = view.offline_keys();
        let offer = Offer {
            amount: amount(piece.value().value()),
            blanks: Bounded::new(vec![Blank { key: self.south.key(0).id, message: blank.message }]).unwrap(),
            keysets: self.views(),
            expires: at(NOW + 600),
        };
        let mut rng = rng(5);
        let (pending, commitment) = offer.commit(keys, &mut rng).unwrap();
        let (expect, nonce) = commitment.answer(&mut rng);
        let (open, opening, _) = pending.open(&nonce);
        let confirmed = expect.check(opening, keys).unwrap().codes_agree();
        let transfer = pass(confirmed, vec![piece], at(NOW), &mut rng).unwrap().release_after_storing();
        let (policy, exposed) = (Policy::default(), Exposed { as_of: at(NOW), ..Exposed::default() });
        let counter = Counter { keys, policy: &policy, exposed: &exposed, held: &Held::new(), now: at(NOW) };
        let mut received = open.receive(&transfer, &BTreeSet::new(), &counter, &mut rng).unwrap();
        received.pop().unwrap()
    }

    pub(crate) fn verify(&self, item: &CashItem) -> VerifiedPayment {
        let view = self.world.center.view();
        let checker = Checker { keys: view.offline_keys(), authorities: &*view, now: at(NOW) };
        checker.verify(item, &mut rng(3)).unwrap()
    }

    /// The first bank's receipt for a payment of one piece, of these parts.
    pub(crate) fn receipt(&self, item: &CashItem, presentment: Digest, parts: &[(u64, Source)]) -> Receipt {
        self.receipt_by(&self.north.bank.signer, item, presentment, parts)
    }

    pub(crate) fn receipt_by(
        &self,
        signer: &KeyPair,
        item: &CashItem,
        presentment: Digest,
        parts: &[(u64, Source)],
    ) -> Receipt {
        let part =
            |(units, source): &(u64, Source)| Part { piece: 0, amount: minor(*units), source: *source };
        let parts = parts.iter().map(part).collect();
        ReceiptTerms::new(&self.verify(item), presentment, parts, at(NOW)).unwrap().sign(signer).unwrap()
    }

    pub(crate) async fn present(
        &self,
        presentment: &Presentment<CashItem>,
    ) -> Result<Presented<Outcome>, Fault> {
        self.south.bank.ask("/v1/present/holding", presentment).await
    }

    pub(crate) async fn settlements(&self) -> [String; 2] {
        [self.world.settlement("north").await, self.world.settlement("south").await]
    }
}

pub(crate) fn presented(item: CashItem) -> Presentment<CashItem> {
    let request = item.request.request.clone();
    let digest = item.digest().unwrap();
    Presentment::new(request.bank, request.account, request.amount, ItemKind::Holding, &digest, item)
}
