//! The bank is killed before and after each commit of offline cash: registration, withdrawal, deposit with a charge, parts,
//! reclaim. Nothing is lost, nothing is done twice.

use feiqian_crypto::share_tree::Node as TreeNode;
use feiqian_node::Shutdown;
use feiqian_offline_cash::deposit::Outcome;
use feiqian_offline_cash::identity::AttestedIdentity;
use feiqian_offline_cash::messages::{DepositResponse, ReclaimRequest, ReclaimResponse};
use feiqian_offline_cash::withdraw::{BeginResponse, Coin};
use feiqian_wire::error::{Code, Fault};
use serde_json::json;

use crate::deaths::{SIDES, SpentTwice, plan, reached};
use crate::offline_world::{OffWorld, cut, deposit, settled, sums, tune, with_collateral};
use crate::world::code;

#[tokio::test]
async fn an_identity_is_registered_once_whenever_the_bank_dies() {
    const PATH: &str = "/v1/account/offline/register";
    for point in ["bank.offline.register", "bank.offline.attest"] {
        for after in SIDES {
            let (mut off, mut north) = OffWorld::one(with_collateral).await;
            let alice = off.holder(&north, "alice", "1.00").await;
            let request = off.registration(&north, &alice).await;
            plan(&north, point, after);
            let died: Result<AttestedIdentity, Fault> =
                north.ask(Some(&alice.holder.peer), PATH, &request).await;
            assert_eq!(code(died), Code::Unavailable, "{point}");
            reached(&north, point);
            off.world.restart(&mut north).await;
            north.assert_sound().await;
            let attested: AttestedIdentity =
                north.ask(Some(&alice.holder.peer), PATH, &request).await.unwrap();
            attested.verify(&off.world.trusted()).unwrap();
            assert_eq!(north.balance(&alice.holder).await, "0.95", "{point}");
            north.assert_sound().await;
        }
    }
    // The center refuses for ever: the collateral comes back, once.
    for after in SIDES {
        let (mut off, mut north) = OffWorld::one(with_collateral).await;
        let alice = off.holder(&north, "alice", "1.00").await;
        let request = off.registration(&north, &alice).await;
        *off.clearing.refuse.lock().unwrap() = true;
        plan(&north, "bank.offline.unregister", after);
        for expected in [Code::Unavailable, Code::Conflict] {
            let refused: Result<AttestedIdentity, Fault> =
                north.ask(Some(&alice.holder.peer), PATH, &request).await;
            assert_eq!(code(refused), expected);
            off.world.restart(&mut north).await;
            north.assert_sound().await;
        }
        reached(&north, "bank.offline.unregister");
        assert_eq!(north.balance(&alice.holder).await, "1.00");
    }
}

#[tokio::test]
async fn a_withdrawal_that_begins_in_a_crash_begins_again() {
    for after in SIDES {
        let (mut off, mut north) = OffWorld::one(tune).await;
        let alice = off.person(&north, "alice", "1.00").await;
        let (peer, path) = (alice.holder.peer.clone(), "/v1/account/offline/begin");
        let request = off.begin_request(&north, &[8]);
        plan(&north, "bank.offline.begin", after);
        let died: Result<BeginResponse, Fault> = north.ask(Some(&peer), path, &request).await;
        assert_eq!(code(died), Code::Unavailable);
        reached(&north, "bank.offline.begin");
        off.world.restart(&mut north).await;
        // What was noted before the crash has no secrets any more.
        let again: BeginResponse = north.ask(Some(&peer), path, &request).await.unwrap();
        assert_eq!(again == BeginResponse::Void, after, "{again:?}");
        off.withdraw(&north, &alice, &[8]).await.unwrap();
        assert_eq!(north.balance(&alice.holder).await, "0.92");
        north.assert_sound().await;
    }
}

#[tokio::test]
async fn a_charged_deposit_between_banks_is_paid_once_whoever_dies() {
    for (at_north, point) in
        [(false, "bank.offline.present"), (true, "bank.pay.holding"), (false, "bank.offline.outcome")]
    {
        for after in SIDES {
            let (mut off, mut north, mut south) = OffWorld::two().await;
            let alice = off.person(&north, "alice", "0.20").await;
            let shop = off.holder(&south, "the-shop", "0").await;
            let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
            let first = off.pay(&south, &shop.holder, vec![coin.open()]);
            let second = off.pay(&south, &shop.holder, vec![coin.open()]);
            settled(&south, &shop.holder, &first).await;
            plan(if at_north { &north } else { &south }, point, after);
            // It fails, or is on its way: that is all that the payee learns.
            let answer = deposit(&south, &shop.holder, &second).await;
            let settled_at_once = matches!(answer, Ok(DepositResponse::Final(Outcome::Settled(_))));
            assert!(!settled_at_once, "{point}: {answer:?}");
            reached(if at_north { &north } else { &south }, point);
            off.world.restart(if at_north { &mut north } else { &mut south }).await;
            north.assert_sound().await;
            south.assert_sound().await;
            // What the bank talks to is still the run that died: its store is the same.
            assert_eq!(sums(&settled(&south, &shop.holder, &second).await), (4, 12), "{point}");
            assert_eq!(south.balance(&shop.holder).await, "0.20");
            assert_eq!(north.balance(&alice.holder).await, "0.00");
            assert_eq!(off.clearing.owes("north", "south"), 20);
            north.assert_sound().await;
            south.assert_sound().await;
        }
    }
}

