//! Messages by hand, as the owner gives them and gets them: files, text, or frames for a screen.

use std::path::{Path, PathBuf};

use feiqian_node::files::{read_bounded, write_private};
use feiqian_offline_cash::carry::{Carried, Collector, Progress};
use feiqian_wire::codec::Limit;
use feiqian_wire::error::Code;
use serde::Serialize;

use crate::failure::{Failure, Result};

/// Longest message that is shown as frames, bytes: larger ones are carried as files.
const MOST_FRAMED: usize = 256 * 1024;

/// A message on its way out of the wallet.
#[derive(Debug, Default, Serialize)]
pub(super) struct Shown {
    /// Length of the message.
    bytes: usize,
    /// As one text, where it fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    /// As frames, where it does not and no file was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    frames: Vec<String>,
    /// Where it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
}

/// Reads a message: `feiqian:…` text, frames one a line, or the name of a file that has either or the message itself.
pub(super) fn read(source: &str) -> Result<Carried> {
    if source.trim_start().starts_with("feiqian:") {
        return from_text(source);
    }
    let limit = u64::try_from(Limit::Large.bytes()).unwrap_or(u64::MAX).saturating_mul(2);
    let bytes = read_bounded(Path::new(source), limit)
        .map_err(|error| Failure::new(Code::Usage, format!("cannot read {source}: {error}")))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.trim_start().starts_with("feiqian:") => from_text(text),
        _ => Ok(Carried::from_file(&bytes)?),
    }
}

fn from_text(text: &str) -> Result<Carried> {
    if !text.trim_start().starts_with("feiqian:frame:") {
        return Ok(Carried::from_uri(text)?);
    }
    let mut collector = Collector::new();
    let mut missing = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match collector.add(line)? {
            Progress::Complete(carried) => return Ok(*carried),
            Progress::Waiting { seen, count } => missing = format!("{seen} of {count} frames"),
        }
    }
    Err(Failure::new(Code::Malformed, format!("{missing} are here, the others are missing")))
}

/// Hands a message out, which must be durable: written to a file, or as text or frames.
pub(super) fn hand_out(carried: &Carried, out: Option<&Path>) -> Result<Shown> {
    let file = carried.to_file()?;
    let mut shown = Shown { bytes: file.len(), uri: carried.to_uri().ok(), ..Shown::default() };
    match out {
        Some(path) => {
            write_private(path, &file).map_err(|error| {
                Failure::new(Code::Usage, format!("cannot write {}: {error}", path.display()))
                    .hint("it is stored: repeat the command with another --out FILE")
            })?;
            shown.file = Some(path.to_path_buf());
        }
        None if shown.uri.is_some() => {}
        None if file.len() > MOST_FRAMED => {
            return Err(Failure::new(Code::Usage, "the message is too long to be shown")
                .hint("it is stored: repeat the command with --out FILE"));
        }
        None => shown.frames = carried.to_frames()?,
    }
    Ok(shown)
}

/// What a message is, for telling the owner that it is for another command.
pub(super) fn wrong(carried: &Carried) -> Failure {
    let (what, hint) = match carried {
        Carried::Request(_) => ("a request for payment", "pay it with `wallet pay --offline`"),
        Carried::Payment(_) => ("a payment", "the shop that asked for it takes it: `merchant accept`"),
        Carried::Commitment(_) => ("the beginning of an offer", "answer it with `wallet offline answer`"),
        Carried::Nonce(_) => {
            ("a payer's answer to an offer", "open the offer to it with `wallet offline accept`")
        }
        Carried::Opening(_) => ("an opened offer", "pass value to it with `wallet transfer-coin --to`"),
        Carried::Transfer(_) => ("a transfer", "take it with `wallet accept`"),
    };
    Failure::new(Code::Usage, format!("this is {what}")).hint(hint)
}
