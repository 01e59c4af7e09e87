//! The bank dies before and after the commits that no other test kills it at: accounts, same-bank items, boxes, orders on
//! cheques, refusals, sessions that end, housekeeping. After a restart the same is asked again, and has happened once.

use feiqian_bank::restored::void_open_sessions;
use feiqian_cheque::messages::{
    Action, CertificateRevoke, ChequeDeposit, ChequeDepositResponse, ChequeItem, ChequeOutcome, InboxDelete,
    InboxResponse, SendRequest,
};
use feiqian_cheque::{ReturnCode, State, StopReason};
use feiqian_clearing::presentment::Presented;
use feiqian_clearing::remittance::TransferOutcome;
use feiqian_crypto::{Id16, Scalar};
use feiqian_node::Shutdown;
use feiqian_offline_cash::withdraw::{BeginResponse as OfflineBegin, FinishResponse as OfflineFinish};
use feiqian_online_cash::account::{DepositResponse, EnrolResponse};
use feiqian_online_cash::coin::public_key;
use feiqian_online_cash::deposit::{CashItem, Outcome, OutcomeRequest, OutcomeResponse, Receipt};
use feiqian_online_cash::drop_box::{BoxAccess, BoxAction, BoxMessages, PutRequest, Sealed};
use feiqian_online_cash::issue::{BeginResponse, FinishResponse};
use feiqian_online_cash::recovery::{Generations, GenerationsRequest};
use feiqian_online_cash::refund::{RefundItem, RefundOrder, RefundOutcome};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Name, Text, Timestamp};
use serde_json::{Value, json};

use crate::certificates::list;
use crate::cheque_world::{Banks, payee, today};
use crate::clearing::two_banks;
use crate::deaths::{SIDES, plan, reached};
use crate::offline_world::{OffWorld, tune};
use crate::remittance::{order as transfer_order, send};
use crate::world::{Holder, NOW, Node, World, code, digest, enrolment, minor, pay, presented, rng};

const DAY: u64 = 86_400;

