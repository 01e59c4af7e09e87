//! Requests, payments, deposits, refunds, crashes.

use std::sync::Arc;

use feiqian_crypto::Digest;
use feiqian_merchant::{Config, Keys, Merchant, OfflineConfig, Parts, TABLES, audit, enrol};
use feiqian_money::Minor;
use feiqian_node::{Caller, Home, ManualClock, Seams, Service, StreamEntropy, Target, call};
use feiqian_online_cash::deposit::{Outcome, PayResponse};
use feiqian_online_cash::evidence::Evidence;
use feiqian_online_cash::payment::Payment;
use feiqian_online_cash::request::SignedRequest;
use feiqian_pki::{KeyPair, Purpose, Revocation, validate};
use feiqian_store::SqliteStore;
use feiqian_store::testing::{Lives, killed_everywhere};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Text, Timestamp};
use serde_json::{Value, json};

use crate::bank::{BANK_URL, CENTER_URL, NOW, TOKEN, TestBank, rng};
use crate::wires::{MortalNetwork, NodeWires, Trouble, Wires};

const SHOP_URL: &str = "https://shop.example:443";

pub(crate) struct Shop {
    pub(crate) bank: Arc<TestBank>,
    pub(crate) wires: Arc<Wires>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) disk: Arc<SqliteStore>,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) merchant: Arc<Merchant>,
}

async fn start(
    bank: &TestBank,
    wires: &Arc<Wires>,
    clock: &Arc<ManualClock>,
    store: Arc<dyn feiqian_ledger::store::Store>,
    home: Home,
) -> Result<Arc<Merchant>, Fault> {
    let (transport, signer) = (KeyPair::from_seed(&[1; 32]), KeyPair::from_seed(&[2; 32]));
    let anonymous = NodeWires { wires: Arc::clone(wires), own: None };
    let code = Text::new(format!("{TOKEN}-secret")).unwrap();
    let (target, now) = (Target::anyone(BANK_URL), Timestamp::new(NOW));
    let given =
        enrol(&anonymous, &target, &bank.root, &code, (&transport, &signer), "shop.example", now).await?;
    let own = validate(&given.transport, &bank.root, Purpose::Client, Revocation::Unchecked, NOW).unwrap();
    let config = Config {
        name: Text::new("Shop").unwrap(),
        bank: given.bank,
        bank_url: BANK_URL.into(),
        account: given.account,
        currency: given.currency,
        center: given.center,
        listen: "127.0.0.1:1".into(),
        url: SHOP_URL.into(),
        expires_seconds: 900,
        refund_seconds: 86_400,
        sync_seconds: 60,
        keep_seconds: 86_400,
        offline: OfflineConfig::default(),
        shares: feiqian_node::Shares::of_a_till(),
    };
    let keys = Keys::new((transport, given.transport), (signer, given.signer), bank.root.clone());
    let seams = Seams {
        store,
        network: Arc::new(MortalNetwork::new(
            "merchant",
            NodeWires { wires: Arc::clone(wires), own: Some(Arc::new(own)) },
        )),
        clock: Arc::clone(clock) as _,
        entropy: Arc::new(StreamEntropy::new(4, "shop")),
        workers: Arc::new(feiqian_node::InlineWorkers),
    };
    let merchant = Merchant::new(Parts { config, keys, first_view: None, home: Some(home) }, seams).await?;
    wires.plug(SHOP_URL, Arc::clone(&merchant).router());
    Ok(merchant)
}

impl Shop {
    pub(crate) async fn new() -> Self {
        let (bank, wires) = (TestBank::new(), Arc::new(Wires::default()));
        wires.plug(BANK_URL, bank.router());
        wires.plug(CENTER_URL, bank.center_router());
        let clock = Arc::new(ManualClock::new(Timestamp::new(NOW)));
        let disk = Arc::new(SqliteStore::open_in_memory(TABLES).unwrap());
        let folder = tempfile::tempdir().unwrap();
        let home = Home::create(folder.path().join("shop"), "merchant").unwrap();
        let merchant = start(&bank, &wires, &clock, Arc::clone(&disk) as _, home).await.unwrap();
        Self { bank, wires, clock, disk, folder, merchant }
    }

