//! Banks in memory, and whoever talks to them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use feiqian_bank::audit::{Audited, BankAudit, audit};
use feiqian_bank::secrets::{EpochSecrets, MemorySecrets};
use feiqian_bank::tables::TABLES;
use feiqian_bank::{Bank, Config, Keys, Parts};
use feiqian_cheque::ReturnCode;
use feiqian_cheque::messages::{Document, Verdict, VerifyRequest, VerifyResponse};
use feiqian_clearing::membership::{BankEntry, Directory, Funding};
use feiqian_clearing::presentment::Presentment;
use feiqian_crypto::possession::Proof;
use feiqian_crypto::snowblind::Challenge;
use feiqian_crypto::{Digest, Id16, Scalar};
use feiqian_ledger::store::{BoxFuture, Row, Store, StoreError, StoreExt, Table, Tx, Value, Work};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::{
    Access, CallError, Caller, InlineWorkers, ManualClock, MemberView, Network, NetworkError, Outgoing,
    Reply, Route as NodeRoute, Routes, Seams, Service, StreamEntropy, Target, call, deliver,
};
use feiqian_online_cash::account::{EnrolRequest, EnrolResponse};
use feiqian_online_cash::coin::{Coin, public_key};
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::funding::{
    CoinFunding, Funding as Pays, PlannedInput, Released, withdrawal_statement,
};
use feiqian_online_cash::issue::{
    BeginRequest, BeginResponse, FinishRequest, FinishResponse, PendingIssue, SessionOffer, expand,
    outputs_of,
};
use feiqian_online_cash::keyset::{PinEntry, VerifiedKey};
use feiqian_online_cash::payment::Payment;
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_online_cash::seed::Seed;
use feiqian_online_cash::signed::{DocumentSignature, WireChain};
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, Purpose, Revocation, Subject, TrustedRoot, Verified,
    fingerprint, validate,
};
use feiqian_store::testing::{fresh, note_killed};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Limit, Name, Text, Timestamp, codec};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn digest(n: u64) -> Digest {
    feiqian_crypto::Transcript::new("test").integer(n).into_digest()
}

pub(crate) fn minor(n: u64) -> Minor {
    Minor::new(n).unwrap()
}

pub(crate) fn rng(n: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(n)
}

pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, Fault>) -> Code {
    match result {
        Err(fault) => fault.code,
        Ok(value) => panic!("expected a fault, got {value:?}"),
    }
}

/// One router, asked as one peer.
pub(crate) struct Direct {
    pub(crate) router: axum::Router,
    pub(crate) peer: Option<Arc<Verified>>,
}

#[async_trait]
impl Network for Direct {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        deliver(&self.router, to, self.peer.clone(), message).await
    }
}

const NEWS: [&str; 5] =
    ["/v1/directory", "/v1/keysets", "/v1/crl", "/v1/offline/pins", "/v1/offline/exposed"];

/// The line to the center: cut, unless the test relays what a bank presents to the issuing bank.
#[derive(Default)]
pub(crate) struct Line {
    relay: Mutex<Option<(axum::Router, Arc<Verified>)>>,
    /// Where news are asked for; nowhere unless set.
    news: Mutex<Option<axum::Router>>,
    /// Forget the next answers, as a broken connection does.
    pub(crate) lose: Mutex<u32>,
    /// Never answer what presents this amount.
    pub(crate) hang: Mutex<Option<u64>>,
    /// What the center's verification service says of every cheque; good unless set.
    pub(crate) verdict: Mutex<Option<ReturnCode>>,
    /// The message over which the process dies.
    pub(crate) dying: Mutex<Option<Dying>>,
}

/// A process dies before a message to this path leaves, or over its answer: its store is closed from then on.
pub(crate) struct Dying {
    pub(crate) path: &'static str,
    pub(crate) answered: bool,
    pub(crate) store: Arc<Gate>,
}

/// What the center shows, as far as a bank asks for news.
struct News(Directory);

impl News {
    async fn directory(self: Arc<Self>, _: feiqian_node::Peer, (): ()) -> Result<Directory, Fault> {
        Ok(self.0.clone())
    }

    async fn keysets(
        self: Arc<Self>,
        _: feiqian_node::Peer,
        _: feiqian_online_cash::keyset::PinsRequest,
    ) -> Result<feiqian_online_cash::keyset::PinsResponse, Fault> {
        Ok(feiqian_online_cash::keyset::PinsResponse { entries: Bounded::default() })
    }
}

