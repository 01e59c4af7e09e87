//! Every message that travels between nodes, in binary and JSON.

use feiqian_bank::Handed;
use feiqian_cheque::messages as cheque;
use feiqian_clearing::cleared::{ClearedRequest, ClearedResponse};
use feiqian_clearing::finality::SettledRequest;
use feiqian_clearing::membership as member;
use feiqian_clearing::presentment::{Answers, Batch, Presented, Presentment};
use feiqian_clearing::remittance as transfer;
use feiqian_node::ListsResponse;
use feiqian_node::listing::{Calls, message_name};
use feiqian_offline_cash as offline;
use feiqian_online_cash as online;
use feiqian_pki::MAX_REVOCATION_LIST_BYTES;
use feiqian_wire::codec::{self, MAGIC};
use feiqian_wire::{Blob, Bounded, Fault, Limit};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Shape, Target, Verdict, refuse};

/// The name of a message's target: its type's, with `-` for brackets.
#[must_use]
pub fn target_name(message: &str) -> String {
    let words = message.split(|character: char| !(character.is_alphanumeric() || character == '_'));
    words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-")
}

fn of<T: Serialize + DeserializeOwned + 'static>() -> Target {
    let name = target_name(&message_name::<T>());
    let message = Maker { to_json: to_json::<T>, within: binaries_within::<T>, smallest: smallest::<T> };
    Target { name, run: body::<T>, shape: Shape::Message, message: Some(message) }
}

/// How seeds of one message type are made.
#[derive(Clone, Copy, Debug)]
pub struct Maker {
    /// The JSON of a binary message.
    pub to_json: fn(&[u8]) -> Option<Vec<u8>>,
    /// Those that lie in a document, in binary.
    pub within: fn(&serde_json::Value) -> Vec<Vec<u8>>,
    /// One made of next to nothing, where that is possible.
    pub smallest: fn() -> Option<Vec<u8>>,
}

fn binaries_within<T: Serialize + DeserializeOwned>(document: &serde_json::Value) -> Vec<Vec<u8>> {
    within::<T>(document).iter().filter_map(|value| codec::encode(value).ok()).collect()
}

/// What stands where zeros will not do, by what they stand for: a count of text, then a point.
const FILLINGS: [&[u8]; 5] = [
    b"\x01\0\0\0\0\0\0\0a",
    b"\x03\0\0\0\0\0\0\0CNY",
    b"\x06\0\0\0\0\0\0\0abcdef",
    b"\x01\0\0\0\0\0\0\x001",
    b"\x01\0\0\0\0\0\0\0",
];

/// A message of zeros, grown until it is whole: a zero is a number, an empty list, nothing, and the first variant. Where
/// the decoder wants something else, what it has just read is replaced.
fn smallest<T: DeserializeOwned>() -> Option<Vec<u8>> {
    let mut message = [MAGIC.as_slice(), &[1, 0]].concat();
    let read = |message: &[u8]| codec::decode::<T>(message, Limit::Medium).err();
    for _ in 0..6000 {
        match read(&message) {
            None => return Some(message),
            Some(feiqian_wire::Malformed::Truncated) => message.push(0),
            Some(_) => {
                let kept = message.len().checked_sub(8)?;
                let kept = message.get(..kept)?;
                let other = FILLINGS
                    .iter()
                    .map(|filling| [kept, filling].concat())
                    .find(|other| matches!(read(other), None | Some(feiqian_wire::Malformed::Truncated)));
                message = other?;
            }
        }
    }
    None
}

/// The same message in JSON.
fn to_json<T: Serialize + DeserializeOwned>(binary: &[u8]) -> Option<Vec<u8>> {
    let value: T = codec::decode(binary, Limit::Large).ok()?;
    codec::encode_json(&value).ok()
}

/// Reads a message as a node does, binary when it begins so, else JSON, and holds its encodings against one another.
///
/// # Panics
/// When a value has two encodings, or its encodings do not agree.
pub fn body<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Verdict {
    if bytes.starts_with(&MAGIC) {
        return match codec::decode::<T>(bytes, Limit::Large) {
            Ok(value) => {
                let again = codec::encode(&value).unwrap_or_default();
                assert!(again == bytes, "{}: a second encoding of one value", message_name::<T>());
                through_json(&value, bytes);
                Verdict::Accepted
            }
            Err(malformed) => refuse(malformed),
        };
    }
    match codec::decode_json::<T>(bytes, Limit::Large) {
        Ok(value) => {
            if let Ok(binary) = codec::encode(&value) {
                let read = codec::decode::<T>(&binary, Limit::Large);
                assert!(read.is_ok(), "{}: JSON says what binary cannot", message_name::<T>());
                through_json(&value, &binary);
            }
            Verdict::Accepted
        }
        Err(malformed) => refuse(malformed),
    }
}

/// JSON and back is the same value.
fn through_json<T: Serialize + DeserializeOwned>(value: &T, binary: &[u8]) {
    // JSON of a large message may be above the limit: then no node sends it.
    let Ok(json) = codec::encode_json(value) else { return };
    match codec::decode_json::<T>(&json, Limit::Large) {
        Ok(read) => {
            let again = codec::encode(&read).unwrap_or_default();
            assert!(again == binary, "{}: JSON and binary disagree", message_name::<T>());
        }
        Err(error) => {
            assert_eq!(error.to_string(), "", "{}: JSON of its own is refused", message_name::<T>())
        }
    }
}

macro_rules! targets {
    ($($message:ty,)*) => { vec![$(of::<$message>()),*] };
}

