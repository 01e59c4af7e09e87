//! Revocation lists: issued, collected, brought, enforced, ended.

use std::sync::Arc;

use feiqian_cheque::ReturnCode;
use feiqian_cheque::messages::ChequeOutcome;
use feiqian_node::{Caller, ListsResponse, MemberView, Members, Target, call};
use feiqian_pki::{
    MAX_REVOCATION_LIST_BYTES, Purpose, Revocation, RevocationList, RevocationReason, Revoked, Serial,
    validate,
};
use feiqian_store::testing::MortalStore;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Timestamp};
use serde_json::json;

use crate::cheque::present;
use crate::clearing::Town;
use crate::wires::{NodeWires, Trouble};
use crate::world::NOW;

fn anonymous(town: &Town) -> (NodeWires, Target) {
    let wires = NodeWires { wires: Arc::clone(&town.world.wires), own: None };
    (wires, Target::anyone(town.world.center.config().url.clone()))
}

async fn shown(town: &Town) -> Vec<RevocationList> {
    let (wires, center) = anonymous(town);
    let lists: ListsResponse = call(&wires, &center, Caller::Anonymous, "/v1/crl", &()).await.unwrap();
    lists.iter().map(|der| RevocationList::from_der(der).unwrap()).collect()
}

fn revoke(bank: &crate::bank::TestBank, account: &crate::bank::Account, from: u64) {
    let root = bank.view().root().clone();
    let holder = validate(&account.chain, &root, Purpose::Signing, Revocation::Unchecked, NOW).unwrap();
    let entry = Revoked { serial: holder.serial, at: NOW - 1, reason: RevocationReason::KeyCompromise };
    *bank.revoked.lock().unwrap() = (vec![entry], from);
}

#[tokio::test]
async fn a_revoked_drawer_is_refused_once_the_list_is_fetched_also_after_a_restart() {
    let mut town = Town::gross("1000").await;
    assert_eq!(shown(&town).await.len(), 4);
    let (before, after) = (town.cheque(100, 1), town.cheque(100, 2));
    assert!(matches!(present(&town.south, &before).await.unwrap(), ChequeOutcome::Paid(_)));
    revoke(&town.north, &town.alice, NOW + 5);
    town.world.center.collect_lists().await;
    let store = Arc::new(MortalStore::new(Arc::clone(&town.world.disk), None));
    assert!(town.restart_on(store).await);
    let outcome = present(&town.south, &after).await.unwrap();
    assert!(matches!(outcome, ChequeOutcome::Returned(ReturnCode::CertInvalid, _)), "{outcome:?}");
    // An older list that somebody brings does not bring her back.
    *town.north.revoked.lock().unwrap() = (Vec::new(), NOW + 1);
    let old = Blob::<MAX_REVOCATION_LIST_BYTES>::new(town.north.list().as_der()).unwrap();
    let (wires, center) = anonymous(&town);
    let brought: Result<(), Fault> =
        call(&wires, &center, Caller::Anonymous, "/v1/crl", &old).await.map_err(Fault::from);
    assert_eq!(brought.unwrap_err().code, Code::Conflict);
    town.world.assert_sound().await;
}

#[tokio::test]
async fn a_list_that_has_ended_refuses_everything_under_it() {
    let town = Town::gross("1000").await;
    let cheque = town.cheque(100, 1);
    town.world.clock.set(Timestamp::new(NOW + 90_000));
    assert_eq!(present(&town.south, &cheque).await.unwrap_err().code, Code::Unavailable);
    assert_eq!(town.north.paid_cheques(), 0);
    for bank in [&town.north, &town.south, &town.west] {
        bank.revoked.lock().unwrap().1 = NOW + 89_000;
    }
    town.world.center.collect_lists().await;
    // The root's own is still the old one: the background signs the next.
    assert_eq!(present(&town.south, &cheque).await.unwrap_err().code, Code::Unavailable);
    town.world.assert_sound().await;
}

