//! Identities and withdrawals: what is registered, what is debited, what repeats, what dies with a restart.

use feiqian_crypto::share_tree::Node as TreeNode;
use feiqian_offline_cash::identity::AttestedIdentity;
use feiqian_offline_cash::messages::{OfflineTerms, ReclaimRequest, ReclaimResponse, SessionRequest};
use feiqian_offline_cash::reclaim::{AttestedSession, ChainClaim};
use feiqian_offline_cash::withdraw::{BeginRequest, BeginResponse, FinishResponse, RecoverRequest, restore};
use feiqian_wire::error::{Code, Fault};

use crate::offline_world::{OffWorld, Person, Stored, cut, settled, sums, tune, with_collateral};
use crate::world::code;

const FINISH: &str = "/v1/account/offline/finish";
const BEGIN: &str = "/v1/account/offline/begin";

#[tokio::test]
async fn an_identity_is_registered_once_and_its_collateral_moves() {
    let (mut off, north) = OffWorld::one(with_collateral).await;
    let alice = off.holder(&north, "alice", "1.00").await;
    let request = off.registration(&north, &alice).await;
    let (peer, path) = (alice.holder.peer.clone(), "/v1/account/offline/register");
    let register = |request| north.ask::<_, AttestedIdentity>(Some(&peer), path, request);
    // Without an identity nothing is drawn.
    let begin = off.begin_request(&north, &[8]);
    let begun: Result<BeginResponse, Fault> = north.ask(Some(&alice.holder.peer), BEGIN, &begin).await;
    assert_eq!(code(begun), Code::IdentityUnknown);
    // The center refuses: the collateral is back, and the next attempt is free.
    *off.clearing.refuse.lock().unwrap() = true;
    assert_eq!(code(register(&request).await), Code::Conflict);
    assert_eq!(north.balance(&alice.holder).await, "1.00");
    *off.clearing.refuse.lock().unwrap() = false;
    let attested = register(&request).await.unwrap();
    assert_eq!(north.balance(&alice.holder).await, "0.95");
    // A repeat is the same, with other content a conflict.
    assert_eq!(register(&request).await.unwrap(), attested);
    assert_eq!(north.balance(&alice.holder).await, "0.95");
    let mut mallory = off.holder(&north, "mallory", "0").await;
    let foreign = off.registration(&north, &mallory).await;
    assert_eq!(code(register(&foreign).await), Code::Conflict);
    // Another account cannot take the identity, nor certify a collateral it did not pay.
    mallory.secret = alice.seed.identity("north", &alice.holder.token).unwrap();
    let stolen = off.registration(&north, &mallory).await;
    let asked: Result<AttestedIdentity, Fault> =
        north.ask(Some(&mallory.holder.peer), "/v1/account/offline/register", &stolen).await;
    assert!(matches!(code(asked), Code::Conflict | Code::InsufficientFunds));
    let terms: OfflineTerms =
        north.ask(Some(&alice.holder.peer), "/v1/account/offline/terms", &()).await.unwrap();
    assert_eq!((terms.identity, terms.closed), (Some(attested), false));
    north.assert_sound().await;
}

