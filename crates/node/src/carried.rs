//! Messages of offline cash by hand, as people give them and get them: files, text, or frames for a screen.

use std::path::{Path, PathBuf};

use feiqian_offline_cash::carry::{Carried, Collector, Progress};
use feiqian_wire::codec::Limit;
use feiqian_wire::error::{Code, Fault};
use serde::Serialize;

use crate::files::{read_bounded, write_private};

/// Longest message that is shown as frames, bytes: larger ones are carried as files.
const MOST_FRAMED: usize = 256 * 1024;

/// A message on its way out: what a command tells of it.
#[derive(Debug, Default, Serialize)]
pub struct Shown {
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
///
/// # Errors
/// `USAGE` for a file that cannot be read, `MALFORMED` and `TOO_LARGE` for what is no message, or not all of it.
pub fn read(source: &str) -> Result<Carried, Fault> {
    if source.trim_start().starts_with("feiqian:") {
        return from_text(source);
    }
    let limit = u64::try_from(Limit::Large.bytes()).unwrap_or(u64::MAX).saturating_mul(2);
    let bytes = read_bounded(Path::new(source), limit)
        .map_err(|error| Fault::new(Code::Usage, format!("cannot read {source}: {error}")))?;
    match std::str::from_utf8(&bytes) {
        Ok(text) if text.trim_start().starts_with("feiqian:") => from_text(text),
        _ => Ok(Carried::from_file(&bytes)?),
    }
}

fn from_text(text: &str) -> Result<Carried, Fault> {
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
    Err(Fault::new(Code::Malformed, format!("{missing} are here, the others are missing")))
}

/// Hands a message out, which must be durable: written to a file, or as text or frames.
///
/// # Errors
/// `USAGE` for a file that cannot be written, and for a message too long for frames when no file is named.
pub fn hand_out(carried: &Carried, out: Option<&Path>) -> Result<Shown, Fault> {
    let file = carried.to_file()?;
    let mut shown = Shown { bytes: file.len(), uri: carried.to_uri().ok(), ..Shown::default() };
    match out {
        Some(path) => {
            write_private(path, &file).map_err(|error| {
                Fault::new(Code::Usage, format!("cannot write {}: {error}", path.display()))
                    .hint("it is stored: repeat the command with another --out FILE")
            })?;
            shown.file = Some(path.to_path_buf());
        }
        None if shown.uri.is_some() => {}
        None if file.len() > MOST_FRAMED => {
            return Err(Fault::new(Code::Usage, "the message is too long to be shown")
                .hint("it is stored: repeat the command with --out FILE"));
        }
        None => shown.frames = carried.to_frames()?,
    }
    Ok(shown)
}
