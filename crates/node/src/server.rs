//! The HTTPS server: one port for callers with and without a certificate; the route decides whom it takes.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use feiqian_pki::Chain;
use feiqian_wire::error::{Code, Fault};
use http::header::CONNECTION;
use http::{HeaderValue, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::fair::{Doors, Inside, Shares};
use crate::identity::Identity;
use crate::metrics::CONNECTIONS;
use crate::route::{PeerCertificate, fault_response, format_of};
use crate::task::Shutdown;
use crate::tls::{TlsError, server_config};
use crate::trust::{Presented, Trust};

/// How long, and for how many bytes, a refused client is listened to.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 << 10;
/// The most bytes of a request's head: request line and headers as [`head_bytes`] counts them.
const HEAD_LIMIT: usize = 64 << 10;

/// What a server shows, and whom it believes.
#[derive(Debug)]
pub struct ServerIdentity {
    trust: Arc<Trust>,
    config: ArcSwap<rustls::ServerConfig>,
}

impl ServerIdentity {
    /// A server that shows `identity` and believes what `trust` does.
    ///
    /// # Errors
    /// When key and certificates do not fit together.
    pub fn new(identity: &Identity, trust: Arc<Trust>) -> Result<Self, TlsError> {
        let config = ArcSwap::from_pointee(server_config(identity, Arc::clone(&trust))?);
        Ok(Self { trust, config })
    }

    /// Shows another certificate to connections from now on.
    ///
    /// # Errors
    /// When key and certificates do not fit together; the old ones stay.
    pub fn renew(&self, identity: &Identity) -> Result<(), TlsError> {
        self.config.store(Arc::new(server_config(identity, Arc::clone(&self.trust))?));
        Ok(())
    }

    /// Whom the server believes.
    #[must_use]
    pub const fn trust(&self) -> &Arc<Trust> {
        &self.trust
    }
}

/// How much a server puts up with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at a time; further ones wait in the operating system's queue.
    pub connections: usize,
    /// Connections of one address at a time; further ones are closed at once. [`Shares::connections`] of the settings.
    pub per_address: usize,
    /// Time for the TLS handshake.
    pub handshake: Duration,
    /// Time for a request's head to arrive, counted from the end of the request before it: so also how long an
    /// idle connection is kept. (A route's own limit bounds the rest of the request.)
    pub head: Duration,
    /// How long requests may go on after the order to shut down.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            per_address: Shares::default().connections,
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(15),
            drain: Duration::from_secs(10),
        }
    }
}

impl From<Shares> for ServerLimits {
    /// What the settings say, and the defaults of the rest.
    fn from(shares: Shares) -> Self {
        Self { per_address: shares.connections, ..Self::default() }
    }
}

/// Serves `router` on `listener` until `shutdown`, then lets open requests finish. [`serve_with`] the default limits.
/// What goes wrong on one connection ends that connection only.
pub async fn serve(listener: TcpListener, router: Router, identity: Arc<ServerIdentity>, shutdown: Shutdown) {
    serve_with(listener, router, identity, ServerLimits::default(), shutdown).await;
}

/// Serves `router` on `listener` within `limits` until `shutdown`; then takes no more requests, lets open ones finish
/// for [`ServerLimits::drain`], and cuts off the rest.
pub async fn serve_with(
    listener: TcpListener,
    router: Router,
    identity: Arc<ServerIdentity>,
    limits: ServerLimits,
    shutdown: Shutdown,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let doors = Doors::new(limits.per_address);
    let mut connections = JoinSet::new();
    loop {
        // The place comes before the connection: a full server leaves newcomers in the operating system's queue.
        let place = tokio::select! {
            biased;
            () = shutdown.wait() => break,
            place = Arc::clone(&places).acquire_owned() => place,
        };
        let (stream, address) = tokio::select! {
            biased;
            () = shutdown.wait() => break,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of descriptors, most likely: others must end first.
                    tracing::warn!(%error, "cannot accept a connection");
                    shutdown.pause(Duration::from_millis(50)).await;
                    continue;
                }
            },
        };
        let Some(inside) = doors.enter(address.ip()) else { continue };
        let connection = Connection {
            router: router.clone(),
            identity: Arc::clone(&identity),
            limits,
            shutdown: shutdown.clone(),
            inside,
        };
        connections.spawn(async move {
            let _place = place;
            metrics::gauge!(CONNECTIONS).increment(1.0);
            connection.run(stream).await;
            metrics::gauge!(CONNECTIONS).decrement(1.0);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let finished = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, finished).await.is_err() {
        tracing::warn!("requests still open at shutdown are cut off");
    }
}

