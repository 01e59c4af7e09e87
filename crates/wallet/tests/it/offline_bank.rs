//! The offline side of the honest test bank and its center: the protocol's own steps over registers in memory.

use std::collections::{BTreeMap, BTreeSet};

use feiqian_crypto::Digest;
use feiqian_crypto::acl::SecretKey;
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::MemberView;
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::chain::KeysetView;
use feiqian_offline_cash::deposit::{Outcome, Part, Receipt, ReceiptTerms, Source, settle_payment};
use feiqian_offline_cash::identity::{AttestedIdentity, Registrant};
use feiqian_offline_cash::interval::Interval;
use feiqian_offline_cash::keyset::{Keys, Keyset, Kind, OfflineKey, Times, VerifiedKey, depth_of};
use feiqian_offline_cash::messages::{
    DepositRequest, DepositResponse, Exposed, ExposedRequest, ExposedResponse, OfflinePinEntry,
    OfflinePinsRequest, OfflinePinsResponse, OfflineRegisterRequest, OfflineTerms, ReclaimRequest,
    ReclaimResponse, SessionRequest, SignedExposed,
};
use feiqian_offline_cash::pay::{CashItem, Checker, Payment};
use feiqian_offline_cash::reclaim::{AttestedSession, SessionRecord, Standing, decide};
use feiqian_offline_cash::register::{Deposited, Register};
use feiqian_offline_cash::request::{PaymentRequest, SignedRequest};
use feiqian_offline_cash::signed::WireChain;
use feiqian_offline_cash::transfer::Transfer;
use feiqian_offline_cash::withdraw::{
    AnsweredSession, BeginRequest, BeginResponse, Caps, CommitRequest, CommitResponse, ExpectCommitments,
    FinishRequest, FinishResponse, Line, OpenSession, Origin, RecoverRequest, SessionOffer, SignedWithdrawal,
    expand, session_id,
};
use feiqian_pki::{KeyPair, Subject, fingerprint};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Text};
use rand::RngExt as _;

use crate::world::{DAY, State, World, leaf, name, read, write};

struct Session {
    account: String,
    begin: BeginRequest,
    offer: SessionOffer,
    committed: Option<(CommitRequest, CommitResponse)>,
    open: Option<OpenSession>,
    answered: Option<(SignedWithdrawal, AnsweredSession)>,
    void: bool,
}

/// How the bank misbehaves towards withdrawals of offline coins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OfflineTrick {
    #[default]
    None,
    RepeatSession,
    RepeatAnnouncements,
    WrongAnswers,
    /// Has restarted when the next commitments arrive.
    Restarted,
    UnpinnedKeyset,
    /// Shows everybody the first identity that was registered.
    ForeignIdentity,
}

/// What bank and center keep of offline cash.
#[derive(Default)]
pub(crate) struct OfflineBank {
    pub(crate) trick: OfflineTrick,
    pub(crate) entries: Vec<OfflinePinEntry>,
    secrets: BTreeMap<Digest, SecretKey>,
    identities: BTreeMap<String, AttestedIdentity>,
    sessions: Vec<Session>,
    last: Option<CommitResponse>,
    registers: BTreeMap<Digest, Register>,
    receipts: BTreeMap<Digest, Receipt>,
    /// Units charged to somebody who answered twice.
    pub(crate) charged: u64,
    /// Deposits of the shop.
    pub(crate) shop: u64,
    claims: BTreeMap<Digest, (Vec<u8>, String, Digest, Standing)>,
    paid: BTreeMap<Digest, Minor>,
    pub(crate) exposed: BTreeSet<Digest>,
}

impl OfflineBank {
    /// What the shop deposited, and what of all deposits was charged to somebody who answered twice.
    pub(crate) fn booked(&self) -> (u64, u64) {
        (self.shop, self.charged)
    }
}

fn refuse<T>(code: Code) -> Result<T, Fault> {
    Err(Fault::new(code, "refused by the test bank"))
}

pub(crate) const PAY_DAYS: u64 = 60;
pub(crate) const DEPOSIT_DAYS: u64 = 90;
pub(crate) const RECLAIM_DAYS: u64 = 120;

