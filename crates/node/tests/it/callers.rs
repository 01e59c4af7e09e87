//! Both kinds of caller, and whom each side believes.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use feiqian_node::{CallError, Caller, HttpsNetwork, Network, NetworkError, Target, call};
use feiqian_pki::{Purpose, Role};
use feiqian_pki::{RevocationReason, Revoked};
use feiqian_wire::{Code, Timestamp};

use crate::world::{Echo, NOW, Who, World};

async fn ask<Res: serde::de::DeserializeOwned>(
    network: &dyn Network,
    to: &Target,
    caller: Caller,
    path: &str,
) -> Result<Res, CallError> {
    call(network, to, caller, path, &Echo::of(1, 3)).await
}

fn code(result: Result<impl std::fmt::Debug, CallError>) -> Code {
    match result {
        Err(CallError::Fault(fault)) => fault.code,
        other => panic!("expected a fault, got {other:?}"),
    }
}

fn untrusted(result: Result<impl std::fmt::Debug, CallError>) -> String {
    match result {
        Err(CallError::Unreachable(NetworkError::Untrusted { reason, .. })) => reason,
        other => panic!("expected a refused certificate, got {other:?}"),
    }
}

#[tokio::test]
async fn each_kind_of_route_takes_its_kind_of_caller() {
    let world = World::new("center");
    let node = world.node().await;
    let (net, to) = (world.customer(), node.target());
    let echoed: Echo = ask(&net, &to, Caller::Anonymous, "/v1/anonymous").await.unwrap();
    assert_eq!(echoed, Echo::of(1, 3));
    let seen: Who = ask(&net, &to, Caller::Certified, "/v1/account").await.unwrap();
    assert_eq!(seen.who, "customer alice of first");

    let refused = ask::<Echo>(&net, &to, Caller::Certified, "/v1/anonymous").await;
    assert_eq!(code(refused), Code::CertificateNotAllowed);
    assert_eq!(Code::CertificateNotAllowed.status(), 400);
    assert_eq!(code(ask::<Who>(&net, &to, Caller::Anonymous, "/v1/account").await), Code::Unauthenticated);
    assert_eq!(Code::Unauthenticated.status(), 401);
    assert_eq!(code(ask::<Who>(&net, &to, Caller::Certified, "/v1/banks").await), Code::Forbidden);
    assert_eq!(code(ask::<Who>(&net, &to, Caller::Anonymous, "/v1/banks").await), Code::Unauthenticated);

    let about: Who = call(&net, &to, Caller::Anonymous, "/v1/about", &()).await.unwrap();
    assert_eq!(about.who, "nobody");
    let about: Who = call(&net, &to, Caller::Certified, "/v1/about", &()).await.unwrap();
    assert_eq!(about.who, "customer alice of first");
}

#[tokio::test]
async fn a_node_calls_with_the_certificate_it_serves_with() {
    let world = World::new("center");
    let node = world.node().await;
    let center = world.identity(Role::Center, "center", Purpose::Node);
    let net = HttpsNetwork::new(world.trust(), Some(Arc::new(center)));
    let seen: Who = ask(&net, &node.target(), Caller::Certified, "/v1/banks").await.unwrap();
    assert_eq!(seen.who, "center center");
    assert_eq!(
        code(ask::<Who>(&net, &node.target(), Caller::Certified, "/v1/account").await),
        Code::Forbidden
    );
}

#[tokio::test]
async fn a_node_without_certificate_cannot_make_certified_calls() {
    let world = World::new("center");
    let node = world.node().await;
    let net = world.nobody();
    let refused = ask::<Echo>(&net, &node.target(), Caller::Certified, "/v1/open").await;
    assert!(matches!(refused, Err(CallError::Unreachable(NetworkError::Misuse(_)))), "{refused:?}");
    net.set_identity(Some(Arc::new(world.identity(Role::Customer, "bob", Purpose::Client))));
    let seen: Who = ask(&net, &node.target(), Caller::Certified, "/v1/account").await.unwrap();
    assert_eq!(seen.who, "customer bob of first");
}

#[tokio::test]
async fn a_server_of_another_root_role_or_name_is_refused_before_anything_is_sent() {
    let (world, other) = (World::new("center"), World::new("other"));
    let node = world.node().await;
    let reason =
        untrusted(ask::<Echo>(&other.customer(), &node.target(), Caller::Anonymous, "/v1/open").await);
    assert!(reason.contains("root"), "{reason}");
    let net = world.customer();
    for to in [
        Target::named(&node.url, Role::Bank, "second"),
        Target::named(&node.url, Role::Center, "first"),
        Target::named(&node.url, Role::Merchant, "first"),
    ] {
        for caller in [Caller::Anonymous, Caller::Certified] {
            let reason = untrusted(ask::<Echo>(&net, &to, caller, "/v1/open").await);
            assert!(reason.contains("bank first"), "{reason}");
        }
    }
    assert_eq!(node.state.calls.load(std::sync::atomic::Ordering::SeqCst), 0);
    ask::<Echo>(&net, &Target::anyone(&node.url), Caller::Anonymous, "/v1/open").await.unwrap();
}

#[tokio::test]
async fn a_server_that_shows_a_clients_certificate_is_refused() {
    let world = World::new("center");
    let node = world.node().await;
    node.identity.renew(&world.identity(Role::Customer, "mallory", Purpose::Client)).unwrap();
    let reason = untrusted(
        ask::<Echo>(&world.customer(), &Target::anyone(&node.url), Caller::Anonymous, "/v1/open").await,
    );
    assert!(reason.contains("purpose"), "{reason}");
}

