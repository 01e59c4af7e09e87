//! Sessions: withdraw, repeats, foreign and expired sessions, restarts, refused funding.

use feiqian_online_cash::funding::Funding;
use feiqian_online_cash::issue::{BeginResponse, FinishResponse, RecoverRequest};
use feiqian_wire::error::{Code, Fault};

use crate::world::{World, code, digest};

#[tokio::test]
async fn a_withdrawal_gives_coins_and_books_them() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64, 32, 4]).await;
    assert_eq!(coins.len(), 3);
    assert_eq!(node.balance(&alice).await, "99.00");
    let report = node.assert_sound().await;
    assert_eq!(report.in_circulation(), 100);
    assert_eq!(report.answered, 1);
}

#[tokio::test]
async fn repeats_get_the_same_answers_and_other_challenges_none() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let begun = node.begin(Some(&alice), 1, &[8, 2]).await;
    let again = node.begin(Some(&alice), 1, &[8, 2]).await;
    assert_eq!(again.offer, begun.offer);
    let other = node.begin_request(1, &[8, 4]);
    let conflict = node.ask::<_, BeginResponse>(Some(&alice.peer), "/v1/account/issue/begin", &other).await;
    assert_eq!(code(conflict), Code::Conflict);

    let request = begun.finish(node.account_funding(&alice, &begun));
    let path = "/v1/account/issue/finish";
    let first: FinishResponse = node.ask(Some(&alice.peer), path, &request).await.unwrap();
    let second: FinishResponse = node.ask(Some(&alice.peer), path, &request).await.unwrap();
    assert_eq!(first, second);
    let mut changed = request.clone();
    let mut challenges = begun.challenges.clone();
    challenges.reverse();
    changed.challenges = challenges.try_into().unwrap();
    assert_eq!(code(node.ask::<_, FinishResponse>(Some(&alice.peer), path, &changed).await), Code::Conflict);
    assert_eq!(node.balance(&alice).await, "99.90");

    let recover = RecoverRequest { request: digest(1) };
    let recovered: BeginResponse =
        node.ask(Some(&alice.peer), "/v1/account/issue/recover", &recover).await.unwrap();
    let BeginResponse::Answered(session) = recovered else { panic!("{recovered:?}") };
    assert_eq!(session.answers, first.answers);
    node.assert_sound().await;
}

#[tokio::test]
async fn a_session_belongs_to_its_caller() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let bobby = world.customer(&node, "bobby12", "50.00").await;
    let begun = node.begin(Some(&alice), 1, &[8]).await;
    let request = begun.finish(node.account_funding(&bobby, &begun));
    let path = "/v1/account/issue/finish";
    assert_eq!(
        code(node.ask::<_, FinishResponse>(Some(&bobby.peer), path, &request).await),
        Code::SessionForeign
    );
    assert_eq!(
        code(node.ask::<_, FinishResponse>(None, "/v1/issue/finish", &request).await),
        Code::SessionForeign
    );
    let recover = RecoverRequest { request: digest(1) };
    assert_eq!(
        code(node.ask::<_, BeginResponse>(None, "/v1/issue/recover", &recover).await),
        Code::SessionForeign
    );
    // Nothing happened to it: its owner finishes it.
    let request = begun.finish(node.account_funding(&alice, &begun));
    node.ask::<_, FinishResponse>(Some(&alice.peer), path, &request).await.unwrap();
    let unknown = RecoverRequest { request: digest(99) };
    assert_eq!(
        code(node.ask::<_, BeginResponse>(None, "/v1/issue/recover", &unknown).await),
        Code::SessionUnknown
    );
}

#[tokio::test]
async fn an_expired_session_is_void_even_when_the_clock_turns_back() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let begun = node.begin(Some(&alice), 1, &[8]).await;
    let request = begun.finish(node.account_funding(&alice, &begun));
    let path = "/v1/account/issue/finish";
    world.at(600);
    assert_eq!(code(node.ask::<_, FinishResponse>(Some(&alice.peer), path, &request).await), Code::Void);
    world.at(0);
    assert_eq!(code(node.ask::<_, FinishResponse>(Some(&alice.peer), path, &request).await), Code::Void);
    assert_eq!(node.balance(&alice).await, "100.00");
    node.assert_sound().await;
}

