//! The way of cheques between banks: paid, returned, stopped, certified, endorsed, presented twice, expired.

use feiqian_cheque::messages::{
    Action, ChequeDepositResponse, ChequeOutcome, InboxDelete, InboxResponse, SendRequest, StateRequest,
    StateResponse,
};
use feiqian_cheque::progress::Phase;
use feiqian_cheque::{Day, ReturnCode, State, StopReason};
use feiqian_node::Shutdown;
use feiqian_wire::error::Code;
use feiqian_wire::{Bounded, Timestamp};
use serde_json::json;

use crate::cheque_world::{Banks, DAY, payee, today};
use crate::world::{NOW, code, digest};

#[tokio::test]
async fn a_cheque_is_written_presented_paid_and_settled() {
    let banks = Banks::new().await;
    let order = banks.order(payee(&banks.south, &banks.bob), 2_500, today(), false);
    let request = banks.drawn(1, order, false).await;
    let cheque = banks.issue(&request).await.unwrap();
    assert_eq!(banks.issue(&request).await.unwrap(), cheque, "the same leaf gives the same file");
    assert_eq!(banks.state(1).await, State::Issued);
    let slip = banks.slip(&cheque, "south", &banks.bob);
    *banks.south.line.lose.lock().unwrap() = 1;
    let waiting = banks.deposit(&slip).await.unwrap();
    assert!(matches!(waiting, ChequeDepositResponse::Pending { paid: false, .. }), "{waiting:?}");
    let id = banks.presented(&slip).id;
    // Settled before this bank has the outcome: the center has to come back.
    assert_eq!(code(banks.tell(&banks.south, id, true).await), Code::Unavailable);
    assert!(banks.south.bank.drain_outbox(&Shutdown::new()).await.unwrap());
    for _ in 0..2 {
        let answer = banks.deposit(&slip).await.unwrap();
        assert_eq!(answer, ChequeDepositResponse::Pending { presentment: id, paid: true });
    }
    assert_eq!(banks.balances().await, ("75.00".into(), "0.00".into()), "pending until it is settled");
    banks.sound().await;
    for _ in 0..2 {
        banks.settle(id, true).await;
    }
    assert_eq!(code(banks.tell(&banks.south, id, false).await), Code::Conflict);
    assert_eq!(code(banks.tell(&banks.north, id, false).await), Code::Conflict);
    assert_eq!(banks.balances().await, ("75.00".into(), "25.00".into()));
    assert_eq!(banks.state(1).await, State::Settled);
    let ChequeDepositResponse::Final(ChequeOutcome::Paid(file)) = banks.deposit(&slip).await.unwrap() else {
        panic!("not final")
    };
    assert_eq!(banks.verified(&file).phase(), Phase::Settled);
    banks.sound().await;
}

#[tokio::test]
async fn what_the_banks_cannot_settle_is_undone_and_may_come_again() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 2_500).await;
    let certified = banks.cheque(2, 1_000).await;
    banks.certify(2).await.unwrap();
    for file in [&cheque, &certified] {
        let id = banks.collected(file).await;
        for _ in 0..2 {
            banks.settle(id, false).await;
        }
    }
    assert_eq!(
        banks.balances().await,
        ("90.00".into(), "0.00".into()),
        "the certified one is reserved again"
    );
    let line = banks.line(1).await;
    assert_eq!((line.state, line.code), (State::Returned, Some(ReturnCode::SettlementFailed)));
    assert!(banks.line(2).await.reserved);
    banks.sound().await;
    for file in [&cheque, &certified] {
        let slip = banks.slip(file, "south", &banks.bob);
        let ChequeDepositResponse::Final(ChequeOutcome::Returned(code, back)) =
            banks.deposit(&slip).await.unwrap()
        else {
            panic!("not returned")
        };
        assert_eq!(code, ReturnCode::SettlementFailed);
        let id = banks.collected(&back).await;
        banks.settle(id, true).await;
    }
    assert_eq!(banks.balances().await, ("65.00".into(), "35.00".into()));
    banks.sound().await;
}

#[tokio::test]
async fn a_bounced_cheque_comes_twice_and_no_third_time() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 10_001).await;
    let (code, back) = banks.bounced(&cheque).await;
    assert_eq!((code, banks.state(1).await), (ReturnCode::InsufficientFunds, State::Returned));
    let (code, back) = banks.bounced(&back).await;
    assert_eq!((code, banks.state(1).await), (ReturnCode::InsufficientFunds, State::Dishonoured));
    assert_eq!(banks.bounced(&back).await.0, ReturnCode::RepresentLimit);
    assert_eq!(banks.state(1).await, State::Dishonoured);
    let cheque = banks.cheque(2, 9_000).await;
    let fund = json!({"command": "account_fund", "name": "alice", "amount": "0.01"});
    banks.north.command(fund).await.unwrap();
    banks.collected(&cheque).await;
    assert_eq!(banks.balances().await.0, "10.01");
    banks.sound().await;
}

