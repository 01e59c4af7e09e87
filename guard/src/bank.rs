//! A bank in memory with one customer, who withdraws coins and deposits payments with them.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use feiqian_bank::secrets::MemorySecrets;
use feiqian_bank::{Bank, Config, Keys, Parts};
use feiqian_clearing::membership::{BankEntry, Directory};
use feiqian_crypto::Digest;
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::{
    Caller, Format, InlineWorkers, ManualClock, MemberView, Network, NetworkError, Outgoing, Reply, Seams,
    Service, StreamEntropy, Target, call, deliver,
};
use feiqian_online_cash::account::{DepositResponse, EnrolRequest, EnrolResponse};
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_online_cash::funding::{Funding, withdrawal_statement};
use feiqian_online_cash::issue::{
    BeginRequest, BeginResponse, FinishRequest, FinishResponse, Output, PendingIssue,
};
use feiqian_online_cash::keyset::{PinEntry, VerifiedKey};
use feiqian_online_cash::payment::Payment;
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route, SignedRequest};
use feiqian_online_cash::seed::Seed;
use feiqian_online_cash::signed::{DocumentSignature, WireChain};
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, Purpose, Revocation, Subject, Verified, fingerprint,
    validate,
};
use feiqian_store::SqliteStore;
use feiqian_wire::{Blob, Bounded, Limit, Name, Text, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::{count_instructions_of, seeded};

const NOW: u64 = 1_800_000_000;
const URL: &str = "https://127.0.0.1:7001";
/// Deposits that are counted together, after one that is not.
const DEPOSITS: usize = 8;

/// The bank's router, asked as one peer, and no other node.
struct Direct {
    router: Option<Router>,
    peer: Option<Arc<Verified>>,
}

#[async_trait]
impl Network for Direct {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        let nobody =
            || NetworkError::Unreachable { url: to.url.clone(), reason: "nobody is there".to_owned() };
        let router = self.router.as_ref().ok_or_else(nobody)?;
        deliver(router, to, self.peer.clone(), message).await
    }
}

/// Deposits payments of one coin each, one after another, from request to answer.
pub(crate) fn deposit() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (customer, payments) = runtime.block_on(prepared());
    let deposit = |body: &Vec<u8>| {
        let answer = runtime.block_on(customer.send("/v1/deposit", body.clone()));
        let answer: DepositResponse = Format::Bincode.decode(&answer.body, Limit::Large).expect("an answer");
        assert!(matches!(answer, DepositResponse::Final(Outcome::Paid(_))), "{answer:?}");
    };
    let (first, rest) = payments.split_first().expect("payments");
    deposit(first);
    count_instructions_of(|| rest.iter().for_each(deposit));
}

struct Customer {
    line: Direct,
    bank: Name,
    account: Text<64>,
    signing: KeyPair,
    leaf: Vec<u8>,
    issuer: Digest,
    view: Digest,
    key: VerifiedKey,
}

/// A bank, a customer of it, and payments ready to be deposited.
async fn prepared() -> (Customer, Vec<Vec<u8>>) {
    let mut rng = seeded(4);
    let root = Authority::root("center", KeyPair::generate(&mut rng), NOW, &mut rng).expect("a root");
    let key = KeyPair::from_seed(&[10; 32]);
    let request = request(&key, &Subject::bank("north").expect("a name"));
    let chain = root.issue_bank_authority(&request, "north", NOW, &mut rng).expect("a certificate");
    let bank = bank(&root, &chain).await;
    // The keyset is made; nobody is there to pin it.
    assert!(bank.rotate().await.is_err(), "there is no center");
    publish(&root, &chain, &bank);
    let customer = Customer::enrol(&root, &chain, &bank).await;
    let coins = customer.withdraw(DEPOSITS + 1).await;
    let payments = (0..).zip(&coins).map(|(number, coin)| customer.payment(number, coin)).collect();
    (customer, payments)
}

fn request(key: &KeyPair, subject: &Subject) -> CertificateRequest {
    let asked = CertificateRequest::create(key, subject).expect("a request");
    CertificateRequest::verify(&asked).expect("a good request")
}

