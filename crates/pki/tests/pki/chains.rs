//! Chains accepted and refused.

use feiqian_pki::{
    Authority, BACKDATE_SECONDS, BANK_AUTHORITY_SECONDS, Chain, KeyPair, PkiError, Purpose, Rejection,
    Revocation, Role, Subject, TrustedRoot, fingerprint, validate, validate_authority,
};

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use crate::world::{LEAF, NOW, World, bank_authority, forge, forged_params, request, role_oid, usage};

const NORTH: (Option<&str>, &str, &str) = (Some("north"), "bank-authority", "north");
const ROOT: (Option<&str>, &str, &str) = (None, "center-root", "center");
const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];

fn refusal<T: core::fmt::Debug>(result: Result<T, PkiError>) -> Rejection {
    match result.unwrap_err() {
        PkiError::Rejected(rejection) => rejection,
        other => panic!("not a rejection: {other:?}"),
    }
}

#[test]
fn every_role_and_purpose_is_accepted_as_what_it_is() {
    let mut world = World::new(1);
    let subjects = [
        Subject::center("center").unwrap(),
        Subject::bank("north").unwrap(),
        Subject::merchant("tea-house", "north").unwrap(),
        Subject::customer("a1b2c3", "south").unwrap(),
    ];
    for subject in subjects {
        for purpose in [Purpose::Node, Purpose::Client, Purpose::Signing] {
            let entity = world.leaf(&subject, purpose);
            let verified = world.check(&entity.chain, purpose).unwrap();
            assert_eq!(verified.subject, subject);
            assert_eq!(verified.purpose, purpose);
            assert_eq!(verified.public_key, entity.key.public_key());
            assert_eq!(verified.fingerprint, fingerprint(entity.chain.leaf()));
            assert_eq!(verified.not_before, NOW - BACKDATE_SECONDS);
            assert_eq!(verified.not_after, NOW + LEAF);
        }
    }
}

#[test]
fn the_root_may_be_absent_from_a_chain() {
    let mut world = World::new(2);
    let full = world.customer(Purpose::Client).chain;
    let without = Chain::new(full.certificates()[..2].to_vec()).unwrap();
    assert_eq!(world.check(&without, Purpose::Client).unwrap(), world.check(&full, Purpose::Client).unwrap());
}

#[test]
fn purposes_are_kept_apart_but_a_node_may_call() {
    let mut world = World::new(3);
    let purposes = [Purpose::Node, Purpose::Client, Purpose::Signing];
    for have in purposes {
        let chain = world.customer(have).chain;
        for want in purposes {
            let allowed = have == want || (have, want) == (Purpose::Node, Purpose::Client);
            match world.check(&chain, want) {
                Ok(verified) => assert!(allowed, "{:?} taken as {want:?}", verified.purpose),
                Err(error) => {
                    assert!(!allowed, "{have:?} refused as {want:?}");
                    assert_eq!(error, Rejection::WrongPurpose.into());
                }
            }
        }
    }
}

#[test]
fn validity_ends_are_exact() {
    let mut world = World::new(4);
    let chain = world.customer(Purpose::Signing).chain;
    let at = |now| validate(&chain, &world.root, Purpose::Signing, Revocation::Unchecked, now);
    assert!(at(NOW - BACKDATE_SECONDS).is_ok());
    assert!(at(NOW + LEAF).is_ok());
    assert!(matches!(refusal(at(NOW - BACKDATE_SECONDS - 1)), Rejection::NotYetValid { .. }));
    assert_eq!(
        refusal(at(NOW + LEAF + 1)),
        Rejection::Expired { not_after: NOW + LEAF, now: NOW + LEAF + 1 }
    );
}

#[test]
fn a_leaf_never_outlives_its_authority() {
    let mut world = World::new(5);
    let subject = Subject::customer("long", "north").unwrap();
    let request = request(&KeyPair::generate(&mut world.rng), &subject);
    let end = NOW + BANK_AUTHORITY_SECONDS;
    let chain = world
        .bank
        .issue_leaf(&request, &subject, Purpose::Client, &[], u64::MAX, NOW, &mut world.rng)
        .unwrap();
    assert_eq!(world.check(&chain, Purpose::Client).unwrap().not_after, end);
    let late = world.bank.issue_leaf(&request, &subject, Purpose::Client, &[], 60, end + 1, &mut world.rng);
    assert_eq!(refusal(late), Rejection::Expired { not_after: end, now: end + 1 });
}

