//! Deposits at the issuing bank, and whoever answered twice.

use feiqian_offline_cash::accusation::{Accusation, Accused};
use feiqian_offline_cash::deposit::{Outcome, Source};
use feiqian_offline_cash::messages::{DepositResponse, SignedExposed};
use feiqian_wire::error::Code;
use serde_json::json;

use crate::offline_world::{OffWorld, cut, deposit, settled, sums, tune, with_collateral};
use crate::world::{Node, code};

async fn accusations(node: &Node) -> Vec<serde_json::Value> {
    let answer = node.command(json!({"command": "accusations"})).await.unwrap();
    answer["accusations"].as_array().unwrap().clone()
}

#[tokio::test]
async fn own_coins_are_paid_once_and_the_same_payment_gets_the_same_receipt() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coins = off.withdraw(&north, &alice, &[16, 8]).await.unwrap();
    let (mut paid, rest) = cut(coins[0].open(), &[3]);
    paid.push(coins[1].open());
    let item = off.pay(&north, &shop.holder, paid);
    let receipt = settled(&north, &shop.holder, &item).await;
    assert_eq!(sums(&receipt), (16, 0));
    assert!(receipt.terms.parts.iter().all(|part| part.source == Source::Circulation));
    assert_eq!(settled(&north, &shop.holder, &item).await, receipt);
    assert_eq!(north.balance(&shop.holder).await, "0.16");
    // The rest of the coin pays another request; the account in the request is the one that deposits.
    let rest = off.pay(&north, &shop.holder, rest);
    assert_eq!(code(deposit(&north, &alice.holder, &rest).await), Code::WrongRoute);
    assert_eq!(sums(&settled(&north, &shop.holder, &rest).await), (8, 0));
    assert!(accusations(&north).await.is_empty());
    let report = north.assert_sound().await;
    assert_eq!((report.offline.issued, report.offline.redeemed), (24, 24));
}

#[tokio::test]
async fn a_second_spend_is_named_charged_to_account_then_collateral_and_the_rest_is_owed() {
    let (mut off, north) = OffWorld::one(with_collateral).await;
    let alice = off.person(&north, "alice", "0.25").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let cafe = off.holder(&north, "cafe", "0").await;
    // 25 less 5 of collateral less 16 withdrawn: 4 are left on the account.
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let first = off.pay(&north, &shop.holder, vec![coin.open()]);
    let second = off.pay(&north, &cafe.holder, vec![coin.open()]);
    assert_eq!(sums(&settled(&north, &shop.holder, &first).await), (16, 0));
    let receipt = settled(&north, &cafe.holder, &second).await;
    assert_eq!(sums(&receipt), (9, 7));
    assert_eq!(north.balance(&cafe.holder).await, "0.09");
    assert_eq!(north.balance(&alice.holder).await, "0.00");
    assert_eq!(settled(&north, &cafe.holder, &second).await, receipt);
    // The evidence verifies with the root alone, and names alice.
    let lines = accusations(&north).await;
    assert_eq!(lines.len(), 1);
    assert_eq!((&lines[0]["customer"], &lines[0]["amount"]), (&json!("alice"), &json!("0.16")));
    assert_eq!((&lines[0]["covered"], &lines[0]["unpaid"]), (&json!("0.09"), &json!("0.07")));
    let document = north.command(json!({"command": "accusation", "id": lines[0]["id"]})).await.unwrap();
    let accusation: Accusation = serde_json::from_value(document).unwrap();
    match accusation.verify(&off.world.trusted()).unwrap() {
        Accused::Customer { origin, identity, .. } => {
            assert_eq!(origin, coin.origin);
            assert_eq!(identity, *alice.secret.public());
        }
        other => panic!("{other:?}"),
    }
    // The coin is on the list, which went to the center; the identity is closed.
    let list: SignedExposed = north.ask(None, "/v1/offline/exposed", &()).await.unwrap();
    list.verify(&north.bank.signing_key()).unwrap();
    assert_eq!(list.list.coins.to_vec(), vec![coin.message]);
    assert_eq!(off.clearing.exposed.lock().unwrap().last().unwrap().list.coins, list.list.coins);
    assert_eq!(code(off.withdraw(&north, &alice, &[1]).await.map(|_| ())), Code::IdentityClosed);
    north.assert_sound().await;
    let close = json!({"command": "account_close", "name": "alice"});
    assert_eq!(code(north.command(close).await), Code::Conflict);
    // What is owed is paid when due, as far as there is money by then.
    north.command(json!({"command": "account_fund", "name": "alice", "amount": "0.03"})).await.unwrap();
    off.world.at(3_000);
    let _ = north.bank.tend().await;
    assert_eq!(north.balance(&cafe.holder).await, "0.12");
    north.command(json!({"command": "account_fund", "name": "alice", "amount": "0.30"})).await.unwrap();
    let _ = north.bank.tend().await;
    assert_eq!(north.balance(&cafe.holder).await, "0.16");
    assert_eq!(north.balance(&alice.holder).await, "0.26");
    let report = north.assert_sound().await;
    assert_eq!((report.offline.charged, report.offline.covered, report.offline.closed), (16, 16, 1));
}