#[tokio::test]
async fn a_client_of_another_root_is_refused() {
    let (world, other) = (World::new("center"), World::new("other"));
    let node = world.node().await;
    let foreign = other.identity(Role::Customer, "alice", Purpose::Client);
    let net = HttpsNetwork::new(world.trust(), Some(Arc::new(foreign)));
    let reason = untrusted(ask::<Who>(&net, &node.target(), Caller::Certified, "/v1/account").await);
    assert!(reason.contains("refuses our certificate"), "{reason}");
    // Anonymous calls of the same wallet do not suffer from it.
    ask::<Echo>(&net, &node.target(), Caller::Anonymous, "/v1/anonymous").await.unwrap();
}

#[tokio::test]
async fn a_document_signing_certificate_opens_no_connection() {
    let world = World::new("center");
    let node = world.node().await;
    let signing = world.identity(Role::Customer, "alice", Purpose::Signing);
    let net = HttpsNetwork::new(world.trust(), Some(Arc::new(signing)));
    untrusted(ask::<Who>(&net, &node.target(), Caller::Certified, "/v1/account").await);
}

#[tokio::test]
async fn a_revocation_takes_effect_on_open_connections() {
    let world = World::new("center");
    let node = world.node().await;
    let (to, connections) = crate::server::counted(&node).await;
    let identity = world.identity(Role::Customer, "alice", Purpose::Client);
    let serial = world.trust().verify_client(identity.chain()).unwrap().serial;
    let net = HttpsNetwork::new(world.trust(), Some(Arc::new(identity)));
    ask::<Who>(&net, &to, Caller::Certified, "/v1/account").await.unwrap();

    let revoked = Revoked { serial, at: NOW, reason: RevocationReason::KeyCompromise };
    let of_root = world.root.issue_crl(&[], 1, NOW, NOW + 3600).unwrap();
    let before = world.bank.issue_crl(&[], 1, NOW, NOW + 3600).unwrap();
    let after = world.bank.issue_crl(&[revoked], 2, NOW, NOW + 3600).unwrap();
    node.identity.trust().set_revocation_lists(&[of_root.clone(), before]);
    ask::<Who>(&net, &to, Caller::Certified, "/v1/account").await.unwrap();
    node.identity.trust().set_revocation_lists(&[of_root, after]);
    assert_eq!(code(ask::<Who>(&net, &to, Caller::Certified, "/v1/account").await), Code::Unauthenticated);
    assert_eq!(connections.load(Ordering::SeqCst), 1, "the connection of the first call, kept alive");
}

#[tokio::test]
async fn lists_that_ended_and_certificates_that_ended_close_the_door() {
    let world = World::new("center");
    let node = world.node().await;
    let net = world.customer();
    let lists =
        [&world.root, &world.bank].map(|authority| authority.issue_crl(&[], 1, NOW, NOW + 3600).unwrap());
    node.identity.trust().set_revocation_lists(&lists);
    ask::<Who>(&net, &node.target(), Caller::Certified, "/v1/account").await.unwrap();
    world.clock.set(Timestamp::new(NOW + 7200));
    assert_eq!(
        code(ask::<Who>(&net, &node.target(), Caller::Certified, "/v1/account").await),
        Code::Unauthenticated
    );
    world.clock.set(Timestamp::new(NOW + 2 * 365 * 86_400));
    untrusted(ask::<Echo>(&net, &node.target(), Caller::Anonymous, "/v1/open").await);
}

#[tokio::test]
async fn certified_calls_share_a_connection_and_anonymous_ones_never_do() {
    let world = World::new("center");
    let (to, hops) = crate::server::counting_proxy(&world).await;
    let net = world.customer();
    for _ in 0..3 {
        ask::<Who>(&net, &to, Caller::Certified, "/v1/account").await.unwrap();
    }
    assert_eq!(hops.load(std::sync::atomic::Ordering::SeqCst), 1);
    for _ in 0..3 {
        ask::<Echo>(&net, &to, Caller::Anonymous, "/v1/anonymous").await.unwrap();
    }
    assert_eq!(hops.load(std::sync::atomic::Ordering::SeqCst), 4);
}

#[tokio::test]
async fn nobody_at_the_address_is_definitive_and_a_late_answer_is_not() {
    let world = World::new("center");
    let node = world.node().await;
    let net = world.customer();
    let (listener, address) = feiqian_node::bind("127.0.0.1:0").await.unwrap();
    drop(listener);
    let error =
        ask::<Echo>(&net, &Target::anyone(format!("https://{address}")), Caller::Anonymous, "/v1/open").await;
    let error = error.unwrap_err();
    assert!(matches!(&error, CallError::Unreachable(NetworkError::Unreachable { .. })), "{error:?}");
    assert!(error.is_definitive());

    let patience = std::time::Duration::from_millis(300);
    let request = Echo::of(20_000, 0);
    let error = feiqian_node::call_within::<_, Echo>(
        &net,
        &node.target(),
        Caller::Anonymous,
        "/v1/slow",
        &request,
        patience,
    )
    .await
    .unwrap_err();
    assert!(matches!(&error, CallError::Unreachable(NetworkError::Lost { .. })), "{error:?}");
    assert!(!error.is_definitive());
}
