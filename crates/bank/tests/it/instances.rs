//! Several processes of one bank on one store: calls handed over, leases, fences, keysets made by two at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use feiqian_bank::Config;
use feiqian_bank::config::Instance;
use feiqian_clearing::membership::Directory;
use feiqian_clearing::presentment::Presentment;
use feiqian_node::{Access, Peer, Route, Routes};
use feiqian_offline_cash::withdraw::{BeginResponse as OfflineOffer, FinishResponse as OfflineAnswer};
use feiqian_online_cash::account::{DepositResponse, EnrolResponse};
use feiqian_online_cash::deposit::CashItem;
use feiqian_online_cash::issue::{BeginResponse, FinishRequest, FinishResponse, RecoverRequest};
use feiqian_pki::{MAX_REVOCATION_LIST_BYTES, RevocationList};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Blob, Bounded, Name, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::offline_world::{OffWorld, tune as small_coins};
use crate::world::{Holder, NOW, Node, World, code, digest, enrolment, pay};

const FINISH: &str = "/v1/account/issue/finish";
const LEASE: u64 = 10;

fn named(config: &mut Config, name: &str) {
    config.instance = Some(Instance::new(Name::new(name).unwrap()));
}

fn first(config: &mut Config) {
    named(config, "1");
}

fn second(config: &mut Config) {
    named(config, "2");
}

pub(crate) fn first_offline(config: &mut Config) {
    small_coins(config);
    first(config);
}

pub(crate) fn second_offline(config: &mut Config) {
    small_coins(config);
    second(config);
}

/// What the center tells the one, the other knows.
pub(crate) fn share_view(from: &Node, to: &Node) {
    let view = from.bank.members().snapshot();
    let banks = view.members().values().map(|member| member.entry.clone());
    let directory = Directory { banks: Bounded::collect(banks).unwrap() };
    let now = Timestamp::new(NOW);
    to.bank.members().replace(view.extended(&directory, Vec::new(), now).unwrap());
}

/// A bank of two processes that reach each other, with a customer.
pub(crate) async fn two(world: &World) -> (Node, Node, Holder) {
    let one = world.tuned("north", 10, first).await;
    world.publish(&[&one]).await;
    let alice = world.customer(&one, "alice", "100.00").await;
    let two = world.fellow(&one, second).await;
    share_view(&one, &two);
    world.introduce(&one, &two);
    world.introduce(&two, &one);
    (one, two, alice)
}

async fn finish(node: &Node, holder: &Holder, request: &FinishRequest) -> Result<FinishResponse, Fault> {
    node.ask(Some(&holder.peer), FINISH, request).await
}

#[tokio::test]
async fn a_session_begun_at_one_process_is_finished_through_another() {
    let world = World::new();
    let (one, two, alice) = two(&world).await;
    let begun = one.begin(Some(&alice), 1, &[64, 8]).await;
    // The other one offers the same session, and asks its holder for the answers.
    let again = two.begin(Some(&alice), 1, &[64, 8]).await;
    assert_eq!(again.offer, begun.offer);
    let recovered: BeginResponse = two
        .ask(Some(&alice.peer), "/v1/account/issue/recover", &RecoverRequest { request: digest(1) })
        .await
        .unwrap();
    assert_eq!(recovered, BeginResponse::Open(begun.offer.clone()));
    let request = begun.finish(one.account_funding(&alice, &begun));
    let answer = finish(&two, &alice, &request).await.unwrap();
    // Whoever is asked again says the same.
    assert_eq!(finish(&one, &alice, &request).await.unwrap(), answer);
    assert_eq!(finish(&two, &alice, &request).await.unwrap(), answer);
    let coins = begun.pending.finish(&answer.answers).unwrap();
    // Anonymous sessions go the same way, here in the other direction.
    let begun = two.begin(None, 2, &[32, 32]).await;
    let funding = two.refresh_funding(&begun, &[(&coins[0], 64)], Vec::new());
    let answer: FinishResponse = one.ask(None, "/v1/issue/finish", &begun.finish(funding)).await.unwrap();
    assert_eq!(begun.pending.finish(&answer.answers).unwrap().len(), 2);
    assert_eq!(two.balance(&alice).await, "99.28");
    assert_eq!(one.assert_sound().await.in_circulation(), 72);
}

