//! A center for offline cash, customers with identities, coins that can be read as often as a cheat likes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use feiqian_bank::Config;
use feiqian_clearing::presentment::{Presented, Presentment};
use feiqian_crypto::Digest;
use feiqian_crypto::share_tree::{SecretTree, TreeBuilder};
use feiqian_ledger::store::{StoreError, StoreExt, Tx};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::{Access, Caller, Peer, Route, Routes, Service, Target, call};
use feiqian_offline_cash::accusation::{NonAnswer, SignedNonAnswer};
use feiqian_offline_cash::chain::{Blank, KeysetView};
use feiqian_offline_cash::claim::ClaimItem;
use feiqian_offline_cash::deposit::{Outcome, Receipt};
use feiqian_offline_cash::held::Held;
use feiqian_offline_cash::holding::{History, Holding, Unspent};
use feiqian_offline_cash::identity::{
    AttestedIdentity, IdentityRecord, Registrant, Registration, SignedIdentity,
};
use feiqian_offline_cash::keyset::{KeyBook, VerifiedKey};
use feiqian_offline_cash::messages::{
    ClaimOutcome, DepositRequest, DepositResponse, IdentityRequest, OfflinePinEntry, OfflineRegisterRequest,
    OfflineTerms, OverdueClaim, PartItem, PartOutcome, SignedExposed,
};
use feiqian_offline_cash::pay::{CashItem, pay};
use feiqian_offline_cash::policy::{Counter, Exposed, Policy};
use feiqian_offline_cash::request::{PaymentRequest, SignedRequest};
use feiqian_offline_cash::seed::Seed;
use feiqian_offline_cash::signed::WireChain;
use feiqian_offline_cash::transfer::{Offer, pass};
use feiqian_offline_cash::withdraw::{
    BeginRequest, BeginResponse, CommitResponse, Customer, ExpectAnnouncements, FinishRequest,
    FinishResponse, Origin, PendingWithdrawal, outputs_of,
};
use feiqian_pki::{CertificateRequest, KeyPair, Purpose, Role, Subject, Verified, fingerprint};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp, U64};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::world::{Direct, Holder, NOW, Node, World, digest, minor};

pub(crate) const CENTER: &[Role] = &[Role::Center];

/// Small coins and short times.
pub(crate) fn tune(config: &mut Config) {
    config.offline.largest_exponent = 4;
    config.offline.issue_seconds = 1000;
    config.offline.pay_seconds = 1000;
    config.offline.deposit_seconds = 1000;
    config.offline.reclaim_seconds = 1000;
    config.offline.value_cap_minor = 64;
    config.offline.blanks_cap = 8;
}

pub(crate) fn with_collateral(config: &mut Config) {
    tune(config);
    config.offline.collateral_minor = 5;
}

/// How a claim fares at the bank of a cheat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Late {
    /// It is answered.
    #[default]
    No,
    /// No answer comes; whether the bank has heard the question.
    Waits { heard: bool },
    /// Nor has one come by the end of its time.
    Ends { heard: bool },
}

/// Between the banks: hands items on and notes what they owe each other.
pub(crate) struct Clearing {
    key: KeyPair,
    chain: WireChain,
    root: feiqian_pki::TrustedRoot,
    peer: Arc<Verified>,
    banks: BTreeMap<String, axum::Router>,
    now: Arc<feiqian_node::ManualClock>,
    pub(crate) owed: Mutex<BTreeMap<(String, String), u64>>,
    pub(crate) exposed: Mutex<Vec<SignedExposed>>,
    /// Refuses identities for ever.
    pub(crate) refuse: Mutex<bool>,
    /// What was presented, by path, to count repeats.
    pub(crate) seen: Mutex<BTreeSet<Digest>>,
    pub(crate) late: Mutex<Late>,
    /// Claims that ended for want of an answer.
    pub(crate) overdue: Mutex<Vec<OverdueClaim>>,
    view: Mutex<Option<Arc<feiqian_node::MemberView>>>,
}

