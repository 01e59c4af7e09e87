//! The spent register: deposits on own accounts, receipts as coins, double spends, releases, hostile values.

use feiqian_bank::audit::Finding;
use feiqian_bank::tables::COIN;
use feiqian_crypto::EncodedPoint;
use feiqian_online_cash::account::DepositResponse;
use feiqian_online_cash::deposit::{CashItem, Outcome, OutcomeRequest, OutcomeResponse};
use feiqian_online_cash::funding::{Funding, Released, received_statement};
use feiqian_online_cash::issue::FinishResponse;
use feiqian_online_cash::payment::Payment;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Bounded, Name};

use crate::world::{Begun, Holder, Node, World, code, minor, pay, possess, released};

async fn deposit(node: &Node, holder: &Holder, item: &CashItem) -> Result<Outcome, Fault> {
    match node.ask(Some(&holder.peer), "/v1/deposit", item).await? {
        DepositResponse::Final(outcome) => Ok(outcome),
        DepositResponse::Pending { .. } => panic!("own coins are final at once"),
    }
}

fn question(item: &CashItem) -> OutcomeRequest {
    OutcomeRequest {
        bank: Name::new("north").unwrap(),
        expires: item.request.request.expires,
        body: item.request.request.body_digest(),
        shares: Bounded::new(item.payment.coins.iter().map(|coin| coin.share).collect()).unwrap(),
    }
}

fn receive(begun: &Begun, item: &CashItem, secret: &feiqian_crypto::Scalar) -> Funding {
    let amount = item.request.request.amount.minor;
    let statement =
        received_statement("north", &begun.offer.session, &item.payment.digest(), amount, &begun.challenges);
    Funding::Received { item: item.clone(), possession: possess(secret, &statement) }
}

#[tokio::test]
async fn a_deposit_on_an_own_account_acts_once() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64, 32]).await;
    let item = pay(&node.request(&alice, 1, 70, 3600), &[(&coins[0], 64), (&coins[1], 6)]);
    let first = deposit(&node, &alice, &item).await.unwrap();
    assert!(matches!(&first, Outcome::Paid(receipt) if receipt.verify(&node.bank.signing_key()).is_ok()));
    assert_eq!(deposit(&node, &alice, &item).await.unwrap(), first);
    assert_eq!(node.balance(&alice).await, "99.74");
    // After the request's expiry the answer is still the same.
    world.at(7200);
    assert_eq!(deposit(&node, &alice, &item).await.unwrap(), first);
    let report = node.assert_sound().await;
    assert_eq!((report.in_circulation(), report.payments), (26, 1));
}

#[tokio::test]
async fn a_double_spend_gives_evidence_that_anyone_can_check() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64]).await;
    for (n, part) in [(1, 20), (2, 30)] {
        let item = pay(&node.request(&alice, n, part, 3600), &[(&coins[0], part)]);
        assert!(matches!(deposit(&node, &alice, &item).await.unwrap(), Outcome::Paid(_)));
    }
    let item = pay(&node.request(&alice, 3, 40, 3600), &[(&coins[0], 40)]);
    let Outcome::DoubleSpent(evidence) = deposit(&node, &alice, &item).await.unwrap() else {
        panic!("taken")
    };
    let finding = evidence.verify(&world.trusted()).unwrap();
    // The larger of the earlier ones is enough.
    assert_eq!(
        (finding.signed.minor, finding.value.minor, finding.statements.len()),
        (minor(70), minor(64), 2)
    );
    assert_eq!(finding.coin, coins[0].id);
    let again = pay(&node.request(&alice, 1, 20, 3600), &[(&coins[0], 20)]);
    assert!(matches!(deposit(&node, &alice, &again).await.unwrap(), Outcome::Paid(_)), "the same payment");
    let again = Payment {
        request: again.payment.request,
        ..pay(&node.request(&alice, 4, 14, 3600), &[(&coins[0], 14)]).payment
    };
    let again = CashItem { request: node.request(&alice, 1, 20, 3600), payment: again };
    assert_eq!(code(deposit(&node, &alice, &again).await), Code::AmountMismatch);
    node.assert_sound().await;
}