struct Verifier(Option<ReturnCode>);

impl Line {
    /// Nothing is relayed any more.
    pub(crate) fn cut(&self) {
        *self.relay.lock().unwrap() = None;
    }

    fn reach(&self, to: &Target, path: &str, answered: bool) -> Result<(), NetworkError> {
        let is_here = |dying: &mut Dying| dying.path == path && dying.answered == answered;
        let Some(dying) = self.dying.lock().unwrap().take_if(is_here) else { return Ok(()) };
        let moment = if answered { "answered" } else { "send" };
        note_killed(&format!("{moment}.bank.{}", path.trim_start_matches("/v1/").replace('/', ".")));
        dying.store.dead.store(true, Ordering::SeqCst);
        Err(NetworkError::Lost { url: to.url.clone(), reason: "the process is dead".to_owned() })
    }
}

impl Verifier {
    async fn answer(
        self: Arc<Self>,
        _peer: feiqian_node::Peer,
        request: VerifyRequest,
    ) -> Result<VerifyResponse, Fault> {
        let verdict = |file: &Document| Verdict {
            id: feiqian_cheque::Bundle::from_bytes(file).unwrap().id().unwrap(),
            good: self.0.is_none(),
            code: self.0,
            reason: Text::default(),
            register: None,
        };
        Ok(VerifyResponse { verdicts: Bounded::collect(request.cheques.iter().map(verdict)).unwrap() })
    }
}

#[async_trait]
impl Network for Line {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        if message.path == "/v1/cheque/verify" {
            let verifier = Arc::new(Verifier(*self.verdict.lock().unwrap()));
            let route = NodeRoute::new("/v1/cheque/verify").access(Access::Anonymous).limit(Limit::Large);
            let router = Routes::new(verifier).add(route, Verifier::answer).into_router();
            return deliver(&router, to, None, message).await;
        }
        self.reach(to, &message.path, false)?;
        let news = self.news.lock().unwrap().clone();
        if let Some(news) = news.filter(|_| NEWS.contains(&message.path.as_str())) {
            return deliver(&news, to, None, message).await;
        }
        let cut = || NetworkError::Unreachable { url: to.url.clone(), reason: "the line is cut".to_owned() };
        let (router, peer) = self.relay.lock().unwrap().clone().ok_or_else(cut)?;
        let path = match message.path.as_str() {
            "/v1/present/payment" => "/v1/pay/payment",
            "/v1/present/payments" => "/v1/pay/payments",
            "/v1/present/refund" => "/v1/pay/refund",
            "/v1/present/cheque" => "/v1/pay/cheque",
            "/v1/present/transfer" => "/v1/pay/transfer",
            "/v1/present/holding" => "/v1/pay/holding",
            "/v1/offline/claim" => "/v1/pay/claim",
            "/v1/present/part" => "/v1/pay/part",
            path @ ("/v1/offline/identity" | "/v1/offline/expose" | "/v1/cleared") => path,
            path if path.starts_with("/v1/instance/") => path,
            _ => return Err(cut()),
        };
        let hangs = *self.hang.lock().unwrap();
        if let Some(amount) = hangs {
            let item: Presentment<CashItem> = codec::decode(&message.body, Limit::Large).unwrap();
            if item.amount.minor == minor(amount) {
                return std::future::pending().await;
            }
        }
        let (path, called) = (path.to_owned(), message.path.clone());
        let reply = deliver(&router, to, Some(peer), Outgoing { path, ..message }).await;
        self.reach(to, &called, true)?;
        let mut lose = self.lose.lock().unwrap();
        if *lose > 0 {
            *lose -= 1;
            return Err(NetworkError::Lost { url: to.url.clone(), reason: "lost".to_owned() });
        }
        reply
    }
}

/// The store, with a queue before it, where the first work of one point waits while it is held; and a process around
/// it that can die at a chosen commit: nobody is answered, and what was not committed never was.
pub(crate) struct Gate {
    store: Arc<dyn Store>,
    /// The point at which the process dies, and whether after the commit.
    pub(crate) plan: Mutex<Option<(&'static str, bool)>>,
    /// The process has died over a message.
    pub(crate) dead: AtomicBool,
    /// Bytes of all blobs that transactions have read.
    pub(crate) read: Arc<AtomicUsize>,
    held: tokio::sync::watch::Sender<Option<&'static str>>,
    waiting: tokio::sync::watch::Sender<u32>,
}

/// A transaction that counts what it reads.
struct Counted<'t> {
    tx: &'t mut dyn Tx,
    read: &'t AtomicUsize,
}

