//! Net settlement: cycles, caps, default, and death at every commit of a settlement.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_center::{Caps, Settlement, tables};
use feiqian_cheque::ReturnCode;
use feiqian_cheque::messages::ChequeOutcome;
use feiqian_ledger::store::{StoreExt, Tx, Value};
use feiqian_store::testing::{Death, Lives, MortalStore, killed_everywhere};
use serde_json::{Value as Json, json};

use crate::cheque::present;
use crate::clearing::Town;

async fn net(caps: Caps, funding: &str) -> Town {
    Town::new(Settlement::Net, caps, funding).await
}

async fn ask(town: &Town, command: &str) -> Json {
    town.world.command(json!({ "command": command })).await.unwrap()
}

#[tokio::test]
async fn a_cycle_is_netted_closed_and_settled() {
    let town = net(Caps::Prefunded, "100").await;
    let out = town.cheque(10_000, 1);
    let back = town.alice.deposit(town.bob.cheque(&town.alice, 4_000, 1, false));
    let over = town.cheque(4_001, 2);
    for (bank, cheque) in [(&town.south, &out), (&town.north, &back)] {
        assert!(matches!(present(bank, cheque).await.unwrap(), ChequeOutcome::Paid(_)));
    }
    let refused = present(&town.south, &over).await.unwrap();
    assert!(matches!(refused, ChequeOutcome::Returned(ReturnCode::SettlementFailed, _)), "{refused:?}");
    assert_eq!(town.north.paid_cheques(), 1, "what exceeds the cap never reaches the drawee");
    // The incoming cheque made room for exactly that much.
    assert!(matches!(present(&town.south, &town.cheque(4_000, 3)).await.unwrap(), ChequeOutcome::Paid(_)));

    let positions = ask(&town, "positions").await;
    assert_eq!(positions["cycles"][0]["net"], json!({"north": "-10000", "south": "10000"}));
    assert_eq!(positions["cycles"][0]["sum"], "0");
    assert_eq!(town.settlements().await, ["100.00", "100.00", "100.00"], "nothing has moved yet");
    town.world.turn().await;
    assert_eq!(town.south.told(&out), None);
    assert_eq!(ask(&town, "settle").await["cycles"], json!([]), "an open cycle is not settled");
    assert_eq!(ask(&town, "cycle_close").await["cycles"][0]["state"], "closed");
    let settled = ask(&town, "settle").await;
    assert_eq!(settled["cycles"], json!([{"cycle": 1, "currency": "CNY", "items": 3, "unwound": 0}]));
    assert_eq!(town.settlements().await, ["0.00", "200.00", "100.00"]);
    assert_eq!((town.north.told(&out), town.south.told(&out)), (Some((1, true)), Some((1, true))));
    assert_eq!(ask(&town, "settle").await["cycles"], json!([]));
    town.world.assert_sound().await;
}

#[tokio::test]
async fn a_bank_that_cannot_pay_has_its_last_items_unwound() {
    let town = net(Caps::None, "100").await;
    let (first, second) = (town.cheque(8_000, 1), town.cheque(5_000, 2));
    let other = town.carol.deposit(town.bob.cheque(&town.carol, 9_000, 1, false));
    for (bank, cheque) in [(&town.south, &first), (&town.south, &second), (&town.west, &other)] {
        assert!(matches!(present(bank, cheque).await.unwrap(), ChequeOutcome::Paid(_)));
    }
    ask(&town, "cycle_close").await;
    let settled = ask(&town, "settle").await;
    assert_eq!(settled["cycles"][0]["items"], 2);
    assert_eq!(settled["cycles"][0]["unwound"], 1);
    assert_eq!(town.settlements().await, ["20.00", "90.00", "190.00"]);
    assert_eq!(town.south.told(&first), Some((1, true)));
    assert_eq!((town.north.told(&second), town.south.told(&second)), (Some((1, false)), Some((1, false))));
    let outcome = present(&town.south, &second).await.unwrap();
    assert!(matches!(outcome, ChequeOutcome::Returned(ReturnCode::SettlementFailed, _)), "{outcome:?}");
    town.world.assert_sound().await;
}

