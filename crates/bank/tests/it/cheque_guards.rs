//! What a bank refuses: forged and altered documents, strangers, wrong mandates, damage in its own store.

use feiqian_cheque::messages::{ChequeDeposit, ChequeOutcome, ChequeResponse, Document, IssueRequest};
use feiqian_cheque::{Mandate, ReturnCode, Signer, State, draw};
use feiqian_clearing::presentment::{ItemKind, Presentment};
use feiqian_ledger::store::Value;
use feiqian_wire::Text;
use feiqian_wire::error::{Code, Fault};
use serde_json::{Value as Json, json};

use crate::cheque_world::{Banks, DAY, file, payee, today};
use crate::world::{code, digest, minor};

type Twist = fn(&mut Json);

fn twisted(document: &Document, twist: Twist) -> Document {
    let mut json: Json = serde_json::from_slice(document).unwrap();
    twist(&mut json);
    Document::new(serde_json::to_vec(&json).unwrap()).unwrap()
}

fn appended(document: &Document, bytes: &[u8]) -> Document {
    Document::new([document.to_vec(), bytes.to_vec()].concat()).unwrap()
}

fn header(json: &mut Json, block: usize, alg: &str) {
    let encoded = json["blocks"][block]["protected"].as_str().unwrap().to_owned();
    // "Ed25519" in base64url depends on where it stands; the header begins with the algorithm.
    assert!(encoded.starts_with("eyJhbGciOiJFZDI1NTE5Iiwi"), "{encoded}");
    let rest = &encoded["eyJhbGciOiJFZDI1NTE5Iiwi".len()..];
    let alg = match alg {
        "none" => "eyJhbGciOiJub25lIiwgICAi",
        _ => "eyJhbGciOiJIUzI1NiIsICAi",
    };
    json["blocks"][block]["protected"] = json!(format!("{alg}{rest}"));
}

/// Each breaks one rule of a document that ends in a deposit: blocks are cheque, countersign, deposit.
const TWISTS: [(&str, Twist); 8] = [
    ("alg none", |it| header(it, 0, "none")),
    ("HS256", |it| header(it, 1, "HS256")),
    ("a signature", |it| {
        let other = it["blocks"][1]["signature"].clone();
        it["blocks"][2]["signature"] = other;
    }),
    ("blocks swapped", |it| it["blocks"].as_array_mut().unwrap().swap(1, 2)),
    ("a gap", |it| drop(it["blocks"].as_array_mut().unwrap().remove(1))),
    ("repeated", |it| {
        let last = it["blocks"][2].clone();
        it["blocks"].as_array_mut().unwrap().push(last);
    }),
    ("an unknown member", |it| it["extra"] = json!(1)),
    ("no blocks", |it| it["blocks"] = json!([])),
];

#[tokio::test]
async fn broken_documents_change_nothing_on_either_side() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    let other = banks.cheque(2, 1_000).await;
    let slip = banks.slip(&cheque, "south", &banks.bob);
    let good = banks.presented(&slip);
    let mut files: Vec<(&str, Document)> =
        TWISTS.iter().map(|(name, twist)| (*name, twisted(&slip.cheque, *twist))).collect();
    files.push(("trailing bytes", appended(&slip.cheque, b" ")));
    files.push(("not canonical", appended(&Document::new(b" ".to_vec()).unwrap(), &slip.cheque)));
    let moved = {
        let mut json: Json = serde_json::from_slice(&slip.cheque).unwrap();
        let theirs: Json = serde_json::from_slice(&other).unwrap();
        json["blocks"][0] = theirs["blocks"][0].clone();
        Document::new(serde_json::to_vec(&json).unwrap()).unwrap()
    };
    files.push(("moved to another cheque", moved));
    for (name, broken) in files {
        assert_ne!(broken, slip.cheque, "{name}");
        let deposit = ChequeDeposit { cheque: broken.clone() };
        let fault = banks.deposit(&deposit).await.unwrap_err();
        assert!(fault.is_definitive(), "{name}: {fault}");
        let mut presentment = good.clone();
        presentment.item.cheque = broken;
        let outcome = banks.present(&presentment).await.unwrap();
        let same = matches!(&outcome, ChequeOutcome::Returned(_, file) if *file == presentment.item.cheque);
        assert!(same || matches!(outcome, ChequeOutcome::Refused(_)), "{name}: {outcome:?}");
        assert_eq!(banks.present(&presentment).await.unwrap(), outcome, "{name}: once and for all");
    }
    assert_eq!(banks.state(1).await, State::Issued);
    assert_eq!(banks.balances().await, ("100.00".into(), "0.00".into()));
    assert!(matches!(banks.present(&good).await.unwrap(), ChequeOutcome::Paid(_)), "the good one still is");
    banks.sound().await;
}