impl Clearing {
    async fn forward<I, O>(&self, to: &str, path: &str, item: &Presentment<I>) -> Result<Presented<O>, Fault>
    where
        I: serde::Serialize + Sync + 'static,
        O: serde::de::DeserializeOwned,
    {
        let router = self.banks.get(to).ok_or_else(|| Fault::new(Code::WrongBank, to))?.clone();
        let direct = Direct { router, peer: Some(Arc::clone(&self.peer)) };
        let target = Target::anyone("https://127.0.0.1:7001");
        Ok(call(&direct, &target, Caller::Certified, path, item).await?)
    }

    fn owe(&self, presentment: Digest, from: &str, to: &str, amount: Minor) {
        if amount.is_zero() || !self.seen.lock().unwrap().insert(presentment) {
            return;
        }
        *self.owed.lock().unwrap().entry((from.to_owned(), to.to_owned())).or_default() += amount.value();
    }

    async fn holding(
        self: Arc<Self>,
        _: Peer,
        item: Presentment<CashItem>,
    ) -> Result<Presented<Outcome>, Fault> {
        let collecting = item.collecting_bank.as_str();
        let to = self.banks.keys().find(|name| *name != collecting).unwrap().clone();
        let answer: Presented<Outcome> = self.forward(&to, "/v1/pay/holding", &item).await?;
        if let Outcome::Settled(receipt) = &answer.outcome {
            self.owe(item.id, &to, collecting, receipt.terms.paid().unwrap());
        }
        Ok(answer)
    }

    async fn claim(
        self: Arc<Self>,
        _: Peer,
        item: Presentment<ClaimItem>,
    ) -> Result<Presented<ClaimOutcome>, Fault> {
        let from = item.collecting_bank.as_str();
        let to = self.banks.keys().find(|name| *name != from).unwrap().clone();
        let late = *self.late.lock().unwrap();
        if let Late::Waits { heard } | Late::Ends { heard } = late {
            if heard {
                let _lost: Result<Presented<ClaimOutcome>, Fault> =
                    self.forward(&to, "/v1/pay/claim", &item).await;
            }
            if matches!(late, Late::Waits { .. }) {
                return Err(Fault::new(Code::Unavailable, "no answer"));
            }
            let statement = self.not_answered(&item);
            self.owe(item.id, &to, from, item.amount.minor);
            return Ok(Presented { id: item.id, outcome: ClaimOutcome::Unanswered(statement) });
        }
        let answer: Presented<ClaimOutcome> = self.forward(&to, "/v1/pay/claim", &item).await?;
        if let ClaimOutcome::Answered { paid, .. } = &answer.outcome {
            self.owe(item.id, &to, from, *paid);
        }
        Ok(answer)
    }

    /// The center's word on a claim, and what the bank of the cheat is to be told.
    fn not_answered(&self, item: &Presentment<ClaimItem>) -> SignedNonAnswer {
        let mut overdue = self.overdue.lock().unwrap();
        if let Some(known) = overdue.iter().find(|known| known.presentment == item.id) {
            return known.statement.clone();
        }
        let view = self.view.lock().unwrap().clone().unwrap();
        let claim = item.item.verify(view.offline_keys(), &mut ChaCha12Rng::seed_from_u64(8)).unwrap();
        let now = feiqian_node::Clock::now(&*self.now);
        let statement = NonAnswer {
            bank: claim.debtor.clone(),
            key: claim.key,
            pinned_at: Timestamp::new(NOW),
            coin: claim.terms.message,
            opening: claim.opening,
            asked_at: Timestamp::new(now.seconds() - 1),
            decided_at: now,
        };
        let statement = SignedNonAnswer::sign(statement, &self.key, self.chain.clone()).unwrap();
        overdue.push(OverdueClaim {
            presentment: item.id,
            terms: claim.terms,
            amount: item.amount,
            statement: statement.clone(),
        });
        statement
    }

    /// Tells the banks what they did not answer.
    pub(crate) async fn tell(&self) -> Result<(), Fault> {
        let overdue = self.overdue.lock().unwrap().clone();
        for word in &overdue {
            self.say(word).await?;
        }
        Ok(())
    }

    pub(crate) async fn say(&self, word: &OverdueClaim) -> Result<(), Fault> {
        let router = self.banks[word.statement.statement.bank.as_str()].clone();
        let direct = Direct { router, peer: Some(Arc::clone(&self.peer)) };
        let target = Target::anyone("https://127.0.0.1:7001");
        let path = "/v1/pay/claim/overdue";
        Ok(call(&direct, &target, Caller::Certified, path, word).await?)
    }

