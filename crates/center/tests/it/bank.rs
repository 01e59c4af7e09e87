//! A small honest bank: it issues coins, keeps a spent register in memory, and pays what the center presents.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use feiqian_center::Center;
use feiqian_cheque::messages::{ChequeItem, ChequeOutcome, StateRequest, StateResponse};
use feiqian_cheque::{ReturnCode, State};
use feiqian_clearing::finality::SettledRequest;
use feiqian_clearing::membership::{AdmitRequest, AdmitResponse, RegisterRequest, RegisterResponse};
use feiqian_clearing::presentment::{Batch, ItemKind, Presented, Presentment};
use feiqian_clearing::remittance::{TransferItem, TransferOutcome};
use feiqian_crypto::snowblind::{self, Blinding, SecretKey};
use feiqian_crypto::{Digest, Scalar, scalar};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_node::{Access, Caller, MemberView, Peer, Route, Routes, Target, answer_batch, call};
use feiqian_online_cash::coin::{Coin, CoinId, message, public_key};
use feiqian_online_cash::deposit::{
    CashItem, ExpiredStatement, Outcome, OutcomeRequest, OutcomeResponse, Receipt, ReceiptTerms,
};
use feiqian_online_cash::evidence::{Evidence, Statement};
use feiqian_online_cash::keyset::{DenominationKey, Keyset, PinEntry, PinRequest};
use feiqian_online_cash::payment::{Checker, Payment};
use feiqian_online_cash::refund::{RefundItem, RefundOrder, RefundOutcome};
use feiqian_online_cash::request::{Delivery, Payee, PaymentRequest, Route as PayRoute, SignedRequest};
use feiqian_online_cash::signed::WireChain;
use feiqian_pki::{
    Authority, CertificateRequest, Chain, KeyPair, MAX_REVOCATION_LIST_BYTES, Purpose, Revocation, Revoked,
    Role, Subject, fingerprint, validate,
};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Limit, Name, Text, Timestamp};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::offline_world::Desk;
use crate::wires::NodeWires;
use crate::world::{NOW, World};

pub(crate) const DAY: u64 = 86_400;

#[derive(Default)]
pub(crate) struct Books {
    spent: BTreeMap<CoinId, (u64, Vec<Statement>)>,
    paid: BTreeMap<Digest, Receipt>,
    refunds: BTreeMap<Digest, Digest>,
    /// How often value really left circulation.
    payments: usize,
    /// Answers to presented cheques, by presentment.
    pub(crate) cheques: BTreeMap<Digest, ChequeOutcome>,
    /// Which presentment a cheque was paid to.
    pub(crate) drawn: BTreeMap<Digest, Digest>,
    /// Transfers that were credited here.
    pub(crate) credited: BTreeSet<Digest>,
    /// What the center says is final, by presentment: cycle, and settled or unwound.
    pub(crate) told: BTreeMap<Digest, (u64, bool)>,
}

pub(crate) struct TestBank {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) authority: Authority,
    pub(crate) signer: KeyPair,
    pub(crate) signer_chain: Chain,
    pub(crate) wires: NodeWires,
    secrets: BTreeMap<u64, SecretKey>,
    next_secrets: BTreeMap<u64, SecretKey>,
    center: Mutex<Weak<Center>>,
    center_url: String,
    pub(crate) books: Mutex<Books>,
    /// With what every cheque is returned.
    pub(crate) bounce: Mutex<Option<ReturnCode>>,
    /// It does not take the center's word of what is final.
    pub(crate) deaf: AtomicBool,
    /// Certificates this bank has revoked, and when its next list begins to hold.
    pub(crate) revoked: Mutex<(Vec<Revoked>, u64)>,
    /// Answered to everything instead of an outcome.
    pub(crate) fault: Mutex<Option<Fault>>,
    /// Answered as the outcome of every payment.
    pub(crate) lie: Mutex<Option<Outcome>>,
    /// Answers to items of offline cash.
    pub(crate) desk: Desk,
}

pub(crate) struct Account {
    pub(crate) bank: Arc<TestBank>,
    pub(crate) token: String,
    pub(crate) key: KeyPair,
    pub(crate) chain: Chain,
}

pub(crate) fn rng(seed: u64) -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(seed)
}

pub(crate) fn amount(minor: u64) -> Amount {
    Amount::new(Minor::new(minor).unwrap(), Currency::CNY)
}

