//! The seam between a node and its peers: send a request, await the answer.
//!
//! Production plugs in [`crate::HttpsNetwork`]; a simulated world plugs in its own network, which hands requests to
//! the peers' routers with [`crate::route::deliver`].

use std::any::TypeId;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use feiqian_pki::Role;
use feiqian_wire::error::{Code, Fault};
use feiqian_wire::{Limit, codec};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::trust::Trust;

/// Most bytes of an answer, whatever its type.
pub const REPLY_LIMIT: usize = Limit::Large.bytes();
/// How long a call waits for its answer unless told otherwise.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How a message is encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The versioned binary envelope.
    #[default]
    Bincode,
    /// JSON.
    Json,
}

impl Format {
    /// The media type.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Bincode => "application/vnd.feiqian.v1+bincode",
            Self::Json => "application/json",
        }
    }

    /// The format of a media type, parameters ignored; `None` when it is neither.
    #[must_use]
    pub fn of_media_type(text: &str) -> Option<Self> {
        let essence = text.split(';').next().unwrap_or_default().trim();
        [Self::Bincode, Self::Json]
            .into_iter()
            .find(|format| essence.eq_ignore_ascii_case(format.media_type()))
    }

    /// Encodes `value`.
    ///
    /// # Errors
    /// `INTERNAL` when the value cannot be encoded within the wire's limits.
    pub fn encode<T: Serialize>(self, value: &T) -> Result<Vec<u8>, Fault> {
        let encoded = match self {
            Self::Bincode => codec::encode(value),
            Self::Json => codec::encode_json(value),
        };
        encoded.map_err(Fault::from)
    }

    /// Decodes a value of at most `limit` bytes.
    ///
    /// # Errors
    /// The wire's code for what is wrong with the bytes.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8], limit: Limit) -> Result<T, Fault> {
        let decoded = match self {
            Self::Bincode => codec::decode(bytes, limit),
            Self::Json => codec::decode_json(bytes, limit),
        };
        decoded.map_err(Fault::from)
    }
}

/// As whom a request is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Without a certificate, over a connection of its own.
    Anonymous,
    /// With the node's certificate.
    Certified,
}

/// Whom a request goes to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// `https://host:port`.
    pub url: String,
    /// Role and name its certificate must bear; any node of the same root when absent.
    pub expect: Option<(Role, String)>,
}

impl Target {
    /// Whoever answers at `url` with a certificate of our root.
    pub fn anyone(url: impl Into<String>) -> Self {
        Self { url: url.into(), expect: None }
    }

    /// The named node at `url`.
    pub fn named(url: impl Into<String>, role: Role, name: impl Into<String>) -> Self {
        Self { url: url.into(), expect: Some((role, name.into())) }
    }
}

/// A request on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Path, with its leading `/` and perhaps a query.
    pub path: String,
    /// Encoded request; empty makes it a `GET`, anything else a `POST`.
    pub body: Bytes,
    /// How `body` is encoded and how the answer shall be.
    pub format: Format,
    /// As whom.
    pub caller: Caller,
    /// How long to wait for the whole answer.
    pub timeout: Duration,
}

/// An answer, whatever its status.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Encoding of `body`; `None` when it is neither of ours.
    pub format: Option<Format>,
    /// At most [`REPLY_LIMIT`] bytes.
    pub body: Bytes,
}

/// No answer came, or none that counts.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum NetworkError {
    /// Nobody could be connected to; nothing was sent.
    #[error("{url} cannot be reached: {reason}")]
    Unreachable {
        /// Whom.
        url: String,
        /// Why.
        reason: String,
    },
    /// The peer's certificate is not of our root, not valid now, or not the expected node's; nothing was sent.
    #[error("{url} is not to be trusted: {reason}")]
    Untrusted {
        /// Whom.
        url: String,
        /// Why.
        reason: String,
    },
    /// The request may have arrived, its answer did not.
    #[error("{url} did not answer: {reason}")]
    Lost {
        /// Whom.
        url: String,
        /// Why.
        reason: String,
    },
    /// The request cannot be sent as it is: our own mistake.
    #[error("the request cannot be sent: {0}")]
    Misuse(String),
}

impl NetworkError {
    /// Whether it is certain that the peer did not act on the request.
    #[must_use]
    pub const fn is_definitive(&self) -> bool {
        !matches!(self, Self::Lost { .. })
    }
}