#[tokio::test]
async fn a_restart_voids_open_sessions_and_keeps_answered_ones() {
    let world = World::new();
    let (mut node, alice) = world.with_customer().await;
    let open = node.begin(Some(&alice), 1, &[8]).await;
    let answered = node.begin(Some(&alice), 2, &[16]).await;
    let request = answered.finish(node.account_funding(&alice, &answered));
    let path = "/v1/account/issue/finish";
    let first: FinishResponse = node.ask(Some(&alice.peer), path, &request).await.unwrap();
    world.restart(&mut node).await;
    let again: FinishResponse = node.ask(Some(&alice.peer), path, &request).await.unwrap();
    assert_eq!(again, first);
    let lost = open.finish(node.account_funding(&alice, &open));
    assert_eq!(code(node.ask::<_, FinishResponse>(Some(&alice.peer), path, &lost).await), Code::Void);
    let begin: BeginResponse =
        node.ask(Some(&alice.peer), "/v1/account/issue/begin", &open.request).await.unwrap();
    assert_eq!(begin, BeginResponse::Void);
    // The keys and the view of the center's log survived: new sessions work.
    assert_eq!(node.withdraw(&alice, 3, &[1]).await.len(), 1);
    node.assert_sound().await;
}

#[tokio::test]
async fn refused_funding_voids_the_session() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let begun = node.begin(Some(&alice), 1, &[1 << 14]).await;
    let request = begun.finish(node.account_funding(&alice, &begun));
    let path = "/v1/account/issue/finish";
    let refused = node.ask::<_, FinishResponse>(Some(&alice.peer), path, &request).await;
    assert_eq!(code(refused), Code::InsufficientFunds);
    node.command(serde_json::json!({"command": "account_fund", "name": "alice", "amount": "1000"}))
        .await
        .unwrap();
    assert_eq!(code(node.ask::<_, FinishResponse>(Some(&alice.peer), path, &request).await), Code::Void);

    // A signature by another key over the right statement.
    let begun = node.begin(Some(&alice), 2, &[8]).await;
    let bobby = world.customer(&node, "bobby12", "0").await;
    let stolen = crate::world::Holder {
        token: alice.token.clone(),
        signing: bobby.signing,
        chain: bobby.chain,
        peer: bobby.peer,
    };
    let request = begun.finish(node.account_funding(&stolen, &begun));
    let refused = node.ask::<_, FinishResponse>(Some(&alice.peer), path, &request).await;
    assert_eq!(code(refused), Code::SignatureInvalid);
    node.assert_sound().await;
}

