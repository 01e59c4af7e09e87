//! A passphrase, and the growing delay after wrong ones.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use feiqian_wire::Timestamp;
use feiqian_wire::error::{Code, Fault};
use rustix::fs::{FlockOperation, flock};
use zeroize::Zeroizing;

use crate::clock::Clock;

/// Longest passphrase, in bytes.
pub const LONGEST_PASSPHRASE: usize = 1024;
/// Longest delay after a wrong passphrase, in seconds.
pub const LONGEST_DELAY: u64 = 300;
/// `WRONG LAST\n`, both in 20 digits: rewritten in place, always of the same length.
const LINE: usize = 42;

/// What the owner of a home knows: any bytes, up to [`LONGEST_PASSPHRASE`] of them. Empty means none.
///
/// # Security
/// Redacted in `Debug`, wiped when dropped.
pub struct Passphrase(Zeroizing<Vec<u8>>);

impl std::fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Passphrase(redacted)")
    }
}

impl Passphrase {
    /// These bytes.
    ///
    /// # Errors
    /// `USAGE` when there are more than [`LONGEST_PASSPHRASE`].
    pub fn new(bytes: Vec<u8>) -> Result<Self, Fault> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > LONGEST_PASSPHRASE {
            return Err(Fault::new(
                Code::Usage,
                format!("a passphrase has at most {LONGEST_PASSPHRASE} bytes"),
            ));
        }
        Ok(Self(bytes))
    }

    /// The content of a file, without the line end at its end.
    ///
    /// # Errors
    /// `USAGE` when the file cannot be read or is too long; `FORBIDDEN` when others than its owner can read it.
    pub fn read_file(path: &Path) -> Result<Self, Fault> {
        let refused = |error: io::Error| {
            Fault::new(Code::Usage, format!("the passphrase file {}: {error}", path.display()))
        };
        let file = File::open(path).map_err(refused)?;
        let metadata = file.metadata().map_err(refused)?;
        // A pipe has nobody else at its other end, whatever its mode.
        if metadata.is_file() && metadata.permissions().mode() & 0o077 != 0 {
            return Err(open_to_others(path, metadata.permissions().mode()));
        }
        let most = u64::try_from(LONGEST_PASSPHRASE).unwrap_or(u64::MAX).saturating_add(3);
        // Room for all of it at once: a vector that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST_PASSPHRASE.saturating_add(4)));
        file.take(most).read_to_end(&mut bytes).map_err(refused)?;
        let text = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        Self::new(text.strip_suffix(b"\r").unwrap_or(text).to_vec())
    }

    /// Whether it is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The refusal of a secret file that others can open.
pub(crate) fn open_to_others(path: &Path, mode: u32) -> Fault {
    Fault::new(
        Code::Forbidden,
        format!("{} is open to others than its owner (mode {:04o})", path.display(), mode & 0o7777),
    )
    .hint("close it with `chmod 600`; who could read it meanwhile may have its secrets")
}

/// Seconds to wait after so many wrong passphrases in a row: 1, 2, 4, … up to [`LONGEST_DELAY`].
#[must_use]
pub fn delay_seconds(wrong: u64) -> u64 {
    match wrong.checked_sub(1) {
        None => 0,
        Some(doublings) => {
            u32::try_from(doublings).ok().and_then(|doublings| 1_u64.checked_shl(doublings)).map_or(
                LONGEST_DELAY,
                |seconds| if seconds == 0 { LONGEST_DELAY } else { seconds.min(LONGEST_DELAY) },
            )
        }
    }
}

/// An attempt that has been counted as wrong, durably, before it was made: killing the process does not save it, and
/// attempts of several processes queue up.
#[derive(Debug)]
pub(crate) struct Attempt {
    file: File,
    wrong: u64,
    at: u64,
}

impl Attempt {
    /// Counts an attempt in the file at `path`.
    ///
    /// Time is the wall clock's. A clock turned back makes the delay begin again, so it never ends sooner for that; a
    /// clock turned forward ends it sooner, and nothing here could tell.
    ///
    /// # Errors
    /// `BUSY` while the delay after the last wrong one runs, saying until when; `INTERNAL` when the file system refuses.
    pub(crate) fn begin(path: &Path, clock: &dyn Clock) -> Result<Self, Fault> {
        let failed = |error: io::Error| {
            Fault::new(Code::Internal, format!("cannot count attempts in {}: {error}", path.display()))
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        let now = clock.now().seconds();
        let (wrong, last) = read_count(&mut file, now).map_err(failed)?;
        if wrong > 0 {
            if now < last {
                write_count(&mut file, wrong, now).map_err(failed)?;
            }
            let until = last.min(now).saturating_add(delay_seconds(wrong));
            if now < until {
                return Err(too_soon(wrong, until, now));
            }
        }
        let wrong = wrong.saturating_add(1);
        write_count(&mut file, wrong, now).map_err(failed)?;
        Ok(Self { file, wrong, at: now })
    }

    /// The passphrase was right: nothing is counted any more.
    ///
    /// # Errors
    /// `INTERNAL` when the file system refuses.
    pub(crate) fn right(mut self) -> Result<(), Fault> {
        write_count(&mut self.file, 0, self.at)
            .map_err(|error| Fault::new(Code::Internal, format!("cannot end counting attempts: {error}")))
    }

    /// What to tell when it was wrong.
    pub(crate) fn wrong(self) -> Fault {
        let until = self.at.saturating_add(delay_seconds(self.wrong));
        Fault::new(Code::PassphraseInvalid, "the passphrase is wrong").hint(format!(
            "{}; try again from {} on",
            in_a_row(self.wrong),
            moment(until)
        ))
    }
}

fn in_a_row(wrong: u64) -> String {
    if wrong == 1 { "one wrong passphrase".to_owned() } else { format!("{wrong} wrong passphrases in a row") }
}

fn too_soon(wrong: u64, until: u64, now: u64) -> Fault {
    let wait = until.saturating_sub(now);
    Fault::new(Code::Busy, format!("{}: none is looked at for another {wait} s", in_a_row(wrong)))
        .hint(format!("try again from {} on", moment(until)))
}

fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| Timestamp::new(seconds).to_string(), |time| time.to_string())
}