#[tokio::test]
async fn a_presentment_must_be_that_of_its_slip() {
    let banks = Banks::new().await;
    let cheque = banks.cheque(1, 1_000).await;
    let good = banks.presented(&banks.slip(&cheque, "south", &banks.bob));
    let refused = async |presentment: &Presentment<_>| match banks.present(presentment).await.unwrap() {
        ChequeOutcome::Refused(fault) => fault.code,
        other => panic!("{other:?}"),
    };
    let mut other = good.clone();
    other.amount.minor = minor(2_000);
    assert_eq!(refused(&other).await, Code::AmountMismatch);
    let mut other = good.clone();
    other.id = digest(1);
    assert_eq!(refused(&other).await, Code::Malformed);
    // West presents Bob's file for Carol.
    let item = good.item.clone();
    let at = item.digest().unwrap();
    let account = Text::new(banks.carol.token.clone()).unwrap();
    let west = feiqian_wire::Name::new("west").unwrap();
    let stolen = Presentment::new(west, account, good.amount, ItemKind::Cheque, &at, item);
    assert_eq!(refused(&stolen).await, Code::Forbidden);
    // Carol's bank does not take it either, nor does Bob's from Carol.
    let slip = ChequeDeposit { cheque: good.item.cheque.clone() };
    let path = "/v1/account/cheque/deposit";
    assert!(banks.west.ask::<_, Json>(Some(&banks.carol.peer), path, &slip).await.is_err());
    let asked = banks.north.ask::<_, Json>(Some(&banks.alice.peer), "/v1/pay/cheque", &good).await;
    assert_eq!(code(asked), Code::Forbidden);
    assert_eq!(banks.state(1).await, State::Issued);
    banks.sound().await;
}

#[tokio::test]
async fn what_is_issued_is_the_accounts_own_within_mandate_and_limit() {
    let banks = Banks::tuned(|config| {
        config.cheques.cheque_minor = 5_000;
        config.cheques.day_minor = 6_000;
    })
    .await;
    let order = |amount| banks.order(payee(&banks.south, &banks.bob), amount, today(), false);
    let large = banks.drawn(1, order(5_001), false).await;
    assert_eq!(code(banks.issue(&large).await), Code::LimitExceeded);
    // The notice says something else.
    let mut request = banks.drawn(2, order(5_000), false).await;
    request.notice.amount.minor = minor(4_000);
    assert_eq!(code(banks.issue(&request).await), Code::RequestInvalid);
    request.notice.amount.minor = minor(5_000);
    let first = banks.issue(&request).await.unwrap();
    // Another cheque on the same leaf.
    let mut twice = banks.drawn(2, order(100), false).await;
    assert_eq!(twice.notice.number, request.notice.number);
    assert_eq!(code(banks.issue(&twice).await), Code::Conflict);
    twice.cheque = request.cheque.clone();
    assert_eq!(banks.issue(&twice).await.unwrap(), first);
    let stranger =
        banks.south.ask::<_, ChequeResponse>(Some(&banks.bob.peer), "/v1/account/cheque/issue", &request);
    assert!(stranger.await.is_err());
    banks.collected(&first).await;
    let second = banks.issue(&banks.drawn(3, order(2_000), false).await).await.unwrap();
    assert_eq!(banks.bounced(&second).await.0, ReturnCode::OverLimit);
    let date = feiqian_cheque::Day::of(feiqian_wire::Timestamp::new(crate::world::NOW - 250 * DAY));
    let stale = banks.order(payee(&banks.south, &banks.bob), 100, date, false);
    assert_eq!(code(banks.issue(&banks.drawn(4, stale, false).await).await), Code::Expired);
    banks.sound().await;
}