impl Counted<'_> {
    fn count<'r>(&self, rows: impl IntoIterator<Item = &'r Row>) {
        let blobs = rows.into_iter().flat_map(|row| &row.0).map(|value| match value {
            Value::Blob(bytes) => bytes.len(),
            _ => 0,
        });
        self.read.fetch_add(blobs.sum(), Ordering::Relaxed);
    }
}

impl Tx for Counted<'_> {
    fn insert(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        self.tx.insert(table, values)
    }

    fn update(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        self.tx.update(table, values)
    }

    fn delete(&mut self, table: &Table, key: &[Value]) -> Result<(), StoreError> {
        self.tx.delete(table, key)
    }

    fn find(&mut self, table: &Table, key: &[Value]) -> Result<Option<Row>, StoreError> {
        let row = self.tx.find(table, key)?;
        self.count(&row);
        Ok(row)
    }

    fn select(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, StoreError> {
        let rows = self.tx.select(sql, parameters)?;
        self.count(&rows);
        Ok(rows)
    }
}

impl Gate {
    fn counted(&self, mut work: Work) -> Work {
        let read = Arc::clone(&self.read);
        Box::new(move |tx| work(&mut Counted { tx, read: &read }))
    }

    fn new(store: Arc<dyn Store>) -> Self {
        let (held, waiting) = (tokio::sync::watch::Sender::new(None), tokio::sync::watch::Sender::new(0));
        let dead = AtomicBool::new(false);
        Self { store, plan: Mutex::default(), dead, read: Arc::default(), held, waiting }
    }

    pub(crate) fn hold(&self, point: &'static str) {
        self.held.send_replace(Some(point));
    }

    /// Whether the store took it.
    pub(crate) async fn commit_try(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Result<(), StoreError> + Send + 'static,
    ) -> bool {
        self.store.commit("test", work).await.is_ok()
    }

    pub(crate) fn let_go(&self) {
        self.held.send_replace(None);
    }

    /// Until a work waits.
    pub(crate) async fn someone_waits(&self) {
        self.waiting.subscribe().wait_for(|waiting| *waiting > 0).await.unwrap();
    }
}

impl Store for Gate {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        let plan = self.plan.lock().unwrap().take_if(|(chosen, _)| *chosen == point);
        let work = self.counted(work);
        if plan.is_some() {
            note_killed(point);
        }
        Box::pin(async move {
            if plan == Some((point, false)) || self.dead.load(Ordering::SeqCst) {
                return Err(StoreError::Closed);
            }
            let first = *self.waiting.borrow() == 0;
            if first && *self.held.borrow() == Some(point) {
                self.waiting.send_modify(|waiting| *waiting += 1);
                self.held.subscribe().wait_for(|held| *held != Some(point)).await.unwrap();
                self.waiting.send_modify(|waiting| *waiting -= 1);
            }
            self.store.commit_raw(point, work).await?;
            plan.map_or(Ok(()), |_| Err(StoreError::Closed))
        })
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        if self.dead.load(Ordering::SeqCst) {
            return Box::pin(std::future::ready(Err(StoreError::Closed)));
        }
        self.store.read_raw(self.counted(work))
    }
}

pub(crate) struct World {
    pub(crate) root: Authority,
    pub(crate) center: Arc<Verified>,
    pub(crate) clock: Arc<ManualClock>,
}

pub(crate) struct Node {
    pub(crate) bank: Arc<Bank>,
    pub(crate) line: Arc<Line>,
    pub(crate) name: &'static str,
    seed: u8,
    pub(crate) store: Arc<Gate>,
    secrets: Arc<MemorySecrets>,
    pub(crate) chain: Chain,
    tune: fn(&mut Config),
    /// How often it was started again.
    lives: usize,
}

/// An account holder with enrolled keys.
pub(crate) struct Holder {
    pub(crate) token: String,
    pub(crate) signing: KeyPair,
    pub(crate) chain: WireChain,
    pub(crate) peer: Arc<Verified>,
}

