//! Accounts, enrolment and the operator's commands.

use feiqian_online_cash::account::{AccountStatus, EnrolResponse};
use feiqian_wire::error::Code;
use serde_json::json;

use crate::world::{World, code, enrolment};

#[tokio::test]
async fn an_enrolment_code_is_good_once() {
    let world = World::new();
    let node = world.bank("north", 10).await;
    let opened =
        node.command(json!({"command": "account_open", "name": "alice", "role": "customer"})).await.unwrap();
    let (request, _) = enrolment(&node, &opened, 1);
    let first: EnrolResponse = node.ask(None, "/v1/enrol", &request).await.unwrap();
    let again: EnrolResponse = node.ask(None, "/v1/enrol", &request).await.unwrap();
    assert_eq!(first, again);
    let (other, _) = enrolment(&node, &opened, 2);
    assert_eq!(code(node.ask::<_, EnrolResponse>(None, "/v1/enrol", &other).await), Code::CodeInvalid);
    // A new code for the same account: other keys take over, the old certificate ends.
    let opened =
        node.command(json!({"command": "account_open", "name": "alice", "role": "customer"})).await.unwrap();
    let old = world.holder(first, enrolment(&node, &opened, 1).1);
    let (request, signing) = enrolment(&node, &opened, 3);
    let response: EnrolResponse = node.ask(None, "/v1/enrol", &request).await.unwrap();
    let new = world.holder(response, signing);
    assert_eq!(
        code(node.ask::<_, AccountStatus>(Some(&old.peer), "/v1/account", &()).await),
        Code::CertificateInvalid
    );
    assert_eq!(node.balance(&new).await, "0.00");
}

#[tokio::test]
async fn codes_expire_and_names_in_requests_must_fit() {
    let world = World::new();
    let node = world.bank("north", 10).await;
    let opened =
        node.command(json!({"command": "account_open", "name": "alice", "role": "customer"})).await.unwrap();
    let merchant =
        node.command(json!({"command": "account_open", "name": "shop", "role": "merchant"})).await.unwrap();
    // A customer's request for a merchant's account.
    let (request, _) = enrolment(&node, &merchant, 1);
    assert_eq!(
        code(node.ask::<_, EnrolResponse>(None, "/v1/enrol", &request).await),
        Code::CertificateInvalid
    );
    world.at(30 * 86_400);
    let (request, _) = enrolment(&node, &opened, 1);
    assert_eq!(code(node.ask::<_, EnrolResponse>(None, "/v1/enrol", &request).await), Code::CodeInvalid);
    let conflict = node.command(json!({"command": "account_open", "name": "shop", "role": "customer"})).await;
    assert_eq!(code(conflict), Code::Conflict);
}

#[tokio::test]
async fn base_money_goes_in_and_out_and_closed_accounts_stay_closed() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let fund = json!({"command": "account_fund", "name": "alice", "amount": "12.50", "reference": "slip 7"});
    for _ in 0..2 {
        let answer = node.command(fund.clone()).await.unwrap();
        assert_eq!((answer["balance"].as_str(), answer["currency"].as_str()), (Some("112.50"), Some("CNY")));
    }
    let close = json!({"command": "account_close", "name": "alice"});
    assert_eq!(code(node.command(close.clone()).await), Code::Conflict);
    let out = |amount: &str| json!({"command": "account_payout", "name": "alice", "amount": amount});
    assert_eq!(code(node.command(out("112.51")).await), Code::InsufficientFunds);
    assert_eq!(code(node.command(out("0")).await), Code::Usage);
    assert_eq!(code(node.command(out("1.005")).await), Code::Usage);
    node.command(out("112.50")).await.unwrap();
    assert_eq!(node.command(close).await.unwrap()["state"], "closed");
    assert_eq!(
        code(node.ask::<_, AccountStatus>(Some(&alice.peer), "/v1/account", &()).await),
        Code::AccountClosed
    );
    assert_eq!(code(node.command(fund).await), Code::AccountClosed);
    assert_eq!(code(node.command(json!({"command": "dance"})).await), Code::Usage);
    let status = node.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(
        (status["balances"]["vault"].as_str(), status["keysets"][0]["pinned"].as_bool()),
        (Some("0.00"), Some(true))
    );
    let listed = node.command(json!({"command": "account_list"})).await.unwrap();
    assert_eq!(listed["accounts"][0]["name"], "alice");
    node.assert_sound().await;
}
