//! The router without any socket: what a simulated network calls.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use feiqian_node::{
    CallError, Caller, Format, Network, NetworkError, Outgoing, Reply, Target, call, call_within, deliver,
};
use feiqian_pki::{Purpose, Role, Verified};
use feiqian_wire::{Code, Fault, Limit};

use crate::world::{Echo, State, Who, World, router};

struct InMemory {
    router: Router,
    me: Arc<Verified>,
}

#[async_trait]
impl Network for InMemory {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        let peer = (message.caller == Caller::Certified).then(|| Arc::clone(&self.me));
        deliver(&self.router, to, peer, message).await
    }
}

fn network() -> (InMemory, Target) {
    let me = World::new("center").verified(Role::Customer, "alice", Purpose::Client);
    (InMemory { router: router(&Arc::new(State::default())), me }, Target::anyone("https://memory:1"))
}

fn fault(result: Result<impl std::fmt::Debug, CallError>) -> Fault {
    match result {
        Err(CallError::Fault(fault)) => fault,
        other => panic!("expected a fault, got {other:?}"),
    }
}

async fn raw(
    net: &InMemory,
    path: &str,
    media: Option<&str>,
    accept: Option<&str>,
    body: Vec<u8>,
) -> (u16, String, Bytes) {
    use tower::ServiceExt;
    let mut request = http::Request::post(path);
    if let Some(media) = media {
        request = request.header("content-type", media);
    }
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    let response =
        net.router.clone().oneshot(request.body(axum::body::Body::from(body)).unwrap()).await.unwrap();
    let media = response.headers().get("content-type").unwrap().to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    (status, media, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap())
}

#[tokio::test]
async fn the_same_rules_hold_in_memory() {
    let (net, to) = network();
    let request = Echo::of(5, 100);
    let echoed: Echo = call(&net, &to, Caller::Anonymous, "/v1/anonymous", &request).await.unwrap();
    assert_eq!(echoed, request);
    let seen: Who = call(&net, &to, Caller::Certified, "/v1/account", &request).await.unwrap();
    assert_eq!(seen.who, "customer alice of first");
    let refused = call::<_, Echo>(&net, &to, Caller::Certified, "/v1/anonymous", &request).await;
    assert_eq!(fault(refused).code, Code::CertificateNotAllowed);
    let refused = call::<_, Who>(&net, &to, Caller::Anonymous, "/v1/account", &request).await;
    assert_eq!(fault(refused).code, Code::Unauthenticated);
    assert_eq!(
        fault(call::<_, Echo>(&net, &to, Caller::Anonymous, "/v1/none", &request).await).code,
        Code::NotFound
    );
    assert_eq!(
        fault(call::<_, Echo>(&net, &to, Caller::Anonymous, "/v1/open", &()).await).code,
        Code::NotFound
    );
}

#[tokio::test]
async fn both_formats_are_spoken_and_the_answer_follows_accept() {
    let (net, _) = network();
    let (json, binary) = (Format::Json.media_type(), Format::Bincode.media_type());
    let request = Echo::of(5, 2);
    let as_json = br#"{"number":5,"blob":"0707"}"#.to_vec();
    let as_binary = Format::Bincode.encode(&request).unwrap();
    for (media, accept, body, expected) in [
        (Some(json), None, &as_json, Format::Json),
        (Some("application/json; charset=utf-8"), Some("*/*"), &as_json, Format::Json),
        (Some(json), Some(binary), &as_json, Format::Bincode),
        (Some(binary), Some("text/html, application/json"), &as_binary, Format::Json),
        (Some(binary), None, &as_binary, Format::Bincode),
        (None, None, &as_binary, Format::Bincode),
    ] {
        let (status, got, body) = raw(&net, "/v1/open", media, accept, body.clone()).await;
        assert_eq!((status, got.as_str()), (200, expected.media_type()));
        assert_eq!(expected.decode::<Echo>(&body, Limit::Small).unwrap(), request);
    }
}

#[tokio::test]
async fn bad_bodies_are_typed_faults_in_the_callers_format() {
    let (net, _) = network();
    let json = Format::Json.media_type();
    for (media, body, code) in [
        (json, br#"{"number":5,"blob":"0707","more":1}"#.to_vec(), Code::Malformed),
        (json, br#"{"number":5"#.to_vec(), Code::Malformed),
        (json, Vec::new(), Code::Malformed),
        (json, vec![b' '; 5000], Code::TooLarge),
        ("application/vnd.feiqian.v2+bincode", vec![1], Code::UnsupportedVersion),
        ("application/vnd.feiqian.v1+bincode", b"FQ\x02\x00".to_vec(), Code::UnsupportedVersion),
        ("application/vnd.feiqian.v1+bincode", b"no".to_vec(), Code::Malformed),
    ] {
        let (status, media, body) = raw(&net, "/v1/open", Some(media), Some(json), body).await;
        let fault: Fault = Format::of_media_type(&media).unwrap().decode(&body, Limit::Small).unwrap();
        assert_eq!((fault.code, status, media.as_str()), (code, code.status(), json), "{fault}");
    }
}

#[tokio::test]
async fn panics_lateness_and_crowds_are_faults() {
    let (net, to) = network();
    let ask = |path, number| {
        let request = Echo::of(number, 0);
        let (net, to) = (&net, &to);
        async move {
            call_within::<_, Echo>(net, to, Caller::Anonymous, path, &request, Duration::from_secs(60)).await
        }
    };
    assert_eq!(fault(ask("/v1/panic", 13).await).code, Code::Internal);
    assert_eq!(fault(ask("/v1/panic", 1).await).code, Code::NotFound, "the route works on");
    assert_eq!(fault(ask("/v1/late", 30_000).await).code, Code::Unavailable);
    let (first, second) = tokio::join!(ask("/v1/one", 200), ask("/v1/one", 200));
    assert_eq!(first.unwrap(), Echo::of(200, 0));
    assert_eq!(fault(second).code, Code::Busy);
    ask("/v1/one", 1).await.unwrap();
}

#[tokio::test]
async fn requests_are_counted_by_path_and_code() {
    assert!(feiqian_node::metrics::install());
    let (net, to) = network();
    call::<_, Who>(&net, &to, Caller::Anonymous, "/v1/banks", &Echo::of(1, 1)).await.unwrap_err();
    let response = tower::ServiceExt::oneshot(
        net.router.clone(),
        http::Request::get("/metrics").body(axum::body::Body::empty()).unwrap(),
    );
    let body = axum::body::to_bytes(response.await.unwrap().into_body(), 1 << 20).await.unwrap();
    let text = String::from_utf8(body.to_vec()).unwrap();
    assert!(text.contains("feiqian_requests_total{path=\"/v1/banks\",code=\"UNAUTHENTICATED\"}"), "{text}");
    assert!(text.contains("feiqian_request_seconds_bucket{path=\"/v1/banks\",le=\"0.001\"}"), "{text}");
}
