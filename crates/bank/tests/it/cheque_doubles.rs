//! Messages that come twice, late, or together; answers that say less than expected; files without room.

use std::sync::{Arc, Mutex};

use feiqian_cheque::messages::{ChequeDeposit, ChequeDepositResponse, ChequeItem, ChequeOutcome};
use feiqian_cheque::progress::Phase;
use feiqian_cheque::{ReturnCode, State};
use feiqian_clearing::membership::Funding;
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_clearing::remittance::{TransferItem, TransferOrder, TransferOutcome, TransferReturn};
use feiqian_crypto::Id16;
use feiqian_money::{Amount, Currency};
use feiqian_node::{Access, Route, Routes, Shutdown};
use feiqian_pki::{KeyPair, Role};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, Timestamp, U64};
use serde_json::json;

use crate::certificates::renew;
use crate::cheque_world::{Banks, payee, today};
use crate::remittance::{order, send};
use crate::world::{code, minor};

#[tokio::test]
async fn a_settlement_is_booked_though_nothing_can_be_signed_into_the_file() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    let undone = banks.cheque(2, 1_000).await;
    let slips = [&cheque, &undone].map(|file| banks.slip(file, "south", &banks.bob));
    let ids = [banks.collected(&cheque).await, banks.collected(&undone).await];
    // Every list has ended: no document can be judged.
    banks.world.at(60 + 86_400 + 1);
    for (id, settled) in ids.into_iter().zip([true, false]) {
        banks.settle(id, settled).await;
    }
    assert_eq!(banks.balances().await, ("90.00".into(), "10.00".into()));
    banks.lists().await;
    for (slip, settled) in slips.iter().zip([true, false]) {
        let file = match banks.deposit(slip).await.unwrap() {
            ChequeDepositResponse::Final(ChequeOutcome::Paid(file)) if settled => file,
            ChequeDepositResponse::Final(ChequeOutcome::Returned(ReturnCode::SettlementFailed, file))
                if !settled =>
            {
                file
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(banks.verified(&file).phase(), Phase::Paid, "as it was");
    }
    banks.sound().await;
}

/// A center that answers with what it was told to.
struct Center(Mutex<Option<ChequeOutcome>>);

impl Center {
    async fn answer(
        self: Arc<Self>,
        _: feiqian_node::Peer,
        presentment: Presentment<ChequeItem>,
    ) -> Result<Presented<ChequeOutcome>, Fault> {
        let outcome = self.0.lock().unwrap().clone().unwrap();
        Ok(Presented { id: presentment.id, outcome })
    }
}

#[tokio::test]
async fn a_return_needs_no_block_but_the_presented_file() {
    let banks = Banks::new().await;
    let center = Arc::new(Center(Mutex::new(None)));
    let route = Route::new("/v1/pay/cheque").access(Access::Peer(&[Role::Center])).limit(Limit::Large);
    banks
        .world
        .relay(&banks.south, Routes::new(Arc::clone(&center)).add(route, Center::answer).into_router());
    let other = banks.cheque(9, 1_000).await;
    for (number, bare) in [(1, true), (2, false)] {
        let cheque = banks.cheque(number, 1_000).await;
        let slip = banks.slip(&cheque, "south", &banks.bob);
        let answer = |file| ChequeOutcome::Returned(ReturnCode::SettlementFailed, file);
        *center.0.lock().unwrap() = Some(answer(other.clone()));
        let unbelieved = banks.deposit(&slip).await.unwrap();
        assert!(matches!(unbelieved, ChequeDepositResponse::Pending { paid: false, .. }), "another file");
        // Undone after it was paid, the center could not sign: or it could not from the beginning.
        let file = if bare {
            slip.cheque.clone()
        } else {
            let paid = banks.present(&banks.presented(&slip)).await.unwrap();
            let ChequeOutcome::Paid(file) = paid else { panic!("{paid:?}") };
            file
        };
        *center.0.lock().unwrap() = Some(answer(file.clone()));
        assert_eq!(banks.deposit(&slip).await.unwrap(), ChequeDepositResponse::Final(answer(file)));
    }
    assert_eq!(banks.south.balance(&banks.bob).await, "0.00");
    banks.south.assert_sound().await;
}

#[tokio::test]
async fn a_presentment_that_was_returned_is_not_paid_later() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    banks.at(3_600).await;
    let presented = banks.presented(&banks.slip(&cheque, "south", &banks.bob));
    // By the drawee's clock the deposit lies ahead.
    banks.world.at(60);
    let first = banks.present(&presented).await.unwrap();
    assert_eq!(first, ChequeOutcome::Returned(ReturnCode::Altered, presented.item.cheque.clone()));
    banks.at(3_601).await;
    assert_eq!(banks.present(&presented).await.unwrap(), first);
    assert_eq!(banks.state(1).await, State::Issued);
    // The same file is good under a deposit of its own.
    let again = banks.presented(&banks.slip(&cheque, "south", &banks.bob));
    assert!(matches!(banks.present(&again).await.unwrap(), ChequeOutcome::Paid(_)));
    banks.north.assert_sound().await;
}