#[tokio::test]
async fn two_payments_of_one_coin_at_the_same_moment_pay_once() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64]).await;
    let one = pay(&node.request(&alice, 1, 40, 3600), &[(&coins[0], 40)]);
    let two = pay(&node.request(&alice, 2, 40, 3600), &[(&coins[0], 40)]);
    let (one, two) = tokio::join!(deposit(&node, &alice, &one), deposit(&node, &alice, &two));
    let outcomes = [one.unwrap(), two.unwrap()];
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Paid(_))).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::DoubleSpent(_))).count(), 1);
    node.assert_sound().await;
}

#[tokio::test]
async fn a_request_is_paid_once() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[32, 32]).await;
    let request = node.request(&alice, 1, 32, 3600);
    deposit(&node, &alice, &pay(&request, &[(&coins[0], 32)])).await.unwrap();
    let second = deposit(&node, &alice, &pay(&request, &[(&coins[1], 32)])).await.unwrap();
    assert!(matches!(second, Outcome::Refused(fault) if fault.code == Code::RequestAlreadyPaid));
    node.assert_sound().await;
}

#[tokio::test]
async fn a_received_payment_becomes_coins_once_and_cannot_be_deposited() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64]).await;
    let (request, secret) = node.key_request(5, 48, 3600);
    let item = pay(&request, &[(&coins[0], 48)]);
    let begun = node.begin(None, 2, &[32, 16]).await;
    let finish = begun.finish(receive(&begun, &item, &secret));
    let answer: FinishResponse = node.ask(None, "/v1/issue/finish", &finish).await.unwrap();
    let again: FinishResponse = node.ask(None, "/v1/issue/finish", &finish).await.unwrap();
    assert_eq!(answer, again);
    assert_eq!(begun.pending.finish(&answer.answers).unwrap().len(), 2);

    let second = node.begin(None, 3, &[32, 16]).await;
    let finish = second.finish(receive(&second, &item, &secret));
    assert_eq!(
        code(node.ask::<_, FinishResponse>(None, "/v1/issue/finish", &finish).await),
        Code::RequestAlreadyPaid
    );
    assert_eq!(code(node.ask::<_, FinishResponse>(None, "/v1/issue/finish", &finish).await), Code::Void);
    assert_eq!(code(deposit(&node, &alice, &item).await), Code::WrongRoute);
    // Somebody else's key does not take it.
    let third = node.begin(None, 4, &[32, 16]).await;
    let finish = third.finish(receive(&third, &item, &(secret + secret)));
    assert_eq!(
        code(node.ask::<_, FinishResponse>(None, "/v1/issue/finish", &finish).await),
        Code::PossessionInvalid
    );
    let asked: OutcomeResponse = node.ask(None, "/v1/outcome", &question(&item)).await.unwrap();
    assert!(
        matches!(asked, OutcomeResponse::Paid { receipt, .. } if receipt.presentment == begun.offer.session)
    );
    assert_eq!(node.assert_sound().await.in_circulation(), 64);
}

