//! A bank that came from a backup asks the center what was cleared since, and may die anywhere over it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_bank::restored::{Restored, begin};
use feiqian_clearing::cleared::{Cleared, ClearedRequest, ClearedResponse, Cursor};
use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_ledger::store::{StoreError, StoreExt, Table, Tx, Value};
use feiqian_node::{Access, Peer, Route as NodeRoute, Routes, Shutdown};
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome};
use feiqian_pki::Role;
use feiqian_wire::error::Fault;
use feiqian_wire::{Blob, Bounded, Limit, Name, Text, Timestamp, codec};

use crate::clearing::two_banks;
use crate::deaths::SIDES;
use crate::world::{Dying, Holder, NOW, Node, World, digest, minor, pay, presented};

/// A center that lists these items, one a message.
struct Center(Vec<Cleared>);

impl Center {
    async fn cleared(self: Arc<Self>, _: Peer, request: ClearedRequest) -> Result<ClearedResponse, Fault> {
        let next = self.0.iter().find(|item| request.after.is_none_or(|after| item.cursor > after));
        let items = Bounded::collect(next.filter(|item| item.cursor.changed >= request.since).cloned())?;
        Ok(ClearedResponse { items })
    }
}

/// Everything in the bank's store, to be put back later.
async fn everything(node: &Node) -> Vec<(&'static Table, Vec<Vec<Value>>)> {
    let read = |tx: &mut dyn Tx| {
        let mut all = Vec::new();
        for table in feiqian_bank::tables::TABLES {
            let rows = tx.select(&format!("SELECT {} FROM {}", table.column_list(), table.name), &[])?;
            all.push((*table, rows.into_iter().map(|row| row.0).collect()));
        }
        Ok::<_, StoreError>(all)
    };
    node.store.read(read).await.unwrap()
}