impl World {
    pub(crate) fn new() -> Self {
        let mut rng = rng(1);
        let root = Authority::root("center", KeyPair::generate(&mut rng), NOW, &mut rng).unwrap();
        let subject = Subject::center("center").unwrap();
        let key = KeyPair::generate(&mut rng);
        let request =
            CertificateRequest::verify(&CertificateRequest::create(&key, &subject).unwrap()).unwrap();
        let chain = root.issue_leaf(&request, &subject, Purpose::Node, &[], 1 << 30, NOW, &mut rng).unwrap();
        let trusted = root.trusted_root().unwrap();
        let center = validate(&chain, &trusted, Purpose::Client, Revocation::Unchecked, NOW).unwrap();
        Self { root, center: Arc::new(center), clock: Arc::new(ManualClock::new(Timestamp::new(NOW))) }
    }

    pub(crate) fn trusted(&self) -> TrustedRoot {
        self.root.trusted_root().unwrap()
    }

    pub(crate) fn at(&self, seconds: u64) {
        self.clock.set(Timestamp::new(NOW + seconds));
    }

    pub(crate) async fn bank(&self, name: &'static str, seed: u8) -> Node {
        self.tuned(name, seed, |_| {}).await
    }

    pub(crate) async fn tuned(&self, name: &'static str, seed: u8, tune: fn(&mut Config)) -> Node {
        let key = KeyPair::from_seed(&[seed; 32]);
        let request = CertificateRequest::create(&key, &Subject::bank(name).unwrap()).unwrap();
        let request = CertificateRequest::verify(&request).unwrap();
        let chain = self.root.issue_bank_authority(&request, name, NOW, &mut rng(seed.into())).unwrap();
        let store = Arc::new(Gate::new(fresh(TABLES)));
        let (secrets, line) = (Arc::new(MemorySecrets::default()), Arc::new(Line::default()));
        let bank = self.start(name, seed, &store, &secrets, &line, &chain, tune, 0).await.unwrap();
        // The keyset is made; pinning fails because the line is cut, and the test pins it as the center would.
        assert_eq!(code(bank.rotate().await), Code::NodeUnreachable);
        Node { bank, line, name, seed, store, secrets, chain, tune, lives: 0 }
    }

    #[allow(clippy::too_many_arguments, reason = "what a bank is made of")]
    async fn start(
        &self,
        name: &str,
        seed: u8,
        store: &Arc<Gate>,
        secrets: &Arc<MemorySecrets>,
        line: &Arc<Line>,
        chain: &Chain,
        tune: fn(&mut Config),
        lives: usize,
    ) -> Result<Arc<Bank>, Fault> {
        let mut config =
            Config::new(Name::new(name).unwrap(), Currency::CNY, "https://127.0.0.1:7000", "127.0.0.1:7001");
        config.pool_size = 64;
        tune(&mut config);
        // Each run of each of a bank's processes draws from a stream of its own.
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let run = || format!("{name}/{}", RUNS.fetch_add(1, Ordering::Relaxed));
        let stream = match lives {
            _ if config.instance.is_some() => run(),
            0 => name.to_owned(),
            // What was drawn before is not drawn again.
            lives => format!("{name}/{lives}"),
        };
        let entropy = Arc::new(StreamEntropy::new(seed.into(), &stream));
        let keys = Keys::certify(
            self.trusted(),
            Authority::from_parts(KeyPair::from_seed(&[seed; 32]), chain.clone()).unwrap(),
            KeyPair::from_seed(&[seed + 1; 32]),
            KeyPair::from_seed(&[seed + 2; 32]),
            &["localhost".to_owned()],
            Timestamp::new(NOW),
            &*entropy,
        );
        let seams = Seams {
            store: Arc::clone(store) as _,
            network: Arc::clone(line) as _,
            clock: Arc::clone(&self.clock) as _,
            entropy,
            workers: Arc::new(InlineWorkers),
        };
        let secrets = Arc::clone(secrets) as _;
        Bank::new(Parts { config, keys: keys.unwrap(), secrets }, seams).await
    }

    /// One more process of a bank: the same store, a home of its own.
    pub(crate) async fn fellow(&self, node: &Node, tune: fn(&mut Config)) -> Node {
        let (secrets, line) = (Arc::new(MemorySecrets::default()), Arc::new(Line::default()));
        let (name, seed, chain) = (node.name, node.seed, node.chain.clone());
        let store = Arc::clone(&node.store);
        let bank = self.start(name, seed, &store, &secrets, &line, &chain, tune, 0).await.unwrap();
        Node { bank, line, name, seed, store, secrets, chain, tune, lives: 0 }
    }

