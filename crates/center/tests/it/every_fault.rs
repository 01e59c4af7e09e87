//! The center is killed at every commit of a member's life, before it and after it: invited, admitted, registered, its
//! keyset pinned, funded by hand, its revocation list kept, an item of its refused; and over the messages of a part.

use std::sync::Arc;

use feiqian_center::{Admission, InitOptions};
use feiqian_clearing::presentment::Presented;
use feiqian_offline_cash::messages::PartOutcome;
use feiqian_online_cash::deposit::Outcome;
use feiqian_wire::error::{Code, Fault};
use serde_json::json;

use crate::bank::TestBank;
use crate::offline::{both, part};
use crate::offline_world::Offline;
use crate::present::present;
use crate::world::{Death, MortalStore, World, options};

/// The members' lives until everything has happened, each command repeated after a death. Answers the commits of all lives.
async fn live(death: Option<Death>) -> Vec<&'static str> {
    let options = InitOptions { admission: Admission::Code, ..options("127.0.0.1:0") };
    let mut world = World::with(options).await;
    let (mut points, mut dying, mut failed) = (Vec::new(), death, "");
    for _ in 0..4 {
        let store = Arc::new(MortalStore::new(Arc::clone(&world.disk), dying.take()));
        let alive = world.restart_on(Arc::clone(&store) as _).await.is_ok();
        failed = if alive { act(&world).await.err().unwrap_or_default() } else { "to start" };
        points.extend(store.points());
        world.assert_sound().await;
        if failed.is_empty() {
            assert_eq!(world.settlement("north").await, "1005.00", "funded once, {death:?}");
            assert_eq!(world.settlement("south").await, "1000.00");
            assert_eq!(world.center.view().members().len(), 2);
            assert_eq!(world.center.view().pins.keysets().len(), 2, "pinned once");
            return points;
        }
    }
    panic!("{failed} never succeeded, {death:?}")
}

/// What the operators of center and banks do, and do again; what failed.
async fn act(world: &World) -> Result<(), &'static str> {
    let mut banks = Vec::new();
    for name in ["north", "south"] {
        let invited = world.command(json!({"command": "invite", "bank": name})).await;
        let code = match invited {
            Ok(invited) => invited["code"].as_str().unwrap().to_owned(),
            // It is a member already: a bank that asks again needs no code.
            Err(fault) if fault.code == Code::Conflict => String::new(),
            Err(_) => return Err("to invite"),
        };
        banks.push(TestBank::join(world, name, Some(&code)).await.map_err(|_| "to join")?);
    }
    let fund = json!({"command": "fund", "bank": "north", "amount": "5.00", "funding": "ab".repeat(16)});
    world.command(fund).await.map_err(|_| "to fund")?;
    world.center.collect_lists().await;
    let [north, south] = banks.as_slice() else { panic!("two banks") };
    if !banks.iter().all(|bank| world.center.view().lists().of(&bank.authority.key().public_key()).is_some())
    {
        return Err("to collect lists");
    }
    let shop = south.account("shop");
    let item = |seed: u64| shop.present(shop.item(&north.coins(1250, seed), 1250, "order-1"));
    let mut bad = item(1);
    bad.item.payment.possession = item(2).item.payment.possession;
    let answer: Presented<Outcome> = present(south, &bad).await.map_err(|_| "to present")?;
    assert!(matches!(&answer.outcome, Outcome::Refused(fault) if fault.code == Code::PossessionInvalid));
    assert_eq!(present(south, &bad).await.unwrap(), answer, "for ever");
    assert_eq!(north.payments(), 0);
    Ok(())
}

#[tokio::test]
async fn killed_at_any_commit_a_member_ends_up_admitted_and_funded_once() {
    let points = live(None).await;
    let expected = ["invite", "admit", "register", "pin", "fund", "crl.keep", "present.refuse"]
        .map(|step| format!("center.{step}"));
    for point in expected {
        assert!(points.contains(&point.as_str()), "{point}: {points:?}");
    }
    for commit in 1..=points.len() {
        for after in [false, true] {
            live(Some(Death { commit, after })).await;
        }
    }
}

#[tokio::test]
async fn killed_at_any_commit_or_message_a_part_is_paid_once() {
    for commit in 1..8 {
        for after in [false, true] {
            let mut scene = Offline::new().await;
            let mut deaths = [Some(Death { commit, after })].into_iter();
            let part = part(0, 3, "south");
            let mut booked = false;
            for _ in 0..4 {
                let store = MortalStore::new(Arc::clone(&scene.world.disk), deaths.next().flatten());
                if scene.world.restart_on(Arc::new(store) as _).await.is_ok() {
                    for bank in [&scene.north.bank, &scene.south.bank] {
                        bank.follow(&scene.world);
                    }
                    let told: Result<Presented<PartOutcome>, Fault> =
                        scene.north.bank.ask("/v1/present/part", &part).await;
                    booked = told.is_ok_and(|told| told.outcome == PartOutcome::Booked);
                }
                scene.world.assert_sound().await;
                if booked {
                    break;
                }
            }
            assert!(booked, "commit {commit}, after {after}");
            assert_eq!(scene.settlements().await, both("999.97", "1000.03"), "once");
        }
    }
}
