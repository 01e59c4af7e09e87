//! Offline payments: accepted with the network cut, deposited later, once.

use std::sync::Arc;

use feiqian_node::Service;
use feiqian_offline_cash::carry::Carried;
use feiqian_offline_cash::deposit::Outcome;
use feiqian_offline_cash::messages::DepositResponse;
use feiqian_offline_cash::pay::{CashItem, Payment};
use feiqian_offline_cash::request::SignedRequest;
use feiqian_store::testing::{Lives, killed_everywhere};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value, json};

use crate::bank::{BANK_URL, CENTER_URL, DAY, NOW};
use crate::pay::Shop;
use crate::wires::Trouble;

const DEPOSIT: &str = "/v1/account/offline/deposit";

impl Shop {
    /// Nobody answers any more.
    fn cut(&self) {
        self.wires.plug(BANK_URL, axum::Router::new());
        self.wires.plug(CENTER_URL, axum::Router::new());
        drop(self.wires.take_calls());
    }

    /// Connects again; answers what was called meanwhile.
    fn mend(&self) -> Vec<String> {
        self.wires.plug(BANK_URL, self.bank.router());
        self.wires.plug(CENTER_URL, self.bank.center_router());
        self.wires.take_calls()
    }

    async fn ask_offline(&self, amount: &str, order: &str) -> SignedRequest {
        let command = json!({"command": "offline_request", "amount": amount, "order": order});
        let answer = self.command(command).await.unwrap();
        match Carried::from_uri(answer["uri"].as_str().unwrap()).unwrap() {
            Carried::Request(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn file(&self, payment: &Payment) -> String {
        let path = self.folder.path().join("payment.fq");
        std::fs::write(&path, Carried::Payment(payment.clone()).to_file().unwrap()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn accept(&self, payment: &Payment) -> Result<Value, Fault> {
        self.command(json!({"command": "accept", "file": self.file(payment)})).await
    }

    async fn queue(&self) -> Value {
        self.command(json!({"command": "deposit_queue"})).await.unwrap()
    }
}

async fn synced() -> Shop {
    let shop = Shop::new().await;
    shop.merchant.sync().await.unwrap();
    shop
}

#[tokio::test]
async fn asking_and_accepting_call_nobody_and_the_queue_is_deposited_once() {
    let mut shop = synced().await;
    // What it knows of the center is kept across a restart, which asks nobody but for the enrolment of the test.
    let disk = Arc::clone(&shop.disk);
    shop.restart_on(disk).await.unwrap();
    shop.cut();
    let request = shop.ask_offline("0.64", "A-1").await;
    assert_eq!(shop.ask_offline("0.64", "A-1").await, request, "the same order again is the same request");
    let coin = shop.bank.offline_coin(6, 1);
    let payment = shop.bank.pay_offline(&request, shop.bank.pieces(&coin));
    let taken = shop.accept(&payment).await.unwrap();
    let named = (&taken["outcome"], &taken["order"], &taken["amount"], &taken["state"]);
    assert_eq!(named, (&json!("accepted"), &json!("A-1"), &json!("0.64"), &json!("queued")));
    assert_eq!(taken["deposit_by"], json!(NOW + 30 * DAY));
    assert_eq!(shop.accept(&payment).await.unwrap(), taken, "the same file again");
    let other = shop.bank.pay_offline(&request, shop.bank.pieces(&shop.bank.offline_coin(6, 2)));
    assert_eq!(shop.accept(&other).await.unwrap_err().code, Code::RequestAlreadyPaid);
    assert_eq!(shop.audited().await.queued.len(), 1);
    assert_eq!(shop.mend(), Vec::<String>::new(), "asking and accepting call nobody");
    let queue = shop.queue().await;
    let line = &queue["payments"][0];
    assert_eq!((&queue["finished"], &queue["queued"]), (&json!(1), &json!(0)), "{queue}");
    let sums = (&line["state"], &line["paid"], &line["unpaid"], &line["payment"]);
    assert_eq!(sums, (&json!("settled"), &json!("0.64"), &json!("0.00"), &taken["payment"]));
    shop.queue().await;
    assert_eq!(shop.bank.offline.lock().unwrap().asked, 1, "what is settled is not asked for again");
    let report = shop.audited().await;
    assert_eq!((report.queued.len(), report.offline_received, report.offline_unpaid), (0, 64, 0));
    let status = shop.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(status["offline"], json!({"queued": 0, "settled": 1, "refused": 0}));
}

#[tokio::test]
async fn a_till_needs_to_have_seen_the_center_once() {
    let shop = Shop::new().await;
    let command = json!({"command": "offline_request", "amount": "1.00", "order": "A-1"});
    assert_eq!(shop.command(command.clone()).await.unwrap_err().code, Code::Unavailable);
    shop.merchant.sync().await.unwrap();
    shop.command(command).await.unwrap();
    let large = json!({"command": "offline_request", "amount": "500.01", "order": "A-2"});
    assert_eq!(shop.command(large).await.unwrap_err().code, Code::LimitExceeded);
    let changed = json!({"command": "offline_request", "amount": "1.01", "order": "A-1"});
    assert_eq!(shop.command(changed).await.unwrap_err().code, Code::Conflict);
}

#[tokio::test]
async fn a_piece_of_what_it_holds_is_refused_and_a_disjoint_one_taken() {
    let mut shop = synced().await;
    let [first, second, third] = [
        shop.ask_offline("0.32", "A-1").await,
        shop.ask_offline("0.32", "A-2").await,
        shop.ask_offline("0.32", "A-3").await,
    ];
    let coin = shop.bank.offline_coin(6, 1);
    let halves = |which: usize| {
        let [whole] = <[_; 1]>::try_from(shop.bank.pieces(&coin)).map_err(|_| ()).unwrap();
        let mut halves: Vec<_> = whole.divide().map_err(|_| ()).unwrap().into();
        vec![halves.remove(which)]
    };
    let left = shop.bank.pay_offline(&first, halves(0));
    let again = shop.bank.pay_offline(&second, halves(0));
    let right = shop.bank.pay_offline(&third, halves(1));
    shop.accept(&left).await.unwrap();
    assert_eq!(shop.accept(&again).await.unwrap_err().code, Code::PieceRepeated);
    shop.accept(&right).await.unwrap();
    // Also after a restart and after the deposit.
    let disk = Arc::clone(&shop.disk);
    shop.restart_on(disk).await.unwrap();
    shop.queue().await;
    assert_eq!(shop.accept(&again).await.unwrap_err().code, Code::PieceRepeated);
    assert_eq!(shop.bank.offline.lock().unwrap().redeemed(), 2);
    shop.audited().await;
}

#[tokio::test]
async fn what_breaks_the_policy_is_refused() {
    let shop = synced().await;
    let coin = shop.bank.offline_coin(6, 1);
    let request = shop.ask_offline("0.64", "A-1").await;
    let payment = shop.bank.pay_offline(&request, shop.bank.pieces(&coin));
    shop.bank.expose(&coin, NOW + 60);
    shop.clock.set(Timestamp::new(NOW + 60));
    shop.merchant.sync().await.unwrap();
    assert_eq!(shop.accept(&payment).await.unwrap_err().code, Code::CoinExposed);
    let fresh = shop.bank.pay_offline(&request, shop.bank.pieces(&shop.bank.offline_coin(6, 2)));
    shop.clock.set(Timestamp::new(NOW + 900));
    assert_eq!(shop.accept(&fresh).await.unwrap_err().code, Code::Expired, "the request's time is over");
    let mut foreign = fresh.clone();
    foreign.request = feiqian_crypto::Digest([3; 32]);
    assert_eq!(shop.accept(&foreign).await.unwrap_err().code, Code::RequestMismatch);
    // The exposed list grows too old before the keys do.
    let week = 7 * DAY;
    shop.clock.set(Timestamp::new(NOW + 61 + week));
    let late = shop.ask_offline("0.64", "A-2").await;
    let payment = shop.bank.pay_offline(&late, shop.bank.pieces(&shop.bank.offline_coin(6, 3)));
    assert_eq!(shop.accept(&payment).await.unwrap_err().code, Code::Expired);
    assert_eq!(shop.accept_text("feiqian:offline:AAAA").await.unwrap_err().code, Code::Malformed);
    assert_eq!(shop.audited().await.queued.len(), 0);
}

impl Shop {
    async fn accept_text(&self, text: &str) -> Result<Value, Fault> {
        self.command(json!({"command": "accept", "file": text})).await
    }
}

#[tokio::test]
async fn units_that_were_spent_before_are_owed_and_shown() {
    let shop = synced().await;
    let coin = shop.bank.offline_coin(6, 1);
    let request = shop.ask_offline("0.64", "A-1").await;
    let payment = shop.bank.pay_offline(&request, shop.bank.pieces(&coin));
    // Another till of another store took the same coin, and was at the bank before.
    let elsewhere = synced().await;
    let other = elsewhere.ask_offline("0.64", "B-1").await;
    let first = shop.bank.pay_offline(&other, shop.bank.pieces(&coin));
    let item = CashItem { request: other, payment: first };
    assert!(matches!(shop.bank.deposit_offline(&item), Ok(DepositResponse::Final(Outcome::Settled(_)))));
    shop.accept(&payment).await.unwrap();
    let queue = shop.queue().await;
    let line = &queue["payments"][0];
    let sums = (&line["state"], &line["paid"], &line["unpaid"]);
    assert_eq!(sums, (&json!("settled"), &json!("0.00"), &json!("0.64")));
    assert_eq!(shop.audited().await.offline_unpaid, 64);
}

#[tokio::test]
async fn a_deposit_stays_queued_until_the_bank_says_what_became_of_it() {
    let shop = synced().await;
    let request = shop.ask_offline("0.64", "A-1").await;
    let payment = shop.bank.pay_offline(&request, shop.bank.pieces(&shop.bank.offline_coin(6, 1)));
    shop.accept(&payment).await.unwrap();
    shop.wires.trouble(DEPOSIT, &[Trouble::Unreachable, Trouble::AnswerLost, Trouble::Busy]);
    for _ in 0..3 {
        let queue = shop.queue().await;
        assert_eq!((&queue["queued"], queue["waiting"].is_string()), (&json!(1), true));
    }
    // The goods are gone: no fault of a call ends a deposit.
    for code in [Code::Internal, Code::Forbidden, Code::AccountClosed, Code::WrongRoute, Code::Malformed] {
        *shop.bank.fault.lock().unwrap() = Some(Fault::new(code, "test"));
        assert_eq!(shop.queue().await["queued"], json!(1));
    }
    *shop.bank.fault.lock().unwrap() = None;
    shop.bank.offline.lock().unwrap().slow = true;
    assert_eq!(shop.queue().await["queued"], json!(1));
    shop.bank.offline.lock().unwrap().slow = false;
    assert!(shop.merchant.resume().await.unwrap());
    assert_eq!(shop.bank.offline.lock().unwrap().redeemed(), 1);
    assert_eq!(shop.audited().await.offline_received, 64);
}

#[tokio::test]
async fn words_of_the_bank_that_do_not_hold_change_nothing() {
    let shop = synced().await;
    let mut receipts = Vec::new();
    for order in ["A-1", "A-2"] {
        let request = shop.ask_offline("0.64", order).await;
        let coin = shop.bank.offline_coin(6, receipts.len() as u64 + 1);
        let payment = shop.bank.pay_offline(&request, shop.bank.pieces(&coin));
        let item = CashItem { request, payment };
        let Ok(DepositResponse::Final(Outcome::Settled(receipt))) = shop.bank.deposit_offline(&item) else {
            panic!("refused");
        };
        receipts.push((item, receipt));
    }
    let [(item, own), (_, other)] = <[_; 2]>::try_from(receipts).unwrap();
    shop.accept(&item.payment).await.unwrap();
    let mut inflated = own.clone();
    inflated.terms.account = feiqian_wire::Text::new("another").unwrap();
    let mut elsewhere = own.terms.clone();
    elsewhere.presentment = feiqian_crypto::Digest([9; 32]);
    let elsewhere = elsewhere.sign(&shop.bank.signer).unwrap();
    let lies = [Outcome::Settled(other), Outcome::Settled(inflated), Outcome::Settled(elsewhere.clone())];
    for lie in lies {
        shop.bank.offline.lock().unwrap().lie = Some(lie);
        assert_eq!(shop.queue().await["queued"], json!(1));
    }
    shop.bank.offline.lock().unwrap().lie = Some(Outcome::Before(elsewhere));
    let queue = shop.queue().await;
    let line = &queue["payments"][0];
    assert_eq!((&line["state"], &line["paid"]), (&json!("refused"), &json!("0.00")));
    assert_eq!(shop.audited().await.offline_received, 0);
}

#[tokio::test]
async fn the_background_deposits_what_was_accepted() {
    tokio::time::pause();
    let shop = synced().await;
    let request = shop.ask_offline("0.64", "A-1").await;
    let payment = shop.bank.pay_offline(&request, shop.bank.pieces(&shop.bank.offline_coin(6, 1)));
    shop.wires.trouble(DEPOSIT, &[Trouble::Unreachable; 3]);
    let shutdown = feiqian_node::Shutdown::new();
    let service: Arc<dyn Service> = Arc::clone(&shop.merchant) as _;
    let task = tokio::spawn(service.background(shutdown.clone()));
    shop.accept(&payment).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(120)).await;
    assert_eq!(shop.bank.offline.lock().unwrap().redeemed(), 1);
    shutdown.trigger();
    task.await.unwrap();
    assert_eq!(shop.audited().await.queued.len(), 0);
}

#[tokio::test]
async fn an_audit_finds_changed_offline_rows_whose_check_fits() {
    use feiqian_ledger::store::{StoreError, StoreExt, Table, Tx, Value as Stored};
    use feiqian_merchant::offline_tables::{OFFLINE_COIN, OFFLINE_PAYMENT, OFFLINE_SALE};
    let changes: [(&'static Table, usize, Stored); 4] = [
        (&OFFLINE_SALE, 2, Stored::Integer(9)),
        (&OFFLINE_PAYMENT, 2, Stored::Integer(9)),
        (&OFFLINE_PAYMENT, 5, Stored::Blob(vec![4; 32])),
        (&OFFLINE_COIN, 1, Stored::Blob(vec![4; 32])),
    ];
    for (table, column, value) in changes {
        let shop = synced().await;
        let request = shop.ask_offline("0.64", "A-1").await;
        let payment = shop.bank.pay_offline(&request, shop.bank.pieces(&shop.bank.offline_coin(6, 1)));
        shop.accept(&payment).await.unwrap();
        shop.queue().await;
        shop.audited().await;
        let tamper = move |tx: &mut dyn Tx| -> Result<(), StoreError> {
            let sql = format!("SELECT {} FROM {} LIMIT 1", table.column_list(), table.name);
            let mut values = tx.select(&sql, &[])?.remove(0).0;
            if column < table.key {
                let key = values.iter().take(table.key).cloned().collect::<Vec<_>>();
                tx.delete(table, &key)?;
                values[column] = value.clone();
                return tx.insert(table, &values);
            }
            values[column] = value.clone();
            tx.update(table, &values)
        };
        shop.disk.commit("test.tamper", tamper).await.unwrap();
        let report = feiqian_merchant::audit::audit(&*shop.disk).await.unwrap();
        let found = report.findings.iter().any(|it| it.place.contains("merchant_offline"));
        assert!(found, "{} column {column}", table.name);
    }
}

/// The merchant is killed at every commit of an offline sale, before it and after it.
#[tokio::test]
async fn killed_at_any_commit_an_offline_sale_ends_once() {
    let points = killed_everywhere(sell).await;
    for point in ["merchant.offline.request", "merchant.offline.accept", "merchant.offline.outcome"] {
        assert!(points.contains(&point), "{points:?}");
    }
}

async fn sell(lives: Lives) {
    let mut shop = synced().await;
    let coin = shop.bank.offline_coin(6, 1);
    let mut accepted = None;
    for _ in 0..4 {
        shop.restart_on(lives.next(Arc::clone(&shop.disk) as _)).await.unwrap();
        let ask = json!({"command": "offline_request", "amount": "0.64", "order": "A-1"});
        if let Ok(answer) = shop.command(ask).await {
            let carried = Carried::from_uri(answer["uri"].as_str().unwrap()).unwrap();
            let Carried::Request(request) = carried else { panic!("no request") };
            let payment = shop.bank.pay_offline(&request, shop.bank.pieces(&coin));
            match shop.accept(&payment).await {
                Ok(_) => accepted = Some(payment),
                Err(fault) => assert_eq!(fault.code, Code::Unavailable, "{fault}"),
            }
        }
        let _ = shop.merchant.resume().await;
        let report = shop.audited().await;
        // Whoever was told that it is accepted, is in the store.
        assert!(accepted.is_none() || report.queued.len() == 1 || report.offline_received == 64);
        if report.offline_received == 64 {
            assert_eq!(shop.bank.offline.lock().unwrap().redeemed(), 1);
            return;
        }
    }
    panic!("it never ended");
}