    /// What `from` asks another process of its bank reaches `to`.
    pub(crate) fn introduce(&self, from: &Node, to: &Node) {
        let peer = Arc::new(self.bank_peer(from));
        *from.line.relay.lock().unwrap() = Some((Arc::clone(&to.bank).router(), peer));
    }

    /// A bank as it appears to those it calls.
    pub(crate) fn bank_peer(&self, node: &Node) -> Verified {
        let authority =
            Authority::from_parts(KeyPair::from_seed(&[node.seed; 32]), node.chain.clone()).unwrap();
        let subject = Subject::bank(node.name).unwrap();
        let key = KeyPair::from_seed(&[node.seed + 2; 32]);
        let request =
            CertificateRequest::verify(&CertificateRequest::create(&key, &subject).unwrap()).unwrap();
        let chain =
            authority.issue_leaf(&request, &subject, Purpose::Node, &[], 1 << 30, NOW, &mut rng(8)).unwrap();
        validate(&chain, &self.trusted(), Purpose::Client, Revocation::Unchecked, NOW).unwrap()
    }

    /// The same home, another run.
    pub(crate) async fn restart(&self, node: &mut Node) {
        self.try_restart(node).await.unwrap();
    }

    /// Another run, unless it ends before it has begun.
    pub(crate) async fn try_restart(&self, node: &mut Node) -> Result<(), Fault> {
        node.lives += 1;
        let Node { name, seed, store, secrets, line, chain, tune, lives, .. } = &*node;
        node.bank = self.start(name, *seed, store, secrets, line, chain, *tune, *lives).await?;
        Ok(())
    }

    /// Pins all keysets and shows the directory to every bank, as the center does.
    pub(crate) async fn publish(&self, nodes: &[&Node]) {
        let mut pins = Vec::new();
        let mut banks = Vec::new();
        for node in nodes {
            let signer = self.signer_chain(node);
            pins.extend(node.bank.own_keysets().into_iter().map(|keyset| PinEntry {
                pinned_at: Timestamp::new(NOW),
                keyset,
                signer: signer.clone(),
            }));
            banks.push(BankEntry {
                name: Name::new(node.name).unwrap(),
                currency: Currency::CNY,
                url: Text::new("https://127.0.0.1:7001").unwrap(),
                authority: Blob::new(node.chain.leaf()).unwrap(),
                signer: signer.0,
            });
        }
        let directory = Directory { banks: Bounded::new(banks).unwrap() };
        for node in nodes {
            let now = Timestamp::new(NOW);
            let view = MemberView::empty(self.trusted()).extended(&directory, pins.clone(), now).unwrap();
            node.bank.members().replace(view);
            node.bank.keep_members().await.unwrap();
        }
    }

    fn root_list(&self, until: u64) -> feiqian_pki::RevocationList {
        let now = feiqian_node::Clock::now(&*self.clock).seconds();
        self.root.issue_crl(&[], now, now, until).unwrap()
    }

    /// Shows one bank the root's list of now, and nothing else.
    pub(crate) fn list_root(&self, node: &Node) {
        let now = feiqian_node::Clock::now(&*self.clock);
        let lists = [self.root_list(now.seconds() + 86_400)];
        node.bank.members().replace(node.bank.members().snapshot().with_lists(&lists, now));
    }

    /// Shows everybody the root's and the banks' revocation lists of now, as the center does.
    pub(crate) async fn list(&self, nodes: &[&Node]) {
        let now = feiqian_node::Clock::now(&*self.clock);
        let until = now.seconds() + 86_400;
        let mut lists = vec![self.root_list(until)];
        for node in nodes {
            let der: Blob<{ feiqian_pki::MAX_REVOCATION_LIST_BYTES }> =
                node.ask(None, "/v1/crl", &()).await.unwrap();
            lists.push(feiqian_pki::RevocationList::from_der(&der).unwrap());
        }
        for node in nodes {
            let view = node.bank.members().snapshot().with_lists(&lists, now);
            node.bank.members().replace(view);
        }
    }

    pub(crate) fn signer_chain(&self, node: &Node) -> WireChain {
        let authority =
            Authority::from_parts(KeyPair::from_seed(&[node.seed; 32]), node.chain.clone()).unwrap();
        let subject = Subject::bank(node.name).unwrap();
        let key = KeyPair::from_seed(&[node.seed + 1; 32]);
        let request =
            CertificateRequest::verify(&CertificateRequest::create(&key, &subject).unwrap()).unwrap();
        let chain = authority
            .issue_leaf(&request, &subject, Purpose::Signing, &[], 1 << 30, NOW, &mut rng(9))
            .unwrap();
        WireChain::from_chain(&chain).unwrap()
    }