#[test]
fn another_root_is_refused_whether_it_comes_along_or_not() {
    let mut world = World::new(6);
    let stranger = World::new(7);
    let chain = world.customer(Purpose::Client).chain;
    assert_eq!(refusal(stranger.check(&chain, Purpose::Client)), Rejection::WrongRoot);
    // Without the root in the chain: the names agree, the signature does not.
    let bare = Chain::new(chain.certificates()[..2].to_vec()).unwrap();
    assert_eq!(refusal(stranger.check(&bare, Purpose::Client)), Rejection::CertificateSignature);
    // A root of another name.
    let mut rng = ChaCha12Rng::seed_from_u64(99);
    let key = KeyPair::generate(&mut rng);
    let elsewhere = Authority::root("elsewhere", key, NOW, &mut rng).unwrap().trusted_root().unwrap();
    let answer = validate(&bare, &elsewhere, Purpose::Client, Revocation::Unchecked, NOW);
    assert_eq!(refusal(answer), Rejection::UnknownIssuer);
}

#[test]
fn authorities_are_not_end_entities_and_leaves_are_not_authorities() {
    let mut world = World::new(8);
    for purpose in [Purpose::Node, Purpose::Client, Purpose::Signing] {
        let as_signer = world.check(world.bank.chain(), purpose);
        assert_eq!(refusal(as_signer), Rejection::AuthorityConfused);
        assert!(world.check(world.center.chain(), purpose).is_err());
    }
    // A customer signs a certificate for somebody else.
    let customer = world.customer(Purpose::Signing);
    let key = KeyPair::generate(&mut world.rng);
    let mut params = forged_params(Some("north"), "customer", "friend");
    params.custom_extensions = vec![usage(true, &[&role_oid(4)])];
    let issuer = (Some("north"), "customer", "a1b2c3");
    let mut certificates = vec![forge(&params, &key, issuer, &customer.key)];
    certificates.extend(customer.chain.certificates().iter().cloned());
    let chain = Chain::new(certificates).unwrap();
    assert_eq!(refusal(world.check(&chain, Purpose::Signing)), Rejection::AuthorityConfused);
}

#[test]
fn a_bank_issues_only_for_itself() {
    let mut world = World::new(9);
    // Its authority refuses ...
    let foreign = Subject::customer("a1b2c3", "south").unwrap();
    let key = KeyPair::generate(&mut world.rng);
    let request = request(&key, &foreign);
    for authority in [&world.bank, &world.center] {
        let mut rng = ChaCha12Rng::seed_from_u64(99);
        let answer = authority.issue_leaf(&request, &foreign, Purpose::Signing, &[], LEAF, NOW, &mut rng);
        assert!(matches!(answer, Err(PkiError::Misuse(_))));
    }
    // ... and what it signs by other means is refused by everybody.
    for (unit, name, arc) in [("customer", "a1b2c3", 4), ("bank", "south", 2)] {
        let mut params = forged_params(Some("south"), unit, name);
        params.custom_extensions = vec![usage(true, &[&role_oid(arc)])];
        let leaf = forge(&params, &key, NORTH, world.bank.key());
        let mut certificates = vec![leaf];
        certificates.extend(world.bank.chain().certificates().iter().cloned());
        let chain = Chain::new(certificates).unwrap();
        assert_eq!(
            refusal(world.check(&chain, Purpose::Signing)),
            Rejection::ForeignBank { issuer: "north".into(), bank: "south".into() }
        );
    }
}

