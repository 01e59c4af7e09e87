//! Messages by hand, as the till gives them and gets them: text, frames for a screen, or files.

use std::path::{Path, PathBuf};

use feiqian_node::files::{read_bounded, write_private};
use feiqian_offline_cash::carry::{Carried, Collector, Progress};
use feiqian_wire::Limit;
use feiqian_wire::error::{Code, Fault};
use serde::Serialize;

/// A message on its way out.
#[derive(Debug, Serialize)]
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

/// Reads `feiqian:…` text, frames one a line, or the name of a file that has either or the message itself.
pub(super) fn read(source: &str) -> Result<Carried, Fault> {
    if source.trim_start().starts_with("feiqian:") {
        return from_text(source);
    }
    // Frames are a half longer than what they carry.
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
    let mut seen_of = String::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        match collector.add(line)? {
            Progress::Complete(carried) => return Ok(*carried),
            Progress::Waiting { seen, count } => seen_of = format!("{seen} of {count} frames"),
        }
    }
    Err(Fault::new(Code::Malformed, format!("{seen_of} are here, the others are missing")))
}

/// Hands out a message that is stored.
pub(super) fn hand_out(carried: &Carried, out: Option<PathBuf>) -> Result<Shown, Fault> {
    let (file, uri) = (carried.to_file()?, carried.to_uri().ok());
    if let Some(path) = &out {
        write_private(path, &file).map_err(|error| {
            Fault::new(Code::Usage, format!("cannot write {}: {error}", path.display()))
                .hint("it is stored: repeat the command with another --out FILE")
        })?;
    }
    let frames = if uri.is_none() && out.is_none() { carried.to_frames()? } else { Vec::new() };
    Ok(Shown { bytes: file.len(), uri, frames, file: out })
}
