//! What the server puts up with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use feiqian_node::{CallError, Caller, Format, Network, Outgoing, ServerLimits, Target, call};
use feiqian_pki::Role;
use feiqian_wire::{Code, Fault, Limit};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::gullible;
use crate::world::{Echo, Node, World};

/// A node behind a relay that counts connections.
pub(crate) async fn counting_proxy(world: &World) -> (Target, Arc<AtomicU64>) {
    counted(&world.node().await).await
}

/// The same for a node that runs.
pub(crate) async fn counted(node: &Node) -> (Target, Arc<AtomicU64>) {
    let upstream = node.address().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let hops = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&hops);
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut far = TcpStream::connect(&upstream).await.unwrap();
            tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await.map(drop) });
        }
    });
    (Target::named(format!("https://{address}"), Role::Bank, "first"), hops)
}

/// A raw TLS connection that believes everybody: what a hostile client would use.
async fn raw(address: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    tokio_rustls::TlsConnector::from(gullible::config()).connect(name, stream).await.unwrap()
}

/// Everything the server still says before it hangs up, and how long that took.
async fn hung_up(mut stream: tokio_rustls::client::TlsStream<TcpStream>) -> (String, Duration) {
    let started = Instant::now();
    let mut said = Vec::new();
    // A connection that is cut without farewell is an error with the bytes so far: both are a hang-up.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut said)).await.unwrap();
    (String::from_utf8_lossy(&said).into_owned(), started.elapsed())
}

#[tokio::test]
async fn an_oversized_body_is_refused_with_a_readable_answer() {
    let world = World::new("center");
    let node = world.node().await;
    let net = world.customer();
    for bytes in [4097, 300_000, 3_000_000] {
        let message = Outgoing {
            path: "/v1/open".to_owned(),
            body: vec![0; bytes].into(),
            format: Format::Bincode,
            caller: Caller::Anonymous,
            timeout: Duration::from_secs(30),
        };
        let reply = net.send(&node.target(), message).await.unwrap();
        let fault: Fault = reply.format.unwrap().decode(&reply.body, Limit::Small).unwrap();
        assert_eq!((reply.status, fault.code), (413, Code::TooLarge));
    }
    assert_eq!(node.state.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_body_of_unknown_length_is_bounded_too() {
    let world = World::new("center");
    let node = world.node().await;
    let mut stream = raw(node.address()).await;
    stream
        .write_all(
            b"POST /v1/open HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        )
        .await
        .unwrap();
    let chunk = format!("1000\r\n{}\r\n", "a".repeat(4096));
    for _ in 0..3 {
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    let (said, _) = hung_up(stream).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
    assert!(!said.to_lowercase().contains("\r\ndate:"), "no clock in answers: {said}");
}

#[tokio::test]
async fn slow_clients_are_hung_up_on() {
    let world = World::new("center");
    let brief = Duration::from_millis(300);
    let limits = ServerLimits { handshake: brief, head: brief, ..ServerLimits::default() };
    let node = world.node_with(limits).await;
    // No handshake.
    let mut silent = TcpStream::connect(node.address()).await.unwrap();
    let mut nothing = [0; 1];
    let read = tokio::time::timeout(Duration::from_secs(20), silent.read(&mut nothing)).await.unwrap();
    assert_eq!(read.unwrap_or(0), 0);
    // Half a head.
    let mut stream = raw(node.address()).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost:").await.unwrap();
    let (said, took) = hung_up(stream).await;
    assert!(!said.contains("200"), "{said}");
    assert!(took >= Duration::from_millis(200) && took < Duration::from_secs(20), "{took:?}");
    // Half a body: the route's own limit of 200 ms.
    let mut stream = raw(node.address()).await;
    stream
        .write_all(
            b"POST /v1/late HTTP/1.1\r\nhost: x\r\naccept: application/json\r\ncontent-length: 100\r\n\r\nFQ",
        )
        .await
        .unwrap();
    let (said, _) = hung_up(stream).await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("UNAVAILABLE"), "{said}");
    assert_eq!(node.state.calls.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn bodies_that_trickle_hold_no_place_and_end() {
    let world = World::new("center");
    let node = world.node().await;
    let mut stream = raw(node.address()).await;
    stream
        .write_all(
            b"POST /v1/one HTTP/1.1\r\nhost: x\r\naccept: application/json\r\ncontent-length: 100\r\n\r\nFQ",
        )
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let request = Echo::of(1, 1);
    // The only place of this route is free.
    call::<_, Echo>(&world.nobody(), &node.target(), Caller::Anonymous, "/v1/one", &request).await.unwrap();
    let (said, took) = hung_up(stream).await;
    assert!(said.starts_with("HTTP/1.1 503") && said.contains("the body took too long"), "{said}");
    assert!(took < Duration::from_secs(15), "less than the route's 30 s: {took:?}");
    assert_eq!(node.state.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_full_server_serves_the_next_when_a_place_is_free() {
    let world = World::new("center");
    let head = Duration::from_millis(400);
    let node = world.node_with(ServerLimits { connections: 1, head, ..ServerLimits::default() }).await;
    let holder = raw(node.address()).await;
    let started = Instant::now();
    call::<_, Echo>(&world.nobody(), &node.target(), Caller::Anonymous, "/v1/open", &Echo::of(1, 1))
        .await
        .unwrap();
    assert!(started.elapsed() >= Duration::from_millis(200), "it waited for the idle one to be hung up on");
    drop(holder);
}

#[tokio::test]
async fn shutdown_lets_open_requests_finish_and_takes_no_more() {
    let world = World::new("center");
    let node = world.node().await;
    let (net, to) = (Arc::new(world.customer()), node.target());
    // An idle connection must not hold the shutdown up.
    call::<_, Echo>(&*net, &to, Caller::Certified, "/v1/open", &Echo::of(1, 1)).await.unwrap();
    let open = tokio::spawn({
        let (net, to) = (Arc::clone(&net), to.clone());
        async move { call::<_, Echo>(&*net, &to, Caller::Anonymous, "/v1/slow", &Echo::of(700, 1)).await }
    });
    while node.state.calls.load(Ordering::SeqCst) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.shutdown.trigger();
    assert_eq!(open.await.unwrap().unwrap(), Echo::of(700, 1));
    tokio::time::timeout(Duration::from_secs(5), node.serving).await.unwrap().unwrap();
    let refused = call::<_, Echo>(&*net, &to, Caller::Certified, "/v1/open", &Echo::of(1, 1)).await;
    assert!(matches!(refused, Err(CallError::Unreachable(_))), "{refused:?}");
}

#[tokio::test]
async fn requests_that_outlast_the_drain_are_cut_off() {
    let world = World::new("center");
    let node =
        world.node_with(ServerLimits { drain: Duration::from_millis(100), ..ServerLimits::default() }).await;
    let (net, to) = (world.nobody(), node.target());
    let open = tokio::spawn(async move {
        call::<_, Echo>(&net, &to, Caller::Anonymous, "/v1/slow", &Echo::of(25_000, 1)).await
    });
    while node.state.calls.load(Ordering::SeqCst) < 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    node.shutdown.trigger();
    tokio::time::timeout(Duration::from_secs(5), node.serving).await.unwrap().unwrap();
    assert!(matches!(open.await.unwrap(), Err(CallError::Unreachable(error)) if !error.is_definitive()));
}

#[tokio::test]
async fn health_is_answered() {
    let world = World::new("center");
    let node = world.node().await;
    let mut stream = raw(node.address()).await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (said, _) = hung_up(stream).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("ok\n"), "{said}");
}
