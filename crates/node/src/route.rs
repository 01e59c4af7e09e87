//! Typed routes: what every handler of every role shares is done here, once.
//!
//! For each request, in this order: who may call; how long and how large the body may be; how many at a time; its
//! decoding; the handler, whose panic is an `INTERNAL` fault; the answer's encoding; counting.
//!
//! | answer | status | body |
//! |---|---|---|
//! | result | 200 | the typed result |
//! | fault | the code's | [`Fault`] |
//!
//! Binary unless the caller asks for JSON: the request's `Content-Type` says how its body is encoded, `Accept` how the
//! answer shall be (as the request, when it names neither).

use std::any::type_name;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use feiqian_pki::{Role, Verified};
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, Text, U64};
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::Instant;
use tower::ServiceExt;

use crate::fair::{Client, Fair, PeerAddress, Seats, Shares};
use crate::listing::{Calls, ListedCall, message_name};
use crate::metrics;
use crate::network::{Format, NetworkError, Outgoing, REPLY_LIMIT, Reply, Target, is_unit};

/// How long a body may take to arrive, whatever its route allows for the whole.
const BODY_TIME: Duration = Duration::from_secs(5);
/// Most bytes of a refused body that are read and thrown away, so that the caller gets to read the refusal.
const DISCARD: usize = 4 << 20;
/// How long that may take.
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// The caller's verified certificate, in a request's extensions. Whoever hands a request to a router in memory puts
/// it there; without it the caller counts as anonymous.
#[derive(Clone, Debug, Default)]
pub struct PeerCertificate(pub Option<Arc<Verified>>);

/// Who asks, as a handler sees it.
#[derive(Clone, Debug, Default)]
pub struct Peer(Option<Arc<Verified>>);

impl Peer {
    /// The certificate's holder; `None` for an anonymous caller.
    #[must_use]
    pub fn verified(&self) -> Option<&Verified> {
        self.0.as_deref()
    }

    /// The certificate's holder.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` for an anonymous caller.
    pub fn certified(&self) -> Result<&Verified, Fault> {
        self.verified().ok_or_else(unauthenticated)
    }
}

/// Who may call a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nobody with a certificate: 400 `CERTIFICATE_NOT_ALLOWED` protects careless callers from naming themselves.
    Anonymous,
    /// A customer's or merchant's certificate; 401 `UNAUTHENTICATED` without one.
    Account,
    /// A certificate of one of these roles; 401 without one, 403 `FORBIDDEN` with another's.
    Peer(&'static [Role]),
    /// Anybody, with or without.
    Open,
}

impl Access {
    fn check(self, peer: Option<&Verified>) -> Result<(), Fault> {
        let roles: &[Role] = match self {
            Self::Open => return Ok(()),
            Self::Anonymous if peer.is_none() => return Ok(()),
            Self::Anonymous => {
                return Err(Fault::new(Code::CertificateNotAllowed, "this call is made anonymously")
                    .hint("call again over a connection without a client certificate"));
            }
            Self::Account => &[Role::Customer, Role::Merchant],
            Self::Peer(roles) => roles,
        };
        let role = peer.ok_or_else(unauthenticated)?.subject.role();
        if roles.contains(&role) {
            return Ok(());
        }
        Err(Fault::new(Code::Forbidden, format!("a {role} may not make this call")))
    }
}

impl Access {
    /// Who may call, in words.
    fn name(self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::Account => "account".to_owned(),
            Self::Open => "open".to_owned(),
            Self::Peer(roles) => roles.iter().map(|role| role.as_str()).collect::<Vec<_>>().join(","),
        }
    }
}

fn unauthenticated() -> Fault {
    Fault::new(Code::Unauthenticated, "this call needs the caller's certificate")
}

/// Address and bounds of one call.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    path: &'static str,
    limit: Limit,
    access: Access,
    timeout: Duration,
    concurrency: usize,
}

