//! Opening a database: what the server promises, role, version, tables.

use feiqian_ledger::store::{Carried, Rebuilt, Step, Table};
use tokio::runtime::Runtime;

use super::{
    dialect::create_table,
    link::{Link, Settings},
    trouble::Trouble,
    tx::PostgresTx,
};
use crate::{
    error::OpenError,
    schema::{aside, not_carried},
    sqlite::Options,
    statements::create_indexes,
};

/// The tables every store has beside those of its role: what it is, whose turn it is to write, who writes.
const OWN: [(&str, &str); 3] = [
    ("store_meta", "CREATE TABLE store_meta (name TEXT COLLATE \"C\" PRIMARY KEY, value TEXT NOT NULL)"),
    ("store_turn", "CREATE TABLE store_turn (nothing BIGINT PRIMARY KEY)"),
    (
        "store_writer",
        "CREATE TABLE store_writer (writer BYTEA PRIMARY KEY, mark BIGINT NOT NULL, seen TIMESTAMPTZ NOT NULL)",
    ),
];

/// How often the schema is looked at again because another process was making it at the same time.
const ATTEMPTS: u32 = 10;

/// One opening of a store.
pub(crate) struct Opening<'a> {
    pub(crate) runtime: &'a Runtime,
    pub(crate) link: &'a mut Link,
    pub(crate) settings: &'a Settings,
}

