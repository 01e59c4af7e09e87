//! What a bank deletes by itself: epochs that have ended, delivered items, and what replays of them come to.

use feiqian_clearing::presentment::Presented;
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::deposit::{CashItem, Outcome, OutcomeRequest, OutcomeResponse};
use feiqian_online_cash::issue::RecoverRequest;
use feiqian_wire::Name;
use feiqian_wire::error::{Code, Fault};

use crate::world::{Holder, Node, World, code, digest, pay, presented, released};

const DAY: u64 = 86_400;
const EPOCH: u64 = 4 * DAY;

/// Epochs of a day, a day to redeem and two of grace.
async fn quick(world: &World) -> (Node, Holder) {
    let node = world
        .tuned("north", 10, |config| {
            config.schedule.issue_seconds = DAY;
            config.schedule.redeem_seconds = DAY;
            config.schedule.grace_seconds = 2 * DAY;
            config.keep_seconds = DAY;
        })
        .await;
    world.publish(&[&node]).await;
    let alice = world.customer(&node, "alice", "100.00").await;
    (node, alice)
}

async fn deposit(node: &Node, holder: &Holder, item: &CashItem) -> Result<DepositResponse, Fault> {
    node.ask(Some(&holder.peer), "/v1/deposit", item).await
}

fn refused(response: DepositResponse) -> Code {
    match response {
        DepositResponse::Final(Outcome::Refused(fault)) => fault.code,
        other => panic!("{other:?}"),
    }
}

/// Rows of the tables that hold what an epoch leaves behind.
async fn rows(node: &Node) -> Vec<(&'static str, u64)> {
    let tables =
        ["coin", "spend", "statement", "payment", "refund", "session", "released", "refused", "evidence"];
    let count = move |tx: &mut dyn Tx| {
        tables
            .into_iter()
            .map(|name| {
                let rows = tx.select(&format!("SELECT count(*) FROM {name}"), &[])?;
                Ok((name, rows[0].unsigned(0)?))
            })
            .collect::<Result<Vec<_>, feiqian_ledger::store::StoreError>>()
    };
    node.store.read(count).await.unwrap()
}

fn outcome_of(item: &CashItem) -> OutcomeRequest {
    OutcomeRequest {
        bank: Name::new("north").unwrap(),
        body: item.request.request.body_digest(),
        expires: item.request.request.expires,
        shares: feiqian_wire::Bounded::new(item.payment.coins.iter().map(|coin| coin.share).collect())
            .unwrap(),
    }
}

/// One of everything that an epoch knows, of the epoch that issues now.
async fn live(world: &World, node: &Node, alice: &Holder, n: u64, expires: u64) -> (Vec<Coin>, CashItem) {
    let coins = node.withdraw(alice, n, &[64, 32, 16, 8]).await;
    let item = pay(&node.request(alice, n, 96, expires), &[(&coins[0], 64), (&coins[1], 32)]);
    assert!(matches!(deposit(node, alice, &item).await.unwrap(), DepositResponse::Final(Outcome::Paid(_))));
    // Half of it is refreshed, together with the release of a payment that was never made.
    let unpaid = pay(&node.request(alice, n + 1, 4, 0), &[(&coins[2], 4)]);
    node.refresh(n + 2, &[(&coins[2], 8)], &[8], vec![released(&unpaid)]).await.unwrap();
    // It is presented all the same, by a bank that it was not made out to.
    let presented = presented("south", alice, &unpaid);
    let answer: Presented<Outcome> =
        node.ask(Some(&world.center), "/v1/pay/payment", &presented).await.unwrap();
    assert!(matches!(answer.outcome, Outcome::Refused(_)), "{:?}", answer.outcome);
    (coins, item)
}

/// Housekeeping, as often as it takes to delete everything that may go. The center is away.
async fn tend(node: &Node) {
    for _ in 0..3 {
        let _unreachable: Result<(), Fault> = node.bank.tend().await;
    }
}