impl Route {
    /// The call at `path`: open, bodies to 64 KiB, 30 s, 1024 at a time.
    #[must_use]
    pub const fn new(path: &'static str) -> Self {
        Self {
            path,
            limit: Limit::Medium,
            access: Access::Open,
            timeout: Duration::from_secs(30),
            concurrency: 1024,
        }
    }

    /// Bounds the body.
    #[must_use]
    pub const fn limit(self, limit: Limit) -> Self {
        Self { limit, ..self }
    }

    /// Says who may call.
    #[must_use]
    pub const fn access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Bounds the time from the request's head to its answer. What the handler committed by then stays: the caller
    /// gets `UNAVAILABLE` and repeats.
    #[must_use]
    pub const fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Bounds how many are worked on at a time; further callers get `BUSY` at once. One caller gets a quarter of them.
    #[must_use]
    pub const fn concurrency(self, concurrency: usize) -> Self {
        Self { concurrency, ..self }
    }
}

/// The calls of one node over its shared state.
#[derive(Debug)]
pub struct Routes<S> {
    state: Arc<S>,
    router: Router,
    fair: Arc<Fair>,
    calls: Calls,
}

impl<S: Send + Sync + 'static> Routes<S> {
    /// No calls yet.
    #[must_use]
    pub fn new(state: Arc<S>) -> Self {
        let (fair, calls) = (Arc::new(Fair::new(Shares::default())), Calls::default());
        Self { state, router: Router::new(), fair, calls }
    }

    /// Bounds what one caller may take of the node. To be said before the calls are added.
    #[must_use]
    pub fn shares(mut self, shares: Shares) -> Self {
        self.fair = Arc::new(Fair::new(shares));
        self
    }

    /// Adds a call. A request of type `()` makes it a `GET`, any other a `POST`.
    ///
    /// # Panics
    /// When the path is not one, or is taken: a mistake in the program that its first start shows.
    #[must_use]
    pub fn add<Req, Res, H, F>(mut self, route: Route, handler: H) -> Self
    where
        Req: DeserializeOwned + Send + 'static,
        Res: Serialize + Send + 'static,
        H: Fn(Arc<S>, Peer, Req) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Res, Fault>> + Send + 'static,
    {
        let doors = Arc::new((Arc::clone(&self.fair), Seats::new(route.concurrency)));
        let state = Arc::clone(&self.state);
        let service = move |request: Request| {
            let (handler, state, doors) = (handler.clone(), Arc::clone(&state), Arc::clone(&doors));
            async move { answer(route, &doors, request, |peer, body| handler(state, peer, body)).await }
        };
        let method = if is_unit::<Req>() { get(service) } else { post(service) };
        self.list::<Req, Res>(route);
        self.router = self.router.route(route.path, method);
        self
    }

    /// # Panics
    /// Above [`crate::listing::MOST_CALLS`] calls.
    fn list<Req: 'static, Res>(&mut self, route: Route) {
        let call = ListedCall {
            method: Text::fitted(if is_unit::<Req>() { "GET" } else { "POST" }),
            path: Text::fitted(route.path),
            access: Text::fitted(&route.access.name()),
            limit: U64(route.limit.bytes().try_into().unwrap_or(u64::MAX)),
            request: Text::fitted(&message_name::<Req>()),
            answer: Text::fitted(&message_name::<Res>()),
        };
        assert!(self.calls.push(call).is_ok(), "more calls than the list of them takes");
    }

    /// Adds pages or other untyped routes.
    #[must_use]
    pub fn merge(mut self, router: Router) -> Self {
        self.router = self.router.merge(router);
        self
    }

    /// The service, with `/v1/routes`, `/healthz`, `/metrics`, and faults for paths and methods that do not exist.
    pub fn into_router(self) -> Router {
        let calls = Arc::new(self.calls);
        self.router
            .route("/v1/routes", get(async move |headers: HeaderMap| list_calls(&headers, &calls)))
            .route("/healthz", get(async || "ok\n"))
            .route("/metrics", get(figures))
            .method_not_allowed_fallback(no_such_method)
            .fallback(no_such_path)
    }
}

