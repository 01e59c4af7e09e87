//! TLS 1.3 under the suite's own certificates: names in certificates are roles and names of the suite, never DNS names,
//! so both sides verify with [`Trust`] instead of the web's rules.

use std::fmt;
use std::sync::Arc;

use feiqian_pki::{Chain, PkiError, Purpose, Role};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};

use crate::identity::Identity;
use crate::trust::Trust;

/// Protocol both sides name in the handshake.
const HTTP: &[u8] = b"http/1.1";

/// A node cannot start: its key and certificates do not work together.
#[derive(Debug, thiserror::Error)]
#[error("the TLS identity cannot be used: {0}")]
pub struct TlsError(#[from] Error);

/// Why a peer's certificate was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Certificate(#[from] PkiError),
    #[error("its certificate is of {found}, expected was {expected}")]
    Other { found: String, expected: String },
}

/// The only crypto provider. It is passed by hand everywhere: a process-wide default could be another one.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// What a server accepts and shows. Clients may come without a certificate: the route decides.
pub(crate) fn server_config(identity: &Identity, trust: Arc<Trust>) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let verifier = Arc::new(ClientVerifier { trust, provider: Arc::clone(&provider) });
    let (chain, key) = material(identity)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    // A resumed session would carry an old judgement of the client's certificate, and link anonymous callers.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(config)
}

/// What a client accepts and shows: `identity` or nothing.
pub(crate) fn client_config(
    identity: Option<&Identity>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match identity {
        Some(identity) => {
            let (chain, key) = material(identity)?;
            builder.with_client_auth_cert(chain, key)?
        }
        None => builder.with_no_client_auth(),
    };
    config.resumption = rustls::client::Resumption::disabled();
    config.enable_sni = false;
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(config)
}

/// Chain with its root, for a first contact sees the root here, and key.
fn material(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let mut chain: Vec<_> =
        identity.chain().certificates().iter().cloned().map(CertificateDer::from).collect();
    let root = CertificateDer::from(identity.root().as_der().to_vec());
    if chain.last() != Some(&root) {
        chain.push(root);
    }
    // The copy that rustls takes is wiped by nobody; the key lives as long as the node in any case.
    let key = identity.key().to_pkcs8_der().map_err(|error| Error::General(error.to_string()))?;
    Ok((chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_vec()))))
}

pub(crate) fn chain_of(leaf: &CertificateDer<'_>, rest: &[CertificateDer<'_>]) -> Result<Chain, PkiError> {
    Chain::new(std::iter::once(leaf).chain(rest).map(|der| der.to_vec()).collect())
}

fn refuse(refused: Refused) -> Error {
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
}

/// Accepts nodes of our root, and of them only the expected one.
pub(crate) struct ServerVerifier {
    pub(crate) trust: Arc<Trust>,
    pub(crate) expect: Option<(Role, String)>,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl ServerVerifier {
    fn check(&self, chain: &Chain) -> Result<(), Refused> {
        let verified = self.trust.verify(chain, Purpose::Node)?;
        match &self.expect {
            Some((role, name)) if verified.subject.role() != *role || verified.subject.name() != name => {
                Err(Refused::Other {
                    found: verified.subject.to_string(),
                    expected: format!("{role} {name}"),
                })
            }
            _ => Ok(()),
        }
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = chain_of(leaf, rest).map_err(|error| refuse(error.into()))?;
        self.check(&chain).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ServerVerifier").field("expect", &self.expect).finish_non_exhaustive()
    }
}

/// Accepts clients without certificate, and with one only those of our root.
struct ClientVerifier {
    trust: Arc<Trust>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = chain_of(leaf, rest).map_err(|error| refuse(error.into()))?;
        self.trust.verify_client(&chain).map_err(|error| refuse(error.into()))?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::PeerIncompatible(rustls::PeerIncompatible::Tls12NotOffered))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, leaf, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientVerifier").finish_non_exhaustive()
    }
}
