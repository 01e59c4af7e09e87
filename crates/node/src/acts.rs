//! The record of what operators did: a file of a home, one line for what is begun and one for how it ended.
//!
//! ```text
//! acts.log   {"number":1,"at":…,"act":"account_open","arguments":{…},"stage":"begun","of":null,"code":null,"digest":…}
//!            {"number":2,"at":…,"act":"account_open","arguments":null,"stage":"done","of":1,"code":null,"digest":…}
//! ```
//!
//! The first line is durable before the act may change anything, so an act that a crash cut short shows as begun and never
//! ended. Each digest covers the line and the digest before it: a line that was changed, or taken out anywhere but at the
//! end, is found.
//!
//! # Security
//! Arguments are written as they were given: an operator's command bears names and amounts, no keys, codes or passphrases.
//! Answers, which may, are not written. Who can write the file can write it anew from its beginning.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use feiqian_crypto::{Digest, Transcript};
use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::files;
use crate::home::Home;

/// The file in a home.
const FILE: &str = "acts.log";

/// Where an act stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It may have had its effect.
    Begun,
    /// It was carried out.
    Done,
    /// It ended with a fault.
    Refused,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// From 1, without gaps.
    pub number: u64,
    /// When, Unix seconds by the node's clock.
    pub at: u64,
    /// What was done.
    pub act: String,
    /// With what; of the line that begins it.
    pub arguments: Value,
    /// Where it stands.
    pub stage: Stage,
    /// The number of the line that begins it; of lines that end one.
    pub of: Option<u64>,
    /// Why it was refused.
    pub code: Option<Code>,
    /// Over this line and the digest before it.
    pub digest: Digest,
}

impl Line {
    fn chained(&self, previous: &Digest) -> Result<Digest, Fault> {
        let bare = Self { digest: Digest([0; 32]), ..self.clone() };
        Ok(Transcript::new("node/act").digest(previous).bytes(&bare.to_json()?).into_digest())
    }

    fn to_json(&self) -> Result<Vec<u8>, Fault> {
        serde_json::to_vec(self).map_err(|error| Fault::new(Code::Internal, error.to_string()))
    }
}

/// A home's record, open for writing. Hold the home's lock.
#[derive(Debug)]
pub struct Acts {
    path: PathBuf,
    end: Mutex<End>,
}

#[derive(Debug)]
struct End {
    file: File,
    number: u64,
    digest: Digest,
}

/// What a record says.
#[derive(Debug, Serialize)]
pub struct Record {
    /// All lines, oldest first.
    pub acts: Vec<Line>,
    /// The number of the first line that does not fit what stands before it; none when the chain is whole.
    pub broken_at: Option<u64>,
}

impl Acts {
    /// Opens the record of a home, or begins it. A line that a crash cut short was never relied on and is taken off.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses, or its last line is none of a record.
    pub fn open(home: &Home) -> Result<Self, Fault> {
        let path = home.path(FILE);
        let failed = |error: io::Error| failed("open", &path, &error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&path).map_err(failed)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(failed)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end.saturating_add(1));
        if whole < text.len() {
            file.set_len(u64::try_from(whole).unwrap_or(u64::MAX)).map_err(failed)?;
            text.truncate(whole);
        }
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let last = text.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
        let (number, digest) = match last {
            None => (0, Digest([0; 32])),
            Some(line) => {
                let line: Line = serde_json::from_slice(line).map_err(|error| {
                    Fault::new(Code::Internal, format!("the last line of {}: {error}", path.display()))
                        .hint("keep the file aside as evidence; a new one is begun")
                })?;
                (line.number, line.digest)
            }
        };
        Ok(Self { path, end: Mutex::new(End { file, number, digest }) })
    }

    /// Writes, durably, that an act is begun; answers its number.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses: the act must not be done then.
    pub fn begin(&self, at: Timestamp, act: &str, arguments: Value) -> Result<u64, Fault> {
        self.append(at, act, arguments, (Stage::Begun, None, None))
    }

    /// Writes how the act of this number ended.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses: the act is done all the same.
    pub fn end<T>(
        &self,
        at: Timestamp,
        act: &str,
        number: u64,
        outcome: &Result<T, Fault>,
    ) -> Result<(), Fault> {
        let (stage, code) = match outcome {
            Ok(_) => (Stage::Done, None),
            Err(fault) => (Stage::Refused, Some(fault.code)),
        };
        self.append(at, act, Value::Null, (stage, Some(number), code)).map(drop)
    }

    fn append(
        &self,
        at: Timestamp,
        act: &str,
        arguments: Value,
        (stage, of, code): (Stage, Option<u64>, Option<Code>),
    ) -> Result<u64, Fault> {
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let number = end.number.saturating_add(1);
        let digest = Digest([0; 32]);
        let (at, act) = (at.seconds(), act.to_owned());
        let mut line = Line { number, at, act, arguments, stage, of, code, digest };
        line.digest = line.chained(&end.digest)?;
        let mut bytes = line.to_json()?;
        bytes.push(b'\n');
        // In one write: a line is there whole, or cut short at the end of the file.
        let file = &mut end.file;
        let written = file.stream_position().and_then(|start| {
            file.write_all(&bytes).and_then(|()| file.sync_data()).inspect_err(|_| {
                // A disk that is full takes a part: the next line must not stand behind that.
                let _ = file.set_len(start).and_then(|()| file.seek(SeekFrom::Start(start)));
            })
        });
        written.map_err(|error| failed("write", &self.path, &error))?;
        (end.number, end.digest) = (number, line.digest);
        Ok(number)
    }
}

