//! Certificates of account holders: listed, renewed, revoked, ended with the account; and what that does to cheques.

use feiqian_cheque::messages::{
    CertificateAnswer, CertificateList, CertificateQuery, CertificateRenew, CertificateRevoke,
};
use feiqian_cheque::{ReturnCode, State};
use feiqian_online_cash::account::EnrolResponse;
use feiqian_pki::{CertificateRequest, KeyPair, RevocationList, RevocationReason, Subject};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Text};
use serde_json::json;

use crate::cheque_world::{Banks, payee, today};
use crate::world::{Holder, Node, code};

pub(crate) async fn crl(node: &Node) -> RevocationList {
    let der: Blob<{ feiqian_pki::MAX_REVOCATION_LIST_BYTES }> = node.ask(None, "/v1/crl", &()).await.unwrap();
    RevocationList::from_der(&der).unwrap()
}

pub(crate) async fn list(node: &Node, holder: &Holder) -> CertificateList {
    node.ask(Some(&holder.peer), "/v1/account/certificate/list", &()).await.unwrap()
}

pub(crate) async fn renew(banks: &Banks, seed: u8) -> Result<Holder, Fault> {
    let subject = Subject::customer(&banks.alice.token, "north").unwrap();
    let (transport, signing) = (KeyPair::from_seed(&[seed; 32]), KeyPair::from_seed(&[seed + 1; 32]));
    let csr = |key: &KeyPair| Blob::new(CertificateRequest::create(key, &subject).unwrap()).unwrap();
    let request =
        CertificateRenew { transport: csr(&transport), signing: csr(&signing), hosts: Text::default() };
    let path = "/v1/account/certificate/renew";
    let response: EnrolResponse = banks.north.ask(Some(&banks.alice.peer), path, &request).await?;
    Ok(banks.world.holder(response, signing))
}

#[tokio::test]
async fn a_renewal_supersedes_and_what_was_signed_stays_good() {
    let mut banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    banks.at(120).await;
    let before = crl(&banks.north).await.entries().count();
    let renewed = renew(&banks, 200).await.unwrap();
    let after = crl(&banks.north).await;
    assert_eq!(after.entries().count(), before + 1);
    assert!(after.entries().all(|entry| entry.reason == RevocationReason::Superseded));
    let path = "/v1/account/certificate/list";
    let listed = banks.north.ask::<_, CertificateList>(Some(&banks.alice.peer), path, &()).await;
    assert_eq!(code(listed), Code::Forbidden, "the old certificate opens nothing");
    // The answer was lost: the same request again, still under the old certificate.
    let again = renew(&banks, 200).await.unwrap();
    assert_eq!((again.chain, again.peer), (renewed.chain.clone(), renewed.peer.clone()));
    assert_eq!(renew(&banks, 210).await.err().unwrap().code, Code::Forbidden, "other keys");
    banks.alice = renewed;
    let lines = list(&banks.north, &banks.alice).await.lines;
    assert_eq!(lines.iter().filter(|line| line.revoked.is_some()).count(), 1);
    assert_eq!(lines.len(), 4);
    banks.lists().await;
    // Countersigned before: judged at the drawee's time stamp.
    banks.collected(&cheque).await;
    let answer: CertificateAnswer = banks
        .north
        .ask(
            Some(&banks.bob.peer),
            "/v1/certificate",
            &CertificateQuery { account: Text::new("alice").unwrap() },
        )
        .await
        .unwrap();
    assert_eq!(answer.chain, banks.alice.chain.0);
    assert_eq!(answer.payee.known_by, payee(&banks.north, &banks.alice).known_by);
    banks.sound().await;
}

#[tokio::test]
async fn a_revoked_drawer_draws_no_more_but_earlier_cheques_are_paid() {
    let banks = Banks::new().await;
    let early = banks.cheque(1, 1_000).await;
    let order = banks.order(payee(&banks.south, &banks.bob), 1_000, today(), false);
    let late = banks.drawn(2, order, false).await;
    banks.at(120).await;
    let signing = list(&banks.north, &banks.alice).await.lines.iter().find(|it| it.signing).unwrap().clone();
    let revoke = CertificateRevoke { serial: signing.serial, compromised: true };
    let path = "/v1/account/certificate/revoke";
    let strange = banks.south.ask::<_, ()>(Some(&banks.bob.peer), path, &revoke).await;
    assert_eq!(code(strange), Code::NotFound);
    for _ in 0..2 {
        banks.north.ask::<_, ()>(Some(&banks.alice.peer), path, &revoke).await.unwrap();
    }
    banks.at(121).await;
    assert_eq!(code(banks.issue(&late).await), Code::CertificateInvalid, "revoked before countersigning");
    assert_eq!(banks.state(2).await, State::Allotted);
    banks.collected(&early).await;
    banks.sound().await;
}

#[tokio::test]
async fn a_closed_account_pays_no_cheque() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    let close = json!({"command": "account_close", "name": "alice"});
    assert_eq!(code(banks.north.command(close.clone()).await), Code::Conflict);
    banks
        .north
        .command(json!({"command": "account_payout", "name": "alice", "amount": "100.00"}))
        .await
        .unwrap();
    banks.at(120).await;
    banks.north.command(close).await.unwrap();
    let entries: Vec<_> = crl(&banks.north).await.entries().map(|entry| entry.reason).collect();
    assert_eq!(entries, [RevocationReason::CessationOfOperation], "the signing certificate");
    banks.at(121).await;
    assert_eq!(banks.bounced(&cheque).await.0, ReturnCode::AccountClosed);
    banks.sound().await;
}

#[tokio::test]
async fn without_a_current_list_nothing_is_judged_and_nothing_lost() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    let slip = banks.slip(&cheque, "south", &banks.bob);
    let presented = banks.presented(&slip);
    banks.world.at(60 + 86_400 + 1);
    assert_eq!(code(banks.present(&presented).await), Code::Unavailable, "fail closed, and try again");
    assert_eq!(code(banks.deposit(&slip).await), Code::Unavailable);
    banks.lists().await;
    banks.deposit(&slip).await.unwrap();
    assert_eq!(banks.state(1).await, State::Paid);
    banks.sound().await;
}

#[tokio::test]
async fn lists_survive_a_restart_without_the_center() {
    let mut banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    let presented = banks.presented(&banks.slip(&cheque, "south", &banks.bob));
    banks.north.bank.keep_members().await.unwrap();
    banks.world.restart(&mut banks.north).await;
    assert!(matches!(
        banks.present(&presented).await.unwrap(),
        feiqian_cheque::messages::ChequeOutcome::Paid(_)
    ));
    banks.sound().await;
}
