//! Admission, registration, pinned keysets, commands.

use std::sync::Arc;

use feiqian_center::Admission;
use feiqian_clearing::membership::{About, AdmitResponse, Directory};
use feiqian_node::{Caller, MemberView, Target, call};
use feiqian_online_cash::keyset::{PinsRequest, PinsResponse};
use feiqian_pki::KeyPair;
use feiqian_wire::U64;
use feiqian_wire::error::{Code, Fault};
use serde_json::json;

use crate::bank::{TestBank, admit_request, rng};
use crate::wires::NodeWires;
use crate::world::{World, options};

async fn anonymously<Req, Res>(world: &World, path: &str, request: &Req) -> Result<Res, Fault>
where
    Req: serde::Serialize + Sync + 'static,
    Res: serde::de::DeserializeOwned,
{
    let wires = NodeWires { wires: Arc::clone(&world.wires), own: None };
    let center = Target::anyone(world.center.config().url.clone());
    Ok(call(&wires, &center, Caller::Anonymous, path, request).await?)
}

#[tokio::test]
async fn a_member_is_admitted_funded_registered_and_shown() {
    let mut world = World::new().await;
    let north = world.bank("north").await;
    world.bank("south").await;
    assert_eq!(world.settlement("north").await, "1000.00");
    let fundings = north.register().await.unwrap().fundings;
    assert_eq!(fundings.len(), 1);
    assert_eq!(fundings[0].amount.to_string(), "1000.00");

    let shown =
        |directory: &Directory| directory.banks.iter().map(|bank| bank.name.to_string()).collect::<Vec<_>>();
    let directory: Directory = anonymously(&world, "/v1/directory", &()).await.unwrap();
    assert_eq!(shown(&directory), ["north", "south"]);
    let about: About = anonymously(&world, "/v1/about", &()).await.unwrap();
    assert_eq!(about.role.as_str(), "center");
    assert_eq!(about.center.as_str(), format!("{}#sha256={}", world.center.config().url, about.root));
    assert_eq!(about.keysets.len(), 2);

    let log: PinsResponse = anonymously(&world, "/v1/keysets", &PinsRequest { from: U64(0) }).await.unwrap();
    let now = feiqian_wire::Timestamp::new(crate::world::NOW);
    let root = world.center.view().root().clone();
    let view = MemberView::restore(root, &directory, log.entries.into_vec(), now).unwrap();
    assert_eq!(view.pins.view(), world.center.view().pins.view());
    let rest: PinsResponse = anonymously(&world, "/v1/keysets", &PinsRequest { from: U64(2) }).await.unwrap();
    assert!(rest.entries.is_empty());

    let before = world.center.view();
    world.restart().await;
    let after = world.center.view();
    assert_eq!(after.pins.view(), before.pins.view());
    assert_eq!(after.members().len(), 2);
    world.assert_sound().await;
}

#[tokio::test]
async fn admission_is_once_for_a_name_and_again_for_the_same_key() {
    let world = World::new().await;
    let key = KeyPair::generate(&mut rng(1));
    let first: AdmitResponse =
        anonymously(&world, "/v1/admit", &admit_request("north", &key, None)).await.unwrap();
    let again: AdmitResponse =
        anonymously(&world, "/v1/admit", &admit_request("north", &key, None)).await.unwrap();
    assert_eq!(first, again);
    assert_eq!(world.settlement("north").await, "1000.00", "funded once");

    let other = KeyPair::generate(&mut rng(2));
    let taken: Result<AdmitResponse, _> =
        anonymously(&world, "/v1/admit", &admit_request("north", &other, None)).await;
    assert_eq!(taken.unwrap_err().code, Code::Conflict);
    let mut foreign = admit_request("south", &key, None);
    foreign.authority = admit_request("north", &key, None).authority;
    let foreign: Result<AdmitResponse, _> = anonymously(&world, "/v1/admit", &foreign).await;
    assert_eq!(foreign.unwrap_err().code, Code::CertificateInvalid);
    world.assert_sound().await;
}