fn failed(what: &str, path: &std::path::Path, error: &io::Error) -> Fault {
    files::fault(what, path, error)
}

/// Reads the record of a home and checks its chain; a node may be writing it.
///
/// # Errors
/// `INTERNAL` when the file system refuses.
pub fn read(home: &Home) -> Result<Record, Fault> {
    let path = home.path(FILE);
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed("read", &path, &error)),
    };
    let whole = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let mut record = Record { acts: Vec::new(), broken_at: None };
    let mut previous = Digest([0; 32]);
    let lines = text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n');
    for (bytes, number) in lines.filter(|line| !line.is_empty()).zip(1_u64..) {
        match serde_json::from_slice::<Line>(bytes) {
            Ok(line) => {
                if line.number != number || line.chained(&previous)? != line.digest {
                    record.broken_at.get_or_insert(number);
                }
                previous = line.digest;
                record.acts.push(line);
            }
            Err(_) => {
                record.broken_at.get_or_insert(number);
            }
        }
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use std::os::unix::fs::PermissionsExt;

    use serde_json::json;

    use super::*;

    fn home(dir: &std::path::Path) -> Home {
        Home::create(dir, "bank").unwrap()
    }

    fn two_acts(home: &Home) {
        let acts = Acts::open(home).unwrap();
        let first = acts.begin(Timestamp::new(10), "account_open", json!({"name": "alice"})).unwrap();
        acts.end(Timestamp::new(11), "account_open", first, &Ok(())).unwrap();
        let second = acts.begin(Timestamp::new(12), "account_close", json!({"name": "alice"})).unwrap();
        let refusal = Err::<(), _>(Fault::new(Code::Conflict, "it has a balance"));
        acts.end(Timestamp::new(13), "account_close", second, &refusal).unwrap();
    }

    #[test]
    fn acts_are_written_with_their_outcome_and_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        assert!(read(&home).unwrap().acts.is_empty());
        two_acts(&home);
        // Another process goes on where the first ended.
        Acts::open(&home).unwrap().begin(Timestamp::new(14), "settle", Value::Null).unwrap();
        let record = read(&home).unwrap();
        assert_eq!(record.broken_at, None);
        let told: Vec<_> =
            record.acts.iter().map(|line| (line.number, line.stage, line.of, line.code)).collect();
        let expected = [
            (1, Stage::Begun, None, None),
            (2, Stage::Done, Some(1), None),
            (3, Stage::Begun, None, None),
            (4, Stage::Refused, Some(3), Some(Code::Conflict)),
            (5, Stage::Begun, None, None),
        ];
        assert_eq!(told, expected);
        let mode = std::fs::metadata(home.path(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_changed_or_missing_line_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        two_acts(&home);
        let text = std::fs::read_to_string(home.path(FILE)).unwrap();
        std::fs::write(home.path(FILE), text.replace(r#""code":"CONFLICT""#, r#""code":"BUSY""#)).unwrap();
        assert_eq!(read(&home).unwrap().broken_at, Some(4));
        let without: String = text.lines().skip(1).map(|line| format!("{line}\n")).collect();
        std::fs::write(home.path(FILE), without).unwrap();
        assert_eq!(read(&home).unwrap().broken_at, Some(1));
        std::fs::write(home.path(FILE), format!("{text}not a line\n")).unwrap();
        assert_eq!(read(&home).unwrap().broken_at, Some(5));
    }

    #[test]
    fn a_line_cut_short_is_taken_off_and_the_next_one_fits() {
        let dir = tempfile::tempdir().unwrap();
        let home = home(dir.path());
        two_acts(&home);
        let text = std::fs::read_to_string(home.path(FILE)).unwrap();
        std::fs::write(home.path(FILE), format!("{text}{{\"number\":5,\"at\"")).unwrap();
        assert_eq!(read(&home).unwrap().acts.len(), 4);
        Acts::open(&home).unwrap().begin(Timestamp::new(14), "settle", Value::Null).unwrap();
        let record = read(&home).unwrap();
        assert_eq!((record.acts.len(), record.broken_at), (5, None));
    }
}
