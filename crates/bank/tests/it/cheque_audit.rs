//! Every value in every table of cheques and transfers is held by another: change one behind the bank's back, with
//! row checks that fit, and the audit finds it.

use feiqian_cheque::StopReason;
use feiqian_cheque::messages::{Action, SendRequest};
use feiqian_clearing::remittance::{TransferOrder, TransferOutcome, TransferTerms};
use feiqian_ledger::store::{Row, StoreError, StoreExt, Table, Tx, Value};
use feiqian_money::{Amount, Currency};
use feiqian_wire::{Name, Text};

use crate::cheque_world::Banks;
use crate::world::{Node, digest, minor};

/// What nothing else in the same store determines: times, digests of what is not kept, what only another bank or the
/// certificate itself says.
const FREE: [(&str, &str); 24] = [
    ("cheque_book", "at"),
    ("cheque_order", "action"),
    ("cheque_order", "at"),
    ("cheque_presentment", "file"),
    ("cheque_box", "received"),
    ("certificate", "signing"),
    ("certificate", "not_before"),
    ("certificate", "not_after"),
    // Its first certificate is held by the fingerprint, the authority's own by the root's signature.
    ("certificate", "chain"),
    ("revoked", "at"),
    ("revoked", "reason"),
    ("transfer_order", "at"),
    ("account_statement", "at"),
    ("presentment", "bank"),
    ("presentment", "expires"),
    ("presentment", "created"),
    ("presentment", "tried"),
    // Of a cheque that came back: nothing is booked for it, and it did not count as paid on any day.
    ("cheque_presentment", "at"),
    // Documents: every block bears a signature of its own, which is checked by whoever is given the file. Here they
    // are held by the id and the deposit that they must contain.
    ("cheque", "document"),
    ("cheque_presentment", "outcome"),
    ("presentment", "body"),
    ("presentment", "outcome"),
    // The order's signature, likewise.
    ("transfer_order", "body"),
    // A received transfer bears the sending bank's number.
    ("transfer_order", "sequence"),
];

fn order(banks: &Banks, n: u64, to_bank: &str, to: &str, amount: u64) -> TransferOrder {
    let terms = TransferTerms {
        id: digest(n),
        bank: Name::new("north").unwrap(),
        account: Text::new(banks.alice.token.clone()).unwrap(),
        to_bank: Name::new(to_bank).unwrap(),
        to_account: Text::new(to).unwrap(),
        amount: Amount::new(minor(amount), Currency::CNY),
        memo: Text::new("rent").unwrap(),
    };
    terms.sign(&banks.alice.signing).unwrap()
}

/// A row of every kind: settled, unwound, bounced, certified, stopped, on their way; transfers sent, returned, inside.
async fn busy() -> Banks {
    let banks = Banks::new().await;
    banks.world.connect(&banks.north, &banks.south).await;
    let settled = banks.cheque(1, 1_000).await;
    let presentment = banks.collected(&settled).await;
    banks.settle(presentment, true).await;
    banks.cheque(2, 500).await;
    let certified = banks.certify(2).await.unwrap();
    let unwound = banks.collected(&certified).await;
    banks.settle(unwound, false).await;
    let poor = banks.cheque(3, 90_000).await;
    banks.bounced(&poor).await;
    let waiting = banks.cheque(4, 700).await;
    banks.collected(&waiting).await;
    banks.cheque(5, 800).await;
    banks.order_on(50, 5, Action::Stop(StopReason::Cust)).await.unwrap();
    let sent = banks.cheque(6, 900).await;
    let account = Text::new(banks.bob.token.clone()).unwrap();
    let request = SendRequest { account, cheque: sent };
    let () = banks.south.ask(Some(&banks.bob.peer), "/v1/account/cheque/send", &request).await.unwrap();
    let dora = banks.world.customer(&banks.north, "dora", "0").await;
    for (n, bank, to, booked) in [
        (60, "south", banks.bob.token.as_str(), true),
        (61, "south", "0123456789abcdef0123456789abcdef", false),
        (62, "north", dora.token.as_str(), true),
    ] {
        let order = order(&banks, n, bank, to, 300);
        let outcome: TransferOutcome =
            banks.north.ask(Some(&banks.alice.peer), "/v1/account/transfer", &order).await.unwrap();
        assert_eq!(outcome == TransferOutcome::Booked, booked);
    }
    let statement = serde_json::json!({"command": "statement", "name": "alice"});
    banks.north.command(statement).await.unwrap();
    banks.sound().await;
    banks
}

fn changed(value: &Value) -> Option<Value> {
    match value {
        Value::Integer(number) => Some(Value::Integer(number ^ 1)),
        Value::Text(text) => {
            let mut bytes = text.clone().into_bytes();
            *bytes.last_mut()? ^= 1;
            String::from_utf8(bytes).ok().map(Value::Text)
        }
        Value::Blob(bytes) if !bytes.is_empty() => {
            let mut bytes = bytes.clone();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            Some(Value::Blob(bytes))
        }
        _ => None,
    }
}

async fn rows_of(node: &Node, table: &'static Table) -> Vec<Row> {
    let sql = format!("SELECT {} FROM {}", table.column_list(), table.name);
    node.store.read(move |tx: &mut dyn Tx| tx.select(&sql, &[])).await.unwrap()
}

async fn try_commit(
    node: &Node,
    work: impl Fn(&mut dyn Tx) -> Result<(), StoreError> + Send + 'static,
) -> bool {
    node.store.commit("test.tamper", work).await.is_ok()
}