#[tokio::test]
async fn claims_on_one_cheat_are_paid_pro_rata() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "0.16").await;
    let shops = [
        off.holder(&north, "a-shop", "0").await,
        off.holder(&north, "another", "0").await,
        off.holder(&north, "the-third", "0").await,
    ];
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let first = off.pay(&north, &shops[0].holder, vec![coin.open()]);
    let second = off.pay(&north, &shops[1].holder, vec![coin.open()]);
    let half = cut(coin.open(), &[3]).0;
    let third = off.pay(&north, &shops[2].holder, half);
    settled(&north, &shops[0].holder, &first).await;
    assert_eq!(sums(&settled(&north, &shops[1].holder, &second).await), (0, 16));
    assert_eq!(sums(&settled(&north, &shops[2].holder, &third).await), (0, 8));
    north.command(json!({"command": "account_fund", "name": "alice", "amount": "0.12"})).await.unwrap();
    let _ = north.bank.tend().await;
    // Not before the coin's deposit_until.
    assert_eq!(north.balance(&shops[1].holder).await, "0.00");
    off.world.at(3_000);
    let _ = north.bank.tend().await;
    assert_eq!(north.balance(&shops[1].holder).await, "0.08");
    assert_eq!(north.balance(&shops[2].holder).await, "0.04");
    assert_eq!(accusations(&north).await.len(), 1);
    north.assert_sound().await;
}

#[tokio::test]
async fn the_holder_who_forked_pays_and_nobody_else() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let bob = off.person(&north, "bob", "1.00").await;
    let carol = off.person(&north, "caroline", "1.00").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let blank = off.withdraw(&north, &bob, &[0]).await.unwrap().remove(0);
    let hers = off.withdraw(&north, &carol, &[0]).await.unwrap().remove(0);
    let holding = off.hand(&north, coin.open(), &blank);
    // Bob gives half to Carol, who pays with it, and pays all of it himself.
    let (half, _) = cut(blank.open_holding(&holding), &[3]);
    let passed = off.hand(&north, half.into_iter().next().unwrap(), &hers);
    let honest = off.pay(&north, &shop.holder, vec![hers.open_holding(&passed)]);
    let greedy = off.pay(&north, &shop.holder, vec![blank.open_holding(&holding)]);
    assert_eq!(sums(&settled(&north, &shop.holder, &honest).await), (8, 0));
    let receipt = settled(&north, &shop.holder, &greedy).await;
    assert_eq!(sums(&receipt), (16, 0));
    let charged = receipt.terms.parts.iter().filter(|part| matches!(part.source, Source::Charged { .. }));
    assert_eq!(charged.map(|part| part.amount.value()).sum::<u64>(), 8);
    let lines = accusations(&north).await;
    assert_eq!((lines.len(), &lines[0]["customer"]), (1, &json!("bob")));
    assert_eq!(north.balance(&bob.holder).await, "0.92");
    assert_eq!(north.balance(&alice.holder).await, "0.84");
    assert_eq!(north.balance(&carol.holder).await, "1.00");
    off.withdraw(&north, &alice, &[1]).await.unwrap();
    north.assert_sound().await;
}

