//! Accounts, enrolment and the operator's commands.

use feiqian_online_cash::account::{AccountStatus, DepositResponse, EnrolResponse};
use feiqian_online_cash::deposit::Outcome;
use feiqian_online_cash::issue::{BeginResponse, FinishResponse, RecoverRequest};
use feiqian_wire::error::Code;
use serde_json::json;

use crate::clearing::two_banks;
use crate::world::{Begun, Holder, World, code, digest, enrolment, pay};

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

#[tokio::test]
async fn what_was_answered_and_paid_outlives_certificates_and_accounts() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let bobby = world.customer(&node, "bobby12", "0").await;
    let begun = node.begin(Some(&alice), 1, &[64]).await;
    let finish = begun.finish(node.account_funding(&alice, &begun));
    let path = "/v1/account/issue/finish";
    let answer: FinishResponse = node.ask(Some(&alice.peer), path, &finish).await.unwrap();
    let coins = begun.pending.finish(&answer.answers).unwrap();
    let item = pay(&node.request(&alice, 1, 64, 3600), &[(&coins[0], 64)]);
    let paid: DepositResponse = node.ask(Some(&alice.peer), "/v1/deposit", &item).await.unwrap();
    assert!(matches!(paid, DepositResponse::Final(Outcome::Paid(_))));

    let still_there = async |holder: &Holder| {
        let recover = RecoverRequest { request: digest(1) };
        let path = "/v1/account/issue/recover";
        let recovered: BeginResponse = node.ask(Some(&holder.peer), path, &recover).await.unwrap();
        assert!(matches!(recovered, BeginResponse::Answered(session) if session.answers == answer.answers));
        let path = "/v1/account/issue/finish";
        let again: FinishResponse = node.ask(Some(&holder.peer), path, &finish).await.unwrap();
        assert_eq!(again, answer);
        let again: DepositResponse = node.ask(Some(&holder.peer), "/v1/deposit", &item).await.unwrap();
        assert_eq!(again, paid);
    };
    let nothing_new = async |holder: &Holder, open: &Begun, expected: Code| {
        let begin = node.begin_request(50, &[8]);
        let path = "/v1/account/issue/begin";
        let begin = node.ask::<_, BeginResponse>(Some(&holder.peer), path, &begin).await;
        assert_eq!(code(begin), expected);
        let finish = open.finish(node.account_funding(holder, open));
        let path = "/v1/account/issue/finish";
        let finished = node.ask::<_, FinishResponse>(Some(&holder.peer), path, &finish).await;
        assert_eq!(code(finished), expected);
        let other = pay(&node.request(holder, 9, 64, 3600), &[(&coins[0], 64)]);
        let deposited = node.ask::<_, DepositResponse>(Some(&holder.peer), "/v1/deposit", &other).await;
        assert_eq!(code(deposited), expected);
    };
    // Other keys take over.
    let opened =
        node.command(json!({"command": "account_open", "name": "alice", "role": "customer"})).await.unwrap();
    let (request, signing) = enrolment(&node, &opened, 3);
    let response: EnrolResponse = node.ask(None, "/v1/enrol", &request).await.unwrap();
    let new = world.holder(response, signing);
    let open = node.begin(Some(&new), 2, &[8]).await;
    // The earlier certificate is revoked and opens nothing any more.
    nothing_new(&alice, &open, Code::CertificateInvalid).await;
    still_there(&new).await;
    // The account is closed.
    node.command(json!({"command": "account_payout", "name": "alice", "amount": "100.00"})).await.unwrap();
    let close = json!({"command": "account_close", "name": "alice"});
    assert_eq!(code(node.command(close.clone()).await), Code::Conflict, "a session is open");
    world.at(600);
    node.command(close).await.unwrap();
    nothing_new(&new, &open, Code::AccountClosed).await;
    nothing_new(&alice, &open, Code::CertificateInvalid).await;
    still_there(&new).await;
    // Nobody else gets any of it.
    let recover = RecoverRequest { request: digest(1) };
    let path = "/v1/account/issue/recover";
    let foreign = node.ask::<_, BeginResponse>(Some(&bobby.peer), path, &recover).await;
    assert_eq!(code(foreign), Code::SessionForeign);
    let foreign = node.ask::<_, DepositResponse>(Some(&bobby.peer), "/v1/deposit", &item).await;
    assert_eq!(code(foreign), Code::WrongRoute);
    node.assert_sound().await;
}

#[tokio::test]
async fn an_account_with_a_pending_presentment_stays_open() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let item = pay(&south.request(&merry, 1, 64, 3600), &[(&coins[0], 64)]);
    let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &item).await.unwrap();
    assert!(matches!(answer, DepositResponse::Pending { .. }));
    // Somebody's base money lies in the vault.
    let _ = world.customer(&south, "wealthy", "1.00").await;
    let close = json!({"command": "account_close", "name": "merry12"});
    assert_eq!(code(south.command(close.clone()).await), Code::Conflict);
    world.connect(&south, &north).await;
    assert!(south.bank.drain_outbox(&feiqian_node::Shutdown::new()).await.unwrap());
    south.command(json!({"command": "account_payout", "name": "merry12", "amount": "0.64"})).await.unwrap();
    south.command(close).await.unwrap();
    let again: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &item).await.unwrap();
    assert!(matches!(again, DepositResponse::Final(Outcome::Paid(_))));
    south.assert_sound().await;
}