#[tokio::test]
async fn a_payment_is_released_only_after_expiry_and_then_refused_for_ever() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64, 16]).await;
    let item = pay(&node.request(&alice, 1, 64, 100), &[(&coins[0], 64)]);
    let asked: OutcomeResponse = node.ask(None, "/v1/outcome", &question(&item)).await.unwrap();
    assert_eq!(asked, OutcomeResponse::Open);
    assert_eq!(
        code(node.refresh(2, &[(&coins[0], 64)], &[64], vec![released(&item)]).await),
        Code::NotExpired
    );
    world.at(100);
    node.refresh(3, &[(&coins[0], 64)], &[64], vec![released(&item)]).await.unwrap();
    // Even a clock that turns back does not let it in.
    world.at(0);
    let late = deposit(&node, &alice, &item).await.unwrap();
    assert!(matches!(late, Outcome::Refused(fault) if fault.code == Code::Expired));

    let other = pay(&node.request(&alice, 2, 16, 100), &[(&coins[1], 16)]);
    world.at(100);
    let asked: OutcomeResponse = node.ask(None, "/v1/outcome", &question(&other)).await.unwrap();
    let OutcomeResponse::Expired(statement) = asked else { panic!("{asked:?}") };
    assert_eq!(statement.payment, other.payment.digest());
    statement.verify(&node.bank.signing_key()).unwrap();
    world.at(0);
    let late = deposit(&node, &alice, &other).await.unwrap();
    assert!(matches!(late, Outcome::Refused(fault) if fault.code == Code::Expired));
    let asked: OutcomeResponse = node.ask(None, "/v1/outcome", &question(&other)).await.unwrap();
    assert_eq!(asked, OutcomeResponse::Expired(statement));
    // However many made-up payments are asked for, nothing is stored about them.
    world.at(150);
    for n in [10, 90, 120, 130] {
        let made_up = pay(&node.request(&alice, n, 16, n), &[(&coins[1], 16)]);
        let asked: OutcomeResponse = node.ask(None, "/v1/outcome", &question(&made_up)).await.unwrap();
        assert!(matches!(asked, OutcomeResponse::Expired(_)));
    }
    node.commit(|tx| {
        assert_eq!(tx.select("SELECT count(*) FROM released", &[])?[0].integer(0)?, 1, "of the refresh");
        let marks = tx.select("SELECT until FROM release_mark", &[])?;
        assert_eq!((marks.len(), marks[0].unsigned(0)?), (1, crate::world::NOW + 150));
        Ok(())
    })
    .await;
    // What was redeemed cannot be released.
    world.at(0);
    let paid = pay(&node.request(&alice, 3, 8, 200), &[(&coins[1], 8)]);
    assert!(matches!(deposit(&node, &alice, &paid).await.unwrap(), Outcome::Paid(_)));
    world.at(200);
    assert_eq!(code(node.refresh(4, &[(&coins[1], 8)], &[8], vec![released(&paid)]).await), Code::Conflict);
    node.assert_sound().await;
}

#[tokio::test]
async fn a_refresh_lost_in_a_restart_is_released() {
    let world = World::new();
    let (mut node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64]).await;
    let begun = node.begin(None, 2, &[64]).await;
    let funding = node.refresh_funding(&begun, &[(&coins[0], 64)], vec![]);
    let Funding::Coins(signed) = &funding else { panic!("coins") };
    let lost = Released::Refresh {
        session: begun.offer.session,
        inputs: Bounded::new(signed.inputs.iter().map(|input| input.stated.clone()).collect()).unwrap(),
        challenges: Bounded::new(begun.challenges.clone()).unwrap(),
    };
    world.restart(&mut node).await;
    let fresh = node.refresh(3, &[(&coins[0], 64)], &[32, 32], vec![lost.clone()]).await.unwrap();
    let finish = begun.finish(funding);
    assert_eq!(code(node.ask::<_, FinishResponse>(None, "/v1/issue/finish", &finish).await), Code::Void);
    // An answered one is not.
    let begun = node.begin(None, 4, &[32]).await;
    let funding = node.refresh_funding(&begun, &[(&fresh[0], 32)], vec![]);
    let Funding::Coins(signed) = &funding else { panic!("coins") };
    let answered = Released::Refresh {
        session: begun.offer.session,
        inputs: Bounded::new(signed.inputs.iter().map(|input| input.stated.clone()).collect()).unwrap(),
        challenges: Bounded::new(begun.challenges.clone()).unwrap(),
    };
    node.ask::<_, FinishResponse>(None, "/v1/issue/finish", &begun.finish(funding)).await.unwrap();
    assert_eq!(code(node.refresh(5, &[(&fresh[0], 32)], &[32], vec![answered]).await), Code::Conflict);
    node.assert_sound().await;
}

