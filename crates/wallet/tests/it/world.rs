//! A small world in memory: one honest bank made of the protocol's own steps, its center, a shop, and wallets.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use feiqian_clearing::membership::{BankEntry, Directory};
use feiqian_crypto::snowblind::{Challenge, Commitment, Response, SecretKey, commit_batch};
use feiqian_crypto::{Digest, EncodedPoint, Id16, possession};
use feiqian_ledger::store::{BoxFuture, Store, StoreError, StoreExt, Tx, Work};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::{
    Caller, Clock, Format, ManualClock, MemberView, Network, NetworkError, Outgoing, Reply, Seams,
    StreamEntropy, Target,
};
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::coin::{self, CoinId};
use feiqian_online_cash::deposit::{
    CashItem, ExpiredStatement, Outcome, OutcomeRequest, OutcomeResponse, PayResponse, PayeeReceipt, Receipt,
    ReceiptTerms,
};
use feiqian_online_cash::drop_box::{BoxAccess, BoxAction, BoxMessages, PutRequest, Sealed};
use feiqian_online_cash::evidence::{Evidence, Statement};
use feiqian_online_cash::funding::{
    CoinFunding, Funding, Released, received_statement, refunded_statement, withdrawal_statement,
};
use feiqian_online_cash::issue::{
    AnsweredSession, BeginRequest, BeginResponse, FinishRequest, FinishResponse, OpenSession, RecoverRequest,
    SessionOffer, expand,
};
use feiqian_online_cash::keyset::{
    DenominationKey, Keyset, PinEntry, PinsRequest, PinsResponse, VerifiedKey,
};
use feiqian_online_cash::payment::{Checker, Payment, VerifiedPayment};
use feiqian_online_cash::recovery::{
    CoinState, CoinStateRequest, Generations, GenerationsRequest, OpenRefund,
};
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_online_cash::seed::Seed;
use feiqian_online_cash::signed::{DocumentSignature, WireChain};
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, Purpose, Revocation, Subject, TrustedRoot, fingerprint,
    validate,
};
use feiqian_store::SqliteStore;
use feiqian_store::testing::note_killed;
use feiqian_wallet::{Config, Parts, RefreshPolicy, StoreKey, Wallet};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Name, Text, Timestamp, codec};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt as _, SeedableRng};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Notify;

pub(crate) const T0: u64 = 1_800_000_000;
pub(crate) const DAY: u64 = 86_400;
const BANK_URL: &str = "https://north:1";
const CENTER_URL: &str = "https://center:1";
const SHOP_URL: &str = "https://shop:1";

/// How the bank or the shop misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Trick {
    #[default]
    None,
    WrongAnswers,
    RepeatSession,
    RepeatCommitments,
    UnpinnedKeyset,
    ShopPending,
    ShopRefuses,
    VoidBeforeFinish,
    /// Answers a session, tells of a closed account instead, and has only this to say when asked again.
    Silent(Code),
    /// Refuses payments with the evidence in [`State::evidence`].
    ShopShowsEvidence,
}

struct Session {
    session: Digest,
    account: Option<String>,
    begin: BeginRequest,
    commitments: Vec<Commitment>,
    open: Option<OpenSession>,
    answered: Option<(Vec<Challenge>, Vec<Response>)>,
    expires: Timestamp,
    void: bool,
}

struct Redeemed {
    receipt: Receipt,
    coins: Vec<CoinId>,
    refunded: u64,
    claimed: u64,
}

pub(crate) struct State {
    pub(crate) trick: Trick,
    pub(crate) accounts: BTreeMap<String, u64>,
    pub(crate) violations: u32,
    pub(crate) deposited: u64,
    pub(crate) down: BTreeSet<&'static str>,
    pub(crate) lose_after: i64,
    /// The answers of this route are lost.
    pub(crate) lose_path: Option<&'static str>,
    /// Nobody is who he should be.
    pub(crate) untrusted: bool,
    pub(crate) put_messages: usize,
    pub(crate) evidence: Option<Evidence>,
    /// Payments whose outcome was asked for, in order.
    pub(crate) asked: Vec<Digest>,
    /// Routes called, in order.
    pub(crate) routes: Vec<String>,
    secrets: BTreeMap<Digest, SecretKey>,
    keysets: Vec<PinEntry>,
    sessions: Vec<Session>,
    spent: BTreeMap<CoinId, u64>,
    statements: Vec<Statement>,
    payments: BTreeMap<Digest, Redeemed>,
    requests_paid: BTreeMap<Digest, Digest>,
    released: BTreeSet<Digest>,
    boxes: BTreeMap<EncodedPoint, Vec<Sealed>>,
    pub(crate) shop_requests: BTreeMap<Digest, SignedRequest>,
    pub(crate) holders: BTreeMap<String, [u8; 32]>,
    pub(crate) cheques: crate::cheque_bank::ChequeBank,
    pub(crate) offline: crate::offline_bank::OfflineBank,
    pub(crate) rng: ChaCha12Rng,
    /// Generations by account.
    pub(crate) generations: BTreeMap<String, Vec<Id16>>,
}

