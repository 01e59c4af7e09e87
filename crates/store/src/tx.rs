//! One open transaction on a SQLite connection.

use feiqian_ledger::store::{Row, StoreError, Table, Tx, Value, row_check};
use rusqlite::{
    CachedStatement, Connection, ToSql,
    types::{ToSqlOutput, ValueRef},
};

use crate::{error::translate, held::Held, statements::Statements};

pub(crate) struct SqliteTx<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) statements: &'a mut Statements,
    /// Rows of the group that are written when it is sealed; none: every change is written at once.
    held: Option<&'a mut Held>,
    pub(crate) writable: bool,
    /// Whether there is anything to undo.
    pub(crate) wrote: bool,
    /// A failure after which nothing of this work may be kept, whatever the work makes of it.
    pub(crate) broken: Option<StoreError>,
}

impl<'a> SqliteTx<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        statements: &'a mut Statements,
        held: Option<&'a mut Held>,
        writable: bool,
    ) -> Self {
        Self { connection, statements, held, writable, wrote: false, broken: None }
    }

    fn failed(&mut self, error: rusqlite::Error) -> StoreError {
        let error = translate(error);
        if matches!(error, StoreError::Database(_) | StoreError::Busy(_)) {
            self.broken.get_or_insert_with(|| error.clone());
            self.wrote = true;
        }
        error
    }

    fn check_write(&self, table: &Table, values: &[Value], expected: usize) -> Result<(), StoreError> {
        if !self.writable {
            return Err(StoreError::Misuse(format!("a write to {} inside a read", table.name)));
        }
        check_key(table, values, expected)
    }
}

/// The number of values fits, and no value of the key is null (SQLite would make up a number for it).
pub(crate) fn check_key(table: &Table, values: &[Value], expected: usize) -> Result<(), StoreError> {
    if values.len() != expected || table.key == 0 {
        return Err(StoreError::Misuse(format!(
            "{}: {} values instead of {expected}",
            table.name,
            values.len()
        )));
    }
    if values.iter().take(table.key).any(|value| *value == Value::Null) {
        return Err(StoreError::Misuse(format!("{}: a null in the key", table.name)));
    }
    Ok(())
}

impl Tx for SqliteTx<'_> {
    fn insert(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        self.check_write(table, values, table.columns.len())?;
        let check = row_check(table, values);
        let sql = self.statements.of(table);
        execute(self.connection, &sql.insert, values, Some(&check)).map_err(|error| self.failed(error))?;
        self.wrote = true;
        Ok(())
    }

    fn update(&mut self, table: &Table, values: &[Value]) -> Result<(), StoreError> {
        self.check_write(table, values, table.columns.len())?;
        if self.held.as_deref_mut().is_some_and(|held| held.take(table, values)) {
            self.wrote = true;
            return Ok(());
        }
        let check = row_check(table, values);
        let sql = self.statements.of(table);
        let changed = execute(self.connection, &sql.update, values, Some(&check))
            .map_err(|error| self.failed(error))?;
        if changed == 0 {
            return Err(StoreError::Missing(table.name));
        }
        self.wrote = true;
        if let Some(held) = &mut self.held {
            held.keep(table, values);
        }
        Ok(())
    }

    fn delete(&mut self, table: &Table, key: &[Value]) -> Result<(), StoreError> {
        self.check_write(table, key, table.key)?;
        if let Some(held) = &mut self.held {
            held.forget(table, key);
        }
        let sql = self.statements.of(table);
        let changed = execute(self.connection, &sql.delete, key, None).map_err(|error| self.failed(error))?;
        if changed == 0 {
            return Err(StoreError::Missing(table.name));
        }
        self.wrote = true;
        Ok(())
    }

    fn find(&mut self, table: &Table, key: &[Value]) -> Result<Option<Row>, StoreError> {
        check_key(table, key, table.key)?;
        if let Some(row) = self.held.as_deref().and_then(|held| held.find(table, key)) {
            return Ok(Some(row));
        }
        let sql = self.statements.of(table);
        let found = self.connection.prepare_cached(&sql.find).and_then(|mut statement| {
            bind(&mut statement, key, None)?;
            let columns = statement.column_count();
            statement.raw_query().next()?.map(|row| read_row(row, columns)).transpose()
        });
        found.map_err(|error| self.failed(error))?.transpose()
    }

    fn select(&mut self, sql: &str, parameters: &[Value]) -> Result<Vec<Row>, StoreError> {
        if let Some(held) = self.held.as_deref_mut().filter(|held| held.concerns(sql)) {
            let flushed = held.flush(self.connection, self.statements);
            if let Err(error) = flushed {
                // Another work's change is at fault: only apart from each other can that be told.
                self.wrote = true;
                self.broken.get_or_insert_with(|| error.clone());
                return Err(error);
            }
        }
        let mut statement = match self.connection.prepare_cached(sql) {
            Ok(statement) => statement,
            // A statement that does not compile is the caller's mistake and has done nothing.
            Err(error) => return Err(StoreError::Misuse(error.to_string())),
        };
        if !statement.readonly() || statement.column_count() == 0 {
            return Err(StoreError::Misuse("select takes a statement that only reads".to_owned()));
        }
        if statement.parameter_count() != parameters.len() {
            let text = format!("{} parameters instead of {}", parameters.len(), statement.parameter_count());
            return Err(StoreError::Misuse(text));
        }
        let rows = collect(&mut statement, parameters);
        drop(statement);
        rows.map_err(|error| self.failed(error))?
    }
}

fn collect(
    statement: &mut CachedStatement<'_>,
    parameters: &[Value],
) -> rusqlite::Result<Result<Vec<Row>, StoreError>> {
    bind(statement, parameters, None)?;
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        match read_row(row, columns)? {
            Ok(row) => found.push(row),
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(found))
}

pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    values: &[Value],
    check: Option<&[u8; 16]>,
) -> rusqlite::Result<usize> {
    let mut statement = connection.prepare_cached(sql)?;
    bind(&mut statement, values, check)?;
    statement.raw_execute()
}

fn bind(
    statement: &mut CachedStatement<'_>,
    values: &[Value],
    check: Option<&[u8; 16]>,
) -> rusqlite::Result<()> {
    for (number, value) in (1..).zip(values) {
        statement.raw_bind_parameter(number, Bound(value))?;
    }
    match check {
        Some(check) => statement.raw_bind_parameter(values.len().saturating_add(1), check.as_slice()),
        None => Ok(()),
    }
}

/// A value lent to SQLite without a copy.
struct Bound<'a>(&'a Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Integer(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn read_row(row: &rusqlite::Row<'_>, columns: usize) -> rusqlite::Result<Result<Row, StoreError>> {
    let mut values = Vec::with_capacity(columns);
    for index in 0..columns {
        values.push(match row.get_ref(index)? {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            ValueRef::Text(bytes) => match String::from_utf8(bytes.to_vec()) {
                Ok(text) => Value::Text(text),
                Err(_) => return Ok(Err(StoreError::Corrupt(format!("value {index} is not UTF-8")))),
            },
            ValueRef::Real(_) => {
                return Ok(Err(StoreError::Corrupt(format!("value {index} is a real number"))));
            }
        });
    }
    Ok(Ok(Row(values)))
}