fn list_calls(headers: &HeaderMap, calls: &Calls) -> Response {
    let format = format_of(headers);
    match format.encode(calls) {
        Ok(body) => respond(StatusCode::OK, format, body),
        Err(fault) => fault_response(&fault, format),
    }
}

async fn figures() -> Response {
    let media = (CONTENT_TYPE, HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"));
    ([media], metrics::render()).into_response()
}

async fn no_such_method(headers: HeaderMap) -> Response {
    let fault = Fault::new(Code::NotFound, "this path does not take this method");
    fault_response(&fault.hint("calls with a request are POST, others GET"), format_of(&headers))
}

async fn no_such_path(headers: HeaderMap) -> Response {
    let fault = Fault::new(Code::NotFound, "no such path");
    fault_response(&fault.hint("the address may be another role's: see its /v1/about"), format_of(&headers))
}

/// One request from its head to its answer.
async fn answer<Req, Res, F>(
    route: Route,
    doors: &(Arc<Fair>, Seats),
    request: Request,
    handler: impl FnOnce(Peer, Req) -> F,
) -> Response
where
    Req: DeserializeOwned + 'static,
    Res: Serialize,
    F: Future<Output = Result<Res, Fault>>,
{
    let started = Instant::now();
    let format = format_of(request.headers());
    let worked = tokio::time::timeout(route.timeout, work(route, doors, request, handler)).await;
    let result = worked.unwrap_or_else(|_| {
        Err(Fault::new(Code::Unavailable, "the request took too long")
            .hint("repeat it: a repeat has no second effect"))
    });
    let encoded = result.and_then(|result| format.encode(&result));
    let (code, response) = match encoded {
        Ok(body) => ("OK", respond(StatusCode::OK, format, body)),
        Err(fault) => {
            tracing::debug!(path = route.path, %fault, "refused");
            (fault.code.as_str(), fault_response(&fault, format))
        }
    };
    metrics::answered(route.path, code, started.elapsed());
    response
}

async fn work<Req, Res, F>(
    route: Route,
    doors: &(Arc<Fair>, Seats),
    request: Request,
    handler: impl FnOnce(Peer, Req) -> F,
) -> Result<Res, Fault>
where
    Req: DeserializeOwned + 'static,
    F: Future<Output = Result<Res, Fault>>,
{
    let (head, body) = request.into_parts();
    let peer = head.extensions.get::<PeerCertificate>().cloned().unwrap_or_default().0;
    route.access.check(peer.as_deref())?;
    let (fair, seats) = doors;
    let address = head.extensions.get::<PeerAddress>().copied();
    let client = Client::of(peer.as_deref(), address);
    let entered = match fair.enter(client) {
        Ok(entered) => entered,
        Err(busy) => {
            discard(body).await;
            return Err(busy);
        }
    };
    // Read before a place is taken: bodies that trickle in must not keep the whole ones out.
    let body = if is_unit::<Req>() { Bytes::new() } else { read_in_time(route, &head.headers, body).await? };
    let _place = entered.place().await?;
    let _seat = seats.take(entered.client())?;
    let request = decode_request(route, &head.headers, &body)?;
    caught(route.path, handler(Peer(peer), request)).await
}

fn decode_request<Req: DeserializeOwned + 'static>(
    route: Route,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Req, Fault> {
    if is_unit::<Req>() {
        // `null` is the JSON of `()`: the one way to make a unit of a type parameter.
        return Format::Json.decode(b"null", Limit::Small);
    }
    let format = match headers.get(CONTENT_TYPE) {
        None => Format::default(),
        Some(media) => media.to_str().ok().and_then(Format::of_media_type).ok_or_else(|| {
            Fault::new(Code::UnsupportedVersion, "the body's media type is not one of this version")
                .hint(format!("use {} or {}", Format::Bincode.media_type(), Format::Json.media_type()))
        })?,
    };
    format.decode(body, route.limit)
}

async fn read_in_time(route: Route, headers: &HeaderMap, body: Body) -> Result<Bytes, Fault> {
    tokio::time::timeout(BODY_TIME, read_body(route.limit, headers, body)).await.unwrap_or_else(|_| {
        Err(Fault::new(Code::Unavailable, "the body took too long to arrive")
            .hint("repeat it: a repeat has no second effect"))
    })
}

async fn read_body(limit: Limit, headers: &HeaderMap, body: Body) -> Result<Bytes, Fault> {
    let too_large = || Fault::new(Code::TooLarge, format!("the body is longer than {} bytes", limit.bytes()));
    let announced = headers.get(CONTENT_LENGTH).and_then(|text| text.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit.bytes()) {
        discard(body).await;
        return Err(too_large());
    }
    let mut body = body;
    match Limited::new(&mut body, limit.bytes()).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            discard(body).await;
            Err(too_large())
        }
        Err(_) => Err(Fault::new(Code::Malformed, "the body broke off")),
    }
}