    /// What `from` presents reaches `to`; the center funded both.
    pub(crate) async fn connect(&self, from: &Node, to: &Node) {
        *from.line.relay.lock().unwrap() = Some((Arc::clone(&to.bank).router(), Arc::clone(&self.center)));
        for node in [from, to] {
            let amount = Amount::new(minor(1_000_000), Currency::CNY);
            let funding = Funding { id: Id16([node.seed; 16]), amount, at: Timestamp::new(NOW) };
            node.bank.book_fundings(vec![funding]).await.unwrap();
        }
    }

    /// The center answers `node` when it asks for news: it shows no list and the directory that the node has.
    pub(crate) fn news(&self, node: &Node) {
        let view = node.bank.members().snapshot();
        let banks = view.members().values().map(|member| member.entry.clone()).collect();
        let news = Arc::new(News(Directory { banks: Bounded::new(banks).unwrap() }));
        let router = Routes::new(news)
            .add(NodeRoute::new("/v1/directory").access(Access::Anonymous), News::directory)
            .add(NodeRoute::new("/v1/keysets").access(Access::Anonymous), News::keysets)
            .into_router();
        *node.line.news.lock().unwrap() = Some(router);
    }

    /// What `from` presents reaches a center of the test's own.
    pub(crate) fn relay(&self, from: &Node, router: axum::Router) {
        *from.line.relay.lock().unwrap() = Some((router, Arc::clone(&self.center)));
    }

    /// A bank with one enrolled, funded customer.
    pub(crate) async fn with_customer(&self) -> (Node, Holder) {
        let node = self.bank("north", 10).await;
        self.publish(&[&node]).await;
        let holder = self.customer(&node, "alice", "100.00").await;
        (node, holder)
    }

    pub(crate) async fn customer(&self, node: &Node, name: &str, funds: &str) -> Holder {
        let opened =
            node.command(json!({"command": "account_open", "name": name, "role": "customer"})).await.unwrap();
        let request = enrolment(node, &opened, u8::try_from(name.len()).unwrap());
        let response: EnrolResponse = node.ask(None, "/v1/enrol", &request.0).await.unwrap();
        if funds != "0" {
            let fund = json!({"command": "account_fund", "name": name, "amount": funds});
            node.command(fund).await.unwrap();
        }
        self.holder(response, request.1)
    }

    pub(crate) fn holder(&self, response: EnrolResponse, signing: KeyPair) -> Holder {
        let chain = response.transport.to_chain().unwrap();
        let now = feiqian_node::Clock::now(&*self.clock).seconds();
        let peer = validate(&chain, &self.trusted(), Purpose::Client, Revocation::Unchecked, now).unwrap();
        Holder { token: response.account.to_string(), signing, chain: response.signing, peer: Arc::new(peer) }
    }
}

/// The enrolment request for a code, and its signing key.
pub(crate) fn enrolment(node: &Node, opened: &serde_json::Value, seed: u8) -> (EnrolRequest, KeyPair) {
    let code = opened["code"].as_str().unwrap();
    let token = code.split('-').next().unwrap();
    let subject = Subject::customer(token, node.name).unwrap();
    let (transport, signing) = (KeyPair::from_seed(&[seed; 32]), KeyPair::from_seed(&[seed + 100; 32]));
    let request = EnrolRequest {
        code: Text::new(code).unwrap(),
        transport: Blob::new(CertificateRequest::create(&transport, &subject).unwrap()).unwrap(),
        signing: Blob::new(CertificateRequest::create(&signing, &subject).unwrap()).unwrap(),
        hosts: Text::default(),
    };
    (request, signing)
}

/// A session of a wallet up to its challenges.
pub(crate) struct Begun {
    pub(crate) request: BeginRequest,
    pub(crate) offer: SessionOffer,
    pub(crate) pending: PendingIssue,
    pub(crate) challenges: Vec<Challenge>,
}

impl Begun {
    pub(crate) fn finish(&self, funding: Pays) -> FinishRequest {
        FinishRequest {
            session: self.offer.session,
            challenges: Bounded::new(self.challenges.clone()).unwrap(),
            funding,
        }
    }
}

impl Node {
    /// The next run has another store.
    pub(crate) fn move_to(&mut self, store: Arc<dyn Store>) {
        self.store = Arc::new(Gate::new(store));
    }

