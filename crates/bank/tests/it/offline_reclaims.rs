//! Forks that come to light when claims are decided: whoever answered twice is named and pays who loses, nobody else does.

use feiqian_crypto::share_tree::Node as TreeNode;
use feiqian_ledger::store::{StoreError, StoreExt, Tx, Value};
use feiqian_money::Minor;
use feiqian_offline_cash::chain::Passed;
use feiqian_offline_cash::holding::Holding;
use feiqian_offline_cash::messages::{ReclaimRequest, ReclaimResponse, SessionRequest};
use feiqian_offline_cash::reclaim::{AttestedSession, ChainClaim};
use feiqian_offline_cash::withdraw::Coin;
use feiqian_wire::error::{Code, Fault};
use serde_json::json;

use crate::offline_world::{OffWorld, Person, Stored, cut, settled, sums, tune, with_collateral};
use crate::world::{Node, code};

const PATH: &str = "/v1/account/offline/reclaim";

fn passed(holding: &Holding) -> Option<Passed> {
    Some(holding.to_passed().unwrap())
}

/// A claim on all of a coin, or of a blank with what it took.
async fn claim(
    off: &mut OffWorld,
    north: &Node,
    person: &Person,
    coin: &Stored,
    chain: Option<Passed>,
) -> ReclaimRequest {
    let withdrawn = Coin { origin: coin.origin.clone(), key: coin.key.id, tree: coin.read() };
    let (customer, signing) = (person.customer(), &person.holder.signing);
    let claim = withdrawn.claim(&customer, &coin.key, &[TreeNode::ROOT], signing, &mut off.rng).unwrap();
    let Some(chain) = chain else { return ReclaimRequest::Withdrawn(claim) };
    let asked = SessionRequest { session: coin.origin.session, index: coin.origin.index };
    let session: AttestedSession =
        north.ask(Some(&person.holder.peer), "/v1/account/offline/session", &asked).await.unwrap();
    ReclaimRequest::Received(ChainClaim { chain, claim, session })
}

async fn ask(north: &Node, person: &Person, request: &ReclaimRequest) -> Result<ReclaimResponse, Fault> {
    north.ask(Some(&person.holder.peer), PATH, request).await
}

/// Files a claim; what it comes to is not known yet.
async fn file(north: &Node, person: &Person, request: &ReclaimRequest) {
    assert_eq!(ask(north, person, request).await.unwrap().paid, None);
}

async fn paid(north: &Node, person: &Person, request: &ReclaimRequest) -> Option<u64> {
    ask(north, person, request).await.unwrap().paid.map(Minor::value)
}

async fn accusations(north: &Node) -> Vec<serde_json::Value> {
    let answer = north.command(json!({"command": "accusations"})).await.unwrap();
    answer["accusations"].as_array().unwrap().clone()
}

/// Amount and what was paid of each claim, and whose customer owes it.
async fn owed(north: &Node) -> Vec<(u64, u64, String)> {
    let read = |tx: &mut dyn Tx| {
        let rows = tx.select("SELECT amount, paid, debtor FROM offline_claim ORDER BY claim", &[])?;
        rows.iter()
            .map(|row| Ok((row.unsigned(0)?, row.unsigned(1)?, row.text(2)?.to_owned())))
            .collect::<Result<Vec<_>, StoreError>>()
    };
    north.store.read(read).await.unwrap()
}

async fn decide(off: &OffWorld, node: &Node) {
    off.world.at(4_000);
    let _ = node.bank.tend().await;
}

/// Alice passes her coin to Bob, and the same to herself and on to herself: the longer chain.
async fn fork_to_herself(off: &mut OffWorld, north: &Node) -> (Person, Person, Stored, [ReclaimRequest; 2]) {
    let alice = off.person(north, "alice", "0.25").await;
    let bob = off.person(north, "bob", "1.00").await;
    let coin = off.withdraw(north, &alice, &[16]).await.unwrap().remove(0);
    let own = off.withdraw(north, &alice, &[0, 0]).await.unwrap();
    let blank = off.withdraw(north, &bob, &[0]).await.unwrap().remove(0);
    let given = off.hand(north, coin.open(), &blank);
    let kept = off.hand(north, coin.open(), &own[0]);
    let kept = off.hand(north, own[0].open_holding(&kept), &own[1]);
    off.world.at(3_000);
    let hers = claim(off, north, &alice, &own[1], passed(&kept)).await;
    let his = claim(off, north, &bob, &blank, passed(&given)).await;
    (alice, bob, coin, [hers, his])
}