#[tokio::test]
async fn a_request_is_redeemed_for_one_payment_and_a_closed_coin_for_none() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coins = off.withdraw(&north, &alice, &[8, 8, 8]).await.unwrap();
    let item = off.pay(&north, &shop.holder, vec![coins[0].open()]);
    let verified = item
        .request
        .verify(&*north.bank.members().snapshot(), feiqian_wire::Timestamp::new(crate::world::NOW));
    let other = feiqian_offline_cash::pay::pay(
        &verified.unwrap(),
        vec![coins[1].open()],
        feiqian_wire::Timestamp::new(crate::world::NOW),
    );
    let other = feiqian_offline_cash::pay::CashItem {
        request: item.request.clone(),
        payment: other.unwrap().release_after_storing(),
    };
    settled(&north, &shop.holder, &item).await;
    let refused = |answer: DepositResponse| match answer {
        DepositResponse::Final(Outcome::Refused(fault)) => fault.code,
        answer => panic!("{answer:?}"),
    };
    assert_eq!(refused(deposit(&north, &shop.holder, &other).await.unwrap()), Code::RequestAlreadyPaid);
    let late = off.pay(&north, &shop.holder, vec![coins[2].open()]);
    off.world.at(4_000);
    assert_eq!(refused(deposit(&north, &shop.holder, &late).await.unwrap()), Code::KeyExpired);
    assert_eq!(north.balance(&shop.holder).await, "0.08");
    north.assert_sound().await;
}

#[tokio::test]
async fn a_crash_around_a_deposit_pays_once() {
    for after in [false, true] {
        let (mut off, mut north) = OffWorld::one(tune).await;
        let alice = off.person(&north, "alice", "0.20").await;
        let shop = off.holder(&north, "the-shop", "0").await;
        let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
        let first = off.pay(&north, &shop.holder, vec![coin.open()]);
        let second = off.pay(&north, &shop.holder, vec![coin.open()]);
        settled(&north, &shop.holder, &first).await;
        *north.store.plan.lock().unwrap() = Some(("bank.offline.deposit", after));
        assert_eq!(code(deposit(&north, &shop.holder, &second).await), Code::Unavailable);
        off.world.restart(&mut north).await;
        north.assert_sound().await;
        assert_eq!(sums(&settled(&north, &shop.holder, &second).await), (4, 12));
        assert_eq!(north.balance(&shop.holder).await, "0.20");
        assert_eq!(accusations(&north).await.len(), 1);
        north.assert_sound().await;
    }
}

#[tokio::test]
async fn a_bank_without_the_withdrawal_pays_itself() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let lines = feiqian_bank::tables::TABLES.iter().find(|table| table.name == "offline_line").unwrap();
    north
        .commit(move |tx| {
            let rows = tx.select("SELECT commitment FROM offline_line", &[])?;
            rows.iter().try_for_each(|row| tx.delete(lines, &[row.array::<32>(0)?.into()]))
        })
        .await;
    for expected in [(16, 0), (0, 16)] {
        let item = off.pay(&north, &shop.holder, vec![coin.open()]);
        assert_eq!(sums(&settled(&north, &shop.holder, &item).await), expected);
    }
    assert!(accusations(&north).await.is_empty());
    off.world.at(3_000);
    let _ = north.bank.tend().await;
    assert_eq!(north.balance(&shop.holder).await, "0.32");
    assert_eq!(north.balance(&alice.holder).await, "0.84");
    let status = north.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(status["balances"]["losses"], json!("-0.16"));
    // The audit sees that the coin is nobody's.
    assert_eq!(north.audit().await.findings.len(), 1);
}