#[tokio::test]
async fn hostile_values_are_refused_and_change_nothing() {
    let world = World::new();
    let north = world.bank("north", 10).await;
    let south = world.bank("south", 20).await;
    world.publish(&[&north, &south]).await;
    let alice = world.customer(&north, "alice", "100.00").await;
    let boris = world.customer(&south, "boris12", "100.00").await;
    let coins = north.withdraw(&alice, 1, &[64, 32]).await;
    let foreign = south.withdraw(&boris, 1, &[64]).await;
    let request = north.request(&alice, 1, 64, 3600);
    let good = pay(&request, &[(&coins[0], 64)]);
    let broken = |change: &dyn Fn(&mut feiqian_online_cash::payment::PaymentCoin)| {
        let mut item = good.clone();
        let mut shown = item.payment.coins.to_vec();
        change(&mut shown[0]);
        item.payment.coins = Bounded::new(shown).unwrap();
        item
    };
    let listed = |shown: &[usize]| {
        let mut item = good.clone();
        let only = item.payment.coins[0];
        item.payment.coins = Bounded::new(shown.iter().map(|_| only).collect()).unwrap();
        item
    };
    let cases = [
        (broken(&|coin| coin.share.contribution = minor(0)), Code::ContributionInvalid),
        (broken(&|coin| coin.share.contribution = minor(65)), Code::ContributionInvalid),
        (broken(&|coin| coin.share.contribution = minor(63)), Code::AmountMismatch),
        (broken(&|coin| coin.share.coin.key = EncodedPoint([0; 32])), Code::Malformed),
        (broken(&|coin| coin.share.coin.key = EncodedPoint([0xff; 32])), Code::Malformed),
        (broken(&|coin| coin.share.coin.denomination = north.key(128).id), Code::SignatureInvalid),
        // The center may know it, and cannot be asked here: nothing is refused for good.
        (broken(&|coin| coin.share.coin.denomination = crate::world::digest(9)), Code::Unavailable),
        (listed(&[0, 0]), Code::CoinRepeated),
        (pay(&request, &[(&coins[0], 32), (&foreign[0], 32)]), Code::WrongBank),
        (listed(&[]), Code::ContributionInvalid),
        (pay(&north.request(&alice, 2, 64, 3600), &[(&coins[0], 64)]), Code::RequestMismatch),
    ];
    for (index, (mut item, expected)) in cases.into_iter().enumerate() {
        if expected == Code::RequestMismatch {
            item.request = request.clone();
        }
        assert_eq!(code(deposit(&north, &alice, &item).await), expected, "case {index}");
    }
    // Refresh: coins of another bank, the identity as a key, a coin twice.
    assert_eq!(code(north.refresh(20, &[(&foreign[0], 64)], &[64], vec![]).await), Code::DenominationUnknown);
    for (n, contribution, times, expected) in
        [(21, 32, 2, Code::CoinRepeated), (22, 0, 1, Code::ContributionInvalid)]
    {
        let begun = north.begin(None, n, &[64]).await;
        let Funding::Coins(mut funding) = north.refresh_funding(&begun, &[(&coins[0], 64)], vec![]) else {
            panic!("coins")
        };
        let mut input = funding.inputs[0].clone();
        input.stated.contribution = minor(contribution);
        funding.inputs = Bounded::new(vec![input; times]).unwrap();
        let finish = begun.finish(Funding::Coins(funding));
        assert_eq!(code(north.ask::<_, FinishResponse>(None, "/v1/issue/finish", &finish).await), expected);
    }
    let begun = north.begin(None, 23, &[64]).await;
    let Funding::Coins(mut funding) = north.refresh_funding(&begun, &[(&coins[0], 64)], vec![]) else {
        panic!("coins")
    };
    let mut inputs = funding.inputs.to_vec();
    inputs[0].stated.coin.key = EncodedPoint([0; 32]);
    funding.inputs = Bounded::new(inputs).unwrap();
    let finish = begun.finish(Funding::Coins(funding));
    assert_eq!(
        code(north.ask::<_, FinishResponse>(None, "/v1/issue/finish", &finish).await),
        Code::Malformed
    );
    // Expired keys no longer pay, and their owner still refreshes them during grace.
    assert!(matches!(deposit(&north, &alice, &good).await.unwrap(), Outcome::Paid(_)));
    world.at(121 * 86_400);
    let late = pay(&north.request(&alice, 9, 32, 200 * 86_400), &[(&coins[1], 32)]);
    assert_eq!(code(deposit(&north, &alice, &late).await), Code::KeyExpired);
    let _ = north.bank.rotate().await;
    world.publish(&[&north, &south]).await;
    north.refresh(24, &[(&coins[1], 32)], &[32], vec![]).await.unwrap();
    world.at((30 + 90 + 365) * 86_400);
    assert_eq!(north.assert_sound().await.in_circulation(), 32);
}

/// Written through the store, so that the row's own check holds.
async fn set_spent(node: &Node, value: i64, spent: i64) {
    node.commit(move |tx| {
        let sql = format!("SELECT {} FROM coin WHERE amount = ?1", COIN.column_list());
        let mut values = tx.select(&sql, &[value.into()])?[0].0.clone();
        values[4] = spent.into();
        tx.update(&COIN, &values)
    })
    .await;
}