pub(crate) struct World {
    state: Mutex<State>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) root: Authority,
    pub(crate) bank: Authority,
    pub(crate) signer: KeyPair,
    pub(crate) signer_chain: Chain,
    pub(crate) shop_key: KeyPair,
    pub(crate) shop_chain: Chain,
}

pub(crate) fn leaf(authority: &Authority, key: &KeyPair, subject: &Subject, rng: &mut ChaCha12Rng) -> Chain {
    let csr = CertificateRequest::verify(&CertificateRequest::create(key, subject).unwrap()).unwrap();
    authority.issue_leaf(&csr, subject, Purpose::Signing, &[], 400 * DAY, T0, rng).unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        let mut rng = ChaCha12Rng::seed_from_u64(7);
        let root = Authority::root("center", KeyPair::generate(&mut rng), T0, &mut rng).unwrap();
        let key = KeyPair::generate(&mut rng);
        let csr = CertificateRequest::create(&key, &Subject::bank("north").unwrap()).unwrap();
        let csr = CertificateRequest::verify(&csr).unwrap();
        let chain = root.issue_bank_authority(&csr, "north", T0, &mut rng).unwrap();
        let bank = Authority::from_parts(key, chain).unwrap();
        let signer = KeyPair::generate(&mut rng);
        let signer_chain = leaf(&bank, &signer, &Subject::bank("north").unwrap(), &mut rng);
        let shop_key = KeyPair::generate(&mut rng);
        let shop_chain = leaf(&bank, &shop_key, &Subject::merchant("5409", "north").unwrap(), &mut rng);
        let state = State {
            trick: Trick::None,
            accounts: BTreeMap::new(),
            violations: 0,
            deposited: 0,
            down: BTreeSet::new(),
            lose_after: -1,
            lose_path: None,
            untrusted: false,
            put_messages: 0,
            evidence: None,
            asked: Vec::new(),
            routes: Vec::new(),
            secrets: BTreeMap::new(),
            keysets: Vec::new(),
            sessions: Vec::new(),
            spent: BTreeMap::new(),
            statements: Vec::new(),
            payments: BTreeMap::new(),
            requests_paid: BTreeMap::new(),
            released: BTreeSet::new(),
            boxes: BTreeMap::new(),
            shop_requests: BTreeMap::new(),
            holders: BTreeMap::new(),
            cheques: crate::cheque_bank::ChequeBank::default(),
            offline: crate::offline_bank::OfflineBank::default(),
            rng,
            generations: BTreeMap::new(),
        };
        let clock = Arc::new(ManualClock::new(Timestamp::new(T0)));
        let world =
            Self { state: Mutex::new(state), clock, root, bank, signer, signer_chain, shop_key, shop_chain };
        let entry = world.make_keyset(0);
        world.state().keysets.push(entry);
        world.rotate_offline();
        Arc::new(world)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// How often somebody spent a coin beyond its value.
    pub(crate) fn violations(&self) -> u32 {
        self.state().violations
    }

    /// What the shop's account holds.
    pub(crate) fn deposited(&self) -> u64 {
        self.state().deposited
    }

    /// How many different messages were put into drop boxes.
    pub(crate) fn put_messages(&self) -> usize {
        self.state().put_messages
    }

    pub(crate) fn trusted_root(&self) -> TrustedRoot {
        self.root.trusted_root().unwrap()
    }

    /// A customer's certificate.
    pub(crate) fn certify(&self, request: &CertificateRequest, purpose: Purpose) -> Chain {
        let mut rng = ChaCha12Rng::seed_from_u64(11);
        self.bank.issue_leaf(request, request.subject(), purpose, &[], DAY, T0, &mut rng).unwrap()
    }

    pub(crate) fn advance(&self, seconds: u64) {
        let now = self.clock.now().saturating_add(seconds);
        self.clock.set(now);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn make_keyset(&self, epoch: u64) -> PinEntry {
        let now = self.clock.now();
        let mut state = self.state();
        let mut keys = Vec::new();
        for exponent in 0..13u8 {
            let secret = SecretKey::generate(&mut state.rng);
            let key = DenominationKey {
                bank: name("north"),
                currency: Currency::CNY,
                value: Minor::new(1 << exponent).unwrap(),
                issue_from: now,
                issue_until: now.saturating_add(30 * DAY),
                redeem_until: now.saturating_add(120 * DAY),
                key: *secret.public().encoded(),
            };
            state.secrets.insert(key.id(), secret);
            keys.push(key);
        }
        let grace = now.saturating_add(300 * DAY);
        let keyset = Keyset::sign(&self.signer, name("north"), epoch, Currency::CNY, grace, keys).unwrap();
        PinEntry { pinned_at: now, keyset, signer: WireChain::from_chain(&self.signer_chain).unwrap() }
    }

    /// Pins a new keyset.
    pub(crate) fn rotate(&self) {
        let epoch = self.state().keysets.len() as u64;
        let entry = self.make_keyset(epoch);
        self.state().keysets.push(entry);
    }

    fn directory(&self) -> Directory {
        let ders =
            |chain: &Chain| chain.certificates().iter().map(|der| Blob::new(der.clone()).unwrap()).collect();
        let entry = BankEntry {
            name: name("north"),
            currency: Currency::CNY,
            url: Text::new(BANK_URL).unwrap(),
            authority: Blob::new(self.bank.chain().leaf().to_vec()).unwrap(),
            signer: Bounded::new(ders(&self.signer_chain)).unwrap(),
        };
        Directory { banks: Bounded::new(vec![entry]).unwrap() }
    }

    pub(crate) fn view(&self, state: &State) -> MemberView {
        let root = self.trusted_root();
        MemberView::restore(root, &self.directory(), state.keysets.clone(), self.now()).unwrap()
    }

    /// A wallet's parts and its account's opening balance.
    pub(crate) fn parts(&self, who: &str, balance: u64, refresh: RefreshPolicy) -> Parts {
        let seed = seed_of(who);
        let signing = KeyPair::from_seed(&[who.as_bytes()[0]; 32]);
        let mut state = self.state();
        let chain = leaf(&self.bank, &signing, &Subject::customer(who, "north").unwrap(), &mut state.rng);
        let known = validate(&chain, &self.trusted_root(), Purpose::Signing, Revocation::Unchecked, T0);
        state.cheques.serials.entry(who.to_owned()).or_default().push(known.unwrap().serial);
        state.accounts.entry(who.to_owned()).or_insert(balance);
        state.holders.insert(who.to_owned(), signing.public_key());
        let mut config =
            Config::new(name("north"), BANK_URL.into(), CENTER_URL.into(), who.to_owned(), Currency::CNY);
        config.refresh = refresh;
        Parts {
            config,
            seed: Seed::from_bytes(seed),
            offline_seed: feiqian_offline_cash::seed::Seed::from_bytes(seed),
            signing,
            signing_chain: chain,
            root: self.trusted_root(),
            identity: None,
            evidence_dir: None,
        }
    }

    /// A shop's request.
    pub(crate) fn shop_request(&self, minor: u64, seconds: u64) -> SignedRequest {
        let mut state = self.state();
        let certificates = self.shop_chain.certificates();
        let request = PaymentRequest {
            payee: Payee::Certified {
                leaf: Blob::new(certificates[0].clone()).unwrap(),
                issuer: fingerprint(&certificates[1]),
            },
            name: Text::new("Shop").unwrap(),
            amount: Amount::new(Minor::new(minor).unwrap(), Currency::CNY),
            order: Text::new("order").unwrap(),
            route: Route::Account { bank: name("north"), account: Text::new("5409").unwrap() },
            delivery: Delivery::Url(Text::new(SHOP_URL).unwrap()),
            refund_until: self.now().saturating_add(seconds),
            view: self.view(&state).pins.view(),
            expires: self.now().saturating_add(seconds),
            nonce: Digest(state.rng.random()),
        };
        let signed = SignedRequest::by_account_holder(request, &self.shop_key).unwrap();
        state.shop_requests.insert(signed.request.digest(), signed.clone());
        signed
    }

    /// Signs a request of the shop with whatever was changed in it.
    pub(crate) fn sign_as_shop(&self, request: PaymentRequest) -> SignedRequest {
        SignedRequest::by_account_holder(request, &self.shop_key).unwrap()
    }

    /// Payments that took effect.
    pub(crate) fn paid(&self) -> Vec<Digest> {
        self.state().payments.keys().copied().collect()
    }

    pub(crate) fn refund(&self, payment: &Digest, minor: u64) {
        let mut state = self.state();
        let redeemed = state.payments.get_mut(payment).unwrap();
        redeemed.refunded += minor;
        state.deposited -= minor;
    }

    /// What all coins in circulation are worth: accounts opened less what they and the shop hold.
    pub(crate) fn circulation(&self, opened: u64) -> u64 {
        let state = self.state();
        opened
            - state.accounts.values().sum::<u64>()
            - state.deposited
            - state.payments.values().map(|paid| paid.refunded - paid.claimed).sum::<u64>()
    }
}

// --- the bank -------------------------------------------------------------------------------------------------

fn refuse<T>(code: Code) -> Result<T, Fault> {
    Err(Fault::new(code, "refused by the test bank"))
}

impl World {
    fn begin(&self, account: Option<&str>, begin: BeginRequest) -> Result<BeginResponse, Fault> {
        let mut guard = self.state();
        let state = &mut *guard;
        if let Some(known) = state.sessions.iter().find(|session| session.begin.request == begin.request) {
            return if known.begin == begin && known.account.as_deref() == account {
                Ok(answer(known))
            } else {
                refuse(Code::Conflict)
            };
        }
        let count = expand(&begin.outputs).unwrap().len();
        let (open, mut commitments) = OpenSession::new(commit_batch(count, &mut state.rng));
        let mut session = Digest(state.rng.random());
        let last = state.sessions.last();
        match state.trick {
            Trick::RepeatSession => session = last.unwrap().session,
            Trick::RepeatCommitments => {
                let old = last.unwrap().commitments.clone();
                commitments.iter_mut().zip(old).for_each(|(to, from)| *to = from);
            }
            _ => {}
        }
        let made = Session {
            session,
            account: account.map(str::to_owned),
            begin,
            commitments,
            open: Some(open),
            answered: None,
            expires: self.now().saturating_add(600),
            void: false,
        };
        let answer = answer(&made);
        state.sessions.push(made);
        Ok(answer)
    }

    fn recover(&self, account: Option<&str>, request: &RecoverRequest) -> Result<BeginResponse, Fault> {
        let state = self.state();
        if let Trick::Silent(code) = state.trick {
            return Err(Fault::new(code, "nothing to say"));
        }
        let found = state.sessions.iter().find(|session| {
            session.begin.request == request.request && session.account.as_deref() == account
        });
        found.map(answer).ok_or_else(|| Fault::new(Code::SessionUnknown, "no such session"))
    }

    fn finish(&self, account: Option<&str>, finish: FinishRequest) -> Result<FinishResponse, Fault> {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(place) = state.sessions.iter().rposition(|session| session.session == finish.session) else {
            return refuse(Code::SessionUnknown);
        };
        let session = &mut state.sessions[place];
        if session.account.as_deref() != account {
            return refuse(Code::SessionForeign);
        }
        if let Some((challenges, answers)) = &session.answered {
            return if *challenges == *finish.challenges {
                Ok(FinishResponse { answers: Bounded::new(answers.clone()).unwrap() })
            } else {
                refuse(Code::Conflict)
            };
        }
        if state.trick == Trick::VoidBeforeFinish {
            session.void = true;
            state.trick = Trick::None;
        }
        if session.void || session.expires <= self.clock.now() {
            session.void = true;
            return refuse(Code::Void);
        }
        let open = session.open.take().unwrap();
        let denominations = expand(&session.begin.outputs).unwrap();
        let view = self.view(state);
        let value: u64 = denominations.iter().map(|id| view.pins.key(id).unwrap().key.value.value()).sum();
        if let Err(fault) = self.fund(state, &view, account, &finish, (&denominations, value)) {
            state.sessions[place].void = true;
            return Err(fault);
        }
        let keys: Vec<&SecretKey> = denominations.iter().map(|id| &state.secrets[id]).collect();
        let mut answers = open.answer(&keys, &finish.challenges).unwrap();
        if state.trick == Trick::WrongAnswers {
            answers[0].z = answers[0].b;
        }
        state.sessions[place].answered = Some((finish.challenges.to_vec(), answers.clone()));
        Ok(FinishResponse { answers: Bounded::new(answers).unwrap() })
    }

    fn fund(
        &self,
        state: &mut State,
        view: &MemberView,
        account: Option<&str>,
        finish: &FinishRequest,
        (denominations, value): (&[Digest], u64),
    ) -> Result<(), Fault> {
        let (session, challenges) = (&finish.session, &*finish.challenges);
        let minor = Minor::new(value).unwrap();
        match &finish.funding {
            Funding::Account { signature } => {
                let account = account.unwrap();
                let statement =
                    withdrawal_statement("north", account, session, denominations, Minor::ZERO, challenges);
                signature.verify(&state.holders[account], &statement, "withdrawal")?;
                let balance = state.accounts.get_mut(account).unwrap();
                if *balance < value {
                    return refuse(Code::InsufficientFunds);
                }
                *balance -= value;
                Ok(())
            }
            Funding::Coins(funding) => self.fund_with_coins(state, view, finish, funding, value),
            Funding::Received { item, possession } => {
                let verified = self.verify(state, view, item)?;
                let digest = verified.digest;
                let Payee::Key(key) = item.request.request.payee else { return refuse(Code::WrongRoute) };
                let statement = received_statement("north", session, &digest, minor, challenges);
                possession::verify(&[key], &statement, possession).unwrap();
                if state.payments.contains_key(&digest) || verified.request.request.amount.minor != minor {
                    return refuse(Code::RequestAlreadyPaid);
                }
                match self.redeem(state, &verified, item, *session) {
                    Outcome::Paid(_) => Ok(()),
                    Outcome::Refused(fault) => Err(fault),
                    _ => refuse(Code::DoubleSpent),
                }
            }
            Funding::Refunded { payment, amount, coins, possession } => {
                let redeemed = state.payments.get_mut(payment).unwrap();
                assert_eq!(redeemed.coins, **coins);
                let keys: Vec<EncodedPoint> = coins.iter().map(|coin| coin.key).collect();
                let statement = refunded_statement("north", session, payment, *amount, challenges);
                possession::verify(&keys, &statement, possession).unwrap();
                assert_eq!(*amount, minor);
                redeemed.claimed += value;
                if redeemed.claimed > redeemed.refunded { refuse(Code::RefundExceeded) } else { Ok(()) }
            }
        }
    }

    fn fund_with_coins(
        &self,
        state: &mut State,
        view: &MemberView,
        finish: &FinishRequest,
        funding: &CoinFunding,
        value: u64,
    ) -> Result<(), Fault> {
        funding.check_shape("north")?;
        assert_eq!(funding.total().unwrap().value(), value);
        for input in funding.inputs.iter() {
            let key: &VerifiedKey = view.pins.key(&input.stated.coin.denomination)?;
            key.check_grace(self.clock.now())?;
            let message = coin::message(&input.stated.coin.key);
            feiqian_crypto::snowblind::verify(&key.public, &message, &input.signature).unwrap();
        }
        let statement = funding.statement("north", &finish.session, &finish.challenges);
        let keys: Vec<EncodedPoint> = funding.inputs.iter().map(|input| input.stated.coin.key).collect();
        possession::verify(&keys, &statement, &funding.possession).unwrap();
        for released in funding.released.iter() {
            match released {
                Released::Payment { expires, .. } => {
                    if self.clock.now() < *expires || state.payments.contains_key(&released.digest("north")) {
                        return refuse(Code::NotExpired);
                    }
                    state.released.insert(released.digest("north"));
                }
                Released::Refresh { session, .. } => {
                    let known = state.sessions.iter_mut().find(|known| known.session == *session).unwrap();
                    if known.answered.is_some() {
                        return refuse(Code::Conflict);
                    }
                    known.void = true;
                }
            }
        }
        let taken: Vec<(CoinId, u64)> = funding
            .inputs
            .iter()
            .map(|input| (input.stated.coin, input.stated.contribution.value()))
            .collect();
        if spend(state, view, &taken).is_some() {
            return refuse(Code::DoubleSpent);
        }
        state.statements.push(Statement::Refresh {
            session: finish.session,
            inputs: Bounded::new(funding.inputs.iter().map(|input| input.stated.clone()).collect()).unwrap(),
            challenges: finish.challenges.clone(),
            possession: funding.possession,
        });
        Ok(())
    }

    fn verify(
        &self,
        state: &mut State,
        view: &MemberView,
        item: &CashItem,
    ) -> Result<VerifiedPayment, Fault> {
        let checker = Checker { pins: &view.pins, authorities: view, now: self.clock.now() };
        Ok(checker.verify(item, &mut state.rng)?)
    }

    fn redeem(
        &self,
        state: &mut State,
        verified: &VerifiedPayment,
        item: &CashItem,
        presentment: Digest,
    ) -> Outcome {
        let digest = verified.digest;
        if let Some(known) = state.payments.get(&digest) {
            return Outcome::AlreadyPaid(known.receipt.clone());
        }
        let refused = |code| Outcome::Refused(Fault::new(code, "refused by the test bank"));
        if verified.request.check_open(self.clock.now()).is_err() || state.released.contains(&digest) {
            return refused(Code::Expired);
        }
        if state.requests_paid.contains_key(&verified.request.digest) {
            return refused(Code::RequestAlreadyPaid);
        }
        let statement = Statement::of_payment(verified).unwrap();
        let taken: Vec<(CoinId, u64)> =
            verified.coins.iter().map(|coin| (coin.share.coin, coin.share.contribution.value())).collect();
        let view = self.view(state);
        if let Some(coin) = spend(state, &view, &taken) {
            let mut statements: Vec<Statement> = state
                .statements
                .iter()
                .filter(|known| !known.contribution(&coin).is_zero())
                .cloned()
                .collect();
            statements.push(statement);
            let entry = &state.keysets[0];
            let shown = item.payment.coins.iter().find(|shown| shown.share.coin == coin).unwrap();
            return Outcome::DoubleSpent(Evidence {
                coin,
                signature: shown.signature,
                statements: Bounded::new(statements).unwrap(),
                keyset: entry.keyset.clone(),
                pinned_at: entry.pinned_at,
                signer: entry.signer.clone(),
            });
        }
        state.statements.push(statement);
        let request = &verified.request.request;
        let terms = ReceiptTerms {
            bank: name("north"),
            payment: digest,
            request: verified.request.digest,
            amount: request.amount,
            route: request.route.clone(),
            presentment,
            paid_at: self.clock.now(),
        };
        let receipt = terms.sign(&self.signer).unwrap();
        match &request.route {
            Route::Account { account, .. } if state.accounts.contains_key(account.as_str()) => {
                *state.accounts.get_mut(account.as_str()).unwrap() += request.amount.minor.value();
            }
            Route::Account { .. } => state.deposited += request.amount.minor.value(),
            Route::Received => {}
        }
        let coins = taken.iter().map(|(coin, _)| *coin).collect();
        state.payments.insert(digest, Redeemed { receipt: receipt.clone(), coins, refunded: 0, claimed: 0 });
        state.requests_paid.insert(verified.request.digest, digest);
        Outcome::Paid(receipt)
    }

    fn outcome(&self, request: &OutcomeRequest) -> OutcomeResponse {
        let mut state = self.state();
        let digest = request.payment();
        state.asked.push(digest);
        if let Some(known) = state.payments.get(&digest) {
            return OutcomeResponse::Paid {
                receipt: known.receipt.clone(),
                refunded: Minor::new(known.refunded).unwrap(),
                claimed: Minor::new(known.claimed).unwrap(),
            };
        }
        if self.clock.now() < request.expires {
            return OutcomeResponse::Open;
        }
        state.released.insert(digest);
        let statement = ExpiredStatement::sign(name("north"), digest, request.expires, &self.signer);
        OutcomeResponse::Expired(statement.unwrap())
    }

    fn generations(&self, who: &str, request: &GenerationsRequest) -> Generations {
        let mut state = self.state();
        let known = state.generations.entry(who.to_owned()).or_default();
        known.extend(request.add.filter(|fresh| !known.contains(fresh)));
        Generations { known: Bounded::new(known.clone()).unwrap() }
    }

    fn coin_state(&self, request: &CoinStateRequest) -> Result<CoinState, Fault> {
        request.verify("north")?;
        let state = self.state();
        let spent = state.spent.get(&request.coin).copied().unwrap_or(0);
        let of = |(payment, paid): (&Digest, &Redeemed)| OpenRefund {
            payment: *payment,
            amount: Minor::new(paid.refunded - paid.claimed).unwrap(),
            coins: Bounded::new(paid.coins.clone()).unwrap(),
        };
        let paid = state.payments.iter().filter(|(_, paid)| paid.coins.contains(&request.coin));
        let refunds = paid.filter(|(_, paid)| paid.refunded > paid.claimed).map(of).collect();
        Ok(CoinState { spent: Minor::new(spent).unwrap(), refunds: Bounded::new(refunds).unwrap() })
    }

    /// How many coins each refresh so far took, in order.
    pub(crate) fn refreshes(&self) -> Vec<usize> {
        let inputs = |statement: &Statement| match statement {
            Statement::Refresh { inputs, .. } => Some(inputs.len()),
            Statement::Payment { .. } => None,
        };
        self.state().statements.iter().filter_map(inputs).collect()
    }

    fn shop_pay(&self, payment: Payment) -> Result<PayResponse, Fault> {
        let mut guard = self.state();
        let state = &mut *guard;
        match state.trick {
            Trick::ShopPending => return Ok(PayResponse::Pending),
            Trick::ShopShowsEvidence => {
                let evidence = state.evidence.clone().unwrap();
                return Ok(PayResponse::Refused(Outcome::DoubleSpent(evidence)));
            }
            Trick::ShopRefuses => {
                return Ok(PayResponse::Refused(Outcome::Refused(Fault::new(Code::AccountClosed, "closed"))));
            }
            _ => {}
        }
        let Some(request) = state.shop_requests.get(&payment.request).cloned() else {
            return refuse(Code::RequestMismatch);
        };
        let item = CashItem { request, payment };
        let view = self.view(state);
        let verified = self.verify(state, &view, &item)?;
        match self.redeem(state, &verified, &item, Digest([9; 32])) {
            Outcome::Paid(receipt) | Outcome::AlreadyPaid(receipt) => {
                let signature = DocumentSignature::sign(&self.shop_key, &receipt.digest()).unwrap();
                Ok(PayResponse::Paid(PayeeReceipt { receipt, signature }))
            }
            outcome => Ok(PayResponse::Refused(outcome)),
        }
    }

    fn box_access(&self, access: &BoxAccess) -> Result<BoxMessages, Fault> {
        access.verify("north")?;
        let mut state = self.state();
        let messages = state.boxes.entry(access.payee).or_default();
        if let BoxAction::Delete(digest) = &access.action {
            messages.retain(|message| message.digest() != *digest);
        }
        Ok(BoxMessages { messages: Bounded::new(messages.clone()).unwrap() })
    }

    fn put(&self, put: PutRequest) {
        let mut state = self.state();
        let messages = state.boxes.entry(put.payee).or_default();
        if !messages.contains(&put.message) {
            messages.push(put.message);
            state.put_messages += 1;
        }
    }

    fn shown_keysets(&self) -> Bounded<Keyset, 32> {
        let trick = self.state().trick;
        let mut shown: Vec<Keyset> = self.state().keysets.iter().map(|entry| entry.keyset.clone()).collect();
        if trick == Trick::UnpinnedKeyset {
            shown.push(self.make_keyset(77).keyset);
        }
        Bounded::new(shown).unwrap()
    }
}

fn answer(session: &Session) -> BeginResponse {
    if session.void {
        return BeginResponse::Void;
    }
    let commitments = Bounded::new(session.commitments.clone()).unwrap();
    match &session.answered {
        Some((challenges, answers)) => BeginResponse::Answered(AnsweredSession {
            session: session.session,
            outputs: session.begin.outputs.clone(),
            commitments,
            challenges: Bounded::new(challenges.clone()).unwrap(),
            answers: Bounded::new(answers.clone()).unwrap(),
        }),
        None => BeginResponse::Open(SessionOffer {
            session: session.session,
            expires: session.expires,
            commitments,
        }),
    }
}

/// Takes all or nothing; answers with the first coin that would give more than its value.
fn spend(state: &mut State, view: &MemberView, taken: &[(CoinId, u64)]) -> Option<CoinId> {
    for (coin, amount) in taken {
        let value = view.pins.key(&coin.denomination).unwrap().key.value.value();
        if state.spent.get(coin).copied().unwrap_or(0) + amount > value {
            state.violations += 1;
            return Some(*coin);
        }
    }
    for (coin, amount) in taken {
        *state.spent.entry(*coin).or_default() += amount;
    }
    None
}

// --- network and store ------------------------------------------------------------------------------------------

/// The network as one wallet sees it.
pub(crate) struct Wire {
    world: Arc<World>,
    who: String,
    /// Of the same process.
    store: Arc<Fragile>,
}

pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    Ok(codec::decode(bytes, codec::Limit::Large)?)
}

