//! Offline payments between two banks: deposited there, charged here, claimed back and forth.

use feiqian_bank::Config;
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_node::Shutdown;
use feiqian_offline_cash::deposit::Outcome;
use feiqian_offline_cash::messages::DepositResponse;
use feiqian_wire::error::Code;
use feiqian_wire::{Name, Text};
use serde_json::json;

use crate::offline_world::{OffWorld, cut, deposit, settled, sums, tune};
use crate::world::{Node, World, code};

async fn drain(nodes: &[&Node]) {
    for _ in 0..3 {
        for node in nodes {
            assert!(node.bank.drain_outbox(&Shutdown::default()).await.unwrap());
        }
    }
}

async fn pending(node: &Node) -> u64 {
    node.audit().await.pending_presentments
}

#[tokio::test]
async fn coins_of_another_bank_are_presented_and_paid_once() {
    let (mut off, north, south) = OffWorld::two().await;
    let alice = off.person(&north, "alice", "1.00").await;
    let shop = off.holder(&south, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let (part, rest) = cut(coin.open(), &[2]);
    let item = off.pay(&south, &shop.holder, part);
    // The line breaks after the issuing bank has paid: pending, and then the same receipt.
    *south.line.lose.lock().unwrap() = 1;
    let answer = deposit(&south, &shop.holder, &item).await.unwrap();
    assert!(matches!(answer, DepositResponse::Pending { .. }), "{answer:?}");
    assert_eq!(south.balance(&shop.holder).await, "0.00");
    let receipt = settled(&south, &shop.holder, &item).await;
    assert_eq!(sums(&receipt), (4, 0));
    assert_eq!(settled(&south, &shop.holder, &item).await, receipt);
    assert_eq!(south.balance(&shop.holder).await, "0.04");
    let item = off.pay(&south, &shop.holder, rest);
    assert_eq!(sums(&settled(&south, &shop.holder, &item).await), (12, 0));
    assert_eq!(off.clearing.owes("north", "south"), 16);
    assert_eq!(north.assert_sound().await.offline.redeemed, 16);
    south.assert_sound().await;
}

#[tokio::test]
async fn a_cheat_of_the_issuing_bank_is_charged_and_the_rest_follows_in_parts() {
    let (mut off, north, south) = OffWorld::two().await;
    let alice = off.person(&north, "alice", "0.20").await;
    let shop = off.holder(&south, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let first = off.pay(&south, &shop.holder, vec![coin.open()]);
    let second = off.pay(&south, &shop.holder, vec![coin.open()]);
    settled(&south, &shop.holder, &first).await;
    let receipt = settled(&south, &shop.holder, &second).await;
    assert_eq!(sums(&receipt), (4, 12));
    assert_eq!(south.balance(&shop.holder).await, "0.20");
    north.command(json!({"command": "account_fund", "name": "alice", "amount": "0.10"})).await.unwrap();
    off.world.at(3_000);
    let _ = north.bank.tend().await;
    // Reserved here, on its way there; the answer is lost, and the part is credited once.
    *north.line.lose.lock().unwrap() = 1;
    assert!(!north.bank.drain_outbox(&Shutdown::default()).await.unwrap());
    assert_eq!(pending(&north).await, 1);
    north.assert_sound().await;
    drain(&[&north, &south]).await;
    assert_eq!(south.balance(&shop.holder).await, "0.30");
    assert_eq!(off.clearing.owes("north", "south"), 30);
    assert_eq!(pending(&north).await, 0);
    let report = north.assert_sound().await;
    assert_eq!((report.offline.charged, report.offline.covered), (16, 14));
    south.assert_sound().await;
}

#[tokio::test]
async fn a_cheat_of_another_bank_is_claimed_there_named_and_the_payee_is_paid() {
    let (mut off, north, south) = OffWorld::two().await;
    let alice = off.person(&north, "alice", "1.00").await;
    let bob = off.person(&south, "bob", "0.10").await;
    let shop = off.holder(&south, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let blank = off.withdraw(&south, &bob, &[0]).await.unwrap().remove(0);
    let holding = off.hand(&south, coin.open(), &blank);
    let first = off.pay(&south, &shop.holder, vec![blank.open_holding(&holding)]);
    let second = off.pay(&south, &shop.holder, vec![blank.open_holding(&holding)]);
    assert_eq!(sums(&settled(&south, &shop.holder, &first).await), (16, 0));
    // The issuing bank does not know Bob: unpaid at once, and a claim on his bank.
    assert_eq!(sums(&settled(&south, &shop.holder, &second).await), (0, 16));
    assert_eq!(pending(&north).await, 1);
    drain(&[&north, &south]).await;
    // Bob had 10: they came to north, and on to the payee.
    assert_eq!(south.balance(&shop.holder).await, "0.26");
    assert_eq!(south.balance(&bob.holder).await, "0.00");
    assert_eq!((off.clearing.owes("south", "north"), off.clearing.owes("north", "south")), (10, 26));
    let named = south.command(json!({"command": "accusations"})).await.unwrap();
    assert_eq!(named["accusations"][0]["customer"], json!("bob"));
    assert_eq!(code(off.withdraw(&south, &bob, &[1]).await.map(|_| ())), Code::IdentityClosed);
    let none = north.command(json!({"command": "accusations"})).await.unwrap();
    assert_eq!(none["accusations"], json!([]));
    north.assert_sound().await;
    south.assert_sound().await;
    // The rest when due, the same way.
    south.command(json!({"command": "account_fund", "name": "bob", "amount": "0.50"})).await.unwrap();
    off.world.at(3_000);
    let _ = south.bank.tend().await;
    drain(&[&south, &north]).await;
    assert_eq!(south.balance(&shop.holder).await, "0.32");
    assert_eq!(south.balance(&bob.holder).await, "0.44");
    assert_eq!((off.clearing.owes("south", "north"), off.clearing.owes("north", "south")), (16, 32));
    let report = north.assert_sound().await;
    assert_eq!((report.offline.charged, report.offline.covered), (16, 16));
    south.assert_sound().await;
}

#[tokio::test]
async fn a_claim_survives_a_crash_on_either_side_and_is_paid_once() {
    for (at_south, point, after) in [
        (true, "bank.offline.claimed", false),
        (true, "bank.offline.claimed", true),
        (false, "bank.offline.claim", false),
        (false, "bank.offline.claim", true),
        (true, "bank.pay.part", true),
        (false, "bank.offline.part", true),
    ] {
        let (mut off, north, south) = OffWorld::two().await;
        let alice = off.person(&north, "alice", "1.00").await;
        let bob = off.person(&south, "bob", "0.40").await;
        let shop = off.holder(&south, "the-shop", "0").await;
        let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
        let blank = off.withdraw(&south, &bob, &[0]).await.unwrap().remove(0);
        let holding = off.hand(&south, coin.open(), &blank);
        let first = off.pay(&south, &shop.holder, vec![blank.open_holding(&holding)]);
        let second = off.pay(&south, &shop.holder, vec![blank.open_holding(&holding)]);
        settled(&south, &shop.holder, &first).await;
        settled(&south, &shop.holder, &second).await;
        let node = if at_south { &south } else { &north };
        *node.store.plan.lock().unwrap() = Some((point, after));
        for _ in 0..3 {
            let _ = north.bank.drain_outbox(&Shutdown::default()).await;
        }
        assert!(node.store.plan.lock().unwrap().is_none(), "{point} was not reached");
        drain(&[&north, &south]).await;
        assert_eq!(south.balance(&shop.holder).await, "0.32", "{point}");
        assert_eq!(south.balance(&bob.holder).await, "0.24", "{point}");
        assert_eq!((off.clearing.owes("south", "north"), off.clearing.owes("north", "south")), (16, 32));
        north.assert_sound().await;
        south.assert_sound().await;
    }
}

#[tokio::test]
async fn pieces_that_came_through_one_foreign_answer_are_one_claim_on_their_sum() {
    for (funds, at_once) in [("1.00", 12), ("0.07", 7)] {
        let (mut off, north, south) = OffWorld::two().await;
        let alice = off.person(&north, "alice", "1.00").await;
        let bob = off.person(&south, "bob", funds).await;
        let carol = off.person(&south, "caroline", "0").await;
        let shop = off.holder(&south, "the-shop", "0").await;
        let cafe = off.holder(&south, "cafe", "0").await;
        let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
        let blank = off.withdraw(&south, &bob, &[0]).await.unwrap().remove(0);
        let hers = off.withdraw(&south, &carol, &[0]).await.unwrap().remove(0);
        let holding = off.hand(&south, coin.open(), &blank);
        // Bob pays all of it, and gives all of it to Carol, who pays with two pieces, and then with the rest.
        let first = off.pay(&south, &shop.holder, vec![blank.open_holding(&holding)]);
        let passed = off.hand(&south, blank.open_holding(&holding), &hers);
        let (two, rest) = cut(hers.open_holding(&passed), &[3, 2]);
        assert_eq!(two.len(), 2);
        let second = off.pay(&south, &cafe.holder, two);
        let third = off.pay(&south, &cafe.holder, rest);
        settled(&south, &shop.holder, &first).await;
        assert_eq!(sums(&settled(&south, &cafe.holder, &second).await), (0, 12));
        assert_eq!(pending(&north).await, 1);
        north.assert_sound().await;
        drain(&[&north, &south]).await;
        assert_eq!(off.clearing.owes("south", "north"), at_once);
        assert_eq!(off.clearing.owes("north", "south"), 16 + at_once);
        assert_eq!(south.balance(&cafe.holder).await, format!("0.{at_once:02}"));
        // The same answer in another payment is another claim.
        assert_eq!(sums(&settled(&south, &cafe.holder, &third).await), (0, 4));
        drain(&[&north, &south]).await;
        south.command(json!({"command": "account_fund", "name": "bob", "amount": "1.00"})).await.unwrap();
        off.world.at(3_000);
        let _ = south.bank.tend().await;
        drain(&[&south, &north]).await;
        // All of it, once.
        assert_eq!(south.balance(&cafe.holder).await, "0.16");
        assert_eq!((off.clearing.owes("south", "north"), off.clearing.owes("north", "south")), (16, 32));
        let report = north.assert_sound().await;
        assert_eq!((report.offline.charged, report.offline.covered), (16, 16));
        south.assert_sound().await;
    }
}

async fn count(node: &Node, table: &'static str) -> u64 {
    let count =
        move |tx: &mut dyn Tx| tx.select(&format!("SELECT count(*) FROM {table}"), &[])?[0].unsigned(0);
    node.store.read(count).await.unwrap()
}

#[tokio::test]
async fn what_was_deposited_leaves_the_outbox_when_it_can_be_deposited_no_more() {
    let world = World::new();
    let mut north = world.tuned("north", 10, tune).await;
    let forgets = |config: &mut Config| {
        tune(config);
        config.keep_seconds = 100;
    };
    let mut south = world.tuned("south", 20, forgets).await;
    let mut off = OffWorld::new(&mut north, Some(&mut south), world).await;
    let alice = off.person(&north, "alice", "0.20").await;
    let shop = off.holder(&south, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let first = off.pay(&south, &shop.holder, vec![coin.open()]);
    let second = off.pay(&south, &shop.holder, vec![coin.open()]);
    assert_eq!(sums(&settled(&south, &shop.holder, &first).await), (16, 0));
    assert_eq!(sums(&settled(&south, &shop.holder, &second).await), (4, 12));
    off.world.at(4_050);
    let _ = south.bank.tend().await;
    assert_eq!(count(&south, "presentment").await, 2, "not for a hundred seconds yet");
    off.world.at(4_200);
    for after in [false, true] {
        *south.store.plan.lock().unwrap() = Some(("bank.outbox.prune", after));
        let _dies = south.bank.tend().await;
        assert!(south.store.plan.lock().unwrap().is_none());
        assert_eq!(count(&south, "presentment").await, if after { 1 } else { 2 });
        south.assert_sound().await;
    }
    // What died has read the mark again.
    let _ = south.bank.tend().await;
    for seconds in [4_200, 60] {
        off.world.at(seconds);
        let again = deposit(&south, &shop.holder, &first).await.unwrap();
        let DepositResponse::Final(Outcome::Refused(fault)) = again else { panic!("{again:?}") };
        assert_eq!(fault.code, Code::KeyExpired, "at {seconds}");
        assert_eq!(south.balance(&shop.holder).await, "0.20");
    }
    // More is paid of what stayed, and its receipt is told.
    off.world.at(4_200);
    north.command(json!({"command": "account_fund", "name": "alice", "amount": "0.10"})).await.unwrap();
    let _ = north.bank.tend().await;
    drain(&[&north, &south]).await;
    assert_eq!(south.balance(&shop.holder).await, "0.30");
    assert_eq!(sums(&settled(&south, &shop.holder, &second).await), (4, 12));
    let _ = south.bank.tend().await;
    assert_eq!(count(&south, "presentment").await, 1);
    south.assert_sound().await;
    north.assert_sound().await;
}

/// Online epochs are shorter than the life of an offline coin.
#[tokio::test]
async fn a_refused_offline_payment_outlives_the_online_epoch_of_then() {
    const DAY: u64 = 86_400;
    let world = World::new();
    let short = |config: &mut Config| {
        tune(config);
        config.schedule.issue_seconds = DAY;
        config.schedule.redeem_seconds = DAY;
        config.schedule.grace_seconds = 2 * DAY;
    };
    let mut north = world.tuned("north", 10, short).await;
    let mut south = world.tuned("south", 20, tune).await;
    let mut off = OffWorld::new(&mut north, Some(&mut south), world).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let shop = off.holder(&south, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let item = off.pay(&south, &shop.holder, vec![coin.open()]);
    // By a bank that it was not made out to.
    let (digest, amount) = (item.digest().unwrap(), item.request.request.amount);
    let (west, token) = (Name::new("west").unwrap(), Text::new(shop.holder.token.clone()).unwrap());
    let astray = Presentment::new(west, token, amount, ItemKind::Holding, &digest, item);
    let present = async || {
        let answer: Presented<Outcome> =
            north.ask(Some(&off.world.center), "/v1/pay/holding", &astray).await.unwrap();
        let Outcome::Refused(fault) = answer.outcome else { panic!("{:?}", answer.outcome) };
        fault.code
    };
    assert_eq!((present().await, count(&north, "refused").await), (Code::WrongRoute, 1));
    off.world.at(6 * DAY);
    off.world.list_root(&north);
    for _ in 0..3 {
        let _ = north.bank.tend().await;
    }
    assert_eq!((north.assert_sound().await.ended, count(&north, "refused").await), (1, 1));
    assert_eq!(present().await, Code::WrongRoute, "as it was told then");
}
