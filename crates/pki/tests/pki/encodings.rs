//! Bytes and text in and out; hostile bytes.

use feiqian_pki::{
    CertificateRequest, Chain, KeyPair, PkiError, Purpose, Rejection, RevocationList, Serial, Subject,
    TrustedRoot, verify_signature,
};
use proptest::prelude::*;

use crate::world::World;

#[test]
fn keys_come_back_from_der_and_pem() {
    let mut world = World::new(60);
    let key = KeyPair::generate(&mut world.rng);
    let der = key.to_pkcs8_der().unwrap();
    assert_eq!(der.len(), 48);
    let from_der = KeyPair::from_pkcs8_der(&der).unwrap();
    let from_pem = KeyPair::from_pkcs8_pem(&key.to_pkcs8_pem().unwrap()).unwrap();
    assert_eq!(from_der.public_key(), key.public_key());
    assert_eq!(from_pem.sign(b"x"), key.sign(b"x"));
    assert!(KeyPair::from_pkcs8_der(&der[..47]).is_err());
    let shown = format!("{key:?}");
    let secret: String = der[16..].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!shown.contains(&secret[..16]), "{shown}");
}

#[test]
fn the_first_vector_of_rfc_8032_holds() {
    let key = KeyPair::from_seed(&[
        0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4, 0x44,
        0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
    ]);
    let signature = key.sign(b"");
    assert_eq!(key.public_key()[..4], [0xd7, 0x5a, 0x98, 0x01]);
    assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
    assert_eq!(verify_signature(&key.public_key(), b"", &signature), Ok(()));
}

#[test]
fn signatures_are_strict() {
    let mut world = World::new(61);
    let key = KeyPair::generate(&mut world.rng);
    let good = key.sign(b"message");
    let public = key.public_key();
    let refused: Result<(), PkiError> = Err(Rejection::Signature.into());
    assert_eq!(verify_signature(&public, b"messagf", &good), refused);
    for byte in 0..64 {
        let mut bent = good;
        bent[byte] ^= 1;
        assert_eq!(verify_signature(&public, b"message", &bent), refused, "byte {byte}");
    }
    // S + L: the same residue, not canonical.
    let order: [u8; 32] = {
        let mut order = [0; 32];
        order[..16].copy_from_slice(&[
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
        ]);
        order[31] = 0x10;
        order
    };
    let mut shifted = good;
    let mut carry = 0_u16;
    for (byte, l) in shifted[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(l) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    assert_eq!(verify_signature(&public, b"message", &shifted), refused);
    // The identity as key, with which (R = identity, S = 0) would sign everything.
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut nothing = [0; 64];
    nothing[0] = 1;
    let weak = verify_signature(&identity, b"anything", &nothing);
    assert_eq!(weak, Err(Rejection::WeakKey.into()));
}

#[test]
fn chains_and_roots_come_back() {
    let mut world = World::new(62);
    let chain = world.customer(Purpose::Signing).chain;
    assert_eq!(Chain::from_pem(&chain.to_pem()).unwrap(), chain);
    assert_eq!(TrustedRoot::from_pem(&world.root.to_pem()).unwrap(), world.root);
    assert_eq!(TrustedRoot::from_chain(&chain).unwrap(), world.root);
    assert_eq!(chain.issuer().as_ref(), Some(world.bank.chain()));
    assert_eq!(world.center.chain().issuer(), None);

    let json = serde_json::to_string(&chain).unwrap();
    assert!(json.starts_with("[\"30"), "hex: {json}");
    assert_eq!(serde_json::from_str::<Chain>(&json).unwrap(), chain);
    let config = bincode::config::standard().with_fixed_int_encoding();
    let bytes = bincode::serde::encode_to_vec(&chain, config).unwrap();
    let lengths: usize = chain.certificates().iter().map(|der| der.len() + 8).sum();
    assert_eq!(bytes.len(), 8 + lengths);
    let (again, used): (Chain, usize) = bincode::serde::decode_from_slice(&bytes, config).unwrap();
    assert_eq!((again, used), (chain.clone(), bytes.len()));

    let key = world.bank.key().to_pkcs8_pem().unwrap();
    assert!(Chain::from_pem(&key).is_err(), "a private key is no chain");
    assert!(Chain::from_pem(&chain.to_pem().repeat(2)).is_err(), "six certificates");
    assert!(Chain::new(vec![]).is_err());
    assert!(Chain::new(vec![vec![0x30; 4097]]).is_err());
    assert!(serde_json::from_str::<Chain>("[]").is_err());
    assert!(serde_json::from_str::<Chain>(r#"["00","00","00","00","00"]"#).is_err());
}

#[test]
fn subjects_and_serials_come_back() {
    let mut world = World::new(63);
    let subject = Subject::merchant("tea-house", "north").unwrap();
    let json = serde_json::to_string(&subject).unwrap();
    assert_eq!(json, r#"{"role":"merchant","name":"tea-house","bank":"north"}"#);
    assert_eq!(serde_json::from_str::<Subject>(&json).unwrap(), subject);
    let bent = r#"{"role":"bank","name":"north","bank":"south"}"#;
    assert!(serde_json::from_str::<Subject>(bent).is_err());
    assert_eq!(subject.to_string(), "merchant tea-house of north");

    let serial = Serial::random(&mut world.rng);
    assert_eq!(serial.to_string().parse::<Serial>().unwrap(), serial);
    let json = serde_json::to_string(&serial).unwrap();
    assert_eq!(serde_json::from_str::<Serial>(&json).unwrap(), serial);
    assert!(Serial::from_slice(&[0x80; 16]).is_err());
    assert!(Serial::from_slice(&[0x41; 15]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Arbitrary and damaged bytes are refused, never a panic.
    #[test]
    fn hostile_bytes_are_refused(
        noise in proptest::collection::vec(any::<u8>(), 0..600),
        cut in 0_usize..1200,
        at in 0_usize..400,
        patch in proptest::collection::vec(any::<u8>(), 1..12),
    ) {
        let mut world = World::new(64);
        let chain = world.customer(Purpose::Node).chain;
        let serial = Serial::random(&mut world.rng);
        let [_, list] = world.lists(&[serial], &[]);
        let key = KeyPair::generate(&mut world.rng);
        let request =
            CertificateRequest::create(&key, &Subject::bank("north").unwrap()).unwrap();
        prop_assert!(TrustedRoot::from_der(&noise).is_err());
        prop_assert!(RevocationList::from_der(&noise).is_err());
        prop_assert!(CertificateRequest::verify(&noise).is_err());

        for whole in [chain.leaf(), list.as_der(), request.as_slice()] {
            let short = &whole[..cut.min(whole.len() - 1)];
            let mut patched = whole.to_vec();
            for (byte, new) in patched.iter_mut().skip(at).zip(&patch) {
                *byte = *new;
            }
            for bytes in [short, patched.as_slice()] {
                if bytes == whole {
                    continue;
                }
                prop_assert!(TrustedRoot::from_der(bytes).is_err());
                prop_assert!(CertificateRequest::verify(bytes).is_err());
                let issuer = world.bank.key().public_key();
                let listed = RevocationList::from_der(bytes);
                prop_assert!(!listed.is_ok_and(|it| it.verify(&issuer, crate::world::NOW).is_ok()));
                if let Ok(bent) = Chain::new(vec![bytes.to_vec(), chain.certificates()[1].clone()]) {
                    prop_assert!(world.check(&bent, Purpose::Node).is_err());
                }
            }
        }
    }
}