#[tokio::test]
async fn joint_accounts_need_all_their_drawers() {
    let banks = Banks::new().await;
    let dora = banks.world.customer(&banks.north, "dora-of-north", "0").await;
    banks.at(61).await;
    let mandate =
        json!({"command": "mandate", "name": "alice", "required": 2, "drawers": ["alice", "dora-of-north"]});
    banks.north.command(mandate).await.unwrap();
    let order = banks.order(payee(&banks.south, &banks.bob), 1_000, today(), false);
    let alone = banks.drawn(1, order.clone(), false).await;
    assert_eq!(code(banks.issue(&alone).await), Code::RequestInvalid, "another mandate than the account's");
    let tokens = [&banks.alice, &dora].map(|it| Text::new(it.token.clone()).unwrap());
    let joint = Mandate::joint(2, tokens.to_vec()).unwrap();
    let order = feiqian_cheque::Order { mandate: joint, ..order };
    let half = banks.drawn(2, order.clone(), false).await;
    assert_eq!(code(banks.issue(&half).await), Code::SignatureInvalid, "one of two");
    let book = banks.book(2, 1).await.unwrap().allotment;
    let (root, now) = (banks.world.trusted(), banks.now());
    let chains = [&banks.alice, &dora].map(|it| it.chain.to_chain().unwrap());
    let first = Signer::new(&banks.alice.signing, &chains[0], &root, now).unwrap();
    let second = Signer::new(&dora.signing, &chains[1], &root, now).unwrap();
    let drawn = draw(book.tear_out(book.first).unwrap(), order, &first).unwrap().join(&second).unwrap();
    let notice = drawn.notice();
    let request = IssueRequest { cheque: file(&drawn.into_bundle()), notice, certify: false };
    // The other drawer hands it in.
    let answer: Result<ChequeResponse, Fault> =
        banks.north.ask(Some(&dora.peer), "/v1/account/cheque/issue", &request).await;
    banks.collected(&answer.unwrap().cheque).await;
    banks.sound().await;
}

#[tokio::test]
async fn an_audit_names_what_was_changed_about_cheques() {
    // Table, column, and a value that the row does not have.
    for (table, column, value) in [
        ("cheque", "amount", Value::Integer(999)),
        ("cheque", "state", Value::Integer(3)),
        ("cheque_presentment", "amount", Value::Integer(999)),
        ("cheque_presentment", "state", Value::Integer(0)),
        ("presentment", "state", Value::Integer(1)),
        ("presentment", "amount", Value::Integer(999)),
    ] {
        let banks = Banks::new().await;
        let cheque = banks.cheque(1, 1_000).await;
        banks.collected(&cheque).await;
        let node = if table == "presentment" { &banks.south } else { &banks.north };
        let new = value.clone();
        node.commit(move |tx| {
            let table = feiqian_bank::tables::TABLES.iter().find(|it| it.name == table).unwrap();
            let sql = format!("SELECT {} FROM {}", table.column_list(), table.name);
            let mut row = tx.select(&sql, &[])?.remove(0);
            let index = table.columns.iter().position(|it| it.name == column).unwrap();
            assert_ne!(row.0[index], new);
            row.0[index] = new.clone();
            tx.update(table, &row.0)
        })
        .await;
        let findings = node.audit().await.findings;
        assert!(!findings.is_empty(), "{table}.{column} changed unseen");
    }
}