#[tokio::test]
async fn an_invitation_admits_its_bank_once() {
    let world =
        World::with(feiqian_center::InitOptions { admission: Admission::Code, ..options("127.0.0.1:0") })
            .await;
    let refused = TestBank::join(&world, "north", None).await.err().unwrap();
    assert_eq!(refused.code, Code::CodeInvalid);
    let invited = world.command(json!({"command": "invite", "bank": "north"})).await.unwrap();
    assert_eq!(invited["bank"], "north");
    let code = invited["code"].as_str().unwrap().to_owned();
    let other = TestBank::join(&world, "south", Some(&code)).await.err().unwrap();
    assert_eq!(other.code, Code::CodeInvalid, "the code is for another bank");
    TestBank::join(&world, "north", Some(&code)).await.unwrap();
    TestBank::join(&world, "north", Some(&code)).await.unwrap();
    let member = world.command(json!({"command": "invite", "bank": "north"})).await.unwrap_err();
    assert_eq!(member.code, Code::Conflict);
}

#[tokio::test]
async fn one_keyset_is_pinned_for_an_epoch() {
    let world = World::new().await;
    let north = world.bank("north").await;
    let south = world.bank("south").await;
    let first = north.pin(north.keyset(0, 0)).await.unwrap();
    assert_eq!(first, north.pin(north.keyset(0, 0)).await.unwrap(), "the same keyset gets the same entry");
    assert_eq!(north.pin(north.keyset(0, 1)).await.unwrap_err().code, Code::Conflict);
    assert_eq!(north.pin(south.keyset(1, 0)).await.unwrap_err().code, Code::Forbidden);
    north.pin(north.keyset(1, 0)).await.unwrap();
    assert_eq!(world.center.view().pins.len(), 3);
    world.assert_sound().await;
}

#[tokio::test]
async fn routes_know_who_may_call() {
    let world = World::new().await;
    let north = world.bank("north").await;
    let keyset = north.keyset(1, 0);
    let signer = feiqian_online_cash::signed::WireChain::from_chain(&north.signer_chain).unwrap();
    let request = feiqian_online_cash::keyset::PinRequest { keyset, signer };
    let refused: Result<feiqian_online_cash::keyset::PinEntry, _> =
        anonymously(&world, "/v1/keysets/pin", &request).await;
    assert_eq!(refused.unwrap_err().code, Code::Unauthenticated);
    let refused: Result<Directory, _> = north.ask("/v1/directory", &()).await;
    assert_eq!(refused.unwrap_err().code, Code::CertificateNotAllowed);
}

#[tokio::test]
async fn commands_answer_what_the_command_line_shows() {
    let world = World::new().await;
    world.bank("north").await;
    let id = "00112233445566778899aabbccddeeff";
    let fund = json!({"command": "fund", "bank": "north", "amount": "12.50", "funding": id});
    let funded = world.command(fund.clone()).await.unwrap();
    assert_eq!(funded, json!({"bank": "north", "amount": "12.50", "currency": "CNY", "funding": id}));
    world.command(fund).await.unwrap();
    let positions = world.command(json!({"command": "positions"})).await.unwrap();
    let line = json!({
        "bank": "north", "settlement": "1012.50", "available": "1012.50", "queued": "0.00", "currency": "CNY"
    });
    assert_eq!(positions, json!({"banks": [line], "cycles": []}), "the same funding twice is one");
    let other = json!({"command": "fund", "bank": "north", "amount": "1.00", "funding": id});
    assert_eq!(world.command(other).await.unwrap_err().code, Code::Conflict);
    let banks = world.command(json!({"command": "banks"})).await.unwrap();
    let line = json!({"bank": "north", "currency": "CNY", "url": "https://north.example:443", "keysets": 1});
    assert_eq!(banks, json!({"banks": [line]}));
    let status = world.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(status["presentments"], json!({"received": 0, "forwarded": 0, "settled": 0, "refused": 0}));
    for (command, code) in [
        (json!({"command": "dance"}), Code::Usage),
        (json!({"command": "fund", "bank": "west", "amount": "1"}), Code::WrongBank),
        (json!({"command": "fund", "bank": "north", "amount": "0"}), Code::AmountMismatch),
        (json!({"command": "status", "loud": true}), Code::Usage),
    ] {
        assert_eq!(world.command(command.clone()).await.unwrap_err().code, code, "{command}");
    }
    world.assert_sound().await;
}

#[tokio::test]
async fn a_store_of_another_root_is_refused_and_a_home_is_made_once() {
    let world = World::new().await;
    let mut other = World::new().await;
    let disk = Arc::clone(&world.disk);
    assert_eq!(other.restart_on(disk).await.unwrap_err().code, Code::WrongRoot);
    let clock = &*world.clock;
    let entropy = feiqian_node::StreamEntropy::new(3, "again");
    let again = feiqian_center::init(&world.home, options("127.0.0.1:0"), clock, &entropy).await;
    assert_eq!(again.unwrap_err().code, Code::Conflict);
}