struct Connection {
    router: Router,
    identity: Arc<ServerIdentity>,
    limits: ServerLimits,
    shutdown: Shutdown,
    inside: Inside,
}

impl Connection {
    async fn run(self, stream: TcpStream) {
        // Answers are single writes: waiting to fill a packet only adds latency. Failing to say so harms nothing.
        let _ = stream.set_nodelay(true);
        let acceptor = TlsAcceptor::from(self.identity.config.load_full());
        let handshake = acceptor.accept(stream).into_fallible();
        let stream = match tokio::time::timeout(self.limits.handshake, handshake).await {
            Ok(Ok(stream)) => stream,
            Ok(Err((error, stream))) => {
                tracing::debug!(%error, "TLS handshake failed");
                return linger(stream).await;
            }
            Err(_) => return tracing::debug!("TLS handshake takes too long"),
        };
        let Ok(presented) = self.presented(stream.get_ref().1.peer_certificates()) else { return };
        let presented = Arc::new(presented);
        let (router, trust) = (self.router, Arc::clone(&self.identity.trust));
        let address = self.inside.address();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(address);
            answer(router.clone(), Arc::clone(&trust), Arc::clone(&presented), request)
        });
        let connection = http1::Builder::new()
            .auto_date_header(false)
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.head)
            // Looked at before it reads on: a head of almost twice that gets through, and is counted in `answer`.
            .max_buf_size(HEAD_LIMIT)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => ended,
            () = self.shutdown.wait() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
    }

    fn presented(
        &self,
        certificates: Option<&[rustls::pki_types::CertificateDer<'_>]>,
    ) -> Result<Option<Presented>, feiqian_pki::PkiError> {
        let Some(certificates) = certificates.filter(|certificates| !certificates.is_empty()) else {
            return Ok(None);
        };
        let chain = Chain::new(certificates.iter().map(|der| der.to_vec()).collect())?;
        // The handshake judged the same chain a moment ago.
        Presented::new(chain, &self.identity.trust).map(Some)
    }
}

/// Ends a refused connection so that its client gets to read why: it may have sent its request already, and closing
/// with bytes unread would reset the connection under the alert.
async fn linger(mut stream: TcpStream) {
    let rest = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    let _ = tokio::time::timeout(LINGER, rest).await;
}

/// The bytes of a head without blanks that mean nothing: `METHOD target HTTP/1.1`, `name: value`, and the ends of lines.
fn head_bytes<B>(request: &Request<B>) -> usize {
    let (uri, method) = (request.uri(), request.method());
    let scheme = uri.scheme_str().map_or(0, |scheme| scheme.len().saturating_add("://".len()));
    let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
    let target = uri.path_and_query().map_or(0, |path| path.as_str().len());
    let line = [method.as_str().len(), scheme, authority, target, "  HTTP/1.1\r\n\r\n".len()];
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| [name.as_str().len(), value.len(), ": \r\n".len()]);
    headers.flatten().chain(line).fold(0, usize::saturating_add)
}

/// Hands one request to the router, with the caller's certificate as it is judged now.
async fn answer(
    router: Router,
    trust: Arc<Trust>,
    presented: Arc<Option<Presented>>,
    request: Request<Incoming>,
) -> Result<Response, std::convert::Infallible> {
    if head_bytes(&request) > HEAD_LIMIT {
        let fault = Fault::new(Code::TooLarge, format!("the head is longer than {HEAD_LIMIT} bytes"));
        let mut response = fault_response(&fault, format_of(request.headers()));
        // Its body is not waited for.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        return Ok(response);
    }
    let peer = match presented.as_ref() {
        None => None,
        Some(presented) => match presented.peer(&trust) {
            Ok(peer) => Some(peer),
            Err(error) => {
                let fault =
                    Fault::new(Code::Unauthenticated, format!("the certificate is no longer valid: {error}"));
                return Ok(fault_response(&fault, format_of(request.headers())));
            }
        },
    };
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(PeerCertificate(peer));
    Ok(router.oneshot(request).await.into_response())
}
