//! Messages of calls that the small world of the seeds never needs, put together of what it showed: a wallet's restore,
//! several payments at once, several processes of one bank, a claim that is late, a bank that came from a backup.

use feiqian_clearing::cleared::{Cleared, ClearedRequest, ClearedResponse, Cursor};
use feiqian_clearing::presentment::{Answer, Answers, Batch, ItemKind, Presented, Presentment};
use feiqian_crypto::share_tree::Opening;
use feiqian_crypto::{Digest, EncodedPoint, EncodedScalar, Id16, Scalar};
use feiqian_money::{Amount, Currency, Minor};
use feiqian_offline_cash as offline;
use feiqian_online_cash as online;
use feiqian_pki::KeyPair;
use feiqian_wire::{Blob, Bounded, Code, Fault, Limit, Name, Text, Timestamp, codec};
use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::collect::Seen;
use crate::messages::{target_name, within};

/// The messages that were seen of a target, decoded.
fn all<T: DeserializeOwned>(seen: &Seen, target: &str) -> Vec<T> {
    let kept = seen.messages.get(target).into_iter().flatten();
    kept.filter_map(|bytes| codec::decode(bytes, Limit::Large).ok()).collect()
}

/// The first value of a type that lies in any message.
fn lying<T: DeserializeOwned>(documents: &[Value]) -> Option<T> {
    documents.iter().find_map(|document| within(document).into_iter().next())
}

fn keep<T: Serialize>(seen: &mut Seen, target: &str, message: &T) {
    if let Ok(bytes) = codec::encode(message) {
        seen.keep_even_large(target, &bytes);
    }
}

/// Adds what can be made of what was seen. `documents`: all that was seen, as JSON.
pub(crate) fn make(seen: &mut Seen, documents: &[Value]) {
    batches(seen);
    restores(seen, documents);
    handed(seen);
    cleared(seen);
    late(seen, documents);
}

fn batches(seen: &mut Seen) {
    let items: Vec<Presentment<online::deposit::CashItem>> = all(seen, "Presentment-CashItem");
    for count in [1, 2] {
        if let Ok(items) = Bounded::collect(items.iter().take(count).cloned()) {
            keep(seen, "Batch-CashItem", &Batch { items });
        }
    }
    let presented: Vec<Presented<online::deposit::Outcome>> = all(seen, "Presented-Outcome");
    let failed = Answer::Failed(Fault::new(Code::Busy, "busy").hint("later"));
    let answers = presented.into_iter().take(2).map(Answer::Presented).chain([failed, Answer::Alone]);
    if let Ok(answers) = Bounded::collect(answers) {
        keep(seen, "Answers-Outcome", &Answers::<online::deposit::Outcome> { answers });
    }
}

fn restores(seen: &mut Seen, documents: &[Value]) {
    use online::recovery::{
        CertificateRecovery, CoinState, CoinStateRequest, Generations, GenerationsRequest, OpenRefund,
        RecoveredCertificates,
    };
    let (key, mut rng) = (KeyPair::from_seed(&[5; 32]), ChaCha12Rng::seed_from_u64(5));
    CertificateRecovery::sign("first", &key)
        .iter()
        .for_each(|asked| keep(seen, "CertificateRecovery", asked));
    for add in [None, Some(Id16([7; 16]))] {
        keep(seen, "GenerationsRequest", &GenerationsRequest { add });
    }
    for count in [0_u8, 1, 3] {
        if let Ok(known) = Bounded::collect((0..count).map(|number| Id16([number; 16]))) {
            keep(seen, "Generations", &Generations { known });
        }
    }
    let secret = Scalar::from(77_u64);
    let coin = online::coin::CoinId { denomination: Digest([3; 32]), key: online::coin::public_key(&secret) };
    CoinStateRequest::prove("first", coin, &secret, &mut rng)
        .iter()
        .for_each(|asked| keep(seen, "CoinStateRequest", asked));
    let (spent, amount) = (Minor::new(12).unwrap_or(Minor::ZERO), Minor::new(5).unwrap_or(Minor::ZERO));
    let refund = |coins: usize| {
        let coins = Bounded::new(vec![coin; coins]).ok()?;
        Some(OpenRefund { payment: Digest([9; 32]), amount, coins })
    };
    for refunds in [vec![], vec![refund(1)], vec![refund(2), refund(3)]] {
        if let Ok(refunds) = Bounded::collect(refunds.into_iter().flatten()) {
            keep(seen, "CoinState", &CoinState { spent, refunds });
        }
    }
    let chain = lying::<online::account::EnrolResponse>(documents);
    for (transport, signing) in
        [(None, None), chain.map(|response| (response.transport, response.signing)).unzip()]
    {
        let Ok(account) = Text::new("ab".repeat(16)) else { continue };
        let answer = RecoveredCertificates {
            account,
            transport_key: Digest([1; 32]),
            signing_key: Digest([2; 32]),
            transport,
            signing,
        };
        keep(seen, "RecoveredCertificates", &answer);
    }
}

