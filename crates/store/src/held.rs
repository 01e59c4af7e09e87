//! Rows that many works of one group change: totals, the accounts everything is booked against.
//!
//! The first change of a row in a group is written at once. From then on its newest values are held in memory, and written
//! once more when the group is sealed, whatever number of works has changed them. What the database would refuse of them
//! it then refuses for the group as a whole, which is undone and run again work by work, with nothing held.

use std::collections::BTreeMap;

use feiqian_ledger::store::{Row, StoreError, Table, Value, row_check};
use rusqlite::Connection;

use crate::{error::translate, statements::Statements, tx::execute};

/// Rows with longer values change once a group, if that: they are not worth their memory.
const LONGEST: usize = 64;

struct HeldRow {
    values: Vec<Value>,
    /// Whether the database has other values.
    is_ahead: bool,
}

/// The rows of one table, by their keys.
struct HeldTable {
    table: Table,
    rows: BTreeMap<Vec<u8>, HeldRow>,
    ahead: usize,
}

/// What is held of one group.
#[derive(Default)]
pub(crate) struct Held(BTreeMap<&'static str, HeldTable>);

/// Values as bytes, so that they can be ordered; no two lists of values have the same.
fn key_bytes(values: &[Value]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    for value in values {
        let (kind, content): (u8, &[u8]) = match value {
            Value::Null => (0, &[]),
            Value::Integer(number) => (1, &number.to_le_bytes()),
            Value::Text(text) => (2, text.as_bytes()),
            Value::Blob(blob) => (3, blob),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&content.len().to_le_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

fn is_short(value: &Value) -> bool {
    match value {
        Value::Null | Value::Integer(_) => true,
        Value::Text(text) => text.len() <= LONGEST,
        Value::Blob(bytes) => bytes.len() <= LONGEST,
    }
}

/// Does the change leave alone every column by which the database finds rows or tells them apart? Then no other
/// statement can see that it is not written yet.
fn is_unseen(table: &Table, old: &[Value], new: &[Value]) -> bool {
    let unique = || table.constraints.iter().filter(|text| text.contains("UNIQUE"));
    let changed = table.columns.iter().zip(old.iter().zip(new)).filter(|(_, (old, new))| old != new);
    let mut names = changed.map(|(column, _)| column.name);
    names.all(|name| !unique().chain(table.indexes).any(|text| text.contains(name)))
}

/// Whether a statement names a table where tables are named: columns may be called alike. In doubt it does.
fn reads_from(sql: &str, table: &str) -> bool {
    let mut before = "";
    sql.split_ascii_whitespace().any(|word| {
        let is_place = ["FROM", "JOIN"].iter().any(|word| before.eq_ignore_ascii_case(word))
            || before.ends_with(',')
            || before.ends_with('(');
        before = word;
        is_place && word.trim_matches(['(', ')', ',', ';']) == table
    })
}

impl Held {
    /// The newest values of a row, when they are held.
    pub(crate) fn find(&self, table: &Table, key: &[Value]) -> Option<Row> {
        let held = self.0.get(table.name)?;
        held.rows.get(&key_bytes(key)).map(|row| Row(row.values.clone()))
    }

    /// Takes the new values of a row; false: they must be written now (and [`Held::keep`] be told).
    pub(crate) fn take(&mut self, table: &Table, values: &[Value]) -> bool {
        let Some(held) = self.0.get_mut(table.name) else { return false };
        let key = key_bytes(values.get(..table.key).unwrap_or_default());
        let Some(row) = held.rows.get_mut(&key) else { return false };
        if !is_unseen(table, &row.values, values) {
            return false;
        }
        row.values = values.to_vec();
        if !row.is_ahead {
            row.is_ahead = true;
            held.ahead = held.ahead.saturating_add(1);
        }
        true
    }

    /// Notes what the database has now.
    pub(crate) fn keep(&mut self, table: &Table, values: &[Value]) {
        self.forget(table, values.get(..table.key).unwrap_or_default());
        if values.iter().all(is_short) {
            let fresh = || HeldTable { table: *table, rows: BTreeMap::new(), ahead: 0 };
            let held = self.0.entry(table.name).or_insert_with(fresh);
            let key = key_bytes(values.get(..table.key).unwrap_or_default());
            held.rows.insert(key, HeldRow { values: values.to_vec(), is_ahead: false });
        }
    }

    /// Forgets a row that is written or removed by other means.
    pub(crate) fn forget(&mut self, table: &Table, key: &[Value]) {
        let Some(held) = self.0.get_mut(table.name) else { return };
        if held.rows.remove(&key_bytes(key)).is_some_and(|row| row.is_ahead) {
            held.ahead = held.ahead.saturating_sub(1);
        }
    }

    /// Whether a statement may be about rows that are not written yet.
    pub(crate) fn concerns(&self, sql: &str) -> bool {
        let mut ahead = self.0.iter().filter(|(_, held)| held.ahead > 0).map(|(name, _)| *name);
        ahead.any(|name| reads_from(sql, name))
    }

    /// Writes everything that the database does not have yet.
    pub(crate) fn flush(
        &mut self,
        connection: &Connection,
        statements: &mut Statements,
    ) -> Result<(), StoreError> {
        for held in self.0.values_mut().filter(|held| held.ahead > 0) {
            let sql = &statements.of(&held.table).update;
            for row in held.rows.values_mut().filter(|row| row.is_ahead) {
                let check = row_check(&held.table, &row.values);
                let changed = execute(connection, sql, &row.values, Some(&check)).map_err(translate)?;
                if changed == 0 {
                    return Err(StoreError::Missing(held.table.name));
                }
                row.is_ahead = false;
            }
            held.ahead = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::reads_from;

    #[test]
    fn a_table_is_told_from_a_column_of_its_name() {
        assert!(reads_from("SELECT x FROM account WHERE id = ?1", "account"));
        assert!(reads_from("SELECT (SELECT x FROM account) FROM total", "account"));
        assert!(reads_from("SELECT a.x FROM total AS t JOIN account AS a ON a.id = t.id", "account"));
        assert!(reads_from("SELECT x FROM total, account", "account"));
        assert!(!reads_from("SELECT x FROM holder WHERE account = ?1", "account"));
        assert!(!reads_from("SELECT x FROM ledger_account WHERE id = ?1", "account"));
    }
}
