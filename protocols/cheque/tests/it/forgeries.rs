//! Documents that somebody bent on purpose, often with a real key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use feiqian_cheque::{Bundle, ChequeError, Malformed, Rejection, ReturnCode, examine, verify};
use feiqian_crypto::Digest;
use feiqian_pki::{KeyPair, PkiError, Purpose, Rejection as Rule, Subject};
use feiqian_wire::Bounded;

use crate::world::{
    LEAF, NOW, Person, World, at, block, forge, header, leaf, name, order, payee, payload, replaced, text,
    with_blocks,
};

/// Alice's own block again, under a header of her choice, signed with her key.
fn first_block_under(world: &World, header: &str) -> ChequeError {
    let issued = world.issued(order(false));
    let forged = forge(header, &payload(&issued.blocks[0]), &world.alice.key);
    world.refusal(with_blocks(&issued, vec![forged]))
}

/// A drawn cheque of Alice's whose first block carries this payload, rightly signed.
fn first_payload(world: &World, payload: &[u8]) -> ChequeError {
    let issued = world.issued(order(false));
    let forged = forge(&header("Ed25519", "cheque", &world.alice), payload, &world.alice.key);
    world.refusal(with_blocks(&issued, vec![forged]))
}

#[test]
fn both_names_of_the_algorithm_are_taken_in_any_order_of_members() {
    let world = World::new(20);
    let issued = world.issued(order(false));
    let first = payload(&issued.blocks[0]);
    for alg in ["Ed25519", "EdDSA"] {
        let straight = header(alg, "cheque", &world.alice);
        let members = straight.trim_matches(['{', '}']);
        let (front, x5c) = members.split_once(",\"x5c\"").unwrap();
        let turned = format!("{{ \"x5c\"{x5c}, {front} }}");
        for header in [straight.clone(), turned] {
            let drawn = with_blocks(&issued, vec![forge(&header, &first, &world.alice.key)]);
            assert_eq!(world.rejection(drawn), Rejection::NotCountersigned, "{header}");
        }
    }
}

#[test]
fn no_other_algorithm_is_taken() {
    let world = World::new(21);
    for alg in ["none", "None", "", "HS256", "ES256", "RS256", "Ed448", "ed25519", "EdDSA "] {
        let refused = first_block_under(&world, &header(alg, "cheque", &world.alice));
        assert_eq!(refused, Rejection::Algorithm { block: 0 }.into(), "{alg}");
        assert_eq!(refused.return_code(), ReturnCode::SignatureInvalid);
    }
}

#[test]
fn alg_none_without_a_signature_is_refused() {
    let world = World::new(22);
    let issued = world.issued(order(false));
    let protected = URL_SAFE_NO_PAD.encode(header("none", "cheque", &world.alice));
    let unsigned = block(&protected, &issued.blocks[0].payload, &[]);
    let refused = world.refusal(with_blocks(&issued, vec![unsigned]));
    assert_eq!(refused, Rejection::Algorithm { block: 0 }.into());
    let header = header("Ed25519", "cheque", &world.alice);
    let unsigned = block(&URL_SAFE_NO_PAD.encode(header), &issued.blocks[0].payload, &[]);
    assert!(matches!(world.refusal(with_blocks(&issued, vec![unsigned])), ChequeError::Malformed(_)));
}

/// HMAC-SHA-256 (RFC 2104) of a key of up to 64 bytes.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    use sha2::Digest as _;
    let pad = |with: u8| {
        let mut block = [with; 64];
        block.iter_mut().zip(key).for_each(|(byte, key)| *byte ^= key);
        block
    };
    let inner = sha2::Sha256::new().chain_update(pad(0x36)).chain_update(message).finalize();
    sha2::Sha256::new().chain_update(pad(0x5c)).chain_update(inner).finalize().into()
}

