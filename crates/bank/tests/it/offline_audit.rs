//! Every value in every table of offline cash is held by another: change one behind the bank's back, with row checks that
//! fit, and the audit finds it.

use feiqian_crypto::share_tree::Node as TreeNode;
use feiqian_node::Shutdown;
use feiqian_offline_cash::messages::{ReclaimRequest, ReclaimResponse};
use feiqian_offline_cash::withdraw::Coin;
use serde_json::json;

use crate::cheque_audit::spoil;
use crate::offline_world::{Late, OffWorld, cut, settled, sums};
use crate::world::Node;

/// What nothing else in the same store determines.
const FREE: [(&str, &str); 29] = [
    // Times.
    ("offline_keyset", "created"),
    ("offline_identity", "opened"),
    ("offline_identity", "closed"),
    ("offline_session", "expires"),
    ("offline_accusation", "at"),
    ("offline_claim_part", "at"),
    ("offline_part", "at"),
    ("offline_exposed", "at"),
    ("offline_exposed", "until"),
    ("offline_reclaim", "filed"),
    ("offline_claim", "due"),
    ("presentment", "created"),
    ("presentment", "tried"),
    ("presentment", "expires"),
    // The center's signatures, checked when they arrive: the root is not in the store.
    ("offline_member_pin", "body"),
    ("offline_identity", "attested"),
    // Its certificates, likewise; record and signature are checked.
    ("offline_identity", "signed"),
    // What the wallet chose, what one run of the bank was called.
    ("offline_session", "request"),
    ("offline_session", "instance"),
    // Answers beyond the challenge, and shares: whoever uses them verifies them anew.
    ("offline_session", "answered"),
    ("offline_chain", "body"),
    // An accusation names the statement by what it opens; the rest bears the customer's and the center's signatures.
    ("offline_accusation", "body"),
    // A part for a payee here names the claim of another bank.
    ("offline_part", "claim"),
    ("presentment", "body"),
    ("presentment", "outcome"),
    ("presentment", "bank"),
    // The claiming bank has the other sides of these; audits over both hold them against each other.
    ("offline_claim south", "payment"),
    ("offline_claim south", "amount"),
    ("offline_claim south", "outcome"),
];

async fn drain(nodes: &[&Node]) {
    for _ in 0..3 {
        for node in nodes {
            let _ = node.bank.drain_outbox(&Shutdown::default()).await.unwrap();
        }
    }
}

/// A row of every kind: coins paid here and there, cheats of both banks, parts, a claim that was answered and one that was
/// not, a reclaim.
async fn busy() -> (OffWorld, Node, Node) {
    let (mut off, north, south) = OffWorld::two().await;
    let alice = off.person(&north, "alice", "0.60").await;
    let bob = off.person(&south, "bob", "0.10").await;
    let shop = off.holder(&south, "the-shop", "0").await;
    let mut coins = off.withdraw(&north, &alice, &[16, 16, 16]).await.unwrap();
    let blanks = off.withdraw(&south, &bob, &[0, 0]).await.unwrap();
    // Bob pays twice what he was given, and his bank answers for the first, not for the second.
    for (late, blank) in [(Late::No, &blanks[0]), (Late::Ends { heard: false }, &blanks[1])] {
        let coin = coins.pop().unwrap();
        let holding = off.hand(&south, coin.open(), blank);
        for _ in 0..2 {
            let item = off.pay(&south, &shop.holder, vec![blank.open_holding(&holding)]);
            settled(&south, &shop.holder, &item).await;
        }
        *off.clearing.late.lock().unwrap() = late;
        drain(&[&north, &south]).await;
        off.clearing.tell().await.unwrap();
    }
    // Alice answers twice for a quarter of hers: her account pays some, a part follows, the rest is reclaimed.
    let coin = coins.pop().unwrap();
    for expected in [(4, 0), (0, 4)] {
        let (quarter, _) = cut(coin.open(), &[2]);
        let item = off.pay(&south, &shop.holder, quarter);
        if expected.1 > 0 {
            north
                .command(json!({"command": "account_payout", "name": "alice", "amount": "0.12"}))
                .await
                .unwrap();
        }
        assert_eq!(sums(&settled(&south, &shop.holder, &item).await), expected);
    }
    for (node, name) in [(&north, "alice"), (&south, "bob")] {
        node.command(json!({"command": "account_fund", "name": name, "amount": "0.03"})).await.unwrap();
    }
    off.world.at(3_000);
    let withdrawn = Coin { origin: coin.origin.clone(), key: coin.key.id, tree: coin.read() };
    let (customer, signing) = (alice.customer(), &alice.holder.signing);
    let claim = withdrawn.claim(&customer, &coin.key, &[TreeNode::ROOT], signing, &mut off.rng).unwrap();
    let filed: ReclaimResponse = north
        .ask(Some(&alice.holder.peer), "/v1/account/offline/reclaim", &ReclaimRequest::Withdrawn(claim))
        .await
        .unwrap();
    assert_eq!(filed.paid, None);
    for node in [&north, &south] {
        let _ = node.bank.tend().await;
    }
    drain(&[&south, &north]).await;
    off.world.at(4_000);
    let _ = north.bank.tend().await;
    drain(&[&south, &north]).await;
    north.assert_sound().await;
    south.assert_sound().await;
    (off, north, south)
}

#[tokio::test]
async fn one_changed_value_of_offline_cash_is_found() {
    let (_off, north, south) = busy().await;
    let tables = [
        ("offline_keyset", 2),
        ("offline_identity", 4),
        ("offline_drawn", 3),
        ("offline_session", 4),
        ("offline_line", 2),
        ("offline_total", 4),
        ("offline_payment", 20),
        ("offline_chain", 20),
        ("offline_accusation", 4),
        ("offline_claim", 20),
        ("offline_claim_part", 4),
        ("offline_part", 2),
        ("offline_reclaim", 5),
        ("presentment", 10),
    ];
    let mut few = Vec::new();
    for (name, least) in tables {
        let table = feiqian_bank::tables::TABLES.iter().find(|table| table.name == name).unwrap();
        let mut free = FREE.to_vec();
        let mut tried = spoil(&north, table, &free).await;
        let of_south = FREE
            .iter()
            .filter_map(|(table, column)| table.strip_suffix(" south").map(|table| (table, *column)));
        free.extend(of_south);
        tried += spoil(&south, table, &free).await;
        if tried < least {
            few.push((name, tried));
        }
    }
    assert!(few.is_empty(), "too few changes were tried: {few:?}");
    north.assert_sound().await;
    south.assert_sound().await;
}