/// A call from one process of a bank to another, with a bearer and without.
fn handed(seen: &mut Seen) {
    fn of<T: Serialize + DeserializeOwned>(seen: &mut Seen, request: &str, message: &str) {
        let target = target_name(&format!("Handed<{message}>"));
        let bearer =
            json!({"token": "ab".repeat(16), "transport_key": vec![3_u8; 32], "serial": vec![5_u8; 16]});
        for asked in all::<T>(seen, request).iter().take(2) {
            for bearer in [Value::Null, bearer.clone()] {
                let document = json!({"bearer": bearer, "request": asked});
                let handed: Option<feiqian_bank::Handed<T>> = serde_json::from_value(document).ok();
                handed.iter().for_each(|handed| keep(seen, &target, handed));
            }
        }
    }
    of::<online::issue::FinishRequest>(seen, "FinishRequest", "FinishRequest");
    of::<offline::withdraw::CommitRequest>(seen, "offline_cash-CommitRequest", "offline_cash::CommitRequest");
    of::<offline::withdraw::FinishRequest>(seen, "offline_cash-FinishRequest", "offline_cash::FinishRequest");
}

fn cleared(seen: &mut Seen) {
    let cursor = Cursor { changed: Timestamp::new(1_800_000_000), id: Digest([4; 32]) };
    for after in [None, Some(cursor)] {
        keep(seen, "ClearedRequest", &ClearedRequest { since: Timestamp::new(1_700_000_000), after });
    }
    let items: Vec<Presentment<online::deposit::CashItem>> = all(seen, "Presentment-CashItem");
    let outcomes: Vec<Presented<online::deposit::Outcome>> = all(seen, "Presented-Outcome");
    let listed = items.iter().zip(&outcomes).filter_map(|(item, answer)| {
        Some(Cleared {
            cursor,
            kind: ItemKind::Payment,
            collecting: item.collecting_bank.clone(),
            issuing: Name::new("first").ok(),
            amount: item.amount,
            presentment: Blob::new(codec::encode(item).ok()?).ok()?,
            outcome: Some(Blob::new(codec::encode(&answer.outcome).ok()?).ok()?),
        })
    });
    let listed: Vec<Cleared> = listed.take(2).collect();
    for count in 0..=listed.len() {
        if let Ok(items) = Bounded::collect(listed.iter().take(count).cloned()) {
            keep(seen, "ClearedResponse", &ClearedResponse { items });
        }
    }
}

/// What comes of offline coins after weeks.
fn late(seen: &mut Seen, documents: &[Value]) {
    let (Ok(bank), Ok(account)) = (Name::new("first"), Text::new("ab".repeat(16))) else { return };
    let origin =
        offline::withdraw::Origin { bank: bank.clone(), account, session: Digest([6; 32]), index: 1 };
    let key = KeyPair::from_seed(&[8; 32]);
    let identity = lying::<offline::identity::AttestedIdentity>(documents);
    let chain = lying::<online::keyset::PinEntry>(documents);
    let chain = chain.map(|entry| offline::signed::WireChain(entry.signer.0));
    let Some(chain) = chain else { return };
    let (commitment, nu) = (EncodedPoint([0; 32]), EncodedScalar([1; 32]));
    if let Some(identity) = identity {
        let at = Timestamp::new(1_800_000_000);
        let session = offline::reclaim::AttestedSession::attest(
            origin,
            Digest([7; 32]),
            (commitment, nu),
            identity,
            at,
            (&key, chain.clone()),
        );
        session.iter().for_each(|session| keep(seen, "offline_cash-AttestedSession", session));
    }
    let scalar = |number: u64| EncodedScalar::from(Scalar::from(number));
    let opening = lying::<Opening>(documents).unwrap_or(Opening {
        r: scalar(1),
        identity_secret: scalar(2),
        nu: scalar(3),
    });
    let statement = offline::accusation::NonAnswer {
        bank: bank.clone(),
        key: Digest([1; 32]),
        pinned_at: Timestamp::new(1_700_000_000),
        coin: Digest([2; 32]),
        opening,
        asked_at: Timestamp::new(1_800_000_000),
        decided_at: Timestamp::new(1_800_600_000),
    };
    let Ok(statement) = offline::accusation::SignedNonAnswer::sign(statement, &key, chain) else { return };
    let Ok(node) = feiqian_crypto::share_tree::Node::new(3) else { return };
    let terms = offline::deposit::ClaimTerms {
        issuing_bank: bank,
        message: Digest([2; 32]),
        previous: Digest([3; 32]),
        node,
        challenge: scalar(4),
        payment: Digest([5; 32]),
    };
    let amount = Amount::new(Minor::new(16).unwrap_or(Minor::ZERO), Currency::CNY);
    let overdue = offline::messages::OverdueClaim { presentment: Digest([6; 32]), terms, amount, statement };
    keep(seen, "offline_cash-OverdueClaim", &overdue);
    let unanswered = offline::messages::ClaimOutcome::Unanswered(overdue.statement);
    let presented = Presented { id: Digest([6; 32]), outcome: unanswered };
    keep(seen, "Presented-offline_cash-ClaimOutcome", &presented);
}