impl From<NetworkError> for Fault {
    fn from(error: NetworkError) -> Self {
        let code = match &error {
            NetworkError::Unreachable { .. } | NetworkError::Lost { .. } => Code::NodeUnreachable,
            NetworkError::Untrusted { .. } => Code::WrongRoot,
            NetworkError::Misuse(_) => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// Sends requests to peers.
#[async_trait]
pub trait Network: Send + Sync {
    /// Sends `message` to `to` and awaits the answer.
    ///
    /// # Errors
    /// When no answer came. An answer with a fault is an answer.
    async fn send(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError>;

    /// The same without asking whether the peer's certificate was revoked: for fetching revocation lists themselves,
    /// which are signed. Otherwise a node whose lists have ended could never fetch new ones.
    ///
    /// # Errors
    /// As [`Network::send`].
    async fn send_unlisted(&self, to: &Target, message: Outgoing) -> Result<Reply, NetworkError> {
        self.send(to, message).await
    }

    /// Who judges peers in this network, for those who bring revocation lists; `None` where nobody does.
    fn trust(&self) -> Option<&Trust> {
        None
    }
}

/// Why a call brought no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No answer that counts.
    #[error(transparent)]
    Unreachable(#[from] NetworkError),
    /// The peer answered with a fault.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl CallError {
    /// Whether it is certain that nothing changed at the peer, and that a repeat gets the same answer or no worse.
    #[must_use]
    pub fn is_definitive(&self) -> bool {
        match self {
            Self::Unreachable(error) => error.is_definitive(),
            Self::Fault(fault) => fault.code.is_definitive(),
        }
    }
}

impl From<CallError> for Fault {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Unreachable(error) => error.into(),
            CallError::Fault(fault) => fault,
        }
    }
}

/// Calls `path` at `to` with a typed request and awaits its typed answer, in binary, for [`CALL_TIMEOUT`].
///
/// A request of type `()` is a `GET` without body.
///
/// # Errors
/// [`CallError`].
pub async fn call<Req, Res>(
    network: &dyn Network,
    to: &Target,
    caller: Caller,
    path: &str,
    request: &Req,
) -> Result<Res, CallError>
where
    Req: Serialize + Sync + 'static,
    Res: DeserializeOwned,
{
    call_within(network, to, caller, path, request, CALL_TIMEOUT).await
}

/// [`call`] with a time limit of one's own.
///
/// # Errors
/// [`CallError`].
pub async fn call_within<Req, Res>(
    network: &dyn Network,
    to: &Target,
    caller: Caller,
    path: &str,
    request: &Req,
    timeout: Duration,
) -> Result<Res, CallError>
where
    Req: Serialize + Sync + 'static,
    Res: DeserializeOwned,
{
    let reply = network.send(to, outgoing(caller, path, request, timeout)?).await?;
    read_reply(to, &reply)
}

/// [`call`], anonymously and without asking whether the peer's certificate was revoked: for revocation lists, which
/// are signed themselves.
///
/// # Errors
/// [`CallError`].
pub async fn call_unlisted<Req, Res>(
    network: &dyn Network,
    to: &Target,
    path: &str,
    request: &Req,
) -> Result<Res, CallError>
where
    Req: Serialize + Sync + 'static,
    Res: DeserializeOwned,
{
    let message = outgoing(Caller::Anonymous, path, request, CALL_TIMEOUT)?;
    read_reply(to, &network.send_unlisted(to, message).await?)
}

fn outgoing<Req: Serialize + 'static>(
    caller: Caller,
    path: &str,
    request: &Req,
    timeout: Duration,
) -> Result<Outgoing, Fault> {
    let format = Format::Bincode;
    let body = if is_unit::<Req>() { Bytes::new() } else { Bytes::from(format.encode(request)?) };
    Ok(Outgoing { path: path.to_owned(), body, format, caller, timeout })
}

/// Whether requests of this type have no body.
pub(crate) fn is_unit<T: 'static>() -> bool {
    TypeId::of::<T>() == TypeId::of::<()>()
}

fn read_reply<Res: DeserializeOwned>(to: &Target, reply: &Reply) -> Result<Res, CallError> {
    let lost = |reason: String| NetworkError::Lost { url: to.url.clone(), reason };
    let format = reply
        .format
        .ok_or_else(|| lost(format!("its answer (status {}) is not of this protocol", reply.status)))?;
    if reply.status == 200 {
        return Ok(format
            .decode(&reply.body, Limit::Large)
            .map_err(|fault| lost(format!("its answer is broken: {fault}")))?);
    }
    let fault: Fault = format
        .decode(&reply.body, Limit::Large)
        .map_err(|fault| lost(format!("its answer (status {}) is broken: {fault}", reply.status)))?;
    Err(CallError::Fault(fault))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_name_formats() {
        assert_eq!(Format::of_media_type("application/json; charset=utf-8"), Some(Format::Json));
        assert_eq!(Format::of_media_type("Application/vnd.feiqian.v1+bincode"), Some(Format::Bincode));
        assert_eq!(Format::of_media_type("application/vnd.feiqian.v2+bincode"), None);
        assert_eq!(Format::of_media_type(""), None);
    }

    #[test]
    fn only_a_lost_answer_leaves_doubt() {
        let (url, reason) = (String::from("https://x:1"), String::from("r"));
        assert!(NetworkError::Unreachable { url: url.clone(), reason: reason.clone() }.is_definitive());
        assert!(NetworkError::Untrusted { url: url.clone(), reason: reason.clone() }.is_definitive());
        assert!(!NetworkError::Lost { url, reason }.is_definitive());
    }
}