#[tokio::test]
async fn what_the_holder_refuses_is_refused_and_it_judges_the_caller_itself() {
    let world = World::new();
    let (one, two, alice) = two(&world).await;
    let bobby = world.customer(&one, "bobby12", "50.00").await;
    let begun = one.begin(Some(&alice), 1, &[64]).await;
    let foreign = begun.finish(one.account_funding(&bobby, &begun));
    assert_eq!(code(finish(&two, &bobby, &foreign).await), Code::SessionForeign);
    // A signature that does not hold spends the session's secrets, wherever it comes from.
    assert_eq!(code(finish(&two, &alice, &foreign).await), Code::SignatureInvalid);
    let request = begun.finish(one.account_funding(&alice, &begun));
    assert_eq!(code(finish(&two, &alice, &request).await), Code::Void);
    assert_eq!(one.balance(&alice).await, "100.00");
    one.assert_sound().await;
}

#[derive(Serialize, Deserialize)]
struct Handed {
    bearer: Option<()>,
    request: FinishRequest,
}

#[tokio::test]
async fn only_the_banks_own_processes_hand_calls_over() {
    let world = World::new();
    let (one, _two, alice) = two(&world).await;
    let south = world.bank("south", 20).await;
    let begun = one.begin(None, 1, &[64]).await;
    let handed = Handed { bearer: None, request: begun.finish(one.account_funding(&alice, &begun)) };
    let path = "/v1/instance/finish";
    let (fellow, other) = (Arc::new(world.bank_peer(&one)), Arc::new(world.bank_peer(&south)));
    for stranger in [None, Some(&alice.peer), Some(&world.center), Some(&other)] {
        let refused: Result<FinishResponse, Fault> = one.ask(stranger, path, &handed).await;
        let expected = if stranger.is_none() { Code::Unauthenticated } else { Code::Forbidden };
        assert_eq!(code(refused), expected);
    }
    // An own process is heard: the funding is what is wrong.
    let heard: Result<FinishResponse, Fault> = one.ask(Some(&fellow), path, &handed).await;
    assert_ne!(code(heard), Code::Forbidden);
    one.assert_sound().await;
}

#[tokio::test]
async fn a_dead_process_voids_its_open_sessions_when_its_lease_ends_and_not_before() {
    let world = World::new();
    let (one, two, alice) = two(&world).await;
    let begun = one.begin(Some(&alice), 1, &[64]).await;
    let request = begun.finish(one.account_funding(&alice, &begun));
    two.line.cut();
    assert_eq!(code(finish(&two, &alice, &request).await), Code::Busy);
    world.at(LEASE - 1);
    two.bank.beat().await.unwrap();
    assert_eq!(code(finish(&two, &alice, &request).await), Code::Busy);
    assert_eq!(two.begin(Some(&alice), 1, &[64]).await.offer, begun.offer);
    world.at(LEASE);
    assert_eq!(code(finish(&two, &alice, &request).await), Code::Void);
    let recover = RecoverRequest { request: digest(1) };
    let found: BeginResponse =
        two.ask(Some(&alice.peer), "/v1/account/issue/recover", &recover).await.unwrap();
    assert_eq!(found, BeginResponse::Void);
    // It was only paused: it wakes, and can answer no more.
    assert_eq!(code(finish(&one, &alice, &request).await), Code::Void);
    assert_eq!(two.balance(&alice).await, "100.00");
    two.withdraw(&alice, 2, &[64]).await;
    two.assert_sound().await;
}

#[tokio::test]
async fn a_process_that_runs_anew_gives_up_its_old_sessions_at_once() {
    let world = World::new();
    let (mut one, two, alice) = two(&world).await;
    let begun = one.begin(Some(&alice), 1, &[64]).await;
    let request = begun.finish(one.account_funding(&alice, &begun));
    world.restart(&mut one).await;
    assert_eq!(code(finish(&two, &alice, &request).await), Code::Void);
    two.assert_sound().await;
}

