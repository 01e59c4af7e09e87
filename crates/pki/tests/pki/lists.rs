//! Revocation lists: fail closed.

use feiqian_pki::{
    Chain, PkiError, Purpose, Rejection, Revocation, RevocationList, RevocationReason, Revoked, Serial,
    validate, validate_authority,
};

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::world::{DAY, NOW, World, bank_authority, list};

struct Case {
    world: World,
    chain: Chain,
    serial: Serial,
}

fn case(seed: u64) -> Case {
    let mut world = World::new(seed);
    let chain = world.customer(Purpose::Client).chain;
    let serial = world.check(&chain, Purpose::Client).unwrap().serial;
    Case { world, chain, serial }
}

impl Case {
    fn judge(&self, lists: &[RevocationList], now: u64) -> Result<(), PkiError> {
        let revocation = Revocation::Required(lists);
        validate(&self.chain, &self.world.root, Purpose::Client, revocation, now).map(drop)
    }
}

#[test]
fn a_current_list_of_every_issuer_is_needed() {
    let case = case(40);
    let [root, bank] = case.world.lists(&[], &[]);
    assert_eq!(case.judge(&[root.clone(), bank.clone()], NOW), Ok(()));
    assert_eq!(case.judge(&[bank.clone(), root.clone()], NOW), Ok(()));
    let unknown: PkiError = Rejection::RevocationUnknown.into();
    assert_eq!(case.judge(&[], NOW), Err(unknown.clone()));
    assert_eq!(case.judge(std::slice::from_ref(&root), NOW), Err(unknown.clone()));
    assert_eq!(case.judge(&[bank], NOW), Err(unknown.clone()));
    // The list of another bank says nothing about this one's customers.
    assert_eq!(case.judge(&[root, list(&case.world.other_bank, &[], 1)], NOW), Err(unknown));
}

#[test]
fn a_revoked_leaf_and_a_revoked_authority_are_refused() {
    let case = case(41);
    let revoked: PkiError = Rejection::Revoked.into();
    assert_eq!(case.judge(&case.world.lists(&[case.serial], &[]), NOW), Err(revoked.clone()));
    let root = &case.world.root;
    let bank = case.world.bank.chain();
    let authority = validate_authority(bank, root, Revocation::Unchecked, NOW).unwrap();
    let lists = case.world.lists(&[], &[authority.serial]);
    assert_eq!(case.judge(&lists, NOW), Err(revoked.clone()));
    let answer = validate_authority(bank, root, Revocation::Required(&lists), NOW);
    assert_eq!(answer, Err(revoked));
    let other = case.world.other_bank.chain();
    assert!(validate_authority(other, root, Revocation::Required(&lists), NOW).is_ok());
    let answer = validate_authority(other, root, Revocation::Required(&[]), NOW);
    assert_eq!(answer, Err(Rejection::RevocationUnknown.into()));
    // Somebody else's serial in the list does not matter.
    let mut rng = ChaCha12Rng::seed_from_u64(99);
    assert_eq!(case.judge(&case.world.lists(&[Serial::random(&mut rng)], &[]), NOW), Ok(()));
}

#[test]
fn old_and_future_lists_are_not_current() {
    let case = case(42);
    let lists = case.world.lists(&[], &[]);
    assert_eq!(case.judge(&lists, NOW + DAY - 1), Ok(()));
    let stale: PkiError = Rejection::RevocationListNotCurrent.into();
    assert_eq!(case.judge(&lists, NOW + DAY), Err(stale.clone()));
    let key = case.world.bank.key().public_key();
    assert_eq!(lists[1].verify(&key, NOW), Ok(()));
    assert_eq!(lists[1].verify(&key, NOW + DAY), Err(stale.clone()));
    assert_eq!(lists[1].verify(&key, NOW - 3_601), Err(stale));
}

#[test]
fn the_newest_list_of_an_issuer_counts() {
    let case = case(43);
    let [root, old] = case.world.lists(&[], &[]);
    let entry = Revoked { serial: case.serial, at: NOW + 60, reason: RevocationReason::PrivilegeWithdrawn };
    let new = case.world.bank.issue_crl(&[entry], 2, NOW + 60, NOW + DAY).unwrap();
    let lists = [root, old, new];
    assert_eq!(case.judge(&lists, NOW + 60), Err(Rejection::Revoked.into()));
}

