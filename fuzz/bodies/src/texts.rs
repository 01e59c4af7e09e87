//! What people type, scan or edit.

use feiqian_money::{Amount, Currency};
use feiqian_node::Endpoint;
use feiqian_offline_cash::carry::{Carried, Collector, Progress};
use feiqian_online_cash::request::SignedRequest;
use feiqian_sim::Source;
use feiqian_wire::{Code, Fault, Limit, codec};

use crate::{Shape, Target, Verdict, refuse};

/// The targets of this module.
#[must_use]
pub fn targets() -> Vec<Target> {
    let text = |name, run| Target::new(name, Shape::Text, run);
    vec![
        text("uri-request", request),
        text("uri-offline", carried),
        text("uri-frames", frames),
        text("endpoint", endpoint),
        text("amount", amount),
        text("words", words),
        text("scenario", scenario),
        text("settings-bank", |bytes| settings(bytes, feiqian_bank::Config::check)),
        text("settings-center", |bytes| settings(bytes, feiqian_center::Config::check)),
        text("settings-merchant", |bytes| settings(bytes, feiqian_merchant::Config::check)),
        text("settings-wallet", |bytes| settings::<feiqian_wallet::Config>(bytes, |_| Ok(()))),
    ]
}

fn text(bytes: &[u8]) -> Result<&str, Verdict> {
    std::str::from_utf8(bytes).map_err(|_| Verdict::Refused(Code::Malformed))
}

/// A payment request as a shop shows it.
fn request(bytes: &[u8]) -> Verdict {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(refused) => return refused,
    };
    match SignedRequest::from_uri(text) {
        Ok(request) => {
            let again = request.to_uri().unwrap_or_default();
            assert_eq!(again, text.trim(), "a second text of one request");
            // Everything that reads it further: a stranger's request must not stop a wallet.
            let _ = (request.request.digest(), request.request.body_digest());
            Verdict::Accepted
        }
        Err(rejection) => refuse(rejection),
    }
}

/// An offline message as text.
fn carried(bytes: &[u8]) -> Verdict {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(refused) => return refused,
    };
    match Carried::from_uri(text) {
        Ok(message) => {
            assert_eq!(message.to_uri().unwrap_or_default(), text.trim(), "a second text of one message");
            Verdict::Accepted
        }
        Err(rejection) => refuse(rejection),
    }
}

/// Frames, one a line, as a camera reads them.
fn frames(bytes: &[u8]) -> Verdict {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(refused) => return refused,
    };
    let mut collector = Collector::new();
    let mut verdict = Verdict::Refused(Code::Malformed);
    for line in text.lines() {
        match collector.add(line) {
            Ok(Progress::Complete(message)) => {
                assert!(message.to_file().is_ok(), "a whole message fits a file");
                verdict = Verdict::Accepted;
            }
            Ok(Progress::Waiting { .. }) => {}
            Err(rejection) => verdict = refuse(rejection),
        }
    }
    verdict
}

/// The address of a node with the fingerprint of its root.
fn endpoint(bytes: &[u8]) -> Verdict {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(refused) => return refused,
    };
    match text.parse::<Endpoint>() {
        Ok(endpoint) => {
            let shown = endpoint.to_string();
            let again: Result<Endpoint, _> = shown.parse();
            assert_eq!(again.map(|again| again.to_string()).ok(), Some(shown), "what is shown can be typed");
            Verdict::Accepted
        }
        Err(error) => refuse(Fault::new(Code::Usage, error.to_string())),
    }
}

/// An amount in each currency.
fn amount(bytes: &[u8]) -> Verdict {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(refused) => return refused,
    };
    let mut verdict = Verdict::Refused(Code::Malformed);
    for currency in Currency::all() {
        match Amount::parse(text, currency) {
            Ok(amount) => {
                let again = Amount::parse(&amount.to_string(), currency);
                assert_eq!(again.ok(), Some(amount), "what is printed can be read");
                verdict = Verdict::Accepted;
            }
            Err(error) => {
                let _ = refuse(Fault::from(error));
            }
        }
    }
    verdict
}

/// The words of a wallet's seed.
fn words(bytes: &[u8]) -> Verdict {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(refused) => return refused,
    };
    match bip39::Mnemonic::parse(text) {
        Ok(mnemonic) => {
            let again = bip39::Mnemonic::from_entropy(&mnemonic.to_entropy());
            assert_eq!(again.map(|again| again.to_entropy()).ok(), Some(mnemonic.to_entropy()));
            Verdict::Accepted
        }
        Err(_) => Verdict::Refused(Code::Usage),
    }
}

/// A scenario of the simulator: read over the defaults, checked, and written again.
fn scenario(bytes: &[u8]) -> Verdict {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(refused) => return refused,
    };
    let read = Source::parse(text, "").and_then(|source| Ok((source.scenario()?, source)));
    match read {
        Ok((scenario, source)) => {
            let _ = feiqian_sim::adversary::crooks(&scenario);
            assert_eq!(source.digest().len(), 64);
            Verdict::Accepted
        }
        Err(error) => refuse(Fault::from(error)),
    }
}

/// The settings of a node.
fn settings<T: serde::de::DeserializeOwned>(bytes: &[u8], check: fn(&T) -> Result<(), Fault>) -> Verdict {
    let text = match text(bytes) {
        Ok(text) => text,
        Err(refused) => return refused,
    };
    let read = toml::from_str::<T>(text).map_err(|error| Fault::new(Code::Usage, error.to_string()));
    match read.and_then(|config| check(&config)) {
        Ok(()) => Verdict::Accepted,
        Err(fault) => refuse(fault),
    }
}

/// A message of offline cash as text and as frames.
pub(crate) fn texts_of(message: &Carried) -> (Option<String>, Option<String>) {
    (message.to_uri().ok(), message.to_frames().ok().map(|frames| frames.join("\n")))
}

/// The bytes of a carried message.
pub(crate) fn file_of(message: &Carried) -> Option<Vec<u8>> {
    let bytes = message.to_file().ok()?;
    let read: Result<Carried, _> = codec::decode(&bytes, Limit::Large);
    read.is_ok().then_some(bytes)
}
