//! The first contact: how a node that trusts nobody yet learns its root.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use feiqian_pki::{Chain, Purpose, Revocation, TrustedRoot};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::TlsConnector;

use crate::clock::Clock;
use crate::endpoint::{Endpoint, host_and_port, is_loopback};
use crate::https::open;
use crate::network::NetworkError;
use crate::tls::{chain_of, client_config, provider};

/// How long the first contact may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Connects to `endpoint` and answers with the root certificate behind it: the one its pin names or, without a pin,
/// the one it shows, if it is this machine. Store the root and pass it to [`crate::Trust`] from then on.
///
/// # Errors
/// [`NetworkError::Unreachable`] when nobody answers; [`NetworkError::Untrusted`] when the root is another than the
/// pinned one, when the node's certificate is not valid under it, or when a pin is missing for another machine.
///
/// # Security
/// Without a pin whoever answers first is believed, hence on loopback only.
pub async fn first_contact(endpoint: &Endpoint, clock: Arc<dyn Clock>) -> Result<TrustedRoot, NetworkError> {
    let url = endpoint.url();
    let (host, port) = host_and_port(url).map_err(|error| NetworkError::Misuse(error.to_string()))?;
    let untrusted = |reason: String| NetworkError::Untrusted { url: url.to_owned(), reason };
    if endpoint.pin.fingerprint.is_none() && !is_loopback(&host) {
        return Err(untrusted(
            "the address has no #sha256=FINGERPRINT, which only an address of this machine may lack"
                .to_owned(),
        ));
    }
    let seen = Arc::new(Seen { chain: Mutex::default(), provider: provider() });
    let config = client_config(None, Arc::clone(&seen) as Arc<dyn ServerCertVerifier>)
        .map_err(|error| NetworkError::Misuse(error.to_string()))?;
    let connector = TlsConnector::from(Arc::new(config));
    let opened = tokio::time::timeout(PATIENCE, open(&connector, url, &host, port)).await;
    drop(
        opened.map_err(|_| NetworkError::Unreachable {
            url: url.to_owned(),
            reason: "no answer".to_owned(),
        })??,
    );
    let chain = seen.chain.lock().unwrap_or_else(PoisonError::into_inner).take();
    let chain = chain.ok_or_else(|| untrusted("it showed no certificate".to_owned()))?;
    judge(&chain, endpoint, clock.now().seconds()).map_err(untrusted)
}

fn judge(chain: &Chain, endpoint: &Endpoint, now: u64) -> Result<TrustedRoot, String> {
    let root = TrustedRoot::from_chain(chain).map_err(|error| error.to_string())?;
    if let Some(pinned) = endpoint.pin.fingerprint
        && pinned != root.fingerprint()
    {
        return Err(format!("its root is {}, pinned was {pinned}", root.fingerprint()));
    }
    feiqian_pki::validate(chain, &root, Purpose::Node, Revocation::Unchecked, now)
        .map_err(|error| error.to_string())?;
    Ok(root)
}

/// Notes the chain a server shows and lets the handshake prove that the server holds the leaf's key. The judgement
/// comes after it, and before anything is sent.
#[derive(Debug)]
struct Seen {
    chain: Mutex<Option<Chain>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = chain_of(leaf, rest).map_err(|error| Error::General(error.to_string()))?;
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
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
