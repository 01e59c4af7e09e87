//! A kept HTTPS connection that sends requests made ahead of time: nothing is allocated but what the answer needs.

use std::time::{Duration, Instant};

use feiqian_node::{Dialer, Format};
use feiqian_wire::Limit;
use feiqian_wire::error::{Code, Fault};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// The longest head of an answer.
const HEAD: usize = 16 << 10;
/// How long a request is repeated that a node is too busy for.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause before it is repeated.
const AGAIN: Duration = Duration::from_millis(2);

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection.
pub(super) struct Line {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
    /// Bytes of HTTP, without those of TLS.
    pub(super) sent: u64,
    pub(super) received: u64,
    /// Requests sent again because the node was busy or not done.
    pub(super) repeats: u64,
}

fn lost(why: impl std::fmt::Display) -> Fault {
    Fault::new(Code::NodeUnreachable, format!("a connection of the load broke: {why}"))
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// A whole `POST` as it travels.
pub(super) fn post(authority: &str, path: &str, body: &[u8]) -> Vec<u8> {
    let media = Format::Bincode.media_type();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: {authority}\r\naccept: {media}\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A whole `GET`.
pub(super) fn get(authority: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n").into_bytes()
}

impl Line {
    pub(super) async fn open(dialer: &Dialer) -> Result<Self, Fault> {
        let stream = Box::new(dialer.dial().await?);
        Ok(Self { stream, buffer: Vec::with_capacity(8 << 10), sent: 0, received: 0, repeats: 0 })
    }

    /// Sends a request and reads its whole answer: status and body.
    pub(super) async fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8]), Fault> {
        self.stream.write_all(request).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        self.sent = self.sent.saturating_add(count(request.len()));
        self.buffer.clear();
        let head = loop {
            if let Some(head) = Head::parse(&self.buffer)? {
                break head;
            }
            self.read().await?;
        };
        while self.buffer.len() < head.end() {
            self.read().await?;
        }
        self.received = self.received.saturating_add(count(self.buffer.len()));
        let body = self.buffer.get(head.length..head.end()).unwrap_or_default();
        Ok((head.status, body))
    }

    async fn read(&mut self) -> Result<(), Fault> {
        match self.stream.read_buf(&mut self.buffer).await.map_err(lost)? {
            0 => Err(lost("the node closed it")),
            _ => Ok(()),
        }
    }

    /// Sends until there is an answer that is no refusal for the moment only.
    ///
    /// # Errors
    /// What the node refuses for good, or for longer than the patience lasts.
    pub(super) async fn ask<T: DeserializeOwned>(&mut self, request: &[u8]) -> Result<T, Fault> {
        let begun = Instant::now();
        loop {
            let (status, body) = self.exchange(request).await?;
            if status == 200 {
                return Format::Bincode.decode(body, Limit::Large);
            }
            let fault: Fault = Format::Bincode.decode(body, Limit::Medium)?;
            if fault.is_definitive() || begun.elapsed() > PATIENCE {
                return Err(fault);
            }
            self.wait().await;
        }
    }

    /// Waits before the same request is sent again.
    pub(super) async fn wait(&mut self) {
        self.repeats = self.repeats.saturating_add(1);
        tokio::time::sleep(AGAIN).await;
    }
}

/// Status and sizes of an answer.
struct Head {
    status: u16,
    /// Bytes of the head, the empty line included.
    length: usize,
    body: usize,
}

impl Head {
    fn end(&self) -> usize {
        self.length.saturating_add(self.body)
    }

    /// Reads a head; `None` while it is not complete.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
            return if bytes.len() > HEAD { Err(lost("its answer has no head")) } else { Ok(None) };
        };
        let text = bytes.get(..at).and_then(|head| std::str::from_utf8(head).ok()).unwrap_or_default();
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let named = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        };
        match (status, lines.find_map(named)) {
            (Some(status), Some(body)) => Ok(Some(Self { status, length: at.saturating_add(4), body })),
            _ => Err(lost(format!("its answer says no length: {text}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_head_is_read_when_it_is_complete() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 5\r\n\r\nhello";
        for cut in 0..whole.len().saturating_sub(5) {
            let begun = whole.get(..cut).unwrap();
            assert!(Head::parse(begun).unwrap().is_none(), "{cut}");
        }
        let head = Head::parse(whole).unwrap().unwrap();
        let body = whole.get(head.length..head.end()).unwrap();
        assert_eq!((head.status, body), (200, b"hello".as_slice()));
        assert!(Head::parse(b"HTTP/1.1 200 OK\r\n\r\n").is_err(), "no length");
    }
}