#[test]
fn nobody_but_the_root_makes_centers_or_authorities() {
    let mut world = World::new(10);
    let key = KeyPair::generate(&mut world.rng);
    let mut params = forged_params(None, "center", "center");
    params.custom_extensions = vec![usage(true, &[&role_oid(1)])];
    let mut certificates = vec![forge(&params, &key, NORTH, world.bank.key())];
    certificates.extend(world.bank.chain().certificates().iter().cloned());
    let chain = Chain::new(certificates).unwrap();
    assert!(matches!(refusal(world.check(&chain, Purpose::Signing)), Rejection::Shape(_)));

    // A customer straight under the root is refused too: no bank vouches for it.
    let mut params = forged_params(Some("north"), "customer", "a1b2c3");
    params.custom_extensions = vec![usage(true, &[&role_oid(4)])];
    let chain = Chain::new(vec![forge(&params, &key, ROOT, world.center.key())]).unwrap();
    assert!(matches!(refusal(world.check(&chain, Purpose::Signing)), Rejection::Shape(_)));

    let bank = request(&key, &Subject::bank("west").unwrap());
    let answer = world.bank.issue_bank_authority(&bank, "west", NOW, &mut world.rng);
    assert!(matches!(answer, Err(PkiError::Misuse(_))));
}

#[test]
fn the_path_length_is_kept() {
    let mut world = World::new(11);
    // The bank authority certifies a second authority below itself, which certifies a customer.
    let below = KeyPair::generate(&mut world.rng);
    let mut params = forged_params(Some("north"), "bank-authority", "north-branch");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
    let authority = forge(&params, &below, NORTH, world.bank.key());
    let key = KeyPair::generate(&mut world.rng);
    let mut params = forged_params(Some("north"), "customer", "a1b2c3");
    params.custom_extensions = vec![usage(true, &[&role_oid(4)])];
    let branch = (Some("north"), "bank-authority", "north-branch");
    let mut certificates = vec![forge(&params, &key, branch, &below), authority];
    certificates.extend(world.bank.chain().certificates().iter().cloned());
    let chain = Chain::new(certificates).unwrap();
    assert_eq!(refusal(world.check(&chain, Purpose::Signing)), Rejection::PathTooLong);
}

#[test]
fn usages_are_exact() {
    let mut world = World::new(12);
    let key = KeyPair::generate(&mut world.rng);
    let customer = role_oid(4);
    let merchant = role_oid(3);
    let code_signing: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 3];
    let bent = [
        (usage(false, &[&customer]), Rejection::WrongPurpose), // must be critical
        (usage(true, &[&merchant]), Rejection::WrongPurpose),  // another role's
        (usage(true, &[&customer, &merchant]), Rejection::WrongPurpose),
        (usage(true, &[&customer, code_signing]), Rejection::WrongPurpose),
        (usage(true, &[&customer, CLIENT_AUTH]), Rejection::WrongPurpose),
        (usage(true, &[code_signing]), Rejection::WrongPurpose),
    ];
    let check = |params: &rcgen::CertificateParams| {
        let mut certificates = vec![forge(params, &key, NORTH, world.bank.key())];
        certificates.extend(world.bank.chain().certificates().iter().cloned());
        world.check(&Chain::new(certificates).unwrap(), Purpose::Signing)
    };
    for (extension, rejection) in bent {
        let mut params = forged_params(Some("north"), "customer", "a1b2c3");
        params.custom_extensions = vec![extension];
        assert_eq!(refusal(check(&params)), rejection);
    }
    let good = || {
        let mut params = forged_params(Some("north"), "customer", "a1b2c3");
        params.custom_extensions = vec![usage(true, &[&customer])];
        params
    };
    assert!(check(&good()).is_ok(), "unbent, the same certificate is good");

    let mut params = good();
    params.custom_extensions.clear();
    assert_eq!(refusal(check(&params)), Rejection::WrongPurpose);
    let mut params = good();
    params.key_usages.push(rcgen::KeyUsagePurpose::KeyCertSign);
    assert_eq!(refusal(check(&params)), Rejection::KeyUsage);
    let mut params = good();
    params.key_usages.clear();
    assert_eq!(refusal(check(&params)), Rejection::KeyUsage);
    let mut params = good();
    let mut unknown = rcgen::CustomExtension::from_oid_content(&[1, 3, 9999, 1], vec![5, 0]);
    unknown.set_criticality(true);
    params.custom_extensions.push(unknown);
    assert_eq!(refusal(check(&params)), Rejection::Unsupported("critical extension"));
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let mut world = World::new(13);
    let chain = world.customer(Purpose::Signing).chain;
    let certificates = chain.certificates();
    for index in 0..certificates.len() {
        for byte in 0..certificates[index].len() {
            for bit in 0..8 {
                let mut bent = certificates.to_vec();
                bent[index][byte] ^= 1 << bit;
                let bent = Chain::new(bent).unwrap();
                let answer = world.check(&bent, Purpose::Signing);
                assert!(answer.is_err(), "certificate {index}, byte {byte}, bit {bit}");
            }
        }
    }
    let authority = world.bank.chain().certificates();
    for byte in 0..authority[0].len() {
        for bit in 0..8 {
            let mut bent = authority.to_vec();
            bent[0][byte] ^= 1 << bit;
            let bent = Chain::new(bent).unwrap();
            let answer = validate_authority(&bent, &world.root, Revocation::Unchecked, NOW);
            assert!(answer.is_err(), "authority, byte {byte}, bit {bit}");
            let mut bent = authority[1].clone();
            let Some(target) = bent.get_mut(byte) else { continue };
            *target ^= 1 << bit;
            assert!(TrustedRoot::from_der(&bent).is_err(), "root, byte {byte}, bit {bit}");
        }
    }
}