pub(crate) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    Ok(codec::encode(value)?)
}

impl Wire {
    fn handle(&self, message: &Outgoing) -> Result<Vec<u8>, Fault> {
        let (world, body) = (&self.world, message.body.as_ref());
        let certified = message.caller == Caller::Certified;
        let account = certified.then_some(self.who.as_str());
        world.state().routes.push(message.path.clone());
        let needs = message.path.starts_with("/v1/account/")
            || matches!(message.path.as_str(), "/v1/deposit" | "/v1/certificate" | "/v1/cheque/endorse");
        assert_eq!(needs, certified, "{} is called with the wrong kind of caller", message.path);
        match message.path.as_str() {
            "/v1/directory" => write(&world.directory()),
            "/v1/keysets" if body.is_empty() => write(&world.shown_keysets()),
            "/v1/keysets" => {
                let from = usize::try_from(read::<PinsRequest>(body)?.from.0).unwrap();
                let entries = world.state().keysets.iter().skip(from).cloned().collect();
                write(&PinsResponse { entries: Bounded::new(entries).unwrap() })
            }
            "/v1/account/issue/begin" | "/v1/issue/begin" => write(&world.begin(account, read(body)?)?),
            "/v1/account/issue/finish" | "/v1/issue/finish" => {
                let answered = world.finish(account, read(body)?)?;
                match world.state().trick {
                    Trick::Silent(_) => refuse(Code::AccountClosed),
                    _ => write(&answered),
                }
            }
            "/v1/account/issue/recover" | "/v1/issue/recover" => {
                write(&world.recover(account, &read(body)?)?)
            }
            "/v1/account/generations" => write(&world.generations(&self.who, &read(body)?)),
            "/v1/coin/state" => write(&world.coin_state(&read(body)?)?),
            "/v1/outcome" => write(&world.outcome(&read(body)?)),
            "/v1/pay" => write(&world.shop_pay(read(body)?)?),
            "/v1/drop/put" => {
                world.put(read(body)?);
                write(&())
            }
            "/v1/drop/access" => write(&world.box_access(&read(body)?)?),
            "/v1/deposit" => {
                let item: CashItem = read(body)?;
                let mut guard = world.state();
                let view = world.view(&guard);
                let verified = world.verify(&mut guard, &view, &item)?;
                write(&DepositResponse::Final(world.redeem(&mut guard, &verified, &item, Digest([8; 32]))))
            }
            path if path.contains("/offline/") => world.offline_call(&self.who, path, body),
            other => world.cheque_call(&self.who, other, body),
        }
    }
}