/// Changes every column of every row of a table, one at a time, and puts it back; answers how many were tried.
pub(crate) async fn spoil(node: &Node, table: &'static Table, free: &[(&str, &str)]) -> usize {
    let rows = rows_of(node, table).await;
    let (mut tried, mut unseen) = (0, std::collections::BTreeSet::new());
    for row in rows {
        for (index, column) in table.columns.iter().enumerate().skip(table.key) {
            let mut values = row.0.clone();
            let Some(value) = changed(&values[index]) else { continue };
            if free.contains(&(table.name, column.name)) {
                continue;
            }
            values[index] = value;
            // What the table's own constraints refuse cannot be stored at all.
            if !try_commit(node, move |tx| tx.update(table, &values)).await {
                continue;
            }
            if node.audit().await.findings.is_empty() {
                unseen.insert(column.name);
            }
            let before = row.0.clone();
            assert!(try_commit(node, move |tx: &mut dyn Tx| tx.update(table, &before)).await);
            tried += 1;
        }
    }
    assert!(unseen.is_empty(), "{}: {unseen:?} changed unseen", table.name);
    tried
}

#[tokio::test]
async fn one_changed_value_of_a_cheque_or_transfer_is_found() {
    let banks = busy().await;
    // The table's own constraints refuse most changes of a book.
    let tables = [
        ("cheque_book", 1),
        ("cheque", 40),
        ("cheque_order", 1),
        ("cheque_presentment", 15),
        ("presentment", 6),
        ("cheque_box", 1),
        ("certificate", 3),
        ("transfer_order", 10),
        ("account_statement", 4),
    ];
    for (name, least) in tables {
        let table = feiqian_bank::tables::TABLES.iter().find(|table| table.name == name).unwrap();
        let tried = spoil(&banks.north, table, &FREE).await + spoil(&banks.south, table, &FREE).await;
        assert!(tried >= least, "only {tried} changes were tried in {name}");
    }
    banks.sound().await;
}

/// Two rows exchange a document: each is good, but not here.
#[tokio::test]
async fn exchanged_documents_are_found() {
    let banks = busy().await;
    for (node, name, column) in [
        (&banks.north, "cheque", "document"),
        (&banks.north, "cheque", "notice"),
        (&banks.north, "cheque_presentment", "outcome"),
        (&banks.south, "presentment", "body"),
        (&banks.north, "transfer_order", "body"),
    ] {
        let table: &'static Table =
            feiqian_bank::tables::TABLES.iter().find(|table| table.name == name).unwrap();
        let index = table.columns.iter().position(|it| it.name == column).unwrap();
        let rows = rows_of(node, table).await;
        let mut used = rows.iter().filter(|row| row.0[index] != Value::Null);
        let (one, other) = (used.next().unwrap(), used.next().unwrap());
        let mut values = one.0.clone();
        values[index] = other.0[index].clone();
        assert!(try_commit(node, move |tx| tx.update(table, &values)).await);
        let findings = node.audit().await.findings;
        assert!(findings.iter().any(|finding| finding.place.contains(name)), "{name}.{column}");
        let before = one.0.clone();
        assert!(try_commit(node, move |tx: &mut dyn Tx| tx.update(table, &before)).await);
    }
    banks.sound().await;
}

#[tokio::test]
async fn a_missing_row_of_a_cheque_or_transfer_is_found() {
    let banks = busy().await;
    for name in ["cheque_book", "cheque", "cheque_presentment", "transfer_order", "presentment"] {
        let table: &'static Table =
            feiqian_bank::tables::TABLES.iter().find(|table| table.name == name).unwrap();
        for node in [&banks.north, &banks.south] {
            let rows = rows_of(node, table).await;
            for row in rows {
                let key: Vec<Value> = row.0.iter().take(table.key).cloned().collect();
                assert!(try_commit(node, move |tx: &mut dyn Tx| tx.delete(table, &key)).await);
                let findings = node.audit().await.findings;
                let silent = is_bounced(table, &row.0);
                assert!(!findings.is_empty() || silent, "{name} {:?} is missing unseen", row.0.first());
                let before = row.0.clone();
                assert!(try_commit(node, move |tx: &mut dyn Tx| tx.insert(table, &before)).await);
            }
        }
    }
    banks.sound().await;
}

/// A deposit that came back leaves no other trace at the same bank: comparing it with the center finds its loss.
fn is_bounced(table: &Table, row: &[Value]) -> bool {
    let state = table.columns.iter().position(|column| column.name == "state");
    match (table.name, state.map(|index| &row[index])) {
        ("cheque_presentment", Some(Value::Integer(0))) | ("presentment", Some(Value::Integer(2))) => true,
        ("transfer_order", _) => row.last() != Some(&Value::Null),
        _ => false,
    }
}

#[tokio::test]
async fn a_booking_that_no_row_calls_for_is_found() {
    use feiqian_bank::chart::{Post, id};
    use feiqian_crypto::Id16;
    use feiqian_ledger::book::{Transfer, transfer};
    let banks = busy().await;
    let alice: Id16 = banks.alice.token.parse().unwrap();
    let extra = Transfer::posted(Id16([7; 16]), alice, id(Post::Settlement), minor(1), 41);
    let book = move |tx: &mut dyn Tx| {
        transfer(tx, std::slice::from_ref(&extra), 1_800_000_000)
            .map(drop)
            .map_err(|error| StoreError::Corrupt(error.to_string()))
    };
    assert!(try_commit(&banks.north, book).await);
    let findings = banks.north.audit().await.findings;
    assert!(findings.iter().any(|finding| finding.place.contains("ledger_transfer")), "{findings:#?}");
}
