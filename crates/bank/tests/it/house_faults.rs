//! The bank dies before and after what it writes by itself: when it starts, makes keys, hears of members and money, dates
//! lists, and when several processes of it share a store. It starts again and works as if nothing had happened.

use std::sync::Arc;
use std::time::Duration;

use feiqian_bank::Config;
use feiqian_cheque::messages::CertificateRevoke;
use feiqian_clearing::membership::Funding;
use feiqian_crypto::Id16;
use feiqian_money::{Amount, Currency};
use feiqian_node::{Service as _, Shutdown};
use feiqian_wire::error::Code;
use feiqian_wire::{Name, Timestamp};

use crate::certificates::{crl, list};
use crate::deaths::{SIDES, plan, reached};
use crate::instances::{share_view, two};
use crate::offline_world::{OffWorld, tune};
use crate::world::{NOW, World, code, minor};

/// How long keys sign, seconds.
fn epoch() -> u64 {
    Config::new(Name::new("x").unwrap(), Currency::CNY, "", "").schedule.issue_seconds
}

#[tokio::test]
async fn a_bank_that_dies_while_it_starts_starts_again() {
    for after in SIDES {
        let world = World::new();
        let (mut node, alice) = world.with_customer().await;
        plan(&node, "bank.open.chart", after);
        assert!(world.try_restart(&mut node).await.is_err());
        reached(&node, "bank.open.chart");
        world.restart(&mut node).await;
        node.withdraw(&alice, 1, &[64]).await;
        assert_eq!(node.balance(&alice).await, "99.36");
        node.assert_sound().await;
    }
}

#[tokio::test]
async fn the_next_keys_are_made_once() {
    for after in SIDES {
        let world = World::new();
        let (mut node, alice) = world.with_customer().await;
        world.at(epoch() - 10);
        plan(&node, "bank.keyset.create", after);
        assert_eq!(code(node.bank.rotate().await), Code::Unavailable);
        reached(&node, "bank.keyset.create");
        world.restart(&mut node).await;
        assert_eq!(code(node.bank.rotate().await), Code::NodeUnreachable, "made, and not pinned yet");
        assert_eq!(node.bank.own_keysets().len(), 2);
        world.publish(&[&node]).await;
        world.at(epoch() + 10);
        node.withdraw(&alice, 1, &[64]).await;
        node.assert_sound().await;
    }
}

#[tokio::test]
async fn the_next_offline_keys_are_made_once() {
    for after in SIDES {
        let (mut off, mut north) = OffWorld::one(tune).await;
        let alice = off.person(&north, "alice", "1.00").await;
        off.world.at(1_010);
        plan(&north, "bank.offline.keyset", after);
        let _ = north.bank.tend().await;
        reached(&north, "bank.offline.keyset");
        off.world.restart(&mut north).await;
        let _ = north.bank.tend().await;
        off.publish(&[&north]).await;
        off.withdraw(&north, &alice, &[8]).await.unwrap();
        assert_eq!(north.balance(&alice.holder).await, "0.92");
        north.assert_sound().await;
    }
}

#[tokio::test]
async fn members_and_their_money_are_written_down_once() {
    for after in SIDES {
        let world = World::new();
        let (mut node, alice) = world.with_customer().await;
        let south = world.bank("south", 20).await;
        world.publish(&[&node, &south]).await;
        plan(&node, "bank.members.keep", after);
        assert_eq!(code(node.bank.keep_members().await), Code::Unavailable);
        reached(&node, "bank.members.keep");
        world.restart(&mut node).await;
        world.publish(&[&node, &south]).await;
        let amount = Amount::new(minor(700), Currency::CNY);
        let funding = Funding { id: Id16([3; 16]), amount, at: Timestamp::new(NOW) };
        plan(&node, "bank.funding.book", after);
        assert_eq!(code(node.bank.book_fundings(vec![funding.clone()]).await), Code::Unavailable);
        reached(&node, "bank.funding.book");
        world.restart(&mut node).await;
        // The center says it again with everything that it ever funded.
        node.bank.book_fundings(vec![funding]).await.unwrap();
        let status = node.command(serde_json::json!({"command": "status"})).await.unwrap();
        assert_eq!(status["balances"]["settlement"], "-7.00", "once: {status}");
        node.withdraw(&alice, 1, &[64]).await;
        node.assert_sound().await;
    }
}

#[tokio::test]
async fn a_list_that_could_not_be_dated_is_made_by_the_next_act() {
    for after in SIDES {
        // Processes that share a store take turns at dates.
        let world = World::new();
        let (mut node, _other, alice) = two(&world).await;
        world.at(60);
        let lines = list(&node, &alice).await.lines;
        let signing = lines.iter().find(|line| line.signing).unwrap();
        let revoke = CertificateRevoke { serial: signing.serial.clone(), compromised: true };
        let path = "/v1/account/certificate/revoke";
        plan(&node, "bank.list.date", after);
        let _ = node.ask::<_, ()>(Some(&alice.peer), path, &revoke).await;
        reached(&node, "bank.list.date");
        world.restart(&mut node).await;
        node.ask::<_, ()>(Some(&alice.peer), path, &revoke).await.unwrap();
        assert_eq!(crl(&node).await.entries().count(), 1, "after {after}");
        node.bank.beat().await.unwrap();
        node.assert_sound().await;
    }
}

#[tokio::test]
async fn a_process_that_dies_over_its_place_takes_it_again_and_the_other_goes_on() {
    for after in SIDES {
        for point in ["bank.instance.beat", "bank.instance.leave", "bank.instance.enter"] {
            let world = World::new();
            let (one, mut two, alice) = two(&world).await;
            plan(&two, point, after);
            match point {
                "bank.instance.beat" => assert_eq!(code(two.bank.beat().await), Code::Unavailable),
                "bank.instance.enter" => assert!(world.try_restart(&mut two).await.is_err()),
                _ => {
                    let shutdown = Shutdown::new();
                    let running = tokio::spawn(Arc::clone(&two.bank).background(shutdown.clone()));
                    // It begins, and enters, before it is told to leave.
                    tokio::task::yield_now().await;
                    shutdown.trigger();
                    tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap();
                }
            }
            reached(&two, point);
            one.withdraw(&alice, 1, &[64]).await;
            world.restart(&mut two).await;
            two.withdraw(&alice, 2, &[32]).await;
            two.bank.beat().await.unwrap();
            assert_eq!(two.balance(&alice).await, "99.04", "{point}, after {after}");
            assert_eq!(one.assert_sound().await.in_circulation(), 96);
        }
    }
}

#[tokio::test]
async fn secrets_of_an_ended_epoch_go_for_all_processes_whenever_one_dies() {
    for after in SIDES {
        let world = World::new();
        let (one, mut two, alice) = two(&world).await;
        world.at(3 * epoch());
        assert_eq!(code(two.bank.rotate().await), Code::NodeUnreachable);
        let _ = one.bank.beat().await;
        world.publish(&[&one]).await;
        share_view(&one, &two);
        plan(&two, "bank.keyset.forget", after);
        assert_eq!(code(two.bank.rotate().await), Code::Unavailable);
        reached(&two, "bank.keyset.forget");
        world.restart(&mut two).await;
        two.bank.rotate().await.unwrap();
        let third = world.fellow(&one, |config| {
            config.instance = Some(feiqian_bank::config::Instance::new(Name::new("3").unwrap()));
        });
        let third = third.await;
        assert!(!third.has_secrets(0) && third.has_secrets(1), "after {after}");
        share_view(&one, &third);
        third.withdraw(&alice, 2, &[32]).await;
        third.assert_sound().await;
    }
}