#[test]
fn hs256_with_the_public_key_as_secret_is_refused() {
    let known = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
    assert_eq!(known[..4], [0x5b, 0xdc, 0xc1, 0x46], "RFC 4231, test case 2");
    let world = World::new(23);
    let issued = world.issued(order(false));
    for alg in ["HS256", "Ed25519", "EdDSA"] {
        let protected = URL_SAFE_NO_PAD.encode(header(alg, "cheque", &world.alice));
        let input = format!("{protected}.{}", issued.blocks[0].payload);
        let mac = hmac_sha256(&world.alice.key.public_key(), input.as_bytes());
        for signature in [mac.to_vec(), [mac, mac].concat()] {
            let forged = block(&protected, &issued.blocks[0].payload, &signature);
            let refused = world.refusal(with_blocks(&issued, vec![forged]));
            assert_eq!(
                refused.return_code() == ReturnCode::SignatureInvalid,
                signature.len() == 64 || alg == "HS256"
            );
        }
    }
}

#[test]
fn a_malleated_signature_is_refused() {
    // The order of the group, little-endian.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let world = World::new(24);
    let issued = world.issued(order(false));
    for index in 0..issued.blocks.len() {
        let good = &issued.blocks[index];
        let mut signature = URL_SAFE_NO_PAD.decode(good.signature.as_str()).unwrap();
        let mut carry = 0_u16;
        for (byte, add) in signature[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = u8::try_from(sum & 0xff).unwrap();
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        let bent = replaced(&issued, index, block(&good.protected, &good.payload, &signature));
        let first =
            if index == 0 { Rejection::Signature { block: 0 } } else { Rejection::Signature { block: 1 } };
        assert_eq!(world.rejection(bent), first);
    }
}

/// A person whose certificate was signed by the bank's real authority, with parameters bent.
fn forged_person(world: &World, key: KeyPair, certified: &impl rcgen::PublicKeyData, ca: bool) -> Person {
    let mut params = rcgen::CertificateParams::default();
    let mut subject = rcgen::DistinguishedName::new();
    subject.push(rcgen::DnType::OrganizationName, "north");
    subject.push(rcgen::DnType::OrganizationalUnitName, "customer");
    subject.push(rcgen::DnType::CommonName, "alice");
    params.distinguished_name = subject;
    params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x41; 16]));
    params.not_before = rcgen::date_time_ymd(2026, 11, 30);
    params.not_after = rcgen::date_time_ymd(2027, 11, 30);
    params.is_ca = match ca {
        true => rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0)),
        false => rcgen::IsCa::ExplicitNoCa,
    };
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    // The customer's own usage, critical, as a real certificate has it.
    let usage = [&[0x30, 0x17, 0x06, 0x15][..], &role_oid(4)].concat();
    let mut extension = rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 37], usage);
    extension.set_criticality(true);
    params.custom_extensions = vec![extension];
    let mut issuer = rcgen::CertificateParams::default();
    let mut issuer_name = rcgen::DistinguishedName::new();
    issuer_name.push(rcgen::DnType::OrganizationName, "north");
    issuer_name.push(rcgen::DnType::OrganizationalUnitName, "bank-authority");
    issuer_name.push(rcgen::DnType::CommonName, "north");
    issuer.distinguished_name = issuer_name;
    let issuer = rcgen::Issuer::from_params(&issuer, world.north.key());
    let der = params.signed_by(certified, &issuer).unwrap().der().to_vec();
    let authority = world.north.chain().certificates()[0].clone();
    let chain = feiqian_pki::Chain::new(vec![der, authority]).unwrap();
    Person { key, chain, bank: "north", token: "alice" }
}

/// The contents of a role's object identifier: `2.25.<UUID>.<arc>`.
fn role_oid(arc: u8) -> Vec<u8> {
    let mut rest: u128 = 0xb2d8_7f3f_bb04_8f0a_b400_9a14_d9ed_5b7d;
    let mut groups = vec![u8::try_from(rest & 0x7f).unwrap()];
    while rest > 0x7f {
        rest >>= 7;
        groups.push(0x80 | u8::try_from(rest & 0x7f).unwrap());
    }
    groups.push(2 * 40 + 25);
    groups.reverse();
    groups.push(arc);
    groups
}