/// The bank dies at `point` while it does `act`, runs again and does it again: what it says then.
async fn dies<T: std::fmt::Debug>(
    world: &World,
    node: &mut Node,
    (point, after): (&'static str, bool),
    act: impl AsyncFn(&Node) -> Result<T, Fault>,
) -> T {
    plan(node, point, after);
    let lost = act(node).await;
    reached(node, point);
    assert!(lost.is_err_and(|fault| !fault.is_definitive()), "{point}: nobody is answered by a dead bank");
    world.restart(node).await;
    node.assert_sound().await;
    let answer = act(node).await.unwrap_or_else(|fault| panic!("{point}, after {after}: {fault}"));
    node.assert_sound().await;
    answer
}

async fn deposit(node: &Node, holder: &Holder, item: &CashItem) -> Result<Outcome, Fault> {
    match node.ask(Some(&holder.peer), "/v1/deposit", item).await? {
        DepositResponse::Final(outcome) => Ok(outcome),
        DepositResponse::Pending { .. } => panic!("own coins are final at once"),
    }
}

async fn paid(node: &Node, holder: &Holder, item: &CashItem) -> Receipt {
    match deposit(node, holder, item).await.unwrap() {
        Outcome::Paid(receipt) => receipt,
        other => panic!("{other:?}"),
    }
}

/// Opened, enrolled, funded, numbered, emptied and closed: each command once, with a death in the middle of it.
#[tokio::test]
async fn an_accounts_life_with_a_death_at_each_step() {
    for after in SIDES {
        let world = World::new();
        let mut node = world.bank("north", 10).await;
        world.publish(&[&node]).await;
        let run = |command: Value| async move |node: &Node| node.command(command.clone()).await;
        let open = run(json!({"command": "account_open", "name": "alice", "role": "customer"}));
        let opened = dies(&world, &mut node, ("bank.account.open", after), open).await;
        let (request, signing) = enrolment(&node, &opened, 7);
        let enrolled: EnrolResponse = dies(&world, &mut node, ("bank.enrol", after), async |node| {
            node.ask(None, "/v1/enrol", &request).await
        })
        .await;
        let alice = world.holder(enrolled, signing);
        let fund = json!({"command": "account_fund", "name": "alice", "amount": "5.00", "reference": "pay"});
        let funded = dies(&world, &mut node, ("bank.account.fund", after), run(fund)).await;
        assert_eq!(funded["balance"], "5.00", "once");
        let mandate = json!({"command": "mandate", "name": "alice", "required": 1, "drawers": ["alice"]});
        dies(&world, &mut node, ("bank.cheque.mandate", after), run(mandate)).await;
        let add = GenerationsRequest { add: Some(Id16([9; 16])) };
        let known: Generations = dies(&world, &mut node, ("bank.generation.add", after), async |node| {
            node.ask(Some(&alice.peer), "/v1/account/generations", &add).await
        })
        .await;
        assert_eq!(known.known.to_vec(), [Id16([9; 16])]);
        let statement = run(json!({"command": "statement", "name": "alice"}));
        let closed = dies(&world, &mut node, ("bank.statement.close", after), statement).await;
        assert_eq!((&closed["number"], &closed["closing"]), (&json!(1), &json!("5.00")));
        let payout =
            json!({"command": "account_payout", "name": "alice", "amount": "5.00", "reference": "out"});
        let left = dies(&world, &mut node, ("bank.account.payout", after), run(payout)).await;
        assert_eq!(left["balance"], "0.00", "once");
        let close = run(json!({"command": "account_close", "name": "alice"}));
        let ended = dies(&world, &mut node, ("bank.account.close", after), close).await;
        assert_eq!(ended["state"], "closed");
        let accounts = node.command(json!({"command": "account_list"})).await.unwrap();
        assert_eq!(accounts["accounts"].as_array().map(Vec::len), Some(1), "{accounts}");
    }
}

#[tokio::test]
async fn a_certificate_is_revoked_once_and_stays_so() {
    for after in SIDES {
        let world = World::new();
        let (mut node, alice) = world.with_customer().await;
        let lines = list(&node, &alice).await.lines;
        let signing = lines.iter().find(|line| line.signing).unwrap();
        let revoke = CertificateRevoke { serial: signing.serial.clone(), compromised: true };
        dies::<()>(&world, &mut node, ("bank.certificate.revoke", after), async |node| {
            node.ask(Some(&alice.peer), "/v1/account/certificate/revoke", &revoke).await
        })
        .await;
        let lines = list(&node, &alice).await.lines;
        assert_eq!(lines.iter().filter(|line| line.revoked.is_some()).count(), 1);
        let shown = crate::certificates::crl(&node).await;
        assert_eq!(shown.entries().count(), 1, "the list that others get says it, after {after}");
    }
}

#[tokio::test]
async fn cash_within_one_bank_moves_once() {
    for after in SIDES {
        let world = World::new();
        let (mut node, alice) = world.with_customer().await;
        let coins = node.withdraw(&alice, 1, &[64, 32]).await;
        let item = pay(&node.request(&alice, 1, 70, 3600), &[(&coins[0], 64), (&coins[1], 6)]);
        let taken = dies(&world, &mut node, ("bank.deposit.own", after), async |node| {
            deposit(node, &alice, &item).await
        })
        .await;
        let Outcome::Paid(receipt) = taken else { panic!("{taken:?}") };
        assert_eq!(node.balance(&alice).await, "99.74");
        let mut part = receipt.amount;
        part.minor = minor(10);
        let bank = receipt.bank.clone();
        let order = RefundOrder::sign(digest(5), bank, receipt.payment, part, &alice.signing).unwrap();
        let item = RefundItem { order, receipt, payee: alice.chain.clone() };
        let booked: RefundOutcome = dies(&world, &mut node, ("bank.refund.own", after), async |node| {
            node.ask(Some(&alice.peer), "/v1/refund", &item).await
        })
        .await;
        assert_eq!(booked, RefundOutcome::Booked);
        assert_eq!(node.balance(&alice).await, "99.64", "once");
    }
}

#[tokio::test]
async fn a_double_spend_leaves_its_evidence_whenever_the_bank_dies() {
    for after in SIDES {
        let world = World::new();
        let (mut node, alice) = world.with_customer().await;
        let coins = node.withdraw(&alice, 1, &[64]).await;
        let [good, bad] = [(1, 20), (2, 50)]
            .map(|(n, part)| pay(&node.request(&alice, n, part, 3600), &[(&coins[0], part)]));
        paid(&node, &alice, &good).await;
        let told = dies(&world, &mut node, ("bank.pay.evidence", after), async |node| {
            deposit(node, &alice, &bad).await
        })
        .await;
        assert!(matches!(told, Outcome::DoubleSpent(_)), "{told:?}");
        let kept = node.command(json!({"command": "evidence"})).await.unwrap();
        assert_eq!(kept["evidence"].as_array().map(Vec::len), Some(1), "{kept}");
    }
}

#[tokio::test]
async fn what_expired_is_refused_and_released_for_ever() {
    for after in SIDES {
        let world = World::new();
        let (mut north, south, alice, merry) = two_banks(&world).await;
        world.connect(&south, &north).await;
        let coins = north.withdraw(&alice, 1, &[64, 32]).await;
        let late = pay(&south.request(&merry, 1, 20, 100), &[(&coins[0], 20)]);
        let late = presented("south", &merry, &late);
        let lapsed = pay(&north.request(&alice, 2, 32, 100), &[(&coins[1], 32)]);
        world.at(100);
        let refused = dies(&world, &mut north, ("bank.pay.refused", after), async |node| {
            let answer: Presented<Outcome> = node.ask(Some(&world.center), "/v1/pay/payment", &late).await?;
            Ok(answer.outcome)
        })
        .await;
        assert!(matches!(refused, Outcome::Refused(fault) if fault.code == Code::Expired));
        let request = &lapsed.request.request;
        let question = OutcomeRequest {
            bank: Name::new("north").unwrap(),
            expires: request.expires,
            body: request.body_digest(),
            shares: Bounded::new(lapsed.payment.coins.iter().map(|coin| coin.share).collect()).unwrap(),
        };
        let told: OutcomeResponse = dies(&world, &mut north, ("bank.outcome.release", after), async |node| {
            node.ask(None, "/v1/outcome", &question).await
        })
        .await;
        assert!(matches!(told, OutcomeResponse::Expired(_)), "{told:?}");
        // Even if the clock turns back, neither is taken any more.
        world.at(0);
        let again: Presented<Outcome> =
            north.ask(Some(&world.center), "/v1/pay/payment", &late).await.unwrap();
        assert!(matches!(again.outcome, Outcome::Refused(fault) if fault.code == Code::Expired));
        let again = deposit(&north, &alice, &lapsed).await.unwrap();
        assert!(matches!(again, Outcome::Refused(fault) if fault.code == Code::Expired));
        assert_eq!(north.assert_sound().await.in_circulation(), 96);
    }
}

#[tokio::test]
async fn a_session_that_ends_in_a_crash_is_void_and_costs_nothing() {
    for after in SIDES {
        let world = World::new();
        let (mut node, alice) = world.with_customer().await;
        let begun = node.begin(Some(&alice), 1, &[1 << 14]).await;
        let request = begun.finish(node.account_funding(&alice, &begun));
        let path = "/v1/account/issue/finish";
        // Not enough on the account: the session is voided, and the bank dies over it.
        plan(&node, "bank.issue.void", after);
        assert!(node.ask::<_, FinishResponse>(Some(&alice.peer), path, &request).await.is_err());
        reached(&node, "bank.issue.void");
        world.restart(&mut node).await;
        node.assert_sound().await;
        let refused = node.ask::<_, FinishResponse>(Some(&alice.peer), path, &request).await;
        assert_eq!(code(refused), Code::Void, "after {after}");
        assert_eq!(node.balance(&alice).await, "100.00");
        node.withdraw(&alice, 2, &[64]).await;
        node.assert_sound().await;
    }
}

#[tokio::test]
async fn an_offline_session_that_ends_in_a_crash_is_void_and_costs_nothing() {
    for after in SIDES {
        let (mut off, mut north) = OffWorld::one(tune).await;
        let alice = off.person(&north, "alice", "1.00").await;
        let (peer, path) = (alice.holder.peer.clone(), "/v1/account/offline/begin");
        let request = off.begin_request(&north, &[8]);
        let begun: OfflineBegin = north.ask(Some(&peer), path, &request).await.unwrap();
        assert!(matches!(begun, OfflineBegin::Open(_)));
        let (_, finish) = off.pend(&north, &alice, &request, &[8]).await.unwrap();
        off.world.restart(&mut north).await;
        let answer: Result<OfflineFinish, Fault> = {
            plan(&north, "bank.offline.void", after);
            let lost: Result<OfflineFinish, Fault> =
                north.ask(Some(&peer), "/v1/account/offline/finish", &finish).await;
            assert!(lost.is_err());
            reached(&north, "bank.offline.void");
            off.world.restart(&mut north).await;
            north.assert_sound().await;
            north.ask(Some(&peer), "/v1/account/offline/finish", &finish).await
        };
        assert_eq!(code(answer), Code::Void, "after {after}");
        let again: OfflineBegin = north.ask(Some(&peer), path, &request).await.unwrap();
        assert_eq!(again, OfflineBegin::Void);
        assert_eq!(north.balance(&alice.holder).await, "1.00");
        off.withdraw(&north, &alice, &[8]).await.unwrap();
        assert_eq!(north.balance(&alice.holder).await, "0.92");
        north.assert_sound().await;
    }
}

#[tokio::test]
async fn a_restored_store_voids_its_open_sessions_however_often_it_is_interrupted() {
    for after in SIDES {
        let world = World::new();
        let (mut node, alice) = world.with_customer().await;
        let open = node.begin(Some(&alice), 1, &[8]).await;
        let answered = node.begin(Some(&alice), 2, &[16]).await;
        let request = answered.finish(node.account_funding(&alice, &answered));
        let path = "/v1/account/issue/finish";
        let first: FinishResponse = node.ask(Some(&alice.peer), path, &request).await.unwrap();
        plan(&node, "bank.restore.void", after);
        assert!(void_open_sessions(&*node.store).await.is_err());
        reached(&node, "bank.restore.void");
        let voided = void_open_sessions(&*node.store).await.unwrap();
        assert_eq!(voided, u64::from(!after), "what was voided is voided");
        world.restart(&mut node).await;
        let again: FinishResponse = node.ask(Some(&alice.peer), path, &request).await.unwrap();
        assert_eq!(again, first, "what was answered stays answered");
        let begin: BeginResponse =
            node.ask(Some(&alice.peer), "/v1/account/issue/begin", &open.request).await.unwrap();
        assert_eq!(begin, BeginResponse::Void);
        assert_eq!(node.balance(&alice).await, "99.84");
        node.assert_sound().await;
    }
}

#[tokio::test]
async fn a_drop_box_keeps_a_message_once_until_it_is_fetched_or_its_time_is_over() {
    for after in SIDES {
        let world = World::new();
        let mut node = world.bank("north", 10).await;
        let secret = Scalar::from(7_u64);
        let put = |text: &[u8], n: u64, keep: u64| {
            let payee = public_key(&secret);
            let message = Sealed::seal(&payee, text, &mut rng(n)).unwrap();
            PutRequest { payee, message, keep_until: Timestamp::new(NOW + keep) }
        };
        let access = async |node: &Node, action: BoxAction| -> Result<Vec<Sealed>, Fault> {
            let access = BoxAccess::sign("north", &secret, action, &mut rng(2)).unwrap();
            let answer: BoxMessages = node.ask(None, "/v1/drop/access", &access).await?;
            Ok(answer.messages.into_vec())
        };
        let first = put(b"a payment", 1, 1_000);
        dies::<()>(&world, &mut node, ("bank.drop.put", after), async |node| {
            node.ask(None, "/v1/drop/put", &first).await
        })
        .await;
        node.ask::<_, ()>(None, "/v1/drop/put", &put(b"soon over", 2, 100)).await.unwrap();
        let found = access(&node, BoxAction::Collect).await.unwrap();
        assert_eq!(found.len(), 2, "each once");
        let message = first.message.digest();
        dies(&world, &mut node, ("bank.drop.delete", after), async |node| {
            access(node, BoxAction::Delete(message)).await
        })
        .await;
        assert_eq!(access(&node, BoxAction::Collect).await.unwrap().len(), 1);
        world.at(100);
        plan(&node, "bank.drop.prune", after);
        let _ = node.bank.tend().await;
        reached(&node, "bank.drop.prune");
        world.restart(&mut node).await;
        node.assert_sound().await;
        let _ = node.bank.tend().await;
        world.at(0);
        assert!(access(&node, BoxAction::Collect).await.unwrap().is_empty(), "it is gone for good");
        node.assert_sound().await;
    }
}

/// The same for one of three banks with cheques: who restarts learns the lists anew.
async fn dies_over<T: std::fmt::Debug>(
    banks: &mut Banks,
    at_north: bool,
    (point, after): (&'static str, bool),
    act: impl AsyncFn(&Banks) -> Result<T, Fault>,
) -> T {
    let node = if at_north { &banks.north } else { &banks.south };
    plan(node, point, after);
    let lost = act(banks).await;
    reached(if at_north { &banks.north } else { &banks.south }, point);
    assert!(lost.is_err_and(|fault| !fault.is_definitive()), "{point}: nobody is answered by a dead bank");
    restart(banks, at_north).await;
    let answer = act(banks).await.unwrap_or_else(|fault| panic!("{point}, after {after}: {fault}"));
    banks.sound().await;
    answer
}

async fn restart(banks: &mut Banks, at_north: bool) {
    let Banks { world, north, south, west, .. } = banks;
    world.restart(if at_north { &mut *north } else { &mut *south }).await;
    world.connect(south, north).await;
    world.connect(west, north).await;
    world.publish(&[&*north, &*south, &*west]).await;
    world.list(&[&*north, &*south, &*west]).await;
    banks.sound().await;
}

#[tokio::test]
async fn orders_on_cheques_act_once() {
    for after in SIDES {
        let mut banks = Banks::new().await;
        banks.cheque(1, 1_000).await;
        let stop = Action::Stop(StopReason::Cust);
        let line = dies_over(&mut banks, true, ("bank.cheque.order", after), async |banks| {
            banks.order_on(11, 1, stop.clone()).await
        })
        .await;
        assert_eq!(line.state, State::Stopped);
        banks.cheque(2, 6_000).await;
        let certified =
            dies_over(&mut banks, true, ("bank.cheque.certify", after), async |banks| banks.certify(2).await)
                .await;
        assert!(banks.verified(&certified).is_certified());
        assert_eq!(banks.balances().await.0, "40.00", "reserved once");
        let cheque = banks.written(3, 1_000, today(), true).await;
        let passed = banks.endorsed(&cheque, &banks.bob, payee(&banks.west, &banks.carol));
        dies_over(&mut banks, true, ("bank.cheque.endorse", after), async |banks| {
            banks.endorse(&banks.bob, &passed).await
        })
        .await;
        assert_eq!(banks.line(3).await.state, State::Issued);
        let other = banks.endorsed(&cheque, &banks.bob, payee(&banks.north, &banks.alice));
        assert_eq!(code(banks.endorse(&banks.bob, &other).await), Code::Forbidden, "it is Carol's now");
    }
}

#[tokio::test]
async fn a_cheque_of_ones_own_bank_and_a_transfer_there_are_booked_once() {
    for after in SIDES {
        let mut banks = Banks::new().await;
        let dora = banks.world.customer(&banks.north, "dora-of-north", "0").await;
        banks.at(61).await;
        let order = banks.order(payee(&banks.north, &dora), 1_500, today(), false);
        let request = banks.drawn(1, order, false).await;
        let cheque = banks.issue(&request).await.unwrap();
        let deposit = async |banks: &Banks, slip: &ChequeDeposit| -> Result<ChequeDepositResponse, Fault> {
            banks.north.ask(Some(&dora.peer), "/v1/account/cheque/deposit", slip).await
        };
        // The center does not pass it: its return is final whenever the bank dies.
        let slip = banks.slip(&cheque, "north", &dora);
        *banks.north.line.verdict.lock().unwrap() = Some(ReturnCode::ReferToDrawer);
        let answer = dies_over(&mut banks, true, ("bank.cheque.decline", after), async |banks| {
            deposit(banks, &slip).await
        })
        .await;
        *banks.north.line.verdict.lock().unwrap() = None;
        let ChequeDepositResponse::Final(ChequeOutcome::Returned(ReturnCode::ReferToDrawer, back)) = &answer
        else {
            panic!("{answer:?}")
        };
        assert_eq!(deposit(&banks, &slip).await.unwrap(), answer);
        let slip = banks.slip(back, "north", &dora);
        let answer = dies_over(&mut banks, true, ("bank.cheque.own", after), async |banks| {
            deposit(banks, &slip).await
        })
        .await;
        assert!(matches!(answer, ChequeDepositResponse::Final(ChequeOutcome::Paid(_))), "{answer:?}");
        assert_eq!((banks.balances().await.0.as_str(), banks.state(1).await), ("85.00", State::Settled));
        let rent = transfer_order(&banks, 2, "north", &dora.token, 1_000);
        let sent =
            dies_over(&mut banks, true, ("bank.transfer.own", after), async |banks| send(banks, &rent).await)
                .await;
        assert_eq!(sent, TransferOutcome::Booked);
        assert_eq!(banks.balances().await.0, "75.00");
        assert_eq!(banks.north.balance(&dora).await, "25.00");
    }
}

#[tokio::test]
async fn a_cheque_box_keeps_a_file_once_until_it_is_fetched_or_its_time_is_over() {
    for after in SIDES {
        let mut banks = Banks::new().await;
        let [first, second] = [banks.cheque(1, 1_000).await, banks.cheque(2, 500).await];
        let account = Text::new(banks.bob.token.clone()).unwrap();
        let path = "/v1/account/cheque/send";
        let send = SendRequest { account: account.clone(), cheque: first.clone() };
        dies_over::<()>(&mut banks, false, ("bank.cheque.send", after), async |banks| {
            banks.south.ask(Some(&banks.alice.peer), path, &send).await
        })
        .await;
        let other = SendRequest { account, cheque: second };
        banks.south.ask::<_, ()>(Some(&banks.alice.peer), path, &other).await.unwrap();
        let inbox = async |banks: &Banks| -> usize {
            let inbox: InboxResponse =
                banks.south.ask(Some(&banks.bob.peer), "/v1/account/cheque/inbox", &()).await.unwrap();
            inbox.cheques.len()
        };
        assert_eq!(inbox(&banks).await, 2, "each once");
        let delete = InboxDelete { file: ChequeItem { cheque: first }.file_digest() };
        dies_over::<()>(&mut banks, false, ("bank.cheque.inbox", after), async |banks| {
            banks.south.ask(Some(&banks.bob.peer), "/v1/account/cheque/inbox/delete", &delete).await
        })
        .await;
        assert_eq!(inbox(&banks).await, 1);
        banks.at(400 * DAY).await;
        plan(&banks.south, "bank.cheque.prune", after);
        let _ = banks.south.bank.tend().await;
        reached(&banks.south, "bank.cheque.prune");
        restart(&mut banks, false).await;
        let _ = banks.south.bank.tend().await;
        assert_eq!(inbox(&banks).await, 0);
    }
}

#[tokio::test]
async fn cheques_go_stale_once() {
    for after in SIDES {
        let mut banks = Banks::new().await;
        banks.cheque(1, 1_000).await;
        banks.at(400 * DAY).await;
        dies_over(&mut banks, true, ("bank.cheque.expire", after), async |banks| {
            banks.north.bank.expire_cheques().await
        })
        .await;
        assert_eq!(banks.state(1).await, State::Expired);
        assert_eq!(banks.balances().await.0, "100.00");
    }
}

#[tokio::test]
async fn what_waits_for_the_center_goes_on_whenever_the_bank_dies_over_a_try() {
    for after in SIDES {
        let world = World::new();
        let (north, mut south, alice, merry) = two_banks(&world).await;
        let coins = north.withdraw(&alice, 1, &[64]).await;
        let item = pay(&south.request(&merry, 1, 50, 3600), &[(&coins[0], 50)]);
        let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", &item).await.unwrap();
        assert!(matches!(answer, DepositResponse::Pending { .. }));
        world.connect(&south, &north).await;
        plan(&south, "bank.outbox.try", after);
        assert!(south.bank.drain_outbox(&Shutdown::new()).await.is_err());
        reached(&south, "bank.outbox.try");
        world.restart(&mut south).await;
        south.assert_sound().await;
        assert_eq!(south.balance(&merry).await, "0.00");
        assert!(south.bank.drain_outbox(&Shutdown::new()).await.unwrap());
        assert_eq!(south.balance(&merry).await, "0.50");
        north.assert_sound().await;
        south.assert_sound().await;
    }
}

#[tokio::test]
async fn exposed_coins_leave_the_list_once_their_time_is_over() {
    for after in SIDES {
        let (off, mut north) = OffWorld::one(tune).await;
        let table = *feiqian_bank::tables::TABLES.iter().find(|it| it.name == "offline_exposed").unwrap();
        north
            .commit(move |tx| {
                [100, 9_000].iter().try_for_each(|seconds| {
                    let until = feiqian_ledger::store::Value::unsigned(NOW + seconds)?;
                    let at = feiqian_ledger::store::Value::unsigned(NOW)?;
                    tx.insert(table, &[digest(*seconds).into(), until, at])
                })
            })
            .await;
        off.world.at(200);
        plan(&north, "bank.offline.prune", after);
        let _ = north.bank.tend().await;
        reached(&north, "bank.offline.prune");
        off.world.restart(&mut north).await;
        let _ = north.bank.tend().await;
        north
            .commit(|tx| {
                let left = tx.select("SELECT coin FROM offline_exposed", &[])?;
                assert_eq!(left.len(), 1);
                assert_eq!(left[0].digest(0)?, digest(9_000), "the other's time is not over");
                Ok(())
            })
            .await;
    }
}