/// Reads on without keeping anything, within bounds: closing at once would reset the connection under the refusal.
async fn discard(body: Body) {
    let mut body = Limited::new(body, DISCARD);
    let _ = tokio::time::timeout(DISCARD_TIME, async { while let Some(Ok(_)) = body.frame().await {} }).await;
}

/// Runs a handler so that its panic is an answer. The store rolls back what it did not commit.
async fn caught<Res, F>(path: &'static str, handler: F) -> Result<Res, Fault>
where
    F: Future<Output = Result<Res, Fault>>,
{
    let mut handler = pin!(handler);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context))) {
        Ok(polled) => polled,
        Err(_) => {
            tracing::error!(path, answer = type_name::<Res>(), "a handler panicked");
            Poll::Ready(Err(Fault::new(
                Code::Internal,
                "the node failed at this request; its log says where",
            )))
        }
    })
    .await
}

/// How the answer to a request with these headers shall be encoded.
pub(crate) fn format_of(headers: &HeaderMap) -> Format {
    let named = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let accepted = named(ACCEPT).and_then(|accept| accept.split(',').find_map(Format::of_media_type));
    accepted.or_else(|| named(CONTENT_TYPE).and_then(Format::of_media_type)).unwrap_or_default()
}

/// A fault as an answer.
pub(crate) fn fault_response(fault: &Fault, format: Format) -> Response {
    let status = StatusCode::from_u16(fault.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match format.encode(fault) {
        Ok(body) => {
            let mut response = respond(status, format, body);
            if fault.code == Code::Busy {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn respond(status: StatusCode, format: Format, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, HeaderValue::from_static(format.media_type()))], body).into_response()
}

/// Hands a request to a router in memory: the same path a request takes over HTTPS, from its head on.
///
/// `peer` is who asks, already verified ([`crate::Trust::verify_client`]); none for an anonymous call.
///
/// # Errors
/// [`NetworkError::Misuse`] when the request is none; [`NetworkError::Lost`] when no answer came in time or it is too
/// long.
pub async fn deliver(
    router: &Router,
    to: &Target,
    peer: Option<Arc<Verified>>,
    message: Outgoing,
) -> Result<Reply, NetworkError> {
    let mut builder = Request::builder().uri(&message.path).header(ACCEPT, message.format.media_type());
    if !message.body.is_empty() {
        builder = builder.method("POST").header(CONTENT_TYPE, message.format.media_type());
    }
    let request = builder
        .extension(PeerCertificate(peer))
        .body(Body::from(message.body))
        .map_err(|error| NetworkError::Misuse(error.to_string()))?;
    let lost = |reason: &str| NetworkError::Lost { url: to.url.clone(), reason: reason.to_owned() };
    let exchange = async {
        let (head, body) = router.clone().oneshot(request).await.into_response().into_parts();
        let body =
            axum::body::to_bytes(body, REPLY_LIMIT).await.map_err(|_| lost("its answer is too long"))?;
        let media = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Ok(Reply { status: head.status.as_u16(), format: media.and_then(Format::of_media_type), body })
    };
    tokio::time::timeout(message.timeout, exchange).await.unwrap_or_else(|_| Err(lost("nothing in time")))
}