#[async_trait]
impl Network for Wire {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        if self.world.state().down.contains(to.url.as_str()) {
            return Err(NetworkError::Unreachable { url: to.url.clone(), reason: "down".into() });
        }
        if self.world.state().untrusted && message.caller == Caller::Certified {
            return Err(NetworkError::Untrusted { url: to.url.clone(), reason: "by the test".into() });
        }
        self.store.reach(&message.path, false).await;
        let answer = self.handle(&message);
        self.store.reach(&message.path, true).await;
        let left = {
            let mut state = self.world.state();
            state.lose_after -= 1;
            state.lose_after
        };
        if left == 0 || self.world.state().lose_path == Some(message.path.as_str()) {
            return Err(NetworkError::Lost { url: to.url.clone(), reason: "lost by the test".into() });
        }
        let (status, body) = match answer {
            Ok(body) => (200, body),
            Err(fault) => (fault.code.status(), write(&fault).unwrap()),
        };
        Ok(Reply { status, format: Some(Format::Bincode), body: body.into() })
    }
}

/// A store that stops answering at a chosen commit, just before or just after it.
pub(crate) struct Fragile {
    pub(crate) inner: Arc<dyn Store>,
    left: AtomicI64,
    after: AtomicBool,
    messages: AtomicI64,
    answered: AtomicBool,
    pub(crate) crashed: Arc<Notify>,
    pub(crate) point: Mutex<&'static str>,
}

