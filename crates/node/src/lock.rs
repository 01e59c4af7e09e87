//! One process a home: an advisory lock on `lock` in the home's folder.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use feiqian_wire::error::{Code, Fault};
use rustix::fs::{FlockOperation, flock};
use tokio::time::Instant;

use crate::files;

/// Pause between two attempts at a lock somebody holds.
const RETRY: Duration = Duration::from_millis(20);

/// The right to change a home, held until dropped. The operating system takes it back when the process ends,
/// however it ends, so a lock is never left behind.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

impl HomeLock {
    /// Locks the home in `dir`, waiting at most `patience` for another process to finish with it.
    ///
    /// # Errors
    /// `LOCKED` when another process still holds it then, naming the process; `INTERNAL` when the file system refuses.
    pub async fn acquire(dir: &Path, patience: Duration) -> Result<Self, Fault> {
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| files::fault("open", &path, &error))?;
        let started = Instant::now();
        while let Err(error) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            let busy = error == rustix::io::Errno::WOULDBLOCK || error == rustix::io::Errno::INTR;
            if !busy {
                return Err(Fault::new(Code::Internal, format!("cannot lock {}: {error}", path.display())));
            }
            if started.elapsed() >= patience {
                return Err(locked(dir, &mut file));
            }
            tokio::time::sleep(RETRY).await;
        }
        record_holder(&mut file);
        Ok(Self { _file: file })
    }
}

/// Writes who holds the lock, for the message others get. The lock does not depend on it.
fn record_holder(file: &mut File) {
    let written =
        file.set_len(0).and_then(|()| file.rewind()).and_then(|()| writeln!(file, "{}", std::process::id()));
    if let Err(error) = written {
        tracing::debug!(%error, "the lock does not name its holder");
    }
}

fn locked(dir: &Path, file: &mut File) -> Fault {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(32).read_to_string(&mut text));
    let holder = match (read, text.trim().parse::<u32>()) {
        (Ok(_), Ok(id)) => format!("process {id}"),
        _ => "another process".to_owned(),
    };
    Fault::new(Code::Locked, format!("{} is in use by {holder}", dir.display()))
        .hint("wait for it to finish, stop it, or choose another folder with --home")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failure to set up fails the test")]

    use super::*;

    #[tokio::test]
    async fn the_second_holder_is_refused_and_told_who_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let held = HomeLock::acquire(dir.path(), Duration::ZERO).await.unwrap();
        let refused = HomeLock::acquire(dir.path(), Duration::from_millis(50)).await.unwrap_err();
        assert_eq!(refused.code, Code::Locked);
        assert!(refused.message.contains(&format!("process {}", std::process::id())), "{refused}");
        drop(held);
        HomeLock::acquire(dir.path(), Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_patient_holder_gets_it_when_it_is_released() {
        let dir = tempfile::tempdir().unwrap();
        let held = HomeLock::acquire(dir.path(), Duration::ZERO).await.unwrap();
        let path = dir.path().to_owned();
        let waiting =
            tokio::spawn(async move { HomeLock::acquire(&path, Duration::from_secs(20)).await.map(drop) });
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap().unwrap();
    }
}