async fn put_back(node: &Node, all: Vec<(&'static Table, Vec<Vec<Value>>)>) {
    let work = move |tx: &mut dyn Tx| {
        for (table, rows) in &all {
            for row in tx.select(&format!("SELECT {} FROM {}", table.column_list(), table.name), &[])? {
                tx.delete(table, &row.0[..table.key])?;
            }
            for row in rows {
                tx.insert(table, row)?;
            }
        }
        Ok::<_, StoreError>(())
    };
    node.store.commit("test", work).await.unwrap();
}

/// An item as the center has it, changed `late` seconds after the backup.
fn listed(item: &Presentment<CashItem>, issuing: &str, outcome: Option<&Outcome>, late: u64) -> Cleared {
    Cleared {
        cursor: Cursor { changed: Timestamp::new(NOW + late), id: item.id },
        kind: ItemKind::Payment,
        collecting: item.collecting_bank.clone(),
        issuing: Some(Name::new(issuing).unwrap()),
        amount: item.amount,
        presentment: Blob::new(codec::encode(item).unwrap()).unwrap(),
        outcome: outcome.map(|outcome| Blob::new(codec::encode(outcome).unwrap()).unwrap()),
    }
}

async fn redeemed(world: &World, node: &Node, item: &Presentment<CashItem>) -> Outcome {
    let answer: Presented<Outcome> = node.ask(Some(&world.center), "/v1/pay/payment", item).await.unwrap();
    answer.outcome
}

/// What was cleared between the backup and the fire.
struct Lost {
    north: Node,
    south: Node,
    alice: Holder,
    /// Of north's coins, paid to south.
    spent: Presentment<CashItem>,
    receipt: Outcome,
    center: Arc<Center>,
}

/// North has lost that 50 of its coins were spent at south, that 30 of south's coins were put on alice's account, and a
/// transfer.
async fn after_the_fire(world: &World) -> Lost {
    let (north, south, alice, merry) = two_banks(world).await;
    world.connect(&north, &south).await;
    world.connect(&south, &north).await;
    south
        .command(serde_json::json!({"command": "account_fund", "name": "merry12", "amount": "9.00"}))
        .await
        .unwrap();
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let foreign = south.withdraw(&merry, 2, &[32]).await;
    let backup = everything(&north).await;
    let spent = presented("south", &merry, &pay(&south.request(&merry, 3, 50, 3600), &[(&coins[0], 50)]));
    let receipt = redeemed(world, &north, &spent).await;
    assert!(matches!(receipt, Outcome::Paid(_)), "{receipt:?}");
    let earned = pay(&north.request(&alice, 4, 30, 3600), &[(&foreign[0], 30)]);
    let answer: DepositResponse = north.ask(Some(&alice.peer), "/v1/deposit", &earned).await.unwrap();
    let DepositResponse::Final(paid @ Outcome::Paid(_)) = answer else { panic!("{answer:?}") };
    assert_eq!(north.balance(&alice).await, "99.66");
    put_back(&north, backup).await;
    let earned = presented("north", &alice, &earned);
    // A receipt that north never gave: south's, for its own coins.
    let mut forged =
        presented("south", &merry, &pay(&south.request(&merry, 5, 2, 3600), &[(&foreign[0], 2)]));
    forged.collecting_bank = Name::new("south").unwrap();
    let mut transfer = listed(&forged, "north", None, 4);
    (transfer.kind, transfer.cursor.id) = (ItemKind::Transfer, digest(99));
    let mut old = transfer.clone();
    (old.cursor.changed, old.cursor.id) = (Timestamp::new(NOW - 60), digest(98));
    let items = vec![
        old,
        listed(&spent, "north", Some(&receipt), 1),
        listed(&earned, "south", Some(&paid), 2),
        listed(&forged, "north", Some(&paid), 3),
        transfer,
    ];
    let lost = Lost { north, south, alice, spent, receipt, center: Arc::new(Center(items)) };
    world.news(&lost.north);
    lost.north.line.cut();
    lost
}

impl Lost {
    /// The center answers.
    fn reached(&self, world: &World) {
        let route = NodeRoute::new("/v1/cleared").access(Access::Peer(&[Role::Center]));
        world.relay(
            &self.north,
            Routes::new(Arc::clone(&self.center)).add(route, Center::cleared).into_router(),
        );
    }

    async fn is_as_before(&self, world: &World) {
        let Self { north, south, alice, spent, receipt, .. } = self;
        // The coins that were spent are, under the receipt of then; what is left of them pays.
        assert_eq!(redeemed(world, north, spent).await, *receipt);
        north.assert_sound().await;
        world.connect(north, south).await;
        assert!(north.bank.drain_outbox(&Shutdown::default()).await.unwrap());
        assert_eq!(north.balance(alice).await, "99.66", "once");
        assert_eq!(north.assert_sound().await.in_circulation(), 14);
        south.assert_sound().await;
    }
}

/// Seconds after which the first keys redeem nothing any more.
const REDEEM_ENDED: u64 = 400 * 86_400;
const FOUND: [u64; 4] = [1, 1, 0, 2];

fn counts(found: &Restored) -> [u64; 4] {
    [found.spent, found.asked, found.unbooked, found.left]
}

#[tokio::test]
async fn what_was_cleared_since_the_backup_is_taken_once_wherever_the_bank_dies() {
    let points =
        ["bank.restore.begin", "bank.restore.spent", "bank.restore.asked", "bank.restore.done"].map(Some);
    for (point, after) in points.into_iter().chain([None]).flat_map(|point| SIDES.map(|side| (point, side))) {
        let world = World::new();
        let mut lost = after_the_fire(&world).await;
        if let Some(point) = point {
            *lost.north.store.plan.lock().unwrap() = Some((point, after));
        }
        let mut marked = begin(&*lost.north.store, NOW).await;
        if marked.is_err() {
            marked = begin(&*lost.north.store, NOW).await;
        }
        marked.unwrap();
        world.restart(&mut lost.north).await;
        let waits = lost.north.bank.reconcile().await.unwrap_err();
        assert!(!waits.is_definitive() && waits.hint.is_some(), "{waits:?}");
        lost.reached(&world);
        if point.is_none() {
            let store = Arc::clone(&lost.north.store);
            *lost.north.line.dying.lock().unwrap() =
                Some(Dying { path: "/v1/cleared", answered: after, store });
        }
        let mut found = lost.north.bank.reconcile().await;
        if found.is_err() {
            let dead = lost.north.store.dead.swap(false, Ordering::SeqCst);
            assert_eq!(dead, point.is_none(), "{found:?}");
            world.restart(&mut lost.north).await;
            found = lost.north.bank.reconcile().await;
        }
        assert!(lost.north.store.plan.lock().unwrap().is_none(), "{point:?} was reached");
        match found.unwrap() {
            // What was taken before it died was counted then.
            Some(found) => assert_eq!(counts(&found), FOUND, "{point:?} {after}"),
            None => assert_eq!((point, after), (Some("bank.restore.done"), true)),
        }
        assert_eq!(lost.north.bank.reconcile().await.unwrap(), None, "it is asked once");
        lost.is_as_before(&world).await;
    }
}

/// A center that would have more credited than was paid, or to somebody else, or under another name.
#[tokio::test]
async fn what_the_center_says_besides_what_was_presented_is_not_believed() {
    type Lie = fn(&mut Cleared, &mut Presentment<CashItem>);
    let lies: [Lie; 4] = [
        |told, _| told.amount.minor = minor(1_000_000),
        |told, inner| {
            inner.amount.minor = minor(1_000_000);
            told.amount = inner.amount;
        },
        |_, inner| inner.account = Text::new("ffffffffffffffffffffffffffffffff").unwrap(),
        |told, inner| {
            inner.id = digest(77);
            told.cursor.id = inner.id;
        },
    ];
    for lie in lies {
        let world = World::new();
        let mut lost = after_the_fire(&world).await;
        let told = &lost.center.0[2];
        let mut inner: Presentment<CashItem> = codec::decode(&told.presentment, Limit::Large).unwrap();
        assert_eq!(inner.collecting_bank.as_str(), "north");
        let mut told = told.clone();
        lie(&mut told, &mut inner);
        told.presentment = Blob::new(codec::encode(&inner).unwrap()).unwrap();
        lost.center = Arc::new(Center(vec![told]));
        begin(&*lost.north.store, NOW).await.unwrap();
        lost.reached(&world);
        let found = lost.north.bank.reconcile().await.unwrap().unwrap();
        assert_eq!(counts(&found), [0, 0, 0, 1]);
        world.connect(&lost.north, &lost.south).await;
        let _ = lost.north.bank.drain_outbox(&Shutdown::default()).await.unwrap();
        assert_eq!(lost.north.balance(&lost.alice).await, "99.36", "nothing was credited");
        lost.north.assert_sound().await;
    }
}

/// Keys and certificates that ended after a payment do not make its coins unspent.
#[tokio::test]
async fn a_payment_of_long_ago_is_spent_again() {
    let world = World::new();
    let lost = after_the_fire(&world).await;
    begin(&*lost.north.store, NOW).await.unwrap();
    world.at(REDEEM_ENDED);
    lost.reached(&world);
    let found = lost.north.bank.reconcile().await.unwrap().unwrap();
    assert_eq!(counts(&found), FOUND);
    assert_eq!(redeemed(&world, &lost.north, &lost.spent).await, lost.receipt);
}

#[tokio::test]
async fn coins_of_a_lost_withdrawal_are_spent_but_not_booked() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let backup = everything(&north).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let item = presented("south", &merry, &pay(&south.request(&merry, 3, 50, 3600), &[(&coins[0], 50)]));
    let receipt = redeemed(&world, &north, &item).await;
    put_back(&north, backup).await;
    let center = Arc::new(Center(vec![listed(&item, "north", Some(&receipt), 1)]));
    let lost = Lost { north, south, alice, spent: item, receipt, center };
    world.news(&lost.north);
    begin(&*lost.north.store, NOW).await.unwrap();
    lost.reached(&world);
    let found = lost.north.bank.reconcile().await.unwrap().unwrap();
    assert_eq!(counts(&found), [0, 0, 1, 0]);
    // It is not paid a second time, and the audit says that something is missing.
    let again =
        presented("south", &merry, &pay(&lost.south.request(&merry, 4, 60, 3600), &[(&coins[0], 60)]));
    let refused = redeemed(&world, &lost.north, &again).await;
    assert!(matches!(refused, Outcome::DoubleSpent(_)), "{refused:?}");
    assert!(!lost.north.audit().await.findings.is_empty());
}
