//! Refunds on both sides of the center, and their claims.

use feiqian_clearing::presentment::{ItemKind, Presented, Presentment};
use feiqian_crypto::possession::Proof;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::coin::Coin;
use feiqian_online_cash::deposit::{CashItem, Outcome, Receipt};
use feiqian_online_cash::funding::{Funding, refunded_statement};
use feiqian_online_cash::issue::FinishResponse;
use feiqian_online_cash::refund::{RefundItem, RefundOrder, RefundOutcome};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Name, Text};

use crate::clearing::two_banks;
use crate::world::{Begun, Holder, Node, World, code, digest, minor, pay, rng};

async fn paid(node: &Node, holder: &Holder, item: &CashItem) -> Receipt {
    match node.ask(Some(&holder.peer), "/v1/deposit", item).await.unwrap() {
        DepositResponse::Final(Outcome::Paid(receipt)) => receipt,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn order(holder: &Holder, receipt: &Receipt, n: u64, amount: u64) -> RefundItem {
    let mut part = receipt.amount;
    part.minor = minor(amount);
    let order =
        RefundOrder::sign(digest(n), receipt.bank.clone(), receipt.payment, part, &holder.signing).unwrap();
    RefundItem { order, receipt: receipt.clone(), payee: holder.chain.clone() }
}

async fn refund(node: &Node, holder: &Holder, item: &RefundItem) -> Result<RefundOutcome, Fault> {
    node.ask(Some(&holder.peer), "/v1/refund", item).await
}

fn possess_all(coins: &[&Coin], statement: &feiqian_crypto::Digest) -> Proof {
    let secrets: Vec<_> = coins
        .iter()
        .map(|coin| feiqian_crypto::EncodedScalar(*coin.secret_bytes()).decode().unwrap())
        .collect();
    let keys: Vec<_> = coins.iter().map(|coin| coin.id.key).collect();
    feiqian_crypto::possession::prove(&secrets, &keys, statement, &mut rng(6)).unwrap()
}

fn claim(begun: &Begun, payment: feiqian_crypto::Digest, amount: u64, coins: &[&Coin]) -> Funding {
    let statement =
        refunded_statement("north", &begun.offer.session, &payment, minor(amount), &begun.challenges);
    Funding::Refunded {
        payment,
        amount: minor(amount),
        coins: Bounded::new(coins.iter().map(|coin| coin.id).collect()).unwrap(),
        possession: possess_all(coins, &statement),
    }
}

async fn take(
    node: &Node,
    n: u64,
    payment: feiqian_crypto::Digest,
    values: &[u64],
    coins: &[&Coin],
) -> Result<(), Fault> {
    let begun = node.begin(None, n, values).await;
    let finish = begun.finish(claim(&begun, payment, values.iter().sum(), coins));
    let answer: FinishResponse = node.ask(None, "/v1/issue/finish", &finish).await?;
    begun.pending.finish(&answer.answers).unwrap();
    Ok(())
}

fn refused(outcome: RefundOutcome) -> Code {
    match outcome {
        RefundOutcome::Refused(fault) => fault.code,
        RefundOutcome::Booked => panic!("booked"),
    }
}

#[tokio::test]
async fn refunds_add_up_to_the_payment_and_claims_to_the_refunds() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64, 32]).await;
    let both = [&coins[0], &coins[1]];
    let receipt =
        paid(&node, &alice, &pay(&node.request(&alice, 1, 96, 3600), &[(&coins[0], 64), (&coins[1], 32)]))
            .await;
    assert_eq!(code(take(&node, 10, receipt.payment, &[16], &both).await), Code::RefundUnknown);
    let first = order(&alice, &receipt, 1, 40);
    assert_eq!(refund(&node, &alice, &first).await.unwrap(), RefundOutcome::Booked);
    assert_eq!(refund(&node, &alice, &first).await.unwrap(), RefundOutcome::Booked);
    assert_eq!(
        refused(refund(&node, &alice, &order(&alice, &receipt, 1, 41)).await.unwrap()),
        Code::Conflict
    );
    assert_eq!(
        refused(refund(&node, &alice, &order(&alice, &receipt, 2, 57)).await.unwrap()),
        Code::RefundExceeded
    );
    assert_eq!(refund(&node, &alice, &order(&alice, &receipt, 3, 8)).await.unwrap(), RefundOutcome::Booked);
    assert_eq!(node.balance(&alice).await, "99.52");

    take(&node, 11, receipt.payment, &[32], &both).await.unwrap();
    assert_eq!(code(take(&node, 12, receipt.payment, &[16, 1], &both).await), Code::RefundExceeded);
    assert_eq!(
        code(take(&node, 13, receipt.payment, &[16], &[&coins[1], &coins[0]]).await),
        Code::PossessionInvalid
    );
    assert_eq!(code(take(&node, 14, receipt.payment, &[16], &[&coins[0]]).await), Code::PossessionInvalid);
    take(&node, 15, receipt.payment, &[16], &both).await.unwrap();
    let report = node.assert_sound().await;
    assert_eq!((report.in_circulation(), report.refunds_open), (48, 0));
}

