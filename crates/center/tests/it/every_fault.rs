//! The center is killed at every commit of a member's life, before it and after it: invited, admitted, registered, its
//! keyset pinned, funded by hand, its revocation list kept, an item of its refused; and over the messages of a part.

use std::sync::Arc;

use feiqian_center::{Admission, InitOptions};
use feiqian_clearing::presentment::Presented;
use feiqian_offline_cash::messages::PartOutcome;
use feiqian_online_cash::deposit::Outcome;
use feiqian_store::testing::{Lives, killed_everywhere};
use feiqian_wire::error::{Code, Fault};
use serde_json::json;

use crate::bank::TestBank;
use crate::offline::{both, part};
use crate::offline_world::Offline;
use crate::present::present;
use crate::world::{World, options};

/// The members' lives until everything has happened, each command repeated after a death.
async fn live(lives: Lives) {
    let options = InitOptions { admission: Admission::Code, ..options("127.0.0.1:0") };
    let mut world = World::with(options).await;
    let mut failed = "";
    for _ in 0..4 {
        let alive = world.restart_on(lives.next(Arc::clone(&world.disk))).await.is_ok();
        failed = if alive { act(&world).await.err().unwrap_or_default() } else { "to start" };
        world.assert_sound().await;
        if failed.is_empty() {
            assert_eq!(world.settlement("north").await, "1005.00", "funded once, {:?}", lives.steps());
            assert_eq!(world.settlement("south").await, "1000.00");
            assert_eq!(world.center.view().members().len(), 2);
            assert_eq!(world.center.view().pins.keysets().len(), 2, "pinned once");
            return;
        }
    }
    panic!("{failed} never succeeded, {:?}", lives.steps())
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
    let points = killed_everywhere(live).await;
    let expected = ["invite", "admit", "register", "pin", "fund", "crl.keep", "present.refuse"]
        .map(|step| format!("center.{step}"));
    for point in expected {
        assert!(points.contains(&point.as_str()), "{point}: {points:?}");
    }
}

/// A part of a holding is presented until it is booked.
async fn part_is_paid(lives: Lives) {
    let mut scene = Offline::new().await;
    let part = part(0, 3, "south");
    let mut booked = false;
    for _ in 0..4 {
        if scene.world.restart_on(lives.next(Arc::clone(&scene.world.disk))).await.is_ok() {
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
    assert!(booked, "{:?}", lives.steps());
    assert_eq!(scene.settlements().await, both("999.97", "1000.03"), "once");
}

#[tokio::test]
async fn killed_at_any_commit_or_message_a_part_is_paid_once() {
    let points = killed_everywhere(part_is_paid).await;
    for point in ["center.present.reserve", "message", "center.present.outcome"] {
        assert!(points.contains(&point), "{point}: {points:?}");
    }
}
