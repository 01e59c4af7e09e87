//! What a merchant deletes by itself, and what a payment for it comes to afterwards.

use std::sync::Arc;

use feiqian_crypto::Transcript;
use feiqian_ledger::store::{StoreExt, Value as Stored};
use feiqian_merchant::tables::TABLES;
use feiqian_online_cash::deposit::PayResponse;
use feiqian_store::testing::{Death, MortalStore};
use feiqian_wire::Timestamp;
use feiqian_wire::error::Code;
use serde_json::json;

use crate::bank::NOW;
use crate::pay::Shop;
use crate::wires::Trouble;

const DAY: u64 = 86_400;

async fn sales(shop: &Shop) -> u64 {
    let sql = "SELECT (SELECT count(*) FROM merchant_sale) + (SELECT count(*) FROM merchant_payment)";
    shop.disk
        .read(move |tx: &mut dyn feiqian_ledger::store::Tx| tx.select(sql, &[])?[0].unsigned(0))
        .await
        .unwrap()
}

#[tokio::test]
async fn sales_that_ended_are_deleted_and_counted() {
    let mut shop = Shop::new().await;
    let (paid, waits) = (shop.request("12.50", "A-1").await, shop.request("1.00", "A-2").await);
    let (first, second) = (shop.payment(&paid, 1), shop.payment(&waits, 2));
    assert!(matches!(shop.pay(&first).await.unwrap(), PayResponse::Paid(_)));
    shop.wires.trouble("/v1/deposit", &[Trouble::Unreachable]);
    assert_eq!(shop.pay(&second).await.unwrap(), PayResponse::Pending);
    let waiting = shop.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(waiting["queues"]["payments"], json!({"length": 1, "oldest_seconds": 0}));
    shop.clock.set(Timestamp::new(NOW + DAY + 100));
    shop.merchant.keep_house().await.unwrap();
    assert_eq!(sales(&shop).await, 4, "the requests have not been over for a day");
    let waiting = shop.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(waiting["queues"]["payments"], json!({"length": 1, "oldest_seconds": DAY + 100}));
    shop.clock.set(Timestamp::new(NOW + DAY + 1000));
    // Cut off before and after the commit; what is on its way stays.
    for after in [false, true] {
        let store = Arc::new(MortalStore::new(Arc::clone(&shop.disk) as _, None));
        shop.restart_on(Arc::clone(&store) as _).await.unwrap();
        let step = store.points().len() + 1;
        let store = Arc::new(MortalStore::new(Arc::clone(&shop.disk) as _, Some(Death { step, after })));
        shop.restart_on(Arc::clone(&store) as _).await.unwrap();
        assert!(shop.merchant.keep_house().await.is_err(), "it was not killed");
        assert_eq!(store.points().last(), Some(&"merchant.sale.prune"));
        assert_eq!(sales(&shop).await, if after { 2 } else { 4 });
        shop.audited().await;
    }
    shop.restart_on(Arc::clone(&shop.disk) as _).await.unwrap();
    shop.merchant.keep_house().await.unwrap();
    let report = shop.audited().await;
    assert_eq!((report.paid, report.received, report.pending.len()), (1, 1250, 1));
    let again = shop.pay(&first).await.unwrap_err().code;
    assert_eq!(again, Code::RequestMismatch, "nobody made such a request");
    assert_eq!(shop.bank.booked().0, 1);
    // What was on its way goes when it has ended.
    assert!(shop.merchant.resume().await.unwrap());
    shop.merchant.keep_house().await.unwrap();
    assert_eq!(sales(&shop).await, 0);
    let report = shop.audited().await;
    assert_eq!(report.pending.len(), 0);
}

/// More sales than one round looks at, all with a payment on its way, do not keep one behind them.
#[tokio::test]
async fn what_cannot_go_yet_holds_up_nothing() {
    const WAITING: u64 = 1_100;
    let shop = Shop::new().await;
    let request = shop.request("12.50", "A-1").await;
    assert!(matches!(shop.pay(&shop.payment(&request, 1)).await.unwrap(), PayResponse::Paid(_)));
    let fill = |tx: &mut dyn feiqian_ledger::store::Tx| {
        let table = |name| *TABLES.iter().find(|table| table.name == name).unwrap();
        for number in 0..WAITING {
            let id = Transcript::new("test/waiting").integer(number).into_digest();
            let (early, none) = (Stored::unsigned(NOW - 10)?, Stored::Null);
            let (amount, currency) = (Stored::Integer(1), Stored::from("CNY"));
            let (order, body) = (Stored::from(format!("B-{number}").as_str()), Stored::Blob(Vec::new()));
            let sale = [
                id.into(),
                order,
                amount.clone(),
                currency.clone(),
                early.clone(),
                body.clone(),
                early.clone(),
            ];
            tx.insert(table("merchant_sale"), &sale)?;
            let (state, tried) = (Stored::Integer(0), early.clone());
            let payment =
                [id.into(), id.into(), amount, currency, body, state, none.clone(), none, early, tried];
            tx.insert(table("merchant_payment"), &payment)?;
        }
        Ok::<_, feiqian_ledger::store::StoreError>(())
    };
    shop.disk.commit("test", fill).await.unwrap();
    shop.clock.set(Timestamp::new(NOW + DAY + 1000));
    shop.merchant.keep_house().await.unwrap();
    assert_eq!(sales(&shop).await, 2 * WAITING + 2, "one round does not come so far");
    shop.merchant.keep_house().await.unwrap();
    assert_eq!(sales(&shop).await, 2 * WAITING);
    // And again from the front.
    let done = |tx: &mut dyn feiqian_ledger::store::Tx| {
        let table = *TABLES.iter().find(|table| table.name == "merchant_payment").unwrap();
        let first = tx.select("SELECT request FROM merchant_sale ORDER BY created, request LIMIT 1", &[])?;
        tx.delete(table, &[first[0].value(0)?.clone()])
    };
    shop.disk.commit("test", done).await.unwrap();
    shop.merchant.keep_house().await.unwrap();
    shop.merchant.keep_house().await.unwrap();
    assert_eq!(sales(&shop).await, 2 * WAITING - 2);
}