struct RawKey([u8; 32]);

impl rcgen::PublicKeyData for RawKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

fn drawn_by(world: &World, person: &Person) -> Bundle {
    let issued = world.issued(order(false));
    let forged = forge(&header("Ed25519", "cheque", person), &payload(&issued.blocks[0]), &person.key);
    with_blocks(&issued, vec![forged])
}

fn certificate_rule(world: &World, person: &Person) -> PkiError {
    match world.rejection(drawn_by(world, person)) {
        Rejection::Certificate { block: 0, reason } => reason,
        other => panic!("not refused for its certificate: {other:?}"),
    }
}

#[test]
fn a_certificate_made_like_ours_is_taken_so_that_the_bent_ones_fail_for_their_bend() {
    let world = World::new(25);
    let key = KeyPair::from_seed(&[7; 32]);
    let certified = RawKey(key.public_key());
    let person = forged_person(&world, key, &certified, false);
    assert_eq!(world.rejection(drawn_by(&world, &person)), Rejection::NotCountersigned);
}

#[test]
fn a_small_order_key_is_refused() {
    let world = World::new(26);
    let issued = world.issued(order(false));
    let mut identity = [0; 32];
    identity[0] = 1;
    for point in [identity, [0; 32]] {
        let person = forged_person(&world, KeyPair::from_seed(&[7; 32]), &RawKey(point), false);
        // Under a key of small order, R = identity and S = 0 verify for many messages.
        let signature = [identity, [0; 32]].concat();
        let protected = URL_SAFE_NO_PAD.encode(header("Ed25519", "cheque", &person));
        let forged = block(&protected, &issued.blocks[0].payload, &signature);
        let refused = world.rejection(with_blocks(&issued, vec![forged]));
        let weak = Rejection::Certificate { block: 0, reason: Rule::WeakKey.into() };
        assert_eq!(refused, weak, "{point:?}");
    }
}

#[test]
fn a_certificate_authority_does_not_sign_cheques() {
    let world = World::new(27);
    let key = KeyPair::from_seed(&[8; 32]);
    let certified = RawKey(key.public_key());
    let person = forged_person(&world, key, &certified, true);
    assert_eq!(certificate_rule(&world, &person), Rule::AuthorityConfused.into());
    // The bank's real authority, with its real key.
    let key = KeyPair::from_pkcs8_der(&world.north.key().to_pkcs8_der().unwrap()).unwrap();
    let chain = world.north.chain().clone();
    let authority = Person { key, chain, bank: "north", token: "alice" };
    assert!(matches!(certificate_rule(&world, &authority), PkiError::Rejected(_) | PkiError::Malformed(_)));
}

#[test]
fn a_transport_key_does_not_sign_cheques() {
    let mut world = World::new(28);
    for purpose in [Purpose::Client, Purpose::Node] {
        let subject = match purpose {
            Purpose::Node => Subject::merchant("alice", "north").unwrap(),
            _ => Subject::customer("alice", "north").unwrap(),
        };
        let (key, chain) = leaf(&world.north, &subject, purpose, NOW, LEAF, &mut world.rng);
        let person = Person { key, chain, bank: "north", token: "alice" };
        assert_eq!(certificate_rule(&world, &person), Rule::WrongPurpose.into());
    }
}

#[test]
fn a_bank_does_not_certify_for_another() {
    let mut world = World::new(29);
    let subject = Subject::customer("alice", "south").unwrap();
    let (key, chain) = leaf(&world.south, &subject, Purpose::Signing, NOW, LEAF, &mut world.rng);
    let namesake = Person { key, chain, bank: "south", token: "alice" };
    let stranger = Rejection::Signer { block: 0, reason: "not one of the drawers" };
    assert_eq!(world.rejection(drawn_by(&world, &namesake)), stranger);
    assert_eq!(stranger.return_code(), ReturnCode::CertInvalid);

    let other = World::new(30);
    let reason = certificate_rule(&world, &other.alice);
    assert!(
        matches!(reason, PkiError::Rejected(Rule::UnknownIssuer | Rule::CertificateSignature)),
        "{reason:?}"
    );
}