    fn home(&self) -> Home {
        Home::open(self.folder.path().join("shop"), "merchant").unwrap()
    }

    pub(crate) async fn restart_on(
        &mut self,
        store: Arc<dyn feiqian_ledger::store::Store>,
    ) -> Result<(), Fault> {
        self.merchant = start(&self.bank, &self.wires, &self.clock, store, self.home()).await?;
        Ok(())
    }

    pub(crate) async fn command(&self, command: Value) -> Result<Value, Fault> {
        Arc::clone(&self.merchant).command(command).await
    }

    pub(crate) async fn request(&self, amount: &str, order: &str) -> SignedRequest {
        let answer =
            self.command(json!({"command": "request", "amount": amount, "order": order})).await.unwrap();
        SignedRequest::from_uri(answer["uri"].as_str().unwrap()).unwrap()
    }

    /// A wallet's payment of a request with fresh coins.
    pub(crate) fn payment(&self, request: &SignedRequest, seed: u64) -> Payment {
        let minor = request.request.amount.minor.value();
        let bits: Vec<u64> = (0..20).map(|bit| 1 << bit).filter(|bit| minor & bit != 0).collect();
        let coins = self.bank.coins(minor, seed);
        let given: Vec<_> =
            coins.iter().zip(&bits).map(|(coin, bit)| (coin, Minor::new(*bit).unwrap())).collect();
        Payment::sign(&request.request.digest(), &given, &mut rng(seed)).unwrap()
    }

    pub(crate) async fn pay(&self, payment: &Payment) -> Result<PayResponse, Fault> {
        let wallet = NodeWires { wires: Arc::clone(&self.wires), own: None };
        Ok(call(&wallet, &Target::anyone(SHOP_URL), Caller::Anonymous, "/v1/pay", payment).await?)
    }

    async fn order(&self, order: &str) -> Value {
        let orders = self.command(json!({"command": "orders"})).await.unwrap();
        let orders = orders["orders"].as_array().unwrap().clone();
        orders.into_iter().find(|line| line["order"] == order).unwrap()
    }

    pub(crate) async fn audited(&self) -> audit::Report {
        let report = audit::audit(&*self.disk).await.unwrap();
        assert_eq!(report.findings, []);
        report
    }
}

#[tokio::test]
async fn a_request_is_paid_once_and_answered_as_often_as_asked() {
    let shop = Shop::new().await;
    let request = shop.request("12.50", "A-1").await;
    assert_eq!(shop.request("12.50", "A-1").await, request, "the same order again is the same request");
    let other = shop.command(json!({"command": "request", "amount": "12.51", "order": "A-1"})).await;
    assert_eq!(other.unwrap_err().code, Code::Conflict);
    let payment = shop.payment(&request, 1);
    let first = shop.pay(&payment).await.unwrap();
    let PayResponse::Paid(receipt) = &first else { panic!("{first:?}") };
    let signer = KeyPair::from_seed(&[2; 32]).public_key();
    receipt.signature.verify(&signer, &receipt.receipt.digest(), "receipt").unwrap();
    assert_eq!(shop.pay(&payment).await.unwrap(), first);
    let second = shop.payment(&request, 2);
    assert_eq!(shop.pay(&second).await.unwrap_err().code, Code::RequestAlreadyPaid);
    assert_eq!(shop.bank.booked(), (1, 0));
    let line = json!({"order": "A-1", "amount": "12.50", "currency": "CNY", "state": "paid",
        "payment": payment.digest().to_string(), "refunded": "0.00"});
    assert_eq!(shop.order("A-1").await, line);
    let report = shop.audited().await;
    assert_eq!((report.paid, report.received, report.pending.len()), (1, 1250, 0));
}