    async fn part(
        self: Arc<Self>,
        _: Peer,
        item: Presentment<PartItem>,
    ) -> Result<Presented<PartOutcome>, Fault> {
        let answer: Presented<PartOutcome> =
            self.forward(item.item.to.as_str(), "/v1/pay/part", &item).await?;
        if answer.outcome == PartOutcome::Booked {
            self.owe(item.id, item.item.from.as_str(), item.item.to.as_str(), item.amount.minor);
        }
        Ok(answer)
    }

    async fn identity(self: Arc<Self>, _: Peer, request: IdentityRequest) -> Result<AttestedIdentity, Fault> {
        if *self.refuse.lock().unwrap() {
            return Err(Fault::new(Code::Conflict, "the identity is another account's"));
        }
        let now = feiqian_node::Clock::now(&*self.now);
        Ok(AttestedIdentity::attest(request.identity, now, &self.key, self.chain.clone(), &self.root)?)
    }

    async fn expose(self: Arc<Self>, _: Peer, list: SignedExposed) -> Result<(), Fault> {
        self.exposed.lock().unwrap().push(list);
        Ok(())
    }

    fn router(self: &Arc<Self>) -> axum::Router {
        let route = |path| Route::new(path).access(Access::Peer(CENTER)).limit(feiqian_wire::Limit::Large);
        Routes::new(Arc::clone(self))
            .add(route("/v1/pay/holding"), Self::holding)
            .add(route("/v1/pay/claim"), Self::claim)
            .add(route("/v1/pay/part"), Self::part)
            .add(route("/v1/offline/identity"), Self::identity)
            .add(route("/v1/offline/expose"), Self::expose)
            .into_router()
    }

    pub(crate) fn owes(&self, from: &str, to: &str) -> u64 {
        self.owed.lock().unwrap().get(&(from.to_owned(), to.to_owned())).copied().unwrap_or(0)
    }
}

/// A center, banks with pinned offline keys that reach each other.
pub(crate) struct OffWorld {
    pub(crate) world: World,
    pub(crate) clearing: Arc<Clearing>,
    pub(crate) rng: ChaCha12Rng,
    counter: u64,
}

/// An account holder with an offline identity.
pub(crate) struct Person {
    pub(crate) holder: Holder,
    pub(crate) seed: Seed,
    pub(crate) bank: Name,
    pub(crate) account: Text<64>,
    pub(crate) secret: feiqian_crypto::acl::IdentitySecret,
}

impl Person {
    pub(crate) fn customer(&self) -> Customer<'_> {
        Customer { seed: &self.seed, identity: &self.secret, bank: &self.bank, account: &self.account }
    }
}

/// A coin in a wallet's store.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) key: VerifiedKey,
    pub(crate) origin: Origin,
    pub(crate) message: Digest,
    bytes: [u8; SecretTree::STORED_LENGTH],
}

impl Stored {
    pub(crate) fn read(&self) -> SecretTree {
        SecretTree::import(&TreeBuilder::new(&self.key.public), &self.bytes).unwrap()
    }

    /// The whole coin, as if nothing had been answered.
    pub(crate) fn open(&self) -> Unspent {
        let mut parts = Unspent::of_coin(self.read(), &self.key, History::Complete(&[])).unwrap();
        assert_eq!(parts.len(), 1);
        parts.pop().unwrap()
    }

    pub(crate) fn open_holding(&self, holding: &Holding) -> Unspent {
        let parts = holding.clone().open(self.read(), &self.key, History::Complete(&[])).unwrap();
        parts.into_iter().next().unwrap()
    }
}

/// A part of this exponent, and the rest.
pub(crate) fn cut(part: Unspent, exponents: &[u32]) -> (Vec<Unspent>, Vec<Unspent>) {
    part.cut(exponents).unwrap()
}