#[test]
fn a_leaf_beside_the_wrong_authority_is_refused() {
    let world = World::new(31);
    let leaf = world.alice.chain.leaf().to_vec();
    let authority = world.south.chain().certificates()[0].clone();
    let chain = feiqian_pki::Chain::new(vec![leaf, authority]).unwrap();
    let key = KeyPair::from_pkcs8_der(&world.alice.key.to_pkcs8_der().unwrap()).unwrap();
    let person = Person { key, chain, bank: "north", token: "alice" };
    assert!(matches!(certificate_rule(&world, &person), PkiError::Rejected(_)));
}

#[test]
fn the_header_is_exactly_ours() {
    let world = World::new(32);
    let good = header("Ed25519", "cheque", &world.alice);
    let (front, x5c) = good.split_once("\"x5c\":").unwrap();
    let leaf_only = format!("{}]}}", x5c.split(',').next().unwrap());
    let bent = [
        good.replace("echeque+jws", "JWT"),
        good.replace("\"cty\":\"cheque\"", "\"cty\":\"countersign\""),
        good.replace("\"cty\":\"cheque\"", "\"cty\":\"receipt\""),
        good.replace("\"cty\":\"cheque\"", "\"cty\":\"check\""),
        good.replace("\"cty\":\"cheque\",", ""),
        good.replace("{\"alg\"", "{\"alg\":\"Ed25519\",\"alg\""),
        good.replace("{\"alg\"", "{\"crit\":[\"exp\"],\"alg\""),
        good.replace("{\"alg\"", "{\"kid\":\"1\",\"alg\""),
        format!("{front}\"x5c\":[]}}"),
        format!("{front}\"x5c\":{leaf_only}"),
        format!("{good} x"),
        format!("{good}{good}"),
        good.replace("\"alg\":\"Ed25519\"", "\"alg\":[\"Ed25519\"]"),
        good.replace("\"alg\":\"Ed25519\"", &format!("\"alg\":{}{}", "[".repeat(20), "]".repeat(20))),
    ];
    for header in bent {
        assert_ne!(header, good);
        let refused = first_block_under(&world, &header);
        assert!(refused != Rejection::NotCountersigned.into(), "{header}");
    }
}

#[test]
fn json_has_one_writing() {
    let world = World::new(33);
    let issued = world.issued(order(false));
    let good = String::from_utf8(payload(&issued.blocks[0])).unwrap();
    assert_eq!(first_payload(&world, good.as_bytes()), Rejection::NotCountersigned.into(), "the control");
    let bent = [
        ("repeated member", good.replacen("\"memo\":", "\"memo\":\"x\",\"memo\":", 1)),
        ("repeated at the top", good.replacen("{\"body\":", "{\"body\":null,\"body\":", 1)),
        ("space", good.replacen("\":", "\": ", 1)),
        (
            "order",
            good.replacen("{\"account\":\"alice\",", "{", 1).replacen(
                ",\"bank\":",
                ",\"account\":\"alice\",\"bank\":",
                1,
            ),
        ),
        ("escape", good.replacen("alice", "\\u0061lice", 1)),
        ("trailing newline", format!("{good}\n")),
        ("trailing document", format!("{good}{{}}")),
        ("trailing bytes", format!("{good}\0")),
        ("number for text", good.replacen("\"minor\":\"25000\"", "\"minor\":25000", 1)),
        ("leading zero", good.replacen("\"25000\"", "\"025000\"", 1)),
        ("sign", good.replacen("\"25000\"", "\"+25000\"", 1)),
        ("float", good.replacen("\"required\":1", "\"required\":1.0", 1)),
        ("null link", good.replacen("{\"body\"", "{\"prev\":null,\"body\"", 1)),
        ("unknown member", good.replacen("\"memo\":", "\"mema\":\"\",\"memo\":", 1)),
        ("capital hex", good.replacen("\"sha256\":\"", "\"sha256\":\"A", 1)),
        (
            "deep",
            good.replacen("\"memo\":", &format!("\"x\":{}{},\"memo\":", "[".repeat(50), "]".repeat(50)), 1),
        ),
        ("byte order mark", format!("\u{feff}{good}")),
        ("currency", good.replacen("CNY", "XXX", 1)),
        ("date", good.replacen("2026-12-01", "2026-02-30", 1)),
        ("empty", String::new()),
    ];
    for (what, payload) in bent {
        assert_ne!(payload, good, "{what}");
        let refused = first_payload(&world, payload.as_bytes());
        assert!(matches!(refused, ChequeError::Malformed(_)), "{what}: {refused:?}");
    }
    assert!(matches!(first_payload(&world, &[0xff, 0xfe]), ChequeError::Malformed(_)));
}