/// One target for each message type. `tests/smoke.rs` fails when a node has a call whose messages are not here.
#[must_use]
pub fn targets() -> Vec<Target> {
    [everywhere(), online_cash(), offline_cash(), cheques(), center()].concat()
}

fn everywhere() -> Vec<Target> {
    targets![Fault, Calls, member::About, ListsResponse, Blob<MAX_REVOCATION_LIST_BYTES>,]
}

fn online_cash() -> Vec<Target> {
    targets![
        online::account::EnrolRequest,
        online::account::EnrolResponse,
        online::account::AccountStatus,
        online::account::DepositResponse,
        online::issue::BeginRequest,
        online::issue::BeginResponse,
        online::issue::FinishRequest,
        online::issue::FinishResponse,
        online::issue::RecoverRequest,
        online::request::SignedRequest,
        online::payment::Payment,
        online::deposit::PayResponse,
        online::deposit::CashItem,
        online::deposit::OutcomeRequest,
        online::deposit::OutcomeResponse,
        online::refund::RefundItem,
        online::refund::RefundOutcome,
        online::evidence::Evidence,
        online::keyset::Keyset,
        Bounded<online::keyset::Keyset, 32>,
        online::keyset::PinRequest,
        online::keyset::PinEntry,
        online::keyset::PinsRequest,
        online::keyset::PinsResponse,
        online::drop_box::PutRequest,
        online::drop_box::BoxAccess,
        online::drop_box::BoxMessages,
        Presentment<online::deposit::CashItem>,
        Presented<online::deposit::Outcome>,
        Presentment<online::refund::RefundItem>,
        Presented<online::refund::RefundOutcome>,
        Batch<online::deposit::CashItem>,
        Answers<online::deposit::Outcome>,
        ClearedRequest,
        ClearedResponse,
        online::recovery::CertificateRecovery,
        online::recovery::RecoveredCertificates,
        online::recovery::GenerationsRequest,
        online::recovery::Generations,
        online::recovery::CoinStateRequest,
        online::recovery::CoinState,
        Handed<online::issue::FinishRequest>,
        Handed<offline::withdraw::CommitRequest>,
        Handed<offline::withdraw::FinishRequest>,
    ]
}

fn offline_cash() -> Vec<Target> {
    targets![
        offline::messages::OfflineTerms,
        offline::messages::OfflineRegisterRequest,
        offline::messages::IdentityRequest,
        offline::identity::AttestedIdentity,
        offline::withdraw::BeginRequest,
        offline::withdraw::BeginResponse,
        offline::withdraw::CommitRequest,
        offline::withdraw::CommitResponse,
        offline::withdraw::FinishRequest,
        offline::withdraw::FinishResponse,
        offline::withdraw::RecoverRequest,
        offline::request::SignedRequest,
        offline::pay::Payment,
        offline::carry::Carried,
        offline::messages::DepositRequest,
        offline::messages::DepositResponse,
        offline::messages::ReclaimRequest,
        offline::messages::ReclaimResponse,
        offline::messages::SessionRequest,
        offline::reclaim::AttestedSession,
        offline::messages::SignedExposed,
        offline::messages::ExposedRequest,
        offline::messages::ExposedResponse,
        offline::messages::OfflinePinRequest,
        offline::messages::OfflinePinEntry,
        offline::messages::OfflinePinsRequest,
        offline::messages::OfflinePinsResponse,
        offline::messages::OverdueClaim,
        offline::accusation::Accusation,
        offline::keyset::Keyset,
        Presentment<offline::pay::CashItem>,
        Presented<offline::deposit::Outcome>,
        Presentment<offline::claim::ClaimItem>,
        Presented<offline::messages::ClaimOutcome>,
        Presentment<offline::messages::PartItem>,
        Presented<offline::messages::PartOutcome>,
    ]
}

fn cheques() -> Vec<Target> {
    targets![
        feiqian_cheque::bundle::Bundle,
        cheque::BookRequest,
        cheque::BookResponse,
        cheque::IssueRequest,
        cheque::ChequeResponse,
        cheque::OrderRequest,
        cheque::EndorseRequest,
        cheque::RegisterLine,
        cheque::RegisterResponse,
        cheque::ChequeDeposit,
        cheque::ChequeDepositResponse,
        cheque::VerifyRequest,
        cheque::VerifyResponse,
        cheque::StateRequest,
        cheque::StateResponse,
        cheque::SendRequest,
        cheque::InboxResponse,
        cheque::InboxDelete,
        cheque::CertificateList,
        cheque::CertificateRenew,
        cheque::CertificateRevoke,
        cheque::CertificateQuery,
        cheque::CertificateAnswer,
        Presentment<cheque::ChequeItem>,
        Presented<cheque::ChequeOutcome>,
        transfer::TransferOrder,
        transfer::TransferOutcome,
        transfer::TransferReport,
        Presentment<transfer::TransferItem>,
        Presented<transfer::TransferOutcome>,
        SettledRequest,
    ]
}

fn center() -> Vec<Target> {
    targets![
        member::AdmitRequest,
        member::AdmitResponse,
        member::RegisterRequest,
        member::RegisterResponse,
        member::Directory,
        feiqian_center::EvidenceFinding,
    ]
}

/// Every value of this type that lies somewhere in a JSON document.
#[must_use]
pub fn within<T: DeserializeOwned>(document: &serde_json::Value) -> Vec<T> {
    let mut found: Vec<T> = serde_json::from_value(document.clone()).into_iter().collect();
    match document {
        serde_json::Value::Array(items) => found.extend(items.iter().flat_map(within)),
        serde_json::Value::Object(fields) => found.extend(fields.values().flat_map(within)),
        _ => {}
    }
    found
}
