//! Remittances: between banks and inside one, returned, numbered, reported, and the statements they leave.

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_clearing::remittance::{
    TransferItem, TransferOrder, TransferOutcome, TransferReport, TransferReturn, TransferTerms,
};
use feiqian_ledger::store::{StoreExt, Tx};
use feiqian_money::{Amount, Currency};
use feiqian_node::Shutdown;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Name, Text, U64};
use serde_json::json;

use crate::cheque_world::Banks;
use crate::world::{Holder, code, digest, minor};

pub(crate) fn order(banks: &Banks, n: u64, to_bank: &str, to: &str, amount: u64) -> TransferOrder {
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

pub(crate) async fn send(banks: &Banks, order: &TransferOrder) -> Result<TransferOutcome, Fault> {
    banks.north.ask(Some(&banks.alice.peer), "/v1/account/transfer", order).await
}

async fn report(node: &crate::world::Node, holder: &Holder) -> TransferReport {
    node.ask(Some(&holder.peer), "/v1/account/transfers", &()).await.unwrap()
}

#[tokio::test]
async fn a_remittance_is_booked_once_and_reported_to_both() {
    let banks = Banks::new().await;
    let rent = order(&banks, 1, "south", &banks.bob.token, 3_000);
    assert_eq!(code(send(&banks, &rent).await), Code::Unavailable, "the line is cut");
    assert_eq!(banks.balances().await, ("70.00".into(), "0.00".into()), "reserved");
    banks.sound().await;
    banks.world.connect(&banks.north, &banks.south).await;
    *banks.north.line.lose.lock().unwrap() = 1;
    assert!(!banks.north.bank.drain_outbox(&Shutdown::new()).await.unwrap());
    assert_eq!(banks.balances().await, ("70.00".into(), "30.00".into()));
    for _ in 0..2 {
        assert_eq!(send(&banks, &rent).await.unwrap(), TransferOutcome::Booked);
    }
    assert_eq!(banks.balances().await, ("70.00".into(), "30.00".into()));
    let mut other = order(&banks, 1, "south", &banks.bob.token, 3_001);
    assert_eq!(code(send(&banks, &other).await), Code::Conflict, "one id, one transfer");
    other.terms.amount.minor = minor(3_000);
    other.terms.memo = Text::new("gift").unwrap();
    assert_eq!(code(send(&banks, &other).await), Code::SignatureInvalid);
    let poor = order(&banks, 2, "south", &banks.bob.token, 7_001);
    assert_eq!(code(send(&banks, &poor).await), Code::InsufficientFunds);
    for (node, holder, incoming) in [(&banks.north, &banks.alice, false), (&banks.south, &banks.bob, true)] {
        let report = report(node, holder).await;
        let [line] = report.lines.to_vec().try_into().unwrap();
        let line: feiqian_clearing::remittance::TransferLine = line;
        assert_eq!(
            (line.incoming, line.sequence, line.outcome),
            (incoming, U64(1), Some(TransferOutcome::Booked))
        );
        assert_eq!(line.terms, rent.terms);
    }
    banks.sound().await;
}

#[tokio::test]
async fn an_unknown_beneficiary_is_returned_with_a_code() {
    let banks = Banks::new().await;
    banks.world.connect(&banks.north, &banks.south).await;
    let lost = order(&banks, 1, "south", "0123456789abcdef0123456789abcdef", 3_000);
    let unknown = TransferOutcome::Returned(TransferReturn::AccountUnknown);
    for _ in 0..2 {
        assert_eq!(send(&banks, &lost).await.unwrap(), unknown);
    }
    banks.south.command(json!({"command": "account_close", "name": "bob"})).await.unwrap();
    let closed = order(&banks, 2, "south", &banks.bob.token, 3_000);
    let outcome = send(&banks, &closed).await.unwrap();
    assert_eq!(outcome, TransferOutcome::Returned(TransferReturn::AccountClosed));
    let here = order(&banks, 3, "north", "nobody", 3_000);
    assert_eq!(send(&banks, &here).await.unwrap(), unknown);
    assert_eq!(banks.north.balance(&banks.alice).await, "100.00");
    let report = report(&banks.north, &banks.alice).await;
    let numbers: Vec<u64> = report.lines.iter().map(|line| line.sequence.0).collect();
    assert_eq!(
        {
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            sorted
        },
        [0, 1, 2]
    );
    banks.sound().await;
}

#[tokio::test]
async fn the_receiving_bank_believes_nobody() {
    let banks = Banks::new().await;
    let rent = order(&banks, 1, "south", &banks.bob.token, 3_000);
    let chain = banks.alice.chain.0.clone();
    let present = |item: TransferItem| {
        let terms = item.order.terms.clone();
        let digest = terms.digest();
        Presentment::new(terms.bank, terms.account, terms.amount, ItemKind::Transfer, &digest, item)
    };
    let ask = async |presentment: &Presentment<TransferItem>| {
        let answer: Presented<TransferOutcome> =
            banks.south.ask(Some(&banks.world.center), "/v1/pay/transfer", presentment).await.unwrap();
        answer.outcome
    };
    let returned = TransferOutcome::Returned;
    // Not signed by the bank of north.
    let key = &banks.alice.signing;
    let forged = TransferItem::sign(rent.clone(), chain, U64(1), banks.now(), key).unwrap();
    let (path, item) = ("/v1/pay/transfer", present(forged.clone()));
    let cut = banks.south.ask::<_, Presented<TransferOutcome>>(Some(&banks.world.center), path, &item);
    assert_eq!(code(cut.await), Code::Unavailable, "the key may be newer than what is known here");
    banks.world.news(&banks.south);
    assert_eq!(ask(&present(forged.clone())).await, returned(TransferReturn::SignatureInvalid));
    let mut other = forged.clone();
    other.payer = banks.bob.chain.0.clone();
    assert_eq!(ask(&present(other)).await, returned(TransferReturn::CertInvalid));
    let mut other = present(forged);
    other.amount.minor = minor(1);
    assert_eq!(ask(&other).await, returned(TransferReturn::Technical));
    assert_eq!(banks.balances().await.1, "0.00");
    banks.sound().await;
}

#[tokio::test]
async fn statements_chain_and_agree_with_the_journal() {
    let banks = Banks::new().await;
    let statement = || banks.north.command(json!({"command": "statement", "name": "alice"}));
    let first = statement().await.unwrap();
    assert_eq!((&first["opening"], &first["closing"]), (&json!("0.00"), &json!("100.00")));
    assert_eq!(statement().await.unwrap(), first, "nothing was posted since");
    let dora = banks.world.customer(&banks.north, "dora-of-north", "0").await;
    let plain = order(&banks, 1, "north", &dora.token, 1_000);
    for _ in 0..2 {
        assert_eq!(send(&banks, &plain).await.unwrap(), TransferOutcome::Booked);
    }
    // A reserve moves nothing yet.
    banks.cheque(1, 500).await;
    banks.certify(1).await.unwrap();
    let second = statement().await.unwrap();
    assert_eq!(
        (&second["number"], &second["opening"], &second["closing"]),
        (&json!(2), &first["closing"], &json!("90.00"))
    );
    let line = &second["lines"][0];
    assert_eq!(
        (&line["event"], &line["side"], &line["amount"], &line["counterpart"]),
        (&json!("transfer"), &json!("debit"), &json!("10.00"), &json!(dora.token))
    );
    let again = banks.north.command(json!({"command": "statement", "name": "alice", "number": 1})).await;
    assert_eq!(again.unwrap(), first);
    let cheques = banks.north.command(json!({"command": "cheques"})).await.unwrap();
    assert_eq!(
        (&cheques["cheques"][0]["name"], &cheques["cheques"][0]["state"]),
        (&json!("alice"), &json!("CERTIFIED"))
    );
    banks.sound().await;
    banks
        .north
        .commit(|tx| {
            use feiqian_ledger::store::Value;
            let table =
                feiqian_bank::tables::TABLES.iter().find(|table| table.name == "account_statement").unwrap();
            let sql = format!("SELECT {} FROM account_statement WHERE number = 2", table.column_list());
            let mut row = tx.select(&sql, &[])?.remove(0);
            row.0[5] = Value::Integer(9_001);
            tx.update(table, &row.0)
        })
        .await;
    let findings = banks.north.audit().await.findings;
    assert!(findings.iter().any(|finding| finding.place.contains("account_statement")), "{findings:#?}");
}

async fn outbox(banks: &Banks) -> u64 {
    let count = |tx: &mut dyn Tx| tx.select("SELECT count(*) FROM presentment", &[])?[0].unsigned(0);
    banks.north.store.read(count).await.unwrap()
}

/// The archive answers for what the outbox has forgotten.
#[tokio::test]
async fn a_delivered_transfer_leaves_the_outbox_and_is_answered_as_before() {
    const DAY: u64 = 86_400;
    let mut banks = Banks::tuned(|config| config.keep_seconds = DAY).await;
    banks.world.connect(&banks.north, &banks.south).await;
    let rent = order(&banks, 1, "south", &banks.bob.token, 3_000);
    let lost = order(&banks, 2, "south", "0123456789abcdef0123456789abcdef", 500);
    let unknown = TransferOutcome::Returned(TransferReturn::AccountUnknown);
    let outcomes = [(rent, TransferOutcome::Booked), (lost, unknown)];
    for (order, outcome) in &outcomes {
        assert_eq!(send(&banks, order).await.unwrap(), *outcome);
    }
    for after in [false, true] {
        banks.at(DAY + 100).await;
        *banks.north.store.plan.lock().unwrap() = Some(("bank.outbox.prune", after));
        let _dies = banks.north.bank.tend().await;
        assert!(banks.north.store.plan.lock().unwrap().is_none());
        assert_eq!(outbox(&banks).await, if after { 0 } else { 2 });
        banks.sound().await;
        banks.world.restart(&mut banks.north).await;
    }
    for (order, outcome) in &outcomes {
        assert_eq!(send(&banks, order).await.unwrap(), *outcome);
    }
    assert_eq!((outbox(&banks).await, banks.balances().await), (0, ("70.00".into(), "30.00".into())));
    banks.sound().await;
}