#[test]
fn words_must_agree_with_figures() {
    let world = World::new(34);
    let good = String::from_utf8(payload(&world.issued(order(false)).blocks[0])).unwrap();
    for bent in [
        good.replacen("\"25000\"", "\"2500000\"", 1),
        good.replacen("\"minor\":\"25000\"", "\"minor\":\"0\"", 1),
        good.replacen("\"required\":1", "\"required\":0", 1),
        good.replacen("\"required\":1", "\"required\":2", 1),
        good.replacen("\"drawers\":[\"alice\"]", "\"drawers\":[\"alice\",\"alice\"]", 1),
        good.replacen("\"drawers\":[\"alice\"]", "\"drawers\":[]", 1),
        good.replacen("\"number\":\"7\"", "\"number\":\"0\"", 1),
    ] {
        assert_ne!(bent, good);
        let refused = first_payload(&world, bent.as_bytes());
        assert!(matches!(refused, ChequeError::Rejected(Rejection::Content(_))), "{refused:?}");
        assert_eq!(refused.return_code(), ReturnCode::Altered);
    }
}

#[test]
fn blocks_stay_where_they_are() {
    let world = World::new(35);
    let bundle = world.long_way();
    let count = bundle.blocks.len();
    for left in 0..count {
        for right in left + 1..count {
            let mut blocks = bundle.blocks.to_vec();
            blocks.swap(left, right);
            assert!(
                verify(with_blocks(&bundle, blocks), &world.trust()).is_err(),
                "{left} and {right} swapped"
            );
        }
    }
    for index in 0..count {
        let mut left_out = bundle.blocks.to_vec();
        left_out.remove(index);
        let result = verify(with_blocks(&bundle, left_out), &world.trust());
        assert_eq!(result.is_ok(), index == count - 1, "block {index} left out");
        let mut doubled = bundle.blocks.to_vec();
        doubled.insert(index, bundle.blocks[index].clone());
        assert!(verify(with_blocks(&bundle, doubled), &world.trust()).is_err(), "block {index} doubled");
    }
    assert!(examine(with_blocks(&bundle, Vec::new()), &world.trust()).is_err());
}

/// A later block of the right form, rightly signed, with these links.
fn relinked(
    block: &feiqian_cheque::block::Block,
    person: &Person,
    cty: &str,
    prev: Option<&str>,
    root: Option<&str>,
) -> feiqian_cheque::block::Block {
    let mut value: serde_json::Value = serde_json::from_slice(&payload(block)).unwrap();
    for (member, with) in [("prev", prev), ("root", root)] {
        if let Some(with) = with {
            value[member] = with.into();
        }
    }
    let bytes = serde_json_canonicalizer::to_vec(&value).unwrap();
    forge(&header("Ed25519", cty, person), &bytes, &person.key)
}