fn authority(chain: &Chain) -> Authority {
    Authority::from_parts(KeyPair::from_seed(&[10; 32]), chain.clone()).expect("the bank's authority")
}

async fn bank(root: &Authority, chain: &Chain) -> Arc<Bank> {
    let name = Name::new("north").expect("a name");
    let config = Config::new(name, Currency::CNY, "https://127.0.0.1:7000", "127.0.0.1:7001");
    let entropy = Arc::new(StreamEntropy::new(5, "guard"));
    let (signer, transport) = (KeyPair::from_seed(&[11; 32]), KeyPair::from_seed(&[12; 32]));
    let trusted = root.trusted_root().expect("a root");
    let now = Timestamp::new(NOW);
    let keys = Keys::certify(
        trusted,
        authority(chain),
        signer,
        transport,
        &["localhost".to_owned()],
        now,
        &*entropy,
    )
    .expect("certificates");
    let store = SqliteStore::open_in_memory(feiqian_bank::tables::TABLES).expect("a store");
    let seams = Seams {
        store: Arc::new(store),
        network: Arc::new(Direct { router: None, peer: None }),
        clock: Arc::new(ManualClock::new(now)),
        entropy,
        workers: Arc::new(InlineWorkers),
    };
    let parts = Parts { config, keys, secrets: Arc::new(MemorySecrets::default()) };
    Bank::new(parts, seams).await.expect("a bank")
}

/// Shows the bank itself and its keyset to it, as the center does.
fn publish(root: &Authority, chain: &Chain, bank: &Arc<Bank>) {
    let now = Timestamp::new(NOW);
    let subject = Subject::bank("north").expect("a name");
    let asked = request(&KeyPair::from_seed(&[11; 32]), &subject);
    let signer = authority(chain)
        .issue_leaf(&asked, &subject, Purpose::Signing, &[], 1 << 30, NOW, &mut seeded(6))
        .expect("a certificate");
    let signer = WireChain::from_chain(&signer).expect("a chain");
    let pin = |keyset| PinEntry { pinned_at: now, keyset, signer: signer.clone() };
    let pins = bank.own_keysets().into_iter().map(pin).collect();
    let entry = BankEntry {
        name: Name::new("north").expect("a name"),
        currency: Currency::CNY,
        url: Text::new(URL).expect("short"),
        authority: Blob::new(chain.leaf()).expect("short"),
        signer: signer.0.clone(),
    };
    let directory = Directory { banks: Bounded::new(vec![entry]).expect("one") };
    let view = MemberView::empty(root.trusted_root().expect("a root")).extended(&directory, pins, now);
    bank.members().replace(view.expect("a view"));
}

async fn command(bank: &Arc<Bank>, command: Value) -> Value {
    Arc::clone(bank).command(command).await.expect("a command")
}

impl Customer {
    /// Opens an account with money on it.
    async fn enrol(root: &Authority, chain: &Chain, bank: &Arc<Bank>) -> Self {
        let open = json!({"command": "account_open", "name": "alice", "role": "customer"});
        let opened = command(bank, open).await;
        let code = opened.get("code").and_then(Value::as_str).expect("a code");
        let token = code.split('-').next().expect("a token");
        let subject = Subject::customer(token, "north").expect("a subject");
        let (transport, signing) = (KeyPair::from_seed(&[20; 32]), KeyPair::from_seed(&[21; 32]));
        let asked =
            |key| Blob::new(CertificateRequest::create(key, &subject).expect("a request")).expect("short");
        let request = EnrolRequest {
            code: Text::new(code).expect("short"),
            transport: asked(&transport),
            signing: asked(&signing),
            hosts: Text::default(),
        };
        let mut line = Direct { router: Some(Arc::clone(bank).router()), peer: None };
        let enrolled: EnrolResponse = ask(&line, "/v1/enrol", &request).await;
        command(bank, json!({"command": "account_fund", "name": "alice", "amount": "100.00"})).await;
        let shown = enrolled.transport.to_chain().expect("a chain");
        let trusted = root.trusted_root().expect("a root");
        let peer =
            validate(&shown, &trusted, Purpose::Client, Revocation::Unchecked, NOW).expect("certified");
        line.peer = Some(Arc::new(peer));
        let view = bank.members().snapshot();
        let keyset = view.pins.keysets().first().expect("a keyset");
        Self {
            line,
            bank: enrolled.bank,
            account: enrolled.account,
            signing,
            leaf: enrolled.signing.to_chain().expect("a chain").leaf().to_vec(),
            issuer: fingerprint(chain.leaf()),
            view: view.pins.view(),
            key: keyset.keys.first().expect("a key").clone(),
        }
    }