#[tokio::test]
async fn a_refresh_gives_what_it_takes() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[64, 32]).await;
    // More out than in.
    assert_eq!(code(node.refresh(2, &[(&coins[0], 64)], &[64, 1], vec![]).await), Code::AmountMismatch);
    // More out of a coin than its value.
    assert_eq!(code(node.refresh(3, &[(&coins[1], 33)], &[32, 1], vec![]).await), Code::ContributionInvalid);
    let fresh = node.refresh(4, &[(&coins[0], 60)], &[32, 16, 8, 4], vec![]).await.unwrap();
    assert_eq!(fresh.len(), 4);
    // The rest of the old coin is still good, and no more than the rest.
    assert_eq!(code(node.refresh(5, &[(&coins[0], 5)], &[4, 1], vec![]).await), Code::DoubleSpent);
    node.refresh(6, &[(&coins[0], 4)], &[4], vec![]).await.unwrap();
    let report = node.assert_sound().await;
    assert_eq!(report.in_circulation(), 96);
    let listed = node.command(serde_json::json!({"command": "evidence"})).await.unwrap();
    assert_eq!(listed["evidence"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn open_sessions_are_bounded() {
    let world = World::new();
    let node = world.tuned("north", 10, |config| config.max_open_sessions = 6).await;
    world.publish(&[&node]).await;
    let alice = world.customer(&node, "alice", "100.00").await;
    node.begin(Some(&alice), 1, &[1, 1, 1, 1]).await;
    let path = "/v1/account/issue/begin";
    let busy =
        node.ask::<_, BeginResponse>(Some(&alice.peer), path, &node.begin_request(2, &[1, 1, 1])).await;
    assert_eq!(code(busy), Code::Busy);
    // Account holders' sessions never make way.
    let busy =
        node.ask::<_, BeginResponse>(None, "/v1/issue/begin", &node.begin_request(3, &[1, 1, 1])).await;
    assert_eq!(code(busy), Code::Busy);
    world.at(600);
    node.begin(Some(&alice), 4, &[1, 1, 1, 1, 1, 1]).await;
}

#[tokio::test]
async fn anonymous_sessions_have_half_of_the_room_and_the_oldest_make_way() {
    let world = World::new();
    let node = world.tuned("north", 10, |config| config.max_open_sessions = 6).await;
    world.publish(&[&node]).await;
    let alice = world.customer(&node, "alice", "100.00").await;
    let coins = node.withdraw(&alice, 1, &[1, 1]).await;
    let first = node.begin(None, 2, &[1]).await;
    let second = node.begin(None, 3, &[1, 1]).await;
    node.begin(None, 4, &[1]).await;
    let open = |n| RecoverRequest { request: digest(n) };
    let recovered: BeginResponse = node.ask(None, "/v1/issue/recover", &open(2)).await.unwrap();
    assert_eq!(recovered, BeginResponse::Void, "the oldest made way");
    node.commit(|tx| {
        let void = tx.select("SELECT commitments FROM session WHERE state = 2", &[])?;
        assert_eq!((void.len(), void[0].blob(0)?.len() < 32), (1, true), "its commitments are not kept");
        Ok(())
    })
    .await;
    let finish = first.finish(node.refresh_funding(&first, &[(&coins[0], 1)], vec![]));
    assert_eq!(code(node.ask::<_, FinishResponse>(None, "/v1/issue/finish", &finish).await), Code::Void);
    let finish = second.finish(node.refresh_funding(&second, &[(&coins[0], 1), (&coins[1], 1)], vec![]));
    node.ask::<_, FinishResponse>(None, "/v1/issue/finish", &finish).await.unwrap();
    // However many anonymous sessions there are, account holders have their half.
    for n in 10..20 {
        node.begin(None, n, &[1, 1]).await;
    }
    node.begin(Some(&alice), 30, &[1, 1, 1]).await;
    let more = node.ask::<_, BeginResponse>(None, "/v1/issue/begin", &node.begin_request(31, &[1; 4])).await;
    assert_eq!(code(more), Code::Busy, "more than the whole half");
    node.assert_sound().await;
}

#[tokio::test]
async fn keys_issue_only_in_their_time_and_only_when_pinned() {
    let world = World::new();
    let node = world.bank("north", 10).await;
    let shown: feiqian_wire::Bounded<feiqian_online_cash::keyset::Keyset, 32> =
        node.ask(None, "/v1/keysets", &()).await.unwrap();
    assert!(shown.is_empty(), "a keyset that is not pinned is shown to nobody");
    let id = node.bank.own_keysets()[0].keys[0].id();
    let request = feiqian_online_cash::issue::BeginRequest {
        request: digest(1),
        outputs: feiqian_online_cash::issue::outputs_of(&[id]).unwrap(),
    };
    let unpinned = node.ask::<_, BeginResponse>(None, "/v1/issue/begin", &request).await;
    assert_eq!(code(unpinned), Code::KeysetNotPinned);
    world.publish(&[&node]).await;
    world.at(31 * 86_400);
    let late = node.ask::<_, BeginResponse>(None, "/v1/issue/begin", &request).await;
    assert_eq!(code(late), Code::KeyExpired);
    // The next epoch is made by itself.
    let _ = node.bank.rotate().await;
    let epochs: Vec<u64> = node.bank.own_keysets().iter().map(|keyset| keyset.epoch.0).collect();
    assert_eq!(epochs, [0, 1]);
}

#[tokio::test]
async fn funding_of_another_kind_of_caller_is_refused() {
    let world = World::new();
    let (node, alice) = world.with_customer().await;
    let coins = node.withdraw(&alice, 1, &[8]).await;
    let begun = node.begin(Some(&alice), 2, &[8]).await;
    let funding: Funding = node.refresh_funding(&begun, &[(&coins[0], 8)], vec![]);
    let refused: Result<FinishResponse, Fault> =
        node.ask(Some(&alice.peer), "/v1/account/issue/finish", &begun.finish(funding)).await;
    assert_eq!(code(refused), Code::SessionForeign);
    node.assert_sound().await;
}