#[test]
fn a_gap_in_the_chain_is_refused_even_when_it_is_signed() {
    let world = World::new(36);
    let bundle = world.long_way();
    let zero = "0".repeat(64);
    let signers = [&world.north_bank, &world.north_bank, &world.bob, &world.carol];
    for (index, (person, cty)) in
        signers.into_iter().zip(["countersign", "certify", "endorse", "deposit"]).enumerate()
    {
        let index = index + 1;
        let good = &bundle.blocks[index];
        let cut = |block| with_blocks(&bundle, [&bundle.blocks[..index], &[block]].concat());
        world.verified(cut(relinked(good, person, cty, None, None)));
        let gap = world.rejection(cut(relinked(good, person, cty, Some(&zero), None)));
        assert_eq!(gap, Rejection::Prev { block: index, kind: cty.parse().unwrap() });
        let endorsement = if index > 2 { ReturnCode::EndorsementMissing } else { ReturnCode::Altered };
        assert_eq!(gap.return_code(), endorsement);
        let foreign = world.rejection(cut(relinked(good, person, cty, None, Some(&zero))));
        assert_eq!(foreign, Rejection::Root { block: index });
    }
}

#[test]
fn an_endorsement_by_a_stranger_or_out_of_sequence_is_refused() {
    let world = World::new(37);
    let bundle = world.long_way();
    let good = &bundle.blocks[3];
    let cut = |block| with_blocks(&bundle, [&bundle.blocks[..3], &[block]].concat());
    for stranger in [&world.carol, &world.alice, &world.dave, &world.south_bank] {
        let refused = world.rejection(cut(relinked(good, stranger, "endorse", None, None)));
        assert_eq!(refused, Rejection::EndorsementBroken { block: 3 });
        assert_eq!(refused.return_code(), ReturnCode::EndorsementBroken);
    }
    let later =
        String::from_utf8(payload(good)).unwrap().replacen("\"sequence\":\"1\"", "\"sequence\":\"2\"", 1);
    let skipped = forge(&header("Ed25519", "endorse", &world.bob), later.as_bytes(), &world.bob.key);
    let refused = world.rejection(cut(skipped));
    assert_eq!(refused, Rejection::EndorsementMissing { block: 3 });
    assert_eq!(refused.return_code(), ReturnCode::EndorsementMissing);
}

#[test]
fn only_the_holder_of_the_moment_endorses() {
    let world = World::new(38);
    let issued = world.issued(order(true));
    let bob = world.signer(&world.bob);
    let passed = world.verified(issued).endorse(payee(&world.carol), &bob, at(NOW)).unwrap();
    let again = world.verified(passed.clone()).endorse(payee(&world.alice), &bob, at(NOW)).unwrap_err();
    assert_eq!(again, Rejection::EndorsementBroken { block: 3 }.into());
    assert!(world.deposit(passed.clone(), &world.bob, Digest([1; 32]), NOW).is_err());
    world.verified(world.deposit(passed, &world.carol, Digest([1; 32]), NOW).unwrap());
}

#[test]
fn a_block_does_not_move_to_another_cheque() {
    let world = World::new(39);
    let bundle = world.long_way();
    let other = feiqian_cheque::Order { memo: text("another"), ..order(true) };
    let other = world.issued(other);
    let other = world.verified(other).certify(&world.signer(&world.north_bank), at(NOW + 1)).unwrap();
    for index in 1..3 {
        let moved = replaced(&other, index, bundle.blocks[index].clone());
        assert_eq!(world.rejection(moved), Rejection::Root { block: index });
        let appended = with_blocks(&other, [&other.blocks[..], &[bundle.blocks[3].clone()]].concat());
        assert_eq!(world.rejection(appended), Rejection::Root { block: 3 });
    }
    assert_eq!(world.rejection(replaced(&other, 0, bundle.blocks[0].clone())), Rejection::Root { block: 1 });
}