fn transfer(banks: &Banks, order: &TransferOrder, sequence: u64, at: Timestamp) -> Presentment<TransferItem> {
    let key = KeyPair::from_seed(&[11; 32]);
    let chain = banks.alice.chain.0.clone();
    let item = TransferItem::sign(order.clone(), chain, U64(sequence), at, &key).unwrap();
    let terms = order.terms.clone();
    let digest = terms.digest();
    Presentment::new(terms.bank, terms.account, terms.amount, ItemKind::Transfer, &digest, item)
}

async fn receive(banks: &Banks, presentment: &Presentment<TransferItem>) -> TransferOutcome {
    let answer: Presented<TransferOutcome> =
        banks.south.ask(Some(&banks.world.center), "/v1/pay/transfer", presentment).await.unwrap();
    answer.outcome
}

#[tokio::test]
async fn a_transfer_that_was_returned_is_not_booked_later() {
    let banks = Banks::new().await;
    let ahead = Timestamp::new(banks.now().seconds() + 1_000);
    let early = transfer(&banks, &order(&banks, 1, "south", &banks.bob.token, 1_000), 1, ahead);
    let returned = TransferOutcome::Returned(TransferReturn::CertInvalid);
    assert_eq!(receive(&banks, &early).await, returned, "dated ahead");
    banks.at(2_000).await;
    assert_eq!(receive(&banks, &early).await, returned);
    assert_eq!(banks.south.balance(&banks.bob).await, "0.00");
    let good = transfer(&banks, &order(&banks, 2, "south", &banks.bob.token, 1_000), 2, ahead);
    assert_eq!(receive(&banks, &good).await, TransferOutcome::Booked);
    banks.south.assert_sound().await;
}

#[tokio::test]
async fn a_sender_the_receiver_has_not_heard_of_yet_is_asked_about() {
    let banks = Banks::new().await;
    let rent = transfer(&banks, &order(&banks, 1, "south", &banks.bob.token, 1_000), 1, banks.now());
    banks.world.news(&banks.south);
    let lists = banks.south.bank.members().snapshot().lists().all().to_vec();
    let view = feiqian_node::MemberView::empty(banks.world.trusted()).with_lists(&lists, banks.now());
    banks.south.bank.members().replace(view);
    let unknown = banks.south.ask::<_, Presented<TransferOutcome>>(
        Some(&banks.world.center),
        "/v1/pay/transfer",
        &rent,
    );
    // The directory is there now, the list is not: still no verdict.
    assert_eq!(code(unknown.await), Code::Unavailable);
    banks.lists().await;
    assert_eq!(receive(&banks, &rent).await, TransferOutcome::Booked);
}