#[tokio::test]
async fn who_passed_value_on_and_takes_it_back_pays_it() {
    for bob_first in [false, true] {
        let (mut off, north) = OffWorld::one(tune).await;
        let (alice, bob, coin, [hers, his]) = fork_to_herself(&mut off, &north).await;
        if bob_first {
            file(&north, &bob, &his).await;
        }
        file(&north, &alice, &hers).await;
        if !bob_first {
            file(&north, &bob, &his).await;
        }
        decide(&off, &north).await;
        // Circulation pays the longer chain; what it paid, and more, was Alice's to give to Bob.
        assert_eq!(paid(&north, &alice, &hers).await, Some(16));
        assert_eq!(paid(&north, &bob, &his).await, Some(16));
        assert_eq!(north.balance(&alice.holder).await, "0.09");
        assert_eq!(north.balance(&bob.holder).await, "1.16");
        let lines = accusations(&north).await;
        assert_eq!(lines.len(), 1);
        assert_eq!((&lines[0]["customer"], &lines[0]["amount"]), (&json!("alice"), &json!("0.16")));
        assert_eq!(lines[0]["coin"], json!(coin.message.to_string()));
        let closed = off.withdraw(&north, &alice, &[0]).await.map(|_| ());
        assert!(matches!(code(closed), Code::IdentityClosed | Code::KeyExpired));
        // Once.
        let _ = north.bank.tend().await;
        assert_eq!(north.balance(&bob.holder).await, "1.16");
        let report = north.assert_sound().await;
        let offline = report.offline;
        assert_eq!((offline.reclaimed, offline.charged, offline.covered, offline.closed), (16, 16, 16, 1));
    }
}

#[tokio::test]
async fn a_decision_with_a_charge_is_made_once_whenever_the_bank_dies() {
    for after in [false, true] {
        let (mut off, mut north) = OffWorld::one(tune).await;
        let (alice, bob, _, [hers, his]) = fork_to_herself(&mut off, &north).await;
        file(&north, &alice, &hers).await;
        file(&north, &bob, &his).await;
        *north.store.plan.lock().unwrap() = Some(("bank.offline.decide", after));
        decide(&off, &north).await;
        assert!(north.store.plan.lock().unwrap().is_none(), "it was decided");
        off.world.restart(&mut north).await;
        let report = north.assert_sound().await;
        assert_eq!(report.offline.charged, if after { 16 } else { 0 });
        for _ in 0..2 {
            let _ = north.bank.tend().await;
            assert_eq!(paid(&north, &bob, &his).await, Some(16));
            assert_eq!(north.balance(&alice.holder).await, "0.09");
            assert_eq!(north.balance(&bob.holder).await, "1.16");
            assert_eq!(owed(&north).await, [(16, 16, "north".to_owned())]);
            assert_eq!(accusations(&north).await.len(), 1);
            north.assert_sound().await;
        }
    }
}

#[tokio::test]
async fn the_audit_finds_a_charge_for_a_reclaim_that_was_changed_or_taken_away() {
    let (mut off, north) = OffWorld::one(tune).await;
    let (alice, bob, _, [hers, his]) = fork_to_herself(&mut off, &north).await;
    file(&north, &alice, &hers).await;
    file(&north, &bob, &his).await;
    decide(&off, &north).await;
    north.assert_sound().await;
    let table = *feiqian_bank::tables::TABLES.iter().find(|table| table.name == "offline_claim").unwrap();
    let rows = north.store.read(move |tx: &mut dyn Tx| {
        let sql = format!("SELECT {} FROM offline_claim", table.column_list());
        Ok::<_, StoreError>(tx.select(&sql, &[])?.into_iter().map(|row| row.0).collect::<Vec<_>>())
    });
    let row = rows.await.unwrap().remove(0);
    // The amount, the payee's reclaim and the coin.
    for (column, value) in [(8, Value::Integer(17)), (5, row[0].clone()), (7, row[0].clone())] {
        let (mut changed, kept) = (row.clone(), row.clone());
        changed[column] = value;
        north.commit(move |tx| tx.update(table, &changed)).await;
        assert!(!north.audit().await.findings.is_empty(), "column {column}");
        north.commit(move |tx| tx.update(table, &kept)).await;
    }
    north.assert_sound().await;
    let key = row[0].clone();
    north.commit(move |tx| tx.delete(table, std::slice::from_ref(&key))).await;
    assert!(!north.audit().await.findings.is_empty());
}

