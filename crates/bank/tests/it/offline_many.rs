//! Much of it: an epoch in which 100,000 pieces were deposited, a coin that was forked 2,000 times, more exposed coins than a
//! list has.

use feiqian_crypto::{Digest, Scalar, Transcript};
use feiqian_ledger::store::{Tx, Value};
use feiqian_offline_cash::chain::Paid;
use feiqian_offline_cash::messages::{MAX_EXPOSED, SignedExposed};
use feiqian_offline_cash::register::Mark;
use feiqian_wire::{Bounded, codec};

use crate::offline_world::{OffWorld, cut, settled, sums, tune};

const COINS: u64 = 6_250;
const UNITS: u64 = 16;

fn name(kind: &str, number: u64) -> Digest {
    Transcript::new("tests/many").text(kind).integer(number).into_digest()
}

/// One unit of one coin of 16, as a row.
fn row(key: Digest, body: &[u8], coin: u64, unit: u64) -> Vec<Value> {
    let number = coin * UNITS + unit;
    let node = feiqian_crypto::share_tree::Node::new(UNITS + unit).unwrap();
    let mark = Mark { message: name("coin", coin), node, challenge: Scalar::from(number + 3).into() };
    let marks: Bounded<Mark, 64> = Bounded::new(vec![mark]).unwrap();
    vec![
        mark.message.into(),
        Value::unsigned(unit).unwrap(),
        name("chain", number).into(),
        Value::unsigned(1).unwrap(),
        key.into(),
        name("payment", number).into(),
        0_u32.into(),
        codec::encode(&marks).unwrap().into(),
        Value::unsigned(1).unwrap(),
        body.to_vec().into(),
    ]
}

#[tokio::test]
async fn among_a_hundred_thousand_pieces_a_deposit_touches_its_own_coin_alone() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "0.40").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[UNITS]).await.unwrap().remove(0);
    let (half, rest) = cut(coin.open(), &[3]);
    let first = off.pay(&north, &shop.holder, half);
    assert_eq!(sums(&settled(&north, &shop.holder, &first).await), (8, 0));

    let paid: &Paid = &first.payment.chains[0];
    let (key, body) = (paid.last.key, codec::encode(paid).unwrap());
    let table = *feiqian_bank::tables::TABLES.iter().find(|table| table.name == "offline_chain").unwrap();
    // Each row is an exchange with a server, and the plan is asked for in the words of the embedded database.
    let embedded = !feiqian_store::testing::on_postgres();
    let count = if embedded { COINS } else { COINS / 20 };
    for part in 0..10 {
        let body = body.clone();
        let rows = move |tx: &mut dyn Tx| {
            let coins = part * count / 10..(part + 1) * count / 10;
            coins
                .flat_map(|coin| (0..UNITS).map(move |unit| (coin, unit)))
                .try_for_each(|(coin, unit)| tx.insert(table, &row(key, &body, coin, unit)))
        };
        north.commit(rows).await;
    }
    let count = north.store.commit_try(move |tx: &mut dyn Tx| {
        let rows = tx.select("SELECT count(*) FROM offline_chain", &[])?;
        assert_eq!(rows[0].unsigned(0)?, count * UNITS + 1);
        if !embedded {
            return Ok(());
        }
        // What a deposit asks for is found by coin, not by looking at every row.
        let sql = "EXPLAIN QUERY PLAN SELECT chain FROM offline_chain \
                   WHERE coin = ?1 AND start < ?2 AND start + length > ?3 \
                   AND (start > ?4 OR (start = ?4 AND chain > ?5)) ORDER BY start, chain LIMIT ?6";
        let after = [Value::Integer(-1), Digest([0; 32]).into(), 256_u32.into()];
        let bounds = [name("coin", 7).into(), Value::unsigned(16)?, Value::unsigned(0)?];
        let bounds: Vec<Value> = bounds.into_iter().chain(after).collect();
        let plan = tx.select(sql, &bounds)?;
        assert!(!plan.is_empty());
        for line in &plan {
            let what = line.text(3)?;
            assert!(what.contains("SEARCH") && what.contains("coin=?"), "{what}");
        }
        Ok(())
    });
    assert!(count.await);

    // The rest of the coin is paid from circulation; the whole once more is charged, unit by unit.
    let item = off.pay(&north, &shop.holder, rest);
    assert_eq!(sums(&settled(&north, &shop.holder, &item).await), (8, 0));
    let fork = off.pay(&north, &shop.holder, vec![coin.open()]);
    let receipt = settled(&north, &shop.holder, &fork).await;
    assert_eq!(sums(&receipt), (16, 0));
    let sources: Vec<_> = receipt.terms.parts.iter().map(|part| &part.source).collect();
    assert!(matches!(sources[..], [feiqian_offline_cash::deposit::Source::Charged { .. }]), "{sources:?}");
    // The same again gets the stored receipt.
    let again = crate::offline_world::deposit(&north, &shop.holder, &fork).await.unwrap();
    let feiqian_offline_cash::messages::DepositResponse::Final(outcome) = again else { panic!() };
    assert!(matches!(outcome, feiqian_offline_cash::deposit::Outcome::Before(before)
        | feiqian_offline_cash::deposit::Outcome::Settled(before) if before == receipt));
}

