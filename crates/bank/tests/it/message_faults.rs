//! The bank dies over messages that no system test kills it at: before they leave, and when their answer is there. After a
//! restart what was asked has happened once.

use std::sync::Arc;

use feiqian_node::{Caller, Service as _, Shutdown, Target, call};
use feiqian_offline_cash::withdraw::{
    BeginResponse, CommitResponse, ExpectAnnouncements, FinishResponse as FinishOffline,
};
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_online_cash::issue::FinishResponse;
use feiqian_pki::Verified;
use feiqian_wire::error::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clearing::two_banks;
use crate::deaths::{SIDES, SpentTwice, dies_over_message, plan, reached, runs_again};
use crate::instances::{first_offline, second_offline, share_view, two};
use crate::offline_world::{OffWorld, deposit, settled, sums, tune};
use crate::world::{Direct, Node, World, pay};

#[tokio::test]
async fn what_a_customer_owes_is_paid_once_whichever_message_the_bank_dies_over() {
    for answered in SIDES {
        let mut debt = SpentTwice::new().await;
        debt.due().await;
        dies_over_message(&debt.north, "/v1/present/part", answered);
        let _ = debt.north.bank.tend().await;
        let _ = debt.north.bank.drain_outbox(&Shutdown::default()).await;
        runs_again(&debt.off.world, &mut debt.north, "/v1/present/part").await;
        let _ = debt.north.bank.tend().await;
        assert!(debt.north.bank.drain_outbox(&Shutdown::default()).await.unwrap());
        debt.paid_once(&format!("answered: {answered}")).await;
    }
}

#[tokio::test]
async fn what_no_account_can_be_charged_with_the_bank_pays_once_whenever_it_dies() {
    let claims = *feiqian_bank::tables::TABLES.iter().find(|table| table.name == "offline_claim").unwrap();
    let account = claims.columns.iter().position(|column| column.name == "account").unwrap();
    for after in SIDES {
        let SpentTwice { off, mut north, south, shop, .. } = SpentTwice::new().await;
        // Who owes it is forgotten.
        north
            .commit(move |tx| {
                let rows = tx.select(&format!("SELECT {} FROM offline_claim", claims.column_list()), &[])?;
                let mut values = rows[0].0.clone();
                values[account] = feiqian_ledger::store::Value::Null;
                tx.update(claims, &values)
            })
            .await;
        off.world.at(3_000);
        plan(&north, "bank.offline.losses", after);
        let _ = north.bank.tend().await;
        reached(&north, "bank.offline.losses");
        off.world.restart(&mut north).await;
        for _ in 0..2 {
            let _ = north.bank.tend().await;
            assert!(north.bank.drain_outbox(&Shutdown::default()).await.unwrap());
        }
        assert_eq!(south.balance(&shop.holder).await, "0.32", "once, after {after}");
        assert_eq!(crate::offline_world::losses(&north).await, 16);
        assert_eq!(off.clearing.owes("north", "south"), 32);
        south.assert_sound().await;
    }
}

#[tokio::test]
async fn a_claim_on_another_bank_is_paid_once_whichever_message_the_bank_dies_over() {
    for answered in SIDES {
        let (mut off, mut north, south) = OffWorld::two().await;
        let alice = off.person(&north, "alice", "1.00").await;
        let bob = off.person(&south, "bob", "0.40").await;
        let shop = off.holder(&south, "the-shop", "0").await;
        let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
        let blank = off.withdraw(&south, &bob, &[0]).await.unwrap().remove(0);
        let holding = off.hand(&south, coin.open(), &blank);
        for expected in [(16, 0), (0, 16)] {
            let item = off.pay(&south, &shop.holder, vec![blank.open_holding(&holding)]);
            assert_eq!(sums(&settled(&south, &shop.holder, &item).await), expected);
        }
        dies_over_message(&north, "/v1/offline/claim", answered);
        let _ = north.bank.drain_outbox(&Shutdown::default()).await;
        runs_again(&off.world, &mut north, "/v1/offline/claim").await;
        for _ in 0..3 {
            assert!(north.bank.drain_outbox(&Shutdown::default()).await.unwrap());
            assert!(south.bank.drain_outbox(&Shutdown::default()).await.unwrap());
        }
        assert_eq!(south.balance(&shop.holder).await, "0.32", "once, answered: {answered}");
        assert_eq!(south.balance(&bob.holder).await, "0.24");
        assert_eq!((off.clearing.owes("south", "north"), off.clearing.owes("north", "south")), (16, 32));
        north.assert_sound().await;
        south.assert_sound().await;
    }
}

#[tokio::test]
async fn exposed_coins_come_to_the_center_whichever_message_the_bank_dies_over() {
    for answered in SIDES {
        let (mut off, mut north) = OffWorld::one(tune).await;
        let alice = off.person(&north, "alice", "1.00").await;
        let shop = off.holder(&north, "the-shop", "0").await;
        let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
        dies_over_message(&north, "/v1/offline/expose", answered);
        for _ in 0..2 {
            let item = off.pay(&north, &shop.holder, vec![coin.open()]);
            let _ = deposit(&north, &shop.holder, &item).await;
        }
        let _ = north.bank.tend().await;
        runs_again(&off.world, &mut north, "/v1/offline/expose").await;
        let _ = north.bank.tend().await;
        let brought = off.clearing.exposed.lock().unwrap().last().cloned();
        assert_eq!(brought.unwrap().list.coins.to_vec(), [coin.message], "answered: {answered}");
        north.assert_sound().await;
    }
}

