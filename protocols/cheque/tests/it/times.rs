//! When certificates are judged, and what a revocation reaches.

use feiqian_cheque::{Bundle, Rejection, ReturnCode, Trust, examine, submit, verify};
use feiqian_crypto::Digest;
use feiqian_pki::{Purpose, Rejection as Rule, RevocationReason, Revoked, Subject, validate_authority};

use crate::world::{
    DAY, LEAF, NOW, Person, World, at, forge, header, leaf, lists, order, payee, payload, revoked,
    with_blocks,
};

const LATER: u64 = NOW + 10 * DAY;

fn reason(result: Result<impl Sized, feiqian_cheque::ChequeError>) -> Option<feiqian_pki::PkiError> {
    match result.err() {
        Some(feiqian_cheque::ChequeError::Rejected(Rejection::Certificate { reason, .. })) => Some(reason),
        Some(other) => panic!("not refused for a certificate: {other:?}"),
        None => None,
    }
}

/// Judged ten days later with these serials revoked by the bank `north`.
fn judged(
    world: &World,
    bundle: &Bundle,
    north: &[Revoked],
    south: &[Revoked],
) -> Option<feiqian_pki::PkiError> {
    let lists = lists(&[], north, south, world, LATER);
    reason(verify(bundle.clone(), &Trust::new(&world.root, &lists, at(LATER))))
}

#[test]
fn a_drawer_revoked_after_countersigning_is_still_bound() {
    let world = World::new(60);
    let bundle = world.issued(order(false));
    for cause in [RevocationReason::KeyCompromise, RevocationReason::CessationOfOperation] {
        let entry = |when| [revoked(&world.alice, &world.root, when, cause)];
        assert_eq!(judged(&world, &bundle, &entry(NOW + 1), &[]), None);
        assert_eq!(judged(&world, &bundle, &entry(NOW), &[]), Some(Rule::Revoked.into()));
        assert_eq!(judged(&world, &bundle, &entry(NOW - 1), &[]), Some(Rule::Revoked.into()));
    }
    assert_eq!(
        Rejection::Certificate { block: 0, reason: Rule::Revoked.into() }.return_code(),
        ReturnCode::CertInvalid
    );
}

#[test]
fn a_drawer_revoked_before_countersigning_is_not_countersigned() {
    let world = World::new(61);
    let drawn = world.draw(order(false)).into_bundle();
    let entry = [revoked(&world.alice, &world.root, NOW - 10, RevocationReason::KeyCompromise)];
    let lists = lists(&[], &entry, &[], &world, NOW);
    let trust = Trust::new(&world.root, &lists, at(NOW));
    assert_eq!(reason(submit(drawn, &trust)), Some(Rule::Revoked.into()));
}

#[test]
fn whoever_names_the_time_himself_is_reached_by_any_revocation() {
    let world = World::new(62);
    let bundle = world.issued(order(true));
    let bob = world.signer(&world.bob);
    let passed = world.verified(bundle.clone()).endorse(payee(&world.carol), &bob, at(NOW + 2)).unwrap();
    for (person, north, bundle) in [(&world.north_bank, true, &bundle), (&world.bob, false, &passed)] {
        let check = |when, cause| {
            let entry = [revoked(person, &world.root, when, cause)];
            let (a, b): (&[Revoked], &[Revoked]) = if north { (&entry, &[]) } else { (&[], &entry) };
            judged(&world, bundle, a, b)
        };
        let gone = Some(Rule::Revoked.into());
        assert_eq!(check(NOW + DAY, RevocationReason::KeyCompromise), gone);
        assert_eq!(check(NOW + DAY, RevocationReason::CessationOfOperation), gone);
        assert_eq!(check(NOW - 1, RevocationReason::Superseded), gone);
        assert_eq!(check(NOW + DAY, RevocationReason::Superseded), None, "replaced by a newer one");
    }
    assert_eq!(judged(&world, &passed, &[], &[]), None);
}

#[test]
fn a_revoked_authority_takes_its_bank_with_it() {
    let world = World::new(63);
    let bundle = world.issued(order(false));
    let unchecked = feiqian_pki::Revocation::Unchecked;
    let authority = validate_authority(world.north.chain(), &world.root, unchecked, NOW).unwrap();
    let entry =
        Revoked { serial: authority.serial, at: LATER, reason: RevocationReason::AuthorityCompromise };
    let lists = lists(&[entry], &[], &[], &world, LATER);
    let result = verify(bundle, &Trust::new(&world.root, &lists, at(LATER)));
    assert_eq!(reason(result), Some(Rule::Revoked.into()));
}