#[tokio::test]
async fn an_epoch_that_has_ended_is_deleted_and_its_coins_stay_refused() {
    let world = World::new();
    let (node, alice) = quick(&world).await;
    let (coins, item) = live(&world, &node, &alice, 10, 3600).await;
    let before = node.assert_sound().await;
    let balance = node.balance(&alice).await;
    // At the end of grace the coins are refused; their rows are still there for the margin.
    world.at(EPOCH);
    tend(&node).await;
    assert!(
        rows(&node).await.iter().any(|(name, count)| *name == "coin" && *count == 3),
        "{:?}",
        rows(&node).await
    );
    world.at(EPOCH + 2 * DAY);
    // A clock that the center's last list does not confirm may be wrong, and what ends never comes back.
    tend(&node).await;
    assert!(rows(&node).await.iter().any(|(name, count)| *name == "coin" && *count == 3));
    assert_eq!(node.assert_sound().await.ended, 0);
    world.list_root(&node);
    tend(&node).await;
    for (name, count) in rows(&node).await {
        assert_eq!(count, 0, "{name}");
    }
    let after = node.assert_sound().await;
    assert_eq!(after.in_circulation(), before.in_circulation());
    assert_eq!((after.ended, after.coins), (1, 0));
    assert_eq!(node.balance(&alice).await, balance);
    // Replays, with the clock right, and turned back to when the coins were good.
    for seconds in [EPOCH + 2 * DAY, 60] {
        world.at(seconds);
        world.list_root(&node);
        let replayed = deposit(&node, &alice, &item).await.map(refused);
        assert!(
            matches!(replayed, Ok(Code::Expired | Code::KeyExpired))
                || code(replayed.clone()) == Code::KeyExpired
        );
        let fresh = pay(&node.request(&alice, 90, 16, 40 * DAY), &[(&coins[3], 8), (&coins[2], 8)]);
        let again = deposit(&node, &alice, &fresh).await;
        let again = again.map_or_else(|fault| fault.code, refused);
        assert_eq!(again, Code::KeyExpired, "at {seconds}");
        // Nobody is told that it was never paid.
        let asked = node.ask::<_, OutcomeResponse>(None, "/v1/outcome", &outcome_of(&item)).await;
        assert_eq!(code(asked), Code::KeyExpired, "at {seconds}");
        let recover = RecoverRequest { request: digest(10) };
        let asked = node
            .ask::<_, feiqian_online_cash::issue::BeginResponse>(
                Some(&alice.peer),
                "/v1/account/issue/recover",
                &recover,
            )
            .await;
        assert_eq!(code(asked), Code::SessionUnknown);
        node.assert_sound().await;
    }
}

#[tokio::test]
async fn deletion_that_is_cut_off_anywhere_is_not_missed() {
    let points = [
        "bank.epoch.end",
        "bank.coin.prune",
        "bank.issue.prune",
        "bank.released.prune",
        "bank.refused.prune",
    ];
    for point in points {
        for after in [false, true] {
            let world = World::new();
            let (mut node, alice) = quick(&world).await;
            live(&world, &node, &alice, 10, 3600).await;
            let before = node.assert_sound().await.in_circulation();
            world.at(EPOCH + 2 * DAY);
            world.list_root(&node);
            *node.store.plan.lock().unwrap() = Some((point, after));
            let _dies: Result<(), Fault> = node.bank.tend().await;
            assert!(node.store.plan.lock().unwrap().is_none(), "{point} was not reached");
            node.assert_sound().await;
            world.restart(&mut node).await;
            world.list_root(&node);
            tend(&node).await;
            assert!(
                rows(&node).await.iter().all(|(_, count)| *count == 0),
                "{point}: {:?}",
                rows(&node).await
            );
            assert_eq!(node.assert_sound().await.in_circulation(), before, "{point}");
        }
    }
}

/// Items of the outbox.
async fn delivered(node: &Node) -> u64 {
    let count = |tx: &mut dyn Tx| tx.select("SELECT count(*) FROM presentment", &[])?[0].unsigned(0);
    node.store.read(count).await.unwrap()
}

#[tokio::test]
async fn delivered_items_go_when_nobody_may_bring_them_again() {
    let world = World::new();
    let north = world.bank("north", 10).await;
    let mut south = world.tuned("south", 20, |config| config.keep_seconds = DAY).await;
    world.publish(&[&north, &south]).await;
    let alice = world.customer(&north, "alice", "100.00").await;
    let merry = world.customer(&south, "merry12", "0").await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let item = pay(&south.request(&merry, 1, 50, 3600), &[(&coins[0], 50)]);
    let answer = deposit(&south, &merry, &item).await.unwrap();
    let DepositResponse::Final(Outcome::Paid(receipt)) = answer else { panic!("{answer:?}") };
    world.at(DAY + 3000);
    tend(&south).await;
    assert_eq!(delivered(&south).await, 1, "the request has not been over for a day");
    world.at(DAY + 3700);
    for after in [false, true] {
        *south.store.plan.lock().unwrap() = Some(("bank.outbox.prune", after));
        let _dies: Result<(), Fault> = south.bank.tend().await;
        assert_eq!(delivered(&south).await, u64::from(!after));
        south.assert_sound().await;
        world.restart(&mut south).await;
    }
    for seconds in [DAY + 3700, 60] {
        world.at(seconds);
        // The issuing bank would still say that it is paid to this presentment.
        assert_eq!(refused(deposit(&south, &merry, &item).await.unwrap()), Code::Expired, "at {seconds}");
        let order = crate::refunds::order(&merry, &receipt, 1, 10);
        let asked: Result<feiqian_online_cash::refund::RefundOutcome, Fault> =
            south.ask(Some(&merry.peer), "/v1/refund", &order).await;
        assert_eq!(code(asked), Code::Expired, "at {seconds}");
        assert_eq!((south.balance(&merry).await.as_str(), delivered(&south).await), ("0.50", 0));
        south.assert_sound().await;
        north.assert_sound().await;
    }
}