#[tokio::test]
async fn stop_orders_act_once_and_in_order() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    let stop = Action::Stop(StopReason::Cust);
    for _ in 0..2 {
        assert_eq!(banks.order_on(11, 1, stop.clone()).await.unwrap().state, State::Stopped);
    }
    assert_eq!(code(banks.order_on(11, 1, Action::Unstop).await), Code::Conflict, "an id is one order");
    let (code_, back) = banks.bounced(&cheque).await;
    assert_eq!((code_, banks.state(1).await), (ReturnCode::Stopped, State::Stopped));
    assert_eq!(banks.order_on(12, 1, Action::Unstop).await.unwrap().state, State::Issued);
    // The first order again is old news, not a new stop.
    assert_eq!(banks.order_on(11, 1, stop.clone()).await.unwrap().state, State::Issued);
    let id = banks.collected(&back).await;
    assert_eq!(code(banks.order_on(13, 1, stop.clone()).await), Code::Conflict, "stop after payment");
    assert_eq!(code(banks.order_on(14, 1, Action::Void).await), Code::Conflict);
    banks.settle(id, true).await;
    banks.cheque(2, 1_000).await;
    assert_eq!(banks.order_on(15, 2, Action::Void).await.unwrap().state, State::Voided);
    assert_eq!(code(banks.order_on(16, 3, Action::Void).await), Code::NotFound);
    assert_eq!(banks.balances().await, ("90.00".into(), "10.00".into()));
    banks.sound().await;
}

#[tokio::test]
async fn a_certified_cheque_cannot_bounce() {
    let banks = Banks::new().await;
    banks.cheque(1, 6_000).await;
    banks.cheque(2, 6_000).await;
    let certified = banks.certify(1).await.unwrap();
    assert_eq!(banks.certify(1).await.unwrap(), certified, "once");
    assert!(banks.verified(&certified).is_certified());
    assert_eq!(code(banks.certify(2).await), Code::InsufficientFunds);
    assert_eq!(banks.balances().await.0, "40.00");
    let customer = Action::Stop(StopReason::Cust);
    assert!(banks.order_on(11, 1, customer).await.is_err(), "only loss or fraud stops it");
    let lost = Action::Stop(StopReason::Lost);
    assert_eq!(banks.order_on(12, 1, lost).await.unwrap().state, State::Stopped);
    assert_eq!(banks.order_on(13, 1, Action::Unstop).await.unwrap().state, State::Certified);
    assert!(banks.order_on(14, 1, Action::Void).await.is_err(), "the payee holds it");
    banks.sound().await;
    let payout = json!({"command": "account_payout", "name": "alice", "amount": "40.00"});
    banks.north.command(payout).await.unwrap();
    // It does not go stale either.
    banks.at(400 * DAY).await;
    banks.north.bank.expire_cheques().await.unwrap();
    assert_eq!((banks.state(1).await, banks.state(2).await), (State::Certified, State::Expired));
    let id = banks.collected(&certified).await;
    banks.settle(id, true).await;
    assert_eq!(banks.balances().await, ("0.00".into(), "60.00".into()));
    banks.sound().await;
}

#[tokio::test]
async fn a_certified_cheque_to_oneself_can_be_voided() {
    let banks = Banks::new().await;
    let order = banks.order(payee(&banks.north, &banks.alice), 4_000, today(), true);
    let request = banks.drawn(1, order, true).await;
    let file = banks.issue(&request).await.unwrap();
    assert!(banks.verified(&file).is_certified());
    assert_eq!(banks.balances().await.0, "60.00");
    assert_eq!(banks.order_on(11, 1, Action::Void).await.unwrap().state, State::Voided);
    assert_eq!(banks.balances().await.0, "100.00");
    banks.sound().await;
}

