//! Every value about cheques and transfers in a wallet's store is held by another: change one, with row checks that
//! fit, and the audit finds it.

use feiqian_ledger::audit::Finding;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Table, Tx, Value};
use feiqian_wallet::audit::{LeafStage, instruments};
use feiqian_wallet::tables;
use serde_json::json;

use crate::flows::run;
use crate::world::{Owner, World};

/// What nothing else in the store determines: times, what the owner asked for, whether it was told.
const FREE: [(&str, &str); 14] = [
    ("act", "intent"),
    ("act", "reported"),
    ("act", "number"),
    ("act", "created"),
    ("cheque_leaf", "intent"),
    ("cheque_leaf", "reported"),
    ("cheque_leaf", "torn_at"),
    ("cheque_received", "created"),
    // The words of a torn leaf's terms beside amount, date and payee; every change of those is found.
    ("cheque_leaf", "terms"),
    // Documents and orders: every block bears a signature of its own, which is checked by whoever is given the file.
    // That they are this row's is tested below.
    ("act", "body"),
    ("act", "answer"),
    ("cheque_leaf", "file"),
    ("cheque_received", "body"),
    ("cheque_received", "file"),
];

struct Scene {
    alice: Owner,
    bob: Owner,
}

/// Alice writes, certifies and stops; Bob is paid, gets one back and waits for one; both order transfers.
async fn busy() -> Scene {
    let world = World::new();
    let (alice, bob) = (Owner::new(&world, "alice", 30_000), Owner::new(&world, "bob", 0));
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for owner in [&alice, &bob] {
        owner.open().await;
    }
    run(&alice, json!({"command": "cheque_book", "leaves": 5})).await.unwrap();
    for (name, amount) in [("paid", "10"), ("back", "900"), ("stopped", "5"), ("slow", "20")] {
        let order =
            json!({"command": "cheque_write", "to": "north/bob", "amount": amount, "out": file(name)});
        run(&alice, order).await.unwrap();
    }
    let stop = json!({"command": "cheque_stop", "number": 3, "reason": "LOST"});
    run(&alice, stop).await.unwrap();
    for (name, outcome) in [("paid", "paid"), ("back", "returned"), ("stopped", "returned")] {
        let deposit = json!({"command": "cheque_deposit", "path": file(name)});
        assert_eq!(run(&bob, deposit).await.unwrap()["outcome"], outcome);
    }
    world.state().cheques.slow = true;
    let deposit = json!({"command": "cheque_deposit", "path": file("slow")});
    assert_eq!(run(&bob, deposit).await.unwrap()["outcome"], "pending");
    let transfer = json!({"command": "transfer", "to": "north/bob", "amount": "3", "memo": "lunch"});
    run(&alice, transfer).await.unwrap();
    run(&alice, json!({"command": "cheque_list"})).await.unwrap();
    let scene = Scene { alice, bob };
    for owner in [&scene.alice, &scene.bob] {
        assert_eq!(findings(owner).await, Vec::new());
    }
    scene
}

async fn findings(owner: &Owner) -> Vec<Finding> {
    owner.audit().await.findings
}

fn changed(value: &Value) -> Option<Value> {
    match value {
        Value::Integer(number) => Some(Value::Integer(number ^ 1)),
        Value::Text(text) => {
            let mut bytes = text.clone().into_bytes();
            *bytes.last_mut()? ^= 1;
            String::from_utf8(bytes).ok().map(Value::Text)
        }
        Value::Blob(bytes) if !bytes.is_empty() => {
            let mut bytes = bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            Some(Value::Blob(bytes))
        }
        _ => None,
    }
}

async fn update(owner: &Owner, table: &'static Table, values: Vec<Value>) -> bool {
    owner.store.inner.commit("test.tamper", move |tx: &mut dyn Tx| tx.update(table, &values)).await.is_ok()
}