#[tokio::test]
async fn a_withdrawal_debits_once_repeats_for_ever_and_restores() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let peer = Some(&alice.holder.peer);
    let values = [8, 8, 4, 0, 0];
    let request = off.begin_request(&north, &values);
    let (pending, finish) = off.pend(&north, &alice, &request, &values).await.unwrap();
    let answer: FinishResponse = north.ask(peer, FINISH, &finish).await.unwrap();
    assert_eq!(north.balance(&alice.holder).await, "0.80");
    let coins = pending.finish(&answer).unwrap();
    // The same again gets the same; other challenges are a conflict.
    let again: FinishResponse = north.ask(peer, FINISH, &finish).await.unwrap();
    assert_eq!(again, answer);
    let mut changed = finish.clone();
    let mut challenges = changed.challenges.to_vec();
    challenges.swap(0, 1);
    changed.challenges = feiqian_wire::Bounded::new(challenges).unwrap();
    assert_eq!(code::<FinishResponse>(north.ask(peer, FINISH, &changed).await), Code::Conflict);
    // The words bring the coins back.
    let recovered: BeginResponse = north
        .ask(peer, "/v1/account/offline/recover", &RecoverRequest { request: request.request })
        .await
        .unwrap();
    let BeginResponse::Answered(session) = recovered else { panic!("not answered: {recovered:?}") };
    let keys: Vec<_> = values.iter().map(|value| off.key(&north, *value)).collect();
    let keys: Vec<_> = keys.iter().collect();
    let restored = restore(&alice.customer(), &keys, &session).unwrap();
    let messages: Vec<_> = restored.iter().map(|coin| *coin.message()).collect();
    assert_eq!(messages, coins.iter().map(|coin| *coin.tree.message()).collect::<Vec<_>>());
    assert_eq!(north.balance(&alice.holder).await, "0.80");
    let report = north.assert_sound().await;
    assert_eq!(report.offline.issued, 20);
}

#[tokio::test]
async fn caps_and_funds_bound_what_is_drawn_and_a_refused_session_is_void() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    off.withdraw(&north, &alice, &[16, 16, 16]).await.unwrap();
    assert_eq!(code(off.withdraw(&north, &alice, &[16, 1]).await.map(|_| ())), Code::LimitExceeded);
    off.withdraw(&north, &alice, &[16]).await.unwrap();
    assert_eq!(code(off.withdraw(&north, &alice, &[0; 9]).await.map(|_| ())), Code::LimitExceeded);
    off.withdraw(&north, &alice, &[0; 8]).await.unwrap();
    let poor = off.person(&north, "poor", "0.10").await;
    let request = off.begin_request(&north, &[16]);
    let (_, finish) = off.pend(&north, &poor, &request, &[16]).await.unwrap();
    let refused: Result<FinishResponse, Fault> = north.ask(Some(&poor.holder.peer), FINISH, &finish).await;
    assert_eq!(code(refused), Code::InsufficientFunds);
    let again: Result<FinishResponse, Fault> = north.ask(Some(&poor.holder.peer), FINISH, &finish).await;
    assert_eq!(code(again), Code::Void);
    // Nobody else goes on with a session.
    let request = off.begin_request(&north, &[8]);
    let (_, finish) = off.pend(&north, &poor, &request, &[8]).await.unwrap();
    let foreign: Result<FinishResponse, Fault> = north.ask(Some(&alice.holder.peer), FINISH, &finish).await;
    assert_eq!(code(foreign), Code::SessionForeign);
    north.assert_sound().await;
}