impl OffWorld {
    pub(crate) async fn new(north: &mut Node, south: Option<&mut Node>, world: World) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(99);
        let subject = Subject::center("center").unwrap();
        let key = KeyPair::from_seed(&[77; 32]);
        let request =
            CertificateRequest::verify(&CertificateRequest::create(&key, &subject).unwrap()).unwrap();
        let chain =
            world.root.issue_leaf(&request, &subject, Purpose::Signing, &[], 1 << 30, NOW, &mut rng).unwrap();
        let mut nodes: Vec<&mut Node> = vec![north];
        nodes.extend(south);
        let clearing = Arc::new(Clearing {
            key,
            chain: WireChain::from_chain(&chain).unwrap(),
            root: world.trusted(),
            peer: Arc::clone(&world.center),
            banks: nodes.iter().map(|node| (node.name.to_owned(), Arc::clone(&node.bank).router())).collect(),
            now: Arc::clone(&world.clock),
            owed: Mutex::default(),
            exposed: Mutex::default(),
            refuse: Mutex::new(false),
            seen: Mutex::default(),
            late: Mutex::default(),
            overdue: Mutex::default(),
            view: Mutex::default(),
        });
        for node in &nodes {
            world.relay(node, clearing.router());
            let amount = Amount::new(minor(1_000_000), Currency::CNY);
            let id = feiqian_crypto::Id16([node.name.as_bytes()[0]; 16]);
            let funding = feiqian_clearing::membership::Funding { id, amount, at: Timestamp::new(NOW) };
            node.bank.book_fundings(vec![funding]).await.unwrap();
        }
        let this = Self { world, clearing, rng, counter: 0 };
        let nodes: Vec<&Node> = nodes.into_iter().map(|node| &*node).collect();
        this.publish(&nodes).await;
        this
    }

    /// One bank.
    pub(crate) async fn one(tune: fn(&mut Config)) -> (Self, Node) {
        let world = World::new();
        let mut north = world.tuned("north", 10, tune).await;
        (Self::new(&mut north, None, world).await, north)
    }

    pub(crate) async fn two() -> (Self, Node, Node) {
        let world = World::new();
        let mut north = world.tuned("north", 10, tune).await;
        let mut south = world.tuned("south", 20, tune).await;
        (Self::new(&mut north, Some(&mut south), world).await, north, south)
    }

    /// Makes offline keysets, and pins and shows everything, as the center does.
    pub(crate) async fn publish(&self, nodes: &[&Node]) {
        self.world.publish(nodes).await;
        let mut entries = Vec::new();
        for node in nodes {
            // The center of these tests pins nothing by itself.
            assert!(node.bank.tend().await.is_err());
            let WireChain(signer) = self.signer(node);
            entries.extend(node.bank.own_offline_keysets().into_iter().map(|keyset| OfflinePinEntry {
                pinned_at: Timestamp::new(NOW),
                keyset,
                signer: WireChain(signer.clone()),
            }));
        }
        for node in nodes {
            let view = node.bank.members().snapshot();
            node.bank.members().replace(view.with_offline(entries.clone()).unwrap());
            node.bank.keep_members().await.unwrap();
            *self.clearing.view.lock().unwrap() = Some(node.bank.members().snapshot());
        }
    }

    fn signer(&self, node: &Node) -> WireChain {
        WireChain(self.world.signer_chain(node).0)
    }

    pub(crate) fn fresh(&mut self) -> Digest {
        self.counter += 1;
        digest(10_000 + self.counter)
    }

    pub(crate) async fn holder(&self, node: &Node, name: &str, funds: &str) -> Person {
        let holder = self.world.customer(node, name, funds).await;
        let seed = Seed::from_bytes([u8::try_from(name.len()).unwrap(); 64]);
        let secret = seed.identity(node.name, &holder.token).unwrap();
        let account = Text::new(holder.token.clone()).unwrap();
        Person { holder, seed, bank: Name::new(node.name).unwrap(), account, secret }
    }

    pub(crate) async fn registration(&mut self, node: &Node, person: &Person) -> OfflineRegisterRequest {
        let terms: OfflineTerms =
            node.ask(Some(&person.holder.peer), "/v1/account/offline/terms", &()).await.unwrap();
        let signing_key = person.holder.signing.public_key();
        let registrant =
            Registrant { bank: node.name, account: person.account.as_str(), signing_key: &signing_key };
        let registration = Registration::new(&person.secret, &registrant, &mut self.rng);
        let record = IdentityRecord {
            bank: person.bank.clone(),
            account: person.account.clone(),
            identity: *person.secret.public(),
            signing_key: Blob::new(signing_key.to_vec()).unwrap(),
            collateral: terms.collateral,
        };
        let chain = WireChain(person.holder.chain.0.clone());
        let identity = SignedIdentity::sign(record, &person.holder.signing, chain).unwrap();
        OfflineRegisterRequest { registration, identity }
    }

    /// A funded customer with a registered identity.
    pub(crate) async fn person(&mut self, node: &Node, name: &str, funds: &str) -> Person {
        let person = self.holder(node, name, funds).await;
        let request = self.registration(node, &person).await;
        let attested: AttestedIdentity =
            node.ask(Some(&person.holder.peer), "/v1/account/offline/register", &request).await.unwrap();
        attested.verify(&self.world.trusted()).unwrap();
        person
    }

    pub(crate) fn key(&self, node: &Node, value: u64) -> VerifiedKey {
        let view = node.bank.members().snapshot();
        let keysets = view.offline_keys().keysets();
        let own = keysets.iter().rev().find(|known| known.keyset.bank.as_str() == node.name).unwrap();
        own.keys.iter().find(|key| key.value.value() == value).unwrap().clone()
    }

    pub(crate) fn begin_request(&mut self, node: &Node, values: &[u64]) -> BeginRequest {
        let ids: Vec<Digest> = values.iter().map(|value| self.key(node, *value).id).collect();
        BeginRequest { request: self.fresh(), salt: self.fresh(), outputs: outputs_of(&ids).unwrap() }
    }

    /// Up to the challenges.
    pub(crate) async fn pend(
        &mut self,
        node: &Node,
        person: &Person,
        request: &BeginRequest,
        values: &[u64],
    ) -> Result<(PendingWithdrawal, FinishRequest), Fault> {
        let peer = Some(&person.holder.peer);
        let response: BeginResponse = node.ask(peer, "/v1/account/offline/begin", request).await?;
        let BeginResponse::Open(offer) = response else { panic!("not open: {response:?}") };
        let keys: Vec<VerifiedKey> = values.iter().map(|value| self.key(node, *value)).collect();
        let keys: Vec<&VerifiedKey> = keys.iter().collect();
        let customer = person.customer();
        let (expect, commit) =
            ExpectAnnouncements::begin(&customer, &keys, &offer.session, |_| false, &mut self.rng).unwrap();
        let announced: CommitResponse = node.ask(peer, "/v1/account/offline/commit", &commit).await?;
        let again: CommitResponse = node.ask(peer, "/v1/account/offline/commit", &commit).await?;
        assert_eq!(announced, again);
        Ok(expect.challenge(&customer, &announced, |_| false, &person.holder.signing).unwrap())
    }

    /// Withdraws coins of these values; 0 for a blank.
    pub(crate) async fn withdraw(
        &mut self,
        node: &Node,
        person: &Person,
        values: &[u64],
    ) -> Result<Vec<Stored>, Fault> {
        let request = self.begin_request(node, values);
        let (pending, finish) = self.pend(node, person, &request, values).await?;
        let answer: FinishResponse =
            node.ask(Some(&person.holder.peer), "/v1/account/offline/finish", &finish).await?;
        let coins = pending.finish(&answer).unwrap();
        let store = |(coin, value): (feiqian_offline_cash::withdraw::Coin, &u64)| Stored {
            key: self.key(node, *value),
            origin: coin.origin.clone(),
            message: *coin.tree.message(),
            bytes: *coin.tree.export(),
        };
        Ok(coins.into_iter().zip(values).map(store).collect())
    }

    pub(crate) fn views(&self, node: &Node) -> Bounded<KeysetView, 16> {
        let view = node.bank.members().snapshot();
        let keysets = view.offline_keys().keysets().iter();
        Bounded::collect(keysets.map(|known| KeysetView {
            bank: known.keyset.bank.clone(),
            epoch: U64(known.keyset.epoch.0),
            digest: known.digest,
        }))
        .unwrap()
    }

    /// Asks for an amount on an account at a bank.
    pub(crate) fn request(&mut self, node: &Node, payee: &Holder, amount: u64) -> SignedRequest {
        let chain = payee.chain.to_chain().unwrap();
        let request = PaymentRequest {
            leaf: Blob::new(chain.leaf()).unwrap(),
            issuer: fingerprint(node.chain.leaf()),
            name: Text::new("payee").unwrap(),
            amount: Amount::new(minor(amount), Currency::CNY),
            order: Text::new("order").unwrap(),
            bank: Name::new(node.name).unwrap(),
            account: Text::new(payee.token.clone()).unwrap(),
            till: Text::new("till").unwrap(),
            keysets: self.views(node),
            expires: Timestamp::new(NOW + 1_000_000),
            nonce: self.fresh(),
        };
        SignedRequest::sign(request, &payee.signing).unwrap()
    }

    /// Pays all of the pieces to an account at a bank.
    pub(crate) fn pay(&mut self, node: &Node, payee: &Holder, pieces: Vec<Unspent>) -> CashItem {
        let amount = pieces.iter().map(|piece| piece.value().value()).sum();
        let request = self.request(node, payee, amount);
        let now = feiqian_node::Clock::now(&*self.world.clock);
        let verified = request.verify(&*node.bank.members().snapshot(), now).unwrap();
        let payment = pay(&verified, pieces, now).unwrap().release_after_storing();
        CashItem { request, payment }
    }

    /// Passes one piece on to a blank.
    pub(crate) fn hand(&mut self, node: &Node, piece: Unspent, blank: &Stored) -> Holding {
        let view = node.bank.members().snapshot();
        let keys: &KeyBook = view.offline_keys();
        let now = feiqian_node::Clock::now(&*self.world.clock);
        let offer = Offer {
            amount: Amount::new(piece.value(), Currency::CNY),
            blanks: Bounded::new(vec![Blank { key: blank.key.id, message: blank.message }]).unwrap(),
            keysets: self.views(node),
            expires: now.saturating_add(600),
        };
        let (pending, commitment) = offer.commit(keys, &mut self.rng).unwrap();
        let (expect, nonce) = commitment.answer(&mut self.rng);
        let (open, opening, _) = pending.open(&nonce);
        let confirmed = expect.check(opening, keys).unwrap().codes_agree();
        let transfer = pass(confirmed, vec![piece], now, &mut self.rng).unwrap().release_after_storing();
        let policy = Policy { margin_seconds: 0, ..Policy::default() };
        let (exposed, held) = (Exposed { as_of: now, coins: BTreeSet::new() }, Held::new());
        let counter = Counter { keys, policy: &policy, exposed: &exposed, held: &held, now };
        let mut received = open.receive(&transfer, &BTreeSet::new(), &counter, &mut self.rng).unwrap();
        received.pop().unwrap()
    }
}

