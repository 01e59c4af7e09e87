//! Where a node is reached, and which root its certificate must come from.
//!
//! Written `https://host:port#sha256=<64 hex digits>`: the fragment is the SHA-256 of the root certificate, handed
//! over by a person or a QR code together with the address, so that the first contact needs no other trust.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use feiqian_crypto::Digest;
use http::Uri;

/// Which root certificate a first contact accepts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrustPin {
    /// SHA-256 of the root's DER bytes. Without one the first root seen is taken, from this machine only.
    pub fingerprint: Option<Digest>,
}

/// A node's address, with the pin of the root that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    /// The pin after `#`.
    pub pin: TrustPin,
}

/// The text is no endpoint.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointError {
    /// Not `https://host:port`.
    #[error("`{0}` is no address of a node: use https://HOST:PORT or https://HOST:PORT#sha256=FINGERPRINT")]
    Url(String),
    /// The part after `#` is not `sha256=` and 64 hex digits.
    #[error("`{0}` is no fingerprint: after # comes sha256= and 64 hex digits")]
    Pin(String),
}

impl Endpoint {
    /// The endpoint of `url`, an address without fragment.
    ///
    /// # Errors
    /// [`EndpointError::Url`] when it is not `https://host:port`.
    pub fn new(url: &str, pin: TrustPin) -> Result<Self, EndpointError> {
        let (host, port) = host_and_port(url)?;
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        Ok(Self { url: format!("https://{host}:{port}"), pin })
    }

    /// The address without fragment: `https://host:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let Some((url, fragment)) = text.split_once('#') else { return Self::new(text, TrustPin::default()) };
        let fingerprint = fragment
            .strip_prefix("sha256=")
            .and_then(|hex| hex.parse().ok())
            .ok_or_else(|| EndpointError::Pin(fragment.to_owned()))?;
        Self::new(url, TrustPin { fingerprint: Some(fingerprint) })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.url)?;
        match &self.pin.fingerprint {
            Some(fingerprint) => write!(formatter, "#sha256={fingerprint}"),
            None => Ok(()),
        }
    }
}

/// Host (an IPv6 address without brackets) and port of `https://host[:port]`.
pub(crate) fn host_and_port(url: &str) -> Result<(String, u16), EndpointError> {
    let bad = || EndpointError::Url(url.chars().take(200).collect());
    let uri: Uri = url.parse().map_err(|_| bad())?;
    let plain = uri.scheme_str() == Some("https") && matches!(uri.path(), "" | "/") && uri.query().is_none();
    let authority =
        uri.authority().filter(|authority| plain && !authority.as_str().contains('@')).ok_or_else(bad)?;
    // Brackets stand around an IPv6 address and nowhere else.
    let inner = authority.host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let bracketed = inner.filter(|inner| inner.parse::<Ipv6Addr>().is_ok());
    let host = bracketed.unwrap_or_else(|| authority.host());
    if bracketed.is_none() && host.contains(['[', ']']) {
        return Err(bad());
    }
    let port = match authority.port() {
        Some(port) => port.as_u16(),
        None if authority.as_str().ends_with(':') => return Err(bad()),
        None => 443,
    };
    if host.is_empty() || port == 0 {
        return Err(bad());
    }
    Ok((host.to_owned(), port))
}

/// Whether `host` can only be this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to parse fails the test")]

    use super::*;

    #[test]
    fn endpoints_print_as_they_parse() {
        let pinned = format!("https://127.0.0.1:7000#sha256={}", "ab".repeat(32));
        for text in ["https://bank.example:443", "https://[::1]:7000", &pinned] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!("https://bank.example/".parse::<Endpoint>().unwrap().url(), "https://bank.example:443");
        assert_eq!(pinned.parse::<Endpoint>().unwrap().url(), "https://127.0.0.1:7000");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "bank",
            "http://bank:1",
            "https://bank:1/path",
            "https://u@bank:1",
            "https://bank:0",
            "https://b:1?q",
            "https://b[::1]:1",
            "https://[b]:1",
            "https://[[::1]]:1",
        ] {
            assert!(matches!(text.parse::<Endpoint>(), Err(EndpointError::Url(_))), "{text}");
        }
        for text in ["https://b:1#", "https://b:1#sha256=", "https://b:1#sha256=abc", "https://b:1#md5=00"] {
            assert!(matches!(text.parse::<Endpoint>(), Err(EndpointError::Pin(_))), "{text}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        assert!(is_loopback("127.0.0.1") && is_loopback("::1") && is_loopback("localhost"));
        assert!(!is_loopback("10.0.0.1") && !is_loopback("bank.example"));
    }
}
