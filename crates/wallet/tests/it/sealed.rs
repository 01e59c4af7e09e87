//! Secrets in the store: sealed, each in its own row only, and those of an older program's store are sealed when it is
//! opened.

use feiqian_crypto::EncodedPoint;
use feiqian_ledger::store::{Row, StoreError, StoreExt, Table, Tx};
use feiqian_online_cash::coin::{self, CoinId};
use feiqian_wallet::StoreKey;
use feiqian_wallet::offline::tables::{OFFLINE_COIN, OFFLINE_EXPECT, OFFLINE_OFFER};
use feiqian_wallet::sealed_rows::Place;
use feiqian_wallet::tables::{COIN, SETTING};
use feiqian_wire::error::Code;
use serde_json::json;

use crate::flows::{balance, run};
use crate::offline::{funded, text};
use crate::world::{Owner, World};

/// Tables with a sealed column, and where it is.
const SEALED: [(&Table, usize); 4] =
    [(&COIN, 2), (&OFFLINE_COIN, 7), (&OFFLINE_OFFER, 3), (&OFFLINE_EXPECT, 1)];

fn rows(tx: &mut dyn Tx, table: &Table) -> Result<Vec<Row>, StoreError> {
    tx.select(
        &format!("SELECT {} FROM {} ORDER BY {}", table.column_list(), table.name, table.key_list()),
        &[],
    )
}

fn opened(key: &StoreKey, table: &Table, row: &Row, column: usize) -> Result<Vec<u8>, StoreError> {
    let first = row.digest(0)?;
    let id = (table.name == "coin")
        .then(|| Ok::<_, StoreError>(CoinId { denomination: first, key: EncodedPoint(row.array(1)?) }))
        .transpose()?;
    let place = match (table.name, &id) {
        ("coin", Some(id)) => Place::Coin(id),
        ("offline_coin", _) => Place::OfflineCoin(&first),
        ("offline_offer", _) => Place::Offer(&first),
        _ => Place::Expect(&first),
    };
    Ok(key.open(place, row.blob(column)?)?.to_vec())
}

/// Alice has coins online and offline, and has answered an offer of Bob's; how many rows of each table she has.
async fn rich() -> (Owner, Owner, [usize; 4]) {
    let (world, alice) = funded("6").await;
    let bob = Owner::new(&world, "bob", 0);
    run(&alice, json!({"command": "withdraw", "amount": "7"})).await.unwrap();
    run(&bob, json!({"command": "blanks", "count": 8})).await.unwrap();
    let offer = run(&bob, json!({"command": "offer", "amount": "2"})).await.unwrap();
    run(&alice, json!({"command": "answer_offer", "file": text(&offer)})).await.unwrap();
    let key = alice.store_key();
    let count = move |tx: &mut dyn Tx| {
        let mut counts = [0; 4];
        for (count, (table, column)) in counts.iter_mut().zip(SEALED) {
            for row in rows(tx, table)? {
                let (sealed, secret) = (row.blob(column)?.to_vec(), opened(&key, table, &row, column)?);
                assert_eq!(sealed.len(), secret.len() + 40);
                if table.name == "coin" {
                    let secret = feiqian_crypto::EncodedScalar(secret.try_into().unwrap()).decode().unwrap();
                    assert_eq!(coin::public_key(&secret), EncodedPoint(row.array(1)?));
                }
                *count += 1;
            }
        }
        Ok::<_, StoreError>(counts)
    };
    let counts = alice.store.inner.read(count).await.unwrap();
    (alice, bob, counts)
}

#[tokio::test]
async fn a_secret_put_into_another_row_is_not_used() {
    let (alice, _bob, _) = rich().await;
    for (table, column) in [SEALED[0], SEALED[1]] {
        let swap = move |tx: &mut dyn Tx| {
            let found = rows(tx, table)?;
            let [mut one, mut other] = [found[0].0.clone(), found[1].0.clone()];
            std::mem::swap(&mut one[column], &mut other[column]);
            tx.update(table, &one)?;
            tx.update(table, &other)
        };
        alice.store.inner.commit("test.swap", swap).await.unwrap();
        let found = alice.audit().await.findings;
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().all(|finding| finding.invariant == 8), "{found:?}");
        let fault = if table.name == "coin" {
            run(&alice, json!({"command": "deposit", "amount": "7"})).await.unwrap_err()
        } else {
            run(&alice, json!({"command": "deposit_offline", "amount": "6"})).await.unwrap_err()
        };
        assert_eq!(fault.code, Code::Internal, "{fault}");
        assert!(fault.message.contains("is that of another row"), "{fault}");
        alice.store.inner.commit("test.swap", swap).await.unwrap();
        assert_eq!(alice.audit().await.findings, Vec::new());
    }
    run(&alice, json!({"command": "deposit", "amount": "7"})).await.unwrap();
    assert_eq!(balance(&alice).await.0, "0.00");
}

#[tokio::test]
async fn the_store_of_an_older_program_is_sealed_when_it_is_opened() {
    let (alice, bob, counts) = rich().await;
    assert!(counts[0] >= 3 && counts[1] >= 2 && counts[3] == 1, "{counts:?}");
    for owner in [&alice, &bob] {
        let key = owner.store_key();
        let lay_open = move |tx: &mut dyn Tx| {
            for (table, column) in SEALED {
                for mut row in rows(tx, table)? {
                    row.0[column] = opened(&key, table, &row, column)?.into();
                    tx.update(table, &row.0)?;
                }
            }
            tx.delete(&SETTING, &["sealed".into()])
        };
        owner.store.inner.commit("test.open", lay_open).await.unwrap();
        assert!(!owner.audit().await.findings.is_empty());
        // Sealed by whatever is done next.
        balance(owner).await;
        let key = owner.store_key();
        let sealed = move |tx: &mut dyn Tx| {
            for (table, column) in SEALED {
                for row in rows(tx, table)? {
                    opened(&key, table, &row, column)?;
                }
            }
            Ok::<_, StoreError>(())
        };
        owner.store.inner.read(sealed).await.unwrap();
        assert_eq!(owner.audit().await.findings, Vec::new());
    }
    run(&alice, json!({"command": "deposit", "amount": "7"})).await.unwrap();
}

#[tokio::test]
async fn other_words_open_nothing() {
    let world = World::new();
    let mut alice = Owner::new(&world, "alice", 10_000);
    run(&alice, json!({"command": "withdraw", "amount": "7"})).await.unwrap();
    alice.words = Some([9; 64]);
    let fault = run(&alice, json!({"command": "deposit", "amount": "7"})).await.unwrap_err();
    assert!(fault.message.contains("sealed secret"), "{fault}");
    alice.words = None;
    run(&alice, json!({"command": "deposit", "amount": "7"})).await.unwrap();
}
