//! A copy of a store in one file, made while a node writes to it, with what else belongs to the node.
//!
//! The file is a database like the store's own, in one consistent state, with two tables more: `backup_file` holds the files
//! of the node's home, `backup_about` what the backup is. [`restore`] makes a store of it without them, and notes in
//! `store_meta` that it was restored, and from when its content is.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::Connection;

use crate::{error::OpenError, schema};

/// How long another process that holds the database is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

const TABLES: &str = "CREATE TABLE backup_file (name TEXT NOT NULL PRIMARY KEY, body BLOB NOT NULL) STRICT;
     CREATE TABLE backup_about (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT;";

/// A file of the node's home: its path in the home, and what it holds.
pub type HomeFile = (String, Vec<u8>);

/// What a backup is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// The role of the node.
    pub role: String,
    /// The state that it holds: no later than this, Unix seconds.
    pub made_at: u64,
}

fn failed(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError {
    let path = path.display().to_string();
    move |error| OpenError::Database { path: path.clone(), reason: error.to_string() }
}

fn io_failed(path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.display().to_string();
    move |error| OpenError::Database { path: path.clone(), reason: error.to_string() }
}

/// The database beside `path` that is worked on until it is whole.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    path.with_file_name(name)
}

/// An empty file that only its owner can read: SQLite keeps the mode of what it finds.
fn empty(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map(drop)
}

/// Copies one consistent state of `from` into the new file `to`.
fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let source = schema::open_reader(from, PATIENCE)?;
    if schema::read_meta(&source, from)?.is_none() {
        let (found, expected) = ("(none)".to_owned(), "any".to_owned());
        return Err(OpenError::WrongRole { path: from.display().to_string(), found, expected });
    }
    empty(to).map_err(io_failed(to))?;
    let mut target = Connection::open(to).map_err(failed(to))?;
    // All pages in one step: one read transaction, so one state, and writers of `from` are not held up.
    let whole = rusqlite::backup::Backup::new(&source, &mut target).and_then(|backup| backup.step(-1));
    match whole.map_err(failed(to))? {
        rusqlite::backup::StepResult::Done => {}
        other => {
            let reason = format!("the database could not be copied: {other:?}");
            return Err(OpenError::Database { path: from.display().to_string(), reason });
        }
    }
    // One file, without a journal beside it.
    target.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).map_err(failed(to))
}

/// Puts a finished file in its place, durably.
fn finish(part: &Path, to: &Path) -> io::Result<()> {
    File::open(part)?.sync_all()?;
    std::fs::rename(part, to)?;
    match to.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => File::open(dir)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Copies the store in `store` into the new file `out`, readable by its owner only. `files` is asked after the store was
/// copied: what a node writes before it notes it in its store is then in the backup too.
///
/// # Errors
/// [`OpenError`] when `store` is none, or the file system refuses.
///
/// # Security
/// The backup holds the node's secrets as its home does.
pub fn write(
    store: &Path,
    out: &Path,
    made_at: u64,
    files: impl FnOnce() -> io::Result<Vec<HomeFile>>,
) -> Result<(), OpenError> {
    let part = beside(out);
    copy(store, &part)?;
    let files = files().map_err(io_failed(store))?;
    let keep = || {
        let mut connection = Connection::open(&part)?;
        let transaction = connection.transaction()?;
        transaction.execute_batch(TABLES)?;
        for (name, body) in &files {
            transaction.execute("INSERT INTO backup_file (name, body) VALUES (?1, ?2)", (name, body))?;
        }
        let about = "INSERT INTO backup_about (name, value) VALUES ('made_at', ?1)";
        transaction.execute(about, [made_at.to_string()])?;
        transaction.commit()
    };
    keep().map_err(failed(&part))?;
    finish(&part, out).map_err(io_failed(out))
}

/// Reads what a backup is, and the files in it, after SQLite has checked all of it.
///
/// # Errors
/// [`OpenError`] when it is no backup, or damaged.
pub fn read(from: &Path) -> Result<(About, Vec<HomeFile>), OpenError> {
    let connection = schema::open_reader(from, PATIENCE)?;
    let none =
        || OpenError::Database { path: from.display().to_string(), reason: "it is no backup".to_owned() };
    let (role, _) = schema::read_meta(&connection, from)?.ok_or_else(none)?;
    let made: Result<String, _> =
        connection.query_row("SELECT value FROM backup_about WHERE name = 'made_at'", [], |row| row.get(0));
    let made_at = made.ok().and_then(|text| text.parse().ok()).ok_or_else(none)?;
    let check: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed(from))?;
    if check != "ok" {
        let reason = format!("the backup is damaged: {check}");
        return Err(OpenError::Database { path: from.display().to_string(), reason });
    }
    let files = || {
        let mut statement = connection.prepare("SELECT name, body FROM backup_file ORDER BY name")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<HomeFile>>>()
    };
    Ok((About { role, made_at }, files().map_err(failed(from))?))
}

/// Makes the store `to`, which must not exist, of a backup.
///
/// # Errors
/// [`OpenError`] when `from` is no backup, or the file system refuses.
pub fn restore(from: &Path, to: &Path, now: u64) -> Result<(), OpenError> {
    let part = beside(to);
    let (about, _) = read(from)?;
    copy(from, &part)?;
    let clean = || {
        let connection = Connection::open(&part)?;
        // What the files held is overwritten, not only forgotten.
        connection.pragma_update(None, "secure_delete", true)?;
        connection.execute_batch("DROP TABLE backup_file; DROP TABLE backup_about;")?;
        let note = "INSERT INTO store_meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
        for (name, value) in [("restored_from", about.made_at), ("restored_at", now)] {
            connection.execute(note, [name, &value.to_string()])?;
        }
        Ok(())
    };
    clean().map_err(failed(&part))?;
    finish(&part, to).map_err(io_failed(to))
}