/// Otherwise the drawee, for which it is still paid, would call the next presentment a duplicate.
#[tokio::test]
async fn the_collecting_bank_hears_of_an_unwound_cheque_after_the_drawee() {
    let town = net(Caps::None, "100").await;
    let (first, second) = (town.cheque(8_000, 1), town.cheque(5_000, 2));
    for cheque in [&first, &second] {
        present(&town.south, cheque).await.unwrap();
    }
    ask(&town, "cycle_close").await;
    town.north.deaf.store(true, Ordering::Relaxed);
    ask(&town, "settle").await;
    assert!(!town.world.center.tell_banks().await.unwrap());
    assert_eq!((town.south.told(&first), town.south.told(&second)), (Some((1, true)), None));
    town.north.deaf.store(false, Ordering::Relaxed);
    for _ in 0..2 {
        let _ = town.world.center.tell_banks().await;
    }
    assert_eq!(town.south.told(&second), Some((1, false)));
    assert!(town.world.center.tell_banks().await.unwrap());
}

#[tokio::test]
async fn a_reserved_cycle_goes_on_by_itself_after_a_restart() {
    let mut town = net(Caps::Prefunded, "100").await;
    present(&town.south, &town.cheque(8_000, 1)).await.unwrap();
    ask(&town, "cycle_close").await;
    // The first commit of this life is the new list; reserving the cycle is the next.
    let mut step = 1;
    loop {
        let store =
            Arc::new(MortalStore::new(Arc::clone(&town.world.disk), Some(Death { step, after: true })));
        if town.restart_on(Arc::clone(&store)).await {
            let _ = town.world.command(json!({"command": "settle"})).await;
        }
        if store.points().last() == Some(&"center.cycle.reserve") {
            break;
        }
        step += 1;
        assert!(step < 20);
    }
    let alive = Arc::new(MortalStore::new(Arc::clone(&town.world.disk), None));
    assert!(town.restart_on(alive).await);
    town.world.turn().await;
    assert_eq!(town.settlements().await, ["20.00", "180.00", "100.00"]);
    town.world.assert_sound().await;
}

async fn settle(lives: Lives) {
    let mut town = net(Caps::None, "100").await;
    let (first, second) = (town.cheque(8_000, 1), town.cheque(5_000, 2));
    for cheque in [&first, &second] {
        present(&town.south, cheque).await.unwrap();
    }
    for _ in 0..6 {
        if town.restart_on(lives.next(Arc::clone(&town.world.disk))).await {
            let _ = town.world.command(json!({"command": "cycle_close"})).await;
            let _ = town.world.command(json!({"command": "settle"})).await;
            town.world.turn().await;
        }
        town.world.assert_sound().await;
        if [&first, &second].iter().all(|it| town.north.told(it).is_some() && town.south.told(it).is_some()) {
            break;
        }
    }
    let alive = Arc::new(MortalStore::new(Arc::clone(&town.world.disk), None));
    assert!(town.restart_on(alive).await);
    for (cheque, settled) in [(&first, true), (&second, false)] {
        let word = Some((1, settled));
        assert_eq!((town.north.told(cheque), town.south.told(cheque)), (word, word));
    }
    assert_eq!(town.settlements().await, ["20.00", "180.00", "100.00"]);
}

#[tokio::test]
async fn killed_at_any_commit_of_a_settlement_it_ends_settled_once() {
    let points = killed_everywhere(settle).await;
    let wanted = ["center.cycle.close", "center.cycle.reserve", "center.cycle.settle", "center.notice.told"];
    assert!(wanted.iter().all(|point| points.contains(point)), "{points:?}");
}