async fn spoil(owner: &Owner, table: &'static Table) -> usize {
    let sql = format!("SELECT {} FROM {}", table.column_list(), table.name);
    let rows: Vec<Row> = owner.store.inner.read(move |tx: &mut dyn Tx| tx.select(&sql, &[])).await.unwrap();
    let mut tried = 0;
    for row in rows {
        for (index, column) in table.columns.iter().enumerate().skip(table.key) {
            let mut values = row.0.clone();
            let Some(value) = changed(&values[index]) else { continue };
            values[index] = value;
            if FREE.contains(&(table.name, column.name)) || !update(owner, table, values).await {
                continue;
            }
            let found = findings(owner).await;
            assert!(
                found.iter().any(|finding| finding.place.contains(table.name)),
                "{}.{} of {:?} changed unseen: {found:?}",
                table.name,
                column.name,
                row.0.first()
            );
            assert!(update(owner, table, row.0.clone()).await);
            tried += 1;
        }
    }
    tried
}

#[tokio::test]
async fn one_changed_value_is_found_and_named() {
    let scene = busy().await;
    for (owner, table, least) in
        [(&scene.alice, &tables::LEAF, 12), (&scene.bob, &tables::CHEQUE_RECEIVED, 1)]
    {
        let tried = spoil(owner, table).await;
        assert!(tried >= least, "only {tried} changes were tried in {}", table.name);
        assert_eq!(findings(owner).await, Vec::new(), "put back, it holds again");
    }
}

/// Two rows exchange one column: each value is good, but not here.
#[tokio::test]
async fn exchanged_documents_are_found_and_named() {
    let scene = busy().await;
    for (owner, table, condition, column) in [
        (&scene.alice, &tables::LEAF, "state = 'issued'", "file"),
        (&scene.alice, &tables::LEAF, "state = 'issued'", "notice"),
        (&scene.alice, &tables::LEAF, "state = 'issued'", "line"),
        (&scene.alice, &tables::LEAF, "state = 'issued'", "terms"),
        (&scene.bob, &tables::CHEQUE_RECEIVED, "state = 'returned'", "file"),
        (&scene.bob, &tables::ACT, "kind = 'deposit' AND state = 'done'", "answer"),
    ] {
        let sql = format!("SELECT {} FROM {} WHERE {condition}", table.column_list(), table.name);
        let read = move |tx: &mut dyn Tx| tx.select(&sql, &[]);
        let rows: Vec<Row> = owner.store.inner.read(read).await.unwrap();
        let index = table.columns.iter().position(|it| it.name == column).unwrap();
        let mut values = rows[0].0.clone();
        values[index] = rows[1].0[index].clone();
        assert!(update(owner, table, values).await, "{}.{column}", table.name);
        let found = findings(owner).await;
        assert!(found.iter().any(|it| it.place.contains(table.name)), "{}.{column}: {found:?}", table.name);
        assert!(update(owner, table, rows[0].0.clone()).await);
    }
}

#[tokio::test]
async fn a_missing_leaf_is_found() {
    let scene = busy().await;
    let delete = |tx: &mut dyn Tx| tx.delete(&tables::LEAF, &[5_i64.into()]);
    scene.alice.store.inner.commit("test.tamper", delete).await.unwrap();
    assert!(findings(&scene.alice).await.iter().any(|it| it.detail.contains("missing")));
}

#[tokio::test]
async fn what_banks_are_compared_with_is_what_the_owner_was_told() {
    let scene = busy().await;
    let told = async |owner: &Owner, account: &str| {
        let mut config = owner.open().await.config().clone();
        config.account = account.to_owned();
        let read = move |tx: &mut dyn Tx| Ok::<_, StoreError>(instruments(tx, &config).unwrap());
        owner.store.inner.read(read).await.unwrap()
    };
    let alice = told(&scene.alice, "alice").await;
    let stages: Vec<LeafStage> = alice.drawn.iter().map(|leaf| leaf.stage).collect();
    assert_eq!(stages, [[LeafStage::Issued; 4].as_slice(), &[LeafStage::Open]].concat());
    assert_eq!(alice.drawn[0].amount, Some(1_000));
    let [transfer] = alice.transfers.as_slice() else { panic!("{:?}", alice.transfers) };
    assert_eq!((transfer.amount, transfer.booked), (300, Some(true)));
    let bob = told(&scene.bob, "bob").await;
    let mut paid: Vec<_> = bob.deposits.iter().map(|deposit| (deposit.amount, deposit.paid)).collect();
    paid.sort_unstable();
    let expected = [
        (Some(500), Some(false)),
        (Some(1_000), Some(true)),
        (Some(2_000), None),
        (Some(90_000), Some(false)),
    ];
    assert_eq!(paid, expected);
}