#[tokio::test]
async fn what_account_and_collateral_do_not_cover_is_owed_and_paid_later() {
    let (mut off, north) = OffWorld::one(with_collateral).await;
    let alice = off.person(&north, "alice", "0.25").await;
    let bob = off.person(&north, "bob", "1.00").await;
    let carol = off.person(&north, "caroline", "1.00").await;
    let david = off.person(&north, "daniel", "1.00").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let blank = off.withdraw(&north, &bob, &[0]).await.unwrap().remove(0);
    let first = off.withdraw(&north, &carol, &[0]).await.unwrap().remove(0);
    let second = off.withdraw(&north, &david, &[0]).await.unwrap().remove(0);
    let given = off.hand(&north, coin.open(), &blank);
    let other = off.hand(&north, coin.open(), &first);
    let other = off.hand(&north, first.open_holding(&other), &second);
    off.world.at(3_000);
    let bobs = claim(&mut off, &north, &bob, &blank, passed(&given)).await;
    let davids = claim(&mut off, &north, &david, &second, passed(&other)).await;
    file(&north, &bob, &bobs).await;
    file(&north, &david, &davids).await;
    decide(&off, &north).await;
    // 4 on the account, 5 of collateral.
    assert_eq!(paid(&north, &david, &davids).await, Some(16));
    assert_eq!(paid(&north, &bob, &bobs).await, Some(9));
    assert_eq!(owed(&north).await, [(16, 9, "north".to_owned())]);
    assert_eq!(north.balance(&bob.holder).await, "1.04");
    assert_eq!(north.balance(&alice.holder).await, "0.00");
    north.assert_sound().await;
    north.command(json!({"command": "account_fund", "name": "alice", "amount": "0.10"})).await.unwrap();
    let _ = north.bank.tend().await;
    assert_eq!(paid(&north, &bob, &bobs).await, Some(16));
    assert_eq!(north.balance(&bob.holder).await, "1.11");
    assert_eq!(north.balance(&alice.holder).await, "0.03");
    let report = north.assert_sound().await;
    assert_eq!((report.offline.charged, report.offline.covered), (16, 16));
}

#[tokio::test]
async fn honest_claims_along_one_chain_charge_nobody() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let bob = off.person(&north, "bob", "1.00").await;
    let carol = off.person(&north, "caroline", "1.00").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let blank = off.withdraw(&north, &bob, &[0]).await.unwrap().remove(0);
    let hers = off.withdraw(&north, &carol, &[0]).await.unwrap().remove(0);
    let (half, _) = cut(coin.open(), &[3]);
    let bobs = off.hand(&north, half.into_iter().next().unwrap(), &blank);
    let (quarter, _) = cut(blank.open_holding(&bobs), &[2]);
    let carols = off.hand(&north, quarter.into_iter().next().unwrap(), &hers);
    off.world.at(3_000);
    let requests = [
        (&alice, claim(&mut off, &north, &alice, &coin, None).await, 8, "0.92"),
        (&bob, claim(&mut off, &north, &bob, &blank, passed(&bobs)).await, 4, "1.04"),
        (&carol, claim(&mut off, &north, &carol, &hers, passed(&carols)).await, 4, "1.04"),
    ];
    for (person, request, ..) in &requests {
        file(&north, person, request).await;
    }
    decide(&off, &north).await;
    for (person, request, amount, balance) in &requests {
        assert_eq!(paid(&north, person, request).await, Some(*amount));
        assert_eq!(north.balance(&person.holder).await, *balance);
    }
    assert!(accusations(&north).await.is_empty() && owed(&north).await.is_empty());
    let report = north.assert_sound().await;
    assert_eq!((report.offline.reclaimed, report.offline.closed), (16, 0));
}

