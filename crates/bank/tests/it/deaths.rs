//! How a test lets a bank die and run again, at a commit or over a message; and debts over which it is let die.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::json;

use crate::offline_world::{OffWorld, Person, settled, sums};
use crate::world::{Dying, Node, World};

/// Before and after a commit; before a message leaves, and when its answer is there.
pub(crate) const SIDES: [bool; 2] = [false, true];

/// The process dies at the next commit of this name, before it or after it.
pub(crate) fn plan(node: &Node, point: &'static str, after: bool) {
    *node.store.plan.lock().unwrap() = Some((point, after));
}

/// It did die there.
pub(crate) fn reached(node: &Node, point: &str) {
    assert!(node.store.plan.lock().unwrap().is_none(), "{point} was not reached");
}

/// The process dies over a message to `path`: before it leaves, or when the answer is there.
pub(crate) fn dies_over_message(node: &Node, path: &'static str, answered: bool) {
    let store = Arc::clone(&node.store);
    *node.line.dying.lock().unwrap() = Some(Dying { path, answered, store });
}

/// It did die over the message, and runs again.
pub(crate) async fn runs_again(world: &World, node: &mut Node, path: &str) {
    assert!(node.store.dead.swap(false, Ordering::SeqCst), "{path} was not asked");
    world.restart(node).await;
    node.assert_sound().await;
}

/// Alice of north has spent 0.16, which was all she had, twice at a shop of south: she owes what is not in the coin.
pub(crate) struct SpentTwice {
    pub(crate) off: OffWorld,
    pub(crate) north: Node,
    pub(crate) south: Node,
    pub(crate) alice: Person,
    pub(crate) shop: Person,
}

impl SpentTwice {
    pub(crate) async fn new() -> Self {
        let (mut off, north, south) = OffWorld::two().await;
        let alice = off.person(&north, "alice", "0.16").await;
        let shop = off.holder(&south, "the-shop", "0").await;
        let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
        for expected in [(16, 0), (0, 16)] {
            let item = off.pay(&south, &shop.holder, vec![coin.open()]);
            assert_eq!(sums(&settled(&south, &shop.holder, &item).await), expected);
        }
        Self { off, north, south, alice, shop }
    }

    /// She has some of it now, and it is due.
    pub(crate) async fn due(&self) {
        let fund = json!({"command": "account_fund", "name": "alice", "amount": "0.10"});
        self.north.command(fund).await.unwrap();
        self.off.world.at(3_000);
    }

    /// The shop was paid that, once.
    pub(crate) async fn paid_once(&self, place: &str) {
        assert_eq!(self.south.balance(&self.shop.holder).await, "0.26", "{place}");
        assert_eq!(self.north.balance(&self.alice.holder).await, "0.00");
        assert_eq!(self.off.clearing.owes("north", "south"), 26);
        self.north.assert_sound().await;
        self.south.assert_sound().await;
    }
}
