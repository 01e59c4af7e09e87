//! The authority's own revocation list: when it is made, and when not.

use feiqian_cheque::messages::CertificateRevoke;
use feiqian_wire::error::Code;

use crate::certificates::{crl, list, renew};
use crate::cheque_world::{Banks, DAY};

#[tokio::test]
async fn a_repeat_makes_no_new_list() {
    let banks = Banks::new().await;
    banks.at(120).await;
    let lines = list(&banks.north, &banks.alice).await.lines;
    let signing = lines.iter().find(|line| line.signing).unwrap();
    let revoke = CertificateRevoke { serial: signing.serial.clone(), compromised: true };
    let path = "/v1/account/certificate/revoke";
    banks.north.ask::<_, ()>(Some(&banks.alice.peer), path, &revoke).await.unwrap();
    let first = crl(&banks.north).await;
    assert_eq!(first.entries().count(), 1);
    for _ in 0..100 {
        banks.north.ask::<_, ()>(Some(&banks.alice.peer), path, &revoke).await.unwrap();
    }
    assert_eq!(crl(&banks.north).await, first);
}

#[tokio::test]
async fn a_list_is_newer_than_that_of_an_earlier_life_and_not_dated_far_ahead() {
    let mut banks = Banks::new().await;
    banks.at(7_200).await;
    let kept = crl(&banks.north).await;
    banks.north.bank.keep_members().await.unwrap();
    banks.world.restart(&mut banks.north).await;
    let made = crl(&banks.north).await;
    assert_eq!(made.this_update(), kept.this_update() + 1);
    // The clock was put back: the kept one goes on to count until the next can be dated.
    banks.north.bank.keep_members().await.unwrap();
    banks.world.at(7_000);
    banks.world.restart(&mut banks.north).await;
    let lines = list(&banks.north, &banks.alice).await.lines;
    let signing = lines.iter().find(|line| line.signing).unwrap();
    let revoke = CertificateRevoke { serial: signing.serial.clone(), compromised: true };
    let path = "/v1/account/certificate/revoke";
    banks.north.ask::<_, ()>(Some(&banks.alice.peer), path, &revoke).await.unwrap();
    assert_eq!(crl(&banks.north).await, made);
    banks.world.at(7_150);
    let next = crl(&banks.north).await;
    assert_eq!((next.this_update(), next.entries().count()), (made.this_update() + 1, 1));
}

#[tokio::test]
async fn renewals_are_bounded_and_old_entries_leave_the_list() {
    let mut banks = Banks::new().await;
    banks.at(120).await;
    for n in 0..11 {
        banks.alice = renew(&banks, 100 + 2 * n).await.unwrap();
    }
    assert_eq!(renew(&banks, 150).await.err().unwrap().code, Code::LimitExceeded);
    banks.world.at(120 + DAY);
    banks.alice = renew(&banks, 150).await.unwrap();
    assert_eq!(crl(&banks.north).await.entries().count(), 12);
    let lines = list(&banks.north, &banks.alice).await.lines;
    let last = lines.iter().filter(|line| line.revoked.is_some()).map(|line| line.not_after).max().unwrap();
    let ended = last.seconds() - crate::world::NOW;
    banks.world.at(ended + 212 * DAY);
    assert_ne!(crl(&banks.north).await.entries().count(), 0, "cheques drawn under it may still come");
    banks.world.at(ended + 215 * DAY);
    assert_eq!(crl(&banks.north).await.entries().count(), 0);
}

#[tokio::test]
async fn the_same_renewal_twice_at_once_gives_one_pair() {
    let banks = Banks::new().await;
    banks.at(120).await;
    let (one, two) = tokio::join!(renew(&banks, 200), renew(&banks, 200));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.chain, two.chain);
    let lines = list(&banks.north, &one).await.lines;
    assert_eq!(lines.iter().filter(|line| line.revoked.is_some()).count(), 1, "of the keys before");
}

#[tokio::test]
async fn a_repeated_renewal_is_answered_by_key_when_all_are_of_one_second() {
    let mut banks = Banks::new().await;
    banks.at(120).await;
    for n in 0..8 {
        let renewed = renew(&banks, 100 + 2 * n).await.unwrap();
        let again = renew(&banks, 100 + 2 * n).await.unwrap();
        assert_eq!((&again.chain, &again.peer), (&renewed.chain, &renewed.peer));
        banks.alice = renewed;
    }
}