#[tokio::test]
async fn an_audit_names_what_was_changed() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64, 32]).await;
    for (n, coin, amount) in [(1, &coins[0], 20), (2, &coins[0], 10), (3, &coins[1], 32)] {
        let item = pay(&node.request(&alice, n, amount, 3600), &[(coin, amount)]);
        deposit(&node, &alice, &item).await.unwrap();
    }
    node.assert_sound().await;
    // Two statements took from one of the coins, one from the other.
    for (value, spent, found) in [(64, 30, "coin ("), (32, 32, "payment (")] {
        set_spent(&node, value, 5).await;
        let report = node.audit().await;
        let is_it = |finding: &Finding| finding.invariant == 3 && finding.place.starts_with(found);
        assert!(report.findings.iter().any(is_it), "{report:?}");
        set_spent(&node, value, spent).await;
    }
    node.assert_sound().await;
    node.commit(|tx| {
        let rows =
            tx.select(&format!("SELECT {} FROM session", feiqian_bank::tables::SESSION.column_list()), &[])?;
        let mut values = rows[0].0.clone();
        let mut answers = rows[0].blob(10)?.to_vec();
        let last = answers.len() - 40;
        answers[last] ^= 1;
        values[10] = answers.into();
        tx.update(&feiqian_bank::tables::SESSION, &values)
    })
    .await;
    let report = node.audit().await;
    assert!(
        report.findings.iter().any(|finding| finding.detail.contains("do not fit their commitments")),
        "{report:?}"
    );
}

#[tokio::test]
async fn evidence_larger_than_a_message_is_refused_by_its_code_alone() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[32; 200]).await;
    let shares: Vec<_> = coins.iter().map(|coin| (coin, 1)).collect();
    for n in 0..32 {
        let item = pay(&node.request(&alice, n, 200, 3600), &shares);
        assert!(matches!(deposit(&node, &alice, &item).await.unwrap(), Outcome::Paid(_)));
    }
    // 33 statements of 200 coins each.
    let item = pay(&node.request(&alice, 40, 200, 3600), &shares);
    for _ in 0..2 {
        let refused = deposit(&node, &alice, &item).await.unwrap();
        assert!(matches!(refused, Outcome::Refused(fault) if fault.code == Code::DoubleSpent));
    }
    // A statement of few coins does not make the earlier ones smaller.
    let item = pay(&node.request(&alice, 41, 1, 3600), &[(&coins[0], 1)]);
    let refused = deposit(&node, &alice, &item).await.unwrap();
    assert!(matches!(refused, Outcome::Refused(fault) if fault.code == Code::DoubleSpent));
    // What fits is shown.
    let item = pay(&node.request(&alice, 42, 32, 3600), &[(&coins[0], 32)]);
    assert!(matches!(deposit(&node, &alice, &item).await.unwrap(), Outcome::DoubleSpent(_)));
    node.assert_sound().await;
}

#[tokio::test]
async fn evidence_is_kept_once_a_coin() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[8, 4]).await;
    for (n, index, amount) in [(1, 0, 8), (2, 1, 4)] {
        deposit(&node, &alice, &pay(&node.request(&alice, n, amount, 3600), &[(&coins[index], amount)]))
            .await
            .unwrap();
    }
    for (n, index) in [(3, 0), (4, 0), (5, 1), (6, 1), (7, 0)] {
        let item = pay(&node.request(&alice, n, 1, 3600), &[(&coins[index], 1)]);
        assert!(matches!(deposit(&node, &alice, &item).await.unwrap(), Outcome::DoubleSpent(_)));
    }
    let listed = node.command(serde_json::json!({"command": "evidence"})).await.unwrap();
    assert_eq!(listed["evidence"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn an_expired_deposit_is_refused_before_it_is_checked() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[8]).await;
    let mut item = pay(&node.request(&alice, 1, 8, 100), &[(&coins[0], 8)]);
    let mut shown = item.payment.coins.to_vec();
    shown[0].share.coin.key = EncodedPoint([0xff; 32]);
    item.payment.coins = Bounded::new(shown).unwrap();
    assert_eq!(code(deposit(&node, &alice, &item).await), Code::Malformed);
    world.at(100);
    let late = deposit(&node, &alice, &item).await.unwrap();
    assert!(matches!(late, Outcome::Refused(fault) if fault.code == Code::Expired));
}
