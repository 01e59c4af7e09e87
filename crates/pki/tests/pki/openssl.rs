//! The `openssl` command line agrees: it accepts our chains and refuses the revoked ones.
//!
//! `openssl` is required; without it these tests fail.

use std::path::Path;
use std::process::{Command, Output};

use feiqian_pki::{
    CertificateRequest, Chain, KeyPair, Purpose, Revocation, RevocationList, Subject, fingerprint, validate,
    validate_authority,
};
use tempfile::TempDir;

use crate::world::{DAY, NOW, World};

fn openssl(dir: &Path, arguments: &[&str]) -> Output {
    Command::new("openssl")
        .current_dir(dir)
        .args(arguments)
        .output()
        .expect("the openssl command line is needed by this test")
}

/// Runs it and wants success; answers with what it printed.
fn openssl_ok(dir: &Path, arguments: &[&str]) -> String {
    let output = openssl(dir, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "openssl {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Writes root, intermediates, leaf and lists.
fn lay_out(world: &World, chain: &Chain, lists: &[RevocationList]) -> TempDir {
    let dir = TempDir::new().unwrap();
    let pem = |index: usize| {
        chain
            .certificates()
            .get(index)
            .map_or_else(String::new, |der| Chain::new(vec![der.clone()]).unwrap().to_pem())
    };
    let between: String = (1..chain.certificates().len() - 1).map(pem).collect();
    std::fs::write(dir.path().join("root.pem"), world.root.to_pem()).unwrap();
    std::fs::write(dir.path().join("between.pem"), between).unwrap();
    std::fs::write(dir.path().join("leaf.pem"), pem(0)).unwrap();
    let lists: String = lists.iter().map(RevocationList::to_pem).collect();
    std::fs::write(dir.path().join("lists.pem"), lists).unwrap();
    dir
}

/// `openssl verify`, strict, with every certificate's revocation checked when lists are given.
fn openssl_verify(
    world: &World,
    chain: &Chain,
    lists: &[RevocationList],
    now: u64,
    purpose: Option<&str>,
) -> (bool, String) {
    let dir = lay_out(world, chain, lists);
    let time = now.to_string();
    let mut arguments =
        vec!["verify", "-x509_strict", "-check_ss_sig", "-attime", &time, "-CAfile", "root.pem"];
    if chain.certificates().len() > 2 {
        arguments.extend(["-untrusted", "between.pem"]);
    }
    if !lists.is_empty() {
        arguments.extend(["-crl_check_all", "-CRLfile", "lists.pem"]);
    }
    if let Some(purpose) = purpose {
        arguments.extend(["-purpose", purpose]);
    }
    arguments.push("leaf.pem");
    let output = openssl(dir.path(), &arguments);
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn good_chains_are_accepted_by_both() {
    let mut world = World::new(80);
    let lists = world.lists(&[], &[]);
    let subjects = [
        Subject::center("center").unwrap(),
        Subject::bank("north").unwrap(),
        Subject::merchant("tea-house", "north").unwrap(),
        Subject::customer("a1b2c3", "north").unwrap(),
    ];
    for subject in subjects {
        for purpose in [Purpose::Node, Purpose::Client, Purpose::Signing] {
            let chain = world.leaf(&subject, purpose).chain;
            let revocation = Revocation::Required(&lists);
            validate(&chain, &world.root, purpose, revocation, NOW).unwrap();
            let tls = match purpose {
                Purpose::Node => Some("sslserver"),
                Purpose::Client => Some("sslclient"),
                Purpose::Signing => None,
            };
            let (good, text) = openssl_verify(&world, &chain, &lists, NOW, tls);
            assert!(good, "{subject} {purpose:?}: {text}");
        }
    }
}

#[test]
fn both_keep_signing_and_clients_out_of_servers() {
    let mut world = World::new(81);
    for purpose in [Purpose::Client, Purpose::Signing] {
        let chain = world.customer(purpose).chain;
        assert!(validate(&chain, &world.root, Purpose::Node, Revocation::Unchecked, NOW).is_err());
        let (good, text) = openssl_verify(&world, &chain, &[], NOW, Some("sslserver"));
        assert!(!good && text.contains("purpose"), "{purpose:?}: {text}");
    }
}

#[test]
fn revoked_chains_are_refused_by_both() {
    let mut world = World::new(82);
    let chain = world.customer(Purpose::Signing).chain;
    let leaf = world.check(&chain, Purpose::Signing).unwrap().serial;
    let authority = validate_authority(world.bank.chain(), &world.root, Revocation::Unchecked, NOW).unwrap();
    for lists in [world.lists(&[leaf], &[]), world.lists(&[], &[authority.serial])] {
        let revocation = Revocation::Required(&lists);
        assert!(validate(&chain, &world.root, Purpose::Signing, revocation, NOW).is_err());
        let (good, text) = openssl_verify(&world, &chain, &lists, NOW, None);
        assert!(!good && text.contains("certificate revoked"), "{text}");
    }
}

#[test]
fn missing_old_and_expired_are_refused_by_both() {
    let mut world = World::new(83);
    let chain = world.customer(Purpose::Signing).chain;
    let lists = world.lists(&[], &[]);
    let ours = |lists: &[RevocationList], now| {
        let revocation = match lists {
            [] => Revocation::Unchecked,
            some => Revocation::Required(some),
        };
        validate(&chain, &world.root, Purpose::Signing, revocation, now)
    };
    let cases: [(&[RevocationList], u64, &str); 4] = [
        (&lists[..1], NOW, "unable to get certificate CRL"),
        (&lists, NOW + 2 * DAY, "CRL has expired"),
        (&[], NOW + 91 * DAY, "certificate has expired"),
        (&[], NOW - DAY, "certificate is not yet valid"),
    ];
    for (lists, now, reason) in cases {
        assert!(ours(lists, now).is_err(), "{reason}");
        let (good, text) = openssl_verify(&world, &chain, lists, now, None);
        assert!(!good && text.contains(reason), "wanted {reason:?}: {text}");
    }
    let stranger = World::new(84);
    assert!(stranger.check(&chain, Purpose::Signing).is_err());
    assert!(!openssl_verify(&stranger, &chain, &[], NOW, None).0);
}

#[test]
fn openssl_reads_keys_requests_signatures_and_prints_our_fingerprint() {
    let mut world = World::new(85);
    let subject = Subject::customer("a1b2c3", "north").unwrap();
    let entity = world.leaf(&subject, Purpose::Signing);
    let dir = lay_out(&world, &entity.chain, &[]);
    let write = |name: &str, bytes: &[u8]| std::fs::write(dir.path().join(name), bytes).unwrap();
    write("key.pem", entity.key.to_pkcs8_pem().unwrap().as_bytes());
    write("request.pem", CertificateRequest::create_pem(&entity.key, &subject).unwrap().as_bytes());
    write("message", b"pay to the order of");
    write("signature", &entity.key.sign(b"pay to the order of"));

    openssl_ok(dir.path(), &["req", "-in", "request.pem", "-verify", "-noout"]);
    let public = openssl_ok(dir.path(), &["pkey", "-in", "key.pem", "-pubout"]);
    let certified = openssl_ok(dir.path(), &["x509", "-in", "leaf.pem", "-pubkey", "-noout"]);
    assert_eq!(public, certified);
    write("public.pem", public.as_bytes());
    let verify = ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-rawin", "-in", "message"];
    openssl_ok(dir.path(), &[&verify[..], &["-sigfile", "signature"]].concat());

    let printed = openssl_ok(dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-fingerprint", "-sha256"]);
    let hex = printed.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase();
    assert_eq!(hex, fingerprint(entity.chain.leaf()).to_string());
    let text = openssl_ok(dir.path(), &["x509", "-in", "leaf.pem", "-noout", "-text"]);
    assert!(text.contains("O = north, OU = customer, CN = a1b2c3"), "{text}");
    assert!(text.contains(&subject.role().oid()), "the role's identifier in dotted form: {text}");
    assert!(text.contains("Extended Key Usage: critical"), "{text}");
}

#[test]
fn a_request_and_a_key_made_by_openssl_are_taken() {
    let mut world = World::new(86);
    let dir = TempDir::new().unwrap();
    openssl_ok(dir.path(), &["genpkey", "-algorithm", "ed25519", "-out", "key.pem"]);
    let subject = "/O=north/OU=merchant/CN=tea-house";
    openssl_ok(
        dir.path(),
        &["req", "-new", "-key", "key.pem", "-subj", subject, "-utf8", "-out", "request.pem"],
    );
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let key = KeyPair::from_pkcs8_pem(&read("key.pem")).unwrap();
    let request = CertificateRequest::verify_pem(&read("request.pem")).unwrap();
    assert_eq!(request.public_key(), &key.public_key());
    let subject = Subject::merchant("tea-house", "north").unwrap();
    let chain =
        world.bank.issue_leaf(&request, &subject, Purpose::Node, &[], DAY, NOW, &mut world.rng).unwrap();
    assert_eq!(world.check(&chain, Purpose::Node).unwrap().subject, subject);
}