impl World {
    /// Makes and pins an offline keyset.
    pub(crate) fn rotate_offline(&self) {
        let now = self.now();
        let mut guard = self.state();
        let state = &mut *guard;
        let values = (0..13_u32).map(|exponent| (Kind::Value, Minor::new(1 << exponent).unwrap()));
        let mut keys = Vec::new();
        let mut secrets = Vec::new();
        for (kind, value) in std::iter::once((Kind::Blank, Minor::ZERO)).chain(values) {
            let depth = depth_of(kind, value).unwrap();
            let secret = SecretKey::generate(depth, &mut state.rng);
            keys.push(OfflineKey { kind, value, depth, key: *secret.public().encoded() });
            secrets.push(secret);
        }
        let later = |days: u64| now.saturating_add(days * DAY);
        let times = Times {
            issue_from: now,
            issue_until: later(30),
            pay_until: later(PAY_DAYS),
            deposit_until: later(DEPOSIT_DAYS),
            reclaim_until: later(RECLAIM_DAYS),
        };
        let epoch = state.offline.entries.len() as u64;
        let keyset = Keyset::sign(&self.signer, name("north"), epoch, Currency::CNY, times, keys).unwrap();
        for (key, secret) in keyset.keys.iter().zip(secrets) {
            state.offline.secrets.insert(keyset.key_id(key), secret);
        }
        let signer = WireChain::from_chain(&self.signer_chain).unwrap();
        state.offline.entries.push(OfflinePinEntry { pinned_at: now, keyset, signer });
    }

    fn offline_view(&self, state: &State) -> MemberView {
        self.view(state).with_offline(state.offline.entries.clone()).unwrap()
    }

    /// A request of the shop's till, as text or as a file.
    pub(crate) fn till_request(&self, minor: u64) -> SignedRequest {
        let mut state = self.state();
        let certificates = self.shop_chain.certificates();
        let keysets = state.offline.entries.iter().map(|entry| KeysetView {
            bank: name("north"),
            epoch: entry.keyset.epoch,
            digest: entry.keyset.digest(),
        });
        let request = PaymentRequest {
            leaf: Blob::new(certificates[0].clone()).unwrap(),
            issuer: fingerprint(&certificates[1]),
            name: Text::new("Shop").unwrap(),
            amount: Amount::new(Minor::new(minor).unwrap(), Currency::CNY),
            order: Text::new("order").unwrap(),
            bank: name("north"),
            account: Text::new("5409").unwrap(),
            till: Text::new("till 1").unwrap(),
            keysets: Bounded::new(keysets.collect()).unwrap(),
            expires: self.now().saturating_add(3_600),
            nonce: Digest(state.rng.random()),
        };
        SignedRequest::sign(request, &self.shop_key).unwrap()
    }

    /// The shop deposits what it was given.
    pub(crate) fn till_deposit(&self, request: &SignedRequest, payment: Payment) -> Outcome {
        let item = CashItem { request: request.clone(), payment };
        self.redeem_offline(&item).unwrap()
    }

    fn redeem_offline(&self, item: &CashItem) -> Result<Outcome, Fault> {
        let mut guard = self.state();
        let state = &mut *guard;
        let view = self.offline_view(state);
        let checker = Checker { keys: view.offline_keys(), authorities: &view, now: self.now() };
        let payment = checker.verify(item, &mut state.rng)?;
        if let Some(receipt) = state.offline.receipts.get(&payment.set) {
            return Ok(Outcome::Before(receipt.clone()));
        }
        payment.check_deposit(self.now())?;
        let registers = &mut state.offline.registers;
        let settlements = settle_payment::<Rejection>(&payment, |coin, interval| {
            Ok(registers.get(coin).map_or(vec![], |known| known.overlapping(interval).cloned().collect()))
        })?;
        let mut parts = Vec::new();
        for ((piece, chain), settlement) in (0..).zip(&payment.chains).zip(&settlements) {
            let value = view.offline_keys().key(chain.hops()[0].key()).unwrap().value;
            let register = registers.entry(*chain.coin().unwrap());
            register.or_insert_with(|| Register::new(value).unwrap()).deposit(Deposited::of(chain)?)?;
            let mut part = |units: u64, source| {
                if units > 0 {
                    parts.push(Part { piece, amount: Minor::new(units).unwrap(), source });
                }
            };
            part(settlement.circulation, Source::Circulation);
            part(settlement.charged(), Source::Unpaid { claim: payment.set });
            state.offline.charged += settlement.charged();
        }
        let circulation = settlements.iter().map(|settlement| settlement.circulation).sum::<u64>();
        let terms = ReceiptTerms::new(&payment, Digest([7; 32]), parts, self.now())?;
        let receipt = terms.sign(&self.signer)?;
        state.offline.receipts.insert(payment.set, receipt.clone());
        match state.accounts.get_mut(item.request.request.account.as_str()) {
            Some(balance) => *balance += circulation,
            None => state.offline.shop += circulation,
        }
        Ok(Outcome::Settled(receipt))
    }

