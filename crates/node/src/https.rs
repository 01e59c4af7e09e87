//! [`Network`] over HTTPS: two kinds of connection that share nothing.
//!
//! * **certified** calls show the node's certificate and keep their connections for further calls;
//! * **anonymous** calls show none, take a new connection each, resume no TLS session, and send no header that
//!   says anything about the caller. What the network address gives away is outside this crate's reach.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::endpoint::host_and_port;
#[cfg(feature = "test-faults")]
use crate::fault::{self, Moment};
use crate::identity::Identity;
use crate::network::{Caller, Format, Network, NetworkError, Outgoing, REPLY_LIMIT, Reply, Target};
use crate::tls::{self, Refused, ServerVerifier, TlsError};
use crate::trust::Trust;

/// How long connecting and the TLS handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept; shorter than a server waits for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(8);
/// Idle connections kept to one peer.
const IDLE_PER_PEER: usize = 16;
/// Clients kept for different targets before all are dropped and made anew.
const CLIENTS: usize = 512;

type HttpClient = Client<Connector, Full<Bytes>>;

/// HTTPS to peers under one root.
#[derive(Debug)]
pub struct HttpsNetwork {
    trust: Arc<Trust>,
    /// Never gets a revocation list: for fetching them.
    unlisted: Arc<Trust>,
    identity: ArcSwapOption<Identity>,
    clients: Mutex<BTreeMap<(Way, Target), HttpClient>>,
}

/// How a connection is made: no two of these ever share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Anonymous,
    Certified,
    Unlisted,
}

impl HttpsNetwork {
    /// Reaches peers that `trust` believes, showing `identity` in certified calls.
    #[must_use]
    pub fn new(trust: Arc<Trust>, identity: Option<Arc<Identity>>) -> Self {
        let unlisted = Arc::new(trust.without_lists());
        Self { trust, unlisted, identity: ArcSwapOption::new(identity), clients: Mutex::default() }
    }

    /// Shows another certificate from now on: after enrolment or renewal.
    pub fn set_identity(&self, identity: Option<Arc<Identity>>) {
        self.identity.store(identity);
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn client(&self, to: &Target, way: Way) -> Result<HttpClient, NetworkError> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(way, to.clone())) {
            return Ok(client.clone());
        }
        let identity = match way {
            Way::Anonymous | Way::Unlisted => None,
            Way::Certified => Some(
                self.identity
                    .load_full()
                    .ok_or_else(|| NetworkError::Misuse("this node has no certificate yet".to_owned()))?,
            ),
        };
        let trust = if way == Way::Unlisted { &self.unlisted } else { &self.trust };
        let client = new_client(trust, to, identity.as_deref())
            .map_err(|error| NetworkError::Misuse(error.to_string()))?;
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert((way, to.clone()), client.clone());
        Ok(client)
    }

    async fn exchange(&self, to: &Target, way: Way, message: Outgoing) -> Result<Reply, NetworkError> {
        let client = self.client(to, way)?;
        let request = request(to, &message)?;
        let lost = |reason: String| NetworkError::Lost { url: to.url.clone(), reason };
        let exchange = async {
            #[cfg(feature = "test-faults")]
            fault::reached(Moment::Send, &message.path);
            let response = client.request(request).await.map_err(|error| explain(to, &error))?;
            let (head, body) = response.into_parts();
            let media = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
            let body = Limited::new(body, REPLY_LIMIT)
                .collect()
                .await
                .map_err(|error| lost(format!("its answer broke off or is too long: {error}")))?
                .to_bytes();
            #[cfg(feature = "test-faults")]
            fault::reached(Moment::Answered, &message.path);
            Ok(Reply { status: head.status.as_u16(), format: media.and_then(Format::of_media_type), body })
        };
        let patience = message.timeout;
        tokio::time::timeout(patience, exchange)
            .await
            .unwrap_or_else(|_| Err(lost(format!("nothing within {:.1} s", patience.as_secs_f64()))))
    }
}

fn new_client(trust: &Arc<Trust>, to: &Target, identity: Option<&Identity>) -> Result<HttpClient, TlsError> {
    let verifier =
        ServerVerifier { trust: Arc::clone(trust), expect: to.expect.clone(), provider: tls::provider() };
    let config = tls::client_config(identity, Arc::new(verifier))?;
    let connector = Connector { tls: TlsConnector::from(Arc::new(config)) };
    let idle = if identity.is_some() { IDLE_PER_PEER } else { 0 };
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(idle)
        .build(connector))
}

#[async_trait]
impl Network for HttpsNetwork {
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        let way = match message.caller {
            Caller::Anonymous => Way::Anonymous,
            Caller::Certified => Way::Certified,
        };
        self.exchange(to, way, message).await
    }

    async fn send_unlisted(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        self.exchange(to, Way::Unlisted, message).await
    }

    fn trust(&self) -> Option<&Trust> {
        Some(&self.trust)
    }
}