    /// The secrets of an epoch in the bank's home.
    pub(crate) fn has_secrets(&self, epoch: u64) -> bool {
        self.secrets.read(epoch).unwrap().is_some()
    }

    pub(crate) async fn ask<Req, Res>(
        &self,
        peer: Option<&Arc<Verified>>,
        path: &str,
        request: &Req,
    ) -> Result<Res, Fault>
    where
        Req: Serialize + Sync + 'static,
        Res: DeserializeOwned,
    {
        let direct = Direct { router: Arc::clone(&self.bank).router(), peer: peer.cloned() };
        let to = Target::anyone("https://127.0.0.1:7001");
        let caller = if peer.is_some() { Caller::Certified } else { Caller::Anonymous };
        call(&direct, &to, caller, path, request).await.map_err(|error| match error {
            CallError::Fault(fault) => fault,
            other => panic!("no answer: {other}"),
        })
    }

    pub(crate) async fn command(&self, command: serde_json::Value) -> Result<serde_json::Value, Fault> {
        Arc::clone(&self.bank).command(command).await
    }

    pub(crate) async fn commit(
        &self,
        work: impl FnMut(&mut dyn Tx) -> Result<(), StoreError> + Send + 'static,
    ) {
        self.store.commit("test", work).await.unwrap();
    }

    pub(crate) fn key(&self, value: u64) -> VerifiedKey {
        let view = self.bank.members().snapshot();
        let keysets = view.pins.keysets();
        let own = keysets.iter().rev().find(|known| known.keyset.bank.as_str() == self.name).unwrap();
        own.keys.iter().find(|key| key.key.value.value() == value).unwrap().clone()
    }

    pub(crate) fn begin_request(&self, n: u64, values: &[u64]) -> BeginRequest {
        let ids: Vec<Digest> = values.iter().map(|value| self.key(*value).id).collect();
        BeginRequest { request: digest(n), outputs: outputs_of(&ids).unwrap() }
    }

    pub(crate) async fn begin(&self, holder: Option<&Holder>, n: u64, values: &[u64]) -> Begun {
        let request = self.begin_request(n, values);
        let path = if holder.is_some() { "/v1/account/issue/begin" } else { "/v1/issue/begin" };
        let response = self.ask(holder.map(|holder| &holder.peer), path, &request).await.unwrap();
        let BeginResponse::Open(offer) = response else { panic!("not open: {response:?}") };
        self.blind(request, offer)
    }

    pub(crate) fn blind(&self, request: BeginRequest, offer: SessionOffer) -> Begun {
        let view = self.bank.members().snapshot();
        let ids = expand(&request.outputs).unwrap();
        let keys: Vec<_> = ids.iter().map(|id| view.pins.key(id).unwrap()).collect();
        let seed = Seed::from_bytes([7; 64]);
        let (pending, challenges) =
            PendingIssue::new(&seed, &keys, &offer.session, &offer.commitments).unwrap();
        Begun { request, offer, pending, challenges }
    }

    pub(crate) fn account_funding(&self, holder: &Holder, begun: &Begun) -> Pays {
        let ids = expand(&begun.request.outputs).unwrap();
        let statement = withdrawal_statement(
            self.name,
            &holder.token,
            &begun.offer.session,
            &ids,
            Minor::ZERO,
            &begun.challenges,
        );
        Pays::Account { signature: DocumentSignature::sign(&holder.signing, &statement).unwrap() }
    }

    pub(crate) async fn withdraw(&self, holder: &Holder, n: u64, values: &[u64]) -> Vec<Coin> {
        let begun = self.begin(Some(holder), n, values).await;
        let request = begun.finish(self.account_funding(holder, &begun));
        let answer: FinishResponse =
            self.ask(Some(&holder.peer), "/v1/account/issue/finish", &request).await.unwrap();
        begun.pending.finish(&answer.answers).unwrap()
    }

    pub(crate) fn refresh_funding(
        &self,
        begun: &Begun,
        inputs: &[(&Coin, u64)],
        released: Vec<Released>,
    ) -> Pays {
        let digests: Vec<Digest> = released.iter().map(|released| released.digest(self.name)).collect();
        let planned: Vec<_> = inputs
            .iter()
            .map(|(coin, take)| PlannedInput { coin, contribution: minor(*take), releases: digests.clone() })
            .collect();
        let session = &begun.offer.session;
        Pays::Coins(
            CoinFunding::sign(self.name, session, &planned, released, &begun.challenges, &mut rng(5))
                .unwrap(),
        )
    }