#[test]
fn a_forged_list_is_refused() {
    let case = case(44);
    let [root, bank] = case.world.lists(&[case.serial], &[]);
    let stranger = World::new(45);
    // The same name, another key: the list that "clears" the customer.
    let forged = list(&stranger.bank, &[], 1);
    let lists = [root.clone(), forged.clone()];
    assert_eq!(case.judge(&lists, NOW), Err(Rejection::RevocationUnknown.into()));
    // Beside the true one it neither clears nor, beside a clean one, hinders.
    let lists = [forged.clone(), root.clone(), bank.clone()];
    assert_eq!(case.judge(&lists, NOW), Err(Rejection::Revoked.into()));
    let lists = [forged.clone(), root, list(&case.world.bank, &[], 2)];
    assert_eq!(case.judge(&lists, NOW), Ok(()));
    let key = case.world.bank.key().public_key();
    assert_eq!(forged.verify(&key, NOW), Err(Rejection::RevocationListSignature.into()));
    // A list with any byte changed.
    for byte in 0..bank.as_der().len() {
        for bit in 0..8 {
            let mut bent = bank.as_der().to_vec();
            bent[byte] ^= 1 << bit;
            let accepted = RevocationList::from_der(&bent).is_ok_and(|bent| bent.verify(&key, NOW).is_ok());
            assert!(!accepted, "byte {byte}, bit {bit}");
        }
    }
}

#[test]
fn an_authority_may_change_its_key() {
    let mut case = case(48);
    let next = bank_authority(&case.world.center, "north", &mut case.world.rng);
    let [root, before] = case.world.lists(&[], &[]);
    let after = next.issue_crl(&[], 1, NOW + 60, NOW + DAY).unwrap();
    // Both lists bear the bank's name; the one that counts is the one of the key that issued the certificate.
    let lists = [root.clone(), after.clone(), before];
    assert_eq!(case.judge(&lists, NOW + 60), Ok(()));
    let unknown: PkiError = Rejection::RevocationUnknown.into();
    assert_eq!(case.judge(&[root, after], NOW + 60), Err(unknown));
}

#[test]
fn entries_come_back() {
    let case = case(46);
    let mut rng = ChaCha12Rng::seed_from_u64(99);
    let reasons = [
        RevocationReason::Unspecified,
        RevocationReason::KeyCompromise,
        RevocationReason::AuthorityCompromise,
        RevocationReason::AffiliationChanged,
        RevocationReason::Superseded,
        RevocationReason::CessationOfOperation,
        RevocationReason::PrivilegeWithdrawn,
    ];
    let mut revoked: Vec<_> = reasons
        .iter()
        .enumerate()
        .map(|(i, reason)| Revoked {
            serial: Serial::random(&mut rng),
            at: NOW - u64::try_from(i).unwrap(),
            reason: *reason,
        })
        .collect();
    let made = case.world.bank.issue_crl(&revoked, 7, NOW, NOW + 600).unwrap();
    let read = RevocationList::from_pem(&made.to_pem()).unwrap();
    assert_eq!(read, made);
    assert_eq!((read.this_update(), read.next_update()), (NOW, NOW + 600));
    for entry in &revoked {
        assert_eq!(read.find(&entry.serial), Some(entry));
    }
    revoked.sort();
    assert_eq!(read.entries().copied().collect::<Vec<_>>(), revoked);
    assert_eq!(read.find(&case.serial), None);
}

#[test]
fn a_list_holds_up_to_a_day_and_names_each_once() {
    let case = case(47);
    let bank = &case.world.bank;
    assert!(bank.issue_crl(&[], 1, NOW, NOW + DAY).is_ok());
    for next_update in [NOW, NOW - 1, NOW + DAY + 1] {
        let answer = bank.issue_crl(&[], 1, NOW, next_update);
        assert!(matches!(answer, Err(PkiError::Misuse(_))), "{next_update}");
    }
    let entry = Revoked { serial: case.serial, at: NOW, reason: RevocationReason::Superseded };
    let answer = bank.issue_crl(&[entry, entry], 1, NOW, NOW + DAY);
    assert!(matches!(answer, Err(PkiError::Misuse(_))));
}
