//! HTTP spoken by hand: what a client library would not send.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::gullible;
use crate::world::World;

/// A raw TLS connection of somebody who believes everybody and shows nothing.
pub(crate) struct Raw(pub(crate) rustls::StreamOwned<rustls::ClientConnection, TcpStream>);

impl Raw {
    pub(crate) fn open(address: &str) -> std::io::Result<Self> {
        let name = ServerName::try_from("localhost").unwrap();
        let connection = rustls::ClientConnection::new(gullible::config(), name).unwrap();
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        Ok(Self(rustls::StreamOwned::new(connection, stream)))
    }

    /// Sends this and hears everything until the node hangs up.
    pub(crate) fn tell(address: &str, request: &[u8]) -> String {
        let mut raw = Self::open(address).unwrap();
        // A node that refuses early may hang up while we write.
        let _ = raw.0.write_all(request).and_then(|()| raw.0.flush());
        raw.rest()
    }

    pub(crate) fn rest(mut self) -> String {
        let mut heard = Vec::new();
        let _ = self.0.read_to_end(&mut heard);
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// Sends a request and reads its one answer: status and body. None when the connection ended.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Option<(u16, String)> {
        self.0.write_all(request).and_then(|()| self.0.flush()).ok()?;
        let mut heard = Vec::new();
        let mut part = [0; 16 << 10];
        loop {
            let text = String::from_utf8_lossy(&heard).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|line| {
                    line.to_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
                });
                if body.len() >= length.unwrap_or(0) {
                    return Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()));
                }
            }
            match self.0.read(&mut part) {
                Ok(0) | Err(_) => return None,
                Ok(read) => heard.extend_from_slice(&part[..read]),
            }
        }
    }
}

/// `host:port` of a node.
pub(crate) fn address(world: &World, name: &str) -> String {
    world.url(name).trim_start_matches("https://").split_once('#').unwrap().0.to_owned()
}

/// A POST with this head and body.
pub(crate) fn post(path: &str, head: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n{head}\r\n");
    [head.as_bytes(), body].concat()
}

/// Headers of who speaks JSON.
pub(crate) const JSON: &str = "accept: application/json\r\ncontent-type: application/json\r\n";
