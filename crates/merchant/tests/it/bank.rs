//! A small honest bank that is also what the center would show: it enrols, issues coins, takes deposits and refunds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use feiqian_clearing::membership::{About, BankEntry, Directory};
use feiqian_clearing::presentment::{ItemKind, presentment_id};
use feiqian_crypto::snowblind::{self, Blinding, SecretKey};
use feiqian_crypto::{Digest, scalar};
use feiqian_money::{Currency, Minor};
use feiqian_node::{Access, MemberView, Peer, Route, Routes};
use feiqian_offline_cash::messages::{DepositRequest, ExposedRequest, OfflinePinsRequest};
use feiqian_online_cash::account::{DepositResponse, EnrolRequest, EnrolResponse};
use feiqian_online_cash::coin::{Coin, CoinId, message, public_key};
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt, ReceiptTerms};
use feiqian_online_cash::evidence::{Evidence, Statement};
use feiqian_online_cash::keyset::{DenominationKey, Keyset, PinEntry, PinsRequest, PinsResponse};
use feiqian_online_cash::payment::Checker;
use feiqian_online_cash::refund::{RefundItem, RefundOutcome};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{Authority, CertificateRequest, Chain, KeyPair, Purpose, Role, Subject, TrustedRoot};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Limit, Name, Text, Timestamp, U64};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::offline_bank::OfflineBooks;

pub(crate) const NOW: u64 = 1_767_225_600;
pub(crate) const DAY: u64 = 86_400;
pub(crate) const TOKEN: &str = "00112233445566778899aabbccddeeff";
pub(crate) const BANK_URL: &str = "https://north.example:443";
pub(crate) const CENTER_URL: &str = "https://center.example:443";