/// How many were wrong in a row, and when the last was. What cannot be read counts as many, the last one now.
fn read_count(file: &mut File, now: u64) -> io::Result<(u64, u64)> {
    let mut text = String::new();
    file.rewind()?;
    if file.take(64).read_to_string(&mut text).is_err() {
        return Ok((64, now));
    }
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    Ok(match (numbers.next(), numbers.next(), numbers.next()) {
        (None, ..) => (0, now),
        (Some(Ok(wrong)), Some(Ok(last)), None) => (wrong, last),
        _ => (64, now),
    })
}

fn write_count(file: &mut File, wrong: u64, at: u64) -> io::Result<()> {
    let line = format!("{wrong:020} {at:020}\n");
    debug_assert_eq!(line.len(), LINE, "in place");
    file.rewind()?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use super::*;
    use crate::clock::ManualClock;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::new(seconds)
    }

    #[test]
    fn the_delay_doubles_from_a_second_to_five_minutes() {
        let delays: Vec<u64> = (0..12).map(delay_seconds).collect();
        assert_eq!(delays, [0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(delay_seconds(64), 300);
        assert_eq!(delay_seconds(65), 300);
        assert_eq!(delay_seconds(u64::MAX), 300);
    }

    #[test]
    fn wrong_attempts_delay_the_next_and_a_right_one_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        let (path, clock) = (dir.path().join("attempts"), ManualClock::new(at(1000)));
        let fault = Attempt::begin(&path, &clock).unwrap().wrong();
        assert_eq!(fault.code, Code::PassphraseInvalid);
        assert!(fault.hint.unwrap().contains("from 1970-01-01T00:16:41Z on"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let soon = Attempt::begin(&path, &clock).unwrap_err();
        assert_eq!(soon.code, Code::Busy);
        assert!(soon.message.contains("another 1 s"), "{soon}");
        // What is not looked at is not counted.
        clock.set(at(1001));
        drop(Attempt::begin(&path, &clock).unwrap());
        clock.set(at(1002));
        let soon = Attempt::begin(&path, &clock).unwrap_err();
        assert!(soon.message.contains("2 wrong passphrases in a row"), "a dropped attempt counts: {soon}");
        clock.set(at(1003));
        Attempt::begin(&path, &clock).unwrap().right().unwrap();
        Attempt::begin(&path, &clock).unwrap().right().unwrap();
    }

    #[test]
    fn a_clock_turned_back_makes_the_delay_begin_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, clock) = (dir.path().join("attempts"), ManualClock::new(at(10_000)));
        for wrong in 1..=5 {
            drop(Attempt::begin(&path, &clock).unwrap());
            clock.set(clock.now().saturating_add(delay_seconds(wrong)));
        }
        drop(Attempt::begin(&path, &clock).unwrap());
        // Six wrong: 32 seconds. Turned back by a day, and again.
        for now in [5_000, 4_000] {
            clock.set(at(now));
            let soon = Attempt::begin(&path, &clock).unwrap_err();
            assert!(soon.message.contains("another 32 s"), "{soon}");
        }
        clock.set(at(4_031));
        assert_eq!(Attempt::begin(&path, &clock).unwrap_err().code, Code::Busy);
        clock.set(at(4_032));
        Attempt::begin(&path, &clock).unwrap();
    }

    #[test]
    fn a_count_that_cannot_be_read_counts_as_many() {
        let dir = tempfile::tempdir().unwrap();
        let (path, clock) = (dir.path().join("attempts"), ManualClock::new(at(1000)));
        std::fs::write(&path, "0 0 0 many").unwrap();
        assert!(Attempt::begin(&path, &clock).unwrap_err().message.contains("another 300 s"));
        std::fs::write(&path, [0xff_u8; 8]).unwrap();
        assert_eq!(Attempt::begin(&path, &clock).unwrap_err().code, Code::Busy);
    }

    #[test]
    fn a_passphrase_file_is_its_owners_alone_and_loses_its_line_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passphrase");
        std::fs::write(&path, "correct horse\r\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(Passphrase::read_file(&path).unwrap_err().code, Code::Forbidden);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
        let read = Passphrase::read_file(&path).unwrap();
        assert_eq!(read.as_bytes(), b"correct horse");
        assert_eq!(format!("{read:?}"), "Passphrase(redacted)");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "\n").unwrap();
        assert!(Passphrase::read_file(&path).unwrap().is_empty());
        std::fs::write(&path, "x".repeat(LONGEST_PASSPHRASE + 1)).unwrap();
        assert_eq!(Passphrase::read_file(&path).unwrap_err().code, Code::Usage);
    }
}