/// Deposits at a bank.
pub(crate) async fn deposit(node: &Node, payee: &Holder, item: &CashItem) -> Result<DepositResponse, Fault> {
    let request = DepositRequest { item: item.clone() };
    node.ask(Some(&payee.peer), "/v1/account/offline/deposit", &request).await
}

/// The receipt of a deposit that was settled by its own presentment.
pub(crate) async fn settled(node: &Node, payee: &Holder, item: &CashItem) -> Receipt {
    match deposit(node, payee, item).await.unwrap() {
        DepositResponse::Final(Outcome::Settled(receipt)) => receipt,
        other => panic!("not settled: {other:?}"),
    }
}

/// What stands on the bank's mirror of its settlement account, minor units.
pub(crate) async fn mirror(node: &Node) -> i128 {
    posted(node, feiqian_bank::chart::Post::Settlement).await
}

/// What the bank has lost, minor units.
pub(crate) async fn losses(node: &Node) -> i128 {
    posted(node, feiqian_bank::chart::Post::Losses).await
}

async fn posted(node: &Node, post: feiqian_bank::chart::Post) -> i128 {
    let id = feiqian_bank::chart::id(post);
    let read = move |tx: &mut dyn Tx| Ok::<_, StoreError>(feiqian_ledger::book::account(tx, id).unwrap());
    -node.store.read(read).await.unwrap().unwrap().balance()
}

/// Paid and unpaid, minor units.
pub(crate) fn sums(receipt: &Receipt) -> (u64, u64) {
    (receipt.terms.paid().unwrap().value(), receipt.terms.unpaid().unwrap().value())
}