fn leaf(authority: &Authority, key: &KeyPair, subject: &Subject, purpose: Purpose) -> Chain {
    let csr = CertificateRequest::verify(&CertificateRequest::create(key, subject).unwrap()).unwrap();
    authority.issue_leaf(&csr, subject, purpose, &[], 365 * DAY, NOW, &mut rng(9)).unwrap()
}

fn seed_of(name: &str) -> u64 {
    name.bytes().fold(7, |seed, byte| seed * 31 + u64::from(byte))
}

pub(crate) fn admit_request(name: &str, key: &KeyPair, code: Option<&str>) -> AdmitRequest {
    AdmitRequest {
        name: Name::new(name).unwrap(),
        currency: Currency::CNY,
        code: code.map(|code| Text::new(code).unwrap()),
        authority: Blob::new(CertificateRequest::create(key, &Subject::bank(name).unwrap()).unwrap())
            .unwrap(),
    }
}

impl TestBank {
    pub(crate) async fn join(world: &World, name: &str, code: Option<&str>) -> Result<Arc<Self>, Fault> {
        let mut rng = rng(seed_of(name));
        let key = KeyPair::generate(&mut rng);
        let center = Target::anyone(world.center.config().url.clone());
        let anonymous = NodeWires { wires: Arc::clone(&world.wires), own: None };
        let request = admit_request(name, &key, code);
        let admitted: AdmitResponse =
            call(&anonymous, &center, Caller::Anonymous, "/v1/admit", &request).await?;
        let authority =
            Authority::from_parts(key, WireChain(admitted.authority).to_chain().unwrap()).unwrap();
        let subject = Subject::bank(name).unwrap();
        let (signer, transport) = (KeyPair::generate(&mut rng), KeyPair::generate(&mut rng));
        let signer_chain = leaf(&authority, &signer, &subject, Purpose::Signing);
        let transport = leaf(&authority, &transport, &subject, Purpose::Node);
        let root = authority.trusted_root().unwrap();
        let own = validate(&transport, &root, Purpose::Client, Revocation::Unchecked, NOW).unwrap();
        let wires = NodeWires { wires: Arc::clone(&world.wires), own: Some(Arc::new(own)) };
        let mut secrets =
            || (0..=12).map(|exponent| (1 << exponent, SecretKey::generate(&mut rng))).collect();
        let (secrets, next_secrets) = (secrets(), secrets());
        let bank = Arc::new(Self {
            name: name.to_owned(),
            url: format!("https://{name}.example:443"),
            authority,
            signer,
            signer_chain,
            wires,
            secrets,
            next_secrets,
            center: Mutex::new(Arc::downgrade(&world.center)),
            center_url: world.center.config().url.clone(),
            books: Mutex::default(),
            bounce: Mutex::default(),
            deaf: AtomicBool::new(false),
            revoked: Mutex::new((Vec::new(), NOW)),
            fault: Mutex::default(),
            lie: Mutex::default(),
            desk: Desk::default(),
        });
        world.wires.plug(&bank.url, Arc::clone(&bank).router());
        bank.register().await?;
        bank.pin(bank.keyset(0, 0)).await?;
        Ok(bank)
    }

    /// The center was started anew: look up keys there.
    pub(crate) fn follow(&self, world: &World) {
        *self.center.lock().unwrap() = Arc::downgrade(&world.center);
    }

    pub(crate) fn view(&self) -> Arc<MemberView> {
        self.center.lock().unwrap().upgrade().unwrap().view()
    }

    fn center(&self) -> Target {
        Target::named(self.center_url.clone(), Role::Center, "center")
    }

    pub(crate) async fn ask<Req, Res>(&self, path: &str, request: &Req) -> Result<Res, Fault>
    where
        Req: serde::Serialize + Sync + 'static,
        Res: serde::de::DeserializeOwned,
    {
        Ok(call(&self.wires, &self.center(), Caller::Certified, path, request).await?)
    }

    pub(crate) async fn register(&self) -> Result<RegisterResponse, Fault> {
        let signer = WireChain::from_chain(&self.signer_chain).unwrap().0;
        let request = RegisterRequest { url: Text::new(self.url.clone()).unwrap(), signer };
        self.ask("/v1/register", &request).await
    }

