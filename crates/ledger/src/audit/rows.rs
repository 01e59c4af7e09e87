//! The check of every row.

use std::{cmp::Ordering, fmt::Write as _};

use super::Finding;
use crate::store::{ROW_CHECK, Row, StoreError, Table, Tx, Value, row_check};

const PAGE: u32 = 512;

/// Recomputes the check column of every row of the tables, page by page in key order.
///
/// # Errors
///
/// [`StoreError`] if a table cannot be read at all. Damaged rows are findings, not errors.
pub fn check_rows(tx: &mut dyn Tx, tables: &[&Table]) -> Result<Vec<Finding>, StoreError> {
    let mut findings = Vec::new();
    for table in tables {
        check_table(tx, table, &mut findings)?;
    }
    Ok(findings)
}

fn check_table(tx: &mut dyn Tx, table: &Table, findings: &mut Vec<Finding>) -> Result<(), StoreError> {
    let columns = format!("{}, {ROW_CHECK}", table.column_list());
    let mut after: Option<Vec<Value>> = None;
    loop {
        let keys = match page(tx, table, &columns, after.as_deref()) {
            Ok(rows) => rows.iter().map(|row| check_row(table, row, findings)).collect::<Vec<_>>(),
            // Some row of the page holds a value of no known kind: look at each alone.
            Err(StoreError::Corrupt(_)) => check_singly(tx, table, &columns, after.as_deref(), findings)?,
            Err(error) => return Err(error),
        };
        let Some(last) = keys.into_iter().max_by(|left, right| compare(left, right)) else { return Ok(()) };
        if after.as_ref().is_some_and(|after| compare(&last, after) != Ordering::Greater) {
            findings.push(Finding::new(7, table.name, "the rows are not in the order of their keys"));
            return Ok(());
        }
        after = Some(last);
    }
}

fn page(
    tx: &mut dyn Tx,
    table: &Table,
    columns: &str,
    after: Option<&[Value]>,
) -> Result<Vec<Row>, StoreError> {
    let (name, keys) = (table.name, table.key_list());
    let behind = if after.is_none() {
        String::new()
    } else {
        let marks: Vec<String> = (1..=table.key).map(|number| format!("?{number}")).collect();
        format!("WHERE ({keys}) > ({})", marks.join(", "))
    };
    tx.select(
        &format!("SELECT {columns} FROM {name} {behind} ORDER BY {keys} LIMIT {PAGE}"),
        after.unwrap_or_default(),
    )
}

/// Checks one row with its check column at the end, and returns its key.
fn check_row(table: &Table, row: &Row, findings: &mut Vec<Finding>) -> Vec<Value> {
    let (check, values) = row.0.split_last().unwrap_or((&Value::Null, &[]));
    let key = values.get(..table.key).unwrap_or_default().to_vec();
    if *check != Value::from(row_check(table, values)) {
        findings.push(Finding::new(7, place(table, &key), "the row does not match its check"));
    }
    key
}

fn check_singly(
    tx: &mut dyn Tx,
    table: &Table,
    columns: &str,
    after: Option<&[Value]>,
    findings: &mut Vec<Finding>,
) -> Result<Vec<Vec<Value>>, StoreError> {
    let keys: Vec<Vec<Value>> = match page(tx, table, &table.key_list(), after) {
        Ok(rows) => rows.into_iter().map(|row| row.0).collect(),
        Err(StoreError::Corrupt(text)) => {
            findings.push(Finding::new(
                7,
                table.name,
                format!("a key cannot be read ({text}); the rest of the table is unchecked"),
            ));
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let marks: Vec<String> = (1..=table.key).map(|number| format!("?{number}")).collect();
    let sql =
        format!("SELECT {columns} FROM {} WHERE ({}) = ({})", table.name, table.key_list(), marks.join(", "));
    for key in &keys {
        match tx.select(&sql, key) {
            Ok(rows) => rows.iter().for_each(|row| drop(check_row(table, row, findings))),
            Err(StoreError::Corrupt(text)) => findings.push(Finding::new(7, place(table, key), text)),
            Err(error) => return Err(error),
        }
    }
    Ok(keys)
}

/// The database's order of keys: integers by value, text and bytes byte by byte.
fn compare(left: &[Value], right: &[Value]) -> Ordering {
    let pair = |(left, right): (&Value, &Value)| match (left, right) {
        (Value::Integer(left), Value::Integer(right)) => left.cmp(right),
        (Value::Text(left), Value::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Value::Blob(left), Value::Blob(right)) => left.cmp(right),
        _ => Ordering::Equal,
    };
    left.iter().zip(right).map(pair).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

/// The table and the key as a person can look it up.
fn place(table: &Table, key: &[Value]) -> String {
    let mut text = format!("{} ", table.name);
    for (index, value) in key.iter().enumerate() {
        text.push_str(if index == 0 { "(" } else { ", " });
        let _ = match value {
            Value::Null => write!(text, "null"),
            Value::Integer(number) => write!(text, "{number}"),
            Value::Text(value) => write!(text, "{value}"),
            Value::Blob(bytes) => bytes.iter().try_for_each(|byte| write!(text, "{byte:02x}")),
        };
    }
    text.push(')');
    text
}