#[test]
fn it_fails_closed() {
    let world = World::new(64);
    let bundle = world.issued(order(false));
    let all = lists(&[], &[], &[], &world, LATER);
    let unknown = Some(Rule::RevocationUnknown.into());
    for (lists, now) in [
        (&all[..0], LATER),
        (&all[..1], LATER),
        (&all[1..], LATER),
        (&all[..], LATER + DAY),
        (&all[..], LATER - DAY),
    ] {
        let result = verify(bundle.clone(), &Trust::new(&world.root, lists, at(now)));
        assert_eq!(reason(result), unknown);
    }
    verify(bundle.clone(), &Trust::new(&world.root, &all[..2], at(LATER))).unwrap();
    // A forger's list under the same name clears nobody.
    let other = World::new(65);
    let foreign = lists_of(&other);
    assert_eq!(reason(verify(bundle, &Trust::new(&world.root, &foreign, at(LATER)))), unknown);
}

fn lists_of(world: &World) -> Vec<feiqian_pki::RevocationList> {
    lists(&[], &[], &[], world, LATER)
}

#[test]
fn the_newest_list_speaks() {
    let world = World::new(66);
    let bundle = world.issued(order(false));
    let entry = [revoked(&world.north_bank, &world.root, LATER, RevocationReason::KeyCompromise)];
    let mut both = lists(&[], &entry, &[], &world, LATER + 10);
    both.extend(lists(&[], &[], &[], &world, LATER));
    for turned in [false, true] {
        if turned {
            both.reverse();
        }
        let result = verify(bundle.clone(), &Trust::new(&world.root, &both, at(LATER + 20)));
        assert_eq!(reason(result), Some(Rule::Revoked.into()));
    }
}

fn alice_until(world: &mut World, from: u64, validity: u64) -> Person {
    let subject = Subject::customer("alice", "north").unwrap();
    let (key, chain) = leaf(&world.north, &subject, Purpose::Signing, from, validity, &mut world.rng);
    Person { key, chain, bank: "north", token: "alice" }
}

#[test]
fn a_certificate_that_ended_later_does_no_harm_and_one_that_ended_before_does() {
    let mut world = World::new(67);
    world.alice = alice_until(&mut world, NOW - DAY, 2 * DAY);
    let bundle = world.issued(order(false));
    assert_eq!(judged(&world, &bundle, &[], &[]), None, "it ended nine days ago, after countersigning");

    let expired = alice_until(&mut world, NOW - 2 * DAY, DAY);
    let first = forge(&header("Ed25519", "cheque", &expired), &payload(&bundle.blocks[0]), &expired.key);
    let drawn = with_blocks(&bundle, vec![first]);
    let refused = reason(submit(drawn.clone(), &world.trust()));
    assert!(matches!(refused, Some(feiqian_pki::PkiError::Rejected(Rule::Expired { .. }))), "{refused:?}");
    // The bank countersigns all the same: whoever verifies judges at the time stamp.
    let examined = examine(drawn, &world.trust_at(NOW - DAY - 10)).unwrap();
    assert!(examined.signatures()[0].fault.is_some(), "no list is current then");
}

#[test]
fn expired_at_issue_is_refused_even_when_the_bank_countersigned() {
    let mut world = World::new(68);
    let expired = alice_until(&mut world, NOW - 2 * DAY, DAY);
    let good = world.issued(order(false));
    let first = forge(&header("Ed25519", "cheque", &expired), &payload(&good.blocks[0]), &expired.key);
    let root = first.digest().to_string();
    let mut stamp: serde_json::Value = serde_json::from_slice(&payload(&good.blocks[1])).unwrap();
    stamp["prev"] = root.clone().into();
    stamp["root"] = root.into();
    let bytes = serde_json_canonicalizer::to_vec(&stamp).unwrap();
    let second = forge(&header("Ed25519", "countersign", &world.north_bank), &bytes, &world.north_bank.key);
    let refused = reason(verify(with_blocks(&good, vec![first, second]), &world.trust()));
    assert!(matches!(refused, Some(feiqian_pki::PkiError::Rejected(Rule::Expired { .. }))), "{refused:?}");
}

#[test]
fn times_from_the_future_and_before_the_stamp_are_refused() {
    let world = World::new(69);
    let issued = world.issued(order(false));
    let early = verify(issued.clone(), &world.trust_at(NOW - 301)).unwrap_err();
    assert!(early == Rejection::Time { block: 1 }.into(), "{early:?}");
    verify(issued.clone(), &world.trust_at(NOW - 299)).unwrap();
    let before = world.deposit(issued.clone(), &world.bob, Digest([1; 32]), NOW - 301).unwrap_err();
    assert_eq!(before, Rejection::Time { block: 2 }.into());
    world.deposit(issued, &world.bob, Digest([1; 32]), NOW - 299).unwrap();
}

#[test]
fn a_cheque_outlives_its_certificates() {
    let world = World::new(70);
    let bundle = world.issued(order(false));
    let now = NOW + LEAF + DAY;
    let lists = lists(&[], &[], &[], &world, now);
    verify(bundle, &Trust::new(&world.root, &lists, at(now))).unwrap();
}