    /// The keyset of an epoch; `shift` moves its end, which makes it another one.
    pub(crate) fn keyset(&self, epoch: u64, shift: u64) -> Keyset {
        let at = |day: u64| Timestamp::new(NOW + (day + 30 * epoch) * DAY);
        let secrets = if epoch == 0 { &self.secrets } else { &self.next_secrets };
        let keys = secrets.iter().map(|(value, secret)| DenominationKey {
            bank: Name::new(self.name.clone()).unwrap(),
            currency: Currency::CNY,
            value: Minor::new(*value).unwrap(),
            issue_from: at(0),
            issue_until: at(30),
            redeem_until: at(120 + shift),
            key: *secret.public().encoded(),
        });
        let bank = Name::new(self.name.clone()).unwrap();
        Keyset::sign(&self.signer, bank, epoch, Currency::CNY, at(500), keys.collect()).unwrap()
    }

    pub(crate) async fn pin(&self, keyset: Keyset) -> Result<PinEntry, Fault> {
        let signer = WireChain::from_chain(&self.signer_chain).unwrap();
        self.ask("/v1/keysets/pin", &PinRequest { keyset, signer }).await
    }

    pub(crate) fn account(self: &Arc<Self>, token: &str) -> Account {
        let key = KeyPair::generate(&mut rng(seed_of(token)));
        let subject = Subject::merchant(token, &self.name).unwrap();
        let chain = leaf(&self.authority, &key, &subject, Purpose::Signing);
        Account { bank: Arc::clone(self), token: token.to_owned(), key, chain }
    }

    /// Coins of powers of two that sum to `minor`, blind-signed as in a withdrawal.
    pub(crate) fn coins(&self, minor: u64, seed: u64) -> Vec<Coin> {
        let mut rng = rng(seed);
        let keyset = self.keyset(0, 0).verify(&self.signer.public_key()).unwrap();
        let wanted = keyset.keys.iter().filter(|key| key.key.value.value() & minor != 0);
        wanted
            .map(|key| {
                let issuer = &self.secrets[&key.key.value.value()];
                let secret: Scalar = scalar::random(&mut rng);
                let (nonces, commitment) = snowblind::commit(&mut rng);
                let message = message(&public_key(&secret));
                let blinding = Blinding::random(&mut rng);
                let (pending, challenge) =
                    snowblind::blind(issuer.public(), &message, &commitment, blinding).unwrap();
                let signature = pending.unblind(&nonces.respond(issuer, &challenge)).unwrap();
                Coin::new(key, secret, signature).unwrap()
            })
            .collect()
    }

    pub(crate) fn payments(&self) -> usize {
        self.books.lock().unwrap().payments
    }

    pub(crate) fn refunds(&self) -> usize {
        self.books.lock().unwrap().refunds.len()
    }

    pub(crate) fn receipt(&self, item: &CashItem, presentment: Digest) -> Receipt {
        let terms = ReceiptTerms {
            bank: Name::new(self.name.clone()).unwrap(),
            payment: item.payment.digest(),
            request: item.payment.request,
            amount: item.request.request.amount,
            route: item.request.request.route.clone(),
            presentment,
            paid_at: Timestamp::new(NOW),
        };
        terms.sign(&self.signer).unwrap()
    }

