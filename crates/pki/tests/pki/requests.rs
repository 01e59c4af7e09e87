//! Certificate requests: proof of possession, and the authority's own word.

use feiqian_pki::{CertificateRequest, KeyPair, PkiError, Purpose, Rejection, Subject};

use crate::world::{LEAF, NOW, World, request};

#[test]
fn a_request_proves_possession_of_its_key() {
    let mut world = World::new(30);
    let (own, victim) = (KeyPair::generate(&mut world.rng), KeyPair::generate(&mut world.rng));
    let subject = Subject::customer("a1b2c3", "north").unwrap();
    let der = CertificateRequest::create(&own, &subject).unwrap();
    let good = CertificateRequest::verify(&der).unwrap();
    assert_eq!(good.public_key(), &own.public_key());
    assert_eq!(good.subject(), &subject);

    // Somebody else's key in the same request: the signature is not of that key.
    let at = der.windows(32).position(|bytes| bytes == own.public_key()).unwrap();
    let mut stolen = der.clone();
    stolen[at..at + 32].copy_from_slice(&victim.public_key());
    assert_eq!(CertificateRequest::verify(&stolen).unwrap_err(), Rejection::Possession.into());
}

#[test]
fn a_flipped_bit_anywhere_is_refused() {
    let mut world = World::new(31);
    let key = KeyPair::generate(&mut world.rng);
    let der = CertificateRequest::create(&key, &Subject::bank("north").unwrap()).unwrap();
    for byte in 0..der.len() {
        for bit in 0..8 {
            let mut bent = der.clone();
            bent[byte] ^= 1 << bit;
            assert!(CertificateRequest::verify(&bent).is_err(), "byte {byte}, bit {bit}");
        }
    }
    let mut longer = der.clone();
    longer.push(0);
    assert!(matches!(CertificateRequest::verify(&longer), Err(PkiError::Malformed(_))));
    assert!(matches!(CertificateRequest::verify(&vec![0x30; 10_000]), Err(PkiError::Malformed(_))));
}

#[test]
fn a_weak_key_is_not_certified() {
    // The key of order 1: every "signature" (R = identity, S = 0) satisfies the lax equation.
    let mut world = World::new(32);
    let key = KeyPair::generate(&mut world.rng);
    let der = CertificateRequest::create(&key, &Subject::bank("north").unwrap()).unwrap();
    let mut identity = [0; 32];
    identity[0] = 1;
    let at = der.windows(32).position(|bytes| bytes == key.public_key()).unwrap();
    let mut weak = der.clone();
    weak[at..at + 32].copy_from_slice(&identity);
    let end = weak.len();
    weak[end - 64..].fill(0);
    weak[end - 64] = 1;
    assert_eq!(CertificateRequest::verify(&weak).unwrap_err(), Rejection::WeakKey.into());
}

#[test]
fn the_authority_decides_the_subject() {
    let mut world = World::new(33);
    let key = KeyPair::generate(&mut world.rng);
    let asked = request(&key, &Subject::customer("mallory", "north").unwrap());
    let known = Subject::customer("alice", "north").unwrap();
    let answer = world.bank.issue_leaf(&asked, &known, Purpose::Client, &[], LEAF, NOW, &mut world.rng);
    assert!(matches!(answer, Err(PkiError::Rejected(Rejection::Subject(_)))));
    let bank = world.center.issue_bank_authority(&asked, "north", NOW, &mut world.rng);
    assert!(matches!(bank, Err(PkiError::Rejected(Rejection::Subject(_)))));
}

#[test]
fn alternative_names_are_a_nodes_and_must_be_names() {
    let mut world = World::new(34);
    let subject = Subject::merchant("tea-house", "north").unwrap();
    let asked = request(&KeyPair::generate(&mut world.rng), &subject);
    let localhost = ["localhost".to_owned()];
    let cases: [(Purpose, &[String]); 3] = [
        (Purpose::Signing, &localhost),
        (Purpose::Node, &["caf\u{e9}".to_owned()]),
        (Purpose::Node, &vec!["localhost".to_owned(); 17]),
    ];
    for (purpose, names) in cases {
        let answer = world.bank.issue_leaf(&asked, &subject, purpose, names, LEAF, NOW, &mut world.rng);
        assert!(matches!(answer, Err(PkiError::Misuse(_))), "{names:?}");
    }
}

#[test]
fn subjects_fit_their_roles() {
    use feiqian_pki::Role;
    for name in ["", "North", "a b", "a/b", "caf\u{e9}", &"x".repeat(65)] {
        assert!(Subject::bank(name).is_err(), "{name:?}");
    }
    assert!(Subject::bank(&"x".repeat(64)).is_ok());
    assert!(Subject::new(Role::Center, "center", Some("north")).is_err());
    assert!(Subject::new(Role::Bank, "north", Some("south")).is_err());
    assert!(Subject::new(Role::Bank, "north", None).is_err());
    assert!(Subject::new(Role::Customer, "a1", None).is_err());
}