#[tokio::test]
async fn a_claim_that_loses_to_a_deposit_of_a_fork_is_paid_by_who_forked() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let bob = off.person(&north, "bob", "1.00").await;
    let carol = off.person(&north, "caroline", "1.00").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let blank = off.withdraw(&north, &bob, &[0]).await.unwrap().remove(0);
    let hers = off.withdraw(&north, &carol, &[0]).await.unwrap().remove(0);
    let given = off.hand(&north, coin.open(), &blank);
    // Bob pays a quarter of it and gives all of it to Carol.
    let (quarter, _) = cut(blank.open_holding(&given), &[2]);
    let item = off.pay(&north, &shop.holder, quarter);
    assert_eq!(sums(&settled(&north, &shop.holder, &item).await), (4, 0));
    let passed_on = off.hand(&north, blank.open_holding(&given), &hers);
    off.world.at(3_000);
    let carols = claim(&mut off, &north, &carol, &hers, passed(&passed_on)).await;
    file(&north, &carol, &carols).await;
    decide(&off, &north).await;
    assert_eq!(paid(&north, &carol, &carols).await, Some(16));
    assert_eq!(north.balance(&carol.holder).await, "1.16");
    assert_eq!(north.balance(&bob.holder).await, "0.96");
    assert_eq!(north.balance(&alice.holder).await, "0.84");
    let lines = accusations(&north).await;
    assert_eq!((lines.len(), &lines[0]["customer"]), (1, &json!("bob")));
    assert_eq!(lines[0]["coin"], json!(blank.message.to_string()));
    let report = north.assert_sound().await;
    let offline = report.offline;
    assert_eq!((offline.redeemed, offline.reclaimed, offline.charged), (4, 12, 4));
}

#[tokio::test]
async fn nobody_owes_itself_but_is_named_all_the_same() {
    let (mut off, north) = OffWorld::one(with_collateral).await;
    let alice = off.person(&north, "alice", "0.25").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let own = off.withdraw(&north, &alice, &[0, 0]).await.unwrap();
    let holdings = [off.hand(&north, coin.open(), &own[0]), off.hand(&north, coin.open(), &own[1])];
    off.world.at(3_000);
    let mut sum = 0;
    let mut requests = Vec::new();
    for (blank, holding) in own.iter().zip(&holdings) {
        let request = claim(&mut off, &north, &alice, blank, passed(holding)).await;
        file(&north, &alice, &request).await;
        requests.push(request);
    }
    decide(&off, &north).await;
    for request in &requests {
        sum += paid(&north, &alice, request).await.unwrap();
    }
    assert_eq!(sum, 16);
    assert_eq!(north.balance(&alice.holder).await, "0.20", "the collateral stays where it is");
    assert_eq!((accusations(&north).await.len(), owed(&north).await.len()), (1, 0));
    assert_eq!(north.assert_sound().await.offline.closed, 1);
}

#[tokio::test]
async fn what_a_customer_of_another_bank_owes_stands_in_the_books() {
    let (mut off, north, south) = OffWorld::two().await;
    let alice = off.person(&north, "alice", "1.00").await;
    let xenia = off.person(&south, "xenia", "1.00").await;
    let bob = off.person(&north, "bob", "1.00").await;
    let carol = off.person(&north, "caroline", "1.00").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let blank = off.withdraw(&south, &xenia, &[0]).await.unwrap().remove(0);
    let takers = [
        off.withdraw(&north, &bob, &[0]).await.unwrap().remove(0),
        off.withdraw(&north, &carol, &[0]).await.unwrap().remove(0),
    ];
    let given = off.hand(&north, coin.open(), &blank);
    let holdings = [
        off.hand(&north, blank.open_holding(&given), &takers[0]),
        off.hand(&north, blank.open_holding(&given), &takers[1]),
    ];
    off.world.at(3_000);
    let mut requests = Vec::new();
    for ((person, taker), holding) in [&bob, &carol].into_iter().zip(&takers).zip(&holdings) {
        let request = claim(&mut off, &north, person, taker, passed(holding)).await;
        file(&north, person, &request).await;
        requests.push((person, request));
    }
    decide(&off, &north).await;
    let mut sum = 0;
    for (person, request) in &requests {
        sum += paid(&north, person, request).await.unwrap();
    }
    assert_eq!(sum, 16, "circulation pays the units once");
    assert_eq!(owed(&north).await, [(16, 0, "south".to_owned())]);
    assert!(accusations(&north).await.is_empty());
    north.assert_sound().await;
}