    fn router(self: Arc<Self>) -> axum::Router {
        const CENTER: Access = Access::Peer(&[Role::Center]);
        Routes::new(self)
            .add(
                Route::new("/v1/pay/payment").access(CENTER),
                |bank: Arc<Self>, _: Peer, presentment: Presentment<CashItem>| async move {
                    bank.pay(&presentment)
                },
            )
            .add(
                Route::new("/v1/pay/payments").access(CENTER).limit(Limit::Large),
                |bank: Arc<Self>, _: Peer, batch: Batch<CashItem>| async move {
                    let pay = |presentment| {
                        let bank = Arc::clone(&bank);
                        async move { bank.pay(&presentment) }
                    };
                    answer_batch(batch, pay).await
                },
            )
            .add(
                Route::new("/v1/pay/refund").access(CENTER),
                |bank: Arc<Self>, _: Peer, presentment: Presentment<RefundItem>| async move {
                    bank.pay_refund(&presentment)
                },
            )
            .add(
                Route::new("/v1/pay/cheque").access(CENTER).limit(Limit::Large),
                |bank: Arc<Self>, _: Peer, presentment: Presentment<ChequeItem>| async move {
                    bank.pay_cheque(&presentment)
                },
            )
            .add(
                Route::new("/v1/pay/transfer").access(CENTER),
                |bank: Arc<Self>, _: Peer, presentment: Presentment<TransferItem>| async move {
                    bank.books.lock().unwrap().credited.insert(presentment.id);
                    Ok(Presented { id: presentment.id, outcome: TransferOutcome::Booked })
                },
            )
            .add(
                Route::new("/v1/pay/holding").access(CENTER).limit(Limit::Large),
                |bank: Arc<Self>, _: Peer, presentment| async move { bank.desk.holding(&presentment) },
            )
            .add(
                Route::new("/v1/pay/claim").access(CENTER).limit(Limit::Large),
                |bank: Arc<Self>, _: Peer, presentment| async move { bank.desk.claim(&presentment) },
            )
            .add(
                Route::new("/v1/pay/part").access(CENTER),
                |bank: Arc<Self>, _: Peer, presentment| async move { Ok(bank.desk.part(&presentment)) },
            )
            .add(
                Route::new("/v1/pay/claim/overdue").access(CENTER),
                |bank: Arc<Self>, _: Peer, overdue| async move {
                    if bank.deaf.load(Ordering::Relaxed) {
                        return Err(Fault::new(Code::Unavailable, "not now"));
                    }
                    bank.desk.overdue.lock().unwrap().push(overdue);
                    Ok(())
                },
            )
            .add(
                Route::new("/v1/offline/exposed").access(Access::Anonymous),
                |bank: Arc<Self>, _: Peer, ()| async move { bank.desk.exposed() },
            )
            .add(
                Route::new("/v1/settled").access(CENTER).limit(Limit::Large),
                |bank: Arc<Self>, _: Peer, request: SettledRequest| async move {
                    if bank.deaf.load(Ordering::Relaxed) {
                        return Err(Fault::new(Code::Unavailable, "not now"));
                    }
                    bank.hear(&request);
                    Ok(())
                },
            )
            .add(
                Route::new("/v1/cheque/state"),
                |bank: Arc<Self>, _: Peer, request: StateRequest| async move {
                    let books = bank.books.lock().unwrap();
                    let state = |id: &Digest| books.drawn.contains_key(id).then_some(State::Paid);
                    let states = request.ids.iter().map(state);
                    Ok(StateResponse { states: Bounded::collect(states).unwrap() })
                },
            )
            .add(Route::new("/v1/crl").access(Access::Anonymous), |bank: Arc<Self>, _: Peer, ()| async move {
                Ok(Blob::<MAX_REVOCATION_LIST_BYTES>::new(bank.list().as_der()).unwrap())
            })
            .add(
                Route::new("/v1/outcome").access(Access::Anonymous),
                |bank: Arc<Self>, _: Peer, request: OutcomeRequest| async move { bank.outcome(&request) },
            )
            .into_router()
    }

    fn pay(&self, presentment: &Presentment<CashItem>) -> Result<Presented<Outcome>, Fault> {
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        let answer = |outcome| Ok(Presented { id: presentment.id, outcome });
        if let Some(lie) = self.lie.lock().unwrap().clone() {
            return answer(lie);
        }
        let item = &presentment.item;
        let digest = item.payment.digest();
        let mut books = self.books.lock().unwrap();
        if let Some(receipt) = books.paid.get(&digest) {
            let same = receipt.presentment == presentment.id;
            let receipt = receipt.clone();
            return answer(if same { Outcome::Paid(receipt) } else { Outcome::AlreadyPaid(receipt) });
        }
        let view = self.center.lock().unwrap().upgrade().unwrap().view();
        let checker = Checker { pins: &view.pins, authorities: &*view, now: Timestamp::new(NOW) };
        let payment = match checker.verify(item, &mut rng(3)) {
            Ok(payment) => payment,
            Err(rejection) => return answer(Outcome::Refused(rejection.into())),
        };
        assert_eq!(payment.issuing_bank.as_str(), self.name);
        let statement = Statement::of_payment(&payment).unwrap();
        for coin in &payment.coins {
            let (spent, statements) = books.spent.get(&coin.share.coin).cloned().unwrap_or_default();
            if spent + coin.share.contribution.value() > coin.value.value() {
                let statements = statements.into_iter().chain([statement]).collect();
                let signature = item.payment.coins.iter().find(|shown| shown.share.coin == coin.share.coin);
                return answer(Outcome::DoubleSpent(Evidence {
                    coin: coin.share.coin,
                    signature: signature.unwrap().signature,
                    statements: Bounded::new(statements).unwrap(),
                    keyset: self.keyset(0, 0),
                    pinned_at: Timestamp::new(NOW),
                    signer: WireChain::from_chain(&self.signer_chain).unwrap(),
                }));
            }
        }
        for coin in &payment.coins {
            let entry = books.spent.entry(coin.share.coin).or_default();
            entry.0 += coin.share.contribution.value();
            entry.1.push(statement.clone());
        }
        books.payments += 1;
        let receipt = self.receipt(item, presentment.id);
        books.paid.insert(digest, receipt.clone());
        answer(Outcome::Paid(receipt))
    }

