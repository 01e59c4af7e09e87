//! Opening a file: settings, role, version, tables.

use std::{path::Path, time::Duration};

use feiqian_ledger::store::{Carried, Step, StoreError, Table};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig, ffi};

use crate::{
    error::OpenError,
    sqlite::Options,
    statements::{Statements, create_indexes, create_table},
    tx::SqliteTx,
};

const META: &str =
    "CREATE TABLE store_meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID";

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn failure(path: &Path) -> impl Fn(rusqlite::Error) -> OpenError {
    let path = shown(path);
    move |error| OpenError::Database { path: path.clone(), reason: error.to_string() }
}

/// The writer's connection: settings made, schema checked or created.
pub(crate) fn open_writer(
    path: &Path,
    tables: &[&'static Table],
    options: &Options,
) -> Result<Connection, OpenError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(failure(path))?;
    connection.busy_timeout(options.busy_timeout).map_err(failure(path))?;
    // Asked before anything is written, so that a foreign file stays as it is.
    check_meta(&connection, path, options)?;
    settings(&connection).map_err(failure(path))?;
    install(&mut connection, path, tables, options)?;
    Ok(connection)
}

/// A plan of a statement never depends on the values bound to it. Without this SQLite plans a statement anew at every
/// use whose plan could, such as one with `LIMIT ?1`.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// How much of the data a writer keeps in memory, bytes.
pub(crate) const CACHE_BYTES: u64 = 256 << 20;

/// The settings of a writer whose log somebody else flushes before anybody is told of a commit: `synchronous = NORMAL` does
/// not flush it at a commit, but wherever the file could come apart.
fn settings(connection: &Connection) -> rusqlite::Result<()> {
    plan_once(connection)?;
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        let reason = format!("the file system allows no write-ahead log (journal_mode is {mode})");
        return Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_CANTOPEN), Some(reason)));
    }
    connection.execute_batch(
        "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;",
    )?;
    let kib = i64::try_from(CACHE_BYTES >> 10).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", kib.saturating_neg())?;
    connection.pragma_update_and_check(None, "journal_size_limit", 134_217_728, |_| Ok(()))
}

/// A connection that carries the log of a database into its file, beside its writer.
pub(crate) fn open_beside(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy_timeout)?;
        connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA cache_size = -1024;")?;
        Ok(connection)
    };
    open().map_err(failure(path))
}

/// A connection that cannot write, also not by mistake.
pub(crate) fn open_reader(path: &Path, busy_timeout: Duration) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(busy_timeout)?;
        plan_once(&connection)?;
        connection.execute_batch(
            "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;",
        )?;
        Ok(connection)
    };
    open().map_err(failure(path))
}

