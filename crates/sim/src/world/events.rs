//! What happened, in order: every message, durable write, fault and operation, folded into one digest.
//!
//! Two runs with equal digests did the same at the same simulated nanosecond, down to the bytes of every message.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{SimError, files};

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Simulated nanoseconds since the beginning.
    pub at: u64,
    /// `send`, `answer`, `write`, `fault` or `operation`.
    pub kind: &'static str,
    /// Who did it.
    pub actor: &'a str,
    /// To whom; empty when to nobody.
    pub peer: &'a str,
    /// Path, point, or name of the operation.
    pub what: &'a str,
    /// What came out.
    pub outcome: &'a str,
    /// The bytes that travelled.
    pub bytes: &'a [u8],
}

/// All events so far: their number and their digest, and the file they go to where one is kept.
#[derive(Debug)]
pub struct EventLog {
    digest: Sha256,
    count: u64,
    file: Option<BufWriter<File>>,
    failed: Option<SimError>,
}

impl EventLog {
    /// An empty log that keeps only the digest.
    #[must_use]
    pub fn new() -> Self {
        Self { digest: Sha256::new(), count: 0, file: None, failed: None }
    }

    /// An empty log that also writes every event to a CSV file.
    ///
    /// # Errors
    /// [`SimError::Files`] when the file cannot be made.
    pub fn to_file(path: &Path) -> Result<Self, SimError> {
        let mut file = BufWriter::new(File::create(path).map_err(|error| files("create", path, &error))?);
        let head = writeln!(file, "number,seconds,kind,actor,peer,what,outcome,bytes");
        head.map_err(|error| files("write", path, &error))?;
        Ok(Self { file: Some(file), ..Self::new() })
    }

    /// Adds an event; answers its number, from 1.
    pub fn add(&mut self, event: &Event<'_>) -> u64 {
        self.count = self.count.saturating_add(1);
        self.digest.update(event.at.to_le_bytes());
        for text in [event.kind, event.actor, event.peer, event.what, event.outcome] {
            self.field(text.as_bytes());
        }
        self.field(event.bytes);
        if let Some(file) = &mut self.file {
            let (seconds, nanos) = (event.at / 1_000_000_000, event.at % 1_000_000_000);
            let Event { kind, actor, peer, what, outcome, bytes, .. } = event;
            let line = writeln!(
                file,
                "{},{seconds}.{nanos:09},{kind},{actor},{peer},{what},{outcome},{}",
                self.count,
                bytes.len()
            );
            if let Err(error) = line {
                // A full disk must not change the world; the run says so at its end.
                self.failed = Some(SimError::Files(format!("the events cannot be written: {error}")));
                self.file = None;
            }
        }
        self.count
    }

    fn field(&mut self, bytes: &[u8]) {
        self.digest.update((bytes.len() as u64).to_le_bytes());
        self.digest.update(bytes);
    }

    /// How many there were.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The digest over all of them, in hexadecimal.
    #[must_use]
    pub fn digest(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// [`SimError::Files`] when anything could not be written.
    pub fn finish(&mut self) -> Result<(), SimError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        match self.file.as_mut().map(std::io::Write::flush) {
            Some(Err(error)) => Err(SimError::Files(format!("the events cannot be written: {error}"))),
            _ => Ok(()),
        }
    }
}

impl Default for EventLog {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: Event<'static> =
        Event { at: 1, kind: "send", actor: "a", peer: "b", what: "/v1/x", outcome: "", bytes: b"xyz" };

    fn digest(events: &[Event<'_>]) -> String {
        let mut log = EventLog::new();
        for event in events {
            log.add(event);
        }
        log.digest()
    }

    #[test]
    fn every_part_of_an_event_is_in_the_digest() {
        let one = digest(&[EVENT]);
        assert_eq!(one, digest(&[EVENT]));
        for other in [
            Event { at: 2, ..EVENT },
            Event { kind: "answer", ..EVENT },
            Event { actor: "ab", peer: "", ..EVENT },
            Event { what: "/v1/y", ..EVENT },
            Event { outcome: "OK", ..EVENT },
            Event { bytes: b"xyw", ..EVENT },
        ] {
            assert_ne!(one, digest(&[other]));
        }
        assert_ne!(one, digest(&[EVENT, EVENT]));
    }
}