    pub(crate) async fn refresh(
        &self,
        n: u64,
        inputs: &[(&Coin, u64)],
        outputs: &[u64],
        released: Vec<Released>,
    ) -> Result<Vec<Coin>, Fault> {
        let begun = self.begin(None, n, outputs).await;
        let request = begun.finish(self.refresh_funding(&begun, inputs, released));
        let answer: FinishResponse = self.ask(None, "/v1/issue/finish", &request).await?;
        Ok(begun.pending.finish(&answer.answers).unwrap())
    }

    pub(crate) async fn audit(&self) -> BankAudit {
        let audited = Audited { bank: self.name.to_owned(), signer: self.bank.signing_key() };
        let work = move |tx: &mut dyn Tx| audit(tx, &audited, &mut rng(77));
        self.store.read(work).await.unwrap()
    }

    pub(crate) async fn assert_sound(&self) -> BankAudit {
        let report = self.audit().await;
        assert!(report.findings.is_empty(), "{:#?}", report.findings);
        report
    }

    pub(crate) async fn balance(&self, holder: &Holder) -> String {
        let status: feiqian_online_cash::account::AccountStatus =
            self.ask(Some(&holder.peer), "/v1/account", &()).await.unwrap();
        status.available.to_string()
    }

    fn plain(&self, n: u64, amount: u64, expires: u64, payee: Payee, route: Route) -> PaymentRequest {
        PaymentRequest {
            payee,
            name: Text::new("payee").unwrap(),
            amount: Amount::new(minor(amount), Currency::CNY),
            order: Text::new(format!("order {n}")).unwrap(),
            route,
            delivery: Delivery::ByHand,
            refund_until: Timestamp::new(NOW + expires),
            view: self.bank.members().snapshot().pins.view(),
            expires: Timestamp::new(NOW + expires),
            nonce: digest(n),
        }
    }

    /// A request to be paid on an account of this bank.
    pub(crate) fn request(&self, holder: &Holder, n: u64, amount: u64, expires: u64) -> SignedRequest {
        let chain = holder.chain.to_chain().unwrap();
        let payee = Payee::Certified {
            leaf: Blob::new(chain.leaf()).unwrap(),
            issuer: fingerprint(self.chain.leaf()),
        };
        let account = Text::new(holder.token.clone()).unwrap();
        let route = Route::Account { bank: Name::new(self.name).unwrap(), account };
        SignedRequest::by_account_holder(self.plain(n, amount, expires, payee, route), &holder.signing)
            .unwrap()
    }

    /// A request to be paid with new coins, and its payee key.
    pub(crate) fn key_request(&self, n: u64, amount: u64, expires: u64) -> (SignedRequest, Scalar) {
        let secret = feiqian_crypto::Transcript::new("payee").integer(n).into_scalar();
        let request = self.plain(n, amount, expires, Payee::Key(public_key(&secret)), Route::Received);
        (SignedRequest::by_key(request, &secret, &mut rng(n)).unwrap(), secret)
    }
}

pub(crate) fn pay(request: &SignedRequest, coins: &[(&Coin, u64)]) -> CashItem {
    let shares: Vec<_> = coins.iter().map(|(coin, take)| (*coin, minor(*take))).collect();
    let payment = Payment::sign(&request.request.digest(), &shares, &mut rng(3)).unwrap();
    CashItem { request: request.clone(), payment }
}

pub(crate) fn released(item: &CashItem) -> Released {
    Released::Payment {
        expires: item.request.request.expires,
        body: item.request.request.body_digest(),
        shares: Bounded::new(item.payment.coins.iter().map(|coin| coin.share).collect()).unwrap(),
    }
}

pub(crate) fn possess(secret: &Scalar, statement: &Digest) -> Proof {
    feiqian_crypto::possession::prove(&[*secret], &[public_key(secret)], statement, &mut rng(4)).unwrap()
}

pub(crate) fn presented(collecting: &str, holder: &Holder, item: &CashItem) -> Presentment<CashItem> {
    Presentment::new(
        Name::new(collecting).unwrap(),
        Text::new(holder.token.clone()).unwrap(),
        item.request.request.amount,
        feiqian_clearing::presentment::ItemKind::Payment,
        &item.payment.digest(),
        item.clone(),
    )
}