#[tokio::test]
async fn a_part_is_paid_once_whoever_dies() {
    for (at_north, point) in
        [(true, "bank.offline.claims"), (false, "bank.pay.part"), (true, "bank.offline.part")]
    {
        for after in SIDES {
            let mut debt = SpentTwice::new().await;
            debt.due().await;
            plan(if at_north { &debt.north } else { &debt.south }, point, after);
            let _ = debt.north.bank.tend().await;
            let _ = debt.north.bank.drain_outbox(&Shutdown::default()).await;
            reached(if at_north { &debt.north } else { &debt.south }, point);
            let died = if at_north { &mut debt.north } else { &mut debt.south };
            debt.off.world.restart(died).await;
            debt.north.assert_sound().await;
            debt.south.assert_sound().await;
            let _ = debt.north.bank.tend().await;
            assert!(debt.north.bank.drain_outbox(&Shutdown::default()).await.unwrap(), "{point}");
            debt.paid_once(point).await;
        }
    }
}

#[tokio::test]
async fn a_reclaim_is_filed_and_decided_once_whenever_the_bank_dies() {
    const PATH: &str = "/v1/account/offline/reclaim";
    for point in ["bank.offline.reclaim", "bank.offline.decide"] {
        for after in SIDES {
            let (mut off, mut north) = OffWorld::one(tune).await;
            let alice = off.person(&north, "alice", "1.00").await;
            let shop = off.holder(&north, "the-shop", "0").await;
            let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
            let (paid, _) = cut(coin.open(), &[2]);
            let item = off.pay(&north, &shop.holder, paid);
            settled(&north, &shop.holder, &item).await;
            off.world.at(3_000);
            let withdrawn = Coin { origin: coin.origin.clone(), key: coin.key.id, tree: coin.read() };
            let (customer, signing) = (alice.customer(), &alice.holder.signing);
            let claim =
                withdrawn.claim(&customer, &coin.key, &[TreeNode::ROOT], signing, &mut off.rng).unwrap();
            let request = ReclaimRequest::Withdrawn(claim);
            plan(&north, point, after);
            let filed: Result<ReclaimResponse, Fault> =
                north.ask(Some(&alice.holder.peer), PATH, &request).await;
            assert_eq!(filed.is_ok(), point == "bank.offline.decide");
            off.world.restart(&mut north).await;
            let filed: ReclaimResponse = north.ask(Some(&alice.holder.peer), PATH, &request).await.unwrap();
            assert_eq!(filed.paid, None);
            off.world.at(4_000);
            let _ = north.bank.tend().await;
            reached(&north, point);
            off.world.restart(&mut north).await;
            north.assert_sound().await;
            let _ = north.bank.tend().await;
            let decided: ReclaimResponse = north.ask(Some(&alice.holder.peer), PATH, &request).await.unwrap();
            assert_eq!(decided.paid.map(feiqian_money::Minor::value), Some(12), "{point}");
            assert_eq!(north.balance(&alice.holder).await, "0.96");
            assert_eq!(north.assert_sound().await.offline.reclaimed, 12);
        }
    }
}

#[tokio::test]
async fn collateral_comes_back_once_when_the_identity_has_ended_and_nothing_can_be_claimed() {
    const OVER: u64 = 4_000 + 7 * 86_400;
    for after in SIDES {
        let (mut off, mut north) = OffWorld::one(with_collateral).await;
        let alice = off.person(&north, "alice", "1.00").await;
        let shop = off.holder(&north, "the-shop", "0").await;
        let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
        let close = json!({"command": "account_close", "name": "alice"});
        assert_eq!(code(north.command(close.clone()).await), Code::Conflict, "it is not empty");
        let payout = json!({"command": "account_payout", "name": "alice", "amount": "0.79"});
        north.command(payout).await.unwrap();
        let item = off.pay(&north, &shop.holder, vec![coin.open()]);
        // Ended, and no coins any more; those that it has are good.
        for _ in 0..2 {
            assert_eq!(north.command(close.clone()).await.unwrap()["state"], json!("closing"));
        }
        assert_eq!(code(off.withdraw(&north, &alice, &[1]).await.map(|_| ())), Code::IdentityClosed);
        settled(&north, &shop.holder, &item).await;
        off.world.at(OVER - 1_000);
        let _ = north.bank.tend().await;
        assert_eq!(north.balance(&alice.holder).await, "0.00");
        off.world.at(OVER + 1_000);
        plan(&north, "bank.offline.release", after);
        let _ = north.bank.tend().await;
        reached(&north, "bank.offline.release");
        off.world.restart(&mut north).await;
        north.assert_sound().await;
        for _ in 0..2 {
            let _ = north.bank.tend().await;
            assert_eq!(north.balance(&alice.holder).await, "0.05");
            north.assert_sound().await;
        }
        let payout = json!({"command": "account_payout", "name": "alice", "amount": "0.05"});
        north.command(payout).await.unwrap();
        assert_eq!(north.command(close).await.unwrap()["state"], json!("closed"));
        north.assert_sound().await;
    }
}