#[tokio::test]
async fn of_a_coin_that_was_forked_two_thousand_times_a_deposit_reads_the_marks_and_one_body() {
    const FORKS: u64 = 2_000;
    const BODY: usize = 10_000;
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "0.40").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[UNITS]).await.unwrap().remove(0);
    let first = off.pay(&north, &shop.holder, vec![coin.open()]);
    assert_eq!(sums(&settled(&north, &shop.holder, &first).await), (16, 0));
    let key = first.payment.chains[0].last.key;
    let table = *feiqian_bank::tables::TABLES.iter().find(|table| table.name == "offline_chain").unwrap();
    let message = coin.message;
    // Forks of both halves, as long chains would have been stored.
    let rows = move |tx: &mut dyn Tx| {
        (0..FORKS).try_for_each(|number| {
            let half = number % 2;
            let mut values = row(key, &[0; BODY], 0, half * 8);
            let node = feiqian_crypto::share_tree::Node::new(2 + half).unwrap();
            let mark = Mark { message, node, challenge: Scalar::from(number + 3).into() };
            let marks: Bounded<Mark, 64> = Bounded::new(vec![mark]).unwrap();
            values[0] = message.into();
            values[2] = name("fork", number).into();
            values[3] = Value::unsigned(8)?;
            values[5] = name("payment of a fork", number).into();
            values[7] = codec::encode(&marks).unwrap().into();
            values[8] = Value::unsigned(0)?;
            tx.insert(table, &values)
        })
    };
    north.commit(rows).await;
    let fork = off.pay(&north, &shop.holder, vec![coin.open()]);
    let before = north.store.read.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(sums(&settled(&north, &shop.holder, &fork).await), (16, 0));
    let read = north.store.read.load(std::sync::atomic::Ordering::Relaxed) - before;
    let bodies = usize::try_from(FORKS).unwrap() * BODY;
    assert!(read < bodies / 20, "{read} bytes were read, the bodies have {bodies}");
}

#[tokio::test]
async fn the_newest_exposed_coins_are_listed_and_the_list_is_signed_once_a_minute_or_when_one_is_added() {
    const MORE: u64 = 3;
    let (mut off, north) = OffWorld::one(tune).await;
    let table = *feiqian_bank::tables::TABLES.iter().find(|table| table.name == "offline_exposed").unwrap();
    let now = crate::world::NOW;
    let rows = move |tx: &mut dyn Tx| {
        (0..MAX_EXPOSED as u64 + MORE).try_for_each(|number| {
            // The first are the oldest.
            let at = if number < MORE { now - 10 } else { now - 5 };
            let values =
                [name("exposed", number).into(), Value::unsigned(now + 9_000)?, Value::unsigned(at)?];
            tx.insert(table, &values)
        })
    };
    north.commit(rows).await;
    let _ = north.bank.tend().await;
    let shown = async || -> SignedExposed { north.ask(None, "/v1/offline/exposed", &()).await.unwrap() };
    let list = shown().await;
    list.verify(&north.bank.signing_key()).unwrap();
    assert_eq!(list.list.coins.len(), MAX_EXPOSED);
    for number in 0..MORE {
        assert!(!list.list.coins.contains(&name("exposed", number)));
    }
    // Nothing is read for the next ones, which are the same.
    let read = || north.store.read.load(std::sync::atomic::Ordering::Relaxed);
    let before = read();
    off.world.at(59);
    assert_eq!(shown().await, list);
    assert_eq!(read(), before);
    off.world.at(60);
    let later = shown().await;
    assert_eq!(later.list.as_of.seconds(), list.list.as_of.seconds() + 60);
    assert!(read() > before);
    // One more is listed at once, the oldest of the others is not.
    let alice = off.person(&north, "alice", "0.40").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coin = off.withdraw(&north, &alice, &[UNITS]).await.unwrap().remove(0);
    for _ in 0..2 {
        let item = off.pay(&north, &shop.holder, vec![coin.open()]);
        settled(&north, &shop.holder, &item).await;
    }
    let newest = shown().await;
    assert!(newest.list.coins.contains(&coin.message) && !later.list.coins.contains(&coin.message));
    assert_eq!(newest.list.coins.len(), MAX_EXPOSED);
    assert_eq!(off.clearing.exposed.lock().unwrap().last().unwrap(), &newest);
}