#[tokio::test]
async fn the_customers_certificate_is_judged_when_the_bank_vouched() {
    let mut banks = Banks::new().await;
    banks.at(100).await;
    let before = transfer(&banks, &order(&banks, 1, "south", &banks.bob.token, 1_000), 1, banks.now());
    banks.at(120).await;
    let late = Timestamp::new(banks.now().seconds() + 3);
    let after = transfer(&banks, &order(&banks, 2, "south", &banks.bob.token, 1_000), 2, late);
    let rent = order(&banks, 3, "south", &banks.bob.token, 3_000);
    assert_eq!(code(send(&banks, &rent).await), Code::Unavailable, "the line is cut");
    banks.at(122).await;
    banks.alice = renew(&banks, 200).await.unwrap();
    banks.at(125).await;
    assert_eq!(receive(&banks, &before).await, TransferOutcome::Booked);
    let returned = TransferOutcome::Returned(TransferReturn::CertInvalid);
    assert_eq!(receive(&banks, &after).await, returned);
    // What was ordered before the renewal is not judged by the new key.
    assert_eq!(code(send(&banks, &rent).await), Code::Unavailable);
    banks.world.connect(&banks.north, &banks.south).await;
    banks.north.bank.drain_outbox(&Shutdown::new()).await.unwrap();
    assert_eq!(send(&banks, &rent).await.unwrap(), TransferOutcome::Booked);
    banks.sound().await;
}

#[tokio::test]
async fn what_paid_cheques_will_cost_is_not_sent_away() {
    let banks = Banks::new().await;
    let fund = json!({"command": "account_fund", "name": "alice", "amount": "9950.00"});
    banks.north.command(fund).await.unwrap();
    let id = banks.collected(&banks.cheque(1, 600_000).await).await;
    let rent = order(&banks, 1, "south", &banks.bob.token, 400_001);
    assert_eq!(code(send(&banks, &rent).await), Code::SettlementFailed, "6000 of 10000 are owed");
    banks.sound().await;
    let amount = Amount::new(minor(1), Currency::CNY);
    let funding = Funding { id: Id16([99; 16]), amount, at: banks.now() };
    banks.north.bank.book_fundings(vec![funding]).await.unwrap();
    assert_eq!(code(send(&banks, &rent).await), Code::Unavailable, "stored; the line is cut");
    banks.settle(id, true).await;
    banks.sound().await;
}

#[tokio::test]
async fn the_same_cheque_handed_in_twice_at_once_is_issued_once() {
    let banks = Banks::new().await;
    for n in 1..=4 {
        let order = banks.order(payee(&banks.south, &banks.bob), 1_000, today(), false);
        let request = banks.drawn(n, order, n % 2 == 0).await;
        let (one, two, three) =
            tokio::join!(banks.issue(&request), banks.issue(&request), banks.issue(&request));
        let one = one.unwrap();
        assert_eq!((two.unwrap(), three.unwrap()), (one.clone(), one));
    }
    banks.sound().await;
}

#[tokio::test]
async fn a_cheque_that_came_back_to_its_drawer_moves_nothing() {
    let banks = Banks::new().await;
    let order = banks.order(payee(&banks.north, &banks.alice), 1_000, today(), true);
    let cheque = banks.issue(&banks.drawn(1, order, false).await).await.unwrap();
    let slip: ChequeDeposit = banks.slip(&cheque, "north", &banks.alice);
    let answer: ChequeDepositResponse =
        banks.north.ask(Some(&banks.alice.peer), "/v1/account/cheque/deposit", &slip).await.unwrap();
    assert!(
        matches!(answer, ChequeDepositResponse::Final(ChequeOutcome::Returned(ReturnCode::ReferToDrawer, _))),
        "{answer:?}"
    );
    assert_eq!(banks.north.balance(&banks.alice).await, "100.00");
    banks.sound().await;
}