/// The HTTP request: nothing in it but what it takes to be understood.
fn request(to: &Target, message: &Outgoing) -> Result<Request<Full<Bytes>>, NetworkError> {
    let misuse = |error: String| NetworkError::Misuse(error);
    let (host, port) = host_and_port(&to.url).map_err(|error| misuse(error.to_string()))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let uri: Uri = format!("https://{host}:{port}{}", message.path)
        .parse()
        .map_err(|_| misuse(format!("`{}` is no path", message.path)))?;
    let method = if message.body.is_empty() { Method::GET } else { Method::POST };
    let mut builder = Request::builder()
        .method(&method)
        .uri(uri)
        .header(HOST, format!("{host}:{port}"))
        .header(ACCEPT, message.format.media_type());
    if method == Method::POST {
        builder = builder.header(CONTENT_TYPE, message.format.media_type());
    }
    builder.body(Full::new(message.body.clone())).map_err(|error| misuse(error.to_string()))
}

/// Finds the reason inside the layers of an HTTP client's error.
fn explain(to: &Target, error: &hyper_util::client::legacy::Error) -> NetworkError {
    let url = to.url.clone();
    let mut cause = error.source();
    let mut reason = error.to_string();
    while let Some(inner) = cause {
        if let Some(known) = inner.downcast_ref::<NetworkError>() {
            return known.clone();
        }
        if let Some(alert) = tls_error(inner) {
            return alert_of(url, &alert);
        }
        reason = inner.to_string();
        cause = inner.source();
    }
    NetworkError::Lost { url, reason }
}

fn alert_of(url: String, error: &rustls::Error) -> NetworkError {
    match error {
        // A server judges our certificate after its side of the handshake: the refusal arrives instead of an answer,
        // and it read no request before.
        rustls::Error::AlertReceived(alert) if is_refusal(*alert) => {
            NetworkError::Untrusted { url, reason: format!("it refuses our certificate ({alert:?})") }
        }
        other => NetworkError::Lost { url, reason: other.to_string() },
    }
}

/// Whether an alert can only come from a server that did not accept its client.
const fn is_refusal(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

fn tls_error(error: &(dyn std::error::Error + 'static)) -> Option<rustls::Error> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(found.clone());
    }
    error.downcast_ref::<std::io::Error>()?.get_ref()?.downcast_ref::<rustls::Error>().cloned()
}

/// Opens TLS connections.
#[derive(Clone)]
struct Connector {
    tls: TlsConnector,
}

impl tower::Service<Uri> for Connector {
    type Response = TlsStream;
    type Error = NetworkError;
    type Future = Pin<Box<dyn Future<Output = Result<TlsStream, NetworkError>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), NetworkError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = self.tls.clone();
        Box::pin(async move {
            let url = format!("https://{}", uri.authority().map_or("", |authority| authority.as_str()));
            let (host, port) =
                host_and_port(&url).map_err(|error| NetworkError::Misuse(error.to_string()))?;
            match tokio::time::timeout(CONNECT_TIMEOUT, open(&tls, &url, &host, port)).await {
                Ok(opened) => opened.map(|stream| TlsStream(TokioIo::new(stream))),
                Err(_) => {
                    Err(NetworkError::Unreachable { url, reason: "connecting takes too long".to_owned() })
                }
            }
        })
    }
}

/// Connects to `host` and completes the handshake.
pub(crate) async fn open(
    tls: &TlsConnector,
    url: &str,
    host: &str,
    port: u16,
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, NetworkError> {
    let unreachable = |reason: String| NetworkError::Unreachable { url: url.to_owned(), reason };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| unreachable(error.to_string()))?;
    let stream = TcpStream::connect((host, port)).await.map_err(|error| unreachable(error.to_string()))?;
    // Requests are single writes: waiting to fill a packet only adds latency. Failing to say so harms nothing.
    let _ = stream.set_nodelay(true);
    tls.connect(name, stream).await.map_err(|error| match tls_error(&error) {
        Some(rustls::Error::InvalidCertificate(reason)) => {
            NetworkError::Untrusted { url: url.to_owned(), reason: refusal(&reason) }
        }
        Some(other) => NetworkError::Untrusted { url: url.to_owned(), reason: other.to_string() },
        None => unreachable(error.to_string()),
    })
}

fn refusal(reason: &rustls::CertificateError) -> String {
    match reason {
        rustls::CertificateError::Other(other) => {
            other.0.downcast_ref::<Refused>().map_or_else(|| other.to_string(), ToString::to_string)
        }
        other => format!("{other:?}"),
    }
}

/// A TLS connection as the HTTP client wants it.
struct TlsStream(TokioIo<tokio_rustls::client::TlsStream<TcpStream>>);

impl Connection for TlsStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
