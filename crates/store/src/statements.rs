//! The SQL of every table, generated once a connection.

use std::{collections::BTreeMap, fmt::Write as _};

use feiqian_ledger::store::{Column, Kind, ROW_CHECK, Table};

/// The statements of one table. Parameters of `insert` and `update`: all values in order, then the row check.
pub(crate) struct TableSql {
    pub(crate) insert: String,
    pub(crate) update: String,
    pub(crate) delete: String,
    pub(crate) find: String,
}

impl TableSql {
    pub(crate) fn new(table: &Table) -> Self {
        let name = table.name;
        let columns = table.column_list();
        let marks = marks(table.columns.len().saturating_add(1));
        let check = format!("{ROW_CHECK} = ?{}", table.columns.len().saturating_add(1));
        let by_key = assignments(table.key_columns(), 1, " AND ");
        let rest = table.columns.get(table.key..).unwrap_or_default();
        let mut set = assignments(rest, table.key.saturating_add(1), ", ");
        if !set.is_empty() {
            set.push_str(", ");
        }
        Self {
            insert: format!("INSERT INTO {name} ({columns}, {ROW_CHECK}) VALUES ({marks})"),
            update: format!("UPDATE {name} SET {set}{check} WHERE {by_key}"),
            delete: format!("DELETE FROM {name} WHERE {by_key}"),
            find: format!("SELECT {columns} FROM {name} WHERE {by_key}"),
        }
    }
}

/// `?1, ?2, …, ?count`.
fn marks(count: usize) -> String {
    (1..=count).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ")
}

/// `a = ?first`, `b = ?first+1`, …
fn assignments(columns: &[Column], first: usize, between: &str) -> String {
    columns
        .iter()
        .zip(first..)
        .map(|(column, number)| format!("{} = ?{number}", column.name))
        .collect::<Vec<_>>()
        .join(between)
}

/// The statements of all tables touched so far.
#[derive(Default)]
pub(crate) struct Statements(BTreeMap<&'static str, TableSql>);

impl Statements {
    pub(crate) fn of(&mut self, table: &Table) -> &TableSql {
        self.0.entry(table.name).or_insert_with(|| TableSql::new(table))
    }
}

/// `CREATE TABLE …` as SQLite keeps it, so that the text can be compared with what a file holds.
///
/// Tables keyed by one integer are plain (the key is the row id); all others are clustered by their key, which
/// saves an index and leaves no second copy of the key that the row check would not cover.
pub(crate) fn create_table(table: &Table) -> String {
    let mut sql = format!("CREATE TABLE {} (", table.name);
    for column in table.columns {
        let kind = match column.kind {
            Kind::Integer => "INTEGER",
            Kind::Text => "TEXT",
            Kind::Blob => "BLOB",
        };
        let null = if column.nullable { "" } else { " NOT NULL" };
        let _ = write!(sql, "{} {kind}{null}, ", column.name);
    }
    let _ = write!(sql, "{ROW_CHECK} BLOB NOT NULL, PRIMARY KEY ({})", table.key_list());
    for constraint in table.constraints {
        let _ = write!(sql, ", {constraint}");
    }
    let by_row_id = matches!(table.key_columns(), [Column { kind: Kind::Integer, .. }]);
    sql.push_str(if by_row_id { ") STRICT" } else { ") STRICT, WITHOUT ROWID" });
    sql
}

/// The name and the `CREATE INDEX …` of each further index.
pub(crate) fn create_indexes(table: &Table) -> Vec<(String, String)> {
    let named = |(number, index): (usize, &&str)| {
        let name = format!("{}_{number}", table.name);
        let columns = if index.starts_with('(') { (*index).to_owned() } else { format!("({index})") };
        let sql = format!("CREATE INDEX {name} ON {} {columns}", table.name);
        (name, sql)
    };
    table.indexes.iter().enumerate().map(named).collect()
}