impl Fragile {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            left: AtomicI64::new(-1),
            after: AtomicBool::new(false),
            messages: AtomicI64::new(-1),
            answered: AtomicBool::new(false),
            crashed: Arc::new(Notify::new()),
            point: Mutex::new(""),
        })
    }

    pub(crate) fn in_memory() -> Arc<Self> {
        Self::new(Arc::new(SqliteStore::open_in_memory(feiqian_wallet::tables::TABLES).unwrap()))
    }

    /// Dies at the `number`th commit from now (from 1).
    pub(crate) fn arm(&self, number: i64, after: bool) {
        self.messages.store(-1, Ordering::SeqCst);
        self.after.store(after, Ordering::SeqCst);
        self.left.store(number, Ordering::SeqCst);
    }

    /// Dies at the `number`th message from now (from 1): before it leaves, or when its answer is there.
    pub(crate) fn arm_message(&self, number: i64, answered: bool) {
        self.left.store(-1, Ordering::SeqCst);
        self.answered.store(answered, Ordering::SeqCst);
        self.messages.store(number, Ordering::SeqCst);
    }

    /// A message is on its way; never comes back where the process dies of it.
    async fn reach(&self, path: &str, answered: bool) {
        let counts = self.answered.load(Ordering::SeqCst) == answered;
        if !counts || self.messages.fetch_sub(1, Ordering::SeqCst) != 1 {
            return;
        }
        *self.point.lock().unwrap() = "";
        let moment = if answered { "answered" } else { "send" };
        note_killed(&format!("{moment}.wallet.{}", path.trim_start_matches("/v1/").replace('/', ".")));
        self.crashed.notify_one();
        std::future::pending().await
    }
}