#[tokio::test]
async fn payments_that_travel_together_are_paid_once_whichever_message_the_bank_dies_over() {
    const PATH: &str = "/v1/present/payments";
    for answered in SIDES {
        let world = World::new();
        let (north, mut south, alice, merry) = two_banks(&world).await;
        world.connect(&south, &north).await;
        let coins = north.withdraw(&alice, 1, &[8; 20]).await;
        dies_over_message(&south, PATH, answered);
        let items: Vec<CashItem> = (0_u64..)
            .zip(&coins)
            .map(|(n, coin)| pay(&south.request(&merry, n, 8, 3600), &[(coin, 8)]))
            .collect();
        let mut tasks = tokio::task::JoinSet::new();
        for item in items.clone() {
            let (router, peer) = (Arc::clone(&south.bank).router(), Some(Arc::clone(&merry.peer)));
            tasks.spawn(async move {
                let (direct, to) = (Direct { router, peer }, Target::anyone("https://127.0.0.1:7001"));
                call::<_, DepositResponse>(&direct, &to, Caller::Certified, "/v1/deposit", &item).await
            });
        }
        while tasks.join_next().await.is_some() {}
        runs_again(&world, &mut south, PATH).await;
        for _ in 0..3 {
            let _ = south.bank.drain_outbox(&Shutdown::new()).await;
        }
        // Who got no answer asks again.
        for item in &items {
            let answer: DepositResponse = south.ask(Some(&merry.peer), "/v1/deposit", item).await.unwrap();
            assert!(matches!(answer, DepositResponse::Final(Outcome::Paid(_))), "{answer:?}");
        }
        assert_eq!(south.balance(&merry).await, "1.60", "each once, answered: {answered}");
        assert_eq!(north.assert_sound().await.in_circulation(), 0);
        south.assert_sound().await;
    }
}

#[tokio::test]
async fn a_session_of_another_process_is_answered_once_whichever_message_the_process_dies_over() {
    const PATH: &str = "/v1/instance/finish";
    for answered in SIDES {
        let world = World::new();
        let (one, mut two, alice) = two(&world).await;
        let begun = one.begin(Some(&alice), 1, &[64, 8]).await;
        let request = begun.finish(one.account_funding(&alice, &begun));
        let ask = async |node: &Node| {
            node.ask::<_, FinishResponse>(Some(&alice.peer), "/v1/account/issue/finish", &request).await
        };
        dies_over_message(&two, PATH, answered);
        assert!(ask(&two).await.is_err(), "nobody is answered by a dead process");
        runs_again(&world, &mut two, PATH).await;
        let answer = ask(&two).await.unwrap();
        assert_eq!(ask(&one).await.unwrap(), answer, "answered: {answered}");
        assert_eq!(begun.pending.finish(&answer.answers).unwrap().len(), 2);
        assert_eq!(two.balance(&alice).await, "99.28", "once");
        assert_eq!(one.assert_sound().await.in_circulation(), 72);
    }
}

/// Asks a process that dies over handing the call on, if this is the one, and asks it again when it runs again.
async fn asked<Req, Res>(
    off: &OffWorld,
    two: &mut Node,
    (call, handed): (&str, &'static str),
    (request, peer): (&Req, &Arc<Verified>),
    dying: Option<bool>,
) -> Res
where
    Req: Serialize + Sync + 'static,
    Res: DeserializeOwned + std::fmt::Debug,
{
    if let Some(answered) = dying {
        dies_over_message(two, handed, answered);
        let lost: Result<Res, Fault> = two.ask(Some(peer), call, request).await;
        assert!(lost.is_err(), "{lost:?}: nobody is answered by a dead process");
        runs_again(&off.world, two, handed).await;
    }
    two.ask(Some(peer), call, request).await.unwrap()
}

#[tokio::test]
async fn an_offline_session_of_another_process_is_answered_once_whichever_message_the_process_dies_over() {
    const COMMIT: (&str, &str) = ("/v1/account/offline/commit", "/v1/instance/offline/commit");
    const FINISH: (&str, &str) = ("/v1/account/offline/finish", "/v1/instance/offline/finish");
    for dying in [COMMIT, FINISH] {
        for answered in SIDES {
            let (mut off, one) = OffWorld::one(first_offline).await;
            let mut two = off.world.fellow(&one, second_offline).await;
            share_view(&one, &two);
            off.world.introduce(&two, &one);
            let alice = off.person(&one, "alice", "0.40").await;
            let (peer, values) = (Arc::clone(&alice.holder.peer), [8, 0]);
            let request = off.begin_request(&one, &values);
            let begun = one.ask(Some(&peer), "/v1/account/offline/begin", &request).await;
            let Ok(BeginResponse::Open(offer)) = begun else { panic!("{begun:?}") };
            let keys = values.map(|value| off.key(&one, value));
            let keys: Vec<_> = keys.iter().collect();
            let customer = alice.customer();
            let (expect, commit) =
                ExpectAnnouncements::begin(&customer, &keys, &offer.session, |_| false, &mut off.rng)
                    .unwrap();
            let dies = |call| (dying == call).then_some(answered);
            let announced: CommitResponse =
                asked(&off, &mut two, COMMIT, (&commit, &peer), dies(COMMIT)).await;
            let (pending, finish) =
                expect.challenge(&customer, &announced, |_| false, &alice.holder.signing).unwrap();
            let answer: FinishOffline = asked(&off, &mut two, FINISH, (&finish, &peer), dies(FINISH)).await;
            let again: FinishOffline = one.ask(Some(&peer), FINISH.0, &finish).await.unwrap();
            assert_eq!(again, answer);
            assert_eq!(pending.finish(&answer).unwrap().len(), 2);
            assert_eq!(two.balance(&alice.holder).await, "0.32", "once: {dying:?}, answered: {answered}");
            two.assert_sound().await;
        }
    }
}