#[tokio::test]
async fn a_restart_voids_open_sessions_and_keeps_answers() {
    let (mut off, mut north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let done = off.begin_request(&north, &[8]);
    let (_, finished) = off.pend(&north, &alice, &done, &[8]).await.unwrap();
    let answer: FinishResponse = north.ask(Some(&alice.holder.peer), FINISH, &finished).await.unwrap();
    let request = off.begin_request(&north, &[8]);
    let (_, finish) = off.pend(&north, &alice, &request, &[8]).await.unwrap();
    off.world.restart(&mut north).await;
    let lost: Result<FinishResponse, Fault> = north.ask(Some(&alice.holder.peer), FINISH, &finish).await;
    assert_eq!(code(lost), Code::Void);
    let begun: BeginResponse = north.ask(Some(&alice.holder.peer), BEGIN, &request).await.unwrap();
    assert_eq!(begun, BeginResponse::Void);
    let again: FinishResponse = north.ask(Some(&alice.holder.peer), FINISH, &finished).await.unwrap();
    assert_eq!(again, answer);
    assert_eq!(north.balance(&alice.holder).await, "0.92");
    // The keys were read again: new coins come.
    off.withdraw(&north, &alice, &[4]).await.unwrap();
    north.assert_sound().await;
}

#[tokio::test]
async fn a_crash_around_the_debit_leaves_all_or_nothing() {
    for after in [false, true] {
        let (mut off, mut north) = OffWorld::one(tune).await;
        let alice = off.person(&north, "alice", "1.00").await;
        let request = off.begin_request(&north, &[8]);
        let (_, finish) = off.pend(&north, &alice, &request, &[8]).await.unwrap();
        *north.store.plan.lock().unwrap() = Some(("bank.offline.finish", after));
        let died: Result<FinishResponse, Fault> = north.ask(Some(&alice.holder.peer), FINISH, &finish).await;
        assert_eq!(code(died), Code::Unavailable);
        off.world.restart(&mut north).await;
        let again: Result<FinishResponse, Fault> = north.ask(Some(&alice.holder.peer), FINISH, &finish).await;
        let (paid, left) = if after { (true, "0.92") } else { (false, "1.00") };
        assert_eq!(again.is_ok(), paid, "{again:?}");
        assert_eq!(north.balance(&alice.holder).await, left);
        north.assert_sound().await;
    }
}

async fn reclaim(
    off: &mut OffWorld,
    north: &crate::world::Node,
    person: &crate::offline_world::Person,
    coin: &Stored,
    nodes: &[TreeNode],
) -> (ReclaimRequest, Result<ReclaimResponse, Fault>) {
    let withdrawn = feiqian_offline_cash::withdraw::Coin {
        origin: coin.origin.clone(),
        key: coin.key.id,
        tree: coin.read(),
    };
    let claim =
        withdrawn.claim(&person.customer(), &coin.key, nodes, &person.holder.signing, &mut off.rng).unwrap();
    let request = ReclaimRequest::Withdrawn(claim);
    let answer = north.ask(Some(&person.holder.peer), "/v1/account/offline/reclaim", &request).await;
    (request, answer)
}

#[tokio::test]
async fn what_was_never_deposited_comes_back_and_a_deposit_beats_the_claim() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let shop = off.holder(&north, "the-shop", "0").await;
    let coins = off.withdraw(&north, &alice, &[16]).await.unwrap();
    let (paid, _) = cut(coins[0].open(), &[2]);
    let item = off.pay(&north, &shop.holder, paid);
    let root = [TreeNode::ROOT];
    assert_eq!(code(reclaim(&mut off, &north, &alice, &coins[0], &root).await.1), Code::NotExpired);
    off.world.at(3_000);
    let (request, filed) = reclaim(&mut off, &north, &alice, &coins[0], &root).await;
    assert_eq!(filed.unwrap().paid, None);
    let (_, other) = reclaim(&mut off, &north, &alice, &coins[0], &[TreeNode::new(2).unwrap()]).await;
    assert_eq!(code(other), Code::Conflict);
    // Deposits are still taken, and beat the claim.
    assert_eq!(sums(&settled(&north, &shop.holder, &item).await), (4, 0));
    let _ = north.bank.tend().await;
    off.world.at(4_000);
    let _ = north.bank.tend().await;
    let decided: ReclaimResponse =
        north.ask(Some(&alice.holder.peer), "/v1/account/offline/reclaim", &request).await.unwrap();
    assert_eq!(decided.paid.map(feiqian_money::Minor::value), Some(12));
    assert_eq!(north.balance(&alice.holder).await, "0.96");
    // From then on the coin is closed.
    let late = cut(coins[0].open(), &[1]).1;
    assert!(late.len() > 1);
    let report = north.assert_sound().await;
    assert_eq!((report.offline.issued, report.offline.redeemed, report.offline.reclaimed), (16, 4, 12));
}