impl Store for Fragile {
    fn commit_raw(&self, point: &'static str, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            let dies = self.left.fetch_sub(1, Ordering::SeqCst) == 1;
            if dies {
                *self.point.lock().unwrap() = point;
                note_killed(point);
                if self.after.load(Ordering::SeqCst) {
                    self.inner.commit_raw(point, work).await?;
                }
                self.crashed.notify_one();
                return std::future::pending().await;
            }
            self.inner.commit_raw(point, work).await
        })
    }

    fn read_raw(&self, work: Work) -> BoxFuture<'_, Result<(), StoreError>> {
        self.inner.read_raw(work)
    }
}

/// A wallet's owner: store and parts, from which the wallet is opened as often as it crashes.
/// The seed of this holder's words.
fn seed_of(who: &str) -> [u8; 64] {
    let mut seed = [0; 64];
    seed.iter_mut().zip(who.bytes().cycle()).for_each(|(to, from)| *to = from);
    seed
}

pub(crate) struct Owner {
    pub(crate) world: Arc<World>,
    pub(crate) store: Arc<Fragile>,
    who: String,
    balance: u64,
    pub(crate) poll_seconds: u64,
    pub(crate) refresh: RefreshPolicy,
    pub(crate) evidence_dir: Option<std::path::PathBuf>,
    /// Other words than those of the account's holder.
    pub(crate) words: Option<[u8; 64]>,
    runs: AtomicI64,
}