#[tokio::test]
async fn what_does_not_verify_claims_nothing() {
    let shop = Shop::new().await;
    let request = shop.request("12.50", "A-1").await;
    let mut foreign = shop.payment(&request, 1);
    foreign.request = Digest([3; 32]);
    assert_eq!(shop.pay(&foreign).await.unwrap_err().code, Code::RequestMismatch);
    let mut forged = shop.payment(&request, 1);
    forged.possession = shop.payment(&request, 2).possession;
    assert_eq!(shop.pay(&forged).await.unwrap_err().code, Code::PossessionInvalid);
    assert!(matches!(shop.pay(&shop.payment(&request, 1)).await.unwrap(), PayResponse::Paid(_)));
    let late = shop.request("1.00", "A-2").await;
    shop.clock.set(Timestamp::new(NOW + 900));
    assert_eq!(shop.pay(&shop.payment(&late, 5)).await.unwrap_err().code, Code::Expired);
    assert_eq!(shop.order("A-2").await["state"], "expired");
    shop.audited().await;
}

#[tokio::test]
async fn a_deposit_without_answer_stays_pending_until_the_bank_answers() {
    let shop = Shop::new().await;
    let request = shop.request("12.50", "A-1").await;
    let payment = shop.payment(&request, 1);
    shop.wires.trouble("/v1/deposit", &[Trouble::AnswerLost, Trouble::Unreachable]);
    assert_eq!(shop.pay(&payment).await.unwrap(), PayResponse::Pending);
    assert_eq!(shop.audited().await.pending[0].payment, payment.digest());
    let other = shop.payment(&request, 2);
    assert_eq!(shop.pay(&other).await.unwrap_err().code, Code::RequestAlreadyPaid, "claimed while pending");
    assert!(!shop.merchant.resume().await.unwrap());
    *shop.bank.slow.lock().unwrap() = true;
    assert!(!shop.merchant.resume().await.unwrap());
    for code in [Code::Busy, Code::Internal, Code::Forbidden, Code::AccountClosed, Code::AccountUnknown] {
        *shop.bank.fault.lock().unwrap() = Some(Fault::new(code, "test"));
        assert!(!shop.merchant.resume().await.unwrap());
    }
    *shop.bank.fault.lock().unwrap() = None;
    *shop.bank.slow.lock().unwrap() = false;
    assert!(shop.merchant.resume().await.unwrap());
    assert!(matches!(shop.pay(&payment).await.unwrap(), PayResponse::Paid(_)));
    assert_eq!(shop.bank.booked(), (1, 0));
    shop.audited().await;
}

#[tokio::test]
async fn background_finishes_what_is_pending() {
    tokio::time::pause();
    let shop = Shop::new().await;
    let request = shop.request("12.50", "A-1").await;
    shop.wires.trouble("/v1/deposit", &[Trouble::Unreachable; 4]);
    shop.pay(&shop.payment(&request, 1)).await.unwrap();
    let shutdown = feiqian_node::Shutdown::new();
    let service: Arc<dyn Service> = Arc::clone(&shop.merchant) as _;
    let task = tokio::spawn(service.background(shutdown.clone()));
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert_eq!(shop.order("A-1").await["state"], "paid");
    shutdown.trigger();
    task.await.unwrap();
}

#[tokio::test]
async fn a_double_spend_leaves_evidence_and_frees_the_request() {
    let shop = Shop::new().await;
    let first = shop.request("12.50", "A-1").await;
    let second = shop.request("12.50", "A-2").await;
    shop.pay(&shop.payment(&first, 1)).await.unwrap();
    let double = shop.payment(&second, 1);
    let answer = shop.pay(&double).await.unwrap();
    assert!(matches!(answer, PayResponse::Refused(Outcome::DoubleSpent(_))));
    assert_eq!(shop.pay(&double).await.unwrap(), answer);
    assert_eq!(shop.order("A-2").await["state"], "double-spent");
    let file = shop.home().path(&format!("evidence-{}.json", double.digest()));
    let evidence: Evidence = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    evidence.verify(&shop.bank.root).unwrap();
    assert!(matches!(shop.pay(&shop.payment(&second, 7)).await.unwrap(), PayResponse::Paid(_)));
    assert_eq!(shop.audited().await.paid, 2);
}

