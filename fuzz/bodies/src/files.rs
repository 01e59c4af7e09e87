//! Documents as they lie in files, with the checks that whoever opens one makes.

use feiqian_cheque::bundle::Bundle;
use feiqian_cheque::trust::Trust;
use feiqian_cheque::verify;
use feiqian_offline_cash::accusation::Accusation;
use feiqian_offline_cash::carry::Carried;
use feiqian_online_cash::evidence::Evidence;
use feiqian_online_cash::keyset::Keyset;
use feiqian_pki::{CertificateRequest, Chain, RevocationList, TrustedRoot};
use feiqian_wire::{Code, Fault, Limit, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::seeds::context;
use crate::{Shape, Target, Verdict, refuse};

/// The targets of this module.
#[must_use]
pub fn targets() -> Vec<Target> {
    let json = |name, run| Target::new(name, Shape::Json, run);
    let bytes = |name, run| Target::new(name, Shape::Bytes, run);
    vec![
        json("file-cheque", cheque),
        json("file-evidence", evidence),
        json("file-accusation", accusation),
        json("file-keyset", keyset),
        bytes("file-carried", carried),
        bytes("certificate-request", certificate_request),
        bytes("certificate-chain", chain),
        bytes("certificate-root", root),
        bytes("revocation-list", revocation_list),
    ]
}

/// Reads a document in either encoding, as `feiqian verify` does.
fn read<T: DeserializeOwned + Serialize>(bytes: &[u8]) -> Result<T, Verdict> {
    codec::decode_json(bytes, Limit::Large).or_else(|_| codec::decode(bytes, Limit::Large)).map_err(refuse)
}

fn verdict(checked: Result<(), impl Into<Fault>>) -> Verdict {
    match checked {
        Ok(()) => Verdict::Accepted,
        Err(rejection) => refuse(rejection),
    }
}

fn cheque(bytes: &[u8]) -> Verdict {
    let bundle = match Bundle::from_bytes(bytes) {
        Ok(bundle) => bundle,
        Err(malformed) => return refuse(feiqian_cheque::ChequeError::from(malformed)),
    };
    assert_eq!(bundle.to_bytes().ok().as_deref(), Some(bytes), "a second writing of one cheque");
    let Some(context) = context() else { return Verdict::Accepted };
    let trust = Trust::new(&context.root, &context.lists, context.now);
    let examined = verify::examine(bundle.clone(), &trust);
    let verified = verify::verify(bundle, &trust);
    if verified.is_ok() {
        assert!(examined.is_ok_and(|it| it.fault().is_none()), "what verifies can be shown without fault");
    }
    verdict(verified.map(drop))
}

fn evidence(bytes: &[u8]) -> Verdict {
    let evidence: Evidence = match read(bytes) {
        Ok(evidence) => evidence,
        Err(refused) => return refused,
    };
    let Some(context) = context() else { return Verdict::Accepted };
    match evidence.verify(&context.root) {
        Ok(finding) => {
            assert!(
                finding.signed.minor > finding.value.minor,
                "evidence shows more signed than the coin's value"
            );
            Verdict::Accepted
        }
        Err(rejection) => refuse(rejection),
    }
}

fn accusation(bytes: &[u8]) -> Verdict {
    let accusation: Accusation = match read(bytes) {
        Ok(accusation) => accusation,
        Err(refused) => return refused,
    };
    let Some(context) = context() else { return Verdict::Accepted };
    verdict(accusation.verify(&context.root).map(drop))
}

fn keyset(bytes: &[u8]) -> Verdict {
    let keyset: Keyset = match read(bytes) {
        Ok(keyset) => keyset,
        Err(refused) => return refused,
    };
    let digest = keyset.digest();
    let again =
        codec::encode(&keyset).ok().and_then(|bytes| codec::decode::<Keyset>(&bytes, Limit::Large).ok());
    assert_eq!(again.map(|again| again.digest()), Some(digest), "the digest is that of the content");
    match keyset.verify(&[7; 32]) {
        Ok(_) => unreachable!("a key that is nobody's verifies nothing"),
        Err(rejection) => drop(refuse(rejection)),
    }
    Verdict::Accepted
}

fn carried(bytes: &[u8]) -> Verdict {
    match Carried::from_file(bytes) {
        Ok(message) => {
            assert_eq!(message.to_file().ok().as_deref(), Some(bytes), "a second file of one message");
            Verdict::Accepted
        }
        Err(rejection) => refuse(rejection),
    }
}

fn pki(checked: Result<(), feiqian_pki::PkiError>) -> Verdict {
    verdict(checked.map_err(|error| Fault::new(Code::CertificateInvalid, error.to_string())))
}

/// Splits DER from PEM.
fn pem(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.trim_start().starts_with("-----"))
}

fn certificate_request(bytes: &[u8]) -> Verdict {
    let read = match pem(bytes) {
        Some(text) => CertificateRequest::verify_pem(text),
        None => CertificateRequest::verify(bytes),
    };
    pki(read.map(|request| assert!(!request.subject().name().is_empty())))
}

fn chain(bytes: &[u8]) -> Verdict {
    let read = match pem(bytes) {
        Some(text) => Chain::from_pem(text),
        None => Chain::new(vec![bytes.to_vec()]),
    };
    pki(read.and_then(|chain| {
        let again = Chain::from_pem(&chain.to_pem());
        assert_eq!(again.ok().as_ref(), Some(&chain), "what is written can be read");
        chain.leaf_key().map(drop)
    }))
}

fn root(bytes: &[u8]) -> Verdict {
    let read = match pem(bytes) {
        Some(text) => TrustedRoot::from_pem(text),
        None => TrustedRoot::from_der(bytes),
    };
    pki(read.map(|root| {
        let again = TrustedRoot::from_pem(&root.to_pem());
        assert_eq!(again.map(|again| again.fingerprint()).ok(), Some(root.fingerprint()));
    }))
}

fn revocation_list(bytes: &[u8]) -> Verdict {
    let read = match pem(bytes) {
        Some(text) => RevocationList::from_pem(text),
        None => RevocationList::from_der(bytes),
    };
    pki(read.map(|list| {
        assert!(list.entries().count() <= bytes.len());
        assert!(
            list.verify(&[7; 32], list.this_update()).is_err(),
            "a key that is nobody's verifies nothing"
        );
    }))
}