#[tokio::test]
async fn members_fetch_the_lists_keep_them_and_fail_closed() {
    let town = Town::gross("1000").await;
    let (wires, center) = anonymous(&town);
    let root = town.world.center.view().root().clone();
    let members = Members::new(MemberView::empty(root.clone()), &center.url);
    members.sync(&wires, Timestamp::new(NOW)).await.unwrap();
    let view = members.snapshot();
    assert_eq!(view.lists().all().len(), 4);
    view.signer("north", Timestamp::new(NOW)).unwrap();
    let ended = Timestamp::new(NOW + 90_000);
    assert_eq!(view.signer("north", ended).unwrap_err().code, Code::CertificateInvalid);

    // Kept and brought back: they count as before, also when they have ended meanwhile.
    let directory = feiqian_clearing::membership::Directory {
        banks: feiqian_wire::Bounded::collect(view.members().values().map(|it| it.entry.clone())).unwrap(),
    };
    let entries = view.entries().to_vec();
    let again = MemberView::restore(root, &directory, entries, ended).unwrap();
    again.signer("north", ended).unwrap();
    let again = again.with_stored_lists(view.lists().all());
    assert_eq!(again.signer("north", ended).unwrap_err().code, Code::CertificateInvalid);

    let revoked = json!({"command": "revoke", "bank": "north", "reason": "key_compromise"});
    town.world.command(revoked).await.unwrap();
    town.world.clock.set(Timestamp::new(NOW + 1));
    let revoked = json!({"command": "revoke", "bank": "west", "reason": "unspecified"});
    town.world.command(revoked).await.unwrap();
    members.sync(&wires, Timestamp::new(NOW + 1)).await.unwrap();
    let view = members.snapshot();
    assert_eq!(view.signer("north", Timestamp::new(NOW + 1)).unwrap_err().code, Code::CertificateInvalid);
    view.signer("south", Timestamp::new(NOW + 1)).unwrap();
}

#[tokio::test]
async fn what_the_drawee_paid_is_booked_although_a_signer_was_revoked_before_its_answer_came() {
    let town = Town::gross("1000").await;
    let cheque = town.cheque(25_000, 1);
    town.world.wires.trouble("/v1/pay/cheque", &[Trouble::AnswerLost]);
    assert_eq!(present(&town.south, &cheque).await.unwrap_err().code, Code::Unavailable);
    assert_eq!(town.north.paid_cheques(), 1);
    revoke(&town.south, &town.bob, NOW + 5);
    town.world.center.collect_lists().await;
    assert!(matches!(present(&town.south, &cheque).await.unwrap(), ChequeOutcome::Paid(_)));
    assert_eq!(town.settlements().await, ["750.00", "1250.00", "1000.00"]);
    // The next one is not even forwarded.
    let refused = present(&town.south, &town.cheque(100, 2)).await.unwrap();
    assert!(matches!(refused, ChequeOutcome::Returned(ReturnCode::CertInvalid, _)), "{refused:?}");
    town.world.assert_sound().await;
}

#[tokio::test]
async fn a_list_too_long_for_everybody_is_not_taken() {
    let town = Town::gross("1000").await;
    let entry = |number: u16| {
        let mut serial = [0x41; 16];
        serial[14..].copy_from_slice(&number.to_be_bytes());
        let serial = Serial::from_slice(&serial).unwrap();
        Revoked { serial, at: NOW, reason: RevocationReason::Unspecified }
    };
    *town.north.revoked.lock().unwrap() = ((0..4_000).map(entry).collect(), NOW + 5);
    town.world.center.collect_lists().await;
    assert!(shown(&town).await.iter().all(|list| list.this_update() < NOW + 5));
    *town.north.revoked.lock().unwrap() = ((0..500).map(entry).collect(), NOW + 5);
    town.world.center.collect_lists().await;
    assert!(shown(&town).await.iter().any(|list| list.this_update() == NOW + 5));
}