/// A database that lives and dies with its connection: in memory, or in a temporary file of which at most `cache_kib` KiB
/// are in memory.
pub(crate) fn open_memory(
    tables: &[&'static Table],
    options: &Options,
    cache_kib: Option<u32>,
) -> Result<Connection, OpenError> {
    // A file without a name is made when the cache is full and is gone with its connection.
    let (name, shown) = if cache_kib.is_some() { ("", "a temporary file") } else { (":memory:", ":memory:") };
    let path = Path::new(shown);
    let mut connection = Connection::open(name).map_err(failure(path))?;
    plan_once(&connection).map_err(failure(path))?;
    // Many small tables: with pages of the usual size an empty store would take four times as much.
    connection.pragma_update(None, "page_size", 1024).map_err(failure(path))?;
    if let Some(kib) = cache_kib {
        connection
            .pragma_update_and_check(None, "journal_mode", "MEMORY", |_| Ok(()))
            .map_err(failure(path))?;
        connection
            .pragma_update(None, "cache_size", i64::from(kib).saturating_neg())
            .map_err(failure(path))?;
    }
    install(&mut connection, path, tables, options)?;
    Ok(connection)
}

/// Role and version written in the file, `None` if it is no store of this project.
pub(crate) fn read_meta(connection: &Connection, path: &Path) -> Result<Option<(String, i64)>, OpenError> {
    let known = definition(connection, "store_meta").map_err(failure(path))?;
    if known.as_deref() != Some(META) {
        return Ok(None);
    }
    let value = |name: &str| {
        let read = connection
            .query_row("SELECT value FROM store_meta WHERE name = ?1", [name], |row| row.get::<_, String>(0));
        read.optional().map_err(failure(path))
    };
    let version = value("version")?.and_then(|text| text.parse().ok());
    Ok(value("role")?.zip(version))
}

fn definition(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.query_row("SELECT sql FROM sqlite_schema WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// Refuses a file of another role, of something else, or of a newer program. An empty file is welcome.
fn check_meta(connection: &Connection, path: &Path, options: &Options) -> Result<bool, OpenError> {
    match read_meta(connection, path)? {
        Some((role, version)) if role == options.role => {
            if version > options.version {
                return Err(OpenError::Newer { path: shown(path), found: version, known: options.version });
            }
            Ok(true)
        }
        Some((role, _)) => {
            Err(OpenError::WrongRole { path: shown(path), found: role, expected: options.role.clone() })
        }
        None => {
            let things: i64 = connection
                .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
                .map_err(failure(path))?;
            if things != 0 {
                let (found, expected) = ("(none)".to_owned(), options.role.clone());
                return Err(OpenError::WrongRole { path: shown(path), found, expected });
            }
            Ok(false)
        }
    }
}

fn install(
    connection: &mut Connection,
    path: &Path,
    tables: &[&'static Table],
    options: &Options,
) -> Result<(), OpenError> {
    let transaction = connection
        .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
        .map_err(failure(path))?;
    if check_meta(&transaction, path, options)? {
        let found = read_meta(&transaction, path)?.map_or(options.version, |(_, version)| version);
        for step in options.steps.iter().filter(|step| step.to > found) {
            take_step(&transaction, path, step)?;
        }
    } else {
        transaction.execute_batch(META).map_err(failure(path))?;
    }
    let version = options.version.to_string();
    for (name, value) in [("role", options.role.as_str()), ("version", version.as_str())] {
        let sql = "INSERT INTO store_meta (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2";
        transaction.execute(sql, [name, value]).map_err(failure(path))?;
    }
    for table in tables {
        install_table(&transaction, path, table)?;
    }
    transaction.commit().map_err(failure(path))
}

fn take_step(connection: &Connection, path: &Path, step: &Step) -> Result<(), OpenError> {
    let run = |sql: &str| connection.execute_batch(sql).map_err(failure(path));
    for rebuilt in step.rebuilt {
        let (before, aside) = (rebuilt.before, aside(rebuilt.before));
        check_layout(connection, path, before)?;
        for (index, _) in create_indexes(before) {
            run(&format!("DROP INDEX IF EXISTS {index}"))?;
        }
        run(&format!("ALTER TABLE {} RENAME TO {aside}", before.name))?;
        run(&create_table(rebuilt.after))?;
        let mut statements = Statements::default();
        let mut tx = SqliteTx::new(connection, &mut statements, None, true);
        let mut carried = Carried::default();
        while rebuilt
            .carry_on(&mut tx, &aside, &mut carried)
            .map_err(|error| not_carried(&shown(path), before, &error))?
        {}
        drop(tx);
        run(&format!("DROP TABLE {aside}"))?;
    }
    for table in step.dropped {
        check_layout(connection, path, table)?;
        run(&format!("DROP TABLE {}", table.name))?;
    }
    Ok(())
}

/// The name of a table that is being replaced.
pub(crate) fn aside(table: &Table) -> String {
    format!("{}_before", table.name)
}

pub(crate) fn not_carried(store: &str, table: &Table, error: &StoreError) -> OpenError {
    let reason = format!("table '{}' cannot be brought to today's layout: {error}", table.name);
    OpenError::Database { path: store.to_owned(), reason }
}

/// The table is laid out as an older program wrote it.
fn check_layout(connection: &Connection, path: &Path, table: &Table) -> Result<(), OpenError> {
    if definition(connection, table.name).map_err(failure(path))?.as_ref() == Some(&create_table(table)) {
        return Ok(());
    }
    Err(OpenError::OtherLayout { path: shown(path), table: table.name.to_owned() })
}

fn install_table(connection: &Connection, path: &Path, table: &Table) -> Result<(), OpenError> {
    let wanted = create_table(table);
    match definition(connection, table.name).map_err(failure(path))? {
        None => connection.execute_batch(&wanted).map_err(failure(path))?,
        Some(found) if found == wanted => {}
        Some(_) => return Err(OpenError::OtherLayout { path: shown(path), table: table.name.to_owned() }),
    }
    for (name, wanted) in create_indexes(table) {
        // An index holds nothing of its own: one of an older layout is simply dropped, or built anew.
        let found = definition(connection, &name).map_err(failure(path))?;
        if found.as_ref() == Some(&wanted) {
            continue;
        }
        if found.is_some() {
            connection.execute_batch(&format!("DROP INDEX {name}")).map_err(failure(path))?;
        }
        connection.execute_batch(&wanted).map_err(failure(path))?;
    }
    for number in table.indexes.len().. {
        let name = format!("{}_{number}", table.name);
        if definition(connection, &name).map_err(failure(path))?.is_none() {
            break;
        }
        connection.execute_batch(&format!("DROP INDEX {name}")).map_err(failure(path))?;
    }
    Ok(())
}