#[tokio::test]
async fn an_order_needs_its_payee_and_its_receipt() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let bobby = world.customer(&node, "bobby12", "50.00").await;
    let coins = node.withdraw(&alice, 1, &[64]).await;
    let receipt = paid(&node, &alice, &pay(&node.request(&alice, 1, 64, 3600), &[(&coins[0], 64)])).await;
    assert_eq!(code(refund(&node, &bobby, &order(&bobby, &receipt, 1, 10)).await), Code::WrongRoute);
    assert_eq!(code(refund(&node, &alice, &order(&bobby, &receipt, 1, 10)).await), Code::SignatureInvalid);
    let mut forged = order(&alice, &receipt, 1, 10);
    forged.receipt.amount.minor = minor(6400);
    assert_eq!(code(refund(&node, &alice, &forged).await), Code::SignatureInvalid);
    assert_eq!(code(refund(&node, &alice, &order(&alice, &receipt, 1, 65)).await), Code::RefundExceeded);
    node.assert_sound().await;
}

#[tokio::test]
async fn a_refund_passes_through_the_center_and_voids_when_refused() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let receipt = paid(&south, &merry, &pay(&south.request(&merry, 1, 64, 3600), &[(&coins[0], 64)])).await;
    *south.line.lose.lock().unwrap() = 1;
    let item = order(&merry, &receipt, 1, 40);
    assert_eq!(code(refund(&south, &merry, &item).await), Code::Unavailable);
    assert_eq!(south.balance(&merry).await, "0.24");
    assert_eq!(refund(&south, &merry, &item).await.unwrap(), RefundOutcome::Booked);
    assert_eq!(refund(&south, &merry, &item).await.unwrap(), RefundOutcome::Booked);
    assert_eq!(code(refund(&south, &merry, &order(&merry, &receipt, 1, 39)).await), Code::Conflict);
    assert_eq!(code(refund(&south, &merry, &order(&merry, &receipt, 2, 30)).await), Code::InsufficientFunds);
    south
        .command(serde_json::json!({"command": "account_fund", "name": "merry12", "amount": "1"}))
        .await
        .unwrap();
    // The issuing bank refuses what exceeds the payment; the reserve is given back.
    assert_eq!(
        refused(refund(&south, &merry, &order(&merry, &receipt, 3, 30)).await.unwrap()),
        Code::RefundExceeded
    );
    assert_eq!(south.balance(&merry).await, "1.24");
    take(&north, 10, receipt.payment, &[32, 8], &[&coins[0]]).await.unwrap();
    assert_eq!(north.assert_sound().await.in_circulation(), 40);
    south.assert_sound().await;
}

#[tokio::test]
async fn a_refused_refund_is_never_booked() {
    let world = World::new();
    let (north, south, alice, merry) = two_banks(&world).await;
    world.connect(&south, &north).await;
    let coins = north.withdraw(&alice, 1, &[64]).await;
    let receipt = paid(&south, &merry, &pay(&south.request(&merry, 1, 64, 3600), &[(&coins[0], 64)])).await;
    let present = async |item: &RefundItem| {
        let item = Presentment::new(
            Name::new("south").unwrap(),
            Text::new(merry.token.clone()).unwrap(),
            item.order.amount,
            ItemKind::Refund,
            &item.order.digest(),
            item.clone(),
        );
        let answer: Presented<RefundOutcome> =
            north.ask(Some(&world.center), "/v1/pay/refund", &item).await.unwrap();
        answer.outcome
    };
    let late = 200 * 365 * 86_400;
    // The booking waits to be written; in the meantime the payee's certificate ends.
    let item = order(&merry, &receipt, 1, 10);
    north.store.hold("bank.pay.refund");
    let (first, second) = tokio::join!(present(&item), async {
        north.store.someone_waits().await;
        world.at(late);
        let second = present(&item).await;
        north.store.let_go();
        second
    });
    assert_eq!(refused(second), Code::CertificateInvalid);
    assert_eq!(refused(first), Code::CertificateInvalid);
    world.at(0);
    assert_eq!(refused(present(&item).await), Code::CertificateInvalid);

    // The refusal waits; in the meantime the refund is booked.
    let item = order(&merry, &receipt, 2, 10);
    north.store.hold("bank.pay.refused");
    world.at(late);
    let (first, second) = tokio::join!(present(&item), async {
        north.store.someone_waits().await;
        world.at(0);
        let second = present(&item).await;
        north.store.let_go();
        second
    });
    assert_eq!((first, second), (RefundOutcome::Booked, RefundOutcome::Booked));
    assert_eq!(north.assert_sound().await.refunds_open, 10);
}