#[tokio::test]
async fn the_audit_finds_changed_cycles_obligations_and_notices() {
    let changes = [
        (&tables::CYCLE, 3, Value::Integer(1)),
        (&tables::OBLIGATION, 8, Value::Integer(7)),
        (&tables::OBLIGATION, 9, Value::Integer(0)),
        (&tables::OBLIGATION, 3, Value::Integer(7)),
        (&tables::NOTICE, 2, Value::Integer(2)),
        (&tables::NOTICE, 3, Value::Integer(0)),
        (&tables::OBLIGATION, 7, Value::Integer(9)),
        (&tables::CRL, 2, Value::Blob(vec![0x30, 0])),
    ];
    for (table, column, value) in changes {
        let town = net(Caps::Prefunded, "100").await;
        present(&town.south, &town.cheque(8_000, 1)).await.unwrap();
        ask(&town, "cycle_close").await;
        ask(&town, "settle").await;
        town.world.assert_sound().await;
        let change = move |tx: &mut dyn Tx| -> Result<(), feiqian_ledger::store::StoreError> {
            let sql = format!("SELECT {} FROM {} LIMIT 1", table.column_list(), table.name);
            let mut values = tx.select(&sql, &[])?.remove(0).0;
            values[column] = value.clone();
            tx.update(table, &values)
        };
        town.world.disk.commit("test.tamper", change).await.unwrap();
        assert_ne!(town.world.audited().await.findings, [], "{} column {column}", table.name);
    }
}

/// A row in one table that another table calls for, or that nothing calls for.
#[tokio::test]
async fn the_audit_finds_missing_rows_of_clearing() {
    for table in [&tables::CYCLE, &tables::OBLIGATION, &tables::NOTICE, &tables::PRESENTMENT] {
        let town = net(Caps::Prefunded, "100").await;
        for number in 1..=2 {
            present(&town.south, &town.cheque(2_000, number)).await.unwrap();
            ask(&town, "cycle_close").await;
            ask(&town, "settle").await;
        }
        town.world.assert_sound().await;
        let change = move |tx: &mut dyn Tx| -> Result<(), feiqian_ledger::store::StoreError> {
            let sql = format!("SELECT {} FROM {} LIMIT 1", table.column_list(), table.name);
            let key: Vec<Value> = tx.select(&sql, &[])?.remove(0).0.into_iter().take(table.key).collect();
            tx.delete(table, &key)
        };
        town.world.disk.commit("test.tamper", change).await.unwrap();
        assert_ne!(town.world.audited().await.findings, [], "{}", table.name);
    }
}

/// Two presentments of one cheque, both paid: what two careless drawees in one could do.
#[tokio::test]
async fn the_audit_finds_a_cheque_paid_twice() {
    let town = net(Caps::Prefunded, "100").await;
    let cheque = town.bob.cheque(&town.alice, 500, 1, false);
    let first = town.alice.deposit(cheque.clone());
    present(&town.north, &first).await.unwrap();
    town.world.assert_sound().await;
    let other = town.carol.deposit(town.bob.cheque(&town.carol, 500, 2, false));
    present(&town.west, &other).await.unwrap();
    town.world.assert_sound().await;
    // The second row bears the first one's document.
    let change = |tx: &mut dyn Tx| -> Result<(), feiqian_ledger::store::StoreError> {
        let table = &tables::PRESENTMENT;
        let sql = format!("SELECT {} FROM {} ORDER BY received, id", table.column_list(), table.name);
        let rows = tx.select(&sql, &[])?;
        let mut second = rows[1].0.clone();
        second[6] = rows[0].0[6].clone();
        second[8] = rows[0].0[8].clone();
        tx.update(table, &second)
    };
    town.world.disk.commit("test.tamper", change).await.unwrap();
    let findings = town.world.audited().await.findings;
    assert!(findings.iter().any(|finding| finding.invariant == 4), "{findings:#?}");
}