#[test]
fn attachments_are_those_that_are_bound() {
    let world = World::new(40);
    let issued = world.issued(order(false));
    let with = |attachments| Bundle { attachments: Bounded::new(attachments).unwrap(), ..issued.clone() };
    let own = issued.attachments[0].clone();
    let foreign = feiqian_cheque::Attachment::new(b"forty cups of beer").unwrap();
    let cases = [with(vec![foreign.clone()]), with(vec![own.clone(), own.clone()]), with(vec![own, foreign])];
    for bundle in cases {
        assert!(matches!(world.rejection(bundle), Rejection::Attachment(_)));
    }
    // The right hash over other bytes.
    let file = String::from_utf8(issued.to_bytes().unwrap()).unwrap();
    let data = URL_SAFE_NO_PAD.encode("forty cups of tea");
    let changed = file.replacen(&data, &URL_SAFE_NO_PAD.encode("forty cups of TEA"), 1);
    assert_ne!(changed, file);
    let bundle = Bundle::from_bytes(changed.as_bytes()).unwrap();
    let mismatch = world.rejection(bundle);
    assert_eq!(mismatch, Rejection::Attachment("its bytes are not those of its hash"));
    assert_eq!(mismatch.return_code(), ReturnCode::Altered);
}

#[test]
fn files_are_bounded_and_have_one_writing() {
    let world = World::new(41);
    let file = String::from_utf8(world.issued(order(false)).to_bytes().unwrap()).unwrap();
    let bent = [
        format!("{file}\n"),
        format!(" {file}"),
        format!("{file}{file}"),
        file.replacen("{\"attachments\":", "{\"attachments\":[],\"attachments\":", 1),
        file.replacen("\"protected\":", "\"header\":{},\"protected\":", 1),
        file.replacen(":", ": ", 1),
        file[..file.len() - 1].to_owned(),
        String::new(),
        "[".repeat(100_000),
    ];
    for (index, file) in bent.iter().enumerate() {
        assert!(Bundle::from_bytes(file.as_bytes()).is_err(), "{index}");
    }
    let long = vec![b' '; feiqian_cheque::bundle::MAX_BUNDLE + 1];
    assert!(matches!(Bundle::from_bytes(&long), Err(Malformed::TooLarge { .. })));
    let block = serde_json::to_string(&world.issued(order(false)).blocks[0]).unwrap();
    let many = format!("{{\"attachments\":[],\"blocks\":[{}]}}", vec![block; 65].join(","));
    assert!(matches!(Bundle::from_bytes(many.as_bytes()), Err(Malformed::Json { .. })));
    assert!(feiqian_cheque::Attachment::new(&vec![0; feiqian_cheque::bundle::MAX_ATTACHMENT + 1]).is_err());
    feiqian_cheque::Attachment::new(&vec![0; feiqian_cheque::bundle::MAX_ATTACHMENT]).unwrap();
}

#[test]
fn a_later_drawer_signs_the_same() {
    let world = World::new(42);
    let both =
        world.draw(crate::world::joint_order(2)).join(&world.signer(&world.dave)).unwrap().into_bundle();
    let more = String::from_utf8(payload(&both.blocks[1])).unwrap().replacen(
        "for \\\"tea\\\"",
        "for \\\"gin\\\"",
        1,
    );
    let forged = forge(&header("Ed25519", "cheque", &world.dave), more.as_bytes(), &world.dave.key);
    assert_eq!(world.rejection(replaced(&both, 1, forged)), Rejection::Altered { block: 1 });
}

#[test]
fn a_signer_is_who_its_chain_says() {
    let world = World::new(43);
    let now = at(NOW);
    let signer = |key, chain| feiqian_cheque::Signer::new(key, chain, &world.root, now);
    assert!(signer(&world.bob.key, &world.alice.chain).is_err());
    let stranger = World::new(44);
    assert!(signer(&stranger.alice.key, &stranger.alice.chain).is_err());
    assert!(
        feiqian_cheque::Signer::new(&world.alice.key, &world.alice.chain, &world.root, at(NOW + 2 * LEAF))
            .is_err()
    );
    assert_eq!(signer(&world.alice.key, &world.alice.chain).unwrap().identity().subject.name(), "alice");
    assert_eq!(name("north").as_str(), world.north_bank.token);
}