    fn pay_refund(&self, presentment: &Presentment<RefundItem>) -> Result<Presented<RefundOutcome>, Fault> {
        if let Some(fault) = self.fault.lock().unwrap().clone() {
            return Err(fault);
        }
        let order = &presentment.item.order;
        let mut books = self.books.lock().unwrap();
        let outcome = if books.paid.contains_key(&order.payment) {
            books.refunds.insert(order.refund, order.digest());
            RefundOutcome::Booked
        } else {
            RefundOutcome::Refused(Fault::new(Code::RefundUnknown, "no such payment"))
        };
        Ok(Presented { id: presentment.id, outcome })
    }

    fn outcome(&self, request: &OutcomeRequest) -> Result<OutcomeResponse, Fault> {
        let payment = request.payment();
        let bank = Name::new(self.name.clone()).unwrap();
        Ok(match self.books.lock().unwrap().paid.get(&payment) {
            Some(receipt) => OutcomeResponse::Paid {
                receipt: receipt.clone(),
                refunded: Minor::ZERO,
                claimed: Minor::ZERO,
            },
            None => OutcomeResponse::Expired(
                ExpiredStatement::sign(bank, payment, request.expires, &self.signer).unwrap(),
            ),
        })
    }
}

impl Account {
    pub(crate) fn request(&self, minor: u64, order: &str) -> SignedRequest {
        let authority = self.chain.certificates()[1].clone();
        let request = PaymentRequest {
            payee: Payee::Certified {
                leaf: Blob::new(self.chain.leaf()).unwrap(),
                issuer: fingerprint(&authority),
            },
            name: Text::new("Shop").unwrap(),
            amount: amount(minor),
            order: Text::new(order).unwrap(),
            route: PayRoute::Account {
                bank: Name::new(self.bank.name.clone()).unwrap(),
                account: Text::new(self.token.clone()).unwrap(),
            },
            delivery: Delivery::ByHand,
            refund_until: Timestamp::new(NOW + 30 * DAY),
            view: Digest::ZERO,
            expires: Timestamp::new(NOW + 900),
            nonce: Digest::ZERO,
        };
        SignedRequest::by_account_holder(request, &self.key).unwrap()
    }

    pub(crate) fn item(&self, coins: &[Coin], minor: u64, order: &str) -> CashItem {
        let request = self.request(minor, order);
        let given: Vec<_> =
            coins.iter().map(|coin| (coin, value_of(coin, &self.bank.name, minor, coins))).collect();
        let payment = Payment::sign(&request.request.digest(), &given, &mut rng(5)).unwrap();
        CashItem { request, payment }
    }

    pub(crate) fn present(&self, item: CashItem) -> Presentment<CashItem> {
        Presentment::new(
            Name::new(self.bank.name.clone()).unwrap(),
            Text::new(self.token.clone()).unwrap(),
            item.request.request.amount,
            ItemKind::Payment,
            &item.payment.digest(),
            item,
        )
    }

    pub(crate) fn refund(&self, receipt: Receipt, minor: u64, id: u8) -> Presentment<RefundItem> {
        let order = RefundOrder::sign(
            Digest([id; 32]),
            receipt.bank.clone(),
            receipt.payment,
            amount(minor),
            &self.key,
        )
        .unwrap();
        let payee = WireChain::from_chain(&self.chain).unwrap();
        let digest = order.digest();
        let item = RefundItem { order, receipt, payee };
        let bank = Name::new(self.bank.name.clone()).unwrap();
        let account = Text::new(self.token.clone()).unwrap();
        Presentment::new(bank, account, amount(minor), ItemKind::Refund, &digest, item)
    }
}

/// What the n-th coin gives: the bits of `minor` in ascending order, as [`TestBank::coins`] makes them.
fn value_of(coin: &Coin, _bank: &str, minor: u64, coins: &[Coin]) -> Minor {
    let place = coins.iter().position(|other| other.id == coin.id).unwrap();
    let bits = (0..63).map(|bit| 1_u64 << bit).filter(|bit| minor & bit != 0);
    Minor::new(bits.into_iter().nth(place).unwrap()).unwrap()
}
