//! The merchant dies at every commit of a sale whose bank is away at first, before it and after it: what waits goes on.

use std::sync::Arc;

use feiqian_online_cash::request::SignedRequest;
use feiqian_store::testing::{Lives, killed_everywhere};
use serde_json::json;

use crate::pay::Shop;
use crate::wires::Trouble;

/// A sale of 12.50 and a refund of 2.50; the bank answers neither at first.
async fn slow_sale(lives: Lives) {
    let mut shop = Shop::new().await;
    shop.wires.trouble("/v1/deposit", &[Trouble::Unreachable]);
    shop.wires.trouble("/v1/refund", &[Trouble::Unreachable]);
    let mut paying = None;
    let id = "cd".repeat(32);
    for _ in 0..5 {
        shop.restart_on(lives.next(Arc::clone(&shop.disk) as _)).await.unwrap();
        let ask = json!({"command": "request", "amount": "12.50", "order": "A-1"});
        if let Ok(answer) = shop.command(ask).await {
            let request = SignedRequest::from_uri(answer["uri"].as_str().unwrap()).unwrap();
            let payment = paying.get_or_insert_with(|| shop.payment(&request, 1)).clone();
            let _ = shop.pay(&payment).await;
        }
        // By itself from here on.
        let _ = shop.merchant.resume().await;
        let back = json!({"command": "refund", "order": "A-1", "amount": "2.50", "refund": id});
        let ordered = shop.command(back).await.is_ok();
        let _ = shop.merchant.resume().await;
        shop.audited().await;
        if ordered && shop.bank.booked() == (1, 1) && shop.audited().await.pending.is_empty() {
            let orders = shop.command(json!({"command": "orders"})).await;
            let Ok(orders) = orders else { continue };
            let line = &orders["orders"][0];
            assert_eq!((&line["state"], &line["refunded"]), (&json!("paid"), &json!("2.50")));
            return;
        }
    }
    panic!("it never ended")
}

#[tokio::test]
async fn killed_at_any_commit_a_sale_that_waits_ends_once() {
    let points = killed_everywhere(slow_sale).await;
    for point in ["merchant.pay.try", "merchant.refund.try"] {
        assert!(points.contains(&point), "{points:?}");
    }
}