#[tokio::test]
async fn evidence_about_other_payments_is_no_outcome() {
    let shop = Shop::new().await;
    let [first, second, third] = [
        shop.request("12.50", "A-1").await,
        shop.request("12.50", "A-2").await,
        shop.request("12.50", "A-3").await,
    ];
    shop.pay(&shop.payment(&first, 1)).await.unwrap();
    let answer = shop.pay(&shop.payment(&second, 1)).await.unwrap();
    let PayResponse::Refused(evidence) = answer else { panic!("{answer:?}") };
    *shop.bank.lie.lock().unwrap() = Some(evidence);
    let double = shop.payment(&third, 1);
    assert_eq!(shop.pay(&double).await.unwrap(), PayResponse::Pending);
    *shop.bank.lie.lock().unwrap() = None;
    assert!(matches!(shop.pay(&double).await.unwrap(), PayResponse::Refused(Outcome::DoubleSpent(_))));
    shop.audited().await;
}

#[tokio::test]
async fn deposits_that_stay_pending_starve_no_newer_one() {
    let shop = Shop::new().await;
    shop.wires.trouble("/v1/deposit", &[Trouble::Busy; 65]);
    for number in 0..65 {
        if number == 64 {
            shop.clock.set(Timestamp::new(NOW + 1));
        }
        let request = shop.request("0.01", &format!("A-{number}")).await;
        assert_eq!(shop.pay(&shop.payment(&request, number)).await.unwrap(), PayResponse::Pending);
    }
    // The round takes the 64 oldest, none of which gets on.
    shop.clock.set(Timestamp::new(NOW + 2));
    shop.wires.trouble("/v1/deposit", &[Trouble::Busy; 64]);
    assert!(!shop.merchant.resume().await.unwrap());
    shop.clock.set(Timestamp::new(NOW + 3));
    shop.wires.trouble("/v1/deposit", &[]);
    shop.merchant.resume().await.unwrap();
    assert_eq!(shop.audited().await.pending.len(), 1);
    assert_eq!(shop.order("A-64").await["state"], "paid");
}

#[tokio::test]
async fn a_receipt_that_is_not_for_this_account_is_not_paid() {
    let shop = Shop::new().await;
    let request = shop.request("12.50", "A-1").await;
    let payment = shop.payment(&request, 1);
    let item = feiqian_online_cash::deposit::CashItem { request, payment: payment.clone() };
    let elsewhere = shop.bank.receipt(&item, Digest([9; 32]));
    *shop.bank.lie.lock().unwrap() = Some(Outcome::Paid(elsewhere.clone()));
    assert_eq!(shop.pay(&payment).await.unwrap(), PayResponse::Pending);
    let mut forged = elsewhere.clone();
    forged.presentment = Digest([8; 32]);
    *shop.bank.lie.lock().unwrap() = Some(Outcome::AlreadyPaid(forged));
    assert_eq!(shop.pay(&payment).await.unwrap(), PayResponse::Pending);
    *shop.bank.lie.lock().unwrap() = Some(Outcome::AlreadyPaid(elsewhere.clone()));
    assert_eq!(shop.pay(&payment).await.unwrap(), PayResponse::Refused(Outcome::AlreadyPaid(elsewhere)));
    assert_eq!(shop.order("A-1").await["state"], "refused");
    shop.audited().await;
}