#[test]
fn bank_authorities_validate_as_such_only() {
    let mut world = World::new(14);
    let chain = world.bank.chain().clone();
    let check = |chain: &Chain, now| validate_authority(chain, &world.root, Revocation::Unchecked, now);
    let verified = check(&chain, NOW).unwrap();
    assert_eq!(verified.bank, "north");
    assert_eq!(verified.public_key, world.bank.key().public_key());
    let late = NOW + BANK_AUTHORITY_SECONDS + 1;
    assert!(matches!(refusal(check(&chain, late)), Rejection::Expired { .. }));
    assert!(matches!(refusal(check(world.center.chain(), NOW)), Rejection::Shape(_)));
    let stranger = World::new(15);
    let bare = Chain::new(chain.certificates()[..1].to_vec()).unwrap();
    let answer = validate_authority(&bare, &stranger.root, Revocation::Unchecked, NOW);
    assert_eq!(refusal(answer), Rejection::CertificateSignature);

    let leaf = Subject::bank("north").unwrap();
    let leaf = world.leaf(&leaf, Purpose::Node).chain;
    let alone = Chain::new(leaf.certificates()[..1].to_vec()).unwrap();
    let answer = validate_authority(&alone, &world.root, Revocation::Unchecked, NOW);
    assert_eq!(refusal(answer), Rejection::AuthorityConfused);
    let answer = TrustedRoot::from_der(alone.leaf());
    assert_eq!(refusal(answer), Rejection::AuthorityConfused);
}

#[test]
fn an_authority_needs_its_own_key() {
    let mut world = World::new(16);
    let stranger = KeyPair::generate(&mut world.rng);
    let answer = Authority::from_parts(stranger, world.bank.chain().clone());
    assert!(matches!(answer.unwrap_err(), PkiError::Misuse(_)));
    // And comes back as it was from what is stored.
    let stored = world.bank.key().to_pkcs8_pem().unwrap();
    let pem = world.bank.chain().to_pem();
    let again =
        Authority::from_parts(KeyPair::from_pkcs8_pem(&stored).unwrap(), Chain::from_pem(&pem).unwrap())
            .unwrap();
    assert_eq!(again.bank(), Some("north"));
    assert_eq!(again.chain(), world.bank.chain());
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let (mut one, mut two) = (World::new(17), World::new(17));
    assert_eq!(one.root, two.root);
    let subject = Subject::merchant("tea-house", "north").unwrap();
    let chains = [&mut one, &mut two].map(|world| world.leaf(&subject, Purpose::Node).chain);
    assert_eq!(chains[0], chains[1]);
    let serial = one.check(&chains[0], Purpose::Node).unwrap().serial;
    assert_eq!(serial.as_bytes()[0] & 0xc0, 0x40);
    let third = bank_authority(&one.center, "north", &mut one.rng);
    assert_ne!(third.chain(), one.bank.chain());
}

#[test]
fn roles_have_the_published_identifiers() {
    for role in Role::ALL {
        assert_eq!(
            role.oid(),
            format!("2.25.{}.{}", 0xb2d8_7f3f_bb04_8f0a_b400_9a14_d9ed_5b7d_u128, role.arc())
        );
        assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
    }
}