impl Opening<'_> {
    fn failure(&self, trouble: &Trouble) -> OpenError {
        OpenError::Database { path: self.settings.shown.clone(), reason: trouble.error().to_string() }
    }

    fn wrong_role(&self, found: &str, expected: &str) -> OpenError {
        let (found, expected) = (found.to_owned(), expected.to_owned());
        OpenError::WrongRole { path: self.settings.shown.clone(), found, expected }
    }

    fn ask(&self, sql: &str) -> Result<Option<String>, OpenError> {
        self.link.ask(self.runtime, sql).map_err(|trouble| self.failure(&trouble))
    }

    fn batch(&self, sql: &str) -> Result<(), OpenError> {
        self.link.batch(self.runtime, sql).map_err(|trouble| self.failure(&trouble))
    }

    /// Refuses a server that forgets what it has answered, or that cannot hold every text.
    pub(crate) fn check_server(&self) -> Result<(), OpenError> {
        let refuse = |reason: &str| {
            Err(OpenError::Database { path: self.settings.shown.clone(), reason: reason.to_owned() })
        };
        if self.ask("SHOW fsync")?.as_deref() != Some("on") {
            return refuse("the server runs with fsync = off and would lose money in a power cut");
        }
        if self.ask("SHOW server_encoding")?.as_deref() != Some("UTF8") {
            return refuse("the database is not encoded in UTF8");
        }
        Ok(())
    }

    /// Role and version written in the database, `None` if it is no store of this project.
    pub(crate) fn read_meta(&self) -> Result<Option<(String, i64)>, OpenError> {
        if self.ask("SELECT to_regclass('store_meta')")?.is_none() {
            return Ok(None);
        }
        let role = self.ask("SELECT value FROM store_meta WHERE name = 'role'")?;
        let version = self.ask("SELECT value FROM store_meta WHERE name = 'version'")?;
        Ok(role.zip(version.and_then(|text| text.parse().ok())))
    }

    /// Makes or checks the schema in one transaction.
    pub(crate) fn install(&mut self, tables: &[&'static Table], options: &Options) -> Result<(), OpenError> {
        let mut attempt = 1;
        loop {
            match self.install_once(tables, options) {
                // Two processes that make the same table at one time: one of them sees the other's and fails.
                Err(OpenError::Database { reason, .. }) if attempt < ATTEMPTS && meets_another(&reason) => {
                    attempt = u32::saturating_add(attempt, 1);
                    self.batch("ROLLBACK")?;
                }
                Err(error) => {
                    self.batch("ROLLBACK")?;
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    fn take_step(&mut self, step: &Step) -> Result<(), OpenError> {
        for rebuilt in step.rebuilt {
            let (before, aside) = (rebuilt.before, aside(rebuilt.before));
            self.check_layout(before)?;
            for (index, _) in create_indexes(before) {
                self.batch(&format!("DROP INDEX IF EXISTS {index}"))?;
                self.forget(&format!("index {index}"))?;
            }
            self.batch(&format!("ALTER TABLE {} RENAME TO {aside}", before.name))?;
            self.forget(&format!("table {}", before.name))?;
            let wanted = create_table(rebuilt.after);
            self.batch(&wanted)?;
            self.remember(&format!("table {}", rebuilt.after.name), &wanted)?;
            let mut carried = Carried::default();
            while self.carry_on(rebuilt, &aside, &mut carried)? {}
            self.batch(&format!("DROP TABLE {aside}"))?;
        }
        for table in step.dropped {
            self.check_layout(table)?;
            self.batch(&format!("DROP TABLE {}", table.name))?;
            self.forget(&format!("table {}", table.name))?;
        }
        Ok(())
    }

    /// Some rows behind a savepoint of their own, so that not all of them have to be noted for a repeat.
    fn carry_on(&mut self, rebuilt: &Rebuilt, aside: &str, carried: &mut Carried) -> Result<bool, OpenError> {
        self.batch("SAVEPOINT work")?;
        let mut tx = PostgresTx::new(self.runtime, self.link, true);
        let more = rebuilt.carry_on(&mut tx, aside, carried);
        let more = more.map_err(|error| not_carried(&self.settings.shown, rebuilt.before, &error))?;
        self.batch("RELEASE work")?;
        Ok(more)
    }

    /// The table is laid out as an older program wrote it.
    fn check_layout(&self, table: &Table) -> Result<(), OpenError> {
        if self.known(&format!("table {}", table.name))? == Some(create_table(table)) {
            return Ok(());
        }
        let (path, table) = (self.settings.shown.clone(), table.name.to_owned());
        Err(OpenError::OtherLayout { path, table })
    }

    fn forget(&self, name: &str) -> Result<(), OpenError> {
        self.batch(&format!("DELETE FROM store_meta WHERE name = {}", quoted(name)))
    }

    fn install_once(&mut self, tables: &[&'static Table], options: &Options) -> Result<(), OpenError> {
        self.batch("BEGIN ISOLATION LEVEL SERIALIZABLE")?;
        let known = self.check_meta(options)?;
        if !known {
            for (_, create) in OWN {
                self.batch(create)?;
            }
        }
        self.batch("LOCK TABLE store_turn IN EXCLUSIVE MODE")?;
        if known {
            // Read behind the lock: two programs that open at one time must not both take the steps.
            let found = self.read_meta()?.map_or(options.version, |(_, version)| version);
            for step in options.steps.iter().filter(|step| step.to > found) {
                self.take_step(step)?;
            }
        }
        self.remember("role", &options.role)?;
        self.remember("version", &options.version.to_string())?;
        for table in tables {
            self.install_table(table)?;
        }
        // Who has not written for a month was killed, and nobody will ask what became of its last group.
        self.batch("DELETE FROM store_writer WHERE seen < now() - interval '30 days'")?;
        self.batch("COMMIT")
    }

    /// Refuses a database of another role, of something else, or of a newer program. An empty one is welcome.
    fn check_meta(&self, options: &Options) -> Result<bool, OpenError> {
        match self.read_meta()? {
            Some((role, found)) if role == options.role => {
                if found > options.version {
                    let (path, known) = (self.settings.shown.clone(), options.version);
                    return Err(OpenError::Newer { path, found, known });
                }
                Ok(true)
            }
            Some((role, _)) => Err(self.wrong_role(&role, &options.role)),
            None => {
                let things =
                    "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace";
                match self.ask(things)?.as_deref() {
                    Some("0") => Ok(false),
                    _ => Err(self.wrong_role("(none)", &options.role)),
                }
            }
        }
    }

    fn remember(&self, name: &str, value: &str) -> Result<(), OpenError> {
        let (name, value) = (quoted(name), quoted(value));
        // Left alone where nothing changes: two programs that open at one time do not meet here.
        self.batch(&format!(
            "INSERT INTO store_meta (name, value) VALUES ({name}, {value}) \
             ON CONFLICT (name) DO UPDATE SET value = EXCLUDED.value WHERE store_meta.value <> EXCLUDED.value"
        ))
    }

    fn known(&self, name: &str) -> Result<Option<String>, OpenError> {
        self.ask(&format!("SELECT value FROM store_meta WHERE name = {}", quoted(name)))
    }

    fn install_table(&self, table: &Table) -> Result<(), OpenError> {
        let wanted = create_table(table);
        let entry = format!("table {}", table.name);
        match self.known(&entry)? {
            None => {
                self.batch(&wanted)?;
                self.remember(&entry, &wanted)?;
            }
            Some(found) if found == wanted => {}
            Some(_) => {
                let (path, table) = (self.settings.shown.clone(), table.name.to_owned());
                return Err(OpenError::OtherLayout { path, table });
            }
        }
        for (name, wanted) in create_indexes(table) {
            // An index holds nothing of its own: one of an older layout is simply built anew.
            let entry = format!("index {name}");
            if self.known(&entry)?.as_ref() != Some(&wanted) {
                self.batch(&format!("DROP INDEX IF EXISTS {name}"))?;
                self.batch(&wanted)?;
                self.remember(&entry, &wanted)?;
            }
        }
        for number in table.indexes.len().. {
            let name = format!("{}_{number}", table.name);
            let entry = format!("index {name}");
            if self.known(&entry)?.is_none() {
                break;
            }
            self.batch(&format!("DROP INDEX IF EXISTS {name}"))?;
            self.forget(&entry)?;
        }
        Ok(())
    }
}

/// A text as a constant of SQL.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether the failure is that of a table (or of the type of its rows) that another process has made meanwhile, or of a
/// conflict.
fn meets_another(reason: &str) -> bool {
    ["[40001]", "[40P01]", "[42P07]", "[42710]", "[23505]"].iter().any(|code| reason.contains(code))
}