impl Owner {
    pub(crate) fn new(world: &Arc<World>, who: &str, balance: u64) -> Self {
        Self::over(world, who, balance, Fragile::in_memory())
    }

    pub(crate) fn over(world: &Arc<World>, who: &str, balance: u64, store: Arc<Fragile>) -> Self {
        Self {
            world: Arc::clone(world),
            store,
            who: who.to_owned(),
            balance,
            poll_seconds: 30,
            refresh: RefreshPolicy::AtOnce,
            evidence_dir: None,
            words: None,
            runs: AtomicI64::new(0),
        }
    }

    pub(crate) async fn open(&self) -> Arc<Wallet> {
        let mut parts = self.world.parts(&self.who, self.balance, self.refresh);
        parts.evidence_dir = self.evidence_dir.clone();
        if let Some(words) = self.words {
            parts.seed = Seed::from_bytes(words);
            parts.offline_seed = feiqian_offline_cash::seed::Seed::from_bytes(words);
        }
        parts.config.poll_seconds = self.poll_seconds;
        let run = self.runs.fetch_add(1, Ordering::SeqCst);
        let seams = Seams {
            store: Arc::clone(&self.store) as Arc<dyn Store>,
            network: Arc::new(Wire {
                world: Arc::clone(&self.world),
                who: self.who.clone(),
                store: Arc::clone(&self.store),
            }),
            clock: Arc::clone(&self.world.clock) as Arc<dyn Clock>,
            entropy: Arc::new(StreamEntropy::new(1, &format!("{}-{run}", self.who))),
            workers: Arc::new(feiqian_node::InlineWorkers),
        };
        Wallet::new(parts, seams).await.unwrap()
    }