#[tokio::test]
async fn refunds_add_up_to_at_most_what_was_paid() {
    let shop = Shop::new().await;
    let refund = |amount: &str, id: Option<String>| {
        shop.command(json!({"command": "refund", "order": "A-1", "amount": amount, "refund": id}))
    };
    let request = shop.request("12.50", "A-1").await;
    assert_eq!(refund("1.00", None).await.unwrap_err().code, Code::NotFound, "not paid yet");
    shop.pay(&shop.payment(&request, 1)).await.unwrap();
    let id = "ab".repeat(32);
    shop.wires.trouble("/v1/refund", &[Trouble::AnswerLost]);
    let answer = refund("2.50", Some(id.clone())).await.unwrap();
    let line = |state: &str| json!({"refund": id, "order": "A-1", "amount": "2.50", "currency": "CNY", "state": state});
    assert_eq!(answer, line("pending"));
    assert_eq!(refund("2.50", Some(id.clone())).await.unwrap(), line("booked"));
    assert_eq!(refund("2.51", Some(id.clone())).await.unwrap_err().code, Code::Conflict);
    assert_eq!(refund("10.01", None).await.unwrap_err().code, Code::RefundExceeded);
    *shop.bank.fault.lock().unwrap() = Some(Fault::new(Code::InsufficientFunds, "the account holds less"));
    assert_eq!(refund("10.00", None).await.unwrap_err().code, Code::InsufficientFunds);
    *shop.bank.fault.lock().unwrap() = None;
    let rest = shop.command(json!({"command": "refund", "order": "A-1"})).await.unwrap();
    assert_eq!((&rest["amount"], &rest["state"]), (&json!("10.00"), &json!("booked")));
    assert_eq!(
        shop.command(json!({"command": "refund", "order": "A-1"})).await.unwrap_err().code,
        Code::RefundExceeded
    );
    assert_eq!(shop.bank.booked(), (1, 2));
    assert_eq!(shop.order("A-1").await["refunded"], "12.50");
    shop.audited().await;
}

#[tokio::test]
async fn it_takes_payments_after_a_restart_without_the_center() {
    let mut shop = Shop::new().await;
    shop.merchant.sync().await.unwrap();
    let dead = axum::Router::new();
    shop.wires.plug(CENTER_URL, dead);
    let disk = Arc::clone(&shop.disk);
    shop.restart_on(disk).await.unwrap();
    assert_eq!(shop.merchant.view().pins.len(), 1);
    let request = shop.request("12.50", "A-1").await;
    assert!(matches!(shop.pay(&shop.payment(&request, 1)).await.unwrap(), PayResponse::Paid(_)));
}

#[tokio::test]
async fn a_wrong_code_enrols_nobody() {
    let shop = Shop::new().await;
    let wires = NodeWires { wires: Arc::clone(&shop.wires), own: None };
    let (one, two) = (KeyPair::from_seed(&[5; 32]), KeyPair::from_seed(&[6; 32]));
    for code in [format!("{TOKEN}-guess"), "nonsense".to_owned()] {
        let code = Text::new(code).unwrap();
        let (target, now) = (Target::anyone(BANK_URL), Timestamp::new(NOW));
        let refused = enrol(&wires, &target, &shop.bank.root, &code, (&one, &two), "", now).await;
        assert_eq!(refused.unwrap_err().code, Code::CodeInvalid);
    }
}

