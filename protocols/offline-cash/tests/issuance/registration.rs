use feiqian_crypto::acl::IdentitySecret;
use feiqian_money::{Amount, Currency};
use feiqian_offline_cash::Rejection;
use feiqian_offline_cash::identity::{AttestedIdentity, Registrant, Registration, SignedIdentity};
use feiqian_pki::KeyPair;
use feiqian_wire::codec::{decode, encode};
use feiqian_wire::{Blob, Limit, Text};

use crate::world::{DAY, NOW, World, at, minor, name, stream};

#[test]
fn the_proof_is_for_one_bank_account_and_key() {
    let mut rng = stream(20);
    let secret = IdentitySecret::generate(&mut rng);
    let registrant = Registrant { bank: "north", account: "a", signing_key: &[1; 32] };
    let registration = Registration::new(&secret, &registrant, &mut rng);
    assert_eq!(registration.verify(&registrant), Ok(()));
    let refused = Err(Rejection::ProofInvalid("registration"));
    for other in [
        Registrant { bank: "south", ..registrant },
        Registrant { account: "b", ..registrant },
        Registrant { signing_key: &[2; 32], ..registrant },
    ] {
        assert_eq!(registration.verify(&other), refused);
    }
    let identity = *IdentitySecret::generate(&mut rng).public();
    assert_eq!(Registration { identity, ..registration.clone() }.verify(&registrant), refused);
    let bytes = encode(&registration).unwrap();
    assert_eq!(decode::<Registration>(&bytes, Limit::Small).unwrap(), registration);
    let zero: Vec<u8> =
        bytes[..4].iter().copied().chain([0; 32]).chain(bytes[36..].iter().copied()).collect();
    assert!(decode::<Registration>(&zero, Limit::Small).is_err(), "the identity element is nobody");
}

#[test]
fn a_record_is_signed_by_the_key_certified_for_its_account() {
    let mut world = World::new(21);
    let (ann, bob) = (world.person("north", 1), world.person("north", 2));
    let record = ann.attested.identity.record.clone();
    let refused = SignedIdentity::sign(record.clone(), &bob.signer, bob.chain.clone());
    assert!(matches!(refused, Err(Rejection::SignatureInvalid(_))), "another key than the record's");

    // A bank that invents a record for a customer: its own key in it, or another customer's chain beside it.
    let forged = SignedIdentity::sign(record.clone(), &ann.signer, bob.chain.clone()).unwrap();
    assert!(matches!(forged.verify(&world.root, at(NOW)), Err(Rejection::CertificateInvalid(_))));
    let own = World::record(&world.north, &ann.account, &bob.secret, &world.north.signer);
    let forged = SignedIdentity::sign(own, &world.north.signer, world.north.chain.clone()).unwrap();
    assert!(matches!(forged.verify(&world.root, at(NOW)), Err(Rejection::CertificateInvalid(_))));

    let signed = &ann.attested.identity;
    assert_eq!(signed.verify(&world.root, at(NOW)), Ok(()));
    let changed = |change: &dyn Fn(&mut SignedIdentity)| {
        let mut signed = signed.clone();
        change(&mut signed);
        signed.verify(&world.root, at(NOW))
    };
    assert!(changed(&|signed| signed.record.bank = name("south")).is_err());
    assert!(changed(&|signed| signed.record.account = bob.account.clone()).is_err());
    assert!(changed(&|signed| signed.record.identity = *bob.secret.public()).is_err());
    assert!(changed(&|signed| signed.record.collateral = Amount::new(minor(1), Currency::CNY)).is_err());
    assert!(changed(&|signed| signed.record.collateral.currency = Currency::EUR).is_err());
    assert!(changed(&|signed| signed.record.signing_key = Blob::new(vec![1; 31]).unwrap()).is_err());
    assert!(signed.verify(&world.root, at(NOW + 3_650 * DAY)).is_err());
}

#[test]
fn only_the_center_attests() {
    let mut world = World::new(22);
    let ann = world.person("north", 1);
    let attested = &ann.attested;
    let signed = attested.identity.clone();
    for (key, chain) in [
        (&world.north.signer, &world.north.chain),
        (&ann.signer, &ann.chain),
        (&KeyPair::from_seed(&[5; 32]), &world.center_chain),
    ] {
        let forged =
            AttestedIdentity::attest(signed.clone(), at(NOW), key, chain.clone(), &world.root).unwrap();
        assert!(forged.verify(&world.root).is_err());
    }
    let later = AttestedIdentity { attested_at: at(NOW + 1), ..attested.clone() };
    assert_eq!(later.verify(&world.root), Err(Rejection::SignatureInvalid("identity attestation")));
    let elsewhere = World::new(23);
    assert!(matches!(attested.verify(&elsewhere.root), Err(Rejection::CertificateInvalid(_))));
    let bytes = encode(attested).unwrap();
    assert_eq!(&decode::<AttestedIdentity>(&bytes, Limit::Medium).unwrap(), attested);
}

#[test]
fn the_words_give_one_identity_an_account() {
    let seed = feiqian_offline_cash::seed::Seed::from_bytes([1; 64]);
    let identity = |bank, account| *seed.identity(bank, account).unwrap().public();
    assert_eq!(identity("north", "a"), identity("north", "a"));
    assert_ne!(identity("north", "a"), identity("north", "b"));
    assert_ne!(identity("north", "a"), identity("south", "a"));
    let account: Text<64> = Text::new("a").unwrap();
    assert_eq!(format!("{seed:?} {account}"), "Seed(redacted) a");
}