#[tokio::test]
async fn a_process_that_pauses_at_the_commit_of_an_answer_is_fenced_off() {
    let world = World::new();
    let (one, two, alice) = two(&world).await;
    let begun = one.begin(Some(&alice), 1, &[64]).await;
    let request = begun.finish(one.account_funding(&alice, &begun));
    two.line.cut();
    one.store.hold("bank.issue.finish");
    let paused = finish(&one, &alice, &request);
    let others = async {
        one.store.someone_waits().await;
        world.at(LEASE);
        assert_eq!(code(finish(&two, &alice, &request).await), Code::Void);
        one.store.let_go();
    };
    let (answer, ()) = tokio::join!(paused, others);
    assert_eq!(code(answer), Code::Void);
    assert_eq!(two.balance(&alice).await, "100.00");
    assert_eq!(two.assert_sound().await.in_circulation(), 0);
}

#[tokio::test]
async fn two_processes_that_rotate_at_once_make_one_keyset_and_both_sign_with_it() {
    let world = World::new();
    let (one, two, alice) = two(&world).await;
    // Both find the next epoch missing; the store takes one.
    let later = Config::new(Name::new("x").unwrap(), feiqian_money::Currency::CNY, "", "").schedule;
    world.at(later.issue_seconds - 10);
    let (first, second) = tokio::join!(one.bank.rotate(), two.bank.rotate());
    assert_eq!((code(first), code(second)), (Code::NodeUnreachable, Code::NodeUnreachable));
    assert_eq!(one.bank.own_keysets().len(), 2);
    assert_eq!(one.bank.own_keysets(), two.bank.own_keysets());
    world.publish(&[&one]).await;
    share_view(&one, &two);
    world.at(later.issue_seconds + 10);
    one.withdraw(&alice, 1, &[64]).await;
    two.withdraw(&alice, 2, &[32]).await;
    let report = one.assert_sound().await;
    assert_eq!(report.in_circulation(), 96);
}

#[tokio::test]
async fn a_keyset_that_one_made_is_the_others_after_its_next_sign_of_life() {
    let world = World::new();
    let (one, two, alice) = two(&world).await;
    let later = Config::new(Name::new("x").unwrap(), feiqian_money::Currency::CNY, "", "").schedule;
    world.at(later.issue_seconds - 10);
    assert_eq!(code(one.bank.rotate().await), Code::NodeUnreachable);
    assert_eq!(two.bank.own_keysets().len(), 1);
    let _ = two.bank.beat().await;
    assert_eq!(two.bank.own_keysets(), one.bank.own_keysets());
    world.publish(&[&one]).await;
    share_view(&one, &two);
    world.at(later.issue_seconds + 10);
    two.withdraw(&alice, 2, &[32]).await;
    // When the epoch has ended its secrets are gone, here and for whoever joins.
    world.at(3 * later.issue_seconds);
    assert_eq!(code(two.bank.rotate().await), Code::NodeUnreachable);
    let _ = one.bank.beat().await;
    world.publish(&[&one]).await;
    share_view(&one, &two);
    two.bank.rotate().await.unwrap();
    let third = world.fellow(&one, |config| named(config, "3")).await;
    assert!(!third.has_secrets(1));
    assert!(third.has_secrets(2));
}

#[tokio::test]
async fn offline_sessions_are_handed_over_too() {
    let (mut off, one) = OffWorld::one(first_offline).await;
    let two = off.world.fellow(&one, second_offline).await;
    share_view(&one, &two);
    off.world.introduce(&two, &one);
    let alice = off.person(&one, "alice", "0.40").await;
    let request = off.begin_request(&one, &[8, 0]);
    let peer = Some(&alice.holder.peer);
    let offered: OfflineOffer = one.ask(peer, "/v1/account/offline/begin", &request).await.unwrap();
    assert!(matches!(offered, OfflineOffer::Open(_)));
    let (pending, finish) = off.pend(&two, &alice, &request, &[8, 0]).await.unwrap();
    let path = "/v1/account/offline/finish";
    let answer: OfflineAnswer = two.ask(peer, path, &finish).await.unwrap();
    assert_eq!(pending.finish(&answer).unwrap().len(), 2);
    let again: OfflineAnswer = one.ask(peer, path, &finish).await.unwrap();
    assert_eq!(again, answer);
    // Dead, it is waited for until its lease ends.
    let request = off.begin_request(&one, &[4]);
    let (_, finish) = off.pend(&one, &alice, &request, &[4]).await.unwrap();
    two.line.cut();
    assert_eq!(code(two.ask::<_, OfflineAnswer>(peer, path, &finish).await), Code::Busy);
    off.world.at(LEASE);
    assert_eq!(code(two.ask::<_, OfflineAnswer>(peer, path, &finish).await), Code::Void);
    assert_eq!(code(one.ask::<_, OfflineAnswer>(peer, path, &finish).await), Code::Void);
    two.assert_sound().await;
}