#[tokio::test]
async fn the_audit_finds_what_was_changed() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "0.20").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    for _ in 0..2 {
        let item = off.pay(&north, &shop.holder, vec![coin.open()]);
        settled(&north, &shop.holder, &item).await;
    }
    north.assert_sound().await;
    // One column of one row each, with its row check made anew: as an operator with an editor would.
    let changes = [
        ("offline_total", 3),
        ("offline_total", 4),
        ("offline_drawn", 2),
        ("offline_chain", 8),
        ("offline_claim", 8),
        ("offline_claim", 9),
        ("offline_claim_part", 2),
        ("offline_payment", 5),
        ("offline_session", 4),
    ];
    for (name, column) in changes {
        let table = *feiqian_bank::tables::TABLES.iter().find(|table| table.name == name).unwrap();
        let change = move |up: bool| {
            move |tx: &mut dyn feiqian_ledger::store::Tx| {
                let columns = table.column_list();
                let rows =
                    tx.select(&format!("SELECT {columns} FROM {name} ORDER BY {}", table.key_list()), &[])?;
                let mut values = rows[0].0.clone();
                let feiqian_ledger::store::Value::Integer(number) = &mut values[column] else { panic!() };
                *number += if up { 1 } else { -1 };
                tx.update(table, &values)
            }
        };
        // Up, or down where the table itself forbids more.
        let up = north.store.commit_try(change(true)).await;
        if !up {
            assert!(north.store.commit_try(change(false)).await, "{name} {column}");
        }
        let findings = north.audit().await.findings;
        assert!(!findings.is_empty(), "{name}, column {column}");
        assert!(north.store.commit_try(change(!up)).await);
    }
    north.assert_sound().await;
}

#[tokio::test]
async fn random_cheats_in_random_order_are_charged_exactly_and_the_books_stay_sound() {
    use rand::seq::SliceRandom;
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let bob = off.person(&north, "bob", "1.00").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let blank = off.withdraw(&north, &bob, &[0]).await.unwrap().remove(0);
    // Alice gives Bob 8 and pays with all sorts of parts herself; Bob does the same with what he has.
    let (half, _) = cut(coin.open(), &[3]);
    let holding = off.hand(&north, half.into_iter().next().unwrap(), &blank);
    let mut items = Vec::new();
    for exponents in [vec![4], vec![3, 2], vec![1, 0], vec![3, 2, 1]] {
        let (pieces, _) = cut(coin.open(), &exponents);
        items.push(off.pay(&north, &shop.holder, pieces));
    }
    for exponents in [vec![3], vec![2, 1], vec![2, 0]] {
        let (pieces, _) = cut(blank.open_holding(&holding), &exponents);
        items.push(off.pay(&north, &shop.holder, pieces));
    }
    let deposits: u64 = items.iter().map(|item| item.request.request.amount.minor.value()).sum();
    items.shuffle(&mut off.rng);
    let mut paid = 0;
    for item in &items {
        let (now, unpaid) = sums(&settled(&north, &shop.holder, item).await);
        paid += now;
        assert_eq!(unpaid, 0);
        north.assert_sound().await;
    }
    // All of the coin from circulation, the rest from the two who cheated.
    let report = north.assert_sound().await;
    assert_eq!((report.offline.redeemed, paid), (16, deposits));
    assert_eq!(report.offline.charged, u128::from(deposits - 16));
    let lines = accusations(&north).await;
    let mut named: Vec<&str> = lines.iter().map(|line| line["customer"].as_str().unwrap()).collect();
    named.sort_unstable();
    assert_eq!(named, ["alice", "bob"]);
}
