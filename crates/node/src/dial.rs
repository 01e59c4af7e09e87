//! Bare TLS connections to a peer, for who speaks HTTP itself over connections that it keeps: a load generator.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

use crate::endpoint::host_and_port;
use crate::https::open;
use crate::identity::Identity;
use crate::network::{NetworkError, Target};
use crate::tls::{self, ServerVerifier};
use crate::trust::Trust;

/// Opens connections to one peer, each with a handshake of its own.
#[derive(Clone)]
pub struct Dialer {
    tls: TlsConnector,
    url: String,
    host: String,
    port: u16,
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Dialer").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Dialer {
    /// Reaches `to` if `trust` believes it; shows `identity`, or nothing as an anonymous caller.
    ///
    /// # Errors
    /// [`NetworkError::Misuse`] when the address is none, or key and certificates do not fit together.
    pub fn new(trust: Arc<Trust>, to: &Target, identity: Option<&Identity>) -> Result<Self, NetworkError> {
        let (host, port) = host_and_port(&to.url).map_err(|error| NetworkError::Misuse(error.to_string()))?;
        let verifier = ServerVerifier { trust, expect: to.expect.clone(), provider: tls::provider() };
        let config = tls::client_config(identity, Arc::new(verifier))
            .map_err(|error| NetworkError::Misuse(error.to_string()))?;
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), url: to.url.clone(), host, port })
    }

    /// `host:port`, as the `Host` header of a request names it.
    #[must_use]
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// One connection, its handshake complete.
    ///
    /// # Errors
    /// [`NetworkError::Unreachable`] or [`NetworkError::Untrusted`].
    pub async fn dial(
        &self,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static + use<>, NetworkError> {
        open(&self.tls, &self.url, &self.host, self.port).await
    }
}