async fn list_of(node: &Node) -> RevocationList {
    let der: Blob<MAX_REVOCATION_LIST_BYTES> = node.ask(None, "/v1/crl", &()).await.unwrap();
    RevocationList::from_der(&der).unwrap()
}

#[tokio::test]
async fn of_the_revocation_lists_of_two_processes_the_later_never_says_less() {
    let world = World::new();
    let (one, two, alice) = two(&world).await;
    let (before_one, before_two) = (list_of(&one).await, list_of(&two).await);
    assert_ne!(before_one.this_update(), before_two.this_update());
    world.at(5);
    let opened =
        one.command(json!({"command": "account_open", "name": "alice", "role": "customer"})).await.unwrap();
    let (request, _) = enrolment(&one, &opened, 99);
    let _: EnrolResponse = one.ask(None, "/v1/enrol", &request).await.unwrap();
    let revoked = list_of(&one).await;
    assert!(revoked.entries().count() > before_one.entries().count());
    // The other's list is older than that until it learns of it; then it is newer and says as much.
    assert!(list_of(&two).await.this_update() < revoked.this_update());
    let _ = two.bank.beat().await;
    let learnt = list_of(&two).await;
    assert!(learnt.this_update() > revoked.this_update());
    assert_eq!(learnt.entries().count(), revoked.entries().count());
    // What a revoked certificate asks is refused everywhere at once.
    let refused: Result<BeginResponse, Fault> =
        two.ask(Some(&alice.peer), "/v1/account/issue/begin", &two.begin_request(1, &[8])).await;
    assert_eq!(code(refused), Code::CertificateInvalid);
}

/// Counts what is presented.
struct Deaf(AtomicU32);

impl Deaf {
    async fn present(self: Arc<Self>, _: Peer, _: Presentment<CashItem>) -> Result<(), Fault> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Err(Fault::new(Code::Unavailable, "not now"))
    }
}

#[tokio::test]
async fn an_item_that_one_process_has_just_tried_the_others_leave_alone() {
    let world = World::new();
    let (one, two, _alice) = two(&world).await;
    let shop = world.customer(&one, "the-shop", "0").await;
    let south = world.bank("south", 20).await;
    world.publish(&[&one, &south]).await;
    share_view(&one, &two);
    let bob = world.customer(&south, "bobby12", "10.00").await;
    let coins = south.withdraw(&bob, 1, &[64]).await;
    let item = pay(&one.request(&shop, 1, 64, 1000), &[(&coins[0], 64)]);
    let (deaf, route) = (Arc::new(Deaf(0.into())), Route::new("/v1/pay/payment").access(Access::Open));
    let router = Routes::new(Arc::clone(&deaf)).add(route, Deaf::present).into_router();
    world.relay(&one, router.clone());
    world.relay(&two, router);
    let tries = || deaf.0.load(Ordering::SeqCst);
    let deposited = one.ask::<_, DepositResponse>(Some(&shop.peer), "/v1/deposit", &item).await;
    assert!(matches!(deposited.unwrap(), DepositResponse::Pending { .. }));
    let shutdown = feiqian_node::Shutdown::new();
    world.at(100);
    assert!(!one.bank.drain_outbox(&shutdown).await.unwrap());
    let tried = tries();
    world.at(102);
    assert!(!two.bank.drain_outbox(&shutdown).await.unwrap(), "something is left");
    assert_eq!(tries(), tried, "and was not tried again");
    world.at(105);
    assert!(!two.bank.drain_outbox(&shutdown).await.unwrap());
    assert_eq!(tries(), tried + 1);
    let status = one.command(json!({"command": "status"})).await.unwrap();
    assert_eq!(status["pending_presentments"], 1);
}