    async fn send(&self, path: &str, body: Vec<u8>) -> Reply {
        let message = Outgoing {
            path: path.to_owned(),
            body: body.into(),
            format: Format::Bincode,
            caller: Caller::Certified,
            timeout: feiqian_node::CALL_TIMEOUT,
        };
        self.line.send(&Target::anyone(URL), message).await.expect("an answer")
    }

    async fn withdraw(&self, count: usize) -> Vec<Coin> {
        let output = Output { denomination: self.key.id, count: u16::try_from(count).expect("few") };
        let outputs = Bounded::new(vec![output]).expect("one");
        let begin = BeginRequest { request: Digest([1; 32]), outputs };
        let answer: BeginResponse = ask(&self.line, "/v1/account/issue/begin", &begin).await;
        let BeginResponse::Open(offer) = answer else { panic!("not open: {answer:?}") };
        let keys = vec![&self.key; count];
        let seed = Seed::from_bytes([2; 64]);
        let (pending, challenges) =
            PendingIssue::new(&seed, &keys, &offer.session, &offer.commitments).expect("challenges");
        let ids = vec![self.key.id; count];
        let statement = withdrawal_statement(
            self.bank.as_str(),
            self.account.as_str(),
            &offer.session,
            &ids,
            Minor::ZERO,
            &challenges,
        );
        let signature = DocumentSignature::sign(&self.signing, &statement).expect("a signature");
        let challenges = Bounded::new(challenges).expect("few");
        let finish =
            FinishRequest { session: offer.session, challenges, funding: Funding::Account { signature } };
        let answer: FinishResponse = ask(&self.line, "/v1/account/issue/finish", &finish).await;
        pending.finish(&answer.answers).expect("coins")
    }

    /// A payment of a whole coin to the own account, as it travels.
    fn payment(&self, number: u64, coin: &Coin) -> Vec<u8> {
        let expires = Timestamp::new(NOW + 3600);
        let value = self.key.key.value;
        let nonce = feiqian_crypto::Transcript::new("guard/nonce").integer(number).into_digest();
        let request = PaymentRequest {
            payee: Payee::Certified {
                leaf: Blob::new(self.leaf.clone()).expect("short"),
                issuer: self.issuer,
            },
            name: Text::new("alice").expect("short"),
            amount: Amount::new(value, Currency::CNY),
            order: Text::new("guard").expect("short"),
            route: Route::Account { bank: self.bank.clone(), account: self.account.clone() },
            delivery: Delivery::ByHand,
            refund_until: expires,
            view: self.view,
            expires,
            nonce,
        };
        let request = SignedRequest::by_account_holder(request, &self.signing).expect("a request");
        let digest = request.request.digest();
        let payment = Payment::sign(&digest, &[(coin, value)], &mut seeded(7)).expect("a payment");
        Format::Bincode.encode(&CashItem { request, payment }).expect("bytes")
    }
}

async fn ask<Req, Res>(line: &Direct, path: &str, request: &Req) -> Res
where
    Req: Serialize + Sync + 'static,
    Res: DeserializeOwned,
{
    let caller = if line.peer.is_some() { Caller::Certified } else { Caller::Anonymous };
    match call(line, &Target::anyone(URL), caller, path, request).await {
        Ok(answer) => answer,
        Err(error) => panic!("{path}: {error}"),
    }
}
