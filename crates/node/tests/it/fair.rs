//! Shares of callers, over real connections.

use std::net::SocketAddr;
use std::time::Duration;

use feiqian_node::ServerLimits;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use crate::world::World;

/// A connection from this address of the machine.
async fn from(source: &str, to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(source.parse().unwrap(), 0)).unwrap();
    socket.connect(to.parse().unwrap()).await.unwrap()
}

/// Whether the node closes it before anything is said.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut nothing = [0; 1];
    let read = tokio::time::timeout(Duration::from_millis(500), stream.read(&mut nothing)).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn one_address_has_so_many_connections_and_another_its_own() {
    let world = World::new("center");
    let node = world.node_with(ServerLimits { per_address: 2, ..ServerLimits::default() }).await;
    let (mut one, mut two) =
        (from("127.0.0.1", node.address()).await, from("127.0.0.1", node.address()).await);
    let mut third = from("127.0.0.1", node.address()).await;
    assert!(is_closed(&mut third).await);
    let mut stranger = from("127.0.0.2", node.address()).await;
    for stream in [&mut one, &mut two, &mut stranger] {
        assert!(!is_closed(stream).await);
    }
    drop((one, third));
    tokio::time::sleep(Duration::from_millis(200)).await;
    let mut again = from("127.0.0.1", node.address()).await;
    assert!(!is_closed(&mut again).await, "a place that is free is taken");
}