#[tokio::test]
async fn the_register_controls_endorsements() {
    let banks = Banks::new().await;
    let cheque = banks.written(1, 1_000, today(), true).await;
    let to_carol = banks.endorsed(&cheque, &banks.bob, payee(&banks.west, &banks.carol));
    let to_alice = banks.endorsed(&cheque, &banks.bob, payee(&banks.north, &banks.alice));
    // Not told to the register: the file alone does not move it.
    let slip = banks.slip(&to_carol.cheque, "west", &banks.carol);
    let outcome = banks.present(&banks.presented(&slip)).await.unwrap();
    assert!(matches!(outcome, ChequeOutcome::Returned(ReturnCode::EndorsementMissing, _)), "{outcome:?}");
    assert_eq!(code(banks.endorse(&banks.carol, &to_carol).await), Code::Forbidden, "a stranger");
    for _ in 0..2 {
        banks.endorse(&banks.bob, &to_carol).await.unwrap();
    }
    // The copy that Bob kept is worth nothing any more.
    assert_eq!(code(banks.endorse(&banks.bob, &to_alice).await), Code::Forbidden);
    assert_eq!(banks.bounced(&cheque).await.0, ReturnCode::NotTransferable);
    assert_eq!(banks.state(1).await, State::Issued);
    let ChequeOutcome::Returned(_, back) = outcome else { unreachable!("matched above") };
    let slip = banks.slip(&back, "west", &banks.carol);
    let answer: ChequeDepositResponse =
        banks.west.ask(Some(&banks.carol.peer), "/v1/account/cheque/deposit", &slip).await.unwrap();
    let ChequeDepositResponse::Pending { presentment, paid: true } = answer else { panic!("{answer:?}") };
    banks.tell(&banks.west, presentment, true).await.unwrap();
    banks.tell(&banks.north, presentment, true).await.unwrap();
    assert_eq!(banks.west.balance(&banks.carol).await, "10.00");
    banks.sound().await;
}

#[tokio::test]
async fn two_presentments_at_the_same_instant_pay_once() {
    let banks = Banks::new().await;
    for n in 1..=8 {
        let cheque = banks.written(n, 100, today(), true).await;
        let passed = banks.endorsed(&cheque, &banks.bob, payee(&banks.west, &banks.carol));
        let first = banks.presented(&banks.slip(&cheque, "south", &banks.bob));
        let second = banks.presented(&banks.slip(&passed.cheque, "west", &banks.carol));
        if n % 2 == 0 {
            banks.endorse(&banks.bob, &passed).await.unwrap();
        }
        let (one, two, again) =
            tokio::join!(banks.present(&first), banks.present(&second), banks.present(&first));
        let (one, two, again) = (one.unwrap(), two.unwrap(), again.unwrap());
        assert_eq!(one, again, "the same presentment has one answer");
        let paid = [&one, &two].map(|outcome| matches!(outcome, ChequeOutcome::Paid(_)));
        assert_eq!(paid, if n % 2 == 0 { [false, true] } else { [true, false] });
        assert_eq!(banks.present(&first).await.unwrap(), one);
        // Another deposit of the same file later.
        banks.at(60 + n).await;
        let later = banks.presented(&banks.slip(&cheque, "south", &banks.bob));
        assert_eq!(later.id, first.id);
        let other = banks.present(&later).await.unwrap();
        assert!(matches!(&other, ChequeOutcome::Refused(fault) if fault.code == Code::Conflict), "{other:?}");
    }
    assert_eq!(banks.balances().await.0, "92.00");
    banks.sound().await;
}

#[tokio::test]
async fn a_paid_cheque_presented_again_is_a_duplicate_and_the_first_goes_on() {
    let banks = Banks::new().await;
    let plain = banks.cheque(1, 1_000).await;
    let certified = banks.certify(1).await.unwrap();
    // Two files of one cheque: two presentments.
    let id = banks.collected(&certified).await;
    assert_eq!(banks.bounced(&plain).await.0, ReturnCode::Duplicate);
    assert_eq!(banks.state(1).await, State::Paid);
    banks.settle(id, true).await;
    assert_eq!(banks.state(1).await, State::Settled);
    assert_eq!(banks.balances().await, ("90.00".into(), "10.00".into()));
    banks.sound().await;
}

#[tokio::test]
async fn dates_count_by_the_calendar() {
    let banks = Banks::new().await;
    let ahead = Day::of(Timestamp::new(NOW + 10 * DAY));
    let cheque = banks.written(1, 1_000, ahead, false).await;
    let (code, back) = banks.bounced(&cheque).await;
    assert_eq!((code, banks.state(1).await), (ReturnCode::PostDated, State::Issued));
    let slip = banks.slip(&back, "south", &banks.bob);
    // NOW is 15 January 2027: 31 August is 228 days later, and six months end on the last of February.
    let august = Day::new(2027, 8, 31).unwrap();
    banks.written(2, 1_000, august, false).await;
    let last = 410 * DAY;
    assert_eq!(Day::of(Timestamp::new(NOW + last)), Day::new(2028, 2, 29).unwrap());
    banks.at(last).await;
    banks.north.bank.expire_cheques().await.unwrap();
    assert_eq!((banks.state(1).await, banks.state(2).await), (State::Expired, State::Issued));
    assert!(matches!(
        banks.deposit(&slip).await.unwrap(),
        ChequeDepositResponse::Final(ChequeOutcome::Returned(ReturnCode::Stale, _))
    ));
    banks.at(last + DAY).await;
    banks.north.bank.expire_cheques().await.unwrap();
    assert_eq!(banks.state(2).await, State::Expired);
    banks.sound().await;
}