pub(crate) fn rng(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

#[derive(Default)]
struct Books {
    spent: BTreeMap<CoinId, (u64, Vec<Statement>)>,
    deposits: BTreeMap<Digest, Outcome>,
    refunds: BTreeSet<Digest>,
}

pub(crate) struct TestBank {
    pub(crate) root: TrustedRoot,
    pub(crate) center: Authority,
    pub(crate) authority: Authority,
    pub(crate) signer: KeyPair,
    pub(crate) signer_chain: Chain,
    secrets: BTreeMap<u64, SecretKey>,
    books: Mutex<Books>,
    pub(crate) slow: Mutex<bool>,
    pub(crate) fault: Mutex<Option<Fault>>,
    pub(crate) lie: Mutex<Option<Outcome>>,
    pub(crate) cheques: Mutex<crate::cheques::Desk>,
    pub(crate) offline: Mutex<OfflineBooks>,
}

pub(crate) fn name() -> Name {
    Name::new("north").unwrap()
}

fn csr(key: &KeyPair) -> CertificateRequest {
    let subject = Subject::bank("north").unwrap();
    CertificateRequest::verify(&CertificateRequest::create(key, &subject).unwrap()).unwrap()
}

impl TestBank {
    pub(crate) fn new() -> Arc<Self> {
        let mut rng = rng(1);
        let center = Authority::root("center", KeyPair::generate(&mut rng), NOW, &mut rng).unwrap();
        let key = KeyPair::generate(&mut rng);
        let chain = center.issue_bank_authority(&csr(&key), "north", NOW, &mut rng).unwrap();
        let authority = Authority::from_parts(key, chain).unwrap();
        let signer = KeyPair::generate(&mut rng);
        let subject = Subject::bank("north").unwrap();
        let signer_chain = authority
            .issue_leaf(&csr(&signer), &subject, Purpose::Signing, &[], DAY * 365, NOW, &mut rng)
            .unwrap();
        let secrets = (0..=12).map(|exponent| (1 << exponent, SecretKey::generate(&mut rng))).collect();
        let root = center.trusted_root().unwrap();
        let offline = Mutex::new(OfflineBooks::new(&signer, &mut rng));
        let (slow, fault, lie) = (Mutex::new(false), Mutex::default(), Mutex::default());
        Arc::new(Self {
            root,
            center,
            cheques: Mutex::default(),
            authority,
            signer,
            signer_chain,
            secrets,
            books: Mutex::default(),
            slow,
            fault,
            lie,
            offline,
        })
    }

    fn keyset(&self) -> Keyset {
        let keys = self.secrets.iter().map(|(value, secret)| DenominationKey {
            bank: name(),
            currency: Currency::CNY,
            value: Minor::new(*value).unwrap(),
            issue_from: Timestamp::new(NOW),
            issue_until: Timestamp::new(NOW + 30 * DAY),
            redeem_until: Timestamp::new(NOW + 120 * DAY),
            key: *secret.public().encoded(),
        });
        let grace = Timestamp::new(NOW + 500 * DAY);
        Keyset::sign(&self.signer, name(), 0, Currency::CNY, grace, keys.collect()).unwrap()
    }

    pub(crate) fn entry(&self) -> PinEntry {
        let signer = WireChain::from_chain(&self.signer_chain).unwrap();
        PinEntry { pinned_at: Timestamp::new(NOW), keyset: self.keyset(), signer }
    }

    pub(crate) fn directory(&self) -> Directory {
        let bank = BankEntry {
            name: name(),
            currency: Currency::CNY,
            url: Text::new(BANK_URL).unwrap(),
            authority: Blob::new(self.authority.chain().leaf()).unwrap(),
            signer: WireChain::from_chain(&self.signer_chain).unwrap().0,
        };
        Directory { banks: Bounded::new(vec![bank]).unwrap() }
    }

    pub(crate) fn coins(&self, minor: u64, seed: u64) -> Vec<Coin> {
        let mut rng = rng(seed);
        let keyset = self.keyset().verify(&self.signer.public_key()).unwrap();
        let wanted = keyset.keys.iter().filter(|key| key.key.value.value() & minor != 0);
        wanted
            .map(|key| {
                let issuer = &self.secrets[&key.key.value.value()];
                let secret = scalar::random(&mut rng);
                let (nonces, commitment) = snowblind::commit(&mut rng);
                let message = message(&public_key(&secret));
                let blinding = Blinding::random(&mut rng);
                let (pending, challenge) =
                    snowblind::blind(issuer.public(), &message, &commitment, blinding).unwrap();
                Coin::new(key, secret, pending.unblind(&nonces.respond(issuer, &challenge)).unwrap()).unwrap()
            })
            .collect()
    }

    /// How many payments and refunds the bank booked.
    pub(crate) fn booked(&self) -> (usize, usize) {
        let books = self.books.lock().unwrap();
        let paid = books.deposits.values().filter(|outcome| matches!(outcome, Outcome::Paid(_)));
        (paid.count(), books.refunds.len())
    }

    pub(crate) fn receipt(&self, item: &CashItem, presentment: Digest) -> Receipt {
        let terms = ReceiptTerms {
            bank: name(),
            payment: item.payment.digest(),
            request: item.payment.request,
            amount: item.request.request.amount,
            route: item.request.request.route.clone(),
            presentment,
            paid_at: Timestamp::new(NOW),
        };
        terms.sign(&self.signer).unwrap()
    }

    pub(crate) fn center_router(self: &Arc<Self>) -> axum::Router {
        Routes::new(Arc::clone(self))
            .add(Route::new("/v1/crl").access(Access::Anonymous), |bank: Arc<Self>, _: Peer, ()| async move {
                Ok(bank.shown_lists())
            })
            .add(
                Route::new("/v1/directory").access(Access::Anonymous),
                |bank: Arc<Self>, _: Peer, ()| async move { Ok(bank.directory()) },
            )
            .add(
                Route::new("/v1/keysets").access(Access::Anonymous),
                |bank: Arc<Self>, _: Peer, request: PinsRequest| async move {
                    let entries = if request.from == U64(0) { vec![bank.entry()] } else { Vec::new() };
                    Ok(PinsResponse { entries: Bounded::new(entries).unwrap() })
                },
            )
            .add(
                Route::new("/v1/offline/pins").access(Access::Anonymous),
                |bank: Arc<Self>, _: Peer, request: OfflinePinsRequest| async move { Ok(bank.pins(request)) },
            )
            .add(
                Route::new("/v1/offline/exposed").access(Access::Anonymous),
                |bank: Arc<Self>, _: Peer, request: ExposedRequest| async move { Ok(bank.exposed(&request)) },
            )
            .into_router()
    }

    pub(crate) fn router(self: &Arc<Self>) -> axum::Router {
        Routes::new(Arc::clone(self))
            .add(Route::new("/v1/about"), |bank: Arc<Self>, _: Peer, ()| async move { Ok(bank.about()) })
            .add(
                Route::new("/v1/enrol").access(Access::Anonymous),
                |bank: Arc<Self>, _: Peer, request: EnrolRequest| async move { bank.enrol(&request) },
            )
            .add(
                Route::new("/v1/deposit").access(Access::Account),
                |bank: Arc<Self>, peer: Peer, item: CashItem| async move { bank.deposit(&peer, &item) },
            )
            .add(
                Route::new("/v1/account/cheque/deposit")
                    .access(Access::Account)
                    .limit(feiqian_wire::Limit::Large),
                |bank: Arc<Self>, _: Peer, asked| async move { bank.collect(&asked) },
            )
            .add(
                Route::new("/v1/refund").access(Access::Account),
                |bank: Arc<Self>, _: Peer, item: RefundItem| async move { bank.refund(&item) },
            )
            .add(
                Route::new("/v1/account/offline/deposit").access(Access::Account).limit(Limit::Large),
                |bank: Arc<Self>, _: Peer, request: DepositRequest| async move {
                    bank.deposit_offline(&request.item)
                },
            )
            .into_router()
    }

    fn about(&self) -> About {
        About {
            role: Text::new("bank").unwrap(),
            name: Text::new("north").unwrap(),
            version: Text::new("1").unwrap(),
            center: Text::new(format!("{CENTER_URL}#sha256={}", self.root.fingerprint())).unwrap(),
            root: self.root.fingerprint(),
            root_certificate: Blob::new(self.root.as_der()).unwrap(),
            currency: Some(Currency::CNY),
            keysets: Bounded::default(),
            now: Timestamp::new(NOW),
        }
    }

    fn enrol(&self, request: &EnrolRequest) -> Result<EnrolResponse, Fault> {
        if request.code.as_str() != format!("{TOKEN}-secret") {
            return Err(Fault::new(Code::CodeInvalid, "no such code"));
        }
        let subject = Subject::merchant(TOKEN, "north").unwrap();
        let leaf = |der: &[u8], purpose| {
            let csr = CertificateRequest::verify(der).unwrap();
            let chain =
                self.authority.issue_leaf(&csr, &subject, purpose, &[], DAY * 90, NOW, &mut rng(8)).unwrap();
            WireChain::from_chain(&chain).unwrap()
        };
        let transport = leaf(&request.transport, Purpose::Node);
        let signing = leaf(&request.signing, Purpose::Signing);
        Ok(EnrolResponse { bank: name(), account: Text::new(TOKEN).unwrap(), transport, signing })
    }

    fn deposit(&self, peer: &Peer, item: &CashItem) -> Result<DepositResponse, Fault> {
        assert_eq!(peer.certified()?.subject.role(), Role::Merchant);
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        if let Some(lie) = self.lie.lock().unwrap().clone() {
            return Ok(DepositResponse::Final(lie));
        }
        let digest = item.payment.digest();
        let presentment = presentment_id("north", TOKEN, ItemKind::Payment, &digest);
        let mut books = self.books.lock().unwrap();
        if !books.deposits.contains_key(&digest) {
            let outcome = self.redeem(&mut books, item, presentment)?;
            books.deposits.insert(digest, outcome);
        }
        if *self.slow.lock().unwrap() {
            return Ok(DepositResponse::Pending { presentment, expires: item.request.request.expires });
        }
        Ok(DepositResponse::Final(books.deposits[&digest].clone()))
    }

    fn redeem(&self, books: &mut Books, item: &CashItem, presentment: Digest) -> Result<Outcome, Fault> {
        let now = Timestamp::new(NOW);
        let view = MemberView::restore(self.root.clone(), &self.directory(), vec![self.entry()], now)?;
        let checker = Checker { pins: &view.pins, authorities: &view, now };
        let payment = checker.verify(item, &mut rng(3))?;
        let statement = Statement::of_payment(&payment)?;
        for coin in &payment.coins {
            let (spent, statements) = books.spent.get(&coin.share.coin).cloned().unwrap_or_default();
            if spent + coin.share.contribution.value() > coin.value.value() {
                let shown =
                    item.payment.coins.iter().find(|shown| shown.share.coin == coin.share.coin).unwrap();
                return Ok(Outcome::DoubleSpent(Evidence {
                    coin: coin.share.coin,
                    signature: shown.signature,
                    statements: Bounded::new(statements.into_iter().chain([statement]).collect()).unwrap(),
                    keyset: self.keyset(),
                    pinned_at: now,
                    signer: WireChain::from_chain(&self.signer_chain)?,
                }));
            }
        }
        for coin in &payment.coins {
            let entry = books.spent.entry(coin.share.coin).or_default();
            entry.0 += coin.share.contribution.value();
            entry.1.push(statement.clone());
        }
        Ok(Outcome::Paid(self.receipt(item, presentment)))
    }

    fn refund(&self, item: &RefundItem) -> Result<RefundOutcome, Fault> {
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        item.receipt.verify(&self.signer.public_key())?;
        self.books.lock().unwrap().refunds.insert(item.order.digest());
        Ok(RefundOutcome::Booked)
    }
}
