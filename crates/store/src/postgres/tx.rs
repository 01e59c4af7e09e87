//! One work's part of an open transaction on a PostgreSQL connection.
//!
//! A refused statement ends a transaction of PostgreSQL, whereas the seam promises that the work may go on. A savepoint
//! before every statement would keep that promise at the price of two more exchanges a statement and a
//! subtransaction a row. So the work runs behind one savepoint, and its writes are noted: on the rare refusal the
//! transaction is taken back to that savepoint and the noted writes are repeated, which brings it to where it was.
//! From then on this work is careful and sets a savepoint before each statement. The most common refusal, an
//! insert of a key that is taken, is asked for in a way (`ON CONFLICT DO NOTHING`) that is no error to the server.

use std::sync::Arc;

use feiqian_ledger::store::{Column, Kind, Row, StoreError, Table, Tx, Value, row_check};
use tokio::runtime::Runtime;

use super::{
    dialect::{TableSql, translate},
    link::Link,
    trouble::Trouble,
};
use crate::tx::check_key;

/// A write that was done and may have to be repeated.
struct Done {
    table: Arc<TableSql>,
    which: Which,
    values: Vec<Value>,
}

#[derive(Clone, Copy)]
enum Which {
    Insert,
    Update,
    Delete,
}

impl Which {
    fn sql(self, table: &TableSql) -> &str {
        match self {
            Self::Insert => &table.insert,
            Self::Update => &table.update,
            Self::Delete => &table.delete,
        }
    }
}

pub(crate) struct PostgresTx<'a> {
    runtime: &'a Runtime,
    link: &'a mut Link,
    writable: bool,
    done: Vec<Done>,
    careful: bool,
    /// A failure after which nothing of this work may be kept, whatever the work makes of it.
    pub(crate) broken: Option<Trouble>,
}

impl<'a> PostgresTx<'a> {
    /// The savepoint `work` has just been set.
    pub(crate) fn new(runtime: &'a Runtime, link: &'a mut Link, writable: bool) -> Self {
        Self { runtime, link, writable, done: Vec::new(), careful: false, broken: None }
    }

    fn check_write(&self, table: &Table, values: &[Value], expected: usize) -> Result<(), StoreError> {
        if !self.writable {
            return Err(StoreError::Misuse(format!("a write to {} inside a read", table.name)));
        }
        check_key(table, values, expected)?;
        values.iter().zip(table.columns).try_for_each(|(value, column)| check_kind(table, column, value))
    }

    /// One exchange with the server, such that a refusal leaves the transaction as it was.
    fn exchange<T>(
        &mut self,
        run: impl FnOnce(&Runtime, &mut Link) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        if let Some(broken) = &self.broken {
            return Err(broken.error());
        }
        let outcome =
            self.control_if_careful("SAVEPOINT statement").and_then(|()| run(self.runtime, self.link));
        let outcome = match outcome {
            Ok(value) => self.control_if_careful("RELEASE statement").map(|()| value),
            Err(trouble) => Err(self.recover(trouble)),
        };
        outcome.map_err(|trouble| {
            if !matches!(trouble, Trouble::Refused(_)) {
                self.broken.get_or_insert_with(|| trouble.clone());
            }
            trouble.error()
        })
    }

    fn control_if_careful(&self, sql: &str) -> Result<(), Trouble> {
        if self.careful { self.link.batch(self.runtime, sql) } else { Ok(()) }
    }

    /// Takes the transaction back to before the refused statement. Answers what that was, or what went wrong here.
    fn recover(&mut self, trouble: Trouble) -> Trouble {
        if matches!(trouble, Trouble::Lost(_) | Trouble::Conflict(_)) {
            return trouble;
        }
        let back = if self.careful { "ROLLBACK TO statement; RELEASE statement" } else { "ROLLBACK TO work" };
        let mut outcome = self.link.batch(self.runtime, back);
        if !self.careful {
            outcome = outcome.and_then(|()| self.repeat());
            self.careful = true;
        }
        outcome.err().unwrap_or(trouble)
    }

    fn repeat(&mut self) -> Result<(), Trouble> {
        for Done { table, which, values } in std::mem::take(&mut self.done) {
            if self.link.execute(self.runtime, which.sql(&table), &values)? == 0 {
                // Nobody else can have changed what this transaction sees: better the whole work again than half of it.
                return Err(Trouble::Conflict("a repeated write had another effect".to_owned()));
            }
        }
        Ok(())
    }

    /// Executes a write and notes it if it had an effect. Answers whether it had.
    fn write(&mut self, table: &Table, which: Which, values: Vec<Value>) -> Result<bool, StoreError> {
        let sql = self.link.table(table);
        let changed = self.exchange(|runtime, link| link.execute(runtime, which.sql(&sql), &values))?;
        if changed > 0 && !self.careful {
            self.done.push(Done { table: sql, which, values });
        }
        Ok(changed > 0)
    }
}

/// The value is of the column's kind, and not null where that is forbidden: asked here, the server need not refuse it.
fn check_kind(table: &Table, column: &Column, value: &Value) -> Result<(), StoreError> {
    let fits = match value {
        Value::Null => column.nullable,
        Value::Integer(_) => column.kind == Kind::Integer,
        // The one character that PostgreSQL's text cannot hold.
        Value::Text(text) => column.kind == Kind::Text && !text.contains('\0'),
        Value::Blob(_) => column.kind == Kind::Blob,
    };
    let what = if *value == Value::Null { "NOT NULL" } else { "a value of another kind" };
    if fits { Ok(()) } else { Err(StoreError::Constraint(format!("{}.{}: {what}", table.name, column.name))) }
}

fn with_check(table: &Table, values: &[Value]) -> Vec<Value> {
    let mut all = values.to_vec();
    all.push(row_check(table, values).into());
    all
}

impl Tx for PostgresTx<'_> {
    fn insert(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        self.check_write(table, values, table.columns.len())?;
        let inserted = self.write(table, Which::Insert, with_check(table, values))?;
        if inserted { Ok(()) } else { Err(StoreError::Exists(format!("in table {}", table.name))) }
    }

    fn update(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        self.check_write(table, values, table.columns.len())?;
        let changed = self.write(table, Which::Update, with_check(table, values))?;
        if changed { Ok(()) } else { Err(StoreError::Missing(table.name)) }
    }

    fn delete(&mut self, table: &Table, key: &[Value]) -> Result<(), StoreError> {
        self.check_write(table, key, table.key)?;
        let deleted = self.write(table, Which::Delete, key.to_vec())?;
        if deleted { Ok(()) } else { Err(StoreError::Missing(table.name)) }
    }

    fn find(&mut self, table: &Table, key: &[Value]) -> Result<Option<Row>, StoreError> {
        check_key(table, key, table.key)?;
        let sql = self.link.table(table);
        let rows = self.exchange(|runtime, link| link.query(runtime, &sql.find, key, false))?;
        Ok(rows.into_iter().next())
    }

    fn select(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, StoreError> {
        let reads = sql.trim_start().get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"));
        if !reads {
            return Err(StoreError::Misuse("select takes a statement that only reads".to_owned()));
        }
        let translated = translate(sql).ok_or_else(|| StoreError::Misuse(format!("not portable: {sql}")))?;
        if translated.parameters != parameters.len() {
            let text = format!("{} parameters instead of {}", parameters.len(), translated.parameters);
            return Err(StoreError::Misuse(text));
        }
        self.exchange(|runtime, link| link.query(runtime, &translated.sql, parameters, true))
    }
}