    pub(crate) fn offline_call(&self, who: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, Fault> {
        match path {
            "/v1/offline/pins" => {
                let from = usize::try_from(read::<OfflinePinsRequest>(body)?.from.0).unwrap();
                let entries = self.state().offline.entries.iter().skip(from).cloned().collect();
                write(&OfflinePinsResponse { entries: Bounded::new(entries).unwrap() })
            }
            "/v1/offline/exposed" => {
                let request: ExposedRequest = read(body)?;
                let lists = if request.after.is_empty() { vec![self.exposed_list()] } else { Vec::new() };
                write(&ExposedResponse { as_of: self.now(), lists: Bounded::new(lists).unwrap() })
            }
            "/v1/account/offline/terms" => write(&self.terms(who)),
            "/v1/account/offline/register" => write(&self.register_offline(who, read(body)?)?),
            "/v1/account/offline/begin" => write(&self.begin_offline(who, read(body)?)?),
            "/v1/account/offline/commit" => write(&self.commit_offline(who, read(body)?)?),
            "/v1/account/offline/finish" => write(&self.finish_offline(who, read(body)?)?),
            "/v1/account/offline/recover" => {
                let request: RecoverRequest = read(body)?;
                let state = self.state();
                let mut known = state.offline.sessions.iter();
                match known.find(|known| known.begin.request == request.request && known.account == who) {
                    Some(session) => write(&answer(session)),
                    None => refuse(Code::SessionUnknown),
                }
            }
            "/v1/account/offline/deposit" => {
                let DepositRequest { item } = read(body)?;
                write(&DepositResponse::Final(self.redeem_offline(&item)?))
            }
            "/v1/account/offline/session" => write(&self.attest_session(who, read(body)?)?),
            "/v1/account/offline/reclaim" => write(&self.reclaim_offline(who, body)?),
            other => panic!("{other} is not a route"),
        }
    }

    fn exposed_list(&self) -> SignedExposed {
        let coins = self.state().offline.exposed.iter().copied().collect();
        let list = Exposed { bank: name("north"), as_of: self.now(), coins: Bounded::new(coins).unwrap() };
        SignedExposed::sign(list, &self.signer).unwrap()
    }

    /// Puts the value coins of a transfer on the list of exposed coins.
    pub(crate) fn expose(&self, transfer: &Transfer) {
        let mut guard = self.state();
        let view = self.offline_view(&guard);
        for chain in transfer.chains.iter() {
            let hop = &chain.links[0].hop;
            let key = view.offline_keys().key(&hop.key).unwrap();
            let coin = hop.piece.message(&key.public).unwrap();
            guard.offline.exposed.insert(coin);
        }
    }

    fn terms(&self, who: &str) -> OfflineTerms {
        let state = self.state();
        let zero = Amount::new(Minor::ZERO, Currency::CNY);
        let keyset = match state.offline.trick {
            OfflineTrick::UnpinnedKeyset => Some(Digest([9; 32])),
            _ => state.offline.entries.last().map(|entry| entry.keyset.digest()),
        };
        OfflineTerms {
            collateral: zero,
            caps: Caps { value: Minor::new(1_000_000).unwrap(), blanks: 1_000 },
            keyset,
            identity: match state.offline.trick {
                OfflineTrick::ForeignIdentity => state.offline.identities.values().next().cloned(),
                _ => state.offline.identities.get(who).cloned(),
            },
            closed: false,
        }
    }

    fn register_offline(
        &self,
        who: &str,
        request: OfflineRegisterRequest,
    ) -> Result<AttestedIdentity, Fault> {
        let mut state = self.state();
        if let Some(known) = state.offline.identities.get(who) {
            return if known.identity.record == request.identity.record {
                Ok(known.clone())
            } else {
                refuse(Code::Conflict)
            };
        }
        let signing_key = state.holders[who];
        request.registration.verify(&Registrant {
            bank: "north",
            account: who,
            signing_key: &signing_key,
        })?;
        let center = KeyPair::from_seed(&[77; 32]);
        let chain = leaf(&self.root, &center, &Subject::center("center").unwrap(), &mut state.rng);
        let chain = WireChain::from_chain(&chain).unwrap();
        let (root, now) = (self.trusted_root(), self.now());
        let attested = AttestedIdentity::attest(request.identity, now, &center, chain, &root)?;
        state.offline.identities.insert(who.to_owned(), attested.clone());
        Ok(attested)
    }

    fn begin_offline(&self, who: &str, begin: BeginRequest) -> Result<BeginResponse, Fault> {
        let mut guard = self.state();
        let state = &mut *guard;
        if !state.offline.identities.contains_key(who) {
            return refuse(Code::IdentityUnknown);
        }
        if let Some(known) = state.offline.sessions.iter().find(|known| known.begin.request == begin.request)
        {
            return if known.begin == begin { Ok(answer(known)) } else { refuse(Code::Conflict) };
        }
        let mut session = session_id(&name("north"), &Text::new(who).unwrap(), &begin.request, &begin.salt);
        if state.offline.trick == OfflineTrick::RepeatSession {
            session = state.offline.sessions.last().unwrap().offer.session;
        }
        let offer = SessionOffer { session, expires: self.now().saturating_add(600) };
        let account = who.to_owned();
        let made =
            Session { account, begin, offer, committed: None, open: None, answered: None, void: false };
        let response = answer(&made);
        state.offline.sessions.push(made);
        Ok(response)
    }

    fn commit_offline(&self, who: &str, request: CommitRequest) -> Result<CommitResponse, Fault> {
        let mut guard = self.state();
        let state = &mut *guard;
        let view = self.offline_view(state);
        let identity = state.offline.identities[who].identity.record.identity;
        let OfflineBank { sessions, trick, last, .. } = &mut state.offline;
        let session = sessions.iter_mut().rfind(|known| known.offer.session == request.session).unwrap();
        assert_eq!(session.account, who);
        if *trick == OfflineTrick::Restarted {
            (session.void, *trick) = (true, OfflineTrick::None);
        }
        if let Some((known, response)) = &session.committed {
            return if *known == request { Ok(response.clone()) } else { refuse(Code::Conflict) };
        }
        if session.void {
            return refuse(Code::Void);
        }
        let ids = expand(&session.begin.outputs).unwrap();
        let keys: Vec<&VerifiedKey> = ids.iter().map(|id| view.offline_keys().key(id).unwrap()).collect();
        let account = Text::new(who).unwrap();
        let expect = ExpectCommitments::new(name("north"), account, request.session, &keys)?;
        let (open, mut response) = expect.announce(&identity, &request, &mut state.rng)?;
        if *trick == OfflineTrick::RepeatAnnouncements {
            response = last.clone().unwrap();
        }
        *last = Some(response.clone());
        session.committed = Some((request, response.clone()));
        session.open = Some(open);
        Ok(response)
    }

    fn finish_offline(&self, who: &str, request: FinishRequest) -> Result<FinishResponse, Fault> {
        let mut guard = self.state();
        let state = &mut *guard;
        let view = self.offline_view(state);
        let signing_key = state.holders[who];
        let OfflineBank { sessions, secrets, trick, .. } = &mut state.offline;
        let session = sessions.iter_mut().rfind(|known| known.offer.session == request.session).unwrap();
        if let Some((_, answered)) = &session.answered {
            return match answered.challenges == request.challenges {
                true => Ok(FinishResponse { answers: answered.answers.clone() }),
                false => refuse(Code::Conflict),
            };
        }
        let Some(open) = session.open.take() else { return refuse(Code::Void) };
        let ids = expand(&session.begin.outputs).unwrap();
        let value: u64 = ids.iter().map(|id| view.offline_keys().key(id).unwrap().value.value()).sum();
        let balance = state.accounts.get_mut(who).unwrap();
        if *balance < value {
            session.void = true;
            return refuse(Code::InsufficientFunds);
        }
        let accepted = open.accept(&request, &signing_key)?;
        let (commitments, announcements) = (open.commitments().to_vec(), open.response().announcements);
        let keys: Vec<&SecretKey> = ids.iter().map(|id| &secrets[id]).collect();
        let mut response = open.answer(&keys, &accepted)?;
        *balance -= value;
        if *trick == OfflineTrick::WrongAnswers {
            let mut answers = response.answers.to_vec();
            answers[0].r = answers[0].c;
            response = FinishResponse { answers: Bounded::new(answers).unwrap() };
        }
        let answered = AnsweredSession {
            session: request.session,
            outputs: session.begin.outputs.clone(),
            commitments: Bounded::new(commitments).unwrap(),
            announcements,
            challenges: request.challenges,
            answers: response.answers.clone(),
        };
        session.answered = Some((accepted.signed().clone(), answered));
        Ok(response)
    }

    fn line(&self, state: &State, who: &str, session: &Digest, index: u16) -> (Line, Digest) {
        let known = state.offline.sessions.iter().find(|known| known.offer.session == *session).unwrap();
        assert_eq!(known.account, who);
        let (signed, _) = known.answered.as_ref().unwrap();
        let key = expand(&known.begin.outputs).unwrap()[usize::from(index)];
        (signed.statement.lines[usize::from(index)], key)
    }

    fn attest_session(&self, who: &str, request: SessionRequest) -> Result<AttestedSession, Fault> {
        let state = self.state();
        let (line, key) = self.line(&state, who, &request.session, request.index);
        let account = Text::new(who).unwrap();
        let origin = Origin { bank: name("north"), account, session: request.session, index: request.index };
        let chain = WireChain::from_chain(&self.signer_chain).unwrap();
        let (opened, identity) = ((line.commitment, line.nu), state.offline.identities[who].clone());
        Ok(AttestedSession::attest(origin, key, opened, identity, self.now(), (&self.signer, chain))?)
    }

    fn reclaim_offline(&self, who: &str, body: &[u8]) -> Result<ReclaimResponse, Fault> {
        let mut guard = self.state();
        let state = &mut *guard;
        let view = self.offline_view(state);
        let (book, now) = (view.offline_keys(), self.now());
        let (coin, key, standing) = match read::<ReclaimRequest>(body)? {
            ReclaimRequest::Withdrawn(claim) => {
                let (line, _) = self.line(state, who, &claim.origin.session, claim.origin.index);
                let identity = &state.offline.identities[who].identity.record;
                let record = SessionRecord {
                    identity: &identity.identity,
                    signing_key: &identity.signing_key()?,
                    commitment: &line.commitment,
                    nu: &line.nu,
                };
                let key = book.key(&claim.key)?;
                let verified = claim.verify(key, &record)?;
                let standing = verified.standing(Interval::whole(key.value)?, 0)?;
                (verified.message, key.clone(), standing)
            }
            ReclaimRequest::Received(claim) => {
                let (chain, standing) = claim.verify(book, &self.trusted_root(), &mut state.rng)?;
                let first = &chain.hops()[0];
                (*first.piece().message(), book.key(first.key())?.clone(), standing)
            }
        };
        let mine = standing.claimant;
        let known = state.offline.claims.get(&mine).map(|(known, ..)| known == body);
        match known {
            Some(true) => {}
            Some(false) => return refuse(Code::Conflict),
            None => {
                key.check_claim(now)?;
                let row = (body.to_vec(), who.to_owned(), coin, standing);
                state.offline.claims.insert(mine, row);
            }
        }
        let decided_at = key.times.reclaim_until;
        if now >= decided_at && !state.offline.paid.contains_key(&mine) {
            let same = state.offline.claims.values().filter(|(_, _, of, _)| *of == coin);
            let claims: Vec<(String, Standing)> =
                same.map(|(_, who, _, standing)| (who.clone(), standing.clone())).collect();
            let standings: Vec<Standing> = claims.iter().map(|(_, standing)| standing.clone()).collect();
            let deposited: Vec<Interval> = state
                .offline
                .registers
                .get(&coin)
                .map_or(vec![], |register| register.chains().map(Deposited::interval).collect());
            for (claimant, paid) in decide(&deposited, &standings) {
                let (who, _) = claims.iter().find(|(_, standing)| standing.claimant == claimant).unwrap();
                *state.accounts.get_mut(who).unwrap() += paid.value();
                state.offline.paid.insert(claimant, paid);
            }
        }
        Ok(ReclaimResponse { decided_at, paid: state.offline.paid.get(&mine).copied() })
    }
}

fn answer(session: &Session) -> BeginResponse {
    match &session.answered {
        _ if session.void => BeginResponse::Void,
        Some((_, answered)) => BeginResponse::Answered(answered.clone()),
        None => BeginResponse::Open(session.offer),
    }
}

/// The message in an answer of the wallet.
pub(crate) fn carried(answer: &serde_json::Value) -> Carried {
    if let Some(file) = answer["file"].as_str() {
        return Carried::from_file(&std::fs::read(file).unwrap()).unwrap();
    }
    if let Some(uri) = answer["uri"].as_str() {
        return Carried::from_uri(uri).unwrap();
    }
    let mut collector = feiqian_offline_cash::carry::Collector::new();
    for frame in answer["frames"].as_array().unwrap() {
        if let feiqian_offline_cash::carry::Progress::Complete(carried) =
            collector.add(frame.as_str().unwrap()).unwrap()
        {
            return *carried;
        }
    }
    panic!("frames are missing");
}
