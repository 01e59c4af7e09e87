//! Claims that the bank of a cheat does not answer in time: the center has taken all, the bank hears of it later and books it,
//! once, from the customer as far as it goes and from its own else.

use feiqian_node::Shutdown;
use feiqian_wire::error::Code;
use serde_json::json;

use crate::offline_world::{Late, OffWorld, Person, losses, mirror, settled, sums};
use crate::world::{Holder, Node, code, minor};

const FUNDED: i128 = 1_000_000;

struct Scene {
    off: OffWorld,
    /// Issues the coin and claims.
    north: Node,
    /// The cheat's bank.
    south: Node,
    bob: Person,
    shop: Holder,
}

impl Scene {
    /// Bob of the second bank has paid 16 twice; the first bank is about to claim.
    async fn new(late: Late) -> Self {
        let (mut off, north, south) = OffWorld::two().await;
        let alice = off.person(&north, "alice", "1.00").await;
        let bob = off.person(&south, "bob", "0.10").await;
        let shop = off.holder(&south, "the-shop", "0").await.holder;
        let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
        let blank = off.withdraw(&south, &bob, &[0]).await.unwrap().remove(0);
        let holding = off.hand(&south, coin.open(), &blank);
        let first = off.pay(&south, &shop, vec![blank.open_holding(&holding)]);
        let second = off.pay(&south, &shop, vec![blank.open_holding(&holding)]);
        assert_eq!(sums(&settled(&south, &shop, &first).await), (16, 0));
        assert_eq!(sums(&settled(&south, &shop, &second).await), (0, 16));
        *off.clearing.late.lock().unwrap() = late;
        Self { off, north, south, bob, shop }
    }

    fn late(&self, late: Late) {
        *self.off.clearing.late.lock().unwrap() = late;
    }

    async fn drain(&self) {
        for _ in 0..3 {
            for node in [&self.north, &self.south] {
                let _ = node.bank.drain_outbox(&Shutdown::default()).await.unwrap();
            }
        }
    }

    async fn fund_bob(&self, amount: &str) {
        let fund = json!({"command": "account_fund", "name": "bob", "amount": amount});
        self.south.command(fund).await.unwrap();
    }

    async fn due(&self) {
        self.off.world.at(3_000);
        let _ = self.south.bank.tend().await;
        let _ = self.north.bank.tend().await;
    }

    async fn sound(&self) {
        self.north.assert_sound().await;
        self.south.assert_sound().await;
    }

    /// By how much the second bank's mirror is ahead of what the center has moved.
    async fn ahead(&self) -> i128 {
        let clearing = &self.off.clearing;
        let moved = i128::from(clearing.owes("north", "south")) - i128::from(clearing.owes("south", "north"));
        let north = mirror(&self.north).await - (FUNDED - moved);
        assert_eq!(north, 0, "the claiming bank agrees with the center");
        mirror(&self.south).await - (FUNDED + moved)
    }

    async fn bob_and_losses(&self) -> (String, i128) {
        (self.south.balance(&self.bob.holder).await, losses(&self.south).await)
    }
}

#[tokio::test]
async fn a_bank_that_was_down_hears_of_the_claim_and_books_it_once() {
    let scene = Scene::new(Late::Ends { heard: false }).await;
    scene.drain().await;
    // The payee has everything, from the money of a bank that knows nothing of it yet.
    assert_eq!(scene.south.balance(&scene.shop).await, "0.32");
    assert_eq!(scene.off.clearing.owes("south", "north"), 16);
    assert_eq!(scene.ahead().await, 16);
    assert_eq!(scene.bob_and_losses().await, ("0.10".to_owned(), 0));
    scene.sound().await;
    for _ in 0..2 {
        scene.off.clearing.tell().await.unwrap();
        assert_eq!(scene.ahead().await, 0);
        assert_eq!(scene.bob_and_losses().await, ("0.00".to_owned(), 6));
        scene.sound().await;
    }
    let named = scene.south.command(json!({"command": "accusations"})).await.unwrap();
    let line = &named["accusations"][0];
    assert_eq!((&line["customer"], &line["covered"]), (&json!("bob"), &json!("0.10")));
    // Late claims find the outcome; the identity is closed.
    scene.late(Late::No);
    let mut scene = scene;
    let drawn = scene.off.withdraw(&scene.south, &scene.bob, &[1]).await.map(|_| ());
    assert_eq!(code(drawn), Code::IdentityClosed);
    // What Bob has later makes good for the loss, and no more than that.
    scene.fund_bob("0.04").await;
    scene.due().await;
    assert_eq!(scene.bob_and_losses().await, ("0.00".to_owned(), 2));
    scene.sound().await;
    scene.fund_bob("0.50").await;
    scene.due().await;
    scene.due().await;
    assert_eq!(scene.bob_and_losses().await, ("0.48".to_owned(), 0));
    scene.drain().await;
    assert_eq!(scene.ahead().await, 0);
    assert_eq!(scene.south.balance(&scene.shop).await, "0.32");
    scene.sound().await;
}

#[tokio::test]
async fn an_answer_that_came_too_late_counts_towards_what_was_taken() {
    let scene = Scene::new(Late::Waits { heard: true }).await;
    scene.drain().await;
    // Answered with 10 here; the center has not heard it.
    assert_eq!(scene.bob_and_losses().await, ("0.00".to_owned(), 0));
    assert_eq!(scene.ahead().await, -10);
    scene.sound().await;
    scene.late(Late::Ends { heard: true });
    scene.drain().await;
    assert_eq!(scene.ahead().await, 6);
    scene.sound().await;
    for _ in 0..2 {
        scene.off.clearing.tell().await.unwrap();
        assert_eq!(scene.ahead().await, 0);
        assert_eq!(scene.bob_and_losses().await, ("0.00".to_owned(), 6));
        scene.sound().await;
    }
    assert_eq!(scene.south.balance(&scene.shop).await, "0.32");
}