#[tokio::test]
async fn a_cheque_inside_one_bank_is_final_at_once() {
    let banks = Banks::new().await;
    let dora = banks.world.customer(&banks.north, "dora-of-north", "0").await;
    banks.at(61).await;
    let order = banks.order(payee(&banks.north, &dora), 1_500, today(), false);
    let request = banks.drawn(1, order, false).await;
    let cheque = banks.issue(&request).await.unwrap();
    let slip = banks.slip(&cheque, "north", &dora);
    let path = "/v1/account/cheque/deposit";
    let ask = async |slip| banks.north.ask::<_, ChequeDepositResponse>(Some(&dora.peer), path, slip).await;
    *banks.north.line.verdict.lock().unwrap() = Some(ReturnCode::Technical);
    assert_eq!(code(ask(&slip).await), Code::Unavailable, "no word about the cheque is no return");
    *banks.north.line.verdict.lock().unwrap() = Some(ReturnCode::ReferToDrawer);
    let answer = ask(&slip).await.unwrap();
    let ChequeDepositResponse::Final(ChequeOutcome::Returned(ReturnCode::ReferToDrawer, back)) = &answer
    else {
        panic!("the center is asked: {answer:?}")
    };
    *banks.north.line.verdict.lock().unwrap() = None;
    assert_eq!(ask(&slip).await.unwrap(), answer, "a return is final");
    let slip = banks.slip(back, "north", &dora);
    for _ in 0..2 {
        let answer: ChequeDepositResponse =
            banks.north.ask(Some(&dora.peer), "/v1/account/cheque/deposit", &slip).await.unwrap();
        let ChequeDepositResponse::Final(ChequeOutcome::Paid(file)) = answer else { panic!("{answer:?}") };
        assert_eq!(banks.verified(&file).phase(), Phase::Settled);
    }
    assert_eq!(banks.north.balance(&dora).await, "15.00");
    assert_eq!((banks.balances().await.0.as_str(), banks.state(1).await), ("85.00", State::Settled));
    banks.sound().await;
}

#[tokio::test]
async fn boxes_keep_good_cheques_for_their_account() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    let send = |account: &str| SendRequest {
        account: feiqian_wire::Text::new(account).unwrap(),
        cheque: cheque.clone(),
    };
    let path = "/v1/account/cheque/send";
    for _ in 0..2 {
        banks.south.ask::<_, ()>(Some(&banks.alice.peer), path, &send(&banks.bob.token)).await.unwrap();
    }
    let wrong = banks.west.ask::<_, ()>(Some(&banks.alice.peer), path, &send(&banks.carol.token)).await;
    assert_eq!(code(wrong), Code::Forbidden);
    let inbox: InboxResponse =
        banks.south.ask(Some(&banks.bob.peer), "/v1/account/cheque/inbox", &()).await.unwrap();
    assert_eq!(inbox.cheques.to_vec(), std::slice::from_ref(&cheque));
    let file = feiqian_cheque::messages::ChequeItem { cheque }.file_digest();
    let delete = InboxDelete { file };
    for _ in 0..2 {
        let path = "/v1/account/cheque/inbox/delete";
        banks.south.ask::<_, ()>(Some(&banks.bob.peer), path, &delete).await.unwrap();
    }
    let inbox: InboxResponse =
        banks.south.ask(Some(&banks.bob.peer), "/v1/account/cheque/inbox", &()).await.unwrap();
    assert!(inbox.cheques.is_empty());
}

#[tokio::test]
async fn books_are_allotted_once_and_bounded() {
    let banks = Banks::new().await;
    let book = banks.book(1, 10).await.unwrap();
    assert_eq!(banks.book(1, 10).await.unwrap(), book);
    assert_eq!(code(banks.book(1, 11).await), Code::Conflict);
    assert_eq!(banks.book(2, 5).await.unwrap().allotment.first.0, 11);
    assert_eq!(code(banks.book(3, 101).await), Code::RequestInvalid);
    banks.book(4, 100).await.unwrap();
    assert_eq!(code(banks.book(5, 100).await), Code::LimitExceeded);
    let ids = Bounded::new(vec![digest(9)]).unwrap();
    let states: StateResponse =
        banks.north.ask(None, "/v1/cheque/state", &StateRequest { ids }).await.unwrap();
    assert_eq!(states.states.to_vec(), [None]);
}