#[tokio::test]
async fn an_audit_finds_changed_rows_whose_check_fits() {
    use feiqian_ledger::store::{StoreError, StoreExt, Table, Tx, Value as Stored};
    use feiqian_merchant::tables;
    let changes: [(&Table, usize, Stored); 5] = [
        (&tables::SALE, 2, Stored::Integer(9)),
        (&tables::CLAIM, 1, Stored::Blob(vec![4; 32])),
        (&tables::PAYMENT, 2, Stored::Integer(9)),
        (&tables::PAYMENT, 1, Stored::Blob(vec![4; 32])),
        (&tables::REFUND, 2, Stored::Integer(9_999)),
    ];
    for (table, column, value) in changes {
        let shop = Shop::new().await;
        let request = shop.request("12.50", "A-1").await;
        shop.pay(&shop.payment(&request, 1)).await.unwrap();
        shop.command(json!({"command": "refund", "order": "A-1", "amount": "1.00"})).await.unwrap();
        shop.audited().await;
        let tamper = move |tx: &mut dyn Tx| -> Result<(), StoreError> {
            let sql = format!("SELECT {} FROM {} LIMIT 1", table.column_list(), table.name);
            let mut values = tx.select(&sql, &[])?.remove(0).0;
            values[column] = value.clone();
            tx.update(table, &values)
        };
        shop.disk.commit("test.tamper", tamper).await.unwrap();
        let report = audit::audit(&*shop.disk).await.unwrap();
        assert!(
            report.findings.iter().any(|it| it.place.contains("merchant_")),
            "{} column {column}",
            table.name
        );
    }
}

/// The merchant is killed at every commit of a sale, before it and after it.
#[tokio::test]
async fn killed_at_any_commit_a_sale_ends_once() {
    let points = killed_everywhere(sell).await;
    assert!(
        points.contains(&"merchant.pay.accept") && points.contains(&"merchant.refund.outcome"),
        "{points:?}"
    );
}

async fn sell(lives: Lives) {
    let mut shop = Shop::new().await;
    let mut paying = None;
    let id = "cd".repeat(32);
    for _ in 0..4 {
        shop.restart_on(lives.next(Arc::clone(&shop.disk) as _)).await.unwrap();
        let _ = shop.merchant.resume().await;
        let ask = json!({"command": "request", "amount": "12.50", "order": "A-1"});
        if let Ok(answer) = shop.command(ask).await {
            let request = SignedRequest::from_uri(answer["uri"].as_str().unwrap()).unwrap();
            let payment = paying.get_or_insert_with(|| shop.payment(&request, 1)).clone();
            let _ = shop.pay(&payment).await;
        }
        let back = json!({"command": "refund", "order": "A-1", "amount": "2.50", "refund": id});
        let done = shop.command(back).await.is_ok_and(|answer| answer["state"] == "booked");
        shop.audited().await;
        if done {
            assert_eq!(shop.bank.booked(), (1, 1));
            assert_eq!(shop.order("A-1").await["refunded"], "2.50");
            return;
        }
    }
    panic!("it never ended");
}

#[tokio::test]
async fn no_refund_is_begun_when_the_payers_wallet_looks_for_none_any_more() {
    let shop = Shop::new().await;
    let refund = |amount: &str, id: Option<String>| {
        shop.command(json!({"command": "refund", "order": "A-1", "amount": amount, "refund": id}))
    };
    let request = shop.request("12.50", "A-1").await;
    shop.pay(&shop.payment(&request, 1)).await.unwrap();
    let until = request.request.refund_until;
    shop.clock.set(Timestamp::new(until.seconds() - 1));
    let id = "ab".repeat(32);
    shop.wires.trouble("/v1/refund", &[Trouble::Unreachable]);
    assert_eq!(refund("2.50", Some(id.clone())).await.unwrap()["state"], "pending");
    shop.clock.set(until);
    for late in [refund("1.00", None).await, refund("1.00", Some("cd".repeat(32))).await] {
        let late = late.unwrap_err();
        assert_eq!(late.code, Code::Expired);
        assert!(late.hint.is_some(), "what to do instead");
    }
    assert_eq!(shop.bank.booked(), (1, 0));
    // What was begun in time goes on.
    assert_eq!(refund("2.50", Some(id)).await.unwrap()["state"], "booked");
    assert_eq!((shop.bank.booked(), &shop.order("A-1").await["refunded"]), ((1, 1), &json!("2.50")));
    shop.audited().await;
}