    pub(crate) fn account(&self) -> u64 {
        self.world.state().accounts[&self.who]
    }

    /// What its secrets are sealed with.
    pub(crate) fn store_key(&self) -> StoreKey {
        StoreKey::of(&Seed::from_bytes(self.words.unwrap_or_else(|| seed_of(&self.who))))
    }

    /// What an audit says of the store.
    pub(crate) async fn audit(&self) -> feiqian_wallet::audit::Audit {
        let key = self.store_key();
        let work =
            move |tx: &mut dyn Tx| Ok::<_, StoreError>(feiqian_wallet::audit::audit(tx, Some(&key)).unwrap());
        self.store.inner.read(work).await.unwrap()
    }

    /// Audits the store; answers what its offline coins and holdings can still be spent for, and what can only be
    /// reclaimed.
    pub(crate) async fn audited_offline(&self) -> (u64, u64) {
        let audit = self.audit().await;
        assert_eq!(audit.findings, Vec::new());
        let of = |restored: bool| {
            audit.offline.iter().filter(|held| held.restored == restored).map(|held| held.rest.value()).sum()
        };
        (of(false), of(true))
    }

    /// Audits the store; answers what its coins are worth.
    pub(crate) async fn audited(&self) -> u64 {
        let audit = self.audit().await;
        assert_eq!(audit.findings, Vec::new());
        audit.coins.iter().map(|coin| coin.available.value()).sum()
    }
}