#[tokio::test]
async fn received_value_is_claimed_with_its_chain_and_the_longer_chain_wins() {
    let (mut off, north) = OffWorld::one(tune).await;
    let alice = off.person(&north, "alice", "1.00").await;
    let bob = off.person(&north, "bob", "1.00").await;
    let coin = off.withdraw(&north, &alice, &[16]).await.unwrap().remove(0);
    let blank = off.withdraw(&north, &bob, &[0]).await.unwrap().remove(0);
    let (half, _) = cut(coin.open(), &[3]);
    let holding = off.hand(&north, half.into_iter().next().unwrap(), &blank);
    off.world.at(3_000);
    // Alice claims all of the coin, Bob what he was given.
    let (alices, filed) = reclaim(&mut off, &north, &alice, &coin, &[TreeNode::ROOT]).await;
    assert_eq!(filed.unwrap().paid, None);
    let (_, alone) = reclaim(&mut off, &north, &bob, &blank, &[TreeNode::ROOT]).await;
    assert_eq!(code(alone), Code::ClaimInvalid);
    let asked = SessionRequest { session: blank.origin.session, index: blank.origin.index };
    let session: AttestedSession =
        north.ask(Some(&bob.holder.peer), "/v1/account/offline/session", &asked).await.unwrap();
    let withdrawn = feiqian_offline_cash::withdraw::Coin {
        origin: blank.origin.clone(),
        key: blank.key.id,
        tree: blank.read(),
    };
    let claim = withdrawn
        .claim(&bob.customer(), &blank.key, &[TreeNode::ROOT], &bob.holder.signing, &mut off.rng)
        .unwrap();
    let bobs = ReclaimRequest::Received(ChainClaim { chain: holding.to_passed().unwrap(), claim, session });
    let path = "/v1/account/offline/reclaim";
    let foreign: Result<ReclaimResponse, Fault> = north.ask(Some(&alice.holder.peer), path, &bobs).await;
    assert_eq!(code(foreign), Code::ClaimInvalid);
    let filed: ReclaimResponse = north.ask(Some(&bob.holder.peer), path, &bobs).await.unwrap();
    assert_eq!(filed.paid, None);
    off.world.at(4_000);
    let _ = north.bank.tend().await;
    for (person, request, paid, balance) in [(&alice, &alices, 8, "0.92"), (&bob, &bobs, 8, "1.08")] {
        let decided: ReclaimResponse = north.ask(Some(&person.holder.peer), path, request).await.unwrap();
        assert_eq!(decided.paid.map(feiqian_money::Minor::value), Some(paid));
        assert_eq!(north.balance(&person.holder).await, balance);
    }
    // Once: nothing more comes of another round.
    let _ = north.bank.tend().await;
    assert_eq!(north.assert_sound().await.offline.reclaimed, 16);
}

#[tokio::test]
async fn one_customer_cannot_keep_all_others_from_withdrawing() {
    let (mut off, north) = OffWorld::one(|config| {
        tune(config);
        (config.offline.max_open_coins, config.offline.max_open_coins_each) = (8, 4);
    })
    .await;
    let alice = off.person(&north, "alice", "1.00").await;
    let bob = off.person(&north, "bob", "1.00").await;
    let begin = async |person: &Person, request: &BeginRequest| {
        north.ask::<_, BeginResponse>(Some(&person.holder.peer), BEGIN, request).await
    };
    let first = off.begin_request(&north, &[1, 1, 1]);
    assert!(matches!(begin(&alice, &first).await.unwrap(), BeginResponse::Open(_)));
    let second = off.begin_request(&north, &[1, 1]);
    assert_eq!(code(begin(&alice, &second).await), Code::Busy, "five of four");
    assert_eq!(off.withdraw(&north, &bob, &[1, 1, 1, 1]).await.unwrap().len(), 4);
    assert_eq!(off.withdraw(&north, &alice, &[1]).await.unwrap().len(), 1, "as many as are left to her");
    // What she never finishes is hers again when it has expired.
    off.world.at(700);
    assert!(matches!(begin(&alice, &second).await.unwrap(), BeginResponse::Open(_)));
    north.assert_sound().await;
}