#[tokio::test]
async fn a_part_that_crosses_the_end_of_its_claim_comes_back() {
    for told_first in [false, true] {
        let scene = Scene::new(Late::Waits { heard: true }).await;
        scene.drain().await;
        scene.fund_bob("0.04").await;
        // Due: the rest is sent as a part, which waits for the outcome of the claim.
        scene.due().await;
        scene.drain().await;
        assert_eq!(scene.south.audit().await.pending_presentments, 1);
        assert_eq!(scene.bob_and_losses().await, ("0.00".to_owned(), 0));
        scene.sound().await;
        scene.late(Late::Ends { heard: true });
        assert!(scene.north.bank.drain_outbox(&Shutdown::default()).await.unwrap());
        if told_first {
            scene.off.clearing.tell().await.unwrap();
            // The 4 are on their way still.
            assert_eq!(scene.bob_and_losses().await, ("0.00".to_owned(), 6));
            scene.sound().await;
            scene.drain().await;
            assert_eq!(scene.bob_and_losses().await, ("0.04".to_owned(), 6));
            scene.sound().await;
            scene.due().await;
        } else {
            scene.drain().await;
            assert_eq!(scene.bob_and_losses().await, ("0.04".to_owned(), 0));
            scene.sound().await;
            // Not sent again: the other bank has said that nothing is owed.
            scene.due().await;
            assert_eq!(scene.bob_and_losses().await, ("0.04".to_owned(), 0));
            scene.off.clearing.tell().await.unwrap();
        }
        assert_eq!(scene.bob_and_losses().await, ("0.00".to_owned(), 2), "told first: {told_first}");
        scene.drain().await;
        assert_eq!(scene.ahead().await, 0);
        assert_eq!(scene.off.clearing.owes("south", "north"), 16);
        assert_eq!(scene.south.balance(&scene.shop).await, "0.32");
        scene.sound().await;
    }
}

#[tokio::test]
async fn killed_while_it_books_what_it_is_told_it_books_it_once() {
    for heard in [false, true] {
        for after in [false, true] {
            let mut scene = Scene::new(Late::Ends { heard }).await;
            scene.drain().await;
            *scene.south.store.plan.lock().unwrap() = Some(("bank.offline.overdue", after));
            assert_eq!(code(scene.off.clearing.tell().await), Code::Unavailable);
            scene.south.assert_sound().await;
            let behind = if heard { 6 } else { 16 };
            assert_eq!(scene.ahead().await, if after { 0 } else { behind });
            scene.off.world.restart(&mut scene.south).await;
            scene.off.clearing.tell().await.unwrap();
            assert_eq!(scene.ahead().await, 0);
            assert_eq!(losses(&scene.south).await, 6);
            scene.sound().await;
        }
    }
}

#[tokio::test]
async fn a_bank_that_has_no_withdrawal_behind_the_opening_bears_it() {
    let scene = Scene::new(Late::Waits { heard: true }).await;
    let lines = feiqian_bank::tables::TABLES.iter().find(|table| table.name == "offline_line").unwrap();
    scene
        .south
        .commit(move |tx| {
            let rows = tx.select("SELECT commitment FROM offline_line", &[])?;
            rows.iter().try_for_each(|row| tx.delete(lines, &[row.array::<32>(0)?.into()]))
        })
        .await;
    scene.drain().await;
    assert_eq!(scene.ahead().await, 0);
    scene.late(Late::Ends { heard: true });
    scene.drain().await;
    scene.off.clearing.tell().await.unwrap();
    assert_eq!(scene.ahead().await, 0);
    assert_eq!(scene.bob_and_losses().await, ("0.10".to_owned(), 16));
    scene.due().await;
    assert_eq!(scene.bob_and_losses().await, ("0.10".to_owned(), 16));
    // The audit sees that the withdrawal was lost, and nothing else.
    assert_eq!(scene.south.audit().await.findings.len(), 1);
    scene.north.assert_sound().await;
}

#[tokio::test]
async fn only_the_center_ends_a_claim_and_only_as_it_was_presented() {
    let scene = Scene::new(Late::Ends { heard: false }).await;
    scene.drain().await;
    let word = scene.off.clearing.overdue.lock().unwrap()[0].clone();
    let mut forged = word.clone();
    forged.statement.statement.decided_at = feiqian_wire::Timestamp::new(crate::world::NOW + 9);
    assert_eq!(code(scene.off.clearing.say(&forged).await), Code::SignatureInvalid);
    let mut moved = word.clone();
    moved.terms.payment = crate::world::digest(1);
    assert_eq!(code(scene.off.clearing.say(&moved).await), Code::RequestMismatch);
    let path = "/v1/pay/claim/overdue";
    let stranger = scene.south.ask::<_, ()>(Some(&scene.bob.holder.peer), path, &word).await;
    assert_eq!(code(stranger), Code::Forbidden);
    assert_eq!(losses(&scene.south).await, 0);
    scene.off.clearing.say(&word).await.unwrap();
    let mut other = word.clone();
    other.amount.minor = minor(15);
    assert_eq!(code(scene.off.clearing.say(&other).await), Code::Conflict);
    assert_eq!(losses(&scene.south).await, 6);
    scene.sound().await;
}
